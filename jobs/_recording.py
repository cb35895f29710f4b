"""From joined reels to the files that are published: one recording, a file per chapter, or one with chapter marks.

Promises: every file is decoded again before it counts as made; titles and tags hold what a listener should see and no
path; several files come with a playlist, which later steps read.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct

from jobs._chapters import chapter_names, playlist
from jobs._speaking import Reel
from pipeline.core.kinds import PLAYLIST, Draft, JobContext
from pipeline.core.sound import Chapter, Sound

SpeechFormat = Literal["wav", "mp3", "opus", "flac", "m4a", "m4b"]
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


def tags_of(titles: Sequence[str], tags: Mapping[str, str]) -> list[dict[str, str]]:
    """For each chapter as a file of its own."""
    album = {"album": tags["title"]} if "title" in tags else {}
    return [
        {**tags, **album, "title": title or f"{number}", "track": f"{number}/{len(titles)}"}
        for number, title in enumerate(titles, start=1)
    ]


async def one_file(ctx: JobContext, chapters: Sequence[Spoken], form: SpeechFormat, tags: Mapping[str, str]) -> Made:
    """Everything in one file; as m4b with a mark for each chapter."""
    reels = [reel for chapter in chapters for reel in chapter.reels]
    marks = _marks(chapters, tags.get("title", "")) if form == "m4b" else ()
    path, sound = await _made(ctx, reels, f"speech.{form}", form, tags=tags, marks=marks)
    return Made(drafts=(Draft(name=form, media_type=MEDIA_TYPES[form], path=path),), sounds=(sound,))


async def file_per_chapter(
    ctx: JobContext, chapters: Sequence[Spoken], form: SpeechFormat, tags: Mapping[str, str]
) -> Made:
    """A playlist, then the chapters in order."""
    titles = [chapter.title for chapter in chapters]
    drafts, sounds = list[Draft](), list[Sound]()
    for name, chapter, told in zip(chapter_names(titles, form), chapters, tags_of(titles, tags), strict=True):
        path, sound = await _made(ctx, chapter.reels, f"chapter-{len(sounds)}.{form}", form, tags=told)
        sounds.append(sound)
        drafts.append(Draft(name=name, media_type=MEDIA_TYPES[form], path=path))
    names = [ctx.file_name(draft.name) for draft in drafts]
    listed = playlist(names, titles, [sound.seconds for sound in sounds])
    first = Draft(name=PLAYLIST, media_type="audio/x-mpegurl", content=listed)
    return Made(drafts=(first, *drafts), sounds=tuple(sounds))


async def _made(
    ctx: JobContext,
    reels: Sequence[Reel],
    name: str,
    form: SpeechFormat,
    *,
    tags: Mapping[str, str],
    marks: Sequence[Chapter] = (),
) -> tuple[Path, Sound]:
    """The finished file; a reel that is one already stays what it is."""
    if reels[0].sound is not None:
        return reels[0].path, reels[0].sound
    sources, seconds, path = [reel.path for reel in reels], sum(reel.seconds for reel in reels), ctx.scratch / name
    media_type = MEDIA_TYPES[form]
    return path, await ctx.encode(sources, path, media_type=media_type, tags=tags, chapters=marks, seconds=seconds)


def _marks(chapters: Sequence[Spoken], book: str) -> tuple[Chapter, ...]:
    marks, at = [], 0.0
    for number, chapter in enumerate(chapters, start=1):
        title = chapter.title or book or f"{number}"
        marks.append(Chapter(title=title, start_s=at, end_s=at + chapter.seconds))
        at += chapter.seconds
    return tuple(marks)
