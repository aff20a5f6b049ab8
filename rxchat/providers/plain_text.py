"""Services whose answer is the body itself, as plain UTF-8 text.

The end of the body is the end of the answer: these protocols have no other.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import attrs

from rxchat.errors import EmptyAnswer
from rxchat.events import Event, Finish, Text
from rxchat.framing import Utf8Text
from rxchat.messages import format_prompt
from rxchat.provider import Ask, Format, Provider
from rxchat.request import PLAIN_TEXT, Headers, Request
from rxchat.signing import sha256_hash

__all__ = ["PlainText", "acytoo", "chatanywhere", "cromicle"]


class PlainText:
    """Pieces of text to events."""

    def __init__(self) -> None:
        self._spoken = False

    def feed(self, pieces: Iterable[str]) -> Iterator[Event]:
        for piece in pieces:
            self._spoken = True
            yield Text(piece)

    def close(self) -> Iterator[Event]:
        if not self._spoken:
            raise EmptyAnswer("the answer ended without a word")
        yield Finish()


def _history(ask: Ask) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.text} for message in ask.messages]


def _eighteen_characters() -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(18))


@attrs.frozen
class fresh_conversation:
    """Every request is a conversation of its own: the service's client sent one id for all."""

    new: Callable[[], str] = attrs.field(default=_eighteen_characters, repr=False)

    def __call__(self, request: Request) -> Request:
        return request.but(json={**request.json, "id": f"s1_{self.new()}"})


def _cromicle_body(ask: Ask) -> dict[str, Any]:
    return {"message": format_prompt(ask.messages)}  # the signature adds token and hash


def _acytoo_body(ask: Ask) -> dict[str, Any]:
    return {
        "key": "",
        "model": ask.model,
        "messages": _history(ask),
        "temperature": ask.options["temperature"],
        "password": "",
    }


def _chatanywhere_body(ask: Ask) -> dict[str, Any]:
    return {
        "list": _history(ask),
        "title": ask.messages[-1].text,
        "prompt": "",
        "temperature": ask.options["temperature"],
        "models": "61490748",
        "continuous": True,
    }


def _plain(path: str, body: Any, **fields: Any) -> Format:
    return Format(
        path=path, body=body, decoder=Utf8Text, mapping=PlainText, expects=PLAIN_TEXT, **fields
    )


_HEADERS = Headers({"accept": "*/*", "content-type": "application/json"})

cromicle = Provider(
    name="cromicle",
    format=_plain("/chat", _cromicle_body, signature=sha256_hash(), history=False, system=False),
    base_url="https://cromicle.top",
    model="gpt-3.5-turbo",
    models=("gpt-3.5-turbo",),
    headers=_HEADERS,
    working=False,
    why_not="the service went offline in October 2023",
)
"""Cromicle takes one text, so a conversation is folded into it. Offline since October 2023."""

acytoo = Provider(
    name="acytoo",
    format=_plain("/api/completions", _acytoo_body, options={"temperature": 0.5}, system=False),
    base_url="https://chat.acytoo.com",
    model="gpt-3.5-turbo",
    models=("gpt-3.5-turbo",),
    headers=_HEADERS,
    working=False,
    why_not="the service went offline in 2023",
)
"""Acytoo takes the conversation as it is. Offline since 2023."""

chatanywhere = Provider(
    name="chatanywhere",
    format=_plain(
        "/v1/chat/gpt/",
        _chatanywhere_body,
        signature=fresh_conversation(),
        options={"temperature": 0.5},
        system=False,
    ),
    base_url="https://chatanywhere.cn",
    model="gpt-3.5-turbo",
    models=("gpt-3.5-turbo",),
    headers=Headers(
        {
            "User-Agent": "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:109.0) "
            "Gecko/20100101 Firefox/119.0",
            "Accept": "application/json, text/plain, */*",
            "Accept-Language": "de,en-US;q=0.7,en;q=0.3",
            "Accept-Encoding": "gzip, deflate, br",
            "Content-Type": "application/json",
            "Referer": "https://chatanywhere.cn/",
            "Origin": "https://chatanywhere.cn",
            "Sec-Fetch-Dest": "empty",
            "Sec-Fetch-Mode": "cors",
            "Sec-Fetch-Site": "same-origin",
            "Authorization": "",
            "Connection": "keep-alive",
            "TE": "trailers",
        }
    ),
    working=False,
    why_not="the free service was closed in November 2023",
)
"""ChatAnywhere takes the conversation as it is. Its free service closed in November 2023."""
