"""A timeline as a picture: plain SVG, without scripts, fonts or anything from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise

from rxchat.errors import UsageError
from rxchat.notebook.palette import AutoTheme
from rxchat.notebook.timelines.lanes import Drawn
from rxchat.notebook.timelines.layout import NOTHING, Layout
from rxchat.notebook.timelines.svg_elements import element, text, tooltip
from rxchat.notebook.timelines.svg_lanes import LanePicture, Plot
from rxchat.notebook.timelines.svg_signs import END_SIGNS, SIGNS
from rxchat.notebook.timelines.svg_style import HUES, PICTURE, sheet
from rxchat.notebook.timelines.timeline import Row
from rxchat.notebook.words import columns, counted, cut, seconds, visible

__all__ = ["svg"]

MOST = 60  # lanes of one picture
LEAST = 320  # pixels of its width
MARGIN = 22.0
HIGH = 60.0  # of a lane
MIDDLE = 0.46  # of that: words are below
HEADER, AXIS, LEGEND = 44.0, 24.0, 40.0
MEAN = 8.0  # of a compact picture: what is left of header, legend and margins


def svg(
    rows: Sequence[Row],
    title: str = "",
    theme: AutoTheme = "auto",
    width: int = 880,
    compact: bool = False,
) -> str:
    """The picture of these rows."""
    if width < LEAST:
        raise UsageError(f"a picture is at least {LEAST} pixels wide, not {width}")
    layout = Layout(rows)
    lanes = layout.lanes[:MOST]
    header, margin = (MEAN, MEAN) if compact else (HEADER, MARGIN)
    top = header + AXIS
    bottom = top + HIGH * max(1, len(lanes))
    more = 18.0 if len(layout.lanes) > MOST else 0.0
    height = bottom + more + (0 if compact else LEGEND)
    gutter = _gutter(lanes, 40, ()) if compact else _gutter(lanes, 90, [it.caption for it in lanes])
    plot = Plot(margin + gutter, width - margin - 14, layout.span)
    middles = [top + HIGH * (place + MIDDLE) for place in range(len(lanes))]
    return element(
        "svg",
        element("style", sheet(theme)),
        *(() if compact else _frame(layout, title, width, height)),
        *_axis(layout, plot, top, bottom),
        *_again(lanes, middles, plot),
        *(_lane(it, plot, y, margin, compact) for it, y in zip(lanes, middles, strict=True)),
        *_more(layout, bottom),
        *(() if compact else _legend(layout, bottom + more, width)),
        xmlns="http://www.w3.org/2000/svg",
        class_=PICTURE,
        viewBox=f"0 0 {width} {height:.0f}",
        width=width,
        height=int(height),
        role="img",
        aria_label=visible(title) or "timeline of a run",
    )


def _gutter(lanes: Sequence[Drawn], least: float, captions: Sequence[str]) -> float:
    """Room for names and what there is to say of them."""
    widths = [columns(lane.label) * 8.4 for lane in lanes]
    widths += [columns(caption) * 6.1 for caption in captions]
    return min(230.0, max([least, *widths])) + 18


def _box(x: float, y: float, width: float, height: float, rx: float) -> dict[str, float]:
    return {"x": x, "y": y, "width": width, "height": height, "rx": rx}


def _frame(layout: Layout, title: str, width: int, height: float) -> Iterator[str]:
    """The paper, and what is written above."""
    yield element("rect", class_="paper", **_box(0.5, 0.5, width - 1, height - 1, 12))
    count = len(layout.lanes)
    said = f"{counted(count, 'lane')} · {seconds(layout.span)}"
    room = int((width - 2 * MARGIN) / 9.5) - columns(said)
    yield text(cut(visible(title) or "timeline", room), "title", MARGIN, 32)
    yield text(said if count else NOTHING, "small", width - MARGIN, 32, "end")


def _axis(layout: Layout, plot: Plot, top: float, bottom: float) -> Iterator[str]:
    for at, name in layout.ticks(int((plot.right - plot.left) / 80)):
        x = plot.x(at)
        yield element("path", class_="grid", d=f"M{x:.1f} {top - 4:.1f}V{bottom:.1f}")
        yield text(name, "small", x, top - 10, "middle")


def _again(lanes: Sequence[Drawn], middles: Sequence[float], plot: Plot) -> Iterator[str]:
    """From an attempt that failed to the next of the same name."""
    placed = [(lane.row, y) for lane, y in zip(lanes, middles, strict=True)]
    for name in dict.fromkeys(row.name for row, _ in placed):
        same = [each for each in placed if each[0].name == name and each[0].part != "whole"]
        for (row, y), (next_, below) in pairwise(same):
            if row.outcome != "failed" or row.ended is None or next_.began < row.ended:
                continue
            x, to = plot.x(row.ended), plot.x(next_.began)
            bend = f"C{x:.1f} {(y + below) / 2:.1f} {to:.1f} {(y + below) / 2:.1f}"
            title = tooltip(next_.began, f"again after {seconds(next_.began - row.ended)}")
            d = f"M{x:.1f} {y + 11:.1f}{bend} {to:.1f} {below - 7:.1f}"
            yield element("path", title, class_="again", d=d)


def _lane(drawn: Drawn, plot: Plot, y: float, margin: float, compact: bool) -> str:
    hue = "heard" if drawn.is_whole else f"hue{drawn.hue % HUES}"
    gone = " gone" if drawn.row.outcome in ("lost", "hung up") else ""
    left, right = max(1.0, margin - 10), plot.right + 24
    box = _box(left, y - HIGH * MIDDLE + 2, right - left, HIGH - 4, 8)
    title = element("title", escape(visible(drawn.row.name)))
    name = {"class_": "name", "x": margin, "y": y + (4 if compact else -2)}
    return element(
        "g",
        *([element("rect", class_="raised", **box)] if drawn.is_whole else []),
        element("text", title, escape(drawn.label), **name),
        *(() if compact else [text(drawn.caption, "small", margin, y + 14)]),
        element("g", *LanePicture(drawn, plot, y, not compact).parts(), class_=f"{hue}{gone}"),
        class_="lane",
    )


def _more(layout: Layout, bottom: float) -> Iterator[str]:
    """How many lanes there is no room for."""
    if len(layout.lanes) > MOST:
        yield text(f"and {len(layout.lanes) - MOST:,} more lanes", "small", MARGIN, bottom + 14)


def _legend(layout: Layout, bottom: float, width: int) -> Iterator[str]:
    """The signs that occur, and what they mean."""
    kinds = {mark.kind for lane in layout.lanes for mark in lane.marks}
    ends = {lane.row.outcome for lane in layout.lanes}
    known = [meant for kind, meant in SIGNS.items() if kind in kinds]
    known += [meant for outcome, meant in END_SIGNS.items() if outcome in ends]
    x = MARGIN + 6
    parts: list[str] = []
    for name, sign in known:
        room = 12 + len(name) * 6.2 + 18
        if name and x + room < width:
            place = f"translate({x:.1f} {bottom + 18:.1f}) scale(.75)"
            parts += [
                element("g", sign(0, 0, ""), transform=place),
                text(name, "small", x + 11, bottom + 21.5),
            ]
            x += room
    yield element("g", *parts, class_="legend heard")
