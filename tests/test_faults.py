"""Every operator against every fault: what the user gets, and how often each service is asked.

One service has the fault, once, and is well afterwards; where an operator knows another one,
that is well. `FAULTS` says what each fault is, `COLUMNS` what each operator makes of it, in words
of the contract: what has been heard is not asked again, and what cannot help is not tried.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

import rxchat
from rxchat import assistant, user
from rxchat import operators as ops
from rxchat.errors import ChatError, ConnectFailed
from rxchat.events import Event, Finish, Reset
from rxchat.providers import openai
from rxchat.stream import Stream
from rxchat.testing import HOLD, LocalServer, Reply
from rxchat.testing.fault_scripts import FAULTS, fault_script, faults

# The faults ---------------------------------------------------------------------------------------

WORDS = [  # those of the table, as quick as they come
    *(word for word in FAULTS if word not in ("slow", "dribble", "429")),
    "slow(50ms)",
    "dribble(20ms)",
    "429",
    "429(10ms)",
    "429(0.01s)",
    "429(date:0s)",
    "429(delay:0.01s)",
    "429(3600s)",
    "503(10ms)",
]
UNREACHABLE = {"refused": True, "no such host": True, "untrusted": False}
"""How no connection can be made, and whether trying again may help."""


@attrs.frozen
class Case:
    """A fault, as far as an operator may know it."""

    word: str
    ends: type[Any] | None  # with this error; well; never
    said: str = ""  # before that
    retryable: bool = False
    lasting: bool = False  # the next request meets it, too

    @property
    def fails(self) -> bool:
        return self.ends is not None and issubclass(self.ends, ChatError)

    @property
    def hangs(self) -> bool:
        return self.ends is None

    @property
    def asked(self) -> int:
        """How many requests of one attempt are seen by the service."""
        return 0 if self.lasting else 1


def case_of(word: str) -> Case:
    if word in UNREACHABLE:
        return Case(word, ConnectFailed, retryable=UNREACHABLE[word], lasting=True)
    (fault,) = fault_script(word)
    retryable = bool(fault.error and fault.error.retryable) and "3600" not in word
    return Case(word, fault.ends, "Hello" if fault.heard else "", retryable)


CASES = [*map(case_of, [*WORDS, *UNREACHABLE])]


# What comes of them -------------------------------------------------------------------------------


@attrs.frozen
class Outcome:
    """What the user gets, and how many requests the first and the other service get for it."""

    end: str  # the name of an error; "well"; "never"
    text: str
    asked: int
    other: int = 0
    seams: int = 0


def through(case: Case) -> Outcome:
    """As it comes."""
    end = "never" if case.hangs else case.ends.__name__ if case.fails and case.ends else "well"
    return Outcome(end, case.said, case.asked)


def whole(case: Case) -> Outcome:
    """As it comes, but nothing of an answer that is not whole."""
    plain = through(case)
    return plain if plain.end == "well" else attrs.evolve(plain, text="")


def again(case: Case) -> Outcome:
    """Once more, if that may help and nothing was heard."""
    if not case.fails or case.said or not case.retryable or case.lasting:
        return through(case)
    return Outcome("well", "Hello", 2)


def again_from_the_start(case: Case) -> Outcome:
    """Once more, if that may help."""
    if not case.fails or not case.retryable or case.lasting:
        return through(case)
    return Outcome("well", "Hello", 2, seams=1 if case.said else 0)


def elsewhere(case: Case) -> Outcome:
    """From another, if nothing was heard."""
    if not case.fails or case.said:
        return through(case)
    return Outcome("well", "Other", case.asked, 1)


def elsewhere_from_the_start(case: Case) -> Outcome:
    """From another."""
    if not case.fails:
        return through(case)
    return Outcome("well", "Other", case.asked, 1, seams=1 if case.said else 0)


def gone_on_with(case: Case) -> Outcome:
    """From another, from where it was cut."""
    if not case.fails:
        return through(case)
    return Outcome("well", case.said + "Other", case.asked, 1, seams=1 if case.said else 0)


def who_speaks(case: Case) -> Outcome:
    """From who speaks first; both were asked."""
    if case.said:
        return attrs.evolve(through(case), other=1)
    return Outcome("well", "Other", case.asked, 1)


def who_speaks_later(case: Case) -> Outcome:
    """From another, if nothing is heard, be it a failure or silence."""
    return through(case) if case.said else Outcome("well", "Other", case.asked, 1)


def whose_answer_is_whole(case: Case) -> Outcome:
    """From whoever has said all of it."""
    plain = through(case)
    return (
        attrs.evolve(plain, other=1)
        if plain.end == "well"
        else Outcome("well", "Other", case.asked, 1)
    )


def one_after_the_other(case: Case) -> Outcome:
    """From another, if the first has not said all of it; silence is waited for."""
    plain = whole(case)
    return Outcome("well", "Other", case.asked, 1) if case.fails else plain


def not_for_ever(case: Case) -> Outcome:
    """As it comes, but silence is a failure."""
    plain = through(case)
    return attrs.evolve(plain, end="Deadline") if case.hangs else plain


def not_for_ever_and_again(case: Case) -> Outcome:
    """Once more, if that may help and nothing was heard; silence is a failure, too."""
    if case.hangs and not case.said:
        return Outcome("well", "Hello", 2)
    return not_for_ever(case) if case.hangs else again(case)


# The operators ------------------------------------------------------------------------------------

Make = Callable[[], Stream[Event]]


@attrs.frozen
class Column:
    """An operator, applied to a service that has a fault and one that is well."""

    name: str
    build: Callable[[Make, Make, Case], Stream[Event]]
    makes_of_it: Callable[[Case], Outcome]
    holds: bool = False  # the other service speaks when the first has said all that it will say


def yes(answer: object) -> bool:
    return True


async def itself(item: Event) -> Event:
    return item


def now(retries: int) -> float:
    return 0.0


def patience(case: Case) -> dict[str, float]:
    """Short where silence is the fault, long enough for a busy machine elsewhere."""
    return {"first": 0.1, "idle": 0.1} if case.hangs else {"first": 30.0, "idle": 30.0}


COLUMNS = [
    Column("nothing", lambda a, b, case: a(), through),
    Column("checkpoint", lambda a, b, case: a().pipe(ops.checkpoint("a")), through),
    Column("meter", lambda a, b, case: a().pipe(ops.meter()), through),
    Column("limit", lambda a, b, case: a().pipe(ops.limit(concurrent=1, per_minute=9)), through),
    Column("breaker", lambda a, b, case: a().pipe(ops.breaker()), through),
    Column("shared", lambda a, b, case: a().pipe(ops.shared()), through),
    Column("map_async", lambda a, b, case: a().pipe(ops.map_async(itself)), through),
    Column("deadline", lambda a, b, case: a().pipe(ops.deadline(**patience(case))), not_for_ever),
    Column("retry", lambda a, b, case: a().pipe(ops.retry(2, backoff=now)), again),
    Column(
        "retry, restart",
        lambda a, b, case: a().pipe(ops.retry(2, backoff=now, after_commit="restart")),
        again_from_the_start,
    ),
    Column(
        "retry of a deadline",
        lambda a, b, case: a().pipe(ops.deadline(**patience(case)), ops.retry(2, backoff=now)),
        not_for_ever_and_again,
    ),
    Column("fallback", lambda a, b, case: rxchat.fallback(a(), b()), elsewhere),
    Column(
        "fallback, restart",
        lambda a, b, case: rxchat.fallback(a(), b(), after_commit="restart"),
        elsewhere_from_the_start,
    ),
    Column(
        "fallback, resume",
        lambda a, b, case: rxchat.fallback(a(), lambda partial: b(), after_commit="resume"),
        gone_on_with,
    ),
    Column("race", lambda a, b, case: rxchat.race(a(), b()), who_speaks, holds=True),
    Column("hedge", lambda a, b, case: rxchat.hedge(a(), b(), after=9.0), elsewhere),
    Column(
        "hedge, impatient",
        lambda a, b, case: rxchat.hedge(
            a(), b(), after=0.05 if case.hangs and not case.said else 9.0
        ),
        lambda case: who_speaks_later(case) if case.hangs else elsewhere(case),
    ),
    Column(
        "healthy",
        lambda a, b, case: rxchat.healthy(lambda prompt: a(), lambda prompt: b())("?"),
        elsewhere,
    ),
    Column(
        "first_valid",
        lambda a, b, case: rxchat.first_valid(a(), b(), valid=yes),
        whose_answer_is_whole,
        holds=True,
    ),
    Column(
        "quorum",
        lambda a, b, case: rxchat.quorum(a(), b(), b(), n=2),
        lambda case: Outcome("well", "Other", case.asked, 2),
        holds=True,
    ),
    Column(
        "cascade", lambda a, b, case: rxchat.cascade(a(), b(), good_enough=yes), one_after_the_other
    ),
]


# The test -----------------------------------------------------------------------------------------


@attrs.define
class Services:
    """A service with a fault, and one that is well."""

    bad: LocalServer
    good: LocalServer
    address: str
    case: Case

    def one(self) -> Stream[Event]:
        return openai.but(base_url=self.address, key="any")(user("?"))

    def other(self) -> Stream[Event]:
        return openai.but(base_url=self.good.url + "/v1", key="any")([user("?"), assistant("!")])


@asynccontextmanager
async def services(
    case: Case, certificate: tuple[Path, Path], *, holds: bool
) -> AsyncIterator[Services]:
    tls = None
    if case.word == "untrusted":
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*certificate)
    other = Reply(HOLD, "Other") if holds else Reply("Other")
    async with LocalServer(Reply("Hel", "lo"), ssl=tls) as bad, LocalServer(other) as good:
        address = bad.url + "/v1"
        if case.word == "refused":
            with socket.create_server(("127.0.0.1", 0)) as gone:
                address = f"http://127.0.0.1:{gone.getsockname()[1]}/v1"
        elif case.word == "no such host":
            address = "http://nowhere.invalid/v1"
        elif case.word not in UNREACHABLE:
            bad.plan(*faults(case.word))
        yield Services(bad, good, address, case)


@attrs.define
class Listening:
    """Somebody who hears a stream."""

    stream: Stream[Event]
    events: list[Event] = attrs.field(factory=list)
    end: str = "never"
    error: ChatError | None = None
    _more: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def heard(self, text: str) -> None:
        while rxchat.reply(self.events).text != text:
            self._more.clear()
            await self._more.wait()

    async def listen(self) -> None:
        try:
            async for event in self.stream:
                self.events.append(event)
                self._more.set()
            self.end = "well"
        except ChatError as error:
            self.error, self.end = error, type(error).__name__


async def all_said(each: Services) -> None:
    """Return when the service with the fault has said all that it will ever say."""
    if each.case.lasting:
        return
    exchange = await each.bad.exchange(0)
    if "pings" in each.case.word:
        await exchange.sending(len(each.case.said) + 1)
    elif each.case.hangs:
        await exchange.holding()
    else:
        await exchange.ended


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.word)
async def test_every_operator_does_with_every_fault_what_the_contract_says(
    case: Case, column: Column, certificate: tuple[Path, Path]
) -> None:
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)  # TLS complains
    expected = column.makes_of_it(case)
    async with asyncio.timeout(20), services(case, certificate, holds=column.holds) as each:
        listening = Listening(column.build(each.one, each.other, case))
        task = asyncio.create_task(listening.listen())
        if expected.end == "never":
            await all_said(each)
            await listening.heard(expected.text)
            task.cancel()
        if column.holds:
            await all_said(each)
            for number in range(expected.other):
                (await each.good.exchange(number)).release()
        await asyncio.gather(task, return_exceptions=True)

        events, error = listening.events, listening.error
        found = Outcome(
            listening.end,
            rxchat.reply(events).text,
            len(each.bad.exchanges),
            len(each.good.exchanges),
            sum(type(event) is Reset for event in events),
        )
        assert found == expected
        assert (type(events[-1]) is Finish if events else False) == (expected.end == "well")
        if error is not None:
            assert error.content_emitted == bool(expected.text)
        for exchange in (*each.bad.exchanges, *each.good.exchanges):
            await exchange.ended  # nobody is left talking to nobody
