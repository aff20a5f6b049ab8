"""Keys for Amazon's services: one that is shown, or a pair that signs and is never sent."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

import attrs

from rxchat.errors import UsageError
from rxchat.keys import clean, from_environment, signing
from rxchat.signing import Signature, bearer, sigv4

__all__ = ["AWSKeys"]

_BEARER = "AWS_BEARER_TOKEN_BEDROCK"
_PAIR = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_SESSION = "AWS_SESSION_TOKEN"
_WANTED = (
    "key must be text, or {'access_key': ..., 'secret_key': ...} with a 'session_token' if there "
    "is one, or a function that gives either"
)


@attrs.frozen
class AWSKeys:
    """An API key, or the keys that AWS's own clients sign with, given or in the environment.

    As for AWS's clients, an API key in the environment comes first.
    https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys-use.html
    """

    service: str = "bedrock"
    clock: Callable[[], float] = time.time
    variables: tuple[str, ...] = (_BEARER, *_PAIR, _SESSION)

    def __call__(self, key: Any, setting: Callable[[str], str], /) -> Signature | None:
        key = _in_environment() if key is None else key
        if key is None:
            return None
        return signing(key, lambda given: self._signature(given, setting))

    @property
    def missing(self) -> str:
        return f"pass key=..., or set {_BEARER}, or {' and '.join(_PAIR)}"

    def header(self, setting: Callable[[str], str]) -> str:
        """The header that it goes in, or the signature that it makes, for who looks."""
        return "Authorization"

    def _signature(self, key: object, setting: Callable[[str], str]) -> Signature:
        if isinstance(key, str):
            return bearer(clean(key))
        if not isinstance(key, Mapping):
            raise UsageError(f"{_WANTED}; not {type(key).__name__}")
        region = setting("region")
        if not re.fullmatch("[a-z0-9-]+", region):
            raise UsageError(f"region is a name as 'us-east-1', not {region!r}")
        given = dict(cast("Mapping[str, Any]", key))
        session = given.pop("session_token", None)
        if given.keys() != {"access_key", "secret_key"}:
            raise UsageError(_WANTED)
        return sigv4(
            clean(given["access_key"]),
            clean(given["secret_key"]),
            clean(session) if session else None,
            region=region,
            service=self.service,
            clock=self.clock,
        )


def _in_environment() -> str | dict[str, str | None] | None:
    if shown := from_environment(_BEARER):
        return shown
    access_key, secret_key = map(from_environment, _PAIR)
    if access_key is None or secret_key is None:
        return None
    session = from_environment(_SESSION)
    return {"access_key": access_key, "secret_key": secret_key, "session_token": session}
