"""A provider without a socket: it says what its script says.

There are three spellings for a script: cue by cue, `Scripted("Hel", 0.5, "lo")`; as pictures,
`Scripted.drawn("--#", "-a-b|")`; and as faults, `Scripted.failing("429(2s) cut ok")`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Any, Self, TypeAlias

from reactivex import Observable, abc
from reactivex.abc import DisposableBase

from rxchat.errors import ConnectionLost
from rxchat.events import Event, Finish, Text
from rxchat.messages import Message, Prompt, messages
from rxchat.stream import Pump, Scope, Stream, source, wrap
from rxchat.testing.fault_scripts import fault_script
from rxchat.testing.marbles import CAPITALS, FRAME, read

__all__ = ["Cue", "Scripted", "said"]

SHOWN = 200  # characters of a script that is looked at

Cue: TypeAlias = Event | str | float | Exception


class Scripted:
    """Call it as a provider; it plays its cues in order, and then finishes.

    A string is `Text`, a number is a pause in seconds (`math.inf` is silence for ever), an
    exception ends the stream with it, an event is itself. `then` gives the next request another
    script; the last one is repeated. `prompts` and `options` have what was asked.

    >>> say = Scripted("Hel", 0.01, "lo")
    >>> say("Hi").run().reason
    'stop'
    >>> [[message.text for message in prompt] for prompt in say.prompts]
    [['Hi']]
    """

    def __init__(self, *script: Cue, name: str = "scripted") -> None:
        self.name = name
        self.prompts: list[tuple[Message, ...]] = []
        self.options: list[dict[str, Any]] = []  # what was asked for with each of them
        self.live = 0
        self.hung_up = 0
        self._scripts = [script]

    @classmethod
    def drawn(
        cls,
        *pictures: str,
        values: Mapping[str, Cue] | None = None,
        error: Exception | None = None,
        frame: float = FRAME,
        name: str = "scripted",
    ) -> Self:
        """Play a picture for each request in turn; `rxchat.testing.marbles` explains the signs.

        >>> import rxchat.operators as ops
        >>> from rxchat.testing import draw
        >>> provider = Scripted.drawn("--#", "-a-b|")
        >>> draw(provider("Hi").pipe(ops.retry(2, backoff=lambda number: 0.02)))
        '-----a-b|'
        """
        scripts = [_cues(picture, values or {}, error, frame) for picture in pictures]
        return cls._in_turn(scripts, name)

    @classmethod
    def failing(cls, script: str, *said: Event | str, name: str = "scripted") -> Self:
        """Fail as a service would; `rxchat.testing.fault_scripts` has the words.

        What it says, as far as it comes to that, are your pieces, or "Hel", "lo".

        >>> Scripted.failing("429(2s) ok")("Hi").run()
        Traceback (most recent call last):
        ...
        rxchat.errors.RateLimited: as planned (status 429; retry after 2.0 s)
        """
        return cls._in_turn([fault.cues for fault in fault_script(script, *said)], name)

    @classmethod
    def _in_turn(cls, scripts: list[tuple[Cue, ...]], name: str) -> Self:
        scripted = cls(name=name)
        scripted._scripts = scripts or scripted._scripts
        return scripted

    def then(self, *script: Cue) -> Self:
        """Play this script for the next request."""
        self._scripts.append(script)
        return self

    def __call__(self, prompt: Prompt, /, **options: Any) -> Stream[Event]:
        asked = messages(prompt)

        async def play(pump: Pump[Event]) -> None:
            script = self._scripts[min(len(self.prompts), len(self._scripts) - 1)]
            self.prompts.append(asked)
            self.options.append(options)
            self.live += 1
            try:
                for cue in (*script, Finish()):
                    await self._play(cue, pump)
                    if isinstance(cue, Finish):
                        return
            except asyncio.CancelledError:
                self.hung_up += 1
                raise
            finally:
                self.live -= 1

        return _recorded(source(play, self.name))

    def __repr__(self) -> str:
        script = ", ".join(map(repr, self._scripts[0]))
        more = f", then {len(self._scripts) - 1} more" if len(self._scripts) > 1 else ""
        return f"<Scripted {self.name!r}: {script[:SHOWN]}{more}>"

    async def _play(self, cue: Cue, pump: Pump[Event]) -> None:
        if isinstance(cue, Exception):
            raise cue.with_traceback(None)  # which would grow with every run
        if cue == math.inf:
            await asyncio.get_running_loop().create_future()
        elif isinstance(cue, int | float):
            await asyncio.sleep(cue)
        else:
            await pump.send(Text(cue) if isinstance(cue, str) else cue)


def _recorded(stream: Stream[Event]) -> Stream[Event]:
    """The stream, which has a lane in a timeline, as a request of a real provider has."""

    def subscribe(
        observer: abc.ObserverBase[Event], scheduler: abc.SchedulerBase | None = None
    ) -> DisposableBase:
        scope = Scope.of(scheduler)
        heard: Observable[Event] = stream
        if scope.recorder is not None:
            heard, _ = scope.recorder.part(stream, scope)
        return heard.subscribe(observer, scheduler=scope)

    return wrap(Observable(subscribe), stream.name)


def said(
    *pictures: str,
    values: Mapping[str, Cue] | None = None,
    error: Exception | None = None,
    frame: float = FRAME,
) -> Stream[Event]:
    """A provider's stream from a picture, or from one picture per subscription in turn.

    >>> from rxchat import operators as ops
    >>> from rxchat.testing import draw
    >>> draw(said("S-a-b|").pipe(ops.take(2)))
    'S-(a|)'
    """
    return Scripted.drawn(*pictures, values=values, error=error, frame=frame, name="said")("")


def _cues(
    picture: str, values: Mapping[str, Cue], error: Exception | None, frame: float
) -> tuple[Cue, ...]:
    """A picture as a script."""
    meaning = {**CAPITALS, **values, "#": error or ConnectionLost("as drawn"), "|": Finish()}
    cues: list[Cue] = []
    now = 0
    for at, sign in read(picture):
        if at > now:
            cues.append((at - now) * frame)
            now = at
        cues.append(meaning.get(sign, sign))
    return (*cues, math.inf)
