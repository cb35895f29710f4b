"""How bytes become durable: written to the last one, synced, compared with what is on disk, placed without replacing.

The order is always part beside the target, sync, check, link, unlink, sync the folder, so a name shows the old file or
the new one. A failed sync is final for its descriptor. OSErrors become ours at the one border here.
"""

import contextlib
import errno
import hashlib
import os
import pwd
import shlex
import stat
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from pipeline.core.confine import display
from pipeline.core.errors import ConfigError, InputError, MediaspoolError, StoreError
from pipeline.core.model import Sha256
from pipeline.state.linux import rename_without_replace

CHUNK = 1 << 16  # a read takes that much memory for the smallest file; larger ones are no faster
PRIVATE = 0o600
PRIVATE_FOLDER = 0o700
NEW_FILE = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
NAMESAKE = "give them names that differ in more than case, as with {id} or {hash8} in `out`"
READ_FILE = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_UNWRITABLE = frozenset({errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR})
_UNSYNCABLE = frozenset({errno.EROFS, errno.EACCES, errno.EPERM, errno.EINVAL})
_NO_NAME = frozenset({errno.EINVAL, errno.EILSEQ})
_WHOLE = "what is made is moved there by its name: put the whole spool on one disk, under one mount"
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


@contextlib.contextmanager
def border(path: str) -> Iterator[None]:
    """Every OSError becomes one of ours here, by its number."""
    try:
        yield
    except OSError as error:
        raise mapped(error, path) from error


def mapped(error: OSError, path: str) -> MediaspoolError:
    shown, why = display(path), os.strerror(error.errno or 0)
    if error.errno in _FULL:
        return no_room(path)
    if error.errno in _UNWRITABLE:
        hint = "check owner, mode and mount of the folder"
        return StoreError(f"'{shown}' cannot be written: {why}", code="output-unwritable", hint=hint)
    if error.errno == errno.EXDEV:
        return StoreError(f"'{shown}' lies under another mount than the rest of the spool", hint=_WHOLE)
    if error.errno == errno.ENAMETOOLONG:
        return InputError(f"'{shown}' is too long a name", code="path-unsafe", hint="choose a shorter `out`")
    return StoreError(f"'{shown}': {why}", hint="check the disk and the system log")


def no_room(path: str) -> StoreError:
    """A disk may have bytes enough, which a person looks at first, and no inode for one more file."""
    what, advice = "space", "free some space"
    with contextlib.suppress(OSError):
        if _free_files(path) == 0:
            what, advice = "inode", "delete files there (df -i counts them)"
    return StoreError(f"no {what} left for '{display(path)}'", code="disk-full", hint=f"{advice} and run again")


@contextlib.contextmanager
def naming(path: str) -> Iterator[None]:
    """As `border`, where a name is given: one that this disk does not take is that job's trouble, not the disk's."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_NAME:
            raise mapped(error, path) from error
        hint = "choose an `out` without : ? * and without dots or spaces at the end of a name"
        raise InputError(
            f"'{display(path)}' has a name that this disk does not take", code="path-unsafe", hint=hint
        ) from error


def not_taken(error: FileNotFoundError, *, is_there: bool) -> OSError:
    """What a failure to give a name means: some disks say of a bad name that there is no such file.

    So it is where the folder `is_there`.
    """
    return OSError(errno.EINVAL, os.strerror(errno.EINVAL), error.filename) if is_there else error


def write_all(fd: int, chunk: bytes | bytearray | memoryview) -> None:
    """A nearly full disk takes a part and says so only in the count; the next write then gives the reason."""
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(fd, rest) :]


def sync_folder(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_names(path: str) -> None:
    """Make the names in a folder of others durable. One that may not be read, or knows no sync, is left as it is."""
    try:
        sync_folder(path)
    except OSError as error:
        if error.errno not in _UNSYNCABLE:
            raise


def may_read(path: str) -> bool:
    """Is the file there? os.path.exists says no also of what it may not look at, which is an error here.

    Asked without opening: to close a file that SQLite has open would let its locks go.
    """
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError as error:
        raise _not_yours(path) from error
    except OSError as error:
        raise mapped(error, path) from error
    if not os.access(path, os.R_OK):
        raise _not_yours(path)
    return True


def _not_yours(path: str) -> ConfigError:
    message = f"'{display(path)}' may not be read by this user"
    return ConfigError(message, code="spool-not-yours", hint="type this as the user whose spool it is")


def may_write(folder: str) -> bool:
    """May this user put something into the folder, or make it?

    By `access` alone: what asks for effective ids is a newer system call, to which old container filters say no.
    """
    return os.access(deepest(folder), os.W_OK | os.X_OK)


def make_folders(path: str, mode: int = PRIVATE_FOLDER) -> None:
    """Like os.makedirs, and the new names are durable, where they can be made so."""
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path) or "."
    for folder in reversed(missing):
        try:
            os.mkdir(folder, mode)
        except FileExistsError:
            if not os.path.isdir(folder):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder) from None
        sync_names(os.path.dirname(folder) or ".")


def digest_fd(fd: int) -> Sha256:
    """The hash of what the file holds, from its first byte, whatever was written before."""
    digest, offset = hashlib.sha256(), 0
    while chunk := os.pread(fd, CHUNK, offset):
        digest.update(chunk)
        offset += len(chunk)
    return Sha256(digest.hexdigest())


def digest_file(path: str) -> Sha256 | None:
    """The hash of a regular file; None for anything else that has this name, a link among them."""
    try:
        fd = os.open(path, READ_FILE)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            return None
        raise
    try:
        return digest_fd(fd) if stat.S_ISREG(os.fstat(fd).st_mode) else None
    finally:
        os.close(fd)


def write_file(path: str, chunks: Iterable[bytes], *, sha256: Sha256, mode: int) -> None:
    """Write a new file, synced, and compare what the disk holds with `sha256`. A half-written one is removed."""
    with writing(path, chunks, mode=mode) as fd:
        sync_file(fd, path, sha256=sha256)


@contextlib.contextmanager
def writing(path: str, chunks: Iterable[bytes], *, mode: int) -> Iterator[int]:
    """A new file with all its bytes, which the block syncs. It is gone where it is half-written or the block fails."""
    fd = os.open(path, NEW_FILE, mode)
    try:
        for chunk in chunks:
            write_all(fd, chunk)
        yield fd
    except BaseException:
        remove(path)
        raise
    finally:
        os.close(fd)


def sync_file(fd: int, path: str, *, sha256: Sha256) -> None:
    """Durable on return, and read back."""
    os.fsync(fd)
    if digest_fd(fd) != sha256:
        raise StoreError(f"'{display(path)}' reads back differently", hint="check the disk and the system log")


def read_at_most(file: BinaryIO, limit: int) -> bytes:
    """What a regular file holds, up to `limit` bytes. Asked for more than there is, Python sets aside room for all."""
    return file.read(min(os.fstat(file.fileno()).st_size + 1, limit))


def read_chunks(path: str) -> Iterator[bytes]:
    fd = os.open(path, READ_FILE)
    try:
        while chunk := os.read(fd, CHUNK):
            yield chunk
    finally:
        os.close(fd)


def place(part: str, target: str) -> None:
    """Give the finished `part` its final name unless something has it: FileExistsError, and the part stays.

    By hard link, so that a crash leaves both names of one file; where there are no links by a no-replace rename, and
    where there is neither by reserving the name and renaming over the reservation.
    """
    try:
        os.link(part, target, follow_symlinks=False)
    except FileNotFoundError as error:
        raise not_taken(error, is_there=os.path.lexists(part)) from error
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _place_without_links(part, target)
    else:
        os.unlink(part)


def _place_without_links(part: str, target: str) -> None:
    if rename_without_replace(part, target):
        return
    try:
        os.close(os.open(target, NEW_FILE, PRIVATE))
    except FileNotFoundError as error:
        raise not_taken(error, is_there=os.path.lexists(part)) from error
    try:
        os.rename(part, target)
    except OSError:
        remove(target)  # our own empty reservation
        raise


def remove(path: str) -> bool:
    """Unlink, never following a link; False when there was nothing."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def nameless(path: str) -> int:
    """A new file whose name is gone already, so that whatever happens it leaves nothing."""
    remove(path)
    fd = os.open(path, NEW_FILE, PRIVATE)
    remove(path)
    return fd


def ensure_mine(path: str) -> None:
    """ConfigError where the file is another user's, who could not read what this one puts beside it, as root may.

    Not on a disk where all files seem to be whoever's mounted it, nor where there is no such file.
    """
    if not may_read(path):
        return
    with border(path):
        owner = os.stat(path).st_uid
        if owner == os.geteuid():
            return
        probe = nameless(f"{path}.owner")
        try:
            is_apart = os.fstat(probe).st_uid == os.geteuid()
        finally:
            os.close(probe)
    if is_apart:
        who = _name_of(owner)
        message = f"'{display(path)}' belongs to user {who}, who could not read what this user would put beside it"
        hint = f"type this as that user, such as: sudo -u {shlex.quote(who)} mediaspool ..."
        raise ConfigError(message, code="spool-not-yours", hint=hint)


def _name_of(user: int) -> str:
    try:
        return display(pwd.getpwuid(user).pw_name)
    except KeyError:
        return f"#{user}"  # as sudo takes it


def free_bytes(path: str) -> int:
    """What this user may still write on the disk that holds `path` or will hold it."""
    path = deepest(path)
    with border(path):
        disk = os.statvfs(path)
    return disk.f_bavail * disk.f_frsize


def free_files(path: str) -> int | None:
    """How many files this user may still make on the disk that holds `path`; None where it does not count them."""
    with border(path):
        return _free_files(path)


def _free_files(path: str) -> int | None:
    disk = os.statvfs(deepest(path))
    return disk.f_favail if disk.f_files else None


def is_full(folder: str) -> bool:
    """Has the disk of a folder no block or no file left for this user? No where it does not say how many it has."""
    with border(folder):
        disk = os.statvfs(deepest(folder))
    return bool(disk.f_blocks and not disk.f_bavail) or bool(disk.f_files and not disk.f_favail)


def ensure_one_disk(root: str, names: Iterable[str]) -> None:
    """ConfigError where a folder of `root` lies elsewhere, by a mount or by a link: nothing can be moved there."""
    for name in names:
        path = os.path.join(root, name)
        with border(path):
            elsewhere = _elsewhere(root, path)
        if elsewhere is not None:
            raise ConfigError(f"'{display(path)}' lies {elsewhere} than the rest of the spool", hint=_WHOLE)


def _elsewhere(root: str, path: str) -> str | None:
    if not os.path.isdir(path):  # what is missing is made where the rest is
        return None
    if os.stat(path).st_dev != os.stat(root).st_dev:
        return "on another disk"
    try:
        os.rename(os.path.join(root, "."), os.path.join(path, "."))  # nobody does that, and two mounts are told first
    except OSError as error:
        return "under another mount" if error.errno == errno.EXDEV else None
    return None


def on_one_disk(one: str, other: str) -> bool:
    """Do both lie, or will they, on one file system?"""
    with border(one):
        return os.stat(deepest(one)).st_dev == os.stat(deepest(other)).st_dev


def deepest(path: str) -> str:
    """The path, or of the folders above it the first that is there."""
    while not os.path.exists(path):
        path = os.path.dirname(path) or "/"
    return path


def namesake(path: str) -> str | None:
    """The name by which the disk knows a file where it is another one: some take upper and lower case for the same."""
    folder, name = os.path.split(path)
    with contextlib.suppress(OSError):
        if os.path.lexists(os.path.join(folder, name.swapcase())):  # asked first: a folder may have many names
            names = os.listdir(folder)
            twins = [other for other in names if other.casefold() == name.casefold() and other != name]
            twins = [os.path.join(folder, twin) for twin in twins]
            return next((twin for twin in twins if name not in names or os.path.samefile(twin, path)), None)
    return None
