"""What we say: parts, images, calls and their answers, and the reply that goes back."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxchat import Image, Message, assistant, image, reply, system, tool, user
from rxchat.errors import UsageError
from rxchat.events import (
    Event,
    Finish,
    Opaque,
    Other,
    Reasoning,
    Refusal,
    Reset,
    Start,
    Text,
    ToolCall,
    Usage,
)
from rxchat.messages import format_prompt, messages, paired

PNG = b"\x89PNG\r\n\x1a\n"
SEAL = Opaque("anthropic", {"signature": "abc"})

CALLED = assistant(ToolCall(0, "y", "g", "{}"))

# A message is text, or parts -------------------------------------------------------------------


def test_text_alone_is_text_however_it_is_said() -> None:
    said = Message("user", "Hi")
    assert user("Hi") == Message("user", ["Hi"]) == Message("user", (Text("Hi"),)) == said
    assert said.content == said.text == "Hi"
    assert said.parts == (Text("Hi"),)
    assert user() == user("")
    assert user("").parts == ()


def test_a_signed_text_alone_keeps_its_signature() -> None:
    assert assistant(Text("Hi", opaque=SEAL)).parts == (Text("Hi", opaque=SEAL),)


def test_a_message_of_parts_knows_its_text_and_its_calls() -> None:
    call = ToolCall(0, "a", "now", "{}")
    said = assistant(Reasoning("Hm."), "Wait", " a moment.", call)
    assert said.text == "Wait a moment."
    assert said.tool_calls == (call,)


@pytest.mark.parametrize(
    ("role", "part"),
    [
        ("user", Reasoning("Hm.")),
        ("user", ToolCall()),
        ("system", Image("https://x/a.png")),
        ("assistant", Image("https://x/a.png")),
        ("tool", Image("https://x/a.png")),
        ("user", 3),
        ("user", None),
        ("assistant", Finish()),
    ],
)
def test_nobody_says_what_is_not_theirs(role: str, part: Any) -> None:
    with pytest.raises(TypeError, match=f"a message of role '{role}' is made of"):
        Message(role, ["Hi", part])


def test_only_a_tools_message_answers_a_call() -> None:
    with pytest.raises(ValueError, match="only a tool's message"):
        Message("user", "Hi", call="call_1")


@pytest.mark.parametrize("result", ["18 °C", {"celsius": 18}, [1, None], 3.5, True, None])
def test_what_a_tool_gives_is_text_or_else_json(result: object) -> None:
    said = tool(result, ToolCall(0, "call_1", "weather"))
    assert (said.call, said.name, said.failed) == ("call_1", "weather", False)
    assert said.text == result or json.loads(said.text) == result
    assert tool("no such city", "call_1", failed=True).failed


# Images ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"RIFF\n\n\n\nWEBPVP8 ", "image/webp"),
    ],
)
def test_bytes_tell_what_picture_they_are(data: bytes, media_type: str, tmp_path: Path) -> None:
    file = tmp_path / "picture"
    file.write_bytes(data)
    shown = image(data)
    assert shown.media_type == media_type
    assert image(file) == image(shown.data_url) == shown
    assert base64.b64decode(shown.base64) == data


def test_an_address_stays_one() -> None:
    assert image("https://example.com/a.png").data_url == "https://example.com/a.png"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("cat.png", "pathlib.Path"),
        ("file:///etc/passwd", "pathlib.Path"),
        (b"BM....", "no PNG, JPEG, GIF or WebP"),
        (b"", "no PNG, JPEG, GIF or WebP"),
        ("data:image/png;base64,???", "Only base64 data is allowed"),
    ],
)
def test_what_is_no_picture_is_refused(source: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        image(source)


@pytest.mark.parametrize(
    "fields",
    [{}, {"url": "https://x/a.png", "data": b"x"}, {"data": b"x"}, {"url": "data:image/png,x"}],
)
def test_an_image_is_an_address_or_bytes_of_a_type(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="image"):
        Image(**fields)


def test_a_picture_does_not_fill_the_screen() -> None:
    assert repr(image(PNG + bytes(10**6))) == (
        "Image(url='', data=<1000008 bytes>, media_type='image/png')"
    )


# A prompt as OpenAI's clients have it ------------------------------------------------------------


def test_fields_of_null_say_nothing() -> None:
    dumped = {"role": "assistant", "content": None, "refusal": None, "tool_calls": None}
    assert messages(dumped) == (assistant(),)


def test_a_mapping_may_have_parts_and_calls_and_answers() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "now", "arguments": "{}"}}
    said = messages(
        [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Who is this?"},
                    {"type": "image_url", "image_url": {"url": "https://x/a.png"}},
                ],
            },
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "noon"},
        ]
    )
    assert said == (
        system("Be brief."),
        user("Who is this?", image("https://x/a.png")),
        assistant(ToolCall(0, "call_1", "now", "{}")),
        tool("noon", "call_1"),
    )


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ({"role": "user"}, "'content'"),
        ({"role": "user", "content": None}, "content is text"),
        ({"role": "user", "content": [{"type": "video"}]}, "a part is"),
        ({"role": "user", "content": [{"type": "text"}]}, "a part is"),
        ({"role": "user", "content": [{"type": "text", "text": "", "cache": 1}]}, "a part is"),
        (
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": "x", "detail": "low"}}],
            },
            "a part is",
        ),
        ({"role": "assistant", "content": "", "tool_calls": [{"id": "1"}]}, "a tool call is"),
        ({"role": "user", "content": "", "tool_call_id": "1"}, "not .'tool_call_id'"),
        ({"role": "nobody", "content": ""}, "unknown role"),
        ([], "the prompt is empty"),
        ([3], "a prompt is"),
        (3, "a prompt is"),
    ],
)
def test_a_prompt_that_cannot_be_read_says_why(prompt: Any, said: str) -> None:
    with pytest.raises((ValueError, TypeError), match=said):
        messages(prompt)


# What the model said, to go back -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([], assistant()),
        ([Start(), Text("Hel"), Text("lo"), Usage(), Finish()], assistant("Hello")),
        (
            [Reasoning("Hm"), Reasoning("."), Text("Yes")],
            assistant(Reasoning("Hm."), "Yes"),
        ),
        ([Text("a"), Reasoning("b"), Text("c")], assistant("a", Reasoning("b"), "c")),
        ([Refusal("I "), Refusal("cannot")], assistant(Refusal("I cannot"))),
        ([Text("a"), Reset(), Text("b")], assistant("b")),
        ([ToolCall(0, "x", "f", "{"), Reset(), Text("b")], assistant("b")),
        ([Text("a"), Text("other", choice=1)], assistant("a")),
        ([Text("a"), Other("block", 1, SEAL, choice=1)], assistant("a")),
        ([ToolCall(0, "x", "f", "1"), Reset(), ToolCall(0, "y", "g")], CALLED),
        ([Other("ping"), Text("a")], assistant("a")),
    ],
)
def test_a_reply_is_what_was_said(events: list[Event], message: Message) -> None:
    assert reply(events) == message


@pytest.mark.parametrize("texts", ["Hello", ["Hel", "lo"]])
def test_a_reply_is_made_of_events_and_texts_are_refused(texts: Any) -> None:
    with pytest.raises(UsageError, match=r"before ops\.text\(\).*rxchat\.assistant\(text\)"):
        reply(texts)


def test_a_reply_may_be_of_another_choice() -> None:
    events = [Text("a"), Text("b", 1), ToolCall(0, "x", "f", "1", 1)]
    assert reply(events, choice=1) == assistant("b", ToolCall(0, "x", "f", "1"))


def test_the_pieces_of_a_call_are_put_together_also_when_they_are_mixed() -> None:
    events = [
        ToolCall(0, "a", "f", '{"x'),
        ToolCall(1, "b", "g"),
        ToolCall(0, arguments='": 1}'),
        Text("and"),
    ]
    assert reply(events) == assistant(
        ToolCall(0, "a", "f", '{"x": 1}'), ToolCall(1, "b", "g", "{}"), "and"
    )


def test_a_call_without_arguments_has_an_empty_object() -> None:
    assert reply([ToolCall(0, "a", "f"), ToolCall(0, arguments=" ")]).tool_calls == (
        ToolCall(0, "a", "f", "{}"),
    )


def test_what_is_opaque_stands_alone_and_stays_where_it_was() -> None:
    events = [
        Reasoning("a"),
        Reasoning("", opaque=SEAL),
        Reasoning("b"),
        Other("block", 1, opaque=SEAL),
        Text("c", opaque=SEAL),
        Text("d"),
        ToolCall(0, "x", "f", "{}", opaque=SEAL),
    ]
    assert reply(events).parts == tuple(events)


TEXTS = st.builds(Text, st.text(max_size=3))
THOUGHTS = st.builds(Reasoning, st.text(max_size=3), opaque=st.none() | st.just(SEAL))


@given(st.lists(TEXTS | THOUGHTS))
def test_a_reply_said_again_is_the_same_reply(events: list[Event]) -> None:
    said = reply(events)
    assert reply(list(said.parts)) == said
    assert said.text == "".join(event.text for event in events if isinstance(event, Text))


# Calls and their answers -------------------------------------------------------------------------


def test_calls_without_ids_get_one_each_and_their_answers_the_same() -> None:
    turn = assistant(ToolCall(0, "", "f", "{}"), ToolCall(1, "", "g", "{}"))
    said = paired([turn, tool("1"), tool("2"), user("Again"), turn, tool("3"), tool("4")])
    ids = [call.id for message in said for call in message.tool_calls]
    assert ids == ["call_0", "call_1", "call_2", "call_3"]
    assert [(m.call, m.name) for m in said if m.role == "tool"] == [
        ("call_0", "f"),
        ("call_1", "g"),
        ("call_2", "f"),
        ("call_3", "g"),
    ]


def test_an_answer_finds_its_call_by_its_id_or_its_name() -> None:
    turn = assistant(ToolCall(0, "x", "f", "{}"), ToolCall(1, "", "g", "{}"))
    by_name = tool("2", ToolCall(1, "", "g"))
    said = paired([turn, by_name, tool("1", "x")])
    assert [(m.call, m.name) for m in said[1:]] == [("call_0", "g"), ("x", "f")]


def test_ids_that_are_the_same_or_taken_are_told_apart() -> None:
    same = assistant(ToolCall(0, "0", "f", "{}"), ToolCall(1, "0", "g", "{}"))
    said = paired([same, tool("1", "0"), tool("2", ToolCall(1, "0", "g"))])
    assert [call.id for call in said[0].tool_calls] == ["0", "call_0"]
    assert [(m.call, m.name) for m in said[1:]] == [("0", "f"), ("call_0", "g")]

    taken = assistant(ToolCall(0, "", "f", "{}"), ToolCall(1, "call_0", "g", "{}"))
    said = paired([taken, tool("1"), tool("2", "call_0")])
    assert [(m.call, m.name) for m in said[1:]] == [("call_1", "f"), ("call_0", "g")]


@pytest.mark.parametrize(
    "conversation",
    [
        [tool("1")],
        [user("Hi"), tool("1", "x")],
        [assistant(ToolCall(0, "x", "f")), tool("1", "y")],
        [assistant(ToolCall(0, "x", "f")), tool("1", "x"), tool("2", "x")],
        [assistant(ToolCall(0, "", "f")), tool("1", ToolCall(0, "", "g"))],
    ],
)
def test_an_answer_to_no_call_is_refused(conversation: list[Message]) -> None:
    with pytest.raises(ValueError, match="answers no call"):
        paired(conversation)


def test_a_conversation_folds_into_one_text() -> None:
    assert format_prompt([user("a", image("https://x/a.png"))]) == "a"
    assert format_prompt([system("a"), user("b")]) == "System: a\nUser: b\nAssistant:"
