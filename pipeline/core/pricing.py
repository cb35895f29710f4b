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
