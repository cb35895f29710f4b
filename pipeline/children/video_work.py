"""What the video stages are asked and what they answer, and the closed list of motions over stills. No av here."""

from msgspec import Struct

MOTIONS = ("zoom in", "zoom out", "pan left", "pan right", "pan up", "pan down", "hold")
CROSSFADE = "crossfade"
MIN_SECONDS, MAX_SECONDS = 1, 120
FPS = 25
MIN_SIDE, MAX_SIDE = 64, 3840
MADE_FROM = "stills"


class PosterParams(Struct, frozen=True, kw_only=True):
    demuxer: str
    target_type: str
    max_pixels: int | None = None


class PosterFacts(Struct, frozen=True, kw_only=True):
    """`seconds` from the packets of the pictures, read to the end."""

    width: int
    height: int
    seconds: float | None
    has_audio: bool


class StillsParams(Struct, frozen=True, kw_only=True):
    """`size` is width and height, or `short_side` with the proportions of `aspect` or else of the first still."""

    motion: str
    seconds: int
    media_types: tuple[str, ...]
    size: tuple[int, int] | None = None
    short_side: int = 720
    aspect: tuple[int, int] | None = None
    fps: int = FPS
    max_pixels: int | None = None


class StillsFacts(Struct, frozen=True, kw_only=True):
    """Counted in the finished file, read back."""

    width: int
    height: int
    frames: int
    seconds: float
