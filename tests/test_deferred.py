"""Work that a provider goes on with alone: sent once, found again by its ticket, whatever ends on our side."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from pipeline.core.model import CallKey, Caps, Outcome
from pipeline.core.operations import call_key
from pipeline.exchange import LOOK_EVERY_S
from tests.rig import HANG_S, Act, Acting, ActSpec, Rig
from tests.test_lanes import after, states, verdicts

LONG = Act(is_deferred=True, after_s=450)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path, widths={"r": 2}, paid=True, call_timeout_s=100)
    yield made
    made.close()


async def again(rig: Rig, *names: str, act: Act = LONG, wait_s: float = 0.0) -> dict[str, Outcome]:
    """The next run, later."""
    await trio.sleep(wait_s)
    rig.begin_anew()
    return await rig.run(*(rig.job(name, act, shared="same") for name in names))


async def test_a_call_that_ends_in_time_is_an_ordinary_call(rig: Rig, autojump_clock: MockClock) -> None:
    outcomes = await rig.run(rig.job("clip", Act(is_deferred=True, after_s=50)))
    assert verdicts(outcomes) == {"clip": "done"}
    assert (outcomes["clip"].usd, len(rig.sent())) == (Decimal("0.10"), 1)


@pytest.mark.parametrize("by", ["call", "job", "cut"])
async def test_whatever_ends_on_our_side_leaves_it_to_the_next_run(
    rig: Rig, by: str, autojump_clock: MockClock
) -> None:
    job = rig.job("clip", LONG, shared="same", max_job_s=60 if by == "job" else None)
    async with trio.open_nursery() as nursery:
        if by == "cut":
            nursery.start_soon(lambda: after(5, rig, cut_s=20))
        outcomes = await rig.run(job)
    assert (outcomes["clip"].verdict, outcomes["clip"].code, outcomes["clip"].usd) == ("not-started", "deferred", None)
    assert states(rig) == {"open": 0, "held": 0}
    assert [row.ticket for row in rig.ledger.submitted_attempts()] == ["ticket of same"]
    outcomes = await again(rig, "clip", wait_s=500)
    assert (outcomes["clip"].verdict, outcomes["clip"].usd) == ("done", Decimal("0.10"))
    assert (len(rig.sent()), len(rig.players["r"].resumed)) == (1, 1)
    assert rig.ledger.submitted_attempts() == []


async def test_a_drain_does_not_wait_for_what_only_a_provider_works_on(rig: Rig, autojump_clock: MockClock) -> None:
    clips = [rig.job(name, LONG) for name in ("a", "b")]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(after, 5, rig)
        outcomes = await rig.run(*clips)
    assert trio.current_time() < 5 + 2 * LOOK_EVERY_S
    assert not rig.stop.cut.is_set()
    assert {(told.verdict, told.code, told.usd) for told in outcomes.values()} == {("not-started", "deferred", None)}
    assert (states(rig), len(rig.ledger.submitted_attempts())) == ({"open": 0, "held": 0}, 2)


async def test_why_a_run_left_it_is_told_also_where_the_text_has_the_same_words(
    rig: Rig, autojump_clock: MockClock
) -> None:
    told = await rig.run_stopped(rig.job("clip", LONG, shared="while the provider works on it the run ends"), after_s=5)
    assert told["clip"].reason == "the run ends while the provider works on it"


async def test_nor_for_a_job_that_only_waits_for_its_turn_at_the_call_of_another(
    rig: Rig, autojump_clock: MockClock
) -> None:
    outcomes = await rig.run_stopped(*(rig.job(name, LONG, shared="same") for name in ("a", "b", "c")), after_s=5)
    assert trio.current_time() <= 5 + 2 * LOOK_EVERY_S
    assert set(verdicts(outcomes).values()) == {"not-started"}
    assert set(verdicts(await again(rig, "a", "b", "c", wait_s=500)).values()) == {"done"}
    assert len(rig.sent()) == 1


async def test_a_job_that_has_called_stays_for_its_turn_when_the_run_stops(rig: Rig, autojump_clock: MockClock) -> None:
    jobs = [rig.job(f"j{number}", Act(after_s=40), Act(after_s=number), shared="same") for number in (1, 2)]
    assert set(verdicts(await rig.run_stopped(*jobs, after_s=5)).values()) == {"done"}


async def test_the_time_of_a_manifest_is_not_spent_on_what_only_a_provider_works_on(
    rig: Rig, autojump_clock: MockClock
) -> None:
    rig.caps = Caps(max_runtime_s=20)
    outcomes = await rig.run(rig.job("clip", LONG))
    assert trio.current_time() < 20 + 2 * LOOK_EVERY_S
    assert outcomes["clip"].code == "deferred"


async def test_a_drain_takes_a_clip_along_that_is_there_before_other_work_has_ended(
    rig: Rig, autojump_clock: MockClock
) -> None:
    jobs = rig.job("clip", Act(is_deferred=True, after_s=30)), rig.job("other", Act(after_s=40))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(after, 5, rig)
        assert verdicts(await rig.run(*jobs)) == {"clip": "done", "other": "done"}


async def test_no_call_is_cut_off_for_the_ticket_of_another_call_of_its_job(
    rig: Rig, autojump_clock: MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(after, 5, rig)
        outcomes = await rig.run(rig.job("both", LONG, Act(after_s=40)))
    assert 40 <= trio.current_time() < 40 + 2 * LOOK_EVERY_S
    assert (outcomes["both"].code, outcomes["both"].known_usd) == ("deferred", Decimal("0.10"))
    assert states(rig) == {"open": 0, "held": 0}


async def test_it_is_asked_for_run_after_run_until_it_is_there(rig: Rig, autojump_clock: MockClock) -> None:
    await rig.run(rig.job("clip", LONG, shared="same"))
    found = [verdicts(await again(rig, "clip"))["clip"] for _ in range(4)]
    assert found == ["not-started", "not-started", "not-started", "done"]
    assert trio.current_time() == pytest.approx(450)
    assert len(rig.sent()) == 1


async def test_a_job_that_waits_for_the_ticket_of_another_is_left_to_the_next_run_too(
    rig: Rig, autojump_clock: MockClock
) -> None:
    jobs = [rig.job(name, LONG, shared="same", max_job_s=60) for name in ("a", "b")]
    outcomes = await rig.run(*jobs)
    assert {(outcome.verdict, outcome.code) for outcome in outcomes.values()} == {("not-started", "deferred")}
    assert set(verdicts(await again(rig, "a", "b", wait_s=500)).values()) == {"done"}
    assert len(rig.sent()) == 1


@pytest.mark.parametrize("trouble", ["Unavailable", "InDoubt", "EngineError"])
async def test_trouble_while_asking_says_nothing_of_the_work(rig: Rig, trouble: str, autojump_clock: MockClock) -> None:
    act = Act(is_deferred=True, after_s=5, ends=trouble)
    outcomes = await rig.run(rig.job("clip", act, shared="same"))
    assert (outcomes["clip"].verdict, outcomes["clip"].code) == ("not-started", "deferred")
    assert (len(rig.sent()), len(rig.ledger.submitted_attempts())) == (1, 1)


async def test_a_closed_route_leaves_the_ticket(rig: Rig, autojump_clock: MockClock) -> None:
    outcomes = await rig.run(rig.job("clip", Act(is_deferred=True, ends="RouteClosed"), shared="same"))
    assert (outcomes["clip"].verdict, outcomes["clip"].code) == ("not-started", "route-closed")
    assert len(rig.ledger.submitted_attempts()) == 1


async def test_the_provider_s_own_verdict_ends_it(rig: Rig, autojump_clock: MockClock) -> None:
    outcomes = await rig.run(rig.job("clip", Act(is_deferred=True, ends="Rejected")))
    assert verdicts(outcomes) == {"clip": "failed"}
    assert rig.ledger.submitted_attempts() == []
    assert states(rig) == {"open": 0, "held": 0}


async def test_no_cap_stands_in_the_way_of_what_was_paid_for(rig: Rig, autojump_clock: MockClock) -> None:
    await rig.run(rig.job("clip", LONG, shared="same"))
    rig.caps = Caps(max_spend_usd=Decimal("0.01"))
    assert verdicts(await again(rig, "clip", wait_s=500)) == {"clip": "done"}


async def test_a_forgotten_ticket_is_dropped_by_hand_only(rig: Rig, autojump_clock: MockClock) -> None:
    never = Act(is_deferred=True, after_s=HANG_S)
    await rig.run(rig.job("clip", never, shared="same"))
    (row,) = rig.ledger.submitted_attempts()
    rig.ledger.resolve_attempt(row.id, "drop")
    outcomes = await again(rig, "clip", act=never)
    assert (outcomes["clip"].verdict, outcomes["clip"].earlier) == ("unchanged", "failed")
    assert len(rig.sent()) == 1


async def test_a_job_goes_on_by_the_route_that_works_on_it(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Its first route was down when it began, and is up again."""
    rig = Rig(tmp_path, widths={"a": 1, "b": 1}, paid=True, call_timeout_s=100)
    act = Act(on="b", is_deferred=True, after_s=150)
    down = rig.job("clip", act, route="b")
    assert verdicts(await rig.run(down)) == {"clip": "not-started"}
    rig.begin_anew()
    outcomes = await rig.run(rig.job("clip", act, route=("a", "b")))
    assert (outcomes["clip"].verdict, outcomes["clip"].route) == ("done", "b")
    assert [played.route for played in rig.sent()] == ["b"]
    rig.close()


def receipt_key(rig: Rig, name: str, act: Act) -> CallKey:
    (operation,) = Acting().operations(ActSpec(text=name, acts=(act,)), None)
    return call_key(operation, route="r", model="one", engine="player 1")


async def test_each_payload_of_an_answer_is_kept_in_order(rig: Rig, autojump_clock: MockClock) -> None:
    act = Act(parts=3)
    assert verdicts(await rig.run(rig.job("two", act))) == {"two": "done"}
    receipt = rig.ledger.call_receipt(receipt_key(rig, "two", act))
    assert receipt is not None
    assert len({receipt.asset, *(part.asset for part in receipt.parts)}) == 2  # the first and the last are equal
    assert [rig.store.asset(part.asset, part.media, size=part.size) is not None for part in receipt.parts] == [
        True,
        True,
    ]


@pytest.mark.parametrize("ends", ["InDoubt", "ContractError", "LimitExceeded", "ReplyTooLarge"])
async def test_a_payload_that_is_whole_is_kept_whatever_happens_to_the_next(
    rig: Rig, ends: str, autojump_clock: MockClock
) -> None:
    act = Act(parts=2, ends=ends)
    assert verdicts(await rig.run(rig.job("two", act))) == {"two": "done"}
    receipt = rig.ledger.call_receipt(receipt_key(rig, "two", act))
    assert receipt is not None
    assert (receipt.parts, receipt.usd, "broke_off" in receipt.facts) == ((), None, True)
    assert states(rig) == {"open": 0, "held": 0}
    assert list(Path(rig.spool.staging).iterdir()) == []


async def test_an_answer_that_breaks_off_on_a_free_route_has_cost_nothing_rather_than_nobody_knows_what(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    free, act = Rig(tmp_path, widths={"r": 1}), Act(parts=2, ends="ContractError")
    outcome = (await free.run(free.job("two", act)))["two"]
    receipt, (spent,) = free.ledger.call_receipt(receipt_key(free, "two", act)), free.ledger.spend()
    free.close()
    assert receipt is not None
    assert (str(outcome.usd), str(receipt.usd), spent.unknown) == ("0", "0", 0)


async def test_an_answer_lacking_a_part_is_made_anew_rather_than_given_short(
    rig: Rig, autojump_clock: MockClock
) -> None:
    act = Act(parts=2)
    await rig.run(rig.job("two", act, shared="same"))
    receipt = rig.ledger.call_receipt(receipt_key(rig, "same", act))
    assert receipt is not None
    asset = rig.store.asset(receipt.parts[0].asset, receipt.parts[0].media, size=receipt.parts[0].size)
    assert asset is not None
    Path(asset.path).unlink()
    await again(rig, "other", act=act)
    assert len(rig.sent()) == 2
