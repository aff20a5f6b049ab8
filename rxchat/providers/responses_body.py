"""What is said to OpenAI's Responses: a conversation is a list of items.

https://platform.openai.com/docs/api-reference/responses/create

Conversations are stateless: `store` is false, and what the model said goes back as it came. A
host that is to keep its answers can be told so: `extra={"store": True}`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, TypeAlias

import attrs

from rxchat.events import Refusal, Text, ToolCall
from rxchat.messages import Image, Message, Part, Tool
from rxchat.provider import Ask
from rxchat.providers.bodies import present, result_of
from rxchat.providers.frames import fields
from rxchat.providers.openai_body import effort, is_strict

__all__ = ["BY", "body"]

BY = "openai_responses"

Item: TypeAlias = Mapping[str, Any]


def body(ask: Ask) -> dict[str, Any]:
    """A conversation and its options.

    System messages are items, not `instructions`: so there may be several, in their places.
    """
    said = ask.options
    whole: dict[str, Any] = {
        "model": ask.model or None,
        "input": list(_input(ask.messages)),
        "stream": True,
        "store": False,
        "temperature": said["temperature"],
        "top_p": said["top_p"],
        "max_output_tokens": said["max_tokens"],
        "tools": [_tool(tool) for tool in said["tools"] or ()] or None,
        "tool_choice": _choice(said["tool_choice"]),
        "text": _schema(said["schema"]),
        **_reasoning(said["reasoning"]),
    }
    return present(whole)


def _reasoning(reasoning: str | int | None) -> dict[str, Any]:
    """How hard to think, and what to tell of it.

    OpenAI encrypts thoughts for us anyway; others must be asked, and models that do not think
    refuse to be: https://github.com/pydantic/pydantic-ai/issues/2865. An organization that is not
    verified gets no summaries: `extra={"reasoning": {"summary": None}}` asks for none.
    """
    if reasoning is None:
        return {}
    how: dict[str, Any] = {"effort": effort(reasoning)["reasoning_effort"]}
    if reasoning == "none":
        return {"reasoning": how}
    return {
        "reasoning": how | {"summary": "auto"},
        "include": ["reasoning.encrypted_content"],
    }


def _input(conversation: Iterable[Message]) -> Iterator[Item]:
    custom: set[str] = set()  # the calls whose answers are to be called custom, too
    for message in conversation:
        match message.role:
            case "tool":
                kind = "custom_tool_call" if message.call in custom else "function_call"
                answer = {"call_id": message.call, "output": result_of(message)}
                yield {"type": f"{kind}_output", **answer}
            case "assistant":
                custom |= {call.id for call in message.tool_calls if "type" in _kept(call)}
                yield from _answer(message)
            case role:
                simple = isinstance(message.content, str)
                content = message.content if simple else [_part(part) for part in message.parts]
                yield {"role": role, "content": content}


def _answer(message: Message) -> Iterator[Item]:
    """The items that an answer was made of. What it said in a phase goes back with its name."""
    phase: Item = {}
    for spoken, parts in groupby(message.parts, lambda part: isinstance(part, Text | Refusal)):
        if spoken:
            yield {"role": "assistant", "content": _said(list(parts)), **phase}
            phase = {}
            continue
        for part in parts:
            kept = _kept(part)
            if isinstance(part, ToolCall):
                yield _call(part)
            elif "phase" in kept:
                phase = kept
            elif kept:
                yield kept


def _said(parts: list[Part]) -> str | list[dict[str, Any]]:
    texts = [part.text for part in parts if isinstance(part, Text)]
    if len(texts) == len(parts):
        return "".join(texts)
    return [
        {"type": "refusal", "refusal": part.text}
        if isinstance(part, Refusal)
        else {"type": "output_text", "text": part.text}
        for part in parts
        if isinstance(part, Text | Refusal)
    ]


def _kept(part: Part) -> dict[str, Any]:
    """What we were given to bring back with it."""
    opaque = None if isinstance(part, Image) else part.opaque
    return dict(fields(opaque.data)) if opaque and opaque.by == BY else {}


def _call(call: ToolCall) -> dict[str, Any]:
    kept = _kept(call)
    named = {"type": "function_call", "call_id": call.id, "name": call.name, **kept}
    if "type" in kept:
        return named | {"input": call.arguments}
    return named | {"arguments": call.arguments or "{}"}


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, Image):
        return {"type": "input_image", "image_url": part.data_url, "detail": "auto"}
    return {"type": "input_text", "text": part.text if isinstance(part, Text) else ""}


def _tool(tool: Tool) -> dict[str, Any]:
    """A tool; where nothing else is said, it is strict, and its schema is changed to be so."""
    told = attrs.asdict(tool, recurse=False)
    return {"type": "function", **told, "strict": is_strict(tool.parameters)}


def _choice(name: str | None) -> object:
    if name in (None, "auto", "none", "required"):
        return name
    return {"type": "function", "name": name}


def _schema(schema: Mapping[str, Any] | None) -> object:
    if schema is None:
        return None
    named = {"name": "answer", "schema": schema, "strict": is_strict(schema)}
    return {"format": {"type": "json_schema", **named}}
