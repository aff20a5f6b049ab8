"""The calls of an answer: which piece belongs to which call, and what the pieces come to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rxchat.events import ToolCall

__all__ = ["TURN", "Calls", "whole_call"]

TURN = "rxchat.turn"  # the name of the `Other` between two turns of one stream: calls begin anew


class Calls:
    """Gives the calls of an answer their places, whatever the service says about them.

    Pieces belong together by their index; by their id, where the index is missing or the same for
    all; a piece without either goes on with the last one, unless it names another function. An id
    or a name that is said again says nothing new.
    """

    def __init__(self) -> None:
        # By index and id; the last one of each index also without its id.
        self._calls: dict[tuple[int, Any, str], ToolCall] = {}
        self._last: dict[int, Any] = {}
        self._made: dict[int, int] = {}

    def piece(
        self,
        index: object,
        id_: str,
        name: str,
        arguments: str,
        choice: int = 0,
        opaque: Any = None,
    ) -> ToolCall:
        """A piece of a call, at the place of its call."""
        if not isinstance(index, int | str):
            index = id_ or self._last.get(choice)
        self._last[choice] = index
        calls, last = self._calls, (choice, index, "")
        known = calls.get((choice, index, id_)) or calls.get(last)
        if known is None or _is_another(known, id_, name):
            place = self._made[choice] = self._made.get(choice, -1) + 1
            known = ToolCall(place)
        fresh = ToolCall(
            known.index,
            "" if known.id else id_,
            "" if known.name else name,
            arguments,
            choice,
            opaque,
        )
        call = ToolCall(known.index, known.id or id_, known.name or name)
        calls[last] = calls[choice, index, call.id] = call
        return fresh

    def placed(self, said: ToolCall) -> ToolCall:
        """A piece that is an event already, at the place of its call.

        >>> calls = Calls()
        >>> calls.placed(ToolCall(0, "a", "f", "{")), calls.placed(ToolCall(0, "a", "f", "}"))
        (ToolCall(index=0, id='a', name='f', arguments='{', choice=0, opaque=None), \
ToolCall(index=0, id='', name='', arguments='}', choice=0, opaque=None))
        >>> calls.placed(ToolCall(0, "b", "f", "{")).index
        1
        """
        return self.piece(said.index, said.id, said.name, said.arguments, said.choice, said.opaque)

    def made(self, choice: int = 0) -> bool:
        """Whether there was any."""
        return choice in self._made


def _is_another(call: ToolCall, id_: str, name: str) -> bool:
    if id_ and call.id:
        return id_ != call.id
    return bool(name and call.name) and name != call.name


def whole_call(pieces: Sequence[ToolCall]) -> ToolCall:
    """The call that its pieces come to; no arguments are an empty object.

    >>> whole_call([ToolCall(0, "a", "f"), ToolCall(0)]).arguments
    '{}'
    """
    first = pieces[0]
    arguments = "".join(piece.arguments for piece in pieces)
    return ToolCall(
        first.index,
        next((piece.id for piece in pieces if piece.id), ""),
        next((piece.name for piece in pieces if piece.name), ""),
        arguments if arguments.strip() else "{}",
        first.choice,
        next((piece.opaque for piece in pieces if piece.opaque), None),
    )
