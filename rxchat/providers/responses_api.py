"""OpenAI's Responses, in which an answer is a list of items.

https://platform.openai.com/docs/api-reference/responses-streaming

What an event means is said by its `type`; items are told apart by their `output_index`, for some
hosts change the ids of items at every event. Whatever no delta has brought is taken from the
`.done` events, and from the last one if nothing else was said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import attrs
from msgspec import Struct
from msgspec.json import Decoder
from msgspec.structs import replace

from rxchat.errors import EmptyAnswer
from rxchat.events import (
    Event,
    Finish,
    Opaque,
    Other,
    Reason,
    Reasoning,
    Refusal,
    Start,
    Text,
    Usage,
)
from rxchat.framing import SSE, Frame
from rxchat.provider import Format
from rxchat.providers.frames import (
    Calls,
    count,
    fields,
    in_band,
    items,
    json_text,
    read,
    text,
)
from rxchat.providers.openai_chat import openai
from rxchat.providers.responses_body import BY, body
from rxchat.request import EVENT_STREAM

__all__ = ["RESPONSES", "ResponseItems", "openai_responses"]

Fields: TypeAlias = Mapping[str, Any]

# By the reason of `incomplete_details`; an answer that is complete has none.
REASONS: Mapping[str, Reason] = {
    "max_output_tokens": "length",
    "content_filter": "content_filter",
}

# The parts that items are made of, and what their words are to us.
PARTS: Mapping[str, type[Text | Reasoning | Refusal]] = {
    "output_text": Text,
    "refusal": Refusal,
    "reasoning_text": Reasoning,
    "summary_text": Reasoning,
}
# The events that bring the words of these parts.
WORDS = {"reasoning_summary_text" if form == "summary_text" else form: form for form in PARTS}


class Said(Struct, gc=False):
    """One event, whatever it is about."""

    type: Any = None
    delta: Any = None
    output_index: Any = None
    content_index: Any = None
    summary_index: Any = None
    logprobs: Any = None
    text: Any = None
    refusal: Any = None
    arguments: Any = None
    input: Any = None
    part: Any = None
    item: Any = None
    response: Any = None
    error: Any = None


_decode = Decoder(Said).decode
_anything = Decoder().decode


class ResponseItems:
    """Items to events. The answer ends when it is `completed`, `incomplete` or `failed`."""

    def __init__(self) -> None:
        self._heard = False  # anything at all
        self._calls = Calls()
        self._told: set[tuple[object, ...]] = set()  # what need not be told again
        self._forms: dict[int | None, str] = {}  # in which form each item's thoughts are told
        self._at: tuple[object, ...] = ()  # where the last piece of text belongs

    def feed(self, frames: Iterable[Frame]) -> Iterator[Event]:
        for frame in frames:
            try:
                said = _decode(frame.data)
            except (ValueError, RecursionError):
                line = frame.data.strip()
                if "[DONE]".startswith(line):  # which OpenRouter says after the end
                    continue
                said = read(_decode, line)
            if said.type == "response.output_text.delta" and type(said.delta) is str:
                if (said.output_index, said.content_index) != self._at:
                    self._heard = True
                    self._at = (said.output_index, said.content_index)
                    self._tell("output_text", *self._at)
                if said.delta:
                    yield Text(said.delta)
                if said.logprobs:
                    yield Other("logprobs", said.logprobs)
            else:
                yield from self._hear(said, frame)

    def close(self) -> Iterator[Event]:
        if not self._heard:
            raise EmptyAnswer("the answer ended without a word")
        return iter(())

    def _hear(self, said: Said, frame: Frame) -> Iterator[Event]:
        kind = text(said.type) or frame.event
        if said.error or kind == "error":
            raise _failure(fields(read(_anything, frame.data)))
        topic, _, step = kind.removeprefix("response.").rpartition(".")
        at = said.output_index
        place = said.summary_index if said.content_index is None else said.content_index
        match topic, step:
            case "", "keepalive" | "ping":
                return
            case "", "created" | "queued" | "in_progress" | "completed" | "incomplete" | "failed":
                response = fields(said.response)
                if not self._heard:
                    yield Start(text(response.get("model")), text(response.get("id")))
                if step in ("completed", "incomplete", "failed"):
                    yield from self._end(response, step)
            case _, "delta" if topic in WORDS:
                yield from self._words(said, WORDS[topic], place, frame)
            case _, "done" if topic in WORDS:
                whole = {"type": WORDS[topic], "text": said.text, "refusal": said.refusal}
                yield from self._part(whole, at, place)
            case "content_part" | "reasoning_part" | "reasoning_summary_part", "added" | "done":
                part = fields(said.part)
                if text(part.get("type")) not in PARTS:
                    yield Other(kind, read(_anything, frame.data))
                elif step == "done":
                    yield from self._part(part, at, place)
            case "function_call_arguments" | "custom_tool_call_input", "delta":
                self._tell("arguments", at)
                if said.delta:
                    yield self._calls.piece(at, "", "", json_text(said.delta))
            case "function_call_arguments" | "custom_tool_call_input", "done":
                yield from self._arguments(at, said.arguments or said.input)
            case "output_item", "added" | "done":
                yield from self._item(fields(said.item), at, step, frame)
            case _:
                if topic == "output_text.annotation":
                    self._tell("annotations", at, place)
                yield Other(kind, read(_anything, frame.data))
        self._heard = True

    def _words(self, said: Said, form: str, place: object, frame: Frame) -> Iterator[Event]:
        """Thoughts may be told as they are and in short: what comes first is the Reasoning."""
        self._tell(form, said.output_index, place)
        if not self._fits(form, said.output_index):
            yield Other(text(said.type), read(_anything, frame.data))
        elif words := text(said.delta):
            yield PARTS[form](words)

    def _part(self, part: Fields, index: object, place: object) -> Iterator[Event]:
        """What a whole part has that was not told bit by bit."""
        form = text(part.get("type"))
        words = text(part.get("refusal" if form == "refusal" else "text"))
        if form in PARTS and words and self._tell(form, index, place) and self._fits(form, index):
            yield PARTS[form](words)
        notes = items(part.get("annotations"))
        if notes and self._tell("annotations", index, place):
            yield Other("annotations", notes)

    def _item(self, item: Fields, index: object, step: str, frame: Frame) -> Iterator[Event]:
        match text(item.get("type")):
            case "message":
                if item.get("phase") and self._tell("phase", index):
                    yield Other("phase", item["phase"], Opaque(BY, {"phase": item["phase"]}))
                if step == "done":
                    yield from self._parts(item, "content", index)
            case "reasoning":
                if step == "done":
                    yield from self._thought(item, index)
            case "function_call" | "custom_tool_call":
                id_, name = text(item.get("call_id")), text(item.get("name"))
                call = self._calls.piece(index, id_, name, "")
                if call.id or call.name:
                    yield replace(call, opaque=_unusual(item))
                if step == "done":
                    yield from self._arguments(index, item.get("arguments") or item.get("input"))
            case kind:
                # What the service did with tools of its own goes back, too.
                self._tell("item", index)
                kept = Opaque(BY, _nameless(item)) if kind and step == "done" else None
                yield Other(f"response.output_item.{step}", read(_anything, frame.data), kept)

    def _parts(self, item: Fields, name: str, index: object) -> Iterator[Event]:
        for place, part in enumerate(map(fields, items(item.get(name)))):
            yield from self._part(part, index, place)

    def _thought(self, item: Fields, index: object) -> Iterator[Event]:
        """The end of a thought, with what must come back for it to go on.

        Without the thought itself, encrypted or not, an item is but the name of what the service
        has not stored: https://github.com/vercel/ai/issues/7543
        """
        untold = [*self._parts(item, "content", index), *self._parts(item, "summary", index)]
        thought = "".join(event.text for event in untold if isinstance(event, Reasoning))
        itself = item.get("encrypted_content") or item.get("content")
        kept = Opaque(BY, _nameless(item)) if itself else None
        if thought or kept:
            yield Reasoning(thought, opaque=kept)

    def _arguments(self, index: object, arguments: object) -> Iterator[Event]:
        if arguments and self._tell("arguments", index):
            yield self._calls.piece(index, "", "", json_text(arguments))

    def _end(self, response: Fields, step: str) -> Iterator[Event]:
        if not self._told and not self._calls.made():
            for index, item in enumerate(map(fields, items(response.get("output")))):
                frame = Frame(json_text({"item": item, "output_index": index}))
                yield from self._item(item, index, "done", frame)
        if response.get("moderation"):
            yield Other("moderation", response["moderation"])
        if told := fields(response.get("usage")):
            yield _usage(told)
        if step == "failed":
            raise _failure({"error": response.get("error") or "the response failed"})
        why = text(fields(response.get("incomplete_details")).get("reason"))
        reason: Reason = "stop" if step == "completed" else REASONS.get(why, "other")
        called = reason == "stop" and self._calls.made()
        yield Finish("tool_calls" if called else reason, text(response.get("status")) or step)

    def _tell(self, what: str, *where: object) -> bool:
        """Note that something is told, and tell whether it is news."""
        mark = (what, *map(count, where))
        news = mark not in self._told
        self._told.add(mark)
        return news

    def _fits(self, form: str, index: object) -> bool:
        """Whether this is the form in which an item is told."""
        is_thought = PARTS[form] is Reasoning
        return not is_thought or self._forms.setdefault(count(index), form) == form


def _failure(told: Fields) -> Exception:
    """The error in an event, whose own `type` is no word for what went wrong."""
    return in_band({**told, "type": None})


def _nameless(item: Fields) -> Fields:
    """An item as it goes back: what is whole without its name must not be looked for by it.

    https://github.com/vercel/ai/issues/12687
    """
    whole = item.get("encrypted_content") or item["type"] == "web_search_call"
    return {name: value for name, value in item.items() if name != "id"} if whole else item


def _unusual(call: Fields) -> Opaque | None:
    """What makes a call other than that of a plain function."""
    names = ("type", "namespace", "caller")
    facts = {name: call[name] for name in names if call.get(name) not in (None, "function_call")}
    return Opaque(BY, facts) if facts else None


def _usage(told: Fields) -> Usage:
    return Usage(
        count(told.get("input_tokens")),
        count(told.get("output_tokens")),
        count(told.get("total_tokens")),
        count(fields(told.get("output_tokens_details")).get("reasoning_tokens")),
        count(fields(told.get("input_tokens_details")).get("cached_tokens")),
    )


RESPONSES = Format(
    path="/responses",
    body=body,
    decoder=SSE,
    mapping=ResponseItems,
    expects=EVENT_STREAM,
    options=dict.fromkeys(
        ("temperature", "top_p", "max_tokens", "reasoning", "schema", "tools", "tool_choice")
    ),
    images=True,
)

openai_responses = attrs.evolve(
    openai, name="openai_responses", format=RESPONSES, path=RESPONSES.path
)
"""OpenAI, and with `but(base_url=..., key=...)` any host that has Responses."""
