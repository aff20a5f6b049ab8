"""Everybody who reads the same answer: a loop by hand, rxchat, the vendors' SDKs, and others.

Each hands on the texts that come, with a client that is made once for an address. What is not
installed costs nothing here: it is imported by whoever is asked to read with it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import aiohttp

from benchmarks import by_hand
from benchmarks.by_hand import Take

KEY = "sk-for-nobody"
MESSAGES: Any = [{"role": "user", "content": "Hi"}]

Read: TypeAlias = Callable[[str, aiohttp.ClientSession, Take], Awaitable[None]]

# By hand, and rxchat -----------------------------------------------------------------------------


def hand(read: Read, path: str) -> Read:
    return lambda url, session, take: read(url + path, session, take)


def ours(name: str) -> Read:
    @cache
    def at(url: str) -> Any:
        from rxchat import providers

        provider = getattr(providers, name)
        return provider.but(base_url=url, **({"key": KEY} if provider.auth else {}))

    async def read(url: str, session: aiohttp.ClientSession, take: Take) -> None:
        from rxchat import operators as ops

        async for text in at(url)("Hi").pipe(ops.text()):
            take(text)

    return read


# The vendors' SDKs -------------------------------------------------------------------------------


@cache
def openai_client(url: str) -> Any:
    from openai import AsyncOpenAI

    return AsyncOpenAI(base_url=url, api_key=KEY)


async def openai_sdk(url: str, session: aiohttp.ClientSession, take: Take) -> None:
    asked = openai_client(url).chat.completions.create
    async for chunk in await asked(model="gpt-5-mini", messages=MESSAGES, stream=True):
        for choice in chunk.choices:
            if choice.delta.content:
                take(choice.delta.content)


@cache
def anthropic_client(url: str) -> Any:
    from anthropic import AsyncAnthropic

    return AsyncAnthropic(base_url=url, api_key=KEY)


async def anthropic_sdk(url: str, session: aiohttp.ClientSession, take: Take) -> None:
    asked = anthropic_client(url).messages.create
    model = "claude-haiku-4-5"
    async for event in await asked(model=model, messages=MESSAGES, max_tokens=9, stream=True):
        if event.type == "content_block_delta" and event.delta.type == "text_delta":
            take(event.delta.text)


async def anthropic_helper(url: str, session: aiohttp.ClientSession, take: Take) -> None:
    asked = anthropic_client(url).messages.stream
    async with asked(model="claude-haiku-4-5", messages=MESSAGES, max_tokens=9) as stream:
        async for text in stream.text_stream:
            take(text)


@cache
def ollama_client(url: str) -> Any:
    from ollama import AsyncClient

    return AsyncClient(host=url)


async def ollama_sdk(url: str, session: aiohttp.ClientSession, take: Take) -> None:
    asked = ollama_client(url).chat
    async for part in await asked(model="llama3.2", messages=MESSAGES, stream=True):
        if part.message.content:
            take(part.message.content)


# Others, in OpenAI's format ----------------------------------------------------------------------


async def litellm(url: str, session: aiohttp.ClientSession, take: Take) -> None:
    from litellm import acompletion

    model = "openai/gpt-5-mini"
    asked = acompletion(model=model, messages=MESSAGES, stream=True, api_base=url, api_key=KEY)
    async for chunk in await asked:
        for choice in chunk.choices:
            if choice.delta.content:
                take(choice.delta.content)


@cache
def pydantic_agent(url: str) -> Any:
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    provider = OpenAIProvider(openai_client=openai_client(url))
    return Agent(OpenAIChatModel("gpt-5-mini", provider=provider))


async def pydantic_ai(url: str, session: aiohttp.ClientSession, take: Take) -> None:
    async with pydantic_agent(url).run_stream("Hi") as result:
        async for text in result.stream_text(delta=True, debounce_by=None):
            take(text)


@cache
def langchain_model(url: str) -> Any:
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(model="gpt-5-mini", base_url=url, api_key=KEY)


async def langchain(url: str, session: aiohttp.ClientSession, take: Take) -> None:
    async for chunk in langchain_model(url).astream("Hi"):
        if chunk.content:
            take(chunk.content)


# Who they are ------------------------------------------------------------------------------------


class Contender(NamedTuple):
    """Who reads which kind of `voices.py`, and how much less CPU rxchat is to take in bulk."""

    kind: str
    read: Read
    imports: str = ""
    goal: float | None = None


CONTENDERS = {
    "by hand": Contender("openai", hand(by_hand.chat, "/chat/completions")),
    "rxchat": Contender("openai", ours("openai"), "rxchat.providers.openai_chat, aiohttp"),
    "openai": Contender("openai", openai_sdk, "openai", 15),
    "litellm": Contender("openai", litellm, "litellm"),
    "pydantic-ai": Contender("openai", pydantic_ai, "pydantic_ai, pydantic_ai.models.openai"),
    "langchain-openai": Contender("openai", langchain, "langchain_openai"),
    "by hand, anthropic": Contender("anthropic", hand(by_hand.message, "/v1/messages")),
    "rxchat, anthropic": Contender("anthropic", ours("anthropic")),
    "anthropic": Contender("anthropic", anthropic_sdk, "anthropic", 6),
    "anthropic, text_stream": Contender("anthropic", anthropic_helper),
    "by hand, ollama": Contender("ollama", hand(by_hand.ollama, "/api/chat")),
    "rxchat, ollama": Contender("ollama", ours("ollama")),
    "ollama": Contender("ollama", ollama_sdk, "ollama"),
}
OURS = {"openai": "rxchat", "anthropic": "rxchat, anthropic", "ollama": "rxchat, ollama"}
