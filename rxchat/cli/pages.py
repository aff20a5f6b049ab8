"""What an answer is written on: plain text, JSON lines, or Markdown at a terminal that can."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TextIO, TypeAlias

import msgspec

from rxchat.cli.untrusted import clean
from rxchat.events import Event, Refusal, Reset, Text
from rxchat.stream import Stream

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Page", "PlainPage", "add_output_options", "console_for", "json_line", "page_for"]
__all__ += ["show"]

Page: TypeAlias = AbstractContextManager[Callable[[Event], None]]
"""Entered, it gives what writes an event; left, it is as complete as the answer."""


def add_output_options(parser: argparse.ArgumentParser, what: str = "events") -> None:
    """`--json` and `--plain`."""
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help=f"{what} as JSON lines, for scripts")
    how.add_argument("--plain", action="store_true", help="plain text, also at a terminal")


def console_for(said: argparse.Namespace, *, errors: bool = False) -> Console | None:
    """A console of rich's at the output, or that of errors, if it is a terminal and all agree."""
    out: TextIO = sys.stderr if errors else sys.stdout
    if said.json or said.plain or not out.isatty() or os.environ.get("TERM") == "dumb":
        return None
    try:
        from rich.console import Console
    except ImportError:
        return None
    return Console(file=out, highlight=False, markup=False, emoji=False)


def page_for(said: argparse.Namespace) -> Page:
    """A new page, as the options and the terminal want it."""
    if said.json:
        return JsonPage(sys.stdout)
    if console := console_for(said):
        from rxchat.cli.markdown import MarkdownPage

        return MarkdownPage(console)
    return PlainPage(sys.stdout)


async def show(answer: Stream[Event], page: Page) -> None:
    """Write an answer as it comes."""
    with page as write:
        async with answer.open() as events:
            async for event in events:
                write(event)


class PlainPage(Page):
    """Text as it comes, without control characters."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._line_open = False

    def __enter__(self) -> Callable[[Event], None]:
        return self._write

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # Half an answer in a pipe stays as it came.
        if kind is None or (self._line_open and self._out.isatty()):
            print(file=self._out, flush=True)

    def _write(self, event: Event) -> None:
        if isinstance(event, Reset) and event.kind == "restart":
            self._put("\n\n")
        elif isinstance(event, Text | Refusal) and event.choice == 0:
            self._put(clean(event.text))

    def _put(self, text: str) -> None:
        print(text, end="", file=self._out, flush=True)
        self._line_open = not text.endswith("\n") if text else self._line_open


class JsonPage(Page):
    """Each event as a line of JSON, in ASCII, so that nothing in it is of use to a terminal."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def __enter__(self) -> Callable[[Event], None]:
        return lambda event: print(json_line(event), file=self._out, flush=True)

    def __exit__(self, *_: object) -> None: ...


def json_line(event: Event, **more: Any) -> str:
    """An event as scripts read it.

    >>> json_line(Text("Hé"))
    '{"type": "text", "text": "H\\\\u00e9", "choice": 0}'
    """
    kind = "".join(f"_{c.lower()}" if c.isupper() else c for c in type(event).__name__)[1:]
    fields = msgspec.to_builtins(event, str_keys=True, enc_hook=str)
    told = {name: value for name, value in fields.items() if value is not None}
    return json.dumps({**more, "type": kind, **told})
