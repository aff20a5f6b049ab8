"""Where a service's key comes from, and how it is shown to the service and to nobody else."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from os import environ
from typing import Any, Protocol, TypeAlias, cast

import attrs

from rxchat.errors import CallbackFailed, MissingSetting, UsageError
from rxchat.request import Request, Secret
from rxchat.signing import Signature, bearer, header_key

__all__ = [
    "SHOWN_IN",
    "Auth",
    "Key",
    "KeyGiven",
    "Setting",
    "clean",
    "from_environment",
    "signing",
]

KeyParts: TypeAlias = str | Mapping[str, str]
KeyGiven: TypeAlias = KeyParts | Callable[[], KeyParts]
"""A key; several that belong together; or a function that is asked for either at every attempt."""


class Auth(Protocol):
    """How a service is shown who asks."""

    def __call__(self, key: Any, setting: Callable[[str], str], /) -> Signature | None:
        """The signature with a key, or with one of the environment; None if there is none.

        `setting` gives the value of a setting by its name, as a region.
        """
        ...

    @property
    def missing(self) -> str | None:
        """What to say when there is no key; None if none is needed."""
        ...


SHOWN_IN = ("authorization", "x-api-key", "api-key", "x-goog-api-key")
"""Headers that services want a key in: one that a user has set stands for it."""


def clean(key: object) -> Secret:
    """A key as it can stand in a header; what is wrong with it is said without showing it."""
    if isinstance(key, Coroutine):
        key.close()
        raise UsageError("key comes of an async function: let it be a plain one")
    if not isinstance(key, str):
        kind = type(key).__name__
        raise UsageError(f"key must be text, or a function that gives one, not {kind}")
    key = Secret(key.strip())
    if not key or not re.fullmatch("[!-~]+", key):
        raise UsageError("key is empty, or has spaces, line breaks or non-ASCII characters in it")
    return key


def hidden(key: object) -> object:
    """A key that no traceback shows, whoever prints its variables."""
    if isinstance(key, str):
        return Secret(key)
    if isinstance(key, Mapping):
        return {name: hidden(part) for name, part in cast("Mapping[str, Any]", key).items()}
    return key


def signing(key: Any, signed_with: Callable[[Any], Signature]) -> Signature:
    """The signature with a key, or with what a function gives at the moment of each attempt."""
    if not callable(key):
        return signed_with(key)

    def with_the_key_of_the_moment(request: Request) -> Request:
        try:
            given = hidden(key())
        except Exception as bug:  # the user's own, and no failure of the service
            raise CallbackFailed.by(bug) from bug
        return signed_with(given)(request)

    return with_the_key_of_the_moment


def from_environment(*variables: str) -> Secret | None:
    """The value of the first of these variables that has one."""
    for name in filter(environ.__contains__, variables):  # `get` raises within, and is slow
        if value := environ[name]:
            return Secret(value)
    return None


def _names(variables: str | tuple[str, ...]) -> tuple[str, ...]:
    return (variables,) if isinstance(variables, str) else variables


@attrs.frozen
class Key:
    """One key, given or in one of these variables of the environment."""

    variables: tuple[str, ...] = attrs.field(converter=_names)
    signature: Callable[[str], Signature] = bearer
    needed: bool = True

    def __call__(self, key: Any, setting: Callable[[str], str], /) -> Signature | None:
        key = key or from_environment(*self.variables)
        return None if key is None else signing(key, lambda given: self.signature(clean(given)))

    @property
    def missing(self) -> str | None:
        where = f", or set {' or '.join(self.variables)}" if self.variables else ""
        return f"pass key=...{where}" if self.needed else None

    def header(self, setting: Callable[[str], str]) -> str | None:
        """The header that it goes in, for who looks; None if a signature of yours knows that."""
        by: object = self.signature
        if isinstance(by, partial) and by.func is header_key:
            return str(by.args[0])
        return "Authorization" if by is bearer else None


@attrs.frozen
class Setting:
    """A part of an address or a header: given, in the environment, or by default.

    Without a default it is needed.
    """

    variables: tuple[str, ...] = attrs.field(default=(), converter=_names)
    default: str | None = None

    def value(self, name: str, given: str | None) -> str:
        """What stands in its place."""
        value = given
        if value is None:
            found = from_environment(*self.variables)
            value = self.default if found is None else str(found)
        if value is None:
            where = f", or set {' or '.join(self.variables)}" if self.variables else ""
            raise MissingSetting(f"{name} is missing: pass {name}=...{where}")
        return value
