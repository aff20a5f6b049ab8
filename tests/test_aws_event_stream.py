"""Amazon's event stream: what was framed comes out, wherever it is cut, and no damage goes unseen."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any
from uuid import UUID
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxchat.framing import AWSEventStream, AWSFrame, FramingError
from test_framing import cut_at, decoded, every, outcome

# An encoder by the letter of the standard: https://smithy.io/2.0/aws/amazon-eventstream.html ------


def framed(headers: bytes, payload: bytes) -> bytes:
    lengths = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    said = lengths + struct.pack(">I", crc32(lengths)) + headers + payload
    return said + struct.pack(">I", crc32(said))


def header(name: str, kind: int, value: bytes) -> bytes:
    return bytes([len(name.encode())]) + name.encode() + bytes([kind]) + value


def sized(value: bytes) -> bytes:
    return struct.pack(">H", len(value)) + value


def moment(value: datetime) -> bytes:
    return struct.pack(
        ">q", (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    )


def whole_milliseconds(value: datetime) -> datetime:
    return value.replace(microsecond=value.microsecond // 1000 * 1000, tzinfo=UTC)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
INTEGERS = {2: (8, ">b"), 3: (16, ">h"), 4: (32, ">i"), 5: (64, ">q")}

# For each type of value: what it means, and how it is written.
VALUES: dict[int, st.SearchStrategy[tuple[Any, bytes]]] = {
    0: st.just((True, b"")),
    1: st.just((False, b"")),
    **{
        kind: st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1).map(
            lambda number, layout=layout: (number, struct.pack(layout, number))
        )
        for kind, (bits, layout) in INTEGERS.items()
    },
    6: st.binary(max_size=20).map(lambda value: (value, sized(value))),
    7: TEXT.map(lambda value: (value, sized(value.encode()))),
    8: st.datetimes().map(whole_milliseconds).map(lambda value: (value, moment(value))),
    9: st.uuids().map(lambda value: (value, value.bytes)),
}
HEADERS = st.dictionaries(
    TEXT.filter(bool),
    st.one_of([value.map(lambda it, kind=kind: (kind, *it)) for kind, value in VALUES.items()]),
    max_size=6,
)
PLAIN = header(":event-type", 7, sized(b"chunk")) + header(":message-type", 7, sized(b"event"))
CHUNK = framed(PLAIN, b'{"text":"Hel"}')


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[AWSFrame], bytes]:
    frames: list[AWSFrame] = []
    body = b""
    for headers in draw(st.lists(HEADERS, max_size=4)):
        payload = draw(st.binary(max_size=60))
        frames.append(AWSFrame({name: value for name, (_, value, _) in headers.items()}, payload))
        said = b"".join(header(name, kind, raw) for name, (kind, _, raw) in headers.items())
        body += framed(said, payload)
    return frames, body


# What was framed comes out -----------------------------------------------------------------------


@given(stream=streams(), data=st.data())
def test_what_was_framed_comes_out_wherever_it_is_cut(
    stream: tuple[list[AWSFrame], bytes], data: st.DataObject
) -> None:
    frames, body = stream
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=8).map(sorted))
    assert decoded(AWSEventStream(), *cut_at(body, cuts)) == frames


@given(stream=streams())
def test_a_frame_comes_with_its_last_byte(stream: tuple[list[AWSFrame], bytes]) -> None:
    frames, body = stream
    decoder = AWSEventStream()
    came = [len(decoder.feed(body[at : at + 1])) for at in range(len(body))]
    assert sum(came) == len(frames)
    assert not came or came[-1] == 1


@pytest.mark.parametrize("kind", VALUES)
@given(data=st.data())
def test_every_type_of_value_is_read(kind: int, data: st.DataObject) -> None:
    value, raw = data.draw(VALUES[kind])
    [frame] = decoded(AWSEventStream(), framed(header("x", kind, raw), b""))
    assert frame.headers == {"x": value}
    assert type(frame.headers["x"]) is type(value)


def test_a_moment_that_no_datetime_holds_stays_a_number() -> None:
    raw = header("x", 8, struct.pack(">q", 2**60))
    assert decoded(AWSEventStream(), framed(raw, b"")) == [AWSFrame({"x": 2**60})]


def test_frames_that_somebody_else_made_are_read() -> None:
    """The examples of https://hex.pm/packages/event_stream."""
    bare = bytes([0, 0, 0, 30, 0, 0, 0, 0, 186, 242, 246, 138]) + b'{"foo": "bar"}'
    bare += bytes([174, 114, 88, 228])
    typed = bytes([0, 0, 0, 62, 0, 0, 0, 32, 64, 93, 249, 70, 12]) + b"content-type"
    typed += bytes([7, 0, 16]) + b'application/json{"foo": "bar"}' + bytes([111, 162, 191, 59])
    assert decoded(AWSEventStream(), bare + typed) == [
        AWSFrame({}, b'{"foo": "bar"}'),
        AWSFrame({"content-type": "application/json"}, b'{"foo": "bar"}'),
    ]


@pytest.mark.parametrize(
    ("headers", "message_type", "event"),
    [
        ({":message-type": "event", ":event-type": "chunk"}, "event", "chunk"),
        ({":message-type": "exception", ":exception-type": "slow"}, "exception", "slow"),
        ({":message-type": "error", ":error-code": "500"}, "error", "500"),
        ({":event-type": "chunk"}, "event", "chunk"),
        ({":event-type": UUID(int=1), ":message-type": 3}, "3", str(UUID(int=1))),
        ({}, "event", ""),
    ],
)
def test_a_frame_says_what_it_is(headers: dict[str, Any], message_type: str, event: str) -> None:
    frame = AWSFrame(headers)
    assert (frame.message_type, frame.event) == (message_type, event)


def test_no_two_frames_share_their_headers() -> None:
    first, second = decoded(AWSEventStream(), CHUNK + CHUNK)
    first.headers["mine"] = 1
    assert "mine" not in second.headers
    assert decoded(AWSEventStream(), CHUNK) == [second]


# No damage goes unseen ---------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_every_flipped_bit_is_found_out(size: int) -> None:
    for bit in range(len(CHUNK) * 8):
        damaged = bytearray(CHUNK)
        damaged[bit // 8] ^= 1 << bit % 8
        out, kind = outcome(AWSEventStream(), every(size, CHUNK + bytes(damaged) + CHUNK))
        assert kind == "invalid-frame", bit
        assert out == decoded(AWSEventStream(), CHUNK)


def test_a_wrong_length_is_found_out_before_its_bytes_have_come() -> None:
    with pytest.raises(FramingError, match="lengths"):
        AWSEventStream().feed(b"\x00\x00\xff\xff" + CHUNK[4:12])


@pytest.mark.parametrize("end", [*range(1, len(CHUNK))])
def test_a_stream_that_ends_within_a_frame_is_cut_short(end: int) -> None:
    out, kind = outcome(AWSEventStream(), [CHUNK + CHUNK[:end]])
    assert (len(out), kind) == (1, "truncated")


WRONG_HEADERS = {
    "no name": b"\x00\x00",
    "a name twice": header("x", 0, b"") * 2,
    "a name that is cut": b"\x05ab",
    "a name that is not UTF-8": b"\x01\xff\x00",
    "no type": b"\x01x",
    "an unknown type": header("x", 10, b""),
    "a number that is cut": header("x", 5, b"\x00" * 7),
    "a length that is cut": header("x", 7, b"\x00"),
    "a text that is cut": header("x", 7, b"\x00\x05abcd"),
    "a text that is not UTF-8": header("x", 7, sized(b"\xff")),
    "bytes that are cut": header("x", 6, b"\x00\x05abcd"),
    "a moment that is cut": header("x", 8, b"\x00" * 7),
    "a UUID that is cut": header("x", 9, b"\x00" * 15),
}


@pytest.mark.parametrize("headers", WRONG_HEADERS.values(), ids=WRONG_HEADERS)
def test_headers_that_cannot_be_read_are_an_error(headers: bytes) -> None:
    out, kind = outcome(AWSEventStream(), [CHUNK + framed(headers, b"{}")])
    assert (len(out), kind) == (1, "invalid-frame")


@pytest.mark.parametrize(("length", "headers"), [(0, 0), (15, 0), (16, 1), (40, 2**32 - 1)])
def test_lengths_that_cannot_be_are_an_error(length: int, headers: int) -> None:
    lengths = struct.pack(">II", length, headers)
    prelude = lengths + struct.pack(">I", crc32(lengths))
    assert outcome(AWSEventStream(), [prelude]) == ([], "invalid-frame")


@given(body=st.binary(max_size=200))
def test_other_bytes_are_an_error_and_nothing_else(body: bytes) -> None:
    out, kind = outcome(AWSEventStream(), [body])
    assert out == []
    assert kind in (
        {"truncated"} if 0 < len(body) < 12 else {None} if not body else {"invalid-frame"}
    )


def test_what_is_no_frame_is_shown() -> None:
    with pytest.raises(FramingError) as caught:
        AWSEventStream().feed(b'{"message": "no"}')
    assert caught.value.excerpt == '{"message": "no"}'


# Limits ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 1000])
def test_a_payload_over_the_limit_is_an_error_after_the_frames_before_it(size: int) -> None:
    fits, over = framed(PLAIN, bytes(20)), framed(PLAIN, bytes(21))
    out, kind = outcome(AWSEventStream(limit=20), every(size, fits + over))
    assert ([len(frame.payload) for frame in out], kind) == ([20], "too-long")


def test_a_frame_over_the_limit_is_given_up_before_its_bytes_have_come() -> None:
    with pytest.raises(FramingError) as caught:
        AWSEventStream().feed(framed(b"", bytes(16 * 2**20 + 1))[:12])
    assert caught.value.kind == "too-long"


@pytest.mark.parametrize(("more", "kind"), [(0, None), (1, "too-long")])
def test_headers_have_a_limit_of_their_own(more: int, kind: str | None) -> None:
    size = 128 * 1024 + more
    longest = header("a", 6, sized(bytes(60_000))) + header("b", 6, sized(bytes(60_000)))
    last = size - len(longest) - len(header("c", 6, sized(b"")))
    body = framed(longest + header("c", 6, sized(bytes(last))), b"")
    assert outcome(AWSEventStream(limit=1), [body])[1] == kind


def test_time_is_linear_however_small_the_pieces_are() -> None:
    def seconds(length: int) -> float:
        body = framed(PLAIN, bytes(length))
        pieces = every(10, body)
        begin = perf_counter()
        decoded(AWSEventStream(), *pieces)
        return perf_counter() - begin

    short, long = (min(seconds(length) for _ in range(3)) for length in (50_000, 800_000))
    assert long < 16 * short * 4
