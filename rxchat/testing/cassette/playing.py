"""Gives what was recorded, at the same times of the loop's clock."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterable, Iterable, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, cast

from multidict import CIMultiDict
from yarl import URL

from rxchat.errors import UsageError
from rxchat.testing.cassette.cleaning import Cleaner
from rxchat.testing.cassette.tape import HUNG_UP, Answer, Recording, Request

__all__ = ["NotRecorded", "Player"]

PATIENCE: Final = 1.0  # seconds that a reader may take longer to hang up than it took
NOTHING: Final = "nothing"


class NotRecorded(UsageError):
    """Something was asked of a cassette that is not on it; to ask again is of no use."""


class Player:
    """Plays what is asked for, each recording once."""

    def __init__(
        self, path: Path, recordings: list[Recording], hidden: frozenset[str], instantly: bool
    ) -> None:
        self._path = path
        self._all, self._left = recordings, [*recordings]
        self._hidden = hidden
        self._instantly = instantly

    @property
    def left(self) -> list[str]:
        """What has not been played yet."""
        return [f"{one.request.method} {one.request.url}" for one in self._left]

    async def request(
        self,
        method: str,
        url: object,
        data: bytes | AsyncIterable[bytes],
        headers: Mapping[str, str],
        options: Mapping[str, Any],
    ) -> _Response:
        """Wait for the head of the recorded answer."""
        body = data if isinstance(data, bytes) else b"".join([piece async for piece in data])
        recording = self._find(method, str(url), body)
        if recording is None:
            cleaner = Cleaner(self._hidden)
            cleaner.learn(headers, str(url))
            raise self._unknown(method, cleaner.url(str(url)), cleaner.body(body))
        clock = _Clock(self._instantly)
        if recording.answer is None:
            raise await _ended(recording, clock, clock.begun)
        answered = clock.begun + recording.answer.after
        await clock.until(answered)
        return _Response(recording.answer, str(url), _Content(recording, clock, answered))

    def _find(self, method: str, url: str, body: bytes) -> Recording | None:
        exactly = (one for one in self._left if one.request.is_exactly(method, url, body))
        alike = (one for one in self._left if one.request.is_like(method, url, body))
        found = next(exactly, None) or next(alike, None)
        if found is not None:
            at = next(at for at, one in enumerate(self._left) if one is found)
            del self._left[at]
        return found

    def _unknown(self, method: str, url: str, body: bytes) -> NotRecorded:
        requests = [one.request for one in self._all]
        there = [one for one in requests if (one.method, one.url) == (method, url)]
        played = [one for one in there if one.is_like(method, url, body)]
        if played:
            how = f"it is recorded {_times(len(played))}, and was asked for once more"
        elif there:
            how = "; ".join(dict.fromkeys(_difference(one, body) for one in there[:3]))
        else:
            known = dict.fromkeys(f"{one.method} {one.url}" for one in requests)
            how = f"recorded is {', '.join(known) or 'nothing'}"
        return NotRecorded(
            f'{method} {url} is not on {self._path}: {how}; record again with mode="record"'
        )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _difference(recorded: Request, body: bytes) -> str:
    """Where the body that is asked first differs from a recorded one."""
    try:
        before, now = json.loads(recorded.body.data), json.loads(body)
    except ValueError:
        return "the body differs"
    place = "body"
    if before == now:
        return "the body says the same in another way"
    while (left := _fields(before)) and (right := _fields(now)) and type(before) is type(now):
        of_both = (
            (name, left.get(name, NOTHING), right.get(name, NOTHING)) for name in {**left, **right}
        )
        name, before, now = next(field for field in of_both if field[1] != field[2])
        place += f"[{name!r}]"
    return f"{place} was {_excerpt(before)}, and is {_excerpt(now)}"


def _fields(value: Any) -> dict[Any, Any]:
    if isinstance(value, list):
        return dict(enumerate(cast("Iterable[Any]", value)))
    return cast("dict[Any, Any]", value) if isinstance(value, Mapping) else {}


def _excerpt(value: object, limit: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[:limit] + "…"


# The answer ---------------------------------------------------------------------------------------


class _Clock:
    """Waits for moments of the loop's clock, or for none."""

    def __init__(self, instantly: bool) -> None:
        self.loop = asyncio.get_running_loop()
        self.begun = self.loop.time()
        self.instantly = instantly
        self._waiting: asyncio.Future[None] | None = None

    async def until(self, moment: float) -> None:
        """Wait until then, for one turn of the loop at least."""
        if self.instantly or moment <= self.loop.time():
            await asyncio.sleep(0)
        else:
            await self.really_until(moment)

    async def really_until(self, moment: float) -> None:
        """Wait until then, also if all else is played instantly."""
        self._waiting = self.loop.create_future()
        timer = self.loop.call_at(moment, _wake, self._waiting)
        try:
            await self._waiting
        finally:
            timer.cancel()

    def interrupt(self, error: BaseException) -> None:
        """Let who waits fail."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


async def _ended(recording: Recording, clock: _Clock, last: float) -> Exception:
    """Wait for the failure that ended it. Where its reader hung up, it must do so again."""
    end = recording.end
    if end.error is not None:
        await clock.until(last + end.after)
        return end.error
    # A timer of the reader's own may be what hangs up: so this silence is never skipped.
    await clock.really_until(max(last, clock.loop.time()) + end.after + PATIENCE)
    return NotRecorded("the recording ends here, where its reader hung up: record it again")


class _Response:
    """As much of `aiohttp.ClientResponse` as the transport uses."""

    connection = None

    def __init__(self, answer: Answer, url: str, content: _Content) -> None:
        self.status = answer.status
        self.headers: CIMultiDict[str] = CIMultiDict(answer.headers)
        self.url = URL(url)
        self.content = content

    @property
    def content_type(self) -> str:
        kind = self.headers.get("Content-Type", "application/octet-stream")
        return kind.partition(";")[0].strip().lower()

    def close(self) -> None:
        """Nothing is open."""


class _Content:
    """As much of `aiohttp.StreamReader` as the transport uses."""

    def __init__(self, recording: Recording, clock: _Clock, answered: float) -> None:
        self._recording = recording
        self._clock = clock
        gaps = (read.after for read in recording.reads)
        self._moments = [*accumulate(gaps, initial=answered)]
        self._heard = 0
        self._exception: BaseException | None = None

    async def readany(self) -> bytes:
        if self._exception is not None:
            raise self._exception
        reads, end, heard = self._recording.reads, self._recording.end, self._heard
        if heard < len(reads):
            await self._clock.until(self._moments[heard + 1])
        elif end.how == "end":
            await self._clock.until(self._moments[-1] + end.after)
        else:
            self._exception = await _ended(self._recording, self._clock, self._moments[-1])
        if self._exception is not None:
            raise self._exception
        if heard == len(reads):
            return b""
        self._heard += 1
        return reads[heard].data

    def at_eof(self) -> bool:
        """Tell whether nothing more comes: no more was heard, or the end came with the last."""
        if self._heard < len(self._recording.reads):
            return False
        end = self._recording.end
        return end.how == HUNG_UP or (end.how == "end" and not end.after)

    def is_eof(self) -> bool:
        return self.at_eof()

    def exception(self) -> BaseException | None:
        return self._exception

    def set_exception(self, error: BaseException) -> None:
        """Let the reader fail, also if it waits."""
        self._exception = error
        self._clock.interrupt(error)
