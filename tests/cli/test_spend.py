"""`spend`: four views of the same money, in which unknown stays unknown and doubt stands apart."""

import json
from decimal import Decimal

import pytest

from pipeline import spending
from pipeline.core.model import RunId
from pipeline.spending import Spend
from pipeline.state.ledger import Ledger
from pipeline.state.spent import VIEWS, SpendLine, Spent, View, spend_line, spend_lines
from tests.cli.conftest import Shell, seat
from tests.makers import Folder

pytestmark = pytest.mark.real_time


def spend(folder: Folder, view: View = "route") -> Spend:
    answer = spending.spend(seat(folder), view)
    assert isinstance(answer.record, Spend)
    return answer.record


def figures(line: SpendLine) -> tuple[str, int, str, int]:
    return line.name, line.calls, f"{line.usd.normalize():f}", line.unknown


def part(usd: str | None, count: int = 1, *, day: str = "2026-11-20", is_doubtful: bool = False) -> Spent:
    amount = None if usd is None else Decimal(usd)
    return Spent(day=day, route="r", kind="tts", manifest="m", is_doubtful=is_doubtful, usd=amount, count=count)


def test_every_view_tells_the_same_sum(folder: Folder) -> None:
    folder.record("a.wav")
    folder.record("b.wav", 2.0)
    folder.configure({"paid": "0.125"})
    folder.run()
    names = {view: [figures(line) for line in spend(folder, view).lines] for view in VIEWS}
    assert names["route"] == [("scripted", 2, "0.25", 0)]
    assert names["kind"] == [("transcription", 2, "0.25", 0)]
    assert names["manifest"] == [("notes", 2, "0.25", 0)]
    assert [line[1:] for line in names["day"]] == [(2, "0.25", 0)]
    assert figures(spend(folder).total) == ("total", 2, "0.25", 0)


def test_a_price_that_nobody_told_is_unknown_and_not_zero(folder: Folder) -> None:
    folder.record("a.wav")
    folder.configure({"paid": "0.5", "late_usd": "unknown"})
    folder.run()
    assert figures(spend(folder).total) == ("total", 1, "0", 1)
    assert "1 of them without a known price" in spending.spend(seat(folder), "route").text


def test_what_may_have_been_paid_stands_apart(folder: Folder) -> None:
    folder.record("a.wav")
    folder.configure({"paid": "0.5", "fail": "InDoubt"})
    folder.run()
    total = spend(folder).total
    assert (total.calls, total.usd, total.doubtful, total.doubtful_usd) == (0, Decimal(0), 1, Decimal("0.5"))
    assert "and 1 call without a verdict, perhaps paid: at most 0.5 USD" in spending.spend(seat(folder), "kind").text


def test_a_doubt_of_unknown_price_is_told_as_one() -> None:
    line = spend_line("x", [part(None, is_doubtful=True), part("0.2", 3, is_doubtful=True), part("0.1", 10)])
    assert (line.usd, line.doubtful, line.doubtful_usd, line.doubtful_unknown) == (Decimal(1), 4, Decimal("0.6"), 1)
    assert "0.6 USD and an unknown price for 1" in spending.told(line)


def test_days_come_in_their_order_and_everything_else_with_the_dearest_first() -> None:
    parts = [part("1", day="2026-11-21"), part("5", day="2026-11-20")]
    assert [line.name for line in spend_lines(parts, "day")] == ["2026-11-20", "2026-11-21"]
    cheap = Spent(day="d", route="a", kind="k", manifest="m", is_doubtful=False, usd=Decimal(1), count=1)
    assert [line.name for line in spend_lines([cheap, part("5")], "route")] == ["r", "a"]


def test_attempts_of_an_older_version_are_told_without_a_kind(folder: Folder) -> None:
    folder.record("a.wav")
    folder.configure({"paid": "0.5"})
    folder.run()
    ledger = Ledger.open(str(folder.spool / "ledger.db"), run=RunId("old"), clock=lambda: "2026-11-20T06:00:00+00:00")
    ledger._db.change("UPDATE attempts SET kind = NULL, manifest = NULL")
    ledger.close()
    assert [line.name for line in spend(folder, "kind").lines] == ["not noted"]
    assert [line.name for line in spend(folder, "manifest").lines] == ["notes"]  # the job knows it still


def test_before_the_first_run_nothing_was_spent_and_nothing_is_made(folder: Folder) -> None:
    assert spend(folder).lines == ()
    assert "nothing was spent" in spending.spend(seat(folder), "day").text
    assert not folder.spool.exists()


def test_the_command_tells_one_object_with_the_caps(shell: Shell) -> None:
    shell.folder.configure({"paid": "0.5"}, extra="[caps]\nmax_spend_usd_per_month = 7\n")
    words = ("--spool", str(shell.folder.spool), "--config", str(shell.folder.config))
    told = json.loads(shell.type("spend", "--by", "day", "--json", *words, code=0).out)
    assert (told["by"], told["lines"]) == ("day", [])
    assert told["caps"][0]["cap"] == "max_spend_usd_per_month"
