"""A probe changes nothing, and misses nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rxchat
from rxchat import operators as ops
from rxchat.errors import ConnectionLost, Truncated, UsageError
from rxchat.events import Finish, Text
from rxchat.providers import openai
from rxchat.testing import (
    HOLD,
    LocalServer,
    Probe,
    Reply,
    Scripted,
    cold,
    draw,
    faults,
    run_virtual,
    said,
    verify,
)


def counts(probe: Probe[Any]) -> tuple[int, int, int, int, int]:
    return probe.subscribed, probe.live, probe.completed, probe.failed, probe.hung_up


@given(st.text("-ab", max_size=6), st.sampled_from(["|", "#", ""]), st.integers(1, 10))
def test_what_passes_a_probe_is_as_without_it(picture: str, end: str, until: int) -> None:
    stream = cold(picture + end).stream
    probe: Probe[str] = Probe()
    drawn = draw(stream, until)
    assert draw(stream.pipe(probe), until) == drawn
    assert draw(Probe(stream).stream, until) == drawn
    [run] = probe.runs
    outcome = {"|": "completed", "#": "failed"}.get(drawn[-1:], "hung up")
    assert run.outcome == outcome
    assert "".join(run.items) == drawn.replace("-", "").rstrip("|#")
    assert [round(time * 100) for time in run.times] == [
        place for place, sign in enumerate(drawn) if sign in "ab"
    ]


def test_each_subscription_has_a_run_of_its_own() -> None:
    probe = Probe(said("--#", "-a|"))
    assert draw(probe.stream.pipe(ops.retry(2, backoff=lambda number: 0.01))) == "----a|"
    assert counts(probe) == (2, 0, 1, 1, 0)
    first, second = probe.runs
    assert (first.began, first.ended, first.outcome) == (0, pytest.approx(0.02), "failed")
    assert (second.began, second.outcome) == (pytest.approx(0.03), "completed")
    assert probe.items == second.items == [Text("a"), Finish()]
    [error] = probe.errors
    assert isinstance(error, ConnectionLost)
    assert repr(probe) == "<Probe: subscribed 2 times; 1 failed, 1 completed; 2 items>"


def test_a_probe_that_nobody_asked_knows_that() -> None:
    probe = Probe(said("a|"))
    rxchat.fallback(said("b|"), probe.stream).run()
    assert counts(probe) == (0, 0, 0, 0, 0)
    assert repr(probe) == "<Probe: subscribed 0 times; 0 items>"


def test_a_probe_without_a_stream_goes_into_a_pipe() -> None:
    with pytest.raises(UsageError, match=r"stream\.pipe\(probe\)"):
        Probe().stream  # noqa: B018  # to ask for it is what raises


def test_what_hangs_up_after_the_end_is_no_hang_up() -> None:
    async def main() -> None:
        subscription = probe.stream.subscribe()
        await subscription.wait_closed()
        subscription.dispose()

    probe = Probe(said("a|"))
    run_virtual(main())
    assert counts(probe) == (1, 0, 1, 0, 0)


def test_a_source_that_cannot_even_be_subscribed_to_has_failed() -> None:
    def broken(*_: object) -> Any:
        raise ValueError("no")

    probe = Probe(rxchat.Stream(broken))
    assert draw(probe.stream) == "#"
    assert counts(probe) == (1, 0, 0, 1, 0)


def test_a_source_that_speaks_while_it_is_subscribed_to_is_heard() -> None:
    probe = Probe(rxchat.of(1, 2))
    assert probe.stream.run() == 2
    assert (probe.items, probe.completed) == ([1, 2], 1)


def test_pauses_are_counted_and_timed() -> None:
    probe = Probe(Scripted(*"abcd")("Hi"))

    async def main() -> None:
        async with probe.stream.open(high=1) as events:
            async for _ in events:
                await asyncio.sleep(2)

    run_virtual(main())
    assert (probe.pauses, probe.paused_for) == (2, 8)  # it opens when all that waits is taken
    assert probe.runs[0].pauses == 2


def test_a_pause_ends_with_the_stream() -> None:
    probe = Probe(cold("ab|").stream)

    async def main() -> float:
        async with probe.stream.open(high=1) as items:
            await asyncio.sleep(5)
            assert [item async for item in items] == ["a", "b"]
        return probe.paused_for

    assert run_virtual(main()) == pytest.approx(0.02)


def test_a_run_that_is_over_is_paused_no_more() -> None:
    probe = Probe(said("--#", "----a|"))
    answer = probe.stream.pipe(ops.retry(2, backoff=lambda number: 0))
    verify(answer).pause(5).expect_text("a").expect_any().expect_end().run()
    assert [round(run.paused_for, 6) for run in probe.runs] == [0.02, 4.98]


def test_two_probes_in_one_pipe_hear_the_same_demand() -> None:
    above: Probe[Any] = Probe()
    below: Probe[Any] = Probe()
    stream = Scripted(*"ab")("Hi").pipe(above, below)

    async def main() -> None:
        async with stream.open(high=1) as events:
            async for _ in events:
                await asyncio.sleep(1)

    run_virtual(main())
    assert above.paused_for == below.paused_for == 2
    assert above.items == below.items


async def test_a_real_stream_can_be_waited_for() -> None:
    async with LocalServer(Reply("Hel", HOLD, "lo")) as server:
        probe = Probe(openai.but(base_url=server.url + "/v1", key="sk")("Hi"))
        subscription = probe.stream.subscribe()
        assert probe.live == 1
        await probe.until(lambda it: Text("Hel") in it.items)
        subscription.dispose()
        assert counts(probe) == (1, 0, 0, 0, 1)
        await subscription.wait_closed()
        server.plan(*faults("cut"))
        with pytest.raises(Truncated):
            await probe.stream
        assert counts(probe) == (2, 0, 0, 1, 1)
