"""Ollama's own chat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from rxchat.events import Event, Finish, Other, Reasoning, Start, Text, ToolCall, Usage
from rxchat.testing.exchange import Exchange
from rxchat.testing.replies import Failure, Reply
from rxchat.testing.voices.openai_chat import Tool
from rxchat.testing.voices.voice import Voice
from rxchat.testing.voices.whole_calls import WholeCalls

__all__ = ["OLLAMA_CHAT", "OllamaTeller"]


# What it demands ---------------------------------------------------------------------------------


class Function(Struct):
    name: str
    arguments: dict[str, Any]


class Call(Struct):
    function: Function
    id: str = ""


class Message(Struct):
    role: Literal["system", "user", "assistant", "tool"]
    content: str
    thinking: str = ""
    images: list[bytes] = []  # in base64
    tool_calls: list[Call] = []
    tool_name: str = ""
    tool_call_id: str = ""


class Options(Struct, frozen=True):
    temperature: float | UnsetType = UNSET
    top_p: float | UnsetType = UNSET
    num_predict: int | UnsetType = UNSET
    stop: list[str] | UnsetType = UNSET
    seed: int | UnsetType = UNSET


class Body(Struct):
    model: str
    messages: list[Message]
    stream: Literal[True] = True
    options: Options = Options()
    tools: list[Tool] = []
    think: bool | Literal["low", "medium", "high", "max"] | UnsetType = UNSET
    format: dict[str, Any] | Literal["json"] | UnsetType = UNSET


def objection(exchange: Exchange, body: Body) -> Reply | None:
    """What a tool gave back has the name of a tool that was called."""
    if not body.model:
        return _no("model is required")
    called: set[str] = set()
    for message in body.messages:
        called.update(call.function.name for call in message.tool_calls)
        if message.role == "tool" and message.tool_name not in called:
            return _no(f"{message.tool_name!r} was not called")
    return None


def _no(why: str) -> Reply:
    return Reply.status(400, json={"error": why})


# What it says ------------------------------------------------------------------------------------


def line_of(data: Any) -> bytes:
    """One line of JSON."""
    return msgspec.json.encode(data) + b"\n"


class OllamaTeller(WholeCalls):
    """One answer in lines."""

    _model = ""

    def open(self, start: Start) -> bytes:
        self._model = start.model
        return self._line({})

    def tell(self, event: Event) -> bytes:
        match event:
            case Text(text, 0):
                return self._line({"content": text})
            case Reasoning(text, 0, None):
                return self._line({"thinking": text})
            case ToolCall(index, id, name, arguments, 0) if name:
                told = msgspec.json.decode(arguments or "{}", type=dict[str, Any])
                function = {"index": index, "name": name, "arguments": told}
                return self._line(
                    {"tool_calls": [({"id": id} if id else {}) | {"function": function}]}
                )
            case Other("logprobs", logprobs):
                return self._line({}, logprobs=logprobs)
            case _:
                raise ValueError(f"Ollama cannot say {event!r}")

    def close(self, usage: Usage | None, finishes: Sequence[Finish]) -> bytes:
        finish = finishes[-1]
        usual = "length" if finish.reason == "length" else "stop"
        spent = {"prompt_eval_count": usage.input, "eval_count": usage.output} if usage else {}
        counts = {name: number for name, number in spent.items() if number is not None}
        return self._line({}, done=True, done_reason=finish.raw or usual, **counts)

    def fail(self, failure: Failure, /) -> bytes:
        return line_of({"error": failure.message})

    def _line(self, message: dict[str, Any], *, done: bool = False, **facts: Any) -> bytes:
        said = {"role": "assistant", "content": "", **message}
        head = {"model": self._model, "created_at": "2026-01-01T00:00:00Z", "message": said}
        return line_of({**head, "done": done, **facts})


OLLAMA_CHAT: Final = Voice(
    "ollama_chat",
    "*/api/chat",
    content_type="application/x-ndjson",
    speaker=OllamaTeller,
    body=Body,
    objection=objection,
)
