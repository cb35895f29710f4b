"""What the picture stages are asked and what they answer, and the language of retouch steps. No Pillow here.

A step is one line, `name argument ...`, and means exactly one thing: there is no step that asks for taste. Parsing is
whole and strict, on both sides of the process border, so what admission lets through the stage can carry out.
"""

import re
from collections.abc import Callable, Sequence
from typing import Literal

from msgspec import Struct

from pipeline.core.errors import InputError

MAX_PIXELS = 64_000_000  # of one decoded picture where nothing smaller is said: 256 MB, and a step needs two or three
MAX_FRAMES = 1_000
MAX_SIDE = 16_384
MAX_STEPS = 50
MAX_RADIUS = 200.0
MAX_TEXT_CHARS = 200
READABLE = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
WRITABLE = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp"}

Adjusted = Literal["brightness", "contrast", "saturation", "sharpness"]
Turned = Literal["flip", "mirror", "grayscale", "invert", "autocontrast", "sharpen"]
Where = Literal[
    "top-left", "top", "top-right", "left", "center", "right", "bottom-left", "bottom", "bottom-right"
]  # fmt: skip
PLACES: tuple[Where, ...] = (
    "top-left", "top", "top-right", "left", "center", "right", "bottom-left", "bottom", "bottom-right"
)  # fmt: skip
Colour = tuple[int, int, int, int]
_COLOURS: dict[str, Colour] = {
    "black": (0, 0, 0, 255),
    "white": (255, 255, 255, 255),
    "red": (255, 0, 0, 255),
    "green": (0, 128, 0, 255),
    "blue": (0, 0, 255, 255),
    "yellow": (255, 255, 0, 255),
    "gray": (128, 128, 128, 255),
    "transparent": (0, 0, 0, 0),
}
_SIZE = re.compile(r"(\d{1,5})?x(\d{1,5})?")
_CROP = re.compile(r"(\d{1,5})x(\d{1,5})(?:\+(\d{1,5})\+(\d{1,5}))?")
_NUMBER = re.compile(r"-?\d{1,5}(\.\d{1,4})?")
_HEX = re.compile(r"#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8})")


class Resize(Struct, frozen=True, kw_only=True, tag="resize"):
    """Exactly this wide and high; a side that is None follows from the other."""

    width: int | None
    height: int | None


class Scale(Struct, frozen=True, kw_only=True, tag="scale"):
    percent: float


class Fit(Struct, frozen=True, kw_only=True, tag="fit"):
    """As large as fits into the box, in its own proportions."""

    width: int
    height: int


class Cover(Struct, frozen=True, kw_only=True, tag="cover"):
    """Fills the box in its own proportions; what sticks out is cut off on both sides alike."""

    width: int
    height: int


class Crop(Struct, frozen=True, kw_only=True, tag="crop"):
    """A piece of the picture, from the middle where no corner is given."""

    width: int
    height: int
    left: int | None
    top: int | None


class Rotate(Struct, frozen=True, kw_only=True, tag="rotate"):
    """Clockwise. The picture grows to hold what was turned."""

    degrees: float


class Turn(Struct, frozen=True, kw_only=True, tag="turn"):
    """A step without arguments."""

    name: Turned


class Adjust(Struct, frozen=True, kw_only=True, tag="adjust"):
    """1 changes nothing."""

    name: Adjusted
    factor: float


class Blur(Struct, frozen=True, kw_only=True, tag="blur"):
    radius: float


class Border(Struct, frozen=True, kw_only=True, tag="border"):
    pixels: int
    colour: Colour


class Background(Struct, frozen=True, kw_only=True, tag="background"):
    """Behind whatever is transparent."""

    colour: Colour


class Overlay(Struct, frozen=True, kw_only=True, tag="overlay"):
    """The overlay picture on top, in its own size."""

    where: Where
    opacity: float


class Text(Struct, frozen=True, kw_only=True, tag="text"):
    """One line of text."""

    where: Where
    size: int
    colour: Colour
    words: str


Step = (
    Resize | Scale | Fit | Cover | Crop | Rotate | Turn | Adjust | Blur | Border | Background | Overlay | Text
)  # fmt: skip


class LookParams(Struct, frozen=True, kw_only=True):
    """`media_type` as recognised: the only format that may open the bytes."""

    media_type: str
    max_pixels: int | None = None


class SaveParams(Struct, frozen=True, kw_only=True):
    """A picture into another file; `target_type` None keeps the type."""

    media_type: str
    target_type: str | None = None
    max_pixels: int | None = None


class ThumbnailParams(Struct, frozen=True, kw_only=True):
    """A small picture for a page: `side` bounds its width and its height, `max_bytes` what it weighs."""

    media_type: str
    side: int
    max_bytes: int


class CompositeParams(Struct, frozen=True, kw_only=True):
    """Media types of original, edited and mask, in this order."""

    media_types: tuple[str, str, str]
    max_pixels: int | None = None


class RetouchParams(Struct, frozen=True, kw_only=True):
    media_type: str
    steps: tuple[str, ...]
    target_type: str
    overlay_type: str | None = None
    max_pixels: int | None = None


class LookFacts(Struct, frozen=True, kw_only=True):
    """Width and height as the picture is shown."""

    width: int
    height: int
    frames: int = 1
    has_alpha: bool = False
    is_turned: bool = False


class ThumbnailFacts(Struct, frozen=True, kw_only=True):
    """Width and height are those of the whole picture as it is shown; `webp` is small enough for a message."""

    width: int
    height: int
    webp: bytes


class SaveFacts(Struct, frozen=True, kw_only=True):
    """What was written. `is_scaled`: an edited picture had another size than its original."""

    width: int
    height: int
    is_scaled: bool = False


def target_type(media_type: str, wanted: str | None) -> str:
    """What a retouched picture is written as: what was asked, else its own type where that can be written."""
    if wanted is not None:
        return WRITABLE[wanted]
    return media_type if media_type in WRITABLE.values() else "image/png"


def parse_step(text: str) -> Step:
    """InputError with what is wrong; it never repeats what the step says."""
    name, _, rest = text.strip().partition(" ")
    maker = _MAKERS.get(name)
    if maker is None:
        raise _wrong("no step begins like this", f"steps are: {', '.join(_MAKERS)}")
    return maker(name, rest.split())


def parse_steps(steps: Sequence[str]) -> tuple[Step, ...]:
    """InputError names the first wrong step by its number."""
    if not 1 <= len(steps) <= MAX_STEPS:
        raise _wrong(f"{len(steps)} steps", f"give 1 to {MAX_STEPS}")
    found = []
    for number, text in enumerate(steps, start=1):
        try:
            found.append(parse_step(text))
        except InputError as error:
            raise _wrong(f"step {number}: {error.message}", error.hint) from error
    return tuple(found)


def needs_overlay(steps: Sequence[Step]) -> bool:
    return any(isinstance(step, Overlay) for step in steps)


def _wrong(message: str, hint: str) -> InputError:
    return InputError(message, code="job-invalid", hint=hint)


def _resize(name: str, words: list[str]) -> Step:
    if len(words) == 1 and words[0].endswith("%"):
        return Scale(percent=_number(words[0][:-1], 1, 1000, "resize 50%"))
    match = _SIZE.fullmatch(words[0]) if len(words) == 1 else None
    if match is None or not any(match.groups()):
        raise _wrong("resize needs a size", "write resize 800x600, resize 800x, resize x600 or resize 50%")
    width, height = (None if side is None else _side(side) for side in match.groups())
    return Resize(width=width, height=height)


def _box(name: str, words: list[str]) -> Step:
    match = _SIZE.fullmatch(words[0]) if len(words) == 1 else None
    if match is None or not all(match.groups()):
        raise _wrong(f"{name} needs a box", f"write {name} 800x600")
    kind = Fit if name == "fit" else Cover
    return kind(width=_side(match[1]), height=_side(match[2]))


def _crop(name: str, words: list[str]) -> Step:
    match = _CROP.fullmatch(words[0]) if len(words) == 1 else None
    if match is None:
        raise _wrong("crop needs a piece", "write crop 400x300+10+20 (width, height, left, top) or crop 400x300")
    left, top = (None if side is None else int(side) for side in match.groups()[2:])
    return Crop(width=_side(match[1]), height=_side(match[2]), left=left, top=top)


def _rotate(name: str, words: list[str]) -> Step:
    return Rotate(degrees=_only_number(words, -360, 360, "rotate 90"))


def _turn(name: str, words: list[str]) -> Step:
    if words:
        raise _wrong(f"{name} takes no argument", f"write {name}")
    return Turn(name=name)  # type: ignore[arg-type]  # the table lists exactly these names


def _adjust(name: str, words: list[str]) -> Step:
    factor = _only_number(words, 0, 10, f"{name} 1.2")
    return Adjust(name=name, factor=factor)  # type: ignore[arg-type]  # the table lists exactly these names


def _blur(name: str, words: list[str]) -> Step:
    return Blur(radius=_only_number(words, 0, MAX_RADIUS, "blur 3"))


def _border(name: str, words: list[str]) -> Step:
    if len(words) != 2:
        raise _wrong("border needs a width and a colour", "write border 10 white")
    return Border(pixels=_whole(words[0], 1, 2000, "border 10 white"), colour=_colour(words[1]))


def _background(name: str, words: list[str]) -> Step:
    if len(words) != 1:
        raise _wrong("background needs a colour", "write background white")
    return Background(colour=_colour(words[0]))


def _overlay(name: str, words: list[str]) -> Step:
    if not 1 <= len(words) <= 2:
        raise _wrong("overlay needs a place", "write overlay bottom-right or overlay center 0.5")
    opacity = _number(words[1], 0, 1, "overlay center 0.5") if len(words) == 2 else 1.0
    return Overlay(where=_where(words[0]), opacity=opacity)


def _text(name: str, words: list[str]) -> Step:
    if len(words) < 4:
        raise _wrong("text needs a place, a size, a colour and words", "write text bottom 40 white Good morning")
    line = " ".join(words[3:])
    if len(line) > MAX_TEXT_CHARS or not line.isprintable():
        raise _wrong("the text of a step is not one printable line", f"give it at most {MAX_TEXT_CHARS} characters")
    size = _whole(words[1], 4, 2000, "text bottom 40 white Good morning")
    return Text(where=_where(words[0]), size=size, colour=_colour(words[2]), words=line)


_MAKERS: dict[str, Callable[[str, list[str]], Step]] = {
    "resize": _resize,
    "fit": _box,
    "cover": _box,
    "crop": _crop,
    "rotate": _rotate,
    **dict.fromkeys(("flip", "mirror", "grayscale", "invert", "autocontrast", "sharpen"), _turn),
    **dict.fromkeys(("brightness", "contrast", "saturation", "sharpness"), _adjust),
    "blur": _blur,
    "border": _border,
    "background": _background,
    "overlay": _overlay,
    "text": _text,
}
STEP_NAMES = tuple(_MAKERS)


def _side(text: str) -> int:
    side = int(text)
    if not 1 <= side <= MAX_SIDE:
        raise _wrong(f"a side of {side} pixels", f"sides have 1 to {MAX_SIDE} pixels")
    return side


def _only_number(words: list[str], least: float, most: float, example: str) -> float:
    if len(words) != 1:
        raise _wrong("the step needs one number", f"write {example}")
    return _number(words[0], least, most, example)


def _number(text: str, least: float, most: float, example: str) -> float:
    if _NUMBER.fullmatch(text) is None or not least <= float(text) <= most:
        raise _wrong(f"a number from {least:g} to {most:g} is needed", f"write {example}")
    return float(text)


def _whole(text: str, least: int, most: int, example: str) -> int:
    number = _number(text, least, most, example)
    if not number.is_integer():
        raise _wrong(f"a whole number from {least} to {most} is needed", f"write {example}")
    return int(number)


def _where(text: str) -> Where:
    for place in PLACES:
        if text == place:
            return place
    raise _wrong("there is no such place", f"places are: {', '.join(PLACES)}")


def _colour(text: str) -> Colour:
    if text in _COLOURS:
        return _COLOURS[text]
    if _HEX.fullmatch(text) is None:
        raise _wrong("there is no such colour", f"write #rrggbb, #rrggbbaa or one of {', '.join(_COLOURS)}")
    digits = text[1:] if len(text) > 4 else "".join(digit * 2 for digit in text[1:])
    red, green, blue, alpha = bytes.fromhex(digits.ljust(8, "f"))
    return red, green, blue, alpha
