"""Sums of money in which an unknown part makes the whole unknown; unknown is never zero."""

from collections.abc import Iterable
from decimal import Decimal


def total(amounts: Iterable[Decimal | None]) -> Decimal | None:
    known = Decimal(0)
    for amount in amounts:
        if amount is None:
            return None
        known += amount
    return known


def missing(calls: int) -> str:
    """What a sum lacks of which so many calls have no known price, in words for people."""
    return "the price of 1 call is not known" if calls == 1 else f"the prices of {calls} calls are not known"
