"""What the services say on the wire: how an answer begins, what a word looks like, how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

ENGLISH = (" The", " sky", " is", " blue", " because", " air", " scatters", " short", " waves", ".")
ANY_TEXT = (
    "Why is the sky",
    " blue?",
    " Потому что",
    " air scatters",
    " short waves,",
    " 空が青い 🙂 ",
)


class Voice(NamedTuple):
    """One format, as it looks on the wire."""

    media: str
    event: Callable[[str], bytes]
    opening: bytes = b""
    ending: bytes = b""
    words: tuple[str, ...] = ANY_TEXT


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _line(end: bytes, **fields: Any) -> bytes:
    return _json(fields) + end


def _flowgpt(word: str) -> bytes:
    return _line(b"\n\n", event="text", data=word)  # a blank line follows each of its lines


def _chat(choices: list[dict[str, Any]], usage: dict[str, int] | None = None) -> bytes:
    """A chunk of a chat completion with all that OpenAI's has, which is about 293 bytes."""
    chunk = {
        "id": "chatcmpl-CcmNGJzYkvJLqWPMPSWqCtMCB",
        "object": "chat.completion.chunk",
        "created": 1763338966,
        "model": "gpt-5-mini-2025-08-07",
        "service_tier": "default",
        "system_fingerprint": None,
        "choices": choices,
        "usage": usage,
        "obfuscation": "Xq",
    }
    return b"data: " + _json(chunk) + b"\n\n"


def _choice(reason: str | None = None, **delta: str) -> list[dict[str, Any]]:
    return [{"index": 0, "delta": delta, "finish_reason": reason}]


_OPENAI = Voice(
    "text/event-stream",
    event=lambda word: _chat(_choice(content=word)),
    opening=_chat(_choice(role="assistant", content="")),
    ending=_chat(_choice("stop"))
    + _chat([], {"prompt_tokens": 2, "completion_tokens": 9, "total_tokens": 11})
    + b"data: [DONE]\n\n",
    words=ENGLISH,
)


def _message(type: str, **fields: Any) -> bytes:  # noqa: A002  # the format's word
    return f"event: {type}\ndata: ".encode() + _line(b"\n\n", type=type, **fields)


_ANTHROPIC = Voice(
    "text/event-stream",
    event=lambda word: _message(
        "content_block_delta", index=0, delta={"type": "text_delta", "text": word}
    ),
    opening=_message(
        "message_start",
        message={
            "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
            "type": "message",
            "role": "assistant",
            "model": "claude-haiku-4-5",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 2, "output_tokens": 1},
        },
    )
    + _message("content_block_start", index=0, content_block={"type": "text", "text": ""})
    + _message("ping"),
    ending=_message("content_block_stop", index=0)
    + _message(
        "message_delta",
        delta={"stop_reason": "end_turn", "stop_sequence": None},
        usage={"output_tokens": 9},
    )
    + _message("message_stop"),
    words=ENGLISH,
)

_ollama = partial(_line, b"\n", model="llama3.2", created_at="2025-11-17T00:22:46.123456789Z")

_OLLAMA = Voice(
    "application/x-ndjson",
    event=lambda word: _ollama(message={"role": "assistant", "content": word}, done=False),
    ending=_ollama(
        message={"role": "assistant", "content": ""},
        done=True,
        done_reason="stop",
        total_duration=4883583458,
        load_duration=1334875,
        prompt_eval_count=2,
        prompt_eval_duration=342546000,
        eval_count=9,
        eval_duration=4535599000,
    ),
    words=ENGLISH,
)

VOICES = {
    "ndjson": Voice("application/x-ndjson", event=_flowgpt),
    "text": Voice("text/plain", event=str.encode),
    "ascii": Voice("text/plain", event=str.encode, words=ENGLISH),
    "openai": _OPENAI,
    "openai-any": _OPENAI._replace(words=ANY_TEXT),
    "anthropic": _ANTHROPIC,
    "ollama": _OLLAMA,
}
