"""Chat completions, as OpenAI's service speaks them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from rxchat.events import (
    Event,
    Finish,
    Other,
    Reasoning,
    Refusal,
    Start,
    Text,
    ToolCall,
    Usage,
)
from rxchat.testing.exchange import Exchange
from rxchat.testing.replies import Failure, Reply
from rxchat.testing.voices.voice import Storyteller, Voice

__all__ = ["OPENAI_CHAT", "ChatTeller", "event_of"]


# What it demands ---------------------------------------------------------------------------------


class Url(Struct):
    url: str


class Part(Struct):
    type: Literal["text", "image_url"]
    text: str = ""
    image_url: Url | None = None


class Function(Struct):
    name: str
    arguments: str


class Call(Struct):
    id: str
    type: Literal["function"]
    function: Function


class Message(Struct):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None
    tool_calls: list[Call] = []
    tool_call_id: str = ""


class Signature(Struct):
    name: str
    parameters: dict[str, Any]
    description: str = ""


class Tool(Struct):
    type: Literal["function"]
    function: Signature


class Body(Struct):
    messages: list[Message]
    stream: Literal[True]
    model: str | UnsetType = UNSET
    tools: list[Tool] = []
    temperature: float | UnsetType = UNSET
    top_p: float | UnsetType = UNSET
    stop: str | list[str] | UnsetType = UNSET
    seed: int | UnsetType = UNSET
    n: int | UnsetType = UNSET


def objection(exchange: Exchange, body: Body) -> Reply | None:
    """Every call has its answer, and every answer its call."""
    open_calls: set[str] = set()
    for message in body.messages:
        if message.content is None and not message.tool_calls:
            return Reply.status(400, "invalid 'content': expected a string, got null")
        if message.role == "tool":
            if message.tool_call_id not in open_calls:
                return Reply.status(400, f"{message.tool_call_id!r} answers no call")
            open_calls.remove(message.tool_call_id)
        elif open_calls:
            return Reply.status(400, f"the calls {sorted(open_calls)} have no answers")
        for call in message.tool_calls:
            msgspec.json.decode(call.function.arguments, type=dict[str, Any])
            open_calls.add(call.id)
    return (
        Reply.status(400, f"the calls {sorted(open_calls)} have no answers") if open_calls else None
    )


# What it says ------------------------------------------------------------------------------------


def event_of(data: Any, name: str = "") -> bytes:
    """One server-sent event of JSON."""
    line = b"event: %b\n" % name.encode() if name else b""
    return b"%bdata: %b\n\n" % (line, msgspec.json.encode(data))


class ChatTeller(Storyteller):
    """One answer in chunks."""

    _id, _model = "", ""

    def open(self, start: Start) -> bytes:
        self._id, self._model = start.id, start.model
        return self._chunk(0, {"role": "assistant", "content": ""})

    def tell(self, event: Event) -> bytes:
        match event:
            case Text(text, choice):
                return self._chunk(choice, {"content": text})
            case Refusal(text, choice):
                return self._chunk(choice, {"refusal": text})
            case Reasoning(text, choice, None):
                return self._chunk(choice, {"reasoning_content": text})
            case Reasoning(text, choice, opaque) if opaque is not None:
                return self._chunk(choice, {"reasoning": text, "reasoning_details": opaque.data})
            case ToolCall(index, id, name, arguments, choice):
                function = (
                    {"name": name, "arguments": arguments} if name else {"arguments": arguments}
                )
                call = {"index": index, "function": function}
                return self._chunk(
                    choice, {"tool_calls": [call | ({"id": id, "type": "function"} if id else {})]}
                )
            case Other("annotations", annotations):
                return self._chunk(0, {"annotations": annotations})
            case _:
                raise ValueError(f"chat completions cannot say {event!r}")

    def close(self, usage: Usage | None, finishes: Sequence[Finish]) -> bytes:
        said = b"".join(
            self._chunk(finish.choice, {}, finish.raw or finish.reason) for finish in finishes
        )
        if usage is not None:
            said += self._said(choices=[], usage=_cost(usage))
        return said + b"data: [DONE]\n\n"

    def fail(self, failure: Failure, /) -> bytes:
        error = {"message": failure.message, "type": "server_error", "code": failure.code}
        match failure.form:
            case "":  # OpenAI, vLLM and newer llama.cpp
                return event_of({"error": error})
            case "event":  # Groq
                return event_of({"error": error}, "error")
            case "field":  # llama.cpp until September 2025
                return b"error: %b\n\n" % msgspec.json.encode(error)
            case "chunk":  # OpenRouter
                return self._said(choices=[], error=error)
            case "object":  # vLLM of old
                return event_of({"object": "error", **error})
            case form:
                raise ValueError(f"chat completions have no failure of the form {form!r}")

    def _chunk(self, choice: int, delta: dict[str, Any], reason: str | None = None) -> bytes:
        told = {"index": choice, "delta": delta, "logprobs": None, "finish_reason": reason}
        return self._said(choices=[told])

    def _said(self, **what: Any) -> bytes:
        head = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": 1,
            "model": self._model,
        }
        return event_of(head | what)


def _cost(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.total,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


OPENAI_CHAT: Final = Voice(
    "openai_chat",
    "*/chat/completions",
    content_type="text/event-stream",
    speaker=ChatTeller,
    keepalive=b": keep-alive\n\n",
    body=Body,
    objection=objection,
)
