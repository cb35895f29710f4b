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
from tests.faults.amounts import IS_WHOLE, amount, some
from tests.makers import Folder
from tests.standin.fixture import StandIn
from tests.test_crash import held, make_spool, missing
from tests.test_faults import PRODUCTS, check_finished, code_of, whole_run
from tests.test_remote_crash import TRIES, Try, is_made, make
from tests.tracer import CHANGES, CREATE, Fault, Tracer

pytestmark = [pytest.mark.real_time, pytest.mark.timeout(7200)]

CALLS = 2
PARTS = 4  # of the kills, side by side
SPEECH = TRIES["speech"]
NTH = range(1, 2000) if IS_WHOLE else (3, 1)

READS = ("read", "pread64")
WRITES = ("write", "pwrite64", "fsync", "fdatasync", "ftruncate", "fallocate", "close")
NAMES = (CREATE, "linkat", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir", "rename", "renameat", "renameat2")
FAULTS = {
    "no space": (errno.ENOSPC, (*WRITES, CREATE, "linkat", "mkdir", "mkdirat", "rename", "renameat", "renameat2")),
    "input/output error": (errno.EIO, (*READS, *WRITES, *NAMES)),
    "read-only": (errno.EROFS, NAMES),
    "short count": (None, ("write", "pwrite64")),
}
ENDS = (0, 3, 4, 73, 74)
TRIED = some([(what, name) for what, (_, names) in FAULTS.items() for name in names], short=10)


def portion(points: range, part: int, *, short: int) -> list[int]:
    """Every so manieth point, each part beginning one further; of a short try, a few spread over all."""
    return list(points[part::PARTS]) if IS_WHOLE else some(list(points), short=short)


def told(counts: Counter[str]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in sorted(counts.items()))


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


@pytest.mark.parametrize("part", range(amount(short=1, whole=PARTS)))
def test_invariants_1_3_and_5_a_paid_run_killed_at_any_system_call_pays_once_and_tears_nothing(
    tmp_path: Path, tracer: Tracer, figure: Callable[[str], None], part: int
) -> None:
    points = tracer.points(traced(make_spool(tmp_path / "count", paid=True)), only=CHANGES)
    chosen = portion(points, part, short=4)
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


@pytest.mark.parametrize("part", range(amount(short=1, whole=PARTS)))
def test_invariants_1_and_3_a_call_over_the_wire_killed_at_any_system_call_is_paid_once(
    tmp_path: Path, standin: StandIn, tracer: Tracer, figure: Callable[[str], None], part: int
) -> None:
    points = tracer.points(traced(make(tmp_path / "count", standin, SPEECH)), only=CHANGES)
    chosen = portion(points, part, short=3)
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
        f"SIGKILL at system calls of a call over the wire: {len(chosen)}/{len(chosen)} of {len(points)} ({told(ended)})"
    )


@pytest.mark.parametrize(("what", "name"), TRIED)
def test_invariants_17_18_and_19_any_call_that_fails_ends_in_order_and_the_next_run_finishes(
    tmp_path: Path, standin: StandIn, tracer: Tracer, figure: Callable[[str], None], what: str, name: str
) -> None:
    codes: Counter[str] = Counter()
    below = (*READS, *WRITES)
    for nth in NTH:
        folder = make(tmp_path / str(nth), standin, SPEECH)
        place = os.fspath(folder.root) if name in below else None
        ended = tracer.run(traced(folder), fault=Fault(call=name, nth=nth, error=FAULTS[what][0], below=place))
        if ended.fault_at is not None:
            assert ended.code in (*ENDS, *([78] if name in READS else [])), nth  # 78: settings that cannot be read
            check_next(folder, standin, nth)
            codes[f"exit {ended.code}"] += 1
        shutil.rmtree(folder.root)
        if (ended.fault_at is None) == IS_WHOLE:
            break
    total = sum(codes.values())
    figure(f"{what} at the n-th {name}: {total}/{total} ({told(codes)}), 0 paid twice")
    assert total


def test_a_manifest_that_the_disk_does_not_give_is_kept_for_the_next_run(
    tmp_path: Path, standin: StandIn, tracer: Tracer
) -> None:
    folder = make(tmp_path, standin, SPEECH)
    fault = Fault(call="read", nth=1, error=errno.EIO, below=os.fspath(folder.spool / "claimed"))
    ended = tracer.run(traced(folder), fault=fault)
    assert ended.fault_at is not None
    assert ended.code == 74
    assert whole_run(folder) == 0
    assert is_made(folder, SPEECH)


@pytest.mark.parametrize(
    ("name", "where", "nth"), [("speech", "staging", 1), ("speech", "staging", 9), ("three pictures", "assets", 1)]
)
def test_an_answer_that_the_disk_does_not_give_ends_the_run_with_74_and_is_paid_once(
    tmp_path: Path, standin: StandIn, tracer: Tracer, name: str, where: str, nth: int
) -> None:
    folder = make(tmp_path, standin, TRIES[name])
    fault = Fault(call="read", nth=nth, error=errno.EIO, below=os.fspath(folder.spool / where))
    ended = tracer.run(traced(folder), fault=fault)
    assert ended.fault_at is not None
    assert ended.code == 74
    check_next(folder, standin, where, TRIES[name])


def check_next(folder: Folder, standin: StandIn, told: object, tried: Try = SPEECH) -> None:
    """Nothing short in sight; then a run on a whole disk finishes, and nothing is paid twice."""
    assert short(folder) == [], told
    again = next_run(folder)
    assert standin.paid(tried.operation) <= 1, told
    assert is_made(folder, tried) != bool(held(folder)), told
    if not held(folder):
        assert (again, standin.paid(tried.operation), strays(folder)) == (0, 1, []), told
