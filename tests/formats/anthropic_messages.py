"""Anthropic's messages."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from formats.wire import TOKENS, Wire, calls_in_pieces, one_after_the_other, texts
from rxchat.events import Event, Finish, Opaque, Other, Reasoning, Text, Usage
from rxchat.providers import anthropic


def ours(data: dict[str, Any]) -> Opaque:
    return Opaque("anthropic", data)


def block(data: dict[str, Any]) -> Other:
    return Other(str(data["type"]), data, ours(data))


# A call's own, as who called it, is in tests/test_anthropic_messages.py: here nobody answers calls.
OPAQUE: tuple[Event, ...] = (
    Reasoning("", opaque=ours({"type": "thinking", "signature": "S1"})),
    Reasoning("", opaque=ours({"type": "redacted_thinking", "data": "R1"})),
    block(
        {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "Q1"}}
    ),
    block(
        {
            "type": "web_search_tool_result",
            "tool_use_id": "srv_1",
            "content": [{"type": "web_search_result", "encrypted_content": "E1"}],
        }
    ),
    block({"type": "mcp_tool_use", "id": "mcp_1", "name": "look", "server_name": "s", "input": {}}),
    block({"type": "compaction", "content": "We spoke of Oslo.", "encrypted_content": "E2"}),
    block({"type": "fallback", "from": {"model": "big"}, "to": {"model": "small"}}),
)

WIRE = Wire(
    provider=anthropic,
    prefix="",
    protocols=("anthropic_messages",),
    content=one_after_the_other(
        texts(Reasoning, Text), st.lists(st.sampled_from(OPAQUE), max_size=3), calls_in_pieces()
    ),
    finishes=(
        Finish("stop", "end_turn"),
        Finish("stop", "stop_sequence"),
        Finish("length", "max_tokens"),
        Finish("length", "model_context_window_exceeded"),
        Finish("tool_calls", "tool_use"),
        Finish("content_filter", "refusal"),
        Finish("other", "pause_turn"),
        Finish("other", "compaction"),
        Finish("other", "something_new"),
    ),
    # Nothing but zeros is what a service says that does not count.
    usage=st.builds(Usage, TOKENS.filter(bool), TOKENS, st.none(), TOKENS, TOKENS),
    opaque=OPAQUE,
    failures=("", "nameless"),
)
