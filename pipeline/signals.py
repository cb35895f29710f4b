"""Draining on request: a signal or a time limit lets running jobs finish, then cuts them; a second signal cuts now.

The receiver stays open until the run has settled everything, so a late second signal cannot kill a run that is writing.
"""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import FrameType

import trio

from pipeline.batch import Stop
from pipeline.core.endings import ending_signals
from pipeline.core.errors import BudgetExhausted, MediaspoolError


class Caught:
    """The first signal of the run, if one came."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def keep(self) -> None:
        """From now until the process ends a signal is noted here, and never kills: not a run that is just starting,
        and not one that has ended and is about to tell how.
        """
        for number in ending_signals():
            signal.signal(number, self._note)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal = number


@asynccontextmanager
async def watch_signals(
    stop: Stop, caught: Caught, *, grace_s: float, time_limit_s: float | None
) -> AsyncIterator[None]:
    """Drain on a signal or at the limit. When the block ends, signals are whoever's they were before.

    An error of ours leaves as itself: inside the nursery it would be wrapped in a group, which nobody asks for.
    """
    failure: MediaspoolError | None = None
    with trio.open_signal_receiver(*ending_signals()) as signals:
        async with trio.open_nursery() as nursery:
            if caught.signal is not None:
                _drain(stop, caught.signal, nursery, grace_s)
            nursery.start_soon(_listen, signals, stop, caught, nursery, grace_s)
            if time_limit_s is not None:
                nursery.start_soon(_limit, stop, time_limit_s, grace_s)
            try:
                yield
            except MediaspoolError as error:
                failure = error
            nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _listen(
    signals: AsyncIterator[int], stop: Stop, caught: Caught, nursery: trio.Nursery, grace_s: float
) -> None:
    async for number in signals:
        if caught.signal is not None:
            stop.cut.set()
            continue
        caught.signal = number
        _drain(stop, number, nursery, grace_s)


def _drain(stop: Stop, number: int, nursery: trio.Nursery, grace_s: float) -> None:
    stop.drain(f"stopped by {signal.Signals(number).name}")
    nursery.start_soon(_cut_after, stop, grace_s)


async def _limit(stop: Stop, seconds: float, grace_s: float) -> None:
    await trio.sleep(seconds)
    stop.drain(
        "the time limit of the run is reached",
        BudgetExhausted("the time limit of the run is reached", code="budget-runtime", hint="run again"),
    )
    await _cut_after(stop, grace_s)


async def _cut_after(stop: Stop, grace_s: float) -> None:
    await trio.sleep(grace_s)
    stop.cut.set()
