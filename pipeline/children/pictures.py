"""Pictures from untrusted bytes through Pillow: opened as one format, measured before a pixel is decoded, upright.

The only module that opens a picture. Promises: no other decoder than the recognised type's is tried; width, height and
frames are compared with their bounds before anything is loaded; what Pillow stumbles over is a damaged input.
"""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, ImageOps
from PIL.ImageFile import ImageFile

from pipeline.children import files
from pipeline.children.picture_work import MAX_FRAMES, MAX_PIXELS, LookFacts
from pipeline.children.stage import FileRef, Roots
from pipeline.core.errors import EngineError, InputError, LimitExceeded

FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP", "image/gif": "GIF"}
JPEG_QUALITY = 90
CAREFUL_JPEG_QUALITY = 95
THUMBNAIL_QUALITIES = (75, 50, 25, 5)
_ORIENTATION = 0x0112
_SIDEWAYS = frozenset({5, 6, 7, 8})
# Everything that Pillow is known to raise on a malformed file; it does not wrap what its parsers meet.
_STUMBLES = (OSError, SyntaxError, ValueError, LookupError, TypeError, ArithmeticError, EOFError, struct.error)

Image.MAX_IMAGE_PIXELS = None  # our own bound is kept before anything is loaded


@contextmanager
def opened(ref: FileRef, roots: Roots, media_type: str, max_pixels: int | None) -> Iterator[ImageFile]:
    """The picture with nothing decoded yet; LimitExceeded where decoding it would be too much."""
    if media_type not in FORMATS:
        raise InputError(f"{media_type} is no picture that is read here", code="input-type")
    with (
        files.source(ref, roots) as source,
        _damage(),
        Image.open(source, formats=(FORMATS[media_type],)) as picture,  # type: ignore[arg-type]  # it reads and seeks
    ):
        bound(picture.width, picture.height, frames_of(picture), max_pixels)
        yield picture


def bound(width: int, height: int, frames: int, max_pixels: int | None) -> None:
    allowed = min(max_pixels or MAX_PIXELS, MAX_PIXELS)
    if frames > MAX_FRAMES or width * height * frames > allowed:
        raise LimitExceeded(
            f"a picture of {width} x {height} pixels and {frames} frames, {allowed} pixels allowed", code="limit-pixels"
        )


def frames_of(picture: ImageFile) -> int:
    """A JPEG has one: what cameras put behind it is a thumbnail."""
    if picture.format in ("JPEG", "MPO"):
        return 1
    return int(getattr(picture, "n_frames", 1))


def upright(ref: FileRef, roots: Roots, media_type: str, max_pixels: int | None) -> Image.Image:
    """A still picture as it is shown, in RGB or RGBA; InputError for one that moves."""
    with opened(ref, roots, media_type, max_pixels) as picture:
        frames = frames_of(picture)
        if frames > 1:
            raise InputError(f"the picture moves: it has {frames} frames", code="input-type")
        picture.load()
        shown = ImageOps.exif_transpose(picture)
        made = shown.convert("RGBA" if has_alpha(shown) else "RGB")
        if picture.mode in ("RGB", "RGBA") and "icc_profile" in picture.info:
            made.info["icc_profile"] = picture.info["icc_profile"]
        return made


def look(picture: ImageFile) -> LookFacts:
    """Decode all of it, frame by frame."""
    frames = frames_of(picture)
    for number in range(frames):
        picture.seek(number)
        picture.load()
    picture.seek(0)
    width, height = shown_size(picture)
    orientation = picture.getexif().get(_ORIENTATION, 1)
    turned = isinstance(orientation, int) and 2 <= orientation <= 8
    return LookFacts(width=width, height=height, frames=frames, has_alpha=has_alpha(picture), is_turned=turned)


def thumbnail(picture: ImageFile, side: int) -> Image.Image:
    """The first frame as it is shown, within `side`; a JPEG is decoded no larger than it has to be."""
    picture.draft("RGB", (2 * side, 2 * side))
    picture.load()
    shown = ImageOps.exif_transpose(picture)
    small = shown.convert("RGBA" if has_alpha(shown) else "RGB")
    small.thumbnail((side, side))
    return small


def shown_size(picture: ImageFile) -> tuple[int, int]:
    """Width and height as it is shown; nothing is decoded for it."""
    width, height = picture.size
    return (height, width) if picture.getexif().get(_ORIENTATION, 1) in _SIDEWAYS else (width, height)


def webp_within(picture: Image.Image, max_bytes: int) -> bytes:
    """As good as the bound allows; LimitExceeded where nothing is small enough."""
    for quality in THUMBNAIL_QUALITIES:
        made = io.BytesIO()
        picture.save(made, "WEBP", quality=quality)
        if made.tell() <= max_bytes:
            return made.getvalue()
    raise LimitExceeded(f"a small picture has more than {max_bytes} bytes", code="limit-bytes")


def has_alpha(picture: Image.Image) -> bool:
    return picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info


def flattened(picture: Image.Image, colour: tuple[int, int, int, int] = (255, 255, 255, 255)) -> Image.Image:
    """Without transparency, over a colour."""
    if picture.mode != "RGBA":
        return picture
    return Image.alpha_composite(Image.new("RGBA", picture.size, colour), picture)


def save(
    picture: Image.Image, ref: FileRef | None, roots: Roots, media_type: str, max_bytes: int | None, *, exact: bool
) -> None:
    """Write it. `exact`: as few pixels as the format allows are changed. Only its colour profile goes with it."""
    if ref is None or media_type not in ("image/png", "image/jpeg", "image/webp"):
        raise EngineError(f"{media_type!r} is nothing that this stage writes")
    extra = {"icc_profile": picture.info["icc_profile"]} if "icc_profile" in picture.info else {}
    with files.sink(ref, roots, max_bytes) as sink:
        match media_type:
            case "image/jpeg":
                quality = CAREFUL_JPEG_QUALITY if exact else JPEG_QUALITY
                plain = flattened(picture).convert("RGB")
                plain.save(sink, "JPEG", quality=quality, subsampling=0 if exact else 2, **extra)  # type: ignore[arg-type]
            case "image/webp":
                picture.save(sink, "WEBP", lossless=exact, quality=JPEG_QUALITY, **extra)  # type: ignore[arg-type]
            case _:
                picture.save(sink, "PNG", **extra)  # type: ignore[arg-type]  # a sink writes, seeks and tells


@contextmanager
def _damage() -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata; the pixels decide
            yield
    except (*_STUMBLES, zlib.error, Image.DecompressionBombError) as error:
        raise InputError(f"the picture cannot be decoded: {type(error).__name__}", code="input-damaged") from error
