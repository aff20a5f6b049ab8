"""When to paint: soon after a change, and so seldom that it costs next to nothing.

Strategy. All painters of a loop take turns, whoever waits longest first. After each turn all pause:
ten times as long as it took, so that large answers, or many, slow no socket; and as long as takes
what was sent, since a notebook's server drops messages, also the last one, of who sends too much.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from operator import attrgetter
from weakref import WeakKeyDictionary

__all__ = ["Painter"]

PAUSE = 0.05  # 20 times a second
SHARE = 10  # at most this part of the time is spent on painting
RATE = 300_000  # characters a second; a server stops at a million bytes, of all that is shown


class Painter:
    """Calls `paint` after changes, never more often than every `pause` seconds.

    `paint` gives how many characters it has sent. There is one timer, and none while nothing
    changes.
    """

    def __init__(self, paint: Callable[[], int], pause: float = PAUSE) -> None:
        self.paint = paint
        self.pause = pause
        self.not_before = 0.0
        self._turns = _turns.setdefault(asyncio.get_running_loop(), _Turns())

    def changed(self) -> None:
        """Have it painted soon."""
        self._turns.join(self)

    def finish(self) -> None:
        """Paint no more."""
        self._turns.leave(self)


class _Turns:
    """Whose turn it is to paint, on one loop."""

    def __init__(self) -> None:
        self._waiting: dict[Painter, None] = {}  # in order
        self._timer: asyncio.TimerHandle | None = None
        self._not_before = 0.0

    def join(self, painter: Painter) -> None:
        if painter not in self._waiting:
            self._waiting[painter] = None
            self._plan()

    def leave(self, painter: Painter) -> None:
        if painter in self._waiting:
            del self._waiting[painter]
            self._plan()

    def _plan(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            soon = max(self._not_before, self._next().not_before)
            self._timer = asyncio.get_running_loop().call_at(soon, self._take_turn)

    def _next(self) -> Painter:
        return min(self._waiting, key=attrgetter("not_before"))

    def _take_turn(self) -> None:
        painter, time = self._next(), asyncio.get_running_loop().time
        del self._waiting[painter]
        began, sent = time(), 0
        try:
            sent = painter.paint()
        finally:
            over = time()
            painter.not_before = over + painter.pause
            self._not_before = over + max(SHARE * (over - began), sent / RATE)
            self._plan()


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, _Turns] = WeakKeyDictionary()
