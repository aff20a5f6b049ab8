"""A run that is watched: who was asked, and what became of them, without a word in the pipeline."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import rxchat
from rxchat import operators as ops
from rxchat.errors import AllFailed, ChatError, Overloaded, Truncated
from rxchat.events import Text
from rxchat.notebook import Recording, Timeline, lane, watch
from rxchat.notebook.timelines.layout import Layout
from rxchat.providers import acytoo
from rxchat.stream import Scope, Stream
from rxchat.testing import LocalServer, Reply, Scripted, run_virtual


def seen(run: Timeline) -> list[tuple[str, float, float | None, str]]:
    """What is drawn: who, from when, until when, and how it ended."""
    rows = [(each.label, each.row) for each in Layout(run.rows).lanes]
    return [(label, row.began, row.ended, row.outcome) for label, row in rows]


def watched(stream: Stream[Any]) -> Recording:
    async def main() -> Recording:
        with watch() as run:
            try:
                await stream
            except ChatError:
                pass
        return run

    return run_virtual(main())


def slow(name: str, first: float = 1.0, *said: str) -> Stream[Any]:
    return Scripted(first, *(said or ("Hel", 0.5, "lo")), name=name)("Hi")


def flaky(name: str = "openai") -> Stream[Any]:
    return Scripted(0.25, Overloaded("busy"), name=name).then(0.25, "Hello")("Hi")


def kinds(run: Timeline, label: str) -> list[str]:
    (row,) = (each.row for each in Layout(run.rows).lanes if each.label == label)
    return [mark.kind for mark in row.marks]


def test_a_stream_alone_is_one_lane() -> None:
    assert seen(watched(slow("openai"))) == [("openai", 0.0, 1.5, "completed")]


def test_each_attempt_of_a_retry_is_a_lane() -> None:
    run = watched(flaky().pipe(ops.retry(3, backoff=lambda number: 0.5)))
    assert seen(run) == [
        ("openai #1", 0.0, 0.25, "failed"),
        ("openai #2", 0.75, 1.0, "completed"),
        ("heard", 0.0, 1.0, "completed"),
    ]
    assert {*kinds(run, "openai #2")} == {"text", "committed", "finish"}


def test_a_race_shows_who_lost() -> None:
    run = watched(rxchat.race(slow("slow", 9.0), slow("quick", 0.5)))
    assert seen(run) == [
        ("slow", 0.0, 0.5, "lost"),
        ("quick", 0.0, 1.0, "completed"),
        ("heard", 0.0, 1.0, "completed"),
    ]
    assert "committed" in kinds(run, "quick")
    assert "committed" not in kinds(run, "slow")


def test_a_hedge_of_retries_shows_attempts_and_losers() -> None:
    first = flaky("openai").pipe(ops.retry(2, backoff=lambda number: 0.5))
    run = watched(rxchat.hedge(first, slow("claude", 9.0), slow("unasked"), after=0.6))
    assert seen(run) == [
        ("openai #1", 0.0, 0.25, "failed"),
        ("openai #2", 0.75, 1.0, "completed"),
        ("claude", 0.6, 1.0, "lost"),
        ("heard", 0.0, 1.0, "completed"),
    ]
    assert "committed" in kinds(run, "openai #2")


def test_a_retry_that_loses_a_race_has_lost_in_its_last_attempt() -> None:
    first = flaky("openai").pipe(ops.retry(2, backoff=lambda number: 0.0))
    run = watched(rxchat.race(first, slow("claude", 0.3)))
    assert [(name, outcome) for name, *_, outcome in seen(run)][:3] == [
        ("openai #1", "failed"),
        ("openai #2", "lost"),
        ("claude", "completed"),
    ]


def test_who_hangs_up_a_race_makes_nobody_a_loser() -> None:
    run = watched(rxchat.race(slow("a"), slow("b")).pipe(ops.deadline(total=0.5)))
    assert [outcome for name, *_, outcome in seen(run) if name in "ab"] == ["hung up", "hung up"]


def test_a_fallback_shows_its_seam() -> None:
    first = Scripted("Hel", 0.5, Truncated("cut"), name="openai")("Hi")
    run = watched(rxchat.fallback(first, slow("claude"), after_commit="restart"))
    assert [name for name, *_ in seen(run)] == ["openai", "claude", "heard"]
    assert "restart" in kinds(run, "heard")
    assert "restart" not in kinds(run, "claude")


def test_consensus_shows_its_panel() -> None:
    answers = [slow("a", 1.0, "4"), slow("b", 2.0, "4"), slow("c", 9.0, "5")]
    run = watched(rxchat.quorum(*answers, n=2))
    assert [(name, outcome) for name, *_, outcome in seen(run)] == [
        ("a", "completed"),
        ("b", "completed"),
        ("c", "lost"),
        ("heard", "completed"),
    ]


def test_when_all_fail_all_is_shown() -> None:
    broken = [Scripted(Overloaded("busy"), name=name)("Hi") for name in "ab"]
    run = watched(rxchat.race(*broken))
    assert [(name, outcome) for name, *_, outcome in seen(run)] == [
        ("a", "failed"),
        ("b", "failed"),
        ("heard", "failed"),
    ]
    assert run.rows[0].why.startswith(AllFailed.__name__)


def test_two_readers_of_a_shared_stream_see_one_request() -> None:
    async def main() -> Recording:
        shared = flaky().pipe(ops.retry(2, backoff=lambda number: 0.0), ops.shared())
        with watch() as run:
            async with shared.open() as one, shared.open() as other:
                assert [it async for it in one] == [it async for it in other]
        return run

    assert [(name, outcome) for name, *_, outcome in seen(run_virtual(main()))] == [
        ("openai #1", "failed"),
        ("openai #2", "completed"),
        ("heard", "completed"),
        ("openai #3", "completed"),  # what the other one heard of it
    ]


def test_a_lane_of_yours_stands_among_the_others() -> None:
    run = watched(rxchat.race(slow("a").pipe(lane("mine")), slow("b")))
    assert [name for name, *_ in seen(run)] == ["mine", "b", "heard"]


def test_every_way_to_read_is_watched() -> None:
    async def awaited(stream: Stream[Any]) -> None:
        await stream

    async def iterated(stream: Stream[Any]) -> None:
        async for _ in stream:
            pass

    async def opened(stream: Stream[Any]) -> None:
        async with stream.open() as answer:
            async for _ in answer:
                pass

    async def subscribed(stream: Stream[Any]) -> None:
        await stream.subscribe().wait_closed()

    async def main(read: Callable[[Stream[Any]], Awaitable[None]]) -> Recording:
        with watch() as run:
            await read(slow("openai"))
        return run

    for read in (awaited, iterated, opened, subscribed):
        assert seen(run_virtual(main(read))) == [("openai", 0.0, 1.5, "completed")], read


async def test_providers_have_lanes_wherever_they_are_asked() -> None:
    async with LocalServer(Reply("Hello")) as server:
        service = acytoo.but(base_url=server.url)
        with watch() as run:
            await rxchat.merge(service("Hi"), service("Ho"))
    assert [name for name, *_ in seen(run)] == ["acytoo #1", "acytoo #2", "heard"]
    assert kinds(run, "acytoo #1")[:2] == ["asked", "answered"]


async def test_who_does_not_watch_pays_nothing_and_is_not_recorded() -> None:
    with watch() as run:
        pass
    await slow("openai", 0.0)
    assert not run.rows
    assert Scope().recorder is None


@pytest.mark.parametrize("joining", [rxchat.race, rxchat.fallback])
async def test_a_watched_stream_says_what_it_says_unwatched(joining: Any) -> None:
    def stream() -> Stream[Any]:
        return joining(slow("a", 0.0), slow("b", 0.01))

    plain = [item async for item in stream()]
    with watch():
        assert [item async for item in stream()] == plain
    assert plain[0] == Text("Hel")
