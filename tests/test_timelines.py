"""Timelines of real runs: what is recorded, and what the pictures show of it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import reactivex
from hypothesis import given, settings
from hypothesis import strategies as st

import rxchat
from rxchat import operators as ops
from rxchat.errors import Overloaded, RateLimited, Truncated, UsageError
from rxchat.events import Finish, Reasoning, Refusal, Reset, Start, ToolCall, Usage
from rxchat.notebook import Mark, Recording, Row, Timeline, lane, watch
from rxchat.notebook.timelines.layout import Layout
from rxchat.notebook.timelines.svg_signs import END_SIGNS, SIGNS
from rxchat.notebook.words import columns, cut, visible
from rxchat.providers import acytoo
from rxchat.testing import LocalServer, Reply, Scripted, run_virtual

SVG = "{http://www.w3.org/2000/svg}"


def recorded(main: Callable[[], Awaitable[Any]], title: str = "") -> Recording:
    """What was recorded of it, in virtual time."""

    async def watching() -> Recording:
        with watch(title) as run:
            try:
                await main()
            except rxchat.errors.ChatError:
                pass
        return run

    return run_virtual(watching())


def of_lanes(run: Timeline) -> list[Row]:
    """The rows of lanes that were asked for."""
    return [row for row in run.rows if row.part == "named"]


def words(*said: str, gap: float = 0.1) -> list[str | float]:
    return [cue for word in said for cue in (word, gap)]


def drawn(timeline: Timeline, **how: Any) -> ElementTree.Element:
    return ElementTree.fromstring(timeline.svg(**how))


def lanes(picture: ElementTree.Element) -> list[ElementTree.Element]:
    return picture.findall(f"{SVG}g[@class='lane']")


def classes(part: ElementTree.Element) -> list[str]:
    return [each.get("class", "") for each in part.iter()]


def titles(part: ElementTree.Element) -> list[str]:
    return [each.text or "" for each in part.iter(f"{SVG}title")]


def texts(part: ElementTree.Element, kind: str) -> list[str]:
    found = part.iter(f"{SVG}text")
    return [each.text or "" for each in found if each.get("class") == kind]


# What is recorded ---------------------------------------------------------------------------------


def test_to_cut_words_takes_no_longer_the_more_there_are() -> None:
    """A live picture cuts hundreds of texts, again and again."""

    class Counted(str):
        looked_at = 0

        def __iter__(self) -> Iterator[str]:
            for sign in str.__iter__(self):
                Counted.looked_at += 1
                yield sign

    assert cut(Counted("word " * 1_000), 60) == ("word " * 12)[:59] + "…"
    assert Counted.looked_at == 61


def test_a_lane_knows_what_came_when_and_how_it_ended() -> None:
    chat = Scripted(Start("m-1"), 0.5, "Hel", 0.25, "lo", 0.25, Usage(3, 2))

    (row,) = of_lanes(recorded(lambda: chat("Hi").pipe(lane("openai"))))

    assert (row.name, row.began, row.ended, row.outcome) == ("openai", 0.0, 1.0, "completed")
    assert row.marks == [
        Mark(0.0, "start", "model='m-1'"),
        Mark(0.5, "text", "Hel"),
        Mark(0.75, "text", "lo"),
        Mark(1.0, "usage", "input=3, output=2"),
        Mark(1.0, "finish", "stop"),
    ]


@pytest.mark.parametrize(
    ("item", "mark"),
    [
        (Reasoning("hm"), ("reasoning", "hm")),
        (Refusal("no"), ("refusal", "no")),
        (ToolCall(0, "id", "weather", "{}"), ("tool", "weather({}")),
        (ToolCall(0, "", "", '"Paris"'), ("tool", '"Paris"')),
        (Reset("restart", "Truncated: cut"), ("restart", "Truncated: cut")),
        (Reset("resume"), ("resume", "")),
        ("plain", ("text", "plain")),
        (42, ("item", "42")),
        (None, ("item", "None")),
    ],
    ids=repr,
)
def test_every_kind_of_item_has_its_mark(item: Any, mark: tuple[str, str]) -> None:
    (row,) = of_lanes(recorded(lambda: rxchat.of(item).pipe(lane("it"))))
    assert [(it.kind, it.words) for it in row.marks] == [mark]


def test_an_item_that_cannot_be_shown_is_known_by_its_type() -> None:
    class Shy:
        def __str__(self) -> str:
            raise RuntimeError("no")

    (row,) = of_lanes(recorded(lambda: rxchat.of(Shy()).pipe(lane("it"))))
    assert row.marks[0].words == "Shy"


def test_each_attempt_has_a_lane() -> None:
    chat = Scripted(0.25, Overloaded("busy")).then(0.5, "Hello")
    asking = chat("Hi").pipe(lane("openai"), ops.retry(3, backoff=lambda number: 0.25))

    run = recorded(lambda: asking)

    first, second = of_lanes(run)
    assert [(row.began, row.ended, row.outcome) for row in (first, second)] == [
        (0.0, 0.25, "failed"),
        (0.5, 1.0, "completed"),
    ]
    assert first.why == "Overloaded: busy"
    assert "openai #1" in run.text()
    assert "openai #2" in run.text()


def test_who_is_left_is_hung_up_and_not_completed() -> None:
    chat = Scripted("Hel", 1.0, "lo")
    (row,) = of_lanes(recorded(lambda: chat("Hi").pipe(lane("openai"), ops.take(1))))
    assert row.outcome == "hung up"


async def test_a_run_can_be_looked_at_while_it_runs() -> None:
    seen = lane("openai")
    async with Scripted("Hel", 30.0)("Hi").pipe(seen).open() as answer:
        async for _ in answer:
            break
        (row,) = of_lanes(seen.run)
        assert (row.ended, row.outcome) == (None, "running")
        assert "still running" in seen.run.svg()
    assert of_lanes(seen.run)[0].outcome == "hung up"


async def test_nothing_changes_for_who_reads() -> None:
    chat = Scripted(Start(), "Hel", "lo")
    plain = [item async for item in chat("Hi")]
    with watch():
        assert [item async for item in chat("Hi").pipe(lane("openai"))] == plain


async def test_an_error_is_passed_on_as_it_is() -> None:
    error = Truncated("cut")
    with watch() as run, pytest.raises(Truncated) as raised:
        await Scripted("Hel", error)("Hi").pipe(lane("openai"))
    assert raised.value is error
    assert of_lanes(run)[0].why.startswith("Truncated: cut")


def test_a_source_that_cannot_be_subscribed_to_has_failed() -> None:
    def refuse(observer: Any, scheduler: Any = None) -> Any:
        raise UsageError("not today")

    broken = rxchat.wrap(reactivex.Observable(refuse))
    (row,) = of_lanes(recorded(lambda: broken.pipe(lane("openai"))))
    assert (row.outcome, row.why) == ("failed", "UsageError: not today")


async def test_two_watches_at_once_do_not_hear_each_other() -> None:
    async def one(name: str) -> Recording:
        with watch() as run:
            await Scripted("a", 0.001, "b")("Hi").pipe(lane(name))
        return run

    runs = await asyncio.gather(one("a"), one("b"))
    assert [[row.name for row in of_lanes(run)] for run in runs] == [["a"], ["b"]]


async def test_a_lane_can_be_told_where_to_record() -> None:
    run = Recording("mine")
    with watch() as other:
        await rxchat.of(1).pipe(lane("openai", run))
    assert [row.name for row in of_lanes(run)] == ["openai"]
    assert not of_lanes(other)


async def test_what_is_subscribed_after_a_watch_is_not_recorded() -> None:
    with watch() as run:
        pass
    await rxchat.of(1).pipe(lane("openai"))
    assert not run.rows


async def test_a_script_without_a_loop_is_recorded_too() -> None:
    def script() -> Recording:
        with watch() as run:
            rxchat.of("Hello").pipe(lane("openai")).run()
        return run

    run = await asyncio.to_thread(script)
    assert [row.outcome for row in of_lanes(run)] == ["completed"]


async def test_a_real_request_has_marks_for_its_way() -> None:
    async with LocalServer(Reply("Hello")) as server:
        with watch() as run:
            await acytoo.but(base_url=server.url)("Hi").pipe(lane("acytoo"))
    kinds = [mark.kind for mark in of_lanes(run)[0].marks]
    assert kinds.index("asked") < kinds.index("answered") < kinds.index("text")


@pytest.mark.parametrize("wrong", [lambda: lane(3), lambda: lane("a", run="b")])
def test_a_wrong_argument_is_refused_at_once(wrong: Callable[[], object]) -> None:
    with pytest.raises(UsageError, match="takes"):
        wrong()


def test_a_theme_that_there_is_not_is_refused() -> None:
    with pytest.raises(UsageError, match="'light' or 'dark', not 'blue'"):
        Timeline().svg(theme="blue")


# Which lanes are drawn ----------------------------------------------------------------------------

WHOLE = Row("race", 0.0, part="whole")
HEARD = Mark(0.1, "text", "Hello")


def labels(*rows: Row) -> list[str]:
    return [each.label for each in Layout(rows).lanes]


@pytest.mark.parametrize(
    ("rows", "shown"),
    [
        ([Row("a", 0.0, part="whole")], ["a"]),
        ([WHOLE, Row("a", 0.0, part="attempt", parent=0)], ["a"]),
        ([WHOLE, Row("a", 0.0, parent=0)], ["a"]),
        (
            [WHOLE, *(Row(name, 0.0, part="attempt", parent=0) for name in "aba")],
            ["a #1", "a #2", "b", "heard"],
        ),
        (  # a retry that is raced
            [
                WHOLE,
                Row("a", 0.0, part="attempt", parent=0),
                Row("b", 0.0, part="attempt", parent=0),
                Row("a", 0.0, part="attempt", parent=1),
                Row("a", 0.0, part="attempt", parent=1),
            ],
            ["a #1", "a #2", "b", "heard"],
        ),
        (
            [
                WHOLE,
                Row("won", 0.0, parent=0),
                *(Row(n, 0.0, part="attempt", parent=1) for n in "ab"),
            ],
            ["a", "b", "won"],
        ),
        (  # a deadline
            [
                Row("a", 0.0, ended=1.0, outcome="failed", part="whole"),
                Row("a", 0.0, ended=1.0, outcome="hung up", part="attempt", parent=0),
            ],
            ["a", "heard"],
        ),
        (  # the only request of a lane that was asked for
            [Row("a", 0.0, [HEARD]), Row("openai", 0.0, [HEARD], part="attempt", parent=0)],
            ["a"],
        ),
        (  # and of one that says something else
            [Row("a", 0.0), Row("openai", 0.0, [HEARD], part="attempt", parent=0)],
            ["openai", "a"],
        ),
    ],
)
def test_parts_come_first_and_then_what_was_heard(rows: list[Row], shown: list[str]) -> None:
    assert labels(*rows) == shown


def test_lanes_of_one_name_have_one_colour() -> None:
    first, other, again = (each.hue for each in Layout([Row(n, 0.0) for n in "abA"]).lanes)
    assert len({first, other, again}) == 3
    assert {each.hue for each in Layout([Row("a", 0.0), Row("a", 0.0)]).lanes} == {0}


# The picture --------------------------------------------------------------------------------------


def test_a_picture_has_a_lane_for_each_row_and_a_mark_for_each_event() -> None:
    async def both() -> None:
        a = Scripted(0.5, *words("Hel", "lo"))("Hi").pipe(lane("openai"))
        b = Scripted(0.2, Overloaded("busy"))("Hi").pipe(lane("anthropic"))
        await asyncio.gather(a, b, return_exceptions=True)

    picture = drawn(recorded(both, "Two at once"))

    assert picture.tag == f"{SVG}svg"
    assert picture.get("aria-label") == "Two at once"
    by_name = {texts(each, "name")[0] or titles(each)[0]: each for each in lanes(picture)}
    assert len(by_name) == 2
    good, bad = lanes(picture)
    assert classes(good).count("bead") == 2
    assert texts(good, "token") == ["Hel", "lo"]
    assert texts(good, "first") == ["500 ms"]
    assert "0.500 s · Hel" in titles(good)
    assert texts(bad, "why") == ["Overloaded: busy"]
    assert classes(bad).count("cross") == 1


def test_the_time_axis_is_in_real_seconds() -> None:
    chat = Scripted(1.0, "a", 1.0, "b", 2.0)
    picture = drawn(recorded(lambda: chat("Hi").pipe(lane("openai"))))
    named = {each.text: float(each.get("x", "")) for each in picture.findall(f"{SVG}text")}
    zero, one, two = (named[name] for name in ("0", "1 s", "2 s"))
    assert two - one == pytest.approx(one - zero, abs=0.01)
    beads = [float(each.get("cx", "")) for each in picture.iter() if each.get("class") == "bead"]
    assert beads[:2] == pytest.approx([one, two], abs=0.01)


def test_a_long_silence_has_its_length_written_on_it() -> None:
    chat = Scripted(0.1, "a", 2.5, "b", 0.1)
    (one,) = lanes(drawn(recorded(lambda: chat("Hi").pipe(lane("openai")))))
    assert texts(one, "small")[1:] == ["2.50 s"]


@pytest.mark.parametrize("count", [1, 2, 5000])
def test_a_picture_is_readable_with_one_event_and_with_5000(count: int) -> None:
    run = recorded(lambda: Scripted(0.1, *words(*["x"] * count, gap=0.001))("Hi").pipe(lane("a")))
    picture = run.svg()
    (one,) = lanes(ElementTree.fromstring(picture))
    signs = classes(one).count("bead") + classes(one).count("bar")
    assert 1 <= signs <= min(count, 250)
    assert len(picture) < 60_000
    if count == 5000:
        told = [
            int(found[1].replace(",", ""))
            for each in titles(one)
            if (found := re.search(r"([\d,]+) items?:", each))
        ]
        assert sum(told) == 5000


def test_no_two_kinds_have_one_shape() -> None:
    named = {name: sign for name, sign in [*SIGNS.values(), *END_SIGNS.values()] if name}
    del named["item"]  # text, but not of a model
    assert len({sign(0, 0, "") for sign in named.values()}) == len(named)


@pytest.mark.parametrize("outcome", ["completed", "failed", "hung up", "lost", "running"])
def test_the_legend_names_the_signs_that_occur(outcome: Any) -> None:
    picture = drawn(Timeline([Row("a", 0.0, (), 1.0, outcome)]))
    legend = [*picture][-1]
    meant = {"running": "still running", "lost": "lost, hung up"}.get(outcome, outcome)
    assert texts(legend, "small") == [meant]


def test_light_and_dark_are_in_one_picture() -> None:
    both, light, dark = (Timeline().svg(theme=theme) for theme in ("auto", "light", "dark"))
    assert both.count("@media (prefers-color-scheme:dark)") == 1
    assert "@media" not in light + dark
    assert "#12161d" in dark
    assert "#12161d" not in light
    assert {"#12161d", "#ffffff"} <= set(re.findall(r"#\w{6}", both))


def test_a_style_reaches_nothing_but_its_picture() -> None:
    style = drawn(Timeline([Row("a", 0.0)])).findtext(f"{SVG}style") or ""
    rules = re.sub(r"@media [^{]*\{(.*)\}$", r"\1", style)
    selectors = [each for rule in re.findall(r"([^{}]+)\{", rules) for each in rule.split(",")]
    assert selectors
    assert all(each.startswith(".rxchat-timeline ") for each in selectors)


def test_a_picture_takes_nothing_from_elsewhere() -> None:
    picture = Timeline([Row("a", 0.0, [Mark(0.1, "text", "https://x.org")], 1.0)]).svg()
    assert not re.search(r"<script|<image|<use|<a |href|url\(|@import|@font-face|on\w+=", picture)


HOSTILE = [
    "</title><script>alert(1)</script>",
    '"><svg onload=alert(1)>',
    "]]><!-- & &amp; &#0;",
    "\x00\x07\x1b[2J\x9b31m",
    "\u202egnp.exe\u2066",
    "\ud800\udfff\ufffe\uffff",
    "</text></style><style>*{display:none}",
]


@pytest.mark.parametrize("nasty", HOSTILE, ids=ascii)
def test_hostile_words_are_words(nasty: str) -> None:
    rows = [
        Row(nasty, 0.0, [Mark(0.1, "text", nasty), Mark(0.2, "asked", nasty)], 1.0, "failed", nasty)
    ]
    check(Timeline(rows, nasty))


@given(st.text(st.characters()))
@settings(max_examples=100)
def test_any_words_are_words(nasty: str) -> None:
    check(Timeline([Row(nasty, 0.0, [Mark(0.1, "text", nasty)], 1.0, "failed", nasty)], nasty))


def check(timeline: Timeline) -> None:
    """Nothing in it but what a picture is made of, and no sign that a terminal would obey."""
    picture = drawn(timeline)
    assert {each.tag.removeprefix(SVG) for each in picture.iter()} <= {
        *("svg", "style", "rect", "text", "path", "circle", "g", "title"),
    }
    assert not [name for each in picture.iter() for name in each.keys() if name.startswith("on")]  # noqa: SIM118  # an element is no dict
    for shown in (*picture.itertext(), timeline.text().replace("\n", "")):
        assert visible(shown) == shown.replace("\xa0", " ")


def moments() -> st.SearchStrategy[float]:
    return st.floats(0, 1e5, allow_nan=False)


@st.composite
def rows(draw: Any) -> list[Row]:
    made: list[Row] = []
    for place in range(draw(st.integers(0, 6))):
        begin, *came, end = sorted(draw(st.lists(moments(), min_size=2, max_size=30)))
        kind = st.sampled_from(["text", "tool", "usage", "asked", "committed", "restart"])
        outcome = draw(st.sampled_from(["running", "completed", "failed", "hung up", "lost"]))
        made.append(
            Row(
                draw(st.sampled_from(["a", "b", "語" * 30])),
                begin,
                [Mark(at, draw(kind), "word") for at in came],
                None if outcome == "running" else end,
                outcome,
                "Error: why" if outcome == "failed" else "",
                draw(st.sampled_from(["whole", "attempt", "named"])),
                draw(st.none() | st.integers(0, place - 1)) if place else None,
            )
        )
    return made


@given(rows(), st.integers(30, 200), st.integers(320, 2000))
@settings(max_examples=60, deadline=None)
def test_any_run_can_be_drawn(made: list[Row], wide: int, pixels: int) -> None:
    timeline = Timeline(made)
    check(timeline)
    limit = max(wide, 30)
    assert all(columns(line) <= limit + 1 for line in timeline.text(wide).splitlines()), (
        timeline.text(wide)
    )
    picture = drawn(timeline, width=pixels)
    for each in (part for one in lanes(picture) for part in one.iter()):
        for name in ("x", "cx"):
            assert -1 <= float(each.get(name, "0")) <= pixels
    assert drawn(timeline) is not None


# In a terminal, in a notebook, in a file ----------------------------------------------------------


def test_in_a_terminal_it_is_text() -> None:
    async def both() -> None:
        a = Scripted(0.5, *words("Hel", "lo", gap=0.25))("Hi").pipe(lane("openai"))
        b = Scripted(0.25, RateLimited("slow down"))("Hi").pipe(lane("claude"))
        await asyncio.gather(a, b, return_exceptions=True)

    shown = recorded(both, "Two at once").text(50)
    assert [line for line in shown.splitlines() if "heard" not in line] == [
        "Two at once",
        "openai .....................*---------o---------|",
        "claude ..........# RateLimited: slow down",
        "       0                  0.5 s                1 s",
    ]


def test_a_notebook_gets_a_picture_and_text() -> None:
    run = Timeline([Row("a", 0.0, (), 1.0, "completed")])
    bundle = run._repr_mimebundle_()
    assert [*bundle] == ["image/svg+xml", "text/plain"]
    assert bundle["text/plain"] == repr(run) == run.text()
    ElementTree.fromstring(bundle["image/svg+xml"])


def test_an_empty_run_says_so() -> None:
    assert Timeline().text().startswith("nothing was recorded: a stream is cold")
    assert "nothing was recorded" in Timeline().svg()


def test_what_is_saved_can_be_loaded(tmp_path: Path) -> None:
    async def both() -> None:
        a = Scripted(0.5, *words("Hel", "lo"))("Hi").pipe(lane("openai"))
        await asyncio.gather(
            a, Scripted(Overloaded("busy"))("Hi").pipe(lane("b")), return_exceptions=True
        )

    run = recorded(both, "saved")
    again = Timeline.load(run.save(tmp_path / "run.json"))
    assert (again.title, [*again.rows]) == (run.title, [*run.rows])
    assert again.svg() == run.svg()
    for suffix, shown in ((".svg", run.svg()), (".txt", run.text() + "\n")):
        assert run.save(tmp_path / f"run{suffix}").read_text() == shown


def test_a_png_is_a_png(tmp_path: Path) -> None:
    pytest.importorskip("resvg_py")
    for theme in ("light", "dark"):
        saved = Timeline([Row("a", 0.0, (), 1.0)]).save(tmp_path / "run.png", theme=theme)
        assert saved.read_bytes().startswith(b"\x89PNG")


def test_without_its_extra_a_png_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "resvg_py", None)
    with pytest.raises(UsageError, match=r"pip install 'rxchat\[notebook\]'"):
        Timeline().save(tmp_path / "run.png")


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.svg, \.png, \.json, \.txt"):
        Timeline().save(tmp_path / "run.gif")


def broken() -> Iterator[str]:
    yield "no JSON"
    yield "{}"
    row = {"name": "a", "began": 0.0}
    for rows in (
        [{"name": "a"}],
        [{**row, "parent": 0}],
        [{**row, "parent": -1}],
        [{**row, "marks": [[0, "?"]]}],
    ):
        yield json.dumps({"timeline": 1, "title": "", "rows": rows})


@pytest.mark.parametrize("content", [*broken()])
def test_what_is_no_timeline_is_not_loaded(content: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(UsageError, match="is no saved timeline"):
        Timeline.load(tmp_path / "run.json")


def test_a_picture_has_a_least_width() -> None:
    with pytest.raises(UsageError, match="at least"):
        Timeline().svg(width=100)


def test_a_hundred_lanes_are_cut_and_counted() -> None:
    picture = drawn(Timeline([Row(f"a{number}", 0.0) for number in range(100)]))
    assert len(lanes(picture)) == 60
    assert "and 40 more lanes" in texts(picture, "small")


def test_a_finish_at_the_end_is_there() -> None:
    (one,) = lanes(drawn(recorded(lambda: rxchat.of("a", Finish()).pipe(lane("openai")))))
    assert any(each.endswith("finish: stop") for each in titles(one))
