"""The kind `canonical_text`: one UTF-8 text that stands for a source everywhere, with a record of where it came from.

A derivation profile: its rules are docs/canonical-text.md, its version is in every job key and provenance record.
Promises: the same bytes, options and engine give the same text; the canonical text of a canonical text is itself; a
source without words is `empty`, never a description of the file. The record holds hashes and numbers, no text, no name.
"""

import hashlib
from collections.abc import Callable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from jobs._asking import own_transcript
from jobs._captions import read_captions
from jobs._hearing import (
    AUTO,
    MAX_RECORDING_BYTES,
    MAX_RECORDING_S,
    RECORDINGS,
    Told,
    Wish,
    against_language,
    against_recording,
    hear,
    heard,
    operations,
)
from jobs._judging import judge
from jobs._text import canonical, decode_text, flow, layout_json, shown_text, transcript_text
from pipeline.core.errors import InputError, LimitExceeded
from pipeline.core.hearing import Hearing
from pipeline.core.kinds import Draft, JobContext, KindResult
from pipeline.core.model import Family, Limits, Refusal, Source
from pipeline.core.operations import Operation, Transcript
from pipeline.core.portions import Portion

PROFILE = "canonical_text"
PROFILE_VERSION = 2
PROVENANCE_SCHEMA = 1
MAX_TEXT_BYTES = 16_000_000
MAX_PDF_BYTES = 500_000_000

Derivation = Literal["speech", "text", "json", "transcript", "captions", "pdf"]

_PDF = "application/pdf"
_NOT_TEXT = {
    "text/html": "save the page as text, Markdown or PDF first",
    "application/vnd.apple.mpegurl": "a playlist only names other files; give those",
}


class CanonicalTextSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All but `provenance` only matter for recordings; the defaults are those of `transcription`."""

    language: str = AUTO
    words: bool = True
    track: Annotated[int, Meta(ge=0, le=99)] = 0
    all_or_nothing: bool = False
    provenance: bool = True


class TextFacts(Struct, frozen=True, kw_only=True):
    sha256: str
    bytes: int
    characters: int
    lines: int


class SourceFacts(Struct, frozen=True, kw_only=True):
    sha256: str
    bytes: int
    media_type: str


class Provenance(Struct, frozen=True, kw_only=True):
    """Where a canonical text came from. Exact and repeatable: no time, no path, no word of the text."""

    schema: int
    profile: str
    profile_version: int
    derivation: Derivation
    source: SourceFacts
    source_is_canonical: bool
    text: TextFacts
    options: CanonicalTextSpec
    engine: str | None
    model: str | None
    language: str | None
    seconds: float | None


class _Derived(Struct, frozen=True, kw_only=True):
    """A text on its way: how it was read, and the transcript it came from if it was heard."""

    derivation: Derivation
    text: str
    transcript: Transcript | None = None
    told: Told | None = None


class CanonicalText:
    """Implements `core.kinds.Kind`."""

    name = PROFILE
    version = PROFILE_VERSION
    spec: type[msgspec.Struct] = CanonicalTextSpec
    families: frozenset[Family] = RECORDINGS | frozenset({"text", "document"})
    asks: frozenset[str] = frozenset({"transcribe"})
    limits = Limits(
        max_input_bytes=MAX_RECORDING_BYTES,
        max_output_bytes=256_000_000,
        max_seconds=MAX_RECORDING_S,
        max_pages=2_000,
        max_chars=20_000_000,
    )

    def products(self, spec: msgspec.Struct) -> tuple[str, ...]:
        return ("txt", "provenance.json") if _mine(spec).provenance else ("txt",)

    def check(self, spec: msgspec.Struct, source: Source | None) -> list[Refusal]:
        mine = _mine(spec)
        reasons = against_language(mine.language)
        if source is None:
            return [*reasons, _NO_SOURCE]
        if source.media.family in RECORDINGS:
            return [*reasons, *against_recording(source)]
        return [*reasons, *_against_text(source)]

    def operations(self, spec: msgspec.Struct, source: Source | None) -> tuple[Operation, ...]:
        if source is None or source.media.family not in RECORDINGS:
            return ()
        return operations(_wish(_mine(spec), source))

    def divided(
        self, spec: msgspec.Struct, source: Source | None, portion: Portion, hearing: Hearing | None
    ) -> tuple[Operation, ...]:
        if source is None or source.media.family not in RECORDINGS:
            return ()
        return operations(_wish(_mine(spec), source), hearing)

    async def run(self, spec: msgspec.Struct, ctx: JobContext) -> KindResult:
        mine = _mine(spec)
        if ctx.source is None:
            raise InputError(_NO_SOURCE.message, code=_NO_SOURCE.code, hint=_NO_SOURCE.hint)
        derived = await _derive(mine, ctx, ctx.source)
        text = canonical(derived.text)
        max_chars = ctx.limits.max_chars
        if max_chars is not None and len(text) > max_chars:
            message = f"the text has {len(text)} characters, {max_chars} allowed"
            raise LimitExceeded(message, code="limit-chars", hint="raise max_chars or split the file")
        return _result(mine, ctx.source, derived, text)


_NO_SOURCE = Refusal(code="input-missing", message="there is no source to derive from", hint="give the job an input")


def _mine(spec: msgspec.Struct) -> CanonicalTextSpec:
    assert isinstance(spec, CanonicalTextSpec)
    return spec


def _against_text(source: Source) -> list[Refusal]:
    media = source.media
    if media.media_type in _NOT_TEXT or not (media.family == "text" or media.media_type == _PDF):
        hint = _NOT_TEXT.get(media.media_type, "give audio, video, text or PDF")
        return [Refusal(code="input-type", message=f"no canonical text is derived from {media.media_type}", hint=hint)]
    allowed = MAX_PDF_BYTES if media.media_type == _PDF else MAX_TEXT_BYTES
    if source.size > allowed:
        message = f"{source.size} bytes of {media.media_type}, {allowed} allowed"
        return [Refusal(code="limit-bytes", message=message, hint="split the file")]
    return []


def _wish(spec: CanonicalTextSpec, source: Source) -> Wish:
    return Wish(
        source=source,
        language=spec.language,
        words=spec.words,
        track=spec.track,
        all_or_nothing=spec.all_or_nothing,
    )


async def _derive(spec: CanonicalTextSpec, ctx: JobContext, source: Source) -> _Derived:
    """By content: hear a recording, extract a PDF, read everything else as text."""
    if source.media.family in RECORDINGS:
        told = await hear(ctx, _wish(spec, source))
        return _Derived(
            derivation="speech",
            text=shown_text(told.transcript, has_names=False),
            transcript=told.transcript,
            told=told,
        )
    if source.media.media_type == _PDF:
        return _Derived(derivation="pdf", text=await ctx.pdf_text(source))
    text = decode_text(await ctx.read_source(max_bytes=MAX_TEXT_BYTES))
    read = _READERS.get(source.media.media_type, _plain)
    return read(text, ctx.limits.max_chars)


def _plain(text: str, max_chars: int | None) -> _Derived:
    return _Derived(derivation="text", text=text)


def _captions(text: str, max_chars: int | None) -> _Derived:
    return _Derived(derivation="captions", text=flow(read_captions(text)))


def _json(text: str, max_chars: int | None) -> _Derived:
    """Our own transcript is read as what was said; any other JSON is laid out."""
    transcript = own_transcript(text)
    if transcript is None:
        return _Derived(derivation="json", text=layout_json(text, max_chars=max_chars))
    return _Derived(derivation="transcript", text=shown_text(transcript, has_names=False), transcript=transcript)


_READERS: dict[str, Callable[[str, int | None], _Derived]] = {
    "application/json": _json,
    "text/vtt": _captions,
    "application/x-subrip": _captions,
}


def _result(spec: CanonicalTextSpec, source: Source, derived: _Derived, text: str) -> KindResult:
    transcript = derived.transcript
    facts = {"derivation": derived.derivation, "characters": str(len(text)), "profile": f"{PROFILE}@{PROFILE_VERSION}"}
    reason = ""
    if transcript is not None:
        judged = judge(transcript, transcript_text(transcript), asked=None if spec.language == AUTO else spec.language)
        facts |= heard(transcript) | judged.facts | (derived.told.facts if derived.told else {})
        reason = (derived.told.reason if derived.told else "") or judged.doubt
    is_empty = not text and not reason
    was_heard = derived.derivation == "speech" and transcript is not None
    return KindResult(
        verdict="empty" if is_empty else "suspect" if reason else "done",
        drafts=_drafts(spec, source, derived, text) if text else (),
        reason=_nothing(derived) if is_empty else reason,
        facts=facts,
        audio_seconds=transcript.seconds if was_heard and transcript is not None else 0.0,
    )


def _nothing(derived: _Derived) -> str:
    if derived.derivation == "pdf":
        return "the PDF has no text layer; it may hold scanned pages"
    if derived.told is not None and derived.told.silence:
        return derived.told.silence
    return "no speech was found" if derived.transcript is not None else "the source has no text"


def _drafts(spec: CanonicalTextSpec, source: Source, derived: _Derived, text: str) -> tuple[Draft, ...]:
    drafts = (Draft(name="txt", media_type="text/plain", content=text.encode()),)
    if not spec.provenance:
        return drafts
    record = msgspec.json.format(msgspec.json.encode(_provenance(spec, source, derived, text)), indent=2) + b"\n"
    return (*drafts, Draft(name="provenance.json", media_type="application/json", content=record))


def _provenance(spec: CanonicalTextSpec, source: Source, derived: _Derived, text: str) -> Provenance:
    body, transcript = text.encode(), derived.transcript
    digest = hashlib.sha256(body).hexdigest()
    return Provenance(
        schema=PROVENANCE_SCHEMA,
        profile=PROFILE,
        profile_version=PROFILE_VERSION,
        derivation=derived.derivation,
        source=SourceFacts(sha256=source.sha256, bytes=source.size, media_type=source.media.media_type),
        source_is_canonical=source.sha256 == digest,
        text=TextFacts(sha256=digest, bytes=len(body), characters=len(text), lines=text.count("\n")),
        options=spec,
        engine=transcript.engine if transcript else None,
        model=transcript.model if transcript else None,
        language=transcript.language if transcript else None,
        seconds=transcript.seconds if transcript else None,
    )
