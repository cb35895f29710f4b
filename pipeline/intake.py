"""What an input is: its content type, its hash and its structure, asked once and remembered by the ledger.

A remembered answer is used while size, mtime, ctime and inode stand; `rehash` forgets that trust. A file that changes
while it is read is refused, so a hash never stands for bytes that nobody saw. Nothing here decodes media.
"""

import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import msgspec

from pipeline.core.confine import display_path
from pipeline.core.errors import InputChanging, InputError, LimitExceeded
from pipeline.core.limits import Bounds
from pipeline.core.model import Media, Sha256, Source
from pipeline.media.containers import Examination, examine, examine_words, is_undecided, recognise
from pipeline.media.sniff import HEAD_BYTES
from pipeline.state.ledger import Ledger
from pipeline.state.ledger_rows import FileFacts, file_identity
from pipeline.state.roots import Roots

CHUNK = 1 << 20
SMALL = 1 << 16  # bytes: read once, however often they are looked at


class Intake:
    """Answers for one manifest: `roots` confine what it may open."""

    def __init__(self, ledger: Ledger, roots: Roots, *, is_rehashing: bool = False) -> None:
        self._ledger = ledger
        self._roots = roots
        self._is_rehashing = is_rehashing
        self._fresh: dict[str, tuple[tuple[int, ...], FileFacts]] = {}

    def media(self, path: str) -> Media | None:
        """The type by content, from the first bytes; None when the content is not known or not readable."""
        try:
            known = self._known(path)
            if known is not None:
                return known.media
            if self._ledger.product_at(path) is not None:
                return self._learn(path, None).media  # its first letters may tell less than its hash
            with self._open(path) as file, readable():
                return _media_of(file)
        except InputError:
            return None

    def sha256(self, path: str) -> Sha256:
        """Of any content: the words of a product may look like something that no input may be."""
        known = self._known(path)
        return known.sha256 if known is not None else self._read(path, None)[0].sha256

    def source(self, path: str, bounds: Bounds | None = None) -> Source:
        """The whole truth about one input; InputError or LimitExceeded says why it is none."""
        facts = self._facts(path, bounds)
        if facts.media is None:
            raise InputError("the content is of no known type", hint="check what the file really is")
        return Source(
            path=path,
            size=facts.size,
            sha256=facts.sha256,
            media=_named(facts.media, path),
            seconds=facts.seconds,
            tracks=facts.tracks,
        )

    def _known(self, path: str) -> FileFacts | None:
        """Where the ledger is not trusted, only what was learned here: to a view it tells what it knew before."""
        found = _stat(path)
        if not self._is_rehashing:
            return self._ledger.known_file(path, found)
        identity, facts = self._fresh.get(path, (None, None))
        return facts if identity == file_identity(found) else None

    def _facts(self, path: str, bounds: Bounds | None) -> FileFacts:
        known = self._known(path)
        if known is not None:
            return known
        return self._learn(path, bounds)

    def _learn(self, path: str, bounds: Bounds | None) -> FileFacts:
        facts, found = self._read(path, bounds)
        if not found.ok:
            raise InputError(found.reason, code=found.code, hint=_what_to_do(found))
        return facts

    def _read(self, path: str, bounds: Bounds | None) -> tuple[FileFacts, Examination]:
        """Remembered where the content is what it should be."""
        with self._open(path) as file, readable():
            before = os.fstat(file.fileno())
            _check_size(before.st_size, bounds)
            if before.st_size == 0:
                raise InputError("the file is empty", code="input-empty", hint="copy it again")
            content = _in_memory(file, before.st_size) if before.st_size <= SMALL else file
            found = examine(content, before.st_size)
            content.seek(0)
            digest = _digest(content, before.st_size)
            found = found if found.ok else self._as_written(path, digest, content, found)
            after = os.fstat(file.fileno())
        if _times(before) != _times(after):
            raise InputChanging("the file changed while it was read", hint="run again when it is whole")
        facts = FileFacts(
            sha256=digest, size=before.st_size, media=found.media, seconds=found.seconds, tracks=found.streams
        )
        if found.ok:
            self._ledger.remember_file(path, after, facts)
        if found.ok and self._is_rehashing:
            self._fresh[path] = file_identity(after), facts
        return facts, found

    def _as_written(self, path: str, sha256: Sha256, content: BinaryIO, found: Examination) -> Examination:
        """Of a text that was written here: "P1 is ready" is no bitmap, whatever libmagic, which knows bytes, says."""
        ours = self._ledger.product_at(path)
        if ours is None or ours.sha256 != sha256:
            return found
        words = examine_words(content, ours.size)
        return words if words.ok else found

    def _open(self, path: str) -> BinaryIO:
        return os.fdopen(self._roots.open(path), "rb", buffering=0)


def _in_memory(file: BinaryIO, size: int) -> BinaryIO:
    body = bytearray()
    while len(body) < size and (piece := file.read(size - len(body))):  # some disks give a file in pieces
        body += piece
    return io.BytesIO(body)


def _what_to_do(found: Examination) -> str:
    if found.code == "input-type":
        return "convert it, or leave it out; its name does not count"
    if found.media is not None and found.media.family == "text":
        return "save it as UTF-8, or replace it with a whole copy"
    return "replace the file with a whole copy"


@contextmanager
def readable() -> Iterator[None]:
    """A disk that fails under one file harms only the jobs of that file."""
    try:
        yield
    except OSError as error:
        hint = "check the disk and copy the file again"
        raise InputError(f"reading failed: {error.strerror}", code="input-unreadable", hint=hint) from error


def _named(media: Media, path: str) -> Media:
    """Markdown is plain text to every look at its content; only the name tells it."""
    if media.media_type == "text/plain" and path.lower().endswith((".md", ".markdown")):
        return msgspec.structs.replace(media, media_type="text/markdown", extension="md")
    return media


def _media_of(file: BinaryIO) -> Media | None:
    """By the head alone where that decides; a head that leaves sound or pictures open needs the structure too."""
    size = os.fstat(file.fileno()).st_size
    media = recognise(file.read(HEAD_BYTES), size=size)
    return examine(file, size).media if media is not None and is_undecided(media) else media


def _stat(path: str) -> os.stat_result:
    try:
        return os.stat(path)
    except FileNotFoundError as error:
        what = f"the input '{display_path(path)}' does not exist"
        raise InputError(what, code="input-missing", hint="check the path") from error
    except OSError as error:
        raise InputError(f"the input cannot be read: {error.strerror}", code="input-unreadable") from error


def _times(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _check_size(size: int, bounds: Bounds | None) -> None:
    """Before it is read: too large a file would be hashed for nothing."""
    message = bounds.excess("max_input_bytes", size, "bytes") if bounds is not None else None
    if message is not None:
        raise LimitExceeded(message, code="limit-bytes", hint="raise max_input_mb or split the file")


def _digest(file: BinaryIO, size: int) -> Sha256:
    digest = hashlib.sha256()
    left = size
    while left > 0:
        chunk = file.read(min(CHUNK, left))
        if not chunk:
            raise InputChanging("the file became shorter while it was read", hint="run again when it is whole")
        digest.update(chunk)
        left -= len(chunk)
    return Sha256(digest.hexdigest())
