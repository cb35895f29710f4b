"""The kind `transcription`: a recording becomes txt, srt, vtt, json and tsv.

Owns which texts are made of a transcript and when a transcript is not to be believed. Promises: every product follows
from the one transcript, so they agree; no speech is `empty` with a reason and no product, never placeholder text;
doubts make the job `suspect`, with its products. Never decodes audio and never knows who transcribed.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from jobs._hearing import (
    AUTO,
    MAX_RECORDING_BYTES,
    MAX_RECORDING_S,
    RECORDINGS,
    Channels,
    Wish,
    against_language,
    against_recording,
    hear,
    heard,
    operations,
)
from jobs._judging import judge
from jobs._scoring import character_error_rate, word_error_rate, words
from jobs._subtitles import cues, srt, tsv, vtt
from jobs._text import decode_text, shown_text, transcript_text, with_marks
from pipeline.core.errors import InputError
from pipeline.core.hearing import Hearing
from pipeline.core.kinds import MAX_TRANSCRIPT_BYTES, NO_SOURCES, Draft, JobContext, KindResult, Sources
from pipeline.core.model import Family, Limits, Refusal, Source
from pipeline.core.operations import Operation, Transcript
from pipeline.core.portions import Portion

TextFormat = Literal["txt", "srt", "vtt", "json", "tsv"]
MAX_REFERENCE_CHARS, MAX_REFERENCE_BYTES = 1_000_000, 4_000_000
REFERENCE = "reference_file"


class TranscriptionSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`language` "auto" detects; `track` counts audio tracks from 0; `reference` is a text to score the result by,
    `reference_file` a file with it: by itself the one that lies beside the recording as `<stem>.ref.txt`.

    `channels` "split" hears each channel on its own and says who spoke; `all_or_nothing` fails the job, in place of a
    gap, where a part of a long recording stays failed.
    """

    formats: Annotated[tuple[TextFormat, ...], Meta(min_length=1)] = ("txt",)
    language: str = AUTO
    words: bool = True
    track: Annotated[int, Meta(ge=0, le=99)] = 0
    channels: Channels = "mix"
    all_or_nothing: bool = False
    reference_file: str | None = None
    reference: Annotated[str, Meta(max_length=MAX_REFERENCE_CHARS)] | None = None


class Transcription:
    """Implements `core.kinds.Kind`."""

    name = "transcription"
    version = 3
    spec: type[msgspec.Struct] = TranscriptionSpec
    further = (REFERENCE,)
    beside: Mapping[str, str] = {REFERENCE: ".ref.txt"}
    families: frozenset[Family] = RECORDINGS
    asks: frozenset[str] = frozenset({"transcribe"})
    limits = Limits(
        max_input_bytes=MAX_RECORDING_BYTES, max_output_bytes=MAX_TRANSCRIPT_BYTES, max_seconds=MAX_RECORDING_S
    )

    def products(self, spec: msgspec.Struct) -> tuple[str, ...]:
        return _mine(spec).formats

    def check(self, spec: msgspec.Struct, source: Source | None, more: Sources = NO_SOURCES) -> list[Refusal]:
        mine = _mine(spec)
        reasons = against_language(mine.language)
        if len(set(mine.formats)) < len(mine.formats):
            reasons.append(
                Refusal(code="job-invalid", message="a format is listed twice", hint="list each format once")
            )
        return [*reasons, *_against_source(source), *_against_reference(mine, more)]

    def operations(
        self, spec: msgspec.Struct, source: Source | None, more: Sources = NO_SOURCES
    ) -> tuple[Operation, ...]:
        return operations(_wish(_mine(spec), source)) if source is not None else ()

    def divided(
        self, spec: msgspec.Struct, source: Source | None, portion: Portion, hearing: Hearing | None
    ) -> tuple[Operation, ...]:
        return operations(_wish(_mine(spec), source), hearing) if source is not None else ()

    async def run(self, spec: msgspec.Struct, ctx: JobContext) -> KindResult:
        mine = _mine(spec)
        if ctx.source is None:
            raise InputError(_NO_SOURCE.message, code=_NO_SOURCE.code, hint=_NO_SOURCE.hint)
        reference = await _reference(mine, ctx)  # first: one that cannot be read costs nothing
        told = await hear(ctx, _wish(mine, ctx.source))
        transcript = told.transcript
        text = transcript_text(transcript)
        judged = judge(transcript, text, asked=None if mine.language == AUTO else mine.language)
        reason = told.reason or judged.doubt
        facts = heard(transcript) | judged.facts | told.facts | _scores(text, reference)
        if not text and not reason:
            reason = told.silence or f"no speech was found in {transcript.seconds:.1f} s"
            return KindResult(verdict="empty", drafts=(), reason=reason, facts=facts, audio_seconds=transcript.seconds)
        return KindResult(
            verdict="suspect" if reason else "done",
            drafts=tuple(_draft(name, transcript) for name in mine.formats) if text else (),
            reason=reason,
            facts=facts,
            audio_seconds=transcript.seconds,
        )


_NO_SOURCE = Refusal(code="input-missing", message="there is no recording to transcribe", hint="give the job an input")


def _mine(spec: msgspec.Struct) -> TranscriptionSpec:
    assert isinstance(spec, TranscriptionSpec)
    return spec


def _against_source(source: Source | None) -> list[Refusal]:
    if source is None:
        return [_NO_SOURCE]
    if source.media.family not in RECORDINGS:
        hint = "transcription takes audio and video; see what the file really is"
        return [Refusal(code="input-type", message=f"{source.media.media_type} is not a recording", hint=hint)]
    return against_recording(source)


def _against_reference(spec: TranscriptionSpec, more: Sources) -> list[Refusal]:
    found = more.get(REFERENCE)
    if found is None:
        return []
    if found.media.family != "text":
        hint = "give plain text, or move the file away"
        return [Refusal(code="input-type", message=f"the reference is {found.media.media_type}", hint=hint)]
    if spec.reference is not None and spec.reference_file is not None:
        hint = "keep one of them"
        return [Refusal(code="job-invalid", message="there are two references: reference, reference_file", hint=hint)]
    return []


async def _reference(spec: TranscriptionSpec, ctx: JobContext) -> str | None:
    """What was really said, as far as anybody has written it down; the job's own text before a file that lies there."""
    if spec.reference is not None or REFERENCE not in ctx.more:
        return spec.reference
    return decode_text(await ctx.read_further(REFERENCE, max_bytes=MAX_REFERENCE_BYTES))


def _wish(spec: TranscriptionSpec, source: Source) -> Wish:
    return Wish(
        source=source,
        language=spec.language,
        words=spec.words,
        track=spec.track,
        channels=spec.channels,
        all_or_nothing=spec.all_or_nothing,
    )


def _draft(name: TextFormat, transcript: Transcript) -> Draft:
    media_type, write = _WRITERS[name]
    return Draft(name=name, media_type=media_type, content=write(transcript).encode())


def _json(transcript: Transcript) -> str:
    """The transcript itself, with every time and probability as the engine gave it."""
    return msgspec.json.format(msgspec.json.encode(transcript), indent=2).decode() + "\n"


_WRITERS: dict[TextFormat, tuple[str, Callable[[Transcript], str]]] = {
    "txt": ("text/plain", shown_text),
    "srt": ("application/x-subrip", lambda transcript: srt(cues(with_marks(transcript), has_labels=True))),
    "vtt": ("text/vtt", lambda transcript: vtt(cues(with_marks(transcript)))),
    "json": ("application/json", _json),
    "tsv": ("text/tab-separated-values", lambda transcript: tsv(with_marks(transcript))),
}


def _scores(text: str, reference: str | None) -> dict[str, str]:
    scores = {"words": str(len(words(text)))}
    if reference is None:
        return scores
    rates = {
        "word_error_rate": word_error_rate(reference, text),
        "character_error_rate": character_error_rate(reference, text),
    }
    return scores | {name: f"{rate:.4f}" for name, rate in rates.items() if rate is not None}
