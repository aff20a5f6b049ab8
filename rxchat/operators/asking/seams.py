"""Where an answer was cut and goes on from another source: what is echoed is taken out.

A model that is asked to go on often repeats the last words first. So the beginning of the new
text is held back while it may still be an echo of the end of the old one.
"""

from __future__ import annotations

from typing import Any

import msgspec
from reactivex import abc

from rxchat.events import Event, Finish, Refusal, Text, ToolCall
from rxchat.stream import Hop, Op, lifted

__all__ = ["overlap", "without_echo"]

REACH = 400  # characters of the old text that an echo may begin in
LEAST = 4  # characters that make an echo; fewer are chance


def overlap(old: str, new: str, *, more: bool = False) -> int | None:
    """How many characters of `new` echo the end of `old`; None if `more` text may yet tell.

    >>> overlap("The sky is blue bec", "blue because"), overlap("The sky is", " blue")
    (8, 0)
    >>> overlap("The sky is blue", "blue", more=True), overlap("The sky is blue", "sky", more=True)
    (4, None)
    """
    tail = old[-REACH:]
    if more and (tail.find(new, 0, -1) >= 0 or (new != old and old.startswith(new))):
        return None
    if len(old) >= LEAST and new.startswith(old):  # it has begun from the start
        return len(old)
    for size in range(min(len(tail), len(new)), 0, -1):
        if tail.endswith(new[:size]):
            return size if size >= min(LEAST, len(old)) else 0
    return 0


def without_echo(partial: str) -> Op[Event, Event]:
    """Leave out what the answer repeats of the end of `partial`."""

    return lifted(lambda observer: _EchoLess(observer, partial))


class _EchoLess(Hop[Event]):
    __slots__ = ("_last", "_new", "_old")

    def __init__(self, observer: abc.ObserverBase[Any], old: str) -> None:
        super().__init__(observer)
        self._old = old
        self._new = ""  # the text so far, held back
        self._last: Text | None = None  # of which the held text is

    def on_next(self, item: Event) -> None:
        if self._old and type(item) is Text:
            self._new += item.text
            self._last = item
            self._decide(more=True)
            return
        if type(item) in (Finish, Refusal, ToolCall):  # there is no more text to come
            self._decide(more=False)
        self.observer.on_next(item)

    def on_completed(self) -> None:
        self._decide(more=False)
        self.observer.on_completed()

    def _decide(self, *, more: bool) -> None:
        echoed = overlap(self._old, self._new, more=more)
        if echoed is None or self._last is None:
            return
        rest, piece = self._new[echoed:], self._last
        self._old, self._last = "", None
        if rest:
            self.observer.on_next(msgspec.structs.replace(piece, text=rest))
