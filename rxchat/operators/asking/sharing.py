"""One answer for several readers: the screen, the log and the guard hear what is paid for once.

Strategy. A run of the source writes a log, and every subscriber reads it from a place of its own.
One who is behind has a pump that reads for it, as fast as its own gate allows; one who is up to
date hears each item in the moment in which it is written.

    source ── run ── log ──┬── reader: up to date
               └── gate ◄──┼── reader: up to date, and slow
                           └── reader ◄── pump: catching up
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from reactivex import Observable, abc
from reactivex.abc import DisposableBase
from reactivex.disposable import SingleAssignmentDisposable

from rxchat.errors import CallbackFailed, LoopError
from rxchat.events import is_content
from rxchat.stream import Call, Pump, Scope, Watch, source

__all__ = ["shared"]

T = TypeVar("T")


def shared() -> Callable[[Observable[T]], Observable[T]]:
    """Let several read one answer: it is asked for once, and kept for those who come late.

    Everybody hears all of it from its beginning, in order. The slowest reader holds the socket
    back. The last one who leaves before the end hangs up, and the next one asks anew. After the
    end nothing is asked again: the answer is replayed, and so is the error if it was cut; it is
    kept in memory as long as this stream. Only a failure before the first content is forgotten.

    >>> from rxchat.testing import Scripted
    >>> talk = Scripted("Hel", "lo")
    >>> answer = talk("Hi").pipe(shared())
    >>> answer.run().reason, answer.run().reason, len(talk.prompts)
    ('stop', 'stop', 1)
    """
    return lambda source: Observable(_Shared(source).subscribe)


class _Shared(Generic[T]):
    """The stream that is shared, and the run of it that the next subscriber may join."""

    def __init__(self, source: Observable[T]) -> None:
        self._source = source
        self._run: _Run[T] | None = None

    def subscribe(
        self, observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None
    ) -> DisposableBase:
        scope = Scope.of(scheduler)
        run = self._joinable(scope.loop)
        if run is not None:
            reader = _Reader(run, observer, scope)
        else:
            run = self._run = _Run[T](self._forget, scope)
            reader = _Reader(run, observer, scope)
            try:
                run.start(self._source)
            except Exception:
                reader.dispose()
                raise
        reader.start()
        return reader

    def _joinable(self, loop: asyncio.AbstractEventLoop) -> _Run[T] | None:
        run = self._run
        if run is None or run.over or run.scope.loop is loop:
            return run
        if run.scope.loop.is_closed():  # in the middle of the answer: nobody can go on with it
            return None
        raise LoopError(
            "this shared stream is being read in another event loop, perhaps of another thread: "
            "read it there too, or wait until it has ended, or share another stream here"
        )

    def _forget(self, run: _Run[T]) -> None:
        if self._run is run:
            self._run = None


class _Run(Generic[T]):
    """One run of the source, what it has said, and those who read that."""

    def __init__(self, forget: Callable[[_Run[T]], None], scope: Scope) -> None:
        self.scope = Scope(scope.loop)
        self.scope.gate.shut = scope.gate.shut
        self.scope.watches = (_ForAll(self),)
        self.scope.recorder = scope.recorder
        self.log: list[T] = []
        self.over = False
        self.error: Exception | None = None
        self.readers: dict[_Reader[T], None] = {}  # in the order in which they came
        self._forget = forget
        self._upstream = SingleAssignmentDisposable()

    def start(self, source: Observable[T]) -> None:
        self._upstream.disposable = source.subscribe(
            self._on_next, self._end, self._end, scheduler=self.scope
        )

    def leave(self, reader: _Reader[T]) -> None:
        self.readers.pop(reader, None)
        if not self.over:
            if self.readers:
                return
            self._forget(self)
            self._upstream.dispose()
        if reader.scope.loop is self.scope.loop:
            for task in self.scope.pumps:  # whoever waits until all is closed waits for these
                reader.scope.pumps.add(task)
                task.add_done_callback(reader.scope.pumps.discard)

    def _on_next(self, item: T) -> None:
        self.log.append(item)
        for reader in [*self.readers]:  # who joins or leaves meanwhile does not disturb
            reader.read()

    def _end(self, error: Exception | None = None) -> None:
        self.over = True
        self.error = error
        self._traceback = error.__traceback__ if error else None
        aborted = self.scope.gate.shut  # as when all had left
        if error is not None and (aborted or not any(map(is_content, self.log))):
            self._forget(self)
        for reader in [*self.readers]:
            if reader.live:
                reader.read()
                reader.finish()

    def failure(self) -> Exception | None:
        """The error as it came: each time it is raised its traceback grows."""
        return self.error and self.error.with_traceback(self._traceback)


class _Reader(DisposableBase, Generic[T]):
    """One subscriber, and its place in the log."""

    __slots__ = (
        "_at",
        "_behind",
        "_emit",
        "_log",
        "_observer",
        "_release",
        "_run",
        "live",
        "scope",
    )

    def __init__(self, run: _Run[T], observer: abc.ObserverBase[T], scope: Scope) -> None:
        self.scope = scope
        self.live = False  # it is up to date, and hears each item as it comes
        self._run: _Run[T] | None = run
        self._log = run.log
        self._at = 0
        self._behind = SingleAssignmentDisposable()
        self._observer = observer
        self._emit = observer.on_next
        self._release = None if run.over else scope.gate.govern(run.scope.gate)
        run.readers[self] = None

    def start(self) -> None:
        """Begin to read; a source may have spoken while it was subscribed to."""
        run = self._run
        if run is not None and (run.over or run.log):
            self._behind.disposable = source(self._catch_up, "shared").subscribe(
                self._emit, self._fail, self._caught_up, scheduler=self.scope
            )
        else:
            self.live = True

    async def _catch_up(self, pump: Pump[T]) -> None:
        await pump.gate.wait()
        while self._at < len(self._log) and not pump.disposed:
            self._at += 1
            await pump.send(self._log[self._at - 1])

    def _caught_up(self) -> None:
        self.live = True
        if self._run is not None and self._run.over:
            self.finish()

    def read(self) -> None:
        """Hand over what is new, unless it is behind; in order, also if an item makes another."""
        log = self._log
        try:
            while self.live and self._at < len(log):
                self._at += 1
                self._emit(log[self._at - 1])
        except Exception as bug:  # of an operator downstream: the other readers go on
            self._fail(CallbackFailed.by(bug))

    def finish(self) -> None:
        """End as the run has ended."""
        run = self._run
        if run is None:
            return
        self.scope.gate.shut |= run.scope.gate.shut
        self._fail(run.failure())

    def _fail(self, error: Exception | None) -> None:
        """Leave, and then tell: who asks again in that moment must not meet what is over."""
        self.dispose()
        try:
            if error is None:
                self._observer.on_completed()
            else:
                self._observer.on_error(error)
        except Exception as bug:
            self.scope.report("a reader of a shared stream raised", bug)

    def dispose(self) -> None:
        run, self._run = self._run, None
        if run is None:
            return
        self.live = False
        self._behind.dispose()
        if self._release is not None:
            self._release()
        run.leave(self)


class _ForAll(Watch):
    """Tells everybody who reads of the one request."""

    __slots__ = ("_run",)

    def __init__(self, run: _Run[T]) -> None:
        self._run = run

    def _watches(self) -> Iterator[Watch]:
        for reader in [*self._run.readers]:
            yield from reader.scope.watches

    def queued(self) -> None:
        for watch in self._watches():
            watch.queued()

    def admitted(self) -> None:
        for watch in self._watches():
            watch.admitted()

    def asked(self, call: Call) -> None:
        for watch in self._watches():
            watch.asked(call)

    def answered(self, call: Call, headers: Mapping[str, str]) -> None:
        for watch in self._watches():
            watch.answered(call, headers)

    def ended(self, call: Call) -> None:
        for watch in self._watches():
            watch.ended(call)
