"""CPU per event, from the socket to the text: rxchat beside aiohttp alone and a loop by hand.

    python -m benchmarks.wire [--quick] [--rounds N] [--events N] [--packets N] [--uvloop]

All of them read the same bytes of the same server, in turn, in one process, and must give the
same text.
"""

from __future__ import annotations

import argparse
import asyncio
import codecs
import gc
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from statistics import median
from time import process_time
from typing import Any, NamedTuple, TypeAlias

import aiohttp
import msgspec
import uvloop

from benchmarks.report import setting, table, verdict
from benchmarks.server import local_server, words
from rxchat import operators as ops
from rxchat.providers import Provider, acytoo, flowgpt

Pieces: TypeAlias = list[Any]
Contestant: TypeAlias = Callable[[Provider, aiohttp.ClientSession, Pieces], Awaitable[None]]

# The contestants: each appends what it reads ----------------------------------------------------


async def bytes_only(provider: Provider, session: aiohttp.ClientSession, found: Pieces) -> None:
    async with session.post(provider.url, json={"prompt": "Hi"}) as response:
        async for chunk in response.content.iter_any():
            found.append(chunk)


class Line(msgspec.Struct):
    event: str
    data: str


async def hand_lines(provider: Provider, session: aiohttp.ClientSession, found: Pieces) -> None:
    decode, held = msgspec.json.Decoder(Line).decode, b""
    async with session.post(provider.url, json={"prompt": "Hi"}) as response:
        async for chunk in response.content.iter_any():
            *lines, held = (held + chunk).split(b"\n")
            for line in lines:
                if line:
                    event = decode(line)
                    if event.event == "text":
                        found.append(event.data)


async def hand_text(provider: Provider, session: aiohttp.ClientSession, found: Pieces) -> None:
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    async with session.post(provider.url, json={"prompt": "Hi"}) as response:
        async for chunk in response.content.iter_any():
            if text := decode(chunk):
                found.append(text)


async def iterated(provider: Provider, session: aiohttp.ClientSession, found: Pieces) -> None:
    async for text in provider("Hi").pipe(ops.text()):
        found.append(text)


async def subscribed(provider: Provider, session: aiohttp.ClientSession, found: Pieces) -> None:
    over = asyncio.get_running_loop().create_future()
    provider("Hi").pipe(ops.text()).subscribe(
        found.append, over.set_exception, lambda: over.set_result(None)
    )
    await over


# How they are measured --------------------------------------------------------------------------


class Course(NamedTuple):
    """What is read, how it comes, and how many times the hand loop's CPU it may cost."""

    format: str
    manner: str  # in which the server sends it
    provider: Provider
    by_hand: Contestant
    events: int
    goal: float

    @property
    def title(self) -> str:
        return f"{self.format}, {'bulk' if self.manner == 'bulk' else 'one packet per event'}"

    def contestants(self) -> tuple[Contestant, ...]:
        return bytes_only, self.by_hand, iterated, subscribed

    async def lap(self, contestant: Contestant, url: str, session: aiohttp.ClientSession) -> float:
        """Nanoseconds of CPU per event."""
        provider = self.provider.but(base_url=f"{url}/{self.format}/{self.manner}/{self.events}")
        found: Pieces = []
        gc.collect()
        began = process_time()
        await contestant(provider, session, found)
        took = process_time() - began
        if contestant is not bytes_only:
            assert "".join(found) == "".join(words(self.events)), contestant.__name__
        return took / self.events * 1e9


@contextmanager
def counted() -> Iterator[Callable[[], int]]:
    """Count the reads of all streams meanwhile."""
    count, readany = 0, aiohttp.StreamReader.readany

    async def counting(reader: aiohttp.StreamReader) -> bytes:
        nonlocal count
        count += 1
        return await readany(reader)

    aiohttp.StreamReader.readany = counting  # type: ignore
    try:
        yield lambda: count
    finally:
        aiohttp.StreamReader.readany = readany  # type: ignore


class Result(NamedTuple):
    """Medians over the rounds; a ratio is taken within its round, as the machine drifts."""

    cost: float
    to_hand: float


async def measure(course: Course, url: str, rounds: int) -> list[Result]:
    """What each contestant costs; all run in every round, and each begins one in turn."""
    contestants = course.contestants()
    times: dict[Contestant, list[float]] = {contestant: [] for contestant in contestants}
    async with aiohttp.ClientSession() as session:
        for contestant in contestants:  # a lap to warm up
            with counted() as reads:
                await course.lap(contestant, url, session)
            each = reads() / course.events
            if course.manner == "packet" and each < 0.95:
                print(f"{course.title}: {contestant.__name__} woke up {each:.2f} times per event")
        for number in range(rounds):
            for place in range(len(contestants)):
                contestant = contestants[(number + place) % len(contestants)]
                times[contestant].append(await course.lap(contestant, url, session))
    by_hand = times[course.by_hand]
    return [
        Result(median(laps), median(lap / hand for lap, hand in zip(laps, by_hand, strict=True)))
        for laps in times.values()
    ]


def main() -> bool:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--events", type=int, default=100_000, help="in bulk")
    parser.add_argument("--packets", type=int, default=1000)
    parser.add_argument("--quick", action="store_true", help="few rounds, few events")
    parser.add_argument("--uvloop", action="store_true")
    given = parser.parse_args()
    if given.quick:
        given.rounds, given.events, given.packets = 5, 60_000, 300
    courses = [
        Course(format, manner, provider, by_hand, events, goal)
        for manner, events, goal in (("bulk", given.events, 2.5), ("packet", given.packets, 1.3))
        for format, provider, by_hand in (
            ("ndjson", flowgpt, hand_lines),
            ("text", acytoo, hand_text),
        )
    ]
    new_loop = uvloop.new_event_loop if given.uvloop else asyncio.new_event_loop
    with local_server() as url, asyncio.Runner(loop_factory=new_loop) as runner:
        found = [runner.run(measure(course, url, given.rounds)) for course in courses]

    print(f"{setting()}, {'uvloop' if given.uvloop else 'asyncio'}'s loop, {given.rounds} rounds\n")
    header = ("ns of CPU per event", "aiohttp, bytes only", "hand loop")
    rows = [
        (
            course.title,
            f"{alone.cost:,.0f}",
            f"{hand.cost:,.0f}",
            *(f"{ours.cost:,.0f} ({ours.to_hand:.2f} x)" for ours in both),
        )
        for course, (alone, hand, *both) in zip(courses, found, strict=True)
    ]
    print(table((*header, "rxchat, `async for`", "rxchat, `subscribe`"), rows), end="\n\n")
    verdicts = [
        verdict(f"{course.title}, `async for`", ours.to_hand, course.goal, " x the hand loop")
        for course, (_, _, ours, _) in zip(courses, found, strict=True)
    ]
    return all(verdicts)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
