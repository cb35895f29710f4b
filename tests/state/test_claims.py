"""A manifest that is dropped into a spool is in exactly one folder whatever happens."""

import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.state.drops import is_ignored, is_manifest_name, stood_still
from pipeline.state.spool import MAX_NAME_BYTES, MAX_REPORTS, Claim, Spool
from tests.tracer import Tracer

LATER = 4e9
"""A time by which everything has settled."""


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool.create(str(tmp_path / "spool"))


def drop(spool: Spool, name: str, body: str = "schema = 1") -> Path:
    path = Path(spool.incoming, name)
    path.write_text(body)
    return path


def claim(spool: Spool) -> list[Claim]:
    return spool.claim_incoming(2.0, LATER)


def names(spool: Spool, folder: str) -> list[str]:
    return sorted(os.listdir(os.path.join(spool.root, folder)))


# what counts as dropped


@pytest.mark.parametrize(
    "name",
    [
        ".a.toml",
        "a.toml.part",
        "a.json.tmp",
        "a.crdownload",
        "~syncthing~a.toml",
        "@eaDir",
        "a.receipt.json",
    ],
)
def test_unfinished_hidden_and_generated_names_are_ignored(name: str) -> None:
    assert is_ignored(name)
    assert not is_manifest_name(name)


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("a.toml", True), ("A.JSON", True), ("a.jsonl", True), ("a.wav", False), ("a.report.json", False)],
)
def test_a_manifest_is_known_by_its_extension(name: str, is_one: bool) -> None:
    assert is_manifest_name(name) is is_one


@pytest.mark.parametrize(
    ("mtime", "ctime", "is_still"),
    [
        pytest.param(90, 90, True, id="rested"),
        pytest.param(90, 99, False, id="just changed"),
        pytest.param(99, 90, False, id="just written"),
        pytest.param(99, 99, False, id="both"),
        pytest.param(500, 90, True, id="mtime from a fast clock"),
        pytest.param(90, 500, False, id="clock was set back"),
        pytest.param(90, 90_000, True, id="clock was set back by more than a day"),
        pytest.param(90_000, 90_000, True, id="written before the clock was set back by more than a day"),
    ],
)
def test_a_file_has_settled_when_nothing_touched_it_for_a_while(mtime: int, ctime: int, is_still: bool) -> None:
    found = os.stat_result((0o100644, 1, 1, 1, 0, 0, 1, 0, mtime, ctime))
    assert stood_still(found, now=100.0, settle_s=2.0) is is_still


# claiming


def test_a_settled_manifest_is_claimed_with_the_folder_it_was_found_in(spool: Spool) -> None:
    drop(spool, "notes.toml")
    (found,) = claim(spool)
    assert (found.name, found.base, found.origin) == ("notes.toml", spool.incoming, "incoming")
    assert Path(found.path).read_text() == "schema = 1"
    assert names(spool, "incoming") == []


def test_an_unsettled_manifest_is_left_alone(spool: Spool) -> None:
    path = drop(spool, "notes.toml")
    assert spool.claim_incoming(2.0, path.stat().st_ctime + 1) == []
    assert names(spool, "incoming") == ["notes.toml"]


def test_inputs_and_folders_beside_a_manifest_stay_where_they_are(spool: Spool) -> None:
    for name in ("a.wav", "notes.txt", ".hidden.toml"):
        drop(spool, name)
    Path(spool.incoming, "folder.toml").mkdir()
    assert claim(spool) == []
    assert names(spool, "incoming") == [".hidden.toml", "a.wav", "folder.toml", "notes.txt"]


def test_claims_come_oldest_first(spool: Spool) -> None:
    for age, name in enumerate(["c.toml", "a.toml", "b.toml"]):
        os.utime(drop(spool, name), (age, age))
    assert [found.name for found in claim(spool)] == ["c.toml", "a.toml", "b.toml"]


def test_an_equal_name_is_claimed_beside_the_first_and_keeps_its_own(spool: Spool) -> None:
    for body in ("first", "second"):
        drop(spool, "notes.toml", body)
        claim(spool)
    found = spool.claimed()
    assert [item.name for item in found] == ["notes.toml", "notes.toml"]
    assert {Path(item.path).read_text() for item in found} == {"first", "second"}


def test_the_next_run_finds_what_this_one_claimed(spool: Spool) -> None:
    drop(spool, "notes.toml")
    assert claim(spool) == Spool.create(spool.root).claimed()


def test_a_claim_whose_note_was_lost_is_still_found(spool: Spool) -> None:
    drop(spool, "notes.toml")
    (found,) = claim(spool)
    Path(spool.root, "claimed", ".notes.toml.claim").write_bytes(b'{"base": 3')
    assert spool.claimed() == [found]


def _link(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def _socket(path: Path) -> None:
    here = os.open(path.parent, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{here}/{path.name}")
    os.close(here)


@pytest.mark.parametrize("odd", [_link, os.mkfifo, _socket])
def test_what_is_no_regular_file_is_moved_away_unopened_with_a_report(
    spool: Spool, odd: Callable[[Path], None]
) -> None:
    odd(Path(spool.incoming, "notes.toml"))
    assert claim(spool) == []
    (refused,) = spool.refused
    assert names(spool, "incoming") == []
    assert names(spool, "failed") == ["notes.toml", "notes.toml.report.json"]
    assert json.loads(Path(refused.path + ".report.json").read_text())["code"] == "path-unsafe"


@pytest.mark.parametrize("name", ["a\nb.toml", "\x1b[31m.toml", "x" * 240 + ".toml"])
def test_invariant_28_an_odd_name_is_moved_away_under_a_safe_one(spool: Spool, name: str) -> None:
    drop(spool, name)
    assert claim(spool) == []
    (refused,) = spool.refused
    assert refused.name.isprintable()
    assert os.path.basename(refused.path).startswith("refused-")
    assert names(spool, "incoming") == []


def test_a_name_that_is_not_utf8_is_claimed_like_any_other(spool: Spool) -> None:
    drop(spool, os.fsdecode(b"caf\xe9.toml"))
    assert [found.name for found in claim(spool)] == [os.fsdecode(b"caf\xe9.toml")]
    assert spool.claimed()[0].name == os.fsdecode(b"caf\xe9.toml")


def test_the_longest_name_that_is_claimed_can_be_finished(spool: Spool) -> None:
    drop(spool, "x" * (MAX_NAME_BYTES - 5) + ".toml")
    (found,) = claim(spool)
    assert os.path.exists(spool.finish(found, "done", b"{}"))


def test_standing_manifests_are_listed_by_name_and_stay(spool: Spool) -> None:
    standing = Path(spool.root, "standing")
    for name in ("b.toml", "a.toml", "notes.txt", ".c.toml"):
        (standing / name).touch()
    found = spool.standing()
    assert [(item.name, item.base, item.origin) for item in found] == [
        ("a.toml", str(standing), "standing"),
        ("b.toml", str(standing), "standing"),
    ]


def test_looking_takes_nothing_and_sees_what_a_run_would_read(spool: Spool) -> None:
    drop(spool, "held.toml")
    claim(spool)
    drop(spool, "notes.toml")
    Path(spool.root, "standing", "daily.toml").touch()
    assert [item.name for item in spool.look(2.0, LATER)] == ["held.toml", "daily.toml", "notes.toml"]
    assert names(spool, "incoming") == ["notes.toml"]


def test_looking_at_no_spool_finds_nothing_and_makes_nothing(tmp_path: Path) -> None:
    assert Spool(str(tmp_path / "none")).look(2.0, LATER) == []
    assert os.listdir(tmp_path) == []


# finishing


def test_a_finished_manifest_lies_beside_its_report_and_nothing_stays_claimed(spool: Spool) -> None:
    drop(spool, "notes.toml")
    (found,) = claim(spool)
    report = spool.finish(found, "done", b'{"a": 1}')
    assert names(spool, "done") == ["notes.toml", "notes.toml.report.json"]
    assert Path(report).read_bytes() == b'{"a": 1}'
    assert names(spool, "claimed") == []


def test_an_equal_name_is_finished_beside_the_first(spool: Spool) -> None:
    for _ in range(2):
        drop(spool, "notes.toml")
        spool.finish(claim(spool)[0], "failed", b"{}")
    assert names(spool, "failed") == [
        "notes.2.toml",
        "notes.2.toml.report.json",
        "notes.toml",
        "notes.toml.report.json",
    ]


def test_held_work_keeps_its_manifest_claimed_and_its_report_is_not_taken_for_one(spool: Spool) -> None:
    drop(spool, "notes.json")
    (found,) = claim(spool)
    spool.finish(found, "claimed", b"{}")
    assert spool.claimed() == [found]
    spool.finish(found, "done", b"{}")
    assert names(spool, "claimed") == []


@pytest.mark.parametrize("name", ["../../escape", "a/b", "a\nb", "x" * 400, "\udcff\ud800"])
def test_a_report_name_never_leaves_the_reports(spool: Spool, name: str) -> None:
    path = spool.write_report(name, b"{}")
    assert os.path.dirname(path) == spool.reports
    assert os.path.basename(path).isprintable()


def test_the_oldest_of_too_many_reports_go(spool: Spool) -> None:
    for number in range(MAX_REPORTS):
        Path(spool.reports, f"{number}.report.json").touch()
    os.utime(Path(spool.reports, "7.report.json"), (1, 1))
    spool.write_report("new", b"{}")
    kept = names(spool, "reports")
    assert len(kept) == MAX_REPORTS
    assert "7.report.json" not in kept


def test_the_page_of_a_report_goes_with_it(spool: Spool) -> None:
    for number in range(MAX_REPORTS):
        Path(spool.reports, f"{number}.report.json").touch()
        Path(spool.reports, f"{number}.report.html").touch()
    os.utime(Path(spool.reports, "7.report.json"), (1, 1))
    Path(spool.reports, "index.html").touch()
    spool.write_page(spool.write_report("new", b"{}"), b"<p>")
    kept = names(spool, "reports")
    assert "7.report.html" not in kept
    assert len(kept) == 2 * MAX_REPORTS + 1
    assert Path(spool.reports, "new.report.html").read_bytes() == b"<p>"


def test_a_manifest_that_is_taken_up_again_leaves_no_report_and_no_page_and_need_not_come_to_rest(
    spool: Spool,
) -> None:
    drop(spool, "notes.toml")
    (found,) = claim(spool)
    spool.write_page(spool.finish(found, "failed", b"{}"), b"<p>")
    assert names(spool, "failed") == ["notes.toml", "notes.toml.report.html", "notes.toml.report.json"]
    assert spool.requeue(os.path.join(spool.root, "failed", "notes.toml"), "notes.toml")
    assert names(spool, "failed") == []
    assert [(again.name, again.base) for again in spool.claimed()] == [("notes.toml", spool.incoming)]


@pytest.mark.parametrize("folder", ["incoming", "claimed"])
def test_a_manifest_is_not_taken_up_again_over_one_of_its_name(spool: Spool, folder: str) -> None:
    drop(spool, "notes.toml")
    (found,) = claim(spool)
    spool.finish(found, "failed", b"{}")
    Path(spool.root, folder, "notes.toml").touch()
    assert not spool.requeue(os.path.join(spool.root, "failed", "notes.toml"), "notes.toml")
    assert names(spool, "failed") == ["notes.toml", "notes.toml.report.json"]


# crashes


def whereabouts(spool: Spool) -> list[str]:
    folders = ("incoming", "claimed", "done", "failed")
    return [folder for folder in folders for name in names(spool, folder) if name.endswith(".toml")]


def prepared(root: Path) -> Spool:
    spool = Spool.create(str(root))
    drop(spool, "notes.toml")
    return spool


def test_invariant_8_a_kill_at_any_system_call_of_a_claim_loses_and_doubles_nothing(
    tmp_path: Path, tracer: Tracer, figure: Callable[[str], None]
) -> None:
    count = prepared(tmp_path / "count")
    points = tracer.points(lambda: len(claim(count)) - 1)
    for stop in points:
        spool = prepared(tmp_path / str(stop))
        tracer.run(lambda: len(claim(spool)) - 1, kill_at=stop)  # noqa: B023  # called before the loop goes on
        assert len(whereabouts(spool)) == 1
        (found,) = [*spool.claimed(), *claim(spool)]
        assert (found.name, found.base) == ("notes.toml", spool.incoming)
        assert names(spool, "claimed") == [".notes.toml.claim", "notes.toml"]
        shutil.rmtree(spool.root)
    figure(f"invariant 8: SIGKILL at each of {len(points)} system calls of a claim: {len(points)}/{len(points)} once")
    assert len(points) > 15


def test_invariant_8_a_kill_at_any_system_call_of_a_finish_loses_and_doubles_nothing(
    tmp_path: Path, tracer: Tracer, figure: Callable[[str], None]
) -> None:
    def finish(spool: Spool) -> int:
        for found in spool.claimed():
            spool.finish(found, "done", b"{}")
        return 0

    def claimed(root: Path) -> Spool:
        spool = prepared(root)
        claim(spool)
        return spool

    count = claimed(tmp_path / "count")
    points = tracer.points(lambda: finish(count))
    for stop in points:
        spool = claimed(tmp_path / str(stop))
        tracer.run(lambda: finish(spool), kill_at=stop)  # noqa: B023  # called before the loop goes on
        assert len(whereabouts(spool)) == 1
        finish(spool)
        assert names(spool, "done") == ["notes.toml", "notes.toml.report.json"]
        assert names(spool, "claimed") == []
        shutil.rmtree(spool.root)
    figure(f"invariant 8: SIGKILL at each of {len(points)} system calls of a finish: {len(points)}/{len(points)} once")
    assert len(points) > 15
