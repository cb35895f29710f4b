"""The page of one manifest of one run: what needs a person first, then every job with what it read, made and cost.

Readable without its script, which only filters the jobs and moves the players. Works by keyboard, in light and dark, on
a phone; nothing is told by colour alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

import msgspec
from msgspec import Struct

from pipeline.core.confine import display, display_path
from pipeline.core.model import Verdict
from pipeline.pages.cards import MAX_CARDS, ORDER, Card, seconds_between
from pipeline.pages.frame import counted, document, duration, figures, footer, link, moment, skip_link, spent
from pipeline.pages.job import badge, job_article
from pipeline.pages.markup import Address, Markup, element, here, joined
from pipeline.pages.thumbnails import Thumbnail
from pipeline.report import EXIT_CODES, RunReport

ABOUT = "mediaspool-run"
NEEDS_A_PERSON: tuple[Verdict, ...] = ("held", "failed", "suspect", "refused", "blocked")
MAX_FIRST = 100
MAX_OPEN = 12
MAX_WARNINGS = 20
INDEX = Address("../reports/index.html")  # from `reports/`, `done/`, `failed/` and `claimed/` alike


class RunFigures(Struct, frozen=True, kw_only=True):
    """What the index wants to know of a run; stands in the head of its page. Names are as they may be shown."""

    run: str
    manifest: str
    started_at: str
    finished_at: str
    counts: dict[str, int]
    usd: Decimal | None
    known_usd: Decimal = Decimal(0)
    unpriced_calls: int = 0
    audio_seconds: float
    exit_code: int


def run_page(report: RunReport, cards: Sequence[Card], thumbs: Mapping[str, Thumbnail]) -> bytes:
    name = display(report.manifest or "mediaspool")
    body = joined(
        (
            skip_link("jobs", "Skip to the jobs"),
            _header(name, report),
            element("main", _first(cards), _notices(report), _jobs(report, cards, thumbs)),
            footer(element("p", "Run ", element("code", report.run))),
        )
    )
    about = element("meta", name=ABOUT, content=msgspec.json.encode(figures_of(report)).decode())
    return document(f"{name} – mediaspool", body, has_script=True, about=about)


def figures_of(report: RunReport) -> RunFigures:
    return RunFigures(
        run=report.run,
        manifest=display(report.manifest or "mediaspool"),
        started_at=report.started_at,
        finished_at=report.finished_at,
        counts=report.counts,
        usd=report.spend,
        known_usd=report.known_spend,
        unpriced_calls=report.unpriced_calls,
        audio_seconds=report.audio_seconds,
        exit_code=report.exit_code,
    )


def _header(name: str, report: RunReport) -> Markup:
    took = seconds_between(report.started_at, report.finished_at)
    meaning = EXIT_CODES.get(report.exit_code, "stopped by a signal")
    return element(
        "header",
        element("nav", link("All runs", INDEX), aria_label="Pages"),
        element("h1", name),
        element("p", _sentence(report), class_="lead"),
        element("ul", *_tally(report.counts), class_="tally", aria_label="Outcomes"),
        figures(
            ("Began", moment(report.started_at)),
            ("Took", duration(took) if took is not None else None),
            ("Spend", spent(report.spend, report.known_spend, report.unpriced_calls)),
            ("Audio", duration(report.audio_seconds) if report.audio_seconds else None),
            ("Exit code", f"{report.exit_code} – {meaning}"),
        ),
        class_="top",
    )


def _sentence(report: RunReport) -> str:
    total = sum(report.counts.values())
    looks = sum(report.counts.get(verdict, 0) for verdict in NEEDS_A_PERSON)
    left = report.counts.get("not-started", 0)
    if looks:
        return f"{looks:,} of {counted(total, 'job')} {'needs' if looks == 1 else 'need'} a person."
    if left:
        return f"{counted(left, 'job')} left for the next run; nothing needs a person."
    return f"All is well: {counted(total, 'job')}, nothing needs a person." if total else "Nothing ran."


def _tally(counts: Mapping[str, int]) -> Iterator[Markup]:
    for verdict in ORDER:
        if counts.get(verdict):
            yield element("li", element("strong", f"{counts[verdict]:,}"), " ", badge(verdict))


def _first(cards: Sequence[Card]) -> Markup | None:
    """What needs a person, with the command that takes it one step further."""
    numbered = [(number, card) for number, card in enumerate(cards) if card.outcome.verdict in NEEDS_A_PERSON]
    if not numbered:
        return None
    rest = len(numbered) - MAX_FIRST
    return element(
        "section",
        element("h2", "Needs a person first", id="first"),
        element("ol", *(_errand(number, card) for number, card in numbered[:MAX_FIRST]), class_="errands"),
        element("p", f"And {rest:,} more, first among the jobs below.") if rest > 0 else None,
        aria_labelledby="first",
    )


def _errand(number: int, card: Card) -> Markup:
    outcome = card.outcome
    why = "; ".join(filter(None, (display(outcome.reason), display(outcome.hint))))
    return element(
        "li",
        element("p", badge(outcome.verdict), " ", link(display_path(outcome.job), here(f"j{number}"), class_="name")),
        element("p", why, class_="why") if why else None,
        element("p", "Next: ", element("code", card.next, class_="type")) if card.next else None,
    )


def _notices(report: RunReport) -> Markup | None:
    """What is larger than a job: what stopped the run, and warnings."""
    stops = [f"The run was stopped by {display(report.stopped_by)}."] if report.stopped_by else []
    told = [*stops, *(display(warning) for warning in report.warnings[:MAX_WARNINGS])]
    rest = len(report.warnings) - MAX_WARNINGS
    if not told:
        return None
    return element(
        "section",
        element("h2", "Of the run as a whole", id="whole"),
        element("ul", *(element("li", line) for line in told), class_="notices"),
        element("p", f"And {rest:,} more in the JSON report.") if rest > 0 else None,
        aria_labelledby="whole",
    )


def _jobs(report: RunReport, cards: Sequence[Card], thumbs: Mapping[str, Thumbnail]) -> Markup:
    is_open = sum(bool(card.cues or card.text) for card in cards) <= MAX_OPEN
    rest = len(report.outcomes) - len(cards)
    verdicts = [verdict for verdict in ORDER if any(card.outcome.verdict == verdict for card in cards)]
    return element(
        "section",
        element("h2", "Jobs", id="jobs-title"),
        _tools(verdicts, len(cards)),
        *(job_article(f"j{number}", card, thumbs, is_open=is_open) for number, card in enumerate(cards)),
        element("p", f"And {rest:,} more in the JSON report; a page shows {MAX_CARDS:,}.") if rest > 0 else None,
        id="jobs",
        aria_labelledby="jobs-title",
        tabindex="-1",
    )


def _tools(verdicts: Sequence[Verdict], count: int) -> Markup:
    """The filter. Hidden until the script that makes it work has begun."""
    boxes = (
        element("label", element("input", type="checkbox", name="verdict", value=verdict, checked=True), badge(verdict))
        for verdict in verdicts
    )
    return element(
        "form",
        element("label", "Find in names and texts", element("input", type="search", name="words", autocomplete="off")),
        element("fieldset", element("legend", "Outcomes"), *boxes, hidden=len(verdicts) < 2),
        element("p", counted(count, "job"), role="status", class_="shown"),
        class_="tools",
        role="search",
        hidden=True,
    )
