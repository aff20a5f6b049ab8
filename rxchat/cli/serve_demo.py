"""`python -m rxchat serve-demo`: the local server of the tests, for notebooks and other clients."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from contextlib import AsyncExitStack

from rxchat.cli import exits

__all__ = ["add"]

ANSWER = """\
# Why the sky is blue

Sunlight is **all colours at once**. Air scatters short waves most:

1. blue light is scattered *about six times* as much as red,
2. so it reaches you from everywhere,
3. and in the evening, on its long way, only the red is left.

```python
def scattered(wavelength: float) -> float:
    return wavelength**-4
```

That is all there is to it.
"""


def add(parser: argparse.ArgumentParser) -> None:
    """What can be said to it."""
    parser.add_argument("--port", type=_port, default=8765, metavar="N", help="8765; 0 is any free")
    parser.add_argument("--say", default=ANSWER, metavar="TEXT", help="its only answer")
    parser.add_argument("--pace", type=float, default=0.03, metavar="SECONDS", help="per word")
    parser.set_defaults(run=_run)


def _run(said: argparse.Namespace) -> int:
    try:
        asyncio.run(_serve(said))
    except KeyboardInterrupt:  # which is how it is meant to end
        print(file=sys.stderr)
    return exits.OK


async def _serve(said: argparse.Namespace) -> None:
    from rxchat.errors import UsageError
    from rxchat.testing import LocalServer, Reply

    try:
        reply = Reply(*re.findall(r"\s*\S+\s*", said.say), pace=said.pace)
    except ValueError as error:
        raise UsageError(str(error)) from None
    async with AsyncExitStack() as stack:
        try:
            server = await stack.enter_async_context(LocalServer(reply, port=said.port))
        except OSError as error:
            what = f"port {said.port} cannot be had: {error.strerror}; say another --port"
            raise UsageError(what) from None
        print(server.url, flush=True)
        exits.remark(
            "it speaks as every provider and takes any key: "
            f'openai.but(base_url="{server.url}/v1", key="any"); Ctrl-C ends it'
        )
        while True:
            exchange = await server.next_exchange()
            exits.remark(f"{exchange.method} {exchange.target}")


def _port(text: str) -> int:
    port = int(text) if text.isdecimal() else -1
    if not 0 <= port < 65_536:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, not {text!r}")
    return port
