"""`measure`: ask several streams many times, and keep what they were like."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping
from typing import Any, cast

from rxchat.errors import UsageError
from rxchat.notebook.measuring.measurements import Measured, Measurements
from rxchat.notebook.measuring.progress_line import progress_line
from rxchat.notebook.measuring.rounds import Rounds
from rxchat.notebook.pending import Pending
from rxchat.notebook.words import counted
from rxchat.stream import Stream, labelled_streams, wrap

__all__ = ["Measuring", "measure"]


class Measuring(Pending):
    """A measurement that goes on while it is awaited, and again when it is awaited again."""

    awaited = "table = await measure(...)"

    def __init__(self, streams: Mapping[str, Stream[Any]], runs: int) -> None:
        self._measured: dict[str, list[Measured]] = {label: [] for label in streams}
        self._rounds = Rounds(streams, runs)
        self._one = asyncio.Lock()

    @property
    def table(self) -> Measurements:
        """What has been measured until now."""
        return Measurements(self._measured)

    def __await__(self) -> Generator[Any, None, Measurements]:
        return self._go().__await__()

    async def _go(self) -> Measurements:
        async with self._one:
            with progress_line(lambda: repr(self)[1:-1]) as say:
                for turn in self._rounds:
                    say(f"{turn}{self._failures()}")
                    run = await turn.take()
                    self._measured[turn.label].append(Measured.of(turn.label, turn.number, run))
        return self.table

    def _failures(self) -> str:
        runs = [run for runs in self._measured.values() for run in runs]
        failed = sum(run.outcome == "failed" for run in runs)
        return f" ({failed:,} failed)" if failed else ""

    def __repr__(self) -> str:
        done = sum(map(len, self._measured.values()))
        left = "" if not self._rounds else f", {len(self._rounds):,} to go: await it"
        return f"<measured {counted(done, 'run')}{self._failures()}{left}>"


def measure(streams: Mapping[str, Stream[Any]], *, runs: int = 20) -> Measuring:
    """Ask each of these streams so many times: `table = await measure({"openai": stream})`.

    One request at a time, and the streams in turn, so that none slows another; the first run of
    each also makes the connection, and is not `warm`. A run that fails is a row of the table;
    wrong usage and a bug of yours are raised.

    Nothing is lost if you interrupt it: keep it, `measuring = measure(...)`, to look at its
    `table` at any time, and await it again to do what is left. In a notebook, a line says how far
    it is.

    >>> from rxchat.testing import Scripted, run_virtual
    >>> quick, slow = Scripted(0.2, "Hello"), Scripted(0.8, "Hel", 0.1, "lo")
    >>> async def main():
    ...     return await measure({"quick": quick("Hi"), "slow": slow("Hi")}, runs=3)
    >>> run_virtual(main())
    provider  runs  failed  first, s: best  median    p95  worst  chars/s: median  p5
    quick        3       0           0.200   0.200  0.200  0.200                -   -
    slow         3       0           0.800   0.800  0.800  0.800               20  20
    """
    labelled_streams("measure", streams)
    count = cast("object", runs)
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise UsageError(f"runs= is a number of at least 1, not {count!r}")
    return Measuring({label: wrap(stream, label) for label, stream in streams.items()}, runs)
