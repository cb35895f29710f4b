"""run_plan: one lane per route, children after their parents, drain on request.

Every decision gets exactly one outcome, whatever happens. A lane is a queue of ready jobs and its own workers, so a
fast route never waits for a slow one. A drain lets running jobs finish and starts nothing; the rest says not-started.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence

import msgspec
import trio
from msgspec import Struct

from pipeline.admission import passing
from pipeline.core.budget import Budget
from pipeline.core.errors import BudgetExhausted, InDoubt, MediaspoolError, Stopped
from pipeline.core.limits import Tab
from pipeline.core.model import Decision, Job, JobId, Outcome, Place, T, Verdict
from pipeline.onlooker import Onlooker
from pipeline.plan import Parent, Planner
from pipeline.state.ledger_rows import GOOD
from pipeline.state.roots import Roots
from pipeline.work import Bench, Terms
from pipeline.worker import Unfinished, end_job, run_job, settle, still_waiting

HERE = "here"
HERE_WIDTH = 2
END_JOBS = 16
_VERDICTS: dict[str, Verdict] = {
    "unchanged": "unchanged",
    "empty": "empty",
    "held": "held",
    "refused": "refused",
    "blocked": "blocked",
}
_WORK = ("run", "place", "later")
_CUT_OFF: frozenset[Verdict] = frozenset({"failed", "not-started"})


class Batch(Struct, frozen=True, kw_only=True):
    """The plan of one manifest with what its jobs are bounded by. `bad` are ids that never became jobs."""

    manifest: str
    decisions: tuple[Decision, ...]
    bad: frozenset[JobId]
    planner: Planner
    roots: Roots
    budget: Budget


class Stop:
    """Why a run, or one batch of it, is draining. Set once; the first reason stays. `cut` ends what still runs."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.error: MediaspoolError | None = None
        self.cut = trio.Event()

    def drain(self, reason: str, error: MediaspoolError | None = None) -> None:
        if self.reason is None:
            self.reason, self.error = reason, error


class _Out(Struct, frozen=True, kw_only=True):
    """The jobs with a paid call that has no verdict, and those with one that a provider works on."""

    held: set[Place]
    waiting: set[Place]


class _Item(Struct, frozen=True, kw_only=True):
    run: "_BatchRun"
    decision: Decision


class _BatchRun:
    """One batch on its way: outcomes so far and who waits for whom."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.stop = Stop()
        self.outcomes: dict[JobId, Outcome] = {}
        self.waiting: dict[JobId, Job] = {}
        self.children: defaultdict[JobId, list[JobId]] = defaultdict(list)
        self.tabs: dict[JobId, Tab] = {}
        self._decided = {decision.job.id: decision for decision in batch.decisions}

    def open_decisions(self) -> list[Decision]:
        """All but the unchanged ones, which have their outcome already and cost nothing."""
        decisions = self.batch.decisions
        self.outcomes = {item.job.id: outcome_of(item) for item in decisions if item.choice == "unchanged"}
        return [item for item in decisions if item.choice != "unchanged"]

    def is_planned(self, decision: Decision) -> bool:
        """Was it made before the run began? Those that need no work were settled together then."""
        return self._decided[decision.job.id] is decision

    def parents(self, job: Job) -> dict[JobId, Parent]:
        return {need: self._parent(need) for need in job.needs}

    def unstarted_parent(self, job: Job) -> Outcome | None:
        """A parent left for another run, so its children are too; unless there is one that blocks them for good."""
        parents = [self.outcomes[need] for need in job.needs if need in self.outcomes]
        unstarted = [parent for parent in parents if parent.verdict == "not-started"]
        others = [parent.verdict for parent in self.parents(job).values() if parent.verdict != "not-started"]
        return unstarted[0] if unstarted and all(verdict in GOOD for verdict in others) else None

    def priced(self, outcome: Outcome, unpriced: int = 0) -> Outcome:
        """With what the job cost in this run. At least so many of its calls have no known price."""
        tab = self.tabs.get(outcome.job, Tab())
        unpriced = max(tab.unpriced, unpriced)
        usd = None if unpriced else tab.known_usd
        return msgspec.structs.replace(outcome, usd=usd, known_usd=tab.known_usd, unpriced_calls=unpriced)

    def _parent(self, need: JobId) -> Parent:
        if need in self.batch.bad or need not in self._decided:
            return Parent(verdict="refused", path=None)
        outcome = self.outcomes.get(need)
        path = (*(outcome.products if outcome else ()), self._decided[need].job.products[0].path)[0]
        if outcome is None:
            return Parent(verdict=None, path=path)
        if outcome.verdict == "unchanged":
            return Parent(verdict=outcome.earlier or "done", path=path, is_news=False)
        return Parent(verdict=outcome.verdict, path=path)


class _Lanes:
    """The lanes of one run: opened when the first job comes, closed when no job is left anywhere."""

    def __init__(
        self, bench: Bench, nursery: trio.Nursery, stop: Stop, width_of: Callable[[str], int], watch: Onlooker
    ) -> None:
        self.left = 0
        self._watch = watch
        self._bench = bench
        self._nursery = nursery
        self._stop = stop
        self._width_of = width_of
        self._queues: dict[str, trio.MemorySendChannel[_Item]] = {}
        self._closed_routes: dict[str, MediaspoolError] = {}

    def add(self, run: _BatchRun, decision: Decision) -> None:
        """Queue a decision that is to run; anything else gets its outcome at once, and its children their turn."""
        if decision.choice == "later":
            run.waiting[decision.job.id] = decision.job
            for need in decision.job.needs:
                run.children[need].append(decision.job.id)
        else:
            lane = decision.binding.route if decision.binding else HERE
            self._watch.queued(lane, decision)
            self._queue(lane, decision).send_nowait(_Item(run=run, decision=decision))

    def close(self) -> None:
        for queue in self._queues.values():
            queue.close()

    def _queue(self, lane: str, decision: Decision) -> trio.MemorySendChannel[_Item]:
        if lane not in self._queues:
            width = self._width_of(lane) if decision.binding else HERE_WIDTH
            # Unbounded: the jobs are in memory already, and a worker that queues a child must never wait for itself.
            self._queues[lane], receive = trio.open_memory_channel[_Item](math.inf)
            for _ in range(width):
                self._nursery.start_soon(self._work, lane, receive.clone())
            receive.close()
        return self._queues[lane]

    async def _work(self, lane: str, queue: trio.MemoryReceiveChannel[_Item]) -> None:
        async with queue:
            async for item in queue:
                self._watch.begun(lane, item.decision)
                outcome = await self._outcome(item)
                self._watch.left(lane, item.decision)
                if outcome is not None:
                    await self._done(item.run, item.run.priced(outcome))

    async def _outcome(self, item: _Item) -> Outcome | None:
        """None for a job that goes on in another lane."""
        try:
            return await self._outcome_or_error(item.run, item.decision)
        except MediaspoolError as error:
            return self._stopped_by(item.run, item.decision, error)

    async def _outcome_or_error(self, run: _BatchRun, decision: Decision) -> Outcome | None:
        batch = run.batch
        if decision.choice not in _WORK:
            outcome = outcome_of(decision)
            if not run.is_planned(decision):
                await self._bench.runner(settle, self._bench.ledger, decision, outcome, batch.manifest)
            return outcome
        if self._may_not_begin(run, decision):
            return await self._instead(run, decision)
        tab = run.tabs[decision.job.id] = Tab()  # what begins anew by another route has cost nothing before
        terms = Terms(
            manifest=batch.manifest,
            roots=batch.roots,
            budget=batch.budget,
            is_forced=batch.planner.is_forced,
            is_stopping=lambda: self._may_not_begin(run, decision),
            is_draining=lambda: self._why_not(run, decision) is not None,
            tab=tab,
        )
        ended = await run_job(self._bench, decision, terms)
        if isinstance(ended, Unfinished):
            return await self._unfinished(run, decision, ended)
        return await self._instead(run, decision) if ended.code == Stopped.default_code else ended

    def _may_not_begin(self, run: _BatchRun, decision: Decision) -> bool:
        return self._why_not(run, decision) is not None or self._closed(decision) is not None

    def _closed(self, decision: Decision) -> MediaspoolError | None:
        return self._closed_routes.get(decision.binding.route) if decision.binding else None

    async def _instead(self, run: _BatchRun, decision: Decision) -> Outcome | None:
        """What becomes of a job that may not begin: it is left for another run, or goes on by another route."""
        stopped, closed = self._why_not(run, decision), self._closed(decision)
        if stopped is not None or closed is None:
            return stopped or not_started(decision.job, "the run ended before its turn")
        return await self._elsewhere(run, decision, closed)

    async def _unfinished(self, run: _BatchRun, decision: Decision, ended: Unfinished) -> Outcome | None:
        if ended.may_move:
            return await self._elsewhere(run, decision, ended.error)
        return self._stopped_by(run, decision, ended.error)

    async def _elsewhere(self, run: _BatchRun, decision: Decision, error: MediaspoolError) -> Outcome | None:
        """A route surely did nothing for a job: the next one is asked, where the manifest says so and there is one."""
        if error.reach == "route" and decision.binding is not None:
            self._closed_routes[decision.binding.route] = error
        if decision.job.on_failure == "next-route" and not await self._bench.runner(self._is_under_way, decision):
            again = await self._bench.runner(self._decide_again, run, decision)
            if again.choice in ("run", "place"):
                self._bench.log.event("job-moved", place=decision.job.place, to=again.tried[-1])
                self.add(run, again)
                return None
        if error.reach != "call":
            return self._stopped_by(run, decision, error)
        return await end_job(self._bench, decision, run.batch.manifest, error)

    def _is_under_way(self, decision: Decision) -> bool:
        """Does a provider still work on a call of this job? Then nobody else is asked, whatever its route says now."""
        return any(row.place == decision.job.place for row in self._bench.ledger.submitted_attempts())

    def _decide_again(self, run: _BatchRun, decision: Decision) -> Decision:
        job, closed = decision.job, frozenset(self._closed_routes)
        return run.batch.planner.decide(job, run.parents(job), tried=decision.tried, closed=closed)

    def _stopped_by(self, run: _BatchRun, decision: Decision, error: MediaspoolError) -> Outcome:
        """A closed route ends its lane, a cap its manifest, a broken machine the run."""
        outcome = not_started(decision.job, error.message, code=error.code, hint=error.hint)
        if error.reach == "route" and decision.binding is not None:
            self._closed_routes[decision.binding.route] = error
            return msgspec.structs.replace(outcome, route=decision.binding.route, model=decision.binding.model)
        (run.stop if error.reach == "manifest" else self._stop).drain(error.message, error)
        return outcome

    def _why_not(self, run: _BatchRun, decision: Decision) -> Outcome | None:
        """The outcome of a job whose run or manifest takes nothing more."""
        error = self._stop.error or run.stop.error
        reason = self._stop.reason or run.stop.reason
        if reason is None:
            return None
        code, hint = (error.code, error.hint) if error else (None, "")
        return not_started(decision.job, reason, code=code, hint=hint)

    async def _done(self, run: _BatchRun, outcome: Outcome) -> None:
        ended = [outcome]
        while ended:
            ended += await self._end(run, ended.pop())
        if self.left == 0:
            self.close()

    async def _end(self, run: _BatchRun, outcome: Outcome) -> list[Outcome]:
        """Give the jobs that waited for this one their turn. Those that cannot start any more end with it."""
        run.outcomes[outcome.job] = outcome
        self._watch.ended(outcome)
        self.left -= 1
        ready = [child for child in run.children.pop(outcome.job, []) if self._is_ready(run, child)]
        ended = [await self._turn(run, run.waiting.pop(child)) for child in ready]
        return [outcome for outcome in ended if outcome is not None]

    async def _turn(self, run: _BatchRun, job: Job) -> Outcome | None:
        """Decide about a job whose parents have ended, and queue it; or the outcome that it has already."""
        unstarted = run.unstarted_parent(job)
        if unstarted is not None:
            return not_started(job, unstarted.reason, code=unstarted.code, hint=unstarted.hint)
        try:
            self.add(run, await self._bench.runner(run.batch.planner.decide, job, run.parents(job)))
        except MediaspoolError as error:
            return self._stopped_by(run, Decision(job=job, choice="run"), error)
        return None

    def _is_ready(self, run: _BatchRun, child: JobId) -> bool:
        job = run.waiting.get(child)
        return job is not None and all(parent.verdict is not None for parent in run.parents(job).values())


async def run_plan(
    bench: Bench, batches: Sequence[Batch], stop: Stop, *, width_of: Callable[[str], int], watch: Onlooker
) -> list[list[Outcome]]:
    """The outcomes of each batch, in the order of its decisions: one for every decision."""
    runs = [_BatchRun(batch) for batch in batches]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cut_at_once, stop, nursery.cancel_scope)
        async with trio.open_nursery() as workers:
            lanes = _Lanes(bench, workers, stop, width_of, watch)
            open_decisions = [(run, decision) for run in runs for decision in run.open_decisions()]
            lanes.left = len(open_decisions)
            watch.planned(lanes.left)
            for run in runs:
                nursery.start_soon(_limit, run)
            await _settle_planned(bench, open_decisions, stop)
            for run, decision in longest_first_at_the_end(open_decisions):
                lanes.add(run, decision)
            if lanes.left == 0:
                lanes.close()
        nursery.cancel_scope.cancel()
    held = {row.place for row in await bench.runner(bench.ledger.held_attempts)}
    out = _Out(held=held, waiting=await bench.caller.waiting_places())
    return [[await _told(bench, run, decision, stop, out) for decision in run.batch.decisions] for run in runs]


def longest_first_at_the_end(decisions: Sequence[tuple[T, Decision]]) -> list[tuple[T, Decision]]:
    """In their order, but the last few from long to short: a long recording begun last keeps the other workers idle."""
    rest, end = decisions[:-END_JOBS], decisions[-END_JOBS:]
    return [*rest, *sorted(end, key=lambda item: -item[1].estimate.audio_seconds)]


async def _settle_planned(bench: Bench, decisions: Sequence[tuple[_BatchRun, Decision]], stop: Stop) -> None:
    """All verdicts that need no work in one transaction: one by one, each would wait for the disk."""

    def settle_all() -> None:
        with bench.ledger.group():
            for run, decision in decisions:
                if decision.choice not in _WORK:
                    settle(bench.ledger, decision, outcome_of(decision), run.batch.manifest)

    try:
        await bench.runner(settle_all)
    except MediaspoolError as error:
        stop.drain(error.message, error)


async def _limit(run: _BatchRun) -> None:
    """The manifest's own time limit: what runs may finish, nothing new starts."""
    seconds = run.batch.budget.caps.max_runtime_s
    if seconds is not None:
        await trio.sleep(seconds)
        reached = f"the manifest's limit of {seconds:g} s is reached"
        run.stop.drain(reached, BudgetExhausted(reached, code="budget-runtime", hint="run again"))


async def _cut_at_once(stop: Stop, scope: trio.CancelScope) -> None:
    await stop.cut.wait()
    scope.cancel()


async def _told(bench: Bench, run: _BatchRun, decision: Decision, stop: Stop, out: _Out) -> Outcome:
    """The outcome of a decision. A job cut off with a paid call out is held, whatever it was that cut it off."""
    reason = stop.reason or run.stop.reason or "the run ended before its turn"
    known = run.outcomes.get(decision.job.id)
    is_waiting = decision.job.place in out.waiting
    outcome = known or run.priced(_cut(decision.job, reason, is_waiting=is_waiting), unpriced=int(is_waiting))
    if decision.job.place in out.held and outcome.verdict in _CUT_OFF:
        code = outcome.code or InDoubt.default_code
        outcome = msgspec.structs.replace(outcome, verdict="held", code=code, hint="mediaspool resolve")
        outcome = run.priced(outcome, unpriced=1)
    if outcome is not known:
        await bench.runner(settle, bench.ledger, decision, outcome, run.batch.manifest)
    return outcome


def _cut(job: Job, reason: str, *, is_waiting: bool) -> Outcome:
    """A job without an outcome: never begun, or cut off. What a provider works on for it goes on."""
    if not is_waiting:
        return not_started(job, reason)
    error = still_waiting(reason)
    return not_started(job, error.message, code=error.code, hint=error.hint)


def not_started(job: Job, reason: str, *, code: str | None = None, hint: str = "") -> Outcome:
    return Outcome(job=job.id, kind=job.kind, verdict="not-started", reason=reason, code=code, hint=hint or "run again")


def outcome_of(decision: Decision) -> Outcome:
    """The outcome of a decision that needs no work. All reasons are told, the first one's code stands for them."""
    reasons = decision.reasons
    if (now := passing(decision)) is not None:
        return not_started(decision.job, now.message, code=now.code, hint=now.hint)
    return Outcome(
        job=decision.job.id,
        kind=decision.job.kind,
        verdict=_VERDICTS[decision.choice],
        reason="; ".join(reason.message for reason in reasons),
        code=reasons[0].code if reasons else None,
        hint=reasons[0].hint if reasons else "",
        products=decision.products if decision.choice == "unchanged" else (),
        earlier=decision.earlier,
    )
