"""`providers`, `serve-demo` and `completion`: what helps before the first question."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys

import pytest

from at_a_terminal import CTRL_C, ROOT, piped, terminal
from rxchat import providers
from rxchat.__main__ import COMMANDS, main
from rxchat.cli.serve_demo import ANSWER
from rxchat.providers import openai
from rxchat.testing import LocalServer

SECRET = "sk-very-secret"


async def rows(*arguments: str, **variables: str) -> dict[str, dict[str, object]]:
    code, out, err = await piped("providers", "--json", *arguments, **variables)
    assert (code, err) == (0, "")
    return {row["name"]: row for row in map(json.loads, out.splitlines())}


async def test_all_providers_are_listed_with_what_they_want() -> None:
    told = await rows()
    assert set(told) == set(providers.services())
    assert told["openai"]["trouble"] == "a key is missing: set OPENAI_API_KEY"
    assert "OPENAI_API_KEY" in told["openai"]["missing"]
    assert told["ollama"]["ready"] is True
    assert told["ollama"]["address"] == "http://127.0.0.1:11434"
    assert (told["ollama"]["needs_key"], told["openai"]["needs_key"]) == (False, True)
    assert told["litellm"]["trouble"] == "model is missing: say NAME:MODEL"
    assert str(told["acytoo"]["trouble"]).startswith("gone: ")


async def test_who_has_a_key_is_ready_and_the_key_is_never_shown() -> None:
    known = providers.services().values()
    keys = {name for it in known if it.auth for name in it.auth.variables}
    settings = {name for it in known for one in it.settings.values() for name in one.variables}
    everything = dict.fromkeys(settings - keys, "some") | dict.fromkeys(keys, SECRET)
    everything["OLLAMA_HOST"] = f"http://me:{SECRET}@127.0.0.1:9"
    everything["AZURE_OPENAI_ENDPOINT"] = "https://mine.openai.azure.com"
    told = await rows("--ready", **everything)
    assert told["openai"]["found"] == ["OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"]
    assert {"openai", "anthropic", "bedrock", "azure", "groq"} <= set(told)
    assert "acytoo" not in told
    for how in (["--json"], ["--plain"], []):
        code, out, err = await piped("providers", *how, **everything)
        assert (code, SECRET in out, err) == (0, False, "")


async def test_at_a_terminal_it_is_a_table() -> None:
    async with terminal("providers", columns=140, GROQ_API_KEY=SECRET) as seen:
        assert await seen.ended() == 0
    line = next(line for line in seen.words.splitlines() if line.startswith("groq"))
    assert "ready, with GROQ_API_KEY" in line
    line = next(line for line in seen.words.splitlines() if line.startswith("ollama "))
    assert "no key needed" in line
    assert "ready" not in line


async def test_serve_demo_answers_until_control_c() -> None:
    async with terminal("serve-demo", "--port", "0", "--pace", "0") as seen:
        url = (await seen.until("\r\n")).strip()
        mine = openai.but(base_url=f"{url}/v1", key="any")
        text = "".join([event.text async for event in mine("Hi") if hasattr(event, "text")])
        assert text == ANSWER
        await seen.until("rxchat: POST /v1/chat/completions")
        seen.type(CTRL_C)
        assert await seen.ended() == 0
    assert "Traceback" not in seen.screen


async def test_a_port_that_is_taken_is_said() -> None:
    async with LocalServer() as server:
        code, _, err = await piped("serve-demo", "--port", str(server.port))
    assert (code, f"port {server.port} cannot be had" in err) == (2, True)
    code, _, err = await piped("serve-demo", "--pace", "-1")
    assert (code, "no time before now" in err) == (2, True)


async def completed(*words: str) -> list[str]:
    """What bash would offer for the last word, with the script that it was given."""
    typed = " ".join(f"'{word}'" for word in ("rxchat", *words))
    script = (
        f'python() {{ "{sys.executable}" "$@"; }}; source <(python -m rxchat completion bash); '
        f'COMP_WORDS=({typed}); COMP_CWORD={len(words)}; _rxchat; echo "${{COMPREPLY[*]}}"'
    )
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euc", script), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode().split()


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["co"], {"compare", "completion"}),
        ([""], {*COMMANDS, "--help"}),
        (["bench", "--r"], {"--runs"}),
        (["bench", "anth"], {"anthropic"}),
        (["ask", "--provider", "oll"], {"ollama", "ollama_v1"}),
        (["demo", "--s"], {"--save"}),
        (["completion", ""], {"bash", "zsh", "fish", "-h", "--help"}),
    ],
)
async def test_bash_completes(typed: list[str], offered: set[str]) -> None:
    assert set(await completed(*typed)) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_script_has_every_command_and_option(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for word in (*COMMANDS, "openai", "runs", "base-url", "system"):
        assert word in script


@pytest.mark.parametrize("shell", ["zsh", "fish"])
async def test_other_shells_can_read_theirs(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    _, script, _ = await piped("completion", shell)
    process = await asyncio.create_subprocess_exec(shell, "-n", stdin=asyncio.subprocess.PIPE)
    await process.communicate(script.encode())
    assert process.returncode == 0
