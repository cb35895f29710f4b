"""The report: what a run did, for a person on one screen, for a program as JSON, and for cron as an exit code.

Only what happened in this run raises the exit code: a job held or blocked since an earlier run is listed by `status`,
not announced every five minutes. Each problem comes with the next command to type. Names are shown through the
renderer for untrusted text; a report never holds the content of a job.
"""

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

import msgspec
from msgspec import Struct

from pipeline.core import pricing
from pipeline.core.confine import display, display_path
from pipeline.core.errors import MediaspoolError
from pipeline.core.model import Outcome, Verdict

SCHEMA = 1

EXIT_CODES: dict[int, str] = {
    0: "all done, unchanged or validly empty",
    1: "internal error: a bug in mediaspool",
    2: "wrong command line",
    3: "finished, but some jobs failed, were refused, are blocked, suspect or held, or a server was not reached",
    4: "work left: stopped by a cap, or a provider still works on it",
    65: "the manifest is invalid and nothing ran",
    66: "the manifest is missing and nothing ran",
    73: "an output cannot be created",
    74: "input/output error: disk full, ledger or file system broken",
    75: "another run holds the lock of this spool",
    77: "a key is missing or was refused, or its account takes nothing more",
    78: "the configuration is wrong",
    129: "drained after SIGHUP: its terminal was closed",
    130: "drained after SIGINT",
    143: "drained after SIGTERM",
}
PRECEDENCE = (1, 74, 73, 78, 77, 75, 4, 3, 65, 66)

_BY_CODE: Mapping[str, int] = {
    "internal": 1,
    "io-error": 74,
    "disk-full": 74,
    "ledger-broken": 74,
    "pace-broken": 74,
    "output-unwritable": 73,
    "ledger-newer": 78,
    "spool-not-yours": 78,
    "route-closed": 77,
    "unreachable": 3,
    "busy": 75,
    "budget-spend": 4,
    "budget-audio": 4,
    "budget-images": 4,
    "budget-requests": 4,
    "rate-limited": 4,
    "budget-runtime": 4,
    "manifest-invalid": 65,
    "manifest-too-large": 65,
    "manifest-missing": 66,
}
_LEFT_FOR = _BY_CODE.keys() | {
    "limit-time"
}  # which is no code of the program: of a job that failed it is the job's own
_SIGNAL_BASE = 128
_PROBLEMS: tuple[Verdict, ...] = ("failed", "held", "suspect", "refused", "blocked")
_ORDER: tuple[Verdict, ...] = (*_PROBLEMS, "not-started", "done", "empty", "unchanged")
# A file that is still being written is taken by the next run; that is no work left undone.
_WAITING = "input-changing"

MAX_SHOWN_PROBLEMS = 6
MAX_SHOWN_NOTES = 5
MAX_SHOWN_WARNINGS = 4
MAX_REASON_CHARS = 160
MAX_WHY_CHARS = 300  # reason and hint together: the hint comes last, and is what a person needs


class Typed(Struct, frozen=True):
    """What was typed for spool and settings, None where nothing was: the next command is about the same."""

    spool: str | None = None
    config: str | None = None


NOTHING_TYPED = Typed()


class RunReport(Struct, frozen=True, kw_only=True):
    """One run of one manifest or spool. `spend` None means that a price is unknown, never that it is zero.

    Then `unpriced_calls` have no known price, and `known_spend` is what the others cost.
    """

    schema: int = SCHEMA
    run: str
    manifest: str | None
    started_at: str
    finished_at: str
    counts: dict[str, int]
    outcomes: tuple[Outcome, ...]
    spend: Decimal | None
    known_spend: Decimal
    unpriced_calls: int
    audio_seconds: float
    stopped_by: str | None
    warnings: tuple[str, ...]
    exit_code: int


def make_report(
    *,
    run: str,
    manifest: str | None,
    started_at: str,
    finished_at: str,
    outcomes: Iterable[Outcome],
    stopped_by: str | None = None,
    warnings: Sequence[str] = (),
    errors: Sequence[MediaspoolError] = (),
    signal: int | None = None,
) -> RunReport:
    """Add up a run. `stopped_by` is the code of what ended it, `errors` are those of the run as a whole.

    What ended a run that had nothing left to do stopped nothing.
    """
    listed = tuple(outcomes)
    return RunReport(
        run=run,
        manifest=manifest,
        started_at=started_at,
        finished_at=finished_at,
        counts=_counts(listed),
        outcomes=listed,
        spend=pricing.total(outcome.usd for outcome in listed),
        known_spend=sum((_known_usd(outcome) for outcome in listed), Decimal(0)),
        unpriced_calls=sum(outcome.unpriced_calls for outcome in listed),
        audio_seconds=sum(outcome.audio_seconds for outcome in listed),
        stopped_by=stopped_by if any(map(_is_left, listed)) else None,
        warnings=(*warnings, *map(_told, errors)),
        exit_code=exit_code(outcomes=listed, errors=errors, signal=signal),
    )


def exit_code(
    *,
    outcomes: Sequence[Outcome],
    errors: Sequence[MediaspoolError] = (),
    signal: int | None = None,
) -> int:
    """The first code of the published precedence that applies; a signal always wins, in its usual form."""
    if signal is not None:
        return _SIGNAL_BASE + signal
    codes = {_of_outcome(outcome) for outcome in outcomes} | {_of_error(error) for error in errors}
    if codes & {65, 66} and any(outcome.verdict in ("done", "empty") or _is_problem(outcome) for outcome in outcomes):
        codes = codes - {65, 66} | {3}
    return next((code for code in PRECEDENCE if code in codes), 0)


def with_error(report: RunReport, error: MediaspoolError) -> RunReport:
    """The same run, and what went wrong once its verdicts stood."""
    codes = {report.exit_code, _of_error(error)}
    is_signal = report.exit_code > _SIGNAL_BASE
    worst = report.exit_code if is_signal else next(code for code in PRECEDENCE if code in codes)
    return msgspec.structs.replace(report, warnings=(*report.warnings, _told(error)), exit_code=worst)


def next_command(outcome: Outcome, *, manifest: str | None = None, typed: Typed = NOTHING_TYPED) -> str:
    """The command that takes a person one step further with this job; empty when there is nothing to do."""
    match outcome.verdict:
        case "done" | "unchanged" | "empty":
            return ""
        case "held":
            return _about(outcome, "resolve", typed)
        case "failed" | "suspect":
            return _by_problem(outcome, typed) or _about(outcome, "retry", typed)
        case "blocked":
            return command("status", typed)
        case "refused":
            return _by_problem(outcome, typed) or (
                _about(outcome, "retry", typed) if manifest is None else _again("plan", manifest, typed)
            )
        case "not-started":
            return _by_problem(outcome, typed) or _again("run", manifest, typed)


def has_news(report: RunReport) -> bool:
    """Is there anything to say? Cron sends a mail for every word, so a run without news says none."""
    told = (outcome.verdict in ("done", "empty") or _of_outcome(outcome) for outcome in report.outcomes)
    return bool(report.exit_code or report.warnings or report.stopped_by) or any(told)


def summary(report: RunReport, *, typed: Typed = NOTHING_TYPED) -> str:
    """One screen: counts, then the problems of this run with their next command, then the rest."""
    problems = [outcome for outcome in report.outcomes if _is_problem(outcome)]
    problems.sort(key=lambda outcome: _PROBLEMS.index(outcome.verdict))
    lines = [_headline(report)]
    for outcome in problems[:MAX_SHOWN_PROBLEMS]:
        lines += _problem_lines(outcome, report.manifest, typed)
    if len(problems) > MAX_SHOWN_PROBLEMS:
        lines.append(f"  and {len(problems) - MAX_SHOWN_PROBLEMS} more: {command('status', typed)}")
    lines += _notes(report)
    lines += _stops(report, typed)
    lines += (f"warning: {display(warning, MAX_REASON_CHARS)}" for warning in report.warnings[:MAX_SHOWN_WARNINGS])
    if len(report.warnings) > MAX_SHOWN_WARNINGS:
        lines.append(f"and {len(report.warnings) - MAX_SHOWN_WARNINGS} more warnings in the JSON report")
    if report.exit_code:
        lines.append(f"exit code {report.exit_code}: {EXIT_CODES.get(report.exit_code, 'stopped by a signal')}")
    return "\n".join(lines) + "\n"


def report_json(report: RunReport) -> bytes:
    """The whole report as one JSON object and a newline."""
    shown = msgspec.structs.replace(
        report,
        manifest=display_path(report.manifest) if report.manifest is not None else None,
        outcomes=tuple(showable(outcome) for outcome in report.outcomes),
        warnings=tuple(display(warning) for warning in report.warnings),
    )
    return msgspec.json.encode(shown) + b"\n"


_INSTALL = 'pip install "mediaspool[local]"'
_SPOOL_LESS = frozenset({"doctor", "routes"})
_VERBS: Mapping[str, str] = {
    "answer-damaged": "verify --repair",
    "engine-broken": "doctor",
    "internal": "doctor",
    "io-error": "doctor",
    "output-unwritable": "doctor",
    "disk-full": "clean",
    "language-unsupported": "routes",
    "model-unknown": "models",
    "operation-unsupported": "routes",
    "route-closed": "routes",
    "route-unknown": "routes",
    "voice-unknown": "routes",
}


def _by_problem(outcome: Outcome, typed: Typed) -> str:
    """Where the code says more than the verdict about what to do."""
    if outcome.code == "extra-missing":
        return _INSTALL
    if outcome.code == "reply-too-large":
        return f"{_about(outcome, 'retry', typed)}  # only once max_output_mb is raised: what is paid is paid again"
    verb = _VERBS.get(outcome.code or "")
    if verb is None:
        return ""
    return command(verb, Typed(config=typed.config) if verb in _SPOOL_LESS else typed)


def _told(error: MediaspoolError) -> str:
    return f"{error.code}: {error.message}" + (f"; {error.hint}" if error.hint else "")


def _counts(outcomes: Iterable[Outcome]) -> dict[str, int]:
    counted = Counter(outcome.verdict for outcome in outcomes)
    return {verdict: counted[verdict] for verdict in _ORDER if counted[verdict]}


def _is_problem(outcome: Outcome) -> bool:
    """A problem of this run: what was held or blocked before, and still is, was told when it happened."""
    if outcome.verdict in ("held", "blocked") and outcome.earlier == outcome.verdict:
        return False
    return outcome.verdict in _PROBLEMS


def _known_usd(outcome: Outcome) -> Decimal:
    return outcome.known_usd if outcome.usd is None else outcome.usd


def _is_left(outcome: Outcome) -> bool:
    return outcome.verdict == "not-started" and outcome.code != _WAITING


def _of_outcome(outcome: Outcome) -> int:
    if outcome.verdict == "not-started":
        return (_machine_code(outcome) or 4) if _is_left(outcome) else 0
    return (_machine_code(outcome) or 3) if _is_problem(outcome) else 0


def _machine_code(outcome: Outcome) -> int:
    """The code for a trouble that is larger than the job, 0 for the job's own."""
    code = _BY_CODE.get(outcome.code or "", 0)
    return 0 if code in (65, 66) else code


def _of_error(error: MediaspoolError) -> int:
    return _BY_CODE.get(error.code) or (78 if error.reach == "run" else 3)


def _headline(report: RunReport) -> str:
    counted = ", ".join(f"{count} {verdict}" for verdict, count in report.counts.items())
    counted = counted or ("nothing ran" if report.exit_code else "nothing to do")
    parts = [counted]
    if report.audio_seconds:
        parts.append(f"{report.audio_seconds / 60:.1f} min of audio")
    if report.spend is None:
        known = f"at least {report.known_spend} USD" if report.known_spend else "spend unknown"
        parts.append(f"{known}, {pricing.missing(report.unpriced_calls)}")
    elif report.spend:
        parts.append(f"{report.spend} USD")
    name = display(report.manifest, MAX_REASON_CHARS) if report.manifest is not None else "mediaspool"
    return f"{name}: {'; '.join(parts)}{_duration(report)}"


def _duration(report: RunReport) -> str:
    try:
        took = datetime.fromisoformat(report.finished_at) - datetime.fromisoformat(report.started_at)
    except (TypeError, ValueError):
        return ""
    return f"; {took.total_seconds():.1f} s" if took.total_seconds() >= 0 else ""


def _stops(report: RunReport, typed: Typed) -> list[str]:
    """What ended the run, and each cap, route or trouble of the machine for which jobs were not started."""
    others = [same[0] for same in left_jobs(report) if same[0].code != report.stopped_by]
    whole = f"stopped by {display(report.stopped_by or '')}; next: {_again('run', report.manifest, typed)}"
    told = [_stop_line(outcome, report.manifest, typed) for outcome in others]
    return [*([whole] if report.stopped_by else []), *told][:MAX_SHOWN_WARNINGS]


def left_jobs(report: RunReport) -> list[list[Outcome]]:
    """The jobs not started for a cap, a route, their time or a trouble of the machine, those of one reason together."""
    found: dict[str, list[Outcome]] = {}
    for outcome in report.outcomes:
        if _is_left(outcome) and outcome.code in _LEFT_FOR:
            found.setdefault(outcome.reason, []).append(outcome)
    return list(found.values())


def _stop_line(outcome: Outcome, manifest: str | None, typed: Typed) -> str:
    by = f" on {outcome.route}" if outcome.route is not None else ""
    why = f"{outcome.code}{by}: {'; '.join(filter(None, (outcome.reason, outcome.hint)))}"
    return f"stopped by {display(why, MAX_WHY_CHARS)}; next: {next_command(outcome, manifest=manifest, typed=typed)}"


def _problem_lines(outcome: Outcome, manifest: str | None, typed: Typed) -> Iterator[str]:
    code = f" [{outcome.code}]" if outcome.code else ""
    yield f"  {outcome.verdict:8} {display(outcome.job, MAX_REASON_CHARS)}{code}"
    why = "; ".join(part for part in (outcome.reason, outcome.hint) if part)
    if why:
        yield f"           {display(why, MAX_WHY_CHARS)}"
    yield f"           next: {next_command(outcome, manifest=manifest, typed=typed)}"


def _notes(report: RunReport) -> Iterator[str]:
    """What a person should know of jobs that are done, such as fewer pictures than were asked."""
    told = [outcome for outcome in report.outcomes if outcome.verdict == "done" and outcome.reason]
    for outcome in told[:MAX_SHOWN_NOTES]:
        yield f"  note     {display(outcome.job, MAX_REASON_CHARS)}: {display(outcome.reason, MAX_REASON_CHARS)}"
    if len(told) > MAX_SHOWN_NOTES:
        yield f"  and {len(told) - MAX_SHOWN_NOTES} more notes in the JSON report"


def _about(outcome: Outcome, verb: str, typed: Typed) -> str:
    """A command on one job; a job whose name cannot be typed is found through `status`."""
    if display_path(outcome.job) != outcome.job:
        return command("status", typed)
    return f"{command(verb, typed)} {'-- ' if outcome.job.startswith('-') else ''}{shlex.quote(outcome.job)}"


def _again(verb: str, manifest: str | None, typed: Typed) -> str:
    named = f" {shlex.quote(display_path(manifest))}" if manifest is not None else ""
    return command(verb, typed) + named


def command(verb: str, typed: Typed) -> str:
    """A command to type, about the spool and by the settings that were typed."""
    told = (("--spool", typed.spool), ("--config", typed.config))
    options = "".join(f" {name} {shlex.quote(display_path(path))}" for name, path in told if path is not None)
    return f"mediaspool {verb}{options}"


def showable(outcome: Outcome) -> Outcome:
    return msgspec.structs.replace(
        outcome,
        job=display_path(outcome.job),
        reason=display(outcome.reason),
        hint=display(outcome.hint),
        products=tuple(display_path(path) for path in outcome.products),
    )
