"""A line in a notebook that says how far something is; nothing outside of one."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from html import escape
from importlib import import_module
from typing import Any

from rxchat.notebook.timelines.layout import visible

__all__ = ["progress_line"]

PAUSE = 0.1  # seconds from one painting to the next


@contextmanager
def progress_line(ending: Callable[[], str]) -> Generator[Callable[[str], object]]:
    """What says how far it is: at most ten times a second, and at the end, or broken off, that."""
    show = _shown()
    if show is None:
        yield lambda words: None
        return
    line = _Line(show)
    try:
        yield line.say
    finally:
        line.end(ending())


class _Line:
    def __init__(self, show: Callable[[str], object]) -> None:
        self._show = show
        self._words = ""
        self._timer: asyncio.TimerHandle | None = None

    def say(self, words: str) -> None:
        self._words = words
        if self._timer is None:
            self._paint()

    def _paint(self) -> None:
        """Now, and what is said meanwhile after a pause."""
        words, self._words, self._timer = self._words, "", None
        if words:
            self._show(words)
            self._timer = asyncio.get_running_loop().call_later(PAUSE, self._paint)

    def end(self, words: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._show(words)


def _shown() -> Callable[[str], object] | None:
    """What shows words in a cell, always in the same place."""
    python: Any = sys.modules.get("IPython")  # nobody is in a notebook who has not loaded it
    shell = python.get_ipython() if python is not None else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    display: Any = import_module("IPython.display").display

    def bundle(words: str) -> dict[str, str]:
        html = f'<span style="opacity:.7">{escape(visible(words))}</span>'
        return {"text/html": html, "text/plain": words}

    handle = display(bundle(""), raw=True, display_id=True)
    return lambda words: handle.update(bundle(words), raw=True)
