"""Strings and regular expressions, found in text that comes in pieces.

Strategy. A place in the text is decided when no text to come could change what matches there.
Up to the first place that is not, everything is given away; from there on it is held. For strings
that place is the longest end of the text that begins one of them. For an expression, `regex` tells
it: it tries all ways to match, and says where one of them wants more text than there is. The
matches themselves are found by `re`, as in a text that is whole.

No place is held for longer than the longest match that its pattern may have: so what is kept is
bounded, and each character costs the same, however the text is cut.
"""

from __future__ import annotations

import importlib
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

from attrs import field, frozen

from rxchat.errors import UsageError

__all__ = ["LONGEST", "Finder", "Pattern", "Sought", "needles"]

LONGEST = 256  # characters of a match, unless you say so
BEHIND = 256  # characters before it that an expression may look back at
SLICE = 1024  # characters that are looked through at once, however large a piece is
FEW = 8  # places that are tried one by one; for more, a search is faster
BLANK = re.compile(r"\s")


def _compiled(regex: str | re.Pattern[str]) -> re.Pattern[str]:
    return re.compile(regex)


@frozen
class Pattern:
    """A regular expression that has no match longer than `longest`, and a check of what it finds.

    An expression says what a thing looks like; `check` may tell what it is, as by its checksum.
    """

    regex: re.Pattern[str] = field(converter=_compiled)
    longest: int = LONGEST
    check: Callable[[str], bool] | None = None


Sought: TypeAlias = str | re.Pattern[str] | Pattern


class Needle(Protocol):
    """What is looked for."""

    @property
    def longest(self) -> int: ...

    def undecided(self, text: str, start: int) -> int:
        """The first place from `start` on where text to come may change what matches."""
        ...

    def first(self, text: str, start: int, stop: int) -> re.Match[str] | None:
        """The first match that begins from `start` on, and before `stop`."""
        ...


def needles(
    sought: Sequence[Sought], *, longest: int = LONGEST, shortest: bool = False
) -> list[Needle]:
    """What finds them; of strings that begin alike the longest is found, or the shortest."""
    if not sought:
        raise UsageError("say what to look for: strings, or regular expressions (re.compile)")
    if longest < 1:
        raise UsageError(f"longest= is a number of characters, not {longest!r}")
    words = {item for item in sought if isinstance(item, str)}
    if "" in words:
        raise UsageError("an empty string is everywhere: leave it out")
    found: list[Needle] = [_Words(words, shortest)] if words else []
    for item in sought:
        if isinstance(item, Pattern):
            found.append(_Expression(item))
        elif isinstance(item, re.Pattern) and isinstance(item.pattern, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # users may give bytes
            found.append(_Expression(Pattern(item, longest)))
        elif not isinstance(item, str):
            raise UsageError(f"look for strings, re.compile(...) of a str or Pattern, not {item!r}")
    return found


class Finder:
    """Text in pieces, to text without matches and the matches, in order.

    Where two match at one place, the longer match counts. A match that outgrows its pattern's
    `longest` ends with the word that it is in: better too much than half a secret.
    """

    __slots__ = ("_at", "_needles", "_swallowing", "_text")

    def __init__(self, needles: Sequence[Needle]) -> None:
        self._needles = needles
        self._text = ""  # what was seen last, for what looks behind it, and what is held
        self._at = 0  # where the latter begins
        self._swallowing = False

    @property
    def kept(self) -> int:
        """How many characters are kept."""
        return len(self._text)

    def feed(self, text: str) -> Iterator[str | re.Match[str]]:
        for start in range(0, len(text), SLICE):
            self._text += text[start : start + SLICE]
            yield from self._look(whole=False)

    def close(self) -> Iterator[str | re.Match[str]]:
        yield from self._look(whole=True)
        self._text, self._at, self._swallowing = "", 0, False

    def _look(self, *, whole: bool) -> Iterator[str | re.Match[str]]:
        text, at, stop = self._text, self._at, -1
        nearest: list[re.Match[str] | None] = []  # of each needle, its first match before `stop`
        while at < len(text):
            if self._swallowing:
                blank = BLANK.search(text, at)
                at = blank.start() if blank else len(text)
                self._swallowing = blank is None
                continue
            if at > stop:
                stop = len(text)
                if not whole:
                    stop = min(needle.undecided(text, at) for needle in self._needles)
                nearest = [needle.first(text, at, stop) for needle in self._needles]
            for number, match in enumerate(nearest):
                if match and match.start() < at:  # it was overlapped by another
                    nearest[number] = self._needles[number].first(text, at, stop)
            number, match = _best(nearest)
            until = match.start() if match else stop
            if until > at:
                yield text[at:until]
            at = until
            if match is None:
                break
            yield match
            at = match.end()
            self._swallowing = at - until > self._needles[number].longest
        behind = max(0, at - BEHIND)
        self._text, self._at = text[behind:], at - behind


def _best(matches: Sequence[re.Match[str] | None]) -> tuple[int, re.Match[str] | None]:
    """The first match, of several at one place the longest, and its number."""
    best: tuple[int, re.Match[str] | None] = -1, None
    for number, match in enumerate(matches):
        if match and (best[1] is None or _rank(match) < _rank(best[1])):
            best = number, match
    return best


def _rank(match: re.Match[str]) -> tuple[int, int]:
    return match.start(), -match.end()


class _Words:
    """Strings: whatever the number of them, one search finds the first."""

    def __init__(self, words: set[str], shortest: bool) -> None:
        self._sorted = sorted(words)
        self.longest = max(map(len, words))
        by_length = sorted(self._sorted, key=len, reverse=not shortest)
        self._regex = re.compile("|".join(map(re.escape, by_length)))
        self._shortest = shortest
        self._firsts = re.compile("[" + "".join({re.escape(word[0]) for word in words}) + "]")

    def undecided(self, text: str, start: int) -> int:
        start = max(start, len(text) - self.longest + 1)
        while begins := self._firsts.search(text, start):
            start = begins.start()
            if self._goes_on(text[start:]):
                return start
            start += 1
        return len(text)

    def first(self, text: str, start: int, stop: int) -> re.Match[str] | None:
        match = self._regex.search(text, start)
        return match if match and match.start() < stop else None

    def _goes_on(self, tail: str) -> bool:
        """Whether a string that is to be found begins so, and is longer."""
        place = bisect_right(self._sorted, tail)
        begins = place < len(self._sorted) and self._sorted[place].startswith(tail)
        return begins and not (self._shortest and self._regex.match(tail))


class _Expression:
    def __init__(self, pattern: Pattern) -> None:
        if pattern.regex.match(""):
            raise UsageError(f"{pattern.regex.pattern!r} matches no text at all, so everywhere")
        self.longest = pattern.longest
        self._regex = pattern.regex
        self._check = pattern.check
        self._ways = _all_ways(pattern.regex)

    def undecided(self, text: str, start: int) -> int:
        begins = self._ways.search(text, max(start, len(text) - self.longest), partial=True)
        return begins.start() if begins else len(text)

    def first(self, text: str, start: int, stop: int) -> re.Match[str] | None:
        while start < stop:
            if stop - start > FEW:
                begins = self._regex.search(text, start, stop + self.longest)
                if begins is None or begins.start() >= stop:
                    return None
                start = begins.start()
            match = self._regex.match(text, start, start + self.longest + 1)
            if match and match.end() > start and (not self._check or self._check(match.group())):
                return match
            start += 1
        return None


# What a regular expression asks of the end of the text without reading on; a set is left alone.
_ENDS = re.compile(r"(\\[bBZ]|\$)|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)


def _all_ways(pattern: re.Pattern[str]) -> Any:
    """An expression that never matches, and wants more text where `pattern` might."""
    try:
        regex: Any = importlib.import_module("regex")
    except ImportError:
        raise UsageError(
            "to find regular expressions in pieces needs the library regex: "
            "pip install rxchat[text]"
        ) from None
    source = _ENDS.sub(_reading_on, pattern.pattern)
    flags = regex.V0
    for name in ("ASCII", "IGNORECASE", "MULTILINE", "DOTALL", "VERBOSE"):
        if pattern.flags & getattr(re, name):
            flags |= getattr(regex, name)
    end = "\n" if pattern.flags & re.VERBOSE else ""  # of a last comment
    return regex.compile(f"(?:{source}{end})(?!)", flags)


def _reading_on(token: re.Match[str]) -> str:
    """The same question, but asked so that it reads on."""
    if not token[1]:
        return token[0]
    ahead = r"\n?[\s\S]|" if token[1] == "$" else r"[\s\S]|"  # `$` looks past a last line end
    return f"(?:(?={ahead}){token[1]})"
