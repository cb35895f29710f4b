"""Work asked of a media child: weighing, joining and encoding sounds, and a PDF's text.

Typed specs go in, typed facts come out; no av here and no bytes. A caller builds a spec, sends it through
`Lanes.run("media", spec)` and reads the facts. The demuxer comes from the recognised Media; a Media without one cannot
be opened at all.
"""

from collections.abc import Mapping, Sequence

from pipeline.children.av_work import EncodeFacts, EncodeParams
from pipeline.children.join_work import JoinParams
from pipeline.children.pdf_work import PdfFacts
from pipeline.children.sound_work import WeighParams
from pipeline.children.stage import FileRef, StageLimits, StageResult, StageSpec, packed
from pipeline.core.decoding import from_json
from pipeline.core.errors import InputError, UnsupportedOperation
from pipeline.core.model import Media
from pipeline.core.sound import Chapter, Join, Joined, Sound
from pipeline.core.wav import MAX_WAV_BYTES

ENCODE_DEADLINE_S = 600.0
SLOWEST_ENCODING = 0.2  # of real time, reading back too; measured is a tenth of it
WEIGH_DEADLINE_S = 3600.0
PDF_DEADLINE_S = 300.0
WAV = "audio/wav"
ENCODABLE = frozenset({"audio/mpeg", "audio/ogg", "audio/flac", "audio/mp4", WAV})
NO_LIMITS = StageLimits()


def encode(
    sources: Sequence[FileRef],
    target: FileRef,
    *,
    media_type: str,
    tags: Mapping[str, str] | None = None,
    chapters: Sequence[Chapter] = (),
    seconds: float = 0.0,
    limits: StageLimits = NO_LIMITS,
) -> StageSpec:
    """WAVs of ours, one after the other, as one `media_type`; the target is read back before the stage answers.

    `seconds` is their length, which the deadline grows with.
    """
    if media_type not in ENCODABLE:
        raise UnsupportedOperation(
            f"{media_type} cannot be encoded", hint=f"ask for one of {', '.join(sorted(ENCODABLE))}"
        )
    return StageSpec(
        stage="join_stage:bind" if media_type == WAV else "av_stage:encode",
        inputs=tuple(sources),
        output=target,
        params=packed(EncodeParams(media_type=media_type, tags=dict(tags or {}), chapters=tuple(chapters))),
        limits=limits,
        deadline_s=ENCODE_DEADLINE_S + seconds * SLOWEST_ENCODING,
    )


def encode_facts(result: StageResult) -> EncodeFacts:
    return from_json(result.facts, EncodeFacts)


def weigh(ref: FileRef, demuxer: str) -> StageSpec:
    """Decode a sound to its last sample and tell what it is."""
    return StageSpec(
        stage="sound_stage:weigh",
        inputs=(ref,),
        params=packed(WeighParams(demuxer=demuxer)),
        deadline_s=WEIGH_DEADLINE_S,
    )


def sound_facts(result: StageResult) -> Sound:
    return from_json(result.facts, Sound)


def join(
    refs: Sequence[FileRef], demuxers: Sequence[str], target: FileRef | None, *, wish: Join, max_bytes: int | None
) -> StageSpec:
    """Decode sounds and join them to one WAV, or tell how long they would be in it."""
    return StageSpec(
        stage="join_stage:join",
        inputs=tuple(refs),
        output=target,
        params=packed(JoinParams(demuxers=tuple(demuxers), join=wish)),
        limits=StageLimits(max_output_bytes=min(max_bytes or MAX_WAV_BYTES, MAX_WAV_BYTES)),
        deadline_s=WEIGH_DEADLINE_S,
    )


def join_facts(result: StageResult) -> Joined:
    return from_json(result.facts, Joined)


def pdf_text(ref: FileRef, *, max_pages: int | None = None, max_chars: int | None = None) -> StageSpec:
    """The text of a PDF."""
    return StageSpec(
        stage="pdf_stage:text",
        inputs=(ref,),
        limits=StageLimits(max_pages=max_pages, max_chars=max_chars),
        deadline_s=PDF_DEADLINE_S,
    )


def pdf_facts(result: StageResult) -> PdfFacts:
    return from_json(result.facts, PdfFacts)


def demuxer_of(media: Media) -> str:
    """The one input format that may open these bytes."""
    if media.demuxer is None:
        raise InputError(f"{media.media_type} has no audio that can be decoded", code="input-type")
    return media.demuxer
