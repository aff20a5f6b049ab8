"""Retry, fallback and race: what has been heard is not asked again.

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
from rxchat.errors import (
    Aborted,
    AllFailed,
    BadRequest,
    CallbackFailed,
    ChatError,
    ConnectionLost,
    EmptyAnswer,
    RateLimited,
    Truncated,
    UsageError,
)
from rxchat.events import Finish, Start, Text
from rxchat.stream import Pump, Stream
from rxchat.testing import Cold, Scripted, cold, draw, run_virtual

START = Start(model="m")


def colds(*pictures: str) -> list[Cold]:
    return [cold(picture, {"s": START}, ConnectionLost(picture)) for picture in pictures]


def drawn(stream: Stream[Any]) -> str:
    return draw(stream.pipe(ops.map(lambda item: "s" if item == START else item)))


def failure(stream: Stream[Any]) -> Exception:
    async def main() -> Exception:
        with pytest.raises(Exception) as caught:  # noqa: PT011  # the caller looks at it
            await stream
        return caught.value

    return run_virtual(main())


# Race -------------------------------------------------------------------------------------------

RACES = [
    # sources, result, who asked and who was hung up
    (["----a--|", "--b--c|"], "--b--c|", ["^-!", "^"]),
    (["#", "--b|"], "--b|", ["^", "^"]),
    (["|", "--b|"], "--b|", ["^", "^"]),
    (["-a|", "|"], "-a|", ["^", "^"]),
    (["-(ab|)", "-(cd|)"], "-(ab|)", ["^", "^!"]),
    (["--a|"], "--a|", ["^"]),
    (["s---a|", "-s-b--|"], "---(sb)--|", ["^--!", "^"]),
    (["s-#", "--s-b|"], "----(sb)|", ["^", "^"]),
    (["-a-#", "--b|"], "-a-#", ["^", "^!"]),
    (["s-|", "-|"], "--|", ["^", "^"]),
    (["-#", "--#"], "--#", ["^", "^"]),
    (["-|", "--#"], "--|", ["^", "^"]),
    (["-#", "--|"], "--|", ["^", "^"]),
    (["(a|)", "b|"], "(a|)", ["^", "^!"]),
]


@pytest.mark.parametrize(("pictures", "result", "subscriptions"), RACES)
def test_a_race_is_won_by_the_first_content(
    pictures: list[str], result: str, subscriptions: list[str]
) -> None:
    sources = colds(*pictures)
    assert drawn(rxchat.race(*(each.stream for each in sources))) == result
    assert [each.subscriptions for each in sources] == [[drawn] for drawn in subscriptions]


def test_a_race_that_all_lose_keeps_every_failure_in_order() -> None:
    late, soon = colds("--#", "-#")
    error = failure(rxchat.race(late.stream, soon.stream))
    assert isinstance(error, AllFailed)
    assert [str(each) for each in error.exceptions] == ["--#", "-#"]


def test_a_race_asks_in_the_order_of_its_sources() -> None:
    asked: list[str] = []

    def runner(name: str) -> Stream[Any]:
        def ask(_: object) -> Stream[Any]:
            asked.append(name)
            return cold(f"-{name}|").stream

        return rxchat.wrap(reactivex.defer(ask))

    assert draw(rxchat.race(*map(runner, "bca"))) == "-b|"
    assert asked == ["b", "c", "a"]


def test_a_source_that_speaks_during_subscribe_leaves_the_rest_unasked() -> None:
    loud = rxchat.wrap(reactivex.create(lambda observer, _: observer.on_next("a")))
    other = cold("b|")
    assert draw(rxchat.race(loud, other.stream), until=3) == "a"
    assert other.subscriptions == []


@pytest.mark.parametrize("join", [rxchat.race, rxchat.fallback])
def test_joining_nothing_is_refused_at_once(join: Any) -> None:
    with pytest.raises(UsageError, match="at least one stream"):
        join()


@pytest.mark.parametrize("join", [rxchat.race, rxchat.fallback])
@pytest.mark.parametrize(
    ("others", "said"),
    [
        (["x"], r"not str: ask a provider"),
        ([None], "not NoneType"),
        ([[]], r"not a list: write \w+\(\*streams\)"),
        ([[rxchat.of(1), rxchat.of(2)]], r"not a list: write \w+\(\*streams\)"),
    ],
    ids=repr,
)
def test_joining_what_is_no_stream_is_refused_at_once(
    join: Any, others: list[Any], said: str
) -> None:
    words = rf"{join.__name__}\(\) takes streams, {said}"
    for streams in ([rxchat.of(1), *others], others):
        with pytest.raises(UsageError, match=words):
            join(*streams)


def test_a_source_that_cannot_be_asked_has_failed_and_the_others_go_on() -> None:
    def broken(observer: Any, scheduler: Any) -> Any:
        raise KeyError("broken")

    one = cold("--a|")
    assert draw(rxchat.race(one.stream, rxchat.wrap(reactivex.create(broken)))) == "--a|"
    assert one.subscriptions == ["^"]


def test_a_source_that_raises_after_its_end_takes_the_race_with_it() -> None:
    def broken(observer: Any, scheduler: Any) -> Any:
        observer.on_completed()
        raise KeyError("broken")

    one, three = colds("--a|", "--b|")
    stream = rxchat.race(one.stream, rxchat.wrap(reactivex.create(broken)), three.stream)
    assert draw(stream, until=9) == "#"
    assert one.subscriptions == three.subscriptions == []  # hung up before they had begun


FATAL = [CallbackFailed("a callback raised"), Aborted("cancelled"), UsageError("no such model")]


@pytest.mark.parametrize("error", FATAL, ids=lambda error: type(error).__name__)
def test_a_fatal_error_ends_a_race_and_the_others_are_hung_up_before_anybody_hears_of_it(
    error: Exception,
) -> None:
    told: list[object] = []

    def waiting(name: str) -> Stream[Any]:
        async def wait(pump: Pump[Any]) -> None:
            pump.closing(lambda: told.append(name))
            pump.emit(START)
            await asyncio.Event().wait()

        return rxchat.source(wait)

    one, broken = cold("s-----a|", {"s": START}), cold("--#", error=error)
    stream = rxchat.race(one.stream, waiting("two"), broken.stream, waiting("four"))

    async def main() -> None:
        await stream.subscribe(told.append, told.append).wait_closed()

    run_virtual(main())
    assert told == ["two", "four", error]
    assert one.subscriptions == ["^-!"]


@pytest.mark.parametrize("join", [rxchat.race, rxchat.fallback])
def test_hanging_up_on_a_join_hangs_up_on_all_of_it(join: Any) -> None:
    sources = colds("s----a|", "s----b|")
    assert draw(join(*(each.stream for each in sources)), until=2) == ""
    assert all(drawn.endswith("!") for each in sources for drawn in each.subscriptions)


@pytest.mark.parametrize("join", [rxchat.race, rxchat.fallback])
def test_a_bug_in_a_callback_moves_on_to_nobody(join: Any) -> None:
    slow, other = Scripted(5.0, "slow"), Scripted("other")
    broken = Scripted(CallbackFailed("a callback raised"))
    error = failure(join(broken("Hi"), slow("Hi"), other("Hi")))
    assert isinstance(error, CallbackFailed)
    assert slow.prompts == other.prompts == []  # in a race, they are hung up before they begin


picture = st.builds(
    lambda silence, letters, end: "-" * silence + "x" * letters + end,
    st.integers(0, 8),
    st.integers(0, 5),
    st.sampled_from("|#"),
)


@given(st.lists(picture, min_size=1, max_size=4))
def test_there_are_never_two_winners_nor_anything_after_the_end(pictures: list[str]) -> None:
    sources = [cold(each.replace("x", "abcd"[place])) for place, each in enumerate(pictures)]
    result = drawn(rxchat.race(*(each.stream for each in sources)))
    signs = result.replace("(", "").replace(")", "").replace("-", "")
    assert len(set(signs[:-1])) <= 1
    assert signs[-1] in "|#"
    assert not set("|#") & set(signs[:-1])
    hung_up = [s for each in sources for s in each.subscriptions if s.endswith("!")]
    assert len(hung_up) <= len(sources) - 1


# Fallback ---------------------------------------------------------------------------------------

FALLBACKS = [
    (["-#", "-b|"], "--b|", ["^", "-^"]),
    (["-a#", "-b|"], "-a#", ["^"]),
    (["s-#", "-sb|"], "----(sb)|", ["^", "--^"]),
    (["-a|", "-b|"], "-a|", ["^"]),
    (["s-|", "-b|"], "--(s|)", ["^"]),
    (["-#", "-#", "-c|"], "---c|", ["^", "-^", "--^"]),
    (["-#", "-#"], "--#", ["^", "-^"]),
    (["-#", "-b-#", "-c|"], "--b-#", ["^", "-^"]),
    (["-a|"], "-a|", ["^"]),
]


@pytest.mark.parametrize(("pictures", "result", "subscriptions"), FALLBACKS)
def test_a_fallback_asks_the_next_only_if_nothing_was_heard(
    pictures: list[str], result: str, subscriptions: list[str]
) -> None:
    sources = colds(*pictures)
    assert drawn(rxchat.fallback(*(each.stream for each in sources))) == result
    assert [s for each in sources for s in each.subscriptions] == subscriptions


def test_a_fallback_that_fails_throughout_keeps_every_failure() -> None:
    one, two = colds("-#", "--#")
    error = failure(rxchat.fallback(one.stream, two.stream))
    assert isinstance(error, AllFailed)
    assert [str(each) for each in error.exceptions] == ["-#", "--#"]
    assert "ConnectionLost: -#; ConnectionLost: --#" in str(error)


def test_when_says_which_errors_move_on_and_the_last_remembers_the_others() -> None:
    one, two, three = colds("#", "#", "c|")
    stream = rxchat.fallback(
        one.stream, two.stream, three.stream, when=lambda error: error is one._error
    )
    for run in range(1, 4):
        error = failure(stream)
        assert error is two._error
        assert error.__notes__ == ["before it: ConnectionLost: #"]  # once, however often it fails
        assert (len(one.subscriptions), len(two.subscriptions)) == (run, run)
    assert three.subscriptions == []


def test_fallback_is_an_operator_too() -> None:
    one, two, three = colds("-#", "-#", "-c|")
    assert drawn(one.stream.pipe(ops.fallback(two.stream, three.stream))) == "---c|"


def test_the_operator_asks_when_as_well() -> None:
    one, two = colds("-#", "-b|")
    asked: list[Exception] = []

    def when(error: Exception) -> bool:
        asked.append(error)
        return False

    assert drawn(one.stream.pipe(ops.fallback(two.stream, when=when))) == "-#"
    assert two.subscriptions == []
    assert asked == [one._error]


def test_a_fallback_can_be_tried_again_as_a_whole() -> None:
    # reactivex 6.0 gave nothing when such a stream was subscribed to twice.
    sources = Scripted(ConnectionLost("1")).then("second time")
    stream = rxchat.fallback(sources("Hi"), Scripted(ConnectionLost("2"))("Hi"))
    events = run_virtual(all_of(stream.pipe(ops.retry(2))))
    assert events == [Text("second time"), Finish()]


async def all_of(stream: Stream[Any]) -> list[Any]:
    return [item async for item in stream]


# Retry ------------------------------------------------------------------------------------------


def seconds_of(stream: Stream[Any]) -> float:
    async def main() -> float:
        try:
            await stream
        except ChatError:
            pass
        return asyncio.get_running_loop().time()

    return run_virtual(main())


def test_retry_three_is_three_attempts_in_all() -> None:
    source = cold("-#")
    assert draw(source.stream.pipe(ops.retry(3, backoff=lambda n: 0.02))) == "-------#"
    assert source.subscriptions == ["^", "---^", "------^"]


def test_what_was_heard_is_never_repeated() -> None:
    source = cold("-a-#")
    assert draw(source.stream.pipe(ops.retry(3))) == "-a-#"
    assert source.subscriptions == ["^"]


def test_what_a_failed_attempt_said_before_its_content_is_dropped() -> None:
    talk = Scripted(START, Truncated("cut")).then(START, "Hi")
    assert run_virtual(all_of(talk("?").pipe(ops.retry()))) == [START, Text("Hi"), Finish()]


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (ConnectionLost("x"), 3),
        (Truncated("x"), 3),
        (EmptyAnswer("x"), 3),
        (RateLimited("x"), 3),
        (OSError("x"), 3),
        (TimeoutError("x"), 3),
        (BadRequest("x"), 1),
        (BadRequest("x", retryable=True), 3),
        (RateLimited("x", retryable=False), 1),
        (KeyError("x"), 1),
        (UsageError("x"), 1),
    ],
)
def test_only_what_may_succeed_is_tried_again(error: Exception, attempts: int) -> None:
    talk = Scripted(error)
    assert failure(talk("Hi").pipe(ops.retry(3))) is error
    assert len(talk.prompts) == attempts


def test_a_retry_waits_as_long_as_the_service_says() -> None:
    talk = Scripted(RateLimited("slow down", retry_after=42.0)).then("ok")
    assert seconds_of(talk("Hi").pipe(ops.retry())) == pytest.approx(42)


def test_a_retry_refuses_to_wait_too_long_and_says_so() -> None:
    talk = Scripted(RateLimited("slow down", retry_after=61.0)).then("ok")
    error = failure(talk("Hi").pipe(ops.retry(max_wait=60.0)))
    assert isinstance(error, RateLimited)
    assert "61.0 s is more than max_wait=60.0 s" in error.__notes__[0]
    assert len(talk.prompts) == 1


def test_retries_wait_at_random_below_a_cap_that_doubles() -> None:
    pause = ops.exponential(base=1.0, most=4.0)
    for retries, cap in enumerate([1, 2, 4, 4, 4], start=1):
        pauses = [pause(retries) for _ in range(200)]
        assert 0 <= min(pauses) < max(pauses) <= cap
        assert max(pauses) > cap / 2


def test_the_chance_of_a_pause_may_be_given() -> None:
    pause = ops.exponential(base=1.0, most=6.0, chance=lambda: 0.5)
    assert [pause(retries) for retries in range(1, 6)] == [0.5, 1, 2, 3, 3]
    source = cold("#")
    backoff = ops.exponential(base=0.02, chance=lambda: 1.0)
    assert draw(source.stream.pipe(ops.retry(4, backoff=backoff))) == "--------------#"
    assert source.subscriptions == ["^", "--^", "------^", "--------------^"]


def test_less_than_one_attempt_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 1"):
        ops.retry(0)


def test_a_retry_hangs_up_while_it_waits() -> None:
    talk = Scripted(RateLimited("slow down", retry_after=10.0))
    assert draw(talk("Hi").pipe(ops.retry()), until=100) == ""
    assert len(talk.prompts) == 1


def test_a_retry_hangs_up_while_it_asks() -> None:
    talk = Scripted(10.0)
    assert draw(talk("Hi").pipe(ops.retry()), until=100) == ""
    assert talk.hung_up == 1


def test_lifecycle_events_without_end_are_not_held_for_ever() -> None:
    talk = Scripted(*[START] * 5000, 60.0, "Hi")

    async def heard() -> list[tuple[float, Any]]:
        clock = asyncio.get_running_loop().time
        return [(clock(), item) async for item in talk("?").pipe(ops.retry())]

    held = [(0.0, START)] * 5000
    assert run_virtual(heard()) == [*held, (60.0, Text("Hi")), (60.0, Finish())]
