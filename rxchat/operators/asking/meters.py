"""What a stream did, in numbers: when it spoke, how fast, how much, and how it ended.

A meter only listens. Per event it takes the time and adds up; all that can be computed from that
is computed when somebody asks for it.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import pairwise
from operator import attrgetter
from typing import Any, Literal, TypeAlias, TypeVar

from attrs import Factory, define, field
from reactivex import Observable, abc
from reactivex.abc import DisposableBase
from reactivex.disposable import Disposable

from rxchat.errors import UsageError
from rxchat.events import Finish, Reasoning, Refusal, Reset, Text, ToolCall, Usage, is_content
from rxchat.stream import Call, Gate, Hop, Scope, Watch, lift

__all__ = ["Meter", "Run", "characters", "meter"]

T = TypeVar("T")

Outcome: TypeAlias = Literal["running", "completed", "failed", "hung up"]

KEPT = 1000  # runs that a meter remembers
TICK = 1e-9  # seconds; clocks tell no less

_WORDS: Mapping[type[Any], Callable[[Any], str]] = {
    Text: attrgetter("text"),
    Reasoning: attrgetter("text"),
    Refusal: attrgetter("text"),
    ToolCall: attrgetter("arguments"),
    str: str,
}


def characters(item: object) -> int:
    """How many characters of an answer an item is.

    >>> characters(Text("four")), characters("four"), characters(ToolCall(arguments="{}"))
    (4, 4, 2)
    """
    words = _WORDS.get(type(item))
    return 0 if words is None else len(words(item))


@define(eq=False, repr=False)
class Run:
    """One subscription to a metered stream; while it runs, its numbers grow.

    All times are seconds since the subscription, None if there was no such moment.
    """

    name: str
    """Who was asked last, or the stream's name if nobody was."""
    began: datetime
    asked: float | None = None
    """When the first request went out; before that, it may have waited for its turn."""
    answered: float | None = None
    """When the headers of the first answer came, whatever it said."""
    total: float | None = None
    """When it was over."""
    requests: int = 0
    """How many were asked for this one answer: a retry or a race asks several times."""
    restarts: int = 0
    """How often the answer began anew: `chars`, `moments` and what is computed from them forget
    what came before that, as a collected answer does. `first` and the rest forget nothing."""
    moments: array[float] = Factory(lambda: array("d"))
    """When each content event came."""
    grown: array[int] = Factory(lambda: array("Q"))
    """How many characters there were then."""
    usage: Usage | None = None
    finish: str | None = None
    outcome: Outcome = "running"
    error: Exception | None = None
    _forgotten: int = field(default=0, init=False)  # events that are not in `moments`
    _first: float | None = field(default=None, init=False)  # before a restart
    _calls: list[Call] = field(factory=list[Call], init=False)
    _bytes: int = field(default=0, init=False)
    _gate: Gate | None = field(default=None, alias="gate")  # while it runs
    _paused: float = field(default=0.0, alias="paused")

    @property
    def first(self) -> float | None:
        """When the first content came."""
        return self.moments[0] if self._first is None and self.moments else self._first

    @property
    def events(self) -> int:
        """How many there were of all kinds."""
        return self._forgotten + len(self.moments)

    @property
    def chars(self) -> int:
        """Characters of text, reasoning, refusals, and arguments of tool calls."""
        return self.grown[-1] if self.grown else 0

    @property
    def bytes(self) -> int:
        """Bytes of all answers' bodies, 0 if there was no wire."""
        return self._bytes + sum(call.received for call in self._calls)

    @property
    def paused(self) -> float:
        """Seconds in all in which our own consumer was slow; the other times contain them."""
        return self._paused + (self._gate.paused_for if self._gate else 0.0)

    @property
    def rate(self) -> float | None:
        """Characters per second, from the first content, which does not count, to the last."""
        moments = self.moments
        span = moments[-1] - moments[0] if moments else 0.0
        return (self.chars - self.grown[0]) / span if span > TICK else None

    @property
    def gaps(self) -> list[float]:
        """Seconds between each content event and the next."""
        return [after - before for before, after in pairwise(self.moments)]

    @property
    def longest_gap(self) -> float | None:
        return max(self.gaps, default=None)

    def row(self) -> dict[str, str | float | None]:
        """One row of a table: `pandas.DataFrame(run.row() for run in meter.runs)`."""
        usage = self.usage or Usage()
        plain = {name: getattr(self, name) for name in _COLUMNS}
        return (
            {"name": self.name, "began": self.began.isoformat(), **plain}
            | {f"usage_{name}": getattr(usage, name) for name in Usage.__struct_fields__}
            | {"error": type(self.error).__name__ if self.error else None}
        )

    def __repr__(self) -> str:
        silent = "nothing said" if self.first is None else f"first content after {self.first:.3f} s"
        rate = "" if self.rate is None else f" at {self.rate:,.1f} per second"
        why = f" with {type(self.error).__name__}" if self.error else ""
        return f"<run of {self.name}: {self.outcome}{why}, {silent}, {self.chars:,} chars{rate}>"

    def pass_by(self) -> None:
        """Count an event that is no content."""
        self._forgotten += 1

    def hear_of(self, call: Call, moment: float) -> None:
        """Count a request that goes out."""
        self.name = call.name or self.name
        self.asked = moment if self.asked is None else self.asked
        self.requests += 1
        self._calls.append(call)

    def restart(self) -> None:
        """Forget the answer so far: it begins anew."""
        self._first, self._forgotten = self.first, self.events
        self.restarts += 1
        del self.moments[:], self.grown[:]

    def end(self, outcome: Outcome, error: Exception | None, moment: float) -> None:
        """Keep the last numbers, and nothing of the call: it knows keys."""
        self.outcome, self.error, self.total = outcome, error, moment
        self._bytes, self._calls = self.bytes, []
        self._paused, self._gate = self.paused, None


_COLUMNS = (
    *("outcome", "finish", "requests", "restarts", "events", "chars", "bytes"),
    *("asked", "answered", "first", "total", "paused", "rate", "longest_gap"),
)


class Meter:
    """An operator that measures every run of every stream that is piped through it."""

    __slots__ = ("_done", "runs")

    def __init__(self, done: Callable[[Run], object] | None = None) -> None:
        if done is not None and not callable(done):
            raise UsageError(f"meter(done) takes a function of a Run, not {done!r}")
        self._done = done
        self.runs: deque[Run] = deque(maxlen=KEPT)

    @property
    def last(self) -> Run | None:
        """The run that began last."""
        return self.runs[-1] if self.runs else None

    def __call__(self, source: Observable[T]) -> Observable[T]:
        def subscribe(
            observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None
        ) -> DisposableBase:
            scope = Scope.of(scheduler)
            gate = scope.gate
            run = Run(
                getattr(source, "name", "stream"), scope.now, gate=gate, paused=-gate.paused_for
            )
            reading = _Reading(observer, run, scope, self._done)
            self.runs.append(run)
            return reading.over(source)

        return Observable(subscribe)

    def __repr__(self) -> str:
        running = sum(run.outcome == "running" for run in self.runs)
        last = f"; last: {self.last!r}" if self.runs else ""
        count = f"{len(self.runs)} run{'s' * (len(self.runs) != 1)}"
        return f"<meter of {count}, {running} running{last}>"


def meter(done: Callable[[Run], object] | None = None) -> Meter:
    """Measure what goes through: time to first content, rate, gaps, bytes, usage.

    Keep the meter to look at its `runs` (the latest 1,000) and at the `last`; they can be looked
    at while they run. `done` is called with each run when it is over, however it ends.

    >>> from rxchat.testing import Scripted, run_virtual
    >>> say = Scripted(0.3, "Hel", 0.1, "lo, ", 0.4, "world")
    >>> measured = meter()
    >>> async def main():
    ...     await say("Hi").pipe(measured)
    >>> run_virtual(main())
    >>> measured.last
    <run of scripted: completed, first content after 0.300 s, 12 chars at 18.0 per second>
    >>> round(measured.last.longest_gap, 3)
    0.4
    """
    return Meter(done)


class _Reading(Hop[Any], Watch, DisposableBase):
    """Reads the numbers of one run."""

    __slots__ = (
        *("_began", "_chars", "_done", "_emit", "_grown", "_moment", "_run", "_scope", "_time"),
        "_upstream",
    )

    def __init__(
        self,
        observer: abc.ObserverBase[Any],
        run: Run,
        scope: Scope,
        done: Callable[[Run], object] | None,
    ) -> None:
        super().__init__(observer)
        self._emit = observer.on_next
        self._run = run
        self._chars = 0
        self._moment, self._grown = run.moments.append, run.grown.append
        self._scope = scope
        self._done = done
        self._time = scope.loop.time
        self._began = self._time()
        self._upstream: DisposableBase = Disposable()

    def over(self, source: Observable[Any]) -> DisposableBase:
        """Subscribe to what is measured."""
        try:
            self._upstream = lift(source, self, self._scope.watched(self))
        except Exception as error:
            self._end("failed", error)
            raise
        return self

    def asked(self, call: Call) -> None:
        self._run.hear_of(call, self._time() - self._began)

    def answered(self, call: Call, headers: Mapping[str, str]) -> None:
        if self._run.answered is None:
            self._run.answered = self._time() - self._began

    def on_next(self, item: object) -> None:
        if type(item) is Text:  # as nearly all are
            size = len(item.text)
        elif is_content(item):
            size = characters(item)
        else:
            self._note(item)
            self._emit(item)
            return
        self._moment(self._time() - self._began)
        self._chars = chars = self._chars + size
        self._grown(chars)
        self._emit(item)

    def _note(self, item: object) -> None:
        self._run.pass_by()
        if isinstance(item, Usage):
            self._run.usage = item
        elif isinstance(item, Finish):
            self._run.finish = item.reason
        elif isinstance(item, Reset) and item.kind == "restart":
            self._run.restart()
            self._chars = 0

    def on_error(self, error: Exception) -> None:
        self._end("failed", error)
        self.observer.on_error(error)

    def on_completed(self) -> None:
        self._end("completed")
        self.observer.on_completed()

    def dispose(self) -> None:
        self._end("hung up")
        self._upstream.dispose()

    def _end(self, outcome: Outcome, error: Exception | None = None) -> None:
        if self._run.outcome != "running":
            return
        self._run.end(outcome, error, self._time() - self._began)
        if self._done is not None:
            try:
                self._done(self._run)
            except Exception as bug:
                self._scope.report("a callback of a meter raised", bug)
