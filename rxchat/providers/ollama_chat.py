"""Ollama's own chat, at home or at ollama.com: an answer of JSON lines.

https://docs.ollama.com/api/chat

It knows more than its imitation of OpenAI does: how long everything took, thoughts that go back,
and how hard to think. Calls of tools come whole, with an object for their arguments.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from rxchat.errors import EmptyAnswer, InvalidPrompt, UsageError
from rxchat.events import (
    Event,
    Other,
    Reason,
    Reasoning,
    Refusal,
    Start,
    Text,
    ToolCall,
    Usage,
)
from rxchat.framing import NDJSON
from rxchat.keys import Key, Setting
from rxchat.messages import Image, Message
from rxchat.options import BODY
from rxchat.provider import Ask, Format, Provider
from rxchat.providers.bodies import arguments_of, function_tool, present, result_of
from rxchat.providers.frames import (
    Call,
    Function,
    count,
    finish,
    in_band,
    spaced_json,
    text,
)
from rxchat.request import JSON_LINES, Headers, is_http, without_password

__all__ = ["OllamaLines", "ollama"]

REASONS: Mapping[str, Reason] = {"stop": "stop", "length": "length"}

# What comes --------------------------------------------------------------------------------------


class Said(Struct, gc=False):
    content: Any = None
    thinking: Any = None
    tool_calls: list[Call] | None = None


class Line(Struct, gc=False):
    message: Said | None = None
    model: Any = None
    done: Any = None
    done_reason: Any = None
    error: Any = None
    logprobs: Any = None
    prompt_eval_count: Any = None
    eval_count: Any = None
    total_duration: Any = None
    load_duration: Any = None
    prompt_eval_duration: Any = None
    eval_duration: Any = None


_DURATIONS = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")


class OllamaLines:
    """Lines to events. The answer ends with the line that is `done`."""

    def __init__(self) -> None:
        self._started = False
        self._calls = 0

    def feed(self, lines: Iterable[Line]) -> Iterator[Event]:
        for line in lines:
            if line.error:
                raise in_band({"error": line.error})
            if not self._started:
                self._started = True
                yield Start(text(line.model))
            message = line.message
            if message is not None:
                if thought := text(message.thinking):
                    yield Reasoning(thought)
                if said := text(message.content):
                    yield Text(said)
                for call in message.tool_calls or ():
                    function = call.function or Function()
                    arguments = spaced_json(function.arguments)
                    yield ToolCall(self._calls, text(call.id), text(function.name), arguments)
                    self._calls += 1
            if line.logprobs:
                yield Other("logprobs", line.logprobs)
            if line.done is True:
                yield from self._end(line)
                return

    def close(self) -> Iterator[Event]:
        if not self._started:
            raise EmptyAnswer("the answer ended without a word")
        return iter(())

    def _end(self, line: Line) -> Iterator[Event]:
        taken = {name: getattr(line, name) for name in _DURATIONS if getattr(line, name)}
        if taken:
            yield Other("durations", taken)  # in nanoseconds
        # A count of 0 is left out, as that of a prompt which was still in memory.
        usage = Usage(count(line.prompt_eval_count), count(line.eval_count))
        if usage != Usage():
            yield usage
        raw = text(line.done_reason) or None  # the oldest servers say none
        yield finish(REASONS, raw, called=self._calls > 0)


# What goes ---------------------------------------------------------------------------------------


def _body(ask: Ask) -> dict[str, Any]:
    said = ask.options
    options = {
        "temperature": said["temperature"],
        "top_p": said["top_p"],
        "num_predict": said["max_tokens"],
        "stop": said["stop"],
        "seed": said["seed"],
    }
    body = {
        "model": ask.model,
        "messages": [_message(message) for message in ask.messages],
        "stream": True,
        "options": present(options) or None,
        "tools": [function_tool(tool) for tool in said["tools"] or ()] or None,
        "think": _think(said["reasoning"]),
        "format": said["schema"],
    }
    return present(body)


def _message(message: Message) -> dict[str, Any]:
    match message.role:
        case "tool":
            told = {"tool_name": message.name, "tool_call_id": message.call}
            return {"role": "tool", "content": result_of(message), **told}
        case "assistant":
            return _answer(message)
        case role:
            shown = [_picture(part) for part in message.parts if isinstance(part, Image)]
            images = {"images": shown} if shown else {}
            # A template passes over a role that it does not know.
            role = "system" if role == "developer" else role
            return {"role": role, "content": message.text, **images}


def _answer(message: Message) -> dict[str, Any]:
    parts = message.parts
    answer = {
        "role": "assistant",
        "content": "".join(part.text for part in parts if isinstance(part, Text | Refusal)),
        "thinking": "".join(part.text for part in parts if isinstance(part, Reasoning)),
        "tool_calls": [_call(call) for call in message.tool_calls],
    }
    # The content is there even if there is none, but nothing else is.
    return {name: value for name, value in answer.items() if value or name == "content"}


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"index": call.index, "name": call.name, "arguments": arguments_of(call)}
    return {"id": call.id, "function": function}


def _picture(image: Image) -> str:
    if image.url:
        raise InvalidPrompt(
            "this service takes the bytes of an image, not its address: pass "
            "rxchat.image(pathlib.Path(...)), or the bytes themselves"
        )
    return image.base64


def _think(reasoning: str | int | None) -> str | bool | None:
    if isinstance(reasoning, int):
        raise UsageError("reasoning is an effort here ('low', 'medium', 'high'), not a budget")
    return False if reasoning == "none" else reasoning


class Host(Setting):
    """Where Ollama listens, as its own programs say it: a host, a port, or a whole address.

    https://github.com/ollama/ollama/blob/main/envconfig/config.go
    """

    def value(self, name: str, given: str | None) -> str:
        """The address; who listens everywhere is found at home."""
        host = super().value(name, given).strip().rstrip("/")
        if "://" not in host:
            host = re.sub(r"^[^/[]*:[^/[]*:[^/[]*", r"[\g<0>]", host)  # IPv6, without brackets
            host = re.sub(r"^(\[[^]]*\]|[^:/]*)(:\d+)?", _completed, host, count=1)
        host = re.sub(r"//(0\.0\.0\.0|\[::\])(?=[:/]|$)", "//127.0.0.1", host, count=1)
        if not _is_address(host):
            raise UsageError(
                f"{name} is a host, with a port or without, or an http:// or https:// address, "
                f"not {without_password(host)!r}"
            )
        return host


def _completed(host: re.Match[str]) -> str:
    return f"http://{host[1] or '127.0.0.1'}{host[2] or ':11434'}"


def _is_address(host: str) -> bool:
    try:
        return is_http(host) and urlsplit(host).port != 0  # which raises what is wrong with it
    except ValueError:
        return False


ollama = Provider(
    name="ollama",
    format=Format(
        path="/api/chat",
        body=_body,
        decoder=partial(NDJSON, Line),
        mapping=OllamaLines,
        expects=JSON_LINES,
        options=dict.fromkeys(name for name in BODY if name not in ("n", "tool_choice")),
        images=True,
    ),
    base_url="{endpoint}",
    site="https://ollama.com",
    model="llama3.2",
    auth=Key("OLLAMA_API_KEY", needed=False),
    settings={"endpoint": Host("OLLAMA_HOST", default="127.0.0.1:11434")},
    headers=Headers({"Content-Type": "application/json"}),
)
"""Ollama on this machine, or where OLLAMA_HOST says; `https://ollama.com` takes a key."""
