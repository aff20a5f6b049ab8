"""Those who imitate OpenAI: each row says the truth about its service."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

import rxchat
from rxchat import operators as ops
from rxchat import providers
from rxchat.errors import MissingKey, MissingSetting, UnknownOption, UsageError
from rxchat.provider import Provider
from rxchat.providers import imitator
from rxchat.providers.openai_family import FAMILY
from rxchat.testing import LocalServer, Reply

ADDRESSES = {
    "azure": "https://mine.openai.azure.com/openai/v1/chat/completions",
    "azure_deployments": (
        "https://mine.openai.azure.com/openai/deployments/my-gpt/chat/completions"
        "?api-version=2024-10-21"
    ),
    "cerebras": "https://api.cerebras.ai/v1/chat/completions",
    "deepseek": "https://api.deepseek.com/chat/completions",
    "fireworks": "https://api.fireworks.ai/inference/v1/chat/completions",
    "github": "https://models.github.ai/inference/chat/completions",
    "groq": "https://api.groq.com/openai/v1/chat/completions",
    "huggingface": "https://router.huggingface.co/v1/chat/completions",
    "litellm": "http://127.0.0.1:4000/chat/completions",
    "llamacpp": "http://127.0.0.1:8080/v1/chat/completions",
    "lmstudio": "http://127.0.0.1:1234/v1/chat/completions",
    "mistral": "https://api.mistral.ai/v1/chat/completions",
    "nvidia": "https://integrate.api.nvidia.com/v1/chat/completions",
    "ollama_v1": "http://127.0.0.1:11434/v1/chat/completions",
    "openrouter": "https://openrouter.ai/api/v1/chat/completions",
    "perplexity": "https://api.perplexity.ai/chat/completions",
    "together": "https://api.together.xyz/v1/chat/completions",
    "vllm": "http://127.0.0.1:8000/v1/chat/completions",
    "xai": "https://api.x.ai/v1/chat/completions",
}
services = pytest.mark.parametrize("name", FAMILY)


def service(name: str) -> Provider:
    there = FAMILY[name]
    if "endpoint" in there.settings:
        there = there.but(endpoint="https://mine.openai.azure.com")
    return there.but(model="my-gpt")


def body(name: str, **options: Any) -> dict[str, Any]:
    return service(name).request("Hi", **options).json


def test_the_table_has_a_test_of_each_row() -> None:
    assert FAMILY.keys() == ADDRESSES.keys()


@services
def test_a_row_is_a_word_of_the_providers(name: str) -> None:
    assert getattr(providers, name) is FAMILY[name]
    assert FAMILY[name].name == name
    assert name in dir(providers)


def test_a_row_is_all_that_an_imitator_takes() -> None:
    """Its name stands in no other file of the package."""
    package = Path(rxchat.__file__).parent
    for file in package.rglob("*.py"):
        words = {
            node.id for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Name)
        }
        assert file.name == "openai_family.py" or not {"groq", "together", "xai"} & words


@services
def test_a_request_goes_to_the_services_address(name: str) -> None:
    assert service(name).request("Hi").url == ADDRESSES[name]


@services
async def test_it_answers_with_its_key_in_its_own_form(name: str) -> None:
    async with LocalServer(Reply("Hel", "lo")) as server:
        there = service(name).but(base_url=server.url + "/v1", key="sk-1")
        assert await there("Hi").pipe(ops.text(), ops.to_list()) == ["Hel", "lo"]
        headers = server.exchanges[0].headers
    if name.startswith("azure"):
        assert headers["api-key"] == "sk-1"
    else:
        assert headers["authorization"] == "Bearer sk-1"


@services
def test_without_a_key_it_says_which_variable_to_set_unless_it_needs_none(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = service(name)
    variables = there.auth.variables
    for variable in variables:
        monkeypatch.delenv(variable, raising=False)
    if there.url.startswith("http://127.0.0.1"):
        there("Hi")
        return
    with pytest.raises(MissingKey, match=f"{variables[0]}.*python -m rxchat demo"):
        there("Hi")
    monkeypatch.setenv(variables[0], "sk-1")
    there("Hi")


@pytest.mark.parametrize("name", ["llamacpp", "lmstudio", "vllm"])
def test_a_server_with_one_model_is_not_told_its_name(name: str) -> None:
    assert "model" not in FAMILY[name].request("Hi").json


@pytest.mark.parametrize("name", ["litellm", "azure_deployments"])
def test_a_service_without_a_usual_model_wants_one(name: str) -> None:
    there = FAMILY[name].but(base_url="http://x/{model}")
    with pytest.raises(MissingSetting, match="model is missing"):
        there.request("Hi")


def test_azure_wants_an_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_OPENAI_ENDPOINT", raising=False)
    assert providers.azure.url == "{endpoint}/openai/v1/chat/completions"
    with pytest.raises(MissingSetting, match=r"endpoint=.*AZURE_OPENAI_ENDPOINT"):
        providers.azure.request("Hi")
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://mine.openai.azure.com/")
    assert providers.azure.request("Hi").url == ADDRESSES["azure"]


def test_an_endpoint_must_be_an_address() -> None:
    with pytest.raises(UsageError, match="not 'mine/openai/v1'"):
        providers.azure.but(endpoint="mine").request("Hi")


@pytest.mark.parametrize(
    ("provider", "setting", "value"),
    [
        (providers.bedrock, "region", "evil.example/x"),
        (providers.bedrock, "region", "a b"),
        (providers.vertex.but(project="p"), "endpoint", "evil.example/x"),
    ],
)
def test_a_setting_chooses_no_other_host(provider: Provider, setting: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"{setting} must be part of a host's name"):
        provider.request("Hi", **{setting: value})


def test_what_is_filled_into_a_path_stays_in_its_place() -> None:
    asked = providers.vertex.request("Hi", project="p/../x?y", model="a/b")
    assert "/projects/p%2F..%2Fx%3Fy/" in asked.url
    assert "/models/a%2Fb:" in asked.url


@pytest.mark.parametrize("address", ["http://[::1", "{foo}/v1", "http://a b"])
def test_an_address_that_is_none_is_a_usage_error_and_can_be_shown(address: str) -> None:
    there = providers.azure.but(endpoint=address)
    assert "azure" in repr(there)
    with pytest.raises(UsageError, match="http"):
        there.request("Hi")


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("openai", {"max_tokens": 5}, {"max_completion_tokens": 5}),
        ("groq", {"max_tokens": 5}, {"max_completion_tokens": 5}),
        ("together", {"max_tokens": 5}, {"max_tokens": 5}),
        ("mistral", {"seed": 5}, {"random_seed": 5}),
        ("xai", {"seed": 5}, {"seed": 5}),
        ("openrouter", {"reasoning": "low"}, {"reasoning": {"effort": "low"}}),
        ("openrouter", {"reasoning": 500}, {"reasoning": {"max_tokens": 500}}),
        ("xai", {"reasoning": "low"}, {"reasoning_effort": "low"}),
        ("xai", {}, {"stream_options": {"include_usage": True}}),
    ],
)
def test_an_option_is_said_in_the_services_word(
    name: str, options: dict[str, Any], said: dict[str, Any]
) -> None:
    there = getattr(providers, name)
    plain, asked = there.request("Hi").json, there.request("Hi", **options).json
    assert asked == plain | said


@pytest.mark.parametrize("name", ["mistral", "perplexity"])
def test_a_usage_that_comes_unasked_is_not_asked_for(name: str) -> None:
    assert "stream_options" not in body(name)


@pytest.mark.parametrize(
    ("name", "option"),
    [("groq", "n"), ("cerebras", "n"), ("deepseek", "seed"), ("perplexity", "tools")],
)
def test_an_option_that_a_service_does_not_know_is_refused(name: str, option: str) -> None:
    with pytest.raises(UnknownOption, match=f"{name}: there is no option '{option}'"):
        FAMILY[name].but(**{option: 1})


def test_a_budget_is_refused_where_only_an_effort_is_known() -> None:
    with pytest.raises(UsageError, match="not a budget"):
        providers.openai.request("Hi", reasoning=500)


def test_deepseek_gets_its_thoughts_back_with_its_calls() -> None:
    said = rxchat.assistant(
        rxchat.events.Reasoning("Hm."), rxchat.events.ToolCall(0, "call_0", "now", "{}")
    )
    prompt = ["What time is it?", said, rxchat.tool("noon", "call_0")]
    turn = FAMILY["deepseek"].request(prompt).json["messages"][1]
    assert turn["reasoning_content"] == "Hm."
    assert "reasoning_content" not in FAMILY["groq"].request(prompt).json["messages"][1]


SEALED = rxchat.events.Reasoning(
    "Hm.", opaque=rxchat.events.Opaque("openai", [{"type": "reasoning.text", "signature": "S1"}])
)


async def test_openrouters_details_go_back_to_it_and_to_nobody_else() -> None:
    async with LocalServer(Reply("Good.")) as server:
        server.plan(Reply(SEALED, "Hello"))
        there = FAMILY["openrouter"].but(base_url=server.url, key="sk-1")
        heard = await there("Hi").pipe(ops.to_list())
    assert SEALED in heard
    said = ["Hi", rxchat.reply(heard), "Go on"]
    turn = there.request(said).json["messages"][1]
    assert turn["reasoning_details"] == [{"type": "reasoning.text", "signature": "S1"}]
    for name in ("groq", "mistral", "vllm"):
        assert set(FAMILY[name].request(said).json["messages"][1]) == {"role", "content"}


@pytest.mark.parametrize(("name", "knows"), [("openai", True), ("azure", True), ("groq", False)])
def test_a_refusal_is_text_to_those_who_know_no_refusals(name: str, knows: bool) -> None:
    said = ["Hi", rxchat.assistant(rxchat.events.Refusal("I cannot.")), "Why?"]
    there = getattr(providers, name).but(base_url="http://x")
    turn = there.request(said).json["messages"][1]
    assert turn.get("refusal") == ("I cannot." if knows else None)
    assert turn["content"] == ("" if knows else "I cannot.")


def test_a_row_of_ones_own_is_one_line() -> None:
    mine = imitator("mine", "https://chat.example.com/v1", "MY_KEY", "small")
    request = mine.request("Hi", key="sk-1")
    assert request.url == "https://chat.example.com/v1/chat/completions"
    assert request.headers["Authorization"] == "Bearer sk-1"
    assert request.json["model"] == "small"
