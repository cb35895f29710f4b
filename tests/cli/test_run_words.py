"""A plain `run` is read without the parser of all commands, and means the same as read by it."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import typer

from pipeline.cli import commands
from pipeline.run_words import FLAGS, OPTIONS, run_words
from tests.cli.conftest import ONE_STEP, Shell
from tests.makers import Folder

_FOUND = typer.main.get_command(commands)
assert isinstance(_FOUND, typer.core.TyperGroup)
RUN = _FOUND.commands["run"]
LOADED = """
import runpy, sys
try:
    runpy.run_module("tests.cli.scripted_main", run_name="__main__")
finally:
    print(*sys.modules)
"""


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("a.toml",),
        ("a.toml", "b.jsonl", "--spool", "there", "--config=here.toml"),
        ("--if-busy", "skip", "--time-limit=50m", "--quiet", "--spool", "one", "--spool=two"),
        ("--force", "a.toml", "--rehash", "--json", "--events", "told.jsonl"),
    ],
)
def test_what_is_plain_is_read_as_the_parser_reads_it(words: Sequence[str]) -> None:
    """Every parameter of the command, by its option; manifests by the name that Typer has for them."""
    read = run_words(["run", *words])
    assert read is not None
    parsed = RUN.make_context("run", list(words), parent=typer.Context(_FOUND)).params
    named = {option: parsed[parameter.name or ""] for parameter in RUN.params for option in parameter.opts}
    assert read.files == tuple(parsed["manifests"] or ())
    assert read.flags == {flag for flag in FLAGS if named[flag]}
    assert {**dict.fromkeys(OPTIONS), "--if-busy": "fail", **read.options} == {name: named[name] for name in OPTIONS}


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("run", "--help"),
        ("run", "--spol", "there"),
        ("run", "--spool"),
        ("run", "--spool", "--quiet"),
        ("run", "--quiet=yes"),
        ("run", "--", "a.toml"),
        ("run", "--events", "-"),
    ],
)
def test_what_is_odd_is_left_to_the_parser(words: Sequence[str]) -> None:
    assert run_words(words) is None


@pytest.mark.real_time
@pytest.mark.parametrize("words", [("--if-busy", "wait"), ("--time-limit", "soon"), ("--spool",)])
def test_what_is_wrong_is_told_with_the_help_that_everybody_gets(shell: Shell, words: Sequence[str]) -> None:
    said = shell.type("run", *words, code=2)
    assert re.search(r"mediaspool( run)? --help\n", said.err)
    assert "Value error" not in said.err


@pytest.mark.real_time
def test_a_plain_run_loads_no_parser_no_bars_and_no_kind_that_it_does_not_meet(tmp_path: Path) -> None:
    shell = Shell(Folder(tmp_path, manifest=ONE_STEP))
    shell.folder.record("a.wav")
    done = subprocess.run(
        [sys.executable, "-c", LOADED, "run", "notes.toml", *shell.where()],
        cwd=shell.folder.root,
        env=shell.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.split())
    assert {"jobs.transcription", "pipeline.shift"} <= loaded
    assert not {"typer", "pydantic", "rich", "jobs.video", "jobs.tts"} & loaded
