"""Examples that run, and the pictures of what they did.

A fenced block whose first line is "```python marbles" is run in virtual time, under `watch()`. Its
last line is what is run: a stream, or something else to await. The block is replaced by its code
and the timeline of that run. With "marbles fails=Truncated" it has to end with that error.

What the blocks may use without an import is the first block of operators/index.md.
"""

from __future__ import annotations

import ast
import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

from rxchat.notebook import Recording, watch
from rxchat.notebook.timelines.lanes import Drawn
from rxchat.notebook.timelines.layout import Layout
from rxchat.notebook.timelines.svg_style import sheet
from rxchat.testing import run_virtual

__all__ = ["ExampleFails", "illustrated", "style"]

WIDTH = 760  # of a picture, in pixels: as wide as the text of a page
MARBLES = re.compile(
    r"^```python marbles(?: fails=(?P<fails>\w+))?\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE
)
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
STYLE = re.compile(r"<style>.*?</style>", re.DOTALL)
INDEX = Path(__file__).parent.parent / "operators" / "index.md"


class ExampleFails(Exception):
    """An example of the pages does not do what it is there to show."""


def illustrated(markdown: str, page: str) -> str:
    """The page, with each example and its picture in the place of its block."""

    def drawn(block: re.Match[str]) -> str:
        line = markdown.count("\n", 0, block.start()) + 1
        return f"```python\n{block['code']}```\n\n{_figure(block, f'{page}:{line}')}"

    return MARBLES.sub(drawn, markdown)


def style() -> str:
    """The one style sheet of all pictures, which follows the switch between light and dark."""
    return f'{sheet("light")}\n[data-md-color-scheme="slate"]{{{sheet("dark")}}}\n'


def _figure(block: re.Match[str], place: str) -> str:
    """A block of HTML without blank lines, as Markdown wants it."""
    run, error = _run(block["code"], place)
    name = type(error).__name__ if error else None
    if name != block["fails"]:
        raise ExampleFails(f"{place}: ended with {error!r}, not {block['fails']}") from error
    for row in run.rows:
        if not row.marks and row.outcome == "completed":
            raise ExampleFails(f"{place}: nothing came on the lane {row.name!r}")
    if not any(row.part == "named" for row in run.rows):
        raise ExampleFails(f"{place}: no lane has been subscribed to")
    run.title = "; ".join(map(_told, Layout(run.rows).lanes))
    picture = STYLE.sub("", run.svg(width=WIDTH, compact=True))
    return f'<figure class="marbles">{picture}</figure>'


def _run(code: str, place: str) -> tuple[Recording, Exception | None]:
    """What happened, and the error that it ended with."""
    try:
        names, last = _prepared(code, place)
    except Exception as error:
        raise ExampleFails(f"{place}: {error!r}") from error
    random.seed(0)

    async def watched() -> tuple[Recording, Exception | None]:
        with watch() as run:
            try:
                await last(names)
            except Exception as error:
                return run, error
        return run, None

    return run_virtual(watched())


def _prepared(code: str, place: str) -> tuple[dict[str, Any], Callable[..., Awaitable[Any]]]:
    """The names that the block defines, and what awaits its last line."""
    *before, last = ast.parse(code, place).body
    if not isinstance(last, ast.Expr):
        raise ExampleFails(f"{place}: the last line is nothing to run")
    names: dict[str, Any] = {"asyncio": asyncio}
    for part in (_setup(), compile(ast.Module(before, []), place, "exec")):
        exec(part, names)  # noqa: S102  # our own pages are what is to be run
    expression = compile(ast.Expression(last.value), place, "eval")

    async def finish(names: dict[str, Any]) -> Any:
        return await eval(expression, names)  # noqa: S307  # as above

    return names, finish


@cache
def _setup() -> CodeType:
    found = BLOCK.search(INDEX.read_text())
    if not found:
        raise ExampleFails("operators/index.md does not show what all examples import")
    return compile(found[1], INDEX.name, "exec")


def _told(lane: Drawn) -> str:
    """A lane for those who cannot see it."""
    said = ", ".join(mark.words.strip() for mark in lane.content)
    return f"{lane.label}: {said or 'nothing'}, {lane.row.outcome}"
