"""The README is code: every block runs, against a server on this machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import rxchat
from docs_support import local_server
from rxchat import operators as ops
from rxchat import providers
from rxchat.options import BODY

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A local server in a process of its own, as a reader would have one."""
    with local_server(ROOT) as address:
        yield address


@pytest.fixture
def moved(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All providers answer at the local server."""
    for name, provider in providers.services().items():
        there = provider.but(base_url=address)
        monkeypatch.setattr(providers, name, there.but(key="sk-1") if there.auth else there)


@pytest.mark.usefixtures("moved")
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.count("\n"))
def test_every_block_of_the_readme_runs(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # some write a file
    exec(compile(block, "README.md", "exec"), {"__name__": "__main__"})


@pytest.mark.usefixtures("moved")
def test_the_first_block_races_and_falls_back_and_prints(
    capsys: pytest.CaptureFixture[str],
) -> None:
    exec(compile(BLOCKS[0], "README.md", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out == "Because of the air."


@pytest.mark.parametrize(
    "command",
    [
        "python -m pip install . && python -m rxchat demo",
        "python -m pip install -e '.[dev]' && python -m pytest",
    ],
)
def test_the_readme_has_each_command_on_one_line(command: str) -> None:
    assert README.splitlines().count(f"    {command}") == 1


PROVIDERS = README.partition("| provider |")[2].partition("\n\n")[0]
ROWS: dict[str, str] = dict(re.findall(r"^\| `(\w+)` \|[^|]*\|(.*)\|$", PROVIDERS, re.MULTILINE))
LIVING = {name: it for name, it in providers.services().items() if it.working}


def test_the_table_has_every_living_provider() -> None:
    assert ROWS.keys() == LIVING.keys()


@pytest.mark.parametrize("name", LIVING)
def test_a_row_says_where_a_key_comes_from_and_what_cannot_be_carried(name: str) -> None:
    provider = LIVING[name]
    sources, _, missing = ROWS[name].rpartition("|")
    if name != "openai_responses":  # which is as openai
        variables = [*getattr(provider.auth, "variables", ())]
        variables += [each for it in provider.settings.values() for each in it.variables]
        told = sources + (ROWS["azure"] if name == "azure_deployments" else "")
        assert [variable for variable in variables if f"`{variable}`" not in told] == []
    unknown = {option for option in BODY if option not in provider.format.options}
    assert unknown == set(re.findall("`(\\w+)`", missing))


def test_every_link_into_the_project_leads_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


OPERATORS = README.partition("## Transform the text")[2].partition("## A conversation")[0]
EXAMPLES = [
    (re.findall(r"`(?:rxchat\.)?(\w+)`", names), example)
    for names, example in re.findall(r"^\| (`.*?) \| .* \| `(.*)` \|$", OPERATORS, re.MULTILINE)
]


@pytest.mark.parametrize(("names", "example"), EXAMPLES, ids=lambda value: str(value)[:30])
def test_every_example_in_the_table_of_operators_runs(names: list[str], example: str) -> None:
    (setting,) = (block for block in BLOCKS if block.rstrip().endswith('"damn" not in text'))
    namespace: dict[str, object] = {}
    exec(setting, namespace)
    made = eval(example.replace("\\|", "|"), namespace)
    assert any(name in example for name in names) or "reasoning_tags" in example
    if isinstance(made, rxchat.Stream):
        made.pipe(ops.to_list()).run()


def test_every_operator_of_ours_is_in_the_readme() -> None:
    named = {name for names, _ in EXAMPLES for name in names}
    elsewhere = set(re.findall(r"ops\.(\w+)", README))
    ours = {word for word in ops._FILE_OF if word.islower() and word != "tool_of"}
    assert ours <= named | elsewhere
