"""How many tokens an answer has: counted, if the service does not say."""

from __future__ import annotations

import re
from collections.abc import Callable, Sized
from importlib import import_module
from typing import Any, TypeAlias, TypeVar, cast

import msgspec
from reactivex import Observable, abc
from reactivex.abc import DisposableBase

from rxchat.errors import UsageError
from rxchat.events import Finish, Reasoning, Refusal, Reset, Start, Text, ToolCall, Usage
from rxchat.stream import Hop, Scope, lift

__all__ = ["Counter", "Tokenizer", "count_tokens"]

T = TypeVar("T")

Tokenizer: TypeAlias = Callable[[str], int | Sized]

WINDOW = 4000  # characters that are counted at once
# Words begin with their blank, so that tokenizers cut there, too.
_BOUNDARY = re.compile(r".*\S(?= \S)", re.DOTALL)


class _Tally:
    """The tokens of one text, of which it keeps only what is not counted yet."""

    __slots__ = ("_count", "_fresh", "_settled", "_size")

    def __init__(self, count: Callable[[str], int]) -> None:
        self._count = count
        self._settled = 0
        self._fresh: list[str] = []
        self._size = 0

    def feed(self, piece: str) -> None:
        self._fresh.append(piece)
        self._size += len(piece)
        if self._size >= WINDOW:
            text, start = "".join(self._fresh), 0
            while len(text) - start >= WINDOW:
                found = _BOUNDARY.match(text, start, start + WINDOW)
                end = found.end() if found else start + WINDOW
                self._settled += self._count(text[start:end])
                start = end
            self._fresh, self._size = [text[start:]], len(text) - start

    def read(self) -> int:
        tail = "".join(self._fresh)
        return self._settled + (self._count(tail) if tail else 0)


class _Tallies:
    """The tokens of everything that a stream says, text by text."""

    __slots__ = ("_before", "_count", "_now", "reasoned")

    def __init__(self, count: Callable[[str], int]) -> None:
        self._count = count
        self._before = 0
        self.forget()

    def forget(self) -> None:
        self._now: dict[tuple[type, int, int], _Tally] = {}

    def turn(self) -> None:
        self._before += self.now
        self.forget()

    def feed(self, item: Any) -> None:
        kind = cast("type[object]", type(item))
        index = item.index if kind is ToolCall else 0
        key = kind, getattr(item, "choice", 0), index
        tally = self._now.get(key)
        if tally is None:
            tally = self._now[key] = _Tally(self._count)
        if kind is str:
            tally.feed(item)
        else:
            tally.feed(item.name + item.arguments if kind is ToolCall else item.text)

    @property
    def reasoning(self) -> int | None:
        thoughts = [tally.read() for key, tally in self._now.items() if key[0] is Reasoning]
        return sum(thoughts) if thoughts else None

    @property
    def now(self) -> int:
        """Of this turn alone."""
        return sum(tally.read() for tally in self._now.values())

    @property
    def all(self) -> int:
        return self._before + self.now


class Counter:
    """An operator that counts the tokens of what is said through it."""

    __slots__ = ("_count", "_last")

    def __init__(self, count: Callable[[str], int]) -> None:
        self._count = count
        self._last: _Tallies | None = None

    @property
    def tokens(self) -> int:
        """Of the run that began last: so far, and when it is over, in all."""
        return self._last.all if self._last else 0

    def __call__(self, source: Observable[T]) -> Observable[T]:
        def subscribe(
            observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None
        ) -> DisposableBase:
            scope = Scope.of(scheduler)
            self._last = tallies = _Tallies(self._count)
            return lift(source, _Counting(observer, tallies, scope), scope)

        return Observable(subscribe)


def count_tokens(tokenizer: str | Tokenizer | Any) -> Counter:
    """Count the tokens of what is said: `counter.tokens` at any time, and a `Usage` at the end.

    Everything passes. If the service does not say how many tokens it made, a `Usage` with what was
    counted (text, reasoning, refusal, tool calls) is put before the `Finish`; a stream of texts
    stays one. A tokenizer is a function from text to its tokens or their number, an encoding of
    tiktoken's, or the name of a model or encoding that tiktoken knows, which needs
    `pip install 'rxchat[tokens]'` and loads its table when it is first named.

    The count is that of the text, wherever it was cut. A text of more than 4,000 characters is
    counted in parts that end before a blank, as tiktoken does itself; no more is kept in memory.
    If the tokenizer fails, the event loop's exception handler is told, and the stream goes on.

    >>> from rxchat.testing import Scripted
    >>> counter = count_tokens(str.split)
    >>> Scripted("Hello wo", "rld")("Hi").pipe(counter).run().reason
    'stop'
    >>> counter.tokens
    2
    """
    return Counter(_counting(tokenizer))


def _counting(tokenizer: Any) -> Callable[[str], int]:
    if isinstance(tokenizer, str):
        tokenizer = _encoding(tokenizer)
    for name in ("encode_ordinary", "encode"):  # tiktoken's `encode` refuses "<|endoftext|>"
        tokenizer = getattr(tokenizer, name, tokenizer)
    if not callable(tokenizer):
        raise UsageError(
            "count_tokens() takes a function from text to its tokens, an encoding of tiktoken's, "
            f"or a model's name, not {tokenizer!r}"
        )

    def count(text: str) -> int:
        tokens: Any = tokenizer(text)
        return tokens if isinstance(tokens, int) else len(tokens)

    return count


def _encoding(name: str) -> Any:
    try:
        tiktoken = import_module("tiktoken")  # of the extra `tokens`
    except ImportError:
        raise UsageError(
            f"the tokenizer of {name!r} needs tiktoken: pip install 'rxchat[tokens]', "
            "or give a function from text to its tokens"
        ) from None
    for named in (tiktoken.encoding_for_model, tiktoken.get_encoding):
        try:
            return named(name)
        except (KeyError, ValueError):
            continue
    raise UsageError(
        f"tiktoken knows no model or encoding {name!r}: name one that it knows, as "
        "'o200k_base', or give a function from text to its tokens"
    )


_WORDS = frozenset({str, Text, Reasoning, Refusal, ToolCall})


class _Counting(Hop[Any]):
    __slots__ = ("_broken", "_events", "_over", "_said", "_scope", "_tallies")

    def __init__(self, observer: abc.ObserverBase[Any], tallies: _Tallies, scope: Scope) -> None:
        super().__init__(observer)
        self._tallies = tallies
        self._scope = scope
        self._events = False  # whether a Usage may stand among the items
        self._said = False  # whether this turn has its count
        self._over = False
        self._broken = False

    def on_next(self, item: Any) -> None:
        kind = cast("type[object]", type(item))
        self._events |= kind is not str
        if kind in _WORDS or kind is Start:
            if self._over:
                self._trying(self._tallies.turn)
                self._over = self._said = False
            if kind is not Start and not self._broken:
                self._trying(self._tallies.feed, item)
        elif kind is Usage:
            self._said = True
            if item.output is None:
                item = self._filled(item)
        elif kind is Finish:
            self._tell()
            self._over = True
        elif kind is Reset and item.kind == "restart":
            self._tallies.forget()
            self._over = self._said = False
        self.observer.on_next(item)

    def on_completed(self) -> None:
        if self._events:
            self._tell()
        self.observer.on_completed()

    def _tell(self) -> None:
        if self._said:
            return
        self._said = True
        usage = self._filled(Usage())
        if usage.output is not None:
            self.observer.on_next(usage)

    def _filled(self, usage: Usage) -> Usage:
        counted = self._trying(lambda: (self._tallies.now, self._tallies.reasoning))
        if counted is None:
            return usage
        output, reasoning = counted
        if usage.reasoning is not None:
            reasoning = usage.reasoning
        return msgspec.structs.replace(usage, output=output, reasoning=reasoning)

    def _trying(self, act: Callable[..., T], *given: Any) -> T | None:
        """Count, unless that has failed before: no failure of it is the answer's."""
        if self._broken:
            return None
        try:
            return act(*given)
        except Exception as bug:
            self._broken = True
            self._scope.report("a tokenizer raised; nothing more is counted", bug)
            return None
