"""What tests of formats share: an answer's bytes to events, without a network."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

from rxchat.errors import ChatError
from rxchat.events import Event, Finish, Reasoning, Refusal, Text, ToolCall, Usage
from rxchat.operators.wire import _Decoding, _Fused, _Mapping
from rxchat.provider import Format
from rxchat.stream import Call


def hear(form: Format, chunks: Iterable[bytes]) -> tuple[list[Event], ChatError | None]:
    """The events of an answer, and the error that ended it, as a stream would give them."""
    stage = _Fused(_Decoding(form.decoder()), _Mapping(form.mapping(), Call("test")))
    events: list[Event] = []
    for chunk in chunks:
        failure = stage.feed(chunk, events)
        if failure or stage.finished:
            break
    else:
        failure = stage.close(events)
    if failure is not None and not isinstance(failure, ChatError):
        raise failure
    return events, failure


def bytewise(body: bytes) -> list[bytes]:
    return [body[at : at + 1] for at in range(len(body))]


def cut_at_random(body: bytes, cuts: int, seed: int) -> list[bytes]:
    places = sorted(random.Random(seed).choices(range(len(body) + 1), k=cuts))
    return [body[a:b] for a, b in zip([0, *places], [*places, len(body)], strict=True)]


def summary(events: list[Event], error: ChatError | None, choice: int = 0) -> dict[str, Any]:
    """One answer in the shape of the samples' `normalized`."""
    mine = [event for event in events if getattr(event, "choice", 0) == choice]
    calls: dict[int, dict[str, Any]] = {}
    for event in mine:
        if isinstance(event, ToolCall):
            call = calls.setdefault(event.index, {"id": "", "name": "", "arguments": ""})
            call["id"] += event.id
            call["name"] += event.name
            call["arguments"] += event.arguments
    usage = next((event for event in events if isinstance(event, Usage)), None)
    finish = next((event for event in mine if isinstance(event, Finish)), None)
    return {
        "text": "".join(event.text for event in mine if isinstance(event, Text)),
        "reasoning": "".join(event.text for event in mine if isinstance(event, Reasoning)),
        "refusal": "".join(event.text for event in mine if isinstance(event, Refusal)),
        "tool_calls": list(calls.values()),
        "finish_reason": finish.raw if finish else None,
        "usage": usage,
        "error": error,
    }
