"""Deadlines: how long a service may take, measured in its own time.

Pictures: `-` is 10 ms of silence, a letter is content, `s` is a `Start`, `r` is reasoning, `|` is
the end, `#` an error.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
import reactivex
from hypothesis import given
from hypothesis import strategies as st
from reactivex.disposable import Disposable

import rxchat
from rxchat import operators as ops
from rxchat.errors import ChatError, Deadline, UsageError, is_retryable
from rxchat.events import Reasoning, Start, Text, ToolCall, Usage
from rxchat.operators.asking.deadlines import deadline
from rxchat.providers import openai
from rxchat.stream import Call, Pump, Scope, Stream, Watch, source
from rxchat.testing import HOLD, LocalServer, Reply, Scripted, VirtualLoop, cold, draw, run_virtual
from rxchat.transport import pool

SIGNS = {"s": Start(model="m"), "r": Reasoning("hm"), "u": Usage(output=1), "t": ToolCall(name="t")}
LETTERS = {repr(event): sign for sign, event in SIGNS.items()}


def drawn(picture: str, **limits: Any) -> tuple[str, list[str]]:
    """What came through a deadline, and who asked and was hung up."""
    one = cold(picture, SIGNS)
    stream = one.stream.pipe(
        deadline(**limits), ops.map(lambda item: LETTERS.get(repr(item), item))
    )
    return draw(stream, until=200), one.subscriptions


async def heard(stream: Stream[Any]) -> tuple[list[Any], Exception | None]:
    items: list[Any] = []
    try:
        async for item in stream:
            items.append(item)
    except ChatError as error:
        return items, error
    return items, None


async def over(stream: Stream[Any]) -> Deadline:
    _, error = await heard(stream)
    assert isinstance(error, Deadline)
    return error


def timers(loop: asyncio.AbstractEventLoop) -> list[asyncio.TimerHandle]:
    """The timers of deadlines that are set."""
    handles = loop._scheduled
    return [each for each in handles if not each.cancelled() and "_Clocks._look" in repr(each)]


# The clocks -------------------------------------------------------------------------------------

CLOCKS = [
    # picture, limits, what is heard, who was hung up
    ("----a|", {"connect": 0.03}, "---#", "^--!"),
    ("--s---a|", {"connect": 0.03}, "--s---a|", "^"),
    ("--s---a|", {"first": 0.05}, "--s--#", "^----!"),
    ("--s---a-----|", {"first": 0.07}, "--s---a-----|", "^"),
    ("-r-r-r-r-a|", {"first": 0.05}, "-r-r-(r#)", "^----!"),
    ("-r-r-r-r-a|", {"first": 0.05, "reasoning": True}, "-r-r-r-r-a|", "^"),
    ("-a---b----c|", {"idle": 0.04}, "-a---b---#", "^--------!"),
    ("------a-b|", {"idle": 0.03}, "------a-b|", "^"),
    ("-a-u-s-u-b|", {"idle": 0.03}, "-a-u#", "^---!"),
    ("-a-r-r-r-b|", {"idle": 0.03}, "-a-r#", "^---!"),
    ("-a-r-r-r-b|", {"idle": 0.03, "reasoning": True}, "-a-r-r-r-b|", "^"),
    ("-a-t-t-t-b|", {"idle": 0.03}, "-a-t-t-t-b|", "^"),
    ("-a-b-c-d-e|", {"total": 0.06}, "-a-b-c#", "^-----!"),
    ("-a---|", {"total": 0.06}, "-a---|", "^"),
    ("-a--#", {"idle": 0.05}, "-a--#", "^"),
    ("-a-----b|", {"first": 0.9, "idle": 0.04, "total": 0.9}, "-a---#", "^----!"),
    ("-----|", {"first": 0.9, "idle": 0.01}, "-----|", "^"),
    ("---a|", {"connect": 0.03}, "---a|", "^"),  # in the last moment
    ("---a---b|", {"idle": 0.04, "first": 0.03}, "---a---b|", "^"),
]


@pytest.mark.parametrize(("picture", "limits", "result", "subscription"), CLOCKS)
def test_each_clock_runs_out_in_its_time(
    picture: str, limits: dict[str, Any], result: str, subscription: str
) -> None:
    heard, subscriptions = drawn(picture, **limits)
    assert heard == result
    assert subscriptions == [subscription]


def test_a_rate_is_a_floor_over_every_window_after_the_first_content() -> None:
    say = Scripted(100, *["five ", 1] * 10, *["x", 1] * 30)

    async def main() -> tuple[Deadline, float]:
        error = await over(say("Hi").pipe(deadline(min_rate=3, window=5)))
        return error, asyncio.get_running_loop().time()

    error, ended = run_virtual(main())
    assert error.phase == "rate"
    assert str(error).startswith("2.6 characters per second over window=5 s, less than min_rate=3")
    assert ended == pytest.approx(112.5)


def test_a_rate_counts_what_is_said_and_no_lifecycle() -> None:
    async def heard_all(*cues: Any, **limits: Any) -> int:
        items, error = await heard(Scripted(*cues * 20)("Hi").pipe(deadline(**limits)))
        assert error is None or error.phase == "rate"
        return len(items)

    enough: dict[str, Any] = {"min_rate": 4, "window": 2}
    call, thought = ToolCall(arguments="12345"), Reasoning("12345")
    assert run_virtual(heard_all(call, 1, **enough)) == 21
    assert run_virtual(heard_all(thought, 1, **enough)) == 21  # it has not begun to speak
    assert run_virtual(heard_all("a", thought, 1, **enough)) < 10
    assert run_virtual(heard_all("a", thought, 1, **enough, reasoning=True)) == 41
    plain = rxchat.wrap(rxchat.interval(1).pipe(ops.map(lambda _: "12345"), ops.take(9)))
    assert run_virtual(heard(plain.pipe(deadline(**enough)))) == (["12345"] * 9, None)


MESSAGES = [
    ([5], {"connect": 2}, "no answer within connect=2 s"),
    ([Start(), 5], {"first": 2.5}, "no content within first=2.5 s"),
    (["a", 5], {"idle": 2}, "no content for idle=2 s (part of the answer had been emitted)"),
    ([Reasoning("a"), 5], {"total": 2}, "not over within total=2 s (part of the answer"),
]


@pytest.mark.parametrize(("script", "limits", "message"), MESSAGES)
def test_the_error_says_which_clock_ran_out_and_may_be_retried(
    script: list[Any], limits: dict[str, float], message: str
) -> None:
    error = run_virtual(over(Scripted(*script)("Hi").pipe(deadline(**limits))))
    assert str(error).startswith(message)
    assert [error.phase] == [*limits]
    assert error.content_emitted == ("part" in message)
    assert is_retryable(error)
    assert isinstance(error, TimeoutError)


def test_a_deadline_before_a_retry_is_of_each_attempt() -> None:
    say = Scripted(9, "late").then(1, "in time")
    stream = say("Hi").pipe(deadline(first=2), ops.retry(2), ops.text())
    assert run_virtual(heard(stream)) == (["in time"], None)
    assert say.hung_up == 1


def test_upstream_is_hung_up_before_anybody_hears_of_it() -> None:
    told: list[object] = []

    async def silent(pump: Pump[Any]) -> None:
        pump.closing(lambda: told.append("hung up"))
        await asyncio.Event().wait()

    async def main() -> None:
        stream = source(silent).pipe(deadline(first=1))
        await stream.subscribe(on_error=lambda error: told.append(type(error))).wait_closed()

    run_virtual(main())
    assert told == ["hung up", Deadline]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "at least one of connect, first, idle, total, min_rate"),
    ({"window": 3}, "at least one of"),
    *(
        ({"idle": wrong}, r"deadline\(idle=\) takes a number above 0")
        for wrong in (0, -1, True, "3")
    ),
    *(({"total": float(wrong)}, r"deadline\(total=\)") for wrong in ("inf", "nan")),
    ({"min_rate": 3, "window": 0}, r"deadline\(window=\)"),
    ({"min_rate": 3, "window": None}, r"deadline\(window=\)"),
    ({"idle": 3, "window": 3}, "of min_rate"),
    ({"total": 3, "reasoning": True}, "of first, idle and min_rate"),
]


@pytest.mark.parametrize(("limits", "message"), WRONG, ids=repr)
def test_what_cannot_be_a_deadline_is_refused_at_once(limits: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        deadline(**limits)


# Our own time -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "limits",
    [{"connect": 2}, {"first": 2}, {"idle": 2}, {"total": 30}, {"min_rate": 4, "window": 2}],
)
def test_a_slow_consumer_never_trips_a_deadline(limits: dict[str, Any]) -> None:
    say = Scripted(*["12345", 1] * 20)

    async def main() -> int:
        taken = 0
        async with say("Hi").pipe(deadline(**limits)).open(high=1) as items:
            async for _ in items:
                taken += 1
                await asyncio.sleep(7)
        return taken

    assert run_virtual(main()) == 21


@pytest.mark.parametrize("phase", ["connect", "first", "idle", "total"])
@given(
    before=st.integers(1, 9),
    pauses=st.lists(st.tuples(st.integers(1, 30), st.integers(1, 3)), max_size=4),
)
def test_a_pause_moves_every_clock_by_its_length(
    phase: str, before: int, pauses: list[tuple[int, int]]
) -> None:
    script = {
        "connect": [999],
        "first": [Start(), 999],
        "idle": ["a", 999],
        "total": ["a", 1, "b", 999],
    }
    limit = 40

    async def main() -> float:
        loop = asyncio.get_running_loop()
        scope, ended = Scope(), loop.create_future()
        stream = Scripted(*script[phase])("Hi").pipe(deadline(**{phase: limit}))
        running = stream.subscribe(
            lambda _: None, lambda _: ended.set_result(loop.time()), scheduler=scope
        )
        await asyncio.sleep(before)
        for pause, between in pauses:
            scope.gate.pause()
            await asyncio.sleep(pause)
            scope.gate.resume()
            await asyncio.sleep(between)
        when: float = await ended
        running.dispose()
        await scope.drained()
        return when

    length = sum(pause for pause, _ in pauses)
    assert run_virtual(main()) == pytest.approx(limit + length)


def test_a_pause_of_long_ago_counts_for_nothing() -> None:
    async def main() -> float:
        scope = Scope()
        running = (
            Scripted("a", 20, "b", 999)("Hi")
            .pipe(deadline(idle=5))
            .subscribe(lambda _: None, lambda _: None, scheduler=scope)
        )
        await asyncio.sleep(1)
        scope.gate.pause()
        await asyncio.sleep(18)
        scope.gate.resume()
        await scope.drained()
        running.dispose()
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == pytest.approx(25)


@pytest.mark.parametrize("phase", ["connect", "first", "idle", "total"])
def test_nothing_wakes_up_in_a_long_pause(phase: str) -> None:
    async def main() -> None:
        scope, loop = Scope(), asyncio.get_running_loop()
        script = ["a", 9999] if phase == "idle" else [9999]
        running = Scripted(*script)("Hi").pipe(deadline(**{phase: 5.0})).subscribe(scheduler=scope)
        await asyncio.sleep(4)
        scope.gate.pause()
        await asyncio.sleep(9)
        assert timers(loop) == []
        scope.gate.resume()
        assert len(timers(loop)) == 1
        running.dispose()
        await scope.drained()

    run_virtual(main())


def test_what_comes_in_a_pause_came_at_its_end() -> None:
    async def deaf(pump: Pump[str]) -> None:
        for _ in range(10):  # which does not mind the gate
            pump.emit("a")
            await asyncio.sleep(1)
        await asyncio.Event().wait()

    async def main() -> float:
        loop = asyncio.get_running_loop()
        scope, ended = Scope(), loop.create_future()
        source(deaf).pipe(deadline(idle=5)).subscribe(
            lambda _: None, lambda _: ended.set_result(loop.time()), scheduler=scope
        )
        await asyncio.sleep(0.5)
        scope.gate.pause()
        await asyncio.sleep(20)
        scope.gate.resume()
        when: float = await ended
        return when

    assert run_virtual(main()) == pytest.approx(25.5)


def test_a_consumer_that_holds_up_the_loop_is_not_the_services_silence() -> None:
    def hold_up(item: Any) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop._jumping.elapsed += 9

    say = Scripted("a", 1, "b", 1, "c")
    stream = say("Hi").pipe(deadline(idle=2), ops.do_action(hold_up))
    assert len(run_virtual(heard(stream))[0]) == 4


class Wire:
    """A source that tells of its requests as a transport does, at given seconds."""

    def __init__(self, *cues: Any) -> None:
        self.cues = cues

    def stream(self) -> Stream[Any]:
        async def play(pump: Pump[Any]) -> None:
            calls = {}
            for cue in self.cues:
                if isinstance(cue, int | float):
                    await asyncio.sleep(cue)
                elif isinstance(cue, tuple):
                    word, name = cue
                    call = calls.setdefault(name, Call(name))
                    for watch in pump.scope.watches:
                        {
                            "queued": lambda watch=watch: watch.queued(),
                            "admitted": lambda watch=watch: watch.admitted(),
                            "asked": lambda watch=watch, call=call: watch.asked(call),
                            "answered": lambda watch=watch, call=call: watch.answered(call, {}),
                            "ended": lambda watch=watch, call=call: watch.ended(call),
                        }[word]()
                else:
                    await pump.send(cue)

        return source(play)


QUEUED, ADMITTED = ("queued", "one"), ("admitted", "one")
ASKED, ANSWERED, ENDED = ("asked", "one"), ("answered", "one"), ("ended", "one")
TWICE, AT_LAST = ("asked", "two"), ("answered", "two")

REQUESTS: list[tuple[list[Any], dict[str, Any], float, str | None]] = [
    # what happens, limits, when it is over, in which phase
    ([QUEUED, 50, ADMITTED, ASKED, ANSWERED, 1, "a"], {"connect": 2, "first": 2}, 51, None),
    ([QUEUED, 50, ADMITTED, ASKED, 9], {"connect": 2}, 52, "connect"),
    ([QUEUED, 50, ADMITTED, ASKED, ANSWERED, 9], {"first": 2}, 52, "first"),
    ([QUEUED, 50, ADMITTED, ASKED], {"total": 20}, 20, "total"),
    ([1, ASKED, 2, ANSWERED, 9, "a"], {"connect": 2.5}, 12, None),
    ([1, ASKED, 3, ANSWERED, 9, "a"], {"connect": 2.5}, 3.5, "connect"),
    ([ASKED, 2, ENDED, 9, TWICE, 2, AT_LAST, 2, "a"], {"connect": 3}, 15, None),
    ([ASKED, 2, TWICE, 0.5, AT_LAST, 2, "a"], {"connect": 3}, 3, "connect"),
    ([ASKED, 2, TWICE, 0.5, ENDED, 2, AT_LAST, 2, "a"], {"connect": 3}, 6.5, None),
    ([ASKED, 2, TWICE, 2, AT_LAST, 2, "a"], {"first": 5}, 5, "first"),
    ([ASKED, 2, ENDED, QUEUED, 50, ADMITTED, TWICE, 2, AT_LAST, "a"], {"first": 5}, 54, None),
    ([ASKED, ANSWERED, "a", ENDED, QUEUED, 50, ADMITTED, TWICE, 9], {"idle": 3}, 53, "idle"),
    ([ASKED, 2, QUEUED, 50, "a"], {"first": 5}, 5, "first"),
    ([ASKED, ANSWERED, "a", QUEUED, 50, "b"], {"idle": 3}, 3, "idle"),
    (["a", QUEUED, 50, "b"], {"idle": 3}, 3, "idle"),
    ([1, "a", 10, ASKED, 9], {"connect": 2, "idle": 60}, 13, "connect"),
    (
        [ASKED, ANSWERED, "a", ENDED, QUEUED, 50, ADMITTED, TWICE, "b", 1],
        {"min_rate": 1, "window": 2},
        51,
        None,
    ),
]


@pytest.mark.parametrize(("cues", "limits", "ended", "phase"), REQUESTS)
def test_clocks_begin_with_the_request_and_our_own_queue_counts_for_the_total_only(
    cues: list[Any], limits: dict[str, Any], ended: float, phase: str | None
) -> None:
    async def main() -> tuple[float, Exception | None]:
        _, error = await heard(Wire(*cues).stream().pipe(deadline(**limits)))
        return asyncio.get_running_loop().time(), error

    when, error = run_virtual(main())
    assert getattr(error, "phase", None) == phase
    assert when == pytest.approx(ended)
    if isinstance(error, Deadline) and ASKED in cues and phase != "total":
        late = "one" if phase == "connect" else "two"
        assert error.provider == (late if TWICE in cues else "one")


# The timer --------------------------------------------------------------------------------------


def test_there_is_one_timer_however_many_clocks_and_events_there_are() -> None:
    set_at: list[float] = []
    most = 0

    async def main() -> None:
        nonlocal most
        loop = asyncio.get_running_loop()
        call_at = loop.call_at

        def noted(when: float, callback: Callable[..., object], *args: Any, **named: Any) -> Any:
            if "_look" in repr(callback):
                set_at.append(loop.time())
            return call_at(when, callback, *args, **named)

        loop.call_at = noted
        clocks = deadline(connect=50, first=40, idle=30, total=200, min_rate=0.01, window=100)
        async for _ in Scripted(*["a", 0.01] * 5000)("Hi").pipe(clocks):
            most = max(most, len(timers(loop)))
        assert timers(loop) == []

    run_virtual(main())
    assert most == 1
    assert len(set_at) < 12


@pytest.mark.parametrize("end", ["completed", "failed", "hung up", "expired"])
def test_no_timer_is_left_however_a_stream_ends(end: str) -> None:
    scripts: dict[str, list[Any]] = {
        "completed": ["a"],
        "failed": ["a", ValueError("x")],
        "hung up": ["a", 99],
        "expired": [99],
    }

    async def main() -> None:
        loop = asyncio.get_running_loop()
        scope = Scope()
        clocks = deadline(first=5, idle=5, total=90)
        running = (
            Scripted(*scripts[end])("Hi")
            .pipe(clocks)
            .subscribe(lambda _: None, lambda _: None, scheduler=scope)
        )
        assert len(timers(loop)) == 1
        await asyncio.sleep(4 if end == "hung up" else 6)
        if end == "hung up":
            scope.gate.pause()
            running.dispose()
            scope.gate.resume()
        assert timers(loop) == []
        assert scope.gate._upstream == ()
        await scope.drained()

    run_virtual(main())


def test_a_consumer_that_leaves_with_the_first_content_leaves_no_timer() -> None:
    async def main() -> None:
        stream = Scripted("a", 9, "b")("Hi").pipe(deadline(first=50, idle=1), ops.take(1))
        assert await heard(stream) == ([Text("a")], None)
        assert timers(asyncio.get_running_loop()) == []

    run_virtual(main())


def test_an_error_while_hanging_up_is_reported_and_the_deadline_is_heard() -> None:
    told: list[dict[str, Any]] = []

    def broken(observer: Any, scheduler: Any) -> Any:
        return Disposable(lambda: {}["broken"])

    async def main() -> Deadline:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
        return await over(rxchat.wrap(reactivex.create(broken)).pipe(deadline(first=1)))

    assert run_virtual(main()).phase == "first"
    assert [each["message"] for each in told] == ["hanging up after a deadline failed"]


def test_an_error_in_the_timer_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rxchat.operators.asking.deadlines._MESSAGES", {})
    say = Scripted(9)

    async def main() -> None:
        with pytest.raises(KeyError, match="first"):
            await say("Hi").pipe(deadline(first=1))

    run_virtual(main())
    assert say.hung_up == 1


@pytest.mark.parametrize("given", [None, lambda: None])
def test_a_source_may_give_anything_to_dispose_of(given: Any) -> None:
    def loose(observer: Any, scheduler: Any) -> Any:
        return given

    stream = rxchat.wrap(reactivex.create(loose))
    assert run_virtual(over(stream.pipe(deadline(first=1)))).phase == "first"


def test_a_source_that_cannot_be_asked_leaves_no_timer() -> None:
    def broken(observer: Any, scheduler: Any) -> Any:
        raise KeyError("broken")

    async def main() -> None:
        with pytest.raises(KeyError):
            await rxchat.wrap(reactivex.create(broken)).pipe(deadline(first=1))
        assert timers(asyncio.get_running_loop()) == []

    run_virtual(main())


def test_a_source_that_speaks_during_subscribe_is_in_time() -> None:
    assert run_virtual(heard(rxchat.of(1, 2).pipe(deadline(connect=1, first=1, idle=1)))) == (
        [1, 2],
        None,
    )


async def test_what_came_while_the_loop_was_blocked_came_in_time() -> None:
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)

    async def lines(pump: Pump[bytes]) -> None:
        while line := await reader.readline():
            await pump.send(line)

    heard: list[bytes] = []
    theirs.send(b"1\n")
    async for line in source(lines).pipe(deadline(idle=0.1)):
        heard.append(line)
        if line == b"1\n":
            theirs.send(b"2\n")
            time.sleep(0.2)  # noqa: ASYNC251  # the line is there, but nobody can read it
            theirs.close()
    writer.close()
    await writer.wait_closed()
    assert heard == [b"1\n", b"2\n"]


# On the wire ------------------------------------------------------------------------------------

STALLS: list[tuple[Reply, dict[str, Any], str, str]] = [
    (Reply(then="keepalive"), {"first": 0.2}, "first", ""),
    (Reply(then="keepalive"), {"connect": 5, "first": 0.2}, "first", ""),
    (Reply("Hi", then="keepalive"), {"first": 5, "idle": 0.2}, "idle", "Hi"),
    (Reply("Hi", then="stall"), {"idle": 0.1}, "idle", "Hi"),
    (Reply(headers_after=HOLD), {"connect": 0.1}, "connect", ""),
    (Reply(headers_after=HOLD), {"first": 0.1, "connect": 5}, "first", ""),
    (Reply("Hi", then="stall"), {"total": 0.2, "connect": 5}, "total", "Hi"),
    (Reply(*"abcdefghi", pace=0.1), {"min_rate": 100, "window": 0.2}, "rate", ""),
]


@pytest.mark.parametrize(("reply", "limits", "phase", "text"), STALLS)
async def test_a_service_that_is_silent_on_the_wire_is_hung_up(
    reply: Reply, limits: dict[str, Any], phase: str, text: str
) -> None:
    async with LocalServer(reply) as server:
        stream = openai.but(base_url=server.url, key="k")("Hi")
        items, error = await heard(stream.pipe(deadline(**limits), ops.text()))
        assert isinstance(error, Deadline)
        assert (error.phase, error.provider) == (phase, "openai")
        assert "".join(items).startswith(text)
        assert error.content_emitted == bool(items)
        assert len(server.exchanges) == 1
        await server.disconnected()


class Waiting(Watch):
    """Tells when a request waits for its turn, and when it no more does."""

    def __init__(self) -> None:
        self.began, self.ended = asyncio.Event(), asyncio.Event()

    def queued(self) -> None:
        self.began.set()

    def admitted(self) -> None:
        self.ended.set()


async def test_a_place_in_our_own_queue_is_not_the_services_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "STREAMS", 1)
    async with LocalServer(Reply("Hi", HOLD)) as server:
        ask = openai.but(base_url=server.url, key="k")
        told: list[Any] = []
        async with ask("1").open() as first:
            await anext(first)
            waiting, scope = Waiting(), Scope()
            second = (
                ask("2")
                .pipe(deadline(connect=0.05, first=0.05))
                .subscribe(told.append, told.append, scheduler=scope.watched(waiting))
            )
            await waiting.began.wait()
            await asyncio.sleep(0.15)  # three times what a service would have
            assert (told, rxchat.connections().waiting) == ([], 1)
            server.plan(Reply(headers_after=HOLD))
        await waiting.ended.wait()
        await scope.drained()
        assert [error.phase for error in told] == ["connect"]
        second.dispose()


async def test_who_waits_for_a_place_does_not_stop_the_clock_of_who_has_it() -> None:
    async with LocalServer(Reply(then="stall", after=0)) as server:
        chat = openai.but(base_url=server.url + "/v1", key="any")
        busy = ops.limit(concurrent=1)
        both = rxchat.hedge(chat("a").pipe(busy), chat("b").pipe(busy), after=0.01)
        _, error = await heard(both.pipe(deadline(first=0.2)))
        assert getattr(error, "phase", None) == "first"
        assert len(server.exchanges) == 1


async def test_who_leaves_the_queue_for_a_connection_is_waited_for_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "STREAMS", 1)
    async with LocalServer(Reply("Hi", then="stall")) as server:
        chat = openai.but(base_url=server.url + "/v1", key="any")
        _, error = await heard(rxchat.race(chat("a"), chat("b")).pipe(deadline(idle=0.2)))
        assert getattr(error, "phase", None) == "idle"
