"""Work on recordings asked of a media child. Typed specs go in, typed facts come out. No av here and no bytes."""

import msgspec

from pipeline.children.stage import FileRef, StageLimits, StageResult, StageSpec
from pipeline.children.survey_work import SurveyParams
from pipeline.core.hearing import Survey
from pipeline.core.model import Media
from pipeline.media.av import demuxer_of

SURVEY_DEADLINE_S = 3600.0


def survey(
    ref: FileRef, media: Media, *, track: int, expected_seconds: float | None, max_seconds: float | None
) -> StageSpec:
    """Decode one audio track once and tell what is known of it."""
    params = SurveyParams(demuxer=demuxer_of(media), track=track, expected_seconds=expected_seconds)
    return StageSpec(
        stage="survey_stage:survey",
        inputs=(ref,),
        params=msgspec.Raw(msgspec.json.encode(params)),
        limits=StageLimits(max_seconds=max_seconds),
        deadline_s=SURVEY_DEADLINE_S,
    )


def survey_facts(result: StageResult) -> Survey:
    return msgspec.json.decode(result.facts, type=Survey)
