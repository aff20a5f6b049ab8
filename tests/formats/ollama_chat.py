"""Ollama's own chat."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from formats.wire import TOKENS, WORDS, Wire, one_after_the_other, texts, whole_calls
from rxchat.events import Event, Finish, Reasoning, Start, Text, ToolCall, Usage
from rxchat.providers import ollama


def spaced(call: Event) -> Event:
    """With the arguments as they are heard: an object has no spaces of its own."""
    assert isinstance(call, ToolCall)
    arguments = json.dumps(json.loads(call.arguments), ensure_ascii=False)
    return ToolCall(call.index, call.id, call.name, arguments)


CALLS = st.booleans().flatmap(whole_calls).map(lambda calls: [*map(spaced, calls)])

WIRE = Wire(
    provider=ollama,
    prefix="",
    protocols=("ollama_chat",),
    content=one_after_the_other(texts(Reasoning, Text), CALLS),
    finishes=(
        Finish("stop", "stop"),
        Finish("length", "length"),
        Finish("tool_calls", "stop"),
        Finish("other", "unload"),
    ),
    start=st.builds(Start, WORDS),  # an answer has no id
    usage=st.builds(Usage, st.none() | TOKENS, TOKENS),
)
