"""The verdict on bytes, and the one way to read them: bounded, by position, indifferent to short reads.

Every format module takes a Content and returns an Examination. A Window never hands out more than MAX_READ at once.
"""

import functools
import os
from collections.abc import Callable, Mapping
from typing import BinaryIO

import msgspec
from msgspec import Struct

from pipeline.core.model import Media

MAX_READ = 1024 * 1024
MAX_READS = 8_000_000
SPARE_BYTES = 256 * MAX_READ


class Examination(Struct, frozen=True, kw_only=True):
    """What bytes are and whether they are whole. Where `ok` is False, `code` is an `input-*` code of core.errors.

    `media` may be known although the bytes are not ok. `seconds` is what the structure says, None where only decoding
    could tell. `pixels` counts all frames of a picture. `streams` holds "audio" and "video". `facts` are short values
    such as rate, channels, width; never content.
    """

    media: Media | None
    ok: bool
    code: str = ""
    reason: str = ""
    seconds: float | None = None
    pixels: int | None = None
    pages: int | None = None
    streams: tuple[str, ...] = ()
    facts: Mapping[str, str] = {}


class DamagedError(Exception):
    """Raised inside a format module at the first thing that is wrong; becomes an Examination at its border."""

    def __init__(self, reason: str, *, code: str = "input-damaged") -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class Window:
    """Bytes by position. `size` is what the caller knows the content to be; reading beyond it gives fewer bytes.

    All reading together is bounded too, so that a file of a million tiny parts costs seconds, not hours.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.size = size
        self._file = file
        self._reads_left = MAX_READS
        self._bytes_left = 4 * size + SPARE_BYTES

    def read(self, at: int, count: int) -> bytes:
        """At most MAX_READ bytes from `at`; fewer only where the content ends."""
        wanted = min(count, self.size - at, MAX_READ)
        if wanted <= 0 or at < 0:
            return b""
        self._reads_left -= 1
        self._bytes_left -= wanted
        if self._reads_left < 0 or self._bytes_left < 0:
            raise DamagedError("it is made of more parts than are looked at")
        self._file.seek(at, os.SEEK_SET)
        return self._fill(wanted)

    def _fill(self, wanted: int) -> bytes:
        parts: list[bytes] = []
        while wanted > 0:
            part = self._file.read(wanted)
            if not part:
                break
            parts.append(part)
            wanted -= len(part)
        return b"".join(parts)

    def exactly(self, at: int, count: int, what: str) -> bytes:
        """`count` bytes from `at`, or DamagedError that names what is cut off."""
        body = self.read(at, count)
        if len(body) < count:
            raise DamagedError(f"{what} at byte {at} is cut off: {count - len(body)} bytes are missing")
        return body


class Content(Struct, frozen=True, kw_only=True):
    """What an examiner is given: the bytes, what their head was recognised as, and where they begin behind tags."""

    window: Window
    media: Media
    start: int = 0


Examiner = Callable[[Content], Examination]


def catches_damage(examiner: Examiner) -> Examiner:
    """The border of a format module: a DamagedError becomes an Examination that is not ok."""

    @functools.wraps(examiner)
    def guarded(content: Content) -> Examination:
        try:
            return examiner(content)
        except DamagedError as damage:
            return Examination(media=content.media, ok=False, code=damage.code, reason=damage.reason)

    return guarded


def with_codec(media: Media, codec: str | None) -> Media:
    return msgspec.structs.replace(media, codec=codec)
