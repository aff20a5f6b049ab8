"""The four services of the beginning: what each demands to the letter, and how it answers.

Signatures are checked with nothing but `hashlib`, so that the client's own code is really tested.
"""

from __future__ import annotations

import re
from hashlib import md5, sha256
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from rxchat.events import Event, Other, Text
from rxchat.testing.exchange import Exchange
from rxchat.testing.replies import Reply
from rxchat.testing.voices.voice import Voice

__all__ = ["OLD_SERVICES"]


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


OLD_SERVICES: Final = (
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
