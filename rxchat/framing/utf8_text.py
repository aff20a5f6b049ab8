"""Plain text, as the services stream it that have no framing at all."""

from __future__ import annotations

from codecs import getincrementaldecoder
from typing import Final, Literal

from rxchat.framing.decoder import FramingError

__all__ = ["Utf8Text"]

_UTF8: Final = getincrementaldecoder("utf-8")


class Utf8Text:
    r"""Decodes UTF-8 to pieces of text that are never empty and never have half a character.

    https://encoding.spec.whatwg.org/#utf-8-decode

    >>> text = Utf8Text()
    >>> text.feed(b"caf\xc3"), text.feed(b"\xa9"), text.close()
    (['caf'], ['é'], [])

    As the standard says, a leading BOM is dropped and what is not UTF-8 becomes U+FFFD, or with
    `Utf8Text("strict")` an error.
    """

    def __init__(self, errors: Literal["replace", "strict"] = "replace") -> None:
        self._decoder = _UTF8(errors)
        self._at_start = True

    def feed(self, data: bytes, /) -> list[str]:
        """Take the next bytes and give their text, but for a character that is not whole yet."""
        return self._pieces(data)

    def close(self) -> list[str]:
        """Take the end of the input and give U+FFFD for a character that was never whole."""
        return self._pieces(b"", final=True)

    def _pieces(self, data: bytes, *, final: bool = False) -> list[str]:
        broken: UnicodeDecodeError | None = None
        try:
            text = self._decoder.decode(data, final)
        except UnicodeDecodeError as error:
            broken, text = error, error.object[: error.start].decode()
        if text and self._at_start:
            self._at_start = False
            text = text.removeprefix("\ufeff")
        pieces = [text] if text else []
        if broken is not None:
            rest = broken.object[broken.start :]
            raise FramingError(broken.reason, "invalid-utf8", excerpt=rest, before=pieces)
        return pieces
