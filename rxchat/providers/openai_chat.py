"""OpenAI's chat completions, the format that most others imitate.

https://platform.openai.com/docs/api-reference/chat

The imitators differ in small things, all of which the mapping takes as they come: no `[DONE]`, no
finish reason, no or many usages, calls without an index or with the same one, thoughts under four
names, and errors in five shapes. What must differ in the request is a word of `ChatBody`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import attrs
from msgspec import Struct
from msgspec.json import Decoder

from rxchat.calls import Calls
from rxchat.errors import EmptyAnswer, ServerError, Truncated
from rxchat.events import (
    Event,
    Opaque,
    Other,
    Reason,
    Reasoning,
    Refusal,
    Start,
    Text,
    Usage,
)
from rxchat.framing import SSE, Frame
from rxchat.keys import Key, Setting
from rxchat.options import BODY
from rxchat.provider import Format, Provider
from rxchat.providers.frames import (
    Call,
    Function,
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
from rxchat.providers.openai_body import ChatBody
from rxchat.request import EVENT_STREAM, Headers

__all__ = ["CHAT", "ChatChunks", "openai"]

REASONS: Mapping[str, Reason] = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}

# What comes --------------------------------------------------------------------------------------


class Delta(Struct, gc=False):
    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    reasoning_details: Any = None
    refusal: Any = None
    annotations: Any = None
    tool_calls: list[Call] | None = None
    function_call: Function | None = None


class Choice(Struct, gc=False):
    delta: Delta | None = None
    message: Delta | None = None
    index: Any = 0
    finish_reason: Any = None
    logprobs: Any = None


class Chunk(Struct, gc=False):
    choices: list[Choice] | None = None
    object: Any = None
    usage: Any = None
    x_groq: Any = None
    error: Any = None
    citations: Any = None
    search_results: Any = None
    moderation: Any = None


class Head(Struct, gc=False):
    id: Any = None
    model: Any = None


_decode = Decoder(Chunk).decode
_head = Decoder(Head).decode


class ChatChunks:
    """Chunks to events. The answer ends with `[DONE]`, or with the body if a reason was given."""

    def __init__(self) -> None:
        self._started = False
        self._choices = frozenset[int]()  # that were heard
        self._whole = frozenset[int]()  # of these, whose messages come without deltas
        self._reasons: dict[int, str] = {}  # why each choice ended
        self._calls = Calls()
        self._usage: Mapping[str, Any] = {}
        self._extras: dict[str, Any] = {}  # what may be said in every chunk, and is given once

    def feed(self, frames: Iterable[Frame]) -> Iterator[Event]:
        last = None  # whose piece was the last one
        for frame in frames:
            try:
                chunk = _decode(frame.data)
            except (ValueError, RecursionError):
                line = frame.data.strip()
                if line == "[DONE]":
                    yield from self._end()
                    return
                if not line:
                    continue
                if "[DONE]".startswith(line):
                    raise Truncated("the answer ended within its end mark") from None
                chunk = read(_decode, line)
            choices = chunk.choices
            if not self._started:
                yield from self._begin(chunk, frame)
            if choices:
                for choice in choices:
                    index = choice.index if type(choice.index) is int else 0
                    delta = choice.delta
                    if delta is None:
                        delta = self._message(choice, index)
                    if index != last:
                        last = index
                        self._choices |= {index}
                    if delta is not None:
                        if delta.reasoning_content or delta.reasoning or delta.reasoning_details:
                            yield from _thoughts(delta, index)
                        said = delta.content
                        if said:
                            if type(said) is str:
                                yield Text(said, index) if index else Text(said)
                            else:
                                yield from _parts(said, index)
                        if delta.tool_calls or delta.function_call or delta.refusal:
                            yield from self._asked(delta, index)
                        if delta.annotations:
                            yield Other("annotations", delta.annotations, choice=index)
                    if choice.finish_reason:
                        self._reasons[index] = text(choice.finish_reason)
                    if choice.logprobs:
                        yield Other("logprobs", choice.logprobs, choice=index)
            if chunk.usage or chunk.error or chunk.x_groq or chunk.moderation or not choices:
                yield from self._aside(chunk, frame)
                if chunk.object == "chat.completion.done":  # Perplexity's [DONE]
                    yield from self._end()
                    return

    def close(self) -> Iterator[Event]:
        if not self._started:
            raise EmptyAnswer("the answer ended without a word")
        if self._reasons and self._choices <= self._reasons.keys():
            yield from self._end()

    def _begin(self, chunk: Chunk, frame: Frame) -> Iterator[Event]:
        """The model and the id are in every chunk, and read once."""
        head = read(_head, frame.data)
        model, id_ = text(head.model), text(head.id)
        if chunk.choices or model or id_:
            self._started = True
            yield Start(model, id_)

    def _message(self, choice: Choice, index: int) -> Delta | None:
        """What stands in place of a delta, unless it repeats what deltas have told."""
        if choice.message is None or index in self._choices - self._whole:
            return None
        self._whole |= {index}
        return choice.message

    def _asked(self, delta: Delta, choice: int) -> Iterator[Event]:
        """Calls of tools, or why there is no answer."""
        if isinstance(delta.refusal, str) and delta.refusal:
            yield Refusal(delta.refusal, choice)
        calls = delta.tool_calls or ()
        if delta.function_call is not None:  # as it was called in 2023
            calls = (*calls, Call("function", None, delta.function_call))
        for place, call in enumerate(calls):
            function = call.function or Function()
            id_, name = text(call.id), text(function.name)
            nameless = call.index is None and not id_
            index = place if nameless and name and len(calls) > 1 else call.index
            yield self._calls.piece(index, id_, name, json_text(function.arguments), choice)

    def _aside(self, chunk: Chunk, frame: Frame) -> Iterator[Event]:
        """What is not the answer itself: what it cost, and what went wrong."""
        usage = chunk.usage or fields(chunk.x_groq).get("usage")
        if usage:
            self._usage = fields(usage)
        for name in ("citations", "search_results", "moderation"):
            if value := getattr(chunk, name):
                self._extras[name] = value
        if chunk.error or chunk.object == "error" or frame.event == "error":
            if self._usage:
                yield _usage(self._usage)
            raise in_band(frame.data)
        if chunk.choices is None and not usage and chunk.object != "chat.completion.chunk":
            yield Other(text(chunk.object) or frame.event, parsed(frame.data))

    def _end(self) -> Iterator[Event]:
        if not self._started:
            raise EmptyAnswer("the answer ended without a word")
        if "error" in self._reasons.values():
            raise ServerError("the model stopped with an error")
        if self._reasons and self._choices - self._reasons.keys():
            raise Truncated("a choice of the answer has no end")
        yield from (Other(name, value) for name, value in self._extras.items())
        if self._usage:
            yield _usage(self._usage)
        for choice in sorted(self._choices) or [0]:
            raw, called = self._reasons.get(choice), self._calls.made(choice)
            yield finish(REASONS, raw, called=called, choice=choice)


def _thoughts(delta: Delta, choice: int) -> Iterator[Event]:
    """Some send the same thought under two names."""
    details = items(delta.reasoning_details)
    thought = text(delta.reasoning_content) or text(delta.reasoning)
    if not thought:
        told = map(fields, details)
        thought = "".join(text(one.get("text")) or text(one.get("summary")) for one in told)
    opaque = Opaque("openai", details) if details else None
    if thought or opaque:
        yield Reasoning(thought, choice, opaque)


def _parts(content: object, choice: int) -> Iterator[Event]:
    """Content in parts, as Mistral sends it when the model thinks; or one part alone."""
    for part in _several(content):
        thoughts = map(_words, _several(fields(part).get("thinking")))
        yield from (Reasoning(thought, choice) for thought in thoughts if thought)
        if said := _words(part):
            yield Text(said, choice)
        elif part and not fields(part).keys() & {"text", "thinking"}:
            yield Other("content", part, choice=choice)


def _several(value: object) -> list[Any]:
    return items(value) or [value]


def _words(part: object) -> str:
    return text(part) or text(fields(part).get("text"))


def _usage(told: Mapping[str, Any]) -> Usage:
    cached = fields(told.get("prompt_tokens_details")).get("cached_tokens")
    return Usage(
        count(told.get("prompt_tokens")),
        count(told.get("completion_tokens")),
        count(told.get("total_tokens")),
        count(fields(told.get("completion_tokens_details")).get("reasoning_tokens")),
        count(told.get("prompt_cache_hit_tokens") if cached is None else cached),
    )


# Who says it -------------------------------------------------------------------------------------

CHAT = Format(
    path="/chat/completions",
    body=ChatBody(),
    decoder=partial(SSE, fields=frozenset({"error"})),
    mapping=ChatChunks,
    expects=EVENT_STREAM,
    options=dict.fromkeys(BODY),
    images=True,
)

openai = Provider(
    name="openai",
    format=attrs.evolve(CHAT, body=ChatBody(max_tokens="max_completion_tokens", refusals=True)),
    base_url="https://api.openai.com/v1",
    site="https://platform.openai.com",
    model="gpt-5-mini",
    auth=Key("OPENAI_API_KEY"),
    settings={
        "organization": Setting("OPENAI_ORG_ID", default=""),
        "project": Setting("OPENAI_PROJECT_ID", default=""),
    },
    headers=Headers(
        {
            "Content-Type": "application/json",
            "OpenAI-Organization": "{organization}",
            "OpenAI-Project": "{project}",
        }
    ),
)
"""OpenAI, and with `but(base_url=..., key=...)` any host that imitates it."""
