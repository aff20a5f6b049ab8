"""An answer at a real terminal: Markdown as it grows, and nothing in it that a terminal obeys."""

from __future__ import annotations

import io
import re
from collections.abc import AsyncGenerator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from at_a_terminal import CTRL_C, MAIN, OF_RICH, WITHOUT_RICH, piped, terminal
from rxchat.cli.markdown import as_markdown, whole_blocks
from rxchat.cli.painting import Shown
from rxchat.cli.untrusted import clean
from rxchat.events import Reasoning
from rxchat.testing import HOLD, LocalServer, Reply


@pytest.fixture
async def server() -> AsyncGenerator[LocalServer]:
    async with LocalServer(Reply("Hel", "lo")) as server:
        yield server


def provider(server: LocalServer) -> tuple[str, str]:
    return "--provider", f"ollama@{server.url}"


async def test_markdown_is_drawn_while_it_grows(server: LocalServer) -> None:
    server.reply = Reply("# Title\n\nSome **bold** wor", HOLD, "ds.\n")
    async with terminal("Hi", *provider(server)) as seen:
        await seen.until("Title")
        await seen.until("bold")
        (await server.exchange(0)).release()
        assert await seen.ended() == 0
    assert "Some bold words." in seen.left
    assert "**" not in seen.words


@pytest.mark.parametrize(
    ("main", "more"), [(WITHOUT_RICH, ()), (MAIN, ("--plain",)), (MAIN, ("TERM=dumb",))]
)
async def test_without_rich_words_arrive_one_by_one(
    server: LocalServer, main: str, more: tuple[str, ...]
) -> None:
    server.reply = Reply("**Hel", HOLD, "lo**")
    variables = dict(word.split("=") for word in more if "=" in word)
    options = [word for word in more if "=" not in word]
    async with terminal("Hi", *provider(server), *options, main=main, **variables) as seen:
        await seen.until("**Hel")
        (await server.exchange(0)).release()
        assert await seen.ended() == 0
    assert seen.screen == "**Hello**\r\n"


HOSTILE = (
    "a\x1b]0;pwned\x07b \x1b[2J\x1b[9;9H \x9b31mred \x9d0;title\x9c \x1bc \x08\x08 \x7f "
    "&#27;[2J &#x9b;2J [click](http://evil.example/\x1b]8;;x) "
    "![see](http://evil.example/y) <b>html</b> \x1b_Gpixels\x1b\\ \rover\n"
)


@pytest.mark.parametrize("main", [MAIN, WITHOUT_RICH], ids=["rich", "plain"])
async def test_no_escape_sequence_of_an_answer_reaches_the_terminal(
    server: LocalServer, main: str
) -> None:
    server.reply = Reply(*HOSTILE, "\n\n`", *HOSTILE.strip(), "`\n\n```\n", *HOSTILE, "```\n\nok")
    async with terminal("Hi", *provider(server), main=main) as seen:
        assert await seen.ended() == 0
    rest = OF_RICH.sub("", seen.screen).replace("\r", "")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", rest)
    assert "pwned" in rest
    assert "<b>html</b>" in rest


@pytest.mark.parametrize("how", [(), ("--json",)], ids=["text", "json"])
async def test_nor_does_one_get_into_a_pipe(server: LocalServer, how: tuple[str, ...]) -> None:
    server.reply = Reply(*HOSTILE)
    code, out, err = await piped("Hi", *provider(server), *how)
    assert (code, err) == (0, "")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x80-\x9f]", out)


async def test_nor_in_an_error(server: LocalServer) -> None:
    server.reply = Reply.status(400, "no \x1b]0;pwned\x07 such \x9b2J thing")
    async with terminal("Hi", *provider(server)) as seen:
        assert await seen.ended() == 1
    assert "pwned" in seen.words
    assert not re.search(r"[\x1b\x07\x80-\x9f]", OF_RICH.sub("", seen.screen))


async def test_html_is_text_and_links_show_where_they_lead(server: LocalServer) -> None:
    server.reply = Reply("Use a <div> here.\n\n<p>block</p>\n\n[click](http://evil.example/)\n")
    async with terminal("Hi", *provider(server)) as seen:
        assert await seen.ended() == 0
    for words in ("Use a <div> here.", "<p>block</p>", "click (http://evil.example/)"):
        assert words in seen.words


@given(st.text(st.characters() | st.sampled_from("\x1b\x9b\x07&#;[]()`*_<>!\n"), max_size=200))
def test_whatever_is_drawn_has_no_sequences_but_richs_own(text: str) -> None:
    out = io.StringIO()
    Console(file=out, force_terminal=True, width=60).print(Shown(as_markdown(text)))
    drawn = OF_RICH.sub("", out.getvalue())
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", drawn)


@given(st.text(), st.integers(0))
def test_cleaning_is_the_same_at_any_cut(text: str, cut: int) -> None:
    assert clean(text[:cut]) + clean(text[cut:]) == clean(text)


BLOCKS = "# A\n\none\ntwo\n\n- x\n\n- y\n\n  z\n\n1. p\n\n   ```\n   q\n\n   ```\n\n```\na\n\n~~~\n```\n\nend"


def test_a_block_that_is_whole_stays_so_whatever_comes() -> None:
    at_each = [whole_blocks(BLOCKS[:length]) for length in range(len(BLOCKS) + 1)]
    assert at_each == sorted(at_each)
    assert BLOCKS[at_each[-1] :] == "end"
    assert [BLOCKS[at : at + 3] for at in sorted(set(at_each))] == ["# A", "one", "```", "end"]


async def test_an_answer_longer_than_the_screen_is_all_there(server: LocalServer) -> None:
    server.reply = Reply(*(f"Paragraph {n}.\n\n" for n in range(100)), "- last\n" * 50)
    async with terminal("Hi", *provider(server)) as seen:
        assert await seen.ended() == 0
    after = 0
    for number in range(100):
        after = seen.words.index(f"Paragraph {number}.", after)
    assert seen.words[after:].count("• last") >= 50


async def test_thoughts_are_in_sight_until_the_answer_begins(server: LocalServer) -> None:
    server.reply = Reply(Reasoning("let me see"), HOLD, "Yes.")
    async with terminal("Hi", *provider(server)) as seen:
        await seen.until("let me see")
        (await server.exchange(0)).release()
        assert await seen.ended() == 0
        await seen.until("Yes.")
    assert "let me see" not in seen.left


@pytest.mark.parametrize("main", [MAIN, WITHOUT_RICH], ids=["rich", "plain"])
async def test_control_c_hangs_up_keeps_what_was_said_and_gives_the_cursor_back(
    server: LocalServer, main: str
) -> None:
    server.reply = Reply("Hello", then="stall")
    async with terminal("Hi", *provider(server), main=main) as seen:
        await seen.until("Hello")
        seen.type(CTRL_C)
        assert await seen.ended() == 130
    assert await server.exchanges[0].ended == "hung up"
    assert seen.screen.count("\x1b[?25l") == seen.screen.count("\x1b[?25h")
    assert "Traceback" not in seen.screen
    assert "Hello" in seen.left
