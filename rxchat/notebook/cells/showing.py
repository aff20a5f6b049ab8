"""`show`: one answer in a cell, while it comes and for good."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Protocol, overload

from reactivex import Observable

from rxchat.errors import UsageError
from rxchat.notebook.cells.cell import Cell, close, current_cell, in_a_notebook
from rxchat.notebook.cells.hearing import Hearing
from rxchat.notebook.cells.live import LiveAnswer
from rxchat.notebook.cells.page import headline, in_words, whole
from rxchat.notebook.cells.painter import Painter
from rxchat.notebook.cells.safe_html import plain
from rxchat.notebook.cells.shown import shown_in
from rxchat.notebook.cells.terminal import Printed, say
from rxchat.notebook.pending import Pending
from rxchat.notebook.timelines.timeline import Timeline
from rxchat.operators.gathering.collecting import Answer

__all__ = ["Showing", "show"]


class Showing(Pending):
    """An answer that is shown: `await` it for the `Answer`, or `stop()` it."""

    awaited = "answer = await show(...)"

    def __init__(self, stream: Observable[Any], title: str) -> None:
        self._hearing = Hearing(stream, self._heard, self._over, "show")
        self._cell = current_cell()
        make = _InCell if in_a_notebook() else Printed
        self._view: _View = make(self._hearing, title)
        self._hearing.start()

    def stop(self) -> None:
        """Hang up: what has come stays, and is the answer of who awaits it."""
        self._hearing.stop()

    def __await__(self) -> Generator[Any, None, Answer]:
        return self._answer().__await__()

    async def _answer(self) -> Answer:
        return shown_in(self._cell, await self._hearing.result())

    def _heard(self, item: object) -> None:
        self._view.heard(item)

    def _over(self) -> None:
        self._view.over()

    def _ipython_display_(self) -> None:
        """Display nothing: it is displayed already."""

    def __repr__(self) -> str:
        progress = self._hearing.progress
        size = len(progress.text)
        return f"<showing {self._hearing.name!r}: {progress.status}, {size:,} characters>"


class _View(Protocol):
    """Where an answer is drawn."""

    def heard(self, item: object, /) -> None: ...
    def over(self) -> None: ...


class _InCell:
    """Draws in a cell: a widget that grows, and in the end a page that stays."""

    def __init__(self, hearing: Hearing, title: str) -> None:
        self._hearing = hearing
        self._title = title
        self._live = LiveAnswer(hearing, title, hearing.stop)
        self._painter = Painter(self._live.paint)
        self._cell = Cell()
        self._cell.widget(self._live.widget)

    def heard(self, item: object) -> None:
        self._painter.changed()

    def over(self) -> None:
        self._painter.finish()
        progress = self._hearing.progress
        try:
            self._cell.page(whole(progress, self._hearing.run, self._title), in_words(progress))
        finally:
            close(self._live.widget)


@overload
def show(stream: Timeline, *, title: str = "") -> None: ...
@overload
def show(stream: Observable[Any], *, title: str = "") -> Showing: ...


def show(stream: Observable[Any] | Timeline, *, title: str = "") -> Showing | None:
    """Show an answer in a cell of a notebook while it comes, with a button that stops it.

    It is sent at once. `answer = await show(stream)` waits for it, and raises if it fails; without
    `await` the answer goes on in the background, and `await` of what `show` gives waits later. Who
    stops it gets the answer so far. A cell that waits and is interrupted hangs up.

    Text is Markdown; nothing that a model writes is run or loaded: HTML is text, links tell where
    they lead, pictures are their addresses. Values of other kinds are shown as they print. In the
    end the widget becomes HTML, which a saved notebook keeps. At a terminal, it is printed.

    `show(run)` draws a timeline so that pointing at it tells more.
    """
    if not isinstance(title, str):
        raise UsageError(f"show(title=) is a text, not {title!r}")
    if isinstance(stream, Timeline):
        _draw(stream, title)
        return None
    return Showing(stream, title)


def _draw(run: Timeline, title: str) -> None:
    text = plain(f"{title}\n{run.text()}" if title else run.text())
    if in_a_notebook():
        Cell().page(f"{headline(title)}{run.svg()}", text)
    else:
        say(text)
