"""The page of a run from its cards: what stands where, within which bounds, and what can never stand in it."""

import re
import tracemalloc
from decimal import Decimal

import pytest

from pipeline.core.model import JobId, Outcome
from pipeline.pages.cards import MAX_CARDS, MAX_TEXT_CHARS, MIN_TEXT_CHARS, Cue, Material, chars_a_job, ordered
from pipeline.pages.frame import clock, duration, money, spent
from pipeline.pages.run_page import run_page
from pipeline.report import has_news
from tests.report_pages.makers import BAD, card, outcome, report
from tests.report_pages.test_markup import HOSTILE, Read


def shown(*outcomes: Outcome, warnings: tuple[str, ...] = (), manifest: str = "notes") -> str:
    cards = [card(item) for item in outcomes]
    return run_page(report(outcomes, manifest, warnings), cards, {}).decode()


def test_what_needs_a_person_comes_first_then_the_news_then_the_rest() -> None:
    mixed = [outcome(0, "unchanged"), outcome(1), outcome(2, "failed"), outcome(3, "held"), outcome(4, "not-started")]
    assert [item.verdict for item in ordered(mixed)] == ["held", "failed", "not-started", "done", "unchanged"]


@pytest.mark.parametrize("verdict", BAD)
def test_each_problem_is_in_the_first_list_with_a_command(verdict: str) -> None:
    item = outcome(1, verdict, reason="why it is so")  # type: ignore[arg-type]  # one of BAD
    first = shown(item).partition('id="jobs"')[0]
    assert "1 of 1 job needs a person." in first
    assert "why it is so" in first
    assert re.search(r"Next: <code[^>]*>mediaspool ", first)


def test_a_run_in_which_all_is_well_says_so_and_has_no_such_list() -> None:
    text = shown(outcome(1), outcome(2, "empty"))
    assert "All is well: 2 jobs, nothing needs a person." in text
    assert "Needs a person first" not in text


def test_outcomes_are_counted_and_told_in_words_not_by_colour_alone() -> None:
    text = shown(outcome(1), outcome(2), outcome(3, "suspect"))
    assert re.search(r"<strong>2</strong> <span class=\"badge done\"><span aria-hidden=\"true\">✓</span> done", text)
    assert re.search(r"<strong>1</strong> <span class=\"badge suspect\">", text)


def test_checks_are_shown_with_their_figures() -> None:
    text = shown(outcome(1))
    assert "<dt>word error rate</dt><dd>0.0312</dd>" in text
    assert "verbose_json" in text
    assert "request req-1" in text


@pytest.mark.parametrize("words", HOSTILE)
def test_nothing_from_outside_becomes_markup(words: str) -> None:
    hostile = outcome(1, "failed", job=JobId(words), reason=words, hint=words, model=words, code=words)
    page = run_page(
        report([hostile], words, (words,)), [card(hostile, cues=[Cue(start=1.0, text=words)], text=words)], {}
    ).decode()
    plain = run_page(
        report([outcome(1, "failed", reason="r", hint="h")], "m", ("w",)), [card(outcome(1, "failed"))], {}
    )
    assert set(Read(page).tags) <= set(Read(plain.decode()).tags) | {"details", "summary", "ol", "span", "p"}
    assert page.count("<script>") == 1
    assert page.count("</style>") == 1
    assert not [value for name, value in Read(page).values if name.startswith("on") or (value or "").startswith("java")]


def test_the_policy_allows_this_style_and_this_script_only() -> None:
    text = shown(outcome(1))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert "default-src &#x27;none&#x27;" in policy[1]
    assert "unsafe" not in policy[1]
    assert "http:" not in policy[1]
    assert not re.search(r"\son\w+=|style=", text)


def test_a_page_has_a_bound_on_its_jobs_and_says_what_is_left_out() -> None:
    outcomes = [outcome(number) for number in range(MAX_CARDS + 7)]
    page = run_page(report(outcomes), [card(item) for item in ordered(outcomes)[:MAX_CARDS]], {}).decode()
    assert "And 7 more in the JSON report" in page
    assert page.count("<article") == MAX_CARDS


def test_a_page_is_made_in_a_few_times_its_size() -> None:
    outcomes = [outcome(number) for number in range(300)]
    cards = [card(item, text="words " * 500) for item in outcomes]
    run_page(report(outcomes), cards[:1], {})
    tracemalloc.start()
    try:
        page = run_page(report(outcomes), cards, {})
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 5 * len(page)


@pytest.mark.parametrize(("jobs", "chars"), [(1, MAX_TEXT_CHARS), (1000, 3000), (100_000, MIN_TEXT_CHARS)])
def test_the_more_jobs_a_run_has_the_less_text_each_may_show(jobs: int, chars: int) -> None:
    one = outcome(1)
    assert chars_a_job([Material(report=report([one] * jobs))]) == chars


def test_unchanged_jobs_take_no_share_of_the_text() -> None:
    many = [outcome(1), *[outcome(2, "unchanged")] * 5000]
    assert chars_a_job([Material(report=report(many))]) == MAX_TEXT_CHARS


def test_few_transcripts_are_unfolded_and_many_are_not() -> None:
    few = [card(outcome(number), text="words") for number in range(3)]
    many = [card(outcome(number), text="words") for number in range(50)]
    for cards, is_open in ((few, True), (many, False)):
        page = run_page(report([item.outcome for item in cards]), cards, {}).decode()
        assert ('<details class="said" open>' in page) is is_open


def test_a_manifest_that_could_not_be_read_has_a_page_that_says_so() -> None:
    nothing = report([], warnings=("manifest-invalid: it is no TOML",))
    assert has_news(nothing)
    page = run_page(nothing, [], {}).decode()
    assert "Nothing ran." in page
    assert "it is no TOML" in page


@pytest.mark.parametrize(
    ("known", "unpriced", "told"),
    [
        (Decimal("0.03"), 1, "at least 0.03 USD; the price of 1 call is not known"),
        (Decimal(0), 2, "unknown; the prices of 2 calls are not known"),
        (Decimal(0), 0, "unknown"),
    ],
)
def test_a_spend_of_which_a_part_is_unknown_tells_the_rest(known: Decimal, unpriced: int, told: str) -> None:
    assert spent(None, known, unpriced) == told


def test_the_page_of_a_run_tells_what_is_known_of_its_spend() -> None:
    partly = outcome(1, usd=None, known_usd=Decimal("0.03"), unpriced_calls=1)
    page = shown(partly, outcome(2))
    assert "at least 0.0425 USD; the price of 1 call is not known" in page
    assert "at least 0.03 USD; the price of 1 call is not known" in page


def test_amounts_and_times_are_written_for_people() -> None:
    assert (money(None), money(outcome(1).usd)) == ("unknown", "0.0125 USD")
    assert (clock(65.9), clock(3723)) == ("1:05", "1:02:03")
    assert (duration(2.25), duration(90), duration(5400)) == ("2.2 s", "1.5 min", "1.5 h")
