"""The documentation site, without building it: its pictures are of real runs, and nothing is left out."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest

import rxchat
from rxchat import operators as ops

DOCS = Path(__file__).parent.parent / "docs"
OPERATORS = sorted((DOCS / "operators").glob("*.md"))
NO_STREAM = {"sign", "send", "diff", "tool_of"}  # a picture would show nothing, or takes a network
JOINING = {
    *("race", "hedge", "first_valid", "quorum", "cascade", "healthy", "with_tools"),
    *("merge", "concat", "interleave", "zip", "side_by_side", "diff", "timer", "interval"),
}
MODULES = (
    "operators",
    "providers",
    "events",
    "errors",
    "framing",
    "signing",
    "testing",
    "notebook",
)


@pytest.fixture(scope="module")
def site() -> Iterator[Any]:
    """The files of docs/site that the build imports, as it does."""

    class Site:
        marbles: ModuleType
        reference: ModuleType

    found = Site()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DOCS / "site"))
        found.marbles = __import__("marbles")
        found.reference = __import__("reference")
        yield found
    for name in ("marbles", "reference"):
        del sys.modules[name]


def block(*lines: str, fails: str = "") -> str:
    return "\n".join([f"Look:\n\n```python marbles{fails and f' fails={fails}'}", *lines, "```\n"])


def sections(page: Path) -> dict[str, str]:
    _, *parts = re.split(r"^## (\w+)$", page.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


# Pictures -----------------------------------------------------------------------------------------


def test_a_block_becomes_its_code_and_the_picture_of_its_run(site: Any) -> None:
    code = 'says("Hel", "lo you").pipe(lane("in"), ops.words(), lane("out"))'
    page = site.marbles.illustrated(block(code), "page.md")

    before, shown, figure = re.fullmatch(
        r"(.*)```python\n(.*)\n```\n\n(.*)\n", page, re.DOTALL
    ).groups()
    assert before == "Look:\n\n"
    assert shown == code
    assert "\n" not in figure, "Markdown ends a block of HTML at a blank line"
    picture = ElementTree.fromstring(figure)[0]
    assert picture.get("role") == "img"
    assert picture.get("aria-label") == ("in: Hel, lo you, completed; out: Hello, you, completed")
    words = [each.text for each in picture.iter() if each.get("class") == "token"]
    assert words == ["Hel", "lo you", "Hello", "you"]


def test_the_colours_follow_the_switch_of_the_page(site: Any) -> None:
    page = site.marbles.illustrated(block('says("Hi").pipe(lane("in"))'), "page.md")
    assert "<style>" not in page
    assert "prefers-color-scheme" not in site.marbles.style()
    assert '[data-md-color-scheme="slate"]{' in site.marbles.style()


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (('says("Hi").pipe(lane("in"), ops.nothing())',), "nothing"),
        (('says(Truncated("cut")).pipe(lane("in"))',), "cut"),
        (('says("Hi")',), "no lane"),
        (
            ('rxchat.of().pipe(lane("in"), ops.default_if_empty(1))',),
            "nothing came on the lane 'in'",
        ),
        (("stream = 1",), "nothing to run"),
        (("1 +",), "invalid syntax"),
    ],
)
def test_an_example_that_fails_fails_the_build(
    site: Any, lines: tuple[str, ...], says: str
) -> None:
    with pytest.raises(site.marbles.ExampleFails, match=says) as failure:
        site.marbles.illustrated(block(*lines), "page.md")
    assert str(failure.value).startswith("page.md:3: ")


def test_an_example_may_say_with_what_it_fails(site: Any) -> None:
    code = 'says("Hel", Truncated("cut")).pipe(lane("in"))'
    assert "Truncated: cut" in site.marbles.illustrated(block(code, fails="Truncated"), "page.md")
    with pytest.raises(site.marbles.ExampleFails):
        site.marbles.illustrated(block(code, fails="Overloaded"), "page.md")


@pytest.mark.parametrize("page", OPERATORS, ids=lambda page: page.stem)
def test_all_examples_run_and_their_lines_fit(site: Any, page: Path) -> None:
    site.marbles.illustrated(page.read_text(), page.name)
    blocks = re.findall(r"^```python[^\n]*\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    assert max((len(line) for each in blocks for line in each.splitlines()), default=0) <= 90


# What such a small picture needs -------------------------------------------------------------------


def drawn(site: Any, code: str) -> ElementTree.Element:
    _, figure = site.marbles.illustrated(block(code), "page.md").split("<figure", 1)
    return ElementTree.fromstring(f"<figure{figure.rstrip()}")[0]


def of_class(picture: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [each for each in picture.iter() if each.get("class") == name]


def test_it_has_no_frame_and_no_legend(site: Any) -> None:
    picture = drawn(site, 'says("Hi").pipe(lane("in"))')
    assert not of_class(picture, "paper")
    assert not of_class(picture, "title")
    assert not of_class(picture, "legend heard")


def test_words_at_its_right_edge_are_inside(site: Any) -> None:
    code = 'says("a rather", " long answer").pipe(ops.paragraphs(), lane("out"))'
    picture = drawn(site, code)
    out = of_class(picture, "lane")[-1]
    (flag,), (token,) = of_class(out, "first"), of_class(out, "token")
    assert flag.get("text-anchor") == "end"
    assert token.text == "a rather long answer"
    half = len(token.text) * 10.5 * 0.62 / 2
    assert float(token.get("x", "")) + half < float(picture.get("width", ""))


def test_the_last_bead_is_seen_beside_the_end(site: Any) -> None:
    picture = drawn(site, 'says("it", " is").pipe(ops.paragraphs(), lane("out"))')
    out = of_class(picture, "lane")[-1]
    (bead,), (end,) = of_class(out, "bead"), of_class(out, "end")
    place = re.search(r"translate\(([\d.]+) ", end.get("transform", ""))
    assert place
    assert float(place[1]) - float(bead.get("cx", "")) == 11


def test_a_few_things_at_once_are_beads_with_words(site: Any) -> None:
    picture = drawn(site, 'says("a b c d").pipe(ops.text(), ops.words(), lane("out"))')
    out = of_class(picture, "lane")[-1]
    assert not of_class(out, "bar")
    assert len(of_class(out, "bead")) == 4
    assert [each.text for each in of_class(out, "token")] == ["a b c", "d"]


# Nothing is left out ------------------------------------------------------------------------------


def test_every_operator_of_ours_has_an_entry_and_a_picture(site: Any) -> None:
    entries = {name: text for page in OPERATORS for name, text in sections(page).items()}
    functions = {name for name in site.reference.OURS if name.islower()}
    assert entries.keys() - {"How"} >= functions | JOINING
    unseen = {name for name in functions | JOINING if "```python marbles" not in entries[name]}
    assert unseen == NO_STREAM


def test_what_else_belongs_to_the_operators_is_on_their_pages(site: Any) -> None:
    text = "".join(page.read_text() for page in OPERATORS)
    others = [name for name in site.reference.OURS if not name.islower()]
    assert [name for name in others if not re.search(rf"`(ops\.)?{name}`", text)] == []


def test_our_operators_and_reactivex_own_are_all_there_are(site: Any) -> None:
    own = re.findall(r"^\| `(\w+)` \|", site.reference.listed("{{ reactivex }}"), re.MULTILINE)
    assert {*own, *site.reference.OURS} == set(ops.__all__)


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_in_the_reference(site: Any, module: str) -> None:
    page = site.reference.listed((DOCS / "reference" / f"{module}.md").read_text())
    entries = set(re.findall(rf"^::: rxchat\.{module}\.(\w+)$", page, re.MULTILINE))
    services = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    there = {"operators": site.reference.OURS, "providers": dir(rxchat.providers)}
    missing = set(there.get(module) or getattr(rxchat, module).__all__) - entries - services
    gone = {name for name in missing if not getattr(rxchat.providers, name).working}
    assert missing == gone


def test_every_name_of_the_front_door_is_in_the_reference(site: Any) -> None:
    page = site.reference.listed((DOCS / "reference" / "rxchat.md").read_text())
    assert re.findall(r"^::: rxchat\.(\w+)$", page, re.MULTILINE) == dir(rxchat)


def test_every_page_is_in_the_navigation_and_every_entry_is_a_page() -> None:
    settings = (DOCS.parent / "mkdocs.yml").read_text()
    listed = re.findall(r"([\w/-]+\.md)$", settings, re.MULTILINE)
    pages = [path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")]
    assert sorted(listed) == sorted(pages)


def test_the_site_loads_nothing_from_elsewhere() -> None:
    settings = (DOCS.parent / "mkdocs.yml").read_text()
    styles = (DOCS / "site" / "site.css").read_text()
    assert "font: false" in settings
    assert not re.search(r"https?://|@import|url\(", settings + styles)
