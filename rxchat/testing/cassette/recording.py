"""Lets a real session do the work, and notes what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping
from typing import Any, Final

from rxchat.refusal import retry_after
from rxchat.request import Route
from rxchat.stream import Scope
from rxchat.testing.cassette.cleaning import GAP, Cleaner
from rxchat.testing.cassette.tape import HUNG_UP, Answer, End, Read, Recording, Request, Said
from rxchat.transport.pool import enter

__all__ = ["Recorder"]

# What is said of the bytes on the wire, and not true of those that are read.
OF_THE_WIRE: Final = {"connection", "content-encoding", "content-length", "transfer-encoding"}


class Recorder:
    """Records all that it is asked."""

    def __init__(self, session: Any, hidden: frozenset[str]) -> None:
        self._session = session
        self._cleaner = Cleaner(hidden)
        self._takes: list[_Take] = []

    async def request(
        self,
        method: str,
        url: Any,
        data: bytes | AsyncIterable[bytes],
        headers: Mapping[str, str],
        options: Mapping[str, Any],
    ) -> Any:
        """Ask the real session."""
        self._cleaner.learn(headers, str(url))
        take = _Take(method, str(url), headers)
        self._takes.append(take)
        session, leave = await self._enter()
        body = take.sending(data)
        try:
            response = await session.request(method, url, data=body, headers=headers, **options)
        except BaseException as error:
            take.broke(error)
            leave()
            raise
        take.answered(response)
        return _Response(response, take, leave)

    async def _enter(self) -> tuple[Any, Callable[[], None]]:
        if self._session is not None:
            return self._session, _nothing
        return await enter(Route(), Scope())

    def finish(self) -> list[Recording]:
        """What was recorded, without secrets."""
        for take in self._takes:
            self._cleaner.learn_from_answer(take.answer_headers)
        return [take.recording(self._cleaner) for take in self._takes]


class _Take:
    """One request, as it happens."""

    def __init__(self, method: str, url: str, headers: Mapping[str, str]) -> None:
        self._method, self._url, self._headers = method, url, headers
        self._sent = bytearray()
        self._status: int | None = None
        self._content_type = ""
        self.answer_headers: dict[str, str] = {}
        self._answered = 0.0
        self._reads: list[tuple[float, bytes]] = []
        self._end: End | None = None
        self._time = asyncio.get_running_loop().time
        self._last = self._time()

    def sending(self, data: bytes | AsyncIterable[bytes]) -> bytes | AsyncGenerator[bytes]:
        """The body, noted as it goes out."""
        if isinstance(data, bytes):
            self._sent += data
            return data
        return self._in_pieces(data)

    async def _in_pieces(self, data: AsyncIterable[bytes]) -> AsyncGenerator[bytes]:
        whole = False
        try:
            async for piece in data:
                self._sent += piece
                yield piece
            whole = True
        finally:
            if not whole:  # what was not sent any more may be anything
                self._sent += GAP.encode()

    def answered(self, response: Any) -> None:
        """Note the head of the answer."""
        self._answered = self._since()
        self._status = response.status
        self._content_type = response.content_type
        for name, value in response.headers.items():
            if name.lower() == "retry-after":  # a date would be long gone when it is played
                seconds = retry_after({name: value})
                value = value if seconds is None else f"{seconds:g}"
            if name.lower() not in OF_THE_WIRE:
                held = self.answer_headers.get(name)
                self.answer_headers[name] = value if held is None else f"{held}, {value}"

    def heard(self, data: bytes, last: bool) -> None:
        """Note a read; the last one may be known to be it, or may be of no bytes."""
        if self._end is None and data:
            self._reads.append((self._since(), data))
        if self._end is None and (last or not data):
            self._end = End(0.0 if data else self._since(), "end")

    def broke(self, error: BaseException) -> None:
        """Note what ended it; if it is no failure, the reader did."""
        if isinstance(error, Exception) and self._end is None:
            self._end = End.by(error, self._since())
        self.hung_up()

    def hung_up(self) -> None:
        """Note that its reader has left, if nothing else had ended it."""
        self._end = self._end or End(self._since(), HUNG_UP)

    def _since(self) -> float:
        now = self._time()
        seconds, self._last = round(now - self._last, 6), now
        return seconds

    def recording(self, cleaner: Cleaner) -> Recording:
        """All of it, without secrets."""
        self.hung_up()
        headers, ended = self.answer_headers, self._end or End(0.0, HUNG_UP)
        bodies = cleaner.answer([data for _, data in self._reads], self._content_type)
        return Recording(
            Request(
                self._method,
                cleaner.url(self._url),
                cleaner.request_headers(self._headers),
                Said.of(cleaner.body(bytes(self._sent))),
            ),
            None
            if self._status is None
            else Answer(self._answered, self._status, cleaner.answer_headers(headers)),
            [Read.of(after, body) for (after, _), body in zip(self._reads, bodies, strict=True)],
            End(ended.after, ended.how, cleaner.text(ended.reason), ended.status, ended.cause),
        )


class _Heard:
    """The real one, of which something is overheard."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class _Response(_Heard):
    def __init__(self, real: Any, take: _Take, leave: Callable[[], None]) -> None:
        super().__init__(real)
        self.content = _Content(real.content, take)
        self._take, self._leave = take, leave

    def close(self) -> None:
        self._take.hung_up()
        self._real.close()
        leave, self._leave = self._leave, _nothing
        leave()


class _Content(_Heard):
    def __init__(self, real: Any, take: _Take) -> None:
        super().__init__(real)
        self._take = take

    async def readany(self) -> bytes:
        try:
            data: bytes = await self._real.readany()
        except Exception as error:
            self._take.broke(error)
            raise
        self._take.heard(data, self._real.at_eof())
        return data


def _nothing() -> None:
    pass
