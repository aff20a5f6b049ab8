"""What all pictures of a timeline have in common: which lanes, which scale, which words."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise

from attrs import frozen

from rxchat.notebook.timelines.timeline import Mark, Row

__all__ = ["CONTENT", "NOTHING", "Drawn", "Layout", "columns", "cut", "items", "seconds", "visible"]

CONTENT = frozenset({"text", "reasoning", "refusal", "tool", "item"})
REQUESTS = frozenset({"asked", "answered", "queued", "admitted"})
LEAST = 1e-3  # seconds that the axis has at least
NAMES = 24  # letters of a name that are shown
GAP = 0.08  # of the axis: a silence that is worth a word
ELLIPSIS = "…"


@frozen(slots=False)
class Drawn:
    """A row that is drawn."""

    row: Row
    label: str
    hue: int
    """Which of the names it has: lanes of one name have one colour."""
    is_whole: bool
    """Whether it is what was heard of the lanes above it."""

    @cached_property
    def marks(self) -> list[Mark]:
        """What is drawn; of a whole, the way of its requests is drawn at its parts."""
        hidden = REQUESTS if self.is_whole else frozenset[str]()
        return [mark for mark in self.row.marks if mark.kind not in hidden]

    @cached_property
    def content(self) -> list[Mark]:
        """The pieces of the answer."""
        return [mark for mark in self.row.marks if mark.kind in CONTENT]

    @property
    def last(self) -> float:
        """When it was last seen."""
        row = self.row
        latest = row.marks[-1].at if row.marks else row.began
        return latest if row.ended is None else row.ended

    @cached_property
    def silences(self) -> list[tuple[float, float]]:
        """From each moment in which something came to the next, from beginning to end."""
        moments = [self.row.began, *(mark.at for mark in self.content), self.last]
        return list(pairwise(moments))

    @property
    def caption(self) -> str:
        """What there is to say of it in few words."""
        content, began = self.content, self.row.began
        if not content:
            said = "nothing said"
        else:
            said = f"first after {seconds(content[0].at - began)} · {items(len(content))}"
        outcome = self.row.outcome
        return said if outcome == "completed" else f"{outcome} · {said}"


HEARD = "heard"
NOTHING = "nothing was recorded"


@frozen(slots=False)
class Layout:
    """The lanes of a picture, and its time axis, which begins at 0."""

    rows: Sequence[Row]

    @cached_property
    def lanes(self) -> list[Drawn]:
        """From top to bottom."""
        return list(_drawn(self.rows))

    @cached_property
    def span(self) -> float:
        """How many seconds the picture shows."""
        return max((lane.last for lane in self.lanes), default=0.0) or LEAST

    def ticks(self, most: int) -> list[tuple[float, str]]:
        """Round moments on the axis, with their names; about as many as there may be."""
        least = self.span / max(1, most)
        power = 10.0 ** math.floor(math.log10(least))
        step = next(power * by for by in (1, 2, 5, 10) if power * by >= least * 0.999)
        count = int(self.span / step * 1.0001)
        return [(number * step, _tick(number * step, step)) for number in range(count + 1)]


def _drawn(rows: Sequence[Row]) -> Iterator[Drawn]:
    """The rows that are worth a lane: parts first, and then the whole that was heard of them.

    What stands between a whole and its parts, as a `retry` that is raced, says nothing of its own;
    nor does the only request of a lane that a person has named, if it said the same.
    """
    parts: dict[int | None, list[int]] = {}
    for place, row in enumerate(rows):
        parts.setdefault(row.parent, []).append(place)

    def is_echo(row: Row) -> bool:
        above = None if row.parent is None else rows[row.parent]
        return (
            row.part == "attempt"
            and above is not None
            and above.part == "named"
            and len(parts[row.parent]) == 1
            and _content(row) == _content(above)
        )

    def is_news(whole: Row, part: Row) -> bool:
        return whole.outcome == "failed" and part.outcome != "failed"  # as at a deadline

    def worth(place: int) -> bool:
        mine = parts.get(place, [])
        if not mine:
            return not is_echo(rows[place])
        if rows[place].part == "named":
            return True
        if rows[place].part == "attempt":
            return False
        if len(mine) > 1 or is_news(rows[place], rows[mine[0]]):
            return True
        return mine[0] in parts and rows[mine[0]].part != "named"

    def walk(places: list[int]) -> Iterator[int]:
        met = {
            name: order for order, name in reversed([*enumerate(rows[at].name for at in places)])
        }
        for place in sorted(places, key=lambda at: met[rows[at].name]):  # those of a name together
            yield from walk(parts.get(place, []))
            if worth(place):
                yield place

    shown = list(walk(parts.get(None, [])))
    wholes = {place for place in shown if rows[place].part == "whole" and place in parts}
    names = [HEARD if place in wholes else rows[place].name for place in shown]
    met = dict.fromkeys(rows[place].name for place in shown if place not in wholes)
    hues = {name: hue for hue, name in enumerate(met)}
    total, so_far = Counter(names), Counter[str]()
    for place, name in zip(shown, names, strict=True):
        so_far[name] += 1
        number = f" #{so_far[name]}" if total[name] > 1 else ""
        label = cut(visible(name), NAMES - len(number)) + number
        yield Drawn(rows[place], label, hues.get(name, 0), place in wholes)


def _content(row: Row) -> list[tuple[str, str]]:
    return [(mark.kind, mark.words) for mark in row.marks if mark.kind in CONTENT]


# Words --------------------------------------------------------------------------------------------

_SIGNS = {
    "\n": "⏎",
    "\t": "⇥",
    "\r": "␍",
    "\xa0": " ",
    "\u202f": " ",
    "\u3000": "\u3000",
    "\u200d": "\u200d",  # joins emoji
}


def visible(words: str) -> str:
    """The words as one line that does nothing: no control sign, no change of direction.

    >>> visible("a\\nb\\x1b[31m\\u202e")
    'a⏎b\\\\x1b[31m\\\\u202e'
    """
    return "".join(
        _SIGNS.get(sign) or (sign if sign.isprintable() else repr(sign)[1:-1]) for sign in words
    )


def columns(words: str) -> int:
    """How many columns of a terminal they take.

    >>> columns("abc"), columns("語"), columns("e\\u0301")
    (3, 2, 1)
    """
    return sum(map(_width, words))


def _width(sign: str) -> int:
    if sign < "\x7f":  # as nearly all are
        return 1
    if unicodedata.combining(sign) or sign == "\u200d":
        return 0
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1


def cut(words: str, width: int) -> str:
    """The words, or as much as there is room for.

    >>> cut("hello", 5), cut("hello", 4)
    ('hello', 'hel…')
    """
    taken = end = 0
    for place, sign in enumerate(words, 1):
        taken += _width(sign)
        if taken > width:
            return words[:end] + ELLIPSIS if width > 0 else ""
        if taken < width:
            end = place
    return words


def items(count: int) -> str:
    """So many of them, in words."""
    return f"{count:,} item{'s' * (count != 1)}"


def seconds(span: float) -> str:
    """A time in words.

    >>> seconds(0), seconds(0.0042), seconds(0.25), seconds(1.5), seconds(75)
    ('0 ms', '4.2 ms', '250 ms', '1.50 s', '75.0 s')
    """
    if span < 0.9995:
        return f"{span * 1e3:.1f} ms" if 0 < span < 0.00995 else f"{span * 1e3:.0f} ms"
    return f"{span:.2f} s" if span < 9.995 else f"{span:.1f} s"


def _tick(at: float, step: float) -> str:
    if step < 0.01:
        return f"{at * 1e3:.6g} ms"
    return f"{at:.6g} s" if at else "0"
