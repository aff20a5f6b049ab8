"""Mistakes: both type checkers must report every line that says so, and no other.

This file is not meant to be imported; the plain runs of the checkers leave it out.
"""

from __future__ import annotations

from collections.abc import Iterable

import rxchat
from rxchat import Stream
from rxchat import operators as ops
from rxchat.events import Event, Text
from rxchat.framing import SSE
from rxchat.provider import Format, Provider
from rxchat.providers import acytoo, flowgpt
from rxchat.providers.flowgpt_lines import FlowGptLines
from rxchat.stream import Pump


def a_prompt_that_is_none() -> None:
    flowgpt(42)  # expect-error
    flowgpt(None)  # expect-error
    flowgpt(b"hi")  # expect-error
    flowgpt([rxchat.user("hi"), 42])  # expect-error
    flowgpt(prompt="hi")  # expect-error
    flowgpt()  # expect-error


def options_that_no_provider_has() -> None:
    flowgpt("hi", temprature=0.7)  # expect-error
    flowgpt("hi", temperature="hot")  # expect-error
    flowgpt("hi", headers="X-Mine: 1")  # expect-error
    flowgpt.but(modle="gemini")  # expect-error
    flowgpt.but(timeout="long")  # expect-error
    flowgpt.but("gemini")  # expect-error
    flowgpt.request("hi", base_url=8000)  # expect-error


def values_that_cannot_be_changed() -> None:
    flowgpt.model = "gemini"  # expect-error
    Text("hi").text = "ho"  # expect-error


def an_event_with_a_field_of_another_type() -> None:
    Text("hi", index="first")  # expect-error


def an_operator_that_was_not_called() -> None:
    flowgpt("hi").pipe(ops.text)  # expect-error


def operators_with_wrong_arguments() -> None:
    words = flowgpt("hi").pipe(ops.text())
    words.pipe(ops.take("3"))  # expect-error
    words.pipe(ops.map(42))  # expect-error
    words.pipe(ops.retry("3"))  # expect-error
    words.pipe(ops.decode(SSE()))  # expect-error
    words.pipe(ops.events(FlowGptLines()))  # expect-error
    words.pipe(ops.sign("key"))  # expect-error


def steps_that_do_not_fit() -> None:
    flowgpt("hi").pipe(ops.text(), ops.text())  # expect-error
    rxchat.of(1).pipe(ops.text())  # expect-error
    rxchat.of("hi").pipe(ops.send())  # expect-error
    flowgpt("hi").pipe(ops.decode(SSE))  # expect-error
    body = rxchat.of(acytoo.request("hi")).pipe(ops.send())
    body.pipe(ops.decode(SSE), ops.events(FlowGptLines))  # expect-error


def a_stream_of_something_else() -> None:
    events: Stream[str] = flowgpt("hi")  # expect-error
    words: Stream[int] = flowgpt("hi").pipe(ops.text())  # expect-error
    print(events, words)


def joining_what_is_no_stream() -> None:
    rxchat.race(flowgpt, acytoo)  # expect-error
    rxchat.fallback("hi")  # expect-error
    rxchat.merge([flowgpt("hi"), acytoo("hi")])  # expect-error


def a_source_that_is_not_async() -> None:
    def count(pump: Pump[int]) -> None:
        pump.emit(1)

    rxchat.source(count)  # expect-error


def a_source_that_sends_something_else() -> None:
    async def count(pump: Pump[int]) -> None:
        await pump.send("one")  # expect-error

    rxchat.source(count)


def a_format_without_a_decoder() -> None:
    Format(path="/", body=str, mapping=FlowGptLines, expects="text/plain")  # expect-error


def a_provider_with_a_field_too_many() -> None:
    Provider(name="mine", format=flowgpt.format, base_url="", model="", token="1")  # expect-error


class NoClose:
    def feed(self, frames: Iterable[object]) -> list[Event]:
        return [Text(str(frame)) for frame in frames]


def a_mapping_without_close() -> None:
    ops.events(NoClose)  # expect-error


async def loops_over_what_is_no_stream() -> None:
    async for _ in flowgpt:  # expect-error
        pass
    for _ in flowgpt("hi"):  # expect-error
        pass
    for _ in flowgpt("hi").run():  # expect-error
        pass
