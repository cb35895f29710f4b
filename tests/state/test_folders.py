"""Output folders whose maker died before their names were durable."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.core.errors import InputError, StoreError
from pipeline.state.durable import may_write, place
from pipeline.state.folders import OutputFolders, make_beside
from pipeline.state.roots import Roots
from pipeline.state.spool import Spool
from tests.tracer import Fault, Tracer

pytestmark = pytest.mark.real_time


def tried(work: Callable[[], object]) -> int:
    """The work of a traced child: 0 unless a sync failed."""
    try:
        work()
    except StoreError:
        return 1
    return 0


def hold(root: Path, *names: str) -> None:
    folders, roots = OutputFolders(), Roots([str(root)])
    for name in names:
        with folders.held(roots, str(root / name)):
            pass


@pytest.mark.parametrize("nth", [1, 2])
def test_a_folder_that_a_killed_run_made_has_a_durable_name_before_a_file_is_put_into_it(
    tmp_path: Path, tracer: Tracer, nth: int
) -> None:
    (tmp_path / "may" / "monday").mkdir(parents=True)
    fault = Fault(call="fsync", nth=nth, error=errno.EIO, below=str(tmp_path))
    assert tracer.run(lambda: tried(lambda: hold(tmp_path, "may/monday")), fault=fault).code == 1


def test_a_run_makes_the_names_in_one_folder_durable_once(tmp_path: Path, tracer: Tracer) -> None:
    for name in ("april", "may"):
        (tmp_path / name).mkdir()
    work = lambda: tried(lambda: hold(tmp_path, "april", "may", "april"))  # noqa: E731
    ended = tracer.run(work, only=frozenset({"fsync"}))
    assert (ended.code, ended.count) == (0, 1)


def test_a_new_folder_is_made_durable_whatever_the_run_has_seen_beside_it(tmp_path: Path, tracer: Tracer) -> None:
    (tmp_path / "april").mkdir()
    fault = Fault(call="fsync", nth=2, error=errno.EIO, below=str(tmp_path))
    assert tracer.run(lambda: tried(lambda: hold(tmp_path, "april", "may")), fault=fault).code == 1


@pytest.mark.parametrize("is_there", [False, True])
def test_a_spool_without_a_ledger_has_a_durable_name(tmp_path: Path, tracer: Tracer, *, is_there: bool) -> None:
    spool = tmp_path / "spool"
    if is_there:
        spool.mkdir(mode=0o700)
    fault = Fault(call="fsync", nth=1, error=errno.EIO, below=str(tmp_path))
    assert tracer.run(lambda: tried(lambda: Spool.create(str(spool))), fault=fault).code == 1


def test_a_spool_below_a_folder_that_knows_no_sync_or_may_not_be_read_is_made_as_before(
    tmp_path: Path, tracer: Tracer
) -> None:
    fault = Fault(call="fsync", nth=1, error=errno.EINVAL, below=str(tmp_path))
    assert tracer.run(lambda: tried(lambda: Spool.create(str(tmp_path / "spool"))), fault=fault).code == 0


@pytest.mark.parametrize("says", [errno.EINVAL, errno.ENOENT])
def test_a_folder_whose_name_a_disk_does_not_take_is_the_jobs_trouble_and_not_the_disks(
    tmp_path: Path, tracer: Tracer, says: int
) -> None:
    def work() -> int:
        try:
            hold(tmp_path, "a:b")
        except InputError as error:
            return 7 if error.code == "path-unsafe" else 8
        return 9

    assert tracer.run(work, fault=Fault(call="mkdirat", nth=1, error=says)).code == 7


def test_a_folder_that_is_taken_away_under_the_hand_is_not_one_of_a_bad_name(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    here = os.open(tmp_path / "gone", os.O_PATH)
    (tmp_path / "gone").rmdir()
    with pytest.raises(FileNotFoundError):
        make_beside(here, "b")
    with pytest.raises(FileNotFoundError):
        place(f"/proc/self/fd/{here}/.part", f"/proc/self/fd/{here}/b")
    os.close(here)


def test_a_folder_is_open_also_where_a_container_filter_knows_no_new_system_calls(
    tmp_path: Path, tracer: Tracer
) -> None:
    fault = Fault(call="faccessat2", nth=1, error=errno.EPERM)
    assert tracer.run(lambda: int(may_write(str(tmp_path))), fault=fault).code == 1
