"""When a source fails: try again, or try another.

Both are one thing, attempts one after the other. They differ in whom they ask next, and when.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias, TypeVar

from reactivex import Observable, abc
from reactivex.abc import DisposableBase

from rxchat.errors import (
    AllFailed,
    CallbackFailed,
    CannotResume,
    ChatError,
    UsageError,
    is_fatal,
    is_retryable,
    noted,
)
from rxchat.events import Reset
from rxchat.operators.arguments import function, number, whole
from rxchat.operators.asking.budgets import Budget
from rxchat.operators.asking.commit import (
    Attempt,
    Commit,
    Heard,
    Rule,
    anything,
    commit_rule,
    some_streams,
)
from rxchat.operators.asking.seams import without_echo
from rxchat.stream import Scope, Stream, wrap

__all__ = ["AfterCommit", "exponential", "fallback", "fallback_to", "retry"]

T = TypeVar("T")

AfterCommit: TypeAlias = Literal["raise", "restart", "resume"]
"""What to do with a failure when part of the answer has been heard.

`"raise"`: pass the error on; it knows the `partial` text. `"restart"`: `Reset("restart")`, and
then the next attempt from its start. `"resume"`: `Reset("resume")`, and then what the next source
adds to the partial text. The `Reset` comes when the next attempt commits.
"""

Source: TypeAlias = Observable[T] | Callable[[str], Observable[T]]  # or a function of the partial


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
    budget: Budget | None = None,
    commit: Commit = "content",
    after_commit: Literal["raise", "restart"] = "raise",
) -> Callable[[Observable[T]], Observable[T]]:
    """Try up to `attempts` times in all, but never again what has been heard.

    `when` tells which errors are worth it; `backoff` gives the seconds before each retry, unless
    the error itself says how long to wait. An error that asks for more than `max_wait` seconds
    is passed on at once, and so is any when the `budget` is spent. `commit` says when an attempt
    counts as heard; `after_commit="restart"` begins again even then, and says so with a `Reset`.
    """
    whole("retry", attempts=attempts)  # all of them, the first included
    function("retry", when=when)
    function("retry", optional=True, backoff=backoff)
    number("retry", least=0, max_wait=max_wait)
    if not isinstance(budget, Budget | None):
        raise UsageError(f"retry(budget=) takes a rxchat.Budget to share, not {budget!r}")
    if after_commit not in ("raise", "restart"):
        raise UsageError(
            f'retry(after_commit=) is "raise" or "restart", not {after_commit!r}; '
            'to go on from a partial answer, use rxchat.fallback(..., after_commit="resume")'
        )
    rule = commit_rule(commit)
    pause = backoff or exponential()

    def wait(errors: Sequence[Exception]) -> float | Exception:
        error = errors[-1]
        if len(errors) == attempts or not when(error):
            return error
        asked = error.retry_after if isinstance(error, ChatError) else None
        if asked is not None and asked > max_wait:
            return noted(error, f"not tried again: {asked} s is more than {max_wait=} s")
        seconds = float(pause(len(errors)) if asked is None else asked)
        if not 0 <= seconds < math.inf:
            raise UsageError(f"backoff gives the seconds to wait, not {seconds}")
        if budget is not None and not budget.takes():
            return noted(error, f"not tried again: the budget is spent, {budget!r}")
        return seconds

    def op(source: Observable[T]) -> Observable[T]:
        def subscribe(
            observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None
        ) -> DisposableBase:
            if budget is not None:
                budget.asked()

            def ask(number: int, partial: str) -> Observable[T]:
                return source

            return _Attempts(observer, Scope.of(scheduler), ask, wait, rule, after_commit)

        return Observable(subscribe)

    return op


def fallback(
    *streams: Source[T],
    when: Callable[[Exception], bool] = anything,
    commit: Commit = "content",
    after_commit: AfterCommit = "raise",
) -> Stream[T]:
    """The first stream that speaks: when one fails before that, the next is tried.

    If all fail, `AllFailed` has every error. `when` tells which errors move on to the next. A
    stream that ends well without content ends the whole: to say nothing is no failure. `commit`
    says when a stream has spoken; `after_commit` what to do if it fails then. With `"resume"`,
    the streams after the first are functions that make a stream of the text so far, which is
    empty if there is none yet.
    """
    function("fallback", when=when)
    resuming = after_commit == "resume"
    if after_commit not in ("raise", "restart", "resume"):
        raise UsageError(
            f'fallback(after_commit=) is "raise", "restart" or "resume", not {after_commit!r}'
        )
    some_streams("fallback", streams[:1] if resuming else streams)
    for stream in streams[1:] if resuming else ():
        if not callable(stream):
            raise UsageError(
                "to resume, streams after the first are functions of the text so far: fallback("
                "a, lambda partial: b([question, rxchat.assistant(partial)]), ...)"
            )
    rule = commit_rule(commit)

    def ask(number: int, partial: str) -> Observable[T]:
        source = streams[number]
        return source(partial) if callable(source) else source

    def turn(errors: Sequence[Exception]) -> float | Exception:
        if not when(errors[-1]):
            return _after(errors)
        return AllFailed("all streams failed", errors) if len(errors) == len(streams) else 0.0

    def subscribe(
        observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None
    ) -> DisposableBase:
        return _Attempts(observer, Scope.of(scheduler), ask, turn, rule, after_commit)

    return wrap(Observable(subscribe), "fallback")


def fallback_to(
    *others: Source[T],
    when: Callable[[Exception], bool] = anything,
    commit: Commit = "content",
    after_commit: AfterCommit = "raise",
) -> Callable[[Observable[T]], Observable[T]]:
    """`fallback` as an operator: `stream.pipe(ops.fallback(other))`."""
    return lambda source: fallback(
        source, *others, when=when, commit=commit, after_commit=after_commit
    )


class _Attempts(DisposableBase):
    """One subscription: attempts one after the other.

    `ask` gives the source of the n-th, from 0; `turn` tells from all errors so far how many
    seconds to wait for the next, or the error to end with.
    """

    def __init__(
        self,
        observer: abc.ObserverBase[Any],
        scope: Scope,
        ask: Callable[[int, str], Observable[Any]],
        turn: Callable[[Sequence[Exception]], float | Exception],
        rule: Rule,
        after_commit: AfterCommit,
    ) -> None:
        self._observer = observer
        self._scope = scope
        self._ask = ask
        self._turn = turn
        self._rule = rule
        self._after_commit = after_commit
        self._heard = Heard()
        self._errors: list[Exception] = []
        self._spoken = False  # whether an attempt has committed
        self._current: Attempt
        self._timer: asyncio.TimerHandle | None = None
        self._begin()

    def dispose(self) -> None:
        self._current.dispose()
        if self._timer is not None:
            self._timer.cancel()

    def _begin(self) -> None:
        seam = self._seam() if self._spoken else None
        self._current = attempt = Attempt(
            self._observer, self._rule, self._heard, failed=self._failed, seam=seam
        )
        resumed = seam is not None and seam.kind == "resume"
        partial = self._heard.text if resumed else ""
        try:
            source = self._ask(len(self._errors), partial)
            if not isinstance(source, Observable):
                raise UsageError(
                    "to resume, a function gives a stream that goes on from the text so far, "
                    f"not {type(source).__name__}; it may not be async"
                )
        except Exception as bug:
            attempt.on_error(bug if isinstance(bug, ChatError) else CallbackFailed.by(bug))
            return
        attempt.start(source.pipe(without_echo(partial)) if partial else source, self._scope)

    def _seam(self) -> Reset:
        error = self._errors[-1]
        goes_on = self._after_commit == "resume" and self._heard.text != ""
        kind: Literal["restart", "resume"] = "resume" if goes_on else "restart"
        what = error.message if isinstance(error, ChatError) else str(error)
        return Reset(kind, f"{type(error).__name__}: {what}")

    def _failed(self, error: Exception) -> None:
        self._errors.append(error)
        self._spoken = self._spoken or self._current.committed
        self._heard.told(error, self._current.committed)
        try:
            verdict = self._verdict(error)
        except Exception as bug:  # in `when` or `backoff`
            self._errors.append(CallbackFailed.by(bug))
            verdict = _after(self._errors)
        if isinstance(verdict, Exception):
            self._observer.on_error(self._heard.told(verdict, self._spoken))
        else:
            self._timer = self._scope.loop.call_later(verdict, self._begin)

    def _verdict(self, error: Exception) -> float | Exception:
        """Seconds before the next attempt, or the error to end with."""
        if is_fatal(error) or (self._spoken and self._after_commit == "raise"):
            return _after(self._errors)
        if self._spoken and (obstacle := self._obstacle()):
            failure = CannotResume(f"{obstacle}; it was cut by {type(error).__name__}: {error}")
            failure.__cause__ = error
            return failure
        return self._turn(self._errors)

    def _obstacle(self) -> str | None:
        """Why there can be no seam in what has been heard."""
        heard = self._heard
        heard.settle()
        if heard.strings:
            return "a stream of texts has no place for a Reset: recover before ops.text()"
        if self._after_commit == "resume" and heard.calls:
            return "nobody can go on with half a tool call"
        if self._after_commit == "resume" and heard.choices:
            return "nobody can go on with several answers at once"
        return None


def _after(errors: Sequence[Exception]) -> Exception:
    """The last error, which remembers those before it."""
    for earlier in errors[:-1]:
        noted(errors[-1], f"before it: {type(earlier).__name__}: {earlier}")
    return errors[-1]
