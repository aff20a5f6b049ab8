"""What SVG is made of."""

from __future__ import annotations

from html import escape

from rxchat.notebook.words import visible

__all__ = ["element", "text", "tooltip"]


def element(tag: str, *inside: str, **attributes: object) -> str:
    """One element; what is inside is markup already, what attributes say is not.

    >>> element("text", "1", class_="small", text_anchor="end", x=0.5)
    '<text class="small" text-anchor="end" x="0.5">1</text>'
    """
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for name, value in attributes.items()
    )
    return f"<{tag}{written}>{''.join(inside)}</{tag}>" if inside else f"<{tag}{written}/>"


def _value(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else escape(str(value), quote=True)


def text(words: str, kind: str, x: float, y: float, anchor: str = "start") -> str:
    return element("text", escape(words), class_=kind, x=x, y=y, text_anchor=anchor)


def tooltip(at: float, words: str) -> str:
    """What a pointer that rests there is told."""
    return element("title", escape(f"{at:.3f} s · {visible(words)}" if words else f"{at:.3f} s"))
