"""Markdown as it comes: code apart from text, whole blocks, rows of tables.

Strategy. CommonMark is a language of lines, and what a line is depends on those before it only:
so a scanner goes on from line to line, and nothing is parsed twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

from reactivex import Observable, abc

from rxchat.events import Finish, Refusal, Reset, ToolCall
from rxchat.operators.texts.markdown_readers import (
    Block,
    BlockReader,
    Code,
    CodeReader,
    Prose,
    TableHead,
    TableReader,
    TableRow,
)
from rxchat.operators.texts.shaping import piece_of
from rxchat.stream import Hop, lifted

__all__ = [
    "Block",
    "Code",
    "Prose",
    "TableHead",
    "TableRow",
    "code_blocks",
    "markdown_blocks",
    "tables",
]

V = TypeVar("V")
V_co = TypeVar("V_co", covariant=True)


def code_blocks() -> Callable[[Observable[Any]], Observable[Prose | Code]]:
    r"""Text and fenced code apart, as they come; also of fences in lists and quotes.

    Joined, the pieces are the same at any cut. The lines with the fences are left out, and of
    code in a list or a quote its indentation or marks. Held back is the beginning of a line while
    it may be a fence; kept is the line that comes, so the longest line bounds the memory. Takes
    texts or events, of the first of several answers; a tool call ends its text, and it begins
    anew after a `Reset` that restarts.

    >>> from rxchat import of
    >>> from reactivex import operators as rx
    >>> pieces = of("So:\n``", "`py\nprint(", "1)\n```\n").pipe(code_blocks(), rx.to_list()).run()
    >>> [(type(piece).__name__, piece.text) for piece in pieces]
    [('Prose', 'So:\n'), ('Code', ''), ('Code', 'print('), ('Code', '1)\n'), ('Code', '')]
    >>> pieces[-1]
    Code(text='', language='py', done=True)
    """
    return _values(CodeReader, whole=False)


def markdown_blocks() -> Callable[[Observable[Any]], Observable[Block]]:
    r"""Each block of the outermost level, when it is complete.

    A heading, a rule and fenced code are complete with their last line; all else with the line
    after it, a list only when what comes is no more of it. The blocks are CommonMark's, and tables
    GitHub's, but definitions of links are paragraphs. An error leaves out the block that it cuts.
    The longest block bounds the memory. Takes texts or events, as `code_blocks` does.

    >>> from rxchat import of
    >>> from reactivex import operators as rx
    >>> found = of("# Hi\n", "\nText\n- a\n- b\n").pipe(markdown_blocks(), rx.to_list()).run()
    >>> [block.kind for block in found]
    ['heading', 'blank', 'paragraph', 'list']
    """
    return _values(BlockReader)


def tables() -> Callable[[Observable[Any]], Observable[TableHead | TableRow]]:
    r"""The head of each table, then each row as soon as its line is complete.

    Tables are GitHub's: in a cell, also in code, a pipe is written `\|`. An error leaves out the
    row that it cuts. The longest line bounds the memory; a table has at most 1000 columns. Takes
    texts or events, as `code_blocks` does.

    >>> from rxchat import of
    >>> from reactivex import operators as rx
    >>> head, row = of("a | b\n-|-:\n1 ", "| 2").pipe(tables(), rx.to_list()).run()
    >>> head.align, row.by_name()
    ((None, 'right'), {'a': '1', 'b': '2'})
    """
    return _values(TableReader)


class _Reader(Protocol[V_co]):
    """Text in pieces, to values; what is left comes with `close`."""

    def feed(self, text: str, /) -> Iterable[V_co]: ...
    def close(self) -> Iterable[V_co]: ...


def _values(
    make: Callable[[], _Reader[V]], *, whole: bool = True
) -> Callable[[Observable[Any]], Observable[V]]:
    """The operator of a reader; if its values must be `whole`, an error leaves out the last."""

    return lifted(lambda observer: _Reading(observer, make, whole))


class _Reading(Hop[Any]):
    __slots__ = ("_emit", "_make", "_reader", "_whole")

    def __init__(
        self, observer: abc.ObserverBase[Any], make: Callable[[], _Reader[Any]], whole: bool
    ) -> None:
        super().__init__(observer)
        self._emit = observer.on_next
        self._make = make
        self._whole = whole
        self._reader = make()

    def on_next(self, item: Any) -> None:
        text = piece_of(item)
        if text is not None:
            for value in self._reader.feed(text):
                self._emit(value)
        elif isinstance(item, Reset):
            if item.kind == "restart":
                self._reader = self._make()
        elif isinstance(item, Finish | ToolCall | Refusal) and item.choice == 0:
            self._flush()

    def on_error(self, error: Exception) -> None:
        if not self._whole:
            self._flush()
        self.observer.on_error(error)

    def on_completed(self) -> None:
        self._flush()
        self.observer.on_completed()

    def _flush(self) -> None:
        reader, self._reader = self._reader, self._make()
        for value in reader.close():
            self._emit(value)
