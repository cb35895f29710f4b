"""`--events`: a run as lines of JSON that a program can rely on, whatever the names and whoever reads."""

import json
import os
from pathlib import Path

import msgspec
import pytest

from pipeline.events import Event, JobBegun, JobEnded, JobQueued, RunEnded, RunPlanned, RunStarted
from tests.cli.conftest import Shell

pytestmark = pytest.mark.real_time


def events(text: str) -> list[Event]:
    return [msgspec.json.decode(line, type=Event) for line in text.splitlines()]


def test_a_run_is_told_from_its_start_to_its_end_in_order(shell: Shell) -> None:
    shell.folder.record("a.wav")
    shell.run("--events", "events.jsonl", code=0)
    told = events((shell.folder.root / "events.jsonl").read_text())
    assert [type(event) for event in told] == [RunStarted, RunPlanned, JobQueued, JobBegun, JobEnded, RunEnded]
    assert len({event.run for event in told}) == 1
    ended, last = told[-2], told[-1]
    assert isinstance(ended, JobEnded)
    assert isinstance(last, RunEnded)
    assert (ended.verdict, ended.kind, len(ended.products)) == ("done", "transcription", 1)
    assert (last.exit_code, last.counts) == (0, {"done": 1})


def test_a_file_of_events_grows_from_run_to_run_and_is_its_owners_alone(shell: Shell) -> None:
    shell.folder.record("a.wav")
    shell.run("--events", "events.jsonl", code=0)
    shell.run("--events", "events.jsonl", code=0)
    path = shell.folder.root / "events.jsonl"
    told = events(path.read_text())
    assert [type(event) for event in told[-3:]] == [RunStarted, RunPlanned, RunEnded]
    assert path.stat().st_mode & 0o777 == 0o600


def test_on_stdout_there_is_nothing_but_events(shell: Shell) -> None:
    shell.folder.record("a.wav")
    said = shell.run("--events", "-", code=0)
    assert len(events(said.out)) == 6


def test_events_that_cannot_be_written_are_told_before_anything_is_done(shell: Shell) -> None:
    shell.folder.record("a.wav")
    said = shell.run("--events", "no/events.jsonl", code=73)
    assert "--events 'no/events.jsonl' cannot be written: No such file or directory [output-unwritable]" in said.err
    assert "nothing was done" in said.err
    assert shell.folder.calls() == 0


def test_one_object_and_a_stream_cannot_share_stdout(shell: Shell) -> None:
    assert shell.run("--events", "-", "--json").code == 2


def test_a_hostile_name_is_one_harmless_line(shell: Shell) -> None:
    shell.folder.record("a\u202e\x1b[31m\n.wav")
    said = shell.run("--events", "-")
    assert all(line.isprintable() for line in said.out.splitlines())
    assert all(isinstance(json.loads(line), dict) for line in said.out.splitlines())


@pytest.mark.parametrize("where", ["/dev/full", "pipe"])
def test_a_reader_that_takes_nothing_changes_no_verdict(shell: Shell, tmp_path: Path, where: str) -> None:
    if where == "pipe":
        where = str(tmp_path / "pipe")
        os.mkfifo(where)
        reader = os.open(where, os.O_RDONLY | os.O_NONBLOCK)
    for number in range(3):
        shell.folder.record(f"{number}.wav", seconds=1 + number / 10)
    said = shell.run("--events", where, code=0)
    assert ("3 done" in said.err, "not all events could be written" in said.err) == (True, where == "/dev/full")
    if where != "/dev/full":
        os.close(reader)


def test_a_place_where_no_file_can_be_is_told_before_anything_runs(shell: Shell) -> None:
    shell.folder.record("a.wav")
    said = shell.run("--events", "missing/events.jsonl")
    assert said.code in (73, 74)
    assert not (shell.folder.root / "out").exists()
