"""The idle marker: it says idle only for a spool in which a run would find nothing changed."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.state import idle
from pipeline.state.idle import MAX_WATCHED, is_idle, remove_marker, write_marker
from pipeline.state.spool import Spool


class Rest:
    """A spool whose last run watched one folder and one file, and found everything at rest."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "spool"
        self.spool = Spool.create(str(self.root))
        self.recordings = folder / "recordings"
        (self.recordings / "2026").mkdir(parents=True)
        self.recording = self.recordings / "2026" / "a.wav"
        self.recording.write_bytes(b"RIFF")
        (self.recordings / ".git").mkdir()
        self.settings = folder / "mediaspool.toml"
        self.settings.write_text("")
        self.standing = self.root / "standing" / "daily.toml"
        self.standing.write_text("schema = 1")
        self.missing = folder / "not-yet.wav"

    def begin(self) -> None:
        """Begin a run strictly after everything so far, by the coarse clock that stamps files."""
        probe = self.root / "staging" / "probe"
        newest = max(path.stat().st_ctime_ns for path in (self.recording, self.settings, self.standing, self.root))
        while not probe.exists() or probe.stat().st_ctime_ns <= newest:
            probe.write_bytes(b"")
            os.utime(probe)
        probe.unlink()
        remove_marker(str(self.root))

    def end(self, *, settle_s: float = 2.0) -> bool:
        return write_marker(
            str(self.root),
            watched=[str(self.recordings), str(self.missing)],
            settle_s=settle_s,
            extra_files=[str(self.settings)],
        )

    @property
    def is_idle(self) -> bool:
        return is_idle(str(self.root))


@pytest.fixture
def rest(tmp_path: Path) -> Rest:
    found = Rest(tmp_path)
    found.begin()
    assert found.end()
    return found


def test_a_spool_at_rest_is_idle(rest: Rest) -> None:
    assert rest.is_idle


def test_a_spool_that_never_ran_is_not_idle(tmp_path: Path) -> None:
    assert not is_idle(str(tmp_path))
    assert not Rest(tmp_path).is_idle


def _append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


CHANGES: dict[str, Callable[[Rest], object]] = {
    "a recording is written to": lambda rest: _append(rest.recording),
    "a recording is new": lambda rest: (rest.recordings / "2026" / "b.wav").touch(),
    "a recording is new in a new folder": lambda rest: (rest.recordings / "2027").mkdir(),
    "a recording is deleted": lambda rest: rest.recording.unlink(),
    "a recording is renamed": lambda rest: rest.recording.rename(rest.recordings / "c.wav"),
    "a recording is replaced by equal bytes": lambda rest: (
        (rest.recordings / "x.tmp").write_bytes(b"RIFF"),
        (rest.recordings / "x.tmp").rename(rest.recording),
    ),
    "a missing input appears": lambda rest: rest.missing.touch(),
    "a standing manifest is edited": lambda rest: _append(rest.standing),
    "a standing manifest is new": lambda rest: (rest.root / "standing" / "b.toml").touch(),
    "a standing manifest is gone": lambda rest: rest.standing.unlink(),
    "the settings are edited": lambda rest: _append(rest.settings),
    "work is claimed": lambda rest: (rest.root / "claimed" / "notes.toml").touch(),
    "a run begins": lambda rest: remove_marker(str(rest.root)),
    "the marker is cut": lambda rest: os.truncate(rest.root / "idle.json", 20),
    "the marker is no marker": lambda rest: (rest.root / "idle.json").write_text("[1, 2, 3, 4]"),
    "the spool was moved": lambda rest: rest.recordings.rename(rest.recordings.with_name("elsewhere")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_it_is_not_idle_after(rest: Rest, change: str) -> None:
    CHANGES[change](rest)
    assert not rest.is_idle


QUIET: dict[str, Callable[[Rest], object]] = {
    "a recording is read": lambda rest: rest.recording.read_bytes(),
    "something is written inside an ignored folder": lambda rest: (rest.recordings / ".git" / "index").touch(),
    "an input is dropped beside the manifests": lambda rest: (rest.root / "incoming" / "a.wav").touch(),
    "an unfinished manifest is dropped": lambda rest: (rest.root / "incoming" / "a.toml.part").touch(),
    "a report is read": lambda rest: os.listdir(rest.root / "reports"),
}


@pytest.mark.parametrize("change", QUIET)
def test_it_stays_idle_after(rest: Rest, change: str) -> None:
    QUIET[change](rest)
    assert rest.is_idle


def test_a_dropped_manifest_counts_once_it_has_settled(tmp_path: Path) -> None:
    rest = Rest(tmp_path)
    for settle_s, is_still_idle in ((3600.0, True), (0.0, False)):
        rest.begin()
        assert rest.end(settle_s=settle_s)
        (rest.root / "incoming" / "notes.toml").touch()
        assert rest.is_idle is is_still_idle
        (rest.root / "incoming" / "notes.toml").unlink()


def test_a_link_dropped_as_a_manifest_is_not_idle(rest: Rest) -> None:
    (rest.root / "incoming" / "notes.toml").symlink_to("/nowhere")
    assert not rest.is_idle


def test_an_environment_that_changes_the_settings_is_not_idle(rest: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIASPOOL_DEFAULT_ROUTE", "mine")
    assert not rest.is_idle


def test_a_value_of_the_environment_is_not_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIASPOOL_KEY", "sk-hunter2")
    rest = Rest(tmp_path)
    rest.begin()
    assert rest.end()
    assert b"hunter2" not in (rest.root / "idle.json").read_bytes()


# what changed while the run was looking


def test_a_change_during_the_run_gives_no_marker(tmp_path: Path) -> None:
    rest = Rest(tmp_path)
    rest.begin()
    _append(rest.recording)
    assert not rest.end()
    assert not rest.is_idle


def test_a_file_that_arrives_during_the_run_gives_no_marker(tmp_path: Path) -> None:
    rest = Rest(tmp_path)
    rest.begin()
    (rest.recordings / "new.wav").touch()
    assert not rest.end()


def test_the_next_run_after_a_change_may_write_the_marker(tmp_path: Path) -> None:
    rest = Rest(tmp_path)
    rest.begin()
    _append(rest.recording)
    assert not rest.end()
    rest.begin()
    assert rest.end()
    assert rest.is_idle


def test_invariant_9_a_clock_that_jumped_during_the_run_gives_no_marker(tmp_path: Path) -> None:
    rest = Rest(tmp_path)
    rest.begin()
    began = rest.root / "idle.began"
    stat = began.stat()
    began.write_text(json.dumps([time.time() + 86_400, time.monotonic()]))
    os.utime(began, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert not rest.end()


def test_a_run_that_did_not_begin_properly_gives_no_marker(tmp_path: Path) -> None:
    assert not Rest(tmp_path).end()


def test_too_much_to_watch_gives_no_marker(tmp_path: Path) -> None:
    rest = Rest(tmp_path)
    for number in range(MAX_WATCHED // 4):
        os.link(rest.recording, rest.recordings / f"{number:05}.wav")
    rest.begin()
    assert rest.end()
    for name in ("b", "c", "d"):
        (tmp_path / "recordings" / name).mkdir()
        for number in range(MAX_WATCHED // 4):
            os.link(rest.recording, rest.recordings / name / f"{number:05}.wav")
    rest.begin()
    assert not rest.end()


def test_a_watched_tree_around_the_spool_leaves_the_spools_own_files_out(tmp_path: Path) -> None:
    rest = Rest(tmp_path)
    rest.begin()
    assert write_marker(str(rest.root), watched=[str(tmp_path)], settle_s=2.0)
    (rest.root / "debug" / "artifact.json").touch()
    (rest.root / "reports" / "report.json").touch()
    assert rest.is_idle
    _append(rest.recording)
    assert not rest.is_idle


def test_watching_the_spool_itself_gives_no_marker(tmp_path: Path) -> None:
    rest = Rest(tmp_path)
    rest.begin()
    assert not write_marker(str(rest.root), watched=[str(rest.root)], settle_s=2.0)


def test_products_below_the_standing_folder_are_watched(tmp_path: Path) -> None:
    rest = Rest(tmp_path)
    product = rest.root / "standing" / "out" / "a.txt"
    product.parent.mkdir()
    product.touch()
    rest.begin()
    assert rest.end()
    product.unlink()
    assert not rest.is_idle


def test_a_name_that_is_not_utf8_is_watched(tmp_path: Path) -> None:
    rest = Rest(tmp_path)
    odd = rest.recordings / os.fsdecode(b"caf\xe9.wav")
    odd.touch()
    rest.begin()
    assert rest.end()
    assert rest.is_idle
    _append(odd)
    assert not rest.is_idle


def test_an_idle_tick_loads_nothing_heavy(rest: Rest) -> None:
    code = (
        "import sys; from pipeline.state.idle import is_idle\n"
        "print(is_idle(sys.argv[1]), *sorted(set(sys.modules) & set(sys.argv[2].split())))"
    )
    heavy = "sqlite3 msgspec trio httpx typer rich fcntl tomllib ssl asyncio pathlib typing"
    ran = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{code}", str(rest.root), heavy],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == ["True"]


def test_our_own_modules_and_the_installed_packages_are_watched(rest: Rest) -> None:
    entries = {path for path, _ in json.loads((rest.root / "idle.json").read_text())[2]}
    assert idle.__file__ in entries
    assert any(path.endswith("site-packages") for path in entries)
