"""What one subscription knows, carried upstream in the place of a scheduler."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from reactivex import Observable, abc
from reactivex.scheduler.eventloop import AsyncIOScheduler

from rxchat.errors import ChatError, LoopError

__all__ = ["Call", "Gate", "Recorder", "Scope", "Watch", "recording"]

T = TypeVar("T")


class Gate:
    """The consumer's demand: open unless somebody downstream has paused it."""

    __slots__ = ("_before", "_pauses", "_since", "_upstream", "_waiters", "resumed", "shut", "time")

    def __init__(self, time: Callable[[], float]) -> None:
        self.shut = False  # for good: the subscription was cancelled from outside
        self.time = time
        self.resumed = 0.0  # when it was last opened
        self._pauses = 0
        self._since = 0.0  # when it was last closed
        self._before = 0.0  # seconds of all pauses that are over
        self._waiters: list[asyncio.Future[None]] = []
        self._upstream: tuple[Gate, ...] = ()

    @property
    def paused(self) -> bool:
        return self._pauses > 0

    @property
    def paused_for(self) -> float:
        """Seconds in all for which it has been closed: time that is not the service's."""
        return self._before + (self.time() - self._since if self._pauses else 0.0)

    def pause(self) -> None:
        """Close the gate; every pause wants its own `resume`."""
        self._pauses += 1
        if self._pauses == 1:
            self._since = self.time()
            for gate in self._upstream:
                gate.pause()

    def resume(self) -> None:
        """Take one pause back, and let the pumps go on if it was the last."""
        self._pauses -= 1
        if not self._pauses:
            self.resumed = self.time()
            self._before += self.resumed - self._since
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
            for gate in self._upstream:
                gate.resume()

    def govern(self, upstream: Gate) -> Callable[[], None]:
        """Let this demand count for the gate of another scope; call what it gives to end that."""
        self._upstream += (upstream,)
        if self._pauses:
            upstream.pause()

        def release() -> None:
            others = [*self._upstream]
            others.remove(upstream)
            self._upstream = tuple(others)
            if self._pauses:
                upstream.resume()

        return release

    async def wait(self) -> None:
        """Return as soon as the gate is open."""
        while self._pauses:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter


class Call:
    """The facts of one request, written by whoever learns them first, read by errors."""

    __slots__ = (
        "asked",
        "content_emitted",
        "name",
        "over",
        "received",
        "request_id",
        "secrets",
        "sent",
        "status",
    )

    def __init__(self, name: str | None = None) -> None:
        self.name = name
        self.asked = 0  # bytes of the request's body
        self.received = 0  # bytes of the answer's body so far
        self.status: int | None = None
        self.request_id: str | None = None
        self.content_emitted = False
        self.sent = False  # another request needs a call of its own
        self.over = False  # the protocol has said its last word; bytes may still follow
        self.secrets: tuple[str, ...] = ()  # what was sent and must not be shown

    def explain(self, error: ChatError) -> ChatError:
        """The error with the facts of this call, and without its secrets."""
        return error.about(
            provider=self.name,
            status=self.status,
            request_id=self.request_id,
            content_emitted=self.content_emitted or None,
        ).hiding(self.secrets)


class Watch:
    """What an operator hears of the requests upstream of it: `scope.watched(watch)`."""

    __slots__ = ()

    def queued(self) -> None:
        """A request waits for its turn, on our side of the wire; `admitted` always follows."""

    def admitted(self) -> None:
        """It waits no more: it goes out, or nobody wants it any longer."""

    def asked(self, call: Call) -> None:
        """A request goes out."""

    def answered(self, call: Call, headers: Mapping[str, str]) -> None:
        """The headers of its answer have come."""

    def ended(self, call: Call) -> None:
        """It is over, well or badly, or hung up."""


class Recorder(ABC):
    """Who writes a run down; nobody does, unless `recording` says so where it is subscribed to."""

    __slots__ = ()

    @abstractmethod
    def part(self, source: Observable[T], scope: Scope) -> tuple[Observable[T], Recorder]:
        """The source, so that what it says to this subscription is written down, and by whom."""

    @abstractmethod
    def committed(self) -> None:
        """From now on it is passed on; what it said so far was held back."""

    @abstractmethod
    def lost(self) -> None:
        """It is about to be hung up, because another one was heard."""


recording: ContextVar[Recorder | None] = ContextVar("rxchat.recording", default=None)


class Scope(AsyncIOScheduler):
    """What one subscription knows, handed upstream in the place of a scheduler."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        super().__init__(loop or _running_loop())
        self.gate = Gate(self._loop.time)
        self.watches: tuple[Watch, ...] = ()
        self.recorder = recording.get()
        self.pumps: set[asyncio.Task[None]] = set()  # the loop itself holds tasks weakly
        self.call = Call()
        self._origin: datetime | None = None

    @classmethod
    def of(cls, scheduler: abc.SchedulerBase | None) -> Scope:
        """The scope that a subscription came with, or a new one."""
        return scheduler if isinstance(scheduler, Scope) else cls()

    def for_call(self, call: Call) -> Scope:
        """The same subscription, seen by one of its requests."""
        scope = self._copy()
        scope.call = call
        return scope

    def watched(self, watch: Watch) -> Scope:
        """The same subscription, with one more who hears of its requests."""
        scope = self._copy()
        scope.watches = (*self.watches, watch)
        return scope

    def behind(self, gate: Gate) -> Scope:
        """The same subscription, upstream of a place that has a demand of its own."""
        scope = self._copy()
        gate.shut |= self.gate.shut
        scope.gate = gate
        return scope

    def _copy(self) -> Scope:
        scope = Scope.__new__(Scope)
        vars(scope).update(vars(self))
        return scope

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    @property
    def now(self) -> datetime:
        """The date, by the loop's clock: timers run on it, so a virtual one drives both alike."""
        if self._origin is None:
            self._origin = datetime.now(UTC) - timedelta(seconds=self._loop.time())
        return self._origin + timedelta(seconds=self._loop.time())

    def report(self, message: str, error: BaseException) -> None:
        """Tell the loop's exception handler what nobody else can be told."""
        self._loop.call_exception_handler({"message": message, "exception": error})

    async def drained(self) -> None:
        """Return when every pump has ended and closed its socket."""
        while pumps := self.pumps - {asyncio.current_task()}:
            await asyncio.wait(pumps)


def _running_loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise LoopError(
            "a stream needs a running event loop: subscribe inside `async def`, "
            "or call `stream.run()` from a plain script"
        ) from None
