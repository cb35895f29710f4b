"""Debug artifacts: one small JSON file per attempt, for the question "what happened to this call?".

Owns the `debug` folder of a spool and deletes nothing there but its own files. An artifact holds numbers, types, hashes
and codes; at level `redacted` also the engine's or provider's own short message, redacted. It never holds a text, a
prompt, media, a file name or a secret. Writing one never disturbs the call: what the operating system refuses is
counted in `failures`. Files appear whole or not at all; a power cut may lose the newest.
"""

import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from pipeline.trace._artifact import (
    DebugArtifact,
    DebugLevel,
    ReplyFacts,
    RequestFacts,
    identifier,
    safe,
    safe_message,
)
from pipeline.trace.redact import Redactor

KILOBYTE = 1024
DAY_S = 24 * 3600.0
SPARE_PART = 10  # a full folder makes room for a tenth at once, so that not every write has to look through it
ABANDONED_S = 3600.0

_OURS = re.compile(r"[A-Za-z0-9_-]{1,80}\.json")
_PART = re.compile(r"\.[A-Za-z0-9_-]{1,80}\.json\.part")


class DebugWriter:
    """Writes artifacts into one folder within bounds on the size of each, their number and their age.

    May be asked by several threads at a time.
    """

    def __init__(
        self,
        folder: str,
        *,
        level: DebugLevel,
        redactor: Redactor,
        max_kb: int = 64,
        max_count: int = 2000,
        max_age_days: float = 14,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.failures = 0
        self._folder = folder
        self._level = level
        self._redactor = redactor
        self._max_bytes = max_kb * KILOBYTE
        self._max_count = max_count
        self._max_age_s = max_age_days * DAY_S
        self._now = now
        self._count: int | None = None
        self._lock = threading.Lock()

    def write(self, artifact: DebugArtifact, hide: Sequence[str] = ()) -> str | None:
        """The path of the new artifact, or None when there is none. Never raises.

        `hide` are the private texts of the call (prompt, transcript, file names): no word of them stays in `message`.
        """
        if self._level == "off" or self._max_count <= 0:
            return None
        body = self._body(artifact, hide)
        name = f"{identifier(artifact.attempt, self._redactor)}.json"
        with self._lock:
            try:
                return self._write(name, body)
            except OSError:
                self.failures += 1
                return None

    def _body(self, artifact: DebugArtifact, hide: Sequence[str]) -> bytes:
        clean = safe(artifact, level=self._level, redactor=self._redactor, hide=hide)
        stamped = msgspec.structs.replace(clean, at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._now())))
        return msgspec.json.format(msgspec.json.encode(stamped), indent=1) + b"\n"

    def _write(self, name: str, body: bytes) -> str:
        if len(body) > self._max_bytes:
            raise OSError(f"an artifact of {len(body)} bytes is over the limit")
        if self._count is None:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
        with _opened(self._folder) as folder:
            if self._count is None or self._count >= self._max_count:
                self._prune(folder, self._max_count - max(1, self._max_count // SPARE_PART))
            _replace(folder, name, body, at=self._now())
        self._count = (self._count or 0) + 1
        return os.path.join(self._folder, name)

    def _prune(self, folder: int, keep: int) -> None:
        ours = sorted(_listed(folder, _OURS))
        oldest = self._now() - self._max_age_s
        doomed = [name for at, name in ours[: max(0, len(ours) - keep)]]
        doomed += [name for at, name in ours[len(doomed) :] if at < oldest]
        for name in doomed:
            os.unlink(name, dir_fd=folder)
        for at, name in list(_listed(folder, _PART)):
            if at < self._now() - ABANDONED_S:
                os.unlink(name, dir_fd=folder)
        self._count = len(ours) - len(doomed)


@contextmanager
def _opened(folder: str) -> Iterator[int]:
    """The folder itself, not where a link in its place leads."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _listed(folder: int, pattern: re.Pattern[str]) -> Iterator[tuple[float, str]]:
    """Age and name of the plain files of ours; whatever else lies there is not ours to touch."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if pattern.fullmatch(entry.name):
                status = os.stat(entry.name, dir_fd=folder, follow_symlinks=False)
                if stat.S_ISREG(status.st_mode):
                    yield status.st_mtime, entry.name


def _replace(folder: int, name: str, body: bytes, *, at: float) -> None:
    part = f".{name}.part"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(part, flags, 0o600, dir_fd=folder)
    try:
        _write_all(fd, body)
        os.utime(fd, (at, at))
    except OSError:
        os.unlink(part, dir_fd=folder)
        raise
    finally:
        os.close(fd)
    os.replace(part, name, src_dir_fd=folder, dst_dir_fd=folder)


def _write_all(fd: int, body: bytes) -> None:
    rest = memoryview(body)
    while rest:
        rest = rest[os.write(fd, rest) :]


__all__ = ["DebugArtifact", "DebugLevel", "DebugWriter", "ReplyFacts", "RequestFacts", "safe_message"]
