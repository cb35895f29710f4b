"""The spool: one run at a time, and a dropped manifest that is in exactly one folder whatever happens."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.core.errors import ConfigError, RunBusy, StoreError
from pipeline.state.drops import is_ignored, is_manifest_name, stood_still
from pipeline.state.spool import MAX_NAME_BYTES, MAX_REPORTS, Claim, Spool
from tests.tracer import Tracer

LATER = 4e9
"""A time by which everything has settled."""


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool.create(str(tmp_path / "spool"))


def drop(spool: Spool, name: str, body: str = "schema = 1") -> Path:
    path = Path(spool.incoming, name)
    path.write_text(body)
    return path


def claim(spool: Spool) -> list[Claim]:
    return spool.claim_incoming(2.0, LATER)


def names(spool: Spool, folder: str) -> list[str]:
    return sorted(os.listdir(os.path.join(spool.root, folder)))


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


# what counts as dropped


@pytest.mark.parametrize(
    "name",
    [
        ".a.toml",
        "a.toml.part",
        "a.json.tmp",
        "a.crdownload",
        "~syncthing~a.toml",
        "@eaDir",
        "a.receipt.json",
    ],
)
def test_unfinished_hidden_and_generated_names_are_ignored(name: str) -> None:
    assert is_ignored(name)
    assert not is_manifest_name(name)


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("a.toml", True), ("A.JSON", True), ("a.jsonl", True), ("a.wav", False), ("a.report.json", False)],
)
def test_a_manifest_is_known_by_its_extension(name: str, is_one: bool) -> None:
    assert is_manifest_name(name) is is_one


@pytest.mark.parametrize(
    ("mtime", "ctime", "is_still"),
    [
        pytest.param(90, 90, True, id="rested"),
        pytest.param(90, 99, False, id="just changed"),
        pytest.param(99, 90, False, id="just written"),
        pytest.param(99, 99, False, id="both"),
        pytest.param(500, 90, True, id="mtime from a fast clock"),
        pytest.param(90, 500, False, id="clock was set back"),
        pytest.param(90, 90_000, True, id="clock was set back by more than a day"),
        pytest.param(90_000, 90_000, True, id="written before the clock was set back by more than a day"),
    ],
)
def test_a_file_has_settled_when_nothing_touched_it_for_a_while(mtime: int, ctime: int, is_still: bool) -> None:
    found = os.stat_result((0o100644, 1, 1, 1, 0, 0, 1, 0, mtime, ctime))
    assert stood_still(found, now=100.0, settle_s=2.0) is is_still


# claiming


def test_a_settled_manifest_is_claimed_with_the_folder_it_was_found_in(spool: Spool) -> None:
    drop(spool, "notes.toml")
    (found,) = claim(spool)
    assert (found.name, found.base, found.origin) == ("notes.toml", spool.incoming, "incoming")
    assert Path(found.path).read_text() == "schema = 1"
    assert names(spool, "incoming") == []


def test_an_unsettled_manifest_is_left_alone(spool: Spool) -> None:
    path = drop(spool, "notes.toml")
    assert spool.claim_incoming(2.0, path.stat().st_ctime + 1) == []
    assert names(spool, "incoming") == ["notes.toml"]


def test_inputs_and_folders_beside_a_manifest_stay_where_they_are(spool: Spool) -> None:
    for name in ("a.wav", "notes.txt", ".hidden.toml"):
        drop(spool, name)
    Path(spool.incoming, "folder.toml").mkdir()
    assert claim(spool) == []
    assert names(spool, "incoming") == [".hidden.toml", "a.wav", "folder.toml", "notes.txt"]


def test_claims_come_oldest_first(spool: Spool) -> None:
    for age, name in enumerate(["c.toml", "a.toml", "b.toml"]):
        os.utime(drop(spool, name), (age, age))
    assert [found.name for found in claim(spool)] == ["c.toml", "a.toml", "b.toml"]


def test_an_equal_name_is_claimed_beside_the_first_and_keeps_its_own(spool: Spool) -> None:
    for body in ("first", "second"):
        drop(spool, "notes.toml", body)
        claim(spool)
    found = spool.claimed()
    assert [item.name for item in found] == ["notes.toml", "notes.toml"]
    assert {Path(item.path).read_text() for item in found} == {"first", "second"}


def test_the_next_run_finds_what_this_one_claimed(spool: Spool) -> None:
    drop(spool, "notes.toml")
    assert claim(spool) == Spool.create(spool.root).claimed()


def test_a_claim_whose_note_was_lost_is_still_found(spool: Spool) -> None:
    drop(spool, "notes.toml")
    (found,) = claim(spool)
    Path(spool.root, "claimed", ".notes.toml.claim").write_bytes(b'{"base": 3')
    assert spool.claimed() == [found]


def _link(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def _socket(path: Path) -> None:
    here = os.open(path.parent, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{here}/{path.name}")
    os.close(here)


@pytest.mark.parametrize("odd", [_link, os.mkfifo, _socket])
def test_what_is_no_regular_file_is_moved_away_unopened_with_a_report(
    spool: Spool, odd: Callable[[Path], None]
) -> None:
    odd(Path(spool.incoming, "notes.toml"))
    assert claim(spool) == []
    (refused,) = spool.refused
    assert names(spool, "incoming") == []
    assert names(spool, "failed") == ["notes.toml", "notes.toml.report.json"]
    assert json.loads(Path(refused.path + ".report.json").read_text())["code"] == "path-unsafe"


@pytest.mark.parametrize("name", ["a\nb.toml", "\x1b[31m.toml", "x" * 240 + ".toml"])
def test_invariant_28_an_odd_name_is_moved_away_under_a_safe_one(spool: Spool, name: str) -> None:
    drop(spool, name)
    assert claim(spool) == []
    (refused,) = spool.refused
    assert refused.name.isprintable()
    assert os.path.basename(refused.path).startswith("refused-")
    assert names(spool, "incoming") == []


def test_a_name_that_is_not_utf8_is_claimed_like_any_other(spool: Spool) -> None:
    drop(spool, os.fsdecode(b"caf\xe9.toml"))
    assert [found.name for found in claim(spool)] == [os.fsdecode(b"caf\xe9.toml")]
    assert spool.claimed()[0].name == os.fsdecode(b"caf\xe9.toml")


def test_the_longest_name_that_is_claimed_can_be_finished(spool: Spool) -> None:
    drop(spool, "x" * (MAX_NAME_BYTES - 5) + ".toml")
    (found,) = claim(spool)
    assert os.path.exists(spool.finish(found, "done", b"{}"))


def test_standing_manifests_are_listed_by_name_and_stay(spool: Spool) -> None:
    standing = Path(spool.root, "standing")
    for name in ("b.toml", "a.toml", "notes.txt", ".c.toml"):
        (standing / name).touch()
    found = spool.standing()
    assert [(item.name, item.base, item.origin) for item in found] == [
        ("a.toml", str(standing), "standing"),
        ("b.toml", str(standing), "standing"),
    ]


def test_looking_takes_nothing_and_sees_what_a_run_would_read(spool: Spool) -> None:
    drop(spool, "held.toml")
    claim(spool)
    drop(spool, "notes.toml")
    Path(spool.root, "standing", "daily.toml").touch()
    assert [item.name for item in spool.look(2.0, LATER)] == ["held.toml", "daily.toml", "notes.toml"]
    assert names(spool, "incoming") == ["notes.toml"]


def test_looking_at_no_spool_finds_nothing_and_makes_nothing(tmp_path: Path) -> None:
    assert Spool(str(tmp_path / "none")).look(2.0, LATER) == []
    assert os.listdir(tmp_path) == []


# finishing


def test_a_finished_manifest_lies_beside_its_report_and_nothing_stays_claimed(spool: Spool) -> None:
    drop(spool, "notes.toml")
    (found,) = claim(spool)
    report = spool.finish(found, "done", b'{"a": 1}')
    assert names(spool, "done") == ["notes.toml", "notes.toml.report.json"]
    assert Path(report).read_bytes() == b'{"a": 1}'
    assert names(spool, "claimed") == []


def test_an_equal_name_is_finished_beside_the_first(spool: Spool) -> None:
    for _ in range(2):
        drop(spool, "notes.toml")
        spool.finish(claim(spool)[0], "failed", b"{}")
    assert names(spool, "failed") == [
        "notes.2.toml",
        "notes.2.toml.report.json",
        "notes.toml",
        "notes.toml.report.json",
    ]


def test_held_work_keeps_its_manifest_claimed_and_its_report_is_not_taken_for_one(spool: Spool) -> None:
    drop(spool, "notes.json")
    (found,) = claim(spool)
    spool.finish(found, "claimed", b"{}")
    assert spool.claimed() == [found]
    spool.finish(found, "done", b"{}")
    assert names(spool, "claimed") == []


@pytest.mark.parametrize("name", ["../../escape", "a/b", "a\nb", "x" * 400, "\udcff\ud800"])
def test_a_report_name_never_leaves_the_reports(spool: Spool, name: str) -> None:
    path = spool.write_report(name, b"{}")
    assert os.path.dirname(path) == spool.reports
    assert os.path.basename(path).isprintable()


def test_the_oldest_of_too_many_reports_go(spool: Spool) -> None:
    for number in range(MAX_REPORTS):
        Path(spool.reports, f"{number}.report.json").touch()
    os.utime(Path(spool.reports, "7.report.json"), (1, 1))
    spool.write_report("new", b"{}")
    kept = names(spool, "reports")
    assert len(kept) == MAX_REPORTS
    assert "7.report.json" not in kept


def test_the_page_of_a_report_goes_with_it(spool: Spool) -> None:
    for number in range(MAX_REPORTS):
        Path(spool.reports, f"{number}.report.json").touch()
        Path(spool.reports, f"{number}.report.html").touch()
    os.utime(Path(spool.reports, "7.report.json"), (1, 1))
    Path(spool.reports, "index.html").touch()
    spool.write_page(spool.write_report("new", b"{}"), b"<p>")
    kept = names(spool, "reports")
    assert "7.report.html" not in kept
    assert len(kept) == 2 * MAX_REPORTS + 1
    assert Path(spool.reports, "new.report.html").read_bytes() == b"<p>"


def test_a_manifest_that_is_taken_up_again_leaves_no_report_and_no_page_and_need_not_come_to_rest(
    spool: Spool,
) -> None:
    drop(spool, "notes.toml")
    (found,) = claim(spool)
    spool.write_page(spool.finish(found, "failed", b"{}"), b"<p>")
    assert names(spool, "failed") == ["notes.toml", "notes.toml.report.html", "notes.toml.report.json"]
    assert spool.requeue(os.path.join(spool.root, "failed", "notes.toml"), "notes.toml")
    assert names(spool, "failed") == []
    assert [(again.name, again.base) for again in spool.claimed()] == [("notes.toml", spool.incoming)]


@pytest.mark.parametrize("folder", ["incoming", "claimed"])
def test_a_manifest_is_not_taken_up_again_over_one_of_its_name(spool: Spool, folder: str) -> None:
    drop(spool, "notes.toml")
    (found,) = claim(spool)
    spool.finish(found, "failed", b"{}")
    Path(spool.root, folder, "notes.toml").touch()
    assert not spool.requeue(os.path.join(spool.root, "failed", "notes.toml"), "notes.toml")
    assert names(spool, "failed") == ["notes.toml", "notes.toml.report.json"]


# crashes


def whereabouts(spool: Spool) -> list[str]:
    folders = ("incoming", "claimed", "done", "failed")
    return [folder for folder in folders for name in names(spool, folder) if name.endswith(".toml")]


def prepared(root: Path) -> Spool:
    spool = Spool.create(str(root))
    drop(spool, "notes.toml")
    return spool


def test_invariant_8_a_kill_at_any_system_call_of_a_claim_loses_and_doubles_nothing(
    tmp_path: Path, tracer: Tracer, figure: Callable[[str], None]
) -> None:
    count = prepared(tmp_path / "count")
    points = tracer.points(lambda: len(claim(count)) - 1)
    for stop in points:
        spool = prepared(tmp_path / str(stop))
        tracer.run(lambda: len(claim(spool)) - 1, kill_at=stop)  # noqa: B023  # called before the loop goes on
        assert len(whereabouts(spool)) == 1
        (found,) = [*spool.claimed(), *claim(spool)]
        assert (found.name, found.base) == ("notes.toml", spool.incoming)
        assert names(spool, "claimed") == [".notes.toml.claim", "notes.toml"]
        shutil.rmtree(spool.root)
    figure(f"invariant 8: SIGKILL at each of {len(points)} system calls of a claim: {len(points)}/{len(points)} once")
    assert len(points) > 15


def test_invariant_8_a_kill_at_any_system_call_of_a_finish_loses_and_doubles_nothing(
    tmp_path: Path, tracer: Tracer, figure: Callable[[str], None]
) -> None:
    def finish(spool: Spool) -> int:
        for found in spool.claimed():
            spool.finish(found, "done", b"{}")
        return 0

    def claimed(root: Path) -> Spool:
        spool = prepared(root)
        claim(spool)
        return spool

    count = claimed(tmp_path / "count")
    points = tracer.points(lambda: finish(count))
    for stop in points:
        spool = claimed(tmp_path / str(stop))
        tracer.run(lambda: finish(spool), kill_at=stop)  # noqa: B023  # called before the loop goes on
        assert len(whereabouts(spool)) == 1
        finish(spool)
        assert names(spool, "done") == ["notes.toml", "notes.toml.report.json"]
        assert names(spool, "claimed") == []
        shutil.rmtree(spool.root)
    figure(f"invariant 8: SIGKILL at each of {len(points)} system calls of a finish: {len(points)}/{len(points)} once")
    assert len(points) > 15
