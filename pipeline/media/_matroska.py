"""WebM and Matroska: an EBML header with the document type, then one segment of tracks and clusters.

Promises that every element of known length is whole, that there is a track of sound or pictures and a block with
content, and that the recording reaches the duration its header states. Live recordings state neither lengths nor
duration: cut exactly between two blocks they cannot be told from whole ones.
"""

import io
import math

from msgspec import Struct

from pipeline.core.model import Media
from pipeline.media._ebml import Element, children, decimal, element, text, unsigned
from pipeline.media._examination import Content, DamagedError, Examination, Window, catches_damage, with_codec

_TYPES = {
    ("webm", "audio"): Media(media_type="audio/webm", family="audio", extension="webm", demuxer="matroska"),
    ("webm", "video"): Media(media_type="video/webm", family="video", extension="webm", demuxer="matroska"),
    ("matroska", "audio"): Media(media_type="audio/x-matroska", family="audio", extension="mka", demuxer="matroska"),
    ("matroska", "video"): Media(media_type="video/x-matroska", family="video", extension="mkv", demuxer="matroska"),
}
_EBML, _DOC_TYPE, _SEGMENT = 0x1A45DFA3, 0x4282, 0x18538067
_INFO, _SCALE, _DURATION = 0x1549A966, 0x2AD7B1, 0x4489
_TRACKS, _TRACK, _TRACK_TYPE, _CODEC = 0x1654AE6B, 0xAE, 0x83, 0x86
_CLUSTER, _TIMESTAMP, _SIMPLE_BLOCK, _GROUP, _BLOCK = 0x1F43B675, 0xE7, 0xA3, 0xA0, 0xA1
_VOID = 0xEC
_TOP_LEVEL = frozenset((_INFO, _TRACKS, _CLUSTER, 0x114D9B74, 0x1C53BB6B, 0x1254C367, 0x1941A469, 0x1043A770))
_KINDS = {1: "video", 2: "audio"}
_CODECS = {
    "A_OPUS": "opus",
    "A_VORBIS": "vorbis",
    "A_FLAC": "flac",
    "A_MPEG/L3": "mp3",
    "A_PCM/INT/LIT": "pcm_s16le",
    "V_VP8": "vp8",
    "V_VP9": "vp9",
    "V_AV1": "av1",
    "V_MPEG4/ISO/AVC": "h264",
}
_DEFAULT_SCALE = 1_000_000
_BLOCK_HEADER_BYTES = 4
SLACK_SECONDS, SLACK_SHARE = 2.0, 0.1


class _Track(Struct, frozen=True):
    kind: str
    codec: str


class _Seen:
    """What the segment has shown so far. Times are in ticks of `scale` nanoseconds."""

    def __init__(self) -> None:
        self.scale = _DEFAULT_SCALE
        self.duration: float | None = None
        self.tracks: list[_Track] = []
        self.last_tick: int | None = None
        self.has_tracks = False

    def read(self, window: Window, found: Element) -> None:
        end = found.end or window.size
        if found.id == _INFO:
            self._read_info(window, found, end)
        elif found.id == _TRACKS:
            self.has_tracks = True
            self.tracks = [_track(window, entry) for entry in children(window, found.at, end) if entry.id == _TRACK]

    def _read_info(self, window: Window, info: Element, end: int) -> None:
        for entry in children(window, info.at, end):
            if entry.id == _SCALE:
                self.scale = unsigned(window, entry) or _DEFAULT_SCALE
            if entry.id == _DURATION:
                value = decimal(window, entry)
                self.duration = value if math.isfinite(value) and value > 0 else None

    def kinds(self) -> tuple[str, ...]:
        return tuple(kind for kind in ("audio", "video") if any(track.kind == kind for track in self.tracks))


def _track(window: Window, entry: Element) -> _Track:
    kind, codec = "", ""
    for found in children(window, entry.at, entry.end or window.size):
        if found.id == _TRACK_TYPE:
            kind = _KINDS.get(unsigned(window, found), "")
        if found.id == _CODEC:
            name = text(window, found)
            codec = _CODECS.get(name, "aac" if name.startswith("A_AAC") else name.lower())
    return _Track(kind, codec)


def identify(head: bytes) -> Media | None:
    """By the document type of the EBML header, then by the tracks where the head shows them."""
    window = Window(io.BytesIO(head), len(head))
    try:
        doc_type, segment = _opening(window)
    except DamagedError:
        return None
    if doc_type not in ("webm", "matroska"):
        return None
    seen = _Seen()
    try:
        for found in children(window, segment.at, len(head)):
            seen.read(window, found)
    except DamagedError:
        seen.tracks = seen.tracks if seen.has_tracks else []
    return _typed(doc_type, seen) if seen.kinds() else _TYPES[doc_type, "video"]


def _opening(window: Window) -> tuple[str, Element]:
    """The document type and the segment, which must follow the EBML header."""
    header = element(window, 0)
    if header.id != _EBML or header.end is None:
        raise DamagedError("no EBML header", code="input-type")
    names = [text(window, found) for found in children(window, header.at, header.end) if found.id == _DOC_TYPE]
    segment = element(window, header.end)
    if segment.id != _SEGMENT or not names:
        raise DamagedError("no segment behind the EBML header")
    return names[0], segment


def _typed(doc_type: str, seen: _Seen) -> Media:
    kinds = seen.kinds()
    main = next(track.codec for track in seen.tracks if track.kind == kinds[0])
    return with_codec(_TYPES[doc_type, "video" if "video" in kinds else "audio"], main)


@catches_damage
def examine(content: Content) -> Examination:
    window = content.window
    doc_type, segment = _opening(window)
    if segment.end is not None and segment.end > window.size:
        raise DamagedError(f"cut short: {segment.end - window.size} bytes are missing of what the header says")
    seen = _walk(window, segment)
    if not seen.kinds():
        raise DamagedError("it has no track of sound or pictures", code="input-type")
    if seen.last_tick is None:
        raise DamagedError("tracks without a single block", code="input-empty")
    reached = seen.last_tick * seen.scale / 1e9
    stated = seen.duration * seen.scale / 1e9 if seen.duration is not None else None
    if stated is not None and abs(stated - reached) > SLACK_SECONDS + SLACK_SHARE * max(stated, reached):
        raise DamagedError(f"its header says {stated:.1f} s, its last block is at {reached:.1f} s")
    return Examination(
        media=_typed(doc_type, seen),
        ok=True,
        seconds=stated or reached,
        streams=seen.kinds(),
        facts={"tracks": str(len(seen.tracks)), "doctype": doc_type},
    )


def _walk(window: Window, segment: Element) -> _Seen:
    """Everything in the segment, up to the end of the content. Blocks are looked at in the first and last cluster, and
    in those of unknown length, whose end only their blocks can tell.
    """
    seen, at, end = _Seen(), segment.at, segment.end or window.size
    last: Element | None = None
    while at < end:
        found = element(window, at)
        limit = found.end if found.end is not None else end
        if limit > end:
            raise DamagedError(f"cut short: {limit - end} bytes of its last element are missing")
        seen.read(window, found)
        at = limit
        if found.id == _CLUSTER:
            at = _cluster(window, found, limit, seen) if last is None or found.end is None else limit
            last = found
    if last is not None and last.end is not None:
        _cluster(window, last, last.end, seen)
    _check_rest(window, at)
    return seen


def _cluster(window: Window, cluster: Element, limit: int, seen: _Seen) -> int:
    """Note the time of the last block; where the cluster has no length, find its end at the next top-level element."""
    start = 0
    for found in children(window, cluster.at, limit):
        if cluster.end is None and found.id in _TOP_LEVEL:
            return found.start
        if found.end is None or found.end > limit:
            raise DamagedError(f"cut short: {(found.end or limit) - limit} bytes of its last block are missing")
        if found.id == _TIMESTAMP:
            start = unsigned(window, found)
        block = _block_of(window, found)
        if block is not None:
            offset = int.from_bytes(window.exactly(block.at + 1, 2, "a block"), signed=True)
            seen.last_tick = max(seen.last_tick or 0, start + offset)
    return limit


def _block_of(window: Window, found: Element) -> Element | None:
    """The block in this element if it has content."""
    if found.id == _GROUP and found.end is not None:
        found = next((inner for inner in children(window, found.at, found.end) if inner.id == _BLOCK), found)
    if found.id not in (_SIMPLE_BLOCK, _BLOCK) or found.end is None:
        return None
    return found if found.end - found.at > _BLOCK_HEADER_BYTES else None


def _check_rest(window: Window, at: int) -> None:
    """Behind the segment only void elements may stand."""
    for found in children(window, at, window.size):
        if found.id != _VOID or found.end is None or found.end > window.size:
            raise DamagedError(f"{window.size - at} bytes follow that the header does not count")
