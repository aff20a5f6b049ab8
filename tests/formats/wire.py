"""What tests need to know of a wire format, and the events that any of them may say."""

from __future__ import annotations

from typing import Any

import attrs
import msgspec
from hypothesis import strategies as st

from rxchat.errors import ChatError
from rxchat.events import Event, Finish, Start, ToolCall, Usage
from rxchat.provider import Provider

WORDS = st.text(
    st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12
)  # any text but halves of surrogate pairs, which UTF-8 cannot say
NAMES = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
TOKENS = st.integers(0, 2**40)
ARGUMENTS = st.dictionaries(
    WORDS,
    st.none() | st.booleans() | st.integers(-(2**50), 2**50) | WORDS | st.lists(WORDS),
    max_size=3,
)
STARTS = st.builds(Start, WORDS, WORDS)
USAGES = st.builds(Usage, TOKENS, TOKENS, TOKENS, TOKENS, TOKENS)


@attrs.frozen(kw_only=True)
class Wire:
    """One format: whose it is, and what can be said in it so that it is heard as it was said."""

    provider: Provider
    """Made so that it needs no more than a base_url and, if it takes one, a key."""
    prefix: str = "/v1"
    """What is between the server's address and the format's path, as in the real service."""
    protocols: tuple[str, ...]
    """Of the recorded samples."""
    content: st.SearchStrategy[list[Event]]
    """What may come between Start and Usage."""
    finishes: tuple[Finish, ...]
    start: st.SearchStrategy[Start | None] = STARTS
    usage: st.SearchStrategy[Usage] = USAGES
    opaque: tuple[Event, ...] = ()
    """What a model may say that must go back with the next turn."""
    failures: tuple[str, ...] = ("",)
    """The forms of failures inside an answer."""
    tools: bool = True
    asked: dict[str, Any] = attrs.field(factory=dict[str, Any])
    """Options that this format takes in another form than most."""
    judged_otherwise: dict[str, type[ChatError] | None] = attrs.field(factory=dict[str, Any])
    """Samples of which the index says something else, with the error that is right, and why."""


def texts(*kinds: Any) -> st.SearchStrategy[list[Event]]:
    """Pieces of text of these kinds."""
    return st.lists(st.one_of([st.builds(kind, WORDS) for kind in kinds]), min_size=1, max_size=6)


@st.composite
def calls_in_pieces(draw: st.DrawFn) -> list[Event]:
    """Calls whose arguments come bit by bit."""
    events: list[Event] = []
    for index in range(draw(st.integers(1, 3))):
        events.append(ToolCall(index, f"call_{index}", draw(NAMES)))
        events += [ToolCall(index, arguments=bit) for bit in draw(st.lists(WORDS, max_size=3))]
    return events


@st.composite
def whole_calls(draw: st.DrawFn, ids: bool = True) -> list[Event]:
    """Calls whose arguments are an object, at once."""
    return [
        ToolCall(
            index,
            f"call_{index}" if ids else "",
            draw(NAMES),
            msgspec.json.encode(draw(ARGUMENTS)).decode(),
        )
        for index in range(draw(st.integers(1, 3)))
    ]


def one_after_the_other(*parts: st.SearchStrategy[list[Event]]) -> st.SearchStrategy[list[Event]]:
    """Some of these, each in its turn, and at least something."""
    optional = [st.just([]) | part for part in parts]
    return (
        st.tuples(*optional)
        .map(lambda drawn: [event for events in drawn for event in events])
        .filter(bool)
    )
