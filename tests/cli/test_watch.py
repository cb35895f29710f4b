"""`watch`: real processes that start real runs, woken by a clock or by a drop, ended by a signal."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.watch import LONGEST_PAUSE_S, Rounds
from tests.cli.conftest import REPOSITORY

pytestmark = pytest.mark.real_time
TEXT = """
schema = 1
name = "words"
[[job]]
id = "words"
kind = "canonical_text"
input = "FOLDER/words.txt"
out = "FOLDER/clean.{ext}"
"""
INSTALLED = (sys.executable, "-P", "-m", "pipeline")  # as the console script: without the folder that one stands in
NEVER_S, LONG_S = "3600", "600"


def until(is_so: Callable[[], bool]) -> None:
    """Bounded: a minute is more than anything here takes."""
    for _ in range(1200):
        if is_so():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come to that")


class Watched:
    """A watch over a stub of a run, and what the runs wrote down."""

    def __init__(self, root: Path, *, every_s: str, seconds: str) -> None:
        self.spool, self.log = root / "spool", root / "log.txt"
        (self.spool / "incoming").mkdir(parents=True)
        words = [sys.executable, "-m", "tests.cli.watch_child", str(self.spool), str(self.log), every_s, seconds]
        self.process = subprocess.Popen(words, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, process_group=0)

    def runs(self) -> int:
        return self.log.read_text().count("run") if self.log.exists() else 0

    def drained(self) -> bool:
        return "drained" in self.log.read_text()

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


@pytest.mark.parametrize("stands", ["anywhere", "beside a package of that name"])
def test_what_is_dropped_is_done_and_a_signal_ends_the_watch(tmp_path: Path, stands: str) -> None:
    (tmp_path / "words.txt").write_text("some words\r\n")
    if stands != "anywhere":
        (tmp_path / "pipeline").mkdir()
        (tmp_path / "pipeline" / "__init__.py").write_text("raise SystemExit('not what was installed')\n")
    spool = tmp_path / "spool"
    process = subprocess.Popen(
        [*INSTALLED, "watch", "--spool", str(spool), "--every", "1s"],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(REPOSITORY)},
        cwd=tmp_path,
    )
    try:
        until(lambda: (spool / "incoming").is_dir())
        (spool / "incoming" / "words.toml").write_text(TEXT.replace("FOLDER", str(tmp_path)))
        until(lambda: (spool / "done" / "words.toml").exists())
    finally:
        process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    assert (tmp_path / "clean.txt").read_text() == "some words\n"


def test_the_clock_starts_a_run_at_every_beat(tmp_path: Path) -> None:
    watched = Watched(tmp_path, every_s="0.05", seconds="0")
    until(lambda: watched.runs() >= 3)
    assert watched.end(signal.SIGINT) == 130


def test_a_drop_is_seen_long_before_the_clock_beats(tmp_path: Path) -> None:
    watched = Watched(tmp_path, every_s=NEVER_S, seconds="0")
    until(lambda: watched.runs() == 1)
    (watched.spool / "incoming" / "drop.toml").write_text("schema = 1")
    until(lambda: watched.runs() >= 2)
    assert watched.end() == 143


def test_a_signal_goes_on_to_the_run_that_is_at_work_and_is_waited_for(tmp_path: Path) -> None:
    watched = Watched(tmp_path, every_s=NEVER_S, seconds=LONG_S)
    until(lambda: watched.runs() == 1)
    assert watched.end() == 143
    assert watched.drained()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_of_the_terminal_which_is_for_everybody_there_reaches_the_run_once(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """A second one cuts the drain short, and the paid calls that are out are in doubt."""
    watched = Watched(tmp_path, every_s=NEVER_S, seconds=LONG_S)
    until(lambda: watched.runs() == 1)
    os.killpg(watched.process.pid, number)
    assert watched.process.wait(60) == code
    assert watched.log.read_text().count("drained") == 1


def test_trouble_in_a_row_slows_the_clock_down_to_a_bound() -> None:
    rounds = Rounds(root="", command=(), environ={}, every_s=30.0, settle_s=2.0)
    assert [rounds.pause_s(troubles) for troubles in (0, 1, 2, 3)] == [30.0, 60.0, 120.0, 240.0]
    assert rounds.pause_s(1000) == LONGEST_PAUSE_S
