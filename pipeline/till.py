"""What an attempt may cost, taken before it begins and given back with its price: in this run, then among all runs.

Who finds no room only because of calls under way waits until one of them has its price, which as a rule is below its
worst case: a cap is reached by what was spent. Who waits holds no seat and no money.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import trio

from pipeline.core.budget import Reserved
from pipeline.core.model import Estimate
from pipeline.course import Call
from pipeline.pacing import NotYet, Pacer
from pipeline.state.ledger_rows import new_attempt_id


class Later(Exception):
    """No room before a call that is under way has its price; nothing was taken. No error: `parked` waits for that."""

    def __init__(self, lot: trio.lowlevel.ParkingLot) -> None:
        super().__init__()
        self.parked = lot.park


class Bill:
    """What an attempt counts against the caps: nothing until it was sent, then what its end says."""

    def __init__(self) -> None:
        self.attempt = new_attempt_id()
        self.used = Estimate()


class Till:
    """One for all calls of a run."""

    def __init__(self, pacer: Pacer) -> None:
        self._pacer = pacer
        self._reserved = trio.lowlevel.ParkingLot()
        self._booked = trio.lowlevel.ParkingLot()
        self._ended = 0

    @asynccontextmanager
    async def taken(self, call: Call) -> AsyncIterator[Bill]:
        """Raises Later, NotYet, or what ends the call: BudgetExhausted, LimitExceeded, RouteBusy, PaceBroken."""
        bill = Bill()
        reserved, is_booked = await self._reserve(bill, call), False
        try:
            is_booked = await self._book(bill, call, reserved)
            yield bill
        finally:
            call.owner.budget.settle(reserved, bill.used)
            self._reserved.unpark_all()
            if is_booked:
                await self._settle(bill)

    async def _reserve(self, bill: Bill, call: Call) -> Estimate:
        """Nobody waits here for a price where day or month have no room anyway."""
        budget, worst = call.owner.budget, call.worst()
        with suppress(Reserved):
            return budget.reserve(worst)
        await self._pacer.ensure_room(bill.attempt, call.driver.route, call.operation, budget.stated(worst))
        try:
            return budget.reserve(worst)  # once more: a price may have come while that was asked
        except Reserved:
            raise Later(self._reserved) from None

    async def _book(self, bill: Bill, call: Call, reserved: Estimate) -> bool:
        ended = self._ended
        try:
            return await self._pacer.take(bill.attempt, call.driver.route, call.operation, reserved)
        except Reserved:
            if ended != self._ended:  # one ended while this was asked
                raise NotYet(0.0) from None
            raise Later(self._booked) from None

    async def _settle(self, bill: Bill) -> None:
        try:
            with trio.CancelScope(shield=True):
                await self._pacer.settle(bill.attempt, bill.used)
        finally:
            self._ended += 1
            self._booked.unpark_all()
