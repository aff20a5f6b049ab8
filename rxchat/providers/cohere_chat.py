"""Cohere's chat, version 2.

https://docs.cohere.com/v2/reference/chat-stream

Before it calls tools, the model says what it is about to do: a plan, which goes back with the
calls. The first version, of JSON lines, is another protocol.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

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
    Refusal,
    Start,
    Text,
    ToolCall,
    Usage,
)
from rxchat.framing import SSE, Frame
from rxchat.keys import Key
from rxchat.messages import Message, Part, Tool
from rxchat.options import BODY
from rxchat.provider import Ask, Format, Provider
from rxchat.providers.bodies import (
    content_of,
    function_call,
    function_tool,
    present,
    result_of,
)
from rxchat.providers.frames import (
    Call,
    Function,
    count,
    fields,
    finish,
    in_band,
    json_text,
    parsed,
    read,
    text,
)
from rxchat.request import EVENT_STREAM, Headers

__all__ = ["CohereEvents", "cohere"]

REASONS: Mapping[str, Reason] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
    # Of the first version, where these are ends of an answer as any other.
    "ERROR_LIMIT": "length",
    "ERROR_TOXIC": "content_filter",
}
FAILURES = ("ERROR", "TIMEOUT")
"""How the reasons begin that are none, unless they are known."""

# What comes --------------------------------------------------------------------------------------


class Content(Struct, gc=False):
    type: Any = None
    text: Any = None
    thinking: Any = None


class Said(Struct, gc=False):
    """What is new: a list, which is empty, where the message starts, and one thing after that."""

    content: Content | list[Any] | None = None
    tool_calls: Call | list[Any] | None = None
    tool_plan: Any = None
    citations: Any = None


class Delta(Struct, gc=False):
    message: Said | None = None
    finish_reason: Any = None
    usage: Any = None
    error: Any = None
    error_type: Any = None


class Told(Struct, gc=False):
    type: Any = None
    delta: Delta | None = None
    index: Any = None
    id: Any = None
    logprobs: Any = None


_decode = Decoder(Told).decode
_NO_DELTA, _NOTHING = Delta(), Said()


class CohereEvents:
    """Events of theirs to events of ours. The answer ends with `message-end`."""

    def __init__(self) -> None:
        self._started = False
        self._calls = Calls()

    def feed(self, frames: Iterable[Frame]) -> Iterator[Event]:
        for frame in frames:
            try:
                told = _decode(frame.data)
            except (ValueError, RecursionError):
                line = frame.data.strip()
                if "[DONE]".startswith(line):
                    continue
                told = read(_decode, line)
            first, self._started = not self._started, True
            delta = told.delta or _NO_DELTA
            said = delta.message or _NOTHING
            match text(told.type) or frame.event:
                case "content-delta" | "content-start" if isinstance(said.content, Content):
                    if piece := text(said.content.text):
                        yield Text(piece)
                    if thought := text(said.content.thinking):
                        yield Reasoning(thought)
                    if told.logprobs:
                        yield Other("logprobs", told.logprobs)
                case "tool-call-delta" | "tool-call-start" if isinstance(said.tool_calls, Call):
                    yield self._call(said.tool_calls, told.index)
                case "tool-plan-delta":
                    plan = text(said.tool_plan)
                    yield Other("tool_plan", plan, Opaque("cohere", plan))
                case "citation-start":
                    yield Other("citations", said.citations)
                case "message-start":
                    if first:
                        yield Start(id=text(told.id))
                case "message-end":
                    yield from self._end(delta)
                    return
                case "content-end" | "tool-call-end" | "citation-end":
                    pass
                case kind:
                    body = parsed(frame.data)
                    # No event, but what is otherwise the body of a reply that is an error.
                    if kind == "message" and text(fields(body).get("message")):
                        raise in_band(body)
                    yield Other(kind, body)

    def close(self) -> Iterator[Event]:
        if not self._started:
            raise EmptyAnswer("the answer ended without a word")
        return iter(())

    def _call(self, call: Call, index: object) -> ToolCall:
        function = call.function or Function()
        arguments = json_text(function.arguments)
        return self._calls.piece(index, text(call.id), text(function.name), arguments)

    def _end(self, delta: Delta) -> Iterator[Event]:
        usage = fields(delta.usage)
        if billed := usage.get("billed_units"):
            yield Other("billed_units", billed)
        tokens = fields(usage.get("tokens")) or fields(billed)
        if tokens:
            yield Usage(
                count(tokens.get("input_tokens")),
                count(tokens.get("output_tokens")),
                cached=count(usage.get("cached_tokens")),
            )
        raw = text(delta.finish_reason)
        if delta.error or (raw not in REASONS and raw.startswith(FAILURES)):
            message = text(delta.error) or f"the answer ended with {raw or 'an error'}"
            raise in_band({"error": message, "error_type": delta.error_type or raw})
        yield finish(REASONS, raw, called=self._calls.made())


# What goes ---------------------------------------------------------------------------------------


def _body(ask: Ask) -> dict[str, Any]:
    said = ask.options
    body = {
        "model": ask.model,
        "messages": [_message(message) for message in ask.messages],
        "stream": True,
        "temperature": said["temperature"],
        "p": said["top_p"],
        "max_tokens": said["max_tokens"],
        "stop_sequences": said["stop"],
        "seed": said["seed"],
        "thinking": _thinking(said["reasoning"]),
        "response_format": _schema(said["schema"]),
        "tools": [function_tool(tool) for tool in said["tools"] or ()] or None,
        "tool_choice": _choice(said["tool_choice"], said["tools"]),
    }
    return present(body)


def _message(message: Message) -> dict[str, Any]:
    match message.role:
        case "tool":
            return {"role": "tool", "tool_call_id": message.call, "content": result_of(message)}
        case "assistant":
            return _answer(message)
        case role:
            role = "system" if role == "developer" else role
            return {"role": role, "content": content_of(message)}


def _answer(message: Message) -> dict[str, Any]:
    parts, calls = message.parts, message.tool_calls
    said = "".join(part.text for part in parts if isinstance(part, Text | Refusal))
    thought = "".join(part.text for part in parts if isinstance(part, Reasoning))
    content: str | list[dict[str, Any]] = said
    if thought and calls:  # it goes on from where it was
        content = [{"type": "thinking", "thinking": thought}]
        content += [{"type": "text", "text": said}] if said else []
    answer = {
        "role": "assistant",
        "content": content,
        "tool_plan": "".join(map(_plan, parts)),
        "tool_calls": [function_call(call) for call in calls],
    }
    # Where nothing was said, there are calls in place of the content.
    return {
        name: value for name, value in answer.items() if value or (name == "content" and not calls)
    }


def _plan(part: Part) -> str:
    match part:
        case Other(opaque=Opaque("cohere", str(plan))):
            return plan
        case _:
            return ""


def _choice(name: str | None, tools: tuple[Tool, ...]) -> str | None:
    if name in (None, "auto"):  # which has no word
        return None
    if name in ("none", "required"):
        return name.upper()
    if len(tools) > 1:
        raise UsageError(
            f"this service cannot be told to call {name!r}: pass no other tool, "
            "or tool_choice='required'"
        )
    return "REQUIRED"  # there is no other


def _schema(schema: Mapping[str, Any] | None) -> object:
    return None if schema is None else {"type": "json_object", "json_schema": schema}


def _thinking(reasoning: str | int | None) -> object:
    if reasoning in (None, "none"):
        return reasoning and {"type": "disabled"}
    if isinstance(reasoning, str):
        raise UsageError("reasoning is a budget in tokens here, as 2048, or 'none', not an effort")
    return {"type": "enabled", "token_budget": reasoning}


cohere = Provider(
    name="cohere",
    format=Format(
        path="/v2/chat",
        body=_body,
        decoder=SSE,
        mapping=CohereEvents,
        expects=EVENT_STREAM,
        options=dict.fromkeys(option for option in BODY if option != "n"),
        images=True,
    ),
    base_url="https://api.cohere.com",
    site="https://cohere.com",
    model="command-a-03-2025",
    auth=Key(("CO_API_KEY", "COHERE_API_KEY")),
    headers=Headers({"Content-Type": "application/json"}),
)
"""Cohere's Command models."""
