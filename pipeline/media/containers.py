"""What bytes are, and whether they are whole: the verdict that decides what is read, adopted and published.

Two opinions must agree: libmagic's, through an exact table of its names (never a prefix: one release calls a playlist
"audio/x-mpegurl"), and our own check of the structure. `recognise` judges a head, `examine` the whole content, in
bounded memory and without decoding. Neither raises on any bytes. What a format cannot tell is said in its module.
Raw PCM has no marks at all: it is never recognised, only checked against what was declared.
"""

from collections.abc import Callable, Mapping
from typing import BinaryIO

from pipeline.core.model import Media
from pipeline.media import _flac, _images, _isobmff, _matroska, _mpeg, _ogg, _pdf, _riff, _text
from pipeline.media._examination import Content, Examination, Examiner, Window
from pipeline.media._id3 import MAX_TAGS, content_start, tag_bytes
from pipeline.media._names import OPINIONS, canonical
from pipeline.media.sniff import HEAD_BYTES, NO_OPINION, sniff

__all__ = [
    "Examination",
    "agrees",
    "check_pcm",
    "could_be",
    "examine",
    "examine_words",
    "is_undecided",
    "recognise",
    "recognise_words",
    "same_type",
]

SHORTEST_OPINION = 3

_Identify = Callable[[bytes], Media | None]

_MARKED: tuple[_Identify, ...] = (
    _riff.identify,
    _ogg.identify,
    _flac.identify,
    _isobmff.identify,
    _matroska.identify,
    _images.identify,
    _pdf.identify,
    _mpeg.identify_mp3,
    _mpeg.identify_aac,
)
_BEHIND_TAGS: tuple[_Identify, ...] = (_mpeg.identify_mp3, _mpeg.identify_aac, _flac.identify)

_EXAMINERS: Mapping[str, Examiner] = {
    "audio/wav": _riff.examine,
    "audio/mpeg": _mpeg.examine_mp3,
    "audio/aac": _mpeg.examine_aac,
    "audio/ogg": _ogg.examine,
    "audio/flac": _flac.examine,
    "audio/mp4": _isobmff.examine,
    "video/mp4": _isobmff.examine,
    "audio/webm": _matroska.examine,
    "video/webm": _matroska.examine,
    "audio/x-matroska": _matroska.examine,
    "video/x-matroska": _matroska.examine,
    "image/png": _images.examine_png,
    "image/jpeg": _images.examine_jpeg,
    "image/gif": _images.examine_gif,
    "image/webp": _images.examine_webp,
    "application/pdf": _pdf.examine,
}

_PENDING = {
    "mp3": frozenset(("audio/mpeg", "audio/aac", "audio/flac")),
    "mov": frozenset(("audio/mp4", "video/mp4")),
    "matroska": frozenset(("audio/webm", "video/webm", "audio/x-matroska", "video/x-matroska")),
}


def recognise(head: bytes, *, size: int | None = None) -> Media | None:
    """What content that begins like this is, or None where the two opinions do not agree on anything we take.

    `size` is the length of the whole content where it is known. Where a head cannot tell sound from pictures, or ends
    inside an ID3v2 tag, the likelier type is given and its codec is None: compare such an opinion by `could_be`.
    """
    start = content_start(head)
    if start and start >= len(head):
        return _mpeg.MP3 if sniff(head) in (*OPINIONS["audio/mpeg"], NO_OPINION) else None
    window = head[start : start + HEAD_BYTES]
    is_whole = size is not None and size - start <= len(window)
    media = _identify(window, is_behind_tags=start > 0, is_whole=is_whole)
    return media if media is not None and agrees(media, _opinion(window)) else None


def agrees(media: Media, opinion: str) -> bool:
    """Is `opinion`, a name some libmagic gives, one of the names for what our own check found?"""
    return opinion in OPINIONS[media.media_type]


def _opinion(head: bytes) -> str:
    """What libmagic says; of a character or two it says nothing, so our own check of the text stands alone."""
    opinion = sniff(head)
    return "text/plain" if opinion == NO_OPINION and len(head) <= SHORTEST_OPINION else opinion


def _identify(head: bytes, *, is_behind_tags: bool, is_whole: bool) -> Media | None:
    for identify in _BEHIND_TAGS if is_behind_tags else _MARKED:
        media = identify(head)
        if media is not None:
            return media
    return None if is_behind_tags else _text.identify(head, is_whole=is_whole)


def examine(file: BinaryIO, size: int) -> Examination:
    """What all `size` bytes of a seekable file are, and whether they are whole."""
    if size <= 0:
        return Examination(media=None, ok=False, code="input-empty", reason="there are no bytes")
    window = Window(file, size)
    if not window.read(size - 1, 1):
        reason = f"cut short: the file ends before the {size} bytes it should have"
        return Examination(media=None, ok=False, code="input-damaged", reason=reason)
    start = _content_start(window)
    if start >= size:
        return Examination(
            media=_mpeg.MP3, ok=False, code="input-damaged", reason=f"cut short: {size} bytes end inside its tags"
        )
    head = window.read(start, HEAD_BYTES)
    media = _identify(head, is_behind_tags=start > 0, is_whole=size - start <= len(head))
    opinion = _opinion(head)
    if media is None or not agrees(media, opinion):
        return Examination(media=None, ok=False, code="input-type", reason=_disagreement(media, opinion))
    examiner = _EXAMINERS.get(media.media_type, _text.examine)
    return examiner(Content(window=window, media=media, start=start))


def recognise_words(head: bytes) -> Media | None:
    """As `recognise`, of what came as characters, so that libmagic, which knows bytes, has no say: "P1 is ready" is no
    bitmap. None where it holds what no text has.
    """
    return _text.identify_words(head[:HEAD_BYTES])


def examine_words(file: BinaryIO, size: int) -> Examination:
    """As `examine`, of what came as characters or was written here: one opinion is enough of what no stranger made."""
    window = Window(file, size)
    head = window.read(0, HEAD_BYTES)
    media = _text.identify_words(head, is_whole=size <= len(head))
    if media is None:
        return Examination(media=None, ok=False, code="input-type", reason="it reads as no text that is taken")
    return _text.examine(Content(window=window, media=media, start=0))


def _content_start(window: Window) -> int:
    """As `content_start` of a head, for tags of any length."""
    at = 0
    for _ in range(MAX_TAGS):
        length = tag_bytes(window.read(at, 10))
        if not length:
            break
        at += length
    while at and at < window.size:
        piece = window.read(at, HEAD_BYTES)
        zeros = len(piece) - len(piece.lstrip(b"\0"))
        at += zeros
        if zeros < len(piece) or not piece:
            break
    return at


def _disagreement(media: Media | None, opinion: str) -> str:
    if media is None:
        return f"its content is none that is taken (libmagic calls it {opinion})"
    return f"its content begins as {media.media_type} but libmagic calls it {opinion}"


def same_type(declared: str, media: Media) -> bool:
    """Does a declared media type name what the bytes are? Parameters are ignored, aliases are folded."""
    wanted = canonical(declared)
    if wanted.media_type != media.media_type:
        return False
    if wanted.codec is not None and media.codec not in (None, wanted.codec):
        return False
    return wanted.extension is None or wanted.extension == media.extension


def is_undecided(media: Media) -> bool:
    """Is this the opinion of a head that could not see whether its container holds sound or pictures, or what follows
    its tag? Only `recognise` gives such opinions; `examine` decides.
    """
    return media.codec is None and media.demuxer in _PENDING


def could_be(declared: str, media: Media) -> bool:
    """As `same_type`, for what `recognise` said of a head: an undecided one may still turn out to be either."""
    if is_undecided(media) and media.demuxer is not None:
        return canonical(declared).media_type in _PENDING[media.demuxer]
    return same_type(declared, media)


def check_pcm(size: int, *, sample_width: int, channels: int, head: bytes) -> str | None:
    """Why these bytes cannot be the raw PCM that was declared, or None. By arithmetic, and by what they are instead."""
    if size <= 0:
        return "there are no bytes"
    frame = sample_width * channels
    if frame <= 0 or size % frame:
        return f"{size} bytes are not a multiple of {frame}, the size of one sample in all channels"
    window = head[:HEAD_BYTES]
    media = _identify(window, is_behind_tags=False, is_whole=size <= len(window))
    if media is not None and media.family == "text" and not _text.is_utf8(window):
        media = None
    if media is None and tag_bytes(head):
        media = _mpeg.MP3
    return None if media is None else f"the bytes are {media.media_type}, not raw PCM"
