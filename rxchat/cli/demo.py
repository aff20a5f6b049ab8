"""`python -m rxchat demo`: scenes that need no key and no network."""

from __future__ import annotations

import argparse
import asyncio
import sys

from rxchat.cli import exits

__all__ = ["add"]


def add(parser: argparse.ArgumentParser) -> None:
    """Nothing can be said to it."""
    parser.set_defaults(run=_run)


def _run(said: argparse.Namespace) -> int:
    from rxchat.demo import demo

    return exits.OK if asyncio.run(demo(sys.stdout)) else exits.FAILED
