"""What a model says, as a closed union of small immutable values.

A provider's stream is `Start`?, then content, then `Usage`?, then exactly one `Finish`.

`opaque` holds what a service wants back with the next turn (a signature, an encrypted thought):
nobody else reads it, and `rxchat.reply` keeps it.

Events are msgspec structs: they are made once per token, and a struct costs a sixth of an
equivalent attrs class; those that can hold no cycle are left out of garbage collection.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from msgspec import Struct

__all__ = [
    "Event",
    "Finish",
    "Opaque",
    "Other",
    "Reason",
    "Reasoning",
    "Refusal",
    "Reset",
    "Start",
    "Text",
    "ToolCall",
    "Usage",
    "is_content",
]


class Opaque(Struct, frozen=True):
    """What a service wants back untouched; `by` is the wire format that will read it."""

    by: str
    data: Any


class Start(Struct, frozen=True, gc=False):
    """The service accepted the request and begins to answer."""

    model: str = ""
    id: str = ""


class Text(Struct, frozen=True, gc=False):
    """A piece of the answer; `choice` tells answers apart when several were asked for."""

    text: str
    choice: int = 0
    opaque: Opaque | None = None


class Reasoning(Struct, frozen=True, gc=False):
    """A piece of the model's thinking."""

    text: str
    choice: int = 0
    opaque: Opaque | None = None


class Refusal(Struct, frozen=True, gc=False):
    """A piece of the model's explanation of why it will not answer."""

    text: str
    choice: int = 0
    opaque: Opaque | None = None


class ToolCall(Struct, frozen=True, gc=False):
    """A piece of the `index`-th tool call of an answer; `arguments` is raw JSON text."""

    index: int = 0
    id: str = ""
    name: str = ""
    arguments: str = ""
    choice: int = 0
    opaque: Opaque | None = None


class Usage(Struct, frozen=True, gc=False):
    """What the answer cost, in tokens; None where the service does not say."""

    input: int | None = None
    output: int | None = None
    total: int | None = None
    reasoning: int | None = None
    cached: int | None = None


Reason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter", "other"]


class Finish(Struct, frozen=True, gc=False):
    """The answer is complete; `raw` is the service's own word for the reason.

    The reason is `tool_calls` whenever the model waits for what its calls give, also where the
    service calls that a stop. When several answers were asked for, each has a Finish of its own,
    all at the very end.
    """

    reason: Reason = "stop"
    raw: str | None = None
    choice: int = 0


class Reset(Struct, frozen=True, gc=False):
    """A seam in the answer, and the failure that caused it.

    After a `restart` the answer begins anew: forget the content so far. After a `resume` it goes
    on where it was cut: what follows belongs to what came before.
    """

    kind: Literal["restart", "resume"] = "restart"
    cause: str = ""


class Other(Struct, frozen=True):
    """Anything else the service said, under its own name, untouched."""

    name: str
    data: Any = None
    opaque: Opaque | None = None
    choice: int = 0


Event: TypeAlias = Start | Text | Reasoning | Refusal | ToolCall | Usage | Finish | Reset | Other

_LIFECYCLE = frozenset({Start, Usage, Finish, Reset, Other})


def is_content(item: object) -> bool:
    """Tell whether an item commits its stream: anything but a lifecycle event or no text does.

    >>> is_content(Text("Hello")), is_content(Start()), is_content("a plain string")
    (True, False, True)
    """
    return type(item) not in _LIFECYCLE and getattr(item, "text", item) != ""
