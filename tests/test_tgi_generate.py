"""What is particular to Text Generation Inference."""

from __future__ import annotations

import json
from typing import Any

import pytest

import rxchat
from hearing import hear
from rxchat.errors import (
    BadRequest,
    EmptyAnswer,
    InvalidPrompt,
    Overloaded,
    ServerError,
    Truncated,
)
from rxchat.events import Event, Finish, Other, Text, ToolCall, Usage
from rxchat.providers import tgi
from rxchat.testing import LocalServer, Reply


def body(prompt: Any = "Hi", **options: Any) -> dict[str, Any]:
    told: dict[str, Any] = tgi.request(prompt, **options).json
    return told


def heard(*steps: Any) -> list[Event]:
    events, error = hear(tgi.format, [b"data:%b\n\n" % json.dumps(step).encode() for step in steps])
    if error:
        raise error
    return events


def step(text: str, *, special: bool = False, **facts: Any) -> dict[str, Any]:
    token = {"id": 1, "text": text, "logprob": -0.5, "special": special}
    return {"index": 1, "token": token, "generated_text": None, "details": None} | facts


# What goes ---------------------------------------------------------------------------------------


def test_a_single_message_goes_as_it_is() -> None:
    assert body() == {"inputs": "Hi", "parameters": {"details": True}}


def test_a_conversation_is_folded_into_one_text() -> None:
    prompt = [rxchat.system("Be brief."), rxchat.user("Hi"), rxchat.assistant("Hello"), "Who?"]
    assert body(prompt)["inputs"] == (
        "System: Be brief.\nUser: Hi\nAssistant: Hello\nUser: Who?\nAssistant:"
    )


@pytest.mark.parametrize(
    ("option", "value", "place"),
    [
        ("temperature", 0.5, {"temperature": 0.5}),
        ("top_p", 0.5, {"top_p": 0.5}),
        ("max_tokens", 9, {"max_new_tokens": 9}),
        ("stop", "END", {"stop": ["END"]}),
        ("seed", 0, {"seed": 0}),
        ("schema", {"type": "object"}, {"grammar": {"type": "json", "value": {"type": "object"}}}),
        ("extra", {"parameters": {"details": False}}, {"details": False}),
    ],
)
def test_an_option_has_its_place(option: str, value: Any, place: dict[str, Any]) -> None:
    asked = body(**{option: value})
    assert asked == {"inputs": "Hi", "parameters": {"details": True} | place}


def test_a_call_of_a_tool_is_refused() -> None:
    with pytest.raises(InvalidPrompt, match="tool calls"):
        body(["Hi", rxchat.assistant(ToolCall(0, "c", "weather"))])


def test_a_key_is_sent_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    assert "Authorization" not in tgi.request("Hi").headers
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert tgi.request("Hi").headers["Authorization"] == "Bearer secret"


# What comes --------------------------------------------------------------------------------------


def test_special_tokens_are_no_text() -> None:
    end = step("</s>", special=True, generated_text="Hi", details={"finish_reason": "eos_token"})
    assert heard(step("<s>", special=True), step("Hi"), end) == [
        Text("Hi"),
        Finish("stop", "eos_token"),
    ]


@pytest.mark.parametrize(
    ("facts", "end"),
    [
        ({"generated_text": ""}, [Finish("stop", None)]),
        ({"details": {}}, [Finish("stop", None)]),
        ({"generated_text": "a", "details": {"finish_reason": "new"}}, [Finish("other", "new")]),
        (
            {"details": {"finish_reason": "length", "generated_tokens": 3, "input_length": 2}},
            [Usage(2, 3), Finish("length", "length")],
        ),
        (
            {"details": {"finish_reason": "stop_sequence", "seed": 42, "generated_tokens": 3}},
            [Other("details", {"seed": 42}), Usage(None, 3), Finish("stop", "stop_sequence")],
        ),
    ],
)
def test_the_last_token_ends_the_answer(facts: dict[str, Any], end: list[Event]) -> None:
    assert heard(step("a", **facts), step("b")) == [Text("a"), *end]


def test_the_tokens_that_might_have_been_are_heard() -> None:
    others = [{"id": 2, "text": "b", "logprob": -1.5}]
    assert heard(step("a", top_tokens=others, generated_text="a"))[1] == Other("top_tokens", others)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("generation", ServerError),
        ("incomplete_generation", ServerError),
        ("overloaded", Overloaded),
        ("validation", BadRequest),  # for a stream begins before its request is checked
        (None, ServerError),
    ],
)
def test_a_failure_has_its_kind(kind: str | None, error: type[Exception]) -> None:
    with pytest.raises(error, match="it failed"):
        heard(step("a"), {"error": "it failed", "error_type": kind})


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", EmptyAnswer),
        (b":\n\ndata:\n\n", EmptyAnswer),
        (b"data:%b\n\n" % json.dumps(step("a")).encode(), Truncated),
    ],
)
def test_silence_is_no_end(body: bytes, error: type[Exception]) -> None:
    assert type(hear(tgi.format, [body])[1]) is error


# The local server ------------------------------------------------------------------------------


async def test_the_local_server_demands_what_the_router_does() -> None:
    async with LocalServer(Reply("Hello")) as server:
        there = tgi.but(base_url=server.url)
        for wrong in ({"temperature": 0}, {"top_p": 1}, {"stop": list("abcde")}):
            with pytest.raises(BadRequest):
                await there("Hi", **wrong)
        with pytest.raises(BadRequest):
            await there("")
