"""What has come of one answer, in order, as it is to be seen: no IO, no HTML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

from attrs import define, field

from rxchat.calls import TURN
from rxchat.events import Finish, Other, Reasoning, Refusal, Reset, Start, Text, ToolCall, Usage
from rxchat.messages import Message
from rxchat.operators.gathering.collecting import Growing
from rxchat.operators.tools.running import TOOL_RESULT

__all__ = ["Call", "Part", "Progress", "Said", "Sort", "Status"]

Status: TypeAlias = Literal["running", "completed", "failed", "stopped"]
Sort: TypeAlias = Literal["text", "reasoning", "refusal", "value"]


@define(eq=False)
class Said:
    """Words in a row of one sort; joined when somebody reads them."""

    sort: Sort
    choice: int = 0
    _pieces: list[str] = field(factory=list[str])

    def add(self, piece: str) -> None:
        self._pieces.append(piece)

    @property
    def text(self) -> str:
        self._pieces = ["".join(self._pieces)]
        return self._pieces[0]


@define(eq=False)
class Call:
    """A tool call, and what it gave, once it is known."""

    index: int
    choice: int = 0
    id: str = ""
    name: str = ""
    result: Message | None = None
    _arguments: list[str] = field(factory=list[str])

    def add(self, piece: ToolCall) -> None:
        self.id, self.name = self.id or piece.id, self.name or piece.name
        self._arguments.append(piece.arguments)

    @property
    def arguments(self) -> str:
        self._arguments = ["".join(self._arguments)]
        return self._arguments[0]


Part: TypeAlias = Said | Call


class Progress:
    """Takes what a stream gives, events or texts or anything, and knows what there is to see.

    >>> progress = Progress()
    >>> for item in (Reasoning("Hm."), Text("Hel"), "lo"):
    ...     progress.take(item)
    >>> [(part.sort, part.text) for part in progress.parts]
    [('reasoning', 'Hm.'), ('text', 'Hello')]
    """

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.notes: list[str] = []
        """Seams, in words."""
        self.status: Status = "running"
        self.error: Exception | None = None
        self.model = ""
        self.finishes: dict[int, Finish] = {}
        self.restarts = 0
        """How often what had been seen was forgotten."""
        self._turn: Sequence[Part] = ()  # what came before this turn
        self._forgotten: Sequence[Part] = ()
        self._calls: dict[tuple[int, int], Call] = {}
        self._latest: dict[int, Part] = {}  # of each answer, which may go on

    def take(self, item: object) -> None:
        """Note the next item."""
        if type(item) is not Other:
            self._forgotten = ()
        match item:
            case Text():
                self._say("text", item.text, item.choice)
            case str():
                self._say("text", item)
            case Reasoning():
                self._say("reasoning", item.text, item.choice)
            case Refusal():
                self._say("refusal", item.text, item.choice)
            case ToolCall():
                self._call(item)
            case Other():
                self._other(item)
            case Reset():
                self._reset(item)
            case Start():
                self.model = item.model or self.model
            case Finish():
                self._finish(item)
            case Usage():
                pass  # the meter knows it
            case Growing():
                self._grow(item)
            case _:
                self._say("value", f"{item!r}\n")

    def end(self, status: Status, error: Exception | None = None) -> None:
        """It is over."""
        self.status, self.error = status, error

    @property
    def text(self) -> str:
        """The answer alone, without thoughts; of several, the first."""
        return "\n\n".join(_texts(self.parts))

    def choices(self) -> Mapping[int, Sequence[Part]]:
        """The parts of each answer, if there are several."""
        found: dict[int, list[Part]] = {0: []}
        for part in self.parts:
            found.setdefault(part.choice, []).append(part)
        return found

    # One kind of item each ------------------------------------------------------------------------

    def _say(self, sort: Sort, piece: str, choice: int = 0) -> None:
        if not piece:
            return
        last = self._latest.get(choice)
        if not isinstance(last, Said) or last.sort != sort:
            last = Said(sort, choice)
            self._put(last)
        last.add(piece)

    def _put(self, part: Part) -> None:
        self.finishes.pop(part.choice, None)  # another answer, in the same stream
        self.parts.append(part)
        self._latest[part.choice] = part

    def _finish(self, item: Finish) -> None:
        """What comes after it, comes anew."""
        self.finishes[item.choice] = item
        self._latest.pop(item.choice, None)
        for place in [place for place in self._calls if place[0] == item.choice]:
            del self._calls[place]

    def _grow(self, item: Growing) -> None:
        if not item.piece:
            self._restart("")
        self._say("text", item.piece)

    def _call(self, item: ToolCall) -> None:
        place = item.choice, item.index
        call = self._calls.get(place)
        if call is None:
            call = self._calls[place] = Call(item.index, item.choice)
            self._put(call)
        call.add(item)

    def _other(self, item: Other) -> None:
        if item.name == TOOL_RESULT and isinstance(item.data, Message):
            self._result(item.data)
        elif item.name == TURN:
            self.parts[:0] = self._forgotten  # a restart was of the last turn alone
            self._forgotten = ()
            self._turn = (*self.parts,)
            self._calls.clear()
            self._latest.clear()

    def _result(self, message: Message) -> None:
        waiting = [call for call in self._calls.values() if call.result is None]
        mine = next((call for call in waiting if call.id == message.call), None)
        if mine is not None:
            mine.result = message

    def _reset(self, item: Reset) -> None:
        if item.kind == "restart":
            self._restart(item.cause)
        else:
            self.notes.append(f"goes on elsewhere: {item.cause}".removesuffix(": "))

    def _restart(self, cause: str) -> None:
        self.notes.append(f"began anew: {cause}".removesuffix(": "))
        self._forgotten, self._turn = self._turn, ()
        self.parts.clear()
        self._calls.clear()
        self._latest.clear()
        self.finishes.clear()
        self.restarts += 1


def _texts(parts: Sequence[Part]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, Said) and part.sort != "reasoning" and part.choice == 0:
            yield part.text
