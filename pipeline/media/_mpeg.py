"""MP3 (and MP2) and AAC in ADTS: a plain row of frames, each with its length in its own header.

Promises that the row reaches the end of the content and, where a Xing or VBRI header counts frames, that they are
there. A row cut exactly between two frames without such a count cannot be told from a whole one: the caller has to
compare durations. Gaps of junk inside the row are bridged, few and small; players do the same.
"""

import functools
from collections.abc import Callable

from msgspec import Struct

from pipeline.core.model import Media
from pipeline.media._examination import MAX_READ, Content, DamagedError, Examination, Window, catches_damage, with_codec
from pipeline.media._id3 import ID3V1_BYTES, is_id3v1, tag_bytes

MP3 = Media(media_type="audio/mpeg", family="audio", extension="mp3", demuxer="mp3")
AAC = Media(media_type="audio/aac", family="audio", extension="aac", demuxer="aac", codec="aac")

MAX_FRAMES = 4_000_000
MAX_GAPS, MAX_GAP_BYTES = 16, 4096
_APE_HEADER_BYTES, _EXTENDED_TAG_BYTES, _LYRICS_BYTES = 32, 227, 8192
HEADER_BYTES = 7
"""Enough of a frame to know its length: 4 bytes for MPEG audio, 7 for ADTS."""

_LAYER_2, _LAYER_3 = 2, 1
_BITRATES: dict[tuple[bool, int], tuple[int, ...]] = {
    (True, _LAYER_2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 0),
    (True, _LAYER_3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),
    (False, _LAYER_2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
    (False, _LAYER_3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
}
_RATES = {3: (44100, 48000, 32000, 0), 2: (22050, 24000, 16000, 0), 0: (11025, 12000, 8000, 0)}
_ADTS_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)


class Frame(Struct, frozen=True):
    """One frame: its length in bytes, the samples in it, and what must not change along the row."""

    size: int
    samples: int
    rate: int
    channels: int
    codec: str
    side_bytes: int = 0


Parser = Callable[[bytes], Frame | None]


def mpeg_frame(header: bytes) -> Frame | None:
    """The MPEG audio frame that these bytes begin, layers II and III, without free-format bit rates."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    return _mpeg_frame(header[1], header[2], header[3] >> 6)


@functools.cache
def _mpeg_frame(second: int, third: int, mode: int) -> Frame | None:
    version, layer = second >> 3 & 3, second >> 1 & 3
    if version == 1 or layer not in (_LAYER_2, _LAYER_3) or (version == 0 and layer == _LAYER_2):
        return None
    kbits, rate = _BITRATES[version == 3, layer][third >> 4], _RATES[version][third >> 2 & 3]
    if not kbits or not rate:
        return None
    samples = 576 if layer == _LAYER_3 and version != 3 else 1152
    channels = 1 if mode == 3 else 2
    side = (17, 32)[channels - 1] if version == 3 else (9, 17)[channels - 1]
    size = samples // 8 * kbits * 1000 // rate + (third >> 1 & 1)
    return Frame(size, samples, rate, channels, "mp2" if layer == _LAYER_2 else "mp3", side)


def adts_frame(header: bytes) -> Frame | None:
    if len(header) < HEADER_BYTES or header[0] != 0xFF or header[1] & 0xF6 != 0xF0:
        return None
    size = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    rate_index, channels = header[2] >> 2 & 15, (header[2] & 1) << 2 | header[3] >> 6
    if rate_index >= len(_ADTS_RATES) or size <= HEADER_BYTES:
        return None
    return _adts(size, 1024 * ((header[6] & 3) + 1), _ADTS_RATES[rate_index], channels)


@functools.lru_cache(maxsize=16384)
def _adts(size: int, samples: int, rate: int, channels: int) -> Frame:
    return Frame(size, samples, rate, channels, "aac")


def identify_mp3(head: bytes) -> Media | None:
    frame = _first_of_row(head, mpeg_frame)
    return with_codec(MP3, frame.codec) if frame else None


def identify_aac(head: bytes) -> Media | None:
    return AAC if _first_of_row(head, adts_frame) else None


def _first_of_row(head: bytes, parse: Parser) -> Frame | None:
    """The first frame if a second of its kind follows it, or if the head ends inside it."""
    frame = parse(head)
    if frame is None or len(head) < frame.size + HEADER_BYTES:
        return frame
    return frame if _same_kind(frame, parse(head[frame.size : frame.size + HEADER_BYTES])) else None


def _same_kind(frame: Frame, other: Frame | None) -> bool:
    return other is not None and (other.rate, other.codec) == (frame.rate, frame.codec)


@catches_damage
def examine_mp3(content: Content) -> Examination:
    row = _Row(content, mpeg_frame)
    announced = _announced_frames(content.window, row)
    row.walk(max_padding=MAX_READ if announced else MAX_GAP_BYTES)
    # Some writers count the frame that holds the count, so one frame less than announced is not a cut.
    if announced is not None and row.frames - 1 < announced - 1:
        raise DamagedError(f"cut short: its header counts {announced} frames, {row.frames - 1} are there")
    return _whole(content, row, without=1 if announced is not None else 0)


@catches_damage
def examine_aac(content: Content) -> Examination:
    row = _Row(content, adts_frame)
    row.walk(max_padding=MAX_GAP_BYTES)
    return _whole(content, row, without=0)


def _whole(content: Content, row: "_Row", *, without: int) -> Examination:
    first = row.first
    if row.frames <= without:
        raise DamagedError("frames were announced and none is there", code="input-empty")
    return Examination(
        media=with_codec(content.media, first.codec),
        ok=True,
        seconds=row.seconds - without * first.samples / first.rate,
        streams=("audio",),
        facts={"rate": str(first.rate), "channels": str(first.channels), "frames": str(row.frames - without)}
        | ({"gaps": str(row.gaps)} if row.gaps else {}),
    )


def _announced_frames(window: Window, row: "_Row") -> int | None:
    """The number of frames after the first that a Xing, Info or VBRI header in the first one states."""
    body = window.read(row.at, row.first.size)
    for offset in (4 + row.first.side_bytes, 6 + row.first.side_bytes):
        if body[offset : offset + 4] in (b"Xing", b"Info"):
            flags = int.from_bytes(body[offset + 4 : offset + 8])
            return int.from_bytes(body[offset + 8 : offset + 12]) if flags & 1 else 0
    return int.from_bytes(body[50:54]) if body[36:40] == b"VBRI" else None


class _Row:
    """Walks frames from the start of the content to its end, in windows, and adds up what they hold."""

    def __init__(self, content: Content, parse: Parser) -> None:
        self.at = content.start
        self.frames = 0
        self.gaps = 0
        self.seconds = 0.0
        self._window = content.window
        self._parse = parse
        first = parse(content.window.read(content.start, HEADER_BYTES))
        if first is None:
            raise DamagedError("no frame where the sound should begin")
        self.first = first

    def walk(self, *, max_padding: int) -> None:
        """To the end of the content. More zeros than `max_padding` there are sound that was never written."""
        while self.at < self._window.size:
            self._take(self._window.read(self.at, MAX_READ))
            self.at = _behind_tags(self._window, self.at, max_padding)
            if self.at < self._window.size:
                self._bridge()

    def _take(self, body: bytes) -> None:
        """Frames that begin in `body`; stops at the first thing that is none, or where a header may be cut off."""
        at, parse, base = 0, self._parse, self.at
        last = len(body) - HEADER_BYTES
        while at <= last:
            frame = parse(body[at : at + HEADER_BYTES])
            if frame is None:
                break
            if base + at + frame.size > self._window.size:
                missing = base + at + frame.size - self._window.size
                raise DamagedError(f"cut short: {missing} bytes of the last frame are missing")
            at += frame.size
            self.frames += 1
            self.seconds += frame.samples / frame.rate
        self.at = base + at
        if self.frames > MAX_FRAMES:
            raise DamagedError(f"more than {MAX_FRAMES} frames", code="limit-seconds")

    def _bridge(self) -> None:
        """Step over a small gap inside the row; DamagedError where the row does not go on."""
        head = self._window.read(self.at, 3 * MAX_GAP_BYTES)
        if len(head) >= HEADER_BYTES and self._parse(head[:HEADER_BYTES]) is not None:
            return
        offset = self._next_frame(head)
        if offset is None:
            left = self._window.size - self.at
            raise DamagedError(f"cut short or damaged: the last {left} bytes are no frame")
        self.at += offset
        self.gaps += 1
        if self.gaps > MAX_GAPS:
            raise DamagedError(f"damaged: the row of frames is broken more than {MAX_GAPS} times")

    def _next_frame(self, head: bytes) -> int | None:
        for offset in range(1, min(MAX_GAP_BYTES, len(head) - HEADER_BYTES)):
            frame = self._parse(head[offset : offset + HEADER_BYTES]) if head[offset] == 0xFF else None
            if frame is None or not _same_kind(self.first, frame):
                continue
            after = head[offset + frame.size : offset + frame.size + HEADER_BYTES]
            if _same_kind(self.first, self._parse(after)):
                return offset
        return None


def _behind_tags(window: Window, at: int, max_padding: int) -> int:
    """Where the tags and the padding at `at` end; the size of the content where nothing else follows."""
    for _ in range(MAX_GAPS):
        length = _tag_length(window, at)
        if not length:
            break
        at += length
    rest = window.size - at
    if 0 < rest <= max_padding and not window.read(at, rest).strip(b"\0"):
        return window.size
    return at


def _tag_length(window: Window, at: int) -> int:
    """The length of an ID3, APE or Lyrics3 tag at `at` that ends inside the content, or 0."""
    head = window.read(at, _LYRICS_BYTES)
    if is_id3v1(head[:ID3V1_BYTES]) and window.size - at == ID3V1_BYTES:
        return ID3V1_BYTES
    length = tag_bytes(head)
    if head[:8] == b"APETAGEX" and len(head) >= _APE_HEADER_BYTES:
        length = _APE_HEADER_BYTES + int.from_bytes(head[12:16], "little")
    if head[:4] == b"TAG+":
        length = _EXTENDED_TAG_BYTES
    if head[:11] == b"LYRICSBEGIN":
        length = head.find(b"LYRICS200") + 9
    return length if at + length <= window.size else 0
