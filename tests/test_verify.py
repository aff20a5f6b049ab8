"""A verifier that passes has checked everything; one that fails says what came."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rxchat
from rxchat import operators as ops
from rxchat.errors import ConnectionLost, RateLimited, Truncated, UsageError
from rxchat.events import Finish, Reasoning, Start, Text, ToolCall
from rxchat.providers import openai
from rxchat.testing import (
    LocalServer,
    NotAsExpected,
    Probe,
    Scripted,
    Verifier,
    cold,
    faults,
    no_leaks,
    said,
    verify,
)


def is_a(item: object) -> bool:
    return item == Text("a")


def not_even_that(item: object) -> bool:
    return False


PASSING: dict[str, Verifier[Any]] = {
    "items": verify(said("S-a|")).expect(Start(), Text("a")).expect(Finish()).expect_end(),
    "types": verify(said("S-a|"))
    .expect_a(Start, model="")
    .expect_any()
    .expect_a(Finish, reason="stop")
    .expect_end(),
    "rule": verify(said("a|")).expect_that(is_a).expect_any(1).expect_end(),
    "text": verify(said("a-bc|")).expect_text("ab").expect_text("c").expect_any().expect_end(),
    "plain text": verify(cold("ab|").stream).expect_text("ab").expect_end(),
    "times": verify(Scripted(1, "a", 2, "b")("?"))
    .after(1)
    .expect(Text("a"))
    .after(2)
    .expect(Text("b"))
    .expect(Finish())
    .after(0)
    .expect_end(),
    "error": verify(said("-a#")).expect_text("a").after(0.01).expect_error(ConnectionLost, "drawn"),
    "facts": verify(Scripted.failing("429(2s)")("?")).expect_error(
        RateLimited, status=429, retry_after=2
    ),
    "any error": verify(said("#")).expect_error(),
    "hang up": verify(said("a--b|")).expect_text("a").after(0.02).hang_up(),
    "hang up at once": verify(said("a|")).hang_up(),
    "at once": verify(rxchat.of(1, 2)).expect(1, 2).expect_end(),
    "a long silence": verify(Scripted(7200, "a")("?"))
    .after(7200)
    .expect_text("a")
    .expect_any()
    .expect_end(),
}


@pytest.mark.parametrize("name", PASSING)
def test_what_is_as_expected_passes_again_and_again(name: str) -> None:
    PASSING[name].run()
    PASSING[name].run()


FAILING: dict[str, tuple[Verifier[Any], str]] = {
    "another item": (
        verify(said("-a-b|")).expect(Text("a"), Text("c")).expect_end(),
        "step 2, expect(Text('c')): Text('b') came\n     0.01 s  Text('a')\n  >  0.03 s  Text('b')",
    ),
    "the end too soon": (
        verify(said("a|")).expect_text("a").expect(Finish(), Text("b")).expect_end(),
        "step 3, expect(Text('b')): the end came\n"
        "     0.00 s  Text('a')\n     0.01 s  Finish()\n  >  0.01 s  the end",
    ),
    "an error instead": (
        verify(said("a#")).expect_text("ab").expect_end(),
        "step 1, expect_text('ab'): ConnectionLost('as drawn') came\n"
        "     0.00 s  Text('a')\n  >  0.01 s  ConnectionLost('as drawn')",
    ),
    "no error": (
        verify(cold("|").stream).expect_error(Truncated),
        "step 1, expect_error(Truncated): the end came\n  >  0.00 s  the end",
    ),
    "another error": (
        verify(said("#")).expect_error(Truncated),
        "step 1, expect_error(Truncated): ConnectionLost('as drawn') came",
    ),
    "another fact": (
        verify(Scripted.failing("429(2s)")("?")).expect_error(RateLimited, retry_after=3),
        "step 1, expect_error(RateLimited, retry_after=3): RateLimited('as planned') came",
    ),
    "another message": (
        verify(said("#")).expect_error(ConnectionLost, "broken"),
        "step 1, expect_error(ConnectionLost, match='broken'): ConnectionLost('as drawn') came",
    ),
    "not at the end": (
        verify(said("ab|")).expect_text("a").expect_end(),
        "step 2, expect_end(): Text('b') came",
    ),
    "another text": (
        verify(said("a-b|")).expect_text("ac").expect_end(),
        "step 1, expect_text('ac'): 'ab' came",
    ),
    "no text": (
        verify(said("Sa|")).expect_text("a").expect_end(),
        "step 1, expect_text('a'): Start() came",
    ),
    "too much text": (
        verify(Scripted("abc")("?")).expect_text("ab").expect_end(),
        "step 1, expect_text('ab'): 'abc' came",
    ),
    "another type": (
        verify(said("a|")).expect_a(Start).expect_end(),
        "step 1, expect_a(Start): Text('a') came",
    ),
    "a rule is broken": (
        verify(said("a|")).expect_that(not_even_that).expect_end(),
        "step 1, expect_that(not_even_that): Text('a') came",
    ),
    "too soon": (
        verify(said("a-b|")).expect_text("a").after(2.0).expect_text("b").expect_end(),
        "step 3, expect_text('b'): Text('b') came 1.98 s too soon",
    ),
    "too late": (
        verify(Scripted("a", 3.0, "b")("?")).expect_text("a").after(2.0).expect_text("b").hang_up(),
        "step 3, expect_text('b'): Text('b') came 1 s too late",
    ),
    "not silent": (
        verify(said("a-b|")).expect_text("a").after(2.0).hang_up(),
        "step 3, hang_up(): Text('b') came",
    ),
    "nothing ever": (
        verify(said("a")).expect_text("a").expect_end(),
        "step 2, expect_end(): nothing came for 3600 s\n     0.00 s  Text('a')",
    ),
    "the unchecked": (
        verify(said("(ab)")).expect_text("a").hang_up(),
        "step 2, hang_up(): more came afterwards\n     0.00 s  Text('a')\n  >  0.00 s  Text('b')",
    ),
}


@pytest.mark.parametrize("name", FAILING)
def test_what_is_not_as_expected_is_shown_with_all_that_came(name: str) -> None:
    verifier, message = FAILING[name]
    with pytest.raises(NotAsExpected) as failure:
        verifier.run()
    assert str(failure.value).startswith(message)


@given(st.text("ab", max_size=5), st.text("ab", max_size=5), st.sampled_from("|#"))
def test_it_passes_if_and_only_if_everything_is_as_said(real: str, told: str, end: str) -> None:
    steps = verify(cold(real + end).stream).expect(*told)
    steps = steps.expect_end() if end == "|" else steps.expect_error()
    try:
        steps.run()
    except NotAsExpected:
        assert real != told
    else:
        assert real == told


def test_the_end_must_be_said() -> None:
    for steps in (verify(said("|")), verify(said("a|")).expect_text("a")):
        with pytest.raises(UsageError, match="say how it ends"):
            steps.run()


@pytest.mark.parametrize("end", [Verifier.expect_end, Verifier.expect_error, Verifier.hang_up])
def test_nothing_comes_after_the_end(end: Any) -> None:
    with pytest.raises(UsageError, match=r"nothing comes after .*, so not expect_any\(1\)"):
        end(verify(said("|"))).expect_any()


def test_something_may_be_done_in_between() -> None:
    done: list[float] = []

    async def slowly() -> None:
        await asyncio.sleep(1)
        done.append(asyncio.get_running_loop().time())

    def at_once() -> None:
        done.append(asyncio.get_running_loop().time())

    steps = verify(Scripted("a", 10, "b")("?")).expect_text("a").after(2).then(at_once).then(slowly)
    steps.after(7).expect_text("b").expect_any().expect_end().run()
    assert done == [2, 3]


def test_what_the_deed_raises_is_passed_on() -> None:
    def oops() -> None:
        raise KeyError("mine")

    probe = Probe(said("a--"))
    with pytest.raises(KeyError, match="mine"):
        verify(probe.stream).expect_text("a").then(oops).hang_up().run()
    assert probe.hung_up == 1


def test_a_timeout_of_the_deed_is_no_impatience() -> None:
    async def late() -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        verify(said("a--")).then(late).hang_up().run()


def test_a_slow_consumer_stops_the_source() -> None:
    probe = Probe(Scripted(*"abcd")("Hi"))
    steps = verify(probe.stream).pause(5.0).expect_text("a").after(5).expect_text("b")
    steps.expect_text("cd").expect(Finish()).expect_end().run()
    assert probe.paused_for == 5


def test_after_a_pause_time_counts_from_its_end() -> None:
    verify(Scripted(6, "b")("?")).pause(5).after(1).expect_text("b").expect_any().expect_end().run()


def test_hanging_up_reaches_the_source() -> None:
    talk = Scripted("a", 60.0, "b")
    verify(talk("Hi").pipe(ops.retry(3))).expect_text("a").hang_up().run()
    assert (talk.live, talk.hung_up) == (0, 1)


def test_events_are_shown_by_what_is_unusual_in_them() -> None:
    call = ToolCall(0, "c1", "weather", choice=1)
    with pytest.raises(NotAsExpected) as failure:
        verify(said("r|", values={"r": Reasoning("hm")})).expect(call).hang_up().run()
    assert "expect(ToolCall(id='c1', name='weather', choice=1)): Reasoning('hm')" in str(
        failure.value
    )


async def test_a_running_loop_awaits_the_check() -> None:
    with pytest.raises(UsageError, match=r"await \.\.\.\.check\(\)"):
        verify(said("a|")).hang_up().run()
    async with no_leaks(), LocalServer() as server:
        stream = openai.but(base_url=server.url + "/v1", key="sk")("Hi")
        server.plan(*faults("503 cut"))
        steps = verify(stream.pipe(ops.retry(3, backoff=lambda number: 0)))
        await steps.expect_a(Start).expect_text("Hello").expect_error(Truncated).check()
        assert len(server.exchanges) == 2


async def test_real_patience_has_an_end() -> None:
    with pytest.raises(NotAsExpected, match=r"nothing came for 0.01 s"):
        await verify(said("a")).expect_text("ab").expect_end().check(patience=0.01)
