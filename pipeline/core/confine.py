"""Confinement: how a name from outside becomes an open file or a visible text, and nothing more.

`open_beneath` gives a regular file under a root or refuses: no link on the way, no `..`, no device, no FIFO. It is
true at the moment of opening, whatever was checked before, so a folder swapped for a link meanwhile changes nothing.
`display` is the one renderer for untrusted text. What it cannot see: a hard link to a file that lies elsewhere.
"""

import ctypes
import errno
import functools
import os
import re
import stat

from pipeline.core.errors import InputError, MediaspoolError

MAX_NAME_BYTES = 255
MAX_PATH_BYTES = 4095
TOO_LONG = "is too long"
MAX_SHOWN = 300
MAX_SHOWN_PATH = 4096
OPEN_TRIES = 32

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NOT_PLAIN = re.compile(r"//|\./|[./]\Z|\A\Z")
_NR_OPENAT2 = 437  # the same on every architecture: it came after the numbers were unified
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_BENEATH = 0x08
_ALWAYS = os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY  # non-blocking: the open of a FIFO must not wait for a writer


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def way_below(folder: str, path: str) -> str:
    """`os.path.relpath` of what lies in `folder`, at a fraction of its price where the path is written plainly."""
    rest = path.removeprefix(folder.rstrip("/") + "/")
    if rest == path or f"/{rest}".startswith("//") or _NOT_PLAIN.search(rest):
        return os.path.relpath(path, folder)
    return rest


def open_beneath(root: str, relative: str, flags: int = os.O_RDONLY) -> int:
    """A descriptor of a regular file under `root`. InputError when the way or the file is not what it must be."""
    _refuse_by_name(relative)
    try:
        root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _refusal(error, root) from error
    try:
        fd = _open_at(root_fd, relative, flags | _ALWAYS)
    except OSError as error:
        raise _refusal(error, relative) from error
    finally:
        os.close(root_fd)
    return _regular(fd, relative)


def is_safe_name(text: str) -> bool:
    """May this name or path be read or written at all? False for control characters and over-long components."""
    return not why_unsafe(text)


def why_unsafe(text: str) -> str:
    """Why a name or path is never read or written; empty where it may be."""
    if not text or _CONTROL.search(text):
        return "has control characters" if text else "is empty"
    if len(text) <= MAX_NAME_BYTES and text.isascii():
        return ""
    try:
        encoded = os.fsencode(text)
    except UnicodeEncodeError:
        return "has characters that stand for no byte"
    is_short = len(encoded) <= MAX_PATH_BYTES and all(len(part) <= MAX_NAME_BYTES for part in encoded.split(b"/"))
    return "" if is_short else TOO_LONG


def say_which(error: MediaspoolError, path: str) -> None:
    """Begin the message with the name of the file that it is about, unless it names it already."""
    name = display_path(os.path.basename(path))
    if name not in error.message:
        error.message = f"'{name}': {error.message}"


def display(text: str, limit: int = MAX_SHOWN) -> str:
    """Untrusted text as one harmless line of at most `limit` characters; showing the result again changes nothing."""
    head = text[: limit + 1]
    shown = head if head.isprintable() else "".join(c if c.isprintable() else _escaped(ord(c)) for c in head)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def display_path(path: str) -> str:
    """As `display`, for paths and ids: whole wherever they are of a length that a file can have."""
    return display(path, MAX_SHOWN_PATH)


def _escaped(point: int) -> str:
    if 0xDC80 <= point <= 0xDCFF:  # a byte that was not UTF-8, as os.fsdecode carries it
        return f"\\x{point - 0xDC00:02x}"
    return f"\\x{point:02x}" if point < 0x80 else f"\\u{{{point:x}}}"


def _refuse_by_name(relative: str) -> None:
    if not is_safe_name(relative):
        raise InputError(
            f"'{display(relative)}' has a name that is never read",
            code="path-unsafe",
            hint="rename it without control characters and under 256 bytes a part",
        )
    if relative.startswith("/") or ".." in relative.split("/"):
        raise _outside(relative)


def _open_at(root_fd: int, relative: str, flags: int) -> int:
    try:
        return _by_openat2(root_fd, relative, flags)
    except OSError as error:
        # EPERM as well: old container filters answer it for system calls that they do not know
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise
    return _by_components(root_fd, relative, flags)


def _by_openat2(root_fd: int, relative: str, flags: int) -> int:
    resolve = _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS
    how = _OpenHow(flags=flags, mode=0o600 if flags & os.O_CREAT else 0, resolve=resolve)
    for _ in range(OPEN_TRIES):
        fd = int(_libc().syscall(_NR_OPENAT2, root_fd, os.fsencode(relative), ctypes.byref(how), ctypes.sizeof(how)))
        if fd >= 0:
            return fd
        # EAGAIN: something was renamed meanwhile and the kernel could not be sure; asking again is its own advice
        if ctypes.get_errno() not in (errno.EAGAIN, errno.EINTR):
            break
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _by_components(root_fd: int, relative: str, flags: int) -> int:
    """The same for kernels without openat2: one step at a time, never through a link."""
    *folders, name = [part for part in relative.split("/") if part not in ("", ".")] or [""]
    here = os.dup(root_fd)
    try:
        for folder in folders:
            below = _step(here, folder)
            os.close(here)
            here = below
        return os.open(name, flags | os.O_NOFOLLOW, 0o600, dir_fd=here)
    finally:
        os.close(here)


def _step(here: int, folder: str) -> int:
    try:
        return os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
    except NotADirectoryError:
        # a link and a plain file give the same error here; openat2 tells them apart, so must we
        if stat.S_ISLNK(os.stat(folder, dir_fd=here, follow_symlinks=False).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None
        raise


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _regular(fd: int, relative: str) -> int:
    if stat.S_ISREG(os.fstat(fd).st_mode):
        os.set_blocking(fd, True)
        return fd
    os.close(fd)
    raise _odd_file(relative)


def _refusal(error: OSError, name: str) -> InputError:
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            return InputError(f"'{display(name)}' does not exist", code="input-missing", hint="check the path")
        case errno.ELOOP | errno.EXDEV:
            return _outside(name)
        case errno.ENXIO | errno.ENODEV | errno.EISDIR | errno.ENAMETOOLONG:
            return _odd_file(name)
    why = os.strerror(error.errno or 0)
    return InputError(
        f"'{display(name)}' cannot be read: {why}", code="input-unreadable", hint="check owner, mode and disk"
    )


def _outside(name: str) -> InputError:
    return InputError(
        f"'{display(name)}' leaves its folder or goes through a link",
        code="path-outside-roots",
        hint="add the real folder to `roots` in the settings",
    )


def _odd_file(name: str) -> InputError:
    return InputError(
        f"'{display(name)}' is not a regular file",
        code="path-unsafe",
        hint="folders, devices, FIFOs and sockets are never read",
    )
