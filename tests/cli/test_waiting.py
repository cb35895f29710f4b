"""What a person sees of work that a provider goes on with, of models that were replaced, and of prices nobody knows."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from pipeline import desk, overview, preview
from pipeline.desk import Resolved
from pipeline.overview import Status
from pipeline.preview import Plan, PlannedJob
from pipeline.report import EXIT_CODES
from tests.cli.conftest import seat
from tests.makers import Folder, outcomes, verdicts

pytestmark = pytest.mark.real_time
JOB = "notes/a.wav#text"
TICKET = "ticket-Transcribe"
PAID = {"paid": "0.10", "deferred": "yes"}
PRICED = '[[job]]\nid = "hi"\nkind = "tts"\ntext = "Hello."\nroute = ["shop"]\nout = "out/hi.wav"\n'


def never_ready(folder: Folder) -> None:
    folder.configure({**PAID, "delay_s": "60"})
    folder.config.write_text(folder.config.read_text().replace("width = 2", 'width = 2\ncall_timeout = "0.1s"'))


@pytest.fixture
def waiting(folder: Folder) -> Folder:
    never_ready(folder)
    folder.record("a.wav")
    folder.run()
    return folder


def status(folder: Folder) -> tuple[Status, str]:
    answer = overview.status(seat(folder))
    assert isinstance(answer.record, Status)
    return answer.record, answer.text


def planned(folder: Folder) -> tuple[PlannedJob, str]:
    answer = preview.plan(seat(folder), [str(folder.manifest)])
    assert isinstance(answer.record, Plan)
    return answer.record.manifests[0].jobs[0], answer.text


def resolved(folder: Folder, job: str | None, *, drop: bool = False) -> Resolved:
    answer = desk.resolve(seat(folder), () if job is None else (job,), "drop" if drop else None)
    assert isinstance(answer.record, Resolved), answer
    return answer.record


def test_a_run_says_that_the_work_goes_on_and_that_some_is_left(waiting: Folder) -> None:
    result = waiting.run()
    outcome = outcomes(result)[JOB]
    assert (outcome.verdict, outcome.code, result.whole.exit_code) == ("not-started", "deferred", 4)
    assert "work left" in EXIT_CODES[4]
    assert waiting.calls() == 1


def test_status_shows_the_ticket_with_its_job(waiting: Folder) -> None:
    found, text = status(waiting)
    (call,) = found.waiting
    assert (call.job, call.ticket, call.route) == (JOB, TICKET, "scripted")
    assert (found.held, found.open_attempts, found.problems) == ((), 0, ())
    assert f"waiting  {JOB}" in text
    assert f"ticket {TICKET}" in text
    assert "0.1 USD without a verdict" in text


def test_a_plan_goes_on_with_the_ticket_and_reckons_no_new_money(waiting: Folder) -> None:
    job, text = planned(waiting)
    assert (job.choice, job.tickets, job.usd) == ("run", (TICKET,), Decimal(0))
    assert f"goes on with ticket {TICKET}" in text


def test_resolve_lists_a_ticket_and_gives_it_up_only_by_name(waiting: Folder) -> None:
    assert [call.ticket for call in resolved(waiting, None).calls] == [TICKET]
    assert desk.resolve(seat(waiting), (), "drop").exit_code == 2
    assert [call.job for call in resolved(waiting, JOB, drop=True).calls] == [JOB]
    assert status(waiting)[0].waiting == ()
    assert (verdicts(waiting.run())[JOB], waiting.calls()) == ("unchanged", 1)


def test_what_is_ready_is_fetched_by_the_next_run_and_forgotten_here(waiting: Folder) -> None:
    waiting.configure(PAID)
    assert verdicts(waiting.run())[JOB] == "done"
    found, _ = status(waiting)
    assert (found.waiting, found.counts, waiting.calls()) == ((), {"done": 1}, 1)


def artifacts(folder: Folder) -> list[dict[str, object]]:
    return [json.loads(path.read_text()) for path in sorted((folder.spool / "debug").glob("*.json"))]


def test_a_replaced_model_is_told_in_plan_receipt_and_artifact(folder: Folder) -> None:
    """K20, K41: the replacement is reported and never silent."""
    folder.configure({"asked": "vendor/chat"})
    folder.record("a.wav")
    job, text = planned(folder)
    assert (job.model, job.asked) == ("one", "vendor/chat")
    assert "(scripted one instead of vendor/chat)" in text
    folder.run()
    receipt = json.loads(folder.product("a.wav.text.txt.receipt.json").read_text())
    assert receipt["facts"]["asked_model"] == receipt["calls"][0]["facts"]["asked_model"] == "vendor/chat"
    assert [(item["model"], item["asked"]) for item in artifacts(folder)] == [("one", "vendor/chat")]


def test_the_model_that_was_asked_for_has_no_part_in_the_key_of_a_job(folder: Folder) -> None:
    folder.configure({"asked": "vendor/chat"})
    folder.record("a.wav")
    folder.run()
    folder.configure({"asked": "vendor/other"})
    assert verdicts(folder.run())[JOB] == "unchanged"
    folder.configure({})
    assert (verdicts(folder.run())[JOB], folder.calls()) == ("unchanged", 1)


def test_a_price_that_nobody_knows_is_told_as_unknown(folder: Folder) -> None:
    folder.configure({"paid": "0.10", "late_usd": "unknown"})
    folder.record("a.wav")
    folder.run()
    found, text = status(folder)
    assert found.spend[0].unknown == 1
    assert "1 of them without a known price" in text


def test_a_plan_of_unknown_price_says_so(folder: Folder, tmp_path: Path) -> None:
    folder.configure({"paid": "unknown"})
    folder.record("a.wav")
    job, text = planned(folder)
    assert job.usd is None
    assert "price unknown" in text
    assert "an unknown price for 1 job" in text


def test_a_plan_of_which_a_part_has_a_known_price_tells_it(folder: Folder) -> None:
    folder.configure({"paid": "unknown"}, extra='[routes.shop]\ndriver = "scripted"\noptions = { paid = "0.10" }\n')
    folder.record("a.wav")
    folder.manifest.write_text(f"{folder.manifest.read_text()}{PRICED}")
    found = preview.plan(seat(folder), (str(folder.manifest),))
    assert isinstance(found.record, Plan)
    assert (found.record.usd, found.record.known_usd, found.record.unpriced_jobs) == (None, Decimal("0.10"), 1)
    assert "at most 0.10 USD and an unknown price for 1 job" in found.text


SPOKEN = '[[job]]\nid = "said"\nkind = "tts"\ninput = "@notes/a.wav#text"\nroute = ["shop"]\nout = "out/said.wav"\n'


def test_what_waits_for_another_job_has_an_unknown_price_where_a_paid_route_may_do_it(folder: Folder) -> None:
    folder.configure({}, extra='[routes.shop]\ndriver = "scripted"\noptions = { paid = "0.10" }\n')
    folder.record("a.wav")
    folder.manifest.write_text(f"{folder.manifest.read_text()}{SPOKEN}")
    found = preview.plan(seat(folder), (str(folder.manifest),))
    assert isinstance(found.record, Plan)
    prices = {job.id: job.usd for job in found.record.manifests[0].jobs}
    assert prices == {"notes/a.wav#text": 0, "said": None}
    assert "said  (price unknown)" in found.text
    assert "an unknown price for 1 job; no work was sent" in found.text
    assert "--ask" not in found.text
