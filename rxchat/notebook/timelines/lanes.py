"""Which rows of a timeline are worth a lane, in which order, and under which names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise

from attrs import frozen

from rxchat.notebook.timelines.timeline import Mark, Row
from rxchat.notebook.words import counted, cut, seconds, visible

__all__ = ["CONTENT", "Drawn", "drawn"]

CONTENT = frozenset({"text", "reasoning", "refusal", "tool", "item"})
REQUESTS = frozenset({"asked", "answered", "queued", "admitted"})
NAMES = 24  # letters of a name that are shown
HEARD = "heard"  # the name of a whole


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
            said = f"first after {seconds(content[0].at - began)} · {counted(len(content), 'item')}"
        outcome = self.row.outcome
        return said if outcome == "completed" else f"{outcome} · {said}"


def drawn(rows: Sequence[Row]) -> Iterator[Drawn]:
    """From top to bottom; of several rows with one name, each has a number."""
    tree = _Tree(rows)
    shown = list(tree.shown())
    names = [HEARD if tree.is_whole(place) else rows[place].name for place in shown]
    met = dict.fromkeys(rows[place].name for place in shown if not tree.is_whole(place))
    hues = {name: hue for hue, name in enumerate(met)}
    total, so_far = Counter(names), Counter[str]()
    for place, name in zip(shown, names, strict=True):
        so_far[name] += 1
        number = f" #{so_far[name]}" if total[name] > 1 else ""
        label = cut(visible(name), NAMES - len(number)) + number
        yield Drawn(rows[place], label, hues.get(name, 0), tree.is_whole(place))


class _Tree:
    """Rows and their parts.

    What stands between a whole and its parts, as a `retry` that is raced, says nothing of its own;
    nor does the only request of a lane that a person has named, if it said the same.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows
        self._parts: dict[int | None, list[int]] = {}
        for place, row in enumerate(rows):
            self._parts.setdefault(row.parent, []).append(place)

    def shown(self, above: int | None = None) -> Iterator[int]:
        """The places of those worth a lane: parts first, and then what was heard of them."""
        parts = self._parts.get(above, [])
        met = dict.fromkeys(self._rows[place].name for place in parts)
        order = {name: number for number, name in enumerate(met)}
        for place in sorted(parts, key=lambda at: order[self._rows[at].name]):  # names together
            yield from self.shown(place)
            if self._is_worth_a_lane(place):
                yield place

    def is_whole(self, place: int) -> bool:
        """Whether it is what was heard of its parts."""
        return self._rows[place].part == "whole" and place in self._parts

    def _is_worth_a_lane(self, place: int) -> bool:
        row, parts = self._rows[place], self._parts.get(place, [])
        if not parts:
            return not self._is_echo(row)
        if row.part != "whole":
            return row.part == "named"
        first = self._rows[parts[0]]
        is_news = row.outcome == "failed" and first.outcome != "failed"  # as at a deadline
        return len(parts) > 1 or is_news or (parts[0] in self._parts and first.part != "named")

    def _is_echo(self, row: Row) -> bool:
        """Whether it is the only request of a lane that says the same."""
        if row.part != "attempt" or row.parent is None:
            return False
        above = self._rows[row.parent]
        alone = above.part == "named" and len(self._parts[row.parent]) == 1
        return alone and _content(row) == _content(above)


def _content(row: Row) -> list[tuple[str, str]]:
    return [(mark.kind, mark.words) for mark in row.marks if mark.kind in CONTENT]
