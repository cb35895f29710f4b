"""Bounds and the counters that enforce them: the smallest level wins, and the winner is known by name."""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from decimal import Decimal

from msgspec import Struct

from pipeline.core.errors import ConfigError, MediaspoolError, ReplyTooLarge
from pipeline.core.model import Limits

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")
MAX_DURATION_S = 366 * 24 * 3600.0
MEGABYTE = 1_000_000
NEVER_REPEATED = frozenset({"make_video"})
MAX_REPEATS = 3


class Bounds(Struct, frozen=True, kw_only=True):
    """The limits in force and, per field, the level that set them."""

    limits: Limits
    set_by: dict[str, str]

    def excess(self, field: str, found: float, unit: str) -> str | None:
        """What is too much, how much is allowed and who said so; None where it is within the bound."""
        allowed = getattr(self.limits, field)
        if allowed is None or found <= allowed:
            return None
        return f"{found:,.12g} {unit}; at most {allowed:,.12g}, set by {self.set_by[field]}"


def smallest(levels: Iterable[tuple[str, Limits]]) -> Bounds:
    """Join levels such as built-in, settings, route and job; per field the smallest value wins, the first on a tie."""
    values: dict[str, float] = {}
    set_by: dict[str, str] = {}
    for level, limits in levels:
        for field in Limits.__struct_fields__:
            value = getattr(limits, field)
            if value is not None and (field not in values or value < values[field]):
                values[field], set_by[field] = value, level
    return Bounds(limits=Limits(**values), set_by=set_by)  # type: ignore[arg-type]  # field types come from Limits itself


def parse_duration(text: str, key: str | None = None) -> float:
    """Seconds of `"1h30m"`, `"50m"`, `"2.5s"`; ConfigError for anything else, with the key that it stands under."""
    told = repr(text) if key is None else f"{key} = {text!r}"
    match = _DURATION.fullmatch(text.strip())
    if match is None or not any(match.groups()):
        raise ConfigError(f"{told} is not a duration", hint='write it like "30s", "50m" or "1h30m"')
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    total = hours * 3600 + minutes * 60 + seconds
    if total > MAX_DURATION_S:
        raise ConfigError(f"{told} is longer than a year")
    return total


class Tab:
    """What one job has cost in this run so far: what is known of it, and how many calls have a price nobody knows.

    `has_called` from its first attempt on: such a job goes on to its end, where others wait for the next run. Of the
    `calls` that it is at, `waits` only wait for a provider; `has_left` once one of them did not any longer. Of what
    was `cut` off, calls and work of children, `cut_at_work` had begun; the others had only stood in line.
    """

    def __init__(self) -> None:
        self.known_usd = Decimal(0)
        self.unpriced = 0
        self.has_called = False
        self.calls = self.waits = self.cut = self.cut_at_work = 0
        self.has_left = False

    @property
    def only_waits(self) -> bool:
        """Is a provider all that it waits for?"""
        return self.has_left or 0 < self.calls == self.waits

    @property
    def only_stood_in_line(self) -> bool:
        """Was nothing cut off but waits for what others had: a turn, a seat, room, a route that rests?"""
        return self.cut > 0 == self.cut_at_work

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """What is cut off in here had been asked for: a call, or work of a child."""
        with _if_cut(self._was_cut):
            yield

    @contextmanager
    def at_work(self, stint: "Stint") -> Iterator[None]:
        """What is cut off in here did not only stand in line, unless nobody had begun with it."""
        with _if_cut(lambda: self._was_cut_at_work(stint)):
            yield

    @property
    def is_free(self) -> bool:
        """Has surely nothing been paid?"""
        return not self.unpriced and not self.known_usd

    def book(self, usd: Decimal | None) -> None:
        if usd is None:
            self.unpriced += 1
        else:
            self.known_usd += usd

    def _was_cut(self) -> None:
        self.cut += 1

    def _was_cut_at_work(self, stint: "Stint") -> None:
        self.cut_at_work += stint.has_begun


Line = Callable[[], AbstractContextManager[None]]
"""What is waited in while whoever shall do some work is at work for others."""


class Stint:
    """Work that may have to wait for somebody to do it, before each piece of it."""

    def __init__(self) -> None:
        self._is_in_line = self._was_worked_on = False

    @property
    def has_begun(self) -> bool:
        return self._was_worked_on or not self._is_in_line

    @contextmanager
    def in_line(self) -> Iterator[None]:
        """A `Line`. Who is cut off in it stays there."""
        self._is_in_line = True
        yield
        self._is_in_line, self._was_worked_on = False, True


@contextmanager
def _if_cut(tell: Callable[[], None]) -> Iterator[None]:
    is_cut = True
    try:
        yield
        is_cut = False
    except MediaspoolError:
        is_cut = False
        raise
    finally:
        if is_cut:
            tell()


class Doubt:
    """The allowance of one run for sending calls again that may have been paid for: a few times, where it is cheap.

    What was granted for an attempt stays granted. Each repeat counts as paid with its worst case.
    """

    def __init__(self, per_call_usd: Decimal, per_run_usd: Decimal) -> None:
        self.used_usd = Decimal(0)
        self._per_call_usd = per_call_usd
        self._per_run_usd = per_run_usd
        self._granted: set[str] = set()

    def grants(self, attempt: str, *, operation: str, worst_usd: Decimal | None, repeats: int) -> bool:
        """May the call of this doubtful attempt be sent again, after so many repeats already? Takes what it grants."""
        if attempt in self._granted:
            return True
        if operation in NEVER_REPEATED or worst_usd is None or repeats >= MAX_REPEATS or not self._per_call_usd:
            return False
        if worst_usd > self._per_call_usd or self.used_usd + worst_usd > self._per_run_usd:
            return False
        self.used_usd += worst_usd
        self._granted.add(attempt)
        return True


class Meter:
    """Counts the bytes of an answer towards their bound and raises ReplyTooLarge at the first one beyond it."""

    def __init__(self, limit: float | None, *, unit: str) -> None:
        self.used = 0.0
        self._limit = limit
        self._unit = unit

    def add(self, amount: float) -> None:
        self.used += amount
        if self._limit is not None and self.used > self._limit:
            raise ReplyTooLarge(f"more than {self._limit:.0f} {self._unit}", hint="raise max_output_mb")
