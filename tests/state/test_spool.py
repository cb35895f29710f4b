"""The folders of a spool, and its lock: one run at a time."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.core.errors import ConfigError, RunBusy, StoreError
from pipeline.state.spool import Spool
from tests.disks import bound, mounted


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool.create(str(tmp_path / "spool"))


# folders


def test_a_new_spool_belongs_to_its_owner_only(spool: Spool) -> None:
    modes = {os.stat(path).st_mode & 0o777 for path in (spool.root, spool.staging, spool.assets, spool.incoming)}
    assert modes == {0o700}


def test_creating_again_keeps_what_the_owner_set_up(spool: Spool) -> None:
    os.chmod(spool.incoming, 0o770)
    Spool.create(spool.root)
    assert os.stat(spool.incoming).st_mode & 0o777 == 0o770


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
@pytest.mark.privileged
def test_root_does_not_work_in_the_spool_of_another_user_who_could_not_read_its_answers(spool: Spool) -> None:
    Path(spool.ledger_path).touch()
    os.chown(spool.ledger_path, 12345, 12345)
    with pytest.raises(ConfigError, match="belongs to user #12345") as error, spool.lock():
        pass
    assert (error.value.code, "sudo -u '#12345'" in error.value.hint) == ("spool-not-yours", True)
    os.chown(spool.ledger_path, 0, 0)
    with spool.lock():  # the refused one holds it no more
        pass
    assert not [name for name in os.listdir(spool.root) if "owner" in name]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
@pytest.mark.privileged
def test_root_leaves_nothing_in_the_spool_of_another_user_that_would_be_closed_to_its_owner(spool: Spool) -> None:
    Path(spool.ledger_path).touch()
    os.chown(spool.ledger_path, 12345, 12345)
    os.rmdir(os.path.join(spool.root, "standing"))
    left = sorted(os.listdir(spool.root))
    for enter in (lambda: Spool.create(spool.root), lambda: spool.lock().__enter__()):
        with pytest.raises(ConfigError, match="belongs to user #12345"):
            enter()
        assert sorted(os.listdir(spool.root)) == left


@pytest.mark.skipif(shutil.which("bindfs") is None or os.geteuid() != 0, reason="needs root and bindfs")
def test_a_disk_on_which_all_files_are_whoevers_mounted_it_is_no_other_users(tmp_path: Path) -> None:
    below, shown = tmp_path / "below", tmp_path / "shown"
    below.mkdir()
    shown.mkdir()
    subprocess.run(["bindfs", "--force-user=12345", below, shown], check=True)
    try:
        spool = Spool.create(str(shown))
        Path(spool.ledger_path).touch()
        with spool.lock():
            assert os.stat(spool.ledger_path).st_uid == 12345
    finally:
        subprocess.run(["umount", "-l", shown], check=True)


def test_a_spool_that_is_no_folder_is_told_as_that_whatever_its_mode(tmp_path: Path) -> None:
    (tmp_path / "file").touch(mode=0o666)
    for path in (str(tmp_path / "file"), os.devnull):
        with pytest.raises(StoreError, match="Not a directory"):
            Spool.create(path)


def test_a_world_writable_root_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(ConfigError, match="everybody may write"):
        Spool.create(str(tmp_path / "open"))


@pytest.mark.privileged
@pytest.mark.parametrize("name", ["staging", "assets", "reports", "incoming", "claimed"])
@pytest.mark.parametrize("is_link", [False, True], ids=["a mount", "a link"])
def test_a_folder_on_another_disk_is_refused_before_anything_has_to_be_moved_there(
    tmp_path: Path, spool: Spool, name: str, is_link: bool
) -> None:
    os.rmdir(f"{spool.root}/{name}")
    place = tmp_path / "elsewhere" if is_link else Path(spool.root, name)
    with mounted(place):
        if is_link:
            os.symlink(place, f"{spool.root}/{name}")
        with pytest.raises(ConfigError, match=f"{name}' lies on another disk") as error:
            Spool.create(spool.root)
    assert "one disk" in error.value.hint


@pytest.mark.privileged
def test_a_folder_that_is_another_volume_of_the_same_disk_is_refused_too(tmp_path: Path, spool: Spool) -> None:
    (tmp_path / "volume").mkdir()
    with bound(Path(spool.assets), to=tmp_path / "volume"):
        assert os.stat(spool.assets).st_dev == os.stat(spool.root).st_dev
        with pytest.raises(ConfigError, match="assets' lies under another mount") as error:
            Spool.create(spool.root)
    assert "under one mount" in error.value.hint


def test_a_folder_that_is_a_link_to_the_same_disk_is_taken(tmp_path: Path, spool: Spool) -> None:
    os.rename(spool.assets, tmp_path / "answers")
    os.symlink(tmp_path / "answers", spool.assets)
    before = sorted(os.listdir(spool.root))
    Spool.create(spool.root)
    assert sorted(os.listdir(spool.root)) == before


def test_a_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError):
        Spool.create(str(tmp_path / "file"))


def test_a_spool_reached_through_a_link_is_the_same_spool(spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(spool.root)
    assert Spool.create(str(tmp_path / "link")).root == spool.root


# the lock

HOLDER = """
import os, sys, time
from pipeline.state.spool import Spool
with Spool.create(sys.argv[1]).lock():
    if sys.argv[2] == "fork" and os.fork() == 0:
        time.sleep(60)
    if sys.argv[2] == "spawn":
        import subprocess
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    print("held", flush=True)
    time.sleep(60)
"""

Hold = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def hold(spool: Spool) -> Iterator[Hold]:
    """Starts a process that holds the lock; every process of its session is gone afterwards."""
    started: list[subprocess.Popen[str]] = []

    def start(way: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, spool.root, way], stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.real_time
def test_invariant_7_a_second_run_is_turned_away_while_the_first_holds_the_lock(spool: Spool, hold: Hold) -> None:
    process = hold("alone")
    with pytest.raises(RunBusy, match=rf"process {process.pid} since 20\d\d-") as error, spool.lock():
        pass
    assert error.value.code == "busy"


RACER = """
import sys
from pipeline.core.errors import RunBusy
from pipeline.state.spool import Spool
try:
    with Spool.create(sys.argv[1]).lock():
        print("held", flush=True)
        sys.stdin.read()
except RunBusy:
    print("busy", flush=True)
"""


@pytest.mark.real_time
def test_invariant_7_of_many_runs_started_together_exactly_one_gets_the_lock(spool: Spool) -> None:
    command = [sys.executable, "-c", RACER, spool.root]
    pipe = subprocess.PIPE
    runs = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(6)]
    said = [run.stdout.readline() for run in runs if run.stdout]
    for run in runs:
        run.communicate()  # closes its stdin, for which the winner waits
    assert sorted(said) == ["busy\n"] * 5 + ["held\n"]


@pytest.mark.real_time
def test_invariant_8_a_stopped_run_still_holds_its_lock_and_no_clock_frees_it(spool: Spool, hold: Hold) -> None:
    process = hold("alone")
    os.kill(process.pid, signal.SIGSTOP)
    os.utime(os.path.join(spool.root, "lock"), (0, 0))
    with pytest.raises(RunBusy), spool.lock():
        pass
    os.kill(process.pid, signal.SIGCONT)
    with pytest.raises(RunBusy), spool.lock():
        pass


@pytest.mark.real_time
def test_invariant_8_a_killed_run_needs_no_clean_up(spool: Spool, hold: Hold) -> None:
    process = hold("alone")
    process.kill()
    process.wait()
    with spool.lock():
        assert Path(spool.root, "lock").read_text() == f"{os.getpid()}\n"


@pytest.mark.real_time
def test_invariant_8_a_child_process_of_a_killed_run_does_not_keep_the_lock(spool: Spool, hold: Hold) -> None:
    process = hold("spawn")
    process.kill()
    process.wait()
    with spool.lock():
        pass


@pytest.mark.real_time
def test_invariant_8_a_forked_child_that_lives_on_counts_as_the_run_living_on(spool: Spool, hold: Hold) -> None:
    process = hold("fork")
    process.kill()
    process.wait()
    with pytest.raises(RunBusy), spool.lock():
        pass
    os.killpg(process.pid, signal.SIGKILL)


def test_the_lock_is_free_again_after_an_error(spool: Spool) -> None:
    with pytest.raises(ZeroDivisionError), spool.lock():
        _ = 1 // 0
    with spool.lock():
        pass
