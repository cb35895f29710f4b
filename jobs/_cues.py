"""Subtitles spoken to their timing: each cue begins at its time and has until the next one begins.

Promises: nothing overlaps; a cue that needs longer is sped up by MAX_TEMPO at most, at the same pitch; what is still
too long is cut there and told with its milliseconds; the recording ends with the last cue. Never moves a cue.
"""

from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Struct

from jobs._sentences import CLAUSE_PAUSE_S, Chunk, has_words, speech_chunks
from jobs._speaking import MOST_TAKES, REEL_S, Manner, Reel, Take, reel_of, splice_of
from jobs._text import Spoken, canonical, clock, join_words
from pipeline.core.kinds import JobContext
from pipeline.core.portions import Portion
from pipeline.core.sound import Join, Splice

MAX_TEMPO = 1.35
AIM = 1.01  # a little faster than reckoned: the tempo is met to some milliseconds only
MAX_TOLD = 5
HEARD_MS = 20
EDGE_MS = 10


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


class _Set(Struct, frozen=True, kw_only=True):
    """A cue whose takes are made to fit."""

    slot: Slot
    takes: Sequence[Take]
    splices: Sequence[Splice]
    fit: Fit

    def placed(self, begins_s: float) -> Iterator[Splice]:
        """In a reel that begins then: the first take at the time of the cue, the others behind it."""
        at, until = self.slot.start_s - begins_s, self.slot.until_s - begins_s
        for number, splice in enumerate(self.splices):
            yield msgspec.structs.replace(splice, at_s=None if number else at, until_s=until)


async def lay(
    ctx: JobContext,
    slots: Sequence[Slot],
    takes: Sequence[Take],
    manner: Manner,
    *,
    end_s: float,
    tags: dict[str, str] | None,
) -> Laid:
    """The takes at their times, in reels that begin with a cue; silence up to `end_s`.

    With `tags`, and where one reel holds them all, it is a finished file.
    """
    left = [await _fitted(ctx, slot, own, manner) for slot, own in _own(slots, takes)]
    fits, reels, begins = tuple(each.fit for each in left), list[Reel](), 0.0
    while left:
        some, rest = left[:MOST_TAKES], left[MOST_TAKES:]
        wish = Join(
            splices=tuple(splice for each in some for splice in each.placed(begins)),
            edge_ms=EDGE_MS,
            enough_s=REEL_S,
            end_at_s=(rest[0].slot.start_s if rest else end_s) - begins,
            tags=None if reels or rest else tags,
        )
        path = ctx.scratch / f"cues-{len(reels):04d}.wav"
        reels.append(await reel_of(ctx, [take for each in some for take in each.takes], wish, path))
        used = len(reels[-1].takes)
        while used:
            used -= len(left.pop(0).takes)
        begins = left[0].slot.start_s if left else end_s
    return Laid(reels=tuple(reels), fits=fits)


def _own(slots: Sequence[Slot], takes: Sequence[Take]) -> Iterator[tuple[Slot, Sequence[Take]]]:
    at = 0
    for slot in slots:
        yield slot, takes[at : at + len(slot.chunks)]
        at += len(slot.chunks)


async def _fitted(ctx: JobContext, slot: Slot, takes: Sequence[Take], manner: Manner) -> _Set:
    """As fast as it must be. How long its takes are is asked only where they may be too long."""
    room = slot.until_s - slot.start_s
    splices, tempo = _splices(takes, manner, 1.0), 1.0
    needed = sum(take.sound.seconds for take in takes if take.sound is not None) + _pauses(splices)
    if needed + HEARD_MS / 1000 > room:
        needed = await _length(ctx, takes, splices)
    while needed > room and tempo < MAX_TEMPO:
        tempo = min(tempo * needed / room * AIM, MAX_TEMPO) if room > 0 else MAX_TEMPO
        splices = _splices(takes, manner, tempo)
        needed = await _length(ctx, takes, splices)
    over = round((needed - room) * 1000)
    cut = over if over > HEARD_MS else 0
    fit = Fit(number=slot.number, at_s=slot.start_s, tempo=round(tempo, 3), overrun_ms=cut)
    return _Set(slot=slot, takes=takes, splices=splices, fit=fit)


def _splices(takes: Sequence[Take], manner: Manner, tempo: float) -> list[Splice]:
    pause = CLAUSE_PAUSE_S / tempo
    return [msgspec.structs.replace(splice_of(take, manner, tempo=tempo), pause_s=pause) for take in takes]


async def _length(ctx: JobContext, takes: Sequence[Take], splices: Sequence[Splice]) -> float:
    wish = Join(splices=tuple(splices), edge_ms=EDGE_MS)
    told = await ctx.join([take.asset for take in takes], wish, None)
    return sum(piece.seconds for piece in told.pieces) + _pauses(splices)


def _pauses(splices: Sequence[Splice]) -> float:
    return splices[0].pause_s * (len(splices) - 1)


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
