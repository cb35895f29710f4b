"""A job's deadline under the virtual clock: one that did nothing but stand in line has not failed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from pipeline.core.drivers import Exchange, Reply
from pipeline.core.errors import Throttled
from pipeline.core.model import Binding
from pipeline.core.operations import Operation
from tests.player import Player
from tests.rig import HANG_S, Act, Rig, SlowRunner
from tests.test_lanes import verdicts


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path, widths={"r": 1, "here": 1}, paid=True)
    yield made
    made.close()


async def in_line_behind(rig: Rig, long: Act, *, waits: Act, shared: str | None = None) -> None:
    """A job whose time passes while it stands behind another one is left, tells why, and is done by the next run."""
    long_before, first = rig.job("long", long, shared=shared), rig.job("first", Act(after_s=1), route="here")
    last = rig.job("waits", waits, needs=("first",), shared=shared, max_job_s=50)
    outcome = (await rig.run(long_before, first, last))["waits"]
    assert (outcome.verdict, outcome.code, "waited" in outcome.reason) == ("not-started", "limit-time", True)
    rig.begin_anew()
    assert (await rig.run(first, last))["waits"].verdict == "done"


async def test_who_waits_for_a_seat_is_left_to_the_next_run(rig: Rig, autojump_clock: MockClock) -> None:
    await in_line_behind(rig, Act(after_s=100), waits=Act())


async def test_who_waits_for_the_same_call_of_another_job_is_left_to_the_next_run(
    rig: Rig, autojump_clock: MockClock
) -> None:
    await in_line_behind(rig, Act(after_s=100), waits=Act(after_s=100), shared="same")
    assert [played.text for played in rig.sent()] == ["same", "first"]


async def test_who_waits_for_a_route_that_rests_is_left_to_the_next_run(rig: Rig, autojump_clock: MockClock) -> None:
    hint_s = 100
    rig.players["r"].mood = lambda _: (
        Throttled("slow down", retry_after_s=hint_s) if trio.current_time() < hint_s else None
    )
    await in_line_behind(rig, Act(after_s=hint_s), waits=Act())


async def test_who_has_its_time_pass_while_the_ledger_or_a_cap_is_only_asked_is_left_to_the_next_run(
    rig: Rig, autojump_clock: MockClock
) -> None:
    rig.runner = SlowRunner(60)
    outcome = (await rig.run(rig.job("asks", Act(), max_job_s=50)))["asks"]
    assert (outcome.verdict, len(rig.sent())) == ("not-started", 0)


async def test_who_was_at_work_when_its_time_passed_has_failed_whatever_else_it_waited_for(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    rig = Rig(tmp_path, widths={"r": 1})
    outcome = (await rig.run(rig.job("hangs", Act(after_s=HANG_S), Act(after_s=HANG_S), max_job_s=50)))["hangs"]
    rig.close()
    assert (outcome.verdict, outcome.code) == ("failed", "limit-time")


class Queued(Player):
    """An engine whose children are all at work for others, so long before each piece of the work."""

    line_s = HANG_S
    pieces = 1

    async def perform(self, operation: Operation, binding: Binding, exchange: Exchange) -> Reply:
        for _ in range(self.pieces):
            await exchange.sending()
            with exchange.in_line():
                await trio.sleep(self.line_s)
            reply = await super().perform(operation, binding, exchange)
        return reply


@pytest.fixture
def queued(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path, widths={"r": 1}, call_timeout_s=10)
    made.players["r"] = Queued(made.players["r"].route, paid=False)
    yield made
    made.close()


def line(rig: Rig, *, line_s: float = HANG_S, pieces: int = 1) -> None:
    player = rig.players["r"]
    assert isinstance(player, Queued)
    player.line_s, player.pieces = line_s, pieces


async def test_who_waits_for_a_child_to_begin_is_left_to_the_next_run(queued: Rig, autojump_clock: MockClock) -> None:
    outcomes = await queued.run(queued.job("queued", Act(), max_job_s=50))
    assert verdicts(outcomes) == {"queued": "not-started"}


async def test_the_time_of_a_call_begins_when_a_child_begins(queued: Rig, autojump_clock: MockClock) -> None:
    line(queued, line_s=50)
    assert verdicts(await queued.run(queued.job("long line", Act(after_s=9)))) == {"long line": "done"}
    outcome = (await queued.run(queued.job("long work", Act(after_s=11))))["long work"]
    assert (outcome.verdict, outcome.code, trio.current_time()) == ("failed", "limit-time", 59 + 60)


async def test_the_time_of_a_call_stands_still_in_each_line_and_goes_on_behind_it(
    queued: Rig, autojump_clock: MockClock
) -> None:
    line(queued, line_s=50, pieces=2)
    outcome = (await queued.run(queued.job("pieces", Act(after_s=6))))["pieces"]
    assert (outcome.verdict, outcome.code, trio.current_time()) == ("failed", "limit-time", 50 + 6 + 50 + 4)


async def test_who_waits_for_a_child_again_was_at_work_before(queued: Rig, autojump_clock: MockClock) -> None:
    line(queued, line_s=50, pieces=2)
    outcomes = await queued.run(queued.job("again", Act(after_s=1), max_job_s=70))
    assert verdicts(outcomes) == {"again": "failed"}


async def test_who_was_tried_in_vain_and_waits_to_be_tried_again_has_failed(
    rig: Rig, autojump_clock: MockClock
) -> None:
    outcomes = await rig.run(rig.job("tried", Act(unavailable=3), max_job_s=3))
    assert verdicts(outcomes) == {"tried": "failed"}
