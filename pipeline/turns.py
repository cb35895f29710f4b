"""Turns: what has the same key goes one after the other, all else side by side."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from pipeline.core.errors import Stopped

LOOK_EVERY_S = 1.0


class Turns:
    """Nothing is kept of a key that nobody is at and nobody waits for."""

    def __init__(self) -> None:
        self._locks: dict[str, trio.Lock] = {}

    @asynccontextmanager
    async def of(self, key: str, is_wanted: Callable[[], bool] | None = None) -> AsyncIterator[None]:
        """Stopped when the turn is not wanted any more while it is waited for, which is looked at now and then."""
        lock = self._locks.setdefault(key, trio.Lock())
        try:
            await (lock.acquire() if is_wanted is None or not lock.locked() else _acquire_if(lock, is_wanted))
            try:
                yield
            finally:
                lock.release()
        finally:
            if not lock.locked():
                self._locks.pop(key, None)


async def _acquire_if(lock: trio.Lock, is_wanted: Callable[[], bool]) -> None:
    """Who waits keeps its place in the row, so that no newcomer finds the lock free in between.

    A lock that came together with a cancel is given back: nobody else would.
    """
    is_ours = is_kept = False
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_watch, is_wanted, nursery.cancel_scope)
            await lock.acquire()
            is_ours = True
            nursery.cancel_scope.cancel()
        is_kept = is_ours
    finally:
        if is_ours and not is_kept:
            lock.release()
    if not is_ours:
        raise Stopped("the run was stopped before its first call", hint="run again")


async def _watch(is_wanted: Callable[[], bool], wait: trio.CancelScope) -> None:
    while is_wanted():  # noqa: ASYNC110  # asked of the run and the job, which tell nobody
        await trio.sleep(LOOK_EVERY_S)
    wait.cancel()
