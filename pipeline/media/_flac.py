"""FLAC: the metadata blocks, the stream's own count of samples, and the last frame with its checksum.

Promises that the last frame is whole and, where the stream counts its samples, that it ends at that count. A stream
without a count that is cut exactly between two frames cannot be told from a whole one.
"""

import functools

from msgspec import Struct

from pipeline.core.model import Media
from pipeline.core.wav import MAX_RATE, MIN_RATE
from pipeline.media._examination import MAX_READ, Content, DamagedError, Examination, Window, catches_damage
from pipeline.media._id3 import ID3V1_BYTES, is_id3v1

FLAC = Media(media_type="audio/flac", family="audio", extension="flac", demuxer="flac", codec="flac")

MAX_BLOCKS = 1024
MAX_CANDIDATES = 64
MAX_CHECKED_BYTES = 4 * MAX_READ
_INFO_BYTES = 34
_SPARE_BYTES = 1024


class StreamInfo(Struct, frozen=True, kw_only=True):
    """The STREAMINFO block; `samples` 0 means the writer did not know."""

    max_block: int
    max_frame: int
    rate: int
    channels: int
    bits: int
    samples: int


def identify(head: bytes) -> Media | None:
    """A FLAC by its marker and the header of the stream information block that must follow it."""
    if head[:4] != b"fLaC" or len(head) < 8:
        return None
    return FLAC if head[4] & 0x7F == 0 and head[5:8] == b"\0\0\x22" else None


@catches_damage
def examine(content: Content) -> Examination:
    window, start = content.window, content.start
    info = stream_info(window.exactly(start + 8, _INFO_BYTES, "the stream information"))
    if not MIN_RATE <= info.rate <= MAX_RATE:
        raise DamagedError(f"a sample rate of {info.rate} Hz is outside {MIN_RATE}-{MAX_RATE}")
    first = _first_frame_at(window, start + 4)
    end = _last_sample(window, info, first)
    if info.samples and end < info.samples:
        raise DamagedError(f"cut short: {end} of {info.samples} samples are there")
    if info.samples and end > info.samples:
        raise DamagedError(f"its header counts {info.samples} samples, {end} are there")
    return Examination(
        media=content.media,
        ok=True,
        seconds=end / info.rate,
        streams=("audio",),
        facts={"rate": str(info.rate), "channels": str(info.channels), "bits": str(info.bits)},
    )


def stream_info(block: bytes) -> StreamInfo:
    packed = int.from_bytes(block[10:18])
    return StreamInfo(
        max_block=int.from_bytes(block[2:4]),
        max_frame=int.from_bytes(block[7:10]),
        rate=packed >> 44,
        channels=(packed >> 41 & 7) + 1,
        bits=(packed >> 36 & 31) + 1,
        samples=packed & (1 << 36) - 1,
    )


def _first_frame_at(window: Window, at: int) -> int:
    for _ in range(MAX_BLOCKS):
        header = window.exactly(at, 4, "a metadata block")
        at += 4 + int.from_bytes(header[1:4])
        if at > window.size:
            raise DamagedError(f"cut short: {at - window.size} bytes of its metadata are missing")
        if header[0] & 0x80:
            return at
    raise DamagedError(f"more than {MAX_BLOCKS} metadata blocks")


def _last_sample(window: Window, info: StreamInfo, first: int) -> int:
    """The number of the sample behind the last frame, found from the end: the frame whose checksum closes the file."""
    end = window.size - (ID3V1_BYTES if is_id3v1(window.read(window.size - ID3V1_BYTES, ID3V1_BYTES)) else 0)
    if end <= first:
        raise DamagedError("a FLAC header without a single frame", code="input-empty")
    widest = (info.max_frame or info.max_block * info.channels * (info.bits + 1) // 8) + _SPARE_BYTES
    start = max(first, end - min(MAX_READ, widest))
    tail = window.read(start, end - start)
    at, checked = len(tail), 0
    for _ in range(MAX_CANDIDATES):
        at = max(tail.rfind(b"\xff\xf8", 0, at), tail.rfind(b"\xff\xf9", 0, at))
        if at < 0 or checked > MAX_CHECKED_BYTES:
            break
        sample = _frame_end(tail[at : at + 16], info)
        checked += len(tail) - at if sample is not None else 0
        if sample is not None and _crc16(tail[at:]) == 0:
            return sample
        at += 1
    raise DamagedError("cut short or damaged: its last frame is not whole")


def _frame_end(header: bytes, info: StreamInfo) -> int | None:
    """The number of the sample behind the frame that `header` begins, None where that is no frame header."""
    if len(header) < 6 or header[3] & 1 or header[2] >> 4 == 0 or header[3] >> 4 > 10:
        return None
    number = _coded_number(header[4:])
    if number is None:
        return None
    value, at = number[0], 4 + number[1]
    block, at = _block_size(header, at)
    at += {12: 1, 13: 2, 14: 2}.get(header[2] & 15, 0)
    if block == 0 or at >= len(header) or _crc8(header[: at + 1]) != 0:
        return None
    # With the variable strategy (FF F9) the header counts samples, otherwise frames of one fixed size.
    return value + block if header[1] & 1 else value * info.max_block + block


def _block_size(header: bytes, at: int) -> tuple[int, int]:
    code = header[2] >> 4
    if code == 1:
        return 192, at
    if code <= 5:
        return 576 << code - 2, at
    if code >= 8:
        return 256 << code - 8, at
    width = code - 5
    return int.from_bytes(header[at : at + width]) + 1, at + width


def _coded_number(body: bytes) -> tuple[int, int] | None:
    """A number in FLAC's extended UTF-8 and how many bytes it takes."""
    first = body[0]
    if first < 0x80:
        return first, 1
    length = 8 - (first ^ 0xFF).bit_length()
    if not 2 <= length <= 7 or len(body) < length:
        return None
    value = first & (1 << 7 - length) - 1
    for byte in body[1:length]:
        if byte >> 6 != 2:
            return None
        value = value << 6 | byte & 0x3F
    return value, length


@functools.cache
def _crc_table(polynomial: int, bits: int) -> tuple[int, ...]:
    def entry(value: int) -> int:
        value <<= bits - 8
        for _ in range(8):
            value = value << 1 ^ (polynomial if value >> bits - 1 else 0)
            value &= (1 << bits) - 1
        return value

    return tuple(entry(value) for value in range(256))


def _crc8(body: bytes) -> int:
    table, crc = _crc_table(0x07, 8), 0
    for byte in body:
        crc = table[crc ^ byte]
    return crc


def _crc16(body: bytes) -> int:
    table, crc = _crc_table(0x8005, 16), 0
    for byte in body:
        crc = (crc << 8 & 0xFFFF) ^ table[crc >> 8 ^ byte]
    return crc
