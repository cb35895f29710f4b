"""The store: the only writer of files. Payloads are staged, adopted under their hash, and published to the outputs.

Nothing is visible under a final name before it is whole, synced and equal to its hash. A product is never replaced
unless its caller names the hash that it may replace. Blocking: asked through the one runner, by one caller at a time.
"""

import hashlib
import math
import os
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from types import TracebackType
from typing import Self

from msgspec import Struct

from pipeline.core.confine import display
from pipeline.core.errors import InputError, StoreError
from pipeline.core.model import Asset, CallReceipt, Media, Sha256
from pipeline.state.durable import (
    NAMESAKE,
    NEW_FILE,
    PRIVATE,
    border,
    digest_file,
    free_bytes,
    free_files,
    make_folders,
    mapped,
    nameless,
    namesake,
    naming,
    place,
    read_chunks,
    remove,
    sync_file,
    sync_folder,
    sync_names,
    write_all,
    write_file,
    writing,
)
from pipeline.state.ledger_rows import pack
from pipeline.state.linux import has_room
from pipeline.state.proofs import record_path

MAX_QUARANTINED = 100
GRANTED_S = 0.5
SPARE_FILES = 100  # an answer, its record and their folder, those of all calls under way, parts, products and reports
WRITTEN_AT_ONCE = 16  # products of a job: as many descriptors are open, and a book has hundreds
PRODUCT_MODE, PRODUCT_FOLDER_MODE = 0o666, 0o777  # less the user's umask, like any file a program makes for its user
_PART_PREFIX, _PART_SUFFIX = ".mediaspool-", ".part"


class Publication(Struct, frozen=True, kw_only=True):
    """A file to publish: `content`, or the bytes of the file `source`. `replace`: the hash that may be overwritten."""

    path: str
    part: str
    sha256: Sha256
    content: bytes | None
    source: str | None
    replace: Sha256 | None


def part_name(path: str, owner: str) -> str:
    """The name beside `path` under which `owner` (an attempt or a place) writes it; always short, always ours."""
    mark = hashlib.sha256(os.fsencode(path) + b"\0" + owner.encode()).hexdigest()[:32]
    return os.path.join(os.path.dirname(path), f"{_PART_PREFIX}{mark}{_PART_SUFFIX}")


class Staged:
    """A payload on its way in: counted and hashed as it is written. Leaving the block closes it and keeps the file.

    The file is made with its first bytes; StoreError then if the name is taken.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.name = os.path.basename(path)
        self.size = 0
        self._hash = hashlib.sha256()
        self._fd: int | None = None
        self._is_over = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def sha256(self) -> Sha256:
        """Of everything written so far."""
        return Sha256(self._hash.hexdigest())

    def write(self, chunk: bytes | bytearray) -> None:
        fd = self._descriptor()
        try:
            write_all(fd, chunk)
        except OSError as error:
            self._give_up()
            raise mapped(error, self.path) from error
        self._hash.update(chunk)
        self.size += len(chunk)

    def sync(self) -> None:
        """Durable on return, name and bytes. A failure is final: the kernel reports lost pages only once."""
        fd = self._descriptor()
        try:
            os.fsync(fd)
            found = os.fstat(fd).st_size
            sync_folder(os.path.dirname(self.path))
        except OSError as error:
            self._give_up()
            raise mapped(error, self.path) from error
        if found != self.size:
            self._give_up()
            raise StoreError(f"{found} bytes on disk, {self.size} were written", hint="check the disk")

    def close(self) -> None:
        fd, self._fd, self._is_over = self._fd, None, True
        if fd is not None:
            with border(self.path):
                os.close(fd)

    def discard(self) -> None:
        """Close and remove; may be called twice, and after the file was moved away."""
        self.close()
        with border(self.path):
            remove(self.path)

    def _descriptor(self) -> int:
        if self._is_over:
            raise StoreError("the staged file failed or was closed before", hint="run again")
        if self._fd is None:
            with border(self.path):
                self._fd = os.open(self.path, NEW_FILE, PRIVATE)
        return self._fd

    def _give_up(self) -> None:
        """Never a second try on a descriptor that failed."""
        fd, self._fd, self._is_over = self._fd, None, True
        if fd is not None:
            with suppress(OSError):
                os.close(fd)


class Store:
    """Owns `staging/`, `assets/` and `quarantine/` of one spool, and every file name in the output folders.

    Its methods may run in several threads at a time, for different payloads and different products.
    """

    def __init__(
        self, *, staging: str, assets: str, quarantine: str, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self.staging = staging
        self._assets = assets
        self._quarantine = quarantine
        self._quarantining = threading.Lock()
        self._probing = threading.Lock()
        self._probe: int | None = None
        self._steady = steady
        self._granted = (-math.inf, 0)  # when, how much

    def ensure_room(self, size: int) -> None:
        """StoreError disk-full unless `size` more bytes and a few files fit now. A check before paying, no reservation.

        The free bytes are looked at each time. A quota shows only when bytes are asked for, which on a busy ext4 costs
        0.4 ms: what was granted holds for GRANTED_S, and is asked of one nameless file that stays open.
        """
        if free_bytes(self.staging) < size:
            raise _little_left(f"{size} bytes are free", self.staging, "free some space")
        if (files := free_files(self.staging)) is not None and files < SPARE_FILES:
            raise _little_left(f"{SPARE_FILES} inodes are free", self.staging, "delete files there (df -i counts them)")
        with self._probing, border(self.staging):
            since, granted = self._granted
            if size > granted or self._steady() - since >= GRANTED_S:
                self._ask_for(size)
                self._granted = (self._steady(), size)

    def _ask_for(self, size: int) -> None:
        if self._probe is None:
            self._probe = nameless(os.path.join(self.staging, ".room"))
        try:
            has_room(self._probe, max(size, 1))
        finally:
            os.ftruncate(self._probe, 0)

    def part_of(self, path: str, place: str) -> str:
        """Where `place` writes what is to be `path`. Another spool may do the same at this moment, in its own part."""
        return part_name(path, f"{self.staging}\0{place}")

    def close(self) -> None:
        """Give the room back that `ensure_room` asks of. The store can be used on."""
        with self._probing:
            probe, self._probe = self._probe, None
        if probe is not None:
            with suppress(OSError):  # nothing in it is wanted
                os.close(probe)

    def stage(self, name: str) -> Staged:
        """A new file in `staging/`, once something is written to it."""
        return Staged(os.path.join(self.staging, name))

    def adopt(self, staged_path: str, *, sha256: Sha256, media: Media, is_last: bool = True) -> Asset:
        """Move a synced payload into `assets/` under its hash, durable on return. May be called again after a crash.

        What is on disk is hashed once more; an asset of that hash that is already there is replaced by equal bytes.
        One that is not the last write of its folder is durable once its caller has synced that, as `note_call` does.
        """
        target = self._asset_path(sha256, media.extension)
        with border(target):
            if not os.path.lexists(staged_path) and os.path.lexists(target):
                staged_path = target
            if digest_file(staged_path) != sha256:
                raise StoreError("a staged payload changed on disk", hint="check the disk and the system log")
            make_folders(os.path.dirname(target))
            os.rename(staged_path, target)
            if is_last:
                sync_folder(os.path.dirname(target))
            size = os.stat(target).st_size
        return Asset(sha256=sha256, path=target, size=size, media=media)

    def sync_assets(self, hashes: Iterable[Sha256]) -> None:
        """Make the names of these assets durable, and those of the folders that they lie in."""
        folders = {os.path.join(self._assets, sha256[:2]) for sha256 in hashes}
        for folder in (*folders, self._assets):
            with border(folder):
                sync_folder(folder)

    def note_call(self, asset: Asset, receipt: CallReceipt) -> None:
        """Lay the proof of a paid call beside its answer, durable on return: without a ledger it is not paid again."""
        path = record_path(asset.path, receipt)
        body, part = pack(receipt), f"{path}.part"
        with border(path):
            remove(part)
            write_file(part, [body], sha256=Sha256(hashlib.sha256(body).hexdigest()), mode=PRIVATE)
            os.rename(part, path)
            sync_folder(os.path.dirname(path))

    def asset_of(self, sha256: Sha256, media: Media, *, size: int) -> Asset:
        """Where the asset of that hash and type lies, if it does."""
        return Asset(sha256=sha256, path=self._asset_path(sha256, media.extension), size=size, media=media)

    def asset(self, sha256: Sha256, media: Media, *, size: int) -> Asset | None:
        """The asset of that hash and type, if it is there and has that size."""
        path = self._asset_path(sha256, media.extension)
        try:
            found = os.stat(path, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise mapped(error, path) from error
        if not stat.S_ISREG(found.st_mode) or found.st_size != size:
            return None
        return Asset(sha256=sha256, path=path, size=size, media=media)

    def quarantine(self, staged_path: str) -> None:
        """Keep a payload that was not what was asked, for a person to look at; the oldest of too many go."""
        target = os.path.join(self._quarantine, os.path.basename(staged_path))
        with self._quarantining, border(target):
            make_folders(self._quarantine)
            os.rename(staged_path, target)
            kept = sorted(
                (entry.stat(follow_symlinks=False).st_mtime_ns, entry.path) for entry in os.scandir(self._quarantine)
            )
            for _, path in kept[:-MAX_QUARANTINED]:
                remove(path)

    def publish(self, items: Sequence[Publication]) -> None:
        """All of `items` under their final names, durable on return wherever the disk can make them so.

        May be called again after a crash.

        Every obstacle is found before the first name appears: InputError output-exists leaves no trace.
        """
        wanted = [item for item in items if not _is_published(item)]
        try:
            for at in range(0, len(wanted), WRITTEN_AT_ONCE):
                _write_parts(wanted[at : at + WRITTEN_AT_ONCE])
            for item in wanted:
                _place_part(item)
        except BaseException:
            self.discard_parts(item.part for item in items)
            raise
        self.discard_parts(item.part for item in items if item not in wanted)
        for folder in {os.path.dirname(item.path) for item in items}:
            with border(folder):
                sync_names(folder)

    def discard_parts(self, paths: Iterable[str]) -> None:
        """Remove parts that a dead run left; anything that is not named like a part of ours stays.

        One that cannot be removed, as on a disk that is read-only now, waits for the next start: no other work hangs on
        it, and whoever publishes there is told the reason.
        """
        for path in paths:
            if _is_part(os.path.basename(path)):
                with suppress(OSError):
                    remove(path)

    def sweep_staging(self) -> None:
        """Remove what dead runs left in `staging/`.

        Only files and folders of this user go; links and whatever else somebody put there stay.
        """
        with border(self.staging):
            for entry in list(os.scandir(self.staging)):
                _remove_ours(entry)

    def _asset_path(self, sha256: str, extension: str) -> str:
        return os.path.join(self._assets, sha256[:2], f"{sha256}.{extension}")


def _little_left(what: str, folder: str, advice: str) -> StoreError:
    message, hint = f"less than {what} for '{display(folder)}'", f"{advice} and run again"
    return StoreError(message, code="disk-full", hint=hint)


def _is_part(name: str) -> bool:
    return name.startswith(_PART_PREFIX) and name.endswith(_PART_SUFFIX)


def _is_published(item: Publication) -> bool:
    """True when the target already holds exactly this. InputError when it holds something that must stay."""
    with border(item.path):
        try:
            found = digest_file(item.path)
        except FileNotFoundError:
            return False
    if found == item.sha256:
        return True
    if found is None or found != item.replace:
        raise _in_the_way(item)
    return False


def _in_the_way(item: Publication) -> InputError:
    twin = namesake(item.path)
    if twin is not None:
        message = f"'{display(item.path)}' is already there, as one file with '{display(os.path.basename(twin))}'"
        return InputError(message, code="output-exists", hint=NAMESAKE)
    return InputError(
        f"'{display(item.path)}' is already there and is not the file that may be replaced",
        code="output-exists",
        hint="move it away, or let --force replace it",
    )


def _write_parts(items: Sequence[Publication]) -> None:
    """All of them, and only then the disk's word on each: it takes most of them in one go."""
    with ExitStack() as parts:
        begun = [(item, parts.enter_context(_new_part(item))) for item in items]
        for item, fd in begun:
            with border(item.path):
                sync_file(fd, item.part, sha256=item.sha256)


@contextmanager
def _new_part(item: Publication) -> Iterator[int]:
    chunks = [item.content] if item.content is not None else read_chunks(item.source or "")
    with border(item.path):
        make_folders(os.path.dirname(item.path), PRODUCT_FOLDER_MODE)
        remove(item.part)  # what a dead run left under this very name
        with writing(item.part, chunks, mode=PRODUCT_MODE) as fd:
            yield fd


def _place_part(item: Publication) -> None:
    with naming(item.path):
        try:
            place(item.part, item.path)
            return
        except FileExistsError:
            pass  # either it may be replaced, or it appeared since we looked, or a network disk answered twice
        is_there = _is_published(item)
        if is_there:
            remove(item.part)
        else:
            os.rename(item.part, item.path)


def _remove_ours(entry: "os.DirEntry[str]") -> None:
    found = entry.stat(follow_symlinks=False)
    if found.st_uid != os.geteuid():
        return
    if stat.S_ISDIR(found.st_mode):
        shutil.rmtree(entry.path)
    elif stat.S_ISREG(found.st_mode):
        remove(entry.path)
