"""Amazon Bedrock's ConverseStream, as the service speaks it: signed requests, binary answers."""

from __future__ import annotations

import hashlib
import hmac
import re
import struct
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote
from zlib import crc32

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from rxchat.events import Event, Finish, Opaque, Other, Reasoning, Start, Text, ToolCall, Usage
from rxchat.testing.exchange import Exchange
from rxchat.testing.replies import Failure, Reply
from rxchat.testing.voices.voice import Storyteller, Voice

__all__ = ["BEDROCK_CONVERSE", "KEYS", "ConverseTeller", "frame_of"]

# Whoever signs with this pair is let in, and whoever shows any API key.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/signing-elements.html has it as an example.
KEYS: Final[Mapping[str, str]] = {"AKIDEXAMPLE": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}


# What it demands ---------------------------------------------------------------------------------

Said = Annotated[str, Meta(min_length=1)]
Id = Annotated[str, Meta(pattern="^[a-zA-Z0-9_.:-]{1,64}$")]
Name = Annotated[str, Meta(pattern="^[a-zA-Z0-9_-]{1,64}$")]
Share = Annotated[float, Meta(ge=0, le=1)]


class Source(Struct):
    data: Annotated[bytes, Meta(min_length=1)] = msgspec.field(name="bytes")


class Image(Struct):
    format: Literal["png", "jpeg", "gif", "webp"]
    source: Source


class ToolUse(Struct, rename="camel"):
    tool_use_id: Id
    name: Name
    input: dict[str, Any]


class Given(Struct):
    text: Said


class ToolResult(Struct, rename="camel"):
    tool_use_id: Id
    content: list[Given]
    status: Literal["success", "error"] = "success"


class Thought(Struct):
    text: str
    signature: str | UnsetType = UNSET


class Reasoned(Struct, rename="camel"):
    reasoning_text: Thought | UnsetType = UNSET
    redacted_content: bytes | UnsetType = UNSET


class Block(Struct, rename="camel"):
    text: str | UnsetType = UNSET
    image: Image | UnsetType = UNSET
    tool_use: ToolUse | UnsetType = UNSET
    tool_result: ToolResult | UnsetType = UNSET
    reasoning_content: Reasoned | UnsetType = UNSET


class Turn(Struct):
    role: Literal["user", "assistant"]
    content: list[Block]


class Inference(Struct, rename="camel"):
    max_tokens: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    temperature: Share | UnsetType = UNSET
    top_p: Share | UnsetType = UNSET
    stop_sequences: list[Said] = []


class InputSchema(Struct):
    json: dict[str, Any]


class Spec(Struct, rename="camel"):
    name: Name
    input_schema: InputSchema
    description: Said | UnsetType = UNSET


class Tool(Struct, rename="camel"):
    tool_spec: Spec


class Named(Struct):
    name: Name


class Choice(Struct):
    auto: dict[str, Any] | UnsetType = UNSET
    any: dict[str, Any] | UnsetType = UNSET
    tool: Named | UnsetType = UNSET


class Tools(Struct, rename="camel"):
    tools: Annotated[list[Tool], Meta(min_length=1)]
    tool_choice: Choice | UnsetType = UNSET


class Body(Struct, rename="camel"):
    messages: list[Turn]
    system: list[Given] = []
    inference_config: Inference | UnsetType = UNSET
    tool_config: Tools | UnsetType = UNSET


def objection(exchange: Exchange, body: Body) -> Reply | None:
    """Say what the service says about a request that it refuses."""
    if refused := _stranger(exchange):
        status, kind, message = refused
        return _refusal(status, kind, message)
    model = re.sub(".*/model/|/converse-stream$", "", exchange.path)
    if "/" in model:
        return _refusal(404, "UnknownOperationException", "the model is not encoded")
    if wrong := _wrong(body):
        return _refusal(400, "ValidationException", wrong)
    return None


def _refusal(status: int, kind: str, message: str) -> Reply:
    said = f"{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/"
    return Reply.status(status, json={"message": message}, headers={"x-amzn-errortype": said})


def _wrong(body: Body) -> str | None:
    """What no table can tell of a conversation."""
    if not body.messages or body.messages[0].role != "user":
        return "A conversation must start with a user message."
    asked: set[str] = set()
    used_tools = False
    for at, turn in enumerate(body.messages):
        if at and turn.role == body.messages[at - 1].role:
            return "A conversation must alternate between user and assistant roles."
        if not turn.content:
            return f"The content field in the Message object at messages.{at} is empty."
        for block in turn.content:
            if sum(member is not UNSET for member in msgspec.structs.astuple(block)) != 1:
                return f"A ContentBlock at messages.{at} must have exactly one member."
            if block.text is not UNSET and not block.text.strip():
                return f"The text field in a ContentBlock at messages.{at} is blank."
        given = {it.tool_result.tool_use_id for it in turn.content if it.tool_result}
        if given != asked:
            return (
                f"Expected toolResult blocks at messages.{at} for the ids {sorted(asked)}, "
                f"not {sorted(given)}"
            )
        asked = {it.tool_use.tool_use_id for it in turn.content if it.tool_use}
        if asked and turn.role == "user":
            return "A user calls no tools."
        used_tools = used_tools or bool(asked)
    if asked:
        return f"The calls {sorted(asked)} have no results."
    if used_tools and not body.tool_config:
        return "The toolConfig field must be defined when using toolUse and toolResult blocks."
    return None


# Who may ask: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html

_SIGNED: Final = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/"
    r"(?P<scope>(?P<day>\d{8})/[^/]+/bedrock/aws4_request), ?"
    r"SignedHeaders=(?P<names>[a-z0-9;-]+), ?"
    r"Signature=(?P<signature>[0-9a-f]{64})"
)


def _stranger(exchange: Exchange) -> tuple[int, str, str] | None:
    """What is wrong with how a request shows who asks."""
    shown = exchange.headers.get("authorization", "")
    if re.fullmatch("Bearer .+", shown):
        return None
    if not shown:
        return 403, "MissingAuthenticationTokenException", "Missing Authentication Token"
    signed = _SIGNED.fullmatch(shown)
    if signed is None:
        return 403, "IncompleteSignatureException", "Authorization header is not as it should be."
    if signed["key"] not in KEYS:
        invalid = "The security token included in the request is invalid."
        return 403, "UnrecognizedClientException", invalid
    names = signed["names"].split(";")
    amazons = {name.lower() for name, _ in exchange.headers.raw if name.lower()[:6] == "x-amz-"}
    if {"host", "x-amz-date", *amazons} - {*names}:
        return 403, "InvalidSignatureException", "Headers that must be signed are not."
    if _signature(exchange, signed, names) != signed["signature"]:
        differs = "The request signature we calculated does not match the signature you provided."
        return 403, "InvalidSignatureException", differs
    return None


def _signature(exchange: Exchange, signed: re.Match[str], names: list[str]) -> str:
    path, _, query = exchange.target.partition("?")
    lines = [exchange.method, quote(path, safe="/~"), "&".join(sorted(query.split("&")))]
    lines += [f"{name}:{exchange.headers.get(name, '')}" for name in names]
    lines += ["", signed["names"], hashlib.sha256(exchange.body).hexdigest()]
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    date = exchange.headers["x-amz-date"]
    key = b"AWS4" + KEYS[signed["key"]].encode()
    for part in signed["scope"].split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = "\n".join(["AWS4-HMAC-SHA256", date, signed["scope"], digest])
    return hmac.digest(key, text.encode(), "sha256").hex() if date[:8] == signed["day"] else ""


# What it says ------------------------------------------------------------------------------------

_AS_STRINGS: Final = 7  # the type of a header's value


def frame_of(headers: Mapping[str, str], payload: bytes = b"") -> bytes:
    """One message of an event stream: https://smithy.io/2.0/aws/amazon-eventstream.html."""
    said = b"".join(
        struct.pack(f">B{len(name)}sBH", len(name), name, _AS_STRINGS, len(value)) + value
        for name, value in ((name.encode(), value.encode()) for name, value in headers.items())
    )
    frame = struct.pack(">II", len(said) + len(payload) + 16, len(said))
    frame += struct.pack(">I", crc32(frame)) + said + payload
    return frame + struct.pack(">I", crc32(frame))


def _frame(message: str, kind: str, said: Mapping[str, Any]) -> bytes:
    names = {"event": ":event-type", "exception": ":exception-type"}
    return frame_of(
        {names[message]: kind, ":content-type": "application/json", ":message-type": message},
        msgspec.json.encode(said),
    )


class ConverseTeller(Storyteller):
    """One answer in frames. What the service never says is refused, and so is nothing else."""

    usual = Start()  # neither a model nor an id

    _block = -1
    _kind: object = None  # of the block that is open: what cannot stand in the same one differs

    def open(self, start: Start) -> bytes:
        return self._event("messageStart", role="assistant")

    def tell(self, event: Event) -> bytes:
        match event:
            case Text(text):
                return self._delta("text", {"text": text})
            case Other("citation", citation):
                return self._delta("text", {"citation": citation})
            case Reasoning(text, _, None):
                return self._delta("thought", {"reasoningContent": {"text": text}})
            case Reasoning("", _, Opaque("bedrock", seal)):
                return self._delta("thought", {"reasoningContent": seal}) + self._stop()
            case ToolCall(index, id, name, arguments):
                begins = b""
                if id or name:
                    call = {"toolUse": {"toolUseId": id, "name": name}}
                    begins = self._in_block(index, new=True)
                    begins += self._event(
                        "contentBlockStart", contentBlockIndex=self._block, start=call
                    )
                said = self._delta(index, {"toolUse": {"input": arguments}}) if arguments else b""
                return begins + said
            case _:
                raise ValueError(f"ConverseStream cannot say {event!r}")

    def close(self, usage: Usage | None, finishes: Sequence[Finish]) -> bytes:
        finish = finishes[0]
        reason = finish.raw or _REASONS.get(finish.reason, "end_turn")
        # The service has metrics here, too, which nobody planned.
        cost = {"usage": _cost(usage)} if usage is not None else {}
        stop = self._event("messageStop", stopReason=reason)
        return self._stop() + stop + self._event("metadata", **cost)

    def fail(self, failure: Failure, /) -> bytes:
        said = {"message": failure.message}
        match failure.form:
            case "":
                return _frame("exception", "internalServerException", said)
            case "model":
                said |= {"originalMessage": failure.code}
                return _frame("exception", "modelStreamErrorException", said)
            case "error":  # what no model of the service knows
                return frame_of(
                    {
                        ":error-code": failure.code,
                        ":error-message": failure.message,
                        ":message-type": "error",
                    }
                )
            case form:
                raise ValueError(f"ConverseStream has no failure of the form {form!r}")

    def _delta(self, kind: object, delta: dict[str, Any]) -> bytes:
        begins = self._in_block(kind)
        said = self._event("contentBlockDelta", contentBlockIndex=self._block, delta=delta)
        return begins + said

    def _in_block(self, kind: object, new: bool = False) -> bytes:
        """Go on in a block of this kind, or in a new one."""
        if kind == self._kind and not new:
            return b""
        before = self._stop()
        self._block, self._kind = self._block + 1, kind
        return before

    def _stop(self) -> bytes:
        if self._kind is None:
            return b""
        self._kind = None
        return self._event("contentBlockStop", contentBlockIndex=self._block)

    def _event(self, kind: str, **said: Any) -> bytes:
        return _frame("event", kind, {**said, "p": "abcdefghijkl"})


_REASONS: Final = {
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "guardrail_intervened",
}


def _cost(usage: Usage) -> dict[str, int]:
    told = {
        "inputTokens": usage.input,
        "outputTokens": usage.output,
        "totalTokens": usage.total,
        "cacheReadInputTokens": usage.cached,
    }
    return {name: tokens for name, tokens in told.items() if tokens is not None}


BEDROCK_CONVERSE: Final = Voice(
    "bedrock_converse",
    "*/model/*/converse-stream",
    content_type="application/vnd.amazon.eventstream",
    speaker=ConverseTeller,
    body=Body,
    objection=objection,
)
