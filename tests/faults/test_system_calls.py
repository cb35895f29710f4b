"""A whole run under a tracer: killed at every system call that changes anything, and each kind of call failing in turn.

The run and its threads are forked from here, so what is counted is the run alone. Two paid calls that are scripted, and
one to the stand-in, which counts for itself. Invariants 1, 3, 4, 5, 17, 18, 19.
"""

import errno
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.core.errors import RunBusy
from tests.crash_support import strays
from tests.faults.amounts import IS_WHOLE, some
from tests.makers import Folder
from tests.standin.fixture import StandIn
from tests.test_crash import held, make_spool, missing
from tests.test_faults import PRODUCTS, check_finished, code_of, whole_run
from tests.test_remote_crash import TRIES, is_made, make
from tests.tracer import CHANGES, CREATE, Fault, Tracer

pytestmark = [pytest.mark.real_time, pytest.mark.timeout(7200)]

CALLS = 2
SPEECH = TRIES["speech"]
NTH = range(1, 2000) if IS_WHOLE else (3,)

ON_FILES = ("write", "pwrite64", "fsync", "fdatasync", "ftruncate", "close")
FAULTS = {
    "no space": (errno.ENOSPC, ("write", "pwrite64", "fsync", "close", CREATE, "linkat", "mkdir")),
    "input/output error": (errno.EIO, ("write", "pwrite64", "fsync", "fdatasync", "close", CREATE, "linkat", "unlink")),
    "read-only": (errno.EROFS, (CREATE, "linkat", "mkdir", "unlink")),
    "short count": (None, ("write", "pwrite64")),
}


def short(folder: Folder) -> list[str]:
    """Products under their final names that are not whole. Parts have names of their own."""
    found = list(folder.product("").glob("[!.]*"))
    return [path.name for path in found if path.read_bytes() != PRODUCTS.get(path.name, path.read_bytes() or None)]


def next_run(folder: Folder) -> int:
    """Between fork and exec a child of the killed run has the lock for a moment longer."""
    for _ in range(100):
        try:
            return whole_run(folder)
        except RunBusy:
            time.sleep(0.05)
    raise AssertionError("the lock of a killed run is held")


def traced(folder: Folder) -> Callable[[], int]:
    return lambda: code_of(lambda: whole_run(folder))


def test_invariants_1_3_and_5_a_paid_run_killed_at_any_system_call_pays_once_and_tears_nothing(
    tmp_path: Path, tracer: Tracer, figure: Callable[[str], None]
) -> None:
    points = tracer.points(traced(make_spool(tmp_path / "count", paid=True)), only=CHANGES)
    chosen = some(list(points), short=4)
    in_doubt = torn = 0
    for point in chosen:
        folder = make_spool(tmp_path / str(point), paid=True)
        tracer.run(traced(folder), kill_at=point, only=CHANGES)
        torn += len(short(folder))
        code = next_run(folder)
        assert folder.calls() <= CALLS, point
        assert bool(missing(folder)) == bool(held(folder)), point
        assert code == (3 if held(folder) else 0), point
        in_doubt += held(folder)
        if not held(folder):
            check_finished(folder)
        shutil.rmtree(folder.root)
    figure(
        f"SIGKILL at system calls of a paid run: {len(chosen)}/{len(chosen)} of {len(points)}, "
        f"{in_doubt} calls in doubt and listed, {torn} torn, 0 paid twice"
    )
    assert torn == 0


def test_invariants_1_and_3_a_call_over_the_wire_killed_at_any_system_call_is_paid_once(
    tmp_path: Path, standin: StandIn, tracer: Tracer, figure: Callable[[str], None]
) -> None:
    points = tracer.points(traced(make(tmp_path / "count", standin, SPEECH)), only=CHANGES)
    chosen = some(list(points), short=3)
    ended: Counter[str] = Counter()
    for point in chosen:
        folder = make(tmp_path / str(point), standin, SPEECH)
        tracer.run(traced(folder), kill_at=point, only=CHANGES)
        paid = standin.paid("speak")
        next_run(folder)
        assert standin.paid("speak") <= 1, point
        assert is_made(folder, SPEECH) != bool(held(folder)), point
        ended["made" if is_made(folder, SPEECH) else "held and paid" if paid else "held"] += 1
        shutil.rmtree(folder.root)
    figure(
        f"SIGKILL at system calls of a call over the wire: {len(chosen)}/{len(chosen)} of {len(points)}, {dict(ended)}"
    )


@pytest.mark.parametrize("what", FAULTS)
def test_invariants_17_18_and_19_any_call_that_fails_ends_in_order_and_the_next_run_finishes(
    tmp_path: Path, standin: StandIn, tracer: Tracer, figure: Callable[[str], None], what: str
) -> None:
    error, names = FAULTS[what]
    codes: Counter[str] = Counter()
    for name in names:
        for nth in NTH:
            folder = make(tmp_path / f"{name}{nth}", standin, SPEECH)
            below = os.fspath(folder.root) if name in ON_FILES else None
            ended = tracer.run(traced(folder), fault=Fault(call=name, nth=nth, error=error, below=below))
            if ended.fault_at is None:
                break
            assert ended.code in (0, 3, 4, 73, 74), (what, name, nth)
            check_next(folder, standin, (what, name, nth))
            codes[f"{name}: exit {ended.code}"] += 1
            shutil.rmtree(folder.root)
    total = sum(codes.values())
    figure(f"{what}, at the n-th call: {total}/{total}, 0 paid twice ({dict(sorted(codes.items()))})")
    assert total


def check_next(folder: Folder, standin: StandIn, told: object) -> None:
    """Nothing short in sight; then a run on a whole disk finishes, and nothing is paid twice."""
    assert short(folder) == [], told
    again = next_run(folder)
    assert standin.paid("speak") <= 1, told
    assert is_made(folder, SPEECH) != bool(held(folder)), told
    if not held(folder):
        assert (again, standin.paid("speak"), strays(folder)) == (0, 1, []), told
