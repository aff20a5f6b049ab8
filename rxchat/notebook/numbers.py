"""What a meter has measured, as a person reads it."""

from __future__ import annotations

from rxchat.notebook.words import seconds
from rxchat.operators.asking.meters import Run

__all__ = ["footer"]

AT_ONCE = 0.05  # seconds


def footer(run: Run) -> str:
    """First content, rate and tokens of one answer, as far as they are known."""
    usage = run.usage
    known = (
        (None if run.first is None else seconds(run.first), "first after {}"),
        (_rate(run), "{:,.0f} characters/s"),
        (usage and usage.input, "{:,} tokens in"),
        (usage and usage.output, "{:,} out"),
    )
    return ", ".join(form.format(value) for value, form in known if value is not None)


def _rate(run: Run) -> float | None:
    """How fast it came; what came at once has no rate."""
    span = run.moments[-1] - run.moments[0] if run.moments else 0.0
    return run.rate if span > AT_ONCE else None
