"""The calls of an answer, each one whole."""

from __future__ import annotations

import msgspec
from reactivex import abc

from rxchat.calls import TURN, Calls, whole_call
from rxchat.errors import Garbled, UsageError
from rxchat.events import Event, Finish, Other, Reset, ToolCall
from rxchat.stream import Hop, Op, lifted

__all__ = ["tool_calls"]


def tool_calls() -> Op[Event, ToolCall]:
    """The calls of the answer, each one whole, in the order in which they began.

    A call is given as soon as the next one begins, if its arguments are a whole JSON object then,
    and otherwise at the end of its answer. They are the calls of `rxchat.reply`: an id that is new
    begins a new call, also at the same index; no arguments are `{}`. Answers of several (`n=`) are
    kept apart by `choice`. Calls of an answer that fails are not given; after a `Reset` of kind
    "restart" those that were not whole yet are forgotten. Memory: the calls not yet given, and the
    ids and names of the others.

    >>> from rxchat import of
    >>> of(ToolCall(0, "a", "now"), ToolCall(0, arguments="{}"), Finish()).pipe(tool_calls()).run()
    ToolCall(index=0, id='a', name='now', arguments='{}', choice=0, opaque=None)
    """

    return lifted(lambda observer: _WholeCalls(observer))


class _WholeCalls(Hop[Event]):
    __slots__ = ("_emit", "_open")

    def __init__(self, observer: abc.ObserverBase[ToolCall]) -> None:
        super().__init__(observer)
        self._emit = observer.on_next
        self._open: dict[int, _Open] = {}  # by choice

    def on_next(self, item: Event) -> None:
        if type(item) is ToolCall:
            answer = self._open.get(item.choice)
            if answer is None:
                answer = self._open[item.choice] = _Open()
            try:
                before = answer.add(item)
            except Garbled as error:
                self.observer.on_error(error)
                return
            if before is not None:
                self._emit(before)
        elif type(item) is Finish:
            self._close(item.choice)
        elif type(item) is Reset and item.kind == "restart":
            self._open.clear()
        elif type(item) is Other and item.name == TURN:
            self._close(*self._open)
        elif isinstance(item, str):
            self.observer.on_error(
                UsageError("texts have no calls: put tool_calls() before text()")
            )

    def on_completed(self) -> None:
        self._close(*self._open)
        self.observer.on_completed()

    def _close(self, *choices: int) -> None:
        for choice in choices:
            answer = self._open.pop(choice, None)
            for pieces in answer.pieces.values() if answer is not None else ():
                self._emit(whole_call(pieces))


class _Open:
    """The calls of one answer that have not been given yet."""

    __slots__ = ("_calls", "_given", "pieces")

    def __init__(self) -> None:
        self.pieces: dict[int, list[ToolCall]] = {}
        self._calls = Calls()
        self._given = 0

    def add(self, said: ToolCall) -> ToolCall | None:
        """Note a piece; give the call before it, if that is whole now."""
        piece = self._calls.placed(said)
        if piece.index < self._given:
            if piece.arguments.strip():
                raise Garbled("a call goes on after its arguments were whole")
            return None
        if piece.index in self.pieces:
            self.pieces[piece.index].append(piece)
            return None
        before = [*self.pieces.values()]
        self.pieces[piece.index] = [piece]
        # Pieces of several calls may be mixed. Each call is looked at once, so that this is linear.
        if len(before) != 1 or not _is_object("".join(it.arguments for it in before[0])):
            return None
        self._given += 1
        return whole_call(self.pieces.pop(before[0][0].index))


_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _is_object(arguments: str) -> bool:
    try:
        _object.decode(arguments)
    except (ValueError, RecursionError):
        return False
    return True
