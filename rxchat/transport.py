"""Request → stream of bytes: the only room that knows aiohttp.

Strategy. One shared session per event loop, opened by the first request and closed by itself;
one slot per open stream; reads as the bytes come, never by lines. Whatever goes wrong becomes an
error of ours that names the host and nothing else: aiohttp's own errors carry addresses and
headers, and so keys; they are neither chained nor shown.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import weakref
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import attrs
import msgspec

from rxchat.errors import (
    Blocked,
    ChatError,
    ConnectFailed,
    ConnectionLost,
    Deadline,
    EmptyAnswer,
    Garbled,
    NotAnAnswer,
    Redirected,
    TransportError,
    Truncated,
    UsageError,
)
from rxchat.refusal import excerpt, refusal, request_id, said_no
from rxchat.request import SSE, TEXT, Request, Route
from rxchat.stream import Call, Pump, Stream, source

if TYPE_CHECKING:
    import aiohttp

__all__ = ["Connections", "connections", "exchange"]

STREAMS = 1024  # at once, per event loop; the next one waits and says so
IDLE = 30.0  # seconds without a stream, after which the shared session closes
LINGER = 0.2  # seconds that a complete answer's body has to end, to keep its connection
ERROR_BODY = 64 * 1024  # bytes of an error's body that are read
ERROR_TIME = 10.0  # seconds that they may take
HEADER_LINE = 16 * 1024
READ = 64 * 1024

_log = logging.getLogger("rxchat")


def exchange(request: Request) -> Stream[bytes]:
    """Send one request per subscription and give the body as it comes."""

    async def run(pump: Pump[bytes]) -> None:
        # The failure is returned, not raised from a handler: so it has no context to leak.
        failure = await _exchange(request, pump)
        if failure is not None:
            raise failure.about(**pump.scope.call.facts())

    return source(run, request.name or _host(request.url))


async def _exchange(request: Request, pump: Pump[bytes]) -> ChatError | None:
    import aiohttp

    call = pump.scope.call
    call.name = call.name or request.name
    try:
        async with _session(request.route, call) as session, _reply(request, session) as response:

            def hang_up() -> bool:
                if not call.over:
                    response.close()
                return call.over

            pump.closing(hang_up)
            call.status, call.request_id = response.status, request_id(response.headers)
            await _answer(request, response, pump)
    except ChatError as failure:
        return failure
    except (aiohttp.ClientError, OSError, RuntimeError, ValueError) as error:
        return _failure(error, request, call)
    return None


async def _answer(request: Request, response: aiohttp.ClientResponse, pump: Pump[bytes]) -> None:
    """Give the body, after a look at whether it is an answer at all."""
    if not 200 <= response.status < 300:
        raise await _status_error(request, response)
    chunk = await _opening(request, response)
    if not chunk:
        raise EmptyAnswer("the body of the answer is empty")
    read, emit, gate = response.content.readany, pump.emit, pump.gate
    while chunk:
        emit(chunk)
        if pump.disposed:  # the protocol has ended before the body
            return await _wind_up(response)
        if gate.paused:
            await gate.wait()
        chunk = await read()
    return None


async def _wind_up(response: aiohttp.ClientResponse) -> None:
    """Keep the connection if the rest of the body comes promptly, close it otherwise."""
    left = ERROR_BODY
    try:
        async with asyncio.timeout(LINGER):
            while left > 0 and (rest := await response.content.readany()):
                left -= len(rest)
    except TimeoutError:
        _log.debug("closed a connection whose answer was complete but whose body was not")


async def _status_error(request: Request, response: aiohttp.ClientResponse) -> ChatError:
    if 300 <= response.status < 400:
        target = response.headers.get("Location", "nowhere").partition("?")[0]
        return Redirected(
            f"{_host(request.url)} redirects to {target}; a POST is not repeated elsewhere: "
            "set base_url to the new address if you trust it"
        )
    body = await _bounded(response)
    return refusal(body, status=response.status, headers=response.headers)


async def _opening(request: Request, response: aiohttp.ClientResponse) -> bytes:
    """The first bytes; an error if they, and the content type, say that this is no answer."""
    kind = response.content_type
    if "html" in kind:
        body = await _until_visible(response)
        if body.lstrip()[:1] == b"<":
            raise _web_page(await _bounded(response, body))
        return body
    if kind.endswith("json") and request.expects in (TEXT, SSE):
        body = await _until_visible(response)
        if body.lstrip()[:1] == b"{":
            body = await _bounded(response, body)
            if said_no(_json(body)) or (request.expects == SSE and body):
                raise refusal(body, status=response.status, headers=response.headers)
        return body
    return await response.content.readany()


def _web_page(body: bytes) -> ChatError:
    no = refusal(body)
    return no if isinstance(no, Blocked) else NotAnAnswer(f"{no.message}: {excerpt(body)!r}")


def _json(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError):
        return None


async def _until_visible(response: aiohttp.ClientResponse) -> bytes:
    body = b""
    while not body.strip() and (chunk := await response.content.readany()):
        body += chunk
    return body


async def _bounded(response: aiohttp.ClientResponse, body: bytes = b"") -> bytes:
    """The body as far as it is worth reading; what comes late or breaks off is left out."""
    import aiohttp

    try:
        async with asyncio.timeout(ERROR_TIME):
            while len(body) < ERROR_BODY and (chunk := await response.content.readany()):
                body += chunk
    except (TimeoutError, aiohttp.ClientError):
        _log.debug("the body of an error could not be read to its end")
    return body


# The network: sessions, slots, requests --------------------------------------------------------


@asynccontextmanager
async def _reply(
    request: Request, session: aiohttp.ClientSession
) -> AsyncGenerator[aiohttp.ClientResponse]:
    import aiohttp

    route = request.route
    response = await session.request(
        request.method,
        request.url,
        data=request.body,
        headers=_decodable(request.headers),
        allow_redirects=False,
        proxy=_proxy(request),
        ssl=route.ssl or True,
        timeout=aiohttp.ClientTimeout(
            total=None, sock_connect=route.timeout.connect, sock_read=route.timeout.silence
        ),
        read_bufsize=READ,
        max_line_size=HEADER_LINE,
        max_field_size=HEADER_LINE,
    )
    try:
        with _awake(response):
            yield response
    finally:
        response.close()  # of a body that was read to its end, nothing is left to close


@contextmanager
def _awake(response: aiohttp.ClientResponse) -> Generator[None]:
    """When a session is closed under a stream, aiohttp forgets to tell who is reading."""
    connection = response.connection
    protocol = None if connection is None else connection.protocol
    closed = None if protocol is None else protocol.closed
    if closed is None:  # the whole body is here
        yield
        return

    def tell(closed: asyncio.Future[None]) -> None:
        if not closed.cancelled():
            closed.exception()
        if not response.content.is_eof() and response.content.exception() is None:
            response.content.set_exception(ConnectionLost("the session was closed under it"))

    closed.add_done_callback(tell)
    try:
        yield
    finally:
        closed.remove_done_callback(tell)


def _decodable(headers: Mapping[str, str]) -> dict[str, str]:
    """Advertise only the codings that can be decoded here."""
    return {
        name: value.replace(", br", "")
        if name.lower() == "accept-encoding" and not _brotli()
        else value
        for name, value in headers.items()
    }


@cache
def _brotli() -> bool:
    return any(importlib.util.find_spec(name) for name in ("brotli", "brotlicffi"))


def _proxy(request: Request) -> str | None:
    if request.route.proxy != "env":
        return request.route.proxy
    from urllib.request import getproxies, proxy_bypass

    target = urlsplit(request.url)
    return None if proxy_bypass(target.netloc) else getproxies().get(target.scheme)


@attrs.frozen
class Connections:
    """How busy the shared session of a loop is."""

    streams: int = 0
    waiting: int = 0
    limit: int = STREAMS


class _Pool:
    """The shared session of one event loop."""

    def __init__(self) -> None:
        import aiohttp

        self.loop = asyncio.get_running_loop()
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),  # the slots below are the limit
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self.slots = asyncio.Semaphore(STREAMS)
        self.streams = 0
        self.waiting = 0
        self._idle: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None
        self._lifetime = self._live()

    @classmethod
    async def current(cls) -> _Pool:
        loop = asyncio.get_running_loop()
        for other in [other for other in _pools if other.is_closed()]:
            del _pools[other]
        if loop not in _pools:
            _pools[loop] = cls()
            # A suspended generator is closed by `loop.shutdown_asyncgens()`, and so is the session.
            await anext(_pools[loop]._lifetime)
        return _pools[loop]

    async def _live(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            _pools.pop(self.loop, None)
            await self.session.close()

    @asynccontextmanager
    async def slot(self, call: Call) -> AsyncGenerator[aiohttp.ClientSession]:
        """A place among the streams that run at once; first come, first served."""
        self.streams += 1
        if self._idle is not None:
            self._idle.cancel()
        try:
            async with self._free_slot(call):
                yield self.session
        finally:
            self.streams -= 1
            if not self.streams and not self.loop.is_closed():
                self._idle = self.loop.call_later(IDLE, self._close)

    @asynccontextmanager
    async def _free_slot(self, call: Call) -> AsyncGenerator[None]:
        if self.slots.locked():
            _log.info("%s waits for a free connection: %d are in use", call.name, STREAMS)
        self.waiting += 1
        try:
            await self.slots.acquire()
        finally:
            self.waiting -= 1
        try:
            yield
        finally:
            self.slots.release()

    def _close(self) -> None:
        _pools.pop(self.loop, None)  # the next request opens another
        self._closing = self.loop.create_task(self._lifetime.aclose())


_pools: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Pool] = weakref.WeakKeyDictionary()


@asynccontextmanager
async def _session(route: Route, call: Call) -> AsyncGenerator[aiohttp.ClientSession]:
    if route.session is not None:
        yield route.session
        return
    pool = await _Pool.current()
    async with pool.slot(call) as session:
        yield session


def connections() -> Connections:
    """How many streams run on the running loop's shared session, and how many wait for a slot."""
    pool = _pools.get(asyncio.get_running_loop())
    if pool is None:
        return Connections()
    return Connections(pool.streams - pool.waiting, pool.waiting)


# What went wrong -------------------------------------------------------------------------------


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2] or "the service"


def _failure(error: Exception, request: Request, call: Call) -> ChatError:
    """aiohttp's error as ours, most exact class first."""
    import aiohttp

    host, timeout = _host(request.url), request.route.timeout
    reason = _reason(error)
    answering = call.status is not None
    table: tuple[tuple[type[Exception], ChatError], ...] = (
        (
            aiohttp.ConnectionTimeoutError,
            Deadline(f"no connection to {host} within {timeout.connect} s", phase="connect"),
        ),
        (
            TimeoutError,
            Deadline(f"{host} sent nothing for {timeout.silence} s", phase="silence"),
        ),
        (
            aiohttp.ClientHttpProxyError,
            ConnectFailed(f"the proxy does not connect to {host}: status {_status(error)}"),
        ),
        (
            aiohttp.ClientProxyConnectionError,
            ConnectFailed(f"the proxy to {host} cannot be reached: {reason}"),
        ),
        (
            aiohttp.ClientSSLError,
            ConnectFailed(f"no trusted TLS connection to {host}: {reason}", retryable=False),
        ),
        (aiohttp.ClientConnectorError, ConnectFailed(f"cannot connect to {host}: {reason}")),
        (
            aiohttp.ClientPayloadError,
            Truncated(f"{host} closed the connection in the middle of the answer"),
        ),
        (
            aiohttp.InvalidURL,
            UsageError(f"{request.url!r} is not an http:// or https:// address; see base_url"),
        ),
        (
            aiohttp.ClientResponseError,
            Garbled(f"{host} does not speak HTTP as it should: {reason}"),
        ),
        (
            aiohttp.ClientConnectionError,
            ConnectionLost(f"{host} closed the connection {_when(answering)}: {reason}"),
        ),
        (OSError, ConnectionLost(f"the connection to {host} broke {_when(answering)}: {reason}")),
        (RuntimeError, ConnectionLost(f"the session to {host} cannot be used: {reason}")),
    )
    return next(
        (ours for theirs, ours in table if isinstance(error, theirs)),
        TransportError(f"the request to {host} failed: {reason}"),
    )


def _when(answering: bool) -> str:
    return "in the middle of the answer" if answering else "before it answered"


def _status(error: Exception) -> object:
    return getattr(error, "status", "unknown")


def _reason(error: Exception) -> str:
    """Why, in words that never hold an address or a header."""
    for holder in (error, getattr(error, "os_error", None), getattr(error, "certificate_error", 0)):
        text = getattr(holder, "strerror", None) or getattr(holder, "verify_message", None)
        if text:
            return str(text)
    return type(error).__name__
