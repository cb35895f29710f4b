"""Events: a run as lines of JSON while it goes on, for programs that follow it. One object a line, in order, stable.

Fields are only ever added; the number `schema` changes when one goes or changes its meaning. A stream that takes no
more costs its reader the rest and the run nothing.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import IO, TypeAlias

import msgspec
from msgspec import Struct

from pipeline.core.confine import display_path
from pipeline.core.model import Clock, Decision, Outcome, RunId, Verdict
from pipeline.onlooker import Onlooker
from pipeline.report import RunReport, showable
from pipeline.trace.logs import say

SCHEMA = 1


class RunStarted(Struct, frozen=True, kw_only=True, tag_field="event", tag="run-started"):
    """A run holds the lock of its spool."""

    schema: int = SCHEMA
    ts: str
    run: str


class RunPlanned(Struct, frozen=True, kw_only=True, tag_field="event", tag="run-planned"):
    """So many jobs need something; those that are unchanged are not among them and have no event."""

    schema: int = SCHEMA
    ts: str
    run: str
    jobs: int


class JobQueued(Struct, frozen=True, kw_only=True, tag_field="event", tag="job-queued"):
    """A job waits for its turn in a lane, which is the name of its route."""

    schema: int = SCHEMA
    ts: str
    run: str
    job: str
    kind: str
    lane: str


class JobBegun(Struct, frozen=True, kw_only=True, tag_field="event", tag="job-begun"):
    """A worker of the lane has taken it."""

    schema: int = SCHEMA
    ts: str
    run: str
    job: str
    kind: str
    lane: str


class JobEnded(Struct, frozen=True, kw_only=True, tag_field="event", tag="job-ended"):
    """Its verdict in this run, as in the report. `usd` null is unknown: then `known_usd` is what is known of it."""

    schema: int = SCHEMA
    ts: str
    run: str
    job: str
    kind: str
    verdict: Verdict
    code: str | None
    reason: str
    hint: str
    products: tuple[str, ...]
    route: str | None
    model: str | None
    usd: Decimal | None
    known_usd: Decimal
    unpriced_calls: int
    audio_seconds: float
    wall_s: float


class RunEnded(Struct, frozen=True, kw_only=True, tag_field="event", tag="run-ended"):
    """The last line of a run that came to its end; a run that was broken off has none."""

    schema: int = SCHEMA
    ts: str
    run: str
    exit_code: int
    counts: Mapping[str, int]
    spend_usd: Decimal | None
    known_spend_usd: Decimal
    unpriced_calls: int
    audio_seconds: float
    stopped_by: str | None


Event: TypeAlias = RunStarted | RunPlanned | JobQueued | JobBegun | JobEnded | RunEnded


class EventStream:
    """Implements `onlooker.Onlooker`: every word of it is a line."""

    def __init__(self, stream: IO[str], clock: Clock) -> None:
        self._stream = stream
        self._clock = clock
        self._run = ""
        self.is_cut_off = False

    def started(self, run: RunId) -> None:
        self._run = run
        self._tell(RunStarted(ts=self._clock(), run=run))

    def planned(self, jobs: int) -> None:
        self._tell(RunPlanned(ts=self._clock(), run=self._run, jobs=jobs))

    def queued(self, lane: str, decision: Decision) -> None:
        job = decision.job
        self._tell(JobQueued(ts=self._clock(), run=self._run, job=display_path(job.id), kind=job.kind, lane=lane))

    def begun(self, lane: str, decision: Decision) -> None:
        job = decision.job
        self._tell(JobBegun(ts=self._clock(), run=self._run, job=display_path(job.id), kind=job.kind, lane=lane))

    def left(self, lane: str, decision: Decision) -> None:
        return

    def ended(self, outcome: Outcome) -> None:
        told = showable(outcome)
        self._tell(
            JobEnded(
                ts=self._clock(),
                run=self._run,
                job=told.job,
                kind=told.kind,
                verdict=told.verdict,
                code=told.code,
                reason=told.reason,
                hint=told.hint,
                products=told.products,
                route=told.route,
                model=told.model,
                usd=told.usd,
                known_usd=told.known_usd,
                unpriced_calls=told.unpriced_calls,
                audio_seconds=told.audio_seconds,
                wall_s=told.wall_s,
            )
        )

    def closed(self, report: RunReport) -> None:
        self._tell(
            RunEnded(
                ts=report.finished_at,
                run=report.run,
                exit_code=report.exit_code,
                counts=report.counts,
                spend_usd=report.spend,
                known_spend_usd=report.known_spend,
                unpriced_calls=report.unpriced_calls,
                audio_seconds=round(report.audio_seconds, 3),
                stopped_by=report.stopped_by,
            )
        )

    def _tell(self, event: Event) -> None:
        if not say(self._stream, msgspec.json.encode(event).decode() + "\n"):
            self.is_cut_off = True  # what follows leads nowhere


class Several:
    """Implements `onlooker.Onlooker` for more than one."""

    def __init__(self, *onlookers: Onlooker) -> None:
        self._onlookers = onlookers

    def started(self, run: RunId) -> None:
        for onlooker in self._onlookers:
            onlooker.started(run)

    def planned(self, jobs: int) -> None:
        for onlooker in self._onlookers:
            onlooker.planned(jobs)

    def queued(self, lane: str, decision: Decision) -> None:
        for onlooker in self._onlookers:
            onlooker.queued(lane, decision)

    def begun(self, lane: str, decision: Decision) -> None:
        for onlooker in self._onlookers:
            onlooker.begun(lane, decision)

    def left(self, lane: str, decision: Decision) -> None:
        for onlooker in self._onlookers:
            onlooker.left(lane, decision)

    def ended(self, outcome: Outcome) -> None:
        for onlooker in self._onlookers:
            onlooker.ended(outcome)
