"""From socket to words: real requests to a real server on this machine."""

from __future__ import annotations

import asyncio
import datetime
import gc
import logging
import ssl
import threading
import warnings
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.json import decode, encode

import rxchat
from rxchat import Stream
from rxchat import operators as ops
from rxchat.errors import (
    AllFailed,
    BadRequest,
    Blocked,
    ChatError,
    ConnectFailed,
    ConnectionLost,
    Deadline,
    EmptyAnswer,
    FrameTooLarge,
    Garbled,
    NotAnAnswer,
    NotFound,
    QuotaExhausted,
    RateLimited,
    Redirected,
    ServerError,
    ServiceError,
    Truncated,
    Unauthorized,
    UsageError,
)
from rxchat.events import Event, Finish, Other, Text
from rxchat.framing import NDJSON, SSE, Frame, Utf8Text
from rxchat.provider import Ask, Format, Provider
from rxchat.providers import acytoo, chatanywhere, cromicle, flowgpt
from rxchat.request import EVENT_STREAM, Request, Route, Timeout
from rxchat.signing import md5_signature, sha256_hash
from rxchat.testing import HOLD, LocalServer, Reply, Voice, mocked
from rxchat.transport import pool, sending

FOUR = [cromicle, acytoo, flowgpt, chatanywhere]
WORDS = ["Hel", "lo ", "Привет", " 🌍"]


@pytest.fixture
async def server() -> AsyncGenerator[LocalServer]:
    async with LocalServer(Reply(*WORDS)) as server:
        yield server


def by_name(provider: Provider) -> str:
    return provider.name


async def words(stream: Stream[Event]) -> str:
    return "".join([chunk async for chunk in stream.pipe(ops.text())])


async def failure_of(stream: Stream[Any]) -> ChatError:
    with pytest.raises(ChatError) as caught:
        async for _ in stream:
            pass
    return caught.value


# The good day -----------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", FOUR, ids=by_name)
@pytest.mark.parametrize("cuts", [None, 1, 3])
async def test_an_answer_arrives_whole_wherever_it_is_cut(
    provider: Provider, cuts: int | None, server: LocalServer
) -> None:
    server.reply = Reply(*WORDS, cuts=cuts)
    events = [event async for event in provider.but(base_url=server.url)("Hi")]
    assert "".join(event.text for event in events if isinstance(event, Text)) == "".join(WORDS)
    assert events[-1] == Finish("stop")
    assert events.count(Finish("stop")) == 1


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("provider", FOUR, ids=by_name)
async def test_a_compressed_answer_streams_as_well(
    provider: Provider, encoding: Any, server: LocalServer
) -> None:
    server.reply = Reply("first", HOLD, " last", encoding=encoding)
    async with provider.but(base_url=server.url)("Hi").pipe(ops.text()).open() as chunks:
        assert await anext(chunks) == "first"
        server.exchanges[0].release()
        assert await anext(chunks) == " last"


@pytest.mark.parametrize("provider", FOUR, ids=by_name)
async def test_the_first_word_is_there_before_the_last_is_sent(
    provider: Provider, server: LocalServer
) -> None:
    server.reply = Reply("first", HOLD, "last")
    async with provider.but(base_url=server.url)("Hi").pipe(ops.text()).open() as chunks:
        assert await anext(chunks) == "first"
        exchange = server.exchanges[0]
        assert not exchange.ended.done()
        exchange.release()
        assert await anext(chunks) == "last"
        assert await exchange.ended == "complete"


async def test_flowgpts_other_events_pass_through(server: LocalServer) -> None:
    server.reply = Reply(Other("title", "A chat"), "Hi", Other("usage", {"tokens": 3}))
    events = [event async for event in flowgpt.but(base_url=server.url)("Hi")]
    assert events == [Other("title", "A chat"), Text("Hi"), Other("usage", {"tokens": 3}), Finish()]


async def test_one_subscription_is_one_request(server: LocalServer) -> None:
    stream = acytoo.but(base_url=server.url)("Hi")
    assert server.exchanges == []
    await stream
    await stream
    assert len(server.exchanges) == 2


async def test_a_connection_is_used_again(server: LocalServer) -> None:
    provider = flowgpt.but(base_url=server.url)
    for _ in range(3):
        await provider("Hi")
    assert server.accepted == 1


async def test_every_attempt_is_signed_anew(server: LocalServer) -> None:
    server.plan(Reply.status(503), Reply.status(503), Reply("ok"))
    stream = flowgpt.but(base_url=server.url)("Hi")
    assert await words(stream.pipe(ops.retry(3, backoff=lambda n: 0))) == "ok"
    nonces = {exchange.headers["x-nonce"] for exchange in server.exchanges}
    assert len(nonces) == 3


async def test_every_attempt_has_a_decoder_of_its_own(server: LocalServer) -> None:
    server.plan(Reply("🌍", after=2, then="cut"), Reply("ok"))
    stream = cromicle.but(base_url=server.url)("Hi")
    assert await words(stream.pipe(ops.retry(2, backoff=lambda n: 0))) == "ok"


# A stream taken apart ---------------------------------------------------------------------------

TAKEN_APART: list[tuple[Provider, Any]] = [
    (cromicle, sha256_hash()),
    (flowgpt, md5_signature()),
]


@pytest.mark.parametrize(("provider", "signature"), TAKEN_APART, ids=["cromicle", "flowgpt"])
async def test_a_providers_stream_is_its_steps_in_a_row(
    provider: Provider, signature: Any, server: LocalServer
) -> None:
    moved = provider.but(base_url=server.url)
    form = provider.format
    apart = rxchat.of(moved.request("Hi")).pipe(
        ops.sign(signature), ops.send(), ops.decode(form.decoder), ops.events(form.mapping)
    )
    assert [event async for event in apart] == [event async for event in moved("Hi")]


async def test_each_step_works_alone(server: LocalServer) -> None:
    request = flowgpt.but(base_url=server.url).request("Hi")
    body = b"".join([chunk async for chunk in rxchat.of(request).pipe(ops.send())])
    assert body.count(b"\n\n") == len(WORDS)
    frames = [frame async for frame in rxchat.of(body[:9], body[9:]).pipe(ops.decode(NDJSON))]
    assert frames == [{"event": "text", "data": word} for word in WORDS]
    mapping = cromicle.format.mapping
    events = [event async for event in rxchat.of("a", "b").pipe(ops.events(mapping))]
    assert events == [Text("a"), Text("b"), Finish()]
    signed = await rxchat.of(cromicle.request("Hi")).pipe(ops.sign(sha256_hash("t")))
    assert signed.json["token"] == "t"


async def test_send_refuses_a_second_request(server: LocalServer) -> None:
    request = acytoo.but(base_url=server.url).request("Hi")
    error = await failure_of(rxchat.of(request, request).pipe(ops.send()))
    assert isinstance(error, UsageError)
    assert "flat_map" in str(error)


async def test_sending_alone_knows_the_facts_of_its_errors(server: LocalServer) -> None:
    server.reply = Reply.status(500, "no", headers={"x-request-id": "r-1"})
    request = acytoo.but(base_url=server.url).request("Hi")
    error = await failure_of(rxchat.of(request).pipe(ops.send()))
    assert isinstance(error, ServerError)
    assert (error.provider, error.status, error.request_id) == ("acytoo", 500, "r-1")


@pytest.mark.parametrize(
    ("decoder", "pieces", "kind", "before"),
    [
        (lambda: SSE(limit=16), [b"data: a\n\ndata: " + b"x" * 17], FrameTooLarge, ["a"]),
        (lambda: SSE(limit=16), [b"data: a\n\n", b"data: " + b"x" * 17], FrameTooLarge, ["a"]),
        (lambda: NDJSON(limit=16), [b'"a"\n"', b"x" * 17], FrameTooLarge, ["a"]),
        (lambda: NDJSON(), [b'"a"\n"b'], Truncated, ["a"]),
        (lambda: NDJSON(), [b'"a"\n!\n'], Garbled, ["a"]),
        (lambda: Utf8Text("strict"), [b"a\xff"], Garbled, ["a"]),
    ],
)
async def test_what_a_decoder_refuses_is_an_error_after_what_came_before(
    decoder: Any, pieces: list[bytes], kind: type[ChatError], before: list[str]
) -> None:
    seen: list[Any] = []
    with pytest.raises(ChatError) as caught:
        async for frame in rxchat.of(*pieces).pipe(ops.decode(decoder)):
            seen.append(frame.data if isinstance(frame, Frame) else frame)
    assert (type(caught.value), seen) == (kind, before)


class FinishAndFail:
    """A mapping that knows the end, and stumbles over what follows it."""

    def feed(self, frames: Any) -> Any:
        for frame in frames:
            if frame.data == "bad":
                raise ValueError("what follows the end")
            yield Finish()

    def close(self) -> Any:
        return ()


@pytest.mark.parametrize("rest", [b"data: bad\n\n", b"\xff", b""])
async def test_what_cannot_be_read_after_the_end_is_not_the_answer(rest: bytes) -> None:
    body = rxchat.of(b"data: end\n\n" + rest)
    assert await body.pipe(ops.answer(SSE, FinishAndFail), ops.to_list()) == [Finish()]


async def test_text_is_of_one_answer_when_there_are_several() -> None:
    said: Stream[Event] = rxchat.of(Text("a"), Text("b", 1), Text("c"), Finish())
    assert await said.pipe(ops.text(), ops.to_list()) == ["a", "c"]
    assert await said.pipe(ops.text(1), ops.to_list()) == ["b"]


async def test_sending_nothing_gives_nothing() -> None:
    nothing: Stream[Request] = rxchat.of()
    assert [chunk async for chunk in nothing.pipe(ops.send())] == []


# What goes wrong: each a typed error, and nothing else -------------------------------------------

STATUSES: list[tuple[Reply, type[ChatError], str]] = [
    (Reply.status(400, "no"), BadRequest, "no"),
    (Reply.status(401, "no"), Unauthorized, "no"),
    (Reply.status(402, "no"), QuotaExhausted, "no"),
    (Reply.status(403, "no"), Unauthorized, "no"),
    (Reply.status(404, "no"), NotFound, "no"),
    (Reply.status(418, "no"), BadRequest, "no"),
    (Reply.status(429, "no"), RateLimited, "no"),
    (Reply.status(500, "no"), ServerError, "no"),
    (Reply.status(503, json={"detail": "busy"}), ServiceError, "busy"),
    (Reply.status(500, body=b""), ServerError, "status 500"),
    (Reply.html(403), Blocked, "Just a moment"),
    (Reply.html(502), ServiceError, "a web page"),
    (Reply.html(200), ChatError, "Just a moment"),
    (Reply(body=b"<html><body>Hi", content_type="text/html"), NotAnAnswer, "<html>"),
    (Reply.empty(), EmptyAnswer, "empty"),
    (Reply(body=b'{"error": "no"}', content_type="application/json"), ServerError, "no"),
]


@pytest.mark.parametrize("provider", FOUR, ids=by_name)
@pytest.mark.parametrize(("reply", "kind", "text"), STATUSES)
async def test_a_reply_that_is_no_answer_is_a_typed_error(
    reply: Reply, kind: type[ChatError], text: str, provider: Provider, server: LocalServer
) -> None:
    server.reply = reply
    error = await failure_of(provider.but(base_url=server.url)("Hi"))
    assert isinstance(error, kind)
    assert text in str(error)
    assert (error.provider, error.status) == (provider.name, reply.status_code)
    assert not error.content_emitted


@pytest.mark.parametrize("provider", FOUR, ids=by_name)
@pytest.mark.parametrize("end", ["cut", "reset"])
async def test_an_answer_that_breaks_off_is_truncated_after_what_was_heard(
    end: Any, provider: Provider, server: LocalServer
) -> None:
    server.reply = Reply("Hi", HOLD, then=end)
    heard = []
    with pytest.raises(Truncated) as caught:
        async for chunk in provider.but(base_url=server.url)("Hi").pipe(ops.text()):
            heard.append(chunk)
            server.exchanges[0].release()
    assert heard == ["Hi"]
    assert caught.value.content_emitted
    assert "part of the answer had been emitted" in str(caught.value)


async def test_each_request_of_a_race_keeps_its_own_facts(server: LocalServer) -> None:
    server.reply = Reply.status(500, "no")
    runners = [provider.but(base_url=server.url)("Hi") for provider in (flowgpt, acytoo)]
    error = await failure_of(rxchat.race(*runners))
    assert isinstance(error, AllFailed)
    assert [e.provider for e in error.exceptions] == ["flowgpt", "acytoo"]


async def test_whether_content_was_emitted_is_a_fact_of_each_attempt(server: LocalServer) -> None:
    broken = Reply(body=b'{"event": "text", "data": "Hi"}\n{"ev', content_type="x/y")
    server.plan(broken, Reply.status(500), broken)
    stream = flowgpt.but(base_url=server.url)("Hi")
    for status, emitted in ((200, True), (500, False), (200, True)):
        error = await failure_of(stream)
        assert (error.status, error.content_emitted) == (status, emitted)


async def test_two_requests_of_one_subscription_have_facts_of_their_own(
    server: LocalServer,
) -> None:
    server.plan(Reply("Hi", headers={"x-request-id": "r-1"}), Reply.status(500))
    first, second = (provider.but(base_url=server.url)("Hi") for provider in (flowgpt, acytoo))
    error = await failure_of(rxchat.concat(first, second))
    assert (error.provider, error.status, error.request_id) == ("acytoo", 500, None)
    assert not error.content_emitted


async def test_an_answer_shorter_than_announced_is_truncated(server: LocalServer) -> None:
    server.reply = Reply("Hello", after=2, then="cut", framing="length")
    assert isinstance(await failure_of(cromicle.but(base_url=server.url)("Hi")), Truncated)


async def test_a_line_cut_by_a_clean_end_is_truncated(server: LocalServer) -> None:
    server.reply = Reply("Hello", "world", after=50)
    error = await failure_of(flowgpt.but(base_url=server.url)("Hi"))
    assert isinstance(error, Truncated)


async def test_what_came_before_garbage_is_heard(server: LocalServer) -> None:
    server.reply = Reply(body=b'{"event": "text", "data": "Hi"}\n<oops>\n', content_type="x/y")
    events = []
    with pytest.raises(Garbled, match="oops"):
        async for event in flowgpt.but(base_url=server.url)("Hi"):
            events.append(event)
    assert events == [Text("Hi")]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ({"event": "text", "data": "Insufficient credit"}, QuotaExhausted),
        ({"error": {"message": "slow", "type": "rate_limit_error"}}, RateLimited),
        ({"error": "no", "event": None}, ServerError),
    ],
)
async def test_an_error_inside_the_stream_is_an_error(
    line: Any, kind: type[ChatError], server: LocalServer
) -> None:
    server.reply = Reply(body=encode(line) + b"\n\n", content_type="application/x-ndjson")
    error = await failure_of(flowgpt.but(base_url=server.url)("Hi"))
    assert isinstance(error, kind)
    assert error.status == 200


ODD_LINES = [b'{"data": "x"}', b'{"event": "text"}', b'{"event": "text", "data": 5}', b"{}", b" "]


@pytest.mark.parametrize("line", ODD_LINES)
async def test_an_odd_line_does_not_end_the_answer(line: bytes, server: LocalServer) -> None:
    body = line + b'\n\n{"event": "text", "data": "Hi"}\n\n'
    server.reply = Reply(body=body, content_type="application/x-ndjson")
    assert await words(flowgpt.but(base_url=server.url)("Hi")) == "Hi"


async def test_a_wrong_signature_is_refused_by_the_server(server: LocalServer) -> None:
    request = flowgpt.but(base_url=server.url).request("Hi").but(headers={"x-signature": "0" * 32})
    error = await failure_of(rxchat.of(request).pipe(ops.send()))
    assert isinstance(error, Unauthorized)


async def test_text_that_a_sloppy_server_calls_a_web_page_is_text(server: LocalServer) -> None:
    server.reply = Reply("\n Hello", content_type="text/html")
    assert await words(cromicle.but(base_url=server.url)("Hi")) == "\n Hello"


async def test_json_that_is_no_error_is_text(server: LocalServer) -> None:
    server.reply = Reply('{"a": 1}', content_type="application/json")
    assert await words(cromicle.but(base_url=server.url)("Hi")) == '{"a": 1}'


async def test_a_redirect_is_not_followed_and_names_its_target(server: LocalServer) -> None:
    server.reply = Reply.redirect("http://127.0.0.1:1/elsewhere?secret=1")
    error = await failure_of(acytoo.but(base_url=server.url)("Hi"))
    assert isinstance(error, Redirected)
    assert "http://127.0.0.1:1/elsewhere?***;" in str(error)
    assert "secret" not in str(error)
    assert len(server.exchanges) == 1


async def test_the_body_of_an_error_is_read_only_so_far(server: LocalServer) -> None:
    server.reply = Reply(status_code=500, body=b"x" * 65536, repeat=10_000)
    error = await failure_of(acytoo.but(base_url=server.url)("Hi"))
    assert len(str(error)) < 400
    assert await server.exchanges[0].ended == "hung up"


async def test_the_body_of_an_error_is_waited_for_only_so_long(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sending.ERROR_TIME <= 10
    monkeypatch.setattr(sending, "ERROR_TIME", 0.02)
    server.reply = Reply(status_code=500, body=b"busy", then="stall")
    async with asyncio.timeout(5):
        error = await failure_of(acytoo.but(base_url=server.url)("Hi"))
        assert isinstance(error, ServerError)
        assert "busy" in str(error)
        assert await server.exchanges[0].ended == "hung up"


async def test_headers_without_end_are_an_error(server: LocalServer) -> None:
    server.reply = Reply("Hi", headers={"x-long": "x" * 100_000})
    error = await failure_of(acytoo.but(base_url=server.url)("Hi"))
    assert isinstance(error, Garbled)


async def test_a_body_that_is_not_compressed_as_it_says_is_garbled(server: LocalServer) -> None:
    server.reply = Reply(body=b"plain text", headers={"Content-Encoding": "gzip"})
    error = await failure_of(cromicle.but(base_url=server.url)("Hi"))
    assert isinstance(error, Garbled)


async def test_a_charset_is_not_believed(server: LocalServer) -> None:
    server.reply = Reply("Привет", content_type="text/plain; charset=latin1")
    assert await words(cromicle.but(base_url=server.url)("Hi")) == "Привет"


# How long to wait -------------------------------------------------------------------------------

WAITS: list[tuple[dict[str, str], Any, float | None]] = [
    ({"Retry-After": "7"}, None, 7),
    ({"Retry-After": "1.5"}, None, 1.5),
    ({"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}, None, 0),
    ({"Retry-After": "Fri, 31 Dec 1999 23:59:59"}, None, 0),
    ({"Retry-After": "soon"}, None, None),
    ({"Retry-After": "-1"}, None, None),
    ({"retry-after-ms": "250", "Retry-After": "7"}, None, 0.25),
    ({"retry-after-ms": "0", "Retry-After": "7"}, None, 7),
    ({}, {"error": {"message": "x", "details": [{"retryDelay": "48s"}]}}, 48),
    ({}, {"error": {"message": "x", "details": [{"reason": "y"}, None]}}, None),
    ({}, None, None),
]


@pytest.mark.parametrize(("headers", "body", "seconds"), WAITS)
async def test_retry_after_is_understood_in_all_its_forms(
    headers: dict[str, str], body: Any, seconds: float | None, server: LocalServer
) -> None:
    server.reply = Reply.status(429, "slow", headers=headers, json=body)
    error = await failure_of(acytoo.but(base_url=server.url)("Hi"))
    assert isinstance(error, RateLimited)
    assert error.retry_after == (seconds)


async def test_a_date_to_wait_for_is_understood(server: LocalServer) -> None:
    date = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    headers = {"Retry-After": format_datetime(date, usegmt=True)}
    server.reply = Reply.status(429, "slow", headers=headers)
    error = await failure_of(acytoo.but(base_url=server.url)("Hi"))
    assert error.retry_after == pytest.approx(3600, abs=60)


async def test_the_request_id_is_a_fact_of_the_error(server: LocalServer) -> None:
    server.reply = Reply.status(500, headers={"x-request-id": "r-1"})
    error = await failure_of(acytoo.but(base_url=server.url)("Hi"))
    assert error.request_id == "r-1"
    assert "request id r-1" in str(error)


@pytest.mark.parametrize(("said", "retryable"), [("true", True), ("false", False)])
async def test_the_service_may_say_whether_to_retry(
    said: str, retryable: bool, server: LocalServer
) -> None:
    server.reply = Reply.status(500 if said == "false" else 400, headers={"x-should-retry": said})
    assert (await failure_of(acytoo.but(base_url=server.url)("Hi"))).retryable is retryable


# Time -------------------------------------------------------------------------------------------


async def test_a_silent_server_runs_into_the_deadline(server: LocalServer) -> None:
    server.reply = Reply("Hi", then="stall")
    provider = acytoo.but(base_url=server.url, timeout=Timeout(silence=0.05))
    error = await failure_of(provider("Hi"))
    assert isinstance(error, Deadline)
    assert isinstance(error, TimeoutError)
    assert (error.phase, error.content_emitted) == ("silence", True)
    assert await server.exchanges[0].ended == "hung up"


async def test_slow_headers_run_into_the_deadline_too(server: LocalServer) -> None:
    server.reply = Reply("Hi", headers_after=HOLD)
    error = await failure_of(acytoo.but(base_url=server.url, timeout=0.05)("Hi"))
    assert isinstance(error, Deadline)
    assert "0.05 s" in str(error)


async def test_a_connection_that_is_never_made_runs_into_the_connect_deadline() -> None:
    import socket

    with socket.socket() as full:  # nobody accepts, and the queue holds one
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(3)]
        for other in waiting:
            other.setblocking(False)
            other.connect_ex(address)
        provider = acytoo.but(base_url=f"http://127.0.0.1:{address[1]}", timeout=0.1)
        error = await failure_of(provider("Hi"))
        for other in waiting:
            other.close()
    assert isinstance(error, Deadline)
    assert error.phase == "connect"


@pytest.mark.parametrize("rest", ["sent", "unsent"])
async def test_a_slow_reader_is_not_a_silent_server(rest: str, server: LocalServer) -> None:
    server.reply = Reply("a", HOLD, "b", HOLD, "c")
    provider = acytoo.but(base_url=server.url, timeout=Timeout(silence=0.1))
    async with provider("Hi").pipe(ops.text()).open(high=1) as chunks:
        assert await anext(chunks) == "a"
        exchange = server.exchanges[0]
        exchange.release()
        if rest == "sent":
            exchange.release()
            assert await exchange.ended == "complete"
        await asyncio.sleep(0.25)  # what was read waits, and so the socket is not read
        if rest == "unsent":
            exchange.release()
        assert "".join([chunk async for chunk in chunks]) == "bc"


async def test_no_deadline_is_set_on_the_whole(server: LocalServer) -> None:
    server.reply = Reply(*"abcdefgh", pace=0.1)
    assert await words(acytoo.but(base_url=server.url, timeout=0.5)("Hi")) == "abcdefgh"


# The way there ----------------------------------------------------------------------------------


async def test_nobody_listens_is_a_connect_error(unused_port: int) -> None:
    error = await failure_of(acytoo.but(base_url=f"http://127.0.0.1:{unused_port}")("Hi"))
    assert isinstance(error, ConnectFailed)
    assert f"cannot connect to 127.0.0.1:{unused_port}" in str(error)
    assert error.retryable


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("host", ["a..b", f"{'x' * 70}.invalid", "127.0.0.1:99999"])
async def test_an_address_that_cannot_be_one_is_a_usage_error_when_it_is_asked(host: str) -> None:
    error = await failure_of(acytoo.but(base_url=f"http://{host}")("Hi").pipe(ops.retry(3)))
    assert isinstance(error, UsageError)
    assert not error.retryable
    assert "see base_url" in str(error)
    assert error.provider == "acytoo"


@pytest.mark.parametrize(
    "address", ["http://me:s3cret@{}/", "http://{}/?key=s3cret", "http://me:s3cret@{}/?key=s3cret"]
)
async def test_what_is_secret_in_a_requests_address_is_never_shown(
    address: str, unused_port: int
) -> None:
    replies = [
        Reply.status(500, "no"),
        Reply.html(403),
        Reply(body=b"<html>", content_type="text/html"),
        Reply.redirect("http://127.0.0.1:1/elsewhere"),
        Reply("Hi", then="cut"),
        Reply("Hi", then="stall"),
        Reply("Hi", headers_after=HOLD),
        Reply(body=b"plain", headers={"Content-Encoding": "gzip"}),
    ]
    async with LocalServer(voices=[Voice("root", "/")]) as server:
        server.plan(*replies)
        here, nobody = f"127.0.0.1:{server.port}", f"127.0.0.1:{unused_port}"
        for host in (*[here] * len(replies), nobody, "a..b"):
            request = Request.post(address.format(host), {}, route=Route(timeout=Timeout(1, 0.05)))
            stream = rxchat.of(request).pipe(ops.send())
            error = await failure_of(stream)
            assert (error.__cause__, error.__context__) == (None, None)
            for shown in (request, stream, error):
                assert "s3cret" not in repr(shown) + str(shown)
        assert len(server.exchanges) == len(replies)


async def test_a_name_that_is_nowhere_is_a_connect_error() -> None:
    error = await failure_of(acytoo.but(base_url="http://nowhere.invalid")("Hi"))
    assert isinstance(error, ConnectFailed)


async def test_a_server_that_hangs_up_before_it_answers_is_a_lost_connection(
    server: LocalServer,
) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as rude:
        port = rude.sockets[0].getsockname()[1]
        error = await failure_of(acytoo.but(base_url=f"http://127.0.0.1:{port}")("Hi"))
    assert isinstance(error, ConnectionLost)
    assert "before it answered" in str(error)


async def test_a_server_that_speaks_no_http_is_garbled() -> None:
    async def mumble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"220 mail ready\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(mumble, "127.0.0.1", 0) as rude:
        port = rude.sockets[0].getsockname()[1]
        error = await failure_of(acytoo.but(base_url=f"http://127.0.0.1:{port}")("Hi"))
    assert isinstance(error, Garbled)


async def test_a_proxy_is_used_with_its_credentials(server: LocalServer) -> None:
    proxy = server.url.replace("http://", "http://me:s3cret@")
    provider = acytoo.but(base_url="http://chat.invalid", proxy=proxy)
    assert await words(provider("Hi")) == "".join(WORDS)
    exchange = server.exchanges[0]
    assert exchange.target == "http://chat.invalid/api/completions"
    assert exchange.headers["Proxy-Authorization"] == "Basic bWU6czNjcmV0"


async def test_a_proxy_is_taken_from_the_environment_only_if_asked(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "spared.invalid")
    plain = acytoo.but(base_url="http://chat.invalid")
    assert isinstance(await failure_of(plain("Hi")), ConnectFailed)
    assert await words(plain.but(proxy="env")("Hi")) == "".join(WORDS)
    spared = plain.but(proxy="env", base_url="http://spared.invalid")
    assert isinstance(await failure_of(spared("Hi")), ConnectFailed)


async def test_a_proxy_that_is_away_or_refuses_is_a_connect_error_without_its_password(
    server: LocalServer, unused_port: int
) -> None:
    server.reply = Reply.status(407)
    away = f"http://me:s3cret@127.0.0.1:{unused_port}"
    for proxy in (away, server.url.replace("//", "//me:s3cret@")):
        provider = acytoo.but(base_url="https://chat.invalid", proxy=proxy)
        error = await failure_of(provider("Hi"))
        assert isinstance(error, ConnectFailed)
        assert "proxy" in str(error)
        assert "s3cret" not in repr(error) + str(error)
        assert (error.__cause__, error.__context__) == (None, None)


async def test_tls_is_verified_and_a_context_may_be_handed_in(
    certificate: tuple[Path, Path],
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    async with LocalServer(Reply(*WORDS), ssl=context) as server:
        provider = acytoo.but(base_url=server.url)
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        error = await failure_of(provider("Hi"))
        assert isinstance(error, ConnectFailed)
        assert "trusted" in str(error)
        assert not error.retryable
        trusting = ssl.create_default_context(cafile=certificate[0])
        assert await words(provider.but(ssl=trusting)("Hi")) == "".join(WORDS)


async def test_only_codings_that_can_be_decoded_are_advertised(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for decodable in (False, True):
        monkeypatch.setattr("rxchat.transport.asking._brotli", lambda known=decodable: known)
        await flowgpt.but(base_url=server.url)("Hi")
        assert ("br" in server.exchanges[-1].headers["accept-encoding"]) is decodable


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("br, gzip", "gzip"),
        ("gzip,br;q=1", "gzip"),
        ("gzip;q=0.5, br;q=1.0, deflate", "gzip;q=0.5, deflate"),
        ("gzip", "gzip"),
    ],
)
@pytest.mark.parametrize("name", ["Accept-Encoding", "accept-encoding"])
async def test_brotli_is_left_out_wherever_it_stands(
    asked: str, sent: str, name: str, server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = acytoo.but(base_url=server.url, headers={name: asked})
    for decodable, expected in ((False, sent), (True, asked)):
        monkeypatch.setattr("rxchat.transport.asking._brotli", lambda known=decodable: known)
        await provider("Hi")
        assert server.exchanges[-1].headers["accept-encoding"] == expected


# Hanging up: the server sees it -----------------------------------------------------------------


async def dispose(stream: Stream[Any]) -> None:
    heard = asyncio.Event()
    subscription = stream.subscribe(lambda _: heard.set())
    await heard.wait()
    subscription.dispose()


async def leave_the_loop(stream: Stream[Any]) -> None:
    async for _ in stream:
        break


async def raise_in_the_loop(stream: Stream[Any]) -> None:
    with pytest.raises(KeyError):
        async for _ in stream:
            raise KeyError


async def take_two(stream: Stream[Any]) -> None:
    assert [item async for item in stream.pipe(ops.take(2))] == [Text("Hi"), Text("there")]


async def close_the_cursor(stream: Stream[Any]) -> None:
    async with stream.open() as items:
        await anext(items)


async def cancel_the_task(stream: Stream[Any]) -> None:
    heard = asyncio.Event()

    async def listen() -> None:
        async for _ in stream:
            heard.set()

    task = asyncio.create_task(listen())
    await heard.wait()
    task.cancel()
    await asyncio.wait([task])


async def raise_in_a_callback(stream: Stream[Any]) -> None:
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)

    def buggy(item: object) -> None:
        raise KeyError

    await stream.subscribe(buggy).wait_closed()


WAYS_TO_STOP = [
    dispose,
    leave_the_loop,
    raise_in_the_loop,
    take_two,
    close_the_cursor,
    cancel_the_task,
    raise_in_a_callback,
]


@pytest.mark.parametrize("stop", WAYS_TO_STOP)
@pytest.mark.parametrize("provider", [cromicle, flowgpt], ids=by_name)
async def test_every_way_to_stop_hangs_up(
    stop: Callable[[Stream[Any]], Any], provider: Provider, server: LocalServer
) -> None:
    server.reply = Reply("Hi", HOLD, "there", then="stall")
    stream = provider.but(base_url=server.url)("Hi")
    if stop is take_two:  # the others leave after the first
        stream = stream.pipe(ops.do_action(lambda _: server.exchanges[0].release()))
    async with asyncio.timeout(5):
        await stop(stream)
        (exchange,) = server.exchanges
        assert await exchange.ended == "hung up"
    assert rxchat.connections().streams == 0


async def test_a_hang_up_closes_the_socket_within_one_turn_of_the_loop(server: LocalServer) -> None:
    server.reply = Reply("Hi", then="stall")
    transports: list[Any] = []

    async def watched(session: aiohttp.ClientSession) -> None:
        heard = asyncio.Event()
        subscription = acytoo.but(base_url=server.url, session=session)("Hi").subscribe(
            lambda _: heard.set()
        )
        await heard.wait()
        (protocol,) = session.connector._acquired
        transports.append(protocol.transport)
        subscription.dispose()
        assert transports[0].is_closing()
        assert not session.connector._acquired
        await subscription.wait_closed()

    async with aiohttp.ClientSession() as session:
        await watched(session)


async def test_hanging_up_while_connecting_sends_nothing(server: LocalServer) -> None:
    subscription = acytoo.but(base_url=server.url)("Hi").subscribe()
    subscription.dispose()
    await subscription.wait_closed()
    later = acytoo.but(base_url=server.url)("Hi").subscribe()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    later.dispose()
    await later.wait_closed()
    assert server.exchanges == []


async def test_hanging_up_before_the_headers_is_seen_by_the_server(server: LocalServer) -> None:
    server.reply = Reply("Hi", headers_after=HOLD)
    subscription = acytoo.but(base_url=server.url)("Hi").subscribe()
    exchange = await server.next_exchange()
    subscription.dispose()
    assert await exchange.ended == "hung up"


async def test_the_losers_of_a_race_are_hung_up(server: LocalServer) -> None:
    server.plan(Reply("slow", headers_after=HOLD), Reply("quick"))
    slow, quick = (provider.but(base_url=server.url)("Hi") for provider in (flowgpt, acytoo))
    assert await words(rxchat.race(slow, quick)) == "quick"
    assert await server.exchanges[0].ended == "hung up"


def test_the_end_of_the_loop_hangs_up_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody sees 'Unclosed client session', nor an error."""

    async def main() -> None:
        async with LocalServer(Reply("Hi", then="stall")) as server:
            acytoo.but(base_url=server.url)("Hi").subscribe()
            exchange = await server.next_exchange()
            await exchange.sending()
            server_side.append(exchange)

    server_side: list[Any] = []
    for _ in range(2):  # asyncio.run twice in a row
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            asyncio.run(main())
            gc.collect()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


# The end of an answer, and the connection ---------------------------------------------------------


class Done:
    """A mapping whose protocol has an end of its own: `[DONE]`."""

    def feed(self, frames: Iterable[Frame]) -> Iterator[Event]:
        for frame in frames:
            yield Finish() if frame.data == "[DONE]" else Text(frame.data)

    def close(self) -> Iterable[Event]:
        return ()


def sse(piece: Any) -> bytes:
    return f"data: {piece.text if isinstance(piece, Text) else piece}\n\n".encode()


DONE_VOICE = Voice(
    name="done",
    path="/sse",
    content_type="text/event-stream",
    render=sse,
    keepalive=b": ping\n\n",
    end=b"data: [DONE]\n\n",
)


def _ask(ask: Ask) -> dict[str, str]:
    return {"prompt": ask.messages[-1].content}


done = Provider(
    name="done",
    format=Format(path="/sse", body=_ask, decoder=SSE, mapping=Done, expects=EVENT_STREAM),
    base_url="http://127.0.0.1:1",
    model="m",
)


@pytest.fixture
async def speaker() -> AsyncGenerator[LocalServer]:
    async with LocalServer(Reply("Hi"), voices=[DONE_VOICE]) as server:
        yield server


async def test_an_answer_is_over_when_its_protocol_says_so(speaker: LocalServer) -> None:
    speaker.reply = Reply("Hi", finish=True, then="stall")
    assert [e async for e in done.but(base_url=speaker.url)("?")] == [Text("Hi"), Finish()]
    assert await speaker.exchanges[0].ended == "hung up"


async def test_an_await_does_not_wait_for_the_server_to_close(speaker: LocalServer) -> None:
    speaker.reply = Reply("Hi", finish=True, then="stall")
    assert await done.but(base_url=speaker.url)("?") == Finish()
    assert rxchat.connections().streams == 1  # which still gives the server a moment to end


async def test_the_connection_is_kept_if_the_rest_comes_promptly(speaker: LocalServer) -> None:
    speaker.reply = Reply(body=b"data: Hi\n\ndata: [DONE]\n\n" + b": bye\n\n" * 3, cuts=22)
    for _ in range(3):
        assert await words(done.but(base_url=speaker.url)("?")) == "Hi"
    assert speaker.accepted == 1


async def test_the_connection_is_closed_if_the_rest_is_long(
    speaker: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rxchat.transport.sending.LINGER", 60.0)
    speaker.reply = Reply(body=b"data: [DONE]\n\n" + b": bye\n\n" * 8192, repeat=1000)
    assert [e async for e in done.but(base_url=speaker.url)("?")] == [Finish()]
    async with asyncio.timeout(5):
        assert await speaker.exchanges[0].ended == "hung up"


async def test_without_its_protocols_end_an_answer_is_truncated(speaker: LocalServer) -> None:
    speaker.reply = Reply("Hi", finish=False)
    error = await failure_of(done.but(base_url=speaker.url)("?"))
    assert isinstance(error, Truncated)
    assert (error.provider, error.status, error.content_emitted) == ("done", 200, True)


async def test_an_event_stream_that_is_json_is_an_error_with_its_message(
    speaker: LocalServer,
) -> None:
    for body, text in ((b'{"error": "no"}', "no"), (b'{"message": "busy"}', "busy")):
        speaker.reply = Reply(body=body, content_type="application/json", cuts=3)
        assert text in str(await failure_of(done.but(base_url=speaker.url)("?")))


async def test_an_error_that_a_mapping_raises_comes_after_what_it_gave(
    speaker: LocalServer,
) -> None:
    class Broken(Done):
        def feed(self, frames: Iterable[Frame]) -> Iterator[Event]:
            for frame in frames:
                if frame.data == "b":
                    raise KeyError("b")
                yield Text(frame.data)

    frames = rxchat.of(b"data: a\n\ndata: b\n\n").pipe(ops.decode(SSE), ops.events(Broken))
    seen: list[Any] = []
    with pytest.raises(KeyError):
        async for event in frames:
            seen.append(event)
    assert seen == [Text("a")]


async def test_what_follows_the_end_in_the_same_read_is_not_the_answer() -> None:
    body = b"data: a\n\ndata: [DONE]\n\ndata: b\n\n"
    assert [e async for e in rxchat.of(body).pipe(ops.answer(SSE, Done))] == [Text("a"), Finish()]


async def test_a_mapping_may_fail_at_the_close() -> None:
    class Broken(Done):
        def close(self) -> Iterable[Event]:
            raise Truncated("not yet")

    with pytest.raises(Truncated, match="not yet"):
        await rxchat.of(b"data: a\n\n").pipe(ops.answer(SSE, Broken))


# Sessions ---------------------------------------------------------------------------------------


async def test_a_session_of_your_own_is_used_and_left_open(server: LocalServer) -> None:
    async with aiohttp.ClientSession(headers={"x-mine": "1"}) as session:
        assert await words(acytoo.but(base_url=server.url, session=session)("Hi")) == "".join(WORDS)
        assert not session.closed
    assert server.exchanges[0].headers["x-mine"] == "1"
    error = await failure_of(acytoo.but(base_url=server.url, session=session)("Hi"))
    assert isinstance(error, ConnectionLost)
    assert "session" in str(error)


async def test_a_session_that_is_closed_under_a_stream_is_an_error(server: LocalServer) -> None:
    server.reply = Reply("Hi", then="stall")
    session = aiohttp.ClientSession()
    async with acytoo.but(base_url=server.url, session=session)("Hi").open() as events:
        await anext(events)
        await session.close()
        with pytest.raises(ConnectionLost):
            await anext(events)


async def test_the_shared_session_closes_when_it_is_idle(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "IDLE", 0.0)
    server.plan(Reply("Hi", HOLD))
    provider = acytoo.but(base_url=server.url)
    async with provider("Hi").open() as events:
        await anext(events)
        (shared,) = [p for loop, p in pool._pools.items() if loop is asyncio.get_running_loop()]
        await provider("Hi")  # another stream ends, and this one is still there
        await asyncio.sleep(0)
        assert not shared.session.closed
        server.exchanges[0].release()
        assert [event async for event in events] == [Finish()]
    async with asyncio.timeout(5):
        await server.disconnected()
    assert shared.session.closed
    assert await words(provider("Hi")) == "".join(WORDS)


async def test_a_new_stream_keeps_the_shared_session_open_beyond_its_idle_time(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "IDLE", 0.05)
    server.plan(Reply("first"), Reply("Hi", HOLD, "!"))
    provider = acytoo.but(base_url=server.url)
    assert await words(provider("1")) == "first"
    async with provider("2").pipe(ops.text()).open() as chunks:
        assert await anext(chunks) == "Hi"
        await asyncio.sleep(0.1)
        assert rxchat.connections().streams == 1
        server.exchanges[1].release()
        assert await anext(chunks) == "!"


async def test_a_stream_that_waits_for_a_connection_says_so(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pool, "STREAMS", 1)
    caplog.set_level("INFO", "rxchat")
    server.reply = Reply("Hi", HOLD)
    assert rxchat.connections() == rxchat.Connections(0, 0, 1)
    provider = acytoo.but(base_url=server.url)
    async with provider("1").open() as first, provider("2").open() as second:
        await anext(first)
        assert rxchat.connections().streams == 1
        assert rxchat.connections().waiting == 1
        assert "acytoo waits for a free connection: 1 are in use" in caplog.text
        server.exchanges[0].release()
        assert [event async for event in first] == [Finish()]
        await anext(second)
        assert rxchat.connections().waiting == 0


async def test_a_stream_may_leave_while_it_waits_for_a_connection(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "STREAMS", 1)
    server.reply = Reply("Hi", HOLD)
    provider = acytoo.but(base_url=server.url)
    async with provider("1").open() as first:
        await anext(first)
        waiting = provider("2").subscribe()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert rxchat.connections().waiting == 1
        waiting.dispose()
        await waiting.wait_closed()
        assert rxchat.connections().waiting == 0
    assert len(server.exchanges) == 1


async def test_a_hundred_and_more_streams_run_at_once(server: LocalServer) -> None:
    server.reply = Reply("Hi", HOLD, "!")
    heard = 0
    everybody = asyncio.Event()

    def note(_: str) -> None:
        nonlocal heard
        heard += 1
        if heard == 150:
            everybody.set()

    stream = acytoo.but(base_url=server.url)("Hi").pipe(ops.text())
    subscriptions = [stream.subscribe(note) for _ in range(150)]
    await everybody.wait()
    assert rxchat.connections().streams == 150
    for exchange in server.exchanges:
        exchange.release()
    await asyncio.gather(*(subscription.wait_closed() for subscription in subscriptions))
    assert heard == 300


# Back-pressure, threads, laws ---------------------------------------------------------------------


async def test_a_slow_reader_pauses_the_server(server: LocalServer) -> None:
    server.reply = Reply(body=b"x" * 65536, repeat=3200)  # 200 MB
    async with acytoo.but(base_url=server.url)("Hi").open() as events:
        await anext(events)
        sent = 0
        while server.exchanges[0].sent > sent:  # until the server stands still
            sent = server.exchanges[0].sent
            await asyncio.sleep(0.1)
        assert sent < 25_000_000
        assert len(events._buffer.items) <= 17


async def test_no_thread_is_started_for_a_stream(server: LocalServer) -> None:
    before = threading.active_count()
    provider = acytoo.but(base_url=server.url)
    stream = rxchat.race(rxchat.fallback(provider("1")).pipe(ops.retry(2)), provider("2"))
    assert await words(stream) == "".join(WORDS)
    assert threading.active_count() == before


text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@settings(max_examples=60)
@given(st.lists(text, min_size=1, max_size=8), st.data())
def test_bytes_cut_anywhere_give_the_same_events(pieces: list[str], data: st.DataObject) -> None:
    body = b"".join(encode({"event": "text", "data": piece}) + b"\n\n" for piece in pieces)
    cut = sorted(data.draw(st.sets(st.integers(0, len(body)), max_size=6)))
    parts = [body[a:b] for a, b in zip([0, *cut], [*cut, len(body)], strict=True)]
    form = flowgpt.format
    fused = rxchat.of(*parts).pipe(ops.answer(form.decoder, form.mapping))
    apart = rxchat.of(*parts).pipe(ops.decode(form.decoder), ops.events(form.mapping))
    expected = [*map(Text, pieces), Finish()]
    assert fused.pipe(ops.to_list()).run() == apart.pipe(ops.to_list()).run() == expected
    raw = "".join(pieces).encode()
    spoken = rxchat.of(*(raw[i : i + 2] for i in range(0, len(raw), 2)))
    plain = spoken.pipe(ops.answer(Utf8Text, cromicle.format.mapping), ops.text(), ops.to_list())
    assert "".join(plain.run()) == "".join(pieces).removeprefix("\ufeff")


async def test_a_mocked_answer_needs_no_socket() -> None:
    with mocked() as web:
        web.post(acytoo.url, body="Hello " * 50_000)
        web.post(acytoo.url, status=429, headers={"Retry-After": "3"}, body="slow down")
        provider = acytoo.but(base_url=acytoo.base_url)
        assert len(await words(provider("Hi"))) == 300_000
        assert (await failure_of(provider("Hi"))).retry_after == 3
        sent = next(iter(web.requests.values()))[0].kwargs
        assert decode(sent["data"])["messages"] == [{"role": "user", "content": "Hi"}]
