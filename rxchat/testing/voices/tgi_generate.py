"""Text Generation Inference of Hugging Face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from rxchat.events import Event, Finish, Start, Text, Usage
from rxchat.testing.replies import Failure
from rxchat.testing.voices.openai_chat import event_of
from rxchat.testing.voices.voice import Storyteller, Voice

__all__ = ["TGI_GENERATE", "TgiTeller"]


# What it demands ---------------------------------------------------------------------------------


class Grammar(Struct):
    type: Literal["json", "regex"]
    value: Any


class Parameters(Struct, frozen=True):
    details: bool = False
    max_new_tokens: Annotated[int, Meta(gt=0)] | UnsetType = UNSET
    temperature: Annotated[float, Meta(gt=0)] | UnsetType = UNSET
    top_p: Annotated[float, Meta(gt=0, lt=1)] | UnsetType = UNSET
    stop: Annotated[list[str], Meta(max_length=4)] = []
    seed: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
    grammar: Grammar | UnsetType = UNSET


class Body(Struct):
    inputs: Annotated[str, Meta(min_length=1)]
    parameters: Parameters = Parameters()


# What it says ------------------------------------------------------------------------------------

_RAW = {"stop": "eos_token", "length": "length"}


class TgiTeller(Storyteller):
    """One answer in tokens."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._tokens: list[str] = []

    def open(self, start: Start) -> bytes:
        return b""  # it does not say who it is

    def tell(self, event: Event) -> bytes:
        match event:
            case Text(text, 0):
                self._tokens.append(text)
                return self._token(text)
            case _:
                raise ValueError(f"text generation cannot say {event!r}")

    def close(self, usage: Usage | None, finishes: Sequence[Finish]) -> bytes:
        finish = finishes[-1]
        details: dict[str, Any] = {"finish_reason": finish.raw or _RAW.get(finish.reason)}
        if usage:
            details |= {"generated_tokens": usage.output, "input_length": usage.input}
        text = "".join(self._tokens).strip()
        return self._token("</s>", special=True, generated_text=text, details=details)

    def fail(self, failure: Failure, /) -> bytes:
        return event_of({"error": failure.message, "error_type": failure.code})

    def _token(self, text: str, *, special: bool = False, **end: Any) -> bytes:
        token = {"id": 1, "text": text, "logprob": -0.5, "special": special}
        step = {"index": len(self._tokens), "token": token, "generated_text": None, "details": None}
        return event_of(step | end)


TGI_GENERATE: Final = Voice(
    "tgi_generate",
    "*/generate_stream",
    content_type="text/event-stream",
    speaker=TgiTeller,
    keepalive=b":\n\n",
    body=Body,
)
