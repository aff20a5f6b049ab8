"""What an operator adds to each event: a source that emits at once, with and without it.

    python -m benchmarks.operators

The events are there before the clock starts, and the consumer does nothing, so that what is
measured is the operator and one more hand-over. Each round measures the plain pipeline and all
others next to each other; what is told is the median of the differences.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
from collections.abc import Callable
from statistics import median
from time import process_time

import rxchat
from benchmarks.report import setting, table, verdict
from rxchat import operators as ops
from rxchat.events import Event, Finish, Text
from rxchat.notebook import lane

Pipeline = Callable[[rxchat.Stream[Event]], rxchat.Stream[Event]]

PIPELINES: dict[str, tuple[Pipeline, float | None]] = {  # with the goal, in ns per event
    "plain": (lambda stream: stream, None),
    "`ops.retry()`": (lambda stream: stream.pipe(ops.retry()), 150),
    "`fallback(...)`": (lambda stream: rxchat.fallback(stream, stream), 150),
    "`race(...)`": (lambda stream: rxchat.race(stream, NOBODY), 250),
    "`hedge(...)`": (lambda stream: rxchat.hedge(stream, stream, after=9), 250),
    "`ops.deadline(...)`": (
        lambda stream: stream.pipe(ops.deadline(first=9, idle=9, total=99, min_rate=1)),
        300,
    ),
    "`ops.meter()`": (lambda stream: stream.pipe(ops.meter()), 300),
    "`lane(...)`": (lambda stream: stream.pipe(lane("a")), 1000),
    "`ops.limit(...)`": (lambda stream: stream.pipe(ops.limit(concurrent=9)), None),
    "`ops.breaker()`": (lambda stream: stream.pipe(ops.breaker()), None),
    "`ops.shared()`": (lambda stream: stream.pipe(ops.shared()), None),
    '`ops.checkpoint("a")`': (lambda stream: stream.pipe(ops.checkpoint("a")), None),
    "`ops.map(function)`": (lambda stream: stream.pipe(ops.map(same)), None),
}


def same(event: Event) -> Event:
    return event


async def never(pump: rxchat.Pump[Event]) -> None:
    await asyncio.Event().wait()


NOBODY: rxchat.Stream[Event] = rxchat.source(never)


def ignore(event: Event) -> None:
    """The consumer."""


async def cost(pipeline: Pipeline, events: list[Event]) -> float:
    """Nanoseconds of CPU per event."""
    took = 0.0

    async def emit(pump: rxchat.Pump[Event]) -> None:
        nonlocal took
        hand = pump.emit
        began = process_time()
        for event in events:
            hand(event)
        took = process_time() - began

    await pipeline(rxchat.source(emit)).subscribe(ignore).wait_closed()
    return took / len(events) * 1e9


async def measure(count: int, rounds: int) -> dict[str, list[float]]:
    """The cost of each pipeline in each round."""
    events: list[Event] = [Text("token ") for _ in range(count)] + [Finish()]
    costs: dict[str, list[float]] = {name: [] for name in PIPELINES}
    for _ in range(rounds + 1):
        for name, (pipeline, _) in PIPELINES.items():
            gc.collect()
            costs[name].append(await cost(pipeline, events))
    return {name: found[1:] for name, found in costs.items()}  # without the first, to warm up


def main() -> bool:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--quick", action="store_true", help="few rounds, few events")
    given = parser.parse_args()
    if given.quick:
        given.rounds, given.events = 7, 20_000
    costs = asyncio.run(measure(given.events, given.rounds))
    plain = costs["plain"]
    added = {
        name: median(own - base for own, base in zip(found, plain, strict=True))
        for name, found in costs.items()
    }
    print(f"{setting()}, {given.rounds} rounds of {given.events:,} events\n")
    rows = [(name, f"{median(costs[name]):.0f}", f"{added[name]:.0f}") for name in PIPELINES]
    print(table(("pipeline", "ns of CPU per event", "over plain"), rows), end="\n\n")
    goals = {name: goal for name, (_, goal) in PIPELINES.items() if goal is not None}
    verdicts = [verdict(name, added[name], goal, " ns") for name, goal in goals.items()]
    return all(verdicts)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
