"""A share of all requests that extra ones may make up."""

from __future__ import annotations

from rxchat.errors import UsageError
from rxchat.operators.arguments import number

__all__ = ["Budget"]


class Budget:
    """At most this share of all requests may be extra: share it to keep a fleet from a storm.

    One extra request is saved up at the beginning. Each request puts `share` in, each extra one
    takes 1 out; no more than `most` is saved up for bad times. Give the same budget to all the
    `ops.retry` or `rxchat.hedge` that it is for.

    >>> budget = Budget(0.5)
    >>> for _ in range(3): budget.asked()
    >>> [budget.takes() for _ in range(3)], budget
    ([True, True, False], <Budget of 50 % extra: 2 of 3 requests, 0.5 left>)
    """

    def __init__(self, share: float, *, most: float = 10.0) -> None:
        number("Budget", above=0, share=share)
        number("Budget", least=1, most=most)
        if share > 1:
            raise UsageError(f"a budget is a share of the requests, above 0 up to 1, not {share!r}")
        self.share = share
        self.most = most
        self.left = 1.0
        self.requests = 0
        self.extra = 0

    def asked(self) -> None:
        """Count a request that is no extra one."""
        self.requests += 1
        self.left = min(self.most, self.left + self.share)

    def takes(self) -> bool:
        """Whether one more extra request may go out; it is counted then."""
        if self.left < 1 - 1e-9:  # ten times 0.1 is less than 1
            return False
        self.left -= 1
        self.extra += 1
        return True

    def __repr__(self) -> str:
        return (
            f"<Budget of {self.share * 100:.3g} % extra: {self.extra} of {self.requests} requests, "
            f"{max(0.0, self.left):.3g} left>"
        )
