"""run_job: one decision -> one Outcome, under one deadline. Here, and only here, every error is caught.

An expected error becomes the outcome its facts ask for; a bug becomes `failed` with its traceback in the log and harms
nothing else. What a job made is published with intent written first, so a crash leaves old files or new ones.
"""

import hashlib
import os
import secrets
import shutil
import time
import traceback
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path

import msgspec
import trio
from msgspec import Struct

from pipeline.attempts import CallOwner, Made
from pipeline.calls import Caller
from pipeline.children.lanes import Lanes
from pipeline.children.stage import StageLimits
from pipeline.core.errors import EngineError, InputChanging, InputError, MediaspoolError
from pipeline.core.kinds import Kind, KindResult
from pipeline.core.limits import Budget
from pipeline.core.model import (
    SETTLED,
    Asset,
    Decision,
    Limits,
    Outcome,
    Reached,
    Runner,
    Source,
    refusal_identity,
)
from pipeline.core.operations import Operation
from pipeline.core.pricing import total
from pipeline.media import av
from pipeline.publishing import Publisher
from pipeline.state.durable import border
from pipeline.state.ledger import Ledger
from pipeline.state.roots import Roots
from pipeline.trace.logs import Log

DEFAULT_JOB_S = 7200.0
TOLD_FRAMES = 6


class Bench(Struct, frozen=True, kw_only=True):
    """What a worker needs, opened by the runtime; one for a whole run."""

    ledger: Ledger
    publisher: Publisher
    lanes: Lanes
    caller: Caller
    kinds: Mapping[str, Kind]
    runner: Runner
    files: Runner
    log: Log
    reached: Reached
    scratch: Path


class Terms(Struct, frozen=True, kw_only=True):
    """What the jobs of one manifest have in common. `is_stopping` is asked as long as a job has not begun."""

    manifest: str
    roots: Roots
    budget: Budget
    is_forced: bool
    is_stopping: Callable[[], bool]


class Work:
    """Implements `core.kinds.JobContext` for one job, and remembers the calls it made."""

    def __init__(self, bench: Bench, decision: Decision, terms: Terms) -> None:
        job = decision.job
        self.decision = decision
        self.terms = terms
        self.source: Source | None = decision.source
        self.limits: Limits = decision.limits
        # Never the place alone: two manifests of one name have jobs of one place, and may be at work side by side.
        self.scratch = bench.scratch / f"job-{job.place}-{secrets.token_hex(4)}"
        self.calls: list[Made] = []
        self._bench = bench
        self._has_begun = False
        self._owner = CallOwner(
            place=job.place,
            kind=job.kind,
            limits=decision.limits,
            budget=terms.budget,
            may_begin=self._may_begin,
        )

    @property
    def usd(self) -> Decimal | None:
        """What was paid so far, whatever becomes of the job."""
        return total(made.receipt.usd for made in self.calls if made.is_new)

    def _may_begin(self) -> bool:
        """A job that waits for its first seat can wait for another run; one that has called goes on to its end."""
        self._has_begun = self._has_begun or not self.terms.is_stopping()
        return self._has_begun

    async def call(self, operation: Operation) -> Asset:
        assert self.decision.binding is not None, "a kind that calls declares its operations"
        made = await self._bench.caller.make_call(operation, self.decision.binding, self._owner)
        self.calls.append(made)
        return made.asset

    async def encode(self, source: Path, target: Path, *, media_type: str, tags: dict[str, str]) -> None:
        lanes = self._bench.lanes
        limits = StageLimits(max_output_bytes=self.limits.max_output_bytes)
        wav, made = lanes.ref(str(source)), lanes.ref(str(target))
        await lanes.run("media", av.encode(wav, made, media_type=media_type, tags=tags, limits=limits))

    async def pdf_text(self, source: Source) -> str:
        lanes = self._bench.lanes
        spec = av.pdf_text(lanes.ref(source.path), max_pages=self.limits.max_pages, max_chars=self.limits.max_chars)
        facts = av.pdf_facts(await lanes.run("media", spec))
        await self._bench.caller.ensure_unchanged(source.path, source.sha256)
        return facts.text

    async def read_asset(self, asset: Asset, *, max_bytes: int) -> bytes:
        return await self._bench.files(_read, lambda: os.open(asset.path, os.O_RDONLY), max_bytes)

    async def read_source(self, *, max_bytes: int) -> bytes:
        source = self.source
        assert source is not None, "a kind that reads a source has one"
        body = await self._bench.files(_read, lambda: self.terms.roots.open(source.path), max_bytes)
        if hashlib.sha256(body).hexdigest() != source.sha256:
            raise InputChanging("the input changed while it was worked on", hint="run again when it is whole")
        return body


async def run_job(bench: Bench, decision: Decision, terms: Terms) -> Outcome:
    """Raises only Cancelled and errors that reach beyond this job: a route, a manifest or the run stops for them."""
    job, work = decision.job, Work(bench, decision, terms)
    started = time.monotonic()
    bench.log.event("job-started", place=job.place, kind=job.kind)
    try:
        outcome = await _run(bench, work)
    except MediaspoolError as error:
        if error.reach != "call":
            raise
        outcome = await _ended(bench, work, error)
    except Exception as error:  # the one place: a bug costs its job, not the run
        bench.log.event("bug", level="error", place=job.place, error=type(error).__name__, at=_where(error))
        bug = EngineError(f"a bug in mediaspool: {type(error).__name__}", code="internal", hint="please report it")
        outcome = await _ended(bench, work, bug)
    wall = time.monotonic() - started
    bench.log.event("job-ended", place=job.place, kind=job.kind, verdict=outcome.verdict, ms=round(wall * 1000))
    return msgspec.structs.replace(outcome, wall_s=round(wall, 3))


async def _run(bench: Bench, work: Work) -> Outcome:
    decision = work.decision
    kind = bench.kinds[decision.job.kind]
    await bench.files(_make_scratch, work.scratch)
    try:
        with trio.fail_after(decision.limits.max_job_s or DEFAULT_JOB_S):
            result = await kind.run(decision.job.spec, work)
        bench.reached("made")
        return await _publish(bench, work, result)
    except trio.TooSlowError as error:
        raise EngineError(
            "the job's deadline passed",
            code="limit-time",
            hint="raise job_timeout, or max_runtime in the job's limits",
        ) from error
    finally:
        with trio.CancelScope(shield=True):
            await bench.files(shutil.rmtree, work.scratch, True)  # ignore_errors


async def _publish(bench: Bench, work: Work, result: KindResult) -> Outcome:
    """Shielded: a result that exists is not thrown away because the run ends."""
    decision, terms = work.decision, work.terms
    receipts = [made.receipt for made in work.calls]
    with trio.CancelScope(shield=True):
        receipt = await bench.publisher.publish(
            decision, result, receipts, roots=terms.roots, manifest=terms.manifest, is_forced=terms.is_forced
        )
    return Outcome(
        job=decision.job.id,
        kind=decision.job.kind,
        verdict=result.verdict,
        reason=result.reason,
        products=tuple(product.path for product in receipt.products),
        usd=work.usd,
        audio_seconds=result.audio_seconds,
        route=receipt.route,
        model=receipt.model,
    )


async def _ended(bench: Bench, work: Work, error: MediaspoolError) -> Outcome:
    """Settle what the error's facts say. A job that may simply run again later is not settled."""
    decision = work.decision
    outcome = Outcome(
        job=decision.job.id,
        kind=decision.job.kind,
        verdict=error.outcome,
        reason=error.message,
        code=error.code,
        hint=error.hint,
        usd=work.usd,
        route=decision.binding.route if decision.binding else None,
        model=decision.binding.model if decision.binding else None,
    )
    with trio.CancelScope(shield=True):
        await bench.runner(settle, bench.ledger, decision, outcome, work.terms.manifest)
    return outcome


def settle(ledger: Ledger, decision: Decision, outcome: Outcome, manifest: str) -> None:
    """Remember a verdict that has no products. A held job stays open, but is known by name from now on."""
    if outcome.verdict not in SETTLED | {"held"}:
        return
    ledger.settle_job(
        place=decision.job.place,
        job=decision.job.id,
        manifest=manifest,
        receipt=None,
        verdict=outcome.verdict,
        code=outcome.code,
        reason=outcome.reason,
        key=decision.key,
        identity=refusal_identity(decision.reasons, decision.limits),
    )


def _where(error: Exception) -> str:
    """The last frames of a traceback as module:line, which say where without saying what."""
    frames = traceback.extract_tb(error.__traceback__)[-TOLD_FRAMES:]
    return " < ".join(f"{os.path.basename(frame.filename)}:{frame.lineno}" for frame in reversed(frames))


def _make_scratch(scratch: Path) -> None:
    with border(str(scratch)):
        scratch.mkdir(mode=0o700)


def _read(open_file: Callable[[], int], max_bytes: int) -> bytes:
    with os.fdopen(open_file(), "rb") as file:
        body = file.read(max_bytes + 1)
    if len(body) > max_bytes:
        raise InputError(f"more than {max_bytes} bytes", code="limit-bytes")
    return body
