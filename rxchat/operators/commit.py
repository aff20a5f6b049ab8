"""What has been heard is not asked again: one attempt at an answer, and when it commits.

Until the first content, lifecycle events are held back, so that an attempt that fails leaves no
trace. From then on everything is passed through, the error too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from reactivex import Observable, abc
from reactivex.disposable import SingleAssignmentDisposable

from rxchat.errors import UsageError
from rxchat.events import is_content
from rxchat.stream import Scope

__all__ = ["Attempt", "anything", "some_streams"]

HELD = 1024  # lifecycle events that wait for content; one more counts as content


class Attempt(SingleAssignmentDisposable):
    """One subscription to one source; `failed` and `ended` are asked only before the commit."""

    def __init__(
        self,
        observer: abc.ObserverBase[Any],
        *,
        failed: Callable[[Exception], None],
        ended: Callable[[Attempt], None] | None = None,
        committed: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self.committed = False
        self._observer = observer
        self._emit = observer.on_next
        self._failed = failed
        self._ended = ended or Attempt.complete
        self._on_commit = committed
        self._held: list[Any] = []

    def start(self, source: Observable[Any], scope: Scope) -> None:
        self.disposable = source.subscribe(
            self.on_next, self.on_error, self.on_completed, scheduler=scope
        )

    def on_next(self, item: Any) -> None:
        if self.committed:
            self._emit(item)
        elif is_content(item) or len(self._held) >= HELD:
            self.committed = True
            self._on_commit()
            self._release()
            self._emit(item)
        else:
            self._held.append(item)

    def on_error(self, error: Exception) -> None:
        if self.committed:
            self._observer.on_error(error)
        else:
            self._failed(error)

    def on_completed(self) -> None:
        if self.committed:
            self._observer.on_completed()
        else:
            self._ended(self)

    def complete(self) -> None:
        """End the whole stream with this attempt, although it had no content."""
        self._release()
        self._observer.on_completed()

    def _release(self) -> None:
        held, self._held = self._held, []
        for item in held:
            self._emit(item)


def some_streams(joining: str, streams: Sequence[object]) -> None:
    """Refuse to join nothing, or what is no stream, before anything is sent."""
    if not streams:
        raise UsageError(f"{joining}() needs at least one stream")
    for stream in streams:
        if not isinstance(stream, Observable):
            raise UsageError(
                f"{joining}() takes streams, not {type(stream).__name__}; "
                f"write {joining}(*streams) for a list of them"
            )


def anything(error: Exception) -> bool:
    """The default of `when`: every failure of a service counts."""
    return True
