"""`python -m rxchat.testing`: the local server as a process of its own, until stdin closes."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import threading
from contextlib import suppress

from rxchat.testing.replies import Reply
from rxchat.testing.server import LocalServer


async def _main() -> None:
    parser = argparse.ArgumentParser(description="Serve one reply until stdin closes.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--say", default="Hello", help="said word by word")
    parser.add_argument("--pace", type=float, default=0.0, help="seconds between words")
    options = parser.parse_args()

    loop, stopped = asyncio.get_running_loop(), asyncio.Event()

    def watch_stdin() -> None:
        while os.read(0, 4096):
            pass
        with suppress(RuntimeError):  # the loop may be gone already
            loop.call_soon_threadsafe(stopped.set)

    reply = Reply(*re.findall(r"\s*\S+|\s+", options.say), pace=options.pace)
    async with LocalServer(reply, port=options.port) as server:
        print(server.url, flush=True)
        threading.Thread(target=watch_stdin, daemon=True).start()
        await stopped.wait()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_main())
