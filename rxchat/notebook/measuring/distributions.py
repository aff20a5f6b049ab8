"""How times and rates are spread: every run is a dot, and the median a mark."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any

from attrs import frozen

from rxchat.notebook.measuring.chart import (
    HEADER,
    INCH,
    MARGIN,
    POINT,
    WIDTH,
    Chart,
    Page,
    gutter,
    matplotlib_is_there,
)
from rxchat.notebook.measuring.look import drawing, look_of
from rxchat.notebook.measuring.measurements import Measured, Measurements, Theme
from rxchat.notebook.measuring.summary import percentile
from rxchat.notebook.timelines.layout import seconds

__all__ = ["first", "rate"]

TAIL = 15.0  # so many times as much makes a logarithmic axis
MARGINS = 118.0  # for what failed
FOOT = 70.0
BAND = 4  # runs that are enough to say where most are
LABEL = 16.0  # pixels above the dots, for the median in words
SMALL = 4.0  # pixels of a dot
MANY = 2000  # dots of one picture that are still drawn one by one


@frozen
class _Kind:
    """What is drawn, and in which words."""

    column: str
    title: str
    remark: str
    axis: str
    lacking: str
    tick: Callable[[float, float], str]
    """What stands at a place of an axis that ends at another."""
    said: Callable[[float], str]


_FIRST = _Kind(
    *("first", "Time to first content", "Shorter is better", "time from the question"),
    lacking="said nothing",
    tick=lambda at, most: f"{at:.4g} s" if at >= 1 or most >= 1 else f"{at * 1e3:.4g} ms",
    said=seconds,
)
_RATE = _Kind(
    *("rate", "Characters per second", "More is better", "characters per second"),
    lacking="in one piece",
    tick=lambda at, _: f"{at:,.10g}",
    said=lambda at: f"{at:,.0f}" if at >= 9.5 or at == 0 else f"{at:.2g}",
)


def first(table: Measurements, theme: Theme) -> Chart:
    return _distribution(table, theme, _FIRST)


def rate(table: Measurements, theme: Theme) -> Chart:
    return _distribution(table, theme, _RATE)


def _distribution(table: Measurements, theme: Theme, kind: _Kind) -> Chart:
    matplotlib_is_there()
    look = look_of(theme)
    with drawing():
        known = {label: _known(runs, kind.column) for label, runs in table.runs.items()}
        high = 78.0 if len(known) <= 3 else 66.0 if len(known) <= 6 else 56.0
        bottom = HEADER + max(1, len(known)) * high + 8
        page = Page(look, bottom + FOOT, kind.title, _remark(table, kind))
        left = MARGIN + gutter([*known])
        beside = MARGINS if _lacking(table, known) else 16.0
        axes = page.axes(left, HEADER, WIDTH - MARGIN - beside, bottom)
        axes.set_ylim(bottom - HEADER, 0)  # in pixels, too
        _scale(axes, [value for values in known.values() for value in values.values()], kind)
        axes.grid(axis="x", color=look.rule, linewidth=POINT)
        counts = [len(values) for values in known.values()]
        dot, many = _size(max(counts, default=0)), sum(counts) > MANY
        for place, (label, values) in enumerate(known.items()):
            row = _Row(
                page, axes, look.hue(place), place * high + (high + LABEL) / 2, high, dot, many
            )
            y = HEADER + row.middle
            page.name(label, MARGIN, y + 1, row.hue, left - MARGIN - 10)
            page.words(_count(len(table.runs[label])), MARGIN + 16, y + 16, 10.5, look.quiet)
            row.draw(values, kind, table.runs[label])
            _left_out(page, table.runs[label], values, kind, y)
        _foot(page, table, known, left, bottom)
        return page.chart(repr(table))


def _known(runs: Sequence[Measured], column: str) -> dict[int, float]:
    """What is known, by the place of the run."""
    told = ((place, run.number(column)) for place, run in enumerate(runs))
    return {
        place: value
        for place, value in told
        if value is not None and runs[place].outcome == "completed"
    }


def _count(runs: int) -> str:
    return f"{runs:,} run{'s' * (runs != 1)}"


def _remark(table: Measurements, kind: _Kind) -> str:
    if not any(table.runs.values()):
        return "Nothing was measured"
    return f"{kind.remark}. Each dot is one answer, and the upright mark is the median"


def _scale(axes: Any, values: Sequence[float], kind: _Kind) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    axes.set_yticks([])
    if not values:
        axes.set_xticks([])
        return
    least, most = min(values), max(values)
    axis = axes.xaxis
    words, end = kind.axis, most
    if 0 < least * TAIL < most:
        axes.set_xscale("log")
        axes.set_xlim(least / 1.25, most * 1.25)
        steps = (1,) if most / least > 1e3 else (1, 2, 5)
        axis.set_major_locator(LogLocator(subs=steps, numticks=12))
        axis.set_minor_formatter(NullFormatter())
        words, end = f"{kind.axis}, on a logarithmic scale", 0.0
    else:
        axes.set_xlim(0, most * 1.06 or 1)
        axis.set_major_locator(MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]))

    def tick(at: float, _: object) -> str:
        return kind.tick(at, end)

    axis.set_major_formatter(FuncFormatter(tick))
    axes.set_xlabel(words, fontsize=11 * POINT, labelpad=5, loc="left")
    axis.label.set_color(axis.get_ticklabels()[0].get_color())


def _size(most: int) -> float:
    """Pixels of a dot: many are small."""
    return next(size for limit, size in _SIZES if most <= limit)


_SIZES = ((30, 9.0), (120, 7.0), (400, 5.0), (inf, 3.6))


@frozen
class _Row:
    """The runs of one of them."""

    page: Page
    axes: Any
    hue: str
    middle: float
    high: float
    dot: float
    many: bool

    def draw(self, values: Mapping[int, float], kind: _Kind, runs: Sequence[Measured]) -> None:
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
        self._median(percentile(everything, 50), kind)

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

    def _median(self, value: float, kind: _Kind) -> None:
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
            kind.said(value),
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


def _lacking(table: Measurements, known: Mapping[str, Mapping[int, float]]) -> bool:
    return any(len(known[label]) < len(runs) for label, runs in table.runs.items())


def _left_out(
    page: Page, runs: Sequence[Measured], known: Mapping[int, float], kind: _Kind, y: float
) -> None:
    """What gave no dot, said at the margin."""
    rest = [run.outcome for place, run in enumerate(runs) if place not in known]
    said = [
        (rest.count("failed"), "failed", page.look.fault, "bold"),
        (rest.count("hung up"), "hung up", page.look.quiet, "normal"),
        (rest.count("completed"), kind.lacking, page.look.quiet, "normal"),
    ]
    told = [each for each in said if each[0]]
    for line, (count, words, colour, weight) in enumerate(told):
        at = y + 4 + (line - (len(told) - 1) / 2) * 14
        sign = "× " if words == "failed" else ""
        page.words(
            f"{sign}{count:,} {words}",
            WIDTH - MARGIN,
            at,
            11.5,
            colour,
            align="right",
            weight=weight,
        )


def _foot(
    page: Page,
    table: Measurements,
    known: Mapping[str, Mapping[int, float]],
    left: float,
    bottom: float,
) -> None:
    """What the signs mean that occur."""
    drawn = (table.runs[label][place] for label, values in known.items() for place in values)
    meant = [
        (
            "○  the first run, which also makes the connection",
            not all(run.row["warm"] for run in drawn),
        ),
        ("▬  shaded: the middle half; the thin line: 9 of 10", _is_banded(known)),
    ]
    for words, occurs in meant:
        if occurs:
            page.words(words, left, bottom + FOOT - 14, 10.5, page.look.quiet)
            left += len(words) * 6 + 12


def _is_banded(known: Mapping[str, Mapping[int, float]]) -> bool:
    return any(len(values) >= BAND for values in known.values())
