"""One function per thing a user can ask: run and plan. Read `run` for the whole main path, step by step.

lock -> claim -> recover -> read -> plan -> run -> report -> finish -> pages
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Literal

import msgspec
import trio
from msgspec import Struct

from pipeline import __version__
from pipeline.batch import Batch, Stop, run_plan
from pipeline.broadcast import broadcasting
from pipeline.core.budget import Budget
from pipeline.core.confine import display, display_path
from pipeline.core.errors import InputError, MediaspoolError
from pipeline.core.limits import MEGABYTE
from pipeline.core.model import Job, Outcome, Place
from pipeline.discovery import discover
from pipeline.intake import Intake
from pipeline.manifest import Manifest, ManifestLimits, read_manifest
from pipeline.manifest_text import read_body
from pipeline.metrics import write_metrics
from pipeline.pages.cards import Material
from pipeline.pages.writing import write_pages
from pipeline.plan import Planner, decide_all
from pipeline.prices import Learned, Terms, learn_prices
from pipeline.recovery import recover
from pipeline.refusals import forget_bygone, refuse
from pipeline.report import RunReport, has_news, make_report, report_json, with_error
from pipeline.runtime import Runtime, World, open_runtime
from pipeline.signals import Caught, watch_signals
from pipeline.state.durable import free_bytes, free_files
from pipeline.state.idle import write_marker
from pipeline.state.lineage import ensure_latest, note_run
from pipeline.state.roots import Roots
from pipeline.state.settings import Settings
from pipeline.state.spool import Claim, Spool

MANIFEST_LIMITS = ManifestLimits()
MAX_NOTED_NAMES = 10
LOW_FILES = 1000


class RunRequest(Struct, frozen=True, kw_only=True):
    """What to run. `files` are manifests that stay where they are; without any, the spool's own folders are run.

    `settings_file` is where the settings came from, or would have: a change there ends the rest of an idle spool.
    """

    spool: str
    files: tuple[str, ...] = ()
    settings_file: str | None = None
    time_limit_s: float | None = None
    is_forced: bool = False
    is_rehashing: bool = False


class Reading(Struct, frozen=True, kw_only=True):
    """A claimed manifest after reading: either a manifest with its roots, or the error that stopped it."""

    claim: Claim
    manifest: Manifest | None = None
    roots: Roots | None = None
    error: MediaspoolError | None = None


class Result(Struct, frozen=True, kw_only=True):
    """What a run did: one report per manifest that could be read or not, and one over all of them.

    `unsettled` counts the files that were written a moment ago and are left for the next run, `unpriced` the calls
    whose price the provider was asked for and did not know yet. `page` is where a person may look at it all.
    """

    reports: tuple[RunReport, ...]
    whole: RunReport
    unsettled: int = 0
    unpriced: int = 0
    page: str | None = None


async def run(request: RunRequest, settings: Settings, world: World, caught: Caught | None = None) -> Result:
    """Run manifests to their verdicts. Safe to kill at any point and to start again; two runs never overlap."""
    caught, began = caught or Caught(), trio.current_time()
    spool = Spool.create(request.spool)
    with spool.lock():
        claims = claim(request, settings, spool, world.now())
        stop = Stop()
        async with (
            watch_signals(stop, caught, grace_s=settings.drain_grace_s, time_limit_s=request.time_limit_s),
            open_runtime(settings, spool, world, roots=lane_roots(settings, spool, claims)) as runtime,
            broadcasting(runtime) as cast,
        ):
            world.reached("claimed")
            await runtime.runner(begin, runtime, claims)
            await runtime.runner(recover, runtime.ledger, runtime.store, spool)
            await runtime.runner(runtime.pacer.begin, runtime.ledger)
            world.reached("recovered")
            readings = await runtime.runner(read, runtime, claims, request)
            await discover(runtime, (job for item in readings if item.manifest for job in item.manifest.jobs))
            batches = await runtime.runner(plan, runtime, readings, request, stop)
            world.reached("planned")
            outcomes = await run_plan(runtime.bench, batches, stop, width_of=runtime.drivers.width, watch=world.watch)
            world.reached("ran")
            learned = await prices(runtime, stop, began)
            outcomes = learned.told([batch.decisions for batch in batches], outcomes)
            result = await runtime.runner(report, runtime, readings, outcomes, stop, caught.signal)
            result = msgspec.structs.replace(result, unpriced=learned.to_come)
            result = await put_away(runtime, readings, result, request, stop)
            cast.report = result.whole
            world.reached("finished")
        return result


async def put_away(
    runtime: Runtime, readings: Sequence[Reading], result: Result, request: RunRequest, stop: Stop
) -> Result:
    """Reports, manifests and pages. The verdicts stand: what cannot be put away is told, and the next run does it."""
    try:
        kept = await runtime.runner(finish, runtime, readings, result, request)
    except MediaspoolError as error:
        told = msgspec.structs.replace(result, whole=with_error(result.whole, error))
        with suppress(MediaspoolError):
            await runtime.runner(runtime.ledger.finish_run, told.whole.exit_code)
        return told
    runtime.world.reached("reported")
    return await pages(runtime, readings, result, kept, stop)


def claim(request: RunRequest, settings: Settings, spool: Spool, now: float) -> list[Claim]:
    """What an earlier run left first, then the standing manifests, then what was dropped and has settled."""
    if request.files:
        return [_file_claim(path) for path in request.files]
    return [*spool.claimed(), *spool.standing(), *spool.claim_incoming(settings.manifest_settle_s, now)]


def lane_roots(settings: Settings, spool: Spool, claims: Sequence[Claim]) -> dict[str, str]:
    """Every folder that a child may open, by name; each manifest is confined to its own share of them."""
    there = [claim for claim in claims if os.path.exists(claim.path)]  # a missing one is told when it is read
    folders = dict.fromkeys(folder for claim in there for folder in root_folders(settings, spool, claim))
    return Roots(tuple(folders)).names()


def root_folders(settings: Settings, spool: Spool, claim: Claim) -> tuple[str, ...]:
    """Where inputs and outputs may lie: the settings' roots, else the manifest's folder (and the spool's parent)."""
    if settings.roots:
        return settings.roots
    if claim.origin == "file":
        return (claim.base,)
    return (claim.base, os.path.dirname(os.path.abspath(spool.root)))


def begin(runtime: Runtime, claims: Sequence[Claim]) -> None:
    """Note that the run is under way; without its end beside it, it was cut off."""
    ensure_latest(runtime.spool.root, runtime.ledger)
    if not (claims or runtime.spool.refused or runtime.ledger.last_runs(1)):
        where = display_path(runtime.spool.root)  # not the one that was meant, or its disk is not mounted?
        runtime.tools.warn(f"a new spool was made, and nothing dropped there yet: '{where}'")
    names = " ".join(claim.name for claim in claims[:MAX_NOTED_NAMES])
    runtime.ledger.begin_run(manifest=names, version=__version__)
    note_run(runtime.spool.root, runtime.run)


def read(runtime: Runtime, claims: Sequence[Claim], request: RunRequest) -> list[Reading]:
    return _newest_last([_read_one(runtime, claim, request) for claim in claims])


def _newest_last(readings: Sequence[Reading]) -> list[Reading]:
    """Of manifests that were dropped under one name the newest says what their jobs are.

    An older one, kept for a job that is held, would put its own wording back: each in turn, run after run.
    """
    said: dict[Place, Job] = {}
    kept: list[Reading] = []
    for reading in reversed(readings):
        manifest = reading.manifest if reading.claim.origin == "incoming" else None
        if manifest is not None and any(said.get(job.place, job) != job for job in manifest.jobs):
            left = tuple(job for job in manifest.jobs if job.place not in said)
            reading = msgspec.structs.replace(reading, manifest=msgspec.structs.replace(manifest, jobs=left))
        said = {job.place: job for job in manifest.jobs} | said if manifest is not None else said
        kept.append(reading)
    return kept[::-1]


def _read_one(runtime: Runtime, claim: Claim, request: RunRequest) -> Reading:
    settings = runtime.settings
    try:
        body = read_body(claim.path, MANIFEST_LIMITS.max_jsonl_bytes)
        roots = Roots(root_folders(settings, runtime.spool, claim))
        manifest = read_manifest(
            body,
            file_name=claim.name,
            base=claim.base,
            kinds=runtime.kinds,
            default_routes=settings.default_route,
            roots=roots,
            intake=Intake(runtime.ledger, roots, is_rehashing=request.is_rehashing),
            now=runtime.world.now(),
            limits=MANIFEST_LIMITS,
        )
    except MediaspoolError as error:
        runtime.log.event("manifest-unreadable", level="error", code=error.code)
        return Reading(claim=claim, error=error)
    return Reading(claim=claim, manifest=manifest, roots=roots)


def plan(runtime: Runtime, readings: Sequence[Reading], request: RunRequest, stop: Stop) -> list[Batch]:
    with runtime.ledger.group():
        return [plan_one(runtime, reading, request, stop) for reading in readings if reading.manifest is not None]


def plan_one(runtime: Runtime, reading: Reading, request: RunRequest, stop: Stop) -> Batch:
    manifest, roots = reading.manifest, reading.roots
    assert manifest is not None
    assert roots is not None
    planner = Planner(
        ledger=runtime.ledger,
        intake=Intake(runtime.ledger, roots, is_rehashing=request.is_rehashing),
        kinds=runtime.kinds,
        drivers=runtime.drivers,
        expand=runtime.drivers.expand,
        limits=runtime.settings.job_limits,
        doubt=runtime.doubt,
        is_forced=request.is_forced,
    )
    bad = frozenset(job.id for job in manifest.bad)
    return Batch(
        manifest=manifest.name,
        decisions=decide_all(planner, manifest.jobs, bad, lambda: stop.reason is not None),
        bad=bad,
        planner=planner,
        roots=roots,
        budget=Budget(manifest.caps, above=runtime.budget),
    )


async def prices(runtime: Runtime, stop: Stop, began: float) -> Learned:
    """Ask for what providers tell late, unless somebody wants the run to end."""
    terms = Terms(run=runtime.run, routes=runtime.drivers.opened, began=began, is_over=lambda: stop.reason is not None)
    return await learn_prices(runtime.ledger, runtime.runner, runtime.drivers, runtime.pacer, terms)


def report(
    runtime: Runtime, readings: Sequence[Reading], outcomes: Sequence[list[Outcome]], stop: Stop, signal: int | None
) -> Result:
    """One report per manifest, and one over the whole run, whose exit code is the program's."""
    rest = iter(outcomes)
    with runtime.ledger.group():
        reports = [_report_one(runtime, item, next(rest) if item.manifest else [], stop, signal) for item in readings]
    odd = [
        InputError(f"{drop.name} was moved to failed/{os.path.basename(drop.path)}: {drop.message}", code="path-unsafe")
        for drop in runtime.spool.refused
    ]
    ended = [stop.error] if stop.error is not None and stop.error.reach == "run" else []
    errors = [*odd, *(_named(item) for item in readings if item.error is not None), *ended]
    whole = make_report(
        run=runtime.run,
        manifest=None,
        started_at=runtime.started_at,
        finished_at=runtime.world.clock(),
        outcomes=[outcome for report in reports for outcome in report.outcomes],
        stopped_by=stop.error.code if stop.error else None,
        warnings=_warnings(runtime),
        errors=errors,
        signal=signal,
    )
    unsettled = sum(len(item.manifest.unsettled) for item in readings if item.manifest is not None)
    return Result(reports=tuple(reports), whole=whole, unsettled=unsettled)


def _report_one(
    runtime: Runtime, reading: Reading, outcomes: list[Outcome], stop: Stop, signal: int | None
) -> RunReport:
    name, base = reading.manifest.name if reading.manifest else reading.claim.name, reading.claim.base
    bad = [refuse(runtime.ledger, base, name, job) for job in reading.manifest.bad] if reading.manifest else []
    return make_report(
        run=runtime.run,
        manifest=name,
        started_at=runtime.started_at,
        finished_at=runtime.world.clock(),
        outcomes=[*bad, *outcomes],
        stopped_by=stop.error.code if stop.error else None,
        errors=[reading.error] if reading.error else [],
        signal=signal,
    )


def _named(reading: Reading) -> MediaspoolError:
    """What is wrong with a manifest, and with which: one run may read many."""
    error = reading.error
    assert error is not None
    return type(error)(f"{display(reading.claim.name)}: {error.message}", code=error.code, hint=error.hint)


def _warnings(runtime: Runtime) -> list[str]:
    free, floor = free_bytes(runtime.spool.root), runtime.settings.low_disk_mb * MEGABYTE
    low = [f"only {free // MEGABYTE} MB are free where the spool lies"] if free < floor else []
    files = free_files(runtime.spool.root)
    if files is not None and files < LOW_FILES:
        low.append(f"only {files} further files (df -i) fit where the spool lies")
    lost = runtime.debug.failures
    return runtime.warnings + low + ([f"{lost} debug artifacts could not be written"] if lost else [])


def finish(runtime: Runtime, readings: Sequence[Reading], result: Result, request: RunRequest) -> list[tuple[str, ...]]:
    """Reports to disk, manifests to where they belong, the idle marker if nothing is left. The paths of the reports."""
    kept = [tuple(_keep(runtime, *item)) for item in zip(readings, result.reports, strict=True)]
    asked = [(reading.claim.base, reading.manifest) for reading in readings if reading.manifest is not None]
    forget_bygone(runtime.ledger, runtime.spool, asked)
    runtime.ledger.finish_run(result.whole.exit_code)
    figures = runtime.settings.metrics.file
    if figures is not None:
        _tell_figures(runtime, figures, result.whole)
    if _is_at_rest(readings, result) and not runtime.settings.notify.pings:  # whoever waits for a ping waits for each
        watched = {path for reading in readings if reading.manifest for path in _watched(reading.manifest)}
        write_marker(
            runtime.spool.root,
            watched=sorted(watched),
            settle_s=runtime.settings.manifest_settle_s,
            extra_files=[request.settings_file] if request.settings_file else [],
            figures=figures,
        )
    return kept


def _keep(runtime: Runtime, reading: Reading, item: RunReport) -> Iterator[str]:
    if has_news(item):
        yield runtime.spool.write_report(f"{runtime.run}-{reading.claim.name}", report_json(item))
    if reading.claim.origin == "incoming":
        yield runtime.spool.finish(reading.claim, _destination(reading, item), report_json(item))


def _tell_figures(runtime: Runtime, path: str, whole: RunReport) -> None:
    error = write_metrics(path, runtime.ledger, whole, runtime.spool.root)
    if error is not None:
        runtime.log.event("figures-not-written", level="warning", code=error.code, reason=error.message)


async def pages(
    runtime: Runtime, readings: Sequence[Reading], result: Result, kept: Sequence[tuple[str, ...]], stop: Stop
) -> Result:
    """A page beside each report with news. The verdicts stand already: what cannot be written is a warning."""
    news = [
        Material(
            report=item,
            jobs=reading.manifest.jobs if reading.manifest else (),
            roots=reading.roots,
            typed=reading.claim.path if reading.claim.origin == "file" else None,
            kept=reports,
        )
        for reading, item, reports in zip(readings, result.reports, kept, strict=True)
        if has_news(item)
    ]
    made = await write_pages(runtime, news, lambda: stop.reason is not None)
    whole = msgspec.structs.replace(result.whole, warnings=(*result.whole.warnings, *made.warnings))
    return msgspec.structs.replace(result, whole=whole, page=made.first)


def _destination(reading: Reading, report: RunReport) -> Literal["done", "failed", "claimed"]:
    """Work that is left keeps its manifest claimed; what needs a person goes to `failed/`; the rest is done."""
    counts = report.counts
    if reading.error is not None:  # a manifest is not to blame for a disk or a ledger that failed under it
        return "claimed" if reading.error.reach == "run" else "failed"
    if counts.get("not-started") or counts.get("held") or (reading.manifest and reading.manifest.unsettled):
        return "claimed"
    return "failed" if counts.keys() & {"failed", "refused", "blocked"} else "done"


def _is_at_rest(readings: Sequence[Reading], result: Result) -> bool:
    left = result.whole.counts.keys() & {"not-started", "held"}
    unsettled = any(reading.manifest is None or reading.manifest.unsettled for reading in readings)
    by_hand = any(reading.claim.origin == "file" for reading in readings)
    return not (left or unsettled or by_hand or result.unpriced) and result.whole.stopped_by is None


def _watched(manifest: Manifest) -> set[str]:
    """What the manifest reads, and the folders of its products: a deleted product must be noticed too."""
    folders = {os.path.dirname(product.path) for job in manifest.jobs for product in job.products}
    return {*manifest.watched, *folders}


def _file_claim(path: str) -> Claim:
    full = os.path.abspath(path)
    return Claim(name=os.path.basename(full), path=full, base=os.path.dirname(full), origin="file")
