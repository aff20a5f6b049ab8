"""`map_async`: an async function for each item, a few at once. And requests for typing users.

Pictures: `-` is 10 ms of silence, a letter is an item, `|` is the end, `#` an error; `^` is a
request, `!` a hang-up.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any

import pytest
import reactivex
from hypothesis import given
from hypothesis import strategies as st

import rxchat
from rxchat import operators as ops
from rxchat.errors import Aborted, CallbackFailed, RateLimited, UsageError
from rxchat.operators.mapping import map_async
from rxchat.providers import openai
from rxchat.stream import Gate, Pump, Scope, Stream, source
from rxchat.testing import HOLD, LocalServer, Reply, Scripted, cold, draw, run_virtual

FRAME = 0.01


class Workshop:
    """An async function that takes time, and knows who works in it."""

    def __init__(self, **frames: float) -> None:
        self.frames = frames
        self.began: list[Any] = []
        self.cancelled: list[Any] = []
        self.live = self.most = 0

    async def __call__(self, item: Any) -> str:
        self.began.append(item)
        self.live += 1
        self.most = max(self.most, self.live)
        try:
            await asyncio.sleep(self.frames.get(str(item), 1) * FRAME)
        except asyncio.CancelledError:
            self.cancelled.append(item)
            raise
        finally:
            self.live -= 1
        return str(item).upper()


async def turns(count: int = 50) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


# Order and number -------------------------------------------------------------------------------

RUNS = [
    # source, frames that items take, concurrent, ordered, result
    ("a--b--c|", {}, 1, True, "-A--B--(C|)"),
    ("(abc)|", {}, 1, True, "-AB(C|)"),
    ("(abc)|", {}, 3, True, "-(ABC|)"),
    ("(abc)|", {"a": 4, "b": 2}, 3, True, "----(ABC|)"),
    ("(abc)|", {"a": 4, "b": 2}, 3, False, "-CB-(A|)"),
    ("(abcd)|", {"a": 4}, 2, True, "----(AB)(CD|)"),
    ("(abcd)|", {"a": 4}, 2, False, "-BCD(A|)"),
    ("-|", {}, 2, True, "-|"),
    ("a-----|", {}, 2, True, "-A----|"),
    ("a-#", {"a": 1}, 2, True, "-A#"),
    ("ab-#", {"a": 1, "b": 9}, 2, True, "-A--------(B#)"),
    ("(abc)#", {"a": 2, "c": 3}, 1, True, "--AB--(C#)"),
]


@pytest.mark.parametrize(("picture", "takes", "concurrent", "ordered", "result"), RUNS)
def test_results_come_in_order_or_as_they_are_ready(
    picture: str, takes: dict[str, float], concurrent: int, ordered: bool, result: str
) -> None:
    shop = Workshop(**takes)
    mapped = cold(picture).stream.pipe(map_async(shop, concurrent=concurrent, ordered=ordered))
    assert draw(mapped) == result
    assert shop.most <= concurrent
    assert shop.live == 0


items = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12)


@given(items, st.integers(1, 4), st.booleans(), st.booleans())
def test_the_results_are_those_of_a_plain_loop(
    items: list[tuple[int, int]], concurrent: int, ordered: bool, slow: bool
) -> None:
    live = most = 0

    async def fn(numbered: tuple[int, int]) -> tuple[int, int]:
        nonlocal live, most
        live += 1
        most = max(most, live)
        await asyncio.sleep(numbered[1])
        live -= 1
        return numbered

    async def play(pump: Pump[tuple[int, int]]) -> None:
        for number, (pause, takes) in enumerate(items):
            await asyncio.sleep(pause)
            await pump.send((number, takes))

    async def main() -> list[tuple[int, int]]:
        seen = []
        mapped = source(play).pipe(map_async(fn, concurrent=concurrent, ordered=ordered))
        async with mapped.open(high=1) as results:
            async for result in results:
                seen.append(result)
                await asyncio.sleep(3 * slow)
        return seen

    expected = [(number, takes) for number, (_, takes) in enumerate(items)]
    seen = run_virtual(main())
    assert (seen if ordered else sorted(seen)) == expected
    assert most <= concurrent


def test_a_stream_may_be_what_the_function_gives_and_its_last_item_counts() -> None:
    def ask(question: str) -> Stream[str]:
        return rxchat.of(question, question + "!")

    assert rxchat.of("a", "b").pipe(map_async(ask), ops.to_list()).run() == ["a!", "b!"]


async def test_nothing_is_emitted_during_subscribe() -> None:
    async def at_once(item: str) -> str:
        return item

    seen: list[str] = []
    subscription = rxchat.of("a").pipe(map_async(at_once)).subscribe(seen.append)
    assert seen == []
    await subscription.wait_closed()
    assert seen == ["a"]


def test_each_call_has_the_context_variables_of_its_subscriber() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")

    async def fn(item: str) -> str:
        before = variable.get()
        variable.set(item)
        return before

    async def main() -> list[str]:
        variable.set("mine")
        return await rxchat.of("a", "b", "c").pipe(map_async(fn), ops.to_list())

    assert run_virtual(main()) == ["mine"] * 3


# Demand -----------------------------------------------------------------------------------------


class Counting:
    """A source without end that counts what it has sent."""

    sent = 0

    @property
    def stream(self) -> Stream[int]:
        return source(self._run)

    async def _run(self, pump: Pump[int]) -> None:
        while True:
            self.sent += 1
            await pump.send(self.sent)


@pytest.mark.parametrize("concurrent", [1, 5])
def test_the_source_is_held_back_while_as_many_wait_as_run(concurrent: int) -> None:
    counting, shop = Counting(), Workshop()

    async def main() -> None:
        scope = Scope()
        mapped = counting.stream.pipe(map_async(shop, concurrent=concurrent))
        subscription = mapped.subscribe(scheduler=scope)
        await turns()
        assert (counting.sent, shop.live) == (2 * concurrent, concurrent)
        await asyncio.sleep(10 * FRAME)
        assert counting.sent <= 13 * concurrent
        assert not scope.gate.paused  # what is full here is nobody else's affair
        subscription.dispose()
        await scope.drained()

    run_virtual(main())


def test_no_call_begins_that_a_slow_reader_does_not_want_yet() -> None:
    shop = Workshop()

    async def main() -> None:
        burst = rxchat.of(*range(1000)).pipe(map_async(shop, concurrent=2))
        async with burst.open(high=4) as results:
            await anext(results)
            await asyncio.sleep(100)
            assert len(shop.began) <= 8
            assert [await anext(results) for _ in range(50)] == [str(n) for n in range(1, 51)]

    run_virtual(main())
    assert shop.live == 0


def test_a_slow_reader_is_slow_to_the_source_too_until_it_leaves() -> None:
    gates: list[Gate] = []

    async def talk(pump: Pump[str]) -> None:
        gates.append(pump.gate)
        await asyncio.Event().wait()

    async def main() -> None:
        scope = Scope()
        subscription = source(talk).pipe(map_async(Workshop())).subscribe(scheduler=scope)
        await turns()
        scope.gate.pause()
        assert gates[0].paused
        subscription.dispose()
        assert not gates[0].paused
        await scope.drained()

    run_virtual(main())


# Failing and leaving ----------------------------------------------------------------------------


def failure(stream: Stream[Any]) -> Exception:
    async def main() -> Exception:
        with pytest.raises(Exception) as caught:  # noqa: PT011  # the caller looks at it
            await stream
        await turns()
        return caught.value

    return run_virtual(main())


def test_a_bug_ends_it_all_and_cancels_those_who_run() -> None:
    shop, drawing = Workshop(a=50), cold("ab--c|")

    async def fn(item: str) -> str:
        return str(1 / 0) if item == "b" else await shop(item)

    error = failure(drawing.stream.pipe(map_async(fn, concurrent=2), ops.retry(3)))
    assert isinstance(error, CallbackFailed)
    assert isinstance(error.__cause__, ZeroDivisionError)
    assert shop.cancelled == ["a"]
    assert drawing.subscriptions == ["^!"]


def test_all_is_hung_up_before_anybody_hears_of_a_failure() -> None:
    told: list[Any] = []

    async def talk(pump: Pump[str]) -> None:
        pump.closing(lambda: told.append("hung up"))
        pump.emit("a")
        await asyncio.Event().wait()

    async def buggy(item: str) -> str:
        raise ZeroDivisionError(item)

    async def main() -> None:
        broken = source(talk).pipe(map_async(buggy))
        await broken.subscribe(on_error=lambda error: told.append(type(error))).wait_closed()

    run_virtual(main())
    assert told == ["hung up", CallbackFailed]


def test_an_error_of_a_service_passes_as_it_is() -> None:
    busy = RateLimited("busy", retry_after=2.0)
    talk = Scripted(busy).then("ok")

    def ask(question: str) -> Stream[Any]:
        return talk(question)

    assert failure(rxchat.of("a").pipe(map_async(ask))) is busy
    talk = Scripted(busy).then("ok")
    assert rxchat.of("a").pipe(map_async(ask), ops.retry(2)).run().reason == "stop"


def test_a_call_that_cancels_itself_is_an_abort() -> None:
    async def suicidal(item: str) -> str:
        raise asyncio.CancelledError

    assert isinstance(failure(rxchat.of("a").pipe(map_async(suicidal), ops.retry(3))), Aborted)


@pytest.mark.parametrize(("concurrent", "cancelled"), [(1, ["a"]), (2, ["a", "b"])])
def test_leaving_cancels_those_who_run_and_begins_no_other(
    concurrent: int, cancelled: list[str]
) -> None:
    shop, drawing = Workshop(a=50, b=50), cold("abc----|")
    mapped = drawing.stream.pipe(map_async(shop, concurrent=concurrent))
    assert draw(mapped, until=5) == ""
    assert shop.began == shop.cancelled == cancelled
    assert [each[-1] for each in drawing.subscriptions] == ["!"]


@pytest.mark.parametrize("ordered", [True, False])
def test_taking_enough_inside_a_burst_gives_nothing_more(ordered: bool) -> None:
    shop = Workshop(d=9)
    mapped = rxchat.of(*"abcdef").pipe(map_async(shop, concurrent=4, ordered=ordered), ops.take(2))
    assert draw(mapped) == "-(AB|)"
    assert shop.live == 0
    assert shop.began == ["a", "b", "c", "d"]


def test_who_waits_until_all_is_closed_waits_for_those_cancelled() -> None:
    closed: list[str] = []

    async def lingering(item: str) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(1)
            closed.append(item)
        return item

    async def main() -> None:
        subscription = rxchat.of("a", "b").pipe(map_async(lingering, concurrent=2)).subscribe()
        await turns()
        subscription.dispose()
        await subscription.wait_closed()
        assert closed == ["a", "b"]

    run_virtual(main())


async def test_an_operator_that_raises_ends_it_all() -> None:
    def broken(upstream: reactivex.Observable[Any]) -> reactivex.Observable[Any]:
        def subscribe(observer: Any, scheduler: Any = None) -> Any:
            def on_next(item: Any) -> None:
                raise ZeroDivisionError(item)

            return upstream.subscribe(on_next, observer.on_error, scheduler=scheduler)

        return reactivex.Observable(subscribe)

    with pytest.raises(CallbackFailed, match="ZeroDivisionError: A"):
        await cold("ab-c|").stream.pipe(map_async(Workshop(), concurrent=2), broken)


def test_a_function_that_is_not_async_is_told_so() -> None:
    error = failure(rxchat.of("a").pipe(map_async(str.upper)))
    assert isinstance(error, UsageError)
    assert "it gave 'A'; ops.map takes any other" in str(error)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: map_async(5), "takes a function, not 5"),
        (lambda: map_async(Workshop(), concurrent=0), "at least 1, not 0"),
    ],
)
def test_bad_arguments_are_refused_at_once(make: Callable[[], object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make()


def test_the_end_of_the_loop_stops_it_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    shop = Workshop(a=1e6, b=1e6)

    async def main() -> None:
        rxchat.of("a", "b", "c").pipe(map_async(shop, concurrent=2)).subscribe()
        await turns()

    asyncio.run(main())
    assert shop.began == sorted(shop.cancelled) == ["a", "b"]
    assert not caplog.records


def test_at_the_end_of_the_loop_nothing_new_begins() -> None:
    talk = Scripted("a", 3600.0)
    mapped = talk("Hi").pipe(map_async(Workshop()))
    again = rxchat.wrap(reactivex.catch(mapped, mapped))

    async def main() -> None:
        again.subscribe(on_error=lambda error: None)
        await turns()

    asyncio.run(main())
    assert (len(talk.prompts), talk.live) == (1, 0)


# For those who type: a new question hangs up on the old one -------------------------------------


def switching(
    spelling: str, questions: reactivex.Subject[str], ask: Callable[[str], Stream[Any]]
) -> Stream[Any]:
    typed = rxchat.wrap(questions.pipe(ops.as_observable()))
    if spelling == "switch_map":
        return typed.pipe(ops.switch_map(ask))
    return typed.pipe(ops.map(ask), ops.switch_latest())


spellings = pytest.mark.parametrize("spelling", ["switch_map", "switch_latest"])


@spellings
async def test_a_new_question_hangs_up_on_the_request_before_it(spelling: str) -> None:
    questions, threads = reactivex.Subject[str](), threading.active_count()
    heard: asyncio.Queue[str] = asyncio.Queue()
    async with LocalServer() as server:
        server.plan(Reply("one ", HOLD, "never"), Reply("two ", "words"))
        gpt = openai.but(base_url=server.url, key="k")

        def ask(question: str) -> Stream[str]:
            return gpt(question).pipe(ops.text())

        subscription = switching(spelling, questions, ask).subscribe(heard.put_nowait)
        questions.on_next("first?")
        assert await heard.get() == "one "
        questions.on_next("second?")
        assert await server.exchanges[0].ended == "hung up"
        assert [await heard.get(), await heard.get()] == ["two ", "words"]
        questions.on_completed()
        await subscription.wait_closed()
        asked = [each.json["messages"][-1]["content"] for each in server.exchanges]
        assert asked == ["first?", "second?"]
        assert heard.empty()
        assert threading.active_count() == threads


@spellings
async def test_the_old_request_is_hung_up_in_the_same_turn_and_before_the_new_one_begins(
    spelling: str,
) -> None:
    questions, told = reactivex.Subject[str](), list[str]()

    def ask(question: str) -> Stream[str]:
        async def run(pump: Pump[str]) -> None:
            told.append(f"asked {question}")
            pump.closing(lambda: told.append(f"hung up {question}"))
            pump.emit(question)
            await asyncio.Event().wait()

        return source(run)

    subscription = switching(spelling, questions, ask).subscribe(told.append)
    questions.on_next("1")
    await turns()
    questions.on_next("2")
    questions.on_next("3")  # who types fast asks only the last
    assert told == ["asked 1", "1", "hung up 1"]
    await turns()
    assert told == ["asked 1", "1", "hung up 1", "asked 3", "3"]
    subscription.dispose()
    assert told[-1] == "hung up 3"
    await subscription.wait_closed()
