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
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from attrs import field, frozen

from rxchat.errors import UsageError

__all__ = ["LONGEST", "Finder", "Pattern", "Sought", "needles", "translated"]

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
        elif isinstance(item, re.Pattern) and isinstance(item.pattern, str):
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
        self._ways = translated(pattern.regex, "(?!)")  # never matches, but wants more

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


# Strategy of what follows: an expression for `regex` that means what the given one means to `re`,
# whose words are numbers and letters alone, without marks and joiners (so an emoji may stand beside
# one), and which asks for no end of the text without reading on.

_UNICODE = {  # classes as `re` means them; for use in a set, so each is spelled out
    "w": r"\p{L}\p{N}_",
    "W": r"\p{Z}\p{C}\p{Po}\p{S}\p{M}\p{Pd}\p{Ps}\p{Pe}\p{Pi}\p{Pf}"
    r"\u203f\u2040\u2054\ufe33\ufe34\ufe4d-\ufe4f\uff3f",  # the rest of \p{Pc} without `_`
    "s": r"\s\x1c-\x1f",
    "S": r"\p{L}\p{M}\p{N}\p{P}\p{S}\p{Cf}\p{Co}\p{Cn}\p{Cs}"
    r"\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f",  # the rest of \p{Cc}
}
_ASCII = {kind: f"\\{kind}" for kind in _UNICODE}  # with re.ASCII both mean the same

_SYNTAX = r"""(?xs)
    (?P<end> \\[bBZ] | \$ )
  | \\ (?P<kind> [wWsS] )
  | \\N\{[^}]*\} | \\.
  | \[ (?P<not> \^? ) (?P<set> \]? (?: \\. | [^\]\\] )* ) \]
  | (?P<brace> \{ (?! \d*,?\d*\} ) )  # no quantifier; to `regex` it may be a number of errors
  | \(\?\# [^)]* \)
  | (?P<scoped> \(\? (?=[\w-]*[aux]) [aimsux-]+ : )  # flags that change how the rest is read
"""
_TOKENS = {0: re.compile(_SYNTAX), re.VERBOSE.value: re.compile(_SYNTAX + r"| \# [^\n]*")}
_MEMBER = re.compile(
    r"\\(?P<kind>[wWsS]) | \\N\{[^}]*\} | \\. | (?P<sign>[][^&|~] | \A- | -\Z) | .",
    re.VERBOSE | re.DOTALL,
)


def translated(pattern: re.Pattern[str], after: str = "") -> Any:
    """The same for `regex`, reading on at its ends, with something after it."""
    try:
        regex: Any = importlib.import_module("regex")
    except ImportError:
        raise UsageError(
            "to find regular expressions in pieces needs the library regex: "
            "pip install 'rxchat[text]'"
        ) from None
    caseless = bool(re.search(r"\(\?\w*i", pattern.pattern) or pattern.flags & re.IGNORECASE)
    reading = _Reading(_ASCII if pattern.flags & re.ASCII else _UNICODE, caseless)
    source = _TOKENS[pattern.flags & re.VERBOSE].sub(reading.token, pattern.pattern)
    flags = regex.V0
    for name in ("ASCII", "IGNORECASE", "MULTILINE", "DOTALL", "VERBOSE"):
        if pattern.flags & getattr(re, name):
            flags |= getattr(regex, name)
    end = "\n" if pattern.flags & re.VERBOSE else ""  # of a last comment
    try:
        return regex.compile(f"(?:{source}{end}){after}", flags)
    except regex.error as error:
        raise _unreadable(pattern.pattern, str(error)) from None


def _unreadable(source: str, why: str) -> UsageError:
    return UsageError(f"{source!r} cannot be looked for in pieces: {why}")


@frozen
class _Reading:
    """What the tokens of `re` are to `regex`.

    Where case is ignored, a class is not: to `regex`, U+0345, a mark, is the letter iota.
    """

    classes: Mapping[str, str]
    caseless: bool

    def token(self, token: re.Match[str]) -> str:
        if token["scoped"]:
            raise _unreadable(token.string, f"set the flags of {token[0]} for the whole expression")
        if token["end"]:
            return self._reading_on(token["end"])
        if token["kind"]:
            return self._one_of(self.classes[token["kind"]])
        if token["set"]:
            return self._set(token["not"], [*_MEMBER.finditer(token["set"])])
        return r"\{" if token["brace"] else token[0]

    def _one_of(self, members: str, negated: str = "") -> str:
        if not self.caseless:
            return f"[{negated}{members}]"
        # What a match can begin with, `regex` looks up without regard to (?-i:); not if it is this.
        opposite = "" if negated else "^"
        return rf"(?:(?!(?-i:[{opposite}{members}]))[\s\S])"

    def _set(self, negated: str, members: Sequence[re.Match[str]]) -> str:
        kinds = "".join(self.classes[member["kind"]] for member in members if member["kind"])
        others = "".join(
            f"\\{member['sign']}" if member["sign"] else member[0]
            for member in members
            if not member["kind"]
        )
        if not (kinds and self.caseless):
            return f"[{negated}{kinds}{others}]"
        if not others:
            return self._one_of(kinds, negated)
        if negated:
            return f"(?:(?![{others}]){self._one_of(kinds, negated)})"
        return f"(?:[{others}]|{self._one_of(kinds)})"

    def _reading_on(self, end: str) -> str:
        """The question for an end of the text, or of a word, but asked so that it reads on."""
        word = self._one_of(self.classes["w"])
        means = {
            r"\b": f"(?:(?<={word})(?!{word})|(?<!{word})(?={word}))",
            r"\B": f"(?:(?<={word})(?={word})|(?<!{word})(?!{word}))",
        }
        ahead = r"\n?[\s\S]|" if end == "$" else r"[\s\S]|"  # `$` looks past a last line end
        return f"(?:(?={ahead}){means.get(end, end)})"
