"""The PyAV stage: encode WAVs of ours, one after the other, as one file. Runs in the media lane.

The encoded file is read back, weighed, and its seconds are compared before it counts as made.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction

import av
import msgspec
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer
from msgspec import Struct

from pipeline.children import audio, files, sound_stage
from pipeline.children.av_work import EncodeFacts, EncodeParams
from pipeline.children.stage import FileRef, Roots, StageResult, StageSpec, packed
from pipeline.core.decoding import from_json
from pipeline.core.errors import EngineError
from pipeline.core.sound import Change, Chapter, Sound


class Recipe(Struct, frozen=True, kw_only=True):
    """How one media type is written. `rate` None keeps the source's where the encoder can."""

    muxer: str
    demuxer: str
    codec: str
    bitrate: int | None
    rate: int | None = None


RECIPES = {
    "audio/mpeg": Recipe(muxer="mp3", demuxer="mp3", codec="libmp3lame", bitrate=64_000),
    "audio/ogg": Recipe(muxer="ogg", demuxer="ogg", codec="libopus", bitrate=32_000, rate=48_000),
    "audio/flac": Recipe(muxer="flac", demuxer="flac", codec="flac", bitrate=None),
    "audio/mp4": Recipe(muxer="ipod", demuxer="mov", codec="aac", bitrate=64_000),
}


def encode(spec: StageSpec, roots: Roots) -> StageResult:
    """EncodeFacts of the output, which was read back."""
    params = from_json(spec.params, EncodeParams)
    recipe = RECIPES.get(params.media_type)
    if recipe is None or spec.output is None:
        raise EngineError(f"{params.media_type!r} is nothing that this stage encodes")
    made = _written(spec, roots, recipe, params)
    size, sound = _read_back(spec.output, roots, recipe)
    audio.refuse_short(sound.seconds, made)
    return StageResult(output=spec.output, facts=packed(EncodeFacts(seconds=sound.seconds, size=size, sound=sound)))


def _written(spec: StageSpec, roots: Roots, recipe: Recipe, params: EncodeParams) -> float:
    """Encode the inputs to the output; the seconds that went in."""
    assert spec.output is not None
    reels = _Reels(spec, roots)
    with (
        files.sink(spec.output, roots, spec.limits.max_output_bytes) as sink,
        audio.encoder_errors(sink),
        av.open(sink, mode="w", format=recipe.muxer, options={"fflags": "+bitexact"}) as made,
    ):
        made.metadata.update(params.tags)
        if params.chapters:
            made.set_chapters([_mark(number, chapter) for number, chapter in enumerate(params.chapters)])
        rate, is_mono = reels.shape()
        _encode_all(reels.frames(), made, _add_stream(made, rate, recipe, is_mono=is_mono))
    return reels.seconds


class _Reels:
    """The inputs as one run of frames; `seconds` are those that were given so far."""

    def __init__(self, spec: StageSpec, roots: Roots) -> None:
        self.seconds = 0.0
        self._spec = spec
        self._roots = roots

    def shape(self) -> tuple[int, bool]:
        """The rate of the first, and whether it has one channel."""
        with self._opened(self._spec.inputs[0]) as decoder:
            return decoder.rate, decoder.is_mono

    def frames(self) -> Iterator[AudioFrame]:
        for ref in self._spec.inputs:
            with self._opened(ref) as decoder:
                yield from decoder.frames()
                self.seconds += decoder.seconds

    @contextmanager
    def _opened(self, ref: FileRef) -> Iterator[audio.Decoder]:
        with files.source(ref, self._roots) as source, audio.opened(source, "wav") as container:
            yield audio.Decoder(container, audio.audio_stream(container, 0), max_seconds=self._spec.limits.max_seconds)


def _mark(number: int, chapter: Chapter) -> "av.container.Chapter":
    start, end = round(chapter.start_s * 1000), round(chapter.end_s * 1000)
    title = {"title": chapter.title}
    return {"id": number, "start": start, "end": end, "time_base": Fraction(1, 1000), "metadata": title}


def _add_stream(made: OutputContainer, rate: int, recipe: Recipe, *, is_mono: bool) -> AudioStream:
    rate = recipe.rate or _nearest_rate(recipe.codec, rate)
    # by count: a WAV need not say which channel is which, and the encoders insist
    stream = made.add_stream(recipe.codec, rate=rate, layout="mono" if is_mono else "stereo")
    assert isinstance(stream, AudioStream)  # every recipe names an audio codec
    if recipe.bitrate is not None:
        stream.bit_rate = recipe.bitrate
    stream.codec_context.flags |= av.codec.context.Flags.bitexact
    stream.codec_context.open()
    return stream


def _nearest_rate(codec: str, rate: int) -> int:
    """The source's own rate, else the next one above that the encoder takes, else its highest."""
    rates = av.Codec(codec, "w").audio_rates or [rate]
    return min((known for known in rates if known >= rate), default=max(rates))


def _encode_all(frames: Iterable[AudioFrame], made: OutputContainer, stream: AudioStream) -> None:
    context = stream.codec_context
    resampler = AudioResampler(context.format, context.layout, context.sample_rate, context.frame_size or None)
    written = 0
    for frame in _resampled(frames, resampler):
        frame.pts, frame.time_base = written, Fraction(1, context.sample_rate)
        written += frame.samples
        made.mux(stream.encode(frame))
    made.mux(stream.encode(None))


def _resampled(frames: Iterable[AudioFrame], resampler: AudioResampler) -> Iterator[AudioFrame]:
    for frame in frames:
        frame.pts = None  # each file begins anew
        yield from resampler.resample(frame)
    yield from resampler.resample(None)


def _read_back(ref: FileRef, roots: Roots, recipe: Recipe) -> tuple[int, Sound]:
    with files.source(ref, roots) as source, audio.opened(source, recipe.demuxer) as container:
        decoder = audio.Decoder(container, audio.audio_stream(container, 0), max_seconds=None)
        channels = 1 if decoder.is_mono else 2
        meter = sound_stage.SoundMeter(decoder.rate, channels)
        for lump in sound_stage.samples(decoder, Change(), decoder.rate, channels):
            meter.add(lump)
        sound = meter.told()
        return source.seek(0, os.SEEK_END), msgspec.structs.replace(sound, seconds=decoder.seconds)
