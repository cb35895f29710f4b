"""Bodies of requests: their length is known before the first byte, and a file in them is never held whole.

A body is a row of pieces, bytes or files. `opened` holds every file open and compares its size before anything is
connected; the upload then reads and encodes one stretch at a time, in a thread where that would wait for the disk. A
file that turns out shorter than it was ends the upload with InputChanging, which no server can take for a whole
request. File names are never sent.
"""

import base64
import hashlib
import os
import re
import secrets
import stat
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from typing import TypeAlias

import msgspec
from msgspec import Struct

from pipeline.core.errors import InputChanging, InputError
from pipeline.core.model import Runner

STRETCH_BYTES = 192 * 1024
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_EXTENSION = re.compile(r"[a-z0-9]{1,8}")
_TYPE = re.compile(r"[a-z0-9.+-]+/[a-z0-9.+-]+")


class FilePiece(Struct, frozen=True, kw_only=True):
    """A file in a body, as it is or as base64. `size` and `sha256` are what it had when it was hashed."""

    path: str
    size: int
    sha256: str = ""
    is_base64: bool = False

    @property
    def length(self) -> int:
        return -(-self.size // 3) * 4 if self.is_base64 else self.size


Piece: TypeAlias = bytes | FilePiece


class Base64File(Struct, frozen=True, kw_only=True):
    """Stands in a JSON value where the text is a file in base64; `prefix` such as `data:image/png;base64,`."""

    path: str
    size: int
    sha256: str = ""
    prefix: str = ""


JsonTree: TypeAlias = (
    bool | int | float | str | Base64File | Sequence["JsonTree"] | Mapping[str, "JsonTree"] | msgspec.Raw | None
)


class FilePart(Struct, frozen=True, kw_only=True):
    """A file of a multipart form. It is sent under a made-up name with `extension`: its own name stays here.

    `content` in place of `path` and `size` is for bytes made here, such as a mask.
    """

    name: str
    media_type: str
    extension: str
    path: str = ""
    size: int = 0
    sha256: str = ""
    content: bytes | None = None


class JsonBody(Struct, frozen=True, kw_only=True):
    """A JSON document in pieces."""

    pieces: tuple[Piece, ...]
    content_type: str = "application/json"

    @classmethod
    def of(cls, value: JsonTree) -> "JsonBody":
        """The document of a value, with files in it wherever a `Base64File` stands."""
        files: list[Base64File] = []
        token = secrets.token_hex(16)
        try:
            text = msgspec.json.encode(_with_tokens(value, token, files))
        except UnicodeEncodeError as error:
            raise InputError(
                "the text has a character that no server can read",
                code="text-unsupported",
                hint="take the lone surrogate out of it",
            ) from error
        head, *rest = text.split(token.encode())
        pieces: list[Piece] = [head]
        for file, between in zip(files, rest, strict=True):
            pieces += FilePiece(path=file.path, size=file.size, sha256=file.sha256, is_base64=True), between
        return cls(pieces=tuple(pieces))


class MultipartBody(Struct, frozen=True, kw_only=True):
    """A form of text fields and files. A field may stand in it more than once."""

    fields: tuple[tuple[str, str], ...]
    files: tuple[FilePart, ...] = ()
    boundary: str = msgspec.field(default_factory=lambda: f"mediaspool-{secrets.token_hex(16)}")

    @property
    def content_type(self) -> str:
        return f"multipart/form-data; boundary={self.boundary}"

    @property
    def pieces(self) -> tuple[Piece, ...]:
        pieces: list[Piece] = [self._head(name) + value.encode("utf-8", "replace") for name, value in self.fields]
        for number, file in enumerate(self.files, 1):
            pieces += self._file_head(number, file), _content(file)
        first, *rest = (*pieces, f"\r\n--{self.boundary}--\r\n".encode())
        return (first.removeprefix(b"\r\n") if isinstance(first, bytes) else first, *rest)

    def _file_head(self, number: int, file: FilePart) -> bytes:
        extension = file.extension if _EXTENSION.fullmatch(file.extension) else "bin"
        media_type = file.media_type if _TYPE.fullmatch(file.media_type) else "application/octet-stream"
        extra = f'; filename="{number}.{extension}"\r\nContent-Type: {media_type}'
        return self._head(file.name, extra)

    def _head(self, name: str, extra: str = "") -> bytes:
        quoted = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
        text = f'\r\n--{self.boundary}\r\nContent-Disposition: form-data; name="{quoted}"{extra}\r\n\r\n'
        return text.encode("utf-8", "replace")


Body: TypeAlias = JsonBody | MultipartBody


def body_length(body: Body) -> int:
    return sum(_length(piece) for piece in body.pieces)


class Upload(AsyncIterator[bytes]):
    """One pass over the pieces of an opened body. `is_whole` from the moment its last byte is handed out.

    `sent` tells by path how a file stood at its first byte, where it held the same bytes when its last one was read.
    """

    def __init__(self, pieces: Sequence[tuple[Piece, int]], began: Mapping[int, os.stat_result], files: Runner) -> None:
        self.sent: dict[str, os.stat_result] = {}
        self.length = sum(_length(piece) for piece, _ in pieces)
        self.given = 0
        self._pieces = list(reversed(pieces))
        self._at = 0
        self._files = files
        self._began = began

    @property
    def is_whole(self) -> bool:
        return self.given >= self.length

    async def __anext__(self) -> bytes:
        """As much as goes into one stretch, of as many pieces as that takes: each hand-over costs more than a copy."""
        parts, room = [], STRETCH_BYTES
        while self._pieces and (part := await self._part(*self._pieces[-1], room)) is not None:
            parts.append(part)
            room -= len(part)
        if not parts:
            raise StopAsyncIteration
        stretch = parts[0] if len(parts) == 1 else b"".join(parts)
        self.given += len(stretch)
        return stretch

    async def _part(self, piece: Piece, fd: int, room: int) -> bytes | None:
        """The next bytes of a piece; None where there is no room for any."""
        start, size = self._at, len(piece) if isinstance(piece, bytes) else piece.size
        is_base64 = isinstance(piece, FilePiece) and piece.is_base64
        end = min(start + (room // 4 * 3 if is_base64 else room), size)  # base64 of three bytes needs no padding
        if start == end and start < size:
            return None
        self._at = end
        if end == size:
            self._pieces.pop()
            self._at = 0
        if isinstance(piece, bytes):
            return piece[start:end]
        found = _cached(fd, start, end - start)
        if found is None:
            found = await self._files(_read, fd, start, end - start)
        if end == size and await self._files(_stands, fd, self._began[fd], piece.sha256):
            self.sent[piece.path] = self._began[fd]
        return base64.b64encode(found) if is_base64 else found


@asynccontextmanager
async def opened(body: Body | None, files: Runner) -> AsyncIterator[Upload]:
    """The upload of a body whose files are open and as long as they were when they were hashed."""
    pieces = () if body is None else body.pieces
    with ExitStack() as held:
        ready, began = list[tuple[Piece, int]](), dict[int, os.stat_result]()
        for piece in pieces:
            if isinstance(piece, bytes):
                ready.append((piece, -1))
                continue
            fd, began[fd] = await files(_open, piece)
            held.callback(os.close, fd)
            ready.append((piece, fd))
        yield Upload(ready, began, files)


def _open(piece: FilePiece) -> tuple[int, os.stat_result]:
    try:
        fd = os.open(piece.path, _OPEN)
    except FileNotFoundError as error:
        raise InputChanging("the input is gone", hint="run again when it is there") from error
    except OSError as error:
        raise InputError(f"the input cannot be read: {error.strerror}", code="input-unreadable") from error
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or found.st_size != piece.size:
        os.close(fd)
        raise InputChanging(f"the input has {found.st_size} bytes and had {piece.size}", hint="run again when it rests")
    return fd, found


def _stands(fd: int, began: os.stat_result, sha256: str) -> bool:
    """Does the file hold what it did? Moving or deleting it changes a time of it, and not a byte.

    Of one that a share no longer tells of, nobody knows.
    """
    try:
        found = os.fstat(fd)
        marks = [(stood.st_size, stood.st_mtime_ns, stood.st_ctime_ns, stood.st_ino) for stood in (began, found)]
        is_as_long = found.st_size == began.st_size
        return marks[0] == marks[1] or (is_as_long and _digest(fd, found.st_size) == sha256)
    except OSError:
        return False


def _digest(fd: int, size: int) -> str:
    digest, at = hashlib.sha256(), 0
    while chunk := os.pread(fd, min(STRETCH_BYTES, size - at), at):
        digest.update(chunk)
        at += len(chunk)
    return digest.hexdigest()


def _cached(fd: int, start: int, size: int) -> bytes | None:
    """What the kernel has in memory, which a file that was just hashed nearly always is; None where it had to wait."""
    found = bytearray(size)
    try:
        return bytes(found) if os.preadv(fd, [found], start, os.RWF_NOWAIT) == size else None
    except OSError:  # not there, or the file system cannot tell
        return None


def _read(fd: int, start: int, size: int) -> bytes:
    try:
        found = os.pread(fd, size, start)
        while len(found) < size and (more := os.pread(fd, size - len(found), start + len(found))):
            found += more
    except OSError as error:
        raise InputError(f"the input cannot be read: {error.strerror}", code="input-unreadable") from error
    if len(found) < size:
        raise InputChanging("the input became shorter while it was sent", hint="run again when it rests")
    return found


def _content(file: FilePart) -> Piece:
    if file.content is not None:
        return file.content
    return FilePiece(path=file.path, size=file.size, sha256=file.sha256)


def _length(piece: Piece) -> int:
    return len(piece) if isinstance(piece, bytes) else piece.length


def _with_tokens(value: JsonTree, token: str, files: list[Base64File]) -> object:
    """The value with every file replaced by its prefix and a token, in the order in which they will be written."""
    match value:
        case Base64File():
            files.append(value)
            return value.prefix + token
        case str() | msgspec.Raw():
            return value
        case Mapping():
            return {name: _with_tokens(item, token, files) for name, item in value.items()}
        case Sequence():
            return [_with_tokens(item, token, files) for item in value]
    return value
