"""Checkpoints: an error tells which way it came."""

from __future__ import annotations

import traceback

import pytest

from rxchat import operators as ops
from rxchat.errors import AllFailed, ChatError, ConnectionLost, Truncated
from rxchat.events import Finish, Text
from rxchat.operators.asking.recovery import fallback
from rxchat.operators.checkpoints import checkpoint
from rxchat.testing import Scripted, cold, draw, run_virtual


def notes(error: Exception) -> list[str]:
    return getattr(error, "__notes__", [])


def test_everything_passes() -> None:
    assert draw(cold("-a-(bc)-|").stream.pipe(checkpoint("x"))) == "-a-(bc)-|"
    assert draw(cold("-a-#").stream.pipe(checkpoint("x"))) == "-a-#"
    stream = Scripted("Hi")("?").pipe(checkpoint("x"), ops.to_list())
    assert stream.run() == [Text("Hi"), Finish()]


def test_a_traceback_ends_with_the_way_of_its_error() -> None:
    stream = Scripted(Truncated("cut"))("?").pipe(
        checkpoint("phone"), ops.map(str), checkpoint("screen")
    )
    with pytest.raises(Truncated) as caught:
        stream.run()
    lines = "".join(traceback.format_exception(caught.value)).splitlines()
    assert lines[-3:] == [
        "rxchat.errors.Truncated: cut",
        "passed checkpoint 'phone'",
        "passed checkpoint 'screen'",
    ]


def test_an_error_that_comes_again_is_noted_once() -> None:
    error = ConnectionLost("gone")
    stream = Scripted(error)("?").pipe(checkpoint("inside"), ops.retry(3), checkpoint("outside"))
    for _ in range(3):
        with pytest.raises(ConnectionLost):
            run_virtual(last(stream))
        assert notes(error) == ["passed checkpoint 'inside'", "passed checkpoint 'outside'"]


async def last(stream: object) -> object:
    return await stream


def test_each_failure_of_many_has_a_way_of_its_own() -> None:
    one = Scripted(Truncated("1"))("?").pipe(checkpoint("one"))
    two = Scripted(Truncated("2"))("?").pipe(checkpoint("two"))
    with pytest.raises(AllFailed) as caught:
        fallback(one, two).pipe(checkpoint("both")).run()
    assert [notes(error) for error in caught.value.exceptions] == [
        ["passed checkpoint 'one'"],
        ["passed checkpoint 'two'"],
    ]
    assert notes(caught.value) == ["passed checkpoint 'both'"]


def test_an_error_that_is_mended_upstream_passes_no_checkpoint() -> None:
    error = ChatError("once", retryable=True)
    talk = Scripted(error).then("ok")
    assert draw(talk("?").pipe(ops.retry(2), checkpoint("below"), ops.ignore_elements())).endswith(
        "|"
    )
    assert notes(error) == []


def test_hanging_up_passes_through() -> None:
    source = cold("-a---b|")
    assert draw(source.stream.pipe(checkpoint("x")), until=3) == "-a"
    assert source.subscriptions == ["^--!"]
