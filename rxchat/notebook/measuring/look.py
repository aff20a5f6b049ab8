"""How charts look, light and dark: as the timelines do."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from typing import Any
from warnings import catch_warnings, filterwarnings

from rxchat.errors import UsageError
from rxchat.notebook.measuring.measurements import Theme
from rxchat.notebook.palette import PALETTES, Palette

__all__ = ["drawing", "look_of"]


def look_of(theme: Theme) -> Palette:
    """The colours that are meant."""
    if theme not in PALETTES:
        raise UsageError(f"theme= is {' or '.join(map(repr, PALETTES))}, not {theme!r}")
    return PALETTES[theme]


# DejaVu comes with matplotlib, so that a chart is the same everywhere; the others are for names
# in scripts that it does not have, where they are installed.
_FONTS = (
    *("DejaVu Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "Hiragino Sans", "Yu Gothic"),
    *("Microsoft YaHei", "Malgun Gothic", "Apple SD Gothic Neo", "Segoe UI Symbol"),
    *("Apple Symbols", "Noto Sans Symbols 2", "Arial Unicode MS"),
)


@contextmanager
def drawing() -> Generator[None]:
    """Draw with these settings only, whatever you have set for your own charts."""
    matplotlib: Any = import_module("matplotlib")  # its types are only half known
    from matplotlib.font_manager import get_font_names

    installed = {*get_font_names()}
    with matplotlib.rc_context(), catch_warnings():
        # A sign that no font has is drawn as a box, which says enough.
        filterwarnings("ignore", message=r"Glyph .* missing", category=UserWarning)
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                "font.family": [
                    *(font for font in _FONTS if font in installed),
                    "sans-serif",
                ],
                "text.parse_math": False,
                "svg.fonttype": "none",
                "svg.hashsalt": "rxchat",
                "path.simplify_threshold": 0.2,
            }
        )
        yield
