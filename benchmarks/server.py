"""A local server in a process of its own, cheap enough not to be what is measured.

It answers any request; the path says how: /<kind>/<manner>/<amount>/<path of the provider>, where
the kind is one of `voices.py`.

    bulk      so many events, in large writes
    packet    so many events, each a packet and a wake-up of the client
    flood     so many bytes of events, as fast as they are taken
    hold      so many events, and then nothing more
    live      an event fifty times a second, whose word is the time; the amount says nothing

It prints its address, and stops when its standard input ends.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from itertools import count, cycle, islice

from benchmarks.voices import VOICES

PACE = 0.0003  # seconds between two packets, so that the client falls asleep in between
WRITE = 64 * 1024  # bytes of a large write
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n"
SPEED = 50  # events per second of a live stream
PHASES = 20  # live streams do not speak all at once


def words(kind: str, amount: int) -> list[str]:
    """The texts of so many events."""
    return list(islice(cycle(VOICES[kind].words), amount))


@cache
def writes(kind: str, amount: int) -> list[bytes]:
    """A whole answer of so many events, in large writes that are cut anywhere."""
    voice = VOICES[kind]
    body = b"".join((voice.opening, *map(voice.event, words(kind, amount)), voice.ending))
    return [body[at : at + WRITE] for at in range(0, len(body), WRITE)]


@cache
def packets(kind: str) -> list[bytes]:
    return [VOICES[kind].event(word) for word in VOICES[kind].words]


async def parts(manner: str, kind: str, amount: int) -> AsyncIterator[bytes]:
    """The body of an answer, as it is to be written."""
    if manner == "bulk":
        for part in writes(kind, amount):
            yield part
    elif manner == "flood":
        whole = writes(kind, 100_000)[:-1]
        for part in islice(cycle(whole), -(-amount // WRITE)):
            yield part
    else:
        if opening := VOICES[kind].opening:
            yield opening
        for part in islice(cycle(packets(kind)), 0 if manner == "live" else amount):
            yield part
            # The loop's own timers are too coarse, and nobody else is served meanwhile.
            time.sleep(PACE)  # noqa: ASYNC251
        if manner == "packet" and (ending := VOICES[kind].ending):
            yield ending


def chunk(part: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(part), part)


Live = set[tuple[str, asyncio.StreamWriter]]
_live: list[Live] = [set() for _ in range(PHASES)]


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection."""
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            lines = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:-1])
            await reader.readexactly(int(lines.get("content-length", 0)))
            _, kind, manner, amount, *_ = head.split(" ", 2)[1].split("/")
            writer.write(HEAD % VOICES[kind].media.encode())
            async for part in parts(manner, kind, int(amount)):
                writer.write(chunk(part))
                await writer.drain()
            phase = min(_live, key=len)
            if manner == "live":
                phase.add((kind, writer))
            if manner in ("live", "hold"):
                try:
                    await reader.readexactly(1)  # which fails when the client hangs up
                finally:
                    phase.discard((kind, writer))
            writer.write(b"0\r\n\r\n")
    writer.close()


async def beat() -> None:
    """Write the time into every live stream, a phase after the other."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number in count(1):
        await asyncio.sleep(began + number / SPEED / PHASES - loop.time())
        for kind, writer in tuple(_live[number % PHASES]):
            now = b"%.6f" % time.monotonic()
            writer.write(chunk(timed(kind).replace(b"TIME", now)))


@cache
def timed(kind: str) -> bytes:
    return VOICES[kind].event("TIME")


async def serve() -> None:
    """Serve until standard input ends."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=2048)
    beating = asyncio.create_task(beat())
    host, port = server.sockets[0].getsockname()
    print(f"http://{host}:{port}", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    beating.cancel()


@contextmanager
def local_server(core: int | None = None) -> Iterator[str]:
    """Run this file in a process of its own, and on a core of its own if one is named."""
    command = [sys.executable, "-m", "benchmarks.server"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
        yield process.stdout.readline().strip()
        process.communicate()  # which ends its standard input


if __name__ == "__main__":
    asyncio.run(serve())
