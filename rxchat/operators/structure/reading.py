"""Values out of the text of an answer: JSON as it grows, and values of your types.

`JsonReader` reads each character once, so all of this is linear in the text, and the same at any
cut. Of events, the text of choice 0 is read; at a `Reset` that restarts, reading begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, Literal, Protocol, TypeVar, cast, overload

from msgspec import Struct
from reactivex import Observable, abc

from rxchat.errors import (
    BadAnswer,
    CallbackFailed,
    ChatError,
    DoesNotFit,
    UsageError,
    noted,
)
from rxchat.events import Finish, Refusal, Reset
from rxchat.operators.structure.fitting import fitting, is_plain
from rxchat.operators.structure.json_reading import JsonReader
from rxchat.operators.structure.json_values import Elements, Growing
from rxchat.operators.texts.shaping import piece_of
from rxchat.stream import Hop, lifted

__all__ = ["Draft", "as_type", "json_items", "partial_json"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Draft(Struct, Generic[T], frozen=True):
    """A value on its way: `so_far` as plain JSON, and `whole` in the last one, when it fits."""

    so_far: Any
    whole: T | None = None


def partial_json(*, strict: bool = False) -> Callable[[Observable[Any]], Observable[Any]]:
    """The JSON value so far, after each piece of text that changed it; the last is exact.

    An object or an array is the same one each time, and grows in place: look at it when it comes,
    do not change it, and add `ops.map(copy.deepcopy)` if you must keep every state of it. So far
    means: of a text, what is there; of a number or a literal, nothing until it is over; of a name,
    nothing until its value begins.

    The answer may have prose or a code fence around its first object or array, and line breaks
    within texts; with `strict=True` it must be one JSON text of whatever kind, as for `json.loads`.
    What is no JSON fails with `Garbled`, what ends too early with `Truncated`, and no text at all
    with `EmptyAnswer`. Memory: the value.

    >>> from rxchat import of
    >>> from reactivex import operators as rx
    >>> of('```json\\n{"name": "To', 'm", "age": 1', '2}', '\\n```').pipe(
    ...     partial_json(), rx.map(str), rx.to_list()
    ... ).run()
    ["{'name': 'To'}", "{'name': 'Tom'}", "{'name': 'Tom', 'age': 12}"]
    """
    return _read(lambda: _Partial(strict))


@overload
def json_items(
    path: str | Sequence[str] = "", *, strict: bool = False
) -> Callable[[Observable[Any]], Observable[Any]]: ...
@overload
def json_items(
    path: str | Sequence[str], kind: type[T], *, strict: bool = False
) -> Callable[[Observable[Any]], Observable[T]]: ...
@overload
def json_items(
    path: str | Sequence[str], kind: object, *, strict: bool = False
) -> Callable[[Observable[Any]], Observable[Any]]: ...
def json_items(
    path: str | Sequence[str] = "", kind: Any = Any, *, strict: bool = False
) -> Callable[[Observable[Any]], Observable[Any]]:
    """Each element of the array at `path`, as soon as it is whole, and as a `kind` if you say one.

    The path is of names with dots in between, or a sequence of names; an empty one is the array
    itself. If there is no array at the path, the stream fails with `DoesNotFit` at its end. What
    is no JSON, and what may stand around it, is as for `partial_json`.
    Memory: the largest element.

    >>> from rxchat import of
    >>> from reactivex import operators as rx
    >>> of('{"cats": [{"name": "T', 'om"}, {"name":', '"Ira"}]}').pipe(
    ...     json_items("cats"), rx.map(lambda cat: cat["name"]), rx.to_list()
    ... ).run()
    ['Tom', 'Ira']
    """
    names, fit = _names(path), fitting(kind)
    return _read(lambda: _Items(names, fit, strict))


@overload
def as_type(
    kind: type[T], *, partial: Literal[False] = False, strict: bool = False
) -> Callable[[Observable[Any]], Observable[T]]: ...
@overload
def as_type(
    kind: object, *, partial: Literal[False] = False, strict: bool = False
) -> Callable[[Observable[Any]], Observable[Any]]: ...
@overload
def as_type(
    kind: type[T], *, partial: Literal[True], strict: bool = False
) -> Callable[[Observable[Any]], Observable[Draft[T]]]: ...
@overload
def as_type(
    kind: object, *, partial: Literal[True], strict: bool = False
) -> Callable[[Observable[Any]], Observable[Draft[Any]]]: ...
def as_type(
    kind: Any, *, partial: bool = False, strict: bool = False
) -> Callable[[Observable[Any]], Observable[Any]]:
    """The answer as a value of your type, once, when the answer has ended well.

    The type is one that the option `schema` takes, too: an attrs class, a dataclass, a msgspec
    struct, a TypedDict, or of plain types; or a pydantic model (with `model_json_schema()` for the
    schema). An answer that does not fit fails with `DoesNotFit`, which says where; what is no JSON,
    and what may stand around it, is as for `partial_json`. A type of plain values alone, as a
    number or an enum, takes an answer that is nothing but one.

    With `partial=True` there is a `Draft` after each piece that changed the value: its `so_far` is
    plain JSON that grows in place, and the last one has the value itself as `whole`.
    Memory: the value.

    >>> from dataclasses import dataclass
    >>> from rxchat import of
    >>> @dataclass
    ... class Cat:
    ...     name: str
    ...     age: int
    >>> of('{"name": "Tom",', ' "age": 12}').pipe(as_type(Cat)).run()
    Cat(name='Tom', age=12)
    """
    fit = fitting(kind)
    alone = strict or is_plain(kind)
    return _read(lambda: _Typed(fit, partial, alone))


# How they are run -------------------------------------------------------------------------------


class _Reading(Protocol[T_co]):
    """Text in pieces, to values, which `taken` gives once each."""

    def feed(self, text: str, /) -> None: ...
    def close(self) -> None: ...
    def taken(self) -> Sequence[T_co]: ...


class _Partial:
    def __init__(self, strict: bool) -> None:
        self._growing = Growing()
        self._reader = JsonReader(self._growing, strict=strict)
        self.feed, self.close = self._reader.feed, self._reader.close

    def taken(self) -> Sequence[Any]:
        growing = self._growing
        if not growing.changed:
            return ()
        growing.changed = False
        return (growing.value,)


class _Items:
    def __init__(self, path: Sequence[str], fit: Callable[..., Any], strict: bool) -> None:
        self._path = path
        self._fit = fit
        self._elements = Elements(path)
        self._reader = JsonReader(self._elements, strict=strict)
        self._given = 0
        self._fitting: list[Any] = []

    def feed(self, text: str) -> None:
        try:
            self._reader.feed(text)
        finally:
            self._fit_all()

    def close(self) -> None:
        self._reader.close()
        if not self._elements.found:
            raise DoesNotFit(f"the answer has no array at {_at(self._path)}", path=_at(self._path))

    def taken(self) -> Sequence[Any]:
        fitting, self._fitting = self._fitting, []
        return fitting

    def _fit_all(self) -> None:
        whole, self._elements.whole = self._elements.whole, []
        for element in whole:
            self._fitting.append(self._fit(element, f"{_at(self._path)}[{self._given}]"))
            self._given += 1


class _Typed:
    def __init__(self, fit: Callable[..., Any], partial: bool, strict: bool) -> None:
        self._fit = fit
        self._partial = partial
        self._growing = Growing()
        self._reader = JsonReader(self._growing, strict=strict)
        self._fitting: list[Any] = []
        self.feed = self._reader.feed

    def close(self) -> None:
        self._reader.close()
        so_far = self._growing.value
        whole = self._fit(so_far, "$")
        self._growing.changed = False
        self._fitting.append(Draft(so_far, whole) if self._partial else whole)

    def taken(self) -> Sequence[Any]:
        if self._partial and self._growing.changed:
            self._growing.changed = False
            return (Draft[Any](self._growing.value),)
        fitting, self._fitting = self._fitting, []
        return fitting


def _names(path: object) -> Sequence[str]:
    if isinstance(path, str):
        return path.split(".") if path else ()
    if isinstance(path, list | tuple):
        names = cast("Sequence[object]", path)
        if all(isinstance(name, str) for name in names):
            return tuple(map(str, names))
    raise UsageError(f"json_items() takes names, as in 'answer.cats', not {path!r}")


def _at(path: Sequence[str]) -> str:
    return ".".join(["$", *path])


def _read(make: Callable[[], _Reading[T]]) -> Callable[[Observable[Any]], Observable[T]]:
    """The operator of a reading: a new one for each subscription, and after each restart."""

    return lifted(lambda observer: _Listening(observer, make))


class _Listening(Hop[Any]):
    __slots__ = ("_emit", "_make", "_notes", "_reading")

    def __init__(self, observer: abc.ObserverBase[Any], make: Callable[[], _Reading[Any]]) -> None:
        super().__init__(observer)
        self._emit = observer.on_next
        self._make = make
        self._begin()

    def _begin(self) -> None:
        self._reading = self._make()
        self._notes: dict[str, str] = {}  # what else was said that may explain a failure

    def on_next(self, item: Any) -> None:
        text = piece_of(item)
        if text is not None:
            self._take(self._reading.feed, text)
            return
        kind = cast("type[object]", type(item))
        if kind is Reset and item.kind == "restart":
            self._begin()
        elif kind is Refusal and item.choice == 0:
            self._notes["refusal"] = (self._notes.get("refusal", "") + item.text)[:400]
        elif kind is Finish and item.choice == 0 and item.reason != "stop":
            self._notes["finish"] = item.reason

    def on_completed(self) -> None:
        if self._take(self._reading.close):
            self.observer.on_completed()

    def _take(self, step: Callable[..., None], *text: str) -> bool:
        """Emit what a step brings, then what went wrong in it; tell whether nothing did."""
        failure: Exception | None = None
        try:
            step(*text)
        except BadAnswer as error:
            failure = error
            for name, said in self._notes.items():
                noted(error, f"{name}: {said}")
        except ChatError as error:
            failure = error
        except Exception as bug:  # of a class of the user's
            failure = CallbackFailed.by(bug)
        for value in self._reading.taken():
            self._emit(value)
        if failure is not None:
            self.observer.on_error(failure)
        return failure is None
