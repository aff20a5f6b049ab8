"""What comes, in all living formats: how a frame's JSON is read, and what may stand in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import msgspec
from msgspec import Struct

from rxchat.errors import Garbled, ServiceError, Truncated
from rxchat.events import Finish, Reason
from rxchat.framing import FramingError, read_json
from rxchat.refusal import refusal

__all__ = [
    "Call",
    "Function",
    "count",
    "fields",
    "finish",
    "in_band",
    "items",
    "json_text",
    "parsed",
    "read",
    "spaced_json",
    "text",
]

T = TypeVar("T")
_anything = msgspec.json.Decoder().decode


def read(decode: Callable[[Any], T], data: str | bytes) -> T:
    """Read JSON that the fast way has refused, or raise what is wrong with it.

    JSON that ends too early is a cut answer, wherever the cut was made.
    """
    try:
        return read_json(decode, data, at_end=True)
    except FramingError as error:
        wrong = Truncated if error.kind == "truncated" else Garbled
        failure = wrong(f"{error}: {error.excerpt!r}")
    raise failure


def parsed(data: str | bytes) -> Any:
    """All that a frame says, whatever it is: slower than a struct of what is looked for."""
    return read(_anything, data)


class Function(Struct, gc=False):
    """The function of a call, in the words of OpenAI and others."""

    name: Any = None
    arguments: Any = None


class Call(Struct, gc=False):
    """A call, or a piece of one."""

    index: Any = None
    id: Any = None
    function: Function | None = None


# Services put null, numbers and objects where text belongs: nothing in a leaf is an error.


def text(value: object) -> str:
    """A text, or the empty one in place of anything else."""
    return value if isinstance(value, str) else ""


def count(value: object) -> int | None:
    """A number of tokens, as services write it; None in place of anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return int(value)
    except (ValueError, OverflowError):
        return None


def fields(value: object) -> Mapping[str, Any]:
    """An object, or the empty one in place of anything else."""
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def items(value: object) -> list[Any]:
    """A list, or the empty one in place of anything else."""
    return value if isinstance(value, list) else []  # pyright: ignore[reportUnknownVariableType]  # JSON


def spaced_json(arguments: object) -> str:
    """Arguments that came as an object, as text: written as models and most services write it."""
    if arguments is None or isinstance(arguments, str):
        return arguments or ""
    try:
        return json.dumps(arguments, ensure_ascii=False)
    except RecursionError:
        raise Garbled("the arguments of a call are nested too deeply") from None


def json_text(value: object) -> str:
    """A value as JSON text, if it is not text already; nothing is no text."""
    if value is None or isinstance(value, str):
        return value or ""
    return msgspec.json.encode(value).decode()


def finish(
    reasons: Mapping[str, Reason], raw: str | None, *, called: bool, choice: int = 0
) -> Finish:
    """The end of an answer: for its calls, if it made any, also where that is said to be a stop."""
    reason = reasons.get(raw, "other") if raw else "stop"
    return Finish("tool_calls" if called and reason == "stop" else reason, raw or None, choice)


_CODES = ("code", "status_code", "http_status_code", "originalStatusCode")


def in_band(body: str | Mapping[str, Any]) -> ServiceError:
    """The error that a service reports inside an answer; a code may be an HTTP status."""
    body = fields(parsed(body) if isinstance(body, str) else body)
    told = fields(body.get("error")) or body
    codes = (count(told.get(name)) for name in _CODES)
    status = next((code for code in codes if code is not None and 400 <= code < 600), None)
    return refusal(body, status=status)
