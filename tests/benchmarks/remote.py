"""(5) What a durable job costs beside a bare call: mediaspool against the SDKs, over real HTTP, with zero latency.

A durable job is planned, validated, ledgered, streamed, sniffed, verified, synced and published with receipt and debug
artifact; recordings are listened to before they are paid for, and speech is weighed, in child processes. An SDK reads
the file, sends it and takes the answer. Same files, same server, same number at a time. `floor` says how much of
a job's CPU lies in libraries that it cannot do without.
"""

import statistics
from functools import partial

from tests.benchmarks.clients import (
    NO_PEERS,
    PEER_PYTHON,
    SDKS,
    Kind,
    Ran,
    Work,
    answering,
    durable,
    folder,
    peer,
    per_call,
    recordings,
    sentences,
)
from tests.benchmarks.floor import floor
from tests.benchmarks.table import Row

ROUNDS = 3
WIDTH = 16
CALLS = 400
BELOW = {"openai": 1.0, "litellm": 0.5}
"""What share of an SDK's CPU for a call a durable job may take."""

LEAST_TOLD_S = 0.0005

Cost = tuple[Ran, Ran]


def measure() -> list[Row]:
    with folder() as root, answering() as url:
        count = WIDTH + CALLS
        works = (
            Work(folder=root, kind="transcription", asks=recordings(root, count), width=WIDTH),
            Work(folder=root, kind="speech", asks=sentences(count), width=WIDTH),
        )
        return [row for work in works for row in rows(work, url)]


def rows(work: Work, url: str) -> list[Row]:
    sides = ("mediaspool", *(SDKS if PEER_PYTHON.exists() else ()))
    costs: dict[str, list[Cost]] = {side: [] for side in sides}
    floors: list[dict[str, float]] = []
    for _ in range(ROUNDS):
        floors.append(floor(work.kind, url))
        for side in sides:
            costs[side].append(per_call(partial(run, side, work, url), WIDTH, len(work.asks)))
    ours = costs["mediaspool"]
    beside = [against(sdk, costs[sdk], ours) for sdk in sides[1:]] or [Row(name=f"    {NO_PEERS}", figure="")]
    first = Row(name=f"(5) {title(work.kind)}", figure=told(ours), beside=started(ours))
    return [first, least(floors), *beside]


def least(floors: list[dict[str, float]]) -> Row:
    steps = {name: statistics.median(found[name] for found in floors) * 1000 for name in floors[0]}
    each = ", ".join(f"{name} {ms:.1f}" for name, ms in steps.items())
    return Row(
        name="    third-party calls a job cannot do without",
        figure=f"{sum(steps.values()):.1f} ms CPU",
        beside=f"bare and warm: {each}",
    )


def title(kind: Kind) -> str:
    return f"durable {kind} jobs, {WIDTH} at a time"


def run(side: str, work: Work, url: str, calls: int) -> Ran:
    return durable(work, url, calls) if side == "mediaspool" else peer(side, work, url, calls)


def against(sdk: str, theirs: list[Cost], ours: list[Cost]) -> Row:
    ratio = cpu(ours) / cpu(theirs)
    return Row(
        name=f"    bare calls of {sdk}",
        figure=told(theirs),
        beside=f"{started(theirs)}; a durable job takes {ratio:.1f} x its CPU",
        target=f"<= {BELOW[sdk]:g} x",
        is_met=ratio <= BELOW[sdk],
    )


def cpu(costs: list[Cost]) -> float:
    return statistics.median(call.cpu_s for _, call in costs)


def told(costs: list[Cost]) -> str:
    wall_s = statistics.median(call.wall_s for _, call in costs)
    rate = f"{1 / wall_s:.0f}/s" if wall_s > 0 else "a rate lost in the noise of the start-up"
    in_children = cpu(costs) - statistics.median(call.own_s for _, call in costs)
    children = f" ({in_children * 1000:.1f} of it in children)" if in_children > LEAST_TOLD_S else ""
    return f"{cpu(costs) * 1000:.1f} ms CPU{children}, {rate}"


def started(costs: list[Cost]) -> str:
    return f"start-up {statistics.median(start.cpu_s for start, _ in costs):.1f} s CPU apart"
