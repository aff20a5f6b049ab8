"""`python -m rxchat chat`, typed at a real terminal."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from at_a_terminal import CTRL_C, CTRL_D, MAIN, UP, WITHOUT_RICH, Terminal, piped, terminal
from rxchat import Chat
from rxchat.providers import ollama
from rxchat.testing import LocalServer, Reply


@pytest.fixture
async def server() -> AsyncGenerator[LocalServer]:
    async with LocalServer(Reply("Hel", "lo")) as server:
        yield server


def chat(server: LocalServer) -> tuple[str, ...]:
    return "chat", "--provider", "ollama", "--base-url", server.url


async def say(seen: Terminal, line: str) -> str:
    """Type a line at the prompt, and give what comes before the next prompt."""
    seen.type(f"{line}\n")
    return await seen.until("> ")


def asked(server: LocalServer, number: int = -1) -> list[str]:
    return [message["content"] for message in server.exchanges[number].json["messages"]]


async def test_a_conversation_is_remembered(server: LocalServer) -> None:
    async with terminal(*chat(server), "--system", "Be brief.") as seen:
        await seen.until("you> ")
        assert "Hello" in await say(seen, "Hi")
        await say(seen, "Why?")
        assert "user: Hi\r\nassistant: Hello" in await say(seen, "/history")
        seen.type(CTRL_D)
        assert await seen.ended() == 0
    assert asked(server) == ["Be brief.", "Hi", "Hello", "Why?"]


@pytest.mark.parametrize("main", [MAIN, WITHOUT_RICH], ids=["rich", "plain"])
async def test_control_c_hangs_up_the_answer_and_not_the_program(
    server: LocalServer, main: str
) -> None:
    server.plan(Reply("Endless", then="stall"))
    async with terminal(*chat(server), main=main) as seen:
        await seen.until("you> ")
        seen.type("Hi\n")
        await seen.until("Endless")
        seen.type(CTRL_C)
        await seen.until("(hung up, and not remembered)")
        await seen.until("you> ")
        assert await server.exchanges[0].ended == "hung up"
        assert "Hello" in await say(seen, "Again")
        seen.type("/quit\n")
        assert await seen.ended() == 0
    assert asked(server) == ["Again"]
    assert seen.screen.count("\x1b[?25l") == seen.screen.count("\x1b[?25h")


async def test_control_c_at_the_prompt_gives_up_the_line(server: LocalServer) -> None:
    async with terminal(*chat(server)) as seen:
        await seen.until("you> ")
        seen.type("nonsense")
        await seen.until("nonsense")
        # A signal between a key and readline's next look at it is noticed with the next key.
        seen.type(f"{CTRL_C}\n")
        await seen.until("you> ")
        assert "Hello" in await say(seen, "Hi")
        seen.type(CTRL_D)
        assert await seen.ended() == 0
    assert [asked(server, number) for number in range(len(server.exchanges))] == [["Hi"]]


async def test_lines_are_edited_and_come_back(server: LocalServer) -> None:
    async with terminal(*chat(server)) as seen:
        await seen.until("you> ")
        await say(seen, "Hx\x7fi")
        await say(seen, f"{UP}!")
        assert "user: Hi!" in await say(seen, "/hist\t")
        seen.type(CTRL_D)
        assert await seen.ended() == 0
    assert asked(server) == ["Hi", "Hello", "Hi!"]


async def test_an_error_is_told_and_the_chat_goes_on(server: LocalServer) -> None:
    server.plan(Reply.status(500, "out of \x1b[2Jorder"))
    async with terminal(*chat(server)) as seen:
        await seen.until("you> ")
        assert "ServerError: ollama: out of [2Jorder" in (await say(seen, "Hi")).replace("\r\n", "")
        assert "Hello" in await say(seen, "Hi")
        assert "there is no /nonsense" in await say(seen, "/nonsense")
        await say(seen, "//is this a path?")
    assert asked(server) == ["Hi", "Hello", "/is this a path?"]


async def test_save_load_and_fork(server: LocalServer, tmp_path: Path) -> None:
    saved, mine = tmp_path / "chat.jsonl", tmp_path / "mine.txt"
    mine.write_text("precious")
    async with terminal(*chat(server), "--system", "Be brief.") as seen:
        await seen.until("you> ")
        await say(seen, "Hi")
        assert "saved 2 messages" in await say(seen, f"/save {saved}")
        assert "is there already" in await say(seen, f"/save {mine}")
        assert "cannot" not in await say(seen, f"/save {saved}")
        assert "is no line of a saved chat" in await say(seen, f"/load {mine}")
        assert "No such file" in await say(seen, f"/load {tmp_path / 'nothing'}")
        assert "other: ollama:llama3.2, 2 messages" in await say(seen, "/fork other")
        await say(seen, "Only there")
        assert "main: ollama:llama3.2, 2 messages" in await say(seen, "/go main")
        assert "one of main, other" in await say(seen, "/go nowhere")
        await say(seen, "Only here")
    assert mine.read_text() == "precious"
    assert asked(server, 1) == ["Be brief.", "Hi", "Hello", "Only there"]
    assert asked(server, 2) == ["Be brief.", "Hi", "Hello", "Only here"]
    assert [message.text for message in Chat.load(saved, ollama).history] == ["Hi", "Hello"]

    told = await piped(*chat(server), "--load", str(saved), stdin="And?\n")
    assert told == (0, "Hello\n", "loaded 2 messages\n")
    assert asked(server) == ["Be brief.", "Hi", "Hello", "And?"]
    code, _, err = await piped(*chat(server), "--load", str(mine))
    assert (code, "is no line of a saved chat" in err) == (2, True)


async def test_the_model_is_switched_and_no_key_goes_to_the_old_address(
    server: LocalServer,
) -> None:
    async with LocalServer(Reply("Other")) as another, terminal(*chat(server)) as seen:
        await seen.until("you> ")
        await say(seen, "/model llama3:8b")
        await say(seen, "Hi")
        assert "OPENAI_API_KEY" in await say(seen, "/model openai")
        assert "ollama:llama3:8b" in await say(seen, "/model")
        assert "vllm:big" in await say(seen, f"/model vllm:big@{another.url}/v1")
        assert "Other" in await say(seen, "Why?")
        sent = another.exchanges[0].json
    assert server.exchanges[0].json["model"] == "llama3:8b"
    assert (sent["model"], [m["content"] for m in sent["messages"]]) == (
        "big",
        ["Hi", "Hello", "Why?"],
    )


async def test_questions_in_a_pipe_are_answered_in_turn(server: LocalServer) -> None:
    server.plan(Reply("One"), Reply.status(400, "no"), Reply("Three"))
    code, out, err = await piped(*chat(server), stdin="1\n2\n\n3\n")
    assert (code, out) == (1, "One\nThree\n")
    assert "BadRequest: ollama: no" in err
    assert asked(server) == ["1", "One", "3"]


async def test_a_chat_as_json_lines(server: LocalServer) -> None:
    code, out, err = await piped(*chat(server), "--json", stdin="1\n2\n")
    kinds = [json.loads(line)["type"] for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert kinds.count("finish") == 2
    assert kinds.count("text") == 4


async def test_a_missing_key_is_told_before_anything_is_typed() -> None:
    code, _, err = await piped("chat", "--provider", "openai", stdin="Hi\n")
    assert (code, "OPENAI_API_KEY" in err) == (2, True)
