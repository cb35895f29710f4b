"""`doctor` and `routes`: what is configured, what works here, and why not.

Every check is cheap, answers for itself, and ends in a finding, so that one broken part never hides another. Nothing is
sent, downloaded or repaired, and of the network only the name service is asked, for hosts that hear of runs. The one
file that is written is a probe in the spool, and it is gone at once.
"""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime

import trio
from msgspec import Struct

from pipeline import __version__
from pipeline.answer import SCHEMA, Answer, counted, joined, shown_size
from pipeline.children.limits import available_mb, usable_cores
from pipeline.core.confine import display, display_path
from pipeline.core.errors import ConfigError, MediaspoolError, PaceBroken
from pipeline.core.limits import MEGABYTE
from pipeline.core.model import RouteId
from pipeline.core.notices import Notifier
from pipeline.held import viewed
from pipeline.media.sniff import libmagic_version
from pipeline.namesakes import namesakes
from pipeline.pacing import cap_uses, pace_path
from pipeline.report import PRECEDENCE, exit_code
from pipeline.runtime import Drivers, engine_workers, look_at, open_drivers, open_notifier
from pipeline.seat import Seat
from pipeline.state.database import shared_disk_problem
from pipeline.state.durable import ensure_one_disk, free_bytes, free_files, may_read
from pipeline.state.ledger_rows import RunRow
from pipeline.state.linux import file_system_magic
from pipeline.state.pace import Pace, Used
from pipeline.state.settings import GROUPS, find_secret, route_configs, settings_path
from pipeline.state.spool import MOVED_BETWEEN, Spool
from pipeline.state.store import SPARE_FILES
from pipeline.trace.redact import Redactor

CONFIGURATION, UNWRITABLE, IO_ERROR, KEY = 78, 73, 74, 77
MADE = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
FAR = datetime(2100, 1, 1, tzinfo=UTC).timestamp()
CLOCK_MARGIN_S = 300.0


class Finding(Struct, frozen=True, kw_only=True):
    """The answer of one check. `exit_code` is 0 for one that is well, or that only informs."""

    check: str
    ok: bool
    summary: str
    hint: str = ""
    details: tuple[str, ...] = ()
    exit_code: int = 0


class Checked(Struct, frozen=True, kw_only=True):
    """The object of `doctor`."""

    schema: int = SCHEMA
    version: str = __version__
    ok: bool
    findings: tuple[Finding, ...]
    exit_code: int


class RouteLine(Struct, frozen=True, kw_only=True):
    """One configured route. `has_key` is None where the route needs none."""

    id: str
    driver: str
    ok: bool
    summary: str
    hint: str = ""
    details: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    languages: tuple[str, ...] | None = None
    voices: dict[str, str] = {}
    width: int
    is_paid: bool = False
    base_url: str | None = None
    key: str | None = None
    has_key: bool | None = None
    is_default: bool = False


class Routes(Struct, frozen=True, kw_only=True):
    """The object of `routes`; `groups` are names that stand for several of them."""

    schema: int = SCHEMA
    routes: tuple[RouteLine, ...]
    groups: dict[str, tuple[str, ...]]
    default: tuple[str, ...]


def routes(seat: Seat) -> Answer:
    """All configured routes. Says, never judges: the exit code is 0 also when none works."""
    found = Routes(routes=_route_lines(seat), groups=GROUPS, default=seat.settings.default_route)
    return Answer(text=joined(_routes_text(found)), record=found)


def check(seat: Seat, *, only_routes: bool = False) -> Answer:
    """All checks; the exit code is that of the gravest finding, by the precedence of every run."""
    others = {} if only_routes else _CHECKS
    findings = (*_of_routes(seat), *(_safely(name, look, seat) for name, look in others.items()))
    codes = {finding.exit_code for finding in findings}
    code = next((code for code in PRECEDENCE if code in codes), 0)
    made = Checked(ok=code == 0, findings=findings, exit_code=code)
    return Answer(text=joined(_check_text(made)), record=made, exit_code=code)


def _route_lines(seat: Seat) -> tuple[RouteLine, ...]:
    with open_drivers(seat.settings, seat.root, seat.world) as drivers:
        wanted = {selector.partition("/")[0] for selector in drivers.expand(seat.settings.default_route)}
        return tuple(_route_line(drivers, str(route), seat, is_default=route in wanted) for route in drivers.configs)


def _route_line(drivers: Drivers, route: str, seat: Seat, *, is_default: bool) -> RouteLine:
    config = drivers.configs[RouteId(route)]
    driver, health, is_keyless = look_at(drivers, route, seat.world)
    facts = driver.facts if driver else None
    return RouteLine(
        id=route,
        driver=config.driver,
        ok=health.ok,
        summary=display(health.summary),
        hint=display(health.hint),
        details=tuple(map(display, health.details)),
        operations=tuple(sorted(facts.operations)) if facts else (),
        models=tuple(sorted({*config.models.values(), *(facts.models if facts else ())})),
        languages=tuple(sorted(facts.languages)) if facts and facts.languages is not None else None,
        voices=dict(facts.voices) if facts else {},
        width=config.width,
        is_paid=facts.paid if facts else False,
        base_url=None if config.base_url is None else Redactor().text(config.base_url),
        key=config.key,
        has_key=None if config.key is None else not is_keyless,
        is_default=is_default,
    )


def _of_routes(seat: Seat) -> Iterator[Finding]:
    """A route that nothing asks for may be absent; one that every job is sent to may not."""
    for line in _route_lines(seat):
        code = KEY if line.has_key is False else CONFIGURATION
        yield Finding(
            check=f"route {line.id}",
            ok=line.ok,
            summary=line.summary,
            hint=line.hint,
            details=line.details,
            exit_code=0 if line.ok or not line.is_default else code,
        )


def _safely(name: str, look: Callable[[str, Seat], Finding], seat: Seat) -> Finding:
    try:
        return look(name, seat)
    except MediaspoolError as error:
        code = IO_ERROR if error.code == "io-error" else CONFIGURATION
        return Finding(check=name, ok=False, summary=display(error.message), hint=display(error.hint), exit_code=code)


def _settings(name: str, seat: Seat) -> Finding:
    path = settings_path(seat.config, seat.world.environ)
    where = f"read from {display(path)}" if os.path.exists(path) else f"built in; {display(path)} does not exist"
    return Finding(check=name, ok=True, summary=where)


def _libmagic(name: str, _seat: Seat) -> Finding:
    return Finding(check=name, ok=True, summary=libmagic_version())


def _packages(name: str, _seat: Seat) -> Finding:
    found = namesakes()
    shadowing = tuple(display_path(item.path) for item in found if item.is_first)
    behind = tuple(display_path(item.path) for item in found if not item.is_first)
    if shadowing:
        hint = "install mediaspool into an environment of its own, and start it from another folder"
        return Finding(
            check=name,
            ok=False,
            summary="another package takes the place of ours",
            hint=hint,
            details=shadowing,
            exit_code=CONFIGURATION,
        )
    if behind:
        return Finding(check=name, ok=True, summary="ours come first; these are hidden behind them", details=behind)
    return Finding(check=name, ok=True, summary="no other package is called pipeline or jobs")


def _machine(name: str, seat: Seat) -> Finding:
    memory = available_mb()
    workers = engine_workers(seat.settings)
    free = "unknown" if memory is None else f"{memory} MB"
    summary = f"{usable_cores()} cores, {free} of memory free, {workers} engine children"
    return Finding(check=name, ok=True, summary=summary)


def _disk(name: str, seat: Seat) -> Finding:
    free, floor = free_bytes(seat.root), seat.settings.low_disk_mb * MEGABYTE
    if free < floor:
        hint = "free some space; mediaspool clean shows what of ours can go"
        return Finding(check=name, ok=False, summary=f"only {shown_size(free)} free", hint=hint, exit_code=IO_ERROR)
    files = free_files(seat.root)
    if files is not None and files < SPARE_FILES:
        hint = "delete files there (df -i counts them); mediaspool clean shows which of ours can go"
        return Finding(check=name, ok=False, summary=f"only {files} inodes free", hint=hint, exit_code=IO_ERROR)
    return Finding(check=name, ok=True, summary=f"{shown_size(free)} free")


def _spool(name: str, seat: Seat) -> Finding:
    """May this user write there? Asked by writing: a mode says nothing of a read-only disk, and nothing to root."""
    folder = os.path.realpath(seat.root)
    is_made = os.path.isdir(folder)
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    shared = shared_disk_problem(file_system_magic(folder))
    if shared is not None:
        hint = "keep the spool on a local disk"
        return Finding(check=name, ok=False, summary=shared, hint=hint, exit_code=CONFIGURATION)
    problem = _write_problem(folder) if is_made else None if os.access(folder, os.W_OK | os.X_OK) else "no permission"
    shown = display_path(seat.root)
    if problem is not None:
        hint = "check owner, mode and mount of this folder"
        summary = f"{shown} cannot be written: {problem}"
        return Finding(check=name, ok=False, summary=summary, hint=hint, exit_code=UNWRITABLE)
    try:
        ensure_one_disk(folder, MOVED_BETWEEN if is_made else ())
    except ConfigError as error:
        return Finding(check=name, ok=False, summary=error.message, hint=error.hint, exit_code=CONFIGURATION)
    return Finding(check=name, ok=True, summary=f"{shown} can be {'written' if is_made else 'made'}")


def _write_problem(folder: str) -> str | None:
    probe = os.path.join(folder, f".doctor-{uuid.uuid4().hex}.tmp")
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        os.unlink(probe)
    except OSError as error:
        return error.strerror
    return None


def _clock(name: str, seat: Seat) -> Finding:
    """No decision hangs on the clock, but settling, reports and retention read it."""
    now = seat.world.now()
    shown = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
    last: list[RunRow] = []
    with suppress(MediaspoolError), viewed(seat) as ledger:  # what is wrong with the ledger is its own finding
        last = ledger.last_runs(1)
    began = datetime.fromisoformat(last[0].started_at).timestamp() if last else 0.0
    if not MADE < now < FAR or began > now + CLOCK_MARGIN_S:
        summary = f"the clock says {shown}" + (f", but a run began at {last[0].started_at}" if began > now else "")
        hint = "set the clock, or let it be set over the network"
        return Finding(check=name, ok=False, summary=summary, hint=hint, exit_code=CONFIGURATION)
    return Finding(check=name, ok=True, summary=shown)


def _ledger(name: str, seat: Seat) -> Finding:
    try:
        if not may_read(Spool(seat.root).ledger_path):
            return Finding(check=name, ok=True, summary="none yet; the first run makes it")
        with viewed(seat) as ledger:
            damage = ledger.check()
            jobs = sum(ledger.counts().values())
    except MediaspoolError as error:
        code = CONFIGURATION if error.code in ("ledger-newer", "spool-not-yours") else IO_ERROR
        return Finding(check=name, ok=False, summary=display(error.message), hint=display(error.hint), exit_code=code)
    if damage is not None:
        hint = "see docs/operations.md, after a crash"
        return Finding(check=name, ok=False, summary=display(damage), hint=hint, exit_code=IO_ERROR)
    return Finding(check=name, ok=True, summary=f"sound, {counted(jobs, 'job')}")


def _pace(name: str, seat: Seat) -> Finding:
    """What all runs of this user share. Broken, it matters only where something is to be kept in it."""
    path = pace_path(seat.world.environ)
    is_needed = bool(cap_uses(seat.settings.caps, Used(day=""))) or any(
        config.rates for config in route_configs(seat.settings).values()
    )
    try:
        pace = Pace.view(path, look=seat.world.look)
        if pace is None:
            return Finding(check=name, ok=True, summary="none yet; the first run that needs it makes it")
        with closing(pace):
            damage, used = pace.check(), pace.used()
    except PaceBroken as error:
        code = IO_ERROR if is_needed else 0
        return Finding(check=name, ok=False, summary=display(error.message), hint=display(error.hint), exit_code=code)
    if damage is not None:
        hint = "see docs/operations.md, days and months"
        return Finding(check=name, ok=False, summary=display(damage), hint=hint, exit_code=IO_ERROR if is_needed else 0)
    return Finding(check=name, ok=True, summary=f"sound; {used.of_month.usd} USD are booked in {used.day[:7]}")


def _notify(name: str, seat: Seat) -> Finding:
    """Everything about notices but whether somebody takes them: to know that, one would have to be sent."""
    table, environ = seat.settings.notify, seat.world.environ
    notifier = open_notifier(table, find_key=lambda secret: find_secret(secret, environ), safe=display)
    if notifier is None:
        return Finding(check=name, ok=True, summary="nobody is told of runs")
    errors = trio.run(_looked, notifier)
    if errors:
        summary, *details = [display(error.message) for error in errors]
        code, hint = exit_code(outcomes=(), errors=errors), display(errors[0].hint)
        return Finding(check=name, ok=False, summary=summary, hint=hint, details=tuple(details), exit_code=code)
    told = " and ".join(word for word, is_told in (("ping", table.pings), ("webhook", table.hooks)) if is_told)
    summary = f"{told}: secrets and hosts are there; nothing was sent, so who takes it is not known"
    return Finding(check=name, ok=True, summary=summary)


async def _looked(notifier: Notifier) -> list[MediaspoolError]:
    try:
        return await notifier.look()
    finally:
        await notifier.aclose()


_CHECKS: dict[str, Callable[[str, Seat], Finding]] = {
    "settings": _settings,
    "libmagic": _libmagic,
    "packages": _packages,
    "machine": _machine,
    "disk": _disk,
    "spool": _spool,
    "clock": _clock,
    "ledger": _ledger,
    "pace": _pace,
    "notify": _notify,
}


def _check_text(made: Checked) -> Iterator[str]:
    yield f"mediaspool {made.version}"
    for finding in made.findings:
        mark = "ok " if finding.ok else "BAD" if finding.exit_code else "no "
        yield f"{mark} {finding.check}: {finding.summary}"
        if not finding.ok:
            yield from (f"      {detail}" for detail in finding.details)
            if finding.hint:
                yield f"      {finding.hint}"


def _routes_text(found: Routes) -> Iterator[str]:
    for line in found.routes:
        paid = ", paid" if line.is_paid else ""
        yield f"{line.id}: {'works' if line.ok else 'does not work'}{paid}; {line.summary}"
        if line.hint:
            yield f"  {line.hint}"
        for name, words in (("does", line.operations), ("models", line.models), ("languages", line.languages or ())):
            if words:
                yield f"  {name}: {' '.join(words)}"
        if line.voices:
            yield "  voices: " + ", ".join(f"{voice} ({language})" for voice, language in line.voices.items())
    for group, members in found.groups.items():
        yield f"{group} stands for {', '.join(members)}"
    yield f"used where nothing is said: {', '.join(found.default)}"
