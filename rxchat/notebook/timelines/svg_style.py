"""How a picture looks, light and dark.

Plain rules without variables, since not all that draws an SVG knows those. Each begins with the
picture's class: in a notebook, a style sheet is the whole page's.
"""

from __future__ import annotations

from collections.abc import Mapping

from rxchat.notebook.palette import PALETTES, AutoTheme, Palette, palette_of

__all__ = ["HUES", "PICTURE", "sheet"]

PICTURE = "rxchat-timeline"

HUES = len(PALETTES["light"].hues)

_SANS = "ui-sans-serif,system-ui,'Segoe UI',Roboto,Helvetica,Arial,'DejaVu Sans',sans-serif"
_MONO = "ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace"

_SHAPES: Mapping[str, str] = {
    "text": f"font-family:{_SANS}",
    ".title": "font-size:16px;font-weight:600",
    ".name": "font-size:13px;font-weight:600",
    ".small": "font-size:10.5px",
    ".token": f"font-family:{_MONO};font-size:10.5px",
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


def _colours(of: Palette) -> Mapping[str, str]:
    named = {"heard": of.ink, **{f"hue{number}": hue for number, hue in enumerate(of.hues)}}
    return {
        ".paper": f"fill:{of.paper};stroke:{of.rule}",
        ".raised": f"fill:{of.raised}",
        ".title,.name,.token": f"fill:{of.ink}",
        ".small": f"fill:{of.quiet}",
        ".grid": f"stroke:{of.rule}",
        ".again": f"stroke:{of.quiet}",
        ".cross": f"stroke:{of.fault}",
        ".why": f"fill:{of.fault}",
        **{
            selector: rule
            for name, hue in named.items()
            for selector, rule in (
                (f".{name} .bead", f"fill:{hue};stroke:{of.paper}"),
                (f".{name} .bar", f"fill:{hue}"),
                (f".{name} .hollow", f"fill:{of.paper};stroke:{hue}"),
                (f".{name} .line,.{name} .wait,.{name} .mark,.{name} .end", f"stroke:{hue}"),
                (f".{name} .solid", f"fill:{hue}"),
                (f".{name} .first", f"fill:{hue};font-size:11px;font-weight:700"),
            )
        },
    }


def sheet(theme: AutoTheme) -> str:
    """The style sheet; by default, light unless the screen is dark."""
    shapes = _rules(_SHAPES)
    if theme != "auto":
        return shapes + _rules(_colours(palette_of(theme)))
    light, dark = (_rules(_colours(PALETTES[each])) for each in ("light", "dark"))
    return f"{shapes}{light}@media (prefers-color-scheme:dark){{{dark}}}"


def _rules(rules: Mapping[str, str]) -> str:
    return "".join(
        ",".join(f".{PICTURE} {part}" for part in selector.split(",")) + f"{{{rule}}}"
        for selector, rule in rules.items()
    )
