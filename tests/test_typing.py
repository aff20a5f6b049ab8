"""The annotations, asked of mypy and pyright: what users write passes, and mistakes do not.

In `tests/typing/`, a line with `# expect-error` must be reported by both checkers, one with
`# expect-error: mypy` by mypy alone, and all other lines by neither.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from docs_support import blocks

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
FILES = sorted((ROOT / "tests" / "typing").glob("*.py"))
CHECKERS = ("mypy", "pyright")
EXPECTED = re.compile(r"# expect-error(?:: (mypy|pyright))?$")

Reports = dict[tuple[str, int], str]


def commands(folder: Path) -> dict[str, list[str]]:
    """Both are strict, and both see a copy: so no exclusion in pyproject.toml hides a file.

    Pyright finds rxchat where Python does, and so takes it for an installed library: of one's own
    code, it would not mind what is not exported.
    """
    settings = {"include": ["*.py"], "typeCheckingMode": "strict", "reportUnusedImport": False}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    names = [path.name for path in sorted(folder.glob("*.py"))]
    cache = str(ROOT / ".mypy_cache")
    return {
        "mypy": ["-m", "mypy", "--strict", "--config-file=", f"--cache-dir={cache}", *names],
        "pyright": ["-m", "pyright", "--outputjson", "--pythonpath", sys.executable],
    }


def read_mypy(output: str) -> Reports:
    found = re.finditer(r"^(\S+\.py):(\d+): (error: .*)", output, re.MULTILINE)
    return {(Path(match[1]).name, int(match[2])): match[3] for match in found}


def read_pyright(output: str) -> Reports:
    found = json.loads(output)["generalDiagnostics"]
    return {
        (Path(one["file"]).name, one["range"]["start"]["line"] + 1): one["message"]
        for one in found
        if one["severity"] == "error"
    }


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reports]:
    """What each installed checker says of each line; the checkers run at the same time."""
    folder = tmp_path_factory.mktemp("typing")
    for path in FILES:
        shutil.copy(path, folder)
    for block in blocks(README):
        (folder / f"readme_{block.line}.py").write_text(block.code)
    environment = {**os.environ, "MYPYPATH": str(ROOT), "PYTHONPATH": str(ROOT)}
    running = {
        name: subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name, arguments in commands(folder).items()
        if importlib.util.find_spec(name)
    }
    read: dict[str, Any] = {"mypy": read_mypy, "pyright": read_pyright}
    given: dict[str, Reports] = {}
    for name, process in running.items():
        output, complaints = process.communicate(timeout=120)
        assert process.returncode in (0, 1), f"{name} failed: {output}{complaints}"
        given[name] = read[name](output)
    return given


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("checker", CHECKERS)
def test_a_checker_reports_the_lines_that_say_so_and_no_other(
    checker: str, path: Path, reports: dict[str, Reports]
) -> None:
    if checker not in reports:
        pytest.skip(f"{checker} is not installed: pip install 'rxchat[dev]'")
    reported = {line: said for (name, line), said in reports[checker].items() if name == path.name}
    lines = path.read_text().splitlines()
    expected = {
        number
        for number, line in enumerate(lines, 1)
        if (match := EXPECTED.search(line)) and match[1] in (None, checker)
    }
    surprises = [
        f"{path.name}:{line}: {reported[line]}" for line in sorted(set(reported) - expected)
    ]
    unnoticed = [
        f"{path.name}:{line}: not reported: {lines[line - 1].strip()}"
        for line in sorted(expected - set(reported))
    ]
    assert not surprises + unnoticed, "\n".join([f"{checker} differs:", *surprises, *unnoticed])


@pytest.mark.parametrize("checker", CHECKERS)
def test_what_the_readme_shows_passes_the_checkers(
    checker: str, reports: dict[str, Reports]
) -> None:
    if checker not in reports:
        pytest.skip(f"{checker} is not installed: pip install 'rxchat[dev]'")
    said = {
        where: said for where, said in reports[checker].items() if where[0].startswith("readme")
    }
    assert not said


@pytest.mark.parametrize("name", ["pipelines", "own_provider"])
def test_what_passes_the_checkers_can_be_imported(name: str) -> None:
    code = f"import sys; sys.path.append('tests/typing'); import {name}"
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, check=True)


def test_what_users_write_needs_no_cast_and_no_ignore() -> None:
    for name in ("pipelines.py", "own_provider.py"):
        text = (ROOT / "tests" / "typing" / name).read_text()
        assert not re.search(r"\bcast\b|# type: ignore|# pyright: ignore|# expect-error", text)
