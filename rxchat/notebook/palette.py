"""The colours of all pictures, light and dark; all kinds of eyes tell them apart."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

__all__ = ["PALETTES", "Palette"]


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
PALETTES: Mapping[str, Palette] = {
    "light": Palette(
        *("#ffffff", "#1b2430", "#66717f", "#e3e7ec", "#f4f6f9", "#c8400a"),
        hues=("#0072b2", "#d98e00", "#009e73", "#c2669a", "#3fa0d8", "#86693a"),
    ),
    "dark": Palette(
        *("#12161d", "#e8edf3", "#93a0b0", "#2a323d", "#1b222c", "#ff8a5c"),
        hues=("#4db2f0", "#f2b53a", "#2fc99e", "#ea9fc8", "#93d5f8", "#cbae74"),
    ),
}
