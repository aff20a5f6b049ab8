"""reactivex's indexed operators as `Stream` has them: counting from 0 for every subscription."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from reactivex import Observable

from rxchat.stream import Stream, wrap

if TYPE_CHECKING:
    from reactivex.operators import (
        flat_map_indexed,
        map_indexed,
        skip_while_indexed,
        switch_map_indexed,
    )

__all__ = ["flat_map_indexed", "map_indexed", "skip_while_indexed", "switch_map_indexed"]


def _piped(method: Callable[..., Stream[Any]]) -> Callable[..., Any]:
    """The operator that calls a fluent method."""

    def operator(*args: Any, **named: Any) -> Callable[[Observable[Any]], Stream[Any]]:
        return lambda source: method(wrap(source), *args, **named)

    return operator


if not TYPE_CHECKING:
    map_indexed = _piped(Stream.map_indexed)
    flat_map_indexed = _piped(Stream.flat_map_indexed)
    switch_map_indexed = _piped(Stream.switch_map_indexed)
    skip_while_indexed = _piped(Stream.skip_while_indexed)
