"""How a picture looks, light and dark; the colours are told apart by all kinds of eyes.

Plain rules without variables, since not all that draws an SVG knows those. Each begins with the
picture's class: in a notebook, a style sheet is the whole page's.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from rxchat.notebook.timelines.timeline import Theme

__all__ = ["HUES", "PICTURE", "element", "sheet"]

PICTURE = "rxchat-timeline"

# https://jfly.uni-koeln.de/color/ without its red, which is for errors
_LIGHT = ("#0072b2", "#d98e00", "#009e73", "#c2669a", "#3fa0d8", "#86693a")
_DARK = ("#4db2f0", "#f2b53a", "#2fc99e", "#ea9fc8", "#93d5f8", "#cbae74")
HUES = len(_LIGHT)

_SANS = "ui-sans-serif,system-ui,'Segoe UI',Roboto,Helvetica,Arial,'DejaVu Sans',sans-serif"
_MONO = "ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace"

_SHAPES: Mapping[str, str] = {
    "text": f"font-family:{_SANS}",
    ".title": "font-size:16px;font-weight:600",
    ".name": "font-size:13px;font-weight:600",
    ".small": "font-size:10.5px",
    ".token": f"font-family:{_MONO};font-size:9.5px",
    ".grid": "stroke-width:1",
    ".line": "stroke-width:2;stroke-opacity:.45;fill:none",
    ".wait": "stroke-width:2;stroke-opacity:.55;stroke-linecap:round;stroke-dasharray:.1 6",
    ".again": "stroke-width:1.3;fill:none;stroke-dasharray:3 3",
    ".bead": "stroke-width:1.5",
    ".hollow": "stroke-width:2",
    ".mark": "stroke-width:2;stroke-linecap:round;stroke-linejoin:round;fill:none",
    ".end": "stroke-width:3;stroke-linecap:round;fill:none",
    ".cross": "stroke-width:3;stroke-linecap:round;fill:none",
    ".why": "font-size:11px;font-weight:600",
    ".gone": "opacity:.6",
}


def _colours(
    paper: str, ink: str, quiet: str, rule: str, raised: str, fault: str, hues: tuple[str, ...]
) -> Mapping[str, str]:
    named = {"heard": ink, **{f"hue{number}": hue for number, hue in enumerate(hues)}}
    return {
        ".paper": f"fill:{paper};stroke:{rule}",
        ".raised": f"fill:{raised}",
        ".title,.name": f"fill:{ink}",
        ".small,.token": f"fill:{quiet}",
        ".grid": f"stroke:{rule}",
        ".again": f"stroke:{quiet}",
        ".cross": f"stroke:{fault}",
        ".why": f"fill:{fault}",
        **{
            selector: rule
            for name, hue in named.items()
            for selector, rule in (
                (f".{name} .bead", f"fill:{hue};stroke:{paper}"),
                (f".{name} .bar", f"fill:{hue}"),
                (f".{name} .hollow", f"fill:{paper};stroke:{hue}"),
                (f".{name} .line,.{name} .wait,.{name} .mark,.{name} .end", f"stroke:{hue}"),
                (f".{name} .solid", f"fill:{hue}"),
                (f".{name} .first", f"fill:{hue};font-size:11px;font-weight:700"),
            )
        },
    }


_THEMES = {
    "light": _colours("#ffffff", "#1b2430", "#66717f", "#e3e7ec", "#f4f6f9", "#c8400a", _LIGHT),
    "dark": _colours("#12161d", "#e8edf3", "#93a0b0", "#2a323d", "#1b222c", "#ff8a5c", _DARK),
}


def sheet(theme: Theme) -> str:
    """The style sheet; by default, light unless the screen is dark."""
    light = _rules(_SHAPES) + _rules(_THEMES["dark" if theme == "dark" else "light"])
    if theme != "auto":
        return light
    return f"{light}@media (prefers-color-scheme:dark){{{_rules(_THEMES['dark'])}}}"


def _rules(rules: Mapping[str, str]) -> str:
    return "".join(
        ",".join(f".{PICTURE} {part}" for part in selector.split(",")) + f"{{{rule}}}"
        for selector, rule in rules.items()
    )


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
