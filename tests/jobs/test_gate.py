"""A silent recording costs nothing: nobody is asked, and the figures say why. A free route listens by itself."""

from pathlib import Path

import msgspec
import pytest

from jobs._gate import SILENT_RMS, against_silence
from jobs.canonical_text import CanonicalText, CanonicalTextSpec
from jobs.transcription import Transcription, TranscriptionSpec
from pipeline.core.hearing import Hearing, Survey, sounds
from pipeline.core.kinds import KindResult
from tests.jobs.scripted import ScriptedContext, answer, answering, source, surveyed, transcript

PAID = Hearing(takes=sounds(["wav"]), rate_unit="second")
FREE = Hearing(takes=sounds(["wav"]))
WAV = msgspec.structs.replace(source("audio/wav"), seconds=60.0)
SPOKEN = surveyed(60.0, (1.0, 59.0))
NOBODY = surveyed(60.0)
SILENT = msgspec.structs.replace(SPOKEN, loudest_rms=SILENT_RMS * 0.9)
BLIND = msgspec.structs.replace(NOBODY, speech=None)


def context(folder: Path, survey: Survey | None, hearing: Hearing = PAID) -> ScriptedContext:
    return ScriptedContext(folder, source=WAV, survey=survey, hearing=hearing, answer=answer)


async def transcribed(ctx: ScriptedContext) -> KindResult:
    return await Transcription().run(TranscriptionSpec(), ctx)


@pytest.mark.parametrize(
    ("survey", "why"),
    [
        (NOBODY, "no speech in 60.0 s: voice activity hears nobody, the loudest half second is at -14 dBFS"),
        (SILENT, "no speech in 60.0 s: the loudest half second is at -73 dBFS"),
        (
            msgspec.structs.replace(NOBODY, loudest_rms=0.0),
            "no speech in 60.0 s: the loudest half second is at digital",
        ),
        (
            msgspec.structs.replace(BLIND, loudest_rms=0.0001),
            "no speech in 60.0 s: the loudest half second is at -80 dBFS",
        ),
    ],
    ids=["nobody", "silent", "digital", "level-only"],
)
async def test_where_nobody_speaks_nobody_is_asked(tmp_path: Path, survey: Survey, why: str) -> None:
    ctx = context(tmp_path, survey)
    result = await transcribed(ctx)
    assert (result.verdict, result.drafts, ctx.calls) == ("empty", (), [])
    assert result.reason.startswith(why)


@pytest.mark.parametrize("survey", [SPOKEN, BLIND], ids=["spoken", "level-only"])
async def test_what_may_be_speech_is_sent(tmp_path: Path, survey: Survey) -> None:
    ctx = context(tmp_path, survey)
    assert (await transcribed(ctx)).drafts
    assert len(ctx.calls) == 1


async def test_the_receipt_tells_whether_only_the_level_was_judged(tmp_path: Path) -> None:
    told = [(await transcribed(context(tmp_path, survey))).facts for survey in (SPOKEN, BLIND)]
    assert [facts["gate"] for facts in told] == ["level and voice activity", "level only"]
    assert told[0]["gate_speech_seconds"] == "58.00"


async def test_a_free_route_listens_by_itself(tmp_path: Path) -> None:
    ctx = context(tmp_path, None, FREE)
    await transcribed(ctx)
    assert (len(ctx.calls), ctx.surveyed) == (1, [])


async def test_what_the_survey_heard_judges_an_answer_that_tells_no_speech(tmp_path: Path) -> None:
    bare = msgspec.structs.replace(transcript("Hello.", "And so."), speech_seconds=None)
    ctx = ScriptedContext(tmp_path, source=WAV, survey=SPOKEN, hearing=PAID, answer=answering(bare))
    result = await transcribed(ctx)
    assert result.verdict == "suspect"
    assert "only 13% of the speech has text; listen to 0:00:08 to 0:00:59" in result.reason


async def test_canonical_text_is_as_sparing(tmp_path: Path) -> None:
    ctx = context(tmp_path, NOBODY)
    result = await CanonicalText().run(CanonicalTextSpec(), ctx)
    assert (result.verdict, ctx.calls) == ("empty", [])
    assert "voice activity hears nobody" in result.reason


def test_speech_above_the_bound_is_never_silence() -> None:
    assert against_silence(SPOKEN) == ""
