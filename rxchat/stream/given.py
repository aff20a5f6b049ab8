"""What is given where a stream is wanted: a stream, or an error that says what to write."""

from __future__ import annotations

from typing import Any

from reactivex import Observable

from rxchat.errors import UsageError

__all__ = ["a_stream"]


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
