"""What each wire format can say, one file each: the tests of formats read these tables."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from formats.wire import Wire

__all__ = ["WIRES", "Wire"]

WIRES: dict[str, Wire] = {
    path.stem: import_module(f"formats.{path.stem}").WIRE
    for path in sorted(Path(__file__).parent.glob("*.py"))
    if path.stem not in ("__init__", "wire")
}
