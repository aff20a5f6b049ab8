"""The words for what goes wrong mean the same on a real wire and in a script."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import msgspec
import pytest

from rxchat import operators as ops
from rxchat.errors import ChatError, Overloaded, ServiceError, Truncated, UsageError
from rxchat.events import Finish, Reasoning, Text, ToolCall, is_content
from rxchat.provider import Provider
from rxchat.providers import (
    anthropic,
    bedrock,
    cohere,
    gemini,
    ollama,
    openai,
    openai_responses,
    tgi,
)
from rxchat.refusal import retry_after
from rxchat.stream import Stream
from rxchat.testing import FAULTS, LocalServer, Scripted, draw, faults, run_virtual
from rxchat.testing.fault_scripts import fault_script

SETTINGS: dict[str, Any] = {"bedrock": {"region": "eu-west-1"}}
FORMATS = [openai, openai_responses, anthropic, gemini, ollama, cohere, bedrock, tgi]
PINGING = [openai, openai_responses, anthropic, tgi]  # formats with words that mean nothing
ENDING = {word: fault for word, fault in FAULTS.items() if fault.ends}
ENDLESS = {word: fault for word, fault in FAULTS.items() if not fault.ends}


async def outcome(stream: Stream[Any]) -> tuple[list[str], type[Exception] | None]:
    """The words that were heard, and the error's class."""
    heard: list[Any] = []
    failure: ChatError | None = None
    try:
        async for event in stream:
            heard.append(event)
    except ChatError as error:
        failure = error
    if failure is None:
        assert isinstance(heard[-1], Finish)
        return _texts(heard), None
    assert failure.content_emitted == any(map(is_content, heard))
    return _texts(heard), type(failure)


def _texts(events: list[Any]) -> list[str]:
    assert all(isinstance(event, Text) for event in events if is_content(event))
    return [event.text for event in events if isinstance(event, Text)]


def at(server: LocalServer, provider: Provider[Any]) -> Provider[Any]:
    there = provider.but(base_url=server.url, **SETTINGS.get(provider.name, {}))
    return there.but(key="sk") if there.auth else there


@pytest.mark.parametrize("provider", FORMATS, ids=lambda provider: provider.name)
@pytest.mark.parametrize("word", ENDING)
async def test_each_word_means_on_the_wire_what_its_row_says(
    word: str, provider: Provider[Any]
) -> None:
    [fault] = fault_script(f"{word}(10ms)" if FAULTS[word].wait else word)
    async with LocalServer() as server:
        server.plan(fault.reply)
        texts, error = await outcome(at(server, provider)("Hi"))
        assert "".join(texts) == ("Hello" if fault.heard else "")
        assert error is (None if fault.ends is Finish else fault.ends)
        assert len(server.exchanges) == 1


@pytest.mark.parametrize(
    ("word", "provider"),
    [(word, it) for word in ENDLESS for it in FORMATS if "pings" not in word or it in PINGING],
    ids=lambda it: getattr(it, "name", it),
)
async def test_what_never_ends_is_heard_as_far_as_its_row_says(
    word: str, provider: Provider[Any]
) -> None:
    fault = FAULTS[word]
    async with LocalServer() as server:
        server.plan(fault.reply)
        async with at(server, provider)("Hi").open() as events:
            heard = ""
            while fault.heard and heard != "Hello":
                event = await anext(events)
                heard += event.text if isinstance(event, Text) else ""
            exchange = await server.exchange(0)
            if word.endswith("pings"):
                await exchange.sending(exchange.sent + 1)
            else:
                await exchange.holding()
        assert await exchange.ended == "hung up"


@pytest.mark.parametrize("word", ENDING)
async def test_a_script_fails_as_the_wire_does(word: str) -> None:
    [fault] = fault_script(f"{word}(1ms)" if FAULTS[word].wait else word)
    async with LocalServer() as server:
        server.plan(fault.reply)
        real = await outcome(at(server, openai)("Hi"))
        assert await outcome(Scripted(*fault.cues)("Hi")) == real


@pytest.mark.parametrize("word", ENDLESS)
def test_a_script_that_never_ends_is_silent_for_ever(word: str) -> None:
    heard = "(Hello)" if FAULTS[word].heard else ""
    if word == "pings":
        heard = "(Hel)----(lo)"
    assert draw(Scripted.failing(word)("Hi"), until=50) == heard


def test_requests_fail_one_after_the_other_and_the_last_word_is_repeated() -> None:
    provider = Scripted.failing("503*2 cut ok", "a", "b")

    async def main() -> list[tuple[list[str], type[Exception] | None]]:
        return [await outcome(provider("Hi")) for _ in range(5)]

    good = (["a", "b"], None)
    assert run_virtual(main()) == [([], Overloaded)] * 2 + [(["a", "b"], Truncated), good, good]


WAITS = [
    ("429", None),
    ("429(2s)", 2),
    ("503(1.5s)", 1.5),
    ("429(250ms)", 0.25),
    ("429(delay:48s)", 48),
    ("418(1s)", 1),
    ("429(1234567s)", 1234567),
]


@pytest.mark.parametrize(("word", "seconds"), WAITS)
def test_a_refusal_asks_to_wait_in_each_form(word: str, seconds: float | None) -> None:
    [reply] = faults(word)
    body = msgspec.json.decode(reply.body or b"")
    assert retry_after(reply.headers, body) == seconds
    [fault] = fault_script(word)
    assert isinstance(fault.error, ServiceError)
    assert fault.error.retry_after == seconds


def test_a_date_to_wait_for_is_counted_from_now() -> None:
    [reply] = faults("429(date:3600s)")
    assert retry_after(reply.headers) == pytest.approx(3600, abs=60)


@pytest.mark.parametrize(("word", "seconds"), [("slow(3s)", 3), ("dribble(500ms)", 2.0)])
def test_what_takes_time_takes_it_in_a_script_too(word: str, seconds: float) -> None:
    async def main() -> float:
        await Scripted.failing(word)("Hi").pipe(ops.take(5), ops.last())
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == pytest.approx(seconds)


WRONG = ["oops", "429(2)", "cut(2s)", "slow(date:2s)", "503*0", "200", "ok,cut", "dribble(2m)"]


@pytest.mark.parametrize("script", WRONG)
def test_a_word_that_means_nothing_is_refused_at_once(script: str) -> None:
    with pytest.raises(UsageError, match=re.escape(script)):
        faults(script)
    with pytest.raises(UsageError, match=re.escape(script)):
        Scripted.failing(script)


def test_what_is_said_may_be_events() -> None:
    call = ToolCall(0, "c1", "weather", "{}")
    provider = Scripted.failing("cut", Reasoning("hm"), call)
    assert draw(provider("Hi"), values={"r": Reasoning("hm"), "t": call}) == "(rt#)"
    [reply] = faults("cut", Reasoning("hm"), call)
    assert reply.pieces == (Reasoning("hm"), call)
