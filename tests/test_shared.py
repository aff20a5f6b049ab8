"""Several read one answer: it is asked for once, heard whole by all, and kept.

Pictures: `-` is 10 ms of silence, a letter is an item, `s` a `Start` event (which is no content),
`|` is the end, `#` an error; `^` is a request, `!` a hang-up.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from typing import Any

import pytest
import reactivex
from hypothesis import given
from hypothesis import strategies as st
from reactivex.disposable import CompositeDisposable, Disposable

import rxchat
from rxchat import operators as ops
from rxchat.errors import CallbackFailed, ConnectionLost, LoopError, Truncated
from rxchat.events import Start, Text
from rxchat.operators.asking.sharing import shared
from rxchat.providers import openai
from rxchat.stream import Call, Pump, Scope, Stream, Watch, source
from rxchat.testing import (
    HOLD,
    Cold,
    LocalServer,
    Reply,
    Scripted,
    cold,
    draw,
    run_virtual,
)

FRAME = 0.01
START = Start(model="m")


class Ear:
    """A consumer who writes down what it hears."""

    def __init__(self, stream: Stream[Any]) -> None:
        self.heard = ""
        self.error: Exception | None = None
        self.subscription = stream.subscribe(self._note, self._failed, lambda: self._note("|"))

    def _note(self, item: Any) -> None:
        self.heard += sign_of(item)

    def _failed(self, error: Exception) -> None:
        self.error = error
        self._note("#")

    def leave(self) -> None:
        self.subscription.dispose()


def sign_of(item: Any) -> str:
    return "s" if item == START else str(item)


def drawn(picture: str, error: Exception | None = None) -> tuple[Cold, Stream[Any]]:
    drawing = cold(picture, {"s": START}, error)
    return drawing, drawing.stream.pipe(shared())


async def frames(count: float) -> None:
    await asyncio.sleep(count * FRAME)


# Who hears what ---------------------------------------------------------------------------------


def test_all_who_come_in_time_hear_one_request() -> None:
    drawing, stream = drawn("--a-b-(cd)|")

    async def main() -> list[str]:
        ears = [Ear(stream) for _ in range(3)]
        await frames(20)
        return [ear.heard for ear in ears]

    assert run_virtual(main()) == ["abcd|"] * 3
    assert drawing.subscriptions == ["^"]


def test_one_who_comes_late_catches_up_and_goes_live() -> None:
    drawing, stream = drawn("ab--c--d|")

    async def main() -> None:
        first = Ear(stream)
        await frames(2)
        late = Ear(stream)
        assert late.heard == ""  # nothing is emitted during subscribe
        await frames(0.5)
        assert late.heard == first.heard == "ab"
        await frames(2)
        assert late.heard == first.heard == "abc"
        await frames(20)
        assert late.heard == first.heard == "abcd|"

    run_virtual(main())
    assert drawing.subscriptions == ["^"]


def test_a_source_that_speaks_during_subscribe_is_heard_after_it() -> None:
    async def main() -> None:
        stream = rxchat.of(*"abc").pipe(shared())
        ear = Ear(stream)
        assert ear.heard == ""
        await ear.subscription.wait_closed()
        assert ear.heard == "abc|"

    run_virtual(main())


def test_both_halves_of_one_pipeline_read_one_answer() -> None:
    drawing, stream = drawn("-a-b-c|")
    both = rxchat.zip(stream, stream.pipe(ops.map(str.upper))).pipe(ops.map("".join))
    assert draw(both) == "-(aA)-(bB)-(cC)|"
    assert drawing.subscriptions == ["^"]


def test_an_item_that_brings_about_the_next_is_heard_in_order_by_all() -> None:
    subject = reactivex.Subject[str]()
    stream = rxchat.wrap(subject.pipe(ops.as_observable())).pipe(shared())

    async def main() -> list[str]:
        echo = stream.subscribe(lambda item: subject.on_next("b") if item == "a" else None)
        ear = Ear(stream)
        subject.on_next("a")
        subject.on_completed()
        await echo.wait_closed()
        return [ear.heard]

    assert run_virtual(main()) == ["ab|"]


def test_an_end_inside_a_callback_comes_after_the_items_for_all() -> None:
    subject = reactivex.Subject[str]()
    stream = rxchat.wrap(subject.pipe(ops.as_observable())).pipe(shared())

    async def main() -> str:
        stream.subscribe(lambda item: subject.on_completed())
        ear = Ear(stream)
        subject.on_next("a")
        return ear.heard

    assert run_virtual(main()) == "a|"


# The end ----------------------------------------------------------------------------------------


def test_after_its_end_it_replays_and_never_asks_again_in_any_loop() -> None:
    talk = Scripted(START, "Hel", "lo")
    stream = talk("Hi").pipe(shared())
    first = asyncio.run(all_of(stream))
    assert asyncio.run(all_of(stream)) == run_virtual(all_of(stream)) == first
    assert len(talk.prompts) == 1


async def all_of(stream: Stream[Any]) -> list[Any]:
    return [item async for item in stream]


ENDS = [
    # the answer, what two hear who come one after the other, who asked
    ("-a|", ["a|", "a|"], ["^"]),
    ("-s|", ["s|", "s|"], ["^"]),
    ("-|", ["|", "|"], ["^"]),
    ("-sa#", ["sa#", "sa#"], ["^"]),
    ("-s#", ["s#", "s#"], ["^", "----------^"]),
    ("-#", ["#", "#"], ["^", "----------^"]),
]


@pytest.mark.parametrize(("picture", "heard", "asked"), ENDS)
def test_only_what_failed_before_its_content_is_asked_again(
    picture: str, heard: list[str], asked: list[str]
) -> None:
    drawing, stream = drawn(picture)

    async def main() -> list[str]:
        first = Ear(stream)
        await frames(10)
        second = Ear(stream)
        await frames(10)
        return [first.heard, second.heard]

    assert run_virtual(main()) == heard
    assert drawing.subscriptions == asked


def test_a_retry_above_asks_again_only_before_the_first_content() -> None:
    talk = Scripted(START, Truncated("cut")).then("a", Truncated("cut again")).then("never")
    stream = talk("Hi").pipe(shared(), ops.retry(3, when=lambda error: True))

    async def main() -> None:
        ears = [Ear(stream.pipe(ops.map(lambda item: item.text))) for _ in range(2)]
        await asyncio.sleep(60)
        assert [ear.heard for ear in ears] == ["a#", "a#"]

    run_virtual(main())
    assert len(talk.prompts) == 2


def test_a_listener_that_asks_again_while_it_hears_the_failure_starts_a_new_run() -> None:
    talk = Scripted(Truncated("cut")).then("again")
    stream = talk("Hi").pipe(shared())
    events = run_virtual(all_of(rxchat.fallback(stream, stream)))
    assert events[0] == Text("again")
    assert len(talk.prompts) == 2


def test_one_who_is_behind_hears_all_of_the_log_and_then_the_error() -> None:
    async def main() -> None:
        drawing, stream = drawn("ab-c#")
        first, seen = Ear(stream), []
        await frames(2)
        async with stream.open(high=1) as chunks:
            first.leave()
            with pytest.raises(ConnectionLost):
                async for chunk in chunks:
                    seen.append(chunk)
                    await frames(5)
        assert "".join(seen) == "abc"
        assert drawing.subscriptions == ["^"]

    run_virtual(main())


def test_a_replayed_error_does_not_grow() -> None:
    error = Truncated("cut")
    _, stream = drawn("a#", error)

    async def heard() -> list[str]:
        with pytest.raises(Truncated) as caught:
            await stream
        assert caught.value is error
        return traceback.format_exception(error)

    first = run_virtual(heard())
    for _ in range(3):
        assert len(run_virtual(heard())) == len(first)


# Leaving ----------------------------------------------------------------------------------------


def test_the_last_one_who_leaves_hangs_up_and_the_next_one_asks_anew() -> None:
    drawing, stream = drawn("-a-b----c|")

    async def main() -> None:
        one, two = Ear(stream), Ear(stream)
        await frames(2)
        one.leave()
        await frames(2)
        assert (one.heard, two.heard) == ("a", "ab")
        two.leave()
        two.leave()
        await frames(2)
        three = Ear(stream)
        await frames(20)
        assert three.heard == "abc|"

    run_virtual(main())
    assert drawing.subscriptions == ["^---!", "------^"]


def test_the_last_one_who_leaves_waits_until_all_is_closed() -> None:
    closed: list[str] = []

    async def talk(pump: Pump[str]) -> None:
        pump.closing(lambda: closed.append("socket"))
        try:
            pump.emit("a")
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(1)
            closed.append("task")

    async def main() -> None:
        stream = source(talk).pipe(shared())
        other = Ear(stream)
        async with stream.open() as chunks:
            await anext(chunks)
        assert closed == []  # one is left, and nobody waits for that
        other.leave()
        assert closed == ["socket"]  # in the same turn
        await other.subscription.wait_closed()
        assert closed == ["socket", "task"]

    run_virtual(main())


def test_one_who_leaves_while_it_catches_up_hears_nothing_more() -> None:
    async def main() -> None:
        drawing, stream = drawn("abcd----e|")
        first = Ear(stream)
        await frames(5)
        assert await stream.pipe(ops.take(2), ops.to_list()) == ["a", "b"]
        first.leave()
        await frames(1)
        assert drawing.subscriptions == ["^----!"]

    run_virtual(main())


@pytest.mark.parametrize("whom", ["itself", "the next", "the one before"])
def test_leaving_inside_a_callback_disturbs_nobody(whom: str) -> None:
    async def main() -> None:
        drawing, stream = drawn("-a-b|")
        ears: dict[str, Ear] = {}
        ears["the one before"] = Ear(stream)
        victim = {"itself": "middle"}.get(whom, whom)

        def leave(item: Any) -> None:
            ears[victim].leave()

        ears["middle"] = Ear(stream.pipe(ops.do_action(leave)))
        ears["the next"] = Ear(stream)
        ears["far"] = Ear(stream)
        await frames(10)
        gone = {"the one before": "a", "middle": "", "the next": ""}[victim]
        assert ears.pop(victim).heard == gone
        assert {ear.heard for ear in ears.values()} == {"ab|"}
        assert drawing.subscriptions == ["^"]

    run_virtual(main())


def test_one_who_subscribes_inside_a_callback_hears_all_and_nothing_twice() -> None:
    async def main() -> None:
        drawing, stream = drawn("-a-b-(cd)|")
        late: list[Ear] = []
        for _ in range(2):
            Ear(stream.pipe(ops.do_action(lambda item: late.append(Ear(stream)))))
        await frames(20)
        assert [ear.heard for ear in late] == ["abcd|"] * 8
        assert drawing.subscriptions == ["^"]

    run_virtual(main())


def test_one_who_is_behind_hears_nothing_before_its_own_gate_opens() -> None:
    async def main() -> None:
        _, stream = drawn("ab---c---d|")
        first, late, lost = Ear(stream), list[str](), list[str]()
        await frames(3)
        slow, gone = Scope(), Scope()
        slow.gate.pause()
        gone.gate.pause()
        stream.subscribe(late.append, scheduler=slow)
        leaving = stream.subscribe(lost.append, scheduler=gone)
        await frames(3)
        assert (first.heard, late) == ("abc", [])
        leaving.dispose()
        await gone.drained()  # what would have read for it waits no more
        slow.gate.resume()
        await frames(1)
        assert late == ["a", "b", "c"]
        await frames(10)
        assert (first.heard, late, lost) == ("abcd|", ["a", "b", "c", "d"], [])

    run_virtual(main())


# Bugs of others ---------------------------------------------------------------------------------


async def test_one_whose_callback_raises_does_not_disturb_the_others(
    reports: list[dict[str, Any]],
) -> None:
    _, stream = drawn("abc|")

    def buggy(item: Any) -> None:
        raise ZeroDivisionError(item)

    subscription = stream.subscribe(buggy)
    ear = Ear(stream)
    await ear.subscription.wait_closed()
    await subscription.wait_closed()
    assert ear.heard == "abc|"
    assert [str(report["exception"]) for report in reports] == ["a"]


def raising(upstream: reactivex.Observable[Any]) -> reactivex.Observable[Any]:
    """An operator that has a bug."""

    def subscribe(observer: Any, scheduler: Any = None) -> Any:
        def on_next(item: Any) -> None:
            raise ZeroDivisionError(item)

        return upstream.subscribe(on_next, observer.on_error, scheduler=scheduler)

    return reactivex.Observable(subscribe)


@pytest.mark.parametrize("late", [False, True])
def test_an_operator_that_raises_is_an_error_to_its_own_reader_only(late: bool) -> None:
    async def main() -> None:
        drawing, stream = drawn("ab--c|")
        good = Ear(stream)
        await frames(2 * late)
        bad = Ear(stream.pipe(raising, ops.retry(3, when=lambda error: True)))
        await frames(20)
        assert (good.heard, bad.heard) == ("abc|", "#")
        assert isinstance(bad.error, CallbackFailed)
        assert drawing.subscriptions == ["^"]

    run_virtual(main())


def test_an_operator_that_raises_hears_of_it_when_all_is_hung_up() -> None:
    told: list[Any] = []

    async def talk(pump: Pump[str]) -> None:
        pump.closing(lambda: told.append("hung up"))
        pump.emit("a")
        await asyncio.Event().wait()

    async def main() -> None:
        broken = source(talk).pipe(shared(), raising)
        await broken.subscribe(on_error=lambda error: told.append(type(error))).wait_closed()

    run_virtual(main())
    assert told == ["hung up", CallbackFailed]


async def test_one_who_raises_at_the_end_does_not_keep_it_from_the_others(
    reports: list[dict[str, Any]],
) -> None:
    stream = cold("a|").stream.pipe(shared())

    def subscribe(observer: Any, scheduler: Any = None) -> Any:
        def bug() -> None:
            raise ZeroDivisionError

        return stream.subscribe(on_completed=bug, scheduler=scheduler)

    broken = rxchat.wrap(reactivex.Observable(subscribe)).subscribe()
    ear = Ear(stream)
    await ear.subscription.wait_closed()
    broken.dispose()
    assert ear.heard == "a|"
    assert [type(report["exception"].__cause__) for report in reports] == [ZeroDivisionError]


def test_a_source_that_cannot_be_asked_is_an_error_and_leaves_nothing_behind() -> None:
    def broken(observer: Any, scheduler: Any) -> Any:
        asked.append(1)
        raise KeyError("broken")

    asked: list[int] = []
    stream = rxchat.wrap(reactivex.create(broken)).pipe(shared())
    for _ in range(2):
        with pytest.raises(KeyError):
            run_virtual(all_of(stream))
    assert len(asked) == 2


def test_a_source_that_raises_after_its_end_leaves_no_reader_behind() -> None:
    def broken(observer: Any, scheduler: Any) -> Any:
        observer.on_next("a")
        observer.on_completed()
        raise KeyError("broken")

    stream = rxchat.wrap(reactivex.create(broken)).pipe(shared())
    with pytest.raises(KeyError):
        run_virtual(all_of(stream))
    assert run_virtual(all_of(stream)) == ["a"]


# Demand -----------------------------------------------------------------------------------------


class Counting:
    """A source without end that counts what it has sent."""

    def __init__(self) -> None:
        self.sent = 0

    @property
    def stream(self) -> Stream[int]:
        return source(self._run)

    async def _run(self, pump: Pump[int]) -> None:
        while True:
            await pump.send(self.sent)
            self.sent += 1
            await asyncio.sleep(0)


async def turns(count: int = 100) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("late", [False, True])
async def test_the_slowest_reader_holds_the_source_back_until_it_leaves(late: bool) -> None:
    counting = Counting()
    stream = counting.stream.pipe(shared())
    fast: list[int] = []
    subscription = stream.subscribe(fast.append)
    await turns(50 * late)
    async with stream.open(high=8) as slow:
        assert await anext(slow) == 0
        await turns()
        held = counting.sent
        await turns()
        assert counting.sent == held <= 9 + 50 * late
        assert [await anext(slow) for _ in range(200)] == list(range(1, 201))
        await turns()
        held = counting.sent
        await turns()
        assert counting.sent == held
    await turns()
    assert counting.sent >= held + 50
    assert fast == list(range(len(fast)))
    subscription.dispose()
    await subscription.wait_closed()


async def test_one_who_leaves_with_a_closed_gate_holds_nobody_back() -> None:
    counting, scope = Counting(), Scope()
    stream = counting.stream.pipe(shared())
    fast = stream.subscribe()
    slow = stream.subscribe(scheduler=scope)
    await turns()
    scope.gate.pause()
    await turns()
    held = counting.sent
    await turns()
    assert counting.sent == held
    slow.dispose()
    await turns()
    assert counting.sent > held
    fast.dispose()
    await fast.wait_closed()


async def test_two_readers_in_one_pipeline_are_slow_together_and_neither_hangs() -> None:
    counting = Counting()
    stream = counting.stream.pipe(shared())
    async with rxchat.merge(stream, stream).open(high=4) as both:
        seen = [await anext(both) for _ in range(100)]
        await turns()
        held = counting.sent
        await turns()
        assert counting.sent == held <= 60
    assert sorted(seen) == sorted([*range(50), *range(50)])


def test_a_replay_is_as_slow_as_its_reader() -> None:
    talk = Scripted(*map(str, range(1000)))
    stream = talk("Hi").pipe(shared())

    async def main() -> None:
        await stream
        taken: list[Any] = []
        noted = stream.pipe(ops.do_action(taken.append))
        async with noted.open(high=4) as chunks:
            await anext(chunks)
            await turns()
            assert len(taken) <= 8

    run_virtual(main())


# Loops ------------------------------------------------------------------------------------------


def test_an_answer_that_the_end_of_its_loop_cut_is_asked_for_anew() -> None:
    talk = Scripted("a", 3600.0, "b")
    stream = talk("Hi").pipe(shared())

    async def leave_it_open() -> None:
        stream.subscribe()
        await turns()

    asyncio.run(leave_it_open())
    assert len(run_virtual(all_of(stream))) == 3
    assert len(talk.prompts) == 2


def test_an_answer_whose_loop_was_closed_under_it_is_asked_for_anew() -> None:
    waiting: list[Any] = []

    def subscribe(observer: Any, scheduler: Any = None) -> None:
        waiting.append(observer)

    stream = rxchat.wrap(reactivex.Observable(subscribe)).pipe(shared())

    async def ask() -> None:
        readers.append(stream.subscribe(heard.append))
        waiting[-1].on_next("a")
        if len(waiting) == 2:
            waiting[-1].on_completed()
            readers[0].dispose()  # late, and of the run before
        await turns()

    heard: list[Any] = []
    readers: list[Any] = []
    for _ in range(3):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(ask())
        loop.close()
    assert (len(waiting), heard) == (2, ["a", "a", "a"])


def test_a_loop_in_another_thread_cannot_join_a_living_answer() -> None:
    stream = Scripted("a", 3600.0)("Hi").pipe(shared())
    errors: list[Exception] = []

    def elsewhere() -> None:
        try:
            asyncio.run(all_of(stream))
        except LoopError as error:
            errors.append(error)

    async def main() -> None:
        ear = Ear(stream)
        await turns()
        await asyncio.to_thread(elsewhere)
        ear.leave()
        await ear.subscription.wait_closed()

    asyncio.run(main())
    assert "in another event loop" in str(errors[0])


def test_at_the_end_of_the_loop_nothing_new_begins() -> None:
    talk = Scripted("a", 3600.0)
    stream = talk("Hi").pipe(shared())
    again = rxchat.wrap(reactivex.catch(stream, stream))

    async def main() -> None:
        again.subscribe(on_error=lambda error: None)
        await turns()

    asyncio.run(main())
    assert (len(talk.prompts), talk.live) == (1, 0)


# The wire ---------------------------------------------------------------------------------------


async def test_screen_and_log_read_one_paid_answer_and_the_last_closes_the_socket() -> None:
    async with LocalServer(Reply("Hel", "lo", HOLD, "never")) as server:
        answer = openai.but(base_url=server.url, key="k")("Hi").pipe(shared())
        async with answer.pipe(ops.text()).open() as screen, answer.pipe(ops.text()).open() as log:
            assert [await anext(screen), await anext(screen)] == ["Hel", "lo"]
            assert [await anext(log), await anext(log)] == ["Hel", "lo"]
        exchange = await server.exchange(0)
        assert await exchange.ended == "hung up"
        assert len(server.exchanges) == 1


async def test_those_who_watch_hear_of_the_one_request() -> None:
    class Noting(Watch):
        def __init__(self) -> None:
            self.heard: list[str] = []

        def asked(self, call: Call) -> None:
            self.heard.append("asked")

        def answered(self, call: Call, headers: Any) -> None:
            self.heard.append(f"answered {call.status}")

    async with LocalServer(Reply("Hi")) as server:
        answer = openai.but(base_url=server.url, key="k")("Hi").pipe(shared())
        ended, watches = asyncio.Event(), [Noting(), Noting()]
        for watch in watches:
            answer.subscribe(
                on_error=print, on_completed=ended.set, scheduler=Scope().watched(watch)
            )
        await ended.wait()
        assert [watch.heard for watch in watches] == [["asked", "answered 200"]] * 2


# Laws -------------------------------------------------------------------------------------------

pictures = st.builds(
    lambda beats, end: "".join(beats) + end,
    st.lists(st.sampled_from(["-", "--", "x", "(xx)", "s"]), max_size=8),
    st.sampled_from(["|", "#", ""]),
)
visits = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.booleans()), max_size=6)


class Probe:
    """What each run of a source has said, and how many there were at once."""

    def __init__(self, stream: Stream[Any]) -> None:
        self.runs: list[str] = []
        self.live = self.most = 0

        def subscribe(observer: Any, scheduler: Any = None) -> Any:
            place = len(self.runs)
            self.runs.append("")
            self.live += 1
            self.most = max(self.most, self.live)

            def passing(pass_on: Callable[..., None], sign: str = "") -> Callable[..., None]:
                def on(*item: Any) -> None:
                    self.runs[place] += sign or sign_of(*item)
                    pass_on(*item)

                return on

            inner = stream.subscribe(
                passing(observer.on_next),
                passing(observer.on_error, "#"),
                passing(observer.on_completed, "|"),
                scheduler=scheduler,
            )
            return CompositeDisposable(inner, Disposable(self._left))

        self.stream: Stream[Any] = rxchat.wrap(reactivex.Observable(subscribe))

    def _left(self) -> None:
        self.live -= 1


@given(pictures, visits)
def test_everybody_hears_the_beginning_of_one_run_and_runs_never_overlap(
    picture: str, schedule: list[tuple[int, int, bool]]
) -> None:
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    picture = "".join(next(letters) if sign == "x" else sign for sign in picture)
    probe = Probe(cold(picture, {"s": START}).stream)
    stream = probe.stream.pipe(shared())

    async def visit(come: int, stay: int, slow: bool) -> str:
        await frames(come / 2 + 0.25)
        heard = ""
        try:
            async with asyncio.timeout(stay / 2 * FRAME), stream.open(high=1) as items:
                async for item in items:
                    heard += sign_of(item)
                    await frames(2 * slow)
            return heard + "|"
        except ConnectionLost:
            return heard + "#"
        except TimeoutError:
            return heard

    async def main() -> list[str]:
        heard = await asyncio.gather(*(visit(*each) for each in schedule))
        assert asyncio.all_tasks() == {asyncio.current_task()}  # nobody listens: nothing runs
        return heard

    heard = run_virtual(main())
    assert all(any(run.startswith(each) for run in probe.runs) for each in heard)
    assert (probe.live, probe.most) == (0, min(1, len(schedule)))
    for run in probe.runs[:-1]:  # what has ended is the last, but for what failed unheard
        assert not run.endswith("|")
        assert not run.endswith("#") or set(run) <= set("s#")
