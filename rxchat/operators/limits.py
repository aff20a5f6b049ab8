"""How much is asked at once, and per minute: one queue for all who share a limiter.

    subscribe ─ queue of its service ─ a place, a start, tokens ─ the stream runs ─ given back

Strategy. What you allow is one ledger for all streams. What a service says (in the headers of its
answers, and in refusals that name a time) holds up the streams of that service only, so each
service has a queue of its own; of those whose service is ready, whoever came first goes first.
One look at the queues starts all who may go, and sets one timer for when that can change. It is
taken in a loop turn of its own: when many hang up at once, none is started to be hung up.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections import OrderedDict, deque
from collections.abc import Mapping
from datetime import datetime
from itertools import count
from typing import Any, TypeVar

from attrs import Attribute, define, field, setters
from reactivex import Observable, abc
from reactivex.abc import DisposableBase
from reactivex.disposable import SingleAssignmentDisposable

from rxchat.errors import Aborted, LoopError, RateLimited, ServiceError, UsageError, is_retryable
from rxchat.events import Reasoning, Refusal, Text, ToolCall, Usage
from rxchat.stream import Call, Hop, Scope, Watch, lift

__all__ = ["Limiter", "limit"]

T = TypeVar("T")

MINUTE = 60.0
MEMORY = 8  # streams, about, that the average remembers
LETTERS = 4  # that make a token, where the service does not count
BELIEVED = 86400.0  # seconds; a service that names a later time is not believed
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
    all streams of the same service; `limit()` is led by them alone. If a service wants more than
    `max_wait` seconds, its streams fail with `RateLimited` at once, and nothing is sent.

    >>> from rxchat.testing import Scripted, run_virtual
    >>> async def main():
    ...     limiter, talk = limit(concurrent=1), Scripted(1.0, "Hello")
    ...     await asyncio.gather(*(talk("Hi").pipe(limiter) for _ in range(3)))
    ...     return asyncio.get_running_loop().time()
    >>> run_virtual(main())
    3.0
    """
    return Limiter(concurrent, per_minute, tokens_per_minute, estimate, max_wait)


def _whole(_: object, attribute: Attribute[int | None], value: object) -> None:
    if value is not None and (type(value) is not int or value < 1):
        raise UsageError(f"limit({attribute.name}=) takes a whole number from 1 on, not {value!r}")


def _seconds_given(_: object, attribute: Attribute[float], value: Any) -> None:
    if not (type(value) in (int, float) and value > 0):
        raise UsageError(f"limit({attribute.name}=) takes seconds, more than 0, not {value!r}")


@define(eq=False, repr=False)
class Limiter:
    """An operator that all streams piped through it share: `stream.pipe(limiter)`.

    It serves one event loop at a time; on the next one, its minute begins anew.
    """

    concurrent: int | None = field(validator=_whole, on_setattr=setters.frozen)
    per_minute: int | None = field(validator=_whole, on_setattr=setters.frozen)
    tokens_per_minute: int | None = field(validator=_whole, on_setattr=setters.frozen)
    estimate: int | None = field(validator=_whole, on_setattr=setters.frozen)
    max_wait: float = field(validator=_seconds_given, on_setattr=setters.frozen)
    usual: float = field(default=1000.0, init=False)  # tokens of a stream, on average
    _desk: _Desk | None = field(default=None, init=False)

    @property
    def running(self) -> int:
        """How many streams have begun and are not over."""
        return self._desk.running if self._desk else 0

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
            turn = _Turn(source, observer, scope, desk)
            desk.enter(turn)
            return turn

        return Observable(subscribe)

    def __repr__(self) -> str:
        names = ("at once", "per minute", "tokens per minute")
        numbers = (self.concurrent, self.per_minute, self.tokens_per_minute)
        given = [f"{n:,} {name}" for n, name in zip(numbers, names, strict=True) if n]
        allowed = ", ".join(given) or "as the services say"
        state = [f"{self.running} running, {self.waiting} waiting"]
        state += self._desk.notes() if self._desk else []
        return f"<limiter: {'; '.join([allowed, *state])}>"

    def tokens(self) -> int:
        """What is reserved for a stream; one that needs more than all of a minute may have all."""
        tokens = self.estimate or max(1, round(self.usual))
        return min(tokens, self.tokens_per_minute or tokens)

    def _desk_of(self, loop: asyncio.AbstractEventLoop) -> _Desk:
        desk = self._desk
        if desk is None or desk.loop is not loop:
            if desk and (desk.running or desk.waiting) and not desk.loop.is_closed():
                raise LoopError("this limiter is busy on another event loop: give each its own")
            desk = self._desk = _Desk(loop, self)
        return desk


@define(eq=False)
class _Amount:
    """So much of something, until then."""

    amount: int
    until: float


@define(eq=False)
class _Minute:
    """What was spent in the last 60 seconds: the window slides, so that any 60 seconds count."""

    most: float
    spent: int = 0
    entries: deque[_Amount] = field(factory=deque[_Amount])

    def free_at(self, amount: int, now: float) -> float:
        """Now, if there is room for so much, or else the next moment that gives some back."""
        entries = self.entries
        while entries and entries[0].until <= now:
            self.spent -= entries.popleft().amount
        fits = not entries or self.spent + amount <= self.most
        return now if fits else entries[0].until

    def spend(self, amount: int, now: float) -> _Amount:
        self.spent += amount
        self.entries.append(_Amount(amount, now + MINUTE))
        return self.entries[-1]

    def correct(self, entry: _Amount, amount: int, now: float) -> None:
        """Give back what was not needed; what was needed on top counts from now on."""
        if amount > entry.amount:
            self.spend(amount - entry.amount, now)
        elif entry.until > now:
            self.spent -= entry.amount - amount
            entry.amount = amount


@define(eq=False)
class _Service:
    """What one service has said of its limits, and who waits for it."""

    name: str
    queue: OrderedDict[int, _Turn] = field(factory=OrderedDict[int, "_Turn"])
    members: int = 0  # who wait, or run
    rests_until: float = 0.0
    allowances: dict[str, _Amount] = field(factory=dict[str, _Amount])  # what is left, it says
    unanswered: dict[_Turn, int] = field(factory=dict["_Turn", int])  # what they have reserved

    def free_at(self, tokens: int, now: float) -> float:
        """The moment from which a stream of so many tokens may be asked for."""
        moment = max(now, self.rests_until)
        for kind, allowance in [*self.allowances.items()]:
            if allowance.until <= now:
                del self.allowances[kind]
            elif allowance.amount < _price(kind, tokens):
                moment = max(moment, allowance.until)
        return moment

    def spend(self, turn: _Turn, tokens: int) -> None:
        self.unanswered[turn] = tokens
        for kind, allowance in self.allowances.items():
            allowance.amount -= _price(kind, tokens)

    def heard(self, headers: Mapping[str, str], scope: Scope) -> None:
        """Believe the headers of an answer; those who have no answer yet still count."""
        now = scope.loop.time()
        for kind, remaining, reset in _HEADERS:
            left, seconds = headers.get(remaining, ""), _seconds(headers.get(reset, ""), scope)
            if re.fullmatch(r"[0-9]{1,12}", left) and seconds is not None:
                others = sum(_price(kind, tokens) for tokens in self.unanswered.values())
                self.allowances[kind] = _Amount(int(left) - others, now + seconds)


def _price(kind: str, tokens: int) -> int:
    """What a stream takes of an allowance; how much for its input alone, nobody knows."""
    return tokens if kind == "tokens" else 1


_HEADERS = [
    (kind, form.format(kind, "remaining"), form.format(kind, "reset"))
    for form in ("x-ratelimit-{1}-{0}", "anthropic-ratelimit-{0}-{1}")
    for kind in ("requests", "tokens", "input-tokens", "output-tokens")
]
_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6}
_NUMBER = r"([0-9]{1,9}(?:\.[0-9]{1,9})?)"
_STEP = rf"{_NUMBER}(ms|us|µs|[dhms])"


def _seconds(reset: str, scope: Scope) -> float | None:
    """How long: `6m0s` as Go writes it, `59`, or until a date of RFC 3339; None if absurd."""
    if re.fullmatch(_NUMBER, reset):
        seconds = float(reset)
    elif re.fullmatch(f"(?:{_STEP})+", reset):
        steps: list[tuple[str, str]] = re.findall(_STEP, reset)
        seconds = sum(float(number) * _UNITS[unit] for number, unit in steps)
    else:
        try:
            seconds = (datetime.fromisoformat(reset) - scope.now).total_seconds()
        except (ValueError, TypeError):  # no date, or one without an offset
            return None
    return max(0.0, seconds) if seconds <= BELIEVED else None


class _Turn(Hop[Any], Watch, DisposableBase):
    """One subscription: it waits, it runs, it is over."""

    def __init__(
        self, source: Observable[Any], observer: abc.ObserverBase[Any], scope: Scope, desk: _Desk
    ) -> None:
        super().__init__(observer)
        self.scope = scope
        self.service = desk.service(str(getattr(source, "name", "stream")))
        self.number = -1  # in the queue
        self.reserved = _Amount(0, 0.0)
        self._desk: _Desk | None = desk  # until it is over
        self._source = source
        self._upstream = SingleAssignmentDisposable()
        self._emit = observer.on_next
        self._requests = self._bytes = self._letters = 0
        self._usage: Usage | None = None

    def start(self) -> None:
        try:
            self._upstream.disposable = lift(self._source, self, self.scope.watched(self))
        except Exception as error:
            if not self._desk:
                self.scope.report("a stream raised after its end", error)
            self.on_error(error)

    def refuse(self, seconds: float) -> None:
        self._leave()
        words, name = f"not asked: it wants {seconds:.0f} s of rest", self.service.name
        try:
            self.observer.on_error(RateLimited(words, provider=name, retry_after=seconds))
        except Exception as bug:
            self.scope.report("a callback of a limited stream raised", bug)

    def on_next(self, item: Any) -> None:
        if type(item) is Text or type(item) is Reasoning or type(item) is Refusal:
            self._letters += len(item.text)
        elif type(item) is ToolCall:
            self._letters += len(item.arguments)
        elif type(item) is Usage:
            self._usage = item
        self._emit(item)

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

    def asked(self, call: Call) -> None:
        self._requests += 1
        self._bytes += call.asked
        if self._requests > 1 and self._desk:  # another request of this stream: too late to wait
            self._desk.starts.spend(1, self.scope.loop.time())

    def answered(self, call: Call, headers: Mapping[str, str]) -> None:
        if self._desk:
            self._desk.answered(self, call, headers)

    def used(self) -> int:
        """The tokens it has cost: what the service says, or else by the size of what was said."""
        usage = self._usage or Usage()
        said = usage.total or (usage.input or 0) + (usage.output or 0)
        return said if said > 0 else (self._bytes + self._letters) // LETTERS


class _Desk:
    """What a limiter knows on one event loop: who runs, who waits, and what was spent."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limiter: Limiter) -> None:
        self.loop = loop
        self.running = self.waiting = 0
        self.starts = _Minute(limiter.per_minute or math.inf)
        self._tokens = _Minute(limiter.tokens_per_minute or math.inf)
        self._limiter = limiter
        self._services: dict[str, _Service] = {}
        self._numbers = count()
        self._timer: asyncio.Handle | None = None
        self._looks_soon = False
        self._quiet_until = 0.0

    def service(self, name: str) -> _Service:
        return self._services.setdefault(name, _Service(name))

    def enter(self, turn: _Turn) -> None:
        """Let it start, or wait behind all who have come before."""
        turn.service.members += 1
        now = self.loop.time()
        if not self.waiting and self._free_at(turn.service, now) <= now:
            self._start(turn, now)
            return
        turn.number = next(self._numbers)
        turn.service.queue[turn.number] = turn
        self.waiting += 1
        for watch in turn.scope.watches:
            watch.queued()
        self._look_at()

    def leave(self, turn: _Turn, error: Exception | None, *, completed: bool) -> None:
        """It is over, or has lost patience."""
        service, now = turn.service, self.loop.time()
        service.members -= 1
        if turn.number in service.queue:
            self._unqueue(turn)
        else:
            self.running -= 1
            service.unanswered.pop(turn, None)
            self._tokens.correct(turn.reserved, turn.used(), now)
        if completed:
            self._limiter.usual += (turn.used() - self._limiter.usual) / MEMORY
        elif isinstance(error, Aborted):
            self._quiet_until = now + QUIET
        elif isinstance(error, ServiceError) and is_retryable(error) and error.retry_after:
            tired = self.service(error.provider or service.name)
            tired.rests_until = max(tired.rests_until, now + min(error.retry_after, BELIEVED))
        if not service.members and service.free_at(0, now) <= now and not service.allowances:
            self._services.pop(service.name, None)
        if self.waiting:
            self._look_at()
        elif self._timer is not None:
            self._timer.cancel()
            self._timer, self._looks_soon = None, False

    def answered(self, turn: _Turn, call: Call, headers: Mapping[str, str]) -> None:
        turn.service.unanswered.pop(turn, None)
        self.service(call.name or turn.service.name).heard(headers, turn.scope)
        if self.waiting:
            self._look_at()

    def notes(self) -> list[str]:
        rests = {each.name: self._rest(each) for each in self._services.values()}
        return [f"{name} rests for {rest:.1f} s" for name, rest in rests.items() if rest > 0]

    def _free_at(self, service: _Service, now: float) -> float:
        """When the next of a service may start: now, then, or (inf) with the next free place."""
        most, tokens = self._limiter.concurrent, self._limiter.tokens()
        if most is not None and self.running >= most:
            return math.inf
        return max(
            self.starts.free_at(1, now),
            self._tokens.free_at(tokens, now),
            service.free_at(tokens, now),
            self._quiet_until,
        )

    def _start(self, turn: _Turn, now: float) -> None:
        tokens = self._limiter.tokens()
        self.running += 1
        self.starts.spend(1, now)
        turn.reserved = self._tokens.spend(tokens, now)
        turn.service.spend(turn, tokens)
        turn.start()

    def _unqueue(self, turn: _Turn) -> None:
        del turn.service.queue[turn.number]
        self.waiting -= 1
        for watch in turn.scope.watches:
            watch.admitted()

    def _look_at(self, moment: float = 0.0) -> None:
        if self._looks_soon or moment == math.inf or self.loop.is_closed():
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_at(moment, self._look)
        self._looks_soon = moment == 0.0

    def _look(self) -> None:
        """Start everybody who may go, and look again when the next one may."""
        self._timer, self._looks_soon = None, False
        now = self.loop.time()
        self._refuse_long_waits()
        while queues := [each for each in self._services.values() if each.queue]:
            fronts = {(self._free_at(each, now), next(iter(each.queue))): each for each in queues}
            moment, number = min(fronts)
            if moment > now:
                self._look_at(moment)  # at inf, never: whoever leaves will see to it
                break
            turn = fronts[moment, number].queue[number]
            self._unqueue(turn)
            self._start(turn, now)

    def _rest(self, service: _Service) -> float:
        """Seconds for which a service wants to be left alone."""
        now = self.loop.time()
        return service.free_at(self._limiter.tokens(), now) - now

    def _refuse_long_waits(self) -> None:
        for service in [*self._services.values()]:
            if (seconds := self._rest(service)) > self._limiter.max_wait:
                for turn in [*service.queue.values()]:
                    turn.refuse(seconds)  # which does nothing to those who are gone by now
