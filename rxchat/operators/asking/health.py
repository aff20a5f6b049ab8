"""Several providers as one: the healthiest is asked first.

Strategy. Everything is learned from the streams that users ask for, nothing is sent to find out.
A provider's order is by the seconds that a good answer may be expected to take:

    median time to first content, of late  x  (streams that ended + 1) / (good ones + 1)

What is older than the window is forgotten, and who is unknown counts as fast as the fastest, and
is tried first, one stream at a time: so each provider is tried every window at least, and one that
has recovered is found. No chance is involved: the same streams give the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from reactivex import Observable, abc, defer, empty

from rxchat.errors import UsageError
from rxchat.events import Event
from rxchat.messages import Prompt
from rxchat.operators.arguments import function, number
from rxchat.operators.asking.breaking import Breaker, breaker
from rxchat.operators.asking.commit import Commit, anything
from rxchat.operators.asking.judging import Clock
from rxchat.operators.asking.records import Health, Provides, Record, blamed
from rxchat.operators.asking.recovery import fallback
from rxchat.stream import Stream, wrap

__all__ = ["Health", "Healthy", "healthy"]

GUESS = 1.0  # seconds to the first content, while nothing is known of anybody


def _breaker(name: str) -> Breaker:
    return breaker(least=5, when=blamed, name=name)


def healthy(
    *providers: Provides,
    breaker: Callable[[str], Breaker] = _breaker,
    window: float = 600.0,
    when: Callable[[Exception], bool] = anything,
    commit: Commit = "content",
    after_commit: Literal["raise", "restart"] = "raise",
) -> Healthy:
    """Several providers as one, which asks the healthiest first, and falls back in that order.

    Call it as you would call one of them: `healthy(openai, anthropic)("Hi")`. The order is made
    anew for each subscription, by what was seen within the last `window` seconds: by the recent
    time to first content and the share of failures. Each provider has a breaker, made by `breaker`
    from its name; whose breaker is open is left to the end, where it only says that it is. As long
    as nothing is known of a provider it is tried early. `when`, `commit` and `after_commit` are
    those of `fallback`.

    By default a breaker opens when half of at least 5 streams have failed within a minute, in any
    way but with `BadRequest`: a provider without credit is as useless as one that is down.

    >>> from rxchat.testing import Scripted, run_virtual
    >>> chat = healthy(Scripted(2.0, "late", name="slow"), Scripted(0.5, "soon", name="fast"))
    >>> async def talk():
    ...     for prompt in "abc":
    ...         await chat(prompt)
    >>> run_virtual(talk())
    >>> print(chat)
    provider  state   first content  failed  asked
    fast      closed         0.50 s      0%      2
    slow      closed         2.00 s      0%      1
    """
    if not providers:
        raise UsageError("healthy() needs at least one provider")
    for provider in providers:
        if not callable(provider):
            raise UsageError(
                f"healthy() takes providers, not {type(provider).__name__}, and what it gives "
                "takes the prompt: healthy(openai, anthropic)('Hi')"
            )
    number("healthy", above=0, window=window)
    function("healthy", breaker=breaker, when=when)
    if after_commit not in ("raise", "restart"):
        raise UsageError(f"healthy(after_commit) is 'raise' or 'restart', not {after_commit!r}")

    def join(streams: Sequence[Observable[Event]]) -> Stream[Event]:
        return fallback(*streams, when=when, commit=commit, after_commit=after_commit)

    join([empty()])  # a wrong commit raises here, and not with the first prompt
    clock = Clock()
    names = _distinct([_name(provider) for provider in providers])
    guards = [breaker(name) for name in names]
    if not all(isinstance(guard, Breaker) for guard in guards):
        raise UsageError(
            "healthy(breaker=) takes a function that makes the breaker of each provider: "
            "breaker=lambda name: ops.breaker(name=name)"
        )
    records = [
        Record(name, provider, guard, clock, window)
        for name, provider, guard in zip(names, providers, guards, strict=True)
    ]
    return Healthy(records, clock, join)


class Healthy:
    """Several providers that are called as one; print it to see how they are."""

    name = "healthy"

    def __init__(
        self,
        records: list[Record],
        clock: Clock,
        join: Callable[[Sequence[Observable[Event]]], Stream[Event]],
    ) -> None:
        self._records = records
        self._clock = clock
        self._join = join

    def __call__(self, prompt: Prompt, /, **options: Any) -> Stream[Event]:
        """A stream that asks the providers in the order of their health when you subscribe."""
        # Made now, so that a missing key raises here, as in `fallback`.
        streams = {record: record.stream(prompt, options) for record in self._records}

        def in_order(scheduler: abc.SchedulerBase) -> Observable[Event]:
            return self._join([streams[record] for record in self._order(self._clock.now())])

        return wrap(defer(in_order), self.name)

    def report(self) -> list[Health]:
        """How each provider is, in the order in which they would be asked now."""
        now = self._clock.now()
        return [record.health(now) for record in self._order(now)]

    def __repr__(self) -> str:
        return f"<healthy: {', '.join(record.name for record in self._records)}>"

    def __str__(self) -> str:
        rows = [["provider", "state", "first content", "failed", "asked"]]
        rows += [health.cells() for health in self.report()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        sides = "<<>>>"  # words to the left, numbers to the right
        return "\n".join(
            "  ".join(
                f"{cell:{side}{width}}"
                for cell, side, width in zip(row, sides, widths, strict=True)
            )
            for row in rows
        )

    def _order(self, now: float) -> list[Record]:
        known = [first for record in self._records if (first := record.first(now)) is not None]
        fastest = min(known, default=GUESS)

        def rank(record: Record) -> tuple[bool, bool, float, bool, int]:
            known, waiting = record.first(now) is not None, record.waiting
            expected = record.expected(now, guess=fastest)
            return not record.breaker.admits, waiting > 0 and not known, expected, known, waiting

        return sorted(self._records, key=rank)  # and among equals, in the order given


def _name(provider: Provides) -> str:
    return str(getattr(provider, "name", "") or getattr(provider, "__name__", "provider"))


def _distinct(names: list[str]) -> list[str]:
    """Names that tell providers apart: the second of one name has a 2."""
    distinct: list[str] = []
    for place, name in enumerate(names):
        before = names[:place].count(name)
        distinct.append(f"{name} {before + 1}" if before else name)
    return distinct
