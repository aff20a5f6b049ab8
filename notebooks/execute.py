"""Run notebooks again, and keep what they give: `python notebooks/execute.py [NOTEBOOK...]`.

Each notebook has a kernel of its own, which knows no key, and two run at a time. Of what a run
says only what belongs to the reader is kept: no moments, and no state of widgets.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
SAFE = (
    *("HOME", "USERPROFILE", "LANG", "LC_ALL"),
    *("PATH", "PYTHONPATH", "SYSTEMROOT", "TEMP", "TMPDIR"),
)
LANGUAGE = {"name": "python", "pygments_lexer": "ipython3"}


def keyless(**more: str) -> dict[str, str]:
    """The environment of a kernel: nothing of this machine's that could be a key."""
    return {name: os.environ[name] for name in SAFE if name in os.environ} | more


async def executed(path: Path, env: Mapping[str, str]) -> nbformat.NotebookNode:
    """A notebook as a fresh kernel gives it; a cell that fails raises CellExecutionError."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=60,
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
        extra_arguments=["--IPKernelApp.log_level=ERROR"],  # no word about local sockets
        resources={"metadata": {"path": str(HERE)}},
    )
    await client.async_execute(env=dict(env))
    notebook.metadata["language_info"] = LANGUAGE  # and not the version of this Python
    return notebook


async def execute(paths: Iterable[Path], env: Mapping[str, str]) -> list[nbformat.NotebookNode]:
    """All of them, two at a time."""
    two = asyncio.Semaphore(2)

    async def in_turn(path: Path) -> nbformat.NotebookNode:
        async with two:
            return await executed(path, env)

    return await asyncio.gather(*map(in_turn, paths))


def main() -> None:
    paths = [Path(name) for name in sys.argv[1:]] or sorted(HERE.glob("*.ipynb"))
    for path, notebook in zip(paths, asyncio.run(execute(paths, keyless())), strict=True):
        nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
