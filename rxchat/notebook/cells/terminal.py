"""Where there is no notebook: an answer is printed as it comes, as `python -m rxchat` does."""

from __future__ import annotations

import sys
from argparse import Namespace

from rxchat.cli.exits import remark
from rxchat.cli.pages import page_for
from rxchat.cli.untrusted import one_line
from rxchat.events import Text
from rxchat.notebook.cells.hearing import Hearing, as_event
from rxchat.notebook.numbers import footer

__all__ = ["Printed", "say"]


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class Printed:
    """Prints an answer as it comes: Markdown where that can be, else plain text."""

    def __init__(self, hearing: Hearing, title: str) -> None:
        self._hearing = hearing
        if title:
            say(one_line(title))
        self._page = page_for(Namespace(json=False, plain=False))
        self._write = self._page.__enter__()

    def heard(self, item: object) -> None:
        event = as_event(item)
        self._write(Text(event) if isinstance(event, str) else event)

    def over(self) -> None:
        self._page.__exit__(None, None, None)
        progress, run = self._hearing.progress, self._hearing.run
        if progress.error is not None:
            remark(f"{type(progress.error).__name__}: {progress.error}")
        elif run is not None and run.first is not None:
            say(f"({one_line(footer(run))})")
