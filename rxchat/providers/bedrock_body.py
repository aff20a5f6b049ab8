"""A conversation and its options in the words of Bedrock's Converse: what goes.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from rxchat.errors import InvalidPrompt, UsageError
from rxchat.events import Reasoning, Refusal, Text, ToolCall
from rxchat.messages import Image, Message, Part, Tool
from rxchat.provider import Ask
from rxchat.providers.bodies import arguments_of, nobody_to_answer, present
from rxchat.providers.frames import fields

__all__ = ["BY", "converse"]

BY = "bedrock"


def converse(ask: Ask) -> dict[str, Any]:
    """A conversation and its options; the model is in the address."""
    said, conversation = ask.options, ask.messages
    turns = _turns(conversation)
    if not turns:
        raise nobody_to_answer()
    instructions = [m.text for m in conversation if m.role in _INSTRUCTIONS and m.text.strip()]
    inference = {
        "maxTokens": said["max_tokens"],
        "temperature": said["temperature"],
        "topP": said["top_p"],
        "stopSequences": said["stop"],
    }
    output = {"effort": _effort(said["reasoning"]), "textFormat": _schema(said["schema"])}
    body = {
        "messages": turns,
        "system": [{"text": instruction} for instruction in instructions],
        "inferenceConfig": present(inference),
        "toolConfig": _tools(said["tools"] or (), said["tool_choice"], conversation),
        "outputConfig": present(output),
    }
    return {name: value for name, value in body.items() if value}


_INSTRUCTIONS = ("system", "developer")


def _turns(conversation: Sequence[Message]) -> list[dict[str, Any]]:
    """User and assistant take turns: what one says in several messages is one turn."""
    turns: list[dict[str, Any]] = []
    for message in conversation:
        if message.role in _INSTRUCTIONS:
            continue
        role = "assistant" if message.role == "assistant" else "user"
        blocks = _blocks(message)
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    return turns


def _blocks(message: Message) -> list[dict[str, Any]]:
    """What a message is made of. A blank text is an error there, and nothing is lost without it."""
    if message.role == "tool":
        content = [{"text": message.text}] if message.text.strip() else []
        result: dict[str, Any] = {"toolUseId": message.call, "content": content}
        return [{"toolResult": result | ({"status": "error"} if message.failed else {})}]
    blocks: list[dict[str, Any]] = []
    thought = ""  # what nobody has sealed yet
    for part in message.parts:
        if isinstance(part, Reasoning):
            seal = _seal(part)
            if seal or part.opaque is None:
                thought += part.text
            if "redactedContent" in seal:
                blocks.append({"reasoningContent": seal})
            elif seal:
                blocks.append({"reasoningContent": {"reasoningText": {"text": thought, **seal}}})
            thought = "" if seal else thought
        else:
            thought = ""  # without a seal a thought may be anybody's, and is not taken back
            blocks += _block(part)
    return blocks


def _seal(part: Reasoning) -> dict[str, Any]:
    return dict(fields(part.opaque.data)) if part.opaque and part.opaque.by == BY else {}


def _block(part: Part) -> Iterator[dict[str, Any]]:
    match part:
        case Text(text=said) | Refusal(text=said) if said.strip():
            yield {"text": said}
        case ToolCall(id=id, name=name):
            yield {"toolUse": {"toolUseId": id, "name": name, "input": arguments_of(part)}}
        case Image():
            yield {"image": _image(part)}
        case _:
            pass


_FORMATS = {f"image/{name}": name for name in ("png", "jpeg", "gif", "webp")}


def _image(image: Image) -> dict[str, Any]:
    if image.url:
        raise InvalidPrompt(
            "this service fetches no images: load it yourself, and pass rxchat.image(the bytes)"
        )
    if image.media_type not in _FORMATS:
        raise InvalidPrompt(f"this service takes {', '.join(_FORMATS)}, not {image.media_type!r}")
    return {"format": _FORMATS[image.media_type], "source": {"bytes": image.base64}}


def _tools(
    tools: Sequence[Tool], choice: str | None, conversation: Sequence[Message]
) -> dict[str, Any]:
    if choice == "none":
        # There is no such choice; without tools nothing can be called, and nothing have been.
        if any(message.tool_calls for message in conversation):
            raise UsageError(
                "this service cannot forbid tools once some were called: "
                "leave out tool_choice='none'"
            )
        return {}
    if not tools:
        return {}
    named: dict[str, Any] = {"auto": {"auto": {}}, "required": {"any": {}}}
    chosen = named.get(choice, {"tool": {"name": choice}}) if choice else None
    return present({"tools": [{"toolSpec": _tool(tool)} for tool in tools], "toolChoice": chosen})


def _tool(tool: Tool) -> dict[str, Any]:
    described = {"description": tool.description} if tool.description else {}
    return {"name": tool.name, **described, "inputSchema": {"json": tool.parameters}}


def _effort(reasoning: str | int | None) -> str | None:
    if isinstance(reasoning, int) or reasoning == "none":
        raise UsageError(
            "reasoning is an effort here ('low', 'medium', 'high', ...); a budget, or none at all, "
            "is a matter of the model: say it in extra={'additionalModelRequestFields': {...}}"
        )
    return reasoning


def _schema(schema: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The schema is JSON in JSON."""
    if schema is None:
        return None
    named = {"name": "answer", "schema": msgspec.json.encode(schema).decode()}
    return {"type": "json_schema", "structure": {"jsonSchema": named}}
