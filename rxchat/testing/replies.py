"""What the local server does with a request, as a value.

A reply says pieces, in the words of the service that was asked, or it sends raw bytes; then it
ends, well or badly. What can be measured in bytes (`cuts`, `after`, `Exchange.sent`) counts the
body before it is compressed and framed.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from importlib import import_module
from importlib.util import find_spec
from itertools import count, pairwise
from typing import Any, Final, Literal, NamedTuple, TypeAlias, get_args

import msgspec
from attrs import frozen

from rxchat.events import Event

__all__ = [
    "CODECS",
    "HOLD",
    "Codec",
    "Encoding",
    "Failure",
    "Framing",
    "Hold",
    "Part",
    "Piece",
    "Reply",
    "Then",
]


class Hold(Enum):
    """The type of `HOLD`, the piece at which a reply waits for `Exchange.release()`."""

    HOLD = "hold"


HOLD: Final = Hold.HOLD


@frozen
class Failure:
    """A failure that is reported inside an answer, whose HTTP status was 200.

    Each service has a form for it; `form` chooses another where there are several.
    """

    message: str = "the model failed"
    code: str = "server_error"
    form: str = ""


Piece: TypeAlias = str | Event | Hold | Failure
"""What a model says; a plain string is a piece of text."""

Part: TypeAlias = bytes | Hold
"""What goes into the body: bytes, with holds between them."""

Then: TypeAlias = Literal["end", "cut", "stall", "reset", "keepalive"]
Framing: TypeAlias = Literal["chunked", "length", "close"]
Encoding: TypeAlias = Literal["gzip", "deflate", "br"]


@frozen(init=False)
class Reply:
    """What to say, how to cut it, and how it ends.

    >>> Reply("Hello", " ", "world", pace=0.1).then
    'end'
    >>> Reply("Hello", HOLD, " world", then="reset").pieces[1]
    <Hold.HOLD: 'hold'>
    """

    pieces: tuple[Piece, ...]
    """What the model says."""
    pace: float
    """Seconds between writes."""
    cuts: int | tuple[int, ...] | None
    """Where the body is cut into writes: after every piece, every n bytes, or there."""
    status_code: int
    headers: Mapping[str, str]
    """More headers, or other values for those that the server sets."""
    content_type: str | None
    """None for the service's own, an empty string for no such header."""
    body: bytes | None
    """Raw bytes in place of pieces."""
    repeat: int
    """How often the raw bytes are sent: a big body that nobody needs to hold."""
    after: int | None
    """The number of body bytes after which `then` happens; None for after all of them."""
    then: Then
    """End the message; cut the connection; fall silent; reset the connection; only keep it alive.

    "end" is a clean end for HTTP wherever it comes. A silent or merely living reply lasts until
    the client leaves.
    """
    finish: bool | None
    """Whether the service's end marker follows the pieces; None for "if all goes well".

    So `Reply("a", finish=False)` stops short without any sign of it in HTTP, and
    `Reply("a", finish=True, then="stall")` lingers after everything is said.
    """
    framing: Framing
    """How HTTP tells where the body ends (RFC 9112, section 6)."""
    encoding: Encoding | None
    """How the body is compressed, flushed at every write so that it still streams."""
    headers_after: float | Hold
    """Seconds before the status line, or HOLD."""

    def __init__(
        self,
        *pieces: Piece,
        pace: float = 0.0,
        cuts: int | Sequence[int] | None = None,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        content_type: str | None = None,
        body: bytes | None = None,
        repeat: int = 1,
        after: int | None = None,
        then: Then = "end",
        finish: bool | None = None,
        framing: Framing = "chunked",
        encoding: Encoding | None = None,
        headers_after: float | Hold = 0.0,
    ) -> None:
        self.__attrs_init__(  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
            pieces=pieces,
            pace=pace,
            cuts=cuts if cuts is None or isinstance(cuts, int) else tuple(cuts),
            status_code=status_code,
            headers=dict(headers or {}),
            content_type=content_type,
            body=body,
            repeat=repeat,
            after=after,
            then=then,
            finish=finish,
            framing=framing,
            encoding=encoding,
            headers_after=headers_after,
        )
        for problem, applies in _IMPOSSIBLE.items():
            if applies(self):
                raise ValueError(f"impossible reply: {problem}")

    @classmethod
    def status(
        cls,
        code: int,
        message: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        body: bytes | None = None,
    ) -> Reply:
        """Say only a status, with a short JSON explanation unless another body is given.

        >>> Reply.status(429, "slow down", headers={"Retry-After": "2"}).body
        b'{"error":{"message":"slow down"}}'
        """
        if body is not None:
            content_type = "text/plain; charset=utf-8"
        elif code in _BODILESS:
            body, content_type = b"", ""
        else:
            explanation = {"error": {"message": message}} if json is None else json
            body, content_type = msgspec.json.encode(explanation), "application/json"
        return cls(
            status_code=code,
            headers=headers,
            content_type=content_type,
            body=body,
            framing="length",
        )

    @classmethod
    def html(cls, status_code: int = 200) -> Reply:
        """Show the page of a bot check, as a firewall before the service does."""
        return cls(
            status_code=status_code,
            headers={"Server": "cloudflare", "CF-RAY": "8a1b2c3d4e5f6789-FRA"},
            content_type="text/html; charset=UTF-8",
            body=_BOT_CHECK,
        )

    @classmethod
    def garbage(cls) -> Reply:
        """Send what is neither UTF-8 nor JSON nor any framing, under the service's own type."""
        return cls(body=b'\xff\xfe{"event": "te\x00xt", ]]\x80\n\ndata {\n\n\xc3(')

    @classmethod
    def empty(cls) -> Reply:
        """Accept the request and say nothing at all, not even an end marker."""
        return cls(body=b"")

    @classmethod
    def redirect(cls, location: str, status_code: int = 307) -> Reply:
        """Send the client elsewhere."""
        return cls(
            status_code=status_code,
            headers={"Location": location},
            content_type="",
            body=b"",
            framing="length",
        )

    @property
    def bodiless(self) -> bool:
        """Tell whether HTTP allows no body here (RFC 9110, section 6.4.1)."""
        return self.status_code in _BODILESS

    @property
    def finishes(self) -> bool:
        """Tell whether the end marker belongs to the body."""
        return self.then == "end" or self.after is not None if self.finish is None else self.finish

    def writes(self, parts: Iterable[Part]) -> Iterator[Part]:
        """Cut the parts of a body into what is written at once, up to `after`."""
        writes = _cut(parts, self.cuts)
        return filter(None, writes if self.after is None else _first(writes, self.after))

    def length(self, parts: Iterable[Part]) -> int:
        """Count the bytes that Content-Length promises: all of them, also if a failure follows."""
        codec = CODECS[self.encoding]()
        promised = self.writes(parts) if self.then == "end" else parts
        pieces = (part for part in promised if part and not isinstance(part, Hold))
        return sum(len(codec.encode(piece)) for piece in pieces) + len(codec.finish())


def _cut(parts: Iterable[Part], cuts: int | tuple[int, ...] | None) -> Iterator[Part]:
    """Move the borders between parts; a hold is a cut too: what is before it must be out."""
    if cuts is None:
        yield from parts
        return
    positions = count(cuts, cuts) if isinstance(cuts, int) else iter(cuts)
    position = next(positions, None)
    pending, start = bytearray(), 0
    for part in parts:
        if isinstance(part, Hold):
            yield bytes(pending)
            start += len(pending)
            pending.clear()
            yield part
            continue
        pending += part
        while position is not None and position <= start + len(pending):
            yield bytes(pending[: position - start])
            del pending[: position - start]
            start, position = position, next(positions, None)
    yield bytes(pending)


def _first(parts: Iterable[Part], size: int) -> Iterator[Part]:
    for part in parts:
        if isinstance(part, Hold):
            yield part
            continue
        yield part[:size]
        size -= len(part)
        if size <= 0:
            return


class Codec(NamedTuple):
    """A content coding in progress: `encode` gives all that the client needs for the data."""

    encode: Callable[[bytes], bytes]
    finish: Callable[[], bytes]


def _zlib(wbits: int) -> Codec:
    deflate = zlib.compressobj(wbits=wbits)

    def encode(data: bytes) -> bytes:
        return deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH)

    return Codec(encode, deflate.flush)


def _brotli() -> Codec:
    brotli = import_module("brotli").Compressor()

    def encode(data: bytes) -> bytes:
        encoded: bytes = brotli.process(data) + brotli.flush()
        return encoded

    return Codec(encode, brotli.finish)


# RFC 9110, section 8.4.1: "deflate" is the zlib format, not a bare deflate stream.
CODECS: Final[Mapping[Encoding | None, Callable[[], Codec]]] = {
    None: lambda: Codec(bytes, bytes),
    "gzip": lambda: _zlib(31),
    "deflate": lambda: _zlib(15),
    "br": _brotli,
}

_BODILESS: Final = frozenset({204, 304})

_BOT_CHECK: Final = b"""<!DOCTYPE html>
<html lang="en-US"><head><title>Just a moment...</title></head>
<body><div id="cf-please-wait"><noscript>Enable JavaScript and cookies to continue</noscript></div>
</body></html>
"""


def _foreign(pieces: tuple[object, ...]) -> bool:
    return not all(isinstance(piece, Piece) for piece in pieces)


def _misplaced(cuts: int | tuple[int, ...] | None) -> bool:
    if cuts is None or isinstance(cuts, int):
        return cuts is not None and cuts < 1
    return any(a >= b for a, b in pairwise((0, *cuts)))


_IMPOSSIBLE: Final[Mapping[str, Callable[[Reply], bool]]] = {
    "it says pieces and has a raw body": lambda it: bool(it.pieces) and it.body is not None,
    "a piece is a str, an event, a Failure or HOLD; bytes belong in body=": lambda it: _foreign(
        it.pieces
    ),
    "only a raw body can be repeated": lambda it: it.repeat != 1 and it.body is None,
    "a body is repeated at least once": lambda it: it.repeat < 1,
    "a raw body has no end marker": lambda it: it.finish is not None and it.body is not None,
    "there is no time before now": lambda it: (
        it.pace < 0 or (not isinstance(it.headers_after, Hold) and it.headers_after < 0)
    ),
    "cuts are a size or growing positions, from 1": lambda it: _misplaced(it.cuts),
    "after= is a number of bytes": lambda it: it.after is not None and it.after < 0,
    "a final status is between 200 and 599": lambda it: not 200 <= it.status_code <= 599,
    "this status has no body (RFC 9110)": lambda it: (
        it.bodiless and bool(it.pieces or it.body or it.then == "keepalive")
    ),
    f"then= is one of {get_args(Then)}": lambda it: it.then not in get_args(Then),
    f"framing= is one of {get_args(Framing)}": lambda it: it.framing not in get_args(Framing),
    f"encoding= is one of {get_args(Encoding)}": lambda it: it.encoding not in CODECS,
    "encoding='br' needs the package brotli": lambda it: (
        it.encoding == "br" and find_spec("brotli") is None
    ),
    "with framing='close' a cut is the same as an end": lambda it: (
        it.framing == "close" and it.then == "cut"
    ),
    "with framing='length' there is no room for keep-alive bytes": lambda it: (
        it.framing == "length" and it.then == "keepalive"
    ),
    "with framing='length' nothing can fail after all bytes: give after=": lambda it: (
        it.framing == "length" and it.then != "end" and it.after is None
    ),
    "a header is one line of Latin-1": lambda it: any(
        char in "\r\n" or char > "\xff"
        for text in (*it.headers, *it.headers.values(), it.content_type or "")
        for char in text
    ),
}
