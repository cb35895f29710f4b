"""Caps: nothing passes one, whatever the order; what is settled gives room back; unknown is never zero."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.budget import Budget, Level, Reserved, counted
from pipeline.core.errors import BudgetExhausted, CapReached, CapTooSmall, LimitExceeded
from pipeline.core.model import Caps, Estimate
from pipeline.core.operations import MakeImage, Speak

CENT = Decimal("0.01")
MONEY = st.decimals(0, 2, places=2)


def takes(budget: Budget, more: Estimate) -> bool:
    try:
        budget.reserve(more)
    except (BudgetExhausted, Reserved):
        return False
    return True


@given(st.lists(st.tuples(MONEY, MONEY, st.booleans())), MONEY, MONEY)
def test_no_order_of_reservations_and_prices_below_them_passes_a_cap(
    calls: list[tuple[Decimal, Decimal, bool]], own: Decimal, above: Decimal
) -> None:
    whole = Budget(Caps(max_spend_usd=above), level="run")
    budget = Budget(Caps(max_spend_usd=own), above=whole)
    spent = Decimal(0)
    for worst, price, is_told in calls:
        if takes(budget, Estimate(usd=worst)):
            really = min(worst, price) if is_told else None
            budget.settle(Estimate(usd=worst), Estimate(usd=really))
            spent += worst if really is None else really
    assert budget.used.usd == whole.used.usd == spent <= min(own, above)


@pytest.mark.parametrize(
    ("caps", "more", "code"),
    [
        (Caps(max_spend_usd=3 * CENT), Estimate(usd=2 * CENT), "budget-spend"),
        (Caps(max_audio_minutes=1), Estimate(audio_seconds=31), "budget-audio"),
        (Caps(max_images=3), Estimate(images=2), "budget-images"),
        (Caps(max_requests=1), Estimate(requests=1), "budget-requests"),
    ],
)
def test_each_cap_names_itself_and_nothing_is_taken(caps: Caps, more: Estimate, code: str) -> None:
    whole = Budget(Caps(), level="run")
    budget = Budget(caps, above=whole)
    budget.settle(budget.reserve(more), more)
    with pytest.raises(BudgetExhausted) as caught:
        budget.reserve(more)
    assert (caught.value.code, caught.value.reach) == (code, "manifest")
    assert budget.used == whole.used == more


@pytest.mark.parametrize(
    ("caps", "more", "code"),
    [
        (Caps(max_spend_usd=CENT), Estimate(usd=2 * CENT), "budget-spend"),
        (Caps(max_audio_minutes=1), Estimate(audio_seconds=61), "budget-audio"),
        (Caps(max_images=2), Estimate(images=3), "budget-images"),
    ],
)
@pytest.mark.parametrize("level", ["manifest", "run", "day", "month"])
def test_what_is_more_than_a_whole_cap_is_in_nobodys_way(level: Level, caps: Caps, more: Estimate, code: str) -> None:
    budget = Budget(Caps(), above=Budget(caps, level=level))
    with pytest.raises(CapTooSmall) as caught:
        budget.reserve(more)
    assert (caught.value.code, caught.value.reach, caught.value.outcome) == (code, "call", "not-started")
    assert budget.used == Estimate()


def test_a_cap_of_nothing_is_reached_from_the_start() -> None:
    with pytest.raises(BudgetExhausted, match=r"the cap of 0 requests is reached") as caught:
        Budget(Caps(max_requests=0)).reserve(Estimate(requests=1))
    assert caught.value.reach == "manifest"


def test_a_cap_over_all_manifests_closes_only_the_route_and_nothing_is_taken_below() -> None:
    budget = Budget(Caps(), above=Budget(Caps(max_requests=1), level="run"))
    budget.settle(budget.reserve(Estimate(requests=1)), Estimate(requests=1))
    with pytest.raises(CapReached, match=r"1 requests per run is reached") as caught:
        budget.reserve(Estimate(requests=1))
    assert (caught.value.reach, "max_requests_per_run" in caught.value.hint) == ("route", True)
    assert budget.used == Estimate(requests=1)


@pytest.mark.parametrize("is_above", [False, True])
def test_a_cap_is_reached_by_what_was_used_and_never_by_what_calls_under_way_have_only_reserved(is_above: bool) -> None:
    caps = Caps(max_spend_usd=10 * CENT)
    budget = Budget(Caps(), above=Budget(caps, level="run")) if is_above else Budget(caps)
    under_way = budget.reserve(Estimate(usd=6 * CENT))
    with pytest.raises(Reserved):
        budget.reserve(Estimate(usd=6 * CENT))
    with pytest.raises(CapTooSmall, match=r"may take 0\.11 USD, and the cap is 0\.1"):
        budget.reserve(Estimate(usd=11 * CENT))  # nothing that ends could make room for it
    budget.settle(under_way, Estimate(usd=CENT))
    last = budget.reserve(Estimate(usd=6 * CENT))
    budget.settle(last, Estimate(usd=None))
    with pytest.raises(BudgetExhausted, match=r"0\.03 are left"):
        budget.reserve(Estimate(usd=4 * CENT))
    assert budget.used.usd == 7 * CENT


def test_sums_that_rounding_leaves_a_hair_apart_let_nobody_wait_for_calls_that_have_ended() -> None:
    some, last = Decimal(5) / 7, Decimal(19) / 6
    budget = Budget(Caps(max_spend_usd=some + last))
    for reserved, used in [(budget.reserve(Estimate(usd=some)), usd) for usd in (Decimal(0), some)]:
        budget.settle(reserved, Estimate(usd=used))
    with pytest.raises(BudgetExhausted):  # by a hair; Reserved would be a wait for ever
        budget.reserve(Estimate(usd=last))


def test_a_cap_that_is_reached_is_told_at_once_though_another_is_only_reserved() -> None:
    above = Budget(Caps(max_spend_usd=5 * CENT), level="run")
    budget = Budget(Caps(max_spend_usd=8 * CENT), above=above)
    budget.settle(budget.reserve(Estimate(usd=CENT)), Estimate(usd=CENT))
    budget.reserve(Estimate(usd=4 * CENT))
    with pytest.raises(CapReached, match=r"may take 0\.05, 0\.04 are left"):
        budget.reserve(Estimate(usd=5 * CENT))
    assert (budget.used, above.used) == (Estimate(usd=5 * CENT), Estimate(usd=5 * CENT))


def test_what_costs_nothing_goes_on_under_a_cap_that_is_used_up() -> None:
    budget = Budget(Caps(max_spend_usd=CENT))
    budget.settle(budget.reserve(Estimate(usd=CENT)), Estimate(usd=5 * CENT))  # dearer than its worst case
    assert not takes(budget, Estimate(usd=CENT))
    assert takes(budget, Estimate(audio_seconds=600))


def test_an_unknown_price_is_refused_under_a_cap_on_money_at_any_level() -> None:
    for budget in (
        Budget(Caps(max_spend_usd=CENT)),
        Budget(Caps(), above=Budget(Caps(max_spend_usd=CENT), level="run")),
    ):
        with pytest.raises(LimitExceeded) as caught:
            budget.reserve(Estimate(usd=None))
        assert (caught.value.code, budget.used) == ("price-unknown", Estimate())
    assert Budget(Caps(max_images=9)).reserve(Estimate(usd=None)).usd is None


def test_a_stated_worst_case_stands_for_an_unknown_price_until_it_is_told() -> None:
    above = Budget(Caps(max_spend_usd=25 * CENT), level="run")
    budget = Budget(Caps(unknown_price_usd=10 * CENT), above=above)
    kept, told = budget.reserve(Estimate(usd=None)), budget.reserve(Estimate(usd=None))
    assert not takes(budget, Estimate(usd=None))
    budget.settle(kept, Estimate(usd=None))
    budget.settle(told, Estimate(usd=CENT))
    assert budget.used.usd == above.used.usd == 11 * CENT


def test_only_paid_routes_count_requests_and_pictures() -> None:
    operation = MakeImage(prompt="a harbour", n=3)
    assert counted(Estimate(), operation, paid=False) == Estimate()
    paid = counted(Estimate(usd=None, audio_seconds=1), operation, paid=True)
    assert paid == Estimate(usd=None, audio_seconds=1, images=3, requests=1)
    assert counted(Estimate(), Speak(text="a", language="en"), paid=True) == Estimate(requests=1)
