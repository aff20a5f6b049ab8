"""`python -m rxchat providers`: who can be asked, and what the others still want."""

from __future__ import annotations

import argparse
import json
import re
import warnings
from collections.abc import Iterable, Iterator
from os import environ

import attrs

from rxchat import providers
from rxchat.cli import exits
from rxchat.cli.pages import add_output_options, console_for
from rxchat.cli.tables import print_table
from rxchat.errors import UsageError
from rxchat.provider import Provider
from rxchat.request import without_password

__all__ = ["Standing", "add", "standing"]


def add(parser: argparse.ArgumentParser) -> None:
    """What can be said to it."""
    parser.add_argument("--ready", action="store_true", help="only those who can be asked now")
    add_output_options(parser, "a provider each")
    parser.set_defaults(run=_run)


@attrs.frozen
class Standing:
    """A provider, and by the names of their variables what it has and lacks; never a value."""

    name: str
    model: str
    address: str
    found: tuple[str, ...]
    missing: tuple[str, ...]
    trouble: str | None
    needs_key: bool = True

    @property
    def ready(self) -> bool:
        return self.trouble is None

    def row(self) -> tuple[str, str, str, str]:
        how = "ready" if self.needs_key else "no key needed"
        how += f", with {', '.join(self.found)}" if self.found else ""
        return self.name, self.model, self.trouble or how, self.address


def standing(provider: Provider) -> Standing:
    """What is known of a provider without asking it."""
    wanted = [*getattr(provider.auth, "variables", ())]
    for setting in provider.settings.values():
        wanted += setting.variables
    return Standing(
        provider.name,
        provider.model,
        _host(provider),
        found=tuple(_set(wanted)),
        missing=tuple(name for name in wanted if not environ.get(name)),
        trouble=_trouble(provider),
        needs_key=provider.auth is not None and provider.auth.missing is not None,
    )


def _set(variables: Iterable[str]) -> Iterator[str]:
    return (name for name in variables if environ.get(name))


def _host(provider: Provider) -> str:
    """Where it is, as far as that is known."""
    return re.sub(r"(?<=[^:/])/.*", "", without_password(provider.url))


def _trouble(provider: Provider) -> str | None:
    if not provider.working:
        return f"gone: {provider.why_not}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            provider("Hi")  # cold: it is made, and nothing is sent
    except UsageError as error:
        said = error.message.partition(";")[0].replace("pass model=...", "say NAME:MODEL")
        return re.sub(r"pass \w+=\.\.\., or ", "", said)  # here, a variable is all that helps
    return None


def _run(said: argparse.Namespace) -> int:
    known = [standing(provider) for provider in providers.services().values()]
    chosen = [each for each in known if each.ready]
    if not said.ready:
        chosen += [each for each in known if not each.ready]
    if said.json:
        for each in chosen:
            print(json.dumps({**attrs.asdict(each), "ready": each.ready}))
        return exits.OK
    rows = [each.row() for each in chosen]
    head = ("provider", "model", "state", "address")
    print_table(console_for(said), head, rows, right=len(head))
    return exits.OK
