"""MP4, M4A, QuickTime and 3GP: nested boxes with their lengths.

Promises that the top-level boxes fill the content exactly, that the index is there with its media data, that the
samples it counts fit into that data, and that nothing refers to another file. Tells sound from pictures by the
handlers of the tracks. Fragmented files cut exactly between two fragments cannot be told from whole ones.
"""

import io

import msgspec

from pipeline.core.model import Media
from pipeline.media._boxes import Box, boxes, inside
from pipeline.media._examination import Content, DamagedError, Examination, Window, catches_damage, with_codec
from pipeline.media._tracks import Track, fragment_end, handler_of, track_of

VIDEO = Media(media_type="video/mp4", family="video", extension="mp4", demuxer="mov")
AUDIO = Media(media_type="audio/mp4", family="audio", extension="m4a", demuxer="mov")
MAX_TRACKS = 64
_PLAIN_BRANDS = frozenset(
    b"isom iso2 iso3 iso4 iso5 iso6 iso7 iso8 iso9 mp41 mp42 mp71 avc1 dash cmfc cmf2 msdh MSNV mmp4 ".split()
)
_VIDEO_BRANDS = frozenset((b"M4V ", b"M4VP", b"M4VH", b"f4v ", b"F4V "))
_AUDIO_BRANDS = frozenset((b"M4A ", b"M4B ", b"M4P ", b"F4A ", b"F4B "))
_PICTURE_BRANDS = frozenset(
    (b"avif", b"avis", b"heic", b"heix", b"hevc", b"hevx", b"mif1", b"msf1", b"jp2 ", b"jpx ", b"crx ")
)
_REFERENCE_MOVIE = frozenset((b"rmra", b"rmda"))


def identify(head: bytes) -> Media | None:
    """By the brands of the ftyp box, then by the tracks as far as the head shows them. QuickTime may lack ftyp."""
    size, kind = int.from_bytes(head[:4]), head[4:8]
    if kind == b"ftyp" and 16 <= size <= 4096:
        media = _by_brands([head[8:12], *(head[at : at + 4] for at in range(16, min(size, len(head)), 4))])
    elif kind in (b"moov", b"mdat", b"wide") and (size >= 8 or size == 1):
        media = msgspec.structs.replace(VIDEO, extension="mov")
    else:
        return None
    return _by_visible_tracks(head, media) if media else None


def _by_brands(brands: list[bytes]) -> Media | None:
    major = brands[0]
    if major == b"qt  ":
        return msgspec.structs.replace(VIDEO, extension="mov")
    if major[:3] in (b"3gp", b"3gr", b"3ge", b"3gs", b"3g2"):
        return msgspec.structs.replace(VIDEO, extension="3gp")
    if major in _AUDIO_BRANDS:
        return AUDIO
    if major in _PICTURE_BRANDS or (_PLAIN_BRANDS | _VIDEO_BRANDS).isdisjoint(brands):
        return None
    return VIDEO


def _by_visible_tracks(head: bytes, media: Media) -> Media:
    """A picture track in the head decides for video; sound alone decides only where the head holds the whole index."""
    window = Window(io.BytesIO(head), len(head))
    kinds: list[str | None] = []
    codec: str | None = None
    try:
        for box in boxes(window, 0, len(head)):
            if box.kind == b"moov":
                kinds.extend(
                    handler_of(window, trak) for trak in boxes(window, box.at, box.end) if trak.kind == b"trak"
                )
                codec = _tracks(window, box)[0].codec
    except DamagedError:
        # The head ends here; a list keeps what was added to it before.
        codec = codec if kinds else None
    if "video" in kinds or codec is not None:
        return with_codec(_typed(media, has_video="video" in kinds), codec)
    return media


def _typed(media: Media, *, has_video: bool) -> Media:
    other = VIDEO if has_video else AUDIO
    extension = media.extension if media.extension in ("mov", "3gp") else other.extension
    return msgspec.structs.replace(other, extension=extension)


@catches_damage
def examine(content: Content) -> Examination:
    window = content.window
    top = _top_level(window)
    moov = next((box for box in top if box.kind == b"moov"), None)
    if moov is None:
        raise DamagedError("cut short: it has no index (moov)")
    tracks = _tracks(window, moov)
    kinds = tuple(kind for kind in ("audio", "video") if any(track.kind == kind for track in tracks))
    seconds = max(track.seconds for track in tracks)
    fragments = [box for box in top if box.kind == b"moof"]
    if fragments:
        _check_fragments(top)
        seconds = max(seconds, fragment_end(window, fragments[-1], tracks))
    else:
        _check_samples(window, top, tracks)
    return Examination(
        media=with_codec(_typed(content.media, has_video="video" in kinds), tracks[0].codec),
        ok=True,
        seconds=seconds or None,
        streams=kinds,
        facts={"tracks": str(len(tracks)), "fragments": str(len(fragments))},
    )


def _top_level(window: Window) -> list[Box]:
    top = list(boxes(window, 0, window.size))
    if top[-1].end > window.size:
        kind = top[-1].kind.decode("latin-1")
        raise DamagedError(f"cut short: {top[-1].end - window.size} bytes of its last box ({kind}) are missing")
    return top


def _tracks(window: Window, moov: Box) -> list[Track]:
    """The tracks of sound and pictures, sound first. A movie that only points at other files is not one."""
    found: list[Track] = []
    for box in inside(window, moov):
        if box.kind in _REFERENCE_MOVIE:
            raise DamagedError("a movie that refers to other files", code="input-type")
        track = track_of(window, box) if box.kind == b"trak" else None
        if track is not None:
            found.append(track)
        if len(found) > MAX_TRACKS:
            raise DamagedError(f"more than {MAX_TRACKS} tracks")
    if not found:
        raise DamagedError("it has no track of sound or pictures", code="input-type")
    return sorted(found, key=lambda track: track.kind)


def _check_fragments(top: list[Box]) -> None:
    order = [box.kind for box in top if box.kind in (b"moof", b"mdat")]
    if order[-1] == b"moof":
        raise DamagedError("cut short: the data of its last fragment is missing")


def _check_samples(window: Window, top: list[Box], tracks: list[Track]) -> None:
    there = sum(box.end - box.at for box in top if box.kind == b"mdat")
    counted = sum(track.sample_bytes for track in tracks)
    if counted == 0:
        raise DamagedError("an index without a single sample", code="input-empty")
    if counted > there:
        raise DamagedError(f"cut short: its index counts {counted} bytes of samples, {there} are there")
    if max(track.last_chunk_at for track in tracks) >= window.size:
        raise DamagedError("its index points behind the end of the file")
