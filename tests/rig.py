"""One batch under the virtual clock: real planner, ledger, store and publisher; route and kind are scripted.

A job says in its spec what its calls shall do: take how long, end how, and how many there are. Nothing runs in a
thread or a child, so a clock that jumps sees every wait and nothing else.
"""

import hashlib
import io
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import trio
from msgspec import Struct

from pipeline.batch import Batch, Stop, run_plan
from pipeline.calls import Caller
from pipeline.children.lanes import Lanes
from pipeline.core import errors
from pipeline.core.budget import Budget
from pipeline.core.drivers import Driver, RouteConfig
from pipeline.core.kinds import Draft, JobContext, Kind, KindResult
from pipeline.core.limits import Doubt
from pipeline.core.model import (
    Caps,
    Family,
    Job,
    JobId,
    Limits,
    OnFailure,
    Outcome,
    Place,
    ProductPath,
    Refusal,
    RouteId,
    RunId,
    Runner,
    Source,
    T,
    Ts,
)
from pipeline.core.operations import Operation, Speak
from pipeline.intake import Intake
from pipeline.onlooker import Nobody
from pipeline.pacing import Pacer
from pipeline.plan import Planner, decide_all
from pipeline.publishing import Publisher
from pipeline.recovery import recover
from pipeline.state.ledger import Ledger
from pipeline.state.pace_time import Moment
from pipeline.state.roots import Roots
from pipeline.state.runner import InlineRunner, inline
from pipeline.state.spool import Spool
from pipeline.state.store import Store
from pipeline.trace.debug import DebugWriter
from pipeline.trace.logs import Log
from pipeline.trace.redact import Redactor
from pipeline.work import Bench
from tests.player import Act as Act
from tests.player import Played, Player

NOW = "2026-11-20T06:00:00+00:00"
NOW_S = datetime.fromisoformat(NOW).timestamp()
HANG_S = 1e9


class ActSpec(Struct, frozen=True, kw_only=True):
    """The calls of a job, made side by side. `text` is the product; equal parts are equal calls."""

    text: str
    acts: tuple[Act, ...] = (Act(),)
    shared: str | None = None


class Acting:
    """The kind of the rig: makes its calls in a nursery of its own, then one text."""

    name = "acting"
    version = 1
    spec: type[msgspec.Struct] = ActSpec
    families: frozenset[Family] = frozenset({"text"})
    asks: frozenset[str] = frozenset({"speak"})
    limits = Limits(max_output_bytes=1_000_000)

    def products(self, spec: msgspec.Struct) -> tuple[str, ...]:
        return ("txt",)

    def check(self, spec: msgspec.Struct, source: Source | None) -> list[Refusal]:
        return []

    def operations(self, spec: msgspec.Struct, source: Source | None) -> tuple[Operation, ...]:
        assert isinstance(spec, ActSpec)
        return tuple(_operation(spec, number) for number in range(len(spec.acts)))

    async def run(self, spec: msgspec.Struct, ctx: JobContext) -> KindResult:
        assert isinstance(spec, ActSpec)
        try:
            async with trio.open_nursery() as nursery:
                for operation in self.operations(spec, ctx.source):
                    nursery.start_soon(ctx.call, operation)
        except BaseExceptionGroup as group:  # with except*, Python 3.11.2 wraps what is raised here once more
            told, others = group.split(errors.MediaspoolError)
            if told is None or others is not None:
                raise
            raise _first(told) from None
        await trio.lowlevel.checkpoint()
        return KindResult(verdict="done", drafts=(Draft(name="txt", media_type="text/plain", content=b"made\n"),))


def _operation(spec: ActSpec, number: int) -> Speak:
    act = msgspec.json.encode(spec.acts[number]).decode()
    return Speak(text=f"{spec.shared or spec.text}/{number} {act}", language="en")


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class Seen(Nobody):
    """How often each job ended, as the one who watches is told."""

    def __init__(self) -> None:
        self.ended_jobs: Counter[str] = Counter()

    def ended(self, outcome: Outcome) -> None:
        self.ended_jobs[outcome.job] += 1


class SlowRunner:
    """Every piece of work waits so long first, as behind the hashing of a very large file or on a poor disk."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def __call__(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        await trio.sleep(self._seconds)
        return await InlineRunner()(work, *args)


class Rig:
    """A spool and an output folder. `run` is one run over the jobs given: recover, plan, work."""

    def __init__(self, folder: Path, *, widths: Mapping[str, int], paid: bool = False, call_timeout_s: float = HANG_S):
        self.out = folder / "out"
        self.out.mkdir(parents=True)
        self.spool = Spool.create(str(folder / "spool"))
        self.runner: Runner = InlineRunner()
        self.stop = Stop()
        self.make_seen: type[Seen] = Seen
        self.seen = Seen()
        self.caps = Caps()
        self.run_budget: Budget | None = None
        self.day = self.month = Caps()
        self.patience_s = 300.0
        self.state = folder / "state"
        self.wall: Callable[[], float] = lambda: NOW_S + trio.current_time()
        self.warnings: list[str] = []
        self._pacers: list[Pacer] = []
        self.allowance = (Decimal(0), Decimal(0))
        self.budgets: list[Budget] = []
        self.job_limits = Limits()
        self.reached: Callable[[str], None] = lambda _point: None
        self._runs = 0
        self.players: dict[str, Player] = {}
        for name, width in widths.items():
            route = RouteConfig(id=RouteId(name), driver="player", width=width, call_timeout_s=call_timeout_s)
            self.players[name] = Player(route, paid=paid)
        self.store = Store(staging=self.spool.staging, assets=self.spool.assets, quarantine=self.spool.quarantine)
        self.ledger = self._open()

    def job(
        self,
        name: str,
        *acts: Act,
        route: str | tuple[str, ...] = "r",
        on_failure: OnFailure = "stop",
        needs: tuple[str, ...] = (),
        shared: str | None = None,
        max_job_s: float | None = None,
    ) -> Job:
        return Job(
            id=JobId(name),
            place=Place(hashlib.sha256(name.encode()).hexdigest()[:32]),
            kind="acting",
            spec=ActSpec(text=name, acts=acts, shared=shared),
            products=(ProductPath(name="txt", path=str(self.out / f"{name}.txt")),),
            routes=(route,) if isinstance(route, str) else route,
            on_failure=on_failure,
            needs=tuple(JobId(need) for need in needs),
            limits=Limits(max_job_s=max_job_s),
        )

    async def run(self, *jobs: Job) -> dict[str, Outcome]:
        (outcomes,) = await self.run_batches(jobs)
        return outcomes

    async def run_stopped(self, *jobs: Job, after_s: float) -> dict[str, Outcome]:
        """As `run`, while somebody has the run drain after so long."""

        async def stop() -> None:
            await trio.sleep(after_s)
            self.stop.drain("stopped")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop)
            return await self.run(*jobs)

    async def run_batches(self, *manifests: tuple[Job, ...]) -> list[dict[str, Outcome]]:
        """Every job of every manifest once, whatever happens; that there is one outcome each is checked here."""
        self.seen = self.make_seen()
        recover(self.ledger, self.store, self.spool)
        batches = [self._batch(f"m{number}", jobs) for number, jobs in enumerate(manifests)]
        told = await run_plan(self.bench(), batches, self.stop, width_of=self._width, watch=self.seen)
        for jobs, outcomes in zip(manifests, told, strict=True):
            assert [outcome.job for outcome in outcomes] == [job.id for job in jobs]
        assert set(self.seen.ended_jobs.values()) <= {1}
        return [{outcome.job: outcome for outcome in outcomes} for outcomes in told]

    def begin_anew(self) -> None:
        """What a next run starts with: the ledger opened under its own name, and nobody stops it."""
        self.ledger.close()
        self.ledger = self._open()
        self.stop = Stop()

    def sent(self) -> list[Played]:
        return [played for player in self.players.values() for played in player.sent]

    def close(self) -> None:
        for pacer in self._pacers:
            pacer.close()
        self.ledger.close()

    def _open(self) -> Ledger:
        self._runs += 1
        return Ledger.open(self.spool.ledger_path, run=RunId(f"run-{self._runs}"), clock=lambda: NOW)

    def _driver(self, route: str) -> Driver:
        return self.players[route]

    def _width(self, route: str) -> int:
        return 2 * self.players[route].route.width

    def _batch(self, name: str, jobs: tuple[Job, ...]) -> Batch:
        roots, budget = Roots([str(self.out)]), Budget(self.caps, above=self.run_budget)
        self.budgets.append(budget)
        planner = Planner(
            ledger=self.ledger,
            intake=Intake(self.ledger, roots),
            kinds=_KINDS,
            drivers=self._driver,
            expand=tuple,
            limits=self.job_limits,
            doubt=Doubt(*self.allowance),
        )
        return Batch(
            manifest=name,
            decisions=decide_all(planner, jobs, frozenset(), lambda: self.stop.reason is not None),
            bad=frozenset(),
            planner=planner,
            roots=roots,
            budget=budget,
        )

    def pacer(self) -> Pacer:
        pacer = Pacer(
            str(self.state / "pace.db"),
            spool=self.spool.root,
            look=lambda: Moment(wall=self.wall(), steady=trio.current_time(), boot="this"),
            runner=self.runner,
            day=self.day,
            month=self.month,
            patience_s=self.patience_s,
            warn=self.warnings.append,
        )
        pacer.begin(self.ledger)
        self._pacers.append(pacer)
        return pacer

    def bench(self) -> Bench:
        runner, redactor = self.runner, Redactor()
        debug = DebugWriter(
            self.spool.debug,
            level="off",
            max_kb=1,
            max_count=1,
            max_age_days=1,
            redactor=redactor,
            now=lambda: 0.0,
        )
        caller = Caller(
            run="run",
            ledger=self.ledger,
            store=self.store,
            runner=runner,
            wait=inline,
            files=runner,
            drivers=self._driver,
            debug=debug,
            doubt=Doubt(*self.allowance),
            redactor=redactor,
            clock=lambda: NOW,
            reached=lambda point: self.reached(point),
            pacer=self.pacer(),
        )
        publisher = Publisher(
            ledger=self.ledger,
            store=self.store,
            wait=inline,
            files=runner,
            clock=lambda: NOW,
            reached=lambda point: self.reached(point),
        )
        lanes = Lanes(roots={}, staging=self.spool.staging, engine_workers=1, media_workers=1, memory_mb=100)
        return Bench(
            ledger=self.ledger,
            publisher=publisher,
            lanes=lanes,
            caller=caller,
            kinds=_KINDS,
            runner=runner,
            files=runner,
            log=Log(io.StringIO(), redactor=redactor, now=lambda: NOW),
            reached=lambda point: self.reached(point),
            scratch=Path(self.spool.staging),
        )


_KINDS: dict[str, Kind] = {"acting": Acting()}
