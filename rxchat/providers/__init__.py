"""Chat services, as values: call one with a prompt to get its stream.

A format and its services are loaded when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rxchat.keys import Key as Key
    from rxchat.keys import Setting as Setting
    from rxchat.provider import Ask as Ask
    from rxchat.provider import Format as Format
    from rxchat.provider import Options as Options
    from rxchat.provider import Provider as Provider
    from rxchat.provider import ServiceGone as ServiceGone
    from rxchat.providers.anthropic_messages import MessageEvents as MessageEvents
    from rxchat.providers.anthropic_messages import anthropic as anthropic
    from rxchat.providers.aws_keys import AWSKeys as AWSKeys
    from rxchat.providers.bedrock_converse import ConverseEvents as ConverseEvents
    from rxchat.providers.bedrock_converse import bedrock as bedrock
    from rxchat.providers.cohere_chat import CohereEvents as CohereEvents
    from rxchat.providers.cohere_chat import cohere as cohere
    from rxchat.providers.flowgpt_lines import FlowGptLines as FlowGptLines
    from rxchat.providers.flowgpt_lines import Line as Line
    from rxchat.providers.flowgpt_lines import flowgpt as flowgpt
    from rxchat.providers.gemini_content import ContentChunks as ContentChunks
    from rxchat.providers.gemini_content import gemini as gemini
    from rxchat.providers.gemini_content import vertex as vertex
    from rxchat.providers.ollama_chat import OllamaLines as OllamaLines
    from rxchat.providers.ollama_chat import ollama as ollama
    from rxchat.providers.openai_body import ChatBody as ChatBody
    from rxchat.providers.openai_chat import ChatChunks as ChatChunks
    from rxchat.providers.openai_chat import openai as openai
    from rxchat.providers.openai_family import *
    from rxchat.providers.plain_text import PlainText as PlainText
    from rxchat.providers.plain_text import acytoo as acytoo
    from rxchat.providers.plain_text import chatanywhere as chatanywhere
    from rxchat.providers.plain_text import cromicle as cromicle
    from rxchat.providers.responses_api import ResponseItems as ResponseItems
    from rxchat.providers.responses_api import openai_responses as openai_responses
    from rxchat.providers.tgi_generate import TgiTokens as TgiTokens
    from rxchat.providers.tgi_generate import tgi as tgi
    from rxchat.request import Headers as Headers
    from rxchat.request import Request as Request
    from rxchat.request import Timeout as Timeout

# The services of each format's file. Those who imitate OpenAI are in a table of their own, which
# is looked through last: a new one is a row there, and nothing here.
SERVICES = {
    "openai_chat": ("openai",),
    "responses_api": ("openai_responses",),
    "anthropic_messages": ("anthropic",),
    "bedrock_converse": ("bedrock",),
    "cohere_chat": ("cohere",),
    "gemini_content": ("gemini", "vertex"),
    "ollama_chat": ("ollama",),
    "tgi_generate": ("tgi",),
    "flowgpt_lines": ("flowgpt",),
    "plain_text": ("acytoo", "chatanywhere", "cromicle"),
}
_OTHERS = {
    "keys": ("Key", "Setting"),
    "provider": ("Ask", "Format", "Options", "Provider", "ServiceGone"),
    "providers.anthropic_messages": ("MessageEvents",),
    "providers.aws_keys": ("AWSKeys",),
    "providers.bedrock_converse": ("ConverseEvents",),
    "providers.cohere_chat": ("CohereEvents",),
    "providers.flowgpt_lines": ("FlowGptLines", "Line"),
    "providers.gemini_content": ("ContentChunks",),
    "providers.ollama_chat": ("OllamaLines",),
    "providers.openai_body": ("ChatBody",),
    "providers.openai_chat": ("ChatChunks",),
    "providers.openai_family": ("imitator",),
    "providers.plain_text": ("PlainText",),
    "providers.responses_api": ("ResponseItems",),
    "providers.tgi_generate": ("TgiTokens",),
    "request": ("Headers", "Request", "Timeout"),
}
_ROOM_OF = {word: f"providers.{file}" for file, words in SERVICES.items() for word in words} | {
    word: room for room, words in _OTHERS.items() for word in words
}


def services() -> dict[str, Any]:
    """Every service there is, by its name."""
    from rxchat.providers.openai_family import FAMILY

    names = (name for names in SERVICES.values() for name in names)
    return {name: __getattr__(name) for name in names} | FAMILY


def __getattr__(word: str) -> Any:
    if word == "__all__":
        return __dir__()
    if word in _ROOM_OF:
        value = getattr(import_module(f"rxchat.{_ROOM_OF[word]}"), word)
    else:
        from rxchat.providers.openai_family import FAMILY

        if word not in FAMILY:
            raise AttributeError(f"module 'rxchat.providers' has no attribute {word!r}")
        value = FAMILY[word]
    globals()[word] = value
    return value


def __dir__() -> list[str]:
    return sorted({*_ROOM_OF, *services()})
