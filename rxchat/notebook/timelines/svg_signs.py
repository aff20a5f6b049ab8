"""The signs of a picture: each is a shape of its own, so that it needs no colour."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from rxchat.notebook.timelines.svg_elements import element
from rxchat.notebook.timelines.timeline import Kind, Outcome

__all__ = ["END_SIGNS", "ROUND", "SIGNS"]

ROUND = 5.5  # radius of a bead

Sign: TypeAlias = Callable[[float, float, str], str]
"""Draws itself around a place; what a pointer that rests there is told is inside."""


def _circle(x: float, y: float, title: str = "") -> str:
    return element("circle", title, class_="bead", cx=x, cy=y, r=ROUND)


def _ring(x: float, y: float, title: str = "") -> str:
    return element("circle", title, class_="hollow", cx=x, cy=y, r=ROUND - 1)


def _square(x: float, y: float, title: str = "") -> str:
    side = 2 * ROUND - 1
    box = {"x": x - side / 2, "y": y - side / 2, "width": side, "height": side, "rx": 2}
    return element("rect", title, class_="bead", **box)


def _path(kind: str, d: str) -> Sign:
    """A sign that is a path around its middle."""

    def drawn(x: float, y: float, title: str = "") -> str:
        return element("path", title, class_=kind, transform=f"translate({x:.1f} {y:.1f})", d=d)

    return drawn


SIGNS: Mapping[Kind, tuple[str, Sign]] = {
    "text": ("text", _circle),
    "item": ("item", _circle),
    "reasoning": ("reasoning", _ring),
    "tool": ("tool call", _square),
    "refusal": ("refusal", _path("bead", "M-7 5L0 -7L7 5Z")),
    "restart": ("begins anew", _path("mark", "M1 -6L-5 0L1 6M7 -6L1 0L7 6")),
    "resume": ("goes on elsewhere", _path("mark", "M-1 -6L5 0L-1 6M-7 -6L-1 0L-7 6")),
    "committed": ("heard from here", _path("mark", "M-9 0A9 9 0 1 0 9 0A9 9 0 1 0 -9 0Z")),
    "asked": ("request", _path("solid", "M-3 -5L5 0L-3 5Z")),
    "answered": ("headers", _path("mark", "M0 -5V5")),
    "usage": ("", _path("mark", "M0 -3V3")),
    "start": ("", _path("mark", "M0 -3V3")),
    "finish": ("", _path("mark", "M0 -3V3")),
    "other": ("", _path("mark", "M0 -3V3")),
    "queued": ("waits for its turn", _path("mark", "M3 -5H-3V5H3")),
    "admitted": ("", _path("mark", "M-3 -5H3V5H-3")),
}

END_SIGNS: Mapping[Outcome, tuple[str, Sign]] = {
    "completed": ("completed", _path("end", "M0 -10V10")),
    "failed": ("failed", _path("cross", "M-6 -6L6 6M6 -6L-6 6")),
    "hung up": ("hung up", _path("mark", "M-4.5 -4.5H4.5V4.5H-4.5Z")),
    "lost": ("lost, hung up", _path("mark", "M-5 8L0 -8M1 8L6 -8")),
    "running": ("still running", _path("solid", "M-2 -6L7 0L-2 6Z")),
}
