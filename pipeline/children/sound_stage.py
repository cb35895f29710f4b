"""The sound stage: a sound decoded, perhaps changed, and weighed. Runs in the media lane.

Loudness is FFmpeg's EBU R128 meter; everything else is counted here. As a stream: it holds a few seconds at a time.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import av
import av.error
import numpy as np
from av.audio.frame import AudioFrame
from av.filter import Graph
from msgspec import Struct
from numpy.typing import NDArray

from pipeline.children import audio, files, pcm
from pipeline.children.pcm import Pcm
from pipeline.children.sound_work import WeighParams
from pipeline.children.stage import FileRef, Roots, StageResult, StageSpec, packed
from pipeline.core.decoding import from_json
from pipeline.core.errors import InputError
from pipeline.core.sound import Change, Sound

FLAT = 32767  # a sample here or at the other end, with a neighbour that is too, was cut off
FRAME_S = 0.05
LUMP_S = 4  # each look at a sound costs; so many seconds of it are a few megabytes at most
CEILING = 10 ** (-1 / 20)
SILENCE = 10 ** (-50 / 20)
LEAST_LUFS = -69.0  # the meter's word for silence is -70
STEREO = 2
NO_CHANGE = Change()


class Opened(Struct, frozen=True, kw_only=True):
    """A sound as it is decoded: its samples after a change, interleaved, some seconds at a time, and their shape."""

    rate: int
    channels: int
    lumps: Iterator[Pcm]


def weigh(spec: StageSpec, roots: Roots) -> StageResult:
    """A Sound as facts."""
    sound = weighed(spec.inputs[0], roots, from_json(spec.params, WeighParams).demuxer)
    return StageResult(facts=packed(sound))


def weighed(ref: FileRef, roots: Roots, demuxer: str) -> Sound:
    """What a sound is, decoded to its last sample."""
    with opened(ref, roots, demuxer) as found:
        meter = SoundMeter(found.rate, found.channels)
        for lump in found.lumps:
            meter.add(lump)
    if not meter.frames:
        raise InputError("no audio can be decoded", code="input-empty")
    return meter.told()


@contextmanager
def opened(ref: FileRef, roots: Roots, demuxer: str, change: Change = NO_CHANGE) -> Iterator[Opened]:
    with files.source(ref, roots) as source, audio.opened(source, demuxer) as container, audio.ffmpeg_errors():
        stream = audio.audio_stream(container, 0)
        decoder = audio.Decoder(container, stream, max_seconds=None)
        rate = change.rate or decoder.rate
        channels = change.channels or min(stream.codec_context.channels, STEREO)
        yield Opened(rate=rate, channels=channels, lumps=samples(decoder, change, rate, channels))


class SoundMeter:
    """What the samples so far have told. `add` takes interleaved samples of whole frames."""

    def __init__(self, rate: int, channels: int, *, hears_loudness: bool = True) -> None:
        self.frames = 0
        self._rate, self._channels = rate, channels
        self._loudness = Loudness(rate, channels) if hears_loudness else None
        self._silence = Silence(round(rate * FRAME_S) * channels)
        self._peak = self._flat = 0
        self._last: Pcm | None = None

    def add(self, lump: Pcm) -> None:
        self.frames += len(lump) // self._channels
        peak = max(int(lump.max(initial=0)), -int(lump.min(initial=0)))
        self._peak = max(self._peak, peak)
        self._note_flat(lump.reshape(-1, self._channels), is_loud=peak >= FLAT)
        self._silence.add(lump)
        if self._loudness is not None:
            self._loudness.add(lump)

    def _note_flat(self, frames: Pcm, *, is_loud: bool) -> None:
        if is_loud:
            whole = frames if self._last is None else np.concatenate([self._last, frames])
            flat = np.abs(whole.astype(np.int32)) >= FLAT
            self._flat += int((flat[1:] & flat[:-1]).sum())
        self._last = frames[-1:]

    def told(self) -> Sound:
        lufs = None if self._loudness is None else self._loudness.told()
        return Sound(
            seconds=self.frames / self._rate,
            rate=self._rate,
            channels=self._channels,
            lufs=round(lufs, 2) if lufs is not None and lufs > LEAST_LUFS else None,
            peak=round(min(self._peak / pcm.FULL_SCALE, 1.0), 5),
            clipped=round(self._flat / (self.frames * self._channels or 1), 6),
            silence=round(self._silence.share(), 4),
            longest_silence_s=round(self._silence.longest * FRAME_S, 2),
        )


class Silence:
    """Stretches below the bound, in frames of `size` samples, FRAME_S each; `longest` of those between two sounds."""

    def __init__(self, size: int) -> None:
        self.longest = 0
        self._size = size
        self._held: list[Pcm] = []
        self._count = self._silent = self._frames = 0
        self._sounded: int | None = None  # the number of the last frame that was not silent

    def add(self, lump: Pcm) -> None:
        self._held.append(lump)
        self._count += len(lump)
        if self._count < self._size:
            return
        whole = np.concatenate(self._held)
        used = len(whole) // self._size * self._size
        squares = whole[:used].astype(np.float32)
        squares *= squares
        self._note(squares.reshape(-1, self._size).mean(axis=1) < (SILENCE * pcm.FULL_SCALE) ** 2)
        self._held, self._count = [whole[used:]], len(whole) - used

    def _note(self, are_silent: NDArray[np.bool_]) -> None:
        sounds = self._frames + np.flatnonzero(~are_silent)
        self._frames += len(are_silent)
        self._silent += len(are_silent) - len(sounds)
        if len(sounds):
            before = sounds[0] if self._sounded is None else self._sounded
            self.longest = max(self.longest, int(np.diff(sounds, prepend=before).max()) - 1)
            self._sounded = int(sounds[-1])

    def share(self) -> float:
        return self._silent / self._frames if self._frames else 0.0


class Loudness:
    """The integrated loudness in LUFS, by FFmpeg's meter."""

    def __init__(self, rate: int, channels: int) -> None:
        self._rate, self._layout, self._second = rate, _layout(channels), rate * channels
        self._graph = _chain(rate, self._layout, ("ebur128", "metadata=1:framelog=quiet"))
        self._pushed = 0
        self._told: str | None = None

    def add(self, lump: Pcm) -> None:
        for start in range(0, len(lump), self._second):  # of more at once, FFmpeg's copies no longer fit into a cache
            frame = _frame(lump[start : start + self._second], self._layout, self._rate, self._pushed)
            self._pushed += frame.samples
            self._graph.push(frame)
            self._drain()

    def told(self) -> float | None:
        self._graph.push(None)
        self._drain()
        return None if self._told is None else float(self._told)

    def _drain(self) -> None:
        for last in deque(_pulled(self._graph), maxlen=1):  # one for each 0.1 s, and each tells of all before it
            self._told = last.metadata.get("lavfi.r128.I", self._told)


def samples(decoder: audio.Decoder, change: Change, rate: int, channels: int) -> Iterator[Pcm]:
    """Interleaved samples in this shape, changed as asked; about LUMP_S at a time."""
    layout = _layout(channels)
    return lumps(_changed(pcm.shaped(decoder, rate, layout), change, rate, layout), round(LUMP_S * rate) * channels)


def lumps(samples: Iterator[Pcm], size: int) -> Iterator[Pcm]:
    """The same samples, at least `size` at a time: some decoders bring them in tiny frames, and each look costs."""
    held: list[Pcm] = []
    count = 0
    for some in samples:
        held.append(some)
        count += len(some)
        if count >= size:
            yield np.concatenate(held)
            held, count = [], 0
    if held:
        yield np.concatenate(held)


def _changed(chunks: Iterator[Pcm], change: Change, rate: int, layout: str) -> Iterator[Pcm]:
    filters: list[tuple[str, str]] = []
    if change.tempo != 1.0:
        filters.append(("atempo", f"{change.tempo:.4f}"))
    if change.gain_db != 0.0:
        filters.append(("volume", f"{change.gain_db:.2f}dB:precision=double"))
        filters.append(("alimiter", f"limit={CEILING:.4f}:level=0:latency=1:attack=2:release=40"))
    if not filters:
        yield from chunks
        return
    filters.append(("aformat", f"sample_fmts=s16:channel_layouts={layout}:sample_rates={rate}"))
    graph, pushed = _chain(rate, layout, *filters), 0
    for chunk in chunks:
        frame = _frame(chunk, layout, rate, pushed)
        pushed += frame.samples
        graph.push(frame)
        yield from map(pcm.values, _pulled(graph))
    graph.push(None)
    yield from map(pcm.values, _pulled(graph))


def _chain(rate: int, layout: str, *filters: tuple[str, str]) -> Graph:
    """A filter behind a door for samples of 16 bits, and before one for whatever it makes of them."""
    graph = Graph()
    graph.threads = 1  # none of these filters has work for more, and starting some takes longer than a short sound
    last = graph.add_abuffer(sample_rate=rate, format="s16", layout=layout, time_base=Fraction(1, rate))
    for name, arguments in filters:
        step = graph.add(name, arguments)
        last.link_to(step)
        last = step
    last.link_to(graph.add("abuffersink"))
    graph.configure()
    return graph


def _pulled(graph: Graph) -> Iterator[AudioFrame]:
    while True:
        try:
            frame = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        assert isinstance(frame, AudioFrame)  # the chain has no other door
        yield frame


def _frame(some: Pcm, layout: str, rate: int, at: int) -> AudioFrame:
    frame = AudioFrame.from_ndarray(some.reshape(1, -1), "s16", layout)
    frame.rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
    return frame


def _layout(channels: int) -> str:
    return "mono" if channels == 1 else "stereo"
