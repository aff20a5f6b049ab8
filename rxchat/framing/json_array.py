"""One JSON array whose elements come over time, as Gemini streams without `alt=sse`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar, overload

from msgspec.json import Decoder as JSONDecoder

from rxchat.framing.decoder import BOM, LIMIT, FramingError
from rxchat.framing.json_text import read_json

__all__ = ["JSONArray"]

T = TypeVar("T")

# How far a look at an element can go in one step. An element is not parsed here, only its end is
# found: where the brackets balance, brackets in strings aside. msgspec judges what is within.
_SPACE: Final = re.compile(rb"[ \t\r\n]*")
_SCALAR: Final = re.compile(rb"[^ \t\r\n,\]}]*")
_STRING: Final = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_NESTED: Final = re.compile(rb'(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
_STEP: Final = {b"{": _NESTED, b"[": _NESTED, b'"': _STRING}
_QUOTE, _BACKSLASH = b'"\\'

# https://www.rfc-editor.org/rfc/rfc8259#section-5: what may stand around the elements, and what
# is expected after it. An element may begin with anything else: msgspec judges it.
_AFTER: Final = {
    ("an array", b"["): "an element or ']'",
    ("an element or ']'", b"]"): "nothing more",
    ("',' or ']'", b","): "an element",
    ("',' or ']'", b"]"): "nothing more",
}
_AFTER_ELEMENT: Final = {
    "an array": "nothing more",  # an object in its place
    "an element or ']'": "',' or ']'",
    "an element": "',' or ']'",
}


class JSONArray(Generic[T]):
    r"""Decodes one JSON array and gives each of its elements as soon as it is complete.

    >>> array = JSONArray()
    >>> array.feed(b'[{"a": 1}\n,\r\n{"a"'), array.feed(b": 2}"), array.feed(b"]"), array.close()
    ([{'a': 1}], [{'a': 2}], [], [])

    An object in place of the array, as services send to report an error, is given as it is.
    """

    @overload
    def __init__(self: JSONArray[Any], *, limit: int = ...) -> None: ...
    @overload
    def __init__(self, type: type[T], *, limit: int = ...) -> None: ...
    @overload
    def __init__(self: JSONArray[Any], type: Any, *, limit: int = ...) -> None: ...
    def __init__(self, type: Any = Any, *, limit: int = LIMIT) -> None:
        self._decode: Callable[[bytes], T] = JSONDecoder(type).decode
        self._limit = limit
        self._text = bytearray()  # from the element that is not complete, or what is not seen yet
        self._seen = 0  # how much of it has been looked at
        self._at_start = True
        self._expected = "an array"
        self._step: re.Pattern[bytes] | None = None  # None between elements
        self._depth = 0

    def feed(self, data: bytes, /) -> list[T]:
        """Take the next bytes and give the elements that they complete."""
        values: list[T] = []
        text = self._text
        text += data
        if self._at_start:
            if len(text) < len(BOM) and BOM.startswith(text):
                return values
            self._at_start = False
            if text.startswith(BOM):
                del text[: len(BOM)]
        begin, at = 0, self._seen
        while True:
            if self._step is None:
                begin = at = _end(_SPACE, text, at)
                if at == len(text):
                    break
                self._enter(text, at, values)
                at += 1
            else:
                at, complete = self._look(text, at, self._step)
                if at - begin > self._limit:
                    raise FramingError(
                        "an element is too long", "too-long", excerpt=text[begin:], before=values
                    )
                if not complete:
                    break
                self._step = None
                values.append(read_json(self._decode, text[begin:at], before=values))
        del text[:begin]
        self._seen = at - begin
        return values

    def close(self) -> list[T]:
        """Take the end of the input, which must be the end of the array."""
        if self._expected != "nothing more" or self._step:
            raise FramingError("the array is cut short", "truncated", excerpt=self._text)
        return []

    def _enter(self, text: bytearray, at: int, values: list[T]) -> None:
        # Take the byte at `at`, which stands around the elements or begins one.
        expected, byte = self._expected, bytes(text[at : at + 1])
        if after := _AFTER.get((expected, byte)):
            self._expected = after
        elif expected in _AFTER_ELEMENT and (
            byte == b"{" if expected == "an array" else byte not in b",]}"
        ):
            self._expected = _AFTER_ELEMENT[expected]
            self._step = _STEP.get(byte, _SCALAR)
            self._depth = 1 if self._step is _NESTED else 0
        else:
            raise FramingError(f"expected {expected}", excerpt=text[at:], before=values)

    def _look(self, text: bytearray, at: int, step: re.Pattern[bytes]) -> tuple[int, bool]:
        # Go on from `at` to the end of the element, or to the end of the text.
        while True:
            at = _end(step, text, at)
            byte = text[at] if at < len(text) else _BACKSLASH
            if byte == _BACKSLASH:  # the text ends here, perhaps within an escape
                self._step = step
                return at, False
            if step is _SCALAR:
                return at, True
            at += 1
            if byte == _QUOTE:  # the end of a string, or its beginning if its end has not come
                step = _NESTED if step is _STRING else _STRING
            else:
                self._depth += 1 if byte in b"{[" else -1
            if self._depth == 0:
                return at, True


def _end(step: re.Pattern[bytes], text: bytearray, at: int) -> int:
    found = step.match(text, at)
    return found.end() if found else at
