"""WAV: RIFF and RF64 with PCM, float, A-law, mu-law and the common compressed codecs.

Promises that the sizes in the header, the sample format and the bytes that are there agree. Sizes that a writer left
open (0, all ones) are refused. The playing rate must be an audible one: a header that says 1 Hz turns a megabyte into a
week.
"""

import math
import struct

from msgspec import Struct

from pipeline.core.model import Media
from pipeline.core.wav import MAX_CHANNELS, MAX_RATE, MIN_RATE
from pipeline.media._examination import Content, DamagedError, Examination, Window, catches_damage, with_codec
from pipeline.media._id3 import ID3V1_BYTES, is_id3v1, tag_bytes

WAV = Media(media_type="audio/wav", family="audio", extension="wav", demuxer="wav")

MAX_CHUNKS = 4096
OPEN_SIZE = 0x7FFF_0000
"""From here up a size that does not fit is what a writer left open: 0x7FFFFFFF, 0x80000000 and all ones are seen."""

_FOURS = b"JUNKjunkbextds64LISTfactPAD FLLRiXMLid3 ID3 cartPEAKaxmlchnaumidminfelm1regnDGDA_PMXafspcue smplinst"
_BEFORE_FORMAT = frozenset(_FOURS[at : at + 4] for at in range(0, len(_FOURS), 4))
_EXTENSIBLE = 0xFFFE
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")
_PLAIN = {1: "pcm", 3: "pcm_f", 6: "pcm_alaw", 7: "pcm_mulaw"}
_PACKED = {
    0x02: "adpcm_ms",
    0x11: "adpcm_ima_wav",
    0x31: "gsm_ms",
    0x45: "adpcm_g726",
    0x50: "mp2",
    0x55: "mp3",
    0xFF: "aac",
}
_BLOCKED = frozenset((0x02, 0x11, 0x31))


class WavLayout(Struct, frozen=True, kw_only=True):
    """Where the samples of a WAV lie and what they are. `bits` is the width of one sample in its container; `seconds`
    is None where a packed codec states no rate of bytes.
    """

    codec: str
    rate: int
    channels: int
    bits: int
    seconds: float | None
    data_at: int
    data_bytes: int


class _Format(Struct, frozen=True, kw_only=True):
    codec: str
    rate: int
    channels: int
    bits: int
    frame_bytes: int
    bytes_per_second: float


class _Chunk(Struct, frozen=True, kw_only=True):
    id: bytes
    at: int
    size: int


def identify(head: bytes) -> Media | None:
    """A WAV by the chunks of its head: a sound format, or a chunk that is known to stand before it."""
    if head[:4] not in (b"RIFF", b"RF64") or head[8:12] != b"WAVE":
        return None
    at = 12
    while at + 8 <= len(head):
        name, size = head[at : at + 4], int.from_bytes(head[at + 4 : at + 8], "little")
        if name == b"fmt ":
            return WAV if 14 <= size <= 4096 else None
        if name not in _BEFORE_FORMAT:
            return None
        at += 8 + size + (size & 1)
    return WAV


@catches_damage
def examine(content: Content) -> Examination:
    found = layout(content.window)
    return Examination(
        media=with_codec(content.media, found.codec),
        ok=True,
        seconds=found.seconds,
        streams=("audio",),
        facts={"rate": str(found.rate), "channels": str(found.channels), "bits": str(found.bits)},
    )


def layout(window: Window) -> WavLayout:
    """The layout of a whole WAV, or DamagedError."""
    declared = _declared_end(window)
    wave, data = _chunks(window, declared)
    if wave is None or data is None:
        raise DamagedError(f"a WAV without its {'fmt' if wave is None else 'data'} chunk")
    shape = _format(window, wave)
    size = _data_bytes(window, data, declared)
    if size < shape.frame_bytes:
        raise DamagedError("a WAV header without a single sample", code="input-empty")
    if size % shape.frame_bytes and shape.codec.startswith("pcm"):
        raise DamagedError(f"{size} bytes of samples are not a multiple of {shape.frame_bytes}")
    return WavLayout(
        codec=shape.codec,
        rate=shape.rate,
        channels=shape.channels,
        bits=shape.bits,
        seconds=size / shape.bytes_per_second if shape.bytes_per_second else None,
        data_at=data.at,
        data_bytes=size,
    )


class _Declared(Struct, frozen=True, kw_only=True):
    """What the header says of lengths: the end of the RIFF, and the size of the samples where RF64 keeps it."""

    end: int
    data: int | None = None
    open: bool = False


def _declared_end(window: Window) -> _Declared:
    head = window.exactly(0, 12, "the RIFF header")
    size = int.from_bytes(head[4:8], "little")
    if head[:4] == b"RIFF":
        return _Declared(end=size + 8, open=_is_open(size, window.size))
    ds64 = window.exactly(12, 36, "the ds64 chunk")
    if ds64[:4] != b"ds64":
        raise DamagedError("an RF64 file without its ds64 chunk")
    riff, data = struct.unpack("<QQ", ds64[8:24])
    return _Declared(end=riff + 8 if size == 0xFFFF_FFFF else size + 8, data=data)


def _chunks(window: Window, declared: _Declared) -> tuple[_Chunk | None, _Chunk | None]:
    """The fmt and the data chunk, after every chunk was found to end inside the content."""
    wave: _Chunk | None = None
    data: _Chunk | None = None
    at = 12
    for _ in range(MAX_CHUNKS):
        chunk = _chunk(window, at)
        if chunk is None:
            return wave, data
        if chunk.id == b"fmt ":
            wave = wave or chunk
        if chunk.id == b"data" and data is None:
            data = chunk
            size = _data_bytes(window, data, declared)
            at = chunk.at + size + (size & 1)
            continue
        if chunk.at + chunk.size > window.size:
            raise _cut(window, declared, chunk)
        at = chunk.at + chunk.size + (chunk.size & 1)
    raise DamagedError(f"a WAV with more than {MAX_CHUNKS} chunks")


def _chunk(window: Window, at: int) -> _Chunk | None:
    """The chunk at `at`, None at the end of the content or where only tags and padding follow."""
    header = window.read(at, 8)
    if len(header) < 8 and not header.strip(b"\0"):
        return None
    if tag_bytes(window.read(at, 10)) or is_id3v1(window.read(at, ID3V1_BYTES)):
        return None
    if len(header) < 8 or not all(0x20 <= byte < 0x7F for byte in header[:4]):
        raise DamagedError(f"{window.size - at} bytes at byte {at} belong to no chunk")
    return _Chunk(id=header[:4], at=at + 8, size=int.from_bytes(header[4:8], "little"))


def _data_bytes(window: Window, data: _Chunk, declared: _Declared) -> int:
    """How many bytes of samples there are; DamagedError where their writer left that open."""
    here = window.size - data.at
    size = declared.data if declared.data is not None and data.size == 0xFFFF_FFFF else data.size
    if _is_open(size, here) and (size > 0 or declared.open or declared.end == data.at):
        raise DamagedError(f"the header leaves its length open ({size:#x}); {max(here, 0)} bytes follow")
    if size > here or declared.end > window.size + (size & 1):
        raise _cut(window, declared, data)
    if data.at + size > declared.end + 1:
        raise DamagedError(f"the header says {declared.end} bytes, its samples alone end at {data.at + size}")
    return size


def _is_open(size: int, here: int) -> bool:
    return (size >= OPEN_SIZE and size > here) or size == 0 < here


def _cut(window: Window, declared: _Declared, chunk: _Chunk) -> DamagedError:
    if chunk.at - 8 >= declared.end:
        return DamagedError(f"{window.size - declared.end} bytes follow that the header does not count")
    missing = max(declared.end, chunk.at + chunk.size) - window.size
    return DamagedError(f"cut short: {missing} bytes are missing of what the header says")


def _format(window: Window, chunk: _Chunk) -> _Format:
    body = window.exactly(chunk.at, min(max(chunk.size, 14), 40), "the fmt chunk")
    tag, channels, rate, per_second, frame_bytes = struct.unpack("<HHIIH", body[:14])
    bits = int.from_bytes(body[14:16], "little") if chunk.size >= 16 else 8
    if tag == _EXTENSIBLE:
        if len(body) < 40 or body[26:40] != _GUID_TAIL:
            raise DamagedError("an extensible WAV whose sub-format is not a known one", code="input-type")
        tag = int.from_bytes(body[24:26], "little")
    if not MIN_RATE <= rate <= MAX_RATE:
        raise DamagedError(f"a sample rate of {rate} Hz is outside {MIN_RATE}-{MAX_RATE}")
    if not 1 <= channels <= MAX_CHANNELS:
        raise DamagedError(f"{channels} channels is outside 1-{MAX_CHANNELS}")
    codec = _plain_codec(tag, bits) or _PACKED.get(tag)
    if codec is None:
        raise DamagedError(f"a WAV with codec {tag:#06x} and {bits} bits is not one that is read", code="input-type")
    if tag in _PLAIN:
        _check_plain(rate, channels, bits, per_second=per_second, frame_bytes=frame_bytes)
    if frame_bytes == 0:
        raise DamagedError("the header says that a sample has no bytes")
    pace = _packed_pace(tag, body, rate, frame_bytes=frame_bytes) or per_second
    return _Format(codec=codec, rate=rate, channels=channels, bits=bits, frame_bytes=frame_bytes, bytes_per_second=pace)


def _packed_pace(tag: int, body: bytes, rate: int, *, frame_bytes: int) -> float | None:
    """Bytes a second of a codec that states the samples in a block; what such writers put there directly is often 0."""
    samples = int.from_bytes(body[18:20], "little") if tag in _BLOCKED and len(body) >= 20 else 0
    return rate * frame_bytes / samples if samples else None


def _plain_codec(tag: int, bits: int) -> str | None:
    width = math.ceil(bits / 8) * 8
    if tag == 1 and width in (8, 16, 24, 32):
        return "pcm_u8" if width == 8 else f"pcm_s{width}le"
    if tag == 3 and bits in (32, 64):
        return f"pcm_f{bits}le"
    return _PLAIN[tag] if tag in (6, 7) and bits == 8 else None


def _check_plain(rate: int, channels: int, bits: int, *, per_second: int, frame_bytes: int) -> None:
    expected = channels * math.ceil(bits / 8)
    if frame_bytes != expected:
        raise DamagedError(f"the header says {frame_bytes} bytes a frame; {channels} x {bits} bits are {expected}")
    if per_second != rate * expected:
        raise DamagedError(f"the header says {per_second} bytes a second; the format makes {rate * expected}")
