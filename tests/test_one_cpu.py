"""The threads of a busy run share a CPU; nothing else is bound, and nothing stays so."""

import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from pipeline import one_cpu

EVERYWHERE = one_cpu.allowed()
SHARED_S = 10.0

pytestmark = pytest.mark.skipif(len(EVERYWHERE) < 2, reason="one CPU is all there is here")


def masks() -> set[frozenset[int]]:
    found = set[frozenset[int]]()
    for thread in os.listdir("/proc/self/task"):
        with suppress(ProcessLookupError):  # it has ended since it was listed
            found.add(frozenset(os.sched_getaffinity(int(thread))))
    return found


def seen(is_so: Callable[[], bool]) -> bool:
    """Looks as fast as it can, so that this thread is a busy one."""
    until = time.monotonic() + SHARED_S
    while not is_so():
        if time.monotonic() > until:
            return False
    return True


def test_the_threads_of_a_busy_run_share_a_cpu_and_are_free_afterwards() -> None:
    idle = threading.Event()
    threading.Thread(target=idle.wait, daemon=True).start()
    with one_cpu.together():
        shared = seen(lambda: len(masks()) == 1 and len(next(iter(masks()))) == 1)
    idle.set()
    assert shared
    assert masks() == {EVERYWHERE}


def broken_run() -> None:
    with one_cpu.together():
        assert seen(lambda: len(os.sched_getaffinity(0)) == 1)
        raise KeyError


def test_they_are_free_again_when_the_run_breaks_off() -> None:
    with pytest.raises(KeyError):
        broken_run()
    assert masks() == {EVERYWHERE}


def test_the_kernel_may_choose_the_cpu_anew_while_the_run_lasts() -> None:
    with one_cpu.together():
        assert seen(lambda: len(os.sched_getaffinity(0)) == 1)
        assert seen(lambda: len(os.sched_getaffinity(0)) > 1)
        assert seen(lambda: len(os.sched_getaffinity(0)) == 1)


@pytest.mark.parametrize(
    ("used", "expected"), [(0.0, False), (0.2, False), (0.4, True), (1.2, True), (1.9, False), (7.5, False)]
)
def test_only_work_for_about_one_cpu_is_kept_together(used: float, expected: bool) -> None:
    assert one_cpu.is_better_together(used) is expected


def test_a_program_that_was_given_one_cpu_stays_there_with_its_children() -> None:
    ask = (
        "import os, threading; from pipeline import one_cpu\n"
        "with one_cpu.together(): print(len(os.sched_getaffinity(0)), threading.active_count())\n"
        "one_cpu.unbind(0); print(len(os.sched_getaffinity(0)))"
    )
    told = subprocess.run(
        ["taskset", "-c", str(min(EVERYWHERE)), sys.executable, "-c", ask], capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == ["1", "1", "1"]


@pytest.mark.privileged
@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="makes a namespace of processes")
def test_where_threads_are_listed_by_the_numbers_of_another_namespace_none_is_bound() -> None:
    """Such a number may be one of somebody else here."""
    ask = "import threading; from pipeline import one_cpu\nwith one_cpu.together(): print(threading.active_count())"
    apart = ["unshare", "--pid", "--fork"]
    if subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no namespace can be made here")
    told = subprocess.run([*apart, sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert told.stdout == "1\n"


NO_MORE_FILES = """
import os, resource, sys, threading, time
from pipeline import one_cpu

def waits_for(cpus):
    until = time.monotonic() + 10
    while len(os.sched_getaffinity(0)) != cpus and time.monotonic() < until:
        pass

with one_cpu.together():
    waits_for(1)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    waits_for(len(one_cpu.EVERYWHERE))
    print(len(os.sched_getaffinity(0)) == len(one_cpu.EVERYWHERE), threading.active_count())
"""


def test_a_run_that_may_open_no_more_files_is_free_again_and_hears_nothing_of_it() -> None:
    told = subprocess.run([sys.executable, "-c", NO_MORE_FILES], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["True", "2"]
    assert told.stderr == ""


def test_a_run_without_room_for_one_more_thread_goes_on_without() -> None:
    usual = threading.stack_size(1 << 47)
    try:
        with one_cpu.together():
            assert len(masks()) == 1
    finally:
        threading.stack_size(usual)


FILTERED = """
import ctypes, os, struct, sys
REFUSE, ALLOW, LOAD, IS, RETURN = 0x50001, 0x7FFF0000, 0x20, 0x15, 0x06  # REFUSE is EPERM
steps = [(LOAD, 0, 0, 0), (IS, 1, 0, 203), (IS, 0, 1, 204), (RETURN, 0, 0, REFUSE), (RETURN, 0, 0, ALLOW)]
program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))

class Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("program", ctypes.c_void_p))

libc, told = ctypes.CDLL(None), Filter(len(steps), ctypes.addressof(program))
assert libc.prctl(38, 1, 0, 0, 0) == 0 == libc.prctl(22, 2, ctypes.byref(told), 0, 0)
from pipeline import one_cpu
from pipeline.children.limits import usable_cores
with one_cpu.together():
    print(len(one_cpu.EVERYWHERE), usable_cores() > 0)
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="system calls have other numbers there")
def test_a_container_that_lets_nobody_ask_for_cpus_runs_as_one_without_any_of_this() -> None:
    told = subprocess.run([sys.executable, "-c", FILTERED], capture_output=True, text=True, check=False)
    assert (told.stdout.split(), told.stderr) == (["0", "True"], "")


STANDING = """
import time
time.monotonic = lambda: 1.0
from pipeline import one_cpu
with one_cpu.together():
    until = time.perf_counter() + 0.2
    while time.perf_counter() < until:
        pass
"""


def test_a_clock_that_stands_still_breaks_nothing() -> None:
    ran = subprocess.run([sys.executable, "-c", STANDING], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
