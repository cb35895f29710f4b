"""Calls without a verdict as people and programs see them: held ones, and those that a provider works on.

Shared by `status`, which shows them, and `resolve`, which decides them. Reads the ledger and changes nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal

from msgspec import Struct

from pipeline.core.confine import display, display_path
from pipeline.core.model import JobId, Outcome
from pipeline.report import command, next_command
from pipeline.seat import Seat
from pipeline.state.ledger import Ledger
from pipeline.state.ledger_rows import AttemptRow
from pipeline.state.spool import Spool

MAX_SHOWN = 20
MAX_ALSO = 5


class HeldCall(Struct, frozen=True, kw_only=True):
    """A call that may have been paid for. `job` is empty while only a killed run knew its name.

    With a `ticket` nobody needs to decide: the provider works on it, and the next run goes on. `also` are the other
    jobs that wait for the same result.
    """

    attempt: str
    job: str
    route: str
    model: str
    operation: str
    sent_at: str
    worst_usd: Decimal | None
    request_id: str | None
    next: str
    ticket: str | None = None
    also: tuple[str, ...] = ()


def and_others(jobs: Sequence[str]) -> str:
    """The first of them by name."""
    rest = len(jobs) - MAX_ALSO
    return ", ".join(jobs[:MAX_ALSO]) + (f" and {rest} more" if rest > 0 else "")


@contextmanager
def viewed(seat: Seat) -> Iterator[Ledger]:
    """The ledger to look at; an empty one where there is none yet."""
    ledger = Ledger.view(Spool(seat.root).ledger_path, clock=seat.world.clock)
    try:
        yield ledger
    finally:
        ledger.close()


def held_call(ledger: Ledger, row: AttemptRow, seat: Seat) -> HeldCall:
    known = ledger.job(row.place)
    job = known.job if known is not None else JobId("")
    outcome = Outcome(job=job or JobId(row.id), kind="", verdict="held")
    is_decided_by_hand = row.ticket is None or ledger.is_outdated(row.id)
    return HeldCall(
        attempt=row.id,
        job=display_path(job),
        route=row.route,
        model=row.model,
        operation=row.operation,
        sent_at=row.changed_at,
        worst_usd=row.worst_usd,
        request_id=None if row.request_id is None else display(row.request_id),
        next=next_command(outcome, typed=seat.typed) if is_decided_by_hand else command("run", seat.typed),
        ticket=None if row.ticket is None else display(row.ticket),
        also=tuple(display_path(name) for name in ledger.jobs_waiting(row.place) if name != job),
    )


def held_lines(calls: Sequence[HeldCall]) -> Iterator[str]:
    for call in calls[:MAX_SHOWN]:
        price = "an unknown price" if call.worst_usd is None else f"at most {call.worst_usd} USD"
        yield f"  {'held' if call.ticket is None else 'waiting':8} {call.job or call.attempt}"
        if call.also:
            yield f"           and {and_others(call.also)}, for the same answer"
        yield f"           {call.operation} by {call.route} {call.model}, sent {call.sent_at}, {price}"
        if call.ticket is None:
            where = " before the --" if call.job.startswith("-") else ""
            yield f"           next: {call.next}, with --pay-again or --drop{where}"
        else:
            yield f"           ticket {call.ticket}; next: {call.next}"
    if len(calls) > MAX_SHOWN:
        yield f"  and {len(calls) - MAX_SHOWN} more calls without a verdict"
