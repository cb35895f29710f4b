"""(6) How much of the time of a remote run is the provider's: durable jobs at a fixed latency, against the ideal.

The ideal is jobs x latency / width. Start-up and the first wave are taken off by a run of one wave. What `plan` takes
is told apart: every job is decided about before the first call, so no call can hide it. Beside it stands `least`: what
is left of the ideal on this machine for jobs that are durable and nothing else, without a decision about any.
"""

import sys
from collections.abc import Iterator

from tests.benchmarks.clients import (
    Kind,
    Ran,
    Work,
    answering,
    asked,
    documents,
    durable,
    folder,
    per_call,
    planned,
    ran,
    recordings,
    sentences,
)
from tests.benchmarks.table import Row

MAX_RATIO = 1.05
JOBS = 2000


def measure() -> Iterator[Row]:
    with folder() as root:
        asks: dict[Kind, tuple[str, ...]] = {
            "transcription": recordings(root, JOBS + 1000),
            "speech": sentences(JOBS + 1000),
            "text": documents(root, JOBS + 1000),
        }
        for kind, of_kind in asks.items():
            yield against_ideal(Work(folder=root, kind=kind, asks=of_kind[: JOBS + 64], width=64), 0.3)
        for kind, of_kind in asks.items():
            yield against_ideal(Work(folder=root, kind=kind, asks=of_kind, width=1000), 2.0)


def against_ideal(work: Work, latency_s: float) -> Row:
    few, many = work.width, len(work.asks)
    with answering(latency_s) as url:
        _, bare = per_call(lambda calls: least(work, url, calls), few, many)
        _, plan = per_call(lambda calls: planned(work, url, calls), few, many)
        _, job = per_call(lambda calls: durable(work, url, calls), few, many)
    ideal_s = latency_s / work.width
    ratio = job.wall_s / ideal_s
    return Row(
        name=f"(6) {many - few} {work.kind} jobs, {work.width} at a time, {latency_s:g} s each",
        figure=f"{1 / job.wall_s:.0f} durable jobs/s, {job.cpu_s * 1000:.1f} ms CPU, {job.peak_mb:.0f} MB,"
        f" {plan.wall_s * 1000:.2f} ms of it before the first call",
        beside=f"ideal {1 / ideal_s:.0f}/s: {ratio:.2f} x its time; the least durable job {1 / bare.wall_s:.0f}/s,"
        f" {bare.wall_s / ideal_s:.2f} x, {bare.cpu_s * 1000:.1f} ms",
        target=f"<= {MAX_RATIO:g} x",
        is_met=ratio <= MAX_RATIO,
    )


def least(work: Work, url: str, count: int) -> Ran:
    asks, where = asked(work, count), work.folder / f"least-{work.kind}-{work.width}-{count}"
    command = [sys.executable, "-m", "tests.benchmarks.least", work.kind, f"{url}/v1", str(asks), str(where)]
    return ran([*command, str(work.width)])
