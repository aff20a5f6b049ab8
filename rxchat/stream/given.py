"""What is given where streams are wanted: streams, or an error that says what to write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from reactivex import Observable

from rxchat.errors import UsageError

__all__ = ["a_stream", "labelled_streams"]


def a_stream(function: str, given: object) -> Observable[Any]:
    """What a function was given, if it is a stream.

    >>> a_stream("show", "Why?")
    Traceback (most recent call last):
    ...
    rxchat.errors.UsageError: show() takes streams, not str: ask a provider, as openai(question)
    """
    if isinstance(given, Observable):
        return given  # pyright: ignore[reportUnknownVariableType]  # of whatever items
    if callable(given):
        name = getattr(given, "name", None) or getattr(given, "__name__", "provider")
        raise UsageError(f"{function}() takes streams: call what makes one, as {name}(question)")
    hint = ": ask a provider, as openai(question)" if isinstance(given, str) else ""
    raise UsageError(f"{function}() takes streams, not {type(given).__name__}{hint}")


def labelled_streams(function: str, given: object) -> Mapping[str, Observable[Any]]:
    """The same of several, by their labels.

    >>> labelled_streams("compare", {1: None})
    Traceback (most recent call last):
    ...
    rxchat.errors.UsageError: compare() takes labels that are texts, not 1
    """
    if not isinstance(given, Mapping) or not given:
        raise UsageError(f'{function}() takes {{"label": stream, ...}} with at least one stream')
    for label, stream in cast("Mapping[object, object]", given).items():
        if not isinstance(label, str):
            raise UsageError(f"{function}() takes labels that are texts, not {label!r}")
        a_stream(function, stream)
    return cast("Mapping[str, Observable[Any]]", given)
