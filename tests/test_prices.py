"""Prices that a provider tells later: unknown until then, asked for at the end of a run, and no trouble of the run."""

from decimal import Decimal
from pathlib import Path

import pytest

from pipeline.runtime import utc_now
from pipeline.state.ledger import Ledger
from pipeline.state.spent import SpendRow
from tests.makers import Folder, outcomes, verdicts

pytestmark = pytest.mark.real_time

TEXT = "notes/a.wav#text"


def made(root: Path, late_usd: str) -> Folder:
    folder = Folder(root, options={"paid": "0.10", "late_usd": late_usd})
    folder.record("a.wav")
    return folder


def asks(folder: Folder) -> list[str]:
    path = Path(f"{folder.calls_file}.prices")
    return path.read_text().split() if path.exists() else []


def spend(folder: Folder) -> SpendRow:
    ledger = Ledger.view(str(folder.spool / "ledger.db"), clock=utc_now)
    (row,) = ledger.spend()
    ledger.close()
    return row


def test_a_price_that_is_known_at_the_end_of_the_run_is_booked(tmp_path: Path) -> None:
    folder = made(tmp_path, "0.03")
    result = folder.run()
    assert (result.unpriced, outcomes(result)[TEXT].usd) == (0, None)
    assert (spend(folder).usd, spend(folder).unknown, asks(folder)) == (Decimal("0.03"), 0, ["gen-Transcribe"])


def test_an_unknown_price_is_never_zero_and_is_asked_for_again(tmp_path: Path) -> None:
    folder = made(tmp_path, "unknown")
    result = folder.run()
    assert (result.unpriced, result.whole.spend) == (1, None)
    assert (spend(folder).usd, spend(folder).unknown) == (Decimal(0), 1)
    folder.configure({"paid": "0.10", "late_usd": "0.03"})
    assert set(verdicts(folder.run()).values()) == {"unchanged"}
    assert (spend(folder).usd, folder.calls(), len(asks(folder))) == (Decimal("0.03"), 1, 2)


def test_a_provider_that_cannot_be_reached_costs_the_run_nothing(tmp_path: Path) -> None:
    folder = made(tmp_path, "fails")
    result = folder.run()
    assert (set(verdicts(result).values()), result.whole.exit_code) == ({"done"}, 0)
    assert spend(folder).unknown == 1


def test_a_bad_answer_is_booked_with_what_it_cost(tmp_path: Path) -> None:
    folder = Folder(tmp_path, options={"paid": "0.10", "garbage": "<html>sorry</html>"})
    folder.record("a.wav")
    outcome = outcomes(folder.run())[TEXT]
    assert (outcome.verdict, outcome.code) == ("failed", "reply-type")
    assert (spend(folder).calls, spend(folder).usd, outcome.usd) == (1, Decimal("0.10"), Decimal("0.10"))


def test_a_bad_answer_of_unknown_price_is_asked_about_too(tmp_path: Path) -> None:
    folder = Folder(tmp_path, options={"paid": "0.10", "garbage": "<html>sorry</html>", "late_usd": "0.03"})
    folder.record("a.wav")
    assert outcomes(folder.run())[TEXT].usd is None
    assert (spend(folder).usd, spend(folder).unknown, asks(folder)) == (Decimal("0.03"), 0, ["gen-Transcribe"])


@pytest.mark.parametrize("nonsense", ["NaN", "-1", "Infinity"])
def test_what_cannot_be_a_price_is_none(tmp_path: Path, nonsense: str) -> None:
    folder = made(tmp_path, nonsense)
    folder.run()
    assert spend(folder).unknown == 1


def test_only_the_routes_of_this_run_are_asked(tmp_path: Path) -> None:
    folder = made(tmp_path, "unknown")
    folder.run()
    folder.manifest.write_text('schema = 1\nname = "notes"\n')
    folder.run()
    assert len(asks(folder)) == 1


@pytest.mark.parametrize(("late_usd", "rests"), [("unknown", False), ("0.03", True)])
def test_a_spool_is_idle_only_when_no_price_is_still_to_come(tmp_path: Path, late_usd: str, *, rests: bool) -> None:
    folder = made(tmp_path, late_usd)
    (folder.spool / "standing").mkdir(parents=True)
    text = folder.manifest.read_text().replace("recordings/", "../../recordings/").replace("out/", "../../out/")
    (folder.spool / "standing/notes.toml").write_text(text)
    folder.run_spool()
    folder.run_spool()  # the first that finds nothing to do
    assert (folder.spool / "idle.json").exists() is rests
