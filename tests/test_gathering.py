"""The text so far, and the whole answer as one value."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rxchat
from cutting import cuts, one_by_one, run
from rxchat import assistant, user
from rxchat import operators as ops
from rxchat.errors import Truncated, UsageError
from rxchat.events import (
    Event,
    Finish,
    Opaque,
    Other,
    Reasoning,
    Refusal,
    Reset,
    Start,
    Text,
    ToolCall,
    Usage,
)
from rxchat.operators.gathering.collecting import Answer, collect, growing
from rxchat.testing import Scripted, run_virtual

TEXT = "Caf\u0065\u0301 \U0001f469\u200d\U0001f4bb\r\nline two\n\nΩ \ud83d 終わり。"


def collected(*items: Any) -> Answer:
    (answer,) = run(collect(), items)
    return answer


# growing ---------------------------------------------------------------------------------------


@given(cuts(TEXT))
def test_the_text_so_far_is_all_pieces_until_then_at_any_cut(pieces: list[str]) -> None:
    for items in (pieces, [Text(piece) for piece in pieces]):
        values = run(growing(), items)
        sofar = ""
        for value, piece in zip(values, filter(None, pieces), strict=True):
            sofar += piece
            assert (value.piece, len(value)) == (piece, len(sofar))
        assert values[-1].text == str(values[-1]) == TEXT


@given(st.lists(st.text(min_size=1), min_size=1), st.randoms())
def test_values_that_are_kept_are_right_in_whatever_order_they_are_read(
    pieces: list[str], random: Any
) -> None:
    values = run(growing(), pieces)
    expected = ["".join(pieces[: end + 1]) for end in range(len(pieces))]
    order = [*range(len(pieces))] * 2
    random.shuffle(order)
    assert all(values[at].text == expected[at] for at in order)


def test_the_text_may_be_read_while_it_grows() -> None:
    stream = rxchat.of("a", "b", "c").pipe(growing(), ops.map(str), ops.to_list())
    assert stream.run() == ["a", "ab", "abc"]


def test_after_a_restart_the_text_is_empty_at_once_and_begins_anew() -> None:
    items = [Reset(), Text("wrong"), Reset(), Text("ri"), Reset("resume"), Text("ght")]
    values = run(growing(), items)
    assert [value.text for value in values] == ["wrong", "", "ri", "right"]


def test_other_choices_and_reasoning_are_no_text() -> None:
    items = [Text("a"), Text("x", choice=1), Reasoning("y"), Text("b"), Finish()]
    assert [value.text for value in run(growing(), items)] == ["a", "ab"]


def test_a_value_tells_what_it_is_without_joining_the_text() -> None:
    (value,) = run(growing(), ["Hello"])
    assert repr(value) == "<5 characters so far, the newest are 'Hello'>"


def test_all_values_of_a_text_are_not_much_more_than_the_text() -> None:
    values = run(growing(), ["four"] * 5000)
    (rope,) = {value._rope for value in values}
    assert len(rope._parts) + len(rope._fresh) < 600
    assert sum(map(len, rope._parts)) + 4 * len(rope._fresh) == len(values[-1].text) == 20_000


# collect ---------------------------------------------------------------------------------------


@given(cuts(TEXT))
def test_a_collected_answer_is_the_same_at_any_cut(pieces: list[str]) -> None:
    events = [Start("m", "1"), *map(Text, pieces), Usage(1, 2), Finish("length", "max")]
    answer = collected(*events)
    assert answer.message == assistant(TEXT)
    assert answer == Answer(
        assistant(TEXT), "length", "max", Usage(1, 2), "m", "1", answer.first, answer.total
    )
    assert collected(*pieces).text == TEXT


def test_an_answer_of_many_pieces_is_whole() -> None:
    text = TEXT * 200
    thoughts = [Reasoning(c) for c in text]
    call = [ToolCall(0, "c1", "f", "")] + [ToolCall(0, arguments=c) for c in '{"a": 1}' * 300]
    answer = collected(*thoughts, *map(Text, one_by_one(text)), *call)
    assert answer.text == answer.reasoning == text
    assert answer.tool_calls == (ToolCall(0, "c1", "f", '{"a": 1}' * 300),)


KINDS = st.one_of(
    st.builds(Text, st.text(max_size=3), st.integers(0, 1)),
    st.builds(Reasoning, st.text(max_size=3), st.integers(0, 1)),
    st.builds(Refusal, st.text(max_size=3)),
    st.builds(Text, st.just("s"), opaque=st.just(Opaque("x", 1))),
    st.builds(ToolCall, st.integers(0, 2), arguments=st.sampled_from(["", "1"])),
    st.builds(Other, st.just("seal"), opaque=st.just(Opaque("x", 2))),
    st.just(Reset()),
    st.just(Reset("resume")),
)


@given(st.lists(KINDS, max_size=30), st.integers(1, 5))
def test_the_message_is_what_reply_makes_of_the_events(events: list[Event], settled: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rxchat.operators.gathering.collecting.SETTLED", settled)
        answer = collected(*events)
    assert answer.message == rxchat.reply(events)
    if answer.others:
        assert answer.others[0].message == rxchat.reply(events, 1)


def test_an_answer_goes_into_the_next_turn() -> None:
    answer = collected(Text("Hello"), Finish())
    again = Scripted("Bye")
    again([user("Hi"), answer.message, user("Bye")]).run()
    assert [message.text for message in again.prompts[0]] == ["Hi", "Hello", "Bye"]


def test_each_of_several_answers_has_its_own_text_and_end() -> None:
    answer = collected(
        Start("m"),
        Text("a"),
        Text("x", 1),
        Text("b"),
        Usage(1, 2),
        Finish(),
        Finish("length", choice=1),
    )
    assert [(each.text, each.finish) for each in answer.choices] == [
        ("ab", "stop"),
        ("x", "length"),
    ]
    assert answer.others[0].usage == answer.usage == Usage(1, 2)


def test_a_restart_is_never_both_halves() -> None:
    call = ToolCall(0, "1", "f", "{")
    answer = collected(
        Text("wrong"),
        call,
        Usage(5, 5),
        Reset(),
        Start("b"),
        Text("right"),
        Usage(1, None),
        Finish(),
    )
    assert (answer.text, answer.tool_calls, answer.model) == ("right", (), "b")
    assert answer.usage == Usage(6, 5)  # both were paid for


def test_of_several_turns_it_is_the_last_with_the_usage_of_all() -> None:
    first = [
        Start("m", "1"),
        Text("Wait."),
        ToolCall(0, "c", "f"),
        Usage(1, 2),
        Finish("tool_calls"),
    ]
    result = Other("tool_result", "42")
    last = [Start("m", "2"), Text("42"), Usage(10, 1), Usage(10, 20), Finish()]
    answer = collected(*first, result, *last)
    assert (answer.text, answer.id, answer.finish, answer.tool_calls) == ("42", "2", "stop", ())
    assert answer.usage == Usage(11, 22)


def test_the_turns_of_run_tools_are_told_apart() -> None:
    call = ToolCall(0, "c", "f", "{}")
    turn = Other("rxchat.turn", ())
    answer = collected(Text("Wait."), call, turn, Text("42"), call, Usage(3, 3), Finish())
    assert (answer.text, answer.tool_calls, answer.usage) == ("42", (call,), Usage(3, 3))


def test_a_turn_begins_also_without_a_start_and_what_else_is_said_is_none() -> None:
    turns = [Text("one"), Finish(), Other("tool_result", "42"), Text("two"), Finish("length")]
    answer = collected(*turns, Other("billing", 1))
    assert (answer.text, answer.finish) == ("two", "length")


def test_a_refusal_and_an_empty_answer_are_answers() -> None:
    assert collected(Refusal("I "), Refusal("won't."), Finish()).refusal == "I won't."
    empty = collected()
    assert (str(empty), empty.finish, empty.usage, empty.first) == ("", None, None, None)


def test_times_are_those_of_the_loop_since_the_subscription() -> None:
    async def main() -> Answer:
        await asyncio.sleep(7)
        return await Scripted(Start(), 0.5, "Hel", 1, "lo", 0.25)("Hi").pipe(collect())

    answer = run_virtual(main())
    assert (answer.first, answer.total) == (0.5, 1.75)


def test_an_error_passes_with_the_text_so_far() -> None:
    with pytest.raises(Truncated) as caught:
        Scripted("Hel", "lo", Truncated("cut"))("Hi").pipe(collect()).run()
    assert caught.value.partial == "Hello"


def test_what_is_no_answer_cannot_be_collected() -> None:
    with pytest.raises(UsageError, match="events or texts, not int"):
        rxchat.of(1, 2).pipe(collect()).run()


def test_an_answer_says_in_a_line_how_much_it_is() -> None:
    called = Scripted(
        Start("m-1"), "Hello", ToolCall(0, "1", "weather", "{}"), Finish("tool_calls")
    )
    answer = called("Hi").pipe(ops.collect()).run()
    assert repr(answer) == "<answer of m-1: 5 characters, calls weather, tool_calls>"


def test_an_answer_that_ends_first_is_not_forgotten_for_the_next_one() -> None:
    said = rxchat.of(Text("a"), Finish(), Text("b", 1), Finish(choice=1))
    answer = said.pipe(ops.collect()).run()
    assert [each.text for each in answer.choices] == ["a", "b"]
