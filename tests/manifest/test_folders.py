"""Folders of a manifest: which files are meant, and what becomes of the others."""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.core.errors import ManifestError
from pipeline.manifest import ManifestLimits
from pipeline.state.drops import is_ignored
from tests.manifest.conftest import AUDIO, CANON, STEP, Desk, codes, folder, taken

GLOBS = {
    "in/**/*": ["in/a.wav", "in/b/c.wav", "in/b/d/e.wav"],
    "in/**": ["in/a.wav", "in/b/c.wav", "in/b/d/e.wav"],
    "**/*.wav": ["in/a.wav", "in/b/c.wav", "in/b/d/e.wav", "z.wav"],
    "**/d/**/*": ["in/b/d/e.wav"],
    "in/**/**/d/*": ["in/b/d/e.wav"],
    "in/*": ["in/a.wav"],
    "*/*.wav": ["in/a.wav"],
    "in/*/*": ["in/b/c.wav"],
    "in/?/[a-c].wav": ["in/b/c.wav"],
    "in/[!x]/c.wav": ["in/b/c.wav"],
    "./in//b/./*": ["in/b/c.wav"],
    "in/a.wav": ["in/a.wav"],
    "in/b/../*": [],
    "*.mp3": [],
    "*": ["z.wav"],
}


@pytest.mark.parametrize("glob", GLOBS)
def test_a_glob_means_the_files_that_people_expect(desk: Desk, glob: str) -> None:
    for name in ("in/a.wav", "in/b/c.wav", "in/b/d/e.wav", "z.wav"):
        desk.file(name)
    want = GLOBS[glob] or (["in/a.wav"] if ".." in glob else [])
    assert taken(desk, desk.toml(folder(glob))) == want


def test_an_absolute_glob_inside_a_root_is_fine(desk: Desk) -> None:
    desk.file("in/a.wav")
    manifest = desk.toml(folder(f"{desk.base}/in/*"))
    assert desk.paths(manifest) == ["in/a.text.txt"]


def test_a_glob_may_begin_above_the_manifest_where_the_roots_allow_it(desk: Desk) -> None:
    desk.file("../beside/a.wav")
    assert codes(desk.toml(folder("../beside/*"))) == {"f": ["path-outside-roots"]}
    desk.roots = [str(desk.base.parent)]
    assert taken(desk, desk.toml(folder("../beside/*"))) == ["../beside/a.wav"]


NO_GLOBS = {
    "/etc/*": "path-outside-roots",
    "../*": "path-outside-roots",
    "away/*": "path-outside-roots",
    "none/*": "input-missing",
    "in": "job-invalid",
    "in/b": "job-invalid",
    "in/*/../*": "job-invalid",
    "/": "job-invalid",
    ".": "job-invalid",
    "in/\\n*": "job-invalid",
    "in/a.wav/*": "path-unsafe",
}


@pytest.mark.parametrize("glob", NO_GLOBS)
def test_a_glob_that_cannot_work_is_told(desk: Desk, glob: str) -> None:
    desk.file("in/a.wav")
    desk.file("in/b/c.wav")
    (desk.base / "away").symlink_to("/tmp")
    assert codes(desk.toml(folder(glob))) == {"f": [NO_GLOBS[glob]]}


def test_a_folder_that_is_missing_is_watched_for(desk: Desk) -> None:
    assert desk.toml(folder("none/deep/*")).watched == (f"{desk.base}/notes.toml", f"{desk.base}/none/deep")


def test_a_pattern_made_to_be_slow_is_not(desk: Desk) -> None:
    desk.file("in/" + "a" * 240 + ".wav")
    started = time.perf_counter()
    desk.toml(folder("in/" + "*a" * 60 + "b"))
    desk.toml(folder("in/" + "**/*" * 30))
    assert time.perf_counter() - started < 2


IGNORED = [
    *(".hidden.wav", "a.wav.part", "a.tmp", "a.wav.crdownload", "~syncthing~a.wav.tmp", "@eaDir", "a.txt.receipt.json"),
    *(".git", ".stfolder", "A.PART", "..wav"),
]


@pytest.mark.parametrize("name", IGNORED)
def test_names_that_are_never_inputs(desk: Desk, name: str) -> None:
    desk.file(f"in/{name}")
    desk.file(f"in/{name}.d/{name}/b.wav")
    manifest = desk.toml(folder("in/**"))
    inside = [path for path in taken(desk, manifest) if f"/{name}/" in path or path.endswith(f"/{name}")]
    assert (is_ignored(name), inside, manifest.ignored) == (True, [], 0)


def test_the_spool_and_the_manifest_are_never_inputs(desk: Desk) -> None:
    for name in ("spool/ledger.db", "spool/staging/a.wav", "spool/assets/ab/cd.wav", "spool/done/b.wav", "talk.wav"):
        desk.file(name)
    desk.file("notes.toml", b"TEXT")
    desk.file("other.toml", b"TEXT")
    manifest = desk.toml(folder("**/*", 'accept = ["audio", "text"]\nexclude = ["*.text.txt"]'))
    assert taken(desk, manifest) == ["other.toml", "talk.wav"]


EXCLUDES = {
    "in/b/**": ["in/a.wav", "in/x/b/e.wav"],
    "in/b": ["in/a.wav", "in/x/b/e.wav"],
    "in/b/": ["in/a.wav", "in/x/b/e.wav"],
    "./in/b": ["in/a.wav", "in/x/b/e.wav"],
    "b": ["in/a.wav"],
    "b/": ["in/a.wav"],
    "*.wav": [],
    "[ae].wav": ["in/b/c.wav"],
    "**/e.wav": ["in/a.wav", "in/b/c.wav"],
    "c.wa": ["in/a.wav", "in/b/c.wav", "in/x/b/e.wav"],
}


@pytest.mark.parametrize("pattern", EXCLUDES)
def test_an_exclude_names_a_path_or_anything_of_that_name(desk: Desk, pattern: str) -> None:
    for name in ("in/a.wav", "in/b/c.wav", "in/x/b/e.wav"):
        desk.file(name)
    manifest = desk.toml(folder(keys=f'{AUDIO}exclude = ["{pattern}"]'))
    assert taken(desk, manifest) == EXCLUDES[pattern]


def test_content_decides_where_the_name_says_nothing(desk: Desk) -> None:
    desk.file("in/voice", b"RIFF")
    desk.file("in/notes", b"TEXT")
    desk.file("in/unknown", b"????")
    manifest = desk.toml(folder())
    assert (taken(desk, manifest), manifest.ignored) == (["in/voice"], 2)


def test_a_name_that_promises_too_much_is_kept_for_the_plan_to_refuse(desk: Desk) -> None:
    desk.file("in/a.wav", b"TEXT")
    assert taken(desk, desk.toml(folder())) == ["in/a.wav"]


def test_what_is_not_accepted_is_counted(desk: Desk) -> None:
    desk.file("in/a.wav")
    desk.file("in/cover.jpg", b"JPEG")
    manifest = desk.toml(folder())
    assert (taken(desk, manifest), manifest.ignored, manifest.bad) == (["in/a.wav"], 1, ())


def test_without_accept_a_folder_takes_what_its_first_steps_take(desk: Desk) -> None:
    desk.file("in/a.wav")
    desk.file("in/b.mp4", b"MOOV")
    desk.file("in/c.txt", b"TEXT")
    assert taken(desk, desk.toml(folder(keys="", steps=STEP + CANON))) == ["in/a.wav", "in/b.mp4"]


def test_a_file_that_still_changes_waits_and_is_listed(desk: Desk) -> None:
    old, new = desk.file("in/a.wav"), desk.file("in/b.wav")
    desk.now = new.stat().st_ctime + 20
    os.utime(old, (desk.now - 60, desk.now - 60))
    manifest = desk.toml(folder(keys=AUDIO + 'settle = "30s"'))
    assert (manifest.jobs, manifest.unsettled) == ((), (str(old), str(new)))
    desk.now += 30
    assert len(desk.toml(folder(keys=AUDIO + 'settle = "30s"')).jobs) == 2


def test_a_file_whose_clock_was_fast_is_taken_when_nothing_touched_it(desk: Desk) -> None:
    path = desk.file("in/a.wav")
    os.utime(path, (desk.now + 3600, desk.now + 3600))
    assert taken(desk, desk.toml(folder())) == ["in/a.wav"]
    desk.now = path.stat().st_ctime + 1
    assert desk.toml(folder()).unsettled == (str(path),)


def test_settle_zero_waits_for_nothing(desk: Desk) -> None:
    path = desk.file("in/a.wav")
    os.utime(path, (desk.now + 3600, desk.now + 3600))
    assert desk.toml(folder(keys=AUDIO + 'settle = "0s"')).unsettled == ()


@pytest.mark.parametrize(("header", "keys", "want"), [("", "", 2.0), ('settle = "5s"', "", 5.0), ("", "7s", 7.0)])
def test_the_nearest_settle_time_wins(desk: Desk, header: str, keys: str, want: float) -> None:
    path = desk.file("in/a.wav")
    own = f'settle = "{keys}"' if keys else ""
    for past, jobs in ((want - 0.5, 0), (want + 0.5, 1)):
        desk.now = path.stat().st_ctime + past
        assert len(desk.toml(f"[defaults]\n{header}\n" + folder(keys=AUDIO + own)).jobs) == jobs


def test_what_waits_but_is_not_accepted_is_not_listed(desk: Desk) -> None:
    path = desk.file("in/a.txt", b"TEXT")
    desk.now = path.stat().st_ctime
    manifest = desk.toml(folder())
    assert (manifest.unsettled, manifest.ignored) == ((), 1)


def test_a_link_inside_the_roots_is_followed_once_under_its_first_name(desk: Desk) -> None:
    desk.file("in/real/a.wav")
    desk.file("other/b.wav")
    (desk.base / "in" / "again").symlink_to("real")
    (desk.base / "in" / "loop").symlink_to("..")
    (desk.base / "in" / "out").symlink_to("../other")
    (desk.base / "in" / "z.wav").symlink_to("../other/b.wav")
    manifest = desk.toml(folder())
    assert [job.id for job in manifest.jobs] == ["f/loop/other/b.wav#text", "f/real/a.wav#text", "f/z.wav#text"]
    assert taken(desk, manifest) == ["other/b.wav", "in/real/a.wav", "other/b.wav"]


def test_a_link_whose_name_is_wanted_is_followed_though_the_name_of_its_folder_is_not(desk: Desk) -> None:
    desk.file("real/a.wav")
    (desk.base / "linked").symlink_to("real")
    assert taken(desk, desk.toml(folder("li*/**/*"))) == ["real/a.wav"]


@pytest.mark.parametrize("glob", ["li*/**/*", "li*/*/*", "li*/deep/**"])
def test_a_folder_that_leads_to_nothing_wanted_is_nobody_s_trouble(desk: Desk, glob: str) -> None:
    desk.file("live/deep/a.wav")
    (desk.base / "away").symlink_to("/tmp")
    (desk.base / "live" / "deep" / "further").mkdir()
    manifest = desk.toml(folder(glob))
    assert (codes(manifest), taken(desk, manifest)) == ({}, ["live/deep/a.wav"])


def test_what_cannot_be_used_is_told_if_its_name_is_wanted(desk: Desk) -> None:
    (desk.base / "in").mkdir()
    os.mkfifo(desk.base / "in" / "pipe.wav")
    os.mkfifo(desk.base / "in" / "pipe")
    for name, target in {"away.wav": "/etc/passwd", "none.wav": "none", "loop.wav": "loop.wav", "dir": "/tmp"}.items():
        (desk.base / "in" / name).symlink_to(target)
    manifest = desk.toml(folder())
    assert codes(manifest) == {
        "f/away.wav": ["path-outside-roots"],
        "f/dir": ["path-outside-roots"],
        "f/loop.wav": ["path-unsafe"],
        "f/none.wav": ["input-missing"],
        "f/pipe.wav": ["path-unsafe"],
    }
    assert manifest.ignored == 1


@pytest.fixture
def open_desk() -> Iterator[Desk]:
    """A desk that everybody can reach, unlike the folders of pytest."""
    with tempfile.TemporaryDirectory() as base:
        os.chmod(base, 0o755)
        yield Desk(Path(base))


def test_an_unreadable_folder_is_told(open_desk: Desk) -> None:
    closed = open_desk.file("in/closed/a.wav").parent
    open_desk.file("in/b.wav")
    closed.chmod(0)
    mine = os.geteuid()
    if mine == 0:
        os.seteuid(65534)  # root reads what its mode forbids
    try:
        manifest = open_desk.toml(folder())
    finally:
        os.seteuid(mine)
        closed.chmod(0o700)
    assert (codes(manifest), len(manifest.jobs)) == ({"f/closed": ["input-unreadable"]}, 1)


def test_a_folder_with_too_many_entries_is_refused(desk: Desk) -> None:
    for number in range(21):
        desk.file(f"in/{number}.txt", b"TEXT")
    desk.limits = ManifestLimits(max_jobs=2)
    with pytest.raises(ManifestError, match="too many entries"):
        desk.toml(folder())


def test_the_folder_and_what_links_lead_to_are_watched(desk: Desk, tmp_path: Path) -> None:
    desk.file("in/a.wav")
    desk.file("other/b.wav")
    (desk.base / "in" / "link").symlink_to("../other")
    watched = desk.toml(folder()).watched
    assert watched == (f"{desk.base}/notes.toml", f"{desk.base}/in", f"{desk.base}/other")


@pytest.mark.parametrize("name", ["memo.caf", "old.au", "dictation.ds2", "radio.mp2", "lossless.ape"])
def test_a_recording_of_a_kind_that_nobody_reads_is_refused_by_the_plan_and_not_passed_over(
    desk: Desk, name: str
) -> None:
    desk.file(f"in/{name}", b"????")
    manifest = desk.toml(folder())
    assert (taken(desk, manifest), manifest.ignored) == ([f"in/{name}"], 0)
