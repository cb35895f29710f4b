"""`make soak`: thousands of mixed jobs with faults in ONE process, against the stand-in. Does anything grow or slow?

Speech, transcripts, texts, pictures and a few films in both dialects; one job in twenty meets a fault of the server.
`app.run` is called again and again on one spool, each time for new manifests: what a process that stays would do. The
program's own `watch` starts a process for each run, so it has an easier life than this. `RUNS=1` makes one run of all.

A line of the table is what happened between two marks, taken when so many jobs had ended, in the middle of the work.
What Python holds between runs is counted beside it: the C library keeps pages that are free, for later use of its own.
"""

import argparse
import ctypes
import gc
import io
import json
import os
import statistics
import sys
import tempfile
import time
import wave
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import trio
from msgspec import Struct

from pipeline import app, one_cpu
from pipeline.core.model import Outcome
from pipeline.onlooker import Nobody
from pipeline.runtime import World, utc_now
from pipeline.state.settings import load_settings
from tests.benchmarks.answering import SAMPLES, marked
from tests.benchmarks.table import Row, show
from tests.standin.fixture import StandIn

JOBS, MARKS, MANIFESTS = 20_000, 10, 4
FAULTY_EVERY = 20
FILM_EVERY = 1000
MAX_GROWTH = 1.10
MIN_PACE = 0.90
MAX_MORE_BLOCKS = 1.02
MEGABYTE = 1e6

SETTINGS = """
roots = ["."]
default_route = ["home"]
[routes.shop]
driver = "openrouter"
base_url = "{standin.base_url}"
key = "STANDIN_KEY"
width = 8
discovery = "required"
[routes.shop.models]
speak = "hexgrad/kokoro-82m"
transcribe = "openai/whisper-1"
make_image = "black-forest-labs/flux.2-klein-4b"
make_video = "x-ai/grok-imagine-video"
complete = "openai/gpt-5.4-mini"
[routes.home]
driver = "openai"
base_url = "{standin.openai_url}"
key = "STANDIN_KEY"
width = 8
[routes.home.models]
speak = "tts-1"
transcribe = "whisper-1"
make_image = "gpt-image-1"
complete = "gpt-4.1-mini"
"""
MIX = ("tts", "transcription", "text", "tts", "transcription", "text", "tts", "transcription", "text", "image")
MODELS = {"tts": "tts-1", "transcription": "whisper-1", "text": "gpt-4.1-mini", "image": "gpt-image-1"}
FAULTS = {
    "tts": ("400", "500", "empty", "reset-midway", "slow-first-byte", "cut-in-chunk"),
    "transcription": ("400", "502-html", "transcript-missing", "reset-after-body", "segments-overlap", "not-json"),
    "text": ("422", "524", "chat-empty", "chat-refusal", "close-after-body", "gzip-bad"),
    "image": ("413", "image-html", "image-cut", "500", "images-none", "slow-chunks"),
}
"""Of both sorts: some end a job, some leave doubt, some do no harm. None closes a route, or the rest would not run."""


class Mark(Struct, frozen=True, kw_only=True):
    """The process when `jobs` had ended: seconds since the start, of which `at_work_s` inside runs; sizes in bytes."""

    jobs: int
    at_work_s: float
    cpu_s: float
    resident: int
    children: int
    files: int
    ledger: int


class Marks(Nobody):
    """Counts the jobs that end, over all runs, and takes a mark at every so many."""

    def __init__(self, every: int, spool: Path, strangers: frozenset[int]) -> None:
        self.found: list[Mark] = []
        self.at_rest: list[int] = []
        self.blocks: list[int] = []
        self.trimmed = 0
        self.verdicts: Counter[str] = Counter()
        self._every, self._spool, self._strangers = every, spool, strangers
        self._before_s = self._begun_s = 0.0

    def begin(self) -> None:
        self._begun_s = time.perf_counter()

    def rest(self) -> None:
        self._before_s += time.perf_counter() - self._begun_s
        self.at_rest.append(open_files())
        gc.collect()
        self.blocks.append(sys.getallocatedblocks())

    def end(self) -> None:
        """Once, when nothing is measured any more: it gives back what later figures would have counted."""
        ctypes.CDLL(None).malloc_trim(0)
        self.trimmed = resident(os.getpid())

    def ended(self, outcome: Outcome) -> None:
        self.verdicts[outcome.verdict] += 1
        jobs = self.verdicts.total()
        if jobs % self._every == 0:
            mark = self._mark(jobs)
            print(line(self.found[-1] if self.found else None, mark), flush=True)
            self.found.append(mark)

    def _mark(self, jobs: int) -> Mark:
        return Mark(
            jobs=jobs,
            at_work_s=self._before_s + time.perf_counter() - self._begun_s,
            cpu_s=time.process_time(),
            resident=resident(os.getpid()),
            children=sum(resident(pid) for pid in set(children()) - self._strangers),
            files=open_files(),
            ledger=sum(path.stat().st_size for path in self._spool.glob("ledger.db*")),
        )


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def children() -> list[int]:
    return [int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]


def resident(pid: int) -> int:
    """Bytes in memory; nothing for a child that has just ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (FileNotFoundError, ProcessLookupError):
        return 0


# work


def manifests(root: Path, first: int, count: int) -> Iterator[str]:
    """Files of jobs `first` and following, each job another than all before."""
    size = -(-count // MANIFESTS)
    for start in range(first, first + count, size):
        path = root / f"jobs-{start}.jsonl"
        jobs = [job(root, number) for number in range(start, min(start + size, first + count))]
        path.write_text("\n".join(map(json.dumps, [{"schema": 1}, *jobs])) + "\n")
        yield str(path)


def job(root: Path, number: int) -> dict[str, object]:
    out = f"out/{number // 1000}/{number}.{{ext}}"
    if number % FILM_EVERY == FILM_EVERY // 2:
        film = {"prompt": f"Kite {number} rises.", "seconds": 2, "resolution": "480p", "poster": "none"}
        return {"id": f"job-{number}", "kind": "video", "route": "shop", "out": out, **film}
    kind = MIX[number % len(MIX)]
    asked = {"id": f"job-{number}", "kind": kind, "route": route(number, kind), "out": out}
    match kind:
        case "tts":
            voice = "af_alloy" if asked["route"] == "shop" else "alloy"
            return {**asked, "text": f"Good morning, listener number {number}.", "language": "en", "voice": voice}
        case "transcription":
            return {**asked, "input": recording(root, number), "formats": ["txt"]}
        case "text":
            return {**asked, "prompt": f"Say something about the number {number}.", "max_tokens": 100}
        case _:
            return {**asked, "prompt": f"Kite number {number}."}


def route(number: int, kind: str) -> str:
    """Both dialects in turn; where a fault is due, the one in which a model's id can ask for it."""
    turn = number // len(MIX)
    if number % FAULTY_EVERY == turn // 2 % FAULTY_EVERY:  # so that every kind has its share
        faults = FAULTS[kind]
        return f"home/fault/{faults[number // FAULTY_EVERY % len(faults)]}/{MODELS[kind]}"
    return ("shop", "home")[turn % 2]


def recording(root: Path, number: int) -> str:
    """One second of speech with a click that no other has."""
    path = root / f"recordings/{number // 1000}/{number}.wav"
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(SAMPLES / "jfk.wav"), "rb") as source:
        second = source.readframes(source.getframerate())
        memory = io.BytesIO()
        with wave.open(memory, "wb") as made:
            made.setparams(source.getparams())
            made.writeframes(second)
    path.write_bytes(marked(memory.getvalue(), b"%07d" % number))
    return str(path)


def soak(root: Path, jobs: int, runs: int, minutes: float) -> Marks:
    """Every job to its verdict, in this process; no run begins after so many minutes."""
    standin, until_s = StandIn(), time.perf_counter() + 60 * minutes
    marks = Marks(jobs // MARKS, root / "spool", frozenset(children()))
    try:
        (root / "mediaspool.toml").write_text(SETTINGS.format(standin=standin))
        settings = load_settings(str(root / "mediaspool.toml"), {})
        with open(os.devnull, "w", encoding="utf-8") as log:
            world = World(
                environ={"STANDIN_KEY": standin.key, "XDG_STATE_HOME": str(root / "state")},
                log_stream=log,
                clock=utc_now,
                now=lambda: time.time() + 3600,  # files that were written a moment ago have settled
                reached=lambda _point: None,
                watch=marks,
            )
            for number in range(runs):
                first, end = jobs * number // runs, jobs * (number + 1) // runs
                files = tuple(manifests(root, first, end - first))
                marks.begin()
                with one_cpu.together():  # as a run of the program does
                    trio.run(app.run, app.RunRequest(spool=str(root / "spool"), files=files), settings, world)
                marks.rest()
                if time.perf_counter() > until_s:
                    print(f"stopped after {marks.verdicts.total()} of {jobs} jobs: the time is up")
                    break
        marks.end()
    finally:
        standin.stop()
    return marks


# what came out

HEAD = f"{'jobs':>7}{'jobs/s':>9}{'ms CPU':>9}{'MB':>8}{'children':>10}{'files':>7}{'ledger B/job':>14}"


def line(last: Mark | None, mark: Mark) -> str:
    """What happened between two marks."""
    jobs, wall_s, cpu_s = stretch(last, mark)
    return (
        f"{mark.jobs:>7}{jobs / wall_s:>9.1f}{cpu_s / jobs * 1000:>9.1f}{mark.resident / MEGABYTE:>8.0f}"
        f"{mark.children / MEGABYTE:>10.0f}{mark.files:>7}{mark.ledger / mark.jobs:>14.0f}"
    )


def stretch(last: Mark | None, mark: Mark) -> tuple[int, float, float]:
    """Jobs, seconds of runs and seconds of CPU between two marks."""
    if last is None:
        return mark.jobs, mark.at_work_s, mark.cpu_s
    return mark.jobs - last.jobs, mark.at_work_s - last.at_work_s, mark.cpu_s - last.cpu_s


def rows(marks: Marks) -> list[Row]:
    first, last = marks.found[0], marks.found[-1]
    growth = last.resident / first.resident
    stretches = [stretch(*pair) for pair in zip(marks.found, marks.found[1:], strict=False)]
    third = max(len(stretches) // 3, 1)
    early, late = stretches[:third], stretches[-third:]
    pace = statistics.median(j / s for j, s, _ in late) / statistics.median(j / s for j, s, _ in early)
    cost = statistics.median(c / j for j, _, c in late) / statistics.median(c / j for j, _, c in early)
    files = marks.at_rest
    held = marks.blocks[-1] / marks.blocks[min(1, len(marks.blocks) - 1)]
    grown = (last.ledger - first.ledger) / (last.jobs - first.jobs)
    return [
        Row(
            name=f"memory after {last.jobs} jobs",
            figure=f"{last.resident / MEGABYTE:.0f} MB",
            beside=f"{growth:.2f} x that after {first.jobs}",
            target=f"<= {MAX_GROWTH:.2f} x",
            is_met=growth <= MAX_GROWTH,
        ),
        Row(
            name="the same, when the C library has given back what is free",
            figure=f"{marks.trimmed / MEGABYTE:.0f} MB",
            beside=f"{marks.trimmed / first.resident:.2f} x that after {first.jobs}",
        ),
        Row(
            name="blocks that Python holds after the last run",
            figure=f"{marks.blocks[-1]:,}",
            beside=f"{held:.3f} x those after the second run, when all is loaded",
            target=f"<= {MAX_MORE_BLOCKS:.2f} x",
            is_met=held <= MAX_MORE_BLOCKS,
        ),
        Row(
            name=f"open files between runs, {len(files)} times",
            figure=f"{min(files)} to {max(files)}",
            target="the same",
            is_met=min(files) == max(files),
        ),
        Row(
            name="jobs per second, the last third of the stretches",
            figure=f"{pace:.2f} x the first third",
            beside="the first stretch, with the start-up, apart",
            target=f">= {MIN_PACE:.2f} x",
            is_met=pace >= MIN_PACE,
        ),
        Row(
            name="CPU of this process per job, likewise",
            figure=f"{cost:.2f} x the first third",
            target=f"<= {MAX_GROWTH:.2f} x",
            is_met=cost <= MAX_GROWTH,
        ),
        Row(name="ledger per job", figure=f"{grown:.0f} B", beside=f"{last.ledger / MEGABYTE:.1f} MB at the end"),
        Row(name="verdicts", figure=", ".join(f"{count} {name}" for name, count in marks.verdicts.most_common())),
    ]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="The soak. Ends with 1 where an aim is missed.")
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--runs", type=int, default=MARKS)
    parser.add_argument("--minutes", type=float, default=60.0)
    asked = parser.parse_args(arguments)
    print(HEAD)
    with tempfile.TemporaryDirectory(prefix="mediaspool-soak-") as name:
        marks = soak(Path(name), max(asked.jobs, 3 * MARKS), asked.runs, asked.minutes)
    found = rows(marks)
    print(f"\n{show(found)}")
    return int(any(row.is_met is False for row in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
