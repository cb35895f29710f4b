"""The kind `video`: one clip from a prompt, from frames or references, with a poster beside it.

Owns what is asked and how far a clip is believed. Promises: a length, size or frame is sent as it was asked or refused,
never rounded; the clip is published in the bytes that came; a clip much shorter or longer than asked is `suspect`.
Decodes nothing and never knows who answers.
"""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from jobs._pictures import IMAGE, MAX_PICTURE_BYTES, MAX_PIXELS, against_pictures, listed, upright
from pipeline.core.errors import ContractError, InputError
from pipeline.core.kinds import NO_SOURCES, Answered, ClipFacts, Draft, JobContext, KindResult, Sources
from pipeline.core.model import Asset, Family, Limits, Refusal, Source
from pipeline.core.operations import MakeVideo, MediaRef, Operation, ref_of

MAX_PROMPT_CHARS = 8_000
MAX_CLIP_BYTES = 2_000_000_000
MAX_SECONDS = 600
MAX_REFERENCES = 16
ANNOUNCED = "mp4"
SECONDS_SLACK, SHARE_SLACK = 1.0, 0.15  # models give 4.04 s for 4; this is more than any of them was seen to miss by
_SIZE = r"^[1-9][0-9]{1,4}x[1-9][0-9]{1,4}$"
_WORD = r"^[A-Za-z0-9.:_-]{1,20}$"
_POSTERS = {"jpg": "image/jpeg", "png": "image/png"}

Word = Annotated[str, Meta(pattern=_WORD, examples=["16:9", "1080p"])]
File = Annotated[str, Meta(min_length=1, max_length=4096)]


class VideoSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The job's input, where there is one, is its first frame."""

    prompt: Annotated[str, Meta(min_length=1, max_length=MAX_PROMPT_CHARS)] | None = None
    seconds: Annotated[int, Meta(ge=1, le=MAX_SECONDS)] | None = None
    resolution: Word | None = None
    aspect_ratio: Word | None = None
    size: Annotated[str, Meta(pattern=_SIZE, examples=["1280x720"])] | None = None
    first_frame: File | None = None
    last_frame: File | None = None
    references: Annotated[tuple[File, ...], Meta(max_length=MAX_REFERENCES)] = ()
    audio: bool | None = None
    seed: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    poster: Literal["jpg", "png", "none"] = "jpg"


class Video:
    """Implements `core.kinds.ReadsMore`."""

    name = "video"
    version = 1
    spec: type[msgspec.Struct] = VideoSpec
    families: frozenset[Family] = frozenset({"image"})
    asks: frozenset[str] = frozenset({"make_video"})
    further: tuple[str, ...] = ("first_frame", "last_frame", "references")
    limits = Limits(
        max_input_bytes=MAX_PICTURE_BYTES,
        max_output_bytes=MAX_CLIP_BYTES,
        max_pixels=MAX_PIXELS,
        max_chars=MAX_PROMPT_CHARS,
    )

    def products(self, spec: msgspec.Struct) -> tuple[str, ...]:
        poster = _mine(spec).poster
        return (ANNOUNCED,) if poster == "none" else (ANNOUNCED, poster)

    def check(self, spec: msgspec.Struct, source: Source | None, more: Sources = NO_SOURCES) -> list[Refusal]:
        mine = _mine(spec)
        read = [*([source] if source is not None else []), *more.values()]
        reasons = [reason for item in read for reason in _against(item)]
        if not read and not (mine.prompt or "").strip():
            return [_NOTHING_ASKED]
        if source is not None and mine.first_frame is not None:
            reasons.append(_invalid("the input and first_frame are both the first frame", "give one of them"))
        if mine.references and len(read) > len(mine.references):
            reasons.append(
                _invalid("frames and references are both given", "give one of the two; frames win elsewhere")
            )
        if mine.size is not None and (mine.resolution or mine.aspect_ratio):
            reasons.append(_invalid("size contradicts resolution or aspect_ratio", "give size alone, or the others"))
        return reasons

    def operations(
        self, spec: msgspec.Struct, source: Source | None, more: Sources = NO_SOURCES
    ) -> tuple[Operation, ...]:
        first, last, references = _frames(source, more)
        return (_call(_mine(spec), _ref(first), _ref(last), tuple(map(ref_of, references))),)

    async def run(self, spec: msgspec.Struct, ctx: JobContext) -> KindResult:
        mine = _mine(spec)
        first, last, references = _frames(ctx.source, ctx.more)
        begins = await _sent(ctx, first, "first")
        ends = await _sent(ctx, last, "last")
        shown = [await upright(ctx, item, f"reference-{number}") for number, item in enumerate(references)]
        answered = await ctx.ask(_call(mine, begins, ends, tuple(shown)))
        return await _published(mine, ctx, answered)


_NOTHING_ASKED = Refusal(
    code="input-missing",
    message="there is neither a prompt nor a picture",
    hint='write prompt = "...", or give an input as the first frame',
)


def _mine(spec: msgspec.Struct) -> VideoSpec:
    assert isinstance(spec, VideoSpec)
    return spec


def _invalid(message: str, hint: str) -> Refusal:
    return Refusal(code="job-invalid", message=message, hint=hint)


def _against(source: Source) -> list[Refusal]:
    if source.media.family not in ("video", "audio"):
        return against_pictures([source], "the picture")
    message = f"{source.media.media_type} is no frame and no reference: of files only pictures are taken"
    return [Refusal(code="input-type", message=message, hint="give png, jpeg or webp pictures")]


def _frames(source: Source | None, more: Sources) -> tuple[Source | None, Source | None, list[Source]]:
    return source or more.get("first_frame"), more.get("last_frame"), listed("references", more)


async def _sent(ctx: JobContext, frame: Source | None, name: str) -> MediaRef | None:
    return None if frame is None else await upright(ctx, frame, name)


def _ref(source: Source | None) -> MediaRef | None:
    return None if source is None else ref_of(source)


def _call(
    spec: VideoSpec, first: MediaRef | None, last: MediaRef | None, references: tuple[MediaRef, ...]
) -> MakeVideo:
    return MakeVideo(
        prompt=spec.prompt,
        seconds=spec.seconds,
        resolution=spec.resolution,
        aspect_ratio=spec.aspect_ratio,
        size=spec.size,
        first_frame=first,
        last_frame=last,
        references=references,
        audio=spec.audio,
        seed=spec.seed,
    )


async def _published(spec: VideoSpec, ctx: JobContext, answered: Answered) -> KindResult:
    """The clip as it came, and a poster that proves that it can be decoded."""
    clip, others = answered.assets[0], answered.assets[1:]
    if clip.media.family == IMAGE:
        raise ContractError("the answer is a picture, not a video", code="reply-type", hint="mediaspool retry")
    target = ctx.scratch / f"poster.{spec.poster if spec.poster != 'none' else 'jpg'}"
    try:
        seen = await ctx.poster(clip, target, media_type=_POSTERS.get(spec.poster, "image/jpeg"))
    except InputError as error:
        raise ContractError(f"the video is no video that plays: {error.message}", hint="mediaspool retry") from error
    drafts = [_clip(clip)]
    if spec.poster != "none":
        drafts.append(Draft(name=spec.poster, media_type=_POSTERS[spec.poster], path=target))
    drafts += [_further(clip, number) for number, clip in enumerate(others, 2)]
    doubt = _doubt(spec, seen)
    notes = [doubt, f"the answer has {len(others) + 1} clips" if others else ""]
    return KindResult(
        verdict="suspect" if doubt else "done",
        drafts=tuple(drafts),
        reason="; ".join(note for note in notes if note),
        facts={**answered.facts, **_facts(seen)},
    )


def _clip(clip: Asset) -> Draft:
    extension = None if clip.media.extension == ANNOUNCED else clip.media.extension
    return Draft(name=ANNOUNCED, media_type=clip.media.media_type, path=Path(clip.path), extension=extension)


def _further(clip: Asset, number: int) -> Draft:
    """A second clip that nobody asked for was paid for: film.2.mp4 beside film.mp4."""
    return Draft(name=f"{number}.{clip.media.extension}", media_type=clip.media.media_type, path=Path(clip.path))


def _doubt(spec: VideoSpec, seen: ClipFacts) -> str:
    if spec.seconds is None or seen.seconds is None:
        return ""
    allowed = max(SECONDS_SLACK, spec.seconds * SHARE_SLACK)
    if abs(seen.seconds - spec.seconds) <= allowed:
        return ""
    return f"the clip lasts {seen.seconds:.1f} s, {spec.seconds} s were asked"


def _facts(seen: ClipFacts) -> dict[str, str]:
    facts = {"size": f"{seen.width}x{seen.height}", "sound": "yes" if seen.has_audio else "no"}
    return facts | ({"seconds": f"{seen.seconds:.2f}"} if seen.seconds is not None else {})
