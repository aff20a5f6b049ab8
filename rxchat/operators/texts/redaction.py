"""What must not be seen is covered up before it is shown, wherever the text is cut."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar, cast

import attrs
import msgspec
from reactivex import Observable, abc

from rxchat.calls import TURN
from rxchat.errors import CallbackFailed, ChatError, UsageError
from rxchat.events import Finish, Other, Reasoning, Refusal, Reset, Text, ToolCall
from rxchat.messages import Message, Part
from rxchat.operators.texts import patterns as ready
from rxchat.operators.texts.finding import LONGEST, Finder, Needle, Sought, needles
from rxchat.operators.texts.quoting import Quoted
from rxchat.operators.texts.shaping import Shaper
from rxchat.operators.tools.running import TOOL_RESULT
from rxchat.stream import Hop, lifted

__all__ = ["redact"]

T = TypeVar("T")
_SPOKEN = frozenset({str, Text, Reasoning, Refusal})
_TOLD = frozenset({TURN, TOOL_RESULT})  # events of ours that have messages

Cover: TypeAlias = str | Callable[[re.Match[str]], str]


def redact(
    *patterns: Sought, with_: Cover = "***", longest: int = LONGEST, arguments: bool = False
) -> Callable[[Observable[T]], Observable[T]]:
    """Cover up strings, regular expressions (`re.compile`) and ready patterns, as `EMAILS`.

    What comes out is the same at any cut: as if the whole text were searched from left to right;
    where two match at one place, the longer one counts. Only what may be, or become, a match is
    held back. No listed string is ever in the text that comes out, also not where one is covered
    up: a `with_` that could help to spell it is refused.

    A match of a regular expression has up to `longest` characters. One that grows longer is covered
    up with the rest of its word, up to the next blank; one that is only complete after more than
    that is not found. It may look no further ahead than that, and 256 characters back. Memory: at
    most `longest` (or the longest string) and 1,280 characters for each answer, and as much for
    each of its tool calls.

    `with_` is put in as it is; a function is given the match (its positions mean nothing), and what
    it gives is not searched again. Texts, reasoning and refusals are redacted, and those in the
    messages that `run_tools` tells between turns. With `arguments=True`, so are the arguments of
    tool calls: in their strings, escapes and all, and their numbers; they stay valid JSON.

    A text goes on until another kind of content begins, a tool call, or a part with something
    opaque: a secret that is torn by these is searched for in each part only. A model that resumes
    an answer may repeat or leave out what is at the seam: put this behind `retry` and `fallback`,
    so that it hears both sides of it.

    >>> from rxchat import of
    >>> from rxchat.operators import to_list
    >>> of("my key is s3c", "ret!").pipe(redact("s3cret"), to_list()).run()
    ['my key is ', '***!']
    """
    for name in patterns:
        if isinstance(name, str) and name in ready.__all__:
            raise UsageError(f"redact({name!r}) covers up that word: did you mean ops.{name}?")
    found = needles(patterns, longest=longest)
    if isinstance(with_, str):
        _harmless(with_, [word for word in patterns if isinstance(word, str)])
    elif not callable(with_):
        raise UsageError(f"redact(with_=) is a string or a function of the match, not {with_!r}")

    return lifted(lambda observer: _Redacting(observer, lambda: Redactor(found, with_), arguments))


def _harmless(cover: str, words: Sequence[str]) -> None:
    """Refuse what could spell a listed string together with the text beside it."""
    for word in words:
        if (
            cover in word
            or word in cover
            or any(word.startswith(cover[-size:]) for size in range(1, len(cover)))
            or any(word.endswith(cover[:size]) for size in range(1, len(cover)))
        ):
            raise UsageError(
                f"with_={cover!r} and the text beside it could spell what you want to hide: "
                "choose a text that shares no beginning or end with it"
            )


class Redactor:
    """Text in pieces, to text in pieces where matches are covered up."""

    __slots__ = ("_cover", "_finder")
    over = None

    def __init__(self, needles: Sequence[Needle], cover: Cover) -> None:
        self._finder = Finder(needles)
        self._cover = cover

    @property
    def kept(self) -> int:
        return self._finder.kept

    def feed(self, text: str, /) -> list[str]:
        return [*map(self._covered, self._finder.feed(text))]

    def close(self) -> list[str]:
        return [*map(self._covered, self._finder.close())]

    def _covered(self, part: str | re.Match[str]) -> str:
        if isinstance(part, str):
            return part
        return self._cover if isinstance(self._cover, str) else self._cover(part)


def _plain(item: str | Text | Reasoning | Refusal) -> object:
    """The same, of the kind that its own is derived from."""
    if isinstance(item, str):
        return str.__str__(item)
    kind: Any = next(kind for kind in type(item).__mro__ if kind in _SPOKEN)
    return kind(item.text, item.choice, item.opaque)


class _Part:
    """Texts that belong together; `latest` is the last of them."""

    __slots__ = ("latest", "shaper")

    def __init__(self, latest: Any, shaper: Shaper) -> None:
        self.latest = latest
        self.shaper = shaper


class _Redacting(Hop[Any]):
    __slots__ = ("_arguments", "_calls", "_emit", "_make", "_parts")

    def __init__(
        self, observer: abc.ObserverBase[Any], make: Callable[[], Shaper], arguments: bool
    ) -> None:
        super().__init__(observer)
        self._emit = observer.on_next
        self._make = make
        self._arguments = arguments
        self._parts: dict[int, _Part] = {}  # what each answer says now
        self._calls: dict[tuple[int, int], _Part] = {}  # and its tool calls

    def on_next(self, item: Any) -> None:
        kind = cast("type[object]", type(item))
        if kind in _SPOKEN:
            self._speak(item, kind)
        elif kind is ToolCall:
            self._call(item)
        elif isinstance(item, str | Text | Reasoning | Refusal):  # of a kind derived from these
            self.on_next(_plain(item))
        elif kind is Other and item.name in _TOLD:
            self._end_all()
            self._emit(msgspec.structs.replace(item, data=self._told(item.data)))
        else:
            if kind is Finish:
                self._end(item.choice)
            elif kind is Reset and item.kind == "restart":
                self._parts.clear()
                self._calls.clear()
            self._emit(item)

    def on_error(self, error: Exception) -> None:
        self._end_all()
        if isinstance(error, ChatError) and error.partial:
            error.partial = self._whole(self._make(), error.partial)
        self.observer.on_error(error)

    def on_completed(self) -> None:
        self._end_all()
        self.observer.on_completed()

    def _speak(self, item: Any, kind: type[object]) -> None:
        choice, text = (0, item) if kind is str else (item.choice, item.text)
        part = self._parts.get(choice)
        if part is None or type(part.latest) is not kind:
            if part is not None and not text:  # as services send it beside another kind
                self._emit(item)
                return
            self._end(choice)
            part = self._parts[choice] = _Part(item, self._make())
        part.latest = item
        opaque = kind is not str and item.opaque is not None
        shown = self._shaped(part.shaper, text)
        if opaque:  # a part of its own, which ends here
            shown += self._shaped(part.shaper, None)
            del self._parts[choice]
        if shown or opaque or not text:
            self._emit(shown if kind is str else msgspec.structs.replace(item, text=shown))

    def _call(self, item: ToolCall) -> None:
        self._end_part(item.choice)
        if not self._arguments:
            self._emit(item)
            return
        key = item.choice, item.index
        call = self._calls.get(key)
        if call is not None and item.id and item.id != call.latest.id:  # a new one, same index
            self._end_call(key)
            call = None
        if call is None:
            call = self._calls[key] = _Part(item, Quoted(self._make()))
        shown = self._shaped(call.shaper, item.arguments)
        self._emit(msgspec.structs.replace(item, arguments=shown))

    def _told(self, said: object) -> object:
        """Messages, which are whole, without what is to be hidden."""
        if isinstance(said, tuple):
            return (*map(self._told, cast("Sequence[object]", said)),)
        if not isinstance(said, Message):
            return said
        if isinstance(said.content, str):
            return attrs.evolve(said, content=self._whole(self._make(), said.content))
        return attrs.evolve(said, content=tuple(map(self._told_part, said.content)))

    def _told_part(self, part: Part) -> Part:
        if isinstance(part, Text | Reasoning | Refusal):
            return msgspec.structs.replace(part, text=self._whole(self._make(), part.text))
        if self._arguments and isinstance(part, ToolCall):
            shown = self._whole(Quoted(self._make()), part.arguments)
            return msgspec.structs.replace(part, arguments=shown)
        return part

    def _end_part(self, choice: int) -> None:
        part = self._parts.pop(choice, None)
        rest = part and self._shaped(part.shaper, None)
        if part and rest:
            latest = part.latest
            self._emit(rest if isinstance(latest, str) else type(latest)(rest, choice))

    def _end_call(self, key: tuple[int, int]) -> None:
        call = self._calls.pop(key)
        if rest := self._shaped(call.shaper, None):
            self._emit(ToolCall(key[1], arguments=rest, choice=key[0]))

    def _end(self, choice: int) -> None:
        self._end_part(choice)
        for key in [key for key in self._calls if key[0] == choice]:
            self._end_call(key)

    def _end_all(self) -> None:
        for choice in {*self._parts, *(choice for choice, _ in self._calls)}:
            self._end(choice)

    def _whole(self, shaper: Shaper, text: str) -> str:
        return self._shaped(shaper, text) + self._shaped(shaper, None)

    def _shaped(self, shaper: Shaper, text: str | None) -> str:
        """What may be shown now; None is the end of the text."""
        try:
            return "".join(shaper.close() if text is None else shaper.feed(text))
        except Exception as bug:
            self._parts.clear()
            self._calls.clear()
            self.observer.on_error(bug if isinstance(bug, ChatError) else CallbackFailed.by(bug))
            return ""
