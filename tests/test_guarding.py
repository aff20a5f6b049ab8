"""The answer ends where you say, at any cut, and its request is hung up."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

import rxchat
from cutting import cuts, one_by_one, run
from rxchat import operators as ops
from rxchat.errors import CallbackFailed, ChatError, ConnectionLost, Rejected, UsageError
from rxchat.events import Finish, Reasoning, Reset, Text, ToolCall, Usage
from rxchat.operators.texts.endings import limit_chars, limit_words, stop_at
from rxchat.operators.texts.guarding import guard
from rxchat.providers import acytoo
from rxchat.testing import HOLD, LocalServer, Reply, Scripted, run_virtual

# stop_at ----------------------------------------------------------------------------------------

STOPS = st.lists(st.text("ab-", min_size=1, max_size=4), min_size=1, max_size=3)


@given(STOPS, st.text("ab-", max_size=25), st.booleans(), st.data())
def test_the_answer_ends_at_the_first_match_at_any_cut(
    stops: list[str], text: str, keep: bool, data: st.DataObject
) -> None:
    places = sorted((text.find(stop), len(stop)) for stop in stops if stop in text)
    start, size = places[0] if places else (len(text), 0)
    pieces = data.draw(cuts(text))
    assert "".join(run(stop_at(*stops, keep=keep), pieces)) == text[: start + size * keep]


@pytest.mark.parametrize(
    "expression", [r"\n\n+", r"END\b", r"[A-Z]{3}(?!x)", r"\d+\.", "(?i)user:"]
)
@given(
    st.lists(st.sampled_from([*"\nENDx1. ", "User:", "END"]), max_size=12).map("".join), st.data()
)
def test_an_expression_ends_it_where_it_would_in_the_whole_text(
    expression: str, text: str, data: st.DataObject
) -> None:
    found = re.search(expression, text)
    pieces = data.draw(cuts(text))
    assert (
        "".join(run(stop_at(re.compile(expression)), pieces))
        == text[: found.start() if found else None]
    )
    kept = run(stop_at(re.compile(expression), keep=True), pieces)
    assert "".join(kept) == text[: found.end() if found else None]


def test_the_finish_says_what_stopped_it() -> None:
    items = [Text("Yes. U"), Usage(output=1), Text("ser: x"), Text("more"), Finish("length")]
    assert run(stop_at("User:", "Bot:"), items) == [
        Text("Yes. "),
        Usage(output=1),
        Finish("stop", "User:"),
    ]


def test_without_a_match_nothing_is_changed() -> None:
    items = [Text("Yes. "), Text("Us"), Finish("length")]
    assert run(stop_at("User:"), items) == [Text("Yes. "), Text("Us"), Finish("length")]


def test_of_two_that_begin_alike_the_shorter_one_is_not_waited_for() -> None:
    async def main() -> list[str]:
        stream = Scripted("a b", 60.0, "c")("Hi").pipe(ops.text(), stop_at("b", "bc"))
        async with asyncio.timeout(1):
            return [piece async for piece in stream]

    assert run_virtual(main()) == ["a "]


@pytest.mark.parametrize(
    "operator",
    [
        lambda: stop_at("STOP"),
        lambda: stop_at(re.compile("STOP?")),
        lambda: limit_chars(4),
        lambda: limit_words(1),
        lambda: guard(lambda text: "STOP" not in text, every=4, instead=""),
    ],
    ids=["a string", "an expression", "limit_chars", "limit_words", "guard"],
)
async def test_the_request_is_hung_up(operator: Callable[[], Any]) -> None:
    async with LocalServer(Reply("Yes ", "STO", "P no", HOLD, "never")) as server:
        stream = acytoo.but(base_url=server.url)("Hi").pipe(ops.text(), operator())
        async with asyncio.timeout(10):
            assert "".join([piece async for piece in stream]) == "Yes "
            assert await (await server.exchange(0)).ended == "hung up"
    assert rxchat.connections().streams == 0


@pytest.mark.parametrize("wrong", [stop_at, lambda: stop_at(""), lambda: stop_at(re.compile("x*"))])
def test_a_stop_that_is_none_or_everywhere_is_refused(wrong: Callable[[], Any]) -> None:
    with pytest.raises(UsageError):
        wrong()


# limit_chars and limit_words --------------------------------------------------------------------

CHARACTERS = st.lists(
    st.sampled_from([*"ab \r\n", "e\u0301", "👩‍👩‍👧", "🇫🇷", "👍🏽", "\r\n", "क्षि", "\u0301"]),
    max_size=80,
).map("".join)


@given(CHARACTERS, st.integers(1, 90), st.data())
def test_an_answer_has_so_many_characters_and_none_is_torn(
    text: str, most: int, data: st.DataObject
) -> None:
    shown = "".join(run(limit_chars(most), data.draw(cuts(text))))
    assert shown == "".join(run(limit_chars(most), [text]))
    assert text.startswith(shown)
    assert len(shown) <= most
    if len(text) <= most:
        assert shown == text
    elif most <= 64:  # else the first clusters near the limit may not be the text's
        fitting = ""
        for cluster in regex.findall(r"\X", text):
            if len(fitting + cluster) > most:
                break
            fitting += cluster
        assert shown == fitting


@given(st.text("ab \n\u00a0", max_size=40), st.integers(1, 6), st.data())
def test_an_answer_has_so_many_words(text: str, most: int, data: st.DataObject) -> None:
    shown = "".join(run(limit_words(most), data.draw(cuts(text))))
    words = [*re.finditer(r"\S+", text)]
    assert shown == (text[: words[most].start()] if len(words) > most else text)


@pytest.mark.parametrize("operator", [limit_chars(4), limit_words(1)], ids=["characters", "words"])
def test_a_limit_that_is_met_finishes_for_its_length(operator: Any) -> None:
    *shown, finish = run(operator, [Text("one "), Text("two"), Finish()])
    assert ("".join(item.text for item in shown), finish.reason) == ("one ", "length")
    *shown, finish = run(operator, [Text("one "), Finish()])
    assert ("".join(item.text for item in shown), finish) == ("one ", Finish())


@pytest.mark.parametrize("limit", [limit_chars, limit_words])
@pytest.mark.parametrize("most", [0, -1, 1.5, True])
def test_a_limit_is_a_whole_number(limit: Any, most: Any) -> None:
    with pytest.raises(UsageError):
        limit(most)


# guard ------------------------------------------------------------------------------------------


def decent(text: str) -> bool:
    return "bad" not in text


async def slowly_decent(text: str) -> bool:
    await asyncio.sleep(1)
    return decent(text)


TEXT = "Good. All is good.\nAnother line, Mr. B.\n\nA paragraph. This is bad. Good again."
SHOWN = {
    "sentence": "Good. All is good.\nAnother line, Mr. B.\n\nA paragraph. ",
    "line": "Good. All is good.\nAnother line, Mr. B.\n\n",
    "paragraph": "Good. All is good.\nAnother line, Mr. B.\n\n",
    10: TEXT[:60],
}


@pytest.mark.parametrize("check", [decent, slowly_decent])
@pytest.mark.parametrize("every", SHOWN)
@given(cuts(TEXT))
def test_nothing_is_shown_before_it_is_checked(every: Any, check: Any, pieces: list[str]) -> None:
    asked: list[str] = []

    def judge(text: str) -> Any:
        asked.append(text)
        return check(text)

    *shown, end = run(guard(judge, every=every, instead="[...]"), pieces)
    assert ("".join(shown), end) == (SHOWN[every], "[...]")
    assert "".join(asked).startswith("".join(shown))
    assert [*shown] == asked[:-1]


def test_a_check_of_the_whole_gets_all_of_the_answer_so_far() -> None:
    asked: list[str] = []
    run(guard(lambda text: asked.append(text) or True, every="line", whole=True), ["a\nb", "\nc"])
    assert asked == ["a\n", "a\nb\n", "a\nb\nc"]


def test_a_refusal_is_an_error_that_knows_what_was_shown() -> None:
    heard: list[Any] = []

    async def main() -> None:
        async for item in rxchat.of(Text("Fine. It is"), Text(" bad. "), Finish()).pipe(
            guard(decent)
        ):
            heard.append(item)

    with pytest.raises(Rejected) as caught:
        run_virtual(main())
    assert heard == [Text("Fine. ")]
    assert caught.value.partial == "Fine. "


def test_the_rest_is_replaced_and_the_answer_finished() -> None:
    items = [Reasoning("bad"), Text("Fine. It"), Text(" is bad."), ToolCall(name="f"), Finish()]
    assert run(guard(decent, instead="Sorry."), items) == [
        Reasoning("bad"),
        Text("Fine. "),
        Text("Sorry."),
        Finish("content_filter"),
    ]


def test_each_answer_of_several_is_checked_apart() -> None:
    items = [Text("1\n", 0), Text("2\n", 1), Text("ba", 1), Text("3\n", 0), Text("d\n4", 1)]
    ends = [Finish(choice=0), Finish(choice=1)]
    assert run(guard(decent, every="line", instead="-"), [*items, *ends]) == [
        Text("1\n", 0),
        Text("2\n", 1),
        Text("3\n", 0),
        Text("-", 1),
        Finish("content_filter", choice=1),
        Finish(choice=0),
    ]


def test_after_a_restart_the_answer_is_checked_anew() -> None:
    asked: list[str] = []
    items = [Text("a\n"), Reset("restart"), Text("b\n"), Finish()]
    run(guard(lambda text: asked.append(text) or True, every="line", whole=True), items)
    assert asked == ["a\n", "b\n"]


def test_an_error_comes_after_what_was_said_before_it_and_passed() -> None:
    async def emit(pump: rxchat.Pump[str]) -> None:
        await pump.send("Fine. And")
        raise ConnectionLost("gone")

    heard: list[str] = []

    async def main() -> None:
        async for piece in rxchat.source(emit).pipe(guard(slowly_decent)):
            heard.append(piece)

    with pytest.raises(ConnectionLost):
        run_virtual(main())
    assert heard == ["Fine. ", "And"]


@pytest.mark.parametrize("bug", [lambda text: 1 // 0, lambda text: None], ids=["raises", "None"])
def test_a_check_that_fails_shows_nothing(bug: Any) -> None:
    with pytest.raises((CallbackFailed, UsageError)):
        run(guard(bug), ["bad"])


def test_a_slow_check_slows_the_source_and_is_cancelled_with_the_stream() -> None:
    sent, cancelled = [], []

    async def emit(pump: rxchat.Pump[str]) -> None:
        for number in range(100):
            await pump.send(f"{number}\n")
            sent.append(number)

    async def check(text: str) -> bool:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(text)
            raise
        return True

    async def main() -> None:
        stream = rxchat.source(emit).pipe(guard(check, every="line"))
        subscription = stream.subscribe(lambda piece: None)
        await asyncio.sleep(90)
        subscription.dispose()
        await subscription.wait_closed()

    run_virtual(main())
    assert len(sent) < 5
    assert cancelled == ["1\n"]


@pytest.mark.parametrize("named", [{"every": "word"}, {"every": 0}, {"every": 1.5}])
def test_a_guard_wants_a_unit_that_it_knows(named: Any) -> None:
    with pytest.raises(UsageError):
        guard(decent, **named)


def test_every_cut_one_by_one() -> None:
    assert run(guard(decent, every=10), one_by_one("x" * 25)) == ["x" * 10, "x" * 10, "x" * 5]


# Several answers at once --------------------------------------------------------------------------

TWO = [
    Text("one. ", 1),
    Text("a STOP b. ", 0),
    Reasoning("hm", 0),
    Text("two. ", 1),
    Usage(1, 2, 3),
    Finish(choice=0),
    Finish("length", choice=1),
]


@pytest.mark.parametrize(
    ("operator", "reason"),
    [
        (ops.stop_at("STOP"), "stop"),
        (ops.guard(lambda text: "STOP" not in text, instead="-"), "content_filter"),
        (ops.guard(lambda text: "STOP" not in text, instead="-", every=10), "content_filter"),
    ],
)
def test_an_answer_that_ends_here_waits_with_its_finish_for_the_others(
    operator: Any, reason: str
) -> None:
    events = run(operator, TWO)
    assert [(event.reason, event.choice) for event in events[-2:]] == [(reason, 0), ("length", 1)]
    assert sum(type(event) is Finish for event in events) == 2
    assert rxchat.reply(events, 1).text == "one. two. "
    first = rxchat.of(*events).pipe(ops.collect()).run()
    assert [each.finish for each in first.choices] == [reason, "length"]


def test_a_partial_text_has_no_more_than_was_shown() -> None:
    cut = ConnectionLost("cut", partial="Good. Bad one. hidden")
    seen: list[ChatError] = []

    async def main() -> None:
        stream = Scripted("Good. ", "Bad one. hidden", Text("Fine. ", 1), Text("So", 1), cut)("?")
        guarded = stream.pipe(ops.guard(lambda text: "Bad" not in text, instead=""))
        await guarded.subscribe(on_error=seen.append).wait_closed()

    run_virtual(main())
    assert seen[0].partial == "Good. "


def test_a_text_of_a_kind_of_its_own_is_a_text() -> None:
    class Words(str):
        __slots__ = ()

    assert run(ops.limit_words(2), [Words("a b c d")]) == ["a b "]
