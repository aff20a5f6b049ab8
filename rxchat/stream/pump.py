"""One running source: a task that emits, closes its socket at once, and waits for demand."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from reactivex import abc
from reactivex.abc import DisposableBase

from rxchat.errors import Aborted, CallbackFailed
from rxchat.stream.scope import Gate, Scope

__all__ = ["Pump"]

T = TypeVar("T")

_log = logging.getLogger("rxchat")


class Pump(DisposableBase, Generic[T]):
    """One running source: the hand that a source function emits with."""

    __slots__ = ("_hang_up", "_observer", "_on_next", "disposed", "scope", "task")

    def __init__(
        self,
        run: Callable[[Pump[T]], Awaitable[None]],
        observer: abc.ObserverBase[T],
        scope: Scope,
        name: str,
    ) -> None:
        self.scope = scope
        self.disposed = False
        self._observer = observer
        self._on_next = observer.on_next
        self._hang_up: Callable[[], bool | None] | None = None
        # Not `create_task`: a loop's eager tasks would emit while they are subscribed to.
        self.task = asyncio.Task(self._run(run), loop=scope.loop, name=f"rxchat: {name}")
        scope.pumps.add(self.task)
        self.task.add_done_callback(scope.pumps.discard)

    @property
    def gate(self) -> Gate:
        return self.scope.gate

    def emit(self, item: T) -> None:
        """Hand an item to the subscriber, at once."""
        if self.disposed:
            return
        try:
            self._on_next(item)
        except Exception as error:
            if self.disposed:  # while it hung up: nobody is left who would hear of it
                self.scope.report(f"a callback of {self.task.get_name()!r} raised", error)
                return
            # Not the source's failure: a retry must not pay for the request again.
            self._observer.on_error(CallbackFailed.by(error))
            self.dispose()

    async def send(self, item: T) -> None:
        """Hand an item to the subscriber, and wait while it is slow."""
        self.emit(item)
        if self.gate.paused:
            await self.gate.wait()

    def closing(self, hang_up: Callable[[], bool | None]) -> None:
        """Say how to close the socket, in no time, when the subscriber leaves.

        The source is cancelled then, unless `hang_up` returns True: it winds up by itself.
        """
        self._hang_up = hang_up

    def dispose(self) -> None:
        if self.disposed:
            return
        self.disposed = True
        if self._hang_up is None or not self._hang_up():
            self.task.cancel()

    async def _run(self, run: Callable[[Pump[T]], Awaitable[None]]) -> None:
        try:
            await run(self)
        except asyncio.CancelledError:
            if not self.disposed:
                self.gate.shut = True
                self._end(Aborted("the stream was cancelled from outside"))
            raise
        except Exception as error:
            self._end(error)
        except BaseException as error:  # KeyboardInterrupt and its like end the program
            self._end(Aborted(f"the stream was stopped by {type(error).__name__}"))
            raise
        else:
            self._end(None)

    def _end(self, error: Exception | None) -> None:
        if self.disposed:
            if error is not None and not isinstance(error, Aborted):
                _log.debug("%s after the subscriber had left", type(error).__name__)
            return
        self.disposed = True
        try:
            if error is None:
                self._observer.on_completed()
            else:
                self._observer.on_error(error)
        except Exception as bug:
            self.scope.report(f"a callback of {self.task.get_name()!r} raised", bug)
