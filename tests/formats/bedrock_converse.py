"""Amazon Bedrock's ConverseStream."""

from __future__ import annotations

from hypothesis import strategies as st

from formats.wire import TOKENS, Wire, calls_in_pieces, one_after_the_other, texts
from rxchat.events import Finish, Opaque, Other, Reasoning, Start, Text, Usage
from rxchat.providers import bedrock


def citation(text: str) -> Other:
    return Other("citation", {"title": "manual", "sourceContent": [{"text": text}]})


WIRE = Wire(
    provider=bedrock.but(region="us-east-1"),
    prefix="",
    protocols=("bedrock_converse",),
    content=one_after_the_other(texts(Reasoning, Text, citation), calls_in_pieces()),
    finishes=(
        Finish("stop", "end_turn"),
        Finish("stop", "stop_sequence"),
        Finish("length", "max_tokens"),
        Finish("length", "model_context_window_exceeded"),
        Finish("tool_calls", "tool_use"),
        Finish("content_filter", "guardrail_intervened"),
        Finish("content_filter", "content_filtered"),
        Finish("other", "malformed_tool_use"),
    ),
    start=st.just(Start()),  # an answer says neither its model nor an id
    usage=st.builds(Usage, TOKENS, TOKENS, TOKENS, cached=st.none() | TOKENS),
    opaque=(
        Reasoning("", opaque=Opaque("bedrock", {"signature": "S1"})),
        Reasoning("", opaque=Opaque("bedrock", {"redactedContent": "UjE="})),
    ),
    failures=("", "model", "error"),
)
