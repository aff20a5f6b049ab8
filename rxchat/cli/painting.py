"""A part of the terminal that is painted again as it changes, seldom enough to cost nothing.

Strategy. Who changes something says so, and a `Painter` decides when it is painted. rich's own
thread is not used: everything happens on the loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from rxchat.cli.untrusted import clean
from rxchat.notebook.cells.painter import Painter

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.segment import Segment

__all__ = ["Painting", "Shown"]


class Painting:
    """A live region: `changed()` has it painted soon, and leaving it wipes it out."""

    def __init__(self, console: Console, draw: Callable[[], RenderableType]) -> None:
        from rich.live import Live

        self._live = Live(
            console=console,
            get_renderable=draw,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )
        self._painter = Painter(self._paint)

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._painter.finish()
        self._live.stop()

    def changed(self) -> None:
        """Paint it soon."""
        self._painter.changed()

    def _paint(self) -> int:
        self._live.refresh()
        return 0  # a terminal takes as much as it is sent


class Shown:
    """Untrusted text as rich draws it, without control characters; all of it or the last lines."""

    def __init__(self, drawn: RenderableType, lines: int | None = None) -> None:
        self._drawn = drawn
        self._lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.segment import Segment

        lines = console.render_lines(self._drawn, options.update(height=None), pad=False)
        while lines and _empty(lines[0]):
            del lines[0]
        while lines and _empty(lines[-1]):
            del lines[-1]
        kept = lines if self._lines is None else lines[-max(self._lines, 1) :]
        for line in kept:
            for segment in line:
                if not segment.control:
                    yield Segment(clean(segment.text), segment.style)
            yield Segment.line()


def _empty(line: list[Segment]) -> bool:
    """Whether nothing is to be seen in a line, not even a background."""
    return not any(s.text.strip() or (s.style is not None and s.style.bgcolor) for s in line)
