"""How charts are drawn: the same everywhere, whatever you have set for your own."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from typing import Any
from warnings import catch_warnings, filterwarnings

from rxchat.errors import UsageError
from rxchat.notebook.palette import Palette, Theme, palette_of

__all__ = ["drawing", "settings"]


# DejaVu comes with matplotlib, so that a chart is the same everywhere; the others are for names
# in scripts that it does not have, where they are installed.
_FONTS = (
    *("DejaVu Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "Hiragino Sans", "Yu Gothic"),
    *("Microsoft YaHei", "Malgun Gothic", "Apple SD Gothic Neo", "Segoe UI Symbol"),
    *("Apple Symbols", "Noto Sans Symbols 2", "Arial Unicode MS"),
)


@contextmanager
def drawing(theme: Theme) -> Generator[Palette]:
    """Draw in the colours of a theme; what is missing for that is said at once."""
    try:
        import_module("matplotlib.figure")
    except ImportError:
        raise UsageError(
            "charts take `pip install 'rxchat[notebook]'`; rows() and save() need nothing"
        ) from None
    palette = palette_of(theme)
    with settings():
        yield palette


@contextmanager
def settings() -> Generator[None]:
    """Have matplotlib use these settings only."""
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
