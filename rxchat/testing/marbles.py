"""Streams as pictures: `--a-b|` in, `--a-b|` out, in virtual time.

A character is one frame of 10 ms: `-` is silence, a letter is an item, `|` is the end, `#` is an
error; `(ab|)` all happen in one frame.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from rxchat.errors import ConnectionLost
from rxchat.stream import Pump, Stream, source
from rxchat.testing.clock import run_virtual

__all__ = ["FRAME", "Cold", "cold", "draw"]

FRAME = 0.01


class Cold:
    """A stream from a picture, which draws who subscribed: `^` is asked, `!` is hung up."""

    def __init__(
        self, picture: str, values: Mapping[str, Any] | None = None, error: Exception | None = None
    ) -> None:
        self.subscriptions: list[str] = []
        self._moments = list(_read(picture))
        self._values = values or {}
        self._error = error or ConnectionLost("as drawn")
        self.stream: Stream[Any] = source(self._play, picture)

    async def _play(self, pump: Pump[Any]) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        self.subscriptions.append("-" * _frames(start) + "^")
        place = len(self.subscriptions) - 1
        try:
            for frame, sign in self._moments:
                await asyncio.sleep(max(0.0, start + frame * FRAME - loop.time()))
                if sign == "|":
                    return
                if sign == "#":
                    raise self._error
                pump.emit(self._values.get(sign, sign))
            await asyncio.get_running_loop().create_future()  # no end was drawn
        except asyncio.CancelledError:
            drawn = self.subscriptions[place]
            self.subscriptions[place] = drawn.ljust(_frames(loop.time()), "-") + "!"
            raise


def cold(
    picture: str, values: Mapping[str, Any] | None = None, error: Exception | None = None
) -> Cold:
    """A stream that plays a picture anew for each subscriber."""
    return Cold(picture, values, error)


def draw(stream: Stream[Any], until: int = 10_000) -> str:
    """Run a stream in virtual time, and draw what came; it is hung up after `until` frames.

    >>> draw(cold("--a-(bc)--|").stream)
    '--a-(bc)--|'
    """
    return run_virtual(_draw(stream, until))


async def _draw(stream: Stream[Any], until: int) -> str:
    loop = asyncio.get_running_loop()
    seen: dict[int, str] = {}
    done = asyncio.Event()

    def note(sign: str) -> None:
        frame = _frames(loop.time())
        seen[frame] = seen.get(frame, "") + sign
        if sign in "|#":
            done.set()

    subscription = stream.subscribe(
        lambda item: note(str(item)), lambda error: note("#"), lambda: note("|")
    )
    try:
        async with asyncio.timeout(until * FRAME):
            await done.wait()
    except TimeoutError:
        subscription.dispose()
    await subscription.wait_closed()
    signs = (seen.get(frame, "-") for frame in range(max(seen, default=-1) + 1))
    return "".join(sign if len(sign) == 1 else f"({sign})" for sign in signs)


def _frames(seconds: float) -> int:
    return round(seconds / FRAME)


def _read(picture: str) -> Iterator[tuple[int, str]]:
    frame, grouped = 0, False
    for sign in picture.replace(" ", ""):
        if sign in "()":
            grouped = sign == "("
        elif sign != "-":
            yield frame, sign
        if not grouped:
            frame += 1
