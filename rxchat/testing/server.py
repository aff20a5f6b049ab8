"""A real HTTP/1.1 server on the loopback device, for tests, demos and benchmarks.

    async with LocalServer(Reply("Hello", " ", "world")) as server:
        ...                                   # ask server.url + "/chat"
        exchange = await server.exchange(0)
        assert await exchange.ended == "complete"

It is made of bare streams so that every byte, every pause and every break is ours. Messages follow
RFC 9112. A client that closes its side, even only for writing, has hung up.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from http.client import responses
from ssl import SSLContext
from typing import Final, Self

from attrs import define, field

from rxchat.testing.exchange import (
    MAX_HEAD,
    Bell,
    Ending,
    Exchange,
    Headers,
    RequestError,
    read_request,
)
from rxchat.testing.replies import CODECS, Framing, Hold, Part, Reply
from rxchat.testing.voices import VOICES, Voice, find_voice

__all__ = ["LocalServer"]


class Ear(asyncio.StreamReader):
    """A reader that interrupts whoever speaks as soon as the client has hung up."""

    _gone = False
    _speech: asyncio.Timeout | None = None

    @asynccontextmanager
    async def while_listened_to(self) -> AsyncGenerator[None, None]:
        """Raise TimeoutError inside the block when the client hangs up: its time has come."""
        try:
            async with asyncio.timeout(0 if self._gone else None) as self._speech:
                yield
        finally:
            self._speech = None

    def feed_eof(self) -> None:
        super().feed_eof()
        self._hung_up()

    def set_exception(self, exc: Exception) -> None:
        super().set_exception(exc)
        self._hung_up()

    def _hung_up(self) -> None:
        if self._speech and not self._gone:
            self._speech.reschedule(asyncio.get_running_loop().time())
        self._gone = True


# How a piece of the body is framed, and what closes the body.
FRAMINGS: Final[Mapping[Framing, tuple[Callable[[bytes], bytes], bytes]]] = {
    "chunked": (lambda data: b"%x\r\n%b\r\n" % (len(data), data), b"0\r\n\r\n"),
    "length": (lambda data: data, b""),
    "close": (lambda data: data, b""),
}


def head(reply: Reply, content_type: str, framing: Mapping[str, str]) -> bytes:
    """Write the status line and the headers; those of the reply stand for ours."""
    ours = {"Content-Type": content_type, "Content-Encoding": reply.encoding or "", **framing}
    theirs = {name.lower() for name in reply.headers}
    kept = {name: value for name, value in ours.items() if value and name.lower() not in theirs}
    status_line = f"HTTP/1.1 {reply.status_code} {responses.get(reply.status_code, '')}"
    lines = (f"{name}: {value}" for name, value in (*kept.items(), *reply.headers.items()))
    return "\r\n".join((status_line, *lines, "", "")).encode("latin-1")


@define(eq=False)
class Performance:
    """One reply on its way: the bytes of its body, compressed, framed, counted and flushed."""

    exchange: Exchange
    reply: Reply
    voice: Voice
    content_type: str
    parts: list[Part]
    writer: asyncio.StreamWriter

    @property
    def silent(self) -> bool:
        """Whether HTTP allows no body here."""
        return self.reply.bodiless or self.exchange.method == "HEAD"

    @property
    def framing(self) -> Framing:
        """How the end of the body is told; HTTP/1.0 knows no chunks."""
        chunked = self.reply.framing == "chunked"
        return "close" if chunked and self.exchange.version == "1.0" else self.reply.framing

    @property
    def last(self) -> bool:
        """Whether the connection ends with this reply (RFC 9112, section 9.6)."""
        replied = Headers(self.reply.headers.items())
        options = f"{self.exchange.headers.get('connection')},{replied.get('connection')}".lower()
        close = "close" in {option.strip() for option in options.split(",")}
        endless = self.framing == "close" and not self.silent
        return close or endless or self.exchange.version == "1.0"

    async def run(self) -> Ending:
        """Send the head, the body, and then do what the reply says."""
        reply, exchange = self.reply, self.exchange
        if isinstance(reply.headers_after, Hold):
            await exchange.hold()
        elif reply.headers_after:
            await asyncio.sleep(reply.headers_after)
        await self._flush(self._head())
        if self.silent:
            return "complete"

        codec, (frame, terminator) = CODECS[reply.encoding](), FRAMINGS[self.framing]

        async def put(data: bytes) -> None:
            await self._flush(frame(codec.encode(data)))
            exchange.advance(len(data))

        pause = 0.0
        for part in reply.writes(self.parts):
            if isinstance(part, Hold):
                await exchange.hold()
                continue
            if pause:
                await asyncio.sleep(pause)
            await put(part)
            pause = reply.pace

        match reply.then:
            case "end":
                rest = codec.finish()
                await self._flush((frame(rest) if rest else b"") + terminator)
                return "complete"
            case "cut":
                self.writer.close()
                return "failed on purpose"
            case "reset":
                # Closing a socket that must not linger sends RST instead of FIN.
                at_once = struct.pack("ii", 1, 0)
                connection = self.writer.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
                self.writer.transport.abort()
                return "failed on purpose"
            case "stall":
                while True:
                    await exchange.hold()
            case "keepalive":
                while True:
                    await asyncio.sleep(reply.pace or 0.05)
                    await put(self.voice.keepalive)

    def _head(self) -> bytes:
        reply, framing = self.reply, {"Connection": "close" if self.last else ""}
        if not reply.bodiless and self.framing == "length":
            framing["Content-Length"] = str(reply.length(self.parts))
        elif not reply.bodiless and self.framing == "chunked":
            framing["Transfer-Encoding"] = "chunked"
        typed = self.content_type if reply.content_type is None else reply.content_type
        return head(reply, typed, framing)

    async def _flush(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()
        await asyncio.sleep(0)  # so that no two writes are one packet because nobody was let in


def _checked(reply: object) -> None:
    """Refuse at once what would only fail when somebody asks."""
    if isinstance(reply, tuple):
        raise TypeError("the replies stand side by side: write plan(*faults(...)), with the star")
    if not isinstance(reply, Reply):
        raise TypeError(f"a server replies with a Reply, not with {reply!r}: write Reply(...)")


@define(eq=False, repr=False)
class LocalServer:
    """A service on this machine that does with each request what you planned."""

    reply: Reply = field(
        factory=lambda: Reply("Hello"), validator=lambda _, __, reply: _checked(reply)
    )
    """What every request gets, unless planned otherwise."""
    ssl: SSLContext | None = field(default=None, kw_only=True)
    voices: Sequence[Voice] = field(default=(), kw_only=True)
    """More voices than the table has, or others for its paths."""
    port: int = field(default=0, kw_only=True)
    """0 is any free one; once the server runs, the one it has."""
    exchanges: list[Exchange] = field(factory=list[Exchange], init=False)
    """What was asked, in order of arrival; requests that are not HTTP are not here."""
    accepted: int = field(default=0, init=False)
    """How many TCP connections there have been."""
    _planned: deque[Reply] = field(factory=deque[Reply], init=False)
    _taken: int = field(default=0, init=False)
    _lines: dict[asyncio.Task[None], socket.socket] = field(
        factory=dict[asyncio.Task[None], socket.socket], init=False
    )
    _bell: Bell = field(factory=Bell, init=False)
    _listener: socket.socket = field(init=False, repr=False)

    @property
    def url(self) -> str:
        """The address to put before a path."""
        if not self.port:
            raise RuntimeError("no address yet: `async with` the server, or `await server.start()`")
        return f"{'https' if self.ssl else 'http'}://127.0.0.1:{self.port}"

    def __repr__(self) -> str:
        where = self.url if self.port else "which has not been started"
        asked = len(self.exchanges)
        return f"<LocalServer {where}, {asked:,} request{'s' * (asked != 1)}>"

    @property
    def connections(self) -> int:
        """How many TCP connections are open."""
        return len(self._lines)

    def plan(self, *replies: Reply) -> None:
        """Give these to the next right requests, in order; a refused request uses up none."""
        for reply in replies:
            _checked(reply)
        self._planned.extend(replies)

    async def exchange(self, index: int) -> Exchange:
        """Wait until so many requests have come, from 0, and give that one."""
        await self._bell.until(lambda: len(self.exchanges) > index)
        return self.exchanges[index]

    async def next_exchange(self) -> Exchange:
        """Give the first request that this has not given yet, as soon as it comes."""
        await self._bell.until(lambda: len(self.exchanges) > self._taken)
        self._taken += 1
        return self.exchanges[self._taken - 1]

    async def disconnected(self) -> None:
        """Wait until no connection is open."""
        await self._bell.until(lambda: not self._lines)

    # Sockets are accepted by hand: `asyncio.Server` loses those that come while it closes, and
    # waits for handshakes that never end. (On Windows this needs a selector event loop.)
    async def start(self) -> Self:
        """Listen until `stop()`, as `async with` does: for the cells of a notebook."""
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=1024)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        asyncio.get_running_loop().add_reader(self._listener, self._accept)
        return self

    async def stop(self) -> None:
        """Hang up on everybody, and listen no more."""
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        for task in self._lines:
            task.cancel()
        await asyncio.gather(*self._lines, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    def _accept(self) -> None:
        with suppress(BlockingIOError, ConnectionAbortedError):
            while True:
                line, _ = self._listener.accept()
                line.setblocking(False)
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.accepted += 1
                task = asyncio.create_task(self._serve(line))
                self._lines[task] = line
                task.add_done_callback(self._put_down)

    def _put_down(self, task: asyncio.Task[None]) -> None:
        self._lines.pop(task).close()
        self._bell.ring()

    async def _serve(self, line: socket.socket) -> None:
        loop, ear = asyncio.get_running_loop(), Ear(limit=MAX_HEAD)
        protocol = asyncio.StreamReaderProtocol(ear)
        with suppress(OSError, asyncio.IncompleteReadError):
            transport, _ = await loop.connect_accepted_socket(lambda: protocol, line, ssl=self.ssl)
            writer = asyncio.StreamWriter(transport, protocol, ear, loop)
            # With no room to buffer, what is drained has left us: `sent` and `cut` are exact.
            # (TLS transports would wait for ever for less than 0 bytes if the room were 0.)
            transport.set_write_buffer_limits(high=1, low=0)
            try:
                await self._converse(ear, writer)
                writer.close()
                await writer.wait_closed()
            finally:
                transport.abort()

    async def _converse(self, ear: Ear, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._answer(await read_request(ear, writer), ear, writer):
                pass
        except asyncio.LimitOverrunError:
            await self._refuse(RequestError(431, "too long a line or head"), ear, writer)
        except RequestError as error:
            await self._refuse(error, ear, writer)

    async def _answer(self, exchange: Exchange, ear: Ear, writer: asyncio.StreamWriter) -> bool:
        """Do what is planned; tell whether another request may follow."""
        self.exchanges.append(exchange)
        self._bell.ring()
        performance = Performance(exchange, *self._decide(exchange), writer)
        ending: Ending = "stopped"
        try:
            async with ear.while_listened_to():
                ending = await performance.run()
        except OSError:
            ending = "hung up"
        finally:
            exchange.end(ending)
        return ending == "complete" and not performance.last

    def _decide(self, exchange: Exchange) -> tuple[Reply, Voice, str, list[Part]]:
        voice = find_voice(exchange.path, {**VOICES, **{it.path: it for it in self.voices}})
        try:
            refusal = voice.check(exchange)
            reply = refusal or (self._planned.popleft() if self._planned else self.reply)
            if reply.then == "keepalive" and not voice.keepalive:
                raise ValueError(f"{voice.name} has no keep-alive bytes")
            return reply, voice, *voice.speak(reply, exchange)
        except Exception as fault:  # of a test's own voice or plan: whoever asked must see it
            reply = Reply.status(500, f"{type(fault).__name__}: {fault}")
            return reply, voice, *voice.speak(reply, exchange)

    async def _refuse(self, error: RequestError, ear: Ear, writer: asyncio.StreamWriter) -> None:
        """Say why, and listen to the rest for a moment: an early close would unsay it."""
        reply = Reply.status(error.status, str(error), headers={"Connection": "close"})
        body = reply.body or b""
        length = {"Content-Length": str(len(body))}
        writer.write(head(reply, reply.content_type or "", length) + body)
        await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        async with asyncio.timeout(1):
            while await ear.read(MAX_HEAD):
                pass
