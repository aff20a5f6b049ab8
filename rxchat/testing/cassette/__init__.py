"""Records a live answer with its timing and its cuts, and plays it back without a network.

A cassette stands in the place of the session that requests are sent with. `recording` is what it
does while it records, `playing` while it plays; `cleaning` takes keys out before anything is
written; `tape` is what is in the file.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias, get_args

from rxchat.errors import UsageError
from rxchat.testing.cassette.playing import NotRecorded, Player
from rxchat.testing.cassette.recording import Recorder
from rxchat.testing.cassette.tape import load, save

__all__ = ["Cassette", "NotRecorded"]

Mode: TypeAlias = Literal["once", "record", "play"]


class Cassette:
    """A session that records what it is asked, or plays it if that is recorded.

        with Cassette("tests/sky.json") as tape:
            words = [word async for word in openai.but(session=tape)("Hi").pipe(ops.text())]

    `mode="once"` plays if the file is there and records if not; "record" always records, "play"
    never does. What was recorded is written when the block ends without an error, whole or not at
    all; after an error the file is as it was before. What is still open then is recorded as hung
    up. It records with `session`, or else with the one that rxchat shares.

    Not written are keys, cookies, all else that rxchat does not show, names of organizations,
    projects and accounts, the headers that `hide` names, and the values of all these wherever
    else they are said. Prompts and answers are written: they are what a cassette is for.

    A request is found by method, address and body; each recording is played once, in the order of
    the file. It takes the time it took, on the loop's clock; with `instantly=True` each read takes
    one turn of the loop.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        mode: Mode = "once",
        session: Any = None,
        hide: Iterable[str] = (),
        instantly: bool = False,
    ) -> None:
        if mode not in get_args(Mode):
            raise UsageError(f"mode is one of {', '.join(get_args(Mode))}, not {mode!r}")
        if isinstance(hide, str):
            raise UsageError(f"hide is a list of names: hide=[{hide!r}]")
        if session is not None and not hasattr(session, "request"):
            raise UsageError(f"session is an aiohttp.ClientSession, not {type(session).__name__}")
        self.path = Path(path)
        self.mode = mode
        self._session = session
        self._hidden = frozenset(name.lower() for name in hide)
        self._instantly = instantly
        self._deck: Recorder | Player | None = None
        self._open = False

    @property
    def left(self) -> list[str]:
        """What is recorded and has not been played yet: a method and an address each."""
        return self._deck.left if isinstance(self._deck, Player) else []

    def __enter__(self) -> Self:
        if self._deck is not None:
            raise UsageError(f"{self!r} has been opened before: make another one")
        if self.mode == "play" or (self.mode == "once" and self.path.exists()):
            self._deck = Player(self.path, load(self.path), self._hidden, self._instantly)
        else:
            self._deck = Recorder(self._session, self._hidden)
        self._open = True
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._open = False
        if isinstance(self._deck, Recorder) and kind is None:
            recordings = self._deck.finish()
            if recordings:
                save(self.path, recordings)

    async def request(
        self,
        method: str,
        url: object,
        *,
        data: bytes | AsyncIterable[bytes] = b"",
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Any:
        """Ask, as `aiohttp.ClientSession.request` does."""
        if self._deck is None or not self._open:
            raise UsageError(f"{self!r} is not open: ask inside `with Cassette(...) as tape:`")
        return await self._deck.request(method, url, data, headers or {}, options)

    def __repr__(self) -> str:
        return f"<cassette {self.path}>"
