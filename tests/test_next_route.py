"""`on_failure = "next-route"`: a job moves on only from a route that surely did nothing, and stays where it is done."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from trio.testing import MockClock

from tests.rig import Act, Rig
from tests.test_lanes import states, verdicts

BOTH = ("a", "b")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path, widths={"a": 2, "b": 1}, paid=True)
    yield made
    made.close()


def routes(rig: Rig) -> list[str]:
    return [played.route for played in rig.sent()]


@pytest.mark.parametrize("act", [Act(on="a", unavailable=99), Act(on="a", ends="RouteClosed")])
async def test_a_job_goes_to_the_next_route_when_the_first_did_nothing(
    rig: Rig, act: Act, autojump_clock: MockClock
) -> None:
    """T3: the next route is tried where the manifest says so."""
    outcomes = await rig.run(rig.job("j", act, route=BOTH, on_failure="next-route"))
    assert (outcomes["j"].verdict, outcomes["j"].route) == ("done", "b")


@pytest.mark.parametrize("act", [Act(on="a", unavailable=99), Act(on="a", ends="RouteClosed")])
async def test_by_default_it_stops(rig: Rig, act: Act, autojump_clock: MockClock) -> None:
    """T3: never without consent."""
    outcomes = await rig.run(rig.job("j", act, route=BOTH))
    assert outcomes["j"].verdict in ("failed", "not-started")
    assert "b" not in routes(rig)


@pytest.mark.parametrize(
    "ends", ["InDoubt", "ContractError", "Rejected", "EngineError", "LimitExceeded", "ReplyTooLarge", "bug"]
)
async def test_it_never_moves_after_anything_else(rig: Rig, ends: str, autojump_clock: MockClock) -> None:
    await rig.run(rig.job("j", Act(on="a", ends=ends), route=BOTH, on_failure="next-route"))
    assert routes(rig) == ["a"]


async def test_it_never_moves_once_one_of_its_calls_was_paid_for(rig: Rig, autojump_clock: MockClock) -> None:
    """The second call finds the route shut; the first one's money would be lost."""
    acts = (Act(on="a"), Act(on="a", ends="RouteClosed", after_s=5))
    outcomes = await rig.run(rig.job("j", *acts, route=BOTH, on_failure="next-route"))
    assert (outcomes["j"].verdict, outcomes["j"].code) == ("not-started", "route-closed")
    assert (routes(rig), outcomes["j"].usd) == (["a", "a"], Decimal("0.10"))


async def test_it_never_moves_while_one_of_its_calls_is_in_doubt(rig: Rig, autojump_clock: MockClock) -> None:
    acts = (Act(on="a", after_s=50), Act(on="a", ends="RouteClosed", after_s=5))
    outcomes = await rig.run(rig.job("j", *acts, route=BOTH, on_failure="next-route"))
    assert verdicts(outcomes) == {"j": "held"}
    assert (routes(rig), states(rig)) == (["a", "a"], {"open": 0, "held": 1})


async def test_who_waits_for_the_same_call_of_another_job_has_its_answer_though_the_route_closes_meanwhile(
    rig: Rig, autojump_clock: MockClock
) -> None:
    """Under way it was before, and by the next route it would be paid for a second time."""
    same = [rig.job(name, Act(after_s=50), shared="same", route=BOTH, on_failure="next-route") for name in ("j", "k")]
    closing = rig.job("closing", Act(on="a", ends="RouteClosed", after_s=5), route="a")
    outcomes = await rig.run(*same, closing)
    assert verdicts(outcomes) == {"j": "done", "k": "done", "closing": "not-started"}
    assert routes(rig) == ["a", "a"]


async def test_the_last_route_s_failure_is_the_job_s(rig: Rig, autojump_clock: MockClock) -> None:
    outcomes = await rig.run(rig.job("j", Act(unavailable=99), route=BOTH, on_failure="next-route"))
    assert (outcomes["j"].verdict, outcomes["j"].code, outcomes["j"].route) == ("failed", "unavailable", "b")
    rig.begin_anew()
    outcomes = await rig.run(rig.job("j", Act(unavailable=99), route=BOTH, on_failure="next-route"))
    assert verdicts(outcomes) == {"j": "unchanged"}


async def test_jobs_that_wait_for_a_closed_route_go_on_by_the_next(rig: Rig, autojump_clock: MockClock) -> None:
    closed = Act(on="a", ends="RouteClosed")
    jobs = [rig.job(f"j{number}", closed, route=BOTH, on_failure="next-route") for number in range(9)]
    stays = rig.job("stays", closed, route=BOTH, needs=("j0",))
    outcomes = await rig.run(*jobs, stays)
    assert [outcomes[f"j{number}"].route for number in range(9)] == ["b"] * 9
    assert (outcomes["stays"].verdict, outcomes["stays"].code) == ("not-started", "route-closed")
    assert len(rig.players["a"].sent) <= 4  # the workers that had a job in hand


async def test_what_another_route_has_done_stays_done_when_the_first_is_back(
    rig: Rig, autojump_clock: MockClock
) -> None:
    act = Act(on="a", unavailable=4)
    await rig.run(rig.job("j", act, route=BOTH, on_failure="next-route"))
    rig.begin_anew()
    outcomes = await rig.run(rig.job("j", act, route=BOTH, on_failure="next-route"))
    assert verdicts(outcomes) == {"j": "unchanged"}
    assert routes(rig) == ["b"]


async def test_what_another_route_was_paid_for_is_not_asked_of_the_first_because_a_file_was_in_the_way(
    rig: Rig, autojump_clock: MockClock
) -> None:
    act, theirs = Act(on="a", unavailable=4), rig.out / "j.txt"

    def reached(point: str) -> None:
        if point == "made":
            theirs.write_text("mine")

    rig.reached = reached
    outcomes = await rig.run(rig.job("j", act, route=BOTH, on_failure="next-route"))
    assert (outcomes["j"].verdict, outcomes["j"].code) == ("failed", "output-exists")
    theirs.unlink()
    rig.begin_anew()
    rig.reached = lambda _point: None
    outcomes = await rig.run(rig.job("j", act, route=BOTH, on_failure="next-route"))
    assert (verdicts(outcomes), routes(rig)) == ({"j": "done"}, ["b"])


async def test_a_damaged_answer_of_another_route_is_not_asked_of_the_first_before_somebody_has_looked(
    rig: Rig, autojump_clock: MockClock
) -> None:
    act = Act(on="a", unavailable=4)
    await rig.run(rig.job("j", act, route=BOTH, on_failure="next-route"))
    (answer,) = [path for path in Path(rig.spool.assets).rglob("*") if path.suffix == ".wav"]
    answer.write_bytes(answer.read_bytes()[:-1])
    (rig.out / "j.txt").unlink()
    told = []
    for _ in range(3):
        rig.begin_anew()
        told.append(verdicts(await rig.run(rig.job("j", act, route=BOTH, on_failure="next-route")))["j"])
    assert (told, routes(rig)) == (["failed", "unchanged", "unchanged"], ["b"])


async def test_children_wait_for_a_job_that_moves(rig: Rig, autojump_clock: MockClock) -> None:
    parent = rig.job("parent", Act(on="a", unavailable=99), route=BOTH, on_failure="next-route")
    outcomes = await rig.run(parent, rig.job("child", Act(), route="b", needs=("parent",)))
    assert verdicts(outcomes) == {"parent": "done", "child": "done"}
    assert states(rig) == {"open": 0, "held": 0}


async def test_a_drain_keeps_a_job_from_moving(rig: Rig, autojump_clock: MockClock) -> None:
    rig.reached = lambda point: rig.stop.drain("enough") if point == "booked" else None
    outcomes = await rig.run(rig.job("j", Act(on="a", unavailable=99), route=BOTH, on_failure="next-route"))
    assert (outcomes["j"].verdict, routes(rig)) == ("not-started", [])
