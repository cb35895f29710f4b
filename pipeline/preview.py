"""`plan`: the decisions of a run without the run. The same reading and the same Planner, over a ledger only read.

Sends nothing, changes nothing, needs no lock, and works before the first run and on a read-only disk; only where it is
asked to, it asks the routes for their listings first, as a run does, and keeps them. A file that no run has hashed yet
is read here, and not remembered.
"""

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal

import msgspec
import trio
from msgspec import Struct

from pipeline import app
from pipeline.answer import SCHEMA, Answer, Problem, counted, joined, problem
from pipeline.app import RunRequest
from pipeline.batch import Batch, Stop, outcome_of
from pipeline.core.confine import display, display_path
from pipeline.core.drivers import Discovers
from pipeline.core.errors import BudgetExhausted, LimitExceeded, MediaspoolError
from pipeline.core.kinds import operations_of
from pipeline.core.model import BadJob, Decision, Job, Media, Outcome, Refusal, Sha256, Source, Verdict
from pipeline.core.pricing import total
from pipeline.discovery import discover
from pipeline.manifest_paths import suggested_families
from pipeline.refusals import is_known
from pipeline.report import exit_code
from pipeline.runtime import Runtime, World, open_view
from pipeline.seat import Seat
from pipeline.state.spool import Claim

MAX_SHOWN = 20
_TITLES = {
    "run": "would run",
    "later": "would run after the job they need",
    "place": "would be put in place from an earlier result",
    "unchanged": "unchanged",
    "empty": "validly empty",
    "held": "held: a paid call has no verdict",
    "blocked": "blocked by a job they need",
    "refused": "refused",
}
_SILENT = (
    "run",
    "later",
    "place",
    "unchanged",
)  # choices that have no say in the exit code: no outcome is made of them
_FREE = Decimal(0)  # one for all: a plan may hold a hundred thousand


_ASK = "a price is unknown: mediaspool plan --ask first asks the routes that tell theirs, for free"


class PlannedJob(Struct, frozen=True, kw_only=True):
    """One decision. `earlier` is the verdict that an unchanged job has; `usd` None is an unknown price.

    `asked` is the model that was asked for where `model` takes its place; `tickets` are calls already under way. What a
    job reads that waits for another is not there yet: it costs nothing, or nobody knows what.
    """

    id: str
    kind: str
    choice: str
    reasons: tuple[Problem, ...] = ()
    earlier: str | None = None
    route: str | None = None
    model: str | None = None
    asked: str | None = None
    engine: str | None = None
    usd: Decimal | None = Decimal(0)
    audio_seconds: float = 0.0
    products: tuple[str, ...] = ()
    tickets: tuple[str, ...] = ()


class PlannedManifest(Struct, frozen=True, kw_only=True):
    """One manifest: its jobs, or why it cannot be read. `unsettled` files wait for a later run.

    `cap` is the bound on a run that would stop this one before all is done, if every call cost what it may at worst.
    """

    manifest: str
    error: Problem | None = None
    cap: Problem | None = None
    jobs: tuple[PlannedJob, ...] = ()
    ignored: int = 0
    unsettled: int = 0


class Plan(Struct, frozen=True, kw_only=True):
    """The object of `plan`. `exit_code` is what a run that did all this at once would end with.

    `usd` None is unknown: `unpriced_jobs` have no known price, and the others cost at most `known_usd`.
    """

    schema: int = SCHEMA
    manifests: tuple[PlannedManifest, ...]
    counts: dict[str, int]
    usd: Decimal | None
    known_usd: Decimal
    unpriced_jobs: int
    audio_seconds: float
    exit_code: int
    warnings: tuple[str, ...] = ()


class _Preview(Struct, frozen=True, kw_only=True):
    """A manifest with what would become of its jobs, before it is made presentable. `error`: what would stop it."""

    planned: PlannedManifest
    outcomes: tuple[Outcome, ...] = ()
    error: MediaspoolError | None = None


def plan(
    seat: Seat,
    files: Sequence[str],
    *,
    is_forced: bool = False,
    is_rehashing: bool = False,
    is_asking: bool = False,
) -> Answer:
    """What `run` would do with the same words. `is_asking` the routes that may be asked first for models and prices."""
    request = RunRequest(spool=seat.root, files=tuple(files), is_forced=is_forced, is_rehashing=is_rehashing)
    with open_view(seat.settings, seat.root, _silent(seat.world)) as runtime:
        if is_asking:
            trio.run(_ask, runtime, request)
        previews = [_preview(runtime, claim, request) for claim in _claims(runtime, request)]
        odd = () if files else runtime.spool.passed_over()
        warnings = (*map(display, runtime.warnings), *odd)
        is_dark = not is_asking and any(_is_dark(runtime, preview) for preview in previews)
    made = msgspec.structs.replace(_plan(previews), warnings=warnings)
    return Answer(text=joined([*_lines(made), *([_ASK] if is_dark else [])]), record=made, exit_code=made.exit_code)


def unsettled(seat: Seat, files: Sequence[str]) -> tuple[str, ...]:
    """The files that a run of these manifests would leave for a later one, because they changed a moment ago."""
    request = RunRequest(spool=seat.root, files=tuple(files))
    with open_view(seat.settings, seat.root, _silent(seat.world)) as runtime:
        readings = app.read(runtime, _claims(runtime, request), request)
    return tuple(path for reading in readings if reading.manifest for path in reading.manifest.unsettled)


async def _ask(runtime: Runtime, request: RunRequest) -> None:
    readings = app.read(runtime, _claims(runtime, request), request)
    try:
        await discover(runtime, (job for reading in readings if reading.manifest for job in reading.manifest.jobs))
    finally:
        await runtime.drivers.aclose()


def _is_dark(runtime: Runtime, preview: _Preview) -> bool:
    """Does a price play a part that its route may tell and has not told yet?"""
    routes = {
        job.route
        for job in preview.planned.jobs
        if job.choice not in ("unchanged", "later")
        if job.usd is None or any(reason.code == "price-unknown" for reason in job.reasons)
    }
    return any(route is None or isinstance(runtime.drivers(route), Discovers) for route in routes)


def _silent(world: World) -> World:
    """What a look meets is told by its answer, not by the log."""
    return msgspec.structs.replace(world, log_stream=io.StringIO())


def _claims(runtime: Runtime, request: RunRequest) -> list[Claim]:
    """The manifests of a run, without taking them."""
    settings, now = runtime.settings, runtime.world.now()
    if request.files:
        return app.claim(request, settings, runtime.spool, now)
    return runtime.spool.look(settings.manifest_settle_s, now)


def _preview(runtime: Runtime, claim: Claim, request: RunRequest) -> _Preview:
    (reading,) = app.read(runtime, [claim], request)
    if reading.error is not None or reading.manifest is None:
        error = reading.error
        told = problem(error.code, error.message, error.hint) if error else None
        return _Preview(planned=PlannedManifest(manifest=display_path(claim.path), error=told), error=error)
    batch = app.plan_one(runtime, reading, request, Stop())
    decisions, cap = _within_caps(batch)
    bad = [_bad_outcome(runtime, claim.base, reading.manifest.name, job) for job in reading.manifest.bad]
    settled = [outcome_of(decision) for decision in decisions if decision.choice not in _SILENT]
    usd = _prices(runtime, decisions)
    jobs = [*map(_bad_job, reading.manifest.bad), *map(_planned_job, decisions, usd)]
    planned = PlannedManifest(
        manifest=display_path(claim.path),
        jobs=tuple(jobs),
        ignored=reading.manifest.ignored,
        unsettled=len(reading.manifest.unsettled),
        cap=problem(cap.code, cap.message, cap.hint) if cap else None,
    )
    return _Preview(planned=planned, outcomes=(*bad, *settled), error=cap)


def _within_caps(batch: Batch) -> tuple[list[Decision], BudgetExhausted | None]:
    """Spend the estimates: what a run would refuse for its price, and the first cap that it would meet at the worst.

    A job may be many calls, of which a run makes as many as fit. Jobs that wait for others have no estimate yet.
    """
    decisions: list[Decision] = list(batch.decisions)
    cap: BudgetExhausted | None = None
    for number, decision in enumerate(decisions):
        try:
            if decision.choice == "run":
                batch.budget.settle(batch.budget.reserve(decision.estimate, taker="job"), decision.estimate)
        except BudgetExhausted as error:
            cap = cap or error
        except LimitExceeded as error:
            reason = Refusal(code=error.code, message=error.message, hint=error.hint)
            decisions[number] = msgspec.structs.replace(decision, choice="refused", reasons=(reason,))
    return decisions, cap


def _bad_outcome(runtime: Runtime, base: str, manifest: str, bad: BadJob) -> Outcome:
    """As the run sees it: a refusal that the ledger knows already is no news."""
    verdict: Verdict = "unchanged" if is_known(runtime.ledger, base, manifest, bad) else "refused"
    return Outcome(job=bad.id, kind="", verdict=verdict, code=bad.reasons[0].code)


def _bad_job(bad: BadJob) -> PlannedJob:
    where = f"{bad.where}: "
    reasons = tuple(problem(item.code, where + item.message, item.hint) for item in bad.reasons)
    return PlannedJob(id=display_path(bad.id), kind="", choice="refused", reasons=reasons)


def _prices(runtime: Runtime, decisions: Sequence[Decision]) -> Iterator[Decimal | None]:
    """What each job may cost at worst. What a job reads that waits for another is not there to be reckoned with."""
    by_id = {decision.job.id: decision.job for decision in decisions}
    for decision in decisions:
        job = decision.job
        if decision.choice == "run":
            yield decision.estimate.usd
        else:
            parent = by_id.get(job.parent) if job.parent else None
            yield None if decision.choice == "later" and _may_cost(runtime, job, parent) else _FREE


def _may_cost(runtime: Runtime, job: Job, parent: Job | None) -> bool:
    """Does it ask for anything, and may a paid route do that? A product that is not made yet is told by its name."""
    kind = runtime.kinds[job.kind]
    source = _stand_in(parent.products[0].path) if parent else None
    try:
        if not operations_of(kind, job.spec, source, {}):
            return False
        selectors = runtime.drivers.expand(job.routes)
    except MediaspoolError:
        return False  # it will be refused
    return any(_is_paid(runtime, name, kind.asks) for name in selectors)


def _is_paid(runtime: Runtime, selector: str, operations: frozenset[str]) -> bool:
    try:
        facts = runtime.drivers(selector.partition("/")[0]).facts
    except MediaspoolError:
        return False  # a route that cannot be opened takes nothing
    return facts.paid and bool(facts.operations & operations)


def _stand_in(path: str) -> Source | None:
    """What a product of that name will be, as far as a kind has to know to say what it asks for."""
    families = sorted(suggested_families(path))
    if not families:
        return None
    media = Media(media_type="", family=families[0], extension="")
    return Source(path=path, size=1, sha256=Sha256(""), media=media)


def _planned_job(decision: Decision, usd: Decimal | None) -> PlannedJob:
    job, binding = decision.job, decision.binding
    return PlannedJob(
        id=display_path(job.id),
        kind=job.kind,
        choice=decision.choice,
        reasons=tuple(problem(item.code, item.message, item.hint) for item in decision.reasons),
        earlier=decision.earlier,
        route=binding.route if binding else None,
        model=binding.model if binding else None,
        asked=binding.asked if binding else None,
        engine=binding.engine if binding else None,
        usd=usd,
        audio_seconds=decision.estimate.audio_seconds if decision.choice == "run" else 0.0,
        products=tuple(display_path(product.path) for product in job.products),
        tickets=tuple(map(display, decision.tickets)),
    )


def _plan(previews: Sequence[_Preview]) -> Plan:
    jobs = [job for item in previews for job in item.planned.jobs]
    counted = Counter(job.choice for job in jobs)
    return Plan(
        manifests=tuple(item.planned for item in previews),
        counts={choice: counted[choice] for choice in _TITLES if counted[choice]},
        usd=total(job.usd for job in jobs),
        known_usd=sum((job.usd or Decimal(0) for job in jobs), Decimal(0)),
        unpriced_jobs=sum(job.usd is None for job in jobs),
        audio_seconds=round(sum(job.audio_seconds for job in jobs), 3),
        exit_code=exit_code(
            outcomes=[outcome for item in previews for outcome in item.outcomes],
            errors=[item.error for item in previews if item.error is not None],
        ),
    )


def _lines(made: Plan) -> Iterator[str]:
    if not made.manifests:
        yield "nothing to plan: no manifest was named and none waits in the spool"
    for manifest in made.manifests:
        yield f"{manifest.manifest}: {_headline(manifest)}"
        if manifest.cap is not None:
            yield f"  at worst it stops before the end: {manifest.cap.message} [{manifest.cap.code}]"
        for choice, title in _TITLES.items():
            yield from _group_lines(choice, title, [job for job in manifest.jobs if job.choice == choice])
    yield from (f"warning: {text}" for text in made.warnings)
    if made.counts.get("run"):
        yield f"in all: {made.audio_seconds / 60:.1f} minutes of audio, {_price(made)}; no work was sent"


def _price(made: Plan) -> str:
    if made.usd is not None:
        return f"at most {made.usd} USD" if made.usd else "no cost"
    known = f"at most {made.known_usd} USD and " if made.known_usd else ""
    return f"{known}an unknown price for {counted(made.unpriced_jobs, 'job')}"


def _headline(manifest: PlannedManifest) -> str:
    if manifest.error is not None:
        hint = f" ({manifest.error.hint})" if manifest.error.hint else ""
        return f"cannot be read: {manifest.error.message} [{manifest.error.code}]{hint}"
    parts = [counted(len(manifest.jobs), "job")]
    if manifest.unsettled:
        parts.append(f"{counted(manifest.unsettled, 'file')} still settling")
    if manifest.ignored:
        parts.append(f"{counted(manifest.ignored, 'other file')} ignored")
    return ", ".join(parts)


def _group_lines(choice: str, title: str, jobs: Sequence[PlannedJob]) -> Iterator[str]:
    """Each job that would do something or needs a look; of those that rest, only how many."""
    if not jobs:
        return
    yield f"  {title}: {len(jobs)}"
    telling = [job for job in jobs if job.reasons] if choice in ("unchanged", "empty") else jobs
    for job in telling[:MAX_SHOWN]:
        yield f"    {job.id}{_way(job)}"
        for reason in job.reasons:
            hint = f"; {reason.hint}" if reason.hint else ""
            yield f"      {reason.message} [{reason.code}]{hint}"
    if len(telling) > MAX_SHOWN:
        yield f"    and {len(telling) - MAX_SHOWN} more: --json lists all"


def _way(job: PlannedJob) -> str:
    """Who would do it, or what it was settled as."""
    if job.route is not None:
        asked = "" if job.asked is None else f" instead of {display(job.asked)}"
        price = ", price unknown" if job.usd is None else f", {job.usd} USD" if job.usd else ""
        goes_on = f", goes on with ticket {', '.join(job.tickets)}" if job.tickets else ""
        return f"  ({job.route} {job.model}{asked}{price}{goes_on})"
    if job.usd is None:
        return "  (price unknown)"
    return f"  ({job.earlier})" if job.earlier not in (None, "done") else ""
