"""The notebooks: each runs from top to bottom without a key, and shows what it says it shows."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import re
import runpy
from collections.abc import Callable, Iterator
from operator import attrgetter
from pathlib import Path
from types import CodeType
from typing import Any, TypeAlias
from xml.etree import ElementTree

import attrs
import pytest

from rxchat import assistant, user
from rxchat.errors import MissingKey, ServerError
from rxchat.events import Finish, Text
from rxchat.providers import Ask

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

FOLDER = Path(__file__).parent.parent / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))
OWN = FOLDER / "05_your_own_provider.ipynb"
TOOL = runpy.run_path(str(FOLDER / "execute.py"))
LONGEST = 15  # lines of a cell
BIGGEST = 600_000  # bytes of a file

# Runs in each kernel before its first cell: whoever asks for anything but this machine, fails.
ONLY_HERE = """
import sys

def only_here(event, args):
    away = event == "socket.connect" and isinstance(args[1], tuple) and args[1][0] != "127.0.0.1"
    asked = event == "socket.getaddrinfo" and args[0] not in ("127.0.0.1", "localhost", None)
    if away or asked:
        raise OSError(f"a notebook wants to leave this machine: {event} {args}")

sys.addaudithook(only_here)
"""

every_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def kept(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


# A fresh run --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where a kernel has a file for as long as it runs."""
    folder = tmp_path_factory.mktemp("runtime")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_RUNTIME_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory, runtime: Path) -> dict[Path, Any]:
    """What each notebook gives now, or the error that ended it; three kernels at a time."""
    profile = tmp_path_factory.mktemp("ipython")
    startup = profile / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "only_here.py").write_text(ONLY_HERE)
    return asyncio.run(run_all(TOOL["keyless"](IPYTHONDIR=str(profile))))


async def run_all(env: dict[str, str]) -> dict[Path, Any]:
    three = asyncio.Semaphore(3)  # most of the time they wait

    async def one(path: Path) -> Any:
        async with three:
            try:
                return await TOOL["executed"](path, env)
            except nbclient.exceptions.CellExecutionError as error:
                return error

    return dict(zip(PATHS, await asyncio.gather(*map(one, PATHS)), strict=True))


def test_there_are_seven() -> None:
    assert [path.stem[:2] for path in PATHS] == [f"{number:02}" for number in range(1, 8)]


@every_notebook
def test_a_notebook_runs_from_top_to_bottom_and_complains_of_nothing(
    path: Path, fresh: dict[Path, Any]
) -> None:
    assert not isinstance(fresh[path], Exception), fresh[path]
    for cell in code_cells(fresh[path]):
        kinds = {output.get("name", output.output_type) for output in cell.outputs}
        assert kinds <= {"stdout", "display_data", "execute_result"}, (cell.id, cell.outputs)


@every_notebook
def test_the_output_that_is_kept_is_what_a_fresh_run_gives(
    path: Path, fresh: dict[Path, Any]
) -> None:
    racing = path.stem.startswith("03")  # whom one has to ask depends on who is slow just then

    def said(notebook: Any) -> dict[str, Any]:
        return {
            cell.id: [essence(output, lanes=not racing) for output in cell.outputs]
            for cell in code_cells(notebook)
        }

    assert not isinstance(fresh[path], Exception)
    assert said(kept(path)) == said(fresh[path])


def test_no_kernel_is_left_behind(fresh: dict[Path, Any], runtime: Path) -> None:
    assert len(fresh) == len(PATHS)
    assert [*runtime.iterdir()] == []


def essence(output: Any, lanes: bool) -> tuple[Any, ...]:
    """What is the same in every run of a cell: not how long anything took."""
    if output.output_type == "stream":
        return output.name, without_numbers(output.text)
    data = output.data
    kinds = (output.output_type, sorted(data))
    if "image/svg+xml" in data:
        picture = ElementTree.fromstring(data["image/svg+xml"])
        names = [each.text for each in picture.iter() if lanes and each.get("class") == "name"]
        return *kinds, picture.get("aria-label"), sorted(filter(None, names))
    drawn = {kind for kind in data if kind != "text/plain"}
    return kinds if drawn else (*kinds, without_numbers(data["text/plain"]))


def without_numbers(text: str) -> str:
    """A table's columns are as wide as their numbers, so that blanks in a row count as one."""
    return re.sub(r"[ \t]+", " ", re.sub(r"\d+(?:\.\d+)?", "#", text))


def test_a_kernel_cannot_leave_this_machine_and_knows_no_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-this-machine")
    assert "sk-of-this-machine" not in TOOL["keyless"]().values()
    only_here = {"__name__": "startup"}
    exec(ONLY_HERE.replace("sys.addaudithook(only_here)", ""), only_here)
    with pytest.raises(OSError, match="leave this machine"):
        only_here["only_here"]("socket.getaddrinfo", ("api.openai.com", 443))
    with pytest.raises(OSError, match="leave this machine"):
        only_here["only_here"]("socket.connect", (None, ("93.184.216.34", 443)))
    only_here["only_here"]("socket.connect", (None, ("127.0.0.1", 8765)))


# What is kept -------------------------------------------------------------------------------------


@every_notebook
def test_nothing_in_a_file_is_of_the_machine_it_ran_on(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text) < BIGGEST
    assert not re.search(r"/(?:home|root|tmp|work|Users|usr|opt)/|site-packages|\bsk-|\x1b", text)
    assert "Traceback" not in text


@every_notebook
def test_a_file_has_no_more_metadata_than_a_reader_needs(path: Path) -> None:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
    assert all(cell["metadata"] == {} for cell in notebook["cells"])
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(ids) == len({*ids})
    assert all(re.fullmatch("[a-z0-9-]+", name) for name in ids)
    nbformat.validate(notebook)


@every_notebook
def test_cells_are_short_and_each_idea_is_introduced(path: Path) -> None:
    notebook = kept(path)
    assert notebook.cells[0].source.startswith("# ")
    for cell in code_cells(notebook):
        assert len(cell.source.splitlines()) <= LONGEST, cell.id
        assert all(len(line) <= 100 for line in cell.source.splitlines()), cell.id
    kinds = "".join(cell.cell_type[0] for cell in notebook.cells)
    assert "cccc" not in kinds, "four cells without a word between them"


@every_notebook
def test_one_cell_switches_to_a_real_provider(path: Path) -> None:
    [switch] = [cell for cell in code_cells(kept(path)) if cell.id == "switch"]
    lines = [line for line in switch.source.splitlines() if line.startswith("# ")]
    assert lines
    assert all("_KEY" in line or "key" in line for line in lines)
    taken_away = "\n".join(line.removeprefix("# ") for line in switch.source.splitlines())
    ast.parse(taken_away)


@pytest.mark.parametrize("path", [*PATHS, FOLDER / "README.md"], ids=lambda path: path.stem)
def test_every_link_leads_somewhere(path: Path) -> None:
    words = path.suffix == ".ipynb" and (
        cell.source for cell in kept(path).cells if cell.cell_type == "markdown"
    )
    text = "\n".join(words) if words else path.read_text(encoding="utf-8")
    for file, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", text):
        target = FOLDER / file
        assert target.exists(), file
        if anchor:
            titles = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {title.lower().replace(" ", "-") for title in titles}, anchor


def test_the_table_names_every_notebook() -> None:
    table = re.findall(
        r"^\| \[[^]]+\]\(([^)]+)\)", (FOLDER / "README.md").read_text(), re.MULTILINE
    )
    assert table == [path.name for path in PATHS]


# 05, cell by cell ---------------------------------------------------------------------------------


def steps(path: Path) -> Iterator[tuple[str, CodeType, CodeType | None]]:
    """The cells by their ids: what each does, and the expression at its end."""
    for cell in code_cells(kept(path)):
        tree = ast.parse(cell.source)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        asking = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        yield (
            cell.id,
            compile(tree, cell.id, "exec", asking),
            last and compile(ast.Expression(last.value), cell.id, "eval", asking),
        )


@attrs.frozen
class Ran:
    """One cell: what stood at its end, what it printed, and what there is now."""

    value: Any
    printed: str
    names: dict[str, Any]


Check: TypeAlias = Callable[[Ran], bool]


def is_(expected: Any, get: Callable[[Ran], Any] = attrgetter("value")) -> Check:
    """What stands at the end of the cell, or what you `get`, is this."""
    return lambda cell: get(cell) == expected


def prints(*expected: str) -> Check:
    return lambda cell: all(words in cell.printed for words in expected)


def makes(*names: str) -> Check:
    return lambda cell: cell.names.keys() >= {*names}


def body_has_what_was_asked(cell: Ran) -> bool:
    ask = Ask((user("Hi"), assistant("Squawk")), "polly", {"temperature": 1})
    heard = ["user: Hi", "assistant: Squawk"]
    return cell.names["body"](ask) == {"bird": "polly", "heard": heard, "mood": 1}


def mapping_knows_a_failure(cell: Ran) -> bool:
    mapping, line = cell.names["ParrotEvents"](), cell.names["Line"]
    with pytest.raises(ServerError, match="no cracker"):
        [*mapping.feed([line(oops="no cracker")])]
    return [*mapping.close()] == []


def key_is_sent_and_hidden(cell: Ran) -> bool:
    with pytest.raises(MissingKey, match="PARROT_KEY"):
        attrs.evolve(cell.names["private"], key=None)("Hello!")
    return cell.value == "Bearer s3cret" and "s3cret" not in repr(cell.names["private"])


HERE = "https://parrot.example/v2/squawk"
ASKED = {"bird": "polly", "heard": ["system: Be brief.", "user: Hello!"], "mood": 0.9}
HEARD = {"bird": "polly", "heard": ["user: Hello!"], "mood": 0.5}
WORDS = ["Polly ", "wants a cracker."]

CELLS: dict[str, Check] = {
    "imports": makes("Format", "Provider", "LocalServer"),
    "answer-bytes": lambda cell: len(cell.names["answer"].splitlines()) == 3,
    "line": lambda cell: cell.names["Line"](say="Hi").done is False,
    "decode": lambda cell: (
        [[line.say for line in lines] for lines in cell.value] == [[WORDS[0]], [WORDS[1], ""]]
    ),
    "mapping": mapping_knows_a_failure,
    "map": is_([*map(Text, WORDS), Finish()]),
    "body": body_has_what_was_asked,
    "provider": is_((HERE, "polly"), attrgetter("value.url", "value.model")),
    "request": is_(("POST", HERE, ASKED)),
    "wrong-option": prints("'temprature'", "there are", "temperature"),
    "voice": makes("server", "voice"),
    "switch": lambda cell: cell.names["chat"].base_url == cell.names["server"].url,
    "stream": prints("Polly wants a cracker."),
    "exchange": is_(("/v2/squawk", HEARD, "complete")),
    "truncated": prints("Truncated after 'Polly wants '"),
    "retry": lambda cell: (
        [row.outcome for row in cell.value.rows if row.parent == 0] == ["failed", "completed"]
    ),
    "key": key_is_sent_and_hidden,
    "imitator": is_("https://chat.example.com/v1/chat/completions", attrgetter("value.url")),
}


def test_your_own_provider_takes_about_thirty_lines() -> None:
    written = {cell.id: cell.source for cell in code_cells(kept(OWN))}
    parts = "\n".join(written[name] for name in ("line", "mapping", "body", "provider"))
    assert len([line for line in parts.splitlines() if line.strip()]) <= 32


async def test_your_own_provider_does_in_each_cell_what_it_should(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PARROT_KEY", raising=False)
    names: dict[str, Any] = {"__name__": "notebook"}
    ran: list[str] = []
    try:
        for cell, code, last in steps(OWN):
            await finished(eval(code, names))
            value = await finished(eval(last, names)) if last else None
            assert CELLS[cell](Ran(value, capsys.readouterr().out, names)), (cell, value)
            ran.append(cell)
    finally:
        if "server" in names:
            await names["server"].stop()
    assert ran == [*CELLS]


async def finished(value: Any) -> Any:
    """What code with an `await` in it comes to."""
    return await value if inspect.iscoroutine(value) else value
