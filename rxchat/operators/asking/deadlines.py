"""How long a service may take: to answer, to begin, between two words, and for the whole.

Strategy. An event only leaves its time behind. One timer serves all clocks: when it fires, what is
due is computed, and the timer is armed anew for what is due next. It is never later than that; an
event that gives more time leaves it where it is, so most of the time it fires for nothing.

All clocks but `total` show the service's time, which stands still while our own consumer is slow,
and while a request waits on our side for its turn.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from attrs import frozen
from reactivex import Observable, abc
from reactivex.abc import DisposableBase
from reactivex.disposable import Disposable

from rxchat.errors import Deadline, UsageError
from rxchat.events import Reasoning, Text, is_content
from rxchat.operators.asking.meters import characters
from rxchat.stream import Call, Gate, Hop, Scope, Watch, lift

__all__ = ["deadline"]

T = TypeVar("T")

WINDOW = 10.0  # seconds
TINY = 1e-6  # seconds: less than that is a matter of rounding
STEPS = 10  # how often in a window the rate is looked at


@frozen
class _Limits:
    """What was asked for: seconds, and for `min_rate` characters per second over `window`."""

    connect: float | None
    first: float | None
    idle: float | None
    total: float | None
    min_rate: float | None
    window: float
    reasoning: bool

    def __attrs_post_init__(self) -> None:
        names = ("connect", "first", "idle", "total", "min_rate")
        given = {name: getattr(self, name) for name in names}
        if not any(number is not None for number in given.values()):
            raise UsageError(f"deadline() needs at least one of {', '.join(given)}")
        for name, number in {**given, "window": self.window}.items():
            if not _positive(number) and not (number is None and name in given):
                raise UsageError(f"deadline({name}=) takes a number above 0, not {number!r}")
        if self.min_rate is None and self.window != WINDOW:
            raise UsageError("deadline(window=) is of min_rate: give that, too")
        if self.reasoning and self.first is self.idle is self.min_rate is None:
            raise UsageError(
                "deadline(reasoning=) is of first, idle and min_rate: give one of them"
            )


def _positive(number: Any) -> bool:
    if isinstance(number, bool) or not isinstance(number, int | float):
        return False
    return 0 < number < math.inf


def deadline(
    *,
    connect: float | None = None,
    first: float | None = None,
    idle: float | None = None,
    total: float | None = None,
    min_rate: float | None = None,
    window: float = WINDOW,
    reasoning: bool = False,
) -> Callable[[Observable[T]], Observable[T]]:
    """Hang up and fail with `Deadline` when a service takes too long; its `phase` says in what.

    - `connect`: seconds until the headers of the answer come, for each request anew; where there
      is no wire, until the first item.
    - `first`: seconds until the first content, from when the first request went out.
    - `idle`: seconds without content after that.
    - `total`: seconds for the whole, from the subscription.
    - `min_rate`: characters per second, over any `window` seconds after the first content; the
      phase is `"rate"`.

    Pings, comments and lifecycle events are no content, and reasoning is only if you say
    `reasoning=True`. Time in which your own consumer is slow never counts; time in which a
    request waits on our side for its turn counts for `total` only.

    Before `ops.retry`, these are limits of each attempt, and one that ran out is tried again;
    after it, of all attempts together with the pauses between them.

    >>> from rxchat.testing import Scripted, run_virtual
    >>> say = Scripted("Hel", 60, "lo")
    >>> async def main():
    ...     await say("Hi").pipe(deadline(first=10, idle=5))
    >>> run_virtual(main())
    Traceback (most recent call last):
    rxchat.errors.Deadline: no content for idle=5 s (part of the answer had been emitted)
    """
    limits = _Limits(connect, first, idle, total, min_rate, window, reasoning)

    def op(source: Observable[T]) -> Observable[T]:
        def subscribe(
            observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None
        ) -> DisposableBase:
            return _Clocks(observer, limits, Scope.of(scheduler)).over(source)

        return Observable(subscribe)

    return op


class _ServiceTime(Gate):
    """A clock that stands still while it is paused; a resume is told."""

    __slots__ = ("_resumed",)

    def __init__(self, time: Callable[[], float], resumed: Callable[[], None]) -> None:
        super().__init__(time)
        self._resumed = resumed

    def now(self) -> float:
        return self.time() - self.paused_for

    def resume(self) -> None:
        super().resume()
        self._resumed()


class _Clocks(Hop[Any], Watch, DisposableBase):
    """All clocks of one subscription, and their one timer."""

    __slots__ = (
        "_began",
        "_call",
        "_chars",
        "_connecting",
        "_emit",
        "_emitted",
        "_first_asked",
        "_gate",
        "_heard",
        "_limits",
        "_loop",
        "_marks",
        "_out",
        "_over",
        "_rated",
        "_release",
        "_scope",
        "_service",
        "_speaking",
        "_stands",
        "_stood",
        "_time",
        "_timer",
        "_upstream",
        "_waiting",
    )

    def __init__(self, observer: abc.ObserverBase[Any], limits: _Limits, scope: Scope) -> None:
        super().__init__(observer)
        self._emit = observer.on_next
        self._limits = limits
        self._scope = scope
        self._loop = scope.loop
        self._time = scope.loop.time
        self._gate = scope.gate
        self._service = _ServiceTime(self._time, self._resumed)
        self._release = scope.gate.govern(self._service)
        self._stood = 0.0  # seconds for which the service's time has stood still
        self._began = self._time() - scope.gate.paused_for
        self._first_asked = self._heard = self._service.now()
        self._call: Call | None = None
        self._out: set[Call] = set()  # requests that are out
        self._waiting = 0  # requests that wait for their turn
        self._stands = False  # the service's time, for there is nobody but these
        # When each request went out that has no headers yet; None before there is one.
        self._connecting: dict[Call | None, float] = {None: self._first_asked}
        self._speaking = False  # what counts as content here has come
        self._emitted = False  # any content has
        self._chars = 0
        self._rated = limits.min_rate is not None
        self._marks: deque[tuple[float, int]] = deque()
        self._over = False
        self._timer: asyncio.TimerHandle | None = None
        self._upstream: DisposableBase = Disposable()

    def over(self, source: Observable[Any]) -> DisposableBase:
        """Subscribe to what is timed."""
        try:
            self._upstream = lift(source, self, self._scope.watched(self))
        except Exception:
            self._stop()
            raise
        self._arm()
        return self

    # What is heard

    def on_next(self, item: object) -> None:
        self._emit(item)  # first: if a consumer holds up the loop, that is not the service's time
        if self._connecting:
            self._connecting.clear()
        if type(item) is Text or is_content(item):
            self._emitted = True
            if type(item) is not Reasoning or self._limits.reasoning:
                self._heard = self._time() - self._stood
                if self._rated:
                    self._chars += len(item.text) if type(item) is Text else characters(item)
                if not self._speaking:
                    self._speaking = True
                    self._stand_or_go()
                    self._marks.append((self._service.now(), self._chars))
                    self._arm()

    def on_error(self, error: Exception) -> None:
        self._stop()
        self.observer.on_error(error)

    def on_completed(self) -> None:
        self._stop()
        self.observer.on_completed()

    def dispose(self) -> None:
        self._stop()
        self._upstream.dispose()

    def queued(self) -> None:
        self._waiting += 1
        self._stand_or_go()

    def admitted(self) -> None:
        self._waiting -= 1
        self._stand_or_go()

    def _stand_or_go(self) -> None:
        """Stop the service's time while all that is asked of it waits on our side."""
        spoken_to = self._out or (self._call is None and self._speaking)  # or it is no wire
        stands = self._waiting > 0 and not spoken_to
        if stands != self._stands:
            self._stands = stands
            if stands:
                self._service.pause()
            else:
                self._service.resume()

    def asked(self, call: Call) -> None:
        self._out.add(call)
        self._stand_or_go()
        now = self._service.now()
        if self._call is None:
            self._first_asked = now
        self._call = call
        self._connecting.pop(None, None)
        self._connecting[call] = now
        self._arm()

    def answered(self, call: Call, headers: Mapping[str, str]) -> None:
        self._connecting.pop(call, None)

    def ended(self, call: Call) -> None:
        self._connecting.pop(call, None)
        self._out.discard(call)
        self._stand_or_go()

    def _resumed(self) -> None:
        """Let the clocks go on: what came in the pause came at its end."""
        if not self._service.paused:
            self._stood = self._service.paused_for
            self._heard = min(self._heard, self._service.now())
        if self._timer is None:
            self._arm()

    # The timer

    def _running(self) -> Iterator[tuple[float, str]]:
        """The seconds that each clock has left, for those that run."""
        limits = self._limits
        if limits.total is not None and not self._gate.paused:
            yield self._began + limits.total - (self._time() - self._gate.paused_for), "total"
        if self._service.paused:
            return
        now = self._service.now()
        if limits.connect is not None and self._connecting:
            yield min(self._connecting.values()) + limits.connect - now, "connect"
        if limits.first is not None and not self._speaking:
            yield self._first_asked + limits.first - now, "first"
        if limits.idle is not None and self._speaking:
            yield self._heard + limits.idle - now, "idle"
        if self._rated and self._speaking:
            yield self._marks[-1][0] + limits.window / STEPS - now, "rate"

    def _arm(self) -> None:
        """See to it that the timer fires no later than the next clock runs out."""
        left, _ = min(self._running(), default=(math.inf, ""))
        if self._over or left == math.inf:
            return
        when = self._time() + max(left, 0.0)
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._look)

    def _look(self, again: bool = True) -> None:
        self._timer = None
        try:
            failure = self._ruling(again)
        except Exception as bug:  # which must not let the clocks stand still for ever
            failure = bug
        if failure is None:
            return
        try:
            self.dispose()
        except Exception as bug:
            self._scope.report("hanging up after a deadline failed", bug)
        self.observer.on_error(failure)

    def _ruling(self, again: bool) -> Exception | None:
        """The failure, if a clock has run out; otherwise the timer is armed."""
        left, phase = min(self._running(), default=(math.inf, ""))
        if left > TINY or (phase == "rate" and self._fast_enough()):
            self._arm()
            return None
        if again:  # if the loop was blocked, the next item may be there, only not read yet
            self._timer = self._loop.call_later(0, self._look, False)
            return None
        limits = self._limits
        message = _MESSAGES[phase].format(limits=limits, rate=self._rate())
        failure = Deadline(message, phase=phase, content_emitted=self._emitted or None)
        call = min(self._connecting, key=self._connecting.__getitem__, default=None)
        call = call if phase == "connect" else self._call
        return failure if call is None else call.explain(failure)

    def _rate(self) -> float:
        """Characters per second since the oldest mark."""
        since, before = self._marks[0] if self._marks else (0.0, 0)
        return (self._chars - before) / max(self._service.now() - since, TINY)

    def _fast_enough(self) -> bool:
        """Tell whether the rate of the latest window will do, and set a mark if so."""
        limits, marks, now = self._limits, self._marks, self._service.now()
        opening = now - limits.window + TINY
        while len(marks) > 1 and marks[1][0] <= opening:
            marks.popleft()
        fast = marks[0][0] > opening or self._rate() >= (limits.min_rate or 0.0)
        if fast:
            marks.append((now, self._chars))
        return fast

    def _stop(self) -> None:
        if not self._over:
            self._over = True
            if self._timer is not None:
                self._timer.cancel()
            self._release()


_MESSAGES = {
    "connect": "no answer within connect={limits.connect:g} s",
    "first": "no content within first={limits.first:g} s",
    "idle": "no content for idle={limits.idle:g} s",
    "total": "not over within total={limits.total:g} s",
    "rate": (
        "{rate:.1f} characters per second over window={limits.window:g} s, "
        "less than min_rate={limits.min_rate:g}"
    ),
}
