"""The store under SIGKILL at every system call, under every failing one, on full, read-only and link-less disks."""

import contextlib
import errno
import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.core.errors import InputError, MediaspoolError, StoreError
from pipeline.state.durable import digest_file, free_bytes
from pipeline.state.spool import Spool
from pipeline.state.store import Publication, Store, part_name
from tests.state.conftest import WAV, Make, sha
from tests.tracer import Ended, Fault, Tracer

OLD, NEW, SECOND = b"old " * 400, b"new " * 500, b"second " * 300
FAILED = {"disk-full": 11, "io-error": 12, "output-unwritable": 13, "output-exists": 14}
Figure = Callable[[str], None]


def items(out: Path) -> list[Publication]:
    """Two products: one replaces what we wrote earlier, one is new and lies in a new folder."""
    wanted = ((out / "a.txt", NEW, sha(OLD)), (out / "new" / "b.txt", SECOND, None))
    return [
        Publication(
            path=str(path),
            part=part_name(str(path), "x"),
            sha256=sha(content),
            content=content,
            source=None,
            replace=old,
        )
        for path, content, old in wanted
    ]


def prepared(folder: Path, make: Make) -> tuple[Store, Path]:
    out = folder / "out"
    out.mkdir(parents=True)
    (out / "a.txt").write_bytes(OLD)
    return make.store(folder), out


def publish(store: Store, out: Path) -> int:
    """Work for a traced child; its exit code says how it ended."""
    try:
        store.publish(items(out))
    except MediaspoolError as error:
        return FAILED[error.code]
    return 0


def read(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def strays(out: Path) -> list[str]:
    found = [name for _, _, names in os.walk(out) for name in names]
    return sorted(set(found) - {"a.txt", "b.txt"})


def test_invariant_5_a_kill_at_any_system_call_leaves_the_old_file_or_the_new_one(
    tmp_path: Path, make: Make, tracer: Tracer, figure: Figure
) -> None:
    store, out = prepared(tmp_path / "count", make)
    points = tracer.points(lambda: publish(store, out))
    torn = 0
    for stop in points:
        store, out = prepared(tmp_path / str(stop), make)
        tracer.run(lambda: publish(store, out), kill_at=stop)  # noqa: B023  # called before the loop goes on
        torn += read(out / "a.txt") not in (OLD, NEW) or read(out / "new" / "b.txt") not in (None, SECOND)
        assert publish(store, out) == 0
        assert (read(out / "a.txt"), read(out / "new" / "b.txt"), strays(out)) == (NEW, SECOND, [])
        shutil.rmtree(out.parent)
    count = len(points)
    figure(f"invariant 5: SIGKILL at each of {count} system calls of a publication: {count - torn}/{count} old or new")
    assert torn == 0
    assert len(points) > 30


def test_invariant_5_a_kill_at_any_system_call_of_an_adoption_loses_nothing(
    tmp_path: Path, make: Make, tracer: Tracer, figure: Figure
) -> None:
    def adopt(folder: Path) -> int:
        make.store(folder).adopt(str(folder / "staging" / "a"), sha256=sha(NEW), media=WAV)
        return 0

    def staged(folder: Path) -> Path:
        folder.mkdir()
        make.store(folder)
        (folder / "staging" / "a").write_bytes(NEW)
        return folder

    trial = staged(tmp_path / "count")
    points = tracer.points(lambda: adopt(trial))
    for stop in points:
        folder = staged(tmp_path / str(stop))
        tracer.run(lambda: adopt(folder), kill_at=stop)  # noqa: B023  # called before the loop goes on
        adopt(folder)
        asset = make.store(folder).asset(sha(NEW), WAV, size=len(NEW))
        assert asset is not None
        assert digest_file(asset.path) == sha(NEW)
        assert os.listdir(folder / "staging") == []
    count = len(points)
    figure(f"invariant 5: SIGKILL at each of {count} system calls of an adoption: {count}/{count} resumed")
    assert count > 5


def each_fault(
    tmp_path: Path, make: Make, tracer: Tracer, *, call: str, error: int | None
) -> Iterator[tuple[Ended, Store, Path]]:
    """Publish with the nth `call` failing, for n = 1, 2, ... until there is no nth."""
    for nth in range(1, 100):
        store, out = prepared(tmp_path / f"{call}-{nth}", make)
        ended = tracer.run(lambda: publish(store, out), fault=Fault(call=call, nth=nth, error=error))  # noqa: B023  # same
        if ended.fault_at is None:
            return
        yield ended, store, out


@pytest.mark.parametrize("call", ["write", "openat", "fsync", "linkat", "close"])
def test_invariant_17_no_space_at_any_call_publishes_nothing_short_and_the_run_resumes(
    tmp_path: Path, make: Make, tracer: Tracer, figure: Figure, call: str
) -> None:
    count = 0
    for ended, store, out in each_fault(tmp_path, make, tracer, call=call, error=errno.ENOSPC):
        count += 1
        assert ended.code == FAILED["disk-full"]
        assert read(out / "a.txt") in (OLD, NEW)
        assert read(out / "new" / "b.txt") in (None, SECOND)
        assert strays(out) == []
        assert publish(store, out) == 0
        assert (read(out / "a.txt"), read(out / "new" / "b.txt")) == (NEW, SECOND)
    figure(f"invariant 17: ENOSPC at each of {count} x {call}: {count}/{count}")
    assert count >= 2


def test_invariant_17_a_short_count_at_any_write_still_publishes_every_byte(
    tmp_path: Path, make: Make, tracer: Tracer, figure: Figure
) -> None:
    count = 0
    for ended, _, out in each_fault(tmp_path, make, tracer, call="write", error=None):
        count += 1
        assert ended.code == 0
        assert (read(out / "a.txt"), read(out / "new" / "b.txt")) == (NEW, SECOND)
    figure(f"invariant 17: a short count at each of {count} writes: {count}/{count} whole")
    assert count >= 2


def test_invariant_18_eio_from_any_fsync_is_fatal_and_never_retried_on_that_descriptor(
    tmp_path: Path, make: Make, tracer: Tracer, figure: Figure
) -> None:
    count = 0
    for ended, store, out in each_fault(tmp_path, make, tracer, call="fsync", error=errno.EIO):
        count += 1
        assert ended.code == FAILED["io-error"]
        assert ended.fault_at is not None
        failed, *later = ended.calls[ended.fault_at :]
        until_closed = later[
            : next(i for i, call in enumerate(later) if call.is_a("close") and call.first == failed.first)
        ]
        assert not any(call.is_a("fsync") and call.first == failed.first for call in until_closed)
        assert strays(out) == []
        assert publish(store, out) == 0
    figure(f"invariant 18: EIO at each of {count} fsyncs: {count}/{count} fatal, none retried")
    assert count >= 4


def test_a_close_that_fails_where_nothing_was_written_ends_no_run(tmp_path: Path, make: Make, tracer: Tracer) -> None:
    store, spool = make.store(tmp_path), Spool.create(str(tmp_path / "spool"))

    def work() -> int:
        with spool.lock():
            store.ensure_room(1000)
            store.close()
        return 0

    for nth in (2, 3):  # the first is of the note that a run has begun, which was written
        ended = tracer.run(work, fault=Fault(call="close", nth=nth, error=errno.EIO, below=str(tmp_path)))
        assert (ended.code, ended.fault_at is not None) == (0, True)


@pytest.mark.parametrize("nth", [1, 2], ids=["replacing", "new"])
@pytest.mark.parametrize("also", [(), ("renameat2",)], ids=["rename without replace", "reserved name"])
def test_invariant_19_a_disk_without_hard_links_publishes_by_the_next_best_way(
    tmp_path: Path, make: Make, tracer: Tracer, also: tuple[str, ...], nth: int
) -> None:
    store, out = prepared(tmp_path / "x", make)
    fault = Fault(call="linkat", nth=nth, error=errno.EPERM, also=also)
    ended = tracer.run(lambda: publish(store, out), fault=fault)
    assert ended.fault_at is not None
    assert ended.code == 0
    assert (read(out / "a.txt"), read(out / "new" / "b.txt"), strays(out)) == (NEW, SECOND, [])


def test_invariant_17_a_file_size_limit_leaves_nothing_half_written(tmp_path: Path, make: Make, tracer: Tracer) -> None:
    store, out = prepared(tmp_path / "x", make)

    def limited() -> int:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(NEW) - 10, len(NEW) - 10))
        return publish(store, out)

    assert tracer.run(limited).code == FAILED["io-error"]
    assert (read(out / "a.txt"), read(out / "new" / "b.txt"), strays(out)) == (OLD, None, [])


def test_invariant_17_a_payload_beyond_a_file_size_limit_is_an_error_not_a_short_file(
    tmp_path: Path, make: Make, tracer: Tracer
) -> None:
    store = make.store(tmp_path)

    def limited() -> int:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        staged = store.stage("a")
        try:
            staged.write(b"x" * 1500)
        except StoreError as error:
            return FAILED[error.code]
        return 0

    assert tracer.run(limited).code == FAILED["io-error"]
    assert (tmp_path / "staging" / "a").stat().st_size == 1000


@contextlib.contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a tmpfs needs root and CAP_SYS_ADMIN")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.privileged
def test_invariant_17_a_full_two_megabyte_disk_shows_no_short_file_and_resumes_when_there_is_room(
    tmp_path: Path, make: Make
) -> None:
    store = make.store(tmp_path)
    with mounted(tmp_path / "small", "size=2m") as disk:
        filler = disk / "filler"
        filler.write_bytes(b"x" * 1_700_000)
        big = disk / "big.wav"
        content = os.urandom(1_000_000)
        part = part_name(str(big), "x")
        item = Publication(path=str(big), part=part, sha256=sha(content), content=content, source=None, replace=None)
        with pytest.raises(StoreError) as error:
            store.publish([item])
        assert error.value.code == "disk-full"
        assert os.listdir(disk) == ["filler"]
        filler.unlink()
        store.publish([item])
        assert big.read_bytes() == content


@pytest.mark.privileged
def test_invariant_17_room_on_a_two_megabyte_disk_is_refused_and_granted_rightly(tmp_path: Path, make: Make) -> None:
    with mounted(tmp_path / "small", "size=2m") as disk:
        store = make.store(disk)
        assert free_bytes(str(disk / "not" / "yet")) <= 2 << 20
        store.ensure_room(1_000_000)
        with pytest.raises(StoreError) as error:
            store.ensure_room(50_000_000)
        assert error.value.code == "disk-full"


@pytest.mark.privileged
def test_invariant_17_a_disk_without_inodes_is_told_as_that_and_leaves_no_room_to_pay(
    tmp_path: Path, make: Make
) -> None:
    with mounted(tmp_path / "small", "size=20m", "nr_inodes=90") as disk:
        store = make.store(disk)
        with pytest.raises(StoreError, match=r"less than 100 inodes are free for '.*/staging'") as error:
            store.ensure_room(1)
        assert (error.value.code, "df -i" in error.value.hint) == ("disk-full", True)
        with contextlib.suppress(OSError):
            for number in range(90):
                (disk / str(number)).touch()
        with pytest.raises(StoreError, match=r"no inode left for '.*/a'") as error, store.stage("a") as staged:
            staged.write(b"x")
        assert (error.value.code, "df -i" in error.value.hint) == ("disk-full", True)
        subprocess.run(["mount", "-o", "remount,nr_inodes=300", str(disk)], check=True)
        store.ensure_room(1)


def test_an_answer_that_cannot_be_moved_under_another_mount_says_so(tmp_path: Path, make: Make, tracer: Tracer) -> None:
    """Two mounts of one disk look like one."""
    store = make.store(tmp_path)
    with store.stage("a") as staged:
        staged.write(b"x")
        staged.sync()

    def work() -> int:
        try:
            store.adopt(staged.path, sha256=sha(b"x"), media=WAV)
        except StoreError as error:
            return 7 if "another mount" in error.message else 8
        return 9

    assert tracer.run(work, fault=Fault(call="rename", nth=1, error=errno.EXDEV)).code == 7


@pytest.mark.privileged
def test_invariant_19_a_read_only_disk_is_named_and_nothing_appears(tmp_path: Path, make: Make) -> None:
    store = make.store(tmp_path)
    with mounted(tmp_path / "disk", "size=2m") as disk:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        target = disk / "a.txt"
        part = part_name(str(target), "x")
        item = Publication(path=str(target), part=part, sha256=sha(b"x"), content=b"x", source=None, replace=None)
        with pytest.raises(StoreError) as error:
            store.publish([item])
        assert error.value.code == "output-unwritable"
        assert os.listdir(disk) == []


@pytest.mark.privileged
def test_a_ledger_on_a_read_only_disk_can_still_be_looked_at(tmp_path: Path, make: Make) -> None:
    with mounted(tmp_path / "disk", "size=4m") as disk:
        ledger = make.ledger(disk)
        make.settle(ledger, "p", None, "failed")
        ledger.close()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        view = make.view(disk)
        assert view.counts() == {"failed": 1}
        view.close()


def test_a_folder_without_write_permission_is_named(make: Make, ordinary_user: None) -> None:
    with tempfile.TemporaryDirectory() as name:
        store, closed = make.store(Path(name)), Path(name) / "closed"
        closed.mkdir(mode=0o500)
        with pytest.raises(StoreError) as error:
            store.publish([one(closed)])
    assert error.value.code == "output-unwritable"


def one(folder: Path) -> Publication:
    target = folder / "a.txt"
    part = part_name(str(target), "x")
    return Publication(path=str(target), part=part, sha256=sha(b"x"), content=b"x", source=None, replace=None)


def test_a_folder_in_which_one_may_write_and_not_look_takes_products_all_the_same(
    make: Make, ordinary_user: None
) -> None:
    with tempfile.TemporaryDirectory() as name:
        store, box = make.store(Path(name)), Path(name) / "box"
        box.mkdir(mode=0o300)
        store.publish([one(box)])
        assert (box / "a.txt").read_bytes() == b"x"


def test_a_folder_that_lets_nothing_be_removed_is_told_as_that_and_not_its_product_as_in_the_way(
    tmp_path: Path, make: Make, tracer: Tracer
) -> None:
    """As one that only takes more, by chattr +a. The first name to go is that of a part of old, the second its own."""
    store = make.store(tmp_path)

    def work() -> int:
        try:
            store.publish([one(tmp_path)])
        except MediaspoolError as error:
            return 7 if error.code == "output-unwritable" else 8
        return 9

    assert tracer.run(work, fault=Fault(call="unlink", nth=2, error=errno.EPERM)).code == 7
    assert (tmp_path / "a.txt").read_bytes() == b"x"


@pytest.mark.parametrize("says", [errno.EINVAL, errno.ENOENT])
def test_a_name_that_a_disk_does_not_take_is_the_jobs_trouble_and_not_the_disks(
    tmp_path: Path, make: Make, tracer: Tracer, says: int
) -> None:
    store = make.store(tmp_path)

    def work() -> int:
        try:
            store.publish([one(tmp_path)])
        except InputError as error:
            return 7 if error.code == "path-unsafe" else 8
        return 9

    ended = tracer.run(work, fault=Fault(call="linkat", nth=1, error=says))
    assert (ended.code, (tmp_path / "a.txt").exists(), list(tmp_path.glob(".mediaspool*"))) == (7, False, [])
