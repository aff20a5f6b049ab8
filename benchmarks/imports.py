"""The time that `import rxchat` takes, beside `import reactivex` alone.

    python -m benchmarks.imports [--quick]

Each import is the first one of a fresh process; they take turns. rxchat loads its rooms when
their words are first used, so the rooms are timed as well.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from statistics import median

from benchmarks.report import setting, table, verdict

GOAL = 1.3  # times `import reactivex`
PACKAGES = ("reactivex", "rxchat", "rxchat.stream", "rxchat.operators", "rxchat.providers")
TIMED = "from time import process_time as t; began = t(); import {}; print((t() - began) * 1e3)"
LOADED = "import {}, sys; print(*sys.modules)"


def fresh(program: str) -> str:
    """What a program prints, in a process of its own."""
    command = [sys.executable, "-c", program]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def main() -> bool:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--quick", action="store_true", help="10 rounds")
    given = parser.parse_args()
    loaded = {name: set(fresh(LOADED.format(name)).split()) for name in PACKAGES}  # and warm
    times: dict[str, list[float]] = {name: [] for name in PACKAGES}
    for _ in range(10 if given.quick else given.rounds):
        for name in PACKAGES:
            times[name].append(float(fresh(TIMED.format(name))))

    alone, ours = (median(times[name]) for name in ("reactivex", "rxchat"))
    more = loaded["rxchat"] - loaded["reactivex"]
    print(f"{setting()}\n")
    rows = [
        (f"`import {name}`", f"{median(times[name]):.1f}", len(loaded[name])) for name in PACKAGES
    ]
    print(table(("", "ms of CPU", "modules"), rows), end="\n\n")
    print("* beside reactivex's own:", *sorted({name.partition(".")[0] for name in more}))
    for name in ("aiohttp", "ssl"):
        by = [package for package in PACKAGES if name in loaded[package]]
        print(f"* {name} is loaded by {', '.join(by) or 'none'}")
    return verdict("`import rxchat`", ours / alone, GOAL, " x `import reactivex`")


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
