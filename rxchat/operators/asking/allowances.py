"""What may be spent, and what a stream has cost.

You allow so much at once and in a minute: those are your `Terms`, and `Ledger` keeps to them. A
service allows so much until a reset, and says so in the headers of its answers: `Allowances`
believes it. `Bill` counts the tokens of one stream. Moments are seconds of the loop's clock.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import Attribute, define, field, setters
from reactivex import abc

from rxchat.errors import UsageError
from rxchat.events import Reasoning, Refusal, Text, ToolCall, Usage
from rxchat.stream import Call, Hop, Watch

__all__ = ["Allowances", "Amount", "Bill", "Ledger", "Terms"]

MINUTE = 60.0
MEMORY = 8  # streams, about, that the average remembers
LETTERS = 4  # that make a token, where the service does not count
BELIEVED = 86400.0  # seconds; a service that names a later time is not believed


# What you allow ----------------------------------------------------------------------------------


def _whole(_: object, attribute: Attribute[int | None], value: object) -> None:
    if value is not None and (type(value) is not int or value < 1):
        raise UsageError(f"limit({attribute.name}=) takes a whole number from 1 on, not {value!r}")


def _positive(_: object, attribute: Attribute[float], value: Any) -> None:
    if not (type(value) in (int, float) and value > 0):
        raise UsageError(f"limit({attribute.name}=) takes seconds, more than 0, not {value!r}")


@define(eq=False)
class Terms:
    """What you allow, and how many tokens a stream usually takes."""

    concurrent: int | None = field(validator=_whole, on_setattr=setters.frozen)
    per_minute: int | None = field(validator=_whole, on_setattr=setters.frozen)
    tokens_per_minute: int | None = field(validator=_whole, on_setattr=setters.frozen)
    estimate: int | None = field(validator=_whole, on_setattr=setters.frozen)
    max_wait: float = field(validator=_positive, on_setattr=setters.frozen)
    usual: float = field(default=1000.0, init=False)

    def __str__(self) -> str:
        names = ("at once", "per minute", "tokens per minute")
        numbers = (self.concurrent, self.per_minute, self.tokens_per_minute)
        given = [f"{n:,} {name}" for n, name in zip(numbers, names, strict=True) if n]
        return ", ".join(given) or "as the services say"

    def tokens(self) -> int:
        """What is reserved for a stream; one that needs more than all of a minute may have all."""
        tokens = self.estimate or max(1, round(self.usual))
        return min(tokens, self.tokens_per_minute or tokens)

    def learn(self, tokens: int) -> None:
        self.usual += (tokens - self.usual) / MEMORY


@define(eq=False)
class Amount:
    """So much of something, until then."""

    amount: int
    until: float


@define(eq=False)
class _Minute:
    """What was spent in the last 60 seconds: the window slides, so that any 60 seconds count."""

    most: float
    spent: int = 0
    entries: deque[Amount] = field(factory=deque[Amount])

    def free_at(self, amount: int, now: float) -> float:
        """Now, if there is room for so much, or else the next moment that gives some back."""
        entries = self.entries
        while entries and entries[0].until <= now:
            self.spent -= entries.popleft().amount
        fits = not entries or self.spent + amount <= self.most
        return now if fits else entries[0].until

    def spend(self, amount: int, now: float) -> Amount:
        entry = Amount(amount, now + MINUTE)
        if self.most < math.inf:  # otherwise nobody ever asks
            self.spent += amount
            self.entries.append(entry)
        return entry

    def correct(self, entry: Amount, amount: int, now: float) -> None:
        """Give back what was not needed; what was needed on top counts from now on."""
        if amount > entry.amount:
            self.spend(amount - entry.amount, now)
        elif entry.until > now:
            self.spent -= entry.amount - amount
            entry.amount = amount


class Ledger:
    """Places, starts and tokens that are taken, of those that the terms allow."""

    def __init__(self, terms: Terms) -> None:
        self.running = 0
        self._places = terms.concurrent or math.inf
        self._starts = _Minute(terms.per_minute or math.inf)
        self._tokens = _Minute(terms.tokens_per_minute or math.inf)

    def free_at(self, tokens: int, now: float) -> float:
        """When a stream may start: now, then, or (inf) with the next free place."""
        if self.running >= self._places:
            return math.inf
        return max(self._starts.free_at(1, now), self._tokens.free_at(tokens, now))

    def start(self, tokens: int, now: float) -> Amount:
        """Take a place and a start, and reserve the tokens."""
        self.running += 1
        self.ask(now)
        return self._tokens.spend(tokens, now)

    def ask(self, now: float) -> None:
        self._starts.spend(1, now)

    def end(self, reserved: Amount, tokens: int, now: float) -> None:
        """Give the place back, and put down what the stream has really cost."""
        self.running -= 1
        self._tokens.correct(reserved, tokens, now)


# What a service says ------------------------------------------------------------------------------


@define(eq=False)
class Allowances:
    """What one service has said of its limits, less what it was asked for since."""

    rests_until: float = 0.0  # it has refused, and wants to be left alone
    left: dict[str, Amount] = field(factory=dict[str, Amount])  # of each kind
    unanswered: set[Amount] = field(factory=set[Amount])  # tokens of those it has not counted yet

    def free_at(self, tokens: int, now: float) -> float:
        """The moment from which a stream of so many tokens may be asked for."""
        moment = max(now, self.rests_until)
        for kind, left in [*self.left.items()]:
            if left.until <= now:
                del self.left[kind]
            elif left.amount < _price(kind, tokens):
                moment = max(moment, left.until)
        return moment

    def rest(self, tokens: int, now: float) -> float:
        """Seconds until then."""
        return self.free_at(tokens, now) - now

    def spend(self, tokens: Amount) -> None:
        self.unanswered.add(tokens)
        for kind, left in self.left.items():
            left.amount -= _price(kind, tokens.amount)

    def refused(self, retry_after: float, now: float) -> None:
        self.rests_until = max(self.rests_until, now + min(retry_after, BELIEVED))

    def heard(self, headers: Mapping[str, str], now: float, date: datetime) -> None:
        """Believe the headers of an answer; those who have no answer yet still count."""
        for kind, remaining, reset in _HEADERS:
            left, seconds = headers.get(remaining, ""), _seconds(headers.get(reset, ""), date)
            if re.fullmatch(r"[0-9]{1,12}", left) and seconds is not None:
                others = sum(_price(kind, tokens.amount) for tokens in self.unanswered)
                self.left[kind] = Amount(int(left) - others, now + seconds)


def _price(kind: str, tokens: int) -> int:
    """What a stream takes of an allowance; how much for its input alone, nobody knows."""
    return tokens if kind == "tokens" else 1


_HEADERS = [
    (kind, form.format(kind, "remaining"), form.format(kind, "reset"))
    for form in ("x-ratelimit-{1}-{0}", "anthropic-ratelimit-{0}-{1}")
    for kind in ("requests", "tokens", "input-tokens", "output-tokens")
]
_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6}
_NUMBER = r"([0-9]{1,9}(?:\.[0-9]{1,9})?)"
_STEP = rf"{_NUMBER}(ms|us|µs|[dhms])"


def _seconds(reset: str, date: datetime) -> float | None:
    """How long: `6m0s` as Go writes it, `59`, or until a date of RFC 3339; None if absurd."""
    if re.fullmatch(_NUMBER, reset):
        seconds = float(reset)
    elif re.fullmatch(f"(?:{_STEP})+", reset):
        steps: list[tuple[str, str]] = re.findall(_STEP, reset)
        seconds = sum(float(number) * _UNITS[unit] for number, unit in steps)
    else:
        try:
            seconds = (datetime.fromisoformat(reset) - date).total_seconds()
        except (ValueError, TypeError):  # no date, or one without an offset
            return None
    return max(0.0, seconds) if seconds <= BELIEVED else None


# What a stream costs ------------------------------------------------------------------------------


class Bill(Hop[Any], Watch):
    """Hears a stream and its requests, hands all on, and counts the tokens."""

    def __init__(self, observer: abc.ObserverBase[Any]) -> None:
        super().__init__(observer)
        self.requests = 0
        self._emit = observer.on_next
        self._bytes = self._letters = 0
        self._usage: Usage | None = None

    def asked(self, call: Call) -> None:
        self.requests += 1
        self._bytes += call.asked

    def on_next(self, item: Any) -> None:
        if type(item) is Text or type(item) is Reasoning or type(item) is Refusal:
            self._letters += len(item.text)
        elif type(item) is ToolCall:
            self._letters += len(item.arguments)
        elif type(item) is Usage:
            self._usage = item
        self._emit(item)

    def tokens(self) -> int:
        """What the service says, or else by the size of what was said."""
        usage = self._usage or Usage()
        said = usage.total or (usage.input or 0) + (usage.output or 0)
        return said if said > 0 else (self._bytes + self._letters) // LETTERS
