"""1,000 live streams at once, each of 50 tokens per second, on one core: who keeps up?

    python -m benchmarks.live [--quick] [--streams N] [--who rxchat openai ...]

The server has one core and each contender, in its turn, the other. A token is the time at which
it was sent, so that its lag is known when it arrives.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
from array import array
from statistics import median, quantiles
from time import monotonic, process_time
from typing import NamedTuple

import aiohttp

from benchmarks.contenders import CONTENDERS
from benchmarks.report import setting, table, verdict
from benchmarks.server import SPEED, local_server

GOAL = 2.0  # times the hand loop's median lag
KEPT_UP = 0.98  # of the tokens that are due


class Found(NamedTuple):
    """Of one contender: seconds of lag, the part of the tokens that came, the part of the core."""

    median: float
    most: float  # the 99th percentile
    came: float
    busy: float


async def watched(url: str, who: str, streams: int, seconds: float) -> Found:
    """Open the streams, and look at them for a while when all have begun."""
    lags, began = array("d"), asyncio.Semaphore(0)
    looking = False
    read = CONTENDERS[who].read

    async def stream(session: aiohttp.ClientSession) -> None:
        first = True

        def take(text: str) -> None:
            nonlocal first
            if first:
                first = False
                began.release()
            if looking:
                lags.append(monotonic() - float(text))

        await read(f"{url}/openai/live/0", session, take)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        tasks = [asyncio.create_task(stream(session)) for _ in range(streams)]
        for _ in tasks:
            await began.acquire()
        await asyncio.sleep(1)
        looking, since, cpu = True, monotonic(), process_time()
        await asyncio.sleep(seconds)
        looking, took, cpu = False, monotonic() - since, process_time() - cpu
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    came = len(lags) / (streams * SPEED * took)
    return Found(median(lags), quantiles(lags, n=100)[-1], came, cpu / took)


def apart(url: str, who: str, streams: int, seconds: float, core: int) -> Found:
    """Look at a contender in a process of its own, on a core of its own."""
    command = [sys.executable, "-m", "benchmarks.live", "--measure", url, who]
    command += [str(streams), str(seconds), str(core)]
    found = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    return Found(*json.loads(found))


def main() -> bool:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="2 rounds of 4 seconds")
    parser.add_argument("--who", nargs="*", default=["rxchat"], help="one of `contenders.py`")
    parser.add_argument("--measure", nargs=5, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        url, who, streams, seconds, core = given.measure
        os.sched_setaffinity(0, {int(core)})
        print(json.dumps(asyncio.run(watched(url, who, int(streams), float(seconds)))))
        return True

    if given.quick:
        given.rounds, given.seconds = 2, 4
    cores = sorted(os.sched_getaffinity(0))
    found: dict[str, list[Found]] = {who: [] for who in ("by hand", *given.who)}
    with local_server(cores[0]) as url:
        for _ in range(given.rounds):
            for who, rounds in found.items():
                rounds.append(apart(url, who, given.streams, given.seconds, cores[-1]))

    print(f"{setting()}; {given.streams:,} streams, {SPEED} tokens per second each\n")
    middle = {who: Found(*map(median, zip(*rounds, strict=True))) for who, rounds in found.items()}
    rows = [
        (who, *(f"{lag * 1e3:,.1f}" for lag in each[:2]), f"{each.came:.1%}", f"{each.busy:.0%}")
        for who, each in middle.items()
    ]
    header = ("", "ms of lag, median", "99th percentile", "tokens that came", "CPU of one core")
    print(table(header, rows), end="\n\n")
    lag = middle["rxchat"].median / middle["by hand"].median
    late = (1 - middle["rxchat"].came) * 100
    verdicts = [
        verdict("rxchat's median lag", lag, GOAL, " x the hand loop's"),
        verdict("rxchat's tokens that did not come", late, (1 - KEPT_UP) * 100, " %"),
    ]
    return all(verdicts)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
