"""OpenAI's chat completions, and all who imitate them."""

from __future__ import annotations

from formats.wire import Wire, calls_in_pieces, one_after_the_other, texts
from rxchat.errors import Garbled
from rxchat.events import Finish, Reasoning, Refusal, Text
from rxchat.providers import openai

WIRE = Wire(
    provider=openai,
    protocols=("openai_chat", "openai_compat"),
    content=one_after_the_other(texts(Reasoning, Text, Refusal), calls_in_pieces()),
    finishes=(
        Finish("stop", "stop"),
        Finish("length", "length"),
        Finish("tool_calls", "tool_calls"),
        Finish("content_filter", "content_filter"),
        Finish("other", "something_new"),
    ),
    failures=("", "event", "field", "chunk", "object"),
    # The index skips what is no JSON; we never do.
    judged_otherwise={"openai_compat/sk_invalid_json_chunk.sse": Garbled},
)
