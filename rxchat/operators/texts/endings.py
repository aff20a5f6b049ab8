"""The answer ends where you say, at a word or a length, and its request is hung up."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from reactivex import Observable
from reactivex import operators as rx

from rxchat.errors import UsageError
from rxchat.events import Finish
from rxchat.operators.arguments import whole
from rxchat.operators.texts.finding import LONGEST, Finder, Needle, Sought, needles
from rxchat.operators.texts.shaping import Shaper, shaped

__all__ = ["limit_chars", "limit_words", "stop_at"]

T = TypeVar("T")

WORD = re.compile(r"\S+")
NEAR = 64  # characters before a limit where it is seen to that none is torn


def stop_at(
    *patterns: Sought, keep: bool = False, longest: int = LONGEST
) -> Callable[[Observable[T]], Observable[T]]:
    """End the answer before the first of these strings or regular expressions, and hang up.

    With `keep=True` it ends after it. In a stream of events, `Finish("stop")` follows, with the
    match as its `raw`. Only what may become a match is held back. A match of a regular expression
    has up to `longest` characters; what is kept are at most so many, and 1,280.

    >>> from rxchat import of
    >>> from rxchat.operators import to_list
    >>> of("Yes. U", "ser: And you?").pipe(stop_at("User:"), to_list()).run()
    ['Yes. ']
    """
    found = needles(patterns, longest=longest, shortest=True)
    return shaped(lambda: _Stopping(found, keep))


class _Stopping:
    __slots__ = ("_finder", "_keep", "over")

    def __init__(self, needles: Sequence[Needle], keep: bool) -> None:
        self.over: str | None = None
        self._finder = Finder(needles)
        self._keep = keep

    def feed(self, text: str, /) -> list[str]:
        return self._until_match(self._finder.feed(text))

    def close(self) -> list[str]:
        return [] if self.over is not None else self._until_match(self._finder.close())

    def _until_match(self, parts: Iterable[str | re.Match[str]]) -> list[str]:
        shown: list[str] = []
        for part in parts:
            if not isinstance(part, str):
                self.over = part.group()
                return [*shown, part.group()] if self._keep else shown
            shown.append(part)
        return shown


def limit_chars(most: int) -> Callable[[Observable[T]], Observable[T]]:
    """End the answer where it would be longer than so many characters, and hang up.

    In a stream of events, `Finish("length")` follows. What a reader sees as one character, as an
    emoji or an accented letter, is not torn: if it does not fit, the answer is that much shorter.
    One that has more than 64 characters may be. Needs the library `regex`; holds 64 characters.

    >>> from rxchat import of
    >>> from rxchat.operators import to_list
    >>> of("Hello, ", "world!").pipe(limit_chars(9), to_list()).run()
    ['Hello,', ' wo']
    """
    whole("limit_chars", most=most)
    try:
        split = importlib.import_module("regex").compile(r"\X").findall
    except ImportError:
        raise UsageError(
            "limit_chars() needs the library regex: pip install 'rxchat[text]'"
        ) from None
    return _limited("limit_chars", lambda: _Chars(most, split))


def limit_words(most: int) -> Callable[[Observable[T]], Observable[T]]:
    """End the answer where its next word would be one too many, and hang up.

    A word is what stands between blanks. In a stream of events, `Finish("length")` follows.
    Nothing is held back.

    >>> from rxchat import of
    >>> from rxchat.operators import to_list
    >>> of("How do y", "ou do?").pipe(limit_words(3), to_list()).run()
    ['How do y', 'ou ']
    """
    whole("limit_words", most=most)
    return _limited("limit_words", lambda: _CountedWords(most))


def _limited(name: str, make: Callable[[], Shaper]) -> Callable[[Observable[T]], Observable[T]]:
    """The operator of a limit: what it ends, ends for its length."""

    def for_length(item: Any) -> Any:
        if type(item) is Finish and item.raw == name:
            return Finish("length", name, item.choice)
        return item

    def op(source: Observable[T]) -> Observable[T]:
        return rx.map(for_length)(shaped(make)(source))

    return op


class _Chars:
    """Up to the limit; near it, in whole clusters."""

    __slots__ = ("_held", "_left", "_split", "over")

    def __init__(self, most: int, split: Callable[[str], list[str]]) -> None:
        self.over: str | None = None
        self._left = most
        self._held = ""
        self._split = split

    def feed(self, text: str, /) -> list[str]:
        free = text[: max(0, self._left - NEAR)]
        self._left -= len(free)
        fitting = [free, *self._clusters(text[len(free) :])]
        return ["".join(fitting)] if any(fitting) else []

    def _clusters(self, text: str) -> Iterable[str]:
        *clusters, last = self._split((self._held + text)[: NEAR + 1]) or [""]
        self._held = ""
        for cluster in clusters:
            if len(cluster) > self._left:
                break
            self._left -= len(cluster)
            yield cluster
        else:
            if len(last) <= self._left:
                self._held = last  # it may go on
                return
        self.over = "limit_chars"

    def close(self) -> list[str]:
        held, self._held = self._held, ""
        self._left -= len(held)
        return [held] if held else []


class _CountedWords:
    __slots__ = ("_left", "_within", "over")

    def __init__(self, most: int) -> None:
        self.over: str | None = None
        self._left = most
        self._within = False  # a word that may go on with the next piece

    def feed(self, text: str, /) -> list[str]:
        for word in WORD.finditer(text):
            if word.start() or not self._within:
                if not self._left:
                    self.over = "limit_words"
                    return [text[: word.start()]]
                self._left -= 1
        if text:
            self._within = not text[-1].isspace()
        return [text]

    def close(self) -> list[str]:
        self._within = False
        return []
