"""What every framing has in common: the shape of a decoder, its error, and how bytes wait."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, Protocol, TypeAlias, TypeVar

__all__ = ["BOM", "LIMIT", "Decoder", "FramingError", "Kind", "WholeParts"]

BOM: Final = BOM_UTF8
LIMIT: Final = 16 * 2**20  # bytes that one event, line or element may have

In = TypeVar("In", contravariant=True)
Out = TypeVar("Out", covariant=True)

Kind: TypeAlias = Literal["invalid-json", "invalid-utf8", "invalid-frame", "truncated", "too-long"]


class Decoder(Protocol[In, Out]):
    """Turns the pieces of one answer into what they mean."""

    def feed(self, data: In, /) -> Iterable[Out]:
        """Take the next piece and give what it completes."""
        ...

    def close(self) -> Iterable[Out]:
        """Take the end of the input: give what is left, or raise what is wrong with it."""
        ...


class FramingError(ValueError):
    """The bytes are not what the framing says; the decoder that raised it can go no further.

    `before` has what the same call had decoded by then, so that nothing valid is lost: use it,
    then fail. `excerpt` is the beginning of what could not be read.
    """

    def __init__(
        self,
        message: str,
        kind: Kind = "invalid-json",
        *,
        excerpt: bytes | bytearray = b"",
        before: Sequence[Any] = (),
    ) -> None:
        self.kind: Kind = kind
        self.excerpt = excerpt[:800].decode("utf-8", "replace")[:200]
        self.before = list(before)
        super().__init__(message)


class WholeParts:
    """Gives bytes up to the last `end` in them, holds back the rest, and drops a leading BOM.

    Only new bytes are searched, and held ones are copied once, when their end has come: a long
    part in many pieces takes linear time. When a part is over the limit, `overlong` has it, and
    what is given stops before it.
    """

    def __init__(self, end: bytes, limit: int) -> None:
        self.overlong = b""
        self._end = end
        self._limit = limit
        self._held = bytearray()
        self._at_start = True
        self._between = False  # past the start, and nothing is held

    def feed(self, data: bytes) -> bytes:
        """Take the next piece and give the parts that are whole, each with its end."""
        if self._between and data.endswith(self._end) and len(data) <= self._limit:
            return data  # as most reads are, for otherwise the last part would be waiting
        held, end = self._held, self._end
        cut = data.rfind(end) + len(end)
        if cut < len(end):  # not found; the cut may have gone through the middle of an end
            cut = 1 if end in held[-1:] + data[:1] else 0
        if cut:
            whole = b"".join((held, memoryview(data)[:cut]))
            held[:] = data[cut:]
        else:
            whole = b""
            held += data
        if len(whole) > self._limit or len(held) > self._limit:
            whole = self._within_limit(whole)
        if whole and self._at_start:
            whole = self._without_bom(whole)
        self._between = not (held or self._at_start)
        return whole

    def rest(self) -> bytes:
        """Give what is still held at the end of the input."""
        rest = bytes(self._held)
        self._held.clear()
        return self._without_bom(rest) if self._at_start else rest

    def _within_limit(self, whole: bytes) -> bytes:
        at = 0
        for part in (*whole.split(self._end), bytes(self._held)):
            if len(part.strip(b"\n")) > self._limit:
                self.overlong = part
                return whole[:at]
            at += len(part) + len(self._end)
        return whole

    def _without_bom(self, data: bytes) -> bytes:
        self._at_start = False
        return data.removeprefix(BOM)
