"""Thoughts in tags become `Reasoning`, wherever the text is cut."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reactivex.subject import Subject

import rxchat
from cutting import cuts, one_by_one, run
from rxchat.errors import ConnectionLost, UsageError
from rxchat.events import Finish, Opaque, Other, Reasoning, Refusal, Reset, Start, Text, ToolCall
from rxchat.operators.texts.tags import MARKS, REASONING, reasoning_tags, split_tags
from rxchat.providers import openai
from rxchat.testing import HOLD, LocalServer, Reply, said, verify


def drawn(events: list[Any]) -> str:
    """Text as it is, thoughts in braces."""
    kinds = groupby(events, key=type)
    joined = [(kind, "".join(piece.text for piece in pieces)) for kind, pieces in kinds]
    return "".join(text if kind is Text else f"{{{text}}}" for kind, text in joined)


def split(operator: Any, pieces: list[str]) -> str:
    return drawn(run(operator, map(Text, pieces)))


SPLIT = {
    # what it is about: text, result
    "a thought": ("<think>Hm.</think>Four", "{Hm.}Four"),
    "no thought": ("Four < five > three </thin", "Four < five > three </thin"),
    "several": ("<think>a</think>b<think>c</think>d", "{a}b{c}d"),
    "any case": ("<Think>a</THINK>b", "{a}b"),
    "no other letters": ("<thin\u212a>a<th\u0131nk>", "<thin\u212a>a<th\u0131nk>"),
    "names that begin alike": ("<thinking>a</thinking><thinkin", "<thinking>a</thinking><thinkin"),
    "attributes": ('<think depth="1">a', '<think depth="1">a'),
    "blanks": ("<think >a< think>", "<think >a< think>"),
    "an empty thought": ("<think>\n\n</think>\n\nFour", "Four"),
    "not closed": ("<think>Hm. </thin", "{Hm. </thin}"),
    "closes nothing": ("a</think>b", "a</think>b"),
    "a tag in a thought": ("<think>a<think>b</think>c</think>", "{a<think>b}c</think>"),
    "nearly a tag": ("<<think><</think</think>>", "<{<</think}>"),
    "white space after tags": ("<think>\n a \n</think>\n\n b ", "{a \n}b "),
    "white space in the middle": ("a <think> b </think> c", "a {b } c"),
    "white space before all": ("\n<think>a</think>\nb", "\n{a}b"),
    "in backticks": ("`<think>` a", "`<think>` a"),
    "in two backticks": ("`` ` <think>`` a", "`` ` <think>`` a"),
    "after backticks": ("`a`<think>b</think>", "`a`{b}"),
    "backticks of another line": ("it`s\n<think>b</think>", "it`s\n{b}"),
    "in a block": ("```\n<think>\n```\n<think>b", "```\n<think>\n```\n{b}"),
    "in a longer block": (
        "````py\n```\n<think>\n````\n<think>b",
        "````py\n```\n<think>\n````\n{b}",
    ),
    "in a block of tildes": ("~~~\n```\n~~~\n<think>b", "~~~\n```\n~~~\n{b}"),
    "an indented block": ("- a\n  ```\n<think>", "- a\n  ```\n<think>"),
    "a span of three": ("```a``` <think>b</think>\n<think>c", "```a``` {b}\n{c}"),
    "tildes on a line": ("a ~~~b <think>c", "a ~~~b {c}"),
    "code in a thought": ("<think>`</think>```", "{`}```"),
    "a block after a thought": ("<think>a</think>\n```\n<think>", "{a}```\n<think>"),
}


@pytest.mark.parametrize("name", SPLIT)
@given(data=st.data())
def test_what_is_between_tags_is_reasoning_at_any_cut(name: str, data: st.DataObject) -> None:
    text, result = SPLIT[name]
    assert split(split_tags("think"), [text]) == result
    assert split(split_tags("think"), one_by_one(text)) == result
    assert split(split_tags("think"), data.draw(cuts(text))) == result


INSIDE = {
    "the usual": ("\nHm.\n</think>\n\nFour", "{Hm.\n}Four"),
    "the tag all the same": (" <think>\nHm.</think>Four", "{Hm.}Four"),
    "the tag too late": ("a<think>Hm.</think>Four", "{a<think>Hm.}Four"),
    "nearly the tag": ("<thin</think>Four", "{<thin}Four"),
    "no end": ("Four", "{Four}"),
    "a second thought": ("a</think>b<think>c</think>d</think>e", "{a}b{c}d</think>e"),
    "another tag": ("<a>Hm.</think></a>Four", "{Hm.</think>}Four"),
    "another tag that ends": ("Hm.</a>Four", "{Hm.}Four"),
}


@pytest.mark.parametrize("name", INSIDE)
@given(data=st.data())
def test_an_answer_may_begin_inside_a_thought(name: str, data: st.DataObject) -> None:
    text, result = INSIDE[name]
    operator = split_tags("think", "a", begins_inside=True)
    assert split(operator, [text]) == result
    assert split(operator, one_by_one(text)) == result
    assert split(operator, data.draw(cuts(text))) == result


WORDS = (
    "<think>",
    "</think>",
    "<",
    "thi",
    "/",
    ">",
    "`",
    "```",
    "~~~",
    "\n",
    " ",
    "a",
    "é",
    "👩‍👧",
    "\r\n",
)
texts = st.lists(st.sampled_from(WORDS), max_size=25).map("".join)


@given(texts, st.booleans(), st.data())
def test_whatever_the_text_the_cut_makes_no_difference(
    text: str, begins_inside: bool, data: st.DataObject
) -> None:
    operator = split_tags("think", begins_inside=begins_inside)
    whole = split(operator, [text])
    assert split(operator, one_by_one(text)) == whole
    assert split(operator, data.draw(cuts(text))) == whole


@given(texts.filter(lambda text: "<" not in text))
def test_a_text_without_tags_comes_as_it_is_piece_by_piece(text: str) -> None:
    pieces = [Text(char) for char in text]
    assert run(split_tags("think"), pieces) == pieces


@pytest.mark.parametrize("opening", REASONING)
@given(data=st.data())
def test_well_known_models_are_understood(opening: str, data: st.DataObject) -> None:
    text = f"{opening}\nHm <b>.{REASONING[opening]}\n\nFour"
    assert split(reasoning_tags(), data.draw(cuts(text))) == "{Hm <b>.}Four"
    rest = text.removeprefix(opening)
    assert split(reasoning_tags(begins_inside=True), data.draw(cuts(rest))) == "{Hm <b>.}Four"


HARMONY = (
    "<|channel|>analysis<|message|>2 + 2.<|end|>"
    "<|start|>assistant<|channel|>final<|message|>Four `<|end|>`<|return|>"
)


@given(cuts(HARMONY))
def test_the_marks_around_an_answer_are_left_out_but_for_code(pieces: list[str]) -> None:
    assert split(reasoning_tags(), pieces) == "{2 + 2.}Four `<|end|>`"


@pytest.mark.parametrize("mark", MARKS)
def test_a_mark_is_no_text(mark: str) -> None:
    assert split(reasoning_tags(), one_by_one(f"a{mark}b")) == "ab"


def test_a_pair_is_taken_to_the_letter() -> None:
    operator = split_tags(("[THINK]", "[/THINK]"), ("(*", "*)"), "note")
    assert split(operator, ["[think][THINK]a*)[/THINK](*b*) <NOTE>c"]) == "[think]{a*)b} {c}"


def test_what_cannot_be_a_tag_is_released_at_once() -> None:
    pieces = ["a <", "t", "o", "<thin", "g", "`<", "think>`", "<think>b</", "c", "</think>"]
    held = [Text("a "), Text("<to"), Text("<thing")]
    held += [Text("`"), Text("<"), Text("think>`")]
    assert run(split_tags("think"), map(Text, pieces)) == [*held, Reasoning("b"), Reasoning("</c")]


@given(texts, st.booleans(), st.integers(1, 1000))
def test_less_than_a_tag_is_ever_held_back(text: str, begins_inside: bool, size: int) -> None:
    heard: list[Any] = []
    pieces = Subject[Any]()
    pieces.pipe(split_tags("think", begins_inside=begins_inside)).subscribe(heard.append)
    for piece in (text, *(char * size for char in text)):
        pieces.on_next(Text(piece))
        pieces.on_next(Other("mark"))
        before = len(heard)
        pieces.on_next(ToolCall())
        assert all(len(event.text) < len("</think>") for event in heard[before:-1])


def test_each_answer_is_split_for_itself() -> None:
    given = [Text("<think>a"), Text("<th", 1), Text("b</think>c"), Text("ink>d", 1)]
    assert run(split_tags("think"), given) == [
        Reasoning("a"),
        Reasoning("b"),
        Text("c"),
        Reasoning("d", 1),
    ]


@pytest.mark.parametrize("event", [ToolCall(), Refusal("no"), Finish()])
def test_what_is_held_back_comes_before_what_follows_it(event: Any) -> None:
    assert run(split_tags("think"), [Text("a<thi"), event]) == [Text("a"), Text("<thi"), event]
    assert run(split_tags("think"), [Text("<think>a</"), event]) == [
        Reasoning("a"),
        Reasoning("</"),
        event,
    ]


def test_a_thought_goes_on_after_a_tool_call_but_not_after_the_end_of_the_answer() -> None:
    given = [Text("<think>a"), ToolCall(), Text("b"), Finish(), Text("c")]
    assert run(split_tags("think"), given) == [
        Reasoning("a"),
        ToolCall(),
        Reasoning("b"),
        Finish(),
        Text("c"),
    ]


def test_every_answer_of_a_conversation_begins_inside() -> None:
    given = [Text("a</think>b"), Finish(), Text("c</think>d"), Finish()]
    heard = run(split_tags("think", begins_inside=True), given)
    assert [type(event) for event in heard] == [Reasoning, Text, Finish] * 2


def test_a_restart_begins_anew_and_a_resume_goes_on() -> None:
    given = [Text("<think>a</th"), Reset("restart"), Text("ink>b")]
    assert run(split_tags("think"), given) == [Reasoning("a"), Reset("restart"), Text("ink>b")]
    given[1] = Reset("resume")
    assert run(split_tags("think"), given) == [Reasoning("a"), Reset("resume"), Text("b")]


def test_an_error_comes_after_what_was_held_back() -> None:
    cut = said("a<#").pipe(split_tags("think"))
    verify(cut).expect(Text("a"), Text("<")).expect_error(ConnectionLost).run()


def test_the_end_comes_after_what_was_held_back() -> None:
    assert run(split_tags("think"), [Start(), Text("<")]) == [Start(), Text("<")]


def test_what_a_service_wants_back_stays_with_its_part() -> None:
    seal = Opaque("x", 1)
    assert run(split_tags("think"), [Text("a<", opaque=seal), Text("think>")]) == [
        Text("a"),
        Text("<", opaque=seal),
        Text("think>"),
    ]
    assert run(split_tags("think"), [Text("<think>a", opaque=seal)]) == [
        Reasoning("a", opaque=seal)
    ]
    assert run(split_tags("think"), [Text("<think>", opaque=seal)]) == [Text("", opaque=seal)]


def test_reasoning_of_the_service_itself_passes() -> None:
    assert run(split_tags("think"), [Reasoning("<think>")]) == [Reasoning("<think>")]


def test_a_stream_of_plain_text_has_no_room_for_thoughts() -> None:
    with pytest.raises(UsageError, match=r"before ops\.text\(\)"):
        rxchat.of("<think>a").pipe(split_tags("think")).run()


WRONG = [
    ((), "names of tags"),
    (("",), "a tag is a name"),
    (("<think>",), "a tag is a name"),
    ((("a", "b", "c"),), "a tag is a name"),
    ((("a b", "c"),), "a tag is a name"),
    (((1, 2),), "a tag is a name"),
    ((("%%", "%%"),), "same '%%'"),
    ((("a", "b"), ("aa", "c")), "'aa' contains 'a'"),
]


@pytest.mark.parametrize(("tags", "message"), WRONG)
def test_tags_that_cannot_be_told_apart_are_refused(tags: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        split_tags(*tags)


async def test_thoughts_are_told_apart_before_the_server_has_said_all() -> None:
    async with LocalServer(Reply("<thi", "nk>Hm.", HOLD, "</th", "ink>\n\nFour")) as server:
        gpt = openai.but(base_url=server.url, key="k")
        heard = []
        async with gpt("2 + 2?").pipe(split_tags("think")).open() as events:
            async for event in events:
                heard.append(event)
                if event == Reasoning("Hm."):
                    (await server.exchange(0)).release()
    assert [each for each in heard if isinstance(each, Text | Reasoning)] == [
        Reasoning("Hm."),
        Text("Four"),
    ]
