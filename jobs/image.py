"""The kind `image`: pictures from a prompt, pictures changed by a prompt, or one picture changed by exact steps.

Owns what is asked and what of the answer is published. Promises: the bytes that were paid for are published as they
came, named by what they are; each whole picture is kept, however many were asked; where a mask was not sent, pixels
outside of it are those of the original. Decodes nothing and never knows who answers.
"""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from jobs._pictures import (
    IMAGE,
    MAX_PICTURE_BYTES,
    MAX_PICTURES,
    MAX_PIXELS,
    against_pictures,
    listed,
    upright,
)
from pipeline.children.picture_work import MAX_STEPS, WRITABLE, needs_overlay, parse_steps
from pipeline.core.errors import ContractError, InputError, LimitExceeded
from pipeline.core.kinds import NO_SOURCES, Answered, Draft, JobContext, KindResult, Sources
from pipeline.core.model import Asset, Family, Limits, Refusal, Source
from pipeline.core.operations import EditImage, MakeImage, MediaRef, Operation, Picture, Retouch, ref_of

MAX_PROMPT_CHARS = 8_000
MAX_ANSWER_BYTES = 500_000_000
MAX_N = 10
ANNOUNCED = "png"  # the ending in the plan where no format is asked; the product has that of its content
MASK_FACT, NOT_SENT = "mask", "not sent"
_SIZE = r"^([1-9][0-9]{1,4}x[1-9][0-9]{1,4}|[0-9.]+K)$"
_WORD = r"^[A-Za-z0-9.:_-]{1,20}$"
_DAMAGE = frozenset({"input-damaged", "input-empty", "input-type"})
_OPAQUE_FORMATS = ("jpg", "jpeg")
_SAME = ({"jpg", "jpeg"},)

ImageFormat = Literal["png", "jpg", "jpeg", "webp"]
Word = Annotated[str, Meta(pattern=_WORD, examples=["16:9", "2K", "high"])]
File = Annotated[str, Meta(min_length=1, max_length=4096)]


class ImageSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`prompt` makes or changes pictures, `steps` changes one exactly; one of the two."""

    prompt: Annotated[str, Meta(min_length=1, max_length=MAX_PROMPT_CHARS)] | None = None
    steps: Annotated[tuple[str, ...], Meta(max_length=MAX_STEPS)] = ()
    images: Annotated[tuple[File, ...], Meta(max_length=MAX_PICTURES)] = ()
    mask: File | None = None
    overlay: File | None = None
    n: Annotated[int, Meta(ge=1, le=MAX_N)] = 1
    size: Annotated[str, Meta(pattern=_SIZE, examples=["1024x768", "2K"])] | None = None
    aspect_ratio: Word | None = None
    resolution: Word | None = None
    quality: Word | None = None
    background: Literal["auto", "transparent", "opaque"] | None = None
    compression: Annotated[int, Meta(ge=0, le=100)] | None = None
    seed: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    format: ImageFormat | None = None
    convert: bool = False


class Image:
    """Implements `core.kinds.ReadsMore`."""

    name = "image"
    version = 1
    spec: type[msgspec.Struct] = ImageSpec
    families: frozenset[Family] = frozenset({"image"})
    asks: frozenset[str] = frozenset({"make_image", "edit_image", "retouch"})
    further: tuple[str, ...] = ("images", "mask", "overlay")
    limits = Limits(
        max_input_bytes=MAX_PICTURE_BYTES,
        max_output_bytes=MAX_ANSWER_BYTES,
        max_pixels=MAX_PIXELS,
        max_chars=MAX_PROMPT_CHARS,
    )

    def products(self, spec: msgspec.Struct) -> tuple[str, ...]:
        return tuple(_product(_mine(spec), number) for number in range(1, _mine(spec).n + 1))

    def check(self, spec: msgspec.Struct, source: Source | None, more: Sources = NO_SOURCES) -> list[Refusal]:
        mine = _mine(spec)
        read = [*([source] if source is not None else []), *more.values()]
        reasons = against_pictures(read, "the picture")
        if mine.steps:
            return reasons + _against_steps(mine, source)
        if mine.prompt is None or not mine.prompt.strip():
            return [*reasons, _NOTHING_ASKED]
        return reasons + _against_prompt(mine, _pictures(source, more))

    def operations(
        self, spec: msgspec.Struct, source: Source | None, more: Sources = NO_SOURCES
    ) -> tuple[Operation, ...]:
        """The one call; of pictures that a camera marked as turned an upright copy will be sent."""
        mine = _mine(spec)
        if mine.steps:
            return (_retouch(mine, source, more),)
        mask = ref_of(more["mask"]) if "mask" in more else None
        return (_call(mine, tuple(ref_of(picture) for picture in _pictures(source, more)), mask),)

    async def run(self, spec: msgspec.Struct, ctx: JobContext) -> KindResult:
        mine = _mine(spec)
        if mine.steps:
            return await _retouched(mine, ctx)
        if mine.prompt is None:
            raise InputError(_NOTHING_ASKED.message, code=_NOTHING_ASKED.code, hint=_NOTHING_ASKED.hint)
        sent = [
            await upright(ctx, picture, f"input-{number}")
            for number, picture in enumerate(_pictures(ctx.source, ctx.more))
        ]
        mask = await _mask(ctx, sent)
        answered = await ctx.ask(_call(mine, tuple(sent), mask))
        if mask is not None and answered.facts.get(MASK_FACT) == NOT_SENT:
            return await _published(mine, ctx, answered, _Masked(original=sent[0], mask=mask))
        return await _published(mine, ctx, answered)


_NOTHING_ASKED = Refusal(
    code="input-missing",
    message="there is neither a prompt nor steps",
    hint='write prompt = "..." to make a picture, or steps = ["..."] to change one',
)


def _mine(spec: msgspec.Struct) -> ImageSpec:
    assert isinstance(spec, ImageSpec)
    return spec


def _product(spec: ImageSpec, number: int) -> str:
    """`png`, then `2.png`, `3.png`: the second picture of cat.png is cat.2.png."""
    ending = spec.format or ANNOUNCED
    return ending if number == 1 else f"{number}.{ending}"


def _pictures(source: Source | None, more: Sources) -> list[Source]:
    return [*([source] if source is not None else []), *listed("images", more)]


def _invalid(message: str, hint: str) -> Refusal:
    return Refusal(code="job-invalid", message=message, hint=hint)


def _against_steps(spec: ImageSpec, source: Source | None) -> list[Refusal]:
    reasons = []
    if source is None:
        message = "there is no picture to change"
        reasons.append(Refusal(code="input-missing", message=message, hint="give the job an input"))
    if spec.prompt is not None:
        reasons.append(_invalid("a prompt and steps are given", "make two jobs, the second with input = '@first'"))
    asked = [name for name in _OF_PROMPTS if getattr(spec, name) != _DEFAULTS[name]]
    if asked:
        reasons.append(_invalid(f"{', '.join(asked)} has no meaning for steps", "write it as a step, or leave it out"))
    try:
        if needs_overlay(parse_steps(spec.steps)) != (spec.overlay is not None):
            reasons.append(_invalid("overlay is a file and a step", "give both: overlay = 'logo.png' and the step"))
    except InputError as error:
        reasons.append(Refusal(code=error.code, message=error.message, hint=error.hint))
    return reasons


_OF_PROMPTS = (
    *("images", "mask", "n", "size", "aspect_ratio", "resolution", "quality"),
    *("background", "compression", "seed", "convert"),
)
_DEFAULTS = msgspec.structs.asdict(ImageSpec())


def _against_prompt(spec: ImageSpec, pictures: list[Source]) -> list[Refusal]:
    reasons = []
    if spec.overlay is not None:
        reasons.append(_invalid("an overlay is for steps", "leave it out, or give it as one of images"))
    if spec.mask is not None and not pictures:
        reasons.append(_invalid("a mask without a picture", "give the picture as input"))
    if len(pictures) > MAX_PICTURES:
        reasons.append(_invalid(f"{len(pictures)} pictures", f"give at most {MAX_PICTURES}"))
    if spec.size is not None and (spec.aspect_ratio or spec.resolution):
        reasons.append(_invalid("size contradicts aspect_ratio or resolution", "give size alone, or the two others"))
    if spec.background == "transparent" and spec.format in _OPAQUE_FORMATS:
        reasons.append(_invalid(f"{spec.format} cannot be transparent", "ask for png or webp"))
    if spec.compression is not None and spec.format not in (*_OPAQUE_FORMATS, "webp"):
        reasons.append(_invalid("compression is for jpg and webp", "ask for one of these, or leave it out"))
    if spec.convert and spec.format is None:
        reasons.append(_invalid("convert needs a format", 'write format = "png", or leave convert out'))
    return reasons


def _call(spec: ImageSpec, pictures: tuple[MediaRef, ...], mask: MediaRef | None) -> MakeImage | EditImage:
    prompt = spec.prompt or ""
    if not pictures:
        return MakeImage(prompt=prompt, n=spec.n, picture=_picture(spec))
    return EditImage(prompt=prompt, images=pictures, mask=mask, n=spec.n, picture=_picture(spec))


def _picture(spec: ImageSpec) -> Picture:
    """The format is asked of the model too, unless the job converts whatever comes."""
    wanted = None if spec.convert or spec.format is None else WRITABLE[spec.format].removeprefix("image/")
    return Picture(
        size=spec.size,
        aspect_ratio=spec.aspect_ratio,
        resolution=spec.resolution,
        quality=spec.quality,
        background=spec.background,
        format=wanted,
        compression=spec.compression,
        seed=spec.seed,
    )


def _retouch(spec: ImageSpec, source: Source | None, more: Sources) -> Retouch:
    if source is None:
        raise InputError("there is no picture to change", code="input-missing", hint="give the job an input")
    overlay = ref_of(more["overlay"]) if "overlay" in more else None
    return Retouch(image=ref_of(source), steps=spec.steps, overlay=overlay, format=spec.format)


async def _mask(ctx: JobContext, sent: list[MediaRef]) -> MediaRef | None:
    """The mask, if it fits the picture that it belongs to; told before anything is sent."""
    if "mask" not in ctx.more:
        return None
    mask = ref_of(ctx.more["mask"])
    seen, picture = await ctx.look(mask), await ctx.look(sent[0])
    if not seen.has_alpha:
        hint = "make transparent what is to be changed"
        raise InputError("the mask has no transparent part, so it marks nothing", hint=hint)
    if (seen.width, seen.height) != (picture.width, picture.height):
        message = f"the mask is {seen.width}x{seen.height}, its picture {picture.width}x{picture.height}"
        raise InputError(message, hint="make them the same size")
    return mask


async def _retouched(spec: ImageSpec, ctx: JobContext) -> KindResult:
    operation = _retouch(spec, ctx.source, ctx.more)
    for ref in (operation.image, *([operation.overlay] if operation.overlay else [])):
        found = await ctx.look(ref)
        if found.frames > 1:
            raise InputError(f"the picture moves: it has {found.frames} frames", hint="give a still picture")
    answered = await ctx.ask(operation)
    return await _published(spec, ctx, answered)


class _Masked(Struct, frozen=True, kw_only=True):
    """What an answer is laid into where its route took no mask."""

    original: MediaRef
    mask: MediaRef


async def _published(spec: ImageSpec, ctx: JobContext, answered: Answered, masked: _Masked | None = None) -> KindResult:
    """Every picture that can be decoded: in the bytes that came, or laid into the original."""
    drafts: list[Draft] = []
    sizes: list[str] = []
    notes = _Notes()
    for asset in answered.assets[: spec.n]:
        size = await _seen(ctx, asset, notes)
        if size is None:
            continue
        name = _product(spec, len(drafts) + 1)
        laid = None if masked is None else await _laid(masked, ctx, asset, name, notes)
        drafts.append(laid or await _draft(spec, ctx, asset, name, notes))
        sizes.append(size)
    if not drafts:
        raise ContractError("no picture of the answer can be decoded", hint="mediaspool retry")
    if len(drafts) < spec.n:
        notes.said.append(f"{len(drafts)} of {spec.n} pictures were made")
    facts = {**answered.facts, "pictures": str(len(drafts)), "sizes": " ".join(sizes)}
    return _result(drafts, notes, facts | ({"composited": "here"} if masked else {}))


class _Notes:
    """What a person should know of a result: `said` is only told, `doubts` make it suspect."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.doubts: list[str] = []


async def _seen(ctx: JobContext, asset: Asset, notes: _Notes) -> str | None:
    """Its size, by decoding it whole; None where that fails."""
    if asset.media.family != IMAGE:
        return None
    try:
        found = await ctx.look(asset)
    except InputError as error:
        if error.code not in _DAMAGE:
            raise
        notes.doubts.append("a picture of the answer cannot be decoded and is left out")
        return None
    except LimitExceeded:
        notes.doubts.append("a picture of the answer is too large to be checked")
        return "unknown"
    return f"{found.width}x{found.height}"


async def _draft(spec: ImageSpec, ctx: JobContext, asset: Asset, name: str, notes: _Notes) -> Draft:
    made, wanted = asset.media, spec.format
    if wanted is not None and WRITABLE[wanted] != made.media_type:
        if spec.convert:
            target = ctx.scratch / f"converted-{name}"
            await ctx.convert(asset, target, media_type=WRITABLE[wanted])
            notes.said.append(f"converted from {made.media_type}")
            return Draft(name=name, media_type=WRITABLE[wanted], path=target)
        notes.said.append(f"made as {made.media_type}, not as {wanted}, and named so")
    ending = name.rpartition(".")[2]
    return Draft(
        name=name,
        media_type=made.media_type,
        path=Path(asset.path),
        extension=None if _is_same_ending(ending, made.extension) else made.extension,
    )


def _is_same_ending(one: str, other: str) -> bool:
    return one == other or any({one, other} <= same for same in _SAME)


async def _laid(masked: _Masked, ctx: JobContext, asset: Asset, name: str, notes: _Notes) -> Draft:
    """As PNG, which keeps every pixel of the original outside of the mask as it was."""
    target = ctx.scratch / f"composite-{name}"
    if await ctx.composite(masked.original, asset, masked.mask, target):
        notes.said.append("a picture of another size was scaled to the original's")
    notes.said.append("the route takes no mask: laid into the original here, which stays as it was outside of the mask")
    return Draft(name=name, media_type="image/png", path=target, extension=None if name.endswith("png") else "png")


def _result(drafts: list[Draft], notes: _Notes, facts: dict[str, str]) -> KindResult:
    told = list(dict.fromkeys([*notes.doubts, *notes.said]))
    return KindResult(
        verdict="suspect" if notes.doubts else "done", drafts=tuple(drafts), reason="; ".join(told), facts=facts
    )
