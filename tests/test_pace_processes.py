"""Days shared by real processes: two runs at once against the stand-in, and runs that are killed at any named point."""

import os
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from pipeline.runtime import utc_now
from pipeline.state.ledger import Ledger
from pipeline.state.pace import Pace
from pipeline.state.pace_time import Moment
from tests.crash_support import run_child
from tests.makers import FAR_FUTURE, Folder
from tests.standin.fixture import StandIn
from tests.test_crash import POINTS, make_deferred_spool, make_spool

pytestmark = [pytest.mark.real_time, pytest.mark.timeout(600)]

CAP = Decimal("2.55")
PRICE = Decimal("0.10")
SETTINGS = """
[caps]
max_spend_usd_per_day = {cap}

[routes.shop]
driver = "openai"
base_url = "{url}"
key = "SHOP_KEY"
width = 6
prices = {{ "speak request" = 0.10 }}
"""


def start(root: Path, name: str, standin: StandIn) -> "subprocess.Popen[str]":
    """A run of thirty jobs by the real program; spools differ, the user is the same."""
    folder = root / name
    folder.mkdir()
    config, manifest = folder / "mediaspool.toml", folder / "jobs.toml"
    config.write_text(SETTINGS.format(cap=CAP, url=standin.openai_url))
    job = '[[job]]\nid = "j{0}"\nkind = "tts"\ntext = "Number {0}."\nout = "out/{0}.wav"'
    jobs = [job.format(number) for number in range(30)]
    manifest.write_text("\n".join([f'schema = 1\nname = "{name}"\n[defaults]\nroute = "shop"', *jobs]))
    words = ["run", str(manifest), "--spool", str(folder / "spool"), "--config", str(config)]
    environ = {"PATH": os.environ["PATH"], "HOME": str(root), "XDG_STATE_HOME": str(root / "state")}
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", *words],
        env={**environ, "SHOP_KEY": standin.key},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def used(root: Path, wall: float = FAR_FUTURE) -> Decimal | None:
    pace = Pace.view(str(root / "state/mediaspool/pace.db"), look=lambda: Moment(wall=wall, steady=0.0, boot="look"))
    assert pace is not None
    try:
        return pace.used().of_month.usd
    finally:
        pace.close()


def spent(folder: Folder) -> Decimal:
    """What the ledger knows to be spent, and what may have been."""
    ledger = Ledger.view(str(folder.spool / "ledger.db"), clock=utc_now)
    try:
        return sum((row.usd + row.doubtful_usd for row in ledger.spend()), Decimal(0))
    finally:
        ledger.close()


def test_two_runs_at_once_never_pass_their_common_day(tmp_path: Path, standin: StandIn) -> None:
    runs = [start(tmp_path, name, standin) for name in ("one", "two")]
    told = [run.communicate(timeout=200)[1] for run in runs]
    assert [run.returncode for run in runs] == [4, 4], told
    assert all("budget-spend" in words for words in told)
    assert standin.paid("speak") == standin.count("speak") == CAP // PRICE


@pytest.mark.parametrize("make", [make_spool, make_deferred_spool], ids=["at once", "deferred"])
@pytest.mark.parametrize("point", ["booked", *POINTS])
def test_what_a_killed_run_reserved_is_settled_released_or_kept_as_the_ledger_says(
    point: str, make: object, tmp_path: Path
) -> None:
    folder = make_spool(tmp_path, paid=True) if make is make_spool else make_deferred_spool(tmp_path)
    folder.config.write_text("[caps]\nmax_spend_usd_per_day = 0.25\n" + folder.config.read_text())
    folder.config.write_text(_default_route_first(folder.config.read_text()))
    assert run_child(folder, f"point:{point}").returncode == -signal.SIGKILL
    for _ in range(2):
        run_child(folder, "none")
        assert used(tmp_path) == spent(folder) <= Decimal("0.25")
    assert folder.calls() <= 2


def _default_route_first(text: str) -> str:
    """Plain keys stand before the first table."""
    line = 'default_route = ["scripted"]\n'
    return line + text.replace(line, "")
