"""Text that stands where media might: plain, HTML, JSON, WebVTT, SubRip and playlists.

Promises UTF-8 (or UTF-16 with its mark) down to the last byte, and whole JSON where the file is small enough to look.
Cut plain text, subtitles and playlists cannot be told from whole ones. A playlist is text, whatever its name says.
"""

import codecs
import json
import re

from msgspec import Struct

from pipeline.core.model import Media
from pipeline.media._examination import MAX_READ, Content, DamagedError, Examination, Window, catches_damage

PLAIN = Media(media_type="text/plain", family="text", extension="txt")
HTML = Media(media_type="text/html", family="text", extension="html")
JSON = Media(media_type="application/json", family="text", extension="json")
VTT = Media(media_type="text/vtt", family="text", extension="vtt")
SRT = Media(media_type="application/x-subrip", family="text", extension="srt")
PLAYLIST = Media(media_type="application/vnd.apple.mpegurl", family="text", extension="m3u8")

MAX_JSON_BYTES = 4 * MAX_READ
"""Parsed JSON may take twenty times its size; of anything longer only the end is looked at."""
_BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_PREAMBLE = r"(?:<\?xml[^>]{0,200}>|<!--(?:(?!-->).){0,1500}-->|\s)*"
_HTML = re.compile(_PREAMBLE + r"<(?:!doctype\s+html|html|head|body|script|title)\b", re.I | re.S)
_XML = re.compile(r"\s*<(?:\?xml|svg|rss|!doctype|smil|mpd)\b", re.I)
_SRT = re.compile(r"\s*\d{1,9}[ \t]*\r?\n\d{1,3}:\d\d:\d\d[,.]\d{1,3}[ \t]*-->")
_VTT = re.compile(r"WEBVTT(?:[ \t\r\n]|\Z)")
_JSON_START = re.compile(r'\s*(?:\{\s*(?:"|\}|\Z)|\[\s*(?:[{\["\]]|-?\d|true|false|null|\Z))')
_CUT_TOKEN = re.compile(r"-|[.eE][+-]?|t|tr|tru|f|fa|fal|fals|n|nu|nul|u[0-9a-fA-F]{0,4}")


class _Encoding(Struct, frozen=True):
    name: str
    mark_bytes: int


def identify(head: bytes, *, is_whole: bool = False) -> Media | None:
    """Text by its head: no control characters, and what its first characters announce. Any 8-bit text is recognised;
    that it must be UTF-8 is said by `examine`, with the place.
    """
    is_text = _encoding(head).name != "utf-8" or not _CONTROL.search(head)
    start = _start(head, is_whole=is_whole) if is_text else None
    if start is None or _XML.match(start):
        return HTML if start is not None and _HTML.match(start) else None
    return _announced(start, is_whole=is_whole)


def identify_words(head: bytes, *, is_whole: bool = False) -> Media | None:
    """As `identify`, of what came as characters, such as the words of a model: any markup is a text then, and any
    character but NUL, wherever it stands.
    """
    start = None if b"\0" in head else _start(head, is_whole=is_whole)
    return None if start is None else _announced(start, is_whole=is_whole)


def _start(head: bytes, *, is_whole: bool) -> str | None:
    encoding = _encoding(head)
    return _decode_start(head[encoding.mark_bytes :], encoding, is_whole=is_whole) if head else None


def _announced(start: str, *, is_whole: bool) -> Media:
    if _HTML.match(start):
        return HTML
    if start.startswith("#EXTM3U"):
        return PLAYLIST
    if _VTT.match(start):
        return VTT
    if _SRT.match(start):
        return SRT
    if _JSON_START.match(start) and not (is_whole and _json_fault(start) == "not JSON"):
        return JSON
    return PLAIN


def _encoding(head: bytes) -> _Encoding:
    if head[:3] == codecs.BOM_UTF8:
        return _Encoding("utf-8", 3)
    name = _BYTE_ORDER_MARKS.get(head[:2])
    return _Encoding(name, 2) if name else _Encoding("utf-8", 0)


def _decode_start(body: bytes, encoding: _Encoding, *, is_whole: bool) -> str | None:
    """The head as text, None where it is none. UTF-16 must decode; other bytes above ASCII stand for some character."""
    if encoding.name == "utf-8":
        return body.decode("utf-8", "replace")
    try:
        start = codecs.getincrementaldecoder(encoding.name)().decode(body, is_whole)
    except UnicodeDecodeError:
        return None
    return None if "\0" in start else start


def is_utf8(head: bytes) -> bool:
    """Is this UTF-8, but for a character that the end of the head may have cut?"""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True


@catches_damage
def examine(content: Content) -> Examination:
    window = content.window
    encoding = _encoding(window.read(0, 4))
    characters = _check_encoding(window, encoding)
    media = content.media
    if media == JSON:
        media = _checked_json(window, encoding)
    return Examination(media=media, ok=True, facts={"encoding": encoding.name, "characters": str(characters)})


def _check_encoding(window: Window, encoding: _Encoding) -> int:
    """Decode all of it, piece by piece, and count the characters."""
    decoder = codecs.getincrementaldecoder(encoding.name)()
    at, characters = encoding.mark_bytes, 0
    while at < window.size:
        piece = window.read(at, MAX_READ)
        pending = len(decoder.getstate()[0])
        try:
            text = decoder.decode(piece, at + len(piece) >= window.size)
        except UnicodeDecodeError as error:
            place = at - pending + error.start
            raise DamagedError(f"the byte at {place} is not {encoding.name.upper()}") from None
        if "\0" in text:
            raise DamagedError("a NUL character in what looked like text", code="input-type")
        if not piece:
            raise DamagedError(f"cut short: {window.size - at} bytes are missing")
        characters += len(text)
        at += len(piece)
    return characters


def _checked_json(window: Window, encoding: _Encoding) -> Media:
    """JSON if it is whole, plain text if it only looked like JSON; DamagedError where it stops too early."""
    if window.size > MAX_JSON_BYTES:
        if window.read(window.size - 64, 64).rstrip(b" \t\r\n\0")[-1:] not in (b"}", b"]"):
            raise DamagedError("cut short: the JSON in it does not end")
        return JSON
    pieces = [window.read(at, MAX_READ) for at in range(encoding.mark_bytes, window.size, MAX_READ)]
    text = b"".join(pieces).decode(encoding.name)
    fault = _json_fault(text)
    if fault == "cut":
        raise DamagedError("cut short: the JSON in it does not end")
    return JSON if fault is None else PLAIN


def _json_fault(text: str) -> str | None:
    """None for whole JSON, "cut" where only its end is missing, "not JSON" for anything else."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        rest = text[error.pos :].strip()
        is_at_end = not rest or error.msg.startswith("Unterminated string") or _CUT_TOKEN.fullmatch(rest)
        return "cut" if is_at_end else "not JSON"
    except (RecursionError, ValueError):
        # Too deep, or a number with thousands of digits: not for us to judge here.
        return None
    return None
