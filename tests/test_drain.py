"""Invariant 10: a signal finishes or releases what runs, and never abandons a paid call; a second one cuts and tells.

Real processes, signalled at named points of the main path and at moments nobody chose.
"""

import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Shell
from tests.makers import Folder
from tests.test_crash import held, make_spool, missing
from tests.test_faults import check_finished, check_whole

pytestmark = [pytest.mark.real_time, pytest.mark.timeout(600)]

CALLS = 2
CODES = {"TERM": 143, "INT": 130}
EARLY = ["claimed", "recovered"]
AT_WORK = ["opened", "sending", "staged", "received", "intended", "settled"]
DONE = ["ran", "reported", "finished"]
SETTINGS = 'manifest_settle = "0s"\ndrain_grace = "50s"\n'


def make(root: Path, *, paid: bool, delay_s: str = "0.1") -> Folder:
    folder = make_spool(root, paid=paid)
    folder.configure({"delay_s": delay_s, **({"paid": "0.10"} if paid else {})}, extra=SETTINGS)
    return folder


def start(folder: Folder, orders: str = "-", *more: str) -> "subprocess.Popen[str]":
    words = [sys.executable, "-m", "tests.signal_child", orders, "run", "--spool", "spool", *more]
    process = subprocess.Popen(
        [*words, "--config", "mediaspool.toml"],
        cwd=folder.root,
        env=Shell(folder).environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def ended(process: "subprocess.Popen[str]") -> int:
    try:
        _, said = process.communicate(timeout=40)
    finally:
        process.kill()
    assert "Traceback" not in said, said
    return process.returncode


def check_left(folder: Folder) -> None:
    """Right after the signalled run: nothing half-done is in sight, and every attempt has its verdict."""
    check_whole(folder)
    parts = [path for path in folder.root.rglob("*") if path.name.endswith(".part")]
    assert parts == []
    assert list((folder.spool / "staging").glob("*")) == []


def check_next(folder: Folder, *, paid: bool) -> None:
    """The next run, with nobody in its way, finishes; a paid call is made once or held."""
    code = folder.run_spool().whole.exit_code
    assert code == 0 or held(folder)
    if paid:
        assert folder.calls() <= CALLS
        assert bool(missing(folder)) == bool(held(folder))
    if not held(folder):
        check_finished(folder)


@pytest.mark.parametrize(("point", "name"), [*zip(EARLY + AT_WORK, ["TERM", "INT"] * 4, strict=True)])
def test_invariant_10_one_signal_at_a_named_point_loses_nothing_and_leaves_no_doubt(
    tmp_path: Path, point: str, name: str
) -> None:
    folder = make(tmp_path, paid=True)
    assert ended(start(folder, f"{name}:{point}")) == CODES[name]
    check_left(folder)
    assert held(folder) == 0
    assert point not in EARLY or folder.calls() == 0
    check_next(folder, paid=True)
    assert held(folder) == 0


@pytest.mark.parametrize("point", DONE)
def test_invariant_10_signals_when_all_is_done_harm_nothing(tmp_path: Path, point: str) -> None:
    """Nothing is left to drain, so the run may say that it ended or that it was stopped."""
    folder = make(tmp_path, paid=True)
    assert ended(start(folder, f"TERM:{point},INT:{point}")) in (0, 143)
    check_finished(folder)
    assert folder.calls() == CALLS


@pytest.mark.parametrize("point", ["sending", "received", "intended"])
@pytest.mark.parametrize("paid", [False, True], ids=["free", "paid"])
def test_invariant_10_a_second_signal_cuts_what_runs_and_the_next_run_finishes(
    tmp_path: Path, point: str, paid: bool
) -> None:
    is_hanging = point == "sending"
    folder = make(tmp_path, paid=paid, delay_s="3000" if is_hanging else "0.2")
    assert ended(start(folder, f"TERM:{point},INT:{point}")) == 143
    assert not is_hanging or missing(folder)
    folder.configure({"paid": "0.10"} if paid else {}, extra=SETTINGS)
    check_left(folder)
    assert not held(folder) or paid
    check_next(folder, paid=paid)


def test_invariant_10_signals_at_moments_nobody_chose(tmp_path: Path, figure: Callable[[str], None]) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    chance = random.Random(seed)
    survived = 0
    for number in range(8):
        paid, name, is_twice = bool(number & 1), ("TERM", "INT")[number >> 1 & 1], bool(number & 4)
        folder = make(tmp_path / str(number), paid=paid)
        process = start(folder)
        for wait in [chance.uniform(0, 0.7)] + [chance.uniform(0, 0.1)] * is_twice:
            try:
                process.wait(wait)
            except subprocess.TimeoutExpired:
                process.send_signal(getattr(signal, f"SIG{name}"))
        code = ended(process)
        # 0: it was through before. A second signal may kill a program that is leaving before it began anything.
        is_early = is_twice and not (folder.spool / "ledger.db").exists()
        assert code in (CODES[name], -getattr(signal, f"SIG{name}") if is_early else 0, 0), (seed, number, code)
        check_left(folder)
        check_next(folder, paid=paid)
        survived += 1
    figure(f"signals at random moments: {survived}/{survived} runs finished by the next (seed {seed})")


@pytest.mark.parametrize("paid", [False, True], ids=["free", "paid"])
def test_the_time_limit_ends_a_run_with_4_and_the_next_finishes(tmp_path: Path, paid: bool) -> None:
    folder = make(tmp_path, paid=paid, delay_s="0.8")
    assert ended(start(folder, "-", "--time-limit", "0.2s")) == 4
    check_left(folder)
    assert held(folder) == 0
    check_next(folder, paid=paid)
    assert folder.calls() == CALLS
