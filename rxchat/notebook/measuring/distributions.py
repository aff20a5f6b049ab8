"""How times and rates are spread: every run is a dot, and the median a mark."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any

from attrs import frozen

from rxchat.notebook.measuring.chart import (
    HEADER,
    MARGIN,
    POINT,
    WIDTH,
    Chart,
    Page,
    gutter,
)
from rxchat.notebook.measuring.dots import BAND, LABEL, Dots, size_of_dots
from rxchat.notebook.measuring.look import drawing
from rxchat.notebook.measuring.measurements import Measured, Measurements
from rxchat.notebook.palette import Theme
from rxchat.notebook.words import counted, seconds

__all__ = ["first", "rate"]

TAIL = 15.0  # so many times as much makes a logarithmic axis
FAILURES = 118.0  # pixels at the right, for what gave no dot
FOOT = 70.0
_HIGH = ((3, 78.0), (6, 66.0), (inf, 56.0))  # of a row: the less, the more there are
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
    column="first",
    title="Time to first content",
    remark="Shorter is better",
    axis="time from the question",
    lacking="said nothing",
    tick=lambda at, most: f"{at:.4g} s" if at >= 1 or most >= 1 else f"{at * 1e3:.4g} ms",
    said=seconds,
)
_RATE = _Kind(
    column="rate",
    title="Characters per second",
    remark="More is better",
    axis="characters per second",
    lacking="in one piece",
    tick=lambda at, _: f"{at:,.10g}",
    said=lambda at: f"{at:,.0f}" if at >= 9.5 or at == 0 else f"{at:.2g}",
)


def first(table: Measurements, theme: Theme) -> Chart:
    return _distribution(table, theme, _FIRST)


def rate(table: Measurements, theme: Theme) -> Chart:
    return _distribution(table, theme, _RATE)


def _distribution(table: Measurements, theme: Theme, kind: _Kind) -> Chart:
    with drawing(theme) as look:
        known = {label: _known(runs, kind.column) for label, runs in table.runs.items()}
        high = next(high for most, high in _HIGH if len(known) <= most)
        bottom = HEADER + max(1, len(known)) * high + 8
        page = Page(look, bottom + FOOT, kind.title, _remark(table, kind))
        left = MARGIN + gutter([*known])
        beside = FAILURES if _lacking(table, known) else 16.0
        axes = page.axes(left, HEADER, WIDTH - MARGIN - beside, bottom)
        axes.set_ylim(bottom - HEADER, 0)  # in pixels, too
        _scale(axes, [value for values in known.values() for value in values.values()], kind)
        axes.grid(axis="x", color=look.rule, linewidth=POINT)
        counts = [len(values) for values in known.values()]
        dot, many = size_of_dots(max(counts, default=0)), sum(counts) > MANY
        for place, (label, values) in enumerate(known.items()):
            hue, runs = look.hue(place), table.runs[label]
            middle = place * high + (high + LABEL) / 2
            y = HEADER + middle
            page.name(label, MARGIN, y + 1, hue, left - MARGIN - 10)
            page.words(counted(len(runs), "run"), MARGIN + 16, y + 16, 10.5, look.quiet)
            Dots(page, axes, hue, middle, high, dot, many).draw(values, runs, kind.said)
            _left_out(page, runs, values, kind, y)
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
