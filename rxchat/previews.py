"""What would be sent, to look at: nothing is sent for it, and no key is in it.

Strategy. What is shown is the request before it is signed. So no signature is made, and no
function of yours is asked for a key. Whatever may be a secret is taken out by its name, by its
looks, and because it is the key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from os import environ
from typing import Any, cast

import msgspec

from rxchat.keys import SHOWN_IN, Auth, Setting
from rxchat.request import SECRET, SHORTEST_KEY, Headers, Request, without_password
from rxchat.stills import brief

__all__ = ["Rows", "Veil", "body_of", "headers_of", "key_of", "setting_of", "way_of"]

Rows = list[tuple[str, str]]

LINES = 16  # of a body
LETTERS = 200  # of one text in it
WORDLESS = 60  # of one without a space, as a picture's bytes
ITEMS = 6  # of one list in it

HIDDEN, MISSING = "***", "missing"
LONG_KEY = 12  # characters: what is shorter, in somebody else's variable, may be any word
_NAMED_SECRET = re.compile(
    r"(^|_)((api|access|private|signing|subscription)_?key|secret|password|passwd|auth"
    r"|authorization|credentials?|cookie)(_|$)|(^|_)token$|apikey$"
)
_SEAM = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|-")  # of the words of a name
_LOOKS_SECRET = re.compile(  # it looks for a digit only so far: a text may be long, and hostile
    r"\b(?:(?:sk|rk|pk|gsk|xai|hf|ghp|pplx|nvapi)[-_]|AIza)(?=[\w-]{0,99}\d)[\w-]{12,}"
)
_CREDENTIALS = re.compile(r"(?i)(bearer|basic|token|apikey)\s")


class Veil:
    """Takes the keys that are known out of any text."""

    def __init__(self, key: object, auth: Auth | None, request: Request | None = None) -> None:
        known: list[object] = [environ.get(name) for name in _variables(auth)]
        known += cast("Mapping[str, Any]", key).values() if isinstance(key, Mapping) else [key]
        known += request.secrets if request is not None else ()
        texts = {text for text in known if isinstance(text, str) and len(text) >= SHORTEST_KEY}
        texts |= {text for name, text in environ.items() if _is_key(name, text)}
        self._secrets = sorted(texts, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return _LOOKS_SECRET.sub(HIDDEN, text)


def _is_key(variable: str, value: str) -> bool:
    """Whether this is a key of the environment, whoever it is for."""
    return len(value) >= LONG_KEY and _names_secret(variable)


def _names_secret(name: str) -> bool:
    return _NAMED_SECRET.search(_SEAM.sub("_", name).lower()) is not None


def way_of(request: Request, veil: Veil) -> Rows:
    """Where it goes."""
    rows = [("sends", f"{request.method} {veil(without_password(request.url))}")]
    if proxy := request.route.proxy:
        rows.append(("through", veil(without_password(proxy))))
    return rows


def headers_of(headers: Headers, key_in: str | None, veil: Veil) -> Rows:
    """The headers, and the one for the key, which is not there yet."""
    secrets = {*headers.secrets()}
    lines: dict[str, str] = {}
    for name, value in headers.plain().items():
        is_secret = value in secrets or SECRET.search(name.lower()) or _CREDENTIALS.match(value)
        lines[name.lower()] = f"{name}: {HIDDEN if is_secret else veil(value)}"
    if key_in is not None:
        lines[key_in.lower()] = f"{key_in}: {HIDDEN}"
    return [("headers", "\n".join(lines.values()))] if lines else []


def body_of(request: Request, veil: Veil) -> str:
    """The first lines of the body."""
    try:
        body = msgspec.json.decode(request.body)
    except (ValueError, RecursionError):
        return f"<{len(request.body):,} bytes>"
    lines = msgspec.json.format(msgspec.json.encode(_brief(body, veil)), indent=2).decode()
    shown = lines.split("\n")
    return "\n".join([*shown[:LINES], *(["…"] if len(shown) > LINES else [])])


def _brief(value: Any, veil: Veil, room: int = LINES) -> Any:
    """As much of a value as can be in so many lines; each thing in it takes one at least."""
    if isinstance(value, str):
        value = veil(value)
        return brief(value, LETTERS if " " in value[:LETTERS] else WORDLESS)
    if room == 0 and isinstance(value, list | dict):
        return "…"
    if isinstance(value, list):
        items = cast("Sequence[Any]", value)
        more = [f"… and {len(items) - ITEMS} more"] if len(items) > ITEMS else []
        return [*(_brief(item, veil, room - 1) for item in items[:ITEMS]), *more]
    if isinstance(value, dict):
        fields = cast("Mapping[str, Any]", value).items()
        return {
            veil(name): HIDDEN if each and _names_secret(name) else _brief(each, veil, room - 1)
            for name, each in islice(fields, LINES)
        }
    return value


def key_of(
    key: object, auth: Auth | None, headers: Headers, setting: Callable[[str], str]
) -> tuple[str, str | None]:
    """Where the key comes from, and the header that it goes in if it is there."""
    if auth is None:
        return "none needed", None
    given = "a function of yours, asked at every attempt" if callable(key) else "given"
    own = [name for name in headers if name.lower() in SHOWN_IN]
    names = _variables(auth)
    if key is not None:
        said = given
    elif own:
        return f"in the header {own[0]} that you set", None
    elif any(map(environ.get, names)):
        said = _standing(names)
    elif auth.missing is None:
        return f"none needed ({_standing(names)})" if names else "none needed", None
    else:
        return f"{MISSING}: {auth.missing}", None
    known = getattr(auth, "header", None)
    return said, known(setting) if known else None


def setting_of(name: str, setting: Setting, given: object) -> str:
    """Where a setting comes from, or what to do about it."""
    if given is not None:
        return "given"
    found = [variable for variable in setting.variables if environ.get(variable)]
    if found:
        return f"from {found[0]}"
    how = f"pass {name}=..." + "".join(f", or set {variable}" for variable in setting.variables)
    if setting.default is None:
        return f"{MISSING}: {how}"
    return f"{setting.default or 'none'}, unless you {how}"


def _variables(auth: object) -> Iterable[str]:
    """Those that it knows; it may be of a class of yours, or a mock of one."""
    known = getattr(auth, "variables", ())
    return cast("Iterable[str]", known) if isinstance(known, tuple | list) else ()


def _standing(variables: Iterable[str]) -> str:
    return ", ".join(f"{name} is {'set' if environ.get(name) else 'not set'}" for name in variables)
