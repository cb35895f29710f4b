"""Work on pictures and videos asked of a media child. Typed specs go in, typed facts come out.

No Pillow and no av here, and no bytes: a caller builds a spec, sends it through `Lanes.run("media", spec)` and reads
the facts. The format that may open a file comes from the recognised Media.
"""

import msgspec

from pipeline.children.picture_work import (
    CompositeParams,
    LookFacts,
    LookParams,
    SaveFacts,
    SaveParams,
    ThumbnailFacts,
    ThumbnailParams,
)
from pipeline.children.stage import FileRef, StageLimits, StageResult, StageSpec, packed
from pipeline.children.video_work import PosterFacts, PosterParams
from pipeline.core.decoding import from_json
from pipeline.core.model import Media
from pipeline.media.av import demuxer_of

DEADLINE_S = 120.0
THUMBNAIL_DEADLINE_S = 5.0
MAX_WRITTEN_BYTES = 1_000_000_000


def look(ref: FileRef, media: Media, *, max_pixels: int | None) -> StageSpec:
    """Decode a picture whole and tell what it is."""
    params = LookParams(media_type=media.media_type, max_pixels=max_pixels)
    return StageSpec(stage="picture_stages:look", inputs=(ref,), params=packed(params), deadline_s=DEADLINE_S)


def thumbnail(ref: FileRef, media: Media, *, side: int, max_bytes: int) -> StageSpec:
    """A picture small enough to stand inside a page."""
    params = ThumbnailParams(media_type=media.media_type, side=side, max_bytes=max_bytes)
    return StageSpec(
        stage="picture_stages:thumbnail", inputs=(ref,), params=packed(params), deadline_s=THUMBNAIL_DEADLINE_S
    )


def save(ref: FileRef, media: Media, target: FileRef, *, media_type: str | None, max_pixels: int | None) -> StageSpec:
    """The same picture, upright, as `media_type` or in its own type."""
    params = SaveParams(media_type=media.media_type, target_type=media_type, max_pixels=max_pixels)
    return _writing("picture_stages:save", (ref,), target, params)


def composite(
    pictures: tuple[FileRef, FileRef, FileRef],
    media: tuple[Media, Media, Media],
    target: FileRef,
    *,
    max_pixels: int | None,
) -> StageSpec:
    """Original, edited, mask -> one PNG."""
    original, edited, mask = (item.media_type for item in media)
    params = CompositeParams(media_types=(original, edited, mask), max_pixels=max_pixels)
    return _writing("picture_stages:composite", pictures, target, params)


def poster(ref: FileRef, media: Media, target: FileRef, *, media_type: str, max_pixels: int | None) -> StageSpec:
    """The first picture of a video as a file of its own."""
    params = PosterParams(demuxer=demuxer_of(media), target_type=media_type, max_pixels=max_pixels)
    return _writing("video_stages:poster", (ref,), target, params)


def look_facts(result: StageResult) -> LookFacts:
    return from_json(result.facts, LookFacts)


def thumbnail_facts(result: StageResult) -> ThumbnailFacts:
    return from_json(result.facts, ThumbnailFacts)


def save_facts(result: StageResult) -> SaveFacts:
    return from_json(result.facts, SaveFacts)


def poster_facts(result: StageResult) -> PosterFacts:
    return from_json(result.facts, PosterFacts)


def _writing(stage: str, inputs: tuple[FileRef, ...], target: FileRef, params: msgspec.Struct) -> StageSpec:
    return StageSpec(
        stage=stage,
        inputs=inputs,
        output=target,
        params=packed(params),
        limits=StageLimits(max_output_bytes=MAX_WRITTEN_BYTES),
        deadline_s=DEADLINE_S,
    )
