"""OpenAI's chat completions: what is particular to them. What holds for all formats is tested there."""

from __future__ import annotations

import json
from typing import Any

import pytest

import rxchat
from hearing import hear
from rxchat.errors import BadRequest, ChatError, EmptyAnswer, ServerError, ServiceError, Truncated
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
from rxchat.messages import Image, Message
from rxchat.providers import openai
from rxchat.providers.openai_chat import CHAT
from rxchat.testing import LocalServer, Reply

CALL = ToolCall(0, "call_1", "weather", '{"city":"Oslo"}')
CLOSED = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
THOUGHT = {"type": "reasoning.encrypted", "data": "gAAAA"}
DONE = "[DONE]"
STARTED, STOPPED = Start("gpt", "chatcmpl-1"), Finish("stop", "stop")


def messages_of(*prompt: Any) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = openai.request(prompt).json["messages"]
    return messages


def heard(*said: dict[str, Any] | str) -> tuple[list[Event], ChatError | None]:
    lines = [one if isinstance(one, str) else json.dumps(one) for one in said]
    return hear(CHAT, ["".join(f"data: {line}\n\n" for line in lines).encode()])


def chunk(*choices: dict[str, Any], **facts: Any) -> dict[str, Any]:
    head = {"id": "chatcmpl-1", "model": "gpt", "object": "chat.completion.chunk"}
    return {**head, "choices": list(choices), **facts}


def piece(content: Any, index: Any = 0, reason: str | None = None) -> dict[str, Any]:
    return chunk({"index": index, "delta": {"content": content}, "finish_reason": reason})


def called(*calls: dict[str, Any]) -> dict[str, Any]:
    return chunk({"index": 0, "delta": {"tool_calls": list(calls)}})


def end(reason: str = "stop", index: int = 0) -> dict[str, Any]:
    return chunk({"index": index, "delta": {}, "finish_reason": reason})


def content_of(*said: dict[str, Any] | str) -> list[Event]:
    """What is heard between a right beginning and a right end."""
    events, error = heard(chunk(), *said, end(), DONE)
    assert error is None
    assert events[0] == STARTED
    assert isinstance(events[-1], Finish)
    return events[1:-1]


# What goes ---------------------------------------------------------------------------------------


def test_the_request_asks_for_a_stream_and_what_it_costs() -> None:
    request = openai.but(key="sk-1").request("Hi")
    assert (request.method, request.url) == ("POST", "https://api.openai.com/v1/chat/completions")
    assert request.headers["authorization"] == "Bearer sk-1"
    assert request.json == {
        "model": openai.model,
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_a_rich_conversation_is_a_list_of_messages() -> None:
    assert messages_of(
        rxchat.system("Be brief."),
        Message("developer", "No verse."),
        rxchat.user(
            "Look:", Image(url="https://x/cat.png"), Image(data=b"x", media_type="image/gif")
        ),
        rxchat.assistant(
            Reasoning("Hm."),
            Reasoning("", opaque=Opaque("openai", [THOUGHT])),
            Other("annotations", {}),
            "I will ask.",
            CALL,
            ToolCall(1, "call_2", "time"),
        ),
        rxchat.tool("18 °C", CALL),
        rxchat.tool("no clock", "call_2", failed=True),
        rxchat.assistant("18 °C. But ", Refusal("I cannot.")),
        "Thanks",
    ) == [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": "No verse."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look:"},
                {"type": "image_url", "image_url": {"url": "https://x/cat.png"}},
                {"type": "image_url", "image_url": {"url": "data:image/gif;base64,eA=="}},
            ],
        },
        {
            "role": "assistant",
            "content": "I will ask.",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city":"Oslo"}'},
                },
                {
                    "id": "call_2",
                    "type": "function",
                    "function": {"name": "time", "arguments": "{}"},
                },
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "18 °C"},
        {"role": "tool", "tool_call_id": "call_2", "content": "Error: no clock"},
        {"role": "assistant", "content": "18 °C. But ", "refusal": "I cannot."},
        {"role": "user", "content": "Thanks"},
    ]


def test_calls_alone_have_no_content() -> None:
    turn = messages_of(rxchat.assistant(CALL), rxchat.tool("18 °C", CALL))[0]
    assert turn["content"] is None
    assert turn["tool_calls"][0]["id"] == "call_1"


WORDLESS = [
    ((Reasoning("Hm."),), {}),
    ((Other("annotations", {}, Opaque("somebody else", {})),), {}),
    ((Reasoning("Hm.", opaque=Opaque("openai", None)),), {}),
    ((Reasoning("Hm.", opaque=Opaque("openai", [THOUGHT])),), {}),  # but to OpenRouter
    ((Refusal("No."),), {"refusal": "No."}),
]


@pytest.mark.parametrize(("parts", "rest"), WORDLESS, ids=repr)
async def test_a_turn_without_a_word_is_an_empty_one(parts: Any, rest: dict[str, Any]) -> None:
    """Which is not null: that may only stand beside calls."""
    async with LocalServer(Reply("Hello")) as server:
        chat = openai.but(base_url=server.url + "/v1", key="sk-1")
        await chat(["Hi", rxchat.assistant(*parts), "Go on"])
        turn = server.exchanges[0].json["messages"][1]
    assert turn == {"role": "assistant", "content": "", **rest}


PLACES = [
    ({"temperature": 0.5}, {"temperature": 0.5}),
    ({"top_p": 0.5}, {"top_p": 0.5}),
    ({"max_tokens": 77}, {"max_completion_tokens": 77}),
    ({"stop": ["END"]}, {"stop": ["END"]}),
    ({"seed": 7}, {"seed": 7}),
    ({"n": 2}, {"n": 2}),
    ({"reasoning": "low"}, {"reasoning_effort": "low"}),
    (
        {"schema": CLOSED},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": CLOSED, "strict": True},
            }
        },
    ),
]


@pytest.mark.parametrize(("options", "place"), PLACES, ids=repr)
def test_an_option_has_its_place(options: dict[str, Any], place: dict[str, Any]) -> None:
    assert openai.request("Hi", **options).json == openai.request("Hi").json | place


CHOICES = [
    ("auto", "auto"),
    ("none", "none"),
    ("required", "required"),
    ("time", {"type": "function", "function": {"name": "time"}}),
]


@pytest.mark.parametrize(("choice", "told"), CHOICES)
def test_a_tool_is_chosen_by_a_word_or_its_name(choice: str, told: Any) -> None:
    tool = rxchat.Tool("time", "Tell the time.", CLOSED)
    body = openai.request("Hi", tools=[tool], tool_choice=choice).json
    assert body["tool_choice"] == told
    function = {"name": "time", "description": "Tell the time.", "parameters": CLOSED}
    assert body["tools"] == [{"type": "function", "function": function}]


# What comes: content -----------------------------------------------------------------------------

REFERENCE = {"type": "reference", "reference_ids": [1]}

# What a delta's content may be, and what it says.
CONTENTS: list[tuple[Any, list[Event]]] = [
    ("Hello", [Text("Hello")]),
    ("", []),
    (None, []),
    ([], []),
    (["Hel", "lo"], [Text("Hel"), Text("lo")]),
    ({"text": "Hello"}, [Text("Hello")]),
    ({"type": "text", "text": "Hello"}, [Text("Hello")]),
    ([{"type": "text", "text": "Hello"}, "!"], [Text("Hello"), Text("!")]),
    ([{"type": "text", "text": ""}], []),
    (
        [
            {
                "type": "thinking",
                "thinking": [{"type": "text", "text": "H"}, {"type": "text", "text": "m."}],
            },
            {"type": "text", "text": "Hello"},
        ],
        [Reasoning("H"), Reasoning("m."), Text("Hello")],
    ),
    ([{"type": "thinking", "thinking": "Hm."}], [Reasoning("Hm.")]),
    ([REFERENCE, "!"], [Other("content", REFERENCE), Text("!")]),
    ([None], []),
    (7, [Other("content", 7)]),
]


@pytest.mark.parametrize(("content", "expected"), CONTENTS, ids=repr)
def test_content_is_text_or_parts(content: Any, expected: list[Event]) -> None:
    assert content_of(piece(content)) == expected


WEATHER = {"name": "weather", "arguments": "{}"}
TIME = {"name": "time", "arguments": "[]"}
MESSAGE = {
    "role": "assistant",
    "content": "Hello",
    "reasoning_content": "Hm.",
    "tool_calls": [
        {"id": "call_1", "type": "function", "function": WEATHER},
        {"id": "call_2", "type": "function", "function": TIME},
    ],
}
TOLD: list[Event] = [
    Reasoning("Hm."),
    Text("Hello"),
    ToolCall(0, "call_1", "weather", "{}"),
    ToolCall(1, "call_2", "time", "[]"),
]


@pytest.mark.parametrize("after", [[], [DONE]], ids=repr)
def test_an_answer_may_come_whole(after: list[str]) -> None:
    choice = {"index": 0, "message": MESSAGE, "finish_reason": "tool_calls"}
    usage = {"prompt_tokens": 3}
    said = chunk(choice, object="chat.completion", usage=usage)
    assert heard(said, *after) == (
        [STARTED, *TOLD, Usage(3), Finish("tool_calls", "tool_calls")],
        None,
    )


def test_messages_may_come_in_place_of_deltas() -> None:
    said = [chunk({"message": {"content": bit}}) for bit in ("Hel", "lo")]
    assert content_of(*said) == [Text("Hel"), Text("lo")]


def test_a_message_that_repeats_the_deltas_is_not_heard() -> None:
    whole = {"index": 0, "message": {"content": "Hello"}, "finish_reason": "stop"}
    done = chunk(whole, object="chat.completion.done")  # Perplexity
    assert heard(piece("Hel"), piece("lo"), done) == (
        [STARTED, Text("Hel"), Text("lo"), STOPPED],
        None,
    )


# What comes: calls -------------------------------------------------------------------------------


def fragment(index: Any, id_: Any, name: Any, arguments: Any) -> dict[str, Any]:
    return {"index": index, "id": id_, "function": {"name": name, "arguments": arguments}}


# The pieces of calls as hosts tell them, each (index, id, name, arguments), and what is heard.
CALLS = {
    "as they should be": (
        [(0, "a", "f", ""), (0, None, None, "{}"), (1, "b", "g", ""), (1, None, None, "[]")],
        [(0, "a", "f", ""), (0, "", "", "{}"), (1, "b", "g", ""), (1, "", "", "[]")],
    ),
    "ids and names said again": (
        [(0, "a", "f", "{"), (0, "a", "f", "}")],
        [(0, "a", "f", "{"), (0, "", "", "}")],
    ),
    "an id and a name that come late": (
        [(0, None, None, "{"), (0, "a", "f", "}")],
        [(0, "", "", "{"), (0, "a", "f", "}")],
    ),
    "the same index for all": (
        [(0, "a", "f", "{}"), (0, "b", "f", "{}")],
        [(0, "a", "f", "{}"), (1, "b", "f", "{}")],
    ),
    "the same index for all, in turns": (
        [(0, "a", "f", ""), (0, "b", "g", ""), (0, "a", None, "{}"), (0, "b", "", "[]")],
        [(0, "a", "f", ""), (1, "b", "g", ""), (0, "", "", "{}"), (1, "", "", "[]")],
    ),
    "after a return, the rest goes on with the last": (
        [(0, "a", "f", ""), (0, "b", "g", ""), (0, "a", "", "{"), (0, "", "", "}")],
        [(0, "a", "f", ""), (1, "b", "g", ""), (0, "", "", "{"), (0, "", "", "}")],
    ),
    "no index": (
        [(None, "a", "f", "{"), (None, None, None, "}"), (None, "b", "g", "[]")],
        [(0, "a", "f", "{"), (0, "", "", "}"), (1, "b", "g", "[]")],
    ),
    "no index and no ids": (
        [(None, None, "f", "{}"), (None, None, "g", "["), (None, None, None, "]")],
        [(0, "", "f", "{}"), (1, "", "g", "["), (1, "", "", "]")],
    ),
    "the same index and empty ids": (
        [(0, "", "f", "{}"), (0, "", "g", "[]")],
        [(0, "", "f", "{}"), (1, "", "g", "[]")],
    ),
    "an id that is there for the first alone": (
        [(0, "a", "f", "{}"), (0, "", "g", "[]")],
        [(0, "a", "f", "{}"), (1, "", "g", "[]")],
    ),
    "another name for the same id": (
        [(0, "a", "f", "{"), (0, "a", "g", "}")],
        [(0, "a", "f", "{"), (0, "", "", "}")],
    ),
}


@pytest.mark.parametrize(("said", "expected"), CALLS.values(), ids=CALLS)
def test_the_pieces_of_a_call_are_brought_together(
    said: list[tuple[Any, ...]], expected: list[tuple[Any, ...]]
) -> None:
    fragments = [fragment(*one) for one in said]
    calls = [ToolCall(*one) for one in expected]
    assert content_of(*map(called, fragments)) == calls
    assert content_of(called(*fragments)) == calls


def test_nameless_calls_side_by_side_are_different_ones_also_of_one_function() -> None:
    asked = [{"function": WEATHER | {"arguments": city}} for city in ('"Oslo"', '"Rome"')]
    assert content_of(called(*asked)) == [
        ToolCall(0, "", "weather", '"Oslo"'),
        ToolCall(1, "", "weather", '"Rome"'),
    ]


def test_a_function_call_is_a_call() -> None:
    said = [
        {"function_call": {"name": "f", "arguments": "{"}},
        {"function_call": {"arguments": "}"}},
    ]
    deltas = [chunk({"index": 0, "delta": delta}) for delta in said]
    assert heard(*deltas, end("function_call"), DONE)[0] == [
        STARTED,
        ToolCall(0, "", "f", "{"),
        ToolCall(0, "", "", "}"),
        Finish("tool_calls", "function_call"),
    ]


# How it ends -------------------------------------------------------------------------------------

A, B = piece("a"), piece("b", 1)
FIRST, SECOND = Text("a"), Text("b", 1)
USAGE = chunk(usage={"prompt_tokens": 3})

# What is said; what is heard after the Start; the error.
ENDS: dict[str, tuple[list[Any], list[Event], type[ChatError] | None]] = {
    "a reason and the mark": ([A, end(), DONE], [FIRST, STOPPED], None),
    "a reason alone": ([A, end()], [FIRST, STOPPED], None),
    "the mark alone": ([A, DONE], [FIRST, Finish("stop", None)], None),
    "neither": ([A], [FIRST], Truncated),
    "a part of the mark": ([A, "[DO"], [FIRST], Truncated),
    "a reason and a part of the mark": ([A, end(), "[DO"], [FIRST], Truncated),
    "calls and the mark alone": (
        [called(fragment(0, "c", "f", "{}")), DONE],
        [ToolCall(0, "c", "f", "{}"), Finish("tool_calls", None)],
        None,
    ),
    "a later reason is the right one": (
        [A, end(), end("length"), DONE],
        [FIRST, Finish("length", "length")],
        None,
    ),
    "each has a reason": (
        [A, B, end("length", 1), end(), DONE],
        [FIRST, SECOND, STOPPED, Finish("length", "length", 1)],
        None,
    ),
    "each has a reason, and no mark": (
        [A, B, end(index=1), end()],
        [FIRST, SECOND, STOPPED, Finish("stop", "stop", 1)],
        None,
    ),
    "the mark alone, for all who spoke": (
        [A, B, USAGE, DONE],
        [FIRST, SECOND, Usage(3), Finish("stop", None), Finish("stop", None, 1)],
        None,
    ),
    "the mark, and one lacks a reason": ([A, B, end(), DONE], [FIRST, SECOND], Truncated),
    "the mark, and the first lacks a reason": (
        [A, B, end(index=1), DONE],
        [FIRST, SECOND],
        Truncated,
    ),
    "no mark, and one lacks a reason": ([A, B, end()], [FIRST, SECOND], Truncated),
    "the first came last": (
        [B, A, end(), end(index=1)],
        [SECOND, FIRST, STOPPED, Finish("stop", "stop", 1)],
        None,
    ),
    "the first came last, and lacks a reason": (
        [B, end(index=1), A],
        [SECOND, FIRST],
        Truncated,
    ),
    "the first never spoke": (
        [B, end(index=1), DONE],
        [SECOND, Finish("stop", "stop", 1)],
        None,
    ),
    "the first never spoke, and no mark": (
        [B, end(index=1)],
        [SECOND, Finish("stop", "stop", 1)],
        None,
    ),
    "the first never spoke, and the mark alone": (
        [B, DONE],
        [SECOND, Finish("stop", None, 1)],
        None,
    ),
    "nobody spoke": ([chunk(), DONE], [Finish("stop", None)], None),
    "nobody spoke, and no mark": ([chunk()], [], Truncated),
    "a reason that is an error": ([A, end("error"), DONE], [FIRST], ServerError),
}


@pytest.mark.parametrize(("said", "expected", "error"), ENDS.values(), ids=ENDS)
def test_every_choice_that_spoke_has_an_end_or_none_has(
    said: list[Any], expected: list[Event], error: type[ChatError] | None
) -> None:
    events, failure = heard(*said)
    assert events == [STARTED, *expected]
    assert type(failure) is (error or type(None))


@pytest.mark.parametrize(
    "said", [[], [DONE], [""], [{"usage": {"prompt_tokens": 1}}, DONE]], ids=str
)
def test_an_answer_without_a_word_is_none(said: list[Any]) -> None:
    assert type(heard(*said)[1]) is EmptyAnswer


def test_the_end_is_found_wherever_frames_are_cut() -> None:
    body = "".join(f"data: {json.dumps(it)}\n\n" for it in (A, B, end(index=1), end()))
    for at in range(len(body)):
        events, error = hear(CHAT, [body[:at].encode(), body[at:].encode()])
        assert (len(events), error) == (5, None)


def test_what_comes_in_every_chunk_is_given_once() -> None:
    cited = chunk(citations=["https://x"], usage={"prompt_tokens": 1})
    last = chunk(citations=["https://x"], usage={"prompt_tokens": 2})
    assert heard(A, cited, last, end(), DONE)[0] == [
        STARTED,
        FIRST,
        Other("citations", ["https://x"]),
        Usage(2),
        STOPPED,
    ]


# The local server demands what the service does --------------------------------------------------

OBJECTIONS: list[tuple[list[dict[str, Any]], type[ServiceError], str]] = [
    ([{"role": "tool", "tool_call_id": "c", "content": "x"}], BadRequest, "answers no call"),
    ([{"role": "assistant", "content": None}], BadRequest, "expected a string, got null"),
    ([{"role": "robot", "content": "x"}], BadRequest, "robot"),
]


@pytest.mark.parametrize(("messages", "kind", "words"), OBJECTIONS, ids=str)
async def test_the_local_server_refuses_what_the_service_does(
    messages: list[dict[str, Any]], kind: type[ServiceError], words: str
) -> None:
    async with LocalServer(Reply("Hello")) as server:
        chat = openai.but(base_url=server.url + "/v1", key="sk-1", extra={"messages": messages})
        with pytest.raises(kind, match=words):
            await chat("Hi")
