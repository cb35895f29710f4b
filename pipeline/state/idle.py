"""The idle marker: proof that the last run ended with nothing left to do, and of what it saw.

`is_idle` answers a cron tick from the marker alone, with the standard library and a few stats. A run removes the marker
before it does anything else, so a marker also proves that no attempt is open. Idle is said only when it is sure:
whatever cannot be read, is newer than the look of that run, or is too much to watch, means that a run is due.
"""

import json
import os
import stat
import sys
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence

from pipeline import __version__
from pipeline.state.drops import is_ignored, is_manifest_name, stood_still
from pipeline.state.pulse import beat

MAX_WATCHED = 20_000
MAX_MARKER_BYTES = 16_000_000
MAX_BEGAN_BYTES = 200
OTHER_DISK_MARGIN_NS = 120 * 10**9  # the clock of a file server may differ from ours
MAX_CLOCK_STEP_S = 1.0

_MARKER, _BEGAN = "idle.json", "idle.began"
_ENVIRONMENT = ("MEDIASPOOL_", "XDG_CONFIG_HOME", "CREDENTIALS_DIRECTORY")

Mark = list[int]
Marker = tuple[list[str | int], float, list[tuple[str, Mark | None]], str | None]


class _TooMuchError(Exception):
    """More to watch than an idle tick may stat, or the spool itself among it."""


def is_idle(root: str) -> bool:
    """True when a run would find everything as the last one left it. The file of figures then says that all is well."""
    try:
        program, settle_s, entries, figures = _read_marker(os.path.join(root, _MARKER))
        if program != _program():
            return False
        if any(not name.startswith(".") for name in os.listdir(os.path.join(root, "claimed"))):
            return False
        if _has_settled_drop(os.path.join(root, "incoming"), settle_s):
            return False
        if not all(_mark(path) == mark for path, mark in entries):
            return False
    except (OSError, ValueError, KeyError, TypeError):
        return False
    if figures is not None:
        beat(figures)
    return True


def remove_marker(root: str) -> None:
    """The first act of a run. What changes from here on is news to the next tick."""
    try:
        os.unlink(os.path.join(root, _MARKER))
        _sync(root)
    except FileNotFoundError:
        pass
    with open(os.path.join(root, _BEGAN), "w", encoding="ascii", opener=_private) as file:
        json.dump([time.time(), time.monotonic()], file)


def write_marker(
    root: str, *, watched: Sequence[str], settle_s: float, extra_files: Sequence[str] = (), figures: str | None = None
) -> bool:
    """The last act of a run that left nothing to do. False, and no marker, when the next tick must look for itself.

    `watched` are files, and folders with all that is below them; `extra_files` such as the settings file likewise.
    `figures` is a file that says when all was well, for the next tick to say so again.
    """
    root = os.path.realpath(root)
    try:
        entries = _snapshot(_code(), [*extra_files, os.path.join(root, "standing"), *watched], root)
        if not _is_older_than_look(entries, root):
            return False
        _replace(root, json.dumps([_program(), settle_s, list(entries.items()), figures]))
    except (OSError, ValueError, _TooMuchError):
        return False
    return True


def _read_marker(path: str) -> Marker:
    """Not checked further: whatever is wrong in it fails a comparison or raises, and both mean not idle."""
    with open(path, "rb") as file:
        program, settle_s, entries, figures = json.loads(file.read(MAX_MARKER_BYTES))
    return program, settle_s, entries, figures


def _program() -> list[str | int]:
    """What else decides about a run: the code's version, the interpreter, and settings in the environment."""
    settings = sorted(item for item in os.environ.items() if item[0].startswith(_ENVIRONMENT))
    return [__version__, sys.version, zlib.crc32(repr(settings).encode("utf-8", "surrogateescape"))]


def _code() -> list[str]:
    """The folders that packages are installed into, and our own modules: an upgraded engine changes the keys of jobs.

    Of our folders only the files count: Python itself makes folders for compiled modules among them.
    """
    packages = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    trees = (own, os.path.join(os.path.dirname(own), "jobs"))
    modules = [os.path.join(folder, name) for tree in trees for folder, _, names in os.walk(tree) for name in names]
    return [*packages, *(path for path in modules if path.endswith(".py"))]


def _has_settled_drop(incoming: str, settle_s: float) -> bool:
    """A dropped manifest that is at rest, or something odd under such a name, which a run would move away."""
    now = time.time()
    with os.scandir(incoming) as entries:
        for entry in entries:
            if is_manifest_name(entry.name) and not entry.is_dir(follow_symlinks=False):
                found = entry.stat(follow_symlinks=False)
                if not stat.S_ISREG(found.st_mode) or stood_still(found, now=now, settle_s=settle_s):
                    return True
    return False


def _mark(path: str) -> Mark | None:
    """What would change with the content or the name; None when nothing has this name."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return [found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev]


def _snapshot(files: Iterable[str], trees: Iterable[str], root: str) -> dict[str, Mark | None]:
    entries = {path: _mark(path) for path in files}
    for tree in trees:
        for path in _below(tree, root):
            entries[path] = _mark(path)
            if len(entries) > MAX_WATCHED:
                raise _TooMuchError
    return entries


def _below(path: str, root: str) -> Iterator[str]:
    """The path and all below it, except ignored names and the spool, whose own folders are looked at by themselves."""
    if os.path.realpath(path) == root:
        raise _TooMuchError
    yield path
    if not os.path.isdir(path):
        return
    for folder, folders, files in os.walk(path):
        folders[:] = [name for name in folders if _is_watched(folder, name, root)]
        yield from (os.path.join(folder, name) for name in (*folders, *files) if not is_ignored(name))


def _is_watched(folder: str, name: str, root: str) -> bool:
    return not is_ignored(name) and os.path.realpath(os.path.join(folder, name)) != root


def _is_older_than_look(entries: dict[str, Mark | None], root: str) -> bool:
    """Did everything rest since the run began to look? Asked of the disk's clock, and only if that was steady."""
    began_path = os.path.join(root, _BEGAN)
    with open(began_path, "rb") as file:
        wall, monotonic = json.loads(file.read(MAX_BEGAN_BYTES))
    if abs((time.time() - wall) - (time.monotonic() - monotonic)) > MAX_CLOCK_STEP_S:
        return False
    began = os.stat(began_path)
    for mark in entries.values():
        if mark is not None:
            margin = 0 if mark[4] == began.st_dev else OTHER_DISK_MARGIN_NS
            if mark[1] >= began.st_mtime_ns - margin:
                return False
    return True


def _replace(root: str, text: str) -> None:
    """A torn marker after a power cut is no JSON, which means not idle; so this one file is not synced."""
    part = os.path.join(root, f"{_MARKER}.tmp")
    with open(part, "w", encoding="ascii", opener=_private) as file:
        file.write(text)
    os.rename(part, os.path.join(root, _MARKER))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync(folder: str) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
