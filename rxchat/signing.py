"""Request → signed request.

A signature is any callable that takes a request and gives the request to send. It is asked anew
for every attempt, so timestamps and nonces are always fresh.
"""

from __future__ import annotations

import hashlib
import secrets
import string
import time
from collections.abc import Callable
from typing import TypeAlias

import attrs

from rxchat.request import Request, Secret

__all__ = ["Signature", "bearer", "header_key", "md5_signature", "sha256_hash", "unsigned"]

Signature: TypeAlias = Callable[[Request], Request]


def unsigned(request: Request) -> Request:
    """Send the request as it is."""
    return request


@attrs.frozen
class bearer:
    """`Authorization: Bearer key`."""

    key: str = attrs.field(repr=False)

    def __call__(self, request: Request) -> Request:
        return request.but(headers={"Authorization": Secret(f"Bearer {self.key}")})


@attrs.frozen
class header_key:
    """The key alone, in a header of the service's choice."""

    name: str
    key: str = attrs.field(repr=False)

    def __call__(self, request: Request) -> Request:
        return request.but(headers={self.name: Secret(self.key)})


@attrs.frozen
class sha256_hash:
    """Cromicle: the body carries a token and the SHA-256 of token and message."""

    token: str = "abc"  # noqa: S105  # the service takes any

    def __call__(self, request: Request) -> Request:
        body = request.json
        digest = hashlib.sha256((self.token + body["message"]).encode()).hexdigest()
        return request.but(json={**body, "token": self.token, "hash": digest})


def _device_id() -> str:
    alphabet = string.ascii_lowercase + string.digits
    return "f-" + "".join(secrets.choice(alphabet) for _ in range(19))


@attrs.frozen
class md5_signature:
    """FlowGpt: headers carry a timestamp, a nonce and the MD5 of both with the authorization."""

    clock: Callable[[], float] = time.time
    nonce: Callable[[], str] = attrs.field(default=lambda: secrets.token_hex(16), repr=False)
    device_id: Callable[[], str] = attrs.field(default=_device_id, repr=False)

    def __call__(self, request: Request) -> Request:
        timestamp, nonce = str(int(self.clock())), self.nonce()
        text = f"{timestamp}-{nonce}-{request.headers.get('Authorization', '')}"
        # MD5 is what the service asks for; nothing of ours is protected by it.
        signature = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
        return request.but(
            headers={
                "x-flow-device-id": self.device_id(),
                "x-nonce": nonce,
                "x-signature": signature,
                "x-timestamp": timestamp,
            }
        )
