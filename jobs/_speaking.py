"""From chunks of text to levelled speech in WAVs: each chunk its own call, weighed, made even, and joined in order.

A chunk that is spoken is a take; takes are joined to reels of about ten minutes, so that neither memory nor the size of
one WAV bounds a text. Promises: parts are spoken side by side and joined in order; one part is as loud as the next; an
answer in another format or rate than the first is decoded to it. Samples are a media child's; none comes here. Judges
nothing (`_speech_signs` does).
"""

import statistics
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from jobs._parts import in_order
from jobs._sentences import Chunk
from pipeline.core.errors import ContractError, InputError
from pipeline.core.kinds import JobContext
from pipeline.core.model import Asset
from pipeline.core.operations import Speak
from pipeline.core.sound import Change, Join, Piece, Sound, Splice

REEL_S = 600.0
MOST_TAKES = 500  # in one reel: a bound on what a child is asked at once
EDGE_MS = 60
EVEN_DB = 0.5  # less is not heard
JUDGED_S = 1.0  # of sound: the meter looks at 0.4 s at a time, and takes the pause around a short word for quietness
MOST_EVENING_DB = 9.0
MOST_GAIN_DB = 30.0


class Take(Struct, frozen=True, kw_only=True):
    """One chunk, spoken. `sound` is how it came, None until somebody weighs it; `gain_db` makes it as loud as the
    others, or as loud as was asked.
    """

    chunk: Chunk
    asset: Asset
    sound: Sound | None = None
    gain_db: float = 0.0


class Reel(Struct, frozen=True, kw_only=True):
    """A WAV of several takes. `pieces` says where each of them begins in it, and how it came.

    `sound` is what the file is where it is finished, and may be published.
    """

    path: Path
    seconds: float
    takes: tuple[Take, ...]
    pieces: tuple[Piece, ...]
    sound: Sound | None = None


async def speak_all(ctx: JobContext, chunks: Sequence[Chunk], asks: Sequence[Speak], *, is_weighed: bool) -> list[Take]:
    """Every chunk spoken by its own call, in order."""

    async def speak(number: int) -> Take:
        asset = await ctx.call(asks[number])
        if asset.media.demuxer is None:
            message = f"the speech {asset.media.media_type} has no audio that can be decoded"
            raise ContractError(message, code="reply-damaged")
        return Take(chunk=chunks[number], asset=asset, sound=await _weighed(ctx, asset) if is_weighed else None)

    return await in_order(ctx, len(asks), speak)


async def _weighed(ctx: JobContext, asset: Asset) -> Sound:
    try:
        return await ctx.weigh(asset)
    except InputError as error:
        code = "reply-empty" if error.code == "input-empty" else "reply-damaged"
        raise ContractError(f"the speech {error.message}", code=code) from error


def levelled(takes: Sequence[Take], target_lufs: float | None) -> list[Take]:
    """With gains to the target; without one, to the loudness in the middle of all, and no further than is sensible.

    A take that sounds too short for its loudness to mean much goes with the others, if there are any.
    """
    least_s = JUDGED_S if any(_lufs(take, JUDGED_S) is not None for take in takes) else 0.0
    known = [lufs for take in takes if (lufs := _lufs(take, least_s)) is not None]
    if not known:
        return list(takes)
    middle = statistics.median_low(known)
    wanted = middle if target_lufs is None else target_lufs
    most = MOST_EVENING_DB if target_lufs is None else MOST_GAIN_DB
    return [_with_gain(take, wanted - (_lufs(take, least_s) or middle), most) for take in takes]


def _lufs(take: Take, least_s: float) -> float | None:
    sound = take.sound
    return sound.lufs if sound is not None and sound.seconds * (1 - sound.silence) >= least_s else None


def _with_gain(take: Take, gain: float, most: float) -> Take:
    gain = min(max(gain, -most), most)
    return msgspec.structs.replace(take, gain_db=round(gain, 2) if abs(gain) >= EVEN_DB else 0.0)


class Manner(Struct, frozen=True, kw_only=True):
    """How takes are joined: in one rate and as many channels (None: as they came), pauses shortened by `speed`."""

    rate: int | None = None
    channels: int | None = None
    speed: float = 1.0


def manner_of(takes: Sequence[Take], speed: float) -> Manner:
    """All in the shape of the first."""
    first = takes[0].sound
    return Manner(speed=speed) if first is None else Manner(rate=first.rate, channels=first.channels, speed=speed)


def splice_of(take: Take, manner: Manner, *, tempo: float = 1.0) -> Splice:
    """The take as it is joined, behind its pause."""
    change = Change(rate=manner.rate, channels=manner.channels, gain_db=take.gain_db, tempo=tempo)
    return Splice(change=change, pause_s=take.chunk.pause_s / manner.speed, is_weighed=take.sound is None)


async def join(
    ctx: JobContext,
    takes: Sequence[Take],
    manner: Manner,
    *,
    name: str,
    end_pause_s: float,
    tags: dict[str, str] | None,
) -> list[Reel]:
    """The takes in order, in WAVs of about REEL_S; `end_pause_s` of silence at the very end.

    With `tags`, and where one WAV holds them all, it is a finished file.
    """
    reels: list[Reel] = []
    left = list(takes)
    while left:
        some, rest = left[:MOST_TAKES], left[MOST_TAKES:]
        wish = Join(
            splices=tuple(splice_of(take, manner) for take in some),
            edge_ms=EDGE_MS,
            enough_s=REEL_S,
            end_pause_s=rest[0].chunk.pause_s / manner.speed if rest else end_pause_s,
            tags=None if reels or rest else tags,
        )
        reels.append(await reel_of(ctx, some, wish, ctx.scratch / f"{name}-{len(reels):04d}.wav"))
        left = left[len(reels[-1].takes) :]
    return reels


async def reel_of(ctx: JobContext, takes: Sequence[Take], wish: Join, path: Path) -> Reel:
    """The first of the takes, as many as one reel holds."""
    made = await ctx.join([take.asset for take in takes], wish, path)
    used = takes[: len(made.pieces)]
    pieces = tuple(_known(piece, take) for piece, take in zip(made.pieces, used, strict=True))
    return Reel(path=path, seconds=made.seconds, takes=tuple(used), pieces=pieces, sound=made.sound)


def _known(piece: Piece, take: Take) -> Piece:
    return piece if take.sound is None else msgspec.structs.replace(piece, sound=take.sound)
