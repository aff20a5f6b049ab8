"""Anthropic's messages: the request to the letter, and what is odd in their answers."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rxchat
from formats.anthropic_messages import block, ours
from hearing import hear
from rxchat import operators as ops
from rxchat.errors import (
    ChatError,
    EmptyAnswer,
    Garbled,
    InvalidPrompt,
    MissingKey,
    Overloaded,
    RateLimited,
    ServiceError,
    Truncated,
    Unauthorized,
    UnknownOption,
    UsageError,
)
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
    ToolCall,
    Usage,
)
from rxchat.messages import Image, Message
from rxchat.provider import Provider
from rxchat.providers import anthropic
from rxchat.testing import LocalServer, Reply

WEATHER = rxchat.Tool("weather", "Tell the weather.", {"type": "object", "properties": {}})
NEW, OLD = "2026-10-21", "2023-06-01"
PIXEL = Image(data=b"\x89PNG", media_type="image/png")
SIGNATURE = ours({"type": "thinking", "signature": "S1"})
THEIRS = Opaque("openai", {"type": "thinking", "signature": "S9"})
SEARCH: dict[str, Any] = {
    "type": "server_tool_use",
    "id": "srv_1",
    "name": "web_search",
    "input": {"query": "x"},
}
FOUND: dict[str, Any] = {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": []}
OSLO = ToolCall(0, "toolu_1", "weather", '{"city": "Oslo"}')
ROME = ToolCall(1, "toolu_2", "weather", "")


def said_text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


# What goes ---------------------------------------------------------------------------------------


def test_a_rich_conversation_has_this_body() -> None:
    body = anthropic.request(
        [
            rxchat.system("Be brief."),
            rxchat.user("What is this?", PIXEL, Image(url="https://example.com/cat.png")),
            rxchat.assistant(
                Reasoning("Let me "),
                Reasoning("look."),
                Reasoning("", opaque=SIGNATURE),
                Reasoning("", opaque=ours({"type": "redacted_thinking", "data": "R1"})),
                "I will ask.",
                block(SEARCH),
                block(FOUND),
                OSLO,
                ROME,
            ),
            rxchat.tool("18 °C", OSLO),
            rxchat.tool({"why": "no such city"}, ROME, failed=True),
            rxchat.user("And now?"),
            Message("developer", "Be kind."),
        ],
        model="claude-opus-5-5",
        tools=[WEATHER, rxchat.Tool("wait")],
    ).json
    assert body == {
        "model": "claude-opus-5-5",
        "max_tokens": 8192,
        "stream": True,
        "system": "Be brief.\n\nBe kind.",
        "messages": [
            {
                "role": "user",
                "content": [
                    said_text("What is this?"),
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw=="},
                    },
                    {
                        "type": "image",
                        "source": {"type": "url", "url": "https://example.com/cat.png"},
                    },
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Let me look.", "signature": "S1"},
                    {"type": "redacted_thinking", "data": "R1"},
                    said_text("I will ask."),
                    SEARCH,
                    FOUND,
                    {
                        "type": "tool_use",
                        "id": "toolu_1",
                        "name": "weather",
                        "input": {"city": "Oslo"},
                    },
                    {"type": "tool_use", "id": "toolu_2", "name": "weather", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "toolu_1", "content": "18 °C"},
                    {
                        "type": "tool_result",
                        "tool_use_id": "toolu_2",
                        "content": '{"why":"no such city"}',
                        "is_error": True,
                    },
                    said_text("And now?"),
                ],
            },
        ],
        "tools": [
            {
                "name": "weather",
                "description": "Tell the weather.",
                "input_schema": WEATHER.parameters,
            },
            {"name": "wait", "input_schema": {"type": "object", "properties": {}}},
        ],
    }


THOUGHT_TWICE = [
    Reasoning("One."),
    Reasoning("", opaque=SIGNATURE),
    Reasoning("Two."),
    Reasoning("", opaque=ours({"type": "thinking", "signature": "S2"})),
]


@pytest.mark.parametrize(
    ("parts", "blocks"),
    [
        pytest.param(
            [*THOUGHT_TWICE, "Hi"],
            [
                {"type": "thinking", "thinking": "One.", "signature": "S1"},
                {"type": "thinking", "thinking": "Two.", "signature": "S2"},
                said_text("Hi"),
            ],
            id="each signature is for the thoughts since the last one",
        ),
        pytest.param(
            [Reasoning("", opaque=SIGNATURE), "Hi"],
            [{"type": "thinking", "thinking": "", "signature": "S1"}, said_text("Hi")],
            id="thoughts that were not shown go back by their signature",
        ),
        pytest.param(
            [Reasoning("Unsigned."), "Hi", Reasoning("", opaque=SIGNATURE), "!"],
            [
                said_text("Hi"),
                {"type": "thinking", "thinking": "", "signature": "S1"},
                said_text("!"),
            ],
            id="thoughts without a signature do not go back",
        ),
        pytest.param(["Hi", *THOUGHT_TWICE], [said_text("Hi")], id="no answer ends in thoughts"),
        pytest.param(
            ["Hi", "\n\n", Refusal("I will not.")],
            [said_text("Hi"), said_text("I will not.")],
            id="blank text does not go back, a refusal is text",
        ),
        pytest.param(
            ["Hi", Other("stop_details", {"type": "refusal"})],
            [said_text("Hi")],
            id="what is only told does not go back",
        ),
        pytest.param(
            [Reasoning("Hm.", opaque=THEIRS), Text("Hi", opaque=THEIRS), block(FOUND)],
            [said_text("Hi"), FOUND],
            id="nor does what is opaque to others",
        ),
    ],
)
def test_what_the_model_said_goes_back_in_blocks(
    parts: list[Any], blocks: list[dict[str, Any]]
) -> None:
    body = anthropic.request(["Hello", rxchat.assistant(*parts), "Go on"]).json
    assert body["messages"][1] == {"role": "assistant", "content": blocks}


def test_an_answer_of_which_nothing_can_go_back_is_no_turn() -> None:
    body = anthropic.request(["Hello", rxchat.assistant(Reasoning("Hm.")), "Go on"]).json
    assert [turn["role"] for turn in body["messages"]] == ["user", "user"]


def test_what_tools_gave_comes_before_what_the_user_said_meanwhile() -> None:
    turns: list[Any] = ["Hi", rxchat.assistant(OSLO), "Are you there?", rxchat.tool("18 °C")]
    kinds = [part["type"] for part in anthropic.request(turns).json["messages"][2]["content"]]
    assert kinds == ["tool_result", "text"]


@pytest.mark.parametrize("prompt", [rxchat.user(), rxchat.system("Be brief.")])
def test_there_must_be_something_to_answer(prompt: Any) -> None:
    with pytest.raises(InvalidPrompt, match="add a user's message"):
        anthropic.request(prompt)


def test_arguments_that_were_cut_short_cannot_go_back() -> None:
    cut = rxchat.assistant(ToolCall(0, "toolu_1", "weather", '{"city": "Os'))
    with pytest.raises(InvalidPrompt, match="'weather' are no JSON object"):
        anthropic.request(["Hi", cut, rxchat.tool("?")])


THINKING = {"type": "adaptive"}
SCHEMA = {"type": "object", "properties": {}}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5, "top_p": 0.9}),
        ({"max_tokens": 7}, {"max_tokens": 7}),
        ({"stop": "END"}, {"stop_sequences": ["END"]}),
        ({"reasoning": "none"}, {"thinking": {"type": "disabled"}}),
        ({"reasoning": 0}, {"thinking": {"type": "disabled"}}),
        (
            {"reasoning": "high"},
            {"max_tokens": 32768, "thinking": THINKING, "output_config": {"effort": "high"}},
        ),
        (
            {"reasoning": "max", "max_tokens": 100},
            {"max_tokens": 100, "thinking": THINKING, "output_config": {"effort": "max"}},
        ),
        (
            {"reasoning": 2000},
            {"max_tokens": 10192, "thinking": {"type": "enabled", "budget_tokens": 2000}},
        ),
        (
            {"reasoning": 2000, "max_tokens": 2001},
            {"max_tokens": 2001, "thinking": {"type": "enabled", "budget_tokens": 2000}},
        ),
        (
            {"schema": SCHEMA},
            {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        ),
        (
            {"schema": SCHEMA, "reasoning": "low", "max_tokens": 9},
            {
                "max_tokens": 9,
                "thinking": THINKING,
                "output_config": {
                    "effort": "low",
                    "format": {"type": "json_schema", "schema": SCHEMA},
                },
            },
        ),
    ],
)
def test_each_option_has_its_place(options: dict[str, Any], words: dict[str, Any]) -> None:
    assert anthropic.request("Hi", **options).json == anthropic.request("Hi").json | words


@pytest.mark.parametrize(
    ("choice", "word"),
    [
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        ("weather", {"type": "tool", "name": "weather"}),
    ],
)
def test_a_tool_is_chosen_in_these_words(choice: str, word: dict[str, str]) -> None:
    body = anthropic.request("Hi", tools=[WEATHER], tool_choice=choice).json
    assert body["tool_choice"] == word


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"temperature": 1.0, "version": NEW}, UnknownOption, "temperature: version 2026-10-21"),
        ({"top_p": 0.5, "version": "2027-01-01"}, UnknownOption, "pass version='2023-06-01'"),
        ({"reasoning": 1023}, UsageError, "at least 1024 tokens"),
        ({"reasoning": 2000, "max_tokens": 2000}, UsageError, "pass more than 2000"),
        ({"seed": 1}, UnknownOption, "seed"),
        ({"n": 2}, UnknownOption, "'n'"),
        ({"auth": "basic"}, UsageError, "auth is one of 'x-api-key', 'bearer', not 'basic'"),
    ],
)
def test_what_it_cannot_be_asked_is_said_before_anything_is_sent(
    options: dict[str, Any], error: type[UsageError], words: str
) -> None:
    with pytest.raises(error, match=words):
        anthropic("Hi", key="k", **options)


# Who asks ----------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize(
    ("environment", "options", "name", "value"),
    [
        ({}, {"key": "k1"}, "x-api-key", "k1"),
        ({}, {"key": "k1", "auth": "bearer"}, "Authorization", "Bearer k1"),
        ({"ANTHROPIC_API_KEY": "k2"}, {}, "x-api-key", "k2"),
        ({"ANTHROPIC_API_KEY": "k2"}, {"auth": "bearer"}, "Authorization", "Bearer k2"),
        ({"ANTHROPIC_AUTH_TOKEN": "t1"}, {}, "Authorization", "Bearer t1"),
        ({"ANTHROPIC_AUTH_TOKEN": "t1"}, {"key": "k1"}, "x-api-key", "k1"),
        (
            {"ANTHROPIC_AUTH_TOKEN": "t1", "ANTHROPIC_API_KEY": "k2"},
            {},
            "x-api-key",
            "k2",
        ),
        ({}, {"key": lambda: "k3"}, "x-api-key", "k3"),
    ],
)
def test_a_key_is_shown_in_one_header(
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    options: dict[str, Any],
    name: str,
    value: str,
) -> None:
    for variable, key in environment.items():
        monkeypatch.setenv(variable, key)
    request = anthropic.request("Hi", **options)
    assert request.headers[name] == value
    assert len({"x-api-key", "authorization"} & {name.lower() for name in request.headers}) == 1
    assert value not in repr(request)


def test_without_a_key_it_is_said_where_one_is_looked_for() -> None:
    with pytest.raises(MissingKey, match="ANTHROPIC_API_KEY or ANTHROPIC_AUTH_TOKEN"):
        anthropic("Hi")


@pytest.mark.parametrize(
    ("options", "headers"),
    [
        ({}, {"anthropic-version": OLD}),
        ({"version": NEW, "beta": "a,b"}, {"anthropic-version": NEW, "anthropic-beta": "a,b"}),
    ],
)
def test_the_version_is_in_a_header(options: dict[str, Any], headers: dict[str, str]) -> None:
    sent = anthropic.request("Hi", **options)
    assert sent.url == "https://api.anthropic.com/v1/messages"
    assert {**sent.headers} == {"Content-Type": "application/json", **headers}


# What comes --------------------------------------------------------------------------------------

BEGUN: dict[str, Any] = {"id": "msg_1", "model": "claude", "content": []}
START = {"type": "message_start", "message": BEGUN}
STOP = {"type": "message_stop"}
ERROR = {"type": "overloaded_error", "message": "Overloaded"}


def delta(kind: str, index: int = 0, **what: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **what}}


def begin(index: int = 0, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def end(index: int = 0) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def heard(*said: dict[str, Any]) -> tuple[list[Event], ChatError | None]:
    """What is made of these events, which have no names but their types."""
    return hear(anthropic.format, [b"data: %b\n\n" % json.dumps(one).encode() for one in said])


def content(*said: dict[str, Any]) -> list[Event]:
    """What is made of these between the start and the end."""
    events, error = heard(START, *said, STOP)
    assert error is None
    assert events[0] == Start("claude", "msg_1")
    assert isinstance(events[-1], Finish)
    return events[1:-1]


CALLED_BY_CODE: dict[str, Any] = {
    "type": "tool_use",
    "id": "toolu_1",
    "name": "weather",
    "caller": {"type": "code_execution_20260120", "tool_id": "srv_1"},
}
CALLER = ours({"caller": CALLED_BY_CODE["caller"]})
CITATION = {"type": "char_location", "cited_text": "x"}


@pytest.mark.parametrize(
    ("said", "events"),
    [
        pytest.param([delta("text_delta", text="")], [], id="nothing is no text"),
        pytest.param(
            [begin(type="text", text="Hi", citations=[CITATION])],
            [Text("Hi"), Other("citations", [CITATION])],
            id="a text that comes whole",
        ),
        pytest.param(
            [begin(type="thinking", thinking="Hm.", signature="S1")],
            [Reasoning("Hm."), Reasoning("", opaque=SIGNATURE)],
            id="thoughts that come whole",
        ),
        pytest.param(
            [
                begin(type="thinking", thinking="", signature=""),
                delta("thinking_delta", thinking="Hm."),
                delta("signature_delta", signature="S"),
                delta("signature_delta", signature="1"),
                end(),
                begin(1, type="thinking", thinking=""),
                delta("signature_delta", 1, signature="S1"),
                begin(2, type="text", text="Hi"),
            ],
            [
                Reasoning("Hm."),
                Reasoning("", opaque=SIGNATURE),
                Reasoning("", opaque=SIGNATURE),
                Text("Hi"),
            ],
            id="the pieces of a signature are one",
        ),
        pytest.param(
            [delta("citations_delta", citation=CITATION)],
            [Other("citations_delta", CITATION)],
            id="a citation",
        ),
        pytest.param(
            [begin(type="tool_use", id="a", name="f", input={"x": 1}), end()],
            [ToolCall(0, "a", "f", '{"x":1}')],
            id="a call that comes whole",
        ),
        pytest.param(
            [
                begin(type="tool_use", id="a", name="f", input={"x": 1}),
                delta("input_json_delta", partial_json='{"x": 1}'),
                end(),
                begin(type="tool_use", id="b", name="g", input={}),
                delta("input_json_delta", partial_json="{}"),
            ],
            [ToolCall(0, "a", "f", '{"x":1}'), ToolCall(1, "b", "g"), ToolCall(1, arguments="{}")],
            id="a call that comes whole and in pieces",
        ),
        pytest.param(
            [
                begin(3, type="tool_use", id="a", name="f", input={}),
                delta("input_json_delta", 3, partial_json=""),
                end(3),
                begin(7, type="tool_use", id="b", name="g", input={}),
                delta("input_json_delta", 7, partial_json="{}"),
                delta("input_json_delta", 3, partial_json='{"x": 1}'),
            ],
            [
                ToolCall(0, "a", "f"),
                ToolCall(1, "b", "g"),
                ToolCall(1, arguments="{}"),
                ToolCall(0, arguments='{"x": 1}'),
            ],
            id="calls are counted, not blocks",
        ),
        pytest.param(
            [begin(**CALLED_BY_CODE, input={})],
            [ToolCall(0, "toolu_1", "weather", opaque=CALLER)],
            id="a call by code",
        ),
        pytest.param(
            [
                begin(**SEARCH | {"input": {}}),
                delta("input_json_delta", partial_json='{"que'),
                delta("input_json_delta", partial_json='ry": "x"}'),
                end(),
                begin(1, **FOUND),
                end(1),
            ],
            [block(SEARCH), block(FOUND)],
            id="a server's tool",
        ),
        pytest.param(
            [
                begin(type="compaction", content=None),
                delta("compaction_delta", content="So far.", encrypted_content=None),
                end(),
            ],
            [block({"type": "compaction", "content": "So far."})],
            id="a compaction",
        ),
        pytest.param(
            [begin(**FOUND), begin(**FOUND), end()],
            [block(FOUND), block(FOUND)],
            id="a block whose end is not said",
        ),
        pytest.param(
            [begin(**SEARCH), delta("input_json_delta", partial_json='{"que')],
            [Other("server_tool_use", SEARCH | {"input": '{"que'})],
            id="a block cut short does not go back",
        ),
        pytest.param(
            [delta("thinking_delta", thinking="", estimated_tokens=50), delta("odd_delta", x=1)],
            [
                Other(
                    "thinking_delta",
                    {"type": "thinking_delta", "thinking": "", "estimated_tokens": 50},
                ),
                Other("odd_delta", {"type": "odd_delta", "x": 1}),
            ],
            id="pieces that nobody knows",
        ),
        pytest.param(
            [{"type": "odd_event", "x": 1}, {"type": "ping"}],
            [Other("odd_event", {"type": "odd_event", "x": 1})],
            id="events that nobody knows",
        ),
        pytest.param(
            [
                {
                    "type": "message_delta",
                    "delta": {"stop_reason": "refusal", "stop_details": {"category": "bio"}},
                    "context_management": {"applied_edits": [1]},
                    "usage": {"input_tokens": 3, "output_tokens": 0},
                }
            ],
            [
                Other("context_management", {"applied_edits": [1]}),
                Other("stop_details", {"category": "bio"}),
                Usage(3, 0),
            ],
            id="what is told of the whole",
        ),
        pytest.param(
            [{"type": "message_delta", "usage": {"input_tokens": 0, "output_tokens": 0}}],
            [],
            id="nothing counted is no cost",
        ),
    ],
)
def test_what_is_said_becomes_these_events(said: list[dict[str, Any]], events: list[Event]) -> None:
    assert content(*said) == events


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("pause_turn", "other"),
        ("compaction", "other"),
        ("something_new", "other"),
        (None, "stop"),
    ],
)
def test_an_answer_ends_for_this_reason(raw: str | None, reason: Reason) -> None:
    events, _ = heard(START, {"type": "message_delta", "delta": {"stop_reason": raw}}, STOP)
    assert events[-1] == Finish(reason, raw)


def test_a_call_that_stands_in_the_beginning_is_heard_and_goes_back() -> None:
    begun = {**BEGUN, "content": [{**CALLED_BY_CODE, "input": {"x": 1}}]}
    events, _ = heard({"type": "message_start", "message": begun}, STOP)
    assert events[1:] == [
        ToolCall(0, "toolu_1", "weather", '{"x":1}', opaque=CALLER),
        Finish("tool_calls"),
    ]
    body = anthropic.request(["Hi", rxchat.reply(events), rxchat.tool("ok")]).json
    assert body["messages"][1]["content"] == [{**CALLED_BY_CODE, "input": {"x": 1}}]


@pytest.mark.parametrize(
    ("said", "error", "message"),
    [
        ([], EmptyAnswer, "without a word"),
        ([{"type": "ping"}], EmptyAnswer, "without a word"),
        ([STOP], EmptyAnswer, "without a word"),
        ([START], Truncated, "before its end"),
        ([START, {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}], Truncated, ""),
        ([{"type": "error", "error": ERROR, "request_id": "req_1"}], Overloaded, "Overloaded"),
        ([START, {"error": {"type": "rate_limit_error", "message": "Slow"}}], RateLimited, "Slow"),
        ([START, {"type": "content_block_delta", "delta": "text"}], Garbled, "Expected"),
    ],
)
def test_an_answer_that_is_none_is_an_error(
    said: list[dict[str, Any]], error: type[ChatError], message: str
) -> None:
    events, found = heard(*said)
    assert type(found) is error
    assert message in found.message
    assert not any(isinstance(event, Finish) for event in events)


@pytest.mark.parametrize("mark", ["[", "[DO", "[DONE]"])
def test_done_is_no_end(mark: str) -> None:
    begun = b"data: %b\n\n" % json.dumps(START).encode()
    for body, error in ((begun, Truncated), (b"", EmptyAnswer)):
        _, found = hear(anthropic.format, [body, f"data: {mark}".encode()])
        assert type(found) is error


def test_an_error_inside_an_answer_has_its_facts_and_the_cost_so_far() -> None:
    begun = {**START, "message": {**BEGUN, "usage": {"input_tokens": 9}}}
    events, error = heard(begun, {"type": "error", "error": ERROR, "request_id": "req_1"})
    assert events[1:] == [Usage(9)]
    assert isinstance(error, ServiceError)
    assert (error.code, error.request_id, error.retryable) == ("overloaded_error", "req_1", True)


WHOLE: list[dict[str, Any]] = [
    {**START, "message": {**BEGUN, "usage": {"input_tokens": 1}}},
    begin(0, type="thinking", thinking="", signature=""),
    delta("thinking_delta", 0, thinking="Hm."),
    delta("signature_delta", 0, signature="S1"),
    begin(1, **SEARCH),
    delta("input_json_delta", 1, partial_json="{}"),
    end(1),
    begin(2, type="tool_use", id="a", name="f", input={}),
    delta("input_json_delta", 2, partial_json="{}"),
    delta("text_delta", 3, text="Hi"),
    delta("citations_delta", 3, citation={}),
    begin(4, type="compaction", content=None),
    delta("compaction_delta", 4, content="So far."),
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn"},
        "usage": {"output_tokens": 1, "output_tokens_details": {"thinking_tokens": 1}},
    },
    STOP,
]
ODD = st.sampled_from([None, 5, -1.5, "x", "", True, [], [1], {}, {"type": "x"}])


@st.composite
def with_an_odd_leaf(draw: st.DrawFn) -> list[dict[str, Any]]:
    """An answer of which one value, wherever it is, is of another kind, or missing."""
    whole: list[dict[str, Any]] = json.loads(json.dumps(WHOLE))
    place: Any = draw(st.sampled_from(whole))
    while True:
        name = draw(st.sampled_from(sorted(place)))
        if not (isinstance(place[name], dict) and place[name] and draw(st.booleans())):
            break
        place = place[name]
    if draw(st.booleans()):
        place[name] = draw(ODD)
    else:
        del place[name]
    return whole


@given(said=with_an_odd_leaf())
def test_nothing_odd_in_a_field_is_more_than_an_error_of_ours(said: list[dict[str, Any]]) -> None:
    events, _ = heard(*said)  # which raises what is no ChatError
    anthropic.request(["Hi", rxchat.reply(e for e in events if not isinstance(e, ToolCall)), "?"])


# The local server says what the service does -----------------------------------------------------


@pytest.mark.parametrize(
    ("planned", "cost"),
    [
        ([], {"output_tokens": 0}),
        (
            [Usage(9, 5, cached=3)],
            {"input_tokens": 9, "output_tokens": 5, "cache_read_input_tokens": 3},
        ),
        (
            [Usage(9, reasoning=2)],
            {
                "input_tokens": 9,
                "output_tokens": 0,
                "output_tokens_details": {"thinking_tokens": 2},
            },
        ),
    ],
)
async def test_the_local_server_leaves_out_nothing_that_clients_count_on(
    planned: list[Usage], cost: dict[str, Any]
) -> None:
    async with LocalServer(Reply("Hello", *planned)) as server:
        sent = rxchat.of(local(server).request("Hi")).pipe(ops.send())
        lines = b"".join(await sent.pipe(ops.to_list())).decode().splitlines()
    said = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    assert said[0]["message"]["usage"] == {"input_tokens": 0, "output_tokens": 0}
    assert said[0]["message"]["stop_sequence"] is None
    assert said[-2]["usage"] == cost


# The local server demands what the service does --------------------------------------------------


def local(server: LocalServer) -> Provider:
    return anthropic.but(base_url=server.url, key="sk-test")


@pytest.mark.parametrize(
    ("options", "prompt", "message"),
    [
        ({"extra": {"max_tokens": 0}}, "Hi", ">= 1"),
        ({"version": NEW, "extra": {"temperature": 1}}, "Hi", "temperature: Extra inputs"),
        ({"extra": {"thinking": {"type": "enabled", "budget_tokens": 9999}}}, "Hi", "greater than"),
        ({"extra": {"tool_choice": {"type": "auto"}}}, "Hi", "while providing tools"),
        ({"extra": {"tools": [{"name": "a b", "input_schema": {}}]}}, "Hi", "matching regex"),
        ({"extra": {"messages": []}}, "Hi", "length >= 1"),
        ({}, rxchat.user(" "), "non-whitespace text"),
        ({}, ["Hi", rxchat.assistant(OSLO)], "immediately after"),
        ({}, ["Hi", rxchat.assistant(OSLO, ROME), rxchat.tool("?"), "Hm"], "answered by"),
        ({"reasoning": "enormous"}, "Hi", "Invalid enum value 'enormous'"),
        ({"headers": {"anthropic-version": ""}}, "Hi", "anthropic-version"),
    ],
)
async def test_a_wrong_request_is_refused(
    options: dict[str, Any], prompt: Any, message: str
) -> None:
    async with LocalServer(Reply("Hello")) as server:
        with pytest.raises(ServiceError, match=message):
            await local(server)(prompt, **options)


async def test_a_request_without_a_key_is_refused() -> None:
    async with LocalServer(Reply("Hello")) as server:
        with pytest.raises(Unauthorized, match="x-api-key"):
            await attrs.evolve(anthropic, auth=None).but(base_url=server.url)("Hi")
