"""Keys: where they come from, and that nobody ever sees them."""

from __future__ import annotations

import asyncio
import logging
import pickle
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import rxchat
from formats import WIRES, Wire
from rxchat import operators as ops
from rxchat import providers
from rxchat.errors import (
    AllFailed,
    CallbackFailed,
    ChatError,
    Deadline,
    MissingKey,
    UsageError,
)
from rxchat.provider import Provider
from rxchat.request import Request
from rxchat.signing import header_key
from rxchat.stream import Stream
from rxchat.testing import Failure, LocalServer, Reply
from rxchat.testing.voices import ANYTHING

KEY = "sk-live-0a1b2c3d4e5f6a7b8c9d"
KEYED = {name: wire for name, wire in WIRES.items() if wire.provider.auth}
keyed = pytest.mark.parametrize("wire", KEYED.values(), ids=KEYED)


def variables(wire: Wire) -> tuple[str, ...]:
    return wire.provider.auth.variables


@pytest.fixture
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for wire in KEYED.values():
        for variable in variables(wire):
            monkeypatch.delenv(variable, raising=False)


# Where they come from ----------------------------------------------------------------------------


@keyed
@pytest.mark.usefixtures("nothing_set")
async def test_a_key_comes_from_the_argument_or_else_from_its_variable(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with LocalServer(Reply("Hello")) as server:
        there = wire.provider.but(base_url=server.url + wire.prefix)
        monkeypatch.setenv(variables(wire)[0], KEY)
        await there("Hi")
        await there("Hi", key="sk-given-111111")
        await there.but(key=lambda: "sk-of-the-moment")("Hi")
        sent = ["".join(exchange.headers.values()) for exchange in server.exchanges]
    assert [KEY in it for it in sent] == [True, False, False]
    assert "sk-given-111111" in sent[1]
    assert "sk-of-the-moment" in sent[2]


@keyed
@pytest.mark.usefixtures("nothing_set")
async def test_a_missing_key_is_told_before_anything_is_sent(wire: Wire) -> None:
    auth = wire.provider.auth
    async with LocalServer(Reply("Hello")) as server:
        there = wire.provider.but(base_url=server.url + wire.prefix)
        there.request("Hi")  # which needs none
        if auth is None or auth.missing is None:
            await there("Hi")
            return
        with pytest.raises(MissingKey, match="python -m rxchat demo") as caught:
            there("Hi")
        assert variables(wire)[0] in str(caught.value)
        assert not server.exchanges


@pytest.mark.usefixtures("nothing_set")
async def test_a_function_is_asked_for_a_key_at_every_attempt() -> None:
    keys = iter(["sk-first-attempt", "sk-second-attempt"])
    async with LocalServer(Reply("Hello")) as server:
        server.plan(Reply.status(503))
        there = providers.openai.but(base_url=server.url, key=lambda: next(keys))
        await there("Hi").pipe(ops.retry(2, backoff=ops.exponential(0.001)))
        sent = [exchange.headers["authorization"] for exchange in server.exchanges]
    assert sent == ["Bearer sk-first-attempt", "Bearer sk-second-attempt"]


@pytest.mark.usefixtures("nothing_set")
async def test_a_function_that_fails_is_no_failure_of_the_service() -> None:
    asked: list[int] = []

    def token() -> str:
        asked.append(1)
        raise OSError("the token's file is missing")

    stream = providers.openai.but(base_url="http://127.0.0.1:9", key=token)("Hi")
    with pytest.raises(CallbackFailed, match="the token's file is missing"):
        await stream.pipe(ops.retry(3))
    assert asked == [1]


async def test_an_async_function_is_refused() -> None:
    async def token() -> str:
        return KEY

    stream = providers.openai.but(base_url="http://127.0.0.1:9", key=token)("Hi")
    with pytest.raises(UsageError, match="let it be a plain one"):
        await stream


@pytest.mark.usefixtures("nothing_set")
def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERPLEXITY_API_KEY", "")
    with pytest.raises(MissingKey):
        providers.perplexity("Hi")
    monkeypatch.setenv("PPLX_API_KEY", KEY)
    assert providers.perplexity.request("Hi").headers["Authorization"] == f"Bearer {KEY}"


async def test_a_header_of_ones_own_stands_for_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    async with LocalServer(Reply("Hello")) as server:
        mine = providers.openai.but(base_url=server.url, headers={"Authorization": "Basic mine"})
        await mine("Hi")
        assert server.exchanges[0].headers["authorization"] == "Basic mine"


@pytest.mark.usefixtures("nothing_set")
def test_another_header_with_a_secret_in_its_name_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    through = providers.openai.but(headers={"Idempotency-Key": "1", "cf-aig-authorization": "2"})
    assert through.request("Hi").headers["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (3, "key must be text"),
        ("", "key is empty"),
        (" \n", "key is empty"),
        (f"{KEY}\r\nX-Evil: 1", "line breaks"),
        (f"{KEY}é", "non-ASCII"),
        (lambda: None, "key must be text"),
        (lambda: "", "key is empty"),
    ],
)
async def test_a_key_that_cannot_be_sent_is_refused_without_showing_it(key: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        await providers.openai.but(base_url="http://127.0.0.1:9", key=key)("Hi")
    assert KEY not in shown(caught.value)


def test_spaces_around_a_key_are_no_part_of_it() -> None:
    request = providers.openai.but(key=f" {KEY}\n").request("Hi")
    assert request.headers["Authorization"] == f"Bearer {KEY}"


def test_a_service_without_keys_takes_none() -> None:
    with pytest.raises(UsageError, match="there is no option 'key'"):
        providers.flowgpt.but(key=KEY)


# That nobody ever sees them ----------------------------------------------------------------------


def shown(error: BaseException) -> str:
    """Everything that an error may ever show, its causes and notes included."""
    inner = error.exceptions if isinstance(error, AllFailed) else ()
    said = [repr(error), str(error), repr(vars(error)), pickle.dumps(error).decode("latin-1")]
    return "\n".join([*said, *traceback.format_exception(error), *map(shown, inner)])


def there(wire: Wire, url: str) -> Provider:
    return wire.provider.but(base_url=url + wire.prefix, key=KEY)


async def connection_refused(wire: Wire, server: LocalServer) -> Any:
    await there(wire, "http://127.0.0.1:9")("Hi")


def served(*replies: Reply) -> Callable[[Wire, LocalServer], Awaitable[Any]]:
    async def failure(wire: Wire, server: LocalServer) -> Any:
        server.plan(*replies)
        await there(wire, server.url)("Hi")

    return failure


async def too_slow(wire: Wire, server: LocalServer) -> Any:
    server.plan(Reply("Hel", then="stall"))
    with pytest.raises(Deadline):
        await there(wire, server.url)("Hi", timeout=0.05)
    raise Deadline("as it should be")


async def all_failed(wire: Wire, server: LocalServer) -> Any:
    server.plan(Reply.status(401, f"{KEY} is wrong"), Reply.status(401, f"{KEY} is wrong"))
    await rxchat.race(there(wire, server.url)("Hi"), there(wire, server.url)("Hi"))


async def a_wrong_option(wire: Wire, server: LocalServer) -> Any:
    there(wire, server.url)("Hi", colour="red")


async def a_wrong_prompt(wire: Wire, server: LocalServer) -> Any:
    there(wire, server.url)(3)


async def a_bug_downstream(wire: Wire, server: LocalServer) -> Any:
    def bug(event: object) -> object:
        raise KeyError("bug")

    server.plan(Reply("Hello"))
    await there(wire, server.url)("Hi").pipe(ops.map(bug))


FAILURES: dict[str, Callable[[Wire, LocalServer], Awaitable[Any]]] = {
    "connection refused": connection_refused,
    "too slow": too_slow,
    "all failed": all_failed,
    "a wrong option": a_wrong_option,
    "a wrong prompt": a_wrong_prompt,
    "a bug downstream": a_bug_downstream,
    "a status that repeats it": served(Reply.status(401, f"Incorrect API key provided: {KEY}")),
    "a text that repeats it": served(Reply.status(500, body=f"no {KEY}".encode())),
    "a page that repeats it": served(
        Reply(body=f"<title>{KEY}</title>".encode(), content_type="text/html")
    ),
    "a code that repeats it": served(
        Reply.status(400, json={"error": {"message": "no", "code": f"wrong {KEY}"}})
    ),
    "a redirect that repeats it": served(Reply.redirect(f"http://127.0.0.1:9/{KEY}?key={KEY}")),
    "a failure inside the answer that repeats it": served(Reply("Hel", Failure(f"no {KEY}"))),
    "garbage that repeats it": served(Reply(body=f"data: {{{KEY}\n\n{KEY}\n".encode() * 2)),
    "a cut answer": served(Reply("Hello", then="cut")),
    "a reset connection": served(Reply("Hello", then="reset")),
}


@keyed
@pytest.mark.parametrize("failure", FAILURES)
async def test_no_failure_shows_the_key(
    wire: Wire, failure: str, caplog: pytest.LogCaptureFixture, reports: list[dict[str, Any]]
) -> None:
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    async with LocalServer(Reply("Hello")) as server:
        with pytest.raises(Exception) as caught:  # noqa: PT011  # of each kind
            await FAILURES[failure](wire, server)
    assert isinstance(caught.value, ChatError | KeyError)
    assert KEY not in shown(caught.value)
    assert KEY not in caplog.text
    assert KEY not in repr(reports)


@keyed
def test_no_value_shows_the_key(wire: Wire) -> None:
    asked = there(wire, "http://127.0.0.1:9")
    request = asked.request("Hi")
    assert KEY in "".join(request.headers.values())
    for value in (asked, request, request.headers, asked.auth, asked.key, asked("Hi")):
        for text in (repr(value), f"{value}" if not isinstance(value, str) else "", f"{value!r}"):
            assert KEY not in text


async def test_a_key_in_a_header_of_any_name_is_hidden() -> None:
    async with LocalServer(Reply.status(401, f"{KEY} is wrong"), voices=[ANYTHING]) as server:
        request = providers.openai.but(base_url=server.url, headers={"X": "y"}).request("Hi")
        with pytest.raises(ChatError) as caught:
            await rxchat.of(request).pipe(ops.sign(header_key("X-Custom", KEY)), ops.send())
    assert KEY not in shown(caught.value)


@pytest.mark.parametrize("length", range(980, 1005))
async def test_no_part_of_a_key_is_shown_where_a_message_is_cut(length: int) -> None:
    long_no = "x" * length + KEY
    async with LocalServer(Reply.status(401, long_no), voices=[ANYTHING]) as server:
        with pytest.raises(ChatError) as caught:
            await providers.openai.but(base_url=server.url, key=KEY)("Hi")
    assert KEY[:12] not in shown(caught.value)


async def test_a_very_short_key_leaves_messages_readable() -> None:
    async with LocalServer(Reply.status(401, "a bad key")) as server:
        with pytest.raises(ChatError, match="a bad key"):
            await providers.openai.but(base_url=server.url, key="a")("Hi")


async def test_the_steps_of_a_pipeline_do_not_show_it_either(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    wire = WIRES["openai_chat"]
    async with LocalServer(Reply.status(401, f"wrong key {KEY}"), voices=[ANYTHING]) as server:
        request = there(wire, server.url).request("Hi")
        steps: Stream[bytes] = rxchat.of(request).pipe(ops.send())
        with pytest.raises(ChatError) as caught:
            await steps
    assert isinstance(request, Request)
    assert KEY not in shown(caught.value) + caplog.text


def test_a_key_is_not_shown_where_it_stands_a_second_time() -> None:
    asked = providers.openai.but(key=KEY, headers={"X-Custom": f"again {KEY}", "X-Team": "blue"})
    shown = repr(asked.request("Hi"))
    assert KEY not in shown
    assert "'X-Custom': 'again ***'" in shown
    assert "blue" in shown
