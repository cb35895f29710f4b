"""The machine fails in the middle of a run: no space, no writing, no folder. Invariants 17 and 19 through the whole run.

Always: the exit code that was published, nothing half-written under a final name, and a next run that finishes.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.core.errors import MediaspoolError
from pipeline.core.model import RunId
from pipeline.report import exit_code
from pipeline.runtime import utc_now
from pipeline.state.ledger import Ledger
from tests.disks import Disk, mounted
from tests.makers import Folder, verdicts
from tests.test_crash import held, make_spool, missing, strays

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
        return exit_code(outcomes=(), stopped_by_cap=False, errors=[error])


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
