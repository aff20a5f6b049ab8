"""Texts cut anywhere: what the laws of text operators are tried on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

import rxchat
from rxchat.testing import run_virtual

__all__ = ["cuts", "one_by_one", "run"]


def cuts(text: str) -> st.SearchStrategy[list[str]]:
    """The text in pieces, cut anywhere, empty ones among them."""
    places = st.lists(st.integers(0, len(text)), max_size=min(len(text) + 2, 30))
    return places.map(lambda found: cut(text, found))


def cut(text: str, places: Iterable[int]) -> list[str]:
    edges = [0, *sorted(places), len(text)]
    return [text[start:end] for start, end in pairwise(edges)]


def one_by_one(text: str) -> list[str]:
    """The text a character at a time."""
    return [*text]


def run(operator: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """What an operator makes of items that come one after the other, in virtual time."""

    async def emit(pump: rxchat.Pump[Any]) -> None:
        for item in items:
            await pump.send(item)
            await asyncio.sleep(0)

    async def main() -> list[Any]:
        return [item async for item in rxchat.source(emit).pipe(operator)]

    return run_virtual(main())
