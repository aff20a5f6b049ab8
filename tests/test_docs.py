"""The pages of docs/ are code: every block is a file of tests, and runs as a reader's would."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from rxchat.events import Finish, Start, Text
from rxchat.testing import FAULTS, NotAsExpected, Scripted, verify

pytest_plugins = ["pytester"]

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(DOCS.glob("*.md"))
SETTINGS = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_of_a_page_passes(page: Path, pytester: pytest.Pytester) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    pytester.makeini(SETTINGS)
    files = {f"test_block_{number}": block for number, block in enumerate(blocks, 1)}
    for name, block in files.items():
        is_conftest = block.startswith("# conftest.py")
        (pytester.path / f"{'conftest' if is_conftest else name}.py").write_text(block)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-q")
    assert result.ret == 0
    assert set(result.parseoutcomes()) == {"passed"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = page.read_text()
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w-]", "", title.lower().replace(" ", "-")) for title in titles}
    for file, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", text):
        assert not file or (page.parent / file).exists(), file
        assert not anchor or anchor in anchors, anchor


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
