"""The colours of all pictures, light and dark; all kinds of eyes tell them apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from attrs import frozen

from rxchat.errors import UsageError

__all__ = ["PALETTES", "AutoTheme", "Palette", "Theme", "palette_of"]

Theme: TypeAlias = Literal["light", "dark"]
AutoTheme: TypeAlias = Theme | Literal["auto"]
"""`auto` is that of the reader's screen."""


@frozen
class Palette:
    """The colours of a theme."""

    paper: str
    ink: str
    quiet: str
    rule: str
    raised: str
    fault: str
    hues: tuple[str, ...]

    def hue(self, number: int) -> str:
        return self.hues[number % len(self.hues)]


# The hues are those of https://jfly.uni-koeln.de/color/ without its red, which is for errors.
PALETTES: Mapping[Theme, Palette] = {
    "light": Palette(
        paper="#ffffff",
        ink="#1b2430",
        quiet="#66717f",
        rule="#e3e7ec",
        raised="#f4f6f9",
        fault="#c8400a",
        hues=("#0072b2", "#d98e00", "#009e73", "#c2669a", "#3fa0d8", "#86693a"),
    ),
    "dark": Palette(
        paper="#12161d",
        ink="#e8edf3",
        quiet="#93a0b0",
        rule="#2a323d",
        raised="#1b222c",
        fault="#ff8a5c",
        hues=("#4db2f0", "#f2b53a", "#2fc99e", "#ea9fc8", "#93d5f8", "#cbae74"),
    ),
}


def palette_of(theme: Theme) -> Palette:
    """The colours that are meant."""
    if theme not in PALETTES:
        raise UsageError(f"theme= is {' or '.join(map(repr, PALETTES))}, not {theme!r}")
    return PALETTES[theme]
