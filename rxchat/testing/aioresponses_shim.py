"""aioresponses on today's aiohttp, for unit tests that need no socket.

aioresponses 0.7.9 builds responses without `stream_writer`, which aiohttp 3.14 requires
(pnuckowski/aioresponses#289), and its stream reader asserts on bodies over 128 KiB. Only names
inside aioresponses are patched, and only while the context lasts. Timeouts, gzip and sockets are
bypassed by it: for those, use `LocalServer`.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from aiohttp import ClientResponse, StreamReader
from aioresponses import aioresponses

__all__ = ["mocked"]


class _Writer:
    output_size = 0


class _Protocol:
    """As much of aiohttp's protocol as a reader asks for, which its annotations do not know."""

    connected = True
    _reading_paused = False

    def pause_reading(self) -> None: ...
    def resume_reading(self, resume_parser: bool = True) -> None: ...


class _Response(ClientResponse):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"stream_writer": _Writer(), **kwargs})


def _reader(loop: Any = None) -> StreamReader:
    return StreamReader(_Protocol(), limit=2**16, loop=loop)  # type: ignore[arg-type]  # a stand-in


@contextmanager
def mocked(**options: Any) -> Generator[aioresponses]:
    """`with mocked() as web: web.post(url, body=...)`: aioresponses, on today's aiohttp."""
    with (
        mock.patch("aioresponses.core.ClientResponse", _Response),
        mock.patch("aioresponses.core.stream_reader_factory", _reader),
        aioresponses(**options) as web,
    ):
        yield web
