"""Responses, as OpenAI's service speaks them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Annotated, Any, Final, Literal, NamedTuple

from msgspec import UNSET, Meta, Struct, UnsetType

from rxchat.events import (
    Event,
    Finish,
    Other,
    Reasoning,
    Refusal,
    Start,
    Text,
    ToolCall,
    Usage,
)
from rxchat.testing.exchange import Exchange
from rxchat.testing.replies import Failure, Reply
from rxchat.testing.voices.openai_chat import event_of
from rxchat.testing.voices.voice import Storyteller, Voice

__all__ = ["OPENAI_RESPONSES", "ItemTeller"]


# What it demands ---------------------------------------------------------------------------------


class Part(Struct):
    type: str
    text: str = ""
    image_url: str = ""
    refusal: str = ""


class Item(Struct):
    """A message, a call, what a call gave, or something that the service itself has made."""

    type: str = "message"
    role: str = ""
    content: str | list[Part] | None = None
    call_id: str = ""
    name: str = ""
    arguments: str = ""
    input: str = ""
    output: str = ""
    encrypted_content: str | None = None


class Tool(Struct):
    type: Literal["function", "custom"]
    name: str
    parameters: dict[str, Any] = {}
    description: str = ""
    strict: bool = True


class Thinking(Struct):
    effort: str = "medium"
    summary: Literal["auto", "concise", "detailed"] | None = None


class Body(Struct):
    input: str | list[Item]
    stream: Literal[True]
    store: bool = True
    model: str | UnsetType = UNSET
    include: list[str] = []
    tools: list[Tool] = []
    reasoning: Thinking | None = None
    temperature: float | UnsetType = UNSET
    top_p: float | UnsetType = UNSET
    max_output_tokens: Annotated[int, Meta(ge=16)] | UnsetType = UNSET


# Words of chat completions that Responses does not know.
UNKNOWN = {"messages", "max_tokens", "stop", "seed", "n", "response_format", "reasoning_effort"}
# What a message of each role is made of.
MADE_OF = {
    "system": {"input_text"},
    "developer": {"input_text"},
    "user": {"input_text", "input_image"},
    "assistant": {"output_text", "refusal"},
}


def objection(exchange: Exchange, body: Body) -> Reply | None:
    """Every call has its answer, in its own kind; what is not stored comes whole."""
    faults = [f"unknown parameter {name!r}" for name in UNKNOWN & exchange.json.keys()]
    open_calls: dict[str, str] = {}
    for item in body.input if isinstance(body.input, list) else ():
        match item.type:
            case "message":
                parts = item.content if isinstance(item.content, list) else []
                can = MADE_OF.get(item.role)
                if can is None or not {part.type for part in parts} <= can:
                    faults.append(f"a message of {item.role!r} is made of {can}")
            case "function_call" | "custom_tool_call":
                open_calls[item.call_id] = f"{item.type}_output"
            case "function_call_output" | "custom_tool_call_output":
                if open_calls.pop(item.call_id, None) != item.type:
                    faults.append(f"no call found for {item.type} with call_id {item.call_id!r}")
            case "reasoning" if not body.store and not (item.encrypted_content or item.content):
                faults.append("items are not persisted when store is set to false")
            case _:
                pass
    faults += [f"no tool output found for call {call_id!r}" for call_id in open_calls]
    return Reply.status(400, faults[0]) if faults else None


# What it says ------------------------------------------------------------------------------------


class Kind(NamedTuple):
    """What pieces of text are in: an item of this type, which has parts under that name."""

    item: str
    parts: str
    part_event: str
    place: str
    words_event: str
    part: str
    words: str


MESSAGE = ("message", "content", "content_part", "content_index")
THOUGHT = ("reasoning", "summary", "reasoning_summary_part", "summary_index")
KINDS = {
    Text: Kind(*MESSAGE, "output_text", "output_text", "text"),
    Refusal: Kind(*MESSAGE, "refusal", "refusal", "refusal"),
    Reasoning: Kind(*THOUGHT, "reasoning_summary_text", "summary_text", "text"),
}
BEGUN = {"status": "in_progress"}
FRESH: dict[str, dict[str, Any]] = {
    "message": {"type": "message", "role": "assistant", **BEGUN},
    "reasoning": {"type": "reasoning", "encrypted_content": None, **BEGUN},
}
# What the service adds to parts and to events, for clients that insist on it.
NOTED: dict[str, dict[str, Any]] = {"output_text": {"annotations": []}}
SCORED: dict[str, dict[str, Any]] = {"output_text": {"logprobs": []}}
SETTINGS: dict[str, Any] = {
    "object": "response",
    "created_at": 1,
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
}
WHY = {"length": "max_output_tokens", "content_filter": "content_filter", "other": "max_messages"}


class ItemTeller(Storyteller):
    """One answer, an item after the other: each is added, told in pieces, and done."""

    _id, _model = "", ""

    def __init__(self, exchange: Exchange | None = None) -> None:
        super().__init__(exchange)
        self._numbers = count()
        self._output: list[dict[str, Any]] = []
        self._open: object = None  # what the last item is, if it is not done
        self._kind: Kind | None = None  # of the part that is not done

    def open(self, start: Start) -> bytes:
        self._id, self._model = start.id, start.model
        return self._status("created", "in_progress") + self._status("in_progress", "in_progress")

    def tell(self, event: Event) -> bytes:
        match event:
            case Text(text, _, None) | Refusal(text, _, None) | Reasoning(text, _, None):
                return self._words(KINDS[type(event)], text)
            case Reasoning(_, _, opaque) if opaque is not None:
                return self._whole(opaque.data)
            case ToolCall():
                return self._call(event)
            case Other("phase", phase):
                fresh: dict[str, Any] = {"phase": phase, "content": []}
                return self._done() + self._in("message", FRESH["message"] | fresh)
            case Other("response.output_item.done", data):
                said = self._done()
                self._output.append(data["item"])
                return said + event_of(data, "response.output_item.done")
            case Other(name, data):
                return event_of(data, name)
            case _:
                raise ValueError(f"Responses cannot say {event!r}")

    def close(self, usage: Usage | None, finishes: Sequence[Finish]) -> bytes:
        said = self._done()
        why = WHY.get(finishes[0].reason)
        status = "incomplete" if why else "completed"
        cost = _cost(usage) if usage else None
        details = {"reason": why} if why else None
        return said + self._status(status, status, incomplete_details=details, usage=cost)

    def fail(self, failure: Failure, /) -> bytes:
        error = {"code": failure.code, "message": failure.message}
        failed = self._status("failed", "failed", error=error)
        match failure.form:
            case "":  # OpenAI
                return event_of({"type": "error", "error": error | {"param": None}}) + failed
            case "flat":  # OpenAI, as its reference says
                return event_of({"type": "error", **error, "param": None}, "error")
            case "failed":
                return failed
            case "bare":  # proxies
                return event_of({"error": error})
            case form:
                raise ValueError(f"Responses have no failure of the form {form!r}")

    def _words(self, kind: Kind, words: str) -> bytes:
        """A piece of a part of a message or a thought."""
        said = self._in(kind.item, FRESH[kind.item] | {kind.parts: []})
        if self._kind != kind:
            said += self._part_done()
            self._kind = kind
            part: dict[str, Any] = {"type": kind.part, kind.words: "", **NOTED.get(kind.part, {})}
            self._output[-1][kind.parts].append(part)
            said += self._about(f"{kind.part_event}.added", part=part)
        self._output[-1][kind.parts][-1][kind.words] += words
        rest = SCORED.get(kind.part, {})
        return said + self._about(f"{kind.words_event}.delta", delta=words, **rest)

    def _part_done(self) -> bytes:
        kind = self._kind
        if kind is None:
            return b""
        part = self._output[-1][kind.parts][-1]
        told = {kind.words: part[kind.words], **SCORED.get(kind.part, {})}
        said = self._about(f"{kind.words_event}.done", **told)
        said += self._about(f"{kind.part_event}.done", part=part)
        self._kind = None
        return said

    def _call(self, call: ToolCall) -> bytes:
        custom = call.opaque is not None and "type" in call.opaque.data
        type_, words = ("custom_tool_call", "input") if custom else ("function_call", "arguments")
        named = {"type": type_, "call_id": call.id, "name": call.name, words: "", **BEGUN}
        said = self._in(("call", call.index), named)
        if call.arguments:
            item = self._output[-1]
            words = "input" if "input" in item else "arguments"
            item[words] += call.arguments
            said += self._about(f"{item['type']}_{words}.delta", delta=call.arguments)
        return said

    def _whole(self, item: dict[str, Any]) -> bytes:
        said = self._done()
        self._output.append(item)
        return said + self._item("added") + self._item("done")

    def _in(self, what: object, fresh: dict[str, Any]) -> bytes:
        """The beginning of an item, if it is not the open one."""
        if self._open == what:
            return b""
        said = self._done()
        self._open = what
        self._output.append({"id": f"item_{len(self._output)}", **fresh})
        return said + self._item("added")

    def _done(self) -> bytes:
        """The end of the open item."""
        if self._open is None:
            return b""
        said = self._part_done()
        item = self._output[-1]
        for words in item.keys() & {"arguments", "input"}:
            told = {"name": item["name"], words: item[words]}
            said += self._about(f"{item['type']}_{words}.done", **told)
        item["status"] = "completed"
        self._open = None
        return said + self._item("done")

    def _item(self, step: str) -> bytes:
        at = len(self._output) - 1
        return self._say(f"output_item.{step}", output_index=at, item=self._output[-1])

    def _about(self, topic: str, **what: Any) -> bytes:
        """Something about the open item."""
        item, kind = self._output[-1], self._kind
        place = {kind.place: len(item[kind.parts]) - 1} if kind else {}
        at = len(self._output) - 1
        return self._say(topic, item_id=item["id"], output_index=at, **place, **what)

    def _status(self, topic: str, status: str, **facts: Any) -> bytes:
        head = {"id": self._id, "model": self._model, "status": status, **SETTINGS}
        rest = {"error": None, "incomplete_details": None, "usage": None, "output": self._output}
        return self._say(topic, response=head | rest | facts)

    def _say(self, topic: str, **what: Any) -> bytes:
        type_ = f"response.{topic}"
        return event_of({"type": type_, "sequence_number": next(self._numbers), **what}, type_)


def _cost(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": 0},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total,
    }


OPENAI_RESPONSES: Final = Voice(
    "openai_responses",
    "*/responses",
    content_type="text/event-stream",
    speaker=ItemTeller,
    keepalive=b": keep-alive\n\n",
    body=Body,
    objection=objection,
)
