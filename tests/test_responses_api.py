"""OpenAI's Responses: what is particular to them. What holds for all formats is tested there."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

import rxchat
from hearing import hear
from rxchat.errors import (
    ChatError,
    EmptyAnswer,
    InvalidPrompt,
    QuotaExhausted,
    RateLimited,
    ServerError,
    ServiceError,
    Truncated,
    UnknownOption,
    UsageError,
)
from rxchat.events import (
    Event,
    Finish,
    Opaque,
    Other,
    Reasoning,
    Refusal,
    Start,
    Text,
    ToolCall,
    Usage,
)
from rxchat.messages import Image, Message
from rxchat.providers import openai, openai_responses
from rxchat.providers.responses_api import RESPONSES
from rxchat.testing import LocalServer, Reply

CALL = ToolCall(0, "call_1", "weather", '{"city":"Oslo"}')
CLOSED = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
THOUGHT = {"type": "reasoning", "summary": [], "encrypted_content": "gAAAA"}


def ours(data: Any) -> Opaque:
    return Opaque("openai_responses", data)


def body_of(prompt: Any = "Hi", **options: Any) -> dict[str, Any]:
    body: dict[str, Any] = openai_responses.request(prompt, **options).json
    return body


def input_of(*prompt: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = body_of(prompt)["input"]
    return items


def heard(*said: dict[str, Any] | str) -> tuple[list[Event], ChatError | None]:
    lines = [one if isinstance(one, str) else json.dumps(one) for one in said]
    return hear(RESPONSES, ["".join(f"data: {line}\n\n" for line in lines).encode()])


def response(kind: str, **facts: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", "response": {"status": kind, **facts}}


def event(kind: str, at: Any = 0, **facts: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", "output_index": at, **facts}


CREATED = {"type": "response.created", "response": {"id": "resp_1", "model": "gpt"}}
DONE = response("completed")
STARTED, STOPPED = Start("gpt", "resp_1"), Finish("stop", "completed")


def content_of(*said: dict[str, Any] | str) -> list[Event]:
    """What is heard between a right beginning and a right end."""
    events, error = heard(CREATED, *said, DONE)
    assert error is None
    assert events[0] == STARTED
    assert isinstance(events[-1], Finish)
    return events[1:-1]


# What goes ---------------------------------------------------------------------------------------


def test_the_request_is_a_stateless_one() -> None:
    request = openai_responses.but(key="sk-1").request("Hi")
    assert (request.method, request.url) == ("POST", "https://api.openai.com/v1/responses")
    assert request.headers["authorization"] == "Bearer sk-1"
    assert request.json == {
        "model": openai.model,
        "input": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "store": False,
    }


def test_an_organization_and_a_project_stand_in_the_headers_as_in_chat_completions() -> None:
    headers = openai_responses.request("Hi", organization="org-1", project="proj_1").headers
    assert headers["OpenAI-Organization"] == "org-1"
    assert headers["OpenAI-Project"] == "proj_1"
    assert openai_responses.auth == openai.auth


def test_a_rich_conversation_is_a_list_of_items() -> None:
    search = {"type": "web_search_call", "status": "completed", "action": {}}
    assert input_of(
        rxchat.system("Be brief."),
        Message("developer", "No verse."),
        rxchat.user(
            "Look:", Image(url="https://x/cat.png"), Image(data=b"x", media_type="image/gif")
        ),
        rxchat.assistant(
            Reasoning("Hm."),
            Reasoning("", opaque=ours(THOUGHT)),
            Other("response.output_item.done", {}, ours(search)),
            Other("phase", "commentary", ours({"phase": "commentary"})),
            "I will ask.",
            CALL,
            ToolCall(1, "call_2", "time"),
        ),
        rxchat.tool("18 °C", CALL),
        rxchat.tool("no clock", "call_2", failed=True),
        rxchat.assistant("18 °C. But ", Refusal("I cannot.")),
        "Thanks",
    ) == [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": "No verse."},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Look:"},
                {"type": "input_image", "image_url": "https://x/cat.png", "detail": "auto"},
                {
                    "type": "input_image",
                    "image_url": "data:image/gif;base64,eA==",
                    "detail": "auto",
                },
            ],
        },
        THOUGHT,
        search,
        {"role": "assistant", "content": "I will ask.", "phase": "commentary"},
        {
            "type": "function_call",
            "call_id": "call_1",
            "name": "weather",
            "arguments": '{"city":"Oslo"}',
        },
        {"type": "function_call", "call_id": "call_2", "name": "time", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "18 °C"},
        {"type": "function_call_output", "call_id": "call_2", "output": "Error: no clock"},
        {
            "role": "assistant",
            "content": [
                {"type": "output_text", "text": "18 °C. But "},
                {"type": "refusal", "refusal": "I cannot."},
            ],
        },
        {"role": "user", "content": "Thanks"},
    ]


def test_what_others_want_back_is_not_sent_to_us() -> None:
    theirs = Opaque("anthropic_messages", {"type": "thinking", "signature": "S1"})
    turn = rxchat.assistant(Reasoning("Hm.", opaque=theirs), Text("Hello", opaque=theirs))
    assert input_of("Hi", turn)[1:] == [{"role": "assistant", "content": "Hello"}]


def test_a_phase_is_of_the_text_that_follows_it_alone() -> None:
    phase = Other("phase", "commentary", ours({"phase": "commentary"}))
    assert input_of(rxchat.assistant(phase, "One.", CALL, "Two."), rxchat.tool("x", CALL)) == [
        {"role": "assistant", "content": "One.", "phase": "commentary"},
        {
            "type": "function_call",
            "call_id": "call_1",
            "name": "weather",
            "arguments": '{"city":"Oslo"}',
        },
        {"role": "assistant", "content": "Two."},
        {"type": "function_call_output", "call_id": "call_1", "output": "x"},
    ]


PLACES = [
    ({"temperature": 0.5}, {"temperature": 0.5}),
    ({"top_p": 0.5}, {"top_p": 0.5}),
    ({"max_tokens": 77}, {"max_output_tokens": 77}),
    (
        {"reasoning": "low"},
        {
            "reasoning": {"effort": "low", "summary": "auto"},
            "include": ["reasoning.encrypted_content"],
        },
    ),
    ({"reasoning": "none"}, {"reasoning": {"effort": "none"}}),
    ({"reasoning": 0}, {"reasoning": {"effort": "none"}}),
    (
        {"reasoning": "low", "extra": {"reasoning": {"summary": None}, "include": []}},
        {"reasoning": {"effort": "low", "summary": None}, "include": []},
    ),
    (
        {"schema": CLOSED},
        {
            "text": {
                "format": {
                    "type": "json_schema",
                    "name": "answer",
                    "schema": CLOSED,
                    "strict": True,
                }
            }
        },
    ),
    (
        {"schema": {"type": "object"}, "extra": {"text": {"verbosity": "low"}}},
        {
            "text": {
                "format": {
                    "type": "json_schema",
                    "name": "answer",
                    "schema": {"type": "object"},
                    "strict": False,
                },
                "verbosity": "low",
            }
        },
    ),
    ({"extra": {"store": True}}, {"store": True}),
]


@pytest.mark.parametrize(("options", "place"), PLACES, ids=repr)
def test_an_option_has_its_place(options: dict[str, Any], place: dict[str, Any]) -> None:
    assert body_of(**options) == body_of() | place


STRICT = [(CLOSED, True), ({"type": "object", "properties": {}}, False)]


@pytest.mark.parametrize(("schema", "strict"), STRICT)
def test_a_tool_is_flat_and_says_whether_it_is_strict(schema: dict[str, Any], strict: bool) -> None:
    tool = rxchat.Tool("time", "Tell the time.", schema)
    assert body_of(tools=[tool])["tools"] == [
        {
            "type": "function",
            "name": "time",
            "description": "Tell the time.",
            "parameters": schema,
            "strict": strict,
        }
    ]


CHOICES = [
    ("auto", "auto"),
    ("none", "none"),
    ("required", "required"),
    ("time", {"type": "function", "name": "time"}),
]


@pytest.mark.parametrize(("choice", "told"), CHOICES)
def test_a_tool_is_chosen_by_a_word_or_its_name(choice: str, told: Any) -> None:
    assert body_of(tools=[rxchat.Tool("time")], tool_choice=choice)["tool_choice"] == told


REFUSED = [
    ({"stop": ["END"]}, UnknownOption, "stop"),
    ({"seed": 1}, UnknownOption, "seed"),
    ({"n": 2}, UnknownOption, "'n'"),
    ({"reasoning": 1024}, UsageError, "effort"),
]


@pytest.mark.parametrize(("options", "error", "words"), REFUSED)
def test_what_responses_cannot_carry_is_refused(
    options: dict[str, Any], error: type[ChatError], words: str
) -> None:
    with pytest.raises(error, match=words):
        body_of(**options)


def test_an_answer_to_no_call_is_refused() -> None:
    with pytest.raises(InvalidPrompt, match="answers no call"):
        input_of("Hi", rxchat.tool("x", "call_9"))


# What comes: items -------------------------------------------------------------------------------

MESSAGE = {"type": "message", "content": [{"type": "output_text", "text": "Hello"}]}
FUNCTION = {"type": "function_call", "call_id": "call_1", "name": "weather"}
ASKED = [ToolCall(0, "call_1", "weather"), ToolCall(0, arguments="{}")]

# The same answer, as it is told by hosts that leave out this or that.
TOLD = {
    "text by deltas": (
        [
            event("output_text.delta", content_index=0, delta="Hello"),
            event("output_text.done", content_index=0, text="Hello"),
            event("content_part.done", content_index=0, part=MESSAGE["content"][0]),
            event("output_item.done", item=MESSAGE),
        ],
        [Text("Hello")],
    ),
    "text at its end": ([event("output_text.done", content_index=0, text="Hello")], [Text("Hello")]),
    "a part at its end": (
        [event("content_part.done", content_index=0, part=MESSAGE["content"][0])],
        [Text("Hello")],
    ),
    "an item at its end": ([event("output_item.done", item=MESSAGE)], [Text("Hello")]),
    "one part by deltas, another at its end": (
        [
            event("output_text.delta", content_index=0, delta="Hel"),
            event(
                "output_item.done",
                item={"type": "message", "content": [
                    {"type": "output_text", "text": "Hel"}, {"type": "output_text", "text": "lo"}
                ]},
            ),
        ],
        [Text("Hel"), Text("lo")],
    ),
    "a refusal": (
        [
            event("refusal.delta", content_index=0, delta="No"),
            event("refusal.done", content_index=0, refusal="No"),
        ],
        [Refusal("No")],
    ),
    "a refusal at its end": ([event("refusal.done", content_index=0, refusal="No")], [Refusal("No")]),
    "arguments by deltas": (
        [
            event("output_item.added", item={**FUNCTION, "arguments": ""}),
            event("function_call_arguments.delta", delta="{}"),
            event("function_call_arguments.done", arguments="{}"),
            event("output_item.done", item={**FUNCTION, "arguments": "{}"}),
        ],
        ASKED,
    ),
    "arguments at their end": (
        [
            event("output_item.added", item={**FUNCTION, "arguments": "{}"}),
            event("function_call_arguments.done", arguments="{}"),
        ],
        ASKED,
    ),
    "a call at its end": ([event("output_item.done", item={**FUNCTION, "arguments": "{}"})], ASKED),
    "arguments that are no text": (
        [event("output_item.done", item={**FUNCTION, "arguments": {}, "input": {"a": 1}})],
        [ToolCall(0, "call_1", "weather"), ToolCall(0, arguments='{"a":1}')],
    ),
    "a call without arguments": ([event("output_item.done", item=FUNCTION)], ASKED[:1]),
}  # fmt: skip


@pytest.mark.parametrize(("said", "expected"), TOLD.values(), ids=TOLD)
def test_what_is_said_is_given_once(said: list[dict[str, Any]], expected: list[Event]) -> None:
    assert content_of(*said) == expected


def test_an_answer_may_be_in_the_last_event_alone() -> None:
    output = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
        MESSAGE,
        {**FUNCTION, "arguments": "{}"},
    ]
    assert heard(response("completed", output=output)) == (
        [Start(), Reasoning("Hm."), Text("Hello"), *ASKED, Finish("tool_calls", "completed")],
        None,
    )


def test_the_last_event_says_nothing_again_whatever_it_counts() -> None:
    said = event("output_text.delta", 1, content_index=0, delta="Hello")
    events, error = heard(CREATED, said, response("completed", output=[MESSAGE]))
    assert (events, error) == ([STARTED, Text("Hello"), STOPPED], None)


# The last event has all: whatever was told before it is not told again, and the rest is.
REASON = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}
HIDDEN = {"type": "reasoning", "summary": [], "encrypted_content": "gAAAA"}
ENCRYPTED = Reasoning("", opaque=ours(HIDDEN))
ARGUED = {**FUNCTION, "arguments": "{}"}
OTHER = {"type": "function_call", "call_id": "call_2", "name": "time", "arguments": "[]"}
ASKED_TOO = [ToolCall(1, "call_2", "time"), ToolCall(1, arguments="[]")]
SEARCH = {"type": "web_search_call", "status": "completed"}
HELLO = event("output_text.delta", content_index=0, delta="Hello")
HM = event("reasoning_summary_text.delta", summary_index=0, delta="Hm.")
ADDED = event("output_item.added", item=FUNCTION)


def at(index: Any, said: dict[str, Any]) -> dict[str, Any]:
    """What is said, of another item; None for one whose index is not told."""
    rest = {name: value for name, value in said.items() if name != "output_index"}
    return rest if index is None else rest | {"output_index": index}


def searched(index: int, step: str = "done") -> Other:
    item = {"output_index": index, "item": SEARCH}
    name = f"response.output_item.{step}"
    return Other(name, {"type": name, **item}, ours(SEARCH))


LAST: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]], list[Event]]] = {
    "a thought was told, the text was not": (
        [HM],
        [REASON, MESSAGE],
        [Reasoning("Hm."), Text("Hello")],
    ),
    "a call was told but for its arguments": ([ADDED], [ARGUED], ASKED),
    "one call was told, another was not": (
        [event("output_item.done", item=ARGUED)],
        [ARGUED, OTHER],
        [*ASKED, *ASKED_TOO],
    ),
    "a call was told, the text was not": (
        [event("output_item.done", item=ARGUED)],
        [ARGUED, MESSAGE],
        [*ASKED, Text("Hello")],
    ),
    "one message was told, another was not": (
        [HELLO],
        [MESSAGE, MESSAGE],
        [Text("Hello"), Text("Hello")],
    ),
    "a message was announced": (
        [event("output_item.added", item=MESSAGE | {"content": []})],
        [MESSAGE],
        [Text("Hello")],
    ),
    "a thought was told, what hides in it was not": (
        [HM],
        [REASON | HIDDEN | {"summary": REASON["summary"]}],
        [Reasoning("Hm."), Reasoning("", opaque=ours(REASON | HIDDEN | {"summary": REASON["summary"]}))],
    ),
    "what hides in a thought was told": (
        [event("output_item.done", item=HIDDEN)],
        [HIDDEN, MESSAGE],
        [ENCRYPTED, Text("Hello")],
    ),
    "what a tool of the service did was told": (
        [event("output_item.done", item=SEARCH)],
        [SEARCH, MESSAGE],
        [searched(0), Text("Hello")],
    ),
    "the text was told, under another index": (
        [at(1, HELLO)],
        [MESSAGE],
        [Text("Hello")],
    ),
    "a thought and the text were told, the thought is no longer there": (
        [HM, at(1, HELLO)],
        [MESSAGE],
        [Reasoning("Hm."), Text("Hello")],
    ),
    "calls were told, under other indexes": (
        [at(3, ADDED), event("output_item.done", 5, item=OTHER)],
        [ARGUED, OTHER],
        [ASKED[0], *ASKED_TOO, ASKED[1]],
    ),
    "a search was told, under another index": (
        [event("output_item.done", 4, item=SEARCH)],
        [SEARCH, MESSAGE],
        [searched(4), Text("Hello")],
    ),
    "all were told under one index": (
        [HM, HELLO, ADDED, event("output_item.added", item=OTHER | {"arguments": ""})],
        [REASON, MESSAGE, ARGUED, OTHER],
        [Reasoning("Hm."), Text("Hello"), ASKED[0], ASKED_TOO[0], ASKED[1], ASKED_TOO[1]],
    ),
    "all were told without an index": (
        [
            at(None, it)
            for it in (
                HM,
                HELLO,
                event("output_item.done", item=MESSAGE),
                event("output_item.done", item=ARGUED),
                event("output_item.done", item=OTHER),
            )
        ],
        [REASON, MESSAGE, ARGUED, OTHER],
        [Reasoning("Hm."), Text("Hello"), *ASKED, *ASKED_TOO],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("said", "output", "expected"), LAST.values(), ids=LAST)
def test_the_last_event_tells_what_nobody_has_told(
    said: list[dict[str, Any]], output: list[dict[str, Any]], expected: list[Event]
) -> None:
    events, error = heard(CREATED, *said, response("completed", output=output))
    assert (events[1:-1], error) == (expected, None)


MESSAGES = [
    event("output_item.added", item=MESSAGE | {"content": []}),
    HELLO,
    event("output_text.done", content_index=0, text="Hello"),
    event("content_part.done", content_index=0, part=MESSAGE["content"][0]),
    event("output_item.done", item=MESSAGE),
]


@pytest.mark.parametrize(
    "without", [["content_index"], ["output_index"], ["output_index", "content_index"]], ids=str
)
@pytest.mark.parametrize("names", [False, True])
def test_places_that_are_not_told_are_found(without: list[str], names: bool) -> None:
    """Whichever of the events lack them, and whether or not the items have names."""
    for lacking in itertools.product([(), without], repeat=len(MESSAGES)):
        said = []
        for index in range(2):
            for one, drop in zip(MESSAGES, lacking, strict=True):
                told = {name: value for name, value in at(index, one).items() if name not in drop}
                if names:
                    item = {"item": one["item"] | {"id": f"msg_{index}"}} if "item" in one else {}
                    told |= item or {"item_id": f"msg_{index}"}
                said.append(told)
        assert content_of(*said) == [Text("Hello"), Text("Hello")], lacking


def test_calls_without_an_index_are_told_apart_by_their_names() -> None:
    named = [FUNCTION | {"id": "fc_1"}, OTHER | {"id": "fc_2", "arguments": ""}]
    said = [
        *({"type": "response.output_item.added", "item": item} for item in named),
        {"type": "response.function_call_arguments.delta", "item_id": "fc_1", "delta": "{"},
        {"type": "response.function_call_arguments.done", "item_id": "fc_2", "arguments": "[]"},
        {"type": "response.function_call_arguments.delta", "item_id": "fc_1", "delta": "}"},
        {"type": "response.output_item.done", "item": ARGUED | {"id": "fc_1"}},
        {"type": "response.output_item.done", "item": OTHER | {"id": "fc_2"}},
    ]
    expected = [
        ToolCall(0, "call_1", "weather"),
        ToolCall(1, "call_2", "time"),
        ToolCall(0, arguments="{"),
        ToolCall(1, arguments="[]"),
        ToolCall(0, arguments="}"),
    ]
    assert content_of(*said) == expected


def test_items_are_told_apart_by_their_index_when_their_ids_change() -> None:
    other = {"type": "function_call", "call_id": "call_2", "name": "time"}
    assert content_of(
        event("output_item.added", 1, item=FUNCTION | {"id": "a"}),
        event("output_item.added", 2, item=other | {"id": "b"}),
        event("function_call_arguments.delta", 2, item_id="c", delta="[2]"),
        event("function_call_arguments.delta", 1, item_id="d", delta="[1]"),
    ) == [
        ToolCall(0, "call_1", "weather"),
        ToolCall(1, "call_2", "time"),
        ToolCall(1, arguments="[2]"),
        ToolCall(0, arguments="[1]"),
    ]


# What comes: thoughts ----------------------------------------------------------------------------

SUMMARY = [{"type": "summary_text", "text": "One."}, {"type": "summary_text", "text": "Two."}]
OPEN = [{"type": "reasoning_text", "text": "1 + 1"}]

THOUGHTS = {
    "a summary by deltas": (
        [
            event("reasoning_summary_part.added", summary_index=0, part=SUMMARY[0] | {"text": ""}),
            event("reasoning_summary_text.delta", summary_index=0, delta="One."),
            event("reasoning_summary_text.done", summary_index=0, text="One."),
            event("reasoning_summary_part.done", summary_index=0, part=SUMMARY[0]),
            event("reasoning_summary_text.delta", summary_index=1, delta="Two."),
            event("output_item.done", item={"type": "reasoning", "summary": SUMMARY}),
        ],
        [Reasoning("One."), Reasoning("Two.")],
    ),
    "a summary at its end": (
        [event("output_item.done", item={"type": "reasoning", "summary": SUMMARY})],
        [Reasoning("One.Two.")],
    ),
    "an open thought": (
        [
            event("reasoning_text.delta", content_index=0, delta="1 + 1"),
            event("reasoning_part.done", content_index=0, part=OPEN[0]),  # vLLM
        ],
        [Reasoning("1 + 1")],
    ),
    "an open thought goes back whole": (
        [event("output_item.done", item={"type": "reasoning", "id": "rs_1", "content": OPEN})],
        [Reasoning("1 + 1", opaque=ours({"type": "reasoning", "id": "rs_1", "content": OPEN}))],
    ),
    "an encrypted one goes back without its name": (
        [event("output_item.done", item=THOUGHT | {"id": "rs_1"})],
        [Reasoning("", opaque=ours(THOUGHT))],
    ),
    "a thought that was not stored does not go back": (
        [event("output_item.done", item={"type": "reasoning", "id": "rs_1", "summary": []})],
        [],
    ),
    "a thought in both forms is given in the first": (
        [
            event("reasoning_summary_text.delta", summary_index=0, delta="One."),
            event("reasoning_text.delta", content_index=0, delta="1 + 1"),
            event("reasoning_text.done", content_index=0, text="1 + 1"),
        ],
        [
            Reasoning("One."),
            Other(
                "response.reasoning_text.delta",
                event("reasoning_text.delta", content_index=0, delta="1 + 1"),
            ),
        ],
    ),
    "both forms at their end": (
        [
            event(
                "output_item.done", item={"type": "reasoning", "summary": SUMMARY, "content": OPEN}
            )
        ],
        [
            Reasoning(
                "1 + 1",
                opaque=ours({"type": "reasoning", "summary": SUMMARY, "content": OPEN}),
            )
        ],
    ),
    "two thoughts have a form each": (
        [
            event("reasoning_text.delta", 0, content_index=0, delta="1 + 1"),
            event("reasoning_summary_text.delta", 1, summary_index=0, delta="One."),
        ],
        [Reasoning("1 + 1"), Reasoning("One.")],
    ),
}


@pytest.mark.parametrize(("said", "expected"), THOUGHTS.values(), ids=THOUGHTS)
def test_a_thought_is_given_once(said: list[dict[str, Any]], expected: list[Event]) -> None:
    assert content_of(*said) == expected


# What comes: anything else -----------------------------------------------------------------------

NOTE = {"type": "url_citation", "url": "https://x"}

OTHERS = [
    event("web_search_call.searching", item_id="ws_1"),
    event("file_search_call.completed", item_id="fs_1"),
    event("code_interpreter_call_code.delta", delta="print(1)"),
    event("image_generation_call.partial_image", partial_image_b64="eA=="),
    event("mcp_call_arguments.delta", delta="{}"),
    event("mcp_list_tools.failed"),
    event("audio.delta", delta="eA=="),
    event("audio.transcript.delta", delta="Hello"),
    event("output_text.annotation.added", content_index=0, annotation=NOTE),
    event("content_part.added", content_index=0, part={"type": "output_audio"}),
    event("output_item.added", item={"type": "web_search_call", "id": "ws_1"}),
    event("output_item.added", item=None),
    {"type": "something.new", "data": [1]},
]


@pytest.mark.parametrize("said", OTHERS, ids=lambda said: said["type"])
def test_whatever_else_is_said_passes_under_its_own_name(said: dict[str, Any]) -> None:
    assert content_of(said) == [Other(said["type"], said)]


NOTHING_NEW = [
    response("queued"),
    response("in_progress"),
    {"type": "keepalive", "sequence_number": 3},
    event("content_part.added", content_index=0, part={"type": "output_text", "text": ""}),
    event("output_item.added", item={"type": "message", "content": []}),
    event("output_text.delta", content_index=0, delta=""),
    event("output_text.delta", content_index=0, delta=None),
    event("function_call_arguments.delta", delta=""),
    "[DONE]",
    "",
]


@pytest.mark.parametrize("said", NOTHING_NEW, ids=str)
def test_what_says_nothing_new_is_not_heard(said: dict[str, Any] | str) -> None:
    assert content_of(said) == []


def test_what_the_service_did_with_its_own_tools_goes_back() -> None:
    search = {"type": "web_search_call", "status": "completed", "action": {"query": "x"}}
    listed = {"type": "mcp_list_tools", "id": "mcpl_1", "tools": []}
    said = [
        event("output_item.done", 0, item=search | {"id": "ws_1"}),
        event("output_item.done", 1, item=listed),
    ]
    events = content_of(*said)
    assert events == [
        Other("response.output_item.done", said[0], ours(search)),
        Other("response.output_item.done", said[1], ours(listed)),
    ]
    assert input_of("Hi", rxchat.reply(events))[1:] == [search, listed]


def test_a_phase_is_told_once_before_its_text_and_goes_back_with_it() -> None:
    message = {**MESSAGE, "phase": "final_answer"}
    events = content_of(
        event("output_item.added", item=message | {"content": []}),
        event("output_text.delta", content_index=0, delta="Hello"),
        event("output_item.done", item=message),
    )
    phase = Other("phase", "final_answer", ours({"phase": "final_answer"}))
    assert events == [phase, Text("Hello")]
    assert input_of("Hi", rxchat.reply(events))[1:] == [
        {"role": "assistant", "content": "Hello", "phase": "final_answer"}
    ]


def test_notes_are_given_one_by_one_or_at_the_end_of_their_text() -> None:
    note = event("output_text.annotation.added", content_index=0, annotation=NOTE)
    part = {"type": "output_text", "text": "Hello", "annotations": [NOTE]}
    whole = [
        event("content_part.done", content_index=0, part=part),
        event("output_item.done", item={"type": "message", "content": [part]}),
    ]
    assert content_of(*whole) == [Text("Hello"), Other("annotations", [NOTE])]
    assert content_of(note, *whole) == [Other(note["type"], note), Text("Hello")]


def test_probabilities_and_moderation_are_other_things() -> None:
    said = event("output_text.delta", content_index=0, delta="Hello", logprobs=[{"token": "Hello"}])
    assert heard(CREATED, said, response("completed", moderation={"flagged": False}))[0] == [
        STARTED,
        Text("Hello"),
        Other("logprobs", [{"token": "Hello"}]),
        Other("moderation", {"flagged": False}),
        STOPPED,
    ]


async def test_a_call_of_a_custom_tool_is_answered_as_one() -> None:
    call = ToolCall(0, "call_1", "sql", "SELECT 1", opaque=ours({"type": "custom_tool_call"}))
    async with LocalServer(Reply("One.")) as server:
        server.plan(Reply(call))
        chat = openai_responses.but(
            base_url=server.url + "/v1",
            key="sk-1",
            extra={"tools": [{"type": "custom", "name": "sql"}]},
        )
        answer = rxchat.reply(await chat("Count").pipe(rxchat.operators.to_list()))
        assert answer == rxchat.assistant(call)
        await chat(["Count", answer, rxchat.tool("1", *answer.tool_calls)])
        assert server.exchanges[1].json["input"][1:] == [
            {
                "type": "custom_tool_call",
                "call_id": "call_1",
                "name": "sql",
                "input": "SELECT 1",
            },
            {"type": "custom_tool_call_output", "call_id": "call_1", "output": "1"},
        ]


def test_the_namespace_of_a_call_goes_back() -> None:
    item = {**FUNCTION, "namespace": "crm", "arguments": "{}"}
    events = content_of(event("output_item.done", item=item))
    answer = rxchat.reply(events)
    assert input_of("Hi", answer, rxchat.tool("x", *answer.tool_calls))[1] == item


# How it ends -------------------------------------------------------------------------------------

ENDS = [
    (response("completed"), Finish("stop", "completed")),
    (response("incomplete"), Finish("other", "incomplete")),
    (
        response("incomplete", incomplete_details={"reason": "max_output_tokens"}),
        Finish("length", "incomplete"),
    ),
    (
        response("incomplete", incomplete_details={"reason": "content_filter"}),
        Finish("content_filter", "incomplete"),
    ),
    (
        response("incomplete", incomplete_details={"reason": "steered"}),
        Finish("other", "incomplete"),
    ),
    ({"type": "response.completed", "response": None}, Finish("stop", "completed")),
    (response("cancelled"), Finish("other", "cancelled")),
]


@pytest.mark.parametrize(("end", "finish"), ENDS, ids=str)
def test_the_reason_is_in_the_details(end: dict[str, Any], finish: Finish) -> None:
    assert heard(CREATED, end) == ([STARTED, finish], None)


def test_a_call_that_is_cut_off_is_none_to_answer() -> None:
    added = event("output_item.added", item=FUNCTION)
    end = response("incomplete", incomplete_details={"reason": "max_output_tokens"})
    assert heard(CREATED, added, end)[0][-1] == Finish("length", "incomplete")


def test_what_was_said_until_somebody_cancelled_it_is_heard_with_what_it_cost() -> None:
    end = response("cancelled", output=[MESSAGE], usage={"input_tokens": 3})
    assert heard(CREATED, HELLO, end) == (
        [STARTED, Text("Hello"), Usage(3), Finish("other", "cancelled")],
        None,
    )


def test_nothing_after_the_end_is_heard() -> None:
    usage = {"input_tokens": 3, "output_tokens": None, "output_tokens_details": None}
    assert heard(CREATED, response("completed", usage=usage), "[DONE]", "{") == (
        [STARTED, Usage(3), STOPPED],
        None,
    )


FAILURES = [
    # how it is said, the error, its message, its code
    (
        {"type": "error", "error": {"code": "insufficient_quota", "message": "Pay."}},
        QuotaExhausted,
        "Pay.",
        "insufficient_quota",
    ),
    (
        {"type": "error", "code": "rate_limit_exceeded", "message": "Slow down.", "param": None},
        RateLimited,
        "Slow down.",
        "rate_limit_exceeded",
    ),
    ({"type": "error", "code": None, "message": "Oh."}, ServerError, "Oh.", None),
    ({"type": "error", "error": "Oh."}, ServerError, "Oh.", None),
    ({"error": {"code": 429, "message": "Slow."}}, RateLimited, "Slow.", "429"),
    (
        response("failed", error={"code": "server_error", "message": "Oh."}),
        ServerError,
        "Oh.",
        "server_error",
    ),
    (response("failed", error=None), ServerError, "the response failed", None),
    ({"type": "response.failed"}, ServerError, "the response failed", None),
]


@pytest.mark.parametrize(("said", "kind", "message", "code"), FAILURES, ids=str)
def test_a_failure_is_said_in_several_forms(
    said: dict[str, Any], kind: type[ServiceError], message: str, code: str | None
) -> None:
    text = event("output_text.delta", content_index=0, delta="Hel")
    events, error = heard(CREATED, text, said)
    assert events == [STARTED, Text("Hel")]
    assert type(error) is kind
    assert (error.message, error.code) == (message, code)


def test_a_failure_that_cost_something_says_what() -> None:
    failed = response("failed", error={"message": "Oh."}, usage={"input_tokens": 3})
    events, error = heard(CREATED, failed)
    assert events == [STARTED, Usage(3)]
    assert isinstance(error, ServerError)


UNFINISHED = [
    ([], EmptyAnswer),
    (["[DONE]"], EmptyAnswer),
    (["", {"type": "keepalive"}], EmptyAnswer),
    ([CREATED], Truncated),
    ([CREATED, "[DONE]"], Truncated),
    ([CREATED, "[DO"], Truncated),
    ([CREATED, HELLO, "[DONE]"], Truncated),
    ([CREATED, HELLO, "[DO"], Truncated),
    ([event("output_text.delta", delta="Hel")], Truncated),
    ([CREATED, event("output_text.done", content_index=0, text="Hello")], Truncated),
    ([CREATED, '{"type": "response.comp'], Truncated),
]


@pytest.mark.parametrize(("said", "kind"), UNFINISHED, ids=str)
def test_an_answer_without_its_end_is_not_whole(said: list[Any], kind: type[ChatError]) -> None:
    assert type(heard(*said)[1]) is kind


def test_a_start_is_first_or_not_at_all() -> None:
    text = event("output_text.delta", delta="Hel")
    assert heard(text, CREATED, DONE)[0] == [Text("Hel"), STOPPED]
    odd = {"type": "something.new"}
    assert heard(odd, CREATED, DONE)[0] == [Other("something.new", odd), STOPPED]


# The local server demands what the service does --------------------------------------------------

OBJECTIONS: list[tuple[dict[str, Any], str]] = [
    ({"stop": ["END"]}, "unknown parameter 'stop'"),
    ({"input": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}, "is made of"),
    ({"input": [{"role": "tool", "content": "x"}]}, "is made of"),
    ({"input": [{"type": "function_call", "call_id": "c", "name": "f"}]}, "no tool output found"),
    ({"input": [{"type": "function_call_output", "call_id": "c"}]}, "no call found"),
    (
        {
            "input": [
                {"type": "custom_tool_call", "call_id": "c", "name": "f"},
                {"type": "function_call_output", "call_id": "c"},
            ]
        },
        "no call found",
    ),
    ({"input": [{"type": "reasoning", "id": "rs_1"}]}, "not persisted"),
    ({"max_output_tokens": 8}, ">= 16"),
]


@pytest.mark.parametrize(("wrong", "words"), OBJECTIONS, ids=str)
async def test_the_local_server_refuses_what_the_service_does(
    wrong: dict[str, Any], words: str
) -> None:
    async with LocalServer(Reply("Hello")) as server:
        chat = openai_responses.but(base_url=server.url + "/v1", key="sk-1", extra=wrong)
        with pytest.raises(ServiceError, match=words):
            await chat("Hi")
