"""What the remote suites share: a server in a process of its own, and clients whose CPU, time and memory are counted.

A client is a whole process with its children. What it costs to start is told apart: each runs with few calls and with
many, and the difference is what a call costs. Nothing is removed between two runs: on ext4 the names and inodes of
removed files make new ones dearer for a minute, which would count against whoever comes next.
"""

import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from msgspec import Struct

from tests.benchmarks.answering import SAMPLES, marked
from tests.benchmarks.memory import held_mb
from tests.benchmarks.table import environment

ROOT = Path(__file__).parents[2]
PEER_PYTHON = ROOT / ".venv-bench/bin/python"
PEER = Path(__file__).with_name("peer.py")
SDKS = ("openai", "litellm")
NO_PEERS = "no peer to compare with: `make peers` installs openai and litellm into .venv-bench"
LOOK_S = 0.02
MEMORY_S = 0.1  # a look at the memory takes the kernel a millisecond or two
HEADER_BYTES = 44
SAMPLE_RATE = 16_000
WAV_RATE = 6 * SAMPLE_RATE

Kind = Literal["transcription", "speech", "text"]
PROMPT = "Say in one sentence what happens."
SENTENCE = (
    "And Mister John Dashwood had then leisure to consider how much there might be prudently in his power to do"
    " for them, number {}."
)
SETTINGS = """
roots = ["."]
default_route = ["bench"]
[routes.bench]
driver = "{driver}"
base_url = "{url}"
width = {width}
discovery = "off"
{more}
"""


class Ran(Struct, frozen=True, kw_only=True):
    """What a process and its children used: CPU and wall in seconds, memory of all together in MB at its highest.

    `own_s` is the CPU of the process without its children, which decode, weigh and listen.
    """

    cpu_s: float
    own_s: float
    wall_s: float
    peak_mb: float


class Work(Struct, frozen=True, kw_only=True):
    """What every side is asked to do: a folder of its own, the kind of calls, one text or path for each, how many at
    a time.
    """

    folder: Path
    kind: Kind
    asks: tuple[str, ...]
    width: int


@contextmanager
def answering(latency_s: float = 0.0) -> Iterator[str]:
    """The origin of a lean server that lives as long as the block."""
    command = [sys.executable, "-m", "tests.benchmarks.answering", "--latency", str(latency_s)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.stdin.close()


@contextmanager
def folder() -> Iterator[Path]:
    """Removed at the very end, and on the disk that TMPDIR names."""
    with tempfile.TemporaryDirectory(prefix="mediaspool-bench-") as name:
        yield Path(name)


def recordings(root: Path, count: int) -> tuple[str, ...]:
    """The same eleven seconds of speech `count` times, no two with the same bytes."""
    body = (SAMPLES / "jfk.wav").read_bytes()
    paths = [root / f"recording-{number}.wav" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(marked(body, b"%07d" % number))
    return tuple(map(str, paths))


def long_recordings(root: Path, count: int, size: int) -> tuple[str, ...]:
    """WAVs of `size` bytes that take little room on the disk, no two with the same bytes: some words, then silence.

    At a rate that makes them short: whether anybody speaks in them is looked for before they are sent.
    """
    data = size - HEADER_BYTES
    said = (SAMPLES / "jfk.wav").read_bytes()[HEADER_BYTES:]
    spoken = b"".join(said[at : at + 2] * (WAV_RATE // SAMPLE_RATE) for at in range(0, len(said), 2))
    shape = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, WAV_RATE, 2 * WAV_RATE, 2, 16)
    header = struct.pack("<4sI4s", b"RIFF", size - 8, b"WAVE") + shape + struct.pack("<4sI", b"data", data)
    paths = [root / f"long-{number}.wav" for number in range(count)]
    for number, path in enumerate(paths):
        with path.open("wb") as file:
            file.write(header + b"%08d" % number + spoken)
            file.truncate(size)
    return tuple(map(str, paths))


def sentences(count: int) -> tuple[str, ...]:
    return tuple(map(SENTENCE.format, range(count)))


def documents(root: Path, count: int) -> tuple[str, ...]:
    """Two and a half kilobytes of words each."""
    paths = [root / f"document-{number}.txt" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_text(f"{SENTENCE.format(number)}\n" * 20)
    return tuple(map(str, paths))


def durable(work: Work, url: str, count: int, *, driver: str = "openai", more: str = "") -> Ran:
    """mediaspool itself, on a fresh spool: every job done and on the disk, or the benchmark ends."""
    mark, asked_for = _prepared(work, url, count, driver=driver, more=more)
    done = ran([sys.executable, "-m", "pipeline", "run", *asked_for])
    receipts = sum(path.name.endswith(".receipt.json") for path in (work.folder / f"{mark}-out").iterdir())
    assert receipts == count, f"{receipts} of {count} jobs have a receipt"
    return done


def planned(work: Work, url: str, count: int) -> Ran:
    """What mediaspool does before it makes the first call: it reads the jobs and decides about each."""
    _, asked_for = _prepared(work, url, count, driver="openai", more="")
    return ran([sys.executable, "-m", "pipeline", "plan", *asked_for])


def _prepared(work: Work, url: str, count: int, *, driver: str, more: str) -> tuple[str, list[str]]:
    """The mark of a trial, and what a command is told to do the first `count` of its jobs on a fresh spool."""
    mark = f"{work.kind}-{len(os.listdir(work.folder))}"
    config, manifest = work.folder / f"{mark}.toml", work.folder / f"{mark}.jsonl"
    config.write_text(SETTINGS.format(driver=driver, url=f"{url}/v1", width=work.width, more=more))
    jobs = [
        {"id": f"job-{number}", **_job(work.kind, ask, f"{mark}-out/{number}")}
        for number, ask in enumerate(work.asks[:count])
    ]
    manifest.write_text("\n".join(map(json.dumps, [{"schema": 1}, *jobs])) + "\n")
    return mark, [str(manifest), "--config", str(config), "--spool", str(work.folder / f"{mark}-spool")]


def _job(kind: Kind, ask: str, out: str) -> dict[str, str]:
    if kind == "text":
        return {"kind": "text", "prompt": PROMPT, "model": "bench/model", "input": ask, "out": f"{out}.txt"}
    if kind == "speech":
        return {"kind": "tts", "text": ask, "out": f"{out}.wav"}
    return {"kind": "transcription", "input": ask, "out": f"{out}.txt"}


def peer(sdk: str, work: Work, url: str, count: int) -> Ran:
    """The bare calls of an SDK, in the Python of `.venv-bench`."""
    command = [str(PEER_PYTHON), str(PEER), sdk, work.kind, "--url", f"{url}/v1"]
    return ran([*command, "--asks", str(asked(work, count)), "--width", str(work.width)])


def asked(work: Work, count: int) -> Path:
    """A file with the first asks, one a line."""
    path = work.folder / f"asks-{work.kind}-{count}.txt"
    path.write_text("\n".join(work.asks[:count]))
    return path


def per_call(run: Callable[[int], Ran], few: int, many: int) -> tuple[Ran, Ran]:
    """What a process costs with `few` calls, and what each further call costs."""
    start, whole = run(few), run(many)
    calls = many - few
    cpu_s, wall_s = (whole.cpu_s - start.cpu_s) / calls, (whole.wall_s - start.wall_s) / calls
    own_s = (whole.own_s - start.own_s) / calls
    return start, Ran(cpu_s=cpu_s, own_s=own_s, wall_s=wall_s, peak_mb=whole.peak_mb)


def ran(command: Sequence[str]) -> Ran:
    """Run a process to its end, which must be a good one."""
    with tempfile.TemporaryFile() as told:
        started = time.perf_counter()
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=told, env=environment(), cwd=ROOT)
        peak = looked = 0.0
        while os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            if time.perf_counter() - looked > MEMORY_S:
                peak, looked = max(peak, held_mb(child.pid)), time.perf_counter()
            time.sleep(LOOK_S)
        wall, own = time.perf_counter() - started, own_cpu_s(child.pid)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            told.seek(0)
            sys.exit(f"{' '.join(command[:6])} ended with {child.returncode}: {told.read().decode()[-2000:]}")
    return Ran(cpu_s=used.ru_utime + used.ru_stime, own_s=own, wall_s=wall, peak_mb=peak)


def own_cpu_s(pid: int) -> float:
    """The CPU of a process that has ended and was not waited for, without that of its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system = fields[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
