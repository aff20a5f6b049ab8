"""`python -m rxchat bench`: how quick providers are, over many runs.

Strategy. One request at a time, and the providers in turn, so that none slows another and an hour
of heavy traffic is the same for all. The first run of each also makes the connection.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from itertools import count

import attrs

from rxchat.cli import exits
from rxchat.cli.naming import SPELLING, label_of, named
from rxchat.cli.numbers import percentile
from rxchat.cli.pages import add_output_options, console_for
from rxchat.cli.tables import print_table
from rxchat.errors import ChatError
from rxchat.events import Event
from rxchat.operators.asking.meters import Run, meter
from rxchat.stream import Stream

__all__ = ["add"]

QUESTION = "Count from one to fifty, in words."


def add(parser: argparse.ArgumentParser) -> None:
    """What can be said to it."""
    parser.add_argument("providers", nargs="+", metavar="PROVIDER", help=SPELLING)
    parser.add_argument("--runs", type=_runs, default=20, metavar="N", help="of each; 20")
    parser.add_argument("--question", default=QUESTION, metavar="TEXT", help=f'"{QUESTION}"')
    add_output_options(parser, "a run each")
    parser.set_defaults(run=_bench)


def _runs(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


@attrs.define(eq=False)
class Measured:
    """One of them, and what its runs were like."""

    label: str
    stream: Stream[Event]
    runs: Sequence[Run]

    def row(self) -> list[str]:
        runs = [run for run in self.runs if run.outcome != "hung up"]
        good = [run for run in runs if run.outcome == "completed"]
        firsts = [run.first for run in good if run.first is not None]
        rates = [run.rate for run in good if run.rate is not None]
        failed = sum(run.outcome == "failed" for run in runs)
        return [
            self.label,
            str(len(runs)),
            str(failed),
            *(_cell(firsts, percent, "{:.3f}") for percent in (0, 50, 95, 100)),
            *(_cell(rates, percent, "{:,.0f}") for percent in (50, 5)),
        ]


HEAD = (
    *("provider", "runs", "failed"),
    *("first, s: best", "median", "p95", "worst"),
    *("chars/s: median", "p5"),
)


def _cell(values: Sequence[float], percent: float, form: str) -> str:
    return form.format(percentile(values, percent)) if values else "-"


def _bench(said: argparse.Namespace) -> int:
    measured = [_measured(spelt, said.question) for spelt in said.providers]
    try:
        asyncio.run(_measure(said, measured))
    finally:  # what was measured before Ctrl-C was paid for
        if not said.json:
            print_table(console_for(said), HEAD, [each.row() for each in measured], right=1)
    spoke = all(any(run.outcome == "completed" for run in each.runs) for each in measured)
    return exits.OK if spoke else exits.FAILED


def _measured(spelt: str, question: str) -> Measured:
    provider = named(spelt)
    runs: list[Run] = []
    return Measured(label_of(provider), provider(question).pipe(meter(runs.append)), runs)


async def _measure(said: argparse.Namespace, measured: Sequence[Measured]) -> None:
    with _progress(said, said.runs * len(measured)) as begin:
        for number in range(1, said.runs + 1):
            for each in measured:
                begin(f"run {number} of {said.runs}: {each.label}")
                try:
                    await each.stream
                except ChatError as error:
                    exits.remark(f"{each.label}: {type(error).__name__}: {error}")
                if said.json:
                    print(json.dumps({"label": each.label, **each.runs[-1].row()}), flush=True)


@contextmanager
def _progress(said: argparse.Namespace, total: int) -> Generator[Callable[[str], None]]:
    """A bar at standard error if that is a terminal, and else nothing."""
    console = console_for(said, errors=True)
    if console is None:
        yield lambda _: None
        return
    from rich.progress import Progress

    with Progress(console=console, auto_refresh=False, transient=True) as progress:
        task = progress.add_task("", total=total)
        begun = count()

        def begin(what: str) -> None:
            progress.update(task, description=what, completed=next(begun), refresh=True)

        yield begin
