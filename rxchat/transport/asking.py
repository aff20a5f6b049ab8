"""A request, put to aiohttp so that nothing happens to it that nobody has asked for."""

from __future__ import annotations

import asyncio
import importlib.util
import re
from collections.abc import AsyncGenerator
from functools import cache, lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rxchat.request import Headers, Request, Timeout

if TYPE_CHECKING:
    import aiohttp
    import yarl

__all__ = ["READ", "respond"]

HEADER_LINE = 16 * 1024  # bytes that one header of a reply may have
READ = 64 * 1024  # bytes that aiohttp reads ahead, and that are sent at once


async def respond(request: Request, session: aiohttp.ClientSession) -> aiohttp.ClientResponse:
    """Send a request, and wait for the headers of its answer."""
    silence = request.route.timeout.silence
    if len(request.body) <= READ or silence is None:
        return await _sent(request, session, request.body)
    async with asyncio.timeout(None) as stalling:  # aiohttp's begins when all of it is sent
        return await _sent(request, session, _pieces(request.body, stalling, silence))


async def _sent(
    request: Request, session: aiohttp.ClientSession, body: bytes | AsyncGenerator[bytes]
) -> aiohttp.ClientResponse:
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
        timeout=_timeouts(route.timeout),
        read_bufsize=READ,
        max_line_size=HEADER_LINE,
        max_field_size=HEADER_LINE,
    )


@lru_cache(maxsize=64)
def _timeouts(timeout: Timeout) -> aiohttp.ClientTimeout:
    import aiohttp

    return aiohttp.ClientTimeout(
        total=None,
        connect=timeout.connect,  # a proxy's part of it, too
        sock_connect=timeout.connect,
        sock_read=timeout.silence,
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
