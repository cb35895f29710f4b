"""`spend`: what this spool has spent, by route, kind, manifest or day, and how far the caps of day and month are used.

Reads the ledger and the pace beside a running run. Changes nothing, asks nobody.
"""

from collections.abc import Iterator
from decimal import Decimal

import msgspec
from msgspec import Struct

from pipeline.answer import SCHEMA, Answer, counted, joined
from pipeline.core.budget import CapUse
from pipeline.core.confine import display_path
from pipeline.core.pricing import at_most
from pipeline.held import viewed
from pipeline.pacing import cap_uses, look_at_pace, used_line
from pipeline.seat import Seat
from pipeline.state.spent import SpendLine, View, spend_line, spend_lines

NOT_NOTED = "not noted"
MAX_SHOWN = 40


class Spend(Struct, frozen=True, kw_only=True):
    """The object of `spend`. Days are those of UTC."""

    schema: int = SCHEMA
    spool: str
    by: View
    lines: tuple[SpendLine, ...]
    total: SpendLine
    caps: tuple[CapUse, ...]


def spend(seat: Seat, view: View) -> Answer:
    with viewed(seat) as ledger:
        parts = ledger.spent()
    found = Spend(
        spool=display_path(seat.root),
        by=view,
        lines=tuple(_shown(line) for line in spend_lines(parts, view)),
        total=spend_line("total", parts),
        caps=cap_uses(seat.settings.caps, look_at_pace(seat.world.environ, seat.world.look)),
    )
    return Answer(text=joined(_text(found)), record=found)


def _shown(line: SpendLine) -> SpendLine:
    return msgspec.structs.replace(line, name=display_path(line.name) or NOT_NOTED)


def _text(found: Spend) -> Iterator[str]:
    if not found.lines:
        yield f"nothing was spent in {found.spool}"
    else:
        yield f"spent in {found.spool}, by {found.by}"
        shown = found.lines[-MAX_SHOWN:] if found.by == "day" else found.lines[:MAX_SHOWN]
        yield from (f"  {told(line)}" for line in shown)
        if len(shown) < len(found.lines):
            yield f"  and {len(found.lines) - len(shown)} more: --json lists all"
        yield told(found.total)
    yield from map(used_line, found.caps)


def told(line: SpendLine) -> str:
    """Known, unknown and doubtful money are never one figure."""
    parts = [f"{line.name}: {_usd(line.usd)} USD for {counted(line.calls, 'call')}"]
    if line.unknown:
        parts.append(f"{line.unknown} of them without a known price")
    if line.doubtful:
        worst = at_most(line.doubtful_usd, line.doubtful_unknown)
        parts.append(f"and {counted(line.doubtful, 'call')} without a verdict, perhaps paid: {worst}")
    return ", ".join(parts)


def _usd(amount: Decimal) -> str:
    return f"{amount.normalize():f}"
