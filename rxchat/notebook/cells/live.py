"""An answer in a notebook while it comes: a widget whose state is all that there is to see.

A view that connects late, or again, draws the state. What has settled is sent in pages, so that a
long answer is not sent again with each word.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

from rxchat.cli.untrusted import one_line
from rxchat.errors import UsageError
from rxchat.notebook.cells.hearing import Hearing
from rxchat.notebook.cells.page import GrowingPage, foot

__all__ = ["LiveAnswer", "paged"]

PAGES = 32  # as in live.js
PAGE = 16_000  # characters


def paged(settled: list[str]) -> list[str]:
    """Pieces of HTML as pages: what is on a full page stays there, and the last takes the rest."""
    pages = [""] * PAGES
    number = 0
    for piece in settled:
        if len(pages[number]) >= PAGE and number < PAGES - 1:
            number += 1
        pages[number] += piece
    return pages


class LiveAnswer:
    """The widget of one answer; `stop` is called when its button is pressed, in any thread."""

    def __init__(self, hearing: Hearing, title: str, stop: Callable[[], None]) -> None:
        self._hearing = hearing
        self._page = GrowingPage(hearing.progress)
        self.widget = _widget_class()(title=one_line(title))

        def on_message(_: object, content: object, buffers: object) -> None:
            if content == {"stop": True}:
                stop()

        self.widget.on_msg(on_message)

    def paint(self) -> int:
        """Send what has changed; how many characters that were."""
        progress, widget = self._hearing.progress, self.widget
        self._page.read()
        state = {f"page{number}": page for number, page in enumerate(paged(self._page.settled))}
        state |= {"tail": self._page.tail, "foot": foot(progress, self._hearing.run)}
        fresh = {name: html for name, html in state.items() if html != getattr(widget, name)}
        with widget.hold_sync():
            for name, html in fresh.items():
                setattr(widget, name, html)
            widget.running = progress.status == "running"
        return sum(map(len, fresh.values()))


@cache
def _widget_class() -> Any:
    """The class of the widget: anywidget is loaded when the first one is shown."""
    try:
        from anywidget import AnyWidget
        from traitlets import Bool, Unicode
    except ImportError:
        raise UsageError("live cells take `pip install 'rxchat[notebook]'`") from None
    here = files("rxchat.notebook.cells")

    texts = [*(f"page{number}" for number in range(PAGES)), "tail", "foot", "title"]
    traits: dict[str, Any] = {name: Unicode().tag(sync=True) for name in texts}
    traits["running"] = Bool(True).tag(sync=True)
    code = {name: here.joinpath(f"live.{end}").read_text() for name, end in _CODE.items()}
    return type("Live", (AnyWidget,), {**traits, **code})


_CODE = {"_esm": "js", "_css": "css"}
