"""Fifty jobs against a wall, over real HTTP: how many requests a run makes before it knows."""

from decimal import Decimal
from pathlib import Path

import pytest

from tests.makers import Folder, outcomes
from tests.standin.fixture import StandIn

pytestmark = pytest.mark.real_time
JOBS, WIDTH = 50, 4


@pytest.fixture
def folder(tmp_path: Path, standin: StandIn) -> Folder:
    return wall(tmp_path, standin)


def wall(tmp_path: Path, standin: StandIn) -> Folder:
    made = Folder(tmp_path)
    made.add_route("shop", driver="openrouter", base_url=standin.base_url, key=standin.key)
    made.config.write_text(made.config.read_text().replace("[routes.shop]", f"[routes.shop]\nwidth = {WIDTH}"))
    job = '[[job]]\nid = "j{0}"\nkind = "tts"\ntext = "Number {0}."\nvoice = "af_alloy"\nout = "out/{0}.mp3"'
    jobs = [job.format(number) for number in range(JOBS)]
    made.manifest.write_text("\n".join(['schema = 1\nname = "wall"\n[defaults]\nroute = ["shop"]', *jobs]))
    return made


@pytest.mark.parametrize("fault", ["401-bad-key", "402-credits", "402-key-limit", "429-free-daily"])
def test_what_closes_a_route_is_met_by_its_width_at_most(folder: Folder, standin: StandIn, fault: str) -> None:
    standin.fault(fault, path="speak")
    result = folder.run()
    assert {(each.verdict, each.code) for each in outcomes(result).values()} == {("not-started", "route-closed")}
    assert (1 <= standin.count("speak") <= WIDTH, standin.paid("speak")) == (True, 0)
    assert result.whole.exit_code == 77


def test_a_wait_of_a_day_is_left_to_a_later_run(folder: Folder, standin: StandIn) -> None:
    standin.fault("429-absurd", path="speak")
    result = folder.run()
    assert {(each.verdict, each.code) for each in outcomes(result).values()} == {("not-started", "rate-limited")}
    assert 1 <= standin.count("speak") <= WIDTH
    assert result.whole.exit_code == 4


def test_a_server_that_is_gone_ends_its_lane_and_the_next_run_takes_everything_up(tmp_path: Path) -> None:
    server = StandIn()
    folder = wall(tmp_path, server)
    server.stop()
    result = folder.run()
    assert {(each.verdict, each.code, each.usd) for each in outcomes(result).values()} == {
        ("not-started", "unreachable", Decimal(0))
    }
    assert "refused" in next(iter(outcomes(result).values())).reason
    assert result.whole.exit_code == 3
    server.start()
    assert {each.verdict for each in outcomes(folder.run()).values()} == {"done"}
    assert server.paid("speak") == JOBS
    server.stop()


@pytest.mark.parametrize("fault", ["429-retry-after", "402-in-flight"])
def test_a_wait_that_the_server_asks_for_is_honoured_by_everyone(folder: Folder, standin: StandIn, fault: str) -> None:
    standin.fault(fault, path="speak", times=1, seconds=2)
    result = folder.run()
    assert {each.verdict for each in outcomes(result).values()} == {"done"}
    turned_away, *others = standin.requests("speak")
    assert standin.paid("speak") == JOBS
    later = [float(str(seen["at_s"])) - float(str(turned_away["at_s"])) for seen in others]
    assert [gap for gap in later if 0.5 < gap < 1.9] == []
