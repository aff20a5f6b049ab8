"""What can go wrong, as a tree.

    ChatError
    ├── UsageError            the call is wrong; nothing was sent        (ValueError)
    │   ├── UnknownOption       an option that this provider does not have
    │   ├── UnknownModel        a model that this provider does not know
    │   ├── InvalidPrompt       a prompt that cannot be read or sent
    │   ├── MissingKey          a key that is neither given nor in the environment
    │   ├── MissingSetting      a part of the address that is neither
    │   └── LoopError           an event loop is missing, or one too many (RuntimeError)
    ├── TransportError        the connection failed                      (ConnectionError)  ↻
    │   ├── ConnectFailed       it was never made                                           ↻
    │   ├── ConnectionLost      it broke before the answer                                  ↻
    │   └── Deadline            it was silent for too long               (TimeoutError)     ↻
    ├── BadAnswer             bytes came, but not an answer
    │   ├── Truncated           the answer ended before its end                             ↻
    │   ├── EmptyAnswer         the answer ended before it began                            ↻
    │   ├── Garbled             the bytes are not what the protocol says
    │   ├── FrameTooLarge       one event or line is larger than any answer's
    │   ├── DoesNotFit          JSON, but not of the type that was asked for; `path` says where
    │   └── NotAnAnswer         a web page or the like instead of an answer
    ├── ServiceError          the service said no
    │   ├── BadRequest          400 and other 4xx: the request is wrong
    │   ├── Unauthorized        401, 403: the key is missing, wrong or not enough
    │   ├── NotFound            404, 410: no such address or model
    │   ├── QuotaExhausted      402, or 429 with no credit left
    │   ├── RateLimited         429: too much at once                                       ↻
    │   ├── Overloaded          498, 503, 529: the service is too busy                      ↻
    │   ├── ServerError         other 5xx, 408, 409, 424, 425: the service failed           ↻
    │   ├── Redirected          3xx: the service moved; the request was not repeated there
    │   └── Blocked             a bot check or firewall stands before the service
    ├── AllFailed             every source failed                        (ExceptionGroup)
    ├── CannotResume          half an answer that nobody can go on with
    ├── CircuitOpen           not asked: its breaker is open             (ConnectionError)  ↻
    ├── Rejected              an answer, or a piece of one, that a check of yours did not take
    ├── TooManyTurns          the model calls tools in more turns than it may
    ├── BrokenLine            a saved chat that cannot be read; `line` says where (ValueError)
    ├── EmptyStream           awaited, but the stream had nothing        (LookupError)
    ├── Aborted               the stream was cancelled from outside
    └── CallbackFailed        a function of yours raised inside the stream

↻ marks what `ops.retry` tries again. Every error may carry facts: `provider`, `status`, `code`,
`request_id`, `retry_after` (seconds), `content_emitted` (whether some of the answer had already
been heard) and `partial` (the text that had been heard, where an operator kept it).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Self

__all__ = [
    "Aborted",
    "AllFailed",
    "BadAnswer",
    "BadRequest",
    "Blocked",
    "BrokenLine",
    "CallbackFailed",
    "CannotResume",
    "ChatError",
    "CircuitOpen",
    "ConnectFailed",
    "ConnectionLost",
    "Deadline",
    "DoesNotFit",
    "EmptyAnswer",
    "EmptyStream",
    "FrameTooLarge",
    "Garbled",
    "InvalidPrompt",
    "LoopError",
    "MissingKey",
    "MissingSetting",
    "NotAnAnswer",
    "NotFound",
    "Overloaded",
    "QuotaExhausted",
    "RateLimited",
    "Redirected",
    "Rejected",
    "ServerError",
    "ServiceError",
    "TooManyTurns",
    "TransportError",
    "Truncated",
    "Unauthorized",
    "UnknownModel",
    "UnknownOption",
    "UsageError",
    "is_fatal",
    "is_retryable",
    "meant",
    "noted",
]


class ChatError(Exception):
    """The root of everything that rxchat raises."""

    retryable: bool = False
    provider: str | None = None
    status: int | None = None
    code: str | None = None
    request_id: str | None = None
    retry_after: float | None = None
    content_emitted: bool = False
    partial: str = ""

    FACTS: ClassVar = (
        "provider",
        "status",
        "code",
        "request_id",
        "retry_after",
        "content_emitted",
        "partial",
        "retryable",
    )

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.about(**facts)

    @property
    def message(self) -> str:
        """What happened, without the facts."""
        return str(self.args[0])

    def about(self, **facts: Any) -> Self:
        """Add facts that are not known yet; the first to know a fact is right."""
        for name, value in facts.items():
            if name not in self.FACTS:
                raise TypeError(f"{type(self).__name__} has no fact {name!r}")
            if value is not None and name not in self.__dict__:
                self.__dict__[name] = value
        return self

    def hiding(self, secrets: Iterable[str]) -> Self:
        """Say nothing of these: services repeat a key in order to say that it is wrong."""
        for secret in secrets:
            self.args = tuple(_without(secret, arg) for arg in self.args)
            for name, value in self.__dict__.items():
                self.__dict__[name] = _without(secret, value)
        return self

    def __str__(self) -> str:
        where = f"{self.provider}: " if self.provider else ""
        notes = [
            note
            for known, note in (
                (self.status, f"status {self.status}"),
                (self.code, f"code {self.code}"),
                (self.request_id, f"request id {self.request_id}"),
                (self.retry_after is not None, f"retry after {self.retry_after} s"),
                (self.content_emitted, "part of the answer had been emitted"),
            )
            if known
        ]
        return f"{where}{self.message}" + (f" ({'; '.join(notes)})" if notes else "")


def _without(secret: str, value: object) -> object:
    """A text without a secret, of which the end may be cut off."""
    if not isinstance(value, str):
        return value
    value, beginning = value.replace(secret, "***"), secret[:12]
    while (start := value.find(beginning)) >= 0:
        end = start + len(beginning)
        while value[end : end + 1] == secret[end - start : end - start + 1] != "":
            end += 1
        value = value[:start] + "***" + value[end:]
    return value


class UsageError(ChatError, ValueError):
    """The call is wrong; nothing was sent."""


class UnknownOption(UsageError):
    """An option that this provider does not have."""


class UnknownModel(UsageError):
    """A model that this provider does not know."""


class InvalidPrompt(UsageError):
    """A prompt that cannot be read or sent."""


class MissingKey(UsageError):
    """A key that is neither given nor in the environment."""


class MissingSetting(UsageError):
    """A part of the address, as a region, that is neither given nor in the environment."""


class LoopError(UsageError, RuntimeError):
    """An event loop is missing, or there is one where there must be none."""


class TransportError(ChatError, ConnectionError):
    """The connection failed."""

    retryable = True


class ConnectFailed(TransportError):
    """No connection could be made."""


class ConnectionLost(TransportError):
    """The connection broke before an answer came, or its session was closed."""


class Deadline(TransportError, TimeoutError):
    """The service was silent for too long; `phase` says in what."""

    phase = "silence"

    def __init__(self, message: str, *, phase: str = "silence", **facts: Any) -> None:
        super().__init__(message, **facts)
        self.phase = phase


class BadAnswer(ChatError):
    """Bytes came, but not an answer."""


class Truncated(BadAnswer):
    """The answer ended before its protocol's end."""

    retryable = True


class EmptyAnswer(BadAnswer):
    """The answer ended before it began."""

    retryable = True


class Garbled(BadAnswer):
    """The bytes are not what the protocol says."""


class FrameTooLarge(BadAnswer):
    """One event or line is larger than the decoder's limit."""


class DoesNotFit(BadAnswer):
    """The answer is JSON, but not of the type that was asked for; `path` is where, as `$.a[0]`."""

    path = "$"

    def __init__(self, message: str, *, path: str = "$", **facts: Any) -> None:
        super().__init__(message, **facts)
        self.path = path


class NotAnAnswer(BadAnswer):
    """A web page or the like came instead of an answer."""


class ServiceError(ChatError):
    """The service said no."""


class BadRequest(ServiceError):
    """The service finds the request wrong."""


class Unauthorized(ServiceError):
    """The key is missing, wrong, or not enough."""


class NotFound(ServiceError):
    """There is no such address or model."""


class QuotaExhausted(ServiceError):
    """There is no credit left: waiting does not help."""


class RateLimited(ServiceError):
    """Too much at once."""

    retryable = True


class Overloaded(ServiceError):
    """The service is too busy."""

    retryable = True


class ServerError(ServiceError):
    """The service failed."""

    retryable = True


class Redirected(ServiceError):
    """The service answers from another address; the request was not repeated there."""


class Blocked(ServiceError):
    """A bot check or firewall stands before the service."""


class AllFailed(ChatError, ExceptionGroup[Exception]):
    """Every source failed; `.exceptions` has each failure, in the order of the sources.

    The whole may be tried again if one of them may, as soon as the first of these may.
    """

    def __new__(cls, message: str, exceptions: Sequence[Exception], **facts: Any) -> Self:
        return super().__new__(cls, message, exceptions)

    def __init__(self, message: str, exceptions: Sequence[Exception], **facts: Any) -> None:
        super().__init__(message, **facts)
        again = [error for error in exceptions if is_retryable(error)]
        waits = [getattr(error, "retry_after", None) or 0.0 for error in again]
        self.about(retryable=bool(again), retry_after=min(waits, default=0.0) or None)

    # The base's is generic in the kind of the errors, which here is always `Exception`.
    def derive(self, excs: Sequence[Exception], /) -> AllFailed:  # type: ignore[override]
        """Keep the type when `except*` or `split` divides the group."""
        return AllFailed(self.message, excs)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.exceptions), self.__dict__

    def __str__(self) -> str:
        return f"{self.message}: " + "; ".join(f"{type(e).__name__}: {e}" for e in self.exceptions)


class CannotResume(ChatError):
    """The answer was cut where nobody can go on with it; the cause says what cut it."""


class CircuitOpen(ChatError, ConnectionError):
    """The service has failed too often of late and was not asked; `retry_after` says how long."""

    retryable = True


class Rejected(ChatError):
    """An answer, or a piece of it, was heard and not taken; `partial` is what there was of it."""


class TooManyTurns(ChatError):
    """The model calls tools again and again; `messages` has the turns that are whole."""

    messages: tuple[Any, ...] = ()


class BrokenLine(ChatError, ValueError):
    """A line of a saved chat cannot be read; `line` is its number, from 1."""

    def __init__(self, message: str, *, line: int = 0, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.line = line


class EmptyStream(ChatError, LookupError):
    """The stream was awaited and had nothing to give."""


class Aborted(ChatError):
    """The stream was cancelled from outside, as at the end of the event loop."""


class CallbackFailed(ChatError):
    """A function of yours raised inside the stream; the cause says what."""

    @classmethod
    def by(cls, bug: Exception) -> Self:
        """The failure that a bug is to the rest of the stream."""
        failure = cls(f"a callback raised {type(bug).__name__}: {bug}{_where(bug)}")
        failure.__cause__ = bug
        return failure


def _where(bug: Exception) -> str:
    """Which function of yours raised: the first one on the way that is not of this house."""
    trace = bug.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        if str(frame.f_globals.get("__name__")).partition(".")[0] not in ("rxchat", "reactivex"):
            code = frame.f_code
            file = re.split(r"[/\\]", code.co_filename)[-1]
            return f" (in {code.co_name}, {file}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return ""


def meant(word: str, known: Iterable[str]) -> str:
    """What somebody may have meant by a word that is unknown, for the end of a message.

    >>> meant("temprature", ["model", "temperature"])
    "; did you mean 'temperature'?"
    """
    from difflib import get_close_matches

    near = get_close_matches(word, [*known], n=2, cutoff=0.7)
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""


def noted(error: Exception, note: str) -> Exception:
    """The error with a note, once: a stream that is run again may raise the same one."""
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)
    return error


def is_fatal(error: BaseException) -> bool:
    """Tell whether no other attempt may follow: ours to report, not the service's failure."""
    return isinstance(error, Aborted | CallbackFailed | UsageError) or not isinstance(
        error, Exception
    )


def is_retryable(error: BaseException) -> bool:
    """Tell whether the same request may well succeed if it is sent again."""
    return error.retryable if isinstance(error, ChatError) else isinstance(error, OSError)
