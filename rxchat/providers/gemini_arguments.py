"""The arguments of Gemini's calls: whole, or bit by bit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import StringIO
from typing import Any

from rxchat.providers.frames import fields, items, spaced_json, text

__all__ = ["Arguments"]


# Steps of a path; what stands in quotes may be anything.
_STEP = re.compile(
    r"""\.([^.\[]+) | \[(\d{1,9})\] | \['((?:[^'\\]|\\.)*)'\] | \["((?:[^"\\]|\\.)*)"\]""",
    re.VERBOSE,
)
_LONGEST = 400  # characters of a path that are looked at: nothing is nested deeper than half of it


class Arguments:
    """Arguments that come bit by bit, each bit under its path (RFC 9535).

    >>> arguments = Arguments({})
    >>> arguments.add([{"jsonPath": "$.to[0]", "stringValue": "Os", "willContinue": True}])
    >>> arguments.add([{"jsonPath": "$.to[0]", "stringValue": "lo"}])
    >>> arguments.json
    '{"to": ["Oslo"]}'
    """

    def __init__(self, begun: Mapping[str, Any]) -> None:
        self._begun = begun
        self._values: dict[str, Any] = {}  # by their paths

    def add(self, bits: object) -> None:
        """Take more values, or more of a text."""
        for bit in map(fields, items(bits)):
            path, said = text(bit.get("jsonPath")), bit.get("stringValue")
            if isinstance(said, str):
                if not isinstance(self._values.get(path), StringIO):
                    self._values[path] = StringIO()
                self._values[path].write(said)
            else:
                self._values[path] = bit.get("numberValue", bit.get("boolValue"))

    @property
    def json(self) -> str:
        """All that came."""
        tree = _Branch(self._begun.items())
        for path, value in self._values.items():
            *way, last = _steps(path)
            branch = tree
            for step in way:
                if not isinstance(branch.get(step), _Branch):
                    branch[step] = _Branch()
                branch = branch[step]
            branch[last] = value.getvalue() if isinstance(value, StringIO) else value
        return spaced_json(_with_lists(tree))


class _Branch(dict[int | str, Any]):
    """What has more under it; with numbers for names, it is to be a list."""


def _steps(path: str) -> list[int | str]:
    found = _STEP.findall(path, 0, _LONGEST)
    return [
        int(place) if place else re.sub(r"\\(.)", r"\1", name or single or double)
        for name, place, single, double in found
    ] or [path]


def _with_lists(value: Any) -> Any:
    if not isinstance(value, _Branch):
        return value
    branches = {name: _with_lists(inner) for name, inner in value.items()}
    is_list = branches and all(isinstance(name, int) for name in branches)
    return [branches[place] for place in sorted(branches)] if is_list else branches
