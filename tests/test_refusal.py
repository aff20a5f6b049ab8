"""Every shape in which a service says no becomes the right error, with its message and code."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from msgspec.json import encode

from rxchat.errors import (
    AllFailed,
    BadRequest,
    Blocked,
    ChatError,
    Deadline,
    NotFound,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    ServerError,
    ServiceError,
    Truncated,
    Unauthorized,
)
from rxchat.refusal import excerpt, refusal, said_no

Facts = tuple[type[ServiceError], str, str | None]


def openai(kind: str, code: object = None) -> dict[str, Any]:
    return {"error": {"message": "no", "type": kind, "param": None, "code": code}}


# status, body, headers -> class, message, code
SHAPES: dict[str, tuple[int | None, Any, dict[str, str], Facts]] = {
    "openai": (401, openai("x", "invalid_api_key"), {}, (Unauthorized, "no", "invalid_api_key")),
    "openai quota": (
        429,
        openai("insufficient_quota", "insufficient_quota"),
        {},
        (QuotaExhausted, "no", "insufficient_quota"),
    ),
    "openai model": (
        400,
        openai("invalid_request_error", "model_not_found"),
        {},
        (NotFound, "no", "model_not_found"),
    ),
    "openrouter": (
        429,
        {"error": {"message": "no", "code": 429, "metadata": {"raw": "x"}}, "user_id": "u"},
        {},
        (RateLimited, "no", "429"),
    ),
    "xai": (
        400,
        {"code": "invalid-argument", "error": "bad key"},
        {},
        (BadRequest, "bad key", "invalid-argument"),
    ),
    "mistral": (401, {"detail": "Invalid API Key"}, {}, (Unauthorized, "Invalid API Key", None)),
    "fastapi": (
        422,
        {"detail": [{"loc": ["body", "n"], "msg": "too big"}, {"msg": "odd"}, "plain"]},
        {},
        (BadRequest, "body.n: too big; odd; plain", None),
    ),
    "anthropic": (
        529,
        {"type": "error", "error": {"type": "overloaded_error", "message": "no"}},
        {},
        (Overloaded, "no", "overloaded_error"),
    ),
    "gemini": (
        400,
        {
            "error": {
                "code": 400,
                "message": "no",
                "status": "INVALID_ARGUMENT",
                "details": [{"@type": "ErrorInfo", "reason": "API_KEY_INVALID"}],
            }
        },
        {},
        (Unauthorized, "no", "API_KEY_INVALID"),
    ),
    "gemini in an array": (
        503,
        [{"error": {"code": 503, "message": "no", "status": "UNAVAILABLE"}}],
        {},
        (Overloaded, "no", "503"),
    ),
    "cohere": (404, {"id": "1", "message": "gone"}, {}, (NotFound, "gone", None)),
    "ollama": (404, {"error": "no such model"}, {}, (NotFound, "no such model", None)),
    "bedrock": (
        403,
        {"Message": "no"},
        {"x-amzn-errortype": "ExpiredTokenException:http://internal/"},
        (Unauthorized, "no", "ExpiredTokenException"),
    ),
    "tgi": (
        429,
        {"error": "busy", "error_type": "overloaded"},
        {},
        (Overloaded, "busy", "overloaded"),
    ),
    "a status that lies": (
        500,
        openai("invalid_request_error"),
        {},
        (BadRequest, "no", "invalid_request_error"),
    ),
    "plain text": (500, b"it broke\n  badly", {}, (ServerError, "it broke badly", None)),
    "a page": (
        502,
        b"<html><title>Bad gateway</title>",
        {},
        (ServerError, "a web page: Bad gateway", None),
    ),
    "a page without title": (500, b" <p>oh", {}, (ServerError, "a web page", None)),
    "a bot check": (403, b"<p>Unable to load site</p>", {}, (Blocked, "a web page", None)),
    "nothing": (404, b"", {}, (NotFound, "the service answered with status 404", None)),
    "json, but no object": (400, b"[]", {}, (BadRequest, "[]", None)),
    "null": (400, b"null", {}, (BadRequest, "null", None)),
    "odd types": (
        400,
        {"error": {"message": 5, "code": ["x"], "details": "y"}, "request_id": 6},
        {},
        (BadRequest, '{"error":', None),
    ),
    "inside a stream": (None, openai("server_error"), {}, (ServerError, "no", "server_error")),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_refusal_is_understood(name: str) -> None:
    status, body, headers, (kind, message, code) = SHAPES[name]
    raw = body if isinstance(body, bytes) else encode(body)
    error = refusal(raw, status=status, headers=headers)
    assert type(error) is kind
    assert error.message.startswith(message)
    assert (error.code, error.status) == (code, status)


def test_a_parsed_body_is_read_as_well() -> None:
    assert refusal({"error": {"message": "no"}}).message == "no"


IDS = [
    ({"x-request-id": "1", "request-id": "2"}, {}, "1"),
    ({"apim-request-id": "3"}, {}, "3"),
    ({}, {"request_id": "4", "error": "x"}, "4"),
    ({}, {"request_id": 5, "error": "x"}, None),
]


@pytest.mark.parametrize(("headers", "body", "expected"), IDS)
def test_a_request_id_is_found(headers: Any, body: Any, expected: str | None) -> None:
    assert refusal(body, headers=headers).request_id == expected


@pytest.mark.parametrize(
    "value", [{"error": "x"}, {"error": {"a": 1}}, [{"error": "x"}], {"detail": "x"}]
)
def test_an_error_object_says_no(value: object) -> None:
    assert said_no(encode(value))
    assert said_no(b"\xef\xbb\xbf" + encode(value))


@pytest.mark.parametrize(
    "value", [{"error": None}, {"error": {}}, {}, [], "error", None, {"detail": 1, "more": 2}]
)
def test_what_has_no_error_does_not_say_no(value: object) -> None:
    assert not said_no(encode(value))


@pytest.mark.parametrize("body", [b"[" * 60_000, b'{"detail": [{"loc": null, "msg": "x"}]}'])
def test_no_body_is_too_odd_to_be_read(body: bytes) -> None:
    assert isinstance(refusal(body, status=422), BadRequest)


def test_an_excerpt_is_one_short_line() -> None:
    assert excerpt("a\n b\x00" + "c" * 999, limit=5) == "a b\x00c…"
    assert excerpt(b"\xff") == "\ufffd"


# Errors carry facts -----------------------------------------------------------------------------


def test_an_error_says_all_that_is_known() -> None:
    error = RateLimited("slow down", status=429, code="c", request_id="r", retry_after=0.0)
    error.about(provider="p", status=500, content_emitted=True)
    assert str(error) == (
        "p: slow down (status 429; code c; request id r; retry after 0.0 s; "
        "part of the answer had been emitted)"
    )
    assert (error.message, error.status) == ("slow down", 429)


def test_a_fact_that_errors_do_not_have_is_refused() -> None:
    with pytest.raises(TypeError, match="has no fact 'colour'"):
        ChatError("x", colour="red")


@pytest.mark.parametrize(
    "error",
    [
        RateLimited("x", retry_after=1.0),
        Deadline("x", phase="connect", provider="p"),
        AllFailed("x", [Truncated("y")]),
    ],
)
def test_an_error_survives_pickling(error: ChatError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.__dict__) == (type(error), str(error), error.__dict__)


def test_a_group_of_failures_is_split_by_type_and_retried_if_one_may_succeed() -> None:
    group = AllFailed("x", [Truncated("cut"), BadRequest("no")])
    assert group.retryable
    assert not AllFailed("x", [BadRequest("no")]).retryable
    matching, rest = group.split(Truncated)
    assert isinstance(matching, AllFailed)
    assert isinstance(rest, AllFailed)
    assert [str(each) for each in rest.exceptions] == ["no"]
