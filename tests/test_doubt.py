"""The doubt allowance: a cheap call that may have been paid for is sent again, a few times, and each counts as paid."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from pipeline.core.errors import Overloaded
from pipeline.core.limits import MAX_REPEATS, Doubt, Tab
from pipeline.core.model import Caps
from pipeline.core.retry import MAX_TRIES
from tests.rig import HANG_S, Act, Rig
from tests.test_lanes import states, verdicts

CENT = Decimal("0.01")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path, widths={"r": 2}, paid=True, call_timeout_s=100)
    made.players["r"].usd = CENT
    made.allowance = (2 * CENT, 25 * CENT)
    yield made
    made.close()


def grants(doubt: Doubt, attempt: str, usd: Decimal | None, *, operation: str = "speak", repeats: int = 0) -> bool:
    return doubt.grants(attempt, operation=operation, worst_usd=usd, repeats=repeats)


def test_what_is_cheap_enough_is_granted_until_the_run_has_used_its_share() -> None:
    doubt = Doubt(2 * CENT, 5 * CENT)
    assert [grants(doubt, str(number), 2 * CENT) for number in range(4)] == [True, True, False, False]
    assert grants(doubt, "small", CENT)
    assert doubt.used_usd == 5 * CENT


@pytest.mark.parametrize(
    ("usd", "operation", "repeats"),
    [(3 * CENT, "speak", 0), (None, "speak", 0), (CENT, "make_video", 0), (CENT, "speak", MAX_REPEATS)],
)
def test_what_is_dear_unknown_a_video_or_was_repeated_enough_is_never_granted(
    usd: Decimal | None, operation: str, repeats: int
) -> None:
    doubt = Doubt(2 * CENT, Decimal(100))
    assert not grants(doubt, "a", usd, operation=operation, repeats=repeats)
    assert not doubt.used_usd


def test_an_allowance_of_nothing_grants_nothing_not_even_what_is_said_to_be_free() -> None:
    assert not grants(Doubt(Decimal(0), Decimal(1)), "a", Decimal(0))


def test_a_grant_is_taken_once() -> None:
    doubt = Doubt(2 * CENT, 2 * CENT)
    assert grants(doubt, "a", 2 * CENT)
    assert grants(doubt, "a", 2 * CENT)
    assert doubt.used_usd == 2 * CENT


@given(st.lists(st.decimals(0, 1, places=3)), st.decimals(0, 1, places=2), st.decimals(0, 3, places=2))
def test_no_order_of_doubts_takes_more_than_the_run_allows(
    prices: list[Decimal], per_call: Decimal, per_run: Decimal
) -> None:
    doubt = Doubt(per_call, per_run)
    granted = [usd for number, usd in enumerate(prices) if grants(doubt, str(number), usd)]
    assert sum(granted) == doubt.used_usd <= per_run
    assert all(usd <= per_call for usd in granted)


def test_a_tab_knows_what_is_known_and_counts_what_is_not() -> None:
    tab = Tab()
    assert (tab.known_usd, tab.unpriced, tab.is_free) == (Decimal(0), 0, True)
    tab.book(CENT)
    assert (tab.known_usd, tab.unpriced, tab.is_free) == (CENT, 0, False)
    tab.book(None)
    tab.book(CENT)
    assert (tab.known_usd, tab.unpriced, tab.is_free) == (2 * CENT, 1, False)


def test_a_price_that_is_not_known_is_not_free() -> None:
    tab = Tab()
    tab.book(None)
    assert not tab.is_free


async def test_a_cheap_doubtful_call_is_repeated_and_both_count(rig: Rig, autojump_clock: MockClock) -> None:
    outcomes = await rig.run(rig.job("a", Act(doubtful=1)))
    assert verdicts(outcomes) == {"a": "done"}
    assert (len(rig.sent()), states(rig), outcomes["a"].usd) == (2, {"open": 0, "held": 0}, None)
    (spent,) = rig.ledger.spend()
    assert (spent.usd, spent.doubtful_usd) == (CENT, CENT)


async def test_a_doubt_that_stays_is_held_after_a_few_repeats_and_for_good(rig: Rig, autojump_clock: MockClock) -> None:
    for _ in range(3):
        outcomes = await rig.run(rig.job("a", Act(doubtful=99)))
        assert verdicts(outcomes) == {"a": "held"}
        rig.begin_anew()
    assert len(rig.sent()) == 1 + MAX_REPEATS
    assert states(rig) == {"open": 0, "held": 1}


async def test_without_an_allowance_it_is_held_at_once(rig: Rig, autojump_clock: MockClock) -> None:
    rig.allowance = (Decimal(0), Decimal(0))
    assert verdicts(await rig.run(rig.job("a", Act(doubtful=1)))) == {"a": "held"}
    assert len(rig.sent()) == 1


async def test_what_an_earlier_run_left_in_doubt_is_repeated_once_the_allowance_covers_it(
    rig: Rig, autojump_clock: MockClock
) -> None:
    rig.allowance = (Decimal(0), Decimal(0))
    await rig.run(rig.job("a", Act(doubtful=1)))
    rig.begin_anew()
    rig.allowance = (2 * CENT, 25 * CENT)
    assert verdicts(await rig.run(rig.job("a", Act(doubtful=1)))) == {"a": "done"}
    assert len(rig.sent()) == 2


async def test_a_call_of_unknown_price_is_never_repeated_by_itself_whatever_was_stated_for_it(
    rig: Rig, autojump_clock: MockClock
) -> None:
    rig.caps, rig.players["r"].worst_usd = Caps(unknown_price_usd=CENT), None
    told = []
    for _ in range(2):
        outcome = (await rig.run(rig.job("a", Act(doubtful=1))))["a"]
        told.append((outcome.verdict, outcome.earlier))
        rig.begin_anew()
    assert (told, len(rig.sent())) == ([("held", None), ("held", "held")], 1)
    assert [row.doubtful_usd for row in rig.ledger.spend()] == [CENT]


async def test_the_share_of_the_run_is_for_all_of_its_jobs(rig: Rig, autojump_clock: MockClock) -> None:
    rig.allowance = (2 * CENT, 3 * CENT)
    outcomes = await rig.run(*(rig.job(f"j{number}", Act(doubtful=1)) for number in range(6)))
    assert sorted(verdicts(outcomes).values()) == ["done"] * 3 + ["held"] * 3
    assert len(rig.sent()) == 6 + 3


async def test_a_repeat_needs_room_under_the_cap_like_any_call(rig: Rig, autojump_clock: MockClock) -> None:
    rig.caps = Caps(max_spend_usd=CENT)
    outcomes = await rig.run(rig.job("a", Act(doubtful=1)))
    assert (outcomes["a"].code, len(rig.sent())) == ("budget-spend", 1)


async def test_a_job_cut_off_by_its_deadline_is_not_repeated_in_the_same_run(
    rig: Rig, autojump_clock: MockClock
) -> None:
    outcomes = await rig.run(rig.job("a", Act(after_s=HANG_S), max_job_s=60))
    assert (outcomes["a"].verdict, outcomes["a"].usd, len(rig.sent())) == ("held", None, 1)
    assert trio.current_time() == pytest.approx(60)


async def test_on_a_route_that_is_free_there_is_nothing_to_doubt_and_a_call_without_a_verdict_is_tried_again(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    rig = Rig(tmp_path / "free", widths={"r": 2})
    outcomes = await rig.run(rig.job("once", Act(doubtful=1)), rig.job("always", Act(doubtful=99)))
    assert verdicts(outcomes) == {"once": "done", "always": "failed"}
    assert (outcomes["always"].code, len(rig.sent())) == ("unavailable", 2 + MAX_TRIES)
    rig.players["r"].mood = lambda _under_way: Overloaded("full") if trio.current_time() < 30 else None
    assert verdicts(await rig.run(*(rig.job(f"j{number}", Act()) for number in range(9)))) == dict.fromkeys(
        (f"j{number}" for number in range(9)), "done"
    )
    rig.close()
