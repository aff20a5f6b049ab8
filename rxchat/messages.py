"""What we say: a conversation is a tuple of messages.

What the model said can be said again: the parts of an assistant's message are the events it came
in, put together by `reply`. So signatures and encrypted thoughts go back to whoever made them.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias, cast

import attrs
import msgspec

from rxchat.calls import TURN, Calls, whole_call
from rxchat.errors import UsageError
from rxchat.events import Event, Other, Reasoning, Refusal, Reset, Text, ToolCall

__all__ = [
    "Image",
    "Message",
    "Part",
    "Prompt",
    "Tool",
    "assistant",
    "format_prompt",
    "image",
    "messages",
    "paired",
    "reply",
    "system",
    "tool",
    "user",
]


@attrs.frozen
class Image:
    """A picture for the model to look at: an address, or the bytes and their media type."""

    url: str = ""
    data: bytes = attrs.field(default=b"", repr=lambda data: f"<{len(data)} bytes>")
    media_type: str = ""

    def __attrs_post_init__(self) -> None:
        if bool(self.url) == bool(self.data) or self.url.startswith("data:"):
            raise ValueError("an image has a url or data: rxchat.image(...) makes it of either")
        if self.data and not self.media_type:
            raise ValueError("the data of an image needs a media_type, as 'image/png'")

    @property
    def base64(self) -> str:
        """The bytes, as JSON carries them."""
        return base64.b64encode(self.data).decode()

    @property
    def data_url(self) -> str:
        """The address, or the bytes in the form of one (RFC 2397)."""
        return self.url or f"data:{self.media_type};base64,{self.base64}"


Part: TypeAlias = Text | Reasoning | Refusal | ToolCall | Other | Image

# Who may say what; the others say text.
_SAYS: Mapping[str, tuple[type, ...]] = {
    "system": (Text,),
    "developer": (Text,),
    "user": (Text, Image),
    "assistant": (Text, Reasoning, Refusal, ToolCall, Other),
    "tool": (Text,),
}


def _content(given: object) -> str | tuple[Part, ...]:
    """Text stays text; anything else is a tuple of parts, of which plain text alone is text."""
    if isinstance(given, str):
        return given
    if not isinstance(given, list | tuple):
        raise TypeError(f"content is text, not {type(given).__name__}")
    items = cast("Sequence[Any]", given)
    parts: tuple[Part, ...] = tuple(Text(i) if isinstance(i, str) else i for i in items)
    match parts:
        case ():
            return ""
        case (Text(text=text, opaque=None),):
            return text
        case _:
            return parts


@attrs.frozen
class Message:
    """One turn of a conversation: text, or parts of which some are not text.

    `call`, `name` and `failed` are for what a tool gave back: the id of the call that it answers,
    the tool's name, and whether it is an error.
    """

    role: str
    content: str | tuple[Part, ...] = attrs.field(converter=_content)
    call: str = ""
    name: str = ""
    failed: bool = False

    def __attrs_post_init__(self) -> None:
        if self.role not in _SAYS:
            raise ValueError(f"unknown role {self.role!r}: a role is one of {', '.join(_SAYS)}")
        for part in self.parts:
            if not isinstance(part, _SAYS[self.role]):
                can = ", ".join(kind.__name__ for kind in _SAYS[self.role])
                raise TypeError(f"a message of role {self.role!r} is made of {can}, not {part!r}")
        if (self.call or self.name or self.failed) and self.role != "tool":
            raise ValueError("only a tool's message has a call, a name, and may have failed")

    @property
    def parts(self) -> tuple[Part, ...]:
        """What it is made of."""
        if isinstance(self.content, str):
            return (Text(self.content),) if self.content else ()
        return self.content

    @property
    def text(self) -> str:
        """Its text alone."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content if isinstance(part, Text))

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls that the model asks for."""
        return tuple(part for part in self.parts if isinstance(part, ToolCall))


@attrs.frozen
class Tool:
    """A function that the model may ask to call; `parameters` is a JSON schema of an object.

    >>> Tool("weather", "Tell the weather.", {"type": "object", "properties": {}}).name
    'weather'
    """

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = attrs.field(
        factory=lambda: {"type": "object", "properties": {}}, hash=False
    )

    def __attrs_post_init__(self) -> None:
        if not (isinstance(self.name, str) and isinstance(self.description, str)):
            raise TypeError(f"a tool has a name and a description, not {self.name!r}")
        if not isinstance(self.parameters, Mapping):
            raise TypeError(f"a tool's parameters are a JSON schema, not {self.parameters!r}")


Prompt: TypeAlias = str | Message | Mapping[str, Any] | Sequence[str | Message | Mapping[str, Any]]


def system(content: str) -> Message:
    """What the model is to be."""
    return Message("system", content)


def user(*content: str | Image) -> Message:
    """What the person says, and shows."""
    return Message("user", content)


def assistant(*content: str | Part) -> Message:
    """What the model said."""
    return Message("assistant", content)


def tool(content: object, call: ToolCall | str = "", *, failed: bool = False) -> Message:
    """What a tool gave back for a call; what is no text is sent as JSON."""
    text = content if isinstance(content, str) else msgspec.json.encode(content).decode()
    if isinstance(call, ToolCall):
        return Message("tool", text, call.id, call.name, failed)
    return Message("tool", text, call, failed=failed)


_DATA_URL = re.compile(r"data:([^;,]+);base64,(.*)", re.DOTALL)
# https://mimesniff.spec.whatwg.org/#image-type-pattern-matching-algorithm
_BEGINNINGS = {
    rb"\x89PNG\r\n\x1a\n": "image/png",
    rb"\xff\xd8\xff": "image/jpeg",
    rb"GIF8[79]a": "image/gif",
    rb"RIFF....WEBP": "image/webp",
}


def image(source: str | bytes | PathLike[str]) -> Image:
    """A picture from an address, from bytes, or from a file.

    >>> image("https://example.com/cat.png")
    Image(url='https://example.com/cat.png', data=<0 bytes>, media_type='')
    """
    if isinstance(source, PathLike):
        source = Path(source).read_bytes()
    if isinstance(source, str):
        if inline := _DATA_URL.fullmatch(source):
            return Image(data=base64.b64decode(inline[2], validate=True), media_type=inline[1])
        if not re.match("https?://", source):
            raise ValueError(
                "an image is an http(s):// or data: address, bytes, or a pathlib.Path, "
                f"not {source[:80]!r}"
            )
        return Image(url=source)
    for beginning, media_type in _BEGINNINGS.items():
        if re.match(beginning, source, re.DOTALL):
            return Image(data=source, media_type=media_type)
    raise ValueError(
        "these bytes are no PNG, JPEG, GIF or WebP: say what they are with "
        "rxchat.Image(data=..., media_type=...)"
    )


def reply(events: Iterable[Event], choice: int = 0) -> Message:
    """What the model said, as the message to append to the conversation.

    >>> from rxchat.events import Finish, Start
    >>> reply([Start(), Text("Hel"), Text("lo"), Finish()]) == assistant("Hello")
    True
    """
    parts: list[list[Any]] = []  # the pieces of each
    places, calls = Calls(), dict[int, list[Any]]()
    for event in events:
        match event:
            case Reset() | Other() if _begins_anew(event):
                parts, places, calls = [], Calls(), {}
            case ToolCall() if event.choice == choice:
                piece = places.placed(event)
                if piece.index not in calls:
                    parts.append(calls.setdefault(piece.index, []))
                calls[piece.index].append(piece)
            case Text() | Reasoning() | Refusal() if event.choice == choice:
                if not (parts and _goes_on(parts[-1][-1], event)):
                    parts.append([])
                parts[-1].append(event)
            case Other() if event.opaque is not None and event.choice == choice:
                parts.append([event])
            case str():  # pyright: ignore[reportUnnecessaryComparison]  # texts look like events
                raise UsageError(
                    "reply(events) takes the events of an answer, as they come before ops.text(); "
                    "the message of a text is rxchat.assistant(text)"
                )
            case _:
                pass
    return Message("assistant", [_joined(pieces) for pieces in parts])


def _begins_anew(event: Reset | Other) -> bool:
    return event.kind == "restart" if isinstance(event, Reset) else event.name == TURN


def _goes_on(last: Any, event: Text | Reasoning | Refusal) -> bool:
    """Tell whether a piece belongs to the part of the last one; what is opaque stands alone."""
    return type(last) is type(event) and last.opaque is None and event.opaque is None


def _joined(pieces: list[Any]) -> Part:
    first: Part = pieces[0]
    if isinstance(first, Other | Image):
        return first
    if not isinstance(first, ToolCall):
        return type(first)("".join(piece.text for piece in pieces), opaque=first.opaque)
    return msgspec.structs.replace(whole_call(pieces), choice=0)


def paired(conversation: Sequence[Message]) -> tuple[Message, ...]:
    """A conversation in which every call has an id, and every tool's message its call and name.

    Some services give their calls no ids; others want them back. What a tool gave back answers
    the call with its id, or else the first one that nobody has answered.
    """
    taken = {part.id for message in conversation for part in message.tool_calls}
    fresh = (name for name in map("call_{}".format, count()) if name not in taken)
    used: set[str] = set()
    asked: list[tuple[str, ToolCall]] = []  # calls without an answer, with the ids that came

    def told(message: Message) -> Message:
        parts: list[Part] = []
        for part in message.parts:
            if isinstance(part, ToolCall):
                id_ = next(fresh) if not part.id or part.id in used else part.id
                used.add(id_)
                asked.append((part.id, part := msgspec.structs.replace(part, id=id_)))
            parts.append(part)
        return attrs.evolve(message, content=parts)

    def answering(message: Message) -> Message:
        for at, (came, call) in enumerate(asked):
            by_id = message.call in ("", came, call.id)
            if by_id and message.name in ("", call.name):
                del asked[at]
                return attrs.evolve(message, call=call.id, name=call.name)
        raise ValueError(
            f"the tool's message answers no call ({message.call or message.name!r}): put the "
            "assistant's message with the call before it, as rxchat.reply(events) makes it"
        )

    return tuple(
        told(m) if m.tool_calls else answering(m) if m.role == "tool" else m for m in conversation
    )


# Reading a prompt ----------------------------------------------------------------------------


def messages(prompt: Prompt) -> tuple[Message, ...]:
    """Read a prompt: a string, one message, a role/content mapping, or a sequence of those.

    A mapping is a message as OpenAI's chat API has it: `content` may be a list of text and
    `image_url` parts; there may be `tool_calls`, or a `tool_call_id`.

    >>> messages("Hi") == messages({"role": "user", "content": "Hi"}) == (user("Hi"),)
    True
    """
    if isinstance(prompt, str):
        return (Message("user", prompt),)
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
    # What a client's own objects give when they are dumped has many a field of null.
    given = cast("Mapping[str, Any]", item)
    fields = {name: given[name] for name in given if given[name] is not None or name == "content"}
    calls = fields.pop("tool_calls", None) or ()
    if fields.get("role") == "assistant" and fields.get("content") is None:
        fields["content"] = ""
    if missing := {"role", "content"} - set(fields):
        raise ValueError(f"a message needs 'role' and 'content'; {sorted(missing)} is missing")
    role, content = fields.pop("role"), fields.pop("content")
    facts: dict[str, Any] = {}
    if role == "tool":
        facts = {"call": fields.pop("tool_call_id", ""), "name": fields.pop("name", "")}
    if fields:
        raise ValueError(f"a message has 'role' and 'content', not {sorted(fields)}")
    if isinstance(content, list | tuple):
        content = [_part(part) for part in cast("Sequence[object]", content)]
    if calls:
        content = [
            *Message(role, content).parts,
            *(_call(at, call) for at, call in enumerate(calls)),
        ]
    return Message(role, content, **facts)


def _part(part: Any) -> Part | str:
    match part:
        case str() | Text() | Reasoning() | Refusal() | ToolCall() | Other() | Image():
            return part
        case {"type": "text", "text": str(text)} if _has_only(part, "type", "text"):
            return text
        case {"type": "image_url", "image_url": str(url)} if _has_only(part, "type", "image_url"):
            return image(url)
        case {"type": "image_url", "image_url": {"url": str(url)} as shown} if _has_only(
            part, "type", "image_url"
        ) and _has_only(shown, "url"):
            return image(url)
        case _:
            raise ValueError(
                f"a part is {{'type': 'text', 'text': ...}} or {{'type': 'image_url', "
                f"'image_url': {{'url': ...}}}}, not {str(part)[:80]}"
            )


def _has_only(fields: object, *names: str) -> bool:
    """Tell whether nothing would be lost of what was said."""
    return set(cast("Mapping[str, Any]", fields)) == {*names}


def _call(index: int, call: object) -> ToolCall:
    match call:
        case ToolCall():
            return call
        case {"id": str(id), "function": {"name": str(name), "arguments": str(arguments)}}:
            return ToolCall(index, id, name, arguments)
        case _:
            raise ValueError(
                "a tool call is {'id': ..., 'function': {'name': ..., 'arguments': JSON text}}, "
                f"not {str(call)[:80]}"
            )


def format_prompt(conversation: Sequence[Message], *, always: bool = False) -> str:
    """Fold a conversation into one text, for services that take no history.

    A single message stays as it is, unless `always` asks for the role format.

    >>> print(format_prompt([system("Be brief."), user("Hi")]))
    System: Be brief.
    User: Hi
    Assistant:
    """
    if len(conversation) == 1 and not always:
        return conversation[0].text
    lines = [f"{message.role.capitalize()}: {message.text}" for message in conversation]
    return "\n".join([*lines, "Assistant:"])
