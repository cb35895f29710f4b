"""The pool: warm children behind the standard Executor interface.

Promises: no child before the first job; a deadline and a memory bound per job; a child that hangs, crashes or writes
nonsense costs that job only and is replaced; a cancelled job's child is dead before its future is done; `close` leaves
no child. A future never raises an engine's error: what went wrong is in the StageResult's `code`.
"""

import os
import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from typing import ParamSpec, TypeVar, cast

from msgspec import Struct

from pipeline.children.limits import MEGABYTE
from pipeline.children.process import ChildProcess, ChildSettings, ChildStopped, StaleAnswer
from pipeline.children.run import run_stage
from pipeline.children.stage import Roots, StageResult, StageSpec
from pipeline.core.threads import one_more

P = ParamSpec("P")
T = TypeVar("T")
RECYCLE_SHARE = 0.7  # a child that keeps this much of its bound after a job is replaced before it fails an innocent one

LAST_WORDS = ("engine-crashed", "limit-memory")  # after these a child is ended, or not to be trusted with more work


class PoolSettings(Struct, frozen=True, kw_only=True):
    """Size and manners of one pool."""

    workers: int
    child: ChildSettings
    max_jobs_per_child: int = 500


class StageFuture(Future[StageResult]):
    """A future whose `cancel` also ends running work. It stays pending until then, so a cancel is never too late.

    `begun` is called by another thread when a child begins with it, and once more where a second one has to.
    """

    def __init__(self, spec: StageSpec, roots: Roots, begun: Callable[[], None] | None) -> None:
        super().__init__()
        self.spec = spec
        self.roots = roots
        self._begun = begun
        self._guard = threading.Lock()
        self._child: ChildProcess | None = None
        self._is_unwanted = False

    def cancel(self) -> bool:
        """True: no result will come. If a child works on it, the future is done once that child is dead."""
        with self._guard:
            if self.done():
                return self.cancelled()
            self._is_unwanted = True
            working = self._child is not None
            if self._child is not None:
                self._child.kill()  # under the guard: a moment later it may work for another future
        return working or super().cancel()

    def running(self) -> bool:
        return self._child is not None and not self.done()

    def give_to(self, child: ChildProcess) -> bool:
        """From now on `cancel` kills this child; False when nobody wants the work any more."""
        with self._guard:
            self._child = None if self._is_unwanted else child
        if self._begun is not None and not self._is_unwanted:
            self._begun()
        return not self._is_unwanted

    def settle(self, result: StageResult) -> None:
        """Publish the result, or the cancellation that was asked for meanwhile."""
        with self._guard:
            self._child = None
            unwanted = self._is_unwanted
        if unwanted:
            super().cancel()
        if self.set_running_or_notify_cancel():
            self.set_result(result)


class StagePool(Executor):
    """Runs `run_stage(spec, roots)` in children; one thread watches each child."""

    def __init__(self, settings: PoolSettings, *, environ: Mapping[str, str] = os.environ) -> None:
        self._settings = settings
        self._environ = environ
        self._waiting: queue.SimpleQueue[StageFuture | None] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._open: set[StageFuture] = set()
        self._is_closed = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """The Executor's door; the only function a pool runs is `run_stage`."""
        if fn is not run_stage:
            raise TypeError("a stage pool runs only run_stage")
        spec, roots = cast("tuple[StageSpec, Roots]", args)  # they are run_stage's own arguments
        return cast("Future[T]", self.submit_stage(spec, roots))  # and T is its StageResult

    def submit_stage(self, spec: StageSpec, roots: Roots, *, begun: Callable[[], None] | None = None) -> StageFuture:
        future = StageFuture(spec, roots, begun)
        with self._lock:
            if self._is_closed:
                raise RuntimeError("the stage pool is closed")
            self._staff()
            self._open.add(future)
        future.add_done_callback(self._forget)
        self._waiting.put(future)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As Executor says: what was submitted still runs unless `cancel_futures`."""
        with self._lock:
            self._is_closed = True
            threads, futures = list(self._threads), list(self._open)
        for future in futures if cancel_futures else ():
            future.cancel()
        for _ in threads:
            self._waiting.put(None)
        for thread in threads if wait else ():
            thread.join()

    def close(self) -> None:
        """Cancel everything and kill every child; may be called twice."""
        self.shutdown(cancel_futures=True)

    def _staff(self) -> None:
        """One more thread when all are busy. It lives as long as the pool: children die with the thread they know."""
        if self._idle.acquire(blocking=False) or len(self._threads) >= self._settings.workers:
            return
        one_more(self._threads, self._work_off, name="stage-pool")

    def _forget(self, future: Future[StageResult]) -> None:
        with self._lock:
            self._open.discard(cast("StageFuture", future))  # only futures of submit_stage carry this callback

    def _work_off(self) -> None:
        seat = _Seat(self._settings, self._environ)
        while (future := self._waiting.get()) is not None:
            seat.carry_out(future)
            self._idle.release()
        seat.leave()


class _Seat:
    """The place of one child: filled when there is work, refilled after a crash."""

    def __init__(self, settings: PoolSettings, environ: Mapping[str, str]) -> None:
        self._settings = settings
        self._environ = environ
        self._child: ChildProcess | None = None
        self._jobs = 0

    def carry_out(self, future: StageFuture) -> None:
        if future.cancelled():
            future.set_running_or_notify_cancel()
            return
        try:
            result = self._ask_fairly(future)
        except ChildStopped as stopped:
            self.leave()
            result = StageResult(code=stopped.code, message=stopped.message)
        future.settle(result)

    def leave(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.close()

    def _ask_fairly(self, future: StageFuture) -> StageResult:
        """Once more with a fresh child where the old one still spoke of another job; a stage may be repeated."""
        try:
            return self._ask(future)
        except StaleAnswer:
            self.leave()
            return self._ask(future)

    def _ask(self, future: StageFuture) -> StageResult:
        child = self._fit_child()
        if not future.give_to(child):
            return StageResult(code="engine-crashed", message="cancelled")
        result = child.ask(future.spec, future.roots)
        self._jobs += 1
        if result.code in LAST_WORDS or self._is_worn(child):
            self.leave()
        return result

    def _is_worn(self, child: ChildProcess) -> bool:
        held = child.resident_bytes()
        return (
            self._jobs >= self._settings.max_jobs_per_child
            or held > RECYCLE_SHARE * self._settings.child.memory_mb * MEGABYTE
        )

    def _fit_child(self) -> ChildProcess:
        if self._child is not None and not self._child.is_fit():
            self.leave()
        if self._child is None:
            self._jobs = 0
            self._child = _start(self._settings.child, self._environ)
        return self._child


def _start(settings: ChildSettings, environ: Mapping[str, str]) -> ChildProcess:
    try:
        return ChildProcess(settings, environ)
    except OSError as error:
        raise ChildStopped("engine-crashed", f"no child could be started: {error.strerror}") from error
