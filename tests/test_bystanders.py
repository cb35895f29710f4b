"""What is wrong with one job, one manifest or one file costs nothing else in the run."""

import os
import shutil
from contextlib import closing
from pathlib import Path

import pytest
import trio

from pipeline.app import RunRequest, run
from pipeline.report import summary
from pipeline.runtime import utc_now
from pipeline.state.ledger import Ledger
from tests.makers import MANIFEST, Folder, outcomes

pytestmark = pytest.mark.real_time


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_a_job_that_names_an_unknown_route_is_refused_and_the_others_go_on(folder: Folder) -> None:
    typo = '[[job]]\nid = "typo"\nkind = "transcription"\ninput = "recordings/a.wav"\nroute = "scriptd"\n'
    folder.manifest.write_text(MANIFEST + typo)
    folder.record("a.wav")
    found = outcomes(folder.run())
    assert (found["typo"].verdict, found["typo"].code) == ("refused", "route-unknown")
    assert "scripted" in found["typo"].hint
    assert found["notes/a.wav#text"].verdict == "done"


def test_a_manifest_that_cannot_be_read_is_told_by_its_name(folder: Folder) -> None:
    folder.manifest.write_text("schema = 1\nthis is not TOML")
    warnings = folder.run().whole.warnings
    assert len(warnings) == 1
    assert "notes.toml" in warnings[0]


def test_the_jobs_that_a_folder_keeps_waiting_say_which_folder(folder: Folder) -> None:
    folder.manifest.write_text(MANIFEST.replace('"out/{reldir}', '"/sys/mediaspool/{reldir}'))
    folder.configure({}, extra=f'roots = ["/sys", "{folder.root}"]\n')
    folder.record("a.wav")
    whole = folder.run().whole
    assert whole.exit_code == 73
    assert all("/sys/mediaspool" in outcome.reason for outcome in whole.outcomes)


def test_an_odd_drop_is_told_once_and_with_where_it_went(folder: Folder) -> None:
    (folder.spool / "incoming").mkdir(parents=True)
    (folder.spool / "incoming/odd.toml").symlink_to(folder.manifest)
    warnings = folder.run_spool().whole.warnings
    assert [warning for warning in warnings if "odd.toml was moved to failed/odd.toml: " in warning] == list(warnings)
    assert len(warnings) == 1


def test_an_odd_drop_with_a_long_name_is_told_with_the_reason_and_the_name_that_it_has_now(folder: Folder) -> None:
    (folder.spool / "incoming").mkdir(parents=True)
    (folder.spool / "incoming" / f"{'x' * 240}.toml").write_text("schema = 1\n")
    result = folder.run_spool()
    (moved,) = (folder.spool / "failed").glob("*.toml")
    told = f"… was moved to failed/{moved.name}: its name is longer than 200 bytes\n"
    assert told in summary(result.whole)


def test_a_pipe_under_the_name_of_a_manifest_lets_nobody_wait(folder: Folder) -> None:
    folder.manifest.unlink()
    os.mkfifo(folder.manifest)
    whole = folder.run().whole
    assert whole.exit_code == 65
    assert "is not a file" in whole.warnings[0]


def test_two_manifests_of_one_name_and_the_same_jobs_publish_them_one_after_the_other(folder: Folder) -> None:
    """The parts of both have one name: side by side, one would put the half-written part of the other in place."""
    folder.record("a.wav")
    points: list[str] = []
    folder.reached = points.append
    one_step = MANIFEST.partition('  [[folder.step]]\n  id = "canon"')[0]
    files = [folder.manifest, folder.root / "twin.toml", folder.root / "third.toml"]
    for file in files:
        file.write_text(one_step)
    request = RunRequest(spool=str(folder.spool), files=tuple(map(str, files)))
    result = trio.run(run, request, folder.settings, folder.world())
    assert {outcome.verdict for report in result.reports for outcome in report.outcomes} == {"done"}
    steps = [point for point in points if point in ("intended", "published", "settled")]
    assert steps == ["intended", "published", "settled"] * 3


def test_a_report_that_cannot_be_written_costs_no_verdict_and_the_next_run_tidies_up(folder: Folder) -> None:
    folder.record("a.wav")
    (folder.spool / "incoming").mkdir(parents=True)
    dropped = folder.spool / "incoming/notes.toml"
    dropped.write_text(folder.manifest.read_text().replace("recordings/**", f"{folder.root}/recordings/**"))
    reports = folder.spool / "reports"

    def in_the_way(point: str) -> None:
        if point == "ran":
            shutil.rmtree(reports)
            reports.write_text("somebody's")

    folder.reached = in_the_way
    result = folder.run_spool()
    assert result.whole.counts.get("done") == len(result.whole.outcomes) > 0
    assert (result.whole.exit_code, result.page) == (73, None)
    with closing(Ledger.view(str(folder.spool / "ledger.db"), clock=utc_now)) as ledger:
        assert [run.exit_code for run in ledger.last_runs(1)] == [73]
    assert any("/reports" in warning for warning in result.whole.warnings)
    reports.unlink()
    folder.reached = lambda _point: None
    again = folder.run_spool()
    assert (set(again.whole.counts), again.whole.exit_code) == ({"unchanged"}, 0)
    assert (folder.spool / "done/notes.toml").exists()
