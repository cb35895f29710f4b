"""Subtitles spoken to their timing: each cue begins at its time and has until the next one begins.

Promises: nothing overlaps; a cue that needs longer is sped up by MAX_TEMPO at most, at the same pitch; what is still
too long is cut there and told with its milliseconds; the recording ends with the last cue. Never moves a cue.
"""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from jobs._audio import CUE_EDGE_MS, Piece, SpeechFile, join_speech, seconds_of
from jobs._sentences import CLAUSE_PAUSE_S, Chunk, has_words, speech_chunks
from jobs._speaking import REEL_S, Manner, Reel, Take, samples_of
from jobs._speech_signs import clock
from jobs._text import Spoken, canonical, join_words
from pipeline.core.kinds import JobContext
from pipeline.core.portions import Portion
from pipeline.media.wav import Pcm

MAX_TEMPO = 1.35
AIM = 1.01  # a little faster than reckoned: the tempo is met to some milliseconds only
MAX_TOLD = 5
HEARD_MS = 20


class Slot(Struct, frozen=True, kw_only=True):
    """A cue that is spoken, its number in the file, and the seconds that it has."""

    number: int
    start_s: float
    until_s: float
    chunks: tuple[Chunk, ...]


class Fit(Struct, frozen=True, kw_only=True):
    """How a cue came out. `overrun_ms` is what was cut off at its end."""

    number: int
    at_s: float
    tempo: float
    overrun_ms: int


class Laid(Struct, frozen=True, kw_only=True):
    reels: tuple[Reel, ...]
    fits: tuple[Fit, ...]


def slots_of(cues: Sequence[Spoken], portion: Portion) -> list[Slot]:
    """In order of time. Cues that begin together are spoken as one; those without a word are silence."""
    told = _merged(sorted(cues, key=lambda cue: cue.start))
    ends = [*(cue.start for _, cue in told[1:]), end_of(cues)]
    slots = []
    for (number, cue), until in zip(told, ends, strict=True):
        chunks = tuple(chunk for chunk in speech_chunks(canonical(cue.text), portion) if has_words(chunk.text))
        if chunks:
            slots.append(Slot(number=number, start_s=cue.start, until_s=until, chunks=chunks))
    return slots


def end_of(cues: Sequence[Spoken]) -> float:
    return max((cue.end for cue in cues), default=0.0)


def _merged(cues: Sequence[Spoken]) -> list[tuple[int, Spoken]]:
    merged: list[tuple[int, Spoken]] = []
    for number, cue in enumerate(cues, start=1):
        if merged and merged[-1][1].start == cue.start:
            first, before = merged[-1]
            text = join_words(before.text, cue.text)
            merged[-1] = (first, Spoken(start=cue.start, end=max(before.end, cue.end), text=text))
        else:
            merged.append((number, cue))
    return merged


async def lay(ctx: JobContext, slots: Sequence[Slot], takes: Sequence[Take], manner: Manner, *, end_s: float) -> Laid:
    """The takes at their times, in reels that begin with a cue; silence up to `end_s`."""
    reels: list[Reel] = []
    fits: list[Fit] = []
    left, own = list(slots), list(_own(slots, takes))
    begins = 0.0
    while left:
        path = ctx.scratch / f"cues-{len(reels):04d}.wav"
        pieces: list[Piece] = []
        used: list[Take] = []
        with join_speech(path) as speech:
            while left and speech.seconds < REEL_S:
                fits.append(await _place(ctx, speech, left.pop(0), own[0], manner, begins, pieces))
                used += own.pop(0)
            ends = left[0].start_s if left else end_s
            speech.pad_to(ends - begins)
            reels.append(Reel(path=path, seconds=speech.seconds, takes=tuple(used), pieces=tuple(pieces)))
        begins = ends
    return Laid(reels=tuple(reels), fits=tuple(fits))


def _own(slots: Sequence[Slot], takes: Sequence[Take]) -> Iterator[Sequence[Take]]:
    at = 0
    for slot in slots:
        yield takes[at : at + len(slot.chunks)]
        at += len(slot.chunks)


async def _place(
    ctx: JobContext,
    speech: SpeechFile,
    slot: Slot,
    takes: Sequence[Take],
    manner: Manner,
    begins: float,
    pieces: list[Piece],
) -> Fit:
    """One cue at its time; where its pieces lie goes to `pieces`."""
    room = slot.until_s - slot.start_s
    spoken = [await samples_of(ctx, take, manner.shape) for take in takes]
    needed, tempo = _length(spoken, 1.0), 1.0
    while needed > room and tempo < MAX_TEMPO:
        tempo = min(tempo * needed / room * AIM, MAX_TEMPO) if room > 0 else MAX_TEMPO
        spoken = [await samples_of(ctx, take, manner.shape, tempo=tempo) for take in takes]
        needed = _length(spoken, tempo)
    at = slot.start_s - begins
    for pcm in spoken:
        pieces.append(speech.place(pcm, at_s=at, until_s=slot.until_s - begins))
        at += pieces[-1].seconds + CLAUSE_PAUSE_S / tempo
    over = round((needed - room) * 1000)
    return Fit(number=slot.number, at_s=slot.start_s, tempo=round(tempo, 3), overrun_ms=over if over > HEARD_MS else 0)


def _length(spoken: Sequence[Pcm], tempo: float) -> float:
    pauses = CLAUSE_PAUSE_S / tempo * (len(spoken) - 1)
    return sum(seconds_of(pcm, edge_ms=CUE_EDGE_MS) for pcm in spoken) + pauses


def against_fits(fits: Sequence[Fit]) -> str:
    """Which cues do not fit their time, and by how much; or nothing."""
    over = [fit for fit in fits if fit.overrun_ms]
    if not over:
        return ""
    told = [f"cue {fit.number} at {clock(fit.at_s)} by {fit.overrun_ms} ms" for fit in over[:MAX_TOLD]]
    more = f" and {len(over) - MAX_TOLD} more" if len(over) > MAX_TOLD else ""
    return f"{len(over)} of {len(fits)} cues overrun their time and are cut there: {', '.join(told)}{more}"


def fit_figures(fits: Sequence[Fit]) -> dict[str, str]:
    fast = [fit.tempo for fit in fits if fit.tempo > 1]
    return {
        "cues": str(len(fits)),
        "cues_sped_up": str(len(fast)),
        "fastest_tempo": f"{max(fast, default=1.0):.2f}",
        "cues_cut": str(sum(fit.overrun_ms > 0 for fit in fits)),
        "longest_overrun_ms": str(max((fit.overrun_ms for fit in fits), default=0)),
    }
