"""The local server does on the wire what its replies say: seen with bare streams and aiohttp."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import re
import shutil
import socket
import ssl
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import aiohttp
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxchat.events import Finish, Other, Reasoning, Text
from rxchat.testing.exchange import Exchange
from rxchat.testing.fault_scripts import faults
from rxchat.testing.replies import HOLD, Framing, Reply, Then
from rxchat.testing.server import Ear, LocalServer
from rxchat.testing.voices import ANYTHING, Voice
from rxchat.testing.voices.old_services import OLD_SERVICES

T = TypeVar("T")


async def soon(awaitable: Awaitable[T]) -> T:
    """Nothing here may take long; a test that waits for ever fails instead."""
    return await asyncio.wait_for(awaitable, 5)


# --- a client made of bare streams ---


@asynccontextmanager
async def dial(
    server: LocalServer, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await soon(asyncio.open_connection("127.0.0.1", server.port, ssl=tls))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await soon(writer.wait_closed())


def ask(body: bytes = b"", *lines: str, target: str = "/x", version: str = "1.1") -> bytes:
    head = (f"POST {target} HTTP/{version}", "Host: here", f"Content-Length: {len(body)}", *lines)
    return "\r\n".join((*head, "", "")).encode() + body


async def answer(server: LocalServer, request: bytes) -> bytes:
    """Everything that comes until the server closes."""
    async with dial(server) as (reader, writer):
        writer.write(request)
        return await soon(reader.read())


def split(raw: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(status.split()[1]), headers, body


def unchunk(body: bytes) -> tuple[list[bytes], bool]:
    """The whole chunks, and whether the last one came."""
    chunks: list[bytes] = []
    while body:
        size, _, body = body.partition(b"\r\n")
        if not int(size, 16):
            assert body == b"\r\n"
            return chunks, True
        chunks.append(body[: int(size, 16)])
        assert len(chunks[-1]) == int(size, 16)
        assert body[int(size, 16) :][:2] == b"\r\n"
        body = body[int(size, 16) + 2 :]
    return chunks, False


@pytest.fixture
async def server() -> AsyncIterator[LocalServer]:
    async with LocalServer(voices=[ANYTHING]) as server:
        yield server


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(5)) as session:
        yield session


# --- replies are values ---


@pytest.mark.parametrize(
    "how",
    [
        {"body": b"x", "finish": True},
        {"repeat": 2},
        {"body": b"x", "repeat": 0},
        {"pace": -1},
        {"headers_after": -1},
        {"cuts": 0},
        {"cuts": [3, 2]},
        {"cuts": [0, 2]},
        {"after": -1},
        {"status_code": 100},
        {"status_code": 204, "body": b"x"},
        {"then": "explode"},
        {"framing": "pigeon"},
        {"encoding": "rot13"},
        {"framing": "close", "then": "cut"},
        {"framing": "length", "then": "keepalive", "after": 1},
        {"framing": "length", "then": "cut"},
        {"headers": {"X": "a\r\nY: b"}},
        {"headers": {"X": "Привет"}},
    ],
)
def test_an_impossible_reply_cannot_be_made(how: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="impossible reply"):
        Reply(**how)


def test_pieces_are_what_a_model_says_and_not_bytes() -> None:
    with pytest.raises(ValueError, match="bytes belong in body="):
        Reply(b"Hello")
    with pytest.raises(ValueError, match="says pieces and has a raw body"):
        Reply("Hello", body=b"Hello")


def test_brotli_is_missed_when_the_reply_is_made_and_not_when_it_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rxchat.testing.replies.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="needs the package brotli"):
        Reply("Hello", encoding="br")


@given(
    pieces=st.lists(st.binary(max_size=9), max_size=9),
    cuts=st.none() | st.integers(1, 12) | st.sets(st.integers(1, 60)).map(sorted),
    after=st.none() | st.integers(0, 80),
)
def test_cutting_moves_borders_and_loses_no_byte(
    pieces: list[bytes], cuts: int | list[int] | None, after: int | None
) -> None:
    body = b"".join(pieces)[:after]
    writes = list(Reply(cuts=cuts, after=after).writes(pieces))
    assert b"".join(bytes(write) for write in writes if isinstance(write, bytes)) == body
    assert all(writes)
    ends = [sum(map(len, writes[: i + 1])) for i in range(len(writes))]
    wanted = {
        end
        for end in (
            range(cuts, len(body), cuts)
            if isinstance(cuts, int)
            else [sum(map(len, pieces[:i])) for i in range(len(pieces))]
            if cuts is None
            else cuts
        )
        if 0 < end < len(body)
    }
    assert ends == sorted(wanted | ({len(body)} - {0}))


def test_a_hold_is_a_cut_and_later_cuts_stay_where_they_are() -> None:
    assert list(Reply(cuts=3).writes([b"ab", HOLD, b"cdefg"])) == [b"ab", HOLD, b"c", b"def", b"g"]


# --- what comes over the wire ---


async def test_each_piece_is_a_chunk_of_its_own(server: LocalServer) -> None:
    server.reply = Reply("Hello", " ", "", "world")
    status, headers, body = split(await answer(server, ask(b"", "Connection: close")))
    assert (status, headers["transfer-encoding"]) == (200, "chunked")
    assert body == b"5\r\nHello\r\n1\r\n \r\n5\r\nworld\r\n0\r\n\r\n"
    assert await soon(server.exchanges[0].ended) == "complete"
    assert server.exchanges[0].sent == 11


@pytest.mark.parametrize(
    ("cuts", "chunks"),
    [
        (None, [b"Hello", b" world"]),
        (4, [b"Hell", b"o wo", b"rld"]),
        ([1, 6], [b"H", b"ello ", b"world"]),
        (99, [b"Hello world"]),
    ],
)
async def test_cuts_are_where_they_were_asked_for(
    server: LocalServer, cuts: Any, chunks: list[bytes]
) -> None:
    server.reply = Reply("Hello", " world", cuts=cuts)
    _, _, body = split(await answer(server, ask(b"", "Connection: close")))
    assert unchunk(body) == (chunks, True)


async def test_a_cut_may_split_a_character(server: LocalServer) -> None:
    server.reply = Reply("🌍", cuts=1)
    _, _, body = split(await answer(server, ask(b"", "Connection: close")))
    assert unchunk(body) == ([bytes([byte]) for byte in "🌍".encode()], True)


async def test_the_length_may_be_told_beforehand(server: LocalServer) -> None:
    server.reply = Reply("Hello", " ", "world", framing="length")
    _, headers, body = split(await answer(server, ask(b"", "Connection: close")))
    assert (headers["content-length"], body) == ("11", b"Hello world")
    assert "transfer-encoding" not in headers


async def test_the_end_may_be_the_end_of_the_connection(server: LocalServer) -> None:
    server.reply = Reply("Hello", framing="close")
    _, headers, body = split(await answer(server, ask()))
    assert (headers["connection"], body) == ("close", b"Hello")
    assert not headers.keys() & {"content-length", "transfer-encoding"}


@pytest.mark.parametrize("framing", ["chunked", "length"])
async def test_an_early_end_is_clean_for_http(server: LocalServer, framing: Framing) -> None:
    server.reply = Reply("Hello", " world", after=7, framing=framing)
    async with aiohttp.request("POST", server.url + "/x") as response:
        assert await response.read() == b"Hello w"
    assert await soon(server.exchanges[0].ended) == "complete"


@pytest.mark.parametrize("framing", ["chunked", "length"])
async def test_a_cut_is_an_end_of_the_connection_within_the_message(
    server: LocalServer, framing: Framing
) -> None:
    server.reply = Reply("Hello", " world", after=7, then="cut", framing=framing)
    _, headers, body = split(await answer(server, ask()))
    if framing == "chunked":
        assert unchunk(body) == ([b"Hello", b" w"], False)
    else:
        assert (headers["content-length"], body) == ("11", b"Hello w")
    assert await soon(server.exchanges[0].ended) == "failed on purpose"


async def test_aiohttp_sees_a_cut_as_a_payload_error(
    server: LocalServer, session: aiohttp.ClientSession
) -> None:
    server.reply = Reply("Hello", then="cut")
    async with session.post(server.url + "/x") as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


async def test_a_reset_is_a_reset_and_what_came_before_it_came(server: LocalServer) -> None:
    server.reply = Reply("Hello", " world", after=5, then="reset")
    async with dial(server) as (reader, writer):
        writer.write(ask())
        await soon(reader.readuntil(b"5\r\nHello\r\n"))
        with pytest.raises(ConnectionResetError):
            await soon(reader.read())
    assert await soon(server.exchanges[0].ended) == "failed on purpose"


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
async def test_a_stall_lasts_until_the_client_leaves(server: LocalServer, framing: Framing) -> None:
    server.reply = Reply("Hello", " world", after=5, then="stall", framing=framing)
    async with dial(server) as (reader, writer):
        writer.write(ask())
        exchange = await soon(server.next_exchange())
        await soon(exchange.holding())
        assert exchange.sent == 5
        await soon(reader.readuntil(b"Hello"))
        assert not exchange.ended.done()
    assert await soon(exchange.ended) == "hung up"


async def test_keep_alive_bytes_come_until_the_client_leaves() -> None:
    voice = Voice("comments", "/x", keepalive=b": still here\n\n", end=b"[DONE]")
    async with LocalServer(Reply("a", then="keepalive", pace=0.001), voices=[voice]) as server:
        async with dial(server) as (reader, writer):
            writer.write(ask())
            for _ in range(3):
                await soon(reader.readuntil(b": still here\n\n\r\n"))
            exchange = server.exchanges[0]
            assert not exchange.ended.done()
        assert await soon(exchange.ended) == "hung up"


async def test_a_voice_without_keep_alive_bytes_says_so(server: LocalServer) -> None:
    server.reply = Reply("a", then="keepalive")
    status, _, body = split(await answer(server, ask(b"", "Connection: close")))
    assert status == 500
    assert b"anything has no keep-alive bytes" in body


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({}, b"<a.>"),
        ({"finish": False}, b"<a."),
        ({"then": "cut"}, b"<a."),
        ({"then": "cut", "finish": True}, b"<a.>"),
        ({"then": "cut", "after": 99}, b"<a.>"),
    ],
)
async def test_the_end_marker_comes_if_all_goes_well_or_if_asked_for(
    how: dict[str, Any], said: bytes
) -> None:
    voice = Voice("brackets", "/x", render=lambda it: f"{it}.".encode(), opening=b"<", end=b">")
    async with LocalServer(Reply("a", **how), voices=[voice]) as server:
        _, _, body = split(await answer(server, ask(b"", "Connection: close")))
        assert b"".join(unchunk(body)[0]) == said


async def test_a_hold_waits_for_its_release_and_nothing_else(server: LocalServer) -> None:
    server.reply = Reply("a", HOLD, "b", HOLD, "c")
    async with dial(server) as (reader, writer):
        writer.write(ask(b"", "Connection: close"))
        exchange = await soon(server.exchange(0))
        for sent, piece in enumerate((b"a", b"b"), 1):
            await soon(exchange.holding())
            assert exchange.sent == sent
            await soon(reader.readuntil(piece + b"\r\n"))
            exchange.release()
            assert not exchange.waiting
        assert await soon(reader.read()) == b"1\r\nc\r\n0\r\n\r\n"
    assert await soon(exchange.ended) == "complete"


async def test_a_hold_that_was_released_before_does_not_wait(server: LocalServer) -> None:
    server.reply = Reply("a", HOLD, "b", HOLD, "c")
    async with dial(server) as (_, writer):
        writer.write(ask())
        exchange = await soon(server.exchange(0))
        await soon(exchange.holding())
        exchange.release()
        exchange.release()
        assert await soon(exchange.ended) == "complete"


async def test_headers_can_be_held_too(server: LocalServer) -> None:
    server.reply = Reply("a", headers_after=HOLD)
    async with dial(server) as (reader, writer):
        writer.write(ask(b"", "Connection: close"))
        exchange = await soon(server.exchange(0))
        await soon(exchange.holding())
        early = asyncio.create_task(reader.read(1))
        await asyncio.sleep(0)
        assert not early.done()
        exchange.release()
        assert await soon(early) == b"H"


async def test_headers_and_pieces_take_the_time_they_are_told_to(server: LocalServer) -> None:
    server.reply = Reply("a", "b", "c", headers_after=0.02, pace=0.01)
    clock = asyncio.get_running_loop().time
    start = clock()
    async with dial(server) as (reader, writer):
        writer.write(ask())
        await soon(reader.readexactly(1))
        assert clock() - start >= 0.019
        await soon(reader.readuntil(b"0\r\n\r\n"))
        assert clock() - start >= 0.038


async def test_progress_can_be_awaited(server: LocalServer) -> None:
    server.reply = Reply("Hello", HOLD, " world", then="cut")
    async with dial(server) as (_, writer):
        writer.write(ask())
        exchange = await soon(server.exchange(0))
        await soon(exchange.sending(5))
        further = asyncio.create_task(exchange.sending(11))
        beyond = asyncio.create_task(exchange.sending(12))
        exchange.release()
        await soon(further)
        with pytest.raises(LookupError, match="failed on purpose after 11 bytes, before 12 bytes"):
            await soon(beyond)


async def test_a_deadline_of_the_test_does_not_disturb_the_exchange(server: LocalServer) -> None:
    server.reply = Reply(HOLD)
    async with dial(server) as (_, writer):
        writer.write(ask())
        exchange = await soon(server.exchange(0))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(exchange.ended, 0)
        exchange.release()
        assert await soon(exchange.ended) == "complete"


# --- the client hangs up ---


@pytest.mark.parametrize(
    "reply",
    [
        Reply("a", HOLD),
        Reply("a", then="stall"),
        Reply("a", "b", pace=1000),
        Reply("a", headers_after=1000),
        Reply("a", headers_after=HOLD),
        Reply(body=bytes(65536), repeat=100_000),
    ],
    ids=["hold", "stall", "pace", "headers", "held headers", "full pipe"],
)
@pytest.mark.parametrize("manner", ["close", "abort", "half-close"])
async def test_hanging_up_is_noticed_whatever_the_reply_waits_for(
    server: LocalServer, reply: Reply, manner: str
) -> None:
    server.reply = reply
    async with dial(server) as (_, writer):
        writer.write(ask())
        exchange = await soon(server.next_exchange())
        if not reply.headers_after:
            await soon(exchange.sending(1))
        assert not exchange.ended.done()
        match manner:
            case "close":
                writer.close()
            case "abort":
                writer.transport.abort()
            case _:
                writer.write_eof()
        assert await soon(exchange.ended) == "hung up"
        await soon(server.disconnected())
    assert server.connections == 0


async def test_leaving_an_aiohttp_response_is_hanging_up(
    server: LocalServer, session: aiohttp.ClientSession
) -> None:
    server.reply = Reply("a", then="stall")
    async with session.post(server.url + "/x") as response:
        assert await response.content.readany() == b"a"
    assert await soon(server.exchanges[0].ended) == "hung up"


@pytest.mark.parametrize(
    "part", [b"", b"POST", ask()[:-2], ask(b"12345")[:-1], b"\r\n"], ids=range(5)
)
async def test_a_client_that_vanishes_in_its_request_is_forgotten(
    server: LocalServer, part: bytes
) -> None:
    async with dial(server) as (_, writer):
        writer.write(part)
        await soon(writer.drain())
    # The server takes connections in turn, so that after this one the other has been heard.
    assert split(await answer(server, ask(b"", "Connection: close")))[0] == 200
    await soon(server.disconnected())
    assert len(server.exchanges) == 1


async def fill_the_pipe(exchange: Exchange) -> int:
    """Wait until a client that does not read has stopped the server."""
    await soon(exchange.sending(1))
    sent = 0
    while sent != exchange.sent:
        sent = exchange.sent
        for _ in range(100):
            await asyncio.sleep(0)
    return sent


async def test_a_client_that_left_before_the_reply_began_has_hung_up_too() -> None:
    ear = Ear()
    ear.feed_data(ask())
    ear.feed_eof()
    with pytest.raises(TimeoutError):
        async with ear.while_listened_to():
            try:
                for _ in range(9):
                    await asyncio.sleep(0)
            except asyncio.CancelledError:
                ear.set_exception(ConnectionResetError())  # the connection is lost only now
                raise


async def test_a_slow_client_stops_the_server(server: LocalServer) -> None:
    server.reply = Reply(body=bytes(65536), repeat=1000)
    async with dial(server) as (reader, writer):
        writer.write(ask())
        exchange = await soon(server.exchange(0))
        sent = await fill_the_pipe(exchange)
        assert sent < 65536 * 1000
        while await soon(reader.read(1 << 20)) and not exchange.ended.done():
            pass
    assert exchange.sent == 65536 * 1000
    assert await soon(exchange.ended) == "complete"


# --- compression ---


@pytest.mark.parametrize(("encoding", "wbits"), [("gzip", 31), ("deflate", 15)])
async def test_a_compressed_piece_can_be_read_before_the_next_one_is_sent(
    server: LocalServer, encoding: Any, wbits: int
) -> None:
    server.reply = Reply("Hello", HOLD, " world", encoding=encoding)
    inflate = zlib.decompressobj(wbits)
    async with dial(server) as (reader, writer):
        writer.write(ask(b"", "Connection: close"))
        _, headers, _ = split(await soon(reader.readuntil(b"\r\n\r\n")))
        assert headers["content-encoding"] == encoding
        size = int(await soon(reader.readline()), 16)
        assert inflate.decompress(await soon(reader.readexactly(size))) == b"Hello"
        server.exchanges[0].release()
        chunks, whole = unchunk((await soon(reader.read()))[2:])
    assert whole
    assert b"".join(map(inflate.decompress, chunks)) == b" world"
    assert inflate.eof


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_aiohttp_reads_what_was_compressed(
    server: LocalServer, session: aiohttp.ClientSession, encoding: Any, framing: Framing
) -> None:
    server.reply = Reply("Привет, ", "мир", encoding=encoding, framing=framing, cuts=3)
    async with session.post(server.url + "/x") as response:
        assert await response.text() == "Привет, мир"


async def test_brotli_is_used_where_it_is_installed(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Compressor:
        """Has the methods of `brotli.Compressor`, and brackets for a format."""

        def process(self, data: bytes) -> bytes:
            return b"<" + data

        def flush(self) -> bytes:
            return b">"

        def finish(self) -> bytes:
            return b"."

    monkeypatch.setitem(sys.modules, "brotli", SimpleNamespace(Compressor=Compressor))
    monkeypatch.setattr("rxchat.testing.replies.find_spec", lambda name: "found")
    server.reply = Reply("a", "b", encoding="br")
    _, headers, body = split(await answer(server, ask(b"", "Connection: close")))
    assert headers["content-encoding"] == "br"
    assert unchunk(body) == ([b"<a>", b"<b>", b"."], True)


# --- HTTP: requests and connections ---


async def test_a_request_is_kept_as_it_came(server: LocalServer) -> None:
    body = b'{"a": [1]}'
    await answer(server, ask(body, "X-Twice: 1", "x-twice: 2", "Connection: close", target="/p?q"))
    (exchange,) = server.exchanges
    assert (exchange.method, exchange.target, exchange.path) == ("POST", "/p?q", "/p")
    assert (exchange.body, exchange.json) == (body, {"a": [1]})
    assert exchange.headers["X-TWICE"] == "1, 2"
    assert exchange.headers.raw[2:4] == [("X-Twice", "1"), ("x-twice", "2")]
    assert exchange.headers.get("x-none") is None


async def test_one_connection_serves_many_requests(
    server: LocalServer, session: aiohttp.ClientSession
) -> None:
    server.plan(Reply.status(429), Reply("ok", framing="length"), Reply(status_code=204))
    statuses: list[int] = []
    for _ in range(5):
        async with session.post(server.url + "/x", data=b"hi") as response:
            statuses.append(response.status)
            await response.read()
    assert statuses == [429, 200, 204, 200, 200]
    assert (server.accepted, server.connections) == (1, 1)
    assert len(server.exchanges) == 5


@pytest.mark.parametrize(
    ("request_", "closes"),
    [
        (ask(), False),
        (ask(b"", "Connection: keep-alive"), False),
        (ask(b"", "Connection: TE, Close"), True),
        (ask(version="1.0"), True),
    ],
    ids=["silent", "keep-alive", "close", "HTTP/1.0"],
)
async def test_the_connection_is_closed_only_if_so_said(
    server: LocalServer, request_: bytes, closes: bool
) -> None:
    async with dial(server) as (reader, writer):
        writer.write(request_)
        assert await soon((await soon(server.exchange(0))).ended) == "complete"
        if closes:
            raw = await soon(reader.read())
            assert split(raw)[1]["connection"] == "close"
        else:
            writer.write(ask())
            assert await soon((await soon(server.exchange(1))).ended) == "complete"


async def test_http_1_0_gets_no_chunks(server: LocalServer) -> None:
    _, headers, body = split(await answer(server, ask(version="1.0")))
    assert body == b"Hello"
    assert "transfer-encoding" not in headers


async def test_a_chunked_request_is_put_together(server: LocalServer) -> None:
    request = (
        b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\nConnection: close\r\n\r\n"
        b"3;why=not\r\nabc\r\n0A \r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n"
    )
    assert split(await answer(server, request))[0] == 200
    assert server.exchanges[0].body == b"abc0123456789"


async def test_a_client_that_waits_for_100_continue_is_told_to_go_on(
    server: LocalServer, session: aiohttp.ClientSession
) -> None:
    async with session.post(server.url + "/x", data=b"payload", expect100=True) as response:
        assert await response.text() == "Hello"
    assert server.exchanges[0].body == b"payload"


async def test_head_and_204_have_no_body(server: LocalServer) -> None:
    head = b"HEAD /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    server.reply = Reply("Hello", encoding="gzip")
    assert split(await answer(server, head))[2] == b""
    server.reply = Reply.status(204)
    status, headers, body = split(await answer(server, ask(b"", "Connection: close")))
    assert (status, body) == (204, b"")
    assert headers == {"connection": "close"}


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"what is this?\r\n\r\n", 400),
        (b"POST /x HTTP/2.0\r\nHost: h\r\n\r\n", 400),
        (b"POST /x HTTP/1.1\r\n\r\n", 400),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"POST /x HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nBad Name: 1\r\n\r\n", 400),
        (ask(b"", "Content-Length: 7"), 400),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: \xb2\r\n\r\n", 400),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (ask(b"", "Transfer-Encoding: chunked"), 400),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\n", 400),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", 400),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n", 413),
        (b"POST /x HTTP/1.1\r\nX: " + bytes(8_000_000) + b"\r\n\r\n", 431),
    ],
)
async def test_what_is_not_http_is_refused_and_the_connection_closed(
    server: LocalServer, request_: bytes, status: int
) -> None:
    async with dial(server) as (reader, writer):
        writer.write(request_)
        seen, headers, body = split(await soon(reader.read()))
    assert (seen, headers["connection"]) == (status, "close")
    assert "error" in msgspec.json.decode(body)
    assert server.exchanges == []


async def test_a_refused_client_can_finish_its_sentence(server: LocalServer) -> None:
    async with dial(server) as (reader, writer):
        writer.write(b"what is this?\r\n\r\n")
        assert split(await soon(reader.read()))[0] == 400
        for _ in range(20):
            writer.write(bytes(100_000))
            await soon(writer.drain())
        assert server.connections == 1
    await soon(server.disconnected())


async def test_a_client_may_take_the_server_for_a_proxy(
    server: LocalServer, session: aiohttp.ClientSession
) -> None:
    async with session.post(
        "http://chat.example/chat?x=1",
        proxy=server.url.replace("http://", "http://me:secret@"),
        json=CROMICLE,
        headers={"accept": "*/*"},
    ) as response:
        assert (response.status, await response.text()) == (200, "Hello")
    (exchange,) = server.exchanges
    assert (exchange.target, exchange.path) == ("http://chat.example/chat?x=1", "/chat")
    assert exchange.headers["host"] == "chat.example"
    assert exchange.headers["proxy-authorization"] == "Basic bWU6c2VjcmV0"


async def test_headers_of_the_reply_stand_for_those_of_the_server(server: LocalServer) -> None:
    server.reply = Reply("a", headers={"content-type": "text/odd", "X-Id": "7"}, status_code=529)
    status, headers, _ = split(await answer(server, ask(b"", "Connection: close")))
    assert (status, headers["content-type"], headers["x-id"]) == (529, "text/odd", "7")
    server.reply = Reply("a", content_type="", headers={"Connection": "close"})
    _, headers, _ = split(await answer(server, ask()))
    assert "content-type" not in headers


# --- ready-made replies ---


async def test_ready_made_replies_are_what_they_are_called(
    server: LocalServer, session: aiohttp.ClientSession
) -> None:
    server.plan(
        Reply.status(429, "slow down", headers={"Retry-After": "2"}),
        Reply.status(500, json=["oh"]),
        Reply.status(502, body=b"Bad Gateway"),
        Reply.html(),
        Reply.garbage(),
        Reply.empty(),
        Reply.redirect("https://elsewhere.example/"),
    )
    seen: list[tuple[int, str, bytes]] = []
    headers: list[Any] = []
    for _ in range(7):
        async with session.post(server.url + "/x", allow_redirects=False) as response:
            seen.append((response.status, response.content_type, await response.read()))
            headers.append(response.headers)
    assert seen[0] == (429, "application/json", b'{"error":{"message":"slow down"}}')
    assert headers[0]["Retry-After"] == "2"
    assert seen[1] == (500, "application/json", b'["oh"]')
    assert seen[2] == (502, "text/plain", b"Bad Gateway")
    assert seen[3][:2] == (200, "text/html")
    assert b"<title>Just a moment...</title>" in seen[3][2]
    with pytest.raises(UnicodeDecodeError):
        seen[4][2].decode()
    assert seen[5] == (200, "text/plain", b"")
    assert (seen[6][0], seen[6][2]) == (307, b"")
    assert headers[6]["Location"] == "https://elsewhere.example/"


async def test_a_refused_request_uses_up_no_planned_reply(
    server: LocalServer, session: aiohttp.ClientSession
) -> None:
    server.plan(Reply("planned"))
    async with session.post(server.url + "/chat") as response:
        assert response.status == 415
    async with session.post(server.url + "/x") as response:
        assert await response.text() == "planned"


async def test_a_voice_that_fails_is_seen_by_whoever_asks() -> None:
    def broken(exchange: Exchange, body: Any) -> Reply | None:
        raise KeyError("oops")

    async with LocalServer(voices=[Voice("broken", "/x", objection=broken)]) as server:
        status, _, body = split(await answer(server, ask(b"", "Connection: close")))
        assert (status, b"KeyError: 'oops'" in body) == (500, True)
    async with LocalServer(Reply(Reasoning("hm")), voices=[ANYTHING]) as server:
        status, _, body = split(await answer(server, ask(b"", "Connection: close")))
        assert (status, b"raw text cannot say" in body) == (500, True)


# --- the voices ---

USER_AGENT = "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:{0}.0) Gecko/20100101 Firefox/{1}.0"
FOR_ANYTHING = {"Accept": "*/*", "Content-Type": "application/json"}
FROM_A_PAGE = {"Sec-Fetch-Dest": "empty", "Sec-Fetch-Mode": "cors", "TE": "trailers"}
GREETING = {"role": "assistant", "content": "Hello, how can I help you today?"}
SAID = [{"role": "user", "content": "Hello"}]

CROMICLE = {
    "message": "Hello",
    "token": "abc",
    "hash": "d40e8531b8d2ef442a6dea109d0d77e15abc8c3f23d6b73d6f5b75975b2f2b7f",
}
ACYTOO = {
    "key": "",
    "model": "gpt-3.5-turbo",
    "messages": SAID,
    "temperature": 0.5,
    "password": "",
}
FLOWGPT = {
    "model": "gpt-3.5-turbo",
    "nsfw": False,
    "question": "Hello",
    "history": [GREETING],
    "system": "Be brief.",
    "temperature": 0.7,
    "promptId": "model-gpt-3.5-turbo",
    "documentIds": [],
    "chatFileDocumentIds": [],
    "generateImage": False,
    "generateAudio": False,
}
FLOWGPT_HEADERS = FROM_A_PAGE | {
    "User-Agent": USER_AGENT.format(122, 122),
    "Accept": "*/*",
    "Accept-Language": "en-US;q=0.7,en;q=0.3",
    "Referer": "https://flowgpt.com/",
    "Content-Type": "application/json",
    "Authorization": "Bearer null",
    "Origin": "https://flowgpt.com",
    "Sec-Fetch-Site": "same-site",
    "x-flow-device-id": "f-0123456789abcdefghi",
    "x-nonce": "0123456789abcdef0123456789abcdef",
    "x-timestamp": "1724000000",
    "x-signature": "29e5608fb8b09bd300ad0cd1384088a8",
}
CHATANYWHERE = {
    "list": SAID,
    "id": "s1_qYuOLXjI3rEpc7WHfQ",
    "title": "Hello",
    "prompt": "",
    "temperature": 0.5,
    "models": "61490748",
    "continuous": True,
}
CHATANYWHERE_HEADERS = FROM_A_PAGE | {
    "User-Agent": USER_AGENT.format(109, 119),
    "Accept": "application/json, text/plain, */*",
    "Accept-Language": "de,en-US;q=0.7,en;q=0.3",
    "Content-Type": "application/json",
    "Referer": "https://chatanywhere.cn/",
    "Origin": "https://chatanywhere.cn",
    "Sec-Fetch-Site": "same-origin",
    "Authorization": "",
}

RIGHT: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "/chat": (FOR_ANYTHING, CROMICLE),
    "/api/completions": (FOR_ANYTHING, ACYTOO),
    "/v3/chat-anonymous": (FLOWGPT_HEADERS, FLOWGPT),
    "/v1/chat/gpt/": (CHATANYWHERE_HEADERS, CHATANYWHERE),
}


async def status_of(
    session: aiohttp.ClientSession,
    server: LocalServer,
    path: str,
    headers: dict[str, str],
    body: object,
    method: str = "POST",
) -> int:
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    url = server.url + path
    async with session.request(method, url, headers=headers, data=data) as response:
        await response.read()
        return response.status


def test_every_old_voice_has_its_example_here() -> None:
    assert {voice.path for voice in OLD_SERVICES} == RIGHT.keys()


@pytest.mark.parametrize("path", RIGHT)
async def test_a_right_request_is_answered_and_each_wrong_one_refused(
    session: aiohttp.ClientSession, path: str
) -> None:
    headers, body = RIGHT[path]
    async with LocalServer() as server:

        async def seen(headers: dict[str, str], body: object, method: str = "POST") -> int:
            return await status_of(session, server, path, headers, body, method)

        assert await seen(headers, body) == 200
        assert await seen(headers, body, "PUT") == 405
        assert await seen(headers | {"Content-Type": "text/plain"}, body) == 415
        assert await seen(headers, b"{not json") == 400
        assert await seen(headers, {**body, "more": 1}) == 422
        for key in body:
            assert await seen(headers, {k: v for k, v in body.items() if k != key}) == 422, key
        for name in headers.keys() - {"Content-Type"}:
            wrong = 403 if name == "x-signature" else 400
            assert await seen(headers | {name: "Wrong"}, body) == wrong, name
        assert await status_of(session, server, path + "/attic", headers, body) == 404


@pytest.mark.parametrize(
    ("path", "wrong", "status"),
    [
        (
            "/chat",
            {"hash": "68d54a9d2ee960b66161c964a9314f15a5974adef27bb149e48106589a4dd294"},
            403,
        ),
        ("/chat", {"hash": CROMICLE["hash"].upper()}, 403),
        ("/chat", {"message": "hello"}, 403),
        ("/api/completions", {"model": "gpt-4"}, 422),
        ("/api/completions", {"messages": []}, 422),
        ("/api/completions", {"password": "x"}, 422),
        ("/v3/chat-anonymous", {"promptId": "model-gpt-4"}, 422),
        ("/v3/chat-anonymous", {"nsfw": True}, 422),
        ("/v3/chat-anonymous", {"generateAudio": True}, 422),
        ("/v3/chat-anonymous", {"documentIds": ["x"]}, 422),
        ("/v3/chat-anonymous", {"history": SAID}, 422),
        ("/v3/chat-anonymous", {"history": [GREETING, {"role": "system", "content": ""}]}, 422),
        ("/v3/chat-anonymous", {"system": ""}, 422),
        ("/v1/chat/gpt/", {"title": "Hi"}, 422),
        ("/v1/chat/gpt/", {"models": 61490748}, 422),
        ("/v1/chat/gpt/", {"continuous": False}, 422),
    ],
)
async def test_a_body_that_only_looks_right_is_refused(
    session: aiohttp.ClientSession, path: str, wrong: dict[str, Any], status: int
) -> None:
    headers, body = RIGHT[path]
    async with LocalServer() as server:
        assert await status_of(session, server, path, headers, {**body, **wrong}) == status


@pytest.mark.parametrize(
    ("token", "message", "digest"),
    [
        ("asdap", "hello", "dda6ea4e1dc215f198084018b1df20cfeafe9fbdfe31d8a350d6917509158d8a"),
        ("abc", "Hello", "d40e8531b8d2ef442a6dea109d0d77e15abc8c3f23d6b73d6f5b75975b2f2b7f"),
        ("abc", "Привет 🌍", "630555288e92ae3443b97b3658bf2aa76c6cefca36417603c4bff599da86ad7c"),
    ],
)
async def test_cromicle_knows_the_hashes_of_others(
    session: aiohttp.ClientSession, token: str, message: str, digest: str
) -> None:
    body = {"message": message, "token": token, "hash": digest}
    async with LocalServer() as server:
        assert await status_of(session, server, "/chat", FOR_ANYTHING, body) == 200


async def test_flowgpt_knows_the_signatures_of_others(session: aiohttp.ClientSession) -> None:
    signed = FLOWGPT_HEADERS | {
        "x-timestamp": "1731054192",
        "x-nonce": "f511cff4304785287c9d7b406838d408",
        "x-signature": "f577765f901a075757fb8ec2190132d2",
    }
    async with LocalServer() as server:
        path = "/v3/chat-anonymous"
        assert await status_of(session, server, path, signed, FLOWGPT) == 200
        later = signed | {"x-timestamp": "1731054193"}
        assert await status_of(session, server, path, later, FLOWGPT) == 403
        for name, value in {
            "x-nonce": "F511CFF4304785287C9D7B406838D408",
            "x-timestamp": "1731054192.5",
            "x-flow-device-id": "f-short",
        }.items():
            assert await status_of(session, server, path, signed | {name: value}, FLOWGPT) == 400


async def test_flowgpt_speaks_in_lines_and_the_others_in_plain_text(
    session: aiohttp.ClientSession,
) -> None:
    async with LocalServer() as server:
        for path, (headers, body) in RIGHT.items():
            flowgpt = path == "/v3/chat-anonymous"
            server.reply = Reply("a", Text("б"), *([Other("fee", {"n": 1})] if flowgpt else []))
            async with session.post(
                server.url + path, headers=headers, data=msgspec.json.encode(body)
            ) as response:
                told = await response.text()
            assert told == (
                '{"event":"text","data":"a"}\n\n{"event":"text","data":"б"}\n\n'
                '{"event":"fee","data":{"n":1}}\n\n'
                if flowgpt
                else "aб"
            )
        server.reply = Reply(Finish())
        for path, (headers, body) in RIGHT.items():
            assert await status_of(session, server, path, headers, body) == 500


async def test_a_test_may_add_a_voice_and_replace_one(session: aiohttp.ClientSession) -> None:
    many = Voice("many", "/v1beta/models/*:stream", end=b"!")
    mine = Voice("mine", "/chat", end=b"?")
    last = Voice("last", "/last", end=b".")
    async with LocalServer(voices=[many, mine, ANYTHING, last]) as server:
        for path, said in {
            "/v1beta/models/x:stream": "Hello!",
            "/chat": "Hello?",
            "/last": "Hello.",
            "/else": "Hello",
        }.items():
            async with session.post(server.url + path) as response:
                assert await response.text() == said


# --- the server as a whole ---


async def test_next_exchange_gives_each_request_once_also_those_that_came_before(
    server: LocalServer,
) -> None:
    for _ in range(2):
        await answer(server, ask(b"", "Connection: close"))
    assert await soon(server.next_exchange()) is server.exchanges[0]
    assert await soon(server.next_exchange()) is server.exchanges[1]
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(server.next_exchange(), 0.001)
    third = asyncio.create_task(server.next_exchange())
    await answer(server, ask(b"", "Connection: close"))
    assert await soon(third) is server.exchanges[2]


def open_sockets() -> set[str]:
    """The sockets of this process, where that can be known."""
    found: set[str] = set()
    for descriptor in Path("/proc/self/fd").glob("*"):
        with suppress(OSError):  # the listing itself is a descriptor, and gone by now
            found.add(str(descriptor.readlink()))
    return {name for name in found if name.startswith("socket:")}


async def test_nothing_is_left_after_the_end() -> None:
    complaints: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    before = asyncio.all_tasks()
    sockets = open_sockets()
    replies = [Reply("a", HOLD), Reply("a", then="stall"), Reply(body=bytes(65536), repeat=9999)]
    writers: list[asyncio.StreamWriter] = []
    async with LocalServer(voices=[ANYTHING]) as server:
        server.plan(*replies)
        for request in (ask(), ask(), ask(), ask()[:9], b""):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(request)
            writers.append(writer)
        await fill_the_pipe(await soon(server.exchange(2)))
    assert asyncio.all_tasks() == before
    assert server.connections == 0
    assert {await soon(exchange.ended) for exchange in server.exchanges} == {"stopped"}
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", server.port)
    for writer in writers:
        writer.close()
    await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)
    assert open_sockets() == sockets
    gc.collect()
    assert complaints == []


@pytest.mark.parametrize("turns", range(6))
async def test_the_end_may_come_while_a_client_is_being_connected(turns: int) -> None:
    async with LocalServer() as server:
        client = socket.create_connection(("127.0.0.1", server.port))
        for _ in range(turns):
            await asyncio.sleep(0)
    with client:
        for _ in range(9):
            await asyncio.sleep(0)
        assert server.connections == 0
        client.settimeout(5)
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""


async def test_many_at_once_are_served_at_once(session: aiohttp.ClientSession) -> None:
    async with LocalServer(Reply("a", HOLD, "b"), voices=[ANYTHING]) as server:

        async def one() -> str:
            async with session.post(server.url + "/x") as response:
                return await response.text()

        clients = [asyncio.create_task(one()) for _ in range(50)]
        for index in range(50):
            await soon((await soon(server.exchange(index))).holding())
        assert server.connections == server.accepted == 50
        for exchange in server.exchanges:
            exchange.release()
        assert await soon(asyncio.gather(*clients)) == ["ab"] * 50


async def test_a_big_body_is_streamed(server: LocalServer, session: aiohttp.ClientSession) -> None:
    piece = bytes(range(256)) * 256
    server.reply = Reply(body=piece, repeat=300, cuts=50_000, framing="length")
    seen = hashlib.sha256()
    async with session.post(server.url + "/x") as response:
        assert response.content_length == 300 * 65536
        async for data in response.content.iter_any():
            seen.update(data)
    assert seen.digest() == hashlib.sha256(piece * 300).digest()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
@pytest.mark.parametrize("then", ["end", "cut", "reset", "stall"])
async def test_it_speaks_tls_too(tmp_path: Path, then: Then) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
        f"-subj /CN=local -addext subjectAltName=IP:127.0.0.1 -keyout {key} -out {certificate}"
    )
    made = await asyncio.create_subprocess_exec(*command.split(), stderr=subprocess.DEVNULL)
    assert await soon(made.wait()) == 0
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(certificate, key)
    theirs = ssl.create_default_context(cafile=str(certificate))
    async with LocalServer(Reply("Hello", then=then), ssl=ours, voices=[ANYTHING]) as server:
        assert server.url.startswith("https://127.0.0.1:")
        mute = socket.create_connection(("127.0.0.1", server.port))  # never shakes hands
        async with dial(server, theirs) as (reader, writer):
            writer.write(ask())
            await soon(reader.readuntil(b"5\r\nHello\r\n"))
            match then:
                case "end":
                    await soon(reader.readuntil(b"0\r\n\r\n"))
                case "cut":
                    assert await soon(reader.read()) == b""
                case "reset":
                    with pytest.raises(ConnectionResetError):
                        await soon(reader.read())
                case _:
                    writer.close()
        endings = {"end": "complete", "stall": "hung up"}
        assert await soon(server.exchanges[0].ended) == endings.get(then, "failed on purpose")
    mute.close()


async def test_it_runs_as_a_process_that_ends_with_its_standard_input(
    session: aiohttp.ClientSession,
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rxchat.testing"),
        *("--port", "0", "--say", "Hello, brave new world", "--pace", "0.001"),
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    url = (await soon(process.stdout.readline())).decode().strip()
    async with session.post(url + "/chat", json=CROMICLE, headers={"accept": "*/*"}) as response:
        assert await response.text() == "Hello, brave new world"
    process.stdin.close()
    rest, complaints = await soon(process.communicate())
    assert (process.returncode, rest) == (0, b"")
    assert b"Traceback" not in complaints


def test_the_voices_check_with_nothing_of_ours_but_events() -> None:
    folder = Path(__file__).parents[1] / "rxchat" / "testing"
    for file in (folder / "server.py", folder / "replies.py", *(folder / "voices").glob("*.py")):
        lines = file.read_text().splitlines()
        ours = [line.split()[1] for line in lines if line.lstrip().startswith("from rxchat")]
        assert all(it.startswith(("rxchat.events", "rxchat.testing.")) for it in ours)


async def test_a_server_can_be_started_and_stopped_by_hand() -> None:
    server = await LocalServer(voices=[ANYTHING]).start()
    assert re.fullmatch(r"<LocalServer http://127\.0\.0\.1:\d+, 0 requests>", repr(server))
    async with dial(server) as (reader, writer):
        writer.write(ask())
        assert await soon(reader.readline()) == b"HTTP/1.1 200 OK\r\n"
        await server.stop()
        await soon(reader.read())
    with pytest.raises(ConnectionRefusedError):
        await soon(asyncio.open_connection("127.0.0.1", server.port))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: LocalServer("Hello"), "write Reply"),
        (lambda: LocalServer().plan(Reply(), "Hello"), "write Reply"),
        (lambda: LocalServer().plan(faults("429 ok")), "with the star"),
    ],
)
def test_what_is_no_reply_is_refused_at_once(wrong: Callable[[], object], says: str) -> None:
    with pytest.raises(TypeError, match=says):
        wrong()


def test_before_it_is_started_a_server_has_no_address() -> None:
    server = LocalServer()
    with pytest.raises(RuntimeError, match=r"await server\.start\(\)"):
        _ = server.url
    assert repr(server) == "<LocalServer which has not been started, 0 requests>"
