"""Whatever calls may cost, do cost and take: no cap is passed, none ends a run early, and no wait is for ever."""

import math
import os
import random
import tempfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace
from trio.testing import MockClock

from pipeline.core.budget import Budget
from pipeline.core.model import Caps, Outcome, T, Ts
from pipeline.core.rates import Rate
from tests.rig import Act, Rig
from tests.test_lanes_any import MEMORY

CENT = Decimal("0.01")
CENTS = st.integers(0, 40).map(lambda cents: cents * CENT)
CAPS = st.one_of(st.none(), st.integers(0, 120).map(lambda cents: cents * CENT))
WIDTHS = {"r": 3, "other": 2}


class Fare(Struct, frozen=True, kw_only=True):
    """What calls of a route cost, and what they may cost beyond that."""

    usd: Decimal
    more: Decimal


class Trip(Struct, frozen=True, kw_only=True):
    """Jobs by route, seconds and whether they end in doubt, and caps at every level.

    With `is_rated` one route has a rate. With `is_late` the answers of the ledger come late.
    """

    jobs: tuple[tuple[str, float, bool], ...]
    fares: dict[str, Fare]
    caps: dict[str, Decimal | None]
    is_rated: bool
    is_late: bool


trips = st.builds(
    Trip,
    jobs=st.lists(
        st.tuples(st.sampled_from(sorted(WIDTHS)), st.sampled_from([0.0, 1.0, 7.0]), st.booleans()),
        min_size=1,
        max_size=14,
    ).map(tuple),
    fares=st.fixed_dictionaries({route: st.builds(Fare, usd=CENTS, more=CENTS) for route in WIDTHS}),
    caps=st.fixed_dictionaries(dict.fromkeys(("manifest", "run", "day"), CAPS)),
    is_rated=st.booleans(),
    is_late=st.booleans(),
)


class LateRunner:
    """Work is done at once, and its answer told later, often together with others: as of threads that end."""

    async def __call__(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()
        answer = work(*args)
        with trio.CancelScope(shield=True):
            now = trio.current_time()
            await trio.sleep_until(random.choice((now + 0.5, math.floor(now) + 1)))
        return answer


def rigged(folder: Path, trip: Trip) -> Rig:
    rig = Rig(folder, widths=WIDTHS, paid=True)
    for route, fare in trip.fares.items():
        rig.players[route].usd, rig.players[route].worst_usd = fare.usd, fare.usd + fare.more
    rig.caps, rig.day = (Caps(max_spend_usd=trip.caps[level]) for level in ("manifest", "day"))
    rig.run_budget = Budget(Caps(max_spend_usd=trip.caps["run"]), level="run")
    if trip.is_late:
        rig.runner = LateRunner()
    if trip.is_rated:
        player = rig.players["r"]
        player.route = replace(player.route, rates=(Rate(unit="requests", span="minute", most=4),))
    return rig


def check(rig: Rig, trip: Trip, outcomes: dict[str, Outcome]) -> None:
    route_of = {f"j{number}": route for number, (route, _, _) in enumerate(trip.jobs)}
    worst = {route: fare.usd + fare.more for route, fare in trip.fares.items()}
    left = {job: route_of[job] for job, outcome in outcomes.items() if outcome.verdict == "not-started"}
    counts = {"done": {route: fare.usd for route, fare in trip.fares.items()}, "held": worst}
    counted = sum(
        (counts[told.verdict][route_of[job]] for job, told in outcomes.items() if job not in left), Decimal(0)
    )
    caps = [cap for cap in trip.caps.values() if cap is not None]
    assert all(counted <= cap for cap in caps)
    assert not left or any(counted + worst[route] > min(caps) for route in left.values())
    assert len(rig.sent()) == len(outcomes) - len(left)
    assert rig.run_budget is not None
    assert rig.run_budget.used.usd == counted


def ridden(trip: Trip) -> dict[str, Outcome]:
    """The outcomes of a run in a folder and on a clock of its own, and all that holds of every run."""

    async def scene(rig: Rig) -> dict[str, Outcome]:
        jobs = [
            rig.job(f"j{number}", Act(after_s=after_s, doubtful=int(is_doubtful)), route=route)
            for number, (route, after_s, is_doubtful) in enumerate(trip.jobs)
        ]
        with trio.fail_after(3600):
            outcomes = await rig.run(*jobs)
        check(rig, trip, outcomes)
        return outcomes

    with tempfile.TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as folder:
        rig = rigged(Path(folder), trip)
        try:
            return trio.run(scene, rig, clock=MockClock(autojump_threshold=0))
        finally:
            rig.close()


@settings(max_examples=60, deadline=None)
@given(trips)
def test_a_run_spends_up_to_its_caps_and_never_past_one(trip: Trip) -> None:
    ridden(trip)
