"""What a cell shows already: as its last expression, `await show(...)` draws nothing more."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from rxchat.notebook.cells.cell import current_cell
from rxchat.operators.gathering.collecting import Answer

__all__ = ["AnswerShown", "AnswersShown", "shown_in"]


def _draw_only_elsewhere(cell: int | None) -> None:
    if cell is None or cell != current_cell():
        raise NotImplementedError  # so IPython draws it as it draws any other


@attrs.frozen
class AnswerShown(Answer):
    """An `Answer` as any other, but for its display in the cell that shows it already."""

    cell: int | None = attrs.field(default=None, kw_only=True, repr=False, eq=False)

    def _ipython_display_(self) -> None:
        _draw_only_elsewhere(self.cell)


class AnswersShown(dict[str, Answer | Exception]):
    """The same of several, by their labels."""

    def __init__(self, answers: Mapping[str, Answer | Exception], cell: int | None) -> None:
        super().__init__(answers)
        self._cell = cell

    def _ipython_display_(self) -> None:
        _draw_only_elsewhere(self._cell)


def shown_in(cell: int | None, answer: Answer) -> Answer:
    """The answer, which that cell shows; none does where there is no notebook."""
    if cell is None:
        return answer
    return AnswerShown(**attrs.asdict(answer, recurse=False), cell=cell)
