"""What an answer comes to: its text as it grows, and all of it as one value at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any, TypeAlias, cast

import attrs
import msgspec
from reactivex import Observable, abc
from reactivex.abc import DisposableBase

from rxchat.errors import ChatError, UsageError
from rxchat.events import (
    Event,
    Finish,
    Other,
    Reason,
    Reasoning,
    Refusal,
    Reset,
    Start,
    Text,
    ToolCall,
    Usage,
    is_content,
)
from rxchat.messages import Message, reply
from rxchat.operators.texts.shaping import piece_of
from rxchat.stream import Hop, Scope, lift, lifted

__all__ = ["Answer", "Growing", "collect", "growing"]

TURN = "rxchat.turn"  # what `run_tools` says between two turns
SETTLED = 512  # pieces that are kept as they came, before they are joined


def _is_restart(item: object) -> bool:
    return type(item) is Reset and item.kind == "restart"


# The text so far -------------------------------------------------------------------------------


class _Rope:
    """Text in pieces, joined only when somebody reads it."""

    __slots__ = ("_fresh", "_parts", "length")

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._fresh: list[str] = []
        self.length = 0

    def add(self, piece: str) -> None:
        self.length += len(piece)
        self._fresh.append(piece)
        if len(self._fresh) >= SETTLED:
            self._parts.append("".join(self._fresh))
            self._fresh.clear()

    def read(self, end: int) -> str:
        self._parts = ["".join((*self._parts, *self._fresh))]
        self._fresh.clear()
        return self._parts[0][:end]


class Growing:
    """The text so far; `piece` is the newest of it, and `text` is joined when you read it."""

    __slots__ = ("_length", "_rope", "piece")

    def __init__(self, rope: _Rope, piece: str) -> None:
        self._rope = rope
        self._length = rope.length
        self.piece = piece

    @property
    def text(self) -> str:
        return self._rope.read(self._length)

    def __len__(self) -> int:
        return self._length

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<{self._length:,} characters so far, the newest are {self.piece!r}>"


def growing() -> Callable[[Observable[Any]], Observable[Growing]]:
    """The text so far, after each piece, of a stream of texts or events.

    A value costs nothing until you read its `text`, which copies the text once. So on the way to
    a screen read as often as you paint: put `ops.sample(0.05)` behind it. In memory is one text,
    however many values you keep. After a `Reset` that restarts it is empty, and says so at once.

    >>> from rxchat import of
    >>> of("Hel", "", "lo").pipe(growing()).run().text
    'Hello'
    """

    return lifted(lambda observer: _Growth(observer))


class _Growth(Hop[Any]):
    __slots__ = ("_rope",)

    def __init__(self, observer: abc.ObserverBase[Any]) -> None:
        super().__init__(observer)
        self._rope = _Rope()

    def on_next(self, item: Any) -> None:
        piece = piece_of(item)
        if piece:
            self._rope.add(piece)
        elif _is_restart(item) and self._rope.length:
            self._rope = _Rope()
        else:
            return
        self.observer.on_next(Growing(self._rope, piece or ""))


# All of it as one value ------------------------------------------------------------------------


@attrs.frozen(repr=False)
class Answer:
    """A whole answer; its `message` is the one to append to the conversation."""

    message: Message
    finish: Reason | None = None
    """Why it ended; None if the stream did not say, as one of plain texts."""
    raw: str | None = None
    """The service's own word for that."""
    usage: Usage | None = None
    """What it took in all: also that of other turns, and of what a restart threw away."""
    model: str = ""
    id: str = ""
    first: float | None = None
    """Seconds from the subscription to the first content, None if there was none."""
    total: float = 0.0
    """Seconds from the subscription to the end."""
    others: tuple[Answer, ...] = ()
    """The second answer and those after it, if several were asked for."""

    @property
    def text(self) -> str:
        return self.message.text

    @property
    def reasoning(self) -> str:
        """What the model thought, as far as it tells."""
        return "".join(part.text for part in self.message.parts if isinstance(part, Reasoning))

    @property
    def refusal(self) -> str:
        """Why the model will not answer; empty if it does."""
        return "".join(part.text for part in self.message.parts if isinstance(part, Refusal))

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls that the model asks for, whole."""
        return self.message.tool_calls

    @property
    def choices(self) -> tuple[Answer, ...]:
        """All answers, this one first."""
        return self, *self.others

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        calls = ", ".join(call.name for call in self.tool_calls)
        size = len(self.text)
        said = (f"{size:,} character{'s' * (size != 1)}", calls and f"calls {calls}", self.finish)
        return f"<answer{f' of {self.model}' * bool(self.model)}: {', '.join(filter(None, said))}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        from rxchat.stills import Card

        usage = self.usage or Usage()
        tokens = {"in": usage.input, "out": usage.output}
        facts = {
            "finish": self.finish,
            "calls": "\n".join(f"{call.name}({call.arguments})" for call in self.tool_calls),
            "refusal": self.refusal,
            "reasoning": self.reasoning and f"{len(self.reasoning):,} characters",
            "tokens": ", ".join(f"{n:,} {way}" for way, n in tokens.items() if n is not None),
            "first": self.first is not None and f"after {self.first:.2f} s of {self.total:.2f}",
            "others": self.others and str(len(self.others)),
        }
        rows = [(name, str(fact)) for name, fact in facts.items() if fact]
        return Card("an answer", self.model, rows=rows, block=self.text).bundle()


def collect() -> Callable[[Observable[Any]], Observable[Answer]]:
    """One `Answer` at the end: text, reasoning, tool calls, usage, finish, timings.

    Takes events or plain texts. Of several turns, as tools make them, it is the last one; what a
    `Reset` says to forget is not in it. A failure passes, with the text so far as its `partial`.
    In memory is the answer.

    >>> from rxchat.testing import Scripted
    >>> answer = Scripted("Hel", "lo")("Hi").pipe(collect()).run()
    >>> answer.text, answer.finish, answer.message.role
    ('Hello', 'stop', 'assistant')
    """

    def op(source: Observable[Any]) -> Observable[Answer]:
        def subscribe(
            observer: abc.ObserverBase[Answer], scheduler: abc.SchedulerBase | None = None
        ) -> DisposableBase:
            scope = Scope.of(scheduler)
            return lift(source, _Collecting(observer, scope.loop.time), scope)

        return Observable(subscribe)

    return op


class _Said:
    """What one answer is made of so far: events in a row are joined, so that it takes no more."""

    __slots__ = ("_fresh", "_kept")

    def __init__(self) -> None:
        self._kept: list[Event] = []
        self._fresh: list[Event] = []

    def add(self, event: Event) -> None:
        self._fresh.append(event)
        if len(self._fresh) >= SETTLED:
            self._kept += _joined(self._fresh)
            self._fresh.clear()

    def message(self, choice: int) -> Message:
        return reply((*self._kept, *self._fresh), choice)


_Words: TypeAlias = type[Text | Reasoning | Refusal]


def _joinable(event: Event) -> _Words | None:
    plain = isinstance(event, Text | Reasoning | Refusal) and event.opaque is None
    return cast("_Words", type(event)) if plain else None


def _joined(events: Iterable[Event]) -> Iterator[Event]:
    for kind, alike in groupby(events, _joinable):
        if kind is None:
            yield from alike
        else:
            pieces = cast("list[Text]", [*alike])
            yield kind("".join(piece.text for piece in pieces), pieces[0].choice)


class _Spent:
    """The usage of everything that was asked: the latest of each turn, in sum."""

    __slots__ = ("_before", "_now")

    def __init__(self) -> None:
        self._before: Usage | None = None
        self._now: Usage | None = None

    def hear(self, usage: Usage) -> None:
        self._now = usage  # some services say it again and again, and always all of it

    def settle(self) -> Usage | None:
        """End a turn, and give the sum."""
        now, self._now = self._now, None
        if now is not None:
            self._before = now if self._before is None else _sum(self._before, now)
        return self._before


def _sum(one: Usage, other: Usage) -> Usage:
    pairs = zip(msgspec.structs.astuple(one), msgspec.structs.astuple(other), strict=True)
    return Usage(*(b if a is None else a if b is None else a + b for a, b in pairs))


class _Collecting(Hop[Any]):
    __slots__ = ("_began", "_finishes", "_first", "_said", "_spent", "_start", "_time")

    def __init__(self, observer: abc.ObserverBase[Any], time: Callable[[], float]) -> None:
        super().__init__(observer)
        self._time = time
        self._began = time()
        self._first: float | None = None
        self._start = Start()
        self._spent = _Spent()
        self._said: dict[int, _Said] = {}
        self._finishes: dict[int, Finish] = {}

    def on_next(self, item: Any) -> None:
        event: Any = Text(item) if isinstance(item, str) else item
        kind = cast("type[object]", type(event))
        if is_content(event) and self._first is None:
            self._first = self._time() - self._began
        if kind in _CONTENT:
            if kind is not Other:
                self._turn(event.choice)
            elif event.name == TURN:
                self._forget()
            self._of(event.choice).add(event)
        elif kind is Start:
            self._turn()
            self._start = event
        elif kind is Usage:
            self._spent.hear(event)
        elif kind is Finish:
            self._spent.settle()
            self._of(event.choice)
            self._finishes[event.choice] = event
        elif kind is Reset:
            if event.kind == "restart":
                self._spent.settle()
                self._forget()
        else:
            told = f"ops.collect() takes events or texts, not {kind.__name__}"
            self.observer.on_error(UsageError(told))

    def _of(self, choice: int) -> _Said:
        said = self._said.get(choice)
        if said is None:
            said = self._said[choice] = _Said()
        return said

    def _turn(self, choice: int = 0) -> None:
        """Begin another one, if the last one is over."""
        if choice in self._finishes:
            self._forget()

    def _forget(self) -> None:
        self._said.clear()
        self._finishes.clear()

    def on_error(self, error: Exception) -> None:
        if isinstance(error, ChatError):
            error.about(partial=self._of(0).message(0).text or None)
        self.observer.on_error(error)

    def on_completed(self) -> None:
        usage, total = self._spent.settle(), self._time() - self._began

        def answer(choice: int, others: tuple[Answer, ...] = ()) -> Answer:
            finish = self._finishes.get(choice)
            return Answer(
                self._of(choice).message(choice),
                finish.reason if finish else None,
                finish.raw if finish else None,
                usage,
                self._start.model,
                self._start.id,
                self._first,
                total,
                others,
            )

        self.observer.on_next(answer(0, tuple(map(answer, sorted({*self._said} - {0})))))
        self.observer.on_completed()


_CONTENT = frozenset({Text, Reasoning, Refusal, ToolCall, Other})
