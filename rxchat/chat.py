"""A conversation: it remembers what was asked and answered, and nothing that went wrong.

Strategy. The provider makes the stream of a turn, of the history and what is new. The turn notes
the events that pass. Only when it ends well does the history become another tuple, in one step;
so whatever fails, hangs up or is tried again leaves no trace. A saved chat is JSON lines: the
first has the version and the system message, each other one is a message.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike, fsync
from pathlib import Path
from typing import Any, Self, TypeAlias, cast

import attrs
import msgspec
from reactivex import Observable, abc
from reactivex.abc import DisposableBase
from reactivex.disposable import Disposable

from rxchat.errors import BrokenLine, CallbackFailed, ChatError, InvalidPrompt, UsageError
from rxchat.events import Event, Finish, Opaque, Other, Reasoning, Refusal, Text, ToolCall
from rxchat.messages import Image, Message, Part, Prompt, messages, system, user
from rxchat.operators.tools.running import replies
from rxchat.stream import Hop, Scope, Stream, wrap

__all__ = ["Chat"]


Provides: TypeAlias = Callable[[tuple[Message, ...]], Observable[Event]]  # and takes options


def _provider(given: Provides) -> Callable[..., Observable[Event]]:
    if not callable(given):
        raise UsageError(f"a chat needs a provider, as Chat(openai), not {given!r}")
    return given


def _system(given: str | None) -> str | None:
    if not isinstance(given, str | None):
        raise UsageError(f"the system message of a chat is a text, not {given!r}")
    return given


def _history(given: Prompt) -> tuple[Message, ...]:
    try:
        return messages(given) if given else ()
    except (TypeError, ValueError) as error:
        raise InvalidPrompt(str(error)) from None


@attrs.define(eq=False, init=False, repr=False)
class Chat:
    """A conversation with a provider: `ask` gives the stream of an answer, and remembers both.

    `provider` is any function of the messages (and options) that gives a stream of events, so a
    pipeline of yours is one, too: `Chat(lambda said: openai(said).pipe(ops.retry(3)))`, or with
    functions to call, `Chat(lambda said: rxchat.with_tools(openai, said, [weather]))`. What
    changes the answer belongs there. `options` go with every question; those of `ask` come first.

    `provider`, `system` and `history` may be set at any time: the next question is asked with
    them. A chat changes as it goes on; `history` is a tuple, so what you keep of it does not.

    >>> from rxchat.testing import Scripted
    >>> chat = Chat(Scripted("Hello!").then("Because."), system="Be brief.")
    >>> chat.ask("Hi").run().reason, chat.ask("Why is the sky blue?").run().reason
    ('stop', 'stop')
    >>> [message.text for message in chat.history]
    ['Hi', 'Hello!', 'Why is the sky blue?', 'Because.']
    """

    provider: Callable[..., Observable[Event]] = attrs.field(converter=_provider)
    system: str | None = attrs.field(converter=_system)
    history: tuple[Message, ...] = attrs.field(converter=_history)
    _options: Mapping[str, Any]
    _live: _Turn | None

    def __init__(
        self,
        provider: Provides,
        system: str | None = None,
        *,
        history: Prompt = (),
        **options: Any,
    ) -> None:
        self.provider = _provider(provider)
        self.system = system
        self.history = _history(history)
        self._options = options
        self._live = None

    def ask(self, said: Prompt | Image, /, *more: str | Image, **options: Any) -> Stream[Event]:
        """A cold stream of the answer; when it ends well, the history has the question and it.

        Say a text, texts and images, or messages, as `rxchat.tool(result, call)` for each call of
        the last answer. All events pass unchanged; what is appended is `rxchat.reply` of them, or
        of several turns `rxchat.replies`, and of several answers the first one.

        Each subscription is a turn of its own, asked with the history of its moment. An error
        leaves the history as it is, and so does hanging up before the `Finish`: retries append
        once. (An `async for` lags behind the wire: what has come whole has ended well, wherever
        in it you break.) While one turn is being answered another is a `UsageError`: `fork()` to
        ask several things at once. Memory: the events of the turn, until it ends.
        """
        asked = _asked(said, *more)
        made = self._turn(asked, options)  # now, so that a wrong option or a missing key raises

        def subscribe(
            observer: abc.ObserverBase[Event], scheduler: abc.SchedulerBase | None = None
        ) -> DisposableBase:
            nonlocal made
            scope = Scope.of(scheduler)
            if self._live is not None and not self._live.lost:
                raise UsageError(
                    "this chat is being answered: wait for that, or ask chat.fork() meanwhile"
                )
            if not made.is_of(self):
                try:
                    made = self._turn(asked, options)
                except ChatError:
                    raise
                except Exception as bug:
                    raise CallbackFailed.by(bug) from bug
            turn = self._live = _Turn(self, asked, observer, scope)
            return turn.over(made.stream)

        return wrap(Observable(subscribe), "chat")

    def fork(self) -> Chat:
        """Another chat that begins as this one; from here on each has a history of its own."""
        return Chat(self.provider, self.system, history=self.history, **self._options)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the system message and the history to a file, whole or not at all.

        Neither the provider nor any option is in it, and so no key. What a service wants back
        must be JSON, as everything is that came from one. It is written at once, not by the loop.
        """
        lines: list[object] = [{"rxchat": VERSION, "system": self.system}]
        lines += map(_line, self.history)
        try:
            texts = [json.dumps(line, ensure_ascii=False, allow_nan=False) for line in lines]
        except (TypeError, ValueError, RecursionError) as error:
            raise UsageError(f"this chat cannot be saved: {error}") from None
        # A surrogate that stands alone is no UTF-8; so escaped it is JSON.
        _replace(Path(path), "".join(f"{t}\n" for t in texts).encode(errors="backslashreplace"))

    @classmethod
    def load(
        cls,
        path: str | PathLike[str],
        provider: Provides,
        **options: Any,
    ) -> Self:
        """Read what `save` wrote; what is no such line is a `BrokenLine`."""
        told: str | None = None
        history: list[Message] = []
        for number, line in enumerate(Path(path).read_bytes().split(b"\n"), 1):
            try:
                if number == 1:
                    told = _told(json.loads(line))
                elif line.strip():
                    history.append(_message(json.loads(line)))
            except (TypeError, ValueError, RecursionError) as error:
                what = f"line {number} of {str(path)!r} is no line of a saved chat: {error}"
                raise BrokenLine(what, line=number) from None
        return cls(provider, told, history=history, **options)

    def __repr__(self) -> str:
        return f"<chat with {self._partner}: {self._length}{self._state}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        from rxchat.previews import Veil
        from rxchat.stills import Card, brief

        veil = Veil(getattr(self.provider, "key", None), getattr(self.provider, "auth", None))
        said = (*((system(self.system),) if self.system else ()), *self.history)
        rows = [(it.role, brief(veil(_in_words(it)), SHOWN)) for it in said[-LATEST:]]
        if len(said) > LATEST:
            rows.insert(0, ("", f"… {len(said) - LATEST} messages before that"))
        sentence = f"{self._length} so far{self._state}; ask(...) gives the stream of an answer."
        return Card(f"chat with {self._partner}", "a conversation", sentence, rows).bundle()

    @property
    def _partner(self) -> str:
        names = (getattr(self.provider, name, None) for name in ("name", "__name__"))
        return str(next(filter(None, names), type(self.provider).__name__))

    @property
    def _length(self) -> str:
        return f"{len(self.history)} message{'' if len(self.history) == 1 else 's'}"

    @property
    def _state(self) -> str:
        return ", being answered" if self._live is not None else ""

    def _turn(self, asked: tuple[Message, ...], options: Mapping[str, Any]) -> _Made:
        """The stream that a question has at this moment."""
        first = (system(self.system),) if self.system else ()
        said = (*first, *self.history, *asked)
        stream = self.provider(said, **{**self._options, **options})
        if not isinstance(stream, Observable):
            raise UsageError(f"the provider of a chat gives a stream, not {stream!r}")
        return _Made(wrap(stream), self.provider, self.system, self.history)


SHOWN, LATEST = 400, 20  # characters of a message that is looked at; messages


def _in_words(message: Message) -> str:
    """A message as text, with what is no text in brackets."""
    calls = [f"[calls {call.name}({call.arguments})]" for call in message.tool_calls]
    images = ["[image]" for part in message.parts if isinstance(part, Image)]
    return "\n".join(filter(None, (message.text, *images, *calls)))


def _asked(said: Prompt | Image, *more: str | Image) -> tuple[Message, ...]:
    """What is new, as messages."""
    try:
        if isinstance(said, str | Image):
            asked = messages(user(said, *more))
        elif not more:
            asked = messages(said)
        else:
            raise ValueError("ask texts and images, or one sequence of messages")
    except (TypeError, ValueError) as error:
        raise InvalidPrompt(str(error)) from None
    if any(message.tool_calls for message in asked):
        raise UsageError(
            "the chat itself remembers what the model called: ask it only what the tools gave, or "
            "let the provider call them: "
            "Chat(lambda said: rxchat.with_tools(openai, said, functions))"
        )
    return asked


@attrs.frozen
class _Made:
    """A stream, and what it was made of."""

    stream: Stream[Event]
    provider: Callable[..., Observable[Event]]
    system: str | None
    history: tuple[Message, ...]

    def is_of(self, chat: Chat) -> bool:
        return (
            self.provider is chat.provider
            and self.system == chat.system
            and self.history is chat.history
        )


class _Turn(Hop[Event]):
    """A question that is being answered."""

    __slots__ = ("_chat", "_events", "_question", "_scope")

    def __init__(
        self,
        chat: Chat,
        question: tuple[Message, ...],
        observer: abc.ObserverBase[Event],
        scope: Scope,
    ) -> None:
        super().__init__(observer)
        self._chat = chat
        self._question = question
        self._scope = scope
        self._events: list[Event] = []

    @property
    def lost(self) -> bool:
        """Whether its loop was closed without a word."""
        return self._scope.loop.is_closed()

    def over(self, stream: Stream[Event]) -> DisposableBase:
        upstream = stream.subscribe(
            self.on_next, self.on_error, self.on_completed, scheduler=self._scope
        )

        def hang_up() -> None:
            self._leave(well=type(self._events[-1]) is Finish if self._events else False)
            upstream.dispose()

        return Disposable(hang_up)

    def on_next(self, item: Event) -> None:
        if isinstance(item, str):
            self.on_error(UsageError("a chat remembers events: put ops.text() behind its ask()"))
            return
        self._events.append(item)
        self.observer.on_next(item)

    def on_error(self, error: Exception) -> None:
        self._leave(well=False)
        self.observer.on_error(error)

    def on_completed(self) -> None:
        self._leave(well=True)
        self.observer.on_completed()

    def _leave(self, *, well: bool) -> None:
        """Free the chat for the next question, before anybody downstream can ask it."""
        chat = self._chat
        if chat._live is self:  # pyright: ignore[reportPrivateUsage]  # of the chat whose turn this is
            chat._live = None  # pyright: ignore[reportPrivateUsage]  # as above
            if well:
                chat.history = (*chat.history, *self._question, *replies(self._events))


# As JSON lines ----------------------------------------------------------------------------------

VERSION = 1

_KINDS: Mapping[str, type[Part]] = {
    "text": Text,
    "image": Image,
    "reasoning": Reasoning,
    "refusal": Refusal,
    "tool_call": ToolCall,
    "other": Other,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_MESSAGE = {"role", "content", "call", "name", "failed"}


def _line(message: Message) -> dict[str, Any]:
    """A message as JSON has it, without what goes without saying."""
    content = message.content
    facts = {"call": message.call, "name": message.name, "failed": message.failed}
    return {
        "role": message.role,
        "content": content if isinstance(content, str) else [_part(part) for part in content],
        **{name: fact for name, fact in facts.items() if fact},
    }


def _part(part: Part) -> dict[str, Any]:
    kind = {"type": _NAMES[type(part)]}
    if isinstance(part, Image):
        picture = {"data": part.base64, "media_type": part.media_type}
        return {**kind, **({"url": part.url} if part.url else picture)}
    defaults = {field.name: field.default for field in msgspec.structs.fields(part)}
    fields = {
        name: msgspec.structs.asdict(value) if isinstance(value, Opaque) else value
        for name, value in msgspec.structs.asdict(part).items()
        if value != defaults[name]
    }
    return {**kind, **fields}


def _told(header: Any) -> str | None:
    """The system message, from the first line."""
    match header:
        case {"rxchat": 1, "system": str() | None as told} if len(header) == 2:
            return told
        case {"rxchat": int(version)} if version > VERSION:
            raise ValueError(f"it is of version {version}, and this rxchat reads {VERSION}")
        case _:
            raise ValueError(f'it begins with {{"rxchat": {VERSION}, "system": ...}}')


def _message(line: Any) -> Message:
    fields = _fields(line, _MESSAGE)
    for name, kind in {"role": str, "call": str, "name": str, "failed": bool}.items():
        if not isinstance(fields.get(name, kind()), kind):
            raise TypeError(f"{name!r} is {fields[name]!r}")
    content: Any = fields.pop("content", None)
    if isinstance(content, list):
        content = [_read_part(part) for part in cast("Sequence[Any]", content)]
    return Message(fields.pop("role", ""), content, **fields)


def _read_part(given: Any) -> Part:
    fields = _fields(given)
    name = fields.pop("type", None)
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError(f"the type of a part is one of {', '.join(_KINDS)}, not {name!r}")
    return msgspec.convert(_fields(fields, kind.__annotations__), kind)


def _fields(given: Any, names: Iterable[str] | None = None) -> dict[str, Any]:
    """An object, and nothing in it that would be lost."""
    if not isinstance(given, dict):
        raise TypeError(f"an object is expected, not {str(given)[:80]}")
    fields = cast("dict[str, Any]", given)
    if names is not None and (unknown := sorted({*fields} - {*names})):
        raise ValueError(f"{', '.join(map(repr, unknown))} is unknown")
    return {**fields}


def _replace(path: Path, data: bytes) -> None:
    """Write a file so that there is the old one or the new one, whenever the lights go out."""
    path = path.resolve()  # a link stays one
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    try:
        with fresh.open("xb") as file:
            if path.exists():
                shutil.copymode(path, fresh)
            file.write(data)
            file.flush()
            fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
