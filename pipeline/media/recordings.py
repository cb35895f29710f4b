"""Work on recordings asked of a media child. Typed specs go in, typed facts come out. No av here and no bytes."""

import os

from pipeline.children.split_work import FORMS, RATE, SplitFacts, SplitParams
from pipeline.children.stage import FileRef, StageLimits, StageResult, StageSpec, packed
from pipeline.children.survey_work import SurveyParams
from pipeline.core.decoding import from_json
from pipeline.core.hearing import Cut, Survey
from pipeline.core.model import Media, Sha256
from pipeline.core.operations import MediaRef
from pipeline.media.av import demuxer_of

SURVEY_DEADLINE_S = 3600.0
SPLIT_DEADLINE_S = 3600.0


def survey(
    ref: FileRef, media: Media, *, track: int, expected_seconds: float | None, max_seconds: float | None
) -> StageSpec:
    """Decode one audio track once and tell what is known of it."""
    params = SurveyParams(demuxer=demuxer_of(media), track=track, expected_seconds=expected_seconds)
    return StageSpec(
        stage="survey_stage:survey",
        inputs=(ref,),
        params=packed(params),
        limits=StageLimits(max_seconds=max_seconds),
        deadline_s=SURVEY_DEADLINE_S,
    )


def survey_facts(result: StageResult) -> Survey:
    return from_json(result.facts, Survey)


def split(
    ref: FileRef, media: Media, target: FileRef, cut: Cut, *, max_seconds: float | None, max_bytes: int | None
) -> StageSpec:
    """Stretches of one track as files of their own, whose names begin as the target's."""
    params = SplitParams(
        demuxer=demuxer_of(media),
        media_type=cut.media_type,
        stretches=tuple((round(start * RATE), round(end * RATE)) for start, end in cut.stretches),
        track=cut.track,
        channel=cut.channel,
    )
    return StageSpec(
        stage="split_stage:split",
        inputs=(ref,),
        output=target,
        params=packed(params),
        limits=StageLimits(max_seconds=max_seconds, max_output_bytes=max_bytes),
        deadline_s=SPLIT_DEADLINE_S,
    )


def parts(result: StageResult, media_type: str, folder: str) -> list[MediaRef]:
    """The parts that were made, each whole under its hash; `folder` is where the target's root lies."""
    form = FORMS[media_type]
    media = Media(media_type=media_type, family="audio", extension=form.extension, demuxer=form.demuxer)
    made = from_json(result.facts, SplitFacts).parts
    return [
        MediaRef(
            sha256=Sha256(part.sha256),
            path=os.path.join(folder, part.path),
            size=part.size,
            media=media,
            seconds=part.samples / RATE,
        )
        for part in made
    ]
