"""Gemini's generated content, from Google's two hosts of it.

https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent

An answer is a row of responses, each of them whole: as server-sent events, or as one JSON array
where nobody asks for those. It has no end mark: it is complete when the body ends and every
candidate has said why it stopped. Until then it may still fail, even after a STOP.

Text, thoughts and calls become events of their own; any other part (code that the model ran, an
image that it made, a server's tool) is an `Other` under the part's name. What is signed goes back
with the next turn, part by part.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import attrs
from msgspec import Struct, field
from msgspec.json import Decoder

from rxchat.errors import EmptyAnswer, UsageError
from rxchat.events import (
    Event,
    Finish,
    Opaque,
    Other,
    Reason,
    Reasoning,
    Start,
    Text,
    ToolCall,
    Usage,
)
from rxchat.framing import Frame
from rxchat.keys import Key, Setting
from rxchat.options import BODY
from rxchat.provider import Format, Provider
from rxchat.providers.frames import (
    count,
    fields,
    in_band,
    items,
    parsed,
    read,
    spaced_json,
    text,
)
from rxchat.providers.gemini_arguments import Arguments
from rxchat.providers.gemini_body import contents_body
from rxchat.providers.gemini_frames import ContentFrames
from rxchat.request import JSON, Headers
from rxchat.signing import header_key

__all__ = ["CONTENT", "ContentChunks", "gemini", "vertex"]

# https://ai.google.dev/api/generate-content#FinishReason; a call of a tool is a STOP.
REASONS: Mapping[str, Reason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "ESCALATION": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    # With `$alt=json;enum-encoding=int`. The two hosts number what follows OTHER (5) differently;
    # these are the numbers that mean the same kind of end to both.
    "1": "stop",
    "2": "length",
    "3": "content_filter",
    "4": "content_filter",
    "7": "content_filter",
    "8": "content_filter",
    "11": "content_filter",
}

# What comes --------------------------------------------------------------------------------------


class Part(Struct, gc=False):
    text: Any = None
    thought: Any = None
    signature: Any = field(default=None, name="thoughtSignature")
    call: Any = field(default=None, name="functionCall")


class Content(Struct, gc=False):
    parts: list[Part] | None = None


class Candidate(Struct, gc=False, rename="camel"):
    content: Content | None = None
    index: Any = 0
    finish_reason: Any = None
    finish_message: Any = None
    continuation_token: Any = None
    safety_ratings: Any = None
    citation_metadata: Any = None
    grounding_metadata: Any = None
    url_context_metadata: Any = None
    logprobs_result: Any = None
    avg_logprobs: Any = None


class Response(Struct, gc=False, rename="camel"):
    candidates: list[Candidate] | None = None
    prompt_feedback: Any = None
    usage_metadata: Any = None
    model_version: Any = None
    response_id: Any = None
    error: Any = None


_decode = Decoder(Response).decode

# What a candidate may say besides its content: our name, and the service's.
_NAMES = zip(Candidate.__struct_fields__, Candidate.__struct_encode_fields__, strict=True)
ASIDES = tuple(_NAMES)[Candidate.__struct_fields__.index("finish_message") :]
# What may stand in any part, beside what it is.
BESIDE = {"thought", "thoughtSignature", "mediaResolution", "partMetadata", "videoMetadata"}


class ContentChunks:
    """Responses to events. The answer ends with the body, if every candidate had a reason."""

    def __init__(self) -> None:
        self._started = False
        self._blocked = False
        self._choices = set[int]()
        self._reasons: dict[int, str] = {}  # why each choice ended
        self._made: dict[int, int] = {}  # how many calls each choice made
        self._open: dict[int, Arguments] = {}  # the call whose arguments are coming
        self._usage: Mapping[str, Any] = {}
        self._asides: dict[tuple[int, str], Any] = {}

    def feed(self, frames: Iterable[Frame]) -> Iterator[Event]:
        for frame in frames:
            try:
                response = _decode(frame.data)
            except (ValueError, RecursionError):
                line = frame.data.strip()
                if line == "[DONE]":  # which only proxies say
                    yield from self.close()
                    return
                if "[DONE]".startswith(line):
                    continue
                response = read(_decode, line)
            if response.error is not None or frame.event == "error":
                yield from self._cost()
                raise in_band(frame.data)
            if not self._started:
                self._started = True
                yield Start(text(response.model_version), text(response.response_id))
            if response.usage_metadata:
                self._usage = fields(response.usage_metadata)
            for place, candidate in enumerate(response.candidates or ()):
                index = candidate.index if type(candidate.index) is int else 0
                self._choices.add(index)
                parts = (candidate.content.parts if candidate.content else None) or ()
                for part in parts:
                    if type(part.text) is not str or part.call or part.signature:
                        yield from self._parts(frame, place, index)
                        break
                else:  # nothing but text and thoughts, as nearly always
                    for part in parts:
                        if part.text:
                            yield (Reasoning if part.thought else Text)(part.text, index)
                yield from self._aside(candidate, index)
            nothing = response.candidates is None and not response.usage_metadata
            if nothing or response.prompt_feedback:
                yield from self._instead(response, frame)

    def close(self) -> Iterator[Event]:
        if not self._started:
            raise EmptyAnswer("the answer ended without a word")
        if not self._blocked and not (self._choices and self._choices <= self._reasons.keys()):
            return
        yield from self._cost()
        for choice in sorted(self._choices) or [0]:
            raw = self._reasons.get(choice)
            reason = REASONS.get(raw, "other") if raw else "content_filter"
            called = reason == "stop" and choice in self._made
            yield Finish("tool_calls" if called else reason, raw, choice)

    def _parts(self, frame: Frame, place: int, choice: int) -> Iterator[Event]:
        """The parts of a candidate, looked at closely, with all that stands in them."""
        response = parsed(frame.data)
        for part in map(fields, response["candidates"][place]["content"]["parts"]):
            signature = part.get("thoughtSignature")
            opaque = Opaque("gemini", {"thoughtSignature": signature}) if signature else None
            if (call := part.get("functionCall")) is not None:
                yield from self._call(fields(call), choice, opaque)
            elif isinstance(said := part.get("text"), str) or part.keys() <= BESIDE:
                if said or opaque:
                    kind = Reasoning if part.get("thought") else Text
                    yield kind(text(said), choice, opaque)
            else:
                name = next(name for name in part if name not in BESIDE)
                yield Other(name, part[name], Opaque("gemini", part), choice)

    def _call(self, call: Mapping[str, Any], choice: int, opaque: Opaque | None) -> Iterator[Event]:
        """A call; if its arguments are streamed, they are given when all are there.

        https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling
        """
        name, goes_on = text(call.get("name")), bool(call.get("willContinue"))
        if name or (call and choice not in self._open):
            yield from self._closed(choice)  # which nobody may have done
            index = self._made[choice] = self._made.get(choice, -1) + 1
            streamed = goes_on or "partialArgs" in call
            arguments = "" if streamed else spaced_json(call.get("args") or {})
            yield ToolCall(index, text(call.get("id")), name, arguments, choice, opaque)
            if not streamed:
                return
            self._open[choice] = Arguments(fields(call.get("args")))
        elif opaque and choice in self._made:
            yield ToolCall(self._made[choice], choice=choice, opaque=opaque)
        if choice in self._open:
            self._open[choice].add(call.get("partialArgs"))
            if not goes_on:
                yield from self._closed(choice)

    def _closed(self, choice: int) -> Iterator[Event]:
        """The arguments of the call that was open, if there is one."""
        arguments = self._open.pop(choice, None)
        if arguments is not None:
            yield ToolCall(self._made[choice], arguments=arguments.json, choice=choice)

    def _aside(self, candidate: Candidate, choice: int) -> Iterator[Event]:
        """What is not content: why it ended, and what is known of it, once."""
        for name, told_as in ASIDES:
            value = getattr(candidate, name)
            if value and not _same(self._asides.get((choice, told_as)), value):
                self._asides[choice, told_as] = value
                if name != "safety_ratings" or any(map(_is_alarming, items(value))):
                    yield Other(told_as, value, choice=choice)
        reason = candidate.finish_reason
        if reason and reason != "FINISH_REASON_UNSPECIFIED":  # which is as good as none
            self._reasons[choice] = str(reason)
            yield from self._closed(choice)

    def _instead(self, response: Response, frame: Frame) -> Iterator[Event]:
        """What there is in place of candidates: why there are none, or something new."""
        feedback = fields(response.prompt_feedback)
        if feedback.get("blockReason"):
            self._blocked = True
            yield Other("promptFeedback", feedback)
        elif not feedback:
            yield Other(frame.event, parsed(frame.data))

    def _cost(self) -> Iterator[Event]:
        told = self._usage
        usage = Usage(
            count(told.get("promptTokenCount")),
            count(told.get("candidatesTokenCount")),
            count(told.get("totalTokenCount")),
            count(told.get("thoughtsTokenCount")),
            count(told.get("cachedContentTokenCount")),
        )
        if usage != Usage():
            yield usage


def _same(one: object, other: object) -> bool:
    try:
        return one == other
    except RecursionError:
        return False


def _is_alarming(rating: object) -> bool:
    told = fields(rating)
    return bool(told.get("blocked")) or told.get("probability") not in (None, "NEGLIGIBLE", 1)


# Who says it -------------------------------------------------------------------------------------

CONTENT = Format(
    path="/models/{model}:streamGenerateContent?alt=sse",
    body=contents_body,
    decoder=ContentFrames,
    mapping=ContentChunks,
    expects=JSON,
    options=dict.fromkeys(BODY),
    images=True,
)

gemini = Provider(
    name="gemini",
    format=CONTENT,
    base_url="https://generativelanguage.googleapis.com/v1beta",
    site="https://ai.google.dev",
    model="gemini-3.8-flash",
    # In the order of Google's own client.
    auth=Key(("GOOGLE_API_KEY", "GEMINI_API_KEY"), partial(header_key, "x-goog-api-key")),
    headers=Headers({"Content-Type": "application/json"}),
)
"""Google's Gemini, with a key."""


# https://cloud.google.com/vertex-ai/generative-ai/docs/learn/locations: most places have a host
# of the same form.
HOSTS = {
    "global": "aiplatform.googleapis.com",
    "us": "aiplatform.us.rep.googleapis.com",
    "eu": "aiplatform.eu.rep.googleapis.com",
}


@attrs.frozen(kw_only=True, repr=False)
class AtLocation(Provider):
    """A service of Google's cloud, whose host follows from its location."""

    def _setting(self, name: str) -> str:
        given = super()._setting(name)
        if name == "location" and not re.fullmatch("[a-z0-9-]+", given):
            raise UsageError(
                f"location is a name as 'europe-west1', not {given!r}", provider=self.name
            )
        if name == "endpoint" and not given:
            location = self._setting("location")
            return HOSTS.get(location, f"{location}-aiplatform.googleapis.com")
        return given


vertex = AtLocation(
    name="vertex",
    format=CONTENT,
    # In v1, calls have no ids.
    base_url="https://{endpoint}/v1beta1",
    path="/projects/{project}/locations/{location}/publishers/google" + CONTENT.path,
    site="https://cloud.google.com/vertex-ai",
    model="gemini-3.8-flash",
    # No variable of Google's libraries holds a token: these are Terraform's, and gcloud's.
    auth=Key(("GOOGLE_OAUTH_ACCESS_TOKEN", "CLOUDSDK_AUTH_ACCESS_TOKEN")),
    settings={
        "project": Setting("GOOGLE_CLOUD_PROJECT"),
        "location": Setting("GOOGLE_CLOUD_LOCATION", default="global"),
        "endpoint": Setting(default=""),
    },
    headers=Headers({"Content-Type": "application/json"}),
)
"""Google's Gemini in the cloud: with an OAuth token that lasts an hour, so let `key` be a function
that gives a fresh one."""
