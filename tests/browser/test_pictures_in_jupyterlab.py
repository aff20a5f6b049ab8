"""What stands still, in JupyterLab: timelines, streams, providers."""

from __future__ import annotations

import pytest
from jupyter_rooms import Notebook, expect

from rxchat.testing import LocalServer, Reply

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_a_timeline_is_drawn_and_its_tooltips_are_there_when_it_is_shown(
    notebook: Notebook, server: LocalServer
) -> None:
    server.plan(
        Reply.status(503, "too busy"),
        Reply("A timeline ", "of a run ", "that happened", pace=0.05),
    )
    watched = """
    with watch("Busy, and then not") as run:
        await chat("Hi").pipe(ops.retry(2))
    run
    """
    async with notebook(watched, "show(run)") as book:
        await book.run()
        image = book.output(1).locator("img")
        await expect(image).to_be_visible()
        assert await image.evaluate("it => it.decode().then(() => it.naturalWidth)") > 300

        inline = book.output(2).locator("svg.rxchat-timeline")
        await expect(inline).to_be_visible()
        titles = await inline.locator("title").all_text_contents()
        assert any("timeline" in title for title in titles)
        bead = inline.locator(":has(> title)").filter(has_text="timeline").last
        await bead.hover()
        await book.pictures("a timeline as an image", 1)
        await book.pictures("a timeline with tooltips", 2)
        assert not book.alarms


async def test_a_stream_and_a_provider_say_what_they_are_and_show_no_key(
    notebook: Notebook, server: LocalServer
) -> None:
    async with notebook("chat('Why is the sky blue?')", "chat") as book:
        await book.run()
        await expect(book.output(1)).to_contain_text("nothing")
        await expect(book.output(2)).to_contain_text("/v1/chat/completions")
        await book.pictures("a stream", 1)
        await book.pictures("a provider", 2)
        seen = [await book.output(cell).inner_html() for cell in (1, 2)]
        assert "sk-a-key" not in "".join(seen)
        assert server.accepted == 0
        assert not book.alarms
