"""The picture stages: look at one, turn it upright, write it in another format, composite, retouch.

Run in the media lane, whose address space is bounded. What comes out holds pixels and a colour profile, and nothing of
what a camera wrote beside them.
"""

from PIL import Image

from pipeline.children import pictures
from pipeline.children.picture_steps import applied
from pipeline.children.picture_work import (
    CompositeParams,
    LookParams,
    RetouchParams,
    SaveFacts,
    SaveParams,
    ThumbnailFacts,
    ThumbnailParams,
    parse_steps,
)
from pipeline.children.stage import Roots, StageResult, StageSpec, packed
from pipeline.core.decoding import from_json
from pipeline.core.errors import InputError


def look(spec: StageSpec, roots: Roots) -> StageResult:
    """LookFacts of one input, decoded whole."""
    params = from_json(spec.params, LookParams)
    with pictures.opened(spec.inputs[0], roots, params.media_type, params.max_pixels) as picture:
        return StageResult(facts=packed(pictures.look(picture)))


def save(spec: StageSpec, roots: Roots) -> StageResult:
    """The input upright, in the target's type, as near to its pixels as that type allows."""
    params = from_json(spec.params, SaveParams)
    picture = pictures.upright(spec.inputs[0], roots, params.media_type, params.max_pixels)
    media_type = params.target_type or params.media_type
    return _written(picture, spec, roots, media_type, exact=True)


def thumbnail(spec: StageSpec, roots: Roots) -> StageResult:
    """ThumbnailFacts of one input: small enough to go in a message, so nothing is written."""
    params = from_json(spec.params, ThumbnailParams)
    with pictures.opened(spec.inputs[0], roots, params.media_type, None) as picture:
        width, height = pictures.shown_size(picture)
        small = pictures.thumbnail(picture, params.side)
    webp = pictures.webp_within(small, params.max_bytes)
    return StageResult(facts=packed(ThumbnailFacts(width=width, height=height, webp=webp)))


def composite(spec: StageSpec, roots: Roots) -> StageResult:
    """Original, edited and mask as one PNG: the original's own pixels wherever the mask is opaque."""
    params = from_json(spec.params, CompositeParams)
    original, edited, mask = (
        pictures.upright(ref, roots, media_type, params.max_pixels)
        for ref, media_type in zip(spec.inputs, params.media_types, strict=True)
    )
    if mask.mode != "RGBA":
        raise InputError("the mask has no transparent part, so it marks nothing to change", code="input-type")
    if mask.size != original.size:
        raise InputError("the mask has another size than its picture", code="input-type")
    is_scaled = edited.size != original.size
    if is_scaled:
        edited = edited.resize(original.size, Image.Resampling.LANCZOS)
    made = Image.composite(original, edited.convert(original.mode), mask.getchannel("A"))
    made.info = dict(original.info)
    return _written(made, spec, roots, "image/png", exact=True, is_scaled=is_scaled)


def retouch(spec: StageSpec, roots: Roots) -> StageResult:
    """The input after all steps."""
    params = from_json(spec.params, RetouchParams)
    steps = parse_steps(params.steps)
    picture = pictures.upright(spec.inputs[0], roots, params.media_type, params.max_pixels)
    profile = picture.info.get("icc_profile")
    overlay = None
    if params.overlay_type is not None:
        overlay = pictures.upright(spec.inputs[1], roots, params.overlay_type, params.max_pixels)
    for step in steps:
        picture = applied(picture, step, overlay, params.max_pixels)
    picture.info = {"icc_profile": profile} if profile else {}
    return _written(picture, spec, roots, params.target_type, exact=False)


def _written(
    picture: Image.Image, spec: StageSpec, roots: Roots, media_type: str, *, exact: bool, is_scaled: bool = False
) -> StageResult:
    pictures.save(picture, spec.output, roots, media_type, spec.limits.max_output_bytes, exact=exact)
    facts = SaveFacts(width=picture.width, height=picture.height, is_scaled=is_scaled)
    return StageResult(output=spec.output, facts=packed(facts))
