"""What streams come to: good, bad or neither; and how many did within a window of time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from reactivex import Observable, abc
from reactivex.abc import DisposableBase

from rxchat.errors import CallbackFailed, CircuitOpen, ServiceError, is_fatal
from rxchat.events import is_content
from rxchat.stream import Hop, Scope, lift

__all__ = ["Clock", "Ends", "Trial"]

SLOTS = 20  # of a window: memory is bounded, and ends are forgotten a slot at a time


class Trial(Hop[Any], DisposableBase):
    """One stream that is passed on as it is, and judged once: `good`, bad, or neither (None)."""

    __slots__ = ("_emit", "_over", "_upstream", "_when", "spoken")

    def __init__(self, observer: abc.ObserverBase[Any], when: Callable[[Exception], bool]) -> None:
        super().__init__(observer)
        self.spoken = False
        self._emit = observer.on_next
        self._when = when
        self._over = False
        self._upstream: DisposableBase | None = None

    def spoke(self) -> None:
        """The first content has come."""

    def judged(self, good: bool | None, error: Exception | None) -> None:
        """The stream is over."""

    def start(self, source: Observable[Any], scope: Scope) -> DisposableBase:
        try:
            self._upstream = lift(source, self, scope)
        except Exception:
            self._end(None)
            raise
        return self

    def on_next(self, item: Any) -> None:
        if not self.spoken and is_content(item):
            self.spoken = True
            self.spoke()
        self._emit(item)

    def on_error(self, error: Exception) -> None:
        good = True if self.spoken or isinstance(error, ServiceError) else None
        if not is_fatal(error) and not isinstance(error, CircuitOpen):  # else nobody was asked
            try:
                good = False if self._when(error) else good
            except Exception as bug:
                good, error = None, CallbackFailed.by(bug)
        self._end(good, error)
        self.observer.on_error(error)

    def on_completed(self) -> None:
        self._end(True)
        self.observer.on_completed()

    def dispose(self) -> None:
        """Hang up: the stream is judged by whether it had spoken."""
        if self._upstream is not None:
            self._upstream.dispose()
        self._end(True if self.spoken else None)

    def _end(self, good: bool | None, error: Exception | None = None) -> None:
        if not self._over:
            self._over = True
            self.judged(good, error)


class Ends:
    """How many streams have ended within the window, and how many of them badly."""

    __slots__ = ("_slots", "_width")

    def __init__(self, window: float) -> None:
        self._width = window / SLOTS
        self._slots: deque[tuple[int, int, int]] = deque(maxlen=SLOTS)  # number, ends, bad ends

    def note(self, now: float, *, bad: bool) -> None:
        number, seen, failed = int(now / self._width), 0, 0
        if self._slots and self._slots[-1][0] == number:
            _, seen, failed = self._slots.pop()
        self._slots.append((number, seen + 1, failed + bad))

    def count(self, now: float) -> tuple[int, int]:
        """All of them, and the bad ones."""
        oldest = int(now / self._width) - SLOTS
        recent = [slot for slot in self._slots if slot[0] > oldest]
        return sum(slot[1] for slot in recent), sum(slot[2] for slot in recent)

    def clear(self) -> None:
        self._slots.clear()


class Clock:
    """The running loop's time, which goes on with the next loop and never back.

    Real loops share one clock. When a loop is behind the one before, as a virtual one that begins
    at 0, its time is added; without a loop, time stands still.
    """

    __slots__ = ("_ahead", "_last", "_loop")

    def __init__(self) -> None:
        self._ahead = 0.0
        self._last = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None

    def now(self) -> float:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return self._last
        if loop is not self._loop:
            self._loop = loop
            if loop.time() + self._ahead < self._last:
                self._ahead = self._last
        self._last = loop.time() + self._ahead
        return self._last
