"""A breaker: a service that fails too often is left alone for a while.

             too many failures                 after a rest
    closed ───────────────────▶ open ─────────────────────────▶ half-open
       ▲                          ▲                              │     │
       │                          └──── a probe fails: the rest doubles │
       └────────────────────── a probe's first content ─────────────────┘

Strategy. No timer runs: a breaker looks at the clock when it is asked. Each change of state begins
a new era, and what a stream of an earlier era comes to changes nothing any more: a hundred streams
that fail together open the breaker once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, TypeAlias, TypeVar

from attrs import define, field
from reactivex import Observable, abc
from reactivex.abc import DisposableBase
from reactivex.disposable import Disposable

from rxchat.errors import CircuitOpen, UsageError, is_retryable
from rxchat.operators.arguments import function, number, whole
from rxchat.operators.asking.judging import Clock, Ends, Trial
from rxchat.stream import Scope

__all__ = ["Breaker", "State", "breaker"]

T = TypeVar("T")

State: TypeAlias = Literal["closed", "open", "half-open"]


@define(eq=False, repr=False, kw_only=True)
class Breaker:
    """Ask no more, for a while, a service that fails too often; all streams through it share it.

    It opens with a failure, when at least `least` streams have ended within the last `window`
    seconds, and at least the share `failures` of them badly. While it is open, a subscription
    fails in the next turn of the loop with `CircuitOpen`, and nothing is sent. After `rest`
    seconds it is half-open: at most `probes` streams at once go through. The first content of one
    closes it; a failure opens it again, for twice as long, up to `max_rest` seconds. A probe that
    is silent for as long as the rest was gives its place to the next.

    A stream counts when it is over: as bad if `when` tells so of its error (by default: errors
    that a retry may mend); as good if it ends well, or if content had come, or if the service
    itself said no in another way. Neither are streams that you hang up before their first content,
    and errors of your own: `UsageError`, `CallbackFailed`, `Aborted`.

    >>> from rxchat.errors import ServerError
    >>> from rxchat.testing import Scripted
    >>> guard = breaker(least=1, name="mine")
    >>> answer = Scripted(ServerError("out of order"))("Hi").pipe(guard)
    >>> for attempt in range(2):
    ...     try:
    ...         answer.run()
    ...     except (ServerError, CircuitOpen) as error:
    ...         print(type(error).__name__)
    ServerError
    CircuitOpen
    >>> guard.state, guard.failure_rate
    ('open', 1.0)
    """

    failures: float = 0.5
    least: int = 10
    window: float = 60.0
    rest: float = 30.0
    max_rest: float = 300.0
    probes: int = 1
    when: Callable[[Exception], bool] = is_retryable
    name: str = ""

    _clock: Clock = field(factory=Clock, init=False)
    _ends: Ends = field(init=False)
    _era: int = field(default=0, init=False)
    _until: float | None = field(default=None, init=False)  # it rests, or rested, till then
    _resting: float = field(init=False)  # seconds of the rest, or of the next one
    _probing: dict[_Passage, float] = field(factory=dict[Any, float], init=False)
    _why: str = field(default="", init=False)

    def __attrs_post_init__(self) -> None:
        whole("breaker", least=self.least, probes=self.probes)
        times = {"window": self.window, "rest": self.rest, "max_rest": self.max_rest}
        number("breaker", above=0, failures=self.failures, **times)
        function("breaker", when=self.when)
        if self.failures > 1:
            raise UsageError(f"breaker(failures=) is a share, up to 1, not {self.failures!r}")
        if self.rest == math.inf:
            raise UsageError("breaker(rest=) is finite, or it would never close again")
        self._ends = Ends(self.window)
        self._resting = self.rest

    def __call__(self, source: Observable[T]) -> Observable[T]:
        def subscribe(
            observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None
        ) -> DisposableBase:
            scope = Scope.of(scheduler)
            passage = _Passage(observer, self.when, self._heard, self._judged)
            refusal = self._refusal(passage, self._clock.now())
            if refusal is None:
                return passage.start(source, scope)
            return Disposable(scope.loop.call_soon(observer.on_error, refusal).cancel)

        return Observable(subscribe)

    @property
    def state(self) -> State:
        """Whether it is closed (all streams go through), open (none), or half-open (probes)."""
        if self._until is None:
            return "closed"
        return "open" if self._clock.now() < self._until else "half-open"

    @property
    def admits(self) -> bool:
        """Whether a stream that is subscribed to now would go through."""
        state = self.state
        return state == "closed" or (state == "half-open" and self._has_place(self._clock.now()))

    @property
    def seen(self) -> int:
        """How many streams counted within the window."""
        return self._ends.count(self._clock.now())[0]

    @property
    def failure_rate(self) -> float:
        """The share of them that was bad; 0 if there were none."""
        seen, bad = self._ends.count(self._clock.now())
        return bad / seen if seen else 0.0

    def __repr__(self) -> str:
        name = f" {self.name!r}" if self.name else ""
        left = f" for {self._left():.1f} s" if self.state == "open" else ""
        rate = f"{self.failure_rate:.0%} of {self.seen} failed"
        return f"<breaker{name}: {self.state}{left}, {rate}>"

    def _refusal(self, passage: _Passage, now: float) -> CircuitOpen | None:
        """Why a stream may not pass; None if it may."""
        passage.era = self._era
        if self._until is None:
            return None
        waiting = None  # for a probe, nobody knows how long
        if now < self._until:
            # In full milliseconds, so that who comes back then is not too early by a rounding.
            waiting = math.ceil(self._left() * 1000) / 1000
        elif self._has_place(now):
            self._probing[passage] = now
            return None
        return CircuitOpen(
            f"not asked, because {self._why}", provider=self.name or None, retry_after=waiting
        )

    def _has_place(self, now: float) -> bool:
        for probe, since in [*self._probing.items()]:
            if now - since >= self._resting:
                del self._probing[probe]
        return len(self._probing) < self.probes

    def _left(self) -> float:
        return (self._until or 0.0) - self._clock.now()

    def _heard(self, passage: _Passage) -> None:
        """A probe has spoken: close, and begin anew; how it ends will count as of any other."""
        if passage.era == self._era and self._until is not None:
            self._change(until=None, resting=self.rest)
            self._ends.clear()
            passage.era = self._era

    def _judged(self, passage: _Passage, good: bool | None, error: Exception | None) -> None:
        self._probing.pop(passage, None)
        if good is None or passage.era != self._era:
            return
        now = self._clock.now()
        if self._until is None:
            self._ends.note(now, bad=not good)
            seen, bad = self._ends.count(now)
            if not good and seen >= self.least and bad >= self.failures * seen:
                self._open(now, f"{bad} of {seen} requests failed in {self.window:g} s", error)
        elif good:
            self._heard(passage)  # it had nothing to say, and said so well
        else:
            self._resting = min(2 * self._resting, max(self.rest, self.max_rest))
            self._open(now, "it failed again when it was probed", error)

    def _open(self, now: float, why: str, error: Exception | None) -> None:
        # In words: an error that is kept would keep everything in its traceback.
        self._why = f"{why}; the last: {type(error).__name__}: {error}" if error else why
        self._change(until=now + self._resting, resting=self._resting)

    def _change(self, until: float | None, resting: float) -> None:
        self._era += 1
        self._until, self._resting = until, resting


breaker = Breaker
"""`Breaker`, in the spelling of operators."""


class _Passage(Trial):
    """A stream that has passed a breaker, in one of its eras."""

    __slots__ = ("_heard", "_judged", "era")

    def __init__(
        self,
        observer: abc.ObserverBase[Any],
        when: Callable[[Exception], bool],
        heard: Callable[[_Passage], None],
        judged: Callable[[_Passage, bool | None, Exception | None], None],
    ) -> None:
        super().__init__(observer, when)
        self._heard = heard
        self._judged = judged
        self.era = 0

    def spoke(self) -> None:
        self._heard(self)

    def judged(self, good: bool | None, error: Exception | None) -> None:
        self._judged(self, good, error)
