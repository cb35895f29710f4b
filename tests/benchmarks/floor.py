"""`python -m tests.benchmarks.floor KIND URL`: what a durable job takes at least, in libraries it cannot do without.

Each call stands alone: bare, warm, on the files of the remote suite, with nothing of ours around it. What a job takes
beyond the sum is ours, and the price of moving between threads and processes. Runs in a process of its own.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import av.error
import msgspec
import numpy as np
from av.audio.frame import AudioFrame
from av.filter import Graph
from msgspec import Struct
from numpy.typing import NDArray

from pipeline.children.voice import open_session
from tests.benchmarks import floor_calls
from tests.benchmarks.answering import SAMPLES, SPOKEN, TRANSCRIPT
from tests.benchmarks.clients import ROOT, Kind
from tests.benchmarks.table import environment

RECORDING = SAMPLES / "jfk.wav"
RATE = 16_000
FRAME, CONTEXT, STATE, FRAMES_AT_ONCE = 512, 64, (1, 1, 128), 32
ONE_LOOK = {"max_size": "16384", "max_probe_packets": "0"}  # of what may hide in a WAV; FFmpeg's own takes 2 ms
TIMES, ROUNDS = 40, 5
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}

Samples = NDArray[np.int16]
Call = Callable[[], object]


class Step(Struct, frozen=True, kw_only=True):
    """A call of others that every job makes. `ready` does once what is not counted, and gives one for `jobs` jobs."""

    name: str
    ready: Callable[[], Call]
    jobs: int = 1


def decoded(path: str) -> Samples:
    """A WAV of 16 kHz, 16 bits, one channel, which needs no resampling."""
    with av.open(path, format="wav", options=ONE_LOOK) as container:
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])


def ready_to_judge() -> Call:
    """The model of voice activity over the whole recording, the frames laid out for it beforehand."""
    session = open_session()
    assert session is not None, "the voice model comes with the extra `local`"
    sound = decoded(str(RECORDING)).astype(np.float32) / 32768
    frames = np.pad(sound, (CONTEXT, -len(sound) % FRAME))
    seen = np.lib.stride_tricks.sliding_window_view(frames, CONTEXT + FRAME)[::FRAME].copy()

    def judge() -> None:
        h = c = np.zeros(STATE, np.float32)
        for at in range(0, len(seen), FRAMES_AT_ONCE):
            _, h, c = session.run(None, {"input": seen[at : at + FRAMES_AT_ONCE], "h": h, "c": c})

    return judge


def ready_to_weigh() -> Call:
    """FFmpeg's meter of loudness over a whole answer, a second at a time, which is the least."""
    sound = decoded(str(SPOKEN))

    def weigh() -> str:
        graph = Graph()
        graph.threads = 1
        meter = graph.add("ebur128", "metadata=1:framelog=quiet")
        graph.add_abuffer(sample_rate=RATE, format="s16", layout="mono", time_base=Fraction(1, RATE)).link_to(meter)
        meter.link_to(graph.add("abuffersink"))
        graph.configure()
        for at in range(0, len(sound), RATE):
            frame = AudioFrame.from_ndarray(sound[at : at + RATE].reshape(1, -1), "s16", "mono")
            frame.rate, frame.pts, frame.time_base = RATE, at, Fraction(1, RATE)
            graph.push(frame)
            last = last_of(graph)
        return last.metadata["lavfi.r128.I"]

    return weigh


def last_of(graph: Graph) -> AudioFrame:
    """The last of the frames that are ready."""
    last = None
    while True:
        try:
            last = graph.pull()
        except av.error.BlockingIOError:
            assert isinstance(last, AudioFrame)
            return last


def steps(kind: Kind, url: str, folder: Path) -> Sequence[Step]:
    answer = SPOKEN.read_bytes() if kind == "speech" else json.dumps(TRANSCRIPT).encode()
    return (
        *IN_CHILDREN[kind],
        Step(name="HTTP", ready=partial(floor_calls.ready_to_ask, kind, url), jobs=floor_calls.REQUESTS),
        Step(name="SQLite", ready=partial(floor_calls.ready_to_commit, folder), jobs=floor_calls.JOBS),
        Step(name="disk", ready=partial(floor_calls.ready_to_keep, folder, answer), jobs=floor_calls.JOBS),
    )


IN_CHILDREN: Mapping[Kind, Sequence[Step]] = {
    "transcription": (
        Step(name="decode", ready=lambda: lambda: decoded(str(RECORDING))),
        Step(name="voice model", ready=ready_to_judge),
    ),
    "speech": (
        Step(name="decode", ready=lambda: lambda: decoded(str(SPOKEN))),
        Step(name="loudness", ready=ready_to_weigh),
    ),
    "text": (),
}


def floor(kind: Kind, url: str) -> dict[str, float]:
    """CPU seconds of each step, measured in a fresh process."""
    command = [sys.executable, "-m", "tests.benchmarks.floor", kind, url]
    done = subprocess.run(command, check=True, capture_output=True, cwd=ROOT, env=environment() | ONE_THREAD)
    return msgspec.json.decode(done.stdout, type=dict[str, float])


def cpu_s(step: Step) -> float:
    """The median of a few rounds; all threads of the process count."""
    call = step.ready()
    call()
    rounds, times = [], -(-TIMES // step.jobs)
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(times):
            call()
        rounds.append((time.process_time() - started) / times / step.jobs)
    return statistics.median(rounds)


def main(kind: Kind, url: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps({step.name: cpu_s(step) for step in steps(kind, url, Path(folder))}))


if __name__ == "__main__":
    main(next(kind for kind in IN_CHILDREN if kind == sys.argv[1]), sys.argv[2])
