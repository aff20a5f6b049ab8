"""Markdown a line at a time: what each line is, and which block it belongs to.

Strategy. The first phase of CommonMark's own parsing strategy
(https://spec.commonmark.org/0.31.2/#phase-1-block-structure): a line first goes through the open
containers (quotes and list items), then may open new ones, and what is left is a line of a leaf.
Tables are those of https://github.github.com/gfm/#tables-extension-. No line is looked at twice,
and of what came before only the open containers and one line of a paragraph are known.

Definitions of links (`[name]: address`) are paragraphs here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple, TypeAlias

__all__ = ["BLANKS", "Endings", "Kind", "Line", "Scanner", "cells_of"]

NESTING: Final = 100  # containers in one another; what is deeper is text
COLUMNS: Final = 1000  # of a table; what is wider is text
BLANKS: Final = " \t\r\n"

Kind: TypeAlias = Literal[
    "heading", "paragraph", "list", "quote", "code", "table", "rule", "html", "blank"
]
Leaf: TypeAlias = Literal[
    "blank", "paragraph", "heading", "underline", "rule", "indented", "html",
    "fence", "code", "end of code", "table", "row",
]  # fmt: skip

_KIND: Final[dict[Leaf, Kind]] = {
    "paragraph": "paragraph",
    "heading": "heading",
    "underline": "heading",
    "rule": "rule",
    "indented": "code",
    "fence": "code",
    "code": "code",
    "end of code": "code",
    "html": "html",
    "table": "table",
    "row": "table",
}
_ONE_LINE: Final = {"heading", "underline", "rule", "end of code"}  # it is over with that
_OPEN: Final[dict[Leaf, Leaf]] = {"fence": "code", "row": "table"}
_GOES_ON: Final[dict[Leaf | None, set[Leaf]]] = {
    "paragraph": {"paragraph", "underline", "table"},
    "indented": {"indented", "blank"},
    "table": {"row"},
}
_TEXT: Final = {"paragraph", "table"}  # which not every tag ends
_MARKS: Final = {*"#`~=-*_<"}

_PIECES: Final = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")
_FENCE: Final = re.compile(r"(`{3,})([^`\r\n]*)(?=[\r\n]|\Z)|(~{3,})([^\r\n]*)")
_HEADING: Final = re.compile(r"(#{1,6})(?=[ \t\r\n]|\Z)")
_MARKER: Final = re.compile(r"(?:[-+*]|(\d{1,9})[.)])(?=[ \t\r\n]|\Z)")
_DELIMITERS: Final = re.compile(r"\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?")
_PIPE: Final = re.compile(r"(?<!\\)\|")

_NAMES: Final = (
    "address|article|aside|base|basefont|blockquote|body|caption|center|col|colgroup|dd|details"
    "|dialog|dir|div|dl|dt|fieldset|figcaption|figure|footer|form|frame|frameset|h[1-6]|head"
    "|header|hr|html|iframe|legend|li|link|main|menu|menuitem|nav|noframes|ol|optgroup|option|p"
    "|param|search|section|summary|table|tbody|td|tfoot|th|thead|title|tr|track|ul"
)
_ATTRIBUTE: Final = (
    r"""\s+[a-z_:][\w:.-]*+(?:\s*+=\s*+(?:[^"'=<>`\x00-\x20]++|'[^']*+'|"[^"]*+"))?"""
)
_BLANK_LINE: Final = re.compile(r"(?!)")  # in no line that is not blank
_HTML: Final = [  # how it begins, and what its last line has; the last kind ends no paragraph
    (
        re.compile(begin, re.IGNORECASE | re.ASCII),
        re.compile(end, re.IGNORECASE) if end else _BLANK_LINE,
    )
    for begin, end in [
        (r"<(?:script|pre|style|textarea)(?=[\s>]|\Z)", r"</(?:script|pre|style|textarea)>"),
        (r"<!--", r"-->"),
        (r"<\?", r"\?>"),
        (r"<![a-z]", r">"),
        (r"<!\[CDATA\[", r"\]\]>"),
        (rf"</?(?:{_NAMES})(?=\s|/?>|\Z)", ""),
        (rf"(?:<[a-z][a-z0-9-]*+(?:{_ATTRIBUTE})*+\s*+/?>|</[a-z][a-z0-9-]*+\s*+>)\s*\Z", ""),
    ]
]  # fmt: skip


class Endings:
    """Text in pieces, cut where lines end: by a line feed, a carriage return or both."""

    def __init__(self) -> None:
        self._held = ""  # a carriage return, before what may be its line feed

    def feed(self, text: str) -> Iterator[str]:
        text, self._held = self._held + text, ""
        if text.endswith("\r"):
            text, self._held = text[:-1], "\r"
            if not text:
                return iter(())
        return (found[0] for found in _PIECES.finditer(text))

    def close(self) -> str:
        return self._held


class Line(NamedTuple):
    """What a line is."""

    leaf: Leaf
    rest: str
    """The line without the marks of its containers; code without its indentation, too."""
    level: int = 0
    info: str = ""
    head: str = ""
    """Of a table that begins here: the line before."""
    splits: bool = False
    """The line before is the head of a table, and was no line of its paragraph, which is over."""
    left: bool = False
    """A fenced block was left before this line, as its container is over."""
    kind: Kind | None = None
    """Of the block on the outermost level; None between two."""
    begins: bool = False
    """This is the first line of one."""
    ends: bool = False
    """This is the last line of one; if it is blank, the one before was."""


class _Box:
    """A container: a quote, or an item of a list, whose text is indented by its width."""

    __slots__ = ("filled", "mark", "width")

    def __init__(self, mark: str, width: int = 0) -> None:
        self.mark = mark
        self.width = width
        self.filled = mark == ">"  # an item that begins with two blank lines is over


class Scanner:
    """What a line is, when all before it have been read."""

    def __init__(self) -> None:
        self._boxes: list[_Box] = []
        self._leaf: Leaf | None = None  # the open one, which the next line may go on with
        self._lazy = False  # it may do so as text only, as it lacks marks of its containers
        self._kind: Kind | None = None  # of the open block on the outermost level
        self._list = ""  # the mark of its items
        self._fence, self._indent, self._info = "", 0, ""
        self._last_html = _BLANK_LINE
        self._head, self._lines = "", 0  # of the open paragraph: its last line, and how many
        self._rest, self._column = "", 0  # of the line that is being read

    @property
    def fence(self) -> str:
        """The last fence that opened code."""
        return self._fence

    def code(self, line: str) -> str | None:
        """What a line, or the beginning of one, has of the open code; None if it is outside."""
        if self._enter(line) < len(self._boxes):
            return None
        return self._past(self._indent)

    def read(self, line: str) -> Line:
        matched = self._enter(line)
        before, whole = self._leaf, matched == len(self._boxes)
        if whole and before == "code":
            return self._in_code()
        if whole and before == "html" and not (self._last_html is _BLANK_LINE and self._is_blank):
            return self._finish(Line("html", self._rest))
        self._lazy = not whole
        if not whole and before != "paragraph":
            self._leaf = None
        boxes: list[_Box] = []
        found = self._marked()
        while not found and matched + len(boxes) < NESTING and (box := self._box()):
            boxes.append(box)
            self._leaf = None
            found = self._marked()
        found = found or self._unmarked()
        goes_on = found.leaf in _GOES_ON.get(self._leaf, ())
        same_list = not matched and boxes and (self._kind, self._list) == ("list", boxes[0].mark)
        if not (self._lazy and goes_on):
            self._boxes[matched:] = boxes
        end = -1 if found.leaf == "blank" else None  # the last may be an item without text yet
        for box in self._boxes[max(matched - 1, 0) : end] if boxes or not end else ():
            box.filled = True
        begins = not (matched or goes_on or same_list or (found.leaf == "blank" and not boxes))
        if found.leaf == "paragraph":
            self._lines = self._lines + 1 if goes_on else 1
            self._head = (
                "" if (self._lazy and goes_on) or self._blanks > 3 else self._rest.strip(BLANKS)
            )
        left = before == "code"
        return self._finish(found._replace(left=left, begins=begins), goes_on=goes_on)

    def _in_code(self) -> Line:
        mark = self._rest.strip(BLANKS)
        if mark.startswith(self._fence) and not mark.strip(mark[0]) and self._blanks < 4:
            return self._finish(Line("end of code", self._rest))
        return self._finish(Line("code", self._past(self._indent)))

    def _finish(self, line: Line, *, goes_on: bool = True) -> Line:
        """Take note of what is open after a line."""
        leaf, outside = line.leaf, not self._boxes
        over = leaf in _ONE_LINE
        if leaf == "html":
            over = self._last_html.search(line.rest) is not None
        if leaf == "blank":
            over = not (goes_on or self._kind in (None, "list"))
            self._leaf = self._leaf if goes_on else None
        else:
            self._leaf = None if over else _OPEN.get(leaf, leaf)
        if outside and leaf != "blank":
            self._kind = _KIND[leaf]
        elif line.begins:
            self._list = self._boxes[0].mark
            self._kind = "quote" if self._list == ">" else "list"
        kind, ends = self._kind, outside and over
        if ends:
            self._kind = None
        return line._replace(kind=kind, ends=ends)

    # The rest of the line ----------------------------------------------------------------------

    @property
    def _is_blank(self) -> bool:
        return not self._rest.strip(BLANKS)

    @property
    def _blanks(self) -> int:
        """How many columns the rest of the line is indented."""
        blanks = self._rest[: len(self._rest) - len(self._rest.lstrip(" \t"))]
        if "\t" not in blanks:
            return len(blanks)
        column = self._column
        for blank in blanks:
            column += 4 - column % 4 if blank == "\t" else 1
        return column - self._column

    def _past(self, columns: int) -> str:
        """Go past so many columns of blanks, if there are; of a tab that is cut, blanks remain."""
        end, at, rest = self._column + columns, 0, self._rest
        while self._column < end and rest[at : at + 1] in (" ", "\t"):
            self._column += 4 - self._column % 4 if rest[at] == "\t" else 1
            at += 1
        over = max(self._column - end, 0)
        self._column -= over
        self._rest = " " * over + rest[at:]
        return self._rest

    def _past_mark(self, length: int) -> None:
        """Go past the blanks, and a mark of that length after them."""
        self._column += self._blanks + length
        self._rest = self._rest.lstrip(" \t")[length:]

    # Containers --------------------------------------------------------------------------------

    def _enter(self, line: str) -> int:
        """Go into the containers that the line is still in: how many?"""
        self._rest, self._column = line, 0
        for number, box in enumerate(self._boxes):
            if box.mark == ">":
                if self._blanks > 3 or not self._rest.lstrip(" \t").startswith(">"):
                    return number
                self._past_mark(1)
                self._past(1)
            elif (self._blanks < box.width and not self._is_blank) or not (
                box.filled or not self._is_blank
            ):
                return number
            else:
                self._past(box.width)
        return len(self._boxes)

    def _box(self) -> _Box | None:
        """The container that the rest of the line opens, if any."""
        blanks, rest = self._blanks, self._rest.lstrip(" \t")
        if blanks > 3:
            return None
        if rest.startswith(">"):
            self._past_mark(1)
            self._past(1)
            return _Box(">")
        mark = _MARKER.match(rest)
        if not mark:
            return None
        is_empty = not rest[mark.end() :].strip(BLANKS)
        if self._joins and (is_empty or (mark[1] and int(mark[1]) != 1)):
            return None  # so that a number at the beginning of a line is no list
        self._past_mark(mark.end())
        gap = 1 if is_empty or self._blanks > 4 else self._blanks
        self._past(gap)
        return _Box(mark[0][-1], blanks + mark.end() + gap)

    # Leaves ------------------------------------------------------------------------------------

    @property
    def _joins(self) -> bool:
        """The line may go on with a paragraph that it is in."""
        return self._leaf == "paragraph" and not self._lazy

    def _marked(self) -> Line | None:
        """The leaf that the rest of the line shows by a mark."""
        rest = self._rest.lstrip(" \t")
        if self._blanks > 3 or rest[:1] not in _MARKS:
            return None
        bare = rest.strip(BLANKS)
        if mark := _HEADING.match(rest):
            return Line("heading", rest, level=len(mark[1]))
        if mark := _FENCE.match(rest):
            self._fence, self._indent = mark[1] or mark[3], self._blanks
            self._info = (mark[2] or mark[4] or "").strip(BLANKS)
            return Line("fence", rest, info=self._info)
        if self._joins and bare[0] in "=-" and not bare.strip(bare[0]):
            return Line("underline", rest, level=1 if bare[0] == "=" else 2)
        if bare[0] in "*-_":
            dense = bare.replace(" ", "").replace("\t", "")
            if len(dense) > 2 and not dense.strip(bare[0]):
                return Line("rule", rest)
        if bare[0] == "<":
            for begin, last in _HTML if self._leaf not in _TEXT else _HTML[:-1]:
                if begin.match(rest):
                    self._last_html = last
                    return Line("html", rest)
        return None

    def _unmarked(self) -> Line:
        """The leaf that the rest of the line is otherwise."""
        if self._is_blank:
            return Line("blank", self._rest)
        if self._leaf == "paragraph":
            if not self._lazy and self._blanks < 4 and self._delimits():
                return Line("table", self._rest, head=self._head, splits=self._lines > 1)
            return Line("paragraph", self._rest)
        if self._blanks > 3:
            return Line("indented", self._rest)
        return Line("row" if self._leaf == "table" else "paragraph", self._rest)

    def _delimits(self) -> bool:
        """The rest of the line makes the line before the head of a table."""
        line = self._rest.strip(BLANKS)
        if "|" not in self._head or line[0] not in "|:-" or not _DELIMITERS.fullmatch(line):
            return False
        columns = len(cells_of(line))
        return columns <= COLUMNS and columns == len(cells_of(self._head))


def cells_of(line: str) -> list[str]:
    r"""The texts of a table's row: a pipe with a backslash before it is one, also in code.

    >>> cells_of(r"| a | `x \| y` |")
    ['a', '`x | y`']
    """
    cells = _PIPE.split(line.strip(BLANKS))
    if not cells[0]:
        del cells[0]
    if cells and not cells[-1]:
        del cells[-1]
    return [cell.replace(r"\|", "|").strip(BLANKS) for cell in cells]
