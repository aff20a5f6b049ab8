"""A JSON value as one of your types, and what is said if it is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from typing import Any, get_args

import msgspec

from rxchat.errors import DoesNotFit, UsageError

__all__ = ["fitting", "is_plain"]


def fitting(kind: Any) -> Callable[[Any, str], Any]:
    """What makes a `kind` of a JSON value; it is told where the value is, for its errors.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Cat:
    ...     age: int
    >>> fitting(Cat)({"age": 12}, "$")
    Cat(age=12)
    >>> fitting(list[Cat])([{"age": "old"}], "$.cats")
    Traceback (most recent call last):
    rxchat.errors.DoesNotFit: at $.cats[0].age: Expected `int`, got `str`
    """
    if kind is Any:
        return lambda value, at: value
    if _is_pydantic(kind):
        return _pydantic(kind)
    try:
        msgspec.json.schema(kind)
    except TypeError as error:
        raise UsageError(
            "the type of an answer is an attrs class, a dataclass, a msgspec struct, a TypedDict, "
            f"a pydantic model, or of plain types, not {kind!r}: {error}"
        ) from None

    def fit(value: Any, at: str) -> Any:
        try:
            return msgspec.convert(value, kind, str_keys=True)
        except msgspec.ValidationError as error:
            why, _, where = str(error).partition(" - at `")
            path = where.rstrip("`").removeprefix("key` in `").removeprefix("$")
            raise _misfit(at + path, why) from error
        except RecursionError as error:
            raise _misfit(at, "it is nested too deep") from error
        except UnicodeError as error:  # half of a surrogate pair
            raise _misfit(at, str(error)) from error

    return fit


def is_plain(kind: Any) -> bool:
    """Whether no value of a type is an object or an array.

    >>> is_plain(int), is_plain(int | None), is_plain(list[int]), is_plain(dict | None)
    (True, True, False, False)
    """
    if kind is Any or _is_pydantic(kind):
        return False
    schema = msgspec.json.schema(kind)
    while "$ref" in schema:
        schema = schema["$defs"][schema["$ref"].rpartition("/")[2]]
    kinds = [part.get("type") for part in schema.get("anyOf", [schema]) if "enum" not in part]
    return all(isinstance(each, str) and each not in ("object", "array") for each in kinds)


def _misfit(path: str, why: str) -> DoesNotFit:
    return DoesNotFit(f"at {path}: {why}", path=path)


def _is_pydantic(kind: Any) -> bool:
    return hasattr(kind, "__pydantic_validator__") or any(map(_is_pydantic, get_args(kind)))


def _pydantic(kind: Any) -> Callable[[Any, str], Any]:
    """Its models are there, so it is installed; it reads JSON by other rules than plain values."""
    pydantic: Any = import_module("pydantic")
    validate = pydantic.TypeAdapter(kind).validate_json

    def fit(value: Any, at: str) -> Any:
        try:
            return validate(json.dumps(value))
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False)[0]
            steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"])
            got = "" if first["type"] == "missing" else f", got {str(first['input'])[:80]!r}"
            raise _misfit(at + "".join(steps), f"{first['msg']}{got}") from error
        except RecursionError as error:
            raise _misfit(at, "it is nested too deep") from error

    return fit
