"""How a program ends, and what it says then."""

from __future__ import annotations

import json
import sys

from rxchat.cli.untrusted import one_line
from rxchat.errors import ChatError, UsageError

__all__ = ["FAILED", "INTERRUPTED", "MEANING", "NOBODY_READS", "OK", "WRONG_USAGE"]
__all__ += ["remark", "report"]

OK, FAILED, WRONG_USAGE, INTERRUPTED, NOBODY_READS = 0, 1, 2, 130, 141

MEANING = {
    OK: "done",
    FAILED: "an answer failed",
    WRONG_USAGE: "wrong usage, or a key or a setting is missing; nothing was sent",
    INTERRUPTED: "interrupted with Ctrl-C",
    NOBODY_READS: "nobody reads the output any more",
}


def report(error: Exception, *, as_json: bool = False, **more: str) -> int:
    """Say what went wrong, for scripts also as the last line of JSON; the exit code for it."""
    if as_json:
        facts = {name: getattr(error, name, None) for name in ChatError.FACTS}
        told: dict[str, object] = {
            "type": "error",
            "error": type(error).__name__,
            "message": str(error),
        }
        told = {**facts, **more, **told}
        print(json.dumps({name: fact for name, fact in told.items() if fact is not None}))
        sys.stdout.flush()
    remark(f"{type(error).__name__}: {error}")
    return WRONG_USAGE if isinstance(error, UsageError) else FAILED


def remark(text: str) -> None:
    """One line on standard error, whatever the text."""
    print(f"rxchat: {one_line(text)}", file=sys.stderr)
