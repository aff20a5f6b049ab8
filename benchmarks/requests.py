"""CPU per request and time to the first text, and whether an event costs more in a long answer.

    python -m benchmarks.requests [--quick]

All is said in OpenAI's format, on a connection that is kept; rxchat is read with `async for`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
from statistics import median
from time import perf_counter, process_time
from typing import NamedTuple

import aiohttp

from benchmarks.contenders import CONTENDERS, Read
from benchmarks.report import setting, table, verdict
from benchmarks.server import local_server

GOAL = 2.2  # times the hand loop's CPU per request
GROWTH = 1.2  # times the CPU per event of the shortest answer
LENGTHS = (1_000, 10_000, 100_000)

WHO = ("by hand", "rxchat")


class Cost(NamedTuple):
    """What answers took on average, in microseconds."""

    cpu: float
    first_text: float


async def asked(read: Read, url: str, session: aiohttp.ClientSession, times: int) -> Cost:
    """Ask so many times, one after the other."""
    firsts = 0.0
    gc.collect()
    before = process_time()
    for _ in range(times):
        found: list[float] = []
        began = perf_counter()
        await read(url, session, lambda _, at=found: at or at.append(perf_counter()))
        firsts += found[0] - began
    return Cost((process_time() - before) / times * 1e6, firsts / times * 1e6)


async def taken_in_turn(
    url: str, rounds: int, times: int, session: aiohttp.ClientSession
) -> dict[str, list[Cost]]:
    """What each of them took in every round; the first, to be warm, does not count."""
    laps = [
        {who: await asked(CONTENDERS[who].read, url, session, times) for who in WHO}
        for _ in range(rounds + 1)
    ]
    return {who: [lap[who] for lap in laps[1:]] for who in WHO}


async def measured(url: str, rounds: int) -> tuple[dict[str, list[Cost]], list[list[float]]]:
    """The costs of a short answer; and the CPU per event, in ns, of answers of these lengths."""
    async with aiohttp.ClientSession() as session:
        short = await taken_in_turn(f"{url}/openai/bulk/1", rounds, 200, session)
        per_event: list[list[float]] = []
        for length in LENGTHS:
            times = LENGTHS[-1] // length
            costs = await taken_in_turn(f"{url}/openai/bulk/{length}", rounds, times, session)
            per_event.append(
                [
                    (median(c.cpu for c in costs[who]) - median(c.cpu for c in short[who]))
                    / length
                    * 1e3
                    for who in WHO
                ]
            )
    return short, per_event


def main() -> bool:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="5 rounds")
    given = parser.parse_args()
    with local_server() as url:
        short, per_event = asyncio.run(measured(url, 5 if given.quick else given.rounds))

    print(f"{setting()}\n")
    cpu = [median(cost.cpu for cost in short[who]) for who in WHO]
    first = [median(cost.first_text for cost in short[who]) for who in WHO]
    rows = [
        ("µs of CPU per request", *(f"{each:,.0f}" for each in cpu)),
        ("µs to the first text", *(f"{each:,.0f}" for each in first)),
        *(
            (f"ns of CPU per event, {length:,} events", *(f"{each:,.0f}" for each in costs))
            for length, costs in zip(LENGTHS, per_event, strict=True)
        ),
    ]
    print(table(("", *WHO), rows), end="\n\n")
    ratio = median(b.cpu / a.cpu for a, b in zip(*short.values(), strict=True))
    growth = per_event[-1][1] / per_event[0][1]
    verdicts = [
        verdict("CPU per request", ratio, GOAL, " x the hand loop's"),
        verdict("CPU per event of the longest answer", growth, GROWTH, " x the shortest one's"),
    ]
    return all(verdicts)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
