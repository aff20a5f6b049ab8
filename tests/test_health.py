"""Breakers, and several providers as one that asks the healthiest first; in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reactivex import Observable
from reactivex.disposable import Disposable

import rxchat
from rxchat import operators as ops
from rxchat.errors import (
    Aborted,
    AllFailed,
    BadRequest,
    CallbackFailed,
    CircuitOpen,
    ConnectionLost,
    MissingKey,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    ServerError,
    Truncated,
    Unauthorized,
    UsageError,
)
from rxchat.events import Event, Finish, Start, Text
from rxchat.operators.asking.breaking import Breaker, breaker
from rxchat.operators.asking.health import Healthy, healthy
from rxchat.providers import openai
from rxchat.stream import Stream
from rxchat.testing import LocalServer, Reply, Scripted, cold, draw, run_virtual

DOWN = ServerError("down", status=500)


async def outcome(stream: Stream[Any]) -> Exception | list[Any]:
    heard: list[Any] = []
    try:
        async for item in stream:
            heard.append(item)
    except Exception as error:
        return error
    return heard


class Hand:
    """A source that does what the test says; `live` are its subscribers, in order."""

    def __init__(self) -> None:
        self.asked = 0
        self.live: list[Any] = []

        def subscribe(observer: Any, scheduler: Any = None) -> Disposable:
            self.asked += 1
            self.live.append(observer)
            return Disposable(lambda: observer in self.live and self.live.remove(observer))

        self.stream = rxchat.wrap(Observable(subscribe), "hand")


class Turn:
    """One stream of a hand through a breaker, from the subscription on."""

    def __init__(self, hand: Hand, guard: Breaker) -> None:
        before = hand.asked
        self.error: Exception | None = None
        self.subscription = hand.stream.pipe(guard).subscribe(on_error=self._failed)
        self.admitted = hand.asked > before
        self.source = hand.live[-1] if self.admitted else None
        self.over = not self.admitted

    def _failed(self, error: Exception) -> None:
        self.error = error

    def speak(self) -> None:
        self.source.on_next(Start())
        self.source.on_next(Text("a"))

    def end(self, error: Exception | None = None) -> None:
        self.over = True
        if error is None:
            self.source.on_completed()
        else:
            self.source.on_error(error)

    def hang_up(self) -> None:
        self.over = True
        self.subscription.dispose()


# What a breaker counts --------------------------------------------------------------------------

ENDS: dict[str, Callable[[Turn], object]] = {
    "o": lambda turn: (turn.speak(), turn.end()),
    "-": lambda turn: turn.end(),  # well, without content
    "x": lambda turn: turn.end(DOWN),
    "t": lambda turn: (turn.speak(), turn.end(Truncated("cut"))),
    "l": lambda turn: turn.end(RateLimited("slow down")),
    "v": lambda turn: turn.end(OSError("unplugged")),
    "b": lambda turn: turn.end(BadRequest("wrong")),
    "k": lambda turn: turn.end(Unauthorized("no key")),
    "q": lambda turn: turn.end(QuotaExhausted("no credit")),
    "u": lambda turn: turn.end(UsageError("wrong")),
    "a": lambda turn: turn.end(Aborted("cancelled", retryable=True)),
    "c": lambda turn: turn.end(CallbackFailed("bug", retryable=True)),
    "i": lambda turn: turn.end(CircuitOpen("another breaker's")),
    "e": lambda turn: turn.end(KeyError("of whom?")),
    "h": lambda turn: turn.hang_up(),
    "H": lambda turn: (turn.speak(), turn.hang_up()),
}

STORIES = [
    # streams one after the other, a digit is seconds of rest; the states after each
    ("xx", "cc"),
    ("xxx", "cco"),
    ("oox", "ccc"),
    ("oxx", "cco"),
    ("oooxx", "ccccc"),
    ("tlv", "cco"),
    ("ooxx", "ccco"),
    ("--xx", "ccco"),
    ("xxo", "ccc"),  # a good end opens nothing, the next bad one does
    ("xxox", "ccco"),
    ("bbxx", "ccco"),  # the service itself said no: it is there
    ("bkqxxx", "ccccco"),
    ("bkqxx", "ccccc"),
    ("HHxx", "ccco"),  # what was heard is good, also if you leave
    ("hhhxx", "ccccc"),  # who leaves before knows nothing
    ("hhhxxx", "ccccco"),
    ("uacexxhi", "cccccccc"),
    ("uacexxhix", "cccccccco"),
    ("xx9x", "ccco"),
    ("xx99x", "ccccc"),  # as long as the window: forgotten
    ("xxx5", "ccoo"),
    ("xxx9", "ccoo"),
    ("xxx55", "ccooh"),
    ("xxx55o", "ccoohc"),
    ("xxx55oxx", "ccoohcco"),  # it begins anew, with the end of the probe
    ("xxx55bxx", "ccoohccc"),
    ("xxx55-", "ccoohc"),
    ("xxx55b", "ccoohc"),
    ("xxx55H", "ccoohc"),
    ("xxx55h", "ccoohh"),
    ("xxx55u", "ccoohh"),
    ("xxx55i", "ccoohh"),
    ("xxx55hho", "ccoohhhc"),
    ("xxx55x", "ccooho"),
    ("xxx55x55", "ccoohooo"),
    ("xxx55x5555", "ccoohooooh"),  # twice as long
    ("xxx55x5555x555559", "ccoohoooohooooooo"),  # and not four times, but up to the bound
    ("xxx55x5555x5555555", "ccoohoooohoooooooh"),
    ("xxx55x5555oxx55", "ccoohoooohccooh"),  # the next rest is short again
]


def states_after(story: str) -> str:
    async def main() -> str:
        guard = breaker(least=3, window=18.0, rest=10.0, max_rest=35.0)
        states = ""
        for sign in story:
            if sign.isdigit():
                await asyncio.sleep(int(sign))
            else:
                ENDS[sign](Turn(Hand(), guard))
            states += guard.state[0]
        return states

    return run_virtual(main())


@pytest.mark.parametrize(("story", "states"), STORIES)
def test_a_breaker_opens_rests_probes_and_closes(story: str, states: str) -> None:
    assert states_after(story) == states


def test_an_open_breaker_refuses_in_the_next_turn_and_sends_nothing() -> None:
    async def main() -> None:
        guard, hand = breaker(least=1, rest=30.0, name="mine"), Hand()
        Turn(hand, guard).end(DOWN)
        await asyncio.sleep(12.3456)
        turn = Turn(hand, guard)
        assert turn.error is None
        await asyncio.sleep(0)
        assert isinstance(turn.error, CircuitOpen)
        assert (turn.error.provider, turn.error.retry_after) == ("mine", 17.655)
        assert turn.error.message == (
            "not asked, because 1 of 1 requests failed in 60 s; the last: ServerError: "
            "down (status 500)"
        )
        assert hand.asked == 1

    run_virtual(main())


def test_who_leaves_before_the_refusal_does_not_hear_it() -> None:
    async def main() -> None:
        guard = breaker(least=1)
        Turn(Hand(), guard).end(DOWN)
        turn = Turn(Hand(), guard)
        turn.hang_up()
        await asyncio.sleep(1)
        assert turn.error is None

    run_virtual(main())


def test_a_retry_comes_back_when_the_rest_is_over() -> None:
    guard, say = breaker(least=1, rest=7.3), Scripted(DOWN).then("Hi")
    answer = say("?").pipe(guard, ops.retry(3, backoff=lambda number: 0.1))

    async def main() -> float:
        assert await answer == Finish()
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == pytest.approx(7.3, abs=0.01)
    assert len(say.prompts) == 2


def test_all_streams_through_a_breaker_share_it() -> None:
    guard = breaker(least=2)
    one, two = Scripted(DOWN), Scripted(DOWN)

    async def main() -> list[type]:
        streams = [one("?").pipe(guard), two("?").pipe(guard), one("?").pipe(guard)]
        return [type(await outcome(stream)) for stream in streams]

    assert run_virtual(main()) == [ServerError, ServerError, CircuitOpen]


@pytest.mark.parametrize("picture", ["--a-(bc)--|", "-a-#", "#", "|", "a"])
def test_a_breaker_passes_everything_on_as_it_is(picture: str) -> None:
    assert draw(cold(picture).stream.pipe(breaker()), until=20) == picture


def test_only_so_many_probes_go_through_at_once() -> None:
    async def main() -> None:
        guard, hand = breaker(least=1, rest=10.0, probes=2), Hand()
        Turn(hand, guard).end(DOWN)
        await asyncio.sleep(10)
        turns = [Turn(hand, guard) for _ in range(4)]
        await asyncio.sleep(0)
        assert [turn.admitted for turn in turns] == [True, True, False, False]
        assert isinstance(turns[2].error, CircuitOpen)
        assert turns[2].error.retry_after is None  # nobody knows
        assert not guard.admits
        turns[0].hang_up()  # that frees its place
        assert guard.admits
        assert Turn(hand, guard).admitted
        turns[1].speak()
        assert guard.state == "closed"

    run_virtual(main())


def test_a_silent_probe_gives_its_place_to_the_next_and_may_still_speak() -> None:
    async def main() -> None:
        guard, hand = breaker(least=1, rest=10.0), Hand()
        Turn(hand, guard).end(DOWN)
        await asyncio.sleep(10)
        silent = Turn(hand, guard)
        await asyncio.sleep(9)
        assert not Turn(hand, guard).admitted
        await asyncio.sleep(1)
        assert Turn(hand, guard).admitted
        assert guard.state == "half-open"
        silent.speak()
        assert guard.state == "closed"

    run_virtual(main())


def test_streams_that_fail_together_open_it_once_and_stragglers_change_nothing() -> None:
    async def main() -> None:
        guard, hand = breaker(least=2, rest=10.0), Hand()
        turns = [Turn(hand, guard) for _ in range(10)]
        for turn in turns[:8]:
            turn.end(DOWN)
        await asyncio.sleep(10)
        assert guard.state == "half-open"
        turns[8].speak()
        turns[8].end()
        assert guard.state == "half-open"
        turns[9].end(DOWN)
        assert guard.state == "half-open"

    run_virtual(main())


def test_a_probe_that_spoke_and_was_cut_has_closed_it_and_counts_as_a_failure() -> None:
    async def main() -> None:
        guard, hand = breaker(least=1, rest=10.0), Hand()
        Turn(hand, guard).end(DOWN)
        await asyncio.sleep(10)
        probe = Turn(hand, guard)
        probe.speak()
        assert guard.state == "closed"
        probe.end(Truncated("cut"))
        assert guard.state == "open"

    run_virtual(main())


def test_you_say_which_errors_count() -> None:
    def when(error: Exception) -> bool:
        return isinstance(error, QuotaExhausted)

    async def main() -> list[str]:
        guard, states = breaker(least=1, when=when), []
        for error in (DOWN, QuotaExhausted("no credit")):
            Turn(Hand(), guard).end(error)
            states.append(guard.state)
        return states

    assert run_virtual(main()) == ["closed", "open"]


def test_a_bug_in_when_is_heard_and_counts_for_nothing() -> None:
    def when(error: Exception) -> bool:
        raise KeyError("bug")

    guard = breaker(least=1, when=when)
    error = run_virtual(outcome(Scripted(DOWN)("?").pipe(guard)))
    assert isinstance(error, CallbackFailed)
    assert isinstance(error.__cause__, KeyError)
    assert guard.state == "closed"
    assert guard.seen == 0


def test_a_source_that_cannot_be_asked_keeps_no_place() -> None:
    def broken(observer: Any, scheduler: Any = None) -> Any:
        raise KeyError("broken")

    async def main() -> None:
        guard = breaker(least=1, rest=10.0)
        Turn(Hand(), guard).end(DOWN)
        await asyncio.sleep(10)
        error = await outcome(rxchat.wrap(Observable(broken)).pipe(guard))
        assert isinstance(error, KeyError)
        assert guard.admits

    run_virtual(main())


def test_a_breaker_serves_one_loop_after_the_other() -> None:
    guard, say = breaker(least=2, rest=10.0), Scripted(DOWN)

    async def ask_after(seconds: float) -> Any:
        await asyncio.sleep(seconds)
        return type(await outcome(say("?").pipe(guard)))

    run_virtual(ask_after(100))
    run_virtual(ask_after(101))
    assert guard.state == "open"
    assert run_virtual(ask_after(5)) is CircuitOpen  # this loop began at 0 again
    assert run_virtual(ask_after(12)) is ServerError
    assert guard.state == "open"


async def test_a_breaker_runs_on_a_real_loop() -> None:
    guard = breaker(least=1, name="real")
    assert await outcome(Scripted("Hi")("?").pipe(guard)) == [Text("Hi"), Finish()]
    assert await outcome(Scripted(DOWN)("?").pipe(guard)) is DOWN
    assert isinstance(await outcome(Scripted("Hi")("?").pipe(guard)), CircuitOpen)


def test_a_breaker_shows_its_state() -> None:
    async def main() -> list[str]:
        guard = breaker(least=2, rest=10.0, name="mine")
        shown = [repr(breaker()), repr(guard)]
        for seconds in (0, 0, 4, 6):
            turn = Turn(Hand(), guard)
            if turn.admitted:
                turn.end(DOWN)
            await asyncio.sleep(seconds)
            shown.append(repr(guard))
        return shown

    assert run_virtual(main()) == [
        "<breaker: closed, 0% of 0 failed>",
        "<breaker 'mine': closed, 0% of 0 failed>",
        "<breaker 'mine': closed, 100% of 1 failed>",
        "<breaker 'mine': open for 10.0 s, 100% of 2 failed>",
        "<breaker 'mine': open for 6.0 s, 100% of 2 failed>",
        "<breaker 'mine': half-open, 100% of 2 failed>",
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"failures": 0},
        {"failures": 1.1},
        {"failures": float("nan")},
        {"least": 0},
        {"window": 0},
        {"rest": 0},
        {"rest": float("inf")},
        {"max_rest": 0},
        {"probes": 0},
    ],
    ids=str,
)
def test_a_breaker_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=rf"breaker\({next(iter(wrong))}="):
        breaker(**wrong)


def test_a_breaker_remembers_little_however_much_it_sees() -> None:
    async def main() -> None:
        guard, hand = breaker(window=20.0, least=10**6), Hand()
        for _ in range(2000):
            Turn(hand, guard).end(DOWN)
            await asyncio.sleep(0.1)
        assert len(guard._ends._slots) == 20
        assert 190 <= guard.seen <= 200

    run_virtual(main())


# A slow breaker, to compare with ------------------------------------------------------------------


class SlowBreaker:
    """What a breaker is, told plainly: it keeps everything, and counts it all again each time."""

    def __init__(self, least: int, window: float, rest: float, max_rest: float, probes: int):
        self.least, self.window, self.probes = least, window, probes
        self.rest, self.max_rest, self.fails = rest, max_rest, 0  # fails of probes in a row
        self.opened: float | None = None
        self.ends: list[tuple[float, bool]] = []
        self.admitted: dict[Turn, str] = {}  # "plain", "probe", "stale"
        self.begun: dict[Turn, float] = {}

    def resting(self) -> float:
        return min(self.rest * 2**self.fails, self.max_rest)

    def state(self, now: float) -> str:
        if self.opened is None:
            return "closed"
        return "open" if now < self.opened + self.resting() else "half-open"

    def admits(self, turn: Turn, now: float) -> bool:
        state = self.state(now)
        if state == "half-open":
            held = [
                probe
                for probe, kind in self.admitted.items()
                if kind == "probe" and not probe.over and now - self.begun[probe] < self.resting()
            ]
            if len(held) >= self.probes:
                return False
        if state != "open":
            self.admitted[turn] = "plain" if state == "closed" else "probe"
            self.begun[turn] = now
        return state != "open"

    def spoke(self, turn: Turn) -> None:
        if self.admitted[turn] == "probe":
            self.close()
            self.admitted[turn] = "plain"

    def ended(self, turn: Turn, good: bool, now: float) -> None:
        kind = self.admitted.pop(turn)
        if kind == "probe" and good:
            self.close()
        elif kind == "probe":
            self.fails += 1
            self.open(now)
        elif kind == "plain":
            self.ends.append((now, good))
            width = self.window / 20
            recent = [g for when, g in self.ends if now // width - when // width < 20]
            if not good and len(recent) >= self.least and recent.count(False) * 2 >= len(recent):
                self.open(now)

    def open(self, now: float) -> None:
        self.opened = now
        self.admitted = dict.fromkeys(self.admitted, "stale")

    def close(self) -> None:
        self.opened, self.fails, self.ends = None, 0, []
        self.admitted = dict.fromkeys(self.admitted, "stale")


STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0, 0.0, 1.0, 3.0, 10.0]),
        st.sampled_from(["begin", "begin", "speak", "good", "bad", "bad", "wrong", "leave"]),
        st.integers(0, 5),
    ),
    max_size=60,
)


@given(STEPS, st.integers(1, 4), st.integers(1, 3))
def test_a_breaker_does_what_a_slow_one_does(
    steps: list[tuple[float, str, int]], least: int, probes: int
) -> None:
    settings = {"least": least, "window": 20.0, "rest": 4.0, "max_rest": 20.0, "probes": probes}

    async def main() -> None:
        guard, slow, hand = breaker(**settings), SlowBreaker(**settings), Hand()
        time = asyncio.get_running_loop().time
        turns: list[Turn] = []
        spoken: set[Turn] = set()
        for pause, step, place in steps:
            await asyncio.sleep(pause)
            running = [turn for turn in turns if not turn.over]
            if step == "begin":
                turn = Turn(hand, guard)
                assert turn.admitted == slow.admits(turn, time())
                await asyncio.sleep(0)
                assert isinstance(turn.error, CircuitOpen) == (not turn.admitted)
                turns.append(turn)
            elif running:
                turn = running[place % len(running)]
                if step == "speak":
                    turn.speak()
                    spoken.add(turn)
                    slow.spoke(turn)
                elif step == "leave":
                    turn.hang_up()
                    if turn in spoken:
                        slow.ended(turn, True, time())
                    else:
                        slow.admitted.pop(turn)
                else:
                    turn.end({"bad": DOWN, "wrong": BadRequest("x")}.get(step))
                    slow.ended(turn, step != "bad", time())
            assert guard.state == slow.state(time())
            probing = [t for t, kind in slow.admitted.items() if kind == "probe" and not t.over]
            young = [t for t in probing if time() - slow.begun[t] < slow.resting()]
            assert len(young) <= probes
        for turn in turns:
            turn.hang_up()
        assert hand.live == []

    run_virtual(main())


# Several providers as one -------------------------------------------------------------------------


def asked(*providers: Scripted) -> list[int]:
    return [len(provider.prompts) for provider in providers]


async def ask(chat: Healthy, times: int = 1, pause: float = 0.0) -> list[Any]:
    """What is heard of each, one after the other: the first text, or the error."""
    heard: list[Any] = []
    for _ in range(times):
        got = await outcome(chat("Hi"))
        heard.append(got if isinstance(got, Exception) else got[0].text)
        await asyncio.sleep(pause)
    return heard


def test_the_fastest_is_asked_as_soon_as_all_are_known() -> None:
    slow, fast, middle = (
        Scripted(seconds, name, name=name)
        for seconds, name in [(3.0, "slow"), (1.0, "fast"), (2.0, "middle")]
    )
    chat = healthy(slow, fast, middle)
    heard = run_virtual(ask(chat, 6))
    assert heard == ["slow", "fast", "middle", "fast", "fast", "fast"]
    assert [health.name for health in chat.report()] == ["fast", "middle", "slow"]


def test_the_order_is_made_at_the_subscription_and_not_at_the_call() -> None:
    slow, fast = Scripted(3.0, "slow"), Scripted(1.0, "fast")
    chat = healthy(slow, fast)
    early = chat("Hi")

    async def main() -> list[str]:
        await ask(chat, 2)
        return [(await early.pipe(ops.text())) for _ in range(2)]

    assert run_virtual(main()) == ["fast", "fast"]


def test_it_falls_back_in_the_order_of_health_and_nobody_repeats_what_was_heard() -> None:
    down, cut, good = Scripted(DOWN), Scripted("a", Truncated("cut")), Scripted("b")
    chat = healthy(down, cut, good)
    error = run_virtual(outcome(chat("Hi")))
    assert isinstance(error, Truncated)
    assert asked(down, cut, good) == [1, 1, 0]


def test_a_failing_provider_is_left_alone_and_comes_back_when_it_has_recovered() -> None:
    fast = Scripted(0.1, "fast", name="fast")
    for _ in range(4):
        fast.then(DOWN)
    fast.then(0.1, "back")
    slow = Scripted(1.0, "slow", name="slow")
    chat = healthy(fast, slow, breaker=lambda name: breaker(least=2, rest=30.0, name=name))

    async def main() -> None:
        assert await ask(chat, 3) == ["fast", "slow", "slow"]  # the second is tried, too
        assert asked(fast, slow) == [2, 2]
        assert await ask(chat, 3) == ["slow"] * 3
        assert [health.state for health in chat.report()] == ["closed", "open"]
        assert asked(fast, slow) == [2, 5]  # its breaker is open
        await asyncio.sleep(30)
        assert await ask(chat, 2) == ["slow"] * 2
        assert asked(fast, slow) == [3, 7]  # one probe failed, the rest doubles
        await asyncio.sleep(60)
        assert await ask(chat) == ["slow"]
        await asyncio.sleep(120)
        assert await ask(chat) == ["slow"]
        await asyncio.sleep(240)
        assert await ask(chat, 3) == ["back"] * 3
        assert chat.report()[0].name == "fast"

    run_virtual(main())


def test_a_provider_of_which_nothing_is_known_is_tried_one_stream_at_a_time() -> None:
    fast, new = Scripted(1.0, "fast", name="fast"), Scripted(5.0, "new", name="new")
    chat = healthy(fast, new, window=60.0)

    async def main() -> None:
        await asyncio.gather(ask(chat), ask(chat))
        assert asked(fast, new) == [1, 1]  # at first, each gets one
        await ask(chat, 22, pause=1.0)
        assert asked(fast, new) == [23, 1]
        await asyncio.sleep(17)  # what is known of the other is forgotten
        before = asked(fast, new)
        await asyncio.gather(*(ask(chat) for _ in range(10)))
        assert [now - then for now, then in zip(asked(fast, new), before, strict=True)] == [9, 1]

    run_virtual(main())


def test_a_slow_provider_that_has_become_fast_is_found_within_a_window() -> None:
    steady = Scripted(2.0, "steady", name="steady")
    better = Scripted(9.0, "slow", name="better").then(0.5, "fast")
    chat = healthy(steady, better, window=60.0)

    async def main() -> None:
        assert await ask(chat, 3) == ["steady", "slow", "steady"]
        assert "fast" not in await ask(chat, 10, pause=3.0)
        await asyncio.sleep(10)
        assert await ask(chat, 3) == ["fast"] * 3

    run_virtual(main())


def test_a_share_of_failures_weighs_as_much_as_time() -> None:
    shaky = Scripted(1.0, "shaky", name="shaky")
    for _ in range(10):
        shaky.then(DOWN).then(1.0, "shaky")
    steady = Scripted(1.6, "steady", name="steady")
    chat = healthy(shaky, steady)
    # From 1 s x (2 + 1) / (1 + 1) over 4 / 3 to 5 / 3, which is more than 1.6 s.
    words = ["shaky", "steady", "steady", "shaky", "steady", "steady", "steady"]
    assert run_virtual(ask(chat, 7)) == words
    assert asked(shaky, steady) == [4, 5]


def test_a_silence_that_you_left_tells_how_slow_a_provider_is_at_least() -> None:
    dead, slow = Scripted(1000.0, name="dead"), Scripted(3.0, "slow", name="slow")
    chat = healthy(dead, slow)

    async def main() -> None:
        subscription = chat("Hi").subscribe()
        await asyncio.sleep(20)
        subscription.dispose()
        await subscription.wait_closed()
        assert await ask(chat, 5) == ["slow"] * 5
        assert asked(dead, slow) == [1, 5]
        assert chat.report()[1].first is None

    run_virtual(main())


def test_one_slow_answer_of_many_changes_nothing() -> None:
    fast = Scripted(1.0, "fast").then(1.0, "fast").then(9.0, "fast").then(1.0, "fast")
    assert run_virtual(ask(healthy(fast, Scripted(3.0, "slow")), 9)).count("fast") == 8


async def leave_after(seconds: float, chat: Healthy) -> None:
    subscription = chat("Hi").subscribe()
    await asyncio.sleep(seconds)
    subscription.dispose()
    await subscription.wait_closed()


def test_a_silence_is_forgotten_when_the_window_is_over() -> None:
    moody, slow = Scripted(1000.0, name="moody"), Scripted(3.0, "slow", name="slow")
    chat = healthy(moody, slow, window=60.0)

    async def main() -> None:
        await leave_after(20, chat)  # until 80, that is known
        await ask(chat, 3)
        await asyncio.sleep(47)
        assert await ask(chat) == ["slow"]
        assert asked(moody, slow) == [1, 4]
        await asyncio.sleep(2)
        await leave_after(10, chat)
        assert asked(moody, slow) == [2, 4]
        assert await ask(chat, 2) == ["slow"] * 2
        moody.then(1000.0).then(1.0, "well")
        await asyncio.sleep(56)
        assert await ask(chat, 3) == ["well"] * 3

    run_virtual(main())


def test_a_silence_is_forgotten_with_the_next_word() -> None:
    moody, other = Scripted(1000.0).then(1.0, "well"), Scripted(DOWN).then(3.0, "slow")
    chat = healthy(moody, other)

    async def main() -> None:
        await leave_after(20, chat)
        assert await ask(chat, 2) == ["well"] * 2
        assert asked(moody, other) == [3, 1]

    run_virtual(main())


def test_failures_weigh_also_where_time_does_not_pass() -> None:
    shaky, steady = Scripted("shaky"), Scripted("steady")
    for _ in range(9):
        shaky.then(DOWN)
    assert run_virtual(ask(healthy(shaky, steady), 20))[1:] == ["steady"] * 19
    assert len(shaky.prompts) == 2


def test_leaving_at_once_tells_nothing() -> None:
    slow, fast = Scripted(3.0, "slow"), Scripted(1.0, "fast")
    chat = healthy(slow, fast)

    async def main() -> list[Any]:
        await ask(chat, 2)
        for _ in range(5):
            chat("Hi").subscribe().dispose()
        return await ask(chat, 2)

    assert run_virtual(main()) == ["fast", "fast"]


def test_the_time_of_a_slow_reader_is_not_the_providers() -> None:
    steady = Scripted(1.0, "steady", name="steady")
    chat = healthy(steady)

    async def main() -> float | None:
        subscription = chat("Hi").subscribe()
        subscription.scope.gate.pause()
        await asyncio.sleep(0.75)
        subscription.scope.gate.resume()
        await subscription.wait_closed()
        return chat.report()[0].first

    assert run_virtual(main()) == pytest.approx(0.25)


def test_it_serves_one_loop_after_the_other() -> None:
    shaky = Scripted(DOWN, name="shaky").then("back")
    chat = healthy(shaky, Scripted(5.0, "slow"), breaker=lambda _: breaker(least=1, rest=30.0))
    assert run_virtual(ask(chat)) == ["slow"]

    async def later() -> list[Any]:
        await asyncio.sleep(40)
        return await ask(chat, 2)

    assert run_virtual(later()) == ["back", "back"]


def test_when_all_have_failed_those_that_were_not_asked_say_why() -> None:
    one, two = Scripted(DOWN, name="one"), Scripted(Overloaded("busy"), name="two")
    chat = healthy(one, two, breaker=lambda name: breaker(least=2, name=name))

    async def main() -> list[list[type]]:
        errors = [await outcome(chat("Hi")) for _ in range(3)]
        return [[type(each) for each in error.exceptions] for error in errors]

    first, second, third = run_virtual(main())
    assert first == [ServerError, Overloaded]
    assert set(second) == {ServerError, Overloaded}
    assert third == [CircuitOpen, CircuitOpen]
    assert asked(one, two) == [2, 2]


@pytest.mark.parametrize("error", [QuotaExhausted("x"), Unauthorized("x"), KeyError("x")], ids=repr)
def test_a_provider_that_is_of_no_use_is_left_alone(error: Exception) -> None:
    useless, good = Scripted(error), Scripted(1.0, "good")
    chat = healthy(useless, good)
    assert run_virtual(ask(chat, 50)) == ["good"] * 50
    assert len(useless.prompts) <= 5


def test_a_request_that_is_wrong_does_not_speak_against_its_provider() -> None:
    picky, other = Scripted(BadRequest("x"), name="picky"), Scripted("other", name="other")
    chat = healthy(picky, other)
    run_virtual(ask(chat, 20))
    rates = {health.name: (health.state, health.failure_rate) for health in chat.report()}
    assert rates == {"picky": ("closed", 0.0), "other": ("closed", 0.0)}


def test_you_say_when_it_falls_back_and_when_it_commits() -> None:
    def never(error: Exception) -> bool:
        return False

    def cut() -> Scripted:
        return Scripted("abc", Truncated("cut"))

    good = Scripted("good")
    assert isinstance(run_virtual(outcome(healthy(cut(), good)("Hi"))), Truncated)
    assert run_virtual(outcome(healthy(Scripted(DOWN), good, when=never)("Hi"))) is DOWN
    heard = [Text("good"), Finish()]
    assert run_virtual(outcome(healthy(cut(), good, commit=10)("Hi"))) == heard
    restarted = run_virtual(outcome(healthy(cut(), good, after_commit="restart")("Hi")))
    assert restarted[-2:] == heard
    assert restarted[0] == Text("abc")


def test_hanging_up_hangs_up_on_the_provider() -> None:
    talk = Scripted(10.0)

    async def main() -> None:
        subscription = healthy(talk)("Hi").subscribe()
        await asyncio.sleep(1)
        assert talk.live == 1
        subscription.dispose()
        await subscription.wait_closed()
        assert (talk.live, talk.hung_up) == (0, 1)

    run_virtual(main())


def test_it_shows_how_the_providers_are() -> None:
    def nobody(prompt: object) -> Stream[Event]:
        return Scripted("x")(prompt)

    twin = Scripted(DOWN, name="twin")
    chat = healthy(twin, Scripted(0.25, "b", name="twin"), nobody)
    assert repr(chat) == "<healthy: twin, twin 2, nobody>"
    run_virtual(ask(chat))
    assert str(chat).splitlines() == [
        "provider  state   first content  failed  asked",
        "nobody    closed        unknown      0%      0",
        "twin 2    closed         0.25 s      0%      1",
        "twin      closed        unknown    100%      1",
    ]


def test_it_can_be_used_where_a_provider_can() -> None:
    inner = healthy(Scripted(DOWN), Scripted("a"))
    outer = healthy(inner, Scripted("b"))
    assert run_virtual(ask(outer, 3)) == ["a", "b", "a"]
    assert repr(outer) == "<healthy: healthy, scripted>"
    assert run_virtual(outcome(rxchat.race(outer("Hi"), Scripted(9.0)("Hi")))) == [
        Text("a"),
        Finish(),
    ]


def test_options_go_to_every_provider() -> None:
    def provider(prompt: object, **options: object) -> Stream[Event]:
        return rxchat.of(Text(f"{prompt}, {options}"), Finish())

    chat = healthy(provider)
    assert run_virtual(ask_with(chat, temperature=1)) == "Hi, {'temperature': 1}"


async def ask_with(chat: Healthy, **options: Any) -> str:
    return await chat("Hi", **options).pipe(ops.text())


def test_a_missing_key_raises_at_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    chat = healthy(Scripted("Hi"), openai)
    with pytest.raises(MissingKey):
        chat("Hi")


def no_stream(prompt: object) -> Any:
    return "Hi"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: healthy(), "at least one provider"),
        (lambda: healthy(rxchat.of(1)), "takes providers, not Stream"),
        (lambda: healthy([Scripted("Hi")]), "takes providers, not list"),
        (lambda: healthy(Scripted("Hi"), window=0), "above 0"),
        (lambda: healthy(Scripted("Hi"), after_commit="resume"), "'raise' or 'restart'"),
        (lambda: healthy(Scripted("Hi"), commit="sometimes"), "commit= is"),
        (lambda: healthy(no_stream)("Hi"), "no_stream gives str, and not a stream"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make()


@given(
    st.lists(
        st.lists(st.sampled_from([0.0, 0.5, 2.0, DOWN, ConnectionLost("x")]), min_size=1),
        min_size=1,
        max_size=4,
    ),
    st.lists(st.sampled_from([0.0, 1.0, 40.0]), min_size=1, max_size=12),
)
def test_each_subscription_asks_a_provider_at_most_once_and_fails_only_if_all_do(
    scripts: list[list[Any]], pauses: list[float]
) -> None:
    providers = []
    for first, *others in scripts:
        provider = Scripted(first, "x")
        for cue in others:
            provider.then(cue, "x")
        providers.append(provider)
    chat = healthy(*providers, breaker=lambda name: breaker(least=2, rest=10.0), window=60.0)

    async def main() -> None:
        for pause in pauses:
            before = asked(*providers)
            got = await outcome(chat("Hi"))
            if isinstance(got, AllFailed):
                assert len(got.exceptions) == len(providers)
            else:
                assert got == [Text("x"), Finish()]
            after = asked(*providers)
            assert all(b - a <= 1 for a, b in zip(before, after, strict=True))
            await asyncio.sleep(pause)
        assert sum(health.asked for health in chat.report()) == sum(asked(*providers))

    run_virtual(main())


# On the wire --------------------------------------------------------------------------------------


@pytest.fixture
async def down() -> AsyncGenerator[LocalServer]:
    async with LocalServer(Reply.status(503)) as server:
        yield server


@pytest.fixture
async def up() -> AsyncGenerator[LocalServer]:
    async with LocalServer(Reply("Hel", "lo")) as server:
        yield server


def at(server: LocalServer) -> Any:
    return openai.but(base_url=f"{server.url}/v1", key="k")


async def test_a_server_whose_breaker_is_open_is_not_touched(
    down: LocalServer, up: LocalServer
) -> None:
    chat = healthy(at(down), at(up), breaker=lambda name: breaker(least=1, name=name))
    for _ in range(3):
        assert isinstance((await outcome(chat("Hi")))[-1], Finish)
    assert (len(down.exchanges), len(up.exchanges)) == (1, 3)
    assert [health.state for health in chat.report()] == ["closed", "open"]


async def test_an_open_breaker_sends_no_request(down: LocalServer) -> None:
    guard = breaker(least=2)
    answer = at(down)("Hi").pipe(guard)
    errors = [type(await outcome(answer)) for _ in range(4)]
    assert errors == [Overloaded, Overloaded, CircuitOpen, CircuitOpen]
    assert len(down.exchanges) == 2
