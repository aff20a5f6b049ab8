"""The place in a notebook where something live is shown, and where it stays when it is over."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from rxchat.notebook.timelines.timeline import Timeline
from rxchat.stills import LITERAL

__all__ = ["Cell", "awake", "close", "current_cell", "in_a_notebook"]

MEANWHILE = "An answer is on its way."
NAP = 0.25  # seconds


def in_a_notebook() -> bool:
    """Whether this runs in the kernel of a notebook: not in a script, not at a terminal."""
    return _shell() is not None


def current_cell() -> int | None:
    """The number of the cell that runs, None if this is no notebook."""
    shell = _shell()
    return None if shell is None else shell.execution_count


def _shell() -> Any:
    """What runs the cells, if there are any; nobody is in a notebook who has not loaded it."""
    ipython = sys.modules.get("IPython")
    shell: Any = ipython.get_ipython() if ipython is not None else None
    return None if getattr(shell, "kernel", None) is None else shell


class Cell:
    """One output of a cell, which can be replaced."""

    def __init__(self) -> None:
        self._shell = _shell()
        self._id = uuid4().hex
        self._shown = False

    def widget(self, widget: Any) -> None:
        """Show a widget."""
        bundle, metadata = self._shell.display_formatter.format(widget)
        self._show({**bundle, "text/plain": MEANWHILE}, metadata)

    def page(self, html: str, text: str) -> None:
        """Show HTML, and beside it text; instead of what was there.

        A page is no mathematics: in that of an answer, "$5 or $10" would become a formula.
        """
        html = f'<div class="{LITERAL}">{html}</div>'
        self._show({"text/html": html, "text/plain": text}, {})

    def picture(self, run: Timeline) -> None:
        """Show a timeline, as a picture, which sites that strip HTML show, too."""
        self._show(run.bundle(), {})

    def _show(self, bundle: dict[str, Any], metadata: dict[str, Any]) -> None:
        place = {"display_id": self._id}
        publish = self._shell.display_pub.publish
        publish(bundle, metadata, transient=place, update=self._shown)
        self._shown = True


@contextmanager
def awake() -> Generator[None]:
    """Let the loop of a kernel turn now and then, so that who waits can be interrupted.

    ipykernel notes an interrupt at once, but sees to it in the next turn of the loop, and does not
    wake it: while a server is silent, that could take for ever.
    """
    if not in_a_notebook():
        yield
        return
    loop = asyncio.get_running_loop()
    timers = [loop.call_later(NAP, lambda: turn())]

    def turn() -> None:
        timers[:] = [loop.call_later(NAP, turn)]

    try:
        yield
    finally:
        timers[0].cancel()


def close(*widgets: Any) -> None:
    """Leave nothing of them in the kernel, nor of what they are made of."""
    for widget in widgets:
        for part in (getattr(widget, "layout", None), getattr(widget, "style", None), widget):
            if part is not None:
                part.close()
