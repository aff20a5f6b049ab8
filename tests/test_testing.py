"""What rxchat gives for testing, tested: a test tool that cannot fail is none."""

from __future__ import annotations

import asyncio
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rxchat
from rxchat import operators as ops
from rxchat import testing
from rxchat.errors import ConnectionLost, RateLimited, UsageError
from rxchat.events import Finish, Reasoning, Reset, Start, Text, ToolCall, Usage
from rxchat.messages import user
from rxchat.testing import (
    DeadlockError,
    LeakError,
    LocalServer,
    Reply,
    Scripted,
    cold,
    draw,
    leaks,
    no_leaks,
    run_virtual,
    said,
)

pytest_plugins = ["pytester"]


# Leaks ------------------------------------------------------------------------------------------


async def test_a_task_left_behind_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "PATIENCE", 0.01)
    with pytest.raises(LeakError, match="task 'forgotten'"):
        async with no_leaks():
            task = asyncio.create_task(asyncio.sleep(60), name="forgotten")
    task.cancel()
    await asyncio.wait([task])


async def test_a_stream_left_open_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "PATIENCE", 0.01)
    from rxchat.providers import acytoo

    async with LocalServer(Reply("Hi", then="stall")) as server:
        with pytest.raises(LeakError, match=r"'rxchat: acytoo', 1 open streams"):
            async with no_leaks():
                subscription = acytoo.but(base_url=server.url)("Hi").subscribe()
                await server.next_exchange()
        subscription.dispose()
        await subscription.wait_closed()


async def test_what_is_still_closing_is_waited_for() -> None:
    async with no_leaks():
        task = asyncio.create_task(asyncio.sleep(0.01))
    assert task.done()


def test_the_fixture_fails_a_test_that_leaks(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function")
    pytester.makeconftest(
        "pytest_plugins = ['rxchat.testing.plugin']\n"
        "from rxchat.testing import leaks\nleaks.PATIENCE = 0.01"
    )
    pytester.makepyfile(
        """
        import asyncio

        async def test_clean(no_leaks):
            await asyncio.sleep(0)

        async def test_leaking(no_leaks):
            asyncio.get_running_loop().leaked = asyncio.create_task(asyncio.sleep(60))
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*LeakError: still there: task*"])


# Scripts ----------------------------------------------------------------------------------------


def test_a_script_is_played_cue_by_cue() -> None:
    talk = Scripted(Start(), "Hel", 1.0, "lo")

    async def main() -> list[object]:
        loop = asyncio.get_running_loop()
        return [(loop.time(), event) async for event in talk("Hi")]

    assert run_virtual(main()) == [
        (0, Start()),
        (0, Text("Hel")),
        (1, Text("lo")),
        (1, Finish()),
    ]


def test_the_next_request_plays_the_next_script_and_the_last_one_is_repeated() -> None:
    talk = Scripted(ConnectionLost("x")).then("second").then("last", Finish("length"))
    streams = [talk(f"{number}") for number in range(4)]
    played = [stream.pipe(ops.catch(rxchat.of(Text("lost"))), ops.to_list()) for stream in streams]
    assert [stream.run() for stream in played] == [
        [Text("lost")],
        [Text("second"), Finish()],
        [Text("last"), Finish("length")],
        [Text("last"), Finish("length")],
    ]
    assert talk.prompts == [(user("0"),), (user("1"),), (user("2"),), (user("3"),)]


async def test_a_script_knows_who_hung_up() -> None:
    talk = Scripted("Hi", 60.0)
    async with talk("?").open() as events:
        await anext(events)
        assert (talk.live, talk.hung_up) == (1, 0)
    assert (talk.live, talk.hung_up) == (0, 1)


# Pictures and the clock -------------------------------------------------------------------------


@pytest.mark.parametrize("picture", ["|", "#", "a|", "--a-(bc)--|", "-a-#", "(ab#)", "(a|)"])
def test_a_picture_is_drawn_as_it_was_read(picture: str) -> None:
    assert draw(cold(picture).stream) == picture


def test_a_stream_without_an_end_is_hung_up_at_the_edge_of_the_picture() -> None:
    endless = cold("--a")
    assert draw(endless.stream, until=5) == "--a"
    assert endless.subscriptions == ["^----!"]


def test_a_frame_may_be_as_long_as_you_say() -> None:
    minutes = cold("-a-|", frame=60).stream
    assert draw(minutes, frame=60) == "-a-|"
    assert draw(minutes, frame=20) == "---a-----|"
    assert draw(Scripted.drawn("-a-|", frame=60)("Hi"), frame=60) == "-a-|"


@pytest.mark.parametrize("picture", ["(a|", "a)|", "((ab)|", "a|b", "(#|)"])
def test_what_is_no_picture_is_refused_at_once(picture: str) -> None:
    for read in (cold, said):
        with pytest.raises(UsageError, match=r"the brackets|after the end"):
            read(picture)


def test_blanks_in_a_picture_are_for_the_eye() -> None:
    assert draw(said("--a  --b |")) == "--a--b|"


# A letter is text, four capitals are events, what else there is has its own letters.
VALUES = {"t": ToolCall(0, "c1", "weather", "{}"), "h": Reasoning("hm"), "g": Start("gpt")}

PICTURES = ["|", "#", "S--a-b|", "(Sab|)", "S-a-R-b|", "h-t-U|", "-a#", "g-a|", "(SF)", "a"]


@pytest.mark.parametrize("picture", PICTURES)
def test_a_picture_of_events_is_drawn_as_it_was_read(picture: str) -> None:
    drawn = draw(said(picture, values=VALUES), values=VALUES)
    assert drawn == picture.replace("(SF)", "(S|)")


@given(st.text("-abSRU", max_size=8), st.sampled_from(["|", "#", ""]))
def test_every_picture_of_events_is_drawn_as_it_was_read(picture: str, end: str) -> None:
    assert draw(said(picture + end), until=50) == (picture + end).rstrip("" if end else "-")


def test_values_may_take_the_capitals() -> None:
    assert draw(said("S-U|", values={"S": "s", "U": Start()})) == "s-S|"


def test_what_has_no_letter_is_drawn_by_its_kind() -> None:
    events = [Start("gpt"), Reasoning("hm"), "Hel", Usage(1, 2), Reset("resume")]
    assert draw(Scripted(*events, Finish("length"))("Hi")) == "(S?HelURF|)"
    assert draw(rxchat.of(Finish(), Text("a"), Finish())) == "(Fa|)"
    assert draw(rxchat.of(Finish(), Finish(choice=1))) == "(FF|)"
    assert draw(rxchat.of(1, "b", True), values={"x": 1, "y": True}) == "(xby|)"


def test_a_picture_of_events_gives_the_events_it_shows() -> None:
    error = RateLimited("slow down")
    stream = said("Sah-t#", values=VALUES, error=error)
    seen: list[object] = []
    run_virtual(_watch(stream, seen))
    assert seen == [Start(), Text("a"), Reasoning("hm"), VALUES["t"], error]


def test_a_provider_may_be_drawn_with_a_picture_for_each_request() -> None:
    provider = Scripted.drawn("--#", "-a-b|", name="pictures")
    stream = provider("Hi")
    assert (stream.name, draw(stream), draw(stream), draw(stream)) == (
        "pictures",
        "--#",
        "-a-b|",
        "-a-b|",
    )
    assert provider.prompts == [(user("Hi"),)] * 3


def test_the_three_spellings_of_a_script_go_together() -> None:
    provider = Scripted.drawn("-#").then("a", 0.01, "b")
    stream = provider("Hi").pipe(ops.retry(2, backoff=lambda number: 0.02))
    assert draw(stream) == "---a(b|)"


def test_a_value_may_be_a_cue_of_any_kind() -> None:
    stream = said("apb|", values={"p": 1.0, "b": "said"})
    assert draw(stream, frame=1) == "a(said|)"


def test_a_script_may_be_silent_for_ever() -> None:
    with pytest.raises(DeadlockError):
        run_virtual(_watch(Scripted("a", math.inf)("Hi"), []))


def test_values_and_errors_may_be_named() -> None:
    error = KeyError("mine")
    stream = cold("a#", {"a": 42}, error).stream
    seen: list[object] = []
    run_virtual(_watch(stream, seen))
    assert seen == [42, error]


async def _watch(stream: rxchat.Stream[object], seen: list[object]) -> None:
    await stream.subscribe(seen.append, seen.append).wait_closed()


def test_an_hour_passes_in_no_time() -> None:
    begun = time.perf_counter()
    run_virtual(asyncio.sleep(3600))
    assert time.perf_counter() - begun < 60


def test_a_wait_for_nothing_is_a_deadlock_and_not_a_hang() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(DeadlockError, match="hang for ever"):
        run_virtual(main())


def test_only_what_exists_can_be_imported() -> None:
    assert callable(testing.mocked)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        testing.nothing  # noqa: B018  # to look it up is what raises
