"""A `Stream`: a reactivex Observable that belongs to the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from functools import cached_property
from threading import RLock
from types import FunctionType
from typing import Any, Generic, TypeAlias, TypeVar, cast, overload

import reactivex
from reactivex import ConnectableObservable, GroupedObservable, Observable, abc
from reactivex.abc import DisposableBase
from reactivex.disposable import Disposable, SingleAssignmentDisposable

from rxchat.errors import Aborted, EmptyStream, LoopError, UsageError
from rxchat.stream.cursor import Cursor
from rxchat.stream.hops import Guard, ignore
from rxchat.stream.plain_functions import OPERATORS, plain, refuse_async
from rxchat.stream.pump import Pump
from rxchat.stream.scope import Scope

__all__ = ["Op", "Stream", "Subscription", "source", "wrap"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")

Op: TypeAlias = Callable[[Observable[A]], Observable[B]]  # what goes into `.pipe(...)`
Preview: TypeAlias = Callable[[], tuple[list[tuple[str, str]], str]]  # facts, and a block of text


class Stream(Observable[T_co]):
    """A cold reactivex Observable for `async for`, `await` and `subscribe` on the running loop.

    Every subscription runs the source anew; for a provider's stream, one subscription is one
    request. `await stream` gives its last item.
    """

    name = "stream"
    preview: Preview | None = None
    """What its first request would be, for who looks at it; None if that is not known."""

    def __init__(self, subscribe: abc.Subscription[T_co] | None = None) -> None:
        # Without the base's: a lock for every stream costs more than all else that is in it.
        self._subscribe = subscribe

    @cached_property
    def lock(self) -> Any:  # type: ignore[override]  # the base makes one for everybody
        """What some of reactivex's operators ask for."""
        return RLock()

    @overload  # type: ignore[override]  # reactivex gives a plain disposable at the root, too
    def subscribe(
        self,
        on_next: abc.ObserverBase[T_co] | abc.OnNext[T_co] | None = None,
        on_error: abc.OnError | None = None,
        on_completed: abc.OnCompleted | None = None,
    ) -> Subscription: ...

    @overload
    def subscribe(
        self,
        on_next: abc.ObserverBase[T_co] | abc.OnNext[T_co] | None = None,
        on_error: abc.OnError | None = None,
        on_completed: abc.OnCompleted | None = None,
        *,
        scheduler: abc.SchedulerBase | None,
    ) -> DisposableBase: ...

    def subscribe(
        self,
        on_next: Any = None,
        on_error: abc.OnError | None = None,
        on_completed: abc.OnCompleted | None = None,
        *,
        scheduler: abc.SchedulerBase | None = None,
    ) -> DisposableBase:
        """Start the stream on the running loop; dispose of what you get to hang up."""
        if hasattr(on_next, "on_next"):
            observer = on_next
            on_next, on_error = observer.on_next, observer.on_error
            on_completed = observer.on_completed
        if isinstance(scheduler, Scope):  # an operator subscribes to its source
            return Guard[T_co](on_next, on_error, on_completed).over(self, scheduler)
        if scheduler is not None:
            return super().subscribe(on_next, on_error, on_completed, scheduler=scheduler)
        refuse_async(
            "subscribe", "write `async for item in stream`", on_next, on_error, on_completed
        )
        subscription = Subscription(Scope())
        root = _Root[T_co](on_next, on_error, on_completed, subscription, self.name)
        guard = Guard[T_co](root.on_next, root.on_error, root.on_completed)
        scope = subscription.scope
        heard: Observable[T_co] = self
        if scope.recorder is not None:
            heard, _ = scope.recorder.part(self, scope)
        subscription.upstream.disposable = guard.over(heard, scope)
        return subscription

    # fmt: off
    @overload  # type: ignore[override]  # what the base pipes to anything, this pipes to a Stream
    def pipe(self) -> Stream[T_co]: ...
    @overload
    def pipe(self, a: Op[T_co, A], /) -> Stream[A]: ...
    @overload
    def pipe(self, a: Op[T_co, A], b: Op[A, B], /) -> Stream[B]: ...
    @overload
    def pipe(self, a: Op[T_co, A], b: Op[A, B], c: Op[B, C], /) -> Stream[C]: ...
    @overload
    def pipe(self, a: Op[T_co, A], b: Op[A, B], c: Op[B, C], d: Op[C, D], /) -> Stream[D]: ...
    @overload
    def pipe(self, a: Op[T_co, A], b: Op[A, B], c: Op[B, C], d: Op[C, D], e: Op[D, E], /) -> Stream[E]: ...
    @overload
    def pipe(self, a: Op[T_co, A], b: Op[A, B], c: Op[B, C], d: Op[C, D], e: Op[D, E], f: Op[E, F], /) -> Stream[F]: ...
    @overload
    def pipe(self, a: Op[T_co, A], b: Op[A, B], c: Op[B, C], d: Op[C, D], e: Op[D, E], f: Op[E, F], g: Op[F, Any], /, *more: Op[Any, Any]) -> Stream[Any]: ...
    @overload
    def pipe(self, a: Callable[[Observable[T_co]], A], /) -> A: ...
    @overload
    def pipe(self, a: Op[T_co, A], b: Callable[[Observable[A]], B], /) -> B: ...
    @overload
    def pipe(self, a: Op[T_co, A], b: Op[A, B], c: Callable[[Observable[B]], C], /) -> C: ...
    # fmt: on

    def pipe(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, *operators: Callable[[Any], Any]
    ) -> Any:
        """Compose operators, left to right; what they give is a `Stream` again."""
        result: Any = self
        for operator in operators:  # each gets a Stream, so that whatever it does has our clock
            try:
                result = wrap(operator(result), self.name, self.preview)
            except (UsageError, TypeError):
                if _makes_operators(operator):
                    raise _not_called(operator) from None
                raise
            if isinstance(result, FunctionType):
                raise _not_called(operator)
        return result

    def __add__(self, other: Observable[Any]) -> Stream[Any]:
        return wrap(super().__add__(other), self.name, self.preview)

    __iadd__ = __add__

    def __getitem__(self, key: slice | int) -> Stream[T_co]:
        return wrap(super().__getitem__(key), self.name, self.preview)

    __iter__ = None  # `for` without `async` is a TypeError, and not an endless loop

    # reactivex's fluent methods go through `pipe`, but for these.

    def dematerialize(self) -> Stream[Any]:
        return wrap(super().dematerialize(), self.name, self.preview)

    def exclusive(self) -> Stream[Any]:
        return wrap(super().exclusive(), self.name, self.preview)

    def pluck(self, key: str) -> Stream[Any]:
        return wrap(super().pluck(key), self.name, self.preview)

    def switch_latest(self) -> Stream[Any]:
        return wrap(super().switch_latest(), self.name, self.preview)

    # In reactivex 6.1, all subscriptions to an indexed operator share one counter, so that a second
    # run, or a retry, goes on where the first one ended. These are made anew each time.

    def map_indexed(self, *args: Any, **named: Any) -> Stream[Any]:
        return self._anew(super().map_indexed, *args, **named)

    def flat_map_indexed(self, *args: Any, **named: Any) -> Stream[Any]:
        return self._anew(super().flat_map_indexed, *args, **named)

    def switch_map_indexed(self, *args: Any, **named: Any) -> Stream[Any]:
        return self._anew(super().switch_map_indexed, *args, **named)

    def skip_while_indexed(self, *args: Any, **named: Any) -> Stream[T_co]:
        return self._anew(super().skip_while_indexed, *args, **named)

    def _anew(self, make: Callable[..., Observable[A]], *args: Any, **named: Any) -> Stream[A]:
        return wrap(reactivex.defer(lambda _: make(*args, **named)), self.name, self.preview)

    def retry(self, retry_count: int | None = None) -> Stream[T_co]:
        """Refuse: reactivex's `retry` asks again at once, and repeats what was heard."""
        raise UsageError("write stream.pipe(ops.retry(3)), with `ops` from rxchat.operators")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}: cold, one run per subscription>"

    _sentence = "Cold: nothing is sent until you run it, and each run begins anew."
    _how = (
        "async for item in stream: ...\n"
        "answer = await stream.pipe(ops.collect())  # answer.text, answer.usage\n"
        "await show(stream)  # of rxchat.notebook"
    )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        from rxchat.stills import Card

        rows, block = self.preview() if self.preview is not None else ([], "")
        rows = [("run it", self._how), *rows]
        return Card(self.name, "a stream", self._sentence, rows, block).bundle()

    def __aiter__(self) -> Cursor[T_co]:
        return Cursor(self)

    def open(self, *, high: int = 16) -> Cursor[T_co]:
        """Iterate in an `async with` that also waits until the socket is closed.

        The socket is paused while `high` items wait to be taken.
        """
        return Cursor(self, high)

    def __await__(self) -> Generator[Any, None, T_co]:
        return self._last().__await__()

    def run(self) -> T_co:  # type: ignore[override]  # the loop is the only scheduler here
        """Give the last item to a plain script that has no event loop."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(self._last())
        raise LoopError(
            "run() is for scripts without an event loop, and one is running in this thread: "
            "write `await stream` or `async for item in stream`"
        )

    async def _last(self) -> T_co:
        nothing = object()
        last: object = nothing
        async for item in self:
            last = item
        if last is nothing:
            raise EmptyStream(f"stream {self.name!r} ended without an item to await")
        return cast(T_co, last)


for _name in OPERATORS:
    if _fluent := getattr(Stream, _name, None):
        setattr(Stream, _name, plain(_name, _fluent))


def _makes_operators(function: object) -> bool:
    """Whether it is one of the words that make an operator, as `ops.text` is."""
    room, name = (str(getattr(function, word, ".")) for word in ("__module__", "__qualname__"))
    return room.startswith(("rxchat.operators", "reactivex.operators")) and "." not in name


def _not_called(function: object) -> UsageError:
    word = getattr(function, "__name__", "operator")
    return UsageError(f"pipe() takes operators, not the function {word}: write {word}()")


def source(run: Callable[[Pump[T]], Awaitable[None]], name: str | None = None) -> Stream[T]:
    """A stream from an async function, which is called once per subscription.

    >>> async def count(pump):
    ...     for number in range(3):
    ...         await pump.send(number)
    >>> source(count).run()
    2
    """
    title = name or str(getattr(run, "__name__", "source"))

    def subscribe(
        observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None
    ) -> DisposableBase:
        scope = Scope.of(scheduler)
        if scope.gate.shut:  # at the end of the loop, nothing new begins
            observer.on_error(Aborted("the stream was cancelled from outside"))
            return Disposable()
        return Pump(run, observer, scope, title)

    return _named(Stream(subscribe), title)


class Connectable(ConnectableObservable[T], Stream[T]):
    """What `publish` and its kin give: a stream that begins with `connect()`."""

    _sentence = "Nothing is sent until connect(), which runs it once for all who listen."
    _how = "stream.subscribe(...)\nstream.connect()"

    def ref_count(self) -> Stream[T]:
        return wrap(super().ref_count(), self.name, self.preview)

    def __repr__(self) -> str:
        return f"<Connectable {self.name!r}: one run for all, which begins with connect()>"


class Group(GroupedObservable[Any, T], Stream[T]):
    """One of the streams that `group_by` gives, with its `key`."""

    _sentence = "A part of a stream that runs: it says what comes from now on."

    def __repr__(self) -> str:
        return f"<Group {self.name!r} of {self.key!r}: a part of a stream that runs>"


@overload
def wrap(
    observable: Observable[T], name: str = "stream", preview: Preview | None = None
) -> Stream[T]: ...
@overload
def wrap(observable: A, name: str = "stream", preview: Preview | None = None) -> A: ...
def wrap(observable: Any, name: str = "stream", preview: Preview | None = None) -> Any:
    """Make a plain Observable a `Stream`, and a list of them a list of streams.

    Anything else stays what it is.
    """
    kind = cast("object", type(observable))
    if kind is Observable:
        # The same subscribe function, not one around it: that saves a hop per item.
        return _named(Stream(observable._subscribe), name, preview)
    if kind is list:
        return [wrap(part, name, preview) for part in observable]
    if kind is ConnectableObservable:
        return _named(Connectable(observable.source, observable.subject), name, preview)
    if kind is GroupedObservable:
        group = Group(observable.key, observable.underlying_observable)
        return _named(group, name, preview)
    return observable


def _named(stream: Stream[T], name: str, preview: Preview | None = None) -> Stream[T]:
    stream.name = name
    if preview is not None:
        stream.preview = preview
    return stream


class Subscription(DisposableBase):
    """What `subscribe` gives: `dispose()` hangs up, `wait_closed()` knows that it is done."""

    __slots__ = ("_over", "scope", "upstream")

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.upstream = SingleAssignmentDisposable()
        self._over = asyncio.Event()

    def dispose(self) -> None:
        self._over.set()
        self.upstream.dispose()

    async def wait_closed(self) -> None:
        """Return when the stream is over, and no task and no socket of it is left."""
        await self._over.wait()
        await self.scope.drained()


class _Root(Generic[T]):
    """The last observer: a bug in the consumer ends here and never travels upstream."""

    __slots__ = ("_name", "_on_completed", "_on_error", "_on_next", "_subscription")

    def __init__(
        self,
        on_next: Callable[[T], object] | None,
        on_error: Callable[[Exception], object] | None,
        on_completed: Callable[[], object] | None,
        subscription: Subscription,
        name: str,
    ) -> None:
        self._on_next: Callable[[T], object] = on_next or ignore
        self._on_error = on_error or self._unhandled
        self._on_completed: Callable[[], object] = on_completed or ignore
        self._subscription = subscription
        self._name = name

    def on_next(self, item: T) -> None:
        try:
            self._on_next(item)
        except Exception as bug:
            self._consumer_raised(bug)

    def on_error(self, error: Exception) -> None:
        try:
            self._on_error(error)
        except Exception as bug:
            self._consumer_raised(bug)
        self._subscription.dispose()

    def on_completed(self) -> None:
        try:
            self._on_completed()
        except Exception as bug:
            self._consumer_raised(bug)
        self._on_error = ignore  # what raises while it hangs up is reported, and no second end
        self._subscription.dispose()

    def _consumer_raised(self, bug: Exception) -> None:
        self._on_next = ignore  # a source that emits while it is subscribed to goes on
        self._subscription.dispose()
        self._report(f"a consumer of stream {self._name!r} raised; it was disposed of", bug)

    def _unhandled(self, error: Exception) -> None:
        if not isinstance(error, Aborted):  # at the end of the loop, silence is right
            self._report(f"unhandled error in stream {self._name!r}", error)

    def _report(self, message: str, error: Exception) -> None:
        self._subscription.scope.report(message, error)
