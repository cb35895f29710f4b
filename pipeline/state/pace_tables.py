"""`[caps]` of the settings: what a run may use in all, over every manifest.

Strict like all settings; the smallest cap wins, wherever it stands.
"""

from decimal import Decimal
from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct

from pipeline.core.errors import ConfigError
from pipeline.core.model import Caps

Period = Literal["run"]
PERIODS: tuple[Period, ...] = get_args(Period)

_Minutes = Annotated[float, Meta(ge=0, le=1_000_000_000)]
_Many = Annotated[int, Meta(ge=0, le=1_000_000_000_000)]


class CapTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Caps over all manifests of a run."""

    max_spend_usd_per_run: Decimal | None = None
    max_audio_minutes_per_run: _Minutes | None = None
    max_images_per_run: _Many | None = None
    max_requests_per_run: _Many | None = None


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
