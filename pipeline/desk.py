"""What a person decides: `retry` and `resolve`.

A decision takes the lock of the spool, writes only what was asked for, and leaves the work itself to the next run.
Nothing here sends or makes anything.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from msgspec import Struct

from pipeline.answer import SCHEMA, Answer, counted, joined, refused
from pipeline.core.confine import display, display_path
from pipeline.core.errors import ConfigError
from pipeline.core.kinds import GAP_FACT
from pipeline.core.model import SETTLED, Verdict
from pipeline.held import MAX_SHOWN, HeldCall, and_others, held_call, held_lines, viewed
from pipeline.refusals import finished, jobs_told
from pipeline.report import command
from pipeline.runtime import new_run_id
from pipeline.seat import Seat
from pipeline.state.durable import may_read
from pipeline.state.ledger import Ledger
from pipeline.state.ledger_rows import AttemptRow, JobRow, Resolution
from pipeline.state.spool import Spool

USAGE = 2
MAX_ROWS = 200_000


class Retried(Struct, frozen=True, kw_only=True):
    """The object of `retry`: the jobs that will run again and the manifests that were put back for it."""

    schema: int = SCHEMA
    jobs: tuple[str, ...]
    manifests: tuple[str, ...]


class Resolved(Struct, frozen=True, kw_only=True):
    """The object of `resolve`; `decision` is None when the held calls were only listed."""

    schema: int = SCHEMA
    decision: str | None
    calls: tuple[HeldCall, ...]


def retry(seat: Seat, jobs: Sequence[str], verdicts: Sequence[Verdict]) -> Answer:
    """Forget the verdicts of the chosen jobs and the answers that led to them, so that the next run makes both anew.

    Of a result with a gap the answers stay: nothing but what is missing is asked for.
    """
    with _opened(seat) as (spool, ledger):
        rows = _chosen(ledger, jobs, verdicts)
        missing = [job for job in jobs if not any(_is_named(row, job) for row in rows)]
        if missing:
            error = ConfigError(
                f"no settled job has the id '{display(missing[0])}'", hint=command("status", seat.typed)
            )
            return refused([error], code=USAGE)
        with ledger.group():
            for row in rows:
                for call in row.receipt.calls if row.receipt and GAP_FACT not in row.receipt.facts else ():
                    ledger.forget_call(call.key)
                ledger.forget_job(row.place)
        back = list(_put_back(spool, rows))
    names = tuple(display_path(row.job) for row in rows)
    made = Retried(jobs=names, manifests=tuple(back))
    return Answer(text=joined(_retry_lines(made, seat)), record=made)


def resolve(seat: Seat, jobs: Sequence[str], decision: Resolution | None) -> Answer:
    """Decide held calls, or list them. A decision about several jobs must name them; it is made for all or for none."""
    if decision is None:
        with viewed(seat) as ledger:
            rows = _held(ledger, jobs) + ([] if jobs else ledger.submitted_attempts())
            calls = [held_call(ledger, row, seat) for row in rows]
        made = Resolved(decision=None, calls=tuple(calls))
        return Answer(text=joined(held_lines(calls)) or "no call is held\n", record=made)
    with _opened(seat) as (_, ledger):
        rows = _held(ledger, jobs)
        calls = [held_call(ledger, row, seat) for row in rows]
        unclear = _unclear(ledger, jobs, rows)
        if unclear:
            return refused([ConfigError(unclear, hint=command("resolve", seat.typed))], code=USAGE)
        with ledger.group():
            for row in rows:
                ledger.resolve_attempt(row.id, decision)
    made = Resolved(decision=decision, calls=tuple(calls))
    return Answer(text=joined(_resolve_lines(made, seat)), record=made)


@contextmanager
def _opened(seat: Seat) -> Iterator[tuple[Spool, Ledger]]:
    """Under the lock, like a run; and like after a run, the next tick has something to look at."""
    spool = Spool(seat.root)
    if not may_read(spool.ledger_path):
        raise ConfigError(f"there is no spool at '{display(spool.root)}' yet", hint="name it with --spool DIR")
    with spool.lock():
        ledger = Ledger.open(spool.ledger_path, run=new_run_id(), clock=seat.world.clock)
        try:
            yield spool, ledger
        finally:
            ledger.close()


def _chosen(ledger: Ledger, jobs: Sequence[str], verdicts: Sequence[Verdict]) -> list[JobRow]:
    if jobs:
        rows = ledger.jobs_with(SETTLED, limit=MAX_ROWS)
        return [row for row in rows if any(_is_named(row, job) for job in jobs)]
    return ledger.jobs_with(verdicts or ("failed",), limit=MAX_ROWS)


def _is_named(row: JobRow, job: str) -> bool:
    """By its id, or by what of its id can be shown."""
    return job in (row.job, display_path(row.job))


def _held(ledger: Ledger, jobs: Sequence[str]) -> list[AttemptRow]:
    """What can be decided. A ticket is given up only by name."""
    rows = ledger.held_attempts()
    if not jobs:
        return rows
    return [row for row in (*rows, *ledger.submitted_attempts()) if not _labels(ledger, row).isdisjoint(jobs)]


def _unclear(ledger: Ledger, jobs: Sequence[str], rows: Sequence[AttemptRow]) -> str:
    """Why it cannot be told which calls are meant."""
    labels = [_labels(ledger, row) for row in rows]
    missing = [job for job in jobs if not any(job in each for each in labels)]
    if missing:
        return f"no call of '{display(missing[0])}' is held"
    if not rows:
        return "no call is held"
    return (
        "several jobs are held: name those that are meant" if not jobs and len({row.place for row in rows}) > 1 else ""
    )


def _labels(ledger: Ledger, row: AttemptRow) -> frozenset[str]:
    """All that a person may call it: its own id, those of the jobs that wait for it, and what of those can be shown."""
    names = ledger.jobs_waiting(row.place)
    return frozenset((row.id, *names, *map(display_path, names)))


def _put_back(spool: Spool, rows: Sequence[JobRow]) -> Iterator[str]:
    """For each of the jobs the newest finished manifest that asked for it is taken up by the next run. Their names."""
    wanted = {(display_path(row.manifest), display_path(row.job)) for row in rows}
    taken: set[str] = set()
    for path, manifest in sorted(finished(spool, ("failed", "done")), key=_age) if wanted else ():
        found = {(manifest, job) for job in jobs_told(path)} & wanted
        name = _dropped_name(path, manifest)
        if found and spool.requeue(path, name, is_one_of_many=name in taken):
            taken.add(name)
            wanted -= found
            yield manifest


def _age(found: tuple[str, str]) -> int:
    """The newest first, by when it was written: a move changes nothing of that."""
    return -os.stat(found[0]).st_mtime_ns


def _dropped_name(path: str, manifest: str) -> str:
    """The name it was dropped under: a number that only kept two of that name apart is taken off again."""
    stem, extension = os.path.splitext(os.path.basename(path))
    is_numbered = stem.startswith(f"{manifest}.") and stem.removeprefix(f"{manifest}.").isdigit()
    return (manifest if is_numbered else stem) + extension


def _retry_lines(made: Retried, seat: Seat) -> Iterator[str]:
    if not made.jobs:
        yield "nothing to retry"
        return
    yield f"{counted(len(made.jobs), 'job')} will run again"
    yield from (f"  {job}" for job in made.jobs[:MAX_SHOWN])
    if len(made.jobs) > MAX_SHOWN:
        yield f"  and {len(made.jobs) - MAX_SHOWN} more"
    if made.manifests:
        yield f"taken up again: {', '.join(made.manifests)}"
    where = "" if made.manifests else ", or with the manifest that the jobs are in"
    yield f"next: {command('run', seat.typed)}{where}"


def _resolve_lines(made: Resolved, seat: Seat) -> Iterator[str]:
    done = {"pay-again": "will be sent once more by the next run", "drop": "dropped; whatever waited for it has failed"}
    for call in made.calls:
        jobs = f"{call.job} and {and_others(call.also)}" if call.also else call.job or call.attempt
        yield f"{jobs}: {call.operation} by {call.route} {done[made.decision or 'drop']}"
    if made.decision == "pay-again":
        yield f"next: {command('run', seat.typed)}"
