"""What one writes without a library: aiohttp, a split by hand, typed msgspec structs.

They notice a refusal and a cut answer; they have no silence timeout and no errors of their own.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import TypeAlias

import aiohttp
from msgspec import Struct
from msgspec.json import Decoder

Take: TypeAlias = Callable[[str], object]  # is called with each text
PROMPT = {"model": "any", "messages": [{"role": "user", "content": "Hi"}], "stream": True}


class Line(Struct, gc=False):
    event: str
    data: str


async def lines(url: str, session: aiohttp.ClientSession, take: Take) -> None:
    """FlowGpt's JSON lines."""
    decode, held = Decoder(Line).decode, b""
    async with session.post(url, json=PROMPT) as response:
        response.raise_for_status()
        async for data in response.content.iter_any():
            *lines, held = (held + data).split(b"\n")
            for line in lines:
                if line:
                    event = decode(line)
                    if event.event == "text":
                        take(event.data)


async def plain(url: str, session: aiohttp.ClientSession, take: Take) -> None:
    """Text as such."""
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    async with session.post(url, json=PROMPT) as response:
        response.raise_for_status()
        async for data in response.content.iter_any():
            if text := decode(data):
                take(text)


class Delta(Struct, gc=False):
    content: str | None = None


class Choice(Struct, gc=False):
    delta: Delta


class Chunk(Struct, gc=False):
    choices: list[Choice]


async def chat(url: str, session: aiohttp.ClientSession, take: Take) -> None:
    """OpenAI's chat completions."""
    decode, held, over = Decoder(Chunk).decode, b"", False
    async with session.post(url, json=PROMPT) as response:
        response.raise_for_status()
        async for data in response.content.iter_any():
            *lines, held = (held + data).split(b"\n")
            for line in lines:
                if line == b"data: [DONE]":
                    over = True
                elif line.startswith(b"data: "):
                    for choice in decode(line[6:]).choices:
                        if text := choice.delta.content:
                            take(text)
    if not over:
        raise EOFError


class TextDelta(Struct, gc=False):
    text: str = ""


class MessageEvent(Struct, gc=False):
    type: str
    delta: TextDelta | None = None


async def message(url: str, session: aiohttp.ClientSession, take: Take) -> None:
    """Anthropic's messages."""
    decode, held, over = Decoder(MessageEvent).decode, b"", False
    async with session.post(url, json=PROMPT) as response:
        response.raise_for_status()
        async for data in response.content.iter_any():
            *lines, held = (held + data).split(b"\n")
            for line in lines:
                if line.startswith(b"data: "):
                    said = decode(line[6:])
                    if said.type == "content_block_delta" and said.delta:
                        take(said.delta.text)
                    elif said.type == "message_stop":
                        over = True
    if not over:
        raise EOFError


class OllamaLine(Struct, gc=False):
    message: Delta
    done: bool


async def ollama(url: str, session: aiohttp.ClientSession, take: Take) -> None:
    """Ollama's JSON lines."""
    decode, held, over = Decoder(OllamaLine).decode, b"", False
    async with session.post(url, json=PROMPT) as response:
        response.raise_for_status()
        async for data in response.content.iter_any():
            *lines, held = (held + data).split(b"\n")
            for line in lines:
                said = decode(line)
                if text := said.message.content:
                    take(text)
                over = said.done
    if not over:
        raise EOFError
