"""Live cells in JupyterLab: what is drawn while an answer comes, what stays, and the stop button."""

from __future__ import annotations

import asyncio
import re

import pytest
from jupyter_rooms import Book, Notebook, expect
from programs import PATIENCE

from rxchat.events import Finish, Reasoning, ToolCall, Usage
from rxchat.testing import HOLD, LocalServer, Reply
from rxchat.testing.exchange import Exchange

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

MARKDOWN = """\
# Why is the sky blue?

Because air **scatters** short waves most:

- blue is scattered a lot,
- red is not.

```python
print("blue")
```

| colour | wave |
|---|---|
| blue | short |

It costs $5 or $10. The rest is told by [Rayleigh](https://example.com/rayleigh).
"""


async def ended(exchange: Exchange) -> str:
    return await asyncio.wait_for(exchange.ended, PATIENCE)


async def test_an_answer_grows_in_its_cell_and_is_still_there_when_the_notebook_is_opened_again(
    notebook: Notebook, server: LocalServer
) -> None:
    first, rest = MARKDOWN.split("- red", 1)
    server.plan(
        Reply(
            Reasoning("Somebody asks about "),
            HOLD,
            Reasoning("light."),
            first,
            HOLD,
            "- red",
            *rest.partition("| blue"),
            ToolCall(0, "call-1", "weather", '{"city": "Oslo"}'),
            HOLD,
            Usage(12, 34),
            Finish(),
        )
    )
    maths = "from IPython.display import HTML", "HTML('$x$')"
    async with notebook("answer = await show(chat('Why?'), title='The sky')", *maths) as book:
        await book.start()
        exchange = await asyncio.wait_for(server.exchange(0), PATIENCE)
        live = book.output(1).locator(".rxchat-live")
        thoughts = live.locator("details").first
        await expect(thoughts).to_contain_text("Thinking")
        await expect(thoughts).not_to_have_attribute("open", "")
        await thoughts.locator("summary").click()
        await expect(thoughts).to_contain_text("Somebody asks about")

        exchange.release()
        await expect(live.get_by_role("heading", name="Why is the sky blue?")).to_be_visible()
        await expect(live.locator("strong", has_text="scatters")).to_be_visible()
        await expect(live).not_to_contain_text("red is not")
        await expect(thoughts).to_contain_text("light.")
        await expect(thoughts).to_have_attribute("open", "")  # as the reader left it
        await book.pictures("an answer on its way", 1)

        exchange.release()
        await expect(live.locator("li")).to_have_count(2)
        await expect(live.locator("pre code")).to_contain_text('print("blue")')
        await expect(live.get_by_role("cell", name="short")).to_be_visible()
        await expect(live.locator("details").last).to_contain_text("weather")
        await expect(live.get_by_role("button", name="Stop")).to_be_visible()

        exchange.release()
        await book.finished()
        await expect(book.output(1).locator(".rxchat-live")).to_have_count(0)
        await _is_all_there(book)
        await book.pictures("an answer that is over", 1)

        assert "widget-view" not in await book.saved()
        await book.reopen_with_fresh_kernel()
        await _is_all_there(book)
        await book.picture("an answer in a notebook that was opened again", 1)
        assert await ended(exchange) == "complete"
        assert not book.alarms


async def _is_all_there(book: Book) -> None:
    output = book.output(1)
    await expect(book.output(3).locator("mjx-container").first).to_be_visible()
    await expect(output).to_contain_text("It costs $5 or $10.")  # and is no formula
    await expect(output).to_contain_text("The sky")
    await expect(output.get_by_role("heading", name="Why is the sky blue?")).to_be_visible()
    await expect(output.locator("li")).to_have_count(2)
    await expect(output.get_by_role("cell", name="short")).to_be_visible()
    await expect(output.locator("details").first).to_contain_text("Thoughts")
    await expect(output.locator("details").last).to_contain_text('weather({"city": "Oslo"})')
    await expect(output).to_contain_text(re.compile(r"34\b.*tok|tok.*34\b"))
    link = output.get_by_role("link", name="Rayleigh")
    await expect(link).to_have_attribute("rel", re.compile("noopener"))
    await expect(output.get_by_role("button", name="Stop")).to_have_count(0)


@pytest.mark.parametrize(
    "cell",
    ["answer = await show(chat('Go on'))", "showing = show(chat('Go on'))"],
    ids=["awaited", "in the background"],
)
async def test_the_stop_button_hangs_up_and_what_has_come_stays(
    cell: str, notebook: Notebook, server: LocalServer
) -> None:
    server.plan(Reply("Half an ", "answer", HOLD, " and more"))
    later = (
        "answer = await showing if 'showing' in globals() else answer; answer.text, answer.finish"
    )
    async with notebook(cell, later) as book:
        await book.start()
        exchange = await asyncio.wait_for(server.exchange(0), PATIENCE)
        await expect(book.output(1)).to_contain_text("Half an answer")
        await book.output(1).get_by_role("button", name="Stop").click()
        assert await ended(exchange) == "hung up"
        await book.finished()
        await expect(book.output(1)).to_contain_text("Half an answer")
        await expect(book.output(1)).to_contain_text("stopped")
        await expect(book.output(2)).to_contain_text("('Half an answer', None)")
        await expect(book.output(1).get_by_role("button", name="Stop")).to_have_count(0)
        assert not book.alarms


async def test_interrupting_the_kernel_hangs_up_who_is_awaited(
    notebook: Notebook, server: LocalServer
) -> None:
    server.plan(Reply("Half an answer", HOLD))  # and then silence: nothing wakes the loop
    async with notebook("await show(chat('Go on'))") as book:
        await book.start()
        exchange = await asyncio.wait_for(server.exchange(0), PATIENCE)
        await expect(book.output(1)).to_contain_text("Half an answer")
        await book.command("notebook:interrupt-kernel")
        assert await ended(exchange) == "hung up"
        await expect(book.output(1)).to_contain_text("stopped")
        await expect(book.output(1)).to_contain_text("Half an answer")


async def test_a_fast_answer_is_painted_seldom_and_nothing_of_it_is_lost(
    notebook: Notebook,
) -> None:
    cell = """
    async def talk(pump):
        for number in range(5000):
            await pump.send(f"word{number} ")
            await asyncio.sleep(0)  # one turn of the loop for each
    answer = await show(rxchat.source(talk))
    """
    whole = " ".join(f"word{number}" for number in range(5000))
    async with notebook(cell, "len(answer.text)") as book:
        await book.run()
        await expect(book.output(1)).to_contain_text("word4999")
        assert whole in await book.output(1).inner_text()
        await expect(book.output(2)).to_contain_text(str(len(whole) + 1))
        assert 0 < book.heard("comm_msg") < 200
        assert not book.alarms


async def test_answers_are_compared_side_by_side_and_stopped_one_by_one(notebook: Notebook) -> None:
    cell = """
    answers = await compare({
        "quick": chat.but(base_url="QUICK/v1")("Why?"),
        "slow": chat.but(base_url="SLOW/v1")("Why?"),
        "broken": chat.but(base_url="BROKEN/v1")("Why?"),
    }, title="Three of them")
    """
    kinds = "{label: type(it).__name__ for label, it in answers.items()}"
    async with (
        LocalServer(Reply(*MARKDOWN.splitlines(keepends=True), HOLD, "\nThe end.")) as quick,
        LocalServer(Reply("Let me ", "think", HOLD, " about it")) as slow,
        LocalServer(Reply.status(503, "the model is busy")) as broken,
        notebook(
            cell.replace("QUICK", quick.url)
            .replace("SLOW", slow.url)
            .replace("BROKEN", broken.url),
            kinds,
        ) as book,
    ):
        await book.page.set_viewport_size({"width": 1300, "height": 1000})
        await book.start()
        output = book.output(1)
        await expect(output.get_by_text("Let me think")).to_be_visible()
        await expect(output.get_by_role("heading", name="Why is the sky blue?")).to_be_visible()
        await expect(output).to_contain_text("the model is busy")
        await book.pictures("side by side, on their way, wide", 1)
        await book.page.set_viewport_size({"width": 620, "height": 1400})
        await book.picture("side by side, on their way, narrow", 1)
        await book.page.set_viewport_size({"width": 1300, "height": 1000})
        column = output.locator(".rxchat-live").filter(has_text="Let me think")
        await column.get_by_role("button", name="Stop").click()
        assert await ended(slow.exchanges[0]) == "hung up"
        await expect(output.get_by_role("button", name="Stop")).to_have_count(1)  # of the other
        quick.exchanges[0].release()
        await book.finished()
        assert await ended(quick.exchanges[0]) == "complete"
        assert await ended(broken.exchanges[0]) == "complete"
        await expect(output).to_contain_text("The end.")
        await expect(output).to_contain_text("Let me think")
        await expect(output.locator("svg").last).to_be_visible()
        await expect(book.output(2)).to_contain_text("'broken': 'Overloaded'")
        await book.pictures("side by side, over, wide", 1)
        await book.page.set_viewport_size({"width": 620, "height": 1400})
        await book.pictures("side by side, over, narrow", 1)
        assert not book.alarms
