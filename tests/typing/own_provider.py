"""A service of one's own, as a user would add it: decoder, mapping, signature, format, provider."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, assert_type

import rxchat
from rxchat import Stream
from rxchat import operators as ops
from rxchat.errors import EmptyAnswer
from rxchat.events import Event, Finish, Start, Text
from rxchat.framing import SSE, Frame
from rxchat.provider import Ask, Format, Provider
from rxchat.request import Headers, Request
from rxchat.stream import Pump
from rxchat.testing import Scripted


class Semicolons:
    """Bytes to what is between semicolons."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> list[bytes]:
        *parts, self._held = (self._held + data).split(b";")
        return parts

    def close(self) -> list[bytes]:
        return [self._held] if self._held else []


class Words:
    """Parts to events; this one gives a list where others yield."""

    def __init__(self) -> None:
        self._spoken = False

    def feed(self, parts: Iterable[bytes]) -> list[Event]:
        begin: list[Event] = [] if self._spoken else [Start()]
        self._spoken = True
        return [*begin, *(Text(part.decode()) for part in parts)]

    def close(self) -> list[Finish]:
        if not self._spoken:
            raise EmptyAnswer("not a word")
        return [Finish()]


class Frames:
    """Server-sent events to events."""

    def feed(self, frames: Iterable[Frame]) -> Iterator[Event]:
        for frame in frames:
            yield Finish() if frame.data == "[DONE]" else Text(frame.data)

    def close(self) -> tuple[()]:
        return ()


def body(ask: Ask) -> dict[str, Any]:
    return {"model": ask.model, "say": [message.content for message in ask.messages]}


def with_key(request: Request) -> Request:
    return request.but(headers={"Authorization": "Bearer 123"})


semicolons = Format(
    path="/semicolons",
    body=body,
    decoder=Semicolons,
    mapping=Words,
    expects="text/plain",
    signature=with_key,
    options={"temperature": 0.5},
)

mine = Provider(
    name="mine",
    format=semicolons,
    base_url="https://example.com",
    model="small",
    models=("small", "large"),
    aliases={"big": "large"},
    headers=Headers({"accept": "*/*"}),
)

yours = Provider(
    name="yours",
    format=Format(path="/v1", body=body, decoder=SSE, mapping=Frames, expects="text/event-stream"),
    base_url="https://example.com",
    model="small",
    headers={"accept": "*/*"},
)

larger = mine.but(model="large", temperature=0.1)

assert_type(larger, Provider)
assert_type(larger("hi"), Stream[Event])
assert_type(larger("hi", timeout=3).pipe(ops.text()), Stream[str])
assert_type(rxchat.race(mine("hi"), yours("hi")), Stream[Event])
assert_type(Scripted("Hel", 0.1, "lo")("hi").pipe(ops.text()), Stream[str])


async def tick(pump: Pump[float]) -> None:
    while not pump.disposed:
        await pump.send(1)


assert_type(rxchat.source(tick), Stream[float])


def the_steps_with_a_decoder_and_a_mapping_of_ones_own() -> None:
    request = rxchat.of(mine.request("hi"))
    parts = request.pipe(ops.sign(with_key), ops.send(), ops.decode(Semicolons))
    assert_type(parts, Stream[bytes])
    assert_type(parts.pipe(ops.events(Words)), Stream[Event])
    assert_type(parts.pipe(ops.events(Words), ops.text()), Stream[str])
