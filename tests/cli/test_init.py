"""`init`: a first manifest that works as it is."""

import shlex
from pathlib import Path

import pytest

from pipeline import preview, starter
from pipeline.answer import Answer
from pipeline.core.errors import InputError
from pipeline.preview import Plan
from pipeline.starter import crontab_line, start
from tests.cli.conftest import Shell, seat
from tests.makers import Folder

pytestmark = pytest.mark.real_time
ODD_NAMES = [
    "plain",
    "with space",
    "50%",
    "a[1]",
    "{x}",
    "it's",
    'say "hi"',
    "grüße",
    "-dash",
    "#hash",
    "back\\slash",
    "💾",
]


def plan_of(folder: Folder, manifest: Path) -> Plan:
    answer = preview.plan(seat(folder), [str(manifest)])
    assert isinstance(answer.record, Plan)
    return answer.record


@pytest.mark.parametrize("name", ODD_NAMES)
def test_the_manifest_finds_the_recordings_whatever_the_folder_is_called(folder: Folder, name: str) -> None:
    recording = folder.record("a.wav")
    (folder.root / name).mkdir()
    recording.rename(folder.root / name / "a.wav")
    assert start(str(folder.root / name)).exit_code == 0
    manifest = folder.root / f"{name}.toml"
    manifest.write_text(manifest.read_text().replace('route = ["local"]', 'route = ["scripted"]'))
    (planned,) = plan_of(folder, manifest).manifests
    assert [(job.id.endswith("a.wav#text"), job.choice) for job in planned.jobs] == [(True, "run"), (False, "later")]
    products = [product for job in planned.jobs for product in job.products]
    assert all(f"/transcripts/{name}/" in product for product in products if "\\" not in name)


def test_a_manifest_that_is_there_stays_as_it_is(shell: Shell) -> None:
    shell.type("init", "recordings", code=0)
    path = shell.folder.root / "recordings.toml"
    path.write_text("mine")
    said = shell.type("init", "recordings", code=73)
    assert path.read_text() == "mine"
    assert "stays as it is" in said.err


def test_a_link_in_the_place_of_the_manifest_is_not_followed(folder: Folder) -> None:
    (folder.root / "recordings.toml").symlink_to(folder.root / "elsewhere")
    assert start(str(folder.root / "recordings")).exit_code == 73
    assert not (folder.root / "elsewhere").exists()


def test_a_folder_that_is_none_is_a_wrong_command_line(shell: Shell) -> None:
    shell.type("init", "nowhere", code=2)
    shell.type("init", "notes.toml", code=2)
    shell.type("init", code=2)


def test_the_root_folder_and_a_name_that_is_no_text_are_refused(folder: Folder) -> None:
    (folder.root / "a\udcff").mkdir()
    for path in ("/", str(folder.root / "a\udcff")):
        with pytest.raises(InputError):
            start(path)


def test_the_folder_may_be_the_one_we_stand_in(shell: Shell) -> None:
    shell.environ["PWD"] = str(shell.folder.root)
    said = shell.type("init", "recordings/.", code=0)
    assert str(shell.folder.root / "recordings.toml") in said.out


def test_the_crontab_line_is_one_that_cron_understands() -> None:
    line = crontab_line("/srv/50% of it/notes.toml")
    fields = line.split(" ", 5)
    assert fields[1:5] == ["*", "*", "*", "*"]
    assert int(fields[0].removesuffix("-59/10")) in range(10)
    assert "%" not in line.replace("\\%", "")
    words = shlex.split(fields[5].replace("\\%", "%"))
    assert words[-3:] == ["run", "--if-busy=skip", "/srv/50% of it/notes.toml"]
    assert words[0].startswith("/")


def test_the_crontab_line_runs_what_the_manifest_says(shell: Shell) -> None:
    """The very words, with a shell and nothing of an environment, as cron would."""
    shell.folder.record("a.wav")
    words = shell.type("init", "recordings", code=0).out.split(" ", 5)[5]
    said = shell.type("-c", words, program=("/usr/bin/env", "-i", f"HOME={shell.folder.root}", "/bin/sh"), code=0)
    assert (said.out, said.err) == ("", "")  # the recording has not settled yet, which is no news


def test_the_answer_names_what_was_written(folder: Folder) -> None:
    answer: Answer = starter.start(str(folder.root / "recordings"))
    assert answer.text.startswith("wrote ")
    assert answer.lines == crontab_line(str(folder.root / "recordings.toml")) + "\n"


@pytest.mark.parametrize("name", ["-dash", "with space"])
def test_the_command_that_it_proposes_can_be_typed_as_it_stands(shell: Shell, name: str) -> None:
    (shell.folder.root / name).mkdir()
    (line,) = [line for line in shell.type("init", "--", name, code=0).err.splitlines() if "mediaspool plan" in line]
    assert "0 jobs" in shell.type(*shlex.split(line.partition(" mediaspool ")[2]), code=0).err
