"""What answers cost, by the usage that the services tell."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar, cast

import attrs
from reactivex import Observable, abc
from reactivex.abc import DisposableBase
from reactivex.disposable import Disposable

from rxchat.calls import TURN
from rxchat.errors import UsageError
from rxchat.events import Finish, Other, Reset, Start, Usage, is_content
from rxchat.stream import Hop, lift

__all__ = ["Cost", "Costs", "Price", "cost"]

T = TypeVar("T")


def _amount(given: Any) -> Decimal:
    try:
        amount = Decimal(str(given))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not (amount.is_finite() and amount >= 0):
        raise UsageError(f"a price is a number of 0 or more per million tokens, not {given!r}")
    return amount


@attrs.frozen
class Price:
    """What a million tokens cost, in a currency of yours.

    Without a price of their own, tokens from the cache cost as input, and reasoning as output.
    """

    input: Decimal = attrs.field(converter=_amount)
    output: Decimal = attrs.field(converter=_amount)
    cached: Decimal | None = attrs.field(default=None, converter=attrs.converters.optional(_amount))
    reasoning: Decimal | None = attrs.field(
        default=None, converter=attrs.converters.optional(_amount)
    )

    def of(self, usage: Usage, model: str = "") -> Cost:
        """What an answer of this usage costs; each token is paid once.

        Services count apart or together. Where there is a total, it tells: reasoning is part of
        the output if both fit into it only so, and what is not output is input, tokens from and
        to the cache and those of built-in tools among it. Without a total, reasoning is part of
        the output, and the cache stands beside the input, as with Anthropic.

        >>> Price(2, 8, cached=0.5).of(Usage(input=1000, output=500, total=1500, cached=800)).total
        Decimal('0.0048')
        """
        fresh, cached, plain, thoughts = _apart(usage)
        return Cost(
            _worth(fresh, self.input, cached, self.cached),
            _worth(plain, self.output, thoughts, self.reasoning),
            model,
            usage,
        )


@attrs.frozen
class Cost:
    """What one answer costs; None is what nobody knows, which is not 0."""

    input: Decimal | None
    output: Decimal | None
    model: str = ""
    usage: Usage | None = None

    @property
    def total(self) -> Decimal:
        """All that is known."""
        return (self.input or Decimal()) + (self.output or Decimal())

    @property
    def complete(self) -> bool:
        """Whether all is known."""
        return self.input is not None and self.output is not None


def _apart(usage: Usage) -> tuple[int | None, int, int | None, int]:
    """Tokens of input and from the cache, of output and of reasoning, each counted once."""
    given, made, total = usage.input, usage.output, usage.total
    cached, thoughts = usage.cached or 0, usage.reasoning or 0
    if total is not None and made is None and given is not None:
        made = max(total - given, 0)
    if made is None:
        return given, cached, None, thoughts
    beside = thoughts > made  # the output is without the thoughts
    if total is not None:
        beside = beside or 0 < thoughts <= total - made - (given or 0)
        taken = max(total - made - (thoughts if beside else 0), given or 0)
        given = taken - cached if taken >= cached else given
    return given, cached, made if beside else made - thoughts, thoughts


def _worth(
    tokens: int | None, price: Decimal, others: int, special: Decimal | None
) -> Decimal | None:
    if tokens is None:
        return None
    return (tokens * price + others * (price if special is None else special)) / 1_000_000


class Costs:
    """An operator that adds up what is spent by the streams that are piped through it."""

    __slots__ = ("_prices", "last", "total", "unknown")

    def __init__(self, prices: Price | Mapping[str, Price]) -> None:
        self._prices = prices
        self.last: Cost | None = None
        self.total = Decimal()
        self.unknown = 0
        """Answers of which not all is known: no price, no usage, or hung up before it came."""

    def __call__(self, source: Observable[T]) -> Observable[T]:
        def subscribe(
            observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None
        ) -> DisposableBase:
            return _Costing(observer, self).over(source, scheduler)

        return Observable(subscribe)

    def add(self, usage: Usage, model: str) -> None:
        """Add an answer that did not come through it."""
        price = self._price(model)
        cost = Cost(None, None, model, usage) if price is None else price.of(usage, model)
        self.last = cost
        self.total += cost.total
        self.unknown += not cost.complete

    def _price(self, model: str) -> Price | None:
        if isinstance(self._prices, Price):
            return self._prices
        plain = _VERSION.sub("", model)
        return self._prices.get(model) or self._prices.get(plain)

    def __repr__(self) -> str:
        unknown = f", and {self.unknown:,} of unknown cost" if self.unknown else ""
        return f"<spent {self.total.normalize():f}{unknown}>"


# gpt-5-2025-08-07, claude-sonnet-4-20250514, gemini-2.0-flash-001, grok-4-latest
_VERSION = re.compile(r"[-@](\d{4}-\d\d-\d\d|\d{8}|\d{3,4}|latest)$")


def cost(prices: Price | Mapping[str, Price]) -> Costs:
    """Add up what answers cost, by the usage that the services tell: `spent.total`, `spent.last`.

    Everything passes. The prices are one, or one for each model by the name that the service
    gives it, with or without the date at its end. What nobody knows is no 0: it makes the `last`
    cost not `complete`, and is counted in `unknown`. Put `ops.count_tokens` before it where a
    service tells no usage, so that at least the output is known; and both before `ops.retry` and
    the like, so that failed attempts count, too. Nothing is held: it keeps the sums.

    >>> from rxchat.testing import Scripted
    >>> spent = cost({"gpt-5": Price(input=1.25, output=10)})
    >>> say = Scripted(Start("gpt-5-2025-08-07"), "Hello", Usage(1000, 200, 1200))
    >>> say("Hi").pipe(spent).run().reason
    'stop'
    >>> spent
    <spent 0.00325>
    """
    given: object = prices
    several = cast("Mapping[object, object]", given).values() if isinstance(given, Mapping) else ()
    if not isinstance(given, Price) and not (
        several and all(isinstance(price, Price) for price in several)
    ):
        raise UsageError(
            "cost() takes a rxchat.Price, or {'model': rxchat.Price(input=..., output=...)}, "
            f"not {given!r}"
        )
    return Costs(prices)


class _Costing(Hop[Any], DisposableBase):
    __slots__ = ("_costs", "_heard", "_model", "_upstream", "_usage")

    def __init__(self, observer: abc.ObserverBase[Any], costs: Costs) -> None:
        super().__init__(observer)
        self._costs = costs
        self._model = ""
        self._usage: Usage | None = None
        self._heard = False  # whether there is something to pay for
        self._upstream: DisposableBase = Disposable()

    def over(self, source: Observable[Any], scheduler: abc.SchedulerBase | None) -> DisposableBase:
        """Subscribe to what is paid for."""
        self._upstream = lift(source, self, scheduler)
        return self

    def on_next(self, item: Any) -> None:
        kind = cast("type[object]", type(item))
        if kind is str:
            self.observer.on_error(UsageError("texts have no usage: put ops.cost before ops.text"))
            return
        if kind is Start:
            self._settle()
            self._model = item.model
        elif kind is Usage:
            self._usage = item  # some services say it again and again, and always all of it
        elif kind is Finish or kind is Reset:
            self._settle()
        elif kind is Other and item.name == TURN:
            self._heard = False  # its usage comes with that of the last turn
        elif not self._heard:
            self._heard = is_content(item)
        self.observer.on_next(item)

    def _settle(self) -> None:
        """The end of one request."""
        usage, heard = self._usage, self._heard
        self._usage, self._heard = None, False
        if usage is not None or heard:
            self._costs.add(usage or Usage(), self._model)

    def on_error(self, error: Exception) -> None:
        self._settle()
        self.observer.on_error(error)

    def on_completed(self) -> None:
        self._settle()
        self.observer.on_completed()

    def dispose(self) -> None:
        self._settle()
        self._upstream.dispose()
