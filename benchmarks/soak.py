"""Waves of streams through hedge, limit, retry and deadline, while one request in five fails.

    python -m benchmarks.soak [--quick] [--streams N] [--waves N] [--seed N]

Two services, in a process of their own, fail at random in every way that `rxchat.testing.FAULTS`
knows. Of a wave, `--streams` run at once and a quarter more wait for their turn. When it is over,
nothing may be left: no task, no socket, no object. One service is asked on the shared session
and the other on one of its own, as the shared one has places for 1,024 streams only.

The first wave has an event loop of its own, so that afterwards all is closed and all is warm:
that is the start to which memory must return. The other waves share a loop and a limiter.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import random
import resource
import subprocess
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import attrs

import rxchat
from benchmarks.memory import resident
from benchmarks.report import setting, table, verdict
from rxchat import operators as ops
from rxchat.errors import ChatError
from rxchat.providers import openai
from rxchat.testing import FAULTS, LocalServer, Reply
from rxchat.testing.fault_scripts import fault_script

SAID = ("Once", " upon", " a", " time,", " the", " end.")
SHARE = 0.2  # of the requests fail
RESPELT = {
    "429": "429(50ms)",
    "503": "503(0.1s)",
    "slow": "slow(300ms)",
    "dribble": "dribble(10ms)",
}
WELL = ("ok", "slow", "dribble")
ATTEMPTS = 4
ALLOWED = 2 * ATTEMPTS  # requests of one stream: each attempt may ask both services
EXTRA = 0.1  # of the requests may be sent because of slowness
FINISHED = 0.95  # of the streams
KEPT = 10  # objects of rxchat that may be there after the last wave and not after the first
BLOCKS = 2000  # of memory that Python may have more than at the start, most of them for this file
GROWN = 1.1  # times the memory at the start

# The services, in a process of their own ---------------------------------------------------------


def replies(chance: random.Random, number: int, pace: float) -> list[Reply]:
    """What a service does with so many requests, an answer's pieces coming at that pace."""

    def played(word: str) -> Reply:
        (fault,) = fault_script(RESPELT.get(word, word), *SAID)
        return fault.plan(fault.said, fault.wait or ("s", pace))

    well = [played(word) for word in WELL]
    failing = [played(word) for word in FAULTS if word not in WELL]
    return [chance.choice(failing if chance.random() < SHARE else well) for _ in range(number)]


async def serve(seed: int, number: int, pace: float) -> None:
    """Serve until standard input ends, and tell what was asked and who has not hung up."""
    async with LocalServer() as one, LocalServer() as other:
        chance = random.Random(seed)
        for server in (one, other):
            server.plan(*replies(chance, number, pace))
        print(json.dumps([one.url, other.url]), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        exchanges = one.exchanges + other.exchanges
        asked = Counter(exchange.json["messages"][0]["content"] for exchange in exchanges)
        with suppress(TimeoutError):
            async with asyncio.timeout(10):
                await one.disconnected()
                await other.disconnected()
        print(json.dumps([list(asked.values()), one.connections + other.connections]))


@attrs.define
class Services:
    """Where they are, and when they have stopped, how often each stream asked them."""

    urls: list[str]
    asked: list[int] = attrs.field(factory=list[int])
    connections: int = 0


@contextmanager
def services(seed: int, number: int, pace: float) -> Iterator[Services]:
    """Run both in a process of their own."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.soak",
        "--serve",
        str(seed),
        str(number),
        str(pace),
    ]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        found = Services(json.loads(process.stdout.readline()))
        yield found
        told, _ = process.communicate()  # which ends its standard input
        found.asked, found.connections = json.loads(told)


def allow_sockets(number: int) -> None:
    """Raise this process's limit, and so that of the services, or say that it cannot be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY != hard < number:
        sys.exit(f"{number:,} open files are needed, and this machine allows {hard:,}: ulimit -n")
    if resource.RLIM_INFINITY != soft < number:
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))


# What must not be left ---------------------------------------------------------------------------


@contextmanager
def complaints() -> Iterator[list[str]]:
    """Warnings, errors that nobody could be told, and what the loop logs."""
    heard: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    ear, hook = Ear(logging.WARNING), sys.unraisablehook
    logging.getLogger().addHandler(ear)
    sys.unraisablehook = lambda bug: heard.append(f"{bug.err_msg}: {bug.exc_value!r}")
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            yield heard
            gc.collect()  # what is dropped may complain
        heard += [str(warning.message) for warning in warned]
    finally:
        sys.unraisablehook = hook
        logging.getLogger().removeHandler(ear)


def open_files() -> int:
    """Sockets, nearly all of them."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def objects() -> Counter[str]:
    """What there is of rxchat, by type."""
    gc.collect()
    kinds = (type(each) for each in gc.get_objects())
    names = (f"{kind.__module__}.{kind.__qualname__}" for kind in kinds)
    return Counter(name for name in names if name.startswith("rxchat."))


@attrs.define
class State:
    """What this process has when no loop runs."""

    files: int = attrs.field(factory=open_files)
    blocks: int = attrs.field(factory=sys.getallocatedblocks)
    resident: int = attrs.field(factory=resident)


# The waves ---------------------------------------------------------------------------------------


@attrs.define
class Wave:
    """How the streams of a wave ended, and what was there afterwards."""

    ended: Counter[str] = attrs.field(factory=Counter[str])
    seconds: float = 0.0
    peak: int = 0  # files that were open at once
    tasks: int = 0
    streams: int = 0  # on the shared session
    files: int = 0
    objects: Counter[str] = attrs.field(factory=Counter[str])
    resident: int = 0


Pipeline = Callable[[rxchat.Stream[Any], rxchat.Stream[Any]], rxchat.Stream[Any]]


def pipeline(streams: int, patience: float) -> Pipeline:
    """Two services with all that is there for bad times; so many streams run at once."""
    each = ops.deadline(first=patience, idle=patience)
    limiter = ops.limit(concurrent=streams)
    backoff = ops.exponential(base=0.1, most=1.0)

    def build(one: rxchat.Stream[Any], other: rxchat.Stream[Any]) -> rxchat.Stream[Any]:
        return rxchat.hedge(one.pipe(each), other.pipe(each), after="p95", max_extra=EXTRA).pipe(
            limiter,
            ops.retry(ATTEMPTS, backoff=backoff, max_wait=5, after_commit="restart"),
            ops.deadline(total=patience * 30),
        )

    return build


async def outcome(stream: rxchat.Stream[Any]) -> str:
    """How a stream ends, in a word."""
    try:
        heard = [event async for event in stream]
    except ChatError as error:
        return type(error).__name__
    except Exception as error:
        return f"untyped {type(error).__name__}"
    return "finished" if rxchat.reply(heard).text == "".join(SAID) else "not whole"


async def run_wave(urls: list[str], number: int, streams: int, build: Pipeline) -> Wave:
    wave, began, loop = Wave(), monotonic(), asyncio.get_running_loop()

    def look() -> None:
        nonlocal looking
        wave.peak = max(wave.peak, open_files())
        looking = loop.call_later(0.1, look)

    looking = loop.call_later(0.1, look)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        shared = openai.but(base_url=f"{urls[0]}/v1", key="any")
        own = openai.but(base_url=f"{urls[1]}/v1", key="any", session=session)
        asking = [
            asyncio.create_task(outcome(build(one(f"{number}/{at}"), other(f"{number}/{at}"))))
            for at, (one, other) in enumerate(
                [(shared, own), (own, shared)] * (streams * 5 // 4 // 2)
            )
        ]
        done, endless = await asyncio.wait(asking, timeout=1200)
        wave.ended.update(task.result() for task in done)
        wave.ended["never"] += len(endless)
        for task in endless:
            task.cancel()
        await asyncio.gather(*endless, return_exceptions=True)
    looking.cancel()
    wave.seconds = monotonic() - began
    await settled()
    wave.tasks = len(asyncio.all_tasks()) - 1
    wave.streams = rxchat.connections().streams + rxchat.connections().waiting
    wave.objects, wave.resident, wave.files = objects(), resident(), open_files()
    return wave


async def settled() -> None:
    """Give what is being closed the turns of the loop that it takes, a second at most."""
    for _ in range(100):
        await asyncio.sleep(0.01)
        if len(asyncio.all_tasks()) == 1:
            return


async def run_waves(urls: list[str], numbers: range, streams: int, told: list[str]) -> list[Wave]:
    """Waves one after the other, through the same pipeline."""

    def report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        told.append(f"{context['message']}: {context.get('exception')!r}")

    asyncio.get_running_loop().set_exception_handler(report)
    build = pipeline(streams, patience(streams))
    return [await run_wave(urls, number, streams, build) for number in numbers]


def patience(streams: int) -> float:
    """Seconds of silence that count as a failure: more, the busier the services are."""
    return 1 + streams / 250


# What is found -----------------------------------------------------------------------------------


def judge(waves: list[Wave], states: list[State], found: Services, told: list[str]) -> bool:
    """Say which goals are met."""
    ended = sum((wave.ended for wave in waves), Counter[str]())
    untyped = sum(count for how, count in ended.items() if how.startswith("untyped"))
    kept = waves[-1].objects - waves[0].objects
    _, start, end = states
    for name, count in kept.most_common(10):
        print(f"    {count:,} more of {name}")
    for complaint, count in Counter(told).most_common(10):
        print(f"    {count:,} times: {complaint}")
    verdicts = [
        verdict("streams that never ended", ended["never"], 0),
        verdict("streams that ended with an error that is no ChatError", untyped, 0),
        verdict("answers that were not what the service said", ended["not whole"], 0),
        verdict("finished", ended["finished"] / ended.total(), FINISHED, at_least=True),
        verdict("requests of a stream", max(found.asked), ALLOWED),
        verdict("tasks left after a wave", max(wave.tasks for wave in waves), 0),
        verdict("streams left open after a wave", max(wave.streams for wave in waves), 0),
        verdict("sockets left at the end", end.files - states[0].files, 0),
        verdict("connections left, as the services see it", found.connections, 0),
        verdict("warnings and reports", len(told), 0),
        verdict("threads", threading.active_count(), 1),
        verdict("objects of rxchat kept", kept.total(), KEPT),
        verdict("blocks of memory kept", end.blocks - start.blocks, BLOCKS),
        verdict("memory", end.resident / start.resident, GROWN, " x that at the start"),
    ]
    return all(verdicts)


def main() -> bool:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=2000, help="at once")
    parser.add_argument("--waves", type=int, default=5, help="at least 2")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pace", type=float, default=0.5, help="seconds between two words")
    parser.add_argument("--quick", action="store_true", help="3 waves of 300, words come faster")
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        seed, number, pace = given.serve
        asyncio.run(serve(int(seed), int(number), float(pace)))
        return True

    if given.quick:
        given.streams, given.waves, given.pace = 300, 3, 0.1
    allow_sockets(3 * given.streams + 500)
    requests = given.streams * 5 // 4 * given.waves * ALLOWED
    waves: list[Wave] = []
    with complaints() as told, services(given.seed, requests, given.pace) as found:
        states = [State()]
        for numbers in (range(1), range(1, given.waves)):
            waves += asyncio.run(run_waves(found.urls, numbers, given.streams, told))
            gc.collect()
            states.append(State())

    print(f"{setting()}; {given.streams:,} streams at once, {SHARE:.0%} of the requests fail\n")
    rows = [
        (
            f"wave {number}",
            f"{wave.ended.total():,}",
            f"{wave.ended['finished'] / wave.ended.total():.1%}",
            f"{wave.seconds:.1f}",
            f"{wave.ended.total() / wave.seconds:,.0f}",
            f"{wave.peak - states[0].files:,}",
            f"{wave.files - states[0].files:,}",
            f"{wave.resident / 1e6:.1f}",
        )
        for number, wave in enumerate(waves, 1)
    ]
    header = ("", "streams", "finished", "seconds", "streams per second", "sockets at once")
    print(table((*header, "kept idle", "MB in all"), rows), end="\n\n")
    ended = sum((wave.ended for wave in waves), Counter[str]())
    print("How they ended:", ", ".join(f"{how} {count:,}" for how, count in (+ended).most_common()))
    print(f"Requests per stream: {sum(found.asked) / ended.total():.2f}\n")
    return judge(waves, states, found, told)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
