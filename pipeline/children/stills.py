"""Stills in motion: which part of one or two pictures is seen at each instant. Deterministic, one frame at a time.

Owns proportions, easing and the motions of the closed list. Nothing is invented: every pixel is one of the stills',
scaled, or a mixture of the two.
"""

from collections.abc import Iterator, Sequence

from msgspec import Struct
from PIL import Image, ImageOps

from pipeline.children import pictures
from pipeline.children.video_work import CROSSFADE, MAX_SIDE, MIN_SIDE, MOTIONS, StillsParams
from pipeline.core.errors import InputError

ZOOM = 1.2
DETAIL = 2  # how much larger than the film a still is kept, so that zooming has something to show
_DIRECTIONS = {"pan left": (-1, 0), "pan right": (1, 0), "pan up": (0, -1), "pan down": (0, 1)}


class Film(Struct, frozen=True, kw_only=True):
    """A film of stills before it is encoded."""

    stills: tuple[Image.Image, ...]
    motion: str
    size: tuple[int, int]
    frames: int
    fps: int

    def pictures(self) -> Iterator[Image.Image]:
        for number in range(self.frames):
            yield self._at(eased(number / max(1, self.frames - 1)))

    def _at(self, progress: float) -> Image.Image:
        if self.motion == CROSSFADE:
            return Image.blend(self.stills[0], self.stills[1], progress)
        box = _window(self.stills[0].size, self.motion, progress)
        return self.stills[0].resize(self.size, Image.Resampling.BICUBIC, box=box)


def film(stills: Sequence[Image.Image], params: StillsParams) -> Film:
    """InputError for a motion that these stills do not allow."""
    _check(params.motion, len(stills))
    size = film_size(stills[0].size, params)
    pictures.bound(*size, 1, params.max_pixels)
    detail = 1 if params.motion == CROSSFADE else DETAIL
    canvas = size[0] * detail, size[1] * detail
    kept = tuple(ImageOps.fit(still, canvas, Image.Resampling.LANCZOS) for still in stills)
    return Film(stills=kept, motion=params.motion, size=size, frames=params.seconds * params.fps, fps=params.fps)


def film_size(still: tuple[int, int], params: StillsParams) -> tuple[int, int]:
    """Even sides, as H.264 wants them; never larger than allowed."""
    ratio = params.size or params.aspect or still
    scale = 1.0 if params.size is not None else params.short_side / min(ratio)
    wide, high = ratio[0] * scale, ratio[1] * scale
    shrink = min(1.0, MAX_SIDE / max(wide, high))
    return _even(wide * shrink), _even(high * shrink)


def eased(progress: float) -> float:
    """Slow at both ends."""
    return progress * progress * (3 - 2 * progress)


def _check(motion: str, stills: int) -> None:
    if motion != CROSSFADE and motion not in MOTIONS:
        raise InputError("there is no such motion", code="input-type")
    if (motion == CROSSFADE) != (stills == 2):
        raise InputError("a crossfade needs two stills, and nothing else does", code="input-type")


def _even(side: float) -> int:
    return max(MIN_SIDE, round(side / 2) * 2)


def _window(size: tuple[int, int], motion: str, progress: float) -> tuple[float, float, float, float]:
    """The part of the still that is seen."""
    width, height = size
    zoom = {"hold": 1.0, "zoom in": 1 + (ZOOM - 1) * progress, "zoom out": ZOOM - (ZOOM - 1) * progress}.get(
        motion, ZOOM
    )
    wide, high = width / zoom, height / zoom
    across, down = _DIRECTIONS.get(motion, (0, 0))
    left = (width - wide) * _position(across, progress)
    top = (height - high) * _position(down, progress)
    return left, top, left + wide, top + high


def _position(direction: int, progress: float) -> float:
    """0 is the near edge, 1 the far one; a motion that does not go this way stays in the middle."""
    if direction == 0:
        return 0.5
    return progress if direction > 0 else 1 - progress
