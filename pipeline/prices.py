"""Prices that a provider tells later: asked for at the end of a run, side by side, and not for long.

The time is bounded, not the number: a busy run leaves many behind, and what is over is the next run's. Whatever goes
wrong here costs the run nothing: a price that is not known stays unknown, and the next run asks again.
"""

from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from decimal import Decimal

import trio
from msgspec import Struct
from msgspec.structs import replace

from pipeline.core.drivers import Driver, TellsPrices
from pipeline.core.errors import MediaspoolError
from pipeline.core.model import Decision, Outcome, Place, RunId, Runner
from pipeline.pacing import Pacer
from pipeline.state.ledger import MAX_ROWS, Ledger
from pipeline.state.ledger_rows import AttemptRow

LEAST_S, MOST_S = 20.0, 600.0
SHARE_OF_WORK = 0.25


class Terms(Struct, frozen=True, kw_only=True):
    """The run and the routes that may be asked, when it `began` by Trio's clock, whether somebody wants it to end."""

    run: RunId
    routes: Collection[str]
    began: float
    is_over: Callable[[], bool]


class Learned:
    """What came of asking: prices of this run's calls, by the job they were made for, and how many may still come."""

    def __init__(self) -> None:
        self.to_come = 0
        self.late: defaultdict[Place, list[Decimal]] = defaultdict(list)

    def told(self, decisions: Iterable[Sequence[Decision]], outcomes: Iterable[list[Outcome]]) -> list[list[Outcome]]:
        """The outcomes with the prices that were told since their jobs ended."""
        pairs = [zip(*both, strict=True) for both in zip(decisions, outcomes, strict=True)]
        return [[self._priced(decision.job.place, outcome) for decision, outcome in pair] for pair in pairs]

    def _priced(self, place: Place, outcome: Outcome) -> Outcome:
        """Each price counts once: a place may stand in two manifests."""
        late = self.late.pop(place, []) if outcome.unpriced_calls else []
        left, known = max(0, outcome.unpriced_calls - len(late)), outcome.known_usd + sum(late)
        return replace(outcome, usd=None if left else known, known_usd=known, unpriced_calls=left) if late else outcome


async def learn_prices(
    ledger: Ledger, runner: Runner, drivers: Callable[[str], Driver], pacer: Pacer, terms: Terms
) -> Learned:
    """Ask about unpriced calls, the least asked about and oldest first."""

    learned = Learned()
    tellers = {route: each for route in terms.routes if isinstance(each := drivers(route), TellsPrices)}

    async def book(row: AttemptRow, usd: Decimal | None) -> None:
        with trio.CancelScope(shield=True):
            await runner(ledger.set_price, row.id, usd)
            if usd is not None:
                await pacer.price(row.id, usd)
        if usd is not None and row.run == terms.run:
            learned.late[row.place].append(usd)

    async def work(desk: _Desk) -> None:
        while desk.rows and not terms.is_over():
            await desk.ask(book)

    desks = [_Desk(each, await runner(ledger.unpriced, route, MAX_ROWS)) for route, each in tellers.items()]
    with trio.move_on_after(patience_s(trio.current_time() - terms.began)):
        async with trio.open_nursery() as nursery:
            for desk in desks:
                for _ in range(desk.width):
                    nursery.start_soon(work, desk)
    learned.to_come = sum(desk.unknown for desk in desks)
    return learned


def patience_s(worked_s: float) -> float:
    """How long a run asks that took so long. A provider needs less time to tell a price than to earn it."""
    return min(max(worked_s * SHARE_OF_WORK, LEAST_S), MOST_S)


class _Desk:
    """The unpriced calls of one route while they are asked about."""

    def __init__(self, driver: TellsPrices, rows: Sequence[AttemptRow]) -> None:
        self.rows = deque(rows)
        self._driver = driver
        self._unknown = len(rows)
        self._is_closed = False

    @property
    def unknown(self) -> int:
        """The prices that may still come: none by a route that takes nothing more."""
        return 0 if self._is_closed else self._unknown

    @property
    def width(self) -> int:
        return self._driver.route.width

    async def ask(self, book: Callable[[AttemptRow, Decimal | None], Awaitable[None]]) -> None:
        """About the next one. A route that does not answer is left alone for this run."""
        row = self.rows.popleft()
        try:
            usd = await _price(self._driver, row)
            await book(row, usd)
            self._unknown -= usd is not None
        except MediaspoolError as error:
            self.rows.clear()
            self._is_closed |= error.reach == "route"


async def _price(driver: TellsPrices, row: AttemptRow) -> Decimal | None:
    """What the provider says, if that can be a price."""
    assert row.request_id is not None, "the ledger gives only those that can be asked about"
    usd = await driver.price_of(row.request_id)
    return usd if usd is not None and usd.is_finite() and usd >= 0 else None
