"""The rooms of the house, and which may import which: this table cannot lie."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import rxchat
from rxchat import providers

PACKAGE = Path(__file__).parent.parent / "rxchat"

ANYTHING = {"*"}  # the whole house, too: `import rxchat`
ROOMS = {
    "events": set[str](),
    "calls": {"events"},
    "messages": {"events", "calls", "errors"},
    "errors": {"events"},
    "framing": set[str](),
    "request": set[str](),
    "options": {"messages", "request", "keys"},
    "keys": {"errors", "request", "signing"},
    "refusal": {"errors"},
    "stills": set[str](),
    "previews": {"keys", "request", "stills"},
    "stream": {"errors", "stills"},
    "signing": {"request", "errors"},
    "transport": {"request", "errors", "refusal", "stream"},
    "operators.wire": {
        "events",
        "errors",
        "stream",
        "framing",
        "request",
        "signing",
        "transport",
    },
    "operators": {"calls", "events", "messages", "errors", "stills", "stream", "operators"},
    "provider": {
        "events",
        "messages",
        "errors",
        "framing",
        "keys",
        "options",
        "previews",
        "request",
        "signing",
        "stills",
        "stream",
        "operators.wire",
    },
    "providers": {
        "calls",
        "events",
        "messages",
        "errors",
        "framing",
        "keys",
        "options",
        "request",
        "refusal",
        "signing",
        "stream",
        "transport",
        "operators.wire",
        "provider",
        "providers",
    },
    "testing": ANYTHING,
    "notebook": ANYTHING,
    "__main__": ANYTHING,
    "demo": ANYTHING,
    "cli": ANYTHING,
    "chat": {"events", "messages", "errors", "previews", "stills", "stream", "operators"},
    "": {"chat", "messages", "operators", "stream", "transport"},
}
HEAVY = {
    *("aiohttp", "aioresponses", "uvloop", "rich", "markdown_it"),
    *("IPython", "anywidget", "ipykernel", "ipywidgets", "matplotlib", "pandas", "resvg_py"),
}

FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(module: str) -> str:
    """The longest room name that a module path begins with."""
    steps = module.split(".")
    names = (".".join(steps[:length]) for length in range(len(steps), -1, -1))
    return next(name for name in names if name in ROOMS)


def module_of(path: Path) -> str:
    steps = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(step for step in steps if step != "__init__")


def imports(path: Path) -> set[str]:
    """Modules of ours that a file imports, wherever in the file that stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
            # Without `as`, the name that is bound leads to every room.
            found |= {name.name.partition(".")[0] for name in node.names if name.asname is None}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import"
            found |= {f"{node.module}.{name.name}" for name in node.names}
    ours = {name for name in found if name.partition(".")[0] == "rxchat"}
    return {name.removeprefix("rxchat").removeprefix(".") for name in ours}


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_import_arrows_run_one_way(path: Path) -> None:
    room = room_of(module_of(path))
    allowed = ROOMS[room] | {room}
    if path.name == "__init__.py":  # it shows what is in its folder
        allowed |= {name for name in ROOMS if room and name.startswith(f"{room}.")}
    strays = {room_of(target) for target in imports(path)} - allowed
    assert not strays or "*" in allowed, f"{room} may import {sorted(allowed)}"


def test_only_guests_go_in_by_the_front_door() -> None:
    through_it = {room_of(module_of(path)) for path in FILES if "" in imports(path)}
    assert through_it <= {"testing", "notebook", "__main__", "demo"}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("import rxchat", {""}),
        ("import rxchat as chat", {""}),
        ("import rxchat.stream", {"", "stream"}),
        ("import rxchat.stream as streams", {"stream"}),
        ("from rxchat import operators", {"operators"}),
        ("from rxchat.stream import Pump", {"stream.Pump"}),
        ("def f():\n    import rxchat", {""}),
        ("import rxchatter", set()),
    ],
)
def test_every_way_to_import_us_is_seen(line: str, found: set[str], tmp_path: Path) -> None:
    file = tmp_path / "room.py"
    file.write_text(line)
    assert imports(file) == found


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_heavy_libraries_are_imported_only_when_they_are_needed(path: Path) -> None:
    if room_of(module_of(path)) == "testing":
        return
    for node in ast.parse(path.read_text()).body:
        names = (
            [name.name for name in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        assert not HEAVY & {name.split(".")[0] for name in names}


def libraries(path: Path) -> set[str]:
    """What a file imports from whoever, by its first name, wherever in the file that stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


def test_only_the_transport_knows_aiohttp() -> None:
    knowing = {room_of(module_of(path)) for path in FILES if "aiohttp" in libraries(path)}
    assert knowing - {"testing"} == {"transport", "options"}  # options: for a type, unimported


@pytest.mark.parametrize("shown", [rxchat, providers], ids=lambda module: module.__name__)
def test_every_word_is_found_when_it_is_used(shown: Any) -> None:
    """What checkers of types see is what there is."""
    table = "providers.openai_family"  # of which a row is all that there is to say
    annotated = {target.rpartition(".")[::2] for target in imports(Path(shown.__file__))}
    annotated = {(room, word) for room, word in annotated if room != table}
    assert annotated == {(room, word) for word, room in shown._ROOM_OF.items() if room != table}
    for _, word in annotated:
        assert getattr(shown, word) is getattr(shown, word)
        assert word in dir(shown)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        shown.nothing  # noqa: B018  # to look it up is what raises


def test_importing_rxchat_loads_nothing_heavy() -> None:
    code = "import sys, rxchat; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    )
    assert not {"aiohttp", "msgspec", "attrs"} & set(loaded.stdout.split())


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_a_file_reads_in_one_sitting(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 450
