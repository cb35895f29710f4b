"""The store on real files: nothing under a final name is ever half there, and nothing foreign is ever overwritten."""

import os
import resource
import socket
import stat
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import InputError, StoreError
from pipeline.core.model import Sha256
from pipeline.state.store import MAX_QUARANTINED, Publication, Store, part_name
from tests.state.conftest import WAV, Make, sha


@pytest.fixture
def store(tmp_path: Path, make: Make) -> Store:
    return make.store(tmp_path)


def publication(path: Path, content: bytes, replace: Sha256 | None = None) -> Publication:
    part = part_name(str(path), "a1")
    return Publication(path=str(path), part=part, sha256=sha(content), content=content, source=None, replace=replace)


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


# staging


def test_a_staged_file_counts_and_hashes_what_was_written(store: Store) -> None:
    with store.stage("a.payload") as staged:
        staged.write(b"ab")
        staged.write(b"")
        staged.write(b"c")
        staged.sync()
    assert (staged.size, staged.sha256, Path(staged.path).read_bytes()) == (3, sha(b"abc"), b"abc")
    assert staged.name == "a.payload"


def test_a_staged_file_is_readable_by_its_owner_only(store: Store) -> None:
    with store.stage("a") as staged:
        staged.write(b"x")
        assert stat.S_IMODE(os.stat(staged.path).st_mode) == 0o600


def test_a_staged_name_is_never_taken_twice(store: Store) -> None:
    with store.stage("a") as first, store.stage("a") as second:
        first.write(b"x")
        with pytest.raises(StoreError, match="File exists"):
            second.write(b"y")
        assert Path(first.path).read_bytes() == b"x"


def test_a_staged_file_without_a_byte_leaves_nothing_behind(store: Store, tmp_path: Path) -> None:
    store.stage("a").close()
    assert names(tmp_path / "staging") == []


def test_a_link_in_staging_is_not_written_through(store: Store, tmp_path: Path) -> None:
    (tmp_path / "staging" / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError):
        store.stage("a").write(b"x")
    assert not (tmp_path / "elsewhere").exists()


def test_a_discarded_file_is_gone_and_may_be_discarded_again(store: Store, tmp_path: Path) -> None:
    staged = store.stage("a")
    staged.discard()
    staged.discard()
    assert names(tmp_path / "staging") == []


def test_writing_after_close_is_refused(store: Store) -> None:
    staged = store.stage("a")
    staged.close()
    with pytest.raises(StoreError, match="closed before"):
        staged.write(b"x")


def test_invariant_18_a_failed_sync_is_final(store: Store) -> None:
    staged = store.stage("a")
    staged.write(b"x")
    os.close(staged._fd or -1)  # the nearest thing to a lost device that needs no privilege
    with pytest.raises(StoreError):
        staged.sync()
    with pytest.raises(StoreError, match="failed or was closed"):
        staged.sync()


def test_bytes_that_somebody_appended_are_noticed_at_sync(store: Store) -> None:
    staged = store.stage("a")
    staged.write(b"abc")
    with open(staged.path, "ab") as other:
        other.write(b"d")
    with pytest.raises(StoreError, match="4 bytes on disk, 3 were written"):
        staged.sync()


@given(st.lists(st.binary(max_size=50), max_size=10))
def test_any_chunking_gives_the_same_hash_and_bytes(chunks: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder, Make().store(Path(folder)).stage("a") as staged:
        for chunk in chunks:
            staged.write(chunk)
        staged.sync()
        assert staged.sha256 == sha(b"".join(chunks)) == sha(Path(staged.path).read_bytes())


# room


def test_room_for_a_little_is_there_and_leaves_no_file(store: Store, tmp_path: Path) -> None:
    store.ensure_room(65_536)
    assert names(tmp_path / "staging") == []


def test_room_that_was_granted_a_moment_ago_is_not_asked_for_again(tmp_path: Path, make: Make) -> None:
    now = [0.0]
    store, asked = make.store(tmp_path, steady=lambda: now[0]), list[bool]()
    store.ensure_room(1000)
    assert store._probe is not None
    for size, at in ((1000, 0.1), (500, 0.4), (2000, 0.4), (2000, 0.8), (2000, 0.9)):
        now[0] = at
        os.utime(store._probe, ns=(0, 0))
        store.ensure_room(size)
        asked.append(os.fstat(store._probe).st_mtime_ns != 0)  # given back by a cut, which is a change
    assert asked == [False, False, True, False, True]


def test_invariant_17_room_for_more_than_the_disk_has_is_refused_before_paying(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError) as error:
        store.ensure_room(1 << 60)
    assert error.value.code == "disk-full"
    assert names(tmp_path / "staging") == []


# assets


def staged_answer(store: Store, content: bytes = b"answer", name: str = "a") -> str:
    with store.stage(name) as staged:
        staged.write(content)
        staged.sync()
    return staged.path


def test_an_adopted_payload_lies_under_its_hash_and_has_left_staging(store: Store, tmp_path: Path) -> None:
    asset = store.adopt(staged_answer(store), sha256=sha(b"answer"), media=WAV)
    assert asset.path == str(tmp_path / "assets" / asset.sha256[:2] / f"{asset.sha256}.wav")
    assert (Path(asset.path).read_bytes(), asset.size) == (b"answer", 6)
    assert names(tmp_path / "staging") == []


def test_adopting_again_after_a_crash_finds_the_asset(store: Store) -> None:
    path = staged_answer(store)
    first = store.adopt(path, sha256=sha(b"answer"), media=WAV)
    assert store.adopt(path, sha256=sha(b"answer"), media=WAV) == first


def test_adopting_equal_bytes_twice_keeps_one_asset(store: Store, tmp_path: Path) -> None:
    first = store.adopt(staged_answer(store, name="a"), sha256=sha(b"answer"), media=WAV)
    second = store.adopt(staged_answer(store, name="b"), sha256=sha(b"answer"), media=WAV)
    assert first == second
    assert names(tmp_path / "staging") == []


def test_a_payload_that_changed_on_disk_is_not_adopted(store: Store, tmp_path: Path) -> None:
    path = staged_answer(store)
    Path(path).write_bytes(b"answeR")
    with pytest.raises(StoreError, match="changed on disk"):
        store.adopt(path, sha256=sha(b"answer"), media=WAV)
    assert names(tmp_path / "assets") == []


def test_an_asset_is_found_by_hash_type_and_size(store: Store) -> None:
    asset = store.adopt(staged_answer(store), sha256=sha(b"answer"), media=WAV)
    assert store.asset(asset.sha256, WAV, size=6) == asset


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_an_asset_that_is_gone_or_cut_is_not_there(store: Store, damage: str) -> None:
    asset = store.adopt(staged_answer(store), sha256=sha(b"answer"), media=WAV)
    if damage == "gone":
        os.unlink(asset.path)
    else:
        os.truncate(asset.path, 3)
    assert store.asset(asset.sha256, WAV, size=6) is None


def test_an_asset_nobody_made_is_not_found(store: Store) -> None:
    assert store.asset(sha(b"x"), WAV, size=1) is None


def test_a_quarantined_payload_is_kept_and_the_oldest_of_too_many_goes(store: Store, tmp_path: Path) -> None:
    for number in range(MAX_QUARANTINED + 1):
        path = staged_answer(store, name=f"{number}.payload")
        os.utime(path, ns=(number, number))
        store.quarantine(path)
    kept = names(tmp_path / "quarantine")
    assert len(kept) == MAX_QUARANTINED
    assert "0.payload" not in kept


# publishing


def test_a_product_is_published_whole_into_new_folders_with_no_part_left(store: Store, tmp_path: Path) -> None:
    target = tmp_path / "out" / "2026" / "a.txt"
    store.publish([publication(target, b"text")])
    assert target.read_bytes() == b"text"
    assert names(target.parent) == ["a.txt"]


def test_a_product_may_come_from_a_file(store: Store, tmp_path: Path) -> None:
    source, target = tmp_path / "scratch.mp3", tmp_path / "out.mp3"
    content = os.urandom(3_000_000)
    source.write_bytes(content)
    part = part_name(str(target), "a1")
    item = Publication(path=str(target), part=part, sha256=sha(content), content=None, source=str(source), replace=None)
    store.publish([item])
    assert target.read_bytes() == content


def test_a_book_of_hundreds_of_products_is_published_with_few_descriptors(store: Store, tmp_path: Path) -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)
    chapters = [publication(tmp_path / f"{number}.txt", b"%d" % number) for number in range(300)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 40, most[1]))
    try:
        store.publish(chapters)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, most)
    assert [Path(item.path).read_bytes() for item in chapters] == [b"%d" % number for number in range(300)]


def test_a_product_has_the_mode_of_any_new_file_of_its_user(store: Store, tmp_path: Path) -> None:
    (tmp_path / "ordinary").touch()
    store.publish([publication(tmp_path / "a.txt", b"text")])
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


def test_publishing_the_same_again_changes_nothing(store: Store, tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    store.publish([publication(target, b"text")])
    before = target.stat()
    store.publish([publication(target, b"text")])
    assert target.stat().st_ino == before.st_ino


def test_a_foreign_file_is_never_overwritten_and_no_sibling_appears(store: Store, tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_bytes(b"mine")
    with pytest.raises(InputError) as error:
        store.publish([publication(tmp_path / "a.txt", b"one"), publication(tmp_path / "b.txt", b"two")])
    assert error.value.code == "output-exists"
    assert (tmp_path / "b.txt").read_bytes() == b"mine"
    assert not (tmp_path / "a.txt").exists()


def test_a_product_replaces_exactly_the_hash_that_its_caller_named(store: Store, tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_bytes(b"old")
    store.publish([publication(target, b"new", replace=sha(b"old"))])
    assert target.read_bytes() == b"new"
    with pytest.raises(InputError):
        store.publish([publication(target, b"newer", replace=sha(b"old"))])
    assert target.read_bytes() == b"new"


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.open(path.parent, os.O_PATH)
        listener.bind(f"/proc/self/fd/{here}/{path.name}")  # a socket's own path must be short
        os.close(here)


def _link_to_equal_bytes(path: Path) -> None:
    (path.parent / "equal").write_bytes(b"text")
    path.symlink_to("equal")


ODD_TARGETS: dict[str, Callable[[Path], None]] = {
    "folder": lambda path: path.mkdir(),
    "fifo": lambda path: os.mkfifo(path),
    "socket": _socket,
    "link": lambda path: path.symlink_to("elsewhere"),
    "link to equal bytes": _link_to_equal_bytes,
}


@pytest.mark.parametrize("odd", ODD_TARGETS)
def test_whatever_is_no_regular_file_is_in_the_way_and_never_followed(store: Store, tmp_path: Path, odd: str) -> None:
    target = tmp_path / "a.txt"
    ODD_TARGETS[odd](target)
    with pytest.raises(InputError) as error:
        store.publish([publication(target, b"text", replace=sha(b"text"))])
    assert error.value.code == "output-exists"
    assert not (tmp_path / "elsewhere").exists()


def test_content_that_is_not_what_its_hash_says_is_not_published(store: Store, tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    item = Publication(
        path=str(target), part=part_name(str(target), "a"), sha256=sha(b"x"), content=b"y", source=None, replace=None
    )
    with pytest.raises(StoreError, match="reads back differently"):
        store.publish([item])
    assert sorted(set(names(tmp_path)) - {"staging", "assets", "quarantine"}) == []


def test_a_part_that_a_dead_run_left_is_written_anew(store: Store, tmp_path: Path) -> None:
    item = publication(tmp_path / "a.txt", b"text")
    Path(item.part).write_bytes(b"te")
    store.publish([item])
    assert (tmp_path / "a.txt").read_bytes() == b"text"
    assert not os.path.exists(item.part)


@given(st.text(min_size=1, max_size=255), st.text(max_size=300))
def test_a_part_name_is_short_beside_its_target_and_ours(name: str, owner: str) -> None:
    path = "/out/" + name.replace("/", "_").encode("utf-8", "replace").decode()
    part = part_name(path, owner.encode("utf-8", "replace").decode())
    assert os.path.dirname(part) == "/out"
    assert len(os.path.basename(part)) < 64
    assert os.path.basename(part).startswith(".")
    assert part.endswith(".part")


def test_two_products_and_two_owners_never_share_a_part() -> None:
    assert len({part_name(path, owner) for path in ("/o/a", "/o/b") for owner in ("x", "y")}) == 4


# sweeping


def test_only_parts_of_ours_are_discarded(store: Store, tmp_path: Path) -> None:
    ours, foreign = Path(part_name(str(tmp_path / "a"), "x")), tmp_path / "download.part"
    ours.touch()
    foreign.touch()
    store.discard_parts([str(ours), str(foreign), str(tmp_path / "none")])
    assert (ours.exists(), foreign.exists()) == (False, True)


def test_a_part_that_cannot_be_removed_keeps_no_run_from_starting(store: Store, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file where the folder of the products was")
    beyond, ours = Path(part_name(str(tmp_path / "out" / "a"), "x")), Path(part_name(str(tmp_path / "a"), "x"))
    ours.touch()
    store.discard_parts([str(beyond), str(ours)])
    assert not ours.exists()


def test_the_sweep_takes_all_but_links_and_never_follows_one(store: Store, tmp_path: Path) -> None:
    staging, outside = tmp_path / "staging", tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    (staging / "stale").touch()
    (staging / "scratch").mkdir()
    (staging / "scratch" / "link").symlink_to(outside)
    (staging / "link").symlink_to(outside)
    store.sweep_staging()
    assert names(staging) == ["link"]
    assert (outside / "precious").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
@pytest.mark.privileged
def test_the_sweep_leaves_the_files_of_others(store: Store, tmp_path: Path) -> None:
    (tmp_path / "staging" / "theirs").touch()
    os.chown(tmp_path / "staging" / "theirs", 12345, 12345)
    store.sweep_staging()
    assert (tmp_path / "staging" / "theirs").exists()


def test_room_is_looked_for_in_several_threads_at_once(store: Store) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = [threads.submit(store.ensure_room, 65_536) for _ in range(200)]
    assert [answer.exception() for answer in answers] == [None] * 200
