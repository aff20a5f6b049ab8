"""CPU per event, from the socket to the text: rxchat beside aiohttp alone and a loop by hand.

    python -m benchmarks.wire [--quick] [--rounds N] [--events N] [--packets N] [--uvloop]

All of them read the same bytes of the same server, in turn, in one process, and must give the
same text.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from statistics import median
from time import process_time
from typing import NamedTuple, TypeAlias

import aiohttp
import uvloop

from benchmarks import by_hand
from benchmarks.by_hand import Take
from benchmarks.report import setting, table, verdict
from benchmarks.server import local_server, words
from rxchat import operators as ops
from rxchat import providers
from rxchat.providers import Provider

Contestant: TypeAlias = Callable[[Provider, aiohttp.ClientSession, Take], Awaitable[None]]
Hand: TypeAlias = Callable[[str, aiohttp.ClientSession, Take], Awaitable[None]]

# The contestants: each hands on what it reads ---------------------------------------------------


async def bytes_only(provider: Provider, session: aiohttp.ClientSession, take: Take) -> None:
    async with session.post(provider.url, json=by_hand.PROMPT) as response:
        async for _ in response.content.iter_any():
            pass


def hand(read: Hand) -> Contestant:
    return lambda provider, session, take: read(provider.url, session, take)


async def iterated(provider: Provider, session: aiohttp.ClientSession, take: Take) -> None:
    async for text in provider("Hi").pipe(ops.text()):
        take(text)


async def subscribed(provider: Provider, session: aiohttp.ClientSession, take: Take) -> None:
    over = asyncio.get_running_loop().create_future()
    provider("Hi").pipe(ops.text()).subscribe(
        take, over.set_exception, lambda: over.set_result(None)
    )
    await over


# What is read, and how many times the hand loop's CPU it may cost -------------------------------


class Course(NamedTuple):
    kind: str
    provider: Provider
    read: Hand
    goals: dict[str, float]  # for each manner in which the server sends


def courses() -> list[Course]:
    known = {
        "ndjson": ("flowgpt", by_hand.lines, 2.5),
        "text": ("acytoo", by_hand.plain, 2.5),
        "openai": ("openai", by_hand.chat, 2.0),
        "openai-any": ("openai", by_hand.chat, 2.0),
        "anthropic": ("anthropic", by_hand.message, 2.5),
        "ollama": ("ollama", by_hand.ollama, 2.5),
    }
    return [
        Course(kind, keyed(getattr(providers, name)), read, {"bulk": bulk, "packet": 1.3})
        for kind, (name, read, bulk) in known.items()
        if hasattr(providers, name)
    ]


def keyed(provider: Provider) -> Provider:
    return provider.but(key="sk-for-nobody") if provider.auth else provider


class Lap(NamedTuple):
    """One way to send so many events, to be run by any contestant."""

    course: Course
    manner: str
    events: int

    @property
    def title(self) -> str:
        return f"{self.course.kind}, {'bulk' if self.manner == 'bulk' else 'one packet per event'}"

    async def run(self, contestant: Contestant, url: str, session: aiohttp.ClientSession) -> float:
        """Nanoseconds of CPU per event."""
        kind = self.course.kind
        provider = self.course.provider.but(base_url=f"{url}/{kind}/{self.manner}/{self.events}")
        found: list[str] = []
        gc.collect()
        began = process_time()
        await contestant(provider, session, found.append)
        took = process_time() - began
        if contestant is not bytes_only:
            assert "".join(found) == "".join(words(kind, self.events)), contestant.__name__
        return took / self.events * 1e9


@contextmanager
def counted() -> Iterator[Callable[[], int]]:
    """Count the reads of all streams meanwhile."""
    count, readany = 0, aiohttp.StreamReader.readany

    async def counting(reader: aiohttp.StreamReader) -> bytes:
        nonlocal count
        count += 1
        return await readany(reader)

    aiohttp.StreamReader.readany = counting
    try:
        yield lambda: count
    finally:
        aiohttp.StreamReader.readany = readany


class Result(NamedTuple):
    """Medians over the rounds; a ratio is taken within its round, as the machine drifts."""

    cost: float
    to_hand: float


async def measure(lap: Lap, url: str, rounds: int) -> list[Result]:
    """What each contestant costs; all run in every round, and each begins one in turn."""
    contestants = [bytes_only, hand(lap.course.read), iterated, subscribed]
    costs: list[list[float]] = [[] for _ in contestants]
    async with aiohttp.ClientSession() as session:
        for contestant in contestants:  # a lap to warm up
            with counted() as reads:
                await lap.run(contestant, url, session)
            each = reads() / lap.events
            if lap.manner == "packet" and each < 0.95:
                print(f"{lap.title}: {contestant.__name__} woke up {each:.2f} times per event")
        for number in range(rounds):
            for place in range(len(contestants)):
                turn = (number + place) % len(contestants)
                costs[turn].append(await lap.run(contestants[turn], url, session))
    return [
        Result(median(own), median(cost / hand for cost, hand in zip(own, costs[1], strict=True)))
        for own in costs
    ]


def main() -> bool:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--events", type=int, default=100_000, help="in bulk")
    parser.add_argument("--packets", type=int, default=1000)
    parser.add_argument("--quick", action="store_true", help="few rounds, few events")
    parser.add_argument("--only", help="one kind of `voices.py`")
    parser.add_argument("--uvloop", action="store_true")
    given = parser.parse_args()
    if given.quick:
        given.rounds, given.events, given.packets = 5, 60_000, 300
    laps = [
        Lap(course, manner, events)
        for manner, events in (("bulk", given.events), ("packet", given.packets))
        for course in courses()
        if given.only in (None, course.kind)
    ]
    new_loop = uvloop.new_event_loop if given.uvloop else asyncio.new_event_loop
    with local_server() as url, asyncio.Runner(loop_factory=new_loop) as runner:
        found = [runner.run(measure(lap, url, given.rounds)) for lap in laps]

    print(f"{setting()}, {'uvloop' if given.uvloop else 'asyncio'}'s loop, {given.rounds} rounds\n")
    header = ("ns of CPU per event", "aiohttp, bytes only", "hand loop")
    rows = [
        (
            lap.title,
            f"{alone.cost:,.0f}",
            f"{hand.cost:,.0f}",
            *(f"{ours.cost:,.0f} ({ours.to_hand:.2f} x)" for ours in both),
        )
        for lap, (alone, hand, *both) in zip(laps, found, strict=True)
    ]
    print(table((*header, "rxchat, `async for`", "rxchat, `subscribe`"), rows), end="\n\n")
    verdicts = [
        verdict(
            f"{lap.title}, `async for`",
            ours.to_hand,
            lap.course.goals[lap.manner],
            " x the hand loop",
        )
        for lap, (_, _, ours, _) in zip(laps, found, strict=True)
    ]
    return all(verdicts)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
