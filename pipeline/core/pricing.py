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


def at_most(usd: Decimal, unknown: int) -> str:
    """What calls may have cost at worst, of which nobody knows it of so many."""
    dark = f"an unknown price for {unknown}" if unknown else ""
    return " and ".join(filter(None, (f"at most {usd.normalize():f} USD" if usd or not unknown else "", dark)))
