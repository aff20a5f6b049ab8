"""A provider is a value, and the factory of its streams.

`Format` says how a kind of service talks; `Provider` says who and where. What a user changes
with `but(...)`, or for one call with `provider(prompt, ...)`, is the same set of words.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from ssl import SSLContext
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import attrs
import reactivex

from rxchat.errors import InvalidPrompt, UnknownModel, UnknownOption, UsageError
from rxchat.events import Event
from rxchat.framing import Decoder
from rxchat.messages import Message, Prompt, messages
from rxchat.operators.wire import answer, send, sign
from rxchat.request import Headers, Request, Route, Timeout, is_http, without_password
from rxchat.signing import Signature, unsigned
from rxchat.stream import Stream, wrap

if TYPE_CHECKING:
    import aiohttp

__all__ = ["Ask", "Format", "Options", "Provider", "ServiceGone"]


class Options(TypedDict, total=False):
    """What a call may say about its request."""

    base_url: str
    model: str
    temperature: float
    headers: Mapping[str, str]
    proxy: str | None
    timeout: Timeout | float | None
    ssl: SSLContext | None
    session: aiohttp.ClientSession | None


class ServiceGone(UserWarning):
    """The service behind this address no longer answers."""


@attrs.frozen
class Ask:
    """What a format makes a request body of."""

    messages: tuple[Message, ...]
    model: str
    options: Mapping[str, Any]


@attrs.frozen(kw_only=True)
class Format:
    """How a kind of service talks: the body it takes, the frames and events it gives.

    `options` are the words for the body that the format knows, with their defaults.
    """

    path: str
    body: Callable[[Ask], object]
    decoder: Callable[[], Decoder[bytes, Any]]
    mapping: Callable[[], Decoder[Iterable[Any], Event]]
    expects: str
    signature: Signature = unsigned
    options: Mapping[str, Any] = attrs.field(factory=dict[str, Any], hash=False)
    history: bool = True
    system: bool = True


def _address(base_url: str) -> str:
    if not is_http(base_url) or re.search("[?#@]", base_url):
        raise UsageError(
            "base_url must be an http:// or https:// address without a user, a query and a "
            f"fragment, not {without_password(base_url)!r}"
        )
    return base_url.rstrip("/")


@attrs.frozen(kw_only=True, repr=False)
class Provider:
    """A chat service: call it with a prompt to get a cold stream of what it says."""

    name: str
    format: Format
    base_url: str = attrs.field(converter=_address)
    model: str
    site: str | None = None
    models: tuple[str, ...] = ()
    aliases: Mapping[str, str] = attrs.field(factory=dict[str, str], hash=False)
    headers: Headers = attrs.field(factory=Headers, converter=Headers)
    options: Mapping[str, Any] = attrs.field(factory=dict[str, Any], hash=False)
    route: Route = Route()
    working: bool = True
    why_not: str = ""

    @property
    def url(self) -> str:
        """The address that is called."""
        return self.base_url + self.format.path

    @property
    def supports_history(self) -> bool:
        """Whether earlier turns are sent as such, and not folded into one text."""
        return self.format.history

    @property
    def supports_system(self) -> bool:
        """Whether system messages have a place of their own; otherwise they go with the others."""
        return self.format.system

    def __call__(self, prompt: Prompt, /, **options: Unpack[Options]) -> Stream[Event]:
        """A cold stream of the answer: one subscription is one request."""
        asked = self.but(**options)
        request = asked._unsigned(prompt)
        asked._warn_if_gone()
        form = asked.format
        return wrap(
            reactivex.just(request).pipe(
                sign(form.signature), send(), answer(form.decoder, form.mapping, self.name)
            ),
            self.name,
        )

    def request(self, prompt: Prompt, /, **options: Unpack[Options]) -> Request:
        """The request that a call would send, unsent."""
        asked = self.but(**options)
        return asked.format.signature(asked._unsigned(prompt))

    def but(self, **changes: Unpack[Options]) -> Provider:
        """This provider, changed."""
        given: dict[str, Any] = {**changes}
        known = {**_CHANGES, **dict.fromkeys(self.format.options, _option)}
        if unknown := sorted(set(given) - set(known)):
            raise UnknownOption(
                f"{self.name} has no option {', '.join(map(repr, unknown))}; "
                f"it has {', '.join(sorted(known))}",
                provider=self.name,
            )
        changed = self
        for name, value in given.items():
            try:
                changed = known[name](changed, name, value)
            except UsageError as error:
                raise error.about(provider=self.name) from None
            except (TypeError, ValueError, AttributeError) as error:
                raise UsageError(f"{name}: {error}", provider=self.name) from None
        return changed

    def __repr__(self) -> str:
        return f"<provider {self.name}: {without_password(self.url)}, model {self.model!r}>"

    def _unsigned(self, prompt: Prompt) -> Request:
        try:
            conversation = messages(prompt)
        except (TypeError, ValueError) as error:
            raise InvalidPrompt(str(error), provider=self.name) from None
        ask = Ask(conversation, self.model, {**self.format.options, **self.options})
        body = self.format.body(ask)
        try:
            return Request.post(
                self.url,
                body,
                headers=self.headers,
                expects=self.format.expects,
                name=self.name,
                route=self.route,
            )
        except UnicodeEncodeError as error:
            raise InvalidPrompt(str(error), provider=self.name) from None

    def _warn_if_gone(self) -> None:
        if not self.working and self.name not in _warned:
            _warned.add(self.name)
            warnings.warn(
                f"{self.name} does not answer any more: {self.why_not}; "
                "pass base_url= to reach a server that speaks as it did",
                ServiceGone,
                stacklevel=3,
            )


_warned: set[str] = set()


# What `but` can change, a word at a time ----------------------------------------------------


def _base_url(provider: Provider, name: str, value: str) -> Provider:
    # Whether the old address answers says nothing about the new one.
    return attrs.evolve(provider, base_url=value, working=True)


def _model(provider: Provider, name: str, value: str) -> Provider:
    if not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"must be a name, not {value!r}")
    model = provider.aliases.get(value, value) or provider.model
    if provider.models and model not in provider.models:
        raise UnknownModel(
            f"unknown model {value!r}; {provider.name} has "
            f"{', '.join([*provider.models, *provider.aliases])}"
        )
    return attrs.evolve(provider, model=model)


def _headers(provider: Provider, name: str, value: Mapping[str, str]) -> Provider:
    return attrs.evolve(provider, headers=provider.headers | value)


def _timeout(provider: Provider, name: str, value: Timeout | float | None) -> Provider:
    return _route(provider, name, Timeout.of(value))


def _route(provider: Provider, name: str, value: Any) -> Provider:
    return attrs.evolve(provider, route=attrs.evolve(provider.route, **{name: value}))


def _option(provider: Provider, name: str, value: object) -> Provider:
    checked = _VALUES[name](value) if name in _VALUES else value
    return attrs.evolve(provider, options={**provider.options, name: checked})


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"must be a finite number, not {value!r}")
    return value


_CHANGES: dict[str, Callable[[Provider, str, Any], Provider]] = {
    "base_url": _base_url,
    "model": _model,
    "headers": _headers,
    "proxy": _route,
    "timeout": _timeout,
    "ssl": _route,
    "session": _route,
}
_VALUES: dict[str, Callable[[Any], Any]] = {"temperature": _number}
