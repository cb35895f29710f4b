"""The pace of one run: asks what all runs of this user share, where a rate or a cap needs it, and only there.

Embedded routes cost nothing here unless a cap counts them. Where `pace.db` cannot be used, calls under a cap of day or
month are left to a later run; rates are then kept by this run alone, and said so.
"""

import os
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from decimal import Decimal

import trio
from msgspec.structs import replace

from pipeline.core.budget import Budget, CapUse, Reserved, known, together, touches, uses
from pipeline.core.drivers import RouteConfig
from pipeline.core.errors import PaceBroken, RouteBusy
from pipeline.core.model import AttemptId, Caps, Estimate, Runner
from pipeline.core.operations import Operation
from pipeline.core.rates import load_of
from pipeline.state.ledger import Ledger
from pipeline.state.pace import Order, Pace, Used
from pipeline.state.pace_file import MEMORY
from pipeline.state.pace_tables import CapTable, caps_of
from pipeline.state.pace_time import Moment, day_of
from pipeline.state.route_tables import BUILT_IN
from pipeline.state.settings import state_home

LOOK_EVERY_S = 1.0
_SURELY_FREE = frozenset({"opened", "failed", "refused"})


class NotYet(Exception):
    """The route has no room now; nothing was booked. No error: the call is asked again after so many seconds."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(wait_s)
        self.wait_s = wait_s


class Pacer:
    """Opens the shared pace when something needs it. Lives as long as the runtime that made it."""

    def __init__(
        self,
        path: str,
        *,
        spool: str,
        look: Callable[[], Moment],
        runner: Runner,
        day: Caps,
        month: Caps,
        patience_s: float,
        warn: Callable[[str], None],
    ) -> None:
        self._path = path
        self._spool = spool
        self._look = look
        self._runner = runner
        self._day, self._month = day, month
        self._patience_s = patience_s
        self._warn = warn
        self._pace: Pace | None = None
        self._alone: Pace | None = None
        self._booked: dict[AttemptId, Estimate] = {}
        self._looked: dict[str, float] = {}
        self._told: dict[str, float] = {}

    def begin(self, ledger: Ledger) -> None:
        """Under the lock of the spool: count in a new spool, and close the tabs that its dead runs left."""
        if not self._is_capped and not os.path.exists(self._path):
            return
        try:
            pace = self._opened()
            if self._is_capped:
                self._enter(pace, ledger)
            for attempt in pace.tabs():
                _close_tab(pace, ledger, attempt)
        except PaceBroken as error:
            self._warn(f"{error.message}; {error.hint}")

    async def take(self, attempt: AttemptId, route: RouteConfig, operation: Operation, estimate: Estimate) -> bool:
        """Book an attempt just before it is sent. True when there is something to settle.

        Raises NotYet, RouteBusy where the wait is longer than a run is patient, BudgetExhausted, LimitExceeded,
        Reserved where the bookings of this run may leave room yet, and PaceBroken where a cap cannot be asked.
        """
        if not route.rates and not self._is_counted(estimate):
            await self._ask_for_rest(route)
            return False
        wait_s = await self._runner(self._take, self._order(attempt, route, operation, estimate))
        if wait_s > self._patience_s:
            raise RouteBusy(
                f"route {route.id} has no room for {wait_s:,.0f} s by its rates",
                hint="run again later, or raise pace_wait",
            )
        if wait_s > 0:
            raise NotYet(wait_s)
        return True

    async def ensure_room(self, attempt: AttemptId, route: RouteConfig, operation: Operation, more: Estimate) -> None:
        """What `take` raises where day or month have no room, whatever calls under way will cost. Books nothing."""
        if self._is_counted(more):
            with suppress(Reserved):
                await self._runner(self._ensure_room, self._order(attempt, route, operation, more))

    async def settle(self, attempt: AttemptId, used: Estimate) -> None:
        """A tab that cannot be settled counts with its worst case, and the next run sees to it."""
        await self._quietly(lambda pace: self._settle(pace, attempt, used))

    async def price(self, attempt: AttemptId, usd: Decimal) -> None:
        if self._pace is not None:
            await self._quietly(lambda pace: pace.price(attempt, usd))

    async def rest(self, route: RouteConfig, seconds: float) -> None:
        """Tell the other runs that a route was told to slow down; once for all workers that were told so together."""
        until = trio.current_time() + seconds
        if seconds > 0 and not _is_embedded(route) and until > self._told.get(route.id, 0.0) + LOOK_EVERY_S / 2:
            self._told[route.id] = until
            await self._quietly(lambda pace: pace.rest(route.id, seconds))

    def close(self) -> None:
        for pace in (self._pace, self._alone):
            if pace is not None:
                pace.close()

    @property
    def _is_capped(self) -> bool:
        return any(value is not None for caps in (self._day, self._month) for value in caps_values(caps))

    def _is_counted(self, estimate: Estimate) -> bool:
        return touches(self._day, estimate) or touches(self._month, estimate)

    def _opened(self) -> Pace:
        if self._pace is None:
            self._pace = Pace.open(self._path, spool=self._spool, look=self._look)
        return self._pace

    def _order(self, attempt: AttemptId, route: RouteConfig, operation: Operation, estimate: Estimate) -> Order:
        return Order(
            attempt=attempt,
            route=route.id,
            rates=route.rates,
            load=load_of(operation) if route.rates else {},
            estimate=estimate,
            day=self._day,
            month=self._month,
        )

    def _ensure_room(self, order: Order) -> None:
        self._opened().ensure_room(self._among_others(order))

    def _among_others(self, order: Order) -> Order:
        """What this run has booked can be told only where it is booked and settled in one order."""
        return replace(order, under_way=together(self._booked.values()))

    def _take(self, order: Order) -> float:
        try:
            wait_s = self._opened().take(self._among_others(order))
            self._booked |= {} if wait_s else {order.attempt: known(order.estimate)}
            return wait_s
        except PaceBroken as error:
            if self._is_counted(order.estimate):
                raise
            self._warn(f"{error.message}; rates are kept by this run alone")
        self._alone = self._alone or Pace.open(MEMORY, spool=self._spool, look=self._look)
        return self._alone.take(order)

    def _settle(self, pace: Pace, attempt: AttemptId, used: Estimate) -> None:
        self._booked.pop(attempt, None)
        pace.settle(attempt, used)

    def _enter(self, pace: Pace, ledger: Ledger) -> None:
        spent = [
            (day, Estimate(usd=(usd or Decimal(0)) * calls, requests=calls), calls if usd is None else 0)
            for day, usd, calls in ledger.used()
        ]
        if pace.enter(spent) and spent:
            told = "this spool is new to pace.db: what it spent in this month was counted in from its ledger"
            unknown = pace.used().unknown_of_month
            dark = f"; {unknown} calls of this month have a price that nobody knows, and are not in it"
            self._warn(told + (dark if unknown else ""))

    async def _ask_for_rest(self, route: RouteConfig) -> None:
        """Was the route told to slow down by another run? Asked now and then only: a hint, and it costs a look."""
        now = trio.current_time()
        if _is_embedded(route) or now < self._looked.get(route.id, 0.0):
            return
        self._looked[route.id] = now + LOOK_EVERY_S
        if await self._runner(os.path.exists, self._path):
            wait_s = await self._quietly(lambda pace: pace.rest_s(route.id))
            if wait_s:
                raise NotYet(wait_s)

    async def _quietly(self, ask: Callable[[Pace], float | None]) -> float | None:
        try:
            return await self._runner(lambda: ask(self._opened()))
        except PaceBroken as error:
            self._warn(f"{error.message}; {error.hint}")
            return None


def pace_path(environ: Mapping[str, str]) -> str:
    """Where the pace of this user lies, whatever the spool."""
    return os.path.join(state_home(environ), "pace.db")


def look_at_pace(environ: Mapping[str, str], look: Callable[[], Moment]) -> Used:
    """What this day and month have used: nothing where there is no file yet."""
    today = day_of(look().wall)
    try:
        pace = Pace.view(pace_path(environ), look=look)
        if pace is None:
            return Used(day=today)
        with closing(pace):
            return pace.used()
    except PaceBroken:
        return Used(day=today, is_known=False)


def budget_of(table: CapTable, used: Used | None) -> Budget:
    """What a run may use. Day and month are asked of the pace, call by call; a plan reckons with what is `used`."""
    run = caps_of(table, "run")
    if used is None:
        return Budget(run, level="run")
    month = Budget(caps_of(table, "month"), level="month", used=used.of_month)
    return Budget(run, level="run", above=Budget(caps_of(table, "day"), level="day", used=used.of_day, above=month))


def cap_uses(table: CapTable, used: Used) -> tuple[CapUse, ...]:
    """The caps of day and month, and what is used of them, None where nobody knows."""
    day, month = caps_of(table, "day"), caps_of(table, "month")
    of_day, of_month = uses("day", day, used.of_day), uses("month", month, used.of_month)
    dark = ((of_day, used.unknown_of_day), (of_month, used.unknown_of_month))
    found = tuple(replace(use, unknown=calls) if use.unit == "USD" else use for level, calls in dark for use in level)
    return found if used.is_known else tuple(replace(use, used=None) for use in found)


def used_line(use: CapUse) -> str:
    used = "nobody knows how much" if use.used is None else f"{use.used.normalize():f}"
    told = f"{use.cap}: {used} of {use.most.normalize():f} {use.unit} used by all runs here"
    return f"{told}, and what {use.unknown} calls cost of which nobody knows it" if use.unknown else told


def caps_values(caps: Caps) -> tuple[object, ...]:
    return caps.max_spend_usd, caps.max_audio_minutes, caps.max_images, caps.max_requests


def _close_tab(pace: Pace, ledger: Ledger, attempt: AttemptId) -> None:
    """What the ledger knows of it decides: surely not executed, priced, or still counted with its worst case."""
    row = ledger.attempt(attempt)
    if row is None or (row.state in _SURELY_FREE and not row.is_billed):
        pace.settle(attempt, Estimate())
    elif row.usd is not None:
        pace.price(attempt, row.usd)


def _is_embedded(route: RouteConfig) -> bool:
    return route.driver in BUILT_IN
