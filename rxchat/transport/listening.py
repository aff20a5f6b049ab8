"""Reading a body, and knowing when nobody speaks any more.

aiohttp's own read timeout makes a timer per packet, which costs more than all that is done with
a packet afterwards; and when a session is closed under a stream, aiohttp forgets to tell who is
reading. Here one timer serves a whole answer. It is armed anew only when it runs out, and it
counts only time in which a read waits: a slow reader is not a silent service.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from rxchat.errors import ConnectionLost, Deadline

if TYPE_CHECKING:
    import aiohttp

__all__ = ["Listener"]


class Listener:
    """Reads one body; make it when the headers are there, and close it."""

    def __init__(self, response: aiohttp.ClientResponse, silence: float | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._response = response
        self._content = response.content
        self._readany = response.content.readany
        self._silence = silence
        self._since: float | None = None  # when the pending read began to wait
        self._timer: asyncio.TimerHandle | None = None
        self._closed: asyncio.Future[None] | None = None
        self.delivering = False  # what was read is being handed on
        connection = response.connection
        protocol = None if connection is None else connection.protocol
        if protocol is not None:  # otherwise the whole body is here already
            protocol.read_timeout = None
            protocol.start_timeout()  # which cancels the one that waited for the headers
            self._closed = protocol.closed
        if self._closed is not None:
            self._closed.add_done_callback(self._connection_closed)

    async def read(self) -> bytes:
        """The next bytes as they come; none at the end of the body."""
        if self._silence is not None:
            self._since = self._loop.time()
            if self._timer is None:
                self._timer = self._loop.call_later(self._silence, self._look, self._silence)
        data = await self._readany()
        self._since = None
        return data

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._closed is not None:
            self._closed.remove_done_callback(self._connection_closed)

    def _look(self, silence: float, again: bool = True) -> None:
        waited = 0.0 if self._since is None else self._loop.time() - self._since
        if waited < silence:
            self._timer = self._loop.call_later(silence - waited, self._look, silence)
        elif again:  # if the loop was blocked, the bytes may be there, only not read yet
            self._timer = self._loop.call_later(0, self._look, silence, False)
        else:
            host = self._response.url.authority
            self._content.set_exception(Deadline(f"{host} sent nothing for {silence} s"))

    def _connection_closed(self, closed: asyncio.Future[None]) -> None:
        if not closed.cancelled():
            closed.exception()  # aiohttp has told of it, if it was not the session
        if not self._content.is_eof() and self._content.exception() is None:
            self._content.set_exception(ConnectionLost("the session was closed under the stream"))
