"""A chart: a matplotlib figure on paper of its own, and how it is shown and saved.

Strategy. In a notebook it is a PNG of twice the size: JupyterLab, GitHub, VS Code and what makes
PDFs of notebooks all draw one, and it stays small with thousands of dots (GitHub prefers an SVG if
there is one, and then drops parts of it). Nothing of it depends on the time or on chance, so that a
notebook that runs again stays the same.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rxchat.errors import UsageError
from rxchat.notebook.measuring.look import settings
from rxchat.notebook.palette import Palette
from rxchat.notebook.words import columns, cut, visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["HEADER", "INCH", "MARGIN", "POINT", "WIDTH", "Chart", "Page", "gutter"]

INCH = 96.0  # pixels
SHARP = 2  # pixels of a .png for one of these
WIDTH = 880.0
MARGIN = 24.0
HEADER = 62.0
POINT = 72 / INCH  # of a pixel: what matplotlib counts letters and lines in

_FORMATS: Mapping[str, Mapping[str, None]] = {  # what would say when it was made, and with what
    ".svg": dict.fromkeys(("Date", "Creator", "Format", "Type")),
    ".png": {"Software": None},
    ".pdf": dict.fromkeys(("CreationDate", "Creator", "Producer")),
}


class Chart:
    """A picture of measurements: a notebook shows it, and `save` writes it."""

    def __init__(self, figure: Figure, said: str) -> None:
        self.figure = figure
        """What matplotlib drew, for changes of your own."""
        self._said = said

    def save(self, path: str | Path) -> Path:
        """Write `.svg`, `.png` (twice as sharp as a screen) or `.pdf`."""
        path = Path(path)
        if path.suffix not in _FORMATS:
            raise UsageError(f"a chart is saved as {', '.join(_FORMATS)}, not as {path.name!r}")
        path.write_bytes(self._drawn(path.suffix))
        return path

    def _drawn(self, suffix: str) -> bytes:
        written = BytesIO()
        figure: Any = self.figure  # its types are only half known
        with settings():
            figure.savefig(
                written,
                format=suffix[1:],
                dpi=INCH * SHARP,
                metadata=dict(_FORMATS[suffix]),
                transparent=False,
            )
        drawn = written.getvalue()
        return drawn[drawn.index(b"<svg") :] if suffix == ".svg" else drawn

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None
    ) -> tuple[dict[str, str], dict[str, Any]]:
        png = b64encode(self._drawn(".png")).decode()
        width, height = self.figure.get_size_inches() * INCH
        size = {"width": round(width), "height": round(height)}
        return {"image/png": png, "text/plain": self._said}, {"image/png": size}

    def __repr__(self) -> str:
        return self._said


class Page:
    """The paper of a chart, measured in pixels from its left upper corner."""

    def __init__(self, look: Palette, height: float, title: str, remark: str) -> None:
        from matplotlib.figure import Figure
        from matplotlib.patches import FancyBboxPatch

        self.look = look
        self.height = height
        self.figure: Any = Figure(figsize=(WIDTH / INCH, height / INCH), dpi=INCH, facecolor="none")
        self._title = f"{title}. {remark}"
        box = FancyBboxPatch(
            (0.5 + 12, 0.5 + 12),
            WIDTH - 25,
            height - 25,
            boxstyle="round,pad=12,rounding_size=12",
            transform=self._pixels(),
            facecolor=look.paper,
            edgecolor=look.rule,
            linewidth=POINT,
            zorder=-1,
        )
        self.figure.add_artist(box)
        self.words(title, MARGIN, 31, 17, weight="bold")
        self.words(remark, MARGIN, 51, 12, look.quiet)

    def _pixels(self) -> Any:
        from matplotlib.transforms import Affine2D

        return Affine2D().scale(1 / INCH) + self.figure.dpi_scale_trans

    def words(
        self,
        said: str,
        x: float,
        y: float,
        size: float = 12,
        colour: str = "",
        *,
        align: str = "left",
        weight: str = "normal",
    ) -> None:
        """Write on the line `y`, in letters of so many pixels."""
        self.figure.text(
            x,
            self.height - y,
            said,
            transform=self._pixels(),
            fontsize=size * POINT,
            color=colour or self.look.ink,
            ha=align,
            va="baseline",
            fontweight=weight,
        )

    def axes(self, left: float, top: float, right: float, bottom: float) -> Any:
        """A place to draw at, without frame and marks."""
        axes: Any = self.figure.add_axes(
            (
                left / WIDTH,
                1 - bottom / self.height,
                (right - left) / WIDTH,
                (bottom - top) / self.height,
            ),
            facecolor="none",
        )
        axes.spines[:].set_visible(False)
        axes.tick_params(
            which="both",
            length=0,
            colors=self.look.rule,
            labelcolor=self.look.quiet,
            labelsize=11 * POINT,
            pad=5,
        )
        axes.set_axisbelow(True)
        return axes

    def name(self, said: str, x: float, y: float, hue: str, room: float) -> None:
        """Whose it is: a dot of the colour, and as much of the name as there is room for."""
        self.words("●", x, y, 11, hue)
        self.words(shortened(said, room - 16, 13), x + 16, y, 13, weight="bold")

    def chart(self, table: str) -> Chart:
        """What has been drawn; whoever cannot see it reads the table."""
        return Chart(self.figure, f"{self._title}\n{table}")


def shortened(said: str, room: float, size: float) -> str:
    """As much of it as there is room for, by letters of usual width."""
    return cut(visible(said), int(room / (size * 0.66)))


def gutter(names: Sequence[str]) -> float:
    """Room for these names."""
    widest = max((columns(visible(name)) for name in names), default=0)
    return min(250.0, max(110.0, widest * 13 * 0.66 + 42))
