"""Several answers at once, in turn, and compared."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reactivex import Observable

import rxchat
from rxchat import assistant
from rxchat import operators as ops
from rxchat.errors import CallbackFailed, Truncated, UsageError
from rxchat.events import Finish, Text
from rxchat.operators.gathering.side_by_side import (
    Change,
    Labelled,
    LabelledError,
    diff,
    interleave,
    side_by_side,
)
from rxchat.stream import Hop, lift
from rxchat.testing import Scripted, cold, draw, run_virtual


def listed(stream: rxchat.Stream[Any]) -> list[Any]:
    async def main() -> list[Any]:
        return [item async for item in stream]

    return run_virtual(main())


# side_by_side ----------------------------------------------------------------------------------


def signed(item: Any) -> str:
    return item.item if isinstance(item, Labelled) else "!"


@pytest.mark.parametrize(
    ("left", "right", "together"),
    [
        ("--a--b--|", "-x---y|", "-xa--(yb)--|"),
        ("--a#", "-x---y|", "-xa!-y|"),
        ("#", "#", "(!!|)"),
        ("|", "-x|", "-x|"),
        ("|", "|", "|"),
    ],
)
def test_streams_run_at_once_and_none_ends_the_others(left: str, right: str, together: str) -> None:
    streams = {"left": cold(left).stream, "right": cold(right).stream}
    assert draw(side_by_side(streams).pipe(ops.map(signed))) == together


def test_each_item_has_its_label_and_a_failure_too() -> None:
    error = Truncated("cut")
    streams = {"a": Scripted("Hi", 0.1)("?"), "b": Scripted("Ho", error)("?")}
    assert listed(side_by_side(streams)) == [
        Labelled("a", Text("Hi")),
        Labelled("b", Text("Ho")),
        LabelledError("b", error),
        Labelled("a", Finish()),
    ]


def test_leaving_hangs_up_all() -> None:
    a, b = cold("-a-a-a-a"), cold("--b-b-b-b")
    assert (
        draw(side_by_side({"a": a.stream, "b": b.stream}).pipe(ops.take(2), ops.map(signed)))
        == "-a(b|)"
    )
    assert (a.subscriptions, b.subscriptions) == (["^-!"], ["^-!"])


def test_a_bug_downstream_ends_all_of_it() -> None:
    a, b = Scripted("1", 1, "2"), Scripted(0.5, "x", 9, "y")

    class Bug(Hop[Any]):
        def on_next(self, item: Any) -> None:
            raise ZeroDivisionError

    def buggy(source: Any) -> Any:
        return Observable(lambda o, s=None: lift(source, Bug(o), s))

    with pytest.raises(CallbackFailed):
        listed(side_by_side({"a": a("?"), "b": b("?")}).pipe(buggy))
    assert (a.live, b.live) == (0, 0)


def test_a_slow_reader_slows_all_of_them() -> None:
    sent = dict.fromkeys("ab", 0)

    def counting(label: str) -> rxchat.Stream[int]:
        async def count(pump: rxchat.Pump[int]) -> None:
            for number in range(1000):
                sent[label] += 1
                await pump.send(number)
                await asyncio.sleep(0.001)

        return rxchat.source(count)

    async def main() -> None:
        async with side_by_side({label: counting(label) for label in sent}).open() as items:
            await anext(items)
            await asyncio.sleep(10)
            assert sum(sent.values()) < 40

    run_virtual(main())


@pytest.mark.parametrize("wrong", [{}, [cold("|").stream], {"a": "text"}])
def test_only_labelled_streams_stand_side_by_side(wrong: Any) -> None:
    with pytest.raises(UsageError, match="side_by_side"):
        side_by_side(wrong)


# interleave ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "together"),
    [
        ("abc|", "x--y--|", "(ax)b-(yc)--|"),
        ("-a-b|", "xyz|", "-(ax)-(by)(z|)"),
        ("|", "xy|", "xy|"),
        ("ab#", "---x---y|", "a--(xb)---(y#)"),
        ("---a", "#", "---(a#)"),
        ("|", "|", "|"),
    ],
)
def test_streams_take_turns_whichever_is_faster(a: str, b: str, together: str) -> None:
    assert draw(interleave(cold(a).stream, cold(b).stream)) == together


@given(st.lists(st.lists(st.integers(), max_size=40), min_size=1, max_size=4), st.randoms())
def test_the_order_is_that_of_the_turns_at_any_speed(rows: list[list[int]], random: Any) -> None:
    def played(row: list[int]) -> rxchat.Stream[int]:
        async def play(pump: rxchat.Pump[int]) -> None:
            for number in row:
                await asyncio.sleep(random.choice([0, 0, 1, 5]))
                await pump.send(number)

        return rxchat.source(play)

    expected = [row[at] for at in range(max(map(len, rows))) for row in rows if at < len(row)]
    assert listed(interleave(*map(played, rows))) == expected


def test_the_one_who_is_ahead_waits() -> None:
    sent = 0

    async def quick(pump: rxchat.Pump[int]) -> None:
        nonlocal sent
        for number in range(1000):
            sent += 1
            await pump.send(number)

    async def main() -> None:
        slow = cold("-" * 100 + "a" + "-" * 100 + "b|").stream
        items = [item async for item in interleave(slow, rxchat.source(quick)).pipe(ops.take(3))]
        assert items == ["a", 0, "b"]
        assert sent <= 20

    run_virtual(main())


def test_leaving_a_turn_hangs_up_all() -> None:
    a, b = cold("-a-a-a-a"), cold("--b-b-b-b")
    assert draw(interleave(a.stream, b.stream).pipe(ops.take(2))) == "-a(b|)"
    assert (a.subscriptions, b.subscriptions) == (["^-!"], ["^-!"])


def test_an_error_in_its_turn_hangs_up_the_others() -> None:
    a, b = cold("--a-----"), cold("-#")
    assert draw(interleave(a.stream, b.stream)) == "--(a#)"
    assert a.subscriptions == ["^-!"]


def test_only_streams_take_turns() -> None:
    with pytest.raises(UsageError, match="interleave"):
        interleave()


# diff ------------------------------------------------------------------------------------------

WORDS = st.lists(
    st.sampled_from(["a", "b", "the ", " ", "\r\n", "日本", "e\u0301", "."]), max_size=60
)


@given(WORDS.map("".join), WORDS.map("".join))
def test_a_diff_has_both_texts_in_it(a: str, b: str) -> None:
    for small in (250_000, 20):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("rxchat.operators.gathering.side_by_side.SMALL", small)
            found = diff(a, b)
        assert "".join(change.text for change in found if change.kind != "only_b") == a
        assert "".join(change.text for change in found if change.kind != "only_a") == b
        assert all(change.text for change in found)
        assert (found.ratio == 1) == (a == b)


@pytest.mark.parametrize(
    ("a", "b", "shown"),
    [
        ("", "", ""),
        ("same", "same", "same"),
        ("", "new", "{+new+}"),
        ("It is 5.", "It is 6!", "It is[- 5.-]{+ 6!+}"),
        ("青い空", "赤い空", "[-青-]{+赤+}い空"),
        ("cafe", "cafe\u0301", "[-cafe-]{+cafe\u0301+}"),
    ],
)
def test_a_diff_is_readable(a: str, b: str, shown: str) -> None:
    assert str(diff(a, b)) == shown


def test_messages_and_answers_are_compared_by_their_text() -> None:
    answer = Scripted("Yes, it is.")("?").pipe(ops.to_list()).run()
    assert list(diff(rxchat.reply(answer), assistant("Yes, it was."))) == [
        Change("same", "Yes, it"),
        Change("only_a", " is"),
        Change("only_b", " was"),
        Change("same", "."),
    ]
    with pytest.raises(UsageError, match="compares texts"):
        diff("a", 5)


def test_a_long_text_is_divided_where_words_are_the_only_ones() -> None:
    words = [f"word{number} and the other" for number in range(5000)]
    changed = [*words]
    changed[2500] = "something else"
    found = diff(" ".join(words), " ".join(changed))
    assert [change.kind for change in found] == ["same", "only_a", "only_b", "same"]
    assert found.ratio > 0.99


def test_long_texts_without_such_words_are_new_as_a_whole() -> None:
    found = diff("a b " * 2000, "b a a " * 2000)
    assert [change.kind for change in found][:2] == ["only_a", "only_b"]
    assert found.ratio < 0.01
