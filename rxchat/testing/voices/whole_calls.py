"""How a service speaks whose calls of tools come whole, whatever pieces were planned."""

from __future__ import annotations

from typing import Any

import msgspec

from rxchat.events import Event, ToolCall
from rxchat.testing.exchange import Exchange
from rxchat.testing.voices.voice import Storyteller

__all__ = ["WholeCalls"]


class WholeCalls(Storyteller):
    """A storyteller that says calls when they are whole, or when anything else is said."""

    def __init__(self, exchange: Exchange | None = None) -> None:
        super().__init__(exchange)
        self._calls: dict[tuple[int, int], ToolCall] = {}  # which are not said yet

    def say(self, piece: str | Event, /) -> bytes:
        """The words of a piece, after those of the calls that waited for theirs."""
        if not isinstance(piece, ToolCall):
            return self._waiting() + super().say(piece)
        place = piece.choice, piece.index
        begun = self._calls.get(place)
        self._calls[place] = piece if begun is None else _joined(begun, piece)
        return self._waiting() if all(map(_is_whole, self._calls.values())) else b""

    def end(self) -> bytes:
        """The words of the calls that still wait, and of the end."""
        return self._waiting() + super().end()

    def _waiting(self) -> bytes:
        calls, self._calls = self._calls, {}
        return b"".join([Storyteller.say(self, call) for call in calls.values()])


def _joined(begun: ToolCall, piece: ToolCall) -> ToolCall:
    return ToolCall(
        begun.index,
        begun.id or piece.id,
        begun.name or piece.name,
        begun.arguments + piece.arguments,
        begun.choice,
        begun.opaque or piece.opaque,
    )


def _is_whole(call: ToolCall) -> bool:
    try:
        msgspec.json.decode(call.arguments, type=dict[str, Any])
    except msgspec.DecodeError:
        return False
    return True
