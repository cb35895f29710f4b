"""What kinds ask of a recording: what it must have, the calls that will be made for it, and what was heard.

Owned by no kind: `transcription` and `canonical_text` ask in the same way, so the same recording with the same options
is the same calls, each made once. What fits into one call goes as it is; what does not goes in parts. Never decodes
audio and never knows who transcribes.
"""

import re

import msgspec

from jobs._asking import AUTO, Channels, Told, Wish, answer, operation_of
from jobs._cuts import number, overlap_of
from jobs._gate import against_silence, gate_facts
from jobs._in_parts import NOTHING, hear_in_parts, longest_s, on_the_clock
from pipeline.core.hearing import Hearing, fits
from pipeline.core.kinds import JobContext
from pipeline.core.model import Family, Refusal, Source
from pipeline.core.operations import Transcribe, Transcript

__all__ = [
    "AUTO",
    "MAX_RECORDING_BYTES",
    "MAX_RECORDING_S",
    "RECORDINGS",
    "Channels",
    "Told",
    "Wish",
    "against_language",
    "against_recording",
    "hear",
    "heard",
    "is_language",
    "operations",
]

RECORDINGS: frozenset[Family] = frozenset({"audio", "video"})
MAX_RECORDING_BYTES = 8_000_000_000
MAX_RECORDING_S = 24 * 3600.0
SIDES = 2  # what the plan reckons with where each channel is heard on its own
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")


def is_language(tag: str) -> bool:
    return _LANGUAGE.fullmatch(tag) is not None


def against_language(tag: str) -> list[Refusal]:
    if tag == AUTO or is_language(tag):
        return []
    hint = 'write "auto" or a language tag such as "en" or "de"'
    return [Refusal(code="job-invalid", message="the language is not a language tag", hint=hint)]


def against_recording(source: Source) -> list[Refusal]:
    """A video without sound cannot be heard; unknown tracks tell nothing, and which track exists a decoder knows."""
    if set(source.tracks) != {"video"}:
        return []
    return [Refusal(code="input-type", message="the recording has no audio track", hint="nothing can be heard in it")]


def operations(wish: Wish, hearing: Hearing | None = None) -> tuple[Transcribe, ...]:
    """What is going to be called, as far as it can be told unheard: as many parts as needed, each with its seconds."""
    ask, seconds = operation_of(wish), wish.source.seconds
    sides = SIDES if wish.channels == "split" else 1
    if seconds is None or hearing is None or (sides == 1 and fits(ask, hearing)):
        return (ask,) * sides
    longest = longest_s(hearing, seconds)
    many = number(seconds, longest, hearing.share)
    part = msgspec.structs.replace(ask.audio, seconds=min(seconds / many + overlap_of(longest), seconds))
    return (msgspec.structs.replace(ask, audio=part),) * (many * sides)


async def hear(ctx: JobContext, wish: Wish) -> Told:
    """The transcript of the whole recording, from one call or from many; from none where it is silent and costs."""
    if ctx.hearing is None or ctx.hearing.rate_unit == "none":
        return await _hear(ctx, wish)
    survey = await ctx.survey(wish.source, track=wish.track)
    silence, facts = against_silence(survey), gate_facts(survey)
    if silence:
        nothing = msgspec.structs.replace(NOTHING, seconds=round(survey.first_s + survey.seconds, 3))
        return Told(transcript=nothing, silence=silence, facts=facts)
    told = await _hear(ctx, wish)
    spoken = told.transcript
    if spoken.speech is None:
        speech, seconds = on_the_clock(survey), survey.speech_seconds
        spoken = msgspec.structs.replace(spoken, speech=speech, speech_seconds=seconds)
    return msgspec.structs.replace(told, transcript=spoken, facts=facts | told.facts)


async def _hear(ctx: JobContext, wish: Wish) -> Told:
    ask = operation_of(wish)
    if wish.channels == "mix" and (ctx.hearing is None or fits(ask, ctx.hearing)):
        return Told(transcript=await answer(ctx, ask))
    return await hear_in_parts(ctx, wish)


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
