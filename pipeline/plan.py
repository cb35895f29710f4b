"""The decision about every job before anything is sent: run, place, unchanged, empty, held, refused, blocked, later.

`Planner.decide` reads the ledger, the inputs and the routes' own declarations; it sends nothing and starts no engine.
It is asked twice for a job that waits for another: once in the plan (`later`) and again when its parent is settled.
"""

import hashlib
import os
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from functools import partial

import msgspec
from msgspec import Struct

from pipeline.admission import (
    Admission,
    Expand,
    Level,
    Tickets,
    Wish,
    against_elsewhere,
    against_input,
    ask_route,
    call_keys,
    choose,
    passing,
    refusal,
    refused,
    until_closed,
)
from pipeline.core.confine import display_path, say_which
from pipeline.core.drivers import Driver, carried_by
from pipeline.core.errors import CODES, PASSING, ConfigError, InputError, LimitExceeded, MediaspoolError
from pipeline.core.kinds import GAP_FACT, Kind, Sources, further_fields, operations_of
from pipeline.core.limits import Bounds, Doubt, smallest
from pipeline.core.model import (
    SETTLED,
    Binding,
    CallKey,
    Choice,
    Decision,
    Estimate,
    Job,
    JobId,
    JobKey,
    JobReceipt,
    Limits,
    Refusal,
    Source,
    Verdict,
    refusal_identity,
)
from pipeline.intake import Intake
from pipeline.obstacles import ensure_open, in_the_way
from pipeline.state.ledger import Ledger
from pipeline.state.ledger_rows import GOOD, AttemptRow, JobRow
from pipeline.whereabouts import is_at, state_of, whereabouts

JOB_KEY_VERSION = 1
_MADE: frozenset[str] = frozenset({"done", "suspect"})
_OF_LIMITS: frozenset[str | None] = frozenset(code for code in CODES if code.startswith("limit-"))


_REPEATED = Refusal(
    code="in-doubt", message="a paid call of this job has no verdict, and the doubt allowance covers a repeat"
)


class Parent(Struct, frozen=True, kw_only=True):
    """What a child needs to know of a job it waits for. `verdict` None means not settled yet."""

    verdict: Verdict | None
    path: str | None
    is_news: bool = True


def job_key(job: Job, kind: Kind, source: Source | None, more: Sources, binding: Binding | None) -> JobKey:
    """Same key, same product: kind and its version, input bytes, resolved options, route, model and engine."""
    body: dict[str, object] = {
        "version": JOB_KEY_VERSION,
        "kind": kind.name,
        "kind_version": kind.version,
        "source": (source.sha256, source.media.media_type) if source else None,
        "spec": job.spec,
        "binding": _identity(binding),
    }
    fields = further_fields(kind)
    if fields:
        body["spec"] = {name: value for name, value in msgspec.structs.asdict(job.spec).items() if name not in fields}
        body["more"] = {slot: (found.sha256, found.media.media_type) for slot, found in more.items()}
    return JobKey(hashlib.sha256(msgspec.json.encode(body, order="deterministic")).hexdigest())


def _identity(binding: Binding | None) -> dict[str, object] | None:
    """Who answers. Which model was asked for in its place changes nothing in the answer."""
    if binding is None:
        return None
    return {"route": binding.route, "model": binding.model, "engine": binding.engine, "paid": binding.paid}


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
        doubt: Doubt | None = None,
        is_forced: bool = False,
    ) -> None:
        self._ledger = ledger
        self._intake = intake
        self._kinds = kinds
        self._drivers = drivers
        self._expand = expand
        self._limits = limits
        self.is_forced = is_forced
        self._doubt = doubt or Doubt(Decimal(0), Decimal(0))
        self._open: set[str] = set()
        self._held = ledger.held_attempts()
        submitted = ledger.submitted_attempts()
        self._tickets: Tickets = {row.call: row.ticket or "" for row in submitted}
        self._waiting = {row.place for row in submitted}

    def decide(
        self,
        job: Job,
        parents: Mapping[JobId, Parent],
        *,
        tried: tuple[str, ...] = (),
        closed: Collection[str] = (),
    ) -> Decision:
        """`tried` are routes, as the job names them, that did nothing for it just now; `closed` take nothing more."""
        waiting = _readiness(job, parents)
        if waiting is not None:
            return waiting
        path = parents[job.parent].path if job.parent is not None else job.input
        try:
            return self._decide_ready(job, path, _further_paths(job, parents), tried, closed)
        except MediaspoolError as error:
            if error.reach == "run":
                raise
            if error.outcome == "not-started":
                return Decision(job=job, choice="refused", reasons=(refusal(error),))
            return self._refused(job, (refusal(error),))

    def _decide_ready(
        self,
        job: Job,
        path: str | None,
        further: Mapping[str, str],
        tried: tuple[str, ...],
        closed: Collection[str],
    ) -> Decision:
        kind = self._kinds[job.kind]
        levels = (("the kind", kind.limits), ("the settings", self._limits), ("the manifest", job.limits))
        bounds = smallest(levels)
        source = self._intake.source(path, bounds) if path is not None else None
        more = {slot: self._further(found, bounds) for slot, found in further.items()}
        reasons = against_input(job, kind, source, more, bounds)
        reasons += against_elsewhere(kind, job.spec, self._drivers)
        if reasons:
            return self._refused(job, tuple(reasons))
        wanted = Decision(job=job, choice="run", source=source, more=more, tried=tried)
        admission = self._admit(wanted, levels, closed)
        if admission.reasons:
            return self._refused(job, admission.reasons)
        return self._compare(
            msgspec.structs.replace(
                wanted,
                key=job_key(job, kind, source, more, admission.binding),
                binding=admission.binding,
                estimate=admission.estimate,
                limits=admission.limits,
                tickets=admission.tickets,
                tried=(*tried, admission.selector) if admission.binding else tried,
            )
        )

    def _further(self, path: str, bounds: Bounds) -> Source:
        """Of several files that a job reads, the one that cannot be read is named."""
        try:
            return self._intake.source(path, bounds)
        except (InputError, LimitExceeded) as error:
            say_which(error, path)
            raise

    def _admit(self, wanted: Decision, levels: tuple[Level, ...], closed: Collection[str]) -> Admission:
        """The first route of the job's list that can do every operation; else why each of them cannot."""
        job, kind = wanted.job, self._kinds[wanted.job.kind]
        operations = operations_of(kind, job.spec, wanted.source, wanted.more)
        if not operations:
            return Admission(binding=None, limits=smallest(levels).limits)
        try:
            selectors = self._expand(job.routes)
        except ConfigError as error:  # a route that is not there is the mistake of the job that names it, not the run's
            return refused(refusal(error))
        divided = partial(operations_of, kind, job.spec, wanted.source, wanted.more)
        wish = Wish(operations=operations, divided=divided, source=wanted.source, model=job.model, levels=levels)
        left = [name for name in selectors if name not in wanted.tried and name.partition("/")[0] not in closed]
        answers = (ask_route(name, wish, self._drivers, self._tickets) for name in left)
        return choose(answers if job.on_failure == "next-route" else until_closed(answers), self._knower(wanted))

    def _knower(self, wanted: Decision) -> Callable[[Admission], bool] | None:
        """How to tell the route that has done a job or works on it: only a job that may change its route needs it."""
        job = wanted.job
        if job.on_failure == "stop" and job.place not in self._waiting:
            return None
        kind, row = self._kinds[job.kind], self._ledger.job(job.place)

        def has_done(answer: Admission) -> bool:
            if row is None or row.key is None:
                return False
            if row.verdict != "failed" and not _is_settled(row, answer.limits):  # who failed may have been paid
                return False
            return job_key(job, kind, wanted.source, wanted.more, answer.binding) == row.key

        def is_known(answer: Admission) -> bool:
            return bool(answer.tickets) or has_done(answer)

        return is_known

    def _compare(self, decision: Decision) -> Decision:
        """Set the wanted key against what the ledger and the output folder hold."""
        job, row = decision.job, self._ledger.job(decision.job.place)
        doubtful = self._doubtful(decision)
        if not all(self._may_repeat(held, decision.estimate) for held in doubtful):
            held = _settled(job, "held", row, "in-doubt", "a paid call of this job has no verdict")
            return msgspec.structs.replace(held, key=decision.key)
        if row is not None and row.is_dropped and row.key in (None, decision.key) and not self.is_forced:
            return _settled(job, "unchanged", row, row.code, row.reason)
        if row is not None and row.key == decision.key and _is_settled(row, decision.limits) and not self.is_forced:
            return self._compare_products(decision, row)
        known = None if self.is_forced else self._known(decision.key, row)
        obstacle = None if self.is_forced else in_the_way(self._ledger, self._intake, job, known)
        if obstacle is not None:
            if row is not None and (row.verdict, row.key, row.code) == ("failed", decision.key, obstacle.code):
                return _settled(job, "unchanged", row, row.code, row.reason)  # it met that once its answers were paid
            return self._refused(job, (obstacle,))
        self._ensure_open(decision)
        decision = msgspec.structs.replace(decision, reasons=(_REPEATED,) if doubtful else ())
        return decision if known is None else self._place(decision, known)

    def _known(self, key: JobKey | None, row: JobRow | None) -> JobRow | None:
        """Who has the very result: a job as it is, or this one as it was before it was refused."""
        found = self._ledger.job_by_key(key) if key is not None else None
        if found is not None or row is None or row.earlier is None or row.earlier.key != key:
            return found
        return msgspec.structs.replace(row, verdict=row.earlier.verdict, receipt=row.earlier)

    def _place(self, decision: Decision, known: JobRow) -> Decision:
        """From its products, where all of them lie somewhere; else from the answers, which may have been cleaned."""
        return msgspec.structs.replace(decision, choice="place", made=self._made(decision.job, known))

    def _made(self, job: Job, known: JobRow) -> JobReceipt | None:
        """Not where a retry forgot an answer, perhaps for another job of the same key, or may still fill a gap."""
        made = known.receipt
        if made is None or GAP_FACT in made.facts or not all(self._ledger.is_known(call.key) for call in made.calls):
            return None
        lying = whereabouts(self._intake, made.products, job)
        return None if lying is None else msgspec.structs.replace(made, products=lying)

    def _doubtful(self, decision: Decision) -> list[AttemptRow]:
        """What is in doubt of this job, and of the calls that it shares with others. Costs nothing while nothing is."""
        if not self._held:
            return []
        kind, binding = self._kinds[decision.job.kind], decision.binding
        keys: set[CallKey] = set()
        if binding is not None:
            carried = carried_by(self._drivers(binding.route), binding)
            operations = operations_of(kind, decision.job.spec, decision.source, decision.more, *carried)
            keys = set(call_keys(operations, binding))
        return [row for row in self._held if row.place == decision.job.place or row.call in keys]

    def _may_repeat(self, row: AttemptRow, estimate: Estimate) -> bool:
        """The worst case on record may be one that a person stated; a call of unknown price is not repeated for it."""
        repeats, worst = self._ledger.repeats(row.call), None if estimate.usd is None else row.worst_usd
        return self._doubt.grants(row.id, operation=row.operation, worst_usd=worst, repeats=repeats)

    def _compare_products(self, decision: Decision, row: JobRow) -> Decision:
        states = [state_of(self._intake, product) for product in row.products]
        moved = row.verdict in _MADE and not all(is_at(product, decision.job) for product in row.products)
        if "missing" in states or moved:
            obstacle = in_the_way(self._ledger, self._intake, decision.job, row)
            if obstacle is not None:
                return self._refused(decision.job, (obstacle,))
            self._ensure_open(decision)
            return self._place(decision, row)
        if "edited" in states:
            return _settled(
                decision.job, "unchanged", row, "product-edited", "a product was edited by hand; it is kept"
            )
        if "unreadable" in states:
            path = display_path(row.products[states.index("unreadable")].path)
            return _settled(decision.job, "unchanged", row, "input-unreadable", f"'{path}' cannot be read; it is kept")
        return _settled(decision.job, "unchanged", row, row.code, row.reason)

    def _ensure_open(self, decision: Decision) -> None:
        """What a provider has made is fetched all the same, or it would be lost there; then it waits here."""
        for folder in dict.fromkeys(os.path.dirname(product.path) for product in decision.job.products):
            if folder not in self._open and not decision.tickets:
                ensure_open(folder)
                self._open.add(folder)

    def _refused(self, job: Job, reasons: tuple[Refusal, ...]) -> Decision:
        row = self._ledger.job(job.place)
        if row is not None and row.verdict == "refused" and row.identity == refusal_identity(reasons):
            return Decision(job=job, choice="unchanged", reasons=reasons, earlier="refused")
        return Decision(job=job, choice="refused", reasons=reasons)


def _further_paths(job: Job, parents: Mapping[JobId, Parent]) -> dict[str, str]:
    paths = {item.slot: parents[item.parent].path if item.parent else item.path for item in job.further}
    return {slot: path for slot, path in paths.items() if path is not None}


def _readiness(job: Job, parents: Mapping[JobId, Parent]) -> Decision | None:
    """A decision that follows from the parents alone, or None when the job can be decided by itself."""
    waits_for = [parents.get(need, Parent(verdict="refused", path=None)) for need in job.needs]
    if any(parent.verdict not in (None, *GOOD) for parent in waits_for):
        reason = Refusal(code="parent-unfinished", message="a job that it needs has no result", hint="see to that job")
        is_news = any(parent.is_news for parent in waits_for)
        return Decision(job=job, choice="blocked", reasons=(reason,), earlier=None if is_news else "blocked")
    if any(parent.verdict is None for parent in waits_for):
        return Decision(job=job, choice="later")
    read = [parents[name] for name in (job.parent, *(item.parent for item in job.further)) if name is not None]
    empty = [parent for parent in read if parent.verdict == "empty"]
    if empty:
        reason = Refusal(code="input-empty", message="the job that it reads from was validly empty")
        if any(parent.is_news for parent in empty):
            return Decision(job=job, choice="empty", reasons=(reason,))
        return Decision(job=job, choice="unchanged", reasons=(reason,), earlier="empty")
    return None


def _is_settled(row: JobRow, limits: Limits) -> bool:
    """Limits are not in the key: a job that met one is settled only while all of them are what they were."""
    if row.verdict in ("refused", "failed") and row.code in PASSING:
        return False
    met_a_limit = row.verdict in ("refused", "failed") and row.code in _OF_LIMITS
    met_these = {refusal_identity(reasons, limits) for reasons in ((), (_REPEATED,))} if met_a_limit else ()
    return row.verdict in SETTLED and (not met_a_limit or row.identity in met_these)


def _settled(job: Job, choice: Choice, row: JobRow | None, code: str | None, message: str) -> Decision:
    reasons = (Refusal(code=code, message=message),) if code else ()
    products = tuple(product.path for product in row.products) if row else ()
    return Decision(job=job, choice=choice, reasons=reasons, earlier=row.verdict if row else None, products=products)


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
    path = (*decision.products, job.products[0].path)[0]
    if decision.choice in ("run", "place", "later") or passing(decision) is not None:
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
