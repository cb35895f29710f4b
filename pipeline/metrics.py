"""The file of figures: what a run did and how everything stands, in the text format that Prometheus collects.

Written whole after each run, beside its final name. A figure that is not known is left out, never told as zero.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime

from msgspec import Struct

from pipeline.core.confine import display, display_path
from pipeline.core.errors import MediaspoolError
from pipeline.core.model import Verdict
from pipeline.core.notices import GOES_ON
from pipeline.report import RunReport
from pipeline.state.durable import border
from pipeline.state.ledger import Ledger
from pipeline.state.pulse import BEATS, replace_whole

VERDICTS: tuple[Verdict, ...] = (
    "done", "unchanged", "empty", "suspect", "refused", "failed", "held", "blocked", "not-started"
)  # fmt: skip
SETTLED: tuple[Verdict, ...] = ("done", "empty", "suspect", "refused", "failed")
LAST_RUNS = 1000


class Figure(Struct, frozen=True, kw_only=True):
    """One series. `values` by the labels that tell its lines apart, as they are written."""

    name: str
    kind: str
    help: str
    values: Mapping[str, float]


def write_metrics(path: str, ledger: Ledger, report: RunReport, spool: str) -> MediaspoolError | None:
    """None, or why the file is still the old one: figures that are not told must not fail the run."""
    try:
        with border(path):
            replace_whole(path, exposition(figures(ledger, report), spool).encode())
    except MediaspoolError as error:
        return error
    return None


def exposition(found: Iterator[Figure], spool: str) -> str:
    """Each series with its help and type, each line with the spool it speaks of."""
    mine = f'spool="{_label(display_path(spool))}"'
    lines: list[str] = []
    for figure in found:
        lines += [f"# HELP {figure.name} {figure.help}", f"# TYPE {figure.name} {figure.kind}"]
        for label, value in figure.values.items():
            lines.append(f"{figure.name}{{{','.join(filter(None, (mine, label)))}}} {value:.12g}")
    return "\n".join(lines) + "\n"


def figures(ledger: Ledger, report: RunReport) -> Iterator[Figure]:
    runs = [run for run in ledger.last_runs(LAST_RUNS) if run.finished_at]
    successes = [run for run in runs if run.exit_code in GOES_ON]
    for name, text, ended in (
        (BEATS[0], "a run last ended", runs),
        (BEATS[1], "a run last ended with 0 or 4", successes),
    ):
        if ended:
            yield _gauge(name, f"When {text}, in seconds since 1970.", _seconds(ended[0].finished_at or ""))
    yield _gauge("mediaspool_last_run_exit_code", "How the last run ended.", report.exit_code)
    took = max(0.0, _seconds(report.finished_at) - _seconds(report.started_at))
    yield _gauge("mediaspool_last_run_duration_seconds", "How long the last run took.", took)
    yield _gauge("mediaspool_last_run_audio_seconds", "Audio that the last run worked on.", report.audio_seconds)
    if report.spend is not None:
        yield _gauge("mediaspool_last_run_spend_usd", "What the last run cost.", float(report.spend))
    yield Figure(
        name="mediaspool_last_run_jobs",
        kind="gauge",
        help="Jobs of the last run by verdict.",
        values={f'verdict="{verdict}"': report.counts.get(verdict, 0) for verdict in VERDICTS},
    )
    yield from _standing(ledger)


def _standing(ledger: Ledger) -> Iterator[Figure]:
    counts, spend = ledger.counts(), ledger.spend()
    yield Figure(
        name="mediaspool_jobs",
        kind="gauge",
        help="Jobs that the ledger knows, by verdict.",
        values={f'verdict="{verdict}"': counts.get(verdict, 0) for verdict in SETTLED},
    )
    yield _gauge(
        "mediaspool_held_calls", "Calls that may have been paid for and wait for a person.", len(ledger.held_attempts())
    )
    yield _gauge("mediaspool_waiting_calls", "Calls that a provider works on.", len(ledger.submitted_attempts()))
    yield Figure(
        name="mediaspool_spend_usd_total",
        kind="counter",
        help="What was paid, as far as the prices are known.",
        values={"": float(sum(row.usd for row in spend))},
    )
    yield _gauge("mediaspool_unpriced_calls", "Paid calls whose price is not known.", sum(row.unknown for row in spend))


def _gauge(name: str, text: str, value: float) -> Figure:
    return Figure(name=name, kind="gauge", help=text, values={"": value})


def _seconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()


def _label(text: str) -> str:
    return display(text).replace("\\", "\\\\").replace('"', '\\"')
