"""`python -m rxchat demo`: scenes that need no key and no network."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from rxchat.cli import exits

__all__ = ["add"]


def add(parser: argparse.ArgumentParser) -> None:
    """What can be said to it."""
    parser.add_argument(
        "--save", metavar="FOLDER", type=Path, help="keep the picture of each scene there, as SVG"
    )
    parser.set_defaults(run=_run)


def _run(said: argparse.Namespace) -> int:
    from rxchat.demo import demo

    if said.save is not None:
        said.save.mkdir(parents=True, exist_ok=True)
    return exits.OK if asyncio.run(demo(sys.stdout, said.save)) else exits.FAILED
