"""The recipes of docs/cookbook.md do what they say: with real servers, and clients that leave."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvicorn
from aiohttp import web

from docs_support import DOCS, SAID, blocks, local_server, recipe
from rxchat import providers
from rxchat.errors import BadRequest, ChatError, RateLimited, Unauthorized
from rxchat.testing import HOLD, LocalServer, Reply, Scripted, faults, run_virtual

# Web servers --------------------------------------------------------------------------------------


@asynccontextmanager
async def fastapi(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The recipe's own call of `uvicorn.run`, but on a free port and in this loop."""
    calls: list[tuple[Any, dict[str, Any]]] = []
    with monkeypatch.context() as patched:
        patched.setattr(uvicorn, "run", lambda app, **options: calls.append((app, options)))
        recipe("fastapi_server.py", __name__="__main__")
    (app, options), line = calls[0], socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, **options, log_level="warning", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[line]))
    try:
        yield f"http://127.0.0.1:{line.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def aiohttp_server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The recipe's own call of `web.run_app`, but on a free port and in this loop."""
    calls: list[tuple[Any, dict[str, Any]]] = []
    with monkeypatch.context() as patched:
        patched.setattr(web, "run_app", lambda app, **options: calls.append((app, options)))
        recipe("aiohttp_server.py", __name__="__main__")
    app, options = calls[0]
    host, _ = options.pop("host"), options.pop("port")
    runner = web.AppRunner(app, **options, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, host, 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


Endpoint = Callable[[pytest.MonkeyPatch], AbstractAsyncContextManager[str]]
ENDPOINTS = pytest.mark.parametrize("endpoint", [fastapi, aiohttp_server])


@pytest.fixture
async def model(no_leaks: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LocalServer]:
    """Where all providers answer."""
    async with LocalServer(Reply("Hel", "lo\nyou")) as server:
        for name in ("openai", "anthropic"):
            there = getattr(providers, name).but(base_url=server.url, key="sk-1")
            monkeypatch.setattr(providers, name, there)
        yield server


async def events(response: aiohttp.ClientResponse) -> list[tuple[str, Any]]:
    """What a browser makes of it."""
    told = []
    for block in (await response.text()).strip("\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        told.append((fields.get("event", "message"), json.loads(fields["data"])))
    return told


@asynccontextmanager
async def asked(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[aiohttp.ClientResponse]:
    """What a browser gets for its question."""
    async with (
        endpoint(monkeypatch) as url,
        aiohttp.ClientSession() as browser,
        browser.get(f"{url}/ask", params={"question": "Why?"}) as response,
    ):
        yield response


@ENDPOINTS
async def test_an_endpoint_streams_the_answer_and_says_that_it_is_whole(
    endpoint: Endpoint, model: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asked(endpoint, monkeypatch) as response:
        assert response.content_type == "text/event-stream"
        said = [("message", "Hel"), ("message", "lo\nyou"), ("done", {})]
        assert await events(response) == said
    assert "Why?" in model.exchanges[0].body.decode()


@ENDPOINTS
async def test_an_endpoint_sends_each_word_when_it_comes(
    endpoint: Endpoint, model: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.plan(Reply("Hel", HOLD, "lo"))
    async with asked(endpoint, monkeypatch) as response:
        assert await response.content.readline() == b'data: "Hel"\n'
        (await model.exchange(0)).release()
        assert b'data: "lo"' in await response.read()


@ENDPOINTS
@pytest.mark.parametrize("heard", [True, False])
async def test_a_browser_that_leaves_hangs_up_on_the_model(
    endpoint: Endpoint, heard: bool, model: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.plan(Reply(*(["Hel"] if heard else []), HOLD, "lo"))
    async with asked(endpoint, monkeypatch) as response:
        if heard:
            await response.content.readline()
        await (await model.exchange(0)).holding()
        response.close()
        async with asyncio.timeout(10):  # if it never does, the model waits for ever
            assert await model.exchanges[0].ended == "hung up"
    assert len(model.exchanges) == 1


@ENDPOINTS
async def test_a_failure_is_told_in_the_stream_without_the_words_of_the_service(
    endpoint: Endpoint, model: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.plan(Reply("Hel", then="cut"))
    async with asked(endpoint, monkeypatch) as response:
        assert await events(response) == [("message", "Hel"), ("failed", "Truncated")]


# The bot ------------------------------------------------------------------------------------------


def bot(
    chat: Any, *arriving: tuple[float, str, str], edit_takes: float = 0.0
) -> tuple[list[str], list[tuple[float, int, str]]]:
    """Run the bot in virtual time; give the room's messages, and when each was edited."""
    names = recipe("bot.py")
    edits: list[tuple[float, int, str]] = []

    class Room(names["Room"]):
        async def edit(self, message: int, text: str) -> None:
            edits.append((round(asyncio.get_running_loop().time(), 3), message, text))
            await asyncio.sleep(edit_takes)
            await super().edit(message, text)

    async def main() -> list[str]:
        room, loop = Room(), asyncio.get_running_loop()
        for when, user, text in arriving:
            loop.call_later(when, room.arriving.put_nowait, names["Question"](user, text))
        loop.call_later(600, room.arriving.put_nowait, None)
        await names["run"](room, lambda question: chat(question.text))
        return room.messages

    return run_virtual(main()), edits


SLOWLY = [cue for letter in "abcdefgh" for cue in (0.3, letter)]


def test_a_message_is_edited_at_most_once_a_second_and_ends_whole() -> None:
    messages, edits = bot(Scripted(*SLOWLY), (0.0, "ann", "Why?"))
    assert messages == ["abcdefgh"]
    assert [text for _, _, text in edits] == ["a", "abcd", "abcdefg", "abcdefgh"]
    assert [when for when, _, _ in edits] == [0.3, 1.3, 2.3, 2.4]


def test_slow_edits_do_not_pile_up() -> None:
    messages, edits = bot(Scripted(*SLOWLY), (0.0, "ann", "Why?"), edit_takes=5.0)
    assert messages == ["abcdefgh"]
    assert len(edits) <= 4


def test_a_new_question_of_a_user_hangs_up_on_the_old_one_and_on_nobody_elses() -> None:
    chat = Scripted(*SLOWLY)
    asked = (0.0, "ann", "Why?"), (0.1, "ben", "When?"), (0.5, "ann", "How?")
    messages, _ = bot(chat, *asked)
    assert messages == ["a", "abcdefgh", "abcdefgh"]
    assert (chat.hung_up, chat.live) == (1, 0)


@pytest.mark.parametrize(
    ("error", "excuse"),
    [
        (RateLimited("429 for key sk-1", retry_after=999), "I am asked too much"),
        (BadRequest("too long"), "I cannot answer that."),
        (ChatError("odd"), "Sorry, something went wrong."),
    ],
)
def test_a_failure_becomes_a_polite_message_and_the_bot_goes_on(
    error: ChatError, excuse: str
) -> None:
    chat = Scripted(error).then("Hello")
    messages, _ = bot(chat, (0.0, "ann", "Why?"), (5.0, "ann", "Really?"))
    assert messages[0].startswith(excuse)
    assert messages[1] == "Hello"


def test_half_an_answer_stays_and_is_followed_by_the_excuse() -> None:
    messages, _ = bot(Scripted("Hel", ChatError("odd")), (0.0, "ann", "Why?"))
    assert messages == ["Hel\n\nSorry, something went wrong. Please ask again."]


# The batch ----------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Twenty questions, and where the answers go."""
    lines = [json.dumps({"id": number, "question": f"{number}?"}) for number in range(20)]
    questions, answers = tmp_path / "questions.jsonl", tmp_path / "answers.jsonl"
    questions.write_text("\n".join(lines) + "\n")
    return questions, answers


def answered(answers: Path) -> list[int]:
    return sorted(json.loads(line)["id"] for line in answers.read_text().splitlines())


def test_a_batch_answers_all_questions_at_most_eight_at_once(files: tuple[Path, Path]) -> None:
    most = 0

    class Counted(Scripted):
        def __call__(self, prompt: Any, /, **options: Any) -> Any:
            nonlocal most
            most = max(most, self.live)
            return super().__call__(prompt, **options)

    chat = Counted(1.0, "Hello")
    assert run_virtual(recipe("batch.py")["batch"](*files, chat)) == 0
    assert answered(files[1]) == [*range(20)]
    assert most <= 7  # others, when one is asked
    rows = map(json.loads, files[1].read_text().splitlines())
    assert {row["answer"] for row in rows} == {"Hello"}


def test_a_batch_tries_again_and_what_failed_is_asked_again_by_the_next_run(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    batch = recipe("batch.py")["batch"]
    chat = Scripted.failing("503 400 429(2s) ok")
    assert run_virtual(batch(*files, chat)) == 1
    assert len(answered(files[1])) == 19
    assert "20 of 20, 1 failed" in capsys.readouterr().err
    well = Scripted("Hello")
    assert run_virtual(batch(*files, well)) == 0
    assert answered(files[1]) == [*range(20)]
    assert len(well.prompts) == 1


def test_a_batch_that_crashed_in_mid_line_goes_on_where_it_was(files: tuple[Path, Path]) -> None:
    batch, (_, answers) = recipe("batch.py")["batch"], files
    run_virtual(batch(*files, Scripted("Hello")))
    lines = answers.read_bytes().splitlines(keepends=True)
    answers.write_bytes(b"".join(lines[:12]) + lines[12][:9])
    chat = Scripted("Hello")
    run_virtual(batch(*files, chat))
    assert len(chat.prompts) == 8
    assert answered(answers) == [*range(20)]


def test_a_wrong_key_stops_a_batch_at_once(files: tuple[Path, Path]) -> None:
    chat = Scripted(1.0, Unauthorized("no"))
    with pytest.raises(Unauthorized):
        run_virtual(recipe("batch.py")["batch"](*files, chat))
    assert len(chat.prompts) <= 8
    assert chat.live == 0


async def test_a_batch_over_real_sockets_keeps_what_was_paid_for(
    files: tuple[Path, Path], model: LocalServer
) -> None:
    model.plan(*faults("early-cut 503(1ms) ok"))
    recipe_of_now = recipe("batch.py")  # after `model` has moved the provider
    assert await recipe_of_now["batch"](*files) == 0
    assert answered(files[1]) == [*range(20)]


# Programs -----------------------------------------------------------------------------------------


def test_a_filter_in_a_pipe_reads_and_prints(tmp_path: Path) -> None:
    (block,) = (it for it in blocks(DOCS / "cookbook.md") if it.code.startswith("# summary.py"))
    with local_server(DOCS.parent) as address:
        moved = f'from rxchat.providers import openai\nopenai = openai.but(base_url="{address}", key="x")'
        code = block.code.replace("from rxchat.providers import openai", moved)
        (tmp_path / "summary.py").write_text(code)
        command = [sys.executable, str(tmp_path / "summary.py")]
        done = subprocess.run(command, input="A text.", capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == (f"{SAID}\n", "", 0)
