"""`clean` deletes only when told, only what is ours, and only what is old."""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from pipeline import retention
from pipeline.core.errors import ConfigError, RunBusy, StoreError
from pipeline.retention import DAY_S, Cleaned
from pipeline.state.spool import Spool
from tests.cli.conftest import locked, seat
from tests.disks import Disk, mounted
from tests.makers import FAR_FUTURE, Folder, verdicts
from tests.test_hands import meanwhile

pytestmark = pytest.mark.real_time
HASH = "ab" * 32


@pytest.fixture
def used(folder: Folder) -> Folder:
    """After a run, with something of every kind that may go. By the clock of these tests all of it is very old."""
    folder.record("a.wav")
    folder.run()
    for name in ("quarantine/payload", "done/old.toml", "done/old.toml.report.json", "reports/x.report.json"):
        (folder.spool / name).write_text("old")
    (folder.spool / "assets" / "ab").mkdir(exist_ok=True)
    (folder.spool / "assets" / "ab" / f"{HASH}.wav").write_text("nobody has a receipt for this")
    return folder


def clean(folder: Folder, *, is_real: bool = False, asset_days: float | None = None) -> Cleaned:
    answer = retention.clean(seat(folder), is_real=is_real, asset_days=asset_days)
    assert isinstance(answer.record, Cleaned)
    return answer.record


def names(made: Cleaned) -> set[str]:
    return {name for sweep in made.sweeps for name in sweep.files}


def files(folder: Folder) -> set[str]:
    """All but what SQLite and the lock keep for themselves."""
    own = ("-wal", "-shm", "lock", "idle.json", "idle.began")
    found = [path for path in folder.root.rglob("*") if path.is_file() and not path.name.endswith(own)]
    return {str(path.relative_to(folder.root)) for path in found}


def test_the_index_leads_to_no_page_that_was_cleaned(used: Folder) -> None:
    index = used.spool / "reports" / "index.html"
    assert ".report.html" in index.read_text()
    clean(used, is_real=True)
    assert ".report.html" not in index.read_text()
    assert "There is no page yet." in index.read_text()
    assert list((used.spool / "reports").iterdir()) == [index]


def test_a_look_deletes_nothing(used: Folder) -> None:
    before = files(used)
    made = clean(used)
    assert {"quarantine/payload", "done/old.toml", f"assets/ab/{HASH}.wav"} <= names(made)
    assert files(used) == before


def test_what_was_shown_goes_and_nothing_else(used: Folder) -> None:
    before, shown = files(used), {f"spool/{name}" for name in names(clean(used))}
    clean(used, is_real=True)
    assert before - files(used) == shown
    assert used.product("a.wav.text.txt").exists()


def test_work_after_a_cleaning_is_unchanged(used: Folder) -> None:
    clean(used, is_real=True)
    assert set(verdicts(used.run()).values()) == {"unchanged"}
    assert used.calls() == 1


def test_what_is_young_stays(used: Folder) -> None:
    newest = max(path.stat().st_ctime for path in used.spool.rglob("*"))
    world = msgspec.structs.replace(used.world(), now=lambda: newest + DAY_S)
    answer = retention.clean(seat(used, world=world), is_real=True)
    assert isinstance(answer.record, Cleaned)
    assert answer.record.files == 0


def test_assets_with_a_receipt_go_only_when_asked_for(used: Folder) -> None:
    (asset,) = (path for path in (used.spool / "assets").rglob("*.json"))
    clean(used, is_real=True)
    assert asset.exists()
    clean(used, is_real=True, asset_days=90)
    assert not asset.exists()
    assert set(verdicts(used.run()).values()) == {"unchanged"}


def test_an_answer_that_a_job_still_waits_for_is_no_answer_of_a_finished_one(folder: Folder) -> None:
    folder.record("a.wav")
    folder.product("").mkdir()
    theirs = folder.product("a.wav.text.txt")
    meanwhile(folder, "made", lambda: theirs.write_text("mine"))
    assert verdicts(folder.run())["notes/a.wav#text"] == "refused"
    (asset,) = (folder.spool / "assets").rglob("*.json")
    clean(folder, is_real=True, asset_days=90)
    assert asset.exists()
    theirs.unlink()
    assert set(verdicts(folder.run()).values()) == {"done"}
    assert folder.calls() == 1
    clean(folder, is_real=True, asset_days=90)
    assert not asset.exists()


@pytest.mark.parametrize(("asset_days", "ends"), [(None, ""), (0.0, " --assets-days 0"), (90.0, " --assets-days 90")])
def test_the_command_that_deletes_asks_for_what_was_shown(used: Folder, asset_days: float | None, ends: str) -> None:
    text = retention.clean(seat(used), is_real=False, asset_days=asset_days).text
    assert text.endswith(f"clean --yes --spool {used.spool} --config {used.config}{ends}\n")


def test_what_is_not_ours_stays(used: Folder) -> None:
    precious = used.root / "precious"
    precious.write_text("mine")
    (used.spool / "reports" / "link.report.json").symlink_to(precious)
    (used.spool / "debug" / "notes of mine.txt").write_text("mine")
    (used.spool / "assets" / "ab" / "diary.txt").write_text("mine")
    (used.spool / "quarantine" / "folder").mkdir()
    clean(used, is_real=True)
    assert precious.exists()
    assert (used.spool / "reports" / "link.report.json").is_symlink()
    assert (used.spool / "debug" / "notes of mine.txt").exists()
    assert (used.spool / "assets" / "ab" / "diary.txt").exists()
    assert (used.spool / "quarantine" / "folder").is_dir()


def test_a_link_in_the_place_of_a_folder_is_not_followed(used: Folder, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("mine")
    os.rename(used.spool / "quarantine", tmp_path / "moved")
    (used.spool / "quarantine").symlink_to(elsewhere)
    clean(used, is_real=True)
    assert (elsewhere / "precious").exists()


def test_failed_manifests_wait_for_somebody(used: Folder) -> None:
    (used.spool / "failed" / "sad.toml").write_text("schema = 1")
    clean(used, is_real=True)
    assert (used.spool / "failed" / "sad.toml").exists()


def test_deleting_needs_the_lock_and_looking_does_not(used: Folder) -> None:
    with locked(used.spool):
        clean(used)
        with pytest.raises(RunBusy):
            clean(used, is_real=True)


def test_cleaning_where_no_spool_is_makes_none(folder: Folder) -> None:
    assert clean(folder, is_real=True).files == 0
    assert not folder.spool.exists()


@pytest.mark.parametrize("is_real", [False, True])
def test_in_a_spool_that_had_no_run_yet_there_is_nothing_to_clean(folder: Folder, *, is_real: bool) -> None:
    Spool.create(str(folder.spool))
    (folder.spool / "incoming" / "notes.toml").write_text("schema = 1")
    before = files(folder)
    assert clean(folder, is_real=is_real).files == 0
    assert files(folder) == before


@pytest.mark.parametrize("is_real", [False, True])
def test_a_folder_that_is_no_spool_is_never_cleaned(folder: Folder, *, is_real: bool) -> None:
    """A wrong word behind --spool: `done/` is a name that others give to folders too."""
    (folder.spool / "done").mkdir(parents=True)
    (folder.spool / "done" / "tax.pdf").write_text("precious")
    before = files(folder)
    with pytest.raises(ConfigError, match="no spool"):
        clean(folder, is_real=is_real)
    assert files(folder) == before


@pytest.mark.parametrize("left", [None, b""], ids=["gone", "empty"])
def test_the_answers_of_a_spool_that_lost_its_ledger_are_never_cleaned(used: Folder, left: bytes | None) -> None:
    """Nobody knows which of them are in use, and they are what a new ledger is made of."""
    for path in used.spool.glob("ledger.db*"):
        path.unlink()
    if left is not None:
        (used.spool / "ledger.db").write_bytes(left)
    before = files(used)
    with pytest.raises(ConfigError) as refused:
        clean(used, is_real=True)
    assert "mediaspool rebuild" in refused.value.hint
    assert files(used) == before


def test_these_tests_look_from_far_enough() -> None:
    assert FAR_FUTURE > 60 * 365 * DAY_S


@pytest.fixture
def small(tmp_path: Path) -> Iterator[tuple[Disk, Folder]]:
    with mounted(tmp_path / "small") as disk:
        folder = Folder(disk.folder)
        folder.record("a.wav")
        folder.run()
        yield disk, folder


@pytest.mark.privileged
def test_on_a_full_disk_what_may_go_is_shown_and_deleted(small: tuple[Disk, Folder]) -> None:
    """It is what somebody with a full disk is told to type."""
    disk, folder = small
    disk.fill()
    shown = names(clean(folder))
    assert {name.partition("/")[0] for name in shown} >= {"reports"}
    assert names(clean(folder, is_real=True)) == shown
    assert not any((folder.spool / name).exists() for name in shown)


@pytest.mark.privileged
def test_on_a_full_disk_nothing_goes_by_a_ledger_whose_newest_entries_cannot_be_read(
    small: tuple[Disk, Folder],
) -> None:
    disk, folder = small
    Path(f"{folder.spool}/ledger.db-wal").write_bytes(b"of a run that was killed")
    disk.fill()
    with pytest.raises(StoreError, match="no space left for the ledger"):
        clean(folder, is_real=True)
    assert list((folder.spool / "reports").iterdir())
