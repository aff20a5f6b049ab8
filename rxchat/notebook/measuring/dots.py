"""Runs as dots in a row: none hides another, a shade tells where most are, a mark the median."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any

from attrs import frozen

from rxchat.notebook.measuring.chart import INCH, POINT, Page
from rxchat.notebook.measuring.measurements import Measured
from rxchat.notebook.measuring.summary import percentile

__all__ = ["BAND", "LABEL", "Dots", "size_of_dots", "swarm"]

BAND = 4  # runs that are enough to say where most are
LABEL = 16.0  # pixels above the dots, for the median in words
SMALL = 4.0  # pixels of a dot that is too small for a rim
_SIZES = ((30, 9.0), (120, 7.0), (400, 5.0), (inf, 3.6))


def size_of_dots(most: int) -> float:
    """Pixels of each, if there are so many in a row."""
    return next(size for limit, size in _SIZES if most <= limit)


@frozen
class Dots:
    """The runs of one label in a row, around the height `middle`."""

    page: Page
    axes: Any
    hue: str
    middle: float
    high: float
    dot: float
    many: bool
    """Whether there are so many in all that they are one image."""

    def draw(
        self,
        values: Mapping[int, float],
        runs: Sequence[Measured],
        said: Callable[[float], str],
    ) -> None:
        """A dot for each value of a run, by its place; and the median, as it is said."""
        if not values:
            return
        everything = [*values.values()]
        if len(values) >= BAND:
            self._band(everything, 5, 95, 3.0, 0.35)
            self._band(everything, 25, 75, self._half * 2, 0.2)
        offsets = swarm([*self._pixels(everything)], self.dot + 1.0, self._half)
        dots = [
            (value, self.middle + offset, bool(runs[place].row["warm"]))
            for (place, value), offset in zip(values.items(), offsets, strict=True)
        ]
        self._dots([(x, y) for x, y, warm in dots if warm], warm=True)
        self._dots([(x, y) for x, y, warm in dots if not warm], warm=False)
        median = percentile(everything, 50)
        self._median(median, said(median))

    def _dots(self, dots: Sequence[tuple[float, float]], *, warm: bool) -> None:
        """Full ones with a rim of paper that keeps them apart, unless they are too small for it."""
        paper, apart = self.page.look.paper, self.dot > SMALL
        rim = (0.7 if apart else 0.0) if warm else 1.6
        self.axes.scatter(
            [x for x, _ in dots],
            [y for _, y in dots],
            s=((self.dot if warm else max(self.dot, 6.0)) * POINT) ** 2,
            facecolors=self.hue if warm else paper,
            edgecolors=paper if warm else self.hue,
            linewidths=rim * POINT,
            alpha=0.85 if apart else 0.6,
            clip_on=False,
            zorder=3,
            rasterized=self.many,
        )

    @property
    def _half(self) -> float:
        return (self.high - LABEL) / 2 - 6

    def _pixels(self, values: Sequence[float]) -> Sequence[float]:
        dots = self.axes.transData.transform([(value, 0.0) for value in values])
        return [float(dot[0]) * INCH / self.page.figure.dpi for dot in dots]

    def _band(
        self, values: Sequence[float], low: int, high: int, wide: float, alpha: float
    ) -> None:
        start, end = percentile(values, low), percentile(values, high)
        self.axes.barh(
            self.middle,
            end - start,
            left=start,
            height=wide,
            color=self.hue,
            alpha=alpha,
            linewidth=0,
            zorder=2,
        )

    def _median(self, value: float, said: str) -> None:
        look, half = self.page.look, self._half
        self.axes.plot(
            [value, value],
            [self.middle - half, self.middle + half],
            color=look.ink,
            linewidth=2.2 * POINT,
            solid_capstyle="round",
            clip_on=False,
            zorder=4,
        )
        self.axes.annotate(
            said,
            (value, self.middle - half),
            (0, 5 * POINT),
            textcoords="offset points",
            fontsize=12 * POINT,
            fontweight="bold",
            color=look.ink,
            ha="center",
            va="bottom",
            zorder=5,
            annotation_clip=False,
        )


def swarm(places: Sequence[float], dot: float, room: float) -> list[float]:
    """How far each dot moves up or down so that none hides another; pressed into the room.

    >>> swarm([0, 0, 0, 9], dot=5, room=10)
    [0.0, 5.0, -5.0, 0.0]
    >>> swarm([0, 0, 0], dot=5, room=2)
    [0.0, 2.0, -2.0]
    """
    ends: list[float] = []  # where each lane is taken up to; lanes are 0, 1, -1, 2, -2, ...
    lanes = [0] * len(places)
    for at in sorted(range(len(places)), key=places.__getitem__):
        free = (lane for lane, end in enumerate(ends) if places[at] - end >= dot)
        lanes[at] = next(free, len(ends))
        ends[lanes[at] : lanes[at] + 1] = [places[at]]
    step = min(dot, room / max(1, len(ends) // 2))
    return [(lane + 1) // 2 * step * (1.0 if lane % 2 else -1.0) + 0.0 for lane in lanes]
