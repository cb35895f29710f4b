"""The help of every command: examples that can be typed as they stand, at the price of Typer alone."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from pipeline.cli import commands
from pipeline.cli_words import EXAMPLES
from tests.cli.conftest import REPOSITORY

_FOUND = typer.main.get_command(commands)
assert isinstance(_FOUND, typer.core.TyperGroup)
PROGRAM = _FOUND
HELP_OF_ALL = """
import sys
from pipeline.cli import commands, typer
program = typer.main.get_command(commands)
for name in program.commands:
    program.main([name, "--help"], prog_name="mediaspool", standalone_mode=False)
heavy = "trio httpx httpcore rich av numpy magic sqlite3 ssl pipeline.app pipeline.runtime".split()
print("heavy:", [name for name in heavy if name in sys.modules])
"""


def shown_by(said: str) -> list[str]:
    """The examples at the end of a command's help."""
    _, _, end = said.partition("For example:\n")
    return [line.strip().removeprefix("mediaspool ") for line in end.splitlines() if line.strip()]


@pytest.mark.real_time
def test_the_help_of_every_command_loads_nothing_heavy_and_ends_with_its_examples() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HELP_OF_ALL], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    *_, heavy = done.stdout.splitlines()
    assert heavy == "heavy: []"
    helps = done.stdout.split("Usage: mediaspool ")[1:]
    assert [said.split()[0] for said in helps] == list(PROGRAM.commands)
    helps[-1] = helps[-1].replace(heavy, "")
    assert {said.split()[0]: tuple(shown_by(said)) for said in helps} == EXAMPLES


@pytest.mark.parametrize("words", [words for examples in EXAMPLES.values() for words in examples])
def test_an_example_parses(words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recordings").mkdir()
    name, *arguments = shlex.split(words)
    PROGRAM.commands[name].make_context(name, arguments, parent=typer.Context(PROGRAM))


@pytest.mark.real_time
@pytest.mark.parametrize(
    ("words", "offered"), [("re", {"retry", "resolve", "rebuild"}), ("run --time", {"--time-limit"}), ("run no", set())]
)
def test_a_shell_completes_commands_and_options_and_leaves_files_to_itself(words: str, offered: set[str]) -> None:
    typed = f"COMP_WORDS=(mediaspool {words}); COMP_CWORD={len(words.split())}; _mediaspool_completion mediaspool"
    script = f'source <(mediaspool --show-completion); {typed}; echo "${{COMPREPLY[@]}}"; complete -p mediaspool'
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    found, how = done.stdout.splitlines()
    assert set(found.split()) == offered
    assert "-o default" in how


@pytest.mark.parametrize("name", PROGRAM.commands)
def test_the_list_of_commands_says_a_whole_sentence_of_each(name: str) -> None:
    shown = PROGRAM.commands[name].get_short_help_str(limit=57)  # what a terminal of 80 columns has room for
    assert shown.endswith(".")
    assert not shown.endswith("...")
