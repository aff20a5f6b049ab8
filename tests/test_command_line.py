"""`python -m rxchat`, as a person at a terminal sees it."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from xml.etree import ElementTree

import pytest

import rxchat
from at_a_terminal import piped
from rxchat import __main__ as command_line
from rxchat import demo
from rxchat.cli import ask
from rxchat.notebook import lane
from rxchat.testing import HOLD, LocalServer, Reply

ROOT = Path(__file__).parent.parent
DEAD = "http://127.0.0.1:1"


@pytest.fixture
async def server() -> AsyncGenerator[LocalServer]:
    async with LocalServer(Reply("Hel", "lo")) as server:
        yield server


async def program(
    *arguments: str, stdout: int = asyncio.subprocess.PIPE
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rxchat", *arguments),
        stdout=stdout,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )


async def output(*arguments: str) -> tuple[int | None, str, str]:
    process = await program(*arguments)
    out, err = await asyncio.wait_for(process.communicate(), timeout=30)
    return process.returncode, out.decode(), err.decode()


async def test_an_answer_goes_to_standard_output(server: LocalServer) -> None:
    told = await output(
        "Hi", "--provider", "flowgpt", "--base-url", server.url, "--model", "gemini"
    )
    assert told == (0, "Hello\n", "")
    assert server.exchanges[0].json["model"] == "google-gemini"


FAILURES = [
    (
        ("Hi", "--provider", "acytoo", "--base-url", DEAD),
        1,
        "ConnectFailed: acytoo: cannot connect",
    ),
    (("Hi", "--provider", "acytoo", "--model", "x"), 2, "UnknownModel: acytoo: unknown model 'x'"),
    (("Hi", "--provider", "nobody"), 2, "there is no provider 'nobody'; there are openai, "),
    (("Hi", "--provider", "opnai:gpt-5"), 2, "; did you mean 'openai'?"),
    (("Hi",), 2, "or see the demo"),
    (("proviers",), 2, "there is no command 'proviers'; did you mean 'providers'?"),
    (("benhc", "openai", "--runs", "3"), 2, "did you mean 'bench'?"),
    (
        ("Hi", "--provider", "cerebras"),
        2,
        "pass key=..., or set CEREBRAS_API_KEY; `python -m rxchat",
    ),
    (("Hi", "--provider", "litellm"), 2, "model is missing"),
    (("", "--provider", "acytoo", "--base-url", "x"), 2, "must be an http:// or https:// address"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), FAILURES)
async def test_a_failure_is_one_line_on_standard_error(
    arguments: tuple[str, ...], code: int, words: str
) -> None:
    returned, out, err = await output(*arguments)
    assert (returned, out) == (code, "")
    assert words in err
    assert err.startswith("rxchat: ")
    assert err.count("\n") == 1


async def test_a_question_may_look_like_a_command(server: LocalServer) -> None:
    told = await output("demos", "--provider", f"ollama@{server.url}")
    assert told == (0, "Hello\n", "")
    assert server.exchanges[0].json["messages"][0]["content"] == "demos"


async def test_a_service_that_is_gone_is_a_warning_and_then_an_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    process = await program("Hi", "--provider", "cromicle")
    _, err = await process.communicate()
    assert process.returncode == 1
    assert b"rxchat: warning: cromicle does not answer any more" in err


async def test_half_an_answer_is_shown_and_then_the_error(server: LocalServer) -> None:
    server.reply = Reply("Hel", "lo", then="cut")
    code, out, err = await output("Hi", "--provider", "acytoo", "--base-url", server.url)
    assert (code, out) == (1, "Hello")
    assert "Truncated: acytoo" in err


async def test_control_c_hangs_up(server: LocalServer) -> None:
    server.reply = Reply("Hello", then="stall")
    process = await program("Hi", "--provider", "flowgpt", "--base-url", server.url)
    assert process.stdout is not None
    assert await process.stdout.readexactly(5) == b"Hello"
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), timeout=30)
    assert process.returncode == 130
    assert err == b"\n"
    assert await server.exchanges[0].ended == "hung up"


async def test_a_reader_who_leaves_is_no_traceback_and_hangs_up(server: LocalServer) -> None:
    server.reply = Reply("Hello", HOLD, "more", HOLD, "more", then="stall")
    read, write = os.pipe()
    process = await program("Hi", "--provider", "flowgpt", "--base-url", server.url, stdout=write)
    os.close(write)
    assert await asyncio.to_thread(os.read, read, 5) == b"Hello"
    os.close(read)
    server.exchanges[0].release()
    _, err = await asyncio.wait_for(process.communicate(), timeout=30)
    assert (process.returncode, err) == (141, b"")
    assert await server.exchanges[0].ended == "hung up"


async def test_a_living_provider_answers_with_the_key_of_its_variable(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.reply = Reply("Hel", "lo")
    monkeypatch.setenv("GROQ_API_KEY", "sk-of-the-shell")
    code, out, err = await output("Hi", "--provider", "groq", "--base-url", server.url)
    assert (code, out, err) == (0, "Hello\n", "")
    assert server.exchanges[0].headers["authorization"] == "Bearer sk-of-the-shell"


async def test_the_demo_plays_its_scenes_draws_what_happened_and_says_where_to_go_on() -> None:
    code, out, err = await output("demo")
    assert (code, err) == (0, "")
    titles = ("One chat", "A fallback", "A retry", "A race", "A hedge", "A cut answer")
    for number, title in enumerate(titles, start=1):
        assert f"{number}. {title}" in out
    assert out.count("The sky is blue because air") == 6
    assert "\n  Truncated: openai: " in out
    lanes = [
        line.strip() for line in out.splitlines() if re.match(r" +(openai|anthr|ollama)", line)
    ]
    ends = [re.sub(r".*?([|/]|# \w+:|#)( .*)?$", r"\1", lane) for lane in lanes]
    assert ends == ["|", "# Overloaded:", "|", "# RateLimited:", "|", "/", "|", "/", "|", "#"]
    assert "lost, and hung up" in out
    assert "\n  python -m rxchat serve-demo" in out


class Narrow(io.StringIO):
    """What calls itself a terminal."""

    def isatty(self) -> bool:
        return True


def test_the_demo_keeps_to_the_width_of_the_terminal_and_saves_its_pictures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(demo, "PACE", 0.001)
    monkeypatch.setenv("COLUMNS", "44")
    out = Narrow()
    assert asyncio.run(demo.demo(out, tmp_path))
    lines = out.getvalue().splitlines()
    assert {line for line in lines if len(line) > 44} <= {
        f"  {demo.SENTENCE}",
        f"The pictures are in {tmp_path}",
    }
    saved = sorted(tmp_path.iterdir())
    assert [path.name for path in saved][:2] == ["1-one-chat.svg", "2-fallback.svg"]
    assert len(saved) == len(demo.SCENES)
    assert all(ElementTree.parse(path).getroot().tag.endswith("svg") for path in saved)
    assert "2. A fallback: openai is too busy" in saved[1].read_text()


def test_no_terminal_is_too_narrow_for_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "PACE", 0.001)
    monkeypatch.setattr(demo, "SCENES", (demo.cut,))
    monkeypatch.setenv("COLUMNS", "1")
    assert asyncio.run(demo.demo(Narrow()))


async def test_a_folder_that_cannot_be_made_is_said_before_anything_is_played() -> None:
    code, out, err = await output("demo", "--save", f"{__file__}/folder")
    assert (code, out) == (1, "")
    assert err.startswith("rxchat: this cannot be read or written here: ")


async def test_the_demo_fails_if_a_scene_does_not_end_as_it_should(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def wrong(stage: demo.Stage) -> bool:
        """A scene gone wrong"""
        return False

    monkeypatch.setattr(demo, "SCENES", (wrong, demo.one_chat))
    out = io.StringIO()
    assert not await demo.demo(out)
    assert "This did not end as it should." in out.getvalue()


async def test_a_cut_that_is_not_noticed_would_fail_the_demo(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(demo, "Reply", lambda *words, pace, then: Reply(*words))
    assert not await demo.cut(demo.Stage(io.StringIO()))


def test_the_exit_codes_are_what_main_gives(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    async def good(stage: demo.Stage) -> bool:
        """A scene"""
        return bool(await rxchat.of("word").pipe(lane("somebody")))

    monkeypatch.setattr(demo, "SCENES", (good,))
    assert command_line.main(["demo", "--save", str(tmp_path / "new" / "folder")]) == 0
    assert "  somebody " in capsys.readouterr().out
    assert (tmp_path / "new" / "folder" / "1-good.svg").exists()
    assert command_line.main(["Hi", "--provider", "acytoo", "--base-url", DEAD]) == 1
    assert command_line.main(["Hi"]) == 2

    async def interrupted(said: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(ask, "answer", interrupted)
    assert command_line.main(["Hi", "--provider", "acytoo"]) == 130


def test_the_help_tells_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        command_line.main(["--help"])
    told = capsys.readouterr().out
    for code in (0, 1, 2, 130, 141):
        assert f"\n  {code:>3}  " in told
    for command in command_line.COMMANDS:
        assert f"\n    {command}" in told


async def test_a_question_comes_from_standard_input_and_a_provider_with_all_in_one_word(
    server: LocalServer,
) -> None:
    told = await piped("-", "--provider", f"ollama:mine:8b@{server.url}", stdin="Why?\n")
    assert told == (0, "Hello\n", "")
    sent = server.exchanges[0].json
    assert (sent["model"], sent["messages"][0]["content"]) == ("mine:8b", "Why?\n")


async def test_json_lines_are_the_events_and_the_last_one_the_error(server: LocalServer) -> None:
    server.reply = Reply("Hel", "lo", then="cut")
    code, out, err = await piped("Hi", "--provider", f"ollama@{server.url}", "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["type"] for line in lines] == ["start", "text", "text", "error"]
    assert (code, lines[1]["text"], lines[3]["error"]) == (1, "Hel", "Truncated")
    assert lines[3]["content_emitted"] is True
    assert "Truncated" in err


async def test_what_is_said_to_the_model_beforehand_goes_first(server: LocalServer) -> None:
    await piped("Hi", "--provider", f"ollama@{server.url}", "--system", "Be brief.")
    assert [m["role"] for m in server.exchanges[0].json["messages"]] == ["system", "user"]


ALONE = """
import importlib, sys
for first in sys.argv[1:]:
    for name in [name for name in sys.modules if name.split(".")[0] == "rxchat"]:
        del sys.modules[name]
    importlib.import_module(first)
"""


def test_each_part_of_the_program_can_be_imported_by_itself() -> None:
    parts = [f"rxchat.cli.{path.stem}" for path in sorted((ROOT / "rxchat/cli").glob("[a-z]*.py"))]
    assert "rxchat.cli.compare" in parts
    subprocess.run([sys.executable, "-c", ALONE, *parts], check=True, cwd=ROOT)
