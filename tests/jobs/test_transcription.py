"""The kind `transcription`."""

import csv
import io
import json
from pathlib import Path

import msgspec
import pytest

from jobs._captions import read_captions
from jobs.transcription import Transcription, TranscriptionSpec
from pipeline.core.errors import ContractError, InputError
from pipeline.core.kinds import KindResult, decode_transcript
from pipeline.core.operations import Transcribe, Transcript
from tests.jobs.scripted import ScriptedContext, answering, source, transcript

KIND = Transcription()
ALL = TranscriptionSpec(formats=("txt", "srt", "vtt", "json", "tsv"))
JFK = transcript("And so, my fellow Americans,", "ask not what your country can do for you.")
AUDIO = source("audio/wav")


async def transcribed(tmp_path: Path, value: Transcript, spec: TranscriptionSpec = ALL) -> KindResult:
    return await KIND.run(spec, ScriptedContext(tmp_path, source=AUDIO, answer=answering(value)))


def texts(result: KindResult) -> dict[str, str]:
    return {draft.name: (draft.content or b"").decode() for draft in result.drafts}


async def test_every_format_is_made_of_one_call(tmp_path: Path) -> None:
    ctx = ScriptedContext(tmp_path, source=AUDIO, answer=answering(JFK))
    result = await KIND.run(ALL, ctx)
    assert result.verdict == "done"
    assert [draft.name for draft in result.drafts] == ["txt", "srt", "vtt", "json", "tsv"]
    assert len(ctx.calls) == 1


async def test_all_formats_say_the_same_words(tmp_path: Path) -> None:
    made = texts(await transcribed(tmp_path, JFK))
    said = made["txt"].split()
    assert said[:4] == ["And", "so,", "my", "fellow"]
    assert " ".join(cue.text for cue in read_captions(made["srt"])).split() == said
    assert " ".join(cue.text for cue in read_captions(made["vtt"])).split() == said
    rows = list(csv.DictReader(io.StringIO(made["tsv"]), delimiter="\t"))
    assert " ".join(row["text"] for row in rows).split() == said
    assert decode_transcript(made["json"].encode()) == JFK


async def test_no_speech_is_empty_with_a_reason_and_without_a_product(tmp_path: Path) -> None:
    result = await transcribed(tmp_path, transcript(seconds=12.0))
    assert (result.verdict, result.drafts) == ("empty", ())
    assert result.reason == "no speech was found in 12.0 s"


async def test_segments_of_spaces_are_no_speech(tmp_path: Path) -> None:
    result = await transcribed(tmp_path, transcript(" ", "\n", speech_seconds=0.4))
    assert (result.verdict, result.drafts) == ("empty", ())


async def test_speech_that_the_engine_did_not_write_down_is_suspect(tmp_path: Path) -> None:
    result = await transcribed(tmp_path, transcript(seconds=60.0, speech_seconds=30.0))
    assert (result.verdict, result.drafts) == ("suspect", ())
    assert "30.0 s of speech" in result.reason


async def test_a_looping_transcript_is_suspect_and_still_delivered(tmp_path: Path) -> None:
    result = await transcribed(tmp_path, transcript("Thank you. " * 20))
    assert result.verdict == "suspect"
    assert "Thank you." in texts(result)["txt"]


async def test_the_receipt_gets_numbers_and_no_words(tmp_path: Path) -> None:
    spec = TranscriptionSpec(reference="And so my fellow Canadians ask not what your country can do for you")
    result = await transcribed(tmp_path, JFK, spec)
    assert result.facts == {
        "seconds": "9.00",
        "segments": "2",
        "language": "en",
        "language_probability": "0.98",
        "speech_seconds": "8.00",
        "words": "14",
        "words_per_minute": "105",
        "repeats": "1",
        "word_error_rate": "0.0714",
        "character_error_rate": "0.0926",
    }


def with_reference(tmp_path: Path, text: str, media_type: str = "text/plain") -> ScriptedContext:
    found = source(media_type, text.encode())
    (tmp_path / "a.ref.txt").write_text(text)
    found = msgspec.structs.replace(found, path=str(tmp_path / "a.ref.txt"))
    return ScriptedContext(tmp_path, source=AUDIO, more={"reference_file": found}, answer=answering(JFK))


async def test_a_reference_file_is_scored_in_words_and_characters(tmp_path: Path) -> None:
    ctx = with_reference(tmp_path, "And so my fellow Canadians: ask not what your country can do for you!")
    result = await KIND.run(ALL, ctx)
    assert (result.facts["word_error_rate"], result.facts["character_error_rate"]) == ("0.0714", "0.0926")
    assert texts(result)["txt"].startswith("And so, my fellow Americans, ask not")


async def test_the_text_of_the_job_counts_before_a_file_that_lies_there(tmp_path: Path) -> None:
    ctx = with_reference(tmp_path, "something else")
    spec = TranscriptionSpec(reference="and so my fellow americans ask not what your country can do for you")
    assert (await KIND.run(spec, ctx)).facts["word_error_rate"] == "0.0000"


async def test_a_reference_that_is_no_text_costs_no_call(tmp_path: Path) -> None:
    ctx = with_reference(tmp_path, "x")
    (tmp_path / "a.ref.txt").write_bytes(b"\xff\x00")
    with pytest.raises(InputError):
        await KIND.run(ALL, ctx)
    assert ctx.calls == []


def test_a_reference_of_another_type_is_refused() -> None:
    picture = {"reference_file": source("image/png")}
    assert [refusal.code for refusal in KIND.check(ALL, AUDIO, picture)] == ["input-type"]


async def test_a_language_that_is_no_tag_stays_out_of_the_receipt(tmp_path: Path) -> None:
    odd = msgspec.structs.replace(JFK, language="canary words of a provider")
    assert "language" not in (await transcribed(tmp_path, odd)).facts


@pytest.mark.parametrize("answer", [b"", b"<html>", b'{"text": "hi"}', b"\xff\xfe", b"[]"])
async def test_an_answer_that_is_no_transcript_is_a_contract_error(tmp_path: Path, answer: bytes) -> None:
    ctx = ScriptedContext(tmp_path, source=AUDIO, answer=lambda operation: answer)
    with pytest.raises(ContractError) as caught:
        await KIND.run(ALL, ctx)
    assert caught.value.code == "reply-damaged"


async def test_a_transcript_of_another_schema_is_a_contract_error(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="schema 2"):
        await transcribed(tmp_path, msgspec.structs.replace(JFK, schema=2))


def test_auto_asks_to_detect_and_a_tag_is_passed_on() -> None:
    detected, given = (
        KIND.operations(TranscriptionSpec(language=language, track=1), AUDIO)[0] for language in ("auto", "de")
    )
    assert isinstance(detected, Transcribe)
    assert isinstance(given, Transcribe)
    assert (detected.language, given.language, given.track) == (None, "de", 1)


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        (TranscriptionSpec(language="klingon language"), "job-invalid"),
        (TranscriptionSpec(language=""), "job-invalid"),
        (TranscriptionSpec(formats=("txt", "txt")), "job-invalid"),
    ],
)
def test_a_wrong_spec_is_refused_before_anything_runs(spec: TranscriptionSpec, code: str) -> None:
    assert [refusal.code for refusal in KIND.check(spec, AUDIO)] == [code]


def test_all_reasons_are_given_at_once() -> None:
    spec = TranscriptionSpec(language="!", formats=("srt", "srt"))
    assert len(KIND.check(spec, source("video/mp4", tracks=("video",)))) == 3


@pytest.mark.parametrize(("tracks", "count"), [((), 0), (("audio",), 0), (("video", "audio"), 0), (("video",), 1)])
def test_a_video_without_sound_is_refused(tracks: tuple[str, ...], count: int) -> None:
    assert len(KIND.check(ALL, source("video/mp4", tracks=tracks))) == count


@pytest.mark.parametrize("wrong", ['{"formats": []}', '{"formats": ["doc"]}', '{"format": "txt"}', '{"track": -1}'])
def test_a_spec_that_makes_no_sense_does_not_convert(wrong: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(json.loads(wrong), TranscriptionSpec)
