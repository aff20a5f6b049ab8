"""Amazon Bedrock's ConverseStream: one format for the models of many makers.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html

What only some models take goes through `extra`, as a budget for thinking does:
`extra={"additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 2048}}}`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct
from msgspec.json import Decoder

from rxchat.calls import Calls
from rxchat.errors import EmptyAnswer, ServiceError
from rxchat.events import (
    Event,
    Opaque,
    Other,
    Reason,
    Reasoning,
    Start,
    Text,
    Usage,
)
from rxchat.framing import AWSEventStream, AWSFrame
from rxchat.keys import Setting
from rxchat.provider import Format, Provider
from rxchat.providers.aws_keys import AWSKeys
from rxchat.providers.bedrock_body import BY, converse
from rxchat.providers.frames import (
    count,
    fields,
    finish,
    in_band,
    json_text,
    parsed,
    read,
    text,
)
from rxchat.request import AWS_EVENT_STREAM, Headers

__all__ = ["CONVERSE", "ConverseEvents", "bedrock"]

REASONS: Mapping[str, Reason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}

# The statuses that exceptions have in the service's model, in lower case. One is missing: that of
# `modelStreamErrorException` is in its payload, as what the model's own server said.
STATUSES: Mapping[str, int] = {
    "validationexception": 400,
    "accessdeniedexception": 403,
    "resourcenotfoundexception": 404,
    "modeltimeoutexception": 408,
    "modelerrorexception": 424,
    "throttlingexception": 429,
    "modelnotreadyexception": 429,
    "internalserverexception": 500,
    "serviceunavailableexception": 503,
}

# What comes --------------------------------------------------------------------------------------


class Thought(Struct, gc=False, rename="camel"):
    text: Any = None
    signature: Any = None
    redacted_content: Any = None


class ToolUse(Struct, gc=False):
    input: Any = None


class Delta(Struct, gc=False, rename="camel"):
    text: Any = None
    tool_use: ToolUse | None = None
    reasoning_content: Thought | None = None


class Piece(Struct, gc=False, rename="camel"):
    delta: Delta | None = None
    content_block_index: Any = None


_decode = Decoder(Piece).decode


class ConverseEvents:
    """Frames to events. The answer ends with `messageStop` and the `metadata` after it.

    Where the metadata never comes, as through some gateways, the body's end is the end, too.
    """

    def __init__(self) -> None:
        self._begun = False
        self._calls = Calls()
        self._served: set[object] = set()  # the blocks of calls that the service itself answers
        self._stopped = False
        self._raw = ""
        self._usage: Mapping[str, Any] | None = None

    def feed(self, frames: Iterable[AWSFrame]) -> Iterator[Event]:
        for frame in frames:
            kind = frame.headers.get(":event-type")
            if kind == "contentBlockDelta":
                self._begun = True
                try:
                    piece = _decode(frame.payload)
                except (ValueError, RecursionError):
                    piece = read(_decode, frame.payload)
                said = piece.delta.text if piece.delta else ""
                if type(said) is not str:
                    yield from self._more(piece, frame)
                elif said:
                    yield Text(said)
            elif frame.message_type != "event":
                raise _failure(frame)
            elif kind == "messageStart":
                if not self._begun:
                    yield Start()
                self._begun = True
            else:
                self._begun = True
                yield from self._aside(frame)
                if self._stopped and self._usage is not None:
                    yield from self._end()
                    return

    def close(self) -> Iterator[Event]:
        if not self._begun:
            raise EmptyAnswer("the answer ended without a word")
        if self._stopped:
            yield from self._end()

    def _more(self, piece: Piece, frame: AWSFrame) -> Iterator[Event]:
        """A piece of what is not text."""
        delta, block = piece.delta or Delta(), _place(piece.content_block_index)
        if delta.tool_use is not None and block not in self._served:
            arguments = json_text(delta.tool_use.input)
            if arguments:
                yield self._calls.piece(block, "", "", arguments)
        elif (thought := delta.reasoning_content) and thought != Thought():
            if thinking := text(thought.text):
                yield Reasoning(thinking)
            # Both of these seal a block of thoughts, and go back with it.
            if signature := text(thought.signature):
                yield Reasoning("", opaque=Opaque(BY, {"signature": signature}))
            if redacted := text(thought.redacted_content):
                yield Reasoning("", opaque=Opaque(BY, {"redactedContent": redacted}))
        else:
            yield from _others(_told(frame).get("delta"))

    def _aside(self, frame: AWSFrame) -> Iterator[Event]:
        """What is not a piece of the answer."""
        told = _told(frame)
        match frame.event:
            case "contentBlockStart":
                start, block = fields(told.get("start")), _place(told.get("contentBlockIndex"))
                call = fields(start.get("toolUse"))
                if call.get("type") == "server_tool_use":
                    self._served.add(block)
                elif call:
                    yield self._calls.piece(
                        block, text(call.get("toolUseId")), text(call.get("name")), ""
                    )
                    return
                yield from _others(start)
            case "contentBlockStop":
                pass
            case "messageStop":
                self._stopped = True
                self._raw = text(told.get("stopReason"))
                yield from _others(told, but="stopReason")
            case "metadata":
                self._usage = fields(told.get("usage"))
                yield from _others(told, but="usage")
            case name:
                yield Other(name, told)

    def _end(self) -> Iterator[Event]:
        if told := self._usage:
            yield Usage(
                count(told.get("inputTokens")),
                count(told.get("outputTokens")),
                count(told.get("totalTokens")),
                None,
                count(told.get("cacheReadInputTokens")),
            )
        yield finish(REASONS, self._raw, called=self._calls.made())


def _told(frame: AWSFrame) -> dict[str, Any]:
    """What a frame says, without the padding that hides its length."""
    told = parsed(frame.payload) if frame.payload else None
    return {name: value for name, value in fields(told).items() if name != "p"}


def _others(told: object, but: str = "") -> Iterator[Event]:
    """Each by its own name, so that all pieces of, say, a citation are called the same."""
    for name, value in fields(told).items():
        if value is not None and name != but:
            yield Other(name, value)


def _place(index: object) -> int | str | None:
    return index if isinstance(index, int | str) else None


def _failure(frame: AWSFrame) -> ServiceError:
    """The error of an exception, which has a payload, or of an error, which has only headers."""
    name = frame.event
    told = {
        "message": text(frame.headers.get(":error-message")),
        "code": name,
        "status_code": STATUSES.get(name.lower()),
    }
    return in_band(told | _told(frame))


# Who says it -------------------------------------------------------------------------------------

CONVERSE = Format(
    path="/model/{model}/converse-stream",
    body=converse,
    decoder=AWSEventStream,
    mapping=ConverseEvents,
    expects=AWS_EVENT_STREAM,
    options=dict.fromkeys(
        (
            "temperature",
            "top_p",
            "max_tokens",
            "stop",
            "reasoning",
            "schema",
            "tools",
            "tool_choice",
        )
    ),
    images=True,
)

bedrock = Provider(
    name="bedrock",
    format=CONVERSE,
    base_url="https://bedrock-runtime.{region}.amazonaws.com",
    site="https://aws.amazon.com/bedrock",
    model="global.amazon.nova-2-lite-v1:0",
    auth=AWSKeys(),
    settings={"region": Setting(("AWS_REGION", "AWS_DEFAULT_REGION"))},
    headers=Headers({"Content-Type": "application/json", "Accept": AWS_EVENT_STREAM}),
)
"""Amazon Bedrock, with the models that your account may use in that region."""
