"""One request and its answer."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import re
from codecs import BOM_UTF8
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

from rxchat.errors import (
    Blocked,
    ChatError,
    EmptyAnswer,
    NotAnAnswer,
    Redirected,
    TransportError,
)
from rxchat.refusal import excerpt, refusal, request_id, said_no
from rxchat.request import (
    AWS_EVENT_STREAM,
    EVENT_STREAM,
    PLAIN_TEXT,
    Headers,
    Request,
    without_password,
)
from rxchat.stream import Call, Pump, Stream, source
from rxchat.transport.failures import failure_of, host_of
from rxchat.transport.listening import Listener
from rxchat.transport.pool import session_for

if TYPE_CHECKING:
    import aiohttp
    import yarl

__all__ = ["exchange"]

Read: TypeAlias = Callable[[], Awaitable[bytes]]

EVENT_STREAMS = (EVENT_STREAM, AWS_EVENT_STREAM)
LINGER = 0.2  # seconds that a complete answer's body has to end, to keep its connection
ERROR_BODY = 64 * 1024  # bytes of an error's body that are read
ERROR_TIME = 10.0  # seconds that they may take
HEADER_LINE = 16 * 1024  # bytes that one header of a reply may have
READ = 64 * 1024  # bytes that aiohttp reads ahead, and that a complete answer's rest may have

_log = logging.getLogger("rxchat")


def exchange(
    request: Request, signature: Callable[[Request], Request] | None = None
) -> Stream[bytes]:
    """Sign and send one request per subscription and give the body as it comes."""

    async def run(pump: Pump[bytes]) -> None:
        signed = signature(request) if signature else request
        # The failure is returned, not raised from a handler: so it has no context to leak.
        failure = await _exchange(signed, pump)
        if failure is not None:
            raise pump.scope.call.explain(failure)

    return source(run, request.name or host_of(request.url))


async def _exchange(request: Request, pump: Pump[bytes]) -> ChatError | None:
    import aiohttp

    if pump.scope.call.sent:
        pump.scope = pump.scope.for_call(Call())
    call = pump.scope.call
    call.sent, call.name, call.secrets = True, call.name or request.name, request.secrets
    try:
        async with (
            session_for(request.route, call) as session,
            _reply(request, session) as (response, listener),
        ):

            def hang_up() -> bool:
                winds_up = call.over and listener.delivering
                if not winds_up:
                    response.close()
                return winds_up

            pump.closing(hang_up)
            call.status, call.request_id = response.status, request_id(response.headers)
            await _answer(request, response, listener, pump)
    except ChatError as failure:
        return failure
    except (aiohttp.ClientError, OSError, RuntimeError, ValueError) as error:
        return failure_of(error, request, answering=call.status is not None)
    return None


async def _answer(
    request: Request, response: aiohttp.ClientResponse, listener: Listener, pump: Pump[bytes]
) -> None:
    """Give the body, after a look at whether it is an answer at all."""
    read = listener.read
    if not 200 <= response.status < 300:
        raise await _status_error(request, response, read)
    chunk = await _opening(request, response, read)
    if not chunk:
        raise EmptyAnswer("the body of the answer is empty")
    emit, gate, call = pump.emit, pump.gate, pump.scope.call
    while chunk:
        listener.delivering = True
        emit(chunk)
        listener.delivering = False
        if call.over:  # the protocol has ended before the body
            return None if response.content.at_eof() else await _wind_up(read)
        if gate.paused:
            await gate.wait()
        chunk = await read()
    return None


async def _wind_up(read: Read) -> None:
    """Keep the connection if the rest of the body comes promptly, close it otherwise."""
    left = READ
    try:
        async with asyncio.timeout(LINGER):
            while left > 0 and (rest := await read()):
                left -= len(rest)
    except TimeoutError:
        _log.debug("closed a connection whose answer was complete but whose body was not")


async def _status_error(
    request: Request, response: aiohttp.ClientResponse, read: Read
) -> ChatError:
    if 300 <= response.status < 400:
        target = without_password(response.headers.get("Location", "nowhere"))
        return Redirected(
            f"{host_of(request.url)} redirects to {target}; a POST is not repeated elsewhere: "
            "set base_url to the new address if you trust it"
        )
    body = await _bounded(read)
    return refusal(body, status=response.status, headers=response.headers)


async def _opening(request: Request, response: aiohttp.ClientResponse, read: Read) -> bytes:
    """The first bytes; an error if they, and the content type, say that this is no answer."""
    kind = response.content_type
    if "html" in kind:
        body = await _until_visible(read)
        if _visible(body)[:1] == b"<":
            raise _web_page(await _bounded(read, body))
        return body
    streams = request.expects in EVENT_STREAMS
    if streams or (kind.endswith("json") and request.expects == PLAIN_TEXT):
        body = await _until_visible(read)
        if _visible(body)[:1] in (b"{", b"["):  # as no event begins
            body = await _bounded(read, body)
            if said_no(body):
                raise refusal(body, status=response.status, headers=response.headers)
            if streams:
                raise NotAnAnswer(f"JSON in place of a stream: {excerpt(body)!r}")
        return body
    return await read()


def _web_page(body: bytes) -> ChatError:
    no = refusal(body)
    return no if isinstance(no, Blocked) else NotAnAnswer(f"{no.message}: {excerpt(body)!r}")


def _visible(body: bytes) -> bytes:
    return body.removeprefix(BOM_UTF8).lstrip()


async def _until_visible(read: Read) -> bytes:
    body = b""
    while not _visible(body) and len(body) < ERROR_BODY and (chunk := await read()):
        body += chunk
    return body


async def _bounded(read: Read, body: bytes = b"") -> bytes:
    """The body as far as it is worth reading; what comes late or breaks off is left out."""
    import aiohttp

    try:
        async with asyncio.timeout(ERROR_TIME):
            while len(body) < ERROR_BODY and (chunk := await read()):
                body += chunk
    except (TimeoutError, TransportError, aiohttp.ClientError):
        _log.debug("the body of an error could not be read to its end")
    return body


@asynccontextmanager
async def _reply(
    request: Request, session: aiohttp.ClientSession
) -> AsyncGenerator[tuple[aiohttp.ClientResponse, Listener]]:
    silence = request.route.timeout.silence
    if len(request.body) <= READ or silence is None:
        response = await _sent(request, session, request.body)
    else:  # aiohttp's own timeout begins when all of it is sent
        async with asyncio.timeout(None) as stalling:
            response = await _sent(request, session, _pieces(request.body, stalling, silence))
    listener = Listener(response, silence)
    try:
        yield response, listener
    finally:
        listener.close()
        response.close()  # of a body that was read to its end, nothing is left to close


async def _sent(
    request: Request, session: aiohttp.ClientSession, body: bytes | AsyncGenerator[bytes]
) -> aiohttp.ClientResponse:
    import aiohttp

    route = request.route
    return await session.request(
        request.method,
        _address(request.url),
        data=body,
        headers=_decodable(request.headers) | {"Content-Length": str(len(request.body))},
        allow_redirects=False,
        raise_for_status=False,
        proxy=_proxy(request),
        ssl=route.ssl or True,
        timeout=aiohttp.ClientTimeout(
            total=None,
            connect=route.timeout.connect,  # a proxy's part of it, too
            sock_connect=route.timeout.connect,
            sock_read=route.timeout.silence,
        ),
        read_bufsize=READ,
        max_line_size=HEADER_LINE,
        max_field_size=HEADER_LINE,
    )


# https://www.rfc-editor.org/rfc/rfc3986#section-3.3
_PATH = re.compile(r"(?:[\w.~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})+", re.ASCII)


def _address(url: str) -> str | yarl.URL:
    """The address, with the escapes of its path as they are written: a signature may be of them.

    Left alone, yarl takes back those that are not needed, as %3A. Nothing else needs such care.
    """
    path = urlsplit(url).path if "%" in url else ""
    if "%" not in path or not _PATH.fullmatch(path):
        return url
    from yarl import URL

    usual = URL(url)
    return URL.build(
        scheme=usual.scheme,
        authority=usual.raw_authority,
        path=path,
        query_string=usual.raw_query_string,
        encoded=True,
    )


async def _pieces(body: bytes, stalling: asyncio.Timeout, silence: float) -> AsyncGenerator[bytes]:
    """A large body in pieces, none of which may take too long."""
    loop = asyncio.get_running_loop()
    for start in range(0, len(body), READ):
        stalling.reschedule(loop.time() + silence)
        yield body[start : start + READ]
    stalling.reschedule(None)


def _decodable(headers: Headers) -> dict[str, str]:
    """Advertise only the codings that can be decoded here."""
    if "Accept-Encoding" not in headers or _brotli():
        return headers.plain()
    return {
        name: _without_brotli(value) if name.lower() == "accept-encoding" else value
        for name, value in headers.items()
    }


def _without_brotli(codings: str) -> str:
    kept = (coding.strip() for coding in codings.split(","))
    return ", ".join(coding for coding in kept if coding.partition(";")[0].strip().lower() != "br")


@cache
def _brotli() -> bool:
    return any(importlib.util.find_spec(name) for name in ("brotli", "brotlicffi"))


def _proxy(request: Request) -> str | None:
    if request.route.proxy != "env":
        return request.route.proxy
    from urllib.request import getproxies, proxy_bypass

    target = urlsplit(request.url)
    return None if proxy_bypass(target.netloc) else getproxies().get(target.scheme)
