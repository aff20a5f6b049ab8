"""Untrusted words, counts and times, as pictures and tables say them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

__all__ = ["aligned", "columns", "counted", "cut", "seconds", "visible"]

ELLIPSIS = "…"
_SIGNS = {
    "\n": "⏎",
    "\t": "⇥",
    "\r": "␍",
    "\xa0": " ",
    "\u202f": " ",
    "\u3000": "\u3000",
    "\u200d": "\u200d",  # joins emoji
}


def visible(words: str) -> str:
    """The words as one line that does nothing: no control sign, no change of direction.

    >>> visible("a\\nb\\x1b[31m\\u202e")
    'a⏎b\\\\x1b[31m\\\\u202e'
    """
    return "".join(
        _SIGNS.get(sign) or (sign if sign.isprintable() else repr(sign)[1:-1]) for sign in words
    )


def columns(words: str) -> int:
    """How many columns of a terminal they take.

    >>> columns("abc"), columns("語"), columns("e\\u0301")
    (3, 2, 1)
    """
    return sum(map(_width, words))


def _width(sign: str) -> int:
    if sign < "\x7f":  # as nearly all are
        return 1
    if unicodedata.combining(sign) or sign == "\u200d":
        return 0
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1


def cut(words: str, width: int) -> str:
    """The words, or as much as there is room for.

    >>> cut("hello", 5), cut("hello", 4)
    ('hello', 'hel…')
    """
    taken = end = 0
    for place, sign in enumerate(words, 1):
        taken += _width(sign)
        if taken > width:
            return words[:end] + ELLIPSIS if width > 0 else ""
        if taken < width:
            end = place
    return words


def counted(number: int, thing: str) -> str:
    """So many of them, in words.

    >>> counted(1, "run"), counted(1200, "run")
    ('1 run', '1,200 runs')
    """
    return f"{number:,} {thing}{'s' * (number != 1)}"


def seconds(span: float) -> str:
    """A time in words.

    >>> seconds(0), seconds(0.0042), seconds(0.25), seconds(1.5), seconds(75)
    ('0 ms', '4.2 ms', '250 ms', '1.50 s', '75.0 s')
    """
    if span < 0.9995:
        return f"{span * 1e3:.1f} ms" if 0 < span < 0.00995 else f"{span * 1e3:.0f} ms"
    return f"{span:.2f} s" if span < 9.995 else f"{span:.1f} s"


def aligned(rows: Sequence[Sequence[str]], right: int) -> str:
    """Rows below each other; from column `right` on, they are numbers.

    >>> print(aligned([["who", "much"], ["Ann", "1"], ["Bo", "23"]], right=1))
    who  much
    Ann     1
    Bo     23
    """
    widths = [max(map(columns, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            " " * room + cell if at >= right else cell + " " * room
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
            for room in (width - columns(cell),)
        ).rstrip()
        for row in rows
    )
