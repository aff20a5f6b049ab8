"""When a source fails before the first content: try again, or try another."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

from reactivex import Observable, abc
from reactivex.abc import DisposableBase
from reactivex.disposable import SerialDisposable

from rxchat.errors import AllFailed, CallbackFailed, ChatError, UsageError, is_fatal, is_retryable
from rxchat.operators.commit import Attempt, anything, some_streams
from rxchat.stream import Scope, Stream, wrap

__all__ = ["exponential", "fallback", "fallback_to", "retry"]

T = TypeVar("T")


def exponential(
    base: float = 0.5, most: float = 8.0, chance: Callable[[], float] = random.random
) -> Callable[[int], float]:
    """Seconds before the n-th retry: at random up to a cap that doubles each time (full jitter).

    >>> pause = exponential(base=1, most=4, chance=lambda: 1)
    >>> [pause(retries) for retries in (1, 2, 3, 4)]
    [1, 2, 4, 4]
    """
    return lambda retries: min(most, base * 2 ** (retries - 1)) * chance()


def retry(
    attempts: int = 3,
    *,
    when: Callable[[Exception], bool] = is_retryable,
    backoff: Callable[[int], float] | None = None,
    max_wait: float = 60.0,
) -> Callable[[Observable[T]], Observable[T]]:
    """Try up to `attempts` times in all, but never again after the first content.

    `when` tells which errors are worth it; `backoff` gives the seconds before each retry, unless
    the error itself says how long to wait. An error that asks for more than `max_wait` seconds
    is passed on at once.
    """
    if attempts < 1:
        raise UsageError(f"retry(attempts) counts all attempts: at least 1, not {attempts}")
    pause = backoff or exponential()

    def wait(error: Exception, number: int) -> float | None:
        """Seconds before the next attempt; None if there is to be none."""
        if is_fatal(error) or number == attempts or not when(error):
            return None
        asked = error.retry_after if isinstance(error, ChatError) else None
        if asked is not None and asked > max_wait:
            _note(error, f"not tried again: {asked} s is more than {max_wait=} s")
            return None
        return float(pause(number) if asked is None else asked)

    def op(source: Observable[T]) -> Observable[T]:
        def subscribe(
            observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None
        ) -> DisposableBase:
            scope = Scope.of(scheduler)
            current = SerialDisposable()

            def attempt(number: int) -> None:
                def failed(error: Exception) -> None:
                    try:
                        seconds = wait(error, number)
                    except Exception as bug:  # in `when` or `backoff`
                        seconds, error = None, CallbackFailed.by(bug)
                    if seconds is None:
                        observer.on_error(error)
                    else:
                        current.disposable = scope.schedule_relative(
                            seconds, lambda scheduler, state: attempt(number + 1)
                        )

                current.disposable = this = Attempt(observer, failed=failed)
                this.start(source, scope)

            attempt(1)
            return current

        return Observable(subscribe)

    return op


def fallback(*streams: Observable[T], when: Callable[[Exception], bool] = anything) -> Stream[T]:
    """The first stream that speaks: when one fails before its first content, the next is tried.

    If all fail, `AllFailed` has every error. `when` tells which errors move on to the next. A
    stream that ends well without content ends the whole: to say nothing is no failure.
    """
    some_streams("fallback", streams)

    def subscribe(
        observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None
    ) -> DisposableBase:
        scope = Scope.of(scheduler)
        current = SerialDisposable()
        errors: list[Exception] = []

        def attempt(place: int) -> None:
            def failed(error: Exception) -> None:
                errors.append(error)
                try:
                    last = is_fatal(error) or not when(error)
                except Exception as bug:
                    last = True
                    errors.append(CallbackFailed.by(bug))
                if last:
                    observer.on_error(_after(errors))
                elif place + 1 == len(streams):
                    observer.on_error(AllFailed("all streams failed", errors))
                else:
                    attempt(place + 1)

            current.disposable = this = Attempt(observer, failed=failed)
            this.start(streams[place], scope)

        attempt(0)
        return current

    return wrap(Observable(subscribe), "fallback")


def _after(errors: Sequence[Exception]) -> Exception:
    """The last error, which remembers those before it."""
    for earlier in errors[:-1]:
        _note(errors[-1], f"before it: {type(earlier).__name__}: {earlier}")
    return errors[-1]


def _note(error: Exception, note: str) -> None:
    if note not in getattr(error, "__notes__", ()):  # the stream may have been run before
        error.add_note(note)


def fallback_to(
    *others: Observable[T], when: Callable[[Exception], bool] = anything
) -> Callable[[Observable[T]], Observable[T]]:
    """`fallback` as an operator: `stream.pipe(ops.fallback(other))`."""
    return lambda source: fallback(source, *others, when=when)
