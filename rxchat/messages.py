"""What we say: a conversation is a tuple of messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias, cast

import attrs

__all__ = ["Message", "Prompt", "assistant", "format_prompt", "messages", "system", "tool", "user"]

ROLES = ("system", "developer", "user", "assistant", "tool")


@attrs.frozen
class Message:
    """One turn of a conversation."""

    role: str
    content: str

    def __attrs_post_init__(self) -> None:
        if self.role not in ROLES:
            raise ValueError(f"unknown role {self.role!r}: a role is one of {', '.join(ROLES)}")
        if not isinstance(self.content, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"content is text, not {type(self.content).__name__}")


Prompt: TypeAlias = str | Message | Mapping[str, Any] | Sequence[str | Message | Mapping[str, Any]]


def system(content: str) -> Message:
    """What the model is to be."""
    return Message("system", content)


def user(content: str) -> Message:
    """What the person says."""
    return Message("user", content)


def assistant(content: str) -> Message:
    """What the model said."""
    return Message("assistant", content)


def tool(content: str) -> Message:
    """What a tool gave back."""
    return Message("tool", content)


def messages(prompt: Prompt) -> tuple[Message, ...]:
    """Read a prompt: a string, one message, a role/content mapping, or a sequence of those.

    >>> messages("Hi") == messages({"role": "user", "content": "Hi"}) == (user("Hi"),)
    True
    """
    given: object = prompt
    several = isinstance(given, Iterable) and not isinstance(given, str | bytes | Mapping)
    items = cast("Iterable[object]", given) if several else (given,)
    conversation = tuple(_message(item) for item in items)
    if not conversation:
        raise ValueError("the prompt is empty: say at least one message")
    return conversation


def _message(item: object) -> Message:
    if isinstance(item, Message):
        return item
    if isinstance(item, str):
        return user(item)
    if not isinstance(item, Mapping):
        raise TypeError(
            "a prompt is a string, a message, a {'role', 'content'} mapping, or a sequence of "
            f"those; not {type(item).__name__}"
        )
    fields = cast("Mapping[str, Any]", item)
    if missing := {"role", "content"} - set(fields):
        raise ValueError(f"a message needs 'role' and 'content'; {sorted(missing)} is missing")
    if unknown := set(fields) - {"role", "content"}:
        raise ValueError(f"a message has 'role' and 'content', not {sorted(unknown)}")
    return Message(fields["role"], fields["content"])


def format_prompt(conversation: Sequence[Message], *, always: bool = False) -> str:
    """Fold a conversation into one text, for services that take no history.

    A single message stays as it is, unless `always` asks for the role format.

    >>> print(format_prompt([system("Be brief."), user("Hi")]))
    System: Be brief.
    User: Hi
    Assistant:
    """
    if len(conversation) == 1 and not always:
        return conversation[0].content
    lines = [f"{message.role.capitalize()}: {message.content}" for message in conversation]
    return "\n".join([*lines, "Assistant:"])
