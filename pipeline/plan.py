"""The decision about every job before anything is sent: run, place, unchanged, empty, held, refused, blocked, later.

`Planner.decide` reads the ledger, the inputs and the routes' own declarations; it sends nothing and starts no engine.
It is asked twice for a job that waits for another: once in the plan (`later`) and again when its parent is settled.
"""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec import Struct

from pipeline.core.drivers import Driver
from pipeline.core.errors import CODES, ConfigError, InputChanging, InputError, MediaspoolError
from pipeline.core.kinds import Kind
from pipeline.core.limits import Bounds, smallest
from pipeline.core.model import (
    SETTLED,
    Binding,
    Choice,
    Decision,
    Estimate,
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
from pipeline.core.operations import Operation, call_key, operation_name
from pipeline.core.pricing import total
from pipeline.intake import Intake
from pipeline.state.ledger import Ledger
from pipeline.state.ledger_rows import JobRow

JOB_KEY_VERSION = 1
Level = tuple[str, Limits]
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


class Admission(Struct, frozen=True, kw_only=True):
    """The answer of the routes: the first that can, or why none can. A route that never could says the least."""

    binding: Binding | None
    limits: Limits
    estimate: Estimate = Estimate()
    reasons: tuple[Refusal, ...] = ()
    is_able: bool = True


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


def refusal(error: MediaspoolError) -> Refusal:
    return Refusal(code=error.code, message=error.message, hint=error.hint)


class Planner:
    """Decides for the jobs of one manifest. Reads only; the intake may remember hashes."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        intake: Intake,
        kinds: Mapping[str, Kind],
        drivers: Callable[[str], Driver],
        expand: Callable[[Sequence[str]], tuple[str, ...]],
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
        source = self._intake.source(path, max_bytes=bounds.limits.max_input_bytes) if path is not None else None
        reasons = [*_check_source(job, kind, source, bounds), *kind.check(job.spec, source)]
        if reasons:
            return self._refused(job, tuple(reasons))
        admission = self._admit(job, kind, source, levels)
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

    def _admit(self, job: Job, kind: Kind, source: Source | None, levels: Sequence[Level]) -> Admission:
        """The first route of the job's list that can do every operation; else why each of them cannot."""
        operations = kind.operations(job.spec, source)
        if not operations:
            return Admission(binding=None, limits=smallest(levels).limits)
        try:
            selectors = self._expand(job.routes)
        except ConfigError as error:  # a route that is not there is the mistake of the job that names it, not the run's
            return Admission(binding=None, limits=Limits(), reasons=(refusal(error),))
        reasons: list[Refusal] = []
        unable: list[Refusal] = []
        for selector in selectors:
            route, _, model = selector.partition("/")
            try:
                driver = self._drivers(route)
                answer = _ask(driver, operations, job.model or model or None)
                bounds = smallest([*levels, (f"route {route}", driver.route.limits)])
                over = tuple(_over_limits(source, bounds))
                answer = msgspec.structs.replace(answer, reasons=answer.reasons + over, limits=bounds.limits)
            except MediaspoolError as error:
                answer = Admission(binding=None, limits=Limits(), reasons=(refusal(error),))
            if answer.binding is not None and not answer.reasons:
                return answer
            (reasons if answer.is_able else unable).extend(answer.reasons)
        return Admission(binding=None, limits=Limits(), reasons=tuple(reasons) or tuple(unable[:1]))

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


def _ask(driver: Driver, operations: tuple[Operation, ...], model: str | None) -> Admission:
    for operation in operations:
        name = operation_name(operation)
        if name not in driver.facts.operations:
            reason = Refusal(code="operation-unsupported", message=f"route {driver.route.id} cannot {name}")
            return Admission(binding=None, limits=Limits(), reasons=(reason,), is_able=False)
    binding = driver.bind(operation_name(operations[0]), model)
    reasons = tuple(reason for operation in operations for reason in driver.check(operation, binding))
    estimates = [driver.estimate(operation, binding) for operation in operations]
    usd = total(estimate.usd for estimate in estimates)
    seconds = sum(estimate.audio_seconds for estimate in estimates)
    return Admission(
        binding=binding, limits=Limits(), estimate=Estimate(usd=usd, audio_seconds=seconds), reasons=reasons
    )


def _check_source(job: Job, kind: Kind, source: Source | None, bounds: Bounds) -> list[Refusal]:
    if source is None:
        return []
    reasons = _over_limits(source, bounds)
    if source.media.family not in kind.families or (
        job.accept and job.parent is None and source.media.family not in job.accept
    ):
        reasons.append(
            Refusal(
                code="input-type",
                message=f"{kind.name} does not take {source.media.media_type}",
                hint="check what the file really is; its name does not count",
            )
        )
    return reasons


def _over_limits(source: Source | None, bounds: Bounds) -> list[Refusal]:
    """What the source has more of than allowed, and who allowed only so much."""
    if source is None:
        return []
    limits = bounds.limits
    measures = (
        ("limit-bytes", source.size, limits.max_input_bytes, "bytes", "max_input_bytes", "max_input_mb"),
        ("limit-seconds", source.seconds, limits.max_seconds, "seconds", "max_seconds", "max_audio_minutes_per_file"),
    )
    return [
        Refusal(
            code=code,
            message=f"{found:g} {unit}, and {bounds.set_by[field]} allows {allowed:g}",
            hint=f"raise {name} or split the file",
        )
        for code, found, allowed, unit, field, name in measures
        if found is not None and allowed is not None and found > allowed
    ]


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
