"""Hedge: the next is asked when the first is slow, and what the losers cost is told.

Pictures: `-` is 10 ms of silence, a letter is content, `s` is a `Start` event (which is held
back), `|` is the end, `#` an error; `^` is a request, `!` a hang-up.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import reactivex
from hypothesis import given
from hypothesis import strategies as st

import rxchat
from rxchat import operators as ops
from rxchat.errors import AllFailed, CallbackFailed, ConnectionLost, UsageError
from rxchat.events import Event, Finish, Reasoning, Start, Text, Usage
from rxchat.operators.asking import racing
from rxchat.providers import openai
from rxchat.stream import Call, Stream
from rxchat.testing import HOLD, Cold, LocalServer, Reply, Scripted, cold, draw, run_virtual

START = Start("m")


@pytest.fixture(autouse=True)
def _nothing_learned_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(racing, "_times", racing._Times())
    monkeypatch.setattr(racing, "_budgets", {})


def colds(*pictures: str) -> list[Cold]:
    return [cold(picture, {"s": START}, ConnectionLost(picture)) for picture in pictures]


HEDGES = [
    # sources, result when the next is asked after 30 ms, who was asked and hung up
    (["-a--|", "-b|"], "-a--|", ["^", None]),
    (["----a|", "--b-|"], "----a|", ["^", "---^!"]),
    (["------a|", "-b-|"], "----b-|", ["^---!", "---^"]),
    (["-#", "--b|"], "---b|", ["^", "-^"]),
    (["s-#", "s-b|"], "----(sb)|", ["^", "--^"]),
    (["-----#", "-----b|"], "--------b|", ["^", "---^"]),
    (["------------", "------------", "-c|"], "-------c|", ["^------!", "---^---!", "------^"]),
    (["-#", "-----------", "-c|"], "-----c|", ["^", "-^---!", "----^"]),
    (["-#", "-#", "-#"], "---#", ["^", "-^", "--^"]),
    (["-#", "-|"], "--|", ["^", "-^"]),
    (["-|", "-b|"], "--b|", ["^", "-^"]),
    (["-a-#", "-b|"], "-a-#", ["^", None]),
    (["-----a|"], "-----a|", ["^"]),
]


@pytest.mark.parametrize(("pictures", "result", "subscriptions"), HEDGES)
def test_the_next_is_asked_when_those_before_are_slow_or_have_failed(
    pictures: list[str], result: str, subscriptions: list[str | None]
) -> None:
    sources = colds(*pictures)
    stream = rxchat.hedge(*(each.stream for each in sources), after=0.03)
    drawn = draw(stream.pipe(ops.map(lambda item: "s" if item == START else item)))
    assert drawn == result
    assert [*map(asked, sources)] == subscriptions


def asked(source: Cold) -> str | None:
    return source.subscriptions[0] if source.subscriptions else None


def test_a_hedge_that_all_lose_keeps_every_failure_in_order() -> None:
    sources = colds("-#", "#", "--#")

    async def main() -> None:
        with pytest.raises(AllFailed) as caught:
            await rxchat.hedge(*(each.stream for each in sources), after=0.03)
        assert [str(error) for error in caught.value.exceptions] == ["-#", "#", "--#"]

    run_virtual(main())


def test_a_source_that_speaks_during_subscribe_leaves_the_rest_unasked() -> None:
    loud = rxchat.wrap(reactivex.create(lambda observer, _: observer.on_next("a")))
    other = cold("b|")
    assert draw(rxchat.hedge(loud, other.stream, after=0.01), until=5) == "a"
    assert other.subscriptions == []


def test_leaving_a_hedge_hangs_up_on_all_and_asks_nobody_else() -> None:
    sources = colds("---------a|", "---------b|", "-c|")
    assert draw(rxchat.hedge(*(each.stream for each in sources), after=0.03), until=5) == ""
    assert [*map(asked, sources)] == ["^----!", "---^-!", None]


@pytest.mark.parametrize("after", [-1, "p", "p100", "95", float("inf"), float("nan"), None, True])
def test_an_unknown_patience_is_refused_at_once(after: Any) -> None:
    with pytest.raises(UsageError, match=r'after=\) is a number of seconds, or as "p95"'):
        rxchat.hedge(rxchat.of(1), rxchat.of(2), after=after)


@pytest.mark.parametrize("share", [0, -0.1, 1.5])
def test_an_impossible_share_of_extra_requests_is_refused_at_once(share: float) -> None:
    with pytest.raises(UsageError, match=r"Budget\(share=\)|share of the requests"):
        rxchat.hedge(rxchat.of(1), rxchat.of(2), max_extra=share)


# What it learns -----------------------------------------------------------------------------------


def slow(seconds: float, name: str = "slow") -> Scripted:
    return Scripted(seconds, "a", name=name)


async def asked_at(first: Scripted, after: float | str) -> float:
    """When the second stream was asked, from now; -1 if never."""
    clock = asyncio.get_running_loop().time
    began, seen = clock(), []

    async def second(pump: rxchat.Pump[Event]) -> None:
        seen.append(clock() - began)
        await asyncio.Event().wait()

    await rxchat.hedge(first("?"), rxchat.source(second, "second"), after=after)
    return seen[0] if seen else -1


def test_patience_is_learned_from_the_times_of_late() -> None:
    async def main() -> None:
        assert await asked_at(slow(5.0), "p50") == 1.0  # nothing is known
        for seconds in range(10):
            await rxchat.hedge(slow(seconds / 10, "learned")("?"), after=99)
        assert await asked_at(slow(5.0, "learned"), "p50") == pytest.approx(0.5)
        assert await asked_at(slow(5.0, "learned"), "p0") == 0
        assert await asked_at(slow(5.0, "unknown"), "p50") == 1.0

    run_virtual(main())


def test_a_loser_is_learned_from_too_or_only_the_quick_would_count() -> None:
    async def main() -> None:
        for _ in range(10):
            await rxchat.hedge(slow(9.0, "sleepy")("?"), slow(0.0, "quick")("?"), after=2.0)
        assert await asked_at(slow(9.0, "sleepy"), "p50") == pytest.approx(2.0)

    run_virtual(main())


def test_names_are_not_remembered_without_bound() -> None:
    times = racing._Times()
    for number in range(racing.NAMES * 3):
        times.note(str(number), 1.0)
    assert len(times._of) == racing.NAMES


# What it may cost ---------------------------------------------------------------------------------


@given(
    st.lists(st.sampled_from([0.0, 5.0]), min_size=1, max_size=60),
    st.sampled_from([0.05, 0.1, 0.5, 1.0]),
)
def test_extra_requests_keep_to_their_share(delays: list[float], share: float) -> None:
    budget = rxchat.Budget(share)
    other = Scripted(1.0, "b")

    async def main() -> None:
        for delay in delays:
            await rxchat.hedge(slow(delay)("?"), other("?"), after=0.1, max_extra=budget)

    run_virtual(main())
    assert len(other.prompts) <= len(delays) * share + 1 + 1e-6


def test_a_share_is_counted_over_all_hedges_of_a_name() -> None:
    other = Scripted("b")

    async def main() -> None:
        for _ in range(20):
            await rxchat.hedge(slow(5.0)("?"), other("?"), after=0.1, max_extra=0.25)

    run_virtual(main())
    assert len(other.prompts) == 5 + 1  # which is saved up at the beginning


def test_a_spent_budget_is_not_asked_all_the_time() -> None:
    asked: list[float] = []

    class Spent(rxchat.Budget):
        def takes(self) -> bool:
            asked.append(asyncio.get_running_loop().time())
            return False

    async def main() -> None:
        await rxchat.hedge(slow(2.0)("?"), slow(0.0)("?"), after=0, max_extra=Spent(0.1))

    run_virtual(main())
    assert 1 <= len(asked) <= 10


def test_time_in_a_queue_of_ours_is_not_the_slowness_of_the_service() -> None:
    busy = ops.limit(concurrent=1)

    async def asks(pump: rxchat.Pump[Event]) -> None:
        for watch in pump.scope.watches:
            watch.asked(Call("queued"))
        await asyncio.sleep(0.1)
        pump.emit(Text("a"))
        await asyncio.sleep(5)

    async def main() -> None:
        stream = rxchat.source(asks, "queued").pipe(busy)
        runs = [rxchat.hedge(stream, after=99).subscribe() for _ in range(10)]
        for run in runs:
            await run.wait_closed()
        assert racing._times.percentile("queued", 99) == pytest.approx(0.1)

    run_virtual(main())


def test_a_failure_moves_on_whatever_the_share() -> None:
    other, broken = Scripted("b"), Scripted(ConnectionLost("x"))

    async def main() -> None:
        for _ in range(20):
            await rxchat.hedge(broken("?"), other("?"), after=0.1, max_extra=0.01)

    run_virtual(main())
    assert len(other.prompts) == 20


# What it did cost ---------------------------------------------------------------------------------


def losses(join: Any, *talks: Scripted, **options: Any) -> list[rxchat.Loss]:
    lost: list[rxchat.Loss] = []

    async def main() -> None:
        try:
            await join(*(talk("?") for talk in talks), lost=lost.append, **options)
        except AllFailed:
            lost.append(None)  # comes last

    run_virtual(main())
    return lost


def test_a_loser_tells_what_it_cost_as_far_as_that_is_known() -> None:
    told = Usage(input=9, output=0)
    loser = Scripted(Start(), told, 5.0, "b", name="loser")
    (loss,) = losses(rxchat.race, loser, Scripted(2.0, "a"))
    assert loss == rxchat.Loss(0, "loser", 2.0, told, estimated=False)


def test_what_is_not_known_is_estimated() -> None:
    loser = Scripted(Reasoning("x" * 40), 5.0)
    (loss,) = losses(rxchat.race, Scripted(2.0, "a"), loser, commit="answer")
    assert loss.estimated
    assert loss.usage == Usage(input=0, output=10)


def test_who_fails_before_somebody_is_heard_is_a_loss_too() -> None:
    gone = ConnectionLost("gone")
    assert [
        (loss.place, loss.error) for loss in losses(rxchat.race, Scripted(gone), Scripted(1.0, "a"))
    ] == [(0, gone)]
    first, second, last = losses(rxchat.hedge, Scripted(gone), Scripted(gone))
    assert (first.place, second.place, last) == (0, 1, None)


def test_who_was_never_asked_costs_nothing() -> None:
    assert losses(rxchat.hedge, Scripted("a"), Scripted("b")) == []


async def test_a_bug_in_who_is_told_does_not_disturb_the_winner(
    reports: list[dict[str, Any]],
) -> None:
    def broken(loss: rxchat.Loss) -> None:
        raise KeyError("broken")

    events = await rxchat.race(Scripted("a")("?"), Scripted(1.0)("?"), lost=broken).pipe(
        ops.to_list()
    )
    assert events == [Text("a"), Finish()]
    assert isinstance(reports[0]["exception"], KeyError)


def test_a_fatal_error_ends_the_hedge() -> None:
    bug = CallbackFailed("a callback raised")
    other = Scripted("b")

    async def main() -> None:
        with pytest.raises(CallbackFailed):
            await rxchat.hedge(Scripted(bug)("?"), other("?"))

    run_virtual(main())
    assert other.prompts == []


async def test_a_loser_is_hung_up_in_the_moment_another_one_is_heard() -> None:
    """Over the wire: the request's bytes are the estimate, and the server sees it go."""
    lost: list[rxchat.Loss] = []
    async with LocalServer() as server:
        server.plan(Reply(HOLD, "late"), Reply("Hi"))
        gpt = openai.but(base_url=server.url + "/v1", key="any")
        answer = rxchat.hedge(gpt("?"), gpt("?"), after=0.05, lost=lost.append)
        assert "".join(await texts(answer)) == "Hi"
        slow_one, quick = server.exchanges
        assert await slow_one.ended == "hung up"
        assert await quick.ended == "complete"
        assert lost[0].usage.input == len(slow_one.body) // 4
        assert (lost[0].name, lost[0].estimated, lost[0].error) == ("openai", True, None)


async def texts(stream: Stream[Event]) -> list[str]:
    return await stream.pipe(ops.text(), ops.to_list())
