"""`make fuzz`: the properties of all borders, with fresh examples round after round until the time is over.

`python -m tests.faults.fuzz [seconds]`. Each target takes its turn in a process of its own with a seed of its own, so
every finding can be had again: its seed is printed, and hypothesis keeps the smallest example it came to.
"""

import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Mapping

from tests.pages import ROOT

SECONDS = 300.0
TURN_S = 15.0
"""A target whose turn took less gets twice the examples in its next one: the slow ones do not starve the others."""
TARGETS: Mapping[str, tuple[str, ...]] = {
    "manifest reader": ("tests/manifest/test_text.py", "tests/manifest/test_steps.py", "tests/manifest/test_checks.py"),
    "container checks": ("tests/media/test_robustness.py", "tests/media/test_wav.py"),
    "redaction": ("tests/trace",),
    "error mapping, JSON": (
        "tests/routes/test_errors.py",
        "tests/routes/test_openai_transcripts.py",
        "tests/routes/test_openai_schemas.py",
    ),
    "forms, streams, WAV repair": ("tests/faults/test_fuzz.py", "tests/routes/test_body.py"),
    "names and paths": ("tests/core/test_confine.py", "tests/state/test_roots.py", "tests/report_pages/test_markup.py"),
    "subtitles and texts": ("tests/jobs/test_subtitles.py", "tests/jobs/test_captions.py", "tests/jobs/test_text.py"),
    "catalogues, prices, framing": (
        "tests/routes/test_catalogue.py",
        "tests/routes/test_odd_catalogues.py",
        "tests/routes/test_prices.py",
        "tests/children/test_framing.py",
    ),
}
_EXAMPLES = re.compile(r"(\d+) passing, (\d+) failing")


def main(words: list[str]) -> int:
    seconds = float(words[0]) if words else SECONDS
    executions, rounds, findings = dict.fromkeys(TARGETS, 0), dict.fromkeys(TARGETS, 0), list[str]()
    times = dict.fromkeys(TARGETS, 1)
    until = time.monotonic() + seconds
    while time.monotonic() < until and not findings:
        for target in TARGETS:
            if time.monotonic() < until:
                seed = random.SystemRandom().randrange(1 << 32)
                began = time.monotonic()
                code, said = once(target, seed, times=times[target])
                times[target] *= 2 if time.monotonic() - began < TURN_S else 1
                rounds[target] += 1
                executions[target] += sum(int(good) + int(bad) for good, bad in _EXAMPLES.findall(said))
                if code:
                    findings.append(f"{target}: seed {seed}\n{said}")
    for target in TARGETS:
        print(f"{target:30} {executions[target]:9,} executions in {rounds[target]} rounds")
    print(f"{'all':30} {sum(executions.values()):9,} executions, {len(findings)} findings")
    print(*findings, sep="\n")
    return 1 if findings else 0


def once(target: str, seed: int, *, times: int) -> tuple[int, str]:
    words = [
        "-q",
        "-p",
        "tests.faults.longer",
        "-m",
        "hypothesis",
        "--timeout=1200",
        "--hypothesis-show-statistics",
        f"--hypothesis-seed={seed}",
        *TARGETS[target],
    ]
    environ = {name: value for name, value in os.environ.items() if name != "CI"}
    environ["MEDIASPOOL_FUZZ_TIMES"] = str(times)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
