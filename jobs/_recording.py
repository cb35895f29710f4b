"""From joined reels to the files that are published: one recording, a file per chapter, or one with chapter marks.

Promises: every file is decoded again before it counts as made; titles and tags hold what a listener should see and no
path; several files come with a playlist, which later steps read.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct

from jobs._audio import one_wav
from jobs._chapters import chapter_names, playlist
from jobs._speaking import Reel
from pipeline.core.kinds import Draft, JobContext
from pipeline.core.sound import Chapter, Sound

SpeechFormat = Literal["wav", "mp3", "opus", "flac", "m4a", "m4b"]
PLAYLIST = "m3u"
MEDIA_TYPES: Mapping[SpeechFormat, str] = {
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "flac": "audio/flac",
    "m4a": "audio/mp4",
    "m4b": "audio/mp4",
}


class Spoken(Struct, frozen=True, kw_only=True):
    """One chapter, spoken: its title, which may be empty, and its reels in order."""

    title: str
    reels: tuple[Reel, ...]

    @property
    def seconds(self) -> float:
        return sum(reel.seconds for reel in self.reels)


class Made(Struct, frozen=True, kw_only=True):
    """What is published, and what each recording among it is."""

    drafts: tuple[Draft, ...]
    sounds: tuple[Sound, ...]


async def one_file(ctx: JobContext, chapters: Sequence[Spoken], form: SpeechFormat, tags: Mapping[str, str]) -> Made:
    """Everything in one file; as m4b with a mark for each chapter."""
    path = ctx.scratch / f"speech.{form}"
    reels = [reel for chapter in chapters for reel in chapter.reels]
    marks = _marks(chapters, tags.get("title", "")) if form == "m4b" else ()
    sound = await _made(ctx, reels, path, form, tags=tags, marks=marks)
    return Made(drafts=(Draft(name=form, media_type=MEDIA_TYPES[form], path=path),), sounds=(sound,))


async def file_per_chapter(
    ctx: JobContext, chapters: Sequence[Spoken], form: SpeechFormat, tags: Mapping[str, str]
) -> Made:
    """A playlist, then the chapters in order."""
    titles = [chapter.title for chapter in chapters]
    drafts, sounds = [], []
    for number, (name, chapter) in enumerate(zip(chapter_names(titles, form), chapters, strict=True), start=1):
        path = ctx.scratch / f"chapter-{number}.{form}"
        album = {"album": tags["title"]} if "title" in tags else {}
        told = {**tags, **album, "title": chapter.title or f"{number}", "track": f"{number}/{len(chapters)}"}
        sounds.append(await _made(ctx, chapter.reels, path, form, tags=told))
        drafts.append(Draft(name=name, media_type=MEDIA_TYPES[form], path=path))
    names = [ctx.file_name(draft.name) for draft in drafts]
    listed = playlist(names, titles, [sound.seconds for sound in sounds])
    first = Draft(name=PLAYLIST, media_type="audio/x-mpegurl", content=listed)
    return Made(drafts=(first, *drafts), sounds=tuple(sounds))


async def _made(
    ctx: JobContext,
    reels: Sequence[Reel],
    path: Path,
    form: SpeechFormat,
    *,
    tags: Mapping[str, str],
    marks: Sequence[Chapter] = (),
) -> Sound:
    sources, seconds = [reel.path for reel in reels], sum(reel.seconds for reel in reels)
    if form == "wav":
        await one_wav(sources, path, tags=tags, max_bytes=ctx.limits.max_output_bytes)
        return await ctx.weigh(path)
    media_type = MEDIA_TYPES[form]
    return await ctx.encode(sources, path, media_type=media_type, tags=tags, chapters=marks, seconds=seconds)


def _marks(chapters: Sequence[Spoken], book: str) -> tuple[Chapter, ...]:
    marks, at = [], 0.0
    for number, chapter in enumerate(chapters, start=1):
        title = chapter.title or book or f"{number}"
        marks.append(Chapter(title=title, start_s=at, end_s=at + chapter.seconds))
        at += chapter.seconds
    return tuple(marks)
