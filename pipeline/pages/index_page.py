"""The index over the pages of a spool: how the last weeks went, what they cost, and a row for each run.

Made anew from what lies in `reports/` after each run that wrote a page and after each cleaning, so a page that is gone
is in no row. Of each page only its head is read, where the figures of its run stand.
"""

import html
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import msgspec
from msgspec import Struct

from pipeline.core.confine import display_path
from pipeline.core.decoding import from_json
from pipeline.pages.cards import ORDER
from pipeline.pages.frame import counted, document, footer, link, moment, skip_link, spent
from pipeline.pages.job import badge
from pipeline.pages.markup import Address, Markup, element, file_address, joined
from pipeline.pages.plots import Bar, Part, plot
from pipeline.pages.run_page import ABOUT, NEEDS_A_PERSON, RunFigures
from pipeline.state.drops import PAGE_SUFFIX
from pipeline.state.ledger import Ledger
from pipeline.state.spent import SpendRow
from pipeline.state.spool import Spool

MAX_RUNS = 200
SHOWN_DAYS = 30
MAX_HEAD_BYTES = 8192
_FIGURES = re.compile(rf'<meta name="{ABOUT}" content="([^"]*)">')
_WELL = ("done", "empty")


class Row(Struct, frozen=True, kw_only=True):
    """A run whose page is there."""

    page: Address
    figures: RunFigures


def write_index(spool: Spool, ledger: Ledger) -> str:
    """The path of the index."""
    pages = spool.kept_reports(PAGE_SUFFIX)[-MAX_RUNS:]
    rows = [row for path in reversed(pages) if (row := _row(path, spool)) is not None]
    days = _days(rows)
    return spool.write_index(index_page(spool.root, rows, ledger.spend(days[0]) if days else ()))


def index_page(spool: str, rows: Sequence[Row], spend: Sequence[SpendRow]) -> bytes:
    """`rows` with the newest first."""
    days = _days(rows)
    body = joined(
        (
            skip_link("runs", "Skip to the runs"),
            element(
                "header",
                element("h1", "mediaspool"),
                element("p", "Runs of the spool ", element("code", display_path(spool)), class_="lead"),
                class_="top",
            ),
            element("main", _jobs(rows, days), _spend(spend, days), _runs(rows)),
            footer(element("p", "Days and times are UTC.")),
        )
    )
    return document("mediaspool", body, has_script=False)


def _row(path: str, spool: Spool) -> Row | None:
    """None where the head does not say whose page it is."""
    try:
        with open(path, "rb") as file:
            head = file.read(MAX_HEAD_BYTES).decode("utf-8", "replace")
        found = _FIGURES.search(head)
        figures = from_json(html.unescape(found[1]), RunFigures) if found else None
    except (OSError, msgspec.DecodeError):
        return None
    return Row(page=file_address(path, spool.reports), figures=figures) if figures is not None else None


def _days(rows: Sequence[Row]) -> list[str]:
    """As many days, without a gap, up to that of the newest run."""
    days = [day for row in rows if (day := _day(row.figures.started_at)) is not None]
    first = max(days) - timedelta(days=SHOWN_DAYS - 1) if days else None
    return [(first + timedelta(days=number)).isoformat() for number in range(SHOWN_DAYS)] if first else []


def _day(iso: str) -> date | None:
    try:
        return datetime.fromisoformat(iso).astimezone(UTC).date()
    except (ValueError, OverflowError):
        return None


def _jobs(rows: Sequence[Row], days: Sequence[str]) -> Markup | None:
    well: dict[str, int] = defaultdict(int)
    look: dict[str, int] = defaultdict(int)
    for row in rows:
        day = str(_day(row.figures.started_at))
        well[day] += _sum(row.figures.counts, _WELL)
        look[day] += _sum(row.figures.counts, NEEDS_A_PERSON)
    bars = [Bar(day=day, parts=(float(well[day]), float(look[day]))) for day in days]
    parts = (Part(name="well", look="well"), Part(name="needed a person", look="look"))
    return plot("Jobs by day", "jobs-by-day", bars, parts, lambda value: f"{value:,.10g}") if bars else None


def _spend(spend: Sequence[SpendRow], days: Sequence[str]) -> Markup | None:
    """From the ledger, which knows also what was told later. Nothing where no call ever cost anything."""
    total: dict[str, Decimal] = defaultdict(Decimal)
    for line in spend:
        total[line.day] += line.usd
    bars = [Bar(day=day, parts=(float(total[day]),)) for day in days]
    if not any(sum(bar.parts) for bar in bars):
        return None
    return plot("Spend by day", "spend-by-day", bars, (Part(name="spent", look="spent"),), lambda v: f"{v:.4g} USD")


def _sum(counts: Mapping[str, int], verdicts: Sequence[str]) -> int:
    return sum(counts.get(verdict, 0) for verdict in verdicts)


def _runs(rows: Sequence[Row]) -> Markup:
    names = ("Began", "Manifest", "Outcomes", "Spend", "Exit code")
    head = element("tr", *(element("th", name, scope="col") for name in names))
    table = element("table", element("thead", head), element("tbody", *map(_run, rows)))
    return element(
        "section",
        element("h2", "Runs with news", id="runs-title"),
        element("div", table, class_="wide", tabindex="0", role="region", aria_labelledby="runs-title")
        if rows
        else element("p", "There is no page yet."),
        element("p", f"The last {counted(len(rows), 'page')}.") if rows else None,
        id="runs",
        tabindex="-1",
        aria_labelledby="runs-title",
    )


def _run(row: Row) -> Markup:
    figures = row.figures
    counts = [
        joined((element("span", f"{figures.counts[verdict]:,} ", badge(verdict)), " "))
        for verdict in ORDER
        if figures.counts.get(verdict)
    ]
    return element(
        "tr",
        element("td", moment(figures.started_at), class_="whole"),
        element("td", link(figures.manifest, row.page)),
        element("td", *counts),
        element("td", spent(figures.usd, figures.known_usd, figures.unpriced_calls), class_="whole"),
        element("td", str(figures.exit_code)),
    )
