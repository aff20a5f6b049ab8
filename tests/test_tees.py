"""A stream that is also written somewhere else."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

import rxchat
from cutting import cuts, run
from rxchat import operators as ops
from rxchat.errors import Truncated, UsageError
from rxchat.events import Finish, Reasoning, Reset, Text
from rxchat.operators.gathering.tees import tee_to
from rxchat.testing import Scripted, run_virtual

TEXT = "Cafe\u0301 \U0001f469\u200d\U0001f4bb\r\nline two\n 終わり。"


@given(cuts(TEXT))
def test_what_passes_is_written_at_any_cut(pieces: list[str]) -> None:
    text, raw, heard = io.StringIO(newline=""), io.BytesIO(), list[str]()
    for sink in (text, raw, heard.append):
        assert run(tee_to(sink), pieces) == pieces
    events = [*map(Text, pieces), Reasoning("not this"), Text("nor this", 1), Finish()]
    assert run(tee_to(heard.append), events) == events
    assert text.getvalue() == raw.getvalue().decode() == TEXT
    assert "".join(heard) == TEXT * 2


def test_a_path_is_opened_at_subscription_and_has_the_latest_answer(tmp_path: Path) -> None:
    path = tmp_path / "answer.txt"
    stream = Scripted("old").then("new\r\n")("?").pipe(tee_to(path))
    assert not path.exists()
    for expected in (b"old", b"new\r\n"):
        stream.run()
        assert path.read_bytes() == expected
    Scripted("by name")("?").pipe(tee_to(str(path))).run()
    assert path.read_text() == "by name"


@pytest.mark.parametrize("end", ["completed", "failed", "hung up", "cancelled"])
def test_a_path_is_closed_however_it_ends(end: str, tmp_path: Path, monkeypatch: Any) -> None:
    opened: list[Any] = []

    class Watched(io.FileIO):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            opened.append(self)

    monkeypatch.setattr("rxchat.operators.gathering.tees.io.FileIO", Watched)
    script = {"failed": ["a", Truncated("cut")], "completed": ["a"]}.get(end, ["a", 9.0])

    async def main() -> None:
        async with Scripted(*script)("?").pipe(tee_to(tmp_path / "log")).open() as items:
            async for _ in items:
                if end == "hung up":
                    break
                if end == "cancelled":
                    asyncio.current_task().cancel()

    try:
        run_virtual(main())
    except (Truncated, asyncio.CancelledError):
        pass
    assert [file.closed for file in opened] == [True]
    assert (tmp_path / "log").read_text() == "a"


def test_the_file_is_whole_when_the_end_is_heard(tmp_path: Path) -> None:
    path = tmp_path / "log"
    seen: list[str] = []

    async def main() -> None:
        over = asyncio.Event()
        stream = Scripted("Hel", "lo")("?").pipe(tee_to(path))
        stream.subscribe(
            lambda item: seen.append(path.read_text()), None, lambda: (seen.append("|"), over.set())
        )
        await over.wait()

    run_virtual(main())
    assert seen == ["Hel", "Hello", "Hello", "|"]


def test_an_open_file_stays_open() -> None:
    file = io.StringIO()
    rxchat.of("a").pipe(tee_to(file)).run()
    rxchat.of("b").pipe(tee_to(file)).run()
    assert file.getvalue() == "ab"


def test_after_a_restart_a_path_begins_anew_and_others_get_an_empty_line(tmp_path: Path) -> None:
    items = [Text("wrong, and long"), Reset(), Text("ri"), Reset("resume"), Text("ght")]
    path, file = tmp_path / "log", io.StringIO()
    run(tee_to(path), items)
    run(tee_to(file), items)
    assert path.read_text() == "right"
    assert file.getvalue() == "wrong, and long\n\nright"


def test_a_sink_that_fails_is_reported_once_and_the_stream_goes_on() -> None:
    written: list[str] = []

    def full(text: str) -> None:
        if written:
            raise OSError("no space left")
        written.append(text)

    async def main() -> tuple[list[Any], list[Any]]:
        reports: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, told: reports.append(told))
        return await Scripted("a", "b", "c")("?").pipe(tee_to(full), ops.to_list()), reports

    items, reports = run_virtual(main())
    assert items == [Text("a"), Text("b"), Text("c"), Finish()]
    assert [str(report["exception"]) for report in reports] == ["no space left"]
    assert written == ["a"]


def test_a_path_that_cannot_be_written_fails_before_anything_is_asked(tmp_path: Path) -> None:
    say = Scripted("a")
    with pytest.raises(UsageError, match="cannot be written"):
        say("?").pipe(tee_to(tmp_path)).run()
    assert say.prompts == []


def test_what_cannot_be_written_to_is_refused() -> None:
    async def later(text: str) -> None: ...

    with pytest.raises(UsageError, match="map_async"):
        tee_to(later)
    with pytest.raises(UsageError, match="a path, an open file or a function"):
        tee_to(5)
