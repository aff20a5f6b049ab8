"""The pages of docs/ are code: every block runs, and prints what the page says that it prints."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from docs_support import DOCS, THERE, anchors, blocks, local_server
from rxchat import __main__ as program
from rxchat import errors, providers
from rxchat.cli import exits
from rxchat.events import Finish, Start, Text
from rxchat.testing import FAULTS, NotAsExpected, Scripted, verify

pytest_plugins = ["pytester"]

PAGES = sorted(DOCS.glob("*.md"))
TESTING = DOCS / "testing.md"  # its blocks are files of tests; those of the others are one program
SETTINGS = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""


def of_page(page: Path) -> str:
    return page.stem


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with local_server(DOCS.parent) as url:
        yield url


@pytest.fixture
def moved(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All providers answer at the local server."""
    for name, provider in providers.services().items():
        there = provider.but(base_url=address)
        monkeypatch.setattr(providers, name, there.but(key="sk-1") if there.auth else there)


@pytest.mark.usefixtures("moved")
@pytest.mark.parametrize("page", [page for page in PAGES if page != TESTING], ids=of_page)
def test_the_blocks_of_a_page_run_from_top_to_bottom_and_print_what_it_says(
    page: Path,
    address: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)  # some write a file
    names: dict[str, Any] = {"__name__": page.stem}  # nothing stops what a `__main__` would start
    for block in blocks(page):
        block.run(names, address)
        printed = capsys.readouterr().out.replace(address, THERE)
        if block.output is not None:
            assert _ends(printed) == _ends(block.output), f"{page.name}, line {block.line}"


def _ends(text: str) -> list[str]:
    """Lines, whose blanks at the end nobody sees."""
    return [line.rstrip() for line in text.strip("\n").splitlines()]


def test_every_block_about_testing_is_a_file_of_tests_that_pass(pytester: pytest.Pytester) -> None:
    pytester.makeini(SETTINGS)
    for number, block in enumerate(blocks(TESTING), 1):
        is_conftest = block.code.startswith("# conftest.py")
        name = "conftest" if is_conftest else f"test_block_{number}"
        (pytester.path / f"{name}.py").write_text(block.code)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-q")
    assert result.ret == 0
    assert set(result.parseoutcomes()) == {"passed"}


@pytest.mark.parametrize("page", PAGES, ids=of_page)
def test_every_link_leads_somewhere(page: Path) -> None:
    outside = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for file, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", outside):
        target = page.parent / file if file else page
        if target.parent != DOCS and not target.parent.is_dir():
            continue  # the build of the site writes that folder
        assert target.exists(), file
        assert not anchor or anchor in anchors(target), anchor


COMMAND = re.compile(r"^\$ (?:.* \| )?(?:python -m )?rxchat (.+)$", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=of_page)
def test_every_command_is_one_that_the_program_knows(page: Path) -> None:
    for command in COMMAND.findall(page.read_text()):
        words = shlex.split(command, comments=True)
        given = [*takewhile(lambda word: word not in ("|", ">"), words)]
        given = given if given[0] in program.COMMANDS else ["ask", *given]
        assert program.parser().parse_args(given).run


def test_the_tree_of_errors_is_the_tree_of_errors() -> None:
    told = errors.__doc__ or ""
    tree = told[told.index("    ChatError") : told.index("\n\n↻")]
    assert textwrap.dedent(tree) in _page("failures")


def test_the_table_of_exit_codes_is_the_table_of_exit_codes() -> None:
    table = re.findall(r"^\| (\d+) \| (.+) \|$", _page("seeing"), re.MULTILINE)
    assert [(int(code), means) for code, means in table] == [*exits.MEANING.items()]


def test_the_table_of_providers_is_that_of_the_readme() -> None:
    tables = [
        text.partition("| provider |")[2].partition("\n\n")[0]
        for text in (_page("providers"), (DOCS.parent / "README.md").read_text())
    ]
    assert tables[0] == tables[1]  # which is tested against the code


def test_the_table_of_faults_is_the_table_of_faults() -> None:
    table = re.findall(r"^\| `(\S+)` \| ([^|]+) \| ([^|]+) \|$", _page("testing"), re.MULTILINE)
    assert [(word, does) for word, does, _ in table] == [
        (word, fault.does) for word, fault in FAULTS.items()
    ]
    for word, _, gives in table:
        fault = FAULTS[word]
        ends = {None: "silence for ever", Finish: "a whole answer"}
        shown = ends.get(fault.ends) or f"`{fault.ends.__name__}`"
        half = fault.heard and fault.ends is not Finish
        assert gives == (f"some text, then {shown}" if half else shown)


def test_a_step_that_fails_looks_as_shown() -> None:
    chat = Scripted(Start("m-1"), 1.0, "Hel", "lo", 2.0, "?")
    steps = verify(chat("Hi")).expect_a(Start).after(1.0).expect_text("Hello").after(2.0)
    with pytest.raises(NotAsExpected) as failure:
        steps.expect(Text("!")).expect_end().run()
    assert textwrap.indent(str(failure.value), "    ") in _page("testing")


def _page(name: str) -> str:
    return (DOCS / f"{name}.md").read_text()
