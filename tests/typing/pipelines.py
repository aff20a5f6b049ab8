"""What users write: every line must pass `mypy --strict` and pyright's strict mode as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any, TypedDict, assert_type

import reactivex
from reactivex import Observable
from reactivex.abc import DisposableBase
from reactivex.notification import Notification

import rxchat
from rxchat import Message, Stream
from rxchat import operators as ops
from rxchat.errors import AllFailed, ChatError, RateLimited, is_retryable
from rxchat.events import Event, Finish, Other, Reasoning, Start, Text, ToolCall, Usage
from rxchat.framing import NDJSON, SSE, Frame, Utf8Text
from rxchat.providers import acytoo, chatanywhere, cromicle, flowgpt
from rxchat.providers.flowgpt_lines import FlowGptLines, Line
from rxchat.providers.plain_text import PlainText
from rxchat.signing import md5_signature
from rxchat.stream import Cursor, Op, Pump, Subscription

# A provider's stream ----------------------------------------------------------------------------


def a_provider_streams_events() -> None:
    assert_type(flowgpt("hi"), Stream[Event])
    assert_type(flowgpt("hi").pipe(ops.text()), Stream[str])


def a_prompt_is_a_string_a_message_a_mapping_or_several() -> None:
    flowgpt("hi")
    flowgpt(rxchat.user("hi"))
    flowgpt({"role": "user", "content": "hi"})
    flowgpt([rxchat.system("Be brief."), rxchat.user("hi"), {"role": "assistant", "content": "?"}])
    flowgpt(["hi", "there"])
    history: list[Message] = [rxchat.user("hi")]
    flowgpt(history)
    flowgpt((*history, rxchat.assistant("Hello."), rxchat.tool("42")))
    plain: list[dict[str, str]] = [{"role": "user", "content": "hi"}]
    flowgpt(plain)


def a_call_takes_options_and_so_does_but() -> None:
    flowgpt("hi", model="gemini", temperature=0.7, headers={"X-Mine": "1"}, timeout=5, proxy=None)
    mine = flowgpt.but(base_url="http://127.0.0.1:8000", temperature=1, timeout=None)
    assert_type(mine("hi"), Stream[Event])
    assert_type(mine.url, str)
    assert_type(mine.models, tuple[str, ...])
    assert_type(mine.working, bool)
    assert_type(mine.request("hi").body, bytes)


# Operators --------------------------------------------------------------------------------------


def named_functions_keep_their_types() -> None:
    def shout(text: str) -> str:
        return text.upper()

    def length(text: str) -> int:
        return len(text)

    def long(text: str) -> bool:
        return len(text) > 3

    def longest(most: int, size: int) -> int:
        return max(most, size)

    def total(sum_: int, text: str) -> int:
        return sum_ + len(text)

    words = flowgpt("hi").pipe(ops.text())
    assert_type(words.pipe(ops.map(shout)), Stream[str])
    assert_type(words.pipe(ops.map(length)), Stream[int])
    assert_type(words.pipe(ops.map(len)), Stream[int])
    assert_type(words.pipe(ops.map(str.upper)), Stream[str])
    assert_type(words.pipe(ops.filter(long)), Stream[str])
    assert_type(words.pipe(ops.take(3)), Stream[str])
    assert_type(words.pipe(ops.map(length), ops.scan(longest, 0)), Stream[int])
    assert_type(words.pipe(ops.scan(total, 0)), Stream[int])
    assert_type(words.pipe(ops.to_list()), Stream[list[str]])
    assert_type(words.pipe(ops.distinct_until_changed()), Stream[str])
    assert_type(words.pipe(ops.pairwise()), Stream[tuple[str, str]])
    assert_type(words.pipe(ops.start_with("> ")), Stream[str])
    assert_type(words.pipe(ops.delay(0.5), ops.debounce(0.1)), Stream[str])
    assert_type(words.pipe(ops.buffer_with_time(0.5)), Stream[list[str]])
    assert_type(words.pipe(ops.materialize()), Stream[Notification[str]])
    assert_type(words.pipe(ops.do_action(print)), Stream[str])
    assert_type(words.pipe(), Stream[str])


def six_operators_fit_into_one_pipe() -> None:
    def strip(text: str) -> str:
        return text.strip()

    def spoken(text: str) -> bool:
        return bool(text)

    stream = flowgpt("hi").pipe(
        ops.retry(3), ops.text(), ops.map(strip), ops.filter(spoken), ops.map(len), ops.sum()
    )
    assert_type(stream, Stream[float])


def recovery_keeps_the_type() -> None:
    answer = flowgpt("hi")
    assert_type(answer.pipe(ops.retry(3)), Stream[Event])
    assert_type(answer.pipe(ops.retry(3, when=is_retryable)), Stream[Event])
    assert_type(answer.pipe(ops.retry(3, backoff=ops.exponential(0.1))), Stream[Event])
    assert_type(answer.pipe(ops.retry(max_wait=10.0)), Stream[Event])
    assert_type(answer.pipe(ops.retry(3), ops.text()), Stream[str])
    assert_type(answer.pipe(ops.text(), ops.retry(3)), Stream[str])
    assert_type(answer.pipe(ops.fallback(acytoo("hi"), cromicle("hi"))), Stream[Event])


def joining_keeps_the_type() -> None:
    first, second = flowgpt("hi"), chatanywhere("hi")
    assert_type(rxchat.race(first, second), Stream[Event])
    assert_type(rxchat.fallback(first.pipe(ops.retry(3)), second), Stream[Event])
    assert_type(rxchat.fallback(first, second).pipe(ops.text()), Stream[str])
    assert_type(rxchat.merge(first, second), Stream[Event])
    assert_type(rxchat.concat(first, second).pipe(ops.text()), Stream[str])
    assert_type(rxchat.race(*(provider("hi") for provider in (flowgpt, acytoo))), Stream[Event])
    assert_type(rxchat.of(1, 2), Stream[int])
    assert_type(rxchat.timer(1), Stream[int])
    assert_type(rxchat.timer(0.5, 1.5), Stream[int])
    assert_type(rxchat.interval(1), Stream[int])
    words = first.pipe(ops.text())
    ticks = rxchat.interval(0.1)
    assert_type(rxchat.zip(words), Stream[tuple[str]])
    assert_type(rxchat.zip(words, ticks), Stream[tuple[str, int]])
    assert_type(rxchat.zip(first, words, ticks), Stream[tuple[Event, str, int]])
    assert_type(rxchat.zip(words, ticks, words, ticks), Stream[tuple[Any, ...]])
    assert_type(words[:3], Stream[str])


def a_plain_observable_can_be_wrapped() -> None:
    assert_type(rxchat.wrap(reactivex.of(1, 2)), Stream[int])


def a_stream_is_an_observable() -> None:
    answer: Observable[Event] = flowgpt("hi")
    rxchat.wrap(answer)
    reactivex.merge(flowgpt("hi"), acytoo("hi"))


def an_operator_of_your_own() -> None:
    def words() -> Op[Event, str]:
        def op(events: Observable[Event]) -> Observable[str]:
            return events.pipe(ops.text(), ops.map(str.strip))

        return op

    assert_type(flowgpt("hi").pipe(words()), Stream[str])


def what_an_operator_gives_that_is_no_stream() -> None:
    words = flowgpt("hi").pipe(ops.text())
    assert_type(words.pipe(ops.to_future()), asyncio.Future[str])
    assert_type(words.pipe(ops.take(1)).pipe(ops.to_future()), asyncio.Future[str])


def a_stream_of_your_own() -> None:
    async def count(pump: Pump[int]) -> None:
        for number in range(3):
            await pump.send(number)
            await asyncio.sleep(0.1)

    assert_type(rxchat.source(count), Stream[int])
    assert_type(rxchat.source(count, "count").pipe(ops.map(str)), Stream[str])


def a_stream_for_each_item() -> None:
    def answer(question: str) -> Stream[str]:
        return flowgpt(question).pipe(ops.text())

    questions = rxchat.of("Why?", "How?")
    assert_type(questions.pipe(ops.concat_map(answer)), Stream[str])
    assert_type(questions.pipe(ops.switch_map(answer)), Stream[str])
    assert_type(questions.pipe(ops.map(answer)), Stream[Stream[str]])


# Taking a provider's stream apart ---------------------------------------------------------------


def the_steps_of_a_provider() -> None:
    request = flowgpt.request("hi")
    frames = rxchat.of(request).pipe(
        ops.sign(md5_signature()), ops.send(), ops.decode(lambda: NDJSON(Line))
    )
    assert_type(frames, Stream[Line])
    assert_type(frames.pipe(ops.events(FlowGptLines)), Stream[Event])

    body = rxchat.of(acytoo.request("hi")).pipe(ops.send())
    assert_type(body, Stream[bytes])
    assert_type(body.pipe(ops.decode(SSE)), Stream[Frame])
    assert_type(body.pipe(ops.decode(NDJSON)), Stream[Any])
    assert_type(body.pipe(ops.decode(Utf8Text)), Stream[str])
    assert_type(body.pipe(ops.decode(Utf8Text), ops.events(PlainText), ops.text()), Stream[str])
    assert_type(body.pipe(ops.answer(Utf8Text, PlainText)), Stream[Event])


def the_steps_of_a_provider_with_a_mapping_of_your_own() -> None:
    class Mapping:
        def feed(self, lines: Iterable[object]) -> Iterator[Event]:
            for line in lines:
                yield Text(str(line))

        def close(self) -> list[Event]:
            return [Finish()]

    words = rxchat.of(flowgpt.request("hi")).pipe(
        ops.sign(md5_signature()),
        ops.send(),
        ops.decode(lambda: NDJSON(Line)),
        ops.events(Mapping),
        ops.text(),
    )
    assert_type(words, Stream[str])


# Consuming --------------------------------------------------------------------------------------


async def iterating() -> None:
    async for chunk in flowgpt("hi").pipe(ops.text()):
        assert_type(chunk, str)
    assert_type([event async for event in flowgpt("hi")], list[Event])
    async with flowgpt("hi").pipe(ops.text()).open() as chunks:
        assert_type(chunks, Cursor[str])
        async for chunk in chunks:
            assert_type(chunk, str)
            break


async def awaiting() -> None:
    assert_type(await flowgpt("hi"), Event)
    assert_type(await flowgpt("hi").pipe(ops.text(), ops.to_list()), list[str])
    first, second = await asyncio.gather(flowgpt("hi"), flowgpt("hi").pipe(ops.text()))
    assert_type(first, Event)
    assert_type(second, str)
    async with asyncio.TaskGroup() as group:
        group.create_task(flowgpt("hi").pipe(ops.text()).subscribe(print).wait_closed())


def running() -> None:
    assert_type(flowgpt("hi").run(), Event)
    assert_type("".join(flowgpt("hi").pipe(ops.text(), ops.to_list()).run()), str)


async def subscribing() -> None:
    words = flowgpt("hi").pipe(ops.text())
    subscription = words.subscribe(print)
    assert_type(subscription, Subscription)
    disposable: DisposableBase = subscription
    disposable.dispose()
    await words.subscribe(print).wait_closed()
    heard: list[str] = []
    await words.subscribe(heard.append).wait_closed()
    await words.subscribe(print, on_error=print, on_completed=print).wait_closed()
    await words.subscribe().wait_closed()


async def telling_events_apart() -> str:
    async for event in flowgpt("hi"):
        match event:
            case Text(text) | Reasoning(text):
                assert_type(text, str)
            case Usage(input=tokens):
                assert_type(tokens, int | None)
            case Start(model):
                assert_type(model, str)
            case Finish(reason):
                return reason
            case Other(name):
                assert_type(name, str)
            case _:
                pass
    return ""


async def telling_errors_apart() -> float | None:
    try:
        await flowgpt("hi")
    except RateLimited as error:
        return error.retry_after
    except AllFailed as group:
        assert_type(group.exceptions, tuple[Exception | ExceptionGroup[Exception], ...])
    except ChatError as error:
        assert_type(error.provider, str | None)
        assert_type(error.content_emitted, bool)
    return None


async def length(text: str) -> int:
    return len(text)


def long_enough(answer: Message) -> bool:
    return len(answer.text) > 9


async def thoughtful(answer: Message) -> bool:
    return bool(answer.parts)


def surviving() -> None:
    """Operators of recovery keep the type, wherever they stand."""
    busy, guard, gauge = ops.limit(concurrent=2), ops.breaker(), ops.meter()
    hard = flowgpt("hi").pipe(busy, guard, gauge, ops.deadline(first=1), ops.retry(3))
    assert_type(hard, Stream[Event])
    words = hard.pipe(ops.shared(), ops.text(), ops.checkpoint("words"))
    assert_type(words, Stream[str])
    assert_type(words.pipe(ops.map_async(length, concurrent=2)), Stream[int])
    assert_type(words.pipe(ops.retry(commit=80)), Stream[str])
    assert_type(words.pipe(ops.deadline(total=9)), Stream[str])
    assert_type(words.pipe(busy), Stream[str])
    assert_type(words.pipe(guard), Stream[str])
    assert_type(words.pipe(gauge), Stream[str])
    assert_type(gauge.last.first if gauge.last else None, float | None)


def joining() -> None:
    one, two = flowgpt("hi"), flowgpt("hello")
    assert_type(rxchat.hedge(one, two, after="p95", max_extra=0.1, lost=print), Stream[Event])
    assert_type(rxchat.race(one, two, commit="sentence"), Stream[Event])
    resumed = rxchat.fallback(one, lambda partial: flowgpt(partial), after_commit="resume")
    assert_type(resumed, Stream[Event])
    assert_type(rxchat.first_valid(one, two, valid=long_enough), Stream[Event])
    assert_type(rxchat.first_valid(one, two, valid=thoughtful), Stream[Event])
    assert_type(rxchat.quorum(one, two, n=2), Stream[Event])
    assert_type(rxchat.cascade(one, two, good_enough=thoughtful), Stream[Event])
    assert_type(rxchat.healthy(flowgpt, flowgpt)("hi"), Stream[Event])


class Cat(TypedDict):
    name: str
    lives: int


def weather(city: str) -> str:
    return city


def transforming() -> None:
    """Text stays what it was, events or texts; values have their types."""
    events = flowgpt("hi").pipe(ops.redact("s3cret"), ops.sentences(), ops.stop_at("User:"))
    assert_type(events, Stream[Event])
    assert_type(events.pipe(ops.reasoning_tags(), ops.guard(str.isascii)), Stream[Event])
    words = events.pipe(ops.text(), ops.words(), ops.limit_words(9), ops.smooth(), ops.coalesce(1))
    assert_type(words, Stream[str])
    assert_type(words.pipe(ops.tee_to(print)), Stream[str])
    assert_type(words.pipe(ops.as_type(Cat)), Stream[Cat])
    assert_type(words.pipe(ops.as_type(list[Cat])), Stream[list[Cat]])
    assert_type(words.pipe(ops.json_items("cats", Cat)), Stream[Cat])
    assert_type(words.pipe(ops.growing()), Stream[rxchat.Growing])
    assert_type(events.pipe(ops.collect()), Stream[rxchat.Answer])
    assert_type(events.pipe(ops.tool_calls()), Stream[ToolCall])
    assert_type(events.pipe(ops.run_tools([weather], again=flowgpt)), Stream[Event])
    assert_type(events.pipe(ops.cost(rxchat.Price(1, 2))), Stream[Event])
    assert_type(rxchat.side_by_side({"a": words, "b": words}).name, str)


async def talking() -> None:
    chat = rxchat.Chat(flowgpt, system="Be brief.")
    assert_type(chat.ask("hi"), Stream[Event])
    assert_type(await chat.ask("hi").pipe(ops.collect()), rxchat.Answer)
    assert_type(chat.history, tuple[Message, ...])
    assert_type(chat.fork(), rxchat.Chat)
