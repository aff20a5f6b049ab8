"""One lane of a picture: its line, what came on it, how it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from operator import attrgetter

from attrs import Factory, define, field, frozen

from rxchat.notebook.timelines.lanes import CONTENT, Drawn
from rxchat.notebook.timelines.svg_elements import element, text, tooltip
from rxchat.notebook.timelines.svg_signs import END_SIGNS, ROUND, SIGNS
from rxchat.notebook.timelines.timeline import Kind, Mark
from rxchat.notebook.words import columns, counted, cut, seconds, visible

__all__ = ["LanePicture", "Plot"]

LETTER = 0.62  # of its size: how wide one is
BIN = 4.0  # pixels of one bar of a band
CROWDED = 1.5  # items per bar; more make a band,
MANY = 24  # unless there are so few
GAP = 0.08  # of the axis: a silence that is worth a word
ROOM = 20.0  # pixels behind the axis that words may use
WIDTHS = (24, 14)  # letters under a bead: as many as fit, or as few as must
TALL = 16.0  # half of the tallest bar
TOKEN = 10.5  # size of the words under a bead
SEAMS = frozenset({"committed", "restart", "resume"})  # these are in front
BEFORE: Mapping[Kind, float] = {"restart": 13, "resume": 11}  # pixels: what follows is seen, too


@frozen
class Plot:
    """Where moments are: from `left` to `right` in pixels."""

    left: float
    right: float
    span: float

    def x(self, at: float) -> float:
        return self.left + at / self.span * (self.right - self.left)


@define
class _Shelf:
    """Room for words on one height: what comes first is put there first."""

    taken: list[tuple[float, float]] = Factory(list[tuple[float, float]])

    def takes(self, left: float, right: float) -> bool:
        if any(left < end and begin < right for begin, end in self.taken):
            return False
        self.taken.append((left, right))
        return True


@frozen
class LanePicture:
    """Draws one lane around the height `y`."""

    drawn: Drawn
    plot: Plot
    y: float
    tells_silences: bool = True
    _above: _Shelf = field(factory=_Shelf, init=False)
    _below: tuple[_Shelf, _Shelf] = field(factory=lambda: (_Shelf(), _Shelf()), init=False)

    def parts(self) -> Iterator[str]:
        """From the back to the front."""
        drawn, y = self.drawn, self.y
        row, x = drawn.row, self.plot.x
        end = x(drawn.last)
        content = drawn.content
        if content and end - x(content[-1].at) < ROUND:
            end += 2 * ROUND  # the last bead is seen beside its end
        why = list(self._why(end))
        begin = x(row.began)
        speaks = x(content[0].at) if content else end
        yield element("path", class_="wait", d=f"M{begin:.1f} {y:.1f}H{speaks:.1f}")
        yield element("path", class_="line", d=f"M{speaks:.1f} {y:.1f}H{max(end, speaks):.1f}")
        yield element(
            "circle", tooltip(row.began, "subscribed"), class_="solid", cx=begin, cy=y, r=2.5
        )
        if content:
            yield from self._flag(speaks, content[0].at - row.began)
        if self.tells_silences:
            yield from self._silences()
        rest = [mark for mark in drawn.marks if mark.kind not in CONTENT]
        yield from (self._sign(mark) for mark in rest if mark.kind not in SEAMS)
        if len(content) > MANY and _crowd(content, x) > CROWDED:
            yield from self._band(content)
        else:
            yield from self._tokens(content)
            yield from (self._sign(mark) for mark in content)
        yield from (self._sign(mark) for mark in rest if mark.kind in SEAMS)
        yield END_SIGNS[row.outcome][1](end, y, tooltip(drawn.last, row.why or row.outcome))
        yield from why

    def _sign(self, mark: Mark) -> str:
        name, sign = SIGNS[mark.kind]
        what = (
            f"{name or mark.kind}: {mark.words}"
            if mark.kind not in ("text", "item")
            else mark.words
        )
        x = self.plot.x(mark.at) - BEFORE.get(mark.kind, 0)
        return sign(x, self.y, tooltip(mark.at, what))

    def _why(self, end: float) -> Iterator[str]:
        """The error beside its cross, or above it, if there is no room."""
        words, kind, size = visible(self.drawn.row.why), "why", 11 * LETTER
        if not words and self.drawn.row.outcome in ("hung up", "lost"):
            words, kind = self.drawn.row.outcome, "small"
        if not words:
            return
        beside = self.plot.right + 12 - end - 12
        if beside >= min(columns(words), 14) * size:
            yield text(cut(words, int(beside / size)), kind, end + 12, self.y + 4)
            return
        free = end - self._flagged()
        shelf, y = self._above, self.y - 14
        if free < min(columns(words), 14) * size:
            free, shelf, y = end - self.plot.left, self._below[1], self.y + 27
        words = cut(words, max(4, int(free / size)))
        shelf.takes(end - columns(words) * size, end + 8)
        yield text(words, kind, end + 6, y, "end")

    def _flagged(self) -> float:
        """Where the words at the flag end."""
        content, plot = self.drawn.content, self.plot
        return plot.x(content[0].at) + 12 + 7 * 11 * LETTER if content else plot.left

    def _flag(self, x: float, waited: float) -> Iterator[str]:
        """The first content: a flag with the time that it took."""
        top, words = self.y - 23, seconds(waited)
        title = tooltip(waited, f"first content after {words}")
        width = 12 + columns(words) * 11 * LETTER
        side = 1 if x + width < self.plot.right + ROOM else -1
        yield element("path", class_="mark", d=f"M{x:.1f} {self.y - 6:.1f}V{top:.1f}")
        pennant = f"M{x:.1f} {top - 1:.1f}l{9 * side} 4l{-9 * side} 4Z"
        yield element("path", title, class_="solid", d=pennant)
        if self._above.takes(*sorted((x, x + side * width))):
            yield text(words, "first", x + 12 * side, top + 7, "start" if side > 0 else "end")

    def _silences(self) -> Iterator[str]:
        """How long nothing came, where that is long; the first wait is on the flag."""
        _, *later = self.drawn.silences
        for since, until in later if self.drawn.content else self.drawn.silences:
            words = seconds(until - since)
            middle = self.plot.x((since + until) / 2)
            half = columns(words) * 10.5 * LETTER / 2
            is_long = until - since > GAP * self.plot.span
            if is_long and self._above.takes(middle - half, middle + half):
                yield text(words, "small", middle, self.y - 9, "middle")

    def _tokens(self, content: list[Mark]) -> list[str]:
        """The words under their beads, in two lines, if there is room for all of them."""
        for width in WIDTHS:
            if placed := self._placed(content, width):
                return placed
        return []

    def _placed(self, content: list[Mark], width: int) -> list[str]:
        shelves = {
            self.y + height: _Shelf([*shelf.taken])
            for height, shelf in zip((18.5, 29.5), self._below, strict=True)
        }
        placed: list[str] = []
        for at, said in _moments(content):
            words = cut(visible(said), width)
            half = columns(words) * TOKEN * LETTER / 2 + 1
            x = min(self.plot.x(at), self.plot.right + ROOM - half)
            free = (y for y, shelf in shelves.items() if shelf.takes(x - half, x + half))
            y = next(free, None)
            if y is None:
                return []
            placed.append(text(words, "token", x, y, "middle"))
        return placed

    def _band(self, content: list[Mark]) -> Iterator[str]:
        """Too many for beads: a bar for each few pixels, the taller the more there are."""
        bins = _bins(content, self.plot.x)
        most = max(map(len, bins.values()))
        for place, marks in bins.items():
            half = 2 + (TALL - 2) * (len(marks) / most) ** 0.5
            words = "".join(mark.words for mark in marks)
            title = tooltip(
                marks[0].at, f"{counted(len(marks), 'item')}: {cut(visible(words), 60)}"
            )
            box = {
                "x": place * BIN,
                "y": self.y - half,
                "width": BIN - 1,
                "height": 2 * half,
                "rx": 1,
            }
            yield element("rect", title, class_="bar", **box)


def _moments(content: list[Mark]) -> Iterator[tuple[float, str]]:
    """When something was said, and what; if it was more than two things at once, they are one."""
    for at, marks in groupby(content, key=attrgetter("at")):
        said = [mark.words for mark in marks]
        for words in said if len(said) <= 2 else ["".join(said)]:
            yield at, words.strip()


def _bins(content: list[Mark], x: Callable[[float], float]) -> dict[int, list[Mark]]:
    bins: dict[int, list[Mark]] = {}
    for mark in content:
        bins.setdefault(int(x(mark.at) / BIN), []).append(mark)
    return bins


def _crowd(content: list[Mark], x: Callable[[float], float]) -> float:
    return len(content) / max(1, len(_bins(content, x)))
