"""Amazon's event stream: binary frames with typed headers, as Bedrock streams them."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID
from zlib import crc32

from msgspec import Struct

from rxchat.framing.decoder import LIMIT, FramingError

__all__ = ["AWSEventStream", "AWSFrame"]

HEADERS_LIMIT: Final = 128 * 1024

# A frame: the lengths of all of it and of its headers, the CRC of these two; the headers; the
# payload; the CRC of everything before. All numbers are big-endian.
_PRELUDE: Final = struct.Struct(">III")
_LENGTHS: Final = 8
_CRC: Final = struct.Struct(">I")
_AROUND: Final = _PRELUDE.size + _CRC.size

# A header: the length of its name, the name, the type of its value, the value.
_LENGTH: Final = struct.Struct(">H")
_NUMBERS: Final = {
    2: struct.Struct(">b"),
    3: struct.Struct(">h"),
    4: struct.Struct(">i"),
    5: struct.Struct(">q"),
}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class AWSFrame(Struct, frozen=True):
    """One message of an event stream."""

    headers: dict[str, Any]
    """bool, int, bytes, str, UUID, and a timestamp as a datetime.

    What a datetime cannot hold stays a number of milliseconds since 1970.
    """
    payload: bytes = b""

    @property
    def message_type(self) -> str:
        """The header `:message-type`: event, exception or error."""
        return str(self.headers.get(":message-type", "event"))

    @property
    def event(self) -> str:
        """The header `:event-type`, or what stands in its place in an exception or an error."""
        names = (":event-type", ":exception-type", ":error-code")
        return next((str(self.headers[name]) for name in names if name in self.headers), "")


class AWSEventStream:
    r"""Decodes `application/vnd.amazon.eventstream`; both checksums of every frame are checked.

    https://smithy.io/2.0/aws/amazon-eventstream.html

    >>> stream = AWSEventStream()
    >>> stream.feed(b"\0\0\0\x12\0\0\0\0\x7f\x02\x1b\x8b{}"), stream.feed(b"/\x92a\xfa")
    ([], [AWSFrame(headers={}, payload=b'{}')])

    `limit` is for the payload of a frame; its headers may have 128 KiB.
    """

    def __init__(self, *, limit: int = LIMIT) -> None:
        self._limit = limit
        self._bytes = bytearray()
        self._needed = _PRELUDE.size  # bytes that the next step takes
        self._last_headers = b"", dict[str, Any]()

    def feed(self, data: bytes, /) -> list[AWSFrame]:
        """Take the next bytes and give the frames that they complete."""
        held = self._bytes
        held += data
        frames: list[AWSFrame] = []
        at, whole = 0, len(held)
        try:
            while whole - at >= self._needed:
                if self._needed == _PRELUDE.size:
                    self._needed = self._length(held, at)
                else:
                    frames.append(self._frame(bytes(memoryview(held)[at : at + self._needed])))
                    at += self._needed
                    self._needed = _PRELUDE.size
        except FramingError as error:
            error.before = list(frames)
            raise
        del held[:at]
        return frames

    def close(self) -> list[AWSFrame]:
        """Take the end of the input, which must be the end of a frame."""
        if self._bytes:
            raise FramingError("a frame is cut short", "truncated", excerpt=self._bytes)
        return []

    def _length(self, held: bytearray, at: int) -> int:
        """The length of a frame of which the beginning is here."""
        length, headers, crc = _PRELUDE.unpack_from(held, at)
        if crc32(memoryview(held)[at : at + _LENGTHS]) != crc:
            raise _broken("the checksum of a frame's lengths is wrong", held[at:])
        payload = length - headers - _AROUND
        if payload < 0:
            raise _broken("a frame is shorter than its headers", held[at:])
        if headers > HEADERS_LIMIT or payload > self._limit:
            raise FramingError("a frame is too long", "too-long", excerpt=held[at:])
        return int(length)

    def _frame(self, frame: bytes) -> AWSFrame:
        crc = len(frame) - _CRC.size
        if crc32(memoryview(frame)[:crc]) != _CRC.unpack_from(frame, crc)[0]:
            raise _broken("the checksum of a frame is wrong", frame)
        payload = _PRELUDE.size + _PRELUDE.unpack_from(frame)[1]
        raw = frame[_PRELUDE.size : payload]
        # Nearly every frame has the headers of the one before it.
        if raw != self._last_headers[0]:
            try:
                headers = _headers(raw)
            except (IndexError, ValueError, struct.error) as error:
                raise _broken(f"the headers of a frame cannot be read: {error}", raw) from None
            self._last_headers = raw, headers
        return AWSFrame(dict(self._last_headers[1]), frame[payload:crc])


def _broken(message: str, what: bytes | bytearray) -> FramingError:
    return FramingError(message, "invalid-frame", excerpt=what)


def _headers(raw: bytes) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    at = 0
    while at < len(raw):
        name, at = _sized(raw, at + 1, raw[at])
        key = name.decode()
        if not key or key in headers:
            raise ValueError(f"the name {key!r} is empty or comes twice")
        headers[key], at = _value(raw, at + 1, raw[at])
    return headers


def _value(raw: bytes, at: int, kind: int) -> tuple[Any, int]:
    """The value of this type, and where it ends."""
    match kind:
        case 0 | 1:
            return kind == 0, at
        case 2 | 3 | 4 | 5:
            number = _NUMBERS[kind]
            return number.unpack_from(raw, at)[0], at + number.size
        case 6 | 7:
            value, end = _sized(raw, at + _LENGTH.size, _LENGTH.unpack_from(raw, at)[0])
            return (value if kind == 6 else value.decode()), end
        case 8:
            return _moment(_NUMBERS[5].unpack_from(raw, at)[0]), at + 8
        case 9:
            value, end = _sized(raw, at, 16)
            return UUID(bytes=value), end
        case _:
            raise ValueError(f"there is no type {kind}")


def _sized(raw: bytes, at: int, size: int) -> tuple[bytes, int]:
    if at + size > len(raw):
        raise ValueError("they are cut short")
    return raw[at : at + size], at + size


def _moment(milliseconds: int) -> datetime | int:
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return milliseconds
