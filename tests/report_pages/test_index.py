"""The index over the pages: rows, plots with their figures as text, and what is not a page of ours."""

import re
from decimal import Decimal
from pathlib import Path

import pytest

from pipeline.core.model import RunId
from pipeline.pages.index_page import MAX_RUNS, SHOWN_DAYS, Row, index_page, write_index
from pipeline.pages.markup import Address
from pipeline.pages.plots import Bar, Part, plot
from pipeline.pages.run_page import figures_of, run_page
from pipeline.report import make_report
from pipeline.state.ledger import Ledger
from pipeline.state.spent import SpendRow
from pipeline.state.spool import Spool
from tests.report_pages.makers import outcome, report
from tests.report_pages.test_markup import HOSTILE, Read


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool.create(str(tmp_path / "spool"))


def index(spool: Spool) -> str:
    ledger = Ledger.open(spool.ledger_path, run=RunId("r"), clock=lambda: "2026-11-20T06:00:00+00:00")
    try:
        return Path(write_index(spool, ledger)).read_text(encoding="utf-8")
    finally:
        ledger.close()


def keep(spool: Spool, name: str, manifest: str = "notes", day: str = "2026-11-20") -> None:
    made = make_report(
        run=f"run-{name}",
        manifest=manifest,
        started_at=f"{day}T06:00:00+00:00",
        finished_at=f"{day}T06:00:01+00:00",
        outcomes=[outcome(1), outcome(2, "failed"), outcome(3, "unchanged")],
    )
    spool.write_page(spool.write_report(name, b"{}"), run_page(made, [], {}))


def test_every_page_has_a_row_with_its_figures_and_a_link_that_leads_to_it(spool: Spool) -> None:
    keep(spool, "one")
    text = index(spool)
    (link,) = re.findall(r'<td><a href="([^"]+)">notes</a>', text)
    assert (Path(spool.reports) / link).exists()
    assert "0.0375 USD" in text
    assert re.search(r"<span>1 <span class=\"badge failed\">", text)


def test_the_newest_run_stands_first(spool: Spool) -> None:
    for number in range(3):
        keep(spool, f"run-{number}", manifest=f"m{number}")
    assert re.findall(r">(m\d)</a>", index(spool)) == ["m2", "m1", "m0"]


def test_days_are_counted_in_the_plot_and_in_its_table(spool: Spool) -> None:
    keep(spool, "one", day="2026-11-18")
    keep(spool, "two", day="2026-11-20")
    text = index(spool)
    assert text.count("<title>2026-11-18: 1 well</title>") == 1
    assert "<td>2026-11-20</td><td>1</td><td>1</td>" in text
    assert 'role="img" aria-labelledby="jobs-by-day-said"' in text


def test_spend_is_plotted_from_the_ledger_and_left_out_where_nothing_cost_anything() -> None:
    rows = [
        SpendRow(
            day="2026-11-20", route="r", calls=1, usd=Decimal("1.25"), unknown=0, doubtful=0, doubtful_usd=Decimal(0)
        )
    ]
    found = Row(page=Address("./x.report.html"), figures=figures_of(report([outcome(1)])))
    assert "<title>2026-11-20: 1.25 USD spent</title>" in index_page("/spool", [found], rows).decode()
    assert "Spend by day" not in index_page("/spool", [found], []).decode()


@pytest.mark.parametrize("words", HOSTILE)
def test_a_hostile_manifest_name_comes_through_the_head_of_its_page_as_text(spool: Spool, words: str) -> None:
    keep(spool, "one", manifest=words)
    text = index(spool)
    assert "There is no page yet." not in text
    assert "script" not in Read(text).tags
    assert "img" not in Read(text).tags


@pytest.mark.parametrize(
    "body", [b"", b"\xff\x00", b'<meta name="mediaspool-run" content="{&quot;run&quot;:1}">', b"x" * 9000]
)
def test_what_is_no_page_of_ours_is_in_no_row(spool: Spool, body: bytes) -> None:
    keep(spool, "one")
    (Path(spool.reports) / "odd.report.html").write_bytes(body)
    assert index(spool).count(".report.html") == 1


def test_the_index_is_bounded(spool: Spool) -> None:
    keep(spool, "one")
    (whole,) = Path(spool.reports).glob("*.html")
    for number in range(MAX_RUNS + 20):
        (Path(spool.reports) / f"{number}.report.html").write_bytes(whole.read_bytes())
    text = index(spool)
    assert text.count(".report.html") == MAX_RUNS
    assert text.count("<rect") <= 4 * SHOWN_DAYS
    assert len(text) < 300_000


@pytest.mark.parametrize("most", [0.0, 1e-9, 0.3, 1.0, 7.0, 10.0, 1234567.0])
def test_a_bar_never_leaves_the_picture(most: float) -> None:
    bars = [Bar(day=f"2026-11-{day:02}", parts=(most, most / 3)) for day in range(1, 31)]
    text = plot("T", "t", bars, (Part(name="a", look="well"), Part(name="b", look="look")), lambda v: f"{v:g}").html
    for y, height in re.findall(r'y="([\d.-]+)" height="([\d.-]+)"', text):
        assert float(y) >= 15.9
        assert float(height) >= 0
        assert float(y) + float(height) <= 147
