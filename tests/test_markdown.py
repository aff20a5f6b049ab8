"""Markdown as it comes: code apart from text, whole blocks, rows of tables."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Iterable
from typing import Any

import pytest
import reactivex
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from cutting import cuts, one_by_one, run
from rxchat.events import Finish, Reasoning, Reset, Text, ToolCall
from rxchat.operators.texts.markdown import (
    Block,
    Code,
    Prose,
    TableHead,
    TableRow,
    code_blocks,
    markdown_blocks,
    tables,
)
from rxchat.operators.texts.markdown_lines import NESTING
from rxchat.operators.texts.markdown_readers import BlockReader, CodeReader, TableReader

PEER = MarkdownIt("commonmark", {"maxNesting": 1000}).enable("table")

_KINDS = {
    "heading_open": "heading",
    "paragraph_open": "paragraph",
    "bullet_list_open": "list",
    "ordered_list_open": "list",
    "blockquote_open": "quote",
    "fence": "code",
    "code_block": "code",
    "table_open": "table",
    "hr": "rule",
    "html_block": "html",
}


def blocks_of_the_peer(text: str) -> list[tuple[Any, ...]]:
    lines = re.findall(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+", text)
    found = []
    for token in PEER.parse(text):
        if token.level == 0 and token.nesting >= 0:
            source = "".join(lines[slice(*token.map)])
            level = int(token.tag[1]) if token.type == "heading_open" else 0
            found.append((_KINDS[token.type], trimmed(source), level, first_word(token.info)))
    return found


def code_of_the_peer(text: str) -> list[tuple[str, str]]:
    return [(first_word(t.info), t.content) for t in PEER.parse(text) if t.type == "fence"]


def tables_of_the_peer(text: str) -> list[tuple[str, ...]]:
    rows, row = [], None
    for token in PEER.parse(text):
        if token.type == "tr_open":
            row = []
        elif token.type == "tr_close":
            rows.append(tuple(row))
            row = None
        elif token.type == "inline" and row is not None:
            row.append(token.content)
    return rows


def first_word(info: str) -> str:
    return (info.split() or [""])[0]


def trimmed(source: str) -> str:
    """Without the blank lines after it: to whom they belong is a matter of taste."""
    lines = re.findall(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+", source)
    while lines and not lines[-1].strip(" \t\r\n"):
        lines.pop()
    return "".join(lines).rstrip("\r\n")


def blocks(text: str) -> list[tuple[Any, ...]]:
    found = run(markdown_blocks(), [text])
    assert "".join(block.text for block in found) == text
    return [(b.kind, trimmed(b.text), b.level, b.language) for b in found if b.kind != "blank"]


def code(text: str) -> list[tuple[str, str]]:
    return [
        (part[0].language, "".join(p.text for p in part))
        for part in parts(run(code_blocks(), [text]))
        if part[0].__class__ is Code
    ]


def parts(pieces: Iterable[Prose | Code]) -> list[list[Any]]:
    """The pieces of each block, and of what is between."""
    found: list[list[Any]] = []
    for piece in pieces:
        last = found[-1][-1] if found else None
        if type(last) is not type(piece) or (isinstance(last, Code) and last.done):
            found.append([])
        found[-1].append(piece)
    return found


def rows(text: str) -> list[tuple[str, ...]]:
    return [row.cells for row in run(tables(), [text])]


PIECES = [
    "- ", "> ", "1. ", "2) ", "* ", ">", "```", "~~~", "````", "py", "\n", "\n\n", "  ", "    ",
    "# ", "===", "text", "`x`", "<div>", "</div>", "<!-- ", "-->", "<b>", "\t", "+ ",
    "\na | b\n- | :-:\n", "\n| a | b |\n|---|:-:|\n", "\na | b\n:-|-\n1 |", "| 1 | \\| |\n",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES), max_size=14).map(lambda pieces: "".join([*pieces, "\n"]))
AWKWARD = [
    "\r\n",
    "\r",
    ">>> x",
    "12.5",
    "e\u0301",
    "\u2028",
    "\U0001f469\u200d\U0001f467",
    "---",
    "``",
]
ANY_TEXT = st.lists(st.sampled_from(PIECES + AWKWARD), max_size=14).map("".join)

ANSWER = """\
# Plan

Do `this`:

1. First
   ```python title="a.py"
   print("```")

   ~~~
   ```
2. Then

   > ~~~~sh
   > ls
   > ~~~
   > ~~~~
   lazily not

Name | Price
-----|-----:
a \\| b | 1
c

<details>

```
open
```
"""


def is_disputed(text: str) -> bool:
    """Where markdown-it is not of the standard's opinion, or GitHub is not of markdown-it's.

    markdown-it ends a list after an empty item and two blank lines, takes a quote's mark that is
    indented as code for one, and makes a table's head of a line that begins another block.
    """
    empty_item = re.search(r"(?m)(?:[-+*]|\d[.)])[ \t]*\n\s*\n\s*\n", text)
    indented = ">" in text and re.search(r"\t| {4}", text)
    other_block = re.search(r"(?m)^(?=.*\|)[ \t>]*(?:[-+*#~`>]|\d[.)])", text)
    return bool(empty_item or indented or other_block)


@settings(max_examples=400)
@given(TEXTS)
def test_blocks_code_and_tables_are_those_of_markdown_it(text: str) -> None:
    assume(not is_disputed(text))
    assert blocks(text) == blocks_of_the_peer(text)
    assert code(text) == code_of_the_peer(text)
    assert rows(text) == tables_of_the_peer(text)


def test_an_answer_reads_as_markdown_it_reads_it() -> None:
    assert blocks(ANSWER) == blocks_of_the_peer(ANSWER)
    assert code(ANSWER) == code_of_the_peer(ANSWER)
    assert rows(ANSWER) == tables_of_the_peer(ANSWER)


def joined(pieces: Iterable[Prose | Code]) -> list[Any]:
    return [
        (
            type(p[0]),
            getattr(p[0], "language", ""),
            "".join(x.text for x in p),
            getattr(p[-1], "done", None),
        )
        for p in parts(pieces)
    ]


@given(st.data())
def test_the_answer_is_the_same_at_any_cut(data: st.DataObject) -> None:
    text = data.draw(st.just(ANSWER) | ANY_TEXT)
    for pieces in (one_by_one(text), data.draw(cuts(text))):
        assert joined(run(code_blocks(), pieces)) == joined(run(code_blocks(), [text]))
        assert run(markdown_blocks(), pieces) == run(markdown_blocks(), [text])
        assert run(tables(), pieces) == run(tables(), [text])


@given(ANY_TEXT)
def test_the_sources_of_all_blocks_are_the_text(text: str) -> None:
    assert "".join(block.text for block in run(markdown_blocks(), [text])) == text


def test_text_and_code_come_at_once_unless_they_may_be_a_fence() -> None:
    reader = CodeReader()
    pieces = ["Hel", "lo\n", "``", "`py", "\n", "x", " = 1", "\n``", "x\n", "```", "\n"]
    assert [[*reader.feed(piece)] for piece in pieces] == [
        [Prose("Hel")], [Prose("lo\n")], [], [], [Code("", "py")], [Code("x", "py")],
        [Code(" = 1", "py")], [Code("\n", "py")], [Code("``x\n", "py")], [], [Code("", "py", done=True)],
    ]  # fmt: skip


def test_a_row_comes_with_its_line_and_a_paragraph_with_the_line_after_it() -> None:
    table, block = TableReader(), BlockReader()
    counts = [len([*table.feed(piece)]) for piece in ["a|b\n", "-|-", "\n", "1|2", "\n"]]
    assert counts == [0, 0, 1, 0, 1]
    kinds = [[b.kind for b in block.feed(p)] for p in ["# Hi", "\n", "text\n", "\n", "---\n"]]
    assert kinds == [[], ["heading"], [], ["paragraph"], ["blank", "rule"]]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("```py\nx\n```\n", [("py", "x\n")]),
        ("~~~\n```\n~~~", [("", "```\n")]),
        ("````c++ x=1\n```\n`````\n", [("c++", "```\n")]),
        ("   ```\n    x\n  y\n ```\n", [("", " x\ny\n")]),
        ("    ```\n", []),
        ("``` a`b\n", []),
        ("- ```sh\n  ls\n  ```\n", [("sh", "ls\n")]),
        ("> ```\n> a\nb\n", [("", "a\n")]),
        ("<pre>\n```\n</pre>\n", []),
    ],
)
def test_fences_are_those_of_commonmark(text: str, found: list[tuple[str, str]]) -> None:
    assert code(text) == found


def test_a_block_that_the_end_cuts_off_is_never_done_but_one_whose_list_ends_is() -> None:
    assert [piece.done for piece in run(code_blocks(), ["```\nx"])] == [False, False]
    *_, done, prose = run(code_blocks(), ["- ```\n  x\n", "y"])
    assert (done, prose) == (Code("", "", done=True), Prose("y"))


def test_rows_are_as_wide_as_their_head() -> None:
    head, first, second = run(tables(), ["a | b\n:-: | :-\n`x \\| y` | 2 | 3\n4"])
    assert head == TableHead(("a", "b"), ("center", "left"))
    assert first == TableRow(("`x | y`", "2"), head)
    assert second.by_name() == {"a": "4", "b": ""}


def test_events_are_read_for_the_text_of_the_first_answer() -> None:
    items = [
        Reasoning("# no"),
        Text("# a"),
        Text("# b", choice=1),
        ToolCall(name="f"),
        Text("c"),
        Finish(),
    ]
    assert run(markdown_blocks(), items) == [Block("heading", "# a", 1), Block("paragraph", "c")]


def test_after_a_restart_it_begins_anew() -> None:
    items = [Text("```\nold"), Reset("restart"), Text("new"), Finish()]
    assert run(code_blocks(), items)[-1] == Prose("new")
    assert run(markdown_blocks(), items) == [Block("paragraph", "new")]


@pytest.mark.parametrize(("operator", "left"), [(code_blocks, ["``"]), (markdown_blocks, [])])
def test_an_error_leaves_out_a_block_that_it_cuts_but_no_text(
    operator: Any, left: list[str]
) -> None:
    seen: list[Any] = []
    failing = reactivex.concat(reactivex.of("``"), reactivex.throw(ValueError()))
    failing.pipe(operator()).subscribe(seen.append, lambda error: None)
    assert [value.text for value in seen] == left


def test_what_is_nested_too_deep_is_text() -> None:
    text = "> " * (NESTING + 5) + "```\nx\n"
    assert code(text) == []


@pytest.mark.parametrize("reader", [CodeReader, BlockReader, TableReader])
def test_memory_is_bounded_by_the_longest_block(reader: Any) -> None:
    it = reader()
    tracemalloc.start()
    try:
        for _ in range(2000):
            for piece in (ANSWER, "\n\n"):
                for _ in it.feed(piece):
                    pass
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
