"""Sessions: one for each event loop, shared, bounded, and closed by itself."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING

import attrs

from rxchat.request import Route
from rxchat.stream import Scope

if TYPE_CHECKING:
    import aiohttp

__all__ = ["Connections", "connections", "enter"]

STREAMS = 1024  # at once, per event loop; the next one waits and says so
IDLE = 30.0  # seconds without a stream, after which the shared session closes

_log = logging.getLogger("rxchat")


@attrs.frozen
class Connections:
    """How busy the shared session of a loop is."""

    streams: int = 0
    waiting: int = 0
    limit: int = 1024


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

    async def enter(self, scope: Scope) -> None:
        """Take a place among the streams that run at once; first come, first served."""
        self.streams += 1
        if self._idle is not None:
            self._idle.cancel()
        if not self.slots.locked():
            await self.slots.acquire()
            return
        _log.info("%s waits for a free connection: %d are in use", scope.call.name, STREAMS)
        self.waiting += 1
        for watch in scope.watches:
            watch.queued()
        try:
            await self.slots.acquire()
        except BaseException:
            self._leave()
            raise
        finally:
            self.waiting -= 1
            for watch in scope.watches:
                watch.admitted()

    def leave(self) -> None:
        """Give the place to the next."""
        self.slots.release()
        self._leave()

    def _leave(self) -> None:
        self.streams -= 1
        if not self.streams and not self.loop.is_closed():
            self._idle = self.loop.call_later(IDLE, self._close)

    def _close(self) -> None:
        _pools.pop(self.loop, None)  # the next request opens another
        self._closing = self.loop.create_task(self._lifetime.aclose())


_pools: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Pool] = weakref.WeakKeyDictionary()


async def enter(route: Route, scope: Scope) -> tuple[aiohttp.ClientSession, Callable[[], None]]:
    """The session that a route names, or the shared one as soon as it has a free place.

    With it comes what to call when done. (A context manager would be more to hold per stream.)
    """
    if route.session is not None:
        return route.session, _nothing
    pool = _pools.get(asyncio.get_running_loop()) or await _Pool.current()
    await pool.enter(scope)
    return pool.session, pool.leave


def _nothing() -> None:
    pass


def connections() -> Connections:
    """How many streams run on the running loop's shared session, and how many wait for a slot."""
    pool = _pools.get(asyncio.get_running_loop())
    if pool is None:
        return Connections(limit=STREAMS)
    return Connections(pool.streams - pool.waiting, pool.waiting, STREAMS)
