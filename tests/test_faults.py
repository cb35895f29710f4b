"""The machine fails in the middle of a run: no space, no writing, no folder. Invariants 17 and 19 for a whole run.

Always: the exit code that was published, nothing half-written under a final name, and a next run that finishes.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.core.errors import MediaspoolError
from pipeline.core.model import RunId
from pipeline.report import exit_code
from pipeline.runtime import utc_now
from pipeline.state.ledger import Ledger
from tests.crash_support import run_child, strays
from tests.disks import Disk, mounted
from tests.makers import Folder, verdicts
from tests.test_crash import held, make_deferred_spool, make_spool, missing

pytestmark = [pytest.mark.real_time]

POINTS = [
    *("claimed", "recovered", "planned", "opened", "sending", "first-bytes", "staged", "received", "adopted", "stored"),
    *("made", "intended", "published", "settled", "ran"),
]
PRODUCTS = {"a.wav.text.txt": b"one two three\n", "a.wav.canon.txt": b"one two three\n"}


def code_of(run: Callable[[], int]) -> int:
    """The exit code, as the program would tell it."""
    try:
        return run()
    except MediaspoolError as error:
        return exit_code(outcomes=(), errors=[error])


def whole_run(folder: Folder) -> int:
    return folder.run_spool().whole.exit_code


def at(folder: Folder, point: str, act: Callable[[], object]) -> None:
    def reached(name: str) -> None:
        if name == point:
            act()

    folder.reached = reached


def check_whole(folder: Folder) -> None:
    """What has a final name is whole; nothing else is in the output folder."""
    out = folder.product("")
    for path in out.iterdir() if out.exists() else ():
        assert not path.name.startswith(".")
        if path.name in PRODUCTS:
            assert path.read_bytes() == PRODUCTS[path.name]
        assert path.stat().st_size > 0


def check_finished(folder: Folder) -> None:
    for name, body in PRODUCTS.items():
        assert folder.product(name).read_bytes() == body
    assert folder.product("hello.wav").read_bytes()[:4] == b"RIFF"
    assert strays(folder) == []
    ledger = Ledger.open(str(folder.spool / "ledger.db"), run=RunId("look"), clock=utc_now)
    assert ledger.check() is None
    assert ledger.open_attempts() == []
    ledger.close()


def spoil(folder: Folder) -> None:
    for payload in (folder.spool / "staging").glob("*.payload"):
        payload.write_bytes(b"rot" + payload.read_bytes()[3:])


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with mounted(tmp_path / "disk") as made:
        yield made


@pytest.mark.privileged
@pytest.mark.parametrize("paid", [False, True], ids=["free", "paid"])
@pytest.mark.parametrize("point", POINTS)
def test_invariant_17_a_disk_that_is_full_from_any_point_on_ends_the_run_with_74_and_the_next_finishes(
    disk: Disk, point: str, paid: bool
) -> None:
    folder = make_spool(disk.folder / "user", paid=paid)
    at(folder, point, disk.fill)
    assert code_of(lambda: whole_run(folder)) == 74
    check_whole(folder)
    disk.empty()
    at(folder, "never", disk.empty)
    code = whole_run(folder)
    if paid:
        assert folder.calls() <= 2
        assert bool(missing(folder)) == bool(held(folder))
    if not held(folder):
        assert code == 0
        check_finished(folder)


@pytest.mark.privileged
@pytest.mark.parametrize("files", [24, 30, 34, 40, 60])
def test_invariant_17_a_disk_that_takes_few_further_files_costs_nothing_until_it_takes_more(
    disk: Disk, files: int
) -> None:
    folder = make_spool(disk.folder / "user", paid=True)
    disk.take_files(files)
    for _ in range(2):
        assert code_of(lambda: whole_run(folder)) == 74
    assert (folder.calls(), held(folder) if files > 30 else 0) == (0, 0)
    disk.take_files(10_000)
    assert whole_run(folder) == 0
    assert folder.calls() == 2
    check_finished(folder)


@pytest.mark.parametrize("point", ["planned", "sending", "received", "made", "published", "ran"])
def test_invariant_17_a_process_that_can_write_no_further_byte_ends_with_74_and_the_next_finishes(
    tmp_path: Path, point: str
) -> None:
    """The same without being root: the kernel refuses every write from the point on."""
    folder = make_spool(tmp_path, paid=False)
    ended = run_child(folder, f"full:{point}")
    assert ended.returncode == 74, ended.stderr
    check_whole(folder)
    assert whole_run(folder) == 0
    check_finished(folder)


@pytest.mark.privileged
def test_invariant_19_a_read_only_output_ends_the_run_with_73_and_the_next_finishes_without_a_call(
    tmp_path: Path,
) -> None:
    folder = make_spool(tmp_path, paid=False)
    with mounted(folder.product("")) as disk:
        disk.read_only(True)
        assert code_of(lambda: whole_run(folder)) == 73
        assert folder.calls() <= 2
        disk.read_only(False)
        sent = folder.calls()
        assert whole_run(folder) == 0
        check_finished(folder)
        assert folder.calls() == max(sent, 2)


@pytest.mark.privileged
@pytest.mark.parametrize("point", ["made", "intended"])
def test_invariant_19_an_output_that_becomes_read_only_under_the_work_is_73_too(tmp_path: Path, point: str) -> None:
    folder = make_spool(tmp_path, paid=False)
    with mounted(folder.product("")) as disk:
        at(folder, point, lambda: disk.read_only(True))
        assert code_of(lambda: whole_run(folder)) == 73
        check_whole(folder)
        disk.read_only(False)
        at(folder, "never", disk.empty)
        assert whole_run(folder) == 0
        check_finished(folder)
        assert folder.calls() == 2


@pytest.mark.privileged
def test_invariant_19_a_read_only_spool_does_nothing_and_says_so(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk") as disk:
        folder = make_spool(disk.folder / "user", paid=False)
        disk.read_only(True)
        assert code_of(lambda: whole_run(folder)) in (73, 74)
        disk.read_only(False)
        assert folder.calls() == 0
        assert whole_run(folder) == 0
        check_finished(folder)


def test_an_output_folder_that_is_a_file_is_the_fault_of_that_job_only(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.record("a.wav")
    folder.product("").touch()
    assert set(verdicts(folder.run()).values()) <= {"refused", "blocked"}
    folder.product("").unlink()
    assert set(verdicts(folder.run()).values()) == {"done"}


def test_invariant_4_an_answer_that_was_spoiled_on_the_disk_meanwhile_does_not_stop_every_later_run(
    tmp_path: Path,
) -> None:
    folder = make_spool(tmp_path, paid=False)
    run_child(folder, "point:received")
    spoil(folder)
    assert whole_run(folder) == 0
    check_finished(folder)


def test_invariant_4_an_answer_behind_a_ticket_that_was_spoiled_on_the_disk_is_fetched_once_more(
    tmp_path: Path,
) -> None:
    folder = make_deferred_spool(tmp_path)
    run_child(folder, "point:received")
    spoil(folder)
    assert whole_run(folder) == 0
    assert (folder.calls(), held(folder)) == (2, 0)
    check_finished(folder)


def test_invariant_4_a_paid_answer_that_was_spoiled_on_the_disk_is_held_not_paid_again(tmp_path: Path) -> None:
    folder = make_spool(tmp_path, paid=True)
    run_child(folder, "point:received")
    spoil(folder)
    assert whole_run(folder) == 3
    assert folder.calls() <= 2
    assert held(folder)
