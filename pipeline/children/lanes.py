"""Lanes: the three pools of a run and the bridge from Trio to them.

`engine` keeps models warm, `media` is bounded in address space, `once` starts a fresh child per call. Owns the names
of the roots and the scratch files' names. Promises that when `run` returns or is cancelled no child works on its files
any more. The pools could be other Executors: nothing here knows of processes.
"""

import os
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import nullcontext
from typing import Literal

import trio

from pipeline.children import limits
from pipeline.children.pool import PoolSettings, StagePool
from pipeline.children.process import ChildSettings
from pipeline.children.stage import FileRef, StageResult, StageSpec
from pipeline.core.confine import display, way_below
from pipeline.core.errors import ContractError, EngineError, InputError, LimitExceeded, MediaspoolError, StoreError
from pipeline.core.limits import Line

Lane = Literal["engine", "media", "once"]
STAGING = "staging"
ENGINE_MB = 900  # one warm child with Whisper base and a full window, measured, with room
MEDIA_ADDRESS_MB = 2048
# Ten times those of an engine child: many take milliseconds, and a start takes 0.1 s of CPU. After 4,000 sounds a child
# held no more than after 1,000; one that does grow is replaced for that.
MEDIA_JOBS = 5_000
ONCE_WORKERS = 2
KILL_GRACE_S = 10.0
_HINTS = {
    "limit-time": "raise the job's time limit or give it a shorter input",
    "limit-memory": "raise engines.memory_mb or give it a shorter input",
    "limit-seconds": "raise limits.max_audio_minutes or split the input",
    "limit-bytes": "raise max_output_mb or give it a shorter input",
    "engine-crashed": "run mediaspool doctor; then mediaspool retry",
    "engine-failed": "run mediaspool doctor; then mediaspool retry",
    "engine-broken": "reinstall the engines: pip install --force-reinstall 'mediaspool[local]'",
    "extra-missing": "pip install 'mediaspool[local]'",
    "text-unsupported": "take out what the voice does not read, or name another route",
    "input-damaged": "open it in another program; export it again",
}
# What a child used up is its own failure, not a property of the job that could be refused beforehand.
_CHILD_LIMITS = ("limit-time", "limit-memory")
_STORE_CODES = ("disk-full", "io-error", "output-unwritable")


class Lanes:
    """The child processes of one run. Nothing is started before it is needed; `close` leaves nothing."""

    def __init__(
        self, *, roots: Mapping[str, str], staging: str, engine_workers: int, media_workers: int, memory_mb: int
    ) -> None:
        self._roots = {**roots, STAGING: staging}
        warm = ChildSettings(memory_mb=memory_mb)
        media = ChildSettings(memory_mb=memory_mb, address_mb=max(MEDIA_ADDRESS_MB, memory_mb))
        self._pools: dict[Lane, StagePool] = {
            "engine": StagePool(PoolSettings(workers=engine_workers, child=warm)),
            "media": StagePool(PoolSettings(workers=media_workers, child=media, max_jobs_per_child=MEDIA_JOBS)),
            "once": StagePool(PoolSettings(workers=ONCE_WORKERS, child=warm, max_jobs_per_child=1)),
        }

    def ref(self, path: str) -> FileRef:
        """The file as its innermost root names it; InputError when no root holds it."""
        inside = [(root, name) for name, root in self._roots.items() if path.startswith(root.rstrip("/") + "/")]
        if not inside:
            raise InputError(
                f"'{display(path)}' lies in no folder that the settings allow",
                code="path-outside-roots",
                hint="add its folder to roots in the settings",
            )
        root, name = max(inside, key=lambda found: len(found[0]))
        return FileRef(root=name, path=way_below(root, path))

    def path(self, ref: FileRef) -> str:
        return os.path.join(self._roots[ref.root], ref.path)

    def folder(self, root: str) -> str:
        """Where a root lies."""
        return self._roots[root]

    def scratch(self, suffix: str) -> FileRef:
        """A name in staging that nothing else has; the file is made by the stage that writes it."""
        return FileRef(root=STAGING, path=f"stage-{uuid.uuid4().hex}{suffix}")

    def submit(self, lane: Lane, spec: StageSpec, *, begun: Callable[[], None] | None = None) -> Future[StageResult]:
        return self._pools[lane].submit_stage(spec, self._roots, begun=begun)

    async def run(self, lane: Lane, spec: StageSpec, *, line: Line = nullcontext) -> StageResult:
        """The result of a stage that worked; otherwise the error of its code.

        It waits in `line` until a child begins with it: all may be at work for others.
        """
        begun, done = trio.Event(), trio.Event()
        token = trio.lowlevel.current_trio_token()
        future = self.submit(lane, spec, begun=lambda: _tell(token, begun))
        future.add_done_callback(lambda _: _tell(token, begun, done))
        try:
            with line():
                await begun.wait()
            await done.wait()
        finally:
            if not done.is_set():
                await _end(future, done)
        return _checked(future)

    def close(self) -> None:
        """Kill every child; may be called twice."""
        for pool in self._pools.values():
            pool.close()


def auto_workers(*, cores: int | None = None, available_mb: int | None = None) -> int:
    """One-thread engine children that this machine can feed: by cores, fewer where memory is short, at least one."""
    cores = limits.usable_cores() if cores is None else cores
    available_mb = limits.available_mb() if available_mb is None else available_mb
    by_memory = cores if available_mb is None else available_mb // ENGINE_MB
    return max(1, min(cores, by_memory))


def stage_error(code: str, message: str) -> MediaspoolError:
    """The error whose facts fit a stage's code."""
    hint = _HINTS.get(code, "")
    if code in _CHILD_LIMITS:
        return EngineError(message, code=code, hint=hint)
    if code.startswith("limit-"):
        return LimitExceeded(message, code=code, hint=hint)
    if code.startswith(("input-", "path-", "text-")):
        return InputError(message, code=code, hint=hint)
    if code.startswith("reply-"):
        return ContractError(message, code=code, hint=hint)
    if code in _STORE_CODES:
        return StoreError(message, code=code, hint=hint)
    return EngineError(message, code=code, hint=hint)


def _tell(token: trio.lowlevel.TrioToken, *events: trio.Event) -> None:
    try:
        for event in events:
            token.run_sync_soon(event.set)
    except trio.RunFinishedError:  # the pool was closed after the loop ended; nobody waits any more
        return


async def _end(future: Future[StageResult], done: trio.Event) -> None:
    """Kill the child and wait for its end, so that nobody unlinks a file that is still being written."""
    future.cancel()
    with trio.CancelScope(shield=True, deadline=trio.current_time() + KILL_GRACE_S):
        await done.wait()


def _checked(future: Future[StageResult]) -> StageResult:
    try:
        result = future.result(timeout=0)
    except CancelledError as error:
        raise EngineError("the children were closed before they answered", code="engine-crashed") from error
    if result.code is not None:
        raise stage_error(result.code, result.message)
    return result
