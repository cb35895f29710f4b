"""How much of the fault matrix is tried: a little of everything by `make test`, all of it by `make faults`."""

import os
from typing import TypeVar

Item = TypeVar("Item")

IS_WHOLE = bool(os.environ.get("MEDIASPOOL_WHOLE_MATRIX"))


def amount(*, short: int, whole: int) -> int:
    return whole if IS_WHOLE else short


def some(items: list[Item], *, short: int) -> list[Item]:
    """All of them, or so many spread over the list."""
    return items if IS_WHOLE or len(items) <= short else [items[n * len(items) // short] for n in range(short)]
