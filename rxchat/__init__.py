"""Every chat is a stream.

The words are found in their rooms when they are first used: `import rxchat` costs nothing that
you do not need.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rxchat.chat import Chat as Chat
    from rxchat.messages import Image as Image
    from rxchat.messages import Message as Message
    from rxchat.messages import Tool as Tool
    from rxchat.messages import assistant as assistant
    from rxchat.messages import image as image
    from rxchat.messages import reply as reply
    from rxchat.messages import system as system
    from rxchat.messages import tool as tool
    from rxchat.messages import user as user
    from rxchat.operators.asking.budgets import Budget as Budget
    from rxchat.operators.asking.consensus import cascade as cascade
    from rxchat.operators.asking.consensus import first_valid as first_valid
    from rxchat.operators.asking.consensus import quorum as quorum
    from rxchat.operators.asking.health import healthy as healthy
    from rxchat.operators.asking.racing import Loss as Loss
    from rxchat.operators.asking.racing import hedge as hedge
    from rxchat.operators.asking.racing import race as race
    from rxchat.operators.asking.recovery import fallback as fallback
    from rxchat.operators.creation import concat as concat
    from rxchat.operators.creation import interval as interval
    from rxchat.operators.creation import merge as merge
    from rxchat.operators.creation import of as of
    from rxchat.operators.creation import timer as timer
    from rxchat.operators.creation import zip as zip
    from rxchat.operators.gathering.collecting import Answer as Answer
    from rxchat.operators.gathering.collecting import Growing as Growing
    from rxchat.operators.gathering.costs import Cost as Cost
    from rxchat.operators.gathering.costs import Price as Price
    from rxchat.operators.gathering.side_by_side import Change as Change
    from rxchat.operators.gathering.side_by_side import Diff as Diff
    from rxchat.operators.gathering.side_by_side import Labelled as Labelled
    from rxchat.operators.gathering.side_by_side import LabelledError as LabelledError
    from rxchat.operators.gathering.side_by_side import diff as diff
    from rxchat.operators.gathering.side_by_side import interleave as interleave
    from rxchat.operators.gathering.side_by_side import side_by_side as side_by_side
    from rxchat.operators.tools.functions import tool_of as tool_of
    from rxchat.operators.tools.running import replies as replies
    from rxchat.operators.tools.running import with_tools as with_tools
    from rxchat.stream import Op as Op
    from rxchat.stream import Pump as Pump
    from rxchat.stream import Scope as Scope
    from rxchat.stream import Stream as Stream
    from rxchat.stream import source as source
    from rxchat.stream import wrap as wrap
    from rxchat.transport import Connections as Connections
    from rxchat.transport import connections as connections

_ROOMS = {
    "chat": ("Chat",),
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
    "operators.asking.budgets": ("Budget",),
    "operators.asking.consensus": ("cascade", "first_valid", "quorum"),
    "operators.asking.health": ("healthy",),
    "operators.asking.racing": ("Loss", "hedge", "race"),
    "operators.asking.recovery": ("fallback",),
    "operators.creation": ("concat", "interval", "merge", "of", "timer", "zip"),
    "operators.gathering.collecting": ("Answer", "Growing"),
    "operators.gathering.costs": ("Cost", "Price"),
    "operators.gathering.side_by_side": (
        "Change",
        "Diff",
        "Labelled",
        "LabelledError",
        "diff",
        "interleave",
        "side_by_side",
    ),
    "operators.tools.functions": ("tool_of",),
    "operators.tools.running": ("replies", "with_tools"),
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
