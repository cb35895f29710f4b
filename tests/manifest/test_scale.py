"""A hundred thousand jobs in bounded time and memory, measured in a fresh interpreter."""

import json
import subprocess
import sys

import pytest

JOBS = 100_000
MAX_GROWTH_MB = 150

SCRIPT = """
import json, os, sys, time
from tests.manifest.conftest import Desk
from pathlib import Path

def resident_mb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

def peak_mb():
    # ru_maxrss would tell of the test process: it outlives fork and exec
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1e3 for line in file if line.startswith("VmHWM"))

desk = Desk(Path(sys.argv[1]))
line = '{"audio_filepath": "corpus/speaker-%03d/utterance-%06d.wav", "duration": 3.5, "text": "some words"'
line += ', "out": "out/{stem}.{ext}"}'
body = "\\n".join(line % (number // 1000, number) for number in range(int(sys.argv[2]))).encode()
before = resident_mb()
started = time.perf_counter()
manifest = desk.read(body, "corpus.jsonl")
seconds = time.perf_counter() - started
after = resident_mb()
peak = peak_mb()
print(json.dumps({"jobs": len(manifest.jobs), "bad": len(manifest.bad), "seconds": seconds,
                  "grown_mb": after - before, "peak_mb": peak - before}))
"""


@pytest.mark.real_time
def test_a_hundred_thousand_lines_stay_lean(tmp_path_factory: pytest.TempPathFactory) -> None:
    base = tmp_path_factory.mktemp("corpus")
    command = [sys.executable, "-c", SCRIPT, str(base), str(JOBS)]
    answer = subprocess.run(command, capture_output=True, check=True, timeout=120)
    figures = json.loads(answer.stdout)
    print(f"100,000 lines: {figures}")
    assert (figures["jobs"], figures["bad"]) == (JOBS, 0)
    assert figures["peak_mb"] < MAX_GROWTH_MB
