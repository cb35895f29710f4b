"""PNG, JPEG, GIF and WebP: their dimensions, the number of pictures in them, and that they end where they should.

Promises every PNG chunk by its checksum and, for all four, an end that is there with nothing behind it (cameras may
put padding or a further picture behind a JPEG). Nothing is decompressed: `pixels` counts what decoding would make.
"""

import re
import zlib
from collections.abc import Iterator

from msgspec import Struct

from pipeline.core.model import Media
from pipeline.media._examination import MAX_READ, Content, DamagedError, Examination, Window, catches_damage

PNG = Media(media_type="image/png", family="image", extension="png")
JPEG = Media(media_type="image/jpeg", family="image", extension="jpg")
GIF = Media(media_type="image/gif", family="image", extension="gif")
WEBP = Media(media_type="image/webp", family="image", extension="webp")

MAX_PARTS = 1_000_000
SUB_BLOCKS_BYTES = 8192
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SCAN_END = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.S)
_SIZE_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE_MARKERS = frozenset((0x01, *range(0xD0, 0xD8)))
_WEBP_STARTS = (b"VP8 ", b"VP8L", b"VP8X")


class _Canvas(Struct, frozen=True):
    width: int
    height: int
    frames: int = 1


def identify(head: bytes) -> Media | None:
    """By signature and the first structure behind it."""
    if head[:8] == PNG_SIGNATURE and head[8:16] == b"\0\0\0\rIHDR":
        return PNG
    if (
        head[:3] == b"\xff\xd8\xff"
        and len(head) > 5
        and (head[3] in range(0xC0, 0xFF))
        and head[3] not in range(0xD0, 0xDA)
    ):
        return JPEG
    if head[:6] in (b"GIF87a", b"GIF89a") and len(head) >= 13 and int.from_bytes(head[6:8], "little"):
        return GIF
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP" and head[12:16] in _WEBP_STARTS:
        return WEBP
    return None


def _found(content: Content, canvas: _Canvas) -> Examination:
    if not canvas.width or not canvas.height:
        raise DamagedError("a picture without width or height")
    return Examination(
        media=content.media,
        ok=True,
        pixels=canvas.width * canvas.height * max(1, canvas.frames),
        facts={"width": str(canvas.width), "height": str(canvas.height), "frames": str(canvas.frames)},
    )


@catches_damage
def examine_png(content: Content) -> Examination:
    window, at, frames, has_data = content.window, 8, 1, False
    header = window.exactly(16, 8, "the PNG header")
    for _ in range(MAX_PARTS):
        size, kind = _png_chunk(window, at)
        if kind == b"acTL":
            frames = int.from_bytes(window.exactly(at + 8, 4, "the animation header"))
        has_data = has_data or kind == b"IDAT"
        at += 12 + size
        if kind == b"IEND":
            break
    else:
        raise DamagedError(f"more than {MAX_PARTS} chunks")
    if not has_data:
        raise DamagedError("a PNG without picture data", code="input-empty")
    _check_end(window, at)
    return _found(content, _Canvas(int.from_bytes(header[:4]), int.from_bytes(header[4:]), frames))


def _png_chunk(window: Window, at: int) -> tuple[int, bytes]:
    head = window.exactly(at, 8, "a PNG chunk")
    size, crc = int.from_bytes(head[:4]), zlib.crc32(head[4:])
    if at + 12 + size > window.size:
        raise DamagedError(f"cut short: {at + 12 + size - window.size} bytes of its last chunk are missing")
    for offset in range(0, size, MAX_READ):
        crc = zlib.crc32(window.exactly(at + 8 + offset, min(MAX_READ, size - offset), "a PNG chunk"), crc)
    if crc != int.from_bytes(window.exactly(at + 8 + size, 4, "a PNG checksum")):
        raise DamagedError(f"the chunk at byte {at} does not match its checksum")
    return size, head[4:]


def _check_end(window: Window, at: int) -> None:
    if at < window.size:
        raise DamagedError(f"{window.size - at} bytes follow behind the end of the picture")


@catches_damage
def examine_jpeg(content: Content) -> Examination:
    window, at = content.window, 2
    canvas: _Canvas | None = None
    has_scan = False
    for _ in range(MAX_PARTS):
        marker, at = _jpeg_marker(window, at)
        if marker == 0xD9:
            break
        if marker in _BARE_MARKERS:
            continue
        size = int.from_bytes(window.exactly(at, 2, "a JPEG segment"))
        if marker in _SIZE_MARKERS and canvas is None:
            lines = window.exactly(at + 3, 4, "the JPEG frame header")
            canvas = _Canvas(int.from_bytes(lines[2:]), int.from_bytes(lines[:2]))
        has_scan = has_scan or marker == 0xDA
        at = _behind_scan(window, at + size) if marker == 0xDA else at + size
    else:
        raise DamagedError(f"more than {MAX_PARTS} segments")
    if canvas is None or not has_scan:
        raise DamagedError("a JPEG without picture data", code="input-empty")
    _check_jpeg_rest(window, at)
    return _found(content, canvas)


def _jpeg_marker(window: Window, at: int) -> tuple[int, int]:
    """The marker at `at`, behind any fill bytes, and where its segment begins."""
    head = window.read(at, 64)
    fill = len(head) - len(head.lstrip(b"\xff"))
    if fill == len(head):
        raise DamagedError("cut short: it has no end marker")
    if fill == 0 or head[fill] == 0:
        raise DamagedError(f"no JPEG marker where one should be, at byte {at}")
    return head[fill], at + fill + 1


def _behind_scan(window: Window, at: int) -> int:
    """The next marker behind compressed data, which hides its own FF bytes as FF 00."""
    while at < window.size:
        piece = window.read(at, MAX_READ)
        match = _SCAN_END.search(piece)
        if match:
            return at + match.start()
        at += max(1, len(piece) - 1)
    raise DamagedError("cut short: its compressed data does not end")


def _check_jpeg_rest(window: Window, at: int) -> None:
    rest = window.size - at
    head = window.read(at, MAX_READ)
    is_padding = rest <= MAX_READ and not head.strip(b"\0\xff")
    is_picture = head[:3] == b"\xff\xd8\xff" or head[4:8] == b"ftyp"
    if rest and not is_padding and not is_picture:
        raise DamagedError(f"{rest} bytes follow behind the end of the picture")


@catches_damage
def examine_gif(content: Content) -> Examination:
    window = content.window
    head = window.exactly(0, 13, "the GIF header")
    at = 13 + _gif_table_bytes(head[10])
    frames = 0
    for _ in range(MAX_PARTS):
        kind = window.exactly(at, 1, "a GIF block")[0]
        if kind == 0x3B:
            break
        if kind == 0x2C:
            frames += 1
            at += 11 + _gif_table_bytes(window.exactly(at + 9, 1, "a GIF frame")[0])
        elif kind == 0x21:
            at += 2
        else:
            raise DamagedError(f"no GIF block at byte {at}")
        at = _behind_sub_blocks(window, at)
    else:
        raise DamagedError(f"more than {MAX_PARTS} blocks")
    if not frames:
        raise DamagedError("a GIF without a picture", code="input-empty")
    _check_end(window, at + 1)
    return _found(content, _Canvas(int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little"), frames))


def _gif_table_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _behind_sub_blocks(window: Window, at: int) -> int:
    piece, base = b"", at
    while True:
        if at - base >= len(piece):
            piece, base = window.read(at, SUB_BLOCKS_BYTES), at
        if not piece:
            raise DamagedError("cut short: its last block does not end")
        length = piece[at - base]
        at += 1 + length
        if length == 0:
            return at


@catches_damage
def examine_webp(content: Content) -> Examination:
    window = content.window
    end = 8 + int.from_bytes(window.exactly(4, 4, "the RIFF header"), "little")
    if end > window.size:
        raise DamagedError(f"cut short: {end - window.size} bytes are missing of what the header says")
    _check_end(window, end + (end & 1))
    chunks = list(_webp_chunks(window, end))
    frames = sum(1 for kind, _ in chunks if kind == b"ANMF")
    pictures = [at for kind, at in chunks if kind in (b"VP8 ", b"VP8L")]
    if not frames and not pictures:
        raise DamagedError("a WebP without a picture", code="input-empty")
    kind, at = chunks[0]
    return _found(content, _webp_canvas(kind, window.exactly(at, 10, "the WebP header"), frames or 1))


def _webp_chunks(window: Window, end: int) -> Iterator[tuple[bytes, int]]:
    at = 12
    for _ in range(MAX_PARTS):
        if at >= end:
            return
        head = window.exactly(at, 8, "a WebP chunk")
        size = int.from_bytes(head[4:], "little")
        if at + 8 + size > end:
            raise DamagedError(f"the chunk at byte {at} is longer than the file says it is")
        yield head[:4], at + 8
        at += 8 + size + (size & 1)
    raise DamagedError(f"more than {MAX_PARTS} chunks")


def _webp_canvas(kind: bytes, body: bytes, frames: int) -> _Canvas:
    if kind == b"VP8X":
        return _Canvas(1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little"), frames)
    if kind == b"VP8L" and body[0] == 0x2F:
        packed = int.from_bytes(body[1:5], "little")
        return _Canvas(1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF), frames)
    if kind == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
        width, height = int.from_bytes(body[6:8], "little"), int.from_bytes(body[8:10], "little")
        return _Canvas(width & 0x3FFF, height & 0x3FFF, frames)
    raise DamagedError("a WebP whose picture has no known header")
