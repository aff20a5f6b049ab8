"""OpenAI's Responses, in which an answer is a list of items.

https://platform.openai.com/docs/api-reference/responses-streaming

What an event means is said by its `type`; items are told apart by their `output_index`, for some
hosts change the ids of items at every event. Whatever no delta has brought is taken from the
`.done` events, and whatever these have not, from the last one, which says all again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import attrs
from msgspec import Struct
from msgspec.json import Decoder
from msgspec.structs import replace

from rxchat.calls import Calls
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
    count,
    fields,
    in_band,
    items,
    json_text,
    parsed,
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
CALLS = ("function_call", "custom_tool_call")
BEGINNINGS = ("created", "queued", "in_progress")
ENDS = ("completed", "incomplete", "failed", "cancelled")


class Said(Struct, gc=False):
    """One event, whatever it is about."""

    type: Any = None
    delta: Any = None
    item_id: Any = None
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


class Items:
    """Gives the items of an answer their indexes, also where the service does not say them."""

    def __init__(self) -> None:
        self._spoken: set[tuple[int, str]] = set()  # of all that were spoken of, with their types
        self._ids: dict[str, int] = {}
        self._open: tuple[int, str] | None = None  # the one that was last spoken of

    def index(self, said: Said, kind: str) -> int:
        """The item that an event is about: by its index, or by its ids, or else the open one."""
        index, item = count(said.output_index), fields(said.item)
        if index is None or item:
            told = map(text, (said.item_id, item.get("id"), item.get("call_id")))
            ids = [id_ for id_ in told if id_]
            if index is None:
                known = (self._ids[id_] for id_ in ids if id_ in self._ids)
                index = next(known, self._of_kind(kind))
            self._ids.update(dict.fromkeys(ids, index))
        self._open = (index, kind)
        if kind:
            self._spoken.add(self._open)
        return index

    def _of_kind(self, kind: str) -> int:
        if self._open and self._open[1] == kind:
            return self._open[0]
        return 1 + max((index for index, _ in self._spoken), default=-1)

    def close(self) -> None:
        """What is said next without an index or an id is about another item."""
        self._open = None

    def untold(self, output: list[Fields]) -> Iterator[tuple[int, Fields]]:
        """Which items of a whole answer may have something that was not told, and their indexes.

        Some hosts count otherwise in the end, or not at all: then only kinds of items of which
        none was spoken of are new. Calls have ids of their own.
        """
        kinds = dict(enumerate(text(item.get("type")) for item in output))
        same = all(kinds.get(index) == kind for index, kind in self._spoken)
        spoken = {kind for _, kind in self._spoken}
        for index, item in enumerate(output):
            if kinds[index] in CALLS:
                yield self._ids.get(text(item.get("call_id")), index), item
            elif same or kinds[index] not in spoken:
                yield index, item


class ResponseItems:
    """Items to events. The answer ends when it is `completed`, `incomplete`, `failed` or so."""

    def __init__(self) -> None:
        self._heard = False  # anything at all
        self._calls = Calls()
        self._items = Items()
        self._told: set[tuple[str, int, int]] = set()  # what need not be told again
        self._forms: dict[int, str] = {}  # in which form each item's thoughts are told
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
                if (said.output_index, said.content_index) != self._at or said.output_index is None:
                    self._heard = True
                    self._at = (said.output_index, said.content_index)
                    self._tell("output_text", self._items.index(said, "message"), _place(said))
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
            raise _failure(fields(parsed(frame.data)))
        topic, _, step = kind.removeprefix("response.").rpartition(".")
        match topic, step:
            case "", "keepalive" | "ping":
                return
            case "", _ if step in BEGINNINGS or step in ENDS:
                response = fields(said.response)
                if not self._heard:
                    yield Start(text(response.get("model")), text(response.get("id")))
                if step in ENDS:
                    yield from self._end(response, step)
            case _, "delta" if topic in WORDS:
                yield from self._words(said, WORDS[topic], frame)
            case _, "done" if topic in WORDS:
                whole = {"type": WORDS[topic], "text": said.text, "refusal": said.refusal}
                yield from self._part(whole, self._index(said, WORDS[topic]), _place(said))
            case "content_part" | "reasoning_part" | "reasoning_summary_part", "added" | "done":
                part = fields(said.part)
                form = text(part.get("type"))
                if form not in PARTS:
                    yield Other(kind, parsed(frame.data))
                elif step == "done":
                    yield from self._part(part, self._index(said, form), _place(said))
            case "function_call_arguments" | "custom_tool_call_input", "delta" | "done":
                index = self._items.index(said, topic.rpartition("_")[0])
                words = said.delta if step == "delta" else said.arguments or said.input
                yield from self._arguments(index, words, whole=step == "done")
            case "output_item", "added" | "done":
                item = fields(said.item)
                if step == "added":
                    self._items.close()
                index = self._items.index(said, text(item.get("type")))
                yield from self._item(item, index, step, frame)
                if step == "done":
                    self._items.close()
            case _:
                if topic == "output_text.annotation":
                    self._tell("annotations", self._items.index(said, "message"), _place(said))
                yield Other(kind, parsed(frame.data))
        self._heard = True

    def _words(self, said: Said, form: str, frame: Frame) -> Iterator[Event]:
        """Thoughts may be told as they are and in short: what comes first is the Reasoning."""
        index = self._index(said, form)
        self._tell(form, index, _place(said))
        if not self._fits(form, index):
            yield Other(text(said.type), parsed(frame.data))
        elif words := text(said.delta):
            yield PARTS[form](words)

    def _index(self, said: Said, form: str) -> int:
        return self._items.index(said, "reasoning" if PARTS[form] is Reasoning else "message")

    def _part(self, part: Fields, index: int, place: int) -> Iterator[Event]:
        """What a whole part has that was not told bit by bit."""
        form = text(part.get("type"))
        words = text(part.get("refusal" if form == "refusal" else "text"))
        if form in PARTS and words and self._tell(form, index, place) and self._fits(form, index):
            yield PARTS[form](words)
        notes = items(part.get("annotations"))
        if notes and self._tell("annotations", index, place):
            yield Other("annotations", notes)

    def _item(self, item: Fields, index: int, step: str, frame: Frame) -> Iterator[Event]:
        match text(item.get("type")):
            case "message":
                if item.get("phase") and self._tell("phase", index):
                    yield Other("phase", item["phase"], Opaque(BY, {"phase": item["phase"]}))
                if step == "done":
                    yield from self._parts(item, "content", index)
            case "reasoning":
                if step == "done":
                    yield from self._thought(item, index)
            case kind if kind in CALLS:
                id_, name = text(item.get("call_id")), text(item.get("name"))
                call = self._calls.piece(index, id_, name, "")
                if call.id or call.name:
                    yield replace(call, opaque=_unusual(item))
                if step == "done":
                    words = item.get("arguments") or item.get("input")
                    yield from self._arguments(index, words, whole=True)
            case kind:
                # What the service did with tools of its own goes back, too.
                if step == "done":
                    self._tell("item", index)
                kept = Opaque(BY, _nameless(item)) if kind and step == "done" else None
                yield Other(f"response.output_item.{step}", parsed(frame.data), kept)

    def _parts(self, item: Fields, name: str, index: int) -> Iterator[Event]:
        for place, part in enumerate(map(fields, items(item.get(name)))):
            yield from self._part(part, index, place)

    def _thought(self, item: Fields, index: int) -> Iterator[Event]:
        """The end of a thought, with what must come back for it to go on.

        Without the thought itself, encrypted or not, an item is but the name of what the service
        has not stored: https://github.com/vercel/ai/issues/7543
        """
        untold = [*self._parts(item, "content", index), *self._parts(item, "summary", index)]
        thought = "".join(event.text for event in untold if isinstance(event, Reasoning))
        itself = item.get("encrypted_content") or item.get("content")
        kept = Opaque(BY, _nameless(item)) if itself else None
        if kept:
            self._tell("item", index)
        if thought or kept:
            yield Reasoning(thought, opaque=kept)

    def _arguments(self, index: int, arguments: object, *, whole: bool) -> Iterator[Event]:
        """The arguments of a call, of which hosts may have several under one index."""
        if arguments:
            call = self._calls.piece(index, "", "", json_text(arguments))
            if self._tell("arguments", call.index) or not whole:
                yield call

    def _rest(self, output: list[Fields]) -> Iterator[Event]:
        """What the last event alone tells."""
        for index, item in self._items.untold(output):
            if ("item", index, 0) not in self._told:
                frame = Frame(json_text({"item": item, "output_index": index}))
                yield from self._item(item, index, "done", frame)

    def _end(self, response: Fields, step: str) -> Iterator[Event]:
        yield from self._rest([fields(item) for item in items(response.get("output"))])
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

    def _tell(self, what: str, index: int, place: int = 0) -> bool:
        """Note that something is told, and tell whether it is news."""
        mark = (what, index, place)
        news = mark not in self._told
        self._told.add(mark)
        return news

    def _fits(self, form: str, index: int) -> bool:
        """Whether this is the form in which an item is told."""
        is_thought = PARTS[form] is Reasoning
        return not is_thought or self._forms.setdefault(index, form) == form


def _place(said: Said) -> int:
    """Which part of its item an event is about; if it does not say, there is but one."""
    return count(said.summary_index if said.content_index is None else said.content_index) or 0


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
