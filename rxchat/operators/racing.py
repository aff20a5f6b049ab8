"""Ask several at once, hear one."""

from __future__ import annotations

from typing import TypeVar

from reactivex import Observable, abc
from reactivex.abc import DisposableBase
from reactivex.disposable import CompositeDisposable

from rxchat.errors import AllFailed, is_fatal
from rxchat.operators.commit import Attempt, some_streams
from rxchat.stream import Scope, Stream, wrap

__all__ = ["race"]

T = TypeVar("T")


def race(*streams: Observable[T]) -> Stream[T]:
    """The stream with the first content; the others are hung up in the same moment.

    A stream that fails or ends without content is out, and the others go on. If all of them
    fail, `AllFailed` has every error. If nobody speaks but one ends well, so does the race.
    """
    some_streams("race", streams)

    def subscribe(
        observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None
    ) -> DisposableBase:
        scope = Scope.of(scheduler)
        runners: list[Attempt] = []
        all_runners = CompositeDisposable()
        errors: dict[int, Exception] = {}
        silent: list[Attempt] = []
        over = False

        def won(winner: Attempt) -> None:
            nonlocal over
            over = True
            for runner in runners:
                if runner is not winner:
                    runner.dispose()

        def out() -> None:
            """End the race when nobody is left in it."""
            nonlocal over
            if over or len(errors) + len(silent) < len(streams):
                return
            over = True
            if silent:
                silent[0].complete()
            else:
                failures = [errors[place] for place in sorted(errors)]
                observer.on_error(AllFailed("all streams failed", failures))

        def enter(place: int) -> Attempt:
            def failed(error: Exception) -> None:
                nonlocal over
                if is_fatal(error):
                    over = True
                    all_runners.dispose()
                    observer.on_error(error)
                else:
                    errors[place] = error
                    out()

            def ended(attempt: Attempt) -> None:
                silent.append(attempt)
                out()

            runner = Attempt(observer, failed=failed, ended=ended, committed=lambda: won(runner))
            return runner

        for place in range(len(streams)):
            runners.append(enter(place))
            all_runners.add(runners[-1])
        try:
            for runner, stream in zip(runners, streams, strict=True):
                if not over:  # a stream that speaks at once leaves the rest unasked
                    runner.start(stream, scope)
        except Exception:
            all_runners.dispose()  # those who run already
            raise
        return all_runners

    return wrap(Observable(subscribe), "race")
