# ruff: noqa: S608  # every fragment joined here is a constant of this module
"""What becomes of the jobs that waited for a call which a person gave up. A step of the ledger, in its transaction.

Its job has failed, and so has every other one that waits for the very same result: nobody said that it be paid again.
A job that came to a good end in a later run, worded otherwise, has nothing to do with it any more.
"""

from msgspec import Struct

from pipeline.core.model import AttemptId, JobId, JobKey, Place, RunId
from pipeline.state import statements as sql
from pipeline.state.database import Database
from pipeline.state.ledger_rows import DROPPED, from_blob, to_blob

REASON = "a call without a verdict was dropped by hand"
_OUTDATED = (
    "SELECT EXISTS (SELECT 1 FROM attempts a JOIN jobs j ON j.place = a.place"
    " JOIN runs was ON was.id = a.run JOIN runs since ON since.id = j.run"
    " WHERE a.id = ? AND j.verdict IN ('done', 'suspect', 'empty') AND since.rowid > was.rowid)"
)
_WAITS = "verdict IN ('held', 'not-started') AND key IS NOT NULL"
_SAME = f"SELECT place, key, job, manifest FROM jobs WHERE {_WAITS} AND key ="
_WAITING = f"{_SAME} (SELECT key FROM jobs WHERE {_WAITS} AND place = ?) ORDER BY rowid"
_OTHERWISE = "SELECT place, NULL, job, manifest FROM jobs WHERE place = ?"
_PLACE = "SELECT place FROM attempts WHERE id = ?"


class _Waiting(Struct, frozen=True):
    """A job that waits for a call without a verdict. `key` None where only a killed run knew it."""

    place: Place
    key: JobKey | None = None
    job: bytes = b""
    manifest: bytes = b""


def is_outdated(database: Database, attempt: AttemptId) -> bool:
    """Has its job come to a good end since, in a later run and without it?"""
    return bool(database.one(int, _OUTDATED, attempt))


def jobs_waiting(database: Database, place: Place) -> list[JobId]:
    """The job of this place and those that wait for the same result, as far as they are known."""
    return [JobId(from_blob(row.job)) for row in _waiting(database, place) if row.job]


def drop_jobs(database: Database, attempt: AttemptId, *, run: RunId, now: str) -> None:
    """Settle them as failed, until they are worded otherwise or forgotten for a retry."""
    place = database.one(Place, _PLACE, attempt)
    if place is None or is_outdated(database, attempt):
        return
    for row in _waiting(database, place) or [_Waiting(place)]:
        told = ("failed", "in-doubt", to_blob(REASON), row.key, DROPPED, None)
        database.change(sql.SETTLE_JOB, row.place, row.job, row.manifest, *told, now, run)
        database.change(sql.FORGET_INTENT, row.place)


def _waiting(database: Database, place: Place) -> list[_Waiting]:
    return database.all(_Waiting, _WAITING, place) or database.all(_Waiting, _OTHERWISE, place)
