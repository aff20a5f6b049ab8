"""A provider without a socket: it says what its script says."""

from __future__ import annotations

import asyncio
from typing import TypeAlias

from rxchat.events import Event, Finish, Text
from rxchat.messages import Message, Prompt, messages
from rxchat.stream import Pump, Stream, source

__all__ = ["Cue", "Scripted"]

Cue: TypeAlias = Event | str | float | Exception


class Scripted:
    """Call it as a provider; it plays its cues in order, and then finishes.

    A string is `Text`, a number is a pause in seconds, an exception ends the stream with it, an
    event is itself. `then` gives the next request another script; the last one is repeated.

    >>> say = Scripted("Hel", 0.01, "lo")
    >>> say("Hi").run().reason
    'stop'
    >>> [[message.text for message in prompt] for prompt in say.prompts]
    [['Hi']]
    """

    def __init__(self, *script: Cue, name: str = "scripted") -> None:
        self.name = name
        self.prompts: list[tuple[Message, ...]] = []
        self.live = 0
        self.hung_up = 0
        self._scripts = [script]

    def then(self, *script: Cue) -> Scripted:
        """Play this script for the next request."""
        self._scripts.append(script)
        return self

    def __call__(self, prompt: Prompt) -> Stream[Event]:
        asked = messages(prompt)

        async def play(pump: Pump[Event]) -> None:
            script = self._scripts[min(len(self.prompts), len(self._scripts) - 1)]
            self.prompts.append(asked)
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

        return source(play, self.name)

    async def _play(self, cue: Cue, pump: Pump[Event]) -> None:
        if isinstance(cue, Exception):
            raise cue
        if isinstance(cue, int | float):
            await asyncio.sleep(cue)
        else:
            await pump.send(Text(cue) if isinstance(cue, str) else cue)
