"""kill -9 at every named point of the main path and at every change of the file system, then run again.

Never: a call that had reached `received` made twice, a product torn or lost, a stray file. On a paid route never any
call made twice: what may have been paid for is held and listed, and what a provider goes on with is found again by its
ticket. Invariants 1, 3, 4 and 5, for the scripted route.
"""

import os
import signal
from pathlib import Path

import pytest

from pipeline.core.model import RunId
from pipeline.runtime import utc_now
from pipeline.state.ledger import Ledger
from tests.crash_support import run_child, strays
from tests.makers import Folder

pytestmark = [pytest.mark.real_time, pytest.mark.timeout(900)]

BEFORE = ["claimed", "recovered", "planned", "opened", "sending", "first-bytes", "staged"]
AFTER = ["received", "adopted", "stored", "made", "intended", "published", "settled", "ran", "reported", "finished"]
POINTS = [*BEFORE, *AFTER]
AFTER_A_CALL = AFTER[AFTER.index("stored") :]
CALLS = 2
PRODUCTS = ("a.wav.text.txt", "a.wav.text.srt", "a.wav.canon.txt", "hello.wav")

MANIFEST = """
schema = 1
name = "crash"

[[folder]]
id = "notes"
glob = "../../recordings/*"
accept = ["audio"]
settle = "0s"
out = "../../out/{name}.{step}.{ext}"

  [[folder.step]]
  id = "text"
  kind = "transcription"
  formats = ["txt", "srt"]

  [[folder.step]]
  id = "canon"
  kind = "canonical_text"
  from = "text"

[[job]]
id = "hello"
kind = "tts"
text = "Good morning."
out = "../../out/hello.wav"
"""


def make_spool(root: Path, *, paid: bool, **options: str) -> Folder:
    folder = Folder(root, options={"paid": "0.10", **options} if paid else options)
    folder.record("a.wav")
    (folder.spool / "incoming").mkdir(parents=True)
    (folder.spool / "incoming/crash.toml").write_text(MANIFEST)
    return folder


def make_deferred_spool(root: Path) -> Folder:
    """One call at a time: of two, the kill would leave the other one where it happens to be."""
    folder = make_spool(root, paid=True, deferred="yes", parts="2")
    folder.config.write_text(folder.config.read_text().replace("width = 2", "width = 1"))
    return folder


def held(folder: Folder) -> int:
    ledger = Ledger.view(str(folder.spool / "ledger.db"), clock=utc_now)
    try:
        return len(ledger.held_attempts())
    finally:
        ledger.close()


def without_verdict(folder: Folder) -> int:
    """Attempts that a run is at, that are held, or that a provider works on."""
    ledger = Ledger.view(str(folder.spool / "ledger.db"), clock=utc_now)
    try:
        return len(ledger.open_attempts()) + len(ledger.held_attempts()) + len(ledger.submitted_attempts())
    finally:
        ledger.close()


def check_assets(folder: Folder) -> None:
    """Every payload that a receipt names is there, and nothing else is."""
    ledger = Ledger.view(str(folder.spool / "ledger.db"), clock=utc_now)
    wanted = ledger.assets_in_use()
    ledger.close()
    assert {path.name.partition(".")[0] for path in (folder.spool / "assets").rglob("*.*")} == wanted


def missing(folder: Folder) -> list[str]:
    return [name for name in PRODUCTS if not folder.product(name).exists()]


def check_recovered(folder: Folder) -> None:
    """Everything is there, whole, and nothing else is."""
    assert missing(folder) == []
    assert folder.product("a.wav.text.txt").read_text().split() == ["one", "two", "three"]
    assert folder.product("hello.wav").read_bytes()[:4] == b"RIFF"
    assert strays(folder) == []


@pytest.mark.parametrize("point", POINTS)
def test_invariants_4_and_5_a_free_run_killed_at_a_named_point_is_finished_by_the_next(
    point: str, tmp_path: Path
) -> None:
    folder = make_spool(tmp_path, paid=False)
    assert run_child(folder, f"point:{point}").returncode == -signal.SIGKILL
    second = run_child(folder, "none")
    assert second.returncode == 0, second.stderr
    check_recovered(folder)
    assert folder.calls() <= CALLS + (2 if point in BEFORE else 1)


@pytest.mark.parametrize("point", POINTS)
def test_invariants_1_and_3_a_paid_call_is_never_made_twice_and_a_doubtful_one_is_held(
    point: str, tmp_path: Path
) -> None:
    folder = make_spool(tmp_path, paid=True)
    assert run_child(folder, f"point:{point}").returncode == -signal.SIGKILL
    run_child(folder, "none")
    run_child(folder, "none")
    assert folder.calls() <= CALLS
    assert bool(missing(folder)) == bool(held(folder))


@pytest.mark.parametrize("point", [*POINTS, "submitted", "part"])
def test_invariants_1_and_3_deferred_work_in_parts_is_sent_once_and_all_of_it_is_kept(
    point: str, tmp_path: Path
) -> None:
    folder = make_deferred_spool(tmp_path)
    assert run_child(folder, f"point:{point}").returncode == -signal.SIGKILL
    run_child(folder, "none")
    run_child(folder, "none")
    assert folder.calls() <= CALLS
    assert bool(missing(folder)) == bool(held(folder))
    if point not in AFTER_A_CALL:  # then the other call has begun, and may be anywhere
        assert bool(held(folder)) == (point == "sending")
    if not held(folder):
        assert (folder.calls(), without_verdict(folder)) == (CALLS, 0)
        check_recovered(folder)
        check_assets(folder)


@pytest.mark.parametrize("point", ["recovered", "resumed", "first-bytes", "part", "staged", "received", "adopted"])
def test_invariant_4_a_run_that_goes_on_with_deferred_work_may_be_killed_too(point: str, tmp_path: Path) -> None:
    folder = make_deferred_spool(tmp_path)
    assert run_child(folder, "point:submitted").returncode == -signal.SIGKILL
    for _ in range(2):
        run_child(folder, f"point:{point}")
    assert run_child(folder, "none").returncode == 0
    assert (folder.calls(), without_verdict(folder)) == (CALLS, 0)
    check_recovered(folder)
    check_assets(folder)


def test_invariant_5_killed_at_every_change_of_the_file_system_nothing_is_torn_or_lost(tmp_path: Path) -> None:
    whole = make_spool(tmp_path / "whole", paid=False)
    changes = int(run_child(whole, "none").stdout.split()[-1])
    survived = 0
    for number in range(1, changes + 1, int(os.environ.get("MEDIASPOOL_CRASH_STRIDE", "5"))):
        folder = make_spool(tmp_path / f"at{number}", paid=False)
        assert run_child(folder, f"audit:{number}").returncode == -signal.SIGKILL
        second = run_child(folder, "none")
        assert second.returncode == 0, (number, second.stderr)
        check_recovered(folder)
        survived += 1
    print(f"kill -9 at changes of the file system: {survived}/{survived} of {changes}")


def test_the_ledger_of_a_killed_run_names_no_open_attempt_afterwards(tmp_path: Path) -> None:
    folder = make_spool(tmp_path, paid=False)
    run_child(folder, "point:sending")
    run_child(folder, "none")
    ledger = Ledger.open(str(folder.spool / "ledger.db"), run=RunId("look"), clock=utc_now)
    assert ledger.open_attempts() == []
    ledger.close()
