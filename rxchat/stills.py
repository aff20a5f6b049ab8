"""A value as a small card: HTML for a notebook, and the same words for a terminal.

All that a card says is escaped, whoever said it. It loads nothing and runs nothing, and takes its
colours from the page around it, light or dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

__all__ = ["LITERAL", "Card", "brief"]

LITERAL = "mathjax_ignore tex2jax_ignore"
"""The class of what has no formulas in it: for JupyterLab, and for the pages of nbconvert."""

# What moves a terminal's cursor, and what turns the direction of writing around.
_CONTROLS = {*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)}
_HARMFUL = dict.fromkeys(_CONTROLS - {ord("\t"), ord("\n")})

_CARD = (
    "border:1px solid rgba(127,127,127,.4);border-radius:8px;padding:.6em .9em;"
    "max-width:62em;line-height:1.5;color:inherit"
)
_ROWS = (
    "display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.15em 1.2em;margin-top:.5em"
)
_VALUE = "font-family:monospace;white-space:pre-wrap;overflow-wrap:anywhere"
_BLOCK = (
    "margin:.6em 0 0;padding:.5em .7em;background:rgba(127,127,127,.12);border-radius:6px;"
    "color:inherit;font-family:monospace;line-height:1.4;white-space:pre-wrap;overflow-wrap:anywhere"
)
_FAINT = "opacity:.7"


class Card(NamedTuple):
    """A title, what kind of thing it is, a sentence, facts with their names, and a block of text.

    >>> print(Card("openai", "a stream", rows=[("model", "gpt-5")]).text())
    openai, a stream
      model  gpt-5
    """

    title: str
    kind: str = ""
    sentence: str = ""
    rows: Sequence[tuple[str, str]] = ()
    block: str = ""

    def html(self) -> str:
        """The card for a page."""
        rows = "".join(
            _tag("span", _FAINT, name) + _tag("span", _VALUE, value) for name, value in self.rows
        )
        parts = (
            f"<div><b>{_safe(self.title)}</b> {_tag('span', _FAINT, self.kind)}</div>",
            self.sentence and f"<div>{_safe(self.sentence)}</div>",
            rows and f'<div style="{_ROWS}">{rows}</div>',
            self.block and _tag("pre", _BLOCK, self.block),
        )
        return f'<div class="{LITERAL}" style="{_CARD}">{"".join(parts)}</div>'

    def text(self) -> str:
        """The card for a terminal."""
        wide = max((len(name) for name, _ in self.rows), default=0)
        under = "\n" + " " * (wide + 4)
        rows = [f"  {name:<{wide}}  " + value.replace("\n", under) for name, value in self.rows]
        block = self.block and "  " + self.block.replace("\n", "\n  ")
        head = ", ".join(filter(None, (self.title, self.kind)))
        return _plain("\n".join(filter(None, (head, self.sentence, *rows, block))))

    def bundle(self) -> dict[str, str]:
        """What IPython asks a value for."""
        return {"text/html": self.html(), "text/plain": self.text()}


def brief(text: str, most: int) -> str:
    """A text, or its beginning and how long it is.

    >>> brief("a" * 1000, 4)
    'aaaa… (1,000 characters)'
    """
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


def _plain(text: str) -> str:
    """What can be shown of a text; half of a pair of surrogates cannot."""
    return text.translate(_HARMFUL).encode(errors="replace").decode()


def _tag(name: str, style: str, text: str) -> str:
    return f'<{name} style="{style}">{_safe(text)}</{name}>'


def _safe(text: str) -> str:
    return escape(_plain(text))
