"""FlowGpt: an answer of JSON lines, `{"event": name, "data": text}`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from msgspec import Struct

from rxchat.errors import EmptyAnswer, InvalidPrompt, QuotaExhausted
from rxchat.events import Event, Finish, Other, Text
from rxchat.framing import NDJSON
from rxchat.provider import Ask, Format, Provider
from rxchat.refusal import refusal
from rxchat.request import JSON_LINES, Headers
from rxchat.signing import md5_signature

__all__ = ["FlowGptLines", "flowgpt"]

_GREETING = {"role": "assistant", "content": "Hello, how can I help you today?"}
_SYSTEM = "You are helpful assistant. Follow the user's instructions carefully."
_NO_CREDIT = "Insufficient credit"  # said as if it were an answer


class Line(Struct, gc=False):
    """One line; an `error` is what a gateway in between may say."""

    event: Any = None
    data: Any = None
    error: Any = None
    message: Any = None


class FlowGptLines:
    """Lines to events."""

    def __init__(self) -> None:
        self._spoken = False

    def feed(self, lines: Iterable[Line]) -> Iterator[Event]:
        for line in lines:
            said = line.data
            if line.event == "text" and isinstance(said, str):
                if not self._spoken:
                    self._begin(said)
                if said:
                    yield Text(said)
            elif line.error:
                raise refusal({"error": line.error, "message": line.message})
            elif line.event is not None:
                yield Other(str(line.event), said)

    def close(self) -> Iterator[Event]:
        if not self._spoken:
            raise EmptyAnswer("the answer ended without a word")
        yield Finish()

    def _begin(self, said: str) -> None:
        if said.strip() == _NO_CREDIT:
            raise QuotaExhausted(_NO_CREDIT)
        self._spoken = said != ""


def _body(ask: Ask) -> dict[str, Any]:
    said = [message for message in ask.messages if message.role != "system"]
    if not said:
        raise InvalidPrompt("flowgpt needs a question: the prompt has only system messages")
    *before, question = said
    system = "\n".join(message.text for message in ask.messages if message.role == "system")
    return {
        "model": ask.model,
        "nsfw": False,
        "question": question.text,
        "history": [_GREETING, *({"role": m.role, "content": m.text} for m in before)],
        "system": system or _SYSTEM,
        "temperature": ask.options["temperature"],
        "promptId": f"model-{ask.model}",
        "documentIds": [],
        "chatFileDocumentIds": [],
        "generateImage": False,
        "generateAudio": False,
    }


flowgpt = Provider(
    name="flowgpt",
    format=Format(
        path="/v3/chat-anonymous",
        body=_body,
        decoder=partial(NDJSON, Line),
        mapping=FlowGptLines,
        expects=JSON_LINES,
        signature=md5_signature(),
        options={"temperature": 0.7},
    ),
    base_url="https://prod-backend-k8s.flowgpt.com",
    site="https://flowgpt.com/chat",
    model="gpt-3.5-turbo",
    models=(
        "gpt-3.5-turbo",
        "gpt-3.5-long",
        "gpt-4-turbo",
        "google-gemini",
        "claude-instant",
        "claude-v1",
        "claude-v2",
        "llama2-13b",
        "mythalion-13b",
        "pygmalion-13b",
        "chronos-hermes-13b",
        "Mixtral-8x7B",
        "Dolphin-2.6-8x7B",
    ),
    aliases={"gemini": "google-gemini", "gemini-pro": "google-gemini"},
    headers=Headers(
        {
            "User-Agent": "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:122.0) "
            "Gecko/20100101 Firefox/122.0",
            "Accept": "*/*",
            "Accept-Language": "en-US;q=0.7,en;q=0.3",
            "Accept-Encoding": "gzip, deflate, br",
            "Referer": "https://flowgpt.com/",
            "Content-Type": "application/json",
            "Authorization": "Bearer null",
            "Origin": "https://flowgpt.com",
            "Connection": "keep-alive",
            "Sec-Fetch-Dest": "empty",
            "Sec-Fetch-Mode": "cors",
            "Sec-Fetch-Site": "same-site",
            "TE": "trailers",
        }
    ),
    working=False,
    why_not="the anonymous endpoint was closed in September 2024",
)
"""FlowGpt offers many models without a key. Its anonymous endpoint closed in September 2024."""
