"""The ledger's verbs as a caller may rely on them; a second implementation would have to pass the same tests."""

import os
import sqlite3
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.core.errors import LedgerError
from pipeline.core.model import CallKey, JobId, JobKey, Media, Place
from pipeline.state.ledger import Ledger
from pipeline.state.ledger_rows import DROPPED, FileFacts, IntendedProduct, Intent, from_blob, pack, to_blob, unpack
from tests.state.conftest import NOW, WAV, Make, sha

ODD = os.fsdecode(b"caf\xe9\xff.wav")


@pytest.fixture
def other(tmp_path: Path, make: Make, ledger: Ledger) -> Iterator[Ledger]:
    """A second run on the same file, as a later process would open it."""
    opened = make.ledger(tmp_path, run="run-2")
    yield opened
    opened.close()


def test_a_new_attempt_is_open_with_everything_it_was_opened_for(ledger: Ledger, make: Make) -> None:
    attempt = make.attempt(ledger, "k", "p")
    (row,) = ledger.open_attempts()
    assert (row.id, row.run, row.call, row.place, row.state) == (attempt, "run-1", "k", "p", "opened")
    assert (row.route, row.model, row.operation, row.paid, row.worst_usd) == ("r", "m", "speak", True, Decimal("0.05"))


def test_a_received_attempt_carries_its_staged_name_its_media_and_its_proof(ledger: Ledger, make: Make) -> None:
    attempt, receipt = make.attempt(ledger), make.call_receipt()
    ledger.mark_sending(attempt)
    ledger.note_request_id(attempt, "gen-1")
    ledger.mark_received(attempt, receipt=receipt, staged="a.payload", media=WAV)
    (row,) = ledger.open_attempts()
    assert (row.state, row.staged, row.media, row.receipt, row.request_id) == (
        "received",
        "a.payload",
        WAV,
        receipt,
        "gen-1",
    )


def test_a_stored_call_is_answered_by_its_receipt_and_is_no_longer_open(ledger: Ledger, make: Make) -> None:
    make.stored(ledger, "k")
    assert ledger.call_receipt(CallKey("k")) == make.call_receipt("k")
    assert ledger.call_media(CallKey("k")) == WAV
    assert ledger.open_attempts() == []
    assert ledger.assets_in_use() == {sha(b"answer")}


def test_a_call_nobody_made_has_no_receipt(ledger: Ledger) -> None:
    assert ledger.call_receipt(CallKey("k")) is None
    assert ledger.call_media(CallKey("k")) is None


def test_a_call_is_known_by_its_receipt_and_while_an_attempt_has_no_verdict(ledger: Ledger, make: Make) -> None:
    make.stored(ledger, "stored")
    make.doubtful(ledger, "held")
    make.doubtful(ledger, "decided")
    ledger.resolve_attempt(make.doubtful(ledger, "paid-again"), "pay-again")
    ticket = make.attempt(ledger, "submitted")
    ledger.mark_sending(ticket)
    ledger.mark_submitted(ticket, "ticket")
    ledger.settle_attempt(make.attempt(ledger, "rejected"), "rejected", code="x", message="", usd=None)
    make.attempt(ledger, "opened")
    for row in ledger.held_attempts(CallKey("decided")):
        ledger.resolve_attempt(row.id, "allowance")
    calls = ("stored", "held", "submitted", "decided", "paid-again", "rejected", "opened", "new")
    assert [call for call in calls if ledger.is_known(CallKey(call))] == ["stored", "held", "submitted"]
    ledger.forget_call(CallKey("stored"))
    assert not ledger.is_known(CallKey("stored"))


def test_a_forgotten_call_has_no_receipt_but_its_cost_stays(ledger: Ledger, make: Make) -> None:
    make.stored(ledger, "k")
    ledger.forget_call(CallKey("k"))
    assert ledger.call_receipt(CallKey("k")) is None
    assert ledger.spend()[0].usd == Decimal("0.01")


@pytest.mark.parametrize("state", ["failed", "rejected", "refused", "in_doubt"])
def test_a_settled_attempt_is_no_longer_open(ledger: Ledger, make: Make, state: str) -> None:
    attempt = make.attempt(ledger)
    ledger.settle_attempt(attempt, state, code="unavailable", message="no", usd=None)  # type: ignore[arg-type]  # table
    assert ledger.open_attempts() == []


def test_steps_out_of_order_are_refused(ledger: Ledger, make: Make) -> None:
    attempt, receipt = make.attempt(ledger), make.call_receipt()
    with pytest.raises(LedgerError, match="past this step"):
        ledger.mark_received(attempt, receipt=receipt, staged="x", media=WAV)
    with pytest.raises(LedgerError, match="past this step"):
        ledger.mark_stored(attempt, receipt)


def test_a_refused_mark_stored_leaves_no_receipt(ledger: Ledger, make: Make) -> None:
    with pytest.raises(LedgerError):
        ledger.mark_stored(make.attempt(ledger), make.call_receipt("k"))
    assert ledger.call_receipt(CallKey("k")) is None


def test_a_settled_attempt_cannot_be_settled_again(ledger: Ledger, make: Make) -> None:
    attempt = make.doubtful(ledger)
    with pytest.raises(LedgerError, match="past this step"):
        ledger.settle_attempt(attempt, "failed", code="unavailable", message="", usd=None)


def test_invariant_8_a_run_cannot_write_to_the_attempt_of_another(ledger: Ledger, other: Ledger, make: Make) -> None:
    attempt = make.attempt(ledger)
    with pytest.raises(LedgerError, match="another run"):
        other.mark_sending(attempt)
    assert other.open_attempts()[0].state == "opened"


def test_invariant_8_an_adopted_attempt_belongs_to_the_adopter_only(ledger: Ledger, other: Ledger, make: Make) -> None:
    attempt = make.attempt(ledger)
    other.adopt_attempt(attempt)
    with pytest.raises(LedgerError, match="another run"):
        ledger.mark_sending(attempt)
    other.mark_sending(attempt)
    assert other.open_attempts()[0].run == "run-2"


def test_invariant_8_a_settled_attempt_is_not_adopted(ledger: Ledger, other: Ledger, make: Make) -> None:
    attempt = make.doubtful(ledger)
    with pytest.raises(LedgerError, match="past this step"):
        other.adopt_attempt(attempt)


def test_invariant_3_a_doubtful_attempt_is_held_and_listed_by_its_call(ledger: Ledger, make: Make) -> None:
    attempt = make.doubtful(ledger, "k")
    assert [row.id for row in ledger.held_attempts()] == [attempt]
    assert [row.id for row in ledger.held_attempts(CallKey("k"))] == [attempt]
    assert ledger.held_attempts(CallKey("other")) == []


def test_pay_again_releases_one_doubt_and_the_next_is_held_anew(ledger: Ledger, make: Make) -> None:
    ledger.resolve_attempt(make.doubtful(ledger, "k"), "pay-again")
    assert ledger.held_attempts() == []
    second = make.doubtful(ledger, "k")
    assert [row.id for row in ledger.held_attempts()] == [second]


def test_a_dropped_doubt_settles_its_job_as_failed_until_the_job_is_forgotten(ledger: Ledger, make: Make) -> None:
    ledger.resolve_attempt(make.doubtful(ledger, "k", "p"), "drop")
    row = ledger.job(Place("p"))
    assert row is not None
    assert (row.verdict, row.code, row.identity, row.is_dropped) == ("failed", "in-doubt", DROPPED, True)
    ledger.forget_job(Place("p"))
    assert ledger.job(Place("p")) is None


def test_an_attempt_is_resolved_only_once(ledger: Ledger, make: Make) -> None:
    attempt = make.doubtful(ledger)
    ledger.resolve_attempt(attempt, "drop")
    with pytest.raises(LedgerError, match="not held") as error:
        ledger.resolve_attempt(attempt, "pay-again")
    assert error.value.code == "config-invalid"


def test_a_settled_job_reads_back_as_it_was_settled(ledger: Ledger, make: Make) -> None:
    receipt = make.job_receipt("/out/a.txt")
    make.settle(ledger, "p", receipt)
    row = ledger.job(Place("p"))
    assert row is not None
    assert (row.receipt, row.products, row.key, row.settled_at) == (receipt, receipt.products, "key", NOW)


def test_a_later_settling_replaces_the_earlier_but_its_products_stay_ours(ledger: Ledger, make: Make) -> None:
    make.settle(ledger, "p", make.job_receipt("/out/a.txt"))
    make.settle(ledger, "p", None, "failed")
    row, product = ledger.job(Place("p")), ledger.product_at("/out/a.txt")
    assert row is not None
    assert (row.verdict, row.products) == ("failed", ())
    assert product is not None
    assert product.sha256 == sha(b"/out/a.txt")


@pytest.mark.parametrize(
    ("verdict", "is_found"), [("done", True), ("empty", True), ("suspect", True), ("failed", False)]
)
def test_a_job_is_found_by_its_key_when_it_has_a_result(
    ledger: Ledger, make: Make, verdict: str, is_found: bool
) -> None:
    make.settle(ledger, "p", make.job_receipt("/out/a.txt"), verdict)
    assert (ledger.job_by_key(JobKey("key")) is not None) is is_found


def test_jobs_are_listed_by_verdict_within_the_bound(ledger: Ledger, make: Make) -> None:
    for number in range(5):
        make.settle(ledger, f"p{number}", None, "failed" if number % 2 else "suspect")
    assert {row.place for row in ledger.jobs_with(["failed"])} == {"p1", "p3"}
    assert len(ledger.jobs_with(["failed", "suspect"], limit=4)) == 4
    assert ledger.counts() == {"failed": 2, "suspect": 3}


def test_an_intent_is_known_until_its_job_is_settled(ledger: Ledger, make: Make) -> None:
    item = IntendedProduct(name="txt", path="/out/a", part="/out/.a.part", sha256=sha(b"x"), size=1)
    ledger.intend_publish(Place("p"), JobKey("k"), [item])
    assert ledger.intended(Place("p")) == (item,)
    assert ledger.intended_all() == (Intent(place=Place("p"), key=JobKey("k"), products=(item,)),)
    make.settle(ledger, "p", make.job_receipt("/out/a"))
    assert ledger.intended_all() == ()


def test_a_second_intent_of_a_job_replaces_the_first(ledger: Ledger) -> None:
    first, second = (
        IntendedProduct(name="txt", path=path, part="part", sha256=sha(b"x"), size=1) for path in ("/a", "/b")
    )
    ledger.intend_publish(Place("p"), JobKey("k"), [first, second])
    ledger.intend_publish(Place("p"), JobKey("k"), [second])
    assert ledger.intended(Place("p")) == (second,)


FACTS = FileFacts(sha256=sha(b"x"), size=3, media=WAV, seconds=1.5, tracks=("audio", "video"))


@pytest.fixture
def abc(tmp_path: Path) -> os.stat_result:
    (tmp_path / "abc").write_bytes(b"abc")
    return (tmp_path / "abc").stat()


def test_a_file_is_known_while_its_stat_stands(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"abc")
    ledger.remember_file(str(path), path.stat(), FACTS)
    assert ledger.known_file(str(path), path.stat()) == FACTS


@pytest.mark.parametrize("change", ["size", "mtime", "inode", "ctime"])
def test_a_file_is_not_known_once_anything_of_its_stat_changed(ledger: Ledger, tmp_path: Path, change: str) -> None:
    path, spare = tmp_path / "a.wav", tmp_path / "b.wav"
    path.write_bytes(b"abc")
    spare.write_bytes(b"abc")
    before = path.stat()
    ledger.remember_file(str(path), before, FACTS)
    match change:
        case "size":
            path.write_bytes(b"abcd")
        case "mtime":
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
        case "inode":
            os.utime(spare, ns=(before.st_atime_ns, before.st_mtime_ns))
            os.rename(spare, path)
        case "ctime":
            os.chmod(path, 0o600)
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert ledger.known_file(str(path), path.stat()) is None


def test_a_file_without_media_or_duration_is_remembered_as_such(ledger: Ledger, abc: os.stat_result) -> None:
    facts = msgspec.structs.replace(FACTS, media=None, seconds=None, tracks=())
    ledger.remember_file("/a", abc, facts)
    assert ledger.known_file("/a", abc) == facts


def test_facts_of_another_size_than_the_file_has_are_not_kept(ledger: Ledger, abc: os.stat_result) -> None:
    ledger.remember_file("/a", abc, msgspec.structs.replace(FACTS, size=4))
    assert ledger.known_file("/a", abc) is None


def test_invariant_28_one_odd_file_name_goes_through_every_table(
    ledger: Ledger, make: Make, abc: os.stat_result
) -> None:
    path, receipt = f"/out/{ODD}", make.job_receipt(f"/out/{ODD}", job=f"notes/{ODD}#text")
    item = IntendedProduct(name=ODD, path=path, part=path + ".part", sha256=sha(b"x"), size=1)
    ledger.begin_run(manifest=ODD, version="1")
    ledger.remember_file(path, abc, FACTS)
    ledger.intend_publish(Place("q"), JobKey("k"), [item])
    make.settle(ledger, "p", receipt)
    row, product = ledger.job(Place("p")), ledger.product_at(path)
    assert row is not None
    assert product is not None
    assert (row.job, row.receipt, product.path) == (receipt.job, receipt, path)
    assert ledger.intended(Place("q")) == (item,)
    assert ledger.known_file(path, abc) == FACTS
    assert ledger.last_runs(1)[0].manifest == ODD


def test_a_group_is_durable_as_a_whole(ledger: Ledger, other: Ledger, make: Make) -> None:
    with ledger.group():
        make.settle(ledger, "a", None, "failed")
        make.settle(ledger, "b", None, "failed")
        assert other.counts() == {}
    assert other.counts() == {"failed": 2}


def test_a_group_that_raises_leaves_nothing(ledger: Ledger, make: Make) -> None:
    def settle_and_fail() -> None:
        with ledger.group():
            make.settle(ledger, "a", None, "failed")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        settle_and_fail()
    assert ledger.counts() == {}
    make.settle(ledger, "a", None, "failed")
    assert ledger.counts() == {"failed": 1}


def test_spend_sums_exactly_by_day_and_route_and_keeps_doubt_apart(ledger: Ledger, make: Make) -> None:
    for number in range(10):
        make.stored(ledger, f"k{number}", "0.1")
    make.stored(ledger, "unknown", None)
    make.doubtful(ledger, "d")
    (row,) = ledger.spend()
    assert (row.day, row.route, row.calls, row.usd, row.unknown) == ("2026-11-20", "r", 11, Decimal("1.0"), 1)
    assert (row.doubtful, row.doubtful_usd) == (1, Decimal("0.05"))


def test_a_resolved_doubt_still_counts_as_possibly_paid(ledger: Ledger, make: Make) -> None:
    ledger.resolve_attempt(make.doubtful(ledger), "pay-again")
    assert ledger.spend()[0].doubtful_usd == Decimal("0.05")


def test_spend_since_a_day_begins_with_that_day(ledger: Ledger, make: Make) -> None:
    make.stored(ledger, "k")
    day = date.fromisoformat(NOW[:10])
    assert ledger.spend(day.isoformat()) == ledger.spend() != []
    assert ledger.spend((day + timedelta(days=1)).isoformat()) == []


def test_an_attempt_that_cost_nothing_is_not_in_the_spend(ledger: Ledger, make: Make) -> None:
    ledger.settle_attempt(make.attempt(ledger), "failed", code="unavailable", message="", usd=None)
    assert ledger.spend() == []


def test_runs_are_listed_newest_first_with_their_exit_code(ledger: Ledger, other: Ledger) -> None:
    ledger.begin_run(manifest="a.toml", version="1")
    ledger.finish_run(3)
    other.begin_run(manifest="b.toml", version="1")
    newest, oldest = ledger.last_runs(5)
    assert (newest.id, newest.exit_code, newest.finished_at) == ("run-2", None, None)
    assert (oldest.id, oldest.exit_code, oldest.finished_at) == ("run-1", 3, NOW)


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_survives_as_a_blob(text: str) -> None:
    assert from_blob(to_blob(text)) == text


@given(st.text(st.characters(exclude_categories=())), st.text(st.characters(exclude_categories=())))
@example(job="\ud800\udc00", path="")
def test_any_struct_survives_as_json(job: str, path: str) -> None:
    receipt = msgspec.structs.replace(Make().job_receipt(), job=JobId(job), source_name=path)
    assert unpack(pack(receipt), type(receipt)) == receipt


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"{}", b"[]", b'{"media_type": "\\udc80"}', b"\xed\xa0\x80"])
def test_a_damaged_struct_is_a_ledger_error(body: bytes) -> None:
    with pytest.raises(LedgerError, match="Media"):
        unpack(body, Media)


def test_a_sqlite_error_inside_a_verb_is_a_ledger_error(tmp_path: Path, make: Make) -> None:
    ledger = make.ledger(tmp_path)
    connection = sqlite3.connect(tmp_path / "ledger.db")
    connection.execute("DROP TABLE jobs")
    connection.close()
    with pytest.raises(LedgerError, match="no such table"):
        ledger.job(Place("p"))
    ledger.close()
