"""Anthropic's messages, and whoever imitates them.

https://platform.claude.com/docs/en/build-with-claude/streaming

An answer is a list of blocks. Text, thoughts and calls become events of their own; any other
block (a server's tool and what it gave, a compaction, a fallback) is an `Other` under the name of
its type, whole. What is signed or encrypted goes back with the next turn, block by block.

Thoughts are summarised or left out as the model likes; `extra={"thinking": {"display":
"summarized"}}` asks for them. Citations are heard, but do not go back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import attrs
import msgspec
from msgspec import Struct
from msgspec.json import Decoder

from rxchat.calls import Calls
from rxchat.errors import EmptyAnswer, UsageError
from rxchat.events import (
    Event,
    Opaque,
    Other,
    Reason,
    Reasoning,
    Start,
    Text,
    ToolCall,
    Usage,
)
from rxchat.framing import SSE, Frame
from rxchat.keys import Key, Setting
from rxchat.options import BODY
from rxchat.provider import Format, Provider
from rxchat.providers.anthropic_body import messages_body
from rxchat.providers.frames import (
    count,
    fields,
    finish,
    in_band,
    items,
    json_text,
    parsed,
    read,
    text,
)
from rxchat.request import EVENT_STREAM, Headers
from rxchat.signing import Signature, bearer, header_key

__all__ = ["MESSAGES", "MessageEvents", "anthropic"]

# https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons
REASONS: Mapping[str, Reason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    # Neither is an end: the same conversation, sent again with the answer in it, goes on.
    "pause_turn": "other",
    "compaction": "other",
}

# What comes --------------------------------------------------------------------------------------


class Delta(Struct, gc=False):
    type: Any = None
    text: Any = None
    thinking: Any = None
    signature: Any = None
    partial_json: Any = None
    stop_reason: Any = None


class Said(Struct, gc=False):
    type: Any = None
    index: Any = None
    delta: Delta | None = None
    content_block: Any = None
    message: Any = None
    usage: Any = None
    error: Any = None


_decode = Decoder(Said).decode

# What has a place among the events already; the rest of a message is given at its end.
_MESSAGE = {"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"}
_DELTA = {"stop_reason"}
_EVENT = {"type", "delta", "usage"}


class MessageEvents:
    """Server-sent events to events. The answer ends with `message_stop`."""

    def __init__(self) -> None:
        self._begun = False
        self._started = False
        self._reason = ""
        self._calls = Calls()
        self._usage: dict[str, Any] = {}
        self._extras: dict[str, Any] = {}
        self._open: dict[object, tuple[dict[str, Any], list[str]]] = {}  # blocks, with their input
        self._given = set[object]()  # the blocks of calls whose arguments came at once
        self._signature = ""  # of the thoughts in the block that is open

    def feed(self, frames: Iterable[Frame]) -> Iterator[Event]:
        for frame in frames:
            try:
                said = _decode(frame.data)
            except (ValueError, RecursionError):
                line = frame.data.strip()
                if "[DONE]".startswith(line):  # which only proxies say
                    continue
                said = read(_decode, line)
            kind, delta = said.type or frame.event, said.delta
            if kind == "message_stop":
                yield from self._end()
                return
            if kind == "ping":
                continue
            self._begun = True
            if kind == "content_block_delta" and delta is not None:
                if delta.text and delta.type == "text_delta" and type(delta.text) is str:
                    yield Text(delta.text)
                elif delta.thinking and type(delta.thinking) is str:
                    yield Reasoning(delta.thinking)
                else:
                    yield from self._piece(said.index, delta, frame)
            else:
                yield from self._step(text(kind), said, frame)

    def close(self) -> Iterator[Event]:
        if not self._begun:
            raise EmptyAnswer("the answer ended without a word")
        yield from ()

    def _step(self, kind: str, said: Said, frame: Frame) -> Iterator[Event]:
        """Whatever is no piece of a block."""
        if kind == "error" or said.error:
            yield from self._cost()
            raise in_band(frame.data)
        match kind:
            case "message_start":
                yield from self._message(fields(said.message))
            case "content_block_start":
                yield from self._opened(said.index, fields(said.content_block))
            case "content_block_stop":
                yield from self._closed(said.index)
            case "message_delta":
                self._reason = text(said.delta and said.delta.stop_reason) or self._reason
                self._usage |= _told(said.usage)
                event = fields(parsed(frame.data))
                self._extras |= _told(event, _EVENT) | _told(event.get("delta"), _DELTA)
            case _:
                yield Other(kind, parsed(frame.data))

    def _message(self, message: Mapping[str, Any]) -> Iterator[Event]:
        """The beginning, which some proxies say twice; a tool called by code may be in it."""
        if self._started:
            return
        self._started = True
        yield Start(text(message.get("model")), text(message.get("id")))
        self._usage |= _told(message.get("usage"))
        self._extras |= _told(message, _MESSAGE)
        for at, block in enumerate(items(message.get("content"))):
            yield from self._opened(~at, fields(block))  # no index of the blocks that follow
            yield from self._closed(~at)

    def _opened(self, index: object, block: Mapping[str, Any]) -> Iterator[Event]:
        yield from self._signed()  # by the block before, whose end was not said
        match block.get("type"):
            case "text":
                if said := text(block.get("text")):
                    yield Text(said)
                if cited := block.get("citations"):
                    yield Other("citations", cited)
            case "thinking":
                if thought := text(block.get("thinking")):
                    yield Reasoning(thought)
                self._signature = text(block.get("signature"))
            case "redacted_thinking":
                yield Reasoning("", opaque=Opaque("anthropic", block))
            case "tool_use":
                yield self._called(index, block)
            case str():
                yield from self._closed(index)  # whose end was not said
                self._open[_place(index)] = ({**block}, [])
            case _:
                yield Other("content_block_start", block)

    def _called(self, index: object, block: Mapping[str, Any]) -> ToolCall:
        given = block.get("input")  # nearly always {}: the arguments follow
        arguments = json_text(given) if given else ""
        (self._given.add if given else self._given.discard)(_place(index))
        id_, name = text(block.get("id")), text(block.get("name"))
        call = self._calls.piece(index, id_, name, arguments)
        if rest := _told(block, {"type", "id", "name", "input"}):  # as who called it
            return msgspec.structs.replace(call, opaque=Opaque("anthropic", rest))
        return call

    def _piece(self, index: object, delta: Delta, frame: Frame) -> Iterator[Event]:
        """A piece of a block that is not simply more text."""
        block, given = self._open.get(_place(index), (None, list[str]()))
        told = fields(fields(parsed(frame.data)).get("delta"))
        match delta.type:
            case "input_json_delta":
                if block is not None:
                    given.append(text(delta.partial_json))
                elif delta.partial_json and _place(index) not in self._given:
                    yield self._calls.piece(index, "", "", text(delta.partial_json))
            case "signature_delta":
                self._signature += text(delta.signature)
            case "citations_delta":
                yield Other("citations_delta", told.get("citation"))
            case "compaction_delta" if block is not None:
                block |= _told(told, {"type"})
            case _:
                if _told(told, {"type"}):
                    yield Other(text(delta.type), told)

    def _closed(self, index: object) -> Iterator[Event]:
        """The end of a block, which goes back as it came unless its input was cut short."""
        yield from self._signed()
        if _place(index) not in self._open:
            return
        block, given = self._open.pop(_place(index))
        whole = True
        if arguments := "".join(given):
            try:
                block["input"] = msgspec.json.decode(arguments)
            except (ValueError, RecursionError):
                block["input"], whole = arguments, False
        opaque = Opaque("anthropic", block) if whole else None
        yield Other(text(block.get("type")), block, opaque)

    def _signed(self) -> Iterator[Event]:
        """The signature of the thoughts before it: their block without the text."""
        if signature := self._signature:
            self._signature = ""
            sealed = {"type": "thinking", "signature": signature}
            yield Reasoning("", opaque=Opaque("anthropic", sealed))

    def _cost(self) -> Iterator[Event]:
        """What it took; whoever does not count says 0, if anything."""
        usage = _usage(self._usage)
        if any(msgspec.structs.astuple(usage)):
            yield usage

    def _end(self) -> Iterator[Event]:
        if not self._begun:
            raise EmptyAnswer("the answer ended without a word")
        for index in [*self._open]:  # max_tokens ends an answer within a block
            yield from self._closed(index)
        yield from self._signed()
        yield from (Other(name, value) for name, value in self._extras.items())
        yield from self._cost()
        yield finish(REASONS, self._reason, called=self._calls.made())


def _place(index: object) -> object:
    return index if isinstance(index, int) else None


def _told(facts: object, known: Iterable[str] = ()) -> dict[str, Any]:
    """What is said besides what is known: null and nothing say nothing, 0 does."""
    return {
        name: value
        for name, value in fields(facts).items()
        if name not in known and (value or value == 0)
    }


def _usage(told: Mapping[str, Any]) -> Usage:
    """The input is what was neither read from the cache nor written to it."""
    return Usage(
        count(told.get("input_tokens")),
        count(told.get("output_tokens")),
        None,
        count(fields(told.get("output_tokens_details")).get("thinking_tokens")),
        count(told.get("cache_read_input_tokens")),
    )


# Who asks ----------------------------------------------------------------------------------------

_HEADERS: Mapping[str, Callable[[str], Signature]] = {
    "x-api-key": partial(header_key, "x-api-key"),
    "bearer": bearer,
}


@attrs.frozen
class ApiKey:
    """A key in the header that the setting `auth` names, or a token of the environment."""

    variables = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")
    missing = f"pass key=..., or set {' or '.join(variables)}"

    def __call__(self, key: Any, setting: Callable[[str], str], /) -> Signature | None:
        header = setting("auth")
        if header not in _HEADERS:
            raise UsageError(f"auth is one of {', '.join(map(repr, _HEADERS))}, not {header!r}")
        of_a_key, of_a_token = self.variables
        by_key = Key(of_a_key, _HEADERS[header])(key, setting)
        return by_key or Key(of_a_token)(None, setting)

    def header(self, setting: Callable[[str], str]) -> str | None:
        """The header that a key goes in, for who looks."""
        by_key = _HEADERS.get(setting("auth"))
        return by_key and Key(self.variables, by_key).header(setting)


MESSAGES = Format(
    path="/v1/messages",
    body=messages_body,
    decoder=SSE,
    mapping=MessageEvents,
    expects=EVENT_STREAM,
    options={option: None for option in BODY if option not in ("seed", "n")},
    images=True,
)

anthropic = Provider(
    name="anthropic",
    format=MESSAGES,
    base_url="https://api.anthropic.com",
    site="https://platform.claude.com",
    model="claude-haiku-5-5",
    auth=ApiKey(),
    settings={
        "version": Setting(default="2023-06-01"),
        "auth": Setting(default="x-api-key"),
        "beta": Setting(default=""),
    },
    headers=Headers(
        {
            "Content-Type": "application/json",
            "anthropic-version": "{version}",
            "anthropic-beta": "{beta}",
        }
    ),
)
"""Anthropic; `version`, `auth` ("x-api-key" or "bearer") and `beta` are settings of its headers."""
