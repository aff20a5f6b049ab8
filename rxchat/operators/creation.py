"""reactivex's creation functions, on the event loop: what they give is a `Stream`."""

from __future__ import annotations

from typing import Any, TypeVar, overload

import reactivex
from reactivex import Observable

from rxchat.stream import Stream, wrap

__all__ = ["concat", "interval", "merge", "of", "timer", "zip"]

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
T = TypeVar("T")


def of(*items: T) -> Stream[T]:
    """A stream of the given items."""
    return wrap(reactivex.of(*items), "of")


def merge(*streams: Observable[T]) -> Stream[T]:
    """All streams at once, item by item as they come."""
    return wrap(reactivex.merge(*streams), "merge")


def concat(*streams: Observable[T]) -> Stream[T]:
    """One stream after the other."""
    return wrap(reactivex.concat(*streams), "concat")


@overload
def zip(a: Observable[A], /) -> Stream[tuple[A]]: ...
@overload
def zip(a: Observable[A], b: Observable[B], /) -> Stream[tuple[A, B]]: ...
@overload
def zip(a: Observable[A], b: Observable[B], c: Observable[C], /) -> Stream[tuple[A, B, C]]: ...
@overload
def zip(*streams: Observable[Any]) -> Stream[tuple[Any, ...]]: ...
def zip(*streams: Observable[Any]) -> Stream[Any]:
    """Tuples of the streams' first items, second items, and so on.

    The items of a faster stream wait in memory for the slower one.
    """
    return wrap(reactivex.zip(*streams), "zip")


def timer(due: float, period: float | None = None) -> Stream[int]:
    """0 after `due` seconds; with a `period`, then 1, 2, ... for ever."""
    return wrap(reactivex.timer(due, period), "timer")


def interval(period: float) -> Stream[int]:
    """0, 1, 2, ... every `period` seconds."""
    return wrap(reactivex.interval(period), "interval")
