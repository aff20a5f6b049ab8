"""What the scripts say in the same words: a Markdown table, and whether a goal is met."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import version


def setting() -> str:
    """What the numbers depend on, beside the machine."""
    libraries = ("aiohttp", "reactivex", "msgspec", "uvloop")
    versions = ", ".join(f"{name} {version(name)}" for name in libraries)
    return f"Python {platform.python_version()}, {versions}"


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table: the first column is words, the others are numbers."""
    marks = [":--", *["--:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in (header, marks, *rows))


def verdict(
    what: str, found: float, goal: float, unit: str = "", *, at_least: bool = False
) -> bool:
    """Say whether a goal is met, and give it."""
    met = found >= goal if at_least else found <= goal
    bound = "at least" if at_least else "at most"
    print(f"* {'met' if met else '**missed**'}: {what}: {found:.2f}{unit}, {bound} {goal:g}{unit}")
    return met
