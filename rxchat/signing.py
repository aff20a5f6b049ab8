"""Request → signed request.

A signature is any callable that takes a request and gives the request to send. It is asked anew
for every attempt, so timestamps and nonces are always fresh.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import string
import time
from collections.abc import Callable
from typing import TypeAlias
from urllib.parse import quote, urlsplit

import attrs

from rxchat.request import Request, Secret

__all__ = [
    "Signature",
    "bearer",
    "header_key",
    "md5_signature",
    "sha256_hash",
    "sigv4",
    "unsigned",
]

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


@attrs.frozen
class sigv4:
    """Amazon's services: the headers carry a signature of all that matters in the request.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """

    access_key: str = attrs.field(repr=False)
    secret_key: str = attrs.field(repr=False)
    session_token: str | None = attrs.field(repr=False)
    region: str
    service: str
    clock: Callable[[], float] = time.time

    def __call__(self, request: Request) -> Request:
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self.clock()))
        request = request.but(headers={"Host": _host(request), "X-Amz-Date": moment})
        if self.session_token:
            token = Secret(self.session_token)
            request = request.but(headers={"X-Amz-Security-Token": token})
        fields = {
            name.lower(): " ".join(value.split())
            for name, value in sorted(request.headers.items(), key=lambda field: field[0].lower())
            if name.lower() in ("accept", "content-type", "host") or name[:6].lower() == "x-amz-"
        }
        names, address = ";".join(fields), urlsplit(request.url)
        canonical = (
            request.method,
            # The path as it is sent, encoded once more.
            quote(address.path or "/", safe="/~"),
            "&".join(sorted(address.query.split("&"))),
            *(f"{name}:{value}" for name, value in fields.items()),
            "",
            names,
            hashlib.sha256(request.body).hexdigest(),
        )
        day = moment[:8]
        scope = f"{day}/{self.region}/{self.service}/aws4_request"
        digest = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
        key = f"AWS4{self.secret_key}".encode()
        for part in (day, self.region, self.service, "aws4_request"):
            key = _hmac(key, part)
        signature = _hmac(key, f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}").hex()
        credential = f"Credential={self.access_key}/{scope}"
        said = f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={names}, Signature={signature}"
        return request.but(headers={"Authorization": Secret(said)})


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def _host(request: Request) -> str:
    """What the header Host says, said now so that nobody says it otherwise once it is signed."""
    address = urlsplit(request.url)
    name = address.hostname or ""
    host = f"[{name}]" if ":" in name else name if name.isascii() else name.encode("idna").decode()
    usual = {"http": 80, "https": 443}.get(address.scheme)
    port = "" if address.port in (None, usual) else f":{address.port}"
    return request.headers.get("Host") or host + port
