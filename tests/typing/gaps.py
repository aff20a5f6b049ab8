"""What the annotations cannot do; a line that changes sides moves to another file.

Like `mistakes.py`, it is not imported, and the plain runs of the checkers leave it out.
"""

from __future__ import annotations

from typing import assert_type

import rxchat
from rxchat import Stream
from rxchat import operators as ops
from rxchat.providers import flowgpt

# Right, and rejected ----------------------------------------------------------------------------


def shout(text: str) -> str:
    return text.upper()


def a_class_as_a_predicate() -> None:
    """bool takes any object, and mypy then makes objects of the strings."""
    words = flowgpt("hi").pipe(ops.text())
    assert_type(words.pipe(ops.map(shout), ops.filter(bool)), Stream[str])  # expect-error: mypy


async def the_fluent_form() -> None:
    """It gives a Stream, and reactivex annotates it as an Observable."""
    words = flowgpt("hi").pipe(ops.text())
    assert_type(words.map(shout), Stream[str])  # expect-error
    assert_type(words.take(3), Stream[str])  # expect-error
    async for _ in words.map(shout):  # expect-error
        pass


def streams_of_different_items() -> None:
    """mypy joins the types to object, pyright to a union."""
    words, ticks = flowgpt("hi").pipe(ops.text()), rxchat.interval(1)
    assert_type(rxchat.merge(words, ticks), Stream[str | int])  # expect-error: mypy


def a_lambda_whose_argument_nobody_told() -> None:
    """mypy knows the items of a pipe only after its operators: name the function."""
    words = flowgpt("hi").pipe(ops.text())
    words.pipe(ops.map(lambda word: word.upper()))  # expect-error: mypy
    words.pipe(ops.flat_map(lambda word: flowgpt(word)))  # expect-error: mypy


def an_operator_on_what_publish_gives() -> None:
    """To `pipe`, a connectable is a Stream like any other; `ops.share()` is both in one."""
    words = flowgpt("hi").pipe(ops.text())
    words.pipe(ops.publish(), ops.ref_count())  # expect-error
    words.pipe(ops.publish()).connect()  # expect-error


def a_future_after_other_operators() -> None:
    """mypy infers no such chain, as in reactivex: a pipe of its own for `to_future` does."""
    words = flowgpt("hi").pipe(ops.text())
    words.pipe(ops.take(1), ops.to_future())  # expect-error: mypy


# Wrong, and accepted ----------------------------------------------------------------------------


def a_fallback_of_another_type() -> None:
    """pyright makes it a stream of both types."""
    flowgpt("hi").pipe(ops.text(), ops.fallback(rxchat.of(1)))  # expect-error: mypy
    flowgpt("hi").pipe(ops.fallback(rxchat.of("sorry")))  # expect-error: mypy


def a_step_after_the_seventh() -> None:
    """`pipe` checks six operators, and that the seventh takes what they give."""
    one = ops.take(1)
    flowgpt("hi").pipe(one, one, one, one, one, one, one, ops.text(), ops.text())
