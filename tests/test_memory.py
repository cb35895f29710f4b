"""What a process holds after a run, asked of the C library itself; the soak measures it over thousands of jobs."""

import resource
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from pipeline import desk, overview
from pipeline.core.model import JobId, Place, RunId
from pipeline.state.ledger import Ledger
from pipeline.state.linux import be_thrifty
from pipeline.verify import Verified, verify
from pipeline.work import GIVEN_BACK_EVERY, Thrift
from tests.cli.conftest import seat
from tests.makers import Folder

ROOT = Path(__file__).parents[1]
MANY = 100
RUN_AND_COUNT = """
import ctypes, re, sys
from pathlib import Path
from tests.makers import Folder, verdicts

libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p

def pools(path):
    stream = ctypes.c_void_p(libc.fopen(path.encode(), b"w"))
    libc.malloc_info(0, stream)
    libc.fclose(stream)
    return len(re.findall("<heap nr=", Path(path).read_text()))

folder = Folder(Path(sys.argv[1]))
folder.record("a.wav")
assert set(verdicts(folder.run()).values()) == {"done"}
print(pools(str(folder.root / "pools.xml")))
"""


@pytest.mark.real_time
@pytest.mark.skipif(sys.platform != "linux", reason="asks glibc")
def test_all_threads_of_a_run_share_one_pool_of_memory(tmp_path: Path) -> None:
    words = [sys.executable, "-c", RUN_AND_COUNT, str(tmp_path / "folder")]
    (tmp_path / "folder").mkdir()
    ran = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert (ran.stdout, ran.stderr) == ("1\n", "")


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def jobs_end() -> None:
    thrift = Thrift()
    for _ in range(GIVEN_BACK_EVERY):
        thrift.ended()


@pytest.mark.skipif(sys.platform != "linux", reason="asks glibc")
@pytest.mark.parametrize("happens", [be_thrifty, jobs_end])
def test_what_is_free_is_given_back_when_a_run_begins_and_as_jobs_end(happens: Callable[[], object]) -> None:
    blocks = [bytes(4000) for _ in range(10_000)]
    kept = [*blocks[::50], blocks[-1]]  # between them all is free, but not at the end, where glibc looks by itself
    del blocks
    before = resident()
    happens()
    assert before - resident() > 30_000_000
    assert len(kept) == 201


@pytest.mark.real_time
def test_what_is_read_takes_as_much_memory_as_there_is_of_it_and_not_as_there_may_be(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.record("a.wav")
    (tmp_path / "spool" / "incoming").mkdir(parents=True)
    (tmp_path / "spool" / "incoming" / "notes.toml").write_text(folder.manifest.read_text())
    folder.configure({"fail": "EngineError"})
    tracemalloc.start()
    try:
        folder.run_spool()
        overview.status(seat(folder))
        desk.retry(seat(folder), (), ())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 50_000_000  # a bound on what may be read is some hundred


def multiply(folder: Folder, count: int, fact: str) -> None:
    """A job of the folder, so many times over, each with a long fact in its receipt."""
    ledger = Ledger.open(str(folder.spool / "ledger.db"), run=RunId("many"), clock=lambda: "2026-11-20T06:00:00+00:00")
    row, *_ = ledger.jobs_with(("done",))
    assert row.receipt is not None
    made, *_ = row.receipt.products
    with ledger.group():
        for number in range(count):
            product = msgspec.structs.replace(made, path=f"{made.path}.{number}")
            shutil.copyfile(made.path, product.path)
            place = Place(f"{number:032x}")
            receipt = msgspec.structs.replace(row.receipt, products=(product,), place=place, facts={"long": fact})
            ledger.settle_job(
                place=place,
                job=JobId(str(number)),
                manifest=row.manifest,
                receipt=receipt,
                verdict="done",
                code=None,
                reason="",
                key=row.key,
                identity="",
            )
    ledger.close()


@pytest.mark.real_time
def test_verify_holds_one_receipt_at_a_time_however_many_there_are(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.record("a.wav")
    folder.run()
    multiply(folder, MANY, "x" * 200_000)
    tracemalloc.start()
    try:
        made = verify(seat(folder), is_repairing=False).record
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(made, Verified)
    assert sum(item.what == "receipt" for item in made.findings) == MANY
    assert peak < 5_000_000  # all have 20 MB
