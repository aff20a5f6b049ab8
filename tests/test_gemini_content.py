"""What is particular to Gemini's generated content, on both of Google's hosts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from time import perf_counter
from typing import Any

import attrs
import pytest

import rxchat
from hearing import bytewise, hear
from rxchat.errors import (
    EmptyAnswer,
    FrameTooLarge,
    Garbled,
    InvalidPrompt,
    MissingKey,
    MissingSetting,
    RateLimited,
    ServerError,
    ServiceError,
    Truncated,
    Unauthorized,
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
from rxchat.framing.decoder import LIMIT
from rxchat.provider import Provider
from rxchat.providers import gemini, vertex
from rxchat.providers.gemini_arguments import Arguments
from rxchat.providers.gemini_frames import ContentFrames
from rxchat.testing import HOLD, Failure, LocalServer, Reply

PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)
KEY = "AIza-test-1234567890"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER, CLOCK = rxchat.Tool("weather", "Tell the weather.", CITY), rxchat.Tool("clock")
ARRAY = attrs.evolve(gemini, path=gemini.path.removesuffix("?alt=sse"))


def signed(signature: str) -> Opaque:
    return Opaque("gemini", {"thoughtSignature": signature})


def body(prompt: Any = "Hi", **options: Any) -> dict[str, Any]:
    told: dict[str, Any] = gemini.request(prompt, **options).json
    return told


def says(*parts: Any, finish: Any = None, index: Any = 0, **beside: Any) -> dict[str, Any]:
    told = {"content": {"role": "model", "parts": [*parts]}, "index": index, **beside}
    return {"candidates": [told | ({"finishReason": finish} if finish is not None else {})]}


def event(told: Any) -> bytes:
    return b"data: %b\r\n\r\n" % json.dumps(told).encode()


def outcome(*told: Any) -> tuple[list[Event], Exception | None]:
    return hear(gemini.format, map(event, told))


def heard(*told: Any) -> list[Event]:
    """The events of an answer, but for its Start."""
    events, error = outcome(*told)
    assert error is None
    assert events[0] == Start()
    return events[1:]


def frames(chunks: Iterable[bytes]) -> list[str]:
    decoder = ContentFrames()
    told = [frame for chunk in chunks for frame in decoder.feed(chunk)]
    return [frame.data for frame in [*told, *decoder.close()]]


# How it comes ------------------------------------------------------------------------------------

ERROR = b'{\n  "error": {\n    "message": "data: {[\\"\\n"\n  }\n}'
BODIES = {
    "events": (b'data: {"a": 1}\r\n\r\ndata: {"b": 2}\r\n\r\n', ['{"a": 1}', '{"b": 2}']),
    "one line end": (b'data: {"a": 1}\n\n: comment\n\ndata: {"b": 2}', ['{"a": 1}', '{"b": 2}']),
    "array": (b'[{"a": 1}\n,\r\n{"b": 2}\n]', ['{"a": 1}', '{"b": 2}']),
    "array after blanks": (b'\xef\xbb\xbf\r\n  [{"a": 1}]\r\n', ['{"a": 1}']),
    "object": (b'\r\n{"a":\n[1]}\n', ['{"a":\n[1]}']),
    "error after events": (b'data: {"a": 1}\r\n\r\n' + ERROR, ['{"a": 1}', ERROR.decode()]),
    "error after half an event": (b'data: {"a": 1}\n' + ERROR, ['{"a": 1}', ERROR.decode()]),
    "array after events": (b'data: {"a": 1}\n\n[{"b": 2}]', ['{"a": 1}', '{"b": 2}']),
    "event after blanks": (b'\xef\xbb\xbf\n\ndata: {"a": "\xe2\x82\xac"}\n\n', ['{"a": "€"}']),
    "nothing": (b"\r\n", []),
}


@pytest.mark.parametrize(("sent", "told"), BODIES.values(), ids=BODIES)
def test_every_framing_is_read_wherever_it_is_cut(sent: bytes, told: list[str]) -> None:
    assert frames([sent]) == frames(bytewise(sent)) == told
    for first in range(len(sent) + 1):
        for second in range(first, len(sent) + 1):
            assert frames([sent[:first], sent[first:second], sent[second:]]) == told


def test_a_response_is_given_as_soon_as_it_is_complete() -> None:
    decoder = ContentFrames()
    for sent in (b'data: {"a": 1}\r\n\r\n', b'{"error": 1}'):
        assert len(decoder.feed(sent)) == 1


def test_what_came_before_a_fault_is_not_lost() -> None:
    for sent in (
        b'data: {"candidates": []}\n\n{"error": nothing}',
        b'[{"candidates": []}, nothing]',
    ):
        events, error = hear(gemini.format, [sent])
        assert events == [Start()]
        assert isinstance(error, Garbled)


@pytest.mark.parametrize("beginning", [b"data: ", b'["', b'data: {}\n\n{"a": "'])
def test_memory_is_bounded_and_time_is_linear(beginning: bytes) -> None:
    def seconds(size: int) -> float:
        decoder = ContentFrames()
        decoder.feed(beginning)
        start = perf_counter()
        for _ in range(size):
            decoder.feed(b"x")
        return perf_counter() - start

    assert seconds(200_000) < 30 * seconds(20_000)  # 10 if linear, 100 if quadratic
    _, error = hear(gemini.format, [beginning, *[b"x" * 2**20] * (LIMIT // 2**20 + 1)])
    assert isinstance(error, FrameTooLarge)


CUT_SHORT = {
    "an array": b'[{"candidates": [{"finishReason": "STOP"}]}\n,\r\n',
    "an element": b'[{"candidates": [{"finishRea',
    "an event": b'data: {"candidates": [{"finishReason": "STOP"}',
    "an error": event(says({"text": "Hi"}, finish="STOP")) + b'{\n  "error": {',
}


@pytest.mark.parametrize("sent", CUT_SHORT.values(), ids=CUT_SHORT)
def test_what_is_cut_short_is_no_answer(sent: bytes) -> None:
    events, error = hear(gemini.format, [sent])
    assert isinstance(error, Truncated)
    assert not any(isinstance(event, Finish) for event in events)


async def test_the_answer_streams_where_no_events_are_asked_for() -> None:
    async with LocalServer(Reply("Hel", HOLD, "lo")) as server:
        events: list[Event] = []
        async for said in ARRAY.but(base_url=server.url, key=KEY)("Hi"):
            events.append(said)
            if said == Text("Hel"):
                server.exchanges[0].release()
        assert "alt" not in server.exchanges[0].target
    assert events == [Start("local", "answer-1"), Text("Hel"), Text("lo"), Finish("stop", "STOP")]


NO = {"error": {"code": 429, "message": "Too much", "status": "RESOURCE_EXHAUSTED"}}
NO["error"]["details"] = [{"@type": "type.googleapis.com/RetryInfo", "retryDelay": "7s"}]


@pytest.mark.parametrize("status", [200, 429])
@pytest.mark.parametrize("told", [NO, [NO]], ids=["object", "array"])
async def test_a_refusal_as_json_is_an_error_of_its_kind(told: Any, status: int) -> None:
    async with LocalServer(Reply.status(status, json=told)) as server:
        for chat in (gemini, ARRAY):
            with pytest.raises(RateLimited, match="Too much") as caught:
                await chat.but(base_url=server.url, key=KEY)("Hi")
            assert caught.value.retry_after == 7
            assert caught.value.provider == "gemini"


async def test_an_array_can_fail_in_its_middle() -> None:
    async with LocalServer(Reply("Hel", Failure("out of memory"))) as server:
        with pytest.raises(ServerError, match="out of memory") as caught:
            await ARRAY.but(base_url=server.url, key=KEY)("Hi")
    assert caught.value.content_emitted


# What comes --------------------------------------------------------------------------------------


def test_a_stop_is_not_the_end_until_the_body_is() -> None:
    stopped = event(says({"text": "Hi"}, finish="STOP"))
    for failure in (
        ERROR,
        event({"error": {"message": "No.", "code": 503}}),
        b"event: error\n" + event({}),
    ):
        events, error = hear(gemini.format, [stopped, failure])
        assert events == [Start(), Text("Hi")]
        assert isinstance(error, ServiceError)


def test_each_kind_of_part_is_an_event_of_its_own() -> None:
    code = {"executableCode": {"code": "1"}, "thoughtSignature": "S4"}
    parts = [
        {"text": "Hm.", "thought": True},
        {"text": "Hm!", "thought": True, "thoughtSignature": "S1"},
        {"text": "Hi"},
        {"text": ""},
        {"text": "you", "thoughtSignature": "S2"},
        {"thoughtSignature": "S3"},
        {"functionCall": {"id": "c1", "name": "weather", "args": {"city": "Zürich"}}},
        {"functionCall": {"name": "clock"}, "thoughtSignature": "S5"},
        code,
        {"somethingNew": 1},
        {},
    ]
    expected = [
        Reasoning("Hm."),
        Reasoning("Hm!", opaque=signed("S1")),
        Text("Hi"),
        Text("you", opaque=signed("S2")),
        Text("", opaque=signed("S3")),
        ToolCall(0, "c1", "weather", '{"city": "Zürich"}'),
        ToolCall(1, "", "clock", "{}", opaque=signed("S5")),
        Other("executableCode", {"code": "1"}, Opaque("gemini", code)),
        Other("somethingNew", 1, Opaque("gemini", {"somethingNew": 1})),
    ]
    stop = says(finish="STOP")
    assert heard(says(*parts), stop) == [*expected, Finish("tool_calls", "STOP")]
    assert heard(*map(says, parts), stop) == [*expected, Finish("tool_calls", "STOP")]


REASONS: dict[Any, str] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "LANGUAGE": "other",
    "OTHER": "other",
    "MALFORMED_FUNCTION_CALL": "other",
    "SOMETHING_NEW": "other",
    1: "stop",
    2: "length",
    3: "content_filter",
    5: "other",
    6: "other",  # an unsupported language to one host, a forbidden word to the other
    99: "other",
}


@pytest.mark.parametrize(("raw", "reason"), REASONS.items())
def test_why_it_ended_is_told_in_our_words_and_theirs(raw: Any, reason: Any) -> None:
    assert heard(says({"text": "Hi"}, finish=raw)) == [Text("Hi"), Finish(reason, str(raw))]
    if reason != "stop":
        called = heard(says({"functionCall": {"name": "clock"}}, finish=raw))
        assert called[-1] == Finish(reason, str(raw))


NOT_FINISHED = {
    "no reason": [says({"text": "Hi"})],
    "null": [says({"text": "Hi"}) | {"usageMetadata": None}],
    "a reason that is none": [says({"text": "Hi"}, finish="FINISH_REASON_UNSPECIFIED")],
    "a number that is none": [says({"text": "Hi"}, finish=0)],
    "one of two": [says({"text": "Hi"}, finish="STOP"), says({"text": "Ho"}, index=1)],
    "no candidate": [{"candidates": []}],
    "only a cost": [{"usageMetadata": {"promptTokenCount": 1}}],
}


@pytest.mark.parametrize("told", NOT_FINISHED.values(), ids=NOT_FINISHED)
def test_without_a_reason_for_every_candidate_it_is_not_the_end(told: list[Any]) -> None:
    events, error = outcome(*told)
    assert isinstance(error, Truncated)
    assert not any(isinstance(event, Finish | Usage) for event in events)


@pytest.mark.parametrize("mark", ["[", "[DO", "[DONE]"])
def test_done_is_an_end_if_there_was_a_reason(mark: str) -> None:
    done = f"data: {mark}\n\n".encode()
    whole = [event(says({"text": "Hi"}, finish="STOP")), done]
    assert hear(gemini.format, whole) == ([Start(), Text("Hi"), Finish("stop", "STOP")], None)
    events, error = hear(gemini.format, [event(says({"text": "Hi"})), done])
    assert (events, type(error)) == ([Start(), Text("Hi")], Truncated)
    assert type(hear(gemini.format, [done])[1]) is EmptyAnswer


def test_done_ends_an_answer_whose_body_goes_on() -> None:
    whole = event(says({"text": "Hi"}, finish="STOP")) + b"data: [DONE]\n\n"
    late = event({"error": {"message": "too late"}})
    assert hear(gemini.format, [whole, late])[1] is None


def test_a_body_without_a_response_is_empty() -> None:
    for sent in (b"", b": comment\n\n", b"[]", b"data: \n\n"):
        assert hear(gemini.format, [sent])[0] == []
        assert isinstance(hear(gemini.format, [sent])[1], EmptyAnswer)


def test_a_blocked_prompt_is_an_end_that_says_why() -> None:
    feedback = {"blockReason": "SAFETY", "blockReasonMessage": "No."}
    told = {"promptFeedback": feedback, "usageMetadata": {"promptTokenCount": 4}}
    assert heard(told) == [
        Other("promptFeedback", feedback),
        Usage(input=4),
        Finish("content_filter"),
    ]


def test_a_block_ends_candidates_that_have_begun() -> None:
    feedback = {"promptFeedback": {"blockReason": "OTHER"}}
    assert heard(says({"text": "Hi"}) | feedback)[-1] == Finish("content_filter")
    harmless = {"promptFeedback": {"safetyRatings": [{"probability": "NEGLIGIBLE"}]}}
    assert heard(says({"text": "Hi"}, finish="STOP") | harmless) == [
        Text("Hi"),
        Finish("stop", "STOP"),
    ]


def test_candidates_may_take_turns() -> None:
    both = {
        "candidates": [
            {"content": {"parts": [{"text": "A"}]}},
            {"content": {"parts": [{"functionCall": {"name": "clock"}}]}, "index": 1},
        ]
    }
    ends = [says(index=1, finish="STOP"), says({"text": "a"}, finish="MAX_TOKENS")]
    assert heard(both, *ends) == [
        Text("A"),
        ToolCall(0, "", "clock", "{}", 1),
        Text("a"),
        Finish("length", "MAX_TOKENS", 0),
        Finish("tool_calls", "STOP", 1),
    ]


def test_the_last_cost_counts() -> None:
    costs = [
        {"usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1}},
        {
            "usageMetadata": {
                "promptTokenCount": 10,
                "cachedContentTokenCount": 4,
                "candidatesTokenCount": 20,
                "thoughtsTokenCount": 30,
                "totalTokenCount": 60,
            }
        },
    ]
    told = [says({"text": "Hi"}) | costs[0], says(finish="STOP") | costs[1]]
    assert heard(*told)[-2] == Usage(10, 20, 60, 30, 4)
    nothing = says({"text": "Hi"}, finish="STOP") | {"usageMetadata": {"trafficType": "ON_DEMAND"}}
    assert heard(nothing) == [Text("Hi"), Finish("stop", "STOP")]


def test_what_is_known_of_a_candidate_is_told_once_and_only_if_it_says_something() -> None:
    safe = [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE"}]
    harm = [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "HIGH", "blocked": True}]
    sources = {"webSearchQueries": ["Oslo"]}
    assert heard(
        says({"text": "A"}, safetyRatings=safe, groundingMetadata={}),
        says({"text": "B"}, safetyRatings=harm, groundingMetadata=sources),
        says({"text": "C"}, safetyRatings=harm, groundingMetadata=sources),
        says(finish="SAFETY", finishMessage="No."),
    ) == [
        Text("A"),
        Text("B"),
        Other("safetyRatings", harm),
        Other("groundingMetadata", sources),
        Text("C"),
        Other("finishMessage", "No."),
        Finish("content_filter", "SAFETY"),
    ]


def test_a_response_of_an_unknown_kind_is_passed_on() -> None:
    news = {"modelStatus": {"stage": "RETIRED"}}
    assert heard(news, says(finish="STOP")) == [Other("message", news), Finish("stop", "STOP")]


HOSTILE: list[Any] = [
    {"candidates": None, "usageMetadata": [], "promptFeedback": "x"},
    {"candidates": [{"content": None, "index": "one", "finishReason": []}]},
    {"candidates": [{"content": {"parts": None}}], "modelVersion": 7, "responseId": {}},
    says({"text": 7}),
    says({"text": None, "thoughtSignature": 5}),
    says({"functionCall": None}),
    says({"functionCall": []}),
    says({"functionCall": {"name": 7, "args": [1], "id": None}}),
    says({"functionCall": {"partialArgs": [7, {"jsonPath": 9, "numberValue": []}, {}]}}),
    says({"functionCall": {"partialArgs": "x", "willContinue": 1}}),
    says({"inlineData": None}, safetyRatings=7),
    says(citationMetadata=7, safetyRatings=[7, None, {"probability": []}]),
]


@pytest.mark.parametrize("told", HOSTILE)
def test_wrong_types_in_fields_are_no_error(told: Any) -> None:
    assert heard(told, says(finish="STOP"))[-1].raw == "STOP"


# Calls whose arguments are streamed --------------------------------------------------------------


def bit(path: str, **value: Any) -> dict[str, Any]:
    return {"jsonPath": path, **value}


BITS: list[tuple[list[dict[str, Any]], Any]] = [
    ([], {}),
    ([bit("$.a", stringValue="x")], {"a": "x"}),
    ([bit("$.a", stringValue="x", willContinue=True), bit("$.a", stringValue="y")], {"a": "xy"}),
    ([bit("$.a", numberValue=1), bit("$.b", boolValue=False)], {"a": 1, "b": False}),
    ([bit("$.a", nullValue="NULL_VALUE")], {"a": None}),
    ([bit("$.a.b[0].c", numberValue=1.5)], {"a": {"b": [{"c": 1.5}]}}),
    ([bit("$.a[0]", stringValue="x"), bit("$.a[1]", stringValue="y")], {"a": ["x", "y"]}),
    ([bit("$['a b']['it\\'s']", stringValue="x")], {"a b": {"it's": "x"}}),
    ([bit('$["a.b"]', stringValue="x")], {"a.b": "x"}),
    ([bit("$.a[999999999]", stringValue="x")], {"a": ["x"]}),
    ([bit("$.a[10]", numberValue=3), bit("$.a[9]", numberValue=2)], {"a": [2, 3]}),
    ([bit("$.a", stringValue="x"), bit("$.a.b", stringValue="y")], {"a": {"b": "y"}}),
    ([bit("$", stringValue="x"), bit("", numberValue=1)], {"$": "x", "": 1}),
]


@pytest.mark.parametrize(("bits", "whole"), BITS)
def test_arguments_are_put_together_by_their_paths(bits: list[dict[str, Any]], whole: Any) -> None:
    at_once, one_by_one = Arguments({"kept": [{}]}), Arguments({"kept": [{}]})
    at_once.add(bits)
    for some in bits:
        one_by_one.add([some])
    assert json.loads(at_once.json) == json.loads(one_by_one.json) == {"kept": [{}], **whole}


def test_a_path_that_is_too_long_does_no_harm() -> None:
    arguments = Arguments({})
    arguments.add([bit("$" + "[0]" * 100_000, numberValue=1), bit("$" + "['" * 100_000)])
    assert arguments.json


BEGUN = {"functionCall": {"id": "c1", "name": "f", "willContinue": True}, "thoughtSignature": "S1"}
MORE = {"functionCall": {"partialArgs": [bit("$.a", stringValue="x")], "willContinue": True}}
LAST = {"functionCall": {"partialArgs": [bit("$.a", stringValue="y")]}}
END: dict[str, Any] = {"functionCall": {}}
STREAMED = {
    "with an end": ([BEGUN, MORE, END], '{"a": "x"}'),
    "with the end in the last bit": ([BEGUN, MORE, LAST], '{"a": "xy"}'),
    "without an end": ([BEGUN, MORE], '{"a": "x"}'),
    "without arguments": ([BEGUN, END], "{}"),
    "with two ends": ([BEGUN, MORE, END, END], '{"a": "x"}'),
}


@pytest.mark.parametrize(("parts", "arguments"), STREAMED.values(), ids=STREAMED)
def test_a_streamed_call_is_whole_in_the_end(parts: list[Any], arguments: str) -> None:
    first = ToolCall(0, "c1", "f", opaque=signed("S1"))
    rest = [ToolCall(0, arguments=arguments), Finish("tool_calls", "STOP")]
    assert heard(*map(says, parts), says(finish="STOP")) == [first, *rest]
    assert heard(says(*parts, finish="STOP")) == [first, *rest]


def test_the_next_call_ends_the_one_before() -> None:
    told = heard(says(BEGUN), says(MORE), says(BEGUN), says(END, finish="STOP"))
    assert rxchat.reply(told).tool_calls == (
        ToolCall(0, "c1", "f", '{"a": "x"}', opaque=signed("S1")),
        ToolCall(1, "c1", "f", "{}", opaque=signed("S1")),
    )


def test_a_call_is_whole_before_anything_else_is_said() -> None:
    told = heard(says(BEGUN), says(MORE), says(END), says({"text": "So."}, finish="STOP"))
    assert told[1:3] == [ToolCall(0, arguments='{"a": "x"}'), Text("So.")]


def test_a_call_that_was_cut_off_is_no_call() -> None:
    events, error = outcome(says(BEGUN), says(MORE))
    assert isinstance(error, Truncated)
    assert not any(isinstance(event, ToolCall) and event.arguments for event in events)


# What goes ---------------------------------------------------------------------------------------


def test_a_conversation_goes_as_gemini_says_it() -> None:
    code = {"executableCode": {"code": "1"}, "thoughtSignature": "S3"}
    calls = [
        ToolCall(0, "c1", "weather", '{"city": "Oslo"}', opaque=signed("S2")),
        ToolCall(1, "c2", "clock", ""),
    ]
    said = [
        rxchat.system("Be brief."),
        rxchat.user("What is this?", rxchat.image(PNG), rxchat.image("https://x.example/cat.webp")),
        rxchat.assistant(
            Reasoning("A cat."),
            Reasoning("A cat!", opaque=signed("S1")),
            Reasoning("Elsewhere.", opaque=Opaque("openai", [{"id": "r1"}])),
            "A cat",
            Text("", opaque=signed("S4")),
            Refusal("No more."),
            Other("executableCode", {"code": "1"}, Opaque("gemini", code)),
            *calls,
        ),
        rxchat.tool("18 °C", calls[0]),
        rxchat.tool({"reason": "broken"}, calls[1], failed=True),
        rxchat.Message("developer", "In Danish."),
        rxchat.user("Thanks"),
    ]
    assert body(said) == {
        "systemInstruction": {"parts": [{"text": "Be brief."}, {"text": "In Danish."}]},
        "contents": [
            {
                "role": "user",
                "parts": [
                    {"text": "What is this?"},
                    {
                        "inlineData": {
                            "mimeType": "image/png",
                            "data": rxchat.image(PNG).base64,
                        }
                    },
                    {
                        "fileData": {
                            "mimeType": "image/webp",
                            "fileUri": "https://x.example/cat.webp",
                        }
                    },
                ],
            },
            {
                "role": "model",
                "parts": [
                    {"text": "A cat!", "thought": True, "thoughtSignature": "S1"},
                    {"text": "A cat"},
                    {"text": "", "thoughtSignature": "S4"},
                    {"text": "No more."},
                    code,
                    {
                        "functionCall": {"id": "c1", "name": "weather", "args": {"city": "Oslo"}},
                        "thoughtSignature": "S2",
                    },
                    {"functionCall": {"id": "c2", "name": "clock", "args": {}}},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {
                        "functionResponse": {
                            "id": "c1",
                            "name": "weather",
                            "response": {"result": "18 °C"},
                        }
                    },
                    {
                        "functionResponse": {
                            "id": "c2",
                            "name": "clock",
                            "response": {"error": '{"reason":"broken"}'},
                        }
                    },
                ],
            },
            {"role": "user", "parts": [{"text": "Thanks"}]},
        ],
    }


OPTIONS: dict[str, tuple[Any, dict[str, Any]]] = {
    "temperature": (0, {"temperature": 0}),
    "top_p": (0.5, {"topP": 0.5}),
    "max_tokens": (7, {"maxOutputTokens": 7}),
    "stop": ("END", {"stopSequences": ["END"]}),
    "seed": (4, {"seed": 4}),
    "n": (2, {"candidateCount": 2}),
    "schema": (CITY, {"responseMimeType": "application/json", "responseJsonSchema": CITY}),
}


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_has_its_place_in_the_configuration(option: str) -> None:
    value, place = OPTIONS[option]
    assert body() == {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
    assert body(**{option: value}) == body() | {"generationConfig": place}


@pytest.mark.parametrize(
    ("reasoning", "config"),
    [
        ("none", {"thinkingBudget": 0}),
        (0, {"thinkingBudget": 0}),
        (512, {"includeThoughts": True, "thinkingBudget": 512}),
        ("high", {"includeThoughts": True, "thinkingLevel": "high"}),
    ],
)
def test_thinking_is_asked_for_in_levels_or_tokens(reasoning: Any, config: Any) -> None:
    assert body(reasoning=reasoning)["generationConfig"] == {"thinkingConfig": config}


@pytest.mark.parametrize(
    ("choice", "mode"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        ("clock", {"mode": "ANY", "allowedFunctionNames": ["clock"]}),
    ],
)
def test_tools_are_declared_and_chosen(choice: str, mode: dict[str, Any]) -> None:
    empty = {"type": "object", "properties": {}}
    declared = [
        {"name": "weather", "description": "Tell the weather.", "parametersJsonSchema": CITY},
        {"name": "clock", "parametersJsonSchema": empty},
    ]
    assert body(tools=[WEATHER, CLOCK], tool_choice=choice) == body() | {
        "tools": [{"functionDeclarations": declared}],
        "toolConfig": {"functionCallingConfig": mode},
    }


@pytest.mark.parametrize(
    "prompt",
    [[rxchat.system("Be brief.")], "", [rxchat.assistant(Reasoning("Hm."))]],
    ids=["orders alone", "nothing", "thoughts alone"],
)
def test_there_must_be_something_to_answer(prompt: Any) -> None:
    with pytest.raises(InvalidPrompt, match="add a user's message"):
        gemini.request(prompt)


async def test_the_local_server_says_calls_whole() -> None:
    pieces = [ToolCall(0, "c1", "f"), ToolCall(1, "c2", "g"), ToolCall(0, arguments="{")]
    async with LocalServer(Reply(*pieces, ToolCall(0, arguments="}"), "So.")) as server:
        chat = gemini.but(base_url=server.url, key=KEY)
        events = await chat("Hi").pipe(rxchat.operators.to_list())
    assert events[1:] == [
        ToolCall(0, "c1", "f", "{}"),
        ToolCall(1, "c2", "g", "{}"),
        Text("So."),
        Finish("tool_calls", "STOP"),
    ]


async def test_signed_parts_go_back_each_as_it_came() -> None:
    call = ToolCall(0, "c1", "weather", '{"city": "Oslo"}', opaque=signed("S2"))
    said = [Text("One"), Text("Two", opaque=signed("S1")), Text("Three"), call]
    async with LocalServer(Reply("Good.")) as server:
        server.plan(Reply(*said, Text("", opaque=signed("S3"))))
        chat = gemini.but(base_url=server.url, key=KEY, tools=[WEATHER])
        events = await chat("Hi").pipe(rxchat.operators.to_list())
        await chat(["Hi", rxchat.reply(events), rxchat.tool("18 °C", call)])
        asked = server.exchanges[1]
    assert asked.headers["x-goog-api-key"] == KEY
    assert asked.json["contents"][1]["parts"] == [
        {"text": "One"},
        {"text": "Two", "thoughtSignature": "S1"},
        {"text": "Three"},
        {
            "functionCall": {"id": "c1", "name": "weather", "args": {"city": "Oslo"}},
            "thoughtSignature": "S2",
        },
        {"text": "", "thoughtSignature": "S3"},
    ]


# Who says it -------------------------------------------------------------------------------------


def test_the_key_may_have_either_of_two_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(MissingKey, match="GOOGLE_API_KEY or GEMINI_API_KEY"):
        gemini("Hi")
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY"):  # as for Google's own client
        monkeypatch.setenv(name, name)
        assert gemini.request("Hi").headers["x-goog-api-key"] == name


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("global", "aiplatform.googleapis.com"),
        ("us", "aiplatform.us.rep.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
        ("europe-west1", "europe-west1-aiplatform.googleapis.com"),
    ],
)
def test_the_host_follows_from_the_location(location: str, host: str) -> None:
    there = vertex.but(project="p", location=location, model="m")
    assert isinstance(there, Provider)
    assert there.request("Hi").url == (
        f"https://{host}/v1beta1/projects/p/locations/{location}"
        "/publishers/google/models/m:streamGenerateContent?alt=sse"
    )


@pytest.mark.parametrize("location", ["evil.example/x", "a.b", "a@b", "a b", "EU", "é"])
def test_a_location_is_no_other_host(location: str) -> None:
    with pytest.raises(UsageError, match="location is a name as 'europe-west1'") as caught:
        vertex.but(project="p", location=location).request("Hi")
    assert caught.value.provider == "vertex"


def test_the_parts_of_the_address_may_be_in_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(MissingSetting, match="GOOGLE_CLOUD_PROJECT"):
        vertex.request("Hi")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")
    assert "//aiplatform.googleapis.com/v1beta1/projects/p/locations/global/" in vertex.url
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", "asia-east1")
    assert vertex.url.startswith("https://asia-east1-aiplatform.googleapis.com/")
    elsewhere = vertex.but(endpoint="gateway.example")
    assert elsewhere.url.startswith("https://gateway.example/v1beta1/projects/p/")


async def test_a_token_is_asked_for_at_every_attempt() -> None:
    tokens = iter(["ya29.first", "ya29.second"])
    async with LocalServer(Reply("Hi")) as server:
        server.plan(Reply.status(503, "busy"))
        there = vertex.but(base_url=server.url + "/v1beta1", project="p", key=lambda: next(tokens))
        answer = there("Hi").pipe(rxchat.operators.retry(2, backoff=lambda attempt: 0.0))
        assert (await answer.pipe(rxchat.operators.to_list()))[-1] == Finish("stop", "STOP")
        sent = [exchange.headers["authorization"] for exchange in server.exchanges]
    assert sent == ["Bearer ya29.first", "Bearer ya29.second"]


async def test_a_wrong_key_is_told_by_its_reason() -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]
    error = {"code": 400, "message": "API key not valid.", "details": details}
    async with LocalServer(Reply.status(400, json=[{"error": error}])) as server:
        with pytest.raises(Unauthorized, match="API key not valid"):
            await gemini.but(base_url=server.url, key=KEY)("Hi")
