"""Gemini's generated content."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from formats.wire import Wire, one_after_the_other, texts, whole_calls
from rxchat.errors import Truncated
from rxchat.events import Event, Finish, Opaque, Other, Reasoning, Text, ToolCall
from rxchat.providers import gemini

SIGNED = Opaque("gemini", {"thoughtSignature": "S1"})


def part(name: str, data: dict[str, Any], **beside: Any) -> Other:
    return Other(name, data, Opaque("gemini", {name: data, **beside}))


# A signed call is in tests/test_gemini_content.py: here nobody answers calls.
OPAQUE: tuple[Event, ...] = (
    Reasoning("Hm.", opaque=SIGNED),
    Text("Well,", opaque=SIGNED),
    Text("", opaque=SIGNED),
    part("executableCode", {"language": "PYTHON", "code": "print(6 * 7)"}),
    part("codeExecutionResult", {"outcome": "OUTCOME_OK", "output": "42\n"}),
    part("inlineData", {"mimeType": "image/png", "data": "iVBORw0KGgo="}, thoughtSignature="S2"),
    part("toolCall", {"toolType": "GOOGLE_SEARCH_WEB", "args": {"queries": ["Oslo"]}, "id": "t1"}),
    part("toolResponse", {"toolType": "GOOGLE_SEARCH_WEB", "response": {"x": "y"}, "id": "t1"}),
)


def as_python_says_it(calls: list[Event]) -> list[Event]:
    """Arguments in the one way in which they are given, whatever the service made of them."""
    return [
        ToolCall(call.index, call.id, call.name, json.dumps(args, ensure_ascii=False))
        for call in calls
        if isinstance(call, ToolCall)
        for args in [json.loads(call.arguments)]
    ]


WIRE = Wire(
    provider=gemini,
    prefix="/v1beta",
    protocols=("gemini_sse", "gemini_json_array"),
    content=one_after_the_other(
        texts(Reasoning, Text),
        st.lists(st.sampled_from(OPAQUE), max_size=3),
        whole_calls().map(as_python_says_it),
    ),
    finishes=(
        Finish("stop", "STOP"),
        Finish("length", "MAX_TOKENS"),
        Finish("tool_calls", "STOP"),
        Finish("content_filter", "SAFETY"),
        Finish("content_filter", "4"),
        Finish("other", "MALFORMED_FUNCTION_CALL"),
        Finish("other", "SOMETHING_NEW"),
    ),
    opaque=OPAQUE,
    failures=("", "event"),
    # A candidate that says nothing, not even why it stops: to us, an answer without its end.
    judged_otherwise={"gemini_sse/empty_content.sse": Truncated},
)
