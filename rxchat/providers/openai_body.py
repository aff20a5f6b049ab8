"""A conversation and its options in the words of OpenAI's chat completions: what goes.

https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from rxchat.errors import MissingSetting, UsageError
from rxchat.events import Reasoning, Refusal
from rxchat.messages import Message
from rxchat.provider import Ask
from rxchat.providers.bodies import content_of, function_call, function_tool, present, result_of
from rxchat.providers.frames import fields, items

__all__ = ["ChatBody", "effort", "is_strict"]


def effort(reasoning: str | int) -> dict[str, Any]:
    """How hard to think, in a word."""
    if isinstance(reasoning, int):
        raise UsageError("reasoning is an effort here ('low', 'medium', 'high'), not a budget")
    return {"reasoning_effort": reasoning}


@attrs.frozen
class ChatBody:
    """A conversation and its options in the words of chat completions.

    The fields are what imitators have other words for. `thoughts` is the field in which they want
    the model's thoughts back; `details`, `refusals` and `nameless` say that a service takes back
    `reasoning_details`, knows refusals, and needs no name of a model.
    """

    max_tokens: str = "max_tokens"
    seed: str = "seed"
    usage: bool = True
    reasoning: Callable[[str | int], dict[str, Any]] = effort
    thoughts: str | None = None
    details: bool = False
    refusals: bool = False
    nameless: bool = False

    def __call__(self, ask: Ask) -> dict[str, Any]:
        if not (ask.model or self.nameless):
            raise MissingSetting("model is missing: pass model=...")
        said = ask.options
        body: dict[str, Any] = {
            "model": ask.model or None,
            "messages": [self._message(message) for message in ask.messages],
            "stream": True,
            "stream_options": {"include_usage": True} if self.usage else None,
            "temperature": said["temperature"],
            "top_p": said["top_p"],
            self.max_tokens: said["max_tokens"],
            "stop": said["stop"],
            self.seed: said["seed"],
            "n": said["n"],
            "tools": [function_tool(tool) for tool in said["tools"] or ()] or None,
            "tool_choice": _choice(said["tool_choice"]),
            "response_format": _schema(said["schema"]),
        }
        if said["reasoning"] is not None:
            body |= self.reasoning(said["reasoning"])
        return present(body)

    def _message(self, message: Message) -> dict[str, Any]:
        match message.role:
            case "tool":
                return {"role": "tool", "tool_call_id": message.call, "content": result_of(message)}
            case "assistant":
                return self._answer(message)
            case role:
                return {"role": role, "content": content_of(message)}

    def _answer(self, message: Message) -> dict[str, Any]:
        parts = message.parts
        thoughts = [part for part in parts if isinstance(part, Reasoning)]
        ours = [part.opaque.data for part in thoughts if part.opaque and part.opaque.by == "openai"]
        details = [detail for data in ours for detail in items(data)]
        calls = [function_call(call) for call in message.tool_calls]
        refusal = "".join(part.text for part in parts if isinstance(part, Refusal))
        said = message.text if self.refusals else message.text + refusal
        answer = {
            "role": "assistant",
            "content": said or (None if calls else ""),  # null may stand beside calls only
            "refusal": refusal if self.refusals else None,
            "tool_calls": calls,
            "reasoning_details": details if self.details else None,
        }
        if self.thoughts and calls:
            answer[self.thoughts] = "".join(thought.text for thought in thoughts)
        # The content is there even if there is none, but nothing else is.
        return {name: value for name, value in answer.items() if value or name == "content"}


def _choice(name: str | None) -> object:
    if name in (None, "auto", "none", "required"):
        return name
    return {"type": "function", "function": {"name": name}}


def _schema(schema: Mapping[str, Any] | None) -> object:
    if schema is None:
        return None
    named = {"name": "answer", "schema": schema, "strict": is_strict(schema)}
    return {"type": "json_schema", "json_schema": named}


def is_strict(schema: object) -> bool:
    """Tell whether a schema is one that OpenAI can hold the model to, in all its objects.

    https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
    """
    known = fields(schema)
    if known:
        properties = known.get("properties")
        if known.get("type") == "object" or properties is not None:
            closed = known.get("additionalProperties") is False
            if not closed or set(items(known.get("required"))) != set(fields(properties)):
                return False
        return all(map(is_strict, known.values()))
    return all(map(is_strict, items(schema)))
