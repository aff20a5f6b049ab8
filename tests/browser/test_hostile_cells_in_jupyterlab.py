"""Nothing that a model or a service says is run, loaded or followed: live, at rest, and reopened.

A page that is attacked has three alarms: a variable that every script here sets, a server that
every picture here asks, and what `Book.alarms` keeps. A first test sees them ring.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator

import pytest
import pytest_asyncio
from jupyter_rooms import Book, Notebook, expect
from programs import PATIENCE

from rxchat.events import Finish, Reasoning, Start, ToolCall, Usage
from rxchat.testing import ANYTHING, HOLD, LocalServer, Reply

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

RUN = "window.__pwned=1"
ATTACKS = f"""
<script>{RUN}</script> <ScRiPt src=BEACON/a.js></sCrIpT > <scr<script>ipt>{RUN}</script>

<img src=x onerror="{RUN}"> <img/src="BEACON/b.png"/onload={RUN}> ![beacon](BEACON/c.png)
![](BEACON/d.png "a title\\" onload={RUN}") ![x" onerror="{RUN}](BEACON/e.png)
[![inside](BEACON/f.png)](javascript:{RUN})

<svg onload={RUN}><script>{RUN}</script></svg> <svg><image href=BEACON/g.svg /><animate onbegin={RUN} /></svg>

<iframe src="javascript:parent.{RUN}"></iframe> <iframe srcdoc="<script>parent.{RUN}</script>"></iframe>
<object data=BEACON/h></object> <embed src=BEACON/i> <video autoplay src=BEACON/j onerror={RUN}></video>
<link rel=stylesheet href=BEACON/k.css> <base href=BEACON/> <meta http-equiv=refresh content="0;url=BEACON/l">

</details></summary></div></td></table></pre></code></textarea></title></style></template></noscript>
<style>@import url(BEACON/m.css); body {{ background: url(BEACON/n.png) }}</style>
<div style="background:url(BEACON/o.png)">behind</div> <body onload={RUN}> <input autofocus onfocus={RUN}>
<form action=BEACON/p><button formaction="javascript:{RUN}">Stop</button></form> <details open ontoggle={RUN}>

[one](javascript:{RUN}) [two](JaVaScRiPt:{RUN}) [three](java&#x73;cript:{RUN}) [four](java\tscript:{RUN})
[five](<javascript:{RUN}>) [six](\x01javascript:{RUN}) [seven](data:text/html,<script>{RUN}</script>)
[eight](vbscript:{RUN}) [nine](&#106;avascript&colon;{RUN}) [ten](//127.0.0.1/x) [eleven](\\\\127.0.0.1\\x)
[twelve](https://example.com/"onmouseover="{RUN}) [thirteen](https://example.com 'a" onmouseover="{RUN}')
[fourteen][r] [fifteen](file:///etc/passwd) [sixteen](blob:BEACON/x) <javascript:{RUN}> <https://example.com/?"onclick="{RUN}">

[r]: javascript:{RUN} "onmouseover={RUN}"

| <img src=x onerror={RUN}> | `<img src=x onerror={RUN}>` |
|---|---|
| ![](BEACON/q.png) | <a href="javascript:{RUN}">x</a> |

```html" onmouseover="{RUN}
</code></pre><img src=BEACON/r.png onerror={RUN}>
```

$$\\href{{javascript:{RUN}}}{{x}}$$ $$\\require{{html}}\\href{{javascript:{RUN}}}{{y}}$$ $\\style{{background:url(BEACON/t.png)}}{{z}}$
$$\\includegraphics{{BEACON/u.png}}$$ $$\\href{{https://example.com/tex}}{{w}} \\style{{position:fixed;top:0;left:0;width:100vw}}{{v}} \\cssId{{jp-MainLogo}}{{u}}$$ \\(\\class{{"onload={RUN}}}{{x}}\\) {{{{constructor.constructor('{RUN}')()}}}} &lt;img src=x onerror={RUN}&gt; \x00<img src=BEACON/s.png>
"""

SUSPECTS = """() => {
    const found = [];
    const tags = "script,iframe,frame,object,embed,form,input,textarea,meta,link,style,base,audio,"
        + "video,source,image,use,foreignObject,animate,set,math,mjx-container,template,noscript,img";
    for (const output of document.querySelectorAll(".jp-OutputArea-output")) {
        for (const it of output.querySelectorAll(tags)) {
            const ours = it.closest("svg.rxchat-timeline") && it.localName == "style"
                || it.localName == "img" && it.src.startsWith("data:image/svg+xml");
            if (!ours) found.push(it.outerHTML);
        }
        for (const it of output.querySelectorAll("*"))
            for (const {name, value} of it.attributes)
                if (/^on|^srcdoc$|^formaction$/i.test(name) || name == "style" && /url[(]|import|position: *(fixed|absolute)/i.test(value))
                    found.push(`${name}=${value}`);
        for (const it of output.querySelectorAll("[href]"))
            if (it.localName != "a" || !/^(https?|mailto):$/.test(it.protocol) || it.host == location.host
                || it.target != "_blank" || !it.relList.contains("noopener"))
                found.push(it.outerHTML);
    }
    return found;
}"""


@pytest_asyncio.fixture(loop_scope="session")
async def beacon() -> AsyncGenerator[LocalServer]:
    """A server that nobody may ask anything."""
    async with LocalServer(Reply(body=b""), voices=[ANYTHING]) as server:
        yield server


def in_pieces(text: str, size: int = 11) -> Iterator[str]:
    return (text[at : at + size] for at in range(0, len(text), size))


async def is_harmless(book: Book, beacon: LocalServer) -> None:
    for output in await book.page.locator(".jp-Cell-outputWrapper:visible").all():
        await output.scroll_into_view_if_needed()  # JupyterLab may leave out what is not in sight
    for summary in await book.page.locator(".jp-OutputArea-output summary").all():
        await summary.hover()
    assert await book.page.evaluate(SUSPECTS) == []
    assert await book.page.evaluate("window.__pwned") is None
    assert book.alarms == []
    assert beacon.accepted == 0


async def test_the_alarms_ring_when_html_of_a_stranger_is_shown(
    notebook: Notebook, beacon: LocalServer
) -> None:
    html = ATTACKS.replace("BEACON", beacon.url)
    async with notebook("from IPython.display import HTML", f"HTML({html!r})") as book:
        await book.start()
        await book.page.wait_for_function("window.__pwned")
        await asyncio.wait_for(beacon.exchange(0), PATIENCE)
        assert any(alarm.startswith(f"asked {beacon.url}") for alarm in book.alarms)
        assert len(await book.page.evaluate(SUSPECTS)) > 10


async def test_hostile_answers_do_nothing_while_they_come_nor_later(
    notebook: Notebook, server: LocalServer, beacon: LocalServer
) -> None:
    attacks = ATTACKS.replace("BEACON", beacon.url)
    line = " ".join(attacks.split())[:900]
    server.plan(
        Reply(
            Start(line, line),
            *map(Reasoning, in_pieces(attacks)),
            *in_pieces(attacks),
            ToolCall(0, line, line, ""),
            *(ToolCall(0, "", "", piece) for piece in in_pieces(attacks)),
            HOLD,
            Usage(1, 2),
            Finish("stop", line),
        ),
        Reply(*in_pieces(attacks), HOLD),
        Reply.status(400, attacks),
        Reply(*in_pieces(attacks)),
        Reply.status(500, attacks),
    )
    cells = (
        f"HOSTILE = {attacks!r}; LINE = {line!r}",
        "answer = await show(chat(HOSTILE), title=LINE)",
        """
        with watch(LINE) as run:
            answers = await compare({
                LINE: chat(HOSTILE).pipe(lane(LINE)),
                HOSTILE: rxchat.timer(0.3).pipe(ops.flat_map(lambda _: chat(HOSTILE)))
            }, title=LINE)
        """,
        "run",
        "show(run, title=LINE)",
        "chat(HOSTILE, model=LINE, headers={'x-team': LINE[:90].encode('ascii', 'ignore').decode().replace(chr(0), '')})",
        "chat.but(model=LINE)",
        "await measure({LINE: chat(HOSTILE), HOSTILE: chat(LINE)}, runs=1)",
        "Timeline([Row(LINE, 0.0, [Mark(0.1, 'text', HOSTILE)], 0.2, 'failed', HOSTILE)], LINE)",
        "show(Timeline([Row(LINE, 0.0, [Mark(0.1, 'text', HOSTILE)], 0.2, 'failed', HOSTILE)], LINE))",
    )
    async with notebook(*cells) as book:
        await book.page.set_viewport_size({"width": 1000, "height": 4000})
        await book.start()
        first = await asyncio.wait_for(server.exchange(0), PATIENCE)
        await expect(book.output(2)).to_contain_text("onerror=")
        await expect(book.output(2).locator("details").last).to_contain_text("<script>")
        await book.output(2).locator("summary").first.click()
        await is_harmless(book, beacon)
        await book.picture("hostile, on its way", 2)

        first.release()
        await expect(book.output(3).get_by_role("alert")).to_contain_text("onerror=")
        await is_harmless(book, beacon)
        await book.picture("hostile, side by side", 3)

        await book.output(3).get_by_role("button", name="Stop").last.click()
        await book.finished()
        await _all_is_drawn(book)
        for picture in await book.page.locator(".jp-OutputArea-output img").all():
            await picture.evaluate("it => it.decode()")
        await is_harmless(book, beacon)
        await book.picture("hostile, over", 2)

        await book.reopen_with_fresh_kernel()
        await _all_is_drawn(book)
        await is_harmless(book, beacon)


async def _all_is_drawn(book: Book) -> None:
    for cell in (2, 3, 5, 6, 7, 8, 10):
        await expect(book.output(cell)).to_contain_text("__pwned")
    for cell in (4, 9):
        await expect(book.output(cell).locator("img")).to_be_visible()
