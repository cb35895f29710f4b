"""Asking for a transcript: what a recording must have, the one operation for it, and the answer as a value.

Owned by no kind: `transcription` and `canonical_text` build the same operation here, so the same recording with the
same options is the same call and is made once. Never decodes audio and never knows who transcribed.
"""

import re

import msgspec

from pipeline.core.errors import ContractError
from pipeline.core.kinds import MAX_TRANSCRIPT_BYTES, JobContext, decode_transcript
from pipeline.core.model import Family, Refusal, Source
from pipeline.core.operations import MediaRef, Transcribe, Transcript

AUTO = "auto"
RECORDINGS: frozenset[Family] = frozenset({"audio", "video"})
TRANSCRIPT_SCHEMA = 1
MAX_RECORDING_BYTES = 8_000_000_000
MAX_RECORDING_S = 24 * 3600.0
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")


def is_language(tag: str) -> bool:
    return _LANGUAGE.fullmatch(tag) is not None


def against_language(tag: str) -> list[Refusal]:
    if tag == AUTO or is_language(tag):
        return []
    hint = 'write "auto" or a language tag such as "en" or "de"'
    return [Refusal(code="job-invalid", message="the language is not a language tag", hint=hint)]


def against_recording(source: Source) -> list[Refusal]:
    """A video without sound cannot be heard; unknown tracks tell nothing, and which track exists the engine knows."""
    if set(source.tracks) != {"video"}:
        return []
    return [Refusal(code="input-type", message="the recording has no audio track", hint="nothing can be heard in it")]


def transcribe(source: Source, *, language: str, words: bool, track: int) -> Transcribe:
    ref = MediaRef(sha256=source.sha256, path=source.path, size=source.size, media=source.media, seconds=source.seconds)
    return Transcribe(audio=ref, language=None if language == AUTO else language, words=words, track=track)


async def hear(ctx: JobContext, operation: Transcribe, *, route: str | None = None) -> Transcript:
    asset = await ctx.call(operation, route=route)
    body = await ctx.read_asset(asset, max_bytes=MAX_TRANSCRIPT_BYTES)
    try:
        transcript = decode_transcript(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ContractError("the answer is not a transcript", hint="mediaspool retry") from error
    if transcript.schema != TRANSCRIPT_SCHEMA:
        raise ContractError(f"the answer has transcript schema {transcript.schema}, 1 is known", code="reply-type")
    return transcript


def heard(transcript: Transcript) -> dict[str, str]:
    """What a receipt may tell of a transcript: numbers and the language, never a word of it."""
    facts = {"seconds": f"{transcript.seconds:.2f}", "segments": str(len(transcript.segments))}
    if transcript.language is not None and is_language(transcript.language):
        facts["language"] = transcript.language
    if transcript.language_probability is not None:
        facts["language_probability"] = f"{transcript.language_probability:.2f}"
    if transcript.speech_seconds is not None:
        facts["speech_seconds"] = f"{transcript.speech_seconds:.2f}"
    return facts
