"""What stands between a source and its subscriber, and what operators of ours are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from reactivex import Observable, abc
from reactivex.abc import DisposableBase
from reactivex.disposable import Disposable
from reactivex.internal import default_error

from rxchat.errors import CallbackFailed
from rxchat.stream.scope import Scope

__all__ = ["Guard", "Hop", "ignore", "lift", "lifted"]

T = TypeVar("T")


class Guard(DisposableBase, Generic[T]):
    """What stands between a source and its subscriber: nothing passes after an end.

    It does what reactivex's own observer does, without locks, since a stream belongs to one loop,
    and without a trampoline, since nothing of ours emits while it is subscribed to.
    """

    __slots__ = ("_on_completed", "_on_error", "_on_next", "_upstream", "is_stopped")

    def __init__(
        self,
        on_next: Callable[[T], object] | None,
        on_error: Callable[[Exception], object] | None,
        on_completed: Callable[[], object] | None,
    ) -> None:
        self._on_next: Callable[[T], object] = on_next or ignore
        self._on_error: Callable[[Exception], object] = on_error or default_error
        self._on_completed: Callable[[], object] = on_completed or ignore
        self._upstream: DisposableBase | None = None
        self.is_stopped = False

    def over(self, source: Observable[T], scheduler: Scope) -> DisposableBase:
        """Subscribe to a source, and give what disposes of it."""
        try:
            upstream = lift(source, self, scheduler)
        except Exception as error:
            if self.is_stopped:
                raise
            self.is_stopped = True
            self._on_error(error)
            return self
        self._upstream = upstream
        if self.is_stopped:
            self._upstream.dispose()
        return self

    def on_next(self, item: T) -> None:
        if not self.is_stopped:
            self._on_next(item)

    def on_error(self, error: Exception) -> None:
        if not self.is_stopped:
            self.is_stopped = True
            try:
                self._on_error(error)
            finally:
                self.dispose()

    def on_completed(self) -> None:
        if not self.is_stopped:
            self.is_stopped = True
            try:
                self._on_completed()
            except CallbackFailed:  # who stands nearer has told it already
                raise
            except Exception as bug:
                failure = CallbackFailed.by(bug)
                self._on_error(failure)
                raise failure from bug
            finally:
                self.dispose()

    def dispose(self) -> None:
        self.is_stopped = True
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.dispose()


abc.ObserverBase.register(Guard)


class Hop(Generic[T]):
    """What an operator listens with that passes ends on; `lift` subscribes it."""

    __slots__ = ("observer",)

    def __init__(self, observer: abc.ObserverBase[Any]) -> None:
        self.observer = observer

    def on_next(self, item: T) -> None:
        self.observer.on_next(item)

    def on_error(self, error: Exception) -> None:
        self.observer.on_error(error)

    def on_completed(self) -> None:
        self.observer.on_completed()


abc.ObserverBase.register(Hop)  # reactivex asks for its own class here and there


def lift(
    source: Observable[T],
    hop: Hop[T] | Guard[T] | abc.ObserverBase[T],
    scheduler: abc.SchedulerBase | None,
) -> DisposableBase:
    """Subscribe for an operator that passes ends on: the guard downstream is guard enough.

    `subscribe` puts an observer in between that stops after an end, which is one call more per
    item, and an object more per stream; the one that the operator itself has does the same.
    """
    observer = cast("abc.ObserverBase[T]", hop)
    subscribe = source._subscribe_core  # pyright: ignore[reportPrivateUsage]  # as said above
    return _disposable(subscribe(observer, scheduler))


def _disposable(given: object) -> DisposableBase:
    """What a source gives to leave it by, which may be a function, or nothing."""
    if hasattr(given, "dispose"):
        return cast("DisposableBase", given)
    return Disposable(cast("Callable[[], None] | None", given))


def lifted(
    make: Callable[[abc.ObserverBase[Any]], Hop[Any]],
) -> Callable[[Observable[Any]], Observable[Any]]:
    """The operator of a hop, which is made for each subscription from who is downstream."""

    def operator(source: Observable[Any]) -> Observable[Any]:
        def subscribe(
            observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None
        ) -> DisposableBase:
            return lift(source, make(observer), scheduler)

        return Observable(subscribe)

    return operator


def ignore(*_: object) -> None:
    """The consumer who only wants the stream to run."""
