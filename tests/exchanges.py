"""For tests of drivers alone: the caller's side of an attempt, which keeps the bytes, and the tools of a driver."""

import os
import tempfile
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

import trio

from pipeline.children.lanes import Lanes
from pipeline.core.model import Limits
from pipeline.core.secret import Secret
from pipeline.routes._tools import Tools


def tools(lanes: Lanes, *, keys: dict[str, str] | None = None, cache: str | None = None) -> Tools:
    known = {name: Secret(value) for name, value in (keys or {}).items()}
    return Tools(
        lanes=lanes,
        find_key=known.get,
        cache=cache or tempfile.gettempdir(),
        now=time.time,
        safe=lambda text: text[:300],
        warn=lambda _text: None,
        files=trio.to_thread.run_sync,
    )


class RecordingExchange:
    """`steps` is what happened in order; `bodies` the payloads of the answer, one a part."""

    def __init__(self, ticket: str | None = None, *, limits: Limits | None = None) -> None:
        self.ticket = ticket
        self.limits = limits or Limits()
        self.call_s: float | None = None
        self.sent: Mapping[str, os.stat_result] = {}
        self.steps: list[str] = []
        self.bodies: list[bytes] = [b""]

    @property
    def body(self) -> bytes:
        return self.bodies[0]

    async def connecting(self) -> None:
        await trio.lowlevel.checkpoint()

    async def sending(self) -> None:
        await self._step("sending")

    def in_line(self) -> AbstractContextManager[None]:
        return nullcontext()

    async def identified(self, request_id: str) -> None:
        await self._step(f"identified {request_id}")

    async def submitted(self, ticket: str) -> None:
        self.ticket = ticket
        await self._step(f"submitted {ticket}")

    async def pause(self, seconds: float) -> None:
        await trio.sleep(seconds)

    async def next_part(self) -> None:
        await self._step("next part")
        self.bodies.append(b"")

    async def write(self, chunk: bytes) -> None:
        await self._step(f"write {len(chunk)}")
        self.bodies[-1] += chunk

    async def _step(self, what: str) -> None:
        await trio.lowlevel.checkpoint()
        self.steps.append(what)
