"""Caps in whole runs: who is stopped by which, what goes on, and what no run spends."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from pipeline.core.budget import Budget
from pipeline.core.drivers import RouteConfig
from pipeline.core.model import Binding, Caps, Estimate, RouteId
from pipeline.core.operations import Operation, Speak
from tests.player import Player
from tests.rig import HANG_S, Act, Rig, SlowRunner
from tests.test_lanes import verdicts


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path, widths={"r": 2, "other": 2}, paid=True)
    yield made
    made.close()


async def test_a_cap_over_the_run_closes_the_routes_that_need_more_of_it_for_all_manifests(
    rig: Rig, autojump_clock: MockClock
) -> None:
    rig.players["other"].usd = Decimal(0)
    rig.run_budget = Budget(Caps(max_spend_usd=Decimal("0.25")), level="run")
    first = tuple(rig.job(f"a{number}", Act(after_s=1)) for number in range(3))
    second = (*(rig.job(f"b{number}", Act(after_s=1)) for number in range(3)), rig.job("free", Act(), route="other"))
    told = await rig.run_batches(first, second)
    every = {job: outcome for outcomes in told for job, outcome in outcomes.items()}
    assert sorted(verdicts(every).values()) == ["done"] * 3 + ["not-started"] * 4
    assert every["free"].verdict == "done"
    assert {outcome.code for outcome in every.values() if outcome.code} == {"budget-spend"}
    assert len([played for played in rig.sent() if played.route == "r"]) == 2


async def test_every_try_counts_as_a_request_that_was_sent(rig: Rig, autojump_clock: MockClock) -> None:
    rig.caps = Caps(max_requests=2)
    outcomes = await rig.run(*(rig.job(f"j{number}", Act(after_s=number)) for number in range(4)))
    assert sorted(verdicts(outcomes).values()) == ["done", "done", "not-started", "not-started"]
    assert {outcome.code for outcome in outcomes.values() if outcome.code} == {"budget-requests"}


async def test_what_a_call_has_reserved_beyond_its_price_is_given_back_before_the_next_one_begins(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    rig = Rig(tmp_path, widths={"r": 1}, paid=True)
    rig.runner, rig.caps = SlowRunner(60), Caps(max_spend_usd=Decimal(1))
    rig.players["r"].usd, rig.players["r"].worst_usd = Decimal("0.05"), Decimal("0.60")
    outcomes = await rig.run(*(rig.job(f"j{number}", Act(after_s=1)) for number in range(6)))
    rig.close()
    assert set(verdicts(outcomes).values()) == {"done"}


@pytest.mark.parametrize("level", ["manifest", "run", "day"])
async def test_a_call_waits_for_the_price_of_those_under_way_instead_of_ending_what_they_may_leave_room_for(
    tmp_path: Path, autojump_clock: MockClock, level: str
) -> None:
    rig, caps = Rig(tmp_path, widths={"r": 4}, paid=True), Caps(max_spend_usd=Decimal(1))
    rig.caps = caps if level == "manifest" else Caps()
    rig.run_budget = Budget(caps if level == "run" else Caps(), level="run")
    rig.day = caps if level == "day" else Caps()
    rig.players["r"].usd, rig.players["r"].worst_usd = Decimal("0.10"), Decimal("0.30")
    outcomes = await rig.run(*(rig.job(f"j{number}", Act(after_s=10)) for number in range(12)))
    told = list(verdicts(outcomes).values())
    assert (told.count("done"), told.count("not-started")) == (8, 4)  # 0.80 USD: one more might pass the cap
    assert {outcome.code for outcome in outcomes.values() if outcome.code} == {"budget-spend"}
    assert [played.at for played in rig.sent()] == [0] * 3 + [10] * 2 + [20, 30, 40]
    rig.close()


@pytest.mark.parametrize("level", ["run", "day", "month"])
async def test_a_call_that_no_price_of_those_under_way_makes_room_for_does_not_wait_for_them(
    rig: Rig, autojump_clock: MockClock, level: str
) -> None:
    caps = Caps(max_spend_usd=Decimal(1))
    rig.run_budget = Budget(caps if level == "run" else Caps(), level="run")
    rig.day, rig.month = (caps if level == period else Caps() for period in ("day", "month"))
    rig.players["r"].usd = Decimal("0.90")
    rig.players["other"].worst_usd = Decimal("1.20")
    rig.players["here"] = Player(RouteConfig(id=RouteId("here"), driver="player", width=1), paid=False)
    dear = rig.job("dear", Act(), route=("other", "here"), on_failure="next-route", needs=("first",))
    jobs = (rig.job("long", Act(after_s=1000)), rig.job("first", Act(after_s=1), route="here"), dear)
    assert set(verdicts(await rig.run(*jobs)).values()) == {"done"}
    assert [(played.text, played.at) for played in rig.sent()] == [("long", 0), ("first", 0), ("dear", 1)]


class ByLetter(Player):
    """What a call may cost is told by the name of its job: ten cents a letter."""

    def estimate(self, operation: Operation, binding: Binding) -> Estimate:
        assert isinstance(operation, Speak)
        return Estimate(usd=Decimal("0.10") * operation.text.index("/"))


@pytest.mark.parametrize("level", ["run", "day"])
async def test_who_waits_for_room_is_left_as_soon_as_its_route_takes_nothing_more(
    rig: Rig, autojump_clock: MockClock, level: str
) -> None:
    caps = Caps(max_spend_usd=Decimal(1))
    rig.run_budget = Budget(caps if level == "run" else Caps(), level="run")
    rig.day = caps if level == "day" else Caps()
    rig.players["other"].usd = Decimal("0.90")
    rig.players["r"] = ByLetter(rig.players["r"].route, paid=True)
    rig.players["here"] = Player(RouteConfig(id=RouteId("here"), driver="player", width=2), paid=False)
    jobs = (
        rig.job("long", Act(after_s=1000), route="other"),
        rig.job("a", Act(after_s=1)),
        rig.job("b", Act(after_s=2), route="here"),
        rig.job("bit", Act(), route=("r", "here"), on_failure="next-route", needs=("a",)),
        rig.job("never-fits", Act(), needs=("b",)),
    )
    outcomes = await rig.run(*jobs)
    assert (outcomes["never-fits"].verdict, outcomes["never-fits"].code) == ("not-started", "budget-spend")
    (moved,) = [played for played in rig.sent() if played.text == "bit"]
    assert (moved.route, 2 <= moved.at <= 3) == ("here", True)


async def test_who_waits_for_room_under_a_cap_is_stopped_with_the_run(rig: Rig, autojump_clock: MockClock) -> None:
    rig.caps = Caps(max_spend_usd=Decimal(1))
    rig.players["r"].worst_usd = Decimal("0.90")

    outcomes = await rig.run_stopped(*(rig.job(f"j{number}", Act(after_s=10)) for number in range(3)), after_s=5)
    assert sorted(verdicts(outcomes).values()) == ["done", "not-started", "not-started"]
    assert (len(rig.sent()), trio.current_time()) == (1, 10)


@pytest.mark.parametrize("level", ["manifest", "day"])
async def test_a_job_whose_time_passes_while_it_only_waits_for_room_is_left_to_the_next_run(
    rig: Rig, level: str, autojump_clock: MockClock
) -> None:
    caps = Caps(max_spend_usd=Decimal(1))
    rig.caps, rig.day = (caps, Caps()) if level == "manifest" else (Caps(), caps)
    rig.players["r"].usd, rig.players["r"].worst_usd = Decimal("0.10"), Decimal("0.60")
    rig.players["here"] = Player(RouteConfig(id=RouteId("here"), driver="player", width=1), paid=False)
    first, twice = rig.job("first", Act(after_s=1), route="here"), rig.job("twice", Act(), Act(), needs=("first",))
    waits = rig.job("waits", Act(), needs=("first",), max_job_s=50)
    outcomes = await rig.run(rig.job("long", Act(after_s=100)), first, waits, twice)
    assert verdicts(outcomes) == {"long": "done", "first": "done", "waits": "not-started", "twice": "done"}
    assert (outcomes["waits"].code, "waited" in outcomes["waits"].reason) == ("limit-time", True)
    rig.begin_anew()
    assert (await rig.run(first, waits))["waits"].verdict == "done"


async def test_a_job_whose_time_passes_while_one_call_waits_and_another_hangs_has_failed(
    rig: Rig, autojump_clock: MockClock
) -> None:
    rig.caps = Caps(max_audio_minutes=1.5)
    rig.players["here"] = Player(RouteConfig(id=RouteId("here"), driver="player", width=4), paid=False)
    outcomes = await rig.run(rig.job("hangs", *[Act(after_s=HANG_S)] * 2, route="here", max_job_s=50))
    assert (outcomes["hangs"].verdict, outcomes["hangs"].code) == ("failed", "limit-time")


async def test_a_call_of_unknown_price_is_refused_alone_and_taken_up_again_once_it_is_allowed(
    rig: Rig, autojump_clock: MockClock
) -> None:
    rig.players["r"].worst_usd = None
    rig.caps = Caps(max_spend_usd=Decimal(1))
    jobs = (rig.job("dark", Act()), rig.job("known", Act(), route="other"))
    outcomes = await rig.run(*jobs)
    assert verdicts(outcomes) == {"dark": "refused", "known": "done"}
    assert (outcomes["dark"].code, len(rig.sent())) == ("price-unknown", 1)
    rig.begin_anew()
    told = await rig.run(*jobs)
    assert (told["dark"].verdict, told["dark"].earlier, told["dark"].code) == ("unchanged", "refused", "price-unknown")
    rig.begin_anew()
    rig.caps = Caps(max_spend_usd=Decimal(1), unknown_price_usd=Decimal("0.50"))
    assert verdicts(await rig.run(*jobs)) == {"dark": "done", "known": "unchanged"}


@pytest.mark.parametrize("level", ["manifest", "run", "day"])
async def test_a_call_dearer_than_a_whole_cap_is_left_alone_and_holds_up_no_other(
    rig: Rig, autojump_clock: MockClock, level: str
) -> None:
    caps = Caps(max_spend_usd=Decimal("0.50"))
    rig.caps = caps if level == "manifest" else Caps()
    rig.run_budget = Budget(caps if level == "run" else Caps(), level="run")
    rig.day = caps if level == "day" else Caps()
    rig.players["other"].worst_usd = Decimal("0.60")
    dear = [rig.job(name, Act(), route="other") for name in ("dear", "as dear")]
    elsewhere = rig.job("elsewhere", Act(), route=("other", "r"), on_failure="next-route")
    outcomes = await rig.run(*dear, elsewhere, *(rig.job(f"j{number}", Act(after_s=1)) for number in range(3)))
    told = verdicts(outcomes)
    assert (told.pop("dear"), told.pop("as dear")) == ("not-started", "not-started")
    assert set(told.values()) == {"done"}
    assert outcomes["dear"].code == "budget-spend"
    assert outcomes["dear"].reason.startswith("the call may take 0.6 USD, and the cap is 0.5")
    assert "run again" not in outcomes["dear"].hint
