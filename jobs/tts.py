"""The kind `tts`: a text, or the text of a file, becomes one spoken recording.

Owns how long text is cut, joined and judged. Promises: what cannot be spoken is refused before anything runs; every
sentence is in the result, in order; speech that is too short or too long for its text, or silent, is `suspect`.
Voices and languages are the driver's to refuse; encoding is asked of a media child.
"""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from jobs._audio import Piece, SpeechFile, join_speech
from jobs._captions import read_captions
from jobs._hearing import AUTO, against_language
from jobs._sentences import (
    DEFAULT_LANGUAGE,
    Chunk,
    guess_language,
    has_words,
    plain_markdown,
    speech_chunks,
    spoken_size,
)
from jobs._text import canonical, decode_text, flow
from pipeline.core.errors import InputError, LimitExceeded
from pipeline.core.kinds import Draft, JobContext, KindResult
from pipeline.core.model import Family, Limits, Refusal, Source
from pipeline.core.operations import AudioFormat, Operation, Speak
from pipeline.core.portions import DEFAULT_PORTION, Portion

MAX_CHARS = 100_000
MAX_TEXT_BYTES = 1_000_000
MAX_PIECE_BYTES = 64_000_000
SAMPLE_TEXT = "This is a test."

# Letters (see `spoken_size`) a second at speed 1. Measured on both engines, 18 texts in five languages: 7.7 to 19.0
# at speeds up to 2. Outside of these bounds a voice has swallowed or invented something.
SLOWEST_LETTERS_PER_S = 4.0
FASTEST_LETTERS_PER_S = 25.0
FULLY_HEEDED_SPEED = 2.0  # the English engine speaks hardly faster than this, whatever is asked
JUDGED_LETTERS = 20

_MEDIA_TYPES: dict[AudioFormat, str] = {
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "flac": "audio/flac",
    "m4a": "audio/mp4",
}
_CAPTIONS = frozenset({"text/vtt", "application/x-subrip"})
_SPOKEN_TYPES = frozenset({"text/plain", "text/markdown"}) | _CAPTIONS


class TtsSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`text`, or the job's input; `language` "auto" reads it from the text's little words; `speed` 1 is the voice's."""

    text: str | None = None
    voice: str | None = None
    language: str = AUTO
    speed: Annotated[float, Meta(ge=0.25, le=4.0)] = 1.0
    format: AudioFormat = "wav"


class Tts:
    """Implements `core.kinds.Divides`."""

    name = "tts"
    version = 2
    spec: type[msgspec.Struct] = TtsSpec
    families: frozenset[Family] = frozenset({"text"})
    asks: frozenset[str] = frozenset({"speak"})
    limits = Limits(max_input_bytes=MAX_TEXT_BYTES, max_output_bytes=2_000_000_000, max_chars=MAX_CHARS)

    def products(self, spec: msgspec.Struct) -> tuple[str, ...]:
        return (_mine(spec).format,)

    def check(self, spec: msgspec.Struct, source: Source | None) -> list[Refusal]:
        mine = _mine(spec)
        reasons = against_language(mine.language)
        if mine.text is None:
            return [*reasons, *_against_source(source)]
        if source is not None:
            message, hint = "both a text and an input are given", "give one of them"
            reasons.append(Refusal(code="job-invalid", message=message, hint=hint))
        return [*reasons, *_against_text(mine.text)]

    def operations(self, spec: msgspec.Struct, source: Source | None) -> tuple[Operation, ...]:
        return self.divided(spec, source, DEFAULT_PORTION)

    def divided(self, spec: msgspec.Struct, source: Source | None, portion: Portion) -> tuple[Operation, ...]:
        """All calls for a text in the job; for a file, whose text nobody has read yet, one short sample."""
        mine = _mine(spec)
        if mine.text is None:
            language = DEFAULT_LANGUAGE if mine.language == AUTO else mine.language
            return (_speak(mine, SAMPLE_TEXT, language),)
        text = canonical(mine.text)
        return tuple(_speak(mine, chunk.text, _language(mine, text)) for chunk in _chunks(text, portion))

    async def run(self, spec: msgspec.Struct, ctx: JobContext) -> KindResult:
        mine = _mine(spec)
        text = canonical(mine.text) if mine.text is not None else await _read(ctx)
        _refuse_unspeakable(text, ctx.limits.max_chars)
        chunks, language = _chunks(text, ctx.portion), _language(mine, text)
        wav = ctx.scratch / "speech.wav"
        with join_speech(wav, max_bytes=ctx.limits.max_output_bytes) as speech:
            pieces = [await _speak_into(speech, chunk, ctx, _speak(mine, chunk.text, language)) for chunk in chunks]
        path = await _encoded(ctx, wav, mine.format, language)
        reason = _doubt(chunks, pieces, mine.speed)
        return KindResult(
            verdict="suspect" if reason else "done",
            drafts=(Draft(name=mine.format, media_type=_MEDIA_TYPES[mine.format], path=path),),
            reason=reason,
            facts=_facts(text, language, pieces, speech.seconds),
            audio_seconds=speech.seconds,
        )


def _mine(spec: msgspec.Struct) -> TtsSpec:
    assert isinstance(spec, TtsSpec)
    return spec


def _against_source(source: Source | None) -> list[Refusal]:
    if source is None:
        return [
            Refusal(code="input-missing", message="there is nothing to speak", hint="give the job a text or an input")
        ]
    if source.media.media_type not in _SPOKEN_TYPES:
        message = f"{source.media.media_type} is not spoken"
        hint = "give text, Markdown or subtitles, or make a canonical_text of it first"
        return [Refusal(code="input-type", message=message, hint=hint)]
    return []


def _against_text(text: str) -> list[Refusal]:
    try:
        _refuse_unspeakable(canonical(text), MAX_CHARS)
    except (InputError, LimitExceeded) as error:
        return [Refusal(code=error.code, message=error.message, hint=error.hint)]
    return []


def _refuse_unspeakable(text: str, max_chars: int | None) -> None:
    if not text:
        raise InputError("the text is empty", code="input-empty", hint="give the job a text")
    if not has_words(text):
        raise InputError("the text has no letter and no digit", code="text-unsupported", hint="give it words")
    if max_chars is not None and len(text) > max_chars:
        message = f"the text has {len(text)} characters, {max_chars} allowed"
        raise LimitExceeded(message, code="limit-chars", hint="raise max_chars or split the text")


def _language(spec: TtsSpec, text: str) -> str:
    return guess_language(text) if spec.language == AUTO else spec.language


def _chunks(text: str, portion: Portion) -> list[Chunk]:
    return [chunk for chunk in speech_chunks(text, portion) if has_words(chunk.text)]


def _speak(spec: TtsSpec, text: str, language: str) -> Speak:
    return Speak(text=text, language=language, voice=spec.voice, speed=spec.speed)


async def _read(ctx: JobContext) -> str:
    if ctx.source is None:
        raise InputError("there is nothing to speak", code="input-missing", hint="give the job a text or an input")
    text = decode_text(await ctx.read_source(max_bytes=MAX_TEXT_BYTES))
    if ctx.source.media.media_type in _CAPTIONS:
        return flow(read_captions(text))
    if ctx.source.media.media_type == "text/markdown":
        text = plain_markdown(text)
    return canonical(text)


async def _speak_into(speech: SpeechFile, chunk: Chunk, ctx: JobContext, operation: Speak) -> Piece:
    asset = await ctx.call(operation)
    body = await ctx.read_asset(asset, max_bytes=MAX_PIECE_BYTES)
    return speech.append(body, pause_s=chunk.pause_s / operation.speed)


async def _encoded(ctx: JobContext, wav: Path, wanted: AudioFormat, language: str) -> Path:
    if wanted == "wav":
        return wav
    path = ctx.scratch / f"speech-encoded.{wanted}"
    await ctx.encode(wav, path, media_type=_MEDIA_TYPES[wanted], tags={"language": language})
    return path


def _doubt(chunks: list[Chunk], pieces: list[Piece], speed: float) -> str:
    """A reason not to trust the recording, or nothing. Judged part by part, so one lost sentence is noticed."""
    silent = sum(piece.is_silent for piece in pieces)
    if silent:
        return f"{silent} of {len(pieces)} parts are silent"
    odd = sum(not _is_plausible(chunk, piece, speed) for chunk, piece in zip(chunks, pieces, strict=True))
    return f"{odd} of {len(pieces)} parts are too short or too long for their text" if odd else ""


def _is_plausible(chunk: Chunk, piece: Piece, speed: float) -> bool:
    letters = spoken_size(chunk.text)
    pace = letters / piece.seconds
    is_slow = pace < SLOWEST_LETTERS_PER_S * min(speed, FULLY_HEEDED_SPEED)
    return letters < JUDGED_LETTERS or not (is_slow or pace > FASTEST_LETTERS_PER_S * speed)


def _facts(text: str, language: str, pieces: list[Piece], seconds: float) -> dict[str, str]:
    pace = spoken_size(text) / sum(piece.seconds for piece in pieces)
    return {
        "language": language,
        "characters": str(len(text)),
        "parts": str(len(pieces)),
        "seconds": f"{seconds:.2f}",
        "letters_per_second": f"{pace:.1f}",
    }
