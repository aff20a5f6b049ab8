"""Memory: a large answer for a slow consumer, and many streams that are open at once.

    python -m benchmarks.memory [--quick]

Every measurement has a process of its own, and reads in /proc what Linux says of it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.contenders import CONTENDERS, Read
from benchmarks.report import setting, table, verdict
from benchmarks.server import local_server
from rxchat import of
from rxchat import operators as ops
from rxchat.providers import acytoo

MB = 1_000_000
SPEED = 20 * MB  # bytes per second that the slow consumer takes
GOAL = 25  # MB more than the idle process
STREAMS = 1_000
GOAL_HELD = 1.5  # times what the hand loop takes for an open stream

# Ways to read one answer -------------------------------------------------------------------------


async def hand(url: str, session: aiohttp.ClientSession) -> AsyncIterator[bytes]:
    async with session.post(url, json={"prompt": "Hi"}) as response:
        async for chunk in response.content.iter_any():
            yield chunk


def data(url: str, session: aiohttp.ClientSession) -> AsyncIterator[bytes]:
    return aiter(of(acytoo.but(base_url=url).request("Hi")).pipe(ops.send()))


def text(url: str, session: aiohttp.ClientSession) -> AsyncIterator[str]:
    return aiter(acytoo.but(base_url=url)("Hi").pipe(ops.text()))


Way = Callable[[str, aiohttp.ClientSession], AsyncIterator[bytes | str]]
WAYS: dict[str, Way] = {"hand loop, bytes": hand, "rxchat, bytes": data, "rxchat, text": text}


def reading(way: Way) -> Read:
    async def read(url: str, session: aiohttp.ClientSession, take: Callable[[Any], object]) -> None:
        async for piece in way(url, session):
            take(piece)

    return read


READS: dict[str, tuple[str, Read]] = {
    **{name: ("text", reading(way)) for name, way in WAYS.items()},
    "hand loop, OpenAI's format": ("openai", CONTENDERS["by hand"].read),
    "rxchat, OpenAI's format": ("openai", CONTENDERS["rxchat"].read),
}

# What is measured --------------------------------------------------------------------------------


def resident(field: str = "VmRSS") -> int:
    """Bytes of memory in use now, or the most there has been, which is VmHWM."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields[field].split()[0]) * 1024


async def transfer(url: str, way: Way, size: int, session: aiohttp.ClientSession) -> float:
    """MB that the process grows by, at most, while a slow consumer takes a large answer."""
    clock = asyncio.get_running_loop().time

    async def consume(size: int) -> None:
        began, taken = clock(), 0
        async for chunk in way(f"{url}/flood/{size}", session):
            taken += len(chunk.encode() if isinstance(chunk, str) else chunk)
            await asyncio.sleep(max(0.0, began + taken / SPEED - clock()))
        assert taken > 0.99 * size, f"only {taken} bytes came"

    await consume(MB)  # to be warm
    gc.collect()
    idle = resident()
    await consume(size)
    return (resident("VmHWM") - idle) / MB


async def held(url: str, read: Read, streams: int, session: aiohttp.ClientSession) -> float:
    """kB that a stream takes that has begun and waits for more, while many others do."""
    begun = asyncio.Semaphore(0)
    tasks: list[asyncio.Task[None]] = []

    def begin(text: object) -> None:
        begun.release()

    async def hold(streams: int) -> None:
        tasks.extend(
            asyncio.create_task(read(f"{url}/hold/1", session, begin)) for _ in range(streams)
        )
        for _ in range(streams):
            await begun.acquire()
        gc.collect()

    await hold(20)  # to be warm
    idle = resident()
    await hold(streams)
    grown = resident() - idle
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return grown / streams / 1000


async def measured(measure: Callable[..., Awaitable[float]], *given: Any) -> float:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        return await measure(*given, session)


def apart(measure: Callable[..., Any], url: str, name: str, amount: int) -> float:
    """Measure in a process of its own."""
    names = [measure.__name__, url, name, str(amount)]
    command = [sys.executable, "-m", "benchmarks.memory", "--measure", *names]
    return float(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def main() -> bool:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="transfer 40 MB instead of 200")
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measure, url, name, amount = given.measure
        what = WAYS[name] if measure == "transfer" else READS[name][1]
        print(asyncio.run(measured(globals()[measure], url, what, int(amount))))
        return True

    size = (40 if given.quick else 200) * MB
    kinds = ("ascii", "text")
    with local_server() as url:
        peaks = {
            (name, kind): apart(transfer, f"{url}/{kind}", name, size)
            for name in WAYS
            for kind in kinds
        }
        open_ = {
            name: apart(held, f"{url}/{kind}", name, STREAMS) for name, (kind, _) in READS.items()
        }

    print(f"{setting()}\n")
    rows = [
        (
            name,
            *(f"{peaks[name, kind]:.1f}" if name in WAYS else "" for kind in kinds),
            f"{open_[name]:.1f}",
        )
        for name in READS
    ]
    large = f"MB more, {size // MB} MB"
    header = ("", f"{large} of ASCII", f"{large} of any text", f"kB per stream, {STREAMS:,} open")
    print(table(header, rows), end="\n\n")
    verdicts = [
        verdict(f"{name} of {kind}", peak, GOAL, " MB more than when idle")
        for (name, kind), peak in peaks.items()
        if WAYS[name] is not hand
    ]
    hand_chat, our_chat = list(open_)[-2:]
    ratio = open_[our_chat] / open_[hand_chat]
    verdicts.append(verdict(our_chat, ratio, GOAL_HELD, " x the hand loop per open stream"))
    return all(verdicts)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
