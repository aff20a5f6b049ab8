"""Live cells: what is seen of an answer, that its HTML is harmless, and cells in a real kernel."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyter_client import AsyncKernelClient, KernelManager
from reactivex import Observable
from reactivex.disposable import Disposable

import rxchat
from rxchat import operators as ops
from rxchat.errors import LoopError, RateLimited, UsageError
from rxchat.events import (
    Event,
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
from rxchat.notebook.cells.page import MOST, GrowingPage, columns, foot, in_words, whole
from rxchat.notebook.cells.painter import RATE, Painter
from rxchat.notebook.cells.progress import Progress
from rxchat.notebook.cells.safe_html import BLOCK, BRACKETS, GrowingMarkdown, markdown, plain
from rxchat.stills import LITERAL
from rxchat.testing import HOLD, LocalServer, Reply, Scripted, VirtualLoop, run_virtual

# Markdown to harmless HTML ------------------------------------------------------------------------

STYLED = ("div", "details", "pre", "p", "span", "td", "th", "tr", "table")
BARE = ("h1", "h2", "h3", "h4", "h5", "h6", "ul", "li", "em", "strong", "s", "blockquote")
ALLOWED = {
    "a": {"href", "title", "target", "rel"},
    "ol": {"start"},
    **{tag: {"style", "role"} for tag in STYLED},
    "div": {"style", "class"},
    "code": {"style"},
    **{tag: set() for tag in (*BARE, "hr", "br", "summary", "thead", "tbody")},
}
OURS = re.compile(r"[a-z-]+:[^;\"<>]+(;[a-z-]+:[^;\"<>]+)*")
VOID = {"hr", "br"}


class Inspector(HTMLParser):
    """Objects to whatever could do something."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.links: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED, tag
        given = dict(attrs)
        assert set(given) <= ALLOWED[tag], (tag, given)
        assert len(given) == len(attrs)
        if tag == "a":
            assert re.match(r"https?://|mailto:", given["href"] or "", re.IGNORECASE), given
            assert given["title"] == given["href"]
            assert given["target"] == "_blank"
            assert given["rel"] == "noopener noreferrer nofollow"
            self.links.append(given["href"] or "")
        assert given.get("class", LITERAL) == LITERAL
        if "style" in given:
            assert OURS.fullmatch(given["style"] or ""), given
            assert "url" not in (given["style"] or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    handle_decl = handle_pi = unknown_decl = handle_comment


def inspected(html: str) -> Inspector:
    """The HTML, if it is harmless and whole."""
    inspector = Inspector()
    inspector.feed(html)
    inspector.close()
    assert inspector.open == []
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", html)
    return inspector


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)><svg/onload=alert(1)>",
    "<style>*{display:none}</style></style><iframe src=https://evil.example></iframe>",
    "</details></div></pre></td></table><form action=https://evil.example><input>",
    "<!-- --><script>1</script> <!doctype html> <?php 1 ?> <![CDATA[<b>]]>",
    "<div\n\nonclick=alert(1)>\n\n<a href=javascript:alert(1)>x</a>",
    "[a](javascript:alert(1)) [a](JaVaScRiPt:alert(1)) [a]( javascript:alert(1))",
    "[a](java\tscript:alert(1)) [a](<java\nscript:alert(1)>) [a](\x01javascript:alert(1))",
    "[a](javascript&colon;alert(1)) [a](&#106;avascript:alert(1)) [a](&#x6A;avascript:1)",
    "[a](javascript&#58;alert(1)) [a](java&NewLine;script:1) [a](java&Tab;script:1)",
    "[a](vbscript:x) [a](data:text/html,<script>1</script>) [a](data:image/svg+xml,<svg>)",
    "[a](file:///etc/passwd) [a](blob:x) [a](//evil.example) [a](/lab) [a](#top) [a](x:y)",
    "[a](http:evil) [a](https:\\\\evil) [a](https:///evil) [a](feed:javascript:1)",
    "<javascript:alert(1)> <data:text/html,x> <vbscript:x> <JAVASCRIPT:x>",
    "[a][r]\n\n[r]: javascript:alert(1)\n\n[r2]: data:text/html,x\n\n[a][r2]",
    '[a](https://ok.example "title\\" onmouseover=alert(1) x=\\"")',
    '[a](https://ok.example/"onmouseover=alert(1))',
    "![beacon](https://evil.example/?secret=1) ![](javascript:1) ![x](data:image/png;base64,AA)",
    "![a][i]\n\n[i]: https://evil.example/pixel.png",
    "[![x](https://evil.example/x.png)](https://ok.example)",
    '```"><script>alert(1)</script>\n</code></pre><script>1</script>\n```',
    "~~~ x onclick=1\n<b>\n~~~\n\n    </pre><script>1</script>\n\n`</code><script>`",
    '| <script> | a |\n|---|:-:|\n| </td></table><script> | "x" |',
    "&lt;script&gt;alert(1)&lt;/script&gt; &#60;script&#62; &amp;lt;b&amp;gt;",
    "> <script>\n> > - <b>\n\n1. <i>\n999999999. x",
    "\x1b]0;title\x07 \x9b2J \x00 \ud800 \udfff \x7f \x08",
    "*" * 3000 + "a" + "*" * 3000,
    "> " * 2000 + "deep",
    "[" * 5000 + "a" + "](x)" * 5000,
]
hostile = pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:30]))


@hostile
def test_hostile_markdown_becomes_harmless_html(text: str) -> None:
    inspected(markdown(text))


@hostile
def test_it_is_harmless_at_any_cut(text: str) -> None:
    for end in range(0, len(text), 1 if len(text) < 200 else len(text) // 8):
        growing = GrowingMarkdown()
        growing.add(text[:end])
        for html in growing.read():
            inspected(html)
        growing.add(text[end:])
        for html in growing.read():
            inspected(html)


def everywhere(text: str) -> Iterator[Event | str]:
    """The text wherever a model, or a server, can put one."""
    yield Start(text, text)
    yield Reasoning(text)
    yield Text(text)
    yield ToolCall(0, "1", text, text)
    yield Other("rxchat.tool_result", rxchat.tool(text, ToolCall(0, "1")))
    yield ToolCall(1, "2", text, text)
    yield Other("rxchat.tool_result", rxchat.tool(text, ToolCall(1, "2"), failed=True))
    yield Reset("resume", text)
    yield Refusal(text)
    yield Text(text, choice=1)
    yield text


@hostile
def test_wherever_it_stands_the_page_is_harmless(text: str) -> None:
    progress = Progress()
    growing = GrowingPage(progress)
    for item in everywhere(text):
        progress.take(item)
        growing.read()
        inspected("".join(growing.settled) + growing.tail + foot(progress, None))
    progress.take({"value": text})
    progress.end("failed", RateLimited(text, provider=text, code=text))
    inspected(columns({text: whole(progress, None, text)}))


SIGNS = "<>\"'&`*_~[]()!#|:;=\\/-+. \n\t\x00\x1b\x9b\ud800é語🙂aljs"
MARKUP = ["javascript:", "data:", "http://", "https://e.x/", "mailto:a@b", "&#x6a;", "&lt;", "<!--"]
MARKUP += [
    "|a|b|\n",
    "|-|-|\n",
    "<script>",
    "</details>",
    "onerror=",
    "![",
    "](",
    "]: ",
    "|-|\n",
    "- ",
    "1. ",
    "> ",
]
TRICKY = st.sampled_from([*SIGNS, *MARKUP, "\n\n", "```", "    "])
soup = st.lists(TRICKY | st.text(max_size=5), max_size=60).map("".join)


@given(text=soup, data=st.data())
def test_any_text_cut_anywhere_is_harmless(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=4)))
    growing = GrowingMarkdown()
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        growing.add(text[start:end])
        settled, rest = growing.read()
        inspected(settled)
        inspected(rest)
    inspected(markdown(text))


@given(text=soup)
def test_the_same_markdown_however_it_came(text: str) -> None:
    """What has settled and what has not are together the whole, at each moment."""
    text = text.replace("]:", "] :")  # a reference is found in the end, wherever it stands
    growing, settled = GrowingMarkdown(), ""
    for end, char in enumerate(text, 1):
        growing.add(char)
        more, rest = growing.read()
        settled += more
        assert settled + rest == markdown(text[:end])


def test_blocks_settle_and_lists_wait_for_their_end() -> None:
    growing = GrowingMarkdown()
    growing.add("# Title\n\nOne.\n\n- a\n\n- b")
    settled, rest = growing.read()
    assert settled == "<h1>Title</h1>\n<p>One.</p>\n"
    assert rest.count("<li>") == 2
    growing.add("\n\n1")
    assert growing.read()[0] == ""  # it may become an item yet
    growing.add("23 goats.\n")
    assert growing.read() == (rest, "<p>123 goats.</p>\n")


def test_a_table_may_begin_with_what_looks_like_the_end_of_a_paragraph() -> None:
    """Its second line decides, so until that is whole nothing has settled."""
    growing = GrowingMarkdown()
    for text, settled in (("One | two\n|a|b|\n|-|-", ""), ("x|\n", "")):
        growing.add(text)
        assert growing.read()[0] == settled
    growing.add("|-|-|\n|c|d|")
    assert growing.read()[0] == "<p>One | two\n|a|b|</p>\n"


def long(unit: str, opening: str = "") -> str:
    return opening + unit * (4 * BLOCK // len(unit))


LONG = {
    "a paragraph": long("word and **bold** text, "),
    "lines": long("word and **bold** text,\n"),
    "a fence": long("for x in range(10): print(x)\n", "```py\n"),
    "a fence of one line": long("x", "```py\n"),
    "a fence with a long opening": long("y\n", "```" + "x" * 8_000 + "\n"),
    "code": long("    for x in range(10): print(x)\n"),
    "a list": long("- an *item*\n"),
    "a list with long items": long(f"- {'item ' * 3_000}\n"),
    "a table": long("|x|yy|\n", "|a|b|\n|-|-|\n"),
    "a wide table": long("|\n", "|" + "a|" * 3_000 + "\n|" + "-|" * 3_000 + "\n"),
    "quotes": long("> > said\n"),
    "brackets": long("["),
    "items in items": long("- "),
    "quotes in quotes": long(">"),
    "empty lines": long("\n"),
    "references": long("[r]: https://e.example\n"),
    "an open title": long("abc\n", '[r]: https://e.example "'),
}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_what_may_yet_change_stays_short_however_long_a_block_is(text: str) -> None:
    growing = GrowingMarkdown()
    for start in range(0, len(text), BLOCK // 3):
        growing.add(text[start : start + BLOCK // 3])
        assert len(inspected(growing.read()[1]).words) <= 2 * BLOCK
        assert len(growing._text) <= BLOCK


@pytest.mark.parametrize("what", ["a fence", "a list", "a table", "code", "quotes"])
def test_no_word_of_a_long_block_is_lost_while_it_grows(what: str) -> None:
    growing, drawn, rest = GrowingMarkdown(), "", ""
    for start in range(0, len(LONG[what]), 5_000):
        growing.add(LONG[what][start : start + 5_000])
        settled, rest = growing.read()
        drawn += settled
    head = {"a", "b"} if what == "a table" else set()  # which each piece has
    seen, whole = (
        [word for word in inspected(html).words.split() if word not in head]
        for html in (drawn + rest, markdown(LONG[what]))
    )
    assert seen == whole


def test_code_stays_code_and_a_numbered_list_its_numbers_in_pieces() -> None:
    growing = GrowingMarkdown()
    growing.add("```py\n" + "# one\n" * 2_000)
    settled, rest = growing.read()
    growing.add("# two\n```\n\n# Three\n\n" + "".join(f"{n}. item\n" for n in range(1, 1_100)))
    more, end = growing.read()
    assert (settled + rest + more).count("<h1>") == 1
    number = int(re.findall(r'<ol start="(\d+)">', end)[-1])
    assert "<li>item</li>\n" in end
    assert end.count("<li>") == 1_100 - number


def test_links_lead_where_they_say() -> None:
    html = markdown('[bank](https://evil.example/é?a=1&b=2 "My bank") <mailto:a@b.example>')
    assert inspected(html).links == ["https://evil.example/%C3%A9?a=1&b=2", "mailto:a@b.example"]
    assert "My bank" not in html


def test_a_picture_is_its_address_and_is_not_loaded() -> None:
    seen = inspected(markdown("![a *cat*](https://evil.example/?secret=1)"))
    assert seen.links == []
    assert seen.words == "[picture: a cat] https://evil.example/?secret=1\n"


def test_what_looks_like_html_is_text() -> None:
    assert inspected(markdown("a <b>c</b> &amp; d")).words == "a <b>c</b> & d\n"


def test_a_long_paragraph_is_text_so_that_brackets_cost_no_time() -> None:
    assert "<strong>" in markdown("**a** " * 1000)
    assert "<strong>" in markdown("[a] **a** " * BRACKETS)
    assert inspected(markdown("![" * 2 * BRACKETS + "**a**")).words.endswith("**a**\n")
    assert inspected(markdown("**a** " * 10_000)).words.startswith("**a** **a** ")


def test_no_control_characters_in_plain_text() -> None:
    assert plain("a\x1b[2J\x00\x9b\r\n\tb\ud83d") == "a[2J\n\tb\ufffd"


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


# In a real kernel ---------------------------------------------------------------------------------

SETUP = """
import asyncio, comm, sys
import rxchat
from rxchat import operators as ops
from rxchat.notebook import compare, show, watch
from rxchat.providers import openai
from rxchat.testing import Scripted
"""
WIDGET = "application/vnd.jupyter.widget-view+json"


class Notebook:
    """A front end: it runs cells, and keeps what each of them shows, as JupyterLab does."""

    def __init__(self, client: AsyncKernelClient) -> None:
        self.client = client
        self.outputs: list[dict[str, Any]] = []
        self.models: dict[str, dict[str, Any]] = {}
        self.updates: list[dict[str, Any]] = []
        self.idle: set[str] = set()

    def start(self, code: str) -> str:
        return self.client.execute(code)

    async def until(self, reached: Any) -> None:
        """Hear the kernel until it is so."""
        while not reached():
            self.hear(await self.client.get_iopub_msg(timeout=30))

    async def run(self, code: str) -> list[dict[str, Any]]:
        """What a cell shows while it runs."""
        self.outputs.clear()
        cell = self.start(code)
        await self.until(lambda: cell in self.idle)
        return self.outputs

    def hear(self, message: dict[str, Any]) -> None:
        kind, content = message["msg_type"], message["content"]
        if kind == "status" and content["execution_state"] == "idle":
            self.idle.add(message["parent_header"].get("msg_id", ""))
        elif kind == "update_display_data":
            for output in self.outputs:
                if output.get("transient") == content["transient"]:
                    output.update(content)
        elif kind in ("display_data", "execute_result", "error", "stream"):
            self.outputs.append({"kind": kind, **content})
        elif kind == "comm_open":
            self.models[content["comm_id"]] = content["data"]["state"]
        elif kind == "comm_msg" and content["comm_id"] in self.models:
            self.updates.append(content["data"]["state"])
            self.models[content["comm_id"]].update(content["data"]["state"])
        elif kind == "comm_close":
            del self.models[content["comm_id"]]

    @property
    def cells(self) -> dict[str, dict[str, Any]]:
        """The live answers, by title."""
        return {state["title"]: state for state in self.models.values() if "tail" in state}

    def press_stop(self, title: str = "", subshell: str | None = None) -> None:
        model = next(id_ for id_, it in self.models.items() if it.get("title") == title)
        data = {"method": "custom", "content": {"stop": True}}
        session = self.client.session
        message = session.msg("comm_msg", {"comm_id": model, "data": data})
        message["header"]["subshell_id"] = subshell
        self.client.shell_channel.send(message)

    async def subshell(self) -> str:
        message = self.client.session.msg("create_subshell_request", {})
        self.client.control_channel.send(message)
        while True:
            reply = await self.client.get_control_msg(timeout=30)
            if reply["msg_type"] == "create_subshell_reply":
                return str(reply["content"]["subshell_id"])


@pytest.fixture(scope="module")
def kernel() -> Iterator[KernelManager]:
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel()
    yield manager
    manager.shutdown_kernel(now=True)


@pytest.fixture
async def notebook(kernel: KernelManager) -> AsyncIterator[Notebook]:
    client = AsyncKernelClient()
    client.load_connection_info(kernel.get_connection_info())
    client.start_channels(hb=False, stdin=False)
    await client.wait_for_ready(timeout=30)
    notebook = Notebook(client)
    assert await notebook.run(SETUP) == []
    yield notebook
    left = await notebook.run("list(comm.get_comm_manager().comms)")
    client.stop_channels()
    assert left[0]["data"]["text/plain"] == "[]"
    assert notebook.models == {}


@pytest.fixture
async def server() -> AsyncIterator[LocalServer]:
    async with LocalServer() as server:
        server.reply = Reply("**Hel", HOLD, "lo**", " you")
        yield server


def asking(server: LocalServer) -> str:
    return f"openai.but(base_url='{server.url}/v1', key='sk-none')('Hi')"


def text_of(output: dict[str, Any]) -> str:
    return inspected(output["data"]["text/html"]).words


async def test_an_answer_grows_in_a_cell_and_stays_as_html(
    notebook: Notebook, server: LocalServer
) -> None:
    cell = notebook.start(f"answer = await show({asking(server)}, title='Sky'); print(answer)")
    await notebook.until(lambda: notebook.cells and "Hel" in notebook.cells["Sky"]["tail"])
    (output,) = notebook.outputs
    assert set(output["data"]) == {WIDGET, "text/plain"}
    assert notebook.cells["Sky"]["running"]
    (await server.exchange(0)).release()
    await notebook.until(lambda: cell in notebook.idle)
    output, printed = notebook.outputs
    assert set(output["data"]) == {"text/html", "text/plain"}
    assert "<strong>Hello</strong> you" in output["data"]["text/html"]
    assert output["data"]["text/plain"] == "**Hello** you"
    assert text_of(output).startswith("SkyHello you\n")
    assert printed["text"] == "**Hello** you\n"
    assert "sk-none" not in str(notebook.updates) + str(notebook.outputs)


async def test_only_what_has_changed_is_sent(notebook: Notebook) -> None:
    script = "'One\\n\\nTwo\\n\\nThr', 0.2, 'ee', 0.2, '\\n\\nFour', 0.2"
    await notebook.run(f"await show(Scripted({script})('Hi')); None")
    first, second, third = notebook.updates
    assert first["page0"] == "<p>One</p>\n"
    assert set(second) == {"tail", "foot"}
    assert third["page0"] == "<p>One</p>\n<p>Two</p>\n"
    assert not any("page1" in update for update in notebook.updates)


async def test_without_await_it_goes_on_in_the_background(
    notebook: Notebook, server: LocalServer
) -> None:
    (output,) = await notebook.run(f"showing = show({asking(server)})\nshowing")
    assert WIDGET in output["data"]
    exchange = await server.exchange(0)
    exchange.release()
    await notebook.until(lambda: "text/html" in notebook.outputs[0]["data"])
    assert text_of(output).startswith("Hello you\n")
    (later,) = await notebook.run("(await showing).text")
    assert later["data"]["text/plain"] == "'**Hello** you'"


async def test_the_answer_is_but_a_line_below_the_cell_that_shows_it(
    notebook: Notebook,
) -> None:
    output, line = await notebook.run("answer = await show(Scripted('Hello')('Hi')); answer")
    assert text_of(output).startswith("Hello\n")
    assert line["data"] == {"text/plain": "<answer: 5 characters, stop>"}
    (later,) = await notebook.run("answer")
    assert later["kind"] == "execute_result"
    assert "Hello" in str(later["data"])


@pytest.mark.parametrize("over", ["shell", "subshell"])
async def test_the_button_hangs_up_while_a_cell_waits(
    notebook: Notebook, server: LocalServer, over: str
) -> None:
    subshell = await notebook.subshell() if over == "subshell" else None
    cell = notebook.start(f"answer = await show({asking(server)}); answer.text, answer.finish")
    await notebook.until(lambda: notebook.cells and "Hel" in notebook.cells[""]["tail"])
    notebook.press_stop(subshell=subshell)
    assert await (await server.exchange(0)).ended == "hung up"
    await notebook.until(lambda: cell in notebook.idle)
    output, result = notebook.outputs
    assert "stopped" in text_of(output)
    assert result["data"]["text/plain"] == "('**Hel', None)"


async def test_the_button_hangs_up_in_the_background(
    notebook: Notebook, server: LocalServer
) -> None:
    await notebook.run(f"showing = show({asking(server)})")
    await notebook.until(lambda: "Hel" in notebook.cells[""]["tail"])
    notebook.press_stop()
    assert await (await server.exchange(0)).ended == "hung up"
    await notebook.until(lambda: "text/html" in notebook.outputs[0]["data"])
    assert "stopped" in text_of(notebook.outputs[0])


async def test_an_interrupted_cell_hangs_up(
    notebook: Notebook, server: LocalServer, kernel: KernelManager
) -> None:
    cell = notebook.start(f"await show({asking(server)})")
    await notebook.until(lambda: notebook.cells and "Hel" in notebook.cells[""]["tail"])
    kernel.interrupt_kernel()
    assert await (await server.exchange(0)).ended == "hung up"
    await notebook.until(lambda: cell in notebook.idle)
    output, error = notebook.outputs
    assert "stopped" in text_of(output)
    assert error["ename"] == "CancelledError"


async def test_a_cell_is_interrupted_also_while_nothing_happens(
    notebook: Notebook, kernel: KernelManager
) -> None:
    cell = notebook.start("say = Scripted('Hel', 3600.0)\nawait show(say('Hi'))")
    await notebook.until(lambda: notebook.cells and "Hel" in notebook.cells[""]["tail"])
    kernel.interrupt_kernel()
    await notebook.until(lambda: cell in notebook.idle)
    (result,) = await notebook.run("say.live, say.hung_up")
    assert result["data"]["text/plain"] == "(0, 1)"


async def test_a_failure_is_drawn_and_raised(notebook: Notebook, server: LocalServer) -> None:
    server.reply = Reply("Hel", finish=False)
    output, error = await notebook.run(f"await show({asking(server)})")
    assert "Truncated" in text_of(output)
    assert output["data"]["text/plain"].startswith("Hel\n\nTruncated: ")
    assert error["ename"] == "Truncated"


async def test_a_failure_in_the_background_is_drawn_and_not_reported(notebook: Notebook) -> None:
    outputs = await notebook.run(
        "show(Scripted.failing('429')('Hi'))\nawait asyncio.sleep(0.01)\nimport gc; gc.collect(); None"
    )
    (output,) = outputs
    assert "RateLimited" in text_of(output)


async def test_answers_side_by_side_each_with_a_button(
    notebook: Notebook, server: LocalServer
) -> None:
    one, other = asking(server), "Scripted('Two', rxchat.errors.RateLimited('no'))('Hi')"
    cell = notebook.start(
        f"all = await compare({{'a': {one}, 'b': {other}, 'c': {one}}}, title='T')"
    )
    ready = ["a", "b", "c"]
    await notebook.until(
        lambda: (
            set(ready) <= set(notebook.cells)
            and all("Hel" in notebook.cells[label]["tail"] for label in "ac")
            and not notebook.cells["b"]["running"]
        )
    )
    assert "RateLimited" in notebook.cells["b"]["foot"]
    assert any("<svg" in str(update.get("value")) for update in notebook.updates)
    notebook.press_stop("a")
    await notebook.until(lambda: not notebook.cells["a"]["running"])
    assert notebook.cells["c"]["running"]
    for number in range(2):
        (await server.exchange(number)).release()
    await notebook.until(lambda: cell in notebook.idle)
    output, drawn = notebook.outputs
    words = inspected(output["data"]["text/html"]).words
    picture = drawn["data"]["image/svg+xml"]
    assert "Hello you" in words
    assert "stopped" in words
    assert "RateLimited no" in words
    assert all(f">{label}</text>" in picture for label in "abc")
    assert "hung up" in picture
    assert "still running" not in picture
    assert "a ." in drawn["data"]["text/plain"]
    again = await notebook.run(f"await compare({{'a': {other}}})")
    assert again[2]["data"] == {"text/plain": "{'a': rxchat.errors.RateLimited('no')}"}
    (result,) = await notebook.run("{label: type(it).__name__ for label, it in all.items()}")
    assert result["data"]["text/plain"] == "{'a': 'Answer', 'b': 'RateLimited', 'c': 'Answer'}"


async def test_titles_and_labels_may_be_any_text(notebook: Notebook) -> None:
    say, text = "Scripted('Hi')('Hi')", r"'<b>\x00\ud83d\u202e'"
    output, *_ = await notebook.run(f"await show({say}, title={text})")
    assert text_of(output).startswith("<b>Hi\n")
    output, *_ = await notebook.run(f"await compare({{{text}: {say}}}, title={text})")
    assert text_of(output).startswith("<b><b>Hi\n")


async def test_a_timeline_is_drawn_inline(notebook: Notebook) -> None:
    (output,) = await notebook.run(
        "with watch() as run:\n    await Scripted('Hi')('Hi')\nshow(run)"
    )
    assert "<svg" in output["data"]["text/html"]
    assert output["data"]["text/plain"].startswith("scripted")
