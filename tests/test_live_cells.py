"""Live cells: what is seen of an answer, when it is painted, and where there is no notebook."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from importlib.resources import files
from itertools import pairwise
from typing import Any

import pytest
from reactivex import Observable
from reactivex.disposable import Disposable

import rxchat
from harmless import inspected
from rxchat import operators as ops
from rxchat.errors import LoopError, RateLimited, UsageError
from rxchat.events import (
    Finish,
    Other,
    Reasoning,
    Refusal,
    Reset,
    Start,
    Text,
    ToolCall,
    Usage,
)
from rxchat.notebook import Showing, Timeline, compare, show, watch
from rxchat.notebook.cells.live import PAGE, PAGES, paged
from rxchat.notebook.cells.page import MOST, GrowingPage, foot, in_words, whole
from rxchat.notebook.cells.painter import RATE, Painter
from rxchat.notebook.cells.progress import Progress
from rxchat.notebook.cells.safe_html import BLOCK
from rxchat.testing import Scripted, VirtualLoop, run_virtual

# What is seen of an answer ------------------------------------------------------------------------


def after(*items: object) -> Progress:
    progress = Progress()
    for item in items:
        progress.take(item)
    return progress


def seen(*items: object) -> list[tuple[str, str]]:
    return [
        (getattr(part, "sort", "call"), getattr(part, "text", None) or part.name)
        for part in after(*items).parts
    ]


def test_parts_stand_in_the_order_in_which_they_came() -> None:
    items = [Start("m"), Reasoning("Hm"), Reasoning("."), Text("One "), "two", ToolCall(0, "", "f")]
    assert seen(*items, Refusal("No."), Usage(1, 2), Finish()) == [
        ("reasoning", "Hm."),
        ("text", "One two"),
        ("call", "f"),
        ("refusal", "No."),
    ]


def test_pieces_of_a_call_are_one_card_with_its_result() -> None:
    call = ToolCall(0, "a", "weather", '{"city": ')
    result = Other("rxchat.tool_result", rxchat.tool("18 °C", call))
    progress = after(call, ToolCall(0, "", "", '"Oslo"}'), result)
    (card,) = progress.parts
    assert card.arguments == '{"city": "Oslo"}'
    words = inspected(whole(progress, None)).words
    assert 'weather({"city": "Oslo"}) → 18 °C' in words
    assert "Called with" in words


def test_results_find_their_calls_in_any_order() -> None:
    one, two = ToolCall(0, "a", "f"), ToolCall(1, "b", "g")
    results = [Other("rxchat.tool_result", rxchat.tool(c.name, c)) for c in (two, one)]
    assert [card.result.text for card in after(one, two, *results).parts] == ["f", "g"]


def test_a_result_that_failed_looks_like_it() -> None:
    call = ToolCall(0, "a", "f")
    told = Other("rxchat.tool_result", rxchat.tool("KeyError", call, failed=True))
    assert "✗ KeyError" in inspected(whole(after(call, told), None)).words


def test_a_restart_forgets_and_says_why() -> None:
    progress = after("One", Reset("restart", "cut"), "Two")
    assert progress.text == "Two"
    assert progress.notes == ["began anew: cut"]


def test_a_restart_of_a_later_turn_keeps_the_turns_before() -> None:
    turn = Other("rxchat.turn", ())
    assert seen("A", turn, "B", Reset(), turn, "C") == [("text", "A"), ("text", "C")]
    assert seen("A", turn, "B", Reset(), "C", turn, "D") == [("text", "C"), ("text", "D")]


def test_answers_one_after_the_other_keep_their_calls_and_words_apart() -> None:
    one, other = ToolCall(0, "", "f", "{}"), ToolCall(0, "", "g", '{"a": ')
    items = ["x", one, Finish(), other, ToolCall(0, "", "", "1}"), "y", Finish(), "z"]
    assert [part for _, part in seen(*items)] == ["x", "f", "g", "y", "z"]
    growing = GrowingPage(progress := Progress())
    for item in items:
        progress.take(item)
        growing.read()
    drawn = inspected("".join(growing.settled) + growing.tail).words
    assert drawn.count('g({"a": 1})') == 1


def test_a_resume_goes_on_in_the_same_words() -> None:
    progress = after("Hel", Reset("resume", "lost"), "lo")
    assert progress.text == "Hello"
    assert "goes on elsewhere: lost" in whole(progress, None)


def test_several_answers_stand_below_each_other() -> None:
    progress = after(Text("one"), Text("two", choice=1), Text("!", choice=0))
    words = inspected(whole(progress, None)).words
    assert words.startswith("one!\nAnswer 2two\n")


def test_growing_texts_and_other_values_are_shown_as_well() -> None:
    growing = rxchat.of("Hel", "lo").pipe(ops.growing(), ops.to_list()).run()
    assert seen(*growing) == [("text", "Hello")]
    assert seen({"a": 1}, 2) == [("value", "{'a': 1}\n2\n")]


class TestGrowingPage:
    def test_it_comes_to_the_whole_page(self) -> None:
        call = ToolCall(0, "a", "f", "{}")
        items: list[Any] = [Reasoning("Hm."), "# One\n\n", "Two ", "*three*", call]
        items += [Other("rxchat.tool_result", rxchat.tool("x", call)), Other("rxchat.turn", ())]
        items += ["Four\n\n", "Five", Text("other", choice=1)]
        progress = Progress()
        growing = GrowingPage(progress)
        kept: list[str] = []
        for item in items:
            progress.take(item)
            growing.read()
            assert growing.settled[: len(kept)] == kept  # it only gets longer
            kept = [*growing.settled]
        progress.take(Finish())
        progress.end("completed")
        growing.read()
        drawn = "".join(growing.settled) + growing.tail
        assert f"<div>{drawn}{foot(progress, None)}</div>" == whole(progress, None)

    def test_a_restart_begins_anew(self) -> None:
        progress = after("One\n\nTwo\n\nThree")
        growing = GrowingPage(progress)
        growing.read()
        assert "One" in "".join(growing.settled)
        for item in (Reset(), "Four"):
            progress.take(item)
        growing.read()
        assert ("".join(growing.settled), growing.tail) == ("", "<p>Four</p>\n")

    def test_thoughts_that_grow_are_not_sent_again_and_again(self) -> None:
        progress = after(Reasoning("x" * 100_000))
        growing = GrowingPage(progress)
        growing.read()
        assert len(growing.tail) < 3000
        assert "Thinking · 100,000 characters" in growing.tail
        progress.take("So.")
        growing.read()
        assert len("".join(growing.settled)) > 100_000

    @pytest.mark.parametrize(
        "item",
        [
            Text("word " * 1_000),
            Text("word " * 1_000, choice=1),
            Reasoning("word " * 1_000),
            Refusal("word " * 1_000),
            ["word " * 1_000],
        ],
        ids=["text", "another answer", "reasoning", "refusal", "value"],
    )
    def test_nothing_that_grows_is_sent_again_whole(self, item: object) -> None:
        growing = GrowingPage(progress := Progress())
        for _ in range(30):
            progress.take(item)
            growing.read()
            assert len(growing.tail) < 2 * BLOCK

    def test_of_an_endless_text_the_beginning_is_shown_and_how_much_is_not(self) -> None:
        progress = after("One\n\n", "word " * MOST)
        growing = GrowingPage(progress)
        growing.read()
        progress.end("completed")
        for html in ("".join(growing.settled) + growing.tail, whole(progress, None)):
            assert len(html) < 2 * MOST
            assert "… and 800,005 more characters" in html
        assert "… and 800,005 more characters" in in_words(progress)
        assert len(whole(after(Reasoning("x" * 10 * MOST), "", 1), None)) < 2 * MOST

    def test_pages_that_are_full_stay_as_they_are(self) -> None:
        pieces = ["x" * 1000] * 2000
        some, more = paged(pieces[:100]), paged(pieces[:101])
        assert sum(a != b for a, b in zip(some, more, strict=True)) == 1
        assert "".join(paged(pieces)) == "".join(pieces)
        assert len(paged(pieces)) == PAGES
        assert len(paged(pieces)[0]) <= PAGE + 1000

    def test_both_sides_know_the_same_pages(self) -> None:
        script = files("rxchat.notebook.cells").joinpath("live.js").read_text()
        assert f"const PAGES = {PAGES};" in script


# When it is painted -------------------------------------------------------------------------------


class Paints:
    """Counts, and takes as long as it is told, in virtual time."""

    def __init__(self, cost: float = 0.0, pause: float = 0.05, size: int = 0) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.loop = loop
        self.cost = cost
        self.at: list[float] = []
        self.size = size
        self.painter = Painter(self.paint, pause)

    def paint(self) -> int:
        self.at.append(self.loop.time())
        self.loop._jumping.elapsed += self.cost
        return self.size


def test_a_burst_is_one_paint_and_a_second_at_most_twenty() -> None:
    async def main() -> list[float]:
        paints = Paints()
        for _ in range(1000):
            for _ in range(10):
                paints.painter.changed()
            await asyncio.sleep(0.001)
        await asyncio.sleep(1)
        return paints.at

    at = run_virtual(main())
    assert 18 <= len(at) <= 22
    assert min(b - a for a, b in pairwise(at)) >= 0.05 - 1e-9


def test_paints_that_take_long_come_seldom() -> None:
    async def main() -> int:
        paints = Paints(cost=0.1)
        while paints.loop.time() < 11:
            paints.painter.changed()
            await asyncio.sleep(0.01)
        paints.painter.finish()
        return len(paints.at)

    assert 10 <= run_virtual(main()) <= 11  # one in 1.1 seconds


def test_many_answers_share_the_time_and_each_has_its_turn() -> None:
    async def main() -> list[int]:
        several = [Paints(cost=0.01) for _ in range(10)]
        while several[0].loop.time() < 11:
            for each in several:
                each.painter.changed()
            await asyncio.sleep(0.01)
        for each in several:
            each.painter.finish()
        return [len(each.at) for each in several]

    counts = run_virtual(main())
    assert sum(counts) <= 101  # a tenth of 11 seconds, though each could have had a tenth
    assert max(counts) - min(counts) <= 1


def test_who_waits_for_a_long_pause_keeps_nobody_waiting() -> None:
    async def main() -> int:
        picture, answer = Paints(pause=5), Paints()
        picture.painter.changed()
        await asyncio.sleep(0.1)
        picture.painter.changed()
        await asyncio.sleep(0.1)
        answer.painter.changed()
        await asyncio.sleep(0.1)
        picture.painter.finish()
        return len(answer.at)

    assert run_virtual(main()) == 1


def test_no_more_is_sent_than_a_server_of_notebooks_lets_through() -> None:
    async def main() -> int:
        several = [Paints(size=RATE // 10) for _ in range(10)]
        while several[0].loop.time() < 10:
            for each in several:
                each.painter.changed()
            await asyncio.sleep(0.01)
        for each in several:
            each.painter.finish()
        return sum(len(each.at) * each.size for each in several)

    assert 9 * RATE <= run_virtual(main()) <= 10.2 * RATE


def test_a_paint_that_fails_keeps_no_other_from_its_turn() -> None:
    async def main() -> int:
        reported: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, told: reported.append(told))
        Painter(lambda: 1 // 0).changed()
        paints = Paints()
        paints.painter.changed()
        await asyncio.sleep(1)
        assert isinstance(reported[0]["exception"], ZeroDivisionError)
        return len(paints.at)

    assert run_virtual(main()) == 1


def test_no_timer_is_left_when_nothing_changes() -> None:
    async def main() -> None:
        paints = Paints()
        paints.painter.changed()
        await asyncio.sleep(1)
        paints.painter.changed()
        paints.painter.finish()
        with pytest.raises(rxchat.testing.DeadlockError):
            paints.loop._run_once()  # nothing would ever happen
        assert len(paints.at) == 1

    run_virtual(main())


# Where there is no notebook -----------------------------------------------------------------------


async def test_it_is_printed_where_there_is_no_notebook(capsys: pytest.CaptureFixture[str]) -> None:
    answer = await show(Scripted("Hel", "lo\x1b[2J", Finish())("Hi"), title="A\x1b title")
    assert (answer.text, answer.finish) == ("Hello\x1b[2J", "stop")
    printed = capsys.readouterr().out
    assert printed.startswith("A title\nHello[2J\n(first after ")


async def test_a_failure_is_printed_and_raised(capsys: pytest.CaptureFixture[str]) -> None:
    showing = show(Scripted("Hel", RateLimited("too much"))("Hi"))
    with pytest.raises(RateLimited):
        await showing
    assert capsys.readouterr().err == "rxchat: RateLimited: too much\n"
    assert repr(showing) == "<showing 'scripted': failed, 3 characters>"


async def test_answers_are_printed_one_after_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    say = {"a": Scripted(0.001, "One")("Hi"), "b": Scripted(RateLimited("no"))("Hi")}
    answers = await compare(say, title="Two")
    assert str(answers["a"]) == "One"
    assert isinstance(answers["b"], RateLimited)
    printed = capsys.readouterr().out
    assert re.match(
        r"Two\n--- a \(.*\)\nOne\n\n--- b\nRateLimited: no\n\nTwo\na .*\nb .*#", printed
    )


def test_a_timeline_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    show(Timeline(), title="Mine")
    assert capsys.readouterr().out.startswith("Mine\n")


async def until(reached: Callable[[], bool]) -> None:
    while not reached():  # noqa: ASYNC110  # turns of the loop, not time
        await asyncio.sleep(0)


async def test_who_stops_it_gets_the_answer_so_far() -> None:
    say = Scripted("Hel", "lo", 3600.0, "!")
    showing = show(say("Hi"))
    await until(lambda: "5 characters" in repr(showing))
    asyncio.get_running_loop().set_debug(True)  # which objects to what is not safe in threads
    await asyncio.to_thread(showing.stop)  # as a front end's message may come
    answer = await showing
    assert (answer.text, answer.finish) == ("Hello", None)
    assert (say.live, say.hung_up) == (0, 1)
    showing.stop()  # does nothing any more
    assert await showing == answer


@pytest.mark.parametrize("labels", ["", "ab"], ids=["show", "compare"])
async def test_who_is_cancelled_while_waiting_hangs_up(labels: str) -> None:
    say = Scripted("Hel", 3600.0)
    shown = compare({label: say("Hi") for label in labels}) if labels else show(say("Hi"))
    waiting = asyncio.ensure_future(shown)
    await until(lambda: say.live == len(labels or "1"))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await until(lambda: not say.live)
    assert say.hung_up == len(labels or "1")
    assert "stopped" in repr(shown)


async def test_a_stream_that_cannot_be_hung_up_keeps_nobody_waiting() -> None:
    def subscribe(*_: object) -> Disposable:
        return Disposable(lambda: 1 // 0)

    reported: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: reported.append(told))
    showing = show(Observable(subscribe))
    showing.stop()
    assert (await showing).text == ""
    assert isinstance(reported[0]["exception"], ZeroDivisionError)


async def test_one_can_be_shown_from_within_another(capsys: pytest.CaptureFixture[str]) -> None:
    inner: list[Showing] = []

    def once(_: object) -> None:
        if not inner:
            inner.append(show(Scripted("Two")("Hi")))

    assert (await show(Scripted("One")("Hi").pipe(ops.do_action(once)))).text == "One"
    assert (await inner[0]).text == "Two"


async def test_of_two_who_wait_both_have_the_answer() -> None:
    showing = show(Scripted("One", 0.001, "two")("Hi"))
    one, other = await asyncio.gather(showing, showing)
    assert one == other == await showing


async def test_an_empty_stream_and_one_that_never_begins_are_answers_without_words() -> None:
    comparing = compare({"empty": rxchat.of(), "never": Scripted(3600.0)("Hi")})
    comparing.stop("never")
    answers = await comparing
    assert [str(answer) for answer in answers.values()] == ["", ""]


async def test_a_watch_around_it_sees_each_of_them() -> None:
    with watch() as run:
        await compare({"a": Scripted("One", "two")("Hi"), "b": Scripted("Two")("Hi")})
    (a,) = (row for row in run.rows if row.name == "a")
    assert [mark.words for mark in a.marks if mark.kind == "text"] == ["One", "two"]


async def test_nothing_is_sent_if_one_of_them_is_wrong() -> None:
    say = Scripted("One")
    with pytest.raises(UsageError, match=r"compare\(\) takes streams, not int"):
        compare({"a": say("Hi"), "b": 3})
    with pytest.raises(UsageError, match="call what makes one, as"):
        show(say)
    with pytest.raises(UsageError, match="labels that are texts, not 1"):
        compare({1: say("Hi")})
    with pytest.raises(UsageError, match="with at least one stream"):
        compare({})
    with pytest.raises(UsageError, match="title"):
        show(say("Hi"), title=3)
    assert say.prompts == []


def test_without_a_loop_it_says_what_to_do() -> None:
    with pytest.raises(LoopError, match=r"await show\(...\)"):
        show(Scripted("One")("Hi"))
    with pytest.raises(LoopError, match=r"await compare\(...\)"):
        compare({"a": Scripted("One")("Hi")})
