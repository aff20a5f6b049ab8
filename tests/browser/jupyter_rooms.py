"""A real JupyterLab in a real Chromium, and notebooks that are opened in it.

Strategy. One server and one browser serve all tests; each notebook has its own file, kernel and
page. Nothing here waits for a time: a page is asked until it shows what is expected. Whatever a
page does that it should not (dialogs, requests elsewhere, leaving, errors of scripts) is kept in
its `alarms`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import define, field
from programs import PATIENCE, chromium, jupyterlab

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Locator, Page

__all__ = ["Book", "Notebook", "Rooms", "expect", "open_rooms"]


READY = "jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status == 'idle'"
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def expect(it: Any) -> Any:
    """Playwright's `expect`, with patience for machines that are busy."""
    from playwright.async_api import expect

    expect.set_options(timeout=PATIENCE * 1e3)
    return expect(it)


@define(eq=False)
class Book:
    """A notebook that is open in JupyterLab."""

    page: Page
    path: Path
    rooms: Rooms
    artefacts: Path
    alarms: list[str] = field(factory=list)
    """What a page does not do by itself."""
    frames: list[str | bytes] = field(factory=list)
    """What came over WebSockets."""

    def output(self, cell: int) -> Locator:
        """What a code cell has given, from 0."""
        cells = self.page.locator(".jp-Notebook .jp-CodeCell")
        return cells.nth(cell).locator(".jp-Cell-outputWrapper")

    async def command(self, name: str) -> Any:
        """Do what an entry of a menu does."""
        done = self.page.evaluate(f"window.jupyterapp.commands.execute({name!r})")
        return await asyncio.wait_for(done, PATIENCE)

    async def start(self) -> None:
        """Run all cells from top to bottom; do not wait for them."""
        await self.page.evaluate(
            "void (window.ran = jupyterapp.commands.execute('notebook:run-all-cells'))"
        )

    async def finished(self) -> None:
        """Wait until all cells have run; none of them may have failed."""
        async with asyncio.timeout(PATIENCE):
            await self.page.evaluate("window.ran.then(() => 0)")
        failures = self.page.locator("[data-mime-type='application/vnd.jupyter.error']")
        assert not await failures.all_text_contents()

    async def run(self) -> None:
        """Run all cells and wait for them."""
        await self.start()
        await self.finished()

    async def dark(self, yes: bool = True) -> None:
        """As if the reader's screen were dark; JupyterLab changes its theme with it."""
        await self.page.emulate_media(color_scheme="dark" if yes else "light")
        await expect(self.page.locator("body")).to_have_attribute(
            "data-jp-theme-light", "false" if yes else "true"
        )
        await expect(self.page.locator("#jupyterlab-splash")).to_have_count(0)

    async def picture(self, name: str, cell: int | None = None) -> None:
        """Keep what is to be seen now, of one cell's output or in all."""
        it = self.page if cell is None else self.output(cell)
        await it.screenshot(path=self.artefacts / f"{name}.png")

    async def pictures(self, name: str, cell: int | None = None) -> None:
        """Keep what is to be seen, in light and in dark."""
        for scheme in ("dark", "light"):
            await self.dark(scheme == "dark")
            await self.picture(f"{name}, {scheme}", cell)

    def heard(self, kind: str) -> int:
        """How many messages of a kind the kernel has sent."""
        word = f'"msg_type": "{kind}"'
        return sum((word if isinstance(it, str) else word.encode()) in it for it in self.frames)

    async def saved(self) -> str:
        """Save it; what is in the file."""
        await self.command("docmanager:save")
        return self.path.read_text()

    async def reopen_with_fresh_kernel(self) -> None:
        """Save it, stop its kernel, and look at the file again: nothing is known but what is in it."""
        await self.saved()
        await self.rooms.stop_kernel(self.path)
        await self.rooms.visit(self.page, self.path)

    def watch(self) -> None:
        """Hear what the page does."""
        page, home, alarms, frames = self.page, self.rooms.url, self.alarms, self.frames

        async def dialog(it: Any) -> None:
            alarms.append(f"{it.type} {it.message}")
            await it.dismiss()

        def request(it: Any) -> None:
            if not it.url.startswith((home, "data:", "blob:")):
                alarms.append(f"asked {it.url}")

        def moved(frame: Any) -> None:
            if frame.parent_frame is not None or not frame.url.startswith((home, "about:blank")):
                alarms.append(f"a frame went to {frame.url}")

        page.on("dialog", dialog)
        page.on("request", request)
        page.on("framenavigated", moved)
        page.on("popup", lambda it: alarms.append(f"opened {it.url}"))
        page.on("pageerror", lambda it: alarms.append(f"error {it}"))
        page.on("websocket", lambda it: it.on("framereceived", lambda frame: frames.append(frame)))


Notebook: TypeAlias = Callable[..., AbstractAsyncContextManager[Book]]
"""Opens a notebook of cells."""


@define(eq=False)
class Rooms:
    """A JupyterLab server and a browser."""

    url: str
    token: str
    root: Path
    context: BrowserContext
    _count: int = 0

    @asynccontextmanager
    async def notebook(self, artefacts: Path, *cells: str) -> AsyncGenerator[Book]:
        """Write a notebook of these cells, and open it with a fresh kernel."""
        import nbformat

        self._count += 1
        path = self.root / f"notebook-{self._count}.ipynb"
        written = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(dedent(cell).strip()) for cell in cells],
            metadata={"kernelspec": KERNEL},
        )
        nbformat.write(written, path)
        async with self.opened(artefacts, path) as book:
            yield book

    @asynccontextmanager
    async def opened(self, artefacts: Path, path: Path) -> AsyncGenerator[Book]:
        """Open a notebook with a fresh kernel."""
        page = await self.context.new_page()
        page.set_default_timeout(PATIENCE * 1e3)
        book = Book(page, path, self, artefacts)
        book.watch()
        try:
            await self.visit(page, path)
            yield book
        except BaseException:
            await book.picture(f"where it failed, {path.stem}")
            raise
        finally:
            await self.stop_kernel(path)
            await page.close()

    async def visit(self, page: Page, path: Path) -> None:
        """Look at a file; it gets a kernel that knows nothing."""
        await page.goto(f"{self.url}/doc/tree/{path.name}?token={self.token}&reset")
        await page.wait_for_function("window.jupyterapp")
        await asyncio.wait_for(page.evaluate("window.jupyterapp.restored.then(() => 0)"), PATIENCE)
        await expect(page.locator(".jp-Notebook .jp-Cell").first).to_be_visible()
        await page.wait_for_function(READY)

    async def stop_kernel(self, path: Path) -> None:
        """End the kernels of a file."""
        for session in await self._ask("get", "sessions"):
            if session["path"] == path.name:
                await self._ask("delete", f"sessions/{session['id']}")

    async def _ask(self, method: str, what: str) -> Any:
        headers = {"Authorization": f"token {self.token}"}
        send = getattr(self.context.request, method)
        answer = await send(f"{self.url}/api/{what}", headers=headers)
        assert answer.ok, await answer.text()
        return await answer.json() if method != "delete" else None


@asynccontextmanager
async def open_rooms(folder: Path) -> AsyncGenerator[Rooms]:
    """Start both, and end both."""
    token = secrets.token_hex(16)
    root = folder / "notebooks"
    async with (
        jupyterlab(folder, root, token) as url,
        chromium() as browser,
        await browser.new_context(viewport={"width": 1000, "height": 900}) as context,
    ):
        yield Rooms(url, token, root, context)
