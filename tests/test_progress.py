"""The bars on a terminal: every lane's state, the time that is left from seconds of audio, the spend so far."""

import io
import os
import re
import tempfile
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from pipeline.core.model import Decision, Estimate, Job, JobId, Outcome, Place, Verdict
from pipeline.progress import MAX_LANES, Bar, Lane
from tests.rig import Act, ActSpec, Rig, Seen


def decision(audio_s: float = 0.0) -> Decision:
    job = Job(id=JobId("a"), place=Place("p"), kind="acting", spec=ActSpec(text="a"), products=(), routes=("r",))
    return Decision(job=job, choice="run", estimate=Estimate(audio_seconds=audio_s))


def ended(verdict: Verdict = "done", usd: Decimal | None = Decimal(0)) -> Outcome:
    return Outcome(job=JobId("a"), kind="acting", verdict=verdict, usd=usd, known_usd=usd or Decimal(0))


class Screen:
    """A bar on a stream that is no terminal, with a clock of its own; `last` is what was drawn last."""

    def __init__(self) -> None:
        self.stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
        self.now = 0.0
        self.bar = Bar(self.stream, lambda: self.now)

    def last(self) -> str:
        self.bar._progress.refresh()
        buffer = self.stream.buffer
        assert isinstance(buffer, io.BytesIO)
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", buffer.getvalue().decode().rpartition("working")[2])


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    monkeypatch.setenv("COLUMNS", "120")
    return Screen()


def test_the_time_that_is_left_follows_the_audio_and_not_the_number_of_jobs() -> None:
    lane = Lane(began_at=100.0)
    for seconds in (60.0, 60.0, 3480.0):
        lane.queued(seconds)
    assert lane.left_s(110.0) is None
    lane.at_work = 2
    lane.left(60.0)
    lane.left(60.0)
    assert lane.left_s(120.0) == pytest.approx(20.0 * 3480 / 120)


def test_a_lane_without_audio_counts_its_jobs() -> None:
    lane = Lane(began_at=0.0)
    for _ in range(4):
        lane.queued(0.0)
    lane.left(0.0)
    assert lane.left_s(5.0) == pytest.approx(15.0)


def test_every_lane_says_what_it_does_and_the_run_what_it_cost(screen: Screen) -> None:
    with screen.bar as bar:
        bar.planned(3)
        for _ in range(2):
            bar.queued("whisper", decision(600.0))
        bar.queued("openrouter", decision())
        bar.begun("whisper", decision())
        bar.begun("whisper", decision())
        bar.begun("openrouter", decision())
        screen.now = 30.0
        bar.left("whisper", decision(600.0))
        bar.ended(ended(usd=Decimal("0.12")))
        shown = screen.last()
    assert re.search(r"1/3 +0\.12 USD, about 30 s left", shown)
    assert re.search(r"whisper .*1/2 +1 at work, 10 min of audio left, about 30 s", shown)
    assert re.search(r"openrouter .*0/1 +1 at work", shown)


def test_a_cost_that_nobody_knows_is_not_shown_as_nothing(screen: Screen) -> None:
    with screen.bar as bar:
        bar.planned(2)
        bar.ended(msgspec.structs.replace(ended(usd=None), known_usd=Decimal("0.03"), unpriced_calls=1))
        assert "at least 0.03 USD, the price of 1 call is not known" in screen.last()


def test_the_bars_are_bounded_however_many_lanes_there_are(screen: Screen) -> None:
    with screen.bar as bar:
        bar.planned(30)
        for number in range(30):
            bar.queued(f"route{number:02}[/bold]", decision())
        shown = screen.last()
    assert shown.count("route") == MAX_LANES
    assert "route00[/bold]" in shown


class Counted(Seen):
    """Who is queued, at work and gone, lane by lane."""

    def __init__(self) -> None:
        super().__init__()
        self.lanes: dict[str, list[int]] = {}

    def queued(self, lane: str, decision: Decision) -> None:
        self.lanes.setdefault(lane, [0, 0, 0])[0] += 1

    def begun(self, lane: str, decision: Decision) -> None:
        self.lanes[lane][1] += 1

    def left(self, lane: str, decision: Decision) -> None:
        self.lanes[lane][2] += 1


async def test_a_job_is_queued_begun_and_gone_in_each_lane_it_passes(autojump_clock: object) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rig = Rig(Path(os.fspath(folder)), widths={"r": 1, "s": 1})
        rig.make_seen = Counted
        moved = rig.job("moved", Act(ends="RouteClosed", on="r"), route=("r", "s"), on_failure="next-route")
        await rig.run(moved, rig.job("child", Act(), route="s", needs=("moved",)), rig.job("plain", Act(), route="s"))
        assert isinstance(rig.seen, Counted)
        assert rig.seen.lanes == {"r": [1, 1, 1], "s": [3, 3, 3]}
        rig.close()
