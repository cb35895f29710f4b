"""(6) How much of the time of a remote run is the provider's: durable jobs at a fixed latency, against the ideal.

The ideal is jobs x latency / width. Start-up, planning and the first wave are taken off by a run of one wave. Where the
processors are too few for the ideal, `floor` says how many jobs they do when only the libraries work.
"""

import os

import msgspec

from tests.benchmarks.clients import (
    Kind,
    Work,
    answering,
    documents,
    durable,
    folder,
    per_call,
    recordings,
    sentences,
)
from tests.benchmarks.floor import floor
from tests.benchmarks.table import Row

MAX_RATIO = 1.05
JOBS = 2000


def measure() -> list[Row]:
    with folder() as root:
        asks: dict[Kind, tuple[str, ...]] = {
            "transcription": recordings(root, JOBS + 1000),
            "speech": sentences(JOBS + 1000),
            "text": documents(root, JOBS + 1000),
        }
        works = [Work(folder=root, kind=kind, asks=asks[kind], width=64) for kind in asks]
        narrow = [against_ideal(msgspec.structs.replace(work, asks=work.asks[: JOBS + 64]), 0.3) for work in works]
        return narrow + [against_ideal(msgspec.structs.replace(work, width=1000), 2.0) for work in works]


def against_ideal(work: Work, latency_s: float) -> Row:
    few, many = work.width, len(work.asks)
    with answering(latency_s) as url:
        least_s = sum(floor(work.kind, url).values()) / (os.cpu_count() or 1)
        _, job = per_call(lambda calls: durable(work, url, calls), few, many)
    ideal_s = latency_s / work.width
    ratio = job.wall_s / ideal_s
    return Row(
        name=f"(6) {many - few} {work.kind} jobs, {work.width} at a time, {latency_s:g} s each",
        figure=f"{1 / job.wall_s:.0f} durable jobs/s, {job.cpu_s * 1000:.1f} ms CPU, {job.peak_mb:.0f} MB",
        beside=f"ideal {1 / ideal_s:.0f}/s: {ratio:.2f} x its time; the libraries alone {1 / least_s:.0f}/s here",
        target=f"<= {MAX_RATIO:g} x",
        is_met=ratio <= MAX_RATIO,
    )
