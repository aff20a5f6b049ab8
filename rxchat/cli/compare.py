"""`python -m rxchat compare`: one question to several providers, their answers side by side."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import attrs

from rxchat.cli import exits
from rxchat.cli.naming import SPELLING, by_label, is_spelling
from rxchat.cli.pages import add_output_options, console_for, json_line
from rxchat.cli.untrusted import clean
from rxchat.errors import UsageError
from rxchat.events import Event, Finish, Refusal, Reset, Text
from rxchat.notebook.numbers import footer
from rxchat.operators.asking.meters import Meter, meter
from rxchat.operators.gathering.side_by_side import Labelled, LabelledError, side_by_side

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

__all__ = ["add"]

Item: TypeAlias = Labelled[Event] | LabelledError
View: TypeAlias = AbstractContextManager[Callable[[Item], None]]

NARROWEST = 24  # a column that can still be read


def add(parser: argparse.ArgumentParser) -> None:
    """What can be said to it."""
    parser.add_argument("question", help="what to ask all of them")
    parser.add_argument("providers", nargs="+", metavar="PROVIDER", help=SPELLING)
    add_output_options(parser)
    parser.set_defaults(run=_run)


def _run(said: argparse.Namespace) -> int:
    if is_spelling(said.question):
        raise UsageError(
            f"{said.question!r} is a provider: say the question first, as in "
            f'compare "Why is the sky blue?" {said.question} {" ".join(said.providers)}'
        )
    return asyncio.run(_compare(said))


@attrs.define(eq=False)
class Column:
    """What one of them has said so far."""

    label: str
    meter: Meter = attrs.field(factory=meter)
    text: str = ""
    error: Exception | None = None
    over: bool = False

    def take(self, item: Item) -> None:
        if isinstance(item, LabelledError):
            self.error, self.over = item.error, True
            return
        match item.item:
            case Text(text, 0) | Refusal(text, 0):
                self.text += clean(text)
            case Reset("restart", _):
                self.text = ""
            case Finish():
                self.over = True
            case _:
                pass

    @property
    def result(self) -> str:
        """How it went, in a line."""
        if self.error is not None:
            return clean(f"{type(self.error).__name__}: {self.error}")
        run = self.meter.last
        return footer(run) if run and run.first is not None else "..."


async def _compare(said: argparse.Namespace) -> int:
    providers = by_label(said.providers)
    columns = {label: Column(label) for label in providers}
    streams = {
        label: provider(said.question).pipe(columns[label].meter)
        for label, provider in providers.items()
    }
    with _view(said, columns) as shown:
        async with side_by_side(streams).open() as items:
            async for item in items:
                columns[item.label].take(item)
                shown(item)
    return exits.FAILED if any(column.error for column in columns.values()) else exits.OK


def _view(said: argparse.Namespace, columns: Mapping[str, Column]) -> View:
    console = console_for(said)
    if said.json:
        return nullcontext(_print_json)
    if console is None or console.width < NARROWEST * len(columns):
        return nullcontext(partial(_print_those_over, [*columns.values()]))
    return _live(console, columns)


def _print_json(item: Item) -> None:
    if isinstance(item, LabelledError):
        exits.report(item.error, as_json=True, label=item.label)
    else:
        print(json_line(item.item, label=item.label), flush=True)


def _print_those_over(waiting: list[Column], _: Item) -> None:
    """Each whole, as soon as all before it are."""
    while waiting and waiting[0].over:
        column = waiting.pop(0)
        print(f"--- {column.label} ({column.result})\n{column.text}\n", flush=True)


@contextmanager
def _live(console: Console, columns: Mapping[str, Column]) -> Generator[Callable[[Item], None]]:
    """Columns of which the last lines are in sight; in the end, all of each."""
    from rxchat.cli.painting import Painting

    try:
        with Painting(console, lambda: _grid(columns, console.height - 3)) as painting:
            yield lambda _: painting.changed()
    finally:
        console.print(_grid(columns, None))


def _grid(columns: Mapping[str, Column], lines: int | None) -> RenderableType:
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text as Words

    from rxchat.cli.markdown import as_markdown
    from rxchat.cli.painting import Shown

    grid = Table.grid(expand=True)
    for _ in columns:
        grid.add_column(ratio=1)
    grid.add_row(
        *(
            Panel(
                Shown(as_markdown(column.text), lines),
                title=Words(clean(column.label)),
                subtitle=Words(column.result, style="red" if column.error else "dim"),
            )
            for column in columns.values()
        )
    )
    return grid
