"""Prices that a provider tells later: asked for at the end of a run, a few, and not for long.

Whatever goes wrong here costs the run nothing: a price that is not known stays unknown, and the next run asks again.
"""

from collections.abc import Callable, Collection
from decimal import Decimal

import trio

from pipeline.core.drivers import Driver, TellsPrices
from pipeline.core.errors import MediaspoolError
from pipeline.core.model import Runner
from pipeline.pacing import Pacer
from pipeline.state.ledger import MAX_ROWS, Ledger
from pipeline.state.ledger_rows import AttemptRow

MAX_ASKED = 50
DEADLINE_S = 20.0


async def learn_prices(
    ledger: Ledger, runner: Runner, drivers: Callable[[str], Driver], *, routes: Collection[str], pacer: Pacer
) -> int:
    """Ask about the unpriced calls of these routes. How many of those asked about are still without a price."""
    rows = [row for row in await runner(ledger.unpriced, MAX_ROWS) if row.route in routes]
    unknown = 0
    silent: set[str] = set()
    with trio.move_on_after(DEADLINE_S):
        for row in rows[:MAX_ASKED]:
            if row.route in silent:
                continue
            try:
                driver = drivers(row.route)
                if not isinstance(driver, TellsPrices):
                    continue
                usd = await _price(driver, row)
            except MediaspoolError:
                silent.add(row.route)
                continue
            unknown += usd is None
            await runner(ledger.set_price, row.id, usd)
            if usd is not None:
                await pacer.price(row.id, usd)
    return unknown


async def _price(driver: TellsPrices, row: AttemptRow) -> Decimal | None:
    """What the provider says, if that can be a price."""
    assert row.request_id is not None, "the ledger gives only those that can be asked about"
    usd = await driver.price_of(row.request_id)
    return usd if usd is not None and usd.is_finite() and usd >= 0 else None
