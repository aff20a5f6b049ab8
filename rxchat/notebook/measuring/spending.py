"""What runs cost: bars of input and output, as far as services tell their usage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

from attrs import frozen

from rxchat.errors import UsageError
from rxchat.events import Usage
from rxchat.notebook.measuring.chart import (
    HEADER,
    MARGIN,
    POINT,
    WIDTH,
    Chart,
    Page,
    gutter,
)
from rxchat.notebook.measuring.look import drawing
from rxchat.notebook.measuring.measurements import Measured, Measurements
from rxchat.notebook.palette import Theme
from rxchat.notebook.words import counted
from rxchat.operators.gathering.costs import Price

__all__ = ["spending"]

HIGH = 62.0
BAR = 22.0
FOOT = 66.0
SUMS = 208.0  # for what is said beside the bars

# A cost is a sum over the kinds of tokens: with the other prices at 0, one of them is left.
_PARTS: Mapping[str, Callable[[Price], Price]] = {
    "input": lambda price: Price(price.input, 0, 0, 0),
    "from the cache": lambda price: Price(
        0, 0, price.input if price.cached is None else price.cached, 0
    ),
    "output": lambda price: Price(0, price.output, 0, 0),
    "reasoning": lambda price: Price(
        0, 0, 0, price.output if price.reasoning is None else price.reasoning
    ),
}
_STRENGTH = {"input": 0.38, "from the cache": 0.2, "output": 1.0, "reasoning": 0.68}


@frozen
class Spent:
    """What the runs of one label cost, as far as that is known."""

    parts: Mapping[str, Decimal]
    """In all, by the kind of tokens."""
    runs: int
    told: int
    """Runs of which something is known."""
    gaps: int
    """Runs of these of which not all is known."""
    priced: bool

    @classmethod
    def of(cls, runs: Sequence[Measured], price: Price | None) -> Spent:
        usages = [usage for run in runs if (usage := _usage(run)) != Usage()]
        if price is None or not usages:
            return cls({}, len(runs), 0, 0, price is not None)
        alone = {name: part(price) for name, part in _PARTS.items()}
        parts = {
            name: sum((price.of(usage).total for usage in usages), Decimal())
            for name, price in alone.items()
        }
        gaps = sum(not price.of(usage).complete for usage in usages)
        return cls(parts, len(runs), len(usages), gaps, True)

    @property
    def total(self) -> Decimal:
        return sum(self.parts.values(), Decimal())

    def per_run(self, cost: Decimal) -> Decimal:
        return cost / self.told if self.told else Decimal()

    def each(self, currency: str) -> str:
        """What one answer costs, in words."""
        least = "at least " if self.gaps else ""
        return f"{least}{currency}{plain(self.per_run(self.total))}"

    def unknown(self) -> str:
        """What is not known, in words."""
        if not self.priced:
            return "no price given"
        if not self.runs:
            return "nothing was measured"
        if not self.told:
            return "unknown: no usage was told"
        said = [
            (self.gaps, f"only in part for {self.gaps:,} of {self.runs:,}"),
            (self.runs - self.told, f"unknown for {self.runs - self.told:,} of {self.runs:,}"),
        ]
        return ", ".join(words for count, words in said if count)


def _usage(run: Measured) -> Usage:
    told = {name: run.number(f"usage_{name}") for name in Usage.__struct_fields__}
    return Usage(**{name: None if count is None else int(count) for name, count in told.items()})


def spending(
    table: Measurements, prices: Price | Mapping[str, Price], currency: str, theme: Theme
) -> Chart:
    """The chart of it."""
    priced = _priced(table, prices)
    with drawing(theme) as look:
        spent = {label: Spent.of(runs, priced[label]) for label, runs in table.runs.items()}
        bottom = HEADER + max(1, len(spent)) * HIGH
        remark = "By the usage that the services tell; the shades are kinds of tokens"
        page = Page(look, bottom + FOOT, "What an answer costs", remark)
        left = MARGIN + gutter([*spent])
        most = max((float(each.per_run(each.total)) for each in spent.values()), default=0.0)
        bars = _Bars(page, page.axes(left, HEADER, WIDTH - MARGIN - SUMS, bottom), currency)
        bars.scale(most, bottom - HEADER)
        for place, (label, each) in enumerate(spent.items()):
            middle = (place + 0.5) * HIGH
            page.name(label, MARGIN, HEADER + middle + 1, look.hue(place), left - MARGIN - 10)
            page.words(
                counted(each.runs, "run"), MARGIN + 16, HEADER + middle + 16, 10.5, look.quiet
            )
            bars.draw(each, middle, look.hue(place))
        _foot(page, left, bottom, _occurring(spent.values()))
        return page.chart(_told(spent, currency))


def _priced(table: Measurements, prices: Price | Mapping[str, Price]) -> Mapping[str, Price | None]:
    if isinstance(prices, Price):
        return dict.fromkeys(table.runs, prices)
    given = cast("object", prices)
    labels = ", ".join(map(repr, table.runs))
    several = cast("Mapping[object, object]", given) if isinstance(given, Mapping) else {None: None}
    if not all(isinstance(price, Price) for price in several.values()):
        raise UsageError(f"cost() takes a rxchat.Price, or one for each of {labels}, not {given!r}")
    if table.runs and not several.keys() & table.runs.keys():
        raise UsageError(f"none of the prices is for one of {labels}")
    return {label: prices.get(label) for label in table.runs}


def _occurring(spent: Iterable[Spent]) -> set[str]:
    """The kinds of tokens that cost something."""
    return {part for each in spent for part, cost in each.parts.items() if cost}


def plain(amount: Decimal | float) -> str:
    """Three digits that matter, without exponents.

    >>> plain(Decimal("0.00012345")), plain(1234.5), plain(0)
    ('0.000123', '1,234', '0')
    """
    value = Decimal(str(amount))
    if value >= 100:
        return f"{value:,.0f}"
    rounded = Decimal(f"{value:.3g}")
    return f"{rounded.normalize():f}" if rounded else "0"


def _tick(at: float, _: object) -> str:
    return plain(round(at, 12))


@frozen
class _Bars:
    """Where the bars are."""

    page: Page
    axes: Any
    currency: str

    def scale(self, most: float, high: float) -> None:
        from matplotlib.ticker import FuncFormatter, MaxNLocator

        axes = self.axes
        axes.set_ylim(high, 0)
        axes.set_xlim(0, most * 1.04 or 1)
        axes.set_yticks([])
        axes.grid(axis="x", color=self.page.look.rule, linewidth=POINT)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(_tick))
        if not most:
            axes.set_xticks([])
            return
        unit = f", in {self.currency}" if self.currency else ""
        axes.set_xlabel(f"for one answer{unit}", fontsize=11 * POINT, labelpad=5, loc="left")
        axes.xaxis.label.set_color(self.page.look.quiet)

    def draw(self, spent: Spent, middle: float, hue: str) -> None:
        look, y = self.page.look, HEADER + middle
        start = 0.0
        for part, cost in spent.parts.items():
            wide = float(spent.per_run(cost))
            self.axes.barh(
                middle,
                wide,
                left=start,
                height=BAR,
                color=_mixed(hue, look.paper, _STRENGTH[part]),
                edgecolor=look.paper,
                linewidth=POINT if wide else 0,
                zorder=2,
            )
            start += wide
        right = WIDTH - MARGIN
        if spent.told:
            each = spent.each(self.currency)
            self.page.words(each, right, y - 1, 14, align="right", weight="bold")
            total = f"{self.currency}{plain(spent.total)} for {counted(spent.told, 'answer')}"
            self.page.words(total, right, y + 15, 10.5, look.quiet, align="right")
        lacking = spent.unknown()
        if lacking:
            low = y + 29 if spent.told else y + 4
            self.page.words(lacking, right, low, 10.5, look.fault, align="right")


def _mixed(hue: str, paper: str, strength: float) -> str:
    """So much of the colour on paper, as one that hides what is below."""
    pairs = [(int(hue[at : at + 2], 16), int(paper[at : at + 2], 16)) for at in (1, 3, 5)]
    return "#" + "".join(
        f"{round(own * strength + other * (1 - strength)):02x}" for own, other in pairs
    )


def _foot(page: Page, x: float, bottom: float, parts: set[str]) -> None:
    """The shades that occur, from `x` on."""
    look = page.look
    for part, strength in _STRENGTH.items():
        if part in parts:
            y = bottom + FOOT - 16
            page.words("■", x, y, 13, _mixed(look.ink, look.paper, strength))
            page.words(part, x + 16, y, 10.5, look.quiet)
            x += 16 + len(part) * 6.5 + 22


def _told(spent: Mapping[str, Spent], currency: str) -> str:
    def line(label: str, each: Spent) -> str:
        known = f"{each.each(currency)} for one answer" if each.told else ""
        return f"{label}: {', '.join(filter(None, (known, each.unknown())))}"

    return "\n".join(line(label, each) for label, each in spent.items())
