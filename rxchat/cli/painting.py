"""A part of the terminal that is painted again as it changes, seldom enough to cost nothing.

Strategy. Who changes something says so; the paint comes at most 20 times a second, and not before
ten times as long as the last one took has gone by, so that a large answer does not slow its own
socket. rich's own thread is not used: everything happens on the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from rxchat.cli.untrusted import clean

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.segment import Segment

__all__ = ["Painting", "Shown"]

PAUSE = 0.05


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
        self._loop = asyncio.get_running_loop()
        self._soon: asyncio.TimerHandle | None = None
        self._not_before = 0.0

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._soon is not None:
            self._soon.cancel()
        self._live.stop()

    def changed(self) -> None:
        """Paint it soon."""
        if self._soon is None:
            self._soon = self._loop.call_at(self._not_before, self.paint)

    def paint(self) -> None:
        """Paint it now."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        began = self._loop.time()
        self._live.refresh()
        over = self._loop.time()
        self._not_before = over + max(PAUSE, 10 * (over - began))


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
