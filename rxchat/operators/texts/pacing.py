"""The same text at another pace: for a screen, a socket, or eyes.

Strategy. What may not go out yet waits here, and one timer per stream lets it out; the source is
never made to wait for that. Only the consumer's own demand holds it back, and it holds the timer
back, too. Whatever the end, what waits comes out before it, at once.
"""

from __future__ import annotations

import asyncio
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeVar, cast

from reactivex import Observable, abc
from reactivex.abc import DisposableBase
from reactivex.disposable import Disposable

from rxchat.errors import CallbackFailed, UsageError
from rxchat.events import Reasoning, Refusal, Reset, Text, ToolCall
from rxchat.stream import Gate, Hop, Scope, lift

__all__ = [
    "Paced",
    "Voice",
    "coalesce",
    "item_of",
    "paced",
    "positive",
    "restarts",
    "throttle",
    "voice_and_text",
]

T = TypeVar("T")

TINY = 1e-6  # seconds: less than that is a matter of rounding


def coalesce(seconds: float) -> Callable[[Observable[T]], Observable[T]]:
    """Make fewer and larger pieces of text: the first at once, then one per so many seconds.

    Text and reasoning are joined, in streams of str and of events, for each of several answers.
    What waits comes out before any other event, before reasoning turns to text, and at the end; a
    `Reset` that restarts drops it. At most as much waits as the service says in that time, or the
    consumer is slow for.

    >>> from rxchat.testing import cold, draw
    >>> draw(cold("abcdefgh|").stream.pipe(coalesce(0.028)))
    'a--(bc)--(def)-(gh|)'
    """
    seconds = positive("coalesce(seconds)", seconds)
    return paced(lambda observer, scope: _Joining(observer, scope, seconds))


def throttle(seconds: float) -> Callable[[Observable[T]], Observable[T]]:
    """Give at most one item per so many seconds: the first at once, then always the latest.

    It is for values that replace each other, as partial results: what comes in between is dropped,
    one item waits, and the last one always comes. Pieces of text are not dropped but refused:
    `coalesce` is for them.

    >>> from rxchat.testing import cold, draw
    >>> draw(cold("abcdefgh|").stream.pipe(throttle(0.028)))
    'a--c--f-(h|)'
    """
    seconds = positive("throttle(seconds)", seconds)
    return paced(lambda observer, scope: _Latest(observer, scope, seconds))


def positive(name: str, number: Any) -> float:
    good = isinstance(number, int | float) and not isinstance(number, bool)
    if not good or not 0 < number < math.inf:
        raise UsageError(f"{name} takes a number above 0, not {number!r}")
    return float(number)


# What waits, and its timer -----------------------------------------------------------------------


class Paced(Hop[Any], DisposableBase, ABC):
    """Items that wait until it is time, and there is demand, for them."""

    __slots__ = ("_demand", "_emit", "_loop", "_over", "_release", "_time", "_timer", "_upstream")

    def __init__(self, observer: abc.ObserverBase[Any], scope: Scope) -> None:
        super().__init__(observer)
        self._emit = observer.on_next
        self._loop = scope.loop
        self._time = scope.loop.time
        self._timer: asyncio.TimerHandle | None = None
        self._demand = _Demand(scope.loop.time, self.arm)
        self._release = scope.gate.govern(self._demand)
        self._upstream: DisposableBase = Disposable()
        self._over = False

    def over(self, source: Observable[Any], scope: Scope) -> DisposableBase:
        """Subscribe to what is paced."""
        try:
            self._upstream = lift(source, self, scope)
        except Exception:
            self._stop()
            raise
        return self

    @abstractmethod
    def due(self) -> float | None:
        """When something must go out; None if nothing waits."""

    @abstractmethod
    def give(self, now: float) -> None:
        """Emit what is due."""

    @abstractmethod
    def flush(self) -> None:
        """Emit all that waits."""

    def on_error(self, error: Exception) -> None:
        self._end(error)

    def on_completed(self) -> None:
        self._end(None)

    def dispose(self) -> None:
        self._stop()
        self._upstream.dispose()

    def arm(self) -> None:
        """See to it that the timer rings when something is due, if anybody wants it."""
        when = None if self._over or self._demand.paused else self.due()
        if when is None:
            return
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._demand.paused:  # `arm` is called again when it is over
            return
        try:
            self.give(self._time())
        except Exception as bug:  # of an operator downstream, which must not hang
            self.dispose()
            self.observer.on_error(CallbackFailed.by(bug))
        self.arm()

    def _end(self, error: Exception | None) -> None:
        self._stop()
        try:
            self.flush()
        except Exception as bug:
            error = error or CallbackFailed.by(bug)
        if error is None:
            self.observer.on_completed()
        else:
            self.observer.on_error(error)

    def _stop(self) -> None:
        if not self._over:
            self._over = True
            self._release()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None


class _Demand(Gate):
    """The consumer's demand; when it comes back, that is told."""

    __slots__ = ("_back",)

    def __init__(self, time: Callable[[], float], back: Callable[[], None]) -> None:
        super().__init__(time)
        self._back = back

    def resume(self) -> None:
        super().resume()
        if not self.paused:
            self._back()


def paced(
    make: Callable[[abc.ObserverBase[Any], Scope], Paced],
) -> Callable[[Observable[T]], Observable[T]]:
    def op(source: Observable[T]) -> Observable[T]:
        def subscribe(
            observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None
        ) -> DisposableBase:
            scope = Scope.of(scheduler)
            return make(observer, scope).over(source, scope)

        return Observable(subscribe)

    return op


# Pieces of text ----------------------------------------------------------------------------------

Voice: TypeAlias = tuple[Callable[..., Any], int]
"""Whose text it is: texts of one voice may be joined."""

_PLAIN: Final[Voice] = (str, 0)


def voice_and_text(item: Any) -> tuple[Voice, str] | None:
    """A piece of text and its voice; None for all else, and for a part that stands alone."""
    kind = cast("type[object]", type(item))
    if kind is str:
        return _PLAIN, item
    if (kind is Text or kind is Reasoning) and item.opaque is None:
        return (kind, item.choice), item.text
    return None


def item_of(voice: Voice, text: str) -> Any:
    make, choice = voice
    return text if make is str else make(text, choice)


def restarts(item: object) -> bool:
    return type(item) is Reset and item.kind == "restart"


class _Joining(Paced):
    """`coalesce`: pieces that wait for their time, for each answer."""

    __slots__ = ("_free", "_seconds", "_waiting")

    def __init__(self, observer: abc.ObserverBase[Any], scope: Scope, seconds: float) -> None:
        super().__init__(observer, scope)
        self._seconds = seconds
        self._free = -math.inf  # when the next piece may go out
        self._waiting: dict[int, tuple[Voice, list[str]]] = {}

    def on_next(self, item: Any) -> None:
        piece = voice_and_text(item)
        if piece is None:
            if restarts(item):
                self._waiting.clear()
            self.flush()
            self._emit(item)
            return
        voice, text = piece
        if not text:
            return
        waiting = self._waiting.get(voice[1])
        if waiting is not None and waiting[0] != voice:
            self.flush()
            waiting = None
        if waiting is not None:
            waiting[1].append(text)
            return
        now = self._time()
        if self._waiting or now < self._free - TINY or self._demand.paused:
            self._waiting[voice[1]] = voice, [text]
            self.arm()
        else:
            self._free = now + self._seconds
            self._emit(item)

    def due(self) -> float | None:
        return self._free if self._waiting else None

    def give(self, now: float) -> None:
        self.flush()

    def flush(self) -> None:
        if self._waiting:
            self._free = self._time() + self._seconds
            waiting, self._waiting = self._waiting, {}
            for voice, texts in waiting.values():
                self._emit(item_of(voice, "".join(texts)))


class _Latest(Paced):
    """`throttle`: the one item that waits for its time."""

    __slots__ = ("_free", "_seconds", "_waiting")

    def __init__(self, observer: abc.ObserverBase[Any], scope: Scope, seconds: float) -> None:
        super().__init__(observer, scope)
        self._seconds = seconds
        self._free = -math.inf  # when the next item may go out
        self._waiting: list[Any] = []  # none or one

    def on_next(self, item: Any) -> None:
        if type(item) in _WORDS:
            self.dispose()
            self.observer.on_error(UsageError(_LOSES_TEXT))
            return
        self._waiting = [item]
        if self._time() < self._free - TINY or self._demand.paused:
            self.arm()
        else:
            self.flush()

    def due(self) -> float | None:
        return self._free if self._waiting else None

    def give(self, now: float) -> None:
        self.flush()

    def flush(self) -> None:
        if self._waiting:
            self._free = self._time() + self._seconds
            (item,), self._waiting = self._waiting, []
            self._emit(item)


_WORDS: Final = frozenset({Text, Reasoning, Refusal, ToolCall})
_LOSES_TEXT = (
    "throttle() would drop words of the answer: ops.coalesce(seconds) joins them, and throttle is "
    "for values that replace each other"
)
