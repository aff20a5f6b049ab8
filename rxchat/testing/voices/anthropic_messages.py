"""Messages, as Anthropic's service speaks them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from rxchat.events import Event, Finish, Other, Reason, Reasoning, Start, Text, ToolCall, Usage
from rxchat.testing.exchange import Exchange
from rxchat.testing.replies import Failure, Reply
from rxchat.testing.voices.openai_chat import event_of
from rxchat.testing.voices.voice import Storyteller, Voice

__all__ = ["ANTHROPIC_MESSAGES", "MessageTeller"]


# What it demands ---------------------------------------------------------------------------------


class Message(Struct, forbid_unknown_fields=True):
    role: Literal["user", "assistant"]
    content: str | list[dict[str, Any]]


class Tool(Struct):
    name: Annotated[str, Meta(pattern="^[a-zA-Z0-9_-]{1,128}$")]
    input_schema: dict[str, Any]
    description: str = ""


class Choice(Struct):
    type: Literal["auto", "any", "none", "tool"]
    name: str = ""


class Thinking(Struct):
    type: Literal["adaptive", "disabled", "enabled"]
    budget_tokens: Annotated[int, Meta(ge=1024)] | None = None


class JSONFormat(Struct):
    type: Literal["json_schema"]
    schema: dict[str, Any]


class Config(Struct):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | UnsetType = UNSET
    format: JSONFormat | UnsetType = UNSET


class Body(Struct):
    model: str
    max_tokens: Annotated[int, Meta(ge=1)]
    messages: Annotated[list[Message], Meta(min_length=1)]
    stream: Literal[True]
    system: str | UnsetType = UNSET
    temperature: Annotated[float, Meta(ge=0, le=1)] | UnsetType = UNSET
    top_p: Annotated[float, Meta(ge=0, le=1)] | UnsetType = UNSET
    stop_sequences: list[str] = []
    tools: list[Tool] = []
    tool_choice: Choice | None = None
    thinking: Thinking | None = None
    output_config: Config | None = None


# What a block must have, and who may say it; blocks of server tools have what they came with.
NEEDS: Final = {
    "text": {"text"},
    "image": {"source"},
    "tool_result": {"tool_use_id"},
    "tool_use": {"id", "name", "input"},
    "thinking": {"thinking", "signature"},
    "redacted_thinking": {"data"},
}
OF_USERS: Final = {"image", "tool_result"}
OF_BOTH: Final = {"text"}


def objection(exchange: Exchange, body: Body) -> Reply | None:
    """Check the key, and what one part of a request demands of another."""
    shown = exchange.headers.get("x-api-key") or exchange.headers.get("authorization", "")
    if not shown or ("x-api-key" not in exchange.headers and not shown.startswith("Bearer ")):
        return _no(401, "x-api-key header is required", "authentication_error")
    fault = next(_faults(exchange, body), None)
    return _no(400, fault, "invalid_request_error") if fault else None


def _no(status: int, message: str, kind: str) -> Reply:
    error = {"type": "error", "error": {"type": kind, "message": message}}
    return Reply.status(status, json={**error, "request_id": "req_local"})


def _faults(exchange: Exchange, body: Body) -> Iterator[str]:
    if exchange.headers["anthropic-version"] >= "2026-10-21":
        for name in ("temperature", "top_p"):
            if getattr(body, name) is not UNSET:
                yield f"{name}: Extra inputs are not permitted"
    if body.thinking and (body.thinking.budget_tokens or 0) >= body.max_tokens:
        yield "max_tokens must be greater than thinking.budget_tokens"
    if body.tool_choice and not body.tools:
        yield "tool_choice may only be specified while providing tools"
    calls: set[str] = set()  # of the turn before
    # Messages of one side that follow each other are one turn.
    for role, messages in groupby(body.messages, lambda message: message.role):
        blocks = [block for message in messages for block in _blocks(message)]
        for block in blocks:
            yield from _faults_of_a_block(block, role)
        results = [block.get("tool_use_id") for block in blocks if _is(block, "tool_result")]
        first = [_is(block, "tool_result") for block in blocks[: len(results)]]
        if {*results} != calls or len(results) != len(calls):
            yield f"the calls {sorted(calls)} are answered by {results}"
        if not all(first):
            yield "tool_result blocks must come first"
        calls = {str(block.get("id")) for block in blocks if _is(block, "tool_use")}
    if calls:
        yield f"the calls {sorted(calls)} have no tool_result blocks immediately after"


def _faults_of_a_block(block: dict[str, Any], role: str) -> Iterator[str]:
    kind = block.get("type")
    if missing := NEEDS.get(str(kind), {"type"}) - block.keys():
        yield f"{kind}: {sorted(missing)} is required"
    if kind not in OF_BOTH and (kind in OF_USERS) != (role == "user"):
        yield f"{kind}: is no block of the {role}"
    if kind == "text" and not str(block.get("text")).strip():
        yield "text content blocks must contain non-whitespace text"
    if kind == "tool_use" and not isinstance(block.get("input"), dict):
        yield "tool_use.input: Input should be an object"


def _blocks(message: Message) -> list[dict[str, Any]]:
    content = message.content
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _is(block: dict[str, Any], kind: str) -> bool:
    return block.get("type") == kind


# What it says ------------------------------------------------------------------------------------

STOPS: Final[dict[Reason, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "other": "pause_turn",
}
PING: Final = b'event: ping\ndata: {"type": "ping"}\n\n'


def said(kind: str, **what: Any) -> bytes:
    """One event, which has its name inside, too."""
    return event_of({"type": kind, **what}, kind)


class MessageTeller(Storyteller):
    """One answer in blocks: pieces of a kind are in one, until another kind comes."""

    def __init__(self, exchange: Exchange | None = None) -> None:
        super().__init__(exchange)
        self._index = -1
        self._kind = ""  # of the block that is open
        self._place: dict[int, int] = {}  # the block of each call

    def open(self, start: Start) -> bytes:
        message: dict[str, Any] = {"id": start.id, "type": "message", "role": "assistant"}
        message |= {"model": start.model, "content": [], "stop_reason": None}
        # Its own clients count on a cost, of which nothing is known yet.
        message |= {"stop_sequence": None, "usage": {"input_tokens": 0, "output_tokens": 0}}
        return said("message_start", message=message) + PING

    def tell(self, event: Event) -> bytes:
        match event:
            case Text(text, 0, None):
                return self._within("text", text="") + self._delta("text_delta", text=text)
            case Reasoning(text, 0, None):
                opened = self._within("thinking", thinking="", signature="")
                return opened + self._delta("thinking_delta", thinking=text)
            case Reasoning("", 0, opaque) if opaque and "signature" in opaque.data:
                opened = self._within("thinking", thinking="", signature="")
                signed = self._delta("signature_delta", signature=opaque.data["signature"])
                return opened + signed + self._stop()
            case Reasoning("", 0, opaque) if opaque:
                return self._begin(opaque.data) + self._stop()
            case ToolCall():
                return self._call(event)
            case Other("citations_delta", citation):
                opened = self._within("text", text="")
                return opened + self._delta("citations_delta", citation=citation)
            case Other(_, block, opaque) if opaque and block.get("input"):
                opened = self._begin(block | {"input": {}})
                given = msgspec.json.encode(block["input"]).decode()
                return opened + self._input(given) + self._stop()
            case Other(_, block, opaque) if opaque:
                return self._begin(block) + self._stop()
            case _:
                raise ValueError(f"messages cannot say {event!r}")

    def close(self, usage: Usage | None, finishes: Sequence[Finish]) -> bytes:
        (finish,) = finishes
        delta = {"stop_reason": finish.raw or STOPS[finish.reason], "stop_sequence": None}
        end = said("message_delta", delta=delta, usage=_cost(usage or Usage()))
        return self._stop() + end + said("message_stop")

    def fail(self, failure: Failure, /) -> bytes:
        error = {"details": None, "type": failure.code, "message": failure.message}
        whole = {"type": "error", "error": error, "request_id": "req_local"}
        match failure.form:
            case "":
                return event_of(whole, "error")
            case "nameless":  # proxies that drop the names of events
                return event_of(whole)
            case form:
                raise ValueError(f"messages have no failure of the form {form!r}")

    def _call(self, piece: ToolCall) -> bytes:
        opened = b""
        if piece.name:
            block: dict[str, Any] = {"type": "tool_use", "id": piece.id, "name": piece.name}
            block |= {"input": {}}
            if piece.opaque is not None:  # as who called it
                block |= piece.opaque.data
            opened = self._begin(block) + self._input("")
            self._place[piece.index] = self._index
        given = self._input(piece.arguments, self._place[piece.index]) if piece.arguments else b""
        return opened + given

    def _within(self, kind: str, **block: Any) -> bytes:
        return b"" if self._kind == kind else self._begin({"type": kind, **block})

    def _begin(self, block: dict[str, Any]) -> bytes:
        before = self._stop()
        self._index += 1
        self._kind = block["type"]
        return before + said("content_block_start", index=self._index, content_block=block)

    def _stop(self) -> bytes:
        if not self._kind:
            return b""
        self._kind = ""
        return said("content_block_stop", index=self._index)

    def _delta(self, kind: str, index: int | None = None, **what: Any) -> bytes:
        place = self._index if index is None else index
        return said("content_block_delta", index=place, delta={"type": kind, **what})

    def _input(self, json: str, index: int | None = None) -> bytes:
        return self._delta("input_json_delta", index, partial_json=json)


def _cost(usage: Usage) -> dict[str, Any]:
    thoughts = {"thinking_tokens": usage.reasoning}
    cost = {
        "input_tokens": usage.input,
        "output_tokens": usage.output or 0,
        "cache_read_input_tokens": usage.cached,
        "output_tokens_details": None if usage.reasoning is None else thoughts,
    }
    return {name: value for name, value in cost.items() if value is not None}


ANTHROPIC_MESSAGES: Final = Voice(
    "anthropic_messages",
    "*/v1/messages",
    content_type="text/event-stream; charset=utf-8",
    speaker=MessageTeller,
    keepalive=PING,
    headers={"anthropic-version": re.compile(r"\d{4}-\d{2}-\d{2}")},
    body=Body,
    objection=objection,
)
