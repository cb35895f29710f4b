"""The samples for the stand-in run as the page says, and the page names every fault."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pipeline.runtime import load_kinds
from pipeline.state.settings import load_settings
from tests.standin.__main__ import main
from tests.standin.faults import FAULTS
from tests.standin.fixture import StandIn

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples"
PAGE = ROOT / "docs" / "standin.md"
PORT = "8765"
EXPECTED = {"hello.mp3", "speech.txt", "canon.txt", "summary.txt", "picture.jpg", "changed.jpg", "film.mp4"}


def copied(folder: Path, standin: StandIn) -> Path:
    """The samples as a user has them, but for the port."""
    for name in ("media", "manifests-remote"):
        shutil.copytree(SAMPLES / name, folder / name)
    settings = (SAMPLES / "standin.toml").read_text()
    port = standin.base_url.rpartition(":")[2].partition("/")[0]
    (folder / "standin.toml").write_text(settings.replace(PORT, port))
    return folder


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    words = ["run", "manifests-remote/standin.toml", "--config", "standin.toml", "--spool", "out/spool"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "STANDIN_KEY": "sk-or-v1-standin", "HOME": str(folder)}
    command = [sys.executable, "-m", "pipeline", *words]
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)


@pytest.mark.real_time
def test_the_sample_manifest_runs_and_a_second_run_sends_nothing(tmp_path: Path, standin: StandIn) -> None:
    folder = copied(tmp_path, standin)
    first = run(folder)
    sent = [seen["number"] for seen in standin.requests() if seen["method"] == "POST"]
    assert first.returncode == 0, first.stdout + first.stderr
    assert {path.name for path in (folder / "out" / "standin").iterdir()} >= EXPECTED
    assert {name: standin.paid(name) for name in ("make_video", "make_image", "edit_image", "complete")} == {
        "make_video": 1,
        "make_image": 1,
        "edit_image": 1,
        "complete": 1,
    }
    assert run(folder).returncode == 0
    assert [seen["number"] for seen in standin.requests() if seen["method"] == "POST"] == sent


def test_the_sample_manifest_has_a_job_of_every_kind() -> None:
    body = (SAMPLES / "manifests-remote" / "standin.toml").read_text()
    assert {job["kind"] for job in tomllib.loads(body)["job"]} == set(load_kinds())


def test_the_sample_settings_can_be_loaded() -> None:
    assert set(load_settings(str(SAMPLES / "standin.toml"), {}).routes) == {"standin", "standin-openai"}


def test_the_page_names_every_fault_and_no_other() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    tables = "\n".join(row.rpartition(" | ")[2] for row in rows)
    named = set(re.findall(r"`([a-z0-9-]+)`", tables))
    assert named - set(FAULTS) == set()
    assert set(FAULTS) - named == set()


def test_help_is_there_for_a_person(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "--state" in capsys.readouterr().out
