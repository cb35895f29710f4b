"""The models that make films: what each lists, with the nulls of the real list, and its price by the rules for SKUs."""

from collections.abc import Mapping
from decimal import Decimal

from msgspec import Struct


class VideoModel(Struct, frozen=True, kw_only=True):
    """None is a null in the listing: not constrained, or not offered."""

    id: str
    skus: Mapping[str, str] | None
    durations: tuple[int, ...] | None = None
    resolutions: tuple[str, ...] | None = None
    aspects: tuple[str, ...] | None = None
    sizes: tuple[str, ...] | None = None
    frames: tuple[str, ...] | None = None
    has_audio: bool | None = None
    has_seed: bool | None = None
    passthrough: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ("text", "image")
    upscale: tuple[float, float] | None = None


class Clip(Struct, frozen=True, kw_only=True):
    """What a price depends on."""

    resolution: str
    seconds: int
    width: int
    height: int
    with_audio: bool
    images: int = 0
    references: int = 0


_WIDE, _BOTH = ("16:9", "9:16"), ("first_frame", "last_frame")
_SIX = ("16:9", "4:3", "1:1", "3:4", "9:16", "21:9")
_MODELS = (
    VideoModel(
        id="google/veo-3.1-fast",
        durations=(4, 6, 8),
        resolutions=("720p", "1080p", "4K"),
        aspects=_WIDE,
        sizes=("1280x720", "720x1280", "1920x1080", "1080x1920", "3840x2160", "2160x3840"),
        frames=_BOTH,
        has_audio=True,
        has_seed=True,
        passthrough=("personGeneration", "aspectRatio", "negativePrompt", "conditioningScale", "enhancePrompt"),
        skus={
            "duration_seconds_with_audio": "0.12",
            "duration_seconds_without_audio": "0.10",
            "duration_seconds_with_audio_720p": "0.10",
            "duration_seconds_without_audio_720p": "0.08",
            "duration_seconds_with_audio_4k": "0.30",
            "duration_seconds_without_audio_4k": "0.25",
        },
    ),
    VideoModel(
        id="x-ai/grok-imagine-video",
        durations=tuple(range(1, 16)),
        resolutions=("480p", "720p"),
        aspects=("16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3"),
        frames=("first_frame",),
        skus={
            "cents_per_video_output_second_480p": "5",
            "cents_per_video_output_second_720p": "7",
            "cents_per_image_input": "0.2",
        },
    ),
    VideoModel(
        id="bytedance/seedance-2.0-mini",
        durations=tuple(range(4, 16)),
        resolutions=("480p", "720p"),
        aspects=(*_SIX, "9:21"),
        frames=_BOTH,
        has_audio=True,
        has_seed=True,
        inputs=("text", "image", "audio", "video"),
        skus={"video_tokens": "0.0000035", "video_tokens_with_video_input": "0.0000021"},
    ),
    VideoModel(
        id="kwaivgi/kling-v3.0-std",
        durations=tuple(range(3, 16)),
        resolutions=("720p",),
        aspects=("16:9", "9:16", "1:1"),
        frames=_BOTH,
        has_audio=True,
        has_seed=False,
        skus={"duration_seconds": "0.084", "duration_seconds_with_audio": "0.126"},
    ),
    VideoModel(
        id="alibaba/wan-2.6",
        durations=(5, 10),
        resolutions=("720p", "1080p"),
        aspects=_WIDE,
        frames=("first_frame",),
        has_audio=True,
        has_seed=True,
        skus={
            "text_to_video_duration_seconds_720p": "0.08",
            "text_to_video_duration_seconds_1080p": "0.12",
            "image_to_video_duration_seconds_720p": "0.10",
            "image_to_video_duration_seconds_1080p": "0.15",
        },
    ),
    VideoModel(
        id="minimax/hailuo-3",
        durations=tuple(range(5, 16)),
        resolutions=("2K",),
        aspects=_SIX,
        frames=_BOTH,
        has_audio=True,
        has_seed=False,
        skus={"duration_seconds": "0.13", "reference_images": "0.04"},
    ),
    VideoModel(
        id="runway/aleph-2",
        aspects=("16:9", "9:16", "1:1"),
        has_audio=False,
        has_seed=True,
        inputs=("text", "video"),
        skus={"cents_per_second_output": "28", "minimum_cents_per_generation": "56"},
    ),
    VideoModel(id="black-forest-labs/flux-video-edit", has_audio=False, skus={"cents_per_frame_of_the_moon": "3"}),
    VideoModel(id="black-forest-labs/flux-video-upscale", upscale=(1.5, 3.0), inputs=("video",), skus=None),
)
VIDEOS = {model.id: model for model in _MODELS}


def price(model: VideoModel, clip: Clip) -> Decimal:
    """What the clip costs; a SKU that nobody knows costs a flat tenth here."""
    skus = {name: Decimal(value) for name, value in (model.skus or {}).items()}
    usd = _time(skus, clip) + skus.get("reference_images", Decimal(0)) * clip.references
    usd += skus.get("cents_per_image_input", Decimal(0)) * clip.images / 100
    return max(usd, skus.get("minimum_cents_per_generation", Decimal(0)) / 100)


def _time(skus: Mapping[str, Decimal], clip: Clip) -> Decimal:
    size, sound = clip.resolution.lower(), "with" if clip.with_audio else "without"
    way = "image" if clip.images else "text"
    per_second = (
        f"duration_seconds_{sound}_audio_{size}",
        f"duration_seconds_{sound}_audio",
        f"{way}_to_video_duration_seconds_{size}",
        f"duration_seconds_{size}",
        "duration_seconds",
    )
    in_cents = (
        f"cents_per_video_output_second_{size}",
        f"cents_per_second_output_{size}",
        "cents_per_second_output",
    )
    for name in per_second:
        if name in skus:
            return skus[name] * clip.seconds
    for name in in_cents:
        if name in skus:
            return skus[name] * clip.seconds / 100
    if "video_tokens" in skus:
        return skus["video_tokens"] * clip.width * clip.height * clip.seconds * 24 / 1024
    return Decimal("0.1")
