"""The spool: its folders, the lock of a run, and the way of a dropped manifest from `incoming/` to `done/`.

One run at a time holds the lock, a flock that the kernel frees with its holder, so no clock and no clean-up is needed.
A manifest is moved by rename only, its base folder recorded before: killed at any point, it lies in exactly one folder
and the next run finds it. Nothing dropped is opened here.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal

from msgspec import Struct

from pipeline.core.confine import display, is_safe_name
from pipeline.core.errors import ConfigError, RunBusy
from pipeline.state.drops import (
    MANIFEST_SUFFIXES,
    PAGE_SUFFIX,
    REPORT_SUFFIX,
    is_ignored,
    is_manifest_name,
    stood_still,
)
from pipeline.state.durable import (
    NEW_FILE,
    PRIVATE,
    border,
    ensure_mine,
    ensure_one_disk,
    make_folders,
    may_read,
    remove,
    sync_folder,
    sync_names,
    write_all,
)
from pipeline.state.idle import remove_marker
from pipeline.state.linux import rename_without_replace

FOLDER_MODE = 0o700
MAX_CLAIMS = 1000
MAX_NAME_BYTES = 200  # leaves room for a number and for ".report.json"
MAX_REPORTS = 1000
SHOWN_CHARS = 60  # of a name that was refused, its length perhaps the reason: that must have room behind it
MAX_NOTE_BYTES = 65_536
INDEX = "index.html"
_FOLDERS = (
    "incoming",
    "standing",
    "claimed",
    "done",
    "failed",
    "staging",
    "assets",
    "debug",
    "reports",
    "quarantine",
    "catalogues",
)
MOVED_BETWEEN = ("incoming", "claimed", "done", "failed", "staging", "assets", "reports", "quarantine")

Origin = Literal["incoming", "standing", "file"]
End = Literal["done", "failed", "claimed"]


class Claim(Struct, frozen=True, kw_only=True):
    """A manifest that this run may read. `base` is the folder its relative paths start from."""

    name: str
    path: str
    base: str
    origin: Origin


class Refused(Struct, frozen=True, kw_only=True):
    """Something odd that was dropped under the name of a manifest, moved away unopened. `name` is safe to show."""

    name: str
    path: str
    message: str


class Spool:
    """The folders of one spool. Writing methods are called under `lock`, by one caller at a time."""

    def __init__(self, root: str) -> None:
        self.root = os.path.realpath(root)
        self.incoming = self._folder("incoming")
        self.staging = self._folder("staging")
        self.assets = self._folder("assets")
        self.quarantine = self._folder("quarantine")
        self.debug = self._folder("debug")
        self.reports = self._folder("reports")
        self.catalogues = self._folder("catalogues")
        self.ledger_path = self._folder("ledger.db")
        self.refused: list[Refused] = []

    @classmethod
    def create(cls, root: str) -> "Spool":
        """Open a spool, making what is missing, for its owner only. ConfigError when anybody may write into it."""
        spool = cls(root)
        with border(spool.root):
            make_folders(spool.root, FOLDER_MODE)
            if not may_read(spool.ledger_path):  # nor has anybody told that the name of the spool is durable
                sync_names(os.path.dirname(spool.root))
            ensure_mine(spool.ledger_path)  # before anything is made, which its owner could not look into
            if os.stat(spool.root).st_mode & stat.S_IWOTH:
                message = f"everybody may write into the spool folder '{display(spool.root)}'"
                hint = "chmod o-w it; where that changes nothing, as on FAT or exFAT, mount the disk with umask=077"
                raise ConfigError(message, hint=hint)
            for name in _FOLDERS:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(spool._folder(name), FOLDER_MODE)
            ensure_one_disk(spool.root, MOVED_BETWEEN)
        return spool

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Held until the block or the process ends, however it ends. RunBusy at once when another run has it.

        What changes under it is news to the next tick: the idle marker goes first.
        """
        path = self._folder("lock")
        ensure_mine(self.ledger_path)
        with border(path):
            fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE)
        try:
            _take(fd, path)
            with border(self.root):
                remove_marker(self.root)
            yield
        finally:
            with contextlib.suppress(OSError):  # whatever it says, the descriptor is gone, and the lock with it
                os.close(fd)

    @property
    def has_lost_its_ledger(self) -> bool:
        """Each answer was in the ledger before it was among the assets. A new one would have them paid for again."""
        with border(self.root):
            has_ledger = may_read(self.ledger_path) and os.path.getsize(self.ledger_path) > 0
            return not has_ledger and bool(os.listdir(self.assets))

    def claim_incoming(self, settle_s: float, now: float) -> list[Claim]:
        """Take what was dropped and has come to rest, oldest first; it is ours on return, also after a power cut.

        Links, devices and odd names are moved to `failed/` unopened and listed in `refused`.
        """
        self.refused = []
        claims = []
        with border(self.incoming):
            for name, found in _manifests(self.incoming)[:MAX_CLAIMS]:
                reason = _oddity(name, found)
                if reason is not None:
                    self._refuse(os.path.join(self.incoming, name), name, reason)
                elif stood_still(found, now=now, settle_s=settle_s):
                    claims += self._claim(name)
            if claims or self.refused:
                sync_folder(self.incoming)
        return claims

    def claimed(self) -> list[Claim]:
        """What earlier runs claimed and could not finish, oldest first."""
        with border(self._folder("claimed")):
            names = [name for name, found in _manifests(self._folder("claimed")) if stat.S_ISREG(found.st_mode)]
            self._forget_stale_notes(set(names))
            return [self._reclaim(name) for name in names]

    def standing(self) -> list[Claim]:
        """The manifests that are run at every tick and stay where they are, by name."""
        folder = self._folder("standing")
        with border(folder):
            names = sorted(name for name, _ in _manifests(folder) if os.path.isfile(os.path.join(folder, name)))
        return [Claim(name=name, path=os.path.join(folder, name), base=folder, origin="standing") for name in names]

    def look(self, settle_s: float, now: float) -> list[Claim]:
        """What a run would read, without taking it: needs no lock, writes nothing, and is empty where no spool is."""
        if not os.path.isdir(self.incoming):
            return []
        with border(self.root):
            claimed = [name for name, found in _manifests(self._folder("claimed")) if stat.S_ISREG(found.st_mode)]
            dropped = [
                Claim(name=name, path=os.path.join(self.incoming, name), base=self.incoming, origin="incoming")
                for name, found in _manifests(self.incoming)[:MAX_CLAIMS]
                if _oddity(name, found) is None and stood_still(found, now=now, settle_s=settle_s)
            ]
        return [*map(self._reclaim, claimed), *self.standing(), *dropped]

    def passed_over(self) -> Iterator[str]:
        """A sentence for each thing that looks like a manifest where one is put, and that no run will ever take."""
        for folder in ("incoming", "standing"):
            path = self._folder(folder)
            for name in sorted(os.listdir(path)) if os.path.isdir(path) else ():
                shown, there = f"{folder}/{display(name)}", os.path.join(path, name)
                if os.path.isdir(there) and not os.path.islink(there) and is_manifest_name(name):
                    yield f"{shown}/ is taken by no run: it is a folder; put the manifest itself into {folder}/"
                elif name.lower().endswith((".yaml", ".yml")) and not is_ignored(name) and os.path.isfile(there):
                    yield f"{shown} is taken by no run: YAML is not read; write it as {', '.join(MANIFEST_SUFFIXES)}"

    def finish(self, claim: Claim, to: End, report: bytes) -> str:
        """Move a claimed manifest to where it belongs, its report beside it first. May be called again after a crash.

        The report's path.
        """
        here = os.path.basename(claim.path)
        with border(claim.path):
            if to == "claimed":
                return self._write_note(self._folder("claimed", here + REPORT_SUFFIX), report)
            name = _free_name(self._folder(to), claim.name)
            path = self._write_note(self._folder(to, name + REPORT_SUFFIX), report)
            _move(claim.path, self._folder(to, name))
            _remove_report(self._folder("claimed", here))
            remove(self._folder("claimed", _note_name(here)))
        return path

    def requeue(self, path: str, name: str, *, is_one_of_many: bool = False) -> bool:
        """Let the next run take a finished manifest up at once, as `name`; its report goes. False if the name is taken,
        unless by others that were taken up with it. It lies among the claimed: nobody waits until it comes to rest.
        """
        with border(path):
            here = _free_name(self._folder("claimed"), name) if is_one_of_many else name
            target = self._folder("claimed", here)
            if os.path.lexists(target) or os.path.lexists(os.path.join(self.incoming, name)):
                return False
            self._note_claim(here, name)
            _move(path, target)
            _remove_report(path)
        return True

    def write_report(self, name: str, report: bytes) -> str:
        """Keep a report under a name of the caller's, replacing an equal one; the oldest of too many go."""
        if not is_safe_name(name) or "/" in name or len(os.fsencode(name)) > MAX_NAME_BYTES:
            name = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        with border(self.reports):
            path = self._write_note(os.path.join(self.reports, name + REPORT_SUFFIX), report)
            for old in self.kept_reports()[:-MAX_REPORTS]:
                _remove_report(old.removesuffix(REPORT_SUFFIX))
        return path

    def kept_reports(self, suffix: str = REPORT_SUFFIX) -> list[str]:
        """The reports of runs, or their pages, oldest first."""
        found = []
        with border(self.reports), os.scandir(self.reports) as entries:
            for entry in entries:
                if entry.name.endswith(suffix) and entry.is_file(follow_symlinks=False):
                    with contextlib.suppress(FileNotFoundError):  # somebody deletes it in this instant
                        found.append((entry.stat(follow_symlinks=False).st_mtime_ns, entry.path))
        return [path for _, path in sorted(found)]

    def write_page(self, report: str, page: bytes) -> str:
        """Put a page beside the report that `finish` or `write_report` wrote, whole or not at all."""
        with border(report):
            return self._write_note(report.removesuffix(REPORT_SUFFIX) + PAGE_SUFFIX, page)

    def write_index(self, page: bytes) -> str:
        """The page over the runs whose pages lie in `reports/`."""
        with border(self.reports):
            return self._write_note(os.path.join(self.reports, INDEX), page)

    def _folder(self, *names: str) -> str:
        return os.path.join(self.root, *names)

    def _claim(self, name: str) -> list[Claim]:
        """The note first: once the manifest has moved, nothing else says where it came from.

        What it is, is asked again after the move: nobody can exchange it for a link any more.
        """
        here = _free_name(self._folder("claimed"), name)
        self._note_claim(here, name)
        path = self._folder("claimed", here)
        _move(os.path.join(self.incoming, name), path)
        reason = _oddity(name, os.lstat(path))
        if reason is not None:
            self._refuse(path, name, reason)
            return []
        return [Claim(name=name, path=path, base=self.incoming, origin="incoming")]

    def _note_claim(self, here: str, name: str) -> None:
        note = json.dumps({"base": self.incoming, "name": name}).encode("ascii")
        self._write_note(self._folder("claimed", _note_name(here)), note)

    def _reclaim(self, here: str) -> Claim:
        base, name = _read_note(self._folder("claimed", _note_name(here))) or (self.incoming, here)
        return Claim(name=name, path=self._folder("claimed", here), base=base, origin="incoming")

    def _refuse(self, path: str, name: str, reason: str) -> None:
        safe = name if is_safe_name(name) and len(os.fsencode(name)) <= MAX_NAME_BYTES else _safe_name(name)
        safe = _free_name(self._folder("failed"), safe)
        refused = Refused(name=display(name, SHOWN_CHARS), path=self._folder("failed", safe), message=reason)
        body = {"schema": 1, "manifest": display(name), "code": "path-unsafe", "message": reason}
        self._write_note(refused.path + REPORT_SUFFIX, json.dumps(body, indent=2).encode("ascii"))
        _move(path, refused.path)
        self.refused.append(refused)

    def _write_note(self, path: str, body: bytes) -> str:
        """Whole under its name or not there, durable on return, replacing what was there.

        Its part lies in `staging/`, so whatever stops this, the next run finds and removes it.
        """
        part = os.path.join(self.staging, f".{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}.part")
        remove(part)
        fd = os.open(part, NEW_FILE, PRIVATE)
        try:
            write_all(fd, body)
            os.fsync(fd)
        except OSError:
            remove(part)
            raise
        finally:
            os.close(fd)
        os.rename(part, path)
        sync_folder(os.path.dirname(path))
        return path

    def _forget_stale_notes(self, names: set[str]) -> None:
        """A crash after the note and before the rename, or after the last rename, leaves a note without a manifest."""
        wanted = {_note_name(name) for name in names}
        for name in os.listdir(self._folder("claimed")):
            if name.startswith(".") and name not in wanted:
                remove(self._folder("claimed", name))


def _take(fd: int, path: str) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        since = datetime.fromtimestamp(os.fstat(fd).st_mtime, UTC).isoformat(timespec="seconds")
        pid = display(os.pread(fd, 20, 0).decode("ascii", "replace").strip())
        raise RunBusy(
            f"another run works on this spool: process {pid or 'unknown'} since {since}",
            hint="wait for it, or use --if-busy=skip",
        ) from error
    with border(path):
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode("ascii"), 0)


def _manifests(folder: str) -> list[tuple[str, os.stat_result]]:
    """Everything but folders under the name of a manifest, oldest first. Never follows a link, never opens."""
    found = []
    for name in os.listdir(folder):
        if is_manifest_name(name):
            with contextlib.suppress(FileNotFoundError):  # taken back meanwhile
                found.append((name, os.lstat(os.path.join(folder, name))))
    files = [item for item in found if not stat.S_ISDIR(item[1].st_mode)]
    return sorted(files, key=lambda item: (item[1].st_mtime_ns, item[0]))


def _oddity(name: str, found: os.stat_result) -> str | None:
    if not is_safe_name(name):
        return "its name has control characters"
    if len(os.fsencode(name)) > MAX_NAME_BYTES:
        return f"its name is longer than {MAX_NAME_BYTES} bytes"
    return None if stat.S_ISREG(found.st_mode) else "it is a link, a device, a FIFO or a socket, not a file"


def _safe_name(name: str) -> str:
    return f"refused-{hashlib.sha256(os.fsencode(name)).hexdigest()[:12]}{os.path.splitext(name.lower())[1]}"


def _remove_report(path: str) -> None:
    """Of a manifest or a run: for programs and for people."""
    remove(path + REPORT_SUFFIX)
    remove(path + PAGE_SUFFIX)


def _note_name(name: str) -> str:
    return f".{name}.claim"


def _free_name(folder: str, name: str) -> str:
    """`name`, or with a number before its extension if that is taken. Only the holder of the lock puts names there."""
    stem, extension = os.path.splitext(name)
    number, free = 1, name
    while os.path.lexists(os.path.join(folder, free)):
        number += 1
        free = f"{stem}.{number}{extension}"
    return free


def _move(source: str, target: str) -> None:
    """By a rename that replaces nothing; where that is not offered, the lock keeps the looked-up name free."""
    if not rename_without_replace(source, target):
        os.rename(source, target)
    sync_folder(os.path.dirname(target))


def _read_note(path: str) -> tuple[str, str] | None:
    try:
        with open(path, "rb") as file:
            note = json.loads(file.read(MAX_NOTE_BYTES))
        base, name = note["base"], note["name"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return (base, name) if isinstance(base, str) and isinstance(name, str) else None
