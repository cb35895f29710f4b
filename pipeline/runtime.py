"""The composition root: settings -> opened Runtime. The only module that sees both tables, KINDS and DRIVERS.

`open_runtime` owns everything that must be closed: ledger, child processes, writers. Nothing is started before a job
needs it: a run in which all is unchanged starts no engine and no child.
"""

import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, cast

import msgspec
import trio
from msgspec import Struct

from jobs import KINDS
from pipeline.calls import Caller
from pipeline.children.lanes import Lanes, auto_workers
from pipeline.core.budget import Budget
from pipeline.core.confine import display
from pipeline.core.drivers import Closes, Driver, Health, RouteConfig
from pipeline.core.errors import ConfigError, LedgerError, MediaspoolError
from pipeline.core.kinds import Kind
from pipeline.core.limits import Doubt
from pipeline.core.model import Clock, Reached, RouteId, RunId, Runner
from pipeline.core.notices import Notifier, NotifyTable
from pipeline.core.rows import Kinds, load_row
from pipeline.core.secret import FindKey, Secret
from pipeline.onlooker import Nobody, Onlooker
from pipeline.pacing import Pacer, budget_of, look_at_pace, pace_path
from pipeline.publishing import Publisher
from pipeline.routes import DRIVERS
from pipeline.routes._tools import Tools
from pipeline.state.database import RESTORE
from pipeline.state.ledger import Ledger
from pipeline.state.linux import be_thrifty
from pipeline.state.pace_tables import caps_of
from pipeline.state.pace_time import Moment, boot_id, steady_s
from pipeline.state.runner import LedgerRunner, ThreadRunner
from pipeline.state.settings import Settings, expand_routes, find_secret, route_configs
from pipeline.state.spool import Spool
from pipeline.state.store import Store
from pipeline.trace.debug import DebugWriter
from pipeline.trace.logs import Log
from pipeline.trace.redact import Redactor
from pipeline.work import Bench

FILE_THREADS = 16  # they wait for the disk, and it syncs many files in the time of one; more bring nothing
READERS = 4  # of what is sent: an input on a share that hangs keeps no answer from being put away
NOTIFIER = "pipeline.routes.notify:Notifier"
ASSETS = "assets"  # answers are looked at by children, wherever the spool lies
CLOSE_GRACE_S = 5.0


class World(Struct, frozen=True, kw_only=True):
    """The outermost edge, injected: environment, log stream, clocks, crash points; tests bring their own drivers.

    `config` is the settings file that was named, for commands on pages.
    """

    environ: Mapping[str, str]
    log_stream: IO[str]
    clock: Clock
    now: Callable[[], float]
    reached: Reached
    drivers: Mapping[str, str] = msgspec.field(default_factory=lambda: DRIVERS)
    watch: Onlooker = Nobody()
    steady: Callable[[], float] = steady_s
    boot: Callable[[], str] = boot_id
    config: str | None = None

    def look(self) -> Moment:
        """Both clocks at once."""
        return Moment(wall=self.now(), steady=self.steady(), boot=self.boot())


class Drivers:
    """The route table, opened row by row when a job first asks: a broken driver breaks only its own jobs."""

    def __init__(self, settings: Settings, tools: Tools, table: Mapping[str, str]) -> None:
        # Twice the children: while they work, the next calls wait at their door instead of behind the ledger.
        calls = 2 * engine_workers(settings)
        self.configs: dict[RouteId, RouteConfig] = route_configs(settings, engine_workers=calls)
        self._tools = tools
        self._table = table
        self._open: dict[str, Driver] = {}
        self._closed: dict[str, MediaspoolError] = {}

    def __call__(self, route: str) -> Driver:
        if route in self._closed:
            raise self._closed[route].with_traceback(None)  # raised for every job: it must not grow
        if route not in self._open:
            config = self.configs[RouteId(route)]
            self._open[route] = _load_driver(config, self._tools, self._table)
        return self._open[route]

    def close(self, route: str, error: MediaspoolError) -> None:
        """From now on whoever asks for the route is told why it takes nothing."""
        self._closed[route] = error

    async def aclose(self) -> None:
        """Connections go; a server that does not let go is not waited for."""
        for driver in self._open.values():
            if isinstance(driver, Closes):
                with trio.move_on_after(CLOSE_GRACE_S, shield=True):
                    await driver.aclose()

    @property
    def opened(self) -> frozenset[str]:
        """The routes that something in this run asked for and may use."""
        return frozenset(self._open) - self._closed.keys()

    def expand(self, names: Sequence[str]) -> tuple[str, ...]:
        return expand_routes(names, self.configs)

    def width(self, route: str) -> int:
        """Workers of a lane: twice the calls it may have under way, so that publishing overlaps with calling."""
        return 2 * self(route).route.width


class Runtime(Struct, frozen=True, kw_only=True):
    """What one run has open. `doubt` is the allowance that its plan reckons with; the calls have one of their own.

    `budget` is what all manifests of the run may use together.
    """

    run: RunId
    started_at: str
    settings: Settings
    world: World
    spool: Spool
    ledger: Ledger
    store: Store
    runner: LedgerRunner
    threads: tuple[ThreadRunner, ...]
    drivers: Drivers
    kinds: Mapping[str, Kind]
    debug: DebugWriter
    redactor: Redactor
    log: Log
    bench: Bench
    doubt: Doubt
    budget: Budget
    tools: Tools
    pacer: Pacer
    warnings: list[str]

    def close(self) -> None:
        """All but the drivers, whose connections only an event loop can close; nothing is under way any more."""
        self.pacer.close()
        self.store.close()
        for threads in self.threads:
            threads.close()


def utc_now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def new_run_id() -> RunId:
    return RunId(f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}")


def driver_tools(
    lanes: Lanes, world: World, redactor: Redactor, cache: str, warnings: list[str], *, files: Runner
) -> Tools:
    """What drivers may use. A key that was found is known to the redaction from then on."""

    def find_key(name: str) -> Secret | None:
        secret = find_secret(name, world.environ)
        if secret is not None:
            redactor.add(secret.reveal())
        return secret

    def warn(text: str) -> None:
        if text not in warnings:
            warnings.append(text)

    return Tools(
        lanes=lanes,
        find_key=find_key,
        cache=cache,
        now=world.now,
        safe=lambda text: display(redactor.text(text)),
        warn=warn,
        files=files,
    )


def load_kinds() -> Mapping[str, Kind]:
    return Kinds(KINDS)


@asynccontextmanager
async def open_runtime(
    settings: Settings, spool: Spool, world: World, *, roots: Mapping[str, str]
) -> AsyncIterator[Runtime]:
    be_thrifty()  # before the first thread
    run, redactor = new_run_id(), Redactor(_known_secrets(settings, world.environ))
    if spool.has_lost_its_ledger:
        raise LedgerError("the ledger is gone, and answers of earlier runs are here", hint=RESTORE)
    with ThreadRunner() as once:
        ledger = await once(lambda: Ledger.open(spool.ledger_path, run=run, clock=world.clock))
    with closing(ledger), closing(_open_lanes(settings, spool, roots)) as lanes:
        opened = _assemble(settings, spool, world, run=run, redactor=redactor, ledger=ledger, lanes=lanes)
        world.watch.started(run)
        try:
            yield opened
        finally:
            await opened.drivers.aclose()
            opened.close()


@contextmanager
def open_view(settings: Settings, root: str, world: World) -> Iterator[Runtime]:
    """A runtime for looking: of the main path it serves `read` and `plan_one`. Nothing is locked, made or started."""
    spool = Spool(root)
    ledger, run = Ledger.view(spool.ledger_path, clock=world.clock), new_run_id()
    with (
        closing(ledger),
        closing(_open_lanes(settings, spool, {})) as lanes,
        closing(_assemble(settings, spool, world, run=run, redactor=Redactor(), ledger=ledger, lanes=lanes)) as opened,
    ):
        yield msgspec.structs.replace(opened, budget=budget_of(settings.caps, look_at_pace(world.environ, world.look)))


@contextmanager
def open_drivers(settings: Settings, root: str, world: World) -> Iterator[Drivers]:
    """The routes for looking at them: nothing is locked, made, started or sent."""
    lanes = Lanes(roots={}, staging=root, engine_workers=1, media_workers=1, memory_mb=1)
    with closing(lanes), ThreadRunner() as files:
        tools = driver_tools(lanes, world, Redactor(), Spool(root).catalogues, [], files=files)
        yield Drivers(settings, tools, world.drivers)


def look_at(drivers: Drivers, route: str, world: World) -> tuple[Driver | None, Health, bool]:
    """A route's driver, None where it cannot be opened; whether it works here; whether the key it names is lacking."""
    key = drivers.configs[RouteId(route)].key
    try:
        driver = drivers(route)
        health = driver.probe()
    except MediaspoolError as error:
        driver, health = None, Health(ok=False, summary=error.message, hint=error.hint)
    try:
        lacking = None if key is None or find_secret(key, world.environ) is not None else f"there is no key {key}"
    except MediaspoolError as error:
        lacking = error.message
    if lacking is not None:
        health = Health(ok=False, summary=lacking, hint=health.hint, details=health.details)
    return driver, health, lacking is not None


def doubt_of(settings: Settings) -> Doubt:
    """The allowance of one run."""
    return Doubt(settings.doubt_per_call_usd, settings.doubt_per_run_usd)


def engine_workers(settings: Settings) -> int:
    return settings.engines.workers or auto_workers()


def media_workers(settings: Settings) -> int:
    return settings.engines.media_workers or max(1, engine_workers(settings) // 2)


def _open_lanes(settings: Settings, spool: Spool, roots: Mapping[str, str]) -> Lanes:
    return Lanes(
        roots={**roots, ASSETS: spool.assets},
        staging=spool.staging,
        engine_workers=engine_workers(settings),
        media_workers=media_workers(settings),
        memory_mb=settings.engines.memory_mb,
    )


def _assemble(
    settings: Settings, spool: Spool, world: World, *, run: RunId, redactor: Redactor, ledger: Ledger, lanes: Lanes
) -> Runtime:
    runner, files, turns = LedgerRunner(ledger.group), ThreadRunner(FILE_THREADS), ThreadRunner()
    readers, warnings = ThreadRunner(READERS), list[str]()
    store = Store(staging=spool.staging, assets=spool.assets, quarantine=spool.quarantine)
    tools = driver_tools(lanes, world, redactor, spool.catalogues, warnings, files=readers)
    drivers, kinds = Drivers(settings, tools, world.drivers), load_kinds()
    pacer = _pacer(settings, spool, world, turns, tools.warn)
    debug, log = _open_debug(settings, spool, world, redactor), _open_log(settings, world, redactor)
    bench = Bench(
        ledger=ledger,
        publisher=Publisher(
            ledger=ledger, store=store, wait=runner.wait, files=files, clock=world.clock, reached=world.reached
        ),
        lanes=lanes,
        caller=Caller(
            run=run,
            ledger=ledger,
            store=store,
            runner=runner.together,
            wait=runner.wait,
            files=files.first,
            drivers=drivers,
            debug=debug,
            doubt=doubt_of(settings),
            redactor=redactor,
            clock=world.clock,
            reached=world.reached,
            pacer=pacer,
        ),
        kinds=kinds,
        runner=runner.together,
        files=files,
        log=log,
        reached=world.reached,
        scratch=Path(spool.staging),
    )
    return Runtime(
        run=run,
        started_at=world.clock(),
        settings=settings,
        world=world,
        spool=spool,
        ledger=ledger,
        store=store,
        runner=runner,
        threads=(runner, files, turns, readers),
        drivers=drivers,
        kinds=kinds,
        debug=debug,
        redactor=redactor,
        log=log,
        bench=bench,
        doubt=doubt_of(settings),
        tools=tools,
        budget=budget_of(settings.caps, None),
        pacer=pacer,
        warnings=warnings,
    )


def open_notifier(table: NotifyTable, *, find_key: FindKey, safe: Callable[[str], str]) -> Notifier | None:
    """Who tells other machines of the run; None where the settings name nobody, so that nothing is imported for it."""
    if not (table.pings or table.hooks):
        return None
    return cast("Notifier", load_row(NOTIFIER)(table, find_key=find_key, safe=safe))


def _pacer(settings: Settings, spool: Spool, world: World, runner: Runner, warn: Callable[[str], None]) -> Pacer:
    return Pacer(
        pace_path(world.environ),
        spool=os.path.realpath(spool.root),
        look=world.look,
        runner=runner,
        day=caps_of(settings.caps, "day"),
        month=caps_of(settings.caps, "month"),
        patience_s=settings.pace_wait_s,
        warn=warn,
    )


def _open_debug(settings: Settings, spool: Spool, world: World, redactor: Redactor) -> DebugWriter:
    return DebugWriter(
        spool.debug,
        level=settings.debug.level,
        max_kb=settings.debug.max_kb,
        max_count=settings.debug.max_count,
        max_age_days=settings.debug.max_age_days,
        redactor=redactor,
        now=world.now,
    )


def _open_log(settings: Settings, world: World, redactor: Redactor) -> Log:
    return Log(
        world.log_stream, redactor=redactor, now=world.clock, format=settings.log.format, level=settings.log.level
    )


def _known_secrets(settings: Settings, environ: Mapping[str, str]) -> Iterator[str]:
    """The keys that routes name: none comes out, whoever repeats it. One that cannot be read is used by nobody."""
    for config in route_configs(settings).values():
        with suppress(ConfigError):
            secret = find_secret(config.key, environ) if config.key else None
            if secret is not None:
                yield secret.reveal()


def _load_driver(config: RouteConfig, tools: Tools, table: Mapping[str, str]) -> Driver:
    if config.driver not in table:
        known = ", ".join(sorted(table))
        raise ConfigError(f"route {config.id} names the unknown driver {config.driver!r}", hint=f"drivers are: {known}")
    try:
        return cast("Driver", load_row(table[config.driver])(config, tools))
    except ImportError as error:
        raise ConfigError(
            f"route {config.id} cannot be loaded: {error.name or error}",
            code="extra-missing",
            hint='pip install "mediaspool[local]"',
        ) from error
