"""Runs of a mixed workload on the stand-in that end at any named point and at moments nobody chose.

kill -9 and SIGTERM, one run or several at once. Afterwards, by the server's own list, nothing was paid twice; every job
is done, or held and listed, or waits for a held one; nothing lies about. Invariants 1, 2, 3, 7 and 10.
"""

import contextlib
import random
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.amounts import amount, some
from tests.faults.mixture import Mixture, ended
from tests.pages import ROOT
from tests.standin.fixture import StandIn
from tests.test_crash import POINTS

pytestmark = [pytest.mark.real_time, pytest.mark.timeout(7200)]

ALL_POINTS = [*POINTS, "identified", "submitted", "part", "noted"]
ELSEWHERE = {"booked", "resumed"}  # only under a cap of the day, and only of work that goes on: they have their tests
ENDS = {"SIGKILL": "point", "SIGTERM": "term"}
BUSY = 75
CALM_S = 2.0  # a little more than the workload takes alone; on a slow machine the instants fall into its first part
EACH = 8  # instants a spool
PARTS = 5  # of the 200 instants, side by side


def test_every_point_that_the_code_names_is_one_where_runs_are_ended() -> None:
    named = re.compile(r'reached\((?:"([a-z-]+)"(?: if \w+ else "([a-z-]+)")?)\)')
    files = (ROOT / "pipeline").rglob("*.py")
    found = {name for file in files for pair in named.findall(file.read_text()) for name in pair if name}
    assert found == {*ALL_POINTS, *ELSEWHERE}


@pytest.mark.parametrize("name", ENDS)
def test_invariants_1_and_3_a_mixed_run_ended_at_any_named_point_loses_and_doubles_nothing(
    tmp_path: Path, standin: StandIn, figure: Callable[[str], None], name: str
) -> None:
    chosen = some([(point, nth) for point in ALL_POINTS for nth in (1, 3)], short=1)
    verdicts: Counter[str] = Counter()
    for number, (point, nth) in enumerate(chosen):
        mixture = Mixture(tmp_path / str(number), standin)
        code = mixture.run(f"{ENDS[name]}:{point}@{nth}")
        assert code in (-signal.SIGKILL, 143, 0, 3, 4), (point, nth)
        mixture.finish()
        left = mixture.check((point, nth))
        verdicts.update(done=len(left.done), held=len(left.held), blocked=len(left.blocked))
        mixture.remove()
    figure(f"{name} at named points of a mixed run: {len(chosen)}/{len(chosen)}, jobs {told(verdicts)}, 0 paid twice")


@pytest.mark.parametrize("part", range(amount(short=1, whole=PARTS)))
def test_invariants_2_and_10_a_mixed_workload_ended_at_moments_nobody_chose_loses_and_doubles_nothing(
    tmp_path: Path, standin: StandIn, figure: Callable[[str], None], part: int
) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    storm = Storm(random.Random(seed))
    wanted, spools, verdicts = amount(short=4, whole=200 // PARTS), 0, Counter[str]()
    while sum(storm.struck.values()) < wanted:
        mixture = Mixture(tmp_path / str(spools), standin)
        for _ in range(min(EACH, wanted - sum(storm.struck.values()))):
            storm.strike(mixture)
        mixture.finish()
        left = mixture.check((seed, spools))
        verdicts.update(done=len(left.done), held=len(left.held), blocked=len(left.blocked))
        mixture.remove()
        spools += 1
    struck = sum(storm.struck.values())
    figure(
        f"random instants of a mixed workload: {struck}/{wanted} ({told(storm.struck)}), {spools} spools, "
        f"jobs {told(verdicts)}, 0 paid twice, 0 lost (seed {seed})"
    )


class Storm:
    """Starts one run, or several at once, and ends all of them at a random instant. Counts those that were at work."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.struck: Counter[str] = Counter()

    def strike(self, mixture: Mixture) -> None:
        name = self._chance.choice(["KILL", "TERM"])
        runs = [mixture.start() for _ in range(self._chance.choice([1, 1, 1, 2, 4]))]
        with contextlib.suppress(subprocess.TimeoutExpired):
            runs[0].wait(self._chance.uniform(0, CALM_S))
        sent = getattr(signal, f"SIG{name}")
        for run in runs:
            run.send_signal(sent)
        codes = [ended(run) for run in runs]
        assert set(codes) <= {-signal.SIGKILL, -signal.SIGTERM, 143, 0, 3, 4, BUSY}, codes
        self.struck[f"SIG{name}"] += 1


@pytest.mark.parametrize("number", [2, 5])
def test_invariant_7_of_many_runs_started_together_one_works_and_the_others_say_busy(
    tmp_path: Path, standin: StandIn, figure: Callable[[str], None], number: int
) -> None:
    tries = amount(short=1, whole=40 // number)
    for nth in range(tries):
        mixture = Mixture(tmp_path / str(nth), standin, is_troubled=False)
        codes = Counter(ended(run) for run in [mixture.start() for _ in range(number)])
        assert set(codes) <= {0, BUSY}
        assert codes[0] >= 1
        left = mixture.check((number, nth))
        assert not left.held
    figure(f"{number} runs at once: {tries}/{tries}, each call paid once")


def told(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
