"""Whatever comes, an answer ends: in events and a proper end, or in one error of ours.

Recorded answers are damaged in every way, and frames are made of what the formats know.
"""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats import WIRES, Wire
from hearing import hear
from rxchat.errors import ChatError
from rxchat.events import Event, Finish, Start, Usage, is_content
from test_samples import STREAMS, WIRE_OF, body_of

wires = pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)


def ends_well_or_in_one_error(wire: Wire, body: bytes) -> None:
    """The contract, whatever the bytes: nothing else is raised, and nothing follows the end."""
    events, error = hear(wire.provider.format, [body])  # raises what is no ChatError
    kinds = [type(event) for event in events]
    if error is None:
        assert Finish in kinds
        end = kinds.index(Finish)
        assert set(kinds[end:]) == {Finish}
    else:
        assert isinstance(error, ChatError)
        assert str(error)
        assert Finish not in kinds
    assert kinds.count(Start) <= 1
    assert kinds.count(Usage) <= 1
    if Usage in kinds:
        assert not any(map(is_content, events[kinds.index(Usage) :]))
    check_leaves(events)


def check_leaves(events: list[Event]) -> None:
    """What the types say is so: nobody downstream meets a null for a text."""
    texts = {"text", "id", "model", "name", "arguments", "reason"}
    numbers = {"choice", "index"}
    for event in events:
        for field in event.__struct_fields__:
            value = getattr(event, field)
            if field in texts:
                assert isinstance(value, str), event
            elif field in numbers:
                assert type(value) is int, event
            elif isinstance(event, Usage):
                assert value is None or type(value) is int, event


# Recorded answers, damaged ---------------------------------------------------------------------


def damaged(body: bytes, seed: int) -> bytes:
    """Something is lost, said twice, cut off, or changed: by the line, and by the byte."""
    rng = random.Random(seed)
    ends = b"\n" if b"\n" in body else b","
    lines = body.split(ends)
    at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    byte, other_byte = sorted(rng.choices(range(len(body)), k=2))
    swapped = [*lines]
    swapped[at], swapped[other] = lines[other], lines[at]
    return rng.choice(
        [
            ends.join(lines[:at] + lines[at + 1 :]),
            ends.join(lines[: at + 1] + lines[at:]),
            ends.join(swapped),
            body[:byte],
            body[byte:],
            body[:byte] + body[other_byte:],
            body[:byte] + bytes([rng.randrange(256)]) + body[byte + 1 :],
            body[:byte]
            + rng.choice([b"null", b"{}", b"[", b'"', b"\xff", b"-1", b"\n\n"])
            + body[byte:],
        ]
    )


@pytest.mark.parametrize("sample", STREAMS, ids=lambda sample: sample["file"])
def test_a_damaged_answer_ends_in_events_or_one_error(sample: dict[str, Any]) -> None:
    body = body_of(sample)
    for seed in range(25):
        ends_well_or_in_one_error(WIRE_OF[sample["protocol"]], damaged(body, seed))


ODD = [
    None,
    True,
    0,
    -1,
    10**30,
    1e300,
    "",
    "7",
    "\ud800",
    [],
    [None],
    {},
    {"": None},
    [[[[[]]]]],
    {"text": {"text": {"text": None}}},
]


def changed(value: Any, rng: random.Random) -> Any:
    """JSON with one value, somewhere in it, that does not belong there, or gone, or there twice."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        if rng.random() < 0.1:
            return {name: value[name] for name in value if name != key}
        return value | {key: changed(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.85:
        at = rng.randrange(len(value))
        again = [value[at]] if rng.random() < 0.1 else []
        return [*value[:at], *again, changed(value[at], rng), *value[at + 1 :]]
    return rng.choice(ODD)


def json_lines(body: bytes) -> list[tuple[bytes, Any, bytes]]:
    """The JSON of each line, between what is around it."""
    found = []
    for line in body.splitlines(keepends=True):
        start = line.find(b"{")
        text = line[start:].rstrip(b"\r\n")
        try:
            found.append((line[:start], json.loads(text), line[start + len(text) :]))
        except ValueError:
            found.append((line, None, b""))
    return found


TEXTUAL = [sample for sample in STREAMS if not sample["file"].endswith(".bin")]


@pytest.mark.parametrize("sample", TEXTUAL, ids=lambda sample: sample["file"])
def test_values_that_do_not_belong_there_end_in_events_or_one_error(
    sample: dict[str, Any],
) -> None:
    lines = json_lines(body_of(sample))
    for seed in range(25):
        rng = random.Random(seed)
        places = {at for at, (_, value, _) in enumerate(lines) if value is not None}
        at = rng.choice(sorted(places) or [0])
        body = b"".join(
            before + json.dumps(changed(value, rng) if n == at else value).encode() + after
            if value is not None
            else before
            for n, (before, value, after) in enumerate(lines)
        )
        ends_well_or_in_one_error(WIRE_OF[sample["protocol"]], body)


# Answers that never were -------------------------------------------------------------------------


def words_of(wire: Wire) -> list[str]:
    """The names that this format's samples have in their objects."""
    found: set[str] = set()

    def look(value: Any) -> None:
        if isinstance(value, dict):
            found.update(value)
            for inner in value.values():
                look(inner)
        elif isinstance(value, list):
            for inner in value:
                look(inner)
        elif isinstance(value, str) and len(value) < 40:
            found.add(value)

    for sample in TEXTUAL:
        if sample["protocol"] in wire.protocols:
            for _, value, _ in json_lines(body_of(sample)):
                look(value)
    return sorted(found) or ["type"]


WORDS = {name: words_of(wire) for name, wire in WIRES.items()}


def things(words: list[str]) -> st.SearchStrategy[Any]:
    word = st.sampled_from(words)
    leaf = st.sampled_from(ODD) | word
    return st.recursive(
        leaf,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(word, inner, max_size=5),
        max_leaves=12,
    )


@pytest.mark.parametrize("name", WIRES)
@given(data=st.data())
@settings(max_examples=150)
def test_frames_of_anything_end_in_events_or_one_error(name: str, data: st.DataObject) -> None:
    wire = WIRES[name]
    word = st.sampled_from(WORDS[name])
    frame = st.dictionaries(word, things(WORDS[name]), max_size=5)
    frames = data.draw(st.lists(frame, max_size=5))
    events = wire.provider.format.expects.endswith("event-stream")
    before = "data: " if events else ""
    body = "".join(f"{before}{json.dumps(frame)}\n\n" for frame in frames).encode()
    ends_well_or_in_one_error(wire, body)


@wires
@given(body=st.binary(max_size=200))
def test_bytes_of_anything_end_in_events_or_one_error(wire: Wire, body: bytes) -> None:
    ends_well_or_in_one_error(wire, body)


@wires
@pytest.mark.parametrize("depth", [100, 2_000, 100_000])
def test_deep_nesting_ends_in_events_or_one_error(wire: Wire, depth: int) -> None:
    for deep in ("[" * depth + "]" * depth, '{"choices":' * depth + "1" + "}" * depth):
        ends_well_or_in_one_error(wire, f"data: {deep}\n\n".encode())
        ends_well_or_in_one_error(wire, f"{deep}\n".encode())


@wires
def test_garbage_is_never_silence(wire: Wire) -> None:
    """After something that cannot be read, an answer is not taken for whole."""
    for garbage in (b"data: {not json}\n\n", b"{not json}\n", b"\x00\x01\x02", b"<html>"):
        _, error = hear(wire.provider.format, [garbage])
        assert error is not None
