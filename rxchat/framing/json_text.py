"""One JSON text: how it is read when it is not quite right, and refused when it is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from rxchat.framing.decoder import FramingError, Kind

__all__ = ["read_json"]

T = TypeVar("T")

_ESCAPE: Final = re.compile(
    rb"""( \\ [^u] | \\u d[89ab]hh \\u d[c-f]hh )  # a short escape, or a pair of surrogates
         | \\u d[89a-f]hh                            # a surrogate alone
    """.replace(b"hh", b"[0-9a-f]{2}"),
    re.IGNORECASE | re.VERBOSE,
)


def _is_unfinished(text: bytes, complaint: str) -> bool:
    """Tell whether more bytes could have made it right: a number may be cut after its sign."""
    return complaint in (
        "Input data was truncated",
        f"JSON is malformed: invalid number (byte {len(text)})",
        f"JSON is malformed: invalid character (byte {len(text)})" if text[-1:] == b"-" else "",
    )


def read_json(
    decode: Callable[[bytes], T],
    text: bytes | bytearray | str,
    *,
    at_end: bool = False,
    before: Sequence[Any] = (),
) -> T:
    r"""Read a JSON text that `decode` may have refused, or raise a FramingError that says why.

    Models cut an emoji in two now and then: half of one, as an escape, is legal JSON by RFC 8259
    but no text; it becomes U+FFFD. `at_end` says that the text may be cut short by the end of
    the input.

    >>> import msgspec
    >>> read_json(msgspec.json.decode, r'{"text": "half: \ud83d"}')
    {'text': 'half: �'}
    """
    whole = text.encode("utf-8", "replace") if isinstance(text, str) else bytes(text)
    whole = _ESCAPE.sub(lambda escape: escape[1] or rb"\ufffd", whole)
    try:
        return decode(whole)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        kind: Kind = "invalid-json"
        if isinstance(error, UnicodeDecodeError):
            kind = "invalid-utf8"
        elif at_end and _is_unfinished(whole, str(error)):
            kind = "truncated"
        raise FramingError(str(error), kind, excerpt=whole, before=before) from error
