"""Cohere's chat, version 2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

from msgspec import UNSET, Struct, UnsetType

from rxchat.events import Event, Finish, Other, Reasoning, Start, Text, ToolCall, Usage
from rxchat.testing.replies import Failure
from rxchat.testing.voices.openai_chat import Call, Tool, Url, event_of, objection
from rxchat.testing.voices.voice import Storyteller, Voice

__all__ = ["COHERE_CHAT", "CohereTeller"]


# What it demands ---------------------------------------------------------------------------------


class Part(Struct):
    type: Literal["text", "image_url", "thinking"]
    text: str = ""
    image_url: Url | None = None
    thinking: str = ""


class Message(Struct):
    role: Literal["system", "user", "assistant", "tool"]
    content: str | list[Part] = ""
    tool_plan: str = ""
    tool_calls: list[Call] = []
    tool_call_id: str = ""


class Thinking(Struct):
    type: Literal["enabled", "disabled"]
    token_budget: int | UnsetType = UNSET


class ResponseFormat(Struct):
    type: Literal["json_object"]
    json_schema: dict[str, Any]


class Body(Struct):
    model: str
    messages: list[Message]
    stream: Literal[True]
    temperature: float | UnsetType = UNSET
    p: float | UnsetType = UNSET
    max_tokens: int | UnsetType = UNSET
    stop_sequences: list[str] | UnsetType = UNSET
    seed: int | UnsetType = UNSET
    thinking: Thinking | UnsetType = UNSET
    response_format: ResponseFormat | UnsetType = UNSET
    tools: list[Tool] = []
    tool_choice: Literal["REQUIRED", "NONE"] | UnsetType = UNSET


# What it says ------------------------------------------------------------------------------------

_RAW = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL"}


class CohereTeller(Storyteller):
    """One answer in blocks: each has a beginning, pieces, and an end."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._block: tuple[str, Any] | None = None  # what is open: content of a kind, or a call
        self._contents = 0

    def open(self, start: Start) -> bytes:
        nothing: dict[str, Any] = {
            "content": [],
            "tool_plan": "",
            "tool_calls": [],
            "citations": [],
        }
        return self._said("message-start", {"role": "assistant", **nothing}, id=start.id)

    def tell(self, event: Event) -> bytes:
        match event:
            case Text(text, 0):
                return self._content("text", text)
            case Reasoning(text, 0, None):
                return self._content("thinking", text)
            case ToolCall(choice=0):
                return self._call(event)
            case Other("tool_plan", plan):
                return self._closed() + self._said("tool-plan-delta", {"tool_plan": plan})
            case Other("citations", citation):
                begins = self._said("citation-start", {"citations": citation}, index=0)
                return begins + self._said("citation-end", index=0)
            case _:
                raise ValueError(f"Cohere cannot say {event!r}")

    def close(self, usage: Usage | None, finishes: Sequence[Finish]) -> bytes:
        finish = finishes[-1]
        delta: dict[str, Any] = {"finish_reason": finish.raw or _RAW.get(finish.reason, "ERROR")}
        if usage:
            tokens = {"input_tokens": usage.input, "output_tokens": usage.output}
            delta["usage"] = {"tokens": tokens, "cached_tokens": usage.cached}
        end = event_of({"type": "message-end", "delta": delta}, "message-end")
        return self._closed() + end + b"data: [DONE]\n\n"

    def fail(self, failure: Failure, /) -> bytes:
        delta: dict[str, Any] = {"finish_reason": "ERROR", "usage": {}}
        delta |= {"error": failure.message, "error_type": failure.code}
        return event_of({"type": "message-end", "delta": delta}, "message-end")

    def _content(self, kind: str, said: str) -> bytes:
        begins = b""
        if self._block != ("content", kind):
            begins = self._closed()
            content = {"type": kind, kind: ""}
            begins += self._said("content-start", {"content": content}, index=self._contents)
            self._block = "content", kind
        return begins + self._said("content-delta", {"content": {kind: said}}, index=self._contents)

    def _call(self, call: ToolCall) -> bytes:
        index, function = call.index, {"arguments": call.arguments}
        if self._block == ("tool-call", index):
            more = {"tool_calls": {"function": function}}
            return self._said("tool-call-delta", more, index=index)
        ends = self._closed()
        self._block = "tool-call", index
        whole = {"id": call.id, "type": "function", "function": {"name": call.name, **function}}
        return ends + self._said("tool-call-start", {"tool_calls": whole}, index=index)

    def _closed(self) -> bytes:
        """The end of what is open."""
        if self._block is None:
            return b""
        kind, index = self._block
        if kind == "content":
            index = self._contents
            self._contents += 1
        self._block = None
        return self._said(f"{kind}-end", index=index)

    def _said(self, kind: str, message: dict[str, Any] | None = None, **facts: Any) -> bytes:
        delta = {"delta": {"message": message}} if message else {}
        return event_of({"type": kind, **facts, **delta}, kind)


COHERE_CHAT: Final = Voice(
    "cohere_chat",
    "*/v2/chat",
    content_type="text/event-stream",
    speaker=CohereTeller,
    body=Body,
    objection=objection,  # as OpenAI's: every call has its answer, and every answer its call
)
