"""What transforming text costs per character, from 1 kB to 10 MB: it must not grow.

    python -m benchmarks.text

A source gives a text in pieces of four characters, at once, and the consumer does nothing. What
the same source costs without an operator is taken off. Small texts are run often enough to fill
the time of a large one.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import io
import json
import sys
from collections.abc import Callable
from statistics import median
from time import process_time
from typing import Any

import rxchat
from benchmarks.report import setting, table, verdict
from rxchat import operators as ops
from rxchat.events import Event, Text, ToolCall

PROSE = "The sky is blue, as e.g. Dr. Ray says: 3.14 times.\nIs it? Yes… “it is.”\n\n"
MARKDOWN = (
    "# Sky\n\nWhy is it *blue*?\n\n```python\nprint(1)\n```\n\n| a | b |\n|--|--|\n| 1 | 2 |\n\n"
)
TAGGED = "<think>Some `code` and\n text </think> with a < b and ~~~ marks.\n"
SECRETS = "Write to ada@example.com or call +1 555 0100; the key is sk-abcdef0123456789abcdef.\n"
ITEM = {"name": "Ada", "text": 'caf\u00e9 \\ "quoted"', "numbers": [1, 2.5, -3e8], "ok": True}

JSON = ""  # made as long as it has to be

Operator = Callable[[], Any]
OPERATORS: dict[str, tuple[Operator, str]] = {
    "words": (ops.words, PROSE),
    "sentences": (ops.sentences, PROSE),
    "lines": (ops.lines, PROSE),
    "paragraphs": (ops.paragraphs, PROSE),
    "graphemes": (ops.graphemes, PROSE),
    "code_blocks": (ops.code_blocks, MARKDOWN),
    "markdown_blocks": (ops.markdown_blocks, MARKDOWN),
    "tables": (ops.tables, MARKDOWN),
    "stop_at": (lambda: ops.stop_at("never said", "\n\n\n\n"), PROSE),
    "limit_chars": (lambda: ops.limit_chars(10**9), PROSE),
    "limit_words": (lambda: ops.limit_words(10**9), PROSE),
    "redact": (lambda: ops.redact("blue sky", ops.EMAILS, ops.KEYS), SECRETS),
    "guard": (lambda: ops.guard(bool), PROSE),
    "split_tags": (lambda: ops.split_tags("think"), TAGGED),
    "reasoning_tags": (ops.reasoning_tags, TAGGED),
    "smooth": (lambda: ops.smooth(rate=1e9, max_lag=1), PROSE),
    "coalesce": (lambda: ops.coalesce(0.05), PROSE),
    "throttle": (lambda: ops.throttle(0.05), PROSE),
    "partial_json": (ops.partial_json, JSON),
    "json_items": (ops.json_items, JSON),
    "as_type": (lambda: ops.as_type(list[dict[str, Any]]), JSON),
    "tool_calls": (ops.tool_calls, JSON),
    "growing": (ops.growing, PROSE),
    "collect": (ops.collect, PROSE),
    "count_tokens": (lambda: ops.count_tokens(str.split), PROSE),
    "cost": (lambda: ops.cost(rxchat.Price(1, 10)), PROSE),
    "tee_to": (lambda: ops.tee_to(io.StringIO()), PROSE),
}
EVENTS: dict[str, Callable[[str], Event]] = {  # of those that take events and no texts
    "split_tags": Text,
    "reasoning_tags": Text,
    "cost": Text,
    "tool_calls": lambda piece: ToolCall(0, "call-1", "save", piece),
}
PIECE = 4


def text_of(sample: str, size: int) -> str:
    if sample:
        return (sample * (size // len(sample) + 1))[:size]
    items = [ITEM] * max(1, size // len(json.dumps(ITEM)))
    return json.dumps(items)


def ignore(item: object) -> None:
    """The consumer."""


async def cost(operator: Any, pieces: list[Any], runs: int) -> float:
    """Seconds of CPU for all runs."""

    async def emit(pump: rxchat.Pump[Any]) -> None:
        hand = pump.emit
        for piece in pieces:
            hand(piece)

    stream = rxchat.source(emit)
    began = process_time()
    for _ in range(runs):
        await (stream.pipe(operator()) if operator else stream).subscribe(ignore).wait_closed()
    return process_time() - began


async def measure(name: str, sizes: list[int], rounds: int) -> list[float]:
    """Nanoseconds per character and size, over the plain pipeline."""
    operator, sample = OPERATORS[name]
    found = []
    for size in sizes:
        text = text_of(sample, size)
        pieces: list[Any] = [text[at : at + PIECE] for at in range(0, len(text), PIECE)]
        if name in EVENTS:
            pieces = [*map(EVENTS[name], pieces)]
        runs = max(1, 100_000 // len(text))
        gc.collect()
        gc.freeze()  # the input is not the operator's
        costs = [
            await cost(operator, pieces, runs) - await cost(None, pieces, runs)
            for _ in range(rounds)
        ]
        gc.unfreeze()
        found.append(median(costs) / runs / len(text) * 1e9)
    return found


def main() -> bool:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="one operator")
    parser.add_argument("--quick", action="store_true", help="few rounds, no large texts")
    given = parser.parse_args()
    sizes = [1_000, 10_000, 100_000] if given.quick else [1_000, 100_000, 1_000_000, 10_000_000]
    rounds = 3 if given.quick else given.rounds
    names = [given.only] if given.only else [*OPERATORS]
    costs = {name: asyncio.run(measure(name, sizes, rounds)) for name in names}
    print(f"{setting()}, {rounds} rounds, pieces of {PIECE} characters\n")
    header = ("ns per character, over plain", *(f"{size:,} characters" for size in sizes))
    print(table(header, [(name, *(f"{ns:.0f}" for ns in costs[name])) for name in names]))
    print()
    verdicts = [
        verdict(f"`{name}`, the longest text", found[-1] / found[0], 1.3, " x the shortest")
        for name, found in costs.items()
    ]
    return all(verdicts)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
