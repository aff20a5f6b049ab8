"""Four scenes against a server on this machine: no key, no network, real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TextIO

import attrs
from reactivex import Observable, abc
from reactivex.abc import DisposableBase
from reactivex.disposable import CompositeDisposable, Disposable

import rxchat
from rxchat import operators as ops
from rxchat.errors import Truncated
from rxchat.events import Event, Text
from rxchat.provider import Provider
from rxchat.providers import acytoo, cromicle, flowgpt
from rxchat.stream import Op, Stream
from rxchat.testing import LocalServer, Reply

__all__ = ["demo"]

COLUMN = 0.04  # seconds that one character of a timeline stands for
WORDS = ["The", " sky", " is", " blue", " because", " air", " scatters", " blue", " light", "."]
SENTENCE = "".join(WORDS)


@attrs.define
class Timeline:
    """Who did what when: a lane for each provider, a character for each moment."""

    begun: float = attrs.field(factory=lambda: asyncio.get_running_loop().time())
    lanes: dict[str, dict[int, str]] = attrs.field(factory=dict[str, dict[int, str]])

    def mark(self, name: str, sign: str) -> None:
        lane = self.lanes.setdefault(name, {})
        column = int((asyncio.get_running_loop().time() - self.begun) / COLUMN)
        while lane.get(column, sign) != sign:  # nothing is hidden, at worst it is drawn late
            column += 1
        lane[column] = sign

    def drawn(self) -> list[str]:
        width = max(map(len, self.lanes))
        return [f"{name:>{width}}  {_line(marks)}" for name, marks in self.lanes.items()]

    def lane(self, name: str) -> Op[Event, Event]:
        """Note who subscribes, what comes, and how it ends, on its way through."""

        def op(source: Observable[Event]) -> Observable[Event]:
            def subscribe(
                observer: abc.ObserverBase[Event], scheduler: abc.SchedulerBase | None = None
            ) -> DisposableBase:
                over = False

                def end(sign: str) -> None:
                    nonlocal over
                    if not over:
                        over = True
                        self.mark(name, sign)

                def on_next(event: Event) -> None:
                    if isinstance(event, Text):
                        self.mark(name, "o")
                    observer.on_next(event)

                def on_error(error: Exception) -> None:
                    end("x")
                    observer.on_error(error)

                def on_completed() -> None:
                    end("|")
                    observer.on_completed()

                self.mark(name, ".")
                inner = source.subscribe(on_next, on_error, on_completed, scheduler=scheduler)
                return CompositeDisposable(inner, Disposable(lambda: end("!")))

            return Observable(subscribe)

        return op


def _line(marks: dict[int, str]) -> str:
    first, last = min(marks), max(marks)
    return " " * first + "".join(marks.get(column, "-") for column in range(first, last + 1))


@attrs.define
class Stage:
    """What a scene plays on: where it writes, and who noted what."""

    out: TextIO
    timeline: Timeline = attrs.field(factory=Timeline)

    def ask(self, provider: Provider, server: LocalServer) -> Stream[Event]:
        moved = provider.but(base_url=server.url)
        return moved("Why is the sky blue?").pipe(self.timeline.lane(provider.name))

    async def show(self, answer: Stream[Event]) -> str:
        """Print the words as they arrive, and give them all."""
        text = ""
        async with answer.pipe(ops.text()).open() as chunks:
            async for chunk in chunks:
                text += chunk
                print(chunk, end="", file=self.out, flush=True)
        return text


async def one_chat(stage: Stage) -> bool:
    """One chat, word by word"""
    async with LocalServer(Reply(*WORDS, pace=0.06)) as server:
        return await stage.show(stage.ask(flowgpt, server)) == SENTENCE


async def fallback(stage: Stage) -> bool:
    """A fallback: cromicle is too busy, so flowgpt is asked"""
    busy = Reply.status(503, "the model is overloaded")
    async with LocalServer(busy) as first, LocalServer(Reply(*WORDS, pace=0.06)) as second:
        answer = rxchat.fallback(stage.ask(cromicle, first), stage.ask(flowgpt, second))
        return await stage.show(answer) == SENTENCE and len(first.exchanges) == 1


async def race(stage: Stage) -> bool:
    """A race: acytoo speaks first, and flowgpt is hung up in the same moment"""
    quick = Reply(*WORDS, pace=0.06, headers_after=0.2)
    slow = Reply("Too late.", headers_after=5.0)
    async with LocalServer(slow) as loser, LocalServer(quick) as winner:
        answer = rxchat.race(stage.ask(flowgpt, loser), stage.ask(acytoo, winner))
        text = await stage.show(answer)
        return text == SENTENCE and await loser.exchanges[0].ended == "hung up"


async def cut(stage: Stage) -> bool:
    """A cut answer: it is reported, never taken for a whole one"""
    async with LocalServer(Reply(*WORDS[:6], pace=0.06, then="cut")) as server:
        try:
            await stage.show(stage.ask(flowgpt, server))
        except Truncated as error:
            print(f" ...\n  {type(error).__name__}: {error}", end="", file=stage.out)
            return error.content_emitted
    return False


SCENES: tuple[Callable[[Stage], Awaitable[bool]], ...] = (one_chat, fallback, race, cut)


async def demo(out: TextIO) -> bool:
    """Play all scenes; tell whether each ended as it should."""
    good = True
    for number, scene in enumerate(SCENES, start=1):
        stage = Stage(out)
        print(f"{number}. {scene.__doc__}\n\n  ", end="", file=out, flush=True)
        right = await asyncio.wait_for(scene(stage), timeout=10)
        good = good and right
        print("\n\n" + "\n".join(f"  {line}" for line in stage.timeline.drawn()), file=out)
        print("" if right else "\n  This did not end as it should.\n", file=out, flush=True)
    legend = f". asked  o words  | end  x error  ! hung up; a character is {COLUMN:.2f} s"
    print(legend, file=out, flush=True)
    return good
