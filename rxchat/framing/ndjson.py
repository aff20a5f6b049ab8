"""Newline-delimited JSON, as Ollama streams it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

from msgspec.json import Decoder as JSONDecoder

from rxchat.framing.decoder import LIMIT, FramingError, WholeParts
from rxchat.framing.json_text import read_json

__all__ = ["NDJSON"]

T = TypeVar("T")


class NDJSON(Generic[T]):
    r"""Decodes one JSON value per line; blank lines are skipped.

    https://github.com/ndjson/ndjson-spec

    >>> ndjson = NDJSON()
    >>> ndjson.feed(b'{"a": 1}\n\n{"a"'), ndjson.feed(b': 2}\r\n{"a": 3}'), ndjson.close()
    ([{'a': 1}], [{'a': 2}], [{'a': 3}])

    Only LF ends a line: CR is JSON white space, and U+2028 and U+0085 are text. The last line
    may lack its LF, if what is there is a value.
    """

    @overload
    def __init__(self: NDJSON[Any], *, limit: int = ...) -> None: ...
    @overload
    def __init__(self, type: type[T], *, limit: int = ...) -> None: ...
    @overload
    def __init__(self: NDJSON[Any], type: Any, *, limit: int = ...) -> None: ...
    def __init__(self, type: Any = Any, *, limit: int = LIMIT) -> None:
        self._decode: Callable[[bytes], T] = JSONDecoder(type).decode
        self._lines = WholeParts(b"\n", limit)

    def feed(self, data: bytes, /) -> list[T]:
        """Take the next bytes and give the values of the lines that they complete."""
        values: list[T] = []
        decode = self._decode
        for line in self._lines.feed(data).split(b"\n"):
            if line:
                try:
                    values.append(decode(line))
                except (ValueError, RecursionError):
                    if line.strip(b" \t\r"):
                        values.append(read_json(decode, line, before=values))
        if self._lines.overlong:
            raise FramingError(
                "a line is too long", "too-long", excerpt=self._lines.overlong, before=values
            )
        return values

    def close(self) -> list[T]:
        """Take the end of the input and give the value of a last line without its LF."""
        rest = self._lines.rest()
        return [read_json(self._decode, rest, at_end=True)] if rest.strip(b" \t\r") else []
