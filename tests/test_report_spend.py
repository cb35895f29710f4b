"""What a report says of money: exact where it is known, never zero where it is not."""

from decimal import Decimal

import msgspec

from pipeline.core.model import JobId, Outcome
from pipeline.report import RunReport, make_report, summary

DONE = Outcome(job=JobId("a"), kind="tts", verdict="done")


def _report(*outcomes: Outcome) -> RunReport:
    return make_report(run="run-1", manifest="notes.toml", started_at="", finished_at="", outcomes=outcomes)


def test_an_unknown_price_is_shown_as_unknown() -> None:
    paid = msgspec.structs.replace(DONE, usd=None, unpriced_calls=1)
    assert "1 done; spend unknown, the price of 1 call is not known" in summary(_report(paid))


def test_what_is_known_of_a_spend_is_told_with_how_many_prices_are_lacking() -> None:
    known = msgspec.structs.replace(DONE, usd=Decimal("0.10"), known_usd=Decimal("0.10"))
    partly = msgspec.structs.replace(DONE, usd=None, known_usd=Decimal("0.03"), unpriced_calls=2)
    report = _report(known, partly)
    assert (report.spend, report.known_spend, report.unpriced_calls) == (None, Decimal("0.13"), 2)
    assert "at least 0.13 USD, the prices of 2 calls are not known" in summary(report)


def test_spend_and_minutes_are_added_up() -> None:
    paid = msgspec.structs.replace(DONE, usd=Decimal("0.10"), audio_seconds=90.0)
    report = _report(paid, paid)
    assert (report.spend, report.audio_seconds) == (Decimal("0.20"), 180.0)
    assert "3.0 min of audio; 0.20 USD" in summary(report)
