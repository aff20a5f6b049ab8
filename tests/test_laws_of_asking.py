"""Whatever happens when, and however retry, fallback, race, hedge and shared are nested:

one attempt is heard at a time and from its start, another only after a `Reset`; nothing comes
after the end or after leaving; nobody is left running; nobody is asked too often.
"""

from __future__ import annotations

import asyncio
from itertools import groupby
from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

import rxchat
from rxchat import operators as ops
from rxchat.errors import BadRequest, CallbackFailed, ConnectionLost, RateLimited
from rxchat.events import Finish, Reset, Start, Usage
from rxchat.operators.asking.sharing import shared
from rxchat.stream import Pump, Stream
from rxchat.testing import run_virtual

ENDS: dict[str, Any] = {
    "ends": lambda: None,
    "lost": lambda: ConnectionLost("lost"),
    "busy": lambda: RateLimited("busy", retry_after=0.5),
    "wrong": lambda: BadRequest("wrong"),
    "fatal": lambda: CallbackFailed("a bug"),
    "hangs": lambda: None,
}


@attrs.frozen
class Said:
    """A piece of content that knows where it comes from."""

    source: int
    run: int
    index: int


def origin(item: Any) -> str | None:
    """Which attempt an item is of, as far as it tells."""
    if isinstance(item, Said):
        return f"{item.source}.{item.run}"
    return item.id if isinstance(item, Start) else None


@attrs.define(eq=False)
class Source:
    """Plays another script for each subscription; the last one again and again."""

    number: int
    scripts: list[tuple[list[tuple[float, bool]], str]]
    runs: int = 0
    live: int = 0

    @property
    def stream(self) -> Stream[Any]:
        return rxchat.source(self._play, f"source {self.number}")

    async def _play(self, pump: Pump[Any]) -> None:
        moments, end = self.scripts[min(self.runs, len(self.scripts) - 1)]
        run, index = self.runs, 0
        self.runs += 1
        self.live += 1
        try:
            for pause, content in moments:
                if pause:
                    await asyncio.sleep(pause)
                pump.emit(
                    Said(self.number, run, index) if content else Start(id=f"{self.number}.{run}")
                )
                index += content
            if end == "hangs":
                await asyncio.Event().wait()
            if failure := ENDS[end]():
                raise failure
            pump.emit(Usage(output=index))
            pump.emit(Finish())
        finally:
            self.live -= 1


moments = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.4]), st.booleans()), max_size=5)
scripts = st.lists(st.tuples(moments, st.sampled_from(sorted(ENDS))), min_size=1, max_size=3)
pauses = st.sampled_from([0.0, 0.2, 1.0])
commits = st.sampled_from(["content", 2, lambda item: isinstance(item, Said) and item.index >= 1])
policies = st.sampled_from(["raise", "restart"])


@attrs.frozen
class Tree:
    """A pipeline, and how often its sources may be asked in all."""

    stream: Stream[Any]
    sources: list[Source]
    allowed: int
    shape: str
    restarts: bool = False

    @property
    def runs(self) -> int:
        return sum(source.runs for source in self.sources)

    def __repr__(self) -> str:
        return f"{self.shape} of {[source.scripts for source in self.sources]}"


@st.composite
def leaves(draw: st.DrawFn) -> Tree:
    source = Source(draw(st.integers(0, 10**9)), draw(scripts))
    return Tree(source.stream, [source], 1, "source")


@st.composite
def joins(draw: st.DrawFn, children: st.SearchStrategy[Tree]) -> Tree:
    trees = draw(st.lists(children, min_size=1, max_size=3))
    commit, after_commit = draw(commits), draw(policies)
    kind = draw(st.sampled_from(["race", "hedge", "fallback", "retry", "shared"]))
    streams = [tree.stream for tree in trees]
    sources = [source for tree in trees for source in tree.sources]
    allowed = sum(tree.allowed for tree in trees)
    if kind == "race":
        stream = rxchat.race(*streams, commit=commit)
    elif kind == "hedge":
        stream = rxchat.hedge(*streams, after=draw(pauses), commit=commit)
    elif kind == "fallback":
        stream = rxchat.fallback(*streams, commit=commit, after_commit=after_commit)
    else:
        first = trees[0]
        sources, allowed = first.sources, first.allowed
        if kind == "retry":
            attempts, pause = draw(st.integers(1, 3)), draw(pauses)
            allowed *= attempts
            again = ops.retry(
                attempts, backoff=lambda n: pause, commit=commit, after_commit=after_commit
            )
            stream = first.stream.pipe(again)
        else:
            stream = first.stream.pipe(shared())
    restarts = any(tree.restarts for tree in trees) or after_commit == "restart"
    shape = f"{kind}({', '.join(tree.shape for tree in trees)})"
    return Tree(stream, sources, allowed, shape, restarts)


trees = st.recursive(leaves(), joins, max_leaves=6)


async def watched(tree: Tree, leave_after: float) -> tuple[list[Any], list[str]]:
    """What is heard until the end, or until one leaves; and how it ended."""
    heard: list[Any] = []
    ends: list[str] = []

    def hear(item: Any) -> None:
        assert not ends, "something came after the end"
        heard.append(item)

    subscription = tree.stream.subscribe(
        hear, lambda error: ends.append(type(error).__name__), lambda: ends.append("completed")
    )
    await asyncio.sleep(leave_after)
    if not ends:
        subscription.dispose()
        ends.append("left")
    before = len(heard), tree.runs
    await subscription.wait_closed()
    await asyncio.sleep(99)  # for whoever was forgotten
    assert (len(heard), tree.runs) == before, "somebody spoke or was asked after the end"
    return heard, ends


@settings(max_examples=1500)
@given(trees, st.sampled_from([0.0, 0.05, 0.3, 0.9, 30.0]))
def test_one_attempt_is_heard_at_a_time_and_nobody_is_left_or_asked_too_often(
    tree: Tree, leave_after: float
) -> None:
    heard, ends = run_virtual(watched(tree, leave_after))
    assert len(ends) == 1
    assert all(source.live == 0 for source in tree.sources)
    assert tree.runs <= tree.allowed
    assert tree.restarts or not any(type(item) is Reset for item in heard)
    for _, part in groupby(heard, lambda item: type(item) is Reset):
        items = [*part]
        assert len({*map(origin, items)} - {None}) <= 1
        said = [item.index for item in items if isinstance(item, Said)]
        assert said == [*range(len(said))]
    if ends == ["completed"] and any(type(item) is Finish for item in heard):
        assert type(heard[-1]) is Finish
        assert sum(type(item) is Finish for item in heard) == 1


@settings(max_examples=300)
@given(trees)
def test_a_stream_can_be_run_again_after_any_end(tree: Tree) -> None:
    async def twice() -> None:
        await watched(tree, 5.0)
        await watched(tree, 5.0)

    run_virtual(twice())
    assert all(source.live == 0 for source in tree.sources)
