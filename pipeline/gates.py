"""The gate of a route: how many of its calls are under way, and when the next may begin.

One per route and run, shared by all jobs. Waits stand outside: who waits for the route to take calls again holds no
seat. A route that closes is closed for everyone from that instant. A host that answered in this run is waited for
longer than one that was not there from the start.
"""

import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio

from pipeline.core.errors import MediaspoolError, RouteBusy, RouteClosed
from pipeline.core.model import Place
from pipeline.core.retry import MAX_TRIES
from pipeline.core.tempo import Tempo

LOOK_EVERY_S = 1.0
MAX_FORBIDDEN = 3
"""Jobs in a row whose calls may be refused for the key: then it is the key. One alone may be refused in many parts."""


class Gate:
    """Owns the limiter of one route."""

    def __init__(self, route: str, width: int) -> None:
        self._route = route
        self._tempo = Tempo(width)
        self._limiter = trio.CapacityLimiter(width)
        self._under_way: list[int] = []
        self._is_reached = False
        self._forbidden: set[Place] = set()
        self._why: MediaspoolError | None = None
        self._closed = trio.Event()

    @asynccontextmanager
    async def seat(self, is_wanted: Callable[[], bool], job: Place) -> AsyncIterator[None]:
        """Waits for a turn, and raises what closed the route meanwhile. What the call ends with sets the pace.

        Who does not want the seat any more gets one also while the route rests, only to give it back.
        """
        await self._take(is_wanted)
        turn = self._tempo.turn
        self._under_way.append(turn)
        try:
            yield
            self._is_reached = True
            self._forbidden.clear()
            self._tempo.went_well(turn=turn)
        except MediaspoolError as error:
            self._learn(error, turn, job)
            raise
        finally:
            self._under_way.remove(turn)
            self._limiter.total_tokens = self._tempo.seats(self._under_way)
            self._limiter.release()

    @property
    def rest_s(self) -> float:
        """Seconds that the route rests from now on."""
        return self._tempo.wait_s(trio.current_time())

    async def sleep(self, seconds: float, is_wanted: Callable[[], bool]) -> None:
        """Until then, or until the route closes or the wait is for nothing, which is looked at now and then."""
        until = trio.current_time() + seconds
        while is_wanted() and not self._closed.is_set() and (left := until - trio.current_time()) > 0:
            with trio.move_on_after(min(left, LOOK_EVERY_S)):
                await self._closed.wait()

    async def until(self, moment: Callable[[], Awaitable[None]], is_wanted: Callable[[], bool]) -> None:
        """As `sleep`, for a moment that nobody knows beforehand. It is waited for before any other task has a turn."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, is_wanted, nursery.cancel_scope)
            await moment()
            nursery.cancel_scope.cancel()

    async def _watch(self, is_wanted: Callable[[], bool], wait: trio.CancelScope) -> None:
        await self.sleep(math.inf, is_wanted)
        wait.cancel()

    def close(self, error: MediaspoolError) -> None:
        """Nothing more, and nobody waits any longer. The first reason stays."""
        self._why = self._why or error
        self._closed.set()

    async def _take(self, is_wanted: Callable[[], bool]) -> None:
        while True:
            await self.sleep(self.rest_s, is_wanted)
            await self._limiter.acquire()
            if self._why is None and not (self.rest_s and is_wanted()):
                return
            self._limiter.release()
            if self._why is not None:
                raise self._why

    def _learn(self, error: MediaspoolError, turn: int, job: Place) -> None:
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
                code = error.code if error.retryable else None  # what this call ends with may not be true of the next
                self.close(RouteBusy(what, code=code, hint="run again later"))
        elif error.reach == "route" and error.settles == "rejected":
            self.close(error)
        elif error.doubts_key:
            self._forbidden.add(job)
            if len(self._forbidden) >= MAX_FORBIDDEN:
                what = f"{error.message}; so were {MAX_FORBIDDEN} jobs in a row"
                self.close(RouteClosed(what, hint="has the key of the route the right to do this?"))
