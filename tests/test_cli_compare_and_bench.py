"""`compare` and `bench`: several providers, live at a terminal and plain in a pipe."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator

import pytest

from at_a_terminal import CTRL_C, MAIN, OF_RICH, WITHOUT_RICH, piped, terminal
from rxchat.testing import HOLD, LocalServer, Reply

DEAD = "vllm:gone@http://127.0.0.1:1/v1"


@pytest.fixture
async def left() -> AsyncGenerator[LocalServer]:
    async with LocalServer(Reply("Left **says", HOLD, "** this.")) as server:
        yield server


@pytest.fixture
async def right() -> AsyncGenerator[LocalServer]:
    async with LocalServer(Reply("Right says", HOLD, " that.")) as server:
        yield server


def both(left: LocalServer, right: LocalServer) -> tuple[str, str]:
    return f"ollama:one@{left.url}", f"vllm:two@{right.url}/v1"


async def let_go(*servers: LocalServer) -> None:
    for server in servers:
        (await server.exchange(len(server.exchanges) - 1 if server.exchanges else 0)).release()


async def test_columns_are_live_next_to_each_other(left: LocalServer, right: LocalServer) -> None:
    async with terminal("compare", "Who?", *both(left, right)) as seen:
        await seen.until("Left **says")
        await seen.until("Right says")
        await let_go(left, right)
        assert await seen.ended() == 0
    for words in ("ollama:one", "vllm:two", "│ Left says this. ", "││ Right says that. "):
        assert words in seen.left
    assert seen.left.count("first after") == 2


async def test_one_that_fails_leaves_the_others(left: LocalServer) -> None:
    async with terminal("compare", "Who?", f"ollama:one@{left.url}", DEAD) as seen:
        await seen.until("ConnectFailed")
        await let_go(left)
        assert await seen.ended() == 1
    assert "Left says this." in seen.left
    assert "ConnectFailed" in seen.left


async def test_control_c_hangs_up_on_all_and_keeps_what_they_said(
    left: LocalServer, right: LocalServer
) -> None:
    async with terminal("compare", "Who?", *both(left, right)) as seen:
        await seen.until("Right says")
        seen.type(CTRL_C)
        assert await seen.ended() == 130
    assert await left.exchanges[0].ended == "hung up"
    assert await right.exchanges[0].ended == "hung up"
    assert "Right says" in seen.left
    assert "Traceback" not in seen.words


@pytest.mark.parametrize(("main", "columns"), [(WITHOUT_RICH, 80), (MAIN, 40)])
async def test_without_room_or_rich_they_follow_each_other(
    left: LocalServer, right: LocalServer, main: str, columns: int
) -> None:
    left.reply, right.reply = Reply("Left\x1b[2J"), Reply("Right", HOLD, ".")
    asked = ("compare", "Who?", *both(left, right)[::-1])
    async with terminal(*asked, main=main, columns=columns) as seen:
        assert await (await left.exchange(0)).ended == "complete"
        await let_go(right)
        assert await seen.ended() == 0
    assert "\x1b" not in seen.screen
    assert seen.words.index("--- vllm:two (first") < seen.words.index("Right.\n")
    assert (
        seen.words.index("Right.")
        < seen.words.index("--- ollama:one")
        < seen.words.index("Left[2J")
    )


async def test_compared_as_json_each_line_says_whose_it_is(left: LocalServer) -> None:
    left.reply = Reply("Left")
    spelt = f"ollama:one@{left.url}"
    code, out, err = await piped("compare", "Who?", spelt, spelt, DEAD, "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    texts = [(line["label"], line["text"]) for line in lines if line["type"] == "text"]
    assert sorted(texts) == [("ollama:one", "Left"), ("ollama:one #2", "Left")]
    errors = [(line["label"], line["error"]) for line in lines if line["type"] == "error"]
    assert (code, errors) == (1, [("vllm:gone", "ConnectFailed")])
    assert "vllm: cannot connect" in err


async def test_nothing_is_asked_if_one_cannot_be(left: LocalServer) -> None:
    code, out, err = await piped("compare", "Who?", f"ollama@{left.url}", "openai")
    assert (code, out, left.exchanges) == (2, "", [])
    assert "OPENAI_API_KEY" in err


@pytest.mark.parametrize("question", ["openai", "openai:gpt-5", "ollama@http://127.0.0.1:1"])
async def test_a_provider_in_the_place_of_the_question_is_told(question: str) -> None:
    code, out, err = await piped("compare", question, "anthropic")
    assert (code, out) == (2, "")
    assert f"{question!r} is a provider: say the question first" in err


async def test_a_bench_shows_a_bar_and_then_a_table(left: LocalServer, right: LocalServer) -> None:
    left.reply, right.reply = Reply("One", " two"), Reply("One", HOLD, " two")
    asked = ("bench", *both(left, right), "--runs", "2")
    async with terminal(*asked, columns=120) as seen:
        await seen.until("run 1 of 2: vllm:two")
        (await right.exchange(0)).release()
        await seen.until("run 2 of 2: vllm:two")
        (await right.exchange(1)).release()
        assert await seen.ended() == 0
    table = OF_RICH.sub("", seen.screen[seen.screen.rindex("provider") :])
    rows = [[cell.strip() for cell in line.split("│")] for line in table.splitlines()[2:]]
    assert [row[:3] for row in rows] == [["ollama:one", "2", "0"], ["vllm:two", "2", "0"]]
    assert all(
        0 <= float(best) <= float(p95) <= float(most) for _, _, _, best, _, p95, most, *_ in rows
    )


async def test_a_bench_in_a_pipe_tells_what_failed(left: LocalServer) -> None:
    left.reply = Reply("One", " two")
    left.plan(Reply.status(503, "busy"))
    code, out, err = await piped(
        "bench", f"ollama:one@{left.url}", "--runs", "3", "--question", "Hm?"
    )
    head, row = out.splitlines()
    assert head.split()[:3] == ["provider", "runs", "failed"]
    assert (code, row.split()[:3]) == (0, ["ollama:one", "3", "1"])
    assert "rxchat: ollama:one: Overloaded: ollama: busy" in err
    assert left.exchanges[0].json["messages"][-1]["content"] == "Hm?"


async def test_a_bench_of_somebody_who_never_speaks_fails() -> None:
    code, out, _ = await piped("bench", DEAD, "--runs", "1")
    assert (code, out.splitlines()[1].split()) == (1, ["vllm:gone", "1", "1", *"------"])


async def test_a_bench_as_json_is_a_row_per_run(left: LocalServer) -> None:
    left.reply = Reply("One", " two")
    code, out, _ = await piped("bench", f"ollama:one@{left.url}", DEAD, "--runs", "2", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert (code, [row["label"] for row in rows]) == (1, ["ollama:one", "vllm:gone"] * 2)
    assert [row["outcome"] for row in rows] == ["completed", "failed"] * 2
    assert rows[0]["chars"] == 7


async def test_control_c_in_a_bench_keeps_what_was_measured(left: LocalServer) -> None:
    left.reply = Reply("One", then="stall")
    left.plan(Reply("One"))
    async with terminal("bench", f"ollama:one@{left.url}") as seen:
        await (await left.exchange(1)).holding()
        seen.type(CTRL_C)
        assert await seen.ended() == 130
    assert await left.exchanges[1].ended == "hung up"
    assert seen.words[seen.words.rindex("ollama:one") :].split()[2] == "1"
    assert "Traceback" not in seen.words


@pytest.mark.parametrize("runs", ["0", "x"])
async def test_a_bench_runs_at_least_once(runs: str) -> None:
    code, _, err = await piped("bench", DEAD, "--runs", runs)
    assert (code, "--runs" in err) == (2, True)
