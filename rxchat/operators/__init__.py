"""Everything that goes into `.pipe(...)`: reactivex's operators, and ours.

Ours have the last word where names meet: `retry(3)` is three attempts in all, as in reactivex, but
waits in between and never repeats what was heard.
"""

from __future__ import annotations

# A type checker believes the first of two imports, Python the last: so ours stands on both sides,
# and the checkers are told not to mind reactivex's in between.
from rxchat.operators.recovery import retry
from reactivex import operators as _stock
from reactivex.operators import *  # type: ignore[assignment]  # pyright: ignore
from rxchat.operators.breaking import breaker
from rxchat.operators.checkpoints import checkpoint
from rxchat.operators.deadlines import deadline
from rxchat.operators.indexed import (
    flat_map_indexed,
    map_indexed,
    skip_while_indexed,
    switch_map_indexed,
)
from rxchat.operators.limits import limit
from rxchat.operators.mapping import map_async
from rxchat.operators.meters import meter
from rxchat.operators.recovery import exponential, fallback_to as fallback, retry
from rxchat.operators.sharing import shared
from rxchat.operators.wire import answer, decode, events, send, sign, text

__all__ = [
    "answer",
    "breaker",
    "checkpoint",
    "deadline",
    "decode",
    "events",
    "exponential",
    "fallback",
    "flat_map_indexed",
    "limit",
    "map_async",
    "map_indexed",
    "meter",
    "retry",
    "send",
    "shared",
    "sign",
    "skip_while_indexed",
    "switch_map_indexed",
    "text",
]
__all__ += _stock.__all__
