"""How a service hears and answers: what it demands of a request, and its words for an answer."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from attrs import field, frozen

from rxchat.events import Event, Finish, Start, Text, ToolCall, Usage
from rxchat.testing.exchange import Exchange
from rxchat.testing.replies import Failure, Hold, Part, Reply

__all__ = ["Speaker", "Storyteller", "Voice"]


class Speaker(Protocol):
    """Puts one answer into a service's words."""

    content_type: str | None
    """The type of this very answer; None for the voice's."""

    def begin(self) -> bytes:
        """What comes before anything is said."""
        ...

    def say(self, piece: str | Event, /) -> bytes:
        """The words of a piece; they may also wait for a later one."""
        ...

    def fail(self, failure: Failure, /) -> bytes:
        """A failure that is reported inside the answer."""
        ...

    def end(self) -> bytes:
        """What comes after everything is said."""
        ...


class Storyteller(ABC):
    """A speaker of a service whose answers have a beginning and an end.

    Whoever knows the words of a service says how it opens, goes on and closes. What nobody planned
    is as usual: a Start with these words, and a Finish for the reason that fits.
    """

    content_type: str | None = None
    usual = Start("local", "answer-1")

    def __init__(self, exchange: Exchange | None = None) -> None:
        self.exchange = exchange
        self.called = False
        self._opened = False
        self._usage: Usage | None = None
        self._finishes: list[Finish] = []

    @abstractmethod
    def open(self, start: Start) -> bytes:
        """The words of a Start."""

    @abstractmethod
    def tell(self, event: Event) -> bytes:
        """The words of a piece of content."""

    @abstractmethod
    def close(self, usage: Usage | None, finishes: Sequence[Finish]) -> bytes:
        """The words of the end: why each choice ended, and what all cost."""

    @abstractmethod
    def fail(self, failure: Failure, /) -> bytes:
        """The words of a failure."""

    def begin(self) -> bytes:
        """Nothing: a Start may still come."""
        return b""

    def say(self, piece: str | Event, /) -> bytes:
        """The words of a piece; what belongs to the end waits for it."""
        match piece:
            case Start():
                self._opened = True
                return self.open(piece)
            case Usage():
                self._usage = piece
                return b""
            case Finish():
                self._finishes.append(piece)
                return b""
            case _:
                self.called = self.called or isinstance(piece, ToolCall)
                return self._before() + self.tell(Text(piece) if isinstance(piece, str) else piece)

    def end(self) -> bytes:
        """The words of the end."""
        usual = Finish("tool_calls" if self.called else "stop")
        return self._before() + self.close(self._usage, self._finishes or [usual])

    def _before(self) -> bytes:
        return b"" if self._opened else self.say(self.usual)


class _Renderer:
    """A speaker for whom an answer is its pieces, and what a voice puts around them."""

    content_type: str | None = None

    def __init__(self, voice: Voice) -> None:
        self._voice = voice

    def begin(self) -> bytes:
        return self._voice.opening

    def say(self, piece: str | Event, /) -> bytes:
        return self._voice.render(piece)

    def fail(self, failure: Failure, /) -> bytes:
        raise ValueError(f"{self._voice.name} has no words for a failure inside an answer")

    def end(self) -> bytes:
        return self._voice.end


def plain(said: str | Event) -> bytes:
    """Say only the text, as services without any framing do."""
    match said:
        case str(text) | Text(text):
            return text.encode()
        case _:
            raise ValueError(f"raw text cannot say {said!r}")


def no_objection(exchange: Exchange, body: Any) -> Reply | None:
    """Find no fault."""
    return None


@frozen
class Voice:
    """One wire format: where it is asked, what it demands, how it answers."""

    name: str
    path: str
    """The address below the server's; `*` stands for any text."""
    content_type: str = "text/plain; charset=utf-8"
    speaker: Callable[[Exchange], Speaker] | None = None
    """Who puts an answer into words; by default, each piece is rendered by itself."""
    render: Callable[[str | Event], bytes] = plain
    opening: bytes = b""
    """What is sent before the pieces."""
    end: bytes = b""
    """What is sent after them: the end marker."""
    keepalive: bytes = b""
    """What is sent in silence, and means nothing."""
    methods: tuple[str, ...] = ("POST",)
    headers: Mapping[str, str | re.Pattern[str]] = field(factory=dict[str, str | re.Pattern[str]])
    """What a request must have in its headers: a value, or a pattern for all of it."""
    body: Any = None
    """The type of the JSON body; None for any bytes."""
    objection: Callable[[Exchange, Any], Reply | None] = no_objection
    """What no table can tell: signatures, and values that depend on each other."""

    def check(self, exchange: Exchange) -> Reply | None:
        """Give the reply to a wrong request, or None if nothing is wrong."""
        if self.methods and exchange.method not in self.methods:
            allowed = {"Allow": ", ".join(self.methods)}
            return Reply.status(405, f"{exchange.method} is not allowed", headers=allowed)
        if self.body is None:
            return self._object_to_headers(exchange) or self.objection(exchange, exchange.body)
        media_type = exchange.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            return Reply.status(415, f"content type {media_type!r} is not application/json")
        try:
            body = msgspec.json.decode(exchange.body, type=self.body)
        except msgspec.ValidationError as wrong:
            return Reply.status(422, str(wrong))
        except msgspec.DecodeError as wrong:
            return Reply.status(400, str(wrong))
        return self._object_to_headers(exchange) or self.objection(exchange, body)

    def _object_to_headers(self, exchange: Exchange) -> Reply | None:
        for name, rule in self.headers.items():
            value = exchange.headers.get(name)
            right = value == rule if isinstance(rule, str) else rule.fullmatch(value or "")
            if not right:
                return Reply.status(400, f"header {name} is {value!r}, which is not {rule!r}")
        return None

    def speak(self, reply: Reply, exchange: Exchange) -> tuple[str, list[Part]]:
        """Put a reply into this service's words, and say of what content type they are."""
        if reply.body is not None:
            return self.content_type, [reply.body] * reply.repeat
        speaker = self.speaker(exchange) if self.speaker else _Renderer(self)
        said: list[Part] = []
        for piece in reply.pieces:
            match piece:
                case Hold():
                    said.append(piece)
                case Failure():
                    said.append(speaker.fail(piece))
                case _:
                    said.append(speaker.say(piece))
        failed = any(isinstance(piece, Failure) for piece in reply.pieces)
        end = speaker.end() if reply.finishes and not failed else b""
        return speaker.content_type or self.content_type, [speaker.begin(), *said, end]
