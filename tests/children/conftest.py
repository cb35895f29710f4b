"""Makers for the tests of the children: pools, lanes, recordings made with numpy, a watch over canary files."""

import contextlib
import ctypes
import os
import struct
import sys
import wave
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from pathlib import Path

import msgspec
import numpy as np
import pytest

from pipeline.children import pcm
from pipeline.children.lanes import Lanes
from pipeline.children.limits import resident_bytes
from pipeline.children.pool import PoolSettings, StagePool
from pipeline.children.process import ChildSettings
from pipeline.children.stage import StageResult, StageSpec
from pipeline.core.wav import wrap_pcm

MEDIA = Path(__file__).parents[2] / "samples" / "media"
ODD_CHILD = str(Path(__file__).with_name("odd_child.py"))
PoolMaker = Callable[..., StagePool]


def ask(stage: str, *, deadline_s: float = 20.0) -> StageSpec:
    return StageSpec(stage=stage, deadline_s=deadline_s)


def pid_of(result: StageResult) -> int:
    assert result.code is None, result
    return msgspec.json.decode(result.facts, type=int)


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return stat.read().rsplit(b")", 1)[1].split()[0] != b"Z"
    except FileNotFoundError:
        return False


def own_children() -> set[int]:
    """Without those that are still copies of this process, about to become what they are started for."""
    found, own = set(), Path("/proc/self/cmdline").read_bytes()
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{entry}/stat", "rb") as stat:
            is_own = int(stat.read().rsplit(b")", 1)[1].split()[1]) == os.getpid()
            if is_own and Path(f"/proc/{entry}/cmdline").read_bytes() != own:
                found.add(int(entry))
    return found


def peak_of_children(future: "Future[StageResult]", *, others: frozenset[int] = frozenset()) -> int:
    """The most bytes that any child of this process but `others` held until the future was done."""
    peak = 0
    while not wait([future], timeout=0.005).done:
        peak = max([peak, *(resident_bytes(pid) or 0 for pid in own_children() - others)])
    return peak


def tone(seconds: float, rate: int = 16_000, channels: int = 1) -> bytes:
    """A WAV of a 440 Hz tone."""
    wave = 0.3 * np.sin(np.arange(int(seconds * rate)) * (2 * np.pi * 440 / rate))
    pcm = np.repeat((wave * 32767).astype("<i2"), channels).tobytes()
    return wrap_pcm(pcm, rate=rate, channels=channels)


def pcm_of(name: str) -> pcm.Pcm:
    """The samples of a WAV among the samples."""
    with wave.open(str(MEDIA / name)) as wav:
        return np.frombuffer(wav.readframes(wav.getnframes()), dtype="<i2")


def odd_wav(rate: int, data: bytes) -> bytes:
    """A well-formed WAV header with any rate, as no recorder writes it."""
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16)
    return b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVE" + fmt + b"data" + struct.pack("<I", len(data)) + data


class Watch:
    """Tells whether anybody opened one of the watched files, by inotify."""

    def __init__(self, *paths: Path) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd: int = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        for path in paths:
            assert self._libc.inotify_add_watch(self._fd, os.fsencode(path), 0x20 | 0x1) >= 0

    def was_touched(self) -> bool:
        try:
            return bool(os.read(self._fd, 4096))
        except BlockingIOError:
            return False

    def close(self) -> None:
        os.close(self._fd)


@pytest.fixture
def odd_pool() -> Iterator[PoolMaker]:
    """Pools of the misbehaving child, closed at the end."""
    made: list[StagePool] = []

    def make(
        *, workers: int = 1, memory_mb: int = 1000, max_jobs: int = 100, environ: dict[str, str] | None = None
    ) -> StagePool:
        child = ChildSettings(memory_mb=memory_mb, argv=(sys.executable, "-P", ODD_CHILD))
        settings = PoolSettings(workers=workers, child=child, max_jobs_per_child=max_jobs)
        made.append(StagePool(settings, environ=os.environ if environ is None else environ))
        return made[-1]

    yield make
    for pool in made:
        pool.close()


@pytest.fixture
def lanes(tmp_path: Path) -> Iterator[Lanes]:
    """Real lanes over a fresh folder (`in`), the samples, and a staging folder."""
    (tmp_path / "in").mkdir()
    (tmp_path / "staging").mkdir()
    made = Lanes(
        roots={"in": str(tmp_path / "in"), "samples": str(MEDIA)},
        staging=str(tmp_path / "staging"),
        engine_workers=1,
        media_workers=1,
        memory_mb=2500,
    )
    yield made
    made.close()
