"""When to paint: soon after a change, seldom enough to cost nothing, and once at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Painter"]

PAUSE = 0.05  # 20 times a second
SHARE = 10  # at most this part of the time is spent on painting


class Painter:
    """Calls `paint` after changes, never more often than every `pause` seconds.

    Nor before ten times as long as the last paint took has gone by, so that a large answer does
    not slow its own socket. There is one timer, and none while nothing changes.
    """

    def __init__(self, paint: Callable[[], None], pause: float = PAUSE) -> None:
        self._paint = paint
        self._pause = pause
        self._loop = asyncio.get_running_loop()
        self._soon: asyncio.TimerHandle | None = None
        self._not_before = 0.0

    def changed(self) -> None:
        """Have it painted soon."""
        if self._soon is None:
            self._soon = self._loop.call_at(self._not_before, self._now)

    def finish(self) -> None:
        """Paint no more."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None

    def _now(self) -> None:
        self._soon = None
        began = self._loop.time()
        try:
            self._paint()
        finally:
            over = self._loop.time()
            self._not_before = over + max(self._pause, SHARE * (over - began))
