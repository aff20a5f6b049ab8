"""Several streams, each asked many times.

Strategy. One request at a time, and the streams in turn, so that none slows another and an hour
of heavy traffic is the same for all. The first run of each also makes the connection.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import frozen

from rxchat.errors import ChatError, is_fatal
from rxchat.operators.asking.meters import Run, meter
from rxchat.stream import Stream

__all__ = ["Rounds", "Turn"]


@frozen
class Turn:
    """One stream that is asked once."""

    label: str
    stream: Stream[Any]
    number: int
    runs: int

    async def take(self) -> Run:
        """What it was like; that a service fails is a part of that, a mistake of yours is not."""
        measured = meter()
        try:
            await self.stream.pipe(measured)
        except ChatError as error:  # the run has it
            if is_fatal(error):
                raise
        return measured.runs[0]

    def __str__(self) -> str:
        return f"run {self.number:,} of {self.runs:,}: {self.label}"


class Rounds:
    """The turns that are left; one that is broken off is left, too.

    >>> from rxchat import of
    >>> [str(turn) for turn in Rounds({"a": of(1), "b": of(2)}, runs=2)]
    ['run 1 of 2: a', 'run 1 of 2: b', 'run 2 of 2: a', 'run 2 of 2: b']
    """

    def __init__(self, streams: Mapping[str, Stream[Any]], runs: int) -> None:
        self._streams = [*streams.items()]
        self._runs = runs
        self._taken = 0

    def __len__(self) -> int:
        return self._runs * len(self._streams) - self._taken

    def __iter__(self) -> Iterator[Turn]:
        while self:
            number, place = divmod(self._taken, len(self._streams))
            yield Turn(*self._streams[place], number + 1, self._runs)
            self._taken += 1
