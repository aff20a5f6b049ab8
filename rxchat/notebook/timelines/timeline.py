"""What happened in a run, as facts that can be drawn and kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from rxchat.errors import UsageError
from rxchat.notebook.palette import AutoTheme

__all__ = ["CELL", "Kind", "Mark", "Outcome", "Row", "Timeline"]

Outcome: TypeAlias = Literal["running", "completed", "failed", "hung up", "lost"]
"""`lost` is who was hung up because another one of a race was heard."""

Kind: TypeAlias = Literal[
    "text",
    "reasoning",
    "refusal",
    "tool",
    "item",
    "start",
    "usage",
    "finish",
    "restart",
    "resume",
    "other",
    "asked",
    "answered",
    "queued",
    "admitted",
    "committed",
]
"""What a mark stands for: content; other events; and what happened to the request."""

Part: TypeAlias = Literal["whole", "attempt", "named"]

CELL = 760  # pixels: JupyterLab cuts off what is wider than a cell


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """One thing that came: when (in seconds since the run began), what, and the words of it."""

    at: float
    kind: Kind
    words: str = ""


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """One subscription: `whole` is what your code heard, an `attempt` is a part of that."""

    name: str
    began: float
    marks: Sequence[Mark] = ()
    ended: float | None = None
    outcome: Outcome = "running"
    why: str = ""
    """What it failed with."""
    part: Part = "named"
    parent: int | None = None
    """The place of the row that it is an attempt of."""


class _Saved(msgspec.Struct):
    """The file: `timeline` is its version."""

    timeline: Literal[1]
    title: str
    rows: list[Row]


class Timeline:
    """What happened in a run: a picture in a notebook, text in a terminal, facts in `rows`."""

    def __init__(self, rows: Sequence[Row] = (), title: str = "") -> None:
        self.title = title
        self._rows = rows

    @property
    def rows(self) -> Sequence[Row]:
        """What has been subscribed to, in that order."""
        return self._rows

    def svg(self, *, theme: AutoTheme = "auto", width: int = 880, compact: bool = False) -> str:
        """The picture; `"auto"` is light or dark as the reader's screen is.

        A compact one is for a page with words of its own: without frame, title, captions, lengths
        of silences, and legend.
        """
        from rxchat.notebook.timelines.svg_pictures import svg

        return svg(self.rows, self.title, theme, width, compact)

    def text(self, width: int = 80) -> str:
        """The picture for a terminal, at most `width` columns wide."""
        from rxchat.notebook.timelines.text_pictures import text

        return text(self.rows, self.title, width)

    def json(self) -> str:
        """All facts, for `Timeline.load`; they contain what was said."""
        return msgspec.json.encode(_Saved(1, self.title, [*self.rows])).decode()

    def save(self, path: str | Path, *, theme: AutoTheme = "auto") -> Path:
        """Write `.svg`, `.json`, `.txt` or `.png`, which needs `pip install 'rxchat[notebook]'`.

        A `.png` is light unless you say `theme="dark"`.
        """
        path = Path(path)
        if path.suffix not in _FORMATS:
            raise UsageError(f"a timeline is saved as {', '.join(_FORMATS)}, not as {path.name!r}")
        path.write_bytes(_FORMATS[path.suffix](self, theme))
        return path

    @classmethod
    def load(cls, path: str | Path) -> Timeline:
        """Read what was saved as `.json`."""
        try:
            saved = msgspec.json.decode(Path(path).read_bytes(), type=_Saved)
        except msgspec.MsgspecError as error:
            raise UsageError(f"{Path(path).name!r} is no saved timeline: {error}") from None
        for place, row in enumerate(saved.rows):
            if row.parent is not None and not 0 <= row.parent < place:
                raise UsageError(f"{Path(path).name!r} is no saved timeline: its rows are mixed up")
        return Timeline(saved.rows, saved.title)

    def bundle(self) -> dict[str, str]:
        """What a notebook keeps of it, by type."""
        return {"image/svg+xml": self.svg(width=CELL), "text/plain": self.text()}

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return self.bundle()

    def __repr__(self) -> str:
        return self.text()


def _png(timeline: Timeline, theme: AutoTheme) -> bytes:
    try:
        resvg = import_module("resvg_py")
    except ImportError:
        raise UsageError(
            "to save a .png takes `pip install 'rxchat[notebook]'`; .svg needs nothing"
        ) from None
    drawn = timeline.svg(theme="light" if theme == "auto" else theme)
    return bytes(resvg.svg_to_bytes(svg_string=drawn, zoom=2))


_FORMATS: Mapping[str, Callable[[Timeline, AutoTheme], bytes]] = {
    ".svg": lambda timeline, theme: timeline.svg(theme=theme).encode(),
    ".png": _png,
    ".json": lambda timeline, _: timeline.json().encode(),
    ".txt": lambda timeline, _: f"{timeline.text()}\n".encode(),
}
