"""Ogg with Opus, Vorbis, FLAC or Speex: a row of pages, each with its length, its number and a checksum.

Promises that every page is whole and follows the one before, and that each stream was ended by its writer. Chained
files are one after the other and their durations add up.
"""

import zlib

from msgspec import Struct

from pipeline.core.model import Media
from pipeline.media._examination import MAX_READ, Content, DamagedError, Examination, catches_damage, with_codec

OGG = Media(media_type="audio/ogg", family="audio", extension="ogg", demuxer="ogg")

MAX_PAGES = 2_000_000
MAX_STREAMS = 64
HEADER_BYTES = 27
_MAX_PAGE_BYTES = HEADER_BYTES + 255 + 255 * 255
_CONTINUED, _FIRST, _LAST = 1, 2, 4
_NO_POSITION = (1 << 64) - 1
_OPUS_RATE = 48_000
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class Page(Struct, frozen=True):
    """One page. `position` is the stream's own sample count behind it, None where no packet ends on it."""

    size: int
    flags: int
    position: int | None
    serial: int
    number: int
    body_at: int


class _Stream:
    """What is known of one logical stream so far."""

    def __init__(self, codec: str, rate: int, skip: int) -> None:
        self.codec = codec
        self.rate = rate
        self.skip = skip
        self.position = 0
        self.number = 0
        self.is_ended = False

    def seconds(self) -> float:
        return max(0, self.position - self.skip) / self.rate


def identify(head: bytes) -> Media | None:
    """An Ogg by its first page, which must begin a stream of a sound codec that is read."""
    page = _page(head)
    if page is None or not page.flags & _FIRST or page.flags & _CONTINUED:
        return None
    stream = _begin(head[page.body_at : page.size])
    return with_codec(OGG, stream.codec) if stream else None


@catches_damage
def examine(content: Content) -> Examination:
    streams = _walk(content)
    open_streams = [stream.codec for stream in streams if not stream.is_ended]
    if open_streams:
        raise DamagedError(f"cut short: the {open_streams[0]} stream has no last page")
    seconds = sum(stream.seconds() for stream in streams)
    if not any(stream.position for stream in streams):
        raise DamagedError("the headers of a stream without any sound", code="input-empty")
    return Examination(
        media=content.media,
        ok=True,
        seconds=seconds,
        streams=("audio",),
        facts={"rate": str(streams[0].rate), "links": str(len(streams))},
    )


def _walk(content: Content) -> list[_Stream]:
    window, at = content.window, content.start
    streams: list[_Stream] = []
    current: dict[int, _Stream] = {}
    body, base = b"", at
    for _ in range(MAX_PAGES):
        if at >= window.size:
            return streams
        if at + _MAX_PAGE_BYTES > base + len(body) and base + len(body) < window.size:
            body, base = window.read(at, MAX_READ), at
        page = _page(body[at - base : at - base + HEADER_BYTES + 255])
        if page is None:
            raise DamagedError(f"the last {window.size - at} bytes are no page")
        if at + page.size > window.size:
            raise DamagedError(f"cut short: {at + page.size - window.size} bytes of the last page are missing")
        whole = body[at - base : at - base + page.size]
        _check_sum(whole, at)
        if page.flags & _FIRST:
            streams.append(_open(page, whole, current))
        _follow(page, current, at)
        at += page.size
    raise DamagedError(f"more than {MAX_PAGES} pages", code="limit-seconds")


def _open(page: Page, whole: bytes, current: dict[int, _Stream]) -> _Stream:
    stream = _begin(whole[page.body_at :])
    if stream is None:
        raise DamagedError("an Ogg file with a stream that is not sound", code="input-type")
    if len(current) >= MAX_STREAMS:
        raise DamagedError(f"more than {MAX_STREAMS} streams in one file")
    stream.number = page.number - 1
    current[page.serial] = stream
    return stream


def _follow(page: Page, current: dict[int, _Stream], at: int) -> None:
    stream = current.get(page.serial)
    if stream is None or stream.is_ended:
        raise DamagedError(f"the page at byte {at} belongs to no open stream")
    if page.number != (stream.number + 1) & 0xFFFF_FFFF:
        raise DamagedError(f"pages are missing before byte {at}")
    stream.number = page.number
    if page.position is not None:
        stream.position = max(stream.position, page.position)
    stream.is_ended = bool(page.flags & _LAST)


def _page(head: bytes) -> Page | None:
    if len(head) < HEADER_BYTES or head[:5] != b"OggS\0" or head[5] & ~7:
        return None
    body_at = HEADER_BYTES + head[26]
    position = int.from_bytes(head[6:14], "little")
    return Page(
        size=body_at + sum(head[HEADER_BYTES:body_at]),
        flags=head[5],
        position=None if position == _NO_POSITION else position,
        serial=int.from_bytes(head[14:18], "little"),
        number=int.from_bytes(head[18:22], "little"),
        body_at=body_at,
    )


def _begin(packet: bytes) -> _Stream | None:
    """The stream that this first packet begins."""
    if packet[:8] == b"OpusHead" and len(packet) >= 19:
        return _Stream("opus", _OPUS_RATE, int.from_bytes(packet[10:12], "little"))
    if packet[:7] == b"\x01vorbis" and len(packet) >= 30:
        return _with_rate("vorbis", int.from_bytes(packet[12:16], "little"))
    if packet[:5] == b"\x7fFLAC" and len(packet) >= 51:
        return _with_rate("flac", int.from_bytes(packet[27:30]) >> 4)
    if packet[:8] == b"Speex   " and len(packet) >= 80:
        return _with_rate("speex", int.from_bytes(packet[36:40], "little"))
    return None


def _with_rate(codec: str, rate: int) -> _Stream | None:
    return _Stream(codec, rate, 0) if rate else None


def _check_sum(page: bytes, at: int) -> None:
    """Ogg's CRC runs over mirrored bits of zlib's; mirroring the bytes lets zlib do the work."""
    stated = int.from_bytes(page[22:26], "little")
    mirrored = (page[:22] + b"\0\0\0\0" + page[26:]).translate(_MIRRORED)
    crc = zlib.crc32(mirrored, 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    if int(f"{crc:032b}"[::-1], 2) != stated:
        raise DamagedError(f"the page at byte {at} does not match its checksum")
