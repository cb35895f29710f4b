"""run_job: one decision -> one Outcome, under one deadline. Here, and only here, every error is caught.

An expected error becomes the outcome its facts ask for; a bug becomes `failed` with its traceback in the log and harms
nothing else. What a job made is published with intent written first, so a crash leaves old files or new ones.
"""

import os
import time
import traceback
from pathlib import Path

import msgspec
import trio
from msgspec import Struct

from pipeline.core.errors import PASSING, CapTooSmall, Deferred, EngineError, InputError, MediaspoolError, Stopped
from pipeline.core.kinds import REPORTED, Draft, KindResult
from pipeline.core.limits import Tab
from pipeline.core.model import (
    SETTLED,
    Decision,
    Job,
    Outcome,
    Product,
    refusal_identity,
)
from pipeline.publishing import product_path
from pipeline.state.ledger import Ledger
from pipeline.work import Bench, Terms, Work

DEFAULT_JOB_S = 12 * 3600.0
TOLD_FRAMES = 6


class Unfinished(Struct, frozen=True, kw_only=True):
    """What a job ends with that has no verdict: an error that reaches beyond it.

    `may_move`: the route surely did nothing for it, so the next of its routes may be asked.
    """

    error: MediaspoolError
    may_move: bool


def is_untaken(error: MediaspoolError) -> bool:
    """Did the route surely not take the call, for a reason that lies with the route?"""
    is_for_the_route = error.retryable or error.reach == "route" or isinstance(error, CapTooSmall)
    return error.billed == "no" and is_for_the_route


async def run_job(bench: Bench, decision: Decision, terms: Terms) -> Outcome | Unfinished:
    """Raises only Cancelled. An error that reaches beyond this job stops a route, a manifest or the run.

    What it cost is on the tab of its terms, also where it was cut off.
    """
    job, work = decision.job, Work(bench, decision, terms)
    started = time.monotonic()
    bench.log.event("job-started", place=job.place, kind=job.kind)
    try:
        outcome = await _run(bench, work)
    except MediaspoolError as raised:
        error = _not_merely_refused(raised, work)
        may_move = is_untaken(error) and terms.tab.is_free and job.on_failure == "next-route"
        if may_move or error.reach != "call":
            return Unfinished(error=error, may_move=may_move)
        outcome = await end_job(bench, decision, terms.manifest, error)
    except Exception as error:  # the one place: a bug costs its job, not the run
        bench.log.event("bug", level="error", place=job.place, error=type(error).__name__, at=_where(error))
        bug = EngineError(f"a bug in mediaspool: {type(error).__name__}", code="internal", hint="please report it")
        outcome = await end_job(bench, decision, terms.manifest, bug)
    bench.thrift.ended()
    wall = time.monotonic() - started
    bench.log.event("job-ended", place=job.place, kind=job.kind, verdict=outcome.verdict, ms=round(wall * 1000))
    return msgspec.structs.replace(outcome, wall_s=round(wall, 3))


async def _run(bench: Bench, work: Work) -> Outcome:
    decision = work.decision
    kind = bench.kinds[decision.job.kind]
    bench.publisher.ensure_open(decision)
    bench.at_work.add(work.tab)
    try:
        with trio.fail_after(decision.limits.max_job_s or DEFAULT_JOB_S):
            result = _known(decision) or await kind.run(decision.job.spec, work)
        bench.reached("made")
        return await _publish(bench, work, result)
    except trio.TooSlowError as error:
        raise await _too_late(bench, decision, work.tab) from error
    except InputError as error:
        if error.code != "input-missing":
            await work.ensure_inputs_unchanged()  # other bytes than those that were planned: theirs is another story
        raise
    finally:
        bench.at_work.discard(work.tab)
        if work.has_scratch:
            with trio.CancelScope(shield=True):
                await bench.files(work.tidy)


def _known(decision: Decision) -> KindResult | None:
    """The result that is wanted, of the products themselves where all of them lie somewhere: nobody is asked again."""
    made = decision.made
    if made is None:
        return None
    drafts = tuple(_moving(decision.job, product) for product in made.products)
    return KindResult(verdict=made.verdict, drafts=drafts, reason=made.reason, facts=made.facts)


def _moving(job: Job, product: Product) -> Draft:
    """Its ending goes with it where that is the one of its content instead of the announced one."""
    wanted, (_, ending) = product_path(job, product.name), os.path.splitext(product.path)
    is_announced = wanted.endswith(f".{product.name}")
    return Draft(
        name=product.name,
        media_type="",
        path=Path(product.path),
        extension=ending[1:] if is_announced and ending else None,
        made=product,
    )


async def _too_late(bench: Bench, decision: Decision, tab: Tab) -> MediaspoolError:
    """The job's deadline passed. Where a provider works for it, or it only stood in line, the next run goes on."""
    with trio.CancelScope(shield=True):
        if decision.job.place in await bench.caller.waiting_places():
            return still_waiting("the job's deadline passed")
    hint = "raise job_timeout, or max_runtime in the job's limits"
    if tab.only_stood_in_line:
        what = "the job's deadline passed while it only waited for its turn or for room"
        return Stopped(what, code="limit-time", hint=f"run again, or {hint}")
    return EngineError("the job's deadline passed", code="limit-time", hint=hint)


def _not_merely_refused(error: MediaspoolError, work: Work) -> MediaspoolError:
    """What meets a bound or a file in its way once its answers are paid for has failed: refused is who sent nothing."""
    binding = work.decision.binding
    is_paid = binding is not None and binding.paid and bool(work.calls)
    if not is_paid or (error.outcome, error.reach) != ("refused", "call"):
        return error
    what = f"{error.message}; the answers that it was made of are paid for and kept"
    return EngineError(what, code=error.code, hint=f"{error.hint}, then run again: none of them is paid for twice")


def still_waiting(what: str) -> Deferred:
    hint = "run again: the next run goes on with it"
    return Deferred(f"{what} while a provider works on one of its calls", hint=hint)


async def _publish(bench: Bench, work: Work, result: KindResult) -> Outcome:
    """Shielded: a result that exists is not thrown away because the run ends."""
    decision, terms = work.decision, work.terms
    receipts = [made.receipt for made in work.calls] if decision.made is None else decision.made.calls
    with trio.CancelScope(shield=True):
        receipt = await bench.publisher.publish(
            decision,
            result,
            receipts,
            roots=terms.roots,
            manifest=terms.manifest,
            is_forced=terms.is_forced,
            then=work.tidy,
        )
    return Outcome(
        job=decision.job.id,
        kind=decision.job.kind,
        verdict=result.verdict,
        reason=result.reason,
        products=tuple(product.path for product in receipt.products),
        audio_seconds=result.audio_seconds,
        route=receipt.route,
        model=receipt.model,
        scores={name: result.facts[name] for name in REPORTED if name in result.facts},
    )


async def end_job(bench: Bench, decision: Decision, manifest: str, error: MediaspoolError) -> Outcome:
    """Settle what the error's facts say. A job that may simply run again later is not settled."""
    outcome = Outcome(
        job=decision.job.id,
        kind=decision.job.kind,
        verdict=error.outcome,
        reason=error.message,
        code=error.code,
        hint=error.hint,
        route=decision.binding.route if decision.binding else None,
        model=decision.binding.model if decision.binding else None,
    )
    with trio.CancelScope(shield=True):
        is_old = await bench.runner(_is_old, bench.ledger, decision, outcome)
        await bench.runner(settle, bench.ledger, decision, outcome, manifest)
    return msgspec.structs.replace(outcome, verdict="unchanged", earlier=outcome.verdict) if is_old else outcome


def _is_old(ledger: Ledger, decision: Decision, outcome: Outcome) -> bool:
    """Did the job meet this very reason before? It was looked at again, but that is no news."""
    may_be = outcome.verdict == "refused" or (outcome.verdict == "failed" and outcome.code in PASSING)
    row = ledger.job(decision.job.place) if may_be else None
    told = (outcome.verdict, outcome.code, outcome.reason, decision.key)
    return row is not None and (row.verdict, row.code, row.reason, row.key) == told


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
