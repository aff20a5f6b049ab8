"""The first notebook, as a newcomer opens it: all of its cells run, in JupyterLab."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from jupyter_rooms import Rooms, expect

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


async def test_the_first_notebook_runs_from_top_to_bottom(rooms: Rooms, artefacts: Path) -> None:
    path = Path(shutil.copy(NOTEBOOKS / "01_hello.ipynb", rooms.root))
    async with rooms.opened(artefacts, path) as book:
        await book.page.set_viewport_size({"width": 1000, "height": 4200})
        await book.command("notebook:clear-all-cell-outputs")
        await book.run()
        await expect(book.page.locator(".jp-OutputArea-output img").first).to_be_visible()
        await expect(book.page.locator(".rxchat-live")).to_have_count(0)
        await book.pictures("the first notebook")
        assert not book.alarms
