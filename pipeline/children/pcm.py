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

RATE = 16_000
FULL_SCALE = 32768.0
Pcm = NDArray[np.int16]
Samples = NDArray[np.float32]


def samples(decoder: audio.Decoder) -> Iterator[Pcm]:
    """The mix of all channels; a stream that changes its shape midway gets a new resampler."""
    resampler = _resampler()
    shape: tuple[str, str, int] | None = None
    for frame in decoder.frames():
        now = (frame.format.name, frame.layout.name, frame.sample_rate)
        if shape not in (None, now):
            yield from _arrays(resampler.resample(None))
            resampler = _resampler()
        shape = now
        frame.pts = None  # odd timestamps must not move samples; they were counted
        yield from _arrays(resampler.resample(frame))
    yield from _arrays(resampler.resample(None))


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


def _resampler() -> AudioResampler:
    return AudioResampler(format="s16", layout="mono", rate=RATE)


def _arrays(frames: list[AudioFrame]) -> Iterator[Pcm]:
    for frame in frames:
        yield frame.to_ndarray().reshape(-1).astype(np.int16, copy=False)
