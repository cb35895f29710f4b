"""Small makers for whole runs: a folder with recordings, a manifest, settings with the scripted route, and a spool."""

import io
import json
from collections.abc import Mapping
from pathlib import Path

import trio

from pipeline import routes
from pipeline.app import Result, RunRequest, run
from pipeline.core.model import Outcome, Reached
from pipeline.runtime import World, utc_now
from pipeline.state.pace_time import steady_s
from pipeline.state.settings import Settings, load_settings
from tests.scripted import wav

DRIVERS = {**routes.DRIVERS, "scripted": "tests.scripted:open_driver", "listener": "tests.listener:open_driver"}
FAR_FUTURE = 4_000_000_000.0

MANIFEST = """
schema = 1
name = "notes"

[[folder]]
id = "notes"
glob = "recordings/**/*"
accept = ["audio"]
settle = "0s"
out = "out/{reldir}/{name}.{step}.{ext}"

  [[folder.step]]
  id = "text"
  kind = "transcription"
  formats = ["txt", "srt"]

  [[folder.step]]
  id = "canon"
  kind = "canonical_text"
  from = "text"
"""


class Folder:
    """A user's folder, set up and run as a user would, with the scripted route as the only one."""

    def __init__(self, root: Path, *, manifest: str = MANIFEST, options: Mapping[str, str] | None = None) -> None:
        self.root = root
        self.calls_file = root / "calls.txt"
        self.spool = root / "spool"
        self.log = io.StringIO()
        self.reached: Reached = lambda _point: None
        self.environ: dict[str, str] = {"XDG_STATE_HOME": str(root / "state")}
        self.now = FAR_FUTURE
        self.clock: trio.abc.Clock | None = None
        self.speed = 1.0
        (root / "recordings").mkdir(parents=True)
        self.manifest = root / "notes.toml"
        self.manifest.write_text(manifest)
        self.configure(options or {})

    def configure(self, options: Mapping[str, str], extra: str = "") -> None:
        lines = [
            f"{key} = {json.dumps(value, ensure_ascii=False)}"
            for key, value in {"calls": str(self.calls_file), **options}.items()
        ]
        self.config = self.root / "mediaspool.toml"
        self.config.write_text(
            'default_route = ["scripted"]\n'
            + extra
            + '[routes.scripted]\ndriver = "scripted"\nwidth = 2\n'
            + "[routes.scripted.options]\n"
            + "\n".join(lines)
            + "\n"
        )

    def add_route(self, name: str, *, driver: str, base_url: str, key: str, **fields: str) -> None:
        """A remote route beside the scripted one, its key under a name of its own."""
        self.environ[f"{name.upper()}_KEY"] = key
        told = {"driver": driver, "base_url": base_url, "key": f"{name.upper()}_KEY", **fields}
        lines = "".join(f"{field} = {json.dumps(value)}\n" for field, value in told.items())
        self.config.write_text(f"{self.config.read_text()}[routes.{name}]\n{lines}")

    @property
    def settings(self) -> Settings:
        return load_settings(str(self.config), {})

    def record(self, name: str, seconds: float = 1.0) -> Path:
        path = self.root / "recordings" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wav(seconds))
        return path

    def world(self) -> World:
        return World(
            environ=self.environ,
            log_stream=self.log,
            clock=utc_now,
            now=lambda: self.now,
            reached=lambda point: self.reached(point),
            drivers=DRIVERS,
            steady=lambda: steady_s() * self.speed,
        )

    def run(self, **options: object) -> Result:
        request = RunRequest(spool=str(self.spool), files=(str(self.manifest),), **options)  # type: ignore[arg-type]
        return trio.run(run, request, self.settings, self.world(), clock=self.clock)

    def run_spool(self) -> Result:
        """As cron does: what lies in the spool."""
        return trio.run(run, RunRequest(spool=str(self.spool)), self.settings, self.world())

    def calls(self) -> int:
        return len(self.calls_file.read_text().splitlines()) if self.calls_file.exists() else 0

    def product(self, name: str) -> Path:
        return self.root / "out" / name


def outcomes(result: Result) -> dict[str, Outcome]:
    return {str(outcome.job): outcome for report in result.reports for outcome in report.outcomes}


def verdicts(result: Result) -> dict[str, str]:
    return {job: outcome.verdict for job, outcome in outcomes(result).items()}
