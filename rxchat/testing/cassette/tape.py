"""What a cassette has in its file: recordings as facts, and as JSON that people can read.

    {
      "cassette": 1,
      "recordings": [
        {
          "request": {"method": "POST", "url": ..., "headers": {...}, "body": ["text", "..."]},
          "answer": {"after": 0.31, "status": 200, "headers": {...}},
          "reads": [
            [0.0, "text", "data: ..."],
            [0.042, "base64", "4pyT"]
          ],
          "end": {"after": 0.0, "how": "end"}
        }
      ]
    }

Every `after` is in seconds: of the answer since it was asked for, of a read since the one before.
A read is text where its bytes are UTF-8 by themselves. `how` it ended is "end", "hung up" (by its
reader), or the name of the error's class. You may edit the file; in a request's address and body
`***` stands for anything.
"""

from __future__ import annotations

import builtins
import json
import secrets
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any, Final, Literal, Self, cast

import msgspec
from msgspec import Struct

from rxchat import errors
from rxchat.errors import ChatError, UsageError
from rxchat.testing.cassette.cleaning import GAP

__all__ = ["HUNG_UP", "Answer", "End", "Read", "Recording", "Request", "Said", "load", "save"]

VERSION: Final = 1
HUNG_UP: Final = "hung up"

Form = Literal["text", "base64"]


class Said(Struct, frozen=True, array_like=True):
    """Bytes, as text if they are some."""

    form: Form
    said: str

    @classmethod
    def of(cls, data: bytes) -> Self:
        """These bytes."""
        return cls(*_form(data))

    @property
    def data(self) -> bytes:
        """The bytes."""
        return _bytes(self.form, self.said)


class Read(Struct, frozen=True, array_like=True):
    """What came at once, so many seconds after what came before."""

    after: float
    form: Form
    said: str

    @classmethod
    def of(cls, after: float, data: bytes) -> Self:
        """These bytes, after so many seconds."""
        return cls(after, *_form(data))

    @property
    def data(self) -> bytes:
        """The bytes."""
        return _bytes(self.form, self.said)


def _form(data: bytes) -> tuple[Form, str]:
    try:
        return "text", data.decode()
    except UnicodeDecodeError:
        return "base64", b64encode(data).decode()


def _bytes(form: Form, said: str) -> bytes:
    return said.encode() if form == "text" else b64decode(said, validate=True)


class Request(Struct, frozen=True):
    """What was asked."""

    method: str
    url: str
    headers: dict[str, str]
    body: Said

    def is_exactly(self, method: str, url: str, body: bytes) -> bool:
        """Tell whether this is asked, letter by letter."""
        return (self.method, self.url, self.body.data) == (method, url, body)

    def is_like(self, method: str, url: str, body: bytes) -> bool:
        """Tell whether this is asked, with anything in the place of what was taken out."""
        return (
            self.method == method
            and _like(self.url.encode(), url.encode())
            and _like(self.body.data, body)
        )


def _like(pattern: bytes, data: bytes) -> bool:
    first, *others = pattern.split(GAP.encode())
    if not others:
        return pattern == data
    *middle, last = others
    if not data.startswith(first):
        return False
    at = len(first)
    for piece in middle:
        found = data.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    return len(data) - at >= len(last) and data.endswith(last)


class Answer(Struct, frozen=True):
    """The head of an answer."""

    after: float
    status: int
    headers: dict[str, str]


class End(Struct, frozen=True, omit_defaults=True):
    """How it ended, so many seconds after what came last."""

    after: float
    how: str
    reason: str = ""
    status: int | None = None  # of a proxy that does not connect
    cause: str = ""  # the class of the error behind it

    @classmethod
    def by(cls, error: Exception, after: float) -> Self:
        """An end by an error: its class, and what the transport tells of it."""
        certificate = getattr(error, "certificate_error", None)
        reason = getattr(error, "strerror", None) or getattr(certificate, "verify_message", None)
        if isinstance(error, ChatError):
            reason = error.message
        cause = error.__cause__
        known = "" if cause is None else _known(cause)
        status = getattr(error, "status", None)
        return cls(after, _known(error), str(reason or ""), status, known)

    @property
    def error(self) -> Exception | None:
        """An error like the one that ended it; None if none did."""
        if self.how in ("end", HUNG_UP):
            return None
        error = _like_it(self.how, self)
        if self.cause:
            error.__cause__ = _like_it(self.cause, self)
        return error


class Recording(Struct, frozen=True):
    """One request and what came of it; without an answer, it ended before there was any."""

    request: Request
    answer: Answer | None
    reads: list[Read]
    end: End


class _Tape(Struct, frozen=True):
    cassette: int
    recordings: list[Recording]


# Errors -------------------------------------------------------------------------------------------


def _known(error: BaseException) -> str:
    """The name of the most exact class of an error that can be found again."""
    names = (kind.__name__ for kind in type(error).__mro__ if _kind(kind.__name__) is kind)
    return next(names, "Exception")


def _kind(name: str) -> type[Exception] | None:
    import aiohttp
    from aiohttp import http_exceptions

    for place in (aiohttp, http_exceptions, errors, builtins):
        found = getattr(place, name, None)
        if isinstance(found, type) and issubclass(found, Exception):
            return found
    return None


def _like_it(name: str, end: End) -> Exception:
    """An error of this class, made without the connection that aiohttp makes its errors from."""
    kind = _kind(name)
    if kind is None:
        raise UsageError(f"a cassette says that an error was {name!r}, which is unknown")
    if issubclass(kind, ChatError):
        return kind(end.reason)

    def told(error: Exception) -> str:
        return end.reason or name

    def init(error: Exception) -> None:
        """Nothing of a connection."""

    made = type(name, (kind,), {"__init__": init, "__str__": told, "__repr__": told})
    error = cast("Exception", made())
    if isinstance(error, OSError) and end.reason:
        error.strerror = end.reason
    if end.status is not None:
        vars(error)["status"] = end.status
    return error


# The file -----------------------------------------------------------------------------------------


def load(path: Path) -> list[Recording]:
    """Read the recordings of a file."""
    try:
        tape = msgspec.json.decode(path.read_bytes(), type=_Tape)
        for recording in tape.recordings:
            _ = [read.data for read in recording.reads], recording.request.body.data
            _ = recording.end.error
    except FileNotFoundError:
        raise UsageError(f'{path} is not there to be played: record it with mode="once"') from None
    except ValueError as error:  # also of JSON, of base64 and of ours
        raise UsageError(f"{path} is no cassette: {error}") from None
    if tape.cassette != VERSION:
        raise UsageError(f"{path} is a cassette of version {tape.cassette}: record it again")
    return tape.recordings


def save(path: Path, recordings: list[Recording]) -> None:
    """Write a file, wholly or not at all."""
    text = _written(msgspec.to_builtins(_Tape(VERSION, recordings))) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        part.write_text(text, encoding="utf-8", newline="\n")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _written(value: Any, margin: str = "\n") -> str:
    """JSON with one line for each thing that holds no other."""
    inner = margin + "  "
    if isinstance(value, dict) and value:
        fields = cast("dict[str, Any]", value).items()
        lines = [f"{json.dumps(name)}: {_written(item, inner)}" for name, item in fields]
        return "{" + inner + f",{inner}".join(lines) + margin + "}"
    if isinstance(value, list | tuple):
        items = cast("list[Any]", value)
        if any(isinstance(item, list | tuple | dict) for item in items):
            lines = [_written(item, inner) for item in items]
            return "[" + inner + f",{inner}".join(lines) + margin + "]"
    return json.dumps(value, ensure_ascii=False)
