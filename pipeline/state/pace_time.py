"""The time by which pace is kept: near the wall clock, and not to be pushed.

A day cap lives by days, and days by the wall clock, which a person or a server may set. So as long as the machine is
up the time of `advance` runs with the boot clock and only leans towards the wall clock; at the first look after a boot
the wall clock is believed, unless it is older than this program. No jump lifts a cap before its time, none blocks.
"""

import functools
import time
from datetime import UTC, datetime

from msgspec import Struct

LEAN = 0.1
MADE_S = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_MAX_BOOT_ID_BYTES = 100


class Moment(Struct, frozen=True, kw_only=True):
    """One look at both clocks: seconds of UTC, and seconds since the boot named `boot`, sleep included."""

    wall: float
    steady: float
    boot: str


class Mark(Struct, frozen=True, kw_only=True):
    """A moment as it was kept: `at` is the time that was made of it."""

    at: float
    steady: float
    boot: str


def advance(last: Mark | None, seen: Moment) -> Mark:
    at = seen.wall
    if last is not None and last.boot == seen.boot:
        gone = max(seen.steady - last.steady, 0.0)
        at = min(max(seen.wall, last.at + (1 - LEAN) * gone), last.at + (1 + LEAN) * gone)
    elif last is not None and seen.wall < MADE_S:
        at = last.at
    return Mark(at=at, steady=seen.steady, boot=seen.boot)


def day_of(at: float) -> str:
    """The day of UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def steady_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@functools.cache
def boot_id() -> str:
    """Empty where the kernel does not tell: then every look is of the same boot."""
    try:
        with open(_BOOT_ID, encoding="ascii") as file:
            return file.read(_MAX_BOOT_ID_BYTES).strip()
    except OSError:
        return ""
