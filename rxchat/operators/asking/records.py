"""What is known of one provider: what its streams have come to, and how soon they spoke."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from statistics import median
from typing import Any, TypeAlias, TypeVar

from attrs import define, field, frozen
from reactivex import Observable, abc
from reactivex.abc import DisposableBase

from rxchat.errors import BadRequest, UsageError
from rxchat.events import Event
from rxchat.messages import Prompt
from rxchat.operators.asking.breaking import Breaker, State
from rxchat.operators.asking.judging import Clock, Trial
from rxchat.stream import Scope

__all__ = ["Health", "Provides", "Record", "blamed"]

T = TypeVar("T")

Provides: TypeAlias = Callable[..., Observable[Event]]  # with a prompt, and options

QUICKEST = 0.001  # seconds: without it, failures would weigh nothing where no time passes
SAMPLES = 20  # times to first content that are remembered


def blamed(error: Exception) -> bool:
    """Tell whether an error speaks against the provider: any but that the request is wrong."""
    return not isinstance(error, BadRequest)


@frozen
class Health:
    """What is known of one provider."""

    name: str
    state: State
    first: float | None
    """Seconds to the first content, of late; None if that is unknown."""
    failure_rate: float
    asked: int
    """How many streams it was asked for in all."""

    def cells(self) -> list[str]:
        first = "unknown" if self.first is None else f"{self.first:.2f} s"
        return [self.name, self.state, first, f"{self.failure_rate:.0%}", str(self.asked)]


@define(eq=False)
class Record:
    """What the streams of one provider have come to."""

    name: str
    provider: Provides
    breaker: Breaker
    clock: Clock
    window: float
    asked: int = field(default=0, init=False)
    waiting: int = field(default=0, init=False)  # streams that have not spoken yet
    silence: tuple[float, float] = field(default=(0.0, 0.0), init=False)  # when, how long
    _heard: deque[tuple[float, float]] = field(init=False)  # when, after how long

    def __attrs_post_init__(self) -> None:
        self._heard = deque(maxlen=SAMPLES)

    def stream(self, prompt: Prompt, options: dict[str, Any]) -> Observable[Event]:
        stream = self.provider(prompt, **options)
        if not hasattr(stream, "subscribe"):
            raise UsageError(f"{self.name} gives {type(stream).__name__}, and not a stream")
        return self.breaker(self._listening(stream))

    def first(self, now: float) -> float | None:
        """The median of the recent times to first content."""
        recent = [seconds for when, seconds in self._heard if now - when < self.window]
        return median(recent) if recent else None

    def expected(self, now: float, guess: float) -> float:
        """Seconds that a good answer may take to begin; `guess` is as good if nothing is known."""
        first = self.first(now)
        expected = max(QUICKEST, guess if first is None else first)
        if self.breaker.state == "half-open":
            return expected  # a probe is due, and the breaker sees to it that it is only one
        when, silence = self.silence
        if now - when < self.window:
            expected = max(expected, silence)
        ended = self.breaker.seen
        good = ended * (1 - self.breaker.failure_rate)
        return expected * (ended + 1) / (good + 1)

    def health(self, now: float) -> Health:
        guard = self.breaker
        return Health(self.name, guard.state, self.first(now), guard.failure_rate, self.asked)

    def begin(self) -> None:
        self.asked += 1
        self.waiting += 1

    def end(self, now: float, waited: float, heard: bool) -> None:
        """A stream waits no more: content has come, or it is over without."""
        self.waiting -= 1
        if heard:
            self._heard.append((now, waited))
            self.silence = (now, 0.0)
        elif waited > self.silence[1] or now - self.silence[0] >= self.window:
            # Its first content would have taken longer still: a lower bound, until it speaks.
            self.silence = (now, waited)

    def _listening(self, source: Observable[T]) -> Observable[T]:
        def subscribe(
            observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None
        ) -> DisposableBase:
            scope = Scope.of(scheduler)
            return _Listening(observer, self, scope).start(source, scope)

        return Observable(subscribe)


class _Listening(Trial):
    """Measures the time to the first content, without the time in which its reader was slow."""

    __slots__ = ("_begun", "_gate", "_paused", "_record")

    def __init__(self, observer: abc.ObserverBase[Any], record: Record, scope: Scope) -> None:
        super().__init__(observer, blamed)
        self._record = record
        self._gate = scope.gate
        self._paused = scope.gate.paused_for
        self._begun = record.clock.now()
        record.begin()

    def spoke(self) -> None:
        self._wait_over(heard=True)

    def judged(self, good: bool | None, error: Exception | None) -> None:
        if not self.spoken:
            self._wait_over(heard=False)

    def _wait_over(self, heard: bool) -> None:
        now = self._record.clock.now()
        paused = self._gate.paused_for - self._paused
        self._record.end(now, max(0.0, now - self._begun - paused), heard)
