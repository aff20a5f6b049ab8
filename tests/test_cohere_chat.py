"""What is particular to Cohere's chat."""

from __future__ import annotations

import json
from typing import Any

import pytest

import rxchat
from hearing import hear
from rxchat.errors import EmptyAnswer, ServerError, Truncated, UsageError
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
from rxchat.messages import Message
from rxchat.providers import cohere
from rxchat.testing import LocalServer, Reply

PNG = b"\x89PNG\r\n\x1a\n"
WEATHER, TIME = rxchat.Tool("weather", "Tell the weather."), rxchat.Tool("time")
CALL = ToolCall(0, "call_7", "weather", '{"city": "Oslo"}')
START = {"type": "message-start", "id": "a1", "delta": {"message": {"content": []}}}
END = {"type": "message-end", "delta": {"finish_reason": "COMPLETE"}}


def plan(text: str, by: str = "cohere") -> Other:
    return Other("tool_plan", text, Opaque(by, text))


def body(prompt: Any = "Hi", **options: Any) -> dict[str, Any]:
    told: dict[str, Any] = cohere.request(prompt, **options).json
    return told


def heard(*told: Any) -> list[Event]:
    events, error = hear(cohere.format, [b"data: %b\n\n" % json.dumps(t).encode() for t in told])
    if error:
        raise error
    return events


def event(kind: str, **message: Any) -> dict[str, Any]:
    return {"type": kind, "index": 0, "delta": {"message": message}}


# What goes ---------------------------------------------------------------------------------------


def test_a_conversation_goes_as_cohere_says_it() -> None:
    answer = rxchat.assistant(
        Reasoning("Hm."), plan("I will "), plan("look."), plan("Not mine.", "other"), CALL
    )
    prompt = [
        rxchat.system("Be brief."),
        rxchat.user("What is this?", rxchat.image(PNG)),
        answer,
        rxchat.tool("no such city", CALL, failed=True),
    ]
    assert body(prompt, tools=[WEATHER]) == {
        "model": "command-a-03-2025",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {
                        "type": "image_url",
                        "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="},
                    },
                ],
            },
            {
                "role": "assistant",
                "content": [{"type": "thinking", "thinking": "Hm."}],
                "tool_plan": "I will look.",
                "tool_calls": [
                    {
                        "id": "call_7",
                        "type": "function",
                        "function": {"name": "weather", "arguments": '{"city": "Oslo"}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "call_7", "content": "Error: no such city"},
        ],
        "stream": True,
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "weather",
                    "description": "Tell the weather.",
                    "parameters": {"type": "object", "properties": {}},
                },
            }
        ],
    }


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        (["Hello"], {"content": "Hello"}),
        ([Reasoning("Hm."), "Hello"], {"content": "Hello"}),  # thoughts go back with calls alone
        ([Refusal("No.")], {"content": "No."}),
        ([], {"content": ""}),
    ],
)
def test_an_answer_without_calls_goes_back_as_text(parts: list[Any], told: dict[str, Any]) -> None:
    messages = body(["Hi", rxchat.assistant(*parts), "Go on"])["messages"]
    assert messages[1] == {"role": "assistant", **told}


def test_what_was_said_beside_the_calls_goes_back_with_the_thoughts() -> None:
    answer = rxchat.assistant(Reasoning("Hm."), "One moment.", CALL)
    messages = body(["Hi", answer, rxchat.tool("18 °C", CALL)])["messages"]
    assert messages[1]["content"] == [
        {"type": "thinking", "thinking": "Hm."},
        {"type": "text", "text": "One moment."},
    ]


@pytest.mark.parametrize(
    ("option", "value", "place"),
    [
        ("temperature", 0, {"temperature": 0}),
        ("top_p", 0.5, {"p": 0.5}),
        ("max_tokens", 9, {"max_tokens": 9}),
        ("stop", "END", {"stop_sequences": ["END"]}),
        ("seed", 0, {"seed": 0}),
        ("reasoning", 2048, {"thinking": {"type": "enabled", "token_budget": 2048}}),
        ("reasoning", "none", {"thinking": {"type": "disabled"}}),
        ("reasoning", 0, {"thinking": {"type": "disabled"}}),
        (
            "schema",
            {"type": "object"},
            {"response_format": {"type": "json_object", "json_schema": {"type": "object"}}},
        ),
    ],
)
def test_an_option_has_its_place(option: str, value: Any, place: dict[str, Any]) -> None:
    assert body(**{option: value}) == body() | place


def test_an_effort_is_refused() -> None:
    with pytest.raises(UsageError, match="budget"):
        body(reasoning="low")


@pytest.mark.parametrize(
    ("choice", "place"),
    [
        ("auto", {}),
        ("none", {"tool_choice": "NONE"}),
        ("required", {"tool_choice": "REQUIRED"}),
    ],
)
def test_a_choice_has_its_word(choice: str, place: dict[str, Any]) -> None:
    tools = [WEATHER, TIME]
    assert body(tools=tools, tool_choice=choice) == body(tools=tools) | place


def test_a_tool_can_be_named_if_there_is_no_other() -> None:
    assert body(tools=[WEATHER], tool_choice="weather")["tool_choice"] == "REQUIRED"
    with pytest.raises(UsageError, match="required"):
        body(tools=[WEATHER, TIME], tool_choice="weather")


def test_a_developer_speaks_as_the_system() -> None:
    assert body(Message("developer", "Be brief."))["messages"][0]["role"] == "system"


@pytest.mark.parametrize("variable", ["CO_API_KEY", "COHERE_API_KEY"])
def test_the_key_has_two_names(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CO_API_KEY", "COHERE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "secret")
    assert cohere.request("Hi").headers["Authorization"] == "Bearer secret"


# What comes --------------------------------------------------------------------------------------


def test_a_plan_comes_in_pieces_that_go_back_as_one() -> None:
    call = {"id": "c1", "function": {"name": "time", "arguments": ""}}
    events = heard(
        START,
        event("tool-plan-delta", tool_plan="I will "),
        event("tool-plan-delta", tool_plan="look."),
        event("tool-call-start", tool_calls=call),
        event("tool-call-end"),
        END,
    )
    assert events == [
        Start(id="a1"),
        plan("I will "),
        plan("look."),
        ToolCall(0, "c1", "time"),
        Finish("tool_calls", "COMPLETE"),
    ]
    answer = rxchat.reply(events)
    told = body(["Hi", answer, rxchat.tool("12:00", answer.tool_calls[0])])["messages"][1]
    assert told["tool_plan"] == "I will look."
    assert told["tool_calls"][0]["function"]["arguments"] == "{}"
    assert "content" not in told


@pytest.mark.parametrize(
    ("told", "other"),
    [
        (event("citation-start", citations={"start": 0}), Other("citations", {"start": 0})),
        ({"type": "debug", "prompt": "P"}, Other("debug", {"type": "debug", "prompt": "P"})),
        (
            event("content-delta", content=["?"]),
            Other("content-delta", event("content-delta", content=["?"])),
        ),
        (
            event("content-delta", content={}) | {"logprobs": {"text": "a"}},
            Other("logprobs", {"text": "a"}),
        ),
    ],
)
def test_whatever_else_is_said_is_heard(told: Any, other: Other) -> None:
    assert heard(START, told, event("content-end"), END) == [
        Start(id="a1"),
        other,
        Finish("stop", "COMPLETE"),
    ]


def test_an_answer_starts_once_and_first() -> None:
    hello = event("content-delta", content={"text": "Hi"})
    end = [Text("Hi"), Finish("stop", "COMPLETE")]
    assert heard(START, START, hello, END) == [Start(id="a1"), *end]
    assert heard(hello, START, END) == end


def test_an_event_may_say_its_type_outside_of_its_data() -> None:
    hello = b'event: content-delta\ndata: {"delta":{"message":{"content":{"text":"Hi"}}}}\n\n'
    end = b'event: message-end\ndata: {"delta":{"finish_reason":"COMPLETE"}}\n\n'
    assert hear(cohere.format, [hello, end]) == ([Text("Hi"), Finish("stop", "COMPLETE")], None)


@pytest.mark.parametrize(
    ("usage", "events"),
    [
        ({}, []),
        (
            {"billed_units": {"input_tokens": 2.0, "output_tokens": 3.0}},
            [Other("billed_units", {"input_tokens": 2.0, "output_tokens": 3.0}), Usage(2, 3)],
        ),
        (
            {
                "billed_units": {"input_tokens": 2},
                "tokens": {"input_tokens": 20, "output_tokens": 30},
                "cached_tokens": 16,
            },
            [Other("billed_units", {"input_tokens": 2}), Usage(20, 30, cached=16)],
        ),
    ],
)
def test_what_is_billed_is_not_what_was_used(usage: dict[str, Any], events: list[Event]) -> None:
    end = {"type": "message-end", "delta": {"finish_reason": "STOP_SEQUENCE", "usage": usage}}
    assert heard(START, end) == [Start(id="a1"), *events, Finish("stop", "STOP_SEQUENCE")]


@pytest.mark.parametrize(
    ("delta", "message", "code"),
    [
        (
            {"finish_reason": "ERROR", "error": "bad tool", "error_type": "INVALID"},
            "bad tool",
            "INVALID",
        ),
        ({"finish_reason": "ERROR"}, "the answer ended with ERROR", "ERROR"),
        ({"finish_reason": "TIMEOUT"}, "the answer ended with TIMEOUT", "TIMEOUT"),
        ({"finish_reason": "ERROR_NEW"}, "the answer ended with ERROR_NEW", "ERROR_NEW"),
        ({"error": "too long"}, "too long", None),
    ],
)
def test_an_end_may_be_a_failure(delta: dict[str, Any], message: str, code: str | None) -> None:
    with pytest.raises(ServerError) as caught:
        heard(START, {"type": "message-end", "delta": delta})
    assert (caught.value.message, caught.value.code) == (message, code)
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("MAX_TOKENS", "length"),
        ("ERROR_LIMIT", "length"),
        ("ERROR_TOXIC", "content_filter"),
        ("SOMETHING_NEW", "other"),
    ],
)
def test_an_answer_ends_for_this_reason(raw: str, reason: Reason) -> None:
    end = {"type": "message-end", "delta": {"finish_reason": raw}}
    assert heard(START, end)[-1] == Finish(reason, raw)


def test_what_is_said_instead_of_an_answer_is_an_error() -> None:
    with pytest.raises(ServerError, match="too many"):
        heard({"message": "too many", "id": "x"})
    odd = {"message": {"text": "?"}}
    assert heard(START, odd, END)[1] == Other("message", odd)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", EmptyAnswer),
        (b"data: [DONE]\n\n", EmptyAnswer),
        (b"data: %b\n\ndata: [DONE]\n\n" % json.dumps(START).encode(), Truncated),
        (b"data: %b\n\ndata: [DO" % json.dumps(START).encode(), Truncated),
    ],
)
def test_done_is_no_end(body: bytes, error: type[Exception]) -> None:
    assert type(hear(cohere.format, [body])[1]) is error


# The local server ------------------------------------------------------------------------------


async def test_the_local_server_demands_what_cohere_does() -> None:
    lost = [
        {"role": "user", "content": "Hi"},
        {"role": "tool", "tool_call_id": "call_7", "content": "18 °C"},
    ]
    wrong: list[dict[str, Any]] = [{"messages": lost}, {"tool_choice": "auto"}, {"stream": False}]
    async with LocalServer(Reply("Hello")) as server:
        for extra in wrong:
            with pytest.raises(rxchat.errors.BadRequest):
                await cohere.but(base_url=server.url, key="k")("Hi", extra=extra)
