"""How a service fails, request by request, in one line: `"429(2s) cut stall ok"`.

`FAULTS` is the table of all words, and its rows say what each one means. A bare word (`cut`)
happens in mid answer; the same before any content is `early-cut`. More spellings:

    503*3                 three times in a row
    418                   any other status, too
    429(2s)               Retry-After: 2
    429(250ms)            retry-after-ms: 250
    429(date:2s)          Retry-After as an HTTP date, from now
    429(delay:2s)         Google's `retryDelay` in the body
    slow(2s) dribble(2s)  how slow
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from attrs import evolve, field, frozen

from rxchat.errors import (
    Blocked,
    ChatError,
    EmptyAnswer,
    Garbled,
    QuotaExhausted,
    Redirected,
    ServerError,
    Truncated,
    UsageError,
)
from rxchat.events import Event, Finish
from rxchat.refusal import refusal
from rxchat.testing.replies import HOLD, Failure, Piece, Reply

__all__ = ["FAULTS", "Fault", "fault_script", "faults"]

Said: TypeAlias = tuple[Piece, ...]

SAID: Final[Said] = ("Hel", "lo")
"""What an answer says, as far as it comes, unless you say something else."""

Wait: TypeAlias = tuple[str, float]
"""What stands in the brackets after a word: in which form, and how many seconds."""

Ending: TypeAlias = type[ChatError] | type[Finish] | None

NO_WAIT: Final[Wait] = ("", 0.0)
LONG: Final = " and so on" * 1000
_INSIDE_LONG: Final[dict[str, Any]] = {"after": 4000, "finish": False}  # in any format


@frozen
class Fault:
    """What a service does with one request, and what a stream makes of that.

    >>> FAULTS["cut"].does
    'cuts the connection in mid answer'
    >>> FAULTS["cut"].heard, FAULTS["cut"].ends
    (True, <class 'rxchat.errors.Truncated'>)
    """

    does: str
    """In words: the service ..."""
    ends: Ending
    """How a stream ends: with this error; well (`Finish`); never (None), unless by a deadline."""
    plan: Callable[[Said, Wait], Reply] = field(repr=False)
    """The reply to say something with, and to wait with."""
    heard: bool = False
    """Whether there is content before that."""
    wait: Wait | None = None
    """How long it takes, or asks for, where that can be said."""
    said: Said = SAID

    @property
    def reply(self) -> Reply:
        """What a local server is to do."""
        return self.plan(self.said, self.wait or NO_WAIT)

    @property
    def error(self) -> ChatError | None:
        """The error that a stream ends with; None if it ends well, or never."""
        if self.ends is None or not issubclass(self.ends, ChatError):
            return None
        reply = self.reply
        if reply.status_code >= 400:
            return refusal(reply.body or b"", status=reply.status_code, headers=reply.headers)
        return self.ends(f"the service {self.does}", content_emitted=self.heard or None)

    @property
    def cues(self) -> tuple[Event | str | float | Exception, ...]:
        """The same, as a script of `Scripted`."""
        reply = self.reply
        pieces = [piece for piece in reply.pieces if isinstance(piece, Event | str)]
        cues: list[Event | str | float | Exception] = []
        if isinstance(reply.headers_after, float):
            cues.append(reply.headers_after)
        for piece in pieces if self.heard else ():
            if piece is not LONG:
                cues += [piece, reply.pace]
        if self.ends is None:
            cues.append(math.inf)
        elif error := self.error:
            cues.append(error)
        return tuple(cue for cue in cues if cue != 0)


def _asking_to_wait(form: str, seconds: float) -> dict[str, Any]:
    """How a refusal says when to come back."""
    if not form:
        return {}
    told = f"{seconds:.12g}"
    moment = datetime.now(UTC) + timedelta(seconds=seconds)
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{told}s"}
    forms: dict[str, dict[str, Any]] = {
        "s": {"headers": {"Retry-After": told}},
        "ms": {"headers": {"retry-after-ms": f"{seconds * 1000:.12g}"}},
        "date": {"headers": {"Retry-After": format_datetime(moment, usegmt=True)}},
        "delay": {"json": {"error": {"message": "as planned", "details": [info]}}},
    }
    return forms[form]


def _status(code: int) -> Fault:
    """A refusal, as any service says it."""

    def plan(said: Said, wait: Wait) -> Reply:
        return Reply.status(code, "as planned", **_asking_to_wait(*wait))

    return Fault(f"refuses with status {code}", type(refusal(b"", status=code)), plan, wait=NO_WAIT)


def _instead(does: str, ends: Ending, reply: Reply) -> Fault:
    """Something else comes in place of an answer."""
    return Fault(does, ends, lambda said, wait: reply)


def _early(does: str, ends: Ending, **how: Any) -> Fault:
    """It happens before a word is said."""
    return evolve(_midst(does, ends, **how), heard=False)


def _midst(does: str, ends: Ending, *more: Piece, seconds: float = 0.0, **how: Any) -> Fault:
    """It happens when all is said but the end marker."""

    def plan(said: Said, wait: Wait) -> Reply:
        return Reply(*said, *more, pace=wait[1], **how)

    return Fault(does, ends, plan, True, ("s", seconds) if seconds else None)


def _late(said: Said, wait: Wait) -> Reply:
    return Reply(*said, headers_after=wait[1])


def _by_character(said: Said, wait: Wait) -> Reply:
    parts = (part for piece in said for part in (piece if isinstance(piece, str) else (piece,)))
    return Reply(*parts, pace=wait[1])


_QUOTA = {"error": {"message": "exceeded your current quota", "code": "insufficient_quota"}}
_UNREADABLE = b'data: {"te\x00xt": \xff]]\n\n'
_STATUSES = (400, 401, 402, 403, 404, 408, 409, 413, 425, 429, 500, 502, 503, 504, 529)

# fmt: off
FAULTS: Final[Mapping[str, Fault]] = MappingProxyType({
    "ok": _midst("answers", Finish),
    "slow": Fault("answers late", Finish, _late, True, ("s", 1.0)),
    "dribble": Fault("answers, a character at a time", Finish, _by_character, True, ("s", 1.0)),

    **{str(code): _status(code) for code in _STATUSES},
    "quota": _instead("has no credit for you", QuotaExhausted, Reply.status(429, json=_QUOTA)),
    "redirect": _instead("has moved", Redirected, Reply.redirect("https://elsewhere.example")),
    "html": _instead("shows the page of a bot check, with status 200", Blocked, Reply.html()),
    "garbage": _instead("sends what nobody can read", Garbled, Reply(body=_UNREADABLE)),
    "empty": _instead("sends no byte, and ends well", EmptyAnswer, Reply.empty()),
    "mute": _early("never sends its headers", None, headers_after=HOLD),

    "early-cut": _early("cuts the connection before a word", Truncated, after=0, then="cut"),
    "early-reset": _early("resets the connection before a word", Truncated, after=0, then="reset"),
    "early-stall": _early("sends its headers and falls silent", None, after=0, then="stall"),
    "early-pings": _early("sends only keep-alives", None, after=0, then="keepalive", seconds=0.05),
    "early-error": _instead("reports a failure, not an answer", ServerError, Reply(Failure())),

    "cut": _midst("cuts the connection in mid answer", Truncated, then="cut"),
    "reset": _midst("resets the connection in mid answer", Truncated, then="reset"),
    "stall": _midst("falls silent in mid answer", None, then="stall"),
    "pings": _midst("goes on with nothing but keep-alives", None, then="keepalive", seconds=0.05),
    "error": _midst("reports a failure in mid answer", ServerError, Failure()),
    "short": _midst("ends well for HTTP, but without its end marker", Truncated, finish=False),
    "torn": _midst("resets in mid frame", Truncated, LONG, **_INSIDE_LONG, then="reset"),
    "gzip-cut": _midst("cuts a compressed answer", Truncated, then="cut", encoding="gzip"),
})
# fmt: on

_WORD = re.compile(
    r"(?P<word>[a-z][a-z-]*|[45]\d\d)"
    r"(?:\((?:(?P<form>date|delay):)?(?P<number>\d+(?:\.\d+)?)(?P<unit>ms|s)\))?"
    r"(?:\*(?P<times>[1-9]\d*))?"
)


def fault_script(script: str, *said: Piece) -> tuple[Fault, ...]:
    """The rows of the table that a script names, in order.

    >>> [fault.does for fault in fault_script("429(2s) mute*2")]
    ['refuses with status 429', 'never sends its headers', 'never sends its headers']
    """
    found: list[Fault] = []
    for word in script.split():
        spelt = _WORD.fullmatch(word)
        fault = _row(spelt["word"]) if spelt else None
        if spelt is None or fault is None:
            raise UsageError(f"{word!r} is no fault; there are {', '.join(FAULTS)}")
        wait = fault.wait
        if spelt["number"]:
            wait = (spelt["form"] or spelt["unit"], _seconds(spelt["number"], spelt["unit"]))
            if fault.wait is None or (fault.wait is not NO_WAIT and spelt["form"]):
                raise UsageError(f"{word!r}: {spelt['word']!r} does not wait like that")
        found += [evolve(fault, wait=wait, said=said or SAID)] * int(spelt["times"] or 1)
    return tuple(found)


def faults(script: str, *said: Piece) -> tuple[Reply, ...]:
    """What a `LocalServer` does with the requests to come: `server.plan(*faults("429 cut ok"))`.

    What it says, as far as it comes to that, are your pieces, or "Hel", "lo".

    >>> [reply.status_code for reply in faults("429(2s) 503*2 ok", "Hello")]
    [429, 503, 503, 200]
    """
    return tuple(fault.reply for fault in fault_script(script, *said))


def _row(word: str) -> Fault | None:
    return _status(int(word)) if word.isdigit() else FAULTS.get(word)


def _seconds(number: str, unit: str) -> float:
    return float(number) / (1000 if unit == "ms" else 1)
