"""Live cells in a real kernel, with a front end that keeps what it is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from jupyter_client import AsyncKernelClient, KernelManager

from harmless import inspected
from rxchat.testing import HOLD, LocalServer, Reply

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
