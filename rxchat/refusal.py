"""A service's no → the error that says so: who, why, and how long to wait.

Bodies come in a dozen shapes; the reading order below covers every one that was recorded:
an `error` object, an `error` text, `message`, `detail` (text or list), and the text itself.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, cast

import msgspec

from rxchat.errors import (
    BadRequest,
    Blocked,
    NotFound,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    ServerError,
    ServiceError,
    Unauthorized,
)

__all__ = ["excerpt", "refusal", "retry_after", "said_no"]

_STATUS: dict[int, type[ServiceError]] = {
    401: Unauthorized,
    402: QuotaExhausted,
    403: Unauthorized,
    404: NotFound,
    408: ServerError,
    409: ServerError,
    410: NotFound,
    424: ServerError,
    425: ServerError,
    429: RateLimited,
    498: Overloaded,
    503: Overloaded,
    529: Overloaded,
}

# What the body says is more exact than the status, which often lies. Matched without case.
_WORDS: tuple[tuple[type[ServiceError], str], ...] = (
    (QuotaExhausted, "insufficient_quota|billing_error|billing_hard_limit_reached"),
    (Unauthorized, "api_key_invalid|invalid_api_key|authentication_error|unauthenticated"),
    (Unauthorized, "permission_error|permission_denied|expiredtokenexception"),
    (NotFound, "model_not_found|not_found_error|not_found|deploymentnotfound"),
    (Overloaded, "overloaded_error|overloaded|unavailable|capacity_exceeded"),
    (RateLimited, "rate_limit_error|rate_limit_exceeded|resource_exhausted|slow_down"),
    (ServerError, "api_error|server_error|timeout_error|internal|deadline_exceeded"),
    (BadRequest, "invalid_request_error|invalid_argument|request_too_large"),
)
_CLASSES = {word: kind for kind, words in _WORDS for word in words.split("|")}

_BOT_CHECKS = ("cf-please-wait", "<title>Just a moment...</title>", "<p>Unable to load site</p>")


def refusal(
    body: bytes | str | Mapping[str, Any],
    *,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> ServiceError:
    """The error that a reply stands for: an HTTP reply, or an error inside a stream.

    >>> refusal(b'{"error": {"message": "Slow down", "type": "rate_limit_error"}}', status=429)
    RateLimited('Slow down')
    """
    headers = headers or {}
    known = _json(body) if isinstance(body, bytes | str) else body
    words = _words(known, headers)
    message = _message(known) or _plain(body) or f"the service answered with status {status}"
    kind = next((_CLASSES[word.lower()] for word in words if word.lower() in _CLASSES), None)
    if isinstance(body, bytes | str) and any(mark in _text(body) for mark in _BOT_CHECKS):
        kind = Blocked
    error = (kind or _by_status(status))(
        message,
        status=status,
        code=words[0] if words else None,
        request_id=_request_id(known, headers),
        retry_after=retry_after(headers, known),
    )
    wanted = {"true": True, "false": False}.get(headers.get("x-should-retry", ""))
    return error if wanted is None else error.about(retryable=wanted)


def said_no(body: bytes) -> bool:
    """Tell whether a JSON body is an error: it has an `error`, or nothing but a `detail`."""
    whole = _whole(_json(body))
    return bool(whole.get("error")) or set(whole) == {"detail"}


def excerpt(body: bytes | str, limit: int = 200) -> str:
    """The beginning of a body, on one line, for a message."""
    line = " ".join(_text(body[: limit * 4]).split())
    return line if len(line) <= limit else line[:limit] + "…"


def _by_status(status: int | None) -> type[ServiceError]:
    if status is None or status < 400:
        return ServerError
    return _STATUS.get(status, ServerError if status >= 500 else BadRequest)


def _text(body: bytes | str) -> str:
    return body if isinstance(body, str) else body.decode("utf-8", "replace")


def _json(body: bytes | str) -> object:
    try:
        return msgspec.json.decode(body.removeprefix(BOM_UTF8) if isinstance(body, bytes) else body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _plain(body: object) -> str:
    """The text of a body that is not JSON; of a web page, no more than its title."""
    if not isinstance(body, bytes | str):
        return ""
    text = _text(body)
    if title := re.search(r"<title[^>]*>([^<]{1,200})</title", text, re.IGNORECASE):
        return f"a web page: {title[1].strip()}"
    return "a web page" if text.lstrip()[:1] == "<" else excerpt(text)


def _whole(known: object) -> Mapping[str, Any]:
    """The object that was sent; Gemini may wrap it in an array of one."""
    if isinstance(known, list):
        items = cast("list[object]", known)
        known = items[0] if items else None
    return cast("Mapping[str, Any]", known) if isinstance(known, Mapping) else {}


def _fields(known: object) -> Mapping[str, Any]:
    """The object that holds the facts: the `error` object, or the whole."""
    whole = _whole(known)
    return whole["error"] if isinstance(whole.get("error"), Mapping) else whole


def _message(known: object) -> str:
    fields = _fields(known)
    for key in ("message", "Message", "error", "detail"):
        value = fields.get(key)
        if isinstance(value, str) and value.strip():
            return excerpt(value, 1000)
        if isinstance(value, list) and value:  # FastAPI's list of what did not fit
            return "; ".join(_detail(item) for item in cast("list[object]", value[:5]))
    return ""


def _detail(item: object) -> str:
    if not isinstance(item, Mapping):
        return str(item)
    fields = cast("Mapping[str, Any]", item)
    steps = fields.get("loc")
    where = ".".join(map(str, cast("list[object]", steps))) if isinstance(steps, list) else ""
    return f"{where}: {fields.get('msg', '')}" if where else str(fields.get("msg", item))


def _words(known: object, headers: Mapping[str, str]) -> list[str]:
    """What the service calls this error, most exact first."""
    fields = _fields(known)
    reasons = [detail.get("reason") for detail in _details(fields)]
    amazon = headers.get("x-amzn-errortype", "").partition(":")[0]
    candidates = [*reasons, fields.get("code"), fields.get("status"), fields.get("type")]
    candidates += [fields.get("error_type"), amazon]
    return [str(word) for word in candidates if isinstance(word, str | int) and str(word)]


def _details(fields: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    details = fields.get("details")
    items = cast("list[object]", details) if isinstance(details, list) else []
    return (cast("Mapping[str, Any]", item) for item in items if isinstance(item, Mapping))


_ID_HEADERS = (
    "x-request-id",
    "request-id",
    "apim-request-id",
    "x-amzn-requestid",
    "x-kong-request-id",
    "x-generation-id",
)


def _request_id(known: object, headers: Mapping[str, str]) -> str | None:
    in_body = _whole(known).get("request_id")
    return request_id(headers) or (in_body if isinstance(in_body, str) else None)


def request_id(headers: Mapping[str, str]) -> str | None:
    """The name that the service gave this request."""
    return next((headers[name] for name in _ID_HEADERS if name in headers), None)


def retry_after(headers: Mapping[str, str], body: object = None) -> float | None:
    """Seconds to wait, in whichever form the service says it; None if it does not.

    RFC 9110, section 10.2.3, allows seconds and HTTP dates; services add milliseconds, floats,
    and Google's `retryDelay` in the body.

    >>> retry_after({"Retry-After": "1.5"}), retry_after({"retry-after-ms": "250"})
    (1.5, 0.25)
    """
    fields = {name.lower(): value.strip() for name, value in headers.items()}
    milliseconds = _seconds(fields.get("retry-after-ms", ""))
    if milliseconds:
        return milliseconds / 1000
    if value := fields.get("retry-after"):
        seconds = _seconds(value)
        return _until(value) if seconds is None else seconds
    for detail in _details(_fields(body)):
        delay = detail.get("retryDelay")
        if isinstance(delay, str) and delay.endswith("s"):
            return _seconds(delay[:-1])
    return None


def _seconds(value: str) -> float | None:
    return float(value) if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value, re.ASCII) else None


def _until(date: str) -> float | None:
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
