"""What a cell shows already: as its last expression, `await show(...)` says only that."""

from __future__ import annotations

from typing import Any

import attrs

from rxchat.notebook.cells.cell import current_cell
from rxchat.operators.gathering.collecting import Answer

__all__ = ["AnswerShown", "shown_in"]


@attrs.frozen(repr=False)
class AnswerShown(Answer):
    """An `Answer` as any other, but a line in the cell that shows it already."""

    cell: int | None = attrs.field(default=None, kw_only=True, eq=False)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        if self.cell == current_cell():
            return {"text/plain": repr(self)}
        return super()._repr_mimebundle_(include, exclude)


def shown_in(cell: int | None, answer: Answer) -> Answer:
    """The answer, which that cell shows; none does where there is no notebook."""
    if cell is None:
        return answer
    return AnswerShown(**attrs.asdict(answer, recurse=False), cell=cell)
