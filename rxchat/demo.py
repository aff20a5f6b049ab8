"""Six scenes against a server on this machine: no key, no network, real sockets.

Each is played in words, and then drawn as what really happened: `watch` records it.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from textwrap import wrap
from typing import TextIO

from attrs import define

import rxchat
from rxchat import operators as ops
from rxchat.errors import Truncated
from rxchat.events import Event
from rxchat.notebook import watch
from rxchat.provider import Provider
from rxchat.providers import anthropic, ollama, openai
from rxchat.stream import Stream
from rxchat.testing import LocalServer, Reply

__all__ = ["demo"]

PACE = 0.05  # seconds between two words
WORDS = ["The", " sky", " is", " blue", " because", " air", " scatters", " blue", " light", "."]
SENTENCE = "".join(WORDS)
WIDTH = 80  # where there is no terminal
NARROWEST = 20  # which the pictures need anyway

LEGEND = ". waits  * first word  o word  | end  # error  / lost, and hung up"
FURTHER = {
    "demo --save FOLDER": "these pictures, as SVG",
    "providers": "who can be asked from here",
    '"Hi" --provider openai': "ask, with OPENAI_API_KEY",
    "chat --provider ollama": "a conversation",
    "serve-demo": "leave such a server running",
}


@define
class Stage:
    """What a scene plays on: where it writes, and how wide that is."""

    out: TextIO
    width: int = WIDTH

    def ask(self, provider: Provider, server: LocalServer) -> Stream[Event]:
        path = "/v1" if provider is openai else ""
        here = provider.but(base_url=server.url + path, key="none")
        return here("Why is the sky blue?")

    async def show(self, answer: Stream[Event]) -> str:
        """Print the words as they arrive, and give them all."""
        text = ""
        async with answer.pipe(ops.text()).open() as chunks:
            async for chunk in chunks:
                text += chunk
                self.put(chunk)
        return text

    def put(self, words: str) -> None:
        print(words, end="", file=self.out, flush=True)

    def say(self, text: str, margin: str = "") -> None:
        """Lines of prose, no wider than the terminal."""
        hanging = f"\n{margin}"
        self.put(hanging.join(wrap(text, self.width - len(margin))))


async def one_chat(stage: Stage) -> bool:
    """One chat, word by word"""
    async with LocalServer(Reply(*WORDS, pace=PACE)) as server:
        return await stage.show(stage.ask(openai, server)) == SENTENCE


async def fallback(stage: Stage) -> bool:
    """A fallback: openai is too busy, so anthropic is asked"""
    busy = Reply.status(503, "the model is overloaded")
    async with LocalServer(busy) as first, LocalServer(Reply(*WORDS, pace=PACE)) as second:
        answer = rxchat.fallback(stage.ask(openai, first), stage.ask(anthropic, second))
        return await stage.show(answer) == SENTENCE and len(first.exchanges) == 1


async def retry(stage: Stage) -> bool:
    """A retry: openai says to come back after a second, and so it is asked again then"""
    async with LocalServer(Reply(*WORDS, pace=PACE)) as server:
        server.plan(Reply.status(429, "slow down", headers={"Retry-After": "1"}))
        answer = stage.ask(openai, server).pipe(ops.retry(3))
        return await stage.show(answer) == SENTENCE and len(server.exchanges) == 2


async def race(stage: Stage) -> bool:
    """A race: anthropic speaks first, and openai is hung up in the same moment"""
    quick = Reply(*WORDS, pace=PACE, headers_after=0.2)
    slow = Reply("Too late.", headers_after=5.0)
    async with LocalServer(slow) as loser, LocalServer(quick) as winner:
        answer = rxchat.race(stage.ask(openai, loser), stage.ask(anthropic, winner))
        text = await stage.show(answer)
        return text == SENTENCE and await loser.exchanges[0].ended == "hung up"


async def hedge(stage: Stage) -> bool:
    """A hedge: openai is silent for too long, so ollama is asked as well"""
    quick, slow = Reply(*WORDS, pace=PACE), Reply("Too late.", headers_after=5.0)
    async with LocalServer(slow) as first, LocalServer(quick) as second:
        streams = stage.ask(openai, first), stage.ask(ollama, second)
        text = await stage.show(rxchat.hedge(*streams, after=0.3))
        return text == SENTENCE and await first.exchanges[0].ended == "hung up"


async def cut(stage: Stage) -> bool:
    """A cut answer: it is reported, never taken for a whole one"""
    async with LocalServer(Reply(*WORDS[:6], pace=PACE, then="cut")) as server:
        try:
            await stage.show(stage.ask(openai, server))
        except Truncated as error:
            stage.put(" ...\n  ")
            stage.say(f"{type(error).__name__}: {error}", margin="  ")
            return error.content_emitted
    return False


SCENES: tuple[Callable[[Stage], Awaitable[bool]], ...] = (
    one_chat,
    fallback,
    retry,
    race,
    hedge,
    cut,
)


async def demo(out: TextIO, save: Path | None = None) -> bool:
    """Play all scenes; tell whether each ended as it should.

    The picture of each is saved in `save`, a folder.
    """
    wide = shutil.get_terminal_size((WIDTH, 24)).columns if out.isatty() else WIDTH
    stage = Stage(out, max(wide, NARROWEST))
    good = True
    for number, scene in enumerate(SCENES, start=1):
        title = f"{number}. {scene.__doc__}"
        stage.say(title, margin="   ")
        stage.put("\n\n  ")
        with watch() as run:
            right = await asyncio.wait_for(scene(stage), timeout=10)
        good = good and right
        picture = run.text(stage.width - 2).replace("\n", "\n  ")
        stage.put(f"\n\n  {picture}\n\n")
        if not right:
            stage.put("  This did not end as it should.\n\n")
        if save is not None:
            run.title = title
            run.save(save / f"{number}-{scene.__name__.replace('_', '-')}.svg")
    _take_leave(stage, save)
    return good


def _take_leave(stage: Stage, saved: Path | None) -> None:
    """What the pictures mean, and where to go on."""
    stage.say(LEGEND)
    if saved is not None:
        stage.put(f"\nThe pictures are in {saved}")
    stage.put("\n\nGo on with\n")
    wide = max(map(len, FURTHER)) + 2
    for command, what in FURTHER.items():
        line = f"  python -m rxchat {command:<{wide}}"
        room = stage.width - len(line)
        stage.put(f"{line}{what}\n" if room >= len(what) else f"{line.rstrip()}\n      {what}\n")
