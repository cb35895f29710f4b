"""Lanes, deadlines, drain and caps under the virtual clock, where a minute of waiting costs nothing."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from pipeline.batch import END_JOBS, longest_first_at_the_end
from pipeline.core.model import Caps, Decision, Estimate, Outcome
from tests.rig import HANG_S, Act, Rig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path, widths={"r": 2, "slow": 1, "fast": 1})
    yield made
    made.close()


@pytest.fixture
def paid(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path / "paid", widths={"r": 2}, paid=True, call_timeout_s=100)
    yield made
    made.close()


def verdicts(outcomes: dict[str, Outcome]) -> dict[str, str]:
    return {job: outcome.verdict for job, outcome in outcomes.items()}


def _in_the_way(folder: Path) -> None:
    """Where the folder was there is a file now: nothing can be put into it."""
    folder.rmdir()
    folder.touch()


def states(rig: Rig) -> dict[str, int]:
    """Attempts that have no verdict, and those that are in doubt."""
    return {"open": len(rig.ledger.open_attempts()), "held": len(rig.ledger.held_attempts())}


async def after(seconds: float, rig: Rig, *, cut_s: float | None = None) -> None:
    await trio.sleep(seconds)
    rig.stop.drain("enough")
    if cut_s is not None:
        await trio.sleep(cut_s)
        rig.stop.cut.set()


async def test_a_fast_route_never_waits_for_a_slow_one(rig: Rig, autojump_clock: MockClock) -> None:
    slow = [rig.job(f"s{n}", Act(after_s=1000), route="slow") for n in range(5)]
    fast = [rig.job(f"f{n}", Act(after_s=1), route="fast") for n in range(5)]
    await rig.run(*slow, *fast)
    assert [played.at for played in rig.players["fast"].sent] == pytest.approx([0, 1, 2, 3, 4])
    assert trio.current_time() == pytest.approx(5000)


def test_the_last_jobs_begin_with_the_longest_and_all_others_keep_their_order(rig: Rig) -> None:
    seconds = [*range(100), *(5, 80, 1, 300, 80)]
    asked = [
        (number, Decision(job=rig.job(f"j{number}"), choice="run", estimate=Estimate(audio_seconds=float(length))))
        for number, length in enumerate(seconds)
    ]
    ordered = [number for number, _ in longest_first_at_the_end(asked)]
    kept = len(seconds) - END_JOBS
    assert ordered[:kept] == list(range(kept))
    assert [seconds[number] for number in ordered[kept:]] == sorted(seconds[kept:], reverse=True)
    assert ordered.index(101) < ordered.index(104)  # of two that are as long the first stays first


async def test_a_route_is_never_wider_than_it_says_even_when_a_job_fans_out(
    rig: Rig, autojump_clock: MockClock
) -> None:
    wide = rig.job("wide", *[Act(after_s=10 + n) for n in range(7)])
    others = [rig.job(f"o{n}", Act(after_s=3)) for n in range(5)]
    outcomes = await rig.run(wide, *others)
    assert set(verdicts(outcomes).values()) == {"done"}
    assert rig.players["r"].most == 2


async def test_a_retry_waits_outside_the_limiter(rig: Rig, autojump_clock: MockClock) -> None:
    """While a job waits to try again, the only seat of its route serves the others."""
    again = rig.job("again", Act(unavailable=1), route="slow")
    others = [rig.job(f"other-{n}", Act(after_s=0.1), needs=("again-begun",), route="slow") for n in range(4)]
    begun = rig.job("again-begun", Act(after_s=0.01), route="slow")
    assert set(verdicts(await rig.run(again, begun, *others)).values()) == {"done"}
    assert rig.players["slow"].sent[-1].text == "again"


async def test_what_was_never_executed_is_tried_four_times_and_then_fails(rig: Rig, autojump_clock: MockClock) -> None:
    outcomes = await rig.run(rig.job("never", Act(unavailable=99)), rig.job("third", Act(unavailable=3)))
    assert verdicts(outcomes) == {"never": "failed", "third": "done"}
    assert outcomes["never"].code == "unavailable"
    (third,) = rig.sent()
    assert 3.5 <= third.at <= 7  # after waits of about one, two and four seconds


@pytest.mark.parametrize("by", ["call", "job"])
async def test_invariant_14_a_deadline_ends_a_hanging_call_of_a_free_route_as_failed(
    tmp_path: Path, by: str, autojump_clock: MockClock
) -> None:
    rig = Rig(tmp_path, widths={"r": 1}, call_timeout_s=100 if by == "call" else HANG_S)
    outcomes = await rig.run(rig.job("hangs", Act(after_s=HANG_S), max_job_s=100 if by == "job" else None))
    assert (outcomes["hangs"].verdict, outcomes["hangs"].code) == ("failed", "limit-time")
    assert trio.current_time() == pytest.approx(100)
    assert states(rig) == {"open": 0, "held": 0}
    rig.close()


@pytest.mark.parametrize("by", ["call", "job"])
async def test_invariant_3_a_deadline_ends_a_hanging_call_of_a_paid_route_as_held(
    tmp_path: Path, by: str, autojump_clock: MockClock
) -> None:
    rig = Rig(tmp_path, widths={"r": 1}, paid=True, call_timeout_s=100 if by == "call" else HANG_S)
    outcomes = await rig.run(rig.job("hangs", Act(after_s=HANG_S), max_job_s=100 if by == "job" else None))
    assert outcomes["hangs"].verdict == "held"
    assert states(rig) == {"open": 0, "held": 1}
    rig.close()


async def test_a_drain_lets_running_jobs_finish_and_starts_nothing(rig: Rig, autojump_clock: MockClock) -> None:
    jobs = [rig.job(f"j{n}", Act(after_s=10)) for n in range(8)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(after, 15, rig)
        outcomes = await rig.run(*jobs)
    # Two seats, twice as many workers: a job that was in hand already, but had no seat yet, is not begun any more.
    assert sorted(verdicts(outcomes).values()) == ["done"] * 4 + ["not-started"] * 4
    assert {played.at for played in rig.sent()} == {0, 10}
    assert {outcome.reason for outcome in outcomes.values() if outcome.reason} == {"enough"}


async def test_a_drain_lets_a_job_of_many_calls_make_all_of_them(rig: Rig, autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(after, 5, rig)
        outcomes = await rig.run(rig.job("long", *[Act(after_s=10 + n) for n in range(6)]))
    assert verdicts(outcomes) == {"long": "done"}
    assert len(rig.sent()) == 6


async def test_a_cut_after_the_grace_ends_running_jobs_and_settles_their_attempts(
    rig: Rig, autojump_clock: MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: after(5, rig, cut_s=20))
        outcomes = await rig.run(rig.job("long", Act(after_s=1000)), rig.job("short", Act(after_s=20)))
    assert verdicts(outcomes) == {"long": "not-started", "short": "done"}
    assert trio.current_time() == pytest.approx(25)
    assert states(rig) == {"open": 0, "held": 0}


async def test_invariant_10_a_cut_paid_call_is_held_and_said_to_be(paid: Rig, autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: after(5, paid, cut_s=20))
        outcomes = await paid.run(paid.job("long", Act(after_s=1000)))
    assert verdicts(outcomes) == {"long": "held"}
    assert states(paid) == {"open": 0, "held": 1}


async def test_invariant_4_an_answer_whose_last_byte_is_here_is_kept_though_the_run_is_cut(
    paid: Rig, autojump_clock: MockClock
) -> None:
    job = paid.job("late", Act(after_s=5))
    paid.reached = lambda point: paid.stop.cut.set() if point == "staged" else None
    assert verdicts(await paid.run(job)) == {"late": "not-started"}
    assert states(paid) == {"open": 0, "held": 0}
    paid.begin_anew()
    paid.reached = lambda _point: None
    assert verdicts(await paid.run(job)) == {"late": "done"}
    assert len(paid.sent()) == 1


async def test_a_bug_in_a_paid_call_is_held_and_told_as_a_bug(paid: Rig, autojump_clock: MockClock) -> None:
    outcomes = await paid.run(paid.job("bug", Act(ends="bug")), paid.job("fine", Act()))
    assert verdicts(outcomes) == {"bug": "held", "fine": "done"}
    assert outcomes["bug"].code == "internal"


async def test_a_cap_stops_only_its_manifest(rig: Rig, autojump_clock: MockClock) -> None:
    rig.caps = Caps(max_audio_minutes=2)
    first = tuple(rig.job(f"a{n}", Act(after_s=n)) for n in range(4))
    second = (rig.job("b0", Act(after_s=99)), rig.job("b1", Act(after_s=99)))
    capped, other = await rig.run_batches(first, second)
    assert sorted(verdicts(capped).values()) == ["done", "done", "not-started", "not-started"]
    assert {outcome.code for outcome in capped.values() if outcome.code} == {"budget-audio"}
    assert set(verdicts(other).values()) == {"done"}


async def test_the_runtime_cap_of_a_manifest_drains_that_manifest_only(rig: Rig, autojump_clock: MockClock) -> None:
    rig.caps = Caps(max_runtime_s=15)
    jobs = tuple(rig.job(f"j{n}", Act(after_s=10), route="slow") for n in range(5))
    outcomes = await rig.run(*jobs)
    assert sorted(verdicts(outcomes).values()) == ["done"] * 2 + ["not-started"] * 3
    assert {outcome.code for outcome in outcomes.values() if outcome.code} == {"budget-runtime"}
    assert rig.stop.reason is None


async def test_a_closed_route_stops_only_its_lane(rig: Rig, autojump_clock: MockClock) -> None:
    closed = [rig.job(f"c{n}", Act(ends="RouteClosed"), route="slow") for n in range(6)]
    open_ = [rig.job(f"o{n}", Act(after_s=50), route="fast") for n in range(4)]
    outcomes = await rig.run(*closed, *open_)
    assert {outcomes[f"c{n}"].code for n in range(6)} == {"route-closed"}
    assert len(rig.players["slow"].sent) <= 2  # the next in hand may have its seat before the word is out
    assert {outcomes[f"o{n}"].verdict for n in range(4)} == {"done"}


async def test_a_broken_machine_stops_the_run(rig: Rig, autojump_clock: MockClock) -> None:
    jobs = [
        rig.job("full", Act(after_s=1, ends="StoreError")),
        *[rig.job(f"j{n}", Act(after_s=9), route="slow") for n in range(4)],
    ]
    outcomes = await rig.run(*jobs)
    assert outcomes["full"].code == "io-error"
    assert sorted(verdicts(outcomes).values()) == ["done"] + ["not-started"] * 4


async def test_children_start_when_their_parents_end(rig: Rig, autojump_clock: MockClock) -> None:
    a, b = rig.job("a", Act(after_s=10)), rig.job("b", Act(after_s=30), route="fast")
    after_a = rig.job("after-a", Act(), needs=("a",))
    after_both = rig.job("after-both", Act(), needs=("a", "b"))
    assert set(verdicts(await rig.run(after_both, after_a, b, a)).values()) == {"done"}
    assert {played.text: played.at for played in rig.sent()} == {"a": 0, "b": 0, "after-a": 10, "after-both": 30}


async def test_children_of_a_failed_job_are_blocked_down_to_the_last(rig: Rig, autojump_clock: MockClock) -> None:
    jobs = [rig.job("0", Act(ends="EngineError")), *[rig.job(str(n), Act(), needs=(str(n - 1),)) for n in range(1, 5)]]
    outcomes = await rig.run(*jobs)
    assert list(verdicts(outcomes).values()) == ["failed", "blocked", "blocked", "blocked", "blocked"]
    assert len(rig.sent()) == 1


async def test_children_of_a_job_that_never_started_are_not_started_either(rig: Rig, autojump_clock: MockClock) -> None:
    rig.caps = Caps(max_audio_minutes=0.5)
    outcomes = await rig.run(rig.job("a", Act()), rig.job("b", Act(), needs=("a",)), rig.job("c", Act(), needs=("b",)))
    assert set(verdicts(outcomes).values()) == {"not-started"}
    assert {outcome.code for outcome in outcomes.values()} == {"budget-audio"}


async def test_equal_calls_of_two_jobs_are_made_once(rig: Rig, autojump_clock: MockClock) -> None:
    jobs = [rig.job(f"j{n}", Act(after_s=5), shared="same") for n in range(4)]
    assert set(verdicts(await rig.run(*jobs)).values()) == {"done"}
    assert len(rig.sent()) == 1


async def test_a_job_held_by_the_call_of_another_is_news_only_once(paid: Rig, autojump_clock: MockClock) -> None:
    twins = [paid.job(name, Act(ends="InDoubt"), shared="same") for name in ("a", "b")]
    assert set(verdicts(await paid.run(*twins)).values()) == {"held"}
    paid.begin_anew()
    outcomes = await paid.run(*twins)
    assert {(outcome.verdict, outcome.earlier) for outcome in outcomes.values()} == {("held", "held")}
    assert len(paid.sent()) == 1


async def test_an_answer_that_could_not_be_put_away_is_finished_by_the_next_run_not_asked_for_again(
    paid: Rig, autojump_clock: MockClock
) -> None:
    """The disk fails between `received` and the asset; meanwhile another job waits for the very same answer."""
    folder = Path(paid.spool.assets)
    twins = [paid.job(name, Act(after_s=1), shared="same") for name in ("a", "b")]
    paid.reached = lambda point: _in_the_way(folder) if point == "received" else None
    outcomes = await paid.run(*twins)
    assert set(verdicts(outcomes).values()) == {"not-started"}
    folder.unlink()
    folder.mkdir()
    paid.begin_anew()
    assert set(verdicts(await paid.run(*twins)).values()) == {"done"}
    assert len(paid.sent()) == 1


async def test_money_that_may_be_spent_counts_against_the_cap(paid: Rig, autojump_clock: MockClock) -> None:
    """A paid call that was cut off may have cost its worst case; one that they say was not executed cost nothing."""
    doubt = paid.job("doubt", Act(after_s=HANG_S), max_job_s=1)
    refused = paid.job("refused", Act(ends="Rejected"))
    await paid.run(doubt, refused, paid.job("never-sent", Act(unavailable=99)), paid.job("fine", Act()))
    assert [budget.used.usd for budget in paid.budgets] == [Decimal("0.20")]


async def test_a_cap_on_money_is_never_passed(paid: Rig, autojump_clock: MockClock) -> None:
    paid.caps = Caps(max_spend_usd=Decimal("0.25"))
    outcomes = await paid.run(*[paid.job(f"j{n}", Act(after_s=n)) for n in range(5)])
    assert sorted(verdicts(outcomes).values()) == ["done"] * 2 + ["not-started"] * 3
    assert {outcome.code for outcome in outcomes.values() if outcome.code} == {"budget-spend"}
    assert len(paid.sent()) == 2


async def test_what_a_doubtful_call_may_have_cost_leaves_only_the_rest_of_the_cap(
    paid: Rig, autojump_clock: MockClock
) -> None:
    paid.caps = Caps(max_spend_usd=Decimal("0.25"))
    outcomes = await paid.run(
        paid.job("doubt", Act(after_s=HANG_S), max_job_s=1),
        paid.job("first", Act(after_s=9)),
        paid.job("later", Act(), needs=("first",)),
    )
    assert verdicts(outcomes) == {"doubt": "held", "first": "done", "later": "not-started"}
    assert {played.text for played in paid.sent()} == {"doubt", "first"}
