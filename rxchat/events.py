"""What a model says, as a closed union of small immutable values.

A provider's stream is `Start`?, then content, then `Usage`?, then exactly one `Finish`.

Events are msgspec structs: they are made once per token, and a struct costs a sixth of an
equivalent attrs class; those that can hold no cycle are left out of garbage collection.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from msgspec import Struct

__all__ = [
    "Event",
    "Finish",
    "Other",
    "Reasoning",
    "Refusal",
    "Reset",
    "Start",
    "Text",
    "ToolCall",
    "Usage",
    "is_content",
]


class Start(Struct, frozen=True, gc=False):
    """The service accepted the request and begins to answer."""

    model: str = ""
    id: str = ""


class Text(Struct, frozen=True, gc=False):
    """A piece of the answer; `index` tells answers apart when several were asked for."""

    text: str
    index: int = 0


class Reasoning(Struct, frozen=True, gc=False):
    """A piece of the model's thinking."""

    text: str
    index: int = 0


class Refusal(Struct, frozen=True, gc=False):
    """A piece of the model's explanation of why it will not answer."""

    text: str
    index: int = 0


class ToolCall(Struct, frozen=True, gc=False):
    """A piece of a tool call: `arguments` is a fragment of JSON text."""

    id: str = ""
    name: str = ""
    arguments: str = ""
    index: int = 0


class Usage(Struct, frozen=True, gc=False):
    """What the answer cost, in tokens; None where the service does not say."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None


class Finish(Struct, frozen=True, gc=False):
    """The answer is complete; `reason` is "stop" unless the service says otherwise."""

    reason: str = "stop"


class Reset(Struct, frozen=True, gc=False):
    """Forget the content so far: the answer starts again or goes on from another source."""

    kind: str = "restart"


class Other(Struct, frozen=True):
    """Anything else the service said, under its own name, untouched."""

    name: str
    data: Any = None


Event: TypeAlias = Start | Text | Reasoning | Refusal | ToolCall | Usage | Finish | Reset | Other

_LIFECYCLE = frozenset({Start, Usage, Finish, Reset, Other})


def is_content(item: object) -> bool:
    """Tell whether an item commits its stream: anything but a lifecycle event does.

    >>> is_content(Text("Hello")), is_content(Start()), is_content("a plain string")
    (True, False, True)
    """
    return type(item) not in _LIFECYCLE
