"""Thumbnails within bounds, on the virtual clock: the children are played, the pages wait no longer than they may."""

from contextlib import nullcontext
from pathlib import Path

import trio

from pipeline.children.lanes import Lane, Lanes
from pipeline.children.stage import StageResult, StageSpec
from pipeline.core.errors import EngineError
from pipeline.core.limits import Line
from pipeline.pages.cards import Card
from pipeline.pages.thumbnails import MAX_SECONDS, MAX_THUMBNAILS, Thumbnails
from tests.report_pages.makers import PNG, WAV, card, exhibit, outcome


class Played(Lanes):
    """Children that take so long and then fail; `asked` counts what they were asked."""

    def __init__(self, folder: Path, takes_s: float) -> None:
        super().__init__(roots={"in": "/in"}, staging=str(folder), engine_workers=1, media_workers=1, memory_mb=100)
        self.asked = 0
        self._takes_s = takes_s

    async def run(self, lane: Lane, spec: StageSpec, *, line: Line = nullcontext) -> StageResult:
        self.asked += 1
        await trio.sleep(self._takes_s)
        raise EngineError("played")


def cards(count: int) -> list[Card]:
    return [card(outcome(number), exhibits=[exhibit(f"/in/{number}.png", "/r", PNG)]) for number in range(count)]


async def test_the_pages_of_a_run_wait_for_thumbnails_no_longer_than_they_may(
    autojump_clock: object, tmp_path: Path
) -> None:
    lanes = Played(tmp_path, takes_s=3600.0)
    thumbs, began = Thumbnails(lanes, lambda: False), trio.current_time()
    assert await thumbs.of(cards(5)) == {}
    assert await thumbs.of(cards(5)) == {}
    assert trio.current_time() - began == MAX_SECONDS
    lanes.close()


async def test_no_more_thumbnails_are_asked_for_than_a_run_may_have(autojump_clock: object, tmp_path: Path) -> None:
    lanes = Played(tmp_path, takes_s=0.001)
    thumbs = Thumbnails(lanes, lambda: False)
    for _page in range(2):
        await thumbs.of(cards(MAX_THUMBNAILS - 50))
    assert lanes.asked == MAX_THUMBNAILS
    lanes.close()


async def test_only_pictures_are_asked_for_and_each_once(autojump_clock: object, tmp_path: Path) -> None:
    lanes = Played(tmp_path, takes_s=0.001)
    mixed = [exhibit("/in/a.png", "/r", PNG), exhibit("/in/a.wav", "/r", WAV), exhibit("/elsewhere/b.png", "/r", PNG)]
    mine = [card(outcome(1), exhibits=mixed), card(outcome(2), exhibits=mixed)]
    await Thumbnails(lanes, lambda: False).of(mine)
    assert lanes.asked == 1
    lanes.close()


async def test_a_run_that_begins_to_end_asks_for_no_further_one(autojump_clock: object, tmp_path: Path) -> None:
    lanes = Played(tmp_path, takes_s=1.0)
    started = trio.current_time()
    await Thumbnails(lanes, lambda: trio.current_time() - started > 2.5).of(cards(50))
    assert lanes.asked == 6
    lanes.close()
