"""How the ledger's file is opened: durable, checked, migrated forward, and refused where it could not be sound."""

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.core.errors import LedgerError, StoreError
from pipeline.core.model import CallKey
from pipeline.state import statements
from pipeline.state.database import Database, shared_disk_problem
from pipeline.state.ledger_rows import FileFacts
from pipeline.state.linux import SHARED_FILE_SYSTEMS, file_system_magic
from pipeline.state.migrations import STEPS, migrate, version_of
from tests.state.conftest import Make
from tests.tracer import Fault, Tracer


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / "ledger.db")


@pytest.fixture
def raw(file: str) -> Iterator[sqlite3.Connection]:
    """A ledger file seen by plain sqlite3."""
    Database.open(file).close()
    connection = sqlite3.connect(file, isolation_level=None)
    yield connection
    connection.close()


def test_every_connection_is_wal_and_synchronous_full(file: str) -> None:
    for _ in range(2):
        database = Database.open(file)
        assert database.one(str, "PRAGMA journal_mode") == "wal"
        assert database.one(int, "PRAGMA synchronous") == 2
        database.close()


def test_the_ledger_and_its_log_are_readable_by_their_owner_only(file: str) -> None:
    database = Database.open(file)
    modes = {os.stat(path).st_mode & 0o777 for path in (file, f"{file}-wal", f"{file}-shm")}
    database.close()
    assert modes == {0o600}


@pytest.mark.parametrize(
    "statement",
    [
        statements.ATTEMPTS_OF_RUN,
        statements.OPEN_ATTEMPTS,
        statements.SUBMITTED_ATTEMPTS,
        statements.SUBMITTED_ATTEMPT_OF,
        statements.HELD_ATTEMPTS,
        statements.HELD_ATTEMPTS_OF,
        statements.REPEATS,
        statements.CALL_KNOWN,
        statements.UNPRICED,
    ],
)
def test_what_every_run_asks_does_not_read_the_attempts_of_all_runs(raw: sqlite3.Connection, statement: str) -> None:
    values = [""] * statement.count("?")
    plan = raw.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
    assert plan
    assert all("USING" in step and "INDEX attempts_" in step for *_, step in plan if "attempts" in step), plan


def test_a_newer_ledger_is_refused_and_left_as_it_is(file: str, raw: sqlite3.Connection) -> None:
    raw.execute(f"PRAGMA user_version = {len(STEPS) + 1}")
    for opening in (Database.open, Database.view):
        with pytest.raises(LedgerError, match="version") as error:
            opening(file)
        assert error.value.code == "ledger-newer"
    assert raw.execute("PRAGMA user_version").fetchone() == (len(STEPS) + 1,)


def test_the_database_of_another_program_is_refused(file: str) -> None:
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE bookmarks (url)")
    connection.close()
    with pytest.raises(LedgerError, match="another program"):
        Database.open(file)


def test_a_file_that_is_no_database_is_refused(file: str) -> None:
    Path(file).write_bytes(b"no database " * 1000)
    with pytest.raises(LedgerError, match="not a database"):
        Database.open(file)


NEXT_STEP = (*STEPS, ("ALTER TABLE runs ADD COLUMN note TEXT",))
BROKEN_STEP = (*STEPS, ("CREATE TABLE extra (a)", "CREATE TABLE extra (a)"))


def test_an_older_ledger_is_migrated_after_a_copy_was_made(file: str, raw: sqlite3.Connection) -> None:
    raw.execute("INSERT INTO meta VALUES ('mark', 'here')")
    migrate(raw, file, NEXT_STEP)
    copy = sqlite3.connect(f"{file}.v{len(STEPS)}.bak")
    assert version_of(raw) == len(NEXT_STEP)
    assert raw.execute("SELECT note FROM runs").fetchall() == []
    assert version_of(copy) == len(STEPS)
    assert copy.execute("SELECT value FROM meta WHERE name = 'mark'").fetchone() == ("here",)
    copy.close()


def test_a_migration_that_fails_changes_nothing(file: str, raw: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.OperationalError):
        migrate(raw, file, BROKEN_STEP)
    assert version_of(raw) == len(STEPS)
    assert raw.execute("SELECT count(*) FROM sqlite_master WHERE name = 'extra'").fetchone() == (0,)


def test_a_current_ledger_is_not_copied(file: str, raw: sqlite3.Connection) -> None:
    migrate(raw, file)
    assert not os.path.exists(f"{file}.v{len(STEPS)}.bak")


def test_an_unclean_end_is_noticed_and_a_clean_one_remembered(file: str, raw: sqlite3.Connection) -> None:
    flag = "SELECT value FROM meta WHERE name = 'clean'"
    assert raw.execute(flag).fetchone() == ("1",)
    database = Database.open(file)
    assert raw.execute(flag).fetchone() == ("0",)
    database.close()
    assert raw.execute(flag).fetchone() == ("1",)


def _damage(file: str) -> None:
    """Overwrite a page in the middle; the header and the schema stay readable."""
    with open(file, "r+b") as body:
        size = body.seek(0, os.SEEK_END)
        body.seek(size // 2 // 4096 * 4096)
        body.write(b"\xee" * 4096)


def test_damage_is_found_after_an_unclean_end(file: str, raw: sqlite3.Connection) -> None:
    raw.execute("UPDATE meta SET value = '0' WHERE name = 'clean'")
    raw.executemany("INSERT INTO receipts VALUES (?, 'a', x'', randomblob(3000), '')", [(str(n),) for n in range(50)])
    raw.close()
    _damage(file)
    with pytest.raises(LedgerError, match=r"damaged|malformed") as error:
        Database.open(file)
    assert "receipts lie beside the products" in error.value.hint


@pytest.mark.parametrize("magic", sorted(SHARED_FILE_SYSTEMS))
def test_network_and_fuse_file_systems_are_refused(magic: int) -> None:
    problem = shared_disk_problem(magic)
    assert problem is not None
    assert SHARED_FILE_SYSTEMS[magic] in problem


def test_a_local_disk_is_accepted(tmp_path: Path) -> None:
    assert shared_disk_problem(file_system_magic(str(tmp_path))) is None


def test_proc_is_told_by_its_magic_number() -> None:
    assert file_system_magic("/proc") == 0x9FA0


def test_a_folder_that_is_missing_is_named_as_the_reason(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="No such file"):
        Database.open(str(tmp_path / "none" / "ledger.db"))


def test_a_view_changes_no_byte_and_makes_no_file(file: str, tmp_path: Path, raw: sqlite3.Connection) -> None:
    raw.close()
    before = Path(file).read_bytes()
    view = Database.view(file)
    with pytest.raises(LedgerError, match="readonly"):
        view.change("DELETE FROM runs")
    view.close()
    assert Path(file).read_bytes() == before


def test_a_view_of_nothing_is_empty_and_stays_nothing(tmp_path: Path, make: Make) -> None:
    view = make.view(tmp_path)
    assert view.counts() == {}
    assert view.open_attempts() == []
    view.close()
    assert os.listdir(tmp_path) == []


def test_a_view_beside_a_running_writer_sees_what_it_committed(tmp_path: Path, make: Make) -> None:
    ledger = make.ledger(tmp_path)
    make.stored(ledger, "k")
    view = make.view(tmp_path)
    assert view.call_receipt(CallKey("k")) is not None
    make.settle(ledger, "p", None, "failed")
    assert view.counts() == {"failed": 1}
    view.close()
    ledger.close()


def test_a_view_remembers_no_hash_and_raises_nothing(tmp_path: Path, make: Make) -> None:
    view, stat = make.view(tmp_path), tmp_path.stat()
    facts = FileFacts(sha256=make.sha(b""), size=stat.st_size, media=None, seconds=None, tracks=())
    view.remember_file("/a", stat, facts)
    assert view.known_file("/a", stat) is None
    view.close()


def test_a_view_of_an_older_ledger_reads_a_migrated_copy(file: str) -> None:
    Path(file).touch()
    view = Database.view(file)
    assert view.one(int, "SELECT count(*) FROM jobs") == 0
    view.close()
    assert os.path.getsize(file) == 0


def test_a_ledger_locked_by_another_program_says_so(file: str, raw: sqlite3.Connection) -> None:
    raw.execute("BEGIN EXCLUSIVE")
    code = "import sys; from pipeline.state import database as d; d.BUSY_TIMEOUT_MS = 1; d.Database.open(sys.argv[1])"
    ran = subprocess.run([sys.executable, "-c", code, file], capture_output=True, text=True, check=False)
    assert "database is locked" in ran.stderr
    assert "LedgerError" in ran.stderr


def _store_calls(folder: Path, make: Make) -> int:
    """Work for a child: three calls from opened to stored. 0 done, 11 disk full, 12 another ledger error."""
    try:
        ledger = make.ledger(folder)
        for key in ("a", "b", "c"):
            make.stored(ledger, key)
        ledger.close()
    except StoreError as error:
        return 11 if error.code == "disk-full" else 13
    except LedgerError:
        return 12
    return 0


def test_invariant_17_a_full_disk_under_the_ledger_is_said_so_and_it_stays_sound(
    tmp_path: Path, make: Make, tracer: Tracer, figure: Callable[[str], None]
) -> None:
    codes, nth = [], 1
    while True:
        folder = tmp_path / str(nth)
        folder.mkdir()
        fault = Fault(call="pwrite64", nth=nth, error=errno.ENOSPC)
        ended = tracer.run(lambda folder=folder: _store_calls(folder, make), fault=fault)  # type: ignore[misc]  # bound
        if ended.fault_at is None:
            break
        codes.append(ended.code)
        assert _store_calls(folder, make) == 0
        shutil.rmtree(folder)
        nth += 3  # every third keeps this under ten seconds
    figure(
        f"invariant 17: ENOSPC at {len(codes)} of the writes of the ledger: {len(codes)}/{len(codes)} sound afterwards"
    )
    assert len(codes) > 20
    assert set(codes) <= {0, 11}
    assert codes.count(11) > len(codes) // 2


def test_invariant_8_a_ledger_killed_at_any_system_call_is_sound_and_keeps_what_was_stored(
    tmp_path: Path, make: Make, tracer: Tracer, figure: Callable[[str], None]
) -> None:
    def work(folder: Path) -> int:
        ledger = make.ledger(folder)
        make.stored(ledger, "first")
        (folder / "acknowledged").touch()
        make.stored(ledger, "second")
        return 0

    (tmp_path / "count").mkdir()
    points = tracer.points(lambda: work(tmp_path / "count"))[::3]  # every third keeps this under ten seconds
    for stop in points:
        folder = tmp_path / str(stop)
        folder.mkdir()
        tracer.run(lambda folder=folder: work(folder), kill_at=stop)  # type: ignore[misc]  # bound now
        ledger = make.ledger(folder, run="run-2")
        was_promised = (folder / "acknowledged").exists()
        assert ledger.call_receipt(CallKey("first")) is not None or not was_promised
        for row in ledger.open_attempts():
            ledger.adopt_attempt(row.id)
        ledger.close()
        shutil.rmtree(folder)
    figure(
        f"invariant 8: SIGKILL at {len(points)} of the system calls of the ledger: {len(points)}/{len(points)} sound"
    )
    assert len(points) > 50
