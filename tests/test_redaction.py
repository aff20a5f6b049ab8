"""What must not be seen is covered up, at any cut, and nothing else is held back."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any
from unicodedata import category

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cutting import cuts, one_by_one, run
from rxchat.calls import TURN
from rxchat.errors import CallbackFailed, ChatError, Truncated, UsageError
from rxchat.events import Finish, Opaque, Other, Reasoning, Refusal, Reset, Text, ToolCall, Usage
from rxchat.messages import assistant, tool
from rxchat.operators.texts.finding import Pattern, Sought, needles, translated
from rxchat.operators.texts.patterns import CARDS, EMAILS, IBANS, IPS, KEYS, PHONES
from rxchat.operators.texts.quoting import Quoted
from rxchat.operators.texts.redaction import Redactor, redact
from rxchat.operators.tools.running import TOOL_RESULT
from rxchat.stream import Pump, source
from rxchat.testing import run_virtual


def redacted(pieces: Iterable[str], *patterns: Sought, with_: Any = "***", **named: Any) -> str:
    """What a redactor makes of the pieces, without a stream around it."""
    redactor = Redactor(needles(patterns, **named), with_)
    shown = [part for piece in pieces for part in redactor.feed(piece)]
    return "".join([*shown, *redactor.close()])


def by_the_book(text: str, *patterns: str | re.Pattern[str], cover: str = "***") -> str:
    """The slow way: at each place of the whole text, the longest that matches there."""
    shown, at = "", 0
    expressions = [re.compile(re.escape(p) if isinstance(p, str) else p) for p in patterns]
    while at < len(text):
        found = [match.end() for each in expressions if (match := each.match(text, at))]
        end = max(found, default=at)
        shown += cover if end > at else text[at]
        at = max(end, at + 1)
    return shown


ALPHABET = "ab-"
SECRETS = st.lists(st.text(ALPHABET, min_size=1, max_size=5), min_size=1, max_size=4)


# The law ----------------------------------------------------------------------------------------


@given(SECRETS, st.text(ALPHABET, max_size=30), st.data())
@example(["ab", "abab-"], "ababab-", None)
@example(["aab"], "aaab", None)
def test_no_listed_secret_is_ever_seen_at_any_cut(
    secrets: list[str], text: str, data: st.DataObject | None
) -> None:
    pieces = data.draw(cuts(text)) if data else one_by_one(text)
    shown = redacted(pieces, *secrets)
    assert not [secret for secret in secrets if secret in shown]
    assert shown == by_the_book(text, *secrets)


EXPRESSIONS = [
    r"foo\b",
    r"foo\B",
    r"\bfoo",
    r"foo(?!bar)",
    r"foo(?=bar)",
    r"(?<!\d)\d{3}(?!\d)",
    r"\d{3}$",
    r"(?m)b$",
    r"(?m)^ab",
    r"\Aab",
    r"b\Z",
    r"a.*?b|a",
    r"ab|abcd",
    r"abcd|ab",
    r"\d+",
    r"(a|b)\1",
    r"a++b?",
    r"(?s)a.b",
    r"(?i)FOO",
    r"[\b$]a",
    r"(?x) a  b # two letters",
    r"(?:ab)*c",
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
@settings(max_examples=50)
@given(
    st.lists(st.sampled_from([*"foobar012 \nAcd", "foo", "ab", "012"]), max_size=14).map("".join),
    st.data(),
)
def test_an_expression_finds_what_it_finds_in_the_whole_text(
    expression: str, text: str, data: st.DataObject
) -> None:
    pieces = data.draw(cuts(text))
    assert redacted(pieces, re.compile(expression)) == re.sub(expression, "***", text)


GROWING = [
    r"\d+",
    r"fo+",
    r"(?:ab)*c",
    r"\bo[^b]*",
    r"(a|b)\1+",
    r"\w+\s",
    r"(?s)a.*?b|a",
    r"o+|\d*r",
]


@settings(max_examples=300)
@given(
    st.sampled_from(GROWING),
    st.text("foobar012 \n", max_size=30),
    st.integers(1, 4),
    st.data(),
)
def test_what_outgrows_its_bound_is_the_same_at_any_cut(
    expression: str, text: str, longest: int, data: st.DataObject
) -> None:
    pattern = Pattern(expression, longest)
    assert redacted(data.draw(cuts(text)), pattern) == redacted([text], pattern)


@given(SECRETS, st.text("ab-1 \n", max_size=30), st.data())
def test_of_strings_and_expressions_the_longer_match_counts(
    secrets: list[str], text: str, data: st.DataObject
) -> None:
    patterns = [re.compile(r"\w+"), *secrets, re.compile(r"a-|-\n")]
    assert redacted(data.draw(cuts(text)), *patterns) == by_the_book(text, *patterns)


TEXTS = [
    "e\u0301 se\u0301cret é",
    "👩‍👩‍👧 key 👩‍👩‍👦",
    "one\r\ntwo\r\r\nthree",
    "\ud83d\ude00 halves \ud83d",
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("secret", ["se\u0301cret", "👩‍👩‍👧", "\r\ntwo", "\ud83d"])
def test_inside_marks_emoji_line_ends_and_surrogates(text: str, secret: str) -> None:
    assert redacted(one_by_one(text), secret) == text.replace(secret, "***")
    assert redacted(one_by_one(text), re.compile(re.escape(secret))) == text.replace(secret, "***")


# What `regex` and `re` read in two ways, and the text that shows it.
DISPUTED = [
    (PHONES, "☎️+49 170 1234567 ok", "☎️*** ok"),
    (IPS, "➡️192.168.0.1", "➡️***"),
    (IBANS, "🏦️DE89 3704 0044 0532 0130 00", "🏦️***"),
    (EMAILS, "x²@example.com", "***"),
    (EMAILS, "a½@b½.example ok", "*** ok"),
    (r"\bsecret\b", "✔️secret", "✔️***"),
    (r"\bsecret\b", "secret\u0301 secret\u200dx xsecret", "***\u0301 ***\u200dx xsecret"),
    (r"\Bsecret", "a\u200dsecret ½secret", "a\u200dsecret ½***"),
    (r"id:\w+;", "id:a½b; id:a\u0301;", "*** id:a\u0301;"),
    (r"id:[\w-]+;", "id:a-²; id:a\ufe0f;", "*** id:a\ufe0f;"),
    (r"id:\W+;", "id:\u0301\ufe0f\u203f; id:½;", "*** id:½;"),
    (r"id:[^\W_]+;", "id:a½; id:a_; id:\u0301;", "*** id:a_; id:\u0301;"),
    (r"id:[\W\d]+;", "id:1\u0301\u200d; id:½;", "*** id:½;"),
    (r"id:[-\w.]+;", "id:-½.; id:/;", "*** id:/;"),
    (r"id:[^-\W.]+;", "id:½; id:-;", "*** id:-;"),
    (r"id:[+--\s]+;", "id:+,-\x1c; id:.;", "*** id:.;"),
    (r"a\sb", "a\x1cb a\x1fb a\u2028b a\x1bb", "*** *** *** a\x1bb"),
    (r"id:[\s.]+;", "id:.\x1d; id:\x00;", "*** id:\x00;"),
    (r"id:\S+;", "id:½\u0301\x1b\u0378\ue000; id:\x1c;", "*** id:\x1c;"),
    (r"id:[^\S\n]+;", "id:\x1e ; id:\n;", "*** id:\n;"),
    (r"(?a)\bid:\w+;", "½id:a; id:½; xid:a;", "½*** id:½; xid:a;"),
    (r"(?a)a\sb", "a\x1cb a b", "a\x1cb ***"),
    (r"(?:pw){e}", "pw{e} px", "*** px"),
    (r"pw{i<=1}x{,}", "pw{i<=1}xx", "***"),
    (r"pw{}", "pw{} p", "*** p"),
    (r"[[:alpha:]]x", "a:]x b]x :]x", "a*** b]x ***"),
    (r"[a[]b[\]\[]c", "[b]c ab[c", "*** ***"),
    ("(?x) id # [ unclosed\n \\b [!]?", "idx id\u0301 id!", "idx ***\u0301 ***"),
    (r"(?i)\bid:[^\W\d]+;", "\u0345ID:αι; ιid:a; id:\u0345;", "\u0345*** ιid:a; id:\u0345;"),
    (r"(?i)b?[^\W_]\Bx|by", "ΙX \u0345x", "*** \u0345x"),
    (r"(?i)b?\w=", "Ι= \u0345=", "*** \u0345="),
    (r"(?i)id:[\Wa]+;", "ID:A\u0345; id:ι;", "*** id:ι;"),
    (r"(?i:id):[^^\w\]]+;", "ID:\u0345; id:^; id:];", "*** id:^; id:];"),
    (r"(?#[)id\b", "id\u0301 idx", "***\u0301 idx"),
    (r"\N{DIGIT ONE}\b", "1\ufe0f 12", "***\ufe0f 12"),
]


@pytest.mark.filterwarnings("ignore:Possible (nested set|set difference):FutureWarning")
@pytest.mark.parametrize(("pattern", "text", "shown"), DISPUTED)
@settings(max_examples=20)
@given(st.data())
def test_what_two_libraries_read_in_two_ways_is_covered_up_at_any_cut(
    pattern: str | Pattern, text: str, shown: str, data: st.DataObject
) -> None:
    sought = re.compile(pattern) if isinstance(pattern, str) else pattern
    for pieces in ([text], one_by_one(text), data.draw(cuts(text))):
        assert redacted(pieces, sought) == shown


@pytest.mark.parametrize("kind", ["w", "W", "s", "S", "d", "D"])
@pytest.mark.parametrize(
    "form", [r"\{}", r"[\{}]", r"[^\{}]", r"(?i)\{}", r"(?i)[\{}.]", r"(?i)[^\{}.]"]
)
def test_a_class_of_characters_is_the_same_for_both_libraries(kind: str, form: str) -> None:
    every = "".join(c for c in map(chr, range(sys.maxunicode + 1)) if category(c) != "Cn")
    one = form.format(kind)
    assert translated(re.compile(one)).findall(every) == re.findall(one, every)


@pytest.mark.parametrize("expression", [r"(?a:\w)x", "(?x: a # [ \n)", "(?x)a(?i-x:#)"])
def test_flags_for_a_part_that_change_how_it_is_read_are_told_at_once(expression: str) -> None:
    with pytest.raises(UsageError, match=r"set the flags of \(\?"):
        redact(re.compile(expression))


# Holding back -----------------------------------------------------------------------------------


@given(SECRETS, st.text(ALPHABET, max_size=20))
def test_only_what_may_begin_a_secret_is_held_back(secrets: list[str], text: str) -> None:
    redactor = Redactor(needles(secrets), "***")
    shown = "".join(part for piece in text for part in redactor.feed(piece))
    held = "".join(redactor.close())
    # What is held begins as a secret does; else it would not be held, or be covered.
    begins = text[len(text) - _kept_back(text, secrets) :]
    assert held == by_the_book(begins, *secrets)
    assert shown + held == by_the_book(text, *secrets)


def _kept_back(text: str, secrets: list[str]) -> int:
    """How much of the text is undecided, by the book."""
    at = 0
    while at < len(text):
        rest = text[at:]
        if any(secret.startswith(rest) and secret != rest for secret in secrets):
            return len(rest)
        at += max((len(s) for s in secrets if rest.startswith(s)), default=1)
    return 0


@pytest.mark.parametrize(
    ("pattern", "text", "shown"),
    [
        (re.compile("sk-[0-9]{4}"), "a sk", "a "),
        (re.compile("sk-[0-9]{4}"), "a sk-12", "a "),
        (re.compile("sk-[0-9]{4}"), "a sk-12x", "a sk-12x"),
        (re.compile("sk-[0-9]{4}"), "a sk-1234", "a ***"),  # it cannot grow
        (re.compile("sk-[0-9]+"), "a sk-1234", "a "),  # it may grow
        (re.compile("sk-[0-9]+"), "a sk-1234 b", "a *** b"),
        (re.compile(r"key\b"), "the key", "the "),
        (EMAILS, "Write to bob@exa", "Write to "),
        (EMAILS, "Write to bob@example.com", "Write to "),
        (EMAILS, "Write to bob@example.com, ", "Write to ***, "),
        (EMAILS, "Write to bob @", "Write to bob @"),
        (CARDS, "Card: 4111 1111 ", "Card: "),
        (CARDS, "In 2024, ", "In 2024, "),
    ],
)
def test_an_expression_holds_what_may_match_and_no_more(
    pattern: Sought, text: str, shown: str
) -> None:
    redactor = Redactor(needles([pattern]), "***")
    assert "".join(part for piece in text for part in redactor.feed(piece)) == shown


def test_a_match_that_outgrows_its_bound_is_covered_up_with_the_rest_of_its_word() -> None:
    text = f"token sk-{'x' * 1000} and more"
    for pieces in ([text], one_by_one(text)):
        assert redacted(pieces, re.compile(r"sk-\w+"), longest=50) == "token *** and more"
    assert redacted([text], re.compile(r"sk-\w{3}"), longest=6) == f"token ***{'x' * 997} and more"


@pytest.mark.parametrize(
    "text", ["a" * 50_000, "ab" * 25_000, "sk-ant-" * 7_000, "a b@c. " * 7_000]
)
@pytest.mark.parametrize(
    ("pattern", "bound"),
    [("a" * 99 + "b", 99), (re.compile(r"\w+@"), 256), (EMAILS, 320), (KEYS, 8192)],
    ids=["string", "expression", "EMAILS", "KEYS"],
)
def test_what_is_kept_is_bounded(text: str, pattern: Sought, bound: int) -> None:
    for size in (1 if bound < 8192 else 16, 5_000, len(text)):
        redactor = Redactor(needles([pattern]), "***")
        for start in range(0, len(text), size):
            redactor.feed(text[start : start + size])
            assert redactor.kept <= bound + 1280


# In a stream of events --------------------------------------------------------------------------


def test_texts_reasoning_and_refusals_are_redacted_of_each_answer_apart() -> None:
    items = [
        Reasoning("the s3c"),
        Reasoning("ret, s"),
        Text("s3c"),
        Text("s3", choice=1),
        Usage(output=1),
        Text(""),
        Text("ret!"),
        Text("", choice=1),
        Text("cret", choice=1),
        Refusal("s3cr"),
        Refusal("et"),
        Finish(),
        Finish(choice=1),
    ]
    assert run(redact("s3cret"), items) == [
        Reasoning("the "),
        Reasoning("***, "),
        Reasoning("s"),
        Usage(output=1),
        Text(""),
        Text("***!"),
        Text("", choice=1),
        Text("***", choice=1),
        Refusal("***"),
        Finish(),
        Finish(choice=1),
    ]


def test_an_empty_piece_of_another_kind_ends_nothing() -> None:
    items = [Text("s3c"), Reasoning(""), Text("ret")]
    assert run(redact("s3cret"), items) == [Reasoning(""), Text("***")]


def test_what_is_held_comes_before_what_follows() -> None:
    call = ToolCall(name="look")
    assert run(redact("s3cret"), [Text("the s3"), call]) == [Text("the "), Text("s3"), call]
    assert run(redact("s3cret"), [Text("s3"), Finish()]) == [Text("s3"), Finish()]
    assert run(redact("s3cret"), ["the s3"]) == ["the ", "s3"]


def test_a_signature_stays_with_its_part() -> None:
    opaque = Opaque("anthropic", "sig")
    items = [Reasoning("my s3"), Reasoning("", opaque=opaque), Reasoning("cret")]
    assert run(redact("s3cret"), items) == [
        Reasoning("my "),
        Reasoning("s3", opaque=opaque),
        Reasoning("cret"),
    ]


def test_a_restart_forgets_and_a_resume_goes_on() -> None:
    restart, resume = Reset("restart"), Reset("resume")
    assert run(redact("s3cret"), [Text("s3"), restart, Text("cret")]) == [restart, Text("cret")]
    assert run(redact("s3cret"), [Text("s3"), resume, Text("cret")]) == [resume, Text("***")]


def test_an_error_comes_after_what_was_held_and_tells_no_secret() -> None:
    async def emit(pump: Pump[str]) -> None:
        await pump.send("my s3cret s3")
        raise Truncated("cut", partial="my s3cret s3")

    async def main() -> tuple[list[str], str]:
        heard: list[str] = []
        try:
            async for piece in source(emit).pipe(redact("s3cret")):
                heard.append(piece)
        except ChatError as error:
            return heard, error.partial
        return heard, "no error"

    heard, partial = run_virtual(main())
    assert "".join(heard) == partial == "my *** s3"


class Named(str):
    """A text of a kind of its own."""

    __slots__ = ()

    def __str__(self) -> str:
        return "another text"


class Said(Text, frozen=True):
    """An event of a kind of its own."""


def test_texts_of_kinds_derived_from_ours_are_redacted_too() -> None:
    shown = run(redact("s3cret"), [Named("s3cret, s3"), "cr", Named("et"), "!"])
    assert shown == ["***, ", "***", "!"]
    assert {*map(type, shown)} == {str}
    assert run(redact("s3cret"), [Said("s3cr"), Text("et"), Said("!")]) == [Text("***"), Text("!")]


def test_the_messages_between_turns_are_redacted() -> None:
    call = ToolCall(0, "1", "look", '{"a": "s3cret"}')
    said = assistant(Reasoning("s3cret"), Text("my s3cret", opaque=Opaque("x", 1)), call)
    result = tool("s3cret!", call, failed=True)
    items = [Text("s3"), Other(TOOL_RESULT, result), Other(TURN, (said, result)), Text("cret")]
    held, *told, rest = run(redact("s3cret"), items)
    hidden = tool("***!", call, failed=True)
    shown = assistant(Reasoning("***"), Text("my ***", opaque=Opaque("x", 1)), call)
    assert told == [Other(TOOL_RESULT, hidden), Other(TURN, (shown, hidden))]
    assert (held, rest) == (Text("s3"), Text("cret"))
    seam = run(redact("s3cret", arguments=True), [Other(TURN, (said,))])[0]
    assert seam.data[0].tool_calls[0].arguments == '{"a": "***"}'


def test_other_things_that_a_service_says_are_left_alone() -> None:
    items = [Other("ping", "s3cret"), Other(TURN), Other(TOOL_RESULT, "of your own: s3cret")]
    assert run(redact("s3cret"), items) == items


def test_a_cover_that_raises_for_a_message_ends_the_stream() -> None:
    with pytest.raises(CallbackFailed):
        run(redact("a", with_=lambda match: match["b"]), [Other(TOOL_RESULT, tool("a"))])


ARGUMENTS = '{"note": "my \\"s3cret\\"\\n\\u0073\\u0033cret 😀", "card": 4111111111111111, "n": 1}'


def test_tool_calls_are_left_alone_unless_asked_for() -> None:
    call = ToolCall(0, "1", "save", ARGUMENTS)
    assert run(redact("s3cret"), [call]) == [call]


@given(cuts(ARGUMENTS))
def test_arguments_are_redacted_and_stay_json(pieces: list[str]) -> None:
    calls = [ToolCall(0, "1", "save"), *(ToolCall(arguments=piece) for piece in pieces), Finish()]
    *shown, finish = run(redact("s3cret", CARDS, arguments=True), calls)
    assert finish == Finish()
    assert json.loads("".join(call.arguments for call in shown)) == {
        "note": 'my "***"\n*** 😀',
        "card": "***",
        "n": 1,
    }


def test_a_new_id_begins_a_new_call_and_indexes_are_apart() -> None:
    calls = [
        ToolCall(0, "1", "f", '{"a": "s3c'),
        ToolCall(1, "2", "f", '{"a": "s3c'),
        ToolCall(0, arguments='ret"}'),
        ToolCall(0, "3", "f", '{"a": "ret"}'),
        ToolCall(1, arguments='ret"}'),
    ]
    shown = run(redact("s3cret", arguments=True), calls)
    assert "".join(call.arguments for call in shown if call.index == 1) == '{"a": "***"}'
    first = "".join(call.arguments for call in shown if call.index == 0)
    assert first == '{"a": "***"}{"a": "ret"}'


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


class Upper:
    """A shaper that is easily foretold."""

    over = None

    def feed(self, text: str, /) -> list[str]:
        return [text.swapcase()]

    def close(self) -> list[str]:
        return []


def swapped(value: Any) -> Any:
    if isinstance(value, str):
        return value.swapcase()
    if isinstance(value, list):
        return [*map(swapped, value)]
    return {swapped(k): swapped(v) for k, v in value.items()} if isinstance(value, dict) else value


@given(JSON, st.booleans(), st.data())
def test_any_json_stays_json_whatever_is_done_to_its_texts(
    value: Any, escaped: bool, data: st.DataObject
) -> None:
    text = json.dumps(value, ensure_ascii=escaped)
    quoted = Quoted(Upper())
    shown = "".join(part for piece in data.draw(cuts(text)) for part in quoted.feed(piece))
    shown += "".join(quoted.close())
    assert _strings(json.loads(shown)) == _strings(swapped(value))


def _strings(value: Any) -> Any:
    """The value with what is no text as the text that `Upper` may have made of it."""
    if isinstance(value, list):
        return [*map(_strings, value)]
    if isinstance(value, dict):
        return {key: _strings(inner) for key, inner in value.items()}
    return value if isinstance(value, str) else json.dumps(value).swapcase()


@pytest.mark.parametrize(
    "text", ['{"a": "\\x \\uZZ \\ud83d', '"\\ud83d\\u0041\\udc00"', '"\\', '"']
)
def test_json_that_is_broken_stays_what_it_is_at_any_cut(text: str) -> None:
    def shown(pieces: list[str]) -> str:
        quoted = Quoted(Redactor(needles(["s3cret"]), "***"))
        return "".join([*(p for piece in pieces for p in quoted.feed(piece)), *quoted.close()])

    assert shown(one_by_one(text)) == shown([text])


# What is put in its place -----------------------------------------------------------------------


def test_a_function_makes_the_cover_of_the_match() -> None:
    keep_last = lambda match: "*" * (len(match[0]) - 4) + match[0][-4:]  # noqa: E731  # as users do
    assert (
        redacted(one_by_one("Key sk-123456."), re.compile(r"sk-\d+"), with_=keep_last)
        == "Key *****3456."
    )
    assert redacted(["a s3cret"], "s3cret", with_=lambda match: match[0].upper()) == "a S3CRET"


def test_a_cover_is_put_in_as_it_is() -> None:
    assert redacted(["a1b"], re.compile(r"(\d)"), with_=r"\1\g<0>") == r"a\1\g<0>b"


def test_a_function_that_raises_ends_the_stream() -> None:
    def bug(match: re.Match[str]) -> str:
        raise KeyError("bug")

    with pytest.raises(CallbackFailed, match="KeyError"):
        run(redact("a", with_=bug), ["abc"])


@pytest.mark.parametrize(
    ("secret", "cover"), [("secret", ""), ("**", "***"), ("a*", "***"), ("]x", "[]"), ("x[", "[]")]
)
def test_a_cover_that_could_help_to_spell_a_secret_is_refused(secret: str, cover: str) -> None:
    with pytest.raises(UsageError, match="could spell"):
        redact(secret, with_=cover)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: redact(),
        lambda: redact(""),
        lambda: redact(re.compile("x*")),
        lambda: redact(re.compile(b"x")),
        lambda: redact(7),
        lambda: redact("a", with_=7),
        lambda: redact(re.compile("x"), longest=0),
    ],
)
def test_what_cannot_be_redacted_is_told_at_once(wrong: Callable[[], object]) -> None:
    with pytest.raises(UsageError):
        wrong()


def test_strings_need_no_library_and_expressions_say_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "regex", None)
    redact("a string")
    with pytest.raises(UsageError, match=r"rxchat\[text\]"):
        redact(re.compile("x"))


# Ready patterns ---------------------------------------------------------------------------------

PEM = (
    "-----BEGIN RSA PRIVATE KEY-----\n"
    + "MIIEowIBAAKCAQEA" * 4
    + "\n"
    + "abcd" * 16
    + "\nQ==\n-----END RSA PRIVATE KEY-----"
)

FOUND = [
    *[
        (KEYS, key)
        for key in (
            "sk-proj-Ab3dEf6hIj9lMn2pQr5t",
            "sk-ant-api03-Ab3dEf6hIj9lMn2pQr5t-xyz_AA",
            "AIzaSyA1234567890abcdefghijklmnopqrstuv",
            "AKIAIOSFODNN7EXAMPLE",
            "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
            "github_pat_11ABCDEFG0abcdefghijkl_mnopqrst",
            "xoxb-2345678901-abcdefGHIJKL",
            "hf_abcdefghijklmnopqrstuvwxyzABCDEFGH",
            "sk_" + "live_4eC39HqLyjWDarjtT1zdp7dc",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
            "Bearer abcdef0123456789abcdef",
            PEM,
            PEM.replace("\n", "\\n"),
        )
    ],
    *[
        (EMAILS, mail)
        for mail in ("bob@example.com", "a.b+c@mail.example.co.uk", "ü@bücher.example")
    ],
    *[
        (CARDS, card)
        for card in (
            "4111111111111111",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "4111 1111 1111 1111 123",
            "378282246310005",
            "3782 822463 10005",
            "5555555555554444",
        )
    ],
    *[
        (PHONES, phone)
        for phone in (
            "+49 30 901820",
            "+1 (415) 555-2671",
            "+44 (0)20 7946 0958",
            "0049 171 1234567",
            "(415) 555-2671",
            "415-555-2671",
            "030 1234567",
            "06 12 34 56 78",
            "(030) 1234 567",
            "01711234567",
        )
    ],
    *[
        (IPS, address)
        for address in ("192.168.0.1", "2001:db8::1", "fe80::1ff:fe23:4567:890a", "::ffff:10.0.0.1")
    ],
    *[(IBANS, iban) for iban in ("DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432")],
]


@pytest.mark.parametrize(
    ("pattern", "secret"), FOUND, ids=lambda x: x if isinstance(x, str) else ""
)
def test_a_ready_pattern_covers_it_up_wherever_it_stands(pattern: Pattern, secret: str) -> None:
    for before, after in (
        ("", ""),
        ("It is ", ", I think."),
        ("(", ")"),
        ("a\n", "\nb"),
        ("is: ", "."),
    ):
        text = f"{before}{secret}{after}"
        for pieces in ([text], one_by_one(text), [text[: len(text) // 2], text[len(text) // 2 :]]):
            assert redacted(pieces, pattern) == f"{before}***{after}"


LEFT_ALONE = [
    (KEYS, "A risk-based and task-oriented sk-learn; the bearer authentication-mechanism."),
    (KEYS, "The bearer of this letter, keyboard, AKIA, ghp_, -----BEGIN CERTIFICATE-----"),
    (EMAILS, "Meet me @ noon, @bob; a@b, 5@5.5 and price@ 3.50"),
    (CARDS, "4111111111111112, 1234567890123456, 0000000000000000, 2024-01-15 12:30:45.123456"),
    (CARDS, "Pi is 3.14159265358979323846"),
    (PHONES, "On 01-02-2024 or 2024-01-15, at 12:30, version 10.2.3, pages 100-200"),
    (PHONES, "1,000,000 people; 3.14159265358979; 007; 12 345 678; 2001:db8::1"),
    (IPS, "At 12:30:45, std::vector, a::b, version 1.2.3, 300.1.1.1, 1.2.3.4.5"),
    (IBANS, "DE89 3704 0044 0532 0130 01; AB12 is a code; HTTP1 CONTENT LENGTH"),
]


@pytest.mark.parametrize(("pattern", "text"), LEFT_ALONE)
def test_a_ready_pattern_leaves_other_things_alone(pattern: Pattern, text: str) -> None:
    assert redacted(one_by_one(text), pattern) == redacted([text], pattern) == text


@given(
    st.lists(st.sampled_from([secret for _, secret in FOUND] + [*"a1 .-@:+\n"]), max_size=6),
    st.data(),
)
def test_all_ready_patterns_together_are_the_same_at_any_cut(
    words: list[str], data: st.DataObject
) -> None:
    text = "".join(words)
    every = (KEYS, EMAILS, CARDS, PHONES, IPS, IBANS)
    assert redacted(data.draw(cuts(text)), *every) == redacted([text], *every)


def test_the_name_of_a_pattern_is_not_the_pattern() -> None:
    with pytest.raises(UsageError, match=r"did you mean ops\.EMAILS"):
        redact("EMAILS")
