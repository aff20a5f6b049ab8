"""Everything that goes into `.pipe(...)`: reactivex's operators, and ours.

Ours have the last word where names meet: `retry` is three attempts in all, as in reactivex, but
waits in between and never repeats what was heard.
"""

from __future__ import annotations

from reactivex import operators as _stock
from reactivex.operators import *  # noqa: F403  # pyright: ignore[reportWildcardImportFromLibrary]

from rxchat.operators.recovery import exponential
from rxchat.operators.recovery import fallback_to as fallback
from rxchat.operators.recovery import retry as retry  # type: ignore[assignment]  # ours wins
from rxchat.operators.wire import answer, decode, events, send, sign, text

__all__ = [
    "answer",
    "decode",
    "events",
    "exponential",
    "fallback",
    "send",
    "sign",
    "text",
]
__all__ += _stock.__all__
