"""Every living format, by the same laws: what is said is heard, what is cut or broken is told."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rxchat
from formats import WIRES, Wire
from hearing import cut_at_random, hear
from rxchat.errors import (
    ChatError,
    InvalidPrompt,
    NotAnAnswer,
    QuotaExhausted,
    ServiceError,
    UnknownOption,
)
from rxchat.events import Event, Finish, Text, ToolCall, Usage
from rxchat.messages import Image
from rxchat.options import BODY
from rxchat.provider import Provider
from rxchat.request import AWS_EVENT_STREAM, EVENT_STREAM
from rxchat.testing import Failure, LocalServer, Reply
from rxchat.testing.exchange import Exchange, Headers
from rxchat.testing.replies import Piece
from rxchat.testing.voices import VOICES, find_voice

wires = pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)
TOOLS_WIRES = {name: wire for name, wire in WIRES.items() if wire.tools}
with_tools = pytest.mark.parametrize("wire", TOOLS_WIRES.values(), ids=TOOLS_WIRES)
with_opaque = pytest.mark.parametrize(
    "wire",
    [wire for wire in WIRES.values() if wire.opaque],
    ids=[name for name, wire in WIRES.items() if wire.opaque],
)

PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)
WEATHER = rxchat.Tool(
    "weather",
    "Tell the weather.",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)


def spoken(wire: Wire, *pieces: Piece, finish: bool | None = None) -> bytes:
    """What the local server sends for these pieces."""
    return asyncio.run(_spoken(wire, Reply(*pieces, finish=finish)))  # an Exchange wants a loop


async def _spoken(wire: Wire, reply: Reply) -> bytes:
    request = wire.provider.but(base_url="http://x" + wire.prefix).request("Hi")
    target = request.url.removeprefix("http://x")
    exchange = Exchange("POST", target, "1.1", Headers(request.headers.items()), request.body)
    voice = find_voice(exchange.path, VOICES)
    assert voice.name != "nobody"
    _, parts = voice.speak(reply, exchange)
    return b"".join(part for part in parts if isinstance(part, bytes))


def moved(wire: Wire, server: LocalServer) -> Provider:
    """The provider, at the local server, with a key if it takes one."""
    there = wire.provider.but(base_url=server.url + wire.prefix)
    return there.but(key="sk-test-1234567890") if there.auth else there


# What is said is heard ---------------------------------------------------------------------------


@st.composite
def answers(draw: st.DrawFn, wire: Wire) -> list[Event]:
    """An answer as this format can say it."""
    content = draw(wire.content)
    called = any(isinstance(event, ToolCall) for event in content)
    fitting = [end for end in wire.finishes if called == (end.reason == "tool_calls")]
    end = draw(st.sampled_from([*fitting, *(e for e in wire.finishes if e.reason == "length")]))
    usage = draw(st.lists(wire.usage, max_size=1))
    start = draw(wire.start)
    return [*([start] if start else []), *content, *usage, end]


# The event loop of the async tests is no place for `given`; nothing here needs one.
@wires
@given(data=st.data())
def test_what_the_service_says_is_heard_wherever_it_is_cut(wire: Wire, data: st.DataObject) -> None:
    said = data.draw(answers(wire))
    body = spoken(wire, *said)
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=8).map(sorted))
    chunks = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    assert hear(wire.provider.format, chunks) == (said, None)


@wires
@given(data=st.data())
def test_an_answer_that_ends_too_early_is_never_taken_for_a_whole_one(
    wire: Wire, data: st.DataObject
) -> None:
    said = data.draw(answers(wire))
    body = spoken(wire, *said)
    end = data.draw(st.integers(0, len(body)))
    events, error = hear(wire.provider.format, [body[:end]])
    if error is None:
        # Where the end mark may be missing, what comes between a reason and it may be, too.
        assert [
            event for event in said if not isinstance(event, Usage) or event in events
        ] == events
    else:
        assert isinstance(error, ChatError)
        assert error.retryable
        assert events == said[: len(events)]


@wires
def test_a_body_without_the_end_marks_is_truncated(wire: Wire) -> None:
    events, error = hear(wire.provider.format, [spoken(wire, "Hel", "lo", finish=False)])
    assert error is not None
    assert type(error).__name__ == "Truncated"
    assert [event.text for event in events if isinstance(event, Text)] == ["Hel", "lo"]


@wires
def test_a_failure_inside_an_answer_is_an_error_that_says_so(wire: Wire) -> None:
    for form in wire.failures:
        body = spoken(wire, "Hel", Failure("out of memory", "server_error", form))
        for chunks in ([body], cut_at_random(body, 5, 1)):
            events, error = hear(wire.provider.format, chunks)
            assert isinstance(error, ServiceError), form
            assert error.message == "out of memory"
            assert Text("Hel") in events
            assert not any(isinstance(event, Finish) for event in events)


@wires
async def test_an_answer_of_the_local_server_is_heard(wire: Wire) -> None:
    async with LocalServer(Reply("Hel", "lo", pace=0.001)) as server:
        events = await moved(wire, server)("Hi").pipe(rxchat.operators.to_list())
    assert [event.text for event in events if isinstance(event, Text)] == ["Hel", "lo"]
    assert isinstance(events[-1], Finish)
    assert events[-1].reason == "stop"


STREAMED = {
    name: wire
    for name, wire in WIRES.items()
    if wire.provider.format.expects in (EVENT_STREAM, AWS_EVENT_STREAM)
}


@pytest.mark.parametrize("wire", STREAMED.values(), ids=STREAMED)
async def test_a_whole_answer_in_place_of_a_stream_is_not_paid_for_twice(wire: Wire) -> None:
    async with LocalServer(Reply.status(200, json={"id": "1", "choices": []})) as server:
        with pytest.raises(NotAnAnswer, match="JSON in place of a stream") as caught:
            await moved(wire, server)("Hi")
    assert not caught.value.retryable


@pytest.mark.parametrize("wire", STREAMED.values(), ids=STREAMED)
@pytest.mark.parametrize("content_type", ["text/event-stream", "text/plain", "application/json"])
async def test_a_bare_error_in_place_of_a_stream_is_that_error(
    wire: Wire, content_type: str
) -> None:
    no = b'\n{"error": {"message": "no credit", "code": "insufficient_quota"}}'
    async with LocalServer(Reply(body=no, content_type=content_type)) as server:
        with pytest.raises(QuotaExhausted, match="no credit"):
            await moved(wire, server)("Hi")


# What was heard can be said again ----------------------------------------------------------------


@with_tools
@pytest.mark.parametrize("count", [1, 2])
async def test_a_conversation_with_tools_goes_on_for_two_turns(wire: Wire, count: int) -> None:
    calls = [
        ToolCall(index, f"call_{index}", "weather", json.dumps({"city": city}))
        for index, city in enumerate(["Oslo", "Rome"][:count])
    ]
    async with LocalServer(Reply("It is sunny.")) as server:
        server.plan(Reply(*calls))
        chat = moved(wire, server).but(tools=[WEATHER])
        said = [rxchat.user("What is the weather?")]
        first = await chat(said).pipe(rxchat.operators.to_list())
        answer = rxchat.reply(first)
        assert [json.loads(call.arguments) for call in answer.tool_calls] == [
            json.loads(call.arguments) for call in calls
        ]
        assert isinstance(first[-1], Finish)
        assert first[-1].reason == "tool_calls"
        results = [rxchat.tool("18 °C", call) for call in answer.tool_calls]
        second = await chat([*said, answer, *results]).pipe(rxchat.operators.to_list())
        request = server.exchanges[1]
    assert rxchat.reply(second) == rxchat.assistant("It is sunny.")
    told = json.dumps(request.json, ensure_ascii=False)
    assert told.count("18 °C") == count
    assert "Oslo" in told


@with_tools
def test_a_tool_that_failed_is_said_to_have_failed(wire: Wire) -> None:
    call = ToolCall(0, "call_0", "weather", "{}")

    def body(failed: bool) -> Any:
        said = ["Hi", rxchat.assistant(call), rxchat.tool("no such city", call, failed=failed)]
        return wire.provider.but(base_url="http://x").request(said).json

    assert body(failed=True) != body(failed=False)
    assert "no such city" in json.dumps(body(failed=True))


@with_opaque
async def test_what_is_opaque_goes_back_to_whoever_made_it(wire: Wire) -> None:
    async with LocalServer(Reply("Good.")) as server:
        server.plan(Reply(*wire.opaque, "Hello"))
        heard = await moved(wire, server)("Hi").pipe(rxchat.operators.to_list())
        for event in wire.opaque:
            assert event in heard
        await moved(wire, server)(["Hi", rxchat.reply(heard), "Go on"])
        told = json.dumps(server.exchanges[1].json)
    for event in wire.opaque:
        for secret in _strings(event.opaque.data):
            assert json.dumps(secret) in told


@wires
def test_what_another_service_made_opaque_is_not_sent(wire: Wire) -> None:
    thought = {
        "type": "thinking",
        "signature": "secret thought",
        "thoughtSignature": "secret thought",
    }
    strange = rxchat.events.Opaque("somebody else", thought)
    turn = rxchat.assistant(
        rxchat.events.Reasoning("Hm.", opaque=strange),
        rxchat.events.Other("block", {}, opaque=strange),
        "Hello",
    )
    body = wire.provider.but(base_url="http://x").request(["Hi", turn, "Go on"]).body.decode()
    assert "secret thought" not in body
    assert "Hello" in body


def _strings(data: Any) -> list[str]:
    if isinstance(data, dict):
        return [text for value in data.values() for text in _strings(value)]
    if isinstance(data, list):
        return [text for value in data for text in _strings(value)]
    return [data] if isinstance(data, str) else []


# What we ask is sent, or refused -----------------------------------------------------------------

ASKED: dict[str, Any] = {
    "temperature": 0.25,
    "top_p": 0.5,
    "max_tokens": 77,
    "stop": ["END"],
    "seed": 4242,
    "n": 3,
    "reasoning": "low",
    "schema": {"type": "object", "properties": {"answer": {"type": "string"}}},
    "tools": [WEATHER],
}
assert {*ASKED, "tool_choice"} == set(BODY)


@wires
@pytest.mark.parametrize("option", ASKED)
def test_an_option_is_in_the_body_or_refused_by_name(wire: Wire, option: str) -> None:
    chat = wire.provider.but(base_url="http://x")
    value = wire.asked.get(option, ASKED[option])
    plain = chat.request("Hi").json
    if option not in chat.format.options:
        with pytest.raises(UnknownOption, match=option):
            chat.but(**{option: value})
        return
    asked = chat.request("Hi", **{option: value}).json
    assert asked != plain
    assert has(asked, "weather" if option == "tools" else value)
    assert chat.but(**{option: value}).request("Hi", **{option: None}).json == plain


def has(body: Any, value: Any) -> bool:
    """Tell whether a value is somewhere in a body; some have JSON in their JSON."""
    if body == value:
        return True
    if isinstance(body, str):
        return body.startswith("{") and has(json.loads(body), value)
    inner = body.values() if isinstance(body, dict) else body if isinstance(body, list) else ()
    return any(has(part, value) for part in inner)


@with_tools
@pytest.mark.parametrize("choice", ["auto", "none", "required", "weather"])
def test_a_tool_can_be_chosen(wire: Wire, choice: str) -> None:
    chat = wire.provider.but(base_url="http://x", tools=[WEATHER])
    if "tool_choice" not in chat.format.options:
        with pytest.raises(UnknownOption, match="tool_choice"):
            chat.but(tool_choice=choice)
    elif choice != "auto":  # which is as if nothing were said
        assert chat.request("Hi", tool_choice=choice).json != chat.request("Hi").json


@wires
def test_what_a_user_shows_is_sent_or_refused(wire: Wire) -> None:
    chat = wire.provider.but(base_url="http://x")
    shown = rxchat.image(PNG)
    if not chat.format.images:
        with pytest.raises(InvalidPrompt, match="images"):
            chat.request(rxchat.user("What is this?", shown))
        return
    body = chat.request(rxchat.user("What is this?", shown)).body.decode()
    assert Image.base64.fget(shown) in body
    assert "What is this?" in body


@wires
def test_extra_is_merged_into_the_body(wire: Wire) -> None:
    chat = wire.provider.but(base_url="http://x", extra={"one": 1})
    asked = chat.request("Hi", extra={"two": {"three": 3}}).json
    assert asked == chat.request("Hi").json | {"two": {"three": 3}}
    assert asked["one"] == 1


@wires
def test_a_system_message_is_sent(wire: Wire) -> None:
    chat = wire.provider.but(base_url="http://x")
    assert "Be brief." in chat.request([rxchat.system("Be brief."), "Hi"]).body.decode()
