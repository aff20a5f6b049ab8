"""What is particular to Ollama's own chat."""

from __future__ import annotations

import json
from typing import Any

import pytest

import rxchat
from hearing import hear
from rxchat.errors import EmptyAnswer, Garbled, InvalidPrompt, ServerError, Truncated, UsageError
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
from rxchat.messages import Message
from rxchat.providers import ollama
from rxchat.testing import LocalServer, Reply

PNG = b"\x89PNG\r\n\x1a\n"
WEATHER = rxchat.Tool("weather", "Tell the weather.")
CALL = ToolCall(0, "call_7", "weather", '{"city": "Oslo"}')


def body(prompt: Any = "Hi", **options: Any) -> dict[str, Any]:
    told: dict[str, Any] = ollama.request(prompt, **options).json
    return told


def heard(*lines: Any) -> list[Event]:
    events, error = hear(ollama.format, [json.dumps(line).encode() + b"\n" for line in lines])
    if error:
        raise error
    return events


def line(**facts: Any) -> dict[str, Any]:
    return {"model": "m", "message": {"role": "assistant", "content": ""}, "done": False} | facts


def said(**message: Any) -> dict[str, Any]:
    return line(message={"role": "assistant", "content": ""} | message)


# What goes ---------------------------------------------------------------------------------------


def test_a_conversation_goes_as_ollama_says_it() -> None:
    answer = rxchat.assistant(Reasoning("Hm."), "I ", "look.", CALL)
    failed = rxchat.tool("no such city", CALL, failed=True)
    prompt = [
        rxchat.system("Be brief."),
        rxchat.user("What ", rxchat.image(PNG), "is this?"),
        answer,
        failed,
    ]
    assert body(prompt, tools=[WEATHER]) == {
        "model": "llama3.2",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "What is this?", "images": ["iVBORw0KGgo="]},
            {
                "role": "assistant",
                "content": "I look.",
                "thinking": "Hm.",
                "tool_calls": [
                    {
                        "id": "call_7",
                        "function": {"index": 0, "name": "weather", "arguments": {"city": "Oslo"}},
                    }
                ],
            },
            {
                "role": "tool",
                "content": "Error: no such city",
                "tool_name": "weather",
                "tool_call_id": "call_7",
            },
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
    ("option", "value", "place"),
    [
        ("temperature", 0, {"options": {"temperature": 0}}),
        ("top_p", 0.5, {"options": {"top_p": 0.5}}),
        ("max_tokens", 9, {"options": {"num_predict": 9}}),
        ("stop", "END", {"options": {"stop": ["END"]}}),
        ("seed", 0, {"options": {"seed": 0}}),
        ("reasoning", "high", {"think": "high"}),
        ("reasoning", "none", {"think": False}),
        ("reasoning", 0, {"think": False}),
        ("schema", {"type": "object"}, {"format": {"type": "object"}}),
        ("extra", {"options": {"num_ctx": 8192}}, {"options": {"num_ctx": 8192}}),
    ],
)
def test_an_option_has_its_place(option: str, value: Any, place: dict[str, Any]) -> None:
    assert body(**{option: value}) == body() | place


def test_a_budget_is_refused() -> None:
    with pytest.raises(UsageError, match="effort"):
        body(reasoning=2048)


def test_the_address_of_an_image_is_refused() -> None:
    with pytest.raises(InvalidPrompt, match="bytes"):
        body(rxchat.user(rxchat.image("https://example.com/cat.png")))


def test_a_developer_speaks_as_the_system() -> None:
    assert body(Message("developer", "Be brief."))["messages"][0]["role"] == "system"


def test_what_was_refused_elsewhere_is_text_here() -> None:
    told = body(["Hi", rxchat.assistant(Refusal("No.")), "Why?"])["messages"]
    assert told[1] == {"role": "assistant", "content": "No."}


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("", "http://127.0.0.1:11434"),
        ("gpu-box", "http://gpu-box:11434"),
        ("gpu-box/", "http://gpu-box:11434"),
        ("gpu-box:80", "http://gpu-box:80"),
        (":1234", "http://127.0.0.1:1234"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:80", "http://127.0.0.1:80"),
        ("[::]:80", "http://127.0.0.1:80"),
        ("[::1]", "http://[::1]:11434"),
        ("::1", "http://[::1]:11434"),
        ("fe80::1/llm", "http://[fe80::1]:11434/llm"),
        ("::", "http://127.0.0.1:11434"),
        ("[fe80::1]:80", "http://[fe80::1]:80"),
        ("gpu-box:80/llm/", "http://gpu-box:80/llm"),
        ("http://gpu-box", "http://gpu-box"),
        ("https://ollama.com/", "https://ollama.com"),
    ],
)
def test_the_host_is_said_as_ollama_says_it(
    host: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", host)
    assert ollama.url == ollama.request("Hi").url == f"{address}/api/chat"
    assert ollama.but(base_url="http://other").url == "http://other/api/chat"


@pytest.mark.parametrize(
    "host",
    ["http://[::1", "[::1", "[::1]x", "gpu:80:90", "gpu:port", "gpu:99999", "ftp://gpu", "http://"],
)
def test_what_is_no_address_is_said_so(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", host)
    for chat in (ollama, ollama.but(endpoint=host)):
        assert "ollama" in repr(chat)
        with pytest.raises(UsageError, match="endpoint") as caught:
            chat.request("Hi")
        assert caught.value.provider == "ollama"


def test_what_is_no_address_is_not_shown_with_its_password() -> None:
    with pytest.raises(UsageError) as caught:
        ollama.but(endpoint="http://me:secret@[::1").request("Hi")
    assert "secret" not in f"{caught.value!r}{caught.value}"


def test_a_key_is_sent_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OLLAMA_API_KEY", raising=False)
    assert "Authorization" not in ollama.request("Hi").headers
    monkeypatch.setenv("OLLAMA_API_KEY", "secret")
    assert ollama.request("Hi").headers["Authorization"] == "Bearer secret"


# What comes --------------------------------------------------------------------------------------


def test_thoughts_come_before_what_is_said_in_the_same_line() -> None:
    both = said(thinking="Hm.", content="Hello")
    assert heard(both, line(done=True)) == [
        Start("m"),
        Reasoning("Hm."),
        Text("Hello"),
        Finish("stop", None),
    ]


def test_calls_have_their_places_whatever_line_they_are_in() -> None:
    def call(name: str, **facts: Any) -> dict[str, Any]:
        return {"function": {"index": 0, "name": name, "arguments": {}}} | facts

    two = said(tool_calls=[call("a", id="x"), call("b")])
    events = heard(two, said(tool_calls=[call("c")]), line(done=True, done_reason="stop"))
    assert events[1:] == [
        ToolCall(0, "x", "a", "{}"),
        ToolCall(1, "", "b", "{}"),
        ToolCall(2, "", "c", "{}"),
        Finish("tool_calls", "stop"),
    ]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"city": "Zürich", "n": [1, 2]}, '{"city": "Zürich", "n": [1, 2]}'),
        ('{"city":"Oslo"}', '{"city":"Oslo"}'),
        (None, ""),
    ],
)
def test_arguments_are_text(arguments: Any, text: str) -> None:
    call = {"function": {"name": "a", "arguments": arguments}}
    assert heard(said(tool_calls=[call]), line(done=True))[1] == ToolCall(0, "", "a", text)


@pytest.mark.parametrize(
    ("facts", "end"),
    [
        ({}, [Finish("stop", None)]),
        ({"done_reason": None}, [Finish("stop", None)]),
        ({"done_reason": 7}, [Finish("stop", None)]),
        ({"done_reason": "load"}, [Finish("other", "load")]),
        ({"done_reason": "length", "eval_count": 3}, [Usage(None, 3), Finish("length", "length")]),
        (
            {"total_duration": 7, "load_duration": 0, "eval_duration": 5},
            [Other("durations", {"total_duration": 7, "eval_duration": 5}), Finish("stop", None)],
        ),
        ({"logprobs": [{"token": "a"}]}, [Other("logprobs", [{"token": "a"}]), Finish()]),
    ],
)
def test_the_last_line_says_why_and_what_it_took(facts: dict[str, Any], end: list[Event]) -> None:
    assert heard(line(done=True, **facts), line(done=True)) == [Start("m"), *end]


@pytest.mark.parametrize("done", ["false", "true", 1, {"x": 1}])
def test_nothing_but_true_is_done(done: Any) -> None:
    events = heard(said(content="Hel") | {"done": done}, said(content="lo") | {"done": True})
    assert events == [Start("m"), Text("Hel"), Text("lo"), Finish()]


def test_calls_that_were_cut_by_the_limit_are_no_end_for_tools() -> None:
    call = {"function": {"name": "a", "arguments": {}}}
    events = heard(said(tool_calls=[call]), line(done=True, done_reason="length"))
    assert events[-1] == Finish("length", "length")


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        ([], EmptyAnswer),
        ([said(content="Hel")], Truncated),
        ([{"error": "out of memory"}], ServerError),
        ([line(), {"error": {"message": "out of memory"}}], ServerError),
        ([{"message": "Hello"}], Garbled),
    ],
)
def test_an_answer_without_its_end_is_an_error(lines: list[Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        heard(*lines)


# The local server ------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [[], ["So."], [ToolCall(1, "b", "g", "{}")]])
async def test_the_local_server_says_calls_whole(after: list[Any]) -> None:
    begun = ToolCall(0, "a", "f")
    for more in ([], [ToolCall(0, arguments="{"), ToolCall(0, arguments="}")]):
        async with LocalServer(Reply(begun, *more, *after)) as server:
            chat = ollama.but(base_url=server.url)
            events = await chat("Hi").pipe(rxchat.operators.to_list())
        rest = [Text(piece) if isinstance(piece, str) else piece for piece in after]
        assert events == [
            Start("local"),
            ToolCall(0, "a", "f", "{}"),
            *rest,
            Finish("tool_calls", "stop"),
        ]


async def test_the_local_server_demands_what_ollama_does() -> None:
    lost = [
        {"role": "user", "content": "Hi"},
        {"role": "tool", "content": "18 °C", "tool_name": "weather"},
    ]
    wrong: list[dict[str, Any]] = [{"messages": lost}, {"model": ""}, {"think": "hard"}]
    async with LocalServer(Reply("Hello")) as server:
        for extra in wrong:
            with pytest.raises(rxchat.errors.ServiceError):
                await ollama.but(base_url=server.url)("Hi", extra=extra)
