"""Tokens, counted at any cut, and what they cost."""

from __future__ import annotations

import asyncio
import re
import sys
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given

import rxchat
from cutting import cuts, one_by_one, run
from rxchat import operators as ops
from rxchat.errors import Truncated, UsageError
from rxchat.events import (
    Event,
    Finish,
    Reasoning,
    Refusal,
    Reset,
    Start,
    Text,
    ToolCall,
    Usage,
)
from rxchat.operators.gathering.costs import Cost, Price, cost
from rxchat.operators.gathering.token_counts import WINDOW, Counter, count_tokens
from rxchat.testing import Scripted, run_virtual

TEXT = "Cafe\u0301 \U0001f469\u200d\U0001f4bb\r\nline two, \ud83d 終わり。 It's 3.14"


def pieces_of_text(text: str) -> list[str]:
    """A tokenizer in the manner of tiktoken's: words with their blank, and the rest."""
    return re.findall(r" ?\w+| ?[^\s\w]+|\s+(?!\S)|\s+", text)


def counted(*items: Any, by: Any = pieces_of_text) -> tuple[list[Any], Counter]:
    counter = count_tokens(by)
    return run(counter, items), counter


# Tokens ----------------------------------------------------------------------------------------


@given(cuts(TEXT))
def test_the_count_is_that_of_the_text_at_any_cut(pieces: list[str]) -> None:
    whole = len(pieces_of_text(TEXT))
    passed, counter = counted(*pieces)
    assert (passed, counter.tokens) == (pieces, whole)
    events = [*map(Text, pieces), Finish()]
    passed, counter = counted(*events)
    assert passed == [*events[:-1], Usage(output=whole), Finish()]
    assert counter.tokens == whole


@given(cuts("many words, and more. " * 1000))
def test_a_long_text_is_counted_as_a_whole_one(pieces: list[str]) -> None:
    assert counted(*pieces)[1].tokens == len(pieces_of_text("".join(pieces)))


def test_a_long_text_without_blanks_is_counted_the_same_at_any_cut() -> None:
    text = "終わり。" * 3000
    counts = {
        counted(*pieces)[1].tokens for pieces in ([text], one_by_one(text), [text[:7], text[7:]])
    }
    assert len(counts) == 1


def test_no_more_is_kept_than_one_window() -> None:
    sizes: list[int] = []

    def count(text: str) -> int:
        sizes.append(len(text))
        return 1

    counted(*["word "] * 20_000, by=count)
    assert max(sizes) <= WINDOW
    assert sum(sizes) <= 100_000  # and nothing is counted twice


def test_the_count_so_far_can_be_read_at_any_time() -> None:
    counter = count_tokens(pieces_of_text)
    stream = rxchat.of("one two", " three", " four").pipe(counter)
    guarded = stream.pipe(
        ops.take_while(lambda _: counter.tokens < 3, inclusive=True), ops.to_list()
    )
    assert guarded.run() == ["one two", " three"]


def test_reasoning_refusals_and_calls_are_counted_and_choices_apart() -> None:
    said: list[Event] = [
        Reasoning("a b"),
        Text("x"),
        Text("1 2", choice=1),
        Text("y"),
        Refusal("no"),
        ToolCall(0, "id", "f", '{"a'),
        ToolCall(0, arguments='": 1}'),
    ]
    passed, counter = counted(*said, Finish(), Finish(choice=1), by=str.split)
    assert passed[-3:] == [Usage(output=2 + 1 + 2 + 1 + 2, reasoning=2), Finish(), Finish(choice=1)]
    assert counter.tokens == 8


@pytest.mark.parametrize(
    ("told", "passed"),
    [
        (Usage(5, 7), Usage(5, 7)),
        (Usage(5, 0), Usage(5, 0)),
        (Usage(5, None, cached=1), Usage(5, 2, cached=1)),
    ],
)
def test_what_the_service_says_is_left_and_what_it_does_not_is_filled_in(
    told: Usage, passed: Usage
) -> None:
    items, counter = counted(Text("Hello you"), told, Finish(), by=str.split)
    assert items == [Text("Hello you"), passed, Finish()]
    assert counter.tokens == 2


def test_each_turn_has_its_own_count_and_a_restart_forgets() -> None:
    items, counter = counted(
        Start(),
        Text("a b"),
        Reset(),
        Text("a"),
        Finish(),
        Start(),
        Text("c d"),
        Finish(),
        by=str.split,
    )
    assert [item.output for item in items if isinstance(item, Usage)] == [1, 2]
    assert counter.tokens == 3


def test_a_stream_of_events_without_a_finish_gets_its_count_too() -> None:
    assert counted(Text("a"), by=str.split)[0] == [Text("a"), Usage(output=1)]
    assert counted()[0] == []


def test_a_tokenizer_that_fails_is_reported_once_and_the_stream_goes_on() -> None:
    async def main() -> tuple[list[Any], list[Any]]:
        reports: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, told: reports.append(told))
        stream = Scripted("a" * 5000, "b" * 5000)("?").pipe(
            count_tokens({}.__getitem__), ops.to_list()
        )
        return await stream, reports

    items, reports = run_virtual(main())
    assert items == [Text("a" * 5000), Text("b" * 5000), Finish()]
    assert [type(report["exception"]) for report in reports] == [KeyError]


class Encoding:
    def encode(self, text: str) -> list[int]:
        raise ValueError("<|endoftext|> is disallowed")

    def encode_ordinary(self, text: str) -> list[int]:
        return [1] * len(text.split())


def test_an_encoding_is_a_tokenizer_and_a_name_is_looked_up_in_tiktoken(monkeypatch: Any) -> None:
    def encoding_for_model(name: str) -> Encoding:
        return {"gpt-5": Encoding()}[name]

    def get_encoding(name: str) -> Encoding:
        if name != "o200k_base":
            raise ValueError(name)
        return Encoding()

    table = SimpleNamespace(encoding_for_model=encoding_for_model, get_encoding=get_encoding)
    monkeypatch.setitem(sys.modules, "tiktoken", table)
    for tokenizer in (Encoding(), "gpt-5", "o200k_base"):
        assert counted("<|endoftext|> is", " text", by=tokenizer)[1].tokens == 3
    with pytest.raises(UsageError, match="knows no model or encoding 'mine'"):
        count_tokens("mine")


def test_without_tiktoken_a_name_says_what_to_install(monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    with pytest.raises(UsageError, match=r"rxchat\[tokens\]"):
        count_tokens("gpt-5")
    with pytest.raises(UsageError, match="takes a function"):
        count_tokens(5)


# Money -----------------------------------------------------------------------------------------

PRICE = Price(input=1_000_000, output=1000, cached="0.001", reasoning=1)  # a sum tells its parts


@pytest.mark.parametrize(
    ("service", "usage", "fresh", "cached", "plain", "thoughts"),
    [
        ("openai: all inside", Usage(100, 50, 150, 20, 80), 20, 80, 30, 20),
        ("xai: thoughts beside", Usage(100, 50, 170, 20, 80), 20, 80, 50, 20),
        ("gemini: thoughts beside", Usage(100, 50, 450, 300, 80), 20, 80, 50, 300),
        ("gemini: and a tool's prompt", Usage(100, 50, 477, 300, 80), 47, 80, 50, 300),
        ("bedrock: cache beside", Usage(1, 2, 903, None, 900), 1, 900, 2, 0),
        ("bedrock: and written to", Usage(1, 2, 953, None, 900), 51, 900, 2, 0),
        ("anthropic: cache beside", Usage(4, 50, None, 20, 900), 4, 900, 30, 20),
        ("anthropic: small cache", Usage(1000, 50, None, None, 900), 1000, 900, 50, 0),
        ("ollama", Usage(7, 8), 7, 0, 8, 0),
        ("a total of nonsense", Usage(100, 50, 3, None, 80), 20, 80, 50, 0),
        ("no output, but a total", Usage(100, None, 150), 100, 0, 50, 0),
        ("no input, but a total", Usage(None, 50, 150, None, 30), 70, 30, 50, 0),
        ("all zero", Usage(0, 0, 0, 0, 0), 0, 0, 0, 0),
    ],
)
def test_each_token_is_paid_once(
    service: str, usage: Usage, fresh: int, cached: int, plain: int, thoughts: int
) -> None:
    paid = PRICE.of(usage)
    assert paid.input == (fresh * 1_000_000 + cached * Decimal("0.001")) / 1_000_000
    assert paid.output == (plain * 1000 + thoughts * Decimal(1)) / 1_000_000
    assert paid.complete


def test_without_prices_of_their_own_cache_and_reasoning_cost_as_the_rest() -> None:
    paid = Price(1, 10).of(Usage(100, 50, 150, 20, 80))
    assert (paid.input, paid.output) == (Decimal("0.0001"), Decimal("0.0005"))
    assert paid.total == Decimal("0.0006")


def test_cents_are_exact() -> None:
    spent = cost(Price(0.1, 0.2))
    for _ in range(10):
        spent.add(Usage(1_000_000, 1_000_000), "m")
    assert spent.total == 3


def test_what_is_not_known_is_no_zero() -> None:
    assert PRICE.of(Usage()) == Cost(None, None, "", Usage())
    half = PRICE.of(Usage(output=5))
    assert (half.input, half.complete, half.total) == (None, False, half.output)


@pytest.mark.parametrize(
    ("model", "known"),
    [
        ("gpt-5", True),
        ("gpt-5-2025-08-07", True),
        ("gpt-5-0807", True),
        ("gpt-5-latest", True),
        ("gpt-5@20250807", True),
        ("gpt-5-mini", False),
        ("gpt-5-mini-2025-08-07", False),
        ("gpt-5-1", False),
        ("", False),
    ],
)
def test_a_model_is_known_with_or_without_its_date(model: str, known: bool) -> None:
    spent = cost({"gpt-5": Price(1, 1)})
    items = [Start(model), Text("a"), Usage(1, 1, 2), Finish()]
    assert run(spent, items) == items
    assert spent.last is not None
    assert (spent.last.complete, spent.last.model) == (known, model)
    assert spent.unknown == (not known)


def test_every_request_is_added_once() -> None:
    spent = cost(Price(1_000_000, 1_000_000))
    twice = [Usage(1, 1, 2), Usage(1, 2, 3)]  # the later has all of the earlier
    first = [Start("m"), Text("a"), *twice, Finish(), Finish(choice=1)]
    thrown_away = [Start("m"), Text("b"), Usage(10, 0, 10), Reset()]
    run(spent, [*first, *thrown_away, Text("c"), Usage(100, 0, 100), Finish()])
    assert (spent.total, spent.unknown) == (113, 0)
    assert repr(spent) == "<spent 113>"


@pytest.mark.parametrize("script", [("a", Truncated("cut")), ("a", 1.0), (Start("m"), "a")])
def test_who_was_heard_without_a_word_of_usage_is_counted_as_unknown(script: Any) -> None:
    spent = cost(Price(1, 1))

    async def main() -> None:
        async with Scripted(*script)("?").pipe(spent).open() as items:
            try:
                async with asyncio.timeout(0.5):
                    async for _ in items:
                        pass
            except (Truncated, TimeoutError):
                pass

    run_virtual(main())
    assert (spent.total, spent.unknown) == (0, 1)
    assert repr(spent) == "<spent 0, and 1 of unknown cost>"


def test_who_did_not_say_a_word_costs_nothing() -> None:
    spent = cost(Price(1, 1))
    assert run(spent, [Start("m")]) == [Start("m")]
    assert (spent.last, spent.unknown) == (None, 0)


def test_a_count_makes_a_cost_of_what_was_said() -> None:
    spent = cost(Price(1, 1_000_000))
    Scripted("Hello you")("?").pipe(count_tokens(str.split), spent).run()
    assert spent.last is not None
    assert (spent.last.output, spent.last.complete) == (2, False)


def test_wrong_prices_and_places_say_so() -> None:
    for wrong in (-1, "dear", float("nan"), None):
        with pytest.raises(UsageError, match="a price is a number"):
            Price(wrong, 1)
    for prices in ({}, {"m": 1}, 5, None):
        with pytest.raises(UsageError, match=r"cost\(\) takes"):
            cost(prices)
    with pytest.raises(UsageError, match="before ops"):
        rxchat.of("a").pipe(cost(Price(1, 1))).run()


def test_a_turn_with_tools_is_paid_for_once() -> None:
    def six() -> int:
        return 6

    usage = Usage(input=10, output=1, total=11)
    model = Scripted(Start("m"), ToolCall(0, "a", "six"), usage).then(Start("m"), "Six.", usage)
    costs = ops.cost(rxchat.Price(1_000_000, 1_000_000))
    rxchat.with_tools(lambda said, tools: model(said), "?", [six]).pipe(costs).run()
    assert (costs.total, costs.unknown) == (22, 0)
