"""Invariants 7, 8 and 9: two runs on one spool do no work twice, a dead one is followed at once, and no clock decides.

Liveness is the kernel's lock on the spool. Real processes, started together, stopped and killed.
"""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import trio

from pipeline.app import RunRequest, run
from pipeline.core.errors import RunBusy
from tests.cli.conftest import Gate, locked
from tests.makers import Folder
from tests.test_crash import held, make_spool, missing
from tests.test_drain import SETTINGS
from tests.test_drain import start as start_program
from tests.test_faults import check_finished

pytestmark = [pytest.mark.real_time, pytest.mark.timeout(600)]

PAIRS = 10
CALLS = 2
BUSY = 75
TWO_JOBS = """
schema = 1
name = "two"
[[job]]
id = "a"
kind = "tts"
text = "Good morning."
out = "../../out/a.wav"
[[job]]
id = "b"
kind = "tts"
text = "Good evening."
out = "../../out/b.wav"
"""


def start(folder: Folder, kill: str = "none") -> "subprocess.Popen[str]":
    words = [sys.executable, "-m", "tests.crash_child", str(folder.spool), str(folder.config), kill]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def code(process: "subprocess.Popen[str]") -> int:
    process.communicate(timeout=100)
    return process.returncode


def slow(root: Path, *, paid: bool, delay_s: str) -> Folder:
    folder = make_spool(root, paid=paid)
    folder.configure({"delay_s": delay_s, **({"paid": "0.10"} if paid else {})}, extra=SETTINGS)
    return folder


def test_invariant_7_of_two_runs_started_together_one_works_and_the_other_says_busy(
    tmp_path: Path, figure: Callable[[str], None]
) -> None:
    busy = 0
    for number in range(PAIRS):
        folder = slow(tmp_path / str(number), paid=False, delay_s="0.15")
        codes = sorted(code(process) for process in [start(folder), start(folder)])
        assert codes in ([0, BUSY], [0, 0])  # the second may begin when the first is through: then nothing is left
        busy += codes == [0, BUSY]
        assert folder.calls() == CALLS
        check_finished(folder)
    figure(f"pairs of runs: {PAIRS}/{PAIRS} made each call once, {busy} met the lock")
    assert busy


def test_invariant_7_of_two_runs_of_which_one_is_killed_no_paid_call_is_made_twice(
    tmp_path: Path, figure: Callable[[str], None]
) -> None:
    points = ["planned", "opened", "sending", "staged", "received", "adopted", "stored", "made", "intended", "settled"]
    for number, point in enumerate(points):
        folder = slow(tmp_path / str(number), paid=True, delay_s="0.05")
        first, second = start(folder, f"point:{point}"), start(folder)
        assert code(first) in (-signal.SIGKILL, BUSY, 0)
        assert code(second) in (0, 3, BUSY)
        folder.run_spool()
        assert folder.calls() <= CALLS
        assert bool(missing(folder)) == bool(held(folder))
    figure(f"pairs of runs with kill -9: {len(points)}/{len(points)} made no paid call twice")


def test_if_busy_skip_is_a_quiet_success(tmp_path: Path) -> None:
    folder = make_spool(tmp_path, paid=False)
    with locked(folder.spool):
        process = start_program(folder, "-", "--if-busy=skip")
        _, said = process.communicate(timeout=100)
    assert (process.returncode, said) == (0, "")
    assert folder.calls() == 0


def test_invariant_8_a_run_that_only_stands_still_is_never_taken_for_dead(tmp_path: Path) -> None:
    """Stopped in the middle of a call, for as long as it takes: its lock holds, its work stays its own."""
    folder = slow(tmp_path, paid=True, delay_s="0.2")
    gate = Gate(folder)
    living = start(folder)
    gate.await_call()
    living.send_signal(signal.SIGSTOP)
    os.utime(folder.spool / "lock", (0, 0))
    assert [code(start(folder)) for _ in range(3)] == [BUSY] * 3
    living.send_signal(signal.SIGCONT)
    assert code(living) == 0
    gate.close()
    assert missing(folder) == []
    assert held(folder) == 0


def test_invariant_8_a_killed_run_is_followed_at_once_though_its_children_may_still_be_dying(tmp_path: Path) -> None:
    """The encoder of the MP3 is a child of the killed run; it must hold no part of the lock."""
    folder = make_spool(tmp_path, paid=False)
    (folder.spool / "incoming/crash.toml").write_text(TWO_JOBS.replace(".wav", ".mp3"))
    assert code(start(folder, "point:published")) == -signal.SIGKILL
    assert folder.run_spool().whole.exit_code == 0
    assert folder.product("a.mp3").exists()
    assert folder.product("b.mp3").exists()


def test_invariant_9_a_lock_does_not_grow_old(tmp_path: Path) -> None:
    folder = make_spool(tmp_path, paid=False)
    folder.spool.mkdir(exist_ok=True)
    for when in (0, 1e9, 4e9):
        with locked(folder.spool):
            os.utime(folder.spool / "lock", (when, when))
            with pytest.raises(RunBusy):
                folder.run_spool()
    assert folder.calls() == 0


def test_invariant_9_a_lock_that_nobody_holds_is_free_however_young(tmp_path: Path) -> None:
    folder = make_spool(tmp_path, paid=False)
    (folder.spool / "lock").write_text("1\n")  # process 1 lives, and never took it
    assert folder.run_spool().whole.exit_code == 0


@pytest.mark.parametrize("point", ["sending", "received"])
@pytest.mark.parametrize("jump_s", [-86_400.0, 86_400.0, -1e9, 2e9])
def test_invariant_9_a_clock_that_jumped_changes_nothing_about_a_dead_run(
    tmp_path: Path, point: str, jump_s: float
) -> None:
    """Killed, and the next run lives in another year, among files from yet another one."""
    folder = make_spool(tmp_path, paid=True)
    (folder.spool / "incoming/crash.toml").write_text(TWO_JOBS)
    killed = start(folder, f"point:{point}")
    assert code(killed) == -signal.SIGKILL
    for path in [*folder.spool.rglob("*"), *folder.product("").glob("*")]:
        os.utime(path, (1e9 - jump_s / 2, 1e9 - jump_s / 2), follow_symlinks=False)
    stamps = iter(range(1_000_000))
    world = msgspec.structs.replace(
        folder.world(),
        now=lambda: 1.79e9 + jump_s * (next(stamps) % 2),  # to and fro while it runs
        clock=lambda: f"{1970 + next(stamps) % 100}-01-01T00:00:00+00:00",
    )
    trio.run(run, RunRequest(spool=str(folder.spool)), folder.settings, world)
    assert folder.calls() <= CALLS
    made = [name for name in ("a.wav", "b.wav") if folder.product(name).exists()]
    assert len(made) + held(folder) == CALLS
    assert list((folder.spool / "staging").iterdir()) == []


def test_the_lock_is_let_go_when_a_run_ends_and_not_before(tmp_path: Path) -> None:
    folder = make_spool(tmp_path, paid=False)
    seen: list[bool] = []
    folder.reached = lambda _point: seen.append(_is_free(folder.spool))
    folder.run_spool()
    assert seen
    assert not any(seen)
    assert _is_free(folder.spool)


def _is_free(spool: Path) -> bool:
    with (spool / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
