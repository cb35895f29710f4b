"""Refusals in `status`: they last as long as what was refused, and are news once."""

import os
import sys

import pytest

from pipeline import overview
from pipeline.overview import Status
from pipeline.state.drops import REPORT_SUFFIX
from tests.cli.conftest import seat
from tests.makers import MANIFEST, Folder, verdicts

pytestmark = pytest.mark.real_time


def problems(folder: Folder) -> set[str]:
    found = overview.status(seat(folder)).record
    assert isinstance(found, Status)
    return {problem.id for problem in found.problems}


def test_a_refusal_is_no_problem_any_more_once_a_run_finds_its_file_gone(folder: Folder) -> None:
    odd, other = folder.record("a.mp3"), folder.record("b.mp3")
    for path in (odd, other):
        path.write_bytes(b"<!doctype html><html></html>")
    folder.run()
    odd.unlink()
    folder.run()
    assert problems(folder) == {"notes/b.mp3#text"}


def test_a_refused_file_that_is_being_written_is_not_forgotten_and_no_news_afterwards(folder: Folder) -> None:
    odd, now = folder.record("a.mp3"), folder.now
    folder.manifest.write_text(folder.manifest.read_text().replace('"0s"', '"10s"'))
    odd.write_bytes(b"<!doctype html><html></html>")
    folder.run()
    odd.touch()
    folder.now = odd.stat().st_mtime
    assert folder.run().unsettled == 1
    folder.now = now
    assert verdicts(folder.run()) == {"notes/a.mp3#text": "unchanged"}


BAD = 'schema = 1\nname = "{name}"\n[[job]]\nid = "{id}"\nkind = "transcription"\ninput = "nowhere.wav"\nwrong = 1\n'


def drop(folder: Folder, name: str, job: str, *, file: str = "", is_run: bool = True) -> None:
    (folder.spool / "incoming").mkdir(parents=True, exist_ok=True)
    (folder.spool / "incoming" / f"{file or name}.toml").write_text(BAD.format(name=name, id=job))
    if is_run:
        folder.run_spool()


def test_the_refusals_of_a_dropped_manifest_last_as_long_as_it_lies_there(folder: Folder) -> None:
    drop(folder, "first", "a")
    drop(folder, "second", "b")
    assert problems(folder) == {"a", "b"}
    (folder.spool / "failed" / "first.toml").unlink()
    drop(folder, "third", "c")
    assert problems(folder) == {"b", "c"}
    drop(folder, "second", "corrected")
    assert problems(folder) == {"c", "corrected"}


def test_manifests_of_one_name_do_not_take_back_each_others_refusals(folder: Folder) -> None:
    for job in ("a", "b"):
        drop(folder, "same", job, file=job, is_run=job == "b")
    assert problems(folder) == {"a", "b"}


def test_the_refusals_of_a_manifest_that_was_named_are_kept_whatever_else_is_run(folder: Folder) -> None:
    folder.manifest.write_text(BAD.format(name="named", id="a"))
    folder.run()
    drop(folder, "other", "b")
    assert problems(folder) == {"a", "b"}


class Opened:
    """The files that this process opens, as Python itself tells."""

    def __init__(self) -> None:
        self.names: list[str] | None = None
        sys.addaudithook(self._heard)

    def _heard(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.names is not None and event == "open":
            self.names.append(str(arguments[0]))


@pytest.fixture(scope="module")
def opened() -> Opened:
    return Opened()  # an audit hook cannot be taken away; this one hears nothing until it is given a list


def test_what_is_done_is_not_read_at_every_tick_because_a_refused_manifest_lies_there(
    folder: Folder, opened: Opened
) -> None:
    folder.record("a.wav")
    (folder.spool / "incoming").mkdir(parents=True)
    (folder.spool / "incoming" / "good.toml").write_text(MANIFEST.replace("recordings", f"{folder.root}/recordings"))
    folder.run_spool()
    assert [path.name for path in (folder.spool / "done").glob("*.toml")] == ["good.toml"]
    drop(folder, "odd", "a")
    names: list[str] = []
    opened.names = names
    folder.run_spool()
    opened.names = None
    read = {os.path.basename(os.path.dirname(name)) for name in names if name.endswith(REPORT_SUFFIX)}
    assert read == {"failed"}
