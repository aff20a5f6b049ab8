"""JSON out of the text of an answer: the value so far, its elements, and values of your types."""

from __future__ import annotations

import copy
import json
import re
import sys
import tracemalloc
from dataclasses import dataclass
from datetime import date
from random import Random
from typing import Any, Literal, TypedDict

import attrs
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reactivex import operators as rx
from reactivex import throw

import rxchat
from cutting import cut, cuts, one_by_one, run
from rxchat import providers
from rxchat.errors import (
    BadAnswer,
    CallbackFailed,
    DoesNotFit,
    EmptyAnswer,
    Garbled,
    Truncated,
    UsageError,
)
from rxchat.events import Finish, Reasoning, Refusal, Reset, Start, Text, ToolCall
from rxchat.operators.structure.json_reading import JsonReader
from rxchat.operators.structure.json_values import Elements, Growing
from rxchat.operators.structure.reading import Draft, as_type, json_items, partial_json
from rxchat.testing import LocalServer, Reply

# A corpus: JSON texts in every spelling that the standard allows, and Python's few more ----------

SPACE = st.text(" \t\r\n", max_size=2)
NUMBERS = st.one_of(
    st.integers().map(str),
    st.floats().map(json.dumps),
    st.sampled_from(
        ["-0", "-0.0", "1E+5", "0e0", "1.5e-7", "1e999", "9" * 400, "123456789012345678901.5"]
    ),
)
LITERALS = st.sampled_from(["true", "false", "null", "NaN", "Infinity", "-Infinity"])
ESCAPES = st.one_of(
    st.sampled_from(
        [r"\n", r"\"", r"\\", r"\/", r"\b", r"\u00e9", r"\ud83d\udc22", r"\uD83D\uDC22"]
    ),
    st.sampled_from(
        [r"\ud83d", r"\udc22", r"\ud83d\ud83d\udc22", r"\ud83dx", r"\ud83d\n", r"\u0000"]
    ),
    st.sampled_from(
        ["é", "🐢", "👩‍👩‍👧", "\u2028", "e\u0301", "x", "\ud83d", "\udc22", "{", "]", ",", ":"]
    ),
)
PLAIN = st.characters(min_codepoint=32, exclude_characters='"\\', exclude_categories=())
INSIDE = st.lists(ESCAPES | PLAIN, max_size=6).map("".join)
TEXTS = INSIDE.map('"{}"'.format)
NAMES = st.sampled_from(['"a"', '"b"', r'"\u0061"', '""', r'"\ud83d\udc22"']) | TEXTS  # some twice


@st.composite
def listed(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    parts = [f"{draw(SPACE)}{one}{draw(SPACE)}" for one in draw(st.lists(inner, max_size=4))]
    return f"[{','.join(parts) or draw(SPACE)}]"


@st.composite
def named(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    pairs = draw(st.lists(st.tuples(NAMES, inner), max_size=4))
    parts = [
        f"{draw(SPACE)}{name}{draw(SPACE)}:{draw(SPACE)}{one}{draw(SPACE)}" for name, one in pairs
    ]
    return f"{{{','.join(parts) or draw(SPACE)}}}"


SCALARS = st.one_of(NUMBERS, LITERALS, TEXTS)
VALUES = st.recursive(SCALARS, lambda inner: listed(inner) | named(inner), max_leaves=12)
TREES = listed(VALUES) | named(VALUES)
JSONS = st.tuples(SPACE, VALUES, SPACE).map("".join)
BROKEN = st.builds(
    lambda text, at, less, more: (
        text[: at % (len(text) + 1)] + more + text[at % (len(text) + 1) + less :]
    ),
    JSONS,
    st.integers(0, 200),
    st.integers(0, 2),
    st.sampled_from(
        ["", ",", "]", "}", '"', "\\", "\\u12", ":", "x", "0", "-", ".", "\x01", "[", "{", "é", "'"]
    ),
)
MANY = settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])


def grown(pieces: list[str], *, strict: bool = True) -> Any:
    growing = Growing()
    reader = JsonReader(growing, strict=strict)
    for piece in pieces:
        reader.feed(piece)
    reader.close()
    return growing.value


def fate(pieces: list[str], *, strict: bool = True) -> tuple[str, str]:
    """The value, exactly (`nan` and `-0.0` too), or the error."""
    try:
        return "value", repr(grown(pieces, strict=strict))
    except BadAnswer as error:
        return type(error).__name__, str(error)


def states(pieces: list[str], *, strict: bool = True) -> list[str]:
    """Every state of the value, as it was then."""
    return run(lambda s: s.pipe(partial_json(strict=strict), rx.map(repr)), pieces)


PAIR = r"\\u[dD][89abAB]..\\u[dD][c-fC-F].."
UP_TO_QUOTE = re.compile(rf'"(?:[^"\\]|{PAIR}|\\u....|\\[^u])*+')
HALF_PAIR = re.compile(r"\\u[dD][89abAB]..$")
ATOM = re.compile(r"[-+.\w]+")


def so_far(text: str) -> Any:
    """A slow reference: the beginning of a JSON tree, cut back and closed, and read by `json`."""
    closers, last, best, at = "", "", "", 0
    while at < len(text):
        char, begun = text[at], at
        is_name = char == '"' and closers[:1] == "}" and last in "{,"
        at += 1
        if char == '"':
            found = UP_TO_QUOTE.match(text, begun)
            at = found.end() + 1
            if at > len(text) or text[at - 1] != '"':
                there = text[:begun] + HALF_PAIR.sub("", found[0])
                return json.loads(best if is_name else f'{there}"{closers}')
        elif char in "[{":
            closers = ("]" if char == "[" else "}") + closers
        elif char in "]}":
            closers = closers[1:]
        elif found := ATOM.match(text, begun):
            at = found.end()
            if at == len(text):
                break
        if char not in ",: \t\r\n" and not is_name:
            best = text[:at] + closers
        last = last if char in " \t\r\n" else char
    return json.loads(best)


# The whole --------------------------------------------------------------------------------------


@MANY
@given(JSONS, st.data())
def test_the_last_value_is_what_json_makes_of_the_text_at_any_cut(
    text: str, data: st.DataObject
) -> None:
    expected = repr(json.loads(text))
    for pieces in ([text], one_by_one(text), data.draw(cuts(text))):
        assert repr(grown(pieces)) == expected


@MANY
@given(TREES, st.data())
def test_so_it_is_with_prose_around_it(text: str, data: st.DataObject) -> None:
    expected = repr(json.loads(text))
    wrapped = f"Here it is [sic], {{as asked}}:\r\n```json\n{text}\n```\nHave fun! {{}} ]"
    for pieces in ([wrapped], one_by_one(wrapped), data.draw(cuts(wrapped)), one_by_one(text)):
        assert repr(grown(pieces, strict=False)) == expected


@MANY
@given(BROKEN, st.data())
def test_what_json_refuses_is_refused_with_the_same_words_at_any_cut(
    text: str, data: st.DataObject
) -> None:
    try:
        expected = ("value", repr(json.loads(text)))
    except ValueError:
        expected = None
    whole = fate([text])
    assert whole == expected if expected else whole[0] != "value"
    assert fate(one_by_one(text)) == fate(data.draw(cuts(text))) == whole
    loose = fate([text], strict=False)
    assert (
        fate(one_by_one(text), strict=False) == fate(data.draw(cuts(text)), strict=False) == loose
    )


def test_a_large_corpus_comes_out_as_json_makes_it() -> None:
    chance = Random(5)

    def value(depth: int) -> Any:
        kind = chance.randrange(8 if depth else 5)
        if kind >= 5:
            few = range(chance.randrange(5))
            made = [value(depth - 1) for _ in few]
            return made if kind == 5 else {str(chance.randrange(9)) * 3: one for one in made}
        return [
            None,
            True,
            chance.randrange(-(10**20), 10**20),
            chance.random() * 1e9,
            'é🐢\n"\\ ' * 3,
        ][kind]

    for _ in range(2000):
        wanted = value(5)
        text = json.dumps(
            wanted,
            ensure_ascii=chance.random() < 0.5,
            indent=chance.choice([None, 1, "\t"]),
            separators=chance.choice([None, (",", ":"), (" ,\r\n", " : ")]),
        )
        assert grown(cut(text, [chance.randrange(len(text) + 1) for _ in range(9)])) == wanted


# The value so far -------------------------------------------------------------------------------


@settings(MANY, max_examples=200)
@given(TREES)
def test_each_state_is_that_of_a_slow_reference(text: str) -> None:
    growing = Growing()
    reader = JsonReader(growing, strict=True)
    for at, char in enumerate(text, 1):
        reader.feed(char)
        assert repr(growing.value) == repr(so_far(text[:at])), text[:at]


@given(TREES, st.data())
def test_the_states_at_any_cut_are_among_those_of_single_characters(
    text: str, data: st.DataObject
) -> None:
    every = states(one_by_one(text))
    some = states(data.draw(cuts(text)))
    assert some[-1] == every[-1] == repr(json.loads(text))
    left = iter(every)
    assert all(state in left for state in some)  # in their order


@pytest.mark.parametrize(
    ("text", "so_far"),
    [
        ("[", "[]"),
        ('["', "['']"),
        ('["a\\', "['a']"),
        (r'["a\u00', "['a']"),
        (r'["a\ud83d', "['a']"),
        (r'["a\ud83d\udc2', "['a']"),
        (r'["a\ud83d\udc22', "['a🐢']"),
        (r'["a\ud83dx', r"['a\ud83dx']"),
        ("[1", "[]"),
        ("[1,", "[1]"),
        ("[1.5e", "[]"),
        ("[1.5e3 ", "[1500.0]"),
        ("[tru", "[]"),
        ("[true\r\n", "[True]"),
        ('{"a', "{}"),
        ('{"a"', "{}"),
        ('{"a":', "{}"),
        ('{"a":"', "{'a': ''}"),
        ('{"a":1,"a":2', "{'a': 1}"),
        ('{"a":1,"a":[', "{'a': []}"),
    ],
)
def test_what_is_there_of_an_unfinished_tail(text: str, so_far: str) -> None:
    growing = Growing()
    JsonReader(growing, strict=True).feed(text)
    assert repr(growing.value) == so_far


def test_only_pieces_that_change_the_value_bring_one() -> None:
    pieces = ['{"a', '": ', "1", "}", " ", ""]
    assert states(pieces) == ["{}", "{'a': 1}"]


def test_the_value_grows_in_place() -> None:
    values = run(partial_json(), ['{"a": "x', 'y"', ', "b": [', "]}"])
    assert len(values) == 3
    assert all(value is values[0] for value in values)
    assert values[0] == {"a": "xy", "b": []}


def test_copies_are_kept_by_asking_for_them() -> None:
    kept = run(lambda s: s.pipe(partial_json(), rx.map(copy.deepcopy)), ["[[1,", "2,", "3]]"])
    assert kept == [[[1]], [[1, 2]], [[1, 2, 3]]]


@pytest.mark.skipif(sys.gettrace() is not None, reason="who traces Python makes it copy")
@pytest.mark.parametrize("container", ['["', '{"a": "'])
def test_a_long_text_is_not_copied_at_each_piece(container: str) -> None:
    growing = Growing()
    reader = JsonReader(growing, strict=True)
    reader.feed(container)
    moves, before = 0, 0
    for _ in range(20_000):
        reader.feed("a few é ")
        now = id(growing.value[0 if type(growing.value) is list else "a"])
        moves, before = moves + (now != before), now
    assert moves < 10_000  # a copy is never where its original still is


def test_a_text_that_somebody_keeps_stays_as_it_was() -> None:
    growing = Growing()
    reader = JsonReader(growing, strict=True)
    reader.feed('["ab')
    kept = growing.value[0]
    reader.feed('cd"')
    assert (kept, growing.value) == ("ab", ["abcd"])


def test_nesting_may_be_deeper_than_python_can_call() -> None:
    text = "[" * 50_000 + "]" * 50_000
    value, depth = grown(one_by_one(text)), 1
    while value:
        (value,), depth = value, depth + 1
    assert depth == 50_000


# What stands around it --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ("```\r\n[1]\r\n```\r\n", [1]),
        ("\ufeff {}", {}),
        ('Sure! {"a": 1} and {"b": 2}', {"a": 1}),
        ("A [note] on {this}: {}", {}),
        ("Is it [NaN] or [true , false]?", [float("nan")]),
        ("```json\n[true]```", [True]),
        ('{"a": "two\nlines\tof it"}', {"a": "two\nlines\tof it"}),
    ],
)
def test_prose_and_fences_may_stand_around_an_object(text: str, value: Any) -> None:
    for pieces in ([text], one_by_one(text)):
        assert repr(run(partial_json(), pieces)[-1]) == repr(value)


@pytest.mark.parametrize("text", ["12", ' "a" ', "true", "NaN", "-1.5e3"])
def test_strictly_the_text_may_be_of_any_kind(text: str) -> None:
    assert states(one_by_one(text))[-1] == repr(json.loads(text))
    with pytest.raises(Garbled, match="no JSON object or array"):
        run(partial_json(), [text])


STRICT = {"strict": True}


@pytest.mark.parametrize(
    ("text", "options", "error", "words"),
    [
        ("", {}, EmptyAnswer, "has no JSON, and nothing else"),
        (" \n", {}, EmptyAnswer, "nothing else"),
        (" \n", STRICT, EmptyAnswer, "nothing else"),
        ("I am sorry, but no.", {}, Garbled, "no JSON object or array: 'I am sorry, but no.'"),
        ("I" * 1000, {}, Garbled, f"no JSON object or array: '{'I' * 80}'$"),
        ('{"a": 1', {}, Truncated, "ended inside its JSON, after 7 characters"),
        ("Look: [", {}, Truncated, "after 7 characters"),
        ("Look [the", {}, Garbled, "no JSON object or array: 'Look'"),
        ("Look: [ [1], really", {}, Garbled, "expected a value, not 'r', after 13 characters"),
        (r'["\ud83d', {}, Truncated, "after 8 characters"),
        ("{a: 1}", {}, Garbled, "expected a name in double quotes, not 'a', after 1 characters"),
        ('{"a": 1,}', {}, Garbled, "expected a name in double quotes, not '}', after 8"),
        ("[1,]", {}, Garbled, "expected a value, not ']', after 3"),
        ('{"a" 1}', {}, Garbled, "expected ':', not '1', after 5"),
        ("[1 2]", {}, Garbled, "expected ',' or ']', not '2', after 3"),
        ("[1}", {}, Garbled, "expected ',' or ']', not '}', after 2"),
        ("[nil]", {}, Garbled, "expected a value, not 'nil', after 1"),
        ("[01]", {}, Garbled, "expected a value, not '01', after 1"),
        ("[é]", {}, Garbled, "expected a value, not 'é', after 1"),
        (f"[{'9' * 5000}]", {}, Garbled, "not a whole number of 5000 digits, after 1"),
        (r'["\x"]', {}, Garbled, r"expected an escape that JSON knows, not '\\\\', after 2"),
        (r'["\u12g4"]', {}, Garbled, "an escape that JSON knows"),
        ('["\n"]', STRICT, Garbled, r"no control character, not '\\n', after 2"),
        ("[] []", STRICT, Garbled, "expected the end, not '\\['"),
        ("x", STRICT, Garbled, "expected a value, not 'x', after 0"),
    ],
)
def test_an_error_says_what_was_expected_and_where(
    text: str, options: Any, error: type[Exception], words: str
) -> None:
    for pieces in ([text], one_by_one(text)):
        with pytest.raises(error, match=words):
            run(partial_json(**options), pieces)


def test_an_error_is_told_what_else_the_model_said() -> None:
    events = [Refusal("I can't "), Refusal("do that"), Finish("content_filter")]
    with pytest.raises(EmptyAnswer) as caught:
        run(partial_json(), events)
    assert caught.value.__notes__ == ["refusal: I can't do that", "finish: content_filter"]
    with pytest.raises(Truncated) as cut_off:
        run(partial_json(), [Text('{"a": "b'), Finish("length")])
    assert cut_off.value.__notes__ == ["finish: length"]
    with pytest.raises(Truncated) as plain:
        run(
            partial_json(),
            [Text("["), Refusal("no", choice=1), Finish("length", choice=1), Finish("stop")],
        )
    assert not hasattr(plain.value, "__notes__")


# Events -----------------------------------------------------------------------------------------


def test_of_events_the_text_of_the_first_answer_is_read() -> None:
    events = [
        Start(),
        Reasoning("{not this}"),
        Text('{"a"'),
        Text('{"b": 2}', choice=1),
        ToolCall(arguments="{}"),
        Text(": 1}"),
        Finish(),
        Finish(choice=1),
    ]
    assert run(partial_json(), events)[-1] == {"a": 1}
    assert run(as_type(dict[str, int]), events) == [{"a": 1}]


def test_after_a_restart_reading_begins_anew() -> None:
    events = [Text('{"cats": [1, 2, "x'), Reset("restart"), Text('{"cats": [3]}'), Finish()]
    assert run(lambda s: s.pipe(partial_json(), rx.map(repr)), events) == [
        "{'cats': [1, 2, 'x']}",
        "{'cats': [3]}",
    ]
    assert run(json_items("cats"), events) == [1, 2, 3]
    assert run(as_type(dict[str, list[int]]), events) == [{"cats": [3]}]


def test_after_a_resume_reading_goes_on() -> None:
    events = [Text('{"a": "x'), Reset("resume"), Text('y"}'), Finish()]
    assert run(partial_json(), events)[-1] == {"a": "xy"}


def test_each_subscription_reads_for_itself() -> None:
    stream = rxchat.of('{"a":', " 1}").pipe(partial_json())
    assert stream.run() == stream.run() == {"a": 1}


def test_an_error_from_above_passes_and_is_not_explained_away() -> None:
    stream = rxchat.concat(rxchat.of('{"a": [1, 2'), throw(rxchat.errors.Overloaded("busy")))
    for operator in (partial_json(), json_items("a"), as_type(dict)):
        with pytest.raises(rxchat.errors.Overloaded):
            stream.pipe(operator).run()


# The elements of an array -----------------------------------------------------------------------


def element(value: Any, *path: str) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, list) else None


@settings(MANY, max_examples=150)
@given(VALUES, listed(VALUES), VALUES, st.data())
def test_the_elements_are_those_of_the_array_at_any_cut(
    before: str, array: str, after: str, data: st.DataObject
) -> None:
    texts = {
        (): array,
        ("it",): f'{{"no": {before}, "it": {array}, "more": {after}}}',
        (
            "b",
            "it",
        ): f'{{"it": {before}, "b": {{"no": {after}, "it": {array}}}, "c": {{"it": [1]}}}}',
    }
    for path, text in texts.items():
        for pieces in ([text], one_by_one(text), data.draw(cuts(text))):
            elements = Elements(path)
            reader = JsonReader(elements, strict=True)
            for piece in pieces:
                reader.feed(piece)
            reader.close()
            assert elements.found
            assert repr(elements.whole) == repr(json.loads(array))


@pytest.mark.parametrize("path", ["a.b", ["a", "b"], ("a", "b")])
def test_a_path_is_names(path: Any) -> None:
    assert run(json_items(path), ['{"a": {"b": [1, [2], {"b": [3]}]}}']) == [1, [2], {"b": [3]}]


def test_a_name_may_have_a_dot_in_it() -> None:
    assert run(json_items(["a.b"]), ['{"a.b": [1]}']) == [1]


def test_an_array_whose_name_comes_twice_gives_all_its_elements() -> None:
    assert run(json_items("a"), ['{"a": [1], "a": [2]}']) == [1, 2]


def test_an_element_comes_as_soon_as_it_is_whole() -> None:
    heard: list[tuple[str, Any]] = []
    pieces = ['{"a": [', '{"b": 1', "}", ', "x', '"', ", 1", "2", ",", "[", "]", "]}"]

    def listening(source: Any) -> Any:
        def note(piece: str) -> None:
            heard.append(("in", piece))

        return source.pipe(rx.do_action(note), json_items("a"))

    elements = run(
        lambda s: listening(s).pipe(rx.do_action(lambda e: heard.append(("out", e)))), pieces
    )
    assert elements == [{"b": 1}, "x", 12, []]
    before = [heard[at - 1][1] for at, (way, _) in enumerate(heard) if way == "out"]
    assert before == ["}", '"', ",", "]"]


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"a": {}}',
        '{"a": 1}',
        '[{"a": []}]',
        '{"b": {"a": [1]}}',
        '{"a": null}',
        '{"a": {"b": [1]}}',
    ],
)
def test_where_there_is_no_array_the_end_says_so(text: str) -> None:
    with pytest.raises(DoesNotFit, match=r"no array at \$\.a$") as caught:
        run(json_items("a"), [text])
    assert caught.value.path == "$.a"


def test_elements_before_an_error_come_before_it() -> None:
    for pieces in (["[1, 2, x, 3]"], one_by_one("[1, 2, x, 3]")):
        heard: list[Any] = []
        with pytest.raises(Garbled, match="after 7"):
            run(lambda s, heard=heard: s.pipe(json_items(), rx.do_action(heard.append)), pieces)
        assert heard == [1, 2]


@pytest.mark.parametrize("path", [3, ["a", 1], None])
def test_a_path_of_anything_else_is_refused_at_once(path: Any) -> None:
    with pytest.raises(UsageError, match="json_items"):
        json_items(path)


def test_memory_is_the_largest_element() -> None:
    junk = json.dumps(["not wanted", {"x": "y" * 100}] * 20)
    piece = json.dumps({"name": "Tom", "bio": "z" * 1000})
    elements = Elements(["items"])
    reader = JsonReader(elements, strict=True)
    count = 0

    def feed(text: str) -> None:
        nonlocal count
        reader.feed(text)
        count += len(elements.whole)
        elements.whole.clear()

    feed('{"junk": [')
    tracemalloc.start()
    for _ in range(500):
        feed(junk + ",")
    feed('0], "text": "')
    for _ in range(500):
        feed("never kept, never asked for " * 10)
    feed('", "items": [')
    for _ in range(1000):
        feed(piece + ",")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 1000
    assert peak < 60_000  # of 2.7 million characters


# Values of your types ---------------------------------------------------------------------------


@attrs.frozen
class Cat:
    name: str
    age: int = attrs.field(default=1, validator=attrs.validators.ge(0))


@dataclass
class Dog:
    name: str
    age: int = 1


class Fish(msgspec.Struct):
    name: str
    age: int = 1


class Bird(TypedDict):
    name: str
    age: int


@attrs.frozen
class House:
    cats: list[Cat]
    rooms: dict[int, str] = attrs.field(factory=dict)


@pytest.mark.parametrize("kind", [Cat, Dog, Fish])
def test_an_answer_becomes_a_value_of_your_type(kind: Any) -> None:
    text = 'Here:\n```json\n{"name": "Tom", "age": 12}\n```'
    for pieces in ([text], one_by_one(text)):
        assert run(as_type(kind), pieces) == [kind("Tom", 12)]
    assert run(as_type(kind), ['{"name": "Tom"}']) == [kind("Tom")]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Bird, '{"name": "Tom", "age": 1}', {"name": "Tom", "age": 1}),
        (dict, '{"a": 1}', {"a": 1}),
        (dict[int, str], '{"1": "a"}', {1: "a"}),
        (list[Cat], '[{"name": "Tom"}]', [Cat("Tom")]),
        (tuple[int, ...], "[1, 2]", (1, 2)),
        (Cat | None, '{"name": "Tom"}', Cat("Tom")),
        (Any, '{"a": [1]}', {"a": [1]}),
        (
            House,
            '{"cats": [{"name": "Tom"}], "rooms": {"1": "hall"}}',
            House([Cat("Tom")], {1: "hall"}),
        ),
        (list[int], f"[{10**400}]", [10**400]),
    ],
)
def test_types_of_many_kinds(kind: Any, text: str, value: Any) -> None:
    assert run(as_type(kind), [text]) == [value]


def test_the_value_comes_once_and_only_when_the_answer_has_ended() -> None:
    stream = rxchat.concat(
        rxchat.of('{"name": "Tom"}'), throw(rxchat.errors.ConnectionLost("gone"))
    )
    heard: list[Any] = []
    with pytest.raises(rxchat.errors.ConnectionLost):
        stream.pipe(as_type(Cat), rx.do_action(heard.append)).run()
    assert heard == []


@given(st.data())
def test_drafts_grow_and_the_last_one_is_whole(data: st.DataObject) -> None:
    text = '{"name": "Tóm", "age": 12}'
    pieces = data.draw(cuts(text))

    def seen(draft: Draft[Cat]) -> tuple[str, Cat | None]:
        return repr(draft.so_far), draft.whole

    drafts = run(lambda s: s.pipe(as_type(Cat, partial=True), rx.map(seen)), pieces)
    assert [so_far for so_far, _ in drafts[:-1]] == states(pieces)
    assert all(whole is None for _, whole in drafts[:-1])
    assert drafts[-1] == ("{'name': 'Tóm', 'age': 12}", Cat("Tóm", 12))


@pytest.mark.parametrize(
    ("kind", "text", "path", "words"),
    [
        (Cat, '{"age": 12}', "$", "missing required field `name`"),
        (Cat, '{"name": "Tom", "age": "old"}', "$.age", "Expected `int`, got `str`"),
        (Cat, '{"name": "Tom", "age": -1}', "$", "'age' must be >= 0"),
        (Cat, "[]", "$", "Expected `object`, got `array`"),
        (
            House,
            '{"cats": [{"name": "Tom"}, {"name": null}]}',
            "$.cats[1].name",
            "Expected `str`, got `null`",
        ),
        (House, '{"cats": [], "rooms": {"x": "hall"}}', "$.rooms", "Expected `int`, got `str`"),
        (int, f"{'[' * 3}{']' * 3}", "$", "Expected `int`, got `array`"),
        (list[int], r'["\ud83d"]', "$", "surrogates not allowed"),
    ],
)
def test_an_answer_that_does_not_fit_says_where(
    kind: Any, text: str, path: str, words: str
) -> None:
    for pieces in ([text], one_by_one(text)):
        with pytest.raises(DoesNotFit, match=re.escape(words)) as caught:
            run(as_type(kind), pieces)
        assert caught.value.path == path
        assert str(caught.value).startswith(f"at {path}: ")


def test_elements_of_your_type_come_until_one_does_not_fit() -> None:
    text = '{"cats": [{"name": "Tom"}, {"name": "Ira", "age": 2}, {"name": 3}, {"name": "Max"}, x'
    for pieces in ([text], one_by_one(text)):
        heard: list[Any] = []
        with pytest.raises(DoesNotFit, match="got `int`") as caught:
            run(
                lambda s, heard=heard: s.pipe(json_items("cats", Cat), rx.do_action(heard.append)),
                pieces,
            )
        assert heard == [Cat("Tom"), Cat("Ira", 2)]
        assert caught.value.path == "$.cats[2].name"


def test_what_is_no_json_is_no_value_either() -> None:
    with pytest.raises(Truncated):
        run(as_type(Cat), ['{"name": "To'])
    with pytest.raises(EmptyAnswer):
        run(as_type(Cat), [])


@pytest.mark.parametrize("kind", [3, "Cat", object(), Cat | Dog, list[Random]])
def test_a_type_that_nobody_can_make_is_refused_at_once(kind: Any) -> None:
    for make in (as_type, lambda kind: json_items("", kind)):
        with pytest.raises(UsageError, match="the type of an answer is"):
            make(kind)


def test_a_bug_in_your_class_is_yours() -> None:
    @dataclass
    class Buggy:
        name: str

        def __post_init__(self) -> None:
            raise KeyError("bug")

    for operator, text in (
        (as_type(Buggy), '{"name": "x"}'),
        (json_items("", Buggy), '[{"name": "x"}]'),
    ):
        with pytest.raises(CallbackFailed, match="KeyError"):
            run(operator, [text])


def test_nested_too_deep_is_a_misfit() -> None:
    class Nest(msgspec.Struct):
        inner: list[Nest]

    depth = 20_000
    text = '{"inner": [' * depth + "]}" * depth
    globals()["Nest"] = Nest
    try:
        with pytest.raises(DoesNotFit, match="too deep"):
            run(as_type(Nest), [text])
    finally:
        del globals()["Nest"]


def test_pydantic_models_and_lists_of_them() -> None:
    pydantic = pytest.importorskip("pydantic")

    class Trip(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(strict=True)
        day: date  # which strict models take from JSON alone
        people: list[str] = []  # noqa: RUF012  # pydantic copies it

        @pydantic.field_validator("people")
        @classmethod
        def no_bugs(cls, people: list[str]) -> list[str]:
            if "bug" in people:
                raise KeyError("bug")
            return people

    one = Trip(day=date(2026, 1, 2), people=["Ira"])
    text = '{"day": "2026-01-02", "people": ["Ira"]}'
    assert run(as_type(Trip), one_by_one(text)) == [one]
    assert run(as_type(list[Trip]), [f"[{text}]"]) == [[one]]
    assert run(json_items("trips", Trip), [f'{{"trips": [{text}, {text}]}}']) == [one, one]
    assert run(as_type(Trip, partial=True), [text])[-1] == Draft(json.loads(text), one)
    for wrong, path, words in (
        ('{"day": "2026-01-02", "people": ["Ira", 2]}', "$.people[1]", "valid string, got '2'"),
        ("{}", "$.day", "Field required"),
    ):
        with pytest.raises(DoesNotFit, match=words) as caught:
            run(as_type(Trip), [wrong])
        assert caught.value.path == path
    with pytest.raises(CallbackFailed, match="KeyError"):
        run(as_type(Trip), ['{"day": "2026-01-02", "people": ["bug"]}'])


@pytest.mark.parametrize(
    ("service", "path"),
    [
        ("openai", "/v1"),
        ("anthropic", "/v1"),
        ("gemini", "/v1beta"),
        ("ollama", ""),
        ("cohere", "/v2"),
    ],
)
async def test_the_type_that_is_asked_for_is_the_type_that_comes(service: str, path: str) -> None:
    async with LocalServer(Reply('{"na', 'me": "Tó', 'm", "age": 1', "2}")) as server:
        provider = getattr(providers, service).but(base_url=server.url + path, key="k", model="m")
        assert await provider("A cat?", schema=Cat).pipe(as_type(Cat)) == Cat("Tóm", 12)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (int, "3", 3),
        (bool, " true\n", True),
        (Literal["yes", "no"], '"yes"', "yes"),
        (int | None, "null", None),
        (list[int], "Here: [1]", [1]),
    ],
)
def test_a_type_of_plain_values_takes_an_answer_that_is_nothing_but_one(
    kind: Any, text: str, value: object
) -> None:
    assert rxchat.of(text).pipe(as_type(kind)).run() == value
