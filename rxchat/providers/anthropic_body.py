"""A conversation in the words of Anthropic's messages: what goes.

https://platform.claude.com/docs/en/build-with-claude/working-with-messages
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from rxchat.errors import UnknownOption, UsageError
from rxchat.events import Other, Reasoning, Refusal, Text, ToolCall
from rxchat.messages import Image, Message, Part, Tool
from rxchat.provider import Ask
from rxchat.providers.bodies import arguments_of, nobody_to_answer, present
from rxchat.providers.frames import fields

__all__ = ["messages_body"]

ANSWER = 8_192
"""The tokens of an answer if nobody says `max_tokens`, which the service must be told."""
THOUGHTS = 24_576
"""The tokens besides, if the model is to think with an effort; a budget says how many."""
LEAST_BUDGET = 1_024
UNFIT_TO_END = ("thinking", "redacted_thinking")
"""The service takes no answer that ends in thoughts, as one that was cut may."""
NO_SAMPLING_SINCE = "2026-10-21"
"""https://platform.claude.com/docs/en/api/versioning"""


def messages_body(ask: Ask) -> dict[str, Any]:
    """A conversation and its options in the words of messages."""
    said = ask.options
    for name in ("temperature", "top_p"):
        if said[name] is not None and ask.setting("version") >= NO_SAMPLING_SINCE:
            raise UnknownOption(
                f"{name}: version {ask.setting('version')} of the API has no such option; "
                "leave it out, or pass version='2023-06-01'"
            )
    reasoning, schema = said["reasoning"], said["schema"]
    config = {
        "effort": reasoning if isinstance(reasoning, str) and reasoning != "none" else None,
        "format": None if schema is None else {"type": "json_schema", "schema": schema},
    }
    turns = _turns(ask.messages)
    if not turns:
        raise nobody_to_answer()
    rules = [m.text for m in ask.messages if m.role in ("system", "developer") and m.text]
    body: dict[str, Any] = {
        "model": ask.model or None,
        "max_tokens": _room(reasoning, said["max_tokens"]),
        "system": "\n\n".join(rules) or None,
        "messages": turns,
        "stream": True,
        "temperature": said["temperature"],
        "top_p": said["top_p"],
        "stop_sequences": said["stop"],
        "tools": [_tool(tool) for tool in said["tools"] or ()] or None,
        "tool_choice": _choice(said["tool_choice"]),
        "thinking": _thinking(reasoning),
        "output_config": {name: value for name, value in config.items() if value} or None,
    }
    return present(body)


def _thinking(reasoning: str | int | None) -> dict[str, Any] | None:
    """An effort lets the model decide how much to think; older models want a budget.

    https://platform.claude.com/docs/en/build-with-claude/adaptive-thinking
    """
    if isinstance(reasoning, int):
        return {"type": "enabled", "budget_tokens": reasoning}
    return {"type": "disabled" if reasoning == "none" else "adaptive"} if reasoning else None


def _room(reasoning: str | int | None, max_tokens: int | None) -> int:
    """How many tokens there may be, of which thoughts are a part."""
    if not isinstance(reasoning, int):
        return max_tokens or ANSWER + (THOUGHTS if reasoning not in (None, "none") else 0)
    if reasoning < LEAST_BUDGET:
        raise UsageError(
            f"reasoning is an effort ('low', 'medium', 'high') or at least {LEAST_BUDGET} tokens, "
            f"not {reasoning}"
        )
    if max_tokens is not None and max_tokens <= reasoning:
        raise UsageError(
            f"max_tokens is for thoughts and answer together: pass more than {reasoning}, which "
            f"is for reasoning, not {max_tokens}"
        )
    return max_tokens or reasoning + ANSWER


def _turns(conversation: Sequence[Message]) -> list[dict[str, Any]]:
    """The turns: what several messages of one side say is one, what tools gave comes first.

    https://platform.claude.com/docs/en/agents-and-tools/tool-use/handle-tool-calls
    """
    turns: list[dict[str, Any]] = []
    said = (message for message in conversation if message.role not in ("system", "developer"))
    for by_model, messages in groupby(said, lambda message: message.role == "assistant"):
        blocks = [block for message in messages for block in _blocks(message)]
        if not by_model:
            blocks.sort(key=lambda block: block["type"] != "tool_result")
        while by_model and blocks and blocks[-1].get("type") in UNFIT_TO_END:
            blocks.pop()
        if blocks:
            turns.append({"role": "assistant" if by_model else "user", "content": blocks})
    return turns


def _blocks(message: Message) -> list[dict[str, Any]]:
    match message.role:
        case "assistant":
            return [*_answer(message)]
        case "tool":
            failed = {"is_error": True} if message.failed else {}
            result = {"type": "tool_result", "tool_use_id": message.call}
            return [{**result, "content": message.text, **failed}]
        case _:
            return [_shown(part) for part in message.parts]


def _shown(part: Part) -> dict[str, Any]:
    match part:
        case Image(url=""):
            media = {"media_type": part.media_type, "data": part.base64}
            return {"type": "image", "source": {"type": "base64", **media}}
        case Image():
            return {"type": "image", "source": {"type": "url", "url": part.url}}
        case _:
            return {"type": "text", "text": part.text if isinstance(part, Text) else ""}


def _answer(message: Message) -> Iterator[dict[str, Any]]:
    """The blocks of an answer; thoughts without a signature are no block that it takes."""
    thoughts = ""
    for part in message.parts:
        opaque = None if isinstance(part, Image) else part.opaque
        ours = fields(opaque.data if opaque and opaque.by == "anthropic" else None)
        match part:
            case Reasoning() if opaque is None:
                thoughts += part.text
                continue
            case Reasoning() if ours.get("type") == "thinking":
                yield {**ours, "thinking": thoughts + part.text}
            case Reasoning() | Other() if ours:
                yield {**ours}
            case Text() | Refusal() if part.text.strip():  # a blank text is refused
                yield {"type": "text", "text": part.text}
            case ToolCall():
                named = {"id": part.id, "name": part.name, "input": arguments_of(part)}
                yield {"type": "tool_use", **named, **ours}
            case _:
                pass
        thoughts = ""


def _tool(tool: Tool) -> dict[str, Any]:
    described = {"description": tool.description} if tool.description else {}
    return {"name": tool.name, **described, "input_schema": tool.parameters}


def _choice(name: str | None) -> dict[str, str] | None:
    match name:
        case None | "auto" | "none":
            return name and {"type": name}
        case "required":
            return {"type": "any"}
        case _:
            return {"type": "tool", "name": name}
