"""What goes on the wire, as a value."""

from __future__ import annotations

import math
import re
import ssl
from collections.abc import Iterator, Mapping
from functools import reduce
from typing import Any, Self
from urllib.parse import urlsplit

import attrs
import msgspec

__all__ = [
    "Headers",
    "Request",
    "Route",
    "Secret",
    "Timeout",
    "as_headers",
    "is_http",
    "without_password",
]

# Values of headers with such a word in their name are never shown.
SECRET = re.compile("key|token|secret|auth|cookie|password|credential")
_UNSENDABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
SHORTEST_KEY = 6  # characters; a shorter one is no secret, and may be a word of a message
# Media types of answers: what `Request.expects` may say.
PLAIN_TEXT, JSON_LINES, EVENT_STREAM = "text/plain", "application/x-ndjson", "text/event-stream"
JSON, AWS_EVENT_STREAM = "application/json", "application/vnd.amazon.eventstream"


class Headers(Mapping[str, str]):
    """Header fields: a name keeps its spelling and is found in any; secrets are not shown."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[str, str] | None = None) -> None:
        self._fields = {name.lower(): (name, value) for name, value in (fields or {}).items()}
        for name, value in self._fields.values():
            if not name or _UNSENDABLE.search(name) or _UNSENDABLE.search(value):
                raise ValueError(f"header {name!r} must not contain a line break or the like")

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower()][1]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._fields.values())

    def __len__(self) -> int:
        return len(self._fields)

    def __or__(self, more: Mapping[str, str]) -> Headers:
        merged = Headers()
        merged._fields = self._fields | as_headers(more)._fields
        return merged

    def plain(self) -> dict[str, str]:
        """The fields with their names as they are spelled."""
        return dict(self._fields.values())

    def secrets(self) -> list[str]:
        """The values that are not shown."""
        return [value for key, (_, value) in self._fields.items() if _is_secret(key, value)]

    def but(self, name: str, value: str | None) -> Headers:
        """The same fields with one of them changed, or left out."""
        if value is not None:
            return self | {name: value}
        changed = Headers()
        changed._fields = {**self._fields}
        changed._fields.pop(name.lower(), None)
        return changed

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Headers):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash(frozenset(self._values().items()))

    def __repr__(self) -> str:
        return repr(
            {
                name: "***" if _is_secret(key, value) else self._without_keys(value)
                for key, (name, value) in self._fields.items()
            }
        )

    def keys_within(self) -> tuple[str, ...]:
        """The keys in the values that are not shown."""
        last = (value.rpartition(" ")[2] for value in self.secrets())
        return tuple(key for key in last if len(key) >= SHORTEST_KEY)

    def _without_keys(self, value: str) -> str:
        """A value that may be shown, but for a key that also stands in one that may not."""
        return reduce(lambda shown, key: shown.replace(key, "***"), self.keys_within(), value)

    def _values(self) -> dict[str, str]:
        return {key: value for key, (_, value) in self._fields.items()}


def _is_secret(key: str, value: str) -> bool:
    return bool(value) and (isinstance(value, Secret) or SECRET.search(key) is not None)


def as_headers(fields: Mapping[str, str] | None) -> Headers:
    """These fields, checked once."""
    return fields if isinstance(fields, Headers) else Headers(fields)


@attrs.frozen
class Timeout:
    """How long to wait for the network, in seconds; None is for ever.

    `connect` is for the connection alone; `silence` is the longest gap without a byte. There is
    no limit on the whole: a long answer is a good answer.
    """

    connect: float | None = 10.0
    silence: float | None = 300.0

    def __attrs_post_init__(self) -> None:
        for name, value in attrs.asdict(self).items():
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} must be more than 0 seconds, or None, not {value!r}")

    @classmethod
    def of(cls, value: Timeout | float | None) -> Timeout:
        """A number of seconds stands for both."""
        return value if isinstance(value, Timeout) else cls(value, value)


def without_password(url: str) -> str:
    """An address as it may be shown: without what may be secret in it, however it is written."""
    _, scheme_ends, rest = url.partition("://")
    authority = re.split("[/?#]", rest, maxsplit=1)[0] if scheme_ends else url
    _, at, host = authority.rpartition("@")
    shown = url.replace(authority, f"***@{host}", 1) if at else url
    return re.sub(r"(?s)[?#].*", "?***", shown)


class Secret(str):
    """Text that is sent but not shown: a key, a token."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def is_http(url: str | None) -> bool:
    """Tell whether an address is a whole one that a request may go to."""
    try:
        parts = urlsplit(url or "")
    except ValueError:  # of an IPv6 address that is none
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def _shown(url: str | None) -> str:
    return repr(url and without_password(url))


@attrs.frozen
class Route:
    """The way a request takes: none of this is seen by the service."""

    proxy: str | None = attrs.field(default=None, repr=_shown)
    timeout: Timeout = Timeout()
    ssl: ssl.SSLContext | None = attrs.field(default=None, repr=False)
    session: Any = attrs.field(default=None, repr=False)  # an aiohttp.ClientSession

    def __attrs_post_init__(self) -> None:
        if self.proxy not in (None, "env") and not is_http(self.proxy):
            raise ValueError(
                f"{_shown(self.proxy)} must be an http:// or https:// address, "
                'or "env" to take it from HTTP_PROXY, HTTPS_PROXY and NO_PROXY'
            )
        if self.session is not None and not hasattr(self.session, "request"):
            raise TypeError(f"must be an aiohttp.ClientSession, not {type(self.session).__name__}")
        if not isinstance(self.ssl, ssl.SSLContext | None):
            raise TypeError(
                f"must be an ssl.SSLContext, not {type(self.ssl).__name__}: certificates are "
                "always verified; load your own with ssl.create_default_context(cafile=...)"
            )


def _size(body: bytes) -> str:
    return f"<{len(body)} bytes>"


@attrs.frozen
class Request:
    """One HTTP request, ready to be signed and sent.

    `expects` is the media type of the answer: where it is plain text, a JSON object that says
    `error` is read as one; where it is an event stream, any JSON is.
    """

    method: str
    url: str = attrs.field(repr=_shown)
    headers: Headers = attrs.field(factory=Headers, converter=as_headers)
    body: bytes = attrs.field(default=b"", repr=_size)
    expects: str | None = None
    name: str | None = None
    route: Route = Route()

    @classmethod
    def post(cls, url: str, json: object, **fields: Any) -> Request:
        """A POST of a JSON body."""
        return cls("POST", url, body=msgspec.json.encode(json), **fields)

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return msgspec.json.decode(self.body)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The keys in it, which no message may show."""
        return self.headers.keys_within()

    def but(self, *, json: object = None, headers: Mapping[str, str] | None = None) -> Self:
        """The same request with another JSON body or more headers."""
        body = self.body if json is None else msgspec.json.encode(json)
        fields = self.headers | (headers or {})
        return type(self)(self.method, self.url, fields, body, self.expects, self.name, self.route)
