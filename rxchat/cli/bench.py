"""`python -m rxchat bench`: how quick providers are, over many runs."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any

from rxchat.cli import exits
from rxchat.cli.naming import SPELLING, by_label
from rxchat.cli.pages import add_output_options, console_for
from rxchat.cli.tables import print_table
from rxchat.notebook.measuring.measurements import Measured, Measurements
from rxchat.notebook.measuring.rounds import Rounds
from rxchat.notebook.measuring.summary import HEAD, cells
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
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a number of at least 1, not {text!r}")
    return int(text)


def _bench(said: argparse.Namespace) -> int:
    providers = by_label(said.providers)
    streams = {label: provider(said.question) for label, provider in providers.items()}
    measured: dict[str, list[Measured]] = {label: [] for label in streams}
    try:
        asyncio.run(_measure(said, streams, measured))
    finally:  # what was measured before Ctrl-C was paid for
        if not said.json:
            lines = [cells(line) for line in Measurements(measured).summary()]
            print_table(console_for(said), HEAD, lines, right=1)
    spoke = all(any(run.outcome == "completed" for run in runs) for runs in measured.values())
    return exits.OK if spoke else exits.FAILED


async def _measure(
    said: argparse.Namespace,
    streams: Mapping[str, Stream[Any]],
    measured: Mapping[str, list[Measured]],
) -> None:
    rounds = Rounds(streams, said.runs)
    with _progress(said, len(rounds)) as begin:
        for turn in rounds:
            begin(str(turn))
            run = await turn.take()
            if run.error is not None:
                exits.remark(f"{turn.label}: {type(run.error).__name__}: {run.error}")
            measured[turn.label].append(Measured.of(turn.label, turn.number, run))
            if said.json:
                print(json.dumps(measured[turn.label][-1].row), flush=True)


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
