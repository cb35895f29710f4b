"""The report: exit codes with their precedence, one screen, JSON, the next command, and the pages that explain them."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import (
    CODES,
    BudgetExhausted,
    ConfigError,
    LedgerError,
    ManifestError,
    MediaspoolError,
    RouteClosed,
    RunBusy,
    StoreError,
)
from pipeline.core.model import JobId, Outcome, Verdict
from pipeline.report import (
    EXIT_CODES,
    PRECEDENCE,
    RunReport,
    Typed,
    exit_code,
    has_news,
    make_report,
    next_command,
    report_json,
    summary,
)

DOCS = Path(__file__).parents[1] / "docs"
PROBLEMS: tuple[Verdict, ...] = ("failed", "refused", "suspect", "held", "blocked")
FINE: tuple[Verdict, ...] = ("done", "unchanged", "empty")


def _outcome(verdict: Verdict, *, job: str = "a", code: str | None = None, earlier: Verdict | None = None) -> Outcome:
    return Outcome(job=JobId(job), kind="tts", verdict=verdict, code=code, earlier=earlier)


def _code(*outcomes: Outcome, errors: Sequence[MediaspoolError] = ()) -> int:
    return exit_code(outcomes=outcomes, errors=errors, signal=None)


def _report(
    *outcomes: Outcome,
    manifest: str = "notes.toml",
    warnings: tuple[str, ...] = (),
    stopped_by: str | None = None,
    errors: Sequence[MediaspoolError] = (),
) -> RunReport:
    return make_report(
        run="run-1",
        manifest=manifest,
        started_at="2026-08-18T12:00:00Z",
        finished_at="2026-08-18T12:01:30Z",
        outcomes=outcomes,
        warnings=warnings,
        stopped_by=stopped_by,
        errors=errors,
    )


# exit codes


@pytest.mark.parametrize("verdict", FINE)
def test_done_unchanged_and_empty_jobs_end_with_0(verdict: Verdict) -> None:
    assert _code(_outcome(verdict)) == 0


@pytest.mark.parametrize("verdict", PROBLEMS)
def test_one_job_with_a_problem_ends_with_3(verdict: Verdict) -> None:
    assert _code(_outcome("done"), _outcome(verdict)) == 3


@pytest.mark.parametrize("verdict", ["held", "blocked"])
def test_what_was_held_or_blocked_since_an_earlier_run_does_not_raise_the_code(verdict: Verdict) -> None:
    assert _code(_outcome(verdict, earlier=verdict)) == 0


@pytest.mark.parametrize("earlier", ["failed", "suspect", "refused"])
def test_a_settled_problem_of_an_earlier_run_does_not_raise_the_code(earlier: Verdict) -> None:
    assert _code(_outcome("unchanged", code="engine-failed", earlier=earlier)) == 0


@pytest.mark.parametrize("verdict", ["failed", "suspect", "refused"])
def test_a_job_that_ran_again_and_has_the_same_problem_raises_the_code(verdict: Verdict) -> None:
    assert _code(_outcome(verdict, earlier=verdict)) == 3


def test_work_left_by_a_cap_ends_with_4() -> None:
    assert _code(_outcome("done"), _outcome("not-started", code="budget-spend")) == 4


def test_a_cap_that_is_reached_when_nothing_is_left_stops_nothing() -> None:
    report = _report(_outcome("done"), _outcome("not-started", code="input-changing"), stopped_by="budget-runtime")
    assert (report.exit_code, report.stopped_by, "stopped by" in summary(report)) == (0, None, False)


def test_a_cap_that_left_work_is_named() -> None:
    report = _report(_outcome("done"), _outcome("not-started", code="budget-runtime"), stopped_by="budget-runtime")
    assert (report.exit_code, report.stopped_by, "stopped by" in summary(report)) == (4, "budget-runtime", True)


def test_a_long_reason_leaves_room_for_what_to_do() -> None:
    refused = msgspec.structs.replace(_outcome("refused"), reason="why " * 30, hint="do this, " * 10 + "then that")
    assert "then that" in summary(_report(refused))


def test_a_job_that_was_not_started_is_never_a_silent_success() -> None:
    assert _code(_outcome("done"), _outcome("not-started")) == 4


def test_a_file_that_is_still_being_written_is_no_work_left() -> None:
    assert _code(_outcome("not-started", code="input-changing")) == 0


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MediaspoolError("bug"), 1),
        (StoreError("full", code="disk-full"), 74),
        (LedgerError("broken"), 74),
        (StoreError("read-only", code="output-unwritable"), 73),
        (ConfigError("wrong"), 78),
        (ConfigError("which", code="model-unknown"), 78),
        (LedgerError("newer", code="ledger-newer"), 78),
        (RouteClosed("401"), 77),
        (RunBusy("busy"), 75),
        (BudgetExhausted("cap"), 4),
        (ManifestError("cut"), 65),
        (ManifestError("gone", code="manifest-missing"), 66),
    ],
)
def test_an_error_of_the_whole_run_has_its_own_code(error: MediaspoolError, expected: int) -> None:
    assert _code(errors=[error]) == expected


@pytest.mark.parametrize(("code", "expected"), [("internal", 1), ("io-error", 74), ("output-unwritable", 73)])
def test_a_trouble_larger_than_the_job_shows_in_the_code(code: str, expected: int) -> None:
    assert _code(_outcome("failed"), _outcome("failed", code=code)) == expected


def test_a_closed_route_shows_in_the_code_of_the_jobs_it_left() -> None:
    assert _code(_outcome("not-started", code="route-closed"), _outcome("failed")) == 77


@pytest.mark.parametrize("code", ["input-missing", "input-unreadable", "extra-missing", "engine-crashed", "limit-time"])
def test_a_trouble_of_one_job_stays_a_trouble_of_one_job(code: str) -> None:
    assert _code(_outcome("failed", code=code)) == 3


@pytest.mark.parametrize("code", ["manifest-invalid", "manifest-missing"])
def test_a_bad_manifest_beside_work_that_ran_is_a_problem_among_others(code: str) -> None:
    assert _code(_outcome("done"), errors=[ManifestError("bad", code=code)]) == 3


def test_a_bad_manifest_beside_unchanged_jobs_keeps_its_code() -> None:
    assert _code(_outcome("unchanged"), _outcome("held", earlier="held"), errors=[ManifestError("bad")]) == 65


_ONE_EACH: dict[int, MediaspoolError | Outcome] = {
    1: MediaspoolError("bug"),
    74: StoreError("io"),
    73: StoreError("read-only", code="output-unwritable"),
    78: ConfigError("wrong"),
    77: RouteClosed("401"),
    4: BudgetExhausted("cap"),
    3: _outcome("failed"),
}


@given(st.sets(st.sampled_from(sorted(_ONE_EACH)), min_size=1))
def test_the_published_precedence_decides_where_several_codes_apply(codes: set[int]) -> None:
    several = [_ONE_EACH[code] for code in codes]
    outcomes = [item for item in several if isinstance(item, Outcome)]
    errors = [item for item in several if isinstance(item, MediaspoolError)]
    first = next(code for code in (1, 74, 73, 78, 77, 4, 3) if code in codes)
    assert _code(*outcomes, errors=errors) == first


@pytest.mark.parametrize(("signal", "expected"), [(2, 130), (15, 143)])
def test_a_signal_always_decides(signal: int, expected: int) -> None:
    errors = [MediaspoolError("bug")]
    assert exit_code(outcomes=[_outcome("failed")], errors=errors, signal=signal) == expected


@given(
    st.lists(st.tuples(st.sampled_from([*FINE, *PROBLEMS, "not-started"]), st.sampled_from([None, *CODES])), max_size=6)
)
def test_every_run_ends_with_a_published_code(pairs: list[tuple[Verdict, str | None]]) -> None:
    assert _code(*(_outcome(verdict, code=code) for verdict, code in pairs)) in EXIT_CODES


def test_every_code_in_the_precedence_is_published() -> None:
    assert set(PRECEDENCE) < set(EXIT_CODES)


# next command


@pytest.mark.parametrize(
    ("outcome", "command"),
    [
        (_outcome("done"), ""),
        (_outcome("unchanged", earlier="failed"), ""),
        (_outcome("failed", code="engine-crashed"), "mediaspool retry a"),
        (_outcome("suspect"), "mediaspool retry a"),
        (_outcome("held", code="in-doubt"), "mediaspool resolve a"),
        (_outcome("blocked"), "mediaspool status"),
        (_outcome("refused", code="input-damaged"), "mediaspool plan notes.toml"),
        (_outcome("refused", code="model-unknown"), "mediaspool models"),
        (_outcome("refused", code="extra-missing"), 'pip install "mediaspool[local]"'),
        (_outcome("failed", code="disk-full"), "mediaspool clean"),
        (_outcome("not-started"), "mediaspool run notes.toml"),
        (
            _outcome("failed", code="reply-too-large"),
            "mediaspool retry a  # only once max_output_mb is raised: what is paid is paid again",
        ),
    ],
)
def test_each_outcome_has_its_next_command(outcome: Outcome, command: str) -> None:
    assert next_command(outcome, manifest="notes.toml") == command


def test_the_command_of_a_spool_names_the_spool() -> None:
    failed = _outcome("failed", job="n/my file.wav#text")
    assert next_command(failed, typed=Typed("/srv/my spool")) == (
        "mediaspool retry --spool '/srv/my spool' 'n/my file.wav#text'"
    )


def test_a_refused_job_whose_manifest_nobody_named_is_let_go_by_retry_for_that_may_be_put_away_or_gone() -> None:
    assert next_command(_outcome("refused"), typed=Typed("/srv/s")) == "mediaspool retry --spool /srv/s a"
    assert next_command(_outcome("refused")) == "mediaspool retry a"


@pytest.mark.parametrize(("verdict", "verb"), [("refused", "plan"), ("not-started", "run")])
def test_a_manifest_that_was_named_with_a_spool_is_named_with_it_again(verdict: Verdict, verb: str) -> None:
    typed = next_command(_outcome(verdict), manifest="my notes.toml", typed=Typed("/srv/s"))
    assert typed == f"mediaspool {verb} --spool /srv/s 'my notes.toml'"


def test_a_job_that_looks_like_an_option_is_typed_as_a_job() -> None:
    assert next_command(_outcome("failed", job="--force")) == "mediaspool retry -- --force"


@pytest.mark.parametrize("job", ["a\nb", "a\udcffb", "a\u202eb", "\x1b[2J"])
def test_a_name_that_cannot_be_typed_is_found_through_status(job: str) -> None:
    assert next_command(_outcome("failed", job=job)) == "mediaspool status"


@given(st.text(min_size=1))
def test_a_job_in_a_command_is_one_word_of_the_shell(job: str) -> None:
    words = shlex.split(next_command(_outcome("failed", job=job)))
    assert words[-1] in (job, "status")


# the screen


def test_the_screen_counts_problems_first() -> None:
    shown = summary(
        _report(_outcome("done"), _outcome("unchanged"), _outcome("failed", job="bad", code="engine-failed"))
    )
    assert shown.splitlines()[0] == "notes.toml: 1 failed, 1 done, 1 unchanged; 90.0 s"
    assert "next: mediaspool retry bad" in shown
    assert "exit code 3" in shown


def test_what_should_be_known_of_a_job_that_is_done_is_told_shortly() -> None:
    told = [
        msgspec.structs.replace(_outcome("done", job=f"job-{n}"), reason="1 of 3 pictures were made") for n in range(6)
    ]
    screen = summary(_report(_outcome("done", job="quiet"), *told))
    assert screen.count("  note     job-") == 5
    assert "job-0: 1 of 3 pictures were made" in screen
    assert "and 1 more notes" in screen
    assert "quiet" not in screen


def test_each_shown_problem_has_reason_hint_and_command() -> None:
    refused = msgspec.structs.replace(
        _outcome("refused", code="input-damaged"), reason="cut short", hint="copy it again"
    )
    lines = [line.strip() for line in summary(_report(refused)).splitlines()]
    assert lines[1:4] == ["refused  a [input-damaged]", "cut short; copy it again", "next: mediaspool plan notes.toml"]


def test_a_thousand_problems_still_fit_on_one_screen() -> None:
    many = [_outcome("failed", job=f"j{number}") for number in range(1000)]
    left = _outcome("not-started", code="budget-spend")
    shown = summary(_report(*many, left, warnings=("low disk",) * 50, stopped_by="budget-spend"))
    assert len(shown.splitlines()) <= 30
    assert "and 994 more: mediaspool status" in shown
    assert "and 46 more warnings" in shown


def test_a_cap_of_a_manifest_is_named_with_what_to_do_about_it() -> None:
    left = msgspec.structs.replace(
        _outcome("not-started", code="budget-audio"), reason="the cap of 9 audio minutes is reached", hint="raise it"
    )
    shown = summary(_report(_outcome("done"), left, left)).splitlines()
    assert shown[1] == (
        "stopped by budget-audio: the cap of 9 audio minutes is reached; raise it; next: mediaspool run notes.toml"
    )
    assert len(shown) == 3


def test_it_is_told_that_a_job_had_no_time_left_to_wait_for_room_and_what_to_do() -> None:
    waited = msgspec.structs.replace(
        _outcome("not-started", code="limit-time"), reason="its deadline passed while it waited", hint="raise it"
    )
    line = "stopped by limit-time: its deadline passed while it waited; raise it; next: mediaspool run notes.toml"
    assert line in summary(_report(waited))
    assert _code(waited) == 4


def test_old_problems_are_counted_but_not_shown_again() -> None:
    shown = summary(_report(_outcome("held", job="old", earlier="held"), _outcome("done")))
    assert "1 held" in shown
    assert "old" not in shown


@settings(max_examples=60)
@given(st.text(min_size=1), st.text())
def test_invariant_28_no_name_and_no_reason_can_forge_a_line(job: str, reason: str) -> None:
    odd = msgspec.structs.replace(_outcome("failed", job=job), reason=reason, hint=reason)
    shown = summary(_report(odd, manifest=job, warnings=(reason,)), typed=Typed(job))
    assert shown.replace("\n", "").isprintable()
    assert len(shown.splitlines()) <= 6


# the news, the JSON


@pytest.mark.parametrize(
    ("outcomes", "is_news"),
    [
        ([], False),
        ([_outcome("unchanged"), _outcome("unchanged", earlier="failed")], False),
        ([_outcome("held", earlier="held")], False),
        ([_outcome("not-started", code="input-changing")], False),
        ([_outcome("done")], True),
        ([_outcome("failed")], True),
    ],
)
def test_a_run_without_news_has_nothing_to_say(outcomes: list[Outcome], is_news: bool) -> None:
    assert has_news(_report(*outcomes)) is is_news


def test_a_warning_or_an_error_is_news() -> None:
    assert has_news(_report(warnings=("low disk",)))
    assert has_news(_report(errors=[ManifestError("cut", hint="see line 3")]))


def test_an_error_of_the_run_is_told_with_its_hint() -> None:
    assert _report(errors=[ManifestError("cut", hint="see line 3")]).warnings == ("manifest-invalid: cut; see line 3",)


def test_the_json_report_comes_back_as_the_struct() -> None:
    report = _report(_outcome("failed", code="engine-failed"), _outcome("done"))
    assert msgspec.json.decode(report_json(report), type=RunReport) == report


def test_the_json_report_takes_names_that_are_not_unicode() -> None:
    odd = msgspec.structs.replace(_outcome("done", job="a\udcff"), products=("/out/a\udcff.txt",))
    shown = msgspec.json.decode(report_json(_report(odd, manifest="m\udcff")), type=RunReport)
    assert (shown.manifest, shown.outcomes[0].products) == ("m\\xff", ("/out/a\\xff.txt",))


# the pages


def _first_cells(page: str, heading: str) -> list[str]:
    """The first column of the tables under one heading."""
    section = (DOCS / page).read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `?([\w-]+)`? \|", section, re.MULTILINE)


def test_the_operations_page_lists_exactly_the_exit_codes() -> None:
    assert _first_cells("operations.md", "Exit codes")[1:] == [str(code) for code in EXIT_CODES]


def test_the_operations_page_explains_every_verdict() -> None:
    assert sorted(_first_cells("operations.md", "What an outcome means")[1:]) == sorted(
        [*FINE, *PROBLEMS, "not-started"]
    )


def test_the_errors_page_lists_exactly_the_error_codes() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \|", (DOCS / "errors.md").read_text(), re.MULTILINE)
    assert rows == list(CODES)
