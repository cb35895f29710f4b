"""SIGINT, SIGTERM and SIGHUP: a run drains and ends with 130, 143 or 129; a signal after its end changes nothing."""

import fcntl
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import PROGRAM, Gate, Shell

pytestmark = pytest.mark.real_time


def _run_words(shell: Shell) -> tuple[str, ...]:
    return ("run", "notes.toml", *shell.where())


def test_143_sigterm_lets_the_running_job_finish_and_starts_no_other(shell: Shell, gate: Gate) -> None:
    shell.folder.configure({"delay_s": "0.5"}, extra='drain_grace = "50s"\n')
    for number in range(9):
        shell.folder.record(f"{number}.wav", seconds=1 + number / 10)
    process = shell.start(*_run_words(shell))
    gate.await_call()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    made = len(list((shell.folder.root / "out").glob("*.txt")))
    assert 0 < made < 9


def test_130_sigint_drains_likewise(shell: Shell, gate: Gate) -> None:
    shell.folder.configure({"delay_s": "0.1"}, extra='drain_grace = "50s"\n')
    shell.folder.record("a.wav")
    process = shell.start(*_run_words(shell))
    gate.await_call()
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130


def test_129_a_closed_terminal_drains_likewise(shell: Shell, gate: Gate) -> None:
    """It killed the run, and every paid call that was out was in doubt."""
    shell.folder.configure({"delay_s": "0.1"}, extra='drain_grace = "50s"\n')
    shell.folder.record("a.wav")
    process = shell.start(*_run_words(shell))
    gate.await_call()
    process.send_signal(signal.SIGHUP)
    assert process.wait(60) == 129
    assert list((shell.folder.root / "out").glob("*.txt"))


def test_a_run_under_nohup_goes_on_when_its_terminal_is_closed(shell: Shell, gate: Gate) -> None:
    shell.folder.configure({"delay_s": "0.1"})
    shell.folder.record("a.wav")
    process = shell.start(*_run_words(shell), ignored=signal.SIGHUP)
    gate.await_call()
    process.send_signal(signal.SIGHUP)
    assert process.wait(60) == 0


def test_a_second_signal_cuts_the_drain_short(shell: Shell, gate: Gate) -> None:
    shell.folder.configure({"delay_s": "3000"}, extra='drain_grace = "50m"\n')
    shell.folder.record("a.wav")
    process = shell.start(*_run_words(shell))
    gate.await_call()
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) in (130, 143)


def test_invariant_10_a_signal_after_the_run_has_ended_changes_nothing(shell: Shell, gate: Gate) -> None:
    """The program hangs on a full pipe while it says how the run went: the run is over, the lock is free."""
    shell.folder.configure({"fail": "EngineError"})
    shell.folder.record("a.wav")
    reader, writer = os.pipe()
    _fill(writer)
    process = shell.start(*_run_words(shell), stderr=writer)
    gate.await_call()
    _await_lock(shell.folder.spool)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    os.close(writer)
    said = _read_all(reader)
    assert process.wait(60) == 3
    assert b"1 failed" in said


def test_the_time_limit_drains_and_gives_4(shell: Shell) -> None:
    shell.folder.configure({"delay_s": "3000"}, extra='drain_grace = "0.1s"\n')
    shell.folder.record("a.wav")
    shell.run("--time-limit", "0.5s", code=4)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_any_other_command_ends_at_once(shell: Shell, number: signal.Signals, code: int) -> None:
    """The settings are a FIFO that nobody writes to: the command waits in it, and surely under its handlers."""
    shell.folder.config.unlink()
    os.mkfifo(shell.folder.config)
    process = shell.start("status", "--config", "mediaspool.toml")
    writer = os.open(shell.folder.config, os.O_WRONLY)  # waits for the reader
    process.send_signal(number)
    assert process.wait(60) == code
    os.close(writer)


def test_a_signal_before_the_run_begins_ends_it_with_nothing_done(shell: Shell) -> None:
    """A killed start leaves no spool behind: the settings come before everything."""
    shell.folder.config.unlink()
    os.mkfifo(shell.folder.config)
    process = shell.start(*_run_words(shell))
    writer = os.open(shell.folder.config, os.O_WRONLY)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    os.close(writer)
    assert not shell.folder.spool.exists()


def test_sigint_while_starting_leaves_no_traceback(shell: Shell) -> None:
    process = subprocess.Popen(
        [*PROGRAM, "status"],
        cwd=shell.folder.root,
        env={**shell.environ, "MEDIASPOOL_CONFIG": str(_fifo(shell.folder.root / "settings.toml"))},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    writer = os.open(shell.folder.root / "settings.toml", os.O_WRONLY)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    os.close(writer)
    assert (said, process.returncode) == (b"", 130)


def _fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def _fill(writer: int) -> None:
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writer, True)


def _await_lock(spool: Path) -> None:
    """Returns when the run has let go of its spool."""
    with (spool / "lock").open("r") as file:
        fcntl.flock(file, fcntl.LOCK_EX)


def _read_all(reader: int) -> bytes:
    with os.fdopen(reader, "rb") as file:
        return file.read()
