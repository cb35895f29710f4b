"""Text on stderr, data on stdout, one object with --json, silence without news, and streams that take nothing."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cli.conftest import ONE_STEP, PROGRAM, SCRIPTED, Shell, locked
from tests.makers import Folder

pytestmark = pytest.mark.real_time

EVERY_COMMAND: dict[str, tuple[str, ...]] = {
    "plan": ("plan", "notes.toml"),
    "run": ("run", "notes.toml"),
    "status": ("status",),
    "retry": ("retry",),
    "resolve": ("resolve",),
    "clean": ("clean",),
    "routes": ("routes",),
    "doctor": ("doctor",),
}


@pytest.fixture
def used(shell: Shell) -> Shell:
    """After a run in which something failed."""
    shell.folder.configure({"fail": "EngineError"})
    shell.folder.record("a.wav")
    shell.folder.run()
    return shell


@pytest.mark.parametrize("name", EVERY_COMMAND)
def test_json_is_exactly_one_object_and_no_text(used: Shell, name: str) -> None:
    said = used.type(*EVERY_COMMAND[name], *used.where(), "--json")
    assert said.data["schema"] == 1
    assert said.err == ""


@pytest.mark.parametrize("name", EVERY_COMMAND)
def test_text_for_people_goes_to_stderr(used: Shell, name: str) -> None:
    said = used.type(*EVERY_COMMAND[name], *used.where())
    assert said.out == ""
    assert said.err != "" or name == "run"


def test_init_says_its_data_on_stdout_and_its_text_on_stderr(shell: Shell) -> None:
    said = shell.type("init", "recordings", code=0)
    assert "-59/10 * * * * " in said.out
    assert said.out.count("\n") == 1
    assert "recordings.toml" in said.err
    (shell.folder.root / "recordings.toml").unlink()
    assert shell.type("init", "recordings", "--json").data["crontab"] == said.out.strip()


def test_version_is_data(shell: Shell) -> None:
    said = shell.type("--version", code=0)
    assert said.out.startswith("mediaspool ")
    assert said.err == ""


@pytest.mark.parametrize(
    "words",
    [("run", "--nonsense", "--json"), ("run", "nowhere.toml", "--json"), ("status", "--json", "--config", "nowhere")],
)
def test_an_error_is_one_object_too(shell: Shell, words: Sequence[str]) -> None:
    said = shell.type(*words)
    assert said.data["exit_code"] == said.code != 0


def test_a_busy_spool_is_one_object_too(shell: Shell) -> None:
    with locked(shell.folder.spool):
        assert shell.run("--json", code=75).data["exit_code"] == 75
        assert shell.run("--json", "--if-busy=skip", code=0).data["skipped"] == "busy"


def test_a_run_without_news_says_nothing(shell: Shell) -> None:
    shell.folder.record("a.wav")
    assert "1 done" in shell.run(code=0).err
    said = shell.run(code=0)
    assert (said.out, said.err) == ("", "")


def test_a_tick_that_makes_a_new_spool_says_so_once_or_a_wrong_path_in_a_crontab_would_be_silence(shell: Shell) -> None:
    wrong = str(shell.folder.root / "spol")
    said = shell.type("run", "--spool", wrong, "--if-busy=skip", code=0)
    assert f"warning: a new spool was made, and nothing dropped there yet: '{wrong}'\n" in said.err
    assert shell.type("run", "--spool", wrong, "--if-busy=skip", code=0).err == ""


def test_quiet_speaks_only_when_something_needs_somebody(shell: Shell) -> None:
    shell.folder.record("a.wav")
    assert shell.run("--quiet", code=0).err == ""
    (shell.folder.root / "recordings" / "b.mp3").write_bytes(b"<!doctype html><html></html>")
    assert "refused" in shell.run("--quiet", code=3).err


def test_the_page_to_open_is_named_when_something_needs_somebody_and_in_json_always(shell: Shell) -> None:
    shell.folder.record("a.wav")
    assert str(shell.run("--json", code=0).data["page"]).endswith("-notes.toml.report.html")
    shell.folder.record("b.wav")
    assert "report: " not in shell.run(code=0).err
    shell.folder.configure({"fail": "EngineError"})
    shell.folder.record("c.wav", seconds=2)
    last = shell.run(code=3).err.splitlines()[-1]
    assert (shell.folder.root / last.removeprefix("report: ")).is_file()


def test_a_problem_comes_with_the_next_command_to_type(used: Shell) -> None:
    said = used.type("status", *used.where())
    (line,) = [line for line in said.err.splitlines() if "next: mediaspool retry" in line]
    words = shlex.split(line.partition("next: mediaspool ")[2])
    assert used.type(*words, "--config", "mediaspool.toml", code=0).err.startswith("1 job will run again")


@pytest.mark.parametrize(
    "redirection",
    ["> /dev/full", "2> /dev/full", "> /dev/full 2>&1", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"],
)
def test_invariant_20_a_full_or_closed_stream_never_changes_the_outcome(shell: Shell, redirection: str) -> None:
    shell.folder.configure({"fail": "EngineError"})
    shell.folder.record("a.wav")
    words = ["run", "notes.toml", *shell.where()]
    assert _redirected(shell, [*words, "--json"] if ">&-" in redirection else words, redirection) == 3
    assert (shell.folder.spool / "ledger.db").read_bytes().startswith(b"SQLite format 3")


@pytest.mark.parametrize("redirection", ["> /dev/full 2>&1", ">&- 2>&-"])
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("status", "--json"), 0),
        (("--version",), 0),
        (("run", "--help"), 0),
        (("run", "--nonsense"), 2),
        (("frob",), 2),
    ],
)
def test_invariant_20_holds_for_every_other_way_out(
    shell: Shell, words: Sequence[str], code: int, redirection: str
) -> None:
    assert _redirected(shell, words, redirection) == code


@pytest.mark.parametrize("words", [("run", "notes.toml", "--json"), ("run", "--help")])
def test_a_reader_that_goes_away_changes_nothing(shell: Shell, words: Sequence[str]) -> None:
    shell.folder.record("a.wav")
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.Popen(
        [*SCRIPTED, *words, *shell.where()],
        cwd=shell.folder.root,
        env=shell.environ,
        stdout=writer,
        stderr=writer,
    )
    os.close(writer)
    assert process.wait(60) == 0
    assert shell.folder.product("a.wav.text.txt").exists() == ("--json" in words)


def test_an_idle_tick_with_closed_streams_is_idle(shell: Shell) -> None:
    _rest(shell)
    assert _redirected(shell, ["run", "--spool", "spool"], ">&- 2>&-", program=PROGRAM) == 0


def test_json_survives_a_stream_that_has_no_letters(tmp_path: Path) -> None:
    shell = Shell(Folder(tmp_path, manifest=ONE_STEP))
    shell.folder.record("grüße-日本.wav")
    shell.environ["PYTHONIOENCODING"] = "ascii"
    said = shell.run("--json", code=0)
    assert "grüße-日本" in json.dumps(said.data, ensure_ascii=False)


def test_invariant_28_an_odd_file_name_reaches_no_stream_raw(shell: Shell) -> None:
    name = os.fsdecode(b"a\xff\x1b[31m\xe2\x80\xae.wav")
    (shell.folder.root / "recordings" / name).write_bytes(b"<html></html>")
    shell.folder.record(os.fsdecode(b"b\xff.wav"))
    text, data = shell.run(), shell.type("plan", "notes.toml", *shell.where(), "--json")
    said = text.err + data.out
    assert "\\xff" in said
    assert not {"\x1b", "\u202e"} & set(said)


@pytest.mark.parametrize("words", [(), ("--if-busy=skip", "--time-limit", "50m", "--quiet")])
def test_an_idle_tick_imports_next_to_nothing(shell: Shell, words: Sequence[str]) -> None:
    """The marker stands still only while nobody edits the program, so the resting run is asked for a few times."""
    _rest(shell)
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pipeline", "run", "--spool", "spool", *words],
        cwd=shell.folder.root,
        env=shell.environ,
        capture_output=True,
        check=True,
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.decode().splitlines()}
    assert "pipeline.state.idle" in loaded
    assert not {"typer", "trio", "httpx", "msgspec", "rich", "pipeline.program"} & loaded


def test_a_changed_settings_file_ends_the_rest(shell: Shell) -> None:
    shell.environ["XDG_CONFIG_HOME"] = str(shell.folder.root / "config")
    _rest(shell)
    (shell.folder.root / "config" / "mediaspool").mkdir(parents=True)
    (shell.folder.root / "config" / "mediaspool" / "mediaspool.toml").write_text("no_such_key = 1\n")
    shell.type("run", "--spool", "spool", code=78, program=PROGRAM)


def _rest(shell: Shell) -> None:
    for _ in range(5):
        said = shell.type("run", "--spool", "spool", "--quiet", program=PROGRAM, code=0)  # or it is told as new
        assert said.err == ""
        if (shell.folder.spool / "idle.json").exists():
            return
    raise AssertionError(said)


def _redirected(shell: Shell, words: Sequence[str], redirection: str, program: tuple[str, ...] = SCRIPTED) -> int:
    return subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", *program, *words],
        cwd=shell.folder.root,
        env=shell.environ,
        timeout=100,
        check=False,
    ).returncode


def test_a_name_is_the_same_under_every_locale(shell: Shell) -> None:
    (shell.folder.root / "recordings" / "Grüße.md").write_text("Schöne Grüße.")
    shell.folder.manifest.write_text(
        'schema = 1\nname = "notes"\n[[job]]\nid = "a"\nkind = "canonical_text"\n'
        'input = "recordings/Grüße.md"\nout = "out/Grüße.{ext}"\n'
    )
    where = ("--spool", "spool")
    shell.environ |= {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}  # else it mends C
    shell.type("run", "notes.toml", *where, program=PROGRAM, code=0)
    assert (shell.folder.root / "out" / "Grüße.txt").read_text().strip() == "Schöne Grüße."
    shell.environ |= {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
    said = shell.type("run", "notes.toml", *where, "--json", program=PROGRAM, code=0)
    assert said.data["counts"] == {"unchanged": 1}
