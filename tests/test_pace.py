"""Rates, days and months in whole runs under the virtual clock: who waits, who is left, and what a broken file does."""

import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
import trio
from msgspec.structs import replace
from trio.testing import MockClock

from pipeline.core.errors import MediaspoolError, Throttled
from pipeline.core.model import Caps, Outcome, RouteId
from pipeline.core.rates import Rate, Span
from pipeline.pacing import cap_uses, used_line
from pipeline.state.pace import Pace
from pipeline.state.pace_tables import CapTable
from pipeline.state.pace_time import Moment
from tests.player import Player
from tests.rig import Act, Rig
from tests.test_lanes import verdicts

DIME = Decimal("0.10")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path / "one", widths={"r": 4, "free": 2}, paid=True)
    made.state = tmp_path / "state"
    free = made.players["free"]
    free.usd, free.facts = Decimal(0), replace(free.facts, paid=False)
    free.route = replace(free.route, driver="whisper")
    yield made
    made.close()


@pytest.fixture
def other(tmp_path: Path, rig: Rig) -> Iterator[Rig]:
    """Another spool of the same user."""
    made = Rig(tmp_path / "two", widths={"r": 4}, paid=True)
    made.state = rig.state
    yield made
    made.close()


def slow(rig: Rig, most: float, span: Span = "minute") -> None:
    player = rig.players["r"]
    player.route = replace(player.route, rates=(Rate(unit="requests", span=span, most=most),))


def codes(outcomes: dict[str, Outcome]) -> set[tuple[str, str | None]]:
    return {(outcome.verdict, outcome.code) for outcome in outcomes.values()}


def spoil(rig: Rig) -> None:
    rig.state.mkdir(exist_ok=True)
    (rig.state / "pace.db").write_bytes(b"no database at all" * 100)


async def test_a_rate_is_never_passed_and_every_job_is_done(rig: Rig, autojump_clock: MockClock) -> None:
    slow(rig, 10)
    outcomes = await rig.run(*(rig.job(f"j{number}", Act(after_s=0.5)) for number in range(35)))
    assert codes(outcomes) == {("done", None)}
    sent = sorted(played.at for played in rig.sent())
    assert all(later - earlier >= 60 for earlier, later in zip(sent, sent[10:], strict=False))
    assert sent[-1] < 4 * 61


async def test_a_rate_is_kept_between_runs_and_shared_by_spools(
    rig: Rig, other: Rig, autojump_clock: MockClock
) -> None:
    for each in (rig, other):
        slow(each, 5)
    await rig.run(*(rig.job(f"j{number}", Act()) for number in range(3)))
    rig.begin_anew()
    await rig.run(rig.job("again", Act()))
    await other.run(*(other.job(f"k{number}", Act()) for number in range(3)))
    assert sorted(played.at < 60 for played in [*rig.sent(), *other.sent()]) == [False] * 2 + [True] * 5


async def test_a_wait_that_is_longer_than_a_run_is_patient_is_left_to_a_later_one(
    rig: Rig, autojump_clock: MockClock
) -> None:
    slow(rig, 2, "day")
    jobs = [rig.job(f"j{number}", Act()) for number in range(5)]
    outcomes = await rig.run(*jobs)
    assert codes(outcomes) == {("done", None), ("not-started", "rate-limited")}
    assert (len(rig.sent()), trio.current_time() < 1) == (2, True)
    await trio.sleep(25 * 3600)
    rig.begin_anew()
    assert sorted(verdicts(await rig.run(*jobs)).values()) == ["done"] * 2 + ["not-started"] + ["unchanged"] * 2


async def test_who_waits_for_its_rate_holds_no_money(rig: Rig, autojump_clock: MockClock) -> None:
    slow(rig, 1)
    rig.caps = Caps(max_spend_usd=3 * DIME)
    assert codes(await rig.run(*(rig.job(f"j{number}", Act()) for number in range(3)))) == {("done", None)}


async def test_who_waits_for_its_rate_when_the_run_is_stopped_is_left_at_once(
    rig: Rig, autojump_clock: MockClock
) -> None:
    slow(rig, 1)

    outcomes = await rig.run_stopped(*(rig.job(f"j{number}", Act()) for number in range(3)), after_s=10)
    assert sorted(outcome.verdict for outcome in outcomes.values()) == ["done", "not-started", "not-started"]
    assert len(rig.sent()) == 1
    assert 10 <= trio.current_time() <= 12


async def test_a_day_cap_is_shared_by_the_runs_of_a_user_and_frees_itself(
    rig: Rig, other: Rig, autojump_clock: MockClock
) -> None:
    rig.day = other.day = Caps(max_spend_usd=5 * DIME)
    await rig.run(*(rig.job(f"j{number}", Act()) for number in range(3)))
    jobs = [other.job(f"k{number}", Act()) for number in range(3)]
    outcomes = await other.run(*jobs)
    assert sorted(verdicts(outcomes).values()) == ["done", "done", "not-started"]
    assert {outcome.code for outcome in outcomes.values() if outcome.code} == {"budget-spend"}
    await trio.sleep(24 * 3600)
    other.begin_anew()
    assert set(verdicts(await other.run(*jobs)).values()) == {"unchanged", "done"}


async def test_a_doubtful_call_counts_as_spent_and_a_free_failure_does_not(rig: Rig, autojump_clock: MockClock) -> None:
    rig.day = Caps(max_spend_usd=3 * DIME)
    outcomes = await rig.run(
        rig.job("doubt", Act(ends="InDoubt")), rig.job("no", Act(ends="Rejected")), rig.job("down", Act(unavailable=99))
    )
    assert verdicts(outcomes) == {"doubt": "held", "no": "failed", "down": "failed"}
    rig.begin_anew()
    outcomes = await rig.run(*(rig.job(f"j{number}", Act()) for number in range(3)))
    assert sorted(verdicts(outcomes).values()) == ["done", "done", "not-started"]


async def test_routes_that_cost_nothing_touch_no_file_unless_a_cap_counts_their_minutes(
    rig: Rig, autojump_clock: MockClock
) -> None:
    rig.caps = Caps(max_spend_usd=DIME)
    await rig.run(rig.job("a", Act(), route="free"))
    assert not rig.state.exists()
    rig.day = Caps(max_audio_minutes=2)
    outcomes = await rig.run(*(rig.job(f"j{number}", Act(), route="free") for number in range(3)))
    assert sorted(verdicts(outcomes).values()) == ["done", "done", "not-started"]
    assert {outcome.code for outcome in outcomes.values() if outcome.code} == {"budget-audio"}


async def test_a_broken_file_sends_nothing_that_a_cap_counts_and_keeps_the_rest_going(
    rig: Rig, autojump_clock: MockClock
) -> None:
    spoil(rig)
    rig.month = Caps(max_spend_usd=DIME)
    jobs = (rig.job("paid", Act()), rig.job("free", Act(), route="free"))
    outcomes = await rig.run(*jobs)
    assert (outcomes["paid"].verdict, outcomes["paid"].code) == ("not-started", "pace-broken")
    assert (outcomes["free"].verdict, [played.route for played in rig.sent()]) == ("done", ["free"])
    assert rig.warnings
    (rig.state / "pace.db").unlink()
    rig.begin_anew()
    assert verdicts(await rig.run(*jobs)) == {"paid": "done", "free": "unchanged"}


async def test_without_a_cap_a_broken_file_is_told_and_the_run_keeps_its_own_rate(
    rig: Rig, autojump_clock: MockClock
) -> None:
    spoil(rig)
    slow(rig, 2)
    assert codes(await rig.run(*(rig.job(f"j{number}", Act()) for number in range(4)))) == {("done", None)}
    assert [played.at >= 60 for played in rig.sent()] == [False, False, True, True]
    assert any("rates are kept by this run alone" in warning for warning in rig.warnings)


async def test_the_own_rate_of_a_run_never_stands_in_for_a_cap(rig: Rig, autojump_clock: MockClock) -> None:
    spoil(rig)
    slow(rig, 2)
    rig.players["r"].usd, rig.day = Decimal(0), Caps(max_spend_usd=DIME)
    dear = rig.players["free"]
    dear.usd, dear.facts = DIME, replace(dear.facts, paid=True)
    outcomes = await rig.run(rig.job("cheap", Act()), rig.job("dear", Act(), route="free", needs=("cheap",)))
    assert (outcomes["cheap"].verdict, outcomes["dear"].code) == ("done", "pace-broken")
    assert [played.route for played in rig.sent()] == ["r"]


@pytest.mark.real_time
async def test_a_locked_file_is_waited_for_a_moment_and_no_cap_is_lifted(rig: Rig, autojump_clock: MockClock) -> None:
    rig.day = Caps(max_spend_usd=DIME)
    await rig.run(rig.job("first", Act(), route="free"))
    rig.begin_anew()
    locker = sqlite3.connect(rig.state / "pace.db", isolation_level=None)
    locker.execute("BEGIN IMMEDIATE")
    assert codes(await rig.run(rig.job("a", Act()))) == {("not-started", "pace-broken")}
    locker.close()
    rig.begin_anew()
    assert codes(await rig.run(rig.job("a", Act()))) == {("done", None)}


async def test_a_file_that_is_gone_is_begun_anew_with_what_the_ledger_knows_and_that_is_said(
    rig: Rig, autojump_clock: MockClock
) -> None:
    rig.day = Caps(max_spend_usd=2 * DIME)
    await rig.run(rig.job("a", Act()), rig.job("doubt", Act(ends="InDoubt")))
    assert rig.warnings == []
    rig.close()
    for path in rig.state.iterdir():
        path.unlink()
    rig.begin_anew()
    assert codes(await rig.run(rig.job("b", Act()))) == {("not-started", "budget-spend")}
    assert any("counted in from its ledger" in warning for warning in rig.warnings)


async def test_a_paid_call_after_which_our_own_machine_fails_is_in_doubt_and_counts_everywhere_with_its_worst_case(
    rig: Rig, autojump_clock: MockClock
) -> None:
    rig.day = Caps(max_spend_usd=2 * DIME)
    assert (await rig.run(rig.job("broken", Act(ends="EngineError"))))["broken"].verdict == "held"
    (spent,) = rig.ledger.spend()
    assert (spent.calls, spent.doubtful, spent.doubtful_usd) == (0, 1, DIME)
    rig.begin_anew()
    outcomes = await rig.run(*(rig.job(f"j{number}", Act()) for number in range(2)))
    assert sorted(verdicts(outcomes).values()) == ["done", "not-started"]


@pytest.mark.parametrize("ends", ["ContractError", "ReplyTooLarge"])
async def test_a_paid_answer_that_is_of_no_use_counts_in_the_runs_to_come_too(
    rig: Rig, ends: str, autojump_clock: MockClock
) -> None:
    rig.day = Caps(max_spend_usd=2 * DIME)
    await rig.run(rig.job("useless", Act(ends=ends)))
    rig.begin_anew()
    outcomes = await rig.run(*(rig.job(f"j{number}", Act()) for number in range(2)))
    assert sorted(verdicts(outcomes).values()) == ["done", "not-started"]


async def test_calls_without_a_price_are_counted_in_with_their_worst_case_where_the_file_is_new(
    rig: Rig, autojump_clock: MockClock
) -> None:
    rig.players["r"].usd, rig.players["r"].worst_usd = None, DIME
    await rig.run(rig.job("a", Act()))
    rig.day = Caps(max_spend_usd=DIME)
    rig.begin_anew()
    assert codes(await rig.run(rig.job("b", Act()))) == {("not-started", "budget-spend")}


async def test_a_call_in_doubt_counts_with_the_price_that_was_stated_for_it_where_the_file_is_new(
    rig: Rig, autojump_clock: MockClock
) -> None:
    rig.players["r"].worst_usd = None
    rig.caps, rig.day = Caps(unknown_price_usd=DIME), Caps(max_spend_usd=DIME)
    assert (await rig.run(rig.job("doubt", Act(ends="InDoubt"))))["doubt"].verdict == "held"
    rig.close()
    for path in rig.state.iterdir():
        path.unlink()
    rig.begin_anew()
    assert codes(await rig.run(rig.job("b", Act()))) == {("not-started", "budget-spend")}


async def test_calls_of_which_nobody_knows_what_they_cost_are_told_beside_what_is_counted_in(
    rig: Rig, autojump_clock: MockClock
) -> None:
    rig.players["r"].usd = rig.players["r"].worst_usd = None
    await rig.run(rig.job("dark", Act()), rig.job("as dark", Act()), rig.job("doubt", Act(ends="InDoubt")))
    rig.day = Caps(max_spend_usd=DIME)
    rig.begin_anew()
    await rig.run(rig.job("free", Act(), route="free"))
    (warning,) = rig.warnings
    assert warning.endswith("3 calls of this month have a price that nobody knows, and are not in it")
    pace = Pace.view(str(rig.state / "pace.db"), look=lambda: Moment(wall=rig.wall(), steady=0, boot="this"))
    assert pace is not None
    (use,) = cap_uses(CapTable(max_spend_usd_per_day=DIME), pace.used())
    pace.close()
    assert used_line(use).endswith("0 of 0.1 USD used by all runs here, and what 3 calls cost of which nobody knows it")


async def test_calls_that_cost_nothing_are_no_requests_of_paid_routes_where_the_file_is_new(
    rig: Rig, autojump_clock: MockClock
) -> None:
    await rig.run(*(rig.job(f"j{number}", Act(), route="free") for number in range(3)))
    rig.day = Caps(max_requests=1)
    rig.begin_anew()
    assert codes(await rig.run(rig.job("paid", Act()))) == {("done", None)}


async def test_what_was_spent_before_there_was_a_cap_counts(rig: Rig, autojump_clock: MockClock) -> None:
    await rig.run(rig.job("a", Act()))
    assert not rig.state.exists()
    rig.day = Caps(max_spend_usd=DIME)
    rig.begin_anew()
    assert codes(await rig.run(rig.job("b", Act()))) == {("not-started", "budget-spend")}


async def test_a_cool_down_holds_for_the_other_runs_of_the_user(
    rig: Rig, other: Rig, autojump_clock: MockClock
) -> None:
    def mood(_under_way: int) -> MediaspoolError | None:
        return Throttled("slow down", retry_after_s=100) if trio.current_time() < 100 else None

    rig.players["r"].mood = mood
    await rig.run(rig.job("a", Act(), max_job_s=5))
    assert codes(await other.run(other.job("b", Act()))) == {("done", None)}
    assert [played.at >= 100 for played in other.sent()] == [True]


async def test_work_that_a_provider_went_on_with_is_booked_at_its_price_once_it_is_known(
    rig: Rig, autojump_clock: MockClock
) -> None:
    rig.day = Caps(max_spend_usd=10 * DIME)
    rig.players["r"].worst_usd = 5 * DIME
    job = rig.job("film", Act(after_s=100, is_deferred=True), max_job_s=10)
    assert (await rig.run(job))["film"].code == "deferred"
    rig.begin_anew()
    rig.players["r"].worst_usd = "usd"
    outcomes = await rig.run(*(rig.job(f"j{number}", Act()) for number in range(6)))
    assert sorted(verdicts(outcomes).values()) == ["done"] * 5 + ["not-started"]  # the film may cost half of it
    await trio.sleep(100)
    rig.begin_anew()
    assert (await rig.run(job))["film"].verdict == "done"
    rig.begin_anew()
    outcomes = await rig.run(*(rig.job(f"k{number}", Act()) for number in range(5)))
    assert sorted(verdicts(outcomes).values()) == ["done"] * 4 + ["not-started"]


async def test_a_day_that_is_used_up_is_told_at_once_to_who_would_wait_for_room_in_its_manifest(
    rig: Rig, other: Rig, autojump_clock: MockClock
) -> None:
    rig.caps, rig.day = Caps(max_spend_usd=10 * DIME), Caps(max_spend_usd=15 * DIME)
    other.day = rig.day
    rig.players["r"].usd, other.players["r"].usd = 9 * DIME, 6 * DIME
    rig.players["dear"] = Player(replace(rig.players["r"].route, id=RouteId("dear")), paid=True)
    rig.players["dear"].worst_usd = Decimal("0.95")
    first = rig.job("first", Act(after_s=2), route="free")
    dear = rig.job("dear", Act(), route=("dear", "free"), on_failure="next-route", needs=("first",))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(other.run, other.job("elsewhere", Act(after_s=1)))
        outcomes = await rig.run(rig.job("long", Act(after_s=1000)), first, dear)
    assert set(verdicts(outcomes).values()) == {"done"}
    assert [(played.route, played.at) for played in rig.sent() if played.text == "dear"] == [("free", 2)]
