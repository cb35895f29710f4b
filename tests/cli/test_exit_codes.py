"""Every published exit code, given by a process of its own; the signals are in test_signals.py."""

from pathlib import Path

import pytest

from pipeline.report import EXIT_CODES
from tests.cli.conftest import ONE_STEP, Shell, locked
from tests.makers import Folder

pytestmark = pytest.mark.real_time


def test_0_all_is_done_and_then_unchanged(shell: Shell) -> None:
    shell.folder.record("a.wav")
    shell.run(code=0)
    shell.run(code=0)
    assert shell.folder.calls() == 1


def test_0_silence_is_validly_empty(shell: Shell) -> None:
    shell.folder.configure({"text": ""})
    shell.folder.record("a.wav")
    shell.run(code=0)


def test_1_a_bug_in_a_job_is_an_internal_error_and_the_others_go_on(shell: Shell) -> None:
    shell.folder.configure({"fail": "a name that no error has"})
    shell.folder.record("a.wav")
    assert "internal" in shell.run(code=1).err


def test_2_a_wrong_command_line(shell: Shell) -> None:
    shell.type("run", "--no-such-option", code=2)
    shell.type("no-such-command", code=2)
    shell.type("run", "--time-limit", "soon", code=2)
    shell.type("resolve", "--pay-again", "--drop", code=2)
    shell.type(code=2)


def test_78_a_spool_without_a_name_is_not_the_folder_that_one_stands_in(shell: Shell) -> None:
    before = set(shell.folder.root.iterdir())
    for words in (("run", "notes.toml"), ("status",), ("clean", "--yes")):
        assert "--spool names no folder" in shell.type(*words, "--spool", "", code=78).err
    assert set(shell.folder.root.iterdir()) == before


@pytest.mark.parametrize("name", ["notes.toml", "notes.toml/spool"])
def test_78_a_spool_that_is_a_file_is_named(shell: Shell, name: str) -> None:
    said = shell.type("status", "--spool", name, code=78)
    assert f"'{shell.folder.manifest}' is not a folder" in said.err


def test_3_a_failed_a_refused_a_held_or_a_suspect_job(shell: Shell) -> None:
    shell.folder.configure({"fail": "EngineError"})
    shell.folder.record("a.wav")
    shell.run(code=3)
    (shell.folder.root / "recordings" / "b.mp3").write_bytes(b"<!doctype html><html></html>")
    shell.run(code=3)


def test_4_a_cap_stops_the_run_with_work_left(shell: Shell) -> None:
    shell.folder.manifest.write_text(ONE_STEP.replace("[[folder]]", "[limits]\nmax_audio_minutes = 0.01\n[[folder]]"))
    shell.folder.record("a.wav")
    shell.run(code=4)


def test_65_an_invalid_manifest(shell: Shell) -> None:
    shell.folder.manifest.write_text("schema = 1\nthis is not TOML")
    assert shell.run(code=65).err.splitlines()[1].startswith("notes.toml: nothing ran; ")


def test_66_a_missing_manifest_also_in_a_missing_folder(shell: Shell) -> None:
    shell.type("run", "nowhere.toml", *shell.where(), code=66)
    shell.type("run", "nowhere/at/all.toml", *shell.where(), code=66)
    shell.type("plan", "nowhere/at/all.toml", *shell.where(), code=66)


def test_65_and_66_are_only_given_when_nothing_ran(shell: Shell) -> None:
    shell.folder.record("a.wav")
    shell.type("run", "notes.toml", "nowhere.toml", *shell.where(), code=3)
    assert shell.folder.product("a.wav.text.txt").exists()


def test_3_a_server_that_cannot_be_reached(shell: Shell) -> None:
    shell.folder.configure({"fail": "RouteBusy:unreachable"})
    shell.folder.record("a.wav")
    shell.run(code=3)


def test_73_an_output_that_cannot_be_created(shell: Shell) -> None:
    shell.folder.manifest.write_text(ONE_STEP.replace('"out/{reldir}', '"/sys/mediaspool/{reldir}'))
    shell.folder.configure({}, extra=f'roots = ["/sys", "{shell.folder.root}"]\n')
    shell.folder.record("a.wav")
    shell.run(code=73)


def test_74_a_broken_ledger(shell: Shell) -> None:
    shell.folder.record("a.wav")
    shell.run(code=0)
    (shell.folder.spool / "ledger.db").write_bytes(b"this was a database once" * 1000)
    shell.run(code=74)


def test_75_another_run_holds_the_lock(shell: Shell) -> None:
    with locked(shell.folder.spool):
        shell.run(code=75)
        shell.run("--if-busy", "fail", code=75)


def test_75_becomes_a_silent_0_with_if_busy_skip(shell: Shell) -> None:
    with locked(shell.folder.spool):
        said = shell.run("--if-busy=skip", code=0)
    assert (said.out, said.err) == ("", "")


def test_77_a_route_that_takes_nothing_more(shell: Shell) -> None:
    shell.folder.configure({"fail": "RouteClosed"})
    shell.folder.record("a.wav")
    shell.run(code=77)


def test_78_wrong_settings(shell: Shell) -> None:
    shell.folder.config.write_text("no_such_key = 1\n")
    shell.run(code=78)
    shell.type("status", "--config", "nowhere.toml", code=78)


def test_every_published_code_has_a_test() -> None:
    here = Path(__file__).read_text() + (Path(__file__).parent / "test_signals.py").read_text()
    assert [code for code in EXIT_CODES if f"def test_{code}_" not in here] == []


def test_a_problem_of_an_earlier_run_does_not_raise_the_code_again(tmp_path: Path) -> None:
    shell = Shell(Folder(tmp_path, manifest=ONE_STEP, options={"fail": "InDoubt", "paid": "0.10"}))
    shell.folder.record("a.wav")
    shell.run(code=3)
    said = shell.run(code=0)
    assert (said.out, said.err) == ("", "")


def test_every_command_to_type_next_names_the_spool_and_the_settings_as_they_were_named(shell: Shell) -> None:
    shell.folder.configure({"fail": "EngineError"})
    shell.folder.record("a.wav")
    where = "--spool spool --config mediaspool.toml"
    assert f"next: mediaspool retry {where} 'notes/a.wav#text'" in shell.run(code=3).err
    assert f"next: mediaspool retry {where} 'notes/a.wav#text'" in shell.type("status", *shell.where()).err
    (page,) = (shell.folder.spool / "reports").glob("*.report.html")
    assert f"mediaspool retry --spool {shell.folder.spool} --config {shell.folder.config} " in page.read_text()
