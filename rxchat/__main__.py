"""`python -m rxchat`: ask, chat, compare and measure from the command line, or see the demo."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence

from rxchat.cli import ask, bench, chat, compare, completion, demo, exits, providers, serve_demo
from rxchat.errors import ChatError, meant

COMMANDS = {
    "ask": (ask.add, "ask one question; `ask` may be left out"),
    "chat": (chat.add, "a conversation, with /help in it"),
    "compare": (compare.add, "one question to several providers, side by side"),
    "bench": (bench.add, "measure time to first content and rate over many runs"),
    "providers": (providers.add, "who can be asked, and which keys are missing"),
    "demo": (demo.add, "scenes that need no key and no network"),
    "serve-demo": (serve_demo.add, "a local server that speaks as every provider"),
    "completion": (completion.add, "a script that completes all this in your shell"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say, and give the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] not in (*COMMANDS, "-h", "--help"):
        if suggestion := _meant(given):
            exits.remark(f"there is no command {given[0]!r}{suggestion}")
            return exits.WRONG_USAGE
        given.insert(0, "ask")
    said = parser().parse_args(given)
    warnings.showwarning = _warn
    try:
        code = _run(said)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return exits.INTERRUPTED
    except BrokenPipeError:
        # The reader has left; so that the last flush does not fail, nothing is left to flush to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.NOBODY_READS
    except (OSError, UnicodeError) as error:
        exits.remark(f"this cannot be read or written here: {error}")
        return exits.FAILED
    return code


def _meant(given: Sequence[str]) -> str:
    """The command that was misspelt; what is asked of a provider is a question, whatever it is."""
    if any(word.startswith("--provider") for word in given):
        return ""
    return meant(given[0], COMMANDS)


def _run(said: argparse.Namespace) -> int:
    try:
        code: int = said.run(said)
    except ChatError as error:
        return exits.report(error, as_json=getattr(said, "json", False))
    return code


def parser() -> argparse.ArgumentParser:
    """The tree of all that can be said."""
    codes = "\n".join(f"  {code:>3}  {meaning}" for code, meaning in exits.MEANING.items())
    tree = argparse.ArgumentParser(
        prog="python -m rxchat",
        description="Every chat is a stream. `demo` needs no key and no network.",
        epilog=f'A question alone is asked: python -m rxchat "Hi" --provider openai\n\n'
        f"exit codes:\n{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    branches = tree.add_subparsers(metavar="COMMAND", required=True)
    commands: dict[str, argparse.ArgumentParser] = {}
    for name, (add, what) in COMMANDS.items():
        commands[name] = branches.add_parser(name, help=what, description=what, allow_abbrev=False)
        add(commands[name])
    tree.set_defaults(commands=commands)
    return tree


def _warn(message: Warning | str, *_: object, **__: object) -> None:
    exits.remark(f"warning: {message}")


if __name__ == "__main__":
    sys.exit(main())
