"""A JupyterLab server and a Chromium that know nothing of this machine's own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import socket
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.async_api import Browser

__all__ = ["PATIENCE", "browser_of_this_machine", "chromium", "jupyterlab"]

PATIENCE = 15.0  # seconds for what should take one
WORDS_BEFORE = 20  # lines of the server's that a failure shows

SERVER = {
    "ServerApp.ip": "127.0.0.1",
    "ServerApp.open_browser": False,
    "ServerApp.allow_root": True,
    "ServerApp.use_redirect_file": False,
    "LabApp.news_url": None,
    "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
    "LabApp.extension_manager": "readonly",
    "LabApp.expose_app_in_browser": True,
}
SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/apputils-extension:themes": {"adaptive-theme": True},
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
    "@jupyterlab/extensionmanager-extension:plugin": {"enabled": False},
    "@jupyterlab/notebook-extension:tracker": {"autoStartDefaultKernel": True},
}
BROWSER = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


def browser_of_this_machine() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


@asynccontextmanager
async def jupyterlab(folder: Path, root: Path, token: str) -> AsyncGenerator[str]:
    """A server of the notebooks in `root`, which keeps all else in `folder`; its address."""
    env = _environment(folder, root)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]  # if it is taken meanwhile, the server finds another
    options = SERVER | {
        "ServerApp.root_dir": root,
        "ServerApp.port": port,
        "LabApp.app_settings_dir": folder / "app",
        "IdentityProvider.token": token,
    }
    command = ["-m", "jupyterlab", *(f"--{name}={value}" for name, value in options.items())]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        env=env,
        cwd=root,
        stderr=asyncio.subprocess.PIPE,
    )
    said: list[str] = []
    try:
        async with asyncio.timeout(PATIENCE):
            url = await _address(process, said)
        listener = asyncio.create_task(_listen(process, said), name="what JupyterLab says")
        yield url
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), PATIENCE)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
    await listener


def _environment(folder: Path, root: Path) -> dict[str, str]:
    """Make the folders and the settings; what leads there, and to nothing of this machine's own."""
    places = {name: folder / name for name in ("config", "data", "runtime", "ipython", "app")}
    for place in (root, *places.values()):
        place.mkdir()
    (places["app"] / "overrides.json").write_text(json.dumps(SETTINGS))
    kept = {name: it for name, it in os.environ.items() if not name.startswith("JUPYTER")}
    return kept | {
        "HOME": str(folder),
        "IPYTHONDIR": str(places["ipython"]),
        "JUPYTER_CONFIG_DIR": str(places["config"]),
        "JUPYTER_DATA_DIR": str(places["data"]),
        "JUPYTER_RUNTIME_DIR": str(places["runtime"]),
    }


async def _address(process: asyncio.subprocess.Process, said: list[str]) -> str:
    """Wait until the server says where it is."""
    assert process.stderr is not None
    async for line in process.stderr:
        said.append(line.decode())
        if found := re.search(r"http://127\.0\.0\.1:\d+", said[-1]):
            return found[0]
    raise AssertionError("JupyterLab did not start:\n" + "".join(said[-WORDS_BEFORE:]))


async def _listen(process: asyncio.subprocess.Process, said: list[str]) -> None:
    """Let it speak: with nobody to listen it would stop one day."""
    assert process.stderr is not None
    async for line in process.stderr:
        said.append(line.decode())


@asynccontextmanager
async def chromium() -> AsyncGenerator[Browser]:
    """A browser that asks nobody but this machine."""
    from playwright.async_api import async_playwright

    as_root = ["--no-sandbox"] if sys.platform != "win32" and os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        arguments: Sequence[str] = [*BROWSER, *as_root]
        async with await playwright.chromium.launch(
            executable_path=browser_of_this_machine(), args=arguments
        ) as browser:
            yield browser
