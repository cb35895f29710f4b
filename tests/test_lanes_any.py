"""Whatever the jobs, their ends and the moment of the stop: the promises of a run that hold for every one of them."""

import os
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from trio.testing import MockClock

from pipeline.core.model import CallReceipt, Job, Outcome
from pipeline.core.operations import Operation, Speak, call_key
from pipeline.state.ledger_rows import GOOD
from tests.rig import Act, Acting, Rig

MEMORY = "/dev/shm"
WIDTHS = {"r": 2, "slow": 1}
REPEATABLE = {"RouteClosed", "Rejected", "EngineError"}  # they say that nothing was executed
NOT_MADE = {"failed", "held", "blocked", "refused"}


class Plot(Struct, frozen=True, kw_only=True):
    """One job of a story: its calls, its route, which of the jobs before it it needs, and its own deadline."""

    acts: tuple[Act, ...]
    route: str
    needs: frozenset[int]
    max_job_s: float | None


class Story(Struct, frozen=True, kw_only=True):
    """A batch, and when somebody stops it: `drain_s` after the start, then `grace_s` later for good."""

    plots: tuple[Plot, ...]
    is_paid: bool
    drain_s: float | None
    grace_s: float


BY_THE_JOB = ["ok"] * 6 + ["EngineError", "Rejected", "RouteClosed", "StoreError", "bug"]


def acts(is_paid: bool) -> st.SearchStrategy[Act]:
    return st.builds(
        Act,
        after_s=st.sampled_from([0.0, 1.0, 7.0, 40.0]),
        ends=st.sampled_from(BY_THE_JOB + ["InDoubt"] * is_paid),
        unavailable=st.sampled_from([0] * 5 + [1, 9]),
    )


@st.composite
def stories(draw: st.DrawFn, *, paid: st.SearchStrategy[bool] = st.booleans()) -> Story:  # noqa: B008  # a constant
    is_paid = draw(paid)
    plots = tuple(
        Plot(
            acts=tuple(draw(st.lists(acts(is_paid), max_size=3))),
            route=draw(st.sampled_from(sorted(WIDTHS))),
            needs=draw(st.frozensets(st.integers(0, number - 1), max_size=3)) if number else frozenset(),
            max_job_s=draw(st.sampled_from([None, None, None, 5.0])),
        )
        for number in range(draw(st.integers(1, 8)))
    )
    stop = draw(st.one_of(st.none(), st.floats(0, 60)))
    return Story(plots=plots, is_paid=is_paid, drain_s=stop, grace_s=draw(st.sampled_from([0.0, 3.0, 1000.0])))


class Stage:
    """The story under way, and what it has to keep."""

    def __init__(self, folder: Path, story: Story) -> None:
        self.story = story
        self.rig = Rig(folder, widths=WIDTHS, paid=story.is_paid)
        self.jobs = [self._job(number, plot) for number, plot in enumerate(story.plots)]
        self.jobs.reverse()  # children first: the order of a manifest means nothing

    def _job(self, number: int, plot: Plot) -> Job:
        needs = tuple(f"j{need}" for need in sorted(plot.needs))
        return self.rig.job(f"j{number}", *plot.acts, route=plot.route, needs=needs, max_job_s=plot.max_job_s)

    async def stopped_run(self) -> dict[str, Outcome]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._stop)
            outcomes = await self.rig.run(*self.jobs)
            nursery.cancel_scope.cancel()
        return outcomes

    async def _stop(self) -> None:
        if self.story.drain_s is not None:
            await trio.sleep(self.story.drain_s)
            self.rig.stop.drain("enough")
            await trio.sleep(self.story.grace_s)
            self.rig.stop.cut.set()

    def check(self, outcomes: dict[str, Outcome]) -> None:
        settled = {job: outcome.earlier or outcome.verdict for job, outcome in outcomes.items()}
        for job in self.jobs:
            verdict, parents = settled[job.id], {settled[need] for need in job.needs}
            assert verdict in {"done", "failed", "held", "blocked", "not-started"}
            assert (verdict == "done") == Path(job.products[0].path).exists()
            assert verdict != "done" or parents <= GOOD
            assert verdict != "blocked" or parents & NOT_MADE
        doubtful = {row.place for row in self.rig.ledger.held_attempts()}
        assert doubtful == {job.place for job in self.jobs if settled[job.id] == "held"}
        assert self.rig.ledger.open_attempts() == []
        assert list(Path(self.rig.spool.staging).iterdir()) == []
        assert all(player.most <= player.route.width for player in self.rig.players.values())

    def answered(self) -> set[str]:
        """The texts whose call has its receipt."""
        asked = [(item, job.routes[0]) for job in self.jobs for item in Acting().operations(job.spec, None)]
        calls = {item: route for item, route in asked if isinstance(item, Speak)}
        return {call.text for call, route in calls.items() if self._receipt(call, route) is not None}

    def _receipt(self, call: Operation, route: str) -> CallReceipt | None:
        return self.rig.ledger.call_receipt(call_key(call, route=route, model="one", engine="player 1"))

    def sent(self) -> Counter[str]:
        return Counter(played.call for played in self.rig.sent())


def play(story: Story, scene: Callable[[Stage], Awaitable[None]]) -> None:
    """In a folder and on a clock of its own. In memory where that is offered: no power is cut here."""
    with tempfile.TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as folder:
        stage = Stage(Path(folder), story)
        try:
            trio.run(scene, stage, clock=MockClock(autojump_threshold=0))
        finally:
            stage.rig.close()


@settings(max_examples=25, deadline=None)
@given(stories())
def test_every_decision_has_one_outcome_that_the_ledger_and_the_folder_bear_out(story: Story) -> None:
    async def scene(stage: Stage) -> None:
        stage.check(await stage.stopped_run())
        if story.drain_s is not None:
            until = story.drain_s + story.grace_s
            assert all(played.at <= until for played in stage.rig.sent())

    play(story, scene)


@settings(max_examples=25, deadline=None)
@given(stories())
def test_the_next_run_does_what_was_left_and_repeats_nothing_that_has_an_answer(story: Story) -> None:
    async def scene(stage: Stage) -> None:
        first = await stage.stopped_run()
        answered, before = stage.answered(), stage.sent()
        stage.rig.begin_anew()
        second = await stage.rig.run(*stage.jobs)
        stage.check(second)
        assert all(stage.sent()[call] == before[call] for call in answered)
        assert {job for job in first if first[job].verdict == "done"} <= {
            job for job in second if second[job].verdict == "unchanged"
        }

    play(story, scene)


@settings(max_examples=25, deadline=None)
@given(stories(paid=st.just(True)))
def test_invariant_1_no_paid_call_is_sent_twice_unless_they_said_that_it_was_not_executed(story: Story) -> None:
    async def scene(stage: Stage) -> None:
        for _ in range(3):
            await stage.stopped_run()
            stage.rig.begin_anew()
        repeated = {call for call, count in stage.sent().items() if count > 1}
        assert all(any(f'"ends":"{end}"' in call for end in REPEATABLE) for call in repeated)

    play(story, scene)
