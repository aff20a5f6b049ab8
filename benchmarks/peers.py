"""CPU, time to first text and import time: rxchat beside the vendors' SDKs and other clients.

    python -m benchmarks.peers [--env DIRECTORY] [--rounds N] [--events N] [--packets N]

The virtual environment is made if it is not there, which takes a while; without `--env` it is a
temporary one. Each contender has a process of its own; those of a format read the same bytes of
the same server, in turn.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import NamedTuple

import aiohttp

from benchmarks.contenders import CONTENDERS, OURS
from benchmarks.report import setting, table, verdict
from benchmarks.server import local_server, words

ROOT = Path(__file__).parent.parent
PEERS = {
    "openai": "2.54",
    "anthropic": "2.12",
    "ollama": "0.6.3",
    "litellm": "1.106",
    "pydantic-ai-slim[openai]": "2.31",
    "langchain-openai": "1.7",
}
VERSIONS = """
from importlib.metadata import version
print(", ".join(f"{{name}} {{version(name)}}" for name in {}))
"""
IMPORTED = "from time import process_time as t; began = t(); import {}; print((t() - began) * 1e3)"
QUIET = {**os.environ, "PYTHONWARNINGS": "ignore", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}


def environment(directory: Path) -> Path:
    """The interpreter of a virtual environment that has everybody in it."""
    python = directory / "bin" / "python"
    if not python.exists():
        venv.create(directory, with_pip=True)
        peers = [f"{name}>={version}" for name, version in PEERS.items()]
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", f"{ROOT}[fast]", *peers], check=True
        )
    return python


# A contender's process ---------------------------------------------------------------------------


class Cost(NamedTuple):
    """What one answer took, in nanoseconds: of CPU, and on the wall until its first text."""

    cpu: float
    first_text: float


async def serve_as(name: str) -> None:
    """Read every answer that standard input names, and say what it cost."""
    async with aiohttp.ClientSession() as session:
        for line in sys.stdin:
            base_url, kind, events = line.split()
            found: list[str] = []
            first = 0.0

            def take(text: str, found: list[str] = found) -> None:
                nonlocal first
                first = first or perf_counter()
                found.append(text)

            gc.collect()
            began, cpu = perf_counter(), process_time()
            await CONTENDERS[name].read(base_url, session, take)
            cpu = process_time() - cpu
            assert "".join(found).strip() == "".join(words(kind, int(events))).strip(), name
            print(json.dumps(Cost(cpu * 1e9, (first - began) * 1e9)), flush=True)


class Reader:
    """A contender, who sits in a process of its own."""

    def __init__(self, python: Path, name: str, url: str) -> None:
        self._url = f"{url}/{CONTENDERS[name].kind}"
        self._kind = CONTENDERS[name].kind
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.peers", "--contender", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=QUIET,
        )

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.communicate()  # which ends its standard input

    def read(self, manner: str, events: int) -> Cost:
        assert self._process.stdin
        assert self._process.stdout
        base_url = f"{self._url}/{manner}/{events}"
        print(base_url, self._kind, events, file=self._process.stdin, flush=True)
        return Cost(*json.loads(self._process.stdout.readline()))


# The comparison ----------------------------------------------------------------------------------


class Row(NamedTuple):
    """Nanoseconds of CPU per event, in bulk and in packets, and per request; and on the wall."""

    bulk: float
    packet: float
    request: float
    first_text: float

    @classmethod
    def of(cls, reader: Reader, events: int, packets: int) -> Row:
        short = [reader.read("bulk", 1) for _ in range(15)]
        return cls(
            reader.read("bulk", events).cpu / events,
            reader.read("packet", packets).cpu / packets,
            median(cost.cpu for cost in short),
            median(cost.first_text for cost in short),
        )


@contextmanager
def readers(python: Path, url: str) -> Iterator[dict[str, Reader]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(Reader(python, name, url)) for name in CONTENDERS}


def compared(python: Path, rounds: int, events: int, packets: int) -> dict[str, list[Row]]:
    """What each contender costs in every round; the first, to be warm, does not count."""
    with local_server() as url, readers(python, url) as everybody:
        laps = [
            {name: Row.of(reader, events, packets) for name, reader in everybody.items()}
            for _ in range(rounds + 1)
        ]
    return {name: [lap[name] for lap in laps[1:]] for name in CONTENDERS}


def versions(python: Path) -> str:
    """Who is in the environment."""
    names = [name.partition("[")[0] for name in PEERS]
    return subprocess.check_output([python, "-c", VERSIONS.format(names)], text=True).strip()


def imported(python: Path, modules: str) -> float:
    """Milliseconds of CPU, in fresh processes; the first is to be warm."""
    command = [python, "-c", IMPORTED.format(modules)]
    told = [subprocess.check_output(command, text=True, cwd=ROOT, env=QUIET) for _ in range(6)]
    return median(map(float, told[1:]))


def ratios(rounds: list[Row], ours: list[Row]) -> Row:
    """How many times what rxchat costs; taken within each round, as the machine drifts."""
    within = [
        [a / b for a, b in zip(*both, strict=True)] for both in zip(rounds, ours, strict=True)
    ]
    return Row(*map(median, zip(*within, strict=True)))


def main() -> bool:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env", type=Path, help="where the virtual environment is, or will be")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--events", type=int, default=10_000, help="in bulk")
    parser.add_argument("--packets", type=int, default=300)
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.contender:
        asyncio.run(serve_as(given.contender))
        return True

    with TemporaryDirectory() as directory:
        python = environment(given.env or Path(directory))
        found = compared(python, given.rounds, given.events, given.packets)
        who = versions(python)
        imports = {name: imported(python, c.imports) for name, c in CONTENDERS.items() if c.imports}

    print(f"{setting()}, {who}; {given.rounds} rounds")
    print("In parentheses: times what rxchat takes in the same format\n")
    rows: list[tuple[str, ...]] = []
    beside: dict[str, Row] = {}
    for name, rounds in found.items():
        cost = Row(*map(median, zip(*rounds, strict=True)))
        ratio = beside[name] = ratios(rounds, found[OURS[CONTENDERS[name].kind]])
        cells = (f"{a / 1000:,.1f} ({b:.1f} x)" for a, b in zip(cost, ratio, strict=True))
        rows.append((name, *cells, f"{imports[name]:,.0f}" if name in imports else ""))
    header = ("µs", "CPU per event, bulk", "one per packet", "CPU per request", "to first text")
    print(table((*header, "ms of import"), rows), end="\n\n")
    verdicts = [
        verdict(f"CPU of {name} in bulk", beside[name].bulk, goal, " x rxchat's", at_least=True)
        for name, (*_, goal) in CONTENDERS.items()
        if goal
    ]
    return all(verdicts)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
