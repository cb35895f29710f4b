"""What the stand-in server remembers: every request, what was paid, videos under way, and the faults that are set.

With a state file it survives a restart, so that a test can kill and revive it. Owns no socket and no clock but the
event loop's; never decides what a request is answered.
"""

import contextlib
import os
import time
from decimal import Decimal
from fnmatch import fnmatchcase

import msgspec
import trio
from msgspec import Struct

from tests.standin.nouns import Options

KEY_PREFIX = "sk-or-v1-standin"
KEY = f"{KEY_PREFIX}-0000000000000000000000000000000000000000000000000000"
MAX_REQUESTS = 200_000


class Seen(Struct, kw_only=True):
    """One request as a test reads it. `paid` is True when work was done for it that the real service would bill.

    `ended` is "" while it is under way, then "whole", "cut" (by us) or "left" (the client closed).
    """

    number: int
    operation: str
    method: str
    path: str
    dialect: str
    connection: int
    key: str
    at_s: float
    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    fields: dict[str, object] = {}
    media: list[dict[str, object]] = []
    model: str | None = None
    body_bytes: int = 0
    is_complete: bool = False
    fault: str | None = None
    status: int | None = None
    paid: bool = False
    usd: str | None = None
    ended: str = ""
    ended_s: float | None = None


class Planted(Struct, kw_only=True):
    """A fault that waits for its requests: the next `times` that match, after `after` others; None is for ever.

    `operations` are those that the fault applies to; they count where no `path` is given. Empty is everything.
    """

    name: str
    path: str | None = None
    model: str | None = None
    times: int | None = None
    after: int = 0
    options: dict[str, object] = {}
    operations: list[str] = []


class Video(Struct, kw_only=True):
    """A job that goes on without its client. `script` holds the states it has yet to tell; the last one stays."""

    id: str
    model: str
    script: list[str]
    usd: str
    width: int
    height: int
    seconds: float
    has_sound: bool
    polls: int = 0
    variations: dict[str, dict[str, object]] = {}


class Generation(Struct, kw_only=True):
    """What a finished call cost, told only after it was asked for `hidden` times."""

    id: str
    api_type: str
    model: str
    usd: str
    hidden: int
    extra: dict[str, object] = {}


class Memory(Struct, kw_only=True):
    """All that a state file holds."""

    ids: int = 0
    connections: int = 0
    requests: list[Seen] = []
    planted: list[Planted] = []
    videos: dict[str, Video] = {}
    generations: dict[str, Generation] = {}
    cached: list[str] = []
    latency_s: float = 0.0


class World:
    """One lives as long as the server; `reset` makes it forget everything."""

    def __init__(self, state: str | None = None) -> None:
        self._state = state
        self.memory = self._read() or Memory()
        self._changed = trio.Event()
        self.lines: dict[int, trio.CancelScope] = {}

    def reset(self) -> None:
        """Forget everything and hang up on whoever is still connected."""
        for line in self.lines.values():
            line.cancel()
        self.memory = Memory(ids=self.memory.ids, connections=self.memory.connections)
        self.note()

    def note(self) -> None:
        """Say that something happened: waiting tests look again, the state file is written."""
        self._changed.set()
        self._changed = trio.Event()
        if self._state:
            part = f"{self._state}.{os.getpid()}.part"
            with open(part, "wb") as file:
                file.write(msgspec.json.encode(self.memory))
            os.replace(part, self._state)

    async def until(self, operation: str, count: int, *, ended: bool) -> bool:
        """Wait until so many requests of an operation have come in whole, or have ended."""
        while self.count(operation, ended=ended) < count:
            await self._changed.wait()
        await trio.lowlevel.checkpoint()
        return True

    def count(self, operation: str, *, ended: bool = False) -> int:
        return sum(
            1
            for seen in self.memory.requests
            if operation in ("*", seen.operation)
            if seen.ended or (seen.is_complete and not ended)
        )

    def connect(self) -> int:
        self.memory.connections += 1
        return self.memory.connections

    def new_id(self, prefix: str) -> str:
        """An id of the real form: prefix, Unix time, twenty letters and digits. Never the same twice."""
        self.memory.ids += 1
        return f"{prefix}-{int(time.time())}-Standin{self.memory.ids:013d}"

    def see(self, seen: Seen) -> None:
        if len(self.memory.requests) >= MAX_REQUESTS:
            del self.memory.requests[: MAX_REQUESTS // 2]
        self.memory.requests.append(seen)

    def remember_cost(self, generation: Generation) -> None:
        self.memory.generations[generation.id] = generation

    def plant(self, planted: Planted) -> None:
        self.memory.planted.append(planted)
        self.note()

    def take(self, *, operation: str, path: str, model: str | None) -> tuple[str, Options] | None:
        """The fault whose turn it is for such a request; it counts as played."""
        for planted in self.memory.planted:
            if not _matches(planted, operation, path, model):
                continue
            if planted.after > 0:
                planted.after -= 1
                continue
            if planted.times is not None:
                planted.times -= 1
                if planted.times <= 0:
                    self.memory.planted.remove(planted)
            return planted.name, planted.options
        return None

    def would_take(self, *, operation: str, path: str) -> str | None:
        """The same question before the body is known; nothing is counted."""
        for planted in self.memory.planted:
            if planted.model is None and planted.after == 0 and _matches(planted, operation, path, None):
                return planted.name
        return None

    def _read(self) -> Memory | None:
        if not self._state:
            return None
        with contextlib.suppress(FileNotFoundError), open(self._state, "rb") as file:
            return msgspec.json.decode(file.read(), type=Memory)
        return None


def _matches(planted: Planted, operation: str, path: str, model: str | None) -> bool:
    wanted = planted.path
    if wanted is None:
        is_there = not planted.operations or operation in planted.operations
    else:
        is_there = fnmatchcase(path, wanted) if wanted.startswith("/") else wanted == operation
    return is_there and (planted.model is None or planted.model == model)


def money(value: Decimal | float) -> float:
    """A price as the services write it: a JSON number."""
    return float(value)
