"""Every chat is a stream.

The words are found in their rooms when they are first used: `import rxchat` costs nothing that
you do not need.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rxchat.messages import Image as Image
    from rxchat.messages import Message as Message
    from rxchat.messages import Tool as Tool
    from rxchat.messages import assistant as assistant
    from rxchat.messages import image as image
    from rxchat.messages import reply as reply
    from rxchat.messages import system as system
    from rxchat.messages import tool as tool
    from rxchat.messages import user as user
    from rxchat.operators.budgets import Budget as Budget
    from rxchat.operators.consensus import cascade as cascade
    from rxchat.operators.consensus import first_valid as first_valid
    from rxchat.operators.consensus import quorum as quorum
    from rxchat.operators.creation import concat as concat
    from rxchat.operators.creation import interval as interval
    from rxchat.operators.creation import merge as merge
    from rxchat.operators.creation import of as of
    from rxchat.operators.creation import timer as timer
    from rxchat.operators.creation import zip as zip
    from rxchat.operators.health import healthy as healthy
    from rxchat.operators.racing import Loss as Loss
    from rxchat.operators.racing import hedge as hedge
    from rxchat.operators.racing import race as race
    from rxchat.operators.recovery import fallback as fallback
    from rxchat.stream import Op as Op
    from rxchat.stream import Pump as Pump
    from rxchat.stream import Scope as Scope
    from rxchat.stream import Stream as Stream
    from rxchat.stream import source as source
    from rxchat.stream import wrap as wrap
    from rxchat.transport import Connections as Connections
    from rxchat.transport import connections as connections

_ROOMS = {
    "messages": (
        "Image",
        "Message",
        "Tool",
        "assistant",
        "image",
        "reply",
        "system",
        "tool",
        "user",
    ),
    "operators.budgets": ("Budget",),
    "operators.consensus": ("cascade", "first_valid", "quorum"),
    "operators.creation": ("concat", "interval", "merge", "of", "timer", "zip"),
    "operators.health": ("healthy",),
    "operators.racing": ("Loss", "hedge", "race"),
    "operators.recovery": ("fallback",),
    "stream": ("Op", "Pump", "Scope", "Stream", "source", "wrap"),
    "transport": ("Connections", "connections"),
}
_ROOM_OF = {word: room for room, words in _ROOMS.items() for word in words}


def __getattr__(word: str) -> Any:
    if word not in _ROOM_OF:
        raise AttributeError(f"module 'rxchat' has no attribute {word!r}")
    value = getattr(import_module(f"rxchat.{_ROOM_OF[word]}"), word)
    globals()[word] = value
    return value


def __dir__() -> list[str]:
    return sorted(_ROOM_OF)
