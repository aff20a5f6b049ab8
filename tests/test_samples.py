"""The recorded answers of real services, each at every way of cutting, give what the index says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from formats import WIRES
from hearing import bytewise, cut_at_random, hear, summary
from rxchat.errors import BadRequest, NotFound, RateLimited, ServiceError, Unauthorized
from rxchat.events import Finish, Start, Usage, is_content
from rxchat.framing import SSE
from rxchat.refusal import refusal

SAMPLES = Path(__file__).parent.parent.parent / "shared" / "samples"
INDEX = SAMPLES / "index.json"
ALL: list[dict[str, Any]] = json.loads(INDEX.read_text())["samples"] if INDEX.exists() else []
pytestmark = pytest.mark.skipif(not ALL, reason=f"the recorded samples are not at {SAMPLES.name}/")

WIRE_OF = {protocol: wire for wire in WIRES.values() for protocol in wire.protocols}
FORMATS = {protocol: wire.provider.format for protocol, wire in WIRE_OF.items()}
STREAMS = [it for it in ALL if it["protocol"] not in ("http_error", "sse_misc")]


def body_of(sample: dict[str, Any]) -> bytes:
    return (SAMPLES / sample["file"]).read_bytes()


def ways_to_cut(body: bytes) -> list[list[bytes]]:
    cuts = [cut_at_random(body, 1 + seed, seed) for seed in range(30)]
    return [[body], *cuts, *([bytewise(body)] if len(body) < 20_000 else [])]


@pytest.mark.parametrize("sample", STREAMS, ids=lambda sample: sample["file"])
def test_a_recorded_answer_gives_its_normalized_result(sample: dict[str, Any]) -> None:
    expected = sample["normalized"]
    events, error = hear(FORMATS[sample["protocol"]], [body_of(sample)])
    found = summary(events, error)

    judged_otherwise = WIRE_OF[sample["protocol"]].judged_otherwise
    if sample["file"] in judged_otherwise:
        assert type(error) is (judged_otherwise[sample["file"]] or type(None))
        return
    if expected["error"]:
        assert isinstance(error, ServiceError)
        assert error.message == said(expected["error"])
        assert not any(isinstance(event, Finish) for event in events)
    else:
        assert error is None
        assert str(found["finish_reason"]) == str(expected["finish_reason"])
    for name in ("text", "reasoning", "refusal"):
        assert found[name] == expected[name]
    assert found["tool_calls"] == [
        {"id": call["id"] or "", "name": call["name"], "arguments": call["arguments"]}
        for call in expected["tool_calls"]
    ]
    if expected["usage"] and not expected["error"]:
        usage = found["usage"]
        for name in ("input", "output", "total", "reasoning", "cached"):
            if expected["usage"].get(name) is not None:
                assert getattr(usage, name) == expected["usage"][name], name


def said(error: Any) -> str:
    fields = error if isinstance(error, dict) else {"message": error}
    inner = fields.get("error", fields)
    return inner if isinstance(inner, str) else str(inner["message"])


@pytest.mark.parametrize("sample", STREAMS, ids=lambda sample: sample["file"])
def test_a_recorded_answer_is_the_same_wherever_it_is_cut(sample: dict[str, Any]) -> None:
    form, body = FORMATS[sample["protocol"]], body_of(sample)
    whole, error = hear(form, [body])
    for chunks in ways_to_cut(body):
        events, again = hear(form, chunks)
        assert events == whole
        assert repr(again) == repr(error)


@pytest.mark.parametrize("sample", STREAMS, ids=lambda sample: sample["file"])
def test_a_recorded_answer_keeps_the_contract(sample: dict[str, Any]) -> None:
    events, error = hear(FORMATS[sample["protocol"]], [body_of(sample)])
    kinds = [type(event) for event in events]

    assert kinds.count(Start) <= 1
    assert Start not in kinds[1:]
    finishes = [event for event in events if isinstance(event, Finish)]
    assert len(finishes) == (0 if error else len({event.choice for event in finishes}))
    assert kinds[len(kinds) - len(finishes) :] == [Finish] * len(finishes)
    assert error or finishes
    assert kinds.count(Usage) <= 1
    if Usage in kinds:
        assert not any(map(is_content, events[kinds.index(Usage) :]))


MISCELLANEOUS = [sample for sample in ALL if sample["protocol"] == "sse_misc"]


@pytest.mark.parametrize("sample", MISCELLANEOUS, ids=lambda sample: sample["file"])
def test_other_services_events_pass_at_framing_level(sample: dict[str, Any]) -> None:
    for chunks in ways_to_cut(body_of(sample)):
        sse = SSE()
        frames = [frame for chunk in chunks for frame in sse.feed(chunk)] + sse.close()
        expected = sample["expected"]["events"]
        assert [frame.data for frame in frames] == [event["data"] for event in expected]
        assert [frame.event for frame in frames] == [event["event"] for event in expected]
        assert [frame.id for frame in frames] == [event.get("id") or "" for event in expected]


REFUSED = [sample for sample in ALL if sample["protocol"] == "http_error"]


# What each stands for, by what it is about in its name; everything else is a wrong request.
CLASSES: dict[str, type[ServiceError]] = {
    "404": NotFound,
    "model_not_found": NotFound,  # also with status 400
    "401": Unauthorized,
    "403": Unauthorized,
    "429": RateLimited,
}


@pytest.mark.parametrize("sample", REFUSED, ids=lambda sample: sample["name"])
def test_a_recorded_refusal_says_what_the_service_said(sample: dict[str, Any]) -> None:
    error = refusal(
        body_of(sample), status=sample["http_status"], headers=sample["response_headers"]
    )
    body = sample["expected"]
    body = body[0] if isinstance(body, list) else body
    assert error.message == said(body if "error" in body else {"error": body["message"]})[:1000]
    assert error.status == sample["http_status"]
    right = next((kind for mark, kind in CLASSES.items() if mark in sample["name"]), BadRequest)
    assert type(error) is right
    named = [it for it in ("request-id", "x-request-id") if it in sample["response_headers"]]
    assert not named or error.request_id == sample["response_headers"][named[0]]
