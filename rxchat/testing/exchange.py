"""One request to the local server: how it is read, and how far its reply has come."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

import msgspec
from attrs import define, field

__all__ = ["MAX_HEAD", "Bell", "Ending", "Exchange", "Headers", "RequestError", "read_request"]

Ending: TypeAlias = Literal["complete", "hung up", "failed on purpose", "stopped"]


class Headers(Mapping[str, str]):
    """The headers of a request by name, in any case; `raw` keeps them as they came."""

    def __init__(self, raw: Iterable[tuple[str, str]]) -> None:
        self.raw = list(raw)
        self._values: dict[str, str] = {}
        for name, value in self.raw:
            key = name.lower()
            self._values[key] = f"{self._values[key]}, {value}" if key in self._values else value

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Headers({self.raw!r})"


class Bell:
    """Wakes all who wait for something to have become true."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []

    def ring(self) -> None:
        """Let everybody look again."""
        waiting, self._waiting = self._waiting, []
        for sleeper in waiting:
            if not sleeper.done():
                sleeper.set_result(None)

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait until it is so."""
        while not reached():
            sleeper = asyncio.get_running_loop().create_future()
            self._waiting.append(sleeper)
            await sleeper


@define(eq=False)
class Exchange:
    """One request, and what has become of its reply."""

    method: str
    target: str
    version: str
    headers: Headers
    body: bytes = b""
    sent: int = field(default=0, init=False)
    """How many bytes of the body have left us."""
    waiting: bool = field(default=False, init=False)
    """Whether the reply waits on purpose: at a HOLD, or in a stall."""
    _ended: asyncio.Future[Ending] = field(
        factory=lambda: asyncio.get_running_loop().create_future(), init=False
    )
    _releases: asyncio.Semaphore = field(factory=lambda: asyncio.Semaphore(0), init=False)
    _bell: Bell = field(factory=Bell, init=False)

    @property
    def path(self) -> str:
        """The path alone; a client that takes us for a proxy asks for a whole address."""
        whole = not self.target.startswith("/")
        return urlsplit(self.target).path if whole else self.target.partition("?")[0]

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return msgspec.json.decode(self.body)

    @property
    def ended(self) -> asyncio.Future[Ending]:
        """How it ended; "complete" is a whole HTTP message, also if `after` made it short."""
        return asyncio.shield(self._ended)

    async def sending(self, size: int = 1) -> None:
        """Wait until that many bytes of the body have left us."""
        await self._until(lambda: self.sent >= size, f"{size} bytes")

    async def holding(self) -> None:
        """Wait until the reply waits on purpose: at a HOLD, or in a stall."""
        await self._until(lambda: self.waiting, "a hold")

    def release(self) -> None:
        """Let the reply go on from the HOLD it waits at, or else not wait at the next one."""
        self.waiting = False
        self._releases.release()

    async def _until(self, reached: Callable[[], bool], what: str) -> None:
        await self._bell.until(lambda: reached() or self._ended.done())
        if not reached():
            raise LookupError(f"{self._ended.result()} after {self.sent} bytes, before {what}")

    def advance(self, size: int) -> None:
        """Note that bytes have left us."""
        self.sent += size
        self._bell.ring()

    def end(self, ending: Ending) -> None:
        """Note how it ended."""
        self._ended.set_result(ending)
        self._bell.ring()

    async def hold(self) -> None:
        """Wait on purpose until `release`."""
        self.waiting = self._releases.locked()
        self._bell.ring()
        await self._releases.acquire()


# Reading ----------------------------------------------------------------------------------------

MAX_HEAD: Final = 64 * 1024
MAX_BODY: Final = 64 * 1024 * 1024


class RequestError(Exception):
    """What came is not HTTP as we know it; afterwards the connection is of no use."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


REQUEST_LINE: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+) (\S+) HTTP/(1\.[01])")
HEADER_LINE: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*")
CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;.*)?\r\n")


async def read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Exchange:
    """Read one request as RFC 9112 has it, sections 2 to 7, with bounds on what is kept."""
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").strip("\r\n").split("\r\n")
    request, fields = REQUEST_LINE.fullmatch(first), [HEADER_LINE.fullmatch(line) for line in lines]
    if request is None:
        raise RequestError(400, f"not a request line: {first[:80]!r}")
    raw = [(name, value) for name, value in (found.groups() for found in fields if found)]
    headers = Headers(raw)
    if len(raw) != len(lines):
        raise RequestError(400, "not a header line")
    method, target, version = request.groups()
    if version == "1.1" and sum(name.lower() == "host" for name, _ in raw) != 1:
        raise RequestError(400, "not exactly one Host")
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return Exchange(method, target, version, headers, await read_body(reader, headers))


async def read_body(reader: asyncio.StreamReader, headers: Headers) -> bytes:
    """Read the body, however its length is told."""
    coding, length = headers.get("transfer-encoding"), headers.get("content-length", "0")
    if coding is None:
        if not re.fullmatch("[0-9]{1,18}", length):
            raise RequestError(400, f"not a length: {length!r}")
        if int(length) > MAX_BODY:
            raise RequestError(413, "too long")
        return await reader.readexactly(int(length))
    if "content-length" in headers:
        raise RequestError(400, "two lengths: this may be smuggling")
    if coding.lower() != "chunked":
        raise RequestError(501, f"unknown coding: {coding!r}")
    body = bytearray()
    while size := await read_chunk_size(reader):
        if len(body) + size > MAX_BODY:
            raise RequestError(413, "too long")
        body += await reader.readexactly(size)
        if await reader.readexactly(2) != b"\r\n":
            raise RequestError(400, "a chunk is longer than it says")
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass  # trailers mean nothing to us
    return bytes(body)


async def read_chunk_size(reader: asyncio.StreamReader) -> int:
    """Read the line before a chunk; 0 is the last one."""
    line = await reader.readuntil(b"\r\n")
    if found := CHUNK_LINE.fullmatch(line):
        return int(found[1], 16)
    raise RequestError(400, f"not a chunk size: {line[:80]!r}")
