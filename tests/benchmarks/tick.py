"""(2) An idle cron tick against `python -c pass`, and what it imports."""

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.table import Row, environment, interleaved, timed

ROUNDS = 21
MAX_RATIO = 5.0
FORBIDDEN = ("typer", "trio", "httpx")
MANIFEST = """
schema = 1
name = "standing"
[[folder]]
id = "notes"
glob = "../../recordings/*"
accept = ["audio"]
settle = "0s"
out = "../../out/{name}.{ext}"
  [[folder.step]]
  id = "text"
  kind = "transcription"
"""


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        spool = Path(name) / "spool"
        (Path(name) / "recordings").mkdir()
        (spool / "standing").mkdir(parents=True, mode=0o700)
        (spool / "standing/standing.toml").write_text(MANIFEST)
        spool.chmod(0o700)
        tick = [sys.executable, "-m", "pipeline", "run", "--spool", str(spool)]
        timed(tick)
        timed(tick)
        idle, nothing = interleaved(ROUNDS, lambda: timed(tick), lambda: timed([sys.executable, "-c", "pass"]))
        imported = imports(tick)
    ratio = idle / nothing
    return [
        Row(
            name="(2) idle cron tick",
            figure=f"{idle * 1000:.0f} ms",
            beside=f"python -c pass {nothing * 1000:.0f} ms: {ratio:.1f} x",
            target=f"<= {MAX_RATIO:g} x",
            is_met=ratio <= MAX_RATIO,
        ),
        Row(
            name="    imports of typer, trio, httpx",
            figure=", ".join(sorted(imported)) or "none",
            target="none",
            is_met=not imported,
        ),
    ]


def imports(tick: list[str]) -> set[str]:
    command = [tick[0], "-X", "importtime", *tick[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment())
    modules = {line.rsplit("|", 1)[-1].strip().partition(".")[0] for line in done.stderr.splitlines()}
    return modules & set(FORBIDDEN)
