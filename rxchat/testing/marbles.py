"""Streams as pictures: `--a-b|` in, `--a-b|` out, in virtual time.

A character is one frame of 10 ms, or as long as you say:

    -       nothing happens
    a       an item: the letter itself, or what `values` has for it
    |       the end
    #       an error: yours, or `ConnectionLost`
    (ab|)   all of these in one frame
    ^ !     in drawings of subscriptions: here it was asked, here it was hung up

A picture without an end goes on in silence; blanks are for your eyes only.

`cold("--a|").stream` gives plain letters. In the pictures of events, which `said` and
`Scripted.drawn` read and `draw` draws, a letter is a `Text`, `|` is a `Finish()` and then the end,
and four capitals have a meaning of their own unless `values` has another for them:

    S Start   U Usage   R Reset   F Finish, where it is not a plain one at the end

What else there is, as `Reasoning` and `ToolCall`, gets its letters from `values`; `draw` draws it
as `?` without.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, Final

from rxchat.errors import ConnectionLost, UsageError
from rxchat.events import Event, Finish, Reset, Start, Text, Usage
from rxchat.stream import Pump, Stream, source
from rxchat.testing.clock import run_virtual

__all__ = ["CAPITALS", "FRAME", "Cold", "cold", "draw", "read"]

FRAME = 0.01

CAPITALS: Final[Mapping[str, Start | Usage | Reset | Finish]] = {
    "S": Start(),
    "U": Usage(),
    "R": Reset(),
    "F": Finish(),
}


class Cold:
    """A stream from a picture, which draws who subscribed: `^` is asked, `!` is hung up."""

    def __init__(
        self,
        picture: str,
        values: Mapping[str, Any] | None = None,
        error: Exception | None = None,
        *,
        frame: float = FRAME,
    ) -> None:
        self.subscriptions: list[str] = []
        self._moments = list(read(picture))
        self._values = values or {}
        self._error = error or ConnectionLost("as drawn")
        self._frame = frame
        self.stream: Stream[Any] = source(self._play, picture)

    async def _play(self, pump: Pump[Any]) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        self.subscriptions.append("-" * self._frames(start) + "^")
        place = len(self.subscriptions) - 1
        try:
            for frame, sign in self._moments:
                await asyncio.sleep(max(0.0, start + frame * self._frame - loop.time()))
                if sign == "|":
                    return
                if sign == "#":
                    raise self._error.with_traceback(None)  # which would grow with every run
                pump.emit(self._values.get(sign, sign))
            await loop.create_future()  # no end was drawn
        except asyncio.CancelledError:
            drawn = self.subscriptions[place]
            self.subscriptions[place] = drawn.ljust(self._frames(loop.time()), "-") + "!"
            raise

    def _frames(self, seconds: float) -> int:
        return round(seconds / self._frame)


def cold(
    picture: str,
    values: Mapping[str, Any] | None = None,
    error: Exception | None = None,
    *,
    frame: float = FRAME,
) -> Cold:
    """A stream that plays a picture anew for each subscriber.

    >>> ears = cold("--a-b|", {"b": 42})
    >>> ears.stream.run()
    42
    """
    return Cold(picture, values, error, frame=frame)


def draw(
    stream: Stream[Any],
    until: int = 10_000,
    *,
    values: Mapping[str, Any] | None = None,
    frame: float = FRAME,
) -> str:
    """Run a stream in virtual time, and draw what came; it is hung up after `until` frames.

    Items of `values` are drawn as their letters.

    >>> draw(cold("--a-(bc)--|").stream)
    '--a-(bc)--|'
    >>> from rxchat.testing import Scripted
    >>> draw(Scripted(Start(), "Hel", 0.04, "lo")("Hi"))
    '(SHel)---(lo|)'
    """
    return run_virtual(_Drawing(values or {}, frame).of(stream, until))


class _Drawing:
    """What came in which frame, in letters."""

    def __init__(self, values: Mapping[str, Any], frame: float) -> None:
        self._values = values
        self._frame = frame
        self._seen: dict[int, list[str]] = {}
        self._finished = False  # by the last item, as every good answer

    async def of(self, stream: Stream[Any], until: int) -> str:
        over = asyncio.Event()

        def failed(error: Exception) -> None:
            self._note("#")
            over.set()

        def completed() -> None:
            now = self._note("|")
            if self._finished and now[-2:-1] == ["F"]:
                del now[-2]
            over.set()

        subscription = stream.subscribe(self._came, failed, completed)
        try:
            async with asyncio.timeout(until * self._frame):
                await over.wait()
        except TimeoutError:
            subscription.dispose()
        await subscription.wait_closed()
        return self._drawn()

    def _came(self, item: Any) -> None:
        self._note(self._sign(item))
        self._finished = item == Finish()

    def _note(self, sign: str) -> list[str]:
        frame = round(asyncio.get_running_loop().time() / self._frame)
        now = self._seen.setdefault(frame, [])
        now.append(sign)
        return now

    def _sign(self, item: Any) -> str:
        for sign, value in self._values.items():
            if type(value) is type(item) and value == item:
                return sign
        if isinstance(item, Text):
            return item.text
        for sign, event in CAPITALS.items():
            if type(event) is type(item):
                return sign
        return "?" if isinstance(item, Event) else str(item)

    def _drawn(self) -> str:
        last = max(self._seen, default=-1)
        frames = ("".join(self._seen.get(frame, "-")) for frame in range(last + 1))
        return "".join(signs if len(signs) == 1 else f"({signs})" for signs in frames)


def read(picture: str) -> Iterator[tuple[int, str]]:
    """The signs of a picture, each with its frame.

    >>> list(read("-a(b|)"))
    [(1, 'a'), (2, 'b'), (2, '|')]
    """
    frame, grouped, over = 0, False, False
    for sign in picture.replace(" ", ""):
        if sign in "()":
            if grouped == (sign == "("):
                raise UsageError(f"the brackets in {picture!r} do not match")
            grouped = sign == "("
        elif sign != "-":
            if over:
                raise UsageError(f"{picture!r} goes on after the end")
            over = sign in "|#"
            yield frame, sign
        if not grouped:
            frame += 1
    if grouped:
        raise UsageError(f"the brackets in {picture!r} do not match")
