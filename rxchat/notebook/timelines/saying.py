"""Any item in few words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, cast

from rxchat.events import Finish, Other, Reasoning, Refusal, Reset, Start, Text, ToolCall, Usage
from rxchat.notebook.timelines.timeline import Kind

__all__ = ["said"]

WORDS = 120  # characters of an item that are kept


def said(item: Any) -> tuple[Kind, str]:
    """What an item is, and in which words."""
    kind, words = _KINDS.get(cast("type[object]", type(item)), ("item", str))
    if isinstance(item, Reset):
        kind = item.kind
    try:
        return kind, words(item)[:WORDS]
    except Exception:  # of a type of yours that cannot be shown
        return kind, type(item).__name__


def _facts(item: Any) -> str:
    """As `Usage(input=3)`, with what is known only."""
    fields: tuple[str, ...] = item.__struct_fields__
    known = {name: getattr(item, name) for name in fields}
    return ", ".join(
        f"{name}={value!r}" for name, value in known.items() if value not in (None, "")
    )


def _call(item: ToolCall) -> str:
    return f"{item.name}({item.arguments}" if item.name else item.arguments


_KINDS: Mapping[type[Any], tuple[Kind, Callable[[Any], str]]] = {
    Text: ("text", attrgetter("text")),
    str: ("text", str),
    Reasoning: ("reasoning", attrgetter("text")),
    Refusal: ("refusal", attrgetter("text")),
    ToolCall: ("tool", _call),
    Start: ("start", _facts),
    Usage: ("usage", _facts),
    Finish: ("finish", attrgetter("reason")),
    Reset: ("restart", attrgetter("cause")),
    Other: ("other", attrgetter("name")),
}
