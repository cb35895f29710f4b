"""Files as a stage sees them: references opened beneath their root, and a writer that counts.

Promises that an input is a regular file reached without a link, that an output never grows past its bound, and that
operating system errors leave as our own. The name of a file never reaches a decoder or a message.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from pipeline.children.stage import FileRef, Roots
from pipeline.core.confine import open_beneath
from pipeline.core.errors import InputError, LimitExceeded, MediaspoolError, StoreError


class Source:
    """A file to read, without its name: FFmpeg knows it as nothing it could resolve other names against."""

    name = "input"

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


class Sink:
    """A file to write, with a bound on its size. Writes everything or raises.

    `failure` keeps what was raised, because FFmpeg passes on only that something was.
    """

    name = "output"

    def __init__(self, file: BinaryIO, max_bytes: int | None) -> None:
        self.failure: MediaspoolError | None = None
        self._file = file
        self._max_bytes = max_bytes

    def write(self, chunk: bytes | memoryview) -> int:
        with self._remembered():
            if self._max_bytes is not None and self._file.tell() + len(chunk) > self._max_bytes:
                raise LimitExceeded(f"the output has more than {self._max_bytes} bytes", code="limit-bytes")
            return self._file.write(chunk)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        with self._remembered():  # a buffered write may fail here
            return self._file.seek(offset, whence)

    @contextmanager
    def _remembered(self) -> Iterator[None]:
        try:
            with _store_errors():
                yield
        except MediaspoolError as error:
            self.failure = self.failure or error
            raise

    def tell(self) -> int:
        return self._file.tell()


@contextmanager
def source(ref: FileRef, roots: Roots) -> Iterator[Source]:
    with os.fdopen(open_beneath(_root(ref, roots), ref.path), "rb") as file:
        yield Source(file)


@contextmanager
def sink(ref: FileRef, roots: Roots, max_bytes: int | None) -> Iterator[Sink]:
    """An empty file to write. On an error its bytes are worthless, and the asker removes them."""
    file = os.fdopen(_new(_root(ref, roots), ref.path), "w+b")
    try:
        yield Sink(file, max_bytes)
    finally:
        with _store_errors():
            file.close()


def _new(root: str, path: str) -> int:
    try:
        return open_beneath(root, path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    except InputError as error:
        if (
            isinstance(error.__cause__, OSError) and error.code == "input-unreadable"
        ):  # no link on the way, nor a device
            raise _store_error(error.__cause__) from error
        raise


def _root(ref: FileRef, roots: Roots) -> str:
    if ref.root not in roots:
        raise InputError(f"no root is named {ref.root!r}", code="path-outside-roots")
    return roots[ref.root]


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _store_error(error) from error


def _store_error(error: OSError) -> MediaspoolError:
    if error.errno == errno.EFBIG:
        return LimitExceeded("the output has more bytes than allowed", code="limit-bytes")
    code = "disk-full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "io-error"
    return StoreError(f"the output cannot be written: {error.strerror}", code=code)
