"""One answer that is heard for a cell: what has come of it, how to stop it, what it comes to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from reactivex import Observable, abc
from reactivex.abc import DisposableBase
from reactivex.disposable import SingleAssignmentDisposable

from rxchat import operators as ops
from rxchat.errors import Aborted, LoopError, UsageError
from rxchat.events import Event, Text
from rxchat.notebook.cells.cell import awake
from rxchat.notebook.cells.progress import Progress
from rxchat.operators.asking.meters import Run
from rxchat.operators.gathering.collecting import Answer, Growing
from rxchat.stream import Subscription, a_stream, wrap
from rxchat.stream.hops import ignore

__all__ = ["Hearing", "as_event", "the_loop"]


def the_loop(name: str) -> asyncio.AbstractEventLoop:
    """The loop that runs, which there is in every cell of a notebook."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise LoopError(
            f"{name}() needs a running event loop: write `await {name}(...)` in a cell, inside an "
            "`async def` that asyncio.run() runs, or at the prompt of `python -m asyncio`"
        ) from None


class Hearing:
    """One subscription: `heard` is called after each item, and `over` once, at the end."""

    def __init__(
        self,
        stream: Observable[Any],
        heard: Callable[[object], None],
        over: Callable[[], None],
        name: str,
    ) -> None:
        a_stream(name, stream)
        self.loop = the_loop(name)
        self.progress = Progress()
        self.name = str(getattr(stream, "name", "stream"))
        self._heard = heard
        self._over = over
        self._meter = ops.meter()
        self._cut: Callable[[], None] = ignore
        self._stream = stream
        self._answer: Answer | None = None
        self._subscription: Subscription | None = None

    @property
    def run(self) -> Run | None:
        """Its numbers."""
        return self._meter.last

    def start(self) -> None:
        """Send the request."""
        whole = wrap(self._stream, self.name).pipe(
            self._meter,
            self._stoppable,
            ops.do_action(self._take),
            ops.map(as_event),
            ops.collect(),
        )
        self._subscription = whole.subscribe(self._keep, self._fail, self._complete)

    def stop(self) -> None:
        """Hang up, from whichever thread; what has come is the answer."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.hang_up)

    def hang_up(self) -> None:
        """The same, at once, on the loop's own thread."""
        if self.progress.status == "running":
            self.progress.end("stopped")
            self._cut()

    async def result(self) -> Answer:
        """The answer, when its socket is closed; who is cancelled meanwhile hangs up."""
        if self._subscription is None:
            raise UsageError("it has not been started")
        try:
            with awake():
                await self._subscription.wait_closed()
        except asyncio.CancelledError:
            self.hang_up()
            raise
        if self.progress.error is not None:
            raise self.progress.error
        if self._answer is None:
            raise Aborted("hung up before its end")
        return self._answer

    def _stoppable(self, source: Observable[Any]) -> Observable[Any]:
        """The source, which a `stop` ends well: it is hung up first, so that all know of it."""

        def subscribe(
            observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None
        ) -> DisposableBase:
            upstream = SingleAssignmentDisposable()

            def cut() -> None:
                try:
                    upstream.dispose()
                finally:
                    observer.on_completed()

            self._cut = cut
            upstream.disposable = source.subscribe(observer, scheduler=scheduler)
            return upstream

        return Observable(subscribe)

    def _take(self, item: object) -> None:
        self.progress.take(item)
        self._heard(item)

    def _keep(self, answer: Answer) -> None:
        self._answer = answer

    def _complete(self) -> None:
        if self.progress.status == "running":
            self.progress.end("completed")
        self._over()

    def _fail(self, error: Exception) -> None:
        self.progress.end("failed", error)
        self._over()


def as_event(item: object) -> Event | str:
    """What a collected answer is made of."""
    if isinstance(item, Event | str):
        return item
    return Text(item.piece if isinstance(item, Growing) else f"{item!r}\n")
