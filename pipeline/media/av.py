"""Work asked of a media child: encoding, and a PDF's text. Typed specs go in, typed facts come out.

No av here and no bytes: a caller builds a spec, sends it through `Lanes.run("media", spec)` and reads the facts. The
demuxer comes from the recognised Media; a Media without one cannot be opened at all.
"""

from collections.abc import Mapping

import msgspec

from pipeline.children.av_work import EncodeParams
from pipeline.children.pdf_work import PdfFacts
from pipeline.children.stage import FileRef, StageLimits, StageResult, StageSpec
from pipeline.core.errors import InputError, UnsupportedOperation
from pipeline.core.model import Media

ENCODE_DEADLINE_S = 600.0
PDF_DEADLINE_S = 300.0
ENCODABLE = frozenset({"audio/mpeg", "audio/ogg", "audio/flac", "audio/mp4"})
NO_LIMITS = StageLimits()


def encode(
    source: FileRef,
    target: FileRef,
    *,
    media_type: str,
    tags: Mapping[str, str] | None = None,
    limits: StageLimits = NO_LIMITS,
) -> StageSpec:
    """A WAV of ours as `media_type`; the target is read back before the stage answers."""
    if media_type not in ENCODABLE:
        raise UnsupportedOperation(
            f"{media_type} cannot be encoded", hint=f"ask for one of {', '.join(sorted(ENCODABLE))}"
        )
    return StageSpec(
        stage="av_stage:encode",
        inputs=(source,),
        output=target,
        params=_raw(EncodeParams(media_type=media_type, tags=dict(tags or {}))),
        limits=limits,
        deadline_s=ENCODE_DEADLINE_S,
    )


def pdf_text(ref: FileRef, *, max_pages: int | None = None, max_chars: int | None = None) -> StageSpec:
    """The text of a PDF."""
    return StageSpec(
        stage="pdf_stage:text",
        inputs=(ref,),
        limits=StageLimits(max_pages=max_pages, max_chars=max_chars),
        deadline_s=PDF_DEADLINE_S,
    )


def pdf_facts(result: StageResult) -> PdfFacts:
    return msgspec.json.decode(result.facts, type=PdfFacts)


def demuxer_of(media: Media) -> str:
    """The one input format that may open these bytes."""
    if media.demuxer is None:
        raise InputError(f"{media.media_type} has no audio that can be decoded", code="input-type")
    return media.demuxer


def _raw(params: msgspec.Struct) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(params))
