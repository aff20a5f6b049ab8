"""JSON that comes in pieces, each character read once, however it is cut.

    text ─ JsonReader ─ parts of values ─ Parts (a builder, see json_values)

Strategy. The reader is a machine whose step for what may stand next is a function; each step takes
a token, or as much of it as is there. No text is kept but the number, literal or key that is cut,
and a cut escape. Escapes are left to `json`, so that they mean what they mean there.

https://www.rfc-editor.org/rfc/rfc8259
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from rxchat.errors import BadAnswer, EmptyAnswer, Garbled, Truncated

__all__ = ["JsonReader", "Parts"]


class Parts(Protocol):
    """What takes the parts of values, in the order of the text."""

    def open(self, container: list[Any] | dict[str, Any], /) -> None:
        """An array or an object begins; the container is new, and empty."""

    def close(self) -> None:
        """The innermost array or object ends."""

    def key(self, name: str, /) -> None:
        """The next value has this name."""

    def put(self, value: Any, /, *, whole: bool) -> None:
        """A text, number or literal; of a text that is not whole, more comes."""

    def more(self, text: str, /, *, whole: bool) -> None:
        """The text that was put last goes on."""


_SPACE = re.compile(r"[ \t\n\r]++")
_ATOM = re.compile(r"[-+.0-9A-Za-z]*+")
_ATOM_BEGINS = frozenset("-0123456789tfnNI")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*+)(\.[0-9]++)?([eE][-+]?[0-9]++)?")
_LITERALS = {
    "true": True,
    "false": False,
    "null": None,
    "NaN": float("nan"),  # this and the next two are Python's, not the standard's
    "Infinity": float("inf"),
    "-Infinity": float("-inf"),
}

# A text, up to its end or to an escape of which more must come: the first half of a surrogate pair
# is one, too, until what follows it is there.
_HEX = "[0-9a-fA-F]"
_HIGH = f"u[dD][89abAB]{_HEX}{{2}}"
_CUT = rf"\\(?:u{_HEX}{{0,3}})?\Z"
_ESCAPE = rf'\\(?:["\\/bfnrt]|(?!{_HIGH})u{_HEX}{{4}}|{_HIGH}(?!\Z|{_CUT}))'
_TEXT = {
    True: re.compile(rf'(?:[^"\\\x00-\x1f]++|{_ESCAPE})*+'),
    False: re.compile(rf'(?:[^"\\]++|{_ESCAPE})*+'),
}
_CUT_ESCAPE = re.compile(rf"{_CUT}|\\{_HIGH}(?:\Z|{_CUT})")
_unescaped = json.JSONDecoder(strict=False).decode

# Where prose comes first, what must follow a bracket for it to be none of the prose's.
_BRACKET = re.compile(r"[\[{]")
_FOLLOWS = {"{": frozenset('"}'), "[": frozenset(']{["-0123456789')}
_EXCERPT = 80


class JsonReader:
    """Reads one JSON text, in pieces, into `parts`; raises what is wrong with it, and where.

    Not `strict`, it passes over prose and code fences around the first object or array, and lets
    control characters stand in texts, as `json.loads(..., strict=False)` does.
    """

    def __init__(self, parts: Parts, *, strict: bool) -> None:
        self._parts = parts
        self._strict = strict
        self._text_of = _TEXT[strict]
        self._step: _Step = JsonReader._value if strict else JsonReader._prose
        self._closers: list[str] = []  # of what is open
        self._pieces: list[str] = []  # of the number, literal or key that is cut
        self._cut = ""  # of an escape
        self._bracket = ""  # that may be one of the prose's
        self._before = 0  # characters before the text at hand
        self._prose_said = ""

    def feed(self, text: str) -> None:
        """Take the next piece."""
        if not text:
            return
        if self._cut:
            text, self._cut = self._cut + text, ""
        at, end = 0, len(text)
        while at < end:
            at = self._step(self, text, at)
        self._before += end - len(self._cut)

    def close(self) -> None:
        """Take the end of the text."""
        if self._step is JsonReader._atom and not self._closers:
            self._end_atom(0)
        if self._step is not JsonReader._rest:
            raise self._unfinished()

    # Around the value --------------------------------------------------------------------------

    def _prose(self, text: str, at: int) -> int:
        """Whatever stands before the value."""
        found = _BRACKET.search(text, at)
        end = found.start() if found else len(text)
        said = text[at:end] if len(self._prose_said) < _EXCERPT else ""
        self._prose_said = (self._prose_said + said).lstrip()[:_EXCERPT]
        if found is None:
            return end
        if not self._prose_said:
            self._step = JsonReader._value
            return end
        self._bracket = text[end]
        self._step = JsonReader._doubt
        return end + 1

    def _doubt(self, text: str, at: int) -> int:
        """What follows a bracket that may be one of the prose."""
        if space := _SPACE.match(text, at):
            return space.end()
        if text[at] in _FOLLOWS[self._bracket]:
            self._open(self._bracket)
        elif self._bracket == "[" and text[at] in _ATOM_BEGINS:
            self._step = JsonReader._doubted_literal
        else:
            self._doubted(self._bracket)
        return at

    def _doubted_literal(self, text: str, at: int) -> int:
        """`[true` is JSON, `[the` is not."""
        found = _ATOM.match(text, at)
        end = found.end() if found else at
        self._pieces.append(text[at:end])
        if end < len(text):
            word = "".join(self._pieces)
            if word in _LITERALS:
                self._open("[")
                self._step = JsonReader._atom
            else:
                self._pieces.clear()
                self._doubted(f"[{word}")
        return end

    def _doubted(self, said: str) -> None:
        self._prose_said = (self._prose_said + said)[:_EXCERPT]
        self._step = JsonReader._prose

    def _rest(self, text: str, at: int) -> int:
        """Whatever stands behind the value."""
        return self._otherwise(text, at, "the end") if self._strict else len(text)

    # Inside the value --------------------------------------------------------------------------

    def _value(self, text: str, at: int) -> int:
        begins = text[at]
        if begins == '"':
            return self._text(text, at + 1, self._parts.put)
        if begins in _FOLLOWS:
            self._open(begins)
            return at + 1
        if begins in _ATOM_BEGINS:
            self._step = JsonReader._atom
            return at
        return self._otherwise(text, at, "a value")

    def _open(self, bracket: str) -> None:
        if bracket == "{":
            self._parts.open({})
            self._closers.append("}")
            self._step = JsonReader._first_key
        else:
            self._parts.open([])
            self._closers.append("]")
            self._step = JsonReader._first_value

    def _close(self) -> None:
        self._parts.close()
        self._closers.pop()
        self._value_ends()

    def _value_ends(self) -> None:
        self._step = JsonReader._comma if self._closers else JsonReader._rest

    def _first_value(self, text: str, at: int) -> int:
        if text[at] == "]":
            self._close()
            return at + 1
        return self._value(text, at)

    def _comma(self, text: str, at: int) -> int:
        closer = self._closers[-1]
        if text[at] == ",":
            self._step = JsonReader._key if closer == "}" else JsonReader._value
        elif text[at] == closer:
            self._close()
        else:
            return self._otherwise(text, at, f"',' or '{closer}'")
        return at + 1

    def _first_key(self, text: str, at: int) -> int:
        if text[at] == "}":
            self._close()
            return at + 1
        return self._key(text, at)

    def _key(self, text: str, at: int) -> int:
        if text[at] == '"':
            self._step = JsonReader._inside_key
            return self._inside_key(text, at + 1)
        return self._otherwise(text, at, "a name in double quotes")

    def _inside_key(self, text: str, at: int) -> int:
        piece, at, whole = self._read(text, at)
        self._pieces.append(piece)
        if whole:
            self._parts.key("".join(self._pieces))
            self._pieces.clear()
            self._step = JsonReader._colon
        return at

    def _colon(self, text: str, at: int) -> int:
        if text[at] == ":":
            self._step = JsonReader._value
            return at + 1
        return self._otherwise(text, at, "':'")

    def _inside_text(self, text: str, at: int) -> int:
        return self._text(text, at, self._parts.more)

    def _text(self, text: str, at: int, take: Callable[..., None]) -> int:
        piece, at, whole = self._read(text, at)
        take(piece, whole=whole)
        if whole:
            self._value_ends()
        else:
            self._step = JsonReader._inside_text
        return at

    def _read(self, text: str, start: int) -> tuple[str, int, bool]:
        """What is there of a text without its escapes, where it ends, and whether it is whole."""
        found = self._text_of.match(text, start)
        end = found.end() if found else start
        piece = text[start:end]
        if "\\" in piece:
            piece = _unescaped(f'"{piece}"')
        if end == len(text):
            return piece, end, False
        if text[end] == '"':
            return piece, end + 1, True
        if not _CUT_ESCAPE.match(text, end):
            known = "an escape that JSON knows" if text[end] == "\\" else "no control character"
            raise self._garbled(end, f"expected {known}, not {text[end]!r}")
        self._cut = text[end:]
        return piece, len(text), False

    def _atom(self, text: str, at: int) -> int:
        """A number or a literal, which ends where something else begins."""
        found = _ATOM.match(text, at)
        end = found.end() if found else at
        self._pieces.append(text[at:end])
        if end < len(text):
            self._end_atom(end)
        return end

    def _end_atom(self, end: int) -> None:
        atom = "".join(self._pieces)
        self._pieces.clear()
        try:
            value = _LITERALS[atom] if atom in _LITERALS else _number(atom)
        except ValueError as error:
            raise self._garbled(end - len(atom), f"expected a value, {error}") from None
        self._parts.put(value, whole=True)
        self._value_ends()

    # What is wrong -----------------------------------------------------------------------------

    def _otherwise(self, text: str, at: int, expected: str) -> int:
        """What stands where no token begins: space, or what must not stand there."""
        if space := _SPACE.match(text, at):
            return space.end()
        raise self._garbled(at, f"expected {expected}, not {text[at]!r}")

    def _garbled(self, at: int, why: str) -> Garbled:
        return Garbled(f"the answer is not JSON: {why}, after {self._before + at} characters")

    def _unfinished(self) -> BadAnswer:
        before_it = (JsonReader._prose, JsonReader._doubted_literal, JsonReader._value)
        if not self._closers and self._step in before_it:
            if not self._prose_said:
                return EmptyAnswer("the answer has no JSON, and nothing else")
            said = self._prose_said[:_EXCERPT].rstrip()
            return Garbled(f"the answer has no JSON object or array: {said!r}")
        heard = self._before + len(self._cut)
        return Truncated(f"the answer ended inside its JSON, after {heard} characters")


_Step: TypeAlias = Callable[[JsonReader, str, int], int]


def _number(atom: str) -> int | float:
    found = _NUMBER.fullmatch(atom)
    if found is None:
        raise ValueError(f"not {atom[:_EXCERPT]!r}")
    try:
        return float(atom) if found[1] or found[2] else int(atom)
    except ValueError:  # https://docs.python.org/3/library/stdtypes.html#int-max-str-digits
        raise ValueError(f"not a whole number of {len(atom)} digits") from None
