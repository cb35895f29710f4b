"""`plan` decides what `run` decides, and leaves no trace."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from pipeline import preview
from pipeline.preview import Plan, PlannedJob
from tests.cli.conftest import Shell, locked, seat
from tests.conftest import NOBODY
from tests.makers import MANIFEST, Folder, outcomes

pytestmark = pytest.mark.real_time


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Two steps, so that one job waits for another."""
    return Folder(tmp_path, manifest=MANIFEST)


def plan(folder: Folder, *files: str, **options: bool) -> Plan:
    answer = preview.plan(seat(folder), files or (str(folder.manifest),), **options)
    assert isinstance(answer.record, Plan)
    assert answer.exit_code == answer.record.exit_code
    return answer.record


def jobs(made: Plan) -> dict[str, PlannedJob]:
    return {job.id: job for manifest in made.manifests for job in manifest.jobs}


def choices(made: Plan) -> dict[str, str]:
    return {name: job.choice for name, job in jobs(made).items()}


def snapshot(root: Path) -> dict[str, tuple[int, int]]:
    """All files but the two that SQLite keeps beside a database while, and after, somebody reads it."""
    files = [path for path in root.rglob("*") if path.is_file() and not path.name.endswith(("-wal", "-shm"))]
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in files}


def test_what_would_run_runs_and_is_unchanged_afterwards(folder: Folder) -> None:
    folder.record("a.wav")
    made = plan(folder)
    assert choices(made) == {"notes/a.wav#text": "run", "notes/a.wav#canon": "later"}
    assert (jobs(made)["notes/a.wav#text"].route, made.audio_seconds) == ("scripted", 1.0)
    assert folder.calls() == 0
    folder.run()
    assert set(choices(plan(folder)).values()) == {"unchanged"}


def test_a_plan_leaves_no_trace(folder: Folder) -> None:
    folder.record("a.wav")
    before = snapshot(folder.root)
    plan(folder)
    assert snapshot(folder.root) == before
    folder.run()
    before = snapshot(folder.root)
    plan(folder)
    assert snapshot(folder.root) == before


def test_a_refusal_has_all_its_reasons_and_the_code_of_the_run(folder: Folder) -> None:
    (folder.root / "recordings" / "bad.mp3").write_bytes(b"<!doctype html><html></html>")
    made = plan(folder)
    job = jobs(made)["notes/bad.mp3#text"]
    assert job.choice == "refused"
    assert made.exit_code == 3
    run = outcomes(folder.run())["notes/bad.mp3#text"]
    assert (run.code, run.reason) == (job.reasons[0].code, "; ".join(reason.message for reason in job.reasons))
    assert choices(made)["notes/bad.mp3#canon"] == "blocked"


def test_a_cap_that_would_stop_the_run_is_told_with_its_code(folder: Folder) -> None:
    folder.manifest.write_text(MANIFEST.replace("[[folder]]", "[limits]\nmax_audio_minutes = 0.01\n[[folder]]", 1))
    folder.record("a.wav")
    made = plan(folder)
    assert [manifest.cap and manifest.cap.code for manifest in made.manifests] == ["budget-audio"]
    assert made.exit_code == folder.run().whole.exit_code == 4


def test_a_job_that_cannot_be_read_is_refused_like_in_the_run(folder: Folder) -> None:
    folder.manifest.write_text('schema = 1\nname = "s"\n[[job]]\nid = "hi"\nkind = "tts"\ntxet = "hello"\n')
    reasons = jobs(plan(folder))["hi"].reasons
    assert "did you mean" in reasons[0].hint
    assert outcomes(folder.run())["hi"].code == reasons[0].code
    assert plan(folder).exit_code == folder.run().whole.exit_code == 0


def test_force_plans_everything_anew(folder: Folder) -> None:
    folder.record("a.wav")
    folder.run()
    assert choices(plan(folder, is_forced=True))["notes/a.wav#text"] == "run"


def test_an_edited_product_is_told(folder: Folder) -> None:
    folder.record("a.wav")
    folder.run()
    folder.product("a.wav.text.txt").write_text("one two four\n")
    job = jobs(plan(folder))["notes/a.wav#text"]
    assert (job.choice, job.reasons[0].code) == ("unchanged", "product-edited")


@pytest.fixture
def open_to_nobody() -> Iterator[Folder]:
    """A folder that root may give away: what lies above one of pytest's is closed to others."""
    with tempfile.TemporaryDirectory() as name:
        yield Folder(Path(name))


def test_a_product_that_may_not_be_read_is_told_as_that_and_not_as_edited(
    open_to_nobody: Folder, request: pytest.FixtureRequest
) -> None:
    folder = open_to_nobody
    folder.record("a.wav")
    folder.run()
    folder.product("a.wav.text.txt").chmod(0)
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", str(NOBODY), str(folder.root)], check=True)
    request.getfixturevalue("ordinary_user")
    job = jobs(plan(folder))["notes/a.wav#text"]
    assert (job.choice, job.reasons[0].code) == ("unchanged", "input-unreadable")
    assert job.reasons[0].message.endswith("a.wav.text.txt' cannot be read; it is kept")
    folder.manifest.write_text(MANIFEST.replace('["txt", "srt"]', '["txt", "vtt"]'))
    job = jobs(plan(folder))["notes/a.wav#text"]
    assert (job.choice, [reason.code for reason in job.reasons]) == ("refused", ["input-unreadable"])
    folder.manifest.write_text(MANIFEST.replace('"out/', '"elsewhere/'))
    assert choices(plan(folder))["notes/a.wav#text"] == "place"


def test_files_that_still_settle_are_counted(folder: Folder) -> None:
    written = folder.record("a.wav").stat().st_mtime
    folder.manifest.write_text(MANIFEST.replace('"0s"', '"30s"'))
    world = msgspec.structs.replace(folder.world(), now=lambda: written + 10)
    answer = preview.plan(seat(folder, world=world), [str(folder.manifest)])
    assert isinstance(answer.record, Plan)
    assert [(manifest.unsettled, manifest.jobs) for manifest in answer.record.manifests] == [(1, ())]
    assert "1 file still settling" in answer.text


def test_an_unreadable_manifest_is_told_beside_a_good_one(folder: Folder) -> None:
    folder.record("a.wav")
    made = plan(folder, str(folder.manifest), str(folder.root / "nowhere.toml"))
    assert [manifest.error and manifest.error.code for manifest in made.manifests] == [None, "manifest-missing"]


def test_the_waiting_manifests_of_a_spool_are_planned_and_stay_where_they_are(folder: Folder) -> None:
    folder.record("a.wav")
    folder.run()
    dropped = folder.spool / "incoming" / "drop.toml"
    dropped.write_text(
        MANIFEST.replace('"recordings/**/*"', '"../../recordings/**/*"').replace('"out/', '"../../out2/')
    )
    answer = preview.plan(seat(folder), ())
    assert isinstance(answer.record, Plan)
    assert len(jobs(answer.record)) == 2
    assert dropped.exists()
    assert list((folder.spool / "claimed").iterdir()) == []


def test_a_plan_needs_no_lock_and_no_spool(shell: Shell) -> None:
    shell.folder.record("a.wav")
    shell.type("plan", "notes.toml", *shell.where(), code=0)
    assert not shell.folder.spool.exists()
    with locked(shell.folder.spool):
        shell.type("plan", "notes.toml", *shell.where(), code=0)


def test_nothing_to_plan_is_said(shell: Shell) -> None:
    assert "nothing to plan" in shell.type("plan", *shell.where(), code=0).err


@pytest.mark.privileged
def test_a_plan_works_on_a_read_only_disk(tmp_path: Path) -> None:
    mount = tmp_path / "disk"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "none", str(mount)], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    try:
        shell = Shell(Folder(mount / "user"))
        shell.folder.record("a.wav")
        shell.run(code=0)
        subprocess.run(["mount", "-o", "remount,ro", str(mount)], check=True)
        assert "unchanged: 2" in shell.type("plan", "notes.toml", *shell.where(), code=0).err
        assert "2 done" in shell.type("status", *shell.where(), code=0).err
    finally:
        os.chdir("/")
        subprocess.run(["umount", str(mount)], check=True)


def test_a_price_that_nobody_knows_is_refused_in_the_plan_as_in_the_run(folder: Folder) -> None:
    folder.record("a.wav")
    folder.configure({"paid": "unknown"}, extra="[caps]\nmax_spend_usd_per_run = 1\n")
    found = jobs(plan(folder))["notes/a.wav#text"]
    assert (found.choice, found.reasons[0].code) == ("refused", "price-unknown")
    assert outcomes(folder.run())["notes/a.wav#text"].code == "price-unknown"
    assert folder.calls() == 0


def test_the_plan_names_the_cap_of_the_settings_that_stops_it_at_worst(folder: Folder) -> None:
    folder.record("a.wav")
    folder.configure({"paid": "0.5"}, extra="[caps]\nmax_spend_usd_per_run = 0.4\n")
    (manifest,) = plan(folder).manifests
    assert manifest.cap is not None
    assert manifest.cap.message == "the job may take 0.5 USD, and the cap is 0.4 USD per run"
    told = preview.plan(seat(folder), [str(folder.manifest)]).text
    assert f"at worst it stops before the end: {manifest.cap.message} [budget-spend]" in told


def test_the_plan_reckons_with_what_the_day_has_used_already(folder: Folder) -> None:
    caps = "[caps]\nmax_spend_usd_per_day = 0.7\n"
    folder.record("a.wav")
    folder.configure({"paid": "0.5"}, extra=caps)
    assert plan(folder).manifests[0].cap is None
    folder.run()
    folder.record("b.wav", 2.0)
    (manifest,) = plan(folder).manifests
    assert manifest.cap is not None
    assert "0.7 USD per day is reached: the next job may take 0.5, 0.2 are left" in manifest.cap.message
    assert outcomes(folder.run())["notes/b.wav#text"].code == "budget-spend"


def test_a_text_in_a_file_is_priced_by_its_size_and_a_refusal_of_it_says_each_reason_once(tmp_path: Path) -> None:
    job = '[[job]]\nid = "{0}"\nkind = "tts"\ninput = "{0}.txt"\nroute = "shop"\n{1}out = "{0}.wav"\n'
    asked = {"big": "", "small": "", "odd": 'voice = "nobody"\n'}
    told = [job.format(name, more) for name, more in asked.items()]
    folder = Folder(tmp_path, manifest='schema = 1\nname = "texts"\n' + "".join(told))
    folder.add_route("shop", driver="openai", base_url="http://127.0.0.1:9", key="K")
    folder.config.write_text(f'{folder.config.read_text()}prices = {{ "speak character" = 0.00001 }}\n')
    for name, size in (("big", 1_000_000), ("small", 1_000), ("odd", 1_000_000)):
        (folder.root / f"{name}.txt").write_text("word " * (size // 5))
    found = jobs(plan(folder))
    assert (found["big"].usd, found["small"].usd) == (Decimal("10"), Decimal("0.01"))
    assert [reason.code for reason in found["odd"].reasons] == ["voice-unknown"]
