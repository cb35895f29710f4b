"""The kind `tts`: a text, or the text of a file, becomes one spoken recording, or one for each of its chapters.

Owns what is asked and what is refused; how a text is cut, spoken, joined, judged and published is told beside it.
Promises: what cannot be spoken is refused before anything runs; every sentence is in the result, in order; speech that
does not fit its text is `suspect`. Voices and languages are the driver's to refuse.
"""

import os
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from jobs._captions import read_captions
from jobs._chapters import Book, ChapterText, book_of
from jobs._cues import Fit, against_fits, end_of, fit_figures, lay, slots_of
from jobs._hearing import AUTO, against_language
from jobs._listening import ENGINE, against_heard, heard_figures, listen
from jobs._recording import SpeechFormat, Spoken, file_per_chapter, one_file, tags_of
from jobs._sentences import DEFAULT_LANGUAGE, Chunk, guess_language, has_words, plain_markdown, speech_chunks
from jobs._speaking import Take, join, levelled, manner_of, speak_all
from jobs._speech_signs import Stretch, doubt, figures, parts_of
from jobs._text import Spoken as Cue
from jobs._text import canonical, decode_text, flow
from pipeline.core.errors import InputError, LimitExceeded
from pipeline.core.hearing import Hearing
from pipeline.core.kinds import PLAYLIST, JobContext, KindResult
from pipeline.core.model import Family, Limits, Refusal, Source
from pipeline.core.operations import Operation, Speak
from pipeline.core.portions import DEFAULT_PORTION, Portion

MAX_CHARS = 2_000_000
MAX_TEXT_BYTES = 8_000_000
CHAPTER_PAUSE_S = 1.5
LEAST_LUFS, MOST_LUFS = -40.0, -8.0
SAMPLE_TEXT = "This is a test. "

_CAPTIONS = frozenset({"text/vtt", "application/x-subrip"})
_SPOKEN_TYPES = frozenset({"text/plain", "text/markdown"}) | _CAPTIONS


class TtsSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`text`, or the job's input; `language` "auto" reads it from the text's little words; `speed` 1 is the voice's.

    `chapters`: a file for each heading, or one m4b with marks. `timing`: each cue of subtitles at its time. `verify`
    has the result transcribed again. `loudness` is a target in LUFS; without one the parts
    are made as loud as each other and no more.
    """

    text: str | None = None
    voice: str | None = None
    language: str = AUTO
    speed: Annotated[float, Meta(ge=0.25, le=4.0)] = 1.0
    format: SpeechFormat | None = None
    chapters: Literal["files", "m4b"] | None = None
    timing: Literal["cues"] | None = None
    loudness: Annotated[float, Meta(ge=LEAST_LUFS, le=MOST_LUFS)] | None = None
    verify: bool = False
    title: Annotated[str, Meta(max_length=200)] | None = None


class Tts:
    """Implements `core.kinds.Divides`."""

    name = "tts"
    version = 3
    spec: type[msgspec.Struct] = TtsSpec
    families: frozenset[Family] = frozenset({"text"})
    asks: frozenset[str] = frozenset({"speak"})
    limits = Limits(max_input_bytes=MAX_TEXT_BYTES, max_output_bytes=2_000_000_000, max_chars=MAX_CHARS)

    def products(self, spec: msgspec.Struct) -> tuple[str, ...]:
        """Chapters as files are named by their headings, which nobody has read yet: the playlist stands for them."""
        mine = _mine(spec)
        return (PLAYLIST,) if mine.chapters == "files" else (_format(mine),)

    def check(self, spec: msgspec.Struct, source: Source | None) -> list[Refusal]:
        mine = _mine(spec)
        reasons = [*against_language(mine.language), *_against_format(mine), *_against_timing(mine, source)]
        if mine.text is None:
            return [*reasons, *_against_source(source)]
        if source is not None:
            message, hint = "both a text and an input are given", "give one of them"
            reasons.append(Refusal(code="job-invalid", message=message, hint=hint))
        return [*reasons, *_against_text(mine.text)]

    def operations(self, spec: msgspec.Struct, source: Source | None) -> tuple[Operation, ...]:
        return self.divided(spec, source, DEFAULT_PORTION, None)

    def divided(
        self, spec: msgspec.Struct, source: Source | None, portion: Portion, hearing: Hearing | None
    ) -> tuple[Operation, ...]:
        """All calls for a text in the job; for a file, whose text nobody has read yet, as many as its size allows."""
        mine = _mine(spec)
        if mine.text is None:
            language = DEFAULT_LANGUAGE if mine.language == AUTO else mine.language
            size = len(SAMPLE_TEXT) if source is None else source.size
            return tuple(_speak(mine, text, language) for text in _supposed(size, portion))
        text = canonical(mine.text)
        book, language = _book(mine, text), _language(mine, text)
        return tuple(
            _speak(mine, chunk.text, language) for chapter in book.chapters for chunk in _chunks(chapter, portion)
        )

    def elsewhere(self, spec: msgspec.Struct) -> tuple[tuple[str, str], ...]:
        return ((ENGINE, "transcribe"),) if _mine(spec).verify else ()

    async def run(self, spec: msgspec.Struct, ctx: JobContext) -> KindResult:
        mine = _mine(spec)
        script = await _script(ctx, mine)
        _refuse_unspeakable(
            script.text if script.book.chapters else "", ctx.limits.max_chars
        )  # marks alone are no word
        language = _language(mine, script.text)
        tags = {"language": language, **_tags(ctx, mine.title or script.book.title)}
        if mine.timing == "cues":
            spoken, fits = await _laid(ctx, mine, script, language, tags)
        else:
            spoken, fits = await _joined(ctx, mine, script.book, language, tags), ()
        stretches = _stretches(spoken, are_files=mine.chapters == "files")
        heard = await listen(ctx, stretches, language) if mine.verify else []
        make = file_per_chapter if mine.chapters == "files" else one_file
        made = await make(ctx, spoken, _format(mine), tags)
        parts = list(parts_of(stretches))
        reasons = (doubt(parts, mine.speed), against_fits(fits), against_heard(heard))
        reason = "; ".join(filter(None, reasons))
        facts = {"language": language, "characters": str(len(script.text)), **figures(parts, made.sounds)}
        facts |= {"chapters": str(len(spoken))} if mine.chapters else {}
        return KindResult(
            verdict="suspect" if reason else "done",
            drafts=made.drafts,
            reason=reason,
            facts=facts | (fit_figures(fits) if fits else {}) | heard_figures(heard),
            audio_seconds=sum(sound.seconds for sound in made.sounds),
        )


class _Script(Struct, frozen=True, kw_only=True):
    """What is to be spoken: the text, the same in chapters, and the cues it was read from, if any."""

    text: str
    book: Book
    cues: tuple[Cue, ...] = ()


async def _joined(ctx: JobContext, spec: TtsSpec, book: Book, language: str, tags: dict[str, str]) -> list[Spoken]:
    """The chapters in order, each from its own takes, with a longer pause between two of them."""
    chunks = [_chunks(chapter, ctx.portion) for chapter in book.chapters]
    takes = await _takes(ctx, spec, [chunk for own in chunks for chunk in own], language)
    manner, spoken, used = manner_of(takes, spec.speed), list[Spoken](), 0
    titles = [chapter.title for chapter in book.chapters]
    finished = tags_of(titles, tags) if spec.chapters == "files" else [tags]
    for number, (chapter, own) in enumerate(zip(book.chapters, chunks, strict=True)):
        mine, used = takes[used : used + len(own)], used + len(own)
        is_last = number + 1 == len(chunks) or spec.chapters == "files"
        pause = 0.0 if is_last else CHAPTER_PAUSE_S / spec.speed
        told = finished[number] if _is_joined_last(spec) and len(finished) == len(chunks) else None
        reels = await join(ctx, mine, manner, name=f"chapter-{number:04d}", end_pause_s=pause, tags=told)
        spoken.append(Spoken(title=chapter.title, reels=tuple(reels)))
    return spoken


async def _laid(
    ctx: JobContext, spec: TtsSpec, script: _Script, language: str, tags: dict[str, str]
) -> tuple[list[Spoken], tuple[Fit, ...]]:
    """The cues at their times."""
    slots = slots_of(script.cues, ctx.portion)
    takes = await _takes(ctx, spec, [chunk for slot in slots for chunk in slot.chunks], language)
    manner = manner_of(takes, spec.speed)
    told = tags if _is_joined_last(spec) else None
    laid = await lay(ctx, slots, takes, manner, end_s=end_of(script.cues), tags=told)
    return [Spoken(title="", reels=laid.reels)], laid.fits


async def _takes(ctx: JobContext, spec: TtsSpec, chunks: Sequence[Chunk], language: str) -> list[Take]:
    asks = [_speak(spec, chunk.text, language) for chunk in chunks]
    is_weighed = len(asks) > 1 or spec.loudness is not None or spec.timing is not None
    return levelled(await speak_all(ctx, chunks, asks, is_weighed=is_weighed), spec.loudness)


def _is_joined_last(spec: TtsSpec) -> bool:
    """Is what comes out of the join published as it is? Not where it is encoded, or heard without its tags before."""
    return _format(spec) == "wav" and not spec.verify


def _stretches(spoken: Sequence[Spoken], *, are_files: bool) -> list[Stretch]:
    """Every reel, and where it lies in what is published."""
    stretches, at = [], 0.0
    for number, chapter in enumerate(spoken, start=1):
        at = 0.0 if are_files else at
        for reel in chapter.reels:
            stretches.append(Stretch(reel=reel, at_s=at, file=number if are_files else 0))
            at += reel.seconds
    return stretches


def _tags(ctx: JobContext, title: str) -> dict[str, str]:
    """What a player shows. Of the source its name alone, never where it lies."""
    name = os.path.basename(ctx.source.path).encode("utf-8", "replace").decode() if ctx.source is not None else ""
    title = title or os.path.splitext(name)[0]
    return ({"title": title} if title else {}) | ({"comment": f"source: {name}"} if name else {})


def _mine(spec: msgspec.Struct) -> TtsSpec:
    assert isinstance(spec, TtsSpec)
    return spec


def _format(spec: TtsSpec) -> SpeechFormat:
    return spec.format or ("m4b" if spec.chapters == "m4b" else "wav")


def _against_format(spec: TtsSpec) -> list[Refusal]:
    if (spec.chapters == "m4b") == (_format(spec) == "m4b"):
        return []
    if spec.chapters is None:
        message, hint = "an m4b is a book with chapter marks", 'write chapters = "m4b", or ask for m4a'
    else:
        message = f"chapters = {spec.chapters!r} does not go with the format {_format(spec)}"
        hint = "leave the format out" if spec.chapters == "m4b" else "ask for mp3, opus, flac, m4a or wav"
    return [Refusal(code="job-invalid", message=message, hint=hint)]


def _against_timing(spec: TtsSpec, source: Source | None) -> list[Refusal]:
    if spec.timing is None:
        return []
    if spec.text is not None or (source is not None and source.media.media_type not in _CAPTIONS):
        message, hint = "timing is for cues, and the text has none", "give it an srt or vtt file"
    elif spec.chapters is not None:
        message, hint = "cues have no chapters", "leave one of them out"
    else:
        return []
    return [Refusal(code="job-invalid", message=message, hint=hint)]


def _book(spec: TtsSpec, text: str, *, is_markdown: bool = False) -> Book:
    if spec.chapters is not None:
        return book_of(text, is_markdown=is_markdown)
    return Book(title="", chapters=(ChapterText(title="", text=text),))


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


def _chunks(chapter: ChapterText, portion: Portion) -> list[Chunk]:
    return [chunk for chunk in speech_chunks(chapter.text, portion) if has_words(chunk.text)]


def _supposed(size: int, portion: Portion) -> list[str]:
    """Texts in place of those in a file: a character for each of its bytes, which is never too few."""
    size = max(size, len(SAMPLE_TEXT))
    full = portion.head(SAMPLE_TEXT * (min(size, portion.max_chars) // len(SAMPLE_TEXT) + 1))
    whole, rest = divmod(size, len(full))
    return [full] * whole + [full[:rest]] * bool(rest)


def _speak(spec: TtsSpec, text: str, language: str) -> Speak:
    return Speak(text=text, language=language, voice=spec.voice, speed=spec.speed)


async def _script(ctx: JobContext, spec: TtsSpec) -> _Script:
    """Of the job's text or its file; chapters of Markdown are found by its headings."""
    if spec.text is not None:
        text = canonical(spec.text)
        return _Script(text=text, book=_book(spec, text))
    if ctx.source is None:
        raise InputError("there is nothing to speak", code="input-missing", hint="give the job a text or an input")
    text = decode_text(await ctx.read_source(max_bytes=MAX_TEXT_BYTES))
    if ctx.source.media.media_type in _CAPTIONS:
        cues = tuple(read_captions(text))
        text = flow(cues)
        return _Script(text=text, book=_book(spec, text), cues=cues)
    is_markdown = ctx.source.media.media_type == "text/markdown"
    if is_markdown and not spec.chapters:
        text, is_markdown = plain_markdown(text), False
    return _Script(text=canonical(text), book=_book(spec, canonical(text), is_markdown=is_markdown))
