"""From push to pull: a stream as an async iterator, with a bounded place in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

from reactivex import Observable

from rxchat.errors import Aborted, LoopError
from rxchat.stream.scope import Scope

__all__ = ["Cursor"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_COMPLETED = StopAsyncIteration()


class _Buffer(Generic[T]):
    """The bounded place between push and pull: the stream fills it, the cursor empties it."""

    __slots__ = ("end", "gate", "high", "items", "loop", "pausing", "taken", "waiter")

    def __init__(self, high: int, scope: Scope) -> None:
        # Two lists in place of a deque, which takes much room even if it is empty: what comes, in
        # order, and what the cursor has taken of it to give it, in reverse.
        self.items: list[T] = []
        self.taken: list[T] = []
        self.end: Exception | None = None
        self.waiter: asyncio.Future[None] | None = None
        self.high = high
        self.pausing = False
        self.gate = scope.gate
        self.loop = scope.loop

    def on_next(self, item: T) -> None:
        self.items.append(item)
        if self.waiter is not None:
            self._wake()
        elif not self.pausing and len(self.items) + len(self.taken) >= self.high:
            self.pausing = True
            self.gate.pause()

    def on_error(self, error: Exception) -> None:
        self.end = error
        self.resume()
        self._wake()

    def on_completed(self) -> None:
        self.on_error(_COMPLETED)

    def resume(self) -> None:
        """Take the pause back: others may share the gate."""
        if self.pausing:
            self.pausing = False
            self.gate.resume()

    async def filled(self) -> None:
        """Return when there is an item or an end; meanwhile the gate is open."""
        if self.waiter is not None:
            raise LoopError("two tasks are waiting on one iterator; give each its own")
        self.resume()
        waiter = self.waiter = self.loop.create_future()
        try:
            await waiter
        finally:
            if self.waiter is waiter:  # otherwise it was woken, and another may wait by now
                self.waiter = None

    def _wake(self) -> None:
        waiter, self.waiter = self.waiter, None  # the rest of a burst finds nobody to wake
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class Cursor(AsyncIterator[T_co]):
    """A stream being iterated: it hangs up when the loop is left, however it is left.

    The gate is closed while `high` items or more wait, and opens again when all are taken.

    Nothing upstream refers to the cursor, only to its buffer. So after a `break` its last
    reference is gone, and `__del__` closes the socket then and there.
    """

    __slots__ = ("_buffer", "_scope", "_subscription", "_taken")

    def __init__(self, stream: Observable[T_co], high: int = 16) -> None:
        if high < 1:
            raise ValueError(f"high must be at least 1, not {high}")
        self._scope = scope = Scope()
        self._buffer = buffer = _Buffer[T_co](high, scope)
        self._taken = buffer.taken
        if scope.recorder is not None:
            stream, _ = scope.recorder.part(stream, scope)
        self._subscription = stream.subscribe(
            buffer.on_next, buffer.on_error, buffer.on_completed, scheduler=scope
        )

    def __aiter__(self) -> Cursor[T_co]:
        return self

    async def __anext__(self) -> T_co:
        taken = self._taken
        if taken:
            return taken.pop()
        buffer = self._buffer
        items = buffer.items
        while not items:
            if buffer.end is not None:
                raise self._ending()
            try:
                await buffer.filled()
            except asyncio.CancelledError:
                # A notebook keeps the interrupted frame alive: do not wait for __del__.
                self.close()
                buffer.end = Aborted("hung up, because a wait for the next item was cancelled")
                raise
        if len(items) > 1:
            taken += reversed(items)
            items.clear()
            return taken.pop()
        return items.pop()

    def _ending(self) -> Exception:
        end, self._buffer.end = self._buffer.end, _COMPLETED
        if end is None or end is _COMPLETED:
            return StopAsyncIteration()
        if isinstance(end, StopIteration | StopAsyncIteration):  # PEP 479: an error, not an end
            failure = RuntimeError(f"the stream raised {type(end).__name__}")
            failure.__cause__ = end
            return failure
        return end

    def close(self) -> None:
        """Hang up; what was not taken yet is gone."""
        self._hang_up()
        self._buffer.items.clear()
        self._taken.clear()
        if self._buffer.end is None:
            self._buffer.on_completed()

    async def aclose(self) -> None:
        """Hang up, and wait until no task and no socket of this iteration is left."""
        self.close()
        await self._scope.drained()

    async def __aenter__(self) -> Cursor[T_co]:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        # The garbage collector may run on any thread; the socket belongs to the loop's.
        if not hasattr(self, "_subscription") or self._buffer.end is not None:
            return
        loop = self._scope.loop
        try:
            on_the_loop = asyncio.get_running_loop() is loop
        except RuntimeError:
            on_the_loop = False
        if on_the_loop:
            self._hang_up()
        elif not loop.is_closed():
            loop.call_soon_threadsafe(self._subscription.dispose)
            loop.call_soon_threadsafe(self._buffer.resume)

    def _hang_up(self) -> None:
        self._subscription.dispose()
        self._buffer.resume()
