"""By hand: a bar on a terminal, and a moment of patience for files that were just written."""

import os
import pty
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.shift import MAX_WAIT_S, let_settle
from tests.cli.conftest import ONE_STEP, SCRIPTED, Shell

pytestmark = pytest.mark.real_time
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|9[0-7])(?:;\d+)*m")


class Terminal:
    """What a program writes to a terminal of its own, and how it ended."""

    def __init__(self, shell: Shell, *words: str, **environ: str) -> None:
        master, slave = pty.openpty()
        self._process = subprocess.Popen(
            [*SCRIPTED, *words],
            cwd=shell.folder.root,
            env={**shell.environ, "TERM": "xterm", "COLUMNS": "100", **environ},
            stdin=slave,
            stdout=subprocess.PIPE,
            stderr=slave,
        )
        os.close(slave)
        with self._process:
            self.text = b"".join(_chunks(master)).decode()
            assert self._process.stdout is not None
            self.out = self._process.stdout.read().decode()
        self.code = self._process.returncode
        os.close(master)


def _chunks(master: int) -> Iterator[bytes]:
    while True:
        try:
            chunk = os.read(master, 65536)
        except OSError:  # the other side is closed
            return
        if not chunk:
            return
        yield chunk


@pytest.fixture
def ready(shell: Shell) -> Shell:
    shell.folder.record("a.wav")
    return shell


def _words(shell: Shell) -> tuple[str, ...]:
    return ("run", "notes.toml", *shell.where())


def test_a_terminal_sees_a_bar_and_the_summary(ready: Shell) -> None:
    seen = Terminal(ready, *_words(ready))
    assert "\x1b[" in seen.text
    assert "1/1" in seen.text
    assert "scripted" in COLOUR.sub("", seen.text)
    assert "1 done" in seen.text
    assert (seen.out, seen.code) == ("", 0)


def test_a_terminal_is_told_also_when_there_is_no_news(ready: Shell) -> None:
    Terminal(ready, *_words(ready))
    assert "1 unchanged" in Terminal(ready, *_words(ready)).text


def test_no_color_is_honoured(ready: Shell) -> None:
    assert COLOUR.search(Terminal(ready, *_words(ready)).text)
    os.unlink(ready.folder.product("a.wav.text.txt"))
    assert not COLOUR.search(Terminal(ready, *_words(ready), NO_COLOR="1").text)


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_terminal_that_can_do_nothing_gets_plain_text(ready: Shell, term: str) -> None:
    seen = Terminal(ready, *_words(ready), TERM=term)
    assert "\x1b" not in seen.text
    assert "1 done" in seen.text
    assert "1 unchanged" in Terminal(ready, *_words(ready), TERM=term).text


def test_json_and_quiet_draw_no_bar(ready: Shell) -> None:
    seen = Terminal(ready, *_words(ready), "--json")
    assert (seen.text, seen.code) == ("", 0)
    assert seen.out.startswith("{")
    os.unlink(ready.folder.product("a.wav.text.txt"))
    assert Terminal(ready, *_words(ready), "--quiet").text == ""


def test_help_and_status_have_no_escapes_in_a_pipe(ready: Shell) -> None:
    assert "\x1b" not in ready.type("--help", code=0).out
    assert "\x1b" not in ready.type("run", "--help", code=0).out


def test_by_hand_a_recording_that_was_just_made_is_waited_for(ready: Shell) -> None:
    ready.folder.manifest.write_text(ONE_STEP.replace('"0s"', '"2s"'))
    ready.folder.record("b.wav", seconds=2)
    seen = Terminal(ready, *_words(ready))
    assert "still settling" in seen.text
    assert "2 done" in seen.text


def test_from_cron_it_is_left_for_the_next_run(ready: Shell) -> None:
    ready.folder.manifest.write_text(ONE_STEP.replace('"0s"', '"1h"'))
    said = ready.run(code=0)
    assert (said.out, said.err) == ("", "")
    assert ready.run("--json", code=0).data["unsettled"] == 1
    assert ready.folder.calls() == 0


@contextmanager
def _clock() -> Iterator[tuple[Callable[[], float], list[float]]]:
    slept: list[float] = []
    yield (lambda: sum(slept)), slept


def _wait(answers: Iterable[tuple[str, ...]], touch: Path | None = None) -> tuple[list[int], float]:
    """How many files were told of, and how long it waited."""
    told: list[int] = []
    rest = iter(answers)
    with _clock() as (now, slept):

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            if touch is not None:
                touch.write_text("x" * len(slept))

        let_settle(lambda: next(rest), tell=told.append, sleep=sleep, now=now)
        return told, sum(slept)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.wav"
    path.write_text("x" * 1000)
    return path


def test_nothing_to_wait_for_is_not_waited_for() -> None:
    assert _wait([()]) == ([], 0)


def test_the_wait_ends_when_the_file_has_settled(file: Path) -> None:
    name = (str(file),)
    assert _wait([name, name, name, ()]) == ([1], 3)


def test_a_file_that_still_grows_is_left_to_the_next_run(file: Path) -> None:
    name = (str(file),)
    assert _wait([name] * 9, touch=file) == ([1], 1)


def test_the_wait_has_an_end(file: Path) -> None:
    told, waited = _wait([(str(file),)] * 1000)
    assert told == [1]
    assert waited == MAX_WAIT_S


def test_a_file_that_vanished_is_not_waited_for(file: Path) -> None:
    assert _wait([(str(file) + ".gone",)]) == ([], 0)
