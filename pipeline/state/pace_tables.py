"""`[caps]` and `[routes.<id>.rates]` of the settings: what may be used in all, and how fast.

Strict like all settings; the smallest cap wins, wherever it stands.
"""

from decimal import Decimal
from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct

from pipeline.core.errors import ConfigError
from pipeline.core.model import Caps
from pipeline.core.rates import SPANS_S, UNITS, Rate

Period = Literal["run", "day", "month"]
PERIODS: tuple[Period, ...] = get_args(Period)

_Minutes = Annotated[float, Meta(ge=0, le=1_000_000_000)]
_Many = Annotated[int, Meta(ge=0, le=1_000_000_000_000)]
_Amount = Annotated[float, Meta(gt=0, le=1_000_000_000_000)]


class CapTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Caps over all manifests. Days and months are those of UTC, and shared by every run of this user here."""

    max_spend_usd_per_run: Decimal | None = None
    max_spend_usd_per_day: Decimal | None = None
    max_spend_usd_per_month: Decimal | None = None
    max_audio_minutes_per_run: _Minutes | None = None
    max_audio_minutes_per_day: _Minutes | None = None
    max_audio_minutes_per_month: _Minutes | None = None
    max_images_per_run: _Many | None = None
    max_images_per_day: _Many | None = None
    max_images_per_month: _Many | None = None
    max_requests_per_run: _Many | None = None
    max_requests_per_day: _Many | None = None
    max_requests_per_month: _Many | None = None


class RateTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much a route takes in any minute, hour or day, whoever of this user's runs asks it; no bound unless said."""

    requests_per_minute: _Amount | None = None
    requests_per_hour: _Amount | None = None
    requests_per_day: _Amount | None = None
    tokens_per_minute: _Amount | None = None
    tokens_per_hour: _Amount | None = None
    tokens_per_day: _Amount | None = None
    characters_per_minute: _Amount | None = None
    characters_per_hour: _Amount | None = None
    characters_per_day: _Amount | None = None
    images_per_minute: _Amount | None = None
    images_per_hour: _Amount | None = None
    images_per_day: _Amount | None = None
    audio_seconds_per_minute: _Amount | None = None
    audio_seconds_per_hour: _Amount | None = None
    audio_seconds_per_day: _Amount | None = None


def rates_of(table: RateTable) -> tuple[Rate, ...]:
    named = [(unit, span, getattr(table, f"{unit}_per_{span}")) for unit in UNITS for span in SPANS_S]
    return tuple(Rate(unit=unit, span=span, most=most) for unit, span, most in named if most is not None)


def caps_of(table: CapTable, period: Period) -> Caps:
    """ConfigError for an amount of money that is none."""
    spend: Decimal | None = getattr(table, f"max_spend_usd_per_{period}")
    if spend is not None and (not spend.is_finite() or spend < 0):
        raise ConfigError(f"caps.max_spend_usd_per_{period} is {spend}", hint="write an amount in USD")
    return Caps(
        max_spend_usd=spend,
        max_audio_minutes=getattr(table, f"max_audio_minutes_per_{period}"),
        max_images=getattr(table, f"max_images_per_{period}"),
        max_requests=getattr(table, f"max_requests_per_{period}"),
    )
