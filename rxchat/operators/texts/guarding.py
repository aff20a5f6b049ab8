"""Nothing is shown that a check of yours has not passed."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeAlias, TypeVar

from attrs import frozen
from reactivex import Observable, abc
from reactivex import operators as rx
from reactivex.abc import DisposableBase

from rxchat.errors import ChatError, Rejected, UsageError
from rxchat.events import Finish, Reset, Text
from rxchat.operators.arguments import function
from rxchat.operators.arguments import whole as whole_number
from rxchat.operators.mapping import map_async
from rxchat.operators.texts.sentences import sentences
from rxchat.operators.texts.shaping import shaped
from rxchat.operators.texts.units import lines, paragraphs
from rxchat.stream import Hop, lift

__all__ = ["Every", "guard"]

T = TypeVar("T")
Every: TypeAlias = Literal["sentence", "paragraph", "line"] | int


def guard(
    check: Callable[[str], bool | Awaitable[bool]],
    *,
    every: Every = "sentence",
    whole: bool = False,
    instead: str | None = None,
) -> Callable[[Observable[T]], Observable[T]]:
    """Show nothing of the text that a check of yours has not passed.

    The text is checked by the sentence, paragraph or line, or by so many characters. With
    `whole=True` the check gets all of the answer's text so far, with the new unit at its end: so it
    sees what is in two units by halves. It is a plain or an async function, one call at a time, in
    order; a slow check slows the source. What it raises ends the stream.

    If it says no, the stream is hung up and fails with `Rejected`, whose `partial` is what had been
    shown. With `instead=`, that text comes in the place of the rest; in a stream of events, then
    `Finish("content_filter")`. Only text is checked: tool calls pass, behind the text before them,
    and so does reasoning, but at once. What is held is the unit (a sentence has up to 8,000
    characters, a paragraph or line up to 65,536); what was shown is kept.

    >>> from rxchat import of
    >>> from rxchat.operators import to_list
    >>> polite = lambda text: "damn" not in text
    >>> of("Hello. Oh da", "mn it!").pipe(guard(polite, instead="[...]"), to_list()).run()
    ['Hello. ', '[...]']
    """
    function("guard", check=check)
    cut = _cutting(every)

    def op(source: Observable[T]) -> Observable[T]:
        def subscribe(
            observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None
        ) -> DisposableBase:
            guarding = _Guarding(observer, check, whole, instead)
            judged: Observable[Any] = map_async(guarding.judge)(
                cut(rx.do_action(guarding.hear_of)(source))
            )
            return lift(judged, guarding, scheduler)

        return Observable(subscribe)

    return op


def _cutting(every: Every) -> Callable[[Observable[Any]], Observable[Any]]:
    """The operator that gives the text in units."""
    if isinstance(every, str):
        if every not in _CUTS:
            raise UsageError(
                f"guard(every=) is {', '.join(map(repr, _CUTS))} or a number of characters, "
                f"not {every!r}"
            )
        return _CUTS[every]()
    whole_number("guard", every=every)
    return shaped(lambda: _Pieces(every))


_CUTS: dict[str, Callable[[], Callable[[Observable[Any]], Observable[Any]]]] = {
    "sentence": sentences,
    "paragraph": paragraphs,
    "line": lines,
}


class _Pieces:
    """Pieces of one size."""

    __slots__ = ("_held", "_length", "_size")
    over = None

    def __init__(self, size: int) -> None:
        self._size = size
        self._held: list[str] = []
        self._length = 0

    def feed(self, text: str, /) -> list[str]:
        self._held.append(text)
        self._length += len(text)
        if self._length < self._size:
            return []
        text, size = "".join(self._held), self._size
        rest = len(text) % size
        self._held, self._length = [text[len(text) - rest :]], rest
        return [text[start : start + size] for start in range(0, len(text) - rest, size)]

    def close(self) -> list[str]:
        held, self._held, self._length = "".join(self._held), [], 0
        return [held] if held else []


@frozen
class _Judged:
    item: Any
    good: bool


class _Guarding(Hop[_Judged]):
    """Judges the units, one after the other, and hears what it judged."""

    __slots__ = ("_answers", "_check", "_ends", "_instead", "_over", "_shown", "_whole")

    def __init__(
        self,
        observer: abc.ObserverBase[Any],
        check: Callable[[str], bool | Awaitable[bool]],
        whole: bool,
        instead: str | None,
    ) -> None:
        super().__init__(observer)
        self._check = check
        self._whole = whole
        self._instead = instead
        self._shown: dict[int, list[str]] = {}  # the units of each answer
        self._answers: set[int] = set()  # all that have begun
        self._over: set[int] = set()
        self._ends: list[Finish] = []  # of answers that have ended here, for the very end

    def hear_of(self, item: Any) -> None:
        """Note which answers there are, before their text is cut into units."""
        if _text_of(item)[0]:
            self._answers.add(_text_of(item)[1])

    async def judge(self, item: Any) -> _Judged:
        text, choice = _text_of(item)
        if not text or choice in self._over:
            return _Judged(item, good=True)
        if self._whole:
            text = "".join([*self._shown.get(choice, ()), text])
        good: Any = self._check(text)
        if inspect.isawaitable(good):
            good = await good
        if good is None:
            raise UsageError("guard(check) takes a function that gives True or False, not None")
        return _Judged(item, bool(good))

    def on_next(self, item: _Judged) -> None:
        self._hear(item.item, item.good)

    def _hear(self, item: Any, good: bool) -> None:
        if type(item) is Reset and item.kind == "restart":
            self._shown.clear()
            self._over.clear()
            self._ends.clear()
        elif type(item) is Finish:
            self._tell()
        if self._over and type(item) is not Reset and getattr(item, "choice", 0) in self._over:
            return
        text, choice = _text_of(item)
        if not good:
            self._refuse(item, choice)
            return
        if text:
            self._shown.setdefault(choice, []).append(text)
        self.observer.on_next(item)

    def on_error(self, error: Exception) -> None:
        if isinstance(error, ChatError) and error.partial:
            error.partial = "".join(self._shown.get(0, ()))  # no more than was shown
        self.observer.on_error(error)

    def on_completed(self) -> None:
        self._tell()
        self.observer.on_completed()

    def _tell(self) -> None:
        ends, self._ends = self._ends, []
        for end in ends:
            self.observer.on_next(end)

    def _refuse(self, item: Any, choice: int) -> None:
        shown = "".join(self._shown.setdefault(choice, []))
        if self._instead is None:
            self.observer.on_error(
                Rejected("a check of yours refused the answer", partial=shown or None)
            )
            return
        self._over.add(choice)
        events = type(item) is Text
        if self._instead:
            self.observer.on_next(Text(self._instead, choice) if events else self._instead)
        if events:
            self._ends.append(Finish("content_filter", choice=choice))
        if self._over >= self._answers:
            self.on_completed()


def _text_of(item: Any) -> tuple[str, int]:
    """The text of an item, and of which answer it is."""
    if type(item) is Text:
        return item.text, item.choice
    return (item, 0) if isinstance(item, str) else ("", 0)
