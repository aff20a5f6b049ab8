"""What goes, in all living formats: the pieces of bodies that several services take alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import msgspec

from rxchat.errors import InvalidPrompt
from rxchat.events import Text, ToolCall
from rxchat.messages import Image, Message, Part, Tool

__all__ = [
    "arguments_of",
    "content_of",
    "function_call",
    "function_tool",
    "nobody_to_answer",
    "present",
    "result_of",
]


def present(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are there: an option that nobody has said is None."""
    return {name: value for name, value in fields.items() if value is not None}


def content_of(message: Message) -> str | list[dict[str, Any]]:
    """What a user says and shows, in the words of OpenAI and others."""
    if isinstance(message.content, str):
        return message.content
    return [_part(part) for part in message.content]


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, Image):
        return {"type": "image_url", "image_url": {"url": part.data_url}}
    return {"type": "text", "text": part.text if isinstance(part, Text) else ""}


def function_tool(tool: Tool) -> dict[str, Any]:
    """A tool, in the words of OpenAI and others."""
    return {"type": "function", "function": attrs.asdict(tool, recurse=False)}


def function_call(call: ToolCall) -> dict[str, Any]:
    """A call, in the words of OpenAI and others."""
    function = {"name": call.name, "arguments": call.arguments or "{}"}
    return {"id": call.id, "type": "function", "function": function}


def result_of(message: Message) -> str:
    """What a tool gave back, for services that have no other place to say that it failed."""
    return f"Error: {message.text}" if message.failed else message.text


def nobody_to_answer() -> InvalidPrompt:
    """What to say of a conversation in which nobody has said anything."""
    return InvalidPrompt("there is nobody to answer: add a user's message that is not empty")


def arguments_of(call: ToolCall) -> dict[str, Any]:
    """The arguments of a call that goes back as an object."""
    try:
        return msgspec.json.decode(call.arguments or "{}", type=dict[str, Any])
    except (ValueError, RecursionError) as error:
        raise InvalidPrompt(
            f"the arguments of the call of {call.name!r} are no JSON object: {error}"
        ) from None
