"""What once went wrong, or would: composition, late failures, and a network that does not answer."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import sys
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any

import aiohttp
import pytest
import reactivex as rx
from reactivex import operators as stock

import rxchat
from rxchat import Pump, Scope, Stream, source
from rxchat import operators as ops
from rxchat.errors import (
    Aborted,
    AllFailed,
    CallbackFailed,
    ChatError,
    ConnectFailed,
    Deadline,
    LoopError,
    NotAnAnswer,
    RateLimited,
    UsageError,
)
from rxchat.events import Event, Finish, Text
from rxchat.framing import SSE, Utf8Text
from rxchat.providers import Timeout, acytoo, cromicle, flowgpt, openai
from rxchat.request import without_password
from rxchat.signing import header_key
from rxchat.testing import HOLD, LocalServer, Reply, Scripted, Voice, run_virtual


async def failure_of(stream: Stream[Any]) -> Exception:
    async with asyncio.timeout(10):
        with pytest.raises(Exception) as caught:  # noqa: PT011  # the caller looks at it
            async for _ in stream:
                pass
    return caught.value


async def until(true: Callable[[], bool]) -> None:
    """Let the loop turn until something is so."""
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110  # turns of the loop, not time
            await asyncio.sleep(0)


@pytest.fixture
async def server() -> AsyncGenerator[LocalServer]:
    async with LocalServer(Reply("Hi")) as server:
        yield server


@contextlib.asynccontextmanager
async def rude(talk: Callable[..., Any]) -> AsyncGenerator[str]:
    """A server that is none."""
    writers: list[asyncio.StreamWriter] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(ConnectionError):
            await talk(reader, writer)

    listener = await asyncio.start_server(accept, "127.0.0.1", 0, limit=1024)
    try:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()
        for writer in writers:
            writer.transport.abort()
        await listener.wait_closed()


# Stock operators before ours ----------------------------------------------------------------------

BEFORE: dict[str, Callable[[], Any]] = {
    "as_observable": stock.as_observable,
    "delay": lambda: stock.delay(0.01),
    "delay_subscription": lambda: stock.delay_subscription(0.01),
    "distinct_until_changed": stock.distinct_until_changed,
    "do_action": lambda: stock.do_action(lambda _: None),
    "filter": lambda: stock.filter(lambda _: True),
    "finally_action": lambda: stock.finally_action(lambda: None),
    "map": lambda: stock.map(lambda event: event),
    "materialized and back": lambda: rx.compose(stock.materialize(), stock.dematerialize()),
    "observed elsewhere": lambda: stock.merge(rx.empty()),
    "share": stock.share,
    "start_with": stock.start_with,
    "take_until": lambda: stock.take_until(rx.never()),
    "timeout": lambda: stock.timeout(60.0),
}


@pytest.mark.parametrize("name", BEFORE)
def test_a_stock_operator_may_stand_before_ours(name: str) -> None:
    async def main() -> list[str]:
        talk = Scripted("a", 0.01, "b")
        return [chunk async for chunk in talk("?").pipe(BEFORE[name](), ops.text())]

    assert run_virtual(main()) == ["a", "b"]


# Functions of yours that raise --------------------------------------------------------------------


def broken(*_: object) -> Any:
    raise ZeroDivisionError


RAISING: dict[str, Callable[[Stream[Any]], Any]] = {
    "when of retry": lambda s: s.pipe(ops.retry(3, when=broken)),
    "backoff": lambda s: s.pipe(ops.retry(3, backoff=broken)),
    "when of fallback": lambda s: s.pipe(ops.fallback(rxchat.of(Text("b")), when=broken)),
}


@pytest.mark.parametrize("name", RAISING)
def test_a_policy_that_raises_ends_the_stream(name: str) -> None:
    async def main() -> Exception:
        return await failure_of(RAISING[name](Scripted(ConnectFailed("x"))("?")))

    error = run_virtual(main())
    assert isinstance(error, CallbackFailed)
    assert isinstance(error.__cause__, ZeroDivisionError)


def test_a_backoff_that_gives_no_number_ends_the_stream() -> None:
    async def main() -> Exception:
        talk = Scripted(ConnectFailed("x"))
        return await failure_of(talk("?").pipe(ops.retry(3, backoff=lambda n: None)))

    assert isinstance(run_virtual(main()), CallbackFailed)


async def test_an_operator_that_raises_on_the_last_event_ends_the_stream(
    server: LocalServer,
) -> None:
    def texts(upstream: rx.Observable[Any]) -> rx.Observable[str]:
        def subscribe(observer: Any, scheduler: Any = None) -> Any:
            return upstream.subscribe(
                lambda event: observer.on_next(event.text),  # Finish has no text
                observer.on_error,
                observer.on_completed,
                scheduler=scheduler,
            )

        return rx.Observable(subscribe)

    error = await failure_of(acytoo.but(base_url=server.url)("Hi").pipe(texts))
    assert isinstance(error, CallbackFailed)
    assert isinstance(error.__cause__, AttributeError)
    assert len(server.exchanges) == 1


async def test_an_operator_that_raises_at_the_end_fails_and_does_not_hang(
    server: LocalServer, reports: list[dict[str, Any]]
) -> None:
    def summing(upstream: rx.Observable[Any]) -> rx.Observable[Any]:
        def subscribe(observer: Any, scheduler: Any = None) -> Any:
            def sum_up() -> None:
                raise ZeroDivisionError

            return upstream.subscribe(
                observer.on_next, observer.on_error, sum_up, scheduler=scheduler
            )

        return rx.Observable(subscribe)

    answer = acytoo.but(base_url=server.url)("Hi").pipe(summing, ops.retry(3))
    error = await asyncio.wait_for(failure_of(answer), 5)
    assert isinstance(error, CallbackFailed)
    assert isinstance(error.__cause__, ZeroDivisionError)
    assert len(server.exchanges) == len(reports) == 1


async def test_a_bug_after_the_end_is_reported_and_no_second_end(
    reports: list[dict[str, Any]],
) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    heard: list[Any] = []
    stream = Scripted("Hi")("?").pipe(ops.text(), ops.finally_action(broken))
    subscription = stream.subscribe(heard.append, heard.append, lambda: heard.append("end"))
    await asyncio.wait_for(subscription.wait_closed(), 5)
    assert heard == ["Hi", "end"]
    assert [type(report["exception"].__cause__) for report in reports] == [ZeroDivisionError]


async def test_an_async_function_is_refused_where_nobody_would_await_it() -> None:
    class Later:
        async def __call__(self, item: object) -> None: ...

    for function in (Later(), Later().__call__, functools.partial(Later())):
        for listener in ("on_next", "on_error", "on_completed"):
            with pytest.raises(UsageError, match="write `async for item in stream`"):
                rxchat.of(1).subscribe(**{listener: function})
        with pytest.raises(UsageError, match=r"write ops\.map_async"):
            ops.map(function)


async def test_what_is_no_request_is_not_sent() -> None:
    error = await failure_of(rxchat.of("http://127.0.0.1:1").pipe(ops.send()))
    assert isinstance(error, UsageError)


def test_a_program_that_stops_in_a_callback_stops_the_stream_too() -> None:
    class Stop(BaseException):
        pass

    def stop(item: object) -> None:
        raise Stop

    async def main() -> None:
        subscription = Scripted("a", "b")("?").subscribe(stop, ended.append)
        await subscription.wait_closed()

    ended: list[Exception] = []
    with contextlib.suppress(Stop):
        asyncio.run(main())
    assert [type(error) for error in ended] == [Aborted]


# Several readers, several tasks -------------------------------------------------------------------


async def test_one_reader_of_a_shared_stream_may_leave_the_others_reading() -> None:
    async def count(pump: Pump[int]) -> None:
        for number in range(200):
            await pump.send(number)
            await asyncio.sleep(0)

    shared = source(count).pipe(ops.share())
    leaving = shared.open()
    got: list[int] = []
    staying = shared.subscribe(got.append)
    await anext(leaving)
    await until(lambda: leaving._buffer.pausing)
    leaving.close()
    async with asyncio.timeout(5):
        await staying.wait_closed()
    assert got == list(range(200))


async def test_two_tasks_on_one_iterator_lose_nothing() -> None:
    async def count(pump: Pump[int]) -> None:
        for number in range(6):
            await pump.send(number)
            await asyncio.sleep(0)

    cursor = source(count).open()
    taken: list[int] = []

    async def take() -> None:
        while True:
            try:
                async for number in cursor:
                    taken.append(number)
            except LoopError:
                await asyncio.sleep(0)
            else:
                return

    await asyncio.gather(take(), take())
    assert sorted(taken) == list(range(6))


def test_at_the_end_of_the_loop_nothing_new_begins() -> None:
    other = Scripted("other")

    async def main() -> None:
        endless = Scripted(60.0)("?")
        endless.pipe(stock.catch(other("?"))).subscribe()
        endless.pipe(stock.on_error_resume_next(other("?"))).subscribe()
        await asyncio.sleep(0)

    asyncio.run(main())
    assert other.prompts == []


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_an_eager_loop_emits_nothing_during_subscribe() -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009  # mypy knows older ones
        seen: list[Event] = []
        subscription = Scripted("a")("?").subscribe(seen.append)
        assert seen == []
        await subscription.wait_closed()
        assert seen == [Text("a"), Finish()]

    asyncio.run(main())


# The end of an answer, through a delay --------------------------------------------------------------


async def test_a_complete_answer_hangs_up_although_a_delay_stands_in_between() -> None:
    from collections.abc import Iterable, Iterator

    class Done:
        def feed(self, frames: Iterable[Any]) -> Iterator[Event]:
            for frame in frames:
                yield Finish() if frame.data == "[DONE]" else Text(frame.data)

        def close(self) -> Iterable[Event]:
            return ()

    voice = Voice("done", "/api/completions", "text/event-stream", body=None)
    body = b"data: Hi\n\ndata: [DONE]\n\n"
    async with LocalServer(Reply(body=body, then="stall"), voices=[voice]) as server:
        request = rxchat.of(acytoo.but(base_url=server.url).request("?"))
        answer = request.pipe(ops.send(), ops.delay(0.01), ops.answer(SSE, Done))
        async with asyncio.timeout(5), answer.open() as events:
            assert [event async for event in events] == [Text("Hi"), Finish()]
        assert await server.exchanges[0].ended == "hung up"
    assert rxchat.connections().streams == 0


# A network that does not answer ---------------------------------------------------------------------


async def test_a_proxy_that_never_answers_runs_into_the_connect_deadline() -> None:
    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with rude(listen) as proxy:
        provider = acytoo.but(base_url="https://127.0.0.1:1", proxy=proxy, timeout=0.1)
        error = await failure_of(provider("?"))
    assert isinstance(error, Deadline)
    assert error.phase == "connect"


async def test_a_server_that_does_not_read_the_request_runs_into_the_deadline() -> None:
    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with rude(ignore) as address:
        provider = acytoo.but(base_url=address, timeout=Timeout(silence=0.2))
        error = await failure_of(provider("x" * 30_000_000))
        assert isinstance(error, Deadline)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()


async def test_a_long_prompt_is_sent_whole_and_without_a_warning(server: LocalServer) -> None:
    prompt = "x" * 2_000_000
    await acytoo.but(base_url=server.url)(prompt)
    assert server.exchanges[0].json["messages"][0]["content"] == prompt
    assert "transfer-encoding" not in server.exchanges[0].headers


async def test_a_reader_who_blocks_the_loop_is_not_a_silent_service(server: LocalServer) -> None:
    server.reply = Reply("a", HOLD, "b")
    chunks = []
    async for chunk in acytoo.but(base_url=server.url, timeout=0.2)("?").pipe(ops.text()):
        chunks.append(chunk)
        if chunk == "a":
            server.exchanges[0].release()
            await asyncio.sleep(0)
            time.sleep(0.3)  # noqa: ASYNC251  # the point of it
    assert chunks == ["a", "b"]


async def test_a_session_that_raises_for_itself_changes_nothing(server: LocalServer) -> None:
    server.reply = Reply.status(429, "slow", headers={"Retry-After": "7"})
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        error = await failure_of(acytoo.but(base_url=server.url, session=session)("?"))
    assert isinstance(error, RateLimited)
    assert error.retry_after == 7


async def test_a_page_with_a_byte_order_mark_is_a_page(server: LocalServer) -> None:
    server.reply = Reply(body=b"\xef\xbb\xbf<html>", content_type="text/html")
    assert isinstance(await failure_of(cromicle.but(base_url=server.url)("?")), NotAnAnswer)


# Facts and waits ------------------------------------------------------------------------------------


async def test_requests_that_share_a_subscription_do_not_share_their_facts(
    server: LocalServer,
) -> None:
    server.reply = Reply.status(503, headers={"x-request-id": "first"})
    steps = ops.send(), ops.decode(Utf8Text)
    first = rxchat.of(acytoo.but(base_url=server.url).request("?")).pipe(*steps)
    second = rxchat.of(cromicle.but(base_url="http://127.0.0.1:1").request("?")).pipe(*steps)
    error = await failure_of(rxchat.fallback(first, second))
    assert isinstance(error, AllFailed)
    facts = [
        (e.provider, e.status, e.request_id) for e in error.exceptions if isinstance(e, ChatError)
    ]
    assert facts == [("acytoo", 503, "first"), ("cromicle", None, None)]


def test_a_retry_of_a_race_waits_as_long_as_the_first_service_says() -> None:
    slow = Scripted(RateLimited("x", retry_after=40.0)).then("late")
    quick = Scripted(RateLimited("x", retry_after=30.0)).then("back")

    async def main() -> tuple[float, Any]:
        stream = rxchat.race(slow("?"), quick("?")).pipe(ops.retry(3), ops.text())
        chunk = await stream
        return asyncio.get_running_loop().time(), chunk

    assert run_virtual(main()) == (pytest.approx(30), "late")


SHY = [
    ({"proxy": "user:hunter2@host:8080"}, "proxy"),
    ({"proxy": "http:/u:hunter2@h"}, "proxy"),
    ({"base_url": "http://bob:hunter2@h"}, "without a user"),
    ({"base_url": "http://h?key=hunter2"}, "a query"),
    ({"base_url": "bob:hunter2@h"}, "http://"),
]


@pytest.mark.parametrize(("options", "words"), SHY)
def test_a_slip_in_an_address_shows_no_password(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        flowgpt.but(**options)
    assert "hunter2" not in f"{caught.value!r}{caught.value.__context__!r}"


@pytest.mark.parametrize("name", ["x-auth-token", "api_key", "Ocp-Apim-Subscription-Key", "cookie"])
def test_a_header_that_sounds_secret_is_not_shown(name: str) -> None:
    assert "hunter2" not in repr(flowgpt.request("?", headers={name: "hunter2"}))


WRONG: list[dict[str, Any]] = [
    {"headers": {"x": "a\x01b"}},
    {"headers": {"": "x"}},
    {"timeout": float("inf")},
    {"session": 42},
    {"model": None},
    {"ssl": True},
]


@pytest.mark.parametrize("options", WRONG)
def test_a_value_that_cannot_be_is_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        acytoo.but(**options)


async def test_two_requests_of_one_race_keep_their_own_facts(server: LocalServer) -> None:
    server.reply = Reply.status(500)
    requests = (provider.but(base_url=server.url).request("?") for provider in (flowgpt, acytoo))
    error = await failure_of(rxchat.race(*(rxchat.of(r).pipe(ops.send()) for r in requests)))
    assert isinstance(error, AllFailed)
    providers = [each.provider for each in error.exceptions if isinstance(each, ChatError)]
    assert providers == ["flowgpt", "acytoo"]


ADDRESSES = [
    ("http://me:p@hunter2@h/x", "http://***@h/x"),
    ("me:hunter2@h", "***@h"),
    ("http://h/models/@cf/m?key=hunter2\nhunter2", "http://h/models/@cf/m?***"),
    ("http://h/x", "http://h/x"),
]


@pytest.mark.parametrize(("address", "shown"), ADDRESSES)
def test_an_address_is_shown_without_what_is_secret(address: str, shown: str) -> None:
    assert without_password(address) == shown


def test_a_key_is_not_shown_under_whatever_name_it_is_sent() -> None:
    request = header_key("x-mine", "hunter2")(acytoo.request("?"))
    assert request.headers["x-mine"] == "hunter2"
    assert "hunter2" not in repr(request)


@pytest.mark.parametrize("codings", ["gzip, br ; q=1", "BR, gzip", "br,gzip"])
async def test_brotli_is_not_advertised_in_any_spelling(
    codings: str, server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rxchat.transport.asking._brotli", lambda: False)
    await acytoo.but(base_url=server.url, headers={"Accept-Encoding": codings})("?")
    assert server.exchanges[0].headers["accept-encoding"] == "gzip"


async def test_a_stream_that_is_left_at_a_word_leaves_nothing_in_memory() -> None:
    """aiohttp raises one shared exception in whoever reads on: its traceback would keep us."""
    gc.collect()
    before = sum(type(each) is Scope for each in gc.get_objects())
    async with LocalServer(Reply("Hel", HOLD, "lo")) as server:
        for _ in range(3):
            chat = openai.but(base_url=server.url + "/v1", key="any")
            await chat("Hi").pipe(ops.text(), ops.take(1))
    gc.collect()
    assert sum(type(each) is Scope for each in gc.get_objects()) == before
