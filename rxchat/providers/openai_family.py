"""Those who imitate OpenAI's chat completions: one row each.

A row says where a service is, which variable has its key, and what it does otherwise. Any other
host is `openai.but(base_url=..., key=...)`, or a row of your own:

>>> mine = imitator("mine", "https://chat.example.com/v1", "MY_KEY", "small")
>>> mine.url
'https://chat.example.com/v1/chat/completions'
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import attrs

from rxchat.keys import Key, Setting
from rxchat.provider import Provider
from rxchat.providers.openai_body import ChatBody
from rxchat.providers.openai_chat import CHAT
from rxchat.request import Headers
from rxchat.signing import header_key


def imitator(
    name: str,
    base_url: str,
    key: Key | str,
    model: str,
    *,
    body: ChatBody | None = None,
    without: tuple[str, ...] = (),
    headers: Mapping[str, str] | None = None,
    **facts: Any,
) -> Provider:
    """A service that speaks as OpenAI does; `without` are options that it does not know."""
    options = {option: None for option in CHAT.options if option not in without}
    return Provider(
        name=name,
        format=attrs.evolve(CHAT, body=body or ChatBody(), options=options),
        base_url=base_url,
        model=model,
        auth=Key(key) if isinstance(key, str) else key,
        headers=Headers({"Content-Type": "application/json"}) | (headers or {}),
        **facts,
    )


def _effort_or_budget(reasoning: str | int) -> dict[str, Any]:
    """https://openrouter.ai/docs/use-cases/reasoning-tokens"""
    by = "max_tokens" if isinstance(reasoning, int) else "effort"
    return {"reasoning": {by: reasoning}}


_AZURE = Key("AZURE_OPENAI_API_KEY", signature=partial(header_key, "api-key"))
_ENDPOINT = Setting("AZURE_OPENAI_ENDPOINT")
_NEWER = ChatBody(max_tokens="max_completion_tokens")
_OPENAI = attrs.evolve(_NEWER, refusals=True)
_NAMELESS = ChatBody(nameless=True)  # a server that has one model does not ask for its name

azure = imitator(
    "azure",
    "{endpoint}/openai/v1",
    _AZURE,
    "gpt-5-mini",
    body=_OPENAI,
    settings={"endpoint": _ENDPOINT},
)
azure_deployments = imitator(
    "azure_deployments",
    "{endpoint}/openai/deployments/{model}",
    _AZURE,
    "",
    body=_OPENAI,
    path="/chat/completions?api-version={api_version}",
    settings={
        "endpoint": _ENDPOINT,
        "api_version": Setting("OPENAI_API_VERSION", default="2024-10-21"),
    },
)
cerebras = imitator(
    "cerebras",
    "https://api.cerebras.ai/v1",
    "CEREBRAS_API_KEY",
    "gpt-oss-120b",
    body=_NEWER,
    without=("n",),
)
deepseek = imitator(
    "deepseek",
    "https://api.deepseek.com",
    "DEEPSEEK_API_KEY",
    "deepseek-chat",
    body=ChatBody(thoughts="reasoning_content"),
    without=("n", "seed", "schema", "reasoning"),
)
fireworks = imitator(
    "fireworks",
    "https://api.fireworks.ai/inference/v1",
    "FIREWORKS_API_KEY",
    "accounts/fireworks/models/gpt-oss-120b",
)
github = imitator(
    "github",
    "https://models.github.ai/inference",
    "GITHUB_TOKEN",
    "openai/gpt-5-mini",
    headers={"X-GitHub-Api-Version": "2022-11-28"},
)
groq = imitator(
    "groq",
    "https://api.groq.com/openai/v1",
    "GROQ_API_KEY",
    "openai/gpt-oss-120b",
    body=_NEWER,
    without=("n",),
)
huggingface = imitator(
    "huggingface", "https://router.huggingface.co/v1", "HF_TOKEN", "openai/gpt-oss-120b"
)
litellm = imitator(
    "litellm",
    "http://127.0.0.1:4000",
    Key(("LITELLM_PROXY_API_KEY", "LITELLM_API_KEY"), needed=False),
    "",
)
llamacpp = imitator(
    "llamacpp",
    "http://127.0.0.1:8080/v1",
    Key("LLAMA_API_KEY", needed=False),
    "",
    body=_NAMELESS,
)
lmstudio = imitator(
    "lmstudio",
    "http://127.0.0.1:1234/v1",
    Key("LM_API_TOKEN", needed=False),
    "",
    body=_NAMELESS,
)
mistral = imitator(
    "mistral",
    "https://api.mistral.ai/v1",
    "MISTRAL_API_KEY",
    "mistral-small-latest",
    body=ChatBody(seed="random_seed", usage=False),  # the usage comes unasked
)
nvidia = imitator(
    "nvidia", "https://integrate.api.nvidia.com/v1", "NVIDIA_API_KEY", "openai/gpt-oss-120b"
)
ollama_v1 = imitator(
    "ollama_v1",
    "http://127.0.0.1:11434/v1",
    Key("OLLAMA_API_KEY", needed=False),
    "llama3.2",
)
openrouter = imitator(
    "openrouter",
    "https://openrouter.ai/api/v1",
    "OPENROUTER_API_KEY",
    "openrouter/auto",
    body=ChatBody(reasoning=_effort_or_budget, details=True),
)
perplexity = imitator(
    "perplexity",
    "https://api.perplexity.ai",
    Key(("PERPLEXITY_API_KEY", "PPLX_API_KEY")),
    "sonar",
    body=ChatBody(usage=False),  # the usage comes unasked
    without=("n", "seed", "stop", "tools", "tool_choice"),
)
together = imitator(
    "together", "https://api.together.xyz/v1", "TOGETHER_API_KEY", "openai/gpt-oss-120b"
)
vllm = imitator(
    "vllm", "http://127.0.0.1:8000/v1", Key("VLLM_API_KEY", needed=False), "", body=_NAMELESS
)
xai = imitator("xai", "https://api.x.ai/v1", "XAI_API_KEY", "grok-4")

FAMILY = {value.name: value for value in [*globals().values()] if isinstance(value, Provider)}
