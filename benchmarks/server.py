"""A local server in a process of its own, cheap enough not to be what is measured.

It answers any request; the path says how: /<kind>/<manner>/<amount>/<path of the provider>.

    ndjson    events are lines, as FlowGpt has them
    text      events are pieces of text
    ascii     they are, and every character is a byte

    bulk      so many events, in large writes
    packet    so many events, each a packet and a wake-up of the client
    flood     so many bytes of events, as fast as they are taken
    hold      so many events, and then nothing more

It prints its address, and stops when its standard input ends.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from itertools import cycle, islice

WORDS = (
    "Why is the sky",
    " blue?",
    " Потому что",
    " air scatters",
    " short waves,",
    " 空が青い 🙂 ",
)
PACE = 0.0003  # seconds between two packets, so that the client falls asleep in between
WRITE = 64 * 1024  # bytes of a large write
TYPES = {"ndjson": b"application/x-ndjson", "text": b"text/plain", "ascii": b"text/plain"}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n"


def words(count: int) -> list[str]:
    """The texts of so many events."""
    return list(islice(cycle(WORDS), count))


def event(kind: str, word: str) -> bytes:
    """An event on the wire: a blank line follows each of FlowGpt's."""
    if kind == "ndjson":
        line = json.dumps({"event": "text", "data": word}, ensure_ascii=False)
        return f"{line}\n\n".encode()
    return word.encode("ascii", "replace") if kind == "ascii" else word.encode()


@cache
def writes(kind: str, count: int) -> list[bytes]:
    """So many events, in large writes that are cut anywhere."""
    body = b"".join(event(kind, word) for word in words(count))
    return [body[at : at + WRITE] for at in range(0, len(body), WRITE)]


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
        rendered = [event(kind, word) for word in WORDS]
        for part in islice(cycle(rendered), amount):
            yield part
            # The loop's own timers are too coarse, and nobody else is served meanwhile.
            time.sleep(PACE)  # noqa: ASYNC251


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection."""
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            lines = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:-1])
            await reader.readexactly(int(lines.get("content-length", 0)))
            _, kind, manner, amount, *_ = head.split(" ", 2)[1].split("/")
            writer.write(HEAD % TYPES[kind])
            async for part in parts(manner, kind, int(amount)):
                writer.write(b"%x\r\n%b\r\n" % (len(part), part))
                await writer.drain()
            if manner == "hold":
                await reader.readexactly(1)  # which fails when the client hangs up
            writer.write(b"0\r\n\r\n")
    writer.close()


async def serve() -> None:
    """Serve until standard input ends."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=2048)
    host, port = server.sockets[0].getsockname()
    print(f"http://{host}:{port}", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


@contextmanager
def local_server() -> Iterator[str]:
    """Run this file in a process of its own, and give its address."""
    command = [sys.executable, __file__]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate()  # which ends its standard input


if __name__ == "__main__":
    asyncio.run(serve())
