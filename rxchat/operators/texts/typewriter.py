"""Text for a screen, as if somebody typed it: in small even pieces, and never far behind.

Strategy. Every text is promised to be out in time when it comes: if the usual speed is not enough
for all that waits, typing goes faster until nothing waits. So no character has a time of its own,
and the cost is the same for each. `Paced` has the timer and the consumer's demand.
"""

from __future__ import annotations

import math
import unicodedata
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeVar

from reactivex import Observable, abc

from rxchat.operators.texts.pacing import (
    Paced,
    Voice,
    item_of,
    paced,
    positive,
    restarts,
    voice_and_text,
)
from rxchat.stream import Scope

__all__ = ["smooth"]

T = TypeVar("T")

FRAME = 1 / 30  # seconds: as often as a screen is worth drawing
STEPS = 4  # in which, at least, a text comes that came at once
LONGEST = 64  # characters that a person may see as one; what is longer is cut
TINY = 1e-6  # seconds and characters: less than that is a matter of rounding


def smooth(rate: float = 60.0, *, max_lag: float = 1.0) -> Callable[[Observable[T]], Observable[T]]:
    """Type text on a screen in small even pieces, at about `rate` characters per second.

    No character comes more than `max_lag` seconds after the service has said it: when there is
    more to type, typing goes faster until it has caught up. The service is never held back, so
    what waits is at most the answer; it comes out at once when the answer ends, also with an
    error. If your own consumer is slow, it gets fewer and larger pieces.

    Text and reasoning are typed, in streams of str and of events; other events keep their place
    among them, as does a text with something `opaque`, whole. What a person sees as one character
    is not cut, unless its parts come more than `max_lag` apart: so the last one waits for the
    next. A `Reset` that restarts drops what waits of the old text.

    >>> from rxchat.testing import cold, draw
    >>> draw(cold("(abc)--------------|").stream.pipe(smooth(rate=20)))
    'a----b---------(c|)'
    """
    rate, max_lag = positive("smooth(rate=)", rate), positive("smooth(max_lag=)", max_lag)
    return paced(lambda observer, scope: _Typewriter(observer, scope, rate, max_lag))


class _Run:
    """Text of one voice that waits to be typed; taking it all costs as much as it is long."""

    __slots__ = ("_at", "_parts", "_text", "left", "voice")

    def __init__(self, voice: Voice) -> None:
        self.voice = voice
        self.left = 0  # characters
        self._text, self._at = "", 0
        self._parts: list[str] = []

    def add(self, text: str) -> None:
        self._parts.append(text)
        self.left += len(text)

    def take(self, count: int, *, whole: bool) -> str:
        """So many characters, or some more in order not to cut one that is made of several.

        The last one is left, since it may go on, unless this text is `whole`.
        """
        while True:
            end = min(self._at + count, len(self._text))
            most = min(end + LONGEST, len(self._text))
            while end < most and _sticks(self._text, end, self._at):
                end += 1
            if end < len(self._text) or not self._parts:
                break
            # Little is left of the text, or all of it is about to be taken: so joining is cheap.
            self._text, self._at = self._text[self._at :] + "".join(self._parts), 0
            self._parts.clear()
        if end == len(self._text) and not whole:
            last = end - 1
            while last > self._at and end - last < LONGEST and _sticks(self._text, last, self._at):
                last -= 1
            end = last if end - last < LONGEST else end
        taken = self._text[self._at : end]
        self._at = end
        self.left -= len(taken)
        return taken


_JOINER: Final = "\u200d"
_EXTENDING: Final = frozenset({"Mn", "Me", "Mc"})


def _sticks(text: str, at: int, start: int) -> bool:
    """Tell whether a cut here would be inside of what a person sees as one character.

    >>> [_sticks(text, 1, 0) for text in ("ab", "e\\u0301", "\\r\\n", "🇩🇪", "👍🏽")]
    [False, True, True, True, True]
    """
    before, after = text[at - 1], text[at]
    if after < "\u0300":
        return before == "\r" and after == "\n"
    if before == _JOINER or after in "\u200c\u200d" or unicodedata.category(after) in _EXTENDING:
        return True
    if "\U0001f1e6" <= after <= "\U0001f1ff":  # two of these letters make a flag
        first = at
        while first > start and "\U0001f1e6" <= text[first - 1] <= "\U0001f1ff":
            first -= 1
        return (at - first) % 2 == 1
    low_surrogate, skin, tag = "\udc00" <= after <= "\udfff", "🏻" <= after <= "🏿", 0xE0020
    return low_surrogate or skin or tag <= ord(after) <= 0xE007F


class _Typewriter(Paced):
    """`smooth`: texts and other items in order, and how fast they are typed.

    The speed is as asked for, or such that all that waits is out in time; it is kept until nothing
    waits. So every character has its time when it comes, and none is delayed by those after it.
    """

    __slots__ = (
        "_credit",
        "_heard",
        "_lag",
        "_last",
        "_left",
        "_promised",
        "_queue",
        "_rate",
        "_speed",
        "_stuck",
        "_tick",
    )

    def __init__(
        self, observer: abc.ObserverBase[Any], scope: Scope, rate: float, max_lag: float
    ) -> None:
        super().__init__(observer, scope)
        self._rate, self._lag = rate, max_lag
        self._tick = min(FRAME, max_lag / STEPS)
        self._speed = rate
        self._queue: deque[Any] = deque()  # of runs, and other items; the first one is a run
        self._left = 0  # characters in all
        self._credit = 1.0  # characters that may be typed
        self._last = 0.0  # when that was computed
        self._heard = 0.0  # when the latest text came
        self._stuck = False  # all is typed, but for one character that may go on
        self._promised: float = math.inf  # when that one goes out at the latest

    def on_next(self, item: Any) -> None:
        piece = voice_and_text(item)
        if piece is None:
            self._follow(item)
            return
        voice, text = piece
        if not text:
            return
        now = self._heard = self._time()
        idle = self._stuck or not self._queue
        self._earn(now, idle)
        self._stuck = False
        run = self._queue[-1] if self._queue else None
        if type(run) is not _Run or run.voice != voice:
            run = _Run(voice)
            self._queue.append(run)
        run.add(text)
        self._left += len(text)
        needed = (self._left - self._credit) / (self._lag - self._tick)
        self._speed = max(self._rate if idle else self._speed, needed)
        if idle and not self._demand.paused:
            self.give(now)
        self.arm()

    def _follow(self, item: Any) -> None:
        """Let another item come after the text before it, unless that is taken back."""
        queue, self._stuck = self._queue, False
        if restarts(item):
            others = [each for each in queue if type(each) is not _Run]
            queue.clear()
            self._left, self._promised = 0, math.inf
            for each in others:
                self._emit(each)
        if queue:
            queue.append(item)
            self.arm()
        else:
            self._emit(item)

    def due(self) -> float | None:
        if not self._queue:
            return None
        if self._stuck:
            return self._promised
        next_one = self._last + max(self._tick, (1.0 - self._credit) / self._speed)
        return min(next_one, self._promised)

    def give(self, now: float) -> None:
        self._earn(now, self._stuck)
        queue, late = self._queue, now >= self._promised - TINY
        while queue and not self._over:
            first = queue[0]
            if type(first) is not _Run:
                self._emit(queue.popleft())
                continue
            count = max(int(self._credit + TINY), late)
            if not count:
                return
            taken = first.take(count, whole=len(queue) > 1 or (late and self._stuck))
            if not taken:
                self._stuck, self._promised = True, self._heard + self._lag
                self._credit = min(self._credit, 1.0)
                return
            late, self._promised = False, math.inf
            self._left -= len(taken)
            self._credit -= len(taken)
            if not first.left:
                queue.popleft()
            self._emit(item_of(first.voice, taken))
        self._stuck = False

    def flush(self) -> None:
        queue, self._queue = self._queue, deque[Any]()
        for each in queue:
            is_text = type(each) is _Run
            self._emit(item_of(each.voice, each.take(each.left, whole=True)) if is_text else each)

    def _earn(self, now: float, idle: bool) -> None:
        """What may be typed grows with time; idle time is worth one character."""
        self._credit += self._speed * (now - self._last)
        self._last = now
        if idle:
            self._credit = min(self._credit, 1.0)
