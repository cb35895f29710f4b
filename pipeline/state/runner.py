"""Where blocking work runs: in worker threads, or inline under a test's virtual clock.

Work that began is always finished and its answer returned, also when the caller was cancelled meanwhile: a ledger write
is never left in doubt by a cancel scope. The ledger has a runner of width 1 to itself, so its writes have one order.
"""

from collections.abc import Callable

import trio

from pipeline.core.model import T, Ts


class ThreadRunner:
    """At most `width` pieces of work at a time, in worker threads; the event loop stays free."""

    def __init__(self, width: int = 1) -> None:
        self._limiter = trio.CapacityLimiter(width)

    async def __call__(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        return await trio.to_thread.run_sync(work, *args, limiter=self._limiter)


class InlineRunner:
    """The same order and the same checkpoints without a thread, so that a virtual clock does not jump meanwhile."""

    async def __call__(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()
        answer = work(*args)
        await trio.lowlevel.cancel_shielded_checkpoint()
        return answer
