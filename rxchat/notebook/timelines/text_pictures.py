"""A timeline for a terminal: a line for each lane, a column for each moment.

.  waiting for the first content      *  the first content
-  nothing happens                    o  content; O  much of it
C  from here on it is heard           R  it begins anew; r  it goes on elsewhere
|  the end    #  an error    !  hung up    /  hung up because another one was heard
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rxchat.notebook.timelines.lanes import CONTENT, Drawn
from rxchat.notebook.timelines.layout import NOTHING, Layout
from rxchat.notebook.timelines.timeline import Outcome, Row
from rxchat.notebook.words import columns, cut, visible

__all__ = ["text"]

LEAST = 30  # columns of a picture that can be read
MUCH = 4  # items in one column
WORDS = 16  # columns that an error is worth at the end of its line; else it has one of its own

_ENDS: Mapping[Outcome, str] = {
    "running": "",
    "completed": "|",
    "failed": "#",
    "hung up": "!",
    "lost": "/",
}
_SIGNS = {"committed": "C", "restart": "R", "resume": "r"}


def text(rows: Sequence[Row], title: str = "", width: int = 80) -> str:
    """The picture, without colours."""
    layout = Layout(rows)
    if not layout.lanes:
        return cut(f"{NOTHING}: a stream is cold, so subscribe to it inside", max(LEAST, width))
    labels = max(columns(lane.label) for lane in layout.lanes)
    plot = max(LEAST, width) - labels - 2  # the last column is for an end after the last item
    lines = [cut(visible(title), width)] if title else []
    for lane in layout.lanes:
        name = " " * (labels - columns(lane.label)) + lane.label
        lines += _lines(lane, name, layout.span, plot)
    return "\n".join([*lines, " " * (labels + 1) + _axis(layout, plot)])


def _lines(lane: Drawn, name: str, span: float, plot: int) -> list[str]:
    drawn = _signs(lane, span, plot)
    line, why = f"{name} {drawn}", visible(lane.row.why)
    if not why:
        return [line]
    room = plot - len(drawn)
    if room >= min(columns(why), WORDS):
        return [f"{line} {cut(why, room)}"]
    why = cut(why, plot)
    margin = max(0, len(drawn) - columns(why))
    return [line, " " * (columns(name) + 1 + margin) + why]


def _signs(lane: Drawn, span: float, plot: int) -> str:
    row, content = lane.row, lane.content

    def column(at: float) -> int:
        return min(plot - 1, int(at / span * (plot - 1) + 0.5))

    begin, end = column(row.began), column(lane.last)
    first = column(content[0].at) if content else end
    signs = [" "] * begin + ["."] * (first - begin) + ["-"] * (end - first + 1)
    items = [0] * plot
    for mark in row.marks:
        at = column(mark.at)
        if mark.kind in CONTENT:
            items[at] += 1
            signs[at] = "O" if items[at] >= MUCH else "o"
        elif mark.kind in _SIGNS and not items[at]:
            signs[at] = _SIGNS[mark.kind]
    if content:
        signs[first] = "*"
    last = _ENDS[row.outcome]
    if signs[end] in "-.":
        signs[end] = last or signs[end]
        return "".join(signs)
    return "".join(signs) + last


def _axis(layout: Layout, plot: int) -> str:
    """The moments, each name centred at its place if there is room."""
    line = ""
    for at, name in layout.ticks(max(2, plot // 10)):
        place = int(at / layout.span * (plot - 1) + 0.5) - len(name) // 2
        place = max(0, min(place, plot + 1 - len(name)))
        if not line or place > len(line):
            line = line.ljust(place) + name
    return line
