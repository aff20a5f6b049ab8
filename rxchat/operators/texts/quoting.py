"""The text that is inside JSON goes through a shaper, and the JSON stays valid."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from rxchat.operators.texts.shaping import Shaper

__all__ = ["Quoted"]

LONGEST = 64  # characters of a number; what is longer is read as two

# What is inside a string as far as it is whole: an escape may be cut, and so may the two that
# make one character. An escape that is none is taken for text.
_INSIDE = re.compile(
    r"""(?: [^"\\]
          | \\ [^u]
          | \\u (?![dD][89abAB]) [\da-fA-F]{4}
          | \\u [dD][89abAB] [\da-fA-F]{2}
                (?: \\u [\da-fA-F]{4} | (?= [^\\] | \\[^u] | \\u [\da-fA-F]{0,3} [^\da-fA-F] ) )
          | \\u (?= [\da-fA-F]{0,3} [^\da-fA-F] )
          )*+""",
    re.VERBOSE | re.DOTALL,
)
_WORD = re.compile(rf"[-+.\w]{{1,{LONGEST}}}")  # a number, true, false or null
_BETWEEN = re.compile(r'[^-+.\w"]+')
_ESCAPE = re.compile(
    r"\\u([dD][89abAB][\da-fA-F]{2})\\u([dD][c-fC-F][\da-fA-F]{2})|\\u([\da-fA-F]{4})|\\(.)",
    re.DOTALL,
)
_NAMED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "/": "/"}
_LONE = re.compile("[\ud800-\udfff]")


class Quoted:
    """JSON in pieces, to JSON in pieces: its strings and numbers are what the shaper gives.

    A number that is changed becomes a string. It holds what the shaper does, and an escape, or a
    number of up to 64 characters.
    """

    __slots__ = ("_held", "_inside", "_shaper")
    over = None

    def __init__(self, shaper: Shaper) -> None:
        self._shaper = shaper
        self._held = ""
        self._inside = False

    def feed(self, text: str, /) -> list[str]:
        return self._read(text, closing=False)

    def close(self) -> list[str]:
        rest = self._read("", closing=True)
        if self._inside:  # it was cut there
            rest += _written([*self._shaper.feed(self._held), *self._shaper.close()])
        self._held, self._inside = "", False
        return rest

    def _read(self, text: str, *, closing: bool) -> list[str]:
        text, at, shown = self._held + text, 0, list[str]()
        while at < len(text):
            if self._inside:
                end = _end(_INSIDE, text, at)
                shown += _written(self._shaper.feed(_ESCAPE.sub(_meant, text[at:end])))
                at = end
                if text[at : at + 1] != '"':
                    break
                shown += [*_written(self._shaper.close()), '"']
                at, self._inside = at + 1, False
            elif text[at] == '"':
                shown.append('"')
                at, self._inside = at + 1, True
            elif (end := _end(_WORD, text, at)) > at:
                if end == len(text) and not closing and end - at < LONGEST:
                    break
                shown.append(self._bare(text[at:end]))
                at = end
            else:
                end = _end(_BETWEEN, text, at)
                shown.append(text[at:end])
                at = end
        self._held = text[at:]
        return shown

    def _bare(self, word: str) -> str:
        shown = "".join([*self._shaper.feed(word), *self._shaper.close()])
        return word if shown == word else f'"{"".join(_written([shown]))}"'


def _end(pattern: re.Pattern[str], text: str, start: int) -> int:
    match = pattern.match(text, start)
    return match.end() if match else start


def _meant(escape: re.Match[str]) -> str:
    high, low, code, name = escape.groups()
    if high:
        return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00)
    return chr(int(code, 16)) if code else _NAMED.get(name, escape[0])


def _written(pieces: Iterable[str]) -> Iterable[str]:
    for piece in pieces:
        quoted = json.dumps(piece, ensure_ascii=False)[1:-1]
        yield _LONE.sub(lambda half: f"\\u{ord(half[0]):04x}", quoted)
