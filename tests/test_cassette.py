"""Cassettes: what was heard is heard again, in the same time, and no key is in the file."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from aiohttp.http_exceptions import ContentEncodingError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rxchat
from formats import WIRES, Wire
from rxchat import operators as ops
from rxchat.errors import (
    ChatError,
    ConnectFailed,
    ConnectionLost,
    Deadline,
    RateLimited,
    Truncated,
    UsageError,
    is_fatal,
)
from rxchat.events import Event, Finish, Text
from rxchat.provider import Provider
from rxchat.providers import bedrock, ollama, openai
from rxchat.request import Timeout
from rxchat.testing import HOLD, LocalServer, Reply, run_virtual
from rxchat.testing.cassette import Cassette, NotRecorded, tape
from rxchat.testing.cassette.tape import HUNG_UP, Answer, End, Read, Recording, Request, Said
from rxchat.testing.voices.bedrock_converse import KEYS as AWS_KEYS
from rxchat.transport.failures import failure_of

KEY = 'sk-proj-/"abc+DEF=1234567890\\zyx'.replace("\\", "~").replace('"', "'")
wires = pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tapes" / "sky.json"


@pytest.fixture
async def server() -> AsyncGenerator[LocalServer]:
    async with LocalServer(Reply("Hel", "lo")) as server:
        yield server


def text_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def moved(wire: Wire, server: LocalServer, key: str = KEY) -> Provider:
    there = wire.provider.but(base_url=server.url + wire.prefix)
    return there.but(key=key) if there.auth else there


async def heard(stream: rxchat.Stream[Any]) -> list[Any]:
    """All that a stream gives; an error as what can be compared."""
    items: list[Any] = []
    try:
        async for item in stream:
            items.append(item)
    except ChatError as error:
        facts = (error.status, error.code, error.retry_after, error.retryable)
        items.append((type(error), str(error), facts))
    return items


def played(path: Path, chat: Provider, **options: Any) -> tuple[list[Any], float]:
    """What is heard of a cassette in virtual time, and how long that takes."""

    async def main() -> tuple[list[Any], float]:
        with Cassette(path, mode="play", **options) as tape:
            items = await heard(chat.but(session=tape)("Hi"))
            assert not tape.left
            return items, asyncio.get_running_loop().time()

    return run_virtual(main())


# A network that a test writes: a cassette that is recorded from another one -----------------------

CHAT = ollama.but(base_url="http://service", headers={"Authorization": f"Bearer {KEY}"})


def asked(chat: Provider = CHAT, prompt: str = "Hi") -> Request:
    request = chat.request(prompt)
    return Request(request.method, request.url, {}, Said.of(request.body))


def line(text: str = "", **fields: Any) -> bytes:
    said = {"model": "m", "message": {"role": "assistant", "content": text}, "done": False}
    return json.dumps(said | fields).encode() + b"\n"


LAST = line(done=True, done_reason="stop")
JSON_LINES = {"Content-Type": "application/x-ndjson"}
WHOLE = End(0.0, "end")


def recording(*reads: tuple[float, bytes], end: End = WHOLE, **changes: Any) -> Recording:
    answer = Answer(0.25, changes.get("status", 200), JSON_LINES | changes.get("headers", {}))
    request = changes.get("request", asked())
    return Recording(request, answer, [Read.of(after, data) for after, data in reads], end)


def recorded_from(
    source: list[Recording], path: Path, chat: Provider = CHAT, **options: Any
) -> Any:
    """Record from a cassette that plays, in virtual time."""
    network = path.with_name("network.json")
    tape.save(network, source)

    async def main() -> list[Any]:
        with (
            Cassette(network, mode="play") as real,
            Cassette(path, mode="record", session=real, **options) as copy,
        ):
            return await heard(chat.but(session=copy)("Hi"))

    return run_virtual(main())


GAPS = st.integers(0, 3_000_000).map(lambda micro: micro / 1e6)
ENDS = st.builds(End, GAPS, st.sampled_from(["end", "ClientPayloadError", "ConnectionResetError"]))


# What was heard is heard again --------------------------------------------------------------------

REPLIES: dict[str, Reply] = {
    "whole": Reply("Hel", "lo ✓"),
    "cut everywhere": Reply("Привет 🌍", cuts=7),
    "slow": Reply("Hel", "lo", pace=0.01),
    "compressed": Reply("Hel", "lo", encoding="gzip"),
    "no end mark": Reply("Hel", finish=False),
    "cut off": Reply("Hel", "lo", then="cut", finish=False),
    "reset": Reply("Hello", then="reset", after=150, cuts=20),
    "cut in a frame": Reply("Hello", then="cut", after=45),
    "closed": Reply("Hel", "lo", framing="close"),
    "nothing": Reply.empty(),
    "garbage": Reply.garbage(),
    "a web page": Reply.html(403),
    "too much": Reply.status(429, "slow down", headers={"Retry-After": "7"}),
    "down": Reply.status(503),
    "moved": Reply.redirect("http://elsewhere/?key=sk-other-123456"),
}


@wires
@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_what_was_heard_is_heard_again(wire: Wire, reply: Reply, path: Path) -> None:
    async def record() -> tuple[Provider, list[Any]]:
        async with LocalServer(reply) as server:
            chat = moved(wire, server)
            with Cassette(path) as tape:
                return chat, await heard(chat.but(session=tape)("Hi"))

    chat, first = asyncio.run(record())
    again, took = played(path, chat)
    assert again == first
    whole, end = recorded_seconds(path)
    # Where the protocol says that the answer is over, nobody waits for the end of the body.
    assert took in (pytest.approx(whole), pytest.approx(whole - end))
    assert played(path, chat, instantly=True) == (first, 0.0)
    assert "content-encoding" not in path.read_text().lower()


def recorded_seconds(path: Path) -> tuple[float, float]:
    """All of them, and those from the last read to the end."""
    (one,) = tape.load(path)
    before = one.answer.after if one.answer else 0.0
    return before + sum(read.after for read in one.reads) + one.end.after, one.end.after


@wires
async def test_hanging_up_is_played_as_well(wire: Wire, server: LocalServer, path: Path) -> None:
    server.reply = Reply("Hel", HOLD, "lo")
    chat = moved(wire, server)
    with Cassette(path) as tape:
        first = await heard(chat.but(session=tape)("Hi").pipe(ops.text(), ops.take(1)))
        assert await server.exchanges[0].ended == "hung up"
        assert rxchat.connections().streams == 0
    assert '"how": "hung up"' in text_of(path)
    with Cassette(path, instantly=True) as tape:
        assert await heard(chat.but(session=tape)("Hi").pipe(ops.text(), ops.take(1))) == first


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_recording_of_what_is_played_is_the_same_recording(
    data: st.DataObject, tmp_path: Path
) -> None:
    body = line("Привет 🌍") + line("!")
    end = data.draw(ENDS)
    body += LAST if end.how == "end" else b""
    cuts = sorted(data.draw(st.sets(st.integers(1, len(body) - 1), max_size=8)))
    chunks = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    if end.how == "end":
        end = WHOLE
    source = [recording(*[(data.draw(GAPS), chunk) for chunk in chunks], end=end)]
    path = tmp_path / "copy.json"
    first = recorded_from(source, path)
    (copy,) = tape.load(path)
    assert (copy.answer, copy.end) == (source[0].answer, source[0].end)
    assert [read.data for read in copy.reads] == chunks
    for one, other in zip(copy.reads, source[0].reads, strict=True):
        assert one.after == pytest.approx(other.after, abs=2e-6)
    again, took = played(path, CHAT)
    assert again == first
    assert took == pytest.approx(recorded_seconds(path)[0])


def test_each_event_comes_at_its_time(path: Path) -> None:
    tape.save(path, [recording((1.0, line("a")), (2.0, line("b")), (4.0, LAST))])

    async def moments() -> list[float]:
        loop = asyncio.get_running_loop()
        with Cassette(path) as cassette:
            return [loop.time() async for _ in CHAT.but(session=cassette)("Hi")]

    assert run_virtual(moments()) == [1.25, 1.25, 3.25, 7.25]


def test_a_slow_reader_is_simply_later(path: Path) -> None:
    tape.save(path, [recording(*[(1.0, b"a")] * 4, end=End(1.0, HUNG_UP))])

    async def moments() -> list[float]:
        seen = []
        with Cassette(path) as cassette:
            request = CHAT.request("Hi")
            response = await cassette.request("POST", request.url, data=request.body)
            for pause in (2.5, 0, 0, 0):
                assert not response.content.at_eof()
                assert await response.content.readany() == b"a"
                seen.append(asyncio.get_running_loop().time())
                await asyncio.sleep(pause)
            assert response.content.at_eof()
        return seen

    assert run_virtual(moments()) == [1.25, 3.75, 3.75, 4.25]


def test_a_reader_with_less_patience_does_not_wait_for_what_was_recorded(path: Path) -> None:
    tape.save(path, [recording((0.0, line("a")), (100.0, LAST))])
    items, took = played(path, CHAT.but(timeout=5))
    assert items[-1][0] is Deadline
    assert took == 5.25


def _caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


PLACE: Any = aiohttp.client_reqrep.ConnectionKey("service", 80, False, True, None, None, None)
INFO: Any = None
BROKEN = [
    aiohttp.ClientConnectorError(PLACE, OSError(111, "Connection refused")),
    aiohttp.ClientConnectorDNSError(PLACE, OSError(-2, "Name or service not known")),
    aiohttp.ClientConnectorCertificateError(PLACE, ssl.SSLCertVerificationError(1, "expired")),
    aiohttp.ClientProxyConnectionError(PLACE, OSError(111, "Connection refused")),
    aiohttp.ClientHttpProxyError(INFO, (), status=407, message="Proxy Authentication Required"),
    aiohttp.ServerDisconnectedError(),
    aiohttp.ConnectionTimeoutError("slow"),
    aiohttp.SocketTimeoutError("slow"),
    aiohttp.ClientPayloadError("cut"),
    _caused(aiohttp.ClientPayloadError("cut"), ContentEncodingError("gzip")),
    aiohttp.InvalidURL("http://["),
    ConnectionResetError(104, "Connection reset by peer"),
    TimeoutError(),
    RuntimeError("Session is closed"),
]


@pytest.mark.parametrize("error", BROKEN, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("answering", [False, True])
def test_every_way_to_break_is_kept(error: Exception, answering: bool) -> None:
    again = End.by(error, 0.0).error
    assert again is not None
    request = CHAT.request("Hi")
    first, second = (failure_of(one, request, answering=answering) for one in (error, again))
    assert (type(second), str(second), second.retryable) == (
        type(first),
        str(first),
        first.retryable,
    )
    assert str(again) == repr(again)


async def test_a_date_to_come_back_at_is_not_past_when_it_is_played(
    server: LocalServer, path: Path
) -> None:
    then = format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True)
    server.reply = Reply.status(429, headers={"Retry-After": then})
    chat = moved(WIRES["openai_chat"], server)
    with Cassette(path) as cassette:
        await heard(chat.but(session=cassette)("Hi"))
    assert then not in text_of(path)
    with Cassette(path) as cassette, pytest.raises(RateLimited) as caught:
        await chat.but(session=cassette)("Hi")
    assert 200 < (caught.value.retry_after or 0) <= 300


async def test_a_service_that_cannot_be_reached_is_not_reached_again(path: Path) -> None:
    async with LocalServer() as gone:
        chat = moved(WIRES["openai_chat"], gone)
    results = []
    for _ in range(2):
        with Cassette(path) as cassette:
            results.append(await heard(chat.but(session=cassette)("Hi")))
    assert rxchat.connections().streams == 0
    assert results[0] == results[1]
    assert results[0][0][0] is ConnectFailed


def test_silence_is_played_as_silence(path: Path) -> None:
    async def record() -> Provider:
        async with LocalServer(Reply("Hi", then="stall")) as server:
            chat = moved(WIRES["openai_chat"], server).but(timeout=Timeout(silence=0.05))
            with Cassette(path) as cassette:
                assert (await heard(chat.but(session=cassette)("Hi")))[-1][0] is Deadline
            return chat

    chat = asyncio.run(record())
    items, took = played(path, chat)
    assert items[-1][0] is Deadline
    assert took >= 0.05
    items, took = played(path, chat, instantly=True)
    assert items[-1][0] is Deadline
    assert took == 0


def test_who_reads_on_where_the_reader_hung_up_is_told(path: Path) -> None:
    tape.save(path, [recording((0.0, line("a")), end=End(2.0, HUNG_UP))])
    (_, text, failure), took = played(path, CHAT)
    assert text == Text("a")
    assert failure[0] is NotRecorded
    assert "ends here, where its reader hung up" in failure[1]
    assert took == 3.25


@pytest.mark.parametrize("instantly", [False, True])
def test_a_silence_that_the_reader_ends_is_never_skipped(instantly: bool, path: Path) -> None:
    tape.save(path, [Recording(asked(), None, [], End(5.0, HUNG_UP)), recording((0.0, LAST))])

    async def main() -> float:
        with Cassette(path, instantly=instantly) as cassette:
            chat = CHAT.but(session=cassette)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(5):
                    await chat("Hi")
            silent = asyncio.get_running_loop().time()
            assert await chat("Hi") == Finish("stop", "stop")
        return silent

    assert run_virtual(main()) == 5


async def test_a_large_request_is_matched_as_well(server: LocalServer, path: Path) -> None:
    chat, prompt = moved(WIRES["openai_chat"], server), "long " * 50_000
    with Cassette(path) as cassette:
        first = await heard(chat.but(session=cassette)(prompt))
    with Cassette(path) as cassette:
        assert await heard(chat.but(session=cassette)(prompt)) == first
        assert not cassette.left
    assert len(server.exchanges) == 1


async def test_a_large_request_that_broke_half_way_is_matched_by_what_was_sent(path: Path) -> None:
    class Breaking:
        async def request(self, *_: Any, data: Any, **__: Any) -> None:
            await anext(aiter(data))
            await data.aclose()
            raise aiohttp.ServerDisconnectedError

    chat, results = CHAT, []
    for _ in range(2):
        with Cassette(path, session=Breaking()) as cassette:
            results.append(await heard(chat.but(session=cassette)("long " * 50_000)))
    assert results[0] == results[1]
    assert results[0][0][0] is ConnectionLost


async def test_a_signed_request_needs_neither_the_same_keys_nor_the_same_time(
    server: LocalServer, path: Path
) -> None:
    access_key, secret_key = next(iter(AWS_KEYS.items()))
    token = "IQoJb3JpZ2luX2VjEXAMPLE"
    keys = {"access_key": access_key, "secret_key": secret_key, "session_token": token}
    chat = bedrock.but(base_url=server.url, region="us-east-1", key=keys)
    server.reply = Reply("Hello ", access_key, token, cuts=9)
    with Cassette(path) as cassette:
        first = await heard(chat.but(session=cassette)("Hi"))
    assert Text(token) in first
    text = text_of(path)
    for read in tape.load(path)[0].reads:
        text += read.data.decode("latin-1")
    assert not [key for key in keys.values() if key in text]
    assert "Signature=" not in text
    with Cassette(path) as cassette:
        again = await heard(chat.but(session=cassette, key="another-key")("Hi"))
    assert again == [hidden(hidden(event, access_key), token) for event in first]


# Several at once ----------------------------------------------------------------------------------


async def test_streams_that_run_at_once_are_recorded_and_played(
    server: LocalServer, path: Path
) -> None:
    server.plan(Reply("never", headers_after=HOLD), Reply("one", HOLD, " two"))
    chat = moved(WIRES["openai_chat"], server)

    async def raced(cassette: Cassette) -> str:
        there = chat.but(session=cassette)
        stream = rxchat.race(there("Hi"), there("Hi")).pipe(ops.text())
        words = []
        async for word in stream:
            words.append(word)
            if len(server.exchanges) == 2:
                server.exchanges[1].release()
        return "".join(words)

    with Cassette(path) as cassette:
        assert await raced(cassette) == "one two"
    first, _ = tape.load(path)
    assert (first.answer, first.end.how) == (None, HUNG_UP)
    for instantly in (False, True):
        with Cassette(path, instantly=instantly) as cassette:
            assert await raced(cassette) == "one two"
            assert not cassette.left
    assert len(server.exchanges) == 2


async def test_the_same_request_is_played_in_the_order_it_was_recorded_in(
    server: LocalServer, path: Path
) -> None:
    server.plan(Reply.status(503), Reply("first"), Reply("second"))
    chat = moved(WIRES["openai_chat"], server)
    for _ in range(2):
        with Cassette(path) as cassette:
            there = chat.but(session=cassette)("Hi").pipe(ops.text(), ops.to_list())
            assert (await heard(there))[0][1].endswith("(status 503)")
            assert await there == ["first"]
            assert len(cassette.left) in (0, 1)
            assert await there == ["second"]
            assert cassette.left == []
    assert len(server.exchanges) == 3


def test_one_cassette_serves_several_event_loops(path: Path) -> None:
    async def serve() -> Provider:
        async with LocalServer(Reply("Hi")) as server:
            chat = moved(WIRES["openai_chat"], server)
            with Cassette(path) as cassette:
                stream = chat.but(session=cassette)("Hi").pipe(ops.text(), ops.to_list())
                assert [await asyncio.to_thread(stream.run) for _ in range(2)] == [["Hi"]] * 2
        return chat

    chat = asyncio.run(serve())
    with Cassette(path) as cassette:
        stream = chat.but(session=cassette)("Hi").pipe(ops.text(), ops.to_list())
        assert [stream.run(), stream.run()] == [["Hi"], ["Hi"]]


async def test_a_session_of_yours_stays_yours(server: LocalServer, path: Path) -> None:
    async with aiohttp.ClientSession() as session:
        with Cassette(path, session=session) as cassette:
            await moved(WIRES["openai_chat"], server).but(session=cassette)("Hi")
        assert not session.closed


# What is not on it --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chat", "prompt", "said"),
    [
        (CHAT, "Ho", r"body\['messages'\]\[0\]\['content'\] was 'Hi', and is 'Ho'"),
        (CHAT.but(temperature=0.5), "Hi", r"body\['options'\] was 'nothing', and is"),
        (CHAT.but(base_url="http://other"), "Hi", "recorded is POST http://service/api/chat"),
    ],
)
def test_what_is_not_recorded_is_an_error_that_says_what_differs(
    chat: Provider, prompt: str, said: str, path: Path
) -> None:
    tape.save(path, [recording((0.0, LAST))])

    async def main() -> None:
        with Cassette(path) as cassette:
            stream = chat.but(session=cassette)(prompt)
            tried = rxchat.fallback(stream.pipe(ops.retry(3)), rxchat.of(Text("no")))
            with pytest.raises(NotRecorded, match=said) as caught:
                await tried
            assert is_fatal(caught.value)
            assert cassette.left == ["POST http://service/api/chat"]
            assert asyncio.get_running_loop().time() == 0

    run_virtual(main())


def test_what_was_recorded_once_is_not_played_twice(path: Path) -> None:
    tape.save(path, [recording((0.0, LAST))])

    async def main() -> None:
        with Cassette(path) as cassette:
            chat = CHAT.but(session=cassette)
            await chat("Hi")
            with pytest.raises(NotRecorded, match="recorded once, and was asked for once more"):
                await chat("Hi")

    run_virtual(main())


def test_three_stars_in_a_recorded_request_stand_for_anything(path: Path) -> None:
    request = asked(prompt="It is *** o'clock, ***!")
    tape.save(path, [recording((0.0, LAST), request=request)])

    async def main(prompt: str) -> list[Any]:
        with Cassette(path) as cassette:
            return await heard(CHAT.but(session=cassette)(prompt))

    assert isinstance(run_virtual(main("It is 12 o'clock, Tom!"))[-1], Finish)
    for other in ("It is 12 o'clock", "It is o'clock!", "At 12 o'clock, Tom!", "It is 1, Tom!"):
        assert run_virtual(main(other))[0][0] is NotRecorded


def test_the_recording_that_fits_exactly_is_played_before_one_that_fits_too(path: Path) -> None:
    anything = recording((0.0, line("other")), (0.0, LAST), request=asked(prompt="***"))
    tape.save(path, [anything, recording((0.0, line("mine")), (0.0, LAST))])

    async def main() -> list[str]:
        with Cassette(path) as cassette:
            chat = CHAT.but(session=cassette)
            streams = [chat("Hi"), chat("Ho")]
            return [word for one in streams async for word in one.pipe(ops.text())]

    assert run_virtual(main()) == ["mine", "other"]


# Keys ---------------------------------------------------------------------------------------------


def in_base64(before: str) -> Callable[[str], str]:
    return lambda key: b64encode((before + key + "...").encode()).decode()


SPELLINGS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "escaped": lambda key: "".join(f"\\u{ord(char):04X}" for char in key),
    "slashes": lambda key: key.replace("/", "\\/"),
    "in JSON in JSON": lambda key: key.replace("/", "\\\\/").replace("+", "\\\\u002b"),
    "in an address": lambda key: quote(key, safe=""),
    "all in an address": lambda key: "".join(f"%{ord(char):02x}" for char in key),
    "twice in an address": lambda key: quote(quote(key, safe=""), safe=""),
    "base64": in_base64(""),
    "base64, one later": in_base64("a"),
    "base64, two later": in_base64("ab"),
    "base64 for addresses": lambda key: in_base64("?")(key).translate({43: "-", 47: "_"}),
    "its beginning": lambda key: key[:20],
}


@pytest.mark.parametrize("spelled", SPELLINGS.values(), ids=SPELLINGS)
def test_an_echoed_key_is_not_in_the_file_wherever_it_is_cut(
    spelled: Callable[[str], str], path: Path
) -> None:
    spelling = spelled(KEY)
    before, after = b'{"message":{"content":"wrong key ', b'!"},"done":false}\n'
    body = before + spelling.encode() + after
    clean: set[bytes] = set()
    begin = len(before)
    for cut in range(begin - 1, begin + len(spelling) + 2):
        said = recorded_from([recording((0.1, body[:cut]), (0.1, body[cut:]), (0.1, LAST))], path)
        assert isinstance(said[-1], Finish)
        (copy,) = tape.load(path)
        assert [len(read.data) for read in copy.reads] == [cut, len(body) - cut, len(LAST)]
        text = path.read_text() + "".join(read.said for read in copy.reads)
        assert not [piece for piece in secrets_of(spelling) if piece in text]
        clean.add(b"".join(read.data for read in copy.reads[:-1]))
        again, _ = played(path, CHAT)
        assert len(again) == len(said)
    assert len(clean) == 1
    assert json.loads(clean.pop())["message"]["content"].startswith("wrong key ")


def secrets_of(spelling: str) -> list[str]:
    """All that is long enough to tell something, but for what base64 shares with its neighbours."""
    return [spelling[at : at + 8] for at in range(4, len(spelling) - 12)] + [KEY]


def test_a_key_is_cut_off_where_the_answer_is(path: Path) -> None:
    recorded_from([recording((0.1, line("a")), (0.1, KEY[:15].encode()), end=END_BADLY)], path)
    assert KEY[:12] not in path.read_text()


END_BADLY = End(0.0, "ClientPayloadError")


@wires
async def test_a_key_is_nowhere_in_a_file_and_what_is_played_can_be_read(
    wire: Wire, server: LocalServer, path: Path
) -> None:
    key = "sk-test-ABCDEF-1234567890"
    server.reply = Reply("You are ", key, ".", cuts=5)
    chat = moved(wire, server, key).but(headers={"x-my-token": key})
    with Cassette(path) as cassette:
        first = await heard(chat.but(session=cassette)(f"I am {key}"))
    (copy,) = tape.load(path)
    body = b"".join(read.data for read in copy.reads)
    for place in (text_of(path).encode(), body, *(b64encode(body[shift:]) for shift in range(3))):
        assert key.encode() not in place
        assert b64encode(key.encode())[:20] not in place
    with Cassette(path, instantly=True) as cassette:
        other = chat.but(session=cassette, headers={"x-my-token": "other"})
        again = await heard(other("I am somebody else"))
    assert again == [hidden(event, key) for event in first]


def hidden(event: Event, key: str) -> Event:
    return Text(event.text.replace(key, "x" * len(key))) if isinstance(event, Text) else event


def test_what_is_private_is_not_in_the_file(path: Path) -> None:
    url = "http://tom:pass-word-34@service/api/chat?key=query-key-123&alt=sse"
    private = {
        "Authorization": "Basic " + b64encode(b"tom:pass-word-12").decode(),
        "OpenAI-Organization": "org-12345678",
        "x-team": "blue-team-9",
        "Cookie": "session=cookie-123456",
        "Accept": "*/*",
    }
    replied = {
        "Set-Cookie": "__cf_bm=cookie-789012; Path=/; Domain=example.com",
        "x-ratelimit-remaining-tokens": "149984",
        "openai-organization": "user-87654321",
        "x-request-id": "req-1",
    }
    echoed = (
        "org-12345678 blue-team-9 user-87654321 cookie-789012 cookie-123456 pass-word-12 "
        "pass-word-34 query-key-123"
    )
    request = Request("POST", url, {}, Said.of(b"I am org-12345678"))
    network = path.with_name("network.json")
    tape.save(network, [recording((0.0, echoed.encode()), headers=replied, request=request)])

    async def main() -> None:
        with (
            Cassette(network) as real,
            Cassette(path, session=real, hide=["X-Team"]) as copy,
        ):
            body = b"I am org-12345678"
            response = await copy.request("POST", url, data=body, headers=private)
            assert await response.content.readany() == echoed.encode()

    run_virtual(main())
    text = path.read_text()
    for secret in (*echoed.split(), *private.values()):
        assert secret not in text or secret == "*/*"
    (copy,) = tape.load(path)
    assert copy.request.url == "http://***@service/api/chat?key=***&alt=sse"
    assert copy.request.headers == dict.fromkeys(private, "***") | {"Accept": "*/*"}
    assert copy.request.body.data == b"I am ***"
    assert copy.reads[0].said == " ".join("x" * len(secret) for secret in echoed.split())
    assert copy.answer is not None
    assert copy.answer.headers == JSON_LINES | {
        "Set-Cookie": "***",
        "x-ratelimit-remaining-tokens": "149984",
        "openai-organization": "***",
        "x-request-id": "req-1",
    }


# The file -----------------------------------------------------------------------------------------


async def test_a_block_that_fails_writes_nothing(server: LocalServer, path: Path) -> None:
    chat = moved(WIRES["openai_chat"], server)
    path.parent.mkdir()
    tape.save(path, [recording()])
    for before in (text_of(path), ""):
        with pytest.raises(KeyError), Cassette(path, mode="record") as cassette:
            await chat.but(session=cassette)("Hi")
            raise KeyError
        assert text_of(path) == before
        remove(path)


@pytest.mark.parametrize("step", ["write_text", "replace"])
async def test_a_disk_that_fails_leaves_no_half_of_a_file(
    step: str, server: LocalServer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, content: Any, **_: Any) -> None:
        if step == "write_text":
            self.write_bytes(content[:10].encode())
        raise OSError("disk full")

    tape.save(path, [recording()])
    before = text_of(path)
    monkeypatch.setattr(Path, step, full)
    with pytest.raises(OSError, match="disk full"), Cassette(path, mode="record") as cassette:
        await moved(WIRES["openai_chat"], server).but(session=cassette)("Hi")
    assert [text_of(file) for file in sorted(path.parent.iterdir())] == [before]


async def test_what_is_still_open_at_the_end_is_recorded_as_hung_up(
    server: LocalServer, path: Path
) -> None:
    server.reply = Reply("Hel", HOLD, "lo")
    chat = moved(WIRES["openai_chat"], server)
    with Cassette(path) as cassette:
        words = aiter(chat.but(session=cassette)("Hi").pipe(ops.text()))
        assert await anext(words) == "Hel"
    server.exchanges[0].release()
    assert [word async for word in words] == ["lo"]
    assert tape.load(path)[0].end.how == HUNG_UP


def test_a_file_can_be_read_by_people_and_ends_with_a_line_break(path: Path) -> None:
    recorded_from([recording((0.5, line("Привет")), (0.25, "✓".encode()[:2]), (0.0, LAST))], path)
    text = path.read_text()
    assert '[0.25, "base64", "4pw="]' in text
    assert text.endswith("}\n")
    source = tape.load(path)
    tape.save(path, source)
    assert path.read_text() == text


def test_nothing_asked_is_nothing_written(path: Path) -> None:
    with Cassette(path):
        pass
    assert not path.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "is not there to be played"),
        ("{", "is no cassette"),
        ('{"cassette": 1, "recordings": [{}]}', "is no cassette"),
        ('{"cassette": 2, "recordings": []}', "of version 2"),
    ],
)
def test_a_file_that_cannot_be_played_is_said_so(
    content: str | None, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "sky.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError, match=said), Cassette(path, mode="play"):
        pass


def test_an_error_of_no_known_class_is_no_recording(path: Path) -> None:
    tape.save(path, [recording(end=End(0.0, "print"))])
    with pytest.raises(UsageError, match=re.escape("'print', which is unknown")), Cassette(path):
        pass


def test_wrong_arguments_are_said_at_once(path: Path) -> None:
    with pytest.raises(UsageError, match="once, record, play"):
        Cassette(path, mode="twice")
    with pytest.raises(UsageError, match="list of names"):
        Cassette(path, hide="x-team")
    with pytest.raises(UsageError, match="not int"):
        Cassette(path, session=3)


async def test_a_cassette_is_open_once(path: Path) -> None:
    cassette = Cassette(path)
    chat = openai.but(key=KEY, session=cassette)
    with pytest.raises(UsageError, match="not open"):
        await chat("Hi")
    with cassette, pytest.raises(UsageError, match="opened before"), cassette:
        pass
    with pytest.raises(UsageError, match="not open"):
        await chat("Hi")
    assert issubclass(NotRecorded, UsageError)
    assert Truncated.retryable
