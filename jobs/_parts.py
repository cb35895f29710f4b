"""A job of many parts: all of them, side by side within the route's width, the results in the order of the parts.

Promises: after a failure, or while the run drains, no new part is begun, and what is under way is awaited: a call that
was sent ends with a verdict and keeps its receipt, so no later run makes it again. Owns no retry and no money.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from pipeline.core.errors import MediaspoolError, Stopped
from pipeline.core.kinds import JobContext

T = TypeVar("T")
_REACH = {"run": 3, "route": 2, "manifest": 1, "call": 0}


async def in_order(ctx: JobContext, count: int, make: Callable[[int], Awaitable[T]]) -> list[T]:
    """`make(0)` to `make(count - 1)`; else the error that reaches furthest, or Stopped, once nothing is under way."""
    made: dict[int, T] = {}
    failures: list[MediaspoolError] = []
    waiting = iter(range(count))

    async def work() -> None:
        for number in waiting:
            try:
                made[number] = await make(number)
            except MediaspoolError as error:
                failures.append(error)
            if failures or ctx.is_stopping():
                return

    workers = min(ctx.width, count)
    if workers == 1:  # most jobs have one part: no task of its own for that
        await work()
    else:
        async with trio.open_nursery() as nursery:
            for _ in range(workers):
                nursery.start_soon(work)
    if failures:
        raise max(failures, key=lambda error: _REACH[error.reach])
    if len(made) < count:
        hint = "run again: the parts that are done are kept"
        raise Stopped(f"the run was stopped after {len(made)} of {count} parts", hint=hint)
    return [made[number] for number in range(count)]
