"""(10) One long recording on the embedded route, against the bare engine's sequential call and its batched mode.

The recording is GENERATED from real clips (tests/recordings.py), so every word and its place are known. Each run is a
whole process; its memory is the sum over its children of what each holds alone and its share of the rest (PSS).
`python -m tests.benchmarks.long SECONDS` measures our side alone, such as three hours: 10800.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import jiwer
from msgspec import Struct

from tests.benchmarks.memory import held_mb
from tests.benchmarks.table import Row, environment
from tests.recordings import Said, make_long

SECONDS = 3600.0
MIN_SPEEDUP, MAX_MEMORY_SHARE, MAX_WER_LOSS = 1.4, 0.5, 0.005
TICK_S = 0.1
MANIFEST = """
schema = 1
name = "long"
[[job]]
id = "talk"
kind = "transcription"
input = "talk.flac"
language = "en"
formats = ["json"]
out = "talk.json"
"""


class Cost(Struct, frozen=True, kw_only=True):
    """What a whole process took: seconds on the wall and of processors, megabytes at its highest."""

    wall_s: float
    cpu_s: float
    peak_mb: float

    def __str__(self) -> str:
        return f"{self.wall_s:.1f} s, {self.cpu_s:.0f} s of CPU, {self.peak_mb:.0f} MB"


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        said = make_long(root / "talk.flac", SECONDS)
        bare = cost(bare_command(root, "sequential"))
        ours = cost(our_command(root))
        batched = cost(bare_command(root, "batched"))
        wer = {mode: word_error_rate(root / f"{mode}.json", said) for mode in ("sequential", "batched")} | {
            "ours": word_error_rate(root / "talk.json", said)
        }
    ratio = bare.wall_s / ours.wall_s
    share = ours.peak_mb / bare.peak_mb
    return [
        Row(
            name=f"(10) one recording of {SECONDS / 60:.0f} minutes",
            figure=f"{ours}, WER {wer['ours']:.1%}",
            beside=f"sequential {bare}, WER {wer['sequential']:.1%}: {ratio:.2f} x",
            target=f">= {MIN_SPEEDUP:g} x at equal WER",
            is_met=ratio >= MIN_SPEEDUP and wer["ours"] <= wer["sequential"] + MAX_WER_LOSS,
        ),
        Row(
            name="    memory of all processes",
            figure=f"{ours.peak_mb:.0f} MB",
            beside=f"{share:.2f} of the sequential call's",
            target=f"< {MAX_MEMORY_SHARE:g}",
            is_met=share < MAX_MEMORY_SHARE,
        ),
        Row(name="    its batched mode", figure=str(batched), beside=f"WER {wer['batched']:.1%}"),
    ]


def our_command(root: Path) -> list[str]:
    (root / "long.toml").write_text(MANIFEST)
    return [sys.executable, "-m", "pipeline", "run", str(root / "long.toml"), "--spool", str(root / "spool")]


def bare_command(root: Path, mode: str) -> list[str]:
    result = str(root / f"{mode}.json")
    return [sys.executable, "-m", "tests.benchmarks.long_loop", str(root / "talk.flac"), result, mode]


def cost(command: Sequence[str]) -> Cost:
    started, peak = time.perf_counter(), 0.0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment())
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        peak = max(peak, held_mb(process.pid))
        time.sleep(TICK_S)
    wall = time.perf_counter() - started
    if status:
        assert process.stderr is not None
        sys.exit(f"{' '.join(command[:4])} ended with {status}: {process.stderr.read().decode()[-2000:]}")
    return Cost(wall_s=wall, cpu_s=usage.ru_utime + usage.ru_stime, peak_mb=peak)


def word_error_rate(result: Path, said: Sequence[Said]) -> float:
    segments = json.loads(result.read_text())["segments"]
    normal = jiwer.Compose(
        [jiwer.ToLowerCase(), jiwer.RemovePunctuation(), jiwer.RemoveMultipleSpaces(), jiwer.Strip()]  # type: ignore[no-untyped-call]  # untyped there
    )
    heard = normal(" ".join(segment["text"] for segment in segments).replace("Mr.", "mister"))
    return float(jiwer.wer(" ".join(item.text for item in said), heard))


def drift(result: Path, said: Sequence[Said]) -> tuple[float, float]:
    """How far the first words of clips are from their truth: the medians over the first and the last tenth."""
    starts = [word["start"] for segment in json.loads(result.read_text())["segments"] for word in segment["words"]]
    off = [min(abs(start - item.start) for start in starts) for item in said]
    tenth = max(len(off) // 10, 1)
    return statistics.median(off[:tenth]), statistics.median(off[-tenth:])


def main(seconds: float) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        said = make_long(root / "talk.flac", seconds)
        ours = cost(our_command(root))
        first, last = drift(root / "talk.json", said)
        print(f"{seconds / 3600:.2f} h: {ours}, WER {word_error_rate(root / 'talk.json', said):.1%}")
        print(f"first words of clips are off by {first * 1000:.0f} ms at the start and {last * 1000:.0f} ms at the end")
        facts = json.loads((root / "talk.json.receipt.json").read_text())["facts"]
        print(json.dumps(facts))


if __name__ == "__main__":
    main(float(sys.argv[1]))
