"""The pace that all runs of a user share: rates, rests, days and months, in one file and across processes."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from msgspec.structs import replace

from pipeline.core.budget import Reserved
from pipeline.core.errors import CapReached, CapTooSmall, LimitExceeded, PaceBroken
from pipeline.core.model import AttemptId, Caps, Estimate
from pipeline.core.rates import Rate
from pipeline.state.pace import Order, Pace
from pipeline.state.pace_file import APPLICATION_ID, MEMORY
from pipeline.state.pace_time import Moment

DAY_S = 86_400.0
NOON = 1_796_040_000.0  # 2026-11-30, so the next day is in another month
DIME = Decimal("0.10")


class Clock:
    """Both clocks of a machine, set by hand."""

    def __init__(self) -> None:
        self.wall, self.steady, self.boot = NOON, 1000.0, "one"

    def look(self) -> Moment:
        return Moment(wall=self.wall, steady=self.steady, boot=self.boot)

    def go(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pace(tmp_path: Path, clock: Clock) -> Iterator[Pace]:
    made = opened(tmp_path, clock)
    yield made
    made.close()


def opened(folder: Path, clock: Clock, spool: str = "/spool") -> Pace:
    return Pace.open(str(folder / "state" / "pace.db"), spool=spool, look=clock.look)


def order(
    name: str,
    usd: Decimal | None = DIME,
    *,
    day: Decimal | None = None,
    month: Decimal | None = None,
    rates: tuple[Rate, ...] = (),
    seconds: float = 0.0,
) -> Order:
    return Order(
        attempt=AttemptId(name),
        route="r",
        rates=rates,
        load={"requests": 1, "audio_seconds": seconds},
        estimate=Estimate(usd=usd, audio_seconds=seconds, requests=1),
        day=Caps(max_spend_usd=day),
        month=Caps(max_spend_usd=month),
    )


def test_what_was_reserved_counts_until_it_is_settled_and_then_its_price(pace: Pace) -> None:
    assert pace.take(order("a", day=3 * DIME)) == pace.take(order("b", day=3 * DIME)) == 0
    pace.settle(AttemptId("a"), Estimate(usd=DIME / 10, requests=1))
    assert pace.used().of_day == pace.used().of_month == Estimate(usd=DIME + DIME / 10, requests=2)
    assert pace.take(order("c", day=3 * DIME)) == 0
    with pytest.raises(CapReached, match=r"0\.3 USD per day"):
        pace.take(order("d", day=3 * DIME))
    assert pace.used().of_day.requests == 3


def test_what_only_waits_for_calls_under_way_is_told_apart_from_what_never_fits_and_writes_nothing(
    tmp_path: Path, pace: Pace
) -> None:
    pace.take(order("under way"))
    log = tmp_path / "state" / "pace.db-wal"
    size, under_way = log.stat().st_size, order("under way").estimate
    capped = (order("next", day=DIME), order("next", month=DIME))
    orders = [replace(each, under_way=under_way) for each in capped]
    for waiting in orders:
        with pytest.raises(Reserved):
            pace.take(waiting)
    assert log.stat().st_size == size  # it is asked again with every price, by all who wait
    for hopeless in orders:
        with pytest.raises(CapTooSmall, match=r"may take 0\.2 USD, and the cap is 0\.1"):
            pace.take(replace(hopeless, estimate=Estimate(usd=2 * DIME)))


def test_a_price_that_is_not_told_keeps_the_worst_case_until_it_is(pace: Pace) -> None:
    pace.take(order("a"))
    pace.settle(AttemptId("a"), Estimate(usd=None, requests=1))
    assert (pace.used().of_day.usd, pace.tabs()) == (DIME, ["a"])
    pace.price(AttemptId("a"), DIME / 2)
    pace.price(AttemptId("a"), DIME * 9)  # told twice, booked once
    assert (pace.used().of_day.usd, pace.tabs()) == (DIME / 2, [])


def test_a_price_that_nobody_stated_is_counted_as_unknown_until_it_is_told(pace: Pace) -> None:
    pace.take(order("a", None))
    assert pace.used().unknown_of_month == 1
    pace.settle(AttemptId("a"), Estimate(usd=None, requests=1))
    pace.price(AttemptId("a"), DIME)
    assert (pace.used().unknown_of_month, pace.used().of_month.usd) == (0, DIME)


def test_a_day_ends_at_midnight_of_utc_and_a_month_with_its_last_day(pace: Pace, clock: Clock) -> None:
    clock.go(-2 * DAY_S)
    pace.take(order("a", day=DIME, month=2 * DIME))
    with pytest.raises(CapReached, match="per day"):
        pace.take(order("b", day=DIME, month=2 * DIME))
    clock.go(DAY_S)
    pace.take(order("b", day=DIME, month=2 * DIME))
    clock.go(DAY_S)
    with pytest.raises(CapReached, match="per month"):
        pace.take(order("c", day=DIME, month=2 * DIME))
    clock.go(DAY_S)
    assert pace.take(order("c", day=DIME, month=2 * DIME)) == 0


@pytest.mark.parametrize("jump", [DAY_S, 40 * DAY_S, -DAY_S, -40 * DAY_S, 1e9, -NOON])
def test_a_jump_of_the_clock_lifts_no_cap_and_blocks_none_for_ever(pace: Pace, clock: Clock, jump: float) -> None:
    pace.take(order("a", day=DIME))
    clock.wall += jump
    clock.steady += 60
    with pytest.raises(CapReached):
        pace.take(order("b", day=DIME))
    clock.go(1.2 * DAY_S)  # it leans towards the wall clock by a tenth at most
    assert pace.take(order("b", day=DIME)) == 0


def test_a_clock_that_is_set_back_between_two_boots_frees_nothing_and_blocks_for_a_day(
    pace: Pace, clock: Clock
) -> None:
    clock.go(400 * DAY_S)
    pace.take(order("a", day=DIME, month=DIME))
    clock.wall, clock.steady, clock.boot = NOON, 5.0, "two"
    with pytest.raises(CapReached, match="per day"):
        pace.take(order("b", day=DIME, month=DIME))
    clock.wall += 5 * DAY_S  # the time service comes up after the first look
    with pytest.raises(CapReached, match="per day"):
        pace.take(order("b", day=DIME, month=DIME))
    clock.go(DAY_S)
    assert pace.take(order("b", day=DIME)) == 0


def test_a_rate_holds_over_all_who_take_from_the_route_and_is_kept_between_runs(tmp_path: Path, clock: Clock) -> None:
    rates = (Rate(unit="requests", span="minute", most=2), Rate(unit="audio_seconds", span="hour", most=100))
    first, second = opened(tmp_path, clock), opened(tmp_path, clock, "/other")
    assert first.take(order("a", rates=rates, seconds=60)) == second.take(order("b", rates=rates, seconds=30)) == 0
    assert 59 < first.take(order("c", rates=rates, seconds=5)) <= 61
    first.close()
    second.close()
    third = opened(tmp_path, clock)
    assert 59 < third.take(order("c", rates=rates, seconds=5)) <= 61
    clock.go(61)
    assert third.take(order("c", rates=rates, seconds=5)) == 0
    assert 3600 - 62 < third.take(order("d", rates=rates, seconds=20)) <= 3660
    assert third.used().of_day.requests == 3  # who has to wait takes nothing
    third.close()


def test_a_call_larger_than_a_rate_is_refused_and_takes_nothing(pace: Pace) -> None:
    rates = (Rate(unit="requests", span="minute", most=2), Rate(unit="audio_seconds", span="hour", most=100))
    with pytest.raises(LimitExceeded, match="100 audio-seconds per hour"):
        pace.take(order("a", rates=rates, seconds=101))
    assert pace.used().of_day == Estimate()


def test_a_rest_is_shared_and_bounded(tmp_path: Path, pace: Pace, clock: Clock) -> None:
    other = opened(tmp_path, clock, "/other")
    pace.rest("r", 30)
    pace.rest("r", 10)
    assert other.rest_s("r") == pytest.approx(30)
    assert other.take(order("a")) == pytest.approx(30)
    assert other.rest_s("elsewhere") == 0
    pace.rest("r", 1e9)
    assert other.rest_s("r") <= 120
    other.close()


def test_a_spool_is_counted_in_once_with_what_it_spent_in_this_month(pace: Pace, clock: Clock) -> None:
    spent = [
        ("2026-10-31", Estimate(usd=7 * DIME, requests=1), 5),
        ("2026-11-02", Estimate(usd=2 * DIME, requests=1), 1),
        ("2026-11-30", Estimate(usd=DIME, requests=1), 0),
        ("2031-01-01", Estimate(usd=DIME, requests=1), 2),
    ]
    assert [pace.enter(spent), pace.enter(spent)] == [True, False]
    used = pace.used()
    assert (used.of_day.usd, used.of_month.usd) == (2 * DIME, 4 * DIME)
    assert (used.unknown_of_day, used.unknown_of_month) == (2, 3)


def test_the_file_is_its_owners_alone_and_durable(tmp_path: Path, pace: Pace) -> None:
    path = tmp_path / "state" / "pace.db"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    with sqlite3.connect(path) as looker:
        assert looker.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert pace._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert pace.check() is None


def test_there_is_no_pace_in_the_folder_that_a_user_without_a_home_stands_in(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = "~/.local/state/mediaspool/pace.db"
    with pytest.raises(PaceBroken, match="no home folder"):
        Pace.open(path, spool="one", look=clock.look)
    with pytest.raises(PaceBroken, match="no home folder"):
        Pace.view(path, look=clock.look)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("body", [b"no database at all" * 100, b"SQLite format 3\0" + bytes(5000)])
def test_a_file_that_is_broken_is_said_to_be_and_stays_as_it_is(tmp_path: Path, clock: Clock, body: bytes) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "pace.db").write_bytes(body)
    with pytest.raises(PaceBroken):
        opened(tmp_path, clock)
    with pytest.raises(PaceBroken):
        Pace.view(str(tmp_path / "state" / "pace.db"), look=clock.look)
    assert (tmp_path / "state" / "pace.db").read_bytes() == body


def test_the_database_of_another_program_or_a_newer_one_is_refused(tmp_path: Path, clock: Clock) -> None:
    for name, statements in {
        "other": ["CREATE TABLE t (a)"],
        "newer": [f"PRAGMA application_id = {APPLICATION_ID}", "PRAGMA user_version = 99"],
    }.items():
        with sqlite3.connect(tmp_path / name) as connection:
            for statement in statements:
                connection.execute(statement)
        with pytest.raises(PaceBroken):
            Pace.open(str(tmp_path / name), spool="/s", look=clock.look)


def test_there_is_nothing_to_look_at_before_the_first_use(tmp_path: Path, clock: Clock) -> None:
    assert Pace.view(str(tmp_path / "pace.db"), look=clock.look) is None
    assert not (tmp_path / "pace.db").exists()


def test_one_in_memory_keeps_rates_for_itself(clock: Clock) -> None:
    alone = Pace.open(MEMORY, spool="/s", look=clock.look)
    rates = (Rate(unit="requests", span="minute", most=1),)
    assert alone.take(order("a", rates=rates)) == 0
    assert alone.take(order("b", rates=rates)) > 0
    alone.close()


@pytest.mark.real_time
@pytest.mark.parametrize(("most", "expected"), [(1000, 25), (7, 7)], ids=["by the cap", "by the rate"])
def test_processes_that_take_at_once_together_pass_neither_cap_nor_rate(
    tmp_path: Path, most: int, expected: int
) -> None:
    """They start before the file exists: it is made once."""
    path = str(tmp_path / "state" / "pace.db")
    words = [sys.executable, "-m", "tests.state.pace_child", path]
    racers = [
        subprocess.Popen([*words, f"/s{number}", str(most)], stdout=subprocess.PIPE, text=True) for number in range(4)
    ]
    told = [racer.communicate(timeout=60)[0] for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * 4
    assert sum(map(int, told)) == expected
    assert os.path.exists(path)
