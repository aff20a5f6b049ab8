"""What is Bedrock's own: its body, its end, its failures, its signatures."""

from __future__ import annotations

import json
import random
import re
from itertools import count
from pathlib import Path
from traceback import walk_tb
from typing import Any

import attrs
import pytest

import rxchat
from hearing import hear
from rxchat import operators as ops
from rxchat.errors import (
    BadRequest,
    ChatError,
    EmptyAnswer,
    Garbled,
    InvalidPrompt,
    MissingKey,
    MissingSetting,
    NotFound,
    Overloaded,
    RateLimited,
    ServerError,
    Truncated,
    Unauthorized,
    UsageError,
)
from rxchat.events import (
    Event,
    Finish,
    Opaque,
    Other,
    Reasoning,
    Refusal,
    Start,
    Text,
    ToolCall,
    Usage,
)
from rxchat.framing import AWSEventStream
from rxchat.provider import Provider
from rxchat.providers import AWSKeys, bedrock
from rxchat.request import Request
from rxchat.signing import sigv4
from rxchat.testing import LocalServer, Reply
from rxchat.testing.voices import ANYTHING
from rxchat.testing.voices.bedrock_converse import KEYS, frame_of
from rxchat.transport.asking import _address
from test_hostile_answers import changed, ends_well_or_in_one_error
from test_samples import STREAMS, WIRE_OF, body_of

PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)
CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = rxchat.Tool("weather", "Tell the weather.", CITY)
CALL = ToolCall(0, "call_0", "weather", '{"city": "Oslo"}')
there = bedrock.but(region="us-east-1")


def asked(prompt: Any, **options: Any) -> dict[str, Any]:
    return there.request(prompt, **options).json


# What goes ---------------------------------------------------------------------------------------


def test_a_rich_conversation_in_the_words_of_the_service() -> None:
    conversation = [
        rxchat.system("Be brief."),
        rxchat.Message("developer", "Use tools."),
        rxchat.user("What is this?", rxchat.image(PNG)),
        rxchat.assistant(
            Reasoning("I look."),
            Reasoning("", opaque=Opaque("bedrock", {"signature": "S1"})),
            Reasoning("", opaque=Opaque("bedrock", {"redactedContent": "UjE="})),
            "I ask.",
            CALL,
            ToolCall(1, "call_1", "clock"),
        ),
        rxchat.tool("18 °C", CALL),
        rxchat.tool("no clock", "call_1", failed=True),
        rxchat.user("And now?"),
    ]
    assert asked(conversation, tools=[WEATHER, rxchat.Tool("clock")]) == {
        "system": [{"text": "Be brief."}, {"text": "Use tools."}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"text": "What is this?"},
                    {
                        "image": {
                            "format": "png",
                            "source": {"bytes": "iVBORw0KGgoAAAAAAAAAAA=="},
                        }
                    },
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"reasoningContent": {"reasoningText": {"text": "I look.", "signature": "S1"}}},
                    {"reasoningContent": {"redactedContent": "UjE="}},
                    {"text": "I ask."},
                    {
                        "toolUse": {
                            "toolUseId": "call_0",
                            "name": "weather",
                            "input": {"city": "Oslo"},
                        }
                    },
                    {"toolUse": {"toolUseId": "call_1", "name": "clock", "input": {}}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"toolResult": {"toolUseId": "call_0", "content": [{"text": "18 °C"}]}},
                    {
                        "toolResult": {
                            "toolUseId": "call_1",
                            "content": [{"text": "no clock"}],
                            "status": "error",
                        }
                    },
                    {"text": "And now?"},
                ],
            },
        ],
        "toolConfig": {
            "tools": [
                {
                    "toolSpec": {
                        "name": "weather",
                        "description": "Tell the weather.",
                        "inputSchema": {"json": CITY},
                    }
                },
                {
                    "toolSpec": {
                        "name": "clock",
                        "inputSchema": {"json": {"type": "object", "properties": {}}},
                    }
                },
            ]
        },
    }


def test_a_plain_question_has_nothing_but_itself() -> None:
    assert asked("Hi") == {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
TOOLS = {"tools": [WEATHER]}


@pytest.mark.parametrize(
    ("options", "path", "value"),
    [
        ({"temperature": 0.5}, "inferenceConfig.temperature", 0.5),
        ({"top_p": 0.5}, "inferenceConfig.topP", 0.5),
        ({"max_tokens": 5}, "inferenceConfig.maxTokens", 5),
        ({"stop": "END"}, "inferenceConfig.stopSequences", ["END"]),
        ({"reasoning": "low"}, "outputConfig.effort", "low"),
        ({"schema": SCHEMA}, "outputConfig.textFormat.type", "json_schema"),
        (
            {"schema": SCHEMA},
            "outputConfig.textFormat.structure.jsonSchema",
            {"name": "answer", "schema": json.dumps(SCHEMA, separators=(",", ":"))},
        ),
        (TOOLS | {"tool_choice": "auto"}, "toolConfig.toolChoice", {"auto": {}}),
        (TOOLS | {"tool_choice": "required"}, "toolConfig.toolChoice", {"any": {}}),
        (
            TOOLS | {"tool_choice": "weather"},
            "toolConfig.toolChoice",
            {"tool": {"name": "weather"}},
        ),
    ],
)
def test_each_option_has_its_place(options: dict[str, Any], path: str, value: Any) -> None:
    body: Any = asked("Hi", **options)
    for step in path.split("."):
        body = body[step]
    assert body == value


def test_no_tool_can_be_called_where_there_is_none() -> None:
    assert asked("Hi", tools=[WEATHER], tool_choice="none") == asked("Hi")


def test_a_budget_for_thinking_is_a_matter_of_the_model() -> None:
    fields = {"thinking": {"type": "enabled", "budget_tokens": 2048}}
    body = asked("Hi", extra={"additionalModelRequestFields": fields})
    assert body["additionalModelRequestFields"] == fields


@pytest.mark.parametrize(
    ("prompt", "options", "error", "said"),
    [
        ("Hi", {"reasoning": 2048}, UsageError, "additionalModelRequestFields"),
        ("Hi", {"reasoning": 0}, UsageError, "additionalModelRequestFields"),
        ("Hi", {"reasoning": "none"}, UsageError, "additionalModelRequestFields"),
        (
            ["Hi", rxchat.assistant(CALL), rxchat.tool("18 °C", CALL)],
            {"tools": [WEATHER], "tool_choice": "none"},
            UsageError,
            "leave out tool_choice",
        ),
        ("", {}, InvalidPrompt, "there is nobody to answer: add a user's message"),
        (rxchat.system("Be brief."), {}, InvalidPrompt, "add a user's message"),
        (rxchat.user(" "), {}, InvalidPrompt, "add a user's message"),
        (
            rxchat.user("See?", rxchat.image("https://example.com/cat.png")),
            {},
            InvalidPrompt,
            "load it yourself",
        ),
        (
            rxchat.user("See?", rxchat.Image(data=b"II*", media_type="image/tiff")),
            {},
            InvalidPrompt,
            "not 'image/tiff'",
        ),
        (
            ["Hi", rxchat.assistant(ToolCall(0, "c", "f", "[]")), rxchat.tool("1", "c")],
            {},
            InvalidPrompt,
            "no JSON object",
        ),
    ],
)
def test_what_cannot_be_said_is_refused_with_a_word_of_help(
    prompt: Any, options: dict[str, Any], error: type[ChatError], said: str
) -> None:
    with pytest.raises(error, match=said) as caught:
        asked(prompt, **options)
    assert caught.value.provider == "bedrock"


TURNS: dict[str, tuple[list[Any], list[tuple[str, list[Any]]]]] = {
    "what one side says is one turn": (
        ["One", "Two", rxchat.assistant("Three"), rxchat.assistant("Four")],
        [("user", ["One", "Two"]), ("assistant", ["Three", "Four"])],
    ),
    "blank texts are left out, and turns of nothing else": (
        ["One", rxchat.assistant(" \n"), "Two", rxchat.user(" ")],
        [("user", ["One", "Two"])],
    ),
    "a refusal is what the model said": (
        ["One", rxchat.assistant(Refusal("No.")), "Two"],
        [("user", ["One"]), ("assistant", ["No."]), ("user", ["Two"])],
    ),
    "instructions are no turns": (
        [rxchat.system("Be brief."), "One", rxchat.system("Be kind."), "Two"],
        [("user", ["One", "Two"])],
    ),
}


@pytest.mark.parametrize("case", TURNS)
def test_user_and_assistant_take_turns(case: str) -> None:
    conversation, turns = TURNS[case]
    found = asked(conversation)["messages"]
    assert [(t["role"], [block["text"] for block in t["content"]]) for t in found] == turns


def test_a_tool_that_gave_nothing_gives_no_text() -> None:
    turns = asked(["Hi", rxchat.assistant(CALL), rxchat.tool("", CALL)], tools=[WEATHER])
    [block] = turns["messages"][-1]["content"]
    assert block == {"toolResult": {"toolUseId": "call_0", "content": []}}


def sealed(**seal: str) -> Reasoning:
    return Reasoning("", opaque=Opaque("bedrock", seal))


def block_of(text: str, signature: str) -> dict[str, Any]:
    return {"reasoningContent": {"reasoningText": {"text": text, "signature": signature}}}


FOREIGN = Opaque("somebody else", {"signature": "S0"})
THOUGHTS: dict[str, tuple[list[Any], list[Any]]] = {
    "a thought with its signature": (
        [Reasoning("Hm."), sealed(signature="S1")],
        [block_of("Hm.", "S1")],
    ),
    "two of them": (
        [Reasoning("A"), sealed(signature="S1"), Reasoning("B"), sealed(signature="S2")],
        [block_of("A", "S1"), block_of("B", "S2")],
    ),
    "a signature of a thought that is not shown": (
        [sealed(signature="S1")],
        [block_of("", "S1")],
    ),
    "a thought that nobody signed": ([Reasoning("Hm.")], []),
    "a thought that nobody signed, before another": (
        [Reasoning("Hm."), "Well.", sealed(signature="S1")],
        [{"text": "Well."}, block_of("", "S1")],
    ),
    "a thought of somebody else": (
        [Reasoning("Hm.", opaque=FOREIGN), Reasoning("A"), sealed(signature="S1")],
        [block_of("A", "S1")],
    ),
    "a thought that is not for us": (
        [sealed(redactedContent="UjE=")],
        [{"reasoningContent": {"redactedContent": "UjE="}}],
    ),
}


@pytest.mark.parametrize("case", THOUGHTS)
def test_thoughts_go_back_with_their_seals(case: str) -> None:
    parts, blocks = THOUGHTS[case]
    body = asked(["Hi", rxchat.assistant(*parts, "Yes."), "Go on"])
    assert body["messages"][1]["content"] == [*blocks, {"text": "Yes."}]


# What comes --------------------------------------------------------------------------------------


def event(kind: str, **said: Any) -> bytes:
    headers = {":event-type": kind, ":message-type": "event"}
    return frame_of(headers, json.dumps({**said, "p": "abcd"}).encode())


def exception(kind: str, payload: bytes) -> bytes:
    return frame_of({":exception-type": kind, ":message-type": "exception"}, payload)


def delta(block: Any = 0, /, **said: Any) -> bytes:
    return event("contentBlockDelta", contentBlockIndex=block, delta=said)


def start(block: Any = 0, /, **said: Any) -> bytes:
    return event("contentBlockStart", contentBlockIndex=block, start=said)


START = event("messageStart", role="assistant")
HELLO = START + delta(text="Hello")
STOP = event("messageStop", stopReason="end_turn")
COST = event("metadata", usage={"inputTokens": 1, "outputTokens": 2, "totalTokens": 3})
SAID = [Start(), Text("Hello")]


def heard(*frames: bytes) -> list[Event]:
    events, error = hear(bedrock.format, frames)
    assert error is None
    return events


@pytest.mark.parametrize(
    ("body", "events"),
    [
        (HELLO + STOP + COST, [*SAID, Usage(1, 2, 3), Finish("stop", "end_turn")]),
        (HELLO + COST + STOP, [*SAID, Usage(1, 2, 3), Finish("stop", "end_turn")]),
        (HELLO + STOP + COST + b"more", [*SAID, Usage(1, 2, 3), Finish("stop", "end_turn")]),
        (HELLO + STOP, [*SAID, Finish("stop", "end_turn")]),
        (HELLO + STOP + event("metadata"), [*SAID, Finish("stop", "end_turn")]),
        (
            HELLO + event("messageStop", stopReason=None) + COST,
            [*SAID, Usage(1, 2, 3), Finish("stop", None)],
        ),
        (delta(text="Hello") + STOP + COST, [SAID[1], Usage(1, 2, 3), Finish("stop", "end_turn")]),
        (HELLO + START + STOP + COST, [*SAID, Usage(1, 2, 3), Finish("stop", "end_turn")]),
    ],
)
def test_an_answer_ends_as_soon_as_all_is_said(body: bytes, events: list[Event]) -> None:
    assert heard(body) == events


@pytest.mark.parametrize(
    ("body", "error", "events"),
    [
        (b"", EmptyAnswer, []),
        (START, Truncated, [Start()]),
        (HELLO, Truncated, SAID),
        (HELLO + COST, Truncated, SAID),
        (HELLO + STOP + COST[:-1], Truncated, SAID),
        (HELLO + STOP[:20], Truncated, SAID),
        (HELLO + b"\x00" * 20, Garbled, SAID),
        (HELLO + frame_of({":event-type": "metadata"}, b'{"usage": '), Truncated, SAID),
        (HELLO + frame_of({":event-type": "contentBlockDelta"}, b"words"), Garbled, SAID),
    ],
)
def test_an_answer_without_its_end_is_an_error(
    body: bytes, error: type[ChatError], events: list[Event]
) -> None:
    found, failure = hear(bedrock.format, [body])
    assert (found, type(failure)) == (events, error)


CITATION = {"title": "manual", "location": {"documentChar": {"start": 0}}}
ASIDE: dict[str, tuple[bytes, list[Event]]] = {
    "a citation": (delta(citation=CITATION), [Other("citation", CITATION)]),
    "an image": (
        start(image={"format": "png"}) + delta(image={"source": {"bytes": "UjE="}}),
        [Other("image", {"format": "png"}), Other("image", {"source": {"bytes": "UjE="}})],
    ),
    "a call that the service answers": (
        start(7, toolUse={"toolUseId": "t", "name": "search", "type": "server_tool_use"})
        + delta(7, toolUse={"input": "{}"})
        + start(8, toolResult={"toolUseId": "t", "status": "success"})
        + delta(8, toolResult=[{"text": "found"}]),
        [
            Other("toolUse", {"toolUseId": "t", "name": "search", "type": "server_tool_use"}),
            Other("toolUse", {"input": "{}"}),
            Other("toolResult", {"toolUseId": "t", "status": "success"}),
            Other("toolResult", [{"text": "found"}]),
        ],
    ),
    "a new kind of piece": (delta(video={"a": 1}), [Other("video", {"a": 1})]),
    "a new kind of thought": (
        delta(reasoningContent={"sketch": 1}),
        [Other("reasoningContent", {"sketch": 1})],
    ),
    "a new event": (event("weather", sun=True), [Other("weather", {"sun": True})]),
    "facts in the metadata": (
        event("metadata", usage={}, metrics={"latencyMs": 5}, trace={"guardrail": {}}),
        [Other("metrics", {"latencyMs": 5}), Other("trace", {"guardrail": {}})],
    ),
    "facts at the stop": (
        event("messageStop", stopReason="x", additionalModelResponseFields={"a": 1}),
        [Other("additionalModelResponseFields", {"a": 1})],
    ),
    "a start of a text": (start(), []),
    "a stop": (event("contentBlockStop", contentBlockIndex=0), []),
    "empty pieces": (
        delta(text="") + delta(toolUse={"input": ""}) + delta(reasoningContent={"text": ""}),
        [],
    ),
    "nulls": (
        delta(text=None) + event("contentBlockDelta", delta=None) + start(toolUse=None),
        [],
    ),
}


@pytest.mark.parametrize("case", ASIDE)
def test_whatever_else_is_said_goes_by_its_own_name(case: str) -> None:
    said, events = ASIDE[case]
    found, _ = hear(bedrock.format, [HELLO + said])
    assert [event for event in found if not isinstance(event, Finish)] == [*SAID, *events]


def test_seals_of_thoughts_stand_alone() -> None:
    said = [{"text": "Hm."}, {"signature": "S1"}, {"redactedContent": "UjE="}]
    events = heard(START, *(delta(reasoningContent=it) for it in said), STOP, COST)
    assert events[1:-2] == [
        Reasoning("Hm."),
        sealed(signature="S1"),
        sealed(redactedContent="UjE="),
    ]


def test_calls_have_places_of_their_own() -> None:
    calls = (
        delta(text="I ask.")
        + start(1, toolUse={"toolUseId": "a", "name": "f", "type": "tool_use"})
        + delta(1, toolUse={"input": '{"x"'})
        + delta(1, toolUse={"input": ": 1}"})
        + start(2, toolUse={"toolUseId": "b", "name": "g"})
        + delta(2, toolUse={"input": {"y": 2}})
    )
    events = heard(START, calls, STOP, COST)
    assert events[2:] == [
        ToolCall(0, "a", "f"),
        ToolCall(0, arguments='{"x"'),
        ToolCall(0, arguments=": 1}"),
        ToolCall(1, "b", "g"),
        ToolCall(1, arguments='{"y":2}'),
        Usage(1, 2, 3),
        Finish("tool_calls", "end_turn"),
    ]


def test_what_was_read_from_the_cache_is_told() -> None:
    usage = {"inputTokens": 1, "outputTokens": 2, "totalTokens": 903, "cacheReadInputTokens": 900}
    assert Usage(1, 2, 903, None, 900) in heard(HELLO, STOP, event("metadata", usage=usage))


FAILURES = [
    ("throttlingException", {}, RateLimited, 429),
    ("validationException", {}, BadRequest, 400),
    ("serviceUnavailableException", {}, Overloaded, 503),
    ("internalServerException", {}, ServerError, 500),
    ("modelStreamErrorException", {}, ServerError, None),
    ("modelStreamErrorException", {"originalStatusCode": 429}, RateLimited, 429),
    ("modelStreamErrorException", {"originalStatusCode": 400}, BadRequest, 400),
    ("modelTimeoutException", {}, ServerError, 408),
    ("resourceNotFoundException", {}, NotFound, 404),
    ("accessDeniedException", {}, Unauthorized, 403),
    ("ThrottlingException", {}, RateLimited, 429),
    ("somethingNewException", {}, ServerError, None),
]


@pytest.mark.parametrize(("kind", "facts", "error", "status"), FAILURES)
def test_an_exception_inside_an_answer_is_the_error_that_it_names(
    kind: str, facts: dict[str, Any], error: type[ChatError], status: int | None
) -> None:
    payload = json.dumps({"message": "no", **facts}).encode()
    events, failure = hear(bedrock.format, [HELLO + exception(kind, payload)])
    assert events == SAID
    assert type(failure) is error
    assert (failure.message, failure.code, failure.status) == ("no", kind, status)


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        (
            frame_of({":message-type": "error", ":error-code": "E", ":error-message": "no"}),
            "no",
            "E",
        ),
        (frame_of({":message-type": "error"}), "the service answered with status None", None),
        (exception("x", b""), "the service answered with status None", "x"),
    ],
)
def test_an_error_that_nobody_modelled_is_an_error(
    body: bytes, message: str, code: str | None
) -> None:
    _, failure = hear(bedrock.format, [HELLO + body])
    assert type(failure) is ServerError
    assert (failure.message, failure.code) == (message, code)


RECORDED = [sample for sample in STREAMS if sample["protocol"] == "bedrock_converse"]


@pytest.mark.parametrize("sample", RECORDED, ids=lambda sample: sample["file"])
def test_whole_frames_of_odd_values_end_in_events_or_one_error(sample: dict[str, Any]) -> None:
    frames = AWSEventStream().feed(body_of(sample))
    for seed in range(50):
        rng = random.Random(seed)
        payloads = [frame.payload for frame in frames]
        at = rng.randrange(len(frames))
        payloads[at] = json.dumps(changed(json.loads(payloads[at] or b"{}"), rng)).encode()
        body = map(frame_of, (frame.headers for frame in frames), payloads)
        ends_well_or_in_one_error(WIRE_OF["bedrock_converse"], b"".join(body))


# Where it is asked -------------------------------------------------------------------------------

ARN = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.x-v1:0"


def test_the_address_has_the_region_and_the_whole_model() -> None:
    host = "https://bedrock-runtime.eu-west-1.amazonaws.com"
    path = "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.x-v1%3A0"
    request = bedrock.but(region="eu-west-1", model=ARN).request("Hi")
    assert request.url == f"{host}{path}/converse-stream"


@pytest.mark.parametrize("variable", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_a_region_comes_from_the_environment(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    with pytest.raises(MissingSetting, match="AWS_REGION or AWS_DEFAULT_REGION"):
        bedrock.request("Hi")
    monkeypatch.setenv(variable, "us-west-2")
    assert bedrock.request("Hi").url.startswith("https://bedrock-runtime.us-west-2.")


@pytest.mark.parametrize(
    ("written", "arrives"),
    [
        ("/model/a%3A0/x", "/model/a%3A0/x"),
        ("/model/a%2Fb%3a/x", "/model/a%2Fb%3a/x"),
        ("/model/a:0/x", "/model/a:0/x"),
        ("/a%20b?q=c&r=%2F", "/a%20b?q=c&r=/"),
        ("/%7Emine/a%2E", "/%7Emine/a%2E"),
        # What is not written as HTTP wants it is put right as ever.
        ("/ä b/x%3A", "/%C3%A4%20b/x:"),
        ("/x%zz", "/x%25zz"),
        ("", "/"),
    ],
)
async def test_an_address_arrives_as_it_is_written(written: str, arrives: str) -> None:
    async with LocalServer(Reply(body=b"x"), voices=[ANYTHING]) as server:
        await rxchat.of(Request("POST", server.url + written)).pipe(ops.send())
        assert server.exchanges[0].target == arrives


@pytest.mark.parametrize(
    ("written", "called"),
    [
        ("http://пример.рф/a%3Ab?q=ж", "http://xn--e1afmkfd.xn--p1ai/a%3Ab?q=%D0%B6"),
        ("http://[::1]:8080/a%2f", "http://[::1]:8080/a%2f"),
        ("https://Example.com:443/a%3A", "https://example.com/a%3A"),
    ],
)
def test_only_the_path_is_left_as_it_is_written(written: str, called: str) -> None:
    assert str(_address(written)) == called


# Who asks ----------------------------------------------------------------------------------------

VECTORS = Path(__file__).parent / "vectors" / "sigv4.json"
SIGNED: list[dict[str, Any]] = (
    json.loads(VECTORS.read_text())["vectors"] if VECTORS.exists() else []
)
PAIR = {"access_key": "AKIDEXAMPLE", "secret_key": KEYS["AKIDEXAMPLE"]}
MOMENT = 1767323045.9  # 20260102T030405Z


@pytest.mark.skipif(not SIGNED, reason="the vectors of signatures are not at vectors/sigv4.json")
@pytest.mark.parametrize("vector", SIGNED, ids=lambda vector: vector["model_id"])
def test_requests_are_signed_as_by_amazons_own_client(vector: dict[str, Any]) -> None:
    wanted = {**vector["signed_request_headers"]}
    sign = sigv4(
        vector["access_key"],
        vector["secret_key"],
        vector["session_token"],
        vector["region"],
        vector["service"],
        clock=lambda: MOMENT,
    )
    plain = bedrock.but(model=vector["model_id"], region=vector["region"]).request("Hi", key="k")
    assert plain.url == vector["url"]
    unsigned = {name: wanted[name] for name in ("content-type", "accept")}
    signed = sign(Request("POST", vector["url"], unsigned, vector["body"].encode()))
    assert dict(signed.headers) == wanted | {"Host": "bedrock-runtime.us-east-1.amazonaws.com"}
    for shown in (sign, signed):
        for secret in (vector["secret_key"], vector["access_key"], vector["session_token"]):
            assert not secret or secret not in repr(shown)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://a.amazonaws.com/x", "a.amazonaws.com"),
        ("https://A.amazonaws.com:443/x", "a.amazonaws.com"),
        ("http://127.0.0.1:80/x", "127.0.0.1"),
        ("http://127.0.0.1:8080/x", "127.0.0.1:8080"),
        ("http://[::1]:8080/x", "[::1]:8080"),
        ("https://пример.рф:8443/x", "xn--e1afmkfd.xn--p1ai:8443"),
    ],
)
def test_the_host_is_signed_as_it_is_sent(url: str, host: str) -> None:
    sign = sigv4("A", "S", None, "us-east-1", "bedrock")
    assert sign(Request("POST", url)).headers["Host"] == host
    assert sign(Request("POST", url, {"Host": "mine"})).headers["Host"] == "mine"


def signing(server: LocalServer, **changes: Any) -> Provider:
    return bedrock.but(base_url=server.url, region="us-east-1", key=PAIR).but(**changes)


@pytest.mark.parametrize("model", ["us.amazon.nova-micro-v1:0", ARN, "a b~ü/c%3A"])
@pytest.mark.parametrize("token", [None, "SESSIONTOKEN//+="])
async def test_a_service_that_checks_signatures_lets_us_in(model: str, token: str | None) -> None:
    async with LocalServer(Reply("Hello")) as server:
        chat = signing(server, model=model, key={**PAIR, "session_token": token})
        question = rxchat.user("Привет", rxchat.image(PNG * 10_000))  # sent in several pieces
        assert rxchat.reply(await chat(question).pipe(ops.to_list())).text == "Hello"
        assert server.exchanges[0].headers.get("x-amz-security-token") == token


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"key": PAIR | {"secret_key": "another"}}, "InvalidSignatureException"),
        ({"key": PAIR | {"access_key": "AKIDOTHER"}}, "UnrecognizedClientException"),
        ({"headers": {"Authorization": "AWS4-HMAC-SHA256 x"}, "key": None}, "IncompleteSignature"),
        ({"headers": {"X-Api-Key": "mine"}, "key": None}, "MissingAuthenticationToken"),
    ],
)
async def test_a_service_that_checks_signatures_turns_others_away(
    changes: dict[str, Any], code: str, no_keys: None
) -> None:
    async with LocalServer(Reply("Hello")) as server:
        with pytest.raises(Unauthorized) as caught:
            await signing(server, **changes)("Hi")
    assert caught.value.status == 403
    assert caught.value.code is not None
    assert caught.value.code.startswith(code)


async def test_every_attempt_is_signed_anew() -> None:
    moments = count(1767323045)
    chat = attrs.evolve(bedrock, auth=AWSKeys(clock=lambda: next(moments)))
    async with LocalServer(Reply("Hello")) as server:
        server.plan(Reply.status(503))
        there = chat.but(base_url=server.url, region="us-east-1", key=PAIR)
        await there("Hi").pipe(ops.retry(2, backoff=ops.exponential(0.001)))
        sent = [exchange.headers for exchange in server.exchanges]
    assert [it["x-amz-date"] for it in sent] == ["20260102T030405Z", "20260102T030406Z"]
    assert len({it["authorization"] for it in sent}) == 2


@pytest.fixture
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in AWSKeys().variables:
        monkeypatch.delenv(variable, raising=False)


SHOWN = {"AWS_BEARER_TOKEN_BEDROCK": "shown-in-env"}
SIGNING = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "signing-in-env"}
SESSION = {"AWS_SESSION_TOKEN": "session-in-env"}
PAIR_IN_ENV = {"access_key": "AKIDEXAMPLE", "secret_key": "signing-in-env"}


@pytest.mark.parametrize(
    ("environment", "key", "authorization", "session"),
    [
        (SHOWN, None, "Bearer shown-in-env", None),
        (SHOWN | SIGNING | SESSION, None, "Bearer shown-in-env", None),
        (SIGNING, None, "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/.+", None),
        (SIGNING | SESSION, None, "AWS4-HMAC-SHA256 .+", "session-in-env"),
        (SHOWN, PAIR, "AWS4-HMAC-SHA256 .+", None),
        (SHOWN, PAIR | {"session_token": ""}, "AWS4-HMAC-SHA256 .+", None),
        (SIGNING | SESSION, "given", "Bearer given", None),
        (SIGNING | SESSION, lambda: "given", "Bearer given", None),
        (SHOWN, lambda: PAIR | {"session_token": "s"}, "AWS4-HMAC-SHA256 .+", "s"),
    ],
)
def test_keys_are_given_or_in_the_environment(
    environment: dict[str, str],
    key: Any,
    authorization: str,
    session: str | None,
    no_keys: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    headers = there.request("Hi", key=key).headers
    assert re.fullmatch(authorization, headers["Authorization"])
    assert headers.get("X-Amz-Security-Token") == session


@pytest.mark.parametrize("half", [{}, *({name: value} for name, value in SIGNING.items()), SESSION])
def test_half_a_pair_is_no_key(
    half: dict[str, str], no_keys: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in half.items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(MissingKey) as caught:
        there("Hi")
    for variable in (*SHOWN, *SIGNING):
        assert variable in str(caught.value)
    assert "in-env" not in str(caught.value)


WRONG_KEYS: list[Any] = [
    3,
    ["secret-thing"],
    {},
    {"secret-thing": "secret-thing"},
    {"access_key": "secret-thing"},
    {"access_key": "secret-thing", "secret_key": 3},
    {"access_key": "secret-thing", "secret_key": ""},
    {"access_key": "secret-thing", "secret_key": "secret-thing\nX: 1"},
    {"access_key": "secret-thing", "secret_key": "secret-thing", "region": "secret-thing"},
    {**PAIR, "session_token": "secret-thing é"},
    lambda: None,
    lambda: {"secret-thing": 1},
]


@pytest.mark.parametrize("key", WRONG_KEYS, ids=range(len(WRONG_KEYS)))
def test_keys_of_a_wrong_shape_are_refused_and_not_shown(key: Any) -> None:
    with pytest.raises(UsageError, match="key") as caught:
        there.request("Hi", key=key)
    assert "secret-thing" not in f"{caught.value!r}{caught.value}"


def test_a_pair_needs_the_region_that_it_signs_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    moved = bedrock.but(base_url="http://127.0.0.1:9")
    assert moved.request("Hi", key="shown").headers["Authorization"] == "Bearer shown"
    with pytest.raises(MissingSetting, match="AWS_REGION"):
        moved.request("Hi", key=PAIR)


@pytest.mark.parametrize("region", ["evil.example/x", "a.b", "a@b", "us east", "EU", "é"])
def test_a_pair_signs_for_a_region_that_can_be_one(region: str) -> None:
    moved = bedrock.but(base_url="http://127.0.0.1:9", region=region, key=PAIR)
    with pytest.raises(UsageError, match="region is a name as 'us-east-1'") as caught:
        moved.request("Hi")
    assert caught.value.provider == "bedrock"


@pytest.mark.parametrize("region", ["", "a/b"])
@pytest.mark.parametrize("key", [None, lambda: dict(PAIR_IN_ENV)], ids=["environment", "function"])
def test_no_traceback_shows_the_keys(
    key: Any, region: str, no_keys: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    for variable, value in (SIGNING | SESSION).items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError) as caught:
        bedrock.but(base_url="http://127.0.0.1:9", region=region).request("Hi", key=key)
    frames = [frame for frame, _ in walk_tb(caught.tb) if "/rxchat/" in frame.f_code.co_filename]
    assert frames
    assert "-in-env" not in repr([frame.f_locals for frame in frames])


# What the service refuses ------------------------------------------------------------------------

RESULT = {"toolResult": {"toolUseId": "c", "content": []}}
USE = {"toolUse": {"toolUseId": "c", "name": "f", "input": {}}}


def turns(*said: Any) -> dict[str, Any]:
    roles = ("user", "assistant") * len(said)
    return {"messages": [{"role": r, "content": c} for r, c in zip(roles, said, strict=False)]}


HI = [{"text": "Hi"}]
CONFIG = {"toolConfig": {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {}}}}]}}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"messages": []}, "must start with a user message"),
        ({"messages": [{"role": "assistant", "content": HI}]}, "must start with a user message"),
        ({"messages": turns(HI)["messages"] * 2}, "must alternate"),
        (turns([]), "is empty"),
        (turns([{"text": " "}]), "is blank"),
        (turns([{}]), "exactly one member"),
        (turns([{"text": "a", **RESULT}]), "exactly one member"),
        (turns([RESULT]), "Expected toolResult blocks"),
        (turns(HI, [USE], HI) | CONFIG, "Expected toolResult blocks"),
        (turns(HI, [USE]) | CONFIG, "have no results"),
        (turns([USE], HI) | CONFIG, "A user calls no tools"),
        (turns(HI, [USE], [RESULT]), "toolConfig field must be defined"),
        (turns(HI) | {"system": [{"text": ""}]}, "length >= 1"),
        (turns(HI) | {"inferenceConfig": {"temperature": 2}}, "<= 1"),
        (turns([{"image": {"format": "png", "source": {"bytes": "?"}}}]), "base64"),
        (turns([{"image": {"format": "tiff", "source": {"bytes": "UjE="}}}]), "tiff"),
    ],
)
async def test_the_local_service_refuses_what_the_real_one_does(
    body: dict[str, Any], said: str
) -> None:
    async with LocalServer(Reply("Hello")) as server:
        request = bedrock.but(base_url=server.url, key="k").request("Hi").but(json=body)
        with pytest.raises(BadRequest, match=re.escape(said)):
            await rxchat.of(request).pipe(ops.send())


async def test_the_local_service_has_no_model_with_a_bare_slash() -> None:
    async with LocalServer(Reply("Hello")) as server:
        request = bedrock.but(base_url=server.url, key="k").request("Hi")
        bare = attrs.evolve(request, url=server.url + "/model/a/b/converse-stream")
        with pytest.raises(NotFound, match="not encoded"):
            await rxchat.of(bare).pipe(ops.send())


async def test_json_in_place_of_a_stream_is_an_error_that_shows_it() -> None:
    wrong = Reply(body=b'{"message": "no such thing"}', content_type="application/json")
    async with LocalServer(wrong) as server:
        with pytest.raises(ChatError, match="no such thing"):
            await bedrock.but(base_url=server.url, key="k")("Hi")
