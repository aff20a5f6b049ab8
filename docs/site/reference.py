"""What there is, as the packages themselves say: no page of the reference can forget a name.

On a page, `{{ members rxchat.errors }}` becomes the docstring of that module and an entry for each
of its public names; `{{ services }}` and `{{ reactivex }}` become tables of the providers, and of
the operators that are reactivex's own; `{{ operators shape }}` links to the entries of the page
operators/shape.md.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path

from reactivex import operators as stock

from rxchat import operators, providers

__all__ = ["home", "linked", "listed", "names"]

OPERATORS = Path(__file__).parent.parent / "operators"
LIST = re.compile(r"\{\{ (\w+) ?([\w.-]*) \}\}")
NOTHING_TOLD = re.compile(r"\.\. |-|Example|(The )?[\w `]+ operator\.$")
HEADING = re.compile(r"^## (\w+)$", re.MULTILINE)
STEPS = ("answer", "decode", "events", "exponential", "fallback", "retry", "send", "sign", "text")
OURS = sorted({*operators._FILE_OF, *STEPS})
"""The operators, and what belongs to them, that are not reactivex's."""


def names(module: str) -> list[str]:
    """The public names of a module that are no provider: these are values, not code."""
    if module == "rxchat.operators":
        return OURS
    found = import_module(module)
    public = getattr(found, "__all__", None) if module != "rxchat" else dir(found)
    return [name for name in sorted(public or ()) if name not in _services()]


def home(name: str) -> str:
    """Where the reference has an operator: `rxchat.race`, `rxchat.operators.retry`."""
    return f"rxchat.operators.{name}" if name in OURS else f"rxchat.{name}"


def linked(markdown: str) -> str:
    """The page of operators, with a link to the reference under each heading."""

    def link(heading: re.Match[str]) -> str:
        return f"{heading[0]}\n\n[`{home(heading[1])}`][{home(heading[1])}]{{ .home }}"

    return HEADING.sub(link, markdown)


def listed(markdown: str) -> str:
    """The page, with each list that it asks for."""

    def written(asked: re.Match[str]) -> str:
        return "\n".join(_LISTS[asked[1]](asked[2]))

    return LIST.sub(written, markdown)


def _members(module: str) -> Iterator[str]:
    yield f"::: {module}\n    options:\n      members: false"
    yield "      show_root_heading: false\n      show_root_toc_entry: false\n"
    for name in names(module):
        yield f"::: {module}.{name}\n"


def _services() -> Mapping[str, providers.Provider]:
    return providers.services()


def _table(_: str) -> Iterator[str]:
    yield "| provider | model | address |\n|---|---|---|"
    for name, service in sorted(_services().items()):
        if service.working:
            model = f"`{service.model}`" if service.model else ""
            yield f"| `{name}` | {model} | `{service.url}` |"


def _reactivex(_: str) -> Iterator[str]:
    yield "| operator | what it does |\n|---|---|"
    for name in sorted(set(stock.__all__) - set(OURS)):
        yield f"| `{name}` | {_first_words(getattr(stock, name))} |"


def _operators(page: str) -> Iterator[str]:
    headings = HEADING.findall((OPERATORS / f"{page}.md").read_text())
    yield ", ".join(f"[{name}]({page}.md#{name})" for name in headings)


def _first_words(operator: Callable[..., object]) -> str:
    """The first sentence that says more than its name."""
    paragraphs = (inspect.getdoc(operator) or "").split("\n\n")
    telling = (words for words in paragraphs if not NOTHING_TOLD.match(words.strip()))
    words = re.sub(r"(One of the Following|Or): ", "", " ".join(next(telling, "").split()))
    sentence = re.split(r"(?<=[a-z]\.) |\. ?(?=[A-Z])", words)[0].rstrip(".")
    return re.sub(r":\w+:", "", sentence).replace("|", "\\|") + "." if sentence else ""


_LISTS: Mapping[str, Callable[[str], Iterator[str]]] = {
    "members": _members,
    "operators": _operators,
    "services": _table,
    "reactivex": _reactivex,
}
