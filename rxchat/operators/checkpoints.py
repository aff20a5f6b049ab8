"""Names for places in a pipeline, so that an error tells which way it came."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from reactivex import Observable, abc

from rxchat.errors import UsageError, noted
from rxchat.stream import Hop, lifted

__all__ = ["checkpoint"]

T = TypeVar("T")


def checkpoint(name: str) -> Callable[[Observable[T]], Observable[T]]:
    """Pass everything on; an error gets a note that it passed here.

    With several checkpoints the end of the traceback reads as the way that the error took:

    >>> from rxchat.errors import Truncated
    >>> from rxchat.testing import Scripted
    >>> answer = Scripted(Truncated("cut"))("Hi").pipe(checkpoint("phone"), checkpoint("screen"))
    >>> try:
    ...     answer.run()
    ... except Truncated as error:
    ...     print(*error.__notes__, sep="\\n")
    passed checkpoint 'phone'
    passed checkpoint 'screen'
    """
    if not isinstance(name, str):
        raise UsageError(f"checkpoint(name) takes a text, not {name!r}")
    note = f"passed checkpoint {name!r}"

    return lifted(lambda observer: cast("Hop[Any]", _Checkpoint(observer, note)))


class _Checkpoint(Generic[T]):
    """Downstream's own ears, but for errors: an item takes no time here."""

    __slots__ = ("_note", "_on_error", "on_completed", "on_next")

    def __init__(self, observer: abc.ObserverBase[T], note: str) -> None:
        self.on_next = observer.on_next
        self.on_completed = observer.on_completed
        self._on_error = observer.on_error
        self._note = note

    def on_error(self, error: Exception) -> None:
        self._on_error(noted(error, self._note))


abc.ObserverBase.register(_Checkpoint)
