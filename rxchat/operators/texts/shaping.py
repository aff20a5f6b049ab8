"""What transforms the text of a stream, as one idea: the same text out at any cut.

A `Shaper` gets text in pieces and gives text in pieces; it does no I/O and knows no events.
`shaped` makes an operator of it, for streams of texts and of events alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar, cast

import msgspec
from reactivex import Observable, abc

from rxchat.errors import CallbackFailed, ChatError
from rxchat.events import Finish, Reasoning, Refusal, Reset, Text, ToolCall
from rxchat.stream import Hop, lifted

__all__ = ["Shaper", "piece_of", "shaped"]

T = TypeVar("T")


class Shaper(Protocol):
    """Text in pieces, to text in pieces; what is held back comes with `close`."""

    @property
    def over(self) -> str | None:
        """Why no more text is wanted, if so: the answer ends here, and the request is hung up."""

    def feed(self, text: str, /) -> Iterable[str]: ...
    def close(self) -> Iterable[str]: ...


def piece_of(item: object, choice: int = 0) -> str | None:
    """The text of an item of a stream of texts, or of events; None if it has none.

    >>> piece_of("a"), piece_of(Text("a")), piece_of(Text("a", choice=1)), piece_of(Finish())
    ('a', 'a', None, None)
    """
    if type(item) is Text:
        return item.text if item.choice == choice else None
    return item if isinstance(item, str) else None


def shaped(make: Callable[[], Shaper]) -> Callable[[Observable[T]], Observable[T]]:
    """The operator of a shaper: a new one for each subscription, and each answer of several.

    In a stream of events, text is shaped and everything else passes. What is held back comes out
    before the end of its answer, before a tool call or a refusal, and before an error; it is
    forgotten at a `Reset` that restarts. When all answers that were heard of have ended here, the
    request is hung up: one of several that has not begun by then is not heard.
    """

    return lifted(lambda observer: _Shaping(observer, make))


_OF_AN_ANSWER = frozenset({Finish, ToolCall, Refusal, Reasoning})


class _Shaping(Hop[Any]):
    __slots__ = ("_emit", "_ends", "_last", "_make", "_shapers")

    def __init__(self, observer: abc.ObserverBase[Any], make: Callable[[], Shaper]) -> None:
        super().__init__(observer)
        self._emit = observer.on_next
        self._make = make
        self._shapers: dict[int, Shaper] = {}
        self._ends: list[Finish] = []  # of answers that have ended here
        self._last: dict[int, Text | str] = {}  # the latest item of each answer, as a pattern

    def on_next(self, item: Any) -> None:
        kind = cast("type[object]", type(item))
        if kind is Text or kind is str:
            self._shape(item)
        elif kind in _OF_AN_ANSWER:
            self._pass(item, kind)
        elif isinstance(item, str):  # of a kind of its own
            self._shape(str(item))
        else:
            if kind is Reset and item.kind == "restart":
                self._shapers.clear()
                self._ends.clear()
            self._emit(item)

    def _pass(self, item: Any, kind: type[object]) -> None:
        """Pass what belongs to an answer, unless that has ended here."""
        if kind is Finish:  # of several answers, all finish at the very end
            self._flush_all()
            self._tell()
        elif kind is not Reasoning:
            self._flush(item.choice, last=False)
        if not self._is_over(item.choice):
            self._emit(item)

    def on_error(self, error: Exception) -> None:
        self._flush_all()
        self.observer.on_error(error)

    def on_completed(self) -> None:
        self._flush_all()
        self._tell()
        self.observer.on_completed()

    def _shape(self, item: Any) -> None:
        text, choice, opaque = item, 0, False
        if type(item) is Text:
            text, choice, opaque = item.text, item.choice, item.opaque is not None
        shaper = self._shapers.get(choice)
        if shaper is None:
            shaper = self._shapers[choice] = self._make()
        elif shaper.over is not None:
            return
        self._last[choice] = item
        try:
            pieces = [*shaper.feed(text)]
            if opaque:  # a part of its own, which ends here
                pieces += shaper.close()
        except Exception as bug:
            self._failed(bug)
            return
        self._give(choice, pieces, opaque=opaque)
        if shaper.over is not None:
            self._end(choice, shaper.over)

    def _flush_all(self) -> None:
        for choice in [*self._shapers]:
            self._flush(choice)

    def _flush(self, choice: int, *, last: bool = True) -> None:
        """Give what is held; the answer may go on after a tool call or a refusal."""
        shaper = self._shapers.get(choice)
        if shaper is None or shaper.over is not None:
            return
        try:
            pieces = [*shaper.close()]
        except Exception as bug:
            self._failed(bug)
            return
        self._give(choice, pieces)
        if shaper.over is not None:
            self._end(choice, shaper.over)
        elif last:
            self._shapers.pop(choice, None)

    def _give(self, choice: int, pieces: list[str], *, opaque: bool = False) -> None:
        if not pieces and not opaque:
            return
        pattern = self._last[choice]
        if isinstance(pattern, str):
            for piece in pieces:
                self._emit(piece)
            return
        *pieces, last = pieces or [""]
        for piece in pieces:
            self._emit(Text(piece, choice))
        self._emit(msgspec.structs.replace(pattern, text=last) if opaque else Text(last, choice))

    def _is_over(self, choice: int) -> bool:
        shaper = self._shapers.get(choice)
        return shaper is not None and shaper.over is not None

    def _end(self, choice: int, why: str) -> None:
        """Finish an answer here; when all are finished, hang up."""
        if type(self._last[choice]) is Text:
            self._ends.append(Finish("stop", why, choice))
        if all(map(self._is_over, self._shapers)):
            self._tell()
            self.observer.on_completed()

    def _tell(self) -> None:
        """Say which answers have ended here: at the very end, as all answers' ends are."""
        ends, self._ends = self._ends, []
        for end in ends:
            self._emit(end)

    def _failed(self, bug: Exception) -> None:
        self._shapers.clear()
        self.observer.on_error(bug if isinstance(bug, ChatError) else CallbackFailed.by(bug))
