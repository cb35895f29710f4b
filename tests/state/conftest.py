"""Makers for the tests of what survives a crash, and a tracer that kills or fails a child at any system call."""

import ctypes
import hashlib
import os
import platform
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from msgspec import Struct

from pipeline.core.model import (
    AttemptId,
    CallKey,
    CallReceipt,
    JobId,
    JobKey,
    JobReceipt,
    Media,
    Place,
    Product,
    RouteId,
    RunId,
    Sha256,
)
from pipeline.state.ledger import Ledger
from pipeline.state.store import Store

WAV = Media(media_type="audio/wav", family="audio", extension="wav", demuxer="wav")
NOW = "2026-11-20T06:00:00+00:00"


def clock() -> str:
    return NOW


def sha(content: bytes) -> Sha256:
    return Sha256(hashlib.sha256(content).hexdigest())


class Make:
    """Small makers; every field a test does not care about has a value."""

    wav = WAV
    now = NOW
    sha = staticmethod(sha)

    def ledger(self, folder: Path, run: str = "run-1") -> Ledger:
        return Ledger.open(str(folder / "ledger.db"), run=RunId(run), clock=clock)

    def view(self, folder: Path) -> Ledger:
        return Ledger.view(str(folder / "ledger.db"), clock=clock)

    def store(self, folder: Path) -> Store:
        names = {name: str(folder / name) for name in ("staging", "assets", "quarantine")}
        for path in names.values():
            os.makedirs(path, exist_ok=True)
        return Store(**names)

    def attempt(self, ledger: Ledger, key: str = "call", place: str = "place", *, paid: bool = True) -> AttemptId:
        return ledger.open_attempt(
            call=CallKey(key),
            place=Place(place),
            route="r",
            model="m",
            operation="speak",
            paid=paid,
            worst_usd=Decimal("0.05") if paid else Decimal(0),
        )

    def call_receipt(self, key: str = "call", usd: str | None = "0.01", content: bytes = b"answer") -> CallReceipt:
        return CallReceipt(
            key=CallKey(key),
            route=RouteId("r"),
            model="m",
            engine="e",
            operation="speak",
            asset=sha(content),
            media_type="audio/wav",
            size=len(content),
            usd=None if usd is None else Decimal(usd),
            request_id="id-1",
            finished_at=NOW,
        )

    def stored(self, ledger: Ledger, key: str = "call", usd: str | None = "0.01") -> AttemptId:
        attempt = self.attempt(ledger, key)
        receipt = self.call_receipt(key, usd)
        ledger.mark_sending(attempt)
        ledger.mark_received(attempt, receipt=receipt, staged=f"{attempt}.payload", media=WAV)
        ledger.mark_stored(attempt, receipt)
        return attempt

    def doubtful(self, ledger: Ledger, key: str = "call", place: str = "place") -> AttemptId:
        attempt = self.attempt(ledger, key, place)
        ledger.mark_sending(attempt)
        ledger.settle_attempt(attempt, "in_doubt", code="in-doubt", message="no verdict", usd=None)
        return attempt

    def job_receipt(self, *paths: str, job: str = "j", key: str = "key") -> JobReceipt:
        products = tuple(Product(name="txt", path=path, sha256=sha(os.fsencode(path)), size=7) for path in paths)
        return JobReceipt(
            schema=1,
            job=JobId(job),
            kind="tts",
            key=JobKey(key),
            verdict="done",
            reason="",
            source_sha256=None,
            source_name=None,
            route="r",
            model="m",
            engine="e",
            calls=(self.call_receipt(),),
            products=products,
            usd=Decimal("0.01"),
            finished_at=NOW,
        )

    def settle(self, ledger: Ledger, place: str, receipt: JobReceipt | None, verdict: str = "done") -> None:
        ledger.settle_job(
            place=Place(place),
            job=receipt.job if receipt else JobId("j"),
            manifest="m.toml",
            receipt=receipt,
            verdict=verdict,  # type: ignore[arg-type]  # tests name verdicts as text
            code=None,
            reason="",
            key=receipt.key if receipt else None,
            identity="",
        )


@pytest.fixture
def make() -> Make:
    return Make()


@pytest.fixture
def ledger(tmp_path: Path, make: Make) -> Iterator[Ledger]:
    opened = make.ledger(tmp_path)
    yield opened
    opened.close()


_TRACEME, _SYSCALL, _GETREGS, _SETREGS, _SETOPTIONS = 0, 24, 12, 13, 0x4200
_EXITKILL_AND_MARK = 0x100000 | 1
_SYSCALL_STOP = signal.SIGTRAP | 0x80
_RAX, _RDX, _RDI, _ORIG_RAX = 10, 12, 14, 15  # places in user_regs_struct of x86-64
_NUMBERS = {"write": 1, "close": 3, "fsync": 74, "openat": 257, "linkat": 265, "renameat2": 316, "pwrite64": 18}


class SystemCall(Struct, frozen=True):
    """One system call that the child made, by number, with its first argument."""

    number: int
    first: int

    def is_a(self, name: str) -> bool:
        return self.number == _NUMBERS[name]


class Fault(Struct, frozen=True, kw_only=True):
    """The nth call of a name fails with `error`, or, when that is None, writes only half of what it was asked to."""

    call: str
    nth: int
    error: int | None
    also: tuple[str, ...] = ()


class Ended(Struct, frozen=True, kw_only=True):
    """How the child ended: its exit code, how many stops it made, its calls, and where among them the fault was."""

    code: int | None
    stops: int
    calls: tuple[SystemCall, ...]
    fault_at: int | None


class Tracer:
    """Runs work in a forked child under ptrace. Only what the work itself does is counted."""

    def __init__(self) -> None:
        self._ptrace = ctypes.CDLL(None, use_errno=True).ptrace
        self._ptrace.argtypes = [ctypes.c_long] * 4
        self._ptrace.restype = ctypes.c_long

    def points(self, work: Callable[[], int]) -> range:
        """Where to kill so that each state between two system calls of `work` is left behind once.

        A child stops at the entry and the exit of each call; from one exit to the next entry nothing changes outside.
        """
        ended = self.run(work)
        assert ended.code == 0
        return range(1, ended.stops + 1, 2)

    def run(self, work: Callable[[], int], *, kill_at: int | None = None, fault: Fault | None = None) -> Ended:
        """To the end, or until SIGKILL at stop number `kill_at`; with one fault injected if asked."""
        if fault is not None and platform.machine() != "x86_64":
            pytest.skip("faults are injected through the registers of x86-64")
        pid = self._start(work)
        injector = Injector(self._ptrace, pid, fault)
        stops, code = 0, None
        while True:
            self._ptrace(_SYSCALL, pid, 0, 0)
            _, status = os.waitpid(pid, 0)
            if os.WIFEXITED(status):
                code = os.WEXITSTATUS(status)
                break
            if os.WIFSIGNALED(status):
                break
            if os.WSTOPSIG(status) != _SYSCALL_STOP:
                continue
            stops += 1
            if stops == kill_at:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                break
            injector.stopped()
        return Ended(code=code, stops=stops, calls=tuple(injector.calls), fault_at=injector.fault_at)

    def _start(self, work: Callable[[], int]) -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # idle threads of earlier tests hold no lock of ours
            pid = os.fork()
        if pid == 0:
            self._become_traced(work)
        _, status = os.waitpid(pid, 0)
        if not os.WIFSTOPPED(status):
            pytest.skip("this kernel or container forbids ptrace")
        self._ptrace(_SETOPTIONS, pid, 0, _EXITKILL_AND_MARK)
        return pid

    def _become_traced(self, work: Callable[[], int]) -> None:
        code = 99
        try:
            if self._ptrace(_TRACEME, 0, 0, 0) == 0:
                os.kill(os.getpid(), signal.SIGSTOP)
                code = work()
        except BaseException:  # a forked child must never return into pytest
            traceback.print_exc(file=sys.__stderr__)
        finally:
            os._exit(code)


class Injector:
    """Looks at each stop of the child and changes the registers where the fault is due."""

    def __init__(self, ptrace: Callable[[int, int, int, int], int], pid: int, fault: Fault | None) -> None:
        self.calls: list[SystemCall] = []
        self.fault_at: int | None = None
        self._ptrace = ptrace
        self._pid = pid
        self._fault = fault
        self._seen = 0
        self._is_inside = False
        self._failing: int | None = None

    def stopped(self) -> None:
        self._is_inside = not self._is_inside
        if self._fault is None:
            return
        registers = (ctypes.c_ulonglong * 27)()
        self._ptrace(_GETREGS, self._pid, 0, ctypes.addressof(registers))
        if self._is_inside:
            self._entering(registers)
        elif self._failing is not None:
            registers[_RAX] = ctypes.c_ulonglong(-self._failing).value
            self._set(registers)
            self._failing = None

    def _entering(self, registers: "ctypes.Array[ctypes.c_ulonglong]") -> None:
        call = SystemCall(int(registers[_ORIG_RAX]), int(registers[_RDI]))
        self.calls.append(call)
        assert self._fault is not None
        is_named = call.is_a(self._fault.call)
        self._seen += is_named
        if is_named and self._seen == self._fault.nth:
            self.fault_at = len(self.calls) - 1
            self._strike(registers)
        elif any(call.is_a(name) for name in self._fault.also):
            self._strike(registers)

    def _strike(self, registers: "ctypes.Array[ctypes.c_ulonglong]") -> None:
        assert self._fault is not None
        if self._fault.error is None:
            registers[_RDX] = int(registers[_RDX]) // 2 or 1
        else:
            registers[_ORIG_RAX] = ctypes.c_ulonglong(-1).value
            self._failing = self._fault.error
        self._set(registers)

    def _set(self, registers: "ctypes.Array[ctypes.c_ulonglong]") -> None:
        self._ptrace(_SETREGS, self._pid, 0, ctypes.addressof(registers))


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Tells a measured figure: in the junit report, and on screen with `pytest -rP`."""

    def tell(line: str) -> None:
        record_property("figure", line)
        sys.stdout.write(f"{line}\n")

    return tell


@pytest.fixture
def tracer() -> Tracer:
    if sys.platform != "linux":
        pytest.skip("system calls are traced through Linux's ptrace")
    return Tracer()
