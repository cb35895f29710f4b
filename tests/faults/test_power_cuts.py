"""Invariant 6: the power fails, and what was said to be done is done.

A file system on a loop device is shut down with its log unflushed: all that the device had not been given is lost. What
counts is what an observer outside had read before that: jobs of which the run had told that they ended.
"""

import fcntl
import json
import os
import random
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.amounts import IS_WHOLE
from tests.makers import Folder
from tests.test_crash import held
from tests.test_drain import SETTINGS, start
from tests.test_faults import whole_run

pytestmark = [
    pytest.mark.real_time,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not IS_WHOLE, reason="cuts the power of a loop device; only by: make faults"),
]

SHUTDOWN, NO_LOG_FLUSH = 0x8004587D, 2  # EXT4_IOC_SHUTDOWN, which XFS took over
IMAGES = {"ext4": ("64M", ("mkfs.ext4", "-q", "-F")), "xfs": ("320M", ("mkfs.xfs", "-q", "-f"))}
CUTS = {"ext4": 25, "xfs": 20}
JOBS = 40
MANIFEST = 'schema = 1\nname = "cut"\n' + "".join(
    f'[[job]]\nid = "j{n}"\nkind = "tts"\ntext = "Number {n}."\nout = "../../out/j{n}.wav"\n' for n in range(JOBS)
)


class Machine:
    """A disk of its own, mounted on a folder, that can lose its power."""

    def __init__(self, root: Path, kind: str) -> None:
        size, make = IMAGES[kind]
        self.mount_point, self._image = root / "disk", root / "image"
        self.mount_point.mkdir()
        if shutil.which(make[0]) is None:
            pytest.skip(f"there is no {make[0]}")
        with self._image.open("wb") as file:
            file.truncate(int(size[:-1]) << 20)
        subprocess.run([*make, os.fspath(self._image)], check=True, capture_output=True)
        if self._mount().returncode:
            pytest.skip("mounting a loop device needs root and CAP_SYS_ADMIN")

    def cut(self) -> None:
        fd = os.open(self.mount_point, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(fd)

    def restart(self) -> None:
        self.stop()
        assert self._mount().returncode == 0

    def stop(self) -> None:
        """Children of a killed run may need a moment to follow it; until then their files keep the disk busy."""
        for _ in range(100):
            ended = subprocess.run(["umount", os.fspath(self.mount_point)], capture_output=True, text=True, check=False)
            if ended.returncode == 0:
                return
            time.sleep(0.1)
        raise AssertionError(ended.stderr)

    def leave(self) -> None:
        """Whoever still holds it: nothing stays mounted where folders of tests are cleared away."""
        subprocess.run(["umount", "--lazy", os.fspath(self.mount_point)], capture_output=True, check=False)

    def _mount(self) -> "subprocess.CompletedProcess[bytes]":
        command = ["mount", "-o", "loop", os.fspath(self._image), os.fspath(self.mount_point)]
        return subprocess.run(command, capture_output=True, check=False)


@contextmanager
def machine(root: Path, kind: str) -> Iterator[Machine]:
    made = Machine(root, kind)
    try:
        yield made
    finally:
        made.leave()


class Observer:
    """Reads from a thread of its own what a run tells; what it has read can be asked for at any time."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._told: list[str] = []
        self._first = threading.Event()
        self._process = process
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event = json.loads(line) if line.endswith("}\n") else {}
            if event.get("event") == "job-ended" and event["verdict"] == "done":
                self._told.append(event["job"])
                self._first.set()

    def done_after(self, seconds: float) -> set[str]:
        """So long after the first job that ended."""
        assert self._first.wait(60)
        self._thread.join(seconds)
        return set(self._told)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()


def make(root: Path, calls: Path) -> Folder:
    folder = Folder(root)
    folder.calls_file = calls  # the counter of the provider is on another machine
    folder.configure({"paid": "0.10", "delay_s": "0.01"}, extra=SETTINGS)
    (folder.spool / "incoming").mkdir(parents=True)
    (folder.spool / "incoming/cut.toml").write_text(MANIFEST)
    return folder


def whole_jobs(folder: Folder, wanted: bytes) -> set[str]:
    """Every job makes the same sound, so a product is whole when it is that of a run that nothing befell."""
    found = ((f"j{n}", folder.product(f"j{n}.wav")) for n in range(JOBS))
    return {job for job, path in found if path.exists() and path.read_bytes() == wanted}


@pytest.mark.parametrize("kind", CUTS)
def test_invariant_6_what_was_said_to_be_done_outlives_the_power(
    tmp_path: Path, figure: Callable[[str], None], kind: str
) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    chance = random.Random(seed)
    acknowledged = in_doubt = 0
    calm = make(tmp_path / "calm", tmp_path / "calls")
    assert whole_run(calm) == 0
    wanted = calm.product("j0.wav").read_bytes()
    with machine(tmp_path, kind) as disk:
        for cut in range(CUTS[kind]):
            folder = make(disk.mount_point / str(cut), tmp_path / f"calls{cut}")
            os.sync()  # the manifest was dropped long before
            run = start(folder, "-", "--events", "-")
            observer = Observer(run)
            try:
                told, sent = observer.done_after(chance.uniform(0, 0.6)), folder.calls()
                disk.cut()
            finally:
                observer.end()
            late = folder.calls() - sent  # a machine without power sends nothing: these nobody has seen
            disk.restart()
            assert told - whole_jobs(folder, wanted) == set(), (seed, cut)
            assert whole_run(folder) == (3 if held(folder) else 0), (seed, cut)
            made = whole_jobs(folder, wanted)
            assert len(made) + held(folder) == JOBS, (seed, cut)
            assert folder.calls() - late <= JOBS, (seed, cut)
            acknowledged, in_doubt = acknowledged + len(told), in_doubt + held(folder)
            shutil.rmtree(folder.root)
    assert acknowledged
    figure(
        f"power cuts, {kind}: {CUTS[kind]}/{CUTS[kind]}, {acknowledged} jobs acknowledged before, 0 of them damaged, "
        f"{in_doubt} calls in doubt and held, 0 paid twice (seed {seed})"
    )
