"""Functions that reactivex's operators take are plain: an async one is refused when it is given.

It would give a coroutine, and the operator would take that for a value, or for a yes, and never
await it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from inspect import iscoroutinefunction
from typing import Any, ParamSpec, TypeVar

from rxchat.errors import UsageError

__all__ = ["OPERATORS", "plain", "refuse_async"]

P = ParamSpec("P")
R = TypeVar("R")

_INSTEAD = "write ops.map_async({function})"
_BEFORE = "get what it gives with ops.map_async({function}), and put {operator} behind that"
_TASK = "let a plain function start a task, or write ops.map_async({function})"
_STREAM = "let it be a plain one that gives a stream; rxchat.source makes one of an async function"
_PLAIN = "let it be a plain one"

OPERATORS = {
    operator: instead
    for instead, operators in {
        _INSTEAD: (
            *("map", "map_indexed", "starmap", "starmap_indexed", "expand"),
            *("flat_map", "flat_map_indexed", "flat_map_latest", "concat_map"),
            *("switch_map", "switch_map_indexed"),
        ),
        _BEFORE: (
            *("all", "average", "contains", "count", "distinct", "distinct_until_changed"),
            *("filter", "filter_indexed", "find", "find_index", "first", "first_or_default"),
            *("group_by", "last", "last_or_default", "max", "max_by", "min", "min_by"),
            *("partition", "partition_indexed", "reduce", "scan", "sequence_equal", "single"),
            *("single_or_default", "skip_while", "skip_while_indexed", "some", "sum"),
            *("take_while", "take_while_indexed", "to_dict"),
        ),
        _TASK: ("do_action", "tap", "finally_action"),
        _STREAM: (
            *("catch", "group_by_until", "group_join", "join", "throttle_with_mapper"),
            *("timeout_with_mapper", "delay_with_mapper", "buffer_when", "buffer_toggle"),
            *("window_when", "window_toggle", "multicast", "publish", "publish_value", "replay"),
        ),
        _PLAIN: ("do_while", "while_do"),
    }.items()
    for operator in operators
}
"""What to do instead, for each operator that takes a function."""


def plain(name: str, operator: Callable[P, R]) -> Callable[P, R]:
    """The operator, which refuses async functions."""

    @wraps(operator)
    def checked(*args: P.args, **named: P.kwargs) -> R:
        refuse_async(name, OPERATORS[name], *args, *named.values())
        return operator(*args, **named)

    return checked


def refuse_async(name: str, instead: str, *given: object) -> None:
    """Raise if one of these is an async function, and say what to write instead."""
    for each in given:
        if callable(each) and _is_async(each):
            told = str(getattr(each, "__name__", "function"))
            what = instead.format(function=told, operator=name)
            raise UsageError(f"{name}() takes a plain function, and {told} is async: {what}")


def _is_async(given: Any) -> bool:
    if isinstance(given, partial):
        return _is_async(given.func)
    return iscoroutinefunction(given) or (
        not isinstance(given, type) and iscoroutinefunction(type(given).__call__)
    )
