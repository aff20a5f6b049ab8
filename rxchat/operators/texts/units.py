"""Text in whole units: lines, paragraphs, words, graphemes.

A unit ends where the next one begins, so its blanks stay with it, and all units joined are the
text. `Units` holds the one that is not whole yet: what ends it is asked of a function, which sees
so much ahead, and no more, that the answer does not depend on how the text was cut.
"""

from __future__ import annotations

import importlib
import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias, TypeVar

from reactivex import Observable

from rxchat.errors import UsageError
from rxchat.operators.texts.shaping import shaped

__all__ = ["UNSPACED", "Find", "Units", "graphemes", "lines", "paragraphs", "units", "words"]

T = TypeVar("T")

Find: TypeAlias = Callable[[str, int, int, int], tuple[int, int]]
"""Where the unit ends that begins at `start`: `find(text, start, seen, stop)` looks at nothing
before `start` or from `stop` on, and gives the end, 0 if it is not sure yet; and from where to
look again: what is before that has been `seen`."""

LONGEST_WORD = 1_000
LONGEST_GRAPHEME = 128
AHEAD: Final = 128  # characters after a unit that may have a say in where it ends

# Letters of scripts that put no blanks between words: Thai, Lao, Tibetan, Myanmar, Khmer, Tai,
# Balinese, Javanese, Han, Kana, Bopomofo, Yi. Vowels that follow their letter are left out.
UNSPACED = (
    "\u0e01-\u0e2f\u0e40-\u0e44\u0e81-\u0eaf\u0ec0-\u0ec4\u0edc-\u0edf\u0f40-\u0f6c"
    "\u1000-\u102a\u103f\u1050-\u1055\u1780-\u17b3\u1950-\u19ab\u1a20-\u1a54\u1b05-\u1b33"
    "\u2e80-\u2fdf\u3006\u3007\u3021-\u3029\u3041-\u309a\u309f-\u30fa\u30ff\u3105-\u31bf\u31f0-\u31ff"
    "\u3400-\u9fff\ua000-\ua48c\ua984-\ua9b2\ua9e0-\ua9fe\uaa60-\uaac2\uf900-\ufaff"
    "\uff66-\uff6f\uff71-\uff9d\U00020000-\U0003ffff"
)


def lines(*, longest: int = 65_536) -> Callable[[Observable[T]], Observable[T]]:
    r"""A line at a time, each with its end: `\n`, `\r\n` or a lone `\r`, and no other character.

    A line comes with its `\n`; after a `\r`, with the next character. What is held is a line; of
    one that is longer than `longest` characters comes a part, to a blank if it has one.

    >>> import rxchat; from rxchat.operators.texts.units import lines
    >>> rxchat.of("one\r", "\ntwo\nth", "ree").pipe(lines()).to_list().run()
    ['one\r\n', 'two\n', 'three']
    """
    return units(lambda: _line_end, near=_LINE_END, sure=_ANY, longest=longest)


def paragraphs(*, longest: int = 65_536) -> Callable[[Observable[T]], Observable[T]]:
    r"""A paragraph at a time, each with the blank lines after it.

    It comes with the first character of the next one. What is held is a paragraph; of one that is
    longer than `longest` characters comes a part, to a blank if it has one. Blank lines count in
    code, too: for the blocks of Markdown there is `markdown_blocks`.

    >>> import rxchat; from rxchat.operators.texts.units import paragraphs
    >>> rxchat.of("One,\nstill one.\n", "\n", "Two.").pipe(paragraphs()).to_list().run()
    ['One,\nstill one.\n\n', 'Two.']
    """
    return units(lambda: _paragraph_end, near=_LINE_END, sure=_SOLID, longest=longest)


def words() -> Callable[[Observable[T]], Observable[T]]:
    """A word at a time, with its punctuation and the blanks after it, as a screen shows them.

    A word comes with the first character of the next one. Where a script has no blanks between
    words (Chinese, Japanese, Thai and others), each letter is a unit, with its marks and the
    punctuation that belongs to it. No-break spaces do not end a word. What is held is a word, and
    of one that is longer than 1,000 characters comes a part.

    >>> import rxchat; from rxchat.operators.texts.units import words
    >>> rxchat.of("Hel", "lo,  wor", "ld 你好！").pipe(words()).to_list().run()
    ['Hello,  ', 'world ', '你', '好！']
    """
    return units(lambda: _word_end, near=_WORD_END, sure=_SOLID, longest=LONGEST_WORD)


def graphemes() -> Callable[[Observable[T]], Observable[T]]:
    """What a reader calls a character, one at a time: emoji, flags, accents, syllables stay whole.

    They are the extended grapheme clusters of Unicode (UAX #29), as the library `regex` knows
    them: `pip install 'rxchat[text]'`. Each comes with the first character of the next one. What is
    held is one of them; of one that is longer than 128 characters comes a part.

    >>> import rxchat; from rxchat.operators.texts.units import graphemes
    >>> rxchat.of("a👍", "🏽🇫", "🇷").pipe(graphemes()).to_list().run()
    ['a', '👍🏽', '🇫🇷']
    """
    try:
        cluster: Any = importlib.import_module("regex").compile(r"\X")
    except ImportError:
        raise UsageError(
            "graphemes() needs the library regex: pip install 'rxchat[text]'"
        ) from None

    def end(text: str, start: int, seen: int, stop: int) -> tuple[int, int]:
        size: int = cluster.match(text[start:stop]).end()
        return (start + size if start + size < stop else 0), start

    return units(lambda: end, near=_ANY, sure=_ANY, longest=LONGEST_GRAPHEME)


def units(
    make: Callable[[], Find], *, near: re.Pattern[str], sure: re.Pattern[str], longest: int
) -> Callable[[Observable[T]], Observable[T]]:
    """The operator of a kind of unit."""
    if longest < 1:
        raise UsageError(f"longest= is a number of characters, at least 1, not {longest!r}")
    return shaped(lambda: Units(make(), near, sure, longest))


class Units:
    """A shaper that gives whole units; it holds `longest` characters, a few more, and one piece.

    To be quick, it asks `find` only when a piece holds what an end is `near` to. From then on,
    blanks after a blank are looked at only if they can make an end `sure`.
    """

    __slots__ = (
        "_blank",
        "_find",
        "_held",
        "_longest",
        "_near",
        "_seen",
        "_size",
        "_sure",
        "_waits",
        "over",
    )

    def __init__(
        self, find: Find, near: re.Pattern[str], sure: re.Pattern[str], longest: int
    ) -> None:
        self.over: str | None = None
        self._find = find
        self._near = near.search
        self._sure = sure.search
        self._longest = longest
        self._held: list[str] = []  # the unit that is not whole yet
        self._size = 0
        self._seen = 0
        self._blank = False  # what is held ends in a blank
        self._waits = False  # an end may have come that is not sure yet

    def feed(self, text: str) -> Iterable[str]:
        decides = not self._blank or self._sure(text) is not None
        self._blank = text[-1:].isspace()
        self._held.append(text)
        self._size += len(text)
        self._waits = self._waits or self._near(text) is not None
        if (self._waits and decides) or self._size >= self._longest + AHEAD:
            return self._whole(closing=False)
        return ()

    def close(self) -> Iterable[str]:
        return self._whole(closing=True)

    def _whole(self, *, closing: bool) -> list[str]:
        text = "".join(self._held)
        start, seen, found = 0, self._seen, list[str]()
        while start < len(text):
            stop = min(start + self._longest + AHEAD, len(text))
            end, seen = self._find(text, start, seen, stop)
            if end == 0:
                if closing and stop - start <= self._longest:
                    end = stop
                elif not closing and stop - start < self._longest + AHEAD:
                    break
            if not 0 < end - start <= self._longest:
                end = _part(text, start, start + self._longest)
            found.append(text[start:end])
            start = seen = end
        rest = text[start:]
        self._held = [rest] if rest else []
        self._size = len(rest)
        self._seen = seen - start
        self._waits = self._seen < self._size
        return found


_BLANK = r"[^\S\u00a0\u2007\u202f]"  # but no no-break spaces: those are for glue
_GLUE = r"[\S\u00a0\u2007\u202f]"
_OPENING = r"「『（〈《【〔［｛“‘(\[{"
_LETTER = rf"[{_OPENING}]{{0,8}}+[{UNSPACED}](?<=\w)"
_ANY = re.compile(r"", re.DOTALL)
_SOLID = re.compile(_GLUE)
_WORD_END = re.compile(rf"{_BLANK}|[{UNSPACED}]")
_LINE_END = re.compile(r"[\r\n]")
_LINE = re.compile(r"\n|\r(?:\n|(?=[^\n]))")
_GAP = re.compile(r"[\r\n]\s*+")
_LINE_ENDS = re.compile(r"\r\n|\n|\r")
# Groups are atomic: what is not decided yet must not be decided otherwise.
_WORD = re.compile(
    rf"""(?> {_BLANK}*
             (?: {_LETTER} (?: [\u1039\u17d2\u1a60\ua9c0]\w | [^\w\s{_OPENING}]
                             | [\u0e30-\u0e33\u0e45\u0eb0-\u0eb3ー々ゝゞヽヾｰ] )*
               | (?: (?!{_LETTER}) {_GLUE} )+ )
             {_BLANK}* )
         (?={_GLUE})""",
    re.VERBOSE,
)


def _line_end(text: str, start: int, seen: int, stop: int) -> tuple[int, int]:
    found = _LINE.search(text, seen, stop)
    if found is not None:
        return found.end(), stop
    return 0, stop - (text[stop - 1] == "\r")


def _paragraph_end(text: str, start: int, seen: int, stop: int) -> tuple[int, int]:
    while (gap := _GAP.search(text, seen, stop)) is not None:
        if gap.end() == stop:
            return 0, gap.start()
        ends = [*_LINE_ENDS.finditer(text, gap.start(), gap.end())]
        # Blank lines before the first paragraph are a part of it.
        if len(ends) > 1 and not text[start : gap.start()].isspace() and gap.start() > start:
            return ends[-1].end(), stop
        seen = gap.end()
    return 0, stop


def _word_end(text: str, start: int, seen: int, stop: int) -> tuple[int, int]:
    found = _WORD.match(text, start, stop)
    if found is not None:
        return found.end(), start
    return 0, start if _WORD_END.search(text, start, stop) else stop


def _part(text: str, start: int, stop: int) -> int:
    """Where a unit that is too long is cut: after a blank, else where it tears no character."""
    blank = max(text.rfind(mark, start, stop) for mark in " \t\n") + 1
    if blank > start:
        return blank
    for place in range(stop, max(start, stop - AHEAD), -1):
        if not _glued(text[place - 1], text[place]):
            return place
    return stop


def _glued(one: str, other: str) -> bool:
    return (
        unicodedata.category(other) in {"Mn", "Mc", "Me"}
        or "\u200d" in (one, other)
        or one + other == "\r\n"
    )
