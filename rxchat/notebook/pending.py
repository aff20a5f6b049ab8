"""What is to be awaited says so to whoever takes it for what it will give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["Pending"]


class Pending:
    """Something to `await`; `awaited` is how to write that."""

    awaited: str

    if not TYPE_CHECKING:  # a checker finds the mistake by itself

        def __getattr__(self, name: str) -> Any:
            told = f"{type(self).__name__!r} object has no attribute {name!r}"
            raise AttributeError(f"{told}; it is to be awaited: write `{self.awaited}`")
