"""What griffe reads of the code, made fit to be shown.

Examples and tables in docstrings are shown as they are written. Classes whose fields are their
parameters (attrs, msgspec) get the signature that they have.
"""

from __future__ import annotations

import re
from importlib import import_module
from inspect import Parameter, signature
from typing import Any

import attrs
import griffe
from msgspec import Struct

__all__ = ["AsWritten", "as_markdown"]

COLUMNS = re.compile(r"\S {3,}\S")
KINDS: dict[Any, griffe.ParameterKind] = {
    Parameter.POSITIONAL_ONLY: griffe.ParameterKind.positional_only,
    Parameter.POSITIONAL_OR_KEYWORD: griffe.ParameterKind.positional_or_keyword,
    Parameter.KEYWORD_ONLY: griffe.ParameterKind.keyword_only,
}
PLAIN = (str, int, float, tuple, type(None))


def as_markdown(docstring: str) -> str:
    """Fences around each paragraph that is an example, or has columns."""
    return "\n\n".join(map(_paragraph, docstring.split("\n\n")))


def _paragraph(words: str) -> str:
    if words.startswith(">>> "):
        return f"```pycon\n{words}\n```"
    if not words.startswith("    ") and COLUMNS.search(words):
        return f"```text\n{words}\n```"
    return words


class AsWritten(griffe.Extension):
    """Does so for all that griffe reads."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        is_plain = cls.parent is cls.module and "__init__" not in cls.members
        if is_plain and (live := _class_of(cls)):
            parameters = (_parameter(it, cls) for it in signature(live).parameters.values())
            made = griffe.Function("__init__", parameters=griffe.Parameters(*parameters))
            cls.set_member("__init__", made)


def _class_of(cls: griffe.Class) -> type | None:
    """The class itself, if its fields are its parameters."""
    marks = [str(it.value) for it in cls.decorators] + [str(base) for base in cls.bases]
    if not any(re.match(r"(attrs\.)?(frozen|define)\b|Struct$", mark) for mark in marks):
        return None
    live = getattr(import_module(cls.module.path), cls.name)
    return live if attrs.has(live) or issubclass(live, Struct) else None


def _parameter(live: Parameter, cls: griffe.Class) -> griffe.Parameter:
    field = cls.attributes.get(live.name)
    return griffe.Parameter(
        live.name,
        annotation=field.annotation if field else None,
        kind=KINDS[live.kind],
        default=None if live.default is Parameter.empty else _default(live.default),
    )


def _default(value: object) -> str:
    """What stands for it in code; a factory and the like are three dots."""
    return repr(value) if isinstance(value, PLAIN) else getattr(value, "__name__", "...")
