"""Self-made pictures in every format and size: a gradient with STAND-IN written across it. Reads the sizes of uploads.

Nothing is painted from a prompt; the words in the picture say so.
"""

import io
import struct
import zlib
from fractions import Fraction
from functools import lru_cache
from typing import cast

import av
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp", "svg": "image/svg+xml"}
LABEL = "STAND-IN"
COMMENT = b"Comment\0made by the stand-in server"
_LETTERS = {
    "S": ("01111", "10000", "10000", "01110", "00001", "00001", "11110"),
    "T": ("11111", "00100", "00100", "00100", "00100", "00100", "00100"),
    "A": ("01110", "10001", "10001", "11111", "10001", "10001", "10001"),
    "N": ("10001", "11001", "10101", "10101", "10011", "10001", "10001"),
    "D": ("11110", "10001", "10001", "10001", "10001", "10001", "11110"),
    "-": ("00000", "00000", "00000", "11111", "00000", "00000", "00000"),
    "I": ("01110", "00100", "00100", "00100", "00100", "00100", "01110"),
}


def drawn(width: int, height: int, shade: int = 0) -> Pixels:
    """RGB rows. `shade` makes one picture differ from the next."""
    across = np.linspace(40, 200, width, dtype=np.uint8)[None, :]
    down = np.linspace(200, 60, height, dtype=np.uint8)[:, None]
    blue = np.full((height, width), shade * 47 % 200 + 40, dtype=np.uint8)
    pixels = np.stack([np.broadcast_to(across, (height, width)), np.broadcast_to(down, (height, width)), blue], axis=2)
    mask = _label()
    scale = max(1, min(width // (mask.shape[1] + 4), height // (mask.shape[0] + 4)))
    mask = np.kron(mask, np.ones((scale, scale), dtype=np.uint8))[:height, :width]
    top, left = (height - mask.shape[0]) // 2, (width - mask.shape[1]) // 2
    pixels[top : top + mask.shape[0], left : left + mask.shape[1]][mask == 1] = 255
    return pixels


def _label() -> Pixels:
    rows = ["0".join(_LETTERS[letter][row] for letter in LABEL) for row in range(7)]
    return np.array([[int(bit) for bit in row] for row in rows], dtype=np.uint8)


@lru_cache(maxsize=64)
def picture(kind: str, width: int, height: int, shade: int = 0, *, is_clear: bool = False) -> bytes:
    """A whole file of a format. `is_clear` gives it a transparent corner, where the format can."""
    match kind:
        case "png":
            return _png(drawn(width, height, shade), is_clear=is_clear)
        case "svg":
            return _svg(width, height)
        case _:
            return _encoded(kind, drawn(width, height, shade))


def png_size(body: bytes) -> tuple[int, int] | None:
    """Width and height in the header of a PNG."""
    if not body.startswith(b"\x89PNG\r\n\x1a\n") or len(body) < 24:
        return None
    width, height = struct.unpack(">II", body[16:24])
    return width, height


def size_of(body: bytes) -> tuple[int, int] | None:
    """Width and height of any picture that decodes; None for anything else."""
    if not body.startswith((b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"GIF8")):
        return None
    muxer = {b"\x89P": "png_pipe", b"\xff\xd8": "jpeg_pipe", b"RI": "webp_pipe", b"GI": "gif"}[body[:2]]
    try:
        with av.open(io.BytesIO(body), "r", format=muxer) as source:
            frame = next(source.decode(video=0))
            return frame.width, frame.height
    except (av.FFmpegError, StopIteration, IndexError):
        return None


def bomb(side: int = 30_000) -> bytes:
    """A PNG of a hundred kilobytes that would fill gigabytes once it is decoded."""
    packer = zlib.compressobj(9)
    row = bytes(1 + 3 * side)
    packed = b"".join(packer.compress(row) for _ in range(side // 30)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return _png_file(_chunk(b"IHDR", head), _chunk(b"IDAT", packed))


def _png(pixels: Pixels, *, is_clear: bool) -> bytes:
    height, width, _ = pixels.shape
    kind = 6 if is_clear else 2
    if is_clear:
        alpha = np.full((height, width, 1), 255, dtype=np.uint8)
        alpha[: height // 8, : width // 8] = 0
        pixels = np.concatenate([pixels, alpha], axis=2)
    rows = np.concatenate([np.zeros((height, 1), dtype=np.uint8), pixels.reshape(height, -1)], axis=1)
    head = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    body = _chunk(b"IDAT", zlib.compress(rows.tobytes(), 1))
    return _png_file(_chunk(b"IHDR", head), _chunk(b"tEXt", COMMENT), body)


def _png_file(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + _chunk(b"IEND", b"")


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _encoded(kind: str, pixels: Pixels) -> bytes:
    muxer, codec, form = {"jpeg": ("image2pipe", "mjpeg", "yuvj420p"), "webp": ("webp", "libwebp", "yuv420p")}[kind]
    target = io.BytesIO()
    with av.open(target, "w", format=muxer) as output:
        stream = cast("av.VideoStream", output.add_stream(codec, rate=Fraction(1)))  # both codecs are of pictures
        stream.height, stream.width, stream.pix_fmt = pixels.shape[0], pixels.shape[1], form
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=form)
        frame.pts, frame.time_base = 0, Fraction(1, 1)
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return target.getvalue()


def _svg(width: int, height: int) -> bytes:
    text = f'<text x="10" y="{height // 2}" font-size="{height // 8}">{LABEL}</text>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">{text}</svg>\n'.encode()
