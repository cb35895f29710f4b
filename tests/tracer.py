"""A tracer that kills a child, or lets one of its system calls fail, at any instant that one can name. x86-64 only.

The work runs in a forked child under ptrace, with all of its threads, so nothing has to be started or preloaded and
every state between two system calls can be left behind. Processes that the child starts are not followed.
"""

import ctypes
import os
import platform
import re
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import NoReturn

import pytest
from msgspec import Struct

_TRACEME, _SYSCALL, _GETREGS, _SETREGS, _SETOPTIONS = 0, 24, 12, 13, 0x4200
_EXITKILL_MARK_AND_THREADS = 0x100000 | 1 | 8
_ALL_KINDS = 0x40000000  # __WALL: threads too
_SYSCALL_STOP = signal.SIGTRAP | 0x80
_RAX, _RDX, _RDI, _ORIG_RAX = 10, 12, 14, 15  # places in user_regs_struct of x86-64
_NUMBERS = {
    "read": 0,
    "write": 1,
    "close": 3,
    "pread64": 17,
    "pwrite64": 18,
    "sendto": 44,
    "sendmsg": 46,
    "fsync": 74,
    "fdatasync": 75,
    "ftruncate": 77,
    "rename": 82,
    "mkdir": 83,
    "rmdir": 84,
    "link": 86,
    "unlink": 87,
    "openat": 257,
    "mkdirat": 258,
    "unlinkat": 263,
    "renameat": 264,
    "linkat": 265,
    "fallocate": 285,
    "renameat2": 316,
    "faccessat2": 439,
}
CREATE = "create"  # an openat that may make a file
CHANGES = frozenset(_NUMBERS) - {"close", "openat", "read", "pread64", "faccessat2"} | {CREATE}
"""Calls after which something outside of the process is another: a file, a folder, what a server has heard."""


class SystemCall(Struct, frozen=True):
    """One system call that the child made, by number, with its first and its third argument."""

    number: int
    first: int
    third: int = 0

    def is_a(self, name: str) -> bool:
        if name == CREATE:
            return self.is_a("openat") and bool(self.third & os.O_CREAT)
        return self.number == _NUMBERS[name]


class Fault(Struct, frozen=True, kw_only=True):
    """The nth call of a name fails with `error`, or, when that is None, writes only half of what it was asked to.

    With `below`, only calls on open files below that folder count: no sockets, no pipes; and of closes only those after
    which something could be missing.
    """

    call: str
    nth: int
    error: int | None
    also: tuple[str, ...] = ()
    below: str | None = None


class Ended(Struct, frozen=True, kw_only=True):
    """How the child ended: its exit code, how many calls were counted, which they were, and which one had the fault."""

    code: int | None
    count: int
    calls: tuple[SystemCall, ...]
    fault_at: int | None


class Tracer:
    """Runs work in a forked child under ptrace. Only what the work itself does is counted."""

    def __init__(self) -> None:
        if sys.platform != "linux" or platform.machine() != "x86_64":
            pytest.skip("system calls are traced through the registers of Linux on x86-64")
        self._ptrace = ctypes.CDLL(None, use_errno=True).ptrace
        self._ptrace.argtypes = [ctypes.c_long] * 4
        self._ptrace.restype = ctypes.c_long

    def points(self, work: Callable[[], int], *, only: frozenset[str] | None = None) -> range:
        """Where to kill so that each state between two system calls of `work` is left behind once."""
        ended = self.run(work, only=only)
        assert ended.code == 0
        return range(1, ended.count + 1)

    def run(
        self,
        work: Callable[[], int],
        *,
        kill_at: int | None = None,
        fault: Fault | None = None,
        only: frozenset[str] | None = None,
    ) -> Ended:
        """To the end, or until SIGKILL on entry to call number `kill_at`, of those that `only` names if it does."""
        pid = self._start(work)
        watch = Watch(self._ptrace, fault, only)
        thread = pid
        while True:
            self._ptrace(_SYSCALL, thread, 0, 0)
            thread, status = os.waitpid(-pid, _ALL_KINDS)
            if os.WIFSTOPPED(status):
                if os.WSTOPSIG(status) == _SYSCALL_STOP and watch.stopped(thread) and watch.count == kill_at:
                    os.kill(pid, signal.SIGKILL)
            elif thread == pid:
                code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
                return Ended(code=code, count=watch.count, calls=tuple(watch.calls), fault_at=watch.fault_at)

    def _start(self, work: Callable[[], int]) -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # idle threads of earlier tests hold no lock of ours
            pid = os.fork()
        if pid == 0:
            self._become_traced(work)
        _, status = os.waitpid(pid, 0)
        if not os.WIFSTOPPED(status):
            pytest.skip("this kernel or container forbids ptrace")
        self._ptrace(_SETOPTIONS, pid, 0, _EXITKILL_MARK_AND_THREADS)
        return pid

    def _become_traced(self, work: Callable[[], int]) -> NoReturn:
        code = 99
        try:
            os.setpgid(0, 0)
            if self._ptrace(_TRACEME, 0, 0, 0) == 0:
                os.kill(os.getpid(), signal.SIGSTOP)
                code = work()
        except BaseException:  # a forked child must never return into pytest
            traceback.print_exc(file=sys.__stderr__)
        finally:
            os._exit(code)


class Watch:
    """Looks at each stop of each thread, counts calls, and changes the registers where the fault is due."""

    def __init__(
        self, ptrace: Callable[[int, int, int, int], int], fault: Fault | None, only: frozenset[str] | None
    ) -> None:
        self.calls: list[SystemCall] = []
        self.count = 0
        self.fault_at: int | None = None
        self._ptrace = ptrace
        self._fault = fault
        self._only = only
        self._seen = 0
        self._inside: set[int] = set()
        self._failing: set[int] = set()

    def stopped(self, thread: int) -> bool:
        """Is this the entry to a call that counts?"""
        if thread in self._inside:
            self._inside.remove(thread)
            self._leaving(thread)
            return False
        self._inside.add(thread)
        if self._fault is None and self._only is None:
            self.count += 1
            return True
        registers = self._registers(thread)
        call = SystemCall(int(registers[_ORIG_RAX]), int(registers[_RDI]), int(registers[_RDX]))
        is_counted = self._only is None or any(map(call.is_a, self._only))
        if is_counted:
            self.count += 1
            self.calls.append(call)
        if self._fault is not None:
            self._entering(thread, call, registers, self._fault)
        return is_counted

    def _entering(
        self, thread: int, call: SystemCall, registers: "ctypes.Array[ctypes.c_ulonglong]", fault: Fault
    ) -> None:
        is_named = call.is_a(fault.call) and _is_meant(thread, call.first, fault)
        self._seen += is_named
        if is_named and self._seen == fault.nth:
            self.fault_at = len(self.calls) - 1
            self._strike(thread, registers, fault)
        elif any(call.is_a(name) for name in fault.also):
            self._strike(thread, registers, fault)

    def _strike(self, thread: int, registers: "ctypes.Array[ctypes.c_ulonglong]", fault: Fault) -> None:
        if fault.error is None:
            registers[_RDX] = int(registers[_RDX]) // 2 or 1
        else:
            registers[_ORIG_RAX] = ctypes.c_ulonglong(-1).value
            self._failing.add(thread)
        self._ptrace(_SETREGS, thread, 0, ctypes.addressof(registers))

    def _leaving(self, thread: int) -> None:
        if thread in self._failing and self._fault is not None and self._fault.error is not None:
            self._failing.remove(thread)
            registers = self._registers(thread)
            registers[_RAX] = ctypes.c_ulonglong(-self._fault.error).value
            self._ptrace(_SETREGS, thread, 0, ctypes.addressof(registers))

    def _registers(self, thread: int) -> "ctypes.Array[ctypes.c_ulonglong]":
        registers = (ctypes.c_ulonglong * 27)()
        self._ptrace(_GETREGS, thread, 0, ctypes.addressof(registers))
        return registers


def _is_meant(thread: int, descriptor: int, fault: Fault) -> bool:
    if fault.below is None:
        return True
    try:
        name = os.readlink(f"/proc/{thread}/fd/{descriptor}")
        with open(f"/proc/{thread}/fdinfo/{descriptor}", encoding="ascii") as file:
            flags = int(re.findall(r"flags:\s*(\d+)", file.read())[0], 8)
    except FileNotFoundError:
        return False
    return name.startswith(fault.below) and (fault.call != "close" or bool(flags & (os.O_WRONLY | os.O_RDWR)))
