"""The PyAV stage: encode a WAV of ours. Runs in the media lane.

The encoded file is read back and its seconds are compared before it counts as made.
"""

import os
from collections.abc import Iterator
from fractions import Fraction

import av
import msgspec
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer
from msgspec import Struct

from pipeline.children import audio, files
from pipeline.children.av_work import EncodeFacts, EncodeParams
from pipeline.children.stage import FileRef, Roots, StageResult, StageSpec
from pipeline.core.errors import EngineError


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
    params = msgspec.json.decode(spec.params, type=EncodeParams)
    recipe = RECIPES.get(params.media_type)
    if recipe is None or spec.output is None:
        raise EngineError(f"{params.media_type!r} is nothing that this stage encodes")
    made = _written(spec, roots, recipe, params)
    size, seconds = _read_back(spec.output, roots, recipe)
    audio.refuse_short(seconds, made)
    return StageResult(output=spec.output, facts=_raw(EncodeFacts(seconds=seconds, size=size)))


def _written(spec: StageSpec, roots: Roots, recipe: Recipe, params: EncodeParams) -> float:
    """Encode input to output; the seconds that went in."""
    assert spec.output is not None
    with (
        files.source(spec.inputs[0], roots) as source,
        audio.opened(source, "wav") as container,
        files.sink(spec.output, roots, spec.limits.max_output_bytes) as sink,
        audio.encoder_errors(sink),
        av.open(sink, mode="w", format=recipe.muxer, options={"fflags": "+bitexact"}) as made,
    ):
        decoder = audio.Decoder(container, audio.audio_stream(container, 0), max_seconds=spec.limits.max_seconds)
        made.metadata.update(params.tags)
        _encode_all(decoder, made, _add_stream(made, decoder, recipe))
        return decoder.seconds


def _add_stream(made: OutputContainer, decoder: audio.Decoder, recipe: Recipe) -> AudioStream:
    rate = recipe.rate or _nearest_rate(recipe.codec, decoder.rate)
    # by count: a WAV need not say which channel is which, and the encoders insist
    stream = made.add_stream(recipe.codec, rate=rate, layout="mono" if decoder.is_mono else "stereo")
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


def _encode_all(decoder: audio.Decoder, made: OutputContainer, stream: AudioStream) -> None:
    context = stream.codec_context
    resampler = AudioResampler(context.format, context.layout, context.sample_rate, context.frame_size or None)
    written = 0
    for frame in _resampled(decoder, resampler):
        frame.pts, frame.time_base = written, Fraction(1, context.sample_rate)
        written += frame.samples
        made.mux(stream.encode(frame))
    made.mux(stream.encode(None))


def _resampled(decoder: audio.Decoder, resampler: AudioResampler) -> Iterator[AudioFrame]:
    for frame in decoder.frames():
        yield from resampler.resample(frame)
    yield from resampler.resample(None)


def _read_back(ref: FileRef, roots: Roots, recipe: Recipe) -> tuple[int, float]:
    with files.source(ref, roots) as source, audio.opened(source, recipe.demuxer) as container:
        decoder = audio.Decoder(container, audio.audio_stream(container, 0), max_seconds=None)
        for _ in decoder.frames():
            continue
        return source.seek(0, os.SEEK_END), decoder.seconds


def _raw(facts: Struct) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(facts))
