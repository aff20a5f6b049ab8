"""Chat services, as values: call one with a prompt to get its stream."""

from rxchat.provider import Ask, Format, Options, Provider, ServiceGone
from rxchat.providers.flowgpt_lines import FlowGptLines, Line, flowgpt
from rxchat.providers.plain_text import PlainText, acytoo, chatanywhere, cromicle
from rxchat.request import Headers, Request, Timeout

__all__ = [
    "Ask",
    "FlowGptLines",
    "Format",
    "Headers",
    "Line",
    "Options",
    "PlainText",
    "Provider",
    "Request",
    "ServiceGone",
    "Timeout",
    "acytoo",
    "chatanywhere",
    "cromicle",
    "flowgpt",
]
