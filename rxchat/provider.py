"""A provider is a value, and the factory of its streams.

`Format` says how a kind of service talks; `Provider` says who and where. What a user changes
with `but(...)`, or for one call with `provider(prompt, ...)`, is the same set of words.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Unpack
from urllib.parse import quote

import attrs

from rxchat.errors import (
    InvalidPrompt,
    MissingKey,
    MissingSetting,
    UnknownModel,
    UnknownOption,
    UsageError,
    meant,
)
from rxchat.events import Event, ToolCall
from rxchat.framing import Decoder
from rxchat.keys import SHOWN_IN, Auth, KeyGiven, Setting, clean
from rxchat.messages import Image, Message, Prompt, messages, paired
from rxchat.operators.wire import answer, ask
from rxchat.options import BODY, VALUES, Options, jsonable, merged
from rxchat.request import (
    Headers,
    Request,
    Route,
    Timeout,
    as_headers,
    is_http,
    without_password,
)
from rxchat.signing import Signature, unsigned
from rxchat.stream import Stream, wrap

__all__ = ["Ask", "Format", "Options", "Provider", "ServiceGone"]


class ServiceGone(UserWarning):
    """The service behind this address no longer answers."""


def _no_setting(name: str) -> str:
    raise MissingSetting(f"{name} is missing")


@attrs.frozen
class Ask:
    """What a format makes a request body of.

    Options that nobody has said are None; `setting` gives a setting of the provider by its name.
    """

    messages: tuple[Message, ...]
    model: str
    options: Mapping[str, Any]
    setting: Callable[[str], str] = _no_setting


@attrs.frozen(kw_only=True)
class Format:
    """How a kind of service talks: the body it takes, the frames and events it gives.

    `path` may have the model in it, as `{model}`. `options` are the words for the body that the
    format knows, with their defaults; with `tools` among them it takes tools' messages, too.
    """

    path: str
    body: Callable[[Ask], Mapping[str, Any]]
    decoder: Callable[[], Decoder[bytes, Any]]
    mapping: Callable[[], Decoder[Iterable[Any], Event]]
    expects: str
    signature: Signature = unsigned
    options: Mapping[str, Any] = attrs.field(factory=dict[str, Any], hash=False)
    history: bool = True
    system: bool = True
    images: bool = False


_NAME = re.compile(r"\{(\w+)\}")
_HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]+)?")


def _address(base_url: str, *, whole: bool = False) -> str:
    named = base_url.startswith("{") and not whole
    if not (is_http(base_url) or named) or re.search(r"[?#@\s]", base_url):
        raise UsageError(
            "base_url must be an http:// or https:// address without a user, a query and a "
            f"fragment, not {without_password(base_url)!r}"
        )
    return base_url.rstrip("/")


@attrs.frozen(kw_only=True, repr=False)
class Provider:
    """A chat service: call it with a prompt to get a cold stream of what it says.

    Names in braces in `base_url`, `path` and the values of `headers` stand for `settings`.
    """

    name: str
    format: Format
    base_url: str = attrs.field(converter=_address)
    model: str
    path: str = attrs.field(default=attrs.Factory(lambda self: self.format.path, takes_self=True))
    auth: Auth | None = None
    settings: Mapping[str, Setting] = attrs.field(factory=dict[str, Setting], hash=False)
    site: str | None = None
    models: tuple[str, ...] = ()
    aliases: Mapping[str, str] = attrs.field(factory=dict[str, str], hash=False)
    headers: Headers = attrs.field(factory=Headers, converter=as_headers)
    options: Mapping[str, Any] = attrs.field(factory=dict[str, Any], hash=False)
    key: KeyGiven | None = attrs.field(default=None, hash=False)
    route: Route = Route()
    working: bool = True
    why_not: str = ""

    @property
    def url(self) -> str:
        """The address that is called; settings that are missing stay names in braces."""
        try:
            return self._address()
        except UsageError:
            return self.base_url + self.path

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
        signature = asked._signature()
        if signature is None:
            raise asked._lacks_key()
        asked._warn_if_gone()
        form = asked.format
        return wrap(
            answer(form.decoder, form.mapping, self.name)(ask(request, signature)),
            self.name,
            partial(asked._preview, request),
        )

    def request(self, prompt: Prompt, /, **options: Unpack[Options]) -> Request:
        """The request that a call would send, unsent; without a key it is without one."""
        asked = self.but(**options)
        signature = asked._signature() or asked.format.signature
        return signature(asked._unsigned(prompt))

    def but(self, **changes: Unpack[Options]) -> Provider:
        """This provider, changed."""
        if not changes:
            return self
        given: dict[str, Any] = {**changes}
        known = {
            **_CHANGES,
            **dict.fromkeys(self.format.options, _option),
            **dict.fromkeys(self.settings, _setting),
            **({"key": _key} if self.auth else {}),
        }
        if unknown := sorted(set(given) - set(known)):
            raise UnknownOption(
                f"there is no option {', '.join(map(repr, unknown))}; "
                f"there are {', '.join(sorted(known))}"
                + "".join(meant(name, known) for name in unknown),
                provider=self.name,
            )
        changed = self
        for name, value in given.items():
            try:
                changed = known[name](changed, name, value)
            except UsageError as error:
                raise error.about(provider=self.name) from None
            except (TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
                raise UsageError(f"{name}: {error}", provider=self.name) from None
        return changed

    def __repr__(self) -> str:
        from rxchat.previews import Veil

        said = f"<provider {self.name}: {without_password(self.url)}, model {self.model!r}>"
        return Veil(self.key, self.auth)(said)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        from rxchat import previews
        from rxchat.stills import Card

        veil = previews.Veil(self.key, self.auth)
        key, key_in = previews.key_of(self.key, self.auth, self.headers, self._setting)
        gone = [] if self.working else [("gone", f"it does not answer any more: {self.why_not}")]
        rows, body = [("key", key)], ""
        for name, setting in self.settings.items():
            rows.append((name, previews.setting_of(name, setting, self.options.get(name))))
        try:
            request = self._unsigned(EXAMPLE)
        except UsageError as error:
            said = any(value.startswith(previews.MISSING) for _, value in rows[1:])
            trouble = [] if said else [("trouble", veil(error.message))]
            rows = [*trouble, ("sends", f"POST {veil(without_password(self.url))}"), *rows]
        else:
            sent, body = self._preview(request)
            rows = [*sent, *previews.headers_of(request.headers, key_in, veil), *rows]
        sentence = f"Call it with a prompt to get a stream. This is what it sends for {EXAMPLE!r}:"
        return Card(self.name, "a provider", sentence, [*gone, *rows], body).bundle()

    def _preview(self, request: Request) -> tuple[list[tuple[str, str]], str]:
        """What a request would be, to look at; of the body the first lines."""
        from rxchat import previews

        veil = previews.Veil(self.key, self.auth, request)
        rows = previews.way_of(request, veil)
        model = [("model", veil(self.model))] if self.model else []
        return [*rows, *model], previews.body_of(request, veil)

    def _unsigned(self, prompt: Prompt) -> Request:
        try:
            conversation = self._conversation(prompt)
        except (TypeError, ValueError) as error:
            raise InvalidPrompt(str(error), provider=self.name) from None
        try:
            options = {**_UNSAID, **self.format.options, **self.options}
            _check_choice(options)
            extra = options.pop("extra", {})
            ask = Ask(conversation, self.model, options, self._setting)
            body = merged(self.format.body(ask), extra)
            address = self._address()
        except UsageError as error:
            raise error.about(provider=self.name) from None
        try:
            return Request.post(
                address,
                body,
                headers=self._headers(),
                expects=self.format.expects,
                name=self.name,
                route=self.route,
            )
        except UnicodeEncodeError as error:
            raise InvalidPrompt(str(error), provider=self.name) from None
        except ValueError as error:  # of a header
            raise UsageError(str(error), provider=self.name) from None

    def _conversation(self, prompt: Prompt) -> tuple[Message, ...]:
        """The prompt, if this format can carry all of it."""
        conversation = messages(prompt)
        if all(
            message.role != "tool" and isinstance(message.content, str) for message in conversation
        ):
            return conversation  # mere text, as nearly always
        takes_tools = "tools" in self.format.options
        for part in (part for message in conversation for part in message.parts):
            if isinstance(part, Image) and not self.format.images:
                raise ValueError("this service takes no images")
            if isinstance(part, ToolCall) and not takes_tools:
                raise ValueError("this service takes no tool calls")
        return paired(conversation) if takes_tools else conversation

    def _signature(self) -> Signature | None:
        """How its requests are signed; None if that takes a key and there is none."""
        form, auth = self.format.signature, self.auth
        if auth is None or (self.key is None and any(name in self.headers for name in SHOWN_IN)):
            return form
        try:
            with_key = auth(self.key, self._setting)
        except UsageError as error:
            raise error.about(provider=self.name) from None
        if with_key is None:
            return None if auth.missing else form
        return lambda request: with_key(form(request))

    def _lacks_key(self) -> MissingKey:
        how = self.auth.missing if self.auth else None
        return MissingKey(
            f"a key is missing: {how}; `python -m rxchat demo` needs none", provider=self.name
        )

    def _setting(self, name: str) -> str:
        setting = self.settings.get(name, Setting())
        try:
            return setting.value(name, self.options.get(name))
        except UsageError as error:
            raise error.about(provider=self.name) from None

    def _address(self) -> str:
        """Where to send: what is filled in can neither leave its place nor choose another host."""
        base = self.base_url
        if "{" not in base + self.path:
            return base + self.path
        path_begins = base.find("/", base.find("://") + 3) if "://" in base else base.find("/")

        def in_base(name: re.Match[str]) -> str:
            value = self._value(name)
            if name.start() == 0:  # the whole address, which is checked as one
                return value.rstrip("/")
            if 0 <= path_begins < name.start():
                return quote(value, safe="")
            if not _HOST.fullmatch(value):
                raise UsageError(f"{name[1]} must be part of a host's name, not {value!r}")
            return value

        def in_path(name: re.Match[str]) -> str:
            return quote(self._value(name), safe="")

        if "{" in base:
            base = _address(_NAME.sub(in_base, base), whole=True)
        return base + _NAME.sub(in_path, self.path)

    def _value(self, name: re.Match[str]) -> str:
        """What a name in braces stands for."""
        if name[1] == "model":
            if not self.model:
                raise MissingSetting("model is missing: pass model=...", provider=self.name)
            return self.model
        return self._setting(name[1])

    def _headers(self) -> Headers:
        """The headers with their settings in place; without those whose setting is empty."""
        headers = self.headers
        for name, value in headers.plain().items() if self.settings else ():
            if value[:1] == "{" and (setting := value[1:-1]) in self.settings:
                headers = headers.but(name, self._setting(setting) or None)
        return headers

    def _warn_if_gone(self) -> None:
        if not self.working and self.name not in _warned:
            _warned.add(self.name)
            warnings.warn(
                f"{self.name} does not answer any more: {self.why_not}; "
                "pass base_url= to reach a server that speaks as it did",
                ServiceGone,
                stacklevel=3,
            )


EXAMPLE = "Hi"  # what a provider that is looked at is asked
_UNSAID: Mapping[str, Any] = dict.fromkeys(BODY)
_warned: set[str] = set()


# What `but` can change, a word at a time ----------------------------------------------------


def _base_url(provider: Provider, name: str, value: str) -> Provider:
    # Whether the old address answers says nothing about the new one.
    return attrs.evolve(provider, base_url=value, working=True)


def _model(provider: Provider, name: str, value: str) -> Provider:
    if not isinstance(value, str):
        raise TypeError(f"must be a name, not {value!r}")
    model = provider.aliases.get(value, value) or provider.model
    if provider.models and model not in provider.models:
        raise UnknownModel(
            f"unknown model {value!r}; {provider.name} has "
            f"{', '.join([*provider.models, *provider.aliases])}"
            + meant(value, [*provider.models, *provider.aliases])
        )
    return attrs.evolve(provider, model=model)


def _headers(provider: Provider, name: str, value: Mapping[str, str]) -> Provider:
    return attrs.evolve(provider, headers=provider.headers | value)


def _timeout(provider: Provider, name: str, value: Timeout | float | None) -> Provider:
    return _route(provider, name, Timeout.of(value))


def _route(provider: Provider, name: str, value: Any) -> Provider:
    return attrs.evolve(provider, route=attrs.evolve(provider.route, **{name: value}))


def _option(provider: Provider, name: str, value: object) -> Provider:
    """None takes an option back."""
    options = {**provider.options}
    options.pop(name, None)
    if value is not None:
        options[name] = VALUES[name](value) if name in VALUES else value
    return attrs.evolve(provider, options=options)


def _setting(provider: Provider, name: str, value: str | None) -> Provider:
    if not isinstance(value, str | None):
        raise TypeError(f"must be a text, not {value!r}")
    return _option(provider, name, value)


def _extra(provider: Provider, name: str, value: Mapping[str, Any]) -> Provider:
    if not isinstance(value, Mapping):
        raise TypeError(f"must be a mapping, not {value!r}")
    extra = merged(provider.options.get("extra", {}), jsonable(value))
    return attrs.evolve(provider, options={**provider.options, "extra": extra})


def _key(provider: Provider, name: str, value: KeyGiven | None) -> Provider:
    if isinstance(value, str) or not (value is None or callable(value) or hasattr(value, "items")):
        value = clean(value)
    elif value is not None and not callable(value):  # several that belong together
        value = {name: clean(part) for name, part in value.items() if part}
    return attrs.evolve(provider, key=value)


def _check_choice(options: Mapping[str, Any]) -> None:
    """A tool can be asked for only by the name that it has."""
    choice, tools = options.get("tool_choice"), options.get("tools") or ()
    if choice is None:
        return
    if not tools:
        raise UsageError("tool_choice needs tools: pass tools=[...], too")
    names = ["auto", "none", "required", *(tool.name for tool in tools)]
    if choice not in names:
        raise UsageError(f"tool_choice is one of {', '.join(map(repr, names))}, not {choice!r}")


_CHANGES: dict[str, Callable[[Provider, str, Any], Provider]] = {
    "base_url": _base_url,
    "model": _model,
    "extra": _extra,
    "headers": _headers,
    "proxy": _route,
    "timeout": _timeout,
    "ssl": _route,
    "session": _route,
}
