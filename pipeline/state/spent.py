"""What was spent, as the ledger tells it: exact sums of money over any of four views.

Unknown is never zero: calls without a price are counted beside the sum. A call without a verdict counts apart, with its
worst case, also once a person has resolved it: it may have been paid for.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Literal, get_args

from msgspec import Struct

from pipeline.state.ledger_rows import from_blob, money

View = Literal["route", "kind", "manifest", "day"]
VIEWS: tuple[View, ...] = get_args(View)


class Spent(Struct, frozen=True, kw_only=True):
    """Equal amounts of one UTC day, route, kind and manifest, counted; empty where an older version noted none."""

    day: str
    route: str
    kind: str
    manifest: str
    is_doubtful: bool
    usd: Decimal | None
    count: int


class SpendRow(Struct, frozen=True, kw_only=True):
    """The money of one route on one UTC day.

    `doubtful_usd` is the worst case of calls without a verdict, but for `doubtful_unknown` whose nobody knows.
    """

    day: str
    route: str
    calls: int
    usd: Decimal
    unknown: int
    doubtful: int
    doubtful_usd: Decimal
    doubtful_unknown: int = 0


class SpendLine(Struct, frozen=True, kw_only=True):
    """The money of one day, route, kind or manifest.

    `usd` is known to be spent by `calls`, of which `unknown` have no price yet; `doubtful` calls have no verdict and
    cost at most `doubtful_usd`, but for `doubtful_unknown` of them whose worst case nobody knows.
    """

    name: str
    calls: int
    usd: Decimal
    unknown: int
    doubtful: int
    doubtful_usd: Decimal
    doubtful_unknown: int


def spent_row(
    day: str, route: str, kind: str | None, manifest: bytes | None, is_doubtful: int, amount: str | None, count: int
) -> Spent:
    return Spent(
        day=day,
        route=route,
        kind=kind or "",
        manifest="" if manifest is None else from_blob(manifest),
        is_doubtful=bool(is_doubtful),
        usd=money(amount),
        count=count,
    )


def spend_rows(parts: Iterable[Spent]) -> list[SpendRow]:
    """By day and route, oldest first."""
    grouped = _grouped(parts, lambda part: (part.day, part.route))
    return [_spend_row(day, route, spend_line("", rows)) for (day, route), rows in sorted(grouped.items())]


def spend_lines(parts: Iterable[Spent], view: View) -> list[SpendLine]:
    """One line a name: days in their order, everything else with the dearest first."""
    grouped = _grouped(parts, lambda part: (str(getattr(part, view)),))
    lines = sorted((spend_line(name, rows) for (name,), rows in grouped.items()), key=lambda line: line.name)
    return lines if view == "day" else sorted(lines, key=lambda line: line.usd + line.doubtful_usd, reverse=True)


def spend_line(name: str, parts: Iterable[Spent]) -> SpendLine:
    """Exact sums: SQLite would add money as floating point."""
    rows = list(parts)
    sure, doubts = [row for row in rows if not row.is_doubtful], [row for row in rows if row.is_doubtful]
    return SpendLine(
        name=name,
        calls=sum(row.count for row in sure),
        usd=_total(sure),
        unknown=sum(row.count for row in sure if row.usd is None),
        doubtful=sum(row.count for row in doubts),
        doubtful_usd=_total(doubts),
        doubtful_unknown=sum(row.count for row in doubts if row.usd is None),
    )


def _total(rows: Iterable[Spent]) -> Decimal:
    return sum(((row.usd or Decimal(0)) * row.count for row in rows), Decimal(0))


def _spend_row(day: str, route: str, line: SpendLine) -> SpendRow:
    return SpendRow(
        day=day,
        route=route,
        calls=line.calls,
        usd=line.usd,
        unknown=line.unknown,
        doubtful=line.doubtful,
        doubtful_usd=line.doubtful_usd,
        doubtful_unknown=line.doubtful_unknown,
    )


def _grouped(parts: Iterable[Spent], name: Callable[[Spent], tuple[str, ...]]) -> dict[tuple[str, ...], list[Spent]]:
    groups: dict[tuple[str, ...], list[Spent]] = {}
    for part in parts:
        groups.setdefault(name(part), []).append(part)
    return groups
