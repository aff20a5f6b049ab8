"""Proofs in a real browser: they run when `RXCHAT_BROWSER` is set, since they take a minute.

RXCHAT_BROWSER=1           run what can run here
RXCHAT_BROWSER=required    fail where something is missing
RXCHAT_ARTEFACTS=folder    keep the screenshots there
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from importlib.util import find_spec
from pathlib import Path

import pytest
import pytest_asyncio
from jupyter_rooms import Notebook, Rooms, open_rooms
from programs import browser_of_this_machine

from rxchat.testing import LocalServer, leaks

PACKAGES = ("jupyterlab", "anywidget", "playwright")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "browser: drives a real JupyterLab in a real Chromium")


def _missing() -> list[str]:
    packages = [name for name in PACKAGES if find_spec(name) is None]
    return packages if browser_of_this_machine() else [*packages, "a Chromium"]


@pytest.fixture(scope="session", autouse=True)
def _asked_for() -> None:
    wish = os.environ.get("RXCHAT_BROWSER")
    if not wish:
        pytest.skip("set RXCHAT_BROWSER=1 to run what needs a browser")
    if missing := _missing():
        told = f"{', '.join(missing)} missing: pip install '.[dev,browser]', and a Chromium"
        (pytest.fail if wish == "required" else pytest.skip)(told)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def rooms(
    _asked_for: None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Rooms]:
    async with open_rooms(tmp_path_factory.mktemp("jupyter")) as rooms:
        yield rooms


@pytest_asyncio.fixture(loop_scope="session")
async def no_leaks(rooms: Rooms) -> AsyncGenerator[None]:
    """As everywhere, but on the loop that the browser is on."""
    async with leaks.no_leaks():
        yield


@pytest_asyncio.fixture(loop_scope="session")
async def server() -> AsyncGenerator[LocalServer]:
    """A chat service on this machine."""
    async with LocalServer() as server:
        yield server


@pytest.fixture
def artefacts(tmp_path: Path) -> Path:
    """Where pictures are kept."""
    folder = Path(os.environ.get("RXCHAT_ARTEFACTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def notebook(rooms: Rooms, server: LocalServer, artefacts: Path) -> Notebook:
    """Opens a notebook of cells, after one that has imported all and knows the server."""
    setup = SETUP.replace("SERVER", server.url)
    return lambda *cells: rooms.notebook(artefacts, setup, *cells)


SETUP = """
import asyncio
import rxchat
from rxchat import operators as ops
from rxchat.errors import RateLimited
from rxchat.events import Finish, Reasoning, Text, ToolCall, Usage
from rxchat.notebook import Mark, Row, Timeline, compare, lane, measure, show, watch
from rxchat.providers import openai
from rxchat.testing import Scripted
chat = openai.but(base_url="SERVER/v1", key="sk-a-key-that-nobody-may-see-0123456789")
"""
