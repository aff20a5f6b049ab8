"""Cohere's chat, version 2."""

from __future__ import annotations

from hypothesis import strategies as st

from formats.wire import TOKENS, WORDS, Wire, calls_in_pieces, one_after_the_other, texts
from rxchat.events import Finish, Opaque, Other, Reasoning, Start, Text, Usage
from rxchat.providers import cohere


def plan(text: str) -> Other:
    return Other("tool_plan", text, Opaque("cohere", text))


def citation(text: str) -> Other:
    return Other("citations", {"start": 0, "end": 3, "text": text, "sources": []})


WIRE = Wire(
    provider=cohere,
    prefix="",
    protocols=("cohere_v2",),
    content=one_after_the_other(texts(plan), texts(Reasoning, Text, citation), calls_in_pieces()),
    finishes=(
        Finish("stop", "COMPLETE"),
        Finish("stop", "STOP_SEQUENCE"),
        Finish("length", "MAX_TOKENS"),
        Finish("tool_calls", "TOOL_CALL"),
        Finish("other", "SOMETHING_NEW"),
    ),
    start=st.builds(Start, st.just(""), WORDS),  # an answer does not say its model
    usage=st.builds(Usage, TOKENS, TOKENS, cached=st.none() | TOKENS),
    asked={"reasoning": 2048},  # it thinks by a budget
    opaque=(plan("I will look for the weather."),),
)
