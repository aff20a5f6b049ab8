"""Say step by step what a stream has to do, and run it: in virtual time, or in real time.

    verify(stream).expect(Text("a")).after(2.0).expect_text("Hello").expect_error(Truncated).run()

Each step takes what comes next. Nothing stays unchecked: an item that no step takes is a failure,
and the last step must say how it ends. When a step fails, the error shows all that came, and when.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable
from typing import Any, Generic, Literal, NamedTuple, Self, TypeAlias, TypeVar

from attrs import frozen
from msgspec import Struct
from msgspec.structs import fields
from reactivex import Observable

from rxchat.errors import UsageError
from rxchat.events import Text
from rxchat.stream import Scope
from rxchat.testing.clock import run_virtual
from rxchat.testing.exchange import Bell

__all__ = ["NotAsExpected", "Verifier", "verify"]

T = TypeVar("T")

SLACK = 1e-6  # seconds by which sums of floats may be wrong
VIRTUAL_PATIENCE = 3600.0  # seconds for a step, on top of those that it says
PATIENCE = 5.0


class NotAsExpected(AssertionError):
    """The stream did something else than a step said."""


def verify(stream: Observable[T]) -> Verifier[T]:
    """Begin to say what a stream has to do.

    >>> from rxchat.events import Finish
    >>> from rxchat.testing import said
    >>> verify(said("--a-b|")).expect_text("ab").expect(Finish()).expect_end().run()

    >>> verify(said("--a-b|")).expect_text("ac").expect_end().run()
    Traceback (most recent call last):
    ...
    rxchat.testing.verification.NotAsExpected: step 1, expect_text('ac'): 'ab' came
         0.02 s  Text('a')
      >  0.04 s  Text('b')
    """
    return Verifier(stream)


Kind: TypeAlias = Literal["item", "error", "end"]


class _Heard(NamedTuple):
    time: float
    kind: Kind
    what: Any

    def __str__(self) -> str:
        return "the end" if self.kind == "end" else _brief(self.what)


@frozen
class _Step:
    says: str
    run: Callable[[_Course], Awaitable[None]]
    last: bool = False


class Verifier(Generic[T]):
    """Steps to be taken in order; each method adds one, and gives the verifier back."""

    def __init__(self, stream: Observable[T]) -> None:
        self._stream = stream
        self._steps: list[_Step] = []

    def expect(self, *items: T) -> Self:
        """These items come next."""
        for item in items:

            async def step(course: _Course, item: T = item) -> None:
                course.must(await course.item() == item)

            self._add(f"expect({_brief(item)})", step)
        return self

    def expect_a(self, kind: type[object], **facts: object) -> Self:
        """An item of this type comes next, with these facts: `expect_a(Finish, reason="stop")`."""

        async def step(course: _Course) -> None:
            course.must(_fits(await course.item(), kind, facts))

        return self._add(f"expect_a({_shown(kind, facts)})", step)

    def expect_that(self, holds: Callable[[T], bool]) -> Self:
        """An item comes next for which this holds."""

        async def step(course: _Course) -> None:
            course.must(holds(await course.item()))

        return self._add(f"expect_that({getattr(holds, '__name__', holds)})", step)

    def expect_any(self, count: int = 1) -> Self:
        """So many items come next, whatever they are."""

        async def step(course: _Course) -> None:
            for _ in range(count):
                await course.item()

        return self._add(f"expect_any({count})", step)

    def expect_text(self, text: str) -> Self:
        """This text comes next, in as many pieces as it likes."""

        async def step(course: _Course) -> None:
            said = ""
            while said != text:
                item = await course.item()
                course.must(isinstance(item, Text | str))
                said += item.text if isinstance(item, Text) else item
                course.must(text.startswith(said), f"{said!r} came")

        return self._add(f"expect_text({text!r})", step)

    def after(self, seconds: float) -> Self:
        """What the next step is about comes so long after what was last.

        Virtual time is exact. In real time it may come later, but not sooner.
        """

        async def step(course: _Course) -> None:
            course.due = course.now + seconds

        return self._add(f"after({seconds})", step)

    def then(self, act: Callable[[], object]) -> Self:
        """Do something now, or, with `after`, so long after what was last; it may be async."""

        async def step(course: _Course) -> None:
            await course.silence()
            done = act()
            if inspect.isawaitable(done):
                await done
            course.now = course.time()

        return self._add(f"then({getattr(act, '__name__', act)})", step)

    def pause(self, seconds: float) -> Self:
        """Be a slow consumer: demand nothing for so long. What comes all the same, waits."""

        async def step(course: _Course) -> None:
            course.scope.gate.pause()
            try:
                await asyncio.sleep(seconds)
            finally:
                course.scope.gate.resume()
            course.now = course.time()

        return self._add(f"pause({seconds})", step)

    def expect_error(
        self, kind: type[BaseException] = Exception, match: str = "", **facts: object
    ) -> Self:
        """It fails now: with an error of this type, this pattern in its message, these facts."""

        async def step(course: _Course) -> None:
            heard = await course.next()
            course.must(heard.kind == "error")
            course.must(_fits(heard.what, kind, facts))
            course.must(bool(re.search(match, str(heard.what))))

        pattern = {"match": match} if match else {}
        return self._add(f"expect_error({_shown(kind, pattern | facts)})", step, last=True)

    def expect_end(self) -> Self:
        """It ends well now."""

        async def step(course: _Course) -> None:
            course.must((await course.next()).kind == "end")

        return self._add("expect_end()", step, last=True)

    def hang_up(self) -> Self:
        """Leave now, or, with `after`, so long after what was last; nothing may come any more."""

        async def step(course: _Course) -> None:
            await course.silence()
            course.hang_up()

        return self._add("hang_up()", step, last=True)

    def run(self, patience: float = VIRTUAL_PATIENCE) -> None:
        """Run the stream in virtual time, and take the steps; no step waits for more seconds."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return run_virtual(self._run(patience, exact=True))
        raise UsageError("run() makes a loop of its own; write `await ....check()` inside one")

    async def check(self, patience: float = PATIENCE) -> None:
        """Run it on the running loop, as a real service needs; no step waits for more seconds."""
        await self._run(patience, exact=False)

    def _add(
        self, says: str, run: Callable[[_Course], Awaitable[None]], *, last: bool = False
    ) -> Self:
        if self._steps and self._steps[-1].last:
            raise UsageError(f"nothing comes after {self._steps[-1].says}, so not {says}")
        self._steps.append(_Step(says, run, last))
        return self

    async def _run(self, patience: float, *, exact: bool) -> None:
        if not self._steps or not self._steps[-1].last:
            raise UsageError("say how it ends: expect_end(), expect_error(...) or hang_up()")
        course = _Course(self._stream, exact)
        try:
            for number, step in enumerate(self._steps, 1):
                course.step = f"step {number}, {step.says}"
                await course.take(step, patience)
        finally:
            await course.close()
        if len(course.heard) > course.taken:
            raise course.failure("more came afterwards", course.taken)


class _Course:
    """One run of a stream: what was heard, and how much of it the steps have taken."""

    def __init__(self, stream: Observable[Any], exact: bool) -> None:
        self.heard: list[_Heard] = []
        self.taken = 0
        self.step = ""
        self.scope = Scope()
        self.now = 0.0  # when the last thing came that a step has taken
        self.due: float | None = None
        self._exact = exact
        self._bell = Bell()
        self._began = self.scope.loop.time()
        self._subscription = stream.subscribe(
            lambda item: self._note("item", item),
            lambda error: self._note("error", error),
            lambda: self._note("end", None),
            scheduler=self.scope,
        )

    def time(self) -> float:
        return self.scope.loop.time() - self._began

    async def take(self, step: _Step, patience: float) -> None:
        """Take a step, or give up."""
        waiting = asyncio.timeout(patience + (0.0 if self.due is None else self.due - self.time()))
        try:
            async with waiting:
                await step.run(self)
        except TimeoutError:
            if not waiting.expired():
                raise
            raise self.failure(f"nothing came for {patience:g} s") from None

    async def next(self) -> _Heard:
        """Take what comes next, when it is due."""
        await self._bell.until(lambda: len(self.heard) > self.taken)
        heard = self.heard[self.taken]
        self.taken += 1
        due, self.due, self.now = self.due, None, heard.time
        if due is not None:
            late = heard.time - due
            self.must(late > -SLACK, f"{heard} came {-late:.3g} s too soon")
            self.must(not self._exact or late < SLACK, f"{heard} came {late:.3g} s too late")
        return heard

    async def item(self) -> Any:
        heard = await self.next()
        self.must(heard.kind == "item")
        return heard.what

    async def silence(self) -> None:
        """Wait until something is due that is no item; nothing may come before."""
        due, self.due = self.due, None
        if due is not None:
            await asyncio.sleep(due - self.time())
            self.now = due
            if len(self.heard) > self.taken:
                self.taken += 1
                self.must(False)

    def hang_up(self) -> None:
        self._subscription.dispose()

    async def close(self) -> None:
        self.hang_up()
        await self.scope.drained()

    def must(self, right: bool, else_: str = "") -> None:
        if not right:
            last = self.taken - 1
            raise self.failure(else_ or f"{self.heard[last]} came", last)

    def failure(self, problem: str, place: int | None = None) -> NotAsExpected:
        """What went wrong, at that place of all that was heard."""
        lines = [
            f"  {'>' if number == place else ' '} {heard.time:5.2f} s  {heard}"
            for number, heard in enumerate(self.heard)
        ]
        return NotAsExpected("\n".join([f"{self.step}: {problem}", *lines]))

    def _note(self, kind: Kind, what: Any) -> None:
        self.heard.append(_Heard(self.time(), kind, what))
        self._bell.ring()


def _fits(it: object, kind: type, facts: dict[str, object]) -> bool:
    known = all(getattr(it, name, None) == value for name, value in facts.items())
    return isinstance(it, kind) and known


def _shown(kind: type, facts: dict[str, object]) -> str:
    return ", ".join((kind.__name__, *(f"{name}={value!r}" for name, value in facts.items())))


def _brief(item: object) -> str:
    """An event with what is not as usual in it; anything else as it shows itself."""
    if not isinstance(item, Struct):
        return repr(item)
    told: list[str] = []
    for field in fields(item):
        value: object = getattr(item, field.name)
        if field.required:
            told.append(repr(value))
        elif value != field.default:
            told.append(f"{field.name}={value!r}")
    return f"{type(item).__name__}({', '.join(told)})"
