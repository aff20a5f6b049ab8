"""What a meter has measured, as a person reads it."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from rxchat.operators.asking.meters import Run

__all__ = ["footer", "percentile"]


def footer(run: Run) -> str:
    """First content, rate and tokens of one answer, as far as they are known."""
    usage = run.usage
    known = (
        (run.first, "first after {:.2f} s"),
        (run.rate, "{:,.0f} characters/s"),
        (usage and usage.input, "{:,} tokens in"),
        (usage and usage.output, "{:,} out"),
    )
    return ", ".join(form.format(value) for value, form in known if value is not None)


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that so many percent do not exceed: one of them, never one in between.

    >>> percentile([4, 1, 3, 2], 50), percentile([4, 1, 3, 2], 95), percentile([7], 5)
    (2, 4, 7)
    """
    ordered = sorted(values)
    return ordered[max(ceil(len(ordered) * percent / 100), 1) - 1]
