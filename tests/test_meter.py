"""A meter: what a stream did, in numbers."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime
from typing import Any

import pytest
import reactivex
from hypothesis import given
from hypothesis import strategies as st

import rxchat
from rxchat import operators as ops
from rxchat.errors import ChatError, ConnectionLost, UsageError
from rxchat.events import Other, Reasoning, Refusal, Reset, Start, Text, ToolCall, Usage
from rxchat.operators.asking.meters import KEPT, Run, meter
from rxchat.providers import openai
from rxchat.stream import Call, Pump, Scope, Stream, source
from rxchat.testing import LocalServer, Reply, Scripted, run_virtual


async def heard(stream: Stream[Any]) -> tuple[list[Any], Exception | None]:
    items: list[Any] = []
    try:
        async for item in stream:
            items.append(item)
    except ChatError as error:
        return items, error
    return items, None


def measured(*script: Any) -> Run:
    """The run of one script."""
    one = meter()
    run_virtual(heard(Scripted(*script)("Hi").pipe(one)))
    assert one.last is not None
    return one.last


def test_a_run_knows_when_how_fast_and_how_much() -> None:
    run = measured(0.5, Start(), 1.5, "four", 1, Reasoning("fives"), 3, "sixsix", Usage(output=9))
    assert (run.name, run.outcome, run.error, run.finish) == ("scripted", "completed", None, "stop")
    assert (run.asked, run.answered, run.first, run.total) == (None, None, 2, 6)
    assert (run.events, run.chars, run.requests, run.bytes) == (6, 15, 0, 0)
    assert [*run.moments] == [2, 3, 6]
    assert run.gaps == [1, 3]
    assert run.longest_gap == 3
    assert run.rate == pytest.approx(11 / 4)  # the first piece took no time after the first
    assert run.usage == Usage(output=9)
    assert run.began.tzinfo is UTC


SPOKEN = [
    (Text("abc"), 3, 1),
    (Reasoning("abc"), 3, 1),
    (Refusal("abc"), 3, 1),
    (ToolCall(name="name", arguments="{}"), 2, 1),
    ("abc", 3, 1),
    (17, 0, 1),
    (Start(), 0, 0),
    (Usage(), 0, 0),
    (Other("ping"), 0, 0),
]


@pytest.mark.parametrize(("item", "chars", "contents"), SPOKEN, ids=repr)
def test_characters_are_of_what_is_said_and_moments_of_content(
    item: object, chars: int, contents: int
) -> None:
    one = meter()
    run_virtual(heard(rxchat.of(item).pipe(one)))
    assert one.last is not None
    assert (one.last.chars, len(one.last.moments), one.last.events) == (chars, contents, 1)


def test_what_cannot_be_known_is_none() -> None:
    for run in (measured(), measured(Start(), 1), measured("once")):
        assert (run.rate, run.longest_gap, run.gaps) == (None, None, [])
    assert measured().first is None
    assert measured("a", "b").rate is None  # both at once


@given(st.lists(st.tuples(st.floats(0.01, 100), st.text(min_size=1)), min_size=2))
def test_rate_and_gaps_are_of_the_moments(pieces: list[tuple[float, str]]) -> None:
    run = measured(*(cue for piece in pieces for cue in piece))
    seconds, words = zip(*pieces, strict=True)
    assert run.gaps == pytest.approx([*seconds[1:]])
    assert run.rate == pytest.approx(sum(map(len, words[1:])) / math.fsum(seconds[1:]))
    assert run.first == pytest.approx(seconds[0])


def test_an_answer_that_begins_anew_is_measured_anew_but_the_first_word_was_heard_once() -> None:
    run = measured(1, "half", 1, Reset("restart"), 1, "whole", 1, "!")
    assert (run.chars, [*run.moments], run.rate) == (6, [3, 4], 1)
    assert (run.first, run.restarts, run.events) == (1, 1, 5)


def test_an_answer_that_goes_on_is_measured_on() -> None:
    run = measured(1, "half", 1, Reset("resume"), 1, "whole")
    assert (run.chars, [*run.moments], run.restarts) == (9, [1, 3], 0)


def test_requests_are_counted_and_the_first_of_them_is_timed() -> None:
    async def twice(pump: Pump[str]) -> None:
        for name in ("one", "two"):
            call = Call(name)
            for watch in pump.scope.watches:
                await asyncio.sleep(1)
                watch.asked(call)
                await asyncio.sleep(2)
                watch.answered(call, {})
                call.received += 100

    one = meter()
    run_virtual(heard(source(twice).pipe(one)))
    run = one.last
    assert run is not None
    assert (run.name, run.requests, run.asked, run.answered) == ("two", 2, 1, 3)
    assert run.bytes == 200


# How a run ends ---------------------------------------------------------------------------------

LOST = ConnectionLost("lost")
ENDS: list[tuple[list[Any], Any, str, Exception | None]] = [
    (["a"], ops.map(str), "completed", None),
    (["a", LOST], ops.map(str), "failed", LOST),
    (["a", 9, "b"], ops.take(1), "hung up", None),
    ([LOST], ops.map(str), "failed", LOST),
]


@pytest.mark.parametrize(("script", "then", "outcome", "error"), ENDS)
def test_done_is_called_once_however_a_run_ends(
    script: list[Any], then: Any, outcome: str, error: Exception | None
) -> None:
    runs: list[Run] = []
    ends: list[tuple[str, float | None]] = []

    def done(run: Run) -> None:
        runs.append(run)
        ends.append((run.outcome, run.total))

    run_virtual(heard(Scripted(1, *script)("Hi").pipe(meter(done), then)))
    assert ends == [(outcome, 1)]
    assert runs[0].error is error


def test_a_source_that_cannot_be_asked_has_failed() -> None:
    def broken(observer: Any, scheduler: Any) -> Any:
        raise ChatError("broken")

    one = meter()
    run_virtual(heard(rxchat.wrap(reactivex.create(broken), "broken").pipe(one)))
    assert one.last is not None
    assert (one.last.name, one.last.outcome, str(one.last.error)) == ("broken", "failed", "broken")


def test_a_bug_in_done_is_reported_and_the_stream_goes_on() -> None:
    told: list[dict[str, Any]] = []

    def done(run: Run) -> None:
        raise KeyError("bug")

    async def main() -> tuple[list[Any], Exception | None]:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
        return await heard(Scripted("a")("Hi").pipe(meter(done), ops.text()))

    assert run_virtual(main()) == (["a"], None)
    assert [type(each["exception"]) for each in told] == [KeyError]


def test_done_must_be_a_function() -> None:
    with pytest.raises(UsageError, match="takes a function of a Run"):
        meter("done")


@pytest.mark.parametrize("given", [None, lambda: None])
def test_a_source_may_give_anything_to_dispose_of(given: Any) -> None:
    def loose(observer: Any, scheduler: Any) -> Any:
        return given

    async def main() -> None:
        rxchat.wrap(reactivex.create(loose)).pipe(one).subscribe().dispose()

    one = meter()
    run_virtual(main())
    assert one.last is not None
    assert one.last.outcome == "hung up"


# The meter --------------------------------------------------------------------------------------


def test_one_meter_measures_many_streams_and_remembers_the_latest() -> None:
    one = meter()
    assert (one.last, repr(one)) == (None, "<meter of 0 runs, 0 running>")

    async def main() -> None:
        for number in range(KEPT + 1):
            await Scripted("a", name=f"say {number}")("Hi").pipe(one)

    run_virtual(main())
    assert len(one.runs) == KEPT
    assert one.runs[0].name == "say 1"
    assert one.last is one.runs[-1]


def test_a_run_can_be_looked_at_while_it_runs() -> None:
    one = meter()

    async def main() -> None:
        async with Scripted(1, "four", 1, "four", 9)("Hi").pipe(one).open() as items:
            await anext(items)
            run = one.last
            assert run is not None
            assert (run.outcome, run.chars, run.first, run.total) == ("running", 4, 1, None)
            assert repr(one) == (
                "<meter of 1 run, 1 running; last: "
                "<run of scripted: running, first content after 1.000 s, 4 chars>>"
            )
            await anext(items)
            assert run.rate == 4
        assert (run.outcome, run.total) == ("hung up", 2)

    run_virtual(main())


def test_a_failed_run_says_so() -> None:
    assert repr(measured(LOST)) == (
        "<run of scripted: failed with ConnectionLost, nothing said, 0 chars>"
    )


def test_the_time_in_which_we_were_slow_is_a_number_of_its_own() -> None:
    one = meter()

    async def main() -> list[float]:
        scope = Scope()
        running = Scripted("a", 1, "b", 50, "c")("Hi").pipe(one).subscribe(scheduler=scope)
        seen: list[float] = []
        for pause in (scope.gate.pause, scope.gate.resume) * 2:
            await asyncio.sleep(2)
            pause()
            assert one.last is not None
            seen.append(one.last.paused)
        scope.gate.pause()
        await asyncio.sleep(3)
        seen.append(one.last.paused)
        running.dispose()
        await asyncio.sleep(3)
        seen.append(one.last.paused)
        await scope.drained()
        return seen

    assert run_virtual(main()) == [0, 2, 2, 4, 7, 7]


def test_a_row_is_flat_and_plain() -> None:
    row = measured(1, "four", 2, "four", Usage(input=3, output=9), LOST).row()
    began = row.pop("began")
    assert isinstance(began, str)
    assert row == {
        "name": "scripted",
        "outcome": "failed",
        "finish": None,
        "requests": 0,
        "restarts": 0,
        "events": 3,
        "chars": 8,
        "bytes": 0,
        "asked": None,
        "answered": None,
        "first": 1,
        "total": 3,
        "paused": 0,
        "rate": 2,
        "longest_gap": 2,
        "usage_input": 3,
        "usage_output": 9,
        "usage_total": None,
        "usage_reasoning": None,
        "usage_cached": None,
        "error": "ConnectionLost",
    }


def test_a_moment_takes_eight_bytes() -> None:
    run = measured(*["token"] * 100)
    assert (len(run.moments), run.moments.itemsize) == (100, 8)


# On the wire ------------------------------------------------------------------------------------


async def test_on_the_wire_a_run_knows_its_requests_and_their_bytes() -> None:
    one = meter()
    async with LocalServer(Reply("Hel", "lo")) as server:
        server.plan(Reply.status(503, "busy"))
        ask = openai.but(base_url=server.url, key="secret")
        backoff = ops.retry(2, backoff=lambda _: 0.0)
        assert (await heard(ask("Hi").pipe(backoff, one, ops.text())))[0] == ["Hel", "lo"]
        run = one.last
        assert run is not None
        assert (run.name, run.requests, run.outcome, run.chars) == ("openai", 2, "completed", 5)
        assert run.bytes == server.exchanges[1].sent
        assert None is not run.asked < (run.answered or 0) < (run.first or 0) <= (run.total or 0)
        assert not run._calls  # which know keys


async def test_a_race_is_one_run_of_several_requests() -> None:
    one = meter()
    async with LocalServer(Reply("Hi")) as server:
        ask = openai.but(base_url=server.url, key="k")
        await heard(rxchat.race(ask("1"), ask("2")).pipe(one))
    assert one.last is not None
    assert (one.last.requests, one.last.outcome) == (2, "completed")


def test_what_came_in_no_time_has_no_rate() -> None:
    run = Run("said", datetime.now(UTC))
    run.moments.extend([0.0, 1e-308])
    run.grown.extend([2, 4])
    assert run.rate is None
