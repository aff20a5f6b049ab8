"""The pages of docs/ as tests see them: blocks of code, what they print, links, commands."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from ast import PyCF_ALLOW_TOP_LEVEL_AWAIT
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import CO_COROUTINE
from pathlib import Path
from typing import Any

from attrs import frozen

__all__ = ["DOCS", "Block", "anchors", "blocks", "local_server", "recipe"]

DOCS = Path(__file__).parent.parent / "docs"
SAID = "Because of the air."
"""What the local server says on the pages."""
THERE = "http://127.0.0.1:8765"
"""Where readers have started it."""

_BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```$)?", re.DOTALL | re.MULTILINE)


@frozen
class Block:
    """A block of Python on a page; the ```text right below it, if there is one, is its output."""

    page: Path
    line: int
    code: str
    output: str | None

    def run(self, namespace: dict[str, Any], address: str = THERE) -> None:
        """Run it where the blocks before it ran; a traceback has the lines of the page.

        As in a cell of a notebook, there may be an `await` outside of functions.
        """
        text = "\n" * self.line + self.code.replace(THERE, address)
        code = compile(text, str(self.page), "exec", flags=PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if code.co_flags & CO_COROUTINE:
            asyncio.run(eval(code, namespace))
        else:
            exec(code, namespace)


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found[1], found[2])
        for found in _BLOCK.finditer(text)
    ]


def recipe(file: str, **namespace: Any) -> dict[str, Any]:
    """Run the recipe of the cookbook that begins with its file's name; give its names."""
    (block,) = (it for it in blocks(DOCS / "cookbook.md") if it.code.startswith(f"# {file}\n"))
    names: dict[str, Any] = {"__name__": Path(file).stem, **namespace}
    block.run(names)
    return names


def anchors(page: Path) -> set[str]:
    """The places on a page that a link can lead to."""
    outside = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.+)$", outside, re.MULTILINE)
    return {re.sub(r"[^\w-]", "", title.lower().replace(" ", "-")) for title in titles}


@contextmanager
def local_server(folder: Path) -> Iterator[str]:
    """The address of a local server in a process of its own, as a reader has one."""
    command = [sys.executable, "-m", "rxchat.testing", "--say", SAID]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder
    ) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.communicate()
