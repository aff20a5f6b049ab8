"""aiohttp's errors as ours, without the addresses and headers that theirs carry."""

from __future__ import annotations

from urllib.parse import urlsplit

from rxchat.errors import (
    ChatError,
    ConnectFailed,
    ConnectionLost,
    Deadline,
    Garbled,
    TransportError,
    Truncated,
    UsageError,
)
from rxchat.request import Request

__all__ = ["failure_of", "host_of"]


def host_of(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2] or "the service"


def failure_of(error: Exception, request: Request, *, answering: bool) -> ChatError:
    """aiohttp's error as ours, most exact class first."""
    import aiohttp

    host, timeout = host_of(request.url), request.route.timeout
    reason = _reason(error)
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
        (aiohttp.ClientPayloadError, _broken_body(error, host)),
        (
            aiohttp.InvalidURL,
            UsageError(f"the address of {host!r} cannot be read; see base_url"),
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


def _broken_body(error: Exception, host: str) -> ChatError:
    from aiohttp.http_exceptions import ContentEncodingError

    if isinstance(error.__cause__, ContentEncodingError):
        return Garbled(f"{host} compressed the answer in a way that cannot be read")
    return Truncated(f"{host} closed the connection in the middle of the answer")


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
