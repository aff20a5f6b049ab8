"""What was measured, as a table: one row for each run."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import msgspec

from rxchat.errors import UsageError
from rxchat.notebook.measuring.summary import HEAD, Fact, as_html, cells, summary
from rxchat.notebook.palette import Theme
from rxchat.notebook.words import aligned, cut, visible
from rxchat.operators.asking.meters import Meter, Run
from rxchat.operators.gathering.costs import Price

if TYPE_CHECKING:
    from rxchat.notebook.measuring.chart import Chart

__all__ = ["Measured", "Measurements", "Unit"]

Unit: TypeAlias = Literal["characters", "tokens"]

WIDEST = 40  # columns of a name
POINTS = 200  # of the growth of one answer: as many as a chart has room for
COLUMNS = ("label", "number", "warm", *Run("", datetime.min).row())


class Measured(msgspec.Struct, frozen=True):
    """One run: the facts of its row, and how many characters had come when."""

    row: dict[str, Fact]
    grown: list[tuple[float, float]]

    @classmethod
    def of(cls, label: str, number: int, run: Run) -> Measured:
        """The facts of a run that is over."""
        row: dict[str, Fact] = {"label": label, "number": number, "warm": number > 1}
        return cls(row | run.row(), _grown(run))

    @property
    def outcome(self) -> Fact:
        return self.row["outcome"]

    def number(self, column: str) -> float | None:
        """What stands there, if it is a number."""
        value = self.row[column]
        return value if isinstance(value, int | float) else None


def _grown(run: Run) -> list[tuple[float, float]]:
    """When there were how many characters, at most at so many points."""
    last = len(run.moments) - 1
    places = {round(point * last / (POINTS - 1)) for point in range(POINTS)} if last >= 0 else ()
    return [(run.moments[place], run.grown[place]) for place in sorted(places)]


class _Saved(msgspec.Struct):
    """The file: `measurements` is its version."""

    measurements: Literal[1]
    runs: dict[str, list[Measured]]


class Measurements:
    """A table of runs: it shows a summary of itself, and draws charts.

    >>> from rxchat import operators as ops
    >>> from rxchat.testing import Scripted, run_virtual
    >>> meter = ops.meter()
    >>> async def main():
    ...     await Scripted(0.25, "Hel", 0.5, "lo")("Hi").pipe(meter)
    >>> run_virtual(main())
    >>> table = Measurements.of({"scripted": meter})
    >>> table
    provider  runs  failed  first, s: best  median    p95  worst  chars/s: median  p5
    scripted     1       0           0.250   0.250  0.250  0.250                4   4
    >>> table.rows()[0]["first"]
    0.25
    """

    def __init__(self, runs: Mapping[str, Iterable[Measured]]) -> None:
        self.runs = {label: tuple(measured) for label, measured in runs.items()}
        """The runs of each, in the order in which they were."""

    @classmethod
    def of(cls, runs: Mapping[str, Meter | Iterable[Run]]) -> Measurements:
        """From meters: `{"openai": meter}`, or `{"openai": meter.runs}`.

        Runs that are not over yet are left out.
        """
        if not isinstance(cast("object", runs), Mapping):
            raise UsageError(f'Measurements.of() takes {{"name": ops.meter()}}, not {runs!r}')
        return cls({label: _measured(label, some) for label, some in runs.items()})

    @classmethod
    def load(cls, path: str | Path) -> Measurements:
        """Read what was saved as `.json`."""
        try:
            saved = msgspec.json.decode(Path(path).read_bytes(), type=_Saved)
        except msgspec.MsgspecError as error:
            raise UsageError(f"{Path(path).name!r} has no measurements: {error}") from None
        if not all(run.row.keys() >= {*COLUMNS} for runs in saved.runs.values() for run in runs):
            raise UsageError(f"{Path(path).name!r} has no measurements: columns are missing")
        return cls(saved.runs)

    def rows(self) -> list[dict[str, Fact]]:
        """One for each run: whose it is (`label`), its `number`, and what a meter tells of it.

        The first run of each also makes the connection: it is the one that is not `warm`.
        """
        return [dict(run.row) for runs in self.runs.values() for run in runs]

    def summary(self) -> list[dict[str, Fact]]:
        """One row for each label, as `python -m rxchat bench` prints it.

        What was hung up is not counted, and what failed gives no times.
        """
        return [summary(label, [run.row for run in runs]) for label, runs in self.runs.items()]

    def frame(self) -> Any:
        """The rows as a pandas DataFrame, which needs `pip install pandas`."""
        try:
            pandas = import_module("pandas")
        except ImportError:
            raise UsageError(
                "frame() takes `pip install pandas`; rows() needs nothing, and any library of "
                "tables takes them"
            ) from None
        return pandas.DataFrame(self.rows(), columns=COLUMNS)

    def json(self) -> str:
        """All facts, for `Measurements.load`; nothing of what was said."""
        runs = {label: list(runs) for label, runs in self.runs.items()}
        return msgspec.json.encode(_Saved(1, runs)).decode()

    def csv(self) -> str:
        """The rows for a spreadsheet."""
        written = StringIO()
        writer = csv.DictWriter(written, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows())
        return written.getvalue()

    def save(self, path: str | Path) -> Path:
        """Write the rows as `.csv`, or all that there is, for `Measurements.load`, as `.json`."""
        path = Path(path)
        if path.suffix not in _FORMATS:
            raise UsageError(f"a table is saved as {' or '.join(_FORMATS)}, not as {path.name!r}")
        path.write_bytes(_FORMATS[path.suffix](self).encode())
        return path

    def first(self, *, theme: Theme = "light") -> Chart:
        """The time to first content: every run, the median, and where most of them are."""
        from rxchat.notebook.measuring.distributions import first

        return first(self, theme)

    def rate(self, *, theme: Theme = "light") -> Chart:
        """Characters per second, from the first content to the last: every run and the median."""
        from rxchat.notebook.measuring.distributions import rate

        return rate(self, theme)

    def progress(self, *, unit: Unit = "characters", theme: Theme = "light") -> Chart:
        """How the answers grew: a line for each run, and a thick one for the median run.

        `unit="tokens"` takes the tokens that the service tells at the end, and spreads them over
        the characters; runs without that are left out.
        """
        from rxchat.notebook.measuring.growth import growth

        return growth(self, unit, theme)

    def cost(
        self,
        prices: Price | Mapping[str, Price],
        *,
        currency: str = "",
        theme: Theme = "light",
    ) -> Chart:
        """What a run costs, by its usage: one price, or one for each label.

        What has no usage or no price is unknown, which is not 0.
        """
        from rxchat.notebook.measuring.spending import spending

        return spending(self, prices, currency, theme)

    def __add__(self, other: Measurements) -> Measurements:
        """Both: runs of the same label follow each other, as of today and of yesterday."""
        if not isinstance(other, Measurements):
            return NotImplemented
        labels = dict.fromkeys([*self.runs, *other.runs])
        return Measurements(
            {label: self.runs.get(label, ()) + other.runs.get(label, ()) for label in labels}
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Measurements) and self.runs == other.runs

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        lines = [cells(line) for line in self.summary()]
        return {"text/html": as_html(HEAD, lines), "text/plain": repr(self)}

    def __repr__(self) -> str:
        rows = [cells(line) for line in self.summary()]
        named = ([cut(visible(name), WIDEST), *numbers] for name, *numbers in rows)
        return aligned([HEAD, *named], right=1)


def _measured(label: str, some: Meter | Iterable[Run]) -> list[Measured]:
    given = list[Any](some.runs if isinstance(some, Meter) else some)
    for run in given:
        if not isinstance(run, Run):
            raise UsageError(f"the runs of {label!r} are those of an ops.meter(), not {run!r}")
    over = [run for run in cast("list[Run]", given) if run.outcome != "running"]
    return [Measured.of(label, number, run) for number, run in enumerate(over, 1)]


_FORMATS: Mapping[str, Callable[[Measurements], str]] = {
    ".csv": Measurements.csv,
    ".json": Measurements.json,
}
