"""One queue for all who share a limiter: places, starts and tokens, in virtual time.

`Wired` streams play a service: they tell their watches of a request and of its headers.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Mapping
from datetime import timedelta
from typing import Any

import pytest
import reactivex
from hypothesis import given
from hypothesis import strategies as st

import rxchat
from rxchat import operators as ops
from rxchat.errors import (
    Aborted,
    BadRequest,
    ChatError,
    ConnectionLost,
    LoopError,
    Overloaded,
    RateLimited,
    UsageError,
)
from rxchat.events import Finish, Reasoning, Text, ToolCall, Usage
from rxchat.operators.asking.limits import Limiter, limit
from rxchat.providers import flowgpt
from rxchat.stream import Call, Pump, Scope, Stream, Watch
from rxchat.testing import LocalServer, Reply, Scripted, VirtualLoop, cold, draw, run_virtual


def now() -> float:
    return asyncio.get_running_loop().time()


class Service:
    """Each stream of it lasts a while, and notes when it began; each answer has the next headers."""

    def __init__(self, name: str = "service", *answers: Mapping[str, str] | Exception) -> None:
        self.name = name
        self.answers = list(answers)
        self.starts: list[float] = []
        self.who: list[object] = []
        self.live = self.most = self.ended = 0

    def stream(self, seconds: float = 1.0, who: object = None, *items: Any) -> Stream[Any]:
        async def run(pump: Pump[Any]) -> None:
            self.starts.append(now())
            self.who.append(who)
            self.live += 1
            self.most = max(self.most, self.live)
            try:
                call = Call(self.name)
                call.asked = 400
                for watch in pump.scope.watches:
                    watch.asked(call)
                answer = self.answers.pop(0) if self.answers else {}
                if isinstance(answer, Exception):
                    raise answer
                for watch in pump.scope.watches:
                    watch.answered(call, answer)
                for item in items:
                    pump.emit(item)
                await asyncio.sleep(seconds)
                self.ended += 1
            finally:
                self.live -= 1

        return rxchat.source(run, self.name)


async def end_of(stream: Stream[Any]) -> Exception | None:
    """Run a stream to its end, and give its error."""
    try:
        async for _ in stream:
            pass
    except ChatError as error:
        return error
    return None


async def together(*streams: Stream[Any]) -> list[Exception | None]:
    return await asyncio.gather(*map(end_of, streams))


def starts_of(service: Service, *streams: Stream[Any]) -> list[float]:
    run_virtual(together(*streams))
    return [round(start, 3) for start in service.starts]


def is_quiet(limiter: Limiter) -> bool:
    """Nothing is left: nobody runs or waits, no timer is set."""
    desk = limiter._desk
    assert desk is not None
    queues = [queue.turns or queue.said.unanswered for queue in desk._queues.values()]
    return limiter.running == limiter.waiting == 0 and desk._timer is None and not any(queues)


# What you allow ---------------------------------------------------------------------------------


def test_no_more_than_so_many_run_at_once_and_the_next_starts_when_one_ends() -> None:
    service, limiter = Service(), limit(concurrent=2)
    assert starts_of(service, *(service.stream().pipe(limiter) for _ in range(5))) == [
        0,
        0,
        1,
        1,
        2,
    ]
    assert service.most == 2
    assert is_quiet(limiter)


def test_a_place_is_given_back_however_a_stream_ends() -> None:
    limiter = limit(concurrent=1)
    failing, endless, fine = cold("--#"), cold("a-----"), cold("-b|")

    async def main() -> float:
        await end_of(failing.stream.pipe(limiter))
        async for _ in endless.stream.pipe(limiter):
            break
        await fine.stream.pipe(limiter)
        return now()

    assert run_virtual(main()) == pytest.approx(0.04)
    assert is_quiet(limiter)


def test_no_more_than_so_many_start_in_any_sixty_seconds() -> None:
    service, limiter = Service(), limit(per_minute=3)

    async def main() -> None:
        early = asyncio.create_task(together(service.stream().pipe(limiter)))
        await asyncio.sleep(50)
        await together(*(service.stream().pipe(limiter) for _ in range(6)))
        await early

    run_virtual(main())
    assert service.starts == [0, 50, 50, 60, 110, 110, 120]


def test_a_stream_that_needs_fewer_places_does_not_overtake() -> None:
    service, limiter = Service(), limit(concurrent=1)
    streams = [service.stream(9.0 - n, n).pipe(limiter) for n in range(8)]
    run_virtual(together(*streams))
    assert service.who == [*range(8)]


def test_tokens_are_reserved_at_the_start_and_corrected_by_the_truth() -> None:
    service, limiter = Service(), limit(tokens_per_minute=1000, estimate=600)
    cheap = [service.stream(1.0, n, Usage(input=50, output=50)).pipe(limiter) for n in range(3)]
    assert starts_of(service, *cheap) == [0, 1, 2]
    assert is_quiet(limiter)


def test_what_was_used_on_top_of_the_estimate_counts_from_when_it_is_known() -> None:
    service, limiter = Service(), limit(tokens_per_minute=1000, estimate=100)
    dear = service.stream(10.0, 0, Usage(total=5000)).pipe(limiter)

    async def main() -> None:
        await end_of(dear)
        await end_of(service.stream().pipe(limiter))

    run_virtual(main())
    assert service.starts == [0, 70]


def test_an_estimate_above_the_limit_takes_all_of_it_and_does_not_wait_for_ever() -> None:
    service, limiter = Service(), limit(tokens_per_minute=10, estimate=5000)
    streams = [service.stream(1.0, n, Usage(total=9)).pipe(limiter) for n in range(2)]
    assert starts_of(service, *streams) == [0, 60]


ITEMS = [
    ((Text("x" * 400),), 200),
    ((Reasoning("x" * 40), ToolCall(arguments="x" * 40)), 120),
    ((Text("x" * 400), Usage()), 200),
    ((Text("x" * 400), Usage(input=3, output=4)), 7),
    ((Text("x" * 400), Usage(input=3, output=4, total=9)), 9),
    (("plain", 1), 100),
]


@pytest.mark.parametrize(("items", "tokens"), ITEMS)
def test_without_usage_four_letters_or_bytes_of_the_request_are_a_token(
    items: tuple[Any, ...], tokens: int
) -> None:
    limiter = limit()
    run_virtual(together(Service().stream(1.0, 0, *items).pipe(limiter)))
    assert limiter.terms.usual == 1000 + (tokens - 1000) / 8


def test_the_estimate_is_learned_from_whole_answers_only() -> None:
    service, limiter = Service("service", ConnectionLost("x")), limit()
    run_virtual(together(service.stream().pipe(limiter)))
    assert limiter.terms.usual == 1000


def test_one_limiter_is_shared_by_all_services() -> None:
    limiter, one, two = limit(concurrent=1), Service("one"), Service("two")
    run_virtual(together(one.stream().pipe(limiter), two.stream().pipe(limiter)))
    assert (one.starts, two.starts) == ([0], [1])


def test_further_requests_of_a_running_stream_count_as_starts() -> None:
    service, limiter = Service("service", ConnectionLost("x")), limit(per_minute=2)
    again = service.stream().pipe(ops.retry(2, backoff=lambda n: 1.0), limiter)
    other = service.stream().pipe(limiter)

    async def main() -> None:
        await end_of(again)
        await end_of(other)

    run_virtual(main())
    assert service.starts == [0, 1, 60]


# Waiting ----------------------------------------------------------------------------------------


def test_one_who_leaves_the_queue_has_asked_nothing_and_the_next_moves_up() -> None:
    service, limiter = Service(), limit(concurrent=1)

    async def main() -> None:
        tasks = [
            asyncio.create_task(end_of(service.stream(2.0, n).pipe(limiter))) for n in range(4)
        ]
        await asyncio.sleep(1)
        assert (limiter.running, limiter.waiting) == (1, 3)
        tasks[1].cancel()
        await asyncio.sleep(0.5)
        assert (limiter.running, limiter.waiting) == (1, 2)
        await asyncio.gather(*tasks, return_exceptions=True)

    run_virtual(main())
    assert (service.who, service.starts) == ([0, 2, 3], [0, 2, 4])
    assert is_quiet(limiter)


def test_when_all_hang_up_at_once_nobody_is_started_to_be_hung_up() -> None:
    service, limiter = Service(), limit(concurrent=1, per_minute=5)

    async def main() -> None:
        running = [service.stream().pipe(limiter).subscribe() for _ in range(5)]
        await asyncio.sleep(0.5)
        for each in running:
            each.dispose()
        await asyncio.sleep(0.5)
        assert is_quiet(limiter)
        await together(*(service.stream().pipe(limiter) for _ in range(4)))

    run_virtual(main())
    assert service.starts == [0, 0.5 + 0.5, 2, 3, 4]


def test_one_who_comes_just_as_a_place_is_given_back_does_not_overtake() -> None:
    service, limiter = Service(), limit(concurrent=1)
    first, second, late = (service.stream(1.0, n).pipe(limiter) for n in range(3))

    async def main() -> None:
        first.subscribe(on_completed=late.subscribe)
        second.subscribe()
        await asyncio.sleep(5)

    run_virtual(main())
    assert service.who == [0, 1, 2]


def test_services_of_which_nothing_is_known_are_forgotten() -> None:
    limiter = limit()
    run_virtual(together(*(Service(f"{n}").stream().pipe(limiter) for n in range(9))))
    assert limiter._desk is not None
    assert limiter._desk._queues == {}


def test_no_timer_is_left_when_the_last_who_waits_has_left() -> None:
    limiter = limit(per_minute=1)

    async def main() -> None:
        await end_of(Service().stream().pipe(limiter))
        waiting = Service().stream().pipe(limiter).subscribe()
        await asyncio.sleep(1)
        assert limiter._desk is not None
        assert limiter._desk._timer is not None
        waiting.dispose()
        assert is_quiet(limiter)

    run_virtual(main())


class Heard(Watch):
    def __init__(self) -> None:
        self.heard: list[tuple[str, float]] = []

    def queued(self) -> None:
        self.heard.append(("queued", now()))

    def admitted(self) -> None:
        self.heard.append(("admitted", now()))


def watched(source: Stream[Any], watch: Watch) -> Stream[Any]:
    def subscribe(observer: Any, scheduler: Any = None) -> Any:
        return source.subscribe(observer, scheduler=Scope.of(scheduler).watched(watch))

    return rxchat.wrap(reactivex.Observable(subscribe))


def test_watchers_downstream_hear_who_waits_and_that_it_waits_no_more() -> None:
    service, limiter = Service(), limit(concurrent=1)
    first, second, third = Heard(), Heard(), Heard()

    async def main() -> None:
        tasks = [
            asyncio.create_task(end_of(watched(service.stream(5.0).pipe(limiter), watch)))
            for watch in (first, second, third)
        ]
        await asyncio.sleep(1)
        tasks[2].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run_virtual(main())
    assert first.heard == []
    assert second.heard == [("queued", 0), ("admitted", 5)]
    assert third.heard == [("queued", 0), ("admitted", 1)]


def test_a_stream_that_speaks_and_ends_while_it_is_subscribed_to_gives_its_place_back() -> None:
    limiter = limit(concurrent=1)
    run_virtual(together(*(rxchat.wrap(reactivex.of(n)).pipe(limiter) for n in range(3000))))
    assert is_quiet(limiter)


def test_a_stream_that_cannot_be_subscribed_to_fails_alone() -> None:
    def broken(observer: Any, scheduler: Any) -> Any:
        raise BadRequest("broken")

    service, limiter = Service(), limit(concurrent=1)
    streams = [service.stream(), rxchat.wrap(reactivex.create(broken)), service.stream()]
    errors = run_virtual(together(*(stream.pipe(limiter) for stream in streams)))
    assert [type(error) for error in errors] == [type(None), BadRequest, type(None)]
    assert is_quiet(limiter)


# What the services say --------------------------------------------------------------------------


def openai(remaining: int, reset: str, kind: str = "requests") -> dict[str, str]:
    return {f"x-ratelimit-remaining-{kind}": str(remaining), f"x-ratelimit-reset-{kind}": reset}


def one_after_the_other(service: Service, limiter: Limiter, times: int = 3) -> list[float]:
    async def main() -> None:
        for _ in range(times):
            await end_of(service.stream().pipe(limiter))

    run_virtual(main())
    return [round(start, 3) for start in service.starts]


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [
        ("20s", 20),
        ("0m30s", 30),
        ("1m0.5s", 60.5),
        ("1h2m3s", 3723),
        ("5000ms", 5),
        ("7", 7),
        ("7.25", 7.25),
        ("1970-01-01T00:00:00Z", 1),
        ("", 1),
        ("soon", 1),
        ("-5", 1),
        ("nan", 1),
        ("99999999h", 1),
        ("2999-01-01T00:00:00Z", 1),
        ("2999-01-01T00:00:00", 1),
        ("1" * 5000, 1),
    ],
)
def test_when_nothing_remains_nobody_starts_before_the_reset(reset: str, seconds: float) -> None:
    service = Service("openai", openai(0, reset))
    assert one_after_the_other(service, limit(max_wait=math.inf), 2) == [0, seconds]


@pytest.mark.parametrize("kind", ["requests", "tokens", "input-tokens", "output-tokens"])
def test_anthropics_dates_are_read(kind: str) -> None:
    async def main() -> None:
        reset = (Scope().now + timedelta(seconds=30)).isoformat().replace("+00:00", "Z")
        form = f"anthropic-ratelimit-{kind}-"
        service.answers.append({form + "remaining": "0", form + "reset": reset})
        for _ in range(2):
            await end_of(service.stream().pipe(limiter))

    service, limiter = Service("anthropic"), limit()
    run_virtual(main())
    assert service.starts == [0, pytest.approx(30, abs=0.5)]


def test_no_more_start_than_remain_until_the_reset() -> None:
    service, limiter = Service("openai", openai(2, "30s")), limit()

    async def main() -> None:
        await end_of(service.stream().pipe(limiter))
        await together(*(service.stream().pipe(limiter) for _ in range(4)))

    run_virtual(main())
    assert service.starts == [0, 1, 1, 30, 30]


def test_those_who_have_no_answer_yet_are_counted_as_well() -> None:
    service, limiter = Service("openai", openai(2, "30s")), limit()

    async def main() -> None:
        never_answered = cold("-").stream
        never_answered.name = "openai"
        hanging = never_answered.pipe(limiter).subscribe()
        await end_of(service.stream().pipe(limiter))
        await together(*(service.stream().pipe(limiter) for _ in range(2)))
        hanging.dispose()

    run_virtual(main())
    assert service.starts == [0, 1, 30]


def test_remaining_tokens_hold_up_whoever_needs_more() -> None:
    service = Service("openai", openai(250, "40s", "tokens"))
    assert one_after_the_other(service, limit(estimate=100), 4) == [0, 1, 2, 40]


@pytest.mark.parametrize("remaining", ["", "-1", "many", "1.5", "²"])
def test_absurd_remainders_are_ignored(remaining: str) -> None:
    service = Service("openai", {**openai(0, "20s"), "x-ratelimit-remaining-requests": remaining})
    assert one_after_the_other(service, limit(), 2) == [0, 1]


@given(st.text(), st.text() | st.dates().map(str) | st.datetimes().map(str))
def test_no_header_can_break_a_stream(remaining: str, reset: str) -> None:
    for remains in (remaining, "0"):
        answer = {**openai(0, reset), "x-ratelimit-remaining-requests": remains}
        errors = run_virtual(together(Service("openai", answer).stream().pipe(limit())))
        assert errors == [None]


@pytest.mark.parametrize(
    "error", [RateLimited("x", retry_after=9.0), Overloaded("x", retry_after=9.0)]
)
def test_after_a_refusal_that_names_a_time_nobody_starts_before_it(error: Exception) -> None:
    assert one_after_the_other(Service("openai", error), limit(), 2) == [0, 9]


@pytest.mark.parametrize(
    "error",
    [RateLimited("x"), BadRequest("x", retry_after=9.0), ConnectionLost("x", retry_after=9.0)],
)
def test_other_failures_hold_up_nobody(error: Exception) -> None:
    assert one_after_the_other(Service("openai", error), limit(), 2) == [0, 0]


def test_what_one_service_says_does_not_hold_up_the_streams_of_another() -> None:
    limiter = limit(concurrent=1)
    tired, fresh = Service("tired", RateLimited("x", retry_after=9.0)), Service("fresh")
    run_virtual(
        together(
            tired.stream().pipe(limiter),
            tired.stream().pipe(limiter),
            *(fresh.stream().pipe(limiter) for _ in range(3)),
        )
    )
    assert (tired.starts, fresh.starts) == ([0, 9], [0, 1, 2])


def test_a_fleet_waits_out_one_refusal_and_does_not_storm() -> None:
    service, limiter = Service("openai", RateLimited("x", retry_after=20.0)), limit(concurrent=1)
    fleet = [service.stream(0.1, n).pipe(limiter, ops.retry()) for n in range(10)]
    assert run_virtual(together(*fleet)) == [None] * 10
    assert len(service.starts) == 11
    assert service.starts[1] == 20


def test_a_service_that_wants_more_than_max_wait_is_not_asked_and_nobody_hangs() -> None:
    service, limiter = Service("openai", RateLimited("x", retry_after=3600.0)), limit()

    async def main() -> Exception | None:
        await end_of(service.stream().pipe(limiter))
        await asyncio.sleep(600)
        return await end_of(service.stream().pipe(limiter))

    error = run_virtual(main())
    assert isinstance(error, RateLimited)
    assert (error.retry_after, error.provider) == (3000, "openai")
    assert "not asked: it wants 3000 s of rest" in str(error)
    assert len(service.starts) == 1
    assert is_quiet(limiter)


async def refused_at(stream: Stream[Any]) -> float:
    """When it fails because its service wants too long a rest."""
    error = await end_of(stream)
    assert isinstance(error, RateLimited)
    assert error.message.startswith("not asked")
    return now()


@pytest.mark.parametrize("told", [openai(0, "500s"), RateLimited("x", retry_after=500.0)])
def test_all_who_wait_for_a_service_fail_as_soon_as_it_wants_too_much_and_so_do_all_who_come(
    told: Any,
) -> None:
    service, other = Service("openai", openai(0, "20s"), told), Service("other")
    limiter = limit(concurrent=1)

    async def main() -> None:
        await end_of(service.stream().pipe(limiter))
        asking = asyncio.create_task(end_of(service.stream(1.0).pipe(limiter)))
        await asyncio.sleep(0)
        waiting = (refused_at(service.stream().pipe(limiter)) for _ in range(5))
        assert await asyncio.gather(*waiting) == [20] * 5
        assert await refused_at(service.stream().pipe(limiter)) == 20
        await end_of(other.stream().pipe(limiter))
        await asking

    run_virtual(main())
    assert service.starts == [0, 20]
    assert is_quiet(limiter)


def test_whoever_would_have_to_wait_for_what_others_just_took_fails_at_once() -> None:
    service, limiter = Service("openai", openai(1, "500s")), limit()

    async def main() -> None:
        await end_of(service.stream().pipe(limiter))
        unanswered = cold("-").stream
        unanswered.name = "openai"
        hanging = unanswered.pipe(limiter).subscribe()
        others = (refused_at(service.stream().pipe(limiter)) for _ in range(3))
        assert await asyncio.gather(*others) == [1] * 3
        hanging.dispose()

    run_virtual(main())


def test_those_who_were_queued_when_the_last_allowance_is_taken_fail_at_once() -> None:
    service, limiter = Service("openai", openai(1, "500s")), limit(concurrent=1)
    unanswered = cold("-").stream
    unanswered.name = "openai"

    async def main() -> None:
        first = asyncio.create_task(end_of(service.stream().pipe(limiter)))
        await asyncio.sleep(0.5)
        hanging = unanswered.pipe(limiter).subscribe()
        others = (refused_at(service.stream().pipe(limiter)) for _ in range(3))
        assert await asyncio.gather(*others) == [1] * 3
        hanging.dispose()
        await first

    run_virtual(main())


def test_a_consumer_that_comes_back_at_once_is_refused_at_once_and_stops_nobody() -> None:
    service, limiter = Service("openai", RateLimited("x", retry_after=500.0)), limit()
    refusals: list[Exception] = []

    def again(error: Exception) -> None:
        refusals.append(error)
        service.stream().pipe(limiter).subscribe(
            on_error=again if len(refusals) < 9 else refusals.append
        )

    async def main() -> None:
        await end_of(service.stream().pipe(limiter))
        service.stream().pipe(limiter).subscribe(on_error=again)
        await asyncio.sleep(1)

    run_virtual(main())
    assert len(refusals) == 10
    assert is_quiet(limiter)


@pytest.mark.parametrize(("each", "starts"), [(True, [0, 20]), (False, [0, 1])])
def test_a_limiter_on_each_part_of_a_join_is_held_up_and_one_on_the_whole_is_not(
    each: bool, starts: list[float]
) -> None:
    service, limiter = Service("openai", openai(0, "20s")), limit()

    def joined() -> Stream[Any]:
        part = service.stream(1.0, 0, Text("x"))
        if each:
            return rxchat.fallback(part.pipe(limiter), Scripted("y")("?"))
        return rxchat.fallback(part, Scripted("y")("?")).pipe(limiter)

    async def main() -> None:
        for _ in range(2):
            await end_of(joined())

    run_virtual(main())
    assert service.starts == starts


# One loop at a time -----------------------------------------------------------------------------


def test_a_limiter_serves_one_loop_after_the_other() -> None:
    service, limiter = Service(), limit(concurrent=1, per_minute=1)

    async def leave_in_the_middle() -> None:
        for _ in range(3):
            service.stream().pipe(limiter).subscribe()
        await asyncio.sleep(0.5)

    for _ in range(2):
        run_virtual(leave_in_the_middle())
    assert service.starts == [0, 0]


def test_at_the_end_of_a_loop_nobody_who_waits_begins(capfd: Any) -> None:
    service, limiter = Service(), limit(concurrent=1)

    async def main() -> None:
        for _ in range(3):
            service.stream().pipe(limiter).subscribe()
        await asyncio.sleep(0.5)

    asyncio.run(main())
    assert len(service.starts) == 1
    assert capfd.readouterr().err == ""


def test_when_one_stream_is_cancelled_from_outside_the_others_go_on() -> None:
    service, limiter = Service("openai", Aborted("x")), limit(concurrent=1)
    errors = run_virtual(together(*(service.stream().pipe(limiter) for _ in range(2))))
    assert [type(error) for error in errors] == [Aborted, type(None)]


def test_two_loops_at_the_same_time_are_refused() -> None:
    limiter, loop = limit(concurrent=1), VirtualLoop()

    async def begin() -> Any:
        return Service().stream(9.0).pipe(limiter).subscribe()

    try:
        running = loop.run_until_complete(begin())
        with pytest.raises(LoopError, match="another event loop"):
            Service().stream().pipe(limiter).run()
        running.dispose()
        loop.run_until_complete(running.wait_closed())
    finally:
        loop.close()
    assert Service().stream(0.0, 0, 7).pipe(limiter).run() == 7


# What it says of itself -------------------------------------------------------------------------


def test_it_shows_its_limits_and_its_state() -> None:
    assert repr(limit()) == "<limiter: as the services say; 0 running, 0 waiting>"
    service = Service("openai", openai(0, "20s"))
    limiter = limit(concurrent=4, per_minute=60, tokens_per_minute=90_000)

    async def main() -> str:
        streams = [service.stream().pipe(limiter) for _ in range(6)]
        async with asyncio.TaskGroup() as group:
            group.create_task(together(*streams))
            await asyncio.sleep(0.5)
            return repr(limiter)

    assert run_virtual(main()) == (
        "<limiter: 4 at once, 60 per minute, 90,000 tokens per minute; "
        "4 running, 2 waiting; openai rests for 19.5 s>"
    )


@pytest.mark.parametrize("name", ["concurrent", "per_minute", "tokens_per_minute", "estimate"])
@pytest.mark.parametrize("value", [0, -1, True, 1.5, "3", math.inf])
def test_what_is_no_number_of_things_is_refused(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=rf"limit\({name}=\) takes a whole number"):
        limit(**{name: value})


@pytest.mark.parametrize("value", [0, -1.0, True, math.nan, "3", None])
def test_what_is_no_time_is_refused(value: Any) -> None:
    with pytest.raises(UsageError, match=r"limit\(max_wait=\) takes seconds"):
        limit(max_wait=value)


def test_it_is_an_operator_that_leaves_a_stream_as_it_is() -> None:
    assert draw(cold("--a-(bc)--#").stream.pipe(limit())) == "--a-(bc)--#"
    assert run_virtual(_all(Scripted("a")("?").pipe(limit()))) == [Text("a"), Finish()]


async def _all(stream: Stream[Any]) -> list[Any]:
    return [item async for item in stream]


# Laws -------------------------------------------------------------------------------------------

plans = st.lists(
    st.tuples(
        st.integers(0, 40),  # seconds before it is subscribed to
        st.integers(0, 90),  # how long it lasts
        st.none() | st.integers(0, 200),  # when its consumer leaves
        st.integers(0, 300),  # tokens it takes
        st.sampled_from(["", "fails", "tired"]),
    ),
    min_size=1,
    max_size=12,
)
few = st.none() | st.integers(1, 4)


@given(plans, few, few, st.none() | st.integers(1, 500))
def test_a_limit_is_kept_fair_and_leaves_nothing_behind(
    plan: list[Any], concurrent: int | None, per_minute: int | None, tokens: int | None
) -> None:
    limiter = limit(
        concurrent=concurrent, per_minute=per_minute, tokens_per_minute=tokens, max_wait=math.inf
    )
    service, queued, left = Service("one"), list[int](), set[int]()
    ends = {"": {}, "fails": ConnectionLost("x"), "tired": RateLimited("x", retry_after=7.0)}
    begun: list[tuple[int, float, int, int]] = []  # who, when, tokens: reserved, counted at least

    async def one(number: int, stays: int | None, stream: Stream[Any]) -> None:
        try:
            async with asyncio.timeout(stays):
                await end_of(stream)
        except TimeoutError:
            left.add(number)

    def noted(number: int, stream: Stream[Any], answer: Any, takes: int) -> Stream[Any]:
        def start(_: object) -> Stream[Any]:
            reserved = limiter.terms.tokens()
            begun.append((number, now(), reserved, min(reserved, takes or 100, 100)))
            service.answers[:] = [answer]
            return stream

        return rxchat.wrap(reactivex.defer(start), "one")

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for number, (pause, lasts, stays, takes, end) in enumerate(plan):
                await asyncio.sleep(pause)
                queued.append(number)
                stream = service.stream(lasts, number, Usage(total=takes))
                stream = noted(number, stream, ends[end], takes).pipe(limiter)
                group.create_task(one(number, stays, stream))
                await asyncio.sleep(0)
        assert is_quiet(limiter)

    run_virtual(main())
    assert service.most <= (concurrent or math.inf)
    for place, (_, start, reserved, _) in enumerate(begun):
        minute = [each for each in begun[:place] if start < each[1] + 60]
        # Who left may have sent nothing: what that has cost is anything from nothing on.
        counted = sum(least for number, _, _, least in minute if number not in left)
        assert len(minute) < (per_minute or math.inf)
        assert counted + reserved <= (tokens or math.inf)
    assert service.who == sorted(service.who)
    assert set(queued) - set(service.who) <= left


# On the wire ------------------------------------------------------------------------------------


@pytest.fixture
async def server() -> AsyncGenerator[LocalServer]:
    async with LocalServer(Reply("Hello")) as server:
        yield server


async def test_one_who_leaves_the_queue_sends_no_request(server: LocalServer) -> None:
    limiter, provider = limit(concurrent=1), flowgpt.but(base_url=server.url)
    server.reply = Reply("Hello", then="stall", finish=False)
    async with provider("1").pipe(limiter).open() as first:
        await anext(first)
        waiting = provider("2").pipe(limiter).subscribe()
        assert (limiter.running, limiter.waiting) == (1, 1)
        waiting.dispose()
        await waiting.wait_closed()
    assert (limiter.running, limiter.waiting, len(server.exchanges)) == (0, 0, 1)


FAMILIES = [
    ({"X-RateLimit-Remaining-Requests": "0", "X-RateLimit-Reset-Requests": "1h0m0s"}, 3600),
    ({"X-RateLimit-Remaining-Tokens": "0", "X-RateLimit-Reset-Tokens": "500s"}, 500),
    (
        {
            "Anthropic-RateLimit-Requests-Remaining": "0",
            "Anthropic-RateLimit-Requests-Reset": "900",
        },
        900,
    ),
]


@pytest.mark.parametrize(("headers", "seconds"), FAMILIES)
async def test_headers_of_a_real_answer_are_heard(
    headers: dict[str, str], seconds: float, server: LocalServer
) -> None:
    limiter, provider = limit(), flowgpt.but(base_url=server.url)
    server.reply = Reply("Hello", headers=headers)
    assert await end_of(provider("1").pipe(limiter)) is None
    error = await end_of(provider("2").pipe(limiter))
    assert isinstance(error, RateLimited)
    assert error.retry_after == pytest.approx(seconds, abs=60)
    assert len(server.exchanges) == 1


async def test_a_429_of_a_real_answer_holds_up_the_next(server: LocalServer) -> None:
    limiter, provider = limit(), flowgpt.but(base_url=server.url)
    server.reply = Reply(status_code=429, body=b"{}", headers={"Retry-After": "300"})
    assert isinstance(await end_of(provider("1").pipe(limiter)), RateLimited)
    assert isinstance(await end_of(provider("2").pipe(limiter)), RateLimited)
    assert len(server.exchanges) == 1
