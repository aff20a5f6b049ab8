"""Which provider is meant: `NAME`, `NAME:MODEL`, and either at an address of its own, `@URL`.

An address is said with the provider that it is for, since a provider's key goes wherever its
address points.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from itertools import chain, count

from rxchat import providers
from rxchat.errors import UsageError, meant
from rxchat.provider import Provider

__all__ = [
    "SPELLING",
    "add_provider_options",
    "by_label",
    "is_spelling",
    "label_of",
    "named",
    "of_options",
]

SPELLING = "a provider, NAME[:MODEL][@URL]: openai, ollama:llama3.2, vllm:mine@http://gpu:8000/v1"
_SPELT = re.compile(r"(?P<name>[^:@]*)(?::(?P<model>.*?))?(?:@(?P<url>https?://.*))?", re.DOTALL)


def named(spelt: str) -> Provider:
    """The provider that is spelt so.

    >>> named("ollama:llama3:8b@http://127.0.0.1:1234")
    <provider ollama: http://127.0.0.1:1234/api/chat, model 'llama3:8b'>
    """
    said = _SPELT.fullmatch(spelt)
    known = providers.services()
    if said is None or said["name"] not in known:
        word = spelt if said is None else said["name"]
        raise UsageError(
            f"there is no provider {spelt!r}; there are {', '.join(known)}{meant(word, known)}"
        )
    if said["url"] is None and "@" in spelt and re.search(r"@([\w.-]*:\d+.*)?$", spelt):
        raise UsageError(f"say the address in {spelt!r} with http:// or https://")
    provider: Provider = known[said["name"]]
    if said["url"]:
        provider = provider.but(base_url=said["url"])
    return provider.but(model=said["model"]) if said["model"] else provider


def is_spelling(text: str) -> bool:
    """Whether a text looks like a provider, and not like something to ask.

    >>> is_spelling("openai:gpt-5"), is_spelling("openai: who is that?")
    (True, False)
    """
    said = _SPELT.fullmatch(text)
    return said is not None and said["name"] in providers.services() and " " not in text


def label_of(provider: Provider) -> str:
    """What a person calls it."""
    return f"{provider.name}:{provider.model}" if provider.model else provider.name


def by_label(spelt: Iterable[str]) -> dict[str, Provider]:
    """The providers that are spelt so, each as a person calls it; the same one may come twice.

    >>> [*by_label(["ollama:mine", "ollama:mine"])]
    ['ollama:mine', 'ollama:mine #2']
    """
    found: dict[str, Provider] = {}
    for provider in map(named, spelt):
        name = label_of(provider)
        labels = chain([name], (f"{name} #{number}" for number in count(2)))
        found[next(label for label in labels if label not in found)] = provider
    return found


def add_provider_options(parser: argparse.ArgumentParser) -> None:
    """`--provider`, `--model` and `--base-url`."""
    parser.add_argument("--provider", metavar="PROVIDER", help=SPELLING)
    parser.add_argument("--model", metavar="MODEL", help="instead of the provider's own choice")
    parser.add_argument("--base-url", metavar="URL", help="where a server speaks as the provider")


def of_options(said: argparse.Namespace) -> Provider:
    """The provider that these options mean."""
    if said.provider is None:
        known = ", ".join(providers.services())
        raise UsageError(f"say --provider NAME, one of {known}; or see the demo")
    provider = named(said.provider)
    if said.base_url is not None:
        provider = provider.but(base_url=said.base_url)
    return provider if said.model is None else provider.but(model=said.model)
