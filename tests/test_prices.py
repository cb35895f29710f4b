"""Prices that a provider tells later: unknown until then, asked for at the end of a run, and no trouble of the run."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from pipeline.core.drivers import RouteConfig
from pipeline.core.errors import MediaspoolError, RouteClosed, Unavailable
from pipeline.core.model import RouteId, RunId
from pipeline.prices import MOST_S, Terms, learn_prices
from pipeline.runtime import utc_now
from pipeline.state.ledger import Ledger
from pipeline.state.spent import SpendRow
from tests.makers import Folder, outcomes, verdicts
from tests.player import Player
from tests.rig import Rig
from tests.state.conftest import Make

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
    assert (result.unpriced, outcomes(result)[TEXT].usd, result.whole.spend) == (0, Decimal("0.03"), Decimal("0.03"))
    assert (spend(folder).usd, spend(folder).unknown, asks(folder)) == (Decimal("0.03"), 0, ["gen-Transcribe"])


def test_an_unknown_price_is_never_zero_and_is_asked_for_again(tmp_path: Path) -> None:
    folder = made(tmp_path, "unknown")
    result = folder.run()
    assert (result.unpriced, result.whole.spend) == (1, None)
    assert (spend(folder).usd, spend(folder).unknown) == (Decimal(0), 1)
    folder.configure({"paid": "0.10", "late_usd": "0.03"})
    assert set(verdicts(folder.run()).values()) == {"unchanged"}
    assert (spend(folder).usd, folder.calls(), len(asks(folder))) == (Decimal("0.03"), 1, 2)


def test_a_price_of_an_earlier_run_is_no_cost_of_this_one(tmp_path: Path) -> None:
    folder = made(tmp_path, "unknown")
    folder.run()
    folder.configure({"paid": "0.10", "late_usd": "0.03"})
    folder.record("a.wav", 2.0)
    result = folder.run()
    assert (spend(folder).usd, result.whole.spend) == (Decimal("0.06"), Decimal("0.03"))


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
    assert outcomes(folder.run())[TEXT].usd == Decimal("0.03")
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


# many of them, by the virtual clock

ASK_S, WIDTH = 2.0, 8


class Teller(Player):
    """Tells prices, slowly; the first asks may be in vain or come to nothing."""

    def __init__(self) -> None:
        super().__init__(RouteConfig(id=RouteId("r"), driver="player", width=WIDTH), paid=True)
        self.asked: list[str] = []
        self.at_once = self.most_at_once = 0
        self.trouble: MediaspoolError | None = None
        self.knows_after = 0
        self.ask_s = ASK_S

    async def price_of(self, request_id: str) -> Decimal | None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await trio.sleep(self.ask_s)
        finally:
            self.at_once -= 1
        self.asked.append(request_id)
        if self.trouble is not None:
            raise self.trouble
        return Decimal("0.02") if len(self.asked) > self.knows_after else None


class Till:
    """A ledger with unpriced calls, and runs that ask about them."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.make, self.teller = rig, Make(), Teller()
        self.calls = 0

    def sell(self, count: int) -> None:
        with self.rig.ledger.group():
            for number in range(self.calls, self.calls + count):
                self.make.stored(self.rig.ledger, f"k{number}", None, request_id=f"gen-{number}")
        self.calls += count

    async def ask(self, *, worked_s: float = 0.0, stops_after: int | None = None) -> int:
        terms = Terms(
            run=RunId("run"),
            routes=frozenset({"r"}),
            began=trio.current_time() - worked_s,
            is_over=lambda: stops_after is not None and len(self.teller.asked) >= stops_after,
        )
        rig = self.rig
        return (await learn_prices(rig.ledger, rig.runner, lambda _: self.teller, rig.pacer(), terms)).to_come


def numbers(teller: Teller) -> list[int]:
    return [int(request_id.removeprefix("gen-")) for request_id in teller.asked]


@pytest.fixture
def till(tmp_path: Path) -> Iterator[Till]:
    rig = Rig(tmp_path, widths={"r": WIDTH}, paid=True)
    yield Till(rig)
    rig.close()


async def test_prices_are_asked_for_side_by_side_the_oldest_first(till: Till, autojump_clock: MockClock) -> None:
    till.sell(70)
    assert await till.ask() == 0
    assert all(abs(number - place) < WIDTH for place, number in enumerate(numbers(till.teller)))
    assert till.teller.most_at_once == WIDTH
    assert till.rig.ledger.spend()[0].unknown == 0


async def test_a_busy_spool_catches_up_since_a_long_run_asks_longer(till: Till, autojump_clock: MockClock) -> None:
    for _ in range(3):
        till.sell(300)
        assert await till.ask(worked_s=400.0) == 0


async def test_no_run_asks_for_longer_than_its_bound_and_the_rest_is_still_to_come(
    till: Till, autojump_clock: MockClock
) -> None:
    till.sell(100)
    assert await till.ask() == 100 - len(till.teller.asked) > 0
    assert trio.current_time() <= 20
    assert await till.ask() == 0
    till.sell(100)
    till.teller.ask_s = 60.0
    began = trio.current_time()
    assert await till.ask(worked_s=1e9) > 0
    assert trio.current_time() - began <= MOST_S


async def test_calls_that_are_too_young_do_not_keep_older_ones_waiting(till: Till, autojump_clock: MockClock) -> None:
    till.sell(40)
    till.teller.knows_after = 40
    assert await till.ask() == 40
    till.sell(40)
    assert await till.ask(worked_s=100) == 0
    later = numbers(till.teller)[40:]
    assert min(later[: 40 - WIDTH]) == 40


@pytest.mark.parametrize(("trouble", "left"), [(Unavailable("down"), 50), (RouteClosed("no key"), 0)])
async def test_a_route_in_trouble_is_left_alone_and_waited_for_where_it_may_come_back(
    till: Till, autojump_clock: MockClock, trouble: MediaspoolError, left: int
) -> None:
    till.sell(50)
    till.teller.trouble = trouble
    assert await till.ask() == left
    assert len(till.teller.asked) == WIDTH
    till.teller.trouble = None
    assert await till.ask() == 0


async def test_a_run_that_shall_end_asks_no_further(till: Till, autojump_clock: MockClock) -> None:
    till.sell(50)
    assert await till.ask(stops_after=20) == 50 - len(till.teller.asked)
    assert len(till.teller.asked) < 20 + WIDTH
