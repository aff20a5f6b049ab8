"""One request and its answer."""

from __future__ import annotations

import asyncio
import logging
from codecs import BOM_UTF8
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias

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
    Request,
    without_password,
)
from rxchat.stream import Call, Pump, Stream, source
from rxchat.transport.asking import READ, respond
from rxchat.transport.failures import failure_of, host_of
from rxchat.transport.listening import Listener
from rxchat.transport.pool import enter

if TYPE_CHECKING:
    import aiohttp

__all__ = ["exchange"]

Read: TypeAlias = Callable[[], Awaitable[bytes]]

EVENT_STREAMS = (EVENT_STREAM, AWS_EVENT_STREAM)
LINGER = 0.2  # seconds that a complete answer's body has to end, to keep its connection
ERROR_BODY = 64 * 1024  # bytes of an error's body that are read
ERROR_TIME = 10.0  # seconds that they may take

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
    scope = pump.scope
    call, watches = scope.call, scope.watches
    call.sent, call.name, call.secrets = True, call.name or request.name, request.secrets
    call.asked = len(request.body)
    try:
        session, leave = await enter(request.route, scope)
        try:
            for watch in watches:
                watch.asked(call)
            response = await respond(request, session)
            listener = Listener(response, request.route.timeout.silence)
            try:

                def hang_up() -> bool:
                    winds_up = call.over and listener.delivering
                    if not winds_up:
                        response.close()
                    return winds_up

                pump.closing(hang_up)
                call.status, call.request_id = response.status, request_id(response.headers)
                for watch in watches:
                    watch.answered(call, response.headers)
                await _answer(request, response, listener, pump)
            finally:
                listener.close()
                response.close()  # of a body that was read to its end, nothing is left to close
        finally:
            leave()
            for watch in watches:
                watch.ended(call)
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
        call.received += len(chunk)
        emit(chunk)
        listener.delivering = False
        if call.over:  # the protocol has ended before the body
            return None if response.content.at_eof() else await _wind_up(read)
        if pump.disposed:
            # Hung up: one more read would raise the one exception that aiohttp keeps for this,
            # and whose traceback would then hold on to all of us, and to the key.
            return None
        if gate.paused:
            await gate.wait()
        chunk = await read()
    return None


async def _wind_up(read: Read) -> None:
    """Keep the connection if the rest of the body comes promptly, close it otherwise."""
    left = READ  # bytes that the rest may have
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
