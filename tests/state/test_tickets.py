"""The ledger's verbs for what outlives a run: tickets, answers in parts, late prices, repeats on the allowance."""

import sqlite3
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from pipeline.core.errors import LedgerError
from pipeline.core.model import AttemptId, CallKey, Part, Place, Sha256
from pipeline.state.ledger import MAX_PRICE_ASKS, Ledger
from pipeline.state.migrations import STEPS, migrate
from tests.state.conftest import WAV, Make, sha


def submitted(ledger: Ledger, make: Make, key: str = "k", place: str = "p") -> AttemptId:
    attempt = make.attempt(ledger, key, place)
    ledger.mark_sending(attempt)
    ledger.mark_submitted(attempt, "ticket-1")
    return attempt


def unpriced(ledger: Ledger, make: Make, key: str = "k") -> AttemptId:
    return make.stored(ledger, key, None)


def test_a_submitted_attempt_is_found_by_its_call_with_its_ticket(ledger: Ledger, make: Make) -> None:
    attempt = submitted(ledger, make)
    row = ledger.submitted_attempt(CallKey("k"))
    assert row is not None
    assert (row.id, row.state, row.ticket) == (attempt, "submitted", "ticket-1")
    assert [found.id for found in ledger.submitted_attempts()] == [attempt]
    assert ledger.submitted_attempt(CallKey("other")) is None


def test_a_submitted_attempt_is_not_among_those_that_a_crash_left(ledger: Ledger, make: Make) -> None:
    submitted(ledger, make)
    assert ledger.open_attempts() == []
    assert ledger.held_attempts() == []


def test_nothing_is_submitted_before_it_was_sent(ledger: Ledger, make: Make) -> None:
    with pytest.raises(LedgerError, match="past this step"):
        ledger.mark_submitted(make.attempt(ledger), "ticket-1")


def test_a_submitted_attempt_goes_on_to_an_answer_in_another_run(tmp_path: Path, ledger: Ledger, make: Make) -> None:
    attempt = submitted(ledger, make)
    other = make.ledger(tmp_path, run="run-2")
    other.adopt_attempt(attempt)
    receipt = make.call_receipt("k")
    other.mark_received(attempt, receipt=receipt, staged="x", media=WAV)
    other.mark_stored(attempt, receipt)
    assert other.submitted_attempts() == []
    assert other.call_receipt(CallKey("k")) == receipt
    other.close()


def test_a_submitted_attempt_counts_with_its_worst_case(ledger: Ledger, make: Make) -> None:
    submitted(ledger, make)
    (row,) = ledger.spend()
    assert (row.calls, row.doubtful, row.doubtful_usd) == (0, 1, Decimal("0.05"))


@pytest.mark.parametrize("decision", ["drop", "pay-again"])
def test_a_person_may_give_up_a_ticket(ledger: Ledger, make: Make, decision: str) -> None:
    attempt = submitted(ledger, make)
    ledger.resolve_attempt(attempt, decision)  # type: ignore[arg-type]  # table
    assert ledger.submitted_attempts() == []
    assert ledger.held_attempts() == []
    assert (ledger.job(Place("p")) is not None) is (decision == "drop")
    assert ledger.spend()[0].doubtful_usd == Decimal("0.05")


def test_the_allowance_never_gives_up_a_ticket(ledger: Ledger, make: Make) -> None:
    attempt = submitted(ledger, make)
    with pytest.raises(LedgerError, match="not held"):
        ledger.resolve_attempt(attempt, "allowance")
    assert len(ledger.submitted_attempts()) == 1


def test_repeats_on_the_allowance_are_counted_by_call(ledger: Ledger, make: Make) -> None:
    for _ in range(2):
        ledger.resolve_attempt(make.doubtful(ledger, "k"), "allowance")
    ledger.resolve_attempt(make.doubtful(ledger, "k"), "pay-again")
    assert (ledger.repeats(CallKey("k")), ledger.repeats(CallKey("other"))) == (2, 0)
    assert ledger.spend()[0].doubtful_usd == Decimal("0.15")


def test_assets_of_further_parts_are_in_use_until_the_call_is_forgotten(ledger: Ledger, make: Make) -> None:
    attempt = make.attempt(ledger, "k")
    part = Part(asset=Sha256("c" * 64), media=WAV, size=1)
    receipt = msgspec.structs.replace(make.call_receipt("k"), parts=(part,))
    ledger.mark_sending(attempt)
    ledger.mark_received(attempt, receipt=receipt, staged="x", media=WAV)
    ledger.mark_stored(attempt, receipt)
    assert ledger.assets_in_use() == {sha(b"answer"), part.asset}
    ledger.forget_call(CallKey("k"))
    assert ledger.assets_in_use() == set()


def test_an_unknown_price_is_set_once_in_the_attempt_and_the_receipt(ledger: Ledger, make: Make) -> None:
    attempt = unpriced(ledger, make)
    assert [row.id for row in ledger.unpriced("r", 50)] == [attempt]
    ledger.set_price(attempt, Decimal("0.02"))
    ledger.set_price(attempt, Decimal("9"))
    receipt = ledger.call_receipt(CallKey("k"))
    assert receipt is not None
    assert receipt.usd == Decimal("0.02")
    assert (ledger.unpriced("r", 50), ledger.spend()[0].usd, ledger.spend()[0].unknown) == ([], Decimal("0.02"), 0)


def test_a_price_is_not_written_into_the_receipt_of_a_later_call(ledger: Ledger, make: Make) -> None:
    first = unpriced(ledger, make)
    ledger.forget_call(CallKey("k"))
    second = make.attempt(ledger, "k")
    receipt = msgspec.structs.replace(make.call_receipt("k", None), request_id="id-2")
    ledger.mark_sending(second)
    ledger.mark_received(second, receipt=receipt, staged="x", media=WAV)
    ledger.mark_stored(second, receipt)
    ledger.set_price(first, Decimal("0.02"))
    assert ledger.call_receipt(CallKey("k")) == receipt


def test_a_price_that_never_comes_is_not_asked_for_without_end_and_never_before_others(
    ledger: Ledger, make: Make
) -> None:
    never = unpriced(ledger, make, "never")
    ledger.set_price(never, None)
    fresh = unpriced(ledger, make, "fresh")
    assert [row.id for row in ledger.unpriced("r", 1)] == [fresh]
    for _ in range(MAX_PRICE_ASKS):
        ledger.set_price(never, None)
    assert [row.id for row in ledger.unpriced("r", 50)] == [fresh]


def test_a_bad_answer_that_was_paid_for_counts_though_its_price_is_unknown(ledger: Ledger, make: Make) -> None:
    attempt = make.attempt(ledger)
    ledger.mark_sending(attempt)
    ledger.note_request_id(attempt, "gen-1")
    ledger.settle_attempt(attempt, "rejected", code="reply-type", message="", usd=None, is_billed=True)
    assert ledger.spend()[0].unknown == 1
    assert [row.request_id for row in ledger.unpriced("r", 50)] == ["gen-1"]


@pytest.mark.parametrize("usd", ["0.01", None])
def test_what_was_free_or_cannot_be_asked_about_is_not_unpriced(ledger: Ledger, make: Make, usd: str | None) -> None:
    attempt, receipt = make.attempt(ledger), msgspec.structs.replace(make.call_receipt("call", usd), request_id=None)
    ledger.mark_sending(attempt)
    ledger.mark_received(attempt, receipt=receipt, staged="x", media=WAV)
    ledger.mark_stored(attempt, receipt)
    assert ledger.unpriced("r", 50) == []


def test_a_ledger_of_the_first_shape_keeps_its_attempts(tmp_path: Path, make: Make) -> None:
    connection = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    migrate(connection, None, STEPS[:1])
    columns = "id, run, call, place, route, model, operation, paid, worst_usd, state, opened_at, changed_at"
    values = ("a", "run-1", "k", "p", "r", "m", "speak", 1, "0.05", "in_doubt", make.now, make.now)
    marks = ", ".join("?" * len(values))
    connection.execute(f"INSERT INTO attempts ({columns}) VALUES ({marks})", values)
    connection.close()
    ledger = make.ledger(tmp_path)
    (row,) = ledger.held_attempts(CallKey("k"))
    assert (row.id, row.worst_usd, row.ticket) == ("a", Decimal("0.05"), None)
    submitted(ledger, make, "new")
    ledger.close()
