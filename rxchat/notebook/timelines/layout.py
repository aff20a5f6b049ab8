"""What all pictures of a timeline have in common: their lanes, and their scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

from attrs import frozen

from rxchat.notebook.timelines.lanes import Drawn, drawn
from rxchat.notebook.timelines.timeline import Row

__all__ = ["NOTHING", "Layout"]

NOTHING = "nothing was recorded"
LEAST = 1e-3  # seconds that the axis has at least


@frozen(slots=False)
class Layout:
    """The lanes of a picture, and its time axis, which begins at 0."""

    rows: Sequence[Row]

    @cached_property
    def lanes(self) -> list[Drawn]:
        """From top to bottom."""
        return list(drawn(self.rows))

    @cached_property
    def span(self) -> float:
        """How many seconds the picture shows."""
        return max((lane.last for lane in self.lanes), default=0.0) or LEAST

    def ticks(self, most: int) -> list[tuple[float, str]]:
        """Round moments on the axis, with their names; about as many as there may be."""
        least = self.span / max(1, most)
        power = 10.0 ** math.floor(math.log10(least))
        step = next(power * by for by in (1, 2, 5, 10) if power * by >= least * 0.999)
        count = int(self.span / step * 1.0001)
        return [(number * step, _tick(number * step, step)) for number in range(count + 1)]


def _tick(at: float, step: float) -> str:
    if step < 0.01:
        return f"{at * 1e3:.6g} ms"
    return f"{at:.6g} s" if at else "0"
