"""Makes real media with PyAV: one second of a tone, up to a second of pictures, in any muxer and codec it has."""

import io
import math
import os
import tempfile
from collections.abc import Callable
from fractions import Fraction
from typing import BinaryIO, cast

import av
import numpy as np
from msgspec import Struct


class _Pipe(io.RawIOBase):
    """A target that cannot seek: what a live writer has."""

    def __init__(self) -> None:
        self.body = bytearray()

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def write(self, data: object) -> int:
        chunk = bytes(cast("bytes", data))  # the base class takes any buffer
        self.body += chunk
        return len(chunk)


class Recipe(Struct, frozen=True, kw_only=True):
    """What PyAV is to make: the muxer, the codecs, and how."""

    muxer: str
    sound: str | None = None
    picture: str | None = None
    rate: int = 48000
    channels: int = 1
    options: dict[str, str] = {}
    codec_options: dict[str, str] = {}
    tags: dict[str, str] = {}
    pixels: str = "yuv420p"
    frames: int = 12
    is_live: bool = False


def made(recipe: Recipe) -> bytes:
    """One second of a tone and up to one second of pictures, as the recipe says."""
    if recipe.is_live:
        pipe = _Pipe()
        _mux(cast("BinaryIO", pipe), recipe)  # PyAV only writes to it
        return bytes(pipe.body)
    # A real file: moving the index to the front reads it back.
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "specimen")
        _mux(path, recipe)
        with open(path, "rb") as file:
            return file.read()


def _mux(target: "str | BinaryIO", recipe: Recipe) -> None:
    with av.open(target, "w", format=recipe.muxer, options=recipe.options) as output:
        output.metadata.update(recipe.tags)
        encoders: list[Callable[[], None]] = []
        if recipe.picture:
            encoders.append(_pictures(output, recipe, recipe.picture))
        if recipe.sound:
            encoders.append(_sound(output, recipe, recipe.sound))
        for encode in encoders:
            encode()


def _pictures(output: "av.container.OutputContainer", recipe: Recipe, codec: str) -> Callable[[], None]:
    stream = output.add_stream(codec, rate=Fraction(12), options=recipe.codec_options if not recipe.sound else {})
    assert isinstance(stream, av.VideoStream)
    stream.width, stream.height, stream.pix_fmt = 64, 48, recipe.pixels

    noise = np.random.default_rng(1)

    def encode() -> None:
        for number in range(recipe.frames):
            image = noise.integers(0, 256, (48, 64, 3), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=recipe.pixels)
            frame.pts, frame.time_base = number, Fraction(1, 12)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))

    return encode


def _sound(output: "av.container.OutputContainer", recipe: Recipe, codec: str) -> Callable[[], None]:
    layout = "mono" if recipe.channels == 1 else "stereo"
    stream = output.add_stream(codec, rate=recipe.rate, options=recipe.codec_options)
    assert isinstance(stream, av.AudioStream)
    stream.layout = layout

    def encode() -> None:
        stream.codec_context.open(strict=False)
        time = np.arange(recipe.rate) / recipe.rate
        wave = (9000 * np.sin(2 * math.pi * 220 * time)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(np.repeat(wave, recipe.channels).reshape(1, -1), "s16", layout)
        frame.rate, frame.pts, frame.time_base = recipe.rate, 0, Fraction(1, recipe.rate)
        resampler = av.AudioResampler(stream.format, layout, recipe.rate, stream.codec_context.frame_size or 4096)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))

    return encode
