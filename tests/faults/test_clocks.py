"""Invariant 9: clocks that jump, run fast or are set for summer change nothing about a mixed workload.

The wall clock of the whole process is another one (libfaketime); it jumps while calls, waits and polls are under way,
and once more before the next run. The monotonic clock is left alone, as the kernel does when somebody sets the time.
Files keep the kernel's own times, so no run begins earlier than its manifest was dropped.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.amounts import amount
from tests.faults.mixture import PRODUCTS, Mixture, ended
from tests.standin.fixture import StandIn

pytestmark = [pytest.mark.real_time, pytest.mark.privileged, pytest.mark.timeout(1200)]

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
BERLIN = "Europe/Berlin"
JUMPS = {
    "a day on and back": ("+0", "+1d", "-1d", "UTC"),
    "a day back and on": ("+0", "-1d", "+1d", "UTC"),
    "five times as fast": ("+0 x5", "+0 x5", "+0 x0.2", "UTC"),
    "ten years on, then home": ("+10y", "+0", "+0", "UTC"),
    "summer time ends": ("@2031-10-26 02:59:57", "@2031-10-26 02:00:01", "@2031-10-26 02:30:00", BERLIN),
    "summer time begins": ("@2031-03-30 01:59:57", "@2031-03-30 03:00:01", "@2031-03-30 03:30:00", BERLIN),
}


class Clock:
    """What the process under it believes. It is set by a file, and looked at again at each question."""

    def __init__(self, folder: Path, zone: str) -> None:
        if not LIBRARIES:
            pytest.skip("there is no libfaketime (apt-get install libfaketime)")
        self._file = folder / "faketime"
        self.environ = {
            "LD_PRELOAD": str(LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "TZ": zone,
        }

    def set(self, time: str) -> None:
        part = self._file.with_suffix(".part")
        part.write_text(f"{time}\n")
        part.rename(self._file)


@pytest.mark.parametrize("name", list(JUMPS)[: amount(short=1, whole=len(JUMPS))])
def test_invariant_9_clocks_that_jump_both_ways_change_nothing(
    tmp_path: Path, standin: StandIn, figure: Callable[[str], None], name: str
) -> None:
    first, then, last, zone = JUMPS[name]
    mixture = Mixture(tmp_path / "user", standin)
    clock = Clock(tmp_path, zone)
    clock.set(first)
    run = mixture.start_program(clock.environ)
    standin.wait("complete")
    clock.set(then)  # while calls are under way, one waits to be made again, and a clip is asked for again and again
    assert ended(run) == 3  # as on a clock that stands: one answer was paid for and got lost
    left = mixture.check(name)
    assert (len(left.held), standin.count("poll") > 1) == (1, True)
    assert len(years(mixture)) == (2 if name.startswith("ten years") else 1)
    clock.set(last)
    requests = len(standin.requests())
    assert ended(mixture.start_program(clock.environ)) == 0
    assert len([seen for seen in standin.requests()[requests:] if seen["method"] == "POST"]) == 0
    figure(f"{name}: {len(PRODUCTS)}/{len(PRODUCTS)} jobs, {len(left.done)} of them made, each call paid once")


def years(mixture: Mixture) -> set[str]:
    """The years that the ledger was told of: proof that the clock did jump."""
    with sqlite3.connect(mixture.folder.spool / "ledger.db") as raw:
        rows = raw.execute("SELECT opened_at, changed_at FROM attempts").fetchall()
    raw.close()
    return {moment[:4] for row in rows for moment in row}
