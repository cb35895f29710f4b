"""The kind `canonical_text`: one text for a source, and where it came from."""

import hashlib
import json
from pathlib import Path

import msgspec
import pytest

from jobs._subtitles import cues, srt, vtt
from jobs._text import transcript_text
from jobs.canonical_text import MAX_TEXT_BYTES, CanonicalText, CanonicalTextSpec, Provenance
from jobs.transcription import Transcription, TranscriptionSpec
from pipeline.core.errors import InputError, LimitExceeded
from pipeline.core.kinds import KindResult
from pipeline.core.model import Limits
from pipeline.core.operations import Transcript
from tests.jobs.scripted import ScriptedContext, answering, source, transcript

KIND = CanonicalText()
SPEC = CanonicalTextSpec()
JFK = transcript("And so, my fellow Americans,", "ask not.", "Ask what you can do.", pause_s=0.2)
SILENCE = transcript(seconds=8.0)


async def derived(
    tmp_path: Path,
    media_type: str,
    body: bytes = b"",
    *,
    heard: Transcript = JFK,
    pdf: str = "",
    limits: Limits | None = None,
) -> KindResult:
    ctx = ScriptedContext(
        tmp_path, source=source(media_type, body), body=body, answer=answering(heard), pdf=pdf, limits=limits
    )
    return await KIND.run(SPEC, ctx)


def text_of(result: KindResult) -> str:
    assert result.drafts[0].content is not None
    return result.drafts[0].content.decode()


def provenance(result: KindResult) -> Provenance:
    assert result.drafts[1].content is not None
    return msgspec.json.decode(result.drafts[1].content, type=Provenance)


@pytest.mark.parametrize(
    ("media_type", "body", "wanted"),
    [
        ("text/plain", "\ufeffGrüße\r\n\r\n\r\nE\u0301 \x07\n".encode(), "Grüße\n\nÉ\n"),
        ("text/plain", "Grüße\n".encode("utf-16"), "Grüße\n"),
        ("text/markdown", b"# Title\r\n\r\n    code  \n", "# Title\n\n    code\n"),
        ("application/json", b'{"b":1.0,"a":"\\u00e9"}', '{\n  "b": 1.0,\n  "a": "é"\n}\n'),
        ("text/vtt", vtt(cues(JFK)).encode(), transcript_text(JFK)),
        ("application/x-subrip", srt(cues(JFK)).encode(), transcript_text(JFK)),
        ("application/json", msgspec.json.encode(JFK), transcript_text(JFK)),
        ("audio/wav", b"RIFF", transcript_text(JFK)),
        ("video/mp4", b"mp4", transcript_text(JFK)),
    ],
)
async def test_each_source_gives_its_text(tmp_path: Path, media_type: str, body: bytes, wanted: str) -> None:
    result = await derived(tmp_path, media_type, body)
    assert (result.verdict, text_of(result)) == ("done", wanted)


async def test_a_pdf_gives_its_extracted_text(tmp_path: Path) -> None:
    result = await derived(tmp_path, "application/pdf", b"%PDF", pdf="Page one\x0cPage two\u00a0\r\n")
    assert text_of(result) == "Page one\nPage two\n"


@pytest.mark.parametrize("media_type", ["audio/wav", "application/json", "text/vtt", "text/plain"])
async def test_the_canonical_text_of_a_canonical_text_is_itself(tmp_path: Path, media_type: str) -> None:
    bodies = {"application/json": b'["\\u0065\\u0301", {"a": []}]', "text/vtt": vtt(cues(JFK)).encode()}
    first = text_of(await derived(tmp_path, media_type, bodies.get(media_type, b"a\r\n b")))
    again = await derived(tmp_path, "text/plain", first.encode())
    assert text_of(again) == first
    assert provenance(again).source_is_canonical


async def test_the_same_source_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = [await derived(tmp_path, "audio/wav", b"RIFF") for _ in range(2)]
    assert first == second


async def test_the_record_says_where_the_text_came_from(tmp_path: Path) -> None:
    body = b"one\r\ntwo\r\n"
    record = provenance(await derived(tmp_path, "text/plain", body))
    assert (record.profile, record.profile_version, record.derivation) == ("canonical_text", KIND.version, "text")
    assert record.source.sha256 == hashlib.sha256(body).hexdigest()
    assert record.text.sha256 == hashlib.sha256(b"one\ntwo\n").hexdigest()
    assert (record.text.lines, record.text.characters, record.text.bytes) == (2, 8, 8)
    assert not record.source_is_canonical


async def test_the_record_of_a_recording_names_engine_model_and_language(tmp_path: Path) -> None:
    record = provenance(await derived(tmp_path, "audio/wav"))
    assert (record.engine, record.model, record.language) == ("scripted 1", "one", "en")


async def test_invariant_29_record_and_facts_hold_no_text_and_no_name(tmp_path: Path) -> None:
    result = await derived(tmp_path, "text/plain", b"canary phrase")
    record = (result.drafts[1].content or b"").decode() + json.dumps(result.facts) + result.reason
    assert "canary" not in record


@pytest.mark.parametrize(
    ("media_type", "body", "reason"),
    [
        ("audio/wav", b"RIFF", "no speech was found"),
        ("application/json", msgspec.json.encode(SILENCE), "no speech was found"),
        ("application/pdf", b"%PDF", "the PDF has no text layer; it may hold scanned pages"),
        ("text/plain", b" \r\n\t\x00"[:4], "the source has no text"),
    ],
)
async def test_a_source_without_words_is_empty_and_gets_no_placeholder(
    tmp_path: Path, media_type: str, body: bytes, reason: str
) -> None:
    result = await derived(tmp_path, media_type, body, heard=SILENCE)
    assert (result.verdict, result.drafts, result.reason) == ("empty", (), reason)


async def test_a_doubtful_transcript_makes_a_suspect_text(tmp_path: Path) -> None:
    result = await derived(tmp_path, "audio/wav", heard=transcript("so so so so so so so so so so so so"))
    assert result.verdict == "suspect"
    assert len(result.drafts) == 2


async def test_a_transcript_of_an_unknown_schema_is_only_json(tmp_path: Path) -> None:
    body = msgspec.json.encode(msgspec.structs.replace(JFK, schema=7))
    assert text_of(await derived(tmp_path, "application/json", body)).startswith("{\n")


@pytest.mark.parametrize(
    ("media_type", "body"),
    [("text/plain", b"abc\xff"), ("application/json", b"{"), ("text/vtt", b"WEBVTT\n"), ("application/x-subrip", b"x")],
)
async def test_a_damaged_source_is_refused(tmp_path: Path, media_type: str, body: bytes) -> None:
    with pytest.raises(InputError) as caught:
        await derived(tmp_path, media_type, body)
    assert caught.value.code == "input-damaged"


async def test_more_characters_than_allowed_stop_the_job(tmp_path: Path) -> None:
    with pytest.raises(LimitExceeded) as caught:
        await derived(tmp_path, "text/plain", b"a" * 11, limits=Limits(max_chars=11))
    assert caught.value.code == "limit-chars"


def test_a_recording_is_heard_by_the_very_call_of_its_transcription() -> None:
    recording = source("audio/wav")
    asked = Transcription().operations(TranscriptionSpec(), recording)
    assert KIND.operations(SPEC, recording) == asked


def test_text_needs_no_call() -> None:
    assert KIND.operations(SPEC, source("text/plain")) == ()


@pytest.mark.parametrize("media_type", ["text/html", "application/vnd.apple.mpegurl", "image/png", "application/zip"])
def test_what_has_no_canonical_text_is_refused(media_type: str) -> None:
    assert [refusal.code for refusal in KIND.check(SPEC, source(media_type))] == ["input-type"]


def test_a_text_file_has_a_smaller_bound_than_a_recording() -> None:
    size = MAX_TEXT_BYTES + 1
    assert [refusal.code for refusal in KIND.check(SPEC, source("text/plain", size=size))] == ["limit-bytes"]
    assert KIND.check(SPEC, source("audio/wav", size=size)) == []


async def test_the_record_can_be_left_out(tmp_path: Path) -> None:
    spec = CanonicalTextSpec(provenance=False)
    result = await KIND.run(spec, ScriptedContext(tmp_path, source=source("text/plain"), body=b"a"))
    assert KIND.products(spec) == tuple(draft.name for draft in result.drafts) == ("txt",)
