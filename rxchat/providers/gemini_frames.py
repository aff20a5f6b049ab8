"""How Gemini's responses are framed: in three ways, two of them in the same body."""

from __future__ import annotations

import re

from msgspec import Raw

from rxchat.framing import SSE, Frame, FramingError, JSONArray

__all__ = ["ContentFrames"]

_BRACKET = re.compile(rb"\n[{\[]")
_BLANK = b" \t\r\n\xef\xbb\xbf"  # with the bytes of a BOM


class ContentFrames:
    r"""Decodes server-sent events, a JSON array, or events and then an object without any framing.

    Google's servers report a failure in the last of these forms; by the standard of events its
    lines are unknown fields, which are skipped. No line of an event begins with a bracket: where
    one does, all the rest is JSON.

    >>> frames = ContentFrames()
    >>> [frame.data for frame in frames.feed(b'data: {"a": 1}\r\n\r\n{\n "error"')]
    ['{"a": 1}']
    >>> [frame.data for frame in frames.feed(b': {}\n}')], frames.close()
    (['{\n "error": {}\n}'], [])
    """

    def __init__(self) -> None:
        self._events = SSE()
        self._json: JSONArray[Raw] | None = None
        self._at_start = self._at_line = True

    def feed(self, data: bytes, /) -> list[Frame]:
        """Take the next bytes and give the responses that they complete."""
        if self._json is not None:
            return self._elements(self._json, data, [])
        if self._at_start:
            data = data.lstrip(_BLANK)
            self._at_start = not data
        begin = self._bracket(data)
        if begin is None:
            return self._events.feed(data)
        self._json = JSONArray(Raw)
        before = [*self._events.feed(data[:begin]), *self._events.close()]
        return self._elements(self._json, data[begin:], before)

    def close(self) -> list[Frame]:
        """Take the end of the input: JSON must be complete by then."""
        if self._json is None:
            return self._events.close()
        self._json.close()
        return []

    def _bracket(self, data: bytes) -> int | None:
        """Where the first line begins that begins with a bracket."""
        if self._at_line and data[:1] in (b"{", b"["):
            return 0
        if data:
            self._at_line = data.endswith(b"\n")
        found = _BRACKET.search(data)
        return found and found.start() + 1

    def _elements(self, array: JSONArray[Raw], data: bytes, before: list[Frame]) -> list[Frame]:
        try:
            return [*before, *map(_frame, array.feed(data))]
        except FramingError as error:
            error.before = [*before, *map(_frame, error.before)]
            raise


def _frame(element: Raw) -> Frame:
    return Frame(bytes(element).decode("utf-8", "replace"))
