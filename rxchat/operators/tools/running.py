"""Tools: the model calls your functions, and the conversation goes on until it calls no more.

Strategy. A turn is one answer of the model. Its events are passed on as they come,
and noted. If it ends with calls, the functions are run, each result is an event, and then the seam
`Other("rxchat.turn", messages)` stands where the turn's `Finish` would; `again` makes the stream
of the next turn. So downstream it is one stream: one `Usage`, for all turns, and one `Finish`.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, cast

import msgspec
from reactivex import Observable, abc
from reactivex.abc import DisposableBase
from reactivex.disposable import SerialDisposable

from rxchat.calls import TURN
from rxchat.errors import CallbackFailed, ChatError, InvalidPrompt, TooManyTurns, UsageError
from rxchat.events import Event, Finish, Other, Reasoning, Reset, Text, ToolCall, Usage
from rxchat.messages import Message, Prompt, Tool, messages, reply, tool
from rxchat.operators.creation import of
from rxchat.operators.mapping import map_async
from rxchat.operators.tools.functions import Callee, Function, callees
from rxchat.stream import Pump, Scope, Stream, source, wrap

__all__ = [
    "TOOL_RESULT",
    "replies",
    "run_tools",
    "with_tools",
]

TOOL_RESULT = "rxchat.tool_result"  # the name of the event with the message of one result

_log = logging.getLogger("rxchat")


def run_tools(
    functions: Iterable[Function],
    *,
    again: Callable[[list[Message]], Observable[Event]],
    limit: int = 10,
    concurrent: int = 8,
) -> Callable[[Observable[Event]], Observable[Event]]:
    """Call your functions for the model, and let it go on, until it calls no more.

    `functions` are sync or async functions with type hints and a docstring, which `ops.tool_of`
    makes tools of, or pairs of a `rxchat.Tool` and a function. `again` gets the messages that are
    new since the question, the model's calls and what they gave, and gives the stream of the next
    turn; `rxchat.with_tools(chat, prompt, functions)` does this for you.

    At most `concurrent` calls of a turn run at once. Sync functions run on the event loop: make
    slow ones async. What goes wrong is told to the model, as a result that failed: an unknown
    name, arguments that do not fit (and where), an exception (its type and message; the traceback
    is in the log "rxchat" at level DEBUG). An answer that was cut short ("length",
    "content_filter") ends it all, calls or not, and so does any `Finish` without calls.

    All turns are one stream. Each result is an `Other("rxchat.tool_result", message)` as soon as
    it is there; between turns stands `Other("rxchat.turn", messages)` with what `again` gets. The
    last turn's `Finish` is the only one; the `Usage` before it is the sum of all turns, which also
    comes before an error. `rxchat.replies(events)` has all messages that are new. A `Reset` of
    kind "restart" inside a later turn is followed by the seam once more: that turn alone is asked
    again.

    More than `limit` turns with calls are a `TooManyTurns`, before the calls are run. Whoever
    hangs up cancels the functions that run, and asks no more; a reader that is slow holds back
    functions and turns that have not begun. Memory: the text and the calls of all turns.

    >>> from rxchat.testing import Scripted
    >>> def weather(city: str) -> str:
    ...     return f"18 °C in {city}"
    >>> chat = Scripted(ToolCall(0, "a", "weather", '{"city": "Oslo"}')).then("It is mild.")
    >>> answer = chat("Oslo?").pipe(run_tools([weather], again=lambda new: chat(["Oslo?", *new])))
    >>> answer.run().reason, [message.text for message in chat.prompts[1]]
    ('stop', ['Oslo?', '', '18 °C in Oslo'])
    """
    known = callees(functions)
    if not callable(again):
        raise UsageError(f"run_tools(again=) is a function of the new messages, not {again!r}")
    for name, number in (("limit", limit), ("concurrent", concurrent)):
        if not isinstance(number, int) or number < 1:
            raise UsageError(f"run_tools({name}=) is a number, at least 1, not {number!r}")

    def op(source: Observable[Event]) -> Observable[Event]:
        def subscribe(
            observer: abc.ObserverBase[Event], scheduler: abc.SchedulerBase | None = None
        ) -> DisposableBase:
            turns = _Turns(observer, Scope.of(scheduler), known, again, limit, concurrent)
            turns.hear(source)
            return turns

        return Observable(subscribe)

    return op


class AskedWithTools(Protocol):
    """A provider, or a function like it."""

    def __call__(self, said: list[Message], /, *, tools: list[Tool]) -> Observable[Event]: ...


def with_tools(
    chat: AskedWithTools,
    prompt: Prompt,
    functions: Iterable[Function],
    *,
    limit: int = 10,
    concurrent: int = 8,
) -> Stream[Event]:
    """`chat(prompt, tools=...)` with these functions as tools, and `ops.run_tools` behind it.

    `chat` is a provider, or a function of messages and `tools`, as for a pipeline of your own:
    `lambda said, tools: chat(said, tools=tools).pipe(ops.retry(3))`.

    >>> from rxchat.testing import Scripted
    >>> def six() -> int:
    ...     return 6
    >>> model = Scripted(ToolCall(0, "a", "six")).then("It is six.")
    >>> with_tools(lambda said, tools: model(said), "How many?", [six]).run().reason
    'stop'
    """
    functions = [*functions]
    tools = [callee.tool for callee in callees(functions).values()]
    try:
        question = messages(prompt)
    except (TypeError, ValueError) as error:
        raise InvalidPrompt(str(error)) from None

    def ask(said: Sequence[Message]) -> Observable[Event]:
        return chat([*question, *said], tools=tools)

    operator = run_tools(functions, again=ask, limit=limit, concurrent=concurrent)
    return wrap(operator(ask([])), "with_tools")


def replies(events: Iterable[Event]) -> tuple[Message, ...]:
    """All messages that a stream of `run_tools` adds to the conversation, the last answer too.

    For any other answer, that is `rxchat.reply` alone.

    >>> replies([Text("Hel"), Text("lo"), Finish()])
    (Message(role='assistant', content='Hello', call='', name='', failed=False),)
    """
    before: tuple[Message, ...] = ()
    turn: list[Event] = []
    for event in events:
        if type(event) is Other and event.name == TURN:
            before, turn = event.data, []
        elif type(event) is Reset and event.kind == "restart":
            before, turn = (), []
        else:
            turn.append(event)
    return (*before, reply(turn))


class _Turns(DisposableBase):
    """One subscription: the turns so far, and the one that is being heard or worked for."""

    def __init__(
        self,
        observer: abc.ObserverBase[Event],
        scope: Scope,
        functions: Mapping[str, Callee],
        again: Callable[[list[Message]], Observable[Event]],
        limit: int,
        concurrent: int,
    ) -> None:
        self._observer = observer
        self._emit = observer.on_next
        self._scope = scope
        self._functions = functions
        self._again = again
        self._left = limit
        self._concurrent = concurrent
        self._said: list[Message] = []  # the turns that are whole
        self._spent: Usage | None = None  # on them
        self._upstream = SerialDisposable()
        self._begin()

    def _begin(self) -> None:
        self._answer = _Answer()
        self._note = self._answer.note
        self._usage: Usage | None = None
        self._finishes: list[Finish] = []

    def hear(self, source: Observable[Event]) -> None:
        self._begin()
        self._upstream.disposable = source.subscribe(
            self._on_next, self._fail, self._on_completed, scheduler=self._scope
        )

    def dispose(self) -> None:
        self._upstream.dispose()

    def _on_next(self, item: Any) -> None:
        kind = cast("type[object]", type(item))
        if kind is Usage:
            self._usage = item
        elif kind is Finish:
            self._finishes.append(item)
        elif isinstance(item, str):
            self._fail(UsageError("texts have no calls: put run_tools(...) before text()"))
        else:
            self._note(item)
            self._emit(item)
            if kind is Reset and item.kind == "restart" and self._said:
                self._emit(self._seam())

    def _on_completed(self) -> None:
        events = self._answer.events()
        answer, choices = reply(events), {it.choice for it in events if isinstance(it, ToolCall)}
        if not choices or any(it.reason not in _GOING_ON for it in self._finishes):
            self._end()
        elif len(self._finishes) > 1 or choices != {0}:
            self._fail(UsageError("of several answers none can go on with tools: leave out n="))
        elif not self._left:
            error = TooManyTurns("the model calls tools in every turn, and the limit is met")
            error.messages = (*self._said,)
            self._fail(error)
        else:
            self._left -= 1
            self._work(answer)

    def _work(self, answer: Message) -> None:
        """Run the calls of an answer; the next turn begins when there is demand for it."""
        results: dict[int, Message] = {}

        async def run(numbered: tuple[int, ToolCall]) -> tuple[int, Message]:
            number, call = numbered
            return number, await _result(call, self._functions)

        def on_next(numbered: tuple[int, Message]) -> None:
            number, message = numbered
            results[number] = message
            self._emit(Other(TOOL_RESULT, message))

        def on_completed() -> None:
            self._said += [answer, *(results[number] for number in sorted(results))]
            self._spent = _sum(self._spent, self._usage)
            self._begin()
            self._upstream.disposable = source(seam, "run_tools").subscribe(
                self._emit, self._fail, self._ask, scheduler=self._scope
            )

        async def seam(pump: Pump[Event]) -> None:
            pump.emit(self._seam())
            await pump.gate.wait()

        calls = of(*enumerate(answer.tool_calls))
        working = calls.pipe(map_async(run, concurrent=self._concurrent, ordered=False))
        self._upstream.disposable = working.subscribe(
            on_next, self._fail, on_completed, scheduler=self._scope
        )

    def _seam(self) -> Other:
        return Other(TURN, (*self._said,))

    def _ask(self) -> None:
        try:
            turn = self._again([*self._said])
        except Exception as bug:
            self._fail(bug if isinstance(bug, ChatError) else CallbackFailed.by(bug))
            return
        if isinstance(turn, Observable):
            self.hear(turn)
        else:
            self._fail(UsageError(f"run_tools(again=) gives a stream, not {turn!r}"))

    def _end(self) -> None:
        try:
            self._tell_usage()
            for finish in self._finishes:
                self._emit(finish)
        except Exception as bug:  # of an operator downstream, which must not hang
            self._observer.on_error(CallbackFailed.by(bug))
        else:
            self._observer.on_completed()

    def _fail(self, error: Exception) -> None:
        """What was heard and spent is told with the error."""
        if isinstance(error, ChatError) and (self._said or isinstance(error, TooManyTurns)):
            texts = [message.text for message in self._said if message.role == "assistant"]
            texts.append(reply(self._answer.events()).text)
            error.content_emitted = True
            error.about(partial="\n\n".join(filter(None, texts)))
        self._upstream.dispose()
        try:
            self._tell_usage()
        finally:
            self._observer.on_error(error)

    def _tell_usage(self) -> None:
        usage = _sum(self._spent, self._usage)
        if usage is not None:
            self._emit(usage)


# The reasons after which a turn's calls are run; some sources do not say why they stop.
_GOING_ON = ("tool_calls", "stop")


async def _result(call: ToolCall, functions: Mapping[str, Callee]) -> Message:
    """What a call gives, or why it gives nothing: the model is told either."""
    function = functions.get(call.name)
    if function is None:
        there_are = ", ".join(functions)
        return tool(f"there is no tool {call.name!r}; there are {there_are}", call, failed=True)
    try:
        arguments = function.read(call.arguments)
    except (ValueError, RecursionError) as error:
        return tool(f"the arguments do not fit: {error}", call, failed=True)
    try:
        result = function(arguments)
        if inspect.isawaitable(result):
            result = await result
        return tool(result, call)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        return _failed(call, error)  # of a task of the function's own
    except Exception as error:
        return _failed(call, error)


def _failed(call: ToolCall, error: BaseException) -> Message:
    _log.debug("tool %r raised", call.name, exc_info=error)
    return tool(f"{type(error).__name__}: {error}".removesuffix(": "), call, failed=True)


class _Answer:
    """The events of a turn; runs of text are joined, so that they take no more room than that."""

    __slots__ = ("_done", "_kind", "_run")

    def __init__(self) -> None:
        self._done: list[Event] = []
        self._run: list[str] = []
        self._kind: type[Text] | type[Reasoning] = Text

    def note(self, item: Any) -> None:
        if isinstance(item, _IN_RUNS) and item.opaque is None and item.choice == 0:
            kind = type(item)
            if kind is not self._kind or len(self._run) > _RUN:
                self._settle()
                self._kind = kind
            self._run.append(item.text)
        elif isinstance(item, Reset) and item.kind == "restart":
            self._done.clear()
            self._run.clear()
        else:
            self._settle()
            self._done.append(item)

    def events(self) -> list[Event]:
        self._settle()
        return self._done

    def _settle(self) -> None:
        if self._run:
            self._done.append(self._kind("".join(self._run)))
            self._run.clear()


_IN_RUNS = (Text, Reasoning)
_RUN = 512  # pieces of text, before they are joined


def _sum(a: Usage | None, b: Usage | None) -> Usage | None:
    """What two turns cost together; what only one of them tells counts as it is.

    >>> _sum(Usage(input=1), Usage(input=2, output=3))
    Usage(input=3, output=3, total=None, reasoning=None, cached=None)
    """
    if a is None or b is None:
        return b if a is None else a
    pairs = zip(msgspec.structs.astuple(a), msgspec.structs.astuple(b), strict=True)
    return Usage(*(y if x is None else x + (y or 0) for x, y in pairs))
