"""Text of Markdown in pieces, to values: what `rxchat.operators.texts.markdown` gives.

Strategy. What a line is, a `Scanner` tells once the line is whole. Code blocks do not wait for
that: the beginning of a line is held only while the line may still be a fence. Readers do no I/O
and know no events.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from rxchat.operators.texts.markdown_lines import BLANKS, Endings, Kind, Scanner, cells_of

__all__ = [
    "Align",
    "Block",
    "BlockReader",
    "Code",
    "CodeReader",
    "Prose",
    "TableHead",
    "TableReader",
    "TableRow",
]

Align: TypeAlias = Literal["left", "center", "right"]


class Prose(Struct, frozen=True, gc=False):
    """A piece of text that is in no fenced code."""

    text: str


class Code(Struct, frozen=True, gc=False):
    """A piece of fenced code, without its fences; `language` is their first word.

    The first piece of a block is empty, so that you can show where it will be; the last is
    `done`. A block that the end of the answer cuts off never is: do not run it.
    """

    text: str
    language: str = ""
    done: bool = False


class Block(Struct, frozen=True, gc=False):
    """A block on the outermost level of Markdown: `text` is its source.

    A `heading` has a `level`, a fenced `code` may have a `language`. Blank lines between blocks
    are blocks, too, of kind `blank`: so all texts joined are the whole text.
    """

    kind: Kind
    text: str
    level: int = 0
    language: str = ""


class TableHead(Struct, frozen=True, gc=False):
    """The beginning of a table: the names of its columns, and how each is aligned."""

    cells: tuple[str, ...]
    align: tuple[Align | None, ...]


class TableRow(Struct, frozen=True, gc=False):
    """A row of a table: a text for each of the head's columns, empty where the row is shorter."""

    cells: tuple[str, ...]
    head: TableHead

    def by_name(self) -> dict[str, str]:
        """The cells by the names of their columns."""
        return dict(zip(self.head.cells, self.cells, strict=True))


class _LineReader:
    """Whole lines of text that comes in pieces."""

    def __init__(self) -> None:
        self._endings = Endings()
        self._line: list[str] = []

    def lines(self, text: str) -> Iterator[str]:
        for piece in self._endings.feed(text):
            self._line.append(piece)
            if piece[-1] in "\r\n":
                yield self._taken()

    def last_line(self) -> Iterator[str]:
        self._line.append(self._endings.close())
        if line := self._taken():
            yield line

    def _taken(self) -> str:
        line = "".join(self._line)
        self._line.clear()
        return line


class BlockReader(_LineReader):
    """Whole blocks of the outermost level."""

    def __init__(self) -> None:
        super().__init__()
        self._scanner = Scanner()
        self._lines: list[str] = []  # of the open block
        self._blank: list[str] = []  # lines after it, which may belong to it
        self._kind: Kind = "blank"
        self._level = 0
        self._language = ""

    def feed(self, text: str) -> Iterator[Block]:
        for line in self.lines(text):
            yield from self._read(line)

    def close(self) -> Iterator[Block]:
        for line in self.last_line():
            yield from self._read(line)
        yield from self._block()
        yield from self._blanks()

    def _read(self, line: str) -> Iterator[Block]:
        found = self._scanner.read(line)
        if found.leaf == "blank" and not line.strip(BLANKS):
            if found.ends:
                yield from self._block()
            self._blank.append(line)
            return
        if found.begins:
            yield from self._block()
            yield from self._blanks()
            self._kind, self._level, self._language = found.kind or "blank", 0, ""
        elif found.splits and found.kind == "table":
            head = self._lines.pop()
            yield from self._block()
            self._lines.append(head)
        self._lines += self._blank
        self._blank.clear()
        self._lines.append(line)
        self._kind = found.kind or "blank"
        if self._kind == "heading":
            self._level = found.level
        if self._kind == "code" and found.leaf == "fence":
            self._language = _first_word(found.info)
        if found.ends:
            yield from self._block()

    def _block(self) -> Iterator[Block]:
        if self._lines:
            yield Block(self._kind, "".join(self._lines), self._level, self._language)
            self._lines.clear()

    def _blanks(self) -> Iterator[Block]:
        if self._blank:
            yield Block("blank", "".join(self._blank))
            self._blank.clear()


class TableReader(_LineReader):
    """Heads and rows of tables."""

    def __init__(self) -> None:
        super().__init__()
        self._scanner = Scanner()
        self._head = TableHead((), ())

    def feed(self, text: str) -> Iterator[TableHead | TableRow]:
        for line in self.lines(text):
            yield from self._read(line)

    def close(self) -> Iterator[TableHead | TableRow]:
        for line in self.last_line():
            yield from self._read(line)

    def _read(self, line: str) -> Iterator[TableHead | TableRow]:
        found = self._scanner.read(line)
        if found.leaf == "table":
            marks = [(cell[0] == ":", cell[-1] == ":") for cell in cells_of(found.rest)]
            self._head = TableHead((*cells_of(found.head),), (*(_ALIGN[mark] for mark in marks),))
            yield self._head
        elif found.leaf == "row":
            width = len(self._head.cells)
            cells = cells_of(found.rest)[:width]
            yield TableRow((*cells, *[""] * (width - len(cells))), self._head)


_ALIGN: Final[dict[tuple[bool, bool], Align | None]] = {
    (False, False): None,
    (True, False): "left",
    (True, True): "center",
    (False, True): "right",
}


class CodeReader:
    """Pieces of text and code; of a line only that is held which may be a fence."""

    def __init__(self) -> None:
        self._endings = Endings()
        self._scanner = Scanner()
        self._line: list[str] = []  # the pieces of the line that comes
        self._shown: type[Prose | Code] | None = None  # as which they are given, once it is known
        self._suspect = _Suspect()
        self._language: str | None = None  # of the open code

    def feed(self, text: str) -> Iterator[Prose | Code]:
        for piece in self._endings.feed(text):
            yield from self._read(piece)

    def close(self) -> Iterator[Prose | Code]:
        if rest := self._endings.close():
            yield from self._read(rest)
        if self._line:
            yield from self._whole_line()

    def _read(self, piece: str) -> Iterator[Prose | Code]:
        self._line.append(piece)
        is_whole = piece[-1] in "\r\n"
        if self._shown is Prose:
            yield Prose(piece)
        elif self._shown is Code:
            yield Code(piece, self._language or "")
        elif not is_whole and not self._suspect.may_be(piece):
            yield from self._no_fence()
        if is_whole:
            yield from self._whole_line()

    def _no_fence(self) -> Iterator[Prose | Code]:
        """Show the beginning of a line that is no fence, or not the one that ends the code."""
        line = "".join(self._line)
        if self._language is not None:
            code = self._scanner.code(line)
            if code is not None:
                self._shown = Code
                yield Code(code, self._language)
                return
            yield from self._done()
            self._suspect = _Suspect()  # what follows the code may be a fence again
            if self._suspect.may_be(line):
                return
        self._shown = Prose
        yield Prose(line)

    def _whole_line(self) -> Iterator[Prose | Code]:
        line, shown = "".join(self._line), self._shown
        self._line.clear()
        self._shown = None
        found = self._scanner.read(line)
        if shown is None:
            if found.left or found.leaf == "end of code":
                yield from self._done()
            if found.leaf == "fence":
                self._language = _first_word(found.info)
                yield Code("", self._language)
            elif found.leaf == "code" and found.rest:
                yield Code(found.rest, self._language or "")
            elif found.leaf not in ("code", "end of code"):
                yield Prose(line)
        self._suspect = _Suspect(self._scanner.fence if self._language is not None else "")

    def _done(self) -> Iterator[Code]:
        if self._language is not None:
            yield Code("", self._language, done=True)
            self._language = None


class _Suspect:
    """The beginning of a line that may be a fence, looked at once: margin, marks, then the rest.

    In code only the fence that ends it counts.
    """

    def __init__(self, ends: str = "") -> None:
        self._ends = ends
        self._margin = _MARGIN_IN_CODE if ends else _MARGIN
        self._least = len(ends) or 3
        self._mark = ""
        self._marks = 0
        self._in_rest = False

    def may_be(self, piece: str) -> bool:
        """Tell whether it may still be one, with this piece of the line."""
        if not self._mark:
            piece = piece[_length(self._margin, piece) :]
            if not piece:
                return True
            if piece[0] not in (self._ends[:1] or "`~"):
                return False
            self._mark = piece[0]
        if not self._in_rest:
            rest = piece.lstrip(self._mark)
            self._marks += len(piece) - len(rest)
            if not rest:
                return True
            if self._marks < self._least:
                return False
            self._in_rest, piece = True, rest
        if self._ends:
            return not piece.strip(BLANKS)
        return self._mark == "~" or "`" not in piece


_MARGIN: Final = re.compile(r"[ \t>\-+*\d.)]*", re.ASCII)  # marks of containers
_MARGIN_IN_CODE: Final = re.compile(r"[ \t>]*")


def _length(pattern: re.Pattern[str], text: str) -> int:
    found = pattern.match(text)
    return found.end() if found else 0


def _first_word(info: str) -> str:
    return info.replace("\t", " ").partition(" ")[0]
