"""Samples as speech engines take them: 16 kHz, 16 bits, one channel, from the frames of a decoder, as a stream.

Promises that the samples of one file are the same at every pass, so an offset counted in them is a place in the
recording. Holds one frame at a time.
"""

from collections.abc import Iterator

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from pipeline.children import audio
from pipeline.core.errors import InputError

RATE = 16_000
FULL_SCALE = 32768.0
Pcm = NDArray[np.int16]
Samples = NDArray[np.float32]


def samples(decoder: audio.Decoder, *, channel: int | None = None) -> Iterator[Pcm]:
    """The mix of all channels, or one of them; a stream that changes its shape midway gets a new resampler."""
    heard = _Ear(channel)
    shape: tuple[str, str, int] | None = None
    for frame in decoder.frames():
        now = (frame.format.name, frame.layout.name, frame.sample_rate)
        if shape not in (None, now):
            yield from heard.rest()
            heard = _Ear(channel)
        shape = now
        frame.pts = None  # odd timestamps must not move samples; they were counted
        yield from heard.take(frame)
    yield from heard.rest()


def blocks(chunks: Iterator[Pcm], size: int) -> Iterator[Pcm]:
    """The same samples in blocks of `size`; the last may be shorter, and none is empty."""
    held: list[Pcm] = []
    count = 0
    for chunk in chunks:
        held.append(chunk)
        count += len(chunk)
        while count >= size:
            whole = np.concatenate(held)
            yield whole[:size]
            held, count = [whole[size:]], count - size
    if count:
        yield np.concatenate(held)


def floats(pcm: Pcm) -> Samples:
    return pcm.astype(np.float32) / np.float32(FULL_SCALE)


class _Ear:
    """Frames of one shape -> samples."""

    def __init__(self, channel: int | None) -> None:
        self._channel = channel
        self._resampler = AudioResampler(format="s16", layout=None if channel is not None else "mono", rate=RATE)

    def take(self, frame: AudioFrame | None) -> Iterator[Pcm]:
        for made in self._resampler.resample(frame):
            values = made.to_ndarray().reshape(-1).astype(np.int16, copy=False)
            yield values if self._channel is None else self._one(values, len(made.layout.channels))

    def rest(self) -> Iterator[Pcm]:
        return self.take(None)

    def _one(self, values: Pcm, channels: int) -> Pcm:
        assert self._channel is not None
        if self._channel >= channels:
            raise InputError(f"there is no channel {self._channel}; the track has {channels}", code="input-type")
        return np.ascontiguousarray(values[self._channel :: channels])
