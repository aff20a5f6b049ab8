"""Everything that goes into `.pipe(...)`: reactivex's operators, and ours.

Ours have the last word where names meet: `retry(3)` is three attempts in all, as in reactivex, but
waits in between and never repeats what was heard. What a provider needs is here at once; the rest
is found in its file when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# A type checker believes the first of two imports, Python the last: so ours stands on both sides,
# and the checkers are told not to mind reactivex's in between.
from rxchat.operators.asking.recovery import retry
import reactivex.operators
from reactivex.operators import *  # type: ignore[assignment]  # pyright: ignore
from rxchat.operators.asking.recovery import exponential, fallback_to as fallback, retry
from rxchat.operators.indexed import (
    flat_map_indexed,
    map_indexed,
    skip_while_indexed,
    switch_map_indexed,
)
from rxchat.operators.wire import answer, decode, events, send, sign, text
from rxchat.stream.plain_functions import OPERATORS as _TAKE_FUNCTIONS, plain as _plain

if TYPE_CHECKING:
    from rxchat.operators.asking.breaking import Breaker as Breaker
    from rxchat.operators.asking.breaking import breaker as breaker
    from rxchat.operators.asking.deadlines import deadline as deadline
    from rxchat.operators.asking.limits import Limiter as Limiter
    from rxchat.operators.asking.limits import limit as limit
    from rxchat.operators.asking.meters import Meter as Meter
    from rxchat.operators.asking.meters import Run as Run
    from rxchat.operators.asking.meters import meter as meter
    from rxchat.operators.asking.sharing import shared as shared
    from rxchat.operators.checkpoints import checkpoint as checkpoint
    from rxchat.operators.gathering.collecting import collect as collect
    from rxchat.operators.gathering.collecting import growing as growing
    from rxchat.operators.gathering.costs import cost as cost
    from rxchat.operators.gathering.tees import tee_to as tee_to
    from rxchat.operators.gathering.token_counts import count_tokens as count_tokens
    from rxchat.operators.mapping import map_async as map_async
    from rxchat.operators.structure.reading import Draft as Draft
    from rxchat.operators.structure.reading import as_type as as_type
    from rxchat.operators.structure.reading import json_items as json_items
    from rxchat.operators.structure.reading import partial_json as partial_json
    from rxchat.operators.texts.endings import limit_chars as limit_chars
    from rxchat.operators.texts.endings import limit_words as limit_words
    from rxchat.operators.texts.endings import stop_at as stop_at
    from rxchat.operators.texts.finding import Pattern as Pattern
    from rxchat.operators.texts.guarding import guard as guard
    from rxchat.operators.texts.markdown import Block as Block
    from rxchat.operators.texts.markdown import Code as Code
    from rxchat.operators.texts.markdown import Prose as Prose
    from rxchat.operators.texts.markdown import TableHead as TableHead
    from rxchat.operators.texts.markdown import TableRow as TableRow
    from rxchat.operators.texts.markdown import code_blocks as code_blocks
    from rxchat.operators.texts.markdown import markdown_blocks as markdown_blocks
    from rxchat.operators.texts.markdown import tables as tables
    from rxchat.operators.texts.pacing import coalesce as coalesce
    from rxchat.operators.texts.pacing import throttle as throttle
    from rxchat.operators.texts.patterns import CARDS as CARDS
    from rxchat.operators.texts.patterns import EMAILS as EMAILS
    from rxchat.operators.texts.patterns import IBANS as IBANS
    from rxchat.operators.texts.patterns import IPS as IPS
    from rxchat.operators.texts.patterns import KEYS as KEYS
    from rxchat.operators.texts.patterns import PHONES as PHONES
    from rxchat.operators.texts.redaction import redact as redact
    from rxchat.operators.texts.sentences import sentences as sentences
    from rxchat.operators.texts.tags import reasoning_tags as reasoning_tags
    from rxchat.operators.texts.tags import split_tags as split_tags
    from rxchat.operators.texts.typewriter import smooth as smooth
    from rxchat.operators.texts.units import graphemes as graphemes
    from rxchat.operators.texts.units import lines as lines
    from rxchat.operators.texts.units import paragraphs as paragraphs
    from rxchat.operators.texts.units import words as words
    from rxchat.operators.tools.functions import tool_of as tool_of
    from rxchat.operators.tools.running import run_tools as run_tools
    from rxchat.operators.tools.whole_calls import tool_calls as tool_calls

_FILES = {
    "asking.breaking": ("Breaker", "breaker"),
    "asking.deadlines": ("deadline",),
    "asking.limits": ("Limiter", "limit"),
    "asking.meters": ("Meter", "Run", "meter"),
    "asking.sharing": ("shared",),
    "checkpoints": ("checkpoint",),
    "gathering.collecting": ("collect", "growing"),
    "gathering.costs": ("cost",),
    "gathering.tees": ("tee_to",),
    "gathering.token_counts": ("count_tokens",),
    "mapping": ("map_async",),
    "structure.reading": ("Draft", "as_type", "json_items", "partial_json"),
    "texts.endings": ("limit_chars", "limit_words", "stop_at"),
    "texts.finding": ("Pattern",),
    "texts.guarding": ("guard",),
    "texts.markdown": (
        "Block",
        "Code",
        "Prose",
        "TableHead",
        "TableRow",
        "code_blocks",
        "markdown_blocks",
        "tables",
    ),
    "texts.pacing": ("coalesce", "throttle"),
    "texts.patterns": ("CARDS", "EMAILS", "IBANS", "IPS", "KEYS", "PHONES"),
    "texts.redaction": ("redact",),
    "texts.sentences": ("sentences",),
    "texts.tags": ("reasoning_tags", "split_tags"),
    "texts.typewriter": ("smooth",),
    "texts.units": ("graphemes", "lines", "paragraphs", "words"),
    "tools.functions": ("tool_of",),
    "tools.running": ("run_tools",),
    "tools.whole_calls": ("tool_calls",),
}
if not TYPE_CHECKING:
    globals().update({name: _plain(name, globals()[name]) for name in _TAKE_FUNCTIONS})

_FILE_OF = {word: file for file, words in _FILES.items() for word in words}

__all__ = [
    "answer",
    "decode",
    "events",
    "exponential",
    "fallback",
    "flat_map_indexed",
    "map_indexed",
    "retry",
    "send",
    "sign",
    "skip_while_indexed",
    "switch_map_indexed",
    "text",
]
# Spelled so that pyright reads it, and takes the names for exported, although it says it does not.
__all__ += reactivex.operators.__all__  # pyright: ignore[reportUnsupportedDunderAll]
if not TYPE_CHECKING:
    __all__ += [*_FILE_OF]


def __getattr__(word: str) -> Any:
    if word not in _FILE_OF:
        raise AttributeError(f"module 'rxchat.operators' has no attribute {word!r}")
    value = getattr(import_module(f"rxchat.operators.{_FILE_OF[word]}"), word)
    globals()[word] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
