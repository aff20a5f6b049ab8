"""`compare`: several answers side by side in a cell, and when each of them spoke."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping
from functools import partial
from importlib import import_module
from typing import Any, Protocol

from reactivex import Observable

from rxchat.cli.untrusted import one_line
from rxchat.errors import UsageError
from rxchat.notebook.cells.cell import Cell, close, in_a_notebook
from rxchat.notebook.cells.hearing import Hearing
from rxchat.notebook.cells.live import LiveAnswer
from rxchat.notebook.cells.page import columns, headline, in_words, whole
from rxchat.notebook.cells.painter import Painter
from rxchat.notebook.cells.safe_html import plain
from rxchat.notebook.cells.terminal import say
from rxchat.notebook.numbers import footer
from rxchat.notebook.pending import Pending
from rxchat.notebook.timelines.recording import Recording
from rxchat.notebook.timelines.timeline import CELL
from rxchat.notebook.timelines.watching import lane
from rxchat.operators.gathering.collecting import Answer
from rxchat.stream import labelled_streams, recording, wrap

__all__ = ["Comparing", "compare"]

PICTURE_PAUSE = 1.0  # seconds between two pictures of the timeline


class Comparing(Pending):
    """Answers that are shown side by side: `await` it for all of them, or `stop()` it."""

    awaited = "answers = await compare(...)"

    def __init__(self, streams: Mapping[str, Observable[Any]], title: str) -> None:
        self.run = Recording(title)
        """When each of them spoke."""
        self._hearings = {label: self._hearing(label, stream) for label, stream in streams.items()}
        self._left = {*self._hearings}
        make = _InCell if in_a_notebook() else _Printed
        self._view: _View = make(self._hearings, self.run, title)
        for hearing in self._hearings.values():
            hearing.start()

    def _hearing(self, label: str, stream: Observable[Any]) -> Hearing:
        heard = wrap(stream).pipe(lane(label, self.run))
        if recording.get() is not None:  # a watch around it sees what is heard here
            heard = heard.pipe(lane(label))
        return Hearing(heard, partial(self._heard, label), partial(self._over, label), "compare")

    def stop(self, label: str | None = None) -> None:
        """Hang up that one, or all."""
        if label is not None and label not in self._hearings:
            raise UsageError(f"there is no {label!r}; there are {', '.join(self._hearings)}")
        for each in self._hearings if label is None else [label]:
            self._hearings[each].stop()

    def __await__(self) -> Generator[Any, None, dict[str, Answer | Exception]]:
        return self._results().__await__()

    async def _results(self) -> dict[str, Answer | Exception]:
        results: dict[str, Answer | Exception] = {}
        try:
            for label, hearing in self._hearings.items():
                try:
                    results[label] = await hearing.result()
                except Exception as error:
                    results[label] = error
        except asyncio.CancelledError:
            for hearing in self._hearings.values():
                hearing.hang_up()
            raise
        return results

    def _heard(self, label: str, _: object) -> None:
        self._view.heard(label)

    def _over(self, label: str) -> None:
        self._left.discard(label)
        self._view.heard(label)
        if not self._left:
            self._view.over()

    def _ipython_display_(self) -> None:
        """Display nothing: it is displayed already."""

    def __repr__(self) -> str:
        each = (f"{label!r} {one.progress.status}" for label, one in self._hearings.items())
        return f"<comparing {', '.join(each)}>"


class _View(Protocol):
    """Where the answers are drawn."""

    def heard(self, label: str, /) -> None: ...
    def over(self) -> None: ...


class _InCell:
    """Draws in a cell: a widget for each, and in the end a table and a picture that stay."""

    def __init__(self, hearings: Mapping[str, Hearing], run: Recording, title: str) -> None:
        self._hearings = hearings
        self._run = run
        self._title = title
        self._columns = {
            label: LiveAnswer(hearing, label, hearing.stop) for label, hearing in hearings.items()
        }
        for column in self._columns.values():
            column.widget.layout.flex = "1 1 18em"
        widgets = import_module("ipywidgets")  # of which anywidget's are made
        beside = [column.widget for column in self._columns.values()]
        row = widgets.Box(beside)
        row.layout.display, row.layout.flex_flow = "flex", "row wrap"
        head, self._drawing = widgets.HTML(headline(title)), widgets.HTML()
        self._drawing.layout.width = "100%"
        page = widgets.VBox([head, row])
        self._widgets = [*beside, head, row, page, self._drawing]
        self._painters = {label: Painter(column.paint) for label, column in self._columns.items()}
        self._draftsman = Painter(self._draw, PICTURE_PAUSE)
        self._cell, self._picture = Cell(), Cell()
        self._cell.widget(page)
        self._picture.widget(self._drawing)

    def heard(self, label: str) -> None:
        self._painters[label].changed()
        self._draftsman.changed()

    def _draw(self) -> int:
        self._drawing.value = self._run.svg(width=CELL)
        return len(self._drawing.value)

    def over(self) -> None:
        for painter in (*self._painters.values(), self._draftsman):
            painter.finish()
        shown = self._hearings.items()
        try:
            pages = {label: whole(hearing.progress, hearing.run) for label, hearing in shown}
            words = [_in_words(label, hearing) for label, hearing in shown]
            self._cell.page(f"{headline(self._title)}{columns(pages)}", "\n\n".join(words))
            self._picture.picture(self._run)
        finally:
            close(*self._widgets)


class _Printed:
    """Prints each whole, as soon as all before it are, and then the timeline."""

    def __init__(self, hearings: Mapping[str, Hearing], run: Recording, title: str) -> None:
        self._waiting = [*hearings.items()]
        self._run = run
        if title:
            say(one_line(title))

    def heard(self, label: str) -> None:
        while self._waiting and self._waiting[0][1].progress.status != "running":
            say(_in_words(*self._waiting.pop(0)) + "\n")

    def over(self) -> None:
        say(plain(self._run.text()))


def _in_words(label: str, hearing: Hearing) -> str:
    run = hearing.run
    numbers = f" ({footer(run)})" if run is not None and run.first is not None else ""
    return f"--- {one_line(label)}{numbers}\n{in_words(hearing.progress)}"


def compare(streams: Mapping[str, Observable[Any]], *, title: str = "") -> Comparing:
    """Show several answers side by side in a cell while they come, and a timeline below.

    All are sent at once. `answers = await compare({"a": one, "b": other})` gives, for each label,
    the `Answer` or the exception that it failed with: one's failure does not end the others. Each
    has a button that stops it. Otherwise it is as `show`.
    """
    labelled_streams("compare", streams)
    if not isinstance(title, str):
        raise UsageError(f"compare(title=) is a text, not {title!r}")
    return Comparing(streams, title)
