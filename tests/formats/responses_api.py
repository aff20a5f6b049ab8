"""OpenAI's Responses, and those who imitate them."""

from __future__ import annotations

from formats.wire import Wire, calls_in_pieces, one_after_the_other, texts
from rxchat.events import Finish, Opaque, Other, Reasoning, Refusal, Text
from rxchat.providers import openai_responses

THOUGHT = {
    "type": "reasoning",
    "summary": [{"type": "summary_text", "text": "Hm."}],
    "encrypted_content": "gAAAA-thought",
}
OPEN_THOUGHT = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [],
    "content": [{"type": "reasoning_text", "text": "Two and two."}],
}
SEARCH = {"type": "web_search_call", "status": "completed", "action": {"query": "weather"}}


def by_us(data: object) -> Opaque:
    return Opaque("openai_responses", data)


WIRE = Wire(
    provider=openai_responses,
    protocols=("openai_responses",),
    content=one_after_the_other(texts(Reasoning, Text, Refusal), calls_in_pieces()),
    finishes=(
        Finish("stop", "completed"),
        Finish("length", "incomplete"),
        Finish("tool_calls", "completed"),
        Finish("content_filter", "incomplete"),
        Finish("other", "incomplete"),
    ),
    opaque=(
        Reasoning("Hm.", opaque=by_us(THOUGHT)),
        Reasoning("Two and two.", opaque=by_us(OPEN_THOUGHT)),
        Other(
            "response.output_item.done",
            {"type": "response.output_item.done", "output_index": 2, "item": SEARCH},
            by_us(SEARCH),
        ),
        Other("phase", "final_answer", by_us({"phase": "final_answer"})),
    ),
    failures=("", "flat", "failed", "bare"),
)
