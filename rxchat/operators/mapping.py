"""An async function for each item: a few run at once, and no more wait than may run."""

from __future__ import annotations

import contextvars
import inspect
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from reactivex import Observable, abc
from reactivex.abc import DisposableBase
from reactivex.disposable import SingleAssignmentDisposable

from rxchat.errors import Aborted, CallbackFailed, ChatError, UsageError
from rxchat.operators.arguments import function, whole
from rxchat.stream import Gate, Op, Pump, Scope

__all__ = ["map_async"]

A = TypeVar("A")
B = TypeVar("B")


def map_async(
    fn: Callable[[A], Awaitable[B]], *, concurrent: int = 1, ordered: bool = True
) -> Op[A, B]:
    """What an async function gives for each item; at most `concurrent` calls run at once.

    The results come in the order of the items: one that is early waits and keeps its place. With
    `ordered=False` they come as they are ready. The source is held back while as many items wait
    as may run, and no call begins while the reader is slow.

    If a call fails, that ends it all, and the calls that still run are cancelled: a `ChatError`
    that `fn` raises is passed on as it is, anything else is a `CallbackFailed`. If the source
    fails, its error comes after the results of what it gave before.

    >>> import asyncio
    >>> from rxchat import of
    >>> from rxchat.operators import to_list
    >>> async def slowly(seconds):
    ...     await asyncio.sleep(seconds)
    ...     return seconds
    >>> of(0.02, 0.01).pipe(map_async(slowly, concurrent=2), to_list()).run()
    [0.02, 0.01]
    """
    function("map_async", fn=fn)
    whole("map_async", concurrent=concurrent)

    def op(source: Observable[A]) -> Observable[B]:
        def subscribe(
            observer: abc.ObserverBase[B], scheduler: abc.SchedulerBase | None = None
        ) -> DisposableBase:
            calls = _Calls(fn, concurrent, ordered, observer, Scope.of(scheduler))
            calls.start(source)
            return calls

        return Observable(subscribe)

    return op


class _Calls(DisposableBase, Generic[A, B]):
    """The items that wait, the calls that have not given their results, and what is upstream."""

    def __init__(
        self,
        fn: Callable[[A], Awaitable[B]],
        concurrent: int,
        ordered: bool,
        observer: abc.ObserverBase[B],
        scope: Scope,
    ) -> None:
        self.fn = fn
        self.scope = scope
        self._concurrent = concurrent
        self._ordered = ordered
        self._observer = observer
        self._waiting: deque[A] = deque()
        self._calls: deque[_Call[A, B]] = deque()
        self._complete = False  # nothing more comes from upstream
        self._error: Exception | None = None  # what it ended with
        self._upstream = SingleAssignmentDisposable()
        # What is full here holds the source back, but not our own calls, nor others downstream.
        self._gate = Gate(scope.loop.time)
        self._release = scope.gate.govern(self._gate)
        self._pausing = False
        # Each call has the variables of the subscriber, not of the call whose end began it.
        self.context = contextvars.copy_context()
        self._over = False

    def start(self, source: Observable[A]) -> None:
        self._upstream.disposable = source.subscribe(
            self._on_next, self._on_end, self._on_end, scheduler=self.scope.behind(self._gate)
        )

    def _on_next(self, item: A) -> None:
        self._waiting.append(item)
        self._begin()

    def _on_end(self, error: Exception | None = None) -> None:
        self._complete = True
        self._error = error
        if isinstance(error, Aborted):  # the loop ends: nothing will be ready any more
            self.fail(error)
        else:
            self._begin()

    def _begin(self) -> None:
        """Begin what may run; end when there is nothing left to do."""
        while self._waiting and len(self._calls) < self._concurrent:
            self._calls.append(_Call(self, self._waiting.popleft()))
        self._pause(len(self._waiting) >= self._concurrent)
        if self._complete and not self._calls:
            if self._error is None:
                self._observer.on_completed()
            else:
                self.fail(self._error)

    def _pause(self, full: bool) -> None:
        if full != self._pausing:
            self._pausing = full
            if full:
                self._gate.pause()
            else:
                self._gate.resume()

    def done(self, call: _Call[A, B]) -> None:
        """Give the results that may be given now, and begin what has waited for a place."""
        calls, emit = self._calls, self._observer.on_next
        if self._ordered:
            while calls and calls[0].results:
                emit(calls.popleft().results[0])
        else:
            calls.remove(call)
            emit(call.results[0])
        self._begin()

    def fail(self, error: Exception) -> None:
        self.dispose()
        self.scope.gate.shut |= self._gate.shut
        self._observer.on_error(error)

    def dispose(self) -> None:
        if self._over:
            return
        self._over = True
        self._release()
        self._upstream.dispose()
        self._waiting.clear()
        while self._calls:
            self._calls.popleft().pump.dispose()


class _Call(abc.ObserverBase[B], Generic[A, B]):
    """One item: a pump that asks for its result, and the place where that waits for its turn."""

    def __init__(self, calls: _Calls[A, B], item: A) -> None:
        self.results: list[B] = []  # none or one
        self._calls = calls
        self._item = item
        self.pump = calls.context.run(Pump[B], self._run, self, calls.scope, "map_async")

    async def _run(self, pump: Pump[B]) -> None:
        await pump.gate.wait()  # nothing is asked for while nobody takes what there is
        try:
            result = self._calls.fn(self._item)
            if not inspect.isawaitable(result):
                raise UsageError(
                    f"map_async(fn) takes an async function, but it gave {result!r}; "
                    "ops.map takes any other"
                )
            pump.emit(await result)
        except ChatError:
            raise
        except Exception as bug:
            raise CallbackFailed.by(bug) from bug

    def on_next(self, value: B) -> None:
        self.results.append(value)
        self._calls.done(self)

    def on_error(self, error: Exception) -> None:
        self._calls.fail(error)

    def on_completed(self) -> None:
        """Its result has been taken."""
