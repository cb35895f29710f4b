"""The attempts that a page tells: those of the jobs it shows, so that a large run is not in memory twice."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from pipeline.core.model import Job, JobId, Place
from pipeline.pages.cards import MAX_CARDS, MAX_TRIES, Material, tries_of_run
from pipeline.report import make_report
from pipeline.state.ledger import MAX_ROWS, Ledger
from pipeline.state.spool import Spool
from tests.report_pages.makers import FINISHED, STARTED, outcome
from tests.state.conftest import Make


class NoSpec(msgspec.Struct, frozen=True):
    """A job that asks for nothing."""


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Make().ledger(tmp_path)
    yield opened
    opened.close()


def material(jobs: int) -> Material:
    outcomes = [outcome(number, job=JobId(f"job-{number}")) for number in range(jobs)]
    report = make_report(run="run-1", manifest="m", started_at=STARTED, finished_at=FINISHED, outcomes=outcomes)
    named = [
        Job(id=told.job, place=Place(told.job), kind="tts", spec=NoSpec(), products=(), routes=()) for told in outcomes
    ]
    return Material(report=report, jobs=named)


def test_only_attempts_at_jobs_that_are_shown_are_kept(ledger: Ledger, tmp_path: Path) -> None:
    with ledger.group():
        for number in (0, MAX_CARDS, 0):
            Make().attempt(ledger, f"call-{number}", f"job-{number}")
    found = tries_of_run(ledger, Spool(str(tmp_path)), [material(MAX_CARDS + 1)])
    assert {place: len(tries) for place, tries in found.items()} == {"job-0": 2}


def test_a_job_shows_its_attempts_however_many_the_run_has_made_before(ledger: Ledger, tmp_path: Path) -> None:
    with ledger.group():
        for _ in range(MAX_ROWS + MAX_TRIES):
            Make().attempt(ledger, "call", "job-0")
        Make().attempt(ledger, "other", "job-1")
    found = tries_of_run(ledger, Spool(str(tmp_path)), [material(2)])
    assert {place: len(tries) for place, tries in found.items()} == {"job-0": MAX_TRIES, "job-1": 1}
