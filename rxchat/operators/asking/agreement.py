"""When two answers agree: the same words, and the same tool calls."""

from __future__ import annotations

import json

from rxchat.messages import Message

__all__ = ["agree"]


def agree(one: Message, other: Message) -> bool:
    """Tell whether two answers are the same, but for case, white space and spellings of JSON.

    >>> from rxchat import reply
    >>> from rxchat.events import Text
    >>> agree(reply([Text("Hello  World")]), reply([Text("hello world")]))
    True
    """
    return _gist(one) == _gist(other)


def _gist(answer: Message) -> object:
    """What must be equal in two answers that agree."""
    words = answer.text.casefold().split()
    return words, [(call.name, _canonical(call.arguments)) for call in answer.tool_calls]


def _canonical(arguments: str) -> str:
    """One spelling of equal JSON (in Python, `True == 1`); what is no JSON stays as it is."""
    try:
        return json.dumps(json.loads(arguments, parse_float=_number), sort_keys=True)
    except (ValueError, RecursionError):
        return arguments


def _number(digits: str) -> float:
    number = float(digits)
    return int(number) if number.is_integer() else number
