"""Chat services, as values: call one with a prompt to get its stream."""

from rxchat.provider import Ask, Format, Options, Provider, ServiceGone
from rxchat.providers.flowgpt_lines import flowgpt
from rxchat.providers.plain_text import acytoo, chatanywhere, cromicle

__all__ = [
    "Ask",
    "Format",
    "Options",
    "Provider",
    "ServiceGone",
    "acytoo",
    "chatanywhere",
    "cromicle",
    "flowgpt",
]
