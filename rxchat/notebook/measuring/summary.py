"""Many runs in one line: how quick, how fast, and how often it failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from math import ceil
from typing import Any, TypeAlias

from attrs import frozen

from rxchat.notebook.words import visible
from rxchat.stills import LITERAL

__all__ = ["HEAD", "Fact", "as_html", "cells", "percentile", "summary"]

Fact: TypeAlias = str | bool | int | float | None
Facts: TypeAlias = Mapping[str, Fact]
Runs: TypeAlias = Sequence[Facts]


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that so many percent do not exceed: one of them, never one in between.

    >>> percentile([4, 1, 3, 2], 50), percentile([4, 1, 3, 2], 95), percentile([7], 5)
    (2, 4, 7)
    """
    ordered = sorted(values)
    return ordered[max(ceil(len(ordered) * percent / 100), 1) - 1]


@frozen
class _Column:
    """One number of a summary, and how a person reads it."""

    of: Callable[[Runs], float | None]
    form: str


def _count(*outcomes: str) -> _Column:
    return _Column(lambda runs: sum(run["outcome"] in outcomes for run in runs), "{:,}")


def _percent(name: str, percent: float, form: str) -> _Column:
    def of(runs: Runs) -> float | None:
        known = [run[name] for run in runs if run["outcome"] == "completed"]
        values = [value for value in known if isinstance(value, int | float)]
        return percentile(values, percent) if values else None

    return _Column(of, form)


_COLUMNS: Mapping[str, _Column] = {
    "runs": _count("completed", "failed"),
    "failed": _count("failed"),
    "first, s: best": _percent("first", 0, "{:.3f}"),
    "median": _percent("first", 50, "{:.3f}"),
    "p95": _percent("first", 95, "{:.3f}"),
    "worst": _percent("first", 100, "{:.3f}"),
    "chars/s: median": _percent("rate", 50, "{:,.0f}"),
    "p5": _percent("rate", 5, "{:,.0f}"),
}
HEAD = ("provider", *_COLUMNS)


def summary(label: str, runs: Runs) -> dict[str, Fact]:
    """One line; what was hung up is not counted, what failed gives no times."""
    return {"provider": label, **{name: column.of(runs) for name, column in _COLUMNS.items()}}


def cells(line: Facts) -> list[str]:
    """A line as a person reads it."""
    numbers = ((column.form, line[name]) for name, column in _COLUMNS.items())
    return [
        str(line["provider"]),
        *("-" if number is None else form.format(number) for form, number in numbers),
    ]


_RULE = "border:0;border-bottom:1px solid rgba(128,128,128,.35);padding:.35em .9em"


def as_html(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same for a page, in the page's own colours; names are text, whatever they contain."""

    def line(tag: str, row: Sequence[Any], style: str) -> str:
        aligns = ("left", *("right" for _ in row[1:]))
        return "".join(
            f'<{tag} style="text-align:{align};{_RULE};{style}">'
            f"{escape(visible(str(cell)))}</{tag}>"
            for cell, align in zip(row, aligns, strict=True)
        )

    body = "".join(f"<tr>{line('td', row, 'font-weight:400')}</tr>" for row in rows)
    return (
        f'<table class="{LITERAL}" style="border-collapse:collapse;color:inherit;'
        'background:none;font-variant-numeric:tabular-nums">'
        f"<thead><tr>{line('th', head, 'opacity:.65;font-weight:600')}</tr></thead>"
        f"<tbody>{body}</tbody></table>"
    )
