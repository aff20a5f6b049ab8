"""Consensus: whole answers are judged, and only the one that wins is heard.

Pictures: `-` is 10 ms of silence, a letter is content, `s` is a `Start` event, `|` is the end, `#`
an error; `^` is a request, `!` a hang-up. In most of them, an answer with an `x` is a bad one.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import reactivex
from hypothesis import given
from hypothesis import strategies as st

import rxchat
from rxchat import operators as ops
from rxchat.errors import (
    Aborted,
    AllFailed,
    BadRequest,
    CallbackFailed,
    ChatError,
    ConnectionLost,
    Rejected,
    UsageError,
)
from rxchat.events import Finish, Start, Text, ToolCall
from rxchat.messages import Message
from rxchat.operators.asking.consensus import cascade, first_valid, quorum
from rxchat.providers import acytoo, chatanywhere, flowgpt
from rxchat.stream import Call, Pump, Scope, Stream, Watch, source
from rxchat.testing import HOLD, Cold, LocalServer, Reply, Scripted, cold, draw, run_virtual

START = Start(model="m")


def colds(*pictures: str) -> list[Cold]:
    return [cold(picture, {"s": START}, ConnectionLost(picture)) for picture in pictures]


def streams_of(sources: Iterable[Cold]) -> list[Stream[Any]]:
    return [each.stream for each in sources]


def asked(sources: Iterable[Cold]) -> list[str]:
    return ["".join(each.subscriptions) for each in sources]


def drawn(stream: Stream[Any], until: int = 10_000) -> str:
    return draw(stream.pipe(ops.map(lambda item: "s" if item == START else item)), until)


def failure(stream: Stream[Any]) -> Exception:
    async def main() -> Exception:
        with pytest.raises(Exception) as caught:  # noqa: PT011  # the caller looks at it
            await stream
        return caught.value

    return run_virtual(main())


async def all_of(stream: Stream[Any]) -> list[Any]:
    return [item async for item in stream]


def fine(answer: Message) -> bool:
    return "x" not in answer.text


async def fine_at_once(answer: Message) -> bool:
    return fine(answer)


async def fine_after_a_thought(answer: Message) -> bool:
    await asyncio.sleep(0.03)
    return fine(answer)


def close_letters(one: str, other: str) -> bool:
    """Not transitive: a is close to b, b is close to c, and a is not close to c."""
    return abs(ord(one[:1] or "`") - ord(other[:1] or "`")) <= 1


def near(one: Message, other: Message) -> bool:
    return close_letters(one.text, other.text)


async def near_at_once(one: Message, other: Message) -> bool:
    return near(one, other)


def shared(*choices: Any) -> Any:
    """Judges that must come to the same verdict, whether they are asked or awaited."""
    return pytest.mark.parametrize("judge", choices)


# First valid ------------------------------------------------------------------------------------

FIRST_VALID = [
    # sources, result, who asked and who was hung up
    (["-a-b|", "--c|"], "---(c|)", ["^--!", "^"]),
    (["-x|", "---c|"], "----(c|)", ["^", "^"]),
    (["-#", "--c|"], "---(c|)", ["^", "^"]),
    (["-ab|", "-x|", "-----c|"], "---(ab|)", ["^", "^", "^--!"]),
    (["s-a|"], "---(sa|)", ["^"]),
    (["s-#", "-sx|", "---b|"], "----(b|)", ["^", "^", "^"]),
    (["---|", "-x|"], "---|", ["^", "^"]),
    (["-x|", "-a-#"], "---#", ["^", "^"]),
    (["-#"], "-#", ["^"]),
]


@shared(fine, fine_at_once)
@pytest.mark.parametrize(("pictures", "result", "subscriptions"), FIRST_VALID)
def test_the_first_whole_answer_that_is_valid_is_heard(
    pictures: list[str], result: str, subscriptions: list[str], judge: Any
) -> None:
    sources = colds(*pictures)
    assert drawn(first_valid(*streams_of(sources), valid=judge)) == result
    assert asked(sources) == subscriptions


def test_of_two_that_end_at_once_the_first_wins_and_the_other_is_hung_up() -> None:
    sources = colds("-a|", "-b|")
    assert drawn(first_valid(*streams_of(sources), valid=fine)) == "--(a|)"
    assert asked(sources) == ["^", "^-!"]


def test_answers_are_judged_at_once_and_the_others_go_on_meanwhile() -> None:
    sources = colds("-x|", "--b|", "---c|", "----------d|")
    assert drawn(first_valid(*streams_of(sources), valid=fine_after_a_thought)) == "------(b|)"
    assert asked(sources) == ["^", "^", "^", "^-----!"]


def test_if_nobody_is_left_every_failure_is_told_in_the_order_of_the_streams() -> None:
    error = failure(first_valid(*streams_of(colds("---#", "-xy|", "--x|")), valid=fine))
    assert isinstance(error, AllFailed)
    assert [type(each) for each in error.exceptions] == [ConnectionLost, Rejected, Rejected]
    assert [getattr(each, "partial", "") for each in error.exceptions] == ["", "xy", "x"]


def test_a_judge_gets_the_answer_as_a_message() -> None:
    said: list[Message] = []

    def valid(answer: Message) -> bool:
        said.append(answer)
        return True

    call = ToolCall(0, "1", "look", "{}")
    talk = Scripted(START, "Hel", "lo", call)("?")
    assert run_virtual(all_of(first_valid(talk, valid=valid))) == [
        START,
        Text("Hel"),
        Text("lo"),
        call,
        Finish(),
    ]
    run_virtual(all_of(first_valid(talk.pipe(ops.text()), valid=valid)))
    assert [(answer.text, answer.tool_calls) for answer in said] == [
        ("Hello", (call,)),
        ("Hello", ()),
    ]


def test_another_model_may_be_the_judge() -> None:
    judge = Scripted(0.5, "no").then(0.5, "yes")

    def yes(word: str) -> bool:
        return word == "yes"

    def valid(answer: Message) -> Stream[bool]:
        return judge(answer.text).pipe(ops.text(), ops.map(yes))

    stream = first_valid(Scripted("bad")("?"), Scripted(0.1, "good")("?"), valid=valid)
    assert run_virtual(all_of(stream.pipe(ops.text()))) == ["good"]
    assert [prompt[0].text for prompt in judge.prompts] == ["bad", "good"]


# Quorum -----------------------------------------------------------------------------------------

QUORUM = [
    (2, ["-a|", "--b|", "---a|", "-----b|"], "----(a|)", ["^", "^", "^", "^---!"]),
    (2, ["---a|", "-a|", "--------b|"], "----(a|)", ["^", "^", "^---!"]),
    (2, ["-a|", "-#", "--b|"], "---#", ["^", "^", "^"]),
    (2, ["-#", "-#", "----a|"], "-#", ["^", "^", "^!"]),
    (2, ["-(sa)|", "--A|"], "---(sa|)", ["^", "^"]),
    (3, ["-a|", "--a|", "---a|"], "----(a|)", ["^", "^", "^"]),
    (3, ["--#", "---a|", "-----a|"], "--#", ["^", "^-!", "^-!"]),
    (1, ["--a|", "-b|"], "--(b|)", ["^-!", "^"]),
    (2, ["--|", "---|"], "---|", ["^", "^"]),
]


@pytest.mark.parametrize(("n", "pictures", "result", "subscriptions"), QUORUM)
def test_the_earliest_answer_on_which_enough_agree_is_heard(
    n: int, pictures: list[str], result: str, subscriptions: list[str]
) -> None:
    sources = colds(*pictures)
    assert drawn(quorum(*streams_of(sources), n=n)) == result
    assert asked(sources) == subscriptions


@shared(near, near_at_once)
def test_whoever_agrees_with_enough_wins_though_those_do_not_agree_with_each_other(
    judge: Any,
) -> None:
    sources = colds("-a|", "--c|", "---b|", "----a-|")
    assert drawn(quorum(*streams_of(sources), n=3, same=judge)) == "----(b|)"
    assert asked(sources) == ["^", "^", "^", "^---!"]


def test_a_quorum_that_cannot_be_reached_tells_every_failure() -> None:
    error = failure(quorum(*streams_of(colds("--a|", "-#", "-b|", "-----c|")), n=3))
    assert isinstance(error, AllFailed)
    assert [type(each) for each in error.exceptions] == [
        Rejected,
        ConnectionLost,
        Rejected,
        Rejected,
    ]
    assert [each.partial for each in error.exceptions if isinstance(each, Rejected)] == [*"abc"]
    assert "no 3 answers agree" in str(error)


def test_comparisons_may_go_on_at_once_and_nobody_waits_for_the_others() -> None:
    async def slow_with_a(one: Message, other: Message) -> bool:
        await asyncio.sleep(10.0 if "a" in one.text + other.text else 0.01)
        return one.text == other.text

    sources = colds("-a|", "--b|", "---b|")
    assert drawn(quorum(*streams_of(sources), same=slow_with_a)) == "-----(b|)"


def call(arguments: str, name: str = "weather") -> tuple[Any, ...]:
    return (ToolCall(0, "", name, arguments),)


SAME = [
    (("Hello  World",), ("hello", "\nworld "), True),
    (("Straße",), ("STRASSE",), True),
    (("Yes",), ("No",), False),
    (("Yes",), ("Yes", *call("{}")), False),
    (call('{"a": 1, "b": [2]}'), call('{ "b":[2.0], "a":1 }'), True),
    (call('{"a": 1}'), call('{"a": true}'), False),
    (call('{"a": 1}'), call('{"a": 1}', "sun"), False),
    (call(""), call("{}"), True),
    (call("{"), call("{"), True),
    (call("{"), call("[" * 100_000), False),
    (call("1" * 5000), call("1e999"), False),
]


@pytest.mark.parametrize(("one", "other", "same"), SAME)
def test_answers_agree_if_text_and_calls_are_the_same(one: Any, other: Any, same: bool) -> None:
    stream = quorum(Scripted(*one)("?"), Scripted(*other)("?"))
    if same:
        assert run_virtual(all_of(stream))[-1] == Finish()
    else:
        assert isinstance(failure(stream), AllFailed)


# Cascade ----------------------------------------------------------------------------------------

CASCADE = [
    (["-a|", "-b|", "-c|"], "--(a|)", ["^", "", ""]),
    (["-x|", "-b|", "-c|"], "----(b|)", ["^", "--^", ""]),
    (["-#", "-x|", "-c-d|"], "----c-d|", ["^", "-^", "---^"]),
    (["-x|", "-x-y|"], "---x-y|", ["^", "--^"]),
    (["-a-#", "-b|"], "----b|", ["^", "---^"]),
    (["-x|", "-b-#"], "---b-#", ["^", "--^"]),
    (["-x|", "s-#"], "----#", ["^", "--^"]),
    (["-x-|"], "-x-|", ["^"]),
    (["-|", "-b|"], "-|", ["^", ""]),
]


@shared(fine, fine_at_once)
@pytest.mark.parametrize(("pictures", "result", "subscriptions"), CASCADE)
def test_a_dear_one_is_asked_only_if_the_cheap_are_not_good_enough(
    pictures: list[str], result: str, subscriptions: list[str], judge: Any
) -> None:
    sources = colds(*pictures)
    assert drawn(cascade(*streams_of(sources), good_enough=judge)) == result
    assert asked(sources) == subscriptions


def test_a_cascade_that_fails_throughout_tells_every_failure() -> None:
    error = failure(cascade(*streams_of(colds("-x|", "-#", "s-#")), good_enough=fine))
    assert isinstance(error, AllFailed)
    assert [type(each) for each in error.exceptions] == [Rejected, ConnectionLost, ConnectionLost]
    assert error.exceptions[0].message == "the whole answer is not good enough"


def test_what_the_last_one_says_before_it_breaks_is_heard_and_its_error_is_its_own() -> None:
    cheap, dear = colds("-x|", "-b-#")
    assert failure(cascade(cheap.stream, dear.stream, good_enough=fine)) is dear._error


# Laws -------------------------------------------------------------------------------------------

picture = st.builds(
    lambda silence, letters, end: "-" * silence + letters + end,
    st.integers(0, 6),
    st.text("abcx", max_size=3),
    st.sampled_from("||#"),
)
pictures_of_many = st.lists(picture, min_size=1, max_size=5)


def said_by(picture: str) -> str:
    return picture.strip("-|#")


class Field:
    """Streams from pictures, and the order in which they end: in one frame, any is right."""

    def __init__(self, pictures: list[str]) -> None:
        self.pictures = pictures
        self.ended: list[int] = []
        self.sources = colds(*pictures)
        self.streams = [
            each.stream.pipe(ops.do_action(None, self._note(place), self._note(place)))
            for place, each in enumerate(self.sources)
        ]

    def _note(self, place: int) -> Callable[..., None]:
        return lambda *_: self.ended.append(place)

    def frame(self, place: int) -> int:
        return len(self.pictures[place]) - 1

    def check(self, result: str, winner: int | None) -> None:
        """The winner is heard as soon as there is a verdict, and then everybody is hung up."""
        frame = self.frame(self.ended[-1])
        end = "#" if winner is None else said_by(self.pictures[winner]) + "|"
        assert result == "-" * frame + (f"({end})" if len(end) > 1 else end)
        for place, each in enumerate(self.sources):
            if place in self.ended:
                assert self.frame(place) <= frame
                assert each.subscriptions == ["^"]
            else:
                assert self.frame(place) >= frame
                hung_up = ["^".ljust(frame, "-") + "!"]
                before_it_began: list[str] = []
                assert each.subscriptions in ([hung_up] if frame else [hung_up, before_it_began])


def first_valid_by_hand(pictures: list[str], ended: list[int]) -> tuple[int, int | None]:
    """How many ends lead to a verdict, and who wins: by the letter of the docstring."""
    for number, place in enumerate(ended, start=1):
        if pictures[place].endswith("|") and "x" not in pictures[place]:
            return number, place
    return len(pictures), None


def quorum_by_hand(
    pictures: list[str], ended: list[int], n: int, same: Callable[[str, str], bool]
) -> tuple[int, int | None]:
    for number in range(1, len(ended) + 1):
        whole = [place for place in ended[:number] if pictures[place].endswith("|")]
        said = {place: said_by(pictures[place]) for place in whole}
        agreeing = [
            sum(one == other or same(said[one], said[other]) for other in whole) for one in whole
        ]
        if max(agreeing, default=0) >= n:
            return number, next(
                place for place, count in zip(whole, agreeing, strict=True) if count >= n
            )
        speaking = len(pictures) - number  # these may yet say whatever would help the most
        best = [count + speaking for count in agreeing]
        if speaking:
            best.append(len(whole) + speaking)
        if max(best, default=0) < n:
            return number, None
    raise AssertionError("in the end there is a verdict")


@given(pictures_of_many)
def test_exactly_one_whole_valid_answer_is_heard(pictures: list[str]) -> None:
    field = Field(pictures)
    result = drawn(first_valid(*field.streams, valid=fine))
    ends, winner = first_valid_by_hand(pictures, field.ended)
    assert ends == len(field.ended)
    field.check(result, winner)


@given(st.lists(st.tuples(picture, st.integers(0, 6)), min_size=1, max_size=5))
def test_the_first_whose_judge_says_yes_wins_however_long_judges_think(
    given: list[tuple[str, int]],
) -> None:
    field = Field([picture for picture, _ in given])

    async def valid(place: int, answer: Message) -> bool:
        await asyncio.sleep(given[place][1] * 0.01)
        return fine(answer)

    def judged(place: int) -> Stream[Any]:
        """Who it is, is told in front of its answer."""
        return field.streams[place].pipe(ops.start_with(str(place)))

    def of_place(answer: Message) -> Any:
        return valid(int(answer.text[0]), answer)

    result = drawn(first_valid(*map(judged, range(len(given))), valid=of_place))
    verdicts = {
        place: field.frame(place) + thought
        for place, (picture, thought) in enumerate(given)
        if picture.endswith("|") and "x" not in picture
    }
    if verdicts:
        frame = min(verdicts.values())
        possible = [
            "-" * frame + f"({place}{said_by(field.pictures[place])}|)"
            for place, when in verdicts.items()
            if when == frame
        ]
        assert result in possible
        late = [place for place in range(len(given)) if field.frame(place) > frame]
        assert all("!" in "".join(field.sources[place].subscriptions) for place in late if frame)
    else:
        assert result.strip("-") == "#"


@given(pictures_of_many, st.integers(0, 4), st.booleans())
def test_exactly_one_answer_with_a_quorum_is_heard(
    pictures: list[str], more: int, close: bool
) -> None:
    field = Field(pictures)
    n = 1 + more % len(pictures)
    result = drawn(quorum(*field.streams, n=n, same=near if close else None))
    same = close_letters if close else str.__eq__
    ends, winner = quorum_by_hand(pictures, field.ended, n, same)
    assert ends == len(field.ended)
    field.check(result, winner)


@given(pictures_of_many)
def test_a_cascade_asks_no_more_than_it_needs(pictures: list[str]) -> None:
    sources = colds(*pictures)
    result = drawn(cascade(*streams_of(sources), good_enough=fine))
    start, needed = 0, 0
    for place, picture in enumerate(pictures):
        needed, frames = place + 1, len(picture) - 1
        if place + 1 == len(pictures):
            silent = picture.endswith("#") and not said_by(picture)
            expected = "-" * start + ("-" * frames + "#" if silent else picture)
        elif picture.endswith("|") and "x" not in picture:
            said = said_by(picture)
            expected = "-" * (start + frames) + (f"({said}|)" if said else "|")
            break
        start += frames
    assert result == expected
    assert [len(each.subscriptions) for each in sources] == [1] * needed + [0] * (
        len(pictures) - needed
    )
    assert not any(drawn.endswith("!") for drawn in asked(sources))


JOINS: list[Callable[..., Stream[Any]]] = [
    lambda *streams: first_valid(*streams, valid=fine_after_a_thought),
    lambda *streams: quorum(*streams, n=len(streams), same=near_at_once),
    lambda *streams: cascade(*streams, good_enough=fine_after_a_thought),
]


@given(pictures_of_many, st.sampled_from(JOINS), st.integers(0, 15))
def test_leaving_at_any_time_hangs_up_everybody(
    pictures: list[str], join: Callable[..., Stream[Any]], until: int
) -> None:
    talks = [
        Scripted(*[0.01 if sign == "-" else sign for sign in picture.strip("|#")])
        for picture in pictures
    ]

    async def main() -> set[Any]:
        subscription = join(*(talk("?") for talk in talks)).subscribe(on_error=lambda error: None)
        await asyncio.sleep(until * 0.01)
        subscription.dispose()
        await subscription.wait_closed()
        return asyncio.all_tasks() - {asyncio.current_task()}

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run_virtual(main()) == set()
    assert [talk.live for talk in talks] == [0] * len(talks)


@pytest.mark.parametrize("join", JOINS)
def test_leaving_hangs_up_in_the_same_turn(join: Callable[..., Stream[Any]]) -> None:
    async def main() -> tuple[int, int]:
        asked, hung_up = [], []

        async def ask(pump: Pump[str]) -> None:
            pump.closing(lambda: hung_up.append(pump))
            asked.append(pump)
            await asyncio.get_running_loop().create_future()

        subscription = join(source(ask), source(ask)).subscribe()
        await asyncio.sleep(0.01)
        subscription.dispose()
        return len(asked), len(hung_up)

    asked, hung_up = run_virtual(main())
    assert asked == hung_up > 0


# Judges -----------------------------------------------------------------------------------------


def broken(*answers: Message) -> bool:
    raise KeyError("broken")


async def broken_later(*answers: Message) -> bool:
    await asyncio.sleep(0)
    raise KeyError("broken")


def no_bool(*answers: Message) -> Any:
    class Puzzle:
        def __bool__(self) -> bool:
            raise KeyError("broken")

    return Puzzle()


@pytest.mark.parametrize("judge", [broken, broken_later, no_bool])
@pytest.mark.parametrize(
    "join",
    [
        lambda *streams, judge: first_valid(*streams, valid=judge),
        lambda *streams, judge: quorum(*streams, same=judge),
        lambda *streams, judge: cascade(*streams, good_enough=judge),
    ],
)
def test_a_bug_in_a_judge_ends_all_at_once(join: Any, judge: Any) -> None:
    sources = colds("-a|", "-b|", "------c|")
    error = failure(join(*streams_of(sources), judge=judge))
    assert isinstance(error, CallbackFailed)
    assert isinstance(error.__cause__, KeyError)
    assert asked(sources)[2] in ("^-!", "")  # hung up, or never asked


@pytest.mark.parametrize("join", JOINS)
@pytest.mark.parametrize("fatal", [CallbackFailed("bug"), UsageError("wrong"), Aborted("over")])
def test_a_fatal_error_ends_all_at_once(join: Any, fatal: Exception) -> None:
    slow = Scripted(5.0, "slow")
    assert failure(join(Scripted(0.01, fatal)("?"), slow("?"))) is fatal
    assert slow.live == 0
    assert slow.hung_up == len(slow.prompts)


def test_a_judge_that_thinks_is_cancelled_with_the_rest() -> None:
    told: list[str] = []

    async def valid(answer: Message) -> bool:
        told.append(f"judges {answer.text}")
        try:
            await asyncio.sleep(60 if answer.text == "a" else 0.02)
        except asyncio.CancelledError:
            told.append(f"leaves {answer.text}")
            raise
        return True

    assert drawn(first_valid(*streams_of(colds("-a|", "--b|")), valid=valid)) == "-----(b|)"
    assert drawn(first_valid(cold("-a|").stream, valid=valid), until=5) == ""
    assert told == ["judges a", "judges b", "leaves a", "judges a", "leaves a"]


def test_to_wait_until_all_is_closed_is_to_wait_for_the_judges() -> None:
    told: list[str] = []

    async def valid(answer: Message) -> bool:
        try:
            return await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(0.1)
            told.append("left")

    assert drawn(first_valid(cold("-a|").stream, valid=valid), until=5) == ""
    assert told == ["left"]


def test_after_a_bug_no_judge_is_asked_any_more() -> None:
    compared: list[str] = []

    def same(one: Message, other: Message) -> bool:
        compared.append(one.text + other.text)
        return one.text + other.text == "ac" and broken()

    error = failure(quorum(*streams_of(colds("a|", "-b|", "--c|")), same=same))
    assert isinstance(error, CallbackFailed)
    assert compared == ["ab", "ac"]


def test_a_judge_who_is_cancelled_by_somebody_else_leaves_nobody_waiting() -> None:
    async def valid(answer: Message) -> bool:
        raise asyncio.CancelledError

    other = cold("-----b|")
    assert isinstance(failure(first_valid(cold("-a|").stream, other.stream, valid=valid)), Aborted)
    assert asked([other]) == ["^-!"]


def test_a_judge_that_is_never_asked_to_think_gives_no_warning() -> None:
    """Hung up in the very turn in which the answer is whole."""

    async def main() -> None:
        subscription = first_valid(cold("-a|").stream, valid=valid).subscribe()
        leave.append(subscription.dispose)
        await asyncio.sleep(1)
        await subscription.wait_closed()

    def valid(answer: Message) -> Any:
        asyncio.get_running_loop().call_soon(leave[0])
        return fine_at_once(answer)

    leave: list[Callable[[], None]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run_virtual(main())


def test_answers_of_something_else_cannot_be_judged() -> None:
    error = failure(first_valid(rxchat.of(1, 2), valid=lambda answer: True))
    assert isinstance(error, UsageError)
    assert "events or text, not int" in str(error)


# Sources and consumers --------------------------------------------------------------------------


def test_nothing_is_emitted_while_subscribing() -> None:
    async def main() -> list[Any]:
        heard: list[Any] = []
        loud = rxchat.wrap(reactivex.create(lambda observer, _: speak(observer)))
        for stream in (first_valid(loud, valid=fine), quorum(loud, n=1)):
            subscription = stream.subscribe(heard.append)
            assert heard == []
            await subscription.wait_closed()
            assert heard == ["a"]
            heard.clear()
        return heard

    def speak(observer: Any) -> None:
        observer.on_next("a")
        observer.on_completed()

    assert run_virtual(main()) == []


def test_a_source_that_ends_during_subscribe_leaves_the_rest_unasked() -> None:
    asked: list[str] = []

    def loud(name: str) -> Stream[Any]:
        def ask(observer: Any, scheduler: Any) -> Any:
            asked.append(name)
            observer.on_completed()

        return rxchat.wrap(reactivex.create(ask))

    assert drawn(first_valid(loud("first"), loud("second"), valid=fine)) == "|"
    assert asked == ["first"]


def test_a_source_that_cannot_be_asked_has_failed_and_the_others_go_on() -> None:
    def unaskable(observer: Any, scheduler: Any) -> Any:
        raise KeyError("broken")

    one = cold("--a|")
    stream = first_valid(one.stream, rxchat.wrap(reactivex.create(unaskable)), valid=fine)
    assert draw(stream) == "---(a|)"


def test_a_slow_reader_gets_the_winner_at_its_own_pace() -> None:
    async def main() -> tuple[list[int], list[str]]:
        sent: list[int] = []

        async def many(pump: Pump[str]) -> None:
            for number in range(100):
                pump.emit(str(number))

        stream = first_valid(source(many), valid=fine)
        seen = stream.pipe(ops.do_action(lambda item: sent.append(1)))
        waiting: list[int] = []
        heard: list[str] = []
        async with seen.open(high=4) as chunks:
            async for chunk in chunks:
                heard.append(chunk)
                await asyncio.sleep(0.01)
                waiting.append(len(sent) - len(heard))
        return waiting, heard

    waiting, heard = run_virtual(main())
    assert max(waiting) <= 4
    assert heard == [str(number) for number in range(100)]


def test_leaving_in_the_middle_of_the_winner_is_possible() -> None:
    stream = first_valid(cold("(abc|)").stream, valid=fine)
    assert draw(stream.pipe(ops.take(2))) == "(ab|)"


@pytest.mark.parametrize("join", JOINS)
def test_who_watches_requests_downstream_hears_of_all_of_them(join: Any) -> None:
    class Listening(Watch):
        def __init__(self) -> None:
            self.calls: list[str | None] = []

        def asked(self, call: Call) -> None:
            self.calls.append(call.name)

    def provider(name: str, word: str) -> Stream[str]:
        async def ask(pump: Pump[str]) -> None:
            for watch in pump.scope.watches:
                watch.asked(Call(name))
            pump.emit(word)

        return source(ask)

    async def main() -> list[str | None]:
        listening = Listening()
        done = asyncio.get_running_loop().create_future()
        join(provider("one", "x"), provider("two", "z")).subscribe(
            on_error=lambda error: done.set_result(error),
            on_completed=lambda: done.set_result(None),
            scheduler=Scope().watched(listening),
        )
        await done
        return listening.calls

    assert run_virtual(main()) == ["one", "two"]


def test_a_consensus_can_be_tried_again_as_a_whole() -> None:
    talk = Scripted("x").then("good")
    stream = first_valid(talk("?"), valid=fine).pipe(ops.retry(2, when=lambda error: True))
    assert run_virtual(all_of(stream.pipe(ops.text()))) == ["good"]


REFUSED = [
    (lambda: first_valid(valid=fine), "first_valid() needs at least one stream"),
    (lambda: first_valid(["a"], valid=fine), "first_valid() takes streams, not a list"),
    (lambda: first_valid(rxchat.of(1), valid=True), "first_valid(valid=) takes a function"),
    (lambda: quorum(), "quorum() needs at least one stream"),
    (lambda: quorum(rxchat.of(1)), "quorum(n) says how many streams must agree: 1 to 1"),
    (lambda: quorum(rxchat.of(1), n=0), "not 0"),
    (lambda: quorum(rxchat.of(1), n="1"), "not '1'"),
    (lambda: quorum(rxchat.of(1), n=1, same="a"), "quorum(same=) takes a function"),
    (lambda: cascade(good_enough=fine), "cascade() needs at least one stream"),
    (lambda: cascade(rxchat.of(1), good_enough=1), "cascade(good_enough=) takes a function"),
]


@pytest.mark.parametrize(("join", "words"), REFUSED)
def test_what_cannot_work_is_refused_at_once(join: Callable[[], object], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        join()
    assert words in str(caught.value)


def test_each_has_its_name() -> None:
    one = cold("a|").stream
    joined = [first_valid(one, valid=fine), quorum(one, n=1), cascade(one, good_enough=fine)]
    assert [each.name for each in joined] == ["first_valid", "quorum", "cascade"]


# On the wire ------------------------------------------------------------------------------------


async def serving(stack: AsyncExitStack, *replies: Reply) -> list[LocalServer]:
    return [await stack.enter_async_context(LocalServer(reply)) for reply in replies]


def chats(servers: list[LocalServer]) -> list[Stream[Any]]:
    three = (flowgpt, acytoo, chatanywhere)
    return [
        provider.but(base_url=server.url)("Hi")
        for provider, server in zip(three, servers, strict=False)
    ]


async def test_a_loser_of_first_valid_is_hung_up_on_the_wire() -> None:
    async with AsyncExitStack() as stack:
        slow, _ = servers = await serving(stack, Reply("slow", HOLD), Reply("go", "od"))
        stream = first_valid(*chats(servers), valid=lambda answer: answer.text == "good")
        assert await all_of(stream.pipe(ops.text())) == ["go", "od"]
        assert await (await slow.exchange(0)).ended == "hung up"
        assert [len(each.exchanges) for each in servers] == [1, 1]


async def test_a_quorum_of_services_knows_who_said_what() -> None:
    async with AsyncExitStack() as stack:
        servers = await serving(stack, Reply("Yes"), Reply("no"), Reply.status(400, "no"))
        with pytest.raises(AllFailed) as caught:
            await quorum(*chats(servers))
        assert [(type(each), each.provider) for each in caught.value.exceptions] == [
            (Rejected, "flowgpt"),
            (Rejected, "acytoo"),
            (BadRequest, "chatanywhere"),
        ]
        servers[0].reply = Reply("NO")
        words = quorum(*chats(servers)).pipe(ops.text())
        assert await words in ("NO", "no")


@pytest.mark.parametrize("join", JOINS[:2])
async def test_what_only_the_panel_has_heard_is_no_content_to_the_subscriber(join: Any) -> None:
    async with AsyncExitStack() as stack:
        half = Reply("half of it", then="cut")
        with pytest.raises(AllFailed) as caught:
            await join(*chats(await serving(stack, half, half)))
        for each, name in zip(caught.value.exceptions, ["flowgpt", "acytoo"], strict=False):
            assert isinstance(each, ChatError)
            assert (each.provider, each.content_emitted, each.retryable) == (name, False, True)


async def test_a_cascade_on_the_wire_streams_the_last_one_live() -> None:
    async with AsyncExitStack() as stack:
        servers = await serving(stack, Reply("Dunno"), Reply("so ", HOLD, "dear"), Reply("never"))
        cheap, dear, _ = chats(servers)
        stream = cascade(cheap, dear, good_enough=lambda answer: answer.text != "Dunno")
        async with stream.pipe(ops.text()).open() as chunks:
            assert await anext(chunks) == "so "
            servers[1].exchanges[0].release()
            assert await anext(chunks) == "dear"
        assert [len(each.exchanges) for each in servers] == [1, 1, 0]
