"""How much is asked at once, and per minute: one queue for all who share a limiter.

    subscribe ─ queue of its service ─ a place, a start, tokens ─ the stream runs ─ given back

Strategy. What you allow is one ledger for all streams. What a service says (in the headers of its
answers, and in refusals that name a time) holds up the streams of that service only, so each
service has a queue of its own; of those whose service is ready, whoever came first goes first.
One look at the queues starts all who may go, turns away all whose service wants too long a rest,
and sets one timer for when that can change. It is taken in a loop turn of its own: when many hang
up at once, none is started to be hung up.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Mapping
from itertools import count
from typing import Any, TypeVar

from attrs import define, field
from reactivex import Observable, abc
from reactivex.abc import DisposableBase
from reactivex.disposable import SingleAssignmentDisposable

from rxchat.errors import Aborted, LoopError, RateLimited, ServiceError, is_retryable
from rxchat.operators.asking.allowances import Allowances, Amount, Bill, Ledger, Terms
from rxchat.stream import Call, Scope, lift

__all__ = ["Limiter", "limit"]

T = TypeVar("T")

QUIET = 0.05  # seconds after a stream was cancelled from outside: the loop may be ending


def limit(
    *,
    concurrent: int | None = None,
    per_minute: int | None = None,
    tokens_per_minute: int | None = None,
    estimate: int | None = None,
    max_wait: float = 60.0,
) -> Limiter:
    """Run at most so many streams at once, and begin at most so many in any 60 seconds.

    All streams that are piped through the same limiter share it and wait in one queue, first come,
    first served. Put it before `ops.retry`, so that each attempt waits for its turn.

    Tokens count for 60 seconds from the start of their stream: `estimate` of them at first (or
    what a stream of this limiter takes on average), and what `Usage` says as soon as it is known.

    Rate limits in the headers of an answer, and a refusal that says how long to wait, hold up
    all streams of the same service; `limit()` is led by them alone. Put it on each part of a
    `fallback(a, b)` or a `race`, not on the whole: that has a name of its own, and what the
    services of its parts say does not hold it up.

    `max_wait` is the longest rest, in seconds, that you grant a service. If it wants more, all its
    streams, those that wait and those that come until its rest is short enough, fail with
    `RateLimited` in the next turn of the loop: `retry_after` says how long the rest is, and
    nothing is sent. For a place, a start or tokens that you allow, a stream waits as long as it
    takes; an `ops.deadline(total=)` after the limiter bounds that.

    >>> from rxchat.testing import Scripted, run_virtual
    >>> async def main():
    ...     limiter, talk = limit(concurrent=1), Scripted(1.0, "Hello")
    ...     await asyncio.gather(*(talk("Hi").pipe(limiter) for _ in range(3)))
    ...     return asyncio.get_running_loop().time()
    >>> run_virtual(main())
    3.0
    """
    return Limiter(Terms(concurrent, per_minute, tokens_per_minute, estimate, max_wait))


@define(eq=False, repr=False)
class Limiter:
    """An operator that all streams piped through it share: `stream.pipe(limiter)`.

    It serves one event loop at a time; on the next one, its minute begins anew.
    """

    terms: Terms
    _desk: _Desk | None = field(default=None, init=False)

    @property
    def running(self) -> int:
        """How many streams have begun and are not over."""
        return self._desk.ledger.running if self._desk else 0

    @property
    def waiting(self) -> int:
        """How many streams wait for their turn."""
        return self._desk.waiting if self._desk else 0

    def __call__(self, source: Observable[T]) -> Observable[T]:
        def subscribe(
            observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None
        ) -> DisposableBase:
            scope = Scope.of(scheduler)
            desk = self._desk_of(scope.loop)
            return desk.enter(_Turn(source, observer, scope, desk))

        return Observable(subscribe)

    def __repr__(self) -> str:
        state = f"{self.running} running, {self.waiting} waiting"
        notes = self._desk.notes() if self._desk else []
        return f"<limiter: {'; '.join([str(self.terms), state, *notes])}>"

    def _desk_of(self, loop: asyncio.AbstractEventLoop) -> _Desk:
        desk = self._desk
        if desk is None or desk.loop is not loop:
            if (self.running or self.waiting) and desk and not desk.loop.is_closed():
                raise LoopError("this limiter is busy on another event loop: give each its own")
            desk = self._desk = _Desk(loop, self.terms)
        return desk


class _Desk:
    """What a limiter knows on one event loop: who runs, who waits, and what was spent."""

    def __init__(self, loop: asyncio.AbstractEventLoop, terms: Terms) -> None:
        self.loop = loop
        self.ledger = Ledger(terms)
        self.waiting = 0
        self._terms = terms
        self._queues: dict[str, _Queue] = {}
        self._numbers = count()
        self._timer: asyncio.Handle | None = None
        self._looks_soon = False
        self._quiet_until = 0.0

    def queue(self, name: str) -> _Queue:
        return self._queues.setdefault(name, _Queue(name))

    def enter(self, turn: _Turn) -> _Turn:
        """Let it start, or wait behind all who have come before."""
        turn.queue.members += 1
        now = self.loop.time()
        if not self.waiting and self._free_at(turn.queue, now) <= now:
            self._start(turn, now)
            return turn
        turn.number = next(self._numbers)
        turn.queue.turns[turn.number] = turn
        self.waiting += 1
        for watch in turn.scope.watches:
            watch.queued()
        self._look_at()
        return turn

    def leave(self, turn: _Turn, error: Exception | None, *, completed: bool) -> None:
        """It is over, or has lost patience."""
        queue, now = turn.queue, self.loop.time()
        queue.members -= 1
        if turn.number in queue.turns:
            self._unqueue(turn)
        else:
            queue.said.unanswered.discard(turn.reserved)
            self.ledger.end(turn.reserved, turn.tokens(), now)
        if completed:
            self._terms.learn(turn.tokens())
        elif isinstance(error, Aborted):
            self._quiet_until = now + QUIET
        elif isinstance(error, ServiceError) and is_retryable(error) and error.retry_after:
            self.queue(error.provider or queue.name).said.refused(error.retry_after, now)
        if not queue.members and queue.said.free_at(0, now) <= now and not queue.said.left:
            self._queues.pop(queue.name, None)
        if self.waiting:
            self._look_at()
        elif self._timer is not None:
            self._timer.cancel()
            self._timer, self._looks_soon = None, False

    def answered(self, turn: _Turn, call: Call, headers: Mapping[str, str]) -> None:
        turn.queue.said.unanswered.discard(turn.reserved)
        said = self.queue(call.name or turn.queue.name).said
        said.heard(headers, self.loop.time(), turn.scope.now)
        if self.waiting:
            self._look_at()

    def notes(self) -> list[str]:
        tokens, now = self._terms.tokens(), self.loop.time()
        rests = {queue.name: queue.said.rest(tokens, now) for queue in self._queues.values()}
        return [f"{name} rests for {rest:.1f} s" for name, rest in rests.items() if rest > 0]

    def _look_at(self, moment: float = 0.0) -> None:
        """Look then, or in the next loop turn; at inf, never: whoever leaves will see to it."""
        if self._looks_soon or moment == math.inf or self.loop.is_closed():
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_at(moment, self._look)
        self._looks_soon = moment == 0.0

    def _look(self) -> None:
        """Start all who may go, turn away who would wait too long, and look again in time."""
        self._timer, self._looks_soon = None, False
        now = self.loop.time()
        while (upcoming := self._next(now)) and upcoming[0] <= now:
            turn = upcoming[-1]
            self._unqueue(turn)
            self._start(turn, now)
        for queue in [*self._queues.values()]:
            if (seconds := queue.said.rest(self._terms.tokens(), now)) > self._terms.max_wait:
                for turn in [*queue.turns.values()]:
                    turn.refuse(seconds)  # which does nothing to those who are gone by now
        if upcoming := self._next(now):
            self._look_at(upcoming[0])

    def _next(self, now: float) -> tuple[float, int, _Turn] | None:
        """When somebody may start, and who: whoever came first of those whose service is ready."""
        fronts = (
            (self._free_at(queue, now), *next(iter(queue.turns.items())))
            for queue in self._queues.values()
            if queue.turns
        )
        return min(fronts, default=None)

    def _free_at(self, queue: _Queue, now: float) -> float:
        """When the next of a queue may start; inf if only an end can tell."""
        tokens = self._terms.tokens()
        ours, theirs = self.ledger.free_at(tokens, now), queue.said.free_at(tokens, now)
        return max(ours, theirs, self._quiet_until)

    def _unqueue(self, turn: _Turn) -> None:
        del turn.queue.turns[turn.number]
        self.waiting -= 1
        for watch in turn.scope.watches:
            watch.admitted()

    def _start(self, turn: _Turn, now: float) -> None:
        turn.reserved = self.ledger.start(self._terms.tokens(), now)
        turn.queue.said.spend(turn.reserved)
        turn.start()


@define(eq=False)
class _Queue:
    """Who waits for one service, and what that has said of its limits."""

    name: str
    said: Allowances = field(factory=Allowances)
    members: int = 0  # who wait, or run
    # In a plain dict, to find the first takes the longer, the more have left.
    turns: OrderedDict[int, _Turn] = field(factory=OrderedDict[int, "_Turn"])


class _Turn(Bill, DisposableBase):
    """One subscription: it waits, it runs, it is over."""

    def __init__(
        self, source: Observable[Any], observer: abc.ObserverBase[Any], scope: Scope, desk: _Desk
    ) -> None:
        super().__init__(observer)
        self.scope = scope
        self.queue = desk.queue(str(getattr(source, "name", "stream")))
        self.number = -1  # in the queue
        self.reserved = Amount(0, 0.0)  # tokens
        self._desk: _Desk | None = desk  # until it is over
        self._source = source
        self._upstream = SingleAssignmentDisposable()

    def start(self) -> None:
        try:
            self._upstream.disposable = lift(self._source, self, self.scope.watched(self))
        except Exception as error:
            if not self._desk:
                self.scope.report("a stream raised after its end", error)
            self.on_error(error)

    def refuse(self, seconds: float) -> None:
        self._leave()
        words, name = f"not asked: it wants {seconds:.0f} s of rest", self.queue.name
        try:
            self.observer.on_error(RateLimited(words, provider=name, retry_after=seconds))
        except Exception as bug:
            self.scope.report("a callback of a limited stream raised", bug)

    def asked(self, call: Call) -> None:
        super().asked(call)
        if self.requests > 1 and self._desk:  # another request of this stream: too late to wait
            self._desk.ledger.ask(self.scope.loop.time())

    def answered(self, call: Call, headers: Mapping[str, str]) -> None:
        if self._desk:
            self._desk.answered(self, call, headers)

    def on_error(self, error: Exception) -> None:
        self._leave(error)
        self.observer.on_error(error)

    def on_completed(self) -> None:
        self._leave(completed=True)
        self.observer.on_completed()

    def dispose(self) -> None:
        self._leave()
        self._upstream.dispose()

    def _leave(self, error: Exception | None = None, *, completed: bool = False) -> None:
        desk, self._desk = self._desk, None
        if desk:
            desk.leave(self, error, completed=completed)
