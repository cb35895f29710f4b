"""Keeps the threads of a busy run on one CPU, because Python lets only one of them run at a time.

Where they are spread, each short system call of one thread gives the lock to another that sleeps on another CPU, and
then waits until that one has woken and let go again: a fifth of a run's CPU (decision 34). Nothing is bound for long:
between two spells the kernel is free for a moment to choose the CPU anew, and what uses more than one, as hashing does,
is left alone. Children are never bound.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator

TOGETHER_S = 0.95
APART_S = 0.05
BUSY = 0.3  # fewer CPUs than that are not worth it
PARALLEL = 1.5  # more than that is work without the lock, which one CPU would only slow down

_PROCESSOR = 36  # of the fields in /proc/PID/task/TID/stat behind the name: the CPU it ran on last
_TASKS = "/proc/self/task"


def allowed() -> frozenset[int]:
    """The CPUs that this thread may use; none where the system tells nothing of the kind, or may not be asked."""
    with contextlib.suppress(OSError):
        return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset()
    return frozenset()


EVERYWHERE = allowed()
"""As it was when the program began: whoever looks later may be bound."""


def unbind(pid: int) -> None:
    """Let a child that a bound thread has started use every CPU that this process was given."""
    _bind(pid, EVERYWHERE)


@contextlib.contextmanager
def together() -> Iterator[None]:
    """While this thread works, the busy threads of this process share the CPU that it runs on."""
    is_locked, me = getattr(sys, "_is_gil_enabled", lambda: True)(), threading.get_native_id()
    keeper = Keeper(me)
    # Not listed is who sees the /proc of another namespace, where all numbers are other ones than here.
    if len(EVERYWHERE) < 2 or not is_locked or not os.path.isdir(f"{_TASKS}/{me}") or not keeper.has_started():
        yield
        return
    try:
        yield
    finally:
        keeper.end()


def is_better_together(used: float) -> bool:
    """Of a process that keeps so many CPUs busy while it is free to."""
    return BUSY <= used <= PARALLEL


class Keeper:
    """Binds and frees in turns, until it is told to end; then every thread is free."""

    def __init__(self, leader: int) -> None:
        self._leader = leader
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True, name="mediaspool-one-cpu")

    def has_started(self) -> bool:
        """False where the system has no room for one more thread: the run is worth more than this."""
        try:
            self._thread.start()
        except RuntimeError:
            return False
        return True

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._ended.is_set():
            with _bound_to(_cpu_of(self._leader)) if is_better_together(self._used()) else contextlib.nullcontext():
                self._ended.wait(TOGETHER_S)

    def _used(self) -> float:
        """How many CPUs are busy with this process, of a moment in which it is free."""
        began, used = time.monotonic(), time.process_time()
        self._ended.wait(APART_S)
        lasted = time.monotonic() - began  # nothing by a coarse clock, or one that stands still, as under libfaketime
        return (time.process_time() - used) / (lasted or APART_S)


@contextlib.contextmanager
def _bound_to(cpus: frozenset[int]) -> Iterator[None]:
    bound = _threads()
    _bind_all(bound, cpus)
    try:
        yield
    finally:
        _bind_all(_threads() or bound, EVERYWHERE)


def _threads() -> tuple[int, ...]:
    """Every thread there is; one that starts meanwhile has inherited its mask, or is met the next time.

    None where a busy run has no descriptor left to look with.
    """
    with contextlib.suppress(OSError):
        return tuple(int(thread) for thread in os.listdir(_TASKS))
    return ()


def _bind_all(threads: Iterable[int], cpus: frozenset[int]) -> None:
    for thread in threads:
        _bind(thread, cpus)


def _bind(thread: int, cpus: frozenset[int]) -> None:
    with contextlib.suppress(OSError):  # it has ended, or the CPU was taken away: the kernel has found it another
        if cpus:
            os.sched_setaffinity(thread, cpus)


def _cpu_of(thread: int) -> frozenset[int]:
    """The CPU it ran on last; every one where that is not told."""
    try:
        with open(f"{_TASKS}/{thread}/stat", "rb") as file:
            return frozenset({int(file.read().rpartition(b")")[2].split()[_PROCESSOR])})
    except (OSError, ValueError, IndexError):
        return EVERYWHERE
