"""The gate of a route under the virtual clock: one cool-down for all, waits outside the seats, nothing into a wall."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from pipeline.core.errors import Forbidden, MediaspoolError, Overloaded, RouteClosed, Throttled, Unreachable
from pipeline.core.model import Outcome, Place
from pipeline.gates import Gate
from tests.rig import Act, Rig, Seen
from tests.test_lanes import verdicts

WIDTH = 8


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path, widths={"r": WIDTH, "other": 2}, paid=True)
    yield made
    made.close()


def busy_until(moment: float, hint_s: float | None) -> Callable[[int], MediaspoolError | None]:
    return lambda _under_way: Throttled("slow down", retry_after_s=hint_s) if trio.current_time() < moment else None


async def test_one_cool_down_is_shared_by_all_workers_of_a_route_and_by_no_other(
    rig: Rig, autojump_clock: MockClock
) -> None:
    rig.players["r"].mood = busy_until(30, 30)
    jobs = [rig.job(f"j{number}", Act(after_s=1)) for number in range(40)]
    outcomes = await rig.run(*jobs, rig.job("elsewhere", Act(after_s=1), route="other"))
    assert set(verdicts(outcomes).values()) == {"done"}
    sent = [played.at for played in rig.sent() if played.route == "r"]
    assert rig.players["r"].turned_away == [0] * WIDTH
    assert (sent[0], sent[1]) == (30, 31)  # one goes ahead, and the others follow once it came through
    assert [played.at for played in rig.sent() if played.route == "other"] == [0]


async def test_a_width_that_is_too_much_for_the_server_settles_below_it_and_every_job_is_done(
    rig: Rig, autojump_clock: MockClock
) -> None:
    """The in-flight budget of a prepaid account: so many at once, and never more."""
    player = rig.players["r"]
    player.mood = lambda under_way: Throttled("in flight", retry_after_s=2) if under_way > 3 else None
    outcomes = await rig.run(*(rig.job(f"j{number}", Act(after_s=5)) for number in range(100)))
    assert set(verdicts(outcomes).values()) == {"done"}
    assert len(rig.sent()) == 100
    assert len(player.turned_away) <= 15
    assert trio.current_time() < 5 * 100 / 1.5  # at 3 at once it would take 170 s


async def test_a_route_that_goes_on_turning_calls_away_ends_for_this_run_after_a_few(
    rig: Rig, autojump_clock: MockClock
) -> None:
    rig.players["r"].mood = busy_until(1e9, None)
    outcomes = await rig.run(*(rig.job(f"j{number}", Act()) for number in range(50)))
    assert {(outcome.verdict, outcome.code) for outcome in outcomes.values()} == {("not-started", "rate-limited")}
    assert len(rig.players["r"].turned_away) == WIDTH + 7
    assert trio.current_time() < 200
    rig.begin_anew()
    rig.players["r"].mood = lambda _under_way: None
    assert set(verdicts(await rig.run(*(rig.job(f"j{number}", Act()) for number in range(50)))).values()) == {"done"}


def full_until(moment: float, hint_s: float | None = None) -> Callable[[int], MediaspoolError | None]:
    return lambda _under_way: Overloaded("full", retry_after_s=hint_s) if trio.current_time() < moment else None


async def test_a_server_that_is_full_for_everybody_is_asked_a_few_times_and_the_doubt_stays_with_those_calls(
    rig: Rig, autojump_clock: MockClock
) -> None:
    rig.players["r"].mood = full_until(1e9)
    outcomes = await rig.run(*(rig.job(f"j{number}", Act()) for number in range(50)))
    asked = len(rig.players["r"].turned_away)
    told = [(outcome.verdict, outcome.code) for outcome in outcomes.values()]
    assert asked == WIDTH + 7
    assert (told.count(("held", "in-doubt")), told.count(("not-started", "rate-limited"))) == (asked, 50 - asked)


async def test_a_server_that_was_full_for_a_while_has_every_cheap_call_in_the_end(
    rig: Rig, autojump_clock: MockClock
) -> None:
    rig.allowance = (Decimal("0.10"), Decimal(100))
    rig.players["r"].mood = full_until(20, 15)
    outcomes = await rig.run(*(rig.job(f"j{number}", Act(after_s=1)) for number in range(40)))
    assert set(verdicts(outcomes).values()) == {"done"}
    assert len(rig.players["r"].turned_away) == WIDTH + 1


def gone(since: float, until: float) -> Callable[[int], MediaspoolError | None]:
    return lambda _under_way: Unreachable("no connection") if since <= trio.current_time() < until else None


async def test_a_host_that_was_never_reached_closes_its_route_within_seconds(
    rig: Rig, autojump_clock: MockClock
) -> None:
    rig.players["r"].mood = gone(0, 1e9)
    jobs = [rig.job(f"j{number}", Act()) for number in range(50)]
    outcomes = await rig.run(*jobs, rig.job("elsewhere", Act(), route="other"))
    assert outcomes.pop("elsewhere").verdict == "done"
    assert {(outcome.verdict, outcome.code) for outcome in outcomes.values()} == {("not-started", "unreachable")}
    assert len(rig.players["r"].turned_away) == WIDTH + 3
    assert trio.current_time() < 8


async def test_a_host_that_is_gone_for_a_minute_in_the_middle_of_a_run_costs_no_job(
    rig: Rig, autojump_clock: MockClock
) -> None:
    rig.players["r"].mood = gone(10, 70)
    outcomes = await rig.run(*(rig.job(f"j{number}", Act(after_s=3)) for number in range(100)))
    assert set(verdicts(outcomes).values()) == {"done"}


async def test_a_host_that_cannot_be_reached_is_no_word_to_the_other_runs_of_the_machine(
    rig: Rig, autojump_clock: MockClock
) -> None:
    rig.players["r"].mood = gone(0, 3)
    assert set(verdicts(await rig.run(rig.job("j", Act()))).values()) == {"done"}
    assert not (rig.state / "pace.db").exists()


async def test_a_route_that_closes_is_asked_no_more_than_its_width(rig: Rig, autojump_clock: MockClock) -> None:
    rig.players["r"].mood = lambda _under_way: RouteClosed("no credit")
    outcomes = await rig.run(*(rig.job(f"j{number}", Act(), Act()) for number in range(50)))
    assert {(outcome.verdict, outcome.code) for outcome in outcomes.values()} == {("not-started", "route-closed")}
    assert len(rig.players["r"].turned_away) <= WIDTH


async def test_a_call_that_is_forbidden_among_others_that_come_through_costs_its_own_job_only(
    rig: Rig, autojump_clock: MockClock
) -> None:
    flagged = [rig.job(f"flagged{number}", Act(ends="Forbidden")) for number in range(2)]
    outcomes = await rig.run(*flagged, *(rig.job(f"j{number}", Act(after_s=1)) for number in range(40)))
    told = verdicts(outcomes)
    assert [told.pop(f"flagged{number}") for number in range(2)] == ["failed", "failed"]
    assert set(told.values()) == {"done"}


async def test_one_job_that_is_forbidden_in_many_parts_closes_nothing_and_three_jobs_do() -> None:
    gate = Gate("r", WIDTH)
    for job in ("one", "one", "one", "two", "three"):
        with pytest.raises(Forbidden):
            async with gate.seat(lambda: True, Place(job)):
                raise Forbidden("the key may not do this, or what was asked")
    with pytest.raises(RouteClosed, match="3 jobs in a row"):
        async with gate.seat(lambda: True, Place("four")):
            pass


async def test_a_route_on_which_everything_is_forbidden_closes_after_a_few_and_the_next_run_goes_on_behind_them(
    rig: Rig, autojump_clock: MockClock
) -> None:
    rig.players["r"].mood = lambda _under_way: Forbidden("the key may not do this, or what was asked")
    jobs = [rig.job(f"j{number}", Act()) for number in range(50)]
    told = [(outcome.verdict, outcome.code) for outcome in (await rig.run(*jobs)).values()]
    assert set(told) == {("failed", "rejected"), ("not-started", "route-closed")}
    assert len(rig.players["r"].turned_away) == told.count(("failed", "rejected")) <= WIDTH
    rig.begin_anew()
    rig.players["r"].mood = lambda _under_way: None
    assert set(verdicts(await rig.run(*jobs)).values()) == {"done", "unchanged"}


async def test_the_wait_for_a_route_lies_inside_the_deadline_of_the_job(rig: Rig, autojump_clock: MockClock) -> None:
    rig.players["r"].mood = busy_until(100, 100)
    outcomes = await rig.run(rig.job("short", Act(), max_job_s=10), rig.job("long", Act()))
    assert (outcomes["short"].code, verdicts(outcomes)) == ("limit-time", {"short": "not-started", "long": "done"})


async def test_a_call_that_began_before_the_rest_does_not_keep_the_next_from_being_tried(
    rig: Rig, autojump_clock: MockClock
) -> None:
    """Workers begin in any order, two for each seat. The film is taken up first, so it is sent within two seconds."""
    film = rig.job("film", Act(after_s=600))

    def mood(_under_way: int) -> MediaspoolError | None:
        is_open = not 1.5 < trio.current_time() < 10
        return None if is_open else Throttled("busy", retry_after_s=10)

    rig.players["r"].mood = mood
    await rig.run(film, *(rig.job(f"j{number}", Act(after_s=1)) for number in range(30)))
    assert max(played.at for played in rig.sent()) < 20


async def test_a_busy_route_leaves_the_job_to_the_next_one_where_the_manifest_says_so(
    rig: Rig, autojump_clock: MockClock
) -> None:
    rig.players["r"].mood = busy_until(1e9, None)
    outcomes = await rig.run(rig.job("j", Act(), route=("r", "other"), on_failure="next-route"))
    assert (outcomes["j"].verdict, outcomes["j"].route) == ("done", "other")


class Times(Seen):
    """And when."""

    def __init__(self) -> None:
        super().__init__()
        self.at: dict[str, float] = {}

    def ended(self, outcome: Outcome) -> None:
        super().ended(outcome)
        self.at[outcome.job] = trio.current_time()


async def test_who_waits_for_a_route_that_rests_when_the_run_is_stopped_is_left_at_once(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    rig = Rig(tmp_path, widths={"r": 1}, paid=True)
    rig.players["r"].mood = busy_until(200, 100)
    rig.make_seen = Times

    outcomes = await rig.run_stopped(*(rig.job(f"j{number}", Act()) for number in range(3)), after_s=10)
    rig.close()
    assert isinstance(rig.seen, Times)
    told = sorted((outcome.verdict, rig.seen.at[job]) for job, outcome in outcomes.items())
    assert [verdict for verdict, _ in told] == ["done", "not-started", "not-started"]
    assert told[0][1] == 200  # the one that had called goes on
    assert all(10 <= at <= 12 for _, at in told[1:])
