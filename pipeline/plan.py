"""The decision about every job before anything is sent: run, place, unchanged, empty, held, refused, blocked, later.

`Planner.decide` reads the ledger, the inputs and the routes' own declarations; it sends nothing and starts no engine.
It is asked twice for a job that waits for another: once in the plan (`later`) and again when its parent is settled.
"""

import hashlib
import os
from collections.abc import Callable, Mapping

import msgspec
from msgspec import Struct

from pipeline.admission import Expand, admit, against_source, refusal
from pipeline.core.drivers import Driver
from pipeline.core.errors import CODES, InputChanging, InputError, MediaspoolError
from pipeline.core.kinds import Kind
from pipeline.core.limits import smallest
from pipeline.core.model import (
    SETTLED,
    Binding,
    Choice,
    Decision,
    Job,
    JobId,
    JobKey,
    Limits,
    Product,
    Refusal,
    Source,
    Verdict,
    refusal_identity,
)
from pipeline.core.operations import call_key
from pipeline.intake import Intake
from pipeline.state.ledger import Ledger
from pipeline.state.ledger_rows import JobRow

JOB_KEY_VERSION = 1
_MADE: frozenset[str] = frozenset({"done", "suspect"})
# Why a job was refused when it ran, where the reason is not in its key: tomorrow it may be gone.
_PASSING: frozenset[str | None] = frozenset(
    {"input-missing", "input-unreadable", "output-exists", "product-edited", "path-outside-roots", "path-unsafe"}
)
_OF_LIMITS: frozenset[str | None] = frozenset(code for code in CODES if code.startswith("limit-"))
GOOD: frozenset[str | None] = frozenset({"done", "suspect", "empty"})


class Parent(Struct, frozen=True, kw_only=True):
    """What a child needs to know of a job it waits for. `verdict` None means not settled yet."""

    verdict: Verdict | None
    path: str | None
    is_news: bool = True


def job_key(job: Job, kind: Kind, source: Source | None, binding: Binding | None) -> JobKey:
    """Same key, same product: kind and its version, input bytes, resolved options, route, model and engine."""
    body = {
        "version": JOB_KEY_VERSION,
        "kind": kind.name,
        "kind_version": kind.version,
        "source": (source.sha256, source.media.media_type) if source else None,
        "spec": job.spec,
        "binding": binding,
    }
    return JobKey(hashlib.sha256(msgspec.json.encode(body, order="deterministic")).hexdigest())


class Planner:
    """Decides for the jobs of one manifest. Reads only; the intake may remember hashes."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        intake: Intake,
        kinds: Mapping[str, Kind],
        drivers: Callable[[str], Driver],
        expand: Expand,
        limits: Limits,
        is_forced: bool = False,
    ) -> None:
        self._ledger = ledger
        self._intake = intake
        self._kinds = kinds
        self._drivers = drivers
        self._expand = expand
        self._limits = limits
        self.is_forced = is_forced
        held = ledger.held_attempts()
        self._held = {row.place for row in held}
        self._held_calls = {row.call for row in held}

    def decide(self, job: Job, parents: Mapping[JobId, Parent]) -> Decision:
        waiting = _readiness(job, parents)
        if waiting is not None:
            return waiting
        path = parents[job.parent].path if job.parent is not None else job.input
        try:
            return self._decide_ready(job, path)
        except MediaspoolError as error:
            if error.reach == "run":
                raise
            if error.outcome == "not-started":
                return Decision(job=job, choice="refused", reasons=(refusal(error),))
            return self._refused(job, (refusal(error),))

    def _decide_ready(self, job: Job, path: str | None) -> Decision:
        kind = self._kinds[job.kind]
        levels = [("the kind", kind.limits), ("the settings", self._limits), ("the manifest", job.limits)]
        bounds = smallest(levels)
        source = self._intake.source(path, bounds) if path is not None else None
        reasons = [*against_source(job, kind, source, bounds), *kind.check(job.spec, source)]
        if reasons:
            return self._refused(job, tuple(reasons))
        admission = admit(job, kind, source, levels=levels, drivers=self._drivers, expand=self._expand)
        if admission.reasons:
            return self._refused(job, admission.reasons)
        decision = Decision(
            job=job,
            choice="run",
            key=job_key(job, kind, source, admission.binding),
            source=source,
            binding=admission.binding,
            estimate=admission.estimate,
            limits=admission.limits,
        )
        return self._compare(decision)

    def _compare(self, decision: Decision) -> Decision:
        """Set the wanted key against what the ledger and the output folder hold."""
        job, row = decision.job, self._ledger.job(decision.job.place)
        if job.place in self._held or self._waits_for_held(decision):
            return _settled(job, "held", row, "in-doubt", "a paid call of this job has no verdict")
        if row is not None and row.is_dropped and not self.is_forced:
            return _settled(job, "unchanged", row, row.code, row.reason)
        if row is not None and row.key == decision.key and _is_settled(row, decision) and not self.is_forced:
            return self._compare_products(decision, row)
        obstacle = None if self.is_forced else self._obstacle(job)
        if obstacle is not None:
            return self._refused(job, (obstacle,))
        known = decision.key is not None and self._ledger.job_by_key(decision.key) is not None
        return msgspec.structs.replace(decision, choice="place" if known and not self.is_forced else "run")

    def _waits_for_held(self, decision: Decision) -> bool:
        """Is a call that this job shares with another in doubt? Asked only while any call is."""
        binding = decision.binding
        if not self._held_calls or binding is None:
            return False
        operations = self._kinds[decision.job.kind].operations(decision.job.spec, decision.source)
        keys = {call_key(item, route=binding.route, model=binding.model, engine=binding.engine) for item in operations}
        return not keys.isdisjoint(self._held_calls)

    def _compare_products(self, decision: Decision, row: JobRow) -> Decision:
        states = [self._product_state(product) for product in row.products]
        wanted = {product.path for product in decision.job.products}
        moved = row.verdict in _MADE and {product.path for product in row.products} != wanted
        if "missing" in states or moved:
            obstacle = self._obstacle(decision.job)
            if obstacle is not None:
                return self._refused(decision.job, (obstacle,))
            return msgspec.structs.replace(decision, choice="place")
        if "edited" in states:
            return _settled(
                decision.job, "unchanged", row, "product-edited", "a product was edited by hand; it is kept"
            )
        return _settled(decision.job, "unchanged", row, row.code, row.reason)

    def _obstacle(self, job: Job) -> Refusal | None:
        """A file that the new products would overwrite and that is not exactly what this job wrote there last."""
        intended = {item.path: item.sha256 for item in self._ledger.intended(job.place)}
        for product in job.products:
            if not os.path.lexists(product.path):
                continue
            ours = self._ledger.product_at(product.path)
            expected = {intended.get(product.path), ours.sha256 if ours and ours.place == job.place else None} - {None}
            if not expected:
                return Refusal(
                    code="output-exists",
                    message=f"the {product.name} file is already there and mediaspool did not write it",
                    hint="move it away, or run with --force to replace it",
                )
            if self._intake.sha256(product.path) not in expected:
                return Refusal(
                    code="product-edited",
                    message=f"the {product.name} file was edited by hand and the job has changed",
                    hint="move your version away, or run with --force to replace it",
                )
        return None

    def _product_state(self, product: Product) -> str:
        try:
            return "same" if self._intake.sha256(product.path) == product.sha256 else "edited"
        except InputError as error:
            return "missing" if error.code == "input-missing" else "edited"

    def _refused(self, job: Job, reasons: tuple[Refusal, ...]) -> Decision:
        row = self._ledger.job(job.place)
        if row is not None and row.verdict == "refused" and row.identity == refusal_identity(reasons):
            return Decision(job=job, choice="unchanged", reasons=reasons, earlier="refused")
        return Decision(job=job, choice="refused", reasons=reasons)


def _readiness(job: Job, parents: Mapping[JobId, Parent]) -> Decision | None:
    """A decision that follows from the parents alone, or None when the job can be decided by itself."""
    waits_for = [parents.get(need, Parent(verdict="refused", path=None)) for need in job.needs]
    if any(parent.verdict not in (None, *GOOD) for parent in waits_for):
        reason = Refusal(code="parent-unfinished", message="a job that it needs has no result", hint="see to that job")
        is_news = any(parent.is_news for parent in waits_for)
        return Decision(job=job, choice="blocked", reasons=(reason,), earlier=None if is_news else "blocked")
    if any(parent.verdict is None for parent in waits_for):
        return Decision(job=job, choice="later")
    if job.parent is not None and parents[job.parent].verdict == "empty":
        reason = Refusal(code="input-empty", message="the job that it reads from was validly empty")
        if parents[job.parent].is_news:
            return Decision(job=job, choice="empty", reasons=(reason,))
        return Decision(job=job, choice="unchanged", reasons=(reason,), earlier="empty")
    return None


def is_changing(decision: Decision) -> bool:
    """Is this the refusal of an input that is still being written? The next run asks again, so it is no verdict."""
    return decision.choice == "refused" and any(
        reason.code == InputChanging.default_code for reason in decision.reasons
    )


def _is_settled(row: JobRow, decision: Decision) -> bool:
    """Limits are not in the key: a job that met one is settled only while all of them are what they were."""
    if row.verdict == "refused" and row.code in _PASSING:
        return False
    met_a_limit = row.verdict in ("refused", "failed") and row.code in _OF_LIMITS
    return row.verdict in SETTLED and not (met_a_limit and row.identity != refusal_identity((), decision.limits))


def _settled(job: Job, choice: Choice, row: JobRow | None, code: str | None, message: str) -> Decision:
    reasons = (Refusal(code=code, message=message),) if code else ()
    return Decision(job=job, choice=choice, reasons=reasons, earlier=row.verdict if row else None)


def decide_all(
    planner: Planner, jobs: tuple[Job, ...], bad: frozenset[JobId], should_stop: Callable[[], bool]
) -> tuple[Decision, ...]:
    """A decision for every job, in the order of `jobs`; parents are decided before their children."""
    decided: dict[JobId, Decision] = {}
    by_id = {job.id: job for job in jobs}
    for job in _parents_first(jobs, by_id):
        if should_stop():
            decided[job.id] = Decision(job=job, choice="run")
            continue
        parents = {need: _parent_of(decided.get(need), by_id.get(need)) for need in job.needs if need not in bad}
        decided[job.id] = planner.decide(job, parents)
    return tuple(decided[job.id] for job in jobs)


def _parent_of(decision: Decision | None, job: Job | None) -> Parent:
    if decision is None or job is None:
        return Parent(verdict="refused", path=None)
    path = job.products[0].path
    if decision.choice in ("run", "place", "later") or is_changing(decision):
        return Parent(verdict=None, path=path)
    if decision.choice == "unchanged":
        return Parent(verdict=decision.earlier or "done", path=path, is_news=False)
    verdicts: dict[str, Verdict] = {"empty": "empty", "held": "held", "refused": "refused", "blocked": "blocked"}
    return Parent(verdict=verdicts[decision.choice], path=path, is_news=decision.earlier is None)


def _parents_first(jobs: tuple[Job, ...], by_id: Mapping[JobId, Job]) -> list[Job]:
    """The manifest has refused cycles already, so every walk up ends."""
    order: dict[JobId, Job] = {}
    for job in jobs:
        stack = [job]
        while stack:
            top = stack[-1]
            missing = [by_id[need] for need in top.needs if need in by_id and need not in order]
            if missing:
                stack.extend(missing)
            else:
                order[top.id] = stack.pop()
    return list(order.values())
