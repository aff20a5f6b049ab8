"""Tools: pieces of calls to whole ones, functions as tools, and turns until there are no calls."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import functools
import gc
import json
import logging
import math
import weakref
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, TypedDict

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rxchat
from cutting import cut, one_by_one, run
from formats import WIRES, Wire
from rxchat import operators as ops
from rxchat.calls import TURN
from rxchat.errors import (
    CallbackFailed,
    ConnectionLost,
    Garbled,
    InvalidPrompt,
    ServerError,
    TooManyTurns,
    UsageError,
)
from rxchat.events import (
    Event,
    Finish,
    Opaque,
    Other,
    Reasoning,
    Reset,
    Start,
    Text,
    ToolCall,
    Usage,
)
from rxchat.messages import Message, assistant, reply, tool, user
from rxchat.operators.tools.docstrings import read_docstring
from rxchat.operators.tools.functions import tool_of
from rxchat.operators.tools.running import TOOL_RESULT, replies, run_tools, with_tools
from rxchat.operators.tools.whole_calls import tool_calls
from rxchat.testing import HOLD, LocalServer, Reply, Scripted, run_virtual

# Pieces to whole calls ---------------------------------------------------------------------------


def whole(*events: Event) -> list[ToolCall]:
    return run(tool_calls(), events)


def now() -> str:
    return "12:00"


@pytest.mark.parametrize("operator", [tool_calls(), run_tools([now], again=rxchat.of)])
def test_texts_have_no_calls_and_are_refused(operator: Any) -> None:
    with pytest.raises(UsageError, match=r"put \w+\(.*\) before text\(\)"):
        Scripted("Hel", "lo")("Hi").pipe(ops.text(), operator).run()


@pytest.mark.parametrize(
    ("events", "calls"),
    [
        pytest.param([Text("a"), Finish()], [], id="no calls"),
        pytest.param(
            [ToolCall(0, "a", "f", '{"x'), ToolCall(0, arguments='": 1}'), Finish()],
            [ToolCall(0, "a", "f", '{"x": 1}')],
            id="one in pieces",
        ),
        pytest.param(
            [ToolCall(0, "a", "f"), Finish()],
            [ToolCall(0, "a", "f", "{}")],
            id="no arguments",
        ),
        pytest.param(
            [ToolCall(0, "a", "f", " "), ToolCall(1, "b", "g", "\n"), Finish()],
            [ToolCall(0, "a", "f", "{}"), ToolCall(1, "b", "g", "{}")],
            id="blank arguments",
        ),
        pytest.param(
            [ToolCall(0, "a", "f", '{"x":'), ToolCall(0, "a", "f", "1}")],
            [ToolCall(0, "a", "f", '{"x":1}')],
            id="id and name in every piece",
        ),
        pytest.param(
            [ToolCall(0, "a", "f", "{}"), ToolCall(0, "b", "f", "{}"), ToolCall(0, "c", "f")],
            [ToolCall(0, "a", "f", "{}"), ToolCall(1, "b", "f", "{}"), ToolCall(2, "c", "f", "{}")],
            id="the same index for all",
        ),
        pytest.param(
            [ToolCall(0, "", "f", "{}"), ToolCall(0, "", "g", "{"), ToolCall(0, "", "", "}")],
            [ToolCall(0, "", "f", "{}"), ToolCall(1, "", "g", "{}")],
            id="no ids at all",
        ),
        pytest.param(
            [
                ToolCall(0, "a", "f"),
                ToolCall(1, "b", "g"),
                ToolCall(0, arguments='{"x": 1}'),
                ToolCall(1, arguments='{"y": 2}'),
            ],
            [ToolCall(0, "a", "f", '{"x": 1}'), ToolCall(1, "b", "g", '{"y": 2}')],
            id="mixed",
        ),
        pytest.param(
            [ToolCall(0, "a", "f", "{"), Reset(), ToolCall(0, "b", "g")],
            [ToolCall(0, "b", "g", "{}")],
            id="a restart",
        ),
        pytest.param(
            [ToolCall(0, "a", "f", "{"), Reset("resume"), ToolCall(0, arguments="}")],
            [ToolCall(0, "a", "f", "{}")],
            id="a resume",
        ),
        pytest.param(
            [
                ToolCall(0, "a", "f", "{", choice=1),
                ToolCall(0, "b", "f", "{}"),
                ToolCall(0, arguments="}", choice=1),
                Finish(choice=1),
                Finish(),
            ],
            [ToolCall(0, "a", "f", "{}", choice=1), ToolCall(0, "b", "f", "{}")],
            id="several answers",
        ),
        pytest.param(
            [ToolCall(0, "", "f", "{}"), Other(TURN, ()), ToolCall(0, "", "f", "{}")],
            [ToolCall(0, "", "f", "{}"), ToolCall(0, "", "f", "{}")],
            id="two turns",
        ),
        pytest.param(
            [ToolCall(0, "a", "f", opaque=Opaque("x", 1)), ToolCall(0, arguments="{}")],
            [ToolCall(0, "a", "f", "{}", opaque=Opaque("x", 1))],
            id="signed",
        ),
        pytest.param(
            [ToolCall(0, "a", "f", "{}"), ToolCall(1, "b", "g"), ToolCall(0, arguments="\n")],
            [ToolCall(0, "a", "f", "{}"), ToolCall(1, "b", "g", "{}")],
            id="a blank after the end",
        ),
    ],
)
def test_calls_are_whole(events: list[Event], calls: list[ToolCall]) -> None:
    assert whole(*events) == calls


def test_a_call_is_given_as_soon_as_the_next_one_begins() -> None:
    seen: list[str] = []

    async def emit(pump: rxchat.Pump[Event]) -> None:
        for event in (
            ToolCall(0, "a", "f", "{}"),
            ToolCall(1, "b", "g", "{}"),
            Text("."),
            Finish(),
        ):
            seen.append(type(event).__name__)
            await pump.send(event)

    async def main() -> None:
        stream = rxchat.source(emit).pipe(tool_calls())
        await stream.subscribe(lambda call: seen.append(call.id)).wait_closed()

    run_virtual(main())
    assert seen == ["ToolCall", "ToolCall", "a", "Text", "Finish", "b"]


def test_a_call_that_goes_on_after_it_was_whole_is_garbled() -> None:
    with pytest.raises(Garbled, match="goes on"):
        whole(ToolCall(0, "a", "f", "{}"), ToolCall(1, "b", "g"), ToolCall(0, arguments="{}"))


def test_calls_of_an_answer_that_fails_are_not_given() -> None:
    given: list[ToolCall] = []

    async def main() -> None:
        chat = Scripted(ToolCall(0, "a", "f", "{}"), ConnectionLost("cut"))
        async for call in chat("Hi").pipe(tool_calls()):
            given.append(call)

    with pytest.raises(ConnectionLost):
        run_virtual(main())
    assert given == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def called(draw: st.DrawFn) -> tuple[list[ToolCall], list[list[str]]]:
    """Calls, and their arguments cut anywhere: inside escapes and surrogates, too."""
    calls, pieces = [], []
    for index in range(draw(st.integers(1, 4))):
        fields = draw(st.dictionaries(st.text(), JSON, max_size=3))
        arguments = json.dumps(fields, ensure_ascii=draw(st.booleans()))
        calls.append(ToolCall(index, f"call_{index}", draw(st.sampled_from("fg")), arguments))
        places = draw(st.lists(st.integers(0, len(arguments)), max_size=8))
        pieces.append(draw(st.sampled_from([cut(arguments, places), one_by_one(arguments)])))
    return calls, pieces


@given(called(), st.sampled_from(["first", "every", "same index"]))
def test_calls_are_the_same_at_any_cut(said: Any, way: str) -> None:
    calls, pieces = said
    events: list[Event] = []
    for call, bits in zip(calls, pieces, strict=True):
        index = 0 if way == "same index" else call.index
        for at, bit in enumerate(bits):
            named = at == 0 or way != "first"
            id_, name = (call.id, call.name) if named else ("", "")
            events.append(ToolCall(index, id_, name, bit))
    assert whole(*events, Finish()) == calls


PIECES = st.builds(
    ToolCall,
    st.integers(0, 2),
    st.just(""),
    st.just(""),
    st.sampled_from(["{", "}", '{"a": 1', " ", "", '{"b": {}}']),
)
FIRST = [ToolCall(index, f"call_{index}", "f") for index in range(3)]


@given(st.lists(PIECES), st.permutations(FIRST))
def test_they_are_the_calls_of_the_reply(pieces: list[ToolCall], first: list[ToolCall]) -> None:
    events = [*first, *pieces, Finish()]
    places = [event.index for event in first]
    calls = [renumbered(call, places) for call in reply(events).tool_calls]
    assert whole(*events) == calls


def renumbered(call: ToolCall, places: list[int]) -> ToolCall:
    """The call, at the place where it began."""
    return msgspec.structs.replace(call, index=places.index(int(call.id[-1])))


# Functions as tools ------------------------------------------------------------------------------


class Unit(enum.Enum):
    CELSIUS = "celsius"
    KELVIN = "kelvin"


@dataclasses.dataclass
class Place:
    """Where."""

    name: str
    height: int = 0


@attrs.frozen
class Span:
    days: int


class Options(TypedDict, total=False):
    rain: bool


def weather(
    city: str,
    days: int = 1,
    *,
    unit: Unit = Unit.CELSIUS,
    wind: Literal["yes", "no"] = "no",
    place: Place | None = None,
    span: Span = Span(1),
    options: Options | None = None,
    anything=None,
) -> dict[str, Any]:
    """Tell the weather.

    It is right more often than not.

    Args:
        city: The city,
            in English.
        days (int): How many days.
        unit: Of the temperature: degrees.

    Returns:
        What it will be.
    """
    return {"city": city, "days": days, "unit": unit, "wind": wind, "place": place, "span": span}


def test_a_function_is_a_tool_by_its_hints_and_docstring() -> None:
    told = tool_of(weather)
    assert told.name == "weather"
    assert told.description == "Tell the weather.\n\nIt is right more often than not."
    schema = told.parameters
    assert schema["type"] == "object"
    assert schema["required"] == ["city"]
    assert schema["additionalProperties"] is False
    assert schema["properties"] == {
        "city": {"type": "string", "description": "The city, in English."},
        "days": {"type": "integer", "description": "How many days.", "default": 1},
        "unit": {"$ref": "#/$defs/Unit", "description": "Of the temperature: degrees."},
        "wind": {"enum": ["no", "yes"], "default": "no"},
        "place": {"anyOf": [{"$ref": "#/$defs/Place"}, {"type": "null"}], "default": None},
        "span": {"$ref": "#/$defs/Span"},
        "options": {"anyOf": [{"$ref": "#/$defs/Options"}, {"type": "null"}], "default": None},
        "anything": {"default": None},
    }
    assert schema["$defs"].keys() == {"Unit", "Place", "Span", "Options"}


def test_a_function_without_parameters_has_an_empty_object() -> None:
    def now() -> str:
        return ""

    assert tool_of(now) == rxchat.Tool(
        "now",
        "",
        {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
    )


def test_a_method_is_a_function_without_its_self() -> None:
    class Shop:
        def price(self, item: Annotated[str, msgspec.Meta(min_length=1)], /) -> str:
            return item

    assert tool_of(Shop().price).parameters["properties"] == {
        "item": {"type": "string", "minLength": 1}
    }


DOCSTRINGS = {
    "google": """Add.

        Args:
            a (int): One,
                of many.
            *b: Two: both.

        Returns:
            The sum.

        It never fails.

        Example:
            >>> add(1, 2)
            3
        """,
    "numpy": """Add.

        It never fails.

        Parameters
        ----------
        a : int, optional
            One,
            of many.
        b
            Two: both.

        Returns
        -------
        int
            The sum.
        """,
    "sphinx": """Add.

        It never fails.

        :param int a: One,
            of many.
        :param b: Two: both.
        :type b: int
        :returns: The sum.
        :raises ValueError: Never.
        """,
    "an example in between": """Add.

        It never fails.

        >>> add(1, 2)
        3

        Args:
            a: One, of many.
            b: Two: both.
        """,
}


@pytest.mark.parametrize("docstring", DOCSTRINGS.values(), ids=DOCSTRINGS)
def test_parameters_are_told_in_every_way(docstring: str) -> None:
    text, told = read_docstring(docstring)
    assert text.split() == ["Add.", "It", "never", "fails."]
    assert told == {"a": "One, of many.", "b": "Two: both."}


@given(st.text(st.sampled_from("a: \n-(>:*A\t")) | st.text())
def test_any_docstring_can_be_read(docstring: str) -> None:
    read_docstring(docstring)


def unnamed(*items: int) -> None: ...
def keywords(**items: int) -> None: ...
def unknown(item: Nowhere) -> None: ...  # noqa: F821  # that is what is tested
def foreign(item: Scripted) -> None: ...


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda: None, "no name"),
        (functools.partial(weather, "Oslo"), "no name"),
        (Place, "no name"),
        (unnamed, r"takes \*items"),
        (keywords, r"takes \*\*items"),
        (unknown, "Nowhere"),
        (foreign, "no JSON schema"),
        ("weather", "not 'weather'"),
        ((rxchat.Tool("x"), "y"), "not "),
    ],
)
def test_what_is_no_tool_is_refused_at_once(function: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        run_tools([function], again=lambda new: rxchat.of())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"functions": []}, "at least one"),
        ({"functions": "weather"}, "a list of functions"),
        ({"functions": [weather, weather]}, "the same name"),
        ({"again": None}, "again="),
        ({"limit": 0}, "limit="),
        ({"concurrent": 0}, "concurrent="),
    ],
)
def test_bad_arguments_are_refused_at_once(change: dict[str, Any], said: str) -> None:
    given: dict[str, Any] = {"functions": [weather], "again": lambda new: rxchat.of(), **change}
    with pytest.raises(UsageError, match=said):
        run_tools(given.pop("functions"), **given)


# What a call gives ---------------------------------------------------------------------------------

KELVIN: dict[str, Any] = {
    "city": "Oslo",
    "unit": "kelvin",
    "place": {"name": "x"},
    "span": {"days": 2},
}


async def slow(city: str) -> str:
    await asyncio.sleep(1)
    return f"slowly {city}"


def wrong() -> None:
    raise KeyError("secret")


def silent() -> None:
    raise RuntimeError


def unsayable() -> object:
    return object()


async def gives_up() -> None:
    raise asyncio.CancelledError


def nothing() -> None:
    return None


def asks() -> Any:
    return Scripted("a", "b")("Hi").pipe(ops.text())


def told(function: Any, arguments: str, name: str = "") -> Message:
    """What the model is told of a call."""
    name = name or (function[0].name if isinstance(function, tuple) else function.__name__)
    chat = Scripted(ToolCall(0, "a", name, arguments)).then("Well.")
    stream = chat("Hi").pipe(run_tools([function], again=lambda new: chat(["Hi", *new])))

    async def main() -> None:
        await stream

    run_virtual(main())
    _, answer, result = chat.prompts[1]
    assert answer.tool_calls == (ToolCall(0, "a", name, arguments or "{}"),)
    assert (result.call, result.name) == ("a", name)
    return result


@pytest.mark.parametrize(
    ("function", "arguments", "text"),
    [
        (slow, '{"city": "Oslo"}', "slowly Oslo"),
        (nothing, "", "null"),
        (nothing, "{}", "null"),
        (asks, "", "b"),
        (weather, json.dumps({"city": "Oslo", "days": "3"}), '"days":3'),
        (weather, json.dumps(KELVIN), '"unit":"kelvin"'),
        (weather, json.dumps(KELVIN), '"span":{"days":2}'),
        (weather, '{"city": "Oslo"}', '"span":{"days":1}'),
        ((rxchat.Tool("w"), lambda city: city), '{"city": "Oslo"}', "Oslo"),
        ((rxchat.Tool("w"), lambda **all: all), '{"city": {"name": "x"}}', '{"city":{"name":"x"}}'),
    ],
)
def test_a_function_gets_its_arguments(function: Any, arguments: str, text: str) -> None:
    result = told(function, arguments)
    assert not result.failed
    assert text in result.text


def test_arguments_have_the_types_of_the_hints() -> None:
    got: list[Any] = []

    def note(
        place: Place,
        unit: Unit,
        span: Span = Span(1),
        *,
        which: int | str = 0,
        near: int = None,  # noqa: RUF013  # as people write it
    ) -> None:
        got.extend([place, unit, span, which, near])

    told(note, '{"unit": "kelvin", "place": {"name": "x"}, "which": "5", "near": null}')
    assert got == [Place("x", 0), Unit.KELVIN, Span(1), "5", None]


@pytest.mark.parametrize(
    ("function", "arguments", "text"),
    [
        (weather, '{"city": 3}', "do not fit: Expected `str`, got `int` - at `$.city`"),
        (weather, '{"city": "x", "days": "y"}', "Expected `int`, got `str` - at `$.days`"),
        (weather, '{"city": "x", "where": 1}', "unknown field `where`"),
        (weather, "", "missing required field `city`"),
        (weather, '{"city": "x", "place": {}}', "missing required field `name` - at `$.place`"),
        (weather, '{"city": "x", "unit": "miles"}', "Invalid enum value 'miles' - at `$.unit`"),
        (weather, '{"city": "x', "truncated"),
        (weather, '["x"]', "Expected `object`, got `array`"),
        (weather, "city: x", "malformed"),
        (weather, '{"city": "\ud800"}', "do not fit"),
        (weather, '{"anything": ' + "[" * 9999, "do not fit"),
        ((rxchat.Tool("w"), lambda city: city), "{}", "missing a required argument: 'city'"),
        ((rxchat.Tool("w"), lambda: 1), '{"x": 1}', "unexpected keyword argument 'x'"),
        ((rxchat.Tool("w"), lambda: 1), "[1]", "Expected `object`"),
        (wrong, "", "KeyError: 'secret'"),
        (silent, "", "RuntimeError"),
        (gives_up, "", "CancelledError"),
        (unsayable, "", "TypeError: Encoding objects of type object is unsupported"),
    ],
)
def test_what_goes_wrong_is_told_to_the_model(function: Any, arguments: str, text: str) -> None:
    result = told(function, arguments)
    assert result.failed
    assert text in result.text
    assert "Traceback" not in result.text


def test_an_unknown_name_is_told_with_the_known_ones() -> None:
    result = told(slow, "{}", "fast")
    assert result.failed
    assert result.text == "there is no tool 'fast'; there are slow"


def test_a_bug_of_a_function_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "rxchat"):
        told(wrong, "")
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [KeyError]


# Turns -------------------------------------------------------------------------------------------

CALL = ToolCall(0, "a", "slow", '{"city": "Oslo"}')
OTHER = ToolCall(1, "b", "slow", '{"city": "Rome"}')


def going_on(chat: Any, **options: Any) -> Any:
    """A chat that may call `slow`."""
    return chat(["Hi"]).pipe(
        run_tools([slow], again=lambda new: chat(["Hi", *new]), **options),
    )


def collected(stream: Any) -> tuple[list[Event], Exception | None]:
    async def main() -> tuple[list[Event], Exception | None]:
        events: list[Event] = []
        try:
            async for event in stream:
                events.append(event)
        except Exception as error:
            return events, error
        return events, None

    return run_virtual(main())


def test_all_turns_are_one_stream() -> None:
    chat = Scripted(
        Start("m", "1"), "Let me see.", CALL, Usage(10, 1, cached=3), Finish("tool_calls")
    ).then(Start("m", "2"), "It is mild.", Usage(20, 2), Finish("stop", "end"))
    events, error = collected(going_on(chat))
    assert error is None
    answer = assistant("Let me see.", CALL)
    result = tool("slowly Oslo", CALL)
    assert events == [
        Start("m", "1"),
        Text("Let me see."),
        CALL,
        Other(TOOL_RESULT, result),
        Other(TURN, (answer, result)),
        Start("m", "2"),
        Text("It is mild."),
        Usage(30, 3, cached=3),
        Finish("stop", "end"),
    ]
    assert chat.prompts[1] == (user("Hi"), answer, result)
    assert replies(events) == (answer, result, assistant("It is mild."))


def test_without_calls_the_stream_stays_as_it_is() -> None:
    said = [Start(), Reasoning("Hm"), Text("Hi"), Other("x"), Usage(1), Finish("stop", "end")]
    assert collected(going_on(Scripted(*said))) == (said, None)
    assert collected(rxchat.of(Text("a")).pipe(run_tools([slow], again=rxchat.of))) == (
        [Text("a")],
        None,
    )


def test_each_turn_is_told_of_all_before_it() -> None:
    chat = Scripted(CALL).then(CALL).then(CALL).then("Well.")
    events, _ = collected(going_on(chat))
    assert [len(prompt) for prompt in chat.prompts] == [1, 3, 5, 7]
    assert replies(events) == (*chat.prompts[3][1:], assistant("Well."))
    assert sum(isinstance(event, Finish) for event in events) == 1


def test_what_again_does_with_its_messages_is_its_own_matter() -> None:
    chat = Scripted(CALL).then(CALL).then("Well.")

    def again(new: list[Message]) -> rxchat.Stream[Event]:
        new.append(user("Hurry!"))
        return chat(["Hi", *new])

    events, _ = collected(chat("Hi").pipe(run_tools([slow], again=again)))
    assert [len(prompt) for prompt in chat.prompts] == [1, 4, 6]
    assert user("Hurry!") not in replies(events)


@given(called())
def test_the_model_is_told_the_same_at_any_cut(said: Any) -> None:
    calls, pieces = said
    events: list[Event] = []
    for call, bits in zip(calls, pieces, strict=True):
        events.append(ToolCall(call.index, call.id, call.name))
        events += [ToolCall(call.index, arguments=bit) for bit in bits]

    async def main() -> tuple[Message, ...]:
        chat = Scripted(*events).then("Well.")
        echo = [(rxchat.Tool(name), lambda **fields: fields) for name in "fg"]
        await chat("Hi").pipe(run_tools(echo, again=lambda new: chat(["Hi", *new])))
        return chat.prompts[1]

    _, answer, *results = run_virtual(main())
    assert answer == assistant(*calls)
    assert [json.loads(it.text) for it in results] == [json.loads(it.arguments) for it in calls]


def test_every_subscription_is_a_conversation_of_its_own() -> None:
    chat = Scripted(CALL).then("a").then(CALL).then("b")
    stream = going_on(chat)
    assert [replies(collected(stream)[0])[-1].text for _ in "ab"] == ["a", "b"]
    assert [len(prompt) for prompt in chat.prompts] == [1, 3, 1, 3]


@pytest.mark.parametrize("reason", ["length", "content_filter", "other"])
def test_an_answer_that_was_cut_short_ends_it_all(reason: Any) -> None:
    chat = Scripted(CALL, Finish(reason))
    assert collected(going_on(chat)) == ([CALL, Finish(reason)], None)
    assert len(chat.prompts) == 1


def timed(stream: Any) -> list[tuple[float, Event]]:
    async def main() -> list[tuple[float, Event]]:
        loop = asyncio.get_running_loop()
        return [(loop.time(), event) async for event in stream]

    return run_virtual(main())


def test_calls_run_at_once_and_results_come_as_they_are_ready() -> None:
    async def wait(seconds: int) -> int:
        await asyncio.sleep(seconds)
        return seconds

    calls = [
        ToolCall(at, f"call_{at}", "wait", f'{{"seconds": {seconds}}}')
        for at, seconds in enumerate([3, 1, 2])
    ]

    def results(concurrent: int) -> list[tuple[float, str]]:
        chat = Scripted(*calls).then("Well.")
        tools = run_tools([wait], again=lambda new: chat(["Hi", *new]), concurrent=concurrent)
        heard = timed(chat("Hi").pipe(tools))
        # The model is told in the order of its calls, whatever was ready first.
        assert [message.text for message in chat.prompts[1][2:]] == ["3", "1", "2"]
        return [
            (at, event.data.text) for at, event in heard if getattr(event, "name", 0) == TOOL_RESULT
        ]

    assert results(3) == [(1, "1"), (2, "2"), (3, "3")]
    assert results(2) == [(1, "1"), (3, "3"), (3, "2")]
    assert results(1) == [(3, "3"), (4, "1"), (6, "2")]


def test_more_turns_than_the_limit_are_an_error_with_what_was_said() -> None:
    chat = Scripted("Let me see.", CALL, Usage(1)).then("And again.", OTHER, Usage(2))
    events, error = collected(going_on(chat, limit=1))
    assert isinstance(error, TooManyTurns)
    assert error.messages == chat.prompts[1][1:]
    assert error.partial == "Let me see.\n\nAnd again."
    assert error.content_emitted
    assert len(chat.prompts) == 2
    assert events[-1] == Usage(3)
    assert not any(isinstance(event, Finish) for event in events)


def test_a_turn_that_fails_tells_what_was_heard_and_spent() -> None:
    chat = Scripted("One.", CALL, Usage(5)).then("Tw", ServerError("no", status=500))
    events, error = collected(going_on(chat))
    assert isinstance(error, ServerError)
    assert (error.partial, error.content_emitted) == ("One.\n\nTw", True)
    assert events[-1] == Usage(5)


def test_a_first_turn_that_fails_is_passed_on() -> None:
    events, error = collected(going_on(Scripted(CALL, ServerError("no"))))
    assert isinstance(error, ServerError)
    assert events == [CALL]


def test_several_answers_cannot_go_on_but_may_end() -> None:
    ends = [Finish("stop"), Finish("stop", choice=1)]
    both: list[Event] = [Text("a"), Text("b", choice=1), *ends]
    operator = run_tools([slow], again=lambda new: rxchat.of())
    assert collected(rxchat.of(*both).pipe(operator)) == (both, None)
    _, error = collected(rxchat.of(CALL, *both).pipe(operator))
    assert isinstance(error, UsageError)
    for rest in (both, []):
        called = rxchat.of(msgspec.structs.replace(CALL, choice=1), *rest)
        _, error = collected(called.pipe(operator))
        assert isinstance(error, UsageError)


@pytest.mark.parametrize(
    ("again", "kind", "said"),
    [
        (lambda new: 1 / 0, CallbackFailed, "ZeroDivisionError"),
        (lambda new: "Hi", UsageError, "gives a stream, not 'Hi'"),
    ],
)
def test_what_is_wrong_with_again_is_said(again: Any, kind: Any, said: str) -> None:
    chat = Scripted(CALL)
    _, error = collected(chat("Hi").pipe(run_tools([slow], again=again)))
    assert isinstance(error, kind)
    assert said in str(error)


def test_a_turn_that_begins_again_keeps_those_before_it() -> None:
    chat = Scripted(CALL).then("Tw", ConnectionLost("cut")).then("Two.")

    def again(new: list[Message]) -> rxchat.Stream[Event]:
        backoff: Callable[[int], float] = lambda number: 0  # noqa: E731  # one word of a test
        return chat(["Hi", *new]).pipe(ops.retry(2, backoff=backoff, after_commit="restart"))

    events, error = collected(chat("Hi").pipe(run_tools([slow], again=again)))
    assert error is None
    assert replies(events) == (*chat.prompts[1][1:], assistant("Two."))
    assert chat.prompts[1] == chat.prompts[2]


def test_a_conversation_that_begins_again_forgets_all_of_it() -> None:
    chat = Scripted(CALL).then("Tw", ConnectionLost("cut")).then(OTHER).then("Two.")
    backoff: Callable[[int], float] = lambda number: 0  # noqa: E731  # one word of a test
    stream = going_on(chat).pipe(ops.retry(2, backoff=backoff, after_commit="restart"))
    events, _ = collected(stream)
    assert [message.text for message in replies(events)] == ["", "slowly Rome", "Two."]


def test_what_was_restarted_may_need_no_tools() -> None:
    chat = Scripted(CALL).then(ConnectionLost("cut")).then("At once.")
    backoff: Callable[[int], float] = lambda number: 0  # noqa: E731  # one word of a test
    stream = going_on(chat).pipe(ops.retry(2, backoff=backoff, after_commit="restart"))
    assert replies(collected(stream)[0]) == (assistant("At once."),)


def test_a_conversation_whose_content_was_heard_is_not_asked_again() -> None:
    chat = Scripted(CALL).then(ServerError("no"))
    _, error = collected(going_on(chat).pipe(ops.retry(3)))
    assert isinstance(error, ServerError)
    assert len(chat.prompts) == 2


# Hanging up, and being slow ----------------------------------------------------------------------


def test_whoever_hangs_up_cancels_what_runs() -> None:
    ended: list[str] = []

    async def hang() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append("cancelled")

    async def main() -> None:
        chat = Scripted(ToolCall(0, "a", "hang"), ToolCall(1, "b", "hang"))
        stream = chat("Hi").pipe(run_tools([hang], again=lambda new: chat(["Hi", *new])))
        subscription = stream.subscribe()
        await asyncio.sleep(1)
        subscription.dispose()
        await subscription.wait_closed()
        assert ended == ["cancelled", "cancelled"]
        assert len(chat.prompts) == 1
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main())


def test_whoever_hangs_up_in_a_later_turn_hangs_up_that_turn() -> None:
    async def main() -> None:
        chat = Scripted(CALL).then("Two", math.inf)
        async with going_on(chat).open() as events:
            async for event in events:
                if event == Text("Two"):
                    break
        assert (chat.hung_up, chat.live) == (1, 0)

    run_virtual(main())


def test_a_reader_who_leaves_at_the_seam_asks_no_more() -> None:
    async def main() -> None:
        chat = Scripted(CALL)
        stream = going_on(chat).pipe(
            ops.take_while(lambda event: getattr(event, "name", 0) != TURN)
        )
        await stream
        await asyncio.sleep(1)
        assert len(chat.prompts) == 1

    run_virtual(main())


def test_functions_and_turns_wait_for_a_slow_reader() -> None:
    began: list[float] = []

    def now() -> None:
        began.append(asyncio.get_running_loop().time())

    async def main() -> None:
        async def again(pump: rxchat.Pump[Event]) -> None:
            now()

        said = rxchat.of(ToolCall(0, "a", "now"))
        stream = said.pipe(run_tools([now], again=lambda new: rxchat.source(again)))
        async with stream.open(high=1) as events:
            for expected in (ToolCall, Other, Other):  # the call, its result, the seam
                await asyncio.sleep(5)
                assert isinstance(await anext(events), expected)
            assert await anext(events, None) is None

    run_virtual(main())
    # The reader asks for more at 10, when it has the call, and at 15, when it has the seam.
    assert began == [10.0, 15.0]


def test_a_bug_downstream_ends_it_and_pays_for_nothing_more() -> None:
    chat = Scripted(CALL).then("Two.")

    def raises(event: Event) -> Event:
        if isinstance(event, Other):
            raise ZeroDivisionError
        return event

    _, error = collected(going_on(chat).pipe(ops.map(raises)))
    assert isinstance(error, ZeroDivisionError | CallbackFailed)
    assert len(chat.prompts) == 1


def test_a_long_answer_takes_no_more_room_than_its_text() -> None:
    from rxchat.operators.tools.running import _Answer

    answer = _Answer()
    for _ in range(100_000):
        answer.note(Text("a"))
        assert len(answer._run) < 1000
    assert len(answer.events()) < 1000
    assert reply(answer.events()) == assistant("a" * 100_000)


def test_a_conversation_that_is_over_is_forgotten() -> None:
    chat = Scripted(CALL).then("Two.")
    stream = going_on(chat)
    collected(stream)
    gone = weakref.ref(stream)
    del stream
    gc.collect()
    assert gone() is None


# With a chat of one's own, and every service -----------------------------------------------------


def test_the_question_must_be_a_prompt() -> None:
    with pytest.raises(InvalidPrompt):
        with_tools(lambda said, tools: rxchat.of(), [], [slow])


def test_a_chat_is_asked_with_the_tools() -> None:
    asked: list[Any] = []
    model = Scripted(CALL).then("Well.")

    def chat(said: Any, tools: Any) -> rxchat.Stream[Event]:
        asked.append((len(said), [tool.name for tool in tools]))
        return model(said)

    events, _ = collected(with_tools(chat, "Hi", [slow]))
    assert asked == [(1, ["slow"]), (3, ["slow"])]
    assert replies(events)[-1].text == "Well."


TOOLS_WIRES = {name: wire for name, wire in WIRES.items() if wire.tools}
with_every_format = pytest.mark.parametrize("wire", TOOLS_WIRES.values(), ids=TOOLS_WIRES)


def moved(wire: Wire, server: LocalServer) -> Any:
    there = wire.provider.but(base_url=server.url + wire.prefix)
    return there.but(key="sk-test-1234567890") if there.auth else there


async def degrees(city: str, unit: Literal["celsius", "kelvin"] = "celsius") -> str:
    """Tell the temperature.

    Args:
        city: In English.
    """
    return f"18 °C in {city}"


ASKED = [
    ToolCall(at, f"call_{at}", "degrees", json.dumps({"city": city}))
    for at, city in enumerate(["Oslo", "Rome"])
]


@with_every_format
@pytest.mark.parametrize("count", [1, 2])
async def test_the_loop_goes_round_with_every_format(wire: Wire, count: int) -> None:
    async with LocalServer(Reply("It is mild.")) as server:
        server.plan(Reply(*ASKED[:count]), Reply(ASKED[0]))
        stream = with_tools(moved(wire, server), "How warm is it?", [degrees])
        events = [event async for event in stream]
        bodies = [json.dumps(it.json, ensure_ascii=False) for it in server.exchanges]
    messages = replies(events)
    assert [message.role for message in messages] == [
        *("assistant", *["tool"] * count),
        *("assistant", "tool"),
        "assistant",
    ]
    assert messages[-1].text == "It is mild."
    assert [body.count("18 °C in Oslo") for body in bodies] == [0, 1, 2]
    assert [body.count("18 °C in Rome") for body in bodies] == [0, count - 1, count - 1]
    assert all("In English." in body for body in bodies)
    assert [type(event) for event in events].count(Finish) == 1
    assert events[-1].reason == "stop"
    assert [type(event) for event in events].count(Usage) <= 1


@with_every_format
async def test_a_tool_that_fails_is_told_in_every_format(wire: Wire) -> None:
    calls = [
        msgspec.structs.replace(ASKED[0], arguments='{"city": 3}'),
        ToolCall(1, "b", "rain", "{}"),
    ]
    async with LocalServer(Reply("I see.")) as server:
        server.plan(Reply(*calls))
        events = [e async for e in with_tools(moved(wire, server), "How warm?", [degrees])]
        body = server.exchanges[1].json
    assert replies(events)[-1].text == "I see."
    assert "Expected `str`, got `int` - at `$.city`" in json.dumps(body)
    assert "there is no tool 'rain'" in json.dumps(body)


@with_every_format
async def test_hanging_up_while_a_function_runs_leaves_nothing_behind(wire: Wire) -> None:
    began = asyncio.Event()

    async def degrees(city: str) -> None:
        began.set()
        await asyncio.get_running_loop().create_future()

    async with LocalServer(Reply(ASKED[0])) as server:
        subscription = with_tools(moved(wire, server), "How warm?", [degrees]).subscribe()
        await began.wait()
        subscription.dispose()
        await subscription.wait_closed()
        assert len(server.exchanges) == 1


@with_every_format
async def test_hanging_up_in_the_second_turn_hangs_up_its_request(wire: Wire) -> None:
    async with LocalServer() as server:
        server.plan(Reply(ASKED[0]), Reply("It ", HOLD, "is"))
        stream = with_tools(moved(wire, server), "How warm?", [degrees])
        async with stream.open() as events:
            async for event in events:
                if isinstance(event, Text) and event.text == "It ":
                    break
        assert await server.exchanges[1].ended == "hung up"


def test_a_function_may_be_any_awaitable_maker() -> None:
    class Later:
        def __await__(self) -> Any:
            yield from asyncio.sleep(1).__await__()
            return "later"

    def later() -> Awaitable[str]:
        return Later()

    assert told(later, "").text == "later"


def test_the_reply_of_the_whole_stream_is_the_last_answer() -> None:
    chat = Scripted("Let me see.", CALL).then("It is mild.")
    assert reply(collected(going_on(chat))[0]) == assistant("It is mild.")


def test_calls_at_one_index_are_run_one_by_one() -> None:
    calls = [msgspec.structs.replace(call, index=0) for call in (CALL, OTHER)]
    chat = Scripted(*calls).then("It is mild.")
    events, _ = collected(going_on(chat))
    assert [message.text for message in replies(events)[1:3]] == ["slowly Oslo", "slowly Rome"]
