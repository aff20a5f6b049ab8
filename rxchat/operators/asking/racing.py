"""Ask several, hear one: all at once, or the next one when the first is slow."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import attrs
from reactivex import Observable, abc
from reactivex.abc import DisposableBase

from rxchat.errors import AllFailed, UsageError, is_fatal
from rxchat.events import Usage
from rxchat.operators.arguments import function
from rxchat.operators.asking.budgets import Budget
from rxchat.operators.asking.commit import Attempt, Commit, Heard, Rule, commit_rule, some_streams
from rxchat.operators.asking.meters import characters
from rxchat.stream import Call, Scope, Stream, Watch, wrap

__all__ = ["Loss", "hedge", "race"]

T = TypeVar("T")


@attrs.frozen
class Loss:
    """A stream that was asked in vain, and what that cost.

    `usage` is what the service said, or else estimated: a token for every four bytes asked and
    four characters heard. `error` is None if it was hung up because another one was heard.
    """

    place: int
    name: str
    seconds: float
    usage: Usage
    estimated: bool
    error: Exception | None = None


Lost: TypeAlias = Callable[[Loss], object]


def race(
    *streams: Observable[T], commit: Commit = "content", lost: Lost | None = None
) -> Stream[T]:
    """The stream with the first content; the others are hung up in the same moment.

    A stream that fails or ends without content is out, and the others go on. If all of them
    fail, `AllFailed` has every error. If nobody speaks but one ends well, so does the race.
    `commit` says what counts as the first content; `lost` is told of each `Loss`.
    """
    some_streams("race", streams)
    function("race", optional=True, lost=lost)
    rule = commit_rule(commit)

    def subscribe(
        observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None
    ) -> DisposableBase:
        contest = _Contest(observer, Scope.of(scheduler), streams, rule, lost)
        return contest.begin(len(streams))

    return wrap(Observable(subscribe), "race")


def hedge(
    *streams: Observable[T],
    after: float | str = "p95",
    max_extra: float | Budget | None = None,
    commit: Commit = "content",
    lost: Lost | None = None,
) -> Stream[T]:
    """A race in which the next stream starts only if those before it are slow, or have failed.

    `after` is how many seconds a stream may be silent before the next one is asked as well, or a
    percentile, `"p95"`, of the times to first content that streams of the same name have lately
    needed (as long as fewer than ten are known: 1 second). `max_extra` is the share of requests
    that may be sent because of slowness, over all hedges whose first stream has the same name;
    give a `Budget` to share it otherwise. What follows a failure is no extra request.
    """
    some_streams("hedge", streams)
    function("hedge", optional=True, lost=lost)
    rule = commit_rule(commit)
    patience = _patience(after)
    budget = _budget(max_extra, streams[0])

    def subscribe(
        observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None
    ) -> DisposableBase:
        if budget is not None:
            budget.asked()
        contest = _Contest(observer, Scope.of(scheduler), streams, rule, lost, patience, budget)
        return contest.begin(1)

    return wrap(Observable(subscribe), "hedge")


# How long to wait, and how often ------------------------------------------------------------------

KNOWN = 10  # times that must be known before a percentile means anything
BUDGET = 0.25  # seconds until a spent budget is looked at again
UNKNOWN = 1.0  # seconds to wait until then
RECENT = 128  # times that are remembered of each name
NAMES = 256  # names that are remembered

Patience: TypeAlias = Callable[[str], float]


class _Times:
    """How long streams of a name have lately needed for their first content."""

    def __init__(self) -> None:
        self._of: dict[str, deque[float]] = {}

    def note(self, name: str, seconds: float) -> None:
        times = self._of.pop(name, None) or deque(maxlen=RECENT)
        self._of[name] = times  # the last name is the latest
        times.append(seconds)
        if len(self._of) > NAMES:
            del self._of[next(iter(self._of))]

    def percentile(self, name: str, percent: float) -> float:
        times = sorted(self._of.get(name, ()))
        return times[int(len(times) * percent / 100)] if len(times) >= KNOWN else UNKNOWN


_times = _Times()
_budgets: dict[tuple[str, float], Budget] = {}


def _patience(after: float | str) -> Patience:
    if isinstance(after, str) and (found := re.fullmatch(r"p(\d{1,2}(?:\.\d+)?)", after)):
        percent = float(found[1])
        return lambda name: _times.percentile(name, percent)
    if isinstance(after, int | float) and not isinstance(after, bool) and 0 <= after < float("inf"):
        return lambda name: after
    raise UsageError(f'hedge(after=) is a number of seconds, or as "p95", not {after!r}')


def _budget(max_extra: float | Budget | None, first: Observable[Any]) -> Budget | None:
    if max_extra is None or isinstance(max_extra, Budget):
        return max_extra
    key = _name_of(first), max_extra
    budget = _budgets.pop(key) if key in _budgets else Budget(max_extra)
    _budgets[key] = budget  # the last one is the latest
    if len(_budgets) > NAMES:
        del _budgets[next(iter(_budgets))]
    return budget


def _name_of(stream: Observable[Any]) -> str:
    return stream.name if isinstance(stream, Stream) else "stream"


# One contest ------------------------------------------------------------------------------------


class _Contest(DisposableBase):
    """One subscription: some streams that run, some that are still to be asked, one that wins."""

    def __init__(
        self,
        observer: abc.ObserverBase[Any],
        scope: Scope,
        streams: tuple[Observable[Any], ...],
        rule: Rule,
        lost: Lost | None,
        patience: Patience | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.observer = observer
        self.scope = scope
        self._streams = streams
        self.rule = rule
        self.lost = lost
        self._patience = patience
        self._budget = budget
        self._runners: list[_Runner] = []
        self._errors: dict[int, Exception] = {}
        self._silent: list[_Runner] = []
        self._over = False
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, count: int) -> DisposableBase:
        """Ask so many at once."""
        for _ in range(count):
            if not self._over:  # a stream that speaks at once leaves the rest unasked
                self._ask_next()
        return self

    def dispose(self) -> None:
        self._hang_up(None)

    def _ask_next(self) -> None:
        runner = _Runner(self, len(self._runners))
        self._runners.append(runner)
        try:
            runner.start(self._streams[runner.place])
        except Exception:
            self._hang_up(None)
            raise
        self._wait()

    def _wait(self) -> None:
        """Have patience with the latest, if there is somebody else to ask."""
        if self._timer is not None:
            self._timer.cancel()
        if self._patience is None or self._over or len(self._runners) == len(self._streams):
            return
        seconds = self._patience(self._runners[-1].name)
        self._timer = self.scope.loop.call_later(seconds, self._too_slow)

    def _too_slow(self) -> None:
        if self._budget is None or self._budget.takes():
            self._ask_next()
        else:  # others may have saved up for one by then
            self._timer = self.scope.loop.call_later(BUDGET, self._too_slow)

    def _hang_up(self, winner: _Runner | None) -> None:
        """End the contest: whoever still runs has lost."""
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        for runner in self._runners:
            if winner is None:
                runner.attempt.dispose()
            elif runner is not winner:
                runner.attempt.lose()

    def won(self, winner: _Runner) -> None:
        losers = [
            each for each in self._runners if each is not winner and not each.attempt.is_stopped
        ]
        self._hang_up(winner)
        for runner in (winner, *losers):
            _times.note(runner.name, runner.seconds)  # a loser would have needed even longer
        for loser in losers:
            self._report(loser)

    def failed(self, runner: _Runner, error: Exception) -> None:
        if runner.attempt.committed:
            self.observer.on_error(runner.attempt.heard.told(error, spoken=True))
        elif is_fatal(error):
            self._hang_up(None)
            self.observer.on_error(error)
        else:
            runner.attempt.heard.told(error, spoken=False)
            self._errors[runner.place] = error
            self._report(runner, error)
            self._one_less()

    def ended(self, runner: _Runner) -> None:
        self._silent.append(runner)
        self._one_less()

    def _one_less(self) -> None:
        """Go on without one of them; end if nobody is left."""
        if self._over:
            return
        if len(self._runners) < len(self._streams):
            if self._patience is not None:  # in a race, the rest is being asked just now
                self._ask_next()
        elif len(self._errors) + len(self._silent) == len(self._streams):
            self._over = True
            if self._silent:
                self._silent[0].attempt.complete()
            else:
                failures = [self._errors[place] for place in sorted(self._errors)]
                self.observer.on_error(AllFailed("all streams failed", failures))

    def _report(self, runner: _Runner, error: Exception | None = None) -> None:
        if self.lost is None:
            return
        try:
            self.lost(runner.loss(error))
        except Exception as bug:
            self.scope.report("the callback that is told of a loss raised", bug)


class _Runner(Watch):
    """One of the streams of a contest, and what it costs."""

    __slots__ = ("_began", "_calls", "_scope", "attempt", "name", "place")

    def __init__(self, contest: _Contest, place: int) -> None:
        self.place = place
        self.attempt = Attempt(
            contest.observer,
            contest.rule,
            Heard(),
            failed=lambda error: contest.failed(self, error),
            ended=lambda: contest.ended(self),
            committed=lambda: contest.won(self),
        )
        self._calls: list[Call] = []
        self._scope = contest.scope.watched(self)

    def start(self, stream: Observable[Any]) -> None:
        self.name = _name_of(stream)
        self._began = self._scope.loop.time()
        self.attempt.start(stream, self._scope)

    def asked(self, call: Call) -> None:
        if not self._calls:  # before that it waited for its turn, which is not its slowness
            self._began = self._scope.loop.time()
        self._calls.append(call)

    @property
    def seconds(self) -> float:
        return self._scope.loop.time() - self._began

    def loss(self, error: Exception | None) -> Loss:
        held = self.attempt.held
        told = next((item for item in reversed(held) if type(item) is Usage), None)
        heard = sum(map(characters, held))
        asked = sum(call.asked for call in self._calls)
        usage = told or Usage(input=asked // 4, output=heard // 4)
        return Loss(self.place, self.name, self.seconds, usage, told is None, error)
