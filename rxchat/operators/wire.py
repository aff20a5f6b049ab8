"""From request to words: sign, send, decode, events, text.

    of(request) ─ sign ─ send ─ decode ─ events ─ text
       Request   Request  bytes  frames   Event    str

Each step works alone. A provider fuses `decode` and `events` into `answer`, which is the same
code without an item per frame in between.

Strategy. What a read brings is decoded into one batch first and emitted then, item by item: so
an error in the middle of a read loses nothing that came before it, and an exception from
downstream is never taken for a fault of the bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, Protocol, TypeVar

from reactivex import Observable, abc
from reactivex import operators as rx
from reactivex.abc import DisposableBase
from reactivex.disposable import CompositeDisposable, SingleAssignmentDisposable

from rxchat.errors import (
    BadAnswer,
    CallbackFailed,
    ChatError,
    FrameTooLarge,
    Garbled,
    Truncated,
    UsageError,
)
from rxchat.events import Event, Finish, Reset, Text, is_content
from rxchat.framing import Decoder, FramingError
from rxchat.request import Request
from rxchat.signing import Signature
from rxchat.stream import Call, Hop, Op, Scope, Stream, lift, lifted, wrap
from rxchat.transport import exchange

__all__ = ["answer", "ask", "decode", "events", "send", "sign", "text"]

F = TypeVar("F")
In = TypeVar("In", contravariant=True)
Out = TypeVar("Out")


def sign(signature: Signature) -> Op[Request, Request]:
    """Sign each request, anew for every subscription."""
    return rx.map(signature)


def send() -> Op[Request, bytes]:
    """Send the request and give the body as it comes: one request per subscription."""

    def op(requests: Observable[Request]) -> Observable[bytes]:
        def subscribe(
            observer: abc.ObserverBase[bytes], scheduler: abc.SchedulerBase | None = None
        ) -> DisposableBase:
            scope = Scope.of(scheduler)
            body = SingleAssignmentDisposable()
            sent = False

            def on_next(request: Request) -> None:
                nonlocal sent
                if sent:
                    observer.on_error(UsageError(_ONE_REQUEST))
                    return
                sent = True
                if not isinstance(request, Request):
                    observer.on_error(UsageError(f"send() takes a Request, not {request!r}"))
                    return
                body.disposable = exchange(request).subscribe(
                    observer.on_next, observer.on_error, observer.on_completed, scheduler=scope
                )

            def on_completed() -> None:
                if not sent:
                    observer.on_completed()

            upstream = requests.subscribe(on_next, observer.on_error, on_completed, scheduler=scope)
            return CompositeDisposable(upstream, body)

        return Observable(subscribe)

    return op


_ONE_REQUEST = (
    "send() carries one request, so that one stream is one answer; for several, pipe "
    "ops.flat_map(...) with a function that makes a stream of each"
)


def ask(request: Request, signature: Signature) -> Stream[bytes]:
    """`sign` and `send` in one step: sign one request, anew for every subscription, and send it."""
    return exchange(request, signature)


def decode(decoder: Callable[[], Decoder[bytes, F]]) -> Op[bytes, F]:
    """Cut bytes into frames: `decoder` is a class of `rxchat.framing` or makes a decoder."""
    return _stage(lambda call: _Decoding(decoder()))


def events(
    mapping: Callable[[], Decoder[Iterable[F], Event]], name: str | None = None
) -> Op[F, Event]:
    """Read frames as events; `name` is who speaks, for errors.

    A mapping is fed the frames that came together, and gives events. It has the last word: with
    `Finish` the answer is over. If the frames end without one, the answer was cut: an error.
    """
    return _stage(lambda call: _Mapping(mapping(), call), lambda: Call(name))


def answer(
    decoder: Callable[[], Decoder[bytes, F]],
    mapping: Callable[[], Decoder[Iterable[F], Event]],
    name: str | None = None,
) -> Op[bytes, Event]:
    """`decode` and `events` in one step."""

    def stage(call: Call) -> _Stage[bytes, Event]:
        return _Fused(_Decoding(decoder()), _Mapping(mapping(), call))

    return _stage(stage, lambda: Call(name))


def text(choice: int = 0, *, restart: str = "\n\n") -> Op[Event, str]:
    """Keep the text of the answer, or of that one of several.

    What was given cannot be taken back: if the answer begins again (a `Reset` of kind "restart",
    which comes only if you ask for it), `restart` stands between. After a "resume" the text goes
    on without a seam.

    >>> from rxchat import of
    >>> of(Text("Hel"), Text("lo"), Finish()).pipe(text(), rx.to_list()).run()
    ['Hel', 'lo']
    """

    if not isinstance(choice, int):
        raise UsageError(f"text(choice) is the number of an answer, from 0, not {choice!r}")
    return lifted(lambda observer: _Texts(observer, choice, restart))


class _Texts(Hop[Event]):
    __slots__ = ("_choice", "_emit", "_restart")

    def __init__(self, observer: abc.ObserverBase[str], choice: int, restart: str) -> None:
        super().__init__(observer)
        self._emit = observer.on_next
        self._choice = choice
        self._restart = restart

    def on_next(self, item: Event) -> None:
        if type(item) is Text:
            if item.choice == self._choice:
                self._emit(item.text)
        elif type(item) is Reset and item.kind == "restart" and self._restart:
            self._emit(self._restart)
        elif isinstance(item, str):
            self.observer.on_error(UsageError("these are texts already: leave out ops.text()"))


# How a step is run ------------------------------------------------------------------------------


class _Stage(Protocol[In, Out]):
    """Appends what an input brings to a batch, and gives the failure, if there is one."""

    @property
    def finished(self) -> bool: ...
    def feed(self, item: In, batch: list[Out]) -> Exception | None: ...
    def close(self, batch: list[Out]) -> Exception | None: ...


_BROKEN: dict[str, type[BadAnswer]] = {"truncated": Truncated, "too-long": FrameTooLarge}


class _Decoding(Generic[F]):
    """Bytes to frames: what a decoder finds wrong becomes an error of ours."""

    finished = False

    def __init__(self, decoder: Decoder[bytes, F]) -> None:
        self._decoder = decoder

    def feed(self, item: bytes, batch: list[F]) -> Exception | None:
        try:
            batch += self._decoder.feed(item)
        except Exception as error:
            return self._failed(error, batch)
        return None

    def close(self, batch: list[F]) -> Exception | None:
        try:
            batch += self._decoder.close()
        except Exception as error:
            return self._failed(error, batch)
        return None

    def _failed(self, error: Exception, batch: list[F]) -> Exception:
        if not isinstance(error, FramingError):
            return error
        batch += error.before
        return _BROKEN.get(error.kind, Garbled)(f"{error}: {error.excerpt!r}")


class _Mapping(Generic[F]):
    """Frames to events, up to the one that ends the answer."""

    def __init__(self, mapping: Decoder[Iterable[F], Event], call: Call) -> None:
        self._feed = mapping.feed
        self._close = mapping.close
        self._call = call
        self.finished = False

    def feed(self, item: F, batch: list[Event]) -> Exception | None:
        return self.feed_all((item,), batch)

    def feed_all(self, frames: Iterable[F], batch: list[Event]) -> Exception | None:
        failure = None
        try:
            batch += self._feed(frames)
        except Exception as error:
            failure = error
        return self._noted(batch, failure)

    def close(self, batch: list[Event]) -> Exception | None:
        try:
            batch += self._close()
        except Exception as error:
            return self._noted(batch, error)
        self._noted(batch)
        return None if self.finished else Truncated("the answer ended before its end")

    def _noted(self, batch: list[Event], failure: Exception | None = None) -> Exception | None:
        """Keep the facts of the call; what comes after the end is not the answer."""
        call, kinds = self._call, [*map(type, batch)]
        if not call.content_emitted:
            call.content_emitted = any(map(is_content, batch))
        if Finish in kinds:
            # When several answers were asked for, each has a Finish, one after the other.
            end = kinds.index(Finish) + 1
            while kinds[end : end + 1] == [Finish]:
                end += 1
            del batch[end:]
            self.finished = call.over = True
            return None
        return failure


class _Fused(Generic[F]):
    """Bytes to events, without an item per frame in between."""

    def __init__(self, decoding: _Decoding[F], mapping: _Mapping[F]) -> None:
        self._decoding = decoding
        self._mapping = mapping

    @property
    def finished(self) -> bool:
        return self._mapping.finished

    def feed(self, item: bytes, batch: list[Event]) -> Exception | None:
        frames: list[F] = []
        garbled = self._decoding.feed(item, frames)
        return self._mapping.feed_all(frames, batch) or self._unless_finished(garbled)

    def close(self, batch: list[Event]) -> Exception | None:
        frames: list[F] = []
        garbled = self._decoding.close(frames)
        failure = self._mapping.feed_all(frames, batch) or self._unless_finished(garbled)
        return failure if failure or self.finished else self._mapping.close(batch)

    def _unless_finished(self, garbled: Exception | None) -> Exception | None:
        return None if self.finished else garbled  # what follows the end is not the answer


class _Step(Hop[Any]):
    """A stage at work: whatever an input brings is emitted, then what went wrong, or the end."""

    __slots__ = ("_call", "_emit", "_own", "_stage")

    def __init__(
        self, observer: abc.ObserverBase[Any], stage: _Stage[Any, Any], call: Call, own: bool
    ) -> None:
        self.observer = observer
        self._emit = observer.on_next
        self._stage = stage
        self._call = call
        self._own = own

    def on_next(self, item: Any) -> None:
        batch: list[Any] = []
        stage = self._stage
        failure = stage.feed(item, batch)
        self._deliver(batch, failure, stage.finished)

    def on_completed(self) -> None:
        batch: list[Any] = []
        failure = self._stage.close(batch)
        self._deliver(batch, failure, ended=True)

    def on_error(self, error: Exception) -> None:
        # An error from upstream has the facts of its request, if this call is not its own.
        if self._own:
            self._fail(error)
        else:
            self.observer.on_error(error)

    def _deliver(self, batch: list[Any], failure: Exception | None, ended: bool) -> None:
        emit = self._emit
        try:
            for item in batch:
                emit(item)
        except Exception as bug:  # of an operator downstream, which must not hang
            failure = CallbackFailed.by(bug)
        if failure is not None:
            self._fail(failure)
        elif ended:
            self.observer.on_completed()

    def _fail(self, error: Exception) -> None:
        if isinstance(error, ChatError):
            self._call.explain(error)
        self.observer.on_error(error)


def _stage(make: Callable[[Call], Any], own_call: Callable[[], Call] | None = None) -> Op[Any, Any]:
    """An operator of a stage, which may be a call of its own: then no other's facts are on it."""

    def op(source: Observable[Any]) -> Observable[Any]:
        def listen(observer: abc.ObserverBase[Any], scope: Scope) -> DisposableBase:
            step = _Step(observer, make(scope.call), scope.call, own_call is not None)
            return lift(source, step, scope)

        def subscribe(
            observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None
        ) -> DisposableBase:
            scope = Scope.of(scheduler)
            if own_call is None:
                return listen(observer, scope)
            scope = scope.for_call(own_call())
            if scope.recorder is None:
                return listen(observer, scope)
            answer: Observable[Any] = Observable(
                lambda heard, scheduler: listen(heard, Scope.of(scheduler))
            )
            recorded, _ = scope.recorder.part(wrap(answer, scope.call.name or "stream"), scope)
            return lift(recorded, observer, scope)

        return Observable(subscribe)

    return op
