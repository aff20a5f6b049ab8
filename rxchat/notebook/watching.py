"""How to ask for a recording: around many pipelines, or in one."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from reactivex import Observable, abc
from reactivex.abc import DisposableBase

from rxchat.errors import UsageError
from rxchat.notebook.recording import Recording
from rxchat.stream import Scope

__all__ = ["lane", "watch"]

T = TypeVar("T")

_recording: ContextVar[Recording | None] = ContextVar("rxchat.notebook.recording", default=None)


@contextmanager
def watch(title: str = "") -> Generator[Recording]:
    """Record every `lane` that is subscribed to inside, in this task and in those that it starts.

    >>> from rxchat.testing import Scripted, run_virtual
    >>> async def main():
    ...     with watch() as run:
    ...         await Scripted(0.4, "Hel", 0.2, "lo", 0.4)("Hi").pipe(lane("openai"))
    ...     return run
    >>> print(run_virtual(main()).text(50))
    openai ................*--------o---------------|
           0                  0.5 s                1 s
    """
    run = Recording(title)
    token = _recording.set(run)
    try:
        yield run
    finally:
        _recording.reset(token)


def lane(name: str, run: Recording | None = None) -> _Named:
    """Record one stream, under a name: in `run`, or in that of the `watch` around it.

    Without either it has a recording of its own, which is its `run`.
    """
    if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UsageError(f"lane(name) takes a text, not {name!r}")
    if not isinstance(run, Recording | None):  # pyright: ignore[reportUnnecessaryIsInstance]
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
        self._run = self._run or _recording.get() or Recording()
        return self._run

    def __call__(self, source: Observable[T]) -> Observable[T]:
        def subscribe(
            observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None
        ) -> DisposableBase:
            scope = Scope.of(scheduler)
            run = self._run or _recording.get() or self.run
            return run.begin(self._name, "named", scope).listen(source, observer, scope)

        return Observable(subscribe)
