"""Generated content, as Gemini's service speaks it: in events, or in an array if not asked to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from rxchat.events import Event, Finish, Opaque, Other, Reasoning, Start, Text, ToolCall, Usage
from rxchat.testing.exchange import Exchange
from rxchat.testing.replies import Failure, Reply
from rxchat.testing.voices.voice import Voice
from rxchat.testing.voices.whole_calls import WholeCalls

__all__ = ["GEMINI_CONTENT", "ContentTeller"]


# What it demands ---------------------------------------------------------------------------------


class Strict(Struct, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    """An object of Google's: a field that it does not know is an error."""


class Blob(Strict):
    mime_type: Annotated[str, Meta(min_length=1)]
    data: bytes


class File(Strict):
    file_uri: str
    mime_type: str = ""


class Call(Strict):
    name: str
    args: dict[str, Any] = {}
    id: str = ""


class Answer(Strict):
    name: str
    response: dict[str, Any]
    id: str = ""


class Part(Strict):
    text: str | UnsetType = UNSET
    inline_data: Blob | UnsetType = UNSET
    file_data: File | UnsetType = UNSET
    function_call: Call | UnsetType = UNSET
    function_response: Answer | UnsetType = UNSET
    executable_code: dict[str, Any] | UnsetType = UNSET
    code_execution_result: dict[str, Any] | UnsetType = UNSET
    tool_call: dict[str, Any] | UnsetType = UNSET
    tool_response: dict[str, Any] | UnsetType = UNSET
    thought: bool = False
    thought_signature: str = ""


class Content(Strict):
    parts: Annotated[list[Part], Meta(min_length=1)]
    role: Literal["user", "model"] = "user"


class Function(Strict):
    name: Annotated[str, Meta(pattern=r"^[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}$")]
    parameters_json_schema: dict[str, Any]
    description: str = ""


class Tool(Strict):
    function_declarations: list[Function]


class Calling(Strict):
    mode: Literal["AUTO", "NONE", "ANY"]
    allowed_function_names: list[str] = []


class ToolConfig(Strict):
    function_calling_config: Calling


class Thinking(Strict):
    include_thoughts: bool = False
    thinking_budget: int | UnsetType = UNSET
    thinking_level: str | UnsetType = UNSET


class Generation(Strict):
    temperature: Annotated[float, Meta(ge=0, le=2)] | UnsetType = UNSET
    top_p: float | UnsetType = UNSET
    max_output_tokens: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    stop_sequences: Annotated[list[str], Meta(max_length=5)] = []
    seed: int | UnsetType = UNSET
    candidate_count: Annotated[int, Meta(ge=1, le=8)] | UnsetType = UNSET
    response_mime_type: str = "text/plain"
    response_json_schema: dict[str, Any] | UnsetType = UNSET
    thinking_config: Thinking | UnsetType = UNSET


class Body(Strict):
    contents: Annotated[list[Content], Meta(min_length=1)]
    system_instruction: Content | UnsetType = UNSET
    tools: list[Tool] = []
    tool_config: ToolConfig | UnsetType = UNSET
    generation_config: Generation | UnsetType = UNSET
    safety_settings: list[dict[str, Any]] = []
    cached_content: str = ""
    labels: dict[str, str] = {}


def objection(exchange: Exchange, body: Body) -> Reply | None:
    """Check the key, and what one part of a request demands of another."""
    if not any(name in exchange.headers for name in ("x-goog-api-key", "authorization")):
        return _no(403, "Method doesn't allow unregistered callers", "PERMISSION_DENIED")
    fault = next(_faults(body), None)
    return _no(400, fault, "INVALID_ARGUMENT") if fault else None


def _no(status: int, message: str, word: str) -> Reply:
    return Reply.status(status, json=_error(status, message, word))


def _error(code: int, message: str, word: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "status": word}}


def _faults(body: Body) -> Iterator[str]:
    open_calls: list[tuple[str | None, str]] = []
    for content in body.contents:
        said = [msgspec.to_builtins(part) for part in content.parts]
        if not all(len(part.keys() - {"thought", "thoughtSignature"}) == 1 for part in said):
            yield "Unable to submit request because a part must have exactly one kind of data"
        answers = [(a.get("id"), a["name"]) for p in said if (a := p.get("functionResponse"))]
        if sorted(answers) != sorted(open_calls):
            yield (
                "Please ensure that the number of function response parts is equal to the number "
                "of function call parts of the function call turn"
            )
        open_calls = [(c.get("id"), c["name"]) for p in said if (c := p.get("functionCall"))]
        if (open_calls and content.role == "user") or (answers and content.role == "model"):
            yield "Please ensure that function calls are of the model, and responses of the user"
    if open_calls:
        yield "Please ensure that function call turn is followed by a function response turn"
    config = body.generation_config
    if config and config.response_json_schema and config.response_mime_type != "application/json":
        yield "response_schema only supported for `application/json` response_mime_type"
    names = {tool.name for tools in body.tools for tool in tools.function_declarations}
    if body.tool_config:
        calling = body.tool_config.function_calling_config
        if calling.allowed_function_names and calling.mode != "ANY":
            yield "Function calling mode must be ANY to set allowed_function_names"
        if not names.issuperset(calling.allowed_function_names):
            yield "allowed_function_names is not a subset of function_declarations"


# What it says ------------------------------------------------------------------------------------


class ContentTeller(WholeCalls):
    """One answer as a row of responses."""

    content_type: str | None = None

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        self._in_events = "alt=sse" in exchange.target.partition("?")[2].split("&")
        if not self._in_events:
            self.content_type = "application/json; charset=UTF-8"
        self._ids: dict[str, str] = {}
        self._comma = b"["  # what comes before an element of the array

    def open(self, start: Start) -> bytes:
        """Nothing: every response says who speaks."""
        self._ids = {"modelVersion": start.model, "responseId": start.id}
        return b""

    def tell(self, event: Event) -> bytes:
        match event:
            case Text(text, choice, opaque):
                return self._part(choice, opaque, text=text)
            case Reasoning(text, choice, opaque):
                return self._part(choice, opaque, text=text, thought=True)
            case ToolCall(_, id, name, arguments, choice, opaque) if name:
                call = {"name": name, "args": msgspec.json.decode(arguments or "{}")}
                call |= {"id": id} if id else {}
                return self._part(choice, opaque, functionCall=call)
            case Other(_, _, opaque) if opaque is not None:
                return self._part(0, opaque)
            case Other(name, data):
                return self._candidate(0, **{name: data})
            case _:
                raise ValueError(f"Gemini cannot say {event!r}")

    def close(self, usage: Usage | None, finishes: Sequence[Finish]) -> bytes:
        candidates = [
            {"content": {"role": "model"}, "finishReason": _reason(finish), "index": finish.choice}
            for finish in finishes
        ]
        cost = {"usageMetadata": _cost(usage)} if usage else {}
        return self._said({"candidates": candidates, **cost, **self._ids}) + self._after()

    def fail(self, failure: Failure, /) -> bytes:
        error = _error(500, failure.message, failure.code)
        if not self._in_events:
            return self._said(error) + self._after()
        match failure.form:
            case "":  # as it was recorded: no event at all
                lines = msgspec.json.format(msgspec.json.encode(error), indent=2)
                return lines.replace(b"\n", b"\r\n") + b"\r\n"
            case "event":
                return self._said(error)
            case form:
                raise ValueError(f"Gemini has no failure of the form {form!r}")

    def _part(self, choice: int, opaque: Opaque | None, **part: Any) -> bytes:
        if opaque:
            part |= opaque.data
        return self._candidate(choice, content={"role": "model", "parts": [part]})

    def _candidate(self, choice: int, **what: Any) -> bytes:
        return self._said({"candidates": [{**what, "index": choice}], **self._ids})

    def _said(self, response: dict[str, Any]) -> bytes:
        text = msgspec.json.encode(response)
        if self._in_events:
            return b"data: %b\r\n\r\n" % text
        comma, self._comma = self._comma, b",\r\n"
        return comma + msgspec.json.format(text, indent=2) + b"\n"

    def _after(self) -> bytes:
        return b"" if self._in_events else b"]"


def _reason(finish: Finish) -> str:
    usual = {"stop": "STOP", "tool_calls": "STOP", "length": "MAX_TOKENS", "other": "OTHER"}
    return finish.raw or usual.get(finish.reason, "SAFETY")


def _cost(usage: Usage) -> dict[str, Any]:
    return {
        "promptTokenCount": usage.input,
        "candidatesTokenCount": usage.output,
        "totalTokenCount": usage.total,
        "thoughtsTokenCount": usage.reasoning,
        "cachedContentTokenCount": usage.cached,
    }


GEMINI_CONTENT: Final = Voice(
    "gemini_content",
    "*/models/*:streamGenerateContent",
    content_type="text/event-stream",
    speaker=ContentTeller,
    body=Body,
    objection=objection,
)
