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

from pipeline.calls import Caller
from pipeline.children.lanes import Lanes
from pipeline.children.stage import StageLimits
from pipeline.core.budget import Budget
from pipeline.core.errors import Deferred, EngineError, InputChanging, InputError, MediaspoolError
from pipeline.core.hearing import Survey
from pipeline.core.kinds import Answered, ClipFacts, Kind, KindResult, PictureFacts, Sources
from pipeline.core.limits import Tab
from pipeline.core.model import (
    SETTLED,
    Asset,
    Decision,
    Limits,
    Outcome,
    Reached,
    Runner,
    Sha256,
    Source,
    refusal_identity,
)
from pipeline.core.operations import MediaRef, Operation
from pipeline.core.portions import DEFAULT_PORTION, Portion
from pipeline.course import CallOwner, Made
from pipeline.media import av, pictures, recordings
from pipeline.publishing import Publisher
from pipeline.state.durable import border
from pipeline.state.ledger import Ledger
from pipeline.state.roots import Roots
from pipeline.trace.logs import Log

DEFAULT_JOB_S = 12 * 3600.0
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


class Unfinished(Struct, frozen=True, kw_only=True):
    """What a job ends with that has no verdict: an error that reaches beyond it, and what it had cost by then.

    `may_move`: the route surely did nothing for it, so the next of its routes may be asked.
    """

    error: MediaspoolError
    usd: Decimal | None
    may_move: bool


class Work:
    """Implements `core.kinds.JobContext` for one job, and remembers the calls it made."""

    def __init__(self, bench: Bench, decision: Decision, terms: Terms) -> None:
        job = decision.job
        self.decision = decision
        self.terms = terms
        self.source: Source | None = decision.source
        self.more: Sources = decision.more
        self.limits: Limits = decision.limits
        # Never the place alone: two manifests of one name have jobs of one place, and may be at work side by side.
        self.portion: Portion = bench.caller.portion(decision.binding) if decision.binding else DEFAULT_PORTION
        self.scratch = bench.scratch / f"job-{job.place}-{secrets.token_hex(4)}"
        self.calls: list[Made] = []
        self._bench = bench
        self._has_begun = False
        self._surveys: dict[tuple[Sha256, int], Survey] = {}
        self.tab = Tab()
        self._owner = CallOwner(
            place=job.place,
            kind=job.kind,
            limits=decision.limits,
            budget=terms.budget,
            tab=self.tab,
            may_begin=self._may_begin,
            call_timeout_s=job.call_timeout_s,
        )

    def _may_begin(self) -> bool:
        """A job that waits for its first seat can wait for another run; one that has called goes on to its end."""
        self._has_begun = self._has_begun or not self.terms.is_stopping()
        return self._has_begun

    async def call(self, operation: Operation) -> Asset:
        return (await self._made(operation)).asset

    async def ask(self, operation: Operation) -> Answered:
        made = await self._made(operation)
        return Answered(assets=made.assets, facts=made.receipt.facts, model=made.receipt.model)

    async def _made(self, operation: Operation) -> Made:
        assert self.decision.binding is not None, "a kind that calls declares its operations"
        made = await self._bench.caller.make_call(operation, self.decision.binding, self._owner)
        self.calls.append(made)
        return made

    async def look(self, ref: MediaRef | Asset) -> PictureFacts:
        lanes = self._bench.lanes
        spec = pictures.look(lanes.ref(ref.path), ref.media, max_pixels=self.limits.max_pixels)
        found = pictures.look_facts(await lanes.run("media", spec))
        await self._ensure_unchanged(ref)
        return PictureFacts(**msgspec.structs.asdict(found))

    async def upright(self, ref: MediaRef, target: Path) -> MediaRef:
        lanes = self._bench.lanes
        there = lanes.ref(str(target))
        spec = pictures.save(lanes.ref(ref.path), ref.media, there, media_type=None, max_pixels=self.limits.max_pixels)
        await lanes.run("media", spec)
        await self._ensure_unchanged(ref)
        size, digest = await self._bench.files(_measured, str(target))
        return MediaRef(sha256=digest, path=str(target), size=size, media=ref.media)

    async def convert(self, picture: Asset, target: Path, *, media_type: str) -> None:
        lanes = self._bench.lanes
        there, limit = lanes.ref(str(target)), self.limits.max_pixels
        spec = pictures.save(lanes.ref(picture.path), picture.media, there, media_type=media_type, max_pixels=limit)
        await lanes.run("media", spec)

    async def composite(self, original: MediaRef, edited: Asset, mask: MediaRef, target: Path) -> bool:
        lanes = self._bench.lanes
        spec = pictures.composite(
            (lanes.ref(original.path), lanes.ref(edited.path), lanes.ref(mask.path)),
            (original.media, edited.media, mask.media),
            lanes.ref(str(target)),
            max_pixels=self.limits.max_pixels,
        )
        found = pictures.save_facts(await lanes.run("media", spec))
        await self._ensure_unchanged(original)
        await self._ensure_unchanged(mask)
        return found.is_scaled

    async def poster(self, clip: Asset, target: Path, *, media_type: str) -> ClipFacts:
        lanes = self._bench.lanes
        there, limit = lanes.ref(str(target)), self.limits.max_pixels
        spec = pictures.poster(lanes.ref(clip.path), clip.media, there, media_type=media_type, max_pixels=limit)
        found = pictures.poster_facts(await lanes.run("media", spec))
        return ClipFacts(**msgspec.structs.asdict(found))

    async def _ensure_unchanged(self, ref: MediaRef | Asset) -> None:
        if isinstance(ref, MediaRef):
            await self._bench.caller.ensure_unchanged(ref.path, ref.sha256)

    async def survey(self, recording: Source | MediaRef, *, track: int = 0) -> Survey:
        known = (recording.sha256, track)
        if known not in self._surveys:
            lanes = self._bench.lanes
            spec = recordings.survey(
                lanes.ref(recording.path),
                recording.media,
                track=track,
                expected_seconds=recording.seconds,
                max_seconds=self.limits.max_seconds,
            )
            found = recordings.survey_facts(await lanes.run("media", spec))
            await self._bench.caller.ensure_unchanged(recording.path, recording.sha256)
            self._surveys[known] = found
        return self._surveys[known]

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


def is_untaken(error: MediaspoolError) -> bool:
    """Did the route surely not take the call, for a reason that lies with the route?"""
    return error.billed == "no" and (error.retryable or error.reach == "route")


async def run_job(bench: Bench, decision: Decision, terms: Terms) -> Outcome | Unfinished:
    """Raises only Cancelled. An error that reaches beyond this job stops a route, a manifest or the run."""
    job, work = decision.job, Work(bench, decision, terms)
    tab = work.tab
    started = time.monotonic()
    bench.log.event("job-started", place=job.place, kind=job.kind)
    try:
        outcome = await _run(bench, work)
    except MediaspoolError as error:
        may_move = is_untaken(error) and tab.is_free and job.on_failure == "next-route"
        if may_move or error.reach != "call":
            return Unfinished(error=error, usd=tab.usd, may_move=may_move)
        outcome = await end_job(bench, decision, terms.manifest, error, tab)
    except Exception as error:  # the one place: a bug costs its job, not the run
        bench.log.event("bug", level="error", place=job.place, error=type(error).__name__, at=_where(error))
        bug = EngineError(f"a bug in mediaspool: {type(error).__name__}", code="internal", hint="please report it")
        outcome = await end_job(bench, decision, terms.manifest, bug, tab)
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
        raise await _too_late(bench, decision) from error
    finally:
        with trio.CancelScope(shield=True):
            await bench.files(shutil.rmtree, work.scratch, True)  # ignore_errors


async def _too_late(bench: Bench, decision: Decision) -> MediaspoolError:
    """The job's deadline passed. Where a provider still works for it, the next run goes on."""
    with trio.CancelScope(shield=True):
        if decision.job.place in await bench.caller.waiting_places():
            return still_waiting("the job's deadline passed")
    hint = "raise job_timeout, or max_runtime in the job's limits"
    return EngineError("the job's deadline passed", code="limit-time", hint=hint)


def still_waiting(what: str) -> Deferred:
    hint = "run again: the next run goes on with it"
    return Deferred(f"{what} while a provider works on one of its calls", hint=hint)


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
        usd=work.tab.usd,
        audio_seconds=result.audio_seconds,
        route=receipt.route,
        model=receipt.model,
    )


async def end_job(
    bench: Bench, decision: Decision, manifest: str, error: MediaspoolError, tab: Tab | None = None
) -> Outcome:
    """Settle what the error's facts say. A job that may simply run again later is not settled."""
    outcome = Outcome(
        job=decision.job.id,
        kind=decision.job.kind,
        verdict=error.outcome,
        reason=error.message,
        code=error.code,
        hint=error.hint,
        usd=tab.usd if tab else Decimal(0),
        route=decision.binding.route if decision.binding else None,
        model=decision.binding.model if decision.binding else None,
    )
    with trio.CancelScope(shield=True):
        await bench.runner(settle, bench.ledger, decision, outcome, manifest)
    return outcome


def settle(ledger: Ledger, decision: Decision, outcome: Outcome, manifest: str) -> None:
    """Remember a verdict that has no products. A held or deferred job stays open, but is known by name from now on."""
    if outcome.verdict not in SETTLED | {"held"} and outcome.code != Deferred.default_code:
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


def _measured(path: str) -> tuple[int, Sha256]:
    with open(path, "rb") as file:
        return os.fstat(file.fileno()).st_size, Sha256(hashlib.file_digest(file, "sha256").hexdigest())


def _read(open_file: Callable[[], int], max_bytes: int) -> bytes:
    with os.fdopen(open_file(), "rb") as file:
        body = file.read(max_bytes + 1)
    if len(body) > max_bytes:
        raise InputError(f"more than {max_bytes} bytes", code="limit-bytes")
    return body
