"""Limits: what bounds a child from inside (rlimits, death with the parent) and what the parent reads of it.

Set by the child on itself, because nothing between fork and exec may run Python in a threaded parent. Linux only where
the kernel offers it; elsewhere the pool's own watch (deadline, pipe end) still holds.
"""

import ctypes
import os
import resource
import signal
import sys

from pipeline.one_cpu import EVERYWHERE

_PR_SET_PDEATHSIG = 1
_PAGE = os.sysconf("SC_PAGE_SIZE")
MEGABYTE = 1 << 20
OPEN_FILES = 256
CPU_GRACE_S = 30
AT_HAND_BYTES = 4 << 20
BYTES_GRACE = 1 << 16  # containers rewrite their headers; the counting writer refuses first


def die_with(parent: int) -> None:
    """Ask the kernel to kill this process when its parent ends, also when the parent ended a moment ago."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def bound_process(address_mb: int | None) -> None:
    """For the life of the child: no core files, few descriptors, and address space where the lane sets it."""
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, OPEN_FILES)
    if address_mb is not None:
        _lower(resource.RLIMIT_AS, address_mb * MEGABYTE)


def keep_at_hand() -> None:
    """What a job gives back stays for the next one, some megabytes of it: fresh pages cost as much as short sounds do.

    glibc keeps twice the largest block that it has mapped and freed so far, so it is shown one. By a setting it would
    stop to learn, and blocks of Whisper's size would be mapped anew each time: two thirds more CPU, measured.
    """
    bytes(AT_HAND_BYTES)


def bound_job(*, max_output_bytes: int | None, deadline_s: float) -> None:
    """For one job: bytes of any file it writes, and processor time well beyond the deadline that the pool keeps."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = int(used.ru_utime + used.ru_stime + 2 * deadline_s) + CPU_GRACE_S
    _lower(resource.RLIMIT_CPU, cpu_s)
    wanted = resource.RLIM_INFINITY if max_output_bytes is None else max_output_bytes + BYTES_GRACE
    _lower(resource.RLIMIT_FSIZE, wanted)


def resident_bytes(pid: int) -> int | None:
    """Bytes of memory that a process holds; None when it is gone or the system does not tell."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as statm:
            return int(statm.read(200).split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return None


def available_mb() -> int | None:
    """Memory that new processes may take: what is free on the machine or left in our control group, if known."""
    known = [amount for amount in (_free_on_machine(), _left_in_group()) if amount is not None]
    return min(known) // MEGABYTE if known else None


def usable_cores() -> int:
    """Cores that this process may use, also under a control group's quota."""
    cores = len(EVERYWHERE) or os.cpu_count() or 1
    quota, period = [*_group_words("cpu.max"), "", ""][:2]
    if quota.isdigit() and period.isdigit() and int(period):
        cores = min(cores, -(-int(quota) // int(period)))
    return max(1, cores)


def _lower(which: int, soft: int) -> None:
    """Set the soft limit, never above the hard one."""
    _, hard = resource.getrlimit(which)
    if hard != resource.RLIM_INFINITY and (soft == resource.RLIM_INFINITY or soft > hard):
        soft = hard
    resource.setrlimit(which, (soft, hard))


def _free_on_machine() -> int | None:
    try:
        with open("/proc/meminfo", "rb") as meminfo:
            lines = meminfo.read(16384).splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(b"MemAvailable:"))
    except (OSError, StopIteration, IndexError, ValueError):
        return None


def _left_in_group() -> int | None:
    top, used = _group_words("memory.max"), _group_words("memory.current")
    if not top or not used or not top[0].isdigit() or not used[0].isdigit():
        return None
    return max(0, int(top[0]) - int(used[0]))


def _group_words(name: str) -> list[str]:
    try:
        with open(f"/sys/fs/cgroup/{name}", encoding="ascii") as value:
            return value.read(200).split()
    except (OSError, UnicodeDecodeError):
        return []
