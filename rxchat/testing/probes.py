"""Put a probe into a pipeline, and ask it later what happened there.

    probe = Probe()
    stream = openai("Hi").pipe(probe, ops.retry(3))     # or Probe(openai("Hi")).stream
    ...
    assert (probe.subscribed, probe.failed, probe.completed, probe.live) == (3, 2, 1, 0)

It changes nothing: items, ends and demand pass through as they come.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from attrs import Factory, define, field
from reactivex import Observable, abc
from reactivex.abc import DisposableBase
from reactivex.disposable import Disposable

from rxchat.errors import UsageError
from rxchat.stream import Gate, Hop, Scope, Stream, lift, wrap
from rxchat.testing.exchange import Bell

__all__ = ["Outcome", "Probe", "Run"]

T = TypeVar("T")
A = TypeVar("A")

Outcome: TypeAlias = Literal["live", "completed", "failed", "hung up"]


class _Ear(Gate):
    """A gate that counts how often the demand of another one closes it."""

    __slots__ = ("pauses",)

    def __init__(self, time: Callable[[], float]) -> None:
        super().__init__(time)
        self.pauses = 0

    def pause(self) -> None:
        super().pause()
        self.pauses += 1


@define(eq=False)
class Run(Generic[T]):
    """One subscription, and what has become of it; times are the loop's, in seconds."""

    began: float
    _gate: _Ear = field(repr=False)
    ended: float | None = None
    outcome: Outcome = "live"
    error: Exception | None = None
    items: list[T] = Factory(list[Any])
    times: list[float] = field(factory=list[float], repr=False)
    """When each of the items came."""

    @property
    def pauses(self) -> int:
        """How often the consumer was too slow."""
        return self._gate.pauses

    @property
    def paused_for(self) -> float:
        """For how many seconds in all."""
        return self._gate.paused_for


class Probe(Generic[T]):
    """An operator that remembers what has passed, and how each subscription ended.

    >>> from rxchat import operators as ops
    >>> from rxchat.testing import said
    >>> probe = Probe(said("--#", "-a-b|"))
    >>> probe.stream.pipe(ops.retry(2, backoff=lambda number: 0)).run().reason
    'stop'
    >>> probe
    <Probe: subscribed 2 times; 1 failed, 1 completed; 3 items>
    >>> probe.runs[0].error
    ConnectionLost('as drawn')
    """

    def __init__(self, stream: Observable[T] | None = None) -> None:
        self.runs: list[Run[T]] = []
        self._stream = stream
        self._bell = Bell()

    @property
    def stream(self) -> Stream[T]:
        """The stream that was given, with this probe in it."""
        if self._stream is None:
            raise UsageError("write Probe(stream).stream, or stream.pipe(probe)")
        return wrap(self(self._stream), "probe")

    @property
    def subscribed(self) -> int:
        """How often somebody has asked for the stream."""
        return len(self.runs)

    @property
    def live(self) -> int:
        """How many subscriptions are neither over nor hung up."""
        return self._count("live")

    @property
    def completed(self) -> int:
        """How many ended well."""
        return self._count("completed")

    @property
    def failed(self) -> int:
        """How many ended with an error."""
        return self._count("failed")

    @property
    def hung_up(self) -> int:
        """How many were left by the consumer before their end."""
        return self._count("hung up")

    @property
    def items(self) -> list[T]:
        """What has passed, over all subscriptions."""
        return [item for run in self.runs for item in run.items]

    @property
    def errors(self) -> list[Exception]:
        """What they failed with."""
        return [run.error for run in self.runs if run.error is not None]

    @property
    def pauses(self) -> int:
        """How often a consumer was too slow."""
        return sum(run.pauses for run in self.runs)

    @property
    def paused_for(self) -> float:
        """For how many seconds in all."""
        return sum(run.paused_for for run in self.runs)

    async def until(self, reached: Callable[[Probe[T]], bool]) -> None:
        """Wait until something is so: `await probe.until(lambda it: it.hung_up == 1)`."""
        await self._bell.until(lambda: reached(self))

    def __call__(self, source: Observable[A]) -> Observable[A]:
        def subscribe(
            observer: abc.ObserverBase[A], scheduler: abc.SchedulerBase | None = None
        ) -> DisposableBase:
            scope = Scope.of(scheduler)
            listening: _Listening[Any] = _Listening(observer, scope, self._bell)
            self.runs.append(listening.run)
            self._bell.ring()
            try:
                upstream = lift(source, listening, scope)
            except Exception as error:
                listening.over("failed", error)
                raise

            def leave() -> None:
                listening.over("hung up")
                upstream.dispose()

            return Disposable(leave)

        return Observable(subscribe)

    def __repr__(self) -> str:
        kinds: tuple[Outcome, ...] = ("failed", "completed", "hung up", "live")
        ends = [f"{self._count(kind)} {kind}" for kind in kinds if self._count(kind)]
        facts = [f"subscribed {self.subscribed} times", ", ".join(ends), f"{len(self.items)} items"]
        return f"<Probe: {'; '.join(fact for fact in facts if fact)}>"

    def _count(self, outcome: Outcome) -> int:
        return sum(run.outcome == outcome for run in self.runs)


class _Listening(Hop[T]):
    """What notes down one subscription."""

    __slots__ = ("_bell", "_release", "_time", "run")

    def __init__(self, observer: abc.ObserverBase[T], scope: Scope, bell: Bell) -> None:
        super().__init__(observer)
        self._bell = bell
        self._time = scope.loop.time
        ear = _Ear(self._time)
        self._release = scope.gate.govern(ear)
        self.run: Run[T] = Run(self._time(), ear)

    def on_next(self, item: T) -> None:
        self.run.items.append(item)
        self.run.times.append(self._time())
        self._bell.ring()
        self.observer.on_next(item)

    def on_error(self, error: Exception) -> None:
        self.over("failed", error)
        self.observer.on_error(error)

    def on_completed(self) -> None:
        self.over("completed")
        self.observer.on_completed()

    def over(self, outcome: Outcome, error: Exception | None = None) -> None:
        """Note how it ended, once."""
        if self.run.outcome == "live":
            self.run.outcome, self.run.error, self.run.ended = outcome, error, self._time()
            self._release()
            self._bell.ring()
