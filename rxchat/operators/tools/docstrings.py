"""Docstrings: what they say, and what they say about each parameter."""

from __future__ import annotations

import inspect
import re

__all__ = ["read_docstring"]

_PARAMETERS = {"args", "arguments", "parameters", "other parameters", "keyword arguments"}
# These tell the programmer, not the model.
_OTHERS = {"returns", "return", "yields", "raises", "warns", "example", "examples", "see also"}

_UNDERLINE = re.compile(r"-{3,}\s*")
_SPHINX = re.compile(r":(?P<what>\w+)(?P<subject>[^:]*):\s*(?P<text>.*)")
_GOOGLE = re.compile(r"\s*\*{0,2}(?P<name>\w+)\s*(?:\(.*?\))?\s*:(?P<text>.*)")
_NUMPY = re.compile(r"\s*\*{0,2}(?P<name>\w+)\s*(?::.*)?(?P<text>)")


def read_docstring(docstring: str) -> tuple[str, dict[str, str]]:
    '''The text of a docstring, and what it tells about parameters, each on one line.

    Parameters are found under "Args:" (Google), under an underlined "Parameters" (NumPy), and as
    ":param name:" (Sphinx). Sections about what a function returns and raises, and examples, are
    left out.

    >>> read_docstring("""Add two numbers.
    ...
    ... Args:
    ...     a: One of them,
    ...         whichever.
    ...     b (int): The other.
    ... """)
    ('Add two numbers.', {'a': 'One of them, whichever.', 'b': 'The other.'})
    '''
    reading = _Reading()
    lines = inspect.cleandoc(docstring).split("\n")
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if not _UNDERLINE.fullmatch(line):
            reading.read(line, underlined=_UNDERLINE.fullmatch(below) is not None)
    told = {name: " ".join(" ".join(bits).split()) for name, bits in reading.told.items()}
    return "\n".join(reading.text).strip(), {name: words for name, words in told.items() if words}


class _Reading:
    """Where the reader is: `into` is where a line goes that begins nothing new."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.told: dict[str, list[str]] = {}
        self._into: list[str] | None = self.text
        self._entry: re.Pattern[str] | None = None  # what begins a parameter in this section
        self._depth: int | None = None  # of the lines that do; None before the first
        self._underlined = False  # such a section lasts until the next
        self._example = False  # such a thing lasts until a blank line

    def read(self, line: str, *, underlined: bool) -> None:
        indent = len(line) - len(line.lstrip())
        heading = line.strip().removesuffix(":").lower()
        is_heading = not indent and (underlined or line.rstrip().endswith(":"))
        if is_heading and heading in _PARAMETERS | _OTHERS:
            pattern = _NUMPY if underlined else _GOOGLE
            self._begin(None, pattern if heading in _PARAMETERS else None)
            self._underlined = underlined
        elif not indent and (field := _SPHINX.match(line)):
            name = field["subject"].split()[-1:] if field["what"].startswith("param") else []
            self._begin(self.told.setdefault(name[0], []) if name else None)
            self._add(field["text"])
        elif self._into is self.text and line.lstrip().startswith(">>>"):
            self._begin(None)
            self._example = True
        elif not line.strip():
            if self._example:
                self._begin(self.text)
            self._add("")
        elif self._depth in (None, indent) and self._entry and (begun := self._entry.match(line)):
            self._depth = indent
            self._into = self.told.setdefault(begun["name"], [])
            self._add(begun["text"])
        else:
            if not (indent or self._underlined or self._example):
                self._begin(self.text)
            self._add(line)

    def _begin(self, into: list[str] | None, entry: re.Pattern[str] | None = None) -> None:
        self._into, self._entry, self._depth = into, entry, None
        self._underlined = self._example = False

    def _add(self, line: str) -> None:
        if self._into is not None:
            self._into.append(line)
