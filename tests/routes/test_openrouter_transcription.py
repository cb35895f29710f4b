"""Transcription through OpenRouter, against a real server on loopback."""

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from pipeline.core.errors import ContractError
from pipeline.core.operations import Transcribe
from pipeline.trace.redact import Redactor
from tests.routes.conftest import MP3, recording
from tests.routes.remote import Desk

pytestmark = pytest.mark.real_time
WHISPER = "openai/whisper-1"
SECONDS = 2.99


def heard(**told: object) -> Transcribe:
    return msgspec.structs.replace(Transcribe(audio=recording("austen-0880.wav", seconds=SECONDS)), **told)


async def test_k14_k40_a_recording_goes_as_base64_to_the_transcription_endpoint(desk: Desk) -> None:
    await desk.ask(desk.openrouter(), heard(language="en-GB"), WHISPER)
    seen, sent = desk.standin.requests("transcribe")[0], desk.sent("transcribe")
    assert (seen["path"], seen["model"]) == ("/audio/transcriptions", WHISPER)
    assert (sent["language"], sent["response_format"]) == ("en", "verbose_json")
    assert sent["timestamp_granularities"] == ["segment", "word"]
    audio = sent["input_audio"]
    assert isinstance(audio, dict)
    assert audio["format"] == "wav"


async def test_the_bytes_that_arrive_are_those_of_the_file(desk: Desk) -> None:
    audio = recording("jfk.mp3", MP3)
    await desk.ask(desk.openrouter(), Transcribe(audio=audio), WHISPER)
    media = desk.standin.requests("transcribe")[0]["media"]
    assert isinstance(media, list)
    assert [part["sha256"] for part in media] == [audio.sha256]


async def test_an_answer_becomes_a_transcript_with_segments_words_and_its_cost(desk: Desk) -> None:
    reply = await desk.ask(desk.openrouter(), heard(), WHISPER)
    transcript = desk.transcript
    assert (transcript.schema, transcript.language, transcript.seconds) == (1, "en", SECONDS)
    assert transcript.segments
    assert all(segment.words and segment.text == segment.text.strip() for segment in transcript.segments)
    assert isinstance(reply.usd, Decimal)
    assert reply.media_type == "application/json"


async def test_a_model_without_times_is_asked_for_plain_json_and_the_text_is_one_segment(desk: Desk) -> None:
    reply = await desk.ask(desk.openrouter(), heard())
    assert desk.sent("transcribe")["response_format"] == "json"
    assert [(segment.start, segment.end) for segment in desk.transcript.segments] == [(0.0, SECONDS)]
    assert reply.facts["form"] == "json"


async def test_t21_the_id_and_the_seconds_that_are_billed_are_kept(desk: Desk) -> None:
    reply = await desk.ask(desk.openrouter(), heard(), "microsoft/mai-transcribe-2")
    assert str(reply.request_id).startswith("gen-stt-")
    assert reply.facts["billed_seconds"] == "3"
    assert desk.transcript.seconds == SECONDS


@pytest.mark.parametrize("choice", ["multipart", "json"])
async def test_both_bodies_give_the_same_transcript(desk: Desk, choice: str) -> None:
    await desk.ask(desk.openrouter(options={"transcribe_body": choice}), heard(), WHISPER)
    form = desk.standin.requests("transcribe")[0]["headers"]
    kind = "multipart/form-data" if choice == "multipart" else "application/json"
    assert kind in str(form)
    assert len(desk.transcript.segments) > 0


async def test_a_large_recording_goes_without_the_third_that_base64_adds(desk: Desk, tmp_path: Path) -> None:
    wav = recording("jfk.wav", seconds=11.0)
    body = (Path(wav.path).read_bytes()) + bytes(4_000_000)
    big = tmp_path / "big.wav"
    big.write_bytes(body)
    audio = msgspec.structs.replace(wav, path=str(big), size=len(body))
    await desk.ask(desk.openrouter(), Transcribe(audio=audio), WHISPER)
    assert "multipart/form-data" in str(desk.standin.requests("transcribe")[0]["headers"])


async def test_silence_is_an_empty_transcript_and_no_error(desk: Desk) -> None:
    desk.standin.fault("transcript-empty")
    await desk.ask(desk.openrouter(), heard(), WHISPER)
    assert desk.transcript.segments == ()
    assert desk.transcript.seconds == SECONDS


@pytest.mark.parametrize("fault", ["transcript-missing", "transcript-null", "transcript-number", "transcript-list"])
async def test_k45_an_answer_without_a_text_is_a_contract_error_and_not_retried(desk: Desk, fault: str) -> None:
    desk.standin.fault(fault)
    with pytest.raises(ContractError) as wrong:
        await desk.ask(desk.openrouter(), heard(), WHISPER)
    assert not wrong.value.retryable
    assert Redactor().text(wrong.value.message) == wrong.value.message
    assert desk.standin.count("transcribe") == 1


@pytest.mark.parametrize(
    "fault", ["segments-unsorted", "segments-overlap", "segments-backward", "segments-negative", "segments-beyond"]
)
async def test_odd_times_are_mended_and_counted_or_refused_as_the_settings_say(desk: Desk, fault: str) -> None:
    desk.standin.fault(fault)
    await desk.ask(desk.openrouter(), heard(), WHISPER)
    times = [(segment.start, segment.end) for segment in desk.transcript.segments]
    assert times == sorted(times)
    assert all(0 <= start <= end <= SECONDS for start, end in times)
    with pytest.raises(ContractError, match="out of order"):
        await desk.ask(desk.openrouter(options={"segments": "strict"}), heard(), WHISPER)


@pytest.mark.parametrize("fault", ["segments-null", "words-null", "words-of-null", "no-language", "duration-string"])
async def test_what_is_absent_from_an_answer_is_done_without(desk: Desk, fault: str) -> None:
    desk.standin.fault(fault)
    await desk.ask(desk.openrouter(), heard(), WHISPER)
    assert desk.transcript.segments


@pytest.mark.parametrize("fault", ["no-usage", "usage-null"])
async def test_t22_an_absent_cost_stays_unknown(desk: Desk, fault: str) -> None:
    desk.standin.fault(fault)
    assert (await desk.ask(desk.openrouter(), heard(), WHISPER)).usd is None


@pytest.mark.parametrize("fault", ["sse-comments", "leading-space", "bom"])
async def test_what_servers_put_before_json_is_skipped(desk: Desk, fault: str) -> None:
    desk.standin.fault(fault)
    await desk.ask(desk.openrouter(), heard(), WHISPER)
    assert desk.transcript.segments


@pytest.mark.parametrize("fault", ["duplicate-keys", "segments-nan", "not-json", "json-list", "json-null", "gzip"])
async def test_json_that_two_readers_would_read_apart_is_refused(desk: Desk, fault: str) -> None:
    desk.standin.fault(fault)
    with pytest.raises(ContractError):
        await desk.ask(desk.openrouter(), heard(), WHISPER)


async def test_options_of_a_provider_travel_with_a_transcription(desk: Desk) -> None:
    routing = {WHISPER: '{"options": {"groq": {"prompt": "Names: Ada."}}}'}
    await desk.ask(desk.openrouter(routing=routing), heard(), WHISPER)
    assert desk.sent("transcribe")["provider"] == {"options": {"groq": {"prompt": "Names: Ada."}}}


async def test_the_engine_of_a_transcript_names_the_dialect_and_the_model(desk: Desk) -> None:
    await desk.ask(desk.openrouter(), heard(), WHISPER)
    assert desk.transcript.engine.startswith("openrouter ")
    assert desk.transcript.model == WHISPER
