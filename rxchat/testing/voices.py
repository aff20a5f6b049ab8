"""How each service hears and answers: one row per wire format.

A voice knows what its service demands
of a request, and how the service words an answer; it checks signatures with nothing but `hashlib`,
so that the client's own code is really tested.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from hashlib import md5, sha256
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from attrs import field, frozen
from msgspec import Meta, Struct

from rxchat.events import Event, Other, Text
from rxchat.testing.exchange import Exchange
from rxchat.testing.replies import Hold, Part, Reply

__all__ = ["ANYTHING", "VOICES", "Voice", "find_voice"]


def plain(said: str | Event) -> bytes:
    """Say only the text, as services without any framing do."""
    match said:
        case str(text) | Text(text):
            return text.encode()
        case _:
            raise ValueError(f"raw text cannot say {said!r}")


def no_objection(exchange: Exchange, body: Any) -> Reply | None:
    """Find no fault."""
    return None


@frozen
class Voice:
    """One wire format: where it is asked, what it demands, how it answers."""

    name: str
    path: str
    """The address below the server's; `*` stands for any text."""
    content_type: str = "text/plain; charset=utf-8"
    render: Callable[[str | Event], bytes] = plain
    opening: bytes = b""
    """What is sent before the pieces."""
    end: bytes = b""
    """What is sent after them: the end marker."""
    keepalive: bytes = b""
    """What is sent in silence, and means nothing."""
    methods: tuple[str, ...] = ("POST",)
    headers: Mapping[str, str | re.Pattern[str]] = field(factory=dict[str, str | re.Pattern[str]])
    """What a request must have in its headers: a value, or a pattern for all of it."""
    body: Any = None
    """The type of the JSON body; None for any bytes."""
    objection: Callable[[Exchange, Any], Reply | None] = no_objection
    """What no table can tell: signatures, and values that depend on each other."""

    def check(self, exchange: Exchange) -> Reply | None:
        """Give the reply to a wrong request, or None if nothing is wrong."""
        if self.methods and exchange.method not in self.methods:
            allowed = {"Allow": ", ".join(self.methods)}
            return Reply.status(405, f"{exchange.method} is not allowed", headers=allowed)
        if self.body is None:
            return self._object_to_headers(exchange) or self.objection(exchange, exchange.body)
        media_type = exchange.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            return Reply.status(415, f"content type {media_type!r} is not application/json")
        try:
            body = msgspec.json.decode(exchange.body, type=self.body)
        except msgspec.ValidationError as wrong:
            return Reply.status(422, str(wrong))
        except msgspec.DecodeError as wrong:
            return Reply.status(400, str(wrong))
        return self._object_to_headers(exchange) or self.objection(exchange, body)

    def _object_to_headers(self, exchange: Exchange) -> Reply | None:
        for name, rule in self.headers.items():
            value = exchange.headers.get(name)
            right = value == rule if isinstance(rule, str) else rule.fullmatch(value or "")
            if not right:
                return Reply.status(400, f"header {name} is {value!r}, which is not {rule!r}")
        return None

    def speak(self, reply: Reply) -> list[Part]:
        """Put a reply into this service's words."""
        if reply.body is not None:
            return [reply.body] * reply.repeat
        said: Iterable[Part] = (
            piece if isinstance(piece, Hold) else self.render(piece) for piece in reply.pieces
        )
        return [self.opening, *said, self.end if reply.finishes else b""]


class Message(Struct):
    """One message, as given; a service may know more of its fields."""

    role: str
    content: str


Messages: TypeAlias = Annotated[list[Message], Meta(min_length=1)]
Something: TypeAlias = Annotated[str, Meta(min_length=1)]
Nothing: TypeAlias = Annotated[list[Any], Meta(max_length=0)]


# Connection and Accept-Encoding are in no table: they are the transport's business.
JSON_FOR_ANYTHING: Final = {"accept": "*/*", "content-type": "application/json"}


class CromicleBody(Struct, forbid_unknown_fields=True):
    message: Something
    token: str
    hash: str


def cromicle_objection(exchange: Exchange, body: CromicleBody) -> Reply | None:
    """Compare the hash of the token followed by the message."""
    expected = sha256((body.token + body.message).encode()).hexdigest()
    return None if body.hash == expected else Reply.status(403, "wrong hash")


class AcytooBody(Struct, forbid_unknown_fields=True):
    key: Literal[""]
    model: Literal["gpt-3.5-turbo"]
    messages: Messages
    temperature: float
    password: Literal[""]


class FlowgptBody(Struct, forbid_unknown_fields=True, rename="camel"):
    model: Something
    nsfw: bool
    question: str
    history: Messages
    system: Something
    temperature: float
    prompt_id: str
    document_ids: Nothing
    chat_file_document_ids: Nothing
    generate_image: bool
    generate_audio: bool


FLOWGPT_GREETING: Final = Message("assistant", "Hello, how can I help you today?")


def flowgpt_objection(exchange: Exchange, body: FlowgptBody) -> Reply | None:
    """Check the signature of the headers, and the values that follow from others."""
    signed = ("x-timestamp", "x-nonce", "authorization")
    seal = "-".join(exchange.headers.get(name, "") for name in signed).encode()
    if exchange.headers.get("x-signature") != md5(seal, usedforsecurity=False).hexdigest():
        return Reply.status(403, "wrong signature")
    faults = {
        "promptId does not belong to model": body.prompt_id != f"model-{body.model}",
        "history does not begin with the greeting": body.history[0] != FLOWGPT_GREETING,
        "history has a system message": any(said.role == "system" for said in body.history),
        "nsfw is not false": body.nsfw,
        "generateImage is not false": body.generate_image,
        "generateAudio is not false": body.generate_audio,
    }
    fault = next((fault for fault, found in faults.items() if found), None)
    return Reply.status(422, fault) if fault else None


def flowgpt_line(said: str | Event) -> bytes:
    """Say an event as one JSON object and a blank line."""
    match said:
        case str(text) | Text(text):
            line = {"event": "text", "data": text}
        case Other(name, data):
            line = {"event": name, "data": data}
        case _:
            raise ValueError(f"flowgpt cannot say {said!r}")
    return msgspec.json.encode(line) + b"\n\n"


class ChatanywhereBody(Struct, forbid_unknown_fields=True, rename={"messages": "list"}):
    messages: Messages
    id: Annotated[str, Meta(pattern=r"^s1_[A-Za-z0-9]{18}$")]  # one for all was a defect
    title: str
    prompt: Literal[""]
    temperature: float
    models: Literal["61490748"]
    continuous: bool


def chatanywhere_objection(exchange: Exchange, body: ChatanywhereBody) -> Reply | None:
    """Check the values that follow from others."""
    if body.title != body.messages[-1].content:
        return Reply.status(422, "title is not the last message")
    return None if body.continuous else Reply.status(422, "continuous is not true")


VOICES: Final[Mapping[str, Voice]] = {
    voice.path: voice
    for voice in (
        Voice(
            "cromicle",
            "/chat",
            headers=JSON_FOR_ANYTHING,
            body=CromicleBody,
            objection=cromicle_objection,
        ),
        Voice(
            "acytoo",
            "/api/completions",
            headers=JSON_FOR_ANYTHING,
            body=AcytooBody,
        ),
        Voice(
            "flowgpt",
            "/v3/chat-anonymous",
            content_type="application/x-ndjson",
            render=flowgpt_line,
            keepalive=b"\n",
            headers={
                "user-agent": "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:122.0) "
                "Gecko/20100101 Firefox/122.0",
                "accept": "*/*",
                "accept-language": "en-US;q=0.7,en;q=0.3",
                "referer": "https://flowgpt.com/",
                "content-type": "application/json",
                "authorization": "Bearer null",
                "origin": "https://flowgpt.com",
                "sec-fetch-dest": "empty",
                "sec-fetch-mode": "cors",
                "sec-fetch-site": "same-site",
                "te": "trailers",
                "x-flow-device-id": re.compile("f-[a-z0-9]{19}"),
                "x-nonce": re.compile("[0-9a-f]{32}"),
                "x-timestamp": re.compile("[0-9]+"),
            },
            body=FlowgptBody,
            objection=flowgpt_objection,
        ),
        Voice(
            "chatanywhere",
            "/v1/chat/gpt/",
            headers={
                "user-agent": "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:109.0) "
                "Gecko/20100101 Firefox/119.0",
                "accept": "application/json, text/plain, */*",
                "accept-language": "de,en-US;q=0.7,en;q=0.3",
                "content-type": "application/json",
                "referer": "https://chatanywhere.cn/",
                "origin": "https://chatanywhere.cn",
                "sec-fetch-dest": "empty",
                "sec-fetch-mode": "cors",
                "sec-fetch-site": "same-origin",
                "authorization": "",
                "te": "trailers",
            },
            body=ChatanywhereBody,
            objection=chatanywhere_objection,
        ),
    )
}

ANYTHING: Final = Voice("anything", "*", methods=())
"""Any request is right: for tests of HTTP itself."""

_NOBODY = "nobody listens at {}: give LocalServer(voices=[Voice(name, path, ...)]) one that does"

NOBODY: Final = Voice(
    "nobody",
    "*",
    methods=(),
    objection=lambda exchange, _: Reply.status(404, _NOBODY.format(exchange.path)),
)


def find_voice(path: str, voices: Mapping[str, Voice]) -> Voice:
    """Give the voice with this very path, or else the first whose pattern fits.

    >>> find_voice("/chat", VOICES).name, find_voice("/attic", VOICES).name
    ('cromicle', 'nobody')
    """
    fitting = (voice for voice in voices.values() if fnmatchcase(path, voice.path))
    return voices.get(path) or next(fitting, NOBODY)
