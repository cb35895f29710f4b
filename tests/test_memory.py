"""What a process holds after a run, asked of the C library itself; the soak measures it over thousands of jobs."""

import subprocess
import sys
from pathlib import Path

import pytest

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
