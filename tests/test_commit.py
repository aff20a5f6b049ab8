"""When an attempt is the one that is heard, and what becomes of a failure after that."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rxchat
from rxchat import assistant, user
from rxchat import operators as ops
from rxchat.errors import (
    AllFailed,
    BadRequest,
    CallbackFailed,
    CannotResume,
    ChatError,
    ConnectionLost,
    Deadline,
    RateLimited,
    Truncated,
    UsageError,
)
from rxchat.events import Event, Finish, Reasoning, Refusal, Reset, Start, Text, ToolCall, Usage
from rxchat.operators.asking.commit import HELD
from rxchat.operators.asking.seams import overlap
from rxchat.providers import anthropic, openai
from rxchat.stream import Stream
from rxchat.testing import LocalServer, Reply, Scripted, run_virtual

CUT = Truncated("cut")


def heard(stream: Stream[Any]) -> list[Any]:
    """All that comes, and then the failure, if there is one."""

    async def main() -> list[Any]:
        items: list[Any] = []
        try:
            async for item in stream:
                items.append(item)
        except ChatError as error:
            items.append(error)
        return items

    return run_virtual(main())


def failure(stream: Stream[Any]) -> ChatError:
    error = heard(stream)[-1]
    assert isinstance(error, ChatError)
    return error


# When it commits --------------------------------------------------------------------------------

START, THINKS, CALL = Start("m"), Reasoning("Hm. "), ToolCall(0, "1", "f", "{")
LONG = "x" * 30

COMMITS = [
    # commit, what is said before a cut, whether it has been heard
    ("content", [START], False),
    ("content", [START, Usage(1)], False),
    ("content", [THINKS], True),
    ("content", ["a"], True),
    ("answer", [START, THINKS], False),
    ("answer", [THINKS, "a"], True),
    ("answer", [THINKS, CALL], True),
    ("answer", [THINKS, Refusal("no")], True),
    (10, ["123456789"], False),
    (10, ["12345", "67890"], True),
    (10, [THINKS, THINKS, THINKS], False),
    (10, ["1", CALL], True),
    (10, [Refusal("no")], True),
    (10, [Text("1234567890", choice=1)], False),
    ("sentence", ["No end is near"], False),
    ("sentence", ["Pi is 3.1", "4 or so"], False),
    ("sentence", ["It is blue.", " Is it"], True),
    ("sentence", ['He said "no." Then'], True),
    ("sentence", ["空は青い。"], True),
    ("sentence", ["# Title", "\n"], True),
    (lambda item: item == Text("now"), ["a", CALL, "b"], False),
    (lambda item: item == Text("now"), ["a", "now"], True),
]


@pytest.mark.parametrize(("commit", "script", "committed"), COMMITS)
def test_commit_says_when_an_attempt_has_been_heard(
    commit: Any, script: list[Any], committed: bool
) -> None:
    for recover in (
        lambda talk: talk("?").pipe(ops.retry(2, commit=commit, backoff=lambda n: 0)),
        lambda talk: rxchat.fallback(talk("?"), talk("?"), commit=commit),
        lambda talk: rxchat.race(talk("?"), Scripted(5.0, "ok")("?"), commit=commit),
        lambda talk: rxchat.hedge(talk("?"), talk("?"), commit=commit),
    ):
        talk = Scripted(*script, CUT).then("ok")
        events = [Text(cue) if isinstance(cue, str) else cue for cue in script]
        expected = [*events, CUT] if committed else [Text("ok"), Finish()]
        assert heard(recover(talk)) == expected


def test_what_was_held_is_released_in_order() -> None:
    talk = Scripted(START, "1234", THINKS, "5678", Usage(1), "90", "later")
    pieces = heard(talk("?").pipe(ops.retry(commit=10)))
    texts = [Text("1234"), THINKS, Text("5678"), Usage(1), Text("90"), Text("later")]
    assert pieces == [START, *texts, Finish()]


@pytest.mark.parametrize("join", [rxchat.race, rxchat.hedge, rxchat.fallback])
def test_an_answer_too_short_for_the_rule_is_heard_when_it_ends_well(join: Any) -> None:
    short, silent = Scripted("Yes"), Scripted(9.0, "No, and at length")
    assert heard(join(short("?"), silent("?"), commit=20)) == [Text("Yes"), Finish()]


def test_no_more_than_a_bound_is_held() -> None:
    def never(item: object) -> bool:
        return False

    talk = Scripted(*["x"] * (HELD + 1), 9.0)
    stream = talk("?").pipe(ops.retry(commit=never), ops.take(1), ops.to_list())

    async def main() -> float:
        await stream
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 0


def test_a_bug_in_a_rule_ends_the_stream_and_asks_nobody_else() -> None:
    def broken(item: object) -> bool:
        raise KeyError("broken")

    talk = Scripted("a")
    for recover in (
        talk("?").pipe(ops.retry(commit=broken)),
        rxchat.fallback(talk("?"), talk("?"), commit=broken),
        rxchat.hedge(talk("?"), talk("?"), commit=broken),
    ):
        before = len(talk.prompts)
        assert isinstance(failure(recover), CallbackFailed)
        assert len(talk.prompts) == before + 1


@pytest.mark.parametrize("commit", [0, -1, True, "word", None, 1.5, [1]], ids=repr)
def test_an_unknown_rule_is_refused_at_once(commit: Any) -> None:
    stream = Scripted("a")("?")
    for join in (rxchat.race, rxchat.hedge, rxchat.fallback):
        with pytest.raises(UsageError, match="commit= is 'content', 'answer', 'sentence'"):
            join(stream, stream, commit=commit)
    with pytest.raises(UsageError, match="commit= is"):
        ops.retry(commit=commit)


# Raise ------------------------------------------------------------------------------------------


def test_a_failure_after_the_commit_knows_what_had_been_heard() -> None:
    for join in (
        lambda stream: stream.pipe(ops.retry()),
        lambda stream: rxchat.fallback(stream, stream),
        lambda stream: rxchat.race(stream),
        lambda stream: rxchat.hedge(stream),
    ):
        error = failure(join(Scripted(START, "Hel", "lo", Truncated("cut"))("?")))
        assert isinstance(error, Truncated)
        assert error.content_emitted
        assert error.partial == "Hello"
        assert "part of the answer had been emitted" in str(error)


def test_a_failure_before_the_commit_says_that_nothing_had_been_heard() -> None:
    error = failure(
        Scripted("Hel", Truncated("cut", content_emitted=True))("?").pipe(ops.retry(1, commit=20))
    )
    assert not error.content_emitted
    assert error.partial == ""


def test_the_partial_text_of_a_long_answer_is_whole() -> None:
    pieces = [f"{number} " for number in range(3000)]
    error = failure(Scripted(*pieces, Truncated("cut"))("?").pipe(ops.retry()))
    assert error.partial == "".join(pieces)


def test_texts_count_as_well_as_events() -> None:
    stream = Scripted("Hel", "lo", Truncated("cut"))("?").pipe(ops.text(), ops.retry())
    assert failure(stream).partial == "Hello"


# Restart ----------------------------------------------------------------------------------------


def test_a_restart_says_so_and_begins_from_the_start() -> None:
    talk = Scripted(START, "Hal", Truncated("cut")).then(START, "Hello")
    events = heard(talk("?").pipe(ops.retry(after_commit="restart")))
    assert events == [
        START,
        Text("Hal"),
        Reset("restart", "Truncated: cut"),
        START,
        Text("Hello"),
        Finish(),
    ]
    assert rxchat.reply(events).text == "Hello"


def test_a_fallback_may_restart_with_another() -> None:
    one, two = Scripted("Hal", Truncated("cut")), Scripted("Hello")
    events = heard(rxchat.fallback(one("?"), two("?"), after_commit="restart"))
    assert rxchat.reply(events).text == "Hello"
    as_operator = one("?").pipe(ops.fallback(two("?"), after_commit="restart"))
    assert heard(as_operator) == events


def test_nobody_is_told_to_forget_before_there_is_something_better() -> None:
    talk = (
        Scripted("Hal", Truncated("one"))
        .then(START, Truncated("two"))
        .then("Hel", Truncated("three"))
    )
    *events, error = heard(talk("?").pipe(ops.retry(3, after_commit="restart")))
    assert events == [Text("Hal"), Reset("restart", "Truncated: two"), Text("Hel")]
    assert isinstance(error, Truncated)
    assert error.message == "three"
    assert error.partial == "Hel"


def test_when_all_attempts_to_restart_fail_the_error_has_what_still_stands() -> None:
    one, two = Scripted("Hal", Truncated("one")), Scripted(START, ConnectionLost("two"))
    error = failure(rxchat.fallback(one("?"), two("?"), after_commit="restart"))
    assert isinstance(error, AllFailed)
    assert error.content_emitted
    assert error.partial == "Hal"


def test_a_restart_asks_no_more_often_than_a_retry() -> None:
    talk = Scripted("Hal", Truncated("cut"))
    failure(talk("?").pipe(ops.retry(3, after_commit="restart")))
    assert len(talk.prompts) == 3


def test_what_is_not_worth_a_retry_is_not_worth_a_restart() -> None:
    talk = Scripted("Hal", BadRequest("too long"))
    assert isinstance(failure(talk("?").pipe(ops.retry(after_commit="restart"))), BadRequest)
    assert len(talk.prompts) == 1


def test_text_puts_a_mark_between_what_was_said_and_the_new_answer() -> None:
    def restarted() -> Stream[Event]:
        talk = Scripted("Hal", Truncated("cut")).then("Hello")
        return talk("?").pipe(ops.retry(after_commit="restart"))

    assert heard(restarted().pipe(ops.text())) == ["Hal", "\n\n", "Hello"]
    assert heard(restarted().pipe(ops.text(restart=" [again] "))) == ["Hal", " [again] ", "Hello"]


def test_a_stream_of_texts_cannot_restart_and_says_why() -> None:
    talk = Scripted("Hal", Truncated("cut"))
    error = failure(talk("?").pipe(ops.text(), ops.retry(after_commit="restart")))
    assert isinstance(error, CannotResume)
    assert "recover before ops.text()" in str(error)
    assert isinstance(error.__cause__, Truncated)
    assert len(talk.prompts) == 1


def test_a_restart_below_is_no_seam_to_who_has_heard_nothing() -> None:
    talk = Scripted("Hal", Truncated("cut")).then("Hello")
    restarting = talk("?").pipe(ops.retry(after_commit="restart"))
    assert heard(rxchat.fallback(restarting, commit=5)) == [Text("Hello"), Finish()]


# Resume -----------------------------------------------------------------------------------------


def going_on(*scripts: list[Any]) -> tuple[list[str], list[Any]]:
    """What the sources were asked to go on from, and what is heard."""
    asked: list[str] = []

    def source(script: list[Any]) -> Any:
        def go_on(partial: str) -> Stream[Event]:
            asked.append(partial)
            return Scripted(*script)("?")

        return go_on

    first, *others = scripts
    stream = rxchat.fallback(Scripted(*first)("?"), *map(source, others), after_commit="resume")
    return asked, heard(stream)


def test_a_resume_goes_on_where_the_answer_was_cut() -> None:
    asked, events = going_on(["The sky is ", CUT], [START, "blue."])
    assert asked == ["The sky is "]
    assert events == [
        Text("The sky is "),
        Reset("resume", "Truncated: cut"),
        START,
        Text("blue."),
        Finish(),
    ]
    assert rxchat.reply(events).text == "The sky is blue."
    assert heard(rxchat.of(*events).pipe(ops.text())) == ["The sky is ", "blue."]


def test_who_is_asked_before_anything_was_heard_has_nothing_to_go_on_from() -> None:
    asked, events = going_on([START, CUT], ["Blue."])
    assert asked == [""]
    assert events == [Text("Blue."), Finish()]


def test_each_who_goes_on_gets_all_that_was_said() -> None:
    asked, events = going_on(["The sky", CUT], [" is ", CUT], ["blue."])
    assert asked == ["The sky", "The sky is "]
    assert rxchat.reply(events).text == "The sky is blue."


def test_if_nobody_can_go_on_the_error_has_all_that_was_said() -> None:
    _, events = going_on(["The sky", CUT], [" is ", CUT])
    error = events[-1]
    assert isinstance(error, AllFailed)
    assert error.partial == "The sky is "
    assert [str(each) for each in error.exceptions] == [str(CUT), str(CUT)]


ECHOES = [
    # said, said after it, the answer
    ("The sky is blue bec", ["blue because", " of"], "The sky is blue because of"),
    ("The sky is blue", ["The sky is", " blue", " because"], "The sky is blue because"),
    ("The sky is", [" blue"], "The sky is blue"),
    ("ba", ["a", "b"], "baab"),  # one character is chance
    ("It is blu", ["blu", "e"], "It is blublue"),  # and so are three
    ("The sky", ["The sky"], "The sky"),
    ("Hi", ["Hi, how are you"], "Hi, how are you"),
    ("no no no no", ["no no", " yes"], "no no no no yes"),
]


@pytest.mark.parametrize(("said", "after", "answer"), ECHOES)
def test_what_is_echoed_of_the_first_half_is_left_out(
    said: str, after: list[str], answer: str
) -> None:
    for pieces in (after, ["".join(after)], list("".join(after))):
        _, events = going_on([said, CUT], pieces)
        assert rxchat.reply(events).text == answer


@given(st.text("ab ", max_size=20), st.text("ab ", max_size=20), st.data())
def test_an_echo_is_found_however_it_is_cut(old: str, new: str, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(new)))
    whole = overlap(old, new)
    beginning = overlap(old, new[:cut], more=True)
    assert whole is not None
    assert new.startswith(old[len(old) - whole :] if whole else "")
    if beginning is not None:  # who has decided early has decided right
        assert beginning == whole


def test_what_is_no_text_passes_while_an_echo_is_awaited() -> None:
    _, events = going_on(["The sky is", CUT], [THINKS, "The sky", ToolCall(0, "1", "look")])
    seam = Reset("resume", "Truncated: cut")
    assert events == [
        Text("The sky is"),
        seam,
        THINKS,
        Text("The sky"),
        ToolCall(0, "1", "look"),
        Finish(),
    ]


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (["Let me see", CALL, CUT], "half a tool call"),
        ([CALL, CUT], "half a tool call"),
        (["a", Text("b", choice=1), CUT], "several answers"),
    ],
)
def test_what_nobody_can_go_on_from_is_refused(script: list[Any], why: str) -> None:
    asked, events = going_on(script, ["more"])
    assert asked == []
    assert isinstance(events[-1], CannotResume)
    assert why in str(events[-1])
    assert events[-1].__cause__ is CUT


def test_a_bug_in_a_function_of_the_partial_is_told() -> None:
    def broken(partial: str) -> Stream[Event]:
        raise KeyError(partial)

    stream = rxchat.fallback(Scripted("a", CUT)("?"), broken, after_commit="resume")
    error = failure(stream)
    assert isinstance(error, CallbackFailed)
    assert error.partial == "a"


@pytest.mark.parametrize("given", ["text", None, 3])
def test_a_function_that_gives_no_stream_is_told(given: Any) -> None:
    stream = rxchat.fallback(Scripted("a", CUT)("?"), lambda partial: given, after_commit="resume")
    error = failure(stream)
    assert isinstance(error, UsageError)
    assert "a function gives a stream" in str(error)


def test_a_long_answer_that_begins_again_from_the_start_goes_on_where_it_was_cut() -> None:
    words = [f"{number} " for number in range(500)]
    _, events = going_on([*words[:300], CUT], words)
    assert rxchat.reply(events).text == "".join(words)


def test_if_only_thoughts_were_heard_there_is_nothing_to_resume_and_it_starts_anew() -> None:
    asked, events = going_on([THINKS, CUT], ["Blue."])
    assert asked == [""]
    assert [event.kind for event in events if isinstance(event, Reset)] == ["restart"]


def test_errors_of_attempts_that_nobody_heard_say_so() -> None:
    cut = [Truncated("cut", content_emitted=True) for _ in range(2)]
    talks = [Scripted("Hel", error)("?") for error in cut]
    for join in (rxchat.fallback, rxchat.race):
        error = failure(join(*talks, commit=100))
        assert isinstance(error, AllFailed)
        assert "had been emitted" not in str(error)


def test_an_empty_text_says_nothing() -> None:
    talk = Scripted(Text(""), Truncated("cut")).then("Hello")
    assert heard(talk("?").pipe(ops.retry(backoff=lambda n: 0))) == [Text("Hello"), Finish()]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ops.retry(2.5), r"attempts=\) takes a whole number"),
        (lambda: ops.retry(when=3), r"when=\) takes a function"),
        (lambda: ops.retry(backoff=3), r"backoff=\) takes a function"),
        (lambda: ops.retry(max_wait=-1), r"max_wait=\) takes a number at least 0"),
        (lambda: ops.retry(budget=0.1), r"budget=\) takes a rxchat\.Budget"),
        (lambda: rxchat.fallback(rxchat.of(1), when=3), r"when=\) takes a function"),
        (lambda: rxchat.race(rxchat.of(1), lost=3), r"lost=\) takes a function"),
        (lambda: rxchat.hedge(rxchat.of(1), max_extra="10%"), r"share=\) takes a number"),
        (lambda: rxchat.quorum(rxchat.of(1), n=True), r"n=\) takes a whole number"),
        (lambda: ops.checkpoint(3), "takes a text"),
        (lambda: rxchat.healthy(Scripted("a"), breaker=ops.breaker()), "each provider"),
        (lambda: rxchat.healthy(Scripted("a"), window="x"), r"window=\) takes a number above 0"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(make: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make()


@pytest.mark.parametrize("pause", [float("nan"), float("inf"), -1])
def test_a_backoff_that_is_no_time_is_told(pause: float) -> None:
    error = failure(Scripted(ConnectionLost("x"))("?").pipe(ops.retry(backoff=lambda n: pause)))
    assert isinstance(error, CallbackFailed)


def test_a_resume_wants_functions_and_nothing_else_does() -> None:
    stream = Scripted("a")("?")
    with pytest.raises(UsageError, match="functions of the text so far"):
        rxchat.fallback(stream, stream, after_commit="resume")
    with pytest.raises(UsageError, match="takes streams"):
        rxchat.fallback(stream, lambda partial: stream)
    with pytest.raises(UsageError, match=r"rxchat\.fallback\("):
        ops.retry(after_commit="resume")
    with pytest.raises(UsageError, match="'again'"):
        rxchat.fallback(stream, after_commit="again")


async def test_another_service_goes_on_with_what_the_first_had_said() -> None:
    """Over the wire, and in two formats."""
    async with LocalServer() as server:
        server.plan(Reply("The sky is ", then="cut"), Reply("sky is blue."))
        gpt = openai.but(base_url=server.url + "/v1", key="any")
        claude = anthropic.but(base_url=server.url + "/v1", key="any")
        question = user("Why?")
        answer = rxchat.fallback(
            gpt(question),
            lambda partial: claude([question, assistant(partial), user("Go on.")]),
            after_commit="resume",
        )
        events = await answer.pipe(ops.to_list())
        assert rxchat.reply(events).text == "The sky is blue."
        assert server.exchanges[1].json["messages"][1]["content"][0]["text"] == "The sky is "


# Budgets ----------------------------------------------------------------------------------------


def test_a_budget_keeps_retries_to_a_share_of_the_requests() -> None:
    budget = rxchat.Budget(0.25)
    talk = Scripted(RateLimited("busy", retry_after=1.0))

    async def storm() -> list[Any]:
        stream = talk("?").pipe(ops.retry(5, budget=budget))
        return await asyncio.gather(*(asyncio.wait_for(once(stream), 99) for _ in range(40)))

    async def once(stream: Stream[Any]) -> Exception:
        with pytest.raises(RateLimited) as caught:
            await stream
        return caught.value

    errors = run_virtual(storm())
    assert len(talk.prompts) == 40 + 10  # as many as are saved up at most
    assert any("the budget is spent" in note for error in errors for note in error.__notes__)


def test_a_budget_saves_up_no_more_than_it_may() -> None:
    budget = rxchat.Budget(0.5, most=2)
    for _ in range(100):
        budget.asked()
    assert [budget.takes() for _ in range(3)] == [True, True, False]


@given(st.lists(st.booleans(), max_size=200), st.floats(0.01, 1.0))
def test_extra_requests_are_never_more_than_their_share(asks: list[bool], share: float) -> None:
    budget = rxchat.Budget(share)
    for asked in asks:
        if asked:
            budget.asked()
        else:
            budget.takes()
        assert budget.extra <= budget.requests * share + 1 + 1e-6


@pytest.mark.parametrize("bad", [0, -1, 1.1, float("nan")])
def test_a_budget_is_a_share(bad: float) -> None:
    with pytest.raises(UsageError, match=r"Budget\(share=\)|share of the requests"):
        rxchat.Budget(bad)
    with pytest.raises(UsageError, match=r"Budget\(most=\)"):
        rxchat.Budget(0.1, most=0)


def test_a_deadline_is_worth_a_retry_only_while_nothing_was_heard() -> None:
    late = Deadline("no content", phase="first")
    talk = Scripted(START, late).then("a", late).then("never")
    assert heard(talk("?").pipe(ops.retry(5))) == [Text("a"), late]


def test_the_first_request_of_all_may_be_tried_again() -> None:
    talk = Scripted(ConnectionLost("x")).then("Hello")
    again = ops.retry(2, backoff=lambda n: 0, budget=rxchat.Budget(0.1))
    assert heard(talk("?").pipe(again)) == [Text("Hello"), Finish()]


@pytest.mark.parametrize("join", [rxchat.race, rxchat.hedge, rxchat.fallback])
def test_a_provider_in_the_place_of_a_stream_is_to_be_called(join: Any) -> None:
    with pytest.raises(UsageError, match=r"call what makes one, as openai\(question\)"):
        join(rxchat.of(1), openai)
