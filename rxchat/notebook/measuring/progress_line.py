"""A line in a notebook that says how far something is; nothing outside of one."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from html import escape
from importlib import import_module
from typing import Any

from rxchat.notebook.cells.cell import in_a_notebook
from rxchat.notebook.cells.painter import Painter
from rxchat.notebook.words import visible

__all__ = ["progress_line"]

PAUSE = 0.1  # seconds from one painting to the next


@contextmanager
def progress_line(ending: Callable[[], str]) -> Generator[Callable[[str], object]]:
    """What says how far it is: at most ten times a second, and at the end, or broken off, that."""
    if not in_a_notebook():
        yield lambda words: None
        return
    line = _Line()
    try:
        yield line.say
    finally:
        line.end(ending())


class _Line:
    """Words in a cell, always in the same place."""

    def __init__(self) -> None:
        display: Any = import_module("IPython.display").display
        self._handle = display(_bundle(""), raw=True, display_id=True)
        self._words = ""
        self._painter = Painter(self._paint, PAUSE)

    def say(self, words: str) -> None:
        self._words = words
        self._painter.changed()

    def end(self, words: str) -> None:
        self._painter.finish()
        self._words = words
        self._paint()

    def _paint(self) -> int:
        self._handle.update(_bundle(self._words), raw=True)
        return len(self._words)


def _bundle(words: str) -> dict[str, str]:
    html = f'<span style="opacity:.7">{escape(visible(words))}</span>'
    return {"text/html": html, "text/plain": words}
