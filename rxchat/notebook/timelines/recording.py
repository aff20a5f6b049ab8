"""Recording a run while it happens: who subscribed, what came when, and how it ended.

Strategy. Per item, a recording takes the time and keeps the item as it is. What that comes to, in
words and marks, is found out when somebody looks. So a recording holds on to all items.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, TypeVar

from reactivex import Observable, abc
from reactivex.abc import DisposableBase
from reactivex.disposable import Disposable

from rxchat.notebook.timelines.saying import said
from rxchat.notebook.timelines.timeline import Kind, Mark, Outcome, Part, Row, Timeline
from rxchat.stream import Call, Hop, Recorder, Scope, Stream, Watch, lift, wrap

__all__ = ["Lane", "Recording"]

T = TypeVar("T")

WORDS = 500  # characters of an error that are kept


class Recording(Timeline, Recorder):
    """A timeline that grows while the streams run."""

    def __init__(self, title: str = "") -> None:
        super().__init__(title=title)
        self.lanes: list[Lane] = []
        self._origin: float | None = None

    @property
    def rows(self) -> Sequence[Row]:
        places = {id(lane): place for place, lane in enumerate(self.lanes)}
        return [lane.row(places) for lane in self.lanes]

    def part(self, source: Observable[T], scope: Scope) -> tuple[Observable[T], Lane]:
        return self.begin(_name_of(source), "whole", scope).over(source)

    def committed(self) -> None:
        """Nobody commits a run as a whole."""

    def lost(self) -> None:
        """Nobody loses it."""

    def begin(self, name: str, kind: Part, scope: Scope, parent: Lane | None = None) -> Lane:
        """Open a lane, for one subscription that begins now."""
        time = scope.loop.time
        if self._origin is None:
            self._origin = time()
        lane = Lane(self, name, kind, time, self._origin, parent)
        self.lanes.append(lane)
        return lane


class Lane(Recorder):
    """What one subscription hears."""

    __slots__ = (
        *("_items", "_moments", "_notes", "_origin", "_parts", "_time"),
        *("began", "ended", "error", "kind", "lost_out", "name", "outcome", "parent", "run"),
    )

    def __init__(
        self,
        run: Recording,
        name: str,
        kind: Part,
        time: Callable[[], float],
        origin: float,
        parent: Lane | None = None,
    ) -> None:
        self.name = name
        self.kind: Part = kind
        self.parent = parent
        self.began = time()
        self.ended: float | None = None
        self.outcome: Outcome = "running"
        self.error: Exception | None = None
        self.lost_out: bool = parent is not None and parent.lost_out
        self.run = run
        self._parts: list[Lane] = []
        self._time = time
        self._origin = origin
        self._items: list[Any] = []
        self._moments = array("d")
        self._notes: list[tuple[float, Kind, str]] = []

    def part(self, source: Observable[T], scope: Scope) -> tuple[Observable[T], Lane]:
        return self._begin(_name_of(source), "attempt", scope).over(source)

    def over(self, source: Observable[T]) -> tuple[Observable[T], Lane]:
        """The source, heard by this lane."""

        def subscribe(
            observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None
        ) -> DisposableBase:
            return self.listen(source, observer, Scope.of(scheduler))

        return wrap(Observable(subscribe), self.name), self

    def named(self, name: str, scope: Scope) -> Lane:
        """A part that a `lane` of yours hears."""
        return self._begin(name, "named", scope)

    def _begin(self, name: str, kind: Part, scope: Scope) -> Lane:
        lane = self.run.begin(name, kind, scope, self)
        self._parts.append(lane)
        return lane

    def committed(self) -> None:
        self.note("committed")
        for part in self._parts:  # what is drawn of this one, if it has parts
            if part.ended is None:
                part.committed()

    def lost(self) -> None:
        self.lost_out = True
        for part in self._parts:
            part.lost()

    def note(self, kind: Kind, words: str = "") -> None:
        """Mark something that is no item."""
        self._notes.append((self._time(), kind, words))

    def end(self, outcome: Outcome, error: Exception | None = None) -> None:
        """It is over; only the first end counts."""
        if self.ended is None:
            self.outcome, self.error, self.ended = outcome, error, self._time()

    def listen(
        self, source: Observable[Any], observer: abc.ObserverBase[Any], scope: Scope
    ) -> DisposableBase:
        """Subscribe to the source, and hear all that it says."""
        scope = scope.watched(ear := _Ear(observer, self))
        scope.recorder = self
        return ear.over(source, scope)

    def keep(self) -> tuple[Callable[[float], None], Callable[[Any], None], Callable[[], float]]:
        """What an ear needs for each item: where the moment goes, where the item goes, the time."""
        return self._moments.append, self._items.append, self._time

    def row(self, places: Mapping[int, int]) -> Row:
        """The facts so far."""
        origin = self._origin
        came = zip(self._moments, self._items, strict=False)
        marks = [Mark(round(at - origin, 6), *said(item)) for at, item in came]
        marks += [Mark(round(at - origin, 6), kind, words) for at, kind, words in self._notes]
        marks.sort(key=attrgetter("at"))
        error = self.error
        return Row(
            self.name,
            round(self.began - origin, 6),
            marks,
            None if self.ended is None else round(self.ended - origin, 6),
            self.outcome,
            f"{type(error).__name__}: {error}"[:WORDS] if error else "",
            self.kind,
            None if self.parent is None else places.get(id(self.parent)),
        )


class _Ear(Hop[Any], Watch, DisposableBase):
    """Passes everything on, and writes it down in a lane."""

    __slots__ = ("_emit", "_item", "_lane", "_moment", "_time", "_upstream")

    def __init__(self, observer: abc.ObserverBase[Any], lane: Lane) -> None:
        super().__init__(observer)
        self._emit = observer.on_next
        self._lane = lane
        self._moment, self._item, self._time = lane.keep()
        self._upstream: DisposableBase = Disposable()

    def over(self, source: Observable[Any], scope: Scope) -> DisposableBase:
        try:
            self._upstream = lift(source, self, scope)
        except Exception as error:
            self._lane.end("failed", error)
            raise
        return self

    def on_next(self, item: Any) -> None:
        self._moment(self._time())
        self._item(item)
        self._emit(item)

    def on_error(self, error: Exception) -> None:
        self._lane.end("failed", error)
        self.observer.on_error(error)

    def on_completed(self) -> None:
        self._lane.end("completed")
        self.observer.on_completed()

    def dispose(self) -> None:
        self._lane.end("lost" if self._lane.lost_out else "hung up")
        self._upstream.dispose()

    def queued(self) -> None:
        self._lane.note("queued")

    def admitted(self) -> None:
        self._lane.note("admitted")

    def asked(self, call: Call) -> None:
        self._lane.note("asked", call.name or "")

    def answered(self, call: Call, headers: Mapping[str, str]) -> None:
        self._lane.note("answered", str(call.status or ""))


def _name_of(source: Observable[Any]) -> str:
    return source.name if isinstance(source, Stream) else "stream"
