"""Every chat is a stream."""

from rxchat.messages import Message, assistant, system, tool, user
from rxchat.operators.creation import concat, interval, merge, of, timer, zip
from rxchat.operators.racing import race
from rxchat.operators.recovery import fallback
from rxchat.stream import Scope, Stream, source, wrap
from rxchat.transport import Connections, connections

__all__ = [
    "Connections",
    "Message",
    "Scope",
    "Stream",
    "assistant",
    "concat",
    "connections",
    "fallback",
    "interval",
    "merge",
    "of",
    "race",
    "source",
    "system",
    "timer",
    "tool",
    "user",
    "wrap",
    "zip",
]
