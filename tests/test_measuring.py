"""Measuring: rounds of many streams, the table of what they were like, and its charts."""

from __future__ import annotations

import asyncio
import csv
import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rxchat
from rxchat import Price
from rxchat import operators as ops
from rxchat.errors import CallbackFailed, Overloaded, UsageError
from rxchat.events import Usage
from rxchat.notebook import Measurements, measure
from rxchat.notebook.measuring import growth, progress_line
from rxchat.notebook.measuring.dots import swarm
from rxchat.notebook.measuring.measurements import COLUMNS, POINTS, Measured
from rxchat.notebook.measuring.spending import Spent, plain
from rxchat.notebook.measuring.summary import HEAD
from rxchat.notebook.palette import PALETTES
from rxchat.operators.asking.meters import Run
from rxchat.testing import Scripted, run_virtual

BEGAN = datetime(2026, 1, 2)


def run(
    *moments: float,
    chars: int = 10,
    outcome: Any = "completed",
    usage: Usage | None = None,
) -> Run:
    """A run that is over: pieces of so many characters at these moments."""
    made = Run("said", BEGAN, usage=usage)
    for moment in moments:
        made.moments.append(moment)
        made.grown.append(made.chars + chars)
    made.end(
        outcome,
        Overloaded("busy") if outcome == "failed" else None,
        moments[-1] if moments else 0.1,
    )
    return made


def table(**runs: Sequence[Run]) -> Measurements:
    return Measurements.of(runs)


# Asking in rounds ---------------------------------------------------------------------------------


def test_every_run_is_a_row_with_exact_numbers() -> None:
    quick = Scripted(0.25, "Hel", 0.5, "lo wo", 0.5, "rld", Usage(7, 3, 10))
    slow = Scripted(2.0, "Hi")

    async def main() -> Measurements:
        return await measure({"quick": quick("?"), "slow": slow("?")}, runs=2)

    rows = run_virtual(main()).rows()

    assert list(rows[0]) == list(COLUMNS)
    assert [(row["label"], row["number"], row["warm"]) for row in rows] == [
        ("quick", 1, False),
        ("quick", 2, True),
        ("slow", 1, False),
        ("slow", 2, True),
    ]
    assert rows[1] | {"began": None} == rows[0] | {"began": None, "number": 2, "warm": True}
    assert {name: rows[0][name] for name in ("first", "total", "chars", "rate", "usage_total")} == {
        "first": 0.25,
        "total": 1.25,
        "chars": 11,
        "rate": 8.0,
        "usage_total": 10,
    }
    assert (rows[2]["first"], rows[2]["rate"]) == (2.0, None)


def test_one_request_at_a_time_and_the_streams_in_turn() -> None:
    asked: list[str] = []
    one, other = Scripted(0.5, "a"), Scripted(0.5, "b")

    def noting(name: str, provider: Scripted) -> Any:
        async def play(pump: Any) -> None:
            assert one.live + other.live == 0
            asked.append(name)
            async for item in provider("?"):
                await pump.send(item)

        return rxchat.source(play)

    streams = {"one": noting("one", one), "other": noting("other", other)}

    async def main() -> None:
        await measure(streams, runs=3)

    run_virtual(main())
    assert asked == ["one", "other"] * 3


def test_a_run_that_fails_is_a_row() -> None:
    chat = Scripted("a").then(0.5, Overloaded("busy")).then("c")

    async def main() -> Measurements:
        return await measure({"chat": chat("?")}, runs=3)

    measured = run_virtual(main())
    assert [(row["outcome"], row["error"]) for row in measured.rows()] == [
        ("completed", None),
        ("failed", "Overloaded"),
        ("completed", None),
    ]
    assert measured.summary()[0]["failed"] == 1


MISTAKES = UsageError("no such model"), ZeroDivisionError("a bug"), CallbackFailed("in a callback")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_of_yours_is_raised_and_what_was_measured_is_kept(mistake: Exception) -> None:
    chat = Scripted("a").then(mistake)

    async def main() -> Measurements:
        measuring = measure({"chat": chat("?")}, runs=3)
        with pytest.raises(type(mistake), match=str(mistake)):
            await measuring
        return measuring.table

    assert [row["outcome"] for row in run_virtual(main()).rows()] == ["completed"]
    assert len(chat.prompts) == 2


def test_what_is_interrupted_keeps_its_table_and_goes_on_when_awaited_again() -> None:
    chat, other = Scripted(1.0, "a"), Scripted(1.0, "b")

    async def main() -> None:
        measuring = measure({"chat": chat("?"), "other": other("?")}, runs=2)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.5):
                await measuring
        assert [row["label"] for row in measuring.table.rows()] == ["chat", "other"]
        assert repr(measuring) == "<measured 2 runs, 2 to go: await it>"

        whole = await measuring
        assert chat.hung_up == 1
        assert [(row["label"], row["number"]) for row in whole.rows()] == [
            *(("chat", 1), ("chat", 2), ("other", 1), ("other", 2))
        ]
        assert {row["outcome"] for row in whole.rows()} == {"completed"}
        assert (await measuring) == whole
        assert len(chat.prompts) == 3

    run_virtual(main())


def test_as_many_runs_as_you_like_take_no_memory_before_they_are_made() -> None:
    assert repr(measure({"chat": rxchat.of(1)}, runs=10**12)) == (
        "<measured 0 runs, 1,000,000,000,000 to go: await it>"
    )


def test_two_who_await_one_measurement_share_it() -> None:
    chat = Scripted(1.0, "a")

    async def main() -> None:
        measuring = measure({"chat": chat("?")}, runs=2)

        async def waiting() -> Measurements:
            return await measuring

        first, second = await asyncio.gather(waiting(), waiting())
        assert first == second

    run_virtual(main())
    assert len(chat.prompts) == 2


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (lambda: measure({}), "measure.. takes"),
        (lambda: measure([]), "measure.. takes"),
        (lambda: measure({"a": Scripted("a")}), "call what makes one, as scripted"),
        (lambda: measure({1: rxchat.of(1)}), "labels that are texts, not 1"),
        (lambda: measure({"a": rxchat.of(1)}, runs=0), "at least 1, not 0"),
        (lambda: measure({"a": rxchat.of(1)}, runs=True), "at least 1, not True"),
        (lambda: Measurements.of([]), "Measurements.of.. takes"),
        (lambda: Measurements.of({"a": [1]}), "of an ops.meter.., not 1"),
        (lambda: table(a=[]).save("a.xls"), "saved as .csv or .json, not as 'a.xls'"),
        (lambda: table(a=[]).first().save("a.gif"), "saved as .svg, .png, .pdf, not as 'a.gif'"),
        (lambda: table(a=[]).rate(theme="auto"), "theme= is 'light' or 'dark', not 'auto'"),
        (lambda: table(a=[]).cost(3), "a rxchat.Price, or one for each of 'a', not 3"),
        (lambda: table(a=[]).cost({"b": Price(1, 2)}), "none of the prices is for one of 'a'"),
    ],
)
def test_wrong_usage_says_what_to_do(wrong: Callable[[], object], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        wrong()


# The table ----------------------------------------------------------------------------------------


def test_meters_and_their_runs_make_the_same_table() -> None:
    meter = ops.meter()

    async def main() -> None:
        await Scripted(0.5, "Hel", 0.5, "lo")("?").pipe(meter)

    run_virtual(main())
    assert Measurements.of({"a": meter}) == Measurements.of({"a": meter.runs})
    assert Measurements.of({"a": meter}).rows()[0]["first"] == 0.5


def test_a_run_that_is_not_over_is_left_out() -> None:
    assert table(a=[run(0.5), Run("still", BEGAN)]).rows() == table(a=[run(0.5)]).rows()


def test_a_summary_counts_no_hang_ups_and_no_times_of_failures() -> None:
    runs = [run(0.5, 1.0), run(0.1, outcome="failed"), run(0.2, outcome="hung up"), run(1.5, 2.0)]
    assert table(a=runs, b=[]).summary() == [
        dict(zip(HEAD, ("a", 3, 1, 0.5, 0.5, 1.5, 1.5, 20.0, 20.0), strict=True)),
        dict(zip(HEAD, ("b", 0, 0, *[None] * 6), strict=True)),
    ]


def test_two_tables_are_added_label_by_label() -> None:
    both = table(a=[run(0.5)], b=[run(1.0)]) + table(a=[run(0.25)], c=[run(2.0)])
    assert [(row["label"], row["first"]) for row in both.rows()] == [
        *(("a", 0.5), ("a", 0.25), ("b", 1.0), ("c", 2.0))
    ]
    with pytest.raises(TypeError):
        both + 1


def test_the_rows_are_a_spreadsheet(tmp_path: Path) -> None:
    name = 'a "quoted", name\nof two lines'
    path = Measurements.of({name: [run(0.5, 1.0)]}).save(tmp_path / "x.csv")
    with path.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["label"], row["first"], row["finish"]) == (name, "0.5", "")


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
NUMBERS = st.floats(0, 1e9) | st.integers(0, 10**12) | st.none()
USAGES = st.builds(Usage, *[st.none() | st.integers(0, 10**9)] * 5)
RUNS = st.builds(
    lambda moments, chars, outcome, usage: run(
        *sorted(moments), chars=chars, outcome=outcome, usage=usage
    ),
    st.lists(st.floats(0, 1e6), max_size=5),
    st.integers(0, 10**6),
    st.sampled_from(["completed", "failed", "hung up"]),
    st.none() | USAGES,
)


@given(st.dictionaries(TEXTS, st.lists(RUNS, max_size=3), max_size=3))
def test_what_is_saved_is_loaded_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, runs: dict[str, list[Run]]
) -> None:
    measured = Measurements.of(runs)
    path = measured.save(tmp_path_factory.getbasetemp() / "round-trip.json")
    loaded = Measurements.load(path)
    assert loaded == measured
    assert loaded.rows() == measured.rows()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"measurements": 2, "runs": {}}',
        b'{"measurements": 1, "runs": {"a": [{"row": {}, "grown": []}]}}',
        b'{"measurements": 1, "runs": {"a": [{"row": {}, "grown": [["x", 1]]}]}}',
    ],
)
def test_another_file_is_no_table(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(UsageError, match=r"'x\.json' has no measurements"):
        Measurements.load(tmp_path / "x.json")


def test_a_saved_table_does_not_tell_what_was_said(tmp_path: Path) -> None:
    async def main() -> Measurements:
        return await measure({"chat": Scripted("a secret")("another")}, runs=1)

    assert "secret" not in run_virtual(main()).save(tmp_path / "x.json").read_text()


def test_a_frame_is_made_by_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    pandas = ModuleType("pandas")
    vars(pandas)["DataFrame"] = lambda rows, columns: (rows, columns)
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    measured = table(a=[run(0.5)])
    assert measured.frame() == (measured.rows(), COLUMNS)


@pytest.mark.parametrize(
    ("missing", "wanted", "why"),
    [
        ("pandas", Measurements.frame, "pip install pandas"),
        ("matplotlib.figure", Measurements.first, r"pip install 'rxchat\[notebook\]'"),
        ("matplotlib.figure", Measurements.progress, r"pip install 'rxchat\[notebook\]'"),
    ],
)
def test_what_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, missing: str, wanted: Callable[[Measurements], Any], why: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(UsageError, match=why):
        wanted(table(a=[run(0.5)]))


HOSTILE = "<script>alert(1)</script> & \u202ertl\x1b[2J"
STRANGE = [
    *(HOSTILE, "$x^2$ or $5_6$", r"\frac{", "🚀 語", "שלום", "", "W" * 300, "a\nb", "%s {x}"),
]


def test_a_table_shows_names_as_text_in_the_colours_of_the_page() -> None:
    shown = Measurements.of({name: [run(0.5)] for name in STRANGE})._repr_mimebundle_()
    page = ElementTree.fromstring(shown["text/html"])
    named = [cell.text or "" for row in page.iter("tr") for cell in row[:1]]
    assert named[1:4] == [r"<script>alert(1)</script> & \u202ertl\x1b[2J", *STRANGE[1:3]]
    assert {cell.tag for cell in page.iter()} == {"table", "thead", "tbody", "tr", "th", "td"}
    assert not re.search(r"#[0-9a-f]{3}|http|url", shown["text/html"].partition("<tbody>")[0])
    assert "\x1b" not in shown["text/plain"]
    assert len(shown["text/plain"].splitlines()) == 1 + len(STRANGE)


# Charts -------------------------------------------------------------------------------------------

CHARTS: Mapping[str, Callable[..., Any]] = {
    "first": Measurements.first,
    "rate": Measurements.rate,
    "progress": Measurements.progress,
    "progress in tokens": lambda table, **how: table.progress(unit="tokens", **how),
    "cost": lambda measured, **how: measured.cost(Price(2, 8), **how),
}
TOLD = Usage(1000, 500, 1500, 100, 200)
HARD: Mapping[str, Mapping[str, Sequence[Run]]] = {
    "nothing": {},
    "no run": {"a": []},
    "one run": {"a": [run(0.5, 1.0, usage=TOLD)]},
    "all failed": {"a": [run(outcome="failed")] * 3, "b": [run(0.5, outcome="failed")]},
    "at once": {"a": [run(0.0), run(0.0, 0.0)]},
    "no rate": {"a": [run(0.5, 1.0, chars=0)], "b": [run(0.5)]},
    "a long tail": {"a": [run(0.01 * 2**n, 0.01 * 2**n + 0.5) for n in range(15)]},
    "hung up": {"a": [run(0.5, 1.0, outcome="hung up")], "b": [run()]},
    "twelve": {f"provider {n}": [run(n / 9, n / 9 + 1, usage=TOLD)] * 5 for n in range(12)},
    "many": {"a": [run(*(0.1 + n % 7 / 9 + m / 50 for m in range(9))) for n in range(1000)]},
    "strange": {name: [run(0.5, 1.0, usage=TOLD)] for name in STRANGE},
}


def drawn(chart: Any, tmp_path: Path) -> ElementTree.Element:
    """Its SVG, with nothing in it that acts or comes from elsewhere."""
    written = chart.save(tmp_path / "x.svg").read_text()
    assert not re.search(r"<script|<!DOCTYPE|https?://(?!www\.w3\.org/)|dc:date", written)
    return ElementTree.fromstring(written)


def words(picture: ElementTree.Element) -> list[str]:
    return [part.text or "" for part in picture.iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize("case", HARD)
@pytest.mark.parametrize("kind", CHARTS)
def test_every_chart_is_drawn_of_anything(kind: str, case: str, tmp_path: Path) -> None:
    chart = CHARTS[kind](Measurements.of(HARD[case]))
    said = words(drawn(chart, tmp_path))
    for name in HARD[case] if case != "strange" else STRANGE[1:5]:
        assert name in said
    bundle, sizes = chart._repr_mimebundle_()
    assert set(bundle) == {"image/png", "text/plain"}
    assert bundle["image/png"].startswith("iVBORw0KGgo")
    assert sizes["image/png"]["width"] == 880
    json.dumps(bundle)


@pytest.mark.parametrize("kind", CHARTS)
@pytest.mark.parametrize("suffix", [".svg", ".png", ".pdf"])
def test_a_chart_is_the_same_every_time(kind: str, suffix: str, tmp_path: Path) -> None:
    def bytes_of(name: str) -> bytes:
        chart = CHARTS[kind](Measurements.of(HARD["one run"]), theme="dark")
        return chart.save(tmp_path / f"{name}{suffix}").read_bytes()

    assert bytes_of("once") == bytes_of("again")


def test_your_own_settings_of_matplotlib_neither_change_nor_matter(tmp_path: Path) -> None:
    import matplotlib

    measured = Measurements.of(HARD["one run"])
    before = measured.first().save(tmp_path / "before.svg").read_bytes()
    yours = {"axes.facecolor": "red", "font.size": 40, "text.usetex": True, "svg.hashsalt": "x"}
    with matplotlib.rc_context(yours):
        settings = dict(matplotlib.rcParams)
        assert measured.first().save(tmp_path / "after.svg").read_bytes() == before
        assert dict(matplotlib.rcParams) == settings


def test_drawing_loads_neither_pyplot_nor_a_window() -> None:
    code = (
        "import sys; from rxchat.notebook import Measurements; "
        "Measurements.of({'a': []}).first()._repr_mimebundle_(); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert "matplotlib.pyplot" not in done.stdout.split()
    assert "matplotlib.figure" in done.stdout.split()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_charts_have_the_colours_of_the_timelines(theme: Any, tmp_path: Path) -> None:
    colours = PALETTES[theme]
    chart = ElementTree.tostring(drawn(table(a=[run(0.5)]).first(theme=theme), tmp_path)).decode()
    assert all(colour in chart for colour in (colours.paper, colours.ink, colours.hues[0]))


def test_a_distribution_says_the_median_and_what_failed(tmp_path: Path) -> None:
    failed, broken_off = run(outcome="failed"), run(0.5, outcome="hung up")
    chart = table(a=[run(0.25), run(0.5), run(0.75), failed, failed, broken_off, run()]).first()
    said = words(drawn(chart, tmp_path))
    assert {"7 runs", "500 ms", "× 2 failed", "1 hung up", "1 said nothing"} <= {*said}
    assert "time from the question" in said


def test_the_sign_of_a_first_run_is_explained_wherever_it_occurs(tmp_path: Path) -> None:
    failed, well = table(a=[run(outcome="failed")]), table(a=[run(0.5), run(0.6)])
    for measured in (well, failed + well):
        assert "○  the first run" in " ".join(words(drawn(measured.first(), tmp_path)))
    assert "○" not in " ".join(words(drawn(failed.first(), tmp_path)))


def test_only_a_long_tail_has_a_logarithmic_axis_and_it_says_so(tmp_path: Path) -> None:
    def says_so(*times: float) -> bool:
        chart = table(a=[run(time) for time in times]).first()
        return any("logarithmic" in words for words in words_of(chart))

    def words_of(chart: Any) -> list[str]:
        return words(drawn(chart, tmp_path))

    assert says_so(0.1, 2.0)
    assert not says_so(0.2, 2.0)
    assert not says_so(0.0, 2.0)


@given(st.lists(st.floats(0, 500), max_size=60), st.floats(1, 9), st.floats(1, 30))
def test_dots_stay_in_their_room_and_none_hides_another_if_there_is_enough(
    places: list[float], dot: float, room: float
) -> None:
    moved = swarm(places, dot, room)
    assert all(abs(way) <= room * (1 + 1e-9) for way in moved)
    roomy = sorted(zip(swarm(places, dot, dot * 60), places, strict=True))
    for (way, place), (next_way, next_place) in pairwise(roomy):
        assert next_way - way >= dot * 0.999 or next_place - place >= dot


def test_growth_is_thinned_but_keeps_its_ends() -> None:
    long = run(*(0.5 + n / 100 for n in range(5000)), chars=3)
    grown = Measured.of("a", 1, long).grown
    assert len(grown) == POINTS
    assert grown[0] == (0.5, 3)
    assert grown[-1] == (50.49, 15_000)
    assert grown == sorted(grown)


def test_a_panel_draws_at_most_a_hundred_lines_and_says_so(tmp_path: Path) -> None:
    chart = table(a=[run(0.5, 1.0 + n / 1000) for n in range(1000)]).progress()
    lines = chart.figure.axes[0].collections[1]
    assert len(lines.get_paths()) == growth.LINES
    assert any("100 of 1,000 are drawn" in words for words in words(drawn(chart, tmp_path)))


def test_growth_in_tokens_ends_at_what_the_service_has_told(tmp_path: Path) -> None:
    told = run(0.5, 1.0, 1.5, chars=4, usage=Usage(input=2, output=6))
    silent = run(0.5, 1.0)
    chart = table(a=[told, silent], b=[silent]).progress(unit="tokens")
    (line,) = chart.figure.axes[0].collections[1].get_segments()
    assert line.tolist() == [[0.5, 0], [0.5, 2], [1.0, 4], [1.5, 6]]
    said = words(drawn(chart, tmp_path))
    assert {"6 tokens in 1.50 s", "no usage is known"} <= {*said}
    with pytest.raises(UsageError, match="'characters' or 'tokens'"):
        table(a=[told]).progress(unit="words")


def test_the_median_run_took_neither_long_nor_short() -> None:
    runs = [run(1.0, 9.0), run(1.0, 2.0), run(1.0, 3.0), run(1.0, 2.5, outcome="failed")]
    measured = table(a=runs, b=[run(outcome="failed")])
    median = growth.median_run(measured.runs["a"])
    assert median is not None
    assert median.number("total") == 3.0
    assert growth.median_run(measured.runs["b"]) is None


# Costs --------------------------------------------------------------------------------------------


@given(st.lists(USAGES, min_size=1, max_size=4), st.none() | st.integers(0, 9))
def test_the_parts_of_a_cost_are_the_cost(usages: list[Usage], special: int | None) -> None:
    price = Price(2, 8, special, special)
    spent = Spent.of(table(a=[run(0.5, usage=usage) for usage in usages]).runs["a"], price)
    assert spent.total == sum((price.of(usage).total for usage in usages), Decimal())


def test_parts_are_the_kinds_of_tokens() -> None:
    usage = Usage(1000, 500, 1500, 100, 200)
    (measured,) = table(a=[run(0.5, usage=usage)]).runs["a"]
    assert Spent.of([measured], Price(1000, 10_000, 100)).parts == {
        "input": Decimal("0.8"),
        "from the cache": Decimal("0.02"),
        "output": Decimal(4),
        "reasoning": Decimal(1),
    }


def test_what_is_unknown_is_said_and_never_0() -> None:
    measured = table(
        known=[run(0.5, usage=Usage(1000, 0))] * 2,
        some=[run(0.5, usage=Usage(1000, 0)), run(0.5)],
        part=[run(0.5, usage=Usage(None, 1000))],
        none=[run(0.5)],
        free=[run(0.5, usage=Usage(0, 0))],
        unpriced=[run(0.5, usage=Usage(1000, 0))],
    )
    prices = {label: Price(2, 8) for label in measured.runs if label != "unpriced"}
    assert repr(measured.cost(prices, currency="$")).splitlines()[1:] == [
        "known: $0.002 for one answer",
        "some: $0.002 for one answer, unknown for 1 of 2",
        "part: at least $0.008 for one answer, only in part for 1 of 1",
        "none: unknown: no usage was told",
        "free: $0 for one answer",
        "unpriced: no price given",
    ]


def test_a_dollar_is_a_dollar_and_not_a_formula(tmp_path: Path) -> None:
    said = words(drawn(table(a=[run(0.5, usage=TOLD)]).cost(Price(2, 8), currency="$"), tmp_path))
    assert f"${plain(Price(2, 8).of(TOLD).total)}" in said
    assert "for one answer, in $" in said


# The line in a notebook ---------------------------------------------------------------------------


class FakeNotebook:
    """What IPython shows in one place."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shown: list[str] = []
        shell = SimpleNamespace(kernel=object())
        display = ModuleType("IPython.display")
        vars(display)["display"] = self.display
        python = ModuleType("IPython")
        vars(python)["get_ipython"] = lambda: shell
        monkeypatch.setitem(sys.modules, "IPython", python)
        monkeypatch.setitem(sys.modules, "IPython.display", display)

    def display(self, bundle: dict[str, str], *, raw: bool, display_id: bool) -> FakeNotebook:
        return self

    def update(self, bundle: dict[str, str], *, raw: bool) -> None:
        assert ElementTree.fromstring(bundle["text/html"]).tag == "span"
        self.shown.append(bundle["text/plain"])


def test_in_a_notebook_a_line_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = FakeNotebook(monkeypatch)
    chat = Scripted(1.0, Overloaded("busy")).then(1.0, "b")

    async def main() -> None:
        await measure({"<b>": chat("?")}, runs=2)
        assert len(asyncio.all_tasks()) == 1

    run_virtual(main())
    assert notebook.shown == [
        "run 1 of 2: <b>",
        "run 2 of 2: <b> (1 failed)",
        "measured 2 runs (1 failed)",
    ]


def test_the_line_is_painted_at_most_ten_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = FakeNotebook(monkeypatch)
    chat = Scripted(0.001, "b")

    async def main() -> None:
        await measure({"chat": chat("?")}, runs=950)
        await asyncio.sleep(1)

    run_virtual(main())
    assert 10 <= len(notebook.shown) <= 12
    assert notebook.shown[-1] == "measured 950 runs"


def test_an_interrupted_line_says_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = FakeNotebook(monkeypatch)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                await measure({"chat": Scripted(1.0, "a")("?")}, runs=3)

    run_virtual(main())
    assert notebook.shown[-1] == "measured 1 run, 2 to go: await it"


def test_outside_of_a_notebook_there_is_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_line.progress_line(lambda: "over") as say:
        say("hello")
    assert capsys.readouterr() == ("", "")


def test_who_forgets_to_await_is_told_so() -> None:
    measuring = measure({"a": rxchat.of("a")})
    with pytest.raises(AttributeError, match=r"write `table = await measure\(\.\.\.\)`"):
        measuring.first()
