"""An answer as Markdown while it grows.

Strategy. Blocks that are whole are printed once and scroll away; only the last one, which still
grows, is in the live region. So an answer may be longer than the screen, and what a person has
scrolled back to stays.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from rxchat.cli.pages import Page
from rxchat.cli.painting import Painting, Shown
from rxchat.events import Event, Reasoning, Refusal, Reset, Text

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

__all__ = ["MarkdownPage", "as_markdown", "whole_blocks"]

_FENCE = re.compile(r"\s*(`{3,}|~{3,})(.*)")
_GOES_ON = re.compile(r"\s|[-*+](\s|$)|\d+([.)](\s|$)|$)")  # or may yet, when more has come
THOUGHTS = 3  # lines of them that are in sight


def as_markdown(text: str) -> RenderableType:
    """Markdown in which nothing hides: HTML is text, and links show where they lead.

    Control characters are `Shown`'s to take out, since Markdown has spellings for characters.
    """
    from markdown_it import MarkdownIt
    from rich.markdown import Markdown

    drawn = Markdown("", hyperlinks=False)
    parser = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])
    drawn.parsed = parser.parse(text)
    return drawn


def whole_blocks(text: str) -> int:
    r"""How many characters of a growing answer are blocks that nothing can change any more.

    A list may go on after an empty line, so what is indented or is an item ends no block.

    >>> text = "- One.\n\n- Two.\n\n```\na\n\nb\n```\n\nTh"
    >>> text[whole_blocks(text):]
    'Th'
    >>> whole_blocks("```\nstill open\n\nso"), whole_blocks("- One.\n\n-")
    (0, 0)
    """
    whole, position, fence, after_blank = 0, 0, "", False
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if fence:
            if mark is not None and mark[1].startswith(fence) and not mark[2].strip():
                fence = ""
        elif line.strip():
            if after_blank and not _GOES_ON.match(line):
                whole = position
            fence = mark[1] if mark is not None else ""
        after_blank = not fence and not line.strip()
        position += len(line) + 1
    return whole


class MarkdownPage(Page):
    """Draws on a console; thoughts are in sight only until the answer begins."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._text = ""
        self._thoughts = ""
        self._any = False

    def __enter__(self) -> Callable[[Event], None]:
        self._painting = Painting(self._console, self._drawn)
        self._painting.__enter__()
        return self._write

    def __exit__(self, *_: object) -> None:
        rest, self._text, self._thoughts = self._text, "", ""
        self._painting.__exit__()
        if rest.strip():
            self._print(rest)

    def _write(self, event: Event) -> None:
        match event:
            case Text(text, 0) | Refusal(text, 0):
                self._text += text
                if "\n\n" in self._text and (whole := whole_blocks(self._text)):
                    block, self._text = self._text[:whole], self._text[whole:]
                    self._print(block)
            case Reasoning(text, 0):
                self._thoughts += text
            case Reset("restart", _):
                self._print(f"{self._text}\n\n---\n")
                self._text = ""
            case _:
                return
        self._painting.changed()

    def _print(self, block: str) -> None:
        if not block.strip():
            return
        if self._any:
            self._console.print()
        self._any = True
        self._console.print(Shown(as_markdown(block)), end="")

    def _drawn(self) -> RenderableType:
        from rich.text import Text as Words

        if self._text:
            return Shown(as_markdown(self._text), lines=self._console.height - 1)
        if not self._any and self._thoughts:
            return Shown(Words(self._thoughts, style="dim italic"), lines=THOUGHTS)
        return Words("...", style="dim")
