"""The gate of a route: how many of its calls are under way, and when the next may begin.

One per route and run, shared by all jobs. Waits stand outside: who waits for the route to take calls again holds no
seat. A route that closes is closed for everyone from that instant. A host that answered in this run is waited for
longer than one that was not there from the start.
"""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from pipeline.core.errors import MediaspoolError, RouteBusy
from pipeline.core.retry import MAX_TRIES
from pipeline.core.tempo import Tempo


class Gate:
    """Owns the limiter of one route."""

    def __init__(self, route: str, width: int) -> None:
        self._route = route
        self._tempo = Tempo(width)
        self._limiter = trio.CapacityLimiter(width)
        self._under_way: list[int] = []
        self._is_reached = False
        self._why: MediaspoolError | None = None
        self._closed = trio.Event()

    @asynccontextmanager
    async def seat(self) -> AsyncIterator[None]:
        """Waits for a turn, and raises what closed the route meanwhile. What the call ends with sets the pace."""
        await self._take()
        turn = self._tempo.turn
        self._under_way.append(turn)
        try:
            yield
            self._is_reached = True
            self._tempo.went_well(turn=turn)
        except MediaspoolError as error:
            self._learn(error, turn)
            raise
        finally:
            self._under_way.remove(turn)
            self._limiter.total_tokens = self._tempo.seats(self._under_way)
            self._limiter.release()

    @property
    def rest_s(self) -> float:
        """Seconds that the route rests from now on."""
        return self._tempo.wait_s(trio.current_time())

    async def sleep(self, seconds: float) -> None:
        """Until then, or until the route closes: nobody waits for one that takes nothing more."""
        with trio.move_on_after(seconds):
            await self._closed.wait()

    def close(self, error: MediaspoolError) -> None:
        """Nothing more, and nobody waits any longer. The first reason stays."""
        self._why = self._why or error
        self._closed.set()

    async def _take(self) -> None:
        while True:
            if self.rest_s:
                await self.sleep(self.rest_s)
            await self._limiter.acquire()
            if self._why is None and not self.rest_s:
                return
            self._limiter.release()
            if self._why is not None:
                raise self._why

    def _learn(self, error: MediaspoolError, turn: int) -> None:
        self._is_reached |= error.connected
        if error.slows:
            self._tempo.slow_down(
                turn=turn,
                now=trio.current_time(),
                hint_s=error.retry_after_s,
                jitter=random.random(),  # noqa: S311  # spreads load, guards nothing
            )
            if self._tempo.is_worn_out or (not self._is_reached and self._tempo.strikes >= MAX_TRIES):
                what = f"{error.message}; no more calls in this run"
                self.close(RouteBusy(what, code=error.code, hint="run again later"))
        elif error.reach == "route" and error.settles == "rejected":
            self.close(error)
