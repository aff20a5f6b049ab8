"""Text Generation Inference of Hugging Face: a text goes on, token by token.

https://huggingface.github.io/text-generation-inference

It serves one model and knows no turns: a conversation is folded into one text. The model's own
template is behind its imitation of OpenAI, `openai.but(base_url="http://127.0.0.1:8080/v1")`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct
from msgspec.json import Decoder

from rxchat.errors import EmptyAnswer, ServiceError
from rxchat.events import Event, Other, Reason, Text, Usage
from rxchat.framing import SSE, Frame
from rxchat.keys import Key
from rxchat.messages import format_prompt
from rxchat.provider import Ask, Format, Provider
from rxchat.providers.bodies import present
from rxchat.providers.frames import count, fields, finish, in_band, read, text
from rxchat.request import EVENT_STREAM, Headers

__all__ = ["TgiTokens", "tgi"]

REASONS: Mapping[str, Reason] = {"eos_token": "stop", "stop_sequence": "stop", "length": "length"}

# What comes --------------------------------------------------------------------------------------


class Token(Struct, gc=False):
    """One token; its number and its probability come unasked, and tell nobody anything."""

    text: Any = None
    special: Any = False


class Step(Struct, gc=False):
    token: Token | None = None
    generated_text: Any = None
    details: Any = None
    top_tokens: Any = None
    error: Any = None
    error_type: Any = None


_decode = Decoder(Step).decode
_NO_TOKEN = Token()
_COUNTED = ("finish_reason", "generated_tokens", "input_length")


class TgiTokens:
    """Tokens to events. The answer ends with the token that has the whole text beside it.

    That text is no check of the others: it is trimmed, and may begin with the prompt.
    """

    def __init__(self) -> None:
        self._started = False

    def feed(self, frames: Iterable[Frame]) -> Iterator[Event]:
        for frame in frames:
            try:
                step = _decode(frame.data)
            except (ValueError, RecursionError):
                line = frame.data.strip()
                if not line:
                    continue
                step = read(_decode, line)
            if step.error:
                raise _failure(step)
            self._started = True
            token = step.token or _NO_TOKEN
            if (said := text(token.text)) and not token.special:
                yield Text(said)
            if step.top_tokens:
                yield Other("top_tokens", step.top_tokens)
            if step.generated_text is not None or step.details is not None:
                yield from _end(fields(step.details))
                return

    def close(self) -> Iterator[Event]:
        if not self._started:
            raise EmptyAnswer("the answer ended without a word")
        return iter(())


def _failure(step: Step) -> ServiceError:
    kind = text(step.error_type)
    # In a stream also a request that is wrong is answered with 200 first.
    # https://github.com/huggingface/text-generation-inference/blob/main/router/src/server.rs
    status = 422 if kind == "validation" else None
    return in_band({"error": step.error, "error_type": kind, "status_code": status})


def _end(details: Mapping[str, Any]) -> Iterator[Event]:
    rest = {name: value for name, value in details.items() if value and name not in _COUNTED}
    if rest:
        yield Other("details", rest)
    usage = Usage(count(details.get("input_length")), count(details.get("generated_tokens")))
    if usage != Usage():
        yield usage
    raw = text(details.get("finish_reason")) or None
    yield finish(REASONS, raw, called=False)


# What goes ---------------------------------------------------------------------------------------


def _body(ask: Ask) -> dict[str, Any]:
    said = ask.options
    parameters = {
        "details": True,
        "max_new_tokens": said["max_tokens"],
        "temperature": said["temperature"],
        "top_p": said["top_p"],
        "stop": said["stop"],
        "seed": said["seed"],
        "grammar": _grammar(said["schema"]),
    }
    return {
        "inputs": format_prompt(ask.messages),
        "parameters": present(parameters),
    }


def _grammar(schema: Mapping[str, Any] | None) -> object:
    return None if schema is None else {"type": "json", "value": schema}


tgi = Provider(
    name="tgi",
    format=Format(
        path="/generate_stream",
        body=_body,
        decoder=SSE,
        mapping=TgiTokens,
        expects=EVENT_STREAM,
        options=dict.fromkeys(("temperature", "top_p", "max_tokens", "stop", "seed", "schema")),
        history=False,
        system=False,
    ),
    base_url="http://127.0.0.1:8080",
    site="https://huggingface.co/docs/text-generation-inference",
    model="",
    auth=Key("HF_TOKEN", needed=False),
    headers=Headers({"Content-Type": "application/json"}),
)
"""A server of Text Generation Inference, and the model that it was started with."""
