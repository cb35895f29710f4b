"""Speech transcribed back by the embedded engine: how many of its words come out again.

Promises: a call like every other, with its receipt; reel by reel, so a book is judged in bounded memory and its worst
ten minutes are named. Figures and places only, never a word of the text.
"""

from collections.abc import Sequence

from msgspec import Struct

from jobs._asking import answer
from jobs._parts import in_order
from jobs._scoring import word_error_rate, words
from jobs._speech_signs import Stretch
from jobs._text import clock, transcript_text
from pipeline.core.kinds import ROUND_TRIP, JobContext
from pipeline.core.model import Media
from pipeline.core.operations import Transcribe

ENGINE = "whisper"
# Measured on both embedded voices, seven passages in five languages at 0.6, 1 and 1.8 of their speed: 4 to 38 % (the
# last a text full of numbers). Three passages spoken by the rules of another language: 83 to 86 %.
MOST_WER = 0.45
JUDGED_WORDS = 20
WAV = Media(media_type="audio/wav", family="audio", extension="wav", demuxer="wav", codec="pcm_s16le")


class Heard(Struct, frozen=True, kw_only=True):
    """The words of a stretch, and how many of them did not come out again."""

    stretch: Stretch
    words: int
    errors: float


async def listen(ctx: JobContext, stretches: Sequence[Stretch], language: str) -> list[Heard]:
    """Every stretch heard by the engine, in order."""

    async def heard(number: int) -> Heard:
        stretch = stretches[number]
        audio = await ctx.refer(stretch.reel.path, WAV, seconds=stretch.reel.seconds)
        ask = Transcribe(audio=audio, language=language.partition("-")[0], words=False)
        text = transcript_text(await answer(ctx, ask, route=ENGINE))
        spoken = " ".join(take.chunk.text for take in stretch.reel.takes)
        count = len(words(spoken))
        return Heard(stretch=stretch, words=count, errors=(word_error_rate(spoken, text) or 0.0) * count)

    return await in_order(ctx, len(stretches), heard)


def against_heard(found: Sequence[Heard]) -> str:
    """Where too few words came out again, in one stretch or in all of them; or nothing. A few words are not judged."""
    groups = [found, *([one] for one in found)]
    if not any(_words(group) >= JUDGED_WORDS and round_trip(group) > MOST_WER for group in groups):
        return ""
    worst = max(found, key=lambda one: round_trip([one])).stretch
    place = f"{f'file {worst.file}, ' if worst.file else ''}{clock(worst.at_s)}"
    return f"read back, {round_trip(found):.0%} of the words are others; listen from {place}"


def _words(found: Sequence[Heard]) -> int:
    return sum(one.words for one in found)


def round_trip(found: Sequence[Heard]) -> float:
    """Word errors over all of it."""
    return sum(one.errors for one in found) / max(_words(found), 1)


def heard_figures(found: Sequence[Heard]) -> dict[str, str]:
    return {ROUND_TRIP: f"{round_trip(found):.3f}"} if found else {}
