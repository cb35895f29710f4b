"""What Linux offers and Python does not: kinds of file systems, room without writing, no-replace renames, hints, a
word about memory.

Each says plainly when it is not offered here, so that its caller can take the longer way. Nothing here decides.
"""

import ctypes
import errno
import functools
import os
from collections.abc import Iterable

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_FALLOC_KEEP_SIZE = 1
_IN_NEWS = 0x8 | 0x80 | 0x400  # closed after writing, moved in, the folder itself deleted
_STATFS_BYTES = 512  # larger than struct statfs on every architecture
# From malloc.h, with what is asked for.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_THRIFT = ((_M_ARENA_MAX, 1), (_M_MMAP_THRESHOLD, 1 << 20), (_M_TRIM_THRESHOLD, 1 << 20))
# EPERM as well: old container filters answer it for system calls that they do not know.
_NOT_OFFERED = frozenset({errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM})

# From linux/magic.h: what other hosts may write to, or what a user-space process answers for.
SHARED_FILE_SYSTEMS: dict[int, str] = {
    0x6969: "NFS",
    0x517B: "SMB",
    0xFE534D42: "SMB",
    0xFF534D42: "CIFS",
    0x65735546: "FUSE",
    0x01021997: "9P",
    0x00C36400: "Ceph",
    0x5346414F: "AFS",
    0x6B414653: "AFS",
    0x73757245: "Coda",
    0x564C: "NCP",
    0x7461636F: "OCFS2",
    0x01161970: "GFS2",
    0x0BD00BD0: "Lustre",
    0x786F4256: "VirtualBox shared folder",
}


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _raise_errno(path: str) -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number), path)


def file_system_magic(path: str) -> int | None:
    """The magic number of the file system that holds `path`; None where the C library has no statfs."""
    statfs = getattr(_libc(), "statfs", None)
    if statfs is None:
        return None
    buffer = ctypes.create_string_buffer(_STATFS_BYTES)
    if statfs(os.fsencode(path), buffer) != 0:
        _raise_errno(path)
    word = ctypes.c_long.from_buffer(buffer).value  # f_type is the first word of the struct
    return word & 0xFFFFFFFF


def has_room(fd: int, size: int) -> bool | None:
    """Ask the file system to set `size` bytes aside for `fd`; None when it cannot promise. OSError when it refuses.

    Unlike os.posix_fallocate this never falls back to writing zeros.
    """
    fallocate = getattr(_libc(), "fallocate", None)
    if fallocate is None:
        return None
    if fallocate(fd, _FALLOC_KEEP_SIZE, ctypes.c_long(0), ctypes.c_long(size)) == 0:
        return True
    if ctypes.get_errno() in _NOT_OFFERED:
        return None
    _raise_errno("")
    return False


def rename_without_replace(source: str, target: str) -> bool:
    """Rename unless `target` exists (FileExistsError). False when kernel or file system do not offer it."""
    renameat2 = getattr(_libc(), "renameat2", None)
    if renameat2 is None:
        return False
    if renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE) == 0:
        return True
    if ctypes.get_errno() in _NOT_OFFERED:
        return False
    _raise_errno(target)
    return False


def open_hints(folders: Iterable[str]) -> int | None:
    """A descriptor that can be read when a file was put into one of the folders; None where the kernel tells nothing.

    A hint only: on network file systems it stays silent, and what it says is not read but thrown away.
    """
    start, watch = getattr(_libc(), "inotify_init1", None), getattr(_libc(), "inotify_add_watch", None)
    if start is None or watch is None:
        return None
    fd: int = start(os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0:
        return None
    for folder in folders:
        watch(fd, os.fsencode(folder), _IN_NEWS)  # one that is missing is found by the clock
    return fd


def be_thrifty() -> bool:
    """Ask the C library for one pool of memory for all threads, and for what is free, also of an earlier run of this
    process. False where it cannot be asked.

    By itself glibc gives the threads of each run pools of their own, which it hardly ever gives back, and once a block
    of some megabytes was freed it puts such blocks into the pools too: after some thousand jobs half of them is free.
    """
    mallopt = getattr(_libc(), "mallopt", None)
    return give_back() and mallopt is not None and all(mallopt(what, value) for what, value in _THRIFT)


def give_back() -> bool:
    """Let the system have every page that is free, wherever it lies. Takes two milliseconds for a hundred megabytes."""
    trim = getattr(_libc(), "malloc_trim", None)
    if trim is not None:
        trim(0)
    return trim is not None
