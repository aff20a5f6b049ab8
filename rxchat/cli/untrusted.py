"""Text from models is untrusted: what moves a terminal's cursor or sets its title is taken out."""

from __future__ import annotations

__all__ = ["clean", "one_line"]

# C0, DEL and C1: ESC, and CSI and OSC as one character, are among them (ECMA-48, section 5).
_CONTROLS = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)))
_HARMFUL = {code: gone for code, gone in _CONTROLS.items() if chr(code) not in "\n\t"}


def clean(text: str) -> str:
    r"""The text without control characters, but for line breaks and tabs; the same at any cut.

    >>> clean("\x1b]0;mine now\x07\x9b2J\ttab\r\n")
    ']0;mine now2J\ttab\n'
    """
    return text.translate(_HARMFUL)


def one_line(text: str) -> str:
    """All that can be seen of a text, in one line."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
