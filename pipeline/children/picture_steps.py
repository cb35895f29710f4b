"""The retouch steps on a picture in memory: each takes one and gives another, exactly, with nothing invented.

Sizes are bounded before a step makes them. Text is drawn with the font inside Pillow; a character that it does not
have is refused, never drawn as a box.
"""

import math
from typing import assert_never

from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

from pipeline.children import pictures
from pipeline.children.picture_work import (
    Adjust,
    Background,
    Blur,
    Border,
    Colour,
    Cover,
    Crop,
    Fit,
    Overlay,
    Resize,
    Rotate,
    Scale,
    Step,
    Text,
    Turn,
    Where,
)
from pipeline.core.errors import InputError

MARGIN_SHARE = 0.03
QUARTERS = {
    90: Image.Transpose.ROTATE_270,  # Pillow counts the other way round
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_90,
}
_ENHANCERS: dict[str, type[ImageEnhance.Brightness | ImageEnhance.Contrast | ImageEnhance.Color]] = {
    "brightness": ImageEnhance.Brightness,
    "contrast": ImageEnhance.Contrast,
    "saturation": ImageEnhance.Color,
}
_NO_SUCH_CHARACTER = "\uffff"


def applied(picture: Image.Image, step: Step, overlay: Image.Image | None, max_pixels: int | None) -> Image.Image:
    """The picture after one step, in RGB or RGBA."""
    match step:
        case Resize() | Scale() | Fit() | Cover() | Crop() | Rotate() | Border():
            return _shaped(picture, step, max_pixels)
        case Turn():
            return _turned(picture, step)
        case Adjust():
            return _adjusted(picture, step)
        case Blur():
            return picture.filter(ImageFilter.GaussianBlur(step.radius))
        case Background():
            return pictures.flattened(picture, step.colour)
        case Overlay():
            return _overlaid(picture, step, overlay)
        case Text():
            return _written(picture, step)
        case _:
            assert_never(step)


def _shaped(
    picture: Image.Image, step: Resize | Scale | Fit | Cover | Crop | Rotate | Border, max_pixels: int | None
) -> Image.Image:
    match step:
        case Crop():
            return _cropped(picture, step)
        case Rotate():
            return _rotated(picture, step, max_pixels)
        case Border():
            pictures.bound(picture.width + 2 * step.pixels, picture.height + 2 * step.pixels, 1, max_pixels)
            return ImageOps.expand(picture, step.pixels, _fitting(step.colour, picture))
        case Cover():
            pictures.bound(step.width, step.height, 1, max_pixels)
            return ImageOps.fit(picture, (step.width, step.height), Image.Resampling.LANCZOS)
        case _:
            size = _size(picture, step)
            pictures.bound(*size, 1, max_pixels)
            return picture.resize(size, Image.Resampling.LANCZOS)


def _size(picture: Image.Image, step: Resize | Scale | Fit) -> tuple[int, int]:
    width, height = picture.size
    match step:
        case Scale():
            share = step.percent / 100
            return max(1, round(width * share)), max(1, round(height * share))
        case Fit():
            share = min(step.width / width, step.height / height)
            return max(1, round(width * share)), max(1, round(height * share))
        case _:
            wide = step.width or max(1, round(width * (step.height or height) / height))
            high = step.height or max(1, round(height * wide / width))
            return wide, high


def _cropped(picture: Image.Image, step: Crop) -> Image.Image:
    left = (picture.width - step.width) // 2 if step.left is None else step.left
    top = (picture.height - step.height) // 2 if step.top is None else step.top
    if left < 0 or top < 0 or left + step.width > picture.width or top + step.height > picture.height:
        size = f"{picture.width}x{picture.height}"
        raise InputError(f"the crop reaches beyond the picture of {size}", code="input-type")
    return picture.crop((left, top, left + step.width, top + step.height))


def _rotated(picture: Image.Image, step: Rotate, max_pixels: int | None) -> Image.Image:
    """Quarters are exact; anything else is drawn anew, with white or nothing in the corners."""
    degrees = step.degrees % 360
    if degrees == 0:
        return picture
    if degrees in QUARTERS:
        return picture.transpose(QUARTERS[int(degrees)])
    angle = math.radians(degrees)
    wide = abs(picture.width * math.cos(angle)) + abs(picture.height * math.sin(angle))
    high = abs(picture.width * math.sin(angle)) + abs(picture.height * math.cos(angle))
    pictures.bound(math.ceil(wide), math.ceil(high), 1, max_pixels)
    empty = (0, 0, 0, 0) if picture.mode == "RGBA" else (255, 255, 255)
    return picture.rotate(-degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=empty)


def _turned(picture: Image.Image, step: Turn) -> Image.Image:
    match step.name:
        case "flip":
            return ImageOps.flip(picture)
        case "mirror":
            return ImageOps.mirror(picture)
        case "sharpen":
            return picture.filter(ImageFilter.UnsharpMask())
        case "grayscale":
            return _with_alpha(ImageOps.grayscale(picture).convert("RGB"), picture)
        case "invert":
            return _with_alpha(ImageChops.invert(picture.convert("RGB")), picture)
        case "autocontrast":
            return _with_alpha(ImageOps.autocontrast(picture.convert("RGB")), picture)
        case _:
            assert_never(step.name)


def _adjusted(picture: Image.Image, step: Adjust) -> Image.Image:
    colours = picture.convert("RGB")
    made = (
        ImageEnhance.Sharpness(colours).enhance(step.factor)
        if step.name == "sharpness"
        else _ENHANCERS[step.name](colours).enhance(step.factor)
    )
    return _with_alpha(made, picture)


def _with_alpha(made: Image.Image, picture: Image.Image) -> Image.Image:
    if picture.mode == "RGBA":
        made.putalpha(picture.getchannel("A"))
    return made


def _overlaid(picture: Image.Image, step: Overlay, overlay: Image.Image | None) -> Image.Image:
    if overlay is None:
        raise InputError("there is no picture to lay over it", code="input-missing")
    top = overlay.convert("RGBA")
    if top.width > picture.width or top.height > picture.height:
        raise InputError("the overlay is larger than the picture", code="input-type")
    top.putalpha(top.getchannel("A").point(lambda value: value * step.opacity))
    layer = Image.new("RGBA", picture.size)
    layer.paste(top, _corner(picture, top.size, step.where, 0))
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert(picture.mode)


def _written(picture: Image.Image, step: Text) -> Image.Image:
    font = ImageFont.load_default(step.size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise InputError("this Pillow cannot draw text of any size", code="text-unsupported")
    _refuse_missing(font, step.words)
    left, top, right, bottom = font.getbbox(step.words)
    size = math.ceil(right - left), math.ceil(bottom - top)
    margin = round(min(picture.size) * MARGIN_SHARE)
    if size[0] + 2 * margin > picture.width or size[1] + 2 * margin > picture.height:
        raise InputError("the text of a step is larger than the picture", code="text-unsupported")
    x, y = _corner(picture, size, step.where, margin)
    layer = Image.new("RGBA", picture.size)
    ImageDraw.Draw(layer).text((x - left, y - top), step.words, font=font, fill=step.colour)
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert(picture.mode)


def _refuse_missing(font: ImageFont.FreeTypeFont, words: str) -> None:
    unknown = bytes(font.getmask(_NO_SUCH_CHARACTER))
    missing = sum(bytes(font.getmask(char)) == unknown for char in set(words) if not char.isspace())
    if missing:
        raise InputError(f"{missing} characters are not in the built-in font", code="text-unsupported")


def _corner(picture: Image.Image, size: tuple[int, int], where: Where, margin: int) -> tuple[int, int]:
    """The top left corner of a box of that size at that place."""
    lefts = {"left": margin, "right": picture.width - size[0] - margin}
    tops = {"top": margin, "bottom": picture.height - size[1] - margin}
    words = where.split("-")
    left = next((lefts[word] for word in words if word in lefts), (picture.width - size[0]) // 2)
    top = next((tops[word] for word in words if word in tops), (picture.height - size[1]) // 2)
    return left, top


def _fitting(colour: Colour, picture: Image.Image) -> tuple[int, ...]:
    return colour if picture.mode == "RGBA" else colour[:3]
