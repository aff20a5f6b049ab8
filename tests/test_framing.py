"""Bytes in, frames out: wherever the bytes are cut, the answer is the same."""

from __future__ import annotations

import json
import pickle
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxchat.framing import (
    NDJSON,
    SSE,
    Decoder,
    Frame,
    FramingError,
    JSONArray,
    Utf8Text,
    read_json,
)

VECTORS = Path(__file__).parent / "vectors"
BOM = b"\xef\xbb\xbf"


# How a body is cut and decoded ------------------------------------------------------------------


def outcome(decoder: Decoder[bytes, Any], pieces: Iterable[bytes]) -> tuple[list[Any], str | None]:
    """Everything that a decoder gives for the pieces, and the kind of its error."""
    out: list[Any] = []
    try:
        for piece in pieces:
            out += decoder.feed(piece)
        out += decoder.close()
    except FramingError as error:
        return out + error.before, error.kind
    return out, None


def decoded(decoder: Decoder[bytes, Any], *pieces: bytes) -> list[Any]:
    out, error = outcome(decoder, pieces)
    assert error is None
    return out


def cut_at(body: bytes, positions: Iterable[int]) -> list[bytes]:
    return [body[begin:end] for begin, end in pairwise((0, *positions, len(body)))]


def every(size: int, body: bytes) -> list[bytes]:
    return cut_at(body, range(size, len(body), size))


def ways_to_cut(body: bytes, chunkings: Iterable[list[int]] = ()) -> Iterator[list[bytes]]:
    yield [body]
    for size in (1, 2, 3, 7):
        yield every(size, body)
    for positions in chunkings:
        yield cut_at(body, positions)
    if len(body) <= 120:
        for position in range(len(body) + 1):
            yield cut_at(body, [position])


@st.composite
def cuts(draw: st.DrawFn, bodies: st.SearchStrategy[bytes]) -> tuple[bytes, list[bytes]]:
    body = draw(bodies)
    positions = draw(st.lists(st.integers(0, len(body)), max_size=8).map(sorted))
    return body, cut_at(body, positions)


def mixtures(*pieces: bytes) -> st.SearchStrategy[bytes]:
    """Bodies of the bytes that a framing is about, in every order."""
    return st.lists(st.sampled_from(pieces), max_size=24).map(b"".join)


# The vectors ------------------------------------------------------------------------------------


def vectors(name: str) -> list[Any]:
    return [
        pytest.param(vector, id=vector["name"])
        for vector in json.loads((VECTORS / name).read_text(encoding="utf-8"))
    ]


def body_of(vector: dict[str, Any]) -> bytes:
    if "input_base64" in vector:
        return b64decode(vector["input_base64"])
    return b"".join(b64decode(part) * times for part, times in vector["input_parts"])


def frames_of(expected: list[dict[str, Any]]) -> list[Frame]:
    return [
        Frame(
            data=one["data"] if "data" in one else "".join(t * n for t, n in one["data_parts"]),
            event=one["event"],
            id=one["id"],
            retry=one.get("retry"),
        )
        for one in expected
    ]


SSE_VECTORS = vectors("sse_vectors.json")
NDJSON_VECTORS = vectors("ndjson_vectors.json")


@pytest.mark.parametrize("vector", SSE_VECTORS)
def test_events_are_those_of_the_standard_wherever_the_bytes_are_cut(
    vector: dict[str, Any],
) -> None:
    expected = frames_of(vector["expected"])
    for pieces in ways_to_cut(body_of(vector), vector.get("chunkings", ())):
        sse = SSE(strict=True)
        assert decoded(sse, *pieces) == expected
        assert sse.last_event_id == vector["final_last_event_id"]
        assert sse.retry == (vector.get("retries") or [None])[-1]


@pytest.mark.parametrize("vector", SSE_VECTORS)
def test_an_event_that_lacks_only_its_blank_line_is_given_at_the_end(
    vector: dict[str, Any],
) -> None:
    expected = frames_of(vector.get("expected_if_flushed_at_eof", vector["expected"]))
    for pieces in ways_to_cut(body_of(vector), vector.get("chunkings", ())):
        assert decoded(SSE(), *pieces) == expected


@pytest.mark.parametrize(
    "vector", [vector for vector in SSE_VECTORS if "events_after_chunk" in vector.values[0]]
)
def test_no_event_waits_for_more_bytes_than_it_needs(vector: dict[str, Any]) -> None:
    sse, out, counts = SSE(), 0, list[int]()
    for piece in cut_at(body_of(vector), vector["chunkings"][0]):
        out += len(sse.feed(piece))
        counts.append(out)
    assert counts == vector["events_after_chunk"]


@pytest.mark.parametrize("vector", NDJSON_VECTORS)
def test_lines_are_values_wherever_the_bytes_are_cut(vector: dict[str, Any]) -> None:
    texts = [
        text if isinstance(text, str) else "".join(part * times for part, times in text["parts"])
        for text in vector["expected_json"]
    ]
    accepted = [([json.loads(text) for text in texts], vector["error"])]
    if "lenient" in vector:
        accepted.append(([json.loads(text) for text in vector["lenient"]], None))
    for pieces in ways_to_cut(body_of(vector), vector.get("chunkings", ())):
        assert outcome(NDJSON(), pieces) in accepted


# Server-sent events -----------------------------------------------------------------------------


def test_a_trailing_cr_ends_its_line_at_once_and_its_lf_later_is_no_second_end() -> None:
    sse = SSE()
    assert sse.feed(b"data: a\r\n\r") == [Frame("a")]
    assert sse.feed(b"") == []
    assert sse.feed(b"\ndata: b\r\r") == [Frame("b")]
    assert sse.feed(b"\ndata: c\n\n") == [Frame("c")]


def test_a_strict_decoder_drops_the_unfinished_event_and_the_usual_one_gives_it() -> None:
    body = b"data: whole\n\ndata: [DONE]"
    assert decoded(SSE(strict=True), body) == [Frame("whole")]
    assert decoded(SSE(), body) == [Frame("whole"), Frame("[DONE]")]


@pytest.mark.parametrize("end", ["", "\n", "\r", "\r\n", "\n\n", "\r\r", "\r\n\r\n"])
def test_the_last_event_comes_once_however_the_body_ends(end: str) -> None:
    for pieces in ways_to_cut(f"data: a{end}".encode()):
        assert decoded(SSE(), *pieces) == [Frame("a")]


def test_comments_make_no_frames() -> None:
    assert decoded(SSE(), b": keep-alive\n\n:\n\n: OPENROUTER PROCESSING\n\n") == []


def test_an_error_field_makes_an_event_if_it_is_asked_for() -> None:
    body = b'data: Hi\n\nerror: {"code": 500}\n\ndata: [DONE]\n\n'
    assert decoded(SSE(), body) == [Frame("Hi"), Frame("[DONE]")]
    for pieces in ways_to_cut(body):
        assert decoded(SSE(fields=["error"]), *pieces) == [
            Frame("Hi"),
            Frame('{"code": 500}', "error"),
            Frame("[DONE]"),
        ]


def test_an_absurd_retry_is_ignored() -> None:
    assert decoded(SSE(), b"retry: " + b"9" * 5000 + b"\ndata: a\n\n") == [Frame("a")]


def test_a_retry_is_remembered_without_an_event() -> None:
    sse = SSE()
    assert sse.feed(b"retry: 1500\n\n") == []
    assert sse.retry == 1500


def test_half_an_event_of_a_cut_connection_is_given_as_it_is() -> None:
    assert decoded(SSE(), b'data: {"text": "caf\xc3') == [Frame('{"text": "caf�')]


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_an_event_over_the_limit_is_an_error_after_the_events_before_it(size: int) -> None:
    body = b"data: a\n\n\r\r\rdata: 34567890\n\ndata: 345678901\n\ndata: b\n\n"
    out, kind = outcome(SSE(limit=14), every(size, body))
    assert (out, kind) == ([Frame("a"), Frame("34567890")], "too-long")


def test_many_short_events_are_not_one_long_event() -> None:
    assert len(decoded(SSE(limit=10), b"data: a\n\n" * 100)) == 100


def test_an_endless_line_is_given_up_at_the_limit() -> None:
    sse = SSE(limit=1000)
    sse.feed(b"data: " + b"x" * 994)
    with pytest.raises(FramingError, match="too long") as caught:
        sse.feed(b"x")
    assert caught.value.kind == "too-long"
    assert caught.value.excerpt.startswith("data: xxx")


SSE_PIECES = (
    *(b"\r", b"\n", b"\r\n", b"\n\n", b":", b" ", BOM, b"\0", b"\xc3", b"\xa9", b"\xff"),
    *(b"data", b"data: ", b"data:x", b"event: e", b"id: 1", b"id", b"retry: 20", b"error: {}"),
    *("\u2028".encode(), "\x85".encode(), "😀".encode(), b"data: a\n\n", b"data: b\r\n\r\n"),
)


@given(cuts(mixtures(*SSE_PIECES)), st.booleans(), st.sampled_from([3, 9, 1000]))
def test_where_events_are_cut_never_matters(
    cut: tuple[bytes, list[bytes]], strict: bool, limit: int
) -> None:
    body, pieces = cut

    def make() -> SSE:
        return SSE(strict=strict, fields=["error"], limit=limit)

    assert outcome(make(), pieces) == outcome(make(), [body])


def plain(frame: Frame) -> Iterator[str]:
    """The lines that say a frame in the fullest way."""
    yield f"event: {frame.event}"
    yield f"id: {frame.id}"
    if frame.retry is not None:
        yield f"retry: {frame.retry}"
    for line in frame.data.split("\n"):
        yield f"data: {line}"
    yield ""


def brief(frame: Frame) -> Iterator[str]:
    """The same with as little as the standard allows, in another order, between comments."""
    yield ": comment"
    for line in frame.data.split("\n"):
        yield "data" if not line else f"data:{line}" if line[0] != " " else f"data: {line}"
    yield f"id:{frame.id}" if frame.id else "id"
    if frame.event != "message":
        yield f"event:{frame.event}"
    if frame.retry is not None:
        yield f"retry:{frame.retry:05}"
    yield "unknown: x"
    yield ""


texts = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=20)
words = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0 "), max_size=5)
frames = st.builds(
    Frame,
    data=texts,
    event=words.map(lambda word: word or "message"),
    id=words,
    retry=st.none() | st.integers(0, 10**9),
)


@pytest.mark.parametrize("said", [plain, brief])
@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"], ids=["LF", "CR", "CRLF"])
@given(st.lists(frames, max_size=5), st.integers(1, 9))
def test_what_was_said_in_events_is_what_is_heard(
    said: Callable[[Frame], Iterable[str]], end: str, told: list[Frame], size: int
) -> None:
    body = "".join(line + end for frame in told for line in said(frame)).encode()
    assert decoded(SSE(strict=True), *every(size, body)) == told


# JSON lines -------------------------------------------------------------------------------------


class Line(msgspec.Struct):
    text: str
    done: bool = False


def test_values_before_a_bad_line_are_not_lost() -> None:
    with pytest.raises(FramingError, match="malformed") as caught:
        NDJSON().feed(b'{"a": 1}\n{"a": 2}\n<html>\n{"a": 3}\n')
    assert caught.value.before == [{"a": 1}, {"a": 2}]
    assert caught.value.kind == "invalid-json"
    assert caught.value.excerpt == "<html>"


def test_lines_are_values_of_the_type_that_is_asked_for() -> None:
    lines = NDJSON(Line)
    assert lines.feed(b'{"text": "Hi", "extra": 1}\n') == [Line("Hi")]
    with pytest.raises(FramingError, match=r"Expected `str`, got `int` - at `\$.text`"):
        lines.feed(b'{"text": 1}\n')


@pytest.mark.parametrize("rest", ["{", '{"a', '{"a": 1', "tru", "[1,", '"x', "-", "1.", '{"a":1e'])
def test_a_last_line_that_stops_in_the_middle_is_truncated(rest: str) -> None:
    assert outcome(NDJSON(), [b"1\n" + rest.encode()]) == ([1], "truncated")
    assert outcome(NDJSON(), [b"1\n" + rest.encode() + b"\n"]) == ([1], "invalid-json")


@pytest.mark.parametrize("rest", ["<html>", "{} x", "nope"])
def test_a_last_line_that_could_never_be_json_is_not_called_truncated(rest: str) -> None:
    assert outcome(NDJSON(), [rest.encode()]) == ([], "invalid-json")


def test_a_line_over_the_limit_is_an_error_after_the_values_before_it() -> None:
    for size in (1, 2, 3, 1000):
        assert outcome(NDJSON(limit=5), every(size, b'123\n12345\n"123"\n123456\n1\n')) == (
            [123, 12345, "123"],
            "too-long",
        )


def test_a_line_too_deep_to_read_is_an_error_of_ours() -> None:
    assert outcome(NDJSON(), [b"[" * 100_000 + b"\n"]) == ([], "invalid-json")


NDJSON_PIECES = (
    *(b"\n", b"\r\n", b" ", b"\r", BOM, b"\xff", b"{", b"}", b'"', b"\\ud83d", b"\xc3", b"\xa9"),
    *(b'{"a": 1}', b'{"a": 1}\n', b'"\xc3\xa9"', b"12", b"null\n", b'"\\ud83d"\n', b"tru"),
)


@given(cuts(mixtures(*NDJSON_PIECES)), st.sampled_from([3, 9, 1000]))
def test_where_lines_are_cut_never_matters(cut: tuple[bytes, list[bytes]], limit: int) -> None:
    body, pieces = cut
    assert outcome(NDJSON(limit=limit), pieces) == outcome(NDJSON(limit=limit), [body])


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.lists(values, max_size=5), st.booleans(), st.integers(1, 9))
def test_what_was_said_in_lines_is_what_is_heard(told: list[Any], escaped: bool, size: int) -> None:
    body = "".join(json.dumps(value, ensure_ascii=escaped) + "\n" for value in told).encode()
    assert decoded(NDJSON(), *every(size, body)) == told


# JSON texts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'"\ud83d"', "�"),
        (r'"\uDE00!"', "�!"),
        (r'"\ud83d\ude00"', "😀"),
        (r'"\ud83d\ud83d\ude00\ude00"', "�😀�"),
        (r'"\\ud83d \ud83d"', r"\ud83d �"),
        (r'"\n\ud83d\u00e9"', "\n�é"),
    ],
)
def test_half_an_emoji_becomes_a_replacement_character(text: str, value: str) -> None:
    decode = msgspec.json.decode
    assert read_json(decode, text) == read_json(decode, text.encode()) == value
    assert decoded(NDJSON(), text.encode() + b"\n") == [value]
    assert decoded(JSONArray(), f"[{text}]".encode()) == [value]


@pytest.mark.parametrize("text", [r'"\ud8"x"', r'"\ud83"', r'"\ud83g"', r'"\U0001f600"'])
def test_an_escape_that_is_no_escape_stays_an_error(text: str) -> None:
    with pytest.raises(FramingError) as caught:
        read_json(msgspec.json.decode, text)
    assert caught.value.kind == "invalid-json"


def test_an_error_shows_only_the_beginning_of_what_is_wrong() -> None:
    with pytest.raises(FramingError) as caught:
        NDJSON().feed("я".encode() * 5000 + b"\n")
    assert caught.value.excerpt == "я" * 200


def test_an_error_survives_pickling() -> None:
    with pytest.raises(FramingError) as caught:
        NDJSON().feed(b"1\nx\n")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.kind, copy.excerpt, copy.before) == (
        str(caught.value),
        "invalid-json",
        "x",
        [1],
    )


# One array --------------------------------------------------------------------------------------

GEMINI = b"""[{
  "candidates": [{"content": {"parts": [{"text": "a ] } \\" \\\\"}], "role": "model"}, "index": 0}]
}
,\r
{
  "candidates": [{"content": {"parts": [{"text": "\xf0\x9f\x98\x80"}]}, "finishReason": "STOP"}],
  "usageMetadata": {"promptTokenCount": 9}
}
]
"""


def test_the_elements_of_an_array_come_one_by_one_wherever_it_is_cut() -> None:
    for body in (GEMINI, BOM + GEMINI):
        for size in (1, 2, 3, 7, 50, 1000):
            assert decoded(JSONArray(), *every(size, body)) == json.loads(GEMINI)


def test_an_element_is_given_as_soon_as_it_is_complete() -> None:
    array = JSONArray()
    steps = [
        (b"[", []),
        (b' {"a": "}', []),
        (b'"}', [{"a": "}"}]),
        (b"\n, [1, [2]", []),
        (b"]", [[1, [2]]]),
        (b', "x\\', []),
        (b'""', ['x"']),
        (b", 12", []),
        (b"3", []),
        (b",true ", [123, True]),
        (b",null", []),
        (b"] \n", [None]),
    ]
    for piece, elements in steps:
        assert array.feed(piece) == elements
    assert array.close() == []


def test_an_object_in_place_of_an_array_is_given_as_it_is() -> None:
    body = b'\n{\n  "error": {"code": 400, "message": "no ]"}\n}\n'
    for pieces in ways_to_cut(body):
        assert decoded(JSONArray(), *pieces) == [json.loads(body)]


def test_elements_are_values_of_the_type_that_is_asked_for() -> None:
    assert decoded(JSONArray(Line), b'[{"text": "Hi"}]') == [Line("Hi")]
    with pytest.raises(FramingError, match="missing required field `text`"):
        JSONArray(Line).feed(b"[{}]")


@pytest.mark.parametrize(
    ("body", "before"),
    [
        *[(body, []) for body in ("", " ", "\ufeff", "[", "[1", '[{"a', '["\\', '{"a": 1')],
        *[(body, [1]) for body in ("[1,", "[1 ", "[1, ", "[1,2")],
        ("[{}", [{}]),
    ],
)
def test_an_array_without_its_end_is_truncated(body: str, before: list[Any]) -> None:
    for pieces in ways_to_cut(body.encode()):
        assert outcome(JSONArray(), pieces) == (before, "truncated")


def test_an_empty_array_has_nothing_wrong() -> None:
    assert decoded(JSONArray(), b" [ ] ") == []


@pytest.mark.parametrize(
    ("body", "message", "before"),
    [
        ("<html>", "expected an array", []),
        ('"text"', "expected an array", []),
        ("]", "expected an array", []),
        ("[,1]", "expected an element or ']'", []),
        ("[1,]", "expected an element", [1]),
        ("[1,,2]", "expected an element", [1]),
        ("[{} {}]", "expected ',' or ']'", [{}]),
        ("[1 2]", "expected ',' or ']'", [1]),
        ("[1}", "expected ',' or ']'", [1]),
        ("[1] [2]", "expected nothing more", [1]),
        ("{}{}", "expected nothing more", [{}]),
        ("[1, nope]", "malformed", [1]),
        ("[1, tru]", "truncated", [1]),
        ('[1, {"a": ]]', "malformed", [1]),
        ("[1, {]", "malformed", [1]),
    ],
)
def test_what_is_no_array_is_an_error_after_the_elements_before_it(
    body: str, message: str, before: list[Any]
) -> None:
    with pytest.raises(FramingError, match=message) as caught:
        JSONArray().feed(body.encode())
    assert caught.value.before == before
    for pieces in ways_to_cut(body.encode()):
        assert outcome(JSONArray(), pieces) == (before, "invalid-json")


def test_an_element_over_the_limit_is_an_error_after_the_elements_before_it() -> None:
    for size in (1, 2, 3, 1000):
        assert outcome(JSONArray(limit=5), every(size, b'[1,    "345", {"1":2}]')) == (
            [1, "345"],
            "too-long",
        )


ARRAY_PIECES = (
    *(b"[", b"]", b"{", b"}", b",", b":", b'"', b"\\", b" ", b"\r\n", BOM, BOM[:2], b"\xff"),
    *(b'[{"a": 1}', b',{"b": []}', b',"]"', b",1", b',"\\""', b"[[1],", b"null", b"\xc3", b"\xa9"),
)


@given(cuts(mixtures(*ARRAY_PIECES)), st.sampled_from([3, 9, 1000]))
def test_where_an_array_is_cut_never_matters(cut: tuple[bytes, list[bytes]], limit: int) -> None:
    body, pieces = cut
    assert outcome(JSONArray(limit=limit), pieces) == outcome(JSONArray(limit=limit), [body])


@given(st.lists(values, max_size=5), st.sampled_from([None, 2]), st.integers(1, 9))
def test_what_was_said_in_an_array_is_what_is_heard(
    told: list[Any], indent: int | None, size: int
) -> None:
    body = json.dumps(told, indent=indent, ensure_ascii=False).encode()
    assert decoded(JSONArray(), *every(size, body)) == told


# Plain text -------------------------------------------------------------------------------------


def test_a_character_cut_in_two_is_held_until_it_is_whole() -> None:
    text = Utf8Text()
    assert text.feed(b"caf\xc3") == ["caf"]
    assert text.feed(b"\xa9") == ["é"]
    assert text.feed(b"\xf0\x9f") == []
    assert text.feed(b"\x98\x80!") == ["😀!"]
    assert text.close() == []


def test_half_a_character_at_the_end_becomes_a_replacement_character() -> None:
    text = Utf8Text()
    assert text.feed(b"a\xf0\x9f") == ["a"]
    assert text.close() == ["�"]


@pytest.mark.parametrize(
    ("pieces", "before", "excerpt"),
    [
        ([b"caf\xc3\xa9\xff!"], ["café"], "�!"),
        ([b"caf\xc3", b"\xa9", b"\xc3!"], [], "�!"),
        ([b"caf\xc3", b"\xa9s\xff"], ["és"], "�"),
        ([BOM + b"a\xff"], ["a"], "�"),
        ([BOM + b"\xff"], [], "�"),
        ([b"a\xf0\x9f", None], [], "�"),
    ],
)
def test_strict_text_fails_with_what_came_before(
    pieces: list[bytes | None], before: list[str], excerpt: str
) -> None:
    text = Utf8Text("strict")
    with pytest.raises(FramingError) as caught:
        for piece in pieces:
            text.close() if piece is None else text.feed(piece)
    assert (caught.value.kind, caught.value.before) == ("invalid-utf8", before)
    assert caught.value.excerpt == excerpt


def test_strict_text_takes_what_is_right() -> None:
    for pieces in ways_to_cut(BOM + "aé€😀".encode()):
        assert "".join(decoded(Utf8Text("strict"), *pieces)) == "aé€😀"


def test_only_a_leading_bom_is_dropped() -> None:
    for pieces in ways_to_cut(BOM + BOM + b"a" + BOM):
        assert "".join(decoded(Utf8Text(), *pieces)) == "\ufeffa\ufeff"
    assert decoded(Utf8Text(), BOM) == []
    assert decoded(Utf8Text(), BOM[:2]) == ["�"]


@given(
    cuts(
        st.binary(max_size=30)
        | mixtures(BOM, b"a", b"\xc3", b"\xa9", b"\xed\xa0\x80", b"\xf4\x90", b"\xf0\x9f\x98\x80")
    )
)
def test_text_is_the_same_wherever_it_is_cut_and_no_piece_is_empty(
    cut: tuple[bytes, list[bytes]],
) -> None:
    body, pieces = cut
    out = decoded(Utf8Text(), *pieces)
    assert "".join(out) == body.decode("utf-8", "replace").removeprefix("\ufeff")
    assert all(out)


# Time and space ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "begin", "end"),
    [
        (SSE, b"data: ", b"\n\n"),
        (NDJSON, b'"', b'"\n'),
        (JSONArray, b'["', b'"'),
        (JSONArray, b'[{"a": "', b'"}'),
    ],
    ids=["SSE", "NDJSON", "string", "object"],
)
def test_a_megabyte_byte_by_byte_takes_linear_time(
    make: Callable[[], Decoder[bytes, Any]], begin: bytes, end: bytes
) -> None:
    def seconds(size: int) -> float:
        decoder = make()
        decoder.feed(begin)
        start = perf_counter()
        for _ in range(size):
            decoder.feed(b"x")
        took = perf_counter() - start
        assert len(list(decoder.feed(end))) == 1
        return took

    assert seconds(1_000_000) < 30 * seconds(100_000)  # 10 if linear, 100 if quadratic
