"""Consensus over whole answers: hear them, judge them, and stream the one that wins.

Strategy. A panel hears its streams at once and notes facts: who is whole, who has failed, what the
judges say. After each fact it decides: somebody has won, or nobody can any more, or it waits. With
the verdict everybody is hung up, then and there. Only then the winner's answer goes downstream, as
fast as it is read there.
"""

from __future__ import annotations

import asyncio
import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

from attrs import Factory, define
from reactivex import Observable
from reactivex.disposable import CompositeDisposable, Disposable

from rxchat.errors import (
    Aborted,
    AllFailed,
    CallbackFailed,
    ChatError,
    Rejected,
    UsageError,
    is_fatal,
)
from rxchat.events import Event, Text
from rxchat.messages import Message, reply
from rxchat.operators.arguments import function, whole
from rxchat.operators.asking.agreement import agree
from rxchat.operators.asking.commit import some_streams
from rxchat.operators.asking.recovery import fallback
from rxchat.stream import Call, Pump, Recorder, Scope, Stream, Watch, source

__all__ = ["cascade", "first_valid", "quorum"]

T = TypeVar("T")

Judge: TypeAlias = Callable[[Message], bool | Awaitable[bool]]
Comparison: TypeAlias = Callable[[Message, Message], bool | Awaitable[bool]]


def first_valid(*streams: Observable[T], valid: Judge) -> Stream[T]:
    """The first whole answer that `valid` takes; the others are hung up in the same moment.

    All streams are asked at once, and each answer is kept in memory until it is whole. `valid` gets
    it as `rxchat.reply` makes it, also from a stream of text, and gives a bool, or something to
    await: it may ask another model. Several answers may then be judged at once. Of several choices
    it sees the first.

    An answer that is not taken is out, as is a stream that fails. If nobody is left, `AllFailed`
    has every error, `Rejected` for the answers that were not taken.

    >>> from rxchat import of
    >>> first_valid(of("Dunno"), of("4", "2"), valid=lambda answer: "4" in answer.text).run()
    '2'
    """
    some_streams("first_valid", streams)
    function("first_valid", valid=valid)
    return _consensus("first_valid", streams, lambda scope: _FirstValid(scope, valid))


def quorum(*streams: Observable[T], n: int = 2, same: Comparison | None = None) -> Stream[T]:
    """The answer on which `n` streams agree: the earliest of them, as soon as there are so many.

    All streams are asked at once, and each answer is kept in memory until it is whole. An answer
    wins if `n` answers, itself included, are the same as it. By default that is the same text, but
    for case and white space, and the same tool calls. `same(earlier, later)` is asked once for each
    pair of answers as `rxchat.reply` makes them; it gives a bool, or something to await.

    With the verdict everybody else is hung up, also when `n` cannot be reached any more. Then
    `AllFailed` has the errors of those that failed, and `Rejected` for each whole answer.

    >>> from rxchat import of
    >>> quorum(of("4", "1"), of("4", "2"), of("4", "2")).run()
    '2'
    """
    some_streams("quorum", streams)
    whole("quorum", n=n)
    if n > len(streams):
        raise UsageError(
            f"quorum(n) says how many streams must agree: 1 to {len(streams)} of these, not {n!r}"
        )
    judge = same if same is not None else agree
    function("quorum", same=judge)
    return _consensus("quorum", streams, lambda scope: _Quorum(scope, n, judge))


def cascade(*streams: Observable[T], good_enough: Judge) -> Stream[T]:
    """Ask from the cheap to the dear, until an answer is good enough; the last is taken as it is.

    Every answer but the last is kept in memory until it is whole, and judged as by `first_valid`.
    If it is not good enough, or its stream fails, the next one is asked. The last one streams live,
    as in a `fallback`. If it fails before its first content, `AllFailed` has every error,
    `Rejected` for the answers that were not good enough.

    >>> from rxchat import of
    >>> cascade(of("Dunno"), of("4", "2"), good_enough=lambda answer: "4" in answer.text).run()
    '2'
    """
    some_streams("cascade", streams)
    function("cascade", good_enough=good_enough)
    *cheaper, last = streams
    judged = (_judged(stream, good_enough) for stream in cheaper)
    stream = fallback(*judged, last)
    stream.name = "cascade"
    return stream


def _judged(stream: Observable[T], good_enough: Judge) -> Stream[T]:
    """A stream that speaks when it is whole and good enough, and fails otherwise."""
    return _consensus("judged", [stream], lambda scope: _GoodEnough(scope, good_enough))


def _consensus(
    name: str, streams: Sequence[Observable[T]], convene: Callable[[Scope], _Panel[T]]
) -> Stream[T]:
    async def run(pump: Pump[T]) -> None:
        panel = convene(pump.scope)
        pump.closing(panel.hang_up)
        try:
            panel.hear(streams)
            verdict = await panel.verdict
        finally:
            panel.hang_up()
        if isinstance(verdict, Exception):
            raise verdict
        for item in verdict:
            await pump.send(item)

    return source(run, name)


@define(eq=False)
class _Seat(Watch, Generic[T]):
    """One stream of a panel, and the facts about it."""

    items: list[T] = Factory(list[T])
    call: Call = Factory(Call)
    recorder: Recorder | None = None
    answer: Message | None = None
    error: Exception | None = None
    taken: bool = False
    agreeing: int = 1  # answers that are the same, itself included
    compared: int = 0  # answers with which it is being compared

    def asked(self, call: Call) -> None:
        self.call = call

    def rejected(self, why: str) -> Rejected:
        """The error that its whole answer is."""
        text = self.answer.text if self.answer else ""
        facts = {"provider": self.call.name, "request_id": self.call.request_id, "partial": text}
        return Rejected(why, **facts).hiding(self.call.secrets)


class _Panel(ABC, Generic[T]):
    """Streams that are heard at once until there is a verdict: the winner's items, or an error."""

    def __init__(self, scope: Scope) -> None:
        self.seats: list[_Seat[T]] = []
        self.verdict: asyncio.Future[list[T] | Exception] = scope.loop.create_future()
        self._scope = scope
        self._running = CompositeDisposable()  # streams and judges

    @abstractmethod
    def judge(self, seat: _Seat[T], answer: Message) -> None:
        """Ask the judges about an answer that is whole now."""

    @abstractmethod
    def winner(self) -> _Seat[T] | None:
        """Whoever has won by now."""

    @abstractmethod
    def hopeless(self) -> bool:
        """Tell whether nobody can win any more."""

    def failure(self) -> Exception:
        """What the subscriber is told if nobody wins."""
        errors = [seat.error for seat in self.seats if seat.error]
        return AllFailed("no answer was taken", errors)

    def hear(self, streams: Sequence[Observable[T]]) -> None:
        self.seats = [_Seat() for _ in streams]
        for seat, stream in zip(self.seats, streams, strict=True):
            if not self.verdict.done():  # one that speaks at once may leave the rest unasked
                self._running.add(self._listen(seat, stream))

    def _listen(self, seat: _Seat[T], stream: Observable[T]) -> Any:
        def failed(error: Exception) -> None:
            seat.error = error
            if isinstance(error, ChatError):
                error.content_emitted = False  # what the panel has heard, the subscriber has not
            if is_fatal(error):
                self.settle(error)
            self._decide()

        def whole() -> None:
            try:
                seat.answer = _answer(seat.items)
            except UsageError as error:
                return failed(error)
            self.judge(seat, seat.answer)
            return self._decide()

        if self._scope.recorder is not None:
            stream, seat.recorder = self._scope.recorder.part(stream, self._scope)
        return stream.subscribe(
            seat.items.append, failed, whole, scheduler=self._scope.watched(seat)
        )

    def ask(
        self,
        judge: Callable[..., bool | Awaitable[bool]],
        *answers: Message,
        then: Callable[[bool], None],
    ) -> None:
        """Call a judge, and note what it says: at once, or when it has thought."""
        if self.verdict.done():
            return
        try:
            said = judge(*answers)
            if not inspect.isawaitable(said):
                then(bool(said))
                return
        except Exception as bug:
            self.settle(CallbackFailed.by(bug))
            return

        def thought(task: asyncio.Task[Any]) -> None:
            self._scope.pumps.discard(task)
            try:
                then(bool(task.result()))
            except asyncio.CancelledError:
                self.settle(Aborted("a judge was cancelled from outside"))
            except Exception as bug:
                self.settle(CallbackFailed.by(bug))
            self._decide()

        def give_up() -> None:
            thinking.cancel()

        thinking: asyncio.Task[Any] = asyncio.ensure_future(said)
        self._scope.pumps.add(thinking)
        self._running.add(Disposable(give_up))
        thinking.add_done_callback(thought)

    def _decide(self) -> None:
        if self.verdict.done():
            return
        if winner := self.winner():
            self._record(winner)
            self.settle(winner.items)
        elif self.hopeless():
            self.settle(self.failure())

    def settle(self, verdict: list[T] | Exception) -> None:
        """Say the last word, and hang up."""
        if not self.verdict.done():
            self.verdict.set_result(verdict)
            self.hang_up()

    def _record(self, winner: _Seat[T]) -> None:
        for seat in self.seats:
            if seat.recorder is not None and seat is winner:
                seat.recorder.committed()
            elif seat.recorder is not None:
                seat.recorder.lost()

    def hang_up(self) -> None:
        self.verdict.cancel()
        self._running.dispose()


class _FirstValid(_Panel[T]):
    why = "the whole answer is not valid"

    def __init__(self, scope: Scope, valid: Judge) -> None:
        super().__init__(scope)
        self._valid = valid

    def judge(self, seat: _Seat[T], answer: Message) -> None:
        def judged(valid: bool) -> None:
            seat.taken = valid
            seat.error = None if valid else seat.rejected(self.why)

        self.ask(self._valid, answer, then=judged)

    def winner(self) -> _Seat[T] | None:
        return next((seat for seat in self.seats if seat.taken), None)

    def hopeless(self) -> bool:
        return all(seat.error for seat in self.seats)


class _GoodEnough(_FirstValid[T]):
    why = "the whole answer is not good enough"

    def failure(self) -> Exception:
        """The error of the only stream, which is one of many to `cascade`."""
        (seat,) = self.seats
        return seat.error or super().failure()


class _Quorum(_Panel[T]):
    def __init__(self, scope: Scope, n: int, same: Comparison) -> None:
        super().__init__(scope)
        self._n = n
        self._same = same
        self._whole: list[tuple[_Seat[T], Message]] = []  # in the order in which they came

    def judge(self, seat: _Seat[T], answer: Message) -> None:
        for other, earlier in self._whole:
            self._compare(other, earlier, seat, answer)
        self._whole.append((seat, answer))

    def _compare(self, other: _Seat[T], earlier: Message, seat: _Seat[T], later: Message) -> None:
        def compared(same: bool) -> None:
            for each in (other, seat):
                each.compared -= 1
                each.agreeing += same

        for each in (other, seat):
            each.compared += 1
        self.ask(self._same, earlier, later, then=compared)

    def winner(self) -> _Seat[T] | None:
        return next((seat for seat, _ in self._whole if seat.agreeing >= self._n), None)

    def hopeless(self) -> bool:
        alive = sum(seat.error is None for seat in self.seats)
        if alive > len(self._whole):  # whoever still speaks may agree with everybody
            return alive < self._n
        return all(seat.agreeing + seat.compared < self._n for seat, _ in self._whole)

    def failure(self) -> Exception:
        for seat, _ in self._whole:
            seat.error = seat.rejected(f"no {self._n} answers agree on it")
        return super().failure()


def _answer(items: Sequence[object]) -> Message:
    """What was said, as judges get it."""
    events: list[Event] = []
    for item in items:
        said = Text(item) if isinstance(item, str) else item
        if not isinstance(said, Event):
            raise UsageError(f"answers are judged as events or text, not {type(item).__name__}")
        events.append(said)
    return reply(events)
