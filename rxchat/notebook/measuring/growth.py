"""How answers grew: a panel for each provider, with the others' median runs in grey."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import Any, TypeAlias

import msgspec

from rxchat.errors import UsageError
from rxchat.notebook.measuring.chart import (
    HEADER,
    MARGIN,
    POINT,
    WIDTH,
    Chart,
    Page,
)
from rxchat.notebook.measuring.look import drawing
from rxchat.notebook.measuring.measurements import Measured, Measurements, Unit
from rxchat.notebook.measuring.summary import percentile
from rxchat.notebook.palette import Theme
from rxchat.notebook.words import seconds

__all__ = ["growth"]

LINES = 100  # of one panel: more cannot be told apart
MANY = 120  # lines of one picture that are still drawn one by one
GAP = 26.0
SCALE = 40.0  # for numbers at the left
HEAD, FOOT = 48.0, 30.0  # of a panel
ACROSS = {1: 1, 2: 2, 3: 3, 4: 2}  # panels in a row, by how many there are; of more, 3
HIGH = {1: 330.0, 2: 290.0, 3: 240.0}  # a panel, by how many there are in a row

Line: TypeAlias = Sequence[tuple[float, float]]
Runs: TypeAlias = Mapping[str, Sequence[Measured]]


def _in_characters(run: Measured) -> Measured:
    return run


def _in_tokens(run: Measured) -> Measured:
    """Those that the service told at the end, spread over the characters; else none are known."""
    tokens, characters = run.number("usage_output"), run.grown[-1][1] if run.grown else 0
    share = tokens / characters if tokens and characters else 0.0
    grown = [(at, count * share) for at, count in run.grown] if share else []
    return msgspec.structs.replace(run, grown=grown)


_UNITS: Mapping[Unit, tuple[Callable[[Measured], Measured], str]] = {
    "characters": (_in_characters, "characters"),
    "tokens": (_in_tokens, "tokens, as told at the end, spread over the characters"),
}


def growth(table: Measurements, unit: Unit, theme: Theme) -> Chart:
    """The chart of it."""
    if unit not in _UNITS:
        raise UsageError(f"unit= is {' or '.join(map(repr, _UNITS))}, not {unit!r}")
    counted, upwards = _UNITS[unit]
    all_runs = {label: [*map(counted, runs)] for label, runs in table.runs.items()}
    with drawing(theme) as look:
        across = ACROSS.get(len(all_runs), 3)
        down = max(1, ceil(len(all_runs) / across))
        wide = (WIDTH - 2 * MARGIN - SCALE + GAP) / across
        high = HIGH[across]
        height = HEADER + down * high + 26
        page = Page(look, height, "How the answers grew", _remark(all_runs))
        medians = {label: median_run(runs) for label, runs in all_runs.items()}
        limits = _limits(all_runs)
        many = sum(min(LINES, len(runs)) for runs in all_runs.values()) > MANY
        for place, (label, runs) in enumerate(all_runs.items()):
            left = MARGIN + SCALE + (place % across) * wide
            top = HEADER + (place // across) * high
            axes = page.axes(left, top + HEAD, left + wide - GAP, top + high - FOOT)
            _scales(axes, limits, left=place % across == 0)
            axes.grid(color=look.rule, linewidth=POINT)
            panel = _Panel(page, axes, look.hue(place), medians, many=many)
            panel.draw(label, runs)
            page.name(label, left - 2, top + 20, look.hue(place), wide - GAP)
            page.words(_said(runs, medians[label], unit), left + 14, top + 37, 10.5, look.quiet)
        foot = f"across: time from the question; upwards: {upwards}"
        page.words(foot, MARGIN + SCALE, height - 16, 10.5, look.quiet)
        return page.chart(repr(table))


def _remark(all_runs: Runs) -> str:
    most = max(map(len, all_runs.values()), default=0)
    if not most:
        return "Nothing was measured"
    some = f" ({LINES} of {most:,} are drawn)" if most > LINES else ""
    others = ", grey those of the others" if len(all_runs) > 1 else ""
    return f"Every line is one answer{some}; thick is the median run{others}"


def median_run(runs: Sequence[Measured]) -> Measured | None:
    """Of those that were completed, the one that took neither long nor short."""
    timed = {
        place: total
        for place, run in enumerate(runs)
        if run.outcome == "completed" and run.grown and (total := run.number("total")) is not None
    }
    if not timed:
        return None
    median = percentile([*timed.values()], 50)
    return runs[next(place for place, total in timed.items() if total == median)]


def _said(runs: Sequence[Measured], median: Measured | None, unit: Unit) -> str:
    failed = sum(run.outcome == "failed" for run in runs)
    ended = "" if not failed else f"{failed:,} of {len(runs):,} failed"
    if median is None:
        known = "no answer is complete" if unit == "characters" else "no usage is known"
        return ended or known
    at, count = median.grown[-1]
    took = f"{count:,.0f} {unit} in {seconds(at)}"
    return f"{took} · {ended}" if ended else took


def _limits(all_runs: Runs) -> tuple[float, float]:
    ends = [run.grown[-1] for runs in all_runs.values() for run in runs if run.grown]
    across = max((at for at, _ in ends), default=0.0)
    return across * 1.04 or 1.0, max((count for _, count in ends), default=0) * 1.08 or 1.0


def _scales(axes: Any, limits: tuple[float, float], *, left: bool) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_xlim(0, limits[0])
    axes.set_ylim(0, limits[1])

    def time(at: float, _: object) -> str:
        return f"{at:g} s" if at else "0"

    def count(at: float, _: object) -> str:
        return f"{at:,.0f}" if left else ""

    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(time))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(count))


class _Panel:
    """The runs of one of them."""

    def __init__(
        self,
        page: Page,
        axes: Any,
        hue: str,
        medians: Mapping[str, Measured | None],
        *,
        many: bool,
    ) -> None:
        self._look = page.look
        self._axes = axes
        self._hue = hue
        self._medians = medians
        self._many = many

    def draw(self, label: str, runs: Sequence[Measured]) -> None:
        others = [run for other, run in self._medians.items() if run and other != label]
        self._lines(
            [_line(run) for run in others], self._look.quiet, 1.2, 0.4 if len(others) < 6 else 0.22
        )
        heard = [run for run in runs if run.grown]
        drawn = heard[:: ceil(len(heard) / LINES) or 1]
        alpha = max(0.12, min(0.5, 8 / (len(drawn) or 1)))
        self._lines([_line(run) for run in drawn], self._hue, 1.0, alpha)
        cut_off = [run.grown[-1] for run in drawn if run.outcome == "failed"]
        self._ends(cut_off, "x", self._look.fault, 7)
        median = self._medians[label]
        if median is not None:
            self._lines([_line(median)], self._look.paper, 5.5, 0.8)
            self._lines([_line(median)], self._hue, 3.0, 1)
            self._ends([median.grown[-1]], "o", self._hue, 8)

    def _lines(self, lines: Sequence[Line], colour: str, width: float, alpha: float) -> None:
        from matplotlib.collections import LineCollection

        drawn = LineCollection(
            lines,
            colors=colour,
            linewidths=width * POINT,
            alpha=alpha,
            capstyle="round",
            joinstyle="round",
            rasterized=self._many,
        )
        self._axes.add_collection(drawn, autolim=False)

    def _ends(self, ends: Line, sign: str, colour: str, size: float) -> None:
        self._axes.plot(
            [at for at, _ in ends],
            [count for _, count in ends],
            sign,
            color=colour,
            markersize=size * POINT,
            markeredgewidth=2 * POINT if sign == "x" else 0,
            clip_on=False,
            zorder=5,
        )


def _line(run: Measured) -> Line:
    """From when it began to speak."""
    return [(run.grown[0][0], 0), *run.grown]
