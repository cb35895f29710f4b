"""(4) What ledger, store and publishing cost per job, on a scripted route that answers at once."""

import tempfile
import time
from pathlib import Path

from tests.benchmarks.table import Row
from tests.makers import Folder, verdicts

JOBS = 300
LINE = '{{"id": "job-{0}", "kind": "tts", "text": "number {0}", "out": "out/{0}.wav"}}\n'


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Folder(Path(name))
        folder.manifest = Path(name) / "many.jsonl"
        folder.manifest.write_text('{"schema": 1}\n' + "".join(LINE.format(number) for number in range(JOBS)))
        first = run(folder, "done")
        again = run(folder, "unchanged")
    return [
        Row(name=f"(4) ledger and store, {JOBS} jobs", figure=f"{first / JOBS * 1000:.1f} ms a job"),
        Row(name="    the same jobs again, unchanged", figure=f"{again / JOBS * 1000:.2f} ms a job"),
    ]


def run(folder: Folder, verdict: str) -> float:
    started = time.perf_counter()
    result = folder.run()
    wall = time.perf_counter() - started
    assert set(verdicts(result).values()) == {verdict}
    return wall
