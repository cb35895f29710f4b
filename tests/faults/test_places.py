"""Where a run has to live: odd paths, an output folder that goes away, a ledger that is cut, locked, older or newer.

Whole runs. What was paid for is never paid again, and what was made stays as it is.
"""

import itertools
import sqlite3
from pathlib import Path

import pytest

from pipeline.core.errors import LedgerError
from pipeline.rebuild import rebuild
from pipeline.state.migrations import APPLICATION_ID, STEPS
from tests.cli.conftest import seat
from tests.faults.amounts import IS_WHOLE
from tests.makers import Folder
from tests.test_crash import MANIFEST, held, make_spool, missing
from tests.test_faults import at, check_finished, code_of, whole_run

pytestmark = [pytest.mark.real_time]

CALLS = 2
ODD = {
    "spaces": "my own  recordings ",
    "emoji": "kites 🪁🎙️ – 凧",
    "200 bytes": "é" * 100,
    "quotes and a dash": '-it\'s "one" $HOME; *?[x]%',
}


@pytest.mark.parametrize("name", ODD)
def test_a_spool_and_its_outputs_work_on_an_odd_path(tmp_path: Path, name: str) -> None:
    folder = make_spool(tmp_path / ODD[name], paid=True)
    folder.record(f"{ODD[name][:60]}.wav", 1.5)
    assert whole_run(folder) == 0
    assert missing(folder) == []
    made = {path.name for path in folder.product("").iterdir()}
    assert {f"{ODD[name][:60]}.wav.text.txt", f"{ODD[name][:60]}.wav.canon.txt"} <= made
    assert whole_run(folder) == 0
    assert folder.calls() == CALLS + 1


def test_a_folder_whose_name_would_forge_lines_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    folder = make_spool(tmp_path / "two\nlines \x1b[31m", paid=True)
    assert whole_run(folder) == 3
    assert folder.calls() == 0


def test_a_note_that_cannot_be_written_under_the_lock_ends_the_run_with_74(tmp_path: Path) -> None:
    folder = make_spool(tmp_path, paid=True)
    (folder.spool / "idle.began").mkdir()
    assert code_of(lambda: whole_run(folder)) == 74
    (folder.spool / "idle.began").rmdir()
    assert whole_run(folder) == 0
    check_finished(folder)


@pytest.mark.parametrize("point", ["planned", "sending", "received", "made", "intended", "published", "settled"])
def test_an_output_folder_that_goes_away_under_the_work_loses_no_answer(tmp_path: Path, point: str) -> None:
    """Moved away as an unmounted disk would be: it is made anew, or the next run does, from answers that are there."""
    folder = make_spool(tmp_path, paid=True)
    trips = itertools.count()

    def vanish() -> None:
        if folder.product("").exists():
            folder.product("").rename(folder.root / f"gone{next(trips)}")

    at(folder, point, vanish)
    assert code_of(lambda: whole_run(folder)) in (0, 3, 73, 74)
    at(folder, "never", vanish)
    for _ in range(2):
        (folder.spool / "incoming" / "crash.toml").write_text(MANIFEST)
        code = whole_run(folder)
    assert code == 0
    assert folder.calls() == CALLS
    check_finished(folder)


@pytest.fixture
def done(tmp_path: Path) -> Folder:
    """A spool with a past: two paid calls, and the manifest dropped once more."""
    folder = make_spool(tmp_path, paid=True)
    assert whole_run(folder) == 0
    (folder.spool / "incoming/crash.toml").write_text(MANIFEST)
    return folder


def ledger_of(folder: Folder) -> Path:
    return folder.spool / "ledger.db"


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_ledger_that_was_cut_short_stops_the_run_or_is_whole_and_never_pays_again(done: Folder, share: float) -> None:
    whole = ledger_of(done).read_bytes()
    ledger_of(done).write_bytes(whole[: int(len(whole) * share)])
    assert code_of(lambda: whole_run(done)) == 74
    assert done.calls() == CALLS
    ledger_of(done).write_bytes(whole)
    assert whole_run(done) == 0
    assert done.calls() == CALLS
    check_finished(done)


def test_a_spool_whose_ledger_is_gone_pays_for_nothing_again_and_says_what_to_do(done: Folder) -> None:
    ledger_of(done).unlink()
    for path in done.product("").iterdir():
        path.unlink()
    with pytest.raises(LedgerError, match="gone") as error:
        whole_run(done)
    assert "mediaspool rebuild" in error.value.hint
    assert (done.calls(), ledger_of(done).exists()) == (CALLS, False)
    rebuild(seat(done), (str(done.root),))
    assert whole_run(done) == 0
    assert done.calls() == CALLS


@pytest.mark.skipif(not IS_WHOLE, reason="waits half a minute for the lock; only by: make faults")
def test_a_ledger_that_another_program_locks_stops_the_run_with_74_and_costs_nothing(done: Folder) -> None:
    other = sqlite3.connect(ledger_of(done), isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert code_of(lambda: whole_run(done)) == 74
    other.execute("ROLLBACK")
    other.close()
    assert whole_run(done) == 0
    assert done.calls() == CALLS


def test_a_ledger_of_a_newer_program_is_left_alone(done: Folder) -> None:
    with sqlite3.connect(ledger_of(done)) as raw:
        raw.execute(f"PRAGMA user_version = {len(STEPS) + 1}")
    raw.close()
    before = ledger_of(done).read_bytes()
    assert code_of(lambda: whole_run(done)) == 78
    assert ledger_of(done).read_bytes() == before
    assert done.calls() == CALLS


@pytest.mark.parametrize("version", range(1, len(STEPS)))
def test_a_ledger_of_any_older_program_is_copied_migrated_and_worked_with(tmp_path: Path, version: int) -> None:
    folder = make_spool(tmp_path, paid=True)
    raw = sqlite3.connect(ledger_of(folder), isolation_level=None)
    for statement in itertools.chain.from_iterable(STEPS[:version]):
        raw.execute(statement)
    raw.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    raw.execute(f"PRAGMA user_version = {version}")
    raw.close()
    assert whole_run(folder) == 0
    assert (folder.spool / f"ledger.db.v{version}.bak").exists()
    assert held(folder) == 0
    assert folder.calls() == CALLS
    check_finished(folder)
