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
    """The part of an address that may be shown."""
    return urlsplit(url).netloc.rpartition("@")[2] or "the service"


def failure_of(error: Exception, request: Request, *, answering: bool) -> ChatError:
    """aiohttp's error as ours, most exact class first."""
    import aiohttp
    from aiohttp.http_exceptions import ContentEncodingError

    host, timeout, reason = host_of(request.url), request.route.timeout, _reason(error)
    when = "in the middle of the answer" if answering else "before it answered"
    table: tuple[tuple[type[Exception], type[ChatError], str], ...] = (
        (aiohttp.InvalidURL, UsageError, f"the address of {host!r} cannot be read: see base_url"),
        (TimeoutError, Deadline, f"{host} sent nothing for {timeout.silence} s"),
        (
            aiohttp.ClientHttpProxyError,
            ConnectFailed,
            f"the proxy does not connect to {host}: status {getattr(error, 'status', None)}",
        ),
        (
            aiohttp.ClientProxyConnectionError,
            ConnectFailed,
            f"the proxy to {host} cannot be reached: {reason}",
        ),
        (aiohttp.ClientSSLError, ConnectFailed, f"no trusted TLS connection to {host}: {reason}"),
        (aiohttp.ClientConnectorError, ConnectFailed, f"cannot connect to {host}: {reason}"),
        (
            ContentEncodingError,
            Garbled,
            f"{host} compressed the answer in a way that cannot be read",
        ),
        (aiohttp.ClientPayloadError, Truncated, f"{host} closed the connection {when}"),
        (
            aiohttp.ClientResponseError,
            Garbled,
            f"{host} does not speak HTTP as it should: {reason}",
        ),
        (
            aiohttp.ClientConnectionError,
            ConnectionLost,
            f"{host} closed the connection {when}: {reason}",
        ),
        (OSError, ConnectionLost, f"the connection to {host} broke {when}: {reason}"),
        (ValueError, UsageError, f"the address of {host!r} cannot be read: see base_url"),
        (RuntimeError, ConnectionLost, f"the session to {host} cannot be used: {reason}"),
    )
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return Deadline(f"no connection to {host} within {timeout.connect} s", phase="connect")
    if isinstance(error.__cause__, ContentEncodingError):
        error = error.__cause__
    kind, message = next(
        ((ours, says) for theirs, ours, says in table if isinstance(error, theirs)),
        (TransportError, f"the request to {host} failed: {reason}"),
    )
    return kind(message, retryable=False if isinstance(error, aiohttp.ClientSSLError) else None)


def _reason(error: Exception) -> str:
    """Why, in words that never hold an address or a header."""
    for holder in (error, getattr(error, "os_error", None), getattr(error, "certificate_error", 0)):
        text = getattr(holder, "strerror", None) or getattr(holder, "verify_message", None)
        if text:
            return str(text)
    return type(error).__name__
