"""From chunks of text to levelled speech in WAVs: each chunk its own call, weighed, made even, and joined in order.

A chunk that is spoken is a take; takes are joined to reels of about ten minutes, so that neither memory nor the size of
one WAV bounds a text. Promises: parts are spoken side by side and joined in order; one part is as loud as the next; an
answer in another format or rate than the first is decoded to it here. Judges nothing (`_speech_signs` does).
"""

import statistics
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from jobs._audio import Piece, disk_errors, join_speech
from jobs._parts import in_order
from jobs._sentences import Chunk
from pipeline.core.errors import ContractError, InputError
from pipeline.core.kinds import JobContext
from pipeline.core.model import Asset
from pipeline.core.operations import Speak
from pipeline.core.sound import Change, Sound
from pipeline.media.wav import SAMPLES, Pcm, read_layout, read_pcm

REEL_S = 600.0
EVEN_DB = 0.5  # less is not heard
JUDGED_S = 1.0  # of sound: the meter looks at 0.4 s at a time, and takes the pause around a short word for quietness
MOST_EVENING_DB = 9.0
MOST_GAIN_DB = 30.0
MAX_PIECE_BYTES = 600_000_000


class Take(Struct, frozen=True, kw_only=True):
    """One chunk, spoken. `gain_db` makes it as loud as the others, or as loud as was asked."""

    chunk: Chunk
    asset: Asset
    sound: Sound
    gain_db: float = 0.0


class Reel(Struct, frozen=True, kw_only=True):
    """A WAV of several takes. `pieces` says where each of them begins in it."""

    path: Path
    seconds: float
    takes: tuple[Take, ...]
    pieces: tuple[Piece, ...]


async def speak_all(
    ctx: JobContext, chunks: Sequence[Chunk], asks: Sequence[Speak], *, target_lufs: float | None
) -> list[Take]:
    """Every chunk spoken by its own call, in order. A single one that stays as it is has no `lufs`."""
    loudness = len(asks) > 1 or target_lufs is not None

    async def speak(number: int) -> Take:
        asset = await ctx.call(asks[number])
        try:
            sound = await ctx.weigh(asset, loudness=loudness)
        except InputError as error:
            code = "reply-empty" if error.code == "input-empty" else "reply-damaged"
            raise ContractError(f"the speech {error.message}", code=code) from error
        return Take(chunk=chunks[number], asset=asset, sound=sound)

    return await in_order(ctx, len(asks), speak)


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
    return take.sound.lufs if take.sound.seconds * (1 - take.sound.silence) >= least_s else None


def _with_gain(take: Take, gain: float, most: float) -> Take:
    gain = min(max(gain, -most), most)
    return msgspec.structs.replace(take, gain_db=round(gain, 2) if abs(gain) >= EVEN_DB else 0.0)


async def samples_of(ctx: JobContext, take: Take, shape: Sound, *, tempo: float = 1.0) -> Pcm:
    """The take as it is joined, in the rate and channels of `shape`."""
    if take.gain_db == 0 and tempo == 1 and (pcm := _as_it_is(take, shape)) is not None:
        return pcm
    change = Change(rate=shape.rate, channels=shape.channels, gain_db=take.gain_db, tempo=tempo)
    path = ctx.scratch / "take.pcm"
    await ctx.weigh(take.asset, path, change=change, loudness=False)
    try:
        with disk_errors(), path.open("rb") as file:
            samples = file.read(MAX_PIECE_BYTES + 1)
    finally:
        path.unlink(missing_ok=True)
    if len(samples) > MAX_PIECE_BYTES:
        raise ContractError(f"one part has more than {MAX_PIECE_BYTES} bytes of samples", code="reply-damaged")
    return Pcm(rate=shape.rate, channels=shape.channels, samples=samples)


def _as_it_is(take: Take, shape: Sound) -> Pcm | None:
    """The samples of a WAV that has this shape already: a child would hand out the same. None for anything else."""
    if take.asset.media.demuxer != "wav":
        return None
    with disk_errors(), open(take.asset.path, "rb") as file:
        found = read_layout(file, take.asset.size)
        if (found.codec, found.rate, found.channels) != (SAMPLES, shape.rate, shape.channels):
            return None
        return read_pcm(file, take.asset.size, max_bytes=MAX_PIECE_BYTES)


class Manner(Struct, frozen=True, kw_only=True):
    """How takes are joined: in the rate and channels of `shape`, pauses shortened by `speed`."""

    shape: Sound
    speed: float = 1.0


async def join(ctx: JobContext, takes: Sequence[Take], manner: Manner, *, name: str, end_pause_s: float) -> list[Reel]:
    """The takes in order, in WAVs of about REEL_S; `end_pause_s` of silence at the very end."""
    reels: list[Reel] = []
    left = list(takes)
    while left:
        path = ctx.scratch / f"{name}-{len(reels):04d}.wav"
        reels.append(await _reel(ctx, left, manner, path, end_pause_s=end_pause_s))
        left = left[len(reels[-1].takes) :]
    return reels


async def _reel(ctx: JobContext, takes: Sequence[Take], manner: Manner, path: Path, *, end_pause_s: float) -> Reel:
    pieces: list[Piece] = []
    with join_speech(path) as speech:
        for take in takes:
            if speech.seconds >= REEL_S:
                break
            pcm = await samples_of(ctx, take, manner.shape)
            pieces.append(speech.append(pcm, pause_s=take.chunk.pause_s / manner.speed))
        is_last = len(pieces) == len(takes)
        speech.pause(end_pause_s if is_last else takes[len(pieces)].chunk.pause_s / manner.speed)
        seconds = speech.seconds
    return Reel(path=path, seconds=seconds, takes=tuple(takes[: len(pieces)]), pieces=tuple(pieces))
