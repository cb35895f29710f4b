"""`status`: how everything stands, and for each problem the next command to type.

Reads the ledger and the folders beside a running run, before the first one, and on a read-only disk. Changes nothing.
"""

import os
from collections.abc import Iterator, Sequence
from decimal import Decimal

import msgspec
from msgspec import Struct

from pipeline.answer import SCHEMA, Answer, counted, joined
from pipeline.core.budget import CapUse
from pipeline.core.confine import display, display_path
from pipeline.core.decoding import from_json
from pipeline.core.model import Outcome, Verdict
from pipeline.core.pricing import at_most
from pipeline.held import MAX_SHOWN, HeldCall, held_call, held_lines, viewed
from pipeline.pacing import cap_uses, look_at_pace, used_line
from pipeline.report import EXIT_CODES, RunReport, command, left_jobs, next_command
from pipeline.seat import Seat
from pipeline.state.drops import is_manifest_name
from pipeline.state.durable import read_at_most
from pipeline.state.ledger_rows import JobRow
from pipeline.state.spent import SpendRow
from pipeline.state.spool import Spool

LAST_RUNS = 5
MAX_LOCKS_BYTES = 16_000_000
MAX_REPORT_BYTES = 256_000_000
PROBLEMS: tuple[Verdict, ...] = ("failed", "suspect", "refused")
_WAITING = ("incoming", "standing", "claimed", "failed")


class JobLine(Struct, frozen=True, kw_only=True):
    """A job that needs a look, and the command that takes it one step further."""

    id: str
    manifest: str
    verdict: str
    code: str | None
    reason: str
    settled_at: str
    next: str


class LeftLine(Struct, frozen=True, kw_only=True):
    """Jobs of one manifest that the last run did not start, for one reason, and what takes them one step further."""

    manifest: str
    jobs: int
    code: str
    reason: str
    next: str


class RunLine(Struct, frozen=True, kw_only=True):
    id: str
    started_at: str
    finished_at: str | None
    exit_code: int | None


class Status(Struct, frozen=True, kw_only=True):
    """The object of `status`. `open_attempts` without a run at work were cut off; the next run sees to them.

    `waiting` are calls that a provider works on; `passed_over` looks like a manifest to a person, and to no run.
    """

    schema: int = SCHEMA
    spool: str
    running: int | None
    counts: dict[str, int]
    manifests: dict[str, int]
    passed_over: tuple[str, ...]
    problems: tuple[JobLine, ...]
    left: tuple[LeftLine, ...]
    held: tuple[HeldCall, ...]
    waiting: tuple[HeldCall, ...]
    open_attempts: int
    spend: tuple[SpendRow, ...]
    caps: tuple[CapUse, ...]
    runs: tuple[RunLine, ...]


def status(seat: Seat) -> Answer:
    """How everything stands. Works beside a running run, before the first one, and on a read-only disk."""
    spool = Spool(seat.root)
    with viewed(seat) as ledger:
        last_runs = ledger.last_runs(LAST_RUNS)
        found = Status(
            spool=display_path(spool.root),
            running=_running(os.path.join(spool.root, "lock")),
            counts=dict(ledger.counts()),
            manifests={name: _count_manifests(os.path.join(spool.root, name)) for name in _WAITING},
            passed_over=tuple(spool.passed_over()),
            problems=tuple(_job_line(row, seat) for row in ledger.jobs_with(PROBLEMS)),
            left=tuple(_left(spool, last_runs[0].id, seat)) if last_runs else (),
            held=tuple(held_call(ledger, row, seat) for row in ledger.held_attempts()),
            waiting=tuple(held_call(ledger, row, seat) for row in ledger.submitted_attempts()),
            open_attempts=len(ledger.open_attempts()),
            spend=tuple(ledger.spend()),
            caps=cap_uses(seat.settings.caps, look_at_pace(seat.world.environ, seat.world.look)),
            runs=tuple(
                RunLine(id=run.id, started_at=run.started_at, finished_at=run.finished_at, exit_code=run.exit_code)
                for run in last_runs
            ),
        )
    return Answer(text=joined(_status_lines(found, seat)), record=found)


def _job_line(row: JobRow, seat: Seat) -> JobLine:
    outcome = Outcome(job=row.job, kind="", verdict=row.verdict, code=row.code, reason=row.reason)
    return JobLine(
        id=display_path(row.job),
        manifest=display_path(row.manifest),
        verdict=row.verdict,
        code=row.code,
        reason=display(row.reason),
        settled_at=row.settled_at,
        next=next_command(outcome, typed=seat.typed),
    )


def _left(spool: Spool, run: str, seat: Seat) -> Iterator[LeftLine]:
    """By the reports of that run, which are the newest; what was never started is in no ledger."""
    for path in reversed(spool.kept_reports() if os.path.isdir(spool.reports) else []):
        report = _read_report(path)
        if report is None or report.run != run:
            return
        for same in left_jobs(report):
            yield _left_line(same, report.manifest, seat)


def _left_line(same: Sequence[Outcome], manifest: str | None, seat: Seat) -> LeftLine:
    first = same[0]
    return LeftLine(
        manifest=manifest or "",
        jobs=len(same),
        code=first.code or "",
        reason="; ".join(filter(None, (first.reason, first.hint))),
        next=next_command(first, typed=seat.typed),
    )


def _read_report(path: str) -> RunReport | None:
    try:
        with open(path, "rb") as file:
            return from_json(read_at_most(file, MAX_REPORT_BYTES), RunReport)
    except (OSError, msgspec.DecodeError):
        return None


def _running(lock: str) -> int | None:
    """The process that holds the lock, as the kernel lists it: to try the lock could turn a starting run away."""
    try:
        inode = os.stat(lock).st_ino
        with open("/proc/locks", encoding="ascii") as file:
            rows = [line.split() for line in file.read(MAX_LOCKS_BYTES).splitlines()]
    except (OSError, ValueError):
        return None
    held = [row for row in rows if row[1:2] == ["FLOCK"] and row[5].rpartition(":")[2] == str(inode)]
    return int(held[0][4]) if held else None


def _count_manifests(folder: str) -> int:
    """What a run could take, or took, for a manifest; whatever else lies there waits for nobody."""
    try:
        with os.scandir(folder) as entries:
            return sum(is_manifest_name(entry.name) and not entry.is_dir(follow_symlinks=False) for entry in entries)
    except FileNotFoundError:
        return 0


def _status_lines(found: Status, seat: Seat) -> Iterator[str]:
    yield f"spool {found.spool}: {_doing(found)}"
    if not found.counts and not found.runs:
        yield "no job was settled here yet"
    else:
        yield "jobs: " + (", ".join(f"{count} {verdict}" for verdict, count in sorted(found.counts.items())) or "none")
    yield from _left_lines(found.left, seat)
    for job in found.problems[:MAX_SHOWN]:
        yield f"  {job.verdict:8} {job.id}" + (f" [{job.code}]" if job.code else "")
        if job.reason:
            yield f"           {job.reason}"
        yield f"           next: {job.next}"
    if len(found.problems) > MAX_SHOWN:
        yield f"  and {len(found.problems) - MAX_SHOWN} more: {command('status --json', seat.typed)}"
    yield from held_lines(found.held)
    yield from held_lines(found.waiting)
    if found.open_attempts and found.running is None:
        yield f"{counted(found.open_attempts, 'attempt')} cut off; next: {command('run', seat.typed)}"
    waiting = [f"{count} in {name}/" for name, count in found.manifests.items() if count]
    if waiting:
        yield "manifests: " + ", ".join(waiting)
    yield from found.passed_over[:MAX_SHOWN]
    if len(found.passed_over) > MAX_SHOWN:
        yield f"and {len(found.passed_over) - MAX_SHOWN} more that no run takes: {command('status --json', seat.typed)}"
    yield from _spend_lines(found.spend)
    yield from map(used_line, found.caps)


def _left_lines(left: Sequence[LeftLine], seat: Seat) -> Iterator[str]:
    for line in left[:MAX_SHOWN]:
        yield f"  {'left':8} {counted(line.jobs, 'job')} of {line.manifest} [{line.code}]"
        yield f"           {line.reason}"
        yield f"           next: {line.next}"
    if len(left) > MAX_SHOWN:
        yield f"  and {len(left) - MAX_SHOWN} more: {command('status --json', seat.typed)}"


def _doing(found: Status) -> str:
    if found.running is not None:
        return f"process {found.running} is at work"
    if not found.runs:
        return "no run yet"
    last = found.runs[0]
    meaning = f" ({EXIT_CODES[last.exit_code]})" if last.exit_code and last.exit_code in EXIT_CODES else ""
    ended = f"ended with {last.exit_code}{meaning}" if last.exit_code is not None else "was cut off"
    return f"the last run, of {last.started_at}, {ended}"


def _spend_lines(spend: Sequence[SpendRow]) -> Iterator[str]:
    """By route, over all days; the days are in the JSON."""
    for route in sorted({line.route for line in spend}):
        lines = [line for line in spend if line.route == route]
        doubtful = sum((line.doubtful_usd for line in lines), Decimal(0))
        text = f"spent on {route}: {sum((line.usd for line in lines), Decimal(0))} USD"
        text += f" for {counted(sum(line.calls for line in lines), 'call')}"
        unknown = sum(line.unknown for line in lines)
        text += f", {unknown} of them without a known price" if unknown else ""
        dark = sum(line.doubtful_unknown for line in lines)
        yield text + (f", and {at_most(doubtful, dark)} without a verdict" if doubtful or dark else "")
