"""What may be given to an operator: told at once, and with what it should have been."""

from __future__ import annotations

import math
from typing import Any

from rxchat.errors import UsageError

__all__ = ["function", "number", "whole"]


def function(owner: str, *, optional: bool = False, **given: Any) -> None:
    """Refuse what cannot be called."""
    for name, value in given.items():
        if not callable(value) and not (optional and value is None):
            raise UsageError(f"{owner}({name}=) takes a function, not {value!r}")


def whole(owner: str, least: int = 1, /, **given: Any) -> None:
    """Refuse what is no whole number, or too small."""
    for name, value in given.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise UsageError(
                f"{owner}({name}=) takes a whole number, at least {least}, not {value!r}"
            )


def number(owner: str, *, above: float = -math.inf, least: float = -math.inf, **given: Any) -> None:
    """Refuse what is no number, or out of range; `inf` is none, unless the range says so."""
    for name, value in given.items():
        fits = isinstance(value, int | float) and not isinstance(value, bool)
        if not (fits and value > above and value >= least):
            bound = f"above {above:g}" if above > -math.inf else f"at least {least:g}"
            raise UsageError(f"{owner}({name}=) takes a number {bound}, not {value!r}")
