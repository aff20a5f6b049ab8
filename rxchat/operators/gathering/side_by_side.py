"""Several answers next to each other: at once, in turn, and compared word by word."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Hashable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from itertools import chain, groupby
from operator import itemgetter
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar

import attrs
from reactivex import Observable, abc
from reactivex.abc import DisposableBase

from rxchat.errors import Aborted, CallbackFailed, UsageError
from rxchat.operators.asking.commit import some_streams
from rxchat.stream import Gate, Guard, Scope, Stream, labelled_streams, wrap

__all__ = ["Change", "Diff", "Labelled", "LabelledError", "diff", "interleave", "side_by_side"]

T = TypeVar("T")


@attrs.frozen
class Labelled(Generic[T]):
    """An item, and the label of the stream that gave it."""

    label: str
    item: T


@attrs.frozen
class LabelledError:
    """The failure of one of several streams; the others go on."""

    label: str
    error: Exception


def side_by_side(streams: Mapping[str, Observable[T]]) -> Stream[Labelled[T] | LabelledError]:
    """All streams at once, each item with its label, as they come.

    A stream that fails gives a `LabelledError`, and the others go on; when all are over, so is
    this. Leaving hangs up all of them. A slow reader slows all of them, and nothing is kept. Only
    a bug in a callback, or a cancellation from outside, ends everything.

    >>> from rxchat import of
    >>> side_by_side({"left": of("Hello")}).run()
    Labelled(label='left', item='Hello')
    """
    columns = {**labelled_streams("side_by_side", streams)}

    def subscribe(
        observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None
    ) -> DisposableBase:
        return _Columns(observer, [*columns]).over(columns, Scope.of(scheduler))

    return wrap(Observable(subscribe), "side_by_side")


_ENDS_ALL = (Aborted, CallbackFailed)


class _Columns(DisposableBase):
    """The streams that still run."""

    def __init__(self, observer: abc.ObserverBase[Any], labels: Sequence[str]) -> None:
        self._observer = observer
        self._left = {*labels}
        self._guards: list[Guard[Any]] = []

    def over(self, streams: Mapping[str, Observable[Any]], scope: Scope) -> DisposableBase:
        self._guards = [self._column(label) for label in streams]
        for guard, stream in zip(self._guards, streams.values(), strict=True):
            if not guard.is_stopped:  # as when another one has ended it all
                guard.over(stream, scope)
        return self

    def _column(self, label: str) -> Guard[Any]:
        emit = self._observer.on_next

        def on_next(item: Any) -> None:
            emit(Labelled(label, item))

        def on_error(error: Exception) -> None:
            if isinstance(error, _ENDS_ALL):
                self.dispose()
                self._observer.on_error(error)
            else:
                emit(LabelledError(label, error))
                on_completed()

        def on_completed() -> None:
            self._left.discard(label)
            if not self._left:
                self._observer.on_completed()

        return Guard(on_next, on_error, on_completed)

    def dispose(self) -> None:
        for guard in self._guards:
            guard.dispose()


WAITING = 16  # items of one stream that wait for its turn; more hold its socket back


def interleave(*streams: Observable[T]) -> Stream[T]:
    """One item of each stream in turn, a b a b, whichever is faster; `merge` does not wait.

    A stream that is over loses its turn. The error of one comes in its turn, and ends it all. A
    stream that is ahead is held back when 16 of its items wait.

    >>> from rxchat import of
    >>> from rxchat.operators import to_list
    >>> interleave(of(1, 2, 3), of("a", "b")).pipe(to_list()).run()
    [1, 'a', 2, 'b', 3]
    """
    some_streams("interleave", streams)

    def subscribe(
        observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None
    ) -> DisposableBase:
        return _Turns(observer, Scope.of(scheduler)).over(streams)

    return wrap(Observable(subscribe), "interleave")


class _Turns(DisposableBase, Generic[T]):
    """The streams that are not over, the one whose turn it is in front."""

    def __init__(self, observer: abc.ObserverBase[T], scope: Scope) -> None:
        self._observer = observer
        self._scope = scope
        self._queue: deque[_Turn[T]] = deque()
        self._giving = True  # not before all have been asked
        self._over = False

    def over(self, streams: Sequence[Observable[T]]) -> DisposableBase:
        turns = [_Turn(self, self._scope) for _ in streams]
        self._queue.extend(turns)
        for turn, stream in zip(turns, streams, strict=True):
            if not self._over:
                turn.start(stream)
        self._giving = False
        self.give()
        return self

    def give(self) -> None:
        """Give all that may be given now; an item that is given may bring the next."""
        if self._giving:
            return
        self._giving = True
        queue = self._queue
        try:
            while queue and (queue[0].items or queue[0].over):
                if queue[0].items:
                    item = queue[0].take()
                    queue.rotate(-1)
                    self._observer.on_next(item)
                elif error := queue.popleft().error:
                    self.fail(error)
        finally:
            self._giving = False
        if not queue and not self._over:
            self._over = True
            self._observer.on_completed()

    def fail(self, error: Exception) -> None:
        self.dispose()
        self._observer.on_error(error)

    def dispose(self) -> None:
        self._over = True
        turns = [*self._queue]
        self._queue.clear()
        for turn in turns:
            turn.leave()


class _Turn(Generic[T]):
    """One stream, and what of it waits for its turn."""

    def __init__(self, turns: _Turns[T], scope: Scope) -> None:
        self.items: deque[T] = deque()
        self.over = False
        self.error: Exception | None = None
        self._turns = turns
        self._gate = Gate(scope.loop.time)
        self._release = scope.gate.govern(self._gate)
        self._scope = scope.behind(self._gate)
        self._full = False
        self._guard = Guard[T](self._on_next, self._on_end, self._on_end)

    def start(self, stream: Observable[T]) -> None:
        self._guard.over(stream, self._scope)

    def _on_next(self, item: T) -> None:
        self.items.append(item)
        self._turns.give()
        self._pause(len(self.items) >= WAITING)

    def _on_end(self, error: Exception | None = None) -> None:
        self.error = error
        if isinstance(error, _ENDS_ALL):
            self._turns.fail(error)
        else:
            self.leave()
            self._turns.give()

    def take(self) -> T:
        item = self.items.popleft()
        self._pause(len(self.items) >= WAITING)
        return item

    def _pause(self, full: bool) -> None:
        if full != self._full:
            self._full = full
            if full:
                self._gate.pause()
            else:
                self._gate.resume()

    def leave(self) -> None:
        """Hang up, if it still runs, and have no more to do with the reader's demand."""
        if not self.over:
            self.over = True
            self._guard.dispose()
            self._release()


# Two finished answers ----------------------------------------------------------------------------


class _HasText(Protocol):
    @property
    def text(self) -> str: ...


@attrs.frozen
class Change:
    """Words in a row that both texts have, or only one of them."""

    kind: Literal["same", "only_a", "only_b"]
    text: str


@attrs.frozen
class Diff:
    """Where two texts are the same and where not, in order; printed, `[-only a-]{+only b+}`."""

    changes: tuple[Change, ...]

    @property
    def ratio(self) -> float:
        """How much of both is the same: 1 is all, 0 nothing."""
        sizes = Counter[str]()
        for change in self.changes:
            sizes[change.kind] += len(change.text)
        whole = 2 * sizes["same"] + sizes["only_a"] + sizes["only_b"]
        return 2 * sizes["same"] / whole if whole else 1.0

    def __iter__(self) -> Iterator[Change]:
        return iter(self.changes)

    def __str__(self) -> str:
        return "".join(_SIGNS[change.kind].format(change.text) for change in self.changes)


_SIGNS = {"same": "{}", "only_a": "[-{}-]", "only_b": "{{+{}+}}"}


def diff(a: str | _HasText, b: str | _HasText) -> Diff:
    """Compare two finished answers word by word: texts, messages, `Answer`s.

    The parts that are the `same` and `only_a` are the first text, the `same` and `only_b` the
    second. What each has just once divides long texts, so that the time grows with their length;
    where there is nothing of that kind, as in a thousand repeated words, a part counts as new.

    >>> print(diff("The sky is blue.", "The sky is very grey."))
    The sky is[- blue-]{+ very grey+}.
    """
    runs = (run for run in _compared(_words(a), _words(b)) if run[1])
    return Diff(
        tuple(
            Change(kind, "".join(chain.from_iterable(words for _, words in alike)))
            for kind, alike in groupby(runs, itemgetter(0))
        )
    )


# Each with the blanks before it: a sign of a script that has none, a run of letters and marks of
# any other, or one sign of punctuation.
_WORD = re.compile(r"\s*(?:[぀-ヿ㐀-鿿豈-﫿]|[^\s!-/:-@\[-`{-~぀-ヿ㐀-鿿豈-﫿]+|\S)|\s+")


def _words(given: object) -> list[str]:
    text = given if isinstance(given, str) else getattr(given, "text", None)
    if not isinstance(text, str):
        raise UsageError(f"diff() compares texts, messages or answers, not {given!r}")
    return _WORD.findall(text)


_Kind: TypeAlias = Literal["same", "only_a", "only_b"]
_Runs: TypeAlias = Iterator[tuple[_Kind, list[str]]]

SMALL = 250_000  # pairs of words that difflib compares in well under a second


def _compared(a: list[str], b: list[str]) -> _Runs:
    """Divide and compare: difflib's time is the square of the length, at worst its cube."""
    todo = [(a, b)]
    while todo:
        a, b = todo.pop()
        if len(a) * len(b) <= SMALL:
            yield from _by_difflib(a, b)
        elif a == b:
            yield "same", a
        elif anchors := _anchors(_phrases(a), _phrases(b)) or _anchors(a, b):
            parts: list[tuple[list[str], list[str]]] = []
            done_a = done_b = 0
            for at_a, at_b in [*anchors, (len(a), len(b))]:
                parts += (a[done_a:at_a], b[done_b:at_b]), (a[at_a : at_a + 1], b[at_b : at_b + 1])
                done_a, done_b = at_a + 1, at_b + 1
            todo += reversed(parts)
        else:
            yield "only_a", a
            yield "only_b", b


def _by_difflib(a: list[str], b: list[str]) -> _Runs:
    matcher = SequenceMatcher(None, a, b, autojunk=False)
    for tag, from_a, to_a, from_b, to_b in matcher.get_opcodes():
        if tag == "equal":
            yield "same", a[from_a:to_a]
        else:
            yield "only_a", a[from_a:to_a]
            yield "only_b", b[from_b:to_b]


def _phrases(words: list[str]) -> list[tuple[str, ...]]:
    return [*zip(words, words[1:], words[2:], words[3:], strict=False)]


def _anchors(a: Sequence[Hashable], b: Sequence[Hashable]) -> list[tuple[int, int]]:
    """Where that begins which each has once, in the order of both (a patience diff)."""
    once_a, once_b = Counter(a), Counter(b)
    places = {word: at for at, word in enumerate(b) if once_b[word] == 1}
    tops: list[int] = []  # the least place in b that ends an order of each length
    ends: list[tuple[int, int, int]] = []  # place in a, in b, and the pair before it
    last: list[int] = []
    for at, word in enumerate(a):
        if once_a[word] == 1 and word in places:
            place = places[word]
            length = bisect_left(tops, place)
            ends.append((at, place, last[length - 1] if length else -1))
            tops[length : length + 1] = [place]
            last[length : length + 1] = [len(ends) - 1]
    found: list[tuple[int, int]] = []
    pair = last[-1] if last else -1
    while pair >= 0:
        at, place, pair = ends[pair]
        found.append((at, place))
    return found[::-1]
