"""What video models take, where no catalogue says it: a dated snapshot of their lists.

Promises the same shape for the snapshot and a catalogue. A list that is None is not offered: its field is not sent, and
a job that sets it is refused. Durations are taken as listed and never snapped.
"""

from collections.abc import Mapping

from msgspec import Struct


class VideoModel(Struct, frozen=True, kw_only=True):
    """`frames` are the ends of a clip that a picture can fix. `audio` None: sound cannot be chosen."""

    durations: tuple[int, ...] | None = None
    resolutions: tuple[str, ...] | None = None
    aspect_ratios: tuple[str, ...] | None = None
    sizes: tuple[str, ...] | None = None
    frames: tuple[str, ...] | None = None
    audio: bool | None = None
    seed: bool = False


BOTH_ENDS = ("first_frame", "last_frame")
FIRST = ("first_frame",)
_WIDE = ("16:9", "9:16")
_SQUARE = (*_WIDE, "1:1")
_SIX = ("21:9", "16:9", "4:3", "1:1", "3:4", "9:16")
_FIVE = ("16:9", "4:3", "1:1", "3:4", "9:16")
_SEVEN = ("16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3")
_VEO_SIZES = ("1280x720", "720x1280", "1920x1080", "1080x1920", "3840x2160", "2160x3840")


def _span(first: int, last: int) -> tuple[int, ...]:
    return tuple(range(first, last + 1))


_KNOWN: Mapping[str, VideoModel] = {
    "google/veo-3.1-fast": VideoModel(
        durations=(4, 6, 8),
        resolutions=("720p", "1080p", "4K"),
        aspect_ratios=_WIDE,
        sizes=_VEO_SIZES,
        frames=BOTH_ENDS,
        audio=True,
        seed=True,
    ),
    "google/veo-3.1-lite": VideoModel(
        durations=(4, 6, 8), resolutions=("720p", "1080p"), aspect_ratios=_WIDE, frames=BOTH_ENDS, audio=True, seed=True
    ),
    "google/veo-3.1": VideoModel(
        durations=(4, 6, 8),
        resolutions=("720p", "1080p", "4K"),
        aspect_ratios=_WIDE,
        sizes=_VEO_SIZES,
        frames=BOTH_ENDS,
        audio=True,
        seed=True,
    ),
    "openai/sora-2-pro": VideoModel(
        durations=(4, 8, 12, 16, 20), resolutions=("720p", "1080p"), aspect_ratios=_WIDE, audio=True
    ),
    "kwaivgi/kling-v3.0-pro": VideoModel(
        durations=_span(3, 15), resolutions=("720p",), aspect_ratios=_SQUARE, frames=BOTH_ENDS, audio=True
    ),
    "kwaivgi/kling-v3.0-std": VideoModel(
        durations=_span(3, 15), resolutions=("720p",), aspect_ratios=_SQUARE, frames=BOTH_ENDS, audio=True
    ),
    "minimax/hailuo-3": VideoModel(
        durations=_span(5, 15), resolutions=("2K",), aspect_ratios=_SIX, frames=BOTH_ENDS, audio=True
    ),
    "bytedance/seedance-2.0-mini": VideoModel(
        durations=_span(4, 15),
        resolutions=("480p", "720p"),
        aspect_ratios=(*_SIX, "9:21"),
        frames=BOTH_ENDS,
        audio=True,
        seed=True,
    ),
    "alibaba/wan-3.0": VideoModel(
        durations=_span(2, 30),
        resolutions=("480p", "720p", "1080p"),
        aspect_ratios=_FIVE,
        frames=FIRST,
        audio=True,
        seed=True,
    ),
    "x-ai/grok-imagine-video": VideoModel(
        durations=_span(1, 15), resolutions=("480p", "720p"), aspect_ratios=_SEVEN, frames=FIRST
    ),
    "x-ai/grok-imagine-video-1.5": VideoModel(
        durations=_span(1, 15), resolutions=("480p", "720p", "1080p"), aspect_ratios=_SEVEN, frames=FIRST
    ),
    "runway/gen-4.5": VideoModel(
        durations=_span(2, 10), resolutions=("720p",), aspect_ratios=_WIDE, frames=FIRST, audio=False, seed=True
    ),
}


def known_video(model: str) -> VideoModel | None:
    return _KNOWN.get(model)
