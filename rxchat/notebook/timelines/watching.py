"""How to ask for a recording: around all that is subscribed to, or in one pipeline."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TypeVar

from reactivex import Observable, abc
from reactivex.abc import DisposableBase

from rxchat.errors import UsageError
from rxchat.notebook.timelines.recording import Lane, Recording
from rxchat.stream import Scope, recording

__all__ = ["lane", "watch"]

T = TypeVar("T")


@contextmanager
def watch(title: str = "") -> Generator[Recording]:
    """Record what is subscribed to inside, in this task and in those that it starts.

    >>> from rxchat.testing import Scripted, run_virtual
    >>> async def main():
    ...     with watch() as run:
    ...         await Scripted(0.4, "Hel", 0.2, "lo", 0.4)("Hi").pipe(lane("openai"))
    ...     return run
    >>> print(run_virtual(main()).text(50))
    openai ................*--------o---------------|
           0                  0.5 s                1 s
    """
    if not isinstance(title, str):
        raise UsageError(f"watch(title) takes a text, not {title!r}; subscribe inside its block")
    run = Recording(title)
    token = recording.set(run)
    try:
        yield run
    finally:
        recording.reset(token)


def lane(name: str, run: Recording | None = None) -> _Named:
    """Record one stream, under a name: in `run`, or in that of the `watch` around it.

    Without either it has a recording of its own, which is its `run`.
    """
    if not isinstance(name, str):
        raise UsageError(f"lane(name) takes a text, not {name!r}")
    if not isinstance(run, Recording | None):
        raise UsageError(f"lane(run=) takes what watch() gives, not {run!r}")
    return _Named(name, run)


class _Named:
    """An operator that records each subscription to each stream that is piped through it."""

    def __init__(self, name: str, run: Recording | None) -> None:
        self._name = name
        self._run = run

    @property
    def run(self) -> Recording:
        """Where it records."""
        around = recording.get()
        if self._run is None:
            self._run = around if isinstance(around, Recording) else Recording()
        return self._run

    def __call__(self, source: Observable[T]) -> Observable[T]:
        def subscribe(
            observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None
        ) -> DisposableBase:
            scope = Scope.of(scheduler)
            around = scope.recorder
            if isinstance(around, Lane) and self._run in (None, around.run):
                return around.named(self._name, scope).listen(source, observer, scope)
            return self.run.begin(self._name, "named", scope).listen(source, observer, scope)

        return Observable(subscribe)
