"""Where blocking work runs: one worker thread for ledger and store, or inline under a test's virtual clock.

Work that began is always finished and its answer returned, also when the caller was cancelled meanwhile: a ledger write
is never left in doubt by a cancel scope. Nothing runs beside anything else here.
"""

from collections.abc import Callable

import trio

from pipeline.core.model import T, Ts


class ThreadRunner:
    """One piece of work at a time in a worker thread; the event loop stays free."""

    def __init__(self) -> None:
        self._one = trio.CapacityLimiter(1)

    async def __call__(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        return await trio.to_thread.run_sync(work, *args, limiter=self._one)


class InlineRunner:
    """The same order and the same checkpoints without a thread, so that a virtual clock does not jump meanwhile."""

    async def __call__(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()
        answer = work(*args)
        await trio.lowlevel.cancel_shielded_checkpoint()
        return answer
