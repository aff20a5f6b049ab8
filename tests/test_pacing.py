"""The same text at another pace: whatever the timing, nothing is lost, late or out of order."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rxchat
from cutting import cuts, one_by_one, run
from rxchat.errors import CallbackFailed, ConnectionLost, UsageError
from rxchat.events import Finish, Opaque, Reasoning, Reset, Start, Text, ToolCall
from rxchat.operators.texts.pacing import coalesce, throttle
from rxchat.operators.texts.typewriter import smooth
from rxchat.providers import openai
from rxchat.stream import Pump, Scope, Stream, source
from rxchat.testing import HOLD, LocalServer, Reply, cold, draw, run_virtual, said, verify

PACED: dict[str, Callable[[], Any]] = {
    "smooth": lambda: smooth(20, max_lag=0.3),
    "coalesce": lambda: coalesce(0.25),
    "throttle": lambda: throttle(0.25),
}
TEXTUAL = ["smooth", "coalesce"]

TEXT = "e\u0301 👩‍👧 \r\n🇩🇪🇫🇷 👍🏽 Zähne\n\n\ud83d\ude00 ok"
CLUSTERS = ["e\u0301", "👩‍👧", "\r\n", "🇩🇪", "🇫🇷", "👍🏽", "\ud83d\ude00"]


class Timed:
    """A source that says each item after a pause, and knows when it was."""

    def __init__(self, *script: tuple[float, Any]) -> None:
        self.script = script
        self.times: list[float] = []

    @property
    def stream(self) -> Stream[Any]:
        return source(self._play)

    async def _play(self, pump: Pump[Any]) -> None:
        loop = asyncio.get_running_loop()
        for pause, item in self.script:
            await asyncio.sleep(pause)
            self.times.append(loop.time())
            await pump.send(item)


def heard(stream: Stream[Any]) -> list[tuple[float, Any]]:
    """What came, and when; afterwards no timer is left."""

    async def main() -> list[tuple[float, Any]]:
        loop = asyncio.get_running_loop()
        came: list[tuple[float, Any]] = []
        over = asyncio.Event()
        subscription = stream.subscribe(
            lambda item: came.append((loop.time(), item)), lambda error: over.set(), over.set
        )
        await over.wait()
        await subscription.wait_closed()
        assert left() == 0
        return came

    return run_virtual(main())


def left() -> int:
    """How many timers are set."""
    loop: Any = asyncio.get_running_loop()
    return sum(not timer.cancelled() for timer in loop._scheduled)


# Laws --------------------------------------------------------------------------------------------

pauses = st.floats(0, 2).map(lambda seconds: round(seconds, 3))


@st.composite
def scripts(draw: Any, text: str = TEXT) -> list[tuple[float, str]]:
    pieces = draw(st.one_of(cuts(text), st.just(one_by_one(text)), st.just([text])))
    return [(draw(pauses), piece) for piece in pieces]


@pytest.mark.parametrize("name", TEXTUAL)
@given(script=scripts())
def test_the_text_is_the_same_whatever_the_cut_and_the_timing(
    name: str, script: list[tuple[float, str]]
) -> None:
    came = heard(Timed(*script).stream.pipe(PACED[name]()))
    assert "".join(item for _, item in came) == TEXT


@pytest.mark.parametrize("name", TEXTUAL)
@given(pieces=cuts(TEXT))
def test_the_text_is_the_same_if_it_comes_at_once(name: str, pieces: list[str]) -> None:
    assert "".join(run(PACED[name](), pieces)) == TEXT


EVENTS = [
    Text("ab"),
    Text("c", 1),
    Reasoning("hm"),
    ToolCall(),
    Text("d"),
    Start(),
    Reset("resume"),
]


def per_choice(events: list[Any]) -> list[list[Any]]:
    """Texts character by character, other events as they are, for each answer."""
    orders: list[list[Any]] = [[], []]
    for event in events:
        if isinstance(event, Text | Reasoning):
            orders[event.choice] += [(type(event), char) for char in event.text]
        else:
            for order in orders:
                order.append(event)
    return orders


@pytest.mark.parametrize("name", TEXTUAL)
@given(st.lists(st.tuples(st.sampled_from([0, 0.01, 0.3]), st.sampled_from(EVENTS)), max_size=20))
def test_other_events_keep_their_place_among_the_text(
    name: str, script: list[tuple[float, Any]]
) -> None:
    came = heard(Timed(*script).stream.pipe(PACED[name]()))
    assert per_choice([item for _, item in came]) == per_choice([item for _, item in script])


@given(st.lists(st.tuples(pauses, st.integers()), max_size=12))
def test_the_latest_value_wins_and_the_last_always_comes(script: list[tuple[float, int]]) -> None:
    timed = Timed(*script)
    came = heard(timed.stream.pipe(throttle(0.5)))
    given_at = [(time, value) for time, (_, value) in zip(timed.times, script, strict=True)]
    assert [value for _, value in came[-1:]] == [value for _, value in given_at[-1:]]
    assert all(later - sooner > 0.499 for (sooner, _), (later, _) in pairwise(came[:-1]))
    for when, value in came:
        until = [given for time, given in given_at if time < when - 1e-6]
        since = [given for time, given in given_at if abs(time - when) <= 1e-6]
        assert value in until[-1:] + since


# Two flags side by side would make another one if the parts of the first come far apart.
APART = TEXT.replace("🇩🇪🇫🇷", "🇩🇪 🇫🇷")


@given(scripts(APART), st.sampled_from([5.0, 30.0, 1000.0]), st.sampled_from([0.05, 0.5, 3.0]))
def test_no_character_is_later_than_the_lag(
    script: list[tuple[float, str]], rate: float, max_lag: float
) -> None:
    timed = Timed(*script)
    came = heard(timed.stream.pipe(smooth(rate, max_lag=max_lag)))
    said_at = [time for time, (_, text) in zip(timed.times, script, strict=True) for _ in text]
    typed_at = [time for time, text in came for _ in text]
    whole = list(said_at)  # a character of several is said with its last part
    for cluster in CLUSTERS:
        start = APART.index(cluster)
        for place in range(start, start + len(cluster)):
            whole[place] = said_at[start + len(cluster) - 1]
    late = [typed - said for typed, said in zip(typed_at, whole, strict=True)]
    assert max(late, default=0.0) <= max_lag + 1e-5


bursts = st.tuples(st.floats(0, 0.5), st.integers(1, 300).map(lambda size: "x" * size))


@given(st.lists(bursts, max_size=12), st.sampled_from([1.0, 30.0]), st.sampled_from([0.1, 1.0]))
def test_no_burst_is_later_than_the_lag(
    script: list[tuple[float, str]], rate: float, max_lag: float
) -> None:
    timed = Timed(*script, (100, ""))
    came = heard(timed.stream.pipe(smooth(rate, max_lag=max_lag)))
    said_at = [time for time, (_, text) in zip(timed.times, script, strict=False) for _ in text]
    typed_at = [time for time, text in came for _ in text]
    late = [typed - said for typed, said in zip(typed_at, said_at, strict=True)]
    assert max(late, default=0.0) <= max_lag + 1e-5


@given(st.lists(st.tuples(st.floats(0, 0.2), st.just("abcdefg")), min_size=1, max_size=30))
def test_it_types_no_faster_than_it_must(script: list[tuple[float, str]]) -> None:
    total = 7 * len(script)
    timed = Timed((0, ""), *script, (100, ""))
    came = heard(timed.stream.pipe(smooth(50, max_lag=10)))
    assert total <= 500 - 50 or len(came) > 1
    for (before, _), (after, text) in pairwise(came[:-1]):
        assert len(text) <= (after - before) * 50 + 1 + 1e-3


@pytest.mark.parametrize("pieces", [[TEXT], one_by_one(TEXT)], ids=["whole", "one by one"])
def test_what_a_person_sees_as_one_character_is_not_cut(pieces: list[str]) -> None:
    script = [(0.01, piece) for piece in pieces]
    came = [text for _, text in heard(Timed(*script, (9, "")).stream.pipe(smooth(30, max_lag=2)))]
    edges = {sum(map(len, came[:count])) for count in range(len(came) + 1)}
    assert len(edges) > 10
    for cluster in CLUSTERS:
        start = TEXT.index(cluster)
        assert not edges & set(range(start + 1, start + len(cluster)))


def test_marks_without_end_are_cut_and_cost_no_more() -> None:
    text = "e" + "\u0301" * 2000
    assert unicodedata.combining(text[-1])
    came = [item for _, item in heard(Timed(*((0.001, c) for c in text)).stream.pipe(smooth(900)))]
    assert "".join(came) == text
    assert max(map(len, came[:-1])) <= 64 + 64


# Pictures ----------------------------------------------------------------------------------------

PICTURES = [
    # operator, source, result
    (smooth(20), "(abcd)-----------------------|", "a----b----c-------------(d|)"),
    (smooth(20, max_lag=0.18), "(abcd)-----------------------|", "a----b----c-------d-----|"),
    (smooth(20), "(abcdef)-|", "a-(bcdef|)"),
    (smooth(20), "(abcdef)-#", "a-(bcdef#)"),
    (smooth(20), "-|", "-|"),
    (coalesce(0.028), "(ab)------c-d---|", "a--b---c--d--|"),
    (coalesce(0.028), "(ab)|", "a(b|)"),
    (coalesce(0.028), "ab#", "a-(b#)"),
    (throttle(0.028), "a------bcd-----|", "a------b--d----|"),
    (throttle(0.028), "ab#", "a-(b#)"),
    (throttle(0.028), "--|", "--|"),
]


@pytest.mark.parametrize(("operator", "picture", "result"), PICTURES)
def test_pictures(operator: Any, picture: str, result: str) -> None:
    assert draw(cold(picture).stream.pipe(operator)) == result


def test_a_burst_is_typed_evenly_and_is_out_in_time() -> None:
    timed = Timed((0, "x" * 300), (5, ""))
    came = heard(timed.stream.pipe(smooth(10, max_lag=1)))
    sizes = [len(text) for _, text in came]
    assert len(came) >= 28
    assert max(sizes) <= 12
    assert came[-1][0] <= 1 + 1e-6


def test_the_last_character_waits_for_its_end_no_longer_than_the_lag() -> None:
    verify(Timed((0, "ab"), (9, "")).stream.pipe(smooth(10, max_lag=2))).expect("a").after(
        2
    ).expect("b").expect_end().run()


def test_a_pause_of_the_service_is_not_made_up_for() -> None:
    came = heard(Timed((0, "ab"), (0.5, "cdef"), (9, "")).stream.pipe(smooth(10, max_lag=2)))
    gaps = [round(after - before, 3) for (before, _), (after, _) in pairwise(came)]
    assert [text for _, text in came] == [*"abcdef"]
    assert gaps[:4] == [0.5, 0.1, 0.1, 0.1]


def test_other_events_are_not_typed_and_free_what_is_before_them() -> None:
    stream = Timed((0, Text("ab")), (0, ToolCall()), (9, Finish())).stream
    verify(stream.pipe(smooth(10))).expect(Text("a")).after(0.1).expect(Text("b")).after(0).expect(
        ToolCall()
    ).expect(Finish()).expect_end().run()


SEAL = Opaque("x", 1)


@pytest.mark.parametrize("name", TEXTUAL)
def test_what_a_service_wants_back_is_not_cut_nor_joined(name: str) -> None:
    part = Text("long text", opaque=SEAL)
    came = run(PACED[name](), [Text("ab"), part, Text("cd")])
    assert part in came
    assert "".join(item.text for item in came) == "ablong textcd"


@pytest.mark.parametrize("name", TEXTUAL)
def test_a_restart_drops_the_old_text_that_waits(name: str) -> None:
    given = [(0.0, Text("abc")), (0, Text("def")), (0, Start()), (0, Reset())]
    came = [item for _, item in heard(Timed(*given, (0, Text("new"))).stream.pipe(PACED[name]()))]
    seam = came.index(Reset())
    assert Start() in came[:seam]
    assert "".join(item.text for item in came[seam + 1 :]) == "new"


def test_a_restart_drops_what_the_typewriter_has_not_typed() -> None:
    given = [(0.0, Text("abc")), (0, ToolCall()), (0, Reset()), (0, Text("d"))]
    came = [item for _, item in heard(Timed(*given).stream.pipe(smooth()))]
    assert came == [Text("a"), ToolCall(), Reset(), Text("d")]


def test_a_restart_drops_what_was_not_joined_yet() -> None:
    given = [(0.0, Text("a")), (0, Text("b")), (0, Reset()), (0, Text("c"))]
    came = [item for _, item in heard(Timed(*given).stream.pipe(coalesce(1)))]
    assert came == [Text("a"), Reset(), Text("c")]


def test_several_answers_are_joined_each_for_itself() -> None:
    given = [(0.0, Text("a")), (0, Text("b", 1)), (0, Text("c")), (0, Text("d", 1))]
    came = [item for _, item in heard(Timed(*given, (1, Finish())).stream.pipe(coalesce(0.5)))]
    assert came == [Text("a"), Text("bd", 1), Text("c"), Finish()]


@pytest.mark.parametrize("item", [Text("a"), Reasoning("a"), ToolCall()])
def test_throttle_refuses_to_drop_words(item: Any) -> None:
    with pytest.raises(UsageError, match=r"ops\.coalesce"):
        rxchat.of(Start(), item).pipe(throttle(1)).run()


@pytest.mark.parametrize("wrong", [0, -1, float("inf"), float("nan"), True, "1", None])
@pytest.mark.parametrize("make", [smooth, coalesce, throttle, lambda lag: smooth(max_lag=lag)])
def test_a_pace_is_a_number_above_zero(make: Any, wrong: Any) -> None:
    with pytest.raises(UsageError, match="takes a number above 0"):
        make(wrong)


# Ends, leaving, demand ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", PACED)
def test_an_error_comes_after_what_waited_and_at_once(name: str) -> None:
    verify(said("S#").pipe(PACED[name]())).expect(Start()).after(0.01).expect_error(
        ConnectionLost
    ).run()
    verify(cold("(ab)#").stream.pipe(PACED[name]())).expect("a").after(0.01).expect(
        "b"
    ).expect_error(ConnectionLost).run()


@pytest.mark.parametrize("name", PACED)
@pytest.mark.parametrize("leave_at", [0.001, 0.15, 0.6])
def test_who_leaves_leaves_no_timer_and_hears_no_more(name: str, leave_at: float) -> None:
    async def main() -> None:
        came: list[Any] = []
        drawing = cold("(abcdefghijklmno)", frame=0.01)
        subscription = drawing.stream.pipe(PACED[name]()).subscribe(came.append)
        await asyncio.sleep(leave_at)
        subscription.dispose()
        before = len(came)
        assert left() == 0
        await asyncio.sleep(5)
        assert len(came) == before > 0
        assert drawing.subscriptions[0].endswith("!")

    run_virtual(main())


@pytest.mark.parametrize("name", PACED)
def test_a_bug_downstream_ends_it_whether_a_timer_or_an_item_met_it(name: str) -> None:
    def buggy(item: Any) -> Any:
        raise ZeroDivisionError

    for wrong in ("a", "b", "c"):

        def fn(item: str, wrong: str = wrong) -> str:
            return str(1 / 0) if item.startswith(wrong) else item

        drawing = cold("(ab)----------(cd)-----------------|", frame=0.1)
        stream = drawing.stream.pipe(PACED[name](), mapped(fn))

        async def main(stream: Stream[str] = stream) -> None:
            with pytest.raises((CallbackFailed, ZeroDivisionError)):
                await stream
            await asyncio.sleep(0.001)
            assert left() == 0

        run_virtual(main())
        assert drawing.subscriptions[0].endswith("!")


def mapped(fn: Callable[[str], str]) -> Any:
    """A map that does not catch what the function raises."""
    from reactivex import Observable

    def op(upstream: Any) -> Any:
        def subscribe(observer: Any, scheduler: Any = None) -> Any:
            return upstream.subscribe(
                lambda item: observer.on_next(fn(item)),
                observer.on_error,
                observer.on_completed,
                scheduler=scheduler,
            )

        return Observable(subscribe)

    return op


@pytest.mark.parametrize("name", PACED)
def test_while_nobody_wants_anything_it_waits_and_then_gives_more_at_once(name: str) -> None:
    async def main() -> None:
        came: list[Any] = []
        scope = Scope()
        spoken = Timed((0, "ab"), (0, "cdefgh"), (0, "ij"), (60, "k"))
        subscription = spoken.stream.pipe(PACED[name]()).subscribe(came.append, scheduler=scope)
        await asyncio.sleep(0.01)
        scope.gate.pause()
        before = len(came)
        await asyncio.sleep(10)
        assert len(came) == before
        assert left() <= 1  # the source's own
        scope.gate.resume()
        assert len(came) == before  # not from inside of who says so
        await asyncio.sleep(0.001)
        assert before < len(came) <= before + 2
        await asyncio.sleep(1)
        assert came[-1].endswith("j")
        subscription.dispose()
        await scope.drained()

    run_virtual(main())


@pytest.mark.parametrize("name", PACED)
def test_what_comes_while_nobody_wants_anything_waits_even_if_it_is_the_first(name: str) -> None:
    async def main() -> None:
        came: list[Any] = []
        scope = Scope()
        scope.gate.pause()
        spoken = Timed((0, "ab"), (60, "k")).stream.pipe(PACED[name]())
        subscription = spoken.subscribe(came.append, scheduler=scope)
        await asyncio.sleep(10)
        assert came == []
        subscription.dispose()
        scope.gate.resume()
        await scope.drained()
        assert (came, left()) == ([], 0)

    run_virtual(main())


@pytest.mark.parametrize("name", PACED)
def test_a_slow_reader_gets_it_all_and_holds_the_source_back(name: str) -> None:
    async def main() -> None:
        timed = Timed(*((0.01, f"{number} ") for number in range(1000)))
        came: list[str] = []
        async with timed.stream.pipe(PACED[name]()).open(high=2) as items:
            async for item in items:
                came.append(item)
                if len(came) == 6:
                    told = len(timed.times)
                    await asyncio.sleep(100)
                    assert len(timed.times) < told + 100
        if name != "throttle":
            assert "".join(came) == "".join(f"{number} " for number in range(1000))
        assert came[-1].endswith("999 ")

    run_virtual(main())


async def test_typing_does_not_slow_the_server() -> None:
    words = [f"word{number} " for number in range(2000)]
    async with LocalServer(Reply(*words, HOLD, "end")) as server:
        gpt = openai.but(base_url=server.url, key="k")
        typed = ""
        async with gpt("?").pipe(smooth(rate=10, max_lag=3600)).open() as events:
            async for event in events:
                if not isinstance(event, Text):
                    continue
                typed += event.text
                if len(typed) == 1:
                    exchange = await server.exchange(0)
                    await exchange.holding()  # it has sent everything, and waits for us
                    assert typed == "w"
                    exchange.release()
        assert typed == "".join(words) + "end"
