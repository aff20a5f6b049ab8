"""A table on standard output, drawn where a terminal can, and else aligned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rxchat.cli.untrusted import one_line
from rxchat.notebook.words import aligned

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["print_table"]


def print_table(
    console: Console | None, head: Sequence[str], rows: Sequence[Sequence[str]], right: int
) -> None:
    """Print rows; from column `right` on, they are numbers."""
    rows = [[one_line(cell) for cell in row] for row in rows]
    if console is None:
        print(aligned([head, *rows], right))
        return
    from rich.table import Table

    table = Table(show_edge=False, pad_edge=False)
    for at, title in enumerate(head):
        table.add_column(title, justify="right" if at >= right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)
