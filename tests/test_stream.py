"""The reactive core: how streams start, stop, wait and fail."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import reactivex as rx
from reactivex import Observable
from reactivex import operators as stock
from reactivex.abc import DisposableBase

import rxchat
from rxchat import Stream, source
from rxchat import operators as ops
from rxchat.errors import (
    Aborted,
    CallbackFailed,
    ChatError,
    ConnectionLost,
    EmptyStream,
    LoopError,
    UsageError,
)
from rxchat.stream import Pump, Scope, Subscription, wrap
from rxchat.testing import run_virtual


class Counter:
    """A source that counts its runs and knows when it was closed."""

    def __init__(self, items: int | None = None) -> None:
        self.items = items
        self.runs = self.live = self.sent = 0

    @property
    def stream(self) -> Stream[int]:
        return source(self._run, "counter")

    async def _run(self, pump: Pump[int]) -> None:
        self.runs += 1
        self.live += 1
        try:
            while self.items is None or self.sent < self.items * self.runs:
                await pump.send(self.sent)
                self.sent += 1
                await asyncio.sleep(0)
        finally:
            self.live -= 1


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


# Starting ---------------------------------------------------------------------------------------


async def test_nothing_runs_before_somebody_subscribes() -> None:
    counter = Counter(3)
    stream = counter.stream.pipe(stock.take(2))
    await turns()
    assert counter.runs == 0
    assert [item async for item in stream] == [0, 1]
    assert counter.runs == 1


async def test_every_subscription_runs_the_source_anew() -> None:
    counter = Counter(2)
    assert await counter.stream == 1
    assert await counter.stream == 3
    assert counter.runs == 2


async def test_nothing_is_emitted_during_subscribe() -> None:
    seen: list[int] = []

    async def eager(pump: Pump[int]) -> None:
        pump.emit(1)

    subscription = source(eager).subscribe(seen.append)
    assert seen == []
    await subscription.wait_closed()
    assert seen == [1]


async def test_an_observer_object_may_subscribe_as_well_as_functions() -> None:
    class Observer:
        def __init__(self) -> None:
            self.seen: list[Any] = []

        def on_next(self, item: int) -> None:
            self.seen.append(item)

        def on_error(self, error: Exception) -> None:
            self.seen.append(error)

        def on_completed(self) -> None:
            self.seen.append("end")

    observer = Observer()
    await Counter(2).stream.subscribe(observer).wait_closed()
    assert observer.seen == [0, 1, "end"]


def test_subscribing_without_a_loop_says_what_to_do() -> None:
    with pytest.raises(LoopError, match=r"stream\.run\(\)"):
        Counter(1).stream.subscribe(print)


# Awaiting and running ---------------------------------------------------------------------------


async def test_await_gives_the_last_item() -> None:
    assert await Counter(3).stream == 2


async def test_awaiting_an_empty_stream_is_a_clear_error() -> None:
    with pytest.raises(EmptyStream, match="'counter' ended without an item"):
        await Counter(0).stream


@pytest.mark.parametrize(
    "error", [StopIteration("x"), StopAsyncIteration("x"), StopAsyncIteration()]
)
async def test_an_error_that_means_an_end_to_python_neither_hangs_nor_ends(
    error: Exception,
) -> None:
    with pytest.raises(RuntimeError, match=type(error).__name__) as caught:
        await rxchat.wrap(rx.throw(error))
    assert caught.value.__cause__ is error


def test_run_serves_a_plain_script() -> None:
    assert Counter(3).stream.pipe(stock.map(lambda n: n * 2)).run() == 4


async def test_run_inside_a_loop_raises_at_once_with_advice() -> None:
    with pytest.raises(LoopError, match="await stream"):
        Counter(1).stream.run()


def test_one_stream_serves_two_loops_in_a_row() -> None:
    counter = Counter(3)
    stream = counter.stream

    async def last() -> int:
        return await stream

    assert asyncio.run(last()) == 2
    assert asyncio.run(last()) == 5


# Stopping ---------------------------------------------------------------------------------------


async def test_dispose_stops_the_source_within_a_loop_turn() -> None:
    counter = Counter()
    subscription = counter.stream.subscribe()
    await turns()
    subscription.dispose()
    await turns(1)
    assert (counter.runs, counter.live) == (1, 0)


async def test_dispose_may_come_twice_and_after_the_end() -> None:
    subscription = Counter(2).stream.subscribe()
    await subscription.wait_closed()
    subscription.dispose()
    subscription.dispose()


async def test_dispose_inside_on_next_lets_nothing_more_through() -> None:
    seen: list[int] = []

    def once(item: int) -> None:
        seen.append(item)
        subscription.dispose()

    subscription: Subscription = Counter().stream.subscribe(once)
    await subscription.wait_closed()
    assert seen == [0]


async def test_break_stops_the_source() -> None:
    counter = Counter()
    async for _ in counter.stream:
        break
    await turns(1)
    assert counter.live == 0


async def test_an_exception_in_the_loop_body_stops_the_source() -> None:
    counter = Counter()
    with pytest.raises(KeyError):
        async for _ in counter.stream:
            raise KeyError
    await turns(1)
    assert counter.live == 0


async def test_take_stops_the_source() -> None:
    counter = Counter()
    assert [n async for n in counter.stream.pipe(stock.take(2))] == [0, 1]
    await turns(1)
    assert counter.live == 0


async def test_cancelling_the_waiting_task_stops_the_source() -> None:
    counter = Counter()
    task = asyncio.ensure_future(
        counter.stream.pipe(stock.filter(lambda n: n < 0)).__aiter__().__anext__()
    )
    await turns()
    task.cancel()
    await turns()
    assert task.cancelled()
    assert counter.live == 0


async def test_an_interrupt_stops_the_source_though_the_frame_is_kept_alive() -> None:
    counter = Counter()
    silent = counter.stream.pipe(stock.filter(lambda n: n < 0))
    frames = []

    async def cell() -> None:
        try:
            async for _ in silent:
                pass
        except asyncio.CancelledError as interrupt:
            frames.append(interrupt.__traceback__)
            raise

    task = asyncio.create_task(cell())
    await turns()
    task.cancel()
    await turns()
    assert frames
    assert counter.live == 0


async def test_a_cursor_whose_wait_was_cancelled_says_so_rather_than_end() -> None:
    async with Counter().stream.pipe(stock.filter(lambda n: n < 0)).open() as cursor:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(cursor), 0.001)
        with pytest.raises(Aborted, match="wait for the next item was cancelled"):
            await anext(cursor)


async def test_open_waits_until_everything_is_closed() -> None:
    counter = Counter()
    async with counter.stream.open() as numbers:
        async for _ in numbers:
            break
        assert counter.live == 1
    assert counter.live == 0


async def test_no_reference_leads_from_the_source_to_the_cursor() -> None:
    cursor = Counter().stream.__aiter__()
    await anext(cursor)
    holders = [holder for holder in gc.get_referrers(cursor) if not hasattr(holder, "f_code")]
    assert holders == []


async def test_a_cursor_dropped_on_another_thread_is_closed_on_the_loop() -> None:
    threads: list[int] = []

    async def talk(pump: Pump[int]) -> None:
        pump.closing(lambda: threads.append(threading.get_ident()))
        try:
            pump.emit(1)
            await asyncio.Event().wait()
        finally:
            threads.append(threading.get_ident())

    box = [source(talk).__aiter__()]
    await anext(box[0])
    thread = threading.Thread(target=box.clear)
    thread.start()
    thread.join()
    assert threads == []
    await turns()
    assert threads == [threading.get_ident()] * 2


def test_the_end_of_the_loop_stops_a_stream_in_silence(
    recwarn: pytest.WarningsRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    counter = Counter()

    async def main() -> None:
        counter.stream.subscribe()
        await turns()

    asyncio.run(main())
    assert counter.live == 0
    assert not recwarn.list
    assert not caplog.records


async def test_a_cancelled_source_is_an_abort_that_no_retry_repeats() -> None:
    runs = 0

    async def suicidal(pump: Pump[int]) -> None:
        nonlocal runs
        runs += 1
        raise asyncio.CancelledError

    with pytest.raises(Aborted):
        await source(suicidal).pipe(ops.retry(3, when=lambda error: True))
    assert runs == 1


async def test_two_tasks_on_one_iterator_are_told_to_take_one_each() -> None:
    async with Counter().stream.pipe(stock.filter(lambda n: n < 0)).open() as cursor:
        first = asyncio.ensure_future(anext(cursor))
        await turns()
        with pytest.raises(LoopError, match="give each its own"):
            await anext(cursor)
        first.cancel()
        await asyncio.wait([first])


# Back-pressure ----------------------------------------------------------------------------------


async def test_a_slow_consumer_pauses_the_source_at_the_high_mark() -> None:
    counter = Counter()
    async with counter.stream.open(high=8) as numbers:
        await anext(numbers)
        await turns(100)
        assert counter.sent <= 9
        assert [await anext(numbers) for _ in range(20)] == list(range(1, 21))


async def test_a_burst_waits_whole_and_in_order() -> None:
    async def burst(pump: Pump[int]) -> None:
        for number in range(1000):
            pump.emit(number)

    assert [n async for n in source(burst)] == list(range(1000))


def test_a_high_mark_below_one_is_refused() -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="at least 1"):
            Counter().stream.open(high=0)

    asyncio.run(main())


# Failing ----------------------------------------------------------------------------------------


async def test_a_consumer_that_raises_is_reported_and_costs_no_second_run(
    reports: list[dict[str, Any]],
) -> None:
    counter = Counter(5)

    def buggy(item: int) -> None:
        raise ZeroDivisionError(item)

    retried = counter.stream.pipe(ops.retry(3, when=lambda error: True))
    await retried.subscribe(buggy, lambda error: reports.append({"on_error": error})).wait_closed()
    assert counter.runs == 1
    assert [str(report["exception"]) for report in reports] == ["0"]
    assert "'counter'" in reports[0]["message"]


@pytest.mark.parametrize("handler", ["on_error", "on_completed"])
async def test_a_raising_end_handler_is_reported(
    handler: str, reports: list[dict[str, Any]]
) -> None:
    async def run(pump: Pump[int]) -> None:
        if handler == "on_error":
            raise ConnectionLost("x")

    def buggy(*_: object) -> None:
        raise ZeroDivisionError

    await source(run).subscribe(None, **{handler: buggy}).wait_closed()
    assert [type(report["exception"]) for report in reports] == [ZeroDivisionError]


async def test_an_operator_that_raises_ends_the_stream_and_is_not_retried() -> None:
    counter = Counter(5)

    def broken(upstream: rx.Observable[int]) -> rx.Observable[int]:
        def subscribe(observer: Any, scheduler: Any = None) -> Any:
            def on_next(item: int) -> None:
                raise ZeroDivisionError(item)

            return upstream.subscribe(on_next, observer.on_error, scheduler=scheduler)

        return rx.Observable(subscribe)

    with pytest.raises(CallbackFailed, match="ZeroDivisionError: 0") as caught:
        await counter.stream.pipe(broken, ops.retry(3, when=lambda error: True))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert counter.runs == 1


def test_a_callback_that_fails_is_named_with_its_place() -> None:
    def shout(chunk: object) -> str:
        raise KeyError(chunk)

    async def whisper(chunk: object) -> str:
        return shout(chunk)

    async def failing(pump: Pump[int]) -> None:
        raise ConnectionLost("gone")

    for stream, name in (
        (rxchat.of(1).pipe(ops.map_async(whisper)), "whisper"),
        (rxchat.fallback(source(failing), rxchat.of(1), when=shout), "shout"),
    ):
        with pytest.raises(CallbackFailed, match=rf"\(in {name}, test_stream\.py, line \d+\)"):
            stream.run()
    assert str(CallbackFailed.by(KeyError("x"))) == "a callback raised KeyError: 'x'"


async def test_an_error_nobody_handles_is_reported_once_with_the_name(
    reports: list[dict[str, Any]],
) -> None:
    async def fails(pump: Pump[int]) -> None:
        raise ConnectionLost("gone")

    await source(fails, "phone").subscribe().wait_closed()
    assert [report["message"] for report in reports] == ["unhandled error in stream 'phone'"]


async def test_an_error_reaches_the_for_loop_after_the_items_before_it() -> None:
    async def fails(pump: Pump[int]) -> None:
        pump.emit(1)
        raise ConnectionLost("gone")

    seen = []
    with pytest.raises(ConnectionLost):
        async for item in source(fails):
            seen.append(item)
    assert seen == [1]


async def test_after_its_error_an_iterator_is_at_its_end() -> None:
    async def fails(pump: Pump[int]) -> None:
        raise ConnectionLost("gone")

    async with source(fails).open() as cursor:
        with pytest.raises(ConnectionLost):
            await anext(cursor)
        with pytest.raises(StopAsyncIteration):
            await anext(cursor)


async def test_an_error_after_the_subscriber_left_is_only_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG", "rxchat")

    async def fails_late(pump: Pump[int]) -> None:
        try:
            pump.emit(1)
            await asyncio.sleep(10)
        finally:
            raise ConnectionLost("too late")

    async for _ in source(fails_late):
        break
    await turns()
    assert "ConnectionLost after the subscriber had left" in caplog.text


# The loop ---------------------------------------------------------------------------------------


async def test_everything_happens_on_the_loops_thread_and_starts_no_other() -> None:
    threads = set()
    before = threading.active_count()

    def note(item: object) -> None:
        threads.add(threading.get_ident())

    stream = rxchat.merge(
        Counter(3).stream.pipe(stock.delay(0.001)),
        rxchat.timer(0.001, 0.001).pipe(stock.take(2)),
        rxchat.interval(0.001).pipe(stock.take(2), stock.timeout(5.0)),
        rxchat.zip(rxchat.of(1, 2), rxchat.of(3, 4)).pipe(stock.map(sum)),
        rxchat.concat(rxchat.of(1), Counter(1).stream),
    )
    await stream.subscribe(note).wait_closed()
    await stream.pipe(stock.do_action(note))
    assert threads == {threading.get_ident()}
    assert threading.active_count() == before


async def test_context_variables_are_seen_in_callbacks() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    variable.set("mine")
    seen: list[str] = []
    await Counter(1).stream.subscribe(lambda _: seen.append(variable.get())).wait_closed()
    await rxchat.timer(0.001).pipe(stock.do_action(lambda _: seen.append(variable.get())))
    assert seen == ["mine", "mine"]


def test_the_schedulers_clock_is_the_loops_clock() -> None:
    async def main() -> tuple[float, float]:
        scope, loop = Scope(), asyncio.get_running_loop()
        date, time = scope.now, loop.time()
        await rxchat.of(1).pipe(stock.delay(3600.0))
        await rxchat.timer(60.0)
        return (scope.now - date).total_seconds(), loop.time() - time

    scheduler, loop = run_virtual(main())
    assert scheduler == pytest.approx(loop)
    assert loop == pytest.approx(3660)


@pytest.mark.parametrize(
    "create",
    [
        lambda: rxchat.merge(rxchat.of(1)),
        lambda: rxchat.concat(rxchat.of(1)),
        lambda: rxchat.zip(rxchat.of(1)),
        lambda: rxchat.timer(0),
        lambda: rxchat.interval(1),
        lambda: rxchat.of(1) + rxchat.of(2),
        lambda: rxchat.of(1, 2, 3)[1:],
        lambda: rxchat.of(1).pipe(),
        lambda: rxchat.of(1).pipe(stock.map(str)),
        lambda: rxchat.of(1).map(str),
    ],
)
def test_streams_stay_streams(create: Callable[[], object]) -> None:
    assert isinstance(create(), Stream)


async def test_what_is_shared_or_grouped_is_a_stream_and_stays_what_it_was() -> None:
    connectable = rxchat.of(1, 2).pipe(stock.publish())
    assert isinstance(connectable, rx.ConnectableObservable)
    assert isinstance(connectable, Stream)
    assert await connectable.ref_count() == 2
    groups = [group async for group in rxchat.of(1, 2).pipe(stock.group_by(str))]
    assert all(isinstance(rxchat.wrap(group), Stream) for group in groups)
    assert [rxchat.wrap(group).key for group in groups] == ["1", "2"]


async def test_a_list_of_observables_becomes_a_list_of_streams() -> None:
    parts = rxchat.of(1, 2).pipe(stock.partition(lambda n: n % 2 == 0))
    assert [type(part) for part in parts] == [Stream, Stream]
    plain, left = rxchat.wrap([rx.of(1, 2), None], "list")
    assert (type(plain), plain.name, await plain, left) == (Stream, "list", 2, None)


def test_what_is_no_plain_observable_is_left_as_it_is() -> None:
    for thing in (None, 5, (rx.of(1),), rx.Subject[int](), rxchat.of(1)):
        assert rxchat.wrap(thing) is thing


def test_a_stream_says_what_it_is() -> None:
    assert repr(Counter().stream) == "<Stream 'counter': cold, one run per subscription>"


@pytest.mark.parametrize("debug", [False, True])
def test_streams_run_on_uvloop_and_in_debug_mode(debug: bool) -> None:
    uvloop = pytest.importorskip("uvloop", reason="uvloop is not made for this system")

    async def main() -> None:
        counter = Counter()
        async for n in counter.stream:
            if n == 3:
                break
        await turns(2)
        assert counter.live == 0
        with pytest.raises(ChatError):
            await Counter(0).stream

    for factory in (uvloop.new_event_loop, asyncio.new_event_loop):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with asyncio.Runner(loop_factory=factory, debug=debug) as runner:
                runner.run(main())


class Faucet(DisposableBase):
    """A source that goes on whatever it is told."""

    def __init__(self) -> None:
        self.observer: Any = None
        self.disposed = 0

    def stream(self) -> Stream[int]:
        def subscribe(observer: Any, scheduler: Any = None) -> DisposableBase:
            self.observer = observer
            return self

        return wrap(Observable(subscribe))

    def dispose(self) -> None:
        self.disposed += 1


async def test_nothing_passes_after_an_end_or_after_it_was_disposed_of() -> None:
    seen: list[object] = []
    for end in ("on_completed", "on_error", "dispose"):
        faucet = Faucet()
        guarded = faucet.stream().pipe(ops.map(lambda item: item))
        subscription = guarded.subscribe(seen.append, lambda error: None)
        faucet.observer.on_next(1)
        if end == "dispose":
            subscription.dispose()
        else:
            getattr(faucet.observer, end)(*([ValueError()] if end == "on_error" else []))
        faucet.observer.on_next(2)
        faucet.observer.on_completed()
        assert faucet.disposed == 1
    assert seen == [1, 1, 1]


@pytest.mark.parametrize("word", ["map", "take", "filter"])
def test_an_operator_without_its_brackets_is_told(word: str) -> None:
    with pytest.raises(UsageError, match=rf"write {word}\w*\(\)"):
        rxchat.of(1).pipe(getattr(ops, word))


def test_texts_have_no_text_to_take_out() -> None:
    with pytest.raises(UsageError, match="texts already"):
        rxchat.of("a").pipe(ops.text()).run()
    with pytest.raises(UsageError, match="number of an answer"):
        ops.text("1")


@pytest.mark.parametrize("word", ["text", "words", "retry", "map", "take"])
def test_an_operator_that_was_not_called_is_named(word: str) -> None:
    with pytest.raises(UsageError, match=rf"not the function {word}: write {word}\(\)"):
        rxchat.of("a").pipe(getattr(ops, word))


def test_what_an_operator_itself_refuses_is_told_in_its_own_words() -> None:
    def refuse(source: object) -> Any:
        raise UsageError("not today")

    with pytest.raises(UsageError, match="not today"):
        rxchat.of("a").pipe(refuse)
