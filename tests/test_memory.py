"""What a process holds after a run, asked of the C library itself; the soak measures it over thousands of jobs."""

import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from pipeline import desk, overview
from tests.cli.conftest import seat
from tests.makers import Folder

ROOT = Path(__file__).parents[1]
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
