"""`python -m rxchat`: ask a provider from the command line, or see the demo.

Exit codes: 0 answered, 1 the chat failed, 2 wrong usage, 130 interrupted, 141 nobody reads.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import warnings
from collections.abc import Sequence

from rxchat import operators as ops
from rxchat import providers
from rxchat.errors import ChatError, UsageError
from rxchat.provider import Provider

OK, FAILED, WRONG_USAGE, INTERRUPTED, NOBODY_READS = 0, 1, 2, 130, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say, and give the exit code."""
    said = _parser().parse_args(arguments)
    warnings.showwarning = _warn
    try:
        if said.provider is None and said.question == "demo":
            from rxchat.demo import demo

            return OK if asyncio.run(demo(sys.stdout)) else FAILED
        return asyncio.run(_ask(said))
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has left; so that the last flush does not fail, nothing is left to flush to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOBODY_READS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m rxchat",
        description="Every chat is a stream. `demo` needs no key and no network.",
    )
    parser.add_argument("question", help="what to ask, or the word demo")
    parser.add_argument("--provider", metavar="NAME", help=f"one of {', '.join(_providers())}")
    parser.add_argument("--model", metavar="MODEL", help="instead of the provider's own choice")
    parser.add_argument("--base-url", metavar="URL", help="where a server speaks as the provider")
    return parser


def _providers() -> dict[str, Provider]:
    return providers.services()


async def _ask(said: argparse.Namespace) -> int:
    """Stream the answer to standard output as it comes."""
    try:
        provider = _provider(said)
        async with provider(said.question).pipe(ops.text()).open() as answer:
            async for chunk in answer:
                print(chunk, end="", flush=True)
        print(flush=True)
    except ChatError as error:
        _complain(f"{type(error).__name__}: {error}")
        return WRONG_USAGE if isinstance(error, UsageError) else FAILED
    except BrokenPipeError:
        raise
    except (OSError, UnicodeEncodeError) as error:
        _complain(f"the answer cannot be written here: {error}")
        return FAILED
    return OK


def _provider(said: argparse.Namespace) -> Provider:
    known = _providers()
    if said.provider not in known:
        raise UsageError(f"say --provider NAME, one of {', '.join(known)}; or see the demo")
    provider = known[said.provider]
    if said.base_url is not None:
        provider = provider.but(base_url=said.base_url)
    if said.model is not None:
        provider = provider.but(model=said.model)
    return provider


def _warn(message: Warning | str, *_: object, **__: object) -> None:
    _complain(f"warning: {message}")


def _complain(text: str) -> None:
    line = "".join(char if char.isprintable() else " " for char in text)
    print(f"rxchat: {' '.join(line.split())}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
