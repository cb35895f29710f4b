"""Caps and what counts towards them: reserved at its worst before a call is sent, settled afterwards.

A budget may have one above it: what is taken here must fit there too, so the smallest cap wins. Unknown is never zero:
where money is capped, a call of unknown price needs a stated worst case.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from pipeline.core.errors import BudgetExhausted, CapReached, CapTooSmall, LimitExceeded
from pipeline.core.model import Caps, Estimate
from pipeline.core.operations import EditImage, MakeImage, Operation
from pipeline.core.pricing import total

Level = Literal["manifest", "run", "day", "month"]
Taker = Literal["call", "job"]

_AGAIN: Mapping[Level, str] = {
    "manifest": "run again",
    "run": "run again",
    "day": "run again tomorrow",
    "month": "run again next month",
}


class _Cap(Struct, frozen=True):
    """One cap: its name, what an error calls it, how much of it there is and how much an estimate takes."""

    name: str
    code: str
    unit: str
    most: Decimal | None
    used: Decimal
    more: Decimal


def counted(estimate: Estimate, operation: Operation, *, paid: bool) -> Estimate:
    """What a driver says a call may use, with what is counted on paid routes."""
    if not paid:
        return estimate
    images = operation.n if isinstance(operation, MakeImage | EditImage) else 0
    return replace(estimate, images=images, requests=1)


def together(estimates: Iterable[Estimate]) -> Estimate:
    """The sum, in which an unknown price makes the whole price unknown."""
    items = list(estimates)
    return Estimate(
        usd=total(item.usd for item in items),
        audio_seconds=sum(item.audio_seconds for item in items),
        images=sum(item.images for item in items),
        requests=sum(item.requests for item in items),
    )


def less(estimate: Estimate, taken: Estimate) -> Estimate:
    """What is left of the one without the other; both have a price."""
    assert estimate.usd is not None
    assert taken.usd is not None
    return Estimate(
        usd=estimate.usd - taken.usd,
        audio_seconds=estimate.audio_seconds - taken.audio_seconds,
        images=estimate.images - taken.images,
        requests=estimate.requests - taken.requests,
    )


class Reserved(Exception):
    """Only what calls under way have reserved leaves no room. No error: wait until they have their price."""


class Shelf(Struct, frozen=True, kw_only=True):
    """The caps of one level and what is used of them; calls under way may give `reserved` back."""

    level: Level
    caps: Caps
    used: Estimate
    reserved: Estimate = Estimate()


def ensure_room(shelves: Sequence[Shelf], more: Estimate, *, taker: Taker = "call") -> None:
    """BudgetExhausted where some cap has no room for it whatever calls under way will cost, Reserved where it may yet.

    What takes nothing of a unit always fits. `taker` is who an error says would take it.
    """
    for shelf in shelves:
        _ensure_room(shelf, less(shelf.used, shelf.reserved), more, taker=taker)
    try:
        for shelf in shelves:
            _ensure_room(shelf, shelf.used, more, taker=taker)
    except BudgetExhausted:
        raise Reserved from None


def _ensure_room(shelf: Shelf, used: Estimate, more: Estimate, *, taker: Taker) -> None:
    if shelf.caps.max_spend_usd is not None and more.usd is None:
        raise LimitExceeded(
            "the price of the call is unknown and spending is capped",
            code="price-unknown",
            hint="set limits.unknown_price_usd in the manifest to what such a call may cost, or take a model whose"
            " price is known",
        )
    for cap in _caps(shelf.caps, used, more):
        if cap.most is not None and cap.more > 0 and cap.used + cap.more > cap.most:
            raise _reached(shelf.level, cap, taker=taker)


class CapUse(Struct, frozen=True, kw_only=True):
    """How far a cap is used up; `unit` is in words. `unknown` calls are not in it, since nobody knows their price."""

    cap: str
    unit: str
    most: Decimal
    used: Decimal | None
    unknown: int = 0


def uses(level: Level, caps: Caps, used: Estimate) -> tuple[CapUse, ...]:
    """The caps that are set, each with what is used of it."""
    return tuple(
        CapUse(cap=f"{cap.name}_per_{level}", unit=cap.unit, most=cap.most, used=round(cap.used, 6))
        for cap in _caps(caps, used, Estimate())
        if cap.most is not None
    )


def touches(caps: Caps, more: Estimate) -> bool:
    """Does `more` count towards any cap that is set?"""
    is_dark = caps.max_spend_usd is not None and more.usd is None
    return is_dark or any(cap.most is not None and cap.more > 0 for cap in _caps(caps, Estimate(), more))


def _caps(caps: Caps, used: Estimate, more: Estimate) -> Iterator[_Cap]:
    yield _Cap("max_spend_usd", "budget-spend", "USD", caps.max_spend_usd, _usd(used), _usd(more))
    minutes = caps.max_audio_minutes
    yield _Cap(
        "max_audio_minutes",
        "budget-audio",
        "minutes of audio",
        None if minutes is None else Decimal(str(minutes)),
        _minutes(used),
        _minutes(more),
    )
    for name, code, unit, most, there, wanted in (
        ("max_images", "budget-images", "pictures", caps.max_images, used.images, more.images),
        ("max_requests", "budget-requests", "requests", caps.max_requests, used.requests, more.requests),
    ):
        yield _Cap(name, code, unit, None if most is None else Decimal(most), Decimal(there), Decimal(wanted))


def _usd(estimate: Estimate) -> Decimal:
    return estimate.usd or Decimal(0)


def _minutes(estimate: Estimate) -> Decimal:
    """To the microsecond, so that sums of floating point neither pass a cap nor miss it by an ulp."""
    return Decimal(str(round(estimate.audio_seconds, 6))) / 60


def _reached(level: Level, cap: _Cap, *, taker: Taker) -> BudgetExhausted:
    """What is more than the whole cap would find no room in any run: it is left alone. A cap of nothing is reached."""
    assert cap.most is not None
    is_own = level == "manifest"
    most = f"{_short(cap.most)} {cap.unit}" + ("" if is_own else f" per {level}")
    name = f"limits.{cap.name} in the manifest" if is_own else f"caps.{cap.name}_per_{level} in the settings"
    if 0 < cap.most < cap.more:
        what = f"the {taker} may take {_short(cap.more)} {cap.unit}, and the cap is {most}"
        return CapTooSmall(what, code=cap.code, hint=f"raise {name}, or ask for less")
    left = f"the next {taker} may take {_short(cap.more)}, {_short(max(cap.most - cap.used, Decimal(0)))} are left"
    kind = BudgetExhausted if is_own else CapReached
    return kind(f"the cap of {most} is reached: {left}", code=cap.code, hint=f"raise {name}, or {_AGAIN[level]}")


def _short(amount: Decimal) -> str:
    return f"{round(amount, 6).normalize():f}"


class Budget:
    """The caps of one manifest or one whole run. What is reserved counts as spent until it is settled."""

    def __init__(
        self,
        caps: Caps,
        *,
        level: Level = "manifest",
        above: "Budget | None" = None,
        used: Estimate = Estimate(),  # noqa: B008  # it is frozen
    ) -> None:
        self.caps = caps
        self.used = used
        self._level: Level = level
        self._above = above
        self._reserved = Estimate()
        self._under_way = 0

    def reserve(self, estimate: Estimate, *, taker: Taker = "call") -> Estimate:
        """Take the worst case before dispatch: what was taken, with its stated price where it had none.

        BudgetExhausted, Reserved, or LimitExceeded for a price that is unknown, with nothing taken anywhere.
        """
        wanted = self.stated(estimate)
        levels = self._levels()
        ensure_room([budget.shelf for budget in levels], wanted, taker=taker)
        for budget in levels:
            budget._take(known(wanted))
        return wanted

    def stated(self, estimate: Estimate) -> Estimate:
        """It, with the price that the manifest states where it has none."""
        usd = self.caps.unknown_price_usd
        return replace(estimate, usd=usd) if estimate.usd is None and usd is not None else estimate

    @property
    def shelf(self) -> Shelf:
        return Shelf(level=self._level, caps=self.caps, used=self.used, reserved=self._reserved)

    def _levels(self) -> list["Budget"]:
        return [self, *(self._above._levels() if self._above is not None else ())]

    def _take(self, wanted: Estimate) -> None:
        self.used = together([self.used, wanted])
        self._reserved = together([self._reserved, wanted])
        self._under_way += 1

    def settle(self, reserved: Estimate, used: Estimate) -> None:
        """Replace a reservation by what was really used; an unknown price keeps the reservation."""
        taken = known(reserved)
        really = replace(used, usd=taken.usd) if used.usd is None else used
        self.used = less(together([self.used, really]), taken)
        self._under_way -= 1
        # Nothing but nothing with nobody under way: a hair left by rounding would be waited for, for ever.
        self._reserved = less(self._reserved, taken) if self._under_way else Estimate()
        if self._above is not None:
            self._above.settle(reserved, used)


def known(estimate: Estimate) -> Estimate:
    """It, with an unknown price as nothing."""
    return replace(estimate, usd=Decimal(0)) if estimate.usd is None else estimate
