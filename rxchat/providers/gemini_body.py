"""A conversation and its options in the words of Gemini.

https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from mimetypes import guess_type
from typing import Any

from rxchat.events import Other, Reasoning, Refusal, Text, ToolCall
from rxchat.messages import Image, Message, Part, Tool
from rxchat.provider import Ask
from rxchat.providers.bodies import arguments_of, nobody_to_answer, present
from rxchat.providers.frames import fields

__all__ = ["contents_body"]

# Who takes part in the conversation, and as whom; what others say is an instruction.
SAYS = {"user": "user", "assistant": "model", "tool": "user"}
MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}


def contents_body(ask: Ask) -> dict[str, Any]:
    """The body of a request; the model is in its address."""
    said = ask.options
    orders = _parts(message for message in ask.messages if message.role not in SAYS)
    contents = [*_contents(message for message in ask.messages if message.role in SAYS)]
    if not contents:
        raise nobody_to_answer()
    config = {
        "temperature": said["temperature"],
        "topP": said["top_p"],
        "maxOutputTokens": said["max_tokens"],
        "stopSequences": said["stop"],
        "seed": said["seed"],
        "candidateCount": said["n"],
        "responseMimeType": "application/json" if said["schema"] is not None else None,
        "responseJsonSchema": said["schema"],
        "thinkingConfig": _thinking(said["reasoning"]),
    }
    tools = [_tool(tool) for tool in said["tools"] or ()]
    body = {
        "contents": contents,
        "systemInstruction": {"parts": orders} if orders else None,
        "tools": [{"functionDeclarations": tools}] if tools else None,
        "toolConfig": _choice(said["tool_choice"]),
        "generationConfig": present(config) or None,
    }
    return present(body)


def _contents(messages: Iterable[Message]) -> Iterator[dict[str, Any]]:
    """Turns: what tools gave back to one turn of the model is one turn of the user."""
    for of_tools, run in groupby(messages, lambda message: message.role == "tool"):
        if of_tools:
            yield {"role": SAYS["tool"], "parts": [_result(message) for message in run]}
        else:
            for message in run:
                if parts := _parts([message]):
                    yield {"role": SAYS[message.role], "parts": parts}


def _parts(messages: Iterable[Message]) -> list[dict[str, Any]]:
    said = (_part(part) for message in messages for part in message.parts)
    return [part for part in said if part is not None]


def _part(part: Part) -> dict[str, Any] | None:
    """One part for one part: what is signed may not be merged with anything.

    https://ai.google.dev/gemini-api/docs/thought-signatures
    """
    if isinstance(part, Image):
        return _image(part)
    ours = fields(part.opaque.data if part.opaque and part.opaque.by == "gemini" else None)
    match part:
        case Text(text) | Refusal(text) if text or ours:
            return {"text": text, **ours}
        case Reasoning(text) if ours:  # without its signature, a thought says nothing to the model
            return {"text": text, "thought": True, **ours}
        case ToolCall(id=id, name=name):
            call = present({"id": id or None, "name": name, "args": arguments_of(part)})
            return {"functionCall": call, **ours}
        case Other() if ours:
            return {**ours}
        case _:
            return None


def _image(shown: Image) -> dict[str, Any]:
    if not shown.url:
        return {"inlineData": {"mimeType": shown.media_type, "data": shown.base64}}
    media_type = shown.media_type or guess_type(shown.url, strict=False)[0]
    return {"fileData": present({"mimeType": media_type, "fileUri": shown.url})}


def _result(message: Message) -> dict[str, Any]:
    """What a tool gave back, which must be an object; so this says whether it failed, too."""
    response = {"error" if message.failed else "result": message.text}
    return {"functionResponse": {"id": message.call, "name": message.name, "response": response}}


def _tool(tool: Tool) -> dict[str, Any]:
    described = {"description": tool.description} if tool.description else {}
    return {"name": tool.name, **described, "parametersJsonSchema": tool.parameters}


def _choice(name: str | None) -> dict[str, Any] | None:
    if name is None:
        return None
    mode = (
        {"mode": MODES[name]} if name in MODES else {"mode": "ANY", "allowedFunctionNames": [name]}
    )
    return {"functionCallingConfig": mode}


def _thinking(reasoning: str | int | None) -> dict[str, Any] | None:
    """A level for Gemini 3 and later, a budget for 2.5; each refuses the other's word."""
    if reasoning is None:
        return None
    if reasoning == "none":
        return {"thinkingBudget": 0}
    word = "thinkingBudget" if isinstance(reasoning, int) else "thinkingLevel"
    return {"includeThoughts": True, word: reasoning}
