"""How we ask: what may stand in an option, and what is said when it may not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import attrs
import msgspec
import pytest

from rxchat import Tool
from rxchat.errors import UnknownModel, UnknownOption, UsageError
from rxchat.options import BODY, VALUES, Options, merged
from rxchat.providers import flowgpt, openai

OBJECT = {"type": "object", "properties": {}}


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("temperature", "hot", "a finite number"),
        ("temperature", True, "a finite number"),
        ("temperature", float("nan"), "a finite number"),
        ("top_p", [1], "a finite number"),
        ("max_tokens", 0, "1 or more"),
        ("max_tokens", 1.5, "a whole number"),
        ("n", -1, "1 or more"),
        ("n", True, "a whole number"),
        ("seed", "7", "a whole number"),
        ("stop", [], "none of them empty"),
        ("stop", ["a", ""], "none of them empty"),
        ("stop", 3, "not iterable"),
        ("reasoning", -1, "or a number of tokens"),
        ("reasoning", "", "an effort"),
        ("reasoning", 0.5, "an effort"),
        ("reasoning", True, "an effort"),
        ("schema", 3, "schema"),
        ("schema", {"x": object()}, "schema"),
        ("tools", [3], "a tool is rxchat.Tool"),
        ("tools", Tool("f"), "a list of tools"),
        ("tools", {"name": "f"}, "a list of tools"),
        ("schema", object, "model_json_schema"),
        ("tools", [{"name": "f", "colour": "red"}], "a tool is rxchat.Tool"),
        ("tools", [{"name": "f", "strict": True}], "a tool is rxchat.Tool"),
        ("tools", [{"description": "f"}], "name"),
        ("tools", [{"name": "f", "description": 5}], "a name and a description"),
        ("tools", [{"name": "f", "parameters": None}], "a JSON schema"),
        ("schema", list[int], "of an object"),
        ("tools", [Tool("f"), Tool("f")], "two tools have the same name"),
        ("tools", [Tool("f", parameters={"x": {1, 2, object()}})], "tools"),
        ("tool_choice", "", "a text"),
        ("extra", 3, "a mapping"),
        ("extra", {"x": object()}, "extra"),
        ("timeout", "long", "timeout"),
        ("organization", 3, "a text"),
        ("base_url", "ftp://x", "http:// or https://"),
    ],
)
def test_a_wrong_value_is_refused_and_its_option_named(option: str, value: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        openai.but(**{option: value})
    assert option in str(caught.value)


def test_an_unknown_option_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(
        UnknownOption, match=r"openai: there is no option 'colour'; there are .*temperature"
    ):
        openai.but(colour="red")
    with pytest.raises(UnknownOption, match="no option 'top_p'"):
        flowgpt.but(top_p=0.5)


def test_a_misspelt_option_or_model_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownOption, match=r"; did you mean 'temperature'\?$"):
        openai.but(temprature=1)
    with pytest.raises(UnknownOption, match=r"; did you mean 'max_tokens'\?; did you mean 'stop'"):
        openai.but(maxtokens=1, stopp="x")
    with pytest.raises(UnknownModel, match=r"; did you mean 'gpt-4-turbo'"):
        flowgpt.but(model="gpt4-turbo")
    with pytest.raises(UnknownOption) as caught:
        openai.but(colour="red")
    assert "did you mean" not in str(caught.value)


def test_every_option_of_a_body_has_a_type_and_a_check() -> None:
    assert set(BODY) == set(VALUES) <= set(Options.__annotations__)


def test_what_a_caller_changes_later_changes_no_provider() -> None:
    extra: dict[str, Any] = {"a": {"b": [1]}}
    schema: dict[str, Any] = {"type": "object", "properties": {}}
    asked = openai.but(extra=extra, schema=schema, tools=[Tool("f", "", schema)])
    before = asked.request("Hi").body
    extra["a"]["b"].append(2)
    schema["properties"]["x"] = {}
    assert asked.request("Hi").body == before


def test_extra_is_merged_object_by_object_also_over_several_changes() -> None:
    asked = openai.but(extra={"a": {"b": 1}, "d": 1}).request("Hi", extra={"a": {"c": 2}, "d": 2})
    assert asked.json["a"] == {"b": 1, "c": 2}
    assert asked.json["d"] == 2


def test_an_endless_value_is_refused() -> None:
    endless: dict[str, Any] = {}
    endless["again"] = endless
    with pytest.raises(UsageError, match="extra"):
        openai.but(extra=endless)


def test_a_setting_can_be_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-env")
    mine = openai.but(organization="org-mine")
    assert mine.request("Hi").headers["OpenAI-Organization"] == "org-mine"
    assert mine.but(organization=None).request("Hi").headers["OpenAI-Organization"] == "org-env"
    assert "OpenAI-Organization" not in mine.request("Hi", organization="").headers


def test_only_headers_of_the_providers_own_are_filled_in() -> None:
    headers = {"X-Note": '{"model": {model}}', "X-Model": "{model}"}
    asked = openai.but(headers=headers).request("Hi")
    assert (asked.headers["X-Note"], asked.headers["X-Model"]) == tuple(headers.values())


@pytest.mark.parametrize("value", ["a\nb", "a\x00b"])
def test_a_setting_that_no_header_can_have_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match="line break"):
        openai.request("Hi", organization=value)


def test_none_takes_an_option_back() -> None:
    hot = openai.but(temperature=1.5)
    assert hot.request("Hi").json["temperature"] == 1.5
    assert hot.but(temperature=None) == openai
    assert "temperature" not in hot.request("Hi", temperature=None).json


def test_zero_thinking_is_no_thinking() -> None:
    assert openai.request("Hi", reasoning=0).json["reasoning_effort"] == "none"


@pytest.mark.parametrize(
    "tool",
    [
        Tool("now", "The time.", OBJECT),
        {"name": "now", "description": "The time.", "parameters": OBJECT},
        {
            "type": "function",
            "function": {
                "name": "now",
                "description": "The time.",
                "parameters": OBJECT,
            },
        },
    ],
)
def test_a_tool_may_be_a_mapping(tool: Any) -> None:
    assert openai.but(tools=[tool]).options["tools"] == (Tool("now", "The time.", OBJECT),)


@pytest.mark.parametrize("choice", ["weather", "any"])
def test_a_tool_that_is_not_there_cannot_be_chosen(choice: str) -> None:
    with pytest.raises(UsageError, match=f"tool_choice is one of .*'now', not '{choice}'"):
        openai.request("Hi", tools=[Tool("now")], tool_choice=choice)


def test_a_choice_needs_tools() -> None:
    with pytest.raises(UsageError, match="tool_choice needs tools"):
        openai.request("Hi", tool_choice="auto")


class Struct(msgspec.Struct):
    name: str
    lives: int = 9


@dataclass
class Data:
    name: str
    lives: int = 9


@attrs.define
class Attrs:
    name: str
    lives: int = 9


@pytest.mark.parametrize("kind", [Struct, Data, Attrs])
def test_a_schema_may_be_a_type(kind: type) -> None:
    schema = openai.request("Hi", schema=kind).json["response_format"]["json_schema"]["schema"]
    assert schema["type"] == "object"
    assert schema["properties"]["name"] == {"type": "string"}
    assert schema["required"] == ["name", "lives"]
    assert schema["additionalProperties"] is False
    assert "$ref" not in schema
    assert "$defs" not in schema


class Node(msgspec.Struct):
    value: int
    children: list[Node]


def test_a_schema_may_refer_to_itself() -> None:
    schema = openai.but(schema=Node).options["schema"]
    assert schema["properties"]["children"]["items"] == {"$ref": "#/$defs/Node"}
    assert schema["$defs"]["Node"]["properties"].keys() == {"value", "children"}


class Inner(msgspec.Struct):
    cats: list[Struct]


def test_a_schema_keeps_the_types_within() -> None:
    schema = openai.but(schema=Inner).options["schema"]
    assert schema["properties"]["cats"]["items"] == {"$ref": "#/$defs/Struct"}
    assert schema["$defs"]["Struct"]["properties"].keys() == {"name", "lives"}


CLOSED = {"additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        ({"type": "object", "properties": {"a": {}}, "required": ["a"], **CLOSED}, True),
        ({"type": "object", "properties": {"a": {}}, "required": ["a"]}, False),
        ({"type": "object", "properties": {"a": {}}, **CLOSED}, False),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "array", "items": {"type": "object"}}},
                "required": ["a"],
                **CLOSED,
            },
            False,
        ),
    ],
)
def test_openai_is_strict_where_a_schema_allows_it(schema: dict[str, Any], strict: bool) -> None:
    asked = openai.request("Hi", schema=schema).json["response_format"]["json_schema"]
    assert asked == {"name": "answer", "schema": schema, "strict": strict}


def test_bodies_are_merged_object_by_object() -> None:
    body = {"a": {"b": 1, "c": [1]}, "d": 1}
    assert merged(body, {"a": {"c": [2]}, "d": {"e": 1}}) == {
        "a": {"b": 1, "c": [2]},
        "d": {"e": 1},
    }
    assert body == {"a": {"b": 1, "c": [1]}, "d": 1}
